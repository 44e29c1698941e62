-- Who may do what. What is new in schema tiktok changes this test: decide for whom it is, in schema/88_grant.sql.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE ROLE regress_tiktok_reader;
CREATE ROLE regress_tiktok_tracker;
CREATE ROLE regress_tiktok_admin;
CREATE ROLE "regress tiktok shop";
GRANT CREATE, USAGE ON SCHEMA public TO regress_tiktok_admin, "regress tiktok shop";

-- grants are for who can give them
SET ROLE regress_tiktok_admin;
SELECT tiktok.grant_admin('regress_tiktok_admin');
RESET ROLE;
SELECT tiktok.grant_reader(NULL);
SELECT tiktok.revoke_all(NULL);
SELECT tiktok.grant_reader('nobody_of_that_name');
SELECT tiktok.grant_reader(4294967295::oid::regrole);
SELECT tiktok.revoke_all(4294967295::oid::regrole);

SELECT tiktok.grant_reader('regress_tiktok_reader'), tiktok.grant_tracker('regress_tiktok_tracker'), tiktok.grant_admin('regress_tiktok_admin');

-- every object, and what each may do with it; a stranger may do nothing
CREATE VIEW pg_temp.acl AS
SELECT o.kind, o.object, a.grantee::regrole::text AS role, a.privilege_type
FROM (
	SELECT 'schema' AS kind, nspname::text AS object, nspacl AS acl FROM pg_namespace WHERE nspname IN ('tiktok', 'tiktok_internal')
	UNION ALL
	SELECT CASE relkind WHEN 'r' THEN 'table' WHEN 'v' THEN 'view' WHEN 'S' THEN 'sequence' ELSE relkind::text END, replace(oid::regclass::text, 'tiktok.', ''), relacl
	FROM pg_class WHERE relnamespace IN ('tiktok'::regnamespace, 'tiktok_internal'::regnamespace) AND relkind NOT IN ('i', 'I', 't')
	UNION ALL
	SELECT 'column', c.relname || '.' || attname, attacl
	FROM pg_class c JOIN pg_attribute ON attrelid = c.oid WHERE relnamespace IN ('tiktok'::regnamespace, 'tiktok_internal'::regnamespace) AND attacl IS NOT NULL
	UNION ALL
	SELECT 'routine', replace(oid::regprocedure::text, 'tiktok.', ''), proacl
	FROM pg_proc WHERE pronamespace IN ('tiktok'::regnamespace, 'tiktok_internal'::regnamespace)) o
LEFT JOIN LATERAL (SELECT * FROM aclexplode(o.acl) x WHERE x.grantee <> (SELECT extowner FROM pg_extension WHERE extname = 'tiktok_events')) a ON true;
SELECT kind, object,
	string_agg(left(privilege_type, 1), '' ORDER BY privilege_type) FILTER (WHERE role = 'regress_tiktok_reader') AS reader,
	string_agg(left(privilege_type, 1), '' ORDER BY privilege_type) FILTER (WHERE role = 'regress_tiktok_tracker') AS tracker,
	string_agg(left(privilege_type, 1), '' ORDER BY privilege_type) FILTER (WHERE role = 'regress_tiktok_admin') AS admin,
	string_agg(left(privilege_type, 1), '' ORDER BY privilege_type) FILTER (WHERE role NOT LIKE 'regress%') AS others
FROM pg_temp.acl GROUP BY 1, 2 ORDER BY kind COLLATE "C", object COLLATE "C";

-- what the list names is what there is, and nothing of it can be used to read identifiers or tokens
SELECT DISTINCT role, object FROM tiktok_internal.privilege() WHERE object ~ '\.(event|identity|access_token|reporting_token|test_code|request|delivery|retry)$';

-- Functions with their owner's rights: none that is for nobody, and each with a search path
SELECT p.oid::regprocedure FROM pg_proc p WHERE pronamespace IN ('tiktok'::regnamespace, 'tiktok_internal'::regnamespace) AND prosecdef
	AND NOT coalesce('search_path=pg_catalog, pg_temp' = ANY (proconfig), false);

