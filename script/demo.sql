\set QUIET on
SET client_min_messages = warning;
\pset format aligned
\pset null ''

\echo
\echo '-- Where events go: a row and a token per source'
\set ECHO queries
CREATE EXTENSION tiktok_events;
INSERT INTO tiktok.source (name, event_source, event_source_id, default_calling_code)
	VALUES ('shop', 'web', 'CDEMOPIXEL0000000001', 'DE'), ('crm', 'crm', '7400000000000000003', 'DE');
\set ECHO none
SELECT tiktok.set_access_token(name, :'token') AS "tiktok.set_access_token('shop', ...)" FROM tiktok.source \g /dev/null
\set ECHO queries
INSERT INTO tiktok.lead_stage VALUES ('crm', 'qualified', 'Qualified_Lead', 1), ('crm', 'won', 'Purchase', 2);

CREATE TABLE orders (
	order_no text PRIMARY KEY, status text NOT NULL, total numeric, currency text,
	email text, phone text, client_ip inet DEFAULT '203.0.113.24', user_agent text DEFAULT 'Mozilla/5.0',
	landing_url text DEFAULT 'https://shop.example.com/thanks', items jsonb);

CREATE TRIGGER tiktok_purchase AFTER INSERT ON orders FOR EACH ROW WHEN (NEW.status = 'paid')
	EXECUTE FUNCTION tiktok.track_row('shop', 'Purchase', 'event_id=order_no', 'value=total', 'currency=currency',
		'email=email', 'phone=phone', 'ip=client_ip', 'user_agent=user_agent', 'url=landing_url', 'contents=items');

CREATE TABLE leads (id int PRIMARY KEY, tiktok_lead_id text, status text, email text);

CREATE TRIGGER tiktok_stage AFTER UPDATE OF status ON leads FOR EACH ROW
	EXECUTE FUNCTION tiktok.track_row('crm', '=status', 'lead_id=tiktok_lead_id', 'email=email');

\echo
\echo '-- Orders in their own transactions'
INSERT INTO orders VALUES ('SO-1001', 'paid', 49.90, 'EUR', ' Ana@Example.COM', '030 23125123');
INSERT INTO orders (order_no, status, currency, email, phone, items)
	VALUES ('SO-1002', 'paid', 'USD', 'bob@example.org', '+1 202 555 0143', '[{"content_id": 1001, "price": "15.05", "quantity": 2}]');

\echo
\echo '-- A hundred orders at once'
INSERT INTO orders (order_no, status, total, currency, email)
	SELECT 'SO-' || n, 'paid', n % 50 + 0.99, 'EUR', 'customer' || n || '@example.com' FROM generate_series(1100, 1199) n;

\echo
\echo '-- One that is rolled back never happened'
BEGIN;
INSERT INTO orders VALUES ('SO-1003', 'paid', 1000000, 'EUR', 'nobody@example.com');
ROLLBACK;

\echo
\echo '-- One that TikTok would refuse is recorded with the reason; the order is stored all the same'
INSERT INTO orders VALUES ('SO-1004', 'paid', 12.00, 'XYZ', 'carl@example.com');

\echo
\echo '-- Leads move through stages; a stage that is not listed makes no event'
INSERT INTO leads VALUES (1, '7412345678901234567', 'new', 'lead1@example.com'), (2, '7412345678901234568', 'new', 'lead2@example.com');
UPDATE leads SET status = 'called';
UPDATE leads SET status = 'qualified';
UPDATE leads SET status = 'won' WHERE id = 1;

SELECT tiktok.wait('20 s') AS "every event is final";

SELECT source, event, event_id, status, reason, attempts, http_status, code, value, currency
	FROM tiktok.event_status WHERE event_id NOT LIKE 'SO-11%' ORDER BY id;
SELECT source, event, status, count(*), sum(value) AS value, currency FROM tiktok.event_status GROUP BY source, event, status, currency ORDER BY 1, 2, 3, 6;
SELECT count(*) AS "identifiers left" FROM tiktok.identity;
SELECT id, events, http_status, outcome, finished_at - started_at AS took FROM tiktok.request ORDER BY id;
