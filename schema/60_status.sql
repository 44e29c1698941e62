-- Views of events, backlog, workers and counters.

CREATE VIEW tiktok.event_status AS
SELECT e.id,
	s.name AS source,
	e.event,
	e.event_id,
	e.event_time,
	e.enqueued_at,
	coalesce(d.status, CASE WHEN r.attempts OPERATOR(pg_catalog.>) 0 OR r.possibly_received_at IS NOT NULL THEN 'retrying' ELSE 'pending' END) AS status,
	d.reason,
	coalesce(d.attempts, r.attempts, CASE WHEN d.request_id IS NULL THEN 0 ELSE 1 END) AS attempts,
	coalesce(d.first_attempt_at, r.first_attempt_at, q.started_at) AS first_attempt_at,
	q.started_at AS last_attempt_at,
	CASE WHEN r.next_attempt_at OPERATOR(pg_catalog.<) 'infinity' THEN r.next_attempt_at END AS next_attempt_at,
	CASE WHEN d.status OPERATOR(pg_catalog.=) 'delivered' THEN d.at END AS delivered_at,
	q.http_status,
	q.code,
	q.message,
	q.request_id,
	e.test_code IS NOT NULL AS is_test,
	e.value,
	e.currency,
	e.notes
FROM tiktok.event e
LEFT JOIN tiktok.source s ON s.id OPERATOR(pg_catalog.=) e.source_id
LEFT JOIN tiktok.delivery d ON d.id OPERATOR(pg_catalog.=) e.id
LEFT JOIN tiktok.retry r ON r.id OPERATOR(pg_catalog.=) e.id
LEFT JOIN tiktok.request q ON q.id OPERATOR(pg_catalog.=) coalesce(d.request_id, r.last_request_id);
COMMENT ON VIEW tiktok.event_status IS 'one row per event: its status, and why';
COMMENT ON COLUMN tiktok.event_status.id IS 'number of the event, for tiktok.retry and tiktok.discard';
COMMENT ON COLUMN tiktok.event_status.source IS 'name of the source; NULL: it did not exist';
COMMENT ON COLUMN tiktok.event_status.event IS 'event name as it is sent';
COMMENT ON COLUMN tiktok.event_status.event_id IS 'key of the order or lead; the Pixel sends the same';
COMMENT ON COLUMN tiktok.event_status.event_time IS 'when it happened';
COMMENT ON COLUMN tiktok.event_status.enqueued_at IS 'when it was recorded';
COMMENT ON COLUMN tiktok.event_status.status IS 'pending or retrying: not sent yet, or to be sent again. Final: delivered (TikTok accepted it), rejected (TikTok refused it), invalid (not sent: something is wrong with it), suppressed (not sent: no consent), expired (not sent: too old), uncertain (perhaps received, and not sent again), discarded (closed by an operator)';
COMMENT ON COLUMN tiktok.event_status.reason IS 'why a final event was not sent or not accepted, as one word; for a delivered event: what was asked for too late. Why others wait is in tiktok.backlog';
COMMENT ON COLUMN tiktok.event_status.attempts IS 'how often it was sent; attempts that never reached TikTok are not counted';
COMMENT ON COLUMN tiktok.event_status.first_attempt_at IS 'when it was first sent';
COMMENT ON COLUMN tiktok.event_status.last_attempt_at IS 'when it was last sent';
COMMENT ON COLUMN tiktok.event_status.next_attempt_at IS 'when it is due to be sent again; NULL unless retrying';
COMMENT ON COLUMN tiktok.event_status.delivered_at IS 'when TikTok''s acceptance was recorded; NULL unless delivered';
COMMENT ON COLUMN tiktok.event_status.http_status IS 'HTTP status of the last attempt; NULL: there was no answer';
COMMENT ON COLUMN tiktok.event_status.code IS 'TikTok''s return code of the last attempt';
COMMENT ON COLUMN tiktok.event_status.message IS 'TikTok''s message of the last attempt, or what went wrong on the way';
COMMENT ON COLUMN tiktok.event_status.request_id IS 'TikTok''s id of the request, for its support';
COMMENT ON COLUMN tiktok.event_status.is_test IS 'it is a test event, which counts nowhere';
COMMENT ON COLUMN tiktok.event_status.value IS 'value, in currency';
COMMENT ON COLUMN tiktok.event_status.currency IS 'ISO 4217 code';
COMMENT ON COLUMN tiktok.event_status.notes IS 'what was left out of the event, and why';

