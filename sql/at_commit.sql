-- at_commit: the event is made of the row as it is when the transaction commits, whatever was done to it.
\set SHOW_CONTEXT never
\set VERBOSITY terse
\pset format unaligned
\pset tuples_only on
SET client_min_messages = warning;
INSERT INTO tiktok.source (name, event_source, event_source_id) VALUES ('shop', 'web', 'C1'), ('crm', 'crm', '7003');
CREATE FUNCTION seen(what text) RETURNS SETOF text LANGUAGE sql AS $$
	SELECT concat_ws(' ', e.event, e.event_id, s.status, s.reason, e.value, (e.payload -> 'properties' -> 'contents')::text)
	FROM tiktok.event e JOIN tiktok.event_status s USING (id) WHERE e.event_id ~ what ORDER BY e.event_id COLLATE "C", e.id $$;
CREATE TABLE orders (no text PRIMARY KEY, status text, total numeric, email text DEFAULT 'a@example.com', note text, paid_at timestamptz DEFAULT now());
CREATE TABLE lines (no text REFERENCES orders ON DELETE CASCADE, sku text, price numeric);
SELECT tiktok.create_trigger('orders', 'shop', 'Purchase', '{"event_id": "no", "event_time": "paid_at", "value": "total", "currency": "''EUR''", "email": "email", "url": "''https://example.com/''"}',
	$$status = 'paid'$$, at_commit => true, query => $$SELECT (SELECT jsonb_agg(jsonb_build_object('content_id', l.sku, 'price', l.price) ORDER BY l.sku) FROM lines l WHERE l.no = new.no) AS contents$$);

-- paid first, then the lines, then the totals
BEGIN;
INSERT INTO orders VALUES ('a1', 'paid', 0);
INSERT INTO lines VALUES ('a1', 'A', 4), ('a1', 'B', 6);
UPDATE orders SET total = (SELECT sum(price) FROM lines WHERE no = 'a1') WHERE no = 'a1';
COMMIT;
-- cancelled before the end, also in a subtransaction that stays; one that is undone counts for nothing
BEGIN;
INSERT INTO orders VALUES ('a2', 'paid', 1), ('a3', 'paid', 1), ('a4', 'paid', 1), ('a5', 'paid', 1);
UPDATE orders SET status = 'cancelled' WHERE no = 'a2';
DELETE FROM orders WHERE no = 'a3';
SAVEPOINT s;
UPDATE orders SET status = 'cancelled' WHERE no = 'a4';
RELEASE s;
SAVEPOINT s;
UPDATE orders SET status = 'cancelled', total = 99 WHERE no = 'a5';
ROLLBACK TO s;
COMMIT;
-- paid, cancelled and paid again; paid later; saved again with all columns
BEGIN;
INSERT INTO orders VALUES ('a6', 'paid', 1), ('a7', 'new', 1);
UPDATE orders SET status = 'cancelled' WHERE no = 'a6';
UPDATE orders SET status = 'paid', total = 6 WHERE no = 'a6';
UPDATE orders SET status = 'paid', total = 7 WHERE no = 'a7';
UPDATE orders SET no = no, status = status, total = total, email = email;
COMMIT;
UPDATE orders SET no = no, status = status, total = total, email = email;
SELECT seen('^a');
SELECT conflict FROM tiktok.enqueue_counters WHERE source = 'shop';
-- upsert, MERGE, COPY, a bulk update, a BEFORE trigger
BEGIN;
INSERT INTO orders VALUES ('b1', 'new', 1) ON CONFLICT (no) DO UPDATE SET status = 'paid';
INSERT INTO orders VALUES ('b1', 'new', 1) ON CONFLICT (no) DO UPDATE SET status = 'paid', total = 11;
MERGE INTO orders USING (VALUES ('b1', 12), ('b2', 2)) v (no, total) ON orders.no = v.no
	WHEN MATCHED THEN UPDATE SET total = v.total WHEN NOT MATCHED THEN INSERT (no, status, total) VALUES (v.no, 'paid', v.total);
