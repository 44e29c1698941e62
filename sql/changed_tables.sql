-- Somebody alters a table of the extension: an order, a call and the worker say so, nothing crashes, and all goes on when it is undone.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
SET TimeZone = 'UTC';
INSERT INTO tiktok.source (id, name, event_source, event_source_id) VALUES (701, 'changed', 'web', 'C1');
CREATE TABLE changed_orders (id int PRIMARY KEY, total numeric);
CREATE TRIGGER tiktok AFTER INSERT OR UPDATE ON changed_orders FOR EACH ROW
	EXECUTE FUNCTION tiktok.track_row('changed', 'Purchase', 'value=total', 'currency=''EUR''', 'external_id=id', 'url=''https://shop.example.com/''');
CREATE DOMAIN changed_number AS bigint CHECK (VALUE <> 4);
CREATE TABLE changes (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, change text, undo text, "order" text, track text, worker text, afterwards text);

-- an order, which must not be lost: what it says
CREATE FUNCTION say(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	message text;
	hint text;
BEGIN
	EXECUTE statement;
	RETURN 'ok';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
	RETURN SQLSTATE || ' ' || message || CASE WHEN hint = '' THEN ' NO HINT' ELSE '' END;
END $$;
CREATE FUNCTION place_order() RETURNS text LANGUAGE sql AS $$
	SELECT say('INSERT INTO changed_orders SELECT coalesce(max(id), 0) + 1, 49.90 FROM changed_orders')
$$;
-- waits until the worker has had its turn
CREATE FUNCTION worker(refused boolean) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	status record;
BEGIN
	FOR i IN 1 .. 600 LOOP
		SELECT INTO status state, last_error FROM tiktok.worker_status WHERE database = current_database();
		IF status.state IN ('idle', 'sending', 'refused') AND (status.state = 'refused') = refused THEN
			RETURN CASE WHEN refused THEN status.last_error ELSE 'ok' END;
		END IF;
		PERFORM pg_sleep(0.02);
	END LOOP;
	RETURN 'state ' || status.state;
END $$;

INSERT INTO changes (change, undo) VALUES
	('ALTER TABLE tiktok.identity ALTER id TYPE text', 'ALTER TABLE tiktok.identity ALTER id TYPE bigint USING id::bigint'),
	('ALTER TABLE tiktok.identity ALTER id TYPE changed_number', 'ALTER TABLE tiktok.identity ALTER id TYPE bigint'),
	('ALTER TABLE tiktok.identity ALTER user_data TYPE jsonb', 'ALTER TABLE tiktok.identity ALTER user_data TYPE json'),
	('ALTER TABLE tiktok.identity RENAME id TO number', 'ALTER TABLE tiktok.identity RENAME number TO id'),
	('ALTER TABLE tiktok.identity DROP CONSTRAINT identity_pkey', 'ALTER TABLE tiktok.identity ADD CONSTRAINT identity_pkey PRIMARY KEY (id)'),
	('ALTER TABLE tiktok.identity RENAME TO kept; CREATE VIEW tiktok.identity AS TABLE tiktok.kept', 'DROP VIEW tiktok.identity; ALTER TABLE tiktok.kept RENAME TO identity'),
	('ALTER TABLE tiktok.identity RENAME TO kept; CREATE TABLE tiktok.identity (LIKE tiktok.kept) PARTITION BY RANGE (id)', 'DROP TABLE tiktok.identity; ALTER TABLE tiktok.kept RENAME TO identity'),
	('ALTER TABLE tiktok.identity RENAME TO kept', 'ALTER TABLE tiktok.kept RENAME TO identity'),
	('ALTER TABLE tiktok.identity ADD extra text', 'ALTER TABLE tiktok.identity DROP extra'),
	('ALTER TABLE tiktok.event ADD extra text NOT NULL DEFAULT ''''', 'ALTER TABLE tiktok.event DROP extra'),
	('ALTER TABLE tiktok.event ALTER payload TYPE jsonb', 'ALTER TABLE tiktok.event ALTER payload TYPE json'),
	('DROP INDEX tiktok.event_key',
		'CREATE UNIQUE INDEX event_key ON tiktok.event (event_id text_pattern_ops, event text_pattern_ops, source_id, test_code text_pattern_ops) NULLS NOT DISTINCT'),
	('DROP INDEX tiktok.event_key; ALTER TABLE tiktok.event ADD CONSTRAINT event_key UNIQUE (event_id, event, source_id, test_code)',
		'ALTER TABLE tiktok.event DROP CONSTRAINT event_key; CREATE UNIQUE INDEX event_key ON tiktok.event (event_id text_pattern_ops, event text_pattern_ops, source_id, test_code text_pattern_ops) NULLS NOT DISTINCT'),
	('DROP INDEX tiktok.event_key; ALTER TABLE tiktok.event ADD CONSTRAINT event_key UNIQUE NULLS NOT DISTINCT (event_id, event, source_id, test_code) DEFERRABLE',
		'ALTER TABLE tiktok.event DROP CONSTRAINT event_key; CREATE UNIQUE INDEX event_key ON tiktok.event (event_id text_pattern_ops, event text_pattern_ops, source_id, test_code text_pattern_ops) NULLS NOT DISTINCT'),
	('ALTER INDEX tiktok.event_key RENAME TO renamed', 'ALTER INDEX tiktok.renamed RENAME TO event_key'),
	('ALTER SEQUENCE tiktok.event_id_seq RENAME TO renamed', 'ALTER SEQUENCE tiktok.renamed RENAME TO event_id_seq'),
	('SELECT setval(''tiktok.event_id_seq'', 9223372036854775807)', 'SELECT setval(''tiktok.event_id_seq'', (SELECT max(id) FROM tiktok.event))'),
	('ALTER TABLE tiktok.delivery DROP CONSTRAINT delivery_pkey, ADD CONSTRAINT delivery_pkey PRIMARY KEY (at, id)', 'ALTER TABLE tiktok.delivery DROP CONSTRAINT delivery_pkey, ADD CONSTRAINT delivery_pkey PRIMARY KEY (id)'),
	('ALTER TABLE tiktok.event ALTER event_time DROP NOT NULL', 'ALTER TABLE tiktok.event ALTER event_time SET NOT NULL'),
	('ALTER TABLE tiktok.cursor ALTER snapshot DROP NOT NULL', 'ALTER TABLE tiktok.cursor ALTER snapshot SET NOT NULL'),
	('ALTER TABLE tiktok.retry ALTER attempts DROP NOT NULL', 'ALTER TABLE tiktok.retry ALTER attempts SET NOT NULL'),
	('ALTER TABLE tiktok.source ALTER batch_size DROP NOT NULL', 'ALTER TABLE tiktok.source ALTER batch_size SET NOT NULL'),
	('ALTER TABLE tiktok.cursor ALTER snapshot TYPE text', 'ALTER TABLE tiktok.cursor ALTER snapshot TYPE pg_snapshot USING snapshot::pg_snapshot'),
	('ALTER TABLE tiktok.source ALTER batch_size TYPE bigint', 'ALTER TABLE tiktok.source ALTER batch_size TYPE int'),
	('ALTER TABLE tiktok.access_token ALTER token TYPE bytea USING NULL', 'ALTER TABLE tiktok.access_token ALTER token TYPE text USING NULL');

DO $$
DECLARE
	c changes;
BEGIN
	FOR c IN SELECT * FROM changes ORDER BY id LOOP
		c.order := say(c.change);
		IF c.order <> 'ok' THEN
			UPDATE changes SET "order" = 'REFUSED ' || c.order WHERE id = c.id;
			COMMIT;
			CONTINUE;
		END IF;
		c.order := place_order();
		c.track := say($call$SELECT tiktok.track('changed', 'ViewContent', 'V' || clock_timestamp(), user_data => '{"external_id": 1}', page => '{"url": "https://shop.example.com/"}')$call$);
		-- the trigger of this table wakes the worker
		PERFORM say('DELETE FROM tiktok.access_token WHERE false');
		COMMIT;
		-- what the worker does not read does not stop it
		c.worker := worker(c.change !~ 'identity ADD|ALTER INDEX|SEQUENCE|setval');
		EXECUTE c.undo;
		PERFORM say('DELETE FROM tiktok.access_token WHERE false');
		c.afterwards := place_order();
		COMMIT;
		c.afterwards := concat_ws(', ', c.afterwards, worker(false));
		UPDATE changes SET ("order", track, worker, afterwards) = (c.order, c.track, c.worker, c.afterwards) WHERE id = c.id;
		COMMIT;
	END LOOP;
END $$;
\x on
SELECT change, "order", CASE WHEN track = "order" THEN 'likewise' ELSE track END AS track,
	CASE WHEN worker = substr("order", 7) THEN 'likewise' ELSE worker END AS worker, afterwards FROM changes ORDER BY id;
\x off

-- What may be null, and what must not: as the extension made it
CREATE TEMP TABLE columns AS
SELECT c.relname, a.attname, a.attnotnull, (SELECT tiktok_internal.table_problem(x.oid, x.extowner) FROM pg_extension x WHERE x.extname = 'tiktok_events') AS problem
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
WHERE c.relnamespace = 'tiktok'::regnamespace AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped AND a.attnotnull AND a.attidentity = ''
AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary AND a.attnum = ANY (i.indkey));
DO $$
DECLARE
	c columns;
BEGIN
	FOR c IN TABLE columns LOOP
		EXECUTE format('ALTER TABLE tiktok.%I ALTER %I DROP NOT NULL', c.relname, c.attname);
		UPDATE columns SET problem = tiktok_internal.table_problem(x.oid, x.extowner) FROM pg_extension x
		WHERE x.extname = 'tiktok_events' AND relname = c.relname AND attname = c.attname;
		EXECUTE format('ALTER TABLE tiktok.%I ALTER %I SET NOT NULL', c.relname, c.attname);
	END LOOP;
END $$;
-- those that the worker does not need to send events; sessions read lead_stage and test_code
SELECT relname, attname FROM columns WHERE problem IS NULL ORDER BY 1, 2;
SELECT tiktok_internal.table_problem(x.oid, x.extowner) FROM pg_extension x WHERE x.extname = 'tiktok_events';
DROP TABLE columns;

-- A column that is dropped and added again is not where it was
BEGIN;
ALTER TABLE tiktok.identity DROP user_data;
ALTER TABLE tiktok.identity ADD user_data json;
SELECT place_order();
ROLLBACK;
SELECT place_order();

DROP TABLE changed_orders, changes;
DROP FUNCTION place_order(), say(text), worker(boolean);
DROP DOMAIN changed_number;
DELETE FROM tiktok.identity;
DELETE FROM tiktok.delivery;
DELETE FROM tiktok.event WHERE source_id = 701;
DELETE FROM tiktok.source WHERE id = 701;
