-- What tiktok.create_trigger() says of mappings that work and may be wrong; of healthy ones it says nothing.
\set SHOW_CONTEXT never
\pset format unaligned
\pset tuples_only on
SET client_min_messages = warning;
INSERT INTO tiktok.source (name, event_source, event_source_id) VALUES ('shop', 'web', 'C1');
CREATE TABLE orders (id int PRIMARY KEY, no text, total numeric, total_cents int, percent int, amount_micros bigint, currency text, email text, opt_out boolean, marketing_ok boolean, consent_revoked_at timestamptz, status text, paid_at timestamptz);
CREATE TABLE lines (order_id int REFERENCES orders, sku text);
CREATE FUNCTION remarks(mapping jsonb, condition text DEFAULT $$status = 'paid'$$, query text DEFAULT NULL, at_commit boolean DEFAULT false) RETURNS SETOF text LANGUAGE sql AS $$
	SELECT line FROM regexp_split_to_table(tiktok.create_trigger('orders', 'shop', 'Purchase', '{"event_id": "no", "event_time": "paid_at", "email": "email", "url": "''https://example.com/''"}' || mapping,
		condition, query => query, at_commit => at_commit, replace => true), '\n') line WHERE line ~ '^-- [A-Z]|^-- (value|consent)' $$;
SELECT remarks('{"value": "total", "currency": "currency", "consent": "marketing_ok"}');
SELECT remarks('{"value": "total_cents", "currency": "currency"}');
SELECT remarks('{"value": "amount_micros", "currency": "currency"}');
SELECT remarks('{"value": "total_cents", "currency": "currency", "amounts": "''minor''"}');
SELECT remarks('{"value": "total_cents", "currency": "currency", "amounts": 1}');
SELECT remarks('{"value": "total"}');
SELECT remarks('{"consent": "opt_out"}');
-- literals that are left out of each event, or stop it
SELECT remarks('{"value": "total", "currency": "''LKR''"}');
SELECT remarks('{"consent": false}');
SELECT remarks('{"phone": "''123''"}');
SELECT remarks('{"value": "total", "currency": "''eur''", "consent": true, "content_type": "''product''", "limited_data_use": true}');
-- whole numbers of any name, but for a currency without a smaller unit
SELECT remarks('{"value": "percent", "currency": "currency"}');
SELECT remarks('{"value": "percent", "currency": "''JPY''"}');
SELECT remarks('{}', NULL, $$SELECT (SELECT jsonb_agg(l.sku ORDER BY l.sku) FROM lines l WHERE l.order_id = new.id) AS content_ids$$);
SELECT remarks('{}', NULL, $$SELECT (SELECT jsonb_agg(l.sku ORDER BY l.sku) FROM lines l WHERE l.order_id = new.id) AS content_ids$$, true);
SELECT remarks('{}', query => $$SELECT (SELECT jsonb_agg(l.sku ORDER BY l.sku) FROM lines l WHERE l.order_id = new.id) AS content_ids$$);
-- a query that may have no row
SELECT q, remarks('{}', query => q) FROM (VALUES ('SELECT l.sku AS description FROM lines l WHERE l.order_id = new.id'), ('SELECT l.sku AS description FROM (SELECT) one LEFT JOIN lines l ON l.order_id = new.id'),
	('SELECT max(l.sku) AS description FROM lines l WHERE l.order_id = new.id'), ('SELECT max(l.sku) AS description FROM lines l GROUP BY l.order_id'), ('SELECT l.sku AS description FROM lines l JOIN orders o ON o.id = l.order_id'),
	('SELECT ''x'' AS description'), ('SELECT ''x'' AS description WHERE new.no IS NOT NULL'), ('SELECT ''x'' AS description UNION SELECT ''y'''), ('SELECT v.x AS description FROM (VALUES (''x'')) v (x)'),
	('SELECT s.sku AS description FROM (SELECT l.sku FROM lines l) s'), ('SELECT l.sku AS description FROM lines l LEFT JOIN orders o ON o.id = l.order_id'), ('SELECT ''x'' AS description OFFSET 1')) v (q);
CREATE TRIGGER old AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION tiktok.track_row('shop', 'Purchase', 'email=email', 'url=''https://example.com/''');
SELECT remarks('{}');
-- it can be run again as it is
DROP TRIGGER old ON orders;
SELECT tiktok.create_trigger('orders', 'shop', 'Purchase', '{"event_id": "no", "event_time": "paid_at", "email": "email", "url": "''https://example.com/''", "value": "total_cents"}', replace => true) AS made \gset
SELECT tiktok.drop_trigger('orders', 'tiktok_shop_purchase');
SELECT regexp_replace(:'made', '^DROP[^;]*;\n', '', 'gn') AS made \gset
:made
;
SELECT tgname FROM pg_trigger WHERE tgrelid = 'orders'::regclass AND NOT tgisinternal;

-- stages that the column can never hold: none of them fits, or some
CREATE TYPE deal_stage AS ENUM ('new', 'won');
CREATE TABLE stage_rows (id int PRIMARY KEY, name text, code smallint, sure boolean, deal deal_stage, key uuid);
CREATE TABLE deals (id int PRIMARY KEY, lead text, code smallint, sure boolean, deal deal_stage, key uuid, name text, big bigint, row_id int REFERENCES stage_rows);
INSERT INTO tiktok.source (name, event_source, event_source_id, key) VALUES ('crm', 'crm', '7003', 'crm key');
CREATE FUNCTION stage_remarks(stages text[], event text, source text DEFAULT 'crm') RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	detail text;
	hint text;
