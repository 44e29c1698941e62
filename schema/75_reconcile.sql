/*
 * Reconciliation: your rows, our events, TikTok's counts.
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
COMMENT ON COLUMN tiktok.source_of_truth.relation IS 'name of the table or view with its schema, as public.paid_orders, which no superuser should own; a time without zone in it is UTC';
SELECT pg_extension_config_dump('tiktok.source_of_truth', '');

-- Looked up here and not by to_regclass(), which is an error for who may not use the schema.
CREATE VIEW tiktok._truth_relation AS
SELECT t.source, t.event, t.relation, c.oid, CASE WHEN c.oid IS NULL THEN 'does not exist' ELSE 'lacks ' || m.columns END AS problem
FROM tiktok.source_of_truth t
LEFT JOIN (pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace)
	ON n.nspname = (parse_ident(t.relation))[1] AND c.relname = (parse_ident(t.relation))[2] AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
CROSS JOIN LATERAL (
	SELECT string_agg(k.name, ', ' ORDER BY k.n) AS columns
	FROM unnest('{event_id,value,currency,at}'::text[]) WITH ORDINALITY k (name, n)
	WHERE NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = k.name AND NOT a.attisdropped)) m;
COMMENT ON VIEW tiktok._truth_relation IS 'the registered relations, and what is wrong with them';

CREATE TABLE tiktok.platform_count (
	source text NOT NULL REFERENCES tiktok.source (name) ON UPDATE CASCADE ON DELETE CASCADE,
	day date NOT NULL,
	event text NOT NULL,
	browser bigint CHECK (browser >= 0),
	server bigint CHECK (server >= 0),
	total bigint CHECK (total >= 0),
	PRIMARY KEY (source, day, event)
);
COMMENT ON TABLE tiktok.platform_count IS 'TikTok''s own counts, loaded by COPY or INSERT from Events Manager or its reporting API';
COMMENT ON COLUMN tiktok.platform_count.source IS 'name of the source';
COMMENT ON COLUMN tiktok.platform_count.day IS 'day (UTC)';
COMMENT ON COLUMN tiktok.platform_count.event IS 'event name, spelled as in tiktok.event_status';
COMMENT ON COLUMN tiktok.platform_count.browser IS 'events that TikTok had from the Pixel';
COMMENT ON COLUMN tiktok.platform_count.server IS 'events that TikTok had from the Events API';
COMMENT ON COLUMN tiktok.platform_count.total IS 'events that TikTok counted after deduplication; NULL: unknown';

CREATE FUNCTION tiktok._truth_is_readable(relation oid) RETURNS boolean
LANGUAGE c STABLE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'tte_sql_truth_is_readable';
COMMENT ON FUNCTION tiktok._truth_is_readable(oid) IS 'whether the rows of a relation are read for the current user';

CREATE FUNCTION tiktok._truth_rows(relation oid, since timestamptz, until timestamptz,
	OUT event_id text, OUT value numeric, OUT currency text, OUT at timestamptz)
RETURNS SETOF record LANGUAGE c STABLE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'tte_sql_truth_rows';
COMMENT ON FUNCTION tiktok._truth_rows(oid, timestamptz, timestamptz) IS 'the rows of a relation, read as its owner for whoever may read it';

CREATE FUNCTION tiktok._truth(source text, since timestamptz, until timestamptz,
	OUT event text, OUT event_id text, OUT value numeric, OUT currency text, OUT at timestamptz)
RETURNS SETOF record LANGUAGE plpgsql STABLE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' AS $$
DECLARE
	truth record;
BEGIN
	PERFORM tiktok._source_id(source);
	FOR truth IN SELECT t.* FROM tiktok._truth_relation t WHERE t.source = _truth.source LOOP
		IF truth.problem IS NOT NULL THEN
			RAISE EXCEPTION USING ERRCODE = CASE WHEN truth.oid IS NULL THEN 'undefined_table' ELSE 'undefined_column' END,
				MESSAGE = format('relation "%s" %s', truth.relation, truth.problem),
				HINT = 'Correct tiktok.source_of_truth, or the relation: it needs the columns event_id, value, currency and at.';
		END IF;
		RETURN QUERY SELECT truth.event, r.event_id, r.value, r.currency, r.at FROM tiktok._truth_rows(truth.oid, since, until) r;
	END LOOP;
END $$;
COMMENT ON FUNCTION tiktok._truth(text, timestamptz, timestamptz) IS 'the rows of the relations registered for a source';

-- One row per row of yours, and per event without one.  The margin is for events whose time differs from their row's.
CREATE FUNCTION tiktok._compared(source text, since timestamptz, until timestamptz,
	OUT at timestamptz, OUT event text, OUT event_id text, OUT is_row boolean, OUT id bigint, OUT status text, OUT value numeric, OUT currency text)
RETURNS SETOF record LANGUAGE sql STABLE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp SET jit = off AS $$
	WITH truth AS MATERIALIZED (
		SELECT t.*, row_number() OVER (PARTITION BY t.event, t.event_id ORDER BY t.at) AS n
		FROM tiktok._truth(_compared.source, since - interval '2 days', until + interval '2 days') t
	)
	SELECT t.at, t.event, t.event_id, true, f.id, f.status, coalesce(t.value, f.value), coalesce(t.currency, f.currency)
	FROM truth t
	LEFT JOIN tiktok._fate f ON f.event_id = t.event_id AND f.event = t.event AND f.source_id = (SELECT tiktok._source_id(_compared.source)) AND t.n = 1
	WHERE t.at >= since AND t.at < until
	UNION ALL
	SELECT f.event_time, f.event, f.event_id, false, f.id, f.status, f.value, f.currency
	FROM tiktok._fate f
	WHERE f.source_id = (SELECT tiktok._source_id(_compared.source))
	AND f.hour >= date_bin('1 hour', since - interval '1 hour', '2000-01-01 00:00+00')
	AND f.event_time >= since AND f.event_time < until
	AND NOT EXISTS (SELECT FROM truth t WHERE t.event_id = f.event_id AND t.event = f.event)
$$;
COMMENT ON FUNCTION tiktok._compared(text, timestamptz, timestamptz) IS 'your rows beside the events of a source';

CREATE FUNCTION tiktok.reconcile(source text,
	since timestamptz DEFAULT date_trunc('day', now(), 'UTC') - interval '7 days', until timestamptz DEFAULT now(),
	OUT day date, OUT event text, OUT currency text,
	OUT your_rows bigint, OUT recorded bigint, OUT delivered bigint, OUT waiting bigint, OUT suppressed bigint, OUT not_accepted bigint,
	OUT missing bigint, OUT extra bigint, OUT value numeric, OUT value_delivered numeric, OUT value_not_accepted numeric,
	OUT browser bigint, OUT server bigint, OUT total bigint, OUT overlap_min bigint, OUT overlap_max bigint)
RETURNS SETOF record LANGUAGE sql STABLE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp SET jit = off AS $$
	WITH counted AS (
		SELECT (c.at AT TIME ZONE 'UTC')::date AS day, c.event, c.currency,
			count(*) FILTER (WHERE c.is_row) AS your_rows,
			count(c.id) AS recorded,
			count(*) FILTER (WHERE c.status = 'delivered') AS delivered,
			count(*) FILTER (WHERE c.status IN ('pending', 'retrying')) AS waiting,
			count(*) FILTER (WHERE c.status = 'suppressed') AS suppressed,
			count(*) FILTER (WHERE c.status IN ('rejected', 'invalid', 'expired', 'uncertain', 'discarded')) AS not_accepted,
			count(*) FILTER (WHERE c.id IS NULL) AS missing,
			count(*) FILTER (WHERE NOT c.is_row) AS extra,
			coalesce(sum(c.value), 0) AS value,
			coalesce(sum(c.value) FILTER (WHERE c.status = 'delivered'), 0) AS value_delivered,
			coalesce(sum(c.value) FILTER (WHERE c.id IS NULL OR c.status IN ('rejected', 'invalid', 'expired', 'uncertain', 'discarded')), 0) AS value_not_accepted
		FROM tiktok._compared(reconcile.source, since, until) c
		GROUP BY 1, 2, 3
	),
	-- a day's first currency shows TikTok's counts, which know none
	ranked AS (
		SELECT c.*, EXISTS (SELECT FROM tiktok.source_of_truth t WHERE t.source = reconcile.source AND t.event = c.event) AS has_truth,
			sum(c.your_rows) OVER (PARTITION BY c.day, c.event) AS day_rows,
			row_number() OVER (PARTITION BY c.day, c.event ORDER BY c.currency) AS n
		FROM counted c
	),
	platform AS (
		SELECT p.*, p.browser + p.server AS both_counts, least(p.browser, p.server) AS most,
			p.total BETWEEN greatest(p.browser, p.server) AND p.browser + p.server AS plausible
		FROM tiktok.platform_count p
		WHERE p.source = reconcile.source
		AND p.day >= (since AT TIME ZONE 'UTC')::date AND p.day < until AT TIME ZONE 'UTC'
	)
	SELECT coalesce(r.day, p.day), coalesce(r.event, p.event), r.currency,
		CASE WHEN r.has_truth THEN r.your_rows END, coalesce(r.recorded, 0), coalesce(r.delivered, 0), coalesce(r.waiting, 0),
		coalesce(r.suppressed, 0), coalesce(r.not_accepted, 0),
		CASE WHEN r.has_truth THEN r.missing END, CASE WHEN r.has_truth THEN r.extra END,
		r.value, r.value_delivered, r.value_not_accepted,
		p.browser, p.server, p.total,
		CASE WHEN p.plausible THEN p.both_counts - p.total
			WHEN p.both_counts IS NOT NULL THEN least(p.most, greatest(0, p.both_counts - CASE WHEN r.has_truth THEN r.day_rows END)) END,
		CASE WHEN p.plausible THEN p.both_counts - p.total WHEN p.both_counts IS NOT NULL THEN p.most END
	FROM ranked r
	FULL JOIN platform p ON p.day = r.day AND p.event = r.event AND r.n = 1
	ORDER BY 1, 2, 3
$$;
COMMENT ON FUNCTION tiktok.reconcile(text, timestamptz, timestamptz) IS
'your rows, our events and TikTok''s counts side by side, by day (UTC), event and currency.
your_rows, missing (rows without an event) and extra (events without a row) are NULL where tiktok.source_of_truth has no relation.
value is that of your rows, or of the event where there is no row; value_not_accepted that of the missing and not_accepted ones.
browser, server and total are TikTok''s, on the first currency of a day and event, because they know none.
overlap_min and overlap_max: how many events TikTok had from both sides. With a total it is browser + server - total;
where the total is unknown or impossible, no more than the smaller count, and at least what exceeds your rows.';

CREATE FUNCTION tiktok.unmatched(source text,
	since timestamptz DEFAULT date_trunc('day', now(), 'UTC') - interval '7 days', until timestamptz DEFAULT now(),
	OUT event text, OUT event_id text, OUT at timestamptz, OUT value numeric, OUT currency text, OUT found_as text)
RETURNS SETOF record LANGUAGE sql STABLE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp SET jit = off AS $$
	SELECT c.event, c.event_id, c.at, c.value, c.currency, (
		SELECT string_agg(DISTINCT CASE
			WHEN f.source = unmatched.source AND f.event = c.event THEN 'the same key in another row'
			ELSE concat_ws(' ', f.source, f.event) END, ', ')
		FROM tiktok._fate f
		WHERE f.event_id = c.event_id)
	FROM tiktok._compared(unmatched.source, since, until) c
	WHERE c.id IS NULL
	ORDER BY c.at, c.event_id
$$;
COMMENT ON FUNCTION tiktok.unmatched(text, timestamptz, timestamptz) IS
'each of your rows without an event.
found_as: source and name of the events that have its event_id all the same.';
