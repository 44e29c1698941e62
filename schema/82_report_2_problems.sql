-- The report's list of causes by money.

CREATE FUNCTION tiktok_internal.report_problems(sales jsonb) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
	SELECT '<section id="problems"><h2>Problems by money</h2>'
		|| coalesce(tiktok_internal.report_table('What keeps sales from TikTok or changes them, the costliest first; last, what is intended. The event_ids, three of each, can be looked up in tiktok.event_status and tiktok.differences().',
			'{Cause,Orders,Money,Since}',
			string_agg(tiktok_internal.report_row(ARRAY[
				tiktok_internal.report_finding(c.label, tiktok_internal.report_name(c.source, c.event) || '. ' || c.hint)
				|| coalesce((SELECT format('<div>%s</div>', string_agg(format('<code>%s</code>', tiktok_internal.report_text(i)), ' ' ORDER BY x.n)) FROM jsonb_array_elements_text(c.ids) WITH ORDINALITY x (i, n)), ''),
				tiktok_internal.report_number(c.orders), coalesce(tiktok_internal.report_amounts(c.money), ''), coalesce(to_char(c.since, 'DD Mon HH24:MI'), '')]), '' ORDER BY c.n)),
			'<p>Nothing is missing, and no value differs.</p>')
		|| '</section>'
	FROM tiktok_internal.report_costs(sales) c
	WHERE c.n <= 30
	HAVING sales IS NOT NULL
$$;
COMMENT ON FUNCTION tiktok_internal.report_problems(jsonb) IS 'the report''s causes of losses; NULL without sales';
