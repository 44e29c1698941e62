/*
 * Checks: what is wrong, in rows with a state, the evidence in numbers, and what to do.
 *
 * The functions run with the rights of whoever asks, on views that show no identifier.
 */

-- What only the owner may look at, as yes or no.
CREATE VIEW tiktok._source_health AS
SELECT s.id AS source_id,
	s.name AS source,
	s.event_source,
	s.enabled,
	c.valid_until AS test_code_until,
	EXISTS (SELECT FROM tiktok.event e WHERE e.source_id = s.id) AS has_events,
	least(s.max_event_age, interval '1000 years') + interval '2 days' AS kept_for
FROM tiktok.source s
LEFT JOIN tiktok.test_code c ON c.source_id = s.id AND c.valid_until > now();
COMMENT ON VIEW tiktok._source_health IS 'one row per source, as tiktok.health needs it';

-- Triggers that record events: the source is the first argument, which ends with a zero byte.
CREATE VIEW tiktok._trigger AS
SELECT t.tgrelid AS relation, t.tgname AS trigger_name, t.tgenabled <> 'D' AS enabled, coalesce(convert_to(s.name, getdatabaseencoding()), a.source_bytes) AS source_bytes
FROM pg_trigger t
CROSS JOIN LATERAL (SELECT substring(t.tgargs FOR position('\x00'::bytea IN t.tgargs) - 1) AS source_bytes) a
LEFT JOIN tiktok.source s ON substring(a.source_bytes FOR 1) = '=' AND s.key IS NOT NULL
WHERE t.tgfoid = 'tiktok.track_row()'::regprocedure AND t.tgparentid = 0 AND t.tgnargs > 0;
COMMENT ON VIEW tiktok._trigger IS 'the triggers that record events, once for each source that they reach';

CREATE FUNCTION tiktok._table_problem(extension oid, owner oid) RETURNS text
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'tte_sql_table_problem';
COMMENT ON FUNCTION tiktok._table_problem(oid, oid) IS 'what somebody did to a table of the extension, and why the worker touches none; NULL: nothing';
-- Publications that give away what only the owner may look at, and the statement that ends it. FOR ALL TABLES knows no exception, so it is made
-- anew of the schemas of other tables. A row in pg_publication_rel excludes a table where FOR ALL TABLES knows exceptions.
CREATE VIEW tiktok._publication AS
SELECT p.pubname AS publication, s.token, s.identifiers,
	EXISTS (SELECT FROM tiktok.access_token) OR EXISTS (SELECT FROM tiktok.reporting_token) AS has_tokens,
	-- that of docs/scale-out.md
	NOT s.token AND NOT p.puballtables AND p.pubinsert AND NOT p.pubupdate AND NOT p.pubdelete AND NOT p.pubtruncate
		AND NOT EXISTS (SELECT FROM pg_publication_namespace n WHERE n.pnpubid = p.oid)
		AND NOT EXISTS (SELECT FROM pg_publication_rel r WHERE r.prpubid = p.oid AND r.prrelid NOT IN ('tiktok.event'::regclass, 'tiktok.identity'::regclass)) AS for_hub,
	CASE WHEN p.puballtables THEN
			format('BEGIN; DROP PUBLICATION %I;%s COMMIT;', p.pubname, (
				SELECT format(' CREATE PUBLICATION %I FOR TABLES IN SCHEMA %s WITH (publish = %L, publish_via_partition_root = %s);', p.pubname,
					string_agg(DISTINCT quote_ident(n.nspname), ', '),
					concat_ws(', ', CASE WHEN p.pubinsert THEN 'insert' END, CASE WHEN p.pubupdate THEN 'update' END,
						CASE WHEN p.pubdelete THEN 'delete' END, CASE WHEN p.pubtruncate THEN 'truncate' END), p.pubviaroot::text)
				FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
				WHERE c.relkind IN ('r', 'p') AND c.relpersistence = 'p' AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'tiktok')
				HAVING count(*) > 0))
		ELSE concat_ws(' ', CASE WHEN s.by_schema THEN format('ALTER PUBLICATION %I DROP TABLES IN SCHEMA tiktok;', p.pubname) END,
			CASE WHEN s.named IS NOT NULL THEN format('ALTER PUBLICATION %I DROP TABLE %s;', p.pubname, s.named) END)
	END AS remedy
FROM pg_publication p,
	LATERAL (
		SELECT bool_or(a.attname = 'token') AS token, bool_or(a.attname = 'user_data') AS identifiers, bool_or(n.oid IS NOT NULL) AS by_schema,
			string_agg(format('tiktok.%I', k.relname), ', ' ORDER BY a.attname, k.relname) FILTER (WHERE r.oid IS NOT NULL) AS named
		FROM pg_attribute a
		JOIN pg_class k ON k.oid = a.attrelid
		LEFT JOIN pg_publication_rel r ON r.prpubid = p.oid AND r.prrelid = a.attrelid
		LEFT JOIN pg_publication_namespace n ON n.pnpubid = p.oid AND n.pnnspid = 'tiktok'::regnamespace
		WHERE (a.attrelid, a.attname) IN (('tiktok.access_token'::regclass, 'token'), ('tiktok.reporting_token'::regclass, 'token'), ('tiktok.identity'::regclass, 'user_data'))
		AND CASE WHEN p.puballtables THEN r.oid IS NULL
			ELSE n.oid IS NOT NULL OR r.oid IS NOT NULL AND (r.prattrs IS NULL OR a.attnum = ANY (r.prattrs)) END) s
WHERE s.token OR s.identifiers;
COMMENT ON VIEW tiktok._publication IS 'publications of access tokens or identifiers, as tiktok.health needs it';

