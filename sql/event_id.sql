-- An event_id that is mapped has to be there: nothing else takes its place, and the order is counted once.
\pset format unaligned
\pset tuples_only on
\set VERBOSITY terse
INSERT INTO tiktok.source (name, event_source, event_source_id, default_calling_code) VALUES ('shop', 'web', 'C1', '49'), ('crm', 'crm', '74003', NULL);
CREATE VIEW seen AS SELECT event, event_id, status, reason FROM tiktok.event_status ORDER BY id;

-- the number comes later
CREATE TABLE orders (id int PRIMARY KEY, order_no text, total numeric DEFAULT 1, email text DEFAULT 'a@example.com', paid_at timestamptz DEFAULT now());
CREATE TRIGGER tiktok AFTER INSERT OR UPDATE ON orders FOR EACH ROW
	EXECUTE FUNCTION tiktok.track_row('shop', 'Purchase', 'event_id=order_no', 'event_time=paid_at', 'order_id=id', 'value=total', 'currency=''EUR''', 'email=email', 'url=''https://example.com/''');
INSERT INTO orders VALUES (1, NULL), (2, ''), (3, E' \t'), (4, 'SO-4');
SELECT * FROM seen;
-- a repeat replaces it
UPDATE orders SET total = 2 WHERE id < 4;
SELECT * FROM seen;
SELECT count(*) FROM tiktok.delivery;
SELECT key, event_id, problem FROM tiktok.check_rows('orders', 'tiktok');
-- the first event with an id deletes it, and one that is the same as before changes nothing
UPDATE orders SET order_no = 'SO-' || id WHERE id < 3;
UPDATE orders SET order_no = order_no WHERE id < 3;
SELECT * FROM seen;
SELECT count(*) FROM tiktok.delivery;
-- so does a backfill
ALTER TABLE orders DISABLE TRIGGER tiktok;
UPDATE orders SET order_no = 'SO-3' WHERE id = 3;
CALL tiktok.backfill('orders', 'tiktok');
SELECT * FROM seen;
-- what was sent under such an id stays
ALTER TABLE orders ENABLE TRIGGER tiktok;
SELECT count(tiktok.track('shop', 'Purchase', 'orders-5', user_data => '{"email": "a@example.com"}', page => '{"url": "https://example.com/"}'));
INSERT INTO orders VALUES (5, NULL);
UPDATE orders SET order_no = 'SO-5' WHERE id = 5;
SELECT * FROM seen WHERE event_id ~ '5';
-- in one transaction, and undone
BEGIN;
INSERT INTO orders VALUES (6, NULL);
SAVEPOINT s;
UPDATE orders SET order_no = 'SO-6' WHERE id = 6;
SELECT * FROM seen WHERE event_id ~ '6';
ROLLBACK TO s;
SELECT * FROM seen WHERE event_id ~ '6';
COMMIT;
TRUNCATE tiktok.event, tiktok.identity, tiktok.delivery;

-- other places an id comes from: JSON, a function; and keys it is not replaced by
CREATE TABLE docs (id int PRIMARY KEY, doc jsonb, stage text DEFAULT 'won', lead text DEFAULT '7412345678901234567', email text DEFAULT 'a@example.com');
CREATE FUNCTION doc_event(d docs) RETURNS jsonb LANGUAGE sql AS $$ SELECT coalesce(d.doc -> 'using', '{}') $$;
CREATE TRIGGER path AFTER INSERT OR UPDATE ON docs FOR EACH ROW
	EXECUTE FUNCTION tiktok.track_row('shop', 'Purchase', 'event_id=doc.id', 'order_id=id', 'email=email', 'url=''https://example.com/''');
CREATE TRIGGER "using" AFTER INSERT OR UPDATE ON docs FOR EACH ROW
	EXECUTE FUNCTION tiktok.track_row('shop', 'Search', 'using=doc_event', 'email=email', 'url=''https://example.com/''');
CREATE TRIGGER lead AFTER INSERT OR UPDATE ON docs FOR EACH ROW
	EXECUTE FUNCTION tiktok.track_row('crm', 'Won', 'event_id=doc.id', 'lead_id=lead');
