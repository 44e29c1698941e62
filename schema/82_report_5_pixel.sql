-- The report's comparison with what the Pixel reported, if it reported anything.

CREATE FUNCTION tiktok_internal.report_pixel(facts jsonb, source text) RETURNS text
LANGUAGE sql STABLE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
	WITH match AS MATERIALIZED (
		SELECT s.name AS source, f.event, f.other_event, f.known, f.n, f.delivered, f.minutes, f.apart
		FROM jsonb_to_recordset(facts) f (source_id int, event text, in_period boolean, is_event boolean, known boolean, other_event text,
				n bigint, delivered bigint, minutes bigint, apart bigint)
		JOIN tiktok_internal.report_source s ON s.source_id = f.source_id
		WHERE f.in_period AND NOT f.is_event AND (report_pixel.source IS NULL OR s.name = report_pixel.source)
	), event AS (
		SELECT m.source, m.event, sum(m.n) AS n, coalesce(sum(m.n) FILTER (WHERE m.known), 0) AS known, coalesce(sum(m.n) FILTER (WHERE m.other_event IS NOT NULL), 0) AS named,
			coalesce(sum(m.n) FILTER (WHERE NOT m.known AND m.other_event IS NULL), 0) AS strange, sum(m.delivered) AS delivered, sum(m.minutes) AS minutes, sum(m.apart) AS apart,
			string_agg(DISTINCT m.other_event, ', ') AS names, row_number() OVER (ORDER BY sum(m.n) DESC, m.source, m.event) AS pos
		FROM match m GROUP BY 1, 2
	)
	SELECT '<section id="pixel"><h2>The Pixel</h2>'
		|| tiktok_internal.report_figure('Reports of the Pixel, filled as far as their event_id is that of an event here',
			tiktok_internal.report_pairs('funnel', jsonb_agg(jsonb_build_object('pos', e.pos, 'label', tiktok_internal.report_name(e.source, e.event), 'scale', e.source || e.event, 'a', e.n, 'b', e.known,
				'said', tiktok_internal.percent(e.known, e.n) || ' agree'))),
			tiktok_internal.report_table('Reports of the Pixel and the events they belong to', '{Event,Reports,"Same id","Id of another name","Unknown id","Within 5 minutes","Over 48 hours apart"}',
				string_agg(tiktok_internal.report_row(ARRAY[tiktok_internal.report_text(tiktok_internal.report_name(e.source, e.event)) || coalesce('<small>also sent as ' || tiktok_internal.report_text(e.names) || '</small>', ''),
					tiktok_internal.report_number(e.n), tiktok_internal.report_number(e.known), tiktok_internal.report_number(e.named), tiktok_internal.report_number(e.strange), tiktok_internal.report_number(e.minutes), tiktok_internal.report_number(e.apart)]), '' ORDER BY e.pos)),
			'An unknown id, another name, or more than 48 hours between the two copies makes TikTok count twice. Only within 5 minutes the two complete each other.')
		|| '</section>'
	FROM event e
	WHERE e.pos <= 20
	HAVING count(*) > 0
$$;
COMMENT ON FUNCTION tiktok_internal.report_pixel(jsonb, text) IS 'the report''s Pixel; NULL without reports';
