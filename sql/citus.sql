-- Event ids that are derived from a shard of Citus have the name of the distributed table. Two catalogs and a function stand in for Citus; t/049_citus.pl
-- runs the real one where it is installed.
\set SHOW_CONTEXT never
\pset format unaligned
\pset tuples_only on
SET client_min_messages = warning;
INSERT INTO tiktok.source (name, event_source, event_source_id) VALUES ('shop', 'web', 'C1');
CREATE TABLE orders (id int PRIMARY KEY, email text);
CREATE TABLE orders_102008 (LIKE orders INCLUDING ALL);
CREATE TABLE orders_102009 (LIKE orders INCLUDING ALL);
CREATE TABLE orders_102010 (LIKE orders INCLUDING ALL) PARTITION BY RANGE (id);
CREATE TABLE orders_old_102011 PARTITION OF orders_102010 FOR VALUES FROM (1) TO (100);
CREATE TABLE orders_102008x (LIKE orders INCLUDING ALL);
CREATE FUNCTION record(relation regclass, id int) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('INSERT INTO %s VALUES (%s, ''ana@example.com'')', relation, id);
	RETURN (SELECT e.event_id FROM tiktok.event e ORDER BY e.id DESC LIMIT 1);
END $$;
CREATE FUNCTION record_all(id int) RETURNS SETOF text LANGUAGE sql AS $$
	SELECT record(r::regclass, 10 * record_all.id + n::int) FROM unnest('{orders, orders_102008, orders_102009, orders_102010, orders_102008x}'::text[]) WITH ORDINALITY u (r, n) ORDER BY n $$;
DO $$ BEGIN
	EXECUTE (SELECT string_agg(format('CREATE TRIGGER tiktok AFTER INSERT ON %s FOR EACH ROW EXECUTE FUNCTION tiktok.track_row(''shop'', ''Contact'', ''email=email'', ''url=''''https://example.com/'''''');', r), '')
		FROM unnest('{orders, orders_102008, orders_102009, orders_102010, orders_102008x}'::text[]) r);
END $$;
SELECT record_all(1);
SELECT tiktok.create_trigger('orders', 'shop', 'Contact', '{"event_time": "now", "email": "email", "url": "''https://example.com/''"}', name => 'remarked') ~ 'Citus';

-- the second and the fourth are shards; the third is none, and has such a name all the same
SET allow_system_table_mods = on;
CREATE TABLE pg_catalog.pg_dist_shard (logicalrelid regclass NOT NULL, shardid bigint NOT NULL);
CREATE UNIQUE INDEX pg_dist_shard_shardid_index ON pg_catalog.pg_dist_shard (shardid);
CREATE TABLE pg_catalog.pg_dist_partition (logicalrelid regclass NOT NULL, partmethod "char" NOT NULL, colocationid int NOT NULL, repmodel "char" NOT NULL);
CREATE UNIQUE INDEX pg_dist_partition_logical_relid_index ON pg_catalog.pg_dist_partition (logicalrelid);
CREATE FUNCTION pg_catalog.relation_is_a_known_shard(regclass) RETURNS boolean LANGUAGE sql STABLE STRICT AS $$ SELECT $1 IN ('orders_102008'::regclass, 'orders_102010'::regclass) $$;
INSERT INTO pg_dist_shard SELECT 'orders', n FROM generate_series(102008, 102010) n;
\c
SET client_min_messages = warning;
SELECT record_all(2);

-- a function of using takes rows of the distributed table, whose columns may be in another order
ALTER TABLE orders_102008 DROP COLUMN email, ADD COLUMN extra int, ADD COLUMN email text;
CREATE FUNCTION details(o orders) RETURNS jsonb LANGUAGE sql AS $$ SELECT jsonb_build_object('event_id', format('%s by %s', (o).id, (o).email)) $$;
CREATE OR REPLACE TRIGGER tiktok AFTER INSERT ON orders_102008 FOR EACH ROW EXECUTE FUNCTION tiktok.track_row('shop', 'Contact', 'email=email', 'url=''https://example.com/''', 'using=details');
INSERT INTO orders_102008 (id, email) VALUES (31, 'somebody');
SELECT event_id, status, reason FROM tiktok.event_status ORDER BY id DESC LIMIT 1;

-- what create_trigger says of each kind of table
INSERT INTO pg_dist_partition VALUES ('orders', 'h', 1, 's');
CREATE FUNCTION remarks() RETURNS SETOF text LANGUAGE sql AS $$
	SELECT line FROM regexp_split_to_table(tiktok.create_trigger('orders', 'shop', 'Contact', '{"event_time": "now", "email": "email", "url": "''https://example.com/''"}',
		name => 'remarked', replace => true), '\n') line WHERE line ~ '^-- Table' $$;
SELECT remarks();
UPDATE pg_dist_partition SET partmethod = 'n';
SELECT remarks();
UPDATE pg_dist_partition SET repmodel = 't';
SELECT remarks();
UPDATE pg_dist_partition SET repmodel = 's', colocationid = 0;
SELECT remarks();

TRUNCATE tiktok.event, tiktok.identity, tiktok.delivery;
DELETE FROM tiktok.source;
DROP FUNCTION remarks, record_all, record, details;
DROP TABLE orders, orders_102008, orders_102009, orders_102010, orders_102008x;
SET allow_system_table_mods = on;
DROP FUNCTION pg_catalog.relation_is_a_known_shard(regclass);
DROP TABLE pg_catalog.pg_dist_shard, pg_catalog.pg_dist_partition;
