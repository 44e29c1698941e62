-- The unique key of events compares bytes in a database of any collation, and every statement that looks for an event by its key uses the index.
CREATE TABLE keyed_orders (order_no text PRIMARY KEY, total numeric);
INSERT INTO tiktok.source (id, name, event_source, event_source_id) VALUES (702, 'keyed', 'web', 'C1');
CREATE TRIGGER tiktok AFTER INSERT OR UPDATE ON keyed_orders FOR EACH ROW
	EXECUTE FUNCTION tiktok.track_row('keyed', 'Purchase', 'event_id=order_no', 'value=total', 'currency=''EUR''', 'external_id=order_no', 'url=''https://shop.example.com/''');
SELECT pg_get_indexdef('tiktok.event_key'::regclass);

-- equal for a reader or for some collation, but other bytes: other events
INSERT INTO keyed_orders VALUES ('a-1', 1), ('A-1', 2), ('a1', 3), ('ä-1', 4), (U&'a\0308-1', 5), ('a-1 x', 6);
-- the same bytes: the same event
UPDATE keyed_orders SET total = total;
DELETE FROM keyed_orders;
INSERT INTO keyed_orders VALUES ('a-1', 1), (U&'a\0308-1', 5);
SELECT count(*), count(DISTINCT event_id COLLATE "C") FROM tiktok.event WHERE source_id = 702;
INSERT INTO tiktok.event (source_id, event, event_id, event_time) VALUES (702, 'Purchase', 'a-1', now()) ON CONFLICT (event_id, event, source_id, test_code) DO NOTHING RETURNING event_id;
INSERT INTO tiktok.event (source_id, event, event_id, event_time) VALUES (702, 'Purchase', 'a-1', now());

-- how events are looked for
CREATE FUNCTION finds_by_key(statement text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
	plan json;
BEGIN
	EXECUTE 'EXPLAIN (FORMAT json) ' || statement INTO plan;
	RETURN plan::text ~ '"Index Name": "event_key"[^}]*"Index Cond": "[^"]*event_id (=|~>=~) ';
END $$;
INSERT INTO tiktok.event (source_id, event, event_id, event_time) SELECT 702, 'Purchase', 'b-' || n, now() FROM generate_series(1, 5000) n;
ANALYZE tiktok.event;
SELECT l.use, finds_by_key(l.statement) FROM (VALUES
	(1, 'a replicated event', $$SELECT e.id FROM tiktok.event e
		WHERE e.event_id = 'a-1'::text AND (e.event, e.source_id, e.test_code) IS NOT DISTINCT FROM ('Purchase'::text, 702, NULL::text)$$),
	(2, 'pixel_event', $$SELECT FROM tiktok.event e WHERE e.event_id = 'a-1'::text AND e.event = 'Purchase'::text AND e.source_id = 702 AND e.test_code IS NULL$$),
	(3, 'withdraw_consent', $$SELECT id FROM tiktok.event WHERE source_id = 702 AND event_id = 'a-1'::text$$),
	(4, 'events of the Pixel', $$SELECT * FROM tiktok_internal.pixel_match m WHERE m.event_id = 'a-1' AND m.event = 'Purchase' AND m.source_id = 702$$),
	(5, 'an order of the source of truth', $$SELECT * FROM tiktok_internal.event_of_id e WHERE e.event_id = 'a-1'$$),
	(6, 'an operator', $$SELECT * FROM tiktok.event_status WHERE event_id = 'a-1'$$),
	(7, 'a prefix', $$SELECT FROM tiktok.event WHERE event_id LIKE 'a-%'$$)) l (n, use, statement) ORDER BY n;

DROP TABLE keyed_orders;
DROP FUNCTION finds_by_key(text);
DELETE FROM tiktok.identity;
DELETE FROM tiktok.delivery;
DELETE FROM tiktok.event WHERE source_id = 702;
DELETE FROM tiktok.source WHERE id = 702;
