-- The report's lateness: how long after it happened TikTok had an event.

CREATE FUNCTION tiktok_internal.report_lateness(facts jsonb) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
	WITH bucket AS (
		SELECT b.n::int AS bucket, b.label FROM unnest('{to 10 s,to 1 min,to 5 min,to 1 h,to 6 h,to 24 h,to 48 h,to 7 days,longer,expired}'::text[]) WITH ORDINALITY b (label, n)
	), event AS (
		SELECT l.source, l.class, l.event, sum(l.n) AS n, coalesce(sum(l.n) FILTER (WHERE l.bucket > 3), 0) AS late, coalesce(sum(l.n) FILTER (WHERE l.bucket > 7), 0) AS lost,
			row_number() OVER (ORDER BY array_position('{sale,other,lead}', l.class), sum(l.n) DESC, l.source, l.event) AS pos
		FROM jsonb_to_recordset(facts->'lateness') l (source text, class text, event text, bucket int, n numeric)
		GROUP BY 1, 2, 3
	), cell AS (
		SELECT e.*, b.bucket, b.label, coalesce(l.n, 0) AS here
		FROM event e CROSS JOIN bucket b
		LEFT JOIN jsonb_to_recordset(facts->'lateness') l (source text, event text, bucket int, n numeric) ON l.source = e.source AND l.event = e.event AND l.bucket = b.bucket
		WHERE e.pos <= 25
	)
	SELECT '<section id="lateness"><h2>Lateness</h2>'
		|| (SELECT tiktok_internal.report_heat('From the event to its acceptance by TikTok: share of the events in per cent. Within 5 minutes an event completes the copy that the Pixel sent; within 48 hours TikTok knows it as a copy. Expired: too old to be sent.',
				jsonb_agg(jsonb_build_object('pos', c.pos, 'label', tiktok_internal.report_name(c.source, c.event), 'total', c.n, 'k', c.bucket, 'key', c.label, 'share', c.here / c.n)))
			|| tiktok_internal.report_folded('The numbers', tiktok_internal.report_table('Events by lateness', '{Event}' || (SELECT array_agg(b.label ORDER BY b.bucket) FROM bucket b),
				(SELECT string_agg(tiktok_internal.report_row(ARRAY[tiktok_internal.report_text(tiktok_internal.report_name(r.source, r.event))] || r.counts), '' ORDER BY r.pos)
				FROM (SELECT x.pos, x.source, x.event, array_agg(tiktok_internal.report_number(x.here) ORDER BY x.bucket) AS counts FROM cell x GROUP BY 1, 2, 3) r)))
			FROM cell c)
		|| '</section>'
	WHERE facts ? 'lateness'
$$;
COMMENT ON FUNCTION tiktok_internal.report_lateness(jsonb) IS 'the report''s lateness; NULL without events';
