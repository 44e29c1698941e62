-- What no application does: functions without arguments that they need, where they may not write, at commit; trigger functions as triggers of
-- other kinds; one transaction of very many events; sessions with odd settings.
\set SHOW_CONTEXT never
INSERT INTO tiktok.source (id, name, event_source, event_source_id) VALUES (991, 'shop', 'web', 'C1'), (992, 'store', 'offline', '7402');
UPDATE tiktok.source SET enabled = false;
CREATE FUNCTION outcome(call text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE call;
	RETURN 'returns';
EXCEPTION WHEN OTHERS THEN
	RETURN sqlstate;
END $$;

CREATE TABLE plain (id int PRIMARY KEY, name text);

-- every C function with nothing but nulls: an error that says so, or a result
CREATE VIEW functions AS
SELECT p.oid::regprocedure AS function, p.prosrc,
	CASE p.prokind WHEN 'p' THEN 'CALL ' ELSE 'SELECT * FROM ' END || p.oid::regproc || '(' ||
		coalesce((SELECT string_agg('NULL::' || t::regtype, ', ') FROM unnest(p.proargtypes) t), '') || ')' AS call
FROM pg_proc p WHERE p.pronamespace IN ('tiktok'::regnamespace, 'tiktok_internal'::regnamespace) AND p.prolang = (SELECT oid FROM pg_language WHERE lanname = 'c');
SELECT count(*) > 40 AS all_of_them FROM functions;
SELECT function, outcome(call) FROM functions
WHERE outcome(call) NOT IN ('returns', '22004', '25001') AND NOT (outcome(call) = '42804' AND function::text ~ 'track_row|check_source|configuration_changed');

-- with one null each, and the rest as it should be
CREATE FUNCTION usual(type regtype, name text) RETURNS text LANGUAGE sql AS $$
SELECT CASE
	WHEN name = 'source' THEN quote_literal('shop')
	WHEN name = 'event' THEN quote_literal('ViewContent')
	WHEN name = 'user_data' THEN quote_literal('{"external_id": 1}')
	WHEN name = 'page' THEN quote_literal('{"url": "https://example.com/"}')
	WHEN name IN ('kind', 'email') THEN quote_literal('email')
	WHEN name = 'timeout' THEN quote_literal('0')
	WHEN name = 'relation' THEN quote_literal('pg_class')
	WHEN name = 'query' THEN quote_literal('SELECT 1 AS value')
	WHEN name = 'limited_data_use' THEN 'false'
	WHEN type = 'boolean'::regtype THEN 'true'
	WHEN type IN ('integer'::regtype, 'bigint'::regtype, 'numeric'::regtype) THEN '1'
	WHEN name = 'query' THEN 'NULL'
	WHEN type = 'jsonb'::regtype THEN quote_literal('{}')
	WHEN type = 'interval'::regtype THEN quote_literal('1 hour')
	WHEN type = 'timestamptz'::regtype THEN 'now()'
	ELSE quote_literal('x') END || '::' || type
$$;
SELECT function, n, state FROM (
	SELECT f.function, n, outcome(format('%s(%s)', split_part(f.call, '(', 1), (
		SELECT string_agg(CASE WHEN i = n THEN 'NULL::' || t::regtype ELSE usual(t, p.proargnames[i]) END, ', ' ORDER BY i)
		FROM unnest(p.proargtypes::oid[]) WITH ORDINALITY a (t, i)))) AS state
	FROM functions f JOIN pg_proc p ON p.oid = f.function, generate_series(1, p.pronargs) n
	WHERE NOT p.proisstrict) x
WHERE state NOT IN ('returns', '22004', '22023', '25001', '42704', '42P16');
-- an event_id that is null is drawn anew, all other calls are about one event
SELECT event, count(*) AS events, count(*) FILTER (WHERE event_id = 'x') AS given FROM tiktok.event GROUP BY 1;
TRUNCATE tiktok.retry, tiktok.event, tiktok.identity, tiktok.delivery;

-- where nothing may be written nothing is, and says so
BEGIN READ ONLY;
SELECT outcome('SELECT tiktok.' || call) AS outcome, string_agg(call, E'\n' ORDER BY call COLLATE "C") AS calls FROM unnest(ARRAY[
	$$track('shop', 'ViewContent', 'x', user_data => '{"external_id": 1}', page => '{"url": "https://example.com/"}')$$,
	$$preview('shop', 'ViewContent', 'x', user_data => '{"external_id": 1}', page => '{"url": "https://example.com/"}')$$,
	$$set_access_token('shop', 'x')$$, $$confirm_database()$$, $$pause('shop')$$, $$resume('shop')$$, $$set_test_code('shop', 'X')$$, $$retry('shop')$$, $$retry(1)$$,
	$$discard('shop')$$, $$discard(1)$$, $$purge()$$, $$forget(external_id => '1')$$, $$withdraw_consent('shop', 'x')$$, $$wait('0')$$, $$pixel_seen('shop', 'ViewContent', 'x')$$,
	$$create_trigger('plain', 'shop', 'ViewContent', '{"url": "name", "external_id": "id", "event_time": "now"}')$$, $$drop_trigger('plain', 'tiktok')$$, $$grant_reader('pg_monitor')$$, $$revoke_all('pg_monitor')$$, $$hash_email('a@example.com')$$, $$health()$$, $$explain_code(40002)$$]) call
GROUP BY 1 ORDER BY 1;
SELECT outcome('CALL tiktok.backfill(''pg_class'', ''x'')') AS backfill;
SELECT pg_current_xact_id_if_assigned() IS NULL AS unwritten;
COMMIT;

-- in a parallel worker, where only a wrong label can bring them
CREATE FUNCTION in_worker(call text) RETURNS text LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
DECLARE
	result text;
BEGIN
	EXECUTE 'SELECT tiktok.' || call || '::text' INTO result;
	RETURN (SELECT backend_type FROM pg_stat_activity WHERE pid = pg_backend_pid()) || ': ' || result;
END $$;
SELECT set_config(name, 'on', false) FROM pg_settings WHERE name IN ('force_parallel_mode', 'debug_parallel_query');
SELECT in_worker($$hash_external_id('1')$$);
SELECT in_worker($$track('shop', 'ViewContent', 'x', user_data => '{"external_id": 1}', page => '{"url": "https://example.com/"}')$$);
SELECT in_worker($$retry(1)$$);
SELECT in_worker($$discard('shop')$$);
SELECT in_worker($$forget(external_id => '1')$$);
SELECT in_worker($$withdraw_consent('shop', 'x')$$);
SELECT in_worker($$purge()$$);
SELECT set_config(name, 'off', false) FROM pg_settings WHERE name IN ('force_parallel_mode', 'debug_parallel_query');

-- at commit, and in a subtransaction
CREATE TABLE at_commit (event_id text);
CREATE FUNCTION record() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	PERFORM tiktok.track('shop', 'ViewContent', NEW.event_id, user_data => '{"external_id": 1}', page => '{"url": "https://example.com/"}');
	BEGIN
		PERFORM tiktok.track('shop', 'Contact', NEW.event_id, user_data => '{"external_id": 1}', page => '{"url": "https://example.com/"}');
		RAISE division_by_zero;
	EXCEPTION WHEN division_by_zero THEN
		PERFORM tiktok.withdraw_consent('shop', 'c1');
	END;
	RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER record AFTER INSERT ON at_commit DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION record();
BEGIN;
INSERT INTO at_commit VALUES ('c1'), ('c2');
SELECT count(*) FROM tiktok.event;
COMMIT;
INSERT INTO at_commit VALUES (repeat('x', 200));
SELECT event, event_id, status FROM tiktok.event_status ORDER BY id;

-- trigger functions called as what they are not
SELECT tiktok.track_row();
SELECT tiktok_internal.check_source();
SELECT tiktok_internal.configuration_changed();
CREATE EVENT TRIGGER e ON ddl_command_end EXECUTE FUNCTION tiktok.track_row();
CREATE VIEW in_front AS SELECT * FROM plain;
CREATE FUNCTION fires(kind text, statement text, name text DEFAULT 'tiktok.track_row(''shop'', ''ViewContent'', ''external_id=id'')') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	hint text;
BEGIN
	EXECUTE format('CREATE TRIGGER z %s EXECUTE FUNCTION %s', kind, name);
	EXECUTE statement;
	RAISE 'no error' USING ERRCODE = 'TT000';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
	RETURN concat_ws(' | ', sqlstate, sqlerrm, nullif(hint, ''));
END $$;
SELECT fires('BEFORE INSERT ON plain FOR EACH ROW', 'INSERT INTO plain VALUES (1)');
SELECT fires('AFTER INSERT ON plain FOR EACH STATEMENT', 'INSERT INTO plain VALUES (1)');
SELECT fires('AFTER TRUNCATE ON plain FOR EACH STATEMENT', 'TRUNCATE plain');
SELECT fires('INSTEAD OF INSERT ON in_front FOR EACH ROW', 'INSERT INTO in_front VALUES (1)');
SELECT fires('AFTER INSERT ON plain REFERENCING NEW TABLE AS n FOR EACH STATEMENT', 'INSERT INTO plain VALUES (1)');
SELECT fires('BEFORE INSERT ON plain FOR EACH ROW', 'INSERT INTO plain VALUES (1)', 'tiktok_internal.check_source()');
SELECT fires('BEFORE UPDATE ON plain FOR EACH ROW', 'UPDATE plain SET id = 2', 'tiktok_internal.check_source()') FROM (VALUES (1)) v WHERE outcome('INSERT INTO plain VALUES (1, ''x'')') = 'returns';
SELECT fires('AFTER DELETE ON plain FOR EACH ROW', 'DELETE FROM plain', 'tiktok_internal.check_source()');
SELECT fires('BEFORE TRUNCATE ON plain FOR EACH STATEMENT', 'TRUNCATE plain', 'tiktok_internal.check_source()');
SELECT fires('AFTER UPDATE ON plain FOR EACH ROW', 'UPDATE plain SET id = 2', 'tiktok_internal.configuration_changed()');
SELECT count(*) FROM plain;
-- not on our own tables
SELECT fires(format('AFTER INSERT OR UPDATE ON tiktok.%s FOR EACH ROW', relname), format('UPDATE tiktok.%s SET %I = %2$I', relname,
	(SELECT attname FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0 AND attidentity = '' ORDER BY attnum LIMIT 1))), string_agg(relname, ' ' ORDER BY relname)
FROM pg_class c WHERE relnamespace IN ('tiktok'::regnamespace, 'tiktok_internal'::regnamespace) AND relkind = 'r' AND relname IN ('source', 'event', 'installation', 'delivery') GROUP BY 1 ORDER BY 2;

-- very many events of one transaction, with and without savepoints: memory does not grow with them
TRUNCATE tiktok.event, tiktok.identity, tiktok.delivery;
CREATE TABLE bulk (id int PRIMARY KEY, email text);
CREATE TRIGGER tiktok AFTER INSERT ON bulk FOR EACH ROW EXECUTE FUNCTION tiktok.track_row('store', 'ViewContent', 'email=email');
CREATE FUNCTION memory() RETURNS bigint LANGUAGE sql AS $$ SELECT sum(used_bytes)::bigint FROM pg_backend_memory_contexts $$;
CREATE FUNCTION many(first int, last int, savepoints boolean) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
	FOR n IN first .. last LOOP
		IF savepoints THEN
			BEGIN
				INSERT INTO bulk VALUES (n, n || '@example.com');
			EXCEPTION WHEN division_by_zero THEN
				NULL;
			END;
		ELSE
			PERFORM tiktok.track('store', 'ViewContent', 'n' || n, user_data => '{"email": "a@example.com"}');
		END IF;
	END LOOP;
	RETURN memory();
END $$;
BEGIN;
SELECT many(1, 1000, false) AS before \gset
SELECT many(1001, 50000, false) - :before < 100000 AS functions;
SELECT many(1, 1000, true) AS before \gset
SELECT many(1001, 10000, true) - :before < 1000000 AS savepoints;
INSERT INTO bulk SELECT n, n || '@example.com' FROM generate_series(10001, 60000) n;
SELECT memory() - :before < 1000000 AS statement;
COMMIT;
SELECT count(*) FROM tiktok.event;

-- what is sent does not depend on settings of the session
TRUNCATE tiktok.event, tiktok.identity, tiktok.delivery;
CREATE TABLE values_of_types (id int PRIMARY KEY, a numeric, b float8, c timestamptz, d date, e jsonb, f varchar(20), g inet, h real, i char(8));
CREATE TRIGGER tiktok AFTER INSERT OR UPDATE ON values_of_types FOR EACH ROW EXECUTE FUNCTION tiktok.track_row('shop', 'Purchase', 'event_id=f', 'value=a', 'num_items=id', 'currency=''EUR''',
	'external_id=b', 'event_time=c', 'contents=e', 'ip=g', 'query=d', 'description=h', 'order_id=i', 'url=''https://example.com/\x''');
CREATE FUNCTION sent() RETURNS text LANGUAGE sql AS $$
	INSERT INTO public.values_of_types VALUES (1, 1234567.890, 0.1::float8 + 0.2::float8, date_trunc('hour', now()), '2026-02-01', '[{"price": 1.50, "content_id": "\\x41"}]', 'v', '203.0.113.7/24', 1.1, 'ab\')
	ON CONFLICT (id) DO UPDATE SET id = 1;
	SELECT md5(e.payload || i.user_data::text || e.value || extract(epoch FROM e.event_time) || coalesce(e.notes, '')) FROM tiktok.event e JOIN tiktok.identity i USING (id)
$$;
SELECT sent() AS usual \gset
SELECT payload::jsonb AS payload, user_data, value, notes FROM tiktok.event JOIN tiktok.identity USING (id);
CREATE TABLE settings (setting text);
INSERT INTO settings VALUES ($$DateStyle = 'German, DMY'$$), ($$IntervalStyle = 'sql_standard'$$), ($$TimeZone = 'Pacific/Chatham'$$), ('extra_float_digits = -15'), ('bytea_output = escape'),
	('row_security = off'), ('standard_conforming_strings = ' || CASE WHEN current_setting('server_version_num')::int < 190000 THEN 'off' ELSE 'on' END), ('array_nulls = off'), ('quote_all_identifiers = on'), ('xmloption = document'), ('backslash_quote = off'),
	($$lc_numeric = 'C'$$), ($$lc_monetary = 'C'$$), ($$search_path = ''$$), ('transform_null_equals = on'), ('lock_timeout = 1000'), ('idle_in_transaction_session_timeout = 100000'),
	($$default_transaction_isolation = 'serializable'$$), ('plan_cache_mode = force_generic_plan'), ('enable_indexscan = off'), ('default_toast_compression = pglz'), ('synchronous_commit = off');
CREATE FUNCTION sent_with(setting text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	name text := split_part(setting, ' = ', 1);
	usual text := current_setting(name);
	result text;
BEGIN
	DELETE FROM tiktok.event;
	DELETE FROM tiktok.identity;
	PERFORM set_config(name, trim('''' FROM split_part(setting, ' = ', 2)), true);
	result := public.sent();
	PERFORM set_config(name, usual, true);
	RETURN result;
END $$;
BEGIN;
SELECT count(sent_with(setting)) AS settings, count(*) FILTER (WHERE sent_with(setting) <> :'usual') AS other FROM settings;
ROLLBACK;
-- in a replica no trigger fires, ours like every other
SET session_replication_role = replica;
SELECT sent_with('xmloption = content') IS NULL AS silent;
RESET session_replication_role;

-- an aggregate where a function is meant, an array where a time is: the event is invalid, the row is written
CREATE TABLE odd (id int PRIMARY KEY, email text, at timestamptz[]);
CREATE FUNCTION odd_state(jsonb, odd) RETURNS jsonb LANGUAGE sql AS 'SELECT NULL::jsonb';
CREATE AGGREGATE odd_event (odd) (sfunc = odd_state, stype = jsonb);
CREATE TRIGGER aggregate AFTER INSERT ON odd FOR EACH ROW EXECUTE FUNCTION
	tiktok.track_row('shop', 'ViewContent', 'email=email', 'url=''https://example.com/''', 'using=odd_event');
CREATE TRIGGER "array" AFTER INSERT ON odd FOR EACH ROW EXECUTE FUNCTION
	tiktok.track_row('shop', 'Contact', 'email=email', 'url=''https://example.com/''', 'event_time=at');
INSERT INTO odd VALUES (1, 'a@example.com', ARRAY[now()]);
SELECT event, event_id, status, reason, notes FROM tiktok.event_status WHERE event_id = 'odd-1' ORDER BY event;
DROP TABLE odd CASCADE;

TRUNCATE tiktok.retry, tiktok.event, tiktok.identity, tiktok.delivery, tiktok.pixel_seen;
DELETE FROM tiktok.source;
DROP TABLE values_of_types, settings, bulk, at_commit, plain CASCADE;
DROP VIEW functions;
DROP FUNCTION outcome, in_worker, usual, record, fires, memory, many, sent, sent_with;
