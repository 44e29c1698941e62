/*
 * Health: what keeps events from TikTok, in rows with a state, the evidence in numbers, and what to do.
 *
 * The functions run with the rights of whoever asks, on views that show no identifier.
 */

-- What only the owner may look at, as yes or no.
CREATE VIEW tiktok_internal.source_health AS
SELECT s.id AS source_id,
	s.name AS source,
	s.event_source,
	CASE WHEN s.event_source = 'web' THEN 'a Pixel' WHEN s.event_source = 'app' THEN 'an app' WHEN s.event_source = 'crm' THEN 'a CRM' ELSE 'an offline event set' END AS kind,
	s.enabled,
	c.valid_until AS test_code_until,
	EXISTS (SELECT FROM tiktok.event e WHERE e.source_id = s.id) AS has_events,
	least(s.max_event_age, interval '1000 years') + interval '2 days' AS kept_for
FROM tiktok.source s
LEFT JOIN tiktok.test_code c ON c.source_id = s.id AND c.valid_until > now();
COMMENT ON VIEW tiktok_internal.source_health IS 'one row per source, as tiktok.health needs it';

CREATE VIEW tiktok_internal.misspelt_stage AS
SELECT u.source, u.stage, u.no_mapping, l.stage AS mapped
FROM tiktok.unmapped_stage u JOIN tiktok.lead_stage l ON l.source = u.source AND lower(btrim(l.stage)) = lower(btrim(u.stage));
COMMENT ON VIEW tiktok_internal.misspelt_stage IS 'stages that rows write in another way than tiktok.lead_stage, as tiktok.health needs it';

-- Triggers that record events: the source is the first argument, which ends with a zero byte.
CREATE VIEW tiktok_internal.trigger AS
SELECT t.tgrelid AS relation, t.tgname AS trigger_name, t.tgenabled <> 'D' AS enabled, coalesce(convert_to(s.name, getdatabaseencoding()), a.source_bytes) AS source_bytes
FROM pg_trigger t
CROSS JOIN LATERAL (SELECT substring(t.tgargs FOR position('\x00'::bytea IN t.tgargs) - 1) AS source_bytes) a
LEFT JOIN tiktok.source s ON substring(a.source_bytes FOR 1) = '=' AND s.key IS NOT NULL
WHERE t.tgfoid = 'tiktok.track_row()'::regprocedure AND t.tgparentid = 0 AND t.tgnargs > 0;
COMMENT ON VIEW tiktok_internal.trigger IS 'the triggers that record events, once for each source that they reach';

CREATE VIEW tiktok_internal.waiting AS
SELECT r.source_id, r.kind, e.value, e.currency FROM tiktok.retry r JOIN tiktok.event e ON e.id = r.id
UNION ALL
SELECT p.source_id, NULL, e.value, e.currency FROM tiktok_internal.pending p JOIN tiktok.event e ON e.id = p.id;
COMMENT ON VIEW tiktok_internal.waiting IS 'what the events that wait are worth; kind: of a name that TikTok refuses';

CREATE VIEW tiktok_internal.optimised AS
SELECT l.source, l.event FROM tiktok.lead_stage l WHERE l.optimised;
COMMENT ON VIEW tiktok_internal.optimised IS 'events of stages for which campaigns are optimised';

-- Triggers of tiktok.create_trigger that are there no longer, though their table is. pg_upgrade gives triggers other numbers.
CREATE VIEW tiktok_internal.gone_trigger AS
SELECT c.relation, c.trigger_name, c.source
FROM tiktok.created_trigger c JOIN pg_class r ON r.oid = c.relation
WHERE NOT EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = c.relation AND (t.oid = c.trigger_oid OR t.tgname = c.trigger_name));
COMMENT ON VIEW tiktok_internal.gone_trigger IS 'triggers that tiktok.create_trigger made and tiktok.drop_trigger did not drop, and that are gone';

-- A trigger of a partitioned table may be disabled in a partition alone.
CREATE VIEW tiktok_internal.disabled_trigger AS
SELECT t.tgrelid AS relation, t.tgname AS trigger_name,
	coalesce((SELECT min(s.name) FROM tiktok_internal.trigger x JOIN tiktok.source s ON x.source_bytes = convert_to(s.name, getdatabaseencoding())
		WHERE (x.relation, x.trigger_name) IN ((t.tgrelid, t.tgname), (p.tgrelid, p.tgname))), '?') AS source
FROM pg_trigger t LEFT JOIN pg_trigger p ON p.oid = t.tgparentid
WHERE t.tgfoid = 'tiktok.track_row()'::regprocedure AND t.tgenabled = 'D' AND p.tgenabled IS DISTINCT FROM 'D';
COMMENT ON VIEW tiktok_internal.disabled_trigger IS 'triggers that record events and are disabled, each with one of its sources';

CREATE FUNCTION tiktok_internal.table_problem(extension oid, owner oid) RETURNS text
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'tte_sql_table_problem';
COMMENT ON FUNCTION tiktok_internal.table_problem(oid, oid) IS 'what somebody did to a table of the extension, and why the worker touches none; NULL: nothing';

