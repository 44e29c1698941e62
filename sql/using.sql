-- The function of using= is free to do what it likes
SET client_min_messages = warning;
\set SHOW_CONTEXT never
\pset format unaligned
\pset tuples_only
INSERT INTO tiktok.source (name, event_source, event_source_id) VALUES ('shop', 'web', 'C1');

-- User code makes the mapping that is at work invalid, fires the same trigger and fills the memory
CREATE TABLE busy (id int PRIMARY KEY, email text, at timestamptz DEFAULT now());
CREATE FUNCTION be_busy(id int) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
	name text;
BEGIN
	IF id > 100 THEN
		RETURN true;
	END IF;
	ANALYZE busy;
	INSERT INTO busy VALUES (id + 100, 'b@example.com') ON CONFLICT DO NOTHING;
	FOR i IN 1 .. 30 LOOP
		name := 'overwritten_' || repeat('z', i * 20 % 50) || i;
		EXECUTE format('CREATE FUNCTION pg_temp.%1$I(%1$s int, %1$s_2 text) RETURNS text LANGUAGE plpgsql AS %2$L', name, 'DECLARE ' || name || ' text; BEGIN RETURN $2; END');
		EXECUTE format('SELECT pg_temp.%I(1, %L)', name, repeat('https://evil.example.com/', 20));
		EXECUTE format('DROP FUNCTION pg_temp.%I', name);
	END LOOP;
	RETURN true;
END $$;
CREATE FUNCTION busy_event(b busy) RETURNS jsonb LANGUAGE sql AS $$ SELECT jsonb_build_object('num_items', CASE WHEN be_busy(b.id) THEN 2 END) $$;
CREATE FUNCTION busy_failure(b busy) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN PERFORM be_busy(b.id); RAISE 'no luck'; END $$;
CREATE FUNCTION recorded(using_name text, trigger_when text, run text) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
	TRUNCATE busy, tiktok.event, tiktok.identity, tiktok.delivery;
	INSERT INTO busy VALUES (2, 'c@example.com');
	EXECUTE format('CREATE TRIGGER tiktok AFTER INSERT ON busy FOR EACH ROW WHEN (%s) EXECUTE FUNCTION tiktok.track_row(
		''shop'', ''AddToWishlist'', ''url=''''https://shop.example.com/a/page'''''', ''email=email'', ''currency=''''EUR'''''', ''description=''''a literal'''''', %s)', trigger_when, using_name);
	EXECUTE run;
	DROP TRIGGER tiktok ON busy;
	RETURN QUERY SELECT concat_ws(' ', s.event, s.event_id, s.status, s.reason, s.notes, e.payload -> 'page', e.payload -> 'properties')
		FROM tiktok.event_status s LEFT JOIN tiktok.event e USING (id) ORDER BY s.event_id;
END $$;
SELECT kind, r FROM (VALUES
	('using', $$'using=busy_event'$$, 'true', $$INSERT INTO busy VALUES (1, 'a@example.com')$$),
	('using that fails', $$'using=busy_failure'$$, 'true', $$INSERT INTO busy VALUES (1, 'a@example.com')$$),
	('when', $$'num_items=id'$$, 'be_busy(new.id)', $$INSERT INTO busy VALUES (1, 'a@example.com')$$)) v (kind, using_name, trigger_when, run),
	recorded(using_name, trigger_when, run) r;
-- rows that are there
CREATE TRIGGER tiktok AFTER INSERT ON busy FOR EACH ROW EXECUTE FUNCTION tiktok.track_row(
	'shop', 'AddToWishlist', 'url=''https://shop.example.com/a/page''', 'email=email', 'currency=''EUR''', 'description=''a literal''', 'event_time=at', 'using=busy_event');
TRUNCATE busy;
SET session_replication_role = replica;
INSERT INTO busy SELECT i, 'a@example.com' FROM generate_series(1, 3) i;
RESET session_replication_role;
SELECT key, event, event_id, problem, payload -> 'page' AS page, payload -> 'properties' AS properties FROM tiktok.check_rows('busy', 'tiktok');
DELETE FROM busy WHERE id > 100;
TRUNCATE tiktok.event, tiktok.identity, tiktok.delivery;
CALL tiktok.backfill('busy', 'tiktok', 'id < 100');
SELECT event, event_id, status, reason, notes FROM tiktok.event_status ORDER BY event_id;

DROP TABLE busy CASCADE;
DROP FUNCTION be_busy, recorded;
TRUNCATE tiktok.event, tiktok.identity, tiktok.delivery, tiktok.backfill_progress;
DELETE FROM tiktok.source;
