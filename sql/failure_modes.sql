-- The seven failure modes and the eight items of the checklist: silent on healthy sources, and each mode is found where it is made.
-- How rarely they err is what t/063_shops.pl measures.
\set SHOW_CONTEXT never
SET TimeZone = 'UTC';
SET IntervalStyle = 'postgres';
SET client_min_messages = warning;

CREATE SEQUENCE pg_temp.source_id START 501;

-- n events of the past, one every "step", with their fates; none within an hour of the limits of 7 and 14 days
CREATE FUNCTION pg_temp.events(source text, name text, n int, ago interval DEFAULT '30 min', step interval DEFAULT '2 hours', status text DEFAULT 'delivered',
	reason text DEFAULT NULL, lateness interval DEFAULT '2 s', value numeric DEFAULT 49.90, prefix text DEFAULT '') RETURNS bigint LANGUAGE sql AS $$
	WITH e AS (
		INSERT INTO tiktok.event (source_id, event, event_id, event_time, enqueued_at, value, currency, match_keys, payload)
		SELECT s.id, $2, prefix || $2 || g, now() - ago - step * g, now() - ago - step * g + interval '1 s', $9, CASE WHEN $9 IS NOT NULL THEN 'EUR' END, 127,
			CASE WHEN status NOT IN ('invalid', 'suppressed') THEN '{}'::json END
		FROM tiktok.source s, generate_series(0, n - 1) g
		WHERE s.name = $1
		ORDER BY g DESC
		RETURNING id, event_time, payload)
	, d AS (
		INSERT INTO tiktok.delivery (id, request_id, status, reason, at)
		SELECT id, CASE WHEN payload IS NOT NULL THEN 0 END, $6, $7, event_time + lateness FROM e WHERE status <> 'pending' RETURNING id)
	SELECT count(*) FROM d
$$;
-- the Pixel fires what was recorded under the prefix, under a name and with something before the event_id
CREATE FUNCTION pg_temp.pixel(source text, name text, prefix text DEFAULT '', fired_as text DEFAULT NULL, fired_id text DEFAULT '') RETURNS void LANGUAGE sql AS $$
	SELECT tiktok.pixel_seen($1, coalesce(fired_as, $2), fired_id || e.event_id, e.event_time)
	FROM tiktok.event e JOIN tiktok.source s ON s.id = e.source_id
	WHERE s.name = $1 AND e.event = $2 AND e.event_id LIKE prefix || $2 || '%'
$$;

CREATE FUNCTION pg_temp.masked(evidence text) RETURNS text LANGUAGE sql AS $$
	SELECT regexp_replace(regexp_replace(regexp_replace(evidence, '\d{4}-\d\d-\d\d( \d\d:\d\d:\d\d\+00)?', 'DAY', 'g'),
		'((?:of|beside|of the last|reported) )\d+(?= orders since| events of the Pixel)', '\1N', 'g'),
		'\d+(?: \([\d,.]+ EUR\))? of (\d+ orders|the last N events of the Pixel are events here)(?: \([\d,.]+ EUR\))?(?= of 7 days|$)', 'N of N')
$$;

-- Healthy: a shop whose Pixel fires the same events, and a CRM that passes every stage back
CREATE FUNCTION pg_temp.healthy(source text) RETURNS void LANGUAGE sql AS $$
	INSERT INTO tiktok.source (id, name, event_source, event_source_id) VALUES (nextval('pg_temp.source_id'), source, 'web', 'C-' || source);
	SELECT pg_temp.events(source, 'Purchase', 200), pg_temp.pixel(source, 'Purchase');
$$;
SELECT pg_temp.healthy('shop');
INSERT INTO tiktok.source (id, name, event_source, event_source_id) VALUES (491, 'crm', 'crm', '74003'), (492, 'till', 'offline', '74004'), (493, 'blank', 'web', 'C9');
INSERT INTO tiktok.lead_stage VALUES ('crm', 'new', 'Lead', 1), ('crm', 'qualified', 'Qualified_Lead', 2), ('crm', 'hot', 'Qualified_Lead', 3), ('crm', 'won', 'Purchase', 4);
SELECT pg_temp.events('crm', 'Lead', 200, lateness => '30 min'), pg_temp.events('crm', 'Qualified_Lead', 150, lateness => '5 hours'), pg_temp.events('crm', 'Purchase', 110, lateness => '1 day'),
	pg_temp.events('till', 'Purchase', 200, lateness => '20 hours');
