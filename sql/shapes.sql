-- Schemas as systems have them, set up by tiktok.create_trigger() alone: what each row comes to was worked out by hand, and no order of statements makes a wrong event.
\set SHOW_CONTEXT never
\set VERBOSITY terse
\pset format unaligned
\pset tuples_only on
SET client_min_messages = warning;
SET TimeZone = 'UTC';
CREATE SCHEMA shape;
SET search_path = shape, public;
CREATE FUNCTION came(what text, fields text[]) RETURNS SETOF text LANGUAGE sql AS $$
	SELECT concat_ws(' ', s.source, s.event, s.event_id, s.status, s.reason, (SELECT string_agg(p.value, ' ' ORDER BY f.n) FROM unnest(fields) WITH ORDINALITY f (name, n) JOIN jsonb_each_text((e.payload::jsonb -> 'properties') || coalesce(e.payload::jsonb -> 'page', '{}')) p ON p.key = f.name), i.user_data)
	FROM tiktok.event e JOIN tiktok.event_status s USING (id) LEFT JOIN tiktok.identity i USING (id) WHERE e.event_id ~ what $$;
-- nothing but "as wanted", or what is wrong
CREATE FUNCTION compare(what text, wanted text[], fields text[] DEFAULT '{value,currency}') RETURNS SETOF text LANGUAGE sql AS $$
	WITH came (line) AS MATERIALIZED (SELECT came(what, fields)), wanted (line) AS (SELECT unnest(wanted)), wrong (line) AS (
		SELECT 'not wanted: ' || line FROM (TABLE came EXCEPT ALL TABLE wanted) x UNION ALL SELECT 'missing: ' || line FROM (TABLE wanted EXCEPT ALL TABLE came) x)
	TABLE wrong UNION ALL SELECT cardinality(wanted) || ' as wanted' WHERE NOT EXISTS (TABLE wrong) ORDER BY 1 $$;
INSERT INTO tiktok.source (name, event_source, event_source_id, key, default_calling_code) VALUES ('shop', 'web', 'C0', NULL, 'DE'), ('channel a', 'web', 'C1', '11111111-aaaa-4aaa-8aaa-111111111111', NULL), ('channel b', 'web', 'C2', '22222222-bbbb-4bbb-8bbb-222222222222', NULL),
	('org 1', 'web', 'C3', 'org-1', NULL), ('org 2', 'web', 'C4', 'org-2', NULL), ('crm', 'crm', '7003', NULL, 'DE'), ('hubspot', 'crm', '7004', NULL, NULL);

-- 1. channels as tenants, keys are uuids, lines in another table: 6 lines of SQL
CREATE TABLE channel_order (id uuid PRIMARY KEY, number int, channel_id uuid, status text, total_gross_amount numeric(20,3), currency varchar(3), user_email text, redirect_url text, created_at timestamptz);
CREATE TABLE channel_line (id int PRIMARY KEY, order_id uuid REFERENCES channel_order ON DELETE CASCADE, product_sku text, quantity int, unit_price_gross_amount numeric(20,3));
SELECT tiktok.create_trigger('channel_order', '=channel_id', 'Purchase',
	'{"event_id": "number", "event_time": "created_at", "value": "total_gross_amount", "currency": "currency", "email": "user_email", "url": "redirect_url"}',
	$$status IN ('unfulfilled', 'fulfilled')$$, at_commit => true,
	query => $$SELECT (SELECT jsonb_agg(jsonb_build_object('content_id', l.product_sku, 'quantity', l.quantity, 'price', l.unit_price_gross_amount) ORDER BY l.id)
		FROM channel_line l WHERE l.order_id = new.id) AS contents$$) ~ 'CREATE' AS created;
BEGIN;
INSERT INTO channel_order SELECT md5(n::text)::uuid, 100 + n, CASE WHEN n % 3 = 0 THEN '33333333-cccc-4ccc-8ccc-333333333333' WHEN n % 2 = 0 THEN '22222222-bbbb-4bbb-8bbb-222222222222' ELSE '11111111-aaaa-4aaa-8aaa-111111111111' END::uuid,
	'unfulfilled', 0, 'EUR', 'c' || n || '@example.com', 'https://a.example.com/', now() FROM generate_series(1, 24) n;
INSERT INTO channel_line SELECT n, md5(n::text)::uuid, 'SKU' || n, 2, n FROM generate_series(1, 24) n;
UPDATE channel_order SET total_gross_amount = (SELECT sum(quantity * unit_price_gross_amount) FROM channel_line l WHERE l.order_id = channel_order.id);
UPDATE channel_order SET status = 'canceled' WHERE number = 107;
DELETE FROM channel_line WHERE id = 108;
COMMIT;
UPDATE channel_order SET status = 'fulfilled', number = number WHERE status <> 'canceled';
-- those of the third channel have no source; number 107 was cancelled
SELECT compare('^1[0-9][0-9]$', array_agg(format('channel %s Purchase %s pending %s.000 EUR [{"price": %s.000, "quantity": 2, "content_id": "SKU%s"}] https://a.example.com/ {"email":"c%s@example.com"}', CASE n % 2 WHEN 0 THEN 'b' ELSE 'a' END, 100 + n, 2 * n, n, n, n)), '{value,currency,contents,url}')
FROM generate_series(1, 24) n WHERE n % 3 <> 0 AND n <> 7;
SELECT sum(no_source) FROM tiktok.unmapped_source WHERE relation = 'channel_order'::regclass;

