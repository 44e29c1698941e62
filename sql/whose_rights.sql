-- Code of a user runs with that user's rights, never with those of whoever looks: a superuser looks at what mallory made.
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE ROLE regress_mallory;
CREATE ROLE regress_reader;
CREATE ROLE regress_admin;
CREATE ROLE regress_bypass BYPASSRLS;
CREATE SCHEMA whose AUTHORIZATION regress_mallory;
GRANT USAGE ON SCHEMA whose TO PUBLIC;
SELECT tiktok.grant_reader('regress_reader'), tiktok.grant_reader('regress_bypass'), tiktok.grant_admin('regress_admin');
INSERT INTO tiktok.source (name, event_source, event_source_id, max_event_age) VALUES ('whose', 'web', 'C1', '100 years');

-- What mallory tries wherever her code runs once it is armed, and as whom it ran
CREATE TABLE public.ran (place text, as_role name);
GRANT INSERT ON public.ran TO PUBLIC;
SET ROLE regress_mallory;
CREATE FUNCTION whose.attack(place text) RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$
BEGIN
	IF current_setting('whose.armed', true) IS DISTINCT FROM 'yes' THEN
		RETURN true;
	END IF;
	INSERT INTO public.ran VALUES (place, current_user);
	BEGIN
		EXECUTE 'RESET ROLE';
	EXCEPTION WHEN OTHERS THEN
		NULL;
	END;
	BEGIN
		EXECUTE 'ALTER ROLE regress_mallory SUPERUSER';
	EXCEPTION WHEN OTHERS THEN
		NULL;
	END;
	RETURN true;
