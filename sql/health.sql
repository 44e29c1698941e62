-- tiktok.health(): what keeps events from TikTok, each check provoked; and who may look.
\set SHOW_CONTEXT never
SET TimeZone = 'UTC';
SET client_min_messages = warning;
SET IntervalStyle = 'postgres';
SET DateStyle = 'ISO';
CREATE FUNCTION pg_temp.masked(given text) RETURNS text LANGUAGE sql AS $$
	SELECT regexp_replace(regexp_replace(given, '\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\+00', 'TIME', 'g'), 'process \d+|\d\d:\d\d:\d\d|\d+(?= events had)|\d+ s$', 'N', 'g')
$$;
CREATE VIEW pg_temp.health AS SELECT check_name, state, pg_temp.masked(detail) AS detail, pg_temp.masked(hint) AS hint FROM tiktok.health();
CREATE FUNCTION pg_temp.wait_for_worker(yes boolean) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1..600 LOOP
		IF yes = EXISTS (SELECT FROM tiktok.worker_status WHERE database = current_database() AND pid IS NOT NULL) THEN
			RETURN true;
		END IF;
		PERFORM pg_sleep(0.1);
	END LOOP;
	RETURN false;
END $$;

-- Nothing yet
SELECT pg_temp.wait_for_worker(true);
SELECT check_name, state, hint FROM pg_temp.health WHERE check_name IN ('preload', 'worker', 'enabled', 'sources', 'foreign_objects');

-- The worker finds a source without a token by itself
INSERT INTO tiktok.source (id, name, event_source, event_source_id) VALUES (601, 'shop', 'web', 'C1');
SELECT check_name, state, detail, hint FROM pg_temp.health WHERE check_name = 'unused';
CREATE TABLE orders (id int PRIMARY KEY);
CREATE TRIGGER tiktok AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION tiktok.track_row('shop', 'ViewContent', 'external_id=id', 'url=''https://shop.example.com/''');
SELECT check_name, state, detail, hint FROM pg_temp.health WHERE check_name = 'unused';
INSERT INTO orders VALUES (1);
DO $$
BEGIN
	FOR i IN 1..600 LOOP
		EXIT WHEN EXISTS (SELECT FROM tiktok.backlog WHERE source = 'shop' AND state = 'no_token');
		PERFORM pg_sleep(0.1);
		COMMIT;
	END LOOP;
END $$;
SELECT * FROM pg_temp.health WHERE check_name IN ('source', 'unused', 'backlog');

-- Without the worker, states are as it left them
ALTER SYSTEM SET tiktok_events.databases = 'none_of_these';
SELECT pg_reload_conf();
SELECT pg_temp.wait_for_worker(false);
SELECT * FROM pg_temp.health WHERE check_name = 'worker';
INSERT INTO tiktok.source (id, name, event_source, event_source_id, enabled) VALUES (602, 'copy', 'web', 'C2', true), (603, 'down', 'web', 'C3', true), (604, 'quiet', 'web', 'C4', true),
	(605, 'off', 'web', 'C5', false), (606, 'file', 'web', 'C6', true), (607, 'good', 'web', 'C7', true);
INSERT INTO tiktok.event (source_id, event, event_id, event_time, enqueued_at, payload) SELECT g, 'Contact', 'first', now(), now(), NULL FROM generate_series(602, 607) g;
INSERT INTO tiktok.delivery (id, status, at) SELECT id, 'suppressed', now() FROM tiktok.event WHERE event_id = 'first';
DELETE FROM tiktok.source_state;
INSERT INTO tiktok.source_state VALUES (602, 'copied', now(), 'this database is a copy', NULL), (603, 'open', now(), 'stop_credential: code 40105', now() + interval '1 hour'),
	(606, 'no_token', now(), 'access token file: open to group or others', NULL);
SELECT tiktok.pause('quiet', 'sale');
SELECT * FROM pg_temp.health WHERE check_name = 'source' ORDER BY detail;
-- the reasons that the worker gives
BEGIN;
CREATE TEMP TABLE reason (reason text);
INSERT INTO reason VALUES ('stop_configuration: code 40001'), ('throttle: code 40100'), ('retry: http 503'), ('stop_endpoint: could not connect: Connection refused'), ('blocked: http 403'), ('refused: code 40002');
DO $$
DECLARE
	r record;
BEGIN
	FOR r IN SELECT * FROM reason LOOP
		UPDATE tiktok.source_state SET reason = r.reason WHERE source_id = 603;
		INSERT INTO reason SELECT r.reason || ': ' || detail || ' | ' || hint FROM pg_temp.health WHERE check_name = 'source' AND detail LIKE '"down"%';
	END LOOP;
