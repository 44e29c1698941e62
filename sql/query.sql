-- query and paths along foreign keys: tiktok.create_trigger() makes a function of them, with the rights of its owner.
\set SHOW_CONTEXT never
\pset format unaligned
\pset tuples_only on
SET client_min_messages = warning;
INSERT INTO tiktok.source (name, event_source, event_source_id, default_calling_code) VALUES ('shop', 'web', 'C1', '49'), ('crm', 'crm', '74003', NULL);
CREATE ROLE "regress tiktok owner";
CREATE ROLE regress_tiktok_writer;
CREATE SCHEMA shop AUTHORIZATION "regress tiktok owner";
GRANT USAGE ON SCHEMA shop TO regress_tiktok_writer;
CREATE FUNCTION seen(what text) RETURNS SETOF text LANGUAGE sql AS $$
	SELECT concat_ws(' ', e.event_id, s.status, s.reason, e.payload::jsonb, i.user_data)
	FROM tiktok.event e JOIN tiktok.event_status s USING (id) LEFT JOIN tiktok.identity i USING (id) WHERE e.event_id ~ what ORDER BY e.id $$;
SET ROLE "regress tiktok owner";
CREATE TABLE shop.countries (id int PRIMARY KEY, iso char(4));
CREATE TABLE shop.customers (id bigint PRIMARY KEY, email text, country_id int REFERENCES shop.countries, doc jsonb);
CREATE TABLE shop.orders (id bigint PRIMARY KEY, "Order No" text, customer_id bigint REFERENCES shop.customers, status text, total numeric, unused int, paid_at timestamptz DEFAULT now());
CREATE TABLE shop.lines (order_id bigint REFERENCES shop.orders, sku text, qty int, price numeric);
INSERT INTO shop.countries VALUES (1, 'DE');
INSERT INTO shop.customers VALUES (7, 'ana@example.com', 1, '{"name": {"first": "Ana"}}'), (8, 'bob@example.com', NULL, NULL);
GRANT SELECT, INSERT, UPDATE ON shop.orders TO regress_tiktok_writer;
GRANT INSERT ON shop.lines TO regress_tiktok_writer;
RESET ROLE;

-- a superuser makes it for the owner of the table, who may then drop and read everything
SELECT tiktok.create_trigger('shop.orders', 'shop', 'Purchase', '{"event_id": "\"Order No\"", "event_time": "paid_at", "value": "total", "currency": "''EUR''", "url": "''https://example.com/''",
	"email": "customer_id->email", "country": "customer_id->country_id->iso", "first_name": "customer_id->doc.name.first"}', $$status = 'paid'$$,
	query => $$SELECT (SELECT jsonb_agg(jsonb_build_object('content_id', l.sku, 'quantity', l.qty, 'price', l.price) ORDER BY l.sku)
	FROM shop.lines l WHERE l.order_id = new.id) AS contents; -- all of them$$);
SELECT proname, proowner::regrole, proacl, obj_description(oid, 'pg_proc') FROM pg_proc WHERE proname LIKE 'tiktok\_orders%';
-- writers need nothing
SET ROLE regress_tiktok_writer;
INSERT INTO shop.orders VALUES (1, 'SO-1', 7, 'new', 10);
INSERT INTO shop.lines VALUES (1, 'A', 1, 4), (1, 'B', 2, 3);
UPDATE shop.orders SET status = 'paid';
INSERT INTO shop.orders VALUES (2, 'SO-2', 8, 'paid', 20), (3, 'SO-3', NULL, 'paid', 30);
RESET ROLE;
SELECT seen('SO-');
-- what a session has set plays no part, and nobody else's function is taken for it
SET search_path = pg_temp;
CREATE FUNCTION public.tiktok_orders_tiktok_shop_purchase(id bigint, customer_id bigint) RETURNS TABLE (email text) LANGUAGE sql AS $$ SELECT 'evil@example.com' $$;
UPDATE shop.orders SET status = 'new' WHERE id = 1;
UPDATE shop.orders SET status = 'paid', "Order No" = 'SO-1b' WHERE id = 1;
RESET search_path;
DROP FUNCTION public.tiktok_orders_tiktok_shop_purchase;
SELECT seen('SO-1b');
SELECT key, event_id, problem, payload #> '{properties,contents}' FROM tiktok.check_rows('shop.orders', 'tiktok_shop_purchase');
-- no rights for others
SET ROLE regress_tiktok_writer;
SELECT * FROM shop.tiktok_orders_tiktok_shop_purchase(1, 7);
RESET ROLE;

