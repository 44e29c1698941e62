-- Schemas as systems have them, set up by tiktok.create_trigger() alone: what each row comes to was worked out by hand.
\set SHOW_CONTEXT never
\set VERBOSITY terse
\pset format unaligned
\pset tuples_only on
SET client_min_messages = warning;
CREATE SCHEMA shape;
SET search_path = shape, public;
CREATE FUNCTION came(what text, fields text[] DEFAULT '{value,currency}') RETURNS SETOF text LANGUAGE sql AS $$
	SELECT concat_ws(' ', s.source, s.event, s.event_id, s.status, s.reason, (SELECT string_agg(p.value, ' ' ORDER BY f.n) FROM unnest(fields) WITH ORDINALITY f (name, n) JOIN jsonb_each_text((e.payload::jsonb -> 'properties') || coalesce(e.payload::jsonb -> 'page', '{}')) p ON p.key = f.name), i.user_data)
	FROM tiktok.event e JOIN tiktok.event_status s USING (id) LEFT JOIN tiktok.identity i USING (id) WHERE e.event_id ~ what ORDER BY e.event_id COLLATE "C", s.event $$;
INSERT INTO tiktok.source (name, event_source, event_source_id, key, default_calling_code) VALUES ('shop', 'web', 'C0', NULL, 'DE'), ('channel a', 'web', 'C1', '11111111-aaaa-4aaa-8aaa-111111111111', NULL), ('channel b', 'web', 'C2', '22222222-bbbb-4bbb-8bbb-222222222222', NULL),
	('org 1', 'web', 'C3', 'org-1', NULL), ('org 2', 'web', 'C4', 'org-2', NULL), ('crm', 'crm', '7003', NULL, 'DE'), ('hubspot', 'crm', '7004', NULL, NULL);

-- 1. channels as tenants, keys are uuids, lines in another table: 8 lines of SQL
CREATE TABLE channel_order (id uuid PRIMARY KEY, number int, channel_id uuid, status text, total_gross_amount numeric(20,3), currency varchar(3), user_email text, redirect_url text, created_at timestamptz);
CREATE TABLE channel_line (id int PRIMARY KEY, order_id uuid REFERENCES channel_order, product_sku text, quantity int, unit_price_gross_amount numeric(20,3));
SELECT tiktok.create_trigger('channel_order', '=channel_id', 'Purchase',
	'{"event_id": "number", "event_time": "created_at", "value": "total_gross_amount", "currency": "currency", "email": "user_email", "url": "redirect_url"}',
	$$status IN ('unfulfilled', 'fulfilled')$$,
	query => $$SELECT (SELECT jsonb_agg(jsonb_build_object('content_id', l.product_sku, 'quantity', l.quantity, 'price', l.unit_price_gross_amount) ORDER BY l.id)
		FROM channel_line l WHERE l.order_id = new.id) AS contents$$,
	at_commit => true) ~ 'CREATE' AS created;
BEGIN;
INSERT INTO channel_order SELECT md5(n::text)::uuid, 100 + n, CASE WHEN n % 3 = 0 THEN '33333333-cccc-4ccc-8ccc-333333333333' WHEN n % 2 = 0 THEN '22222222-bbbb-4bbb-8bbb-222222222222' ELSE '11111111-aaaa-4aaa-8aaa-111111111111' END::uuid,
	'unfulfilled', 0, 'EUR', 'c' || n || '@example.com', 'https://a.example.com/', now() FROM generate_series(1, 24) n;
