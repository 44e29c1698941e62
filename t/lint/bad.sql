-- What script/lint-sql must find, and in what is right nothing.

-- finds adopts comment
CREATE SCHEMA IF NOT EXISTS tiktok;

-- finds comment adopts
CREATE TABLE IF NOT EXISTS tiktok.source (name pg_catalog.text, note text);
COMMENT ON TABLE tiktok.source IS 'sources';
COMMENT ON COLUMN tiktok.source.name IS 'name';

-- finds unqualified
CREATE INDEX ON source (name);

-- finds unqualified
ALTER TABLE tiktok.source ADD COLUMN kind source_kind;

-- finds comment adopts simple_case
CREATE OR REPLACE VIEW tiktok.kinds AS SELECT CASE name WHEN 'web' THEN 1 END AS kind FROM tiktok.source;

-- finds search_path
CREATE FUNCTION tiktok.sum(a int, OUT total bigint) LANGUAGE sql AS 'SELECT $1::bigint';
COMMENT ON FUNCTION tiktok.sum(int) IS 'the sum';

-- finds search_path
CREATE FUNCTION tiktok.sum(a int, b int) RETURNS int LANGUAGE sql SET search_path = public, pg_catalog AS 'SELECT $1 + $2';
COMMENT ON FUNCTION tiktok.sum(int, int) IS 'the sum';

-- finds search_path
CREATE FUNCTION tiktok.track() RETURNS bigint LANGUAGE c SECURITY DEFINER AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION tiktok.track IS 'in C, but with the rights of its owner';

-- finds search_path comment
CREATE PROCEDURE tiktok.backfill() LANGUAGE plpgsql AS 'BEGIN COMMIT; END';

-- finds unqualified
CREATE FUNCTION tiktok.names() RETURNS SETOF text LANGUAGE sql SET search_path = pg_catalog, pg_temp AS 'WITH n AS (SELECT name FROM sources) SELECT name FROM n';
COMMENT ON FUNCTION tiktok.names() IS 'names';

-- finds definer_dynamic simple_case unqualified
CREATE FUNCTION tiktok.run(code text) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	n int;
	kind source_kind;
BEGIN
	EXECUTE code;
	CASE n WHEN 1 THEN
		n := CASE n WHEN 1 THEN 2 END;
	END CASE;
	PERFORM name FROM source;
END $$;
COMMENT ON FUNCTION tiktok.run(text) IS 'runs text';

-- right
CREATE TYPE tiktok.pair AS (a int, b tiktok.source_kind);
COMMENT ON TYPE tiktok.pair IS 'two';
CREATE FUNCTION tiktok.good(given text DEFAULT NULL) RETURNS SETOF tiktok.pair LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	n int := 1;
	list text[];
BEGIN
	n := CASE WHEN n = 1 THEN 2 END;
	list[1] = 'a' || length(given);
	EXECUTE format('SELECT %s', n);
	RETURN QUERY WITH x AS (SELECT 1 AS a) SELECT p.* FROM x, tiktok.pairs p, pg_class c WHERE p.a = x.a;
END $$;
COMMENT ON FUNCTION tiktok.good(text) IS 'good';
REVOKE ALL ON ALL ROUTINES IN SCHEMA tiktok FROM PUBLIC;

-- finds public
CREATE FUNCTION tiktok.late() RETURNS bigint LANGUAGE sql SET search_path = pg_catalog, pg_temp AS 'SELECT 1::bigint';
COMMENT ON FUNCTION tiktok.late() IS 'made after privileges were revoked';
CREATE FUNCTION tiktok.later() RETURNS bigint LANGUAGE sql SET search_path = pg_catalog, pg_temp AS 'SELECT 1::bigint';
COMMENT ON FUNCTION tiktok.later() IS 'with a REVOKE of its own';
REVOKE ALL ON FUNCTION tiktok.later() FROM PUBLIC;

-- finds public
GRANT SELECT ON tiktok.source TO PUBLIC;

-- finds role
CREATE ROLE tiktok_reader;

-- finds ascii
COMMENT ON ROLE postgres IS 'more …';
