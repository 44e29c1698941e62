-- tiktok_events.recording = off: in an emergency, or for a load, statements do nothing for the extension but count.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
INSERT INTO tiktok.source (id, name, event_source, event_source_id) VALUES (881, 'recording', 'web', 'C1');
SELECT state, detail FROM tiktok.health() WHERE check_name = 'recording';
CREATE TABLE orders (no text PRIMARY KEY, total numeric, at timestamptz DEFAULT now());
CREATE TRIGGER t AFTER INSERT OR UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION tiktok.track_row('recording', 'Purchase', 'event_id=no', 'value=total', 'event_time=at', 'currency=''EUR''', 'url=''https://example.com/''');
CREATE TABLE parts (no int, day date, PRIMARY KEY (no, day)) PARTITION BY RANGE (day);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
CREATE TABLE parts_2 PARTITION OF parts FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
CREATE TRIGGER t AFTER INSERT ON parts FOR EACH ROW EXECUTE FUNCTION tiktok.track_row('recording', 'Purchase', 'event_id=no', 'url=''https://example.com/''');
CREATE TABLE late (no int PRIMARY KEY);
CREATE CONSTRAINT TRIGGER t AFTER INSERT ON late DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION tiktok.track_row('recording', 'Purchase', 'event_id=no', 'url=''https://example.com/''');
CREATE TABLE broken (no int);
CREATE TRIGGER t AFTER INSERT ON broken FOR EACH ROW EXECUTE FUNCTION tiktok.track_row('recording', 'Purchase', 'no such target');
INSERT INTO broken VALUES (1);

-- Off for this session, as ALTER SYSTEM and a reload are for all
SELECT count(*) FROM tiktok.not_recorded;
SET tiktok_events.recording = off;
BEGIN;
INSERT INTO orders VALUES ('R1', 10), ('R2', 20);
UPDATE orders SET total = 11 WHERE no = 'R1';
INSERT INTO parts VALUES (1, '2026-01-05'), (2, '2026-02-05'), (3, '2026-02-06');
INSERT INTO late VALUES (1);
INSERT INTO broken VALUES (2);
SELECT tiktok.track('recording', 'ViewContent', 'V1');
SELECT tiktok.track('no such source', 'no event?', NULL);
-- no table of the extension is locked
SELECT c.relname FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
WHERE l.pid = pg_backend_pid() AND l.mode <> 'AccessShareLock' AND c.relnamespace IN ('tiktok'::regnamespace, 'tiktok_internal'::regnamespace);
COMMIT;
BEGIN;
INSERT INTO orders VALUES ('R9', 90);
ROLLBACK;
CALL tiktok.backfill('orders', 't');
SELECT count(*) FROM tiktok.event WHERE source_id = 881;
SELECT * FROM tiktok.not_recorded ORDER BY relation::text;
SELECT state, detail, hint FROM tiktok.health() WHERE check_name = 'recording';

-- On again: what was missed is made up by a backfill
RESET tiktok_events.recording;
SELECT state, detail, hint FROM tiktok.health() WHERE check_name = 'recording';
CALL tiktok.backfill('orders', 't', ignore_when => true);
INSERT INTO orders VALUES ('R3', 30);
SELECT event_id, value FROM tiktok.event WHERE source_id = 881 ORDER BY 1;
BEGIN;
SET LOCAL tiktok_events.recording = off;
INSERT INTO orders VALUES ('R4', 40);
COMMIT;
INSERT INTO orders VALUES ('R5', 50);
SELECT event_id FROM tiktok.event WHERE source_id = 881 AND event_id > 'R3';
SELECT not_recorded FROM tiktok.not_recorded WHERE relation = 'orders'::regclass;

-- Nobody but a superuser, and whom one lets
CREATE ROLE regress_tiktok_loader;
SET ROLE regress_tiktok_loader;
SET tiktok_events.recording = off;
RESET ROLE;
DROP ROLE regress_tiktok_loader;

DROP TABLE orders, parts, late, broken;
SELECT count(*) FROM tiktok.not_recorded WHERE relation <> 0::oid;
TRUNCATE tiktok.retry, tiktok.event, tiktok.identity, tiktok.delivery, tiktok.backfill_progress;
DELETE FROM tiktok.source;