INSERT INTO channel_line SELECT n, md5(n::text)::uuid, 'SKU' || n, 2, n FROM generate_series(1, 24) n;
UPDATE channel_order SET total_gross_amount = (SELECT sum(quantity * unit_price_gross_amount) FROM channel_line l WHERE l.order_id = channel_order.id);
UPDATE channel_order SET status = 'canceled' WHERE number = 107;
DELETE FROM channel_line WHERE id = 108;
COMMIT;
UPDATE channel_order SET status = 'fulfilled', number = number WHERE status <> 'canceled';
SELECT source, count(*), sum(value), min(event_id), max(event_id) FROM tiktok.event_status WHERE source LIKE 'channel%' GROUP BY 1 ORDER BY 1;
SELECT came('^10[12]$', '{value,currency,contents,url}');
SELECT sum(no_source) FROM tiktok.unmapped_source WHERE relation = 'channel_order'::regclass;

-- 2. address and country behind foreign keys; the state is a BEFORE trigger's: 6 lines
CREATE TABLE spree_countries (id int PRIMARY KEY, iso char(2));
CREATE TABLE spree_addresses (id int PRIMARY KEY, firstname text, phone text, city text, zipcode text, country_id int REFERENCES spree_countries);
CREATE TABLE spree_orders (id int PRIMARY KEY, number char(12), state text, payment_state text, total numeric, item_total numeric, currency text, email text, bill_address_id int REFERENCES spree_addresses, last_ip_address text, completed_at timestamp);
CREATE FUNCTION complete() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.payment_state = 'paid' THEN NEW.state = 'complete'; END IF; RETURN NEW; END $$;
CREATE TRIGGER complete BEFORE UPDATE OF payment_state ON spree_orders FOR EACH ROW EXECUTE FUNCTION complete();
SELECT tiktok.create_trigger('spree_orders', 'shop', 'Purchase',
	'{"event_id": "number", "event_time": "completed_at", "value": "total", "currency": "currency", "email": "email", "ip": "last_ip_address", "url": "''https://shop.example.com/checkout''",
	  "phone": "bill_address_id->phone", "first_name": "bill_address_id->firstname", "city": "bill_address_id->city", "zip_code": "bill_address_id->zipcode", "country": "bill_address_id->country_id->iso"}',
	$$state = 'complete'$$) ~ 'CREATE' AS created;
INSERT INTO spree_countries VALUES (1, 'DE');
INSERT INTO spree_addresses VALUES (1, 'Ana', '030 23125123', 'Berlin', '10115', 1), (2, NULL, NULL, NULL, NULL, NULL);
INSERT INTO spree_orders VALUES (1, 'R1', 'cart', 'due', 49.90, 40, 'EUR', 'ana@example.com', 1, '203.0.113.9', localtimestamp), (2, 'R2', 'cart', 'due', 10, 10, 'EUR', 'bob@example.com', 2, NULL, localtimestamp), (3, 'R3', 'cart', 'due', 10, 10, 'EUR', 'eve@example.com', NULL, NULL, localtimestamp);
UPDATE spree_orders SET payment_state = 'paid';
UPDATE spree_orders SET payment_state = 'paid', total = total + 1, email = email;
SELECT came('^R');

-- 3. the payment is in another table than the order, and makes the event: 7 lines
CREATE TABLE medusa_order (id text PRIMARY KEY, display_id int, email text, currency_code text, canceled_at timestamptz);
CREATE TABLE medusa_payment (id text PRIMARY KEY, order_id text REFERENCES medusa_order, amount numeric, captured_at timestamptz, data jsonb);
SELECT tiktok.create_trigger('medusa_payment', 'shop', 'Purchase',
	'{"event_id": "order_id", "event_time": "captured_at", "value": "amount", "currency": "order_id->currency_code", "email": "order_id->email", "url": "''https://shop.example.com/''"}',
	'captured_at IS NOT NULL', at_commit => true,
	query => $$SELECT o.display_id AS order_id FROM medusa_order o WHERE o.id = new.order_id AND o.canceled_at IS NULL$$) ~ 'CREATE' AS created;
