-- The trigger opens the tables of events for each row, and locks them once in a (sub)transaction: what was rolled back is locked again, and what
-- the same transaction does to the tables counts.
CREATE TABLE outbox_orders (order_no text PRIMARY KEY, total numeric);
INSERT INTO tiktok.source (id, name, event_source, event_source_id) VALUES (703, 'outbox', 'web', 'C1');
CREATE TRIGGER tiktok AFTER INSERT ON outbox_orders FOR EACH ROW
	EXECUTE FUNCTION tiktok.track_row('outbox', 'Purchase', 'event_id=order_no', 'value=total', 'currency=''EUR''', 'external_id=order_no', 'url=''https://shop.example.com/''');
CREATE VIEW locked AS
SELECT string_agg(c.relname, ' ' ORDER BY c.relname COLLATE "C") FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
WHERE l.pid = pg_backend_pid() AND l.mode = 'RowExclusiveLock' AND l.granted AND c.relnamespace = 'tiktok'::regnamespace AND c.relkind IN ('r', 'i');
CREATE VIEW recorded AS
SELECT string_agg(event_id, ' ' ORDER BY event_id COLLATE "C") FROM tiktok.event WHERE source_id = 703;

BEGIN;
INSERT INTO outbox_orders VALUES ('1', 1), ('2', 2);
TABLE locked;
COMMIT;
BEGIN;
SAVEPOINT a;
INSERT INTO outbox_orders VALUES ('3', 1), ('4', 2);
ROLLBACK TO a;
TABLE locked;
INSERT INTO outbox_orders VALUES ('5', 1), ('6', 2);
TABLE locked;
SAVEPOINT b;
INSERT INTO outbox_orders VALUES ('7', 1);
ROLLBACK TO b;
INSERT INTO outbox_orders VALUES ('8', 1);
RELEASE b;
TABLE locked;
INSERT INTO outbox_orders VALUES ('9', 1);
TABLE locked;
COMMIT;
TABLE recorded;

-- the tables change between two rows of a transaction
BEGIN;
INSERT INTO outbox_orders VALUES ('a', 1);
ALTER TABLE tiktok.event ADD more text;
INSERT INTO outbox_orders VALUES ('b', 1);
REINDEX TABLE tiktok.event;
INSERT INTO outbox_orders VALUES ('c', 1);
CREATE INDEX another ON tiktok.event (currency);
INSERT INTO outbox_orders VALUES ('d', 1);
SET LOCAL enable_seqscan = off;
SELECT count(*) FROM tiktok.event WHERE currency = 'EUR' AND source_id = 703;
DROP INDEX tiktok.another;
INSERT INTO outbox_orders VALUES ('e', 1);
SAVEPOINT a;
ALTER TABLE tiktok.event DROP more;
INSERT INTO outbox_orders VALUES ('f', 1);
ROLLBACK TO a;
INSERT INTO outbox_orders VALUES ('g', 1);
TABLE recorded;
TRUNCATE tiktok.event, tiktok.identity;
INSERT INTO outbox_orders VALUES ('h', 1);
TABLE recorded;
SELECT count(*) FROM tiktok.event e JOIN tiktok.identity i USING (id) WHERE e.event_id = 'h';
ROLLBACK;
TABLE recorded;

DROP TABLE outbox_orders;
DROP VIEW locked, recorded;
DELETE FROM tiktok.identity;
DELETE FROM tiktok.delivery;
DELETE FROM tiktok.event WHERE source_id = 703;
DELETE FROM tiktok.source WHERE id = 703;
