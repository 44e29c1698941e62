/*
 * Reconciliation: your orders, our events, TikTok's counts, and each difference with its cause.
 *
 * tiktok_internal.compare() reads a period once and returns row by row only what does not agree; tiktok_internal.difference_causes() names the cause of each
 * of these rows; differences, bridge and reconcile show them.
 *
 * Your rows are read as the owner of their relation, for whoever may read it; the names of relations come from a table
 * that only admins write, and are resolved to relations before they become part of a query.  jit is off in functions of
 * long queries, because compiling them takes longer than running them.
 */

CREATE TABLE tiktok.source_of_truth (
	source text NOT NULL REFERENCES tiktok.source (name) ON UPDATE CASCADE ON DELETE CASCADE,
	event text NOT NULL,
	relation text NOT NULL CONSTRAINT relation_has_a_schema CHECK (cardinality(parse_ident(relation)) = 2),
	PRIMARY KEY (source, event)
);
COMMENT ON TABLE tiktok.source_of_truth IS 'which tables or views say what should have been reported; their columns are event_id, value, currency and at; they are read as their owner, for whoever may read them';
COMMENT ON COLUMN tiktok.source_of_truth.source IS 'name of the source';
COMMENT ON COLUMN tiktok.source_of_truth.event IS 'event that each row should be';
COMMENT ON COLUMN tiktok.source_of_truth.relation IS 'name of the table or view with its schema, as public.paid_orders, which no superuser should own; a time without zone in it is in tiktok.source.time_zone';
SELECT pg_extension_config_dump('tiktok.source_of_truth', '');

CREATE FUNCTION tiktok_internal.has_rows_elsewhere(relation oid) RETURNS boolean
LANGUAGE c STABLE STRICT PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'tte_sql_has_rows_elsewhere';
COMMENT ON FUNCTION tiktok_internal.has_rows_elsewhere(oid) IS 'whether Citus keeps rows of a distributed table on other servers';

-- Looked up here and not by to_regclass(), which is an error for who may not use the schema. Orders of a table that Citus distributes, or of
-- a view of it, are compared only where the events of all servers come to: where a subscription writes tiktok.event.
CREATE VIEW tiktok_internal.truth_relation AS
SELECT t.source, t.event, t.relation, c.oid, p.problem,
	CASE WHEN p.sqlstate = '55000' THEN 'Ask the server to which all events are published: docs/scale-out.md.'
		WHEN p.sqlstate = '42501' THEN 'Ask its owner or a superuser to run: ' || CASE WHEN has_schema_privilege(n.oid, 'USAGE') THEN '' ELSE format('GRANT USAGE ON SCHEMA %I TO %I; ', n.nspname, current_user) END
				|| format('GRANT SELECT ON %s TO %I;', t.relation, current_user)
		ELSE 'Correct tiktok.source_of_truth, or the relation: it needs the columns event_id, value, currency and at.' END AS hint, p.sqlstate
FROM tiktok.source_of_truth t
LEFT JOIN (pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace)
	ON n.nspname = (parse_ident(t.relation))[1] AND c.relname = (parse_ident(t.relation))[2] AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
CROSS JOIN LATERAL (
	SELECT string_agg(k.name, ', ' ORDER BY k.n) AS columns
	FROM unnest('{event_id,value,currency,at}'::text[]) WITH ORDINALITY k (name, n)
	WHERE NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = k.name AND NOT a.attisdropped)) m
CROSS JOIN LATERAL (
	WITH RECURSIVE read (oid) AS (
		SELECT c.oid
		UNION
		SELECT d.refobjid
		FROM read r
		JOIN pg_rewrite w ON w.ev_class = r.oid
		JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid AND d.refclassid = 'pg_class'::regclass
	)
	SELECT coalesce(bool_or(tiktok_internal.has_rows_elsewhere(r.oid)), false)
		AND NOT EXISTS (SELECT FROM pg_subscription_rel s WHERE s.srrelid = 'tiktok.event'::regclass) AS events
	FROM read r) elsewhere
LEFT JOIN LATERAL (
	SELECT x.problem, x.sqlstate
	FROM (VALUES (1, c.oid IS NULL, 'does not exist', '42P01'), (2, m.columns IS NOT NULL, 'lacks ' || m.columns, '42703'),
		(3, NOT has_schema_privilege(n.oid, 'USAGE') OR NOT has_table_privilege(c.oid, 'SELECT') AND NOT has_any_column_privilege(c.oid, 'SELECT'),
			format('may not be read by role "%s"', current_user), '42501'),
		(4, elsewhere.events, 'is distributed by Citus, and the events of its other servers do not come here', '55000')) x (n, holds, problem, sqlstate)
	WHERE x.holds ORDER BY x.n LIMIT 1) p ON true;
COMMENT ON VIEW tiktok_internal.truth_relation IS 'the registered relations, and what is wrong with them';

CREATE TABLE tiktok.platform_count (
	source text NOT NULL REFERENCES tiktok.source (name) ON UPDATE CASCADE ON DELETE CASCADE,
	day date NOT NULL,
	event text NOT NULL,
	browser bigint CHECK (browser >= 0),
	server bigint CHECK (server >= 0),
	total bigint CHECK (total >= 0),
	value numeric CHECK (value >= 0),
	PRIMARY KEY (source, day, event)
);
COMMENT ON TABLE tiktok.platform_count IS 'TikTok''s own counts, fetched with the token of tiktok.set_reporting_token, or loaded by COPY or INSERT';
COMMENT ON COLUMN tiktok.platform_count.source IS 'name of the source';
COMMENT ON COLUMN tiktok.platform_count.day IS 'day (UTC), as TikTok''s reporting API counts';
COMMENT ON COLUMN tiktok.platform_count.event IS 'event name, spelled as in tiktok.event_status; a type of TikTok''s that tiktok.platform_event_type lacks is kept as it came';
COMMENT ON COLUMN tiktok.platform_count.browser IS 'events that TikTok had from the Pixel';
COMMENT ON COLUMN tiktok.platform_count.server IS 'events that TikTok had from the Events API; here and in browser, NULL is unknown, and 0 also stands for an event that is not in an answer with other counts';
COMMENT ON COLUMN tiktok.platform_count.total IS 'browser + server, as TikTok shows it: not deduplicated, so that it says nothing of an overlap; not used';
COMMENT ON COLUMN tiktok.platform_count.value IS 'what TikTok says these events were worth; NULL: unknown, as its reporting API does not say';

-- A row of an administrator wins over the shipped one of the same type, and is dumped.
CREATE TABLE tiktok.platform_event_type (
	type text NOT NULL,
	event text,
	shipped boolean NOT NULL DEFAULT false,
	PRIMARY KEY (type, shipped)
);
COMMENT ON TABLE tiktok.platform_event_type IS 'which event a type in TikTok''s counts is; add a row for a type that tiktok.reporting shows as unmapped; your row wins over a shipped one of that type';
COMMENT ON COLUMN tiktok.platform_event_type.type IS 'pixel_event_type of TikTok''s reporting API';
COMMENT ON COLUMN tiktok.platform_event_type.event IS 'event name, spelled as in tiktok.event_status; NULL: an event that the Pixel makes by itself, which is not stored';
COMMENT ON COLUMN tiktok.platform_event_type.shipped IS 'the row comes with the extension, and is not dumped';
INSERT INTO tiktok.platform_event_type (type, event, shipped) VALUES
	('SHOPPING', 'Purchase', true), ('ON_WEB_CART', 'AddToCart', true), ('INITIATE_ORDER', 'InitiateCheckout', true), ('ON_WEB_DETAIL', 'ViewContent', true),
	('ADD_BILLING', 'AddPaymentInfo', true), ('ON_WEB_ADD_TO_WISHLIST', 'AddToWishlist', true), ('ON_WEB_SEARCH', 'Search', true),
	('ON_WEB_SUBSCRIBE', 'Subscribe', true), ('FORM', 'Lead', true), ('ON_WEB_REGISTER', 'CompleteRegistration', true), ('CONSULT', 'Contact', true),
	('DOWNLOAD_START', 'Download', true), ('ON_WEB_ORDER', 'PlaceAnOrder', true), ('BUTTON', 'ClickButton', true),
	('PAGE_VIEW', NULL, true), ('LANDING_PAGE_VIEW', NULL, true), ('ENGAGED_SESSION', NULL, true);