INSERT INTO medusa_order SELECT 'order_' || n, n, 'm' || n || '@example.com', 'eur', NULL FROM generate_series(1, 20) n;
INSERT INTO medusa_payment SELECT 'pay_' || n, 'order_' || n, n * 10, NULL, NULL FROM generate_series(1, 20) n;
BEGIN;
UPDATE medusa_payment SET captured_at = now();
UPDATE medusa_order SET canceled_at = now() WHERE display_id = 3;
COMMIT;
SELECT came('^order_[1234]$', '{value,currency,order_id}');
SELECT count(*), sum(value) FROM tiktok.event_status WHERE event_id ~ '^order_';

-- 4. minor units of several currencies in one table: 3 lines; and by a divisor: 3 lines
CREATE TABLE vendure_order (id int PRIMARY KEY, code text, "totalWithTax" int, "currencyCode" text, email text, "orderPlacedAt" timestamp);
SELECT tiktok.create_trigger('vendure_order', 'shop', 'Purchase', '{"event_id": "code", "event_time": "orderPlacedAt", "value": "totalWithTax", "amounts": "''minor''", "currency": "currencyCode", "email": "email", "url": "''https://shop.example.com/''"}',
	$$"orderPlacedAt" IS NOT NULL$$) ~ 'CREATE' AS created;
INSERT INTO vendure_order VALUES (1, 'V1', 4990, 'EUR', 'a@example.com', now()), (2, 'V2', 1200, 'JPY', 'a@example.com', now()), (3, 'V3', 12345, 'KWD', 'a@example.com', now()), (4, 'V4', 12345, NULL, 'a@example.com', now()), (5, 'V5', 1, 'EUR', 'a@example.com', NULL);
UPDATE vendure_order SET "orderPlacedAt" = now() WHERE id = 5;
SELECT came('^V');
CREATE TABLE precise_order (no text PRIMARY KEY, total bigint, currency text, email text, at timestamptz);
SELECT tiktok.create_trigger('precise_order', 'shop', 'Purchase', '{"event_id": "no", "event_time": "at", "value": "total", "amounts": 1000, "currency": "currency", "email": "email", "url": "''https://shop.example.com/''"}') ~ 'CREATE' AS created;
INSERT INTO precise_order VALUES ('P1', 49900, 'EUR', 'a@example.com', now()), ('P2', 1200000, 'JPY', 'a@example.com', now());
SELECT came('^P');

-- 5. billing: cents, statuses as numbers, organisations as tenants behind the customer: 6 lines
CREATE TABLE billing_org (id int PRIMARY KEY, slug text);
CREATE TABLE billing_customer (id int PRIMARY KEY, organization_id int REFERENCES billing_org, email text, country text);
CREATE TABLE invoice (id int PRIMARY KEY, number text, customer_id int REFERENCES billing_customer, payment_status smallint, total_amount_cents bigint, currency text, updated_at timestamp);
SELECT tiktok.create_trigger('invoice', '=customer_id->organization_id->slug', 'Subscribe',
	'{"event_id": "number", "event_time": "updated_at", "value": "total_amount_cents", "amounts": "''minor''", "currency": "currency",
	  "email": "customer_id->email", "country": "customer_id->country", "external_id": "customer_id", "url": "''https://billing.example.com/''"}',
	'payment_status = 1') ~ 'CREATE' AS created;
INSERT INTO billing_org VALUES (1, 'org-1'), (2, 'org-2'), (3, 'org-3');
INSERT INTO billing_customer SELECT n, n % 3 + 1, 'b' || n || '@example.com', 'FR' FROM generate_series(1, 9) n;
INSERT INTO invoice SELECT n, 'I' || n, n, 0, n * 100 + 50, 'EUR', now() FROM generate_series(1, 9) n;
UPDATE invoice SET payment_status = 1;
UPDATE invoice SET payment_status = 1, total_amount_cents = 1;
SELECT came('^I[0-9]');
SELECT key, no_source FROM tiktok.unmapped_source WHERE relation = 'invoice'::regclass;

