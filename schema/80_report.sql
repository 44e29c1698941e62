/*
 * The report: one page of HTML that says what became of the events of a time.
 *
 * tiktok._report_facts reads the events and counts; the other functions turn its numbers into HTML.  All text
 * of others passes through tiktok._report_text.  The page has no script, loads nothing, and is plain ASCII and
 * well-formed XML in every encoding.  All functions run with the rights of whoever asks.
 */

CREATE VIEW tiktok._report_stage AS
SELECT source, event, string_agg(stage, ', ' ORDER BY position, stage) AS stages, min(position) AS position
FROM tiktok.lead_stage
GROUP BY source, event;
COMMENT ON VIEW tiktok._report_stage IS 'the funnel of each source of leads';

-- Characters beyond ASCII by number: whatever encoding the page is written in, it means the same.
CREATE FUNCTION tiktok._report_text(given text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
	SELECT string_agg(CASE
		WHEN c IN ('&', '<', '>', '"', '''') THEN '&#' || ascii(c) || ';'
		WHEN c COLLATE "C" BETWEEN ' ' AND '~' THEN c
		WHEN octet_length(c) = 1 AND get_byte(convert_to(c, getdatabaseencoding()), 0) < 128 THEN ' '
		WHEN getdatabaseencoding() = 'SQL_ASCII' THEN '?'
		ELSE (SELECT '&#' || CASE
				WHEN length(u) = 2 THEN get_byte(u, 0) % 32 * 64 + get_byte(u, 1) % 64
				WHEN length(u) = 3 THEN get_byte(u, 0) % 16 * 4096 + get_byte(u, 1) % 64 * 64 + get_byte(u, 2) % 64
				ELSE get_byte(u, 0) % 8 * 262144 + get_byte(u, 1) % 64 * 4096 + get_byte(u, 2) % 64 * 64 + get_byte(u, 3) % 64
			END || ';' FROM convert_to(c, 'UTF8') u)
		END, '' ORDER BY n)
	FROM unnest(string_to_array(left(given, 400), NULL)) WITH ORDINALITY x (c, n)
$$;
COMMENT ON FUNCTION tiktok._report_text(text) IS 'text as it may stand in HTML';

CREATE FUNCTION tiktok._report_number(given numeric) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
	SELECT to_char(given, 'FM999,999,999,999,999,990')
$$;
COMMENT ON FUNCTION tiktok._report_number(numeric) IS 'a count as text';

CREATE FUNCTION tiktok._report_money(given numeric, currency text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
	SELECT to_char(coalesce(given, 0), CASE WHEN currency IN ('CLP', 'ISK', 'JPY', 'KRW', 'PYG', 'VND') THEN 'FM999,999,999,999,999,999,990'
		ELSE 'FM999,999,999,999,999,999,990.00' END)
$$;
COMMENT ON FUNCTION tiktok._report_money(numeric, text) IS 'an amount as text';

CREATE FUNCTION tiktok._report_state(state text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
	SELECT format('<span class="state %s">%s %s</span>', tiktok._report_text(state),
		CASE WHEN state = 'ok' THEN '&#10003;' WHEN state = 'warn' THEN '&#9888;' WHEN state = 'todo' THEN '&#9675;' ELSE '&#10007;' END, tiktok._report_text(state))
$$;
COMMENT ON FUNCTION tiktok._report_state(text) IS 'ok, todo, warn or fail with its sign';

CREATE FUNCTION tiktok._report_finding(found text, hint text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
	SELECT tiktok._report_text(found) || coalesce('<small>' || tiktok._report_text(hint) || '</small>', '')
$$;
COMMENT ON FUNCTION tiktok._report_finding(text, text) IS 'what was found and what to do';

-- A table; cells and heads are HTML.  The first column heads the row; the first "texts" are texts, the others numbers.
CREATE FUNCTION tiktok._report_table(caption text, heads text[], rows text, texts int DEFAULT 1) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
	SELECT format('<div class="wide"><table><caption><span>%s</span></caption><thead><tr>%s</tr></thead><tbody>%s</tbody></table></div>', caption,
		(SELECT string_agg(format('<th scope="col"%s>%s</th>', CASE WHEN n > texts THEN ' class="n"' END, h), '' ORDER BY n) FROM unnest(heads) WITH ORDINALITY x (h, n)),
		rows)
$$;
COMMENT ON FUNCTION tiktok._report_table(text, text[], text, int) IS 'a table of the report; NULL without rows';

CREATE FUNCTION tiktok._report_row(cells text[], texts int DEFAULT 1) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
	SELECT '<tr>' || string_agg(CASE WHEN n = 1 THEN format('<th scope="row">%s</th>', c) WHEN n <= texts THEN format('<td>%s</td>', c)
		ELSE format('<td class="n">%s</td>', c) END, '' ORDER BY n) || '</tr>'
	FROM unnest(cells) WITH ORDINALITY x (c, n)
$$;
COMMENT ON FUNCTION tiktok._report_row(text[], int) IS 'a row of a table of the report';

-- Hours, days or weeks, so that about 60 bars show at most; weeks begin on Monday.
CREATE FUNCTION tiktok._report_width(since timestamptz, until timestamptz) RETURNS interval
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
	SELECT coalesce(
		(SELECT min(w) FROM unnest('{1h,2h,3h,6h,12h,1d,2d,7d,14d,28d}'::interval[]) w WHERE extract(epoch FROM until - since) < extract(epoch FROM w) * 59),
		make_interval(days => 28 * ceil(extract(epoch FROM until - since) / 86400 / 28 / 59)::int))
$$;
COMMENT ON FUNCTION tiktok._report_width(timestamptz, timestamptz) IS 'the time that one bar of the report stands for';

-- The plan depends on how long the time is, so it is made for each call.  The planner takes the groups for as many as
-- the events, and would sort these.
CREATE FUNCTION tiktok._report_facts(since timestamptz, until timestamptz, source text) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' SET enable_sort = off SET plan_cache_mode = force_custom_plan AS $$
#variable_conflict use_column
DECLARE
	width interval := tiktok._report_width(since, until);
	wanted int := CASE WHEN source IS NOT NULL THEN tiktok._source_id(source) END;
BEGIN
	RETURN (
	WITH cell AS MATERIALIZED (
		SELECT f.source, f.event, f.is_sale, date_bin(width, f.enqueued_at, '2001-01-01 00:00+00') AS bucket, f.status, f.reason, f.currency,
			CASE WHEN f.status = 'delivered' THEN 1 + width_bucket(f.at - f.event_time, '{10 s,1 min,5 min,1 h,6 h,24 h,48 h,7 d}'::interval[])
				WHEN f.status = 'expired' THEN 10 END AS lateness,
			count(*) AS n, sum(f.value) AS value, min(f.id) AS first_id, max(f.id) AS last_id
		FROM tiktok._real_event f
		WHERE (wanted IS NULL OR f.source_id = wanted)
		AND f.hour >= date_bin('1 hour', since, '2000-01-01 00:00+00') AND f.hour < until
		AND f.enqueued_at >= since AND f.enqueued_at < until
		GROUP BY 1, 2, 3, 4, 5, 6, 7, 8
	), keys AS MATERIALIZED (
		SELECT f.source, f.event, f.event_source, f.match_keys, count(*) AS n
		FROM tiktok._real_event f
		WHERE (wanted IS NULL OR f.source_id = wanted)
		AND f.hour >= date_bin('1 hour', since, '2000-01-01 00:00+00') AND f.hour < until
		AND f.enqueued_at >= since AND f.enqueued_at < until
		AND f.has_payload AND f.source IS NOT NULL
		GROUP BY 1, 2, 3, 4
	), reason AS (
		SELECT c.source, c.status, c.reason, sum(c.n) AS n, array_agg(c.first_id) || array_agg(c.last_id) AS ids
		FROM cell c
		WHERE c.status IN ('rejected', 'invalid', 'expired', 'uncertain', 'discarded')
		GROUP BY 1, 2, 3
		ORDER BY 4 DESC, 1, 2, 3
		LIMIT 15
	)
	SELECT jsonb_strip_nulls(jsonb_build_object(
		'statuses', (SELECT jsonb_object_agg(s.status, s.n) FROM (SELECT c.status, sum(c.n) AS n FROM cell c GROUP BY 1) s),
		'buckets', (SELECT jsonb_agg(b ORDER BY b.bucket) FROM (SELECT c.bucket, c.status, sum(c.n) AS n FROM cell c GROUP BY 1, 2) b),
		'money', (SELECT jsonb_agg(m) FROM (
			SELECT c.event, c.currency, CASE WHEN tiktok._current_name(c.event) = 'Purchase' THEN 1 WHEN c.is_sale THEN 2 ELSE 3 END AS rank, sum(c.value) AS value,
				coalesce(sum(c.value) FILTER (WHERE c.status = 'delivered'), 0) AS delivered,
				coalesce(sum(c.value) FILTER (WHERE c.status IN ('rejected', 'invalid', 'expired', 'uncertain', 'discarded')), 0) AS not_accepted,
				coalesce(sum(c.value) FILTER (WHERE c.status IN ('pending', 'retrying')), 0) AS waiting,
				coalesce(sum(c.value) FILTER (WHERE c.status = 'suppressed'), 0) AS suppressed
			FROM cell c GROUP BY 1, 2, 3 HAVING sum(c.value) > 0) m),
		'lateness', (SELECT jsonb_object_agg(l.lateness, l.n) FROM (
			SELECT c.lateness, sum(c.n) AS n FROM cell c WHERE c.lateness IS NOT NULL GROUP BY 1) l),
		'coverage', (SELECT jsonb_agg(k ORDER BY k.events DESC, k.source, k.event, k.bit) FROM (
			SELECT e.source, e.event, e.events, k.bit, coalesce(sum(c.n) FILTER (WHERE c.match_keys & (1 << k.bit) <> 0), 0) AS with_key
			FROM (SELECT c.source, c.event, c.event_source, sum(c.n) AS events FROM keys c GROUP BY 1, 2, 3 ORDER BY 4 DESC, 1, 2 LIMIT 25) e
			JOIN keys c ON c.source = e.source AND c.event = e.event
			JOIN tiktok._match_key k ON e.event_source = ANY (k.event_sources)
			GROUP BY 1, 2, 3, 4) k),
		'stages', (SELECT jsonb_agg(g ORDER BY g.source, g.position, g.event) FROM (
			SELECT s.source, s.event, s.stages, s.position, coalesce(sum(c.n), 0) AS n,
				coalesce(sum(c.n) FILTER (WHERE c.status = 'delivered'), 0) AS delivered
			FROM tiktok._report_stage s LEFT JOIN cell c ON c.source = s.source AND c.event = s.event
			WHERE _report_facts.source IS NULL OR s.source = _report_facts.source
			GROUP BY 1, 2, 3, 4) g),
		'reasons', (SELECT jsonb_agg(jsonb_build_object('source', r.source, 'status', r.status, 'reason', r.reason, 'n', r.n,
				'examples', (SELECT jsonb_agg(x.event_id ORDER BY i.id DESC)
					FROM (SELECT DISTINCT u.id FROM unnest(r.ids) u (id) ORDER BY 1 DESC LIMIT 3) i,
						LATERAL (SELECT f.event_id FROM tiktok._real_event f WHERE f.id = i.id OFFSET 0) x)) ORDER BY r.n DESC, r.source, r.status, r.reason)
			FROM reason r))));
END $$;
COMMENT ON FUNCTION tiktok._report_facts(timestamptz, timestamptz, text) IS 'the numbers of the report';

CREATE FUNCTION tiktok._report_headline(facts jsonb) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
	WITH status AS (
		SELECT s.key AS status, s.value::bigint AS n FROM jsonb_each_text(facts->'statuses') s
	), count (position, label, class, n, note) AS (
		SELECT v.position, v.label, v.class, coalesce(sum(s.n), 0), v.note
		FROM (VALUES
			(1, 'Recorded', 'all', '{pending,retrying,delivered,rejected,invalid,suppressed,expired,uncertain,discarded}'::text[], 'events, tests not counted'),
			(2, 'Accepted', 'ok', '{delivered}', 'TikTok took them'),
			(3, 'Not accepted', 'fail', '{rejected,invalid,expired,uncertain,discarded}', 'rejected, invalid, expired, uncertain or discarded'),
			(4, 'Waiting', 'warn', '{pending,retrying}', 'pending or to be tried again'),
			(5, 'Without consent', 'unsent', '{suppressed}', 'suppressed, not sent')) v (position, label, class, statuses, note)
		LEFT JOIN status s ON s.status = ANY (v.statuses)
		GROUP BY v.position, v.label, v.class, v.note
	), money AS (
		SELECT m.*, row_number() OVER (ORDER BY m.rank, m.not_accepted DESC, m.value DESC, m.event, m.currency) AS n
		FROM jsonb_to_recordset(facts->'money')
			m (event text, currency text, rank int, value numeric, delivered numeric, not_accepted numeric, waiting numeric, suppressed numeric)
	)
	SELECT '<section id="headline"><h2>Headline</h2><dl class="cards">'
		|| (SELECT string_agg(format('<div class="card %s"><dt>%s</dt><dd><b>%s</b> <span>%s</span><small>%s</small></dd></div>', c.class, c.label, tiktok._report_number(c.n),
			CASE WHEN c.position > 1 THEN tiktok._percent(c.n, (SELECT a.n FROM count a WHERE a.position = 1)) END, c.note), '' ORDER BY c.position) FROM count c)
		|| coalesce((SELECT '<div class="card fail"><dt>Value not accepted</dt><dd>'
			|| string_agg(format('<p>%s <span><strong>%s</strong> %s</span></p>', tiktok._report_text(m.event), tiktok._report_money(m.not_accepted, m.currency), coalesce(tiktok._report_text(m.currency), '')), '' ORDER BY m.n)
			|| '</dd></div>' FROM money m WHERE m.n <= 2), '')
		|| '</dl>'
		|| coalesce((SELECT tiktok._report_table('Value by event and currency, sales first. Values of different events are not added up: a cart and its purchase are the same money.',
			'{Event,Currency,"Not accepted",Accepted,Waiting,"Without consent",Recorded}',
			string_agg(tiktok._report_row(ARRAY[tiktok._report_text(m.event), coalesce(tiktok._report_text(m.currency), 'none'),
				format('<strong>%s</strong>', tiktok._report_money(m.not_accepted, m.currency)), tiktok._report_money(m.delivered, m.currency),
				tiktok._report_money(m.waiting, m.currency), tiktok._report_money(m.suppressed, m.currency), tiktok._report_money(m.value, m.currency)], 2), '' ORDER BY m.n), 2)
			FROM money m WHERE m.n <= 20),
			'<p>No event has a value.</p>')
		|| '</section>'
$$;
COMMENT ON FUNCTION tiktok._report_headline(jsonb) IS 'the report''s headline';

-- A distance between lines of an axis: 1, 2 or 5 and zeros, of whole events.
CREATE FUNCTION tiktok._report_step(highest numeric) RETURNS numeric
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
	SELECT min(m * 10 ^ p) FROM unnest('{1,2,5}'::numeric[]) m, generate_series(0, 15) p WHERE m * 10 ^ p * 5 >= highest
$$;
COMMENT ON FUNCTION tiktok._report_step(numeric) IS 'the distance between two lines of an axis';

CREATE FUNCTION tiktok._report_short(given numeric) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
	SELECT CASE WHEN given >= 1000000 THEN trim_scale(given / 1000000) || ' M' WHEN given >= 1000 THEN trim_scale(given / 1000) || ' k' ELSE trim_scale(given)::text END
$$;
COMMENT ON FUNCTION tiktok._report_short(numeric) IS 'a number of an axis';

CREATE FUNCTION tiktok._report_deliveries(facts jsonb, since timestamptz, until timestamptz) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' AS $$
	WITH status AS MATERIALIZED (
		SELECT s.status, s.position FROM unnest('{delivered,pending,retrying,suppressed,expired,uncertain,rejected,invalid,discarded}'::text[]) WITH ORDINALITY s (status, position)
	), span AS MATERIALIZED (
		SELECT w.width, date_bin(w.width, since, '2001-01-01 00:00+00') AS first FROM (SELECT tiktok._report_width(since, until) AS width) w
	), bar AS MATERIALIZED (
		SELECT g.bucket, g.x - 1 AS x, count(*) OVER () AS bars
		FROM span s, generate_series(s.first, until - interval '1 us', s.width) WITH ORDINALITY g (bucket, x)
	), part AS MATERIALIZED (
		SELECT b.x, b.bucket, s.status, p.n, s.position, sum(p.n) OVER (PARTITION BY b.x ORDER BY s.position) AS upto
		FROM jsonb_to_recordset(facts->'buckets') p (bucket timestamptz, status text, n numeric)
		JOIN bar b ON b.bucket = p.bucket
		JOIN status s ON s.status = p.status
	), axis AS MATERIALIZED (
		SELECT a.step, a.step * greatest(1, ceil(a.highest / a.step)) AS top, 90 AS x0, 600.0 / b.bars AS wide, b.bars
		FROM (SELECT m.highest, tiktok._report_step(m.highest) AS step FROM (SELECT coalesce(max(p.upto), 1) AS highest FROM part p) m) a,
			(SELECT count(*) AS bars FROM bar) b
	), every AS (
		-- a whole number of bars between two labels, so that there are at most 8
		SELECT coalesce((SELECT min(e) FROM unnest('{1h,2h,3h,6h,12h,1d,2d,7d,14d,28d,56d}'::interval[]) i, extract(epoch FROM i) e
				WHERE mod(e, extract(epoch FROM s.width)) = 0 AND a.bars * extract(epoch FROM s.width) <= 8 * e), ceil(a.bars / 7.0) * extract(epoch FROM s.width)) AS seconds,
			CASE WHEN s.width < interval '1 day' THEN 'DD Mon YYYY HH24:MI' ELSE 'DD Mon YYYY' END AS full_label,
			CASE WHEN s.width < interval '1 day' THEN extract(epoch FROM s.width) / 3600 || ' hour' WHEN extract(day FROM s.width)::int % 7 = 0 THEN extract(day FROM s.width) / 7 || ' week'
				ELSE extract(day FROM s.width) || ' day' END AS width
		FROM span s, axis a
	)
	SELECT '<section id="deliveries"><h2>Deliveries over time</h2>' || CASE WHEN facts->'statuses' IS NULL THEN '<p>No event was recorded.</p>' ELSE
		format('<figure>%s<figcaption>Events by the time they were recorded (UTC) and what became of them. One bar: %s.</figcaption></figure>',
			(SELECT '<ul class="legend">' || string_agg(format('<li><svg width="16" height="16" aria-hidden="true"><rect width="16" height="16" class="s-%s"/></svg> %s %s</li>', s.status, s.status,
				tiktok._report_number((facts->'statuses'->>s.status)::numeric)), '' ORDER BY s.position) || '</ul>'
				FROM status s WHERE facts->'statuses' ? s.status)
			|| format('<svg viewBox="0 0 740 330" role="img" aria-label="Stacked bars: events by time and status; the numbers are in the table below."><text x="0" y="20" class="unit">events</text>%s%s%s<line x1="90" y1="280" x2="690" y2="280" class="axis"/></svg>',
				(SELECT string_agg(format('<line x1="90" x2="690" y1="%s" y2="%1$s" class="grid"/><text x="80" y="%s" text-anchor="end">%s</text>',
					round(280 - 240 * y / a.top, 1), round(288 - 240 * y / a.top, 1), tiktok._report_short(y)), '')
					FROM axis a, generate_series(0, a.top, a.step) y),
				(SELECT string_agg(format('<rect x="%s" y="%s" width="%s" height="%s" class="s-%s"><title>%s: %s %s</title></rect>',
					round(a.x0 + p.x * a.wide + 0.08 * a.wide, 1), round(280 - 240 * p.upto / a.top, 2), round(0.84 * a.wide, 1), round(240 * p.n / a.top, 2), p.status,
					to_char(p.bucket, e.full_label), tiktok._report_number(p.n), p.status), '' ORDER BY p.x, p.position)
					FROM part p, axis a, every e),
				(SELECT string_agg(format('<line x1="%s" x2="%1$s" y1="280" y2="288" class="axis"/><text x="%1$s" y="312" text-anchor="middle">%s</text>',
					round(a.x0 + (b.x + 0.5) * a.wide, 1), to_char(b.bucket, CASE WHEN b.bucket = date_trunc('day', b.bucket) THEN 'DD Mon' ELSE 'HH24:MI' END)), '' ORDER BY b.x)
					FROM bar b, axis a, every e
					WHERE mod(extract(epoch FROM b.bucket - '2001-01-01 00:00+00'), e.seconds) = 0)),
			regexp_replace(e.width, '^([\d.]+?)(?:\.0+)? (.*)$', CASE WHEN e.width ~ '^1(\.0+)? ' THEN '\1 \2' ELSE '\1 \2s' END))
		|| (SELECT '<details><summary>The numbers</summary>' || tiktok._report_table('Events by time and status', '{From (UTC)}' || array_agg(h.status ORDER BY h.position), min(r.rows)) || '</details>'
			FROM (SELECT s.* FROM status s WHERE facts->'statuses' ? s.status) h,
				(SELECT string_agg(tiktok._report_row(ARRAY[to_char(t.bucket, e.full_label)] || t.counts), '' ORDER BY t.bucket) AS rows
				FROM (SELECT b.bucket, array_agg(tiktok._report_number(coalesce(p.n, 0)) ORDER BY s.position) AS counts
					FROM bar b CROSS JOIN (SELECT s.* FROM status s WHERE facts->'statuses' ? s.status) s LEFT JOIN part p ON p.x = b.x AND p.status = s.status
					GROUP BY 1) t) r) END
		|| '</section>'
	FROM every e
$$;
COMMENT ON FUNCTION tiktok._report_deliveries(jsonb, timestamptz, timestamptz) IS 'the report''s deliveries over time';

CREATE FUNCTION tiktok._report_lateness(facts jsonb) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
	WITH bar AS MATERIALIZED (
		SELECT b.position, b.label, coalesce((facts->'lateness'->>b.position::text)::numeric, 0) AS n,
			b.position * 36 - 26 + CASE WHEN b.position > 7 THEN 60 WHEN b.position > 3 THEN 30 ELSE 0 END AS y
		FROM unnest('{up to 10 s,10 s to 1 min,1 to 5 min,5 min to 1 h,1 to 6 h,6 to 24 h,24 to 48 h,2 to 7 days,over 7 days,expired}'::text[])
			WITH ORDINALITY b (label, position)
	), whole AS (
		SELECT sum(b.n) AS n, greatest(1, max(b.n)) AS most FROM bar b
	)
	SELECT '<section id="lateness"><h2>Lateness</h2>'
		|| CASE WHEN w.n = 0 THEN '<p>No event was delivered or expired.</p>' ELSE
			format('<figure><svg viewBox="0 0 740 430" role="img" aria-label="Bars: delivered and expired events by the time from the event to its delivery. %s">%s'
				'<line x1="0" x2="740" y1="132" y2="132" class="mark"/><text x="740" y="126" text-anchor="end" class="marked">5 minutes</text>'
				'<line x1="0" x2="740" y1="306" y2="306" class="mark"/><text x="740" y="300" text-anchor="end" class="marked">48 hours</text></svg>'
				'<figcaption>From the event to its delivery, in events. Within 5 minutes it completes what the Pixel sent; within 48 hours TikTok knows it as a copy of the Pixel''s. Expired: too old to be sent.</figcaption></figure>',
				(SELECT string_agg(b.label || ': ' || b.n, ', ' ORDER BY b.position) FROM bar b),
				(SELECT string_agg(format('<text x="170" y="%s" text-anchor="end">%s</text><rect x="180" y="%s" width="%s" height="24" class="%s"/><text x="%s" y="%s">%s</text>',
					b.y + 19, b.label, b.y, round(300 * b.n / w.most, 1), CASE WHEN b.position > 7 THEN 's-expired' WHEN b.position > 3 THEN 's-late' ELSE 's-delivered' END,
					round(190 + 300 * b.n / w.most, 1), b.y + 19, tiktok._report_number(b.n) || CASE WHEN b.n > 0 THEN ' (' || tiktok._percent(b.n, w.n) || ')' ELSE '' END), '' ORDER BY b.position)
				FROM bar b)) END
		|| '</section>'
	FROM whole w
$$;
COMMENT ON FUNCTION tiktok._report_lateness(jsonb) IS 'the report''s histogram of lateness';

CREATE FUNCTION tiktok._report_coverage(facts jsonb) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
	WITH cell AS MATERIALIZED (
		SELECT c.* FROM jsonb_to_recordset(facts->'coverage') c (source text, event text, events numeric, bit int, with_key numeric)
	), key AS MATERIALIZED (
		SELECT k.bit, k.match_key FROM tiktok._match_key k WHERE k.bit IN (SELECT c.bit FROM cell c)
	)
	SELECT '<section id="coverage"><h2>Identifiers</h2>'
		|| coalesce((SELECT tiktok._report_table('Share of the events fit to be sent that have each kind of identifier TikTok could match them by, in per cent; a dot where the kind of source does not take it.'
				|| CASE WHEN count(*) = 25 THEN ' The 25 most frequent events.' ELSE '' END,
				'{Source and event,Events}'::text[] || (SELECT array_agg(k.match_key ORDER BY k.bit) FROM key k),
				string_agg(format('<tr><th scope="row">%s: %s</th><td class="n">%s</td>%s</tr>', tiktok._report_text(e.source), tiktok._report_text(e.event), tiktok._report_number(e.events),
					(SELECT string_agg(CASE WHEN c.bit IS NULL THEN '<td class="heat">&#183;</td>'
						ELSE format('<td class="heat" style="--share:%s">%s</td>', round(c.with_key / e.events, 2), round(100 * c.with_key / e.events)) END, '' ORDER BY k.bit)
					FROM key k LEFT JOIN cell c ON c.bit = k.bit AND c.source = e.source AND c.event = e.event)), '' ORDER BY e.source, e.events DESC, e.event))
			FROM (SELECT DISTINCT c.source, c.event, c.events FROM cell c) e), '<p>No event was fit to be sent.</p>')
		|| '</section>'
$$;
COMMENT ON FUNCTION tiktok._report_coverage(jsonb) IS 'the report''s heat map of identifiers';

CREATE FUNCTION tiktok._report_funnel(facts jsonb) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
	SELECT '<section id="funnel"><h2>Leads</h2>'
		|| coalesce(string_agg(tiktok._report_table(format('Leads of %s by the stage they came to. The bar is the number of leads, its full part those delivered.', tiktok._report_text(f.source)),
			'{Stage,"",Leads,Delivered,"Of the first"}', f.rows, 2), '' ORDER BY f.source), '<p>No stage of leads is mapped; see tiktok.lead_stage.</p>')
		|| '</section>'
	FROM (
		SELECT s.source, string_agg(tiktok._report_row(ARRAY[
			tiktok._report_text(s.event) || format('<small>%s</small>', tiktok._report_text(s.stages)),
			format('<svg class="bar" viewBox="0 0 100 10" preserveAspectRatio="none" role="img" aria-label="%s leads, %s delivered"><rect width="%s" height="10" class="s-late"/><rect width="%s" height="10" class="s-delivered"/></svg>',
				s.n, s.delivered, round(100 * s.n / greatest(1, s.most), 1), round(100 * s.delivered / greatest(1, s.most), 1)),
			tiktok._report_number(s.n), tiktok._report_number(s.delivered), tiktok._percent(s.n, s.first)], 2), '' ORDER BY s.position, s.event) AS rows
		FROM (SELECT s.*, max(s.n) OVER (PARTITION BY s.source) AS most, first_value(s.n) OVER (PARTITION BY s.source ORDER BY s.position, s.event) AS first
			FROM jsonb_to_recordset(facts->'stages') s (source text, event text, stages text, position int, n numeric, delivered numeric)) s
		GROUP BY s.source) f
$$;
COMMENT ON FUNCTION tiktok._report_funnel(jsonb) IS 'the report''s funnel of leads';

-- Relations of others are read here: one that fails is named by its SQLSTATE, as a message may quote a row.
CREATE FUNCTION tiktok._report_reconciled(source text, since timestamptz, until timestamptz, OUT rows text, OUT problem text)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' AS $$
BEGIN
	SELECT string_agg(tiktok._report_row(ARRAY[tiktok._report_text(_report_reconciled.source || ': ' || r.event),
		CASE WHEN r.counts THEN 'TikTok counts' ELSE coalesce(tiktok._report_text(r.currency), 'none') END,
		coalesce(tiktok._report_number(r.your_rows), '&#8211;'), coalesce(tiktok._report_number(r.recorded), '&#8211;'), coalesce(tiktok._report_number(r.delivered), '&#8211;'),
		coalesce(tiktok._report_number(r.not_accepted), '&#8211;'), coalesce(tiktok._report_number(r.missing), '&#8211;'), coalesce(tiktok._report_number(r.extra), '&#8211;'),
		CASE WHEN r.value IS NULL THEN '&#8211;' ELSE tiktok._report_money(r.value, r.currency) END,
		CASE WHEN r.value_sent IS NULL THEN '&#8211;' ELSE tiktok._report_money(r.value_sent, r.currency) END,
		CASE WHEN r.value_not_accepted IS NULL THEN '&#8211;' ELSE tiktok._report_money(r.value_not_accepted, r.currency) END,
		coalesce(tiktok._report_number(r.browser), '&#8211;'), coalesce(tiktok._report_number(r.server), '&#8211;')], 2), '' ORDER BY r.event, r.counts, r.currency)
	INTO rows
	FROM (SELECT r.event, r.currency, r.recorded IS NULL AS counts, sum(r.your_rows) AS your_rows, sum(r.recorded) AS recorded, sum(r.delivered) AS delivered,
			sum(r.not_accepted) AS not_accepted, sum(r.missing) AS missing, sum(r.extra) AS extra, sum(r.value) AS value, coalesce(sum(r.value_sent), sum(r.tiktok_value)) AS value_sent,
			sum(r.value_not_accepted) AS value_not_accepted, sum(r.browser) AS browser, sum(r.server) AS server
		FROM tiktok.reconcile(_report_reconciled.source, since, until) r
		WHERE r.your_rows IS NOT NULL OR r.recorded IS NULL
		GROUP BY 1, 2, 3) r;
EXCEPTION
	WHEN syntax_error_or_access_rule_violation OR data_exception THEN
		problem := SQLSTATE;
END $$;
COMMENT ON FUNCTION tiktok._report_reconciled(text, timestamptz, timestamptz) IS 'a source''s rows in the report''s reconciliation';

CREATE FUNCTION tiktok._report_reconciliation(since timestamptz, until timestamptz, source text) RETURNS text
LANGUAGE sql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' AS $$
	SELECT '<section id="reconciliation"><h2>Reconciliation</h2>'
		|| coalesce(tiktok._report_table('Your orders, the events recorded here, and TikTok''s own counts on rows of their own. Missing: orders without an event; extra: events without an order. tiktok.differences() lists them.',
			'{"Source and event",Currency,"Your orders",Recorded,Delivered,"Not accepted",Missing,Extra,"Your value","Value sent","Value not accepted","TikTok browser","TikTok server"}',
			string_agg(r.rows, '' ORDER BY s.source), 2), '<p>Nothing to compare with: see tiktok.source_of_truth and tiktok.platform_count.</p>')
		|| coalesce(string_agg(format('<p>%s: a relation in tiktok.source_of_truth cannot be read (SQLSTATE %s).</p>', tiktok._report_text(s.source), r.problem), '' ORDER BY s.source)
			FILTER (WHERE r.problem IS NOT NULL), '')
		|| '</section>'
	FROM (SELECT t.source FROM tiktok.source_of_truth t
		UNION
		SELECT c.source FROM tiktok.platform_count c WHERE c.day >= since::date AND c.day < until) s,
		tiktok._report_reconciled(s.source, since, until) r
	WHERE _report_reconciliation.source IS NULL OR s.source = _report_reconciliation.source
$$;
COMMENT ON FUNCTION tiktok._report_reconciliation(timestamptz, timestamptz, text) IS 'the report''s reconciliation';

CREATE FUNCTION tiktok._report_reasons(facts jsonb) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
	SELECT '<section id="reasons"><h2>Worst reasons</h2>'
		|| coalesce(tiktok._report_table('Why events were not accepted, the most frequent first, with the latest event_ids to look up in tiktok.event_status.',
			'{"Source and status",Reason,Events}',
			string_agg(tiktok._report_row(ARRAY[
				coalesce(tiktok._report_text(r.source), 'no such source') || ': ' || tiktok._report_text(r.status),
				tiktok._report_finding(coalesce(r.reason, 'none'), x.meaning || ' ' || x.fix)
				|| (SELECT format('<div>%s</div>', string_agg(format('<code>%s</code>', tiktok._report_text(e)), ' ' ORDER BY n)) FROM jsonb_array_elements_text(r.examples) WITH ORDINALITY l (e, n)),
				tiktok._report_number(r.n)], 2), '' ORDER BY r.n DESC, r.source, r.status, r.reason), 2), '<p>Every event that was sent was accepted.</p>')
		|| '</section>'
	FROM jsonb_to_recordset(facts->'reasons') r (source text, status text, reason text, n numeric, examples jsonb)
	LEFT JOIN LATERAL tiktok.explain_code(substring(r.reason FROM '^code (\d{1,9})$')::int) x ON true
$$;
COMMENT ON FUNCTION tiktok._report_reasons(jsonb) IS 'the report''s worst reasons';

CREATE FUNCTION tiktok._report_health() RETURNS text
LANGUAGE sql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' AS $$
	SELECT '<section id="health"><h2>Health</h2>' || tiktok._report_table('tiktok.health() now; what is wrong comes first.', '{Check,State,Finding}',
			string_agg(tiktok._report_row(ARRAY[replace(tiktok._report_text(h.check_name), '_', ' '), tiktok._report_state(h.state), tiktok._report_finding(h.detail, h.hint)], 3), ''
				ORDER BY array_position('{fail,warn,ok}', h.state), h.n), 3)
		|| '</section>'
	FROM tiktok.health() WITH ORDINALITY h (check_name, state, detail, hint, n)
$$;
COMMENT ON FUNCTION tiktok._report_health() IS 'the report''s list of health';

-- As in tiktok._report_reconciled: the checklist reads relations of others.
CREATE FUNCTION tiktok._report_source_checks(source text, OUT modes text, OUT items text, OUT problem text)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' AS $$
BEGIN
	SELECT string_agg(tiktok._report_row(ARRAY[replace(tiktok._report_text(m.mode), '_', ' '), tiktok._report_state(m.state), tiktok._report_finding(m.evidence, m.hint)], 3), ''
		ORDER BY m.n)
	INTO modes
	FROM tiktok.failure_modes(source) WITH ORDINALITY m (mode, state, evidence, hint, n);
	SELECT string_agg(tiktok._report_row(ARRAY[i.item || '. ' || tiktok._report_text(i.what), tiktok._report_state(i.state), tiktok._report_finding(i.evidence, i.hint)], 3), ''
		ORDER BY i.item)
	INTO items
	FROM tiktok.checklist(source) i;
EXCEPTION
	WHEN syntax_error_or_access_rule_violation OR data_exception THEN
		problem := SQLSTATE;
END $$;
COMMENT ON FUNCTION tiktok._report_source_checks(text) IS 'a source''s rows in the report''s checks';

CREATE FUNCTION tiktok._report_checks(source text) RETURNS text
LANGUAGE sql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
	SELECT '<section id="checks"><h2>Measurement</h2>'
		|| coalesce(string_agg(format('<h3>%s <small>%s</small></h3>', tiktok._report_text(s.source), tiktok._report_text(s.event_source))
			|| coalesce(tiktok._report_table('The seven ways in which measurement goes wrong, judged by the last 7 days', '{Mode,State,Evidence}', c.modes, 3), '')
			|| coalesce(tiktok._report_table('The checklist', '{Item,State,Evidence}', c.items, 3), '')
			|| CASE WHEN c.problem IS NOT NULL THEN format('<p>A relation in tiktok.source_of_truth cannot be read (SQLSTATE %s).</p>', c.problem) ELSE '' END, '' ORDER BY s.source), '<p>There is no event source.</p>')
		|| '</section>'
	FROM tiktok._source_health s, tiktok._report_source_checks(s.source) c
	WHERE _report_checks.source IS NULL OR s.source = _report_checks.source
$$;
COMMENT ON FUNCTION tiktok._report_checks(text) IS 'the report''s checks of each source';

-- Okabe and Ito's colours, each with a pattern of its own.
CREATE FUNCTION tiktok._report_style() RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
	SELECT $style$
:root { color-scheme: light dark; --ground: #fff; --ink: #1a1a1a; --soft: #595959; --line: #d0d0d0; --card: #f5f5f5; --ok: #00694d; --warn: #8a5a00; --fail: #b03a00; --heat: 0 114 178; }
@media (prefers-color-scheme: dark) {
  :root { --ground: #161616; --ink: #ededed; --soft: #b0b0b0; --line: #444; --card: #242424; --ok: #3fd0a4; --warn: #f0b840; --fail: #ff8a4d; --heat: 86 180 233; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1120px; padding: 16px; background: var(--ground); color: var(--ink); font: 16px/1.45 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; margin: 0; }
h2 { font-size: 1.25rem; margin: 2rem 0 .5rem; border-bottom: 1px solid var(--line); }
h3 { font-size: 1.05rem; margin: 1.2rem 0 .2rem; }
p, figcaption, caption, small { color: var(--soft); }
small { display: block; font-weight: normal; font-size: .85rem; }
h3 small { display: inline; }
figure { margin: 0; }
figcaption, caption { font-size: .9rem; text-align: left; padding: .3rem 0; }
caption span { display: inline-block; position: sticky; left: 0; max-width: calc(100vw - 32px); }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(165px, 1fr)); gap: 10px; margin: .8rem 0; }
.card { background: var(--card); border-left: 6px solid var(--line); border-radius: 4px; padding: 8px 12px; }
.card dt { font-weight: 600; }
.card dd { margin: 0; }
.card b { font-size: 1.6rem; }
.card b + span { white-space: nowrap; }
.card p { margin: .2rem 0; color: inherit; }
.card p span { display: inline-block; }
.card.ok { border-color: #009e73; }
.card.warn { border-color: #e69f00; }
.card.fail { border-color: #d55e00; }
.wide { overflow-x: auto; margin: .6rem 0; }
table { border-collapse: collapse; font-size: .9rem; min-width: 100%; }
th, td { padding: 4px 8px; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; unicode-bidi: isolate; overflow-wrap: break-word; }
thead th { font-weight: 600; vertical-align: bottom; }
tbody th { font-weight: normal; max-width: 22rem; min-width: 7rem; overflow-wrap: anywhere; }
td { max-width: 30rem; }
.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
thead .n { white-space: normal; overflow-wrap: normal; }
.heat { text-align: center; font-variant-numeric: tabular-nums; background: rgb(var(--heat) / calc(var(--share, 0) * .5)); border: 1px solid var(--ground); }
#coverage thead .n { writing-mode: vertical-rl; text-align: left; vertical-align: bottom; white-space: nowrap; }
#coverage thead .n:nth-child(2) { writing-mode: horizontal-tb; }
code { display: inline-block; margin-right: .6rem; font-size: .85rem; overflow-wrap: anywhere; }
.state { white-space: nowrap; font-weight: 600; }
.state.ok { color: var(--ok); }
.state.warn { color: var(--warn); }
.state.fail { color: var(--fail); }
.legend { display: flex; flex-wrap: wrap; gap: 4px 16px; list-style: none; margin: .4rem 0; padding: 0; font-size: .9rem; }
.legend svg { vertical-align: -2px; }
svg { fill: currentColor; }
figure > svg { display: block; width: 100%; max-width: 780px; height: auto; }
svg text { font-size: 14px; }
svg.bar { width: 9rem; height: 1rem; }
summary { cursor: pointer; }
.grid { stroke: var(--line); }
.axis { stroke: currentColor; }
.mark { stroke: var(--fail); stroke-width: 2; stroke-dasharray: 8 5; }
.marked { fill: var(--fail); font-weight: 600; }
.none { position: absolute; width: 0; height: 0; }
.s-delivered { fill: #009e73; }
.s-late { fill: url(#late); }
.s-pending { fill: url(#pending); }
.s-retrying { fill: url(#retrying); }
.s-suppressed { fill: #999; }
.s-expired { fill: url(#expired); }
.s-uncertain { fill: url(#uncertain); }
.s-rejected { fill: url(#rejected); }
.s-invalid { fill: url(#invalid); }
.s-discarded { fill: url(#discarded); }
@media (max-width: 600px) {
  body { padding: 12px; }
  svg text { font-size: 22px; }
  table { font-size: .82rem; }
  th, td { padding: 4px 6px; }
  tbody th { min-width: 6rem; }
  svg.bar { width: 6rem; }
}
@media print {
  body { max-width: none; padding: 0; font-size: 11px; }
  * { print-color-adjust: exact; }
  .wide { overflow: visible; }
  figure, .card, tr, h2, h3 { break-inside: avoid; }
  h2, h3, caption { break-after: avoid; }
}
$style$
$$;
COMMENT ON FUNCTION tiktok._report_style() IS 'the report''s style sheet';

CREATE FUNCTION tiktok._report_patterns() RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
	SELECT '<svg class="none" aria-hidden="true"><defs>'
		|| string_agg(format('<pattern id="%s" width="8" height="8" patternUnits="userSpaceOnUse"><rect width="8" height="8" fill="%s"/><path d="%s" stroke="%s" stroke-width="1.6" fill="none"/></pattern>',
			p.name, p.colour, p.lines, p.ink), '' ORDER BY p.name)
		|| '</defs></svg>'
	FROM (VALUES
		('late', '#56b4e9', 'M4 0V8', '#0072b2'),
		('pending', '#56b4e9', 'M3 4h2', '#000'),
		('retrying', '#f0e442', 'M0 4H8', '#000'),
		('expired', '#cc79a7', 'M4 0V8', '#000'),
		('uncertain', '#0072b2', 'M0 0L8 8M8 0L0 8', '#fff'),
		('rejected', '#d55e00', 'M-2 2L2 -2M0 8L8 0M6 10L10 6', '#000'),
		('invalid', '#e69f00', 'M-2 6L2 10M0 0L8 8M6 -2L10 2', '#000'),
		('discarded', '#555', 'M0 4H8M4 0V8', '#fff')) p (name, colour, lines, ink)
$$;
COMMENT ON FUNCTION tiktok._report_patterns() IS 'the patterns of the report''s charts';

CREATE FUNCTION tiktok.report_html(since timestamptz, until timestamptz, source text DEFAULT NULL) RETURNS text
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' SET DateStyle = 'ISO' SET IntervalStyle = 'postgres' SET jit = off AS $$
DECLARE
	facts jsonb;
	title text := 'TikTok events' || coalesce(' of ' || tiktok._report_text(source), '');
BEGIN
	IF (isfinite(since) AND isfinite(until) AND since < until) IS NOT TRUE THEN
		RAISE invalid_parameter_value USING MESSAGE = 'since must be before until, and both finite';
	END IF;
	facts := tiktok._report_facts(since, until, source);
	RETURN '<!DOCTYPE html>' || E'\n'
		|| '<html lang="en"><head><meta charset="utf-8"/><meta name="viewport" content="width=device-width, initial-scale=1"/>'
		|| '<meta http-equiv="Content-Security-Policy" content="default-src ''none''; style-src ''unsafe-inline''"/><meta name="referrer" content="no-referrer"/>'
		|| format('<title>%s</title><style>%s</style></head><body>', title, tiktok._report_style())
		|| tiktok._report_patterns()
		|| format('<header><h1>%s</h1><p>Recorded from %s to %s UTC, in database %s. Written %s UTC.</p></header><main>', title,
			to_char(since, 'DD Mon YYYY HH24:MI'), to_char(until, 'DD Mon YYYY HH24:MI'), tiktok._report_text(current_database()), to_char(now(), 'DD Mon YYYY HH24:MI'))
		|| tiktok._report_headline(facts)
		|| tiktok._report_deliveries(facts, since, until)
		|| tiktok._report_lateness(facts)
		|| tiktok._report_coverage(facts)
		|| tiktok._report_funnel(facts)
		|| tiktok._report_reconciliation(since, until, source)
		|| tiktok._report_reasons(facts)
		|| tiktok._report_health()
		|| tiktok._report_checks(source)
		|| '</main></body></html>';
END $$;
COMMENT ON FUNCTION tiktok.report_html(timestamptz, timestamptz, text) IS
'a page of HTML on the events recorded in a time, of one source or all: what was accepted and what was not, in counts and money, and why.
It has no identifiers, and needs nothing else to be shown.';