-- 2. address and country behind foreign keys; the state is a BEFORE trigger's: 5 lines
CREATE TABLE spree_countries (id int PRIMARY KEY, iso char(2));
CREATE TABLE spree_addresses (id int PRIMARY KEY, firstname text, phone text, city text, zipcode text, country_id int REFERENCES spree_countries);
CREATE TABLE spree_orders (id int PRIMARY KEY, number char(12), state text, payment_state text, total numeric, item_total numeric, currency text, email text, bill_address_id int REFERENCES spree_addresses, last_ip_address text, completed_at timestamp);
CREATE FUNCTION complete() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.payment_state = 'paid' THEN NEW.state = 'complete'; END IF; RETURN NEW; END $$;
CREATE TRIGGER complete BEFORE UPDATE OF payment_state ON spree_orders FOR EACH ROW EXECUTE FUNCTION complete();
SELECT tiktok.create_trigger('spree_orders', 'shop', 'Purchase',
	'{"event_id": "number", "event_time": "completed_at", "value": "total", "currency": "currency", "email": "email", "ip": "last_ip_address", "url": "''https://shop.example.com/checkout''",
	  "phone": "bill_address_id->phone", "first_name": "bill_address_id->firstname", "city": "bill_address_id->city", "zip_code": "bill_address_id->zipcode", "country": "bill_address_id->country_id->iso"}',
	$$state = 'complete'$$, at_commit => true) ~ 'CREATE' AS created;
INSERT INTO spree_countries VALUES (1, 'DE'), (2, 'US');
INSERT INTO spree_addresses VALUES (1, 'Ana', '030 23125123', 'Berlin', '10115', 1), (2, NULL, NULL, NULL, NULL, NULL), (3, 'Bob', '(212) 555-0123', 'New York', '10001-1234', 2);
INSERT INTO spree_orders SELECT n, 'R' || n, 'cart', 'due', n + 0.9, n, 'EUR', 's' || n || '@example.com', CASE n % 4 WHEN 0 THEN NULL ELSE n % 4 END, CASE n WHEN 1 THEN '203.0.113.9' END, localtimestamp FROM generate_series(1, 24) n;
UPDATE spree_orders SET payment_state = 'paid';
UPDATE spree_orders SET payment_state = 'paid', total = total + 1, email = email;
SELECT compare('^R', array_agg(format('shop Purchase R%s pending %s.9 EUR {"email":"s%s@example.com"%s}', n, n, n, CASE n % 4
	WHEN 1 THEN format(',"phone":"+493023125123",%s"first_name":"ana","city":"berlin","country":"de","zip_code":"10115"', CASE n WHEN 1 THEN '"ip":"203.0.113.9",' END)
	WHEN 3 THEN ',"phone":"+12125550123","first_name":"bob","city":"newyork","country":"us","zip_code":"10001"' END)))
FROM generate_series(1, 24) n;

-- 3. the payment is in another table than the order, and makes the event: 5 lines
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
SELECT compare('^order_', array_agg(format('shop Purchase order_%s pending %s EUR %s {"email":"m%s@example.com"}', n, 10 * n, n, n)), '{value,currency,order_id}') FROM generate_series(1, 20) n WHERE n <> 3;

-- 4. minor units of several currencies in one table, and by a divisor of its own: 3 lines each
CREATE TABLE vendure_order (id int PRIMARY KEY, code text, state text, "totalWithTax" int, "currencyCode" text, email text, "orderPlacedAt" timestamp);
SELECT tiktok.create_trigger('vendure_order', 'shop', 'Purchase',
	'{"event_id": "code", "event_time": "orderPlacedAt", "value": "totalWithTax", "amounts": "''minor''", "currency": "currencyCode", "email": "email", "url": "''https://shop.example.com/''"}',
	$$state = 'PaymentSettled'$$, at_commit => true) ~ 'CREATE' AS created;
INSERT INTO vendure_order SELECT n, 'V' || n, 'PaymentSettled', 1000 * n + 5, (ARRAY['EUR', 'JPY', 'KWD', 'EUR', NULL])[n % 5 + 1], 'v@example.com', now() FROM generate_series(1, 25) n;
-- cents of the euro, whole yen, thousandths of the dinar; without a currency nobody knows
SELECT compare('^V', array_agg(format('shop Purchase V%s %s', n, (ARRAY['pending ' || 10 * n || '.05 EUR {"email":"v@example.com"}', 'pending ' || 1000 * n + 5 || ' JPY {"email":"v@example.com"}', 'pending ' || n || '.005 KWD {"email":"v@example.com"}', 'pending ' || 10 * n || '.05 EUR {"email":"v@example.com"}', 'invalid currency'])[n % 5 + 1])))
FROM generate_series(1, 25) n;
CREATE TABLE precise_order (no text PRIMARY KEY, total bigint, currency text, email text, at timestamptz);
SELECT tiktok.create_trigger('precise_order', 'shop', 'Purchase',
	'{"event_id": "no", "event_time": "at", "value": "total", "amounts": 1000, "currency": "currency", "email": "email", "url": "''https://shop.example.com/''"}') ~ 'CREATE' AS created;
INSERT INTO precise_order VALUES ('P1', 49900, 'EUR', 'a@example.com', now()), ('P2', 1200000, 'JPY', 'a@example.com', now()), ('P3', 1, 'KWD', 'a@example.com', now());
SELECT compare('^P', '{"shop Purchase P1 pending 49.900 EUR {\"email\":\"a@example.com\"}","shop Purchase P2 pending 1200.000 JPY {\"email\":\"a@example.com\"}","shop Purchase P3 pending 0.001 KWD {\"email\":\"a@example.com\"}"}');