CREATE FUNCTION tiktok_internal.worker_status(
	OUT database_oid oid, OUT pid int, OUT state text, OUT since timestamptz, OUT in_flight int,
	OUT requests bigint, OUT delivered bigint, OUT failed bigint,
	OUT last_error text, OUT last_error_at timestamptz, OUT heartbeat timestamptz)
RETURNS SETOF record LANGUAGE c VOLATILE PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'tte_sql_worker_status';
COMMENT ON FUNCTION tiktok_internal.worker_status() IS 'workers and databases in shared memory; of other databases roles without pg_read_all_stats see no more than the first columns';

CREATE FUNCTION tiktok_internal.enqueue_counters(source_id int, OUT conflict bigint, OUT no_mapping bigint, OUT since timestamptz)
RETURNS record LANGUAGE c VOLATILE STRICT PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'tte_sql_enqueue_counters';
COMMENT ON FUNCTION tiktok_internal.enqueue_counters(int) IS 'counters of a source in shared memory; NULL when the library is not preloaded';

CREATE VIEW tiktok_internal.obstacle AS
SELECT o.state, CASE
		WHEN o.state OPERATOR(pg_catalog.=) 'not_preloaded' THEN 'shared_preload_libraries does not have tiktok_events'
		WHEN o.state OPERATOR(pg_catalog.=) 'off' THEN 'tiktok_events.enabled is off'
		WHEN o.state OPERATOR(pg_catalog.=) ANY (ARRAY['refused', 'version_mismatch']) THEN w.last_error
		WHEN pg_catalog.pg_is_in_recovery() THEN 'a standby sends nothing'
		ELSE 'no process sends the events of this database' END AS reason
FROM (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database()) d
LEFT JOIN tiktok_internal.worker_status() w ON w.database_oid OPERATOR(pg_catalog.=) d.oid,
	LATERAL (SELECT CASE
		WHEN (tiktok_internal.enqueue_counters(0)).since IS NULL THEN 'not_preloaded'
		WHEN pg_catalog.current_setting('tiktok_events.enabled', true) OPERATOR(pg_catalog.=) 'off' THEN 'off'
		WHEN (w.pid IS NOT NULL OR w.state OPERATOR(pg_catalog.=) ANY (ARRAY['resting', 'waiting', 'starting', 'unlisted'])) IS NOT TRUE THEN 'no_worker'
		WHEN w.state OPERATOR(pg_catalog.=) ANY (ARRAY['refused', 'version_mismatch']) THEN w.state END) o (state)
WHERE o.state IS NOT NULL;
COMMENT ON VIEW tiktok_internal.obstacle IS 'why nothing at all is sent from this database; no row: something is';

CREATE VIEW tiktok_internal.backlog AS
SELECT s.name AS source,
	CASE WHEN NOT s.enabled THEN 'disabled' WHEN c.paused THEN 'paused' ELSE coalesce(t.state, 'sending') END AS state,
	CASE WHEN NOT s.enabled THEN NULL WHEN c.paused THEN c.reason ELSE t.reason END AS reason,
	CASE WHEN NOT s.enabled THEN NULL WHEN c.paused THEN c.changed_at ELSE t.since END AS since,
	p.pending OPERATOR(pg_catalog.+) r.waiting AS pending,
	r.retrying,
	least(p.oldest, r.oldest) AS oldest_enqueued_at,
	greatest(t.probe_at, CASE WHEN p.pending OPERATOR(pg_catalog.=) 0 AND r.next_attempt_at OPERATOR(pg_catalog.<) 'infinity' THEN r.next_attempt_at END) AS next_attempt_at,
	s.requests_per_second
FROM tiktok.source s
LEFT JOIN tiktok.source_control c ON c.source_id OPERATOR(pg_catalog.=) s.id
LEFT JOIN tiktok.source_state t ON t.source_id OPERATOR(pg_catalog.=) s.id
CROSS JOIN LATERAL (
	SELECT pg_catalog.count(*) AS pending, pg_catalog.min(e.enqueued_at) AS oldest
	FROM tiktok_internal.pending e WHERE e.source_id OPERATOR(pg_catalog.=) s.id) p