SELECT pg_extension_config_dump('tiktok.platform_event_type', 'WHERE NOT shipped');

CREATE TABLE tiktok.report_fetch (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	source text NOT NULL REFERENCES tiktok.source (name) ON UPDATE CASCADE ON DELETE CASCADE,
	call text NOT NULL,
	pixel_id text,
	day date,
	started_at timestamptz NOT NULL,
	finished_at timestamptz NOT NULL,
	outcome text NOT NULL,
	http_status int,
	code int,
	message text,
	request_id text,
	bytes int NOT NULL,
	counts int,
	unmapped text[]
);
CREATE INDEX report_fetch_day ON tiktok.report_fetch (source, day);
COMMENT ON TABLE tiktok.report_fetch IS 'one row per call of TikTok''s reporting API that has ended, of the last 40 days';
COMMENT ON COLUMN tiktok.report_fetch.id IS 'number of the call; the newest is the highest';
COMMENT ON COLUMN tiktok.report_fetch.source IS 'name of the source';
COMMENT ON COLUMN tiktok.report_fetch.call IS 'pixel/list, which has the number of the Pixel, or pixel/event/stats, which has counts';
COMMENT ON COLUMN tiktok.report_fetch.pixel_id IS 'number of the Pixel';
COMMENT ON COLUMN tiktok.report_fetch.day IS 'day (UTC) whose counts were asked for';
COMMENT ON COLUMN tiktok.report_fetch.started_at IS 'when it was sent';
COMMENT ON COLUMN tiktok.report_fetch.finished_at IS 'when it was answered, or given up';
COMMENT ON COLUMN tiktok.report_fetch.outcome IS 'ok, throttled, failed (tried again, ever later), or stopped (not tried again until token, advertiser or Pixel change)';
COMMENT ON COLUMN tiktok.report_fetch.http_status IS 'HTTP status of the answer; NULL: there was none';
COMMENT ON COLUMN tiktok.report_fetch.code IS 'TikTok''s return code; see tiktok.explain_code';
COMMENT ON COLUMN tiktok.report_fetch.message IS 'TikTok''s message, of which only harmless words are kept, or what went wrong';
COMMENT ON COLUMN tiktok.report_fetch.request_id IS 'TikTok''s id of the request, for its support';
COMMENT ON COLUMN tiktok.report_fetch.bytes IS 'size of the answer';
COMMENT ON COLUMN tiktok.report_fetch.counts IS 'how many counts of the Pixel the answer had; NULL: it did not name the Pixel';
COMMENT ON COLUMN tiktok.report_fetch.unmapped IS 'types in it that tiktok.platform_event_type lacks';

CREATE TABLE tiktok.report_state (
	source_id int PRIMARY KEY REFERENCES tiktok.source (id) ON DELETE CASCADE,
	state text NOT NULL,
	reason text,
	token_stamp bigint NOT NULL,
	advertiser_id text,
	pixel_code text,
	pixel_id text,
	failures int NOT NULL DEFAULT 0,
	next_at timestamptz NOT NULL
);
COMMENT ON TABLE tiktok.report_state IS 'how far the worker is in fetching TikTok''s counts of a source; shown by tiktok.reporting';
COMMENT ON COLUMN tiktok.report_state.source_id IS 'tiktok.source.id';
COMMENT ON COLUMN tiktok.report_state.state IS 'as in tiktok.reporting';
COMMENT ON COLUMN tiktok.report_state.reason IS 'why nothing is fetched';
COMMENT ON COLUMN tiktok.report_state.token_stamp IS 'a number that changes with the token, but is not made of it';
COMMENT ON COLUMN tiktok.report_state.advertiser_id IS 'tiktok.source.advertiser_id, for which pixel_id was found';
COMMENT ON COLUMN tiktok.report_state.pixel_code IS 'tiktok.source.event_source_id, the same';
COMMENT ON COLUMN tiktok.report_state.pixel_id IS 'TikTok''s number of the Pixel; NULL: not known';
COMMENT ON COLUMN tiktok.report_state.failures IS 'calls that failed in a row, with one that is under way';
COMMENT ON COLUMN tiktok.report_state.next_at IS 'when it is fetched again; infinity: not by itself';

CREATE VIEW tiktok.reporting AS
SELECT s.name AS source, s.advertiser_id, r.pixel_id,
	v.state,
	CASE WHEN v.state = r.state THEN r.reason END AS reason,
	f.last_ok,
	CASE WHEN v.state IN ('ok', 'failing', 'unbound') AND isfinite(r.next_at) THEN r.next_at END AS next_at,
	ARRAY(
		SELECT DISTINCT u.type
		FROM tiktok.report_fetch f, unnest(f.unmapped) u (type)
		WHERE f.source = s.name AND f.day >= (now() AT TIME ZONE 'UTC')::date - 29
		AND NOT EXISTS (SELECT FROM tiktok.platform_event_type t WHERE t.type = u.type)
		ORDER BY 1) AS unmapped
FROM tiktok.source s
LEFT JOIN tiktok.report_state r ON r.source_id = s.id
LEFT JOIN tiktok.source_control c ON c.source_id = s.id
CROSS JOIN LATERAL (
	SELECT CASE
		WHEN s.advertiser_id IS NULL THEN 'off'
		WHEN NOT s.enabled OR coalesce(c.paused, false) THEN 'paused'
		WHEN current_setting('tiktok_events.reporting_endpoint', true) = ''
			AND current_setting('tiktok_events.endpoint', true) NOT LIKE 'https://business-api.tiktok.com/%' THEN 'no_endpoint'
		ELSE coalesce(r.state, 'waiting')
	END AS state) v
CROSS JOIN LATERAL (
	SELECT max(f.finished_at) AS last_ok FROM tiktok.report_fetch f WHERE f.source = s.name AND f.call = 'pixel/event/stats' AND f.outcome = 'ok') f
WHERE s.event_source = 'web';
COMMENT ON VIEW tiktok.reporting IS 'whether TikTok''s counts of each web source are fetched, and why not; TikTok has no counts of other kinds of source';
COMMENT ON COLUMN tiktok.reporting.source IS 'name of the source';
COMMENT ON COLUMN tiktok.reporting.advertiser_id IS 'number of the advertiser account';
COMMENT ON COLUMN tiktok.reporting.pixel_id IS 'TikTok''s number of the Pixel; NULL: not known yet';
COMMENT ON COLUMN tiktok.reporting.state IS
'ok; failing: the last call failed, and the next is made later; stopped: token, rights or advertiser are refused, until tiktok.set_reporting_token is called again or the file is replaced;
unbound: the Pixel belongs to no advertiser account, so that TikTok does not count, looked at again once a day; no_pixel: the advertiser has no Pixel of that code;
off: no advertiser is set; no_token; copied: this database is a copy, see tiktok.confirm_database; paused: the source is paused or disabled;
no_endpoint: events go to a test server, and tiktok_events.reporting_endpoint is not set; waiting: the worker has not looked yet';
COMMENT ON COLUMN tiktok.reporting.reason IS 'what the worker found';
COMMENT ON COLUMN tiktok.reporting.last_ok IS 'when counts were fetched last';
COMMENT ON COLUMN tiktok.reporting.next_at IS 'when the next call is made';
COMMENT ON COLUMN tiktok.reporting.unmapped IS 'types in TikTok''s counts of the last 30 days that tiktok.platform_event_type lacks';

