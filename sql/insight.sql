-- The views of insight: what they count, that test events count nowhere, and that a part of the time is found by the index.
\set SHOW_CONTEXT never
SET TimeZone = 'UTC';
SET IntervalStyle = 'postgres';
SET client_min_messages = warning;

-- every view and column is described
SELECT c.relname, a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
WHERE c.relnamespace = 'tiktok'::regnamespace AND c.relname IN ('request_log', 'delivery_stats', 'match_key_coverage', 'lateness', 'value_problems',
	'stage_coverage', 'dedup_overlap', 'volume_floor', 'pixel_seen', 'weekly_floor', 'platform_count', 'source_of_truth')
AND col_description(c.oid, a.attnum) IS NULL;

-- the bits of match_keys are those of the identifiers
INSERT INTO tiktok.source (id, name, event_source, event_source_id) VALUES (801, 'shop', 'web', 'C1'), (802, 'app', 'app', '75001'), (803, 'crm', 'crm', '74001'), (804, 'till', 'offline', '74002');
CREATE TABLE identifier (key text, value text);
INSERT INTO identifier VALUES ('email', '"a@example.com"'), ('phone', '"+4930123456"'), ('external_id', '"c1"'), ('ttclid', '"E.C.P.abc"'), ('ttp', '"01JEXAMPLETTP"'), ('ip', '"203.0.113.9"'),
	('user_agent', '"Mozilla/5.0"'), ('locale', '"de-DE"'), ('idfa', '"EA7583CD-A667-48BC-B806-42ECB2B48606"'), ('idfv', '"EA7583CD-A667-48BC-B806-42ECB2B48607"'),
	('gaid', '"ea7583cd-a667-48bc-b806-42ecb2b48608"'), ('att_status', '"AUTHORIZED"'), ('first_name', '"Ana"'), ('last_name', '"Lima"'), ('city', '"Berlin"'), ('state', '"Berlin"'),
	('country', '"de"'), ('zip_code', '"10115"');
SELECT count(CASE s.event_source
	WHEN 'web' THEN tiktok.track(s.name, 'Contact', i.key, user_data => ('{"external_id": "c1", "' || i.key || '": ' || i.value || '}')::jsonb, page => '{"url": "https://shop.example.com/"}')
	WHEN 'app' THEN tiktok.track(s.name, 'Login', i.key, user_data => ('{"email": "a@example.com", "' || i.key || '": ' || i.value || '}')::jsonb, app => '{"app_id": "1"}')
	WHEN 'crm' THEN tiktok.track(s.name, 'Contact', i.key, user_data => ('{"' || i.key || '": ' || i.value || '}')::jsonb, lead => '{"lead_id": "7"}')
	ELSE tiktok.track(s.name, 'Contact', i.key, user_data => ('{"email": "a@example.com", "' || i.key || '": ' || i.value || '}')::jsonb) END)
FROM tiktok.source s, identifier i;
-- each is counted under its own name where the source takes it, besides the one that every event has
SELECT c.source, string_agg(c.match_key || ' ' || c.with_key, ', ' ORDER BY k.bit) AS with_key, min(c.events), max(c.events)
FROM (SELECT source, match_key, sum(with_key) AS with_key, sum(events) AS events FROM tiktok.match_key_coverage GROUP BY 1, 2) c JOIN tiktok_internal.match_key k USING (match_key) GROUP BY 1 ORDER BY 1;
SELECT i.key, k.bit FROM identifier i LEFT JOIN tiktok_internal.match_key k ON k.match_key = i.key
WHERE NOT EXISTS (SELECT FROM tiktok.event e WHERE e.event_id = i.key AND e.source_id IN (801, 802) AND e.match_keys & (1 << k.bit) <> 0);
-- the view takes the same sources for each as C, and has no other identifiers
SELECT s.name AS source, k.match_key FROM tiktok.source s, tiktok_internal.match_key k
WHERE (s.event_source = ANY (k.event_sources)) <>
	EXISTS (SELECT FROM tiktok.event e WHERE e.source_id = s.id AND e.event_id = k.match_key AND e.match_keys & (1 << k.bit) <> 0);
