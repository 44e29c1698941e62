-- The report's funnels of leads.

CREATE FUNCTION tiktok_internal.report_leads(facts jsonb) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
	WITH stage AS MATERIALIZED (
		SELECT s.*, row_number() OVER (PARTITION BY s.source ORDER BY s.position, s.event) AS pos, first_value(s.n) OVER (PARTITION BY s.source ORDER BY s.position, s.event) AS first
		FROM jsonb_to_recordset(facts->'stages') s (source text, event text, stages text, position int, n numeric, delivered numeric)
	)
	SELECT '<section id="funnel"><h2>Leads</h2>'
		|| (SELECT string_agg(f.picture, '' ORDER BY f.source) FROM (
			SELECT s.source, tiktok_internal.report_figure(format('Leads of %s by the stage they came to, filled as far as TikTok accepted them', tiktok_internal.report_text(s.source)),
				tiktok_internal.report_pairs('funnel', jsonb_agg(jsonb_build_object('pos', s.pos, 'label', s.event, 'scale', '', 'a', s.n, 'b', s.delivered, 'said', tiktok_internal.percent(s.n, s.first) || ' of the first'))),
				tiktok_internal.report_table('Stages of ' || tiktok_internal.report_text(s.source), '{Stage,Leads,Accepted,"Of the first"}',
					string_agg(tiktok_internal.report_row(ARRAY[tiktok_internal.report_text(s.event) || format('<small>%s</small>', tiktok_internal.report_text(s.stages)),
						tiktok_internal.report_number(s.n), tiktok_internal.report_number(s.delivered), tiktok_internal.percent(s.n, s.first)]), '' ORDER BY s.pos))) AS picture
			FROM stage s GROUP BY 1) f)
		|| '</section>'
	WHERE facts ? 'stages'
$$;
COMMENT ON FUNCTION tiktok_internal.report_leads(jsonb) IS 'the report''s funnels of leads; NULL without stages';
