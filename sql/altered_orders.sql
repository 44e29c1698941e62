-- Whoever alters the table of orders may do what he could without our triggers: each statement is run on one table with them, and on one without.
\set SHOW_CONTEXT never
\set VERBOSITY terse
\pset format unaligned
\pset tuples_only on
SET client_min_messages = error;
INSERT INTO tiktok.source (name, event_source, event_source_id) VALUES ('shop', 'web', 'C1');
CREATE SCHEMA plain;
CREATE SCHEMA tracked;
CREATE SCHEMA plain_moved;
CREATE SCHEMA tracked_moved;
CREATE FUNCTION make(schema text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM set_config('search_path', schema, true);
	CREATE TABLE customers (id int PRIMARY KEY, email text, unused int);
	CREATE TABLE orders (id int, no text, customer_id int REFERENCES customers, status text, total numeric, unused int, other text, paid_at date, PRIMARY KEY (id, paid_at)) PARTITION BY RANGE (paid_at);
	CREATE TABLE orders_now PARTITION OF orders FOR VALUES FROM (current_date - 10) TO (current_date + 10);
	CREATE TABLE lines (order_no text, sku text, price numeric, unused int);
	INSERT INTO customers VALUES (1, 'a@example.com');
END $$;
SELECT make('plain');
SELECT make('tracked');
SET search_path = tracked;
SELECT tiktok.create_trigger('orders', 'shop', 'Purchase', '{"event_id": "no", "event_time": "paid_at", "value": "total", "currency": "''EUR''", "email": "customer_id->email", "url": "''https://example.com/''"}',
	$$status = 'paid'$$, query => $$SELECT (SELECT jsonb_agg(l.sku ORDER BY l.sku) FROM lines l WHERE l.order_no = new.no) AS content_ids$$) ~ 'FUNCTION';
RESET search_path;
CREATE FUNCTION run(schema text, statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	PERFORM set_config('search_path', schema, true);
	EXECUTE replace(statement, '<other>', schema || '_moved');
	RETURN 'ok';
EXCEPTION WHEN OTHERS THEN
	RETURN SQLSTATE || ' ' || SQLERRM;
END $$;
-- what it says with and without, and what an order comes to afterwards
CREATE FUNCTION altered(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	orders regclass := (SELECT tgrelid FROM pg_trigger WHERE tgname = 'tiktok_shop_purchase' AND tgparentid = 0);
	without text;
	tracked text;
	inserted text;
	result text;
BEGIN
	without := public.run('plain', statement);
	tracked := public.run('tracked', statement);
	INSERT INTO tracked.lines VALUES ('N', 'A');
	SELECT public.run('tracked', format('INSERT INTO %s (%s) VALUES (%s)', orders::regclass, string_agg(quote_ident(attname), ', ' ORDER BY attnum), string_agg(v.value, ', ' ORDER BY attnum))) INTO inserted
		FROM pg_attribute JOIN pg_class c ON c.oid = attrelid JOIN (VALUES (1, '1'), (2, '''N'''), (3, '1'), (4, '''paid'''), (5, '5'), (8, 'current_date')) v (n, value) ON v.n = attnum WHERE attrelid = orders AND NOT attisdropped HAVING count(*) > 0;
	SELECT concat_ws(' ', s.status, s.reason, s.notes, e.payload -> 'properties' ->> 'value', e.payload -> 'properties' ->> 'content_ids', i.user_data) INTO result FROM tiktok.event e JOIN tiktok.event_status s USING (id) LEFT JOIN tiktok.identity i USING (id) WHERE e.event ~ 'Purchase';
	RAISE EXCEPTION USING ERRCODE = 'ZZZZZ', MESSAGE = CASE WHEN without = tracked THEN tracked ELSE format('%s, without us %s', tracked, without) END || ' | ' || coalesce(result, nullif(inserted, 'ok'), 'no event');
EXCEPTION WHEN SQLSTATE 'ZZZZZ' THEN
	RETURN SQLERRM;
END $$;
SELECT statement, public.altered(statement) FROM (VALUES
	('ALTER TABLE orders ADD COLUMN more text'), ('ALTER TABLE orders ADD COLUMN more text DEFAULT ''x'' NOT NULL'), ('ALTER TABLE orders ADD COLUMN more timestamptz DEFAULT clock_timestamp()'),
	('ALTER TABLE orders ADD COLUMN gross numeric GENERATED ALWAYS AS (total * 1.19) STORED'), ('ALTER TABLE orders ADD COLUMN more serial'), ('ALTER TABLE orders DROP COLUMN unused'), ('ALTER TABLE orders DROP COLUMN unused, DROP COLUMN other'),
	('ALTER TABLE orders ALTER COLUMN unused TYPE bigint'), ('ALTER TABLE orders ALTER COLUMN unused TYPE text USING unused::text, ALTER COLUMN other TYPE varchar(10)'),
	('ALTER TABLE orders RENAME COLUMN unused TO used'), ('ALTER TABLE orders RENAME COLUMN customer_id TO buyer_id'), ('ALTER TABLE orders RENAME TO sales'), ('ALTER TABLE orders SET SCHEMA <other>'), ('ALTER TABLE orders SET SCHEMA <other>; DO $do$ BEGIN IF current_schema = ''tracked'' THEN ALTER FUNCTION tiktok_orders_tiktok_shop_purchase SET SCHEMA <other>; END IF; END $do$'),
	('ALTER TABLE orders ALTER COLUMN total TYPE numeric(12,2)'), ('ALTER TABLE orders ALTER COLUMN total TYPE float8'), ('ALTER TABLE orders ALTER COLUMN no TYPE varchar(20)'), ('ALTER TABLE orders ALTER COLUMN no TYPE char(20)'), ('ALTER TABLE orders ALTER COLUMN customer_id TYPE bigint'), ('ALTER TABLE orders ALTER COLUMN status TYPE varchar(20)'),
	('ALTER TABLE orders DROP COLUMN customer_id'), ('ALTER TABLE orders DROP COLUMN status'),
	('ALTER TABLE orders ALTER COLUMN total SET NOT NULL, ALTER COLUMN unused SET DEFAULT 5, ADD CHECK (total >= 0)'), ('CREATE UNIQUE INDEX ON orders (no, paid_at)'), ('ALTER TABLE orders REPLICA IDENTITY FULL'),
	('ALTER TABLE orders ENABLE ROW LEVEL SECURITY'), ('ALTER TABLE orders OWNER TO CURRENT_USER'), ('TRUNCATE orders'), ('COMMENT ON TABLE orders IS ''x'''),
	('CREATE TABLE orders_later PARTITION OF orders FOR VALUES FROM (current_date + 10) TO (current_date + 20)'), ('ALTER TABLE orders DETACH PARTITION orders_now; CREATE TABLE orders_new PARTITION OF orders FOR VALUES FROM (current_date - 10) TO (current_date + 10)'),
	('CREATE TABLE orders_old (other text, id int NOT NULL, gone int, no text, customer_id int, status text, total numeric, unused int, paid_at date NOT NULL); ALTER TABLE orders_old DROP COLUMN gone; ALTER TABLE orders ATTACH PARTITION orders_old FOR VALUES FROM (current_date - 20) TO (current_date - 10)'),
	('ALTER TABLE orders_now ALTER COLUMN other SET STORAGE EXTERNAL'), ('DROP TABLE orders'), ('DROP TABLE orders CASCADE'),
	('ALTER TABLE lines ADD COLUMN more text, DROP COLUMN unused'), ('ALTER TABLE lines RENAME COLUMN sku TO article'), ('ALTER TABLE lines DROP COLUMN sku'), ('ALTER TABLE lines ALTER COLUMN sku TYPE varchar(20)'), ('ALTER TABLE lines DROP COLUMN price'),
	('DROP TABLE lines'), ('ALTER TABLE customers ALTER COLUMN unused TYPE text'), ('ALTER TABLE customers DROP COLUMN email')) v (statement);
-- the function of a table that is gone stays, and does not stand in the way of the next one
DROP TABLE tracked.orders;
CREATE TABLE tracked.orders (id int PRIMARY KEY, no text, customer_id int, email text, paid_at date);
SELECT tiktok.create_trigger('tracked.orders', 'shop', 'Purchase', '{"event_id": "no", "event_time": "paid_at", "email": "email", "url": "''https://example.com/''"}', query => 'SELECT new.id AS external_id') ~ 'FUNCTION';
INSERT INTO tracked.orders VALUES (1, 'N', 1, 'a@example.com', current_date);
SELECT event_id, status FROM tiktok.event_status;
TRUNCATE tiktok.event, tiktok.identity, tiktok.delivery;
DELETE FROM tiktok.source;
DROP SCHEMA plain, tracked, plain_moved, tracked_moved CASCADE;
DROP FUNCTION make, altered, run;