-- what is strong is enough alone (a CRM event has its lead_id)
CREATE TABLE alone (source text, key text);
DO $$
DECLARE
	c record;
BEGIN
	FOR c IN SELECT s.name, s.event_source, i.key, format('{"%s": %s}', i.key, i.value)::jsonb AS user_data
			FROM tiktok.source s, identifier i WHERE s.event_source <> 'crm' LOOP
		BEGIN
			PERFORM tiktok.track(c.name, 'AddToWishlist', 'only ' || c.key, user_data => c.user_data,
				page => CASE c.event_source WHEN 'web' THEN '{"url": "https://shop.example.com/"}'::jsonb END,
				app => CASE c.event_source WHEN 'app' THEN '{"app_id": "1"}'::jsonb END);
			INSERT INTO alone VALUES (c.name, c.key);
		EXCEPTION WHEN OTHERS THEN
			IF SQLERRM NOT LIKE '%no_match_key' THEN
				RAISE;
			END IF;
		END;
	END LOOP;
END
$$;
SELECT s.name AS source, k.match_key FROM tiktok.source s, tiktok_internal.match_key k
WHERE s.event_source <> 'crm' AND (k.is_strong AND s.event_source = ANY (k.event_sources)) <> ((s.name, k.match_key) IN (TABLE alone));
DROP TABLE identifier, alone;
TRUNCATE tiktok.event, tiktok.identity, tiktok.delivery;

-- Two hours of a shop, by the clock of the server
INSERT INTO tiktok.event (id, source_id, event, event_id, event_time, enqueued_at, value, currency, match_keys, payload, test_code) VALUES
	(8001, 801, 'Purchase', 'A1', '2026-03-01 10:00:00', '2026-03-01 10:00:01', 10, 'EUR', 3, '{}', NULL),
	(8002, 801, 'Purchase', 'A2', '2026-03-01 10:10:00', '2026-03-01 10:10:01', 20, 'EUR', 1, '{}', NULL),
	(8003, 801, 'Purchase', 'A3', '2026-03-01 10:20:00', '2026-03-01 10:20:01', 30, 'EUR', 1, '{}', NULL),
	(8004, 801, 'Purchase', 'A4', '2026-03-01 10:30:00', '2026-03-01 10:30:01', 40, 'EUR', 8, '{}', NULL),
	(8005, 801, 'Purchase', 'A5', '2026-03-01 10:40:00', '2026-03-01 10:40:01', 50, 'EUR', 0, NULL, NULL),
	(8006, 801, 'Purchase', 'A6', '2026-03-01 10:50:00', '2026-03-01 10:50:01', 60, 'USD', 1, '{}', NULL),
	(8007, 801, 'Purchase', 'A7', '2026-03-01 10:59:59', '2026-03-01 10:59:59.999999', NULL, NULL, 1, '{}', NULL),
	(8008, 801, 'Purchase', 'A8', '2026-03-01 11:00:00', '2026-03-01 11:00:00', 0, 'EUR', 1, '{}', NULL),
	(8009, 801, 'Purchase', 'A9', '2026-03-01 11:00:01', '2026-03-01 11:00:01', 90, 'EUR', 1, '{}', NULL),
	(8010, 801, 'Contact', 'A1', '2026-03-01 11:00:02', '2026-03-01 11:00:02', NULL, NULL, 1, '{}', NULL),
	(8011, 801, 'Purchase', 'T1', '2026-03-01 11:00:03', '2026-03-01 11:00:03', 1000, 'EUR', 1, '{}', 'TEST1'),
	(8012, 801, 'Purchase', 'T2', '2026-03-01 11:00:03', '2026-03-01 11:00:03', 1000, 'EUR', 0, NULL, ''),
	(8013, 0, 'Purchase', 'G1', '2026-03-01 11:00:04', '2026-03-01 11:00:04', NULL, NULL, 0, NULL, NULL),
	(8014, 801, 'Purchase', 'A10', '2026-02-01 11:00:04', '2026-03-01 11:00:05', 5, 'EUR', 1, '{}', NULL),
	(8015, 801, 'Purchase', 'A11', '2026-03-01 11:00:06', '2026-03-01 11:00:06', 5, 'EUR', 1, '{}', NULL),
	(8016, 801, 'Purchase', 'A12', '2026-03-01 11:00:06', '2026-03-01 11:00:06', NULL, 'EUR', 0, NULL, NULL);
