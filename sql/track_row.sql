-- The trigger: whatever the data, the row is stored.
\set SHOW_CONTEXT never
INSERT INTO tiktok.source (name, event_source, event_source_id, default_calling_code) VALUES ('shop', 'web', 'C1', '49'), ('crm', 'crm', '74003', NULL);
CREATE DOMAIN address AS text;
CREATE TYPE mood AS ENUM ('paid', 'open');
CREATE TABLE orders (
	id int PRIMARY KEY, order_no text, status mood DEFAULT 'paid', total numeric, currency text, email address, phone text, ip inet,
	agent varchar(100), url text DEFAULT 'https://shop.example.com/', items jsonb, customer json, placed timestamptz, ok boolean, price money, raw bytea);
CREATE TRIGGER tiktok AFTER INSERT OR UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION tiktok.track_row('shop', 'Purchase',
	'event_id=order_no', 'value=total', 'currency=currency', 'email=email', 'phone=phone', 'ip=ip', 'user_agent=agent', 'url=url',
	'contents=items', 'external_id=customer.id', 'first_name=customer.name.first', 'event_time=placed', 'consent=ok', 'description=''it''''s a test''');
CREATE FUNCTION fate(key text) RETURNS TABLE (status text, reason text, notes text, value numeric, payload jsonb, user_data json)
LANGUAGE sql AS $$
SELECT s.status, s.reason, s.notes, s.value, e.payload::jsonb, i.user_data
FROM tiktok.event_status s JOIN tiktok.event e USING (id) LEFT JOIN tiktok.identity i USING (id) WHERE s.event_id = key
$$;

INSERT INTO orders (id, order_no, total, currency, email, phone, ip, agent, items, customer) VALUES
	(1, 'o1', 80.00, 'eur', ' Ana@Example.com', '030 23125123', '203.0.113.9/24', 'Mozilla/5.0',
	'[{"content_id": 1, "price": 15.05, "quantity": 2}]', '{"id": "c1", "name": {"first": "Ana"}}');
SELECT * FROM fate('o1') \gx

-- bad data is a recorded event; the order commits
INSERT INTO orders (id, order_no, total, currency, email) VALUES
	(2, 'o2', 'NaN', 'EUR', 'a@example.com'), (3, 'o3', -1, 'EUR', 'a@example.com'), (4, 'o4', 1, 'ZZZ', 'a@example.com'),
	(5, 'o5', 1, NULL, 'a@example.com'), (6, 'o6', 1e200, 'EUR', 'a@example.com'), (7, 'o7', 1, 'EUR', 'nonsense'),
	(8, repeat('x', 200), 1, 'EUR', 'a@example.com'), (9, 'ö9', 1, 'EUR', 'a@example.com');
INSERT INTO orders (id, order_no, email, items) VALUES (10, 'o10', 'a@example.com', '"text"'), (11, 'o11', 'a@example.com', '[{"price": "x"}]');
INSERT INTO orders (id, order_no, email, placed) VALUES (12, 'o12', 'a@example.com', 'infinity'), (13, 'o13', 'a@example.com', now() + '1 day'),
	(14, 'o14', 'a@example.com', now() - interval '8 days');
INSERT INTO orders (id, order_no, email, ok) VALUES (15, 'o15', 'a@example.com', false), (16, 'o16', 'a@example.com', true);
INSERT INTO orders (id, order_no, email, url) VALUES (17, 'o17', 'a@example.com', NULL);
INSERT INTO orders (id, order_no, email, items) VALUES (18, 'o18', 'a@example.com', (repeat('[', 40) || repeat(']', 40))::jsonb);
SELECT left(event_id, 20) AS event_id, length(event_id), status, reason, notes FROM tiktok.event_status WHERE event_id <> 'o1' ORDER BY id;
SELECT count(*) FROM orders;