END $$;
CREATE FUNCTION whose.attack_immutable(place text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN whose.attack(place); END';

-- Relations that say what should have been reported
CREATE VIEW whose.view AS SELECT 'V1' AS event_id, 1 AS value, 'eur' AS currency, now() - interval '1 day' AS at WHERE whose.attack('view');
CREATE VIEW whose.invoker WITH (security_invoker) AS SELECT * FROM whose.view;
CREATE TYPE whose.id AS (no text);
CREATE FUNCTION whose.id_text(whose.id) RETURNS text LANGUAGE plpgsql AS $$BEGIN PERFORM whose.attack('cast'); RETURN ($1).no; END$$;
CREATE CAST (whose.id AS text) WITH FUNCTION whose.id_text(whose.id);
CREATE TYPE whose.amount AS (n numeric);
CREATE FUNCTION whose.amount_numeric(whose.amount) RETURNS numeric LANGUAGE plpgsql AS $$BEGIN PERFORM whose.attack('cast of the value'); RETURN ($1).n; END$$;
CREATE CAST (whose.amount AS numeric) WITH FUNCTION whose.amount_numeric(whose.amount);
CREATE TYPE whose.moment AS (t timestamptz);
CREATE FUNCTION whose.moment_time(whose.moment) RETURNS timestamptz LANGUAGE plpgsql AS $$BEGIN PERFORM whose.attack('implicit cast of the time'); RETURN ($1).t; END$$;
CREATE CAST (whose.moment AS timestamptz) WITH FUNCTION whose.moment_time(whose.moment) AS IMPLICIT;
CREATE TABLE whose.types (event_id whose.id, value whose.amount, currency text, at whose.moment);
INSERT INTO whose.types VALUES (ROW('T1'), ROW(1), 'EUR', ROW(now() - interval '1 day'));
CREATE MATERIALIZED VIEW whose.materialized AS TABLE whose.types;
CREATE TABLE whose.indexed (event_id text, value numeric, currency text, at timestamptz);
INSERT INTO whose.indexed VALUES ('I1', 1, 'EUR', now() - interval '1 day');
CREATE INDEX ON whose.indexed ((whose.attack_immutable('index expression')));
CREATE TABLE whose.parted (event_id text, value numeric, currency text, at timestamptz) PARTITION BY LIST ((at IS NULL));
CREATE TABLE whose.part PARTITION OF whose.parted FOR VALUES IN (false);
INSERT INTO whose.parted VALUES ('P1', 1, 'EUR', now() - interval '1 day');
CREATE INDEX ON whose.part (at) WHERE whose.attack_immutable('index predicate of a partition');
CREATE TABLE whose.guarded (event_id text, value numeric, currency text, at timestamptz);
INSERT INTO whose.guarded VALUES ('R1', 1, 'EUR', now() - interval '1 day');
ALTER TABLE whose.guarded ENABLE ROW LEVEL SECURITY;
CREATE POLICY p ON whose.guarded USING (whose.attack('policy'));
CREATE TABLE whose.forced (LIKE whose.guarded);
ALTER TABLE whose.forced ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY p ON whose.forced USING (whose.attack('forced policy'));
RESET ROLE;

CREATE FUNCTION public.look(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	found text;
BEGIN
	EXECUTE 'SELECT count(*) || $1 FROM ' || statement INTO found USING ' rows';
	RETURN found;
EXCEPTION WHEN OTHERS THEN
	RETURN sqlerrm;
END $$;

-- Which role ran what, and whether mallory has become a superuser
CREATE FUNCTION public.outcome(OUT ran text, OUT superuser boolean) LANGUAGE plpgsql AS $$
BEGIN
	SELECT string_agg(DISTINCT place || ' as ' || CASE as_role WHEN 'regress_mallory' THEN 'mallory' ELSE 'SOMEBODY ELSE' END, ', ') INTO ran FROM public.ran;
	SELECT rolsuper INTO superuser FROM pg_catalog.pg_roles WHERE rolname = 'regress_mallory';
	TRUNCATE public.ran;
	ALTER ROLE regress_mallory NOSUPERUSER;
END $$;

CREATE FUNCTION public.compare(relation text, OUT function text, OUT result text, OUT ran text, OUT superuser boolean) RETURNS SETOF record LANGUAGE plpgsql AS $$
BEGIN
	DELETE FROM tiktok.source_of_truth;
	INSERT INTO tiktok.source_of_truth VALUES ('whose', 'Purchase', relation);
	FOREACH function IN ARRAY '{reconcile(''whose''),differences(''whose''),"checklist(''whose'') WHERE item = 7 AND evidence LIKE ''%of 1 orders%''","failure_modes(''whose'') WHERE false","health() WHERE false","report_html(now() - interval ''2 days'', now()) r WHERE r ~ ''cannot be read''"}'::text[] LOOP
		result := public.look('tiktok.' || function);
		SELECT * INTO ran, superuser FROM public.outcome();
		function := split_part(function, '(', 1);
		RETURN NEXT;
	END LOOP;
END $$;
SET whose.armed = 'yes';
SELECT relation, c.* FROM unnest('{view,invoker,types,materialized,parted,guarded,forced}'::text[]) relation, public.compare('whose.' || relation) c;
-- computed once in a session
\c -
SET client_min_messages = warning;
SET whose.armed = 'yes';
SELECT c.* FROM public.compare('whose.indexed') c WHERE c.function = 'reconcile';

-- The caller needs SELECT, and gets nothing of the owner's
SET ROLE regress_mallory;
CREATE TABLE whose.plain (event_id text, value numeric, currency text, at timestamptz, secret text);
INSERT INTO whose.plain VALUES ('S1', 1, 'EUR', now() - interval '1 day', 'x');
CREATE VIEW whose.good AS SELECT event_id, value, currency, at FROM whose.plain;
CREATE VIEW whose.readers WITH (security_invoker) AS SELECT event_id, value, currency, at FROM whose.plain;
CREATE VIEW whose.below AS SELECT event_id, value, currency, at FROM whose.plain WHERE event_id IN (SELECT event_id FROM whose.readers);
CREATE VIEW whose.far_below AS WITH w AS (TABLE whose.below) TABLE w;
CREATE VIEW whose.own AS SELECT * FROM whose.plain WHERE current_user = 'regress_mallory';
CREATE VIEW whose.own_function AS SELECT * FROM whose.plain WHERE pg_catalog."current_user"() = 'regress_mallory';
CREATE VIEW whose.own_role AS SELECT * FROM whose.plain WHERE pg_has_role('regress_mallory', 'MEMBER');
CREATE VIEW whose.session AS SELECT * FROM whose.plain WHERE session_user IS NOT NULL;
CREATE TABLE whose.policied (LIKE whose.plain);
INSERT INTO whose.policied TABLE whose.plain;
ALTER TABLE whose.policied ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON whose.policied USING (current_user = 'regress_mallory');
CREATE VIEW whose.owner_exempt AS TABLE whose.policied;
CREATE TABLE whose.policied_too (LIKE whose.plain);
INSERT INTO whose.policied_too TABLE whose.plain;
ALTER TABLE whose.policied_too ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON whose.policied_too USING (current_user = 'regress_mallory');
CREATE VIEW whose.owner_subject AS TABLE whose.policied_too;
RESET ROLE;
CREATE TABLE public.superusers AS TABLE whose.good;
CREATE FOREIGN DATA WRAPPER whose_wrapper;
CREATE SERVER whose_server FOREIGN DATA WRAPPER whose_wrapper;
GRANT USAGE ON FOREIGN SERVER whose_server TO regress_mallory;
SET ROLE regress_mallory;
CREATE FOREIGN TABLE whose.remote (event_id text, value numeric, currency text, at timestamptz) SERVER whose_server;
CREATE TABLE whose.parent (event_id text, value numeric, currency text, at timestamptz);
CREATE FOREIGN TABLE whose.remote_child () INHERITS (whose.parent) SERVER whose_server;
RESET ROLE;
CREATE FUNCTION public.look_as(role text, relation text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text;
BEGIN
	DELETE FROM tiktok.source_of_truth;
	INSERT INTO tiktok.source_of_truth VALUES ('whose', 'Purchase', relation);
	EXECUTE format('SET LOCAL ROLE %I', role);
	result := public.look('tiktok.differences(''whose'')') || ', checklist '
		|| (SELECT CASE WHEN evidence = 'a registered table of orders cannot be read' THEN 'cannot read it' ELSE 'reads it' END FROM tiktok.checklist('whose') WHERE item = 7);
	RESET ROLE;
	RETURN result;
END $$;
SELECT relation, public.look_as('regress_reader', relation) FROM unnest('{whose.plain,whose.good,whose.readers}'::text[]) relation;
GRANT SELECT ON ALL TABLES IN SCHEMA whose TO regress_reader, regress_admin, regress_bypass;
REVOKE SELECT ON whose.plain FROM regress_reader;
-- What a view shows may depend on its reader at any depth
SELECT relation, public.look_as('regress_reader', relation)
FROM unnest('{whose.below,whose.far_below,whose.own,whose.own_function,whose.own_role,whose.owner_subject,whose.session,whose.owner_exempt}'::text[]) relation;
SET ROLE regress_reader;
SELECT count(*) FROM whose.own;
RESET ROLE;
GRANT SELECT ON public.superusers TO regress_reader;
SELECT relation, public.look_as('regress_reader', relation)
FROM unnest('{whose.good,whose.plain,whose.readers,whose.remote,whose.parent,whose.guarded,whose.forced,public.superusers}'::text[]) relation;
GRANT SELECT (event_id, value, currency, at) ON whose.plain TO regress_reader;
SELECT public.look_as('regress_reader', 'whose.plain');
SELECT relation, public.look_as('regress_bypass', relation) FROM unnest('{whose.guarded,whose.forced}'::text[]) relation;
REVOKE USAGE ON SCHEMA whose FROM PUBLIC;
SELECT public.look_as('regress_reader', 'whose.good');
GRANT USAGE ON SCHEMA whose TO PUBLIC;
SELECT * FROM tiktok_internal.compare('{1}', '{Purchase}', ARRAY['whose.ran_nowhere'::text::regclass], now(), now());
SELECT * FROM tiktok_internal.compare('{1}', '{Purchase}', '{0}', now(), now());
SELECT * FROM tiktok_internal.compare('{1}', '{Purchase,Lead}', '{0}', now(), now());
SELECT tiktok_internal.truth_is_readable(0), tiktok_internal.truth_is_readable('pg_class_oid_index'::regclass);
SELECT * FROM public.outcome();
RESET whose.armed;

-- Rows: mallory's types, indexes, WHEN and function
SET ROLE regress_mallory;
CREATE DOMAIN whose.key AS int CHECK (whose.attack('check of a domain'));
CREATE TYPE whose.pair AS (k whose.key);
CREATE TABLE whose.orders (id whose.key NOT NULL, no text NOT NULL, pair whose.pair, at timestamptz);
INSERT INTO whose.orders SELECT g, 'N' || g, ROW(g::whose.key)::whose.pair, now() - interval '1 day' FROM generate_series(1, 3) g;
ALTER TABLE whose.orders ADD PRIMARY KEY (id);
CREATE FUNCTION whose.fields(o whose.orders) RETURNS jsonb LANGUAGE plpgsql AS $$BEGIN PERFORM whose.attack('using'); RETURN jsonb_build_object('external_id', (SELECT o.no || max(event_id) FROM plain)); END$$;
CREATE FUNCTION whose.is_paid(o text) RETURNS boolean LANGUAGE plpgsql AS $$BEGIN RETURN whose.attack('WHEN'); END$$;
GRANT TRIGGER, SELECT ON whose.orders TO regress_admin;
CREATE UNIQUE INDEX ON whose.orders (no) WHERE whose.attack_immutable('predicate of a key');
RESET ROLE;
CREATE TRIGGER code AFTER INSERT ON whose.orders FOR EACH ROW WHEN (whose.is_paid(NEW.no))
	EXECUTE FUNCTION tiktok.track_row('whose', 'Purchase', 'using=whose.fields', 'event_id=no', 'event_time=at', 'url=''https://example.com/''', 'value=''1''', 'currency=''EUR''');
CREATE TRIGGER plain AFTER INSERT ON whose.orders FOR EACH ROW
	EXECUTE FUNCTION tiktok.track_row('whose', 'ViewContent', 'external_id=no', 'event_time=at', 'url=''https://example.com/''');
SET whose.armed = 'yes';
SELECT event_id, problem FROM tiktok.check_rows('whose.orders', 'code');
SELECT * FROM public.outcome();
SELECT event_id, problem FROM tiktok.check_rows('whose.orders', 'code', 'pair = ''(2)''::whose.pair');
SELECT * FROM public.outcome();
SELECT event_id, problem FROM tiktok.check_rows('whose.orders', 'plain', 'whose.attack(''condition'') AND id = 1');
SELECT * FROM public.outcome();
CALL tiktok.backfill('whose.orders', 'code');
SELECT * FROM public.outcome();
CALL tiktok.backfill('whose.orders', 'plain', 'whose.attack(''condition'') AND pair <> ''(2)''::whose.pair');
SELECT * FROM public.outcome();
UPDATE tiktok.backfill_progress SET finished_at = NULL, last_key = '{1}', rows_read = 1 WHERE trigger_name = 'code';
CALL tiktok.backfill('whose.orders', 'code');
SELECT * FROM public.outcome();

-- A function of somebody else: as its owner only where the table's owner may act as him
RESET whose.armed;
CREATE FUNCTION public.fields(o whose.orders) RETURNS jsonb LANGUAGE sql AS $$SELECT jsonb_build_object('external_id', current_user)$$;
CREATE TRIGGER theirs AFTER INSERT ON whose.orders FOR EACH ROW
	EXECUTE FUNCTION tiktok.track_row('whose', 'ViewContent', 'using=public.fields', 'event_id=no', 'event_time=at', 'url=''https://example.com/''');
SELECT payload #>> '{user,external_id}' = tiktok.hash_external_id('regress_mallory') AS as_mallory FROM tiktok.check_rows('whose.orders', 'theirs', max => 1);
ALTER FUNCTION public.fields OWNER TO regress_bypass;
SELECT payload #>> '{user,external_id}' = tiktok.hash_external_id('regress_mallory') AS as_mallory FROM tiktok.check_rows('whose.orders', 'theirs', max => 1);
GRANT regress_bypass TO regress_mallory;
SELECT payload #>> '{user,external_id}' = tiktok.hash_external_id('regress_bypass') AS as_its_owner FROM tiktok.check_rows('whose.orders', 'theirs', max => 1);
REVOKE regress_bypass FROM regress_mallory;
REVOKE EXECUTE ON FUNCTION public.fields FROM PUBLIC;
SELECT problem FROM tiktok.check_rows('whose.orders', 'theirs', max => 1);

-- An admin who may read: a mapping of columns; for code he must be able to act as the owner
SET ROLE regress_admin;
SELECT event_id, problem FROM tiktok.check_rows('whose.orders', 'plain');
SELECT event_id, problem FROM tiktok.check_rows('whose.orders', 'plain', 'id = 1');
SELECT event_id, problem FROM tiktok.check_rows('whose.orders', 'code');
CALL tiktok.backfill('whose.orders', 'plain');
CALL tiktok.backfill('whose.orders', 'plain', 'id = 1');
RESET ROLE;
GRANT regress_mallory TO regress_admin;
SET SESSION AUTHORIZATION regress_admin;
SET whose.armed = 'yes';
SELECT event_id, problem FROM tiktok.check_rows('whose.orders', 'code', 'id = 1');
CALL tiktok.backfill('whose.orders', 'code', 'id = 1');
RESET SESSION AUTHORIZATION;
REVOKE regress_mallory FROM regress_admin;
SELECT * FROM public.outcome();
REVOKE SELECT ON whose.orders FROM regress_admin;
GRANT SELECT (id, no) ON whose.orders TO regress_admin;
SET ROLE regress_admin;
SELECT event_id, problem FROM tiktok.check_rows('whose.orders', 'plain');
RESET ROLE;
GRANT SELECT ON whose.orders TO regress_admin;
ALTER TABLE whose.orders ENABLE ROW LEVEL SECURITY;
SET ROLE regress_admin;
SELECT event_id, problem FROM tiktok.check_rows('whose.orders', 'plain');
RESET ROLE;
ALTER TABLE whose.orders DISABLE ROW LEVEL SECURITY;
ALTER TABLE whose.orders OWNER TO CURRENT_USER;
SET ROLE regress_admin;
SELECT event_id, problem FROM tiktok.check_rows('whose.orders', 'plain');
RESET ROLE;

DROP FUNCTION public.fields, public.look, public.look_as, public.compare, public.outcome;
DROP TABLE public.ran, public.superusers;
DROP SCHEMA whose CASCADE;
DROP FOREIGN DATA WRAPPER whose_wrapper CASCADE;
DELETE FROM tiktok.source_of_truth;
SELECT tiktok.revoke_all('regress_reader'), tiktok.revoke_all('regress_admin'), tiktok.revoke_all('regress_bypass');
DROP ROLE regress_mallory, regress_reader, regress_admin, regress_bypass;
TRUNCATE tiktok.retry, tiktok.event, tiktok.identity, tiktok.delivery, tiktok.backfill_progress;
DELETE FROM tiktok.source;