SELECT * FROM tiktok.failure_modes('shop');
SELECT * FROM tiktok.failure_modes('crm');
SELECT count(*) FROM tiktok.failure_modes('till') WHERE state <> 'ok' OR hint IS NOT NULL;

-- Each failure in a shop that is healthy otherwise, and no other mode speaks
SELECT pg_temp.healthy('ids'), pg_temp.healthy('names'), pg_temp.healthy('spelling'), pg_temp.healthy('late'), pg_temp.healthy('old'), pg_temp.healthy('money'),
	pg_temp.healthy('refused'), pg_temp.healthy('consent'), pg_temp.healthy('never'), pg_temp.healthy('volume'), pg_temp.healthy('stopped'), pg_temp.healthy('counts');
-- the Pixel makes ids of its own
SELECT pg_temp.events('ids', 'Subscribe', 110), pg_temp.pixel('ids', 'Subscribe', fired_id => 'browser-');
-- the Pixel still fires CompletePayment where Purchase is recorded, with the same event_id; the server's door renames
SELECT count(tiktok.track('names', 'CompletePayment', 'SO-' || g, user_data => '{"external_id": 1}', page => '{"url": "https://shop.example.com/"}',
	properties => '{"value": 1, "currency": "EUR"}')) FROM generate_series(1, 5) g;
SELECT tiktok.pixel_seen('names', 'CompletePayment', 'SO-' || g) FROM generate_series(1, 5) g \g /dev/null
-- ... and with ids of its own, known from TikTok's counts only
INSERT INTO tiktok.platform_count VALUES ('spelling', current_date, 'purchase', 70, 0, 70);
-- recorded long after the fact; or not sent for two days
SELECT pg_temp.events('late', 'AddToCart', 110, lateness => '20 min');
SELECT pg_temp.events('old', 'AddToCart', 110, ago => '2 days 2 hours', step => '50 min', lateness => '49 hours');
-- no value; or one without a currency, as the trigger finds it
SELECT pg_temp.events('money', 'AddToCart', 110, value => NULL);
CREATE TABLE orders (id int PRIMARY KEY, total numeric, currency text);
CREATE TRIGGER tiktok AFTER INSERT ON orders FOR EACH ROW
	EXECUTE FUNCTION tiktok.track_row('refused', 'Purchase', 'value=total', 'currency=currency', 'external_id=id', 'url=''https://shop.example.com/''');
INSERT INTO orders SELECT g, 10 * g, CASE g % 3 WHEN 0 THEN 'XYZ' END FROM generate_series(1, 20) g;
-- what cannot be sent is still worth what it is worth
SELECT reason, count(*), sum(value) AS value, currency FROM tiktok.event_status WHERE source = 'refused' AND status = 'invalid' GROUP BY 1, 4 ORDER BY 1;
-- the Pixel fires what the server may not send; or nobody consents
SELECT count(tiktok.track('consent', 'Purchase', 'C-' || g, user_data => '{"external_id": 1}', page => '{"url": "https://shop.example.com/"}', consent => false)) FROM generate_series(1, 5) g;
SELECT tiktok.pixel_seen('consent', 'Purchase', 'C-' || g) FROM generate_series(1, 5) g \g /dev/null
DELETE FROM tiktok.pixel_seen WHERE source_id = (SELECT id FROM tiktok.source WHERE name = 'never');
UPDATE tiktok.delivery SET status = 'suppressed', reason = 'no_consent' WHERE id IN (SELECT id FROM tiktok.event_status WHERE source = 'never' AND enqueued_at > now() - interval '7 days');
-- too few a week, where somebody says how many there should be
SELECT pg_temp.events('volume', 'StartTrial', 20, step => '14 hours'), pg_temp.events('stopped', 'StartTrial', 20, step => '14 hours');
INSERT INTO tiktok.weekly_floor VALUES ('volume', 'StartTrial', 50);
-- from one day to the next in cents
SELECT pg_temp.healthy('cents');
UPDATE tiktok.event SET value = 100 * value WHERE id IN (SELECT e.id FROM tiktok.event e JOIN tiktok.source s ON s.id = e.source_id WHERE s.name = 'cents' ORDER BY e.id DESC LIMIT 8);
-- orders are reported that make no event: the page is not to blame
SELECT pg_temp.healthy('lost');
SELECT tiktok.pixel_seen('lost', 'Purchase', 'L' || g, now() - interval '20 min' - g * interval '1 s') FROM generate_series(1, 30) g \g /dev/null
-- TikTok counted both sides, which says nothing of what they have in common
DELETE FROM tiktok.pixel_seen WHERE source_id = (SELECT id FROM tiktok.source WHERE name = 'counts');
INSERT INTO tiktok.platform_count VALUES ('counts', current_date - 1, 'Purchase', 100, 100, 199);
SELECT s.name, f.mode, f.state, pg_temp.masked(f.evidence) AS evidence, f.hint FROM tiktok.source s, tiktok.failure_modes(s.name) f WHERE f.state <> 'ok' AND s.name NOT IN ('shop', 'crm', 'till', 'blank') ORDER BY 1, 2;