-- each does its work
CREATE FUNCTION pg_temp.try(statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE statement;
	RETURN 'ok';
EXCEPTION WHEN OTHERS THEN
	RETURN sqlstate;
END $$;
SET ROLE regress_tiktok_admin;
INSERT INTO tiktok.source (name, event_source, event_source_id) VALUES ('grants', 'web', 'C1'), ('gone', 'web', 'C2');
UPDATE tiktok.source SET batch_size = 10 WHERE name = 'grants';
DELETE FROM tiktok.source WHERE name = 'gone';
INSERT INTO tiktok.lead_stage VALUES ('grants', 'won', 'Purchase');
INSERT INTO tiktok.weekly_floor VALUES ('grants', 'Purchase', 50);
INSERT INTO tiktok.platform_count (source, day, event) VALUES ('grants', '2026-01-01', 'Purchase');
INSERT INTO tiktok.source_of_truth VALUES ('grants', 'Purchase', 'public.grant_orders');
DELETE FROM tiktok.source_of_truth;
SELECT tiktok.set_access_token('grants', 'secret'), tiktok.set_test_code('grants', 'TEST1'), tiktok.pause('grants'), tiktok.confirm_database();
SELECT status, pg_temp.try(statement) FROM (VALUES
	('reads a token', 'SELECT token FROM tiktok.access_token'), ('reads a test code', 'TABLE tiktok.test_code'), ('reads identifiers', 'TABLE tiktok.identity'),
	('reads payloads', 'SELECT payload FROM tiktok.event'), ('writes events', 'DELETE FROM tiktok.event'), ('empties', 'TRUNCATE tiktok.source'),
	('adds a trigger', 'CREATE TRIGGER t AFTER INSERT ON tiktok.source FOR EACH ROW EXECUTE FUNCTION tiktok.track_row(''grants'', ''Purchase'')'),
	('refers to', 'CREATE TABLE public.child (id int REFERENCES tiktok.source (id))'),
	('adds a rule', 'CREATE RULE r AS ON INSERT TO tiktok.source DO NOTHING'), ('adds a policy', 'CREATE POLICY p ON tiktok.source'),
	('adds an index', 'CREATE INDEX ON tiktok.source (lower(name))'), ('inherits', 'CREATE TABLE public.child () INHERITS (tiktok.event)'),
	('makes an object', 'CREATE TABLE tiktok.mine ()')) v (status, statement);

-- of an admin's trigger the owner of the table need not know anything
SET ROLE "regress tiktok shop";
CREATE TABLE public.grant_orders (no text PRIMARY KEY, total numeric, email text, at timestamptz DEFAULT now());
GRANT TRIGGER, SELECT ON public.grant_orders TO regress_tiktok_admin;
SELECT pg_temp.try($$CREATE TRIGGER t AFTER INSERT ON public.grant_orders FOR EACH ROW EXECUTE FUNCTION tiktok.track_row('grants', 'Purchase')$$);
SET ROLE regress_tiktok_admin;
SELECT tiktok.create_trigger('public.grant_orders', 'grants', 'Purchase',
	'{"event_id": "no", "value": "total", "currency": "''EUR''", "email": "email", "url": "''https://example.com/''", "event_time": "at"}', name => 'report');
SET ROLE "regress tiktok shop";
INSERT INTO public.grant_orders VALUES ('S1', 10, 'ana@example.com');
UPDATE public.grant_orders SET total = 11;
SELECT what, pg_temp.try(statement) FROM (VALUES
	('event_status', 'SELECT FROM tiktok.event_status'), ('event', 'SELECT FROM tiktok.event'), ('identity', 'SELECT FROM tiktok.identity'),
	('track', $$SELECT tiktok.track('grants', 'Purchase', 'x')$$), ('track_row', 'SELECT tiktok.track_row()'), ('purge', 'SELECT tiktok.purge()'),
	('normalize', $$SELECT tiktok.normalize_email('a@example.com')$$)) v (what, statement);

SET ROLE regress_tiktok_reader;
SELECT pg_temp.try(format('SELECT * FROM tiktok.%I', relname)) AS read, count(*) > 4 AS views
FROM pg_class WHERE relnamespace = 'tiktok'::regnamespace AND relkind = 'v' GROUP BY 1;
SELECT source, event_id, status FROM tiktok.event_status WHERE source = 'grants';
SELECT count(*) > 3 AS health FROM tiktok.health();
SELECT tiktok.report_html(now() - interval '1 day', now()) LIKE '<!DOCTYPE html>%' AS report, tiktok.report_html(now() - interval '1 day', now(), 'grants') ~ 'permission denied' AS denied;
SELECT count(*) AS checklist FROM tiktok.checklist('grants');
SELECT count(*) AS failure_modes FROM tiktok.failure_modes('grants');
SELECT count(*) AS reconcile FROM tiktok.reconcile('grants', now() - interval '1 day', now() + interval '1 day');
SELECT count(*) AS differences FROM tiktok.differences('grants', now() - interval '1 day', now() + interval '1 day');
SELECT count(*) AS bridge FROM tiktok.bridge('grants', now() - interval '1 day', now() + interval '1 day');
SELECT what, pg_temp.try(statement) FROM (VALUES
	('explain_code', 'SELECT tiktok.explain_code(40002)'), ('self_test', 'SELECT tiktok.self_test()'),
	('track', $$SELECT tiktok.track('grants', 'Purchase', 'x')$$), ('retry', 'SELECT tiktok.retry(1)'), ('wait', $$SELECT tiktok.wait('0')$$),
	('identity', 'SELECT FROM tiktok.identity'), ('source', 'SELECT FROM tiktok.source'), ('request', 'SELECT FROM tiktok.request'), ('grant', $$SELECT tiktok.grant_reader('regress_tiktok_reader')$$)) v (what, statement);

SET ROLE regress_tiktok_tracker;
SELECT tiktok.track('grants', 'ViewContent', 'T1', user_data => '{"email": "ana@example.com"}', page => '{"url": "https://example.com/"}') IS NOT NULL AS tracked,
	tiktok.preview('grants', 'ViewContent', 'T1', user_data => '{"email": "ana@example.com"}', page => '{"url": "https://example.com/"}') IS NOT NULL AS previewed;
SELECT tiktok.pixel_event('grants', 'ViewContent', 'T1') LIKE 'ttq.identify%' AS pixel_event, tiktok.pixel_base_code('grants') IS NOT NULL AS base_code,
	tiktok.hash_email('ana@example.com') IS NOT NULL AS hashed;
SELECT tiktok.wait('0'), tiktok.pixel_seen('grants', 'ViewContent', 'T1');
SELECT what, pg_temp.try(statement) FROM (VALUES
	('event_status', 'SELECT FROM tiktok.event_status'), ('backlog', 'SELECT FROM tiktok.backlog'), ('discard', $$SELECT tiktok.discard('grants')$$),
	('forget', $$SELECT tiktok.forget(email => 'ana@example.com')$$)) v (what, statement);

SET ROLE regress_tiktok_admin;
SELECT tiktok.discard('grants'), tiktok.retry('grants'), tiktok.forget(email => 'ana@example.com'), tiktok.withdraw_consent('grants', 'S1'), tiktok.purge(), tiktok.resume('grants');
SELECT event_id, problem FROM tiktok.check_rows('public.grant_orders', 'report');
CALL tiktok.backfill('public.grant_orders', 'report', $$no = 'none'$$);
CALL tiktok.backfill('public.grant_orders', 'report');
SELECT count(*) FROM tiktok.backfill_progress;
RESET ROLE;

-- taken back, nothing is left, not even what was granted by hand
GRANT SELECT (id), UPDATE ON tiktok.event TO regress_tiktok_reader;
GRANT USAGE ON SEQUENCE tiktok.event_id_seq TO regress_tiktok_reader;
SELECT tiktok.revoke_all('regress_tiktok_reader'), tiktok.revoke_all('regress_tiktok_tracker'), tiktok.revoke_all('regress_tiktok_admin');
SELECT * FROM pg_temp.acl WHERE role LIKE 'regress%';

DROP TABLE public.grant_orders;
REVOKE ALL ON SCHEMA public FROM regress_tiktok_admin, "regress tiktok shop";
DROP ROLE regress_tiktok_reader, regress_tiktok_tracker, regress_tiktok_admin, "regress tiktok shop";
TRUNCATE tiktok.retry, tiktok.event, tiktok.identity, tiktok.delivery, tiktok.backfill_progress, tiktok.pixel_seen;
DELETE FROM tiktok.source;