COPY orders (no, status, total) FROM stdin;
b3	paid	3
b4	new	4
b5	new	5
\.
UPDATE orders SET status = 'paid' WHERE no IN ('b3', 'b4');
COMMIT;
CREATE FUNCTION pay() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.status = 'paid'; RETURN NEW; END $$;
CREATE TRIGGER pay BEFORE UPDATE OF note ON orders FOR EACH ROW EXECUTE FUNCTION pay();
UPDATE orders SET note = 'x' WHERE no = 'b5';
SELECT seen('^b');
-- made immediate by the session, it fires after the statement
BEGIN;
SET CONSTRAINTS ALL IMMEDIATE;
INSERT INTO orders VALUES ('c1', 'paid', 1);
SELECT seen('^c');
UPDATE orders SET status = 'cancelled' WHERE no = 'c1';
COMMIT;
-- other levels of isolation; a transaction that fails leaves nothing
BEGIN ISOLATION LEVEL REPEATABLE READ;
INSERT INTO orders VALUES ('c2', 'paid', 1);
UPDATE orders SET total = 2 WHERE no = 'c2';
COMMIT;
BEGIN ISOLATION LEVEL SERIALIZABLE;
INSERT INTO orders VALUES ('c3', 'paid', 1);
INSERT INTO lines VALUES ('c3', 'A', 3);
COMMIT;
BEGIN;
INSERT INTO orders VALUES ('c4', 'paid', 1);
INSERT INTO orders VALUES ('c4', 'paid', 1);
COMMIT;
SELECT seen('^c');

-- partitions: a row that moves, before and after the commit
CREATE TABLE sales (no text, day date, status text, email text DEFAULT 'a@example.com', PRIMARY KEY (no, day)) PARTITION BY RANGE (day);
CREATE TABLE sales_1 PARTITION OF sales FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
CREATE TABLE sales_2 PARTITION OF sales FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
SELECT tiktok.create_trigger('sales', 'shop', 'Purchase', '{"event_id": "no", "event_time": "now", "email": "email", "url": "''https://example.com/''"}', $$status = 'paid'$$, at_commit => true);
BEGIN;
INSERT INTO sales VALUES ('d1', '2026-01-01', 'paid'), ('d2', '2026-01-01', 'paid'), ('d3', '2026-01-01', 'new');
UPDATE sales SET day = '2026-02-01' WHERE no = 'd1';
UPDATE sales SET day = '2026-02-01', status = 'cancelled' WHERE no = 'd2';
UPDATE sales SET day = '2026-02-01', status = 'paid' WHERE no = 'd3';
COMMIT;
UPDATE sales SET day = '2026-01-02';
SELECT seen('^d');

-- a deferred trigger by hand, with a WHEN that speaks of the row before; stages
CREATE TABLE leads (id int PRIMARY KEY, stage text, lead text DEFAULT '7412345678901234567');
INSERT INTO tiktok.lead_stage VALUES ('crm', 'qualified', 'Qualified_Lead', 1), ('crm', 'won', 'Purchase', 2);
CREATE CONSTRAINT TRIGGER tiktok AFTER INSERT OR UPDATE ON leads DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION tiktok.track_row('crm', '=stage', 'lead_id=lead');
CREATE CONSTRAINT TRIGGER hand AFTER UPDATE ON leads DEFERRABLE INITIALLY IMMEDIATE FOR EACH ROW WHEN (NEW.stage = 'won' AND OLD.stage IS DISTINCT FROM NEW.stage)
	EXECUTE FUNCTION tiktok.track_row('crm', 'Won_by_hand', 'lead_id=lead');
BEGIN;
INSERT INTO leads VALUES (1, 'qualified'), (2, 'qualified'), (3, 'new');
UPDATE leads SET stage = 'won' WHERE id = 1;
UPDATE leads SET stage = 'lost' WHERE id = 2;
COMMIT;
SELECT seen('^leads');
-- no key, no event_id: refused
CREATE TABLE keyless (email text, f text);
CREATE FUNCTION keyless_event(k keyless) RETURNS jsonb LANGUAGE sql AS $$ SELECT '{}'::jsonb $$;
SELECT tiktok.create_trigger('keyless', 'shop', 'Contact', '{"event_time": "now", "email": "email", "url": "''https://example.com/''", "using": "keyless_event"}', at_commit => true);
-- for rows that replication writes
SELECT tiktok.create_trigger('orders', 'shop', 'Contact', '{"event_id": "no", "event_time": "now", "email": "email", "url": "''https://example.com/''"}', $$status = 'x'$$, replica => true);
INSERT INTO orders VALUES ('e1', 'x', 1);
SET session_replication_role = replica;
INSERT INTO orders VALUES ('e2', 'x', 1);
RESET session_replication_role;
SELECT seen('^e');
SELECT tiktok.drop_trigger('orders', 'tiktok_shop_contact');

TRUNCATE tiktok.event, tiktok.identity, tiktok.delivery;
DELETE FROM tiktok.source;
DROP TABLE orders, lines, sales, leads, keyless CASCADE;
DROP FUNCTION seen, pay;