END $$;
SELECT reason FROM reason WHERE reason LIKE '%"down"%' ORDER BY 1;
ROLLBACK;
-- the first events of a name are bad, or one of a trigger that does not fit its table
BEGIN;
SELECT count(tiktok.track('good', event, event || g, user_data => '{"external_id": 1}', page => '{"url": "https://shop.example.com/"}')) FROM (VALUES ('Search', 1), ('Lead', 2), ('Contact', 20)) v (event, n), generate_series(1, n) g;
INSERT INTO tiktok.delivery (id, status, reason, at)
	SELECT id, CASE WHEN event_id IN ('Search1', 'Lead1') THEN 'rejected' WHEN event_id = 'Contact18' THEN 'invalid' ELSE 'delivered' END,
		CASE event_id WHEN 'Search1' THEN 'code 40002' WHEN 'Lead1' THEN 'code 40002' WHEN 'Contact18' THEN 'mapping' END, now()
	FROM tiktok.event WHERE source_id = 607 AND event_id ~ '\d$';
SELECT * FROM pg_temp.health WHERE check_name IN ('rejected', 'invalid') AND detail LIKE '"good"%';
ROLLBACK;

-- While nothing is sent: what waits is not invalid
BEGIN;
SELECT count(tiktok.track('good', 'Subscribe', 's' || g, user_data => '{"external_id": 1}', page => '{"url": "https://shop.example.com/"}')) FROM generate_series(1, 30) g;
INSERT INTO tiktok.delivery (id, status, reason, at) SELECT id, 'invalid', 'page_url_missing', now() FROM tiktok.event WHERE source_id = 607 AND event_id IN ('s7', 's8', 's9', 's10');
SELECT * FROM pg_temp.health WHERE check_name = 'invalid' AND detail LIKE '"good"%';
INSERT INTO tiktok.delivery (id, status, reason, at) SELECT id, 'invalid', 'page_url_missing', now() FROM tiktok.event WHERE source_id = 607 AND event_id ~ '^s2.$';
SELECT * FROM pg_temp.health WHERE check_name = 'invalid' AND detail LIKE '"good"%';
ROLLBACK;

-- The key of another event
SELECT count(tiktok.track('good', 'Purchase', 'SO-1', user_data => '{"external_id": 1}', page => '{"url": "https://shop.example.com/"}', properties => jsonb_build_object('value', g, 'currency', 'EUR')))
FROM generate_series(1, 3) g;
SELECT * FROM pg_temp.health WHERE check_name = 'conflict';

-- Age of the backlog
INSERT INTO tiktok.event (source_id, event, event_id, event_time, enqueued_at, payload) VALUES (603, 'Contact', 'b1', now(), now() - interval '2 hours', '{}'), (607, 'Contact', 'b1', now(), now() - interval '10 min', '{}');
INSERT INTO tiktok.retry (id, source_id, attempts, first_attempt_at, next_attempt_at) SELECT id, 607, 1, now(), now() FROM tiktok.event WHERE source_id = 607 AND event_id = 'b1';
SELECT * FROM pg_temp.health WHERE check_name = 'backlog' AND state <> 'ok' ORDER BY detail;

-- Of the newest fifty: rejected, invalid; what is older does not count, nor do tests
INSERT INTO tiktok.event (source_id, event, event_id, event_time, enqueued_at, payload, test_code)
	SELECT s, 'Contact', 'r' || g, now(), now() - CASE WHEN g > 100 THEN interval '3 days' ELSE interval '1 min' END, '{}', CASE WHEN g = 100 THEN 'T' END FROM generate_series(1, 120) g, unnest('{601,607}'::int[]) s ORDER BY g > 100 DESC, g;
INSERT INTO tiktok.delivery (id, request_id, status, reason, at)
	SELECT id, 0, CASE WHEN g = 2 AND source_id = 607 OR g > 80 THEN 'rejected' WHEN g = 3 AND source_id = 607 THEN 'uncertain' WHEN g BETWEEN 60 AND 80 THEN 'invalid' ELSE 'delivered' END,
		CASE WHEN g = 2 THEN 'code 40002' WHEN g = 3 THEN 'too_late' WHEN g > 80 THEN 'code 40055' WHEN g BETWEEN 60 AND 80 THEN CASE WHEN g < 68 THEN 'future' ELSE 'currency' END END, now()
	FROM (SELECT e.*, substr(event_id, 2)::int AS g FROM tiktok.event e WHERE event_id LIKE 'r%') e WHERE source_id = 601 OR g < 60;