BEGIN
	DELETE FROM tiktok.lead_stage;
	INSERT INTO tiktok.lead_stage SELECT 'crm', s, 'Qualified_Lead', 1 FROM unnest(stages) s;
	RETURN QUERY SELECT line FROM regexp_split_to_table(tiktok.create_trigger('deals', source, event, '{"lead_id": "lead", "event_id": "lead", "event_time": "now"}', replace => true), '\n') line WHERE line ~ '^-- The stage';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
	RETURN NEXT concat_ws(' | ', sqlstate, sqlerrm, nullif(detail, ''), nullif(hint, ''));
END $$;
SELECT event, stages, r.* FROM (VALUES
	('=deal', '{new,won}'::text[]), ('=deal', '{Won,lost}'), ('=deal', '{won,lost}'), ('=row_id->deal', '{Won}'), ('=deal', ARRAY[repeat('x', 70)]), ('=deal', '{}'),
	('=code', '{1,-5,32767}'), ('=code', '{qualified}'), ('=code', '{1,qualified,32768,01,+1," 1",1.0,""}'), ('=row_id', '{2147483647,2147483648}'), ('=big', '{9223372036854775807,9223372036854775808}'), ('=row_id->code', '{won}'),
	('=sure', '{true,false}'), ('=sure', '{t,yes}'), ('=key', '{00000000-0000-4000-8000-00000000000a}'), ('=key', '{00000000-0000-4000-8000-00000000000A,00000000-0000-4000-8000-00000000000,00000000-0000-4000-8000-00000000000aa,x}'),
	('=name', '{anything,""}'), ('=row_id->name', '{anything}')) v (event, stages) LEFT JOIN LATERAL stage_remarks(stages, event) r ON true;
-- of a source by row it is only said
SELECT stage_remarks('{qualified}', '=code', '=lead');
-- UPDATE OF by hand, of what the table is partitioned by
CREATE TABLE parted (id int, status text, note text, email text, PRIMARY KEY (id, status)) PARTITION BY LIST (status);
CREATE TRIGGER by_hand AFTER UPDATE OF note, status ON parted FOR EACH ROW EXECUTE FUNCTION tiktok.track_row('shop', 'Contact', 'event_id=id', 'email=email', 'url=''https://example.com/''');
CREATE TRIGGER other_column AFTER UPDATE OF note ON parted FOR EACH ROW EXECUTE FUNCTION tiktok.track_row('shop', 'Search', 'event_id=id', 'email=email', 'url=''https://example.com/''');
SELECT line FROM regexp_split_to_table(tiktok.create_trigger('parted', 'shop', 'Purchase', '{"event_id": "id", "event_time": "now", "email": "email", "url": "''https://example.com/''"}', $$status = 'paid'$$), '\n') line WHERE line ~ '^-- ';
-- row security of what is read: by its owner, by another role, and by one that row security does not bind
CREATE ROLE regress_shop;
CREATE SCHEMA guarded AUTHORIZATION regress_shop;
CREATE TABLE guarded.users (id int PRIMARY KEY, email text, marketing bool);
GRANT SELECT, REFERENCES ON guarded.users TO regress_shop;
SET ROLE regress_shop;
CREATE TABLE guarded.sales (id int PRIMARY KEY, user_id int REFERENCES guarded.users, at timestamptz);
CREATE TABLE guarded.items (sale int REFERENCES guarded.sales, sku text);
RESET ROLE;
CREATE FUNCTION guarded(mapping jsonb, query text DEFAULT NULL) RETURNS SETOF text LANGUAGE sql AS $$
	SELECT line FROM regexp_split_to_table(tiktok.create_trigger('guarded.sales', 'shop', 'Purchase', '{"event_time": "at", "external_id": "user_id", "url": "''https://example.com/''"}' || mapping,
		query => query, at_commit => true, replace => true), '\n') line WHERE line ~ '^-- Table' $$;
CREATE FUNCTION of_items() RETURNS text LANGUAGE sql AS $$ SELECT 'SELECT (SELECT jsonb_agg(i.sku) FROM guarded.items i WHERE i.sale = new.id) AS content_ids' $$;
SELECT guarded('{"email": "user_id->email"}', of_items());
ALTER TABLE guarded.users ENABLE ROW LEVEL SECURITY;
ALTER TABLE guarded.items ENABLE ROW LEVEL SECURITY;
ALTER TABLE guarded.sales ENABLE ROW LEVEL SECURITY;
SELECT guarded('{"email": "user_id->email", "consent": "user_id->marketing"}', of_items());
SELECT guarded('{}', of_items());
ALTER TABLE guarded.items FORCE ROW LEVEL SECURITY;
SELECT guarded('{}', of_items());
ALTER ROLE regress_shop BYPASSRLS;
SELECT guarded('{"email": "user_id->email"}', of_items());
DROP SCHEMA guarded CASCADE;
DROP FUNCTION guarded, of_items;
DROP ROLE regress_shop;

DELETE FROM tiktok.source;
DROP TABLE orders, lines, deals, stage_rows, parted CASCADE;
DROP TYPE deal_stage;
DROP FUNCTION remarks, stage_remarks;