INSERT INTO docs (id, doc) VALUES (1, NULL), (2, '{"id": null, "using": {"event_id": null}}'), (3, '{"id": "", "using": {"event_id": " "}}'),
	(4, '{"id": 77, "using": {"event_id": 77}}'), (5, '{"id": [1], "using": {"event_id": [1]}}');
SELECT * FROM seen ORDER BY event COLLATE "C", event_id COLLATE "C";
UPDATE docs SET doc = jsonb_build_object('id', 'D-' || id, 'using', jsonb_build_object('event_id', 'D-' || id));
SELECT * FROM seen ORDER BY event COLLATE "C", event_id COLLATE "C";

-- without a key there is no name for it but a random one
CREATE TABLE keyless (order_no text, email text DEFAULT 'a@example.com');
CREATE TRIGGER tiktok AFTER INSERT OR UPDATE ON keyless FOR EACH ROW EXECUTE FUNCTION tiktok.track_row('shop', 'Contact', 'event_id=order_no', 'email=email', 'url=''https://example.com/''');
INSERT INTO keyless VALUES (NULL), ('K-1');
SELECT regexp_replace(event_id, '^[0-9a-f-]{36}$', '(random)'), status, reason FROM seen WHERE event = 'Contact';

-- a mapping that no longer fits keeps the id that can be read; the right event takes its place
CREATE TABLE renamed (id int PRIMARY KEY, order_no text, doc jsonb, total numeric DEFAULT 1, email text DEFAULT 'a@example.com');
CREATE TRIGGER tiktok AFTER INSERT OR UPDATE ON renamed FOR EACH ROW
	EXECUTE FUNCTION tiktok.track_row('shop', 'Subscribe', 'event_id=order_no', 'value=total', 'currency=''EUR''', 'email=email', 'url=''https://example.com/''');
CREATE TRIGGER path AFTER INSERT OR UPDATE ON renamed FOR EACH ROW
	EXECUTE FUNCTION tiktok.track_row('shop', 'StartTrial', 'event_id=doc.id', 'value=total', 'currency=''EUR''', 'email=email', 'url=''https://example.com/''');
CREATE TRIGGER no_path AFTER INSERT OR UPDATE ON renamed FOR EACH ROW EXECUTE FUNCTION tiktok.track_row('shop', 'Schedule', 'event_id=order_no.id', 'email=email', 'url=''https://example.com/''');
CREATE TRIGGER literal AFTER INSERT OR UPDATE ON renamed FOR EACH ROW EXECUTE FUNCTION tiktok.track_row('shop', 'Download', 'event_id=''one''', 'value=total', 'email=email', 'url=''https://example.com/''');
CREATE TRIGGER own_id AFTER INSERT OR UPDATE ON renamed FOR EACH ROW EXECUTE FUNCTION tiktok.track_row('shop', 'ViewContent', 'value=total', 'currency=''EUR''', 'email=email', 'url=''https://example.com/''');
ALTER TABLE renamed RENAME total TO amount;
INSERT INTO renamed VALUES (1, 'R-1', '{"id": "D-1"}'), (2, NULL, NULL), (3, ' ', '{"id": [3]}');
SELECT event, event_id, reason FROM seen WHERE event_id ~ '^renamed|^[RD]-1|one' ORDER BY event COLLATE "C", event_id COLLATE "C";
ALTER TABLE renamed RENAME amount TO total;
ALTER TABLE renamed RENAME order_no TO number;
INSERT INTO renamed (id, number) VALUES (4, 'R-4');
ALTER TABLE renamed RENAME number TO order_no;
UPDATE renamed SET total = 2;
SELECT event, event_id, reason FROM seen WHERE event_id ~ '^renamed|^[RD]-[14]|one' AND event <> 'Schedule' ORDER BY event COLLATE "C", event_id COLLATE "C";

TRUNCATE tiktok.event, tiktok.identity, tiktok.delivery, tiktok.backfill_progress;
DELETE FROM tiktok.source;
DROP VIEW seen;
DROP FUNCTION doc_event;
DROP TABLE orders, docs, keyless, renamed;
