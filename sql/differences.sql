-- Differences and the bridge: each cause, the order of causes, and TikTok's counts. t/073_bridge.pl has random shops.
\set SHOW_CONTEXT never
SET TimeZone = 'UTC';
SET IntervalStyle = 'postgres';
SET client_min_messages = warning;
CREATE SCHEMA shops;
SET search_path = shops, public;
INSERT INTO tiktok.source (id, name, event_source, event_source_id) VALUES (601, 'shop', 'web', 'C1'), (602, 'other', 'web', 'C2');
CREATE TABLE orders (event_id text, value numeric, currency text, at timestamptz);
INSERT INTO tiktok.source_of_truth VALUES ('shop', 'Purchase', 'shops.orders');

CREATE FUNCTION record(no text, at timestamptz, value numeric, currency text, status text DEFAULT 'delivered', reason text DEFAULT NULL, after interval DEFAULT '2 s',
	source int DEFAULT 601, test text DEFAULT NULL, name text DEFAULT 'Purchase') RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	n bigint;
BEGIN
	INSERT INTO tiktok.event (source_id, event, event_id, event_time, enqueued_at, value, currency, test_code, payload)
	VALUES (source, name, no, at, at + interval '1 s', value, currency, test, '{}') RETURNING id INTO n;
	IF status = 'retrying' THEN
		INSERT INTO tiktok.retry (id, source_id, attempts, first_attempt_at, next_attempt_at) VALUES (n, source, 1, at, 'infinity');
	ELSIF status <> 'pending' THEN
		INSERT INTO tiktok.delivery (id, request_id, status, reason, at) VALUES (n, 0, status, reason, at + after);
	END IF;
END $$;
CREATE FUNCTION fire(no text, at timestamptz, name text DEFAULT 'Purchase') RETURNS void LANGUAGE sql AS $$
	INSERT INTO tiktok.pixel_seen VALUES (no, name, 601, at)
$$;

CREATE FUNCTION make_order(no text, v numeric, cur text, t timestamptz, kind text, fired boolean DEFAULT false) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	status text := CASE WHEN kind IN ('pending', 'retrying', 'rejected', 'invalid', 'suppressed', 'expired', 'uncertain', 'discarded') THEN kind ELSE 'delivered' END;
	sent numeric := CASE kind WHEN 'value_net' THEN round(v / 1.19, 2) WHEN 'value_constant' THEN 7.77 WHEN 'value_zero' THEN 0 WHEN 'value_hundredfold' THEN v * 100
		WHEN 'value_differs' THEN v - 1 WHEN 'no_value' THEN NULL WHEN 'rounding' THEN v + 0.004 ELSE v END;
BEGIN
	IF kind <> 'no_order' THEN
		INSERT INTO orders VALUES (no, v, cur, t);
	END IF;
	IF fired OR kind IN ('late', 'pixel_48_hours', 'pixel_only') THEN
		PERFORM fire(no, t);
	END IF;
	IF kind NOT IN ('no_event', 'no_longer_known', 'pixel_only') THEN
		PERFORM record(no, t, sent, CASE kind WHEN 'no_value' THEN NULL WHEN 'other_currency' THEN 'GBP' ELSE cur END, status, CASE WHEN status <> 'delivered' THEN 'why' END,
			source => CASE kind WHEN 'other_source' THEN 602 ELSE 601 END, test => CASE kind WHEN 'test' THEN 'T1' END,
			after => CASE kind WHEN 'late' THEN interval '20 min' WHEN 'pixel_48_hours' THEN interval '3 days' ELSE interval '2 s' END);
	END IF;
	IF kind = 'duplicate' THEN
		INSERT INTO orders VALUES (no, v + 1, cur, t + interval '1 min');
	ELSIF kind = 'recorded_twice' THEN
		PERFORM record('trigger2-' || no, t, v, cur);
	ELSIF kind = 'pixel_other_name' THEN
		PERFORM fire(no, t, 'CompletePayment');
	ELSIF kind = 'pixel_other_id' THEN
		PERFORM fire('browser-' || no, t);
	END IF;
END $$;

CREATE FUNCTION empty_shop() RETURNS void LANGUAGE sql AS $$
	TRUNCATE tiktok.retry, tiktok.event, tiktok.identity, tiktok.delivery, tiktok.pixel_seen, tiktok.platform_count, orders
$$;