INSERT INTO tiktok.event (source_id, event, event_id, event_time, enqueued_at, payload) VALUES (0, 'Contact', 'gone', now(), now(), NULL);
INSERT INTO tiktok.delivery (id, status, reason, at) SELECT id, 'invalid', 'source', now() FROM tiktok.event WHERE event_id = 'gone';
SELECT * FROM pg_temp.health WHERE check_name IN ('rejected', 'invalid', 'source_gone', 'application_clock') AND detail !~ 'copy|down|quiet|off|file' ORDER BY 1, 3;

-- A trigger that is disabled, also in a partition alone, or gone; but not one that was renamed, or whose table is gone
CREATE TABLE sold (id int, event_id text, value numeric, currency text, at timestamptz) PARTITION BY RANGE (id);
CREATE TABLE sold_1 PARTITION OF sold FOR VALUES FROM (1) TO (10);
CREATE TABLE sold_2 PARTITION OF sold FOR VALUES FROM (10) TO (20);
SELECT count(tiktok.create_trigger('sold', 'good', 'ViewContent', '{"event_id": "event_id", "external_id": "id", "url": "''https://shop.example.com/''", "event_time": "at"}', name => n))
FROM unnest('{one,two,three,four,five}'::text[]) n;
SELECT trigger_name, source FROM tiktok.created_trigger WHERE relation = 'sold'::regclass ORDER BY 1;
ALTER TABLE ONLY sold_2 DISABLE TRIGGER one;
DROP TRIGGER two ON sold;
SELECT tiktok.drop_trigger('sold', 'three');
ALTER TRIGGER four ON sold RENAME TO renamed;
ALTER TABLE sold DISABLE TRIGGER five;
SELECT state, detail, hint FROM pg_temp.health WHERE check_name = 'trigger' ORDER BY detail;
ALTER TABLE sold_2 ENABLE TRIGGER one;
ALTER TABLE sold ENABLE TRIGGER five;
DELETE FROM tiktok.created_trigger WHERE relation = 'sold'::regclass AND trigger_name = 'two';
SELECT tiktok.drop_trigger('sold', 'renamed');
SELECT count(*) FROM pg_temp.health WHERE check_name = 'trigger';
SELECT trigger_name FROM tiktok.created_trigger WHERE relation = 'sold'::regclass ORDER BY 1;

-- Silence: eight a day for five weeks, then nothing for six days; a stage of leads; too short, too few, or too young to say
INSERT INTO tiktok.source (id, name, event_source, event_source_id) VALUES (608, 'crm', 'crm', '74001'), (609, 'still', 'web', 'C9');
INSERT INTO tiktok.event (source_id, event, event_id, event_time, enqueued_at)
SELECT s.id, s.event, 's' || g, now(), now() - s.ago - g * s.step
FROM (VALUES (609, 'StartTrial', interval '6 days 30 min', interval '3 hours', 300), (608, 'Qualified_Lead', '6 days 30 min', '3 hours', 300),
	(609, 'Schedule', '3 days', '3 hours', 160), (609, 'Download', '20 days', '5 days', 4), (607, 'Contact_Us', '3 days', '1 hour', 200), (609, 'Search', '20 days', '1 day', 1)) s (id, event, ago, step, n),
	LATERAL generate_series(0, s.n - 1) g
ORDER BY s.ago + g * s.step DESC;
SELECT check_name, state, regexp_replace(detail, 'had \d+', 'had N') AS detail, hint FROM pg_temp.health WHERE check_name IN ('silence', 'stage') ORDER BY 1;
-- where the orders are known, they tell
INSERT INTO tiktok.source_of_truth VALUES ('still', 'StartTrial', 'public.sold');
SELECT count(*) FROM pg_temp.health WHERE check_name = 'silence';
DELETE FROM tiktok.source_of_truth;
DROP TABLE sold;
SELECT count(*) FROM pg_temp.health WHERE check_name = 'trigger';
DELETE FROM tiktok.event WHERE event_id LIKE 's%';