-- 5. billing: cents, statuses as numbers, organisations as tenants behind the customer: 5 lines
CREATE TABLE billing_org (id int PRIMARY KEY, slug text);
CREATE TABLE billing_customer (id int PRIMARY KEY, organization_id int REFERENCES billing_org, email text, country text);
CREATE TABLE invoice (id int PRIMARY KEY, number text, customer_id int REFERENCES billing_customer, payment_status smallint, total_amount_cents bigint, currency text, updated_at timestamp);
SELECT tiktok.create_trigger('invoice', '=customer_id->organization_id->slug', 'Subscribe',
	'{"event_id": "number", "event_time": "updated_at", "value": "total_amount_cents", "amounts": "''minor''", "currency": "currency",
	  "email": "customer_id->email", "country": "customer_id->country", "external_id": "customer_id", "url": "''https://billing.example.com/''"}',
	'payment_status = 1', at_commit => true) ~ 'CREATE' AS created;
INSERT INTO billing_org VALUES (1, 'org-1'), (2, 'org-2'), (3, 'org-3');
INSERT INTO billing_customer SELECT n, n % 3 + 1, 'b' || n || '@example.com', 'FR' FROM generate_series(1, 24) n;
INSERT INTO invoice SELECT n, 'I' || n, n, 0, n * 100 + 50, 'EUR', now() FROM generate_series(1, 24) n;
UPDATE invoice SET payment_status = 1;
UPDATE invoice SET payment_status = 1, total_amount_cents = 1;
SELECT compare('^I[0-9]', array_agg(format('org %s Subscribe I%s pending %s.50 EUR {"email":"b%s@example.com","external_id":"%s","country":"fr"}', n % 3 + 1, n, n, n, n))) FROM generate_series(1, 24) n WHERE n % 3 <> 2;
SELECT key, no_source FROM tiktok.unmapped_source WHERE relation = 'invoice'::regclass;

-- 6. CRM: stage behind a foreign key, names by language, currency through the company: 3 lines, and one for each stage
CREATE TABLE res_currency (id int PRIMARY KEY, name text);
CREATE TABLE res_company (id int PRIMARY KEY, currency_id int REFERENCES res_currency);
CREATE TABLE crm_stage (id int PRIMARY KEY, name jsonb);
CREATE TABLE crm_lead (id int PRIMARY KEY, stage_id int REFERENCES crm_stage, company_id int REFERENCES res_company, expected_revenue float8, email_from text, phone text, x_tiktok_lead text, active boolean DEFAULT true, write_date timestamp);
INSERT INTO tiktok.lead_stage VALUES ('crm', 'Qualified', 'Qualified_Lead', 1), ('crm', 'Won', 'Purchase', 2);
SELECT tiktok.create_trigger('crm_lead', 'crm', '=stage_id->name.en_US',
	'{"lead_id": "x_tiktok_lead", "event_time": "write_date", "email": "email_from", "phone": "phone", "value": "expected_revenue", "currency": "company_id->currency_id->name"}',
	'active', at_commit => true) ~ 'CREATE' AS created;
INSERT INTO res_currency VALUES (1, 'EUR'), (2, 'CHF');
INSERT INTO res_company VALUES (1, 1), (2, 2);
INSERT INTO crm_stage VALUES (1, '{"en_US": "New", "de_DE": "Neu"}'), (2, '{"en_US": "Qualified", "de_DE": "Qualifiziert"}'), (3, '{"en_US": "Won"}');
INSERT INTO crm_lead SELECT n, 1, n % 2 + 1, n * 1000, 'l' || n || '@example.com', NULL, 7412345678901234000 + n, true, now() FROM generate_series(1, 20) n;
-- a stage is renamed, a lead comes back, another is archived
UPDATE crm_lead SET stage_id = 2;
UPDATE crm_lead SET expected_revenue = expected_revenue + 1;
UPDATE crm_stage SET name = '{"en_US": "Sold"}' WHERE id = 2;
UPDATE crm_lead SET active = false WHERE id = 2;
UPDATE crm_lead SET stage_id = 3 WHERE id < 4;
UPDATE crm_lead SET stage_id = 1 WHERE id = 1;
UPDATE crm_lead SET stage_id = 3 WHERE id = 1;
SELECT compare('^crm_lead-', array_agg(format('crm %s crm_lead-%s-%s pending %s %s {"email":"l%s@example.com"}', e, n, s, 1000 * n + later, CASE n % 2 WHEN 0 THEN 'EUR' ELSE 'CHF' END, n)))
FROM generate_series(1, 20) n, (VALUES ('Qualified_Lead', 'Qualified', 0), ('Purchase', 'Won', 1)) v (e, s, later) WHERE s = 'Qualified' OR n IN (1, 3);

-- 7. CRM: enum stages, soft delete, amounts in micros: 3 lines, and one for each stage
CREATE TYPE opportunity_stage AS ENUM ('NEW', 'MEETING', 'CUSTOMER');
CREATE TABLE opportunity (id uuid PRIMARY KEY, stage opportunity_stage, "amountAmountMicros" numeric, "amountCurrencyCode" text, "leadId" text, "deletedAt" timestamptz, "updatedAt" timestamptz DEFAULT now());
INSERT INTO tiktok.lead_stage VALUES ('hubspot', 'MEETING', 'Contacted_Lead', 1), ('hubspot', 'CUSTOMER', 'Purchase', 2);
SELECT tiktok.create_trigger('opportunity', 'hubspot', '=stage',
	'{"lead_id": "leadId", "event_time": "updatedAt", "value": "amountAmountMicros", "amounts": 1000000, "currency": "amountCurrencyCode"}',
	$$"deletedAt" IS NULL$$, at_commit => true) ~ 'CREATE' AS created;