-- A day that was fetched only before it was over has a part of its counts.
CREATE VIEW tiktok_internal.count AS
SELECT c.source, c.day, c.event, c.browser, c.server, c.value
FROM tiktok.platform_count c
WHERE NOT EXISTS (SELECT FROM tiktok.report_fetch f WHERE f.source = c.source AND f.day = c.day AND f.outcome = 'ok')
OR EXISTS (SELECT FROM tiktok.report_fetch f WHERE f.source = c.source AND f.day = c.day AND f.outcome = 'ok' AND f.started_at >= (c.day + 1)::timestamp AT TIME ZONE 'UTC');
COMMENT ON VIEW tiktok_internal.count IS 'TikTok''s counts of days that were over when they were fetched, or that were loaded';

CREATE VIEW tiktok_internal.count_health AS
SELECT r.source, CASE WHEN p.said IS NULL THEN 'ok' ELSE 'warn' END AS state,
	format('"%s": TikTok''s counts %s', r.source, CASE WHEN p.said IS NULL THEN 'were fetched at ' || date_trunc('second', r.last_ok)
		ELSE 'are not fetched' || coalesce(' since ' || date_trunc('second', r.last_ok), '') || ': ' || p.said
			|| CASE WHEN r.state IN ('stopped', 'failing') AND r.reason IS NOT NULL THEN ' (' || r.reason || ')' ELSE '' END END) AS detail,
	p.hint || ' Events are sent all the same.' AS hint
FROM tiktok.reporting r
LEFT JOIN LATERAL (SELECT min(f.started_at) AS first_at FROM tiktok.report_fetch f WHERE f.source = r.source) f ON true
LEFT JOIN LATERAL (
	SELECT x.said, x.hint
	FROM (SELECT substring(r.reason FROM '^code ([0-9]{1,9})')::int AS code) c,
		LATERAL (VALUES
			(1, r.state = 'stopped' AND c.code IN (40001, 40125), 'the token may not read them',
				'Give the developer app the scopes Read Pixels and Pixel Level Reporting, let an administrator of the advertiser account authorise it again, and call tiktok.set_reporting_token() with the new token.'),
			(2, r.state = 'stopped' AND c.code IN (40300, 40301), 'the app has no access to the advertiser account',
				'Let an administrator of that account authorise the developer app, or correct the number of the account, with tiktok.set_reporting_token().'),
			(3, r.state = 'stopped', 'TikTok does not take the token', 'It has expired or was withdrawn: authorise the developer app again and call tiktok.set_reporting_token() with the new token.'),
			(4, r.state = 'no_token', 'there is no token for them', 'Call tiktok.set_reporting_token(), or put the token into its file.'),
			(5, r.state = 'no_pixel', 'the advertiser account has no such Pixel', 'Correct advertiser_id or event_source_id in tiktok.source.'),
			(6, r.state = 'unbound', 'the Pixel belongs to no advertiser account', 'Connect it with one in Business Center; TikTok does not count before.'),
			(7, r.state = 'copied', 'this database is a copy', 'Set a reporting token here, or call tiktok.confirm_database().'),
			(8, r.state = 'failing' AND coalesce(r.last_ok < now() - interval '24 hours', f.first_at < now() - interval '1 hour'), 'TikTok does not answer as it should',
				'They are asked for again by themselves, after too many requests more slowly. tiktok.report_fetch has each call.'),
			(9, r.state = 'ok' AND r.last_ok < now() - interval '24 hours', 'the worker does not ask', 'Look at tiktok.worker_status and tiktok_events.enabled.')) x (n, holds, said, hint)
	WHERE x.holds ORDER BY x.n LIMIT 1) p ON true
WHERE r.state NOT IN ('off', 'paused', 'no_endpoint', 'waiting') AND (p.said IS NOT NULL OR r.last_ok IS NOT NULL);
COMMENT ON VIEW tiktok_internal.count_health IS 'whether TikTok''s counts are fetched, as tiktok.health says it';

CREATE FUNCTION tiktok_internal.truth_is_readable(relation oid) RETURNS boolean
LANGUAGE c STABLE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'tte_sql_truth_is_readable';
COMMENT ON FUNCTION tiktok_internal.truth_is_readable(oid) IS 'whether the rows of a relation are read for the current user';

CREATE VIEW tiktok_internal.pixel_report AS
SELECT date_bin('1 hour', p.seen_at, '2000-01-01 00:00+00') AS hour, p.source_id, p.event, p.event_id, p.seen_at
FROM tiktok.pixel_seen p;
COMMENT ON VIEW tiktok_internal.pixel_report IS 'the Pixel''s reports, as they are compared';

-- Two sources with the same id are one to TikTok.
CREATE VIEW tiktok_internal.sibling AS
SELECT s.name AS source, s.time_zone, o.id AS sibling_id, o.name AS sibling
FROM tiktok.source s JOIN tiktok.source o ON o.event_source = s.event_source AND o.event_source_id = s.event_source_id;
COMMENT ON VIEW tiktok_internal.sibling IS 'the sources that are one to TikTok';

CREATE VIEW tiktok_internal.event_of_id AS
SELECT date_bin('1 hour', e.enqueued_at, '2000-01-01 00:00+00') AS hour, e.event_id, e.id, e.xid, e.source_id, s.name AS source, e.event,
	e.test_code IS NOT NULL AS is_test, e.event_time, e.value, e.currency
FROM tiktok.event e LEFT JOIN tiktok.source s ON s.id = e.source_id;
COMMENT ON VIEW tiktok_internal.event_of_id IS 'events of every source, tests among them, to be looked up by event_id';

CREATE VIEW tiktok_internal.outcome AS
SELECT d.id, d.status, d.reason, d.at FROM tiktok.delivery d;
COMMENT ON VIEW tiktok_internal.outcome IS 'the status of every final event';

CREATE VIEW tiktok_internal.retried AS
SELECT r.id FROM tiktok.retry r WHERE r.attempts > 0 OR r.possibly_received_at IS NOT NULL;
COMMENT ON VIEW tiktok_internal.retried IS 'events that were sent without success and will be sent again';

CREATE FUNCTION tiktok_internal.compare(sources int[], events text[], relations oid[], since timestamptz, until timestamptz,
	OUT kind text, OUT n bigint, OUT day date, OUT event text, OUT event_id text, OUT at timestamptz, OUT value numeric, OUT currency text,
	OUT value_sent numeric, OUT currency_sent text, OUT status text, OUT reason text, OUT delivered_at timestamptz, OUT seen_at timestamptz,
	OUT again boolean, OUT run_since timestamptz, OUT id bigint, OUT source_id int)
RETURNS SETOF record LANGUAGE c STABLE STRICT PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp SET jit = off
AS 'MODULE_PATHNAME', 'tte_sql_compare';
COMMENT ON FUNCTION tiktok_internal.compare(int[], text[], oid[], timestamptz, timestamptz) IS
'orders, events and reports of the Pixel side by side, read once.
kind: agree (n of a day and currency); order; event (without an order); report (that TikTok counts beside the event).';

CREATE FUNCTION tiktok_internal.compared(source text, since timestamptz, until timestamptz,
	OUT kind text, OUT n bigint, OUT day date, OUT event text, OUT event_id text, OUT at timestamptz, OUT value numeric, OUT currency text,
	OUT value_sent numeric, OUT currency_sent text, OUT status text, OUT reason text, OUT delivered_at timestamptz, OUT seen_at timestamptz,
	OUT again boolean, OUT run_since timestamptz, OUT id bigint, OUT source_id int)
