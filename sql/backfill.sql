-- tiktok.check_rows() and tiktok.backfill(): the rows that are there, through the trigger's own mapping.
\set SHOW_CONTEXT never
\pset format unaligned
INSERT INTO tiktok.source (name, event_source, event_source_id, consent) VALUES ('shop', 'web', 'C1', 'required'), ('crm', 'crm', '7003', 'optional');
CREATE EXTENSION citext;
CREATE TYPE mood AS ENUM ('open', 'paid');
CREATE DOMAIN code AS citext;
-- the result of the last backfill, without its times
CREATE VIEW progress AS SELECT relation, trigger_name, condition, last_key, finished_at IS NOT NULL AS finished,
	rows_read, recorded, recorded_before AS before, invalid, suppressed, too_old, without_time, not_meant FROM tiktok.backfill_progress;

CREATE TABLE orders (
	gone int, id int PRIMARY KEY, "Order No" text, status mood, net numeric, total numeric GENERATED ALWAYS AS (net * 2) STORED,
	email text, paid_at timestamptz, agreed boolean DEFAULT true, note text);
ALTER TABLE orders DROP COLUMN gone;
ALTER TABLE orders ALTER note SET STORAGE EXTERNAL;
INSERT INTO orders (id, "Order No", status, net, email, paid_at) SELECT n, 'o' || n, 'paid', n, 'a@example.com', now() - n * interval '1 hour' FROM generate_series(1, 5) n;
INSERT INTO orders (id, "Order No", status, net, email, paid_at, agreed) VALUES
	(6, 'open', 'open', 1, 'a@example.com', now(), true), (7, 'no time', 'paid', 1, 'a@example.com', NULL, true),
	(8, 'old', 'paid', 1, 'a@example.com', now() - interval '8 days', true), (9, 'old and bad', 'paid', 'NaN', 'a@example.com', now() - interval '8 days', true),
	(10, 'bad', 'paid', 'NaN', 'a@example.com', now(), true), (11, 'refused', 'paid', 1, 'a@example.com', now(), false),
	(12, 'no key', 'paid', 1, 'nonsense', now(), true);
UPDATE orders SET note = repeat('x', 10000) WHERE id = 1;
SELECT tiktok.create_trigger('orders', 'shop', 'Purchase',
	'{"event_id": "\"Order No\"", "value": "total", "currency": "''EUR''", "email": "email", "event_time": "paid_at", "consent": "agreed", "url": "''https://example.com/''", "description": "note"}',
	'status = ''paid''') IS NOT NULL;
CREATE TRIGGER other BEFORE UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger();

