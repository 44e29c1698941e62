-- The report's lines: orders, accepted events and TikTok's counts by day.

CREATE FUNCTION tiktok_internal.report_day_lines(sale jsonb, since timestamptz, until timestamptz, zone text) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
	SELECT tiktok_internal.report_lines(format('%s by day: %s', tiktok_internal.report_text(tiktok_internal.report_name(sale->>'source', sale->>'event')),
			CASE WHEN (sale->>'truth')::boolean THEN 'your orders and what TikTok accepted' ELSE 'recorded and accepted' END),
		(SELECT jsonb_agg(l) FROM (
			SELECT 'n' AS series, d.day, d.n FROM jsonb_to_recordset(sale->'days') d (day date, n numeric)
			UNION ALL
			SELECT 'delivered', d.day, d.delivered FROM jsonb_to_recordset(sale->'days') d (day date, delivered numeric)
			UNION ALL
			SELECT 'counted', d.day, d.n FROM jsonb_to_recordset(sale->'counted'->'days') d (day date, n numeric)) l),
		(SELECT jsonb_agg(jsonb_build_object('series', s.series, 'label', s.label) ORDER BY s.n)
			FROM (VALUES (1, 'n', CASE WHEN (sale->>'truth')::boolean THEN 'Your orders' ELSE 'Recorded' END), (2, 'delivered', 'Accepted by TikTok'), (3, 'counted', 'TikTok''s count, server')) s (n, series, label)
			WHERE s.n < 3 OR jsonb_typeof(sale->'counted'->'days') = 'array'),
		since, until, format('Days of %s; weekends are shaded.', tiktok_internal.report_text(zone)) || CASE WHEN sale ? 'counted' THEN ' TikTok counts days of UTC.' ELSE '' END)
$$;
COMMENT ON FUNCTION tiktok_internal.report_day_lines(jsonb, timestamptz, timestamptz, text) IS 'the lines of one sale';

-- A line without axis for each of the other events.
CREATE FUNCTION tiktok_internal.report_sparks(facts jsonb, wanted text, since timestamptz, until timestamptz) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
	WITH bucket AS MATERIALIZED (
		SELECT * FROM tiktok_internal.report_buckets(since, until)
	), event AS MATERIALIZED (
		SELECT d.source, d.event, sum(d.n) AS n, sum(d.delivered) AS delivered, row_number() OVER (ORDER BY sum(d.n) DESC, d.source, d.event) AS pos
		FROM jsonb_to_recordset(facts->'days') d (source text, class text, event text, n numeric, delivered numeric)
		WHERE d.class = wanted GROUP BY 1, 2
	), point AS MATERIALIZED (
		SELECT e.source, e.event, e.pos, b.x, b.first, b.buckets, coalesce(sum(d.n), 0) AS n
		FROM event e CROSS JOIN bucket b
		LEFT JOIN jsonb_to_recordset(facts->'days') d (source text, event text, day date, n numeric) ON d.source = e.source AND d.event = e.event AND d.day BETWEEN b.first AND b.last
		WHERE e.pos <= 20
		GROUP BY 1, 2, 3, 4, 5, 6
	), line AS (
		SELECT p.source, p.event, p.pos, string_agg(CASE WHEN p.x = 0 THEN 'M' ELSE 'L' END || round(100 * (p.x + 0.5) / p.buckets, 2) || ' ' || round(22 - 20 * p.n / p.most, 2), '' ORDER BY p.x) AS path
		FROM (SELECT p.*, greatest(1, max(p.n) OVER (PARTITION BY p.source, p.event)) AS most FROM point p) p GROUP BY 1, 2, 3
	)
	SELECT tiktok_internal.report_table('Other events, which are not added to sales; each line has a scale of its own', '{Event,"By day",Recorded,Accepted,Share}',
		string_agg(tiktok_internal.report_row(ARRAY[tiktok_internal.report_text(tiktok_internal.report_name(e.source, e.event)),
			format('<svg class="spark" viewBox="0 0 100 24" preserveAspectRatio="none" aria-hidden="true"><path class="s-delivered" d="%s"/></svg>', l.path),
			tiktok_internal.report_number(e.n), tiktok_internal.report_number(e.delivered), tiktok_internal.percent(e.delivered, e.n)], 2), '' ORDER BY e.pos), 2)
		|| tiktok_internal.report_folded('The numbers', tiktok_internal.report_table('Other events by day: numbers', '{From}' || (SELECT array_agg(tiktok_internal.report_text(tiktok_internal.report_name(l.source, l.event)) ORDER BY l.pos) FROM line l),
			(SELECT string_agg(tiktok_internal.report_row(ARRAY[to_char(r.first, 'Dy DD Mon YYYY')] || r.counts), '' ORDER BY r.first)
			FROM (SELECT p.first, array_agg(tiktok_internal.report_number(p.n) ORDER BY p.pos) AS counts FROM point p GROUP BY 1) r)))
	FROM event e JOIN line l ON l.pos = e.pos
$$;
COMMENT ON FUNCTION tiktok_internal.report_sparks(jsonb, text, timestamptz, timestamptz) IS 'events of a class, each with a line of its days';

CREATE FUNCTION tiktok_internal.report_days(sales jsonb, facts jsonb, since timestamptz, until timestamptz, zone text) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
	WITH line AS (
		SELECT s.n, tiktok_internal.report_day_lines(s.sale, since, until, zone) AS picture FROM jsonb_array_elements(sales) WITH ORDINALITY s (sale, n) WHERE s.n <= 8
	)
	SELECT '<section id="days"><h2>By day</h2>'
		|| coalesce((SELECT string_agg(l.picture, '' ORDER BY l.n) FROM line l WHERE l.n <= 2), '')
		|| coalesce(tiktok_internal.report_folded('Other sales', (SELECT string_agg(l.picture, '' ORDER BY l.n) FROM line l WHERE l.n > 2)), '')
		|| coalesce(tiktok_internal.report_sparks(facts, 'other', since, until), '')
		|| '</section>'
	WHERE sales IS NOT NULL OR facts ? 'days'
$$;
COMMENT ON FUNCTION tiktok_internal.report_days(jsonb, jsonb, timestamptz, timestamptz, text) IS 'the report''s days; NULL without events';