-- CRM: a stage that never came is no fault, and one that has too few only where campaigns are optimised for it; only the first one; no lead_id
INSERT INTO tiktok.lead_stage VALUES ('crm', 'signed', 'Contract', 5);
SELECT mode, state, evidence, hint FROM tiktok.failure_modes('crm') WHERE state <> 'ok' OR mode LIKE 'crm%';
UPDATE tiktok.lead_stage SET optimised = true WHERE source = 'crm' AND event IN ('Contract', 'Lead');
SELECT pg_temp.events('crm', 'Contract', 2, step => '15 days', prefix => 'o');
SELECT mode, state, evidence, hint FROM tiktok.failure_modes('crm') WHERE state <> 'ok';
UPDATE tiktok.lead_stage SET optimised = false;
DELETE FROM tiktok.delivery d USING tiktok.event e, tiktok.source s WHERE d.id = e.id AND e.source_id = s.id AND s.name = 'crm' AND e.event <> 'Lead';
SELECT mode, state, evidence FROM tiktok.failure_modes('crm') WHERE mode LIKE 'crm%';
SELECT pg_temp.events('crm', 'Lead', 30, status => 'invalid', reason => 'lead_id_missing', prefix => 'x'), pg_temp.events('crm', 'Contract', 1), pg_temp.events('crm', 'Qualified_Lead', 1, prefix => 'x'),
	pg_temp.events('crm', 'Purchase', 1, prefix => 'x');
SELECT mode, state, evidence, hint FROM tiktok.failure_modes('crm') WHERE mode LIKE 'crm%';
CREATE TABLE leads (id int PRIMARY KEY, stage text);
CREATE TRIGGER tiktok AFTER INSERT ON leads FOR EACH ROW EXECUTE FUNCTION tiktok.track_row('crm', '=stage', 'lead_id=id');
INSERT INTO leads SELECT g, 'lost' FROM generate_series(1, 7) g;
DROP TABLE leads;
SELECT regexp_replace(evidence, '\d+ rows since', 'N rows since') AS evidence FROM tiktok.failure_modes('crm') WHERE mode LIKE 'crm%';
SELECT pg_temp.events('shop', 'Lead', 110), pg_temp.pixel('shop', 'Lead');
SELECT mode, state FROM tiktok.failure_modes('shop') WHERE state <> 'ok';
UPDATE tiktok.source SET enabled = false WHERE name = 'crm';
SELECT mode, state, evidence, hint FROM tiktok.failure_modes('shop') WHERE state <> 'ok';

-- one event may share its event_id with another of the same order that the Pixel does not fire: a hint at most
SELECT tiktok.pixel_seen('shop', 'AddPaymentInfo', 'Purchase' || g) FROM generate_series(1, 5) g \g /dev/null
SELECT mode, state FROM tiktok.failure_modes('shop') WHERE mode = 'names_differ';
-- test events count nowhere
SELECT tiktok.set_test_code('till', 'TEST1');
SET tiktok_events.test_event = on;
SELECT count(tiktok.track('till', 'Purchase', 'T-' || g, user_data => '{"email": "a@example.com"}')) FROM generate_series(1, 300) g;
RESET tiktok_events.test_event;
SELECT count(*) FROM tiktok.failure_modes('till') WHERE state <> 'ok';