CREATE FUNCTION tiktok.health(OUT check_name text, OUT state text, OUT detail text, OUT hint text)
RETURNS SETOF record LANGUAGE sql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp SET jit = off AS $$
	WITH server AS MATERIALIZED (
		SELECT EXISTS (SELECT FROM pg_settings WHERE name = 'tiktok_events.max_workers' AND context = 'postmaster') AS preloaded,
			current_setting('tiktok_events.enabled', true)::bool AS enabled,
			current_setting('tiktok_events.endpoint', true) AS endpoint,
			current_setting('tiktok_events.retention', true)::interval AS retention,
			pg_is_in_recovery() AS standby
	), day AS MATERIALIZED (
		SELECT f.source, f.status, coalesce(f.reason, '') AS reason, count(*) AS events,
			count(*) FILTER (WHERE f.value_problem = 'currency_unknown') AS without_value,
			count(*) FILTER (WHERE f.consent_unreadable) AS unreadable
		FROM tiktok._real_event f
		WHERE f.hour >= now() - interval '24 hours'
		GROUP BY 1, 2, 3
	), backlog AS MATERIALIZED (
		SELECT * FROM tiktok.backlog
	), value_day AS (
		SELECT d.source, sum(d.without_value) AS without_value, sum(d.unreadable) AS unreadable
		FROM day d
		GROUP BY d.source
	), source_events AS (
		SELECT d.source, sum(d.events) AS events,
			coalesce(sum(d.events) FILTER (WHERE d.status IN ('rejected', 'uncertain')), 0) AS rejected,
			coalesce(sum(d.events) FILTER (WHERE d.status IN ('delivered', 'rejected', 'uncertain')), 0) AS sent,
			coalesce(sum(d.events) FILTER (WHERE d.status = 'invalid'), 0) AS invalid
		FROM day d
		GROUP BY d.source
	)
	SELECT 'preload', CASE WHEN preloaded THEN 'ok' ELSE 'fail' END,
		CASE WHEN preloaded THEN 'tiktok_events is preloaded' ELSE 'tiktok_events is not preloaded: events are recorded, nothing is sent' END,
		CASE WHEN NOT preloaded THEN 'Add tiktok_events to shared_preload_libraries and restart the server.' END
	FROM server
	UNION ALL
	SELECT 'worker',
		CASE WHEN s.standby THEN 'ok' WHEN w.pid IS NULL OR w.heartbeat < clock_timestamp() - interval '1 minute' THEN 'fail'
			WHEN w.state IN ('refused', 'version_mismatch') THEN 'fail' WHEN w.state = 'failed' THEN 'warn' ELSE 'ok' END,
		CASE WHEN s.standby THEN 'a standby sends nothing'
			WHEN w.pid IS NULL THEN 'no background worker serves this database'
			ELSE format('process %s is %s, last seen %s ago%s', w.pid, w.state,
				date_trunc('second', greatest(clock_timestamp() - w.heartbeat, interval '0')), '; last error: ' || w.last_error) END,
		CASE WHEN s.standby THEN NULL
			WHEN w.pid IS NULL THEN 'Check tiktok_events.databases, tiktok_events.max_workers, max_worker_processes and the server log.'
			WHEN w.heartbeat < clock_timestamp() - interval '1 minute' THEN 'Look at the process in pg_stat_activity; pg_terminate_backend() starts it anew.'
			WHEN w.state = 'refused' THEN 'Undo what was done to that table; the worker then goes on by itself.'
			WHEN w.state = 'version_mismatch' THEN 'Run ALTER EXTENSION tiktok_events UPDATE, or restart the server with the library of that version.'
			WHEN w.state = 'failed' THEN 'It recovers by itself if it can; the server log has the error.' END
	FROM server s
	LEFT JOIN tiktok.worker_status w ON w.database = current_database()
	WHERE s.preloaded
	UNION ALL
	SELECT 'enabled', CASE WHEN enabled THEN 'ok' ELSE 'warn' END, format('tiktok_events.enabled is %s', CASE WHEN enabled THEN 'on' ELSE 'off' END),
		CASE WHEN NOT enabled THEN 'Events are recorded and wait; set it to on and reload the configuration.' END
	FROM server
	WHERE enabled IS NOT NULL
	UNION ALL
	SELECT 'endpoint', 'warn', 'events are not sent to TikTok but to tiktok_events.endpoint', 'Remove the setting outside of tests.'
	FROM server
	WHERE endpoint NOT LIKE 'https://business-api.tiktok.com/%'
	UNION ALL
	SELECT 'sources', 'warn', 'there is no event source', 'Insert a row into tiktok.source.'
	WHERE NOT EXISTS (SELECT FROM tiktok._source_health)
	UNION ALL
	SELECT 'source', CASE WHEN b.state = 'sending' THEN 'ok' WHEN b.state IN ('disabled', 'paused') THEN 'warn' ELSE 'fail' END,
		format('"%s" is %s%s%s', b.source, CASE WHEN b.state = 'open' THEN 'not sent to' WHEN b.state = 'no_token' THEN 'without a token' ELSE b.state END,
			' since ' || date_trunc('second', b.since), ': ' || nullif(b.reason, '')),
		CASE
			WHEN b.state = 'disabled' THEN 'Set enabled to true in tiktok.source.'
			WHEN b.state = 'paused' THEN 'Call tiktok.resume().'
			WHEN b.state = 'no_token' THEN CASE WHEN b.reason LIKE '%file%' THEN 'Mend the file in tiktok_events.access_token_dir.' ELSE 'Call tiktok.set_access_token().' END
			WHEN b.state = 'copied' THEN 'If this database is the one to send, call tiktok.confirm_database(); a copy should send nothing.'
			WHEN b.state = 'open' AND b.reason LIKE 'blocked:%' THEN
				'Something in front of TikTok refuses the requests: look at proxy, firewall and tiktok_events.endpoint first, then at the token.'
			WHEN b.state = 'open' THEN format('It tries again %s. tiktok.explain_code() tells what a code means; tiktok.resume() tries at once.',
				coalesce('at ' || date_trunc('second', b.next_attempt_at), 'by itself'))
		END
	FROM backlog b
	UNION ALL
	SELECT 'kind', 'warn', format('TikTok refuses events "%s" of "%s": %s wait and are sent one by one', k.event, k.source, k.waiting),
		format('Look at SELECT code, message FROM tiktok.event_status WHERE source = %L AND event = %L AND status = ''rejected'';', k.source, k.event)
	FROM tiktok.backlog_kind k
	UNION ALL
	SELECT 'unused', 'warn', format('"%s" has no event', h.source),
		CASE WHEN t.n > 0 THEN format('There are triggers (%s): are they enabled, and do their conditions hold?', t.n)
			ELSE 'Create a trigger with tiktok.track_row, or call tiktok.track().' END
	FROM tiktok._source_health h,
		LATERAL (SELECT count(*) AS n FROM tiktok._trigger t WHERE t.source_bytes = convert_to(h.source, getdatabaseencoding())) t
	WHERE NOT h.has_events
	UNION ALL
	SELECT 'backlog',
		CASE WHEN b.oldest_enqueued_at < now() - interval '1 hour' THEN 'fail' WHEN b.oldest_enqueued_at < now() - interval '5 minutes' THEN 'warn' ELSE 'ok' END,
		format('"%s": %s pending, %s retrying%s', b.source, b.pending, b.retrying,
			CASE WHEN b.oldest_enqueued_at IS NOT NULL THEN ', the oldest for ' || date_trunc('second', greatest(now() - b.oldest_enqueued_at, interval '0')) END),
		CASE WHEN b.oldest_enqueued_at < now() - interval '5 minutes' THEN
			CASE WHEN b.state = 'sending' THEN 'Look at tiktok.request_log and tiktok.worker_status.' ELSE 'They wait because the source is not sent to.' END END
	FROM backlog b
	UNION ALL
	SELECT 'rejected', CASE WHEN f.rejected > 0.1 * f.sent THEN 'fail' WHEN f.rejected > 0.01 * f.sent THEN 'warn' ELSE 'ok' END,
		format('"%s": %s of %s events sent in 24 hours rejected or uncertain%s', f.source, f.rejected, f.sent,
			', mostly ' || (SELECT d.reason FROM day d WHERE d.source = f.source AND d.status IN ('rejected', 'uncertain') ORDER BY d.events DESC, d.reason LIMIT 1)),
		CASE WHEN f.rejected > 0.01 * f.sent THEN 'Look at reason, code and message in tiktok.event_status; tiktok.retry() sends them again.' END
	FROM source_events f
	WHERE f.source IS NOT NULL AND f.sent > 0
	UNION ALL
	SELECT 'invalid', CASE WHEN f.invalid > 0.1 * f.events THEN 'fail' WHEN f.invalid > 0.01 * f.events THEN 'warn' ELSE 'ok' END,
		format('"%s": %s of %s events recorded in 24 hours invalid%s', f.source, f.invalid, f.events,
			', mostly ' || (SELECT d.reason FROM day d WHERE d.source = f.source AND d.status = 'invalid' ORDER BY d.events DESC, d.reason LIMIT 1)),
		CASE WHEN f.invalid > 0.01 * f.events THEN 'Look at reason and notes in tiktok.event_status, and mend the data or the trigger.' END
	FROM source_events f
	WHERE f.source IS NOT NULL
	UNION ALL
	SELECT 'currency', 'warn', format('"%s": %s of %s events recorded in 24 hours go without value, because TikTok does not take their currency', v.source, v.without_value, f.events),
		'Convert to a currency of TikTok''s list, or set currency_policy in tiktok.source; tiktok.value_problems names the events.'
	FROM value_day v JOIN source_events f ON f.source = v.source
	WHERE v.without_value > 0.01 * f.events
	UNION ALL
	SELECT 'consent_words', 'warn', format('"%s": the consent of %s of %s events recorded in 24 hours is no word that is known, and counts as no', v.source, v.unreadable, f.events),
		'Map a boolean, or words such as yes and no; notes in tiktok.event_status say consent_unreadable.'
	FROM value_day v JOIN source_events f ON f.source = v.source
	WHERE v.unreadable > 0
	UNION ALL
	SELECT 'source_gone', 'fail', format('%s events recorded in 24 hours for a source that does not exist', f.events),
		'Triggers name a source that was dropped or renamed; the notes in tiktok.event_status say which.'
	FROM source_events f
	WHERE f.source IS NULL
	UNION ALL
	SELECT 'test_code', 'warn', format('"%s" has a test code until %s', h.source, date_trunc('second', h.test_code_until)),
		'Only sessions with tiktok_events.test_event on use it; tiktok.set_test_code(source, NULL) ends it.'
	FROM tiktok._source_health h
	WHERE h.test_code_until IS NOT NULL
	UNION ALL
	SELECT 'clock', CASE WHEN q.started_at > clock_timestamp() + interval '1 minute' THEN 'fail' ELSE 'ok' END,
		CASE WHEN q.started_at > clock_timestamp() + interval '1 minute' THEN format('the last request was sent %s in the future', date_trunc('second', q.started_at - clock_timestamp()))
			ELSE 'the last request lies in the past' END,
		CASE WHEN q.started_at > clock_timestamp() + interval '1 minute' THEN 'The server''s clock was set back: times and ages of events are wrong.' END
	FROM (SELECT started_at FROM tiktok.request_log ORDER BY id DESC LIMIT 1) q
	UNION ALL
	SELECT 'conflict', 'warn', format('"%s": %s events had the key of another event, since %s', c.source, c.conflict, date_trunc('second', c.since)),
		'The first one stays. Give each order and lead an event_id of its own.'
	FROM tiktok.enqueue_counters c
	WHERE c.conflict > 0
	UNION ALL
	SELECT 'query', 'warn', format('trigger "%s" of %s: its query had no row, or its function returned NULL, for %s of %s rows, which made no event', c.trigger_name, c.relation, c.no_row, c.queried),
		'Join what may be missing by LEFT JOIN, and fire the trigger after everything is written. Leave out by the condition what is not meant.'
	FROM tiktok.query_counters c
	WHERE c.no_row > 0.01 * c.queried
	UNION ALL
	SELECT 'unmapped_source', 'warn', format('%s: %s rows named no source, among them %s', u.relation, sum(u.no_source), coalesce(string_agg(u.key, ', ' ORDER BY u.key), 'none with a key')),
		'Set tiktok.source.key to what the rows have, or leave them out by the trigger''s condition.'
	FROM tiktok.unmapped_source u
	GROUP BY u.relation
	UNION ALL
	SELECT 'application_clock', 'warn', format('"%s": %s events of 24 hours came from the future', d.source, d.events),
		'The clock of the application is ahead, or seconds and milliseconds are mixed up.'
	FROM day d
	WHERE d.status = 'invalid' AND d.reason = 'future'
	UNION ALL
	SELECT 'retention', CASE WHEN o.late THEN 'warn' ELSE 'ok' END,
		format('the oldest event is %s days old, tiktok_events.retention is %s', extract(day FROM now() - o.enqueued_at), o.retention),
		CASE WHEN o.late THEN 'Call tiktok.purge(), and look for what keeps the worker from it.' END
	FROM (
		SELECT s.retention, f.enqueued_at, f.enqueued_at < now() - greatest(s.retention, k.kept_for) - interval '2 days' AS late
		FROM server s, (SELECT enqueued_at FROM tiktok._real_event ORDER BY id LIMIT 1) f, (SELECT max(kept_for) AS kept_for FROM tiktok._source_health) k
		WHERE s.retention > '0') o
	UNION ALL
	SELECT 'retention', 'warn', format('"%s": events are kept for %s, longer than tiktok_events.retention, which is %s', h.source, h.kept_for, s.retention),
		'They stay two days longer than TikTok would take them. Set tiktok_events.retention to at least that, or a shorter max_event_age.'
	FROM server s JOIN tiktok._source_health h ON h.kept_for > s.retention
	WHERE s.retention > '0'
	UNION ALL
	SELECT 'autovacuum', CASE WHEN current_setting('autovacuum')::bool AND a.late IS NULL THEN 'ok' ELSE 'warn' END,
		CASE WHEN NOT current_setting('autovacuum')::bool THEN 'autovacuum is off' WHEN a.late IS NULL THEN 'no table has many dead rows'
			ELSE 'dead rows in ' || a.late END,
		CASE WHEN NOT current_setting('autovacuum')::bool THEN 'Turn it on: tables of a queue need it.'
			WHEN a.late IS NOT NULL THEN 'Look for transactions that have been open for long, and give autovacuum more to spend.' END
	FROM (SELECT string_agg(format('tiktok.%s (%s)', t.relname, t.n_dead_tup), ', ' ORDER BY t.relname) AS late
		FROM pg_stat_user_tables t
		WHERE t.schemaname = 'tiktok' AND t.n_dead_tup > 100000 + 0.4 * t.n_live_tup) a
	UNION ALL
	SELECT 'partitions', 'fail', format('%s cannot make partitions of %s: a new one gets a copy of the trigger, which its owner may not use', o.owner, o.tables),
		format('Rows for which there is no partition fail. As a superuser: SELECT tiktok.grant_owner(%L);', o.owner)
	FROM (
		SELECT c.relowner::regrole::text AS owner, string_agg(DISTINCT c.oid::regclass::text, ', ') AS tables
		FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
		WHERE t.tgfoid = 'tiktok.track_row()'::regprocedure AND c.relkind = 'p' AND NOT has_function_privilege(c.relowner, t.tgfoid, 'EXECUTE')
		GROUP BY 1) o
	UNION ALL
	SELECT 'foreign_objects', CASE WHEN o.problem IS NOT NULL THEN 'fail' WHEN o.triggers IS NOT NULL THEN 'warn' ELSE 'ok' END,
		coalesce(o.problem, 'not of the extension: ' || o.triggers, 'nothing of others hangs on the extension''s tables'),
		CASE WHEN o.problem IS NOT NULL THEN 'Undo it: until then the worker touches nothing.'
			WHEN o.triggers IS NOT NULL THEN 'Drop them: they may change or stop what is recorded, and run with the rights of the extension''s owner where its functions write.' END
	FROM (
		SELECT tiktok._table_problem(x.oid, x.extowner) AS problem, (
			SELECT string_agg(format('trigger %s on %s', t.tgname, c.relname), ', ' ORDER BY t.tgname, c.relname)
			FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
			WHERE NOT t.tgisinternal AND c.relnamespace = 'tiktok'::regnamespace
			AND (t.tgfoid = 'tiktok.track_row()'::regprocedure OR NOT EXISTS (
				SELECT FROM pg_depend d
				WHERE d.classid = 'pg_proc'::regclass AND d.objid = t.tgfoid AND d.refclassid = 'pg_extension'::regclass AND d.refobjid = x.oid))) AS triggers
		FROM pg_extension x
		WHERE x.extname = 'tiktok_events') o
	UNION ALL
	SELECT 'publication', CASE WHEN p.token AND p.has_tokens THEN 'fail' WHEN p.for_hub THEN 'ok' ELSE 'warn' END,
		format('publication "%s" publishes %s', p.publication,
			concat_ws(' and ', CASE WHEN p.identifiers THEN 'identifiers' END, CASE WHEN p.token THEN 'access tokens' END)
			|| CASE WHEN p.for_hub THEN ' as to a hub: by name, with events alone, and as they are recorded' WHEN p.token AND NOT p.has_tokens THEN ', of which none is stored' ELSE '' END),
		CASE WHEN NOT p.for_hub THEN 'Whoever reads it gets them in clear.'
			|| CASE WHEN p.token AND p.has_tokens THEN ' Make a new token afterwards.' ELSE '' END
			|| ' If that is not meant: ' || p.remedy END
	FROM tiktok._publication p
	UNION ALL
	SELECT 'source_of_truth', 'warn', format('relation "%s" of "%s" %s', t.relation, t.source, t.problem),
		'Correct tiktok.source_of_truth, or the relation: it needs the columns event_id, value, currency and at.'
	FROM tiktok._truth_relation t
	WHERE t.problem IS NOT NULL
