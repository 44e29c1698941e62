-- The report's comparison with the time before, which is as long.

CREATE FUNCTION tiktok_internal.report_before(facts jsonb, since timestamptz, until timestamptz) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
	WITH row AS (
		SELECT x.source, x.class, x.event, x.currency, sum(x.n) AS n, sum(x.delivered) AS delivered, coalesce(sum(x.value), 0) AS value, sum(x.n_before) AS n_before, sum(x.delivered_before) AS delivered_before, coalesce(sum(x.value_before), 0) AS value_before
		FROM (
			SELECT e.source, e.class, e.event, e.currency, e.n, CASE WHEN e.status = 'delivered' THEN e.n ELSE 0 END AS delivered, CASE WHEN e.status = 'delivered' THEN e.value END AS value,
				0 AS n_before, 0 AS delivered_before, NULL::numeric AS value_before
			FROM jsonb_to_recordset(facts->'events') e (source text, class text, event text, status text, currency text, n numeric, value numeric)
			UNION ALL
			SELECT b.source, b.class, b.event, b.currency, 0, 0, NULL, b.n, b.delivered, b.value
			FROM jsonb_to_recordset(facts->'before') b (source text, class text, event text, currency text, n numeric, delivered numeric, value numeric)) x
		GROUP BY 1, 2, 3, 4
	), event AS (
		SELECT r.source, r.class, r.event, sum(r.delivered) AS delivered, sum(r.delivered_before) AS delivered_before, sum(r.n) AS n, sum(r.n_before) AS n_before,
			row_number() OVER (ORDER BY array_position('{sale,other,lead}', r.class), sum(r.n) + sum(r.n_before) DESC, r.source, r.event) AS pos
		FROM row r GROUP BY 1, 2, 3
	)
	SELECT '<section id="before"><h2>The time before</h2>'
		|| tiktok_internal.report_figure(format('Events accepted by TikTok, and below each those of the time before, from %s to %s', to_char(since - (until - since), 'DD Mon YYYY'), to_char(since, 'DD Mon YYYY')),
			tiktok_internal.report_pairs('two', jsonb_agg(jsonb_build_object('pos', e.pos, 'label', tiktok_internal.report_name(e.source, e.event), 'scale', e.source || e.event, 'a', e.delivered, 'b', e.delivered_before,
				'said', CASE WHEN e.delivered_before > 0 THEN format('%s%s %%, %s before', CASE WHEN e.delivered > e.delivered_before THEN '+' ELSE '' END,
					round(100 * (e.delivered - e.delivered_before) / e.delivered_before), tiktok_internal.report_number(e.delivered_before)) ELSE 'none before' END))),
			tiktok_internal.report_table('This time and the time before; value is that of accepted events', '{Event,Currency,Recorded,Before,Accepted,Before,Value,Before}',
				(SELECT string_agg(tiktok_internal.report_row(ARRAY[tiktok_internal.report_text(tiktok_internal.report_name(r.source, r.event)), coalesce(tiktok_internal.report_text(r.currency), 'none'),
					tiktok_internal.report_number(r.n), tiktok_internal.report_number(r.n_before), tiktok_internal.report_number(r.delivered), tiktok_internal.report_number(r.delivered_before),
					tiktok_internal.report_money(r.value, r.currency), tiktok_internal.report_money(r.value_before, r.currency)], 2), '' ORDER BY array_position('{sale,other,lead}', r.class), r.source, r.event, r.n DESC, r.currency)
				FROM row r), 2), 'Each event has a scale of its own.')
		|| '</section>'
	FROM event e
	WHERE e.pos <= 20
	HAVING count(*) > 0
$$;
COMMENT ON FUNCTION tiktok_internal.report_before(jsonb, timestamptz, timestamptz) IS 'the report''s comparison with the time before; NULL without events';
