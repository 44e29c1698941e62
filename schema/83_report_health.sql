-- All checks of all sources at once, for the report and for monitoring; and the report's last section.

-- The checklist reads relations of others: one that fails is named by its SQLSTATE, as a message may quote a row.
CREATE FUNCTION tiktok_internal.source_checks(source text, OUT area text, OUT check_name text, OUT source_name text, OUT state text, OUT detail text, OUT hint text)
RETURNS SETOF record LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN QUERY SELECT CASE WHEN j.item IS NULL THEN 'mode' ELSE 'checklist' END,
		CASE WHEN j.item IS NULL THEN j.what ELSE ('{pixel,events_api,same_event_id,parameters,test_event,deduplication,orders,quality}'::text[])[j.item] END,
		source_checks.source, j.state, CASE WHEN j.item IS NULL THEN '' ELSE j.what || ': ' END || j.evidence, j.hint
		FROM tiktok_internal.judged_source(source_checks.source) j;
EXCEPTION
	WHEN syntax_error_or_access_rule_violation OR data_exception THEN
		RETURN QUERY SELECT 'mode', m.mode, source_checks.source, m.state, m.evidence, m.hint FROM tiktok.failure_modes(source_checks.source) m;
		RETURN QUERY SELECT 'checklist', 'orders', source_checks.source, 'warn', format('a relation in tiktok.source_of_truth cannot be read (SQLSTATE %s)', SQLSTATE),
			'Correct the relation: value is a number, at is a time.';
END $$;
COMMENT ON FUNCTION tiktok_internal.source_checks(text) IS 'the failure modes and the checklist of a source, each once';

-- Details of tiktok.health() that are about a source begin with its name in quotes.
CREATE FUNCTION tiktok_internal.checks(wanted text DEFAULT NULL, OUT area text, OUT check_name text, OUT source text, OUT state text, OUT detail text, OUT hint text)
RETURNS SETOF record LANGUAGE sql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp SET jit = off AS $$
	SELECT 'health', h.check_name, s.name, h.state, h.detail, h.hint
	FROM tiktok.health() h
	LEFT JOIN LATERAL (
		SELECT s.name FROM tiktok_internal.report_source s WHERE starts_with(h.detail, '"' || s.name || '"') ORDER BY length(s.name) DESC LIMIT 1) s ON true
	WHERE wanted IS NULL OR s.name IS NULL OR s.name = wanted
	UNION ALL
	SELECT c.area, c.check_name, c.source_name, c.state, c.detail, c.hint
	FROM tiktok_internal.report_source s, LATERAL tiktok_internal.source_checks(s.name) c
	WHERE wanted IS NULL OR s.name = wanted
$$;
COMMENT ON FUNCTION tiktok_internal.checks(text) IS
'tiktok.health, failure_modes and checklist of every source, or of one. area: health, mode or checklist; source: NULL for what is about none';

CREATE FUNCTION tiktok_internal.report_health(source text) RETURNS text
LANGUAGE sql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
	WITH found AS MATERIALIZED (
		SELECT c.*, row_number() OVER () AS n FROM tiktok_internal.checks(report_health.source) c
	), row AS (
		SELECT f.area, CASE WHEN f.area <> 'health' THEN f.source END AS source, f.state = 'ok' AS fine,
			string_agg(tiktok_internal.report_row(ARRAY[replace(tiktok_internal.report_text(f.check_name), '_', ' '), tiktok_internal.report_state(f.state), tiktok_internal.report_finding(f.detail, f.hint)], 3), ''
				ORDER BY array_position('{fail,warn,todo,ok}', f.state), f.n) AS rows, count(*) AS n
		FROM found f GROUP BY 1, 2, 3
	), part AS (
		SELECT v.n, v.area, a.source, CASE WHEN v.area = 'health' THEN 'Health now' WHEN v.area = 'mode' THEN 'Measurement of ' || a.source || ', by its newest events' ELSE 'Checklist of ' || a.source END AS title
		FROM (VALUES (1, 'health'), (2, 'mode'), (3, 'checklist')) v (n, area) JOIN (SELECT DISTINCT r.area, r.source FROM row r) a ON a.area = v.area
	)
	SELECT '<section id="health"><h2>Health</h2>'
		|| string_agg(format('<h3>%s</h3>', tiktok_internal.report_text(p.title))
			|| coalesce(tiktok_internal.report_table(tiktok_internal.report_text(p.title) || ': what to look at', '{Check,State,Finding}', bad.rows, 3), '<p>Nothing to look at.</p>')
			|| coalesce(tiktok_internal.report_folded(format('%s that %s ok', fine.n, CASE WHEN fine.n = 1 THEN 'is' ELSE 'are' END),
				tiktok_internal.report_table(tiktok_internal.report_text(p.title) || ': what is well', '{Check,State,Finding}', fine.rows, 3)), ''), '' ORDER BY p.n > 1, p.source, p.n)
		|| '</section>'
	FROM part p
	LEFT JOIN row bad ON bad.area = p.area AND bad.source IS NOT DISTINCT FROM p.source AND NOT bad.fine
	LEFT JOIN row fine ON fine.area = p.area AND fine.source IS NOT DISTINCT FROM p.source AND fine.fine
$$;
COMMENT ON FUNCTION tiktok_internal.report_health(text) IS 'the report''s checks; those that are ok are folded';
