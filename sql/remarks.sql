-- What tiktok.create_trigger() says of mappings that work and may be wrong; of healthy ones it says nothing.
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
SELECT remarks('{}', NULL, $$SELECT (SELECT jsonb_agg(l.sku ORDER BY l.sku) FROM lines l WHERE l.order_id = new.id) AS content_ids$$);
SELECT remarks('{}', NULL, $$SELECT (SELECT jsonb_agg(l.sku ORDER BY l.sku) FROM lines l WHERE l.order_id = new.id) AS content_ids$$, true);
SELECT remarks('{}', query => $$SELECT (SELECT jsonb_agg(l.sku ORDER BY l.sku) FROM lines l WHERE l.order_id = new.id) AS content_ids$$);
CREATE TRIGGER old AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION tiktok.track_row('shop', 'Purchase', 'email=email', 'url=''https://example.com/''');
SELECT remarks('{}');
-- it can be run again as it is
DROP TRIGGER old ON orders;
SELECT tiktok.create_trigger('orders', 'shop', 'Purchase', '{"event_id": "no", "event_time": "paid_at", "email": "email", "url": "''x''", "value": "total_cents"}', replace => true) AS made \gset
SELECT tiktok.drop_trigger('orders', 'tiktok_shop_purchase');
SELECT regexp_replace(:'made', '^DROP[^;]*;\n', '', 'gn') AS made \gset
:made
;
SELECT tgname FROM pg_trigger WHERE tgrelid = 'orders'::regclass AND NOT tgisinternal;
DELETE FROM tiktok.source;
DROP TABLE orders, lines CASCADE;
DROP FUNCTION remarks;