-- Each cause on a day of its own: how many orders were built, how many are listed under it, what the bridge says of them (in EUR or without
-- currency) and must say, and what the note names
CREATE FUNCTION day(ago int, hours int) RETURNS timestamptz LANGUAGE sql AS $$ SELECT date_trunc('day', now(), 'UTC') - ago * interval '1 day' + hours * interval '1 hour' $$;
CREATE TABLE built (cause text, truth int, orders int, money numeric, ago int);
INSERT INTO built VALUES
	('test', 3, -3, -60), ('pending', 3, -3, -60), ('other_source', 3, -3, -60), ('retrying', 3, -3, -60), ('pixel_only', 3, -3, -60), ('rejected', 3, -3, -60),
	('no_event', 3, -3, -60), ('invalid', 3, -3, -60), ('suppressed', 3, -3, -60), ('expired', 3, -3, -60),
	('uncertain', 3, -3, -60), ('discarded', 3, -3, -60), ('duplicate', 3, -3, -63),
	('no_value', 3, 0, -60), ('other_currency', 3, -3, -60), ('value_zero', 3, 0, -60), ('value_hundredfold', 3, 0, 5940), ('value_constant', 5, 0, -111.15), ('value_net', 5, 0, -23.95),
	('value_differs', 3, 0, -3), ('late', 3, NULL, NULL), ('no_order', 3, 3, 60), ('recorded_twice', 3, 3, 60), ('pixel_other_name', 3, 3, 0), ('pixel_other_id', 3, 3, 0), ('pixel_48_hours', 3, 3, 0);
UPDATE built b SET ago = n.n FROM (SELECT cause, row_number() OVER (ORDER BY ctid) AS n FROM built) n WHERE n.cause = b.cause;
INSERT INTO built VALUES ('no_longer_known', 3, -3, -60, 40);
SELECT make_order(format('%s %s', b.cause, g), 10 * g, 'EUR', day(b.ago, 12) + g * interval '1 min', b.cause) FROM built b, generate_series(1, b.truth) g \g /dev/null
SELECT b.cause, b.truth, d.listed, s.orders, s.money, (b.truth, b.orders, b.money) IS NOT DISTINCT FROM (d.listed, s.orders, s.money) AS as_built, d.named
FROM built b
CROSS JOIN LATERAL (SELECT count(*) FILTER (WHERE d.cause = b.cause) AS listed, string_agg(DISTINCT CASE WHEN d.cause = b.cause THEN coalesce(d.note, '-') ELSE 'as well: ' || d.cause END, ', ') AS named
	FROM tiktok.differences('shop', day(b.ago, 0), day(b.ago - 1, 0)) d) d
LEFT JOIN LATERAL (SELECT s.orders, s.money FROM tiktok.bridge('shop', day(b.ago, 0), day(b.ago - 1, 0)) s WHERE s.step = b.cause AND s.currency IS DISTINCT FROM 'GBP') s ON true
ORDER BY b.ago % 40, b.ago;
SELECT event, currency, step, orders, money FROM tiktok.bridge('shop', day(41, 0), day(0, 0));

-- One order of each cause; and what is not in differences agrees. Kept for ever, from here on
SELECT empty_shop() \g /dev/null
UPDATE tiktok.source SET max_event_age = '100 years';
SELECT make_order(kind, 10 * n, 'EUR', '2026-03-02 10:00Z'::timestamptz + n * interval '1 min', kind, kind = 'suppressed')
FROM unnest('{ok,rounding,test,other_source,pixel_only,no_event,pending,retrying,rejected,invalid,suppressed,expired,uncertain,discarded,duplicate,no_order,recorded_twice,pixel_48_hours,pixel_other_name,pixel_other_id,late}'::text[])
	WITH ORDINALITY k (kind, n) \g /dev/null
SELECT make_order(kind, 7.5, 'EUR', '2026-03-02 11:00Z'::timestamptz + n * interval '1 min', kind)
FROM unnest('{no_value,other_currency,value_zero,value_hundredfold}'::text[]) WITH ORDINALITY k (kind, n) \g /dev/null
SELECT make_order('net ' || g, 11.9 * g, 'EUR', '2026-03-02 12:00Z'::timestamptz + g * interval '1 min', 'value_net') FROM generate_series(1, 5) g \g /dev/null
INSERT INTO orders VALUES (NULL, 3, 'EUR', '2026-03-02 13:00Z'), ('nothing', NULL, NULL, '2026-03-02 13:01Z'), ('Lead instead', 2, 'EUR', '2026-03-02 13:02Z'), ('a thousandth', 1234, 'EUR', '2026-03-02 13:03Z');
SELECT record('nothing', '2026-03-02 13:01Z', 5, 'EUR'), record('Lead instead', '2026-03-02 13:02Z', 2, 'EUR', name => 'Lead'), record('a thousandth', '2026-03-02 13:03Z', 1.234, 'EUR') \g /dev/null
SELECT cause, event, event_id, value, currency AS cur, value_sent AS sent, currency_sent AS cur_sent, in_orders AS o, in_tiktok AS t, note FROM tiktok.differences('shop', '2026-03-02', '2026-03-03');
SELECT * FROM tiktok.bridge('shop', '2026-03-02', '2026-03-03');