RETURNS SETOF record LANGUAGE plpgsql STABLE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' SET jit = off AS $$
DECLARE
	wrong record;
	sources int[];
	events text[];
	relations oid[];
BEGIN
	PERFORM tiktok_internal.source_id(source);
	IF since > until THEN
		RAISE invalid_parameter_value USING MESSAGE = 'since must not be after until';
	END IF;
	SELECT INTO wrong t.* FROM tiktok_internal.truth_relation t JOIN tiktok_internal.sibling s ON s.sibling = t.source
	WHERE s.source = compared.source AND t.problem IS NOT NULL ORDER BY t.source, t.event LIMIT 1;
	IF FOUND THEN
		RAISE EXCEPTION USING ERRCODE = wrong.sqlstate, MESSAGE = format('relation "%s" %s', wrong.relation, wrong.problem), HINT = wrong.hint;
	END IF;
	SELECT array_agg(s.sibling_id), min(set_config('TimeZone', s.time_zone, true)) INTO sources FROM tiktok_internal.sibling s WHERE s.source = compared.source;
	-- a relation that is registered for both of two siblings holds each order once
	SELECT coalesce(array_agg(t.event), '{}'), coalesce(array_agg(t.oid), '{}') INTO events, relations
	FROM (SELECT DISTINCT t.event, t.oid FROM tiktok_internal.truth_relation t JOIN tiktok_internal.sibling s ON s.sibling = t.source WHERE s.source = compared.source) t;
	RETURN QUERY SELECT * FROM tiktok_internal.compare(sources, events, relations, since, until);
END $$;
COMMENT ON FUNCTION tiktok_internal.compared(text, timestamptz, timestamptz) IS 'what is compared for a source, days and times without zone in its time zone';

-- The other places where an order may be are looked up only for those that have no event in sight.
CREATE FUNCTION tiktok_internal.difference_causes(source text, since timestamptz, until timestamptz,
	OUT cause text, OUT n bigint, OUT day date, OUT event text, OUT event_id text, OUT at timestamptz, OUT value numeric, OUT currency text,
	OUT value_sent numeric, OUT currency_sent text, OUT in_orders boolean, OUT in_tiktok boolean, OUT status text, OUT kind text, OUT note text)