CROSS JOIN LATERAL (
	SELECT pg_catalog.count(*) FILTER (WHERE w.attempts OPERATOR(pg_catalog.>) 0 OR w.possibly_received_at IS NOT NULL) AS retrying,
		pg_catalog.count(*) FILTER (WHERE w.attempts OPERATOR(pg_catalog.=) 0 AND w.possibly_received_at IS NULL) AS waiting,
		pg_catalog.min(e.enqueued_at) AS oldest, pg_catalog.min(w.next_attempt_at) AS next_attempt_at
	FROM tiktok.retry w JOIN tiktok.event e ON e.id OPERATOR(pg_catalog.=) w.id
	WHERE w.source_id OPERATOR(pg_catalog.=) s.id) r;
COMMENT ON VIEW tiktok_internal.backlog IS 'tiktok.backlog, with the state of the source alone';

CREATE VIEW tiktok.backlog AS
SELECT b.source, coalesce(o.state, b.state) AS state, CASE WHEN o.state IS NULL THEN b.reason ELSE o.reason END AS reason,
	CASE WHEN o.state IS NULL THEN b.since END AS since, b.pending, b.retrying, b.oldest_enqueued_at,
	CASE WHEN o.state IS NULL THEN b.next_attempt_at END AS next_attempt_at, b.requests_per_second
FROM tiktok_internal.backlog b LEFT JOIN tiktok_internal.obstacle o ON b.state NOT IN ('disabled', 'paused');
COMMENT ON VIEW tiktok.backlog IS 'one row per source: how many events are unfinished, and whether they are being sent';
COMMENT ON COLUMN tiktok.backlog.source IS 'name of the source';
COMMENT ON COLUMN tiktok.backlog.state IS 'sending, or why not. For all sources: not_preloaded, off (tiktok_events.enabled), no_worker (a standby; tiktok_events.databases leaves the database out), refused and version_mismatch (as in tiktok.worker_status). For this one: disabled, paused, no_token, copied, open (the circuit breaker)';
COMMENT ON COLUMN tiktok.backlog.reason IS 'why not, in words';
COMMENT ON COLUMN tiktok.backlog.since IS 'since when nothing is sent';
COMMENT ON COLUMN tiktok.backlog.pending IS 'events that wait for their first attempt, or are on their way';
COMMENT ON COLUMN tiktok.backlog.retrying IS 'events that were sent without success and will be sent again';
COMMENT ON COLUMN tiktok.backlog.oldest_enqueued_at IS 'when the oldest of these was recorded';
COMMENT ON COLUMN tiktok.backlog.next_attempt_at IS 'when the next attempt is due; NULL: as soon as possible';
COMMENT ON COLUMN tiktok.backlog.requests_per_second IS 'maximum number of requests per second, from tiktok.source';

CREATE VIEW tiktok.backlog_kind AS
SELECT s.name AS source,
	w.kind AS event,
	pg_catalog.count(*) AS waiting,
	pg_catalog.min(e.enqueued_at) AS oldest_enqueued_at
FROM tiktok.retry w
JOIN tiktok.source s ON s.id OPERATOR(pg_catalog.=) w.source_id
JOIN tiktok.event e ON e.id OPERATOR(pg_catalog.=) w.id
WHERE w.kind IS NOT NULL
GROUP BY s.name, w.kind;
COMMENT ON VIEW tiktok.backlog_kind IS 'one row per source and event name that TikTok refuses: its events are sent one by one until one is accepted';
COMMENT ON COLUMN tiktok.backlog_kind.source IS 'name of the source';
COMMENT ON COLUMN tiktok.backlog_kind.event IS 'event name';
COMMENT ON COLUMN tiktok.backlog_kind.waiting IS 'events of that name that wait';
COMMENT ON COLUMN tiktok.backlog_kind.oldest_enqueued_at IS 'when the oldest of these was recorded';

CREATE VIEW tiktok.worker_status AS
SELECT d.datname AS database, w.pid, w.state, w.since, w.in_flight, w.requests, w.delivered, w.failed,
	w.last_error, w.last_error_at, w.heartbeat