-- 6. CRM: stage behind a foreign key, names by language, currency through the company: 6 lines
CREATE TABLE res_currency (id int PRIMARY KEY, name text);
CREATE TABLE res_company (id int PRIMARY KEY, currency_id int REFERENCES res_currency);
CREATE TABLE crm_stage (id int PRIMARY KEY, name jsonb);
CREATE TABLE crm_lead (id int PRIMARY KEY, stage_id int REFERENCES crm_stage, company_id int REFERENCES res_company, expected_revenue float8, email_from text, phone text, x_tiktok_lead text, active boolean DEFAULT true, write_date timestamp);
INSERT INTO tiktok.lead_stage VALUES ('crm', 'Qualified', 'Qualified_Lead', 1), ('crm', 'Won', 'Purchase', 2);
SELECT tiktok.create_trigger('crm_lead', 'crm', '=stage_id->name.en_US',
	'{"lead_id": "x_tiktok_lead", "event_time": "write_date", "email": "email_from", "phone": "phone", "value": "expected_revenue", "currency": "company_id->currency_id->name"}',
	'active') ~ 'CREATE' AS created;

-- 7. CRM: enum stages, soft delete, amounts in micros: 4 lines
CREATE TYPE opportunity_stage AS ENUM ('NEW', 'MEETING', 'CUSTOMER');
CREATE TABLE opportunity (id uuid PRIMARY KEY, stage opportunity_stage, "amountAmountMicros" numeric, "amountCurrencyCode" text, "leadId" text, "deletedAt" timestamptz, "updatedAt" timestamptz DEFAULT now());
INSERT INTO tiktok.lead_stage VALUES ('hubspot', 'MEETING', 'Contacted_Lead', 1), ('hubspot', 'CUSTOMER', 'Purchase', 2);
SELECT tiktok.create_trigger('opportunity', 'hubspot', '=stage', '{"lead_id": "leadId", "event_time": "updatedAt", "value": "amountAmountMicros", "amounts": 1000000, "currency": "amountCurrencyCode"}',
	$$"deletedAt" IS NULL$$, at_commit => true) ~ 'CREATE' AS created;
INSERT INTO opportunity VALUES ('00000000-0000-4000-8000-000000000001', 'NEW', 1250500000, 'EUR', '7412345678901234567'), ('00000000-0000-4000-8000-000000000002', 'NEW', 1, 'EUR', '7412345678901234568');
UPDATE opportunity SET stage = 'MEETING';
BEGIN;
UPDATE opportunity SET stage = 'CUSTOMER';
UPDATE opportunity SET "deletedAt" = now() WHERE id = '00000000-0000-4000-8000-000000000002';
COMMIT;
SELECT came('^opportunity');

-- 8. rentals by month with a key of two columns: 4 lines
CREATE TABLE customer (customer_id int PRIMARY KEY, email text);
CREATE TABLE payment (payment_id int, customer_id int REFERENCES customer, amount numeric(5,2), payment_date timestamptz, PRIMARY KEY (payment_date, payment_id)) PARTITION BY RANGE (payment_date);
CREATE TABLE payment_1 PARTITION OF payment FOR VALUES FROM ('2000-01-01') TO ('2026-11-15');
CREATE TABLE payment_2 PARTITION OF payment FOR VALUES FROM ('2026-11-15') TO ('2100-01-01');
SELECT tiktok.create_trigger('payment', 'shop', 'Purchase', '{"event_time": "payment_date", "value": "amount", "currency": "''USD''", "email": "customer_id->email", "url": "''https://rent.example.com/''"}');
SELECT tiktok.create_trigger('payment', 'shop', 'Purchase', '{"event_time": "payment_date", "value": "amount", "currency": "''USD''", "email": "customer_id->email", "url": "''https://rent.example.com/''"}',
	query => $$SELECT 'rental-' || new.payment_id AS event_id$$) ~ 'CREATE' AS created;