RETURNS SETOF record LANGUAGE sql STABLE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp SET jit = off AS $$
	WITH mine AS MATERIALIZED (
		SELECT array_agg(s.sibling_id) AS ids, array_agg(s.sibling) AS names FROM tiktok_internal.sibling s WHERE s.source = difference_causes.source
	), kept AS MATERIALIZED (
		SELECT now() - CASE WHEN k.retention > '0' THEN greatest(least(k.retention, interval '1000 years'), k.longest) END AS since
		FROM (SELECT current_setting('tiktok_events.retention', true)::interval AS retention, max(h.kept_for) AS longest
			FROM tiktok_internal.source_health h, mine WHERE h.source_id = ANY (mine.ids)) k
	), disabled AS MATERIALIZED (
		SELECT string_agg(format('the trigger "%s" of table %s is disabled', t.trigger_name, t.relation::regclass), '; ' ORDER BY t.trigger_name) AS triggers
		FROM tiktok_internal.trigger t, mine
		WHERE NOT t.enabled AND t.source_bytes IN (SELECT convert_to(m, getdatabaseencoding()) FROM unnest(mine.names) m)
	), compared AS MATERIALIZED (
		SELECT c.* FROM tiktok_internal.compared(difference_causes.source, since, until) c
	), elsewhere AS (
		SELECT c.*, f.id AS found, f.status AS found_status, f.reason AS found_reason, f.value AS found_value, f.currency AS found_currency, f.at AS found_at,
			l.test, l.sources, l.names
		FROM compared c
		LEFT JOIN LATERAL (
			SELECT min(e.id) FILTER (WHERE e.event = c.event AND NOT e.is_test AND e.source_id = ANY (mine.ids)) AS found,
				bool_or(e.event = c.event AND e.is_test AND e.source_id = ANY (mine.ids)) AS test,
				-- shops may number their orders alike
				string_agg(DISTINCT e.source, ', ') FILTER (WHERE e.event = c.event AND NOT e.is_test AND e.source_id <> ALL (mine.ids)
					AND e.event_time BETWEEN c.at - interval '1 day' AND c.at + interval '1 day' AND (e.value = c.value) IS NOT FALSE) AS sources,
				string_agg(DISTINCT e.event, ', ') FILTER (WHERE e.event <> c.event AND NOT e.is_test AND e.source_id = ANY (mine.ids)) AS names
			FROM tiktok_internal.event_of_id e, mine
			WHERE (c.kind = 'order' AND c.status IS NULL OR c.kind = 'report' AND c.status <> 'apart') AND e.event_id = c.event_id) l ON true
		LEFT JOIN LATERAL (SELECT * FROM tiktok_internal.real_event f WHERE l.found IS NOT NULL AND f.id = l.found OFFSET 0) f ON true
	), filled AS (
		SELECT c.kind, c.n, c.day, c.event, c.event_id, c.at, c.value, c.currency, c.again, c.run_since, c.seen_at, c.test, c.sources, c.names, c.id, c.source_id,
			coalesce(c.found, 0) > 0 AS found, c.found_at, c.reason AS said,
			CASE WHEN c.kind = 'report' THEN c.status ELSE coalesce(c.status, c.found_status) END AS status,
			coalesce(c.reason, c.found_reason) AS reason,
			CASE WHEN c.kind IN ('order', 'event', 'agree') THEN coalesce(c.value_sent, c.found_value) END AS value_sent,
			coalesce(c.currency_sent, c.found_currency) AS currency_sent,
			coalesce(c.delivered_at, c.found_at) AS delivered_at
		FROM elsewhere c
	), money AS (
		SELECT f.*,
			CASE WHEN f.kind <> 'order' OR f.status IS DISTINCT FROM 'delivered' OR f.again THEN NULL
				WHEN f.value_sent IS NULL AND f.value IS NOT NULL THEN 'no_value'
				WHEN f.value_sent IS NOT NULL AND f.currency <> f.currency_sent THEN 'other_currency'
				WHEN f.value IS NULL AND f.value_sent IS NOT NULL THEN 'value_differs'
				WHEN abs(f.value - f.value_sent) < 0.005 OR f.value_sent IS NULL THEN NULL
				WHEN f.value_sent = 0 THEN 'value_zero'
				WHEN abs(f.value_sent - 100 * f.value) < 0.5 THEN 'value_hundredfold'
				ELSE 'value_differs'
			END AS problem
		FROM filled f
	), ratio AS (
		-- one ratio of at least five and of half of all that differ
		SELECT m.event, round(m.value_sent / nullif(m.value, 0), 2) AS ratio, count(*) AS n, sum(count(*)) OVER (PARTITION BY m.event) AS of_all
		FROM money m WHERE m.problem = 'value_differs' AND m.value > 0
		GROUP BY 1, 2
	), constant AS (
		SELECT m.event, m.value_sent, count(*) AS n, count(DISTINCT m.value) AS varies, sum(count(*)) OVER (PARTITION BY m.event) AS of_all
		FROM money m WHERE m.problem = 'value_differs'
		GROUP BY 1, 2
	), judged AS MATERIALIZED (
		SELECT m.*, r.ratio, CASE
			WHEN m.kind = 'agree' THEN NULL
			WHEN m.kind = 'report' THEN CASE
				WHEN m.status = 'apart' THEN 'pixel_48_hours'
				WHEN m.found THEN CASE WHEN m.status = 'alone' AND m.found_at NOT BETWEEN m.at - interval '48 hours' AND m.at + interval '48 hours' THEN 'pixel_48_hours' END
				WHEN m.status = 'other_name' OR m.names IS NOT NULL THEN 'pixel_other_name'
				ELSE 'pixel_other_id' END
			WHEN m.kind = 'order' AND m.status IS NULL THEN CASE
				WHEN m.test THEN 'test' WHEN m.sources IS NOT NULL THEN 'other_source' WHEN m.seen_at IS NOT NULL THEN 'pixel_only'
				WHEN m.at < kept.since THEN 'no_longer_known' ELSE 'no_event' END
			WHEN m.status <> 'delivered' THEN m.status
			WHEN m.kind = 'event' THEN CASE WHEN w.twice THEN 'recorded_twice' ELSE 'no_order' END
			WHEN m.again THEN 'duplicate'
			WHEN k.event IS NOT NULL THEN 'value_constant'
			WHEN r.ratio BETWEEN 0.70 AND 0.97 THEN 'value_net'
			WHEN m.problem IS NOT NULL THEN m.problem
			WHEN m.delivered_at - m.seen_at > interval '5 minutes' AND m.delivered_at - m.seen_at <= interval '48 hours' THEN 'late'
			END AS cause
		FROM money m
		CROSS JOIN kept
		-- of two triggers of one row, the events have neighbouring numbers
		LEFT JOIN LATERAL (
			SELECT true AS twice
			FROM tiktok_internal.event_of_id e JOIN tiktok_internal.event_of_id o ON o.id BETWEEN e.id - 100 AND e.id + 100
			WHERE m.kind = 'event' AND m.status = 'delivered' AND e.id = m.id AND o.id <> e.id AND o.xid = e.xid AND o.source_id = e.source_id
			AND o.event = e.event AND NOT o.is_test AND o.event_time = e.event_time
			AND o.value IS NOT DISTINCT FROM e.value AND o.currency IS NOT DISTINCT FROM e.currency
			AND (o.event, o.event_id) NOT IN (SELECT x.event, x.event_id FROM compared x WHERE x.kind = 'event')
			LIMIT 1) w ON true
		LEFT JOIN constant k ON m.problem = 'value_differs' AND k.event = m.event AND k.value_sent = m.value_sent AND k.n >= 5 AND k.varies >= 3 AND k.n * 2 >= k.of_all
		LEFT JOIN ratio r ON m.problem = 'value_differs' AND r.event = m.event AND r.ratio = round(m.value_sent / nullif(m.value, 0), 2) AND r.n >= 5 AND r.n * 2 >= r.of_all
	)
	SELECT j.cause, j.n, j.day, j.event, j.event_id, j.at, j.value, coalesce(j.currency, CASE WHEN j.kind = 'order' THEN j.currency_sent END), j.value_sent, j.currency_sent,
		j.kind IN ('order', 'agree'),
		CASE WHEN j.kind IN ('report', 'agree') THEN true WHEN j.again THEN false ELSE coalesce(j.status = 'delivered', false) OR j.seen_at IS NOT NULL END,
		CASE WHEN j.kind = 'agree' THEN 'delivered' WHEN j.kind <> 'report' THEN j.status END, j.kind,
		nullif(concat_ws('; ',
			CASE WHEN j.kind = 'report' THEN CASE
					WHEN j.cause = 'pixel_other_name' THEN 'the event_id is that of ' || coalesce(j.said, j.names)
					WHEN j.cause = 'pixel_48_hours' THEN format('%s apart', date_trunc('minute', greatest(j.delivered_at - j.at, j.at - j.delivered_at))) END
				ELSE concat_ws('; ', CASE WHEN j.status <> 'delivered' THEN j.reason END,
					CASE WHEN j.event_id IS NULL AND j.kind = 'order' THEN 'the order has no event_id' END,
					CASE WHEN j.cause IN ('no_event', 'pixel_only') AND j.run_since IS NOT NULL THEN format('no order since %s has an event', date_trunc('second', j.run_since)) END,
					CASE WHEN j.cause IN ('no_event', 'pixel_only') THEN (SELECT d.triggers FROM disabled d) END,
					CASE WHEN j.kind = 'order' AND j.status IS NULL THEN 'recorded for ' || j.sources END,
					CASE WHEN j.kind = 'order' AND j.status IS NULL THEN 'recorded as ' || j.names END,
					CASE WHEN j.again THEN 'another order has the same event_id' END,
					CASE WHEN j.cause = 'value_net' THEN format('%s of the value, as if without %s %% tax', j.ratio, round(100 / j.ratio - 100))
						WHEN j.cause = 'no_order' THEN 'cancelled?' END,
					CASE WHEN j.cause = 'value_differs' AND j.value IS NULL THEN 'the order has no value'
						WHEN j.cause = 'value_differs' AND j.ratio IS NOT NULL THEN format('%s of the value', j.ratio)
						WHEN j.cause = 'value_differs' AND j.value <> 0 AND abs(j.value_sent * 100 - j.value) < 0.5 THEN 'a hundredth of the value'
						WHEN j.cause = 'value_differs' AND j.value <> 0 AND abs(j.value_sent * 1000 - j.value) < 0.5 THEN 'a thousandth of the value' END,
					CASE WHEN j.kind = 'order' AND j.seen_at IS NOT NULL AND j.status IS DISTINCT FROM 'delivered' THEN 'the Pixel reported it' END,
					CASE WHEN j.kind = 'order' AND NOT j.again AND j.status = 'delivered' AND j.delivered_at - j.seen_at > interval '5 minutes'
						AND j.delivered_at - j.seen_at <= interval '48 hours' THEN
						format('%s after the Pixel', date_trunc('second', j.delivered_at - j.seen_at)) END) END), '')
	FROM judged j
	WHERE j.cause IS NOT NULL OR j.kind IN ('agree', 'order')
$$;
COMMENT ON FUNCTION tiktok_internal.difference_causes(text, timestamptz, timestamptz) IS
'what agrees, counted, and each row that does not with its cause; without cause: agrees';

-- What a NULL stands for in the next three.
CREATE FUNCTION tiktok_internal.period(source text, since timestamptz, until timestamptz, OUT since_at timestamptz, OUT until_at timestamptz)
LANGUAGE sql STABLE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
	SELECT coalesce(period.since, date_trunc('day', now(), z.time_zone) - interval '7 days'), coalesce(period.until, now())
	FROM (SELECT tiktok_internal.source_id(period.source) AS id OFFSET 0) i
	LEFT JOIN LATERAL (SELECT min(s.time_zone) AS time_zone FROM tiktok_internal.sibling s WHERE s.source = period.source AND i.id > 0) z ON true
$$;
COMMENT ON FUNCTION tiktok_internal.period(text, timestamptz, timestamptz) IS 'seven whole days of the source''s time zone, and today';

CREATE FUNCTION tiktok.differences(source text, since timestamptz DEFAULT NULL, until timestamptz DEFAULT NULL,
	OUT cause text, OUT event text, OUT event_id text, OUT at timestamptz, OUT value numeric, OUT currency text,
	OUT value_sent numeric, OUT currency_sent text, OUT in_orders boolean, OUT in_tiktok boolean, OUT note text)
RETURNS SETOF record LANGUAGE sql STABLE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp SET jit = off AS $$
	SELECT j.cause, j.event, j.event_id, j.at, j.value, j.currency, j.value_sent, j.currency_sent, j.in_orders, j.in_tiktok, j.note
	FROM tiktok_internal.period(differences.source, since, until) p, tiktok_internal.difference_causes(differences.source, p.since_at, p.until_at) j
	WHERE j.cause IS NOT NULL
	ORDER BY j.at, j.event_id, j.event, j.cause