-- no event_id target: table and primary key
CREATE TABLE plain (a text, b int, email text, PRIMARY KEY (a, b));
CREATE TRIGGER tiktok AFTER INSERT ON plain FOR EACH ROW EXECUTE FUNCTION tiktok.track_row('shop', 'ViewContent', 'email=email', 'url=''https://example.com/''');
INSERT INTO plain VALUES ('x-y', 7, 'a@example.com');
SELECT event_id FROM tiktok.event WHERE event = 'ViewContent';
CREATE TABLE parent (id int PRIMARY KEY, email text) PARTITION BY RANGE (id);
CREATE TABLE child PARTITION OF parent FOR VALUES FROM (0) TO (100);
CREATE TRIGGER tiktok AFTER INSERT ON parent FOR EACH ROW EXECUTE FUNCTION tiktok.track_row('shop', 'ViewContent', 'email=email', 'url=''https://example.com/''');
INSERT INTO parent VALUES (7, 'a@example.com');
SELECT event_id FROM tiktok.event WHERE event = 'ViewContent' ORDER BY id;
CREATE TABLE keyless (email text);
CREATE TRIGGER tiktok AFTER INSERT ON keyless FOR EACH ROW EXECUTE FUNCTION tiktok.track_row('shop', 'ViewContent', 'email=email', 'url=''https://example.com/''');
INSERT INTO keyless VALUES ('a@example.com');
SELECT status, reason, notes FROM tiktok.event_status ORDER BY id DESC LIMIT 1;

-- lead stages
INSERT INTO tiktok.lead_stage VALUES ('crm', 'qualified', 'Qualified_Lead', 1), ('crm', 'won', 'Purchase', 2);
CREATE TABLE leads (id int PRIMARY KEY, tiktok_lead_id text, status text, email text);
CREATE TRIGGER tiktok AFTER INSERT OR UPDATE ON leads FOR EACH ROW EXECUTE FUNCTION tiktok.track_row('crm', '=status', 'lead_id=tiktok_lead_id', 'email=email');
INSERT INTO leads VALUES (1, '7412345678901234567', 'new', 'a@example.com'), (2, NULL, 'new', NULL);
UPDATE leads SET status = 'called';
UPDATE leads SET status = 'qualified';
UPDATE leads SET email = 'b@example.com';
UPDATE leads SET status = 'won' WHERE id = 1;
UPDATE leads SET status = 'qualified' WHERE id = 1;
UPDATE leads SET status = NULL;
SELECT event, event_id, status, reason FROM tiktok.event_status WHERE source = 'crm' ORDER BY id;

-- using=: data from other tables; its errors are recorded
CREATE TABLE lines (order_id int, sku text, price numeric, quantity int);
CREATE TABLE carts (id int PRIMARY KEY, email text);
CREATE FUNCTION cart_event(c carts) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	IF c.id = 13 THEN RAISE 'no luck'; END IF;
	IF c.id = 14 THEN RETURN '[]'; END IF;
	IF c.id = 15 THEN RETURN '{"emial": "x"}'; END IF;
	IF c.id = 16 THEN RETURN NULL; END IF;
	IF c.id = 17 THEN RAISE 'deadlock' USING ERRCODE = '40P01'; END IF;
	IF c.id = 18 THEN PERFORM pg_sleep(10); END IF;
	RETURN (SELECT jsonb_build_object('user', jsonb_build_object('email', c.email), 'currency', 'EUR', 'event_time', now(),
			'contents', jsonb_agg(jsonb_build_object('content_id', sku, 'price', price, 'quantity', quantity) ORDER BY sku))
		FROM lines WHERE order_id = c.id);
END $$;
CREATE CONSTRAINT TRIGGER tiktok AFTER INSERT ON carts DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
	EXECUTE FUNCTION tiktok.track_row('shop', 'AddToCart', 'url=''https://example.com/''', 'using=cart_event');
BEGIN;
INSERT INTO carts VALUES (1, 'a@example.com');
INSERT INTO lines VALUES (1, 'A', 1.10, 2), (1, 'B', 0.30, 1);
COMMIT;
SELECT status, reason, notes, value, payload FROM fate('carts-1') \gx
INSERT INTO carts VALUES (13), (14), (15), (16);
SELECT event_id, status, reason FROM tiktok.event_status WHERE event = 'AddToCart' ORDER BY id;
SELECT count(*) FROM carts;
-- it draws no transaction id of its own
BEGIN;
INSERT INTO carts VALUES (2, 'a@example.com');
SET CONSTRAINTS ALL IMMEDIATE;
SELECT count(DISTINCT xmin::text) FROM (SELECT xmin FROM tiktok.event WHERE event_id = 'carts-2' UNION ALL SELECT xmin FROM carts WHERE id = 2) x;
COMMIT;
-- what is not about the data reaches the statement, and leaves the transaction in order
INSERT INTO carts VALUES (17);
CREATE TABLE tries (id int);
ALTER TABLE carts DISABLE TRIGGER tiktok;
CREATE TRIGGER at_once AFTER INSERT ON carts FOR EACH ROW EXECUTE FUNCTION tiktok.track_row('shop', 'AddToCart', 'url=''https://example.com/''', 'using=cart_event');
DO $$
BEGIN
	INSERT INTO tries VALUES (1);
	BEGIN
		INSERT INTO tries VALUES (2);
		INSERT INTO carts VALUES (17);
	EXCEPTION WHEN deadlock_detected THEN
		INSERT INTO tries VALUES (3);
	END;