INSERT INTO customer VALUES (1, 'r@example.com');
INSERT INTO payment SELECT n, 1, 2.99, now() - n * interval '1 hour' FROM generate_series(1, 20) n;
UPDATE payment SET payment_date = '2026-11-14' WHERE payment_id = 5;
CREATE TABLE payment_3 PARTITION OF payment FOR VALUES FROM ('2100-01-01') TO ('2101-01-01');
SELECT count(*), count(DISTINCT event_id), sum(value) FROM tiktok.event_status WHERE event_id ~ '^rental';

-- 9. sales orders: domains, computed columns, a table of rates: 6 lines
CREATE DOMAIN "Name" AS varchar(50);
CREATE DOMAIN "Amount" AS numeric(19,4) CHECK (VALUE >= 0);
CREATE TABLE currencyrate (currencyrateid int PRIMARY KEY, tocurrencycode char(3), endofdayrate numeric);
CREATE TABLE salesorderheader (salesorderid int PRIMARY KEY, salesordernumber text GENERATED ALWAYS AS ('SO' || salesorderid) STORED, subtotal "Amount", taxamt "Amount", totaldue numeric GENERATED ALWAYS AS (subtotal + taxamt) STORED,
	currencyrateid int REFERENCES currencyrate, status smallint, buyer "Name", orderdate timestamp);
SELECT tiktok.create_trigger('salesorderheader', 'shop', 'Purchase',
	'{"event_id": "salesordernumber", "event_time": "orderdate", "email": "buyer", "url": "''https://sales.example.com/''"}', 'status = 5',
	query => $$SELECT round(new.totaldue * coalesce(r.endofdayrate, 1), 2) AS value, coalesce(r.tocurrencycode, 'USD') AS currency
		FROM (SELECT) one LEFT JOIN currencyrate r ON r.currencyrateid = new.currencyrateid$$) ~ 'CREATE' AS created;
INSERT INTO currencyrate VALUES (1, 'EUR', 0.9);
INSERT INTO salesorderheader (salesorderid, subtotal, taxamt, currencyrateid, status, buyer, orderdate) VALUES (1, 100, 19, NULL, 1, 's1@example.com', now()), (2, 100, 19, 1, 5, 's2@example.com', now());
UPDATE salesorderheader SET status = 5;
SELECT came('^SO');

-- 10. raw webhook documents: an order, a checkout session, a lead with answers as an array of name and values: 4, 4 and 6 lines
CREATE TABLE webhook (id int PRIMARY KEY, topic text, doc jsonb, received_at timestamptz DEFAULT now());
SELECT tiktok.create_trigger('webhook', 'shop', 'Purchase', '{"event_id": "doc.name", "event_time": "doc.created_at", "value": "doc.total_price", "currency": "doc.currency", "email": "doc.email", "phone": "doc.phone", "url": "doc.order_status_url"}',
	$$topic = 'orders/paid'$$, query => $$SELECT (SELECT jsonb_agg(jsonb_build_object('content_id', l ->> 'sku', 'quantity', l -> 'quantity', 'price', l -> 'price')) FROM jsonb_array_elements(new.doc -> 'line_items') l) AS contents$$) ~ 'CREATE' AS created;
SELECT tiktok.create_trigger('webhook', 'shop', 'StartTrial', '{"event_id": "doc.id", "event_time": "doc.created", "value": "doc.amount_total", "amounts": "''minor''", "currency": "doc.currency", "email": "doc.customer_details.email", "url": "doc.success_url"}',
	$$topic = 'checkout.session.completed'$$) ~ 'CREATE' AS created;
