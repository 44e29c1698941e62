-- The report's heat map of identifiers.

CREATE FUNCTION tiktok_internal.report_identifiers(facts jsonb) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
	WITH cell AS MATERIALIZED (
		SELECT c.*, k.match_key, dense_rank() OVER (ORDER BY array_position('{sale,other,lead}', c.class), c.events DESC, c.source, c.event) AS pos,
			row_number() OVER (PARTITION BY c.source, c.event ORDER BY NOT (c.is_strong AND c.with_key > 0 AND c.with_key < c.events), c.with_key, c.bit) AS weakest
		FROM jsonb_to_recordset(facts->'coverage') c (source text, class text, event text, events numeric, bit int, is_strong boolean, with_key numeric, weak numeric)
		JOIN tiktok_internal.match_key k ON k.bit = c.bit
	), key AS (
		SELECT DISTINCT c.bit, c.match_key FROM cell c
	), weak AS (
		-- of those that are sent and can match alone, the rarest
		SELECT c.* FROM cell c WHERE c.weakest = 1 AND c.is_strong AND c.with_key > 0 AND c.with_key < c.events
	)
	SELECT '<section id="coverage"><h2>Identifiers</h2>'
		|| (SELECT tiktok_internal.report_heat('Share of the events fit to be sent that have each kind of identifier TikTok could match them by, in per cent; a dot where the kind of source does not take it. The weakest is underlined.',
				jsonb_agg(jsonb_build_object('pos', c.pos, 'label', tiktok_internal.report_name(c.source, c.event), 'total', c.events, 'k', c.bit, 'key', c.match_key, 'share', c.with_key / c.events,
					'weak', EXISTS (SELECT FROM weak w WHERE w.pos = c.pos AND w.bit = c.bit))))
			FROM cell c)
		|| tiktok_internal.report_folded('The numbers', tiktok_internal.report_table('Events by identifier', '{Event,Events}' || (SELECT array_agg(k.match_key ORDER BY k.bit) FROM key k),
			(SELECT string_agg(tiktok_internal.report_row(ARRAY[tiktok_internal.report_text(tiktok_internal.report_name(r.source, r.event)), tiktok_internal.report_number(r.events)] || r.counts), '' ORDER BY r.pos)
			FROM (SELECT e.pos, e.source, e.event, e.events, array_agg(coalesce(tiktok_internal.report_number(c.with_key), '&#183;') ORDER BY k.bit) AS counts
				FROM (SELECT DISTINCT c.pos, c.source, c.event, c.events FROM cell c) e CROSS JOIN key k LEFT JOIN cell c ON c.pos = e.pos AND c.bit = k.bit
				GROUP BY 1, 2, 3, 4) r)))
		|| coalesce((SELECT tiktok_internal.report_table('What the weakest identifier costs: events by which TikTok can hardly find the person', '{Event,"The weakest","Without it","Nothing but address, browser, name",Share}',
				string_agg(tiktok_internal.report_row(ARRAY[tiktok_internal.report_text(tiktok_internal.report_name(w.source, w.event)), tiktok_internal.report_text(w.match_key), tiktok_internal.report_number(w.events - w.with_key),
					tiktok_internal.report_number(w.weak), tiktok_internal.percent(w.weak, w.events)], 2), '' ORDER BY w.weak DESC, w.pos), 2)
			FROM weak w), '')
		|| '</section>'
	WHERE facts ? 'coverage'
$$;
COMMENT ON FUNCTION tiktok_internal.report_identifiers(jsonb) IS 'the report''s heat map of identifiers; NULL without events';