INSERT INTO opportunity SELECT ('00000000-0000-4000-8000-0000000000' || 10 + n)::uuid, 'NEW', n * 1250500000::numeric, 'EUR', 7412345678901234500 + n FROM generate_series(1, 20) n;
UPDATE opportunity SET stage = 'MEETING';
BEGIN;
UPDATE opportunity SET stage = 'CUSTOMER';
UPDATE opportunity SET "deletedAt" = now() WHERE "leadId" = '7412345678901234502';
COMMIT;
SELECT compare('^opportunity', array_agg(format('hubspot %s opportunity-00000000-0000-4000-8000-0000000000%s-%s pending %s EUR', e, 10 + n, s, n * 1250.500000)))
FROM generate_series(1, 20) n, (VALUES ('Contacted_Lead', 'MEETING'), ('Purchase', 'CUSTOMER')) v (e, s) WHERE s = 'MEETING' OR n <> 2;

-- 8. rentals by day with a key of two columns: 4 lines, after an error that says what is missing
CREATE TABLE customer (customer_id int PRIMARY KEY, email text);
CREATE TABLE payment (payment_id int, customer_id int REFERENCES customer, amount numeric(7,2), payment_date timestamptz, PRIMARY KEY (payment_date, payment_id)) PARTITION BY RANGE (payment_date);
CREATE TABLE payment_1 PARTITION OF payment FOR VALUES FROM ('2000-01-01') TO (now() - interval '3 days');
CREATE TABLE payment_2 PARTITION OF payment FOR VALUES FROM (now() - interval '3 days') TO ('2100-01-01');
SELECT tiktok.create_trigger('payment', 'shop', 'Purchase', '{"event_time": "payment_date", "value": "amount", "currency": "''USD''", "email": "customer_id->email", "url": "''https://rent.example.com/''"}');
SELECT tiktok.create_trigger('payment', 'shop', 'Purchase',
	'{"event_time": "payment_date", "value": "amount", "currency": "''USD''", "email": "customer_id->email", "url": "''https://rent.example.com/''"}',
	'amount > 0', at_commit => true,
	query => $$SELECT 'rental-' || new.payment_id AS event_id$$) ~ 'CREATE' AS created;
INSERT INTO customer VALUES (1, 'r@example.com');
INSERT INTO payment SELECT n, 1, 2.99, now() - n * interval '1 hour' FROM generate_series(1, 30) n;
UPDATE payment SET payment_date = payment_date - interval '4 days' WHERE payment_id = 5;
CREATE TABLE payment_3 PARTITION OF payment FOR VALUES FROM ('2100-01-01') TO ('2101-01-01');
SELECT compare('^rental', array_agg(format('shop Purchase rental-%s pending 2.99 USD {"email":"r@example.com"}', n))) FROM generate_series(1, 30) n;

-- 9. sales orders: domains, computed columns, a table of rates: 5 lines
CREATE DOMAIN "Name" AS varchar(50);
CREATE DOMAIN "Amount" AS numeric(19,4) CHECK (VALUE >= 0);
CREATE TABLE currencyrate (currencyrateid int PRIMARY KEY, tocurrencycode char(3), endofdayrate numeric);
CREATE TABLE salesorderheader (salesorderid int PRIMARY KEY, salesordernumber text GENERATED ALWAYS AS ('SO' || salesorderid) STORED, subtotal "Amount", taxamt "Amount", totaldue numeric GENERATED ALWAYS AS (subtotal + taxamt) STORED,
	currencyrateid int REFERENCES currencyrate, status smallint, buyer "Name", orderdate timestamp);
SELECT tiktok.create_trigger('salesorderheader', 'shop', 'Purchase',
	'{"event_id": "salesordernumber", "event_time": "orderdate", "email": "buyer", "url": "''https://sales.example.com/''"}', 'status = 5', at_commit => true,
	query => $$SELECT round(new.totaldue * coalesce(r.endofdayrate, 1), 2) AS value, coalesce(r.tocurrencycode, 'USD') AS currency
		FROM (SELECT) one LEFT JOIN currencyrate r ON r.currencyrateid = new.currencyrateid$$) ~ 'CREATE' AS created;
INSERT INTO currencyrate VALUES (1, 'EUR', 0.9);
INSERT INTO salesorderheader (salesorderid, subtotal, taxamt, currencyrateid, status, buyer, orderdate) SELECT n, 100 * n, 19 * n, CASE n % 2 WHEN 0 THEN 1 END, n % 3, 's' || n || '@example.com', now() FROM generate_series(1, 24) n;
UPDATE salesorderheader SET status = 5 WHERE salesorderid <> 11;
-- 119 dollars each, or at 0.9 euro to the dollar 107.10 euro
SELECT compare('^SO', array_agg(format('shop Purchase SO%s pending %s {"email":"s%s@example.com"}', n, CASE n % 2 WHEN 0 THEN 107.10 * n || ' EUR' ELSE 119 * n || '.00 USD' END, n))) FROM generate_series(1, 24) n WHERE n <> 11;

-- 10. raw webhook documents: an order, a checkout session, a lead with answers as an array of name and values: 5, 3 and 4 lines
CREATE TABLE webhook (id int PRIMARY KEY, topic text, doc jsonb, received_at timestamptz DEFAULT now());
SELECT tiktok.create_trigger('webhook', 'shop', 'Purchase',
	'{"event_id": "doc.name", "event_time": "doc.created_at", "value": "doc.total_price", "currency": "doc.currency", "email": "doc.email", "phone": "doc.phone", "url": "doc.order_status_url"}',
	$$topic = 'orders/paid'$$, at_commit => true,
	query => $$SELECT (SELECT jsonb_agg(jsonb_build_object('content_id', l ->> 'sku', 'quantity', l -> 'quantity', 'price', l -> 'price'))
		FROM jsonb_array_elements(new.doc -> 'line_items') l) AS contents$$) ~ 'CREATE' AS created;