FROM tiktok_internal.worker_status() w
LEFT JOIN pg_catalog.pg_database d ON d.oid OPERATOR(pg_catalog.=) w.database_oid;
COMMENT ON VIEW tiktok.worker_status IS 'one row per database of the cluster with the extension: its background worker, or whether it waits for one. Counters and errors of other databases are shown to members of pg_read_all_stats only';
COMMENT ON COLUMN tiktok.worker_status.database IS 'name of the database';
COMMENT ON COLUMN tiktok.worker_status.pid IS 'process id; NULL: no process serves the database';
COMMENT ON COLUMN tiktok.worker_status.state IS 'starting, idle, sending, failed (recovering from an error), refused (a table of the extension has been tampered with: last_error says how), version_mismatch (ALTER EXTENSION tiktok_events UPDATE, or the library of that version, is needed); without a process: resting (nothing is due; a commit brings a worker), waiting (for a worker, because others have all of them), unlisted (max_databases is too small: it is looked at every ten minutes)';
COMMENT ON COLUMN tiktok.worker_status.since IS 'since when it is in this state';
COMMENT ON COLUMN tiktok.worker_status.in_flight IS 'requests under way';
COMMENT ON COLUMN tiktok.worker_status.requests IS 'requests that ended since the server started';
COMMENT ON COLUMN tiktok.worker_status.delivered IS 'events delivered since the server started';
COMMENT ON COLUMN tiktok.worker_status.failed IS 'requests that delivered nothing';
COMMENT ON COLUMN tiktok.worker_status.last_error IS 'text of its last error; NULL: none';
COMMENT ON COLUMN tiktok.worker_status.last_error_at IS 'when that was';
COMMENT ON COLUMN tiktok.worker_status.heartbeat IS 'when it last went through its loop; at most five seconds ago unless something is wrong';

CREATE FUNCTION tiktok_internal.status_counters(source_id int, OUT status text, OUT events bigint, OUT since timestamptz)
RETURNS SETOF record LANGUAGE c VOLATILE STRICT PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'tte_sql_status_counters';
COMMENT ON FUNCTION tiktok_internal.status_counters(int) IS 'events of a source that became final, by status, as they are counted in shared memory';

CREATE FUNCTION tiktok_internal.unmapped_stages(source_id int, OUT stage text, OUT no_mapping bigint)
RETURNS SETOF record LANGUAGE c VOLATILE STRICT PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'tte_sql_unmapped_stages';
COMMENT ON FUNCTION tiktok_internal.unmapped_stages(int) IS 'stages of a source in shared memory that made no event';

CREATE VIEW tiktok.enqueue_counters AS
SELECT s.name AS source, c.conflict, c.no_mapping, c.since
FROM tiktok.source s, LATERAL tiktok_internal.enqueue_counters(s.id) c;
COMMENT ON VIEW tiktok.enqueue_counters IS 'one row per source: rows and calls that recorded no event since the server was started, including those of rolled back transactions; NULL when the library is not preloaded';
COMMENT ON COLUMN tiktok.enqueue_counters.source IS 'name of the source';
COMMENT ON COLUMN tiktok.enqueue_counters.conflict IS 'events whose key (source, event, event_id) was recorded before with other content; the first event stays. Times and values of identifiers are not compared. A lead that comes back to a stage and a row of a backfill are not counted';
COMMENT ON COLUMN tiktok.enqueue_counters.no_mapping IS 'rows with a stage that tiktok.lead_stage does not map';
COMMENT ON COLUMN tiktok.enqueue_counters.since IS 'when counting began: the start of the server, or its recovery from a crash';

CREATE VIEW tiktok.status_counters AS
SELECT s.name AS source, c.status, c.events, c.since
FROM tiktok.source s, LATERAL tiktok_internal.status_counters(s.id) c;
COMMENT ON VIEW tiktok.status_counters IS 'one row per source and final status: how often events came to it since the server was started, test events included; what operators discard or suppress is not counted. No row when the library is not preloaded';
COMMENT ON COLUMN tiktok.status_counters.source IS 'name of the source';
COMMENT ON COLUMN tiktok.status_counters.status IS 'delivered, rejected, invalid, suppressed, expired, uncertain';
COMMENT ON COLUMN tiktok.status_counters.events IS 'events that came to it; one that is sent again may be counted again, as may one whose transaction is rolled back';
COMMENT ON COLUMN tiktok.status_counters.since IS 'when counting began: the start of the server, or its recovery from a crash';

CREATE VIEW tiktok.unmapped_stage AS
SELECT s.name AS source, u.stage, u.no_mapping
FROM tiktok.source s, LATERAL tiktok_internal.unmapped_stages(s.id) u;
COMMENT ON VIEW tiktok.unmapped_stage IS 'stages that tiktok.lead_stage does not map, as rows had them since the server was started; the first 64 of a source, cut at 63 bytes, without those that look like an identifier';
COMMENT ON COLUMN tiktok.unmapped_stage.source IS 'name of the source';
COMMENT ON COLUMN tiktok.unmapped_stage.stage IS 'the stage as the rows have it';
COMMENT ON COLUMN tiktok.unmapped_stage.no_mapping IS 'rows with this stage';

