-- tiktok.create_trigger(): everything is checked against the table; the statement is executed and returned.
\set SHOW_CONTEXT never
\pset format unaligned
\pset tuples_only on
INSERT INTO tiktok.source (name, event_source, event_source_id) VALUES ('shop', 'web', 'C1'), ('app', 'app', '7001'), ('store', 'offline', '7002'), ('crm', 'crm', '7003');
CREATE EXTENSION citext;
CREATE TYPE mood AS ENUM ('open', 'paid', 'shipped');
CREATE DOMAIN address AS citext;
CREATE SCHEMA "Web Shop";
CREATE TABLE "Web Shop"."Orders" (
	id int PRIMARY KEY, "Order No" text, status mood, net numeric, total numeric GENERATED ALWAYS AS (net * 1.19) STORED, email address, gone int, "a.b" text);
ALTER TABLE "Web Shop"."Orders" DROP COLUMN gone;

-- a condition: when it holds for an inserted row, and when it begins to hold for an updated one
SELECT tiktok.create_trigger('"Web Shop"."Orders"', 'shop', 'Purchase',
	'{"event_id": "\"Order No\"", "event_time": "now", "email": "email", "value": "total", "currency": "''EUR''", "url": "''https://example.com/it''''s''", "description": "\"a.b\""}',
	$$status >= 'paid' AND email <> 'TEST@example.com'$$);
SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE tgrelid = '"Web Shop"."Orders"'::regclass AND NOT tgisinternal ORDER BY tgname;
INSERT INTO "Web Shop"."Orders" (id, "Order No", status, net, email) VALUES
	(1, 'paid at once', 'paid', 100, 'a@example.com'), (2, 'open', 'open', 1, 'a@example.com'), (3, 'null', NULL, 1, 'a@example.com'),
	(4, 'test', 'paid', 1, 'Test@Example.com'), (5, 'never', 'open', 1, 'a@example.com');
SELECT event_id, value FROM tiktok.event_status ORDER BY id;
UPDATE "Web Shop"."Orders" SET net = net + 1;
UPDATE "Web Shop"."Orders" SET status = 'paid' WHERE id IN (2, 3, 4);
UPDATE "Web Shop"."Orders" SET status = 'shipped' WHERE id < 5;
UPDATE "Web Shop"."Orders" SET email = 'b@example.com';
SELECT event_id, status, value FROM tiktok.event_status ORDER BY id;

-- without a condition: new rows; names, quotes, literals
SELECT tiktok.create_trigger('"Web Shop"."Orders"', 'shop', 'ViewContent', '{"event_time": "now", "user.email": "email", "url": "''https://example.com/''"}', name => 'It''s "mine"');
SELECT tiktok.create_trigger('"Web Shop"."Orders"', 'shop', 'My_Own_Event_of_the_Shop_that_has_a_name_of_fifty', '{"event_time": "now", "email": "email", "url": "''https://example.com/''", "num_items": 2, "consent": true}', 'new.net IS NOT NULL');
SELECT tgname, length(tgname) FROM pg_trigger WHERE tgrelid = '"Web Shop"."Orders"'::regclass ORDER BY tgname COLLATE "C";
SELECT tiktok.create_trigger('"Web Shop"."Orders"', 'shop', 'CompletePayment', '{"event_time": "now", "email": "email", "url": "''https://example.com/''", "value": 5, "currency": "''EUR''"}');
DROP SCHEMA "Web Shop" CASCADE;

-- stages: the stage has to change, and the condition to hold
INSERT INTO tiktok.lead_stage VALUES ('crm', 'qualified', 'Qualified_Lead', 1), ('crm', 'won', 'Purchase', 2);
CREATE TABLE leads (id int PRIMARY KEY, lead text DEFAULT '7412345678901234567', status text, agreed boolean);
SELECT tiktok.create_trigger('leads', 'crm', '=status', '{"event_time": "now", "lead_id": "lead"}');
INSERT INTO leads VALUES (1, DEFAULT, 'qualified'), (2, DEFAULT, 'new');
UPDATE leads SET agreed = true;
UPDATE leads SET status = 'won';
SELECT event, event_id, status FROM tiktok.event_status WHERE source = 'crm' ORDER BY id;
DROP TRIGGER tiktok_crm_status ON leads;
SELECT tiktok.create_trigger('leads', 'crm', '=status', '{"event_time": "now", "lead_id": "lead"}', 'agreed', 'stage');
INSERT INTO leads VALUES (3, DEFAULT, 'new', false), (4, DEFAULT, 'new', true);
UPDATE leads SET status = 'won' WHERE id > 2;
UPDATE leads SET agreed = true;
SELECT event, event_id FROM tiktok.event_status WHERE event_id ~ '-[34]-';
-- also when another trigger sets it
CREATE FUNCTION win() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.status = 'won'; RETURN NEW; END $$;
CREATE TRIGGER win BEFORE UPDATE OF agreed ON leads FOR EACH ROW EXECUTE FUNCTION win();
INSERT INTO leads VALUES (5, DEFAULT, 'new', true);
UPDATE leads SET agreed = true WHERE id = 5;
SELECT event, event_id FROM tiktok.event_status WHERE event_id ~ '-5-';

-- a partitioned table; ids are made of the key in its order, whatever the order of columns in a partition
CREATE TABLE sales (shop text, id int, email text, PRIMARY KEY (id, shop)) PARTITION BY RANGE (id);
CREATE TABLE sales_1 PARTITION OF sales FOR VALUES FROM (0) TO (100);
CREATE TABLE sales_2 (email text, extra int, id int NOT NULL, shop text NOT NULL, PRIMARY KEY (id, shop));
ALTER TABLE sales_2 DROP COLUMN extra;
ALTER TABLE sales ATTACH PARTITION sales_2 FOR VALUES FROM (100) TO (200);
SELECT tiktok.create_trigger('sales', 'store', 'Purchase', '{"event_time": "now", "email": "email", "value": 5, "currency": "''EUR''"}', 'shop = ''A''');
CREATE TRIGGER by_hand AFTER INSERT ON sales FOR EACH ROW WHEN (new.shop = 'A') EXECUTE FUNCTION tiktok.track_row('store', 'Purchase', 'email=email', 'value=''5''', 'currency=''EUR''');
INSERT INTO sales VALUES ('A', 7, 'a@example.com'), ('A', 107, 'a@example.com'), ('B', 8, 'a@example.com');
SELECT event_id, status FROM tiktok.event_status WHERE source = 'store' ORDER BY id;