-- the table may be altered as without a trigger; what the function needs of it is told
ALTER TABLE shop.orders ADD COLUMN gross numeric GENERATED ALWAYS AS (total * 1.19) STORED;
ALTER TABLE shop.orders ALTER COLUMN unused TYPE bigint;
ALTER TABLE shop.orders DROP COLUMN unused;
ALTER TABLE shop.orders RENAME TO sales;
ALTER SCHEMA shop RENAME TO store;
INSERT INTO store.sales VALUES (4, 'SO-4', 8, 'paid', 1);
SELECT seen('SO-4');
ALTER TABLE store.sales RENAME customer_id TO buyer_id;
INSERT INTO store.sales VALUES (5, 'SO-5', 8, 'paid', 1);
SELECT event_id, status, reason, notes FROM tiktok.event_status WHERE event_id = 'SO-5';
ALTER TABLE store.sales RENAME buyer_id TO customer_id;
ALTER TABLE store.sales RENAME TO orders;
ALTER SCHEMA store RENAME TO shop;
\set VERBOSITY terse
ALTER TABLE shop.customers ALTER COLUMN email TYPE varchar(200);
\set VERBOSITY default
REVOKE EXECUTE ON FUNCTION shop.tiktok_orders_tiktok_shop_purchase FROM "regress tiktok owner";
INSERT INTO shop.orders VALUES (6, 'SO-6', 8, 'paid', 1);
SELECT event_id, status, reason, notes FROM tiktok.event_status WHERE event_id = 'SO-6';
GRANT EXECUTE ON FUNCTION shop.tiktok_orders_tiktok_shop_purchase TO "regress tiktok owner";
-- a function that is not from create_trigger is never run as its owner
CREATE FUNCTION shop.secret() RETURNS TABLE (email text) LANGUAGE sql STABLE AS $$ SELECT current_user || '@example.com' $$;
CREATE TRIGGER secret AFTER INSERT ON shop.orders FOR EACH ROW EXECUTE FUNCTION tiktok.track_row('shop', 'Search', 'event_id="Order No"', 'url=''https://example.com/''', 'query_function=secret');
INSERT INTO shop.orders VALUES (7, 'SO-7', 8, 'new', 1);
SELECT event_id, status, reason, notes FROM tiktok.event_status WHERE event_id = 'SO-7';
DROP TRIGGER secret ON shop.orders;

-- no row, several rows, an error, and what the query itself changes
SELECT tiktok.drop_trigger('shop.orders', 'tiktok_shop_purchase');
SELECT proname FROM pg_proc WHERE proname LIKE 'tiktok\_orders%';
SELECT tiktok.create_trigger('shop.orders', 'shop', 'Contact', '{"event_id": "\"Order No\"", "event_time": "paid_at", "url": "''https://example.com/''"}',
	query => $$SELECT c.email, 1 / (new.total - 3) AS value, 'EUR' AS currency FROM shop.customers c WHERE c.id = new.customer_id OR new.total = 2$$) ~ 'FUNCTION';
INSERT INTO shop.orders VALUES (11, 'Q-1', NULL, 'x', 1), (12, 'Q-2', 7, 'x', 2), (13, 'Q-3', 7, 'x', 3), (14, 'Q-4', 7, 'x', 4);
SELECT seen('Q-');
SELECT * FROM tiktok.query_counters ORDER BY trigger_name;
SELECT state, detail FROM tiktok.health() WHERE check_name = 'query';
SELECT key, problem FROM tiktok.check_rows('shop.orders', 'tiktok_shop_contact', 'id > 10');
SELECT tiktok.drop_trigger('shop.orders', 'tiktok_shop_contact') ~ 'FUNCTION';

-- an event_id of the query that is empty; stages behind a foreign key
CREATE TABLE shop.stages (id int PRIMARY KEY, name text);
INSERT INTO shop.stages VALUES (1, 'New'), (2, 'Won'), (3, 'Lost');
INSERT INTO tiktok.lead_stage VALUES ('crm', 'Won', 'Purchase', 1);
CREATE TABLE shop.leads (id int PRIMARY KEY, lead text, stage_id int REFERENCES shop.stages, no text, note text);
SELECT tiktok.create_trigger('shop.leads', 'crm', '=stage_id->name', '{"lead_id": "lead", "event_time": "now"}', query => $$SELECT new.no AS event_id$$);
INSERT INTO shop.leads VALUES (1, '7412345678901234567', 1, 'L-1'), (2, '7412345678901234567', 2, 'L-2'), (3, '7412345678901234567', 2, ' '), (4, '7412345678901234567', NULL, 'L-4');
UPDATE shop.leads SET note = 'x';
UPDATE shop.leads SET stage_id = 2;
SELECT seen('L-|leads');
UPDATE shop.stages SET name = 'Sold' WHERE id = 2;
UPDATE shop.leads SET stage_id = 3;
SELECT * FROM tiktok.unmapped_stage ORDER BY stage;

-- mistakes
\set VERBOSITY default
CREATE TABLE shop.pairs (a int, b int, PRIMARY KEY (a, b));
CREATE TABLE shop.t (id int PRIMARY KEY, email text, plain int, a int, b int, twice int REFERENCES shop.stages, self int REFERENCES shop.t, total numeric,
	FOREIGN KEY (a, b) REFERENCES shop.pairs, FOREIGN KEY (twice) REFERENCES shop.t);