INSERT INTO tiktok.request (id, source_id, started_at, finished_at, events, first_xid, first_id, last_xid, last_id, http_status, code, message, request_id, outcome, bytes, is_test) VALUES
	(8001, 801, '2026-03-01 10:00:03', '2026-03-01 10:00:03.5', 3, '0', 0, '0', 0, 200, 0, 'OK', 'R1', 'delivered', 900, false),
	(8002, 801, '2026-03-01 11:00:03', NULL, 1, '0', 0, '0', 0, NULL, NULL, NULL, NULL, NULL, 300, true);
INSERT INTO tiktok.delivery (id, request_id, status, reason, at) VALUES
	(8001, 8001, 'delivered', NULL, '2026-03-01 10:00:03'), (8002, 8001, 'delivered', NULL, '2026-03-01 10:10:05'), (8003, 8001, 'delivered', NULL, '2026-03-01 10:30:00'),
	(8004, 8001, 'rejected', 'code 40002', '2026-03-01 10:31:00'), (8005, NULL, 'invalid', 'currency', '2026-03-01 10:40:01'), (8006, 8001, 'delivered', NULL, '2026-03-03 10:50:00'),
	(8007, NULL, 'discarded', NULL, '2026-03-01 12:00:00'), (8008, 8001, 'uncertain', NULL, '2026-03-03 12:00:00'), (8011, 8002, 'delivered', NULL, '2026-03-01 11:00:04'),
	(8012, NULL, 'invalid', 'test_code', '2026-03-01 11:00:03'), (8013, NULL, 'invalid', 'source', '2026-03-01 11:00:04'), (8014, NULL, 'expired', 'max_event_age', '2026-03-01 11:00:05'),
	(8016, NULL, 'invalid', 'value_syntax', '2026-03-01 11:00:06');
INSERT INTO tiktok.retry (id, source_id, attempts, first_attempt_at, next_attempt_at) VALUES (8009, 801, 1, '2026-03-01 11:00:02', 'infinity');

SELECT source, started_at, duration, events, outcome, http_status, code, message, request_id, bytes, is_test FROM tiktok.request_log WHERE id > 8000 ORDER BY id;
SELECT to_char(hour, 'DD HH24:MI') AS hour, source, event, currency AS cur, events AS n, pending AS p, retrying AS rt, delivered AS d, rejected AS rj, invalid AS i, suppressed AS s, expired AS e,
	uncertain AS u, discarded AS dc, value, value_delivered AS good, value_not_accepted AS bad, p50, p95, p99 FROM tiktok.delivery_stats ORDER BY 1, 2, 3, 4;
SELECT to_char(hour, 'DD HH24:MI') AS hour, event, match_key, events, with_key, share FROM tiktok.match_key_coverage WHERE match_key IN ('email', 'phone', 'ttclid', 'ip') ORDER BY 1, 2, 3;
SELECT to_char(hour, 'DD HH24:MI') AS hour, source, event, bucket, lateness, over_5_minutes, over_48_hours, events FROM tiktok.lateness ORDER BY hour, event, bucket;
SELECT to_char(hour, 'DD HH24:MI') AS hour, id, event_id, status, problem, value, currency, hint FROM tiktok.value_problems ORDER BY id;
-- the limits of the buckets
WITH e AS (
	INSERT INTO tiktok.event (id, source_id, event, event_id, event_time, enqueued_at, payload)
	SELECT 8050 + n, 804, 'Contact', a::text, '2026-03-05 10:00', '2026-03-05 10:00', '{}'
	FROM unnest('{-1 s,9.999 s,10 s,59.999 s,1 min,4 min 59.999 s,5 min,59 min 59.999 s,1 h,6 h,24 h,47 h 59 min 59.999 s,48 h,6 d 23 h,7 d,100 d}'::interval[]) WITH ORDINALITY AS u (a, n)
	RETURNING id, event_time + event_id::interval AS at)
