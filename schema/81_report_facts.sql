/*
 * What the report says, in numbers: the events of the time and of the time before, and your orders beside them.
 *
 * Events are read once, and grouped; everything else is made of these groups.  Orders, events and TikTok's counts are
 * compared by what tiktok.bridge and tiktok.differences rest on, so that the numbers are theirs.  Days are those of the
 * session's TimeZone, which tiktok.report_html sets to that of the source.
 */

CREATE VIEW tiktok_internal.report_stage AS
SELECT source, event, string_agg(stage, ', ' ORDER BY position, stage) AS stages, min(position) AS position
FROM tiktok.lead_stage
GROUP BY source, event;
COMMENT ON VIEW tiktok_internal.report_stage IS 'the funnel of each source of leads';

CREATE VIEW tiktok_internal.report_source AS
SELECT id AS source_id, name, event_source, time_zone FROM tiktok.source;
COMMENT ON VIEW tiktok_internal.report_source IS 'the sources, as the report needs them';

-- Sales, leads and other events are never added up.
CREATE FUNCTION tiktok_internal.report_class(event_source text, event text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
	SELECT CASE WHEN event_source = 'crm' THEN 'lead'
		WHEN event IN ('Purchase', 'CompletePayment', 'PlaceAnOrder', 'Subscribe') THEN 'sale' ELSE 'other' END
$$;
COMMENT ON FUNCTION tiktok_internal.report_class(text, text) IS 'sale, lead or other';

-- The causes of tiktok.differences, and statuses: where on the way from order to TikTok, in words, and what to do.
-- place: 1 no event, 2 not sent, 3 not accepted, 4 accepted with another value, 5 TikTok counts more, 6 waits or is meant so.
CREATE FUNCTION tiktok_internal.report_cause(cause text, OUT place int, OUT meant boolean, OUT label text, OUT hint text)
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
	SELECT c.place, c.meant, c.label, c.hint
	FROM (VALUES
		('no_event', 1, false, 'No event', 'The trigger did not fire: look at its condition and at what writes the orders. CALL tiktok.backfill() sends them.'),
		('pixel_only', 1, false, 'No event, but the Pixel reported it', 'The trigger did not fire: look at its condition and at what writes the orders.'),
		('test', 1, false, 'Recorded as a test', 'Turn tiktok_events.test_event off in the application.'),
		('other_source', 1, false, 'Recorded for another source', 'Correct the source of the trigger, or tiktok.source.key.'),
		('duplicate', 1, false, 'event_id of another order', 'Give each order an event_id of its own.'),
		('no_longer_known', 1, true, 'Older than what is kept', 'Ask for a shorter time, or set tiktok_events.retention.'),
		('invalid', 2, false, 'Invalid, not sent', 'Mend the data or the mapping: the reasons are under What is refused.'),
		('suppressed', 2, true, 'Without consent, not sent', 'Nothing, if there was no consent; else look at what consent is mapped to.'),
		('expired', 2, false, 'Too old, not sent', 'Look at what stopped the source: tiktok.health().'),
		('discarded', 2, true, 'Closed by an operator', 'Nothing.'),
		('pending', 2, true, 'Not sent yet', 'Wait; tiktok.backlog says whether they are being sent.'),
		('rejected', 3, false, 'Refused by TikTok', 'Mend what TikTok refuses: the reasons are under What is refused. Then tiktok.retry() sends them again.'),
		('uncertain', 3, false, 'Possibly received', 'TikTok did not answer in time. Sent again, an event might count twice.'),
		('retrying', 3, true, 'Sent, to be tried again', 'Wait; tiktok.backlog says when.'),
		('no_value', 4, false, 'Sent without a value', 'Map value and currency; see tiktok.value_problems.'),
		('other_currency', 4, false, 'Sent in another currency', 'Map the currency of the order.'),
		('value_zero', 4, false, 'Sent with a value of 0', 'Map the value of the whole order, not a column that is filled later.'),
		('value_hundredfold', 4, false, 'Sent with a hundred times the value', 'The column is in cents: give the mapping "amounts": "minor".'),
		('value_constant', 4, false, 'Sent with one and the same value', 'Map the value of the order, not a constant.'),
		('value_net', 4, false, 'Sent without tax', 'Map the value with tax, or compare with orders without.'),
		('value_differs', 4, false, 'Sent with another value', 'Map the column that your orders count by; an order that is changed later keeps the value it was sent with.'),
		('recorded_twice', 5, false, 'Recorded twice', 'Look for a second trigger or call that records the same orders.'),
		('no_order', 5, false, 'Events without an order', 'Were the orders cancelled? TikTok has no event for that.'),
		('pixel_other_name', 5, false, 'Under another name by the Pixel', 'Fire the name in the Pixel that is sent from here: tiktok.pixel_event() makes the script.'),
		('pixel_other_id', 5, false, 'Under another id by the Pixel', 'Give the Pixel the event_id that is recorded here: tiktok.pixel_event() makes the script.'),
		('pixel_48_hours', 5, false, 'More than 48 hours from the Pixel''s copy', 'Let the page fire for new orders only, and look at Lateness.')) c (cause, place, meant, label, hint)
	WHERE c.cause = report_cause.cause
$$;
COMMENT ON FUNCTION tiktok_internal.report_cause(text) IS 'a cause in words; meant: nothing to mend';

-- The planner takes the groups for as many as the events, and would sort these.  Events and their statuses are in the same
-- order, so that merging them takes half the time of hashing.  Most events are delivered at once, so the first comparison
-- of lateness decides.
CREATE FUNCTION tiktok_internal.report_facts(since timestamptz, until timestamptz, source text) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp SET enable_sort = off SET enable_hashjoin = off SET jit = off SET plan_cache_mode = force_custom_plan AS $$
#variable_conflict use_column
DECLARE
	wanted int := CASE WHEN source IS NOT NULL THEN tiktok_internal.source_id(source) END;
BEGIN
	RETURN (
	WITH read AS MATERIALIZED (
		-- of the time before, only what is compared
		SELECT f.source_id, f.event, f.enqueued_at < since AS before, CASE WHEN f.enqueued_at >= since THEN f.enqueued_at::date END AS day, f.status,
			CASE WHEN f.enqueued_at >= since THEN f.reason END AS reason, f.currency, CASE WHEN f.has_payload AND f.enqueued_at >= since THEN f.match_keys END AS match_keys,
			CASE WHEN f.enqueued_at < since THEN NULL WHEN f.status = 'expired' THEN 10 WHEN f.status <> 'delivered' THEN NULL
				WHEN f.at < f.event_time + interval '10 s' THEN 1 WHEN f.at < f.event_time + interval '1 min' THEN 2 WHEN f.at < f.event_time + interval '5 min' THEN 3
				WHEN f.at < f.event_time + interval '1 h' THEN 4 WHEN f.at < f.event_time + interval '6 h' THEN 5 WHEN f.at < f.event_time + interval '24 h' THEN 6
				WHEN f.at < f.event_time + interval '48 h' THEN 7 WHEN f.at < f.event_time + interval '7 d' THEN 8 ELSE 9 END AS bucket,
			count(*) AS n, sum(f.value) AS value, min(f.id) AS first_id, max(f.id) AS last_id
		FROM tiktok_internal.real_event f
		WHERE (wanted IS NULL OR f.source_id = wanted)
		AND f.hour >= date_bin('1 hour', since - (until - since), '2000-01-01 00:00+00') AND f.hour < until
		AND f.enqueued_at >= since - (until - since) AND f.enqueued_at < until
		GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9
	), named AS MATERIALIZED (
		SELECT r.*, s.name AS source, s.event_source, tiktok_internal.report_class(s.event_source, r.event) AS class
		FROM read r LEFT JOIN tiktok_internal.report_source s ON s.source_id = r.source_id
	), cell AS MATERIALIZED (
		SELECT * FROM named n WHERE NOT n.before
	), reason AS (
		SELECT c.source, c.event, c.status, c.reason, sum(c.n) AS n, array_agg(c.first_id) || array_agg(c.last_id) AS ids
		FROM cell c
		WHERE c.status IN ('rejected', 'invalid', 'expired', 'uncertain', 'discarded')
		GROUP BY 1, 2, 3, 4
		ORDER BY 5 DESC, 1, 2, 3, 4
		LIMIT 15
	), fate AS (
		SELECT c.source, c.event_source, c.class, c.event, c.status, c.currency, sum(c.n) AS n, sum(c.value) AS value,
			min(c.first_id) AS first_id, array_agg(c.first_id) || array_agg(c.last_id) AS ids
		FROM cell c
		WHERE c.source IS NOT NULL
		GROUP BY 1, 2, 3, 4, 5, 6
	), key AS MATERIALIZED (
		SELECT k.event_source, k.strong, k.bit
		FROM (SELECT e.event_source, k.bit, bit_or(1 << k.bit) FILTER (WHERE k.is_strong) OVER (PARTITION BY e.event_source) AS strong
			FROM (SELECT DISTINCT c.event_source FROM cell c) e JOIN tiktok_internal.match_key k ON e.event_source = ANY (k.event_sources)) k
	)
	SELECT jsonb_strip_nulls(jsonb_build_object(
		'events', (SELECT jsonb_agg(jsonb_build_object('source', f.source, 'class', f.class, 'event', f.event, 'status', f.status, 'currency', f.currency, 'n', f.n, 'value', f.value,
				'since', (SELECT x.enqueued_at FROM tiktok_internal.real_event x WHERE x.id = f.first_id AND f.status <> 'delivered'),
				'ids', (SELECT jsonb_agg(x.event_id ORDER BY i.id DESC)
					FROM (SELECT DISTINCT u.id FROM unnest(f.ids) u (id) WHERE f.class = 'sale' AND f.status <> 'delivered' ORDER BY 1 DESC LIMIT 3) i,
						LATERAL (SELECT r.event_id FROM tiktok_internal.real_event r WHERE r.id = i.id OFFSET 0) x)))
			FROM fate f),
		'days', (SELECT jsonb_agg(d) FROM (
			SELECT c.source, c.class, c.event, c.day, sum(c.n) AS n, coalesce(sum(c.n) FILTER (WHERE c.status = 'delivered'), 0) AS delivered
			FROM cell c WHERE c.source IS NOT NULL GROUP BY 1, 2, 3, 4) d),
		'before', (SELECT jsonb_agg(b) FROM (
			SELECT n.source, n.class, n.event, n.currency, sum(n.n) AS n, coalesce(sum(n.n) FILTER (WHERE n.status = 'delivered'), 0) AS delivered,
				sum(n.value) FILTER (WHERE n.status = 'delivered') AS value
			FROM named n WHERE n.before AND n.source IS NOT NULL GROUP BY 1, 2, 3, 4) b),
		'lateness', (SELECT jsonb_agg(l) FROM (
			SELECT c.source, c.class, c.event, c.bucket, sum(c.n) AS n FROM cell c WHERE c.bucket IS NOT NULL AND c.source IS NOT NULL GROUP BY 1, 2, 3, 4) l),
		'coverage', (SELECT jsonb_agg(k ORDER BY k.events DESC, k.source, k.event, k.bit) FROM (
			SELECT e.source, e.class, e.event, e.events, k.bit, k.strong & (1 << k.bit) <> 0 AS is_strong,
				coalesce(sum(c.n) FILTER (WHERE c.match_keys & (1 << k.bit) <> 0), 0) AS with_key, coalesce(sum(c.n) FILTER (WHERE c.match_keys & k.strong = 0), 0) AS weak
			FROM (SELECT c.source, c.event_source, c.class, c.event, sum(c.n) AS events FROM cell c WHERE c.match_keys IS NOT NULL AND c.source IS NOT NULL
				GROUP BY 1, 2, 3, 4 ORDER BY 5 DESC, 1, 4 LIMIT 25) e
			JOIN cell c ON c.source = e.source AND c.event = e.event AND c.match_keys IS NOT NULL
			JOIN key k ON k.event_source = e.event_source
			GROUP BY 1, 2, 3, 4, 5, 6) k),
		'stages', (SELECT jsonb_agg(g ORDER BY g.source, g.position, g.event) FROM (
			SELECT s.source, s.event, s.stages, s.position, coalesce(sum(c.n), 0) AS n,
				coalesce(sum(c.n) FILTER (WHERE c.status = 'delivered'), 0) AS delivered
			FROM tiktok_internal.report_stage s LEFT JOIN cell c ON c.source = s.source AND c.event = s.event
			WHERE report_facts.source IS NULL OR s.source = report_facts.source
			GROUP BY 1, 2, 3, 4) g),
		'reasons', (SELECT jsonb_agg(jsonb_build_object('source', r.source, 'event', r.event, 'status', r.status, 'reason', r.reason, 'n', r.n,
				'examples', (SELECT jsonb_agg(x.event_id ORDER BY i.id DESC)
					FROM (SELECT DISTINCT u.id FROM unnest(r.ids) u (id) ORDER BY 1 DESC LIMIT 3) i,
						LATERAL (SELECT f.event_id FROM tiktok_internal.real_event f WHERE f.id = i.id OFFSET 0) x)) ORDER BY r.n DESC, r.source, r.event, r.status, r.reason)
			FROM reason r))));
END $$;
COMMENT ON FUNCTION tiktok_internal.report_facts(timestamptz, timestamptz, text) IS 'the numbers of the events recorded in a time, and before it';

-- Relations of others are read here: one that fails is named by its SQLSTATE, as a message may quote a row.
CREATE FUNCTION tiktok_internal.report_compared(source text, since timestamptz, until timestamptz, OUT sums jsonb, OUT days jsonb, OUT problem text)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	WITH judged AS MATERIALIZED (
		SELECT coalesce(j.cause, 'agree') AS cause, j.event, j.event_id, j.day, j.at, j.n, j.in_orders, j.kind, j.value, j.value_sent,
			coalesce(j.status = 'delivered', false) AND j.cause IS DISTINCT FROM 'duplicate' AS accepted,
			coalesce(j.in_tiktok, false) AND j.status IS DISTINCT FROM 'delivered' AND j.kind <> 'report' AS by_pixel,
			coalesce(j.currency, j.currency_sent) AS currency
		FROM tiktok_internal.difference_causes(report_compared.source, since, until) j
	), summed AS (
		SELECT j.event, j.currency, j.cause, j.in_orders, j.accepted, j.by_pixel, sum(j.n) AS n, sum(j.value) AS value, min(j.at) AS since,
			sum(CASE WHEN j.in_orders AND NOT j.accepted OR j.cause = 'no_value' OR j.cause = 'other_currency' THEN j.value
				WHEN j.cause LIKE 'value%' THEN abs(j.value_sent - j.value)
				WHEN NOT j.in_orders AND j.accepted THEN j.value_sent END) AS cost,
			CASE WHEN j.cause <> 'agree' THEN (array_agg(j.event_id ORDER BY j.at DESC) FILTER (WHERE j.event_id IS NOT NULL))[1:3] END AS ids
		FROM judged j
		WHERE j.in_orders OR j.accepted OR j.by_pixel OR j.kind = 'report'
		GROUP BY 1, 2, 3, 4, 5, 6
	)
	SELECT (SELECT jsonb_agg(jsonb_build_object('event', s.event, 'currency', s.currency, 'cause', s.cause, 'in_orders', s.in_orders, 'accepted', s.accepted, 'by_pixel', s.by_pixel,
				'n', s.n, 'value', s.value, 'cost', s.cost, 'since', s.since, 'ids', (SELECT jsonb_agg(tiktok_internal.shown(i)) FROM unnest(s.ids) i)))
			FROM summed s),
		(SELECT jsonb_agg(d) FROM (
			SELECT j.event, j.day, coalesce(sum(j.n) FILTER (WHERE j.in_orders), 0) AS n, coalesce(sum(j.n) FILTER (WHERE j.accepted), 0) AS delivered
			FROM judged j WHERE j.in_orders OR j.accepted GROUP BY 1, 2) d)
	INTO sums, days;
EXCEPTION
	WHEN syntax_error_or_access_rule_violation OR data_exception THEN
		problem := SQLSTATE;
END $$;
COMMENT ON FUNCTION tiktok_internal.report_compared(text, timestamptz, timestamptz) IS 'orders and events of a source, compared once and summed by cause';

-- TikTok counts days of UTC, and two sources with the same id are one to it.
CREATE FUNCTION tiktok_internal.report_counted(source text, since timestamptz, until timestamptz) RETURNS jsonb
LANGUAGE sql STABLE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' AS $$
	SELECT jsonb_object_agg(e.event, jsonb_build_object('server', e.server, 'browser', e.browser, 'first', e.first, 'last', e.last, 'days', e.days))
	FROM (
		SELECT c.event, sum(c.server) AS server, sum(c.browser) AS browser, min(c.day) AS first, max(c.day) AS last,
			jsonb_agg(jsonb_build_object('day', c.day, 'n', c.server)) FILTER (WHERE c.server IS NOT NULL) AS days
		FROM (SELECT c.event, c.day, max(c.server) AS server, max(c.browser) AS browser
			FROM tiktok_internal.count c JOIN tiktok_internal.sibling s ON s.sibling = c.source
			WHERE s.source = report_counted.source AND c.day >= since::date AND c.day < until
			GROUP BY 1, 2) c
		GROUP BY 1) e
$$;
COMMENT ON FUNCTION tiktok_internal.report_counted(text, timestamptz, timestamptz) IS 'TikTok''s counts of a source by event';

-- One row per sale or event with a source of truth.  Without one, its events stand in the place of orders.
CREATE FUNCTION tiktok_internal.report_sales(facts jsonb, pixel jsonb, since timestamptz, until timestamptz, source text) RETURNS jsonb
LANGUAGE sql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
	WITH shown AS MATERIALIZED (
		SELECT s.name AS source, (SELECT min(o.sibling) FROM tiktok_internal.sibling o WHERE o.source = s.name) AS one,
			ARRAY(SELECT DISTINCT t.event FROM tiktok.source_of_truth t JOIN tiktok_internal.sibling o ON o.sibling = t.source WHERE o.source = s.name) AS events
		FROM tiktok_internal.report_source s
		WHERE report_sales.source IS NULL OR s.name = report_sales.source
	), truth AS MATERIALIZED (
		-- siblings are compared as a sum, once
		SELECT s.source, s.events, c.sums, c.days, c.problem
		FROM shown s, LATERAL tiktok_internal.report_compared(s.source, since, until) c
		WHERE s.events <> '{}' AND NOT EXISTS (SELECT FROM shown o WHERE o.one = s.one AND o.source < s.source)
	), counted AS MATERIALIZED (
		SELECT s.source, tiktok_internal.report_counted(s.source, since, until) AS counts FROM shown s
	), event AS (
		SELECT t.source, e.event, true AS truth, NULL AS problem,
			(SELECT jsonb_agg(x) FROM jsonb_array_elements(t.sums) x WHERE x->>'event' = e.event) AS sums,
			(SELECT jsonb_agg(x) FROM jsonb_array_elements(t.days) x WHERE x->>'event' = e.event) AS days
		FROM truth t, LATERAL (
			-- the Pixel may report orders under another name
			SELECT unnest(t.events) UNION SELECT x->>'event' FROM jsonb_array_elements(t.sums) x) e (event)
		WHERE t.problem IS NULL
		UNION ALL
		SELECT f.source, f.event, false, (SELECT t.problem FROM truth t WHERE t.source = f.source AND f.event = ANY (t.events)),
			jsonb_agg(jsonb_build_object('currency', f.currency, 'cause', CASE WHEN f.status = 'delivered' THEN 'agree' ELSE f.status END, 'in_orders', true, 'accepted', f.status = 'delivered',
				'by_pixel', false, 'n', f.n, 'value', f.value, 'cost', CASE WHEN f.status <> 'delivered' THEN f.value END, 'since', f.since, 'ids', f.ids)),
			(SELECT jsonb_agg(d) FROM jsonb_array_elements(facts->'days') d WHERE d->>'source' = f.source AND d->>'event' = f.event)
		FROM jsonb_to_recordset(facts->'events') f (source text, class text, event text, status text, currency text, n numeric, value numeric, since timestamptz, ids jsonb)
		JOIN shown s ON s.source = f.source
		WHERE (f.class = 'sale' OR f.event = ANY (s.events))
		AND NOT EXISTS (SELECT FROM truth t JOIN shown o ON o.source = t.source WHERE o.one = s.one AND f.event = ANY (t.events) AND t.problem IS NULL)
		GROUP BY f.source, f.event
	), rule AS MATERIALIZED (
		SELECT r.rule, r.evidence FROM tiktok_internal.rule_by(pixel) r WHERE EXISTS (SELECT FROM counted c WHERE c.counts IS NOT NULL)
	)
	SELECT jsonb_agg(jsonb_strip_nulls(jsonb_build_object('source', e.source, 'event', e.event, 'truth', e.truth, 'problem', e.problem, 'sums', e.sums, 'days', e.days,
			'counted', c.counts->e.event, 'rule', r.rule, 'evidence', r.evidence)) ORDER BY e.truth DESC, n.n DESC, e.source, e.event)
	FROM event e
	LEFT JOIN counted c ON c.source = e.source
	LEFT JOIN rule r ON true
	CROSS JOIN LATERAL (SELECT coalesce(sum((x->>'n')::numeric), 0) AS n FROM jsonb_array_elements(e.sums) x WHERE (x->>'in_orders')::boolean) n
$$;
COMMENT ON FUNCTION tiktok_internal.report_sales(jsonb, jsonb, timestamptz, timestamptz, text) IS 'sales: orders or events by what became of them, and TikTok''s counts';