CREATE TEMP TABLE passing (id int);
CREATE FUNCTION try(query text, mapping jsonb DEFAULT '{}', event text DEFAULT 'Search') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	detail text;
	hint text;
BEGIN
	PERFORM tiktok.create_trigger('shop.t', 'shop', event, '{"event_time": "now", "email": "email", "url": "''https://example.com/''"}' || mapping, query => query);
	RAISE 'accepted';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
	RETURN concat_ws(' | ', sqlstate, sqlerrm, nullif(detail, ''), nullif(hint, ''));
END $$;
SELECT query, try(query) FROM (VALUES (''), ('SELECT'), ('SELECT 1'), ('SELECT 1 AS valu'), ('SELECT 1 AS value; SELECT 2 AS value'), ('DELETE FROM shop.t'), ('VALUES (1)'),
	('SELECT 1 AS value INTO shop.x'), ('SELECT total AS value FROM shop.t FOR UPDATE'), ('SELECT value FROM (SELECT total AS value FROM shop.t FOR SHARE) x'), ('SELECT 1 AS value) query, (SELECT 2 AS x'),
	('WITH x AS (DELETE FROM shop.t RETURNING total) SELECT total AS value FROM x'), ('SELECT $1 AS value'), ('SELECT new AS value'), ('SELECT to_jsonb(new) AS contents'), ('SELECT new.* '),
	('SELECT new.total AS value FROM shop.t new'), ('SELECT id AS order_id FROM passing'), ('SELECT 1 AS value, 2 AS value'), ('SELECT ''\x''::bytea AS description'), ('SELECT new.nothing AS value'),
	('SELECT x.email FROM shop.nothing x'), ('SELECT ''a'' AS email'), ('SELECT 1 AS time_zone'), ('SELECT 1 AS stage'), ('SELECT 1 AS value /*')) v (query);
SELECT path, try(NULL, jsonb_build_object('first_name', path)) FROM (VALUES ('plain->x'), ('nothing->x'), ('self->nothing'), ('a->x'), ('twice->name'), ('self->email.key'), ('self->'), ('self.x->email'), ('self->self->email')) v (path);
SELECT try(NULL, event => '=self->nothing');
-- by hand there is nothing that follows a path
CREATE TRIGGER hand AFTER INSERT ON shop.t FOR EACH ROW EXECUTE FUNCTION tiktok.track_row('shop', 'Search', 'email=self->email', 'url=''https://example.com/''');
INSERT INTO shop.t (id) VALUES (1);
SELECT event_id, status, reason, notes FROM tiktok.event_status WHERE event_id = 't-1';
DROP TRIGGER hand ON shop.t;

-- who makes it needs CREATE in the schema, and has to be able to read what the query reads
CREATE ROLE regress_tiktok_maker;
GRANT USAGE ON SCHEMA tiktok, shop TO regress_tiktok_maker;
GRANT EXECUTE ON FUNCTION tiktok.create_trigger, tiktok.track_row TO regress_tiktok_maker;
GRANT TRIGGER ON shop.t TO regress_tiktok_maker;
GRANT EXECUTE ON FUNCTION try TO regress_tiktok_maker;
SET ROLE regress_tiktok_maker;
SELECT try($$SELECT c.doc ->> 'x' AS first_name FROM shop.customers c WHERE c.id = new.plain$$);
RESET ROLE;
GRANT CREATE ON SCHEMA shop TO regress_tiktok_maker;
SET ROLE regress_tiktok_maker;
SELECT try($$SELECT c.doc ->> 'x' AS first_name FROM shop.customers c WHERE c.id = new.plain$$);
RESET ROLE;
GRANT SELECT ON shop.customers TO regress_tiktok_maker;
SET ROLE regress_tiktok_maker;
SELECT tiktok.create_trigger('shop.t', 'shop', 'Search', '{"event_time": "now", "email": "email", "url": "''https://example.com/''"}',
	query => $$SELECT c.doc #>> '{name,first}' AS first_name, current_user AS last_name FROM shop.customers c WHERE c.id = new.plain$$) ~ 'GRANT EXECUTE';
RESET ROLE;
INSERT INTO shop.t (id, email, plain) VALUES (2, 'a@example.com', 7);
SELECT seen('^t-2');
REVOKE SELECT ON shop.customers FROM regress_tiktok_maker;
INSERT INTO shop.t (id, email, plain) VALUES (3, 'a@example.com', 7);
SELECT event_id, status, reason, notes FROM tiktok.event_status WHERE event_id = 't-3';

TRUNCATE tiktok.event, tiktok.identity, tiktok.delivery;
DELETE FROM tiktok.source;
DROP FUNCTION try, seen;
DROP SCHEMA shop CASCADE;
DROP OWNED BY "regress tiktok owner", regress_tiktok_writer, regress_tiktok_maker;
DROP ROLE "regress tiktok owner", regress_tiktok_writer, regress_tiktok_maker;