END $$;
SELECT string_agg(id::text, ' ' ORDER BY id), (SELECT count(*) FROM carts WHERE id = 17) AS carts FROM tries;
DROP TABLE tries;
SET statement_timeout = '100 ms';
INSERT INTO carts VALUES (18);
RESET statement_timeout;
SELECT count(*) FROM carts WHERE id IN (17, 18);
DROP TRIGGER at_once ON carts;
ALTER TABLE carts ENABLE TRIGGER tiktok;
-- a partition may use the function of the table above it
CREATE FUNCTION parent_event(p parent) RETURNS jsonb LANGUAGE sql AS $$ SELECT jsonb_build_object('external_id', p.id, 'url', 'https://example.com/') $$;
CREATE TRIGGER tiktok2 AFTER INSERT ON parent FOR EACH ROW EXECUTE FUNCTION tiktok.track_row('shop', 'Search', 'using=parent_event');
INSERT INTO parent VALUES (8, 'a@example.com');
SELECT event, event_id, status FROM tiktok.event_status WHERE event_id = 'parent-8' ORDER BY event;

-- what has gone since: recorded, with one warning
ALTER TABLE leads RENAME tiktok_lead_id TO lead;
UPDATE leads SET status = 'won';
UPDATE leads SET status = 'qualified';
SELECT event, event_id, status, reason, notes FROM tiktok.event_status WHERE source = 'crm' AND reason = 'mapping' ORDER BY id;
DROP FUNCTION cart_event;
INSERT INTO carts VALUES (20), (21);
SELECT event_id, status, reason, notes FROM tiktok.event_status WHERE event_id ~ 'carts-2.' ORDER BY id;
CREATE TABLE orphans (id int PRIMARY KEY, email text);
CREATE TRIGGER tiktok AFTER INSERT ON orphans FOR EACH ROW EXECUTE FUNCTION tiktok.track_row('nobody', 'ViewContent', 'email=email');
INSERT INTO orphans VALUES (1, 'a@example.com'), (2, 'b@example.com');
SELECT source, event, event_id, status, reason, notes FROM tiktok.event_status WHERE event_id LIKE 'orphans%' ORDER BY id;

-- columns of types that are not sent
CREATE TABLE odd (id int PRIMARY KEY, email bytea, total money);
CREATE TRIGGER tiktok AFTER INSERT ON odd FOR EACH ROW EXECUTE FUNCTION tiktok.track_row('shop', 'ViewContent', 'email=email', 'external_id=id', 'url=''https://example.com/''');
INSERT INTO odd VALUES (1, 'a@example.com', 1);
SELECT status, notes FROM tiktok.event_status WHERE event_id = 'odd-1';
CREATE TRIGGER tiktok2 AFTER INSERT ON odd FOR EACH ROW EXECUTE FUNCTION tiktok.track_row('shop', 'Purchase', 'value=total', 'external_id=id', 'url=''https://example.com/''');
INSERT INTO odd VALUES (2, 'a@example.com', 1);
SELECT event, status, reason, notes FROM tiktok.event_status WHERE event_id = 'odd-2' ORDER BY id;

-- what can never be right fails
CREATE TABLE t (id int PRIMARY KEY, email text);
CREATE FUNCTION try(args text, timing text DEFAULT 'AFTER INSERT', level text DEFAULT 'ROW') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	detail text;
	hint text;