$$;
COMMENT ON FUNCTION tiktok.health() IS
'what keeps events from TikTok. Rows of checks by source begin their detail with its name in quotes.
state: ok; warn: look at it; fail: events are not sent, or lost to the measurement.';

CREATE FUNCTION tiktok._percent(part numeric, whole numeric) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
	SELECT CASE WHEN whole > 0 THEN round(100 * part / whole, 1) ELSE 0 END || ' %'
$$;
COMMENT ON FUNCTION tiktok._percent(numeric, numeric) IS 'a share as text';

CREATE FUNCTION tiktok._same_event(a text, b text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
	SELECT lower(tiktok._current_name(a)) = lower(tiktok._current_name(b))
$$;
COMMENT ON FUNCTION tiktok._same_event(text, text) IS 'an old and a new name, or two spellings, of one event';

CREATE FUNCTION tiktok.failure_modes(source text, OUT mode text, OUT state text, OUT evidence text, OUT hint text)
RETURNS SETOF record LANGUAGE sql STABLE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp SET jit = off AS $$
	WITH me AS MATERIALIZED (
		SELECT s.* FROM (SELECT tiktok._source_id(failure_modes.source) AS id OFFSET 0) i JOIN tiktok._source_health s ON s.source_id = i.id
	), week AS MATERIALIZED (
		SELECT f.event, f.status, f.reason, f.fit, f.is_sale, f.value_problem, f.at - f.event_time AS lateness,
			f.enqueued_at - f.event_time AS recorded_after, f.at - f.enqueued_at AS sent_after
		FROM tiktok._real_event f
		WHERE f.source_id = (SELECT source_id FROM me) AND f.hour >= now() - interval '7 days'
	), sent_name AS MATERIALIZED (
		SELECT DISTINCT w.event FROM week w WHERE w.fit
	), pixel AS MATERIALIZED (
		SELECT m.event, m.other_event, m.id IS NOT NULL AS matched, m.status, count(*) AS events
		FROM tiktok._pixel_match m
		WHERE m.source_id = (SELECT source_id FROM me) AND m.hour >= now() - interval '7 days'
		GROUP BY 1, 2, 3, 4
	), ids AS (
		SELECT coalesce(sum(p.events), 0) AS seen,
			coalesce(sum(p.events) FILTER (WHERE NOT p.matched AND p.other_event IS NULL), 0) AS strange
		FROM pixel p
		WHERE p.event IN (SELECT n.event FROM sent_name n) OR p.other_event IS NOT NULL
	), late AS (
		SELECT count(*) FILTER (WHERE w.status = 'delivered') AS delivered,
			count(*) FILTER (WHERE w.late) AS late,
			count(*) FILTER (WHERE w.lost) AS lost,
			count(*) FILTER (WHERE w.status = 'expired') AS expired,
			percentile_disc(0.5) WITHIN GROUP (ORDER BY CASE WHEN w.late THEN w.recorded_after END) AS recorded_after,
			percentile_disc(0.5) WITHIN GROUP (ORDER BY CASE WHEN w.late THEN w.sent_after END) AS sent_after
		FROM (
			SELECT w.*,
				w.status = 'expired' OR w.status = 'delivered' AND w.lateness >= interval '48 hours' AS lost,
				w.status = 'expired' OR w.status = 'delivered' AND w.lateness >= CASE WHEN me.event_source = 'web' THEN interval '5 minutes' ELSE interval '48 hours' END AS late
			FROM week w, me) w
	), pair AS (
		-- Pixel events under the event_id of another event
		SELECT p.event AS pixel, p.other_event AS server, sum(p.events) AS events, tiktok._same_event(p.event, p.other_event) AS same
		FROM pixel p
		WHERE p.other_event IS NOT NULL
		GROUP BY 1, 2
		UNION ALL
		-- another name of an event that is sent, whatever its event_id
		SELECT o.event, n.event, sum(o.events), true
		FROM (SELECT p.event, sum(p.events) AS events FROM pixel p WHERE p.other_event IS NULL GROUP BY 1
			UNION ALL
			SELECT c.event, sum(c.browser) FROM tiktok.platform_count c
			WHERE c.source = failure_modes.source AND c.day >= (now() AT TIME ZONE 'UTC')::date - 7 AND c.browser > 0
			GROUP BY 1) o
		JOIN sent_name n ON n.event <> o.event AND tiktok._same_event(o.event, n.event)
		WHERE o.event NOT IN (SELECT x.event FROM sent_name x)
		GROUP BY 1, 2
	), names AS (
		SELECT coalesce(bool_or(p.same), false) AS same,
			string_agg(format('the Pixel fires %s (%s) where %s is sent', p.pixel, p.events, p.server), '; ' ORDER BY p.pixel, p.server) AS pairs,
			(SELECT count(*) FROM week w WHERE w.status = 'invalid' AND w.reason = 'event_name') AS misnamed
		FROM pair p
	), money AS (
		SELECT coalesce(sum(m.good), 0) AS good, coalesce(sum(m.problems), 0) AS problems, coalesce(sum(m.invalid), 0) AS invalid,
			string_agg(format('%s %s', m.problems, m.value_problem), ', ' ORDER BY m.problems DESC, m.value_problem) FILTER (WHERE m.problems > 0) AS kinds
		FROM (SELECT w.value_problem,
				count(*) FILTER (WHERE w.fit AND w.is_sale) AS good,
				count(*) FILTER (WHERE w.value_problem <> 'value_zero') AS problems,
				count(*) FILTER (WHERE w.value_problem IS NOT NULL AND NOT w.fit) AS invalid
			FROM week w
			GROUP BY 1) m
	), stage AS (
		SELECT count(c.event) AS mapped,
			count(c.event) FILTER (WHERE c.delivered > 0) AS delivered,
			coalesce(sum(c.events), 0) AS events,
			coalesce(sum(c.lead_id_missing), 0) AS lead_id_missing,
			coalesce(sum(c.no_mapping), 0) AS no_mapping,
			string_agg(c.event, ', ' ORDER BY c.position, c.event) FILTER (WHERE c.delivered = 0) AS never
		FROM tiktok.stage_coverage c
		WHERE c.source = failure_modes.source AND (SELECT event_source FROM me) = 'crm'
	), crm AS (
		SELECT (SELECT count(*) FROM week w WHERE w.fit AND tiktok._current_name(w.event) = 'Lead') AS leads,
			(SELECT count(*) FROM tiktok._source_health h WHERE h.event_source = 'crm' AND h.enabled) AS sources
	), consent AS (
		SELECT (SELECT count(*) FROM week w WHERE w.status = 'suppressed') AS suppressed,
			(SELECT count(*) FROM week) AS events,
			(SELECT coalesce(sum(p.events), 0) FROM pixel p WHERE p.status = 'suppressed') AS fired
	), volume AS (
		SELECT count(*) AS names,
			coalesce(sum(v.delivered), 0) AS delivered,
			string_agg(format('%s %s of %s', v.event, v.delivered, v.floor), ', ' ORDER BY v.event) FILTER (WHERE v.low) AS low,
			coalesce(bool_or(v.low AND v.delivered = 0), false) AS stopped
		FROM (
			SELECT v.*, NOT v.enough AND (v.delivered_before > 0
				OR EXISTS (SELECT FROM tiktok.weekly_floor w WHERE w.source = v.source AND w.event = v.event)) AS low
			FROM tiktok.volume_floor v
			WHERE v.source = failure_modes.source) v
	), judged (mode, state, evidence, hint) AS (
		SELECT 'different_ids',
			CASE WHEN i.strange > 0.5 * i.seen THEN 'fail'
				WHEN i.strange > 0.1 * i.seen THEN 'warn' ELSE 'ok' END,
			CASE WHEN i.seen > 0 THEN format('%s of %s events of the Pixel (%s) have no event of the same event_id', i.strange, i.seen, tiktok._percent(i.strange, i.seen))
				ELSE 'nothing is known of the Pixel''s events' END,
			'Give the Pixel the event_id that is recorded here: the key of the order, not one of its own.'
		FROM me, ids i
		UNION ALL
		SELECT 'late_events',
			CASE WHEN l.lost > 0.05 * (l.delivered + l.expired) OR l.late > 0.25 * (l.delivered + l.expired) THEN 'fail'
				WHEN l.lost > 0.005 * (l.delivered + l.expired) OR l.late > 0.05 * (l.delivered + l.expired) THEN 'warn' ELSE 'ok' END,
			format('%s of %s events reached TikTok late, %s of them after 48 hours or never%s', l.late, l.delivered + l.expired, l.lost,
				CASE WHEN l.late > 0 THEN format('; half were recorded %s after the event, half sent %s after that',
					date_trunc('second', l.recorded_after), date_trunc('second', l.sent_after)) END),
			CASE WHEN l.recorded_after > l.sent_after THEN 'They are recorded late: put the trigger on the change that makes the event, and check event_time.'
				ELSE 'They are sent late: see tiktok.health() and tiktok.backlog.' END
		FROM me, late l
		UNION ALL
		SELECT 'names_differ', CASE WHEN n.same THEN 'fail' WHEN n.pairs IS NOT NULL OR n.misnamed > 0 THEN 'warn' ELSE 'ok' END,
			concat_ws('; ', coalesce(n.pairs, 'no event of the Pixel has another name'), CASE WHEN n.misnamed > 0 THEN format('%s events had a name that TikTok does not take', n.misnamed) END),
			'Fire the name in the Pixel that is sent from here: TikTok deduplicates by name and event_id.'
		FROM me, names n
		UNION ALL
		SELECT 'value_or_currency_missing',
			CASE WHEN m.problems > 0.1 * (m.good + m.invalid) THEN 'fail' WHEN m.problems > 0.01 * (m.good + m.invalid) THEN 'warn' ELSE 'ok' END,
			format('%s of %s events of sales (%s) lack a usable value or currency%s', m.problems, m.good + m.invalid, tiktok._percent(m.problems, m.good + m.invalid), ': ' || m.kinds),
			'See tiktok.value_problems; map value and currency in the trigger.'
		FROM me, money m
		UNION ALL
		SELECT 'crm_quality_not_passed_back',
			CASE WHEN me.event_source <> 'crm' THEN CASE WHEN c.leads > 0 AND c.sources = 0 THEN 'warn' ELSE 'ok' END
				WHEN s.delivered = 0 OR s.mapped > 1 AND s.delivered = 1 THEN 'fail'
				WHEN s.mapped < 2 OR s.never IS NOT NULL OR s.lead_id_missing > 0.05 * s.events THEN 'warn' ELSE 'ok' END,
			CASE WHEN me.event_source <> 'crm' THEN format('%s leads in 7 days, %s CRM sources enabled', c.leads, c.sources)
				ELSE format('%s of %s stages reached TikTok in 28 days%s; %s of %s events lacked a lead_id%s', s.delivered, s.mapped, ', never ' || s.never, s.lead_id_missing, s.events,
					CASE WHEN s.no_mapping > 0 THEN format('; %s rows had a stage that is not mapped', s.no_mapping) END) END,
			CASE WHEN me.event_source <> 'crm' THEN 'Report what becomes of the leads: a source of kind crm, and a trigger on the change of their stage.'
				WHEN s.lead_id_missing > 0.05 * s.events THEN 'Keep TikTok''s lead_id with the lead and map it.'
				ELSE 'Map every stage of the funnel in tiktok.lead_stage, and put the trigger on the column of the stage.' END
		FROM me, stage s, crm c
		UNION ALL
		SELECT 'consent_inconsistent',
			CASE WHEN c.fired > 0 OR c.suppressed > 0 AND c.suppressed = c.events THEN 'fail' WHEN c.suppressed > 0.9 * c.events THEN 'warn' ELSE 'ok' END,
			format('%s of %s events (%s) were suppressed for want of consent%s', c.suppressed, c.events, tiktok._percent(c.suppressed, c.events),
				CASE WHEN c.fired > 0 THEN format('; the Pixel fired %s of them', c.fired) END),
			CASE WHEN c.fired > 0 THEN 'Let one decision of the user rule both sides: the Pixel''s consent calls and the consent of the event.'
				ELSE 'Check what the target consent is mapped to: hardly any event has it.' END
		FROM me, consent c
		UNION ALL
		SELECT 'volume_too_low',
			CASE WHEN v.stopped THEN 'fail' WHEN v.low IS NOT NULL OR v.names = 0 THEN 'warn' ELSE 'ok' END,
			coalesce('a week: ' || v.low, format('%s events of %s names delivered in 7 days', v.delivered, v.names)),
			CASE WHEN v.stopped OR v.names = 0 THEN 'Nothing comes any more: see tiktok.health().'
				ELSE 'Optimise for an event that happens more often, or set another floor in tiktok.weekly_floor.' END
		FROM me, volume v
	)
	SELECT j.mode, j.state, j.evidence, CASE WHEN j.state <> 'ok' THEN j.hint END FROM judged j
$$;
COMMENT ON FUNCTION tiktok.failure_modes(text) IS
'the seven ways in which measurement by Pixel and Events API goes wrong, judged by the last 7 days (stages of leads: 28).
state: ok; warn: some events suffer; fail: many do, or all.';

CREATE FUNCTION tiktok.checklist(source text, OUT item int, OUT what text, OUT state text, OUT evidence text, OUT hint text)
RETURNS SETOF record LANGUAGE sql STABLE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp SET jit = off AS $$
	WITH me AS MATERIALIZED (
		SELECT s.* FROM (SELECT tiktok._source_id(checklist.source) AS id OFFSET 0) i JOIN tiktok._source_health s ON s.source_id = i.id
	), week AS MATERIALIZED (
		SELECT f.hour >= now() - interval '7 days' AS this, count(*) AS events, count(*) FILTER (WHERE f.fit) AS fit,
			count(*) FILTER (WHERE f.status = 'delivered') AS delivered,
			count(*) FILTER (WHERE f.fit AND f.match_keys & (SELECT bit_or(1 << k.bit) FROM tiktok._match_key k WHERE k.is_strong) <> 0) AS strong
		FROM tiktok._real_event f
		WHERE f.source_id = (SELECT source_id FROM me) AND f.hour >= now() - interval '14 days'
		GROUP BY 1
	), now_and_before AS MATERIALIZED (
		SELECT n.*, b.events AS events_before, b.delivered AS delivered_before
		FROM (SELECT coalesce(sum(w.events), 0) AS events, coalesce(sum(w.fit), 0) AS fit, coalesce(sum(w.delivered), 0) AS delivered,
				coalesce(sum(w.strong), 0) AS strong FROM week w WHERE w.this) n,
			(SELECT coalesce(sum(w.events), 0) AS events, coalesce(sum(w.delivered), 0) AS delivered FROM week w WHERE NOT w.this) b
	), mode AS MATERIALIZED (
		SELECT * FROM tiktok.failure_modes(checklist.source)
	), pixel AS MATERIALIZED (
		SELECT coalesce(sum(o.browser), 0) AS browser, coalesce(sum(o.matched), 0) AS matched, coalesce(sum(o.over_48_hours), 0) AS over_48_hours
		FROM tiktok.dedup_overlap o
		WHERE o.source = checklist.source AND o.hour >= now() - interval '7 days'
	), platform AS MATERIALIZED (
		SELECT coalesce(sum(c.browser), 0) AS browser
		FROM tiktok.platform_count c
		WHERE c.source = checklist.source AND c.day >= (now() AT TIME ZONE 'UTC')::date - 7
	), truth AS MATERIALIZED (
		SELECT t.relations, t.readable,
			CASE WHEN t.relations > 0 AND t.readable THEN (
				SELECT ARRAY[coalesce(sum(r.your_rows), 0), coalesce(sum(r.missing), 0), coalesce(sum(r.not_accepted), 0), coalesce(sum(r.delivered), 0)]
				FROM tiktok.reconcile(checklist.source) r
				WHERE r.your_rows IS NOT NULL) END AS counts
		FROM (SELECT count(*) AS relations,
				bool_and(CASE WHEN r.problem IS NULL THEN tiktok._truth_is_readable(r.oid) ELSE false END) AS readable
			FROM tiktok._truth_relation r JOIN tiktok._sibling s ON s.sibling = r.source
			WHERE s.source = checklist.source) t
	), shift AS (
		SELECT string_agg(format('%s from %s to %s', s.match_key, tiktok._percent(s.before, 1), tiktok._percent(s.this, 1)), ', ' ORDER BY s.match_key)
			FILTER (WHERE s.before - s.this > 0.1) AS keys
		FROM (SELECT m.match_key,
				sum(m.with_key) FILTER (WHERE m.hour >= now() - interval '7 days') / nullif(sum(m.events) FILTER (WHERE m.hour >= now() - interval '7 days'), 0) AS this,
				sum(m.with_key) FILTER (WHERE m.hour < now() - interval '7 days') / nullif(sum(m.events) FILTER (WHERE m.hour < now() - interval '7 days'), 0) AS before
			FROM tiktok.match_key_coverage m
			WHERE m.source = checklist.source AND m.hour >= now() - interval '14 days'
			GROUP BY m.match_key) s
	), tests AS (
		SELECT count(*) AS requests, max(q.started_at) AS last
		FROM tiktok.request_log q
		WHERE q.source = checklist.source AND q.is_test AND q.outcome = 'delivered'
	), judged (item, what, state, evidence, hint) AS (
		SELECT 1, 'install the Pixel',
			CASE WHEN me.event_source <> 'web' OR p.browser > 0 OR c.browser > 0 THEN 'ok' ELSE 'warn' END,
			CASE WHEN me.event_source <> 'web' THEN 'not needed for this kind of source'
				ELSE format('in 7 days %s events of the Pixel reported, %s counted by TikTok', p.browser, c.browser) END,
			'Let the page report by tiktok.pixel_seen() what it fires, or load TikTok''s counts into tiktok.platform_count.'
		FROM me, pixel p, platform c
		UNION ALL
		SELECT 2, 'add the Events API', CASE WHEN n.delivered > 0 THEN 'ok' ELSE 'fail' END,
			format('in 7 days %s events recorded, %s delivered; triggers: %s', n.events, n.delivered,
				(SELECT count(*) FROM tiktok._trigger t WHERE t.enabled AND t.source_bytes = convert_to(me.source, getdatabaseencoding()))),
			CASE WHEN n.events = 0 THEN 'Create a trigger with tiktok.track_row, or call tiktok.track().' ELSE 'See tiktok.health().' END
		FROM me, now_and_before n
		UNION ALL
		SELECT 3, 'the same event_id on both sides',
			CASE WHEN me.event_source <> 'web' THEN 'ok' WHEN i.state = 'ok' AND m.state = 'ok' AND p.browser = 0 THEN 'warn'
				WHEN 'fail' IN (i.state, m.state) THEN 'fail' WHEN 'warn' IN (i.state, m.state) THEN 'warn' ELSE 'ok' END,
			CASE WHEN me.event_source <> 'web' THEN 'there is one side only'
				ELSE format('%s; %s', i.evidence, m.evidence) END,
			coalesce(m.hint, i.hint, 'Let the page report by tiktok.pixel_seen() what it fires.')
		FROM me, pixel p, mode i, mode m
		WHERE i.mode = 'different_ids' AND m.mode = 'names_differ'
		UNION ALL
		SELECT 4, 'value, currency, contents and parameters',
			CASE WHEN m.state <> 'ok' THEN m.state WHEN me.event_source IN ('web', 'app') AND n.strong < 0.5 * n.fit THEN 'warn' ELSE 'ok' END,
			format('%s; %s of %s events have an identifier beyond address and browser', m.evidence, n.strong, n.fit),
			coalesce(m.hint, 'Map email, phone, external_id, ttclid and ttp; see tiktok.match_key_coverage.')
		FROM me, now_and_before n, mode m
		WHERE m.mode = 'value_or_currency_missing'
		UNION ALL
		SELECT 5, 'validate in Events Manager', CASE WHEN t.requests > 0 OR n.delivered_before > 0 THEN 'ok' ELSE 'warn' END,
			format('accepted requests with test events: %s%s', t.requests, ', the last at ' || date_trunc('second', t.last)),
			'Set a code with tiktok.set_test_code(), and record an event with tiktok_events.test_event on.'
		FROM tests t, now_and_before n
		UNION ALL
		SELECT 6, 'watch deduplication',
			CASE WHEN me.event_source <> 'web' THEN 'ok' WHEN p.over_48_hours > 0 OR p.browser = 0 THEN 'warn' ELSE 'ok' END,
			CASE WHEN me.event_source <> 'web' THEN 'there is one side only'
				ELSE format('%s of %s reported events of the Pixel are events here, %s of them 48 hours apart', p.matched, p.browser, p.over_48_hours) END,
			'Let the page report by tiktok.pixel_seen() what it fires, and see tiktok.dedup_overlap; TikTok''s counts do not tell.'
		FROM me, pixel p
		UNION ALL
		SELECT 7, 'compare with the source of truth',
			CASE WHEN t.counts IS NULL THEN 'warn' WHEN t.counts[2] + t.counts[3] > 0.2 * t.counts[1] THEN 'fail'
				WHEN t.counts[2] + t.counts[3] > 0.05 * t.counts[1] THEN 'warn' ELSE 'ok' END,
			CASE WHEN t.relations = 0 THEN 'no relation is registered' WHEN t.counts IS NULL THEN 'a registered relation cannot be read'
				ELSE format('of %s rows in 7 days %s are delivered, %s not accepted, %s without an event', t.counts[1], t.counts[4], t.counts[3], t.counts[2]) END,
			CASE WHEN t.relations = 0 THEN 'Name the table or view of your orders in tiktok.source_of_truth.' WHEN t.counts IS NULL THEN 'Check its name, its columns and your privileges.'
				ELSE 'See tiktok.differences() and tiktok.bridge().' END
		FROM me, truth t
		UNION ALL
		SELECT 8, 'watch quality after changes',
			CASE WHEN n.events_before = 0 THEN 'ok'
				WHEN s.keys IS NOT NULL OR n.events < 0.5 * n.events_before OR n.delivered * n.events_before < 0.95 * n.delivered_before * n.events THEN 'warn' ELSE 'ok' END,
			CASE WHEN n.events_before = 0 THEN 'there is no week before to compare with'
				ELSE format('events %s after %s a week before, delivered %s after %s%s', n.events, n.events_before,
					tiktok._percent(n.delivered, n.events), tiktok._percent(n.delivered_before, n.events_before), '; identifiers fell: ' || s.keys) END,
			'Look at what was changed in the application, the triggers and the CRM.'
		FROM me, now_and_before n, shift s
	)
	SELECT j.item, j.what, j.state, j.evidence, CASE WHEN j.state <> 'ok' THEN j.hint END FROM judged j ORDER BY j.item
$$;
COMMENT ON FUNCTION tiktok.checklist(text) IS
'the eight things to do for a good measurement, and how far they are done, judged by the last 7 days.
state: ok; warn: not done, or not known; fail: done wrongly.';