$$;
COMMENT ON FUNCTION tiktok.differences(text, timestamptz, timestamptz) IS
'each order, event and report of the Pixel that is not one order and one delivered event of the same value and currency, in time; for the events in tiktok.source_of_truth.
since: begin of the day seven days ago, if NULL, in the source''s time zone; until: now.
cause, of an order the first that holds: test (recorded as a test); other_source; pixel_only (no event, but the Pixel reported it); no_longer_known (older than the events that are kept); no_event;
pending, retrying, rejected, invalid, suppressed, expired, uncertain, discarded (that became of its event); duplicate (another order has its event_id);
no_value, other_currency, value_zero, value_hundredfold, value_constant, value_net (of tax), value_differs; late (more than 5 minutes after the Pixel''s copy).
Of an event without order: recorded_twice (an order has an event of the same transaction, time and value); no_order; or its status.
Of a report of the Pixel that TikTok counts beside the event: pixel_other_name, pixel_other_id, pixel_48_hours.
in_tiktok: TikTok has it from here or from the Pixel.';

-- Each row counts where its order stands, where its event stands, or in both.
CREATE FUNCTION tiktok_internal.bridge(source text, since timestamptz, until timestamptz,
	OUT event text, OUT currency text, OUT step text, OUT orders bigint, OUT money numeric)
RETURNS SETOF record LANGUAGE sql STABLE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp SET jit = off AS $$
	WITH judged AS MATERIALIZED (
		SELECT CASE WHEN j.cause IS NULL OR j.cause = 'late' THEN 'rounding' ELSE j.cause END AS cause, j.event, j.n, j.in_orders, j.in_tiktok, j.kind,
			coalesce(j.status = 'delivered', false) AND j.cause IS DISTINCT FROM 'duplicate' AS by_server,
			coalesce(j.currency, j.currency_sent) AS currency,
			CASE WHEN j.in_orders AND (j.value_sent IS NULL OR j.currency_sent IS NULL) THEN coalesce(j.currency, j.currency_sent) ELSE j.currency_sent END AS currency_sent,
			coalesce(j.value, 0) AS value, coalesce(j.value_sent, 0) AS value_sent
		FROM tiktok_internal.difference_causes(bridge.source, since, until) j
	)
	SELECT s.event, s.currency, s.step, sum(s.orders)::bigint, sum(s.money)
	FROM (
		SELECT j.event, j.currency, 'your_orders' AS step, j.n AS orders, j.value AS money FROM judged j WHERE j.in_orders
		UNION ALL
		SELECT j.event, j.currency, j.cause, -j.n, -j.value FROM judged j WHERE j.in_orders
		UNION ALL
		SELECT j.event, j.currency_sent, j.cause, j.n, j.value_sent FROM judged j WHERE j.by_server OR j.kind = 'report'
		UNION ALL
		SELECT j.event, j.currency, 'pixel_alone', j.n, CASE WHEN j.in_orders THEN j.value ELSE j.value_sent END
		FROM judged j WHERE j.in_tiktok AND NOT j.by_server AND j.kind <> 'report'
		UNION ALL
		SELECT j.event, CASE WHEN j.by_server OR j.kind = 'report' THEN j.currency_sent ELSE j.currency END, 'explained', j.n,
			CASE WHEN j.by_server OR j.kind = 'report' OR NOT j.in_orders THEN j.value_sent ELSE j.value END
		FROM judged j WHERE j.in_tiktok
		UNION ALL
		-- in the terms of TikTok's counts: from the server alone
		SELECT j.event, NULL, 'by_server', j.n, j.value_sent FROM judged j WHERE j.by_server
	) s
	GROUP BY 1, 2, 3
$$;
COMMENT ON FUNCTION tiktok_internal.bridge(text, timestamptz, timestamptz) IS 'the steps of tiktok.bridge, without TikTok''s counts';

CREATE FUNCTION tiktok_internal.pixel_sums(since timestamptz, until timestamptz, rule_since timestamptz,
	OUT source_id int, OUT event text, OUT day date, OUT in_period boolean, OUT in_rule boolean, OUT is_event boolean,
	OUT n bigint, OUT delivered bigint, OUT minutes bigint, OUT apart bigint, OUT event_id text)
RETURNS SETOF record LANGUAGE c STABLE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp SET jit = off
AS 'MODULE_PATHNAME', 'tte_sql_pixel_sums';
COMMENT ON FUNCTION tiktok_internal.pixel_sums(timestamptz, timestamptz, timestamptz) IS
'reports of the Pixel of a period, and since rule_since, beside their events; and delivered events since rule_since (is_event). Sums by day (UTC), but one by one with its event_id each report whose event is to be looked up';

-- Reports of the Pixel and delivered events, as tiktok_internal.pixel_match and real_event have them, but read once and summed.
CREATE FUNCTION tiktok_internal.pixel_facts(since timestamptz, until timestamptz, rule_since timestamptz) RETURNS jsonb
LANGUAGE sql STABLE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp SET jit = off AS $$
	WITH sum AS MATERIALIZED (
		SELECT * FROM tiktok_internal.pixel_sums(since, until, rule_since)
	), fact AS (
		SELECT s.source_id, s.event, s.day, s.in_period, s.in_rule, s.is_event, true AS known, NULL AS other_event, s.n, s.delivered, s.minutes, s.apart
		FROM sum s WHERE s.event_id IS NULL
		UNION ALL
		SELECT s.source_id, s.event, s.day, s.in_period, s.in_rule, false, m.id IS NOT NULL, m.other_event, count(*),
			count(*) FILTER (WHERE m.status = 'delivered'),
			count(*) FILTER (WHERE m.status = 'delivered' AND m.at - m.seen_at BETWEEN interval '-5 min' AND interval '5 min'),
			count(*) FILTER (WHERE m.status = 'delivered' AND m.at - m.seen_at NOT BETWEEN interval '-48 h' AND interval '48 h')
		FROM sum s, LATERAL (
			SELECT * FROM tiktok_internal.pixel_match m WHERE m.event_id = s.event_id AND m.event = s.event AND m.source_id = s.source_id OFFSET 0) m
		WHERE s.event_id IS NOT NULL
		GROUP BY 1, 2, 3, 4, 5, 7, 8
	)
	SELECT jsonb_agg(f) FROM fact f
$$;
COMMENT ON FUNCTION tiktok_internal.pixel_facts(timestamptz, timestamptz, timestamptz) IS
'what tiktok_internal.report_pixel says of a period (in_period), and what tiktok_internal.rule_by judges by (in_rule), summed by day (UTC); is_event: delivered events';

CREATE VIEW tiktok_internal.rule_count AS
SELECT s.id AS source_id, c.event, c.day, c.browser, c.server
FROM tiktok_internal.count c JOIN tiktok.source s ON s.name = c.source
WHERE c.browser IS NOT NULL AND c.server IS NOT NULL AND s.event_source = 'web'
AND c.day BETWEEN (now() AT TIME ZONE 'UTC')::date - 28 AND (now() AT TIME ZONE 'UTC')::date - 3;
COMMENT ON VIEW tiktok_internal.rule_count IS 'TikTok''s counts of both sides, of days that are over';

CREATE FUNCTION tiktok_internal.rule_since() RETURNS timestamptz
LANGUAGE sql STABLE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
	SELECT now() - interval '30 days' FROM tiktok_internal.rule_count c HAVING count(DISTINCT c.day) >= 7
$$;
COMMENT ON FUNCTION tiktok_internal.rule_since() IS 'since when tiktok_internal.count_rule() looks at events; NULL: it has too few counts';

