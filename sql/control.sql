-- What an operator decides: pause, retry, discard, test codes. Nothing is sent here: no source has a token.
\set SHOW_CONTEXT never
INSERT INTO tiktok.source (id, name, event_source, event_source_id) VALUES (901, 'shop', 'web', 'C1'), (902, 'crm', 'crm', '74003');

CREATE FUNCTION pg_temp.sqlstate_of(call text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	detail text;
	hint text;
	result text;
BEGIN
	EXECUTE 'SELECT ' || call INTO result;
	RETURN concat_ws(' ', 'ok', nullif(result, ''));
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
	RETURN concat_ws(' | ', sqlstate, regexp_replace(sqlerrm, 'event \d+', 'event N'), nullif(detail, ''), nullif(hint, ''));
END $$;

-- An event of shop with an identifier, or of crm without one; its id is its event_id.
CREATE SEQUENCE pg_temp.next_id START 101;
CREATE FUNCTION pg_temp.record(source text, n int) RETURNS bigint LANGUAGE sql AS $$
SELECT count(CASE source
	WHEN 'shop' THEN tiktok.track('shop', 'ViewContent', 'e' || g, user_data => '{"external_id": 1}', page => '{"url": "https://example.com/"}')
	ELSE tiktok.track('crm', 'Won', 'e' || g, lead => '{"lead_id": 7412345678901234567}') END)
FROM (SELECT nextval('pg_temp.next_id') AS g FROM generate_series(1, n)) s
$$;
CREATE FUNCTION pg_temp.id(event_id text) RETURNS bigint LANGUAGE sql AS
	'SELECT id FROM tiktok.event_status s WHERE s.event_id = $1';
CREATE FUNCTION pg_temp.fate(event_id text, status text, request bigint DEFAULT NULL, attempts int DEFAULT NULL,
	first timestamptz DEFAULT NULL, received timestamptz DEFAULT NULL) RETURNS void LANGUAGE sql AS $$
INSERT INTO tiktok.delivery (id, request_id, status, reason, at, attempts, first_attempt_at, possibly_received_at)
	VALUES (pg_temp.id(event_id), request, status, 'code 40002', now(), attempts, first, received);
DELETE FROM tiktok.identity WHERE id = pg_temp.id(event_id) AND status NOT IN ('rejected', 'uncertain');
$$;
-- Where the rows of events are
CREATE VIEW pg_temp.rows AS
SELECT s.event_id, s.status, s.reason, s.attempts, date_trunc('hour', now() - r.possibly_received_at) AS received,
	date_trunc('hour', now() - s.first_attempt_at) AS first, r.next_attempt_at <= now() + '1 s' AS due,
	r.last_request_id IS NOT NULL AS request, s.code, d.id IS NOT NULL AS delivery, i.id IS NOT NULL AS identity
FROM tiktok.event_status s
LEFT JOIN tiktok.delivery d ON d.id = s.id LEFT JOIN tiktok.retry r ON r.id = s.id LEFT JOIN tiktok.identity i ON i.id = s.id;

-- Pause and resume
SELECT pg_temp.sqlstate_of(call) FROM (VALUES
	($$tiktok.pause('nobody')$$), ($$tiktok.pause(NULL)$$), ($$tiktok.resume('nobody')$$), ($$tiktok.resume(NULL)$$)) v(call);
SELECT tiktok.resume('crm');
SELECT tiktok.pause('shop', 'sale'), tiktok.pause('crm');
SELECT source_id, paused, reason FROM tiktok.source_control ORDER BY 1;
SELECT changed_at AS paused_at FROM tiktok.source_control WHERE source_id = 901 \gset
SELECT source, state, reason FROM tiktok.backlog ORDER BY 1;
SELECT tiktok.resume('shop'), tiktok.resume('crm');
SELECT source_id, paused, reason, changed_at > :'paused_at' AS changed FROM tiktok.source_control ORDER BY 1;
SELECT source, state FROM tiktok.backlog WHERE state = 'paused';

-- Retry: what is refused, and why
SELECT pg_temp.record('shop', 9);
INSERT INTO tiktok.request (id, source_id, started_at, finished_at, events, first_xid, first_id, last_xid, last_id, http_status, code, bytes)
	OVERRIDING SYSTEM VALUE VALUES
	(901, 901, now() - interval '2 hours', now(), 1, '0', 0, '0', 0, 200, 40002, 1),
	(902, 901, now() - interval '48 hours', now(), 1, '0', 0, '0', 0, 200, 0, 1);
SELECT pg_temp.fate('e102', 'rejected', 901), pg_temp.fate('e103', 'delivered', 901), pg_temp.fate('e104', 'delivered', 902),
	pg_temp.fate('e105', 'expired'), pg_temp.fate('e106', 'invalid'),
	pg_temp.fate('e107', 'uncertain', 901, 14, now() - interval '50 hours', now() - interval '48 hours'),
	pg_temp.fate('e108', 'uncertain', 901, 3, now() - interval '50 hours', now() - interval '3 hours');
SELECT tiktok.track('shop', 'ViewContent', 'never', consent => false, user_data => '{"external_id": 1}', page => '{"url": "https://example.com/"}') IS NOT NULL AS suppressed;
INSERT INTO tiktok.retry VALUES (pg_temp.id('e109'), 901, 1, now(), now(), now() + interval '1 hour', 901, 50000);
SELECT event_id, pg_temp.sqlstate_of(format('tiktok.retry(%s)', id)) FROM tiktok.event_status
	WHERE source = 'shop' AND event_id NOT IN ('e102', 'e108') ORDER BY event_id;
SELECT pg_temp.sqlstate_of(call) FROM (VALUES
	($$tiktok.retry(0)$$), ($$tiktok.retry(NULL::bigint)$$), ($$tiktok.retry(0, NULL)$$), ($$tiktok.retry(NULL)$$),
	($$tiktok.retry('nobody')$$), ($$tiktok.retry('shop', 'lost')$$), ($$tiktok.retry('shop', 'pending')$$), ($$tiktok.retry('shop', 'invalid')$$),
	($$tiktok.retry('shop', 'delivered')$$)) v(call);
SELECT count(*) FROM tiktok.retry;

-- Retry: one event
SELECT tiktok.retry(pg_temp.id('e102')), tiktok.retry(pg_temp.id('e108'));
SELECT * FROM pg_temp.rows WHERE event_id IN ('e102', 'e108') ORDER BY event_id;
SELECT pg_temp.sqlstate_of(format('tiktok.retry(%s)', pg_temp.id('e102')));

-- allow_double: only what would be a double
SELECT event_id, pg_temp.sqlstate_of(format('tiktok.retry(%s, true)', id)) FROM tiktok.event_status WHERE event_id IN ('e101', 'e103', 'e105', 'e107') ORDER BY 1;
SELECT * FROM pg_temp.rows WHERE event_id = 'e107';
SELECT pg_temp.record('crm', 2);
SELECT pg_temp.fate('e110', 'delivered', 901), pg_temp.fate('e111', 'delivered', 902);
SELECT tiktok.retry(pg_temp.id('e110'), allow_double => true), tiktok.retry(pg_temp.id('e111'), true);
SELECT * FROM pg_temp.rows WHERE event_id IN ('e110', 'e111') ORDER BY event_id;
SELECT tiktok.discard('crm');

-- Retry: a source
SELECT pg_temp.record('shop', 3), pg_temp.record('crm', 3);
SELECT pg_temp.fate('e112', 'rejected', 901), pg_temp.fate('e113', 'rejected', 901), pg_temp.fate('e114', 'uncertain', 902, 2, now(), now() - interval '60 hours'),
	pg_temp.fate('e115', 'rejected', 901), pg_temp.fate('e116', 'expired'), pg_temp.fate('e117', 'delivered', 902);
DELETE FROM tiktok.identity WHERE id = pg_temp.id('e113');
SELECT tiktok.retry('shop') AS shop, tiktok.retry('shop') AS again, tiktok.retry('shop', 'expired') AS expired, tiktok.retry('shop', 'delivered', true) AS delivered,
	tiktok.retry('shop', 'uncertain', allow_double => true) AS uncertain;
SELECT * FROM pg_temp.rows WHERE event_id IN ('e112', 'e113', 'e114') ORDER BY event_id;
SELECT tiktok.retry('crm', 'expired') AS expired, tiktok.retry('crm', 'delivered', true) AS delivered, tiktok.retry('crm', 'discarded', true) AS discarded;
SELECT * FROM pg_temp.rows WHERE event_id >= 'e110' AND event_id NOT IN ('e112', 'e113', 'e114') AND event_id < 'f' ORDER BY event_id;

-- Discard
SELECT event_id, status, pg_temp.sqlstate_of(format('tiktok.discard(%s)', id)) FROM tiktok.event_status
	WHERE event_id IN ('e101', 'e103', 'e105', 'e106', 'e113', 'e114', 'never') ORDER BY event_id;
SELECT pg_temp.sqlstate_of(format('tiktok.discard(%s)', pg_temp.id('e101')));
SELECT pg_temp.sqlstate_of(call) FROM (VALUES
	($$tiktok.discard(0)$$), ($$tiktok.discard(NULL::bigint)$$), ($$tiktok.discard(NULL)$$), ($$tiktok.discard('nobody')$$),
	($$tiktok.discard('shop', 'lost')$$), ($$tiktok.discard('shop', 'delivered')$$)) v(call);
SELECT * FROM pg_temp.rows WHERE event_id IN ('e101', 'e113', 'e114') ORDER BY event_id;
SELECT d.attempts, d.request_id, date_trunc('hour', now() - d.first_attempt_at) AS first, d.possibly_received_at FROM tiktok.delivery d WHERE id = pg_temp.id('e114');

-- one of each, then by source: default, and one status
SELECT pg_temp.record('shop', 4);
SELECT pg_temp.fate('e118', 'rejected', 901), pg_temp.fate('e119', 'uncertain', 901, 2, now(), now() - interval '50 hours');
SELECT status, count(*) FROM tiktok.event_status WHERE source = 'shop' GROUP BY 1 ORDER BY 1;
SELECT tiktok.discard('shop') AS discarded;
SELECT tiktok.discard('shop', 'uncertain') AS uncertain, tiktok.discard('shop', 'rejected') AS rejected, tiktok.discard('shop', 'pending') AS pending;
SELECT status, reason, count(*), count(i.id) AS identities FROM tiktok.event_status s LEFT JOIN tiktok.identity i ON i.id = s.id WHERE source = 'shop' GROUP BY 1, 2 ORDER BY 1, 2;
SELECT count(*) FROM tiktok.retry WHERE source_id = 901;

-- what is on its way may be received
BEGIN;
SELECT pg_temp.record('shop', 1);
INSERT INTO tiktok.request (id, source_id, started_at, events, first_xid, first_id, last_xid, last_id, bytes) OVERRIDING SYSTEM VALUE
	SELECT 903, 901, now() - interval '5 hours', 1, xid, id, xid, id, 1 FROM tiktok.event WHERE id = pg_temp.id('e122');
SELECT tiktok.discard(pg_temp.id('e122'));
SELECT date_trunc('hour', now() - possibly_received_at) AS received FROM tiktok.delivery WHERE id = pg_temp.id('e122');
ROLLBACK;

-- rolled back, it has not happened
BEGIN;
SELECT tiktok.retry('crm', 'discarded') IS NOT NULL AS back, tiktok.discard('crm') > 0 AS discarded;
ROLLBACK;
SELECT status, count(*) FROM tiktok.event_status WHERE source = 'crm' GROUP BY 1 ORDER BY 1;
BEGIN READ ONLY;
SELECT tiktok.discard('crm');
ROLLBACK;

-- Test codes
SELECT pg_temp.sqlstate_of(format('tiktok.set_test_code(%s)', call)) FROM (VALUES
	($$'nobody', 'TEST1'$$), ($$NULL, 'TEST1'$$), ($$'shop', ''$$), ($$'shop', 'TEST 1'$$), ($$'shop', 'TÄST'$$), ($$'shop', repeat('x', 65)$$),
	($$'shop', 'TEST1', '0'$$), ($$'shop', 'TEST1', '-1 hour'$$), ($$'shop', 'TEST1', '7 days 1 second'$$), ($$'shop', 'TEST1', NULL$$),
	($$'shop', 'TEST1', '7 days'$$), ($$'shop', repeat('x', 64), '1 second'$$)) v(call);

CREATE TABLE carts (no text PRIMARY KEY, customer text);
CREATE TRIGGER tiktok AFTER INSERT ON carts FOR EACH ROW
	EXECUTE FUNCTION tiktok.track_row('shop', 'ViewContent', 'external_id=customer', 'url=''https://example.com/''');
SELECT tiktok.set_test_code('shop', 'TEST1');
INSERT INTO carts VALUES ('live', 'x');
SET tiktok_events.test_event = on;
INSERT INTO carts VALUES ('test', 'x');
SELECT pg_temp.record('shop', 1);
-- preview shows the event as it is; the code stands outside of it
SELECT tiktok.preview('shop', 'ViewContent', 'p', user_data => '{"external_id": 1}', page => '{"url": "https://example.com/"}') ? 'test_event_code' AS code;
-- of another source, expired, ended
SELECT pg_temp.sqlstate_of($$tiktok.track('crm', 'Won', 'none', lead => '{"lead_id": 7412345678901234567}')$$);
UPDATE tiktok.test_code SET valid_until = now();
SELECT pg_temp.sqlstate_of($$pg_temp.record('shop', 1)$$);
INSERT INTO carts VALUES ('expired', 'x');
SELECT tiktok.set_test_code('shop', 'TEST2', '1 minute');
INSERT INTO carts VALUES ('second', 'x');
SELECT tiktok.set_test_code('shop', NULL);
INSERT INTO carts VALUES ('ended', 'x');
RESET tiktok_events.test_event;
INSERT INTO carts VALUES ('real', 'x');
SELECT s.event_id, s.status, s.reason, s.is_test, e.test_code, e.payload IS NOT NULL AS payload FROM tiktok.event_status s JOIN tiktok.event e ON e.id = s.id
	WHERE s.event_id LIKE 'carts-%' OR s.event_id = 'e123' ORDER BY s.id;
-- a test that was never sent does not keep the real event out
DELETE FROM carts WHERE no = 'ended';
INSERT INTO carts VALUES ('ended', 'x');
SELECT status, is_test FROM tiktok.event_status WHERE event_id = 'carts-ended';
SELECT count(*) FROM tiktok.test_code;

DROP TABLE carts;
TRUNCATE tiktok.retry, tiktok.event, tiktok.identity, tiktok.delivery, tiktok.request;
DELETE FROM tiktok.source;
SELECT count(*) FROM tiktok.source_control;