BEGIN
	EXECUTE format('CREATE TRIGGER tiktok %s ON t FOR EACH %s EXECUTE FUNCTION tiktok.track_row(%s)', timing, level, args);
	INSERT INTO t VALUES (1, 'a@example.com');
	DELETE FROM t;
	RAISE 'accepted';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
	RETURN concat_ws(' | ', sqlstate, sqlerrm, nullif(detail, ''), nullif(hint, ''));
END $$;
SELECT try($$$$);
SELECT try($$'shop'$$);
SELECT try($$'shop', 'Purchase', 'email'$$);
SELECT try($$'shop', 'Purchase', 'emial=email'$$);
SELECT try($$'shop', 'Purchase', 'email='$$);
SELECT try($$'shop', 'Purchase', 'email=email', 'user.email=email'$$);
SELECT try($$'shop', 'Purchase', 'currency=''EUR'$$);
SELECT try($$'shop', 'Purchase', 'time_zone=''Nowhere/Land'''$$);
SELECT try($$'shop', '=a.b'$$);
SELECT try($$'shop', 'Purchase', 'email=email'$$, 'BEFORE INSERT');
SELECT try($$'shop', 'Purchase', 'email=email'$$, 'AFTER DELETE');
SELECT try($$'shop', 'Purchase', 'email=email'$$, level => 'STATEMENT');
SELECT try($$'shop', 'Purchase', 'email=email'$$);
CREATE TRIGGER loop AFTER INSERT ON tiktok.lead_stage FOR EACH ROW EXECUTE FUNCTION tiktok.track_row('shop', 'Purchase');
INSERT INTO tiktok.lead_stage VALUES ('crm', 'x', 'X');
DROP TRIGGER loop ON tiktok.lead_stage;
SELECT tiktok.track_row();

-- paths into arrays; one that cannot be followed is noted, one that leads to nothing is not
CREATE TABLE documents (id int PRIMARY KEY, d jsonb, j json);
CREATE TRIGGER tiktok AFTER INSERT ON documents FOR EACH ROW EXECUTE FUNCTION tiktok.track_row('shop', 'Purchase', 'email=d.field_data.0.values.0', 'phone=j.phones.1', 'first_name=d.name.first', 'ttclid=''x''', 'url=''https://example.com/''');
INSERT INTO documents VALUES (1, '{"field_data": [{"name": "email", "values": ["lead@example.com"]}], "name": {"first": "Ana"}}', '{"phones": ["x", "+49 30 23125123"]}'),
	(2, '{"field_data": [], "name": null}', '{"phones": ["x"]}'), (3, '{"field_data": {"0": {"values": ["key@example.com"]}}, "name": "Ana"}', '{"phones": "x"}'), (4, '[1]', '[]'), (5, NULL, '5'),
	(6, '{"field_data": [{"values": {"0": "object@example.com"}}], "name": ["Ana"]}', '{"phones": {"1": "+49 30 23125124"}}');
SELECT e.event_id, i.user_data, e.notes FROM tiktok.event e JOIN tiktok.identity i USING (id) WHERE e.event_id ~ 'documents' ORDER BY e.id;
DROP TABLE documents;

-- values of a session do not change what is sent
SET extra_float_digits = -10;
SET DateStyle = 'SQL, DMY';
SET TimeZone = 'Pacific/Chatham';
CREATE TABLE floats (id int PRIMARY KEY, v float8, at timestamp, day date);
CREATE TRIGGER tiktok AFTER INSERT ON floats FOR EACH ROW EXECUTE FUNCTION tiktok.track_row('shop', 'Purchase', 'value=v', 'currency=''EUR''', 'external_id=id',
	'url=''https://example.com/''', 'event_time=at', 'time_zone=''Europe/Berlin''');
UPDATE tiktok.source SET max_event_age = '100 years';
INSERT INTO floats VALUES (1, 0.1::float8 + 0.2::float8, '2026-07-01 12:00:00');
SELECT extract(epoch FROM event_time)::int8 AS event_time, payload #>> '{properties,value}' AS value FROM tiktok.event WHERE event_id = 'floats-1';

TRUNCATE tiktok.event, tiktok.identity, tiktok.delivery;
DELETE FROM tiktok.source;
DROP FUNCTION parent_event;
DROP TABLE orders, plain, parent, keyless, leads, lines, carts, orphans, odd, t, floats;