-- One fact about TikTok, not about a shop, so that all sources together say it or none: days that are over, with counts of both sides, and as a
-- control the names that no Pixel reports.
CREATE FUNCTION tiktok_internal.rule_by(facts jsonb, OUT rule text, OUT evidence text)
RETURNS record LANGUAGE sql STABLE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp SET jit = off AS $$
	WITH counted AS MATERIALIZED (
		SELECT * FROM tiktok_internal.rule_count
	), enough AS MATERIALIZED (
		SELECT tiktok_internal.rule_since() IS NOT NULL AS days
	), seen AS MATERIALIZED (
		SELECT f.source_id, f.event, f.day, coalesce(sum(f.n) FILTER (WHERE f.is_event), 0) AS d,
			coalesce(sum(f.n) FILTER (WHERE NOT f.is_event), 0) AS p, coalesce(sum(f.delivered - f.apart) FILTER (WHERE NOT f.is_event), 0) AS m
		FROM jsonb_to_recordset(facts) f (source_id int, event text, day date, in_rule boolean, is_event boolean, n bigint, delivered bigint, apart bigint)
		WHERE f.in_rule
		GROUP BY 1, 2, 3
	), name AS (
		SELECT c.source_id, c.event, sum(c.browser) AS b, sum(c.server) AS s, sum(coalesce(s.d, 0)) AS d, sum(coalesce(s.p, 0)) AS p, sum(coalesce(s.m, 0)) AS m
		FROM counted c
		LEFT JOIN seen s USING (source_id, event, day)
		WHERE (SELECT e.days FROM enough e)
		GROUP BY 1, 2
	), known AS (
		SELECT sum(n.b) FILTER (WHERE n.m > 0) AS b, sum(n.s) FILTER (WHERE n.m > 0) AS s, sum(n.d) FILTER (WHERE n.m > 0) AS d,
			sum(n.p) FILTER (WHERE n.m > 0) AS p, sum(n.m) FILTER (WHERE n.m > 0) AS m,
			sum(n.s) FILTER (WHERE n.p = 0 AND n.b = 0) / nullif(sum(n.d) FILTER (WHERE n.p = 0 AND n.b = 0), 0) AS control
		FROM name n
	), judged AS (
		SELECT k.*, (k.b + k.s - (k.d + k.p - k.m)) / nullif(k.m, 0) AS r,
			k.m >= 200 AND k.m >= 0.8 * k.d AND k.control BETWEEN 0.97 AND 1.03 AS sure
		FROM known k
	)
	SELECT CASE
			WHEN j.sure AND abs(j.s / j.d - 1) <= 0.03 AND j.r >= 0.5 THEN 'before'
			WHEN j.sure AND abs(j.r) <= 0.15 AND (j.s < 0.9 * j.d OR j.b < 0.9 * j.p) THEN 'after'
			ELSE 'undecided' END,
		CASE WHEN NOT (SELECT e.days FROM enough e) THEN 'fewer than seven days with counts of both sides are over'
			WHEN j.m IS NULL THEN 'no reports of the Pixel to compare with'
			WHEN j.control IS NULL THEN 'no event that only the server sends, as a control'
			ELSE format('%s of %s delivered events were reported by the Pixel; TikTok counted %s of the server, %s of the browser; control %s', j.m, j.d, j.s, j.b, round(j.control, 3)) END
	FROM judged j
$$;
COMMENT ON FUNCTION tiktok_internal.rule_by(jsonb) IS
'whether TikTok counts events before or after it drops copies, as far as its counts and tiktok_internal.pixel_facts() show; undecided: counts of the server and delivered events are compared nowhere';

CREATE FUNCTION tiktok_internal.count_rule(OUT rule text, OUT evidence text)
RETURNS record LANGUAGE sql STABLE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
	SELECT r.rule, r.evidence
	FROM tiktok_internal.rule_since() s (at), LATERAL tiktok_internal.rule_by(CASE WHEN s.at IS NOT NULL THEN tiktok_internal.pixel_facts(now(), now(), s.at) END) r
$$;
COMMENT ON FUNCTION tiktok_internal.count_rule() IS 'the same, where nothing else asks for these facts';

CREATE FUNCTION tiktok.bridge(source text, since timestamptz DEFAULT NULL, until timestamptz DEFAULT NULL,
	OUT event text, OUT currency text, OUT step text, OUT "position" int, OUT orders bigint, OUT money numeric)
RETURNS SETOF record LANGUAGE sql STABLE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp SET jit = off AS $$
	WITH period AS MATERIALIZED (
		-- whole days (UTC), of a period that ends
		SELECT p.since_at, p.until_at, CASE WHEN p.ends THEN ceil(extract(epoch FROM p.since_at) / 86400)::int + date '1970-01-01' END AS first,
			CASE WHEN p.ends THEN floor(extract(epoch FROM p.until_at) / 86400)::int + date '1970-01-01' END AS last
		FROM (SELECT p.*, isfinite(p.since_at) AND isfinite(p.until_at) AS ends FROM tiktok_internal.period(bridge.source, since, until) p) p
	), step AS MATERIALIZED (
		SELECT b.* FROM period p, tiktok_internal.bridge(bridge.source, p.since_at, p.until_at) b
	), counted AS MATERIALIZED (
		-- two sources that are one to TikTok have the same counts; NULL: not all whole days have one
		SELECT c.event, CASE WHEN count(c.server) = p.last - p.first THEN sum(c.server)::bigint END AS server, count(c.server) > 0 AS some_server,
			CASE WHEN count(c.browser) = p.last - p.first THEN sum(c.browser)::bigint END AS browser, count(c.browser) > 0 AS some_browser,
			CASE WHEN count(c.value) = p.last - p.first THEN sum(c.value) END AS value
		FROM period p, (
			SELECT c.event, c.day, max(c.server) AS server, max(c.browser) AS browser, max(c.value) AS value
			FROM tiktok_internal.count c JOIN tiktok_internal.sibling s ON s.sibling = c.source
			WHERE s.source = bridge.source
			GROUP BY 1, 2) c
		WHERE c.day >= p.first AND c.day < p.last
		GROUP BY 1, p.first, p.last
	), compared AS MATERIALIZED (
		-- only where it is known what TikTok counts
		SELECT c.event, c.server, c.value, w.n AS whole
		FROM counted c JOIN period p ON c.server IS NOT NULL
		JOIN LATERAL (SELECT count(*) AS n FROM tiktok_internal.real_event f WHERE f.status = 'delivered' AND f.event = c.event
			AND f.source_id IN (SELECT s.sibling_id FROM tiktok_internal.sibling s WHERE s.source = bridge.source)
			AND f.hour >= p.first - interval '2 hours' AND f.event_time >= p.first::timestamp AT TIME ZONE 'UTC' AND f.event_time < p.last::timestamp AT TIME ZONE 'UTC') w ON true
		WHERE c.event IN (SELECT s.event FROM step s) AND (SELECT r.rule FROM tiktok_internal.count_rule() r) = 'before'
	), sent AS (
		SELECT c.event, c.server, c.value, c.whole, coalesce(s.orders, 0) AS orders, s.money
		FROM compared c LEFT JOIN step s ON s.event = c.event AND s.step = 'by_server'
	), named (step, "position") AS (
		SELECT n.step, n.n::int FROM unnest('{your_orders,test,other_source,pixel_only,no_longer_known,no_event,pending,retrying,rejected,invalid,suppressed,expired,uncertain,discarded,
			duplicate,no_value,other_currency,value_zero,value_hundredfold,value_constant,value_net,value_differs,rounding,recorded_twice,no_order,pixel_alone,
			pixel_other_name,pixel_other_id,pixel_48_hours,explained,from_server,outside_whole_days,unexplained,tiktok_server,tiktok_browser}'::text[]) WITH ORDINALITY n (step, n)
	)
	SELECT r.event, r.currency, r.step, n."position", r.orders, r.money
	FROM (
		SELECT s.event, s.currency, s.step, s.orders, s.money FROM step s
		WHERE s.step IN ('your_orders', 'explained') OR s.step <> 'by_server' AND (s.orders <> 0 OR s.money <> 0)
		UNION ALL
		SELECT s.event, NULL, 'from_server', s.orders, CASE WHEN s.value IS NOT NULL THEN s.money END FROM sent s
		UNION ALL
		SELECT s.event, NULL, 'outside_whole_days', s.whole - s.orders, NULL FROM sent s
		UNION ALL
		SELECT s.event, NULL, 'unexplained', s.server - s.whole, NULL FROM sent s
		UNION ALL
		SELECT c.event, NULL, 'tiktok_server', c.server, c.value FROM counted c WHERE c.some_server
		UNION ALL
		SELECT c.event, NULL, 'tiktok_browser', c.browser, NULL FROM counted c WHERE c.some_browser
	) r
	JOIN named n ON n.step = r.step
	ORDER BY 1, 2, 4