INSERT INTO tiktok.delivery (id, request_id, status, at) SELECT id, 0, 'delivered', at FROM e;
SELECT bucket, lateness, over_5_minutes, over_48_hours, events FROM tiktok.lateness WHERE source = 'till' ORDER BY bucket;
DELETE FROM tiktok.event WHERE source_id = 804;

-- the Pixel: same name and event_id; another name; nothing; long apart; reported twice; an event of tests
SELECT tiktok.pixel_seen('shop', 'Purchase', 'A1', '2026-03-01 10:00:00'), tiktok.pixel_seen('shop', 'Purchase', 'A1', '2026-03-01 10:05:00'), tiktok.pixel_seen('shop', 'CompletePayment', 'A2', '2026-03-01 10:10:00'),
	tiktok.pixel_seen('shop', 'Purchase', 'B3', '2026-03-01 10:20:00'), tiktok.pixel_seen('shop', 'Purchase', 'A6', '2026-03-01 10:49:59'), tiktok.pixel_seen('shop', 'Purchase', 'T1', '2026-03-01 11:00:03'),
	tiktok.pixel_seen('shop', 'Contact', 'A1', '2026-03-01 10:00:00'), tiktok.pixel_seen('shop', 'Purchase', 'A5', '2026-03-01 10:40:00') \g /dev/null
SELECT event, event_id, seen_at FROM tiktok.pixel_seen WHERE event_id = 'A1' ORDER BY 1;
SELECT to_char(hour, 'DD HH24:MI') AS hour, source, event, browser, server, matched, other_name, over_48_hours FROM tiktok.dedup_overlap ORDER BY 1, 3;
\set VERBOSITY terse
SELECT tiktok.pixel_seen('nobody', 'Purchase', 'A1');
SELECT tiktok.pixel_seen('shop', 'Purchase', '');
SELECT tiktok.pixel_seen('shop', NULL, 'A1');
SELECT tiktok.pixel_seen('shop', 'Purchase', 'now', NULL);
SELECT count(*) FROM tiktok.pixel_seen WHERE event_id = 'now' AND seen_at > now() - interval '1 min';
-- readers see neither a person in an id nor an error because of a time
BEGIN;
TRUNCATE tiktok.pixel_seen;
SELECT tiktok.pixel_seen('shop', event, id, at::timestamptz) FROM (VALUES ('Purchase', 'anna%40example.com', 'infinity'), ('anna@example.com', '+49 170 1234567', '-infinity'),
	('Purchase', 'late', '294276-12-31 23:59:59+00'), ('Purchase', 'early', '4714-11-24 00:00:00+00 BC'), ('Purchase', 'SO-4711', '2026-03-01 10:00:00')) v (event, id, at) \g /dev/null
SELECT event, event_id, CASE WHEN seen_at > now() THEN 'tomorrow' ELSE seen_at::text END AS seen_at FROM tiktok_internal.pixel_match ORDER BY event_id COLLATE "C";
SELECT sum(browser) FROM tiktok.dedup_overlap;
SELECT count(*) > 0 AS checked FROM tiktok.checklist('shop');
ROLLBACK;
\set VERBOSITY default

-- stages of leads, and volume, look back from now
CREATE TABLE leads (id int PRIMARY KEY, stage text);
CREATE TRIGGER tiktok AFTER INSERT ON leads FOR EACH ROW EXECUTE FUNCTION tiktok.track_row('crm', '=stage', 'lead_id=id');
INSERT INTO leads VALUES (1, 'lost'), (2, 'lost'), (3, 'asleep');
DROP TABLE leads;
BEGIN;
INSERT INTO tiktok.lead_stage VALUES ('crm', 'new', 'Lead', 1), ('crm', 'hot', 'Qualified', 3), ('crm', 'warm', 'Qualified', 2), ('crm', 'won', 'Purchase', 4);
INSERT INTO tiktok.event (id, source_id, event, event_id, event_time, enqueued_at, payload, test_code)
	SELECT 8100 + g, 803, CASE WHEN g <= 20 THEN 'Lead' WHEN g <= 30 THEN 'Qualified' WHEN g <= 32 THEN 'Unmapped' ELSE 'Lead' END, 'L' || g, now() - interval '1 day', now() - interval '1 day', '{}',
		CASE WHEN g > 32 THEN 'TEST1' END FROM generate_series(1, 40) g;
