-- The report's list of what is refused or not sent, and why.

CREATE FUNCTION tiktok_internal.report_refused(facts jsonb) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
	SELECT '<section id="refused"><h2>What is refused, and why</h2>'
		|| coalesce(tiktok_internal.report_table('Why events were not sent or not accepted, the most frequent first, with the latest event_ids to look up in tiktok.event_status.',
			'{Event,"Status and reason",Events}',
			string_agg(tiktok_internal.report_row(ARRAY[
				tiktok_internal.report_text(tiktok_internal.report_name(coalesce(r.source, 'no such source'), r.event)),
				tiktok_internal.report_finding(r.status || ': ' || coalesce(r.reason, 'none'), x.meaning || ' ' || x.fix)
				|| (SELECT format('<div>%s</div>', string_agg(format('<code>%s</code>', tiktok_internal.report_text(e)), ' ' ORDER BY n)) FROM jsonb_array_elements_text(r.examples) WITH ORDINALITY l (e, n)),
				tiktok_internal.report_number(r.n)], 2), '' ORDER BY r.n DESC, r.source, r.event, r.status, r.reason), 2), '<p>Every event that was sent was accepted.</p>')
		|| '</section>'
	FROM jsonb_to_recordset(facts->'reasons') r (source text, event text, status text, reason text, n numeric, examples jsonb)
	LEFT JOIN LATERAL tiktok.explain_code(substring(r.reason FROM '^code (\d{1,9})$')::int) x ON true
	HAVING facts ? 'events'
$$;
COMMENT ON FUNCTION tiktok_internal.report_refused(jsonb) IS 'the report''s reasons; NULL without events';