-- using= stays as it is given
CREATE SCHEMA lib;
CREATE TABLE carts (id int PRIMARY KEY, email text);
CREATE FUNCTION lib."Cart"(c carts) RETURNS jsonb LANGUAGE sql AS $$ SELECT jsonb_build_object('email', c.email, 'url', 'https://example.com/') $$;
SELECT tiktok.create_trigger('carts', 'shop', 'AddToCart', '{"event_time": "now", "using": "lib.\"Cart\""}');
INSERT INTO carts VALUES (1, 'a@example.com');
SELECT event_id, status FROM tiktok.event_status WHERE event = 'AddToCart';

-- mistakes
\set VERBOSITY default
CREATE TABLE t (id int PRIMARY KEY, email text, total numeric, status text, raw bytea, j jsonb);
CREATE FUNCTION try(source text, event text, mapping jsonb, condition text DEFAULT NULL, name text DEFAULT NULL, relation regclass DEFAULT 't') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	detail text;
	hint text;
BEGIN
	PERFORM tiktok.create_trigger(relation, source, event, mapping, condition, name);
	RAISE 'accepted';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
	RETURN concat_ws(' | ', sqlstate, sqlerrm, nullif(detail, ''), nullif(hint, ''));
END $$;
CREATE FUNCTION try_web(mapping jsonb, condition text DEFAULT NULL, name text DEFAULT NULL, relation regclass DEFAULT 't') RETURNS text LANGUAGE sql AS $$
	SELECT try('shop', 'ViewContent', '{"email": "email", "url": "''https://example.com/''", "event_time": "now"}' || mapping, condition, name, relation) $$;
SELECT try_web('{}');
SELECT try(NULL, 'Purchase', '{}');
SELECT try('shop', NULL, '{}');
SELECT try('shop', 'Purchase', NULL);
SELECT try('shop', 'Purchase', '{}', relation => NULL);
SELECT try('nobody', 'Purchase', '{}');
SELECT try('shop', 'purchase', '{"email": "email", "url": "''https://example.com/''"}');
SELECT try('shop', '', '{"email": "email", "url": "''https://example.com/''"}');
SELECT try('shop', 'Pur chase!', '{"email": "email", "url": "''https://example.com/''"}');
SELECT try('crm', '=stage', '{"event_time": "now", "lead_id": "id"}');
SELECT try('crm', '=j', '{"event_time": "now", "lead_id": "id"}');
SELECT try('crm', '=j.key', '{"event_time": "now", "lead_id": "id"}');
SELECT try('shop', 'Purchase', '[]');
SELECT try_web('{"value": null}');
SELECT try_web('{"value": {"a": 1}}');
SELECT try_web('{"emial": "email"}');
SELECT try_web('{"phone": ""}');
SELECT try_web('{"phone": "mobile"}');
SELECT try_web('{"currency": "EUR"}');
SELECT try_web('{"value": "total_cents/100"}');
SELECT try_web('{"value": "round(total)"}');
SELECT try_web('{"value": "total.key"}');
SELECT try_web('{"value": "raw"}');
-- what was meant
SELECT mapping, try_web(mapping) FROM (VALUES ('{"email": "emial"}'::jsonb), ('{"email": "coalesce(email, status)"}'), ('{"email": "coalesce(status, t->email)"}'), ('{"email": "status->email"}'), ('{"email": "statu->email"}'),
	('{"email": "customers.email"}'), ('{"email": "new.email"}'), ('{"url": "https://example.com/"}'), ('{"description": "''SO-'' || id"}'), ('{"email": ["email", "status"]}'), ('{"value": "nothing_like_it"}')) v (mapping);
