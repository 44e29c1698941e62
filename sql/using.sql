-- The function of using=: found by the table, not by the session, and free to do what it likes
SET client_min_messages = warning;
\set SHOW_CONTEXT never
\pset format unaligned
\pset tuples_only
INSERT INTO tiktok.source (name, event_source, event_source_id) VALUES ('shop', 'web', 'C1');

-- Which function runs, whoever writes and whatever his search_path is
CREATE SCHEMA shop;
CREATE SCHEMA lib;
CREATE SCHEMA evil;
CREATE TABLE shop.plain (id int PRIMARY KEY);
CREATE TABLE shop.sales (id int PRIMARY KEY) PARTITION BY RANGE (id);
CREATE TABLE evil.sales_1 PARTITION OF shop.sales FOR VALUES FROM (0) TO (100) PARTITION BY RANGE (id);
CREATE TABLE lib.sales_2 PARTITION OF evil.sales_1 FOR VALUES FROM (0) TO (100);
CREATE TEMP TABLE passing (id int PRIMARY KEY);
CREATE FUNCTION make(schema text, name text, argument text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('CREATE FUNCTION %1$s.%2$I(r %3$s) RETURNS jsonb LANGUAGE sql AS $f$ SELECT jsonb_build_object(''external_id'', r.id, ''description'', ''%1$s.%2$s(%3$s)'') $f$',
		schema, name, argument);
END $$;
SELECT make(s, 'ev', t) FROM unnest('{shop,lib,evil,pg_temp}'::text[]) s, unnest('{shop.plain,shop.sales,evil.sales_1,lib.sales_2,passing}'::text[]) t
WHERE (s, t) <> ('shop', 'lib.sales_2') AND (s = 'pg_temp') = (t = 'passing');
SELECT make('evil', 'only_evil', t), make('lib', 'In Lib', t) FROM unnest('{shop.plain,shop.sales,evil.sales_1,lib.sales_2}'::text[]) t;
CREATE FUNCTION found(using_name text, target text, written text, path text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	found text;
BEGIN
	EXECUTE format('CREATE TRIGGER tiktok AFTER INSERT ON %s FOR EACH ROW EXECUTE FUNCTION tiktok.track_row(''shop'', ''ViewContent'', ''url=''''https://example.com/'''''', %L)', target, 'using=' || using_name);
	PERFORM set_config('search_path', path, true);
	EXECUTE format('INSERT INTO %s VALUES (1)', written);
	SELECT coalesce(e.payload ->> 'properties', s.notes, s.reason, 'none') INTO found FROM tiktok.event_status s LEFT JOIN tiktok.event e USING (id);
	RAISE EXCEPTION USING MESSAGE = found;
EXCEPTION WHEN raise_exception THEN
	RETURN found;
END $$;
SET client_min_messages = error;
SELECT using_name, target, written, path, public.found(using_name, target, written, path)
FROM (VALUES
	('ev', 'shop.plain', 'shop.plain'),
	('only_evil', 'shop.plain', 'shop.plain'),
	('lib."In Lib"', 'shop.plain', 'shop.plain'),
	('"In Lib"', 'shop.plain', 'shop.plain'),
	('shop.ev', 'shop.plain', 'shop.plain'),
	('nowhere.ev', 'shop.plain', 'shop.plain'),
	('pg_temp.ev', 'shop.plain', 'shop.plain'),
	('ev', 'shop.sales', 'shop.sales'),
	('ev', 'evil.sales_1', 'shop.sales'),
	('ev', 'lib.sales_2', 'lib.sales_2'),
	('only_evil', 'lib.sales_2', 'shop.sales'),
	('ev', 'pg_temp.passing', 'pg_temp.passing')) v (using_name, target, written),
	unnest('{"evil, lib, shop, public, pg_catalog",""}'::text[]) path;
SET client_min_messages = warning;

-- A writer who may not even look into the schema
CREATE ROLE regress_tiktok_writer;
GRANT INSERT ON shop.plain TO regress_tiktok_writer;
GRANT USAGE ON SCHEMA shop TO regress_tiktok_writer;
CREATE TRIGGER tiktok AFTER INSERT ON shop.plain FOR EACH ROW EXECUTE FUNCTION tiktok.track_row('shop', 'ViewContent', 'url=''https://example.com/''', 'using=lib."In Lib"');
SET ROLE regress_tiktok_writer;
INSERT INTO shop.plain VALUES (2);
RESET ROLE;
SELECT event_id, status, notes FROM tiktok.event_status;
DROP TRIGGER tiktok ON shop.plain;

-- create_trigger says what is wrong, and leaves the name as it is given: the schema may be renamed
SET search_path = evil, public;
SELECT tiktok.create_trigger('shop.plain', 'shop', 'ViewContent', '{"url": "''https://example.com/''", "using": "only_evil"}');
SELECT tiktok.create_trigger('shop.plain', 'shop', 'ViewContent', '{"url": "''https://example.com/''", "using": "ev"}');
RESET search_path;
ALTER SCHEMA shop RENAME TO store;
INSERT INTO store.plain VALUES (3);
SELECT event_id, status FROM tiktok.event_status WHERE event_id = 'plain-3';

-- Ids of a partition's rows have the name of the topmost table, also when that is renamed or left
CREATE TRIGGER tiktok AFTER INSERT ON store.sales FOR EACH ROW EXECUTE FUNCTION tiktok.track_row('shop', 'ViewContent', 'url=''https://example.com/''', 'using=ev');
INSERT INTO lib.sales_2 VALUES (1);
ALTER TABLE store.sales RENAME TO sold;
INSERT INTO lib.sales_2 VALUES (2);
ALTER TABLE store.sold SET SCHEMA evil;
INSERT INTO lib.sales_2 VALUES (3);
SELECT s.event_id, s.reason, e.payload -> 'properties' ->> 'description' FROM tiktok.event_status s JOIN tiktok.event e USING (id) WHERE s.event_id ~ '^s' ORDER BY s.id;
DROP TABLE evil.sold CASCADE;
TRUNCATE tiktok.event, tiktok.identity, tiktok.delivery;

-- User code makes the mapping that is at work invalid, fires the same trigger and fills the memory
CREATE TABLE busy (id int PRIMARY KEY, email text, at timestamptz DEFAULT now());
CREATE FUNCTION be_busy(id int) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
	name text;
BEGIN
	IF id > 100 THEN
		RETURN true;
	END IF;
	ANALYZE busy;
	INSERT INTO busy VALUES (id + 100, 'b@example.com') ON CONFLICT DO NOTHING;
	FOR i IN 1 .. 30 LOOP
		name := 'overwritten_' || repeat('z', i * 20 % 50) || i;
		EXECUTE format('CREATE FUNCTION pg_temp.%1$I(%1$s int, %1$s_2 text) RETURNS text LANGUAGE plpgsql AS %2$L', name, 'DECLARE ' || name || ' text; BEGIN RETURN $2; END');
		EXECUTE format('SELECT pg_temp.%I(1, %L)', name, repeat('https://evil.example.com/', 20));
		EXECUTE format('DROP FUNCTION pg_temp.%I', name);
	END LOOP;
	RETURN true;
END $$;
CREATE FUNCTION busy_event(b busy) RETURNS jsonb LANGUAGE sql AS $$ SELECT jsonb_build_object('num_items', CASE WHEN be_busy(b.id) THEN 2 END) $$;
CREATE FUNCTION busy_failure(b busy) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN PERFORM be_busy(b.id); RAISE 'no luck'; END $$;
CREATE FUNCTION recorded(using_name text, trigger_when text, run text) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
	TRUNCATE busy, tiktok.event, tiktok.identity, tiktok.delivery;
	INSERT INTO busy VALUES (2, 'c@example.com');
	EXECUTE format('CREATE TRIGGER tiktok AFTER INSERT ON busy FOR EACH ROW WHEN (%s) EXECUTE FUNCTION tiktok.track_row(
		''shop'', ''AddToWishlist'', ''url=''''https://shop.example.com/a/page'''''', ''email=email'', ''currency=''''EUR'''''', ''description=''''a literal'''''', %s)', trigger_when, using_name);
	EXECUTE run;
	DROP TRIGGER tiktok ON busy;
	RETURN QUERY SELECT concat_ws(' ', s.event, s.event_id, s.status, s.reason, s.notes, e.payload -> 'page', e.payload -> 'properties')
		FROM tiktok.event_status s LEFT JOIN tiktok.event e USING (id) ORDER BY s.event_id;
END $$;
SELECT kind, r FROM (VALUES
	('using', $$'using=busy_event'$$, 'true', $$INSERT INTO busy VALUES (1, 'a@example.com')$$),
	('using that fails', $$'using=busy_failure'$$, 'true', $$INSERT INTO busy VALUES (1, 'a@example.com')$$),
	('when', $$'num_items=id'$$, 'be_busy(new.id)', $$INSERT INTO busy VALUES (1, 'a@example.com')$$)) v (kind, using_name, trigger_when, run),
	recorded(using_name, trigger_when, run) r;
-- rows that are there
CREATE TRIGGER tiktok AFTER INSERT ON busy FOR EACH ROW EXECUTE FUNCTION tiktok.track_row(
	'shop', 'AddToWishlist', 'url=''https://shop.example.com/a/page''', 'email=email', 'currency=''EUR''', 'description=''a literal''', 'event_time=at', 'using=busy_event');
TRUNCATE busy;
SET session_replication_role = replica;
INSERT INTO busy SELECT i, 'a@example.com' FROM generate_series(1, 3) i;
RESET session_replication_role;
SELECT key, event, event_id, problem, payload -> 'page' AS page, payload -> 'properties' AS properties FROM tiktok.check_rows('busy', 'tiktok');
DELETE FROM busy WHERE id > 100;
TRUNCATE tiktok.event, tiktok.identity, tiktok.delivery;
CALL tiktok.backfill('busy', 'tiktok', 'id < 100');
SELECT event, event_id, status, reason, notes FROM tiktok.event_status ORDER BY event_id;

-- User code tries to close the cursor that reads the rows
CREATE FUNCTION busy_closing(b busy) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	refused int := 0;
	cursor refcursor;
BEGIN
	FOR i IN 1 .. 100 LOOP
		cursor := '<unnamed portal ' || i || '>';
		BEGIN
			CLOSE cursor;
		EXCEPTION WHEN invalid_cursor_state THEN
			refused := refused + 1;
		WHEN invalid_cursor_name THEN
			NULL;
		END;
	END LOOP;
	RETURN jsonb_build_object('description', CASE WHEN refused > 0 THEN 'refused' END);
END $$;
DROP TRIGGER tiktok ON busy;
TRUNCATE busy;
INSERT INTO busy SELECT i, 'a@example.com' FROM generate_series(1, 300) i;
CREATE TRIGGER tiktok AFTER INSERT ON busy FOR EACH ROW EXECUTE FUNCTION tiktok.track_row(
	'shop', 'AddToWishlist', 'url=''https://shop.example.com/a/page''', 'email=email', 'event_time=at', 'using=busy_closing');
SELECT count(*), problem, payload #>> '{properties,description}' AS description FROM tiktok.check_rows('busy', 'tiktok', max => 250) GROUP BY 2, 3;

-- NULL: no event, counted, in whatever way the row is looked at
CREATE TABLE orders (id int PRIMARY KEY, no text, status text, wanted boolean, at timestamptz DEFAULT now());
CREATE FUNCTION wanted_event(o orders) RETURNS jsonb LANGUAGE sql AS $$ SELECT jsonb_build_object('email', 'a' || o.id || '@example.com') WHERE o.wanted $$;
CREATE FUNCTION null_event(o orders) RETURNS jsonb LANGUAGE sql AS $$ SELECT 'null'::jsonb $$;
CREATE FUNCTION outcome() RETURNS SETOF text LANGUAGE sql AS $$ SELECT concat_ws(' ', event, event_id, status, reason) FROM tiktok.event_status ORDER BY id $$;
SELECT tiktok.create_trigger('orders', 'shop', 'Purchase', '{"event_id": "no", "event_time": "at", "url": "''https://example.com/''", "using": "wanted_event"}', $$status = 'paid'$$) ~ 'CREATE';
SELECT tiktok.create_trigger('orders', 'shop', 'Contact', '{"event_time": "at", "url": "''https://example.com/''", "using": "wanted_event"}', $$status = 'paid'$$, at_commit => true) ~ 'CREATE';
INSERT INTO orders VALUES (1, 'N-1', 'paid', true), (2, 'N-2', 'paid', false), (3, 'N-3', 'paid', NULL), (4, 'N-4', 'new', true), (5, 'N-5', 'new', false), (6, ' ', 'paid', false);
UPDATE orders SET status = 'paid' WHERE id IN (4, 5);
BEGIN;
INSERT INTO orders VALUES (7, 'N-7', 'paid', false), (8, 'N-8', 'paid', true);
UPDATE orders SET wanted = NOT wanted WHERE id IN (7, 8);
COMMIT;
SELECT outcome();
SELECT relation, trigger_name, queried, no_row FROM tiktok.query_counters WHERE relation = 'orders'::regclass ORDER BY 2;
SELECT detail FROM tiktok.health() WHERE check_name = 'query' AND detail ~ 'orders' ORDER BY detail COLLATE "C";
SELECT key, event_id, problem FROM tiktok.check_rows('orders', 'tiktok_shop_purchase');
TRUNCATE tiktok.event, tiktok.identity, tiktok.delivery, tiktok.backfill_progress;
CALL tiktok.backfill('orders', 'tiktok_shop_purchase');
SELECT outcome();
SELECT recorded, invalid, not_meant FROM tiktok.backfill_progress WHERE relation = 'orders'::regclass;
-- null of JSON is no object, and an error
SELECT tiktok.create_trigger('orders', 'shop', 'Search', '{"event_id": "no", "event_time": "at", "url": "''https://example.com/''", "using": "null_event"}') ~ 'CREATE';
INSERT INTO orders VALUES (9, 'N-9', 'new', true);
SELECT event, event_id, status, reason FROM tiktok.event_status WHERE event_id = 'N-9';
DROP TABLE orders CASCADE;
DROP FUNCTION outcome;

DROP TABLE busy CASCADE;
DROP TABLE passing CASCADE;
DROP FUNCTION be_busy, recorded, found, make;
DROP SCHEMA store, lib, evil CASCADE;
DROP ROLE regress_tiktok_writer;
TRUNCATE tiktok.event, tiktok.identity, tiktok.delivery, tiktok.backfill_progress;
DELETE FROM tiktok.source;
