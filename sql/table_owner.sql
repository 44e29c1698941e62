-- The owner of a partitioned table goes on making partitions when an administrator has put our trigger on it
\set SHOW_CONTEXT never
\pset format unaligned
\pset tuples_only
SET client_min_messages = warning;
CREATE ROLE "regress tiktok owner";
CREATE ROLE regress_tiktok_sub;
GRANT CREATE, USAGE ON SCHEMA public TO "regress tiktok owner", regress_tiktok_sub;
INSERT INTO tiktok.source (name, event_source, event_source_id) VALUES ('shop', 'web', 'C1');
CREATE FUNCTION try(statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE statement;
	RETURN 'ok';
EXCEPTION WHEN OTHERS THEN
	RETURN sqlstate;
END $$;

SET ROLE "regress tiktok owner";
CREATE TABLE orders (id int PRIMARY KEY, email text) PARTITION BY RANGE (id);
CREATE TABLE orders_1 PARTITION OF orders FOR VALUES FROM (0) TO (100);
CREATE TABLE plain (id int PRIMARY KEY, email text);
RESET ROLE;
-- a warning, which a plain table does not need
SELECT tiktok.create_trigger('orders', 'shop', 'ViewContent', '{"event_id": "id", "event_time": "now", "email": "email", "url": "''https://example.com/''"}') IS NOT NULL;
SELECT tiktok.create_trigger('plain', 'shop', 'ViewContent', '{"event_time": "now", "email": "email", "url": "''https://example.com/''"}') IS NOT NULL;
-- what the owner does, before and after
CREATE TABLE part_of_another (id int NOT NULL, email text) PARTITION BY RANGE (id);
ALTER TABLE part_of_another OWNER TO regress_tiktok_sub;
CREATE FUNCTION owner_does() RETURNS TABLE (what text, outcome text) LANGUAGE plpgsql AS $$
DECLARE
	definition text := (SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE tgrelid = 'orders'::regclass AND tgname = 'tiktok_shop_viewcontent');
BEGIN
	SET LOCAL ROLE "regress tiktok owner";
	RETURN QUERY VALUES
		('CREATE TABLE PARTITION OF', try('CREATE TABLE orders_2 PARTITION OF orders FOR VALUES FROM (100) TO (200)')),
		('ATTACH PARTITION', try('CREATE TABLE orders_3 (id int NOT NULL, email text); ALTER TABLE orders ATTACH PARTITION orders_3 FOR VALUES FROM (200) TO (300)')),
		('INSERT', try('INSERT INTO orders VALUES (101, ''a@example.com''), (201, ''a@example.com'')')),
		('restore', try('ALTER TABLE orders_1 RENAME TO orders_9; DROP TRIGGER tiktok_shop_viewcontent ON orders; ' || definition)),
		('looks', try('SELECT FROM tiktok.event_status')),
		('track', try('SELECT tiktok.track(''shop'', ''ViewContent'', ''x'')')),
		('create_trigger', try('SELECT tiktok.create_trigger(''plain'', ''shop'', ''Search'', ''{}'')'));
	RESET ROLE;
END $$;
SELECT state, detail, hint FROM tiktok.health() WHERE check_name = 'partitions';
BEGIN;
SELECT * FROM owner_does();
ROLLBACK;
SELECT tiktok.grant_owner('"regress tiktok owner"');
SELECT o, privilege_type, is_grantable
FROM (SELECT nspname::text, nspacl FROM pg_namespace UNION ALL SELECT oid::regprocedure::text, proacl FROM pg_proc
	UNION ALL SELECT oid::regclass::text, relacl FROM pg_class WHERE relnamespace = 'tiktok'::regnamespace) x (o, acl), aclexplode(acl)
WHERE grantee = '"regress tiktok owner"'::regrole AND o ~ '^tiktok' ORDER BY o;
SELECT state, detail, hint FROM tiktok.health() WHERE check_name = 'partitions';
BEGIN;
SELECT * FROM owner_does();
SELECT event_id, status FROM tiktok.event_status ORDER BY id;
ROLLBACK;
-- a partition that has partitions, of another owner
ALTER TABLE orders ATTACH PARTITION part_of_another FOR VALUES FROM (500) TO (600);
SET ROLE regress_tiktok_sub;
SELECT try('CREATE TABLE part_1 PARTITION OF part_of_another DEFAULT');
RESET ROLE;
SELECT state, detail, hint FROM tiktok.health() WHERE check_name = 'partitions';
SELECT tiktok.grant_owner('regress_tiktok_sub');
SET ROLE regress_tiktok_sub;
SELECT try('CREATE TABLE part_1 PARTITION OF part_of_another DEFAULT');
RESET ROLE;

DROP TABLE orders, plain;
DROP FUNCTION try, owner_does;
SELECT tiktok.revoke_all('"regress tiktok owner"'), tiktok.revoke_all('regress_tiktok_sub');
REVOKE ALL ON SCHEMA public FROM "regress tiktok owner", regress_tiktok_sub;
DROP ROLE "regress tiktok owner", regress_tiktok_sub;
TRUNCATE tiktok.event, tiktok.identity, tiktok.delivery;
DELETE FROM tiktok.source;