SELECT tiktok.create_trigger('webhook', 'crm', 'Lead_Received', '{"event_id": "doc.id", "event_time": "doc.created_time", "lead_id": "doc.id"}', $$topic = 'lead'$$,
	query => $$SELECT max(f #>> '{values,0}') FILTER (WHERE f ->> 'name' = 'email') AS email, max(f #>> '{values,0}') FILTER (WHERE f ->> 'name' = 'phone_number') AS phone
		FROM jsonb_array_elements(new.doc -> 'field_data') f$$) ~ 'CREATE' AS created;
INSERT INTO webhook VALUES (1, 'orders/paid', jsonb_build_object('name', '#1001', 'created_at', now(), 'total_price', '49.90', 'currency', 'EUR', 'email', 'w1@example.com', 'order_status_url', 'https://w.example.com/1', 'line_items', '[{"sku": "A", "quantity": 2, "price": "15.00"}, {"sku": "B", "quantity": 1, "price": "19.90"}]'::jsonb)),
	(2, 'checkout.session.completed', jsonb_build_object('id', 'cs_1', 'created', extract(epoch FROM now())::int, 'amount_total', 990, 'currency', 'eur', 'customer_details', '{"email": "w2@example.com"}'::jsonb, 'success_url', 'https://w.example.com/2')),
	(3, 'lead', jsonb_build_object('id', '7412345678901234569', 'created_time', to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"+0000"'), 'field_data', '[{"name": "full_name", "values": ["Ana"]}, {"name": "email", "values": ["w3@example.com"]}, {"name": "phone_number", "values": ["+4930 23125123"]}]'::jsonb)),
	(4, 'orders/create', '{"name": "#1002"}');
SELECT came('^(#|cs|74)', '{value,currency,contents,url}');

-- 11. a CSV import: everything is text: 3 lines
CREATE TABLE csv_orders (name text, paid_at text, total text, currency text, email text);
SELECT tiktok.create_trigger('csv_orders', 'shop', 'Purchase', '{"event_id": "name", "event_time": "paid_at", "value": "total", "currency": "currency", "email": "email", "url": "''https://csv.example.com/''"}') ~ 'CREATE' AS created;
INSERT INTO csv_orders SELECT '#C' || n, to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), CASE n WHEN 1 THEN '49.90' WHEN 2 THEN ' 5 ' WHEN 3 THEN '1.299' WHEN 4 THEN '' ELSE '10' END, 'EUR', 'csv' || n || '@example.com' FROM generate_series(1, 20) n;
INSERT INTO csv_orders VALUES (NULL, NULL, '1', 'EUR', 'csv@example.com');
SELECT came('^#C[1-5]$');
SELECT status, reason, count(*) FROM tiktok.event_status WHERE event_id ~ '^#C' OR reason = 'event_id' GROUP BY 1, 2 ORDER BY 1, 2;

-- 6. goes on: a stage that is renamed makes no event, a lead comes back, another is archived
INSERT INTO res_currency VALUES (1, 'EUR'), (2, 'CHF');
INSERT INTO res_company VALUES (1, 1), (2, 2);
INSERT INTO crm_stage VALUES (1, '{"en_US": "New", "de_DE": "Neu"}'), (2, '{"en_US": "Qualified", "de_DE": "Qualifiziert"}'), (3, '{"en_US": "Won"}');
INSERT INTO crm_lead SELECT n, 1, n % 2 + 1, n * 1000, 'l' || n || '@example.com', NULL, 7412345678901234000 + n, true, now() FROM generate_series(1, 20) n;
UPDATE crm_lead SET stage_id = 2;
UPDATE crm_lead SET expected_revenue = expected_revenue + 1;
UPDATE crm_stage SET name = '{"en_US": "Sold"}' WHERE id = 2;
UPDATE crm_lead SET active = false WHERE id = 2;
UPDATE crm_lead SET stage_id = 3 WHERE id < 4;
UPDATE crm_lead SET stage_id = 1 WHERE id = 1;
UPDATE crm_lead SET stage_id = 3 WHERE id = 1;
SELECT came('^crm_lead-[123]-');
SELECT event, count(*), sum(value) FROM tiktok.event_status WHERE event_id ~ '^crm_lead' GROUP BY 1 ORDER BY 1;

TRUNCATE tiktok.event, tiktok.identity, tiktok.delivery;
DELETE FROM tiktok.source;
DROP SCHEMA shape CASCADE;