-- A run of orders without an event, and a disabled trigger
SELECT empty_shop() \g /dev/null
CREATE TABLE paid (no text, total numeric);
CREATE TRIGGER tiktok AFTER INSERT ON paid FOR EACH ROW EXECUTE FUNCTION tiktok.track_row('shop', 'Purchase', 'event_id=no', 'external_id=no', 'url=''https://shop.example.com/''');
ALTER TABLE paid DISABLE TRIGGER tiktok;
SELECT make_order('R' || g, 1, 'EUR', '2026-03-02 10:00Z'::timestamptz + g * interval '1 hour', CASE WHEN g IN (2, 5, 6, 7, 8, 9, 10) THEN 'no_event' ELSE 'ok' END) FROM generate_series(1, 12) g \g /dev/null
SELECT event_id, at, note FROM tiktok.differences('shop', '2026-03-02', '2026-03-03');
DROP TABLE paid;

-- TikTok's counts: before or after it drops copies? Only where a control and enough matched reports say so
CREATE FUNCTION counts(browser numeric, server numeric, control numeric) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	DELETE FROM tiktok.platform_count;
	INSERT INTO tiktok.platform_count (source, day, event, browser, server)
	SELECT 'shop', (now() AT TIME ZONE 'UTC')::date - g, 'Purchase', 30 * browser, 30 * server FROM generate_series(1, 12) g
	UNION ALL SELECT 'shop', (now() AT TIME ZONE 'UTC')::date - g, 'Subscribe', 0, 10 * control FROM generate_series(1, 12) g;
	RETURN (SELECT rule FROM tiktok_internal.count_rule());
END $$;
SELECT empty_shop() \g /dev/null
SELECT make_order(format('C%s-%s', d, g), 1, 'EUR', day(d, 1) + g * interval '20 min', 'ok', true) FROM generate_series(1, 12) d, generate_series(1, 30) g \g /dev/null
SELECT record(format('S%s-%s', d, g), day(d, 1) + g * interval '20 min', NULL, NULL, name => 'Subscribe') FROM generate_series(1, 12) d, generate_series(1, 10) g \g /dev/null
SELECT counts(1, 1, 1) AS before, counts(0.2, 0.8, 1) AS after, counts(0.4, 1, 1) AS neither, counts(1, 1, 0.8) AS bad_control, counts(1, 0.8, 1) AS fewer;
SELECT counts(0.2, 0.8, 1);
SELECT step, orders FROM tiktok.bridge('shop', day(10, 5), day(5, 2)) WHERE event = 'Purchase' ORDER BY position;
SELECT counts(1, 1, 1);
UPDATE tiktok.platform_count SET server = server - 2 WHERE event = 'Purchase' AND day = day(7, 0)::date;
SELECT step, orders FROM tiktok.bridge('shop', day(10, 5), day(5, 2)) WHERE event = 'Purchase' ORDER BY position;
-- a day without a count, or one that was fetched before it was over: the sum is not known
DELETE FROM tiktok.platform_count WHERE event = 'Purchase' AND day = day(8, 0)::date;
SELECT step, orders FROM tiktok.bridge('shop', day(10, 5), day(5, 2)) WHERE event = 'Purchase' ORDER BY position;
INSERT INTO tiktok.platform_count (source, day, event, server) VALUES ('shop', day(8, 0)::date, 'Purchase', 30);
INSERT INTO tiktok.report_fetch (source, call, day, started_at, finished_at, outcome, bytes) VALUES ('shop', 'pixel/event/stats', day(8, 0)::date, day(8, 23), day(8, 23), 'ok', 1);
SELECT step, orders FROM tiktok.bridge('shop', day(10, 5), day(5, 2)) WHERE event = 'Purchase' AND step LIKE 'tiktok%' ORDER BY position;
INSERT INTO tiktok.report_fetch (source, call, day, started_at, finished_at, outcome, bytes) VALUES ('shop', 'pixel/event/stats', day(8, 0)::date, day(7, 0), day(7, 0), 'ok', 1);
SELECT step, orders FROM tiktok.bridge('shop', day(10, 5), day(5, 2)) WHERE event = 'Purchase' AND step LIKE 'tiktok%' ORDER BY position;
DELETE FROM tiktok.report_fetch;
DELETE FROM tiktok.platform_count WHERE day > day(7, 0)::date;
SELECT rule, evidence FROM tiktok_internal.count_rule();

