-- What is added to tiktok's tables is kept up to date by a session that has recorded events before.
INSERT INTO tiktok.source (name, event_source, event_source_id) VALUES ('shop', 'web', 'C1');
CREATE TABLE carts (id int PRIMARY KEY, customer text);
CREATE TRIGGER tiktok AFTER INSERT ON carts FOR EACH ROW EXECUTE FUNCTION
	tiktok.track_row('shop', 'AddToCart', 'external_id=customer', 'url=''https://example.com/''');
INSERT INTO carts SELECT g, 'c' FROM generate_series(1, 3) g;
SET enable_seqscan = off;
SET enable_indexscan = off;

-- indexes of other kinds, and partial ones
CREATE INDEX own_btree ON tiktok.event (enqueued_at);
CREATE INDEX own_lower ON tiktok.event (lower(event));
CREATE INDEX own_partial ON tiktok.event (event_id) WHERE source_id > 0;
CREATE INDEX own_brin ON tiktok.event USING brin (id) WITH (pages_per_range = 1);
CREATE INDEX own_hash ON tiktok.event USING hash (event);
INSERT INTO carts SELECT g, 'c' FROM generate_series(4, 6) g;
SELECT count(*) FROM tiktok.event WHERE enqueued_at > '2000-01-01';
SELECT count(*) FROM tiktok.event WHERE lower(event) = 'addtocart';
SELECT count(*) FROM tiktok.event WHERE event_id LIKE 'carts-%' AND source_id > 0;
SELECT count(*) FROM tiktok.event WHERE id > 0;
SELECT count(*) FROM tiktok.event WHERE event = 'AddToCart';

-- and without them again; what is kept for a BRIN index is good for one row
DROP INDEX tiktok.own_lower, tiktok.own_partial, tiktok.own_hash;
CREATE INDEX own_hour ON tiktok.event USING brin (date_bin('1 hour', enqueued_at, '2000-01-01')) WITH (pages_per_range = 1);
INSERT INTO carts SELECT g, 'c' FROM generate_series(7, 8) g;
INSERT INTO carts VALUES (9, 'c');
SELECT count(*) FROM tiktok.event WHERE enqueued_at > '2000-01-01';
SELECT count(*) FROM tiktok.event WHERE id > (SELECT max(id) - 1 FROM tiktok.event);
SELECT count(*) FROM tiktok.event WHERE date_bin('1 hour', enqueued_at, '2000-01-01') > now() - interval '1 day';
DROP INDEX tiktok.own_btree, tiktok.own_brin, tiktok.own_hour;

-- a column more
ALTER TABLE tiktok.event ADD COLUMN own text;
ALTER TABLE tiktok.identity ADD COLUMN own text;
INSERT INTO carts SELECT g, 'c' FROM generate_series(10, 12) g;
SELECT count(*), count(e.own), count(i.own) FROM tiktok.event e JOIN tiktok.identity i USING (id);
ALTER TABLE tiktok.event DROP COLUMN own;
ALTER TABLE tiktok.identity DROP COLUMN own;

-- the same after an error, and in a new installation of the extension
INSERT INTO tiktok.identity SELECT last_value + 1, '{}' FROM tiktok.event_id_seq;
\set VERBOSITY sqlstate
INSERT INTO carts VALUES (13, 'c');
\set VERBOSITY default
INSERT INTO carts VALUES (13, 'c');
SELECT count(*), count(DISTINCT event_id) FROM tiktok.event;
TRUNCATE tiktok.event, tiktok.identity;
BEGIN;
DROP EXTENSION tiktok_events CASCADE;
CREATE EXTENSION tiktok_events;
INSERT INTO tiktok.source (name, event_source, event_source_id) VALUES ('shop', 'web', 'C1');
SELECT tiktok.track('shop', 'ViewContent', 'v', user_data => '{"external_id": 1}', page => '{"url": "https://example.com/"}') AS id;
ROLLBACK;
INSERT INTO carts VALUES (14, 'c');
SELECT event_id FROM tiktok.event;

DROP TABLE carts;
TRUNCATE tiktok.event, tiktok.identity;
DELETE FROM tiktok.source;