-- looking: the newest rows first
SELECT key, event, event_id, payload #- '{event_time}' #- '{properties,description}' AS payload, problem, notes FROM tiktok.check_rows('orders', 'tiktok_shop_purchase');
SELECT event_id FROM tiktok.check_rows('orders', 'tiktok_shop_purchase', max => 2);
SELECT event_id, problem, event_time = paid_at AS same_time FROM tiktok.check_rows('orders', 'tiktok_shop_purchase', 'new.id < 3 OR status = ''open''', ignore_when => true), orders WHERE id::text = key[1] ORDER BY id;
SELECT length(payload #>> '{properties,description}') FROM tiktok.check_rows('orders', 'tiktok_shop_purchase', 'id = 1');
SELECT * FROM tiktok.check_rows('orders', 'tiktok_shop_purchase', max => 0);
SELECT count(*) FROM tiktok.event;
-- the condition is one more: what the WHEN leaves out stays out, unless it is ignored
SELECT key FROM tiktok.check_rows('orders', 'tiktok_shop_purchase', 'id > 9 OR true');
SELECT key FROM tiktok.check_rows('orders', 'tiktok_shop_purchase_update', 'id > 9 OR true', max => 1);
SELECT count(*), count(*) FILTER (WHERE key[1] IN ('3', '4')) AS open FROM tiktok.check_rows('orders', 'tiktok_shop_purchase', 'true', ignore_when => true);
-- the newest by time, not by key
SELECT key FROM tiktok.check_rows('orders', 'tiktok_shop_purchase', 'id IN (8, 9)');
SELECT tiktok.check_rows('orders', 'tiktok_shop_purchase', ignore_when => NULL);

-- recording
\set VERBOSITY terse
CALL tiktok.backfill('orders', 'tiktok_shop_purchase', 'id IN (SELECT 1)', ignore_when => true);
CALL tiktok.backfill('orders', 'tiktok_shop_purchase');
SELECT * FROM progress ORDER BY condition COLLATE "C";
SELECT event_id, status, reason, value FROM tiktok.event_status ORDER BY id;
SELECT e.event_id, e.event_time = o.paid_at AS same_time FROM tiktok.event e JOIN orders o ON o."Order No" = e.event_id ORDER BY e.id LIMIT 1;
-- again: nothing doubles; what was never sent is judged again
UPDATE orders SET net = 3, agreed = true WHERE id IN (10, 11);
CALL tiktok.backfill('orders', 'tiktok_shop_purchase');
SELECT recorded, before, invalid, suppressed, too_old, without_time, not_meant FROM progress WHERE condition LIKE '%paid%';
SELECT event_id, status FROM tiktok.event_status ORDER BY event_id COLLATE "C";
-- the trigger and the backfill make the same event
INSERT INTO orders (id, "Order No", status, net, email, paid_at) VALUES (20, 'live', 'paid', 1, 'a@example.com', now());
CALL tiktok.backfill('orders', 'tiktok_shop_purchase');
SELECT recorded, before FROM progress WHERE condition LIKE '%paid%';
-- a WHEN that speaks of the old row says nothing of those that are there
\set VERBOSITY default
CALL tiktok.backfill('orders', 'tiktok_shop_purchase_update');
CREATE TRIGGER changed AFTER UPDATE ON orders FOR EACH ROW WHEN (old.status IS DISTINCT FROM new.status) EXECUTE FUNCTION tiktok.track_row('shop', 'AddToCart', 'email=email', 'event_time=paid_at');
SELECT tiktok.check_rows('orders', 'changed');
\set VERBOSITY terse
CALL tiktok.backfill('orders', 'tiktok_shop_purchase_update', 'status = ''paid''');

-- interrupted: the same call goes on behind the last key
UPDATE tiktok.backfill_progress SET finished_at = NULL, last_key = '{11}', rows_read = 11 WHERE trigger_name = 'tiktok_shop_purchase' AND condition LIKE '%paid%';
DELETE FROM orders WHERE id = 12;
CALL tiktok.backfill('orders', 'tiktok_shop_purchase');
SELECT last_key, finished, rows_read, recorded, before FROM progress WHERE trigger_name = 'tiktok_shop_purchase' AND condition LIKE '%paid%';
-- with another key it begins anew
UPDATE tiktok.backfill_progress SET finished_at = NULL, last_key = '{x}', key_columns = '{3}' WHERE trigger_name = 'tiktok_shop_purchase' AND condition LIKE '%paid%';
CALL tiktok.backfill('orders', 'tiktok_shop_purchase');
-- keys are kept as text that every session reads alike
CREATE TABLE visits (at timestamptz, span interval, amount float8, word code, n int, email text, PRIMARY KEY (at, span, amount, word, n));
INSERT INTO visits SELECT '2020-02-03 01:02:03.123456+00'::timestamptz + n * interval '1 day', n * interval '1 month -1 day', 0.1::float8 + n / 3.0::float8, CASE WHEN n % 2 = 0 THEN 'a' ELSE 'B' END || n, n, 'a@example.com' FROM generate_series(1, 6) n;
SELECT tiktok.create_trigger('visits', 'shop', 'ViewContent', '{"event_id": "n", "email": "email", "event_time": "at", "consent": true, "url": "''https://example.com/''"}') IS NOT NULL;
UPDATE tiktok.source SET max_event_age = '100 years';
SET DateStyle = 'SQL, DMY'; SET IntervalStyle = 'sql_standard'; SET TimeZone = 'Asia/Kathmandu'; SET extra_float_digits = -10;
CALL tiktok.backfill('visits', 'tiktok_shop_viewcontent', 'n <= 3');
SELECT key FROM tiktok.check_rows('visits', 'tiktok_shop_viewcontent', 'n = 3');
UPDATE tiktok.backfill_progress SET finished_at = NULL, rows_read = 4,
	last_key = (SELECT key FROM tiktok.check_rows('visits', 'tiktok_shop_viewcontent', 'n = 4')) WHERE relation = 'visits'::regclass;
SET DateStyle = 'German'; SET IntervalStyle = 'iso_8601'; SET TimeZone = 'UTC';
SET search_path = pg_catalog;
CALL tiktok.backfill('public.visits', 'tiktok_shop_viewcontent', 'n <= 3');
RESET search_path; RESET DateStyle; RESET IntervalStyle; RESET TimeZone; RESET extra_float_digits;
SELECT rows_read, recorded, not_meant FROM progress WHERE relation = 'visits'::regclass;
-- the order is the index's: case does not count
CREATE TABLE words (a code, b text, email text, at timestamptz DEFAULT now(), PRIMARY KEY (a, b));
INSERT INTO words VALUES ('B', 'x', 'a@example.com'), ('a', 'y', 'a@example.com'), ('A', 'x', 'a@example.com'), ('c', 'x', 'a@example.com');
CREATE TRIGGER track AFTER INSERT ON words FOR EACH ROW EXECUTE FUNCTION tiktok.track_row('shop', 'Search', 'email=email', 'event_time=at', 'consent=''true''', 'url=''https://example.com/''');
SELECT key FROM tiktok.check_rows('words', 'track');
SET search_path = pg_catalog;
CALL tiktok.backfill('public.words', 'track');
UPDATE tiktok.backfill_progress SET finished_at = NULL, last_key = '{a,x}', rows_read = 1 WHERE trigger_name = 'track';
CALL tiktok.backfill('public.words', 'track');
RESET search_path;
SELECT rows_read FROM progress WHERE trigger_name = 'track';
SELECT event_id FROM tiktok.event WHERE event = 'Search' ORDER BY id;

-- stages, partitions, a function; rows of tables that inherit make no events
INSERT INTO tiktok.lead_stage VALUES ('crm', 'won', 'Purchase', 1);
CREATE TABLE leads (region text, id int, status text, at timestamptz DEFAULT now() - interval '1 day', PRIMARY KEY (id, region)) PARTITION BY LIST (region);
CREATE TABLE leads_eu PARTITION OF leads FOR VALUES IN ('eu');
CREATE TABLE leads_us (at timestamptz, status text, id int NOT NULL, region text NOT NULL, PRIMARY KEY (id, region));
ALTER TABLE leads ATTACH PARTITION leads_us FOR VALUES IN ('us');
INSERT INTO leads VALUES ('eu', 1, 'won'), ('us', 2, 'won'), ('eu', 3, 'new'), ('us', 4, NULL);
CREATE FUNCTION lead_event(l leads) RETURNS jsonb LANGUAGE sql AS $$ SELECT jsonb_build_object('lead_id', '741234567890123456' || l.id, 'event_time', l.at) $$;
SELECT tiktok.create_trigger('leads', 'crm', '=status', '{"using": "lead_event"}') IS NOT NULL;
SELECT key, event, event_id, payload #> '{lead}' AS lead, problem FROM tiktok.check_rows('leads', 'tiktok_crm_status');
CALL tiktok.backfill('leads', 'tiktok_crm_status');
SELECT recorded, not_meant FROM progress WHERE trigger_name = 'tiktok_crm_status';
-- a function that fails is seen, though it says no time either
CREATE OR REPLACE FUNCTION lead_event(l leads) RETURNS jsonb LANGUAGE sql AS $$ SELECT jsonb_build_object('lead_id', '741234567890123456' || 1 / (l.id - 6), 'event_time', l.at) $$;
ALTER TABLE leads DISABLE TRIGGER tiktok_crm_status;
INSERT INTO leads VALUES ('us', 6, 'won');
ALTER TABLE leads ENABLE TRIGGER tiktok_crm_status;
CALL tiktok.backfill('leads', 'tiktok_crm_status');
SELECT recorded, before, invalid, without_time FROM progress WHERE trigger_name = 'tiktok_crm_status';
SELECT event_id, status, reason FROM tiktok.event_status WHERE event_id ~ 'leads-1:6';
INSERT INTO leads VALUES ('us', 5, 'won', now());
SELECT event_id FROM tiktok.event WHERE event_id LIKE 'leads-%' ORDER BY id;
CALL tiktok.backfill('leads_us', 'tiktok_crm_status');
SELECT recorded, before FROM progress WHERE relation = 'leads_us'::regclass;
CREATE TABLE mother (id int NOT NULL UNIQUE, email text, at timestamptz DEFAULT now());
CREATE TABLE daughter () INHERITS (mother);
SELECT tiktok.create_trigger('mother', 'shop', 'AddToCart', '{"event_id": "id", "email": "email", "event_time": "at", "consent": true, "url": "''https://example.com/''"}') IS NOT NULL;
INSERT INTO daughter VALUES (1, 'a@example.com');
SELECT count(*) FROM tiktok.check_rows('mother', 'tiktok_shop_addtocart');
CALL tiktok.backfill('mother', 'tiktok_shop_addtocart');

-- more rows than a chunk
CREATE TABLE many (id int PRIMARY KEY, at timestamptz DEFAULT now());
INSERT INTO many SELECT generate_series(1, 5000);
CREATE TRIGGER track AFTER INSERT ON many FOR EACH ROW EXECUTE FUNCTION tiktok.track_row('shop', 'AddToWishlist', 'external_id=id', 'event_time=at', 'consent=''true''', 'url=''https://example.com/''');
-- a slow machine says how far it is
SET client_min_messages = warning;
CALL tiktok.backfill('many', 'track');
RESET client_min_messages;
SELECT rows_read, recorded FROM progress WHERE relation = 'many'::regclass;
SELECT count(*), count(DISTINCT xid) > 2 AS chunks FROM tiktok.event WHERE event = 'AddToWishlist';
DO $$ BEGIN CALL tiktok.backfill('many', 'track', 'id > 4998'); END $$;

-- mistakes
\set VERBOSITY default
BEGIN;
CALL tiktok.backfill('orders', 'tiktok_shop_purchase');
ROLLBACK;
CREATE FUNCTION inside() RETURNS void LANGUAGE plpgsql AS $$ BEGIN CALL tiktok.backfill('orders', 'tiktok_shop_purchase'); END $$;
SELECT inside();
CALL tiktok.backfill(NULL, 'tiktok_shop_purchase');
CALL tiktok.backfill('orders', NULL);
CALL tiktok.backfill('orders', 'nothing');
CALL tiktok.backfill('orders', 'other');
CALL tiktok.backfill('progress', 'tiktok_shop_purchase');
CALL tiktok.backfill('tiktok.event', 'tiktok_shop_purchase');
CALL tiktok.backfill('orders', 'tiktok_shop_purchase', 'nothing');
CALL tiktok.backfill('orders', 'tiktok_shop_purchase', '1 / (id - 3) > 0');
CALL tiktok.backfill('orders', 'tiktok_shop_purchase', 'id IN (' || repeat('1000000, ', 300) || '1)');
SET tiktok_events.test_event = on;
CALL tiktok.backfill('orders', 'tiktok_shop_purchase');
RESET tiktok_events.test_event;
SELECT tiktok.check_rows('orders', 'tiktok_shop_purchase', max => -1);
SELECT tiktok.check_rows('orders', 'tiktok_shop_purchase', max => NULL);
SELECT tiktok.check_rows('orders', 'nothing');
CREATE TRIGGER timeless AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION tiktok.track_row('shop', 'Purchase', 'email=email');
CALL tiktok.backfill('orders', 'timeless');
CREATE TRIGGER orphan AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION tiktok.track_row('nobody', 'Purchase', 'email=email', 'event_time=paid_at');
CALL tiktok.backfill('orders', 'orphan');
CREATE TRIGGER misfit AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION tiktok.track_row('crm', 'Purchase', 'email=mail', 'event_time=paid_at');
CALL tiktok.backfill('orders', 'misfit');
SELECT key, problem FROM tiktok.check_rows('orders', 'misfit', max => 1);
CREATE TABLE keyless (id int UNIQUE, email text, at timestamptz);
CREATE UNIQUE INDEX ON keyless (lower(email));
INSERT INTO keyless VALUES (1, 'a@example.com', now());
CREATE TRIGGER track AFTER INSERT ON keyless FOR EACH ROW EXECUTE FUNCTION tiktok.track_row('shop', 'Purchase', 'event_id=id', 'email=email', 'event_time=at');
CALL tiktok.backfill('keyless', 'track');
SELECT key, event_id FROM tiktok.check_rows('keyless', 'track');

-- rows are read as the table's owner, for whoever may read them
CREATE ROLE regress_clerk;
GRANT USAGE ON SCHEMA tiktok TO regress_clerk;
GRANT EXECUTE ON PROCEDURE tiktok.backfill TO regress_clerk;
GRANT EXECUTE ON FUNCTION tiktok.check_rows TO regress_clerk;
GRANT SELECT, INSERT, UPDATE ON tiktok.backfill_progress TO regress_clerk;
SET ROLE regress_clerk;
SELECT event_id FROM tiktok.check_rows('orders', 'tiktok_shop_purchase');
CALL tiktok.backfill('orders', 'tiktok_shop_purchase');
RESET ROLE;
GRANT SELECT ON orders TO regress_clerk;
ALTER TABLE orders ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON orders USING (id = 2);
SET ROLE regress_clerk;
SELECT event_id FROM tiktok.check_rows('orders', 'tiktok_shop_purchase');
\set VERBOSITY terse
CALL tiktok.backfill('orders', 'tiktok_shop_purchase');
RESET ROLE;

TRUNCATE tiktok.event, tiktok.identity, tiktok.delivery, tiktok.backfill_progress;
DELETE FROM tiktok.source;
DROP VIEW progress;
DROP FUNCTION inside, lead_event;
DROP TABLE orders, visits, words, leads, mother, daughter, many, keyless;
DROP TYPE mood;
DROP DOMAIN code;
DROP EXTENSION citext;
REVOKE ALL ON SCHEMA tiktok FROM regress_clerk;
REVOKE ALL ON ALL ROUTINES IN SCHEMA tiktok FROM regress_clerk;
REVOKE ALL ON tiktok.backfill_progress FROM regress_clerk;
DROP ROLE regress_clerk;
