-- Tables as people have them: kinds of tables, odd names, many columns.
INSERT INTO tiktok.source (name, event_source, event_source_id) VALUES ('shop', 'web', 'C1');
CREATE FUNCTION last_event() RETURNS text LANGUAGE sql AS $$
SELECT concat_ws(' | ', event, event_id, status, reason, notes) FROM tiktok.event_status ORDER BY id DESC LIMIT 1
$$;

-- a temporary table, an unlogged one, and a view in front of it
CREATE TEMP TABLE temporary (id int PRIMARY KEY, email text);
CREATE TRIGGER tiktok AFTER INSERT ON temporary FOR EACH ROW EXECUTE FUNCTION tiktok.track_row('shop', 'Contact', 'email=email', 'url=''https://example.com/''');
INSERT INTO temporary VALUES (1, 'a@example.com');
SELECT last_event();
CREATE UNLOGGED TABLE unlogged (id int PRIMARY KEY, email text);
CREATE TRIGGER tiktok AFTER INSERT OR UPDATE ON unlogged FOR EACH ROW EXECUTE FUNCTION tiktok.track_row('shop', 'Contact', 'email=email', 'url=''https://example.com/''');
CREATE VIEW in_front AS SELECT * FROM unlogged;
INSERT INTO in_front VALUES (1, 'a@example.com');
SELECT last_event();
CREATE TRIGGER tiktok INSTEAD OF INSERT ON in_front FOR EACH ROW EXECUTE FUNCTION tiktok.track_row('shop', 'Contact', 'email=email');
INSERT INTO in_front VALUES (2, 'a@example.com');
DROP TRIGGER tiktok ON in_front;

-- COPY, ON CONFLICT, MERGE
COPY unlogged FROM stdin;
10	b@example.com
11	c@example.com
\.
INSERT INTO unlogged VALUES (10, 'x@example.com'), (12, 'd@example.com') ON CONFLICT (id) DO NOTHING;
MERGE INTO unlogged u USING (VALUES (13, 'e@example.com')) v (id, email) ON u.id = v.id
	WHEN MATCHED THEN UPDATE SET email = v.email WHEN NOT MATCHED THEN INSERT VALUES (v.id, v.email);
SELECT string_agg(event_id, ' ' ORDER BY id) FROM tiktok.event WHERE event_id LIKE 'unlogged-1_';

-- a row that moves between partitions keeps its key, and so its event
CREATE TABLE moving (id int, region text, email text, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
CREATE TABLE moving_a PARTITION OF moving FOR VALUES IN ('a');
CREATE TABLE moving_b PARTITION OF moving FOR VALUES IN ('b');
CREATE TRIGGER tiktok AFTER INSERT OR UPDATE ON moving FOR EACH ROW
	EXECUTE FUNCTION tiktok.track_row('shop', 'Contact', 'event_id=id', 'email=email', 'url=''https://example.com/''');
INSERT INTO moving VALUES (77, 'a', 'a@example.com');
UPDATE moving SET region = 'b';
SELECT count(*) FROM tiktok.event WHERE event_id = '77';

-- names with quotes, dots, Unicode, 63 bytes; names in other case
CREATE TABLE "Odd ""Table""" ("Id" int PRIMARY KEY, "E-Mail Adresse" text, "kunde.id" text, "größe" text,
	abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijk text);
CREATE TRIGGER tiktok AFTER INSERT ON "Odd ""Table""" FOR EACH ROW EXECUTE FUNCTION tiktok.track_row('shop', 'Contact',
	'email="E-Mail Adresse"', 'external_id="kunde.id"', 'description=größe', 'order_id=abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijk',
	'url=''https://example.com/''');
INSERT INTO "Odd ""Table""" VALUES (1, 'a@example.com', 'c1', 'L', 'o1');
SELECT last_event();
SELECT user_data FROM tiktok.identity ORDER BY id DESC LIMIT 1;
CREATE TABLE upper_case (ID int PRIMARY KEY, Email text);
CREATE TRIGGER tiktok AFTER INSERT ON upper_case FOR EACH ROW EXECUTE FUNCTION tiktok.track_row('shop', 'Contact', 'event_id=ID', 'email=EMAIL', 'url=''https://example.com/''');
INSERT INTO upper_case VALUES (5, 'a@example.com');
SELECT last_event();

-- as many columns as a table may have
DO $$ BEGIN
	EXECUTE (SELECT 'CREATE TABLE wide (id int PRIMARY KEY, email text, ' || string_agg('c' || n || ' int', ', ') || ')' FROM generate_series(1, 1598) n);
END $$;
CREATE TRIGGER tiktok AFTER INSERT ON wide FOR EACH ROW EXECUTE FUNCTION tiktok.track_row('shop', 'Contact', 'external_id=c1598', 'email=email', 'url=''https://example.com/''');
INSERT INTO wide (id, email, c1598) VALUES (1, 'a@example.com', 1598);
SELECT last_event();

-- columns dropped and retyped
CREATE TABLE changing (id int PRIMARY KEY, gone int, email text, total numeric);
CREATE TRIGGER tiktok AFTER INSERT ON changing FOR EACH ROW EXECUTE FUNCTION tiktok.track_row('shop', 'Contact', 'email=email', 'value=total', 'currency=''EUR''', 'url=''https://example.com/''');
ALTER TABLE changing DROP COLUMN gone;
INSERT INTO changing VALUES (1, 'a@example.com', 1.50);
SELECT last_event();
ALTER TABLE changing ALTER total TYPE text;
INSERT INTO changing VALUES (2, 'a@example.com', '1.50');
SELECT last_event();
ALTER TABLE changing ALTER total TYPE bytea USING total::bytea;
INSERT INTO changing VALUES (3, 'a@example.com', '1.50');
SELECT last_event();
ALTER TABLE changing ALTER total TYPE numeric USING 3;
INSERT INTO changing VALUES (4, 'a@example.com', 1.50);
SELECT last_event();

-- another schema, and one that exists already
SET client_min_messages = warning;
DROP EXTENSION tiktok_events CASCADE;
CREATE SCHEMA elsewhere;
\set VERBOSITY terse
CREATE EXTENSION tiktok_events SCHEMA elsewhere;
CREATE SCHEMA tiktok;
CREATE EXTENSION tiktok_events;
DROP SCHEMA tiktok;
CREATE EXTENSION tiktok_events;
\set VERBOSITY default
DROP SCHEMA elsewhere;
DROP FUNCTION last_event;
DROP VIEW in_front;
DROP TABLE temporary, unlogged, moving, "Odd ""Table""", upper_case, wide, changing;