CREATE FUNCTION tiktok_internal.table_remedy(problem text, owner oid) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
	SELECT CASE
		WHEN problem LIKE '% has another owner %' THEN format('ALTER TABLE %s OWNER TO %s;', t.name, owner::regrole)
		WHEN problem LIKE '% has row security' THEN format('ALTER TABLE %s DISABLE ROW LEVEL SECURITY, NO FORCE ROW LEVEL SECURITY;', t.name)
		WHEN problem LIKE '% has a rule' THEN (SELECT string_agg(format('DROP RULE %I ON %s;', r.rulename, t.name), ' ' ORDER BY r.rulename)
			FROM pg_rewrite r WHERE r.ev_class = to_regclass(t.name))
		WHEN problem LIKE '% has a trigger, %' THEN (SELECT string_agg(format('DROP TRIGGER %I ON %s;', g.tgname, t.name), ' ' ORDER BY g.tgname)
			FROM pg_trigger g
			WHERE g.tgrelid = to_regclass(t.name) AND NOT g.tgisinternal AND g.tgenabled IN ('A', 'R')
			AND (g.tgqual IS NOT NULL OR g.tgfoid = 'tiktok.track_row()'::regprocedure OR NOT EXISTS (
				SELECT FROM pg_depend d
				WHERE d.classid = 'pg_proc'::regclass AND d.objid = g.tgfoid AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e')))
		WHEN problem LIKE '% has another column %' THEN format('ALTER TABLE %s ALTER COLUMN %I DROP NOT NULL;', t.name, substring(problem FROM 'column "(.*)" that'))
	END
	FROM substring(problem FROM '^table "(tiktok\.[a-z_]+)"') t (name)
$$;
COMMENT ON FUNCTION tiktok_internal.table_remedy(text, oid) IS 'the statement that undoes what tiktok_internal.table_problem found; NULL: there is none that fits every case';
-- Publications that give away what only the owner may look at, and the statement that ends it. FOR ALL TABLES knows no exception, so it is made
-- anew of the schemas of other tables. A row in pg_publication_rel excludes a table where FOR ALL TABLES knows exceptions.
CREATE VIEW tiktok_internal.publication AS
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
COMMENT ON VIEW tiktok_internal.publication IS 'publications of access tokens or identifiers, as tiktok.health needs it';

CREATE VIEW tiktok_internal.server_health AS
SELECT EXISTS (SELECT FROM pg_settings WHERE name = 'tiktok_events.max_workers' AND context = 'postmaster') AS preloaded,
	current_setting('tiktok_events.enabled', true)::bool AS enabled,
	current_setting('tiktok_events.recording', true)::bool AS recording,
	(SELECT sum(n.not_recorded) FROM tiktok.not_recorded n) AS not_recorded,
	current_setting('tiktok_events.endpoint', true) AS endpoint,
	current_setting('tiktok_events.retention', true)::interval AS retention,
	'*' = ANY (d.names) OR current_database() = ANY (d.names) AS serves,
	pg_is_in_recovery() AS standby
FROM (SELECT regexp_split_to_array(translate(current_setting('tiktok_events.databases', true), '" ', ''), ',') AS names) d;
COMMENT ON VIEW tiktok_internal.server_health IS 'what the server is set to do, as tiktok.health needs it';

CREATE VIEW tiktok_internal.own_worker AS
SELECT w.pid, w.state, w.since, w.last_error, w.heartbeat,
	w.pid IS NULL AND (w.state = 'resting' OR w.state IN ('starting', 'waiting') AND w.since > clock_timestamp() - interval '1 minute') AS shares
FROM tiktok.worker_status w WHERE w.database = current_database();
COMMENT ON VIEW tiktok_internal.own_worker IS 'the worker of this database; shares: it has no process now, and that is as it should be';

CREATE FUNCTION tiktok_internal.health_server(OUT check_name text, OUT state text, OUT detail text, OUT hint text)
RETURNS SETOF record LANGUAGE sql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
	WITH server AS MATERIALIZED (
		SELECT * FROM tiktok_internal.server_health
	), mine AS MATERIALIZED (
		SELECT * FROM tiktok_internal.own_worker
	)
	SELECT 'preload', CASE WHEN preloaded THEN 'ok' ELSE 'fail' END,
		CASE WHEN preloaded THEN 'tiktok_events is preloaded' ELSE 'tiktok_events is not preloaded: events are recorded, and nothing is sent' END,
		-- the list is shown to members of pg_read_all_settings; ALTER SYSTEM takes several names, each in quotes of its own
		CASE WHEN NOT preloaded THEN coalesce(
			(SELECT format('Restart the server after: ALTER SYSTEM SET shared_preload_libraries = %s;', string_agg(quote_literal(btrim(l.name, ' "')), ', ' ORDER BY l.n))
				FROM pg_settings p, regexp_split_to_table(p.setting || ',tiktok_events', ',') WITH ORDINALITY l (name, n) WHERE p.name = 'shared_preload_libraries' AND l.name ~ '\w'),
			'Add tiktok_events to shared_preload_libraries and restart the server.') END
	FROM server
	UNION ALL
	SELECT 'worker',
		CASE WHEN s.standby OR w.shares THEN 'ok' WHEN w.pid IS NULL AND w.state IN ('waiting', 'unlisted') THEN 'warn'
			WHEN w.pid IS NULL OR w.heartbeat < clock_timestamp() - interval '1 minute' THEN 'fail'
			WHEN w.state IN ('refused', 'version_mismatch') THEN 'fail' WHEN w.state = 'failed' THEN 'warn' ELSE 'ok' END,
		CASE WHEN s.standby THEN 'a standby sends nothing'
			WHEN w.pid IS NULL AND NOT s.serves THEN 'tiktok_events.databases leaves this database out: nothing is sent from it'
			WHEN w.pid IS NULL AND w.state = 'resting' THEN format('nothing has been due for %s; a commit brings a process', tiktok_internal.span(clock_timestamp() - w.since))
			WHEN w.pid IS NULL AND w.state = 'waiting' THEN format('waits for a process for %s', tiktok_internal.span(clock_timestamp() - w.since))
			WHEN w.pid IS NULL AND w.state = 'unlisted' THEN 'more databases have the extension than tiktok_events.max_databases: a process looks at this one every ten minutes'
			WHEN w.pid IS NULL THEN 'no process sends the events of this database'
			ELSE format('process %s is %s, last seen %s ago%s', w.pid, w.state, tiktok_internal.span(clock_timestamp() - w.heartbeat), '; last error: ' || w.last_error) END,
		CASE WHEN s.standby THEN NULL
			WHEN w.pid IS NULL AND NOT s.serves THEN 'If its events are to be sent from here: ALTER SYSTEM SET tiktok_events.databases = ''*''; SELECT pg_reload_conf();'
			WHEN w.shares THEN NULL
			WHEN w.pid IS NULL AND w.state = 'waiting' THEN 'Raise tiktok_events.max_workers and max_worker_processes, and restart the server.'
			WHEN w.pid IS NULL AND w.state = 'unlisted' THEN 'Raise tiktok_events.max_databases, and restart the server.'
			WHEN w.pid IS NULL THEN 'Look into the server''s log for lines with tiktok_events.'
			WHEN w.heartbeat < clock_timestamp() - interval '1 minute' THEN format('It hangs; this starts it anew: SELECT pg_terminate_backend(%s);', w.pid)
			WHEN w.state = 'refused' THEN 'Undo what was done to that table, as the row foreign_objects says; the worker then goes on by itself.'
			WHEN w.state = 'version_mismatch' THEN 'Finish the upgrade, and restart the server if that does not help: ALTER EXTENSION tiktok_events UPDATE;'
			WHEN w.state = 'failed' THEN 'It recovers by itself if it can; the server''s log has the error.' END
	FROM server s LEFT JOIN mine w ON true
	WHERE s.preloaded
	UNION ALL
	SELECT 'waiting', 'warn',
		format('databases that have waited for a process for more than a minute: %s, the first for %s: %s%s', w.n, tiktok_internal.span(clock_timestamp() - w.since),
			array_to_string(w.names[1:5], ', '), CASE WHEN w.n > 5 THEN ', ...' END),
		'Raise tiktok_events.max_workers and max_worker_processes, and restart the server.'
	FROM (SELECT count(*) AS n, min(w.since) AS since, array_agg(w.database ORDER BY w.since, w.database) AS names
		FROM tiktok.worker_status w WHERE w.state = 'waiting' AND w.since < clock_timestamp() - interval '1 minute') w
	WHERE w.n > 0
	UNION ALL
	SELECT 'enabled', CASE WHEN enabled THEN 'ok' ELSE 'warn' END, CASE WHEN enabled THEN 'sending is on' ELSE 'sending is off: events are recorded and wait' END,
		CASE WHEN NOT enabled THEN 'Turn it on: ALTER SYSTEM SET tiktok_events.enabled = on; SELECT pg_reload_conf();' END
	FROM server
	WHERE enabled IS NOT NULL
	UNION ALL
	SELECT 'recording', CASE WHEN recording THEN 'ok' ELSE 'fail' END,
		CASE WHEN recording THEN 'recording is on' ELSE 'recording is off: orders and leads make no event' END
			|| coalesce('; rows and calls that made none while it was off: ' || not_recorded, ''),
		CASE WHEN NOT recording THEN 'Turn it on: ALTER SYSTEM RESET tiktok_events.recording; SELECT pg_reload_conf();' END
	FROM server
	WHERE recording IS NOT NULL
	UNION ALL
	SELECT 'endpoint', 'warn', 'events go to a test server (tiktok_events.endpoint) and not to TikTok',
		'Outside of tests: ALTER SYSTEM RESET tiktok_events.endpoint; SELECT pg_reload_conf();'
	FROM server
	WHERE endpoint NOT LIKE 'https://business-api.tiktok.com/%'
$$;
COMMENT ON FUNCTION tiktok_internal.health_server() IS 'rows of tiktok.health() about the server and its workers';

CREATE FUNCTION tiktok_internal.health_sources(OUT check_name text, OUT state text, OUT detail text, OUT hint text)
RETURNS SETOF record LANGUAGE sql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
	WITH backlog AS MATERIALIZED (
		SELECT * FROM tiktok_internal.backlog
	)
	SELECT 'sources', 'warn', 'no Pixel, app, offline or CRM event set is set up',
		'Name it, with its id in Events Manager: INSERT INTO tiktok.source (name, event_source, event_source_id) VALUES (''shop'', ''web'', ''the Pixel''''s id'');'
	WHERE NOT EXISTS (SELECT FROM tiktok_internal.source_health)
	UNION ALL
	SELECT 'source', CASE WHEN b.state = 'sending' THEN 'ok' WHEN b.state IN ('disabled', 'paused') THEN 'warn' ELSE 'fail' END,
		format('"%s" is %s%s%s', b.source, CASE WHEN b.state = 'open' THEN 'not sent to' WHEN b.state = 'no_token' THEN 'without a token' WHEN b.state = 'copied' THEN 'not sent to, because this database is a copy'
				ELSE b.state END,
			', since ' || date_trunc('second', b.since),
			CASE WHEN x.meaning IS NOT NULL THEN ', because ' || tiktok_internal.because('code ' || x.code)
				WHEN b.state <> 'copied' THEN ': ' || nullif(regexp_replace(b.reason, '^stop_[a-z]+: ', ''), '') END),
		CASE
			WHEN b.state = 'disabled' THEN format('Turn it on: UPDATE tiktok.source SET enabled = true WHERE name = %L;', b.source)
			WHEN b.state = 'paused' AND b.reason ~ '^restore(d|_gap):' THEN format('If this is the server to send, and the other one is stopped: SELECT tiktok.resume(%L);', b.source)
			WHEN b.state = 'paused' THEN format('Send to it again: SELECT tiktok.resume(%L);', b.source)
			WHEN b.state = 'no_token' THEN CASE WHEN b.reason LIKE '%file%' THEN format('The file "%s" in tiktok_events.access_token_dir must hold the token alone, belong to the server''s user, and be readable by nobody else (chmod 600).', b.source)
				ELSE format('Generate a token in Events Manager: SELECT tiktok.set_access_token(%L, ''the token'');', b.source) END
			WHEN b.state = 'copied' THEN 'A copy should send nothing; if this database is the one to send: SELECT tiktok.confirm_database();'
			WHEN b.state = 'open' AND b.reason LIKE 'blocked:%' THEN
				'Something in front of TikTok refuses the requests: look at proxy, firewall and tiktok_events.endpoint first, then at the token.'
			WHEN b.state = 'open' AND x.class LIKE '%credential' THEN
				format('Generate a token in Events Manager, and store it in its file if it has one, or else by: SELECT tiktok.set_access_token(%L, ''the token'');', b.source)
			WHEN b.state = 'open' THEN coalesce(rtrim(x.fix, '.'),
					format('It is tried again %s', coalesce('at ' || date_trunc('second', b.next_attempt_at), 'by itself')))
				|| format('; to try at once: SELECT tiktok.resume(%L);', b.source)
		END
	FROM backlog b LEFT JOIN LATERAL tiktok.explain_code(substring(b.reason FROM '^(?:[a-z_]+: )?code (\d{1,9})$')::int) x ON b.state = 'open'
	UNION ALL
	SELECT 'kind', 'warn', format('"%s": TikTok refuses %s; %s of them%s wait and are sent one by one', k.source, k.event, k.waiting, (SELECT tiktok_internal.worth(array_agg(w.value), array_agg(w.currency)) FROM tiktok_internal.waiting w WHERE w.source_id = h.source_id AND w.kind = k.event)),
		format('Look at what TikTok says: SELECT code, message, count(*) FROM tiktok.event_status WHERE source = %L AND event = %L AND status = ''rejected'' GROUP BY 1, 2;', k.source, k.event)
	FROM tiktok.backlog_kind k JOIN tiktok_internal.source_health h ON h.source = k.source
	UNION ALL
	SELECT 'backlog',
		CASE WHEN b.oldest_enqueued_at < now() - interval '1 hour' THEN 'fail' WHEN b.oldest_enqueued_at < now() - interval '5 minutes' THEN 'warn' ELSE 'ok' END,
		CASE WHEN b.pending + b.retrying = 0 THEN format('"%s": no event waits', b.source)
			ELSE format('"%s": events that wait: %s%s, %s of them after a failed attempt, the oldest for %s', b.source, b.pending + b.retrying,
				CASE WHEN b.oldest_enqueued_at < now() - interval '5 minutes' THEN (
					SELECT tiktok_internal.worth(array_agg(w.value), array_agg(w.currency)) FROM tiktok_internal.waiting w WHERE w.source_id = h.source_id) END, b.retrying, tiktok_internal.span(now() - b.oldest_enqueued_at)) END,
		CASE WHEN (b.oldest_enqueued_at < now() - interval '5 minutes') IS NOT TRUE THEN NULL
			WHEN NOT s.preloaded THEN 'They wait because tiktok_events is not preloaded: see the row preload.'
			WHEN NOT s.enabled THEN 'They wait because sending is off: see the row enabled.'
			WHEN NOT EXISTS (SELECT FROM tiktok_internal.own_worker m WHERE m.pid IS NOT NULL) THEN 'They wait because no process sends them: see the row worker.'
			WHEN b.state <> 'sending' THEN format('They wait because nothing is sent to "%s": see the row source.', b.source)
			ELSE format('Look at what TikTok answers: SELECT * FROM tiktok.request_log WHERE source = %L ORDER BY id DESC LIMIT 20;', b.source) END
	FROM tiktok_internal.server_health s, backlog b JOIN tiktok_internal.source_health h ON h.source = b.source
	UNION ALL
	SELECT 'test_code', 'warn', format('"%s" has a test code until %s', h.source, date_trunc('second', h.test_code_until)),
		format('Only sessions with tiktok_events.test_event on use it; to end it: SELECT tiktok.set_test_code(%L, NULL);', h.source)
	FROM tiktok_internal.source_health h
	WHERE h.test_code_until IS NOT NULL
$$;
COMMENT ON FUNCTION tiktok_internal.health_sources() IS 'rows of tiktok.health() about sources, and what waits for them';

CREATE FUNCTION tiktok_internal.health_events(OUT check_name text, OUT state text, OUT detail text, OUT hint text)
RETURNS SETOF record LANGUAGE sql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
	WITH day AS MATERIALIZED (
		SELECT f.source, f.source_id, f.event, f.status, f.currency, coalesce(f.reason, '') AS reason, count(*) AS events, sum(f.value) AS value,
			count(*) FILTER (WHERE f.value_problem = 'currency_unknown') AS without_value,
			count(*) FILTER (WHERE f.consent_unreadable) AS unreadable
		FROM tiktok_internal.real_event f
		WHERE f.hour >= now() - interval '24 hours'
		GROUP BY 1, 2, 3, 4, 5, 6
	), bad AS MATERIALIZED (
		-- only the newest events tell whether it still is so
		SELECT DISTINCT ON (n.source, b.status) n.source, n.event, b.status, b.bad, b.of, b.reason, b.worth,
			CASE WHEN b.all_bad THEN 'fail' WHEN b.bad >= 5 AND b.bad >= 0.2 * b.of OR b.bad = b.of OR b.unfit THEN 'warn' END AS state
		FROM (SELECT DISTINCT d.source, d.source_id, d.event FROM day d WHERE d.status IN ('rejected', 'uncertain', 'invalid') AND d.source IS NOT NULL) n,
			LATERAL tiktok_internal.bad_of_last(n.source_id, n.event) b
		ORDER BY n.source, b.status, state, b.bad DESC, n.event
	), source_events AS MATERIALIZED (
		SELECT d.source, sum(d.events) AS events, sum(d.without_value) AS without_value, sum(d.unreadable) AS unreadable,
			coalesce(sum(d.events) FILTER (WHERE d.status IN ('rejected', 'uncertain')), 0) AS rejected,
			coalesce(sum(d.events) FILTER (WHERE d.status IN ('delivered', 'rejected', 'uncertain')), 0) AS sent,
			coalesce(sum(d.events) FILTER (WHERE d.status = 'invalid'), 0) AS invalid,
			coalesce(sum(d.events) FILTER (WHERE d.status = 'invalid' AND d.reason = 'future'), 0) AS future,
			tiktok_internal.worth(array_agg(d.value), array_agg(d.currency)) AS worth,
			tiktok_internal.worth(array_agg(d.value) FILTER (WHERE d.status IN ('rejected', 'uncertain')), array_agg(d.currency) FILTER (WHERE d.status IN ('rejected', 'uncertain'))) AS rejected_worth,
			tiktok_internal.worth(array_agg(d.value) FILTER (WHERE d.status = 'invalid'), array_agg(d.currency) FILTER (WHERE d.status = 'invalid')) AS invalid_worth,
			tiktok_internal.worth(array_agg(d.value) FILTER (WHERE d.reason = 'future'), array_agg(d.currency) FILTER (WHERE d.reason = 'future')) AS future_worth
		FROM day d
		GROUP BY d.source
	)
	SELECT 'rejected', coalesce(b.state, 'ok'),
		CASE WHEN b.state IS NOT NULL THEN format('"%s": TikTok refused %s of the last %s %s%s, mostly because %s', f.source, b.bad, b.of, b.event, b.worth, tiktok_internal.because(b.reason))
			WHEN f.rejected = 0 THEN format('"%s": TikTok accepted all of %s events sent in 24 hours', f.source, f.sent)
			ELSE format('"%s": TikTok accepted %s of %s events sent in 24 hours%s', f.source, f.sent - f.rejected, f.sent, tiktok_internal.others(f.rejected_worth)) END,
		CASE WHEN b.state IS NOT NULL THEN format('Mend what TikTok names, then send them again with tiktok.retry(): SELECT event_id, reason, message FROM tiktok.event_status '
			'WHERE source = %L AND event = %L AND status IN (''rejected'', ''uncertain'') ORDER BY id DESC LIMIT 20;', f.source, b.event) END
	FROM source_events f LEFT JOIN bad b ON b.source = f.source AND b.status = 'rejected'
	WHERE f.source IS NOT NULL AND f.sent > 0
	UNION ALL
	SELECT 'invalid', coalesce(b.state, 'ok'),
		CASE WHEN b.state IS NOT NULL THEN format('"%s": %s of the last %s %s%s are invalid and were not sent, mostly because %s', f.source, b.bad, b.of, b.event, b.worth, tiktok_internal.because(b.reason))
			WHEN f.invalid = 0 THEN format('"%s": none of %s events recorded in 24 hours is invalid', f.source, f.events)
			ELSE format('"%s": %s of %s events recorded in 24 hours are invalid%s', f.source, f.invalid, f.events, f.invalid_worth) END,
		CASE WHEN b.state IS NOT NULL THEN format('Mend the data or the trigger: SELECT event_id, reason, notes FROM tiktok.event_status WHERE source = %L AND event = %L AND status = ''invalid'' ORDER BY id DESC LIMIT 20;',
			f.source, b.event) END
	FROM source_events f LEFT JOIN bad b ON b.source = f.source AND b.status = 'invalid'
	WHERE f.source IS NOT NULL
	UNION ALL
	SELECT 'currency', 'warn', format('"%s": %s of %s events recorded in 24 hours go without their value, because TikTok does not take the currency', f.source, f.without_value, f.events),
		format('Convert to a currency of TikTok''s list, or set currency_policy in tiktok.source: SELECT event_id, value, currency FROM tiktok.value_problems WHERE source = %L AND problem = ''currency_unknown'' ORDER BY id DESC LIMIT 20;', f.source)
	FROM source_events f
	WHERE f.source IS NOT NULL AND f.without_value > 0.01 * f.events
	UNION ALL
	SELECT 'consent_words', 'warn', format('"%s": the consent of %s of %s events recorded in 24 hours is no word that is known, and counts as no', f.source, f.unreadable, f.events),
		format('Map a boolean, or words such as yes and no: SELECT event_id, notes FROM tiktok.event_status WHERE source = %L AND notes LIKE ''%%consent_unreadable%%'' ORDER BY id DESC LIMIT 20;', f.source)
	FROM source_events f
	WHERE f.source IS NOT NULL AND f.unreadable > 0
	UNION ALL
	SELECT 'source_gone', 'fail', format('%s of %s events recorded in 24 hours%s name a source that does not exist', f.events, (SELECT sum(x.events) FROM source_events x), f.worth),
		'Correct the source in the trigger or call that records them: SELECT event, event_id, notes FROM tiktok.event_status WHERE source IS NULL ORDER BY id DESC LIMIT 20;'
	FROM source_events f
	WHERE f.source IS NULL
	UNION ALL
	SELECT 'application_clock', 'warn', format('"%s": %s of %s events recorded in 24 hours%s happen in the future', f.source, f.future, f.events, f.future_worth),
		format('Set the application''s clock right, or map seconds where it has milliseconds: SELECT event_id, event_time, enqueued_at FROM tiktok.event_status WHERE source = %L AND reason = ''future'' ORDER BY id DESC LIMIT 20;', f.source)
	FROM source_events f
	WHERE f.source IS NOT NULL AND f.future > 0
$$;
COMMENT ON FUNCTION tiktok_internal.health_events() IS 'rows of tiktok.health() about the events of the last day';

CREATE FUNCTION tiktok_internal.health_rows(OUT check_name text, OUT state text, OUT detail text, OUT hint text)
RETURNS SETOF record LANGUAGE sql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
	WITH checked AS MATERIALIZED (
		-- what shows what a source's triggers make of its rows
		SELECT t.source_bytes, count(*) AS n,
			string_agg(format('SELECT * FROM tiktok.check_rows(%L, %L);', t.relation::regclass, t.trigger_name), ' ' ORDER BY t.relation::regclass::text, t.trigger_name) AS statements
		FROM tiktok_internal.trigger t
		GROUP BY 1
	)
	SELECT 'unused', 'warn', format('"%s" has no event', h.source),
		coalesce((SELECT format('Map the stages of its rows in tiktok.lead_stage: SELECT * FROM tiktok.unmapped_stage WHERE source = %L;', u.source) FROM tiktok.unmapped_stage u WHERE u.source = h.source LIMIT 1),
			'See what its triggers make of the rows: ' || c.statements, 'Record its events: tiktok.create_trigger() makes a trigger on the table of your orders or leads.')
	FROM tiktok_internal.source_health h LEFT JOIN checked c ON c.source_bytes = convert_to(h.source, getdatabaseencoding())
	WHERE NOT h.has_events
	UNION ALL
	SELECT 'trigger', 'fail', format('"%s": trigger "%s" of %s is gone: its rows make no event', g.source, g.trigger_name, g.relation::regclass),
		format('Make it again with tiktok.create_trigger(), or if it is not needed any more: DELETE FROM tiktok.created_trigger WHERE relation = %L::regclass AND trigger_name = %L;', g.relation::regclass, g.trigger_name)
	FROM tiktok_internal.gone_trigger g
	UNION ALL
	SELECT 'trigger', 'warn', format('"%s": trigger "%s" of %s is disabled: its rows make no event', d.source, d.trigger_name, d.relation::regclass),
		format('Enable it: ALTER TABLE %s ENABLE TRIGGER %I;', d.relation::regclass, d.trigger_name)
	FROM tiktok_internal.disabled_trigger d
	UNION ALL
	-- with a source of truth, the checklist knows which orders have no event
	SELECT CASE WHEN q.event_source = 'crm' THEN 'stage' ELSE 'silence' END, CASE WHEN q.a_week < 7 THEN 'warn' ELSE 'fail' END,
		format('"%s": no %s was recorded for %s, since %s; the same hours of the weeks before had %s%s', q.source, q.event,
			tiktok_internal.span(now() - q.last_at), date_trunc('second', q.last_at), q.expected, q.worth),
		coalesce('Look at what writes the rows, and at what the trigger makes of them: ' || c.statements, 'Look at what calls tiktok.track().')
	FROM tiktok_internal.silence q LEFT JOIN checked c ON c.source_bytes = convert_to(q.source, getdatabaseencoding())
	WHERE NOT EXISTS (SELECT FROM tiktok_internal.truth_relation t WHERE t.source = q.source AND t.event = q.event AND t.problem IS NULL)
	UNION ALL
	SELECT 'stage_name', 'warn', format('"%s": %s rows with the stage "%s" made no event, because tiktok.lead_stage has "%s"', m.source, m.no_mapping, m.stage, m.mapped),
		format('Write it as the rows do: UPDATE tiktok.lead_stage SET stage = %L WHERE source = %L AND stage = %L;', m.stage, m.source, m.mapped)
	FROM tiktok_internal.misspelt_stage m
	UNION ALL
	SELECT 'unmapped_source', 'warn', format('%s rows of %s made no event, because they name no source that is known%s', sum(u.no_source), u.relation, ': ' || string_agg(u.key, ', ' ORDER BY u.key)),
		format('Set tiktok.source.key to what the rows have, or leave them out by the trigger''s condition: SELECT * FROM tiktok.unmapped_source WHERE relation = %L::regclass;', u.relation)
	FROM tiktok.unmapped_source u
	GROUP BY u.relation
	UNION ALL
	SELECT 'query', 'warn', format('trigger "%s" of %s: %s of %s rows made no event, because its query or function had nothing for them', c.trigger_name, c.relation, c.no_row, c.queried),
		format('Join what may be missing by LEFT JOIN, or leave out by the condition what is not meant: SELECT * FROM tiktok.check_rows(%L, %L);', c.relation, c.trigger_name)
	FROM tiktok.query_counters c
	WHERE c.no_row > 0.01 * c.queried
	UNION ALL
	SELECT 'conflict', 'warn', format('"%s": %s events had the event_id of another event and were not stored, since %s', c.source, c.conflict, date_trunc('second', c.since)),
		'Give each order and lead an event_id of its own. An order that was paid again after a change has the event_id of before: its first event stays, and nothing is to be done.'
	FROM tiktok.enqueue_counters c
	WHERE c.conflict > 0
$$;
COMMENT ON FUNCTION tiktok_internal.health_rows() IS 'rows of tiktok.health() about rows that make no event';

CREATE FUNCTION tiktok_internal.health_tables(OUT check_name text, OUT state text, OUT detail text, OUT hint text)
RETURNS SETOF record LANGUAGE sql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
	SELECT 'clock', CASE WHEN q.started_at > clock_timestamp() + interval '1 minute' THEN 'fail' ELSE 'ok' END,
		CASE WHEN q.started_at > clock_timestamp() + interval '1 minute' THEN format('the last request was sent %s in the future', tiktok_internal.span(q.started_at - clock_timestamp()))
			ELSE 'the last request lies in the past' END,
		CASE WHEN q.started_at > clock_timestamp() + interval '1 minute' THEN 'The server''s clock was set back: set it right, because TikTok believes its times.' END
	FROM (SELECT started_at FROM tiktok.request_log ORDER BY id DESC LIMIT 1) q
	UNION ALL
	SELECT 'retention', CASE WHEN o.late THEN 'warn' ELSE 'ok' END,
		format('the oldest event is %s days old, tiktok_events.retention is %s', extract(day FROM now() - o.enqueued_at), o.retention),
		CASE WHEN o.late THEN 'Look for what keeps the worker from deleting them, or delete them now: SELECT tiktok.purge();' END
	FROM (
		SELECT s.retention, f.enqueued_at, f.enqueued_at < now() - greatest(s.retention, k.kept_for) - interval '2 days' AS late
		FROM tiktok_internal.server_health s, (SELECT enqueued_at FROM tiktok_internal.real_event ORDER BY id LIMIT 1) f, (SELECT max(kept_for) AS kept_for FROM tiktok_internal.source_health) k
		WHERE s.retention > '0') o
	UNION ALL
	SELECT 'retention', 'warn', format('"%s": events are kept for %s, longer than tiktok_events.retention, which is %s', h.source, h.kept_for, s.retention),
		'Set tiktok_events.retention to at least that, or a shorter max_event_age in tiktok.source.'
	FROM tiktok_internal.server_health s JOIN tiktok_internal.source_health h ON h.kept_for > s.retention
	WHERE s.retention > '0'
	UNION ALL
	SELECT 'autovacuum', CASE WHEN current_setting('autovacuum')::bool AND a.late IS NULL THEN 'ok' ELSE 'warn' END,
		CASE WHEN NOT current_setting('autovacuum')::bool THEN 'autovacuum is off' WHEN a.late IS NULL THEN 'no table has many dead rows'
			ELSE 'dead rows in ' || a.late END,
		CASE WHEN NOT current_setting('autovacuum')::bool THEN 'Turn it on, because tables of a queue need it: ALTER SYSTEM SET autovacuum = on; SELECT pg_reload_conf();'
			WHEN a.late IS NOT NULL THEN 'End transactions that have been open for long: SELECT pid, xact_start, state FROM pg_stat_activity WHERE backend_xmin IS NOT NULL ORDER BY xact_start;' END
	FROM (SELECT string_agg(format('tiktok.%s (%s)', t.relname, t.n_dead_tup), ', ' ORDER BY t.relname) AS late
		FROM pg_stat_user_tables t
		WHERE t.schemaname = 'tiktok' AND t.n_dead_tup > 100000 + 0.4 * t.n_live_tup) a
	UNION ALL
	SELECT 'partitions', 'fail', format('%s cannot make partitions of %s, because it may not use the trigger: rows for which there is no partition fail', o.owner, o.tables),
		format('As a superuser: SELECT tiktok.grant_owner(%L);', o.owner)
	FROM (
		SELECT c.relowner::regrole::text AS owner, string_agg(DISTINCT c.oid::regclass::text, ', ') AS tables
		FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
		WHERE t.tgfoid = 'tiktok.track_row()'::regprocedure AND c.relkind = 'p' AND NOT has_function_privilege(c.relowner, t.tgfoid, 'EXECUTE')
		GROUP BY 1) o
	UNION ALL
	SELECT 'foreign_objects', CASE WHEN o.problem IS NOT NULL THEN 'fail' WHEN o.triggers IS NOT NULL THEN 'warn' ELSE 'ok' END,
		coalesce(o.problem, 'not of the extension: ' || o.triggers, 'nothing of others hangs on the extension''s tables'),
		CASE WHEN o.problem IS NOT NULL THEN 'Until it is undone the worker touches nothing' || coalesce(': ' || tiktok_internal.table_remedy(o.problem, o.owner), '.')
			WHEN o.triggers IS NOT NULL THEN 'Drop them, because they may change or stop what is recorded.' END
	FROM (
		SELECT x.extowner AS owner, tiktok_internal.table_problem(x.oid, x.extowner) AS problem, (
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
	FROM tiktok_internal.publication p
$$;
COMMENT ON FUNCTION tiktok_internal.health_tables() IS 'rows of tiktok.health() about the tables of the extension, and who else has to do with them';

CREATE FUNCTION tiktok.health(OUT check_name text, OUT state text, OUT detail text, OUT hint text)
RETURNS SETOF record LANGUAGE sql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp SET DateStyle = 'ISO' SET jit = off SET enable_hashjoin = off AS $$
	SELECT * FROM tiktok_internal.health_server()
	UNION ALL
	SELECT * FROM tiktok_internal.health_sources()
	UNION ALL
	SELECT * FROM tiktok_internal.health_events()
	UNION ALL
	SELECT * FROM tiktok_internal.health_rows()
	UNION ALL
	SELECT * FROM tiktok_internal.health_tables()
	UNION ALL
	SELECT 'counts', c.state, c.detail, c.hint FROM tiktok_internal.count_health c
	UNION ALL
	SELECT 'source_of_truth', 'warn', format('relation "%s" of "%s" %s', t.relation, t.source, t.problem), t.hint
	FROM tiktok_internal.truth_relation t
	WHERE t.problem IS NOT NULL
	UNION ALL
	SELECT * FROM tiktok_internal.subscription_health()
$$;
COMMENT ON FUNCTION tiktok.health() IS
'what keeps events from TikTok. Rows of checks by source begin their detail with its name in quotes.
state: ok; warn: look at it; fail: events are not sent, or lost to the measurement.';