CREATE FUNCTION tiktok_internal.query_counters(OUT relation oid, OUT trigger_name text, OUT queried bigint, OUT no_row bigint)
RETURNS SETOF record LANGUAGE c VOLATILE STRICT PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'tte_sql_query_counters';
COMMENT ON FUNCTION tiktok_internal.query_counters() IS 'queries and functions of triggers, as they are counted in shared memory';

CREATE VIEW tiktok.query_counters AS
SELECT q.relation::pg_catalog.regclass AS relation, q.trigger_name, q.queried, q.no_row
FROM tiktok_internal.query_counters() q
WHERE EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.oid OPERATOR(pg_catalog.=) q.relation);
COMMENT ON VIEW tiktok.query_counters IS 'one row per trigger that completes its rows by a query or a function of using: how often that had no row or returned NULL, so that there was no event, since the server was started';
COMMENT ON COLUMN tiktok.query_counters.relation IS 'table of the trigger';
COMMENT ON COLUMN tiktok.query_counters.trigger_name IS 'its name';
COMMENT ON COLUMN tiktok.query_counters.queried IS 'rows for which it was run';
COMMENT ON COLUMN tiktok.query_counters.no_row IS 'rows for which it had no row, or returned NULL: no event was recorded';

CREATE FUNCTION tiktok_internal.unmapped_sources(OUT relation oid, OUT key text, OUT no_source bigint, OUT not_recorded bigint)
RETURNS SETOF record LANGUAGE c VOLATILE STRICT PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'tte_sql_unmapped_sources';
COMMENT ON FUNCTION tiktok_internal.unmapped_sources() IS 'rows without a known source, by what they had instead, and rows while tiktok_events.recording was off, as they are counted in shared memory; the empty key stands for all of a table';

CREATE VIEW tiktok.unmapped_source AS
SELECT r.relation, r.key, r.no_source
FROM (
	SELECT u.relation::pg_catalog.regclass AS relation, nullif(u.key, '') AS key,
		u.no_source OPERATOR(pg_catalog.-) CASE WHEN u.key OPERATOR(pg_catalog.=) '' THEN coalesce((
			SELECT pg_catalog.sum(n.no_source) FROM tiktok_internal.unmapped_sources() n
			WHERE n.relation OPERATOR(pg_catalog.=) u.relation AND n.key OPERATOR(pg_catalog.<>) ''), 0)::bigint ELSE 0 END AS no_source
	FROM tiktok_internal.unmapped_sources() u
	WHERE EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.oid OPERATOR(pg_catalog.=) u.relation)) r
WHERE r.no_source OPERATOR(pg_catalog.>) 0;
COMMENT ON VIEW tiktok.unmapped_source IS 'what rows had in the column that names their source, and is no key or name of one, since the server was started: no event was recorded';
COMMENT ON COLUMN tiktok.unmapped_source.relation IS 'table of the rows';
COMMENT ON COLUMN tiktok.unmapped_source.key IS 'what they had, the first 64 of a table, cut at 63 bytes; NULL: nothing, or all the others';
COMMENT ON COLUMN tiktok.unmapped_source.no_source IS 'rows with it';

CREATE VIEW tiktok.not_recorded AS
SELECT coalesce(pg_catalog.pg_partition_root(u.relation), u.relation)::pg_catalog.regclass AS relation, pg_catalog.sum(u.not_recorded)::bigint AS not_recorded
FROM tiktok_internal.unmapped_sources() u
WHERE u.key OPERATOR(pg_catalog.=) '' AND u.not_recorded OPERATOR(pg_catalog.>) 0
	AND (u.relation OPERATOR(pg_catalog.=) 0::oid OR EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.oid OPERATOR(pg_catalog.=) u.relation))
GROUP BY 1;
COMMENT ON VIEW tiktok.not_recorded IS 'rows and calls that made no event because tiktok_events.recording was off, since the server was started; those of rolled back transactions count, too';
COMMENT ON COLUMN tiktok.not_recorded.relation IS 'table of the trigger; a dash: calls of tiktok.track';
COMMENT ON COLUMN tiktok.not_recorded.not_recorded IS 'how many';
