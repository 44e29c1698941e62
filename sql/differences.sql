-- Differences and the bridge: random shops, whose own bookkeeping says what must come out; and a shop with one order of each cause.
\set SHOW_CONTEXT never
SET TimeZone = 'UTC';
SET IntervalStyle = 'postgres';
SET client_min_messages = warning;
CREATE SCHEMA shops;
SET search_path = shops, public;
INSERT INTO tiktok.source (id, name, event_source, event_source_id) VALUES (601, 'shop', 'web', 'C1'), (602, 'other', 'web', 'C2');
CREATE TABLE orders (event_id text, value numeric, currency text, at timestamptz);
INSERT INTO tiktok.source_of_truth VALUES ('shop', 'Purchase', 'shops.orders');

-- The bookkeeping: what must be listed, and what TikTok has, each conversion once
CREATE TABLE listed (cause text, event text, event_id text, in_orders boolean, in_tiktok boolean);
CREATE TABLE conversion (event text, currency text, value numeric, at timestamptz);

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

CREATE FUNCTION make_order(no text, v numeric, cur text, t timestamptz, kind text, fired boolean, money_mode text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	sent numeric;
	status text := CASE WHEN kind IN ('pending', 'retrying', 'rejected', 'invalid', 'suppressed', 'expired', 'uncertain', 'discarded') THEN kind END;
BEGIN
	IF kind <> 'no_order' THEN
		INSERT INTO orders VALUES (no, v, cur, t);
	END IF;
	IF fired AND kind NOT IN ('late', 'pixel_48_hours', 'pixel_other_name', 'pixel_other_id', 'pixel_only', 'no_event', 'no_longer_known') THEN
		PERFORM fire(no, t + (random() * 100 - 50) * interval '1 s');
	END IF;
	IF status IS NOT NULL OR kind IN ('test', 'other_source') THEN
		PERFORM record(no, t, v, cur, coalesce(status, 'delivered'), 'why', source => CASE kind WHEN 'other_source' THEN 602 ELSE 601 END, test => CASE kind WHEN 'test' THEN 'T1' END);
		INSERT INTO listed VALUES (kind, 'Purchase', no, true, fired);
		IF fired THEN
			INSERT INTO conversion VALUES ('Purchase', cur, v, t);
		END IF;
	ELSIF kind IN ('no_event', 'no_longer_known') THEN
		INSERT INTO listed VALUES (kind, 'Purchase', no, true, false);
	ELSIF kind = 'pixel_only' THEN
		PERFORM fire(no, t);
		INSERT INTO listed VALUES (kind, 'Purchase', no, true, true);
		INSERT INTO conversion VALUES ('Purchase', cur, v, t);
	ELSIF kind = 'money' THEN
		sent := CASE money_mode WHEN 'value_net' THEN round(v / 1.19, 2) WHEN 'value_constant' THEN 7.77 WHEN 'value_zero' THEN 0 WHEN 'value_hundredfold' THEN v * 100
			WHEN 'no_value' THEN NULL WHEN 'other_currency' THEN v ELSE v * (1.5 + (random() * 1000)::int) END;
		PERFORM record(no, t, sent, CASE money_mode WHEN 'no_value' THEN NULL WHEN 'other_currency' THEN 'GBP' ELSE cur END);
		INSERT INTO listed VALUES (money_mode, 'Purchase', no, true, true);
		INSERT INTO conversion VALUES ('Purchase', CASE money_mode WHEN 'other_currency' THEN 'GBP' ELSE cur END, coalesce(sent, 0), t);
	ELSE
		PERFORM record(no, t, v + CASE kind WHEN 'rounding' THEN 0.004 ELSE 0 END, cur, after => CASE kind WHEN 'late' THEN interval '20 min' WHEN 'pixel_48_hours' THEN interval '3 days' ELSE interval '2 s' END);
		INSERT INTO conversion VALUES ('Purchase', cur, v + CASE kind WHEN 'rounding' THEN 0.004 ELSE 0 END, t);
		IF kind = 'duplicate' THEN
			INSERT INTO orders VALUES (no, v + 1, cur, t + interval '1 min');
			INSERT INTO listed VALUES (kind, 'Purchase', no, true, false);
		ELSIF kind = 'recorded_twice' THEN
			PERFORM record('trigger2-' || no, t, v, cur);
			INSERT INTO listed VALUES (kind, 'Purchase', 'trigger2-' || no, false, true);
			INSERT INTO conversion VALUES ('Purchase', cur, v, t);
		ELSIF kind = 'no_order' THEN
			INSERT INTO listed VALUES (kind, 'Purchase', no, false, true);
		ELSIF kind = 'late' THEN
			PERFORM fire(no, t);
			INSERT INTO listed VALUES (kind, 'Purchase', no, true, true);
		ELSIF kind = 'pixel_48_hours' THEN
			PERFORM fire(no, t);
			INSERT INTO listed VALUES (kind, 'Purchase', no, false, true);
			INSERT INTO conversion VALUES ('Purchase', NULL, 0, t);
		ELSIF kind = 'pixel_other_name' THEN
			PERFORM fire(no, t, 'CompletePayment');
			INSERT INTO listed VALUES (kind, 'CompletePayment', no, false, true);
			INSERT INTO conversion VALUES ('CompletePayment', NULL, 0, t);
		ELSIF kind = 'pixel_other_id' THEN
			PERFORM fire('browser-' || no, t);
			INSERT INTO listed VALUES (kind, 'Purchase', 'browser-' || no, false, true);
			INSERT INTO conversion VALUES ('Purchase', NULL, 0, t);
		END IF;
	END IF;
END $$;

CREATE FUNCTION empty_shop() RETURNS void LANGUAGE sql AS $$
	TRUNCATE orders, listed, conversion, tiktok.event, tiktok.identity, tiktok.delivery, tiktok.retry, tiktok.pixel_seen, tiktok.platform_count
$$;

-- What is wrong; nothing, if all is well
CREATE FUNCTION mistakes(since timestamptz, until timestamptz) RETURNS SETOF text LANGUAGE sql AS $$
	WITH d AS MATERIALIZED (SELECT * FROM tiktok.differences('shop', since, until)),
	b AS MATERIALIZED (SELECT * FROM tiktok.bridge('shop', since, until)),
	mine AS (
		SELECT event, currency, sum(orders) AS orders, sum(money) AS money FROM (
			SELECT 'Purchase' AS event, currency, 1 AS orders, value AS money FROM orders WHERE at >= since AND at < until) o GROUP BY 1, 2),
	theirs AS (
		SELECT event, currency, count(*) AS orders, sum(value) AS money FROM conversion WHERE at >= since AND at < until GROUP BY 1, 2)
	(SELECT 'not listed: ' || l::text FROM listed l WHERE since < 'now'::timestamptz - interval '44 days' EXCEPT ALL SELECT 'not listed: ' || (d.cause, d.event, d.event_id, d.in_orders, d.in_tiktok)::text FROM d)
	UNION ALL
	(SELECT 'listed: ' || (d.cause, d.event, d.event_id, d.in_orders, d.in_tiktok)::text FROM d WHERE since < 'now'::timestamptz - interval '44 days' EXCEPT ALL SELECT 'listed: ' || l::text FROM listed l)
	UNION ALL
	SELECT format('%s %s: your_orders %s, %s in the bridge', coalesce(b.event, m.event), coalesce(b.currency, m.currency), m, b)
	FROM mine m FULL JOIN (SELECT * FROM b WHERE step = 'your_orders') b ON (b.event, b.currency) IS NOT DISTINCT FROM (m.event, m.currency) AND b.event = m.event
	WHERE (b.orders, b.money) IS DISTINCT FROM (m.orders, m.money)
	UNION ALL
	SELECT format('%s %s: explained %s, %s in the bridge', coalesce(b.event, t.event), coalesce(b.currency, t.currency), t, b)
	FROM theirs t FULL JOIN (SELECT * FROM b WHERE step = 'explained') b ON b.event = t.event AND coalesce(b.currency, '') = coalesce(t.currency, '')
	WHERE (b.orders, b.money) IS DISTINCT FROM (t.orders, t.money)
	UNION ALL
	SELECT format('%s %s does not close', b.event, b.currency)
	FROM b WHERE step NOT IN ('from_server', 'outside_whole_days', 'unexplained', 'tiktok_server', 'tiktok_browser')
	GROUP BY b.event, b.currency
	HAVING sum(CASE WHEN step = 'explained' THEN -orders ELSE orders END) <> 0 OR sum(CASE WHEN step = 'explained' THEN -money ELSE money END) <> 0
	UNION ALL
	SELECT format('%s has %s causes', d.event_id, count(*)) FROM d WHERE d.in_orders AND d.cause <> 'duplicate' GROUP BY d.event_id HAVING count(*) > 1
$$;

CREATE FUNCTION random_shop(seed int) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	kinds text[] := '{ok,ok,ok,rounding,test,other_source,pixel_only,no_event,pending,retrying,rejected,invalid,suppressed,expired,uncertain,discarded,duplicate,money,late,no_order,recorded_twice,pixel_48_hours,pixel_other_name,pixel_other_id}';
	modes text[] := '{value_net,value_constant,value_zero,value_hundredfold,no_value,other_currency,value_differs}';
	currencies text[];
	mode text;
	pixel float8;
	middle timestamptz;
	start timestamptz := date_trunc('second', now());
BEGIN
	PERFORM empty_shop(), setseed(seed / 1000.0);
	mode := modes[1 + (random() * 6.99)::int % 7];
	currencies := CASE WHEN random() < 0.5 THEN '{EUR}' ELSE '{EUR,USD,JPY}' END::text[];
	pixel := CASE WHEN random() < 0.3 THEN 0 ELSE random() END;
	-- a mix of its own
	kinds := ARRAY(SELECT k FROM unnest(kinds) k WHERE k = 'ok' OR random() < 0.6);
	PERFORM make_order(format('S%s-%s', seed, g), round((5 + g * 1.37 + random() * 3)::numeric, 2), currencies[1 + (random() * 100)::int % cardinality(currencies)],
		start - random() * interval '25 days' - g * interval '1 s' - interval '4 days', kinds[1 + (random() * 1000)::int % cardinality(kinds)], random() < pixel, mode)
	FROM generate_series(1, 40 + (random() * 60)::int) g;
	-- the mode of money shows in at least six of its orders
	PERFORM make_order(format('S%s-money-%s', seed, g), round((50 + g * 3.33)::numeric, 2), currencies[1], start - g * interval '1 h', 'money', false, mode) FROM generate_series(1, 6) g;
	-- and some are older than what is kept
	PERFORM make_order(format('S%s-old-%s', seed, g), g, currencies[1], start - interval '42 days' - g * interval '1 h', 'no_longer_known', false, mode) FROM generate_series(1, (random() * 3)::int) g;
	IF random() < 0.5 THEN
		INSERT INTO tiktok.platform_count (source, day, event, browser, server) SELECT 'shop', start::date - g, 'Purchase', 3, 4 FROM generate_series(0, 40) g;
	END IF;
	middle := start - random() * interval '30 days';
	RETURN QUERY SELECT format('shop %s (%s): %s', seed, mode, m) FROM mistakes(start - interval '45 days', start) m
		UNION ALL SELECT format('shop %s (%s) until %s: %s', seed, mode, middle, m) FROM mistakes(start - interval '43 days', middle) m
		UNION ALL SELECT format('shop %s (%s) since %s: %s', seed, mode, middle, m) FROM mistakes(middle, start) m;
END $$;
SELECT s.* FROM generate_series(1, 60) seed, random_shop(seed) s;

-- One order of each cause; and what is not in differences agrees. Kept for ever, from here on
SELECT empty_shop() \g /dev/null
UPDATE tiktok.source SET max_event_age = '100 years';
SELECT make_order(kind, 10 * n, 'EUR', '2026-03-02 10:00Z'::timestamptz + n * interval '1 min', kind, kind = 'suppressed', '')
FROM unnest('{ok,rounding,test,other_source,pixel_only,no_event,pending,retrying,rejected,invalid,suppressed,expired,uncertain,discarded,duplicate,no_order,recorded_twice,pixel_48_hours,pixel_other_name,pixel_other_id,late}'::text[])
	WITH ORDINALITY k (kind, n) \g /dev/null
SELECT make_order(mode, 7.5, 'EUR', '2026-03-02 11:00Z'::timestamptz + n * interval '1 min', 'money', false, mode)
FROM unnest('{no_value,other_currency,value_zero,value_hundredfold}'::text[]) WITH ORDINALITY k (mode, n) \g /dev/null
SELECT make_order('net ' || g, 11.9 * g, 'EUR', '2026-03-02 12:00Z'::timestamptz + g * interval '1 min', 'money', false, 'value_net') FROM generate_series(1, 5) g \g /dev/null
INSERT INTO orders VALUES (NULL, 3, 'EUR', '2026-03-02 13:00Z'), ('nothing', NULL, NULL, '2026-03-02 13:01Z'), ('Lead instead', 2, 'EUR', '2026-03-02 13:02Z'), ('a thousandth', 1234, 'EUR', '2026-03-02 13:03Z');
SELECT record('nothing', '2026-03-02 13:01Z', 5, 'EUR'), record('Lead instead', '2026-03-02 13:02Z', 2, 'EUR', name => 'Lead'), record('a thousandth', '2026-03-02 13:03Z', 1.234, 'EUR') \g /dev/null
SELECT cause, event, event_id, value, currency AS cur, value_sent AS sent, currency_sent AS cur_sent, in_orders AS o, in_tiktok AS t, note FROM tiktok.differences('shop', '2026-03-02', '2026-03-03');
SELECT * FROM tiktok.bridge('shop', '2026-03-02', '2026-03-03');

-- A run of orders without an event, and a disabled trigger
SELECT empty_shop() \g /dev/null
CREATE TABLE paid (no text, total numeric);
CREATE TRIGGER tiktok AFTER INSERT ON paid FOR EACH ROW EXECUTE FUNCTION tiktok.track_row('shop', 'Purchase', 'event_id=no', 'external_id=no', 'url=''https://shop.example.com/''');
ALTER TABLE paid DISABLE TRIGGER tiktok;
SELECT make_order('R' || g, 1, 'EUR', '2026-03-02 10:00Z'::timestamptz + g * interval '1 hour', CASE WHEN g IN (2, 5, 6, 7, 8, 9, 10) THEN 'no_event' ELSE 'ok' END, false, '') FROM generate_series(1, 12) g \g /dev/null
SELECT event_id, at, note FROM tiktok.differences('shop', '2026-03-02', '2026-03-03');
DROP TABLE paid;

-- TikTok's counts: before or after it drops copies? Only where a control and enough matched reports say so
CREATE FUNCTION counts(browser numeric, server numeric, control numeric) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	DELETE FROM tiktok.platform_count;
	INSERT INTO tiktok.platform_count (source, day, event, browser, server)
	SELECT 'shop', (now() AT TIME ZONE 'UTC')::date - g, 'Purchase', 30 * browser, 30 * server FROM generate_series(1, 12) g
	UNION ALL SELECT 'shop', (now() AT TIME ZONE 'UTC')::date - g, 'Subscribe', 0, 10 * control FROM generate_series(1, 12) g;
	RETURN (SELECT rule FROM tiktok._count_rule());
END $$;
CREATE FUNCTION day(ago int, hours int) RETURNS timestamptz LANGUAGE sql AS $$ SELECT date_trunc('day', now(), 'UTC') - ago * interval '1 day' + hours * interval '1 hour' $$;
SELECT empty_shop() \g /dev/null
SELECT make_order(format('C%s-%s', d, g), 1, 'EUR', day(d, 1) + g * interval '20 min', 'ok', true, '') FROM generate_series(1, 12) d, generate_series(1, 30) g \g /dev/null
SELECT record(format('S%s-%s', d, g), day(d, 1) + g * interval '20 min', NULL, NULL, name => 'Subscribe') FROM generate_series(1, 12) d, generate_series(1, 10) g \g /dev/null
SELECT counts(1, 1, 1) AS before, counts(0.2, 0.8, 1) AS after, counts(0.4, 1, 1) AS neither, counts(1, 1, 0.8) AS bad_control, counts(1, 0.8, 1) AS fewer;
SELECT counts(0.2, 0.8, 1);
SELECT step, orders FROM tiktok.bridge('shop', day(10, 5), day(5, 2)) WHERE event = 'Purchase' ORDER BY position;
SELECT counts(1, 1, 1);
UPDATE tiktok.platform_count SET server = server - 2 WHERE event = 'Purchase' AND day = day(7, 0)::date;
SELECT step, orders FROM tiktok.bridge('shop', day(10, 5), day(5, 2)) WHERE event = 'Purchase' ORDER BY position;
DELETE FROM tiktok.platform_count WHERE day > day(7, 0)::date;
SELECT rule, evidence FROM tiktok._count_rule();

SELECT empty_shop() \g /dev/null
DROP SCHEMA shops CASCADE;
DELETE FROM tiktok.source;