-- The sums that the rule and the report rest on, beside what they are sums of: of events near and far, late and early, of other names, tests
SELECT empty_shop(), setseed(0.19) \g /dev/null
INSERT INTO tiktok.source (id, name, event_source, event_source_id, max_event_age) VALUES (603, 'twin', 'web', 'C1', '100 years');
CREATE TABLE drawn AS SELECT g, now() - random() * interval '40 days' AS seen_at, (ARRAY['Purchase', 'Subscribe', 'ViewContent'])[1 + floor(random() * 3)] AS event,
	601 + 2 * floor(random() * 2)::int AS source_id, random() AS kind, random() AS fate, random() AS shift FROM generate_series(1, 3000) g;
INSERT INTO tiktok.pixel_seen SELECT 'D' || g, event, source_id, seen_at FROM drawn WHERE kind < 0.8;
INSERT INTO tiktok.event (id, xid, source_id, event, event_id, event_time, enqueued_at, match_keys, test_code, payload)
SELECT nextval('tiktok.event_id_seq'), pg_current_xact_id(), CASE WHEN shift < 0.05 THEN 604 - (source_id - 600) ELSE source_id END, CASE WHEN shift > 0.9 THEN 'AddToCart' ELSE event END, 'D' || g,
	at, at, 1, CASE WHEN fate > 0.95 THEN 'T' END, '{}'
FROM (SELECT d.*, seen_at + CASE WHEN shift < 0.6 THEN shift * interval '10 min' WHEN shift < 0.8 THEN (shift - 0.7) * interval '60 days' ELSE interval '1 min' END AS at FROM drawn d WHERE kind > 0.2 OFFSET 0) d
ORDER BY at;
INSERT INTO tiktok.delivery (id, at, status) SELECT id, event_time + random() * interval '1 min', CASE WHEN random() < 0.8 THEN 'delivered' ELSE 'rejected' END FROM tiktok.event WHERE random() < 0.9;
CREATE FUNCTION summed(since timestamptz, until timestamptz, rule timestamptz) RETURNS TABLE (fact text) LANGUAGE sql AS $$
	SELECT format('%s %s %s %s %s %s: %s', source_id, event, day, in_period, in_rule, coalesce(other_event, known::text),
		ARRAY[sum(n), sum(delivered), sum(minutes), sum(apart)])
	FROM jsonb_to_recordset(tiktok_internal.pixel_facts(since, until, rule)) f (source_id int, event text, day date, in_period boolean, in_rule boolean, is_event boolean,
		known boolean, other_event text, n int, delivered int, minutes int, apart int)
	WHERE NOT is_event GROUP BY source_id, event, day, in_period, in_rule, known, other_event
	UNION ALL
	SELECT format('events %s %s %s: %s', source_id, event, day, n) FROM jsonb_to_recordset(tiktok_internal.pixel_facts(since, until, rule)) f (source_id int, event text, day date, is_event boolean, n int) WHERE is_event
$$;
CREATE FUNCTION plain(since timestamptz, until timestamptz, rule timestamptz) RETURNS TABLE (fact text) LANGUAGE sql AS $$
	SELECT format('%s %s %s %s %s %s: %s', source_id, event, (seen_at AT TIME ZONE 'UTC')::date, seen_at >= since AND seen_at < until, coalesce(hour >= rule, false), coalesce(other_event, (id IS NOT NULL)::text),
		ARRAY[count(*), count(*) FILTER (WHERE status = 'delivered'), count(*) FILTER (WHERE status = 'delivered' AND at - seen_at BETWEEN interval '-5 min' AND interval '5 min'),
			count(*) FILTER (WHERE status = 'delivered' AND at - seen_at NOT BETWEEN interval '-48 h' AND interval '48 h')])
	FROM tiktok_internal.pixel_match WHERE seen_at >= since AND seen_at < until OR hour >= rule
	GROUP BY source_id, event, (seen_at AT TIME ZONE 'UTC')::date, seen_at >= since AND seen_at < until, coalesce(hour >= rule, false), other_event, id IS NOT NULL
	UNION ALL
	SELECT format('events %s %s %s: %s', source_id, event, (event_time AT TIME ZONE 'UTC')::date, count(*)) FROM tiktok_internal.real_event WHERE status = 'delivered' AND hour >= rule
	GROUP BY source_id, event, (event_time AT TIME ZONE 'UTC')::date