INSERT INTO tiktok.event (id, source_id, event, event_id, event_time, enqueued_at, payload)
	SELECT 8200 + g, 803, 'Purchase', 'old' || g, now() - interval '40 days', now() - interval '40 days', '{}' FROM generate_series(1, 3) g;
INSERT INTO tiktok.delivery (id, request_id, status, reason, at)
	SELECT 8100 + g, 0, CASE WHEN g <= 2 THEN 'invalid' ELSE 'delivered' END, CASE WHEN g <= 2 THEN 'lead_id_missing' END, now() - interval '1 day' + g * interval '1 min' FROM generate_series(1, 28) g
	UNION ALL SELECT 8200 + g, 0, 'delivered', NULL, now() - interval '40 days' FROM generate_series(1, 3) g;
SELECT source, position, stages, event, events, delivered, waiting, not_delivered, lead_id_missing, now() - interval '1 day' - last_delivered_at AS last, lag, no_mapping > 0 AS no_mapping
FROM tiktok.stage_coverage ORDER BY 1, 2, 4, 3;
INSERT INTO tiktok.weekly_floor VALUES ('crm', 'Qualified', 5), ('crm', 'Purchase', 1);
SELECT * FROM tiktok.volume_floor ORDER BY 1, 2;
COMMIT;

-- a condition on the hour reaches the index, in each view that has one
INSERT INTO tiktok.event (id, source_id, event, event_id, event_time, enqueued_at)
	SELECT 1000000 + g, 801, 'Contact', 'C' || g, now(), now() - interval '40 days' + g * interval '2 min' FROM generate_series(1, 28800) g;
VACUUM ANALYZE tiktok.event, tiktok.pixel_seen;
CREATE FUNCTION pg_temp.uses(query text, index text, OUT by_index boolean, OUT by_table boolean) LANGUAGE plpgsql AS $$
DECLARE
	line text;
BEGIN
	by_index := false;
	by_table := false;
	FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP
		by_index := by_index OR line ~ format('Index (Only )?Scan (on|using) %s\M', index);
		by_table := by_table OR line ~ 'Seq Scan on event\M';
	END LOOP;
END $$;
SELECT v, u.* FROM unnest('{delivery_stats,match_key_coverage,lateness,value_problems,dedup_overlap}'::text[]) v,
	pg_temp.uses(format('SELECT * FROM tiktok.%s WHERE hour >= now() - interval ''24 hours''', v), 'event_hour') u;
-- and what is pending is found behind the cursor
SELECT * FROM pg_temp.uses('SELECT source, pending FROM tiktok.backlog', 'event_queue');

-- a stranger may not even report; who may, needs nothing else
CREATE ROLE regress_tiktok_tracker;
SET ROLE regress_tiktok_tracker;
SELECT tiktok.pixel_seen('shop', 'Purchase', 'R1');
RESET ROLE;
GRANT USAGE ON SCHEMA tiktok TO regress_tiktok_tracker;
GRANT EXECUTE ON FUNCTION tiktok.pixel_seen TO regress_tiktok_tracker;
SET ROLE regress_tiktok_tracker;
SELECT tiktok.pixel_seen('shop', 'Purchase', 'R1');
SELECT count(*) FROM tiktok.pixel_seen;
RESET ROLE;
DROP OWNED BY regress_tiktok_tracker;
DROP ROLE regress_tiktok_tracker;

TRUNCATE tiktok.retry, tiktok.event, tiktok.identity, tiktok.delivery, tiktok.request;
DELETE FROM tiktok.source;