-- literals that no event can be sent with
SELECT mapping, try_web(mapping) FROM (VALUES ('{"currency": "''Euro''"}'::jsonb), ('{"currency": "''''"}'), ('{"value": "''abc''", "currency": "''EUR''"}'), ('{"value": -5, "currency": "''EUR''"}'),
	('{"url": "''shop.example.com''"}'), ('{"url": "''/thanks''"}'), ('{"event_id": "''fixed''"}'), ('{"event_time": "''2026-01-01''"}'), ('{"contents": "''x''"}')) v (mapping);
SELECT try('app', 'Purchase', '{"event_time": "now", "email": "email", "app_id": "''''"}');
SELECT try_web('{"user.email": "email"}');
SELECT try_web('{"time_zone": "UTC"}');
SELECT try_web('{"time_zone": "''Nowhere/Land''"}');
SELECT try_web('{"lead_id": "id"}');
SELECT try('store', 'Purchase', '{"event_time": "now", "email": "email", "limited_data_use": true}');
SELECT try_web('{"using": "nothing"}');
SELECT try_web('{"using": "win"}');
CREATE FUNCTION t_text(t) RETURNS text LANGUAGE sql AS 'SELECT NULL::text';
SELECT try_web('{"using": "t_text"}');
SELECT try('shop', 'Purchase', '{"event_time": "now", "email": "email"}');
SELECT try('shop', 'Purchase', '{"event_time": "now", "url": "''https://example.com/''"}');
SELECT try('app', 'Purchase', '{"event_time": "now", "email": "email"}');
SELECT try('crm', 'Purchase', '{"event_time": "now", "email": "email"}');
SELECT try('shop', 'ViewContent', '{"email": "email", "url": "''https://example.com/''"}');
SELECT try_web('{}', 'stat = ''paid''');
SELECT try_web('{}', 'total');
SELECT try_web('{}', 'status = ''paid');
SELECT try_web('{}', '');
SELECT try_web('{}', 'true) OR (false');
SELECT try_web('{}', 'true, false');
SELECT try_web('{}', 'true FROM t');
SELECT try_web('{}', 'true AS x');
SELECT try_web('{}', 'old.status = ''paid''');
SELECT try_web('{}', 'EXISTS (SELECT FROM t)');
SELECT try_web('{}', 'count(*) > 1');
SELECT try_web('{}', 'true -- always');
SELECT try_web('{}', name => '');
SELECT try_web('{}', name => repeat('x', 64));
SELECT tiktok.create_trigger('t', 'shop', 'ViewContent', '{"event_time": "now", "email": "email", "url": "''https://example.com/''"}', 'status = paid');
-- no table
CREATE VIEW v AS SELECT * FROM t;
CREATE MATERIALIZED VIEW m AS SELECT * FROM t;
CREATE FOREIGN DATA WRAPPER nothing;
CREATE SERVER nowhere FOREIGN DATA WRAPPER nothing;
CREATE FOREIGN TABLE f (id int, email text) SERVER nowhere;
SELECT try_web('{}', relation => 'v');
SELECT try_web('{}', relation => 'm');
SELECT try_web('{}', relation => 'f');
SELECT try_web('{}', relation => 't_pkey');
SELECT try_web('{}', relation => 'tiktok.event');
SELECT try_web('{}', relation => 4294967295);
CREATE TABLE keyless (email text);
SELECT try_web('{}', relation => 'keyless');
-- nothing is left behind, and a name is taken once
SELECT count(*) FROM pg_trigger WHERE tgrelid = 't'::regclass;
SELECT tiktok.create_trigger('t', 'shop', 'ViewContent', '{"event_time": "now", "email": "email", "url": "''https://example.com/''"}');
SELECT try_web('{}');

-- again, deliberately: all that was made for it goes, and comes
SELECT tiktok.create_trigger('t', 'shop', 'ViewContent', '{"event_time": "now", "email": "email", "url": "''https://example.com/''"}', $$status = 'seen'$$, replace => true);
SELECT tiktok.create_trigger('t', 'shop', 'ViewContent', '{"event_time": "now", "email": "email", "url": "''https://example.com/y''"}', $$status = 'seen'$$, replace => true);
SELECT tgname FROM pg_trigger WHERE tgrelid = 't'::regclass ORDER BY tgname;
SELECT tiktok.drop_trigger('t', 'tiktok_shop_viewcontent');
SELECT count(*) FROM pg_trigger WHERE tgrelid = 't'::regclass;
CREATE TRIGGER strange AFTER UPDATE ON t FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger();
SELECT tiktok.drop_trigger('t', 'strange');
SELECT tiktok.drop_trigger('t', 'nothing');
SELECT tiktok.drop_trigger('t', NULL);
SELECT tiktok.drop_trigger(NULL, 'x');
SELECT try_web('{}', name => 'strange');
DROP TRIGGER strange ON t;
-- a name is cut where it has to be, and then may need a number
INSERT INTO tiktok.source (name, event_source, event_source_id) VALUES ('shop_with_a_long_name', 'web', 'C2');
SELECT tiktok.create_trigger('t', 'shop_with_a_long_name', event, '{"event_time": "now", "email": "email", "url": "''https://example.com/''"}') ~ event
FROM (VALUES (repeat('x', 47) || 'a'), (repeat('x', 47) || 'b'), (repeat('x', 47) || 'c')) v (event);
SELECT try('shop_with_a_long_name', repeat('x', 47) || 'b', '{"event_time": "now", "email": "email", "url": "''https://example.com/''"}');
SELECT tgname, length(tgname), split_part(encode(tgargs, 'escape'), '\000', 2) AS event FROM pg_trigger WHERE tgrelid = 't'::regclass ORDER BY tgname COLLATE "C";
-- event_time from a column of that name
CREATE TABLE times (id int PRIMARY KEY, email text, now timestamptz);
SELECT tiktok.create_trigger('times', 'shop', 'Search', '{"event_time": "\"now\"", "email": "email", "url": "''https://example.com/''"}');
INSERT INTO times VALUES (1, 'a@example.com', now() - interval '1 day');
SELECT event_time < now() - interval '23 hours' AS from_column FROM tiktok.event WHERE event_id = 'times-1';
DROP TABLE times;

-- privileges are those of CREATE TRIGGER and DROP TRIGGER
CREATE ROLE regress_clerk;
GRANT USAGE ON SCHEMA tiktok TO regress_clerk;
GRANT EXECUTE ON FUNCTION tiktok.create_trigger, tiktok.track_row TO regress_clerk;
GRANT SELECT, INSERT, UPDATE ON t TO regress_clerk;
SET ROLE regress_clerk;
SELECT tiktok.create_trigger('t', 'shop', 'Search', '{"event_time": "now", "email": "email", "url": "''https://example.com/''"}');
RESET ROLE;
GRANT TRIGGER ON t TO regress_clerk;
SET ROLE regress_clerk;
SELECT tiktok.create_trigger('t', 'shop', 'Search', '{"event_time": "now", "email": "email", "url": "''https://example.com/''"}');
SELECT tiktok.create_trigger('t', 'shop', 'Search', '{"event_time": "now", "email": "email", "url": "''https://example.com/''"}', replace => true);
SELECT tiktok.drop_trigger('t', 'tiktok_shop_search');
RESET ROLE;
GRANT EXECUTE ON FUNCTION tiktok.drop_trigger TO regress_clerk;
SET ROLE regress_clerk;
SELECT tiktok.drop_trigger('t', 'tiktok_shop_search');
RESET ROLE;
REVOKE EXECUTE ON FUNCTION tiktok.track_row FROM regress_clerk;
SET ROLE regress_clerk;
SELECT tiktok.create_trigger('t', 'shop', 'Search', '{"event_time": "now", "email": "email", "url": "''https://example.com/''"}', name => 'other');
RESET ROLE;

TRUNCATE tiktok.event, tiktok.identity, tiktok.delivery;
DELETE FROM tiktok.source;
DROP FUNCTION try_web, try, t_text, lib."Cart";
DROP TABLE leads, sales, carts, t, keyless CASCADE;
DROP FUNCTION win;
DROP FOREIGN DATA WRAPPER nothing CASCADE;
DROP SCHEMA lib;
DROP TYPE mood;
DROP DOMAIN address;
DROP EXTENSION citext;
REVOKE ALL ON SCHEMA tiktok FROM regress_clerk;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA tiktok FROM regress_clerk;
DROP ROLE regress_clerk;