$$;
SELECT n, (SELECT count(*) > 100 FROM summed(since, until, rule)) AS facts, ARRAY(SELECT fact FROM plain(since, until, rule) EXCEPT ALL SELECT fact FROM summed(since, until, rule)) AS missing,
	ARRAY(SELECT fact FROM summed(since, until, rule) EXCEPT ALL SELECT fact FROM plain(since, until, rule)) AS wrong
FROM (VALUES (1, now() - interval '30 days', now(), now() - interval '30 days'), (2, now() - interval '20 days', now() - interval '10 days', NULL),
	(3, now() - interval '35 days', now() - interval '25 days', now() - interval '12 days'), (4, '-infinity', 'infinity', NULL)) p (n, since, until, rule);
SELECT count(*) FROM summed(now(), now(), NULL);
DROP TABLE drawn;
SELECT empty_shop() \g /dev/null
DELETE FROM tiktok.source WHERE name = 'twin';

-- Odd shops
SELECT empty_shop() \g /dev/null
INSERT INTO tiktok.source (id, name, event_source, event_source_id, max_event_age) VALUES (603, 'twin', 'web', 'C1', '100 years');
INSERT INTO tiktok.source_of_truth VALUES ('shop', 'Lead', 'shops.leads');
CREATE TABLE leads (event_id text, value money, currency char(5), at date);
-- a report of both sources is one; a Lead of an order that is none; a late order with parts of a cent; an event without currency
SELECT fire('nobody', '2026-03-02 10:00Z') \g /dev/null
INSERT INTO tiktok.pixel_seen VALUES ('nobody', 'Purchase', 603, '2026-03-02 10:01Z');
SELECT make_order('no event', 10, 'EUR', '2026-03-02 11:00Z', 'no_event'), fire('no event', '2026-03-02 11:00Z', 'Lead') \g /dev/null
SELECT make_order('late', 10.001, 'EUR', '2026-03-02 12:00Z', 'late') \g /dev/null
UPDATE tiktok.event SET value = 10.0050 WHERE event_id = 'late';
SELECT make_order('without', NULL, 'EUR', '2026-03-02 13:00Z', 'no_value'), record('without', '2026-03-02 13:00Z', NULL, NULL, source => 603) \g /dev/null
INSERT INTO orders VALUES ('without', 5, 'EUR', '2026-03-02 14:00Z');
-- money back, an endless amount, and what a division leaves
SELECT make_order('back', -8, 'EUR', '2026-03-02 15:00Z', 'ok'), make_order('endless', 'NaN', 'JPY', '2026-03-02 16:00Z', 'ok'), make_order('third', 10 / 4.0, 'USD', '2026-03-02 17:00Z', 'ok') \g /dev/null
-- types of any kind; an empty event_id or currency is none
INSERT INTO leads VALUES ('Lead', '1.50', 'eur', '2026-03-02'), ('', '2.50', ' eur', '2026-03-02'), ('', '3.50', '', '2026-03-02');
SELECT cause, event, event_id, value, currency AS cur, value_sent AS sent, currency_sent AS cur_sent, in_orders AS o, in_tiktok AS t, note FROM tiktok.differences('shop', '2026-03-02', '2026-03-03');
SELECT event, currency, step, orders, money FROM tiktok.bridge('shop', '2026-03-02', '2026-03-03');
-- no period, one in the future, one that is turned round
SELECT (SELECT count(*) FROM tiktok.differences('shop', since, until)), (SELECT count(*) FROM tiktok.bridge('shop', since, until)), (SELECT count(*) FROM tiktok.reconcile('shop', since, until))
FROM (VALUES (now(), now()), ('2100-01-01', '2100-02-01')) p (since, until);
SELECT * FROM tiktok.bridge('shop', '2026-03-03', '2026-03-02');
SELECT count(*) > 0 FROM tiktok.bridge('shop', '-infinity', 'infinity');

SELECT empty_shop() \g /dev/null
DROP SCHEMA shops CASCADE;
DELETE FROM tiktok.source;