-- The checklist: a source of which nothing is known, one that is well, and one that is not
SELECT * FROM tiktok.checklist('blank');
CREATE TABLE paid (event_id text, value numeric, currency text, at timestamptz);
INSERT INTO paid SELECT event_id, value, 'EUR', event_time FROM tiktok.event_status WHERE source = 'shop' AND event = 'Purchase';
INSERT INTO tiktok.source_of_truth VALUES ('shop', 'Purchase', 'public.paid'), ('names', 'Purchase', 'public.paid'), ('ids', 'Purchase', 'public.missing');
INSERT INTO tiktok.request (source_id, started_at, finished_at, events, first_xid, first_id, last_xid, last_id, outcome, bytes, is_test)
	SELECT id, '2026-01-01', '2026-01-01', 1, '0', 0, '0', 0, 'delivered', 1, true FROM tiktok.source WHERE name = 'shop';
INSERT INTO tiktok.platform_count VALUES ('shop', current_date - 1, 'Purchase', 10, 12, 13), ('shop', current_date - 2, 'Purchase', 10, 12, NULL);
DELETE FROM tiktok.pixel_seen WHERE event = 'AddPaymentInfo';
SELECT item, what, state, pg_temp.masked(evidence) AS evidence, hint FROM tiktok.checklist('shop');
INSERT INTO paid SELECT 'none' || g, 1, 'EUR', now() - interval '2 hours' FROM generate_series(1, 40) g;
UPDATE tiktok.event SET match_keys = 96 WHERE source_id = (SELECT id FROM tiktok.source WHERE name = 'shop') AND enqueued_at > now() - interval '7 days';
SELECT item, state, pg_temp.masked(evidence) AS evidence, hint FROM tiktok.checklist('shop') WHERE item IN (4, 7, 8);
SELECT item, state, hint FROM tiktok.checklist('names') WHERE item = 3;
SELECT item, state, evidence, hint FROM tiktok.checklist('ids') WHERE item IN (3, 7);

-- What is wrong with the orders: in cents; recorded as tests; without an event here, though another source has one of the id; but one is too few
CREATE TABLE cents AS SELECT event_id, value / CASE WHEN value > 1000 THEN 100 ELSE 1 END AS value, currency, event_time AS at FROM tiktok.event_status WHERE source = 'cents';
INSERT INTO tiktok.source_of_truth VALUES ('cents', 'Purchase', 'public.cents');
SELECT state, regexp_replace(regexp_replace(pg_temp.masked(evidence), '^\d+ of', 'N of'), '[0-9.,]+ EUR', 'N EUR') AS evidence, hint FROM tiktok.checklist('cents') WHERE item = 7;
UPDATE tiktok.event SET value = value / CASE WHEN value > 1000 THEN 100 ELSE 1 END WHERE source_id = (SELECT id FROM tiktok.source WHERE name = 'cents');
UPDATE tiktok.event SET test_code = 'T' WHERE event_id IN (SELECT event_id FROM cents ORDER BY at DESC LIMIT 5) AND source_id = (SELECT id FROM tiktok.source WHERE name = 'cents');
SELECT state, regexp_replace(pg_temp.masked(evidence), '^\d+ of', 'N of') AS evidence, hint FROM tiktok.checklist('cents') WHERE item = 7;
DELETE FROM tiktok.event WHERE test_code = 'T';
SELECT state, regexp_replace(pg_temp.masked(evidence), '^\d+ of', 'N of') AS evidence, hint FROM tiktok.checklist('cents') WHERE item = 7;
DELETE FROM cents WHERE event_id IN (SELECT event_id FROM cents ORDER BY at DESC LIMIT 4);
SELECT state, pg_temp.masked(evidence) AS evidence, hint FROM tiktok.checklist('cents') WHERE item = 7;

-- a source that is none
SELECT * FROM tiktok.failure_modes('nobody');
SELECT * FROM tiktok.checklist(NULL);

DROP TABLE paid, orders, cents;
TRUNCATE tiktok.retry, tiktok.event, tiktok.identity, tiktok.delivery, tiktok.request;
DELETE FROM tiktok.source;
SELECT count(*) FROM tiktok.pixel_seen;
