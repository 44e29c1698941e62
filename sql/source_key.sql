-- A trigger whose rows name their source: by its key, or its name.
\set SHOW_CONTEXT never
\set VERBOSITY terse
\pset format unaligned
\pset tuples_only on
SET client_min_messages = warning;
INSERT INTO tiktok.source (name, event_source, event_source_id, key) VALUES ('north', 'web', 'C1', '1'), ('south', 'web', 'C2', '2'), ('crm', 'crm', '7003', NULL);
-- a key is nobody else's name
INSERT INTO tiktok.source (name, event_source, event_source_id, key) VALUES ('x', 'web', 'C3', '1');
INSERT INTO tiktok.source (name, event_source, event_source_id, key) VALUES ('x', 'web', 'C3', 'north');
INSERT INTO tiktok.source (name, event_source, event_source_id) VALUES ('2', 'web', 'C3');
UPDATE tiktok.source SET name = '1' WHERE name = 'south';
UPDATE tiktok.source SET key = ' ' WHERE name = 'south';
UPDATE tiktok.source SET key = 'south' WHERE name = 'south';
UPDATE tiktok.source SET key = '2' WHERE name = 'south';

CREATE TABLE shops (id int PRIMARY KEY, channel text);
CREATE TABLE orders (no text PRIMARY KEY, shop_id int REFERENCES shops, doc jsonb, email text DEFAULT 'a@example.com', paid_at timestamptz DEFAULT now());
SELECT tiktok.create_trigger('orders', '=shop_id', 'Purchase', '{"event_id": "no", "event_time": "paid_at", "email": "email", "url": "''https://example.com/''"}');
SELECT tiktok.create_trigger('orders', '=shop_id->channel', 'Search', '{"event_id": "no", "event_time": "paid_at", "email": "email", "url": "''https://example.com/''"}');
SELECT tiktok.create_trigger('orders', '=doc.shops.0', 'Contact', '{"event_id": "no", "event_time": "paid_at", "email": "email", "url": "''https://example.com/''"}') IS NOT NULL;
INSERT INTO shops VALUES (1, 'north'), (2, ' 2 '), (3, NULL), (4, 'a@example.com'), (5, 'west');
INSERT INTO orders VALUES ('o1', 1, '{"shops": [1]}'), ('o2', 2, '{"shops": ["south"]}'), ('o3', 3, '{"shops": []}'), ('o4', 4, NULL), ('o5', 5, '{"shops": [[1]]}'), ('o6', NULL, '{"shops": ["1"]}');
SELECT source, event, event_id, status FROM tiktok.event_status ORDER BY event, event_id;
SELECT relation, key, no_source FROM tiktok.unmapped_source ORDER BY key;
SELECT state, detail FROM tiktok.health() WHERE check_name = 'unmapped_source';
SELECT key, event_id, problem FROM tiktok.check_rows('orders', 'tiktok_shop_id_purchase');
-- a backfill asks each row
TRUNCATE tiktok.event, tiktok.identity, tiktok.delivery;
CALL tiktok.backfill('orders', 'tiktok_shop_id_purchase');
SELECT source, event_id FROM tiktok.event_status ORDER BY event_id;
SELECT recorded, not_meant FROM tiktok.backfill_progress;
SELECT trigger_name, convert_from(source_bytes, 'UTF8') FROM tiktok_internal.trigger WHERE relation = 'orders'::regclass ORDER BY 1, 2;
-- what a source needs is asked for each of them; stages are those of the row's source
INSERT INTO tiktok.source (name, event_source, event_source_id, key, require_lead_id) VALUES ('crm east', 'crm', '7004', '3', false);
SELECT tiktok.create_trigger('orders', '=shop_id', 'Lead', '{"event_time": "paid_at", "url": "''https://example.com/''", "ttclid": "email"}');
SELECT tiktok.create_trigger('orders', '=shop_id', 'Lead', '{"event_time": "paid_at", "email": "email"}', replace => true);
SELECT tiktok.create_trigger('orders', '=nothing', 'Lead', '{"event_time": "paid_at", "email": "email", "url": "''https://example.com/''"}');
INSERT INTO tiktok.source (name, event_source, event_source_id, key, require_lead_id) VALUES ('crm west', 'crm', '7005', '4', false);
TRUNCATE tiktok.event, tiktok.identity, tiktok.delivery;
DELETE FROM tiktok.source WHERE name IN ('north', 'south');
INSERT INTO tiktok.lead_stage VALUES ('crm east', 'won', 'Purchase', 1), ('crm west', 'won', 'Won_in_the_west', 1);
CREATE TABLE leads (id int PRIMARY KEY, shop int, stage text, email text DEFAULT 'a@example.com');
SELECT tiktok.create_trigger('leads', '=shop', '=stage', '{"event_time": "now", "email": "email"}');
INSERT INTO leads VALUES (1, 3, 'new'), (2, 4, 'new'), (3, 9, 'new');
UPDATE leads SET stage = 'won';
SELECT source, event, event_id FROM tiktok.event_status WHERE event_id ~ 'leads' ORDER BY event_id;
ALTER TABLE leads DROP COLUMN shop;
INSERT INTO leads VALUES (4, 'won');
SELECT source, event, event_id, status, reason FROM tiktok.event_status WHERE event_id ~ 'leads-4';

TRUNCATE tiktok.event, tiktok.identity, tiktok.delivery, tiktok.backfill_progress;
DELETE FROM tiktok.source;
DROP TABLE orders, shops, leads CASCADE;