SELECT tiktok.create_trigger('webhook', 'shop', 'StartTrial',
	'{"event_id": "doc.id", "event_time": "doc.created", "value": "doc.amount_total", "amounts": "''minor''", "currency": "doc.currency", "email": "doc.customer_details.email", "url": "doc.success_url"}',
	$$topic = 'checkout.session.completed'$$) ~ 'CREATE' AS created;
SELECT tiktok.create_trigger('webhook', 'crm', 'Lead_Received', '{"event_id": "doc.id", "event_time": "doc.created_time", "lead_id": "doc.id"}',
	$$topic = 'lead'$$,
	query => $$SELECT max(f #>> '{values,0}') FILTER (WHERE f ->> 'name' = 'email') AS email, max(f #>> '{values,0}') FILTER (WHERE f ->> 'name' = 'phone_number') AS phone
		FROM jsonb_array_elements(new.doc -> 'field_data') f$$) ~ 'CREATE' AS created;
INSERT INTO webhook SELECT n, 'orders/paid', jsonb_build_object('name', '#' || n, 'created_at', now(), 'total_price', n || '.90', 'currency', 'EUR', 'email', 'w' || n || '@example.com', 'order_status_url', 'https://w.example.com/' || n,
	'line_items', jsonb_build_array(jsonb_build_object('sku', 'A', 'quantity', 2, 'price', n || '.00'), jsonb_build_object('sku', 'B', 'quantity', 1, 'price', '0.90'))) FROM generate_series(1, 10) n;
INSERT INTO webhook SELECT n, 'checkout.session.completed', jsonb_build_object('id', 'cs_' || n, 'created', extract(epoch FROM now())::int, 'amount_total', 100 * n + 5, 'currency', 'eur', 'customer_details', jsonb_build_object('email', 'w' || n || '@example.com'), 'success_url', 'https://w.example.com/' || n) FROM generate_series(11, 20) n;
INSERT INTO webhook SELECT n, 'lead', jsonb_build_object('id', '74123456789012345' || n, 'created_time', to_char(now(), 'YYYY-MM-DD"T"HH24:MI:SS"+0000"'),
	'field_data', jsonb_build_array('{"name": "full_name", "values": ["Ana"]}'::jsonb, jsonb_build_object('name', 'email', 'values', jsonb_build_array('w' || n || '@example.com')), '{"name": "phone_number", "values": ["+4930 23125123"]}'::jsonb)) FROM generate_series(21, 30) n;
INSERT INTO webhook VALUES (31, 'orders/create', '{"name": "#31"}'), (32, 'orders/cancelled', '{"name": "#32"}');
SELECT compare('^#[0-9]', array_agg(format('shop Purchase #%s pending %s.90 EUR [{"price": %s.00, "quantity": 2, "content_id": "A"}, {"price": 0.90, "quantity": 1, "content_id": "B"}] https://w.example.com/%s {"email":"w%s@example.com"}', n, n, n, n, n)), '{value,currency,contents,url}') FROM generate_series(1, 10) n;
SELECT compare('^cs_', array_agg(format('shop StartTrial cs_%s pending %s.05 EUR https://w.example.com/%s {"email":"w%s@example.com"}', n, n, n, n)), '{value,currency,url}') FROM generate_series(11, 20) n;
SELECT compare('^74', array_agg(format('crm Lead_Received 74123456789012345%s pending {"email":"w%s@example.com","phone":"+493023125123"}', n, n))) FROM generate_series(21, 30) n;

-- 11. a CSV import: everything is text: 4 lines
CREATE TABLE csv_orders ("Name" text UNIQUE, "Financial Status" text, "Paid at" text, "Total" text, "Currency" text, "Email" text);
SELECT tiktok.create_trigger('csv_orders', 'shop', 'Purchase',
	'{"event_id": "\"Name\"", "event_time": "\"Paid at\"", "value": "\"Total\"", "currency": "\"Currency\"", "email": "\"Email\"", "url": "''https://csv.example.com/''"}',
	$$"Financial Status" = 'paid'$$, at_commit => true) ~ 'CREATE' AS created;
INSERT INTO csv_orders SELECT '#C' || n, 'paid', to_char(now() - interval '1 hour', 'YYYY-MM-DD HH24:MI:SS "+0000"'), (ARRAY['49.90', ' 5 ', '1.299', '', '1,299.00', '12,50', '0', '-3', 'n/a', '1299'])[n], 'EUR', 'csv' || n || '@example.com' FROM generate_series(1, 10) n;
INSERT INTO csv_orders SELECT '#C' || n, 'paid', to_char(now() - interval '1 hour', (ARRAY['YYYY-MM-DD"T"HH24:MI:SS"Z"', 'YYYYMMDD"T"HH24MISS"Z"', 'Dy, DD Mon YYYY HH24:MI:SS "GMT"', 'MM/DD/YYYY', 'DD.MM.YYYY', 'YYYY-MM-DD HH24:MI:SS "IST"', '""'])[n - 10]), '10', 'EUR', 'csv' || n || '@example.com' FROM generate_series(11, 17) n;
INSERT INTO csv_orders VALUES ('#C18', 'pending', '', '10', 'EUR', 'csv18@example.com'), ('#C19', 'refunded', '', '10', 'EUR', 'csv19@example.com'), ('#C20', 'paid', NULL, '10', 'EUR', 'csv20@example.com'), (NULL, 'paid', NULL, '1', 'EUR', 'csv@example.com');
SELECT compare('^#C', array_agg('shop Purchase #C' || w)) FROM unnest(ARRAY['1 pending 49.90 EUR {"email":"csv1@example.com"}', '2 pending 5 EUR {"email":"csv2@example.com"}', '3 invalid value_ambiguous', '4 pending EUR {"email":"csv4@example.com"}', '5 invalid value_syntax', '6 invalid value_syntax',
	'7 pending 0 EUR {"email":"csv7@example.com"}', '8 invalid value_negative', '9 invalid value_syntax', '10 pending 1299 EUR {"email":"csv10@example.com"}', '11 pending 10 EUR {"email":"csv11@example.com"}', '12 pending 10 EUR {"email":"csv12@example.com"}', '13 pending 10 EUR {"email":"csv13@example.com"}',
	'14 invalid event_time', '15 invalid event_time', '16 invalid event_time', '17 pending 10 EUR {"email":"csv17@example.com"}', '20 pending 10 EUR {"email":"csv20@example.com"}']) w;
SELECT reason, count(*) FROM tiktok.event_status WHERE status = 'invalid' AND event_id !~ '^#C|^V' GROUP BY 1;

-- Each shape in each order of statements.  What is written stands in cells: {k} is a key, {paid} whether the row is inserted as paid, {at} when that was.
CREATE TABLE shapes (shape int PRIMARY KEY, relation text, columns text, new_row text, prepare text, lines text, pay text[], cancel text, total text, key text, conflict text, event_id text, value text, later text);
INSERT INTO shapes VALUES
	(1, 'channel_order', '*', $$md5('{k}')::uuid, {k}, '11111111-aaaa-4aaa-8aaa-111111111111', CASE WHEN {paid} THEN 'unfulfilled' ELSE 'unconfirmed' END, {k}, 'EUR', 'c@example.com', 'https://a.example.com/', {at}$$, NULL,
		$$INSERT INTO channel_line VALUES ({k}, md5('{k}')::uuid, 'SKU', 1, {k})$$, ARRAY[$$status = 'unfulfilled'$$], $$status = 'canceled'$$, 'total_gross_amount = {k} + 0.5', 'number = {k}', '(id)', '{k}', '{k}', '{k}.5'),
	(2, 'spree_orders', '*', $$ {k}, 'R{k}', CASE WHEN {paid} THEN 'complete' ELSE 'cart' END, 'due', {k}, {k}, 'EUR', 's@example.com', 1, NULL, {at}$$, NULL,
		NULL, ARRAY[$$state = 'complete'$$], $$state = 'canceled'$$, 'total = {k} + 0.5', 'id = {k}', '(id)', 'R{k}', '{k}', '{k}.5'),
	(3, 'medusa_payment', '*', $$'pay_{k}', 'order_{k}', {k}, CASE WHEN {paid} THEN {at} END, NULL$$, $$INSERT INTO medusa_order VALUES ('order_{k}', {k}, 'm@example.com', 'eur', NULL)$$,
		NULL, ARRAY['captured_at = now()'], 'captured_at = NULL', 'amount = {k} + 0.5', $$id = 'pay_{k}'$$, '(id)', 'order_{k}', '{k}', '{k}.5'),
	(4, 'vendure_order', '*', $$ {k}, 'V{k}', CASE WHEN {paid} THEN 'PaymentSettled' ELSE 'ArrangingPayment' END, {k}00, 'EUR', 'v@example.com', {at}$$, NULL,
		NULL, ARRAY[$$state = 'PaymentSettled'$$], $$state = 'Cancelled'$$, '"totalWithTax" = {k}50', 'id = {k}', '(id)', 'V{k}', '{k}', '{k}.5'),
	(5, 'invoice', '*', $$ {k}, 'I{k}', 3, {paid}::int, {k}00, 'EUR', {at}$$, NULL,
		NULL, ARRAY['payment_status = 1'], 'payment_status = 2', 'total_amount_cents = {k}50', 'id = {k}', '(id)', 'I{k}', '{k}', '{k}.5'),
	(6, 'crm_lead', '*', $$ {k}, CASE WHEN {paid} THEN 3 ELSE 1 END, 1, {k}, 'l@example.com', NULL, '7412345678901234567', true, {at}$$, NULL,
		NULL, ARRAY['stage_id = 3'], 'stage_id = 1', 'expected_revenue = {k} + 0.5', 'id = {k}', '(id)', 'crm_lead-{k}-Won', '{k}', '{k}.5'),
	(7, 'opportunity', '*', $$lpad('{k}', 32, '0')::uuid, CASE WHEN {paid} THEN 'CUSTOMER' ELSE 'NEW' END::opportunity_stage, {k}000000, 'EUR', '7412345678901234567', NULL, {at}$$, NULL,
		NULL, ARRAY[$$stage = 'CUSTOMER'$$, '"deletedAt" = NULL'], $$stage = 'NEW', "deletedAt" = now()$$, '"amountAmountMicros" = {k}500000', $$id = lpad('{k}', 32, '0')::uuid$$, '(id)', 'opportunity-00000000-0000-0000-0000-%{k}-CUSTOMER', '{k}', '{k}.5'),
	(8, 'payment', '*', $$ {k}, 1, CASE WHEN {paid} THEN {k} ELSE 0 END, date_trunc('hour', {at})$$, NULL,
		NULL, ARRAY['amount = {k}'], 'amount = 0', 'amount = {k} + 0.5', 'payment_id = {k}', '(payment_date, payment_id)', 'rental-{k}', '{k}', '{k}.5'),
	(9, 'salesorderheader', '(salesorderid, subtotal, taxamt, status, buyer, orderdate)', $$ {k}, {k} - 1, 1, CASE WHEN {paid} THEN 5 ELSE 1 END, 's@example.com', {at}$$, NULL,
		NULL, ARRAY['status = 5'], 'status = 6', 'taxamt = 1.5', 'salesorderid = {k}', '(salesorderid)', 'SO{k}', '{k}', '{k}.5'),
	(10, 'webhook', '*', $$ {k}, CASE WHEN {paid} THEN 'orders/paid' ELSE 'orders/create' END, jsonb_build_object('name', '#{k}', 'created_at', {at}, 'total_price', '{k}', 'currency', 'EUR', 'email', 'w@example.com', 'order_status_url', 'https://w.example.com/'), now()$$, NULL,
		NULL, ARRAY[$$topic = 'orders/paid'$$], $$topic = 'orders/cancelled'$$, $$doc = doc || '{"total_price": "{k}.5"}'$$, 'id = {k}', '(id)', '#{k}', '{k}', '{k}.5'),
	(11, 'csv_orders', '*', $$'#C{k}', CASE WHEN {paid} THEN 'paid' ELSE 'pending' END, to_char({at}, 'YYYY-MM-DD HH24:MI:SS "+0000"'), '{k}', 'EUR', 'csv@example.com'$$, NULL,
		NULL, ARRAY[$$"Financial Status" = 'paid'$$], $$"Financial Status" = 'voided'$$, $$"Total" = '{k}.5'$$, $$"Name" = '#C{k}'$$, '("Name")', '#C{k}', '{k}', '{k}.5');
-- what a BEFORE trigger does in its time
DO $do$
DECLARE
	s shapes;
BEGIN
	FOR s IN TABLE shapes LOOP
		EXECUTE format($f$CREATE FUNCTION before_%s() RETURNS trigger LANGUAGE plpgsql AS $b$ BEGIN IF current_setting('shape.k', true) <> '' THEN %s END IF; RETURN NEW; END $b$$f$,
			s.relation, (SELECT string_agg('NEW.' || replace(p, '{k}', $$current_setting('shape.k')::int$$) || ';', ' ') FROM unnest(s.pay) p));
		EXECUTE format('CREATE TRIGGER before BEFORE UPDATE ON %s FOR EACH ROW EXECUTE FUNCTION before_%1$s()', s.relation);
	END LOOP;
END $do$;
CREATE TABLE orders_of_statements (number int PRIMARY KEY, name text, steps text[], wanted text);
INSERT INTO orders_of_statements VALUES
	(1, 'paid, then lines', '{insert paid,lines,commit}', 'value'), (2, 'totals after', '{insert paid,total,commit}', 'later'), (3, 'cancelled before commit', '{insert paid,cancel,commit}', NULL),
	(4, 'deleted before commit', '{insert paid,delete,commit}', NULL), (5, 'paid twice', '{insert new,commit,pay,pay,commit,pay,commit,cancel,commit,pay,commit}', 'value'),
	(6, 'saved again', '{insert paid,commit,save,commit,total,save,commit}', 'value'), (7, 'by a BEFORE trigger', '{insert new,commit,before,commit,save,commit}', 'value'),
	(8, 'moved', '{insert paid,move,commit,move back,commit}', 'value'), (9, 'bulk update', '{insert new,insert next,commit,pay both,commit}', 'value next'),
	(10, 'upsert', '{upsert,upsert,commit,upsert,commit}', 'value'), (11, 'MERGE', '{merge,merge,commit,merge,commit}', 'value'), (12, 'COPY', '{copy,commit}', 'value'),
	(13, 'history copied', '{insert old,commit}', 'expired'), (14, 'cancelled and paid again', '{insert new,pay,cancel,pay,total,commit}', 'later'), (15, 'savepoints', '{insert paid,savepoint,cancel,rollback,commit}', 'value');
CREATE FUNCTION fill(template text, k int, paid boolean DEFAULT true, at text DEFAULT 'now()') RETURNS text LANGUAGE sql AS $$ SELECT replace(replace(replace(template, '{k}', k::text), '{paid}', paid::text), '{at}', at) $$;
CREATE FUNCTION set_all(s shapes) RETURNS text LANGUAGE sql AS $$ SELECT string_agg(format('%I = %1$I', attname), ', ') FROM pg_attribute WHERE attrelid = s.relation::regclass AND attnum > 0 AND attgenerated = '' $$;
CREATE FUNCTION statement(s shapes, step text, k int) RETURNS text LANGUAGE sql AS $$
	SELECT CASE step
		WHEN 'insert new' THEN fill(format('INSERT INTO %s %s VALUES (%s)', s.relation, c.columns, s.new_row), k, false) WHEN 'insert next' THEN fill(format('INSERT INTO %s %s VALUES (%s)', s.relation, c.columns, s.new_row), k + 1, false)
		WHEN 'insert paid' THEN fill(format('INSERT INTO %s %s VALUES (%s)', s.relation, c.columns, s.new_row), k)
		WHEN 'insert old' THEN fill(format('INSERT INTO %s %s SELECT %s', s.relation, c.columns, s.new_row), k, at => $a$now() - interval '40 days'$a$)
		WHEN 'lines' THEN fill(s.lines, k)
		WHEN 'pay' THEN fill(format('UPDATE %s SET %s WHERE %s', s.relation, array_to_string(s.pay, ', '), s.key), k) WHEN 'cancel' THEN fill(format('UPDATE %s SET %s WHERE %s', s.relation, s.cancel, s.key), k)
		WHEN 'total' THEN fill(format('UPDATE %s SET %s WHERE %s', s.relation, s.total, s.key), k) WHEN 'delete' THEN fill(format('DELETE FROM %s WHERE %s', s.relation, s.key), k)
		WHEN 'save' THEN fill(format('UPDATE %s SET %s WHERE %s', s.relation, set_all(s), s.key), k)
		WHEN 'before' THEN fill(format($f$SELECT set_config('shape.k', '{k}', true); UPDATE %s SET %s WHERE %s$f$, s.relation, set_all(s), s.key), k)
		WHEN 'pay both' THEN replace(fill(format('UPDATE %s SET %s WHERE %s OR ', s.relation, array_to_string(s.pay, ', '), s.key), k) || fill(s.key, k + 1), 'amount = ' || k, 'amount = payment_id')
		WHEN 'move' THEN fill($f$UPDATE payment SET payment_date = payment_date - interval '4 days' WHERE payment_id = {k}$f$, k) WHEN 'move back' THEN fill($f$UPDATE payment SET payment_date = payment_date + interval '4 days' WHERE payment_id = {k}$f$, k)
		WHEN 'upsert' THEN fill(format('INSERT INTO %s %s VALUES (%s) ON CONFLICT %s DO UPDATE SET %s', s.relation, c.columns, s.new_row, s.conflict, array_to_string(s.pay, ', ')), k, false)
		WHEN 'merge' THEN fill(format('MERGE INTO %s USING (SELECT) one ON %s WHEN MATCHED THEN UPDATE SET %s WHEN NOT MATCHED THEN INSERT %s VALUES (%s)', s.relation, s.key, array_to_string(s.pay, ', '), c.columns, s.new_row), k, false)
		WHEN 'copy' THEN fill(format($f$COPY (SELECT %s) TO '%s'; COPY %s %s FROM '%2$s'$f$, s.new_row, c.file, s.relation, c.columns), k)
	END FROM (SELECT CASE s.columns WHEN '*' THEN '' ELSE s.columns END AS columns, current_setting('data_directory') || '/shapes.copy' AS file) c $$;
CREATE PROCEDURE run_all() LANGUAGE plpgsql AS $$
DECLARE
	s shapes;
	o orders_of_statements;
	step text;
	k int;
BEGIN
	FOR s IN SELECT * FROM shapes ORDER BY shape LOOP
		FOR o IN SELECT * FROM orders_of_statements WHERE number <> 1 OR s.lines IS NOT NULL ORDER BY number LOOP
			CONTINUE WHEN o.name = 'moved' AND s.relation <> 'payment';
			k := 20000 + s.shape * 1000 + o.number * 10;
			PERFORM set_config('shape.k', '', false);
			IF s.prepare IS NOT NULL THEN
				EXECUTE fill(s.prepare, k);
				EXECUTE fill(s.prepare, k + 1);
			END IF;
			FOREACH step IN ARRAY o.steps LOOP
				IF step = 'commit' THEN
					COMMIT;
				ELSIF step = 'savepoint' THEN
					BEGIN
						EXECUTE statement(s, 'cancel', k);
						RAISE SQLSTATE 'ZZZZZ';
					EXCEPTION WHEN SQLSTATE 'ZZZZZ' THEN
					END;
				ELSIF NOT (o.name = 'savepoints' AND step IN ('cancel', 'rollback')) THEN
					EXECUTE statement(s, step, k);
				END IF;
			END LOOP;
		END LOOP;
	END LOOP;
END $$;
CALL run_all();
-- nothing but the number of what is right
WITH wanted AS (
	SELECT s.shape, o.number, o.name, fill(s.event_id, k) AS event_id, CASE o.wanted WHEN 'expired' THEN 'expired' ELSE 'pending' END AS status, fill(CASE o.wanted WHEN 'later' THEN s.later ELSE s.value END, k)::numeric AS value
	FROM shapes s, orders_of_statements o, LATERAL (SELECT 20000 + s.shape * 1000 + o.number * 10) x (first), LATERAL generate_series(first, CASE o.wanted WHEN 'value next' THEN first + 1 ELSE first END) k WHERE o.wanted IS NOT NULL AND (o.name <> 'moved' OR s.relation = 'payment') AND (o.number <> 1 OR s.lines IS NOT NULL)
), came AS (
	SELECT e.event_id, e.status, coalesce(e.value, p.value::numeric) AS value FROM tiktok.event_status e JOIN tiktok.event USING (id), LATERAL (SELECT payload -> 'properties' ->> 'value') p (value) WHERE e.event_id ~ '(^|[^0-9]|0)[23][0-9]{4}(-|$)' AND e.event_id !~ '^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-'
)
SELECT 'right', count(*)::text FROM wanted w JOIN came c ON c.event_id LIKE w.event_id AND c.status = w.status AND (c.value = w.value OR c.status = 'expired')
UNION ALL SELECT 'wrong: ' || concat_ws(' ', w.shape, w.name, w.event_id, w.status, w.value), concat_ws(' ', c.event_id, c.status, c.value) FROM wanted w FULL JOIN came c ON c.event_id LIKE w.event_id AND c.status = w.status AND (c.value = w.value OR c.status = 'expired') WHERE w.shape IS NULL OR c.event_id IS NULL;
SELECT 'combinations', count(*) FROM shapes s, orders_of_statements o WHERE (o.name <> 'moved' OR s.relation = 'payment') AND (o.number <> 1 OR s.lines IS NOT NULL);
DO $$ BEGIN EXECUTE format('COPY (SELECT WHERE false) TO PROGRAM %L', 'rm -f ' || current_setting('data_directory') || '/shapes.copy'); END $$;

TRUNCATE tiktok.event, tiktok.identity, tiktok.delivery;
DELETE FROM tiktok.source;
DROP SCHEMA shape CASCADE;