$$;
COMMENT ON FUNCTION tiktok.bridge(text, timestamptz, timestamptz) IS
'from your orders to what TikTok should show: by event and currency, the steps from your_orders on add up to explained, in orders and money.
A step is a cause of tiktok.differences, with what it takes away or adds; an order in another currency leaves one and comes to the other.
rounding: parts of a cent; pixel_alone: of what is not delivered from here, what the Pixel reported. The value of a report of the Pixel is unknown, and counts as 0.
tiktok_server and tiktok_browser: what TikTok counted in the whole days (UTC) of the period, by tiktok.platform_count; NULL unless each of these days has a count.
from_server, outside_whole_days and unexplained add up to tiktok_server; they are left out as long as it is undecided whether TikTok counts before it drops copies; see docs/truth.md.';

CREATE FUNCTION tiktok.reconcile(source text, since timestamptz DEFAULT NULL, until timestamptz DEFAULT NULL,
	OUT day date, OUT event text, OUT currency text,
	OUT your_rows bigint, OUT recorded bigint, OUT delivered bigint, OUT waiting bigint, OUT suppressed bigint, OUT not_accepted bigint,
	OUT missing bigint, OUT extra bigint, OUT value numeric, OUT value_sent numeric, OUT value_not_accepted numeric,
	OUT browser bigint, OUT server bigint, OUT tiktok_value numeric)
RETURNS SETOF record LANGUAGE sql STABLE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp SET jit = off AS $$
	WITH period AS MATERIALIZED (
		SELECT * FROM tiktok_internal.period(reconcile.source, since, until)
	), mine AS MATERIALIZED (
		SELECT array_agg(s.sibling_id) AS ids, min(s.time_zone) AS time_zone, array_agg(s.sibling) AS names,
			ARRAY(SELECT DISTINCT t.event FROM tiktok.source_of_truth t JOIN tiktok_internal.sibling s ON s.sibling = t.source WHERE s.source = reconcile.source) AS events
		FROM tiktok_internal.sibling s WHERE s.source = reconcile.source
	), seen AS MATERIALIZED (
		SELECT j.day, j.event, j.currency, j.currency_sent, j.n, j.in_orders, j.value, j.value_sent,
			CASE WHEN j.cause IS DISTINCT FROM 'duplicate' THEN j.status END AS status
		FROM period p, tiktok_internal.difference_causes(reconcile.source, p.since_at, p.until_at) j
		WHERE j.kind <> 'report'
		UNION ALL
		SELECT (f.event_time AT TIME ZONE m.time_zone)::date, f.event, NULL, f.currency, count(*), NULL, NULL, sum(f.value), f.status
		FROM period p, mine m, tiktok_internal.real_event f
		WHERE f.source_id = ANY (m.ids) AND f.event <> ALL (m.events)
		AND f.hour >= p.since_at - interval '2 hours' AND f.event_time >= p.since_at AND f.event_time < p.until_at
		GROUP BY 1, 2, 4, 9
	), side AS (
		-- your side in the currency of the order, TikTok's in that which was sent
		SELECT s.day, s.event, coalesce(s.currency, s.currency_sent) AS currency, s.in_orders IS NOT NULL AS has_truth,
			CASE WHEN s.in_orders THEN s.n END AS your_rows,
			CASE WHEN s.status IS NOT NULL THEN s.n END AS recorded,
			NULL::bigint AS delivered,
			CASE WHEN s.status IN ('pending', 'retrying') THEN s.n END AS waiting,
			CASE WHEN s.status = 'suppressed' THEN s.n END AS suppressed,
			CASE WHEN s.status IN ('rejected', 'invalid', 'expired', 'uncertain', 'discarded') THEN s.n END AS not_accepted,
			CASE WHEN s.in_orders AND s.status IS NULL THEN s.n END AS missing,
			CASE WHEN NOT s.in_orders THEN s.n END AS extra,
			CASE WHEN s.in_orders THEN s.value END AS value, NULL::numeric AS value_sent,
			CASE WHEN s.in_orders AND s.status IS NULL OR s.status IN ('rejected', 'invalid', 'expired', 'uncertain', 'discarded') THEN
				CASE WHEN s.in_orders THEN s.value ELSE s.value_sent END END AS value_not_accepted
		FROM seen s
		UNION ALL
		SELECT s.day, s.event, CASE WHEN s.in_orders AND s.value_sent IS NULL THEN coalesce(s.currency, s.currency_sent) ELSE coalesce(s.currency_sent, s.currency) END,
			s.in_orders IS NOT NULL, NULL, NULL, s.n, NULL, NULL, NULL, NULL, NULL, NULL, s.value_sent, NULL
		FROM seen s
		WHERE s.status = 'delivered'
	)
	SELECT s.day, s.event, s.currency,
		CASE WHEN bool_or(s.has_truth) THEN coalesce(sum(s.your_rows), 0)::bigint END, coalesce(sum(s.recorded), 0)::bigint, coalesce(sum(s.delivered), 0)::bigint,
		coalesce(sum(s.waiting), 0)::bigint, coalesce(sum(s.suppressed), 0)::bigint, coalesce(sum(s.not_accepted), 0)::bigint,
		CASE WHEN bool_or(s.has_truth) THEN coalesce(sum(s.missing), 0)::bigint END, CASE WHEN bool_or(s.has_truth) THEN coalesce(sum(s.extra), 0)::bigint END,
		CASE WHEN bool_or(s.has_truth) THEN coalesce(sum(s.value), 0) END, coalesce(sum(s.value_sent), 0), coalesce(sum(s.value_not_accepted), 0),
		NULL::bigint, NULL::bigint, NULL::numeric
	FROM side s
	GROUP BY 1, 2, 3
	UNION ALL
	SELECT c.day, c.event, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, max(c.browser), max(c.server), max(c.value)
	FROM period p, mine m, tiktok.platform_count c
	WHERE c.source = ANY (m.names) AND c.day >= (p.since_at AT TIME ZONE 'UTC')::date AND c.day < p.until_at AT TIME ZONE 'UTC'
	GROUP BY 1, 2
	ORDER BY 1, 2, 15 NULLS FIRST, 16 NULLS FIRST, 3
$$;
COMMENT ON FUNCTION tiktok.reconcile(text, timestamptz, timestamptz) IS
'your orders and our events by day (of the source''s time zone), event and currency, and TikTok''s counts by day (UTC) and event on rows of their own.
since: begin of the day seven days ago, if NULL; until: now.
An order counts on its own day, in its own currency, as does what became of its event; delivered and value_sent are in the currency that was sent.
your_rows, missing (orders without an event), extra (events without an order) and value are NULL where tiktok.source_of_truth has no relation.
value_not_accepted: of the missing and not_accepted ones.
browser and server are not deduplicated against each other, so that they say nothing of an overlap.';