-- Test code, clock, settings
SELECT tiktok.set_test_code('shop', 'TEST1');
INSERT INTO tiktok.request (source_id, started_at, events, first_xid, first_id, last_xid, last_id, bytes) VALUES (607, now() - interval '1 min', 1, '0', 0, '0', 0, 1);
SELECT * FROM pg_temp.health WHERE check_name IN ('test_code', 'clock');
INSERT INTO tiktok.request (source_id, started_at, events, first_xid, first_id, last_xid, last_id, bytes) VALUES (607, now() + interval '1 hour', 1, '0', 0, '0', 0, 1);
ALTER SYSTEM SET tiktok_events.enabled = off;
ALTER SYSTEM SET tiktok_events.endpoint = 'http://127.0.0.1:1/x/';
ALTER SYSTEM SET autovacuum = off;
SELECT pg_reload_conf();
-- a session takes a new configuration between two commands
\set ECHO none
\o /dev/null
SELECT 'SELECT pg_sleep(0.1) WHERE current_setting(''autovacuum'') = ''on''' FROM generate_series(1, 600) \gexec
\o
\set ECHO all
SELECT * FROM pg_temp.health WHERE check_name IN ('clock', 'enabled', 'endpoint', 'autovacuum');

-- Dead rows
ALTER SYSTEM RESET autovacuum;
ALTER TABLE tiktok.retry SET (autovacuum_enabled = off);
INSERT INTO tiktok.retry (id, source_id, attempts, first_attempt_at, next_attempt_at) SELECT 1000000 + g, 0, 1, now(), now() FROM generate_series(1, 150000) g;
DELETE FROM tiktok.retry WHERE source_id = 0;
SELECT pg_stat_force_next_flush();
SELECT pg_reload_conf();
\set ECHO none
\o /dev/null
SELECT 'SELECT pg_sleep(0.1) WHERE current_setting(''autovacuum'') = ''off''' FROM generate_series(1, 600) \gexec
\o
\set ECHO all
SELECT * FROM pg_temp.health WHERE check_name = 'autovacuum';
ALTER TABLE tiktok.retry RESET (autovacuum_enabled);
VACUUM tiktok.retry;

-- What others hang on our tables
CREATE FUNCTION foreigner() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
CREATE TRIGGER spy BEFORE INSERT ON tiktok.event FOR EACH ROW EXECUTE FUNCTION foreigner();
CREATE RULE nothing AS ON DELETE TO tiktok.request DO INSTEAD NOTHING;
SELECT * FROM pg_temp.health WHERE check_name = 'foreign_objects';
DROP RULE nothing ON tiktok.request;
CREATE INDEX harmless ON tiktok.identity ((id + 1));
SELECT * FROM pg_temp.health WHERE check_name = 'foreign_objects';
ALTER TABLE tiktok.event ENABLE ALWAYS TRIGGER spy;
SELECT * FROM pg_temp.health WHERE check_name = 'foreign_objects';
DROP TRIGGER spy ON tiktok.event;
SELECT * FROM pg_temp.health WHERE check_name = 'foreign_objects';
DROP INDEX tiktok.harmless;
DROP FUNCTION foreigner;

ALTER SYSTEM RESET tiktok_events.enabled;
ALTER SYSTEM RESET tiktok_events.endpoint;
ALTER SYSTEM RESET tiktok_events.databases;
SELECT pg_reload_conf();
SELECT pg_temp.wait_for_worker(true);

-- A reader sees the views and checks, and no table behind them
CREATE ROLE regress_tiktok_reader;
SELECT tiktok.grant_reader('regress_tiktok_reader');
CREATE SCHEMA hidden;
CREATE TABLE hidden.truth (event_id text, value numeric, currency text, at timestamptz);
INSERT INTO tiktok.source_of_truth VALUES ('shop', 'Purchase', 'hidden.truth');
SET ROLE regress_tiktok_reader;
SELECT count(*) > 10 FROM tiktok.health();
SELECT count(*) FROM tiktok.failure_modes('shop');
SELECT item, state, evidence, hint FROM tiktok.checklist('shop') WHERE item = 7;
SELECT sum((xpath('/row/n/text()', query_to_xml(format('SELECT count(*) AS n FROM tiktok.%I', v), false, true, '')))[1]::text::int) > 0
FROM unnest('{delivery_stats,match_key_coverage,lateness,value_problems,stage_coverage,dedup_overlap,volume_floor,request_log}'::text[]) v;
SELECT count(*) FROM tiktok.identity;
SELECT count(*) FROM tiktok.event;
RESET ROLE;
DROP SCHEMA hidden CASCADE;
DROP OWNED BY regress_tiktok_reader;
DROP ROLE regress_tiktok_reader;

DROP TABLE orders;
TRUNCATE tiktok.retry, tiktok.event, tiktok.identity, tiktok.delivery, tiktok.request;
DELETE FROM tiktok.source;
DELETE FROM tiktok.source_state;
