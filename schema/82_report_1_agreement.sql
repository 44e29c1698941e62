-- The report's first screen: do TikTok and your orders agree?

-- The steps of one sale from your orders, or what was recorded, to TikTok's count.
CREATE FUNCTION tiktok_internal.report_steps(sale jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
	WITH sum AS MATERIALIZED (
		SELECT s.*, c.place, c.label
		FROM jsonb_to_recordset(sale->'sums') s (currency text, cause text, in_orders boolean, accepted boolean, by_pixel boolean, n numeric, value numeric, cost numeric)
		LEFT JOIN LATERAL tiktok_internal.report_cause(s.cause) c ON true
	), moved AS MATERIALIZED (
		-- an order that is not accepted stands at the place of its cause
		SELECT s.place, s.cause, s.label, sum(s.n) AS n, tiktok_internal.report_sums(jsonb_agg(jsonb_build_object('currency', s.currency, 'value', s.cost, 'n', s.n))) AS money
		FROM sum s
		WHERE s.in_orders AND NOT s.accepted AND s.place < 4 OR NOT s.in_orders AND s.place = 5
		GROUP BY 1, 2, 3
	), whole AS (
		SELECT coalesce(sum(s.n) FILTER (WHERE s.in_orders), 0) AS orders, coalesce(sum(s.n) FILTER (WHERE s.by_pixel), 0) AS by_pixel,
			tiktok_internal.report_sums(jsonb_agg(jsonb_build_object('currency', s.currency, 'value', s.value, 'n', s.n)) FILTER (WHERE s.in_orders)) AS money,
			tiktok_internal.report_sums(jsonb_agg(jsonb_build_object('currency', s.currency, 'value', s.value, 'n', s.n)) FILTER (WHERE s.in_orders AND s.accepted)) AS accepted
		FROM sum s
	), step (pos, kind, label, n, money) AS (
		SELECT 10, 'total', 'Your orders', w.orders, w.money FROM whole w WHERE (sale->>'truth')::boolean
		UNION ALL
		SELECT 11 + 20 * (m.place - 1) + row_number() OVER (PARTITION BY m.place ORDER BY m.n DESC, m.cause) * 0.1, CASE WHEN m.place = 5 THEN 'plus' ELSE 'loss' END, m.label, m.n, m.money
		FROM moved m
		UNION ALL
		SELECT 10 + 20 * t.place, 'total', t.label, w.orders - coalesce((SELECT sum(m.n) FROM moved m WHERE m.place <= t.place), 0), CASE WHEN t.place = 3 THEN w.accepted END
		FROM whole w, (VALUES (1, 'Recorded'), (2, 'Sent'), (3, 'Accepted by TikTok')) t (place, label)
		UNION ALL
		SELECT 90, 'plus', 'Reported by the Pixel alone', w.by_pixel, NULL FROM whole w WHERE w.by_pixel > 0
		UNION ALL
		SELECT 99, 'total', 'TikTok should count', w.orders - coalesce((SELECT sum(CASE WHEN m.place = 5 THEN - m.n ELSE m.n END) FROM moved m), 0) + w.by_pixel, NULL
		FROM whole w WHERE w.by_pixel > 0 OR EXISTS (SELECT FROM moved m WHERE m.place = 5)
		UNION ALL
		SELECT 100 + c.n, 'known', 'TikTok''s count: ' || c.side, (sale->'counted'->>c.side)::numeric, NULL
		FROM (VALUES (1, 'server'), (2, 'browser')) c (n, side) WHERE sale->'counted' ? c.side
	)
	SELECT jsonb_agg(s ORDER BY s.pos) FROM step s
$$;
COMMENT ON FUNCTION tiktok_internal.report_steps(jsonb) IS 'the steps of a waterfall';

-- As tiktok.checklist judges: five and a fifth fail, three and a twentieth warn.  What waits, or is meant so, is not missing.
CREATE FUNCTION tiktok_internal.report_verdict(sale jsonb, OUT state text, OUT word text, OUT said text)
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
	WITH sum AS (
		SELECT s.*, c.place, c.meant
		FROM jsonb_to_recordset(sale->'sums') s (currency text, cause text, in_orders boolean, accepted boolean, by_pixel boolean, n numeric, value numeric, cost numeric)
		LEFT JOIN LATERAL tiktok_internal.report_cause(s.cause) c ON true
	), counted AS (
		SELECT coalesce(sum(s.n) FILTER (WHERE s.in_orders), 0) AS orders,
			coalesce(sum(s.n) FILTER (WHERE s.in_orders AND (s.accepted OR s.by_pixel)), 0) AS has,
			coalesce(sum(s.n) FILTER (WHERE s.in_orders AND NOT s.accepted AND NOT s.by_pixel AND NOT s.meant), 0) AS missing,
			coalesce(sum(s.n) FILTER (WHERE s.in_orders AND NOT s.by_pixel AND s.cause IN ('pending', 'retrying')), 0) AS waiting,
			coalesce(sum(s.n) FILTER (WHERE s.in_orders AND NOT s.by_pixel AND s.cause = 'suppressed'), 0) AS suppressed,
			coalesce(sum(s.n) FILTER (WHERE s.in_orders AND s.accepted AND s.place = 4), 0) AS wrong,
			coalesce(sum(s.n) FILTER (WHERE NOT s.in_orders AND s.place = 5), 0) AS extra,
			tiktok_internal.report_sums(jsonb_agg(jsonb_build_object('currency', s.currency, 'value', s.cost, 'n', s.n)) FILTER (WHERE s.in_orders AND NOT s.accepted AND NOT s.by_pixel AND NOT s.meant)) AS money
		FROM sum s
	), judged AS (
		SELECT c.*, CASE WHEN c.bad >= 5 AND c.bad >= 0.2 * c.orders THEN 'fail'
			WHEN c.bad >= 3 AND c.bad >= 0.05 * c.orders THEN 'warn'
			WHEN NOT (sale->>'truth')::boolean THEN 'todo' ELSE 'ok' END AS state
		FROM (SELECT c.*, c.missing + c.wrong + c.extra AS bad FROM counted c) c
	)
	SELECT j.state,
		CASE WHEN j.state = 'fail' THEN 'No.' WHEN j.state = 'warn' THEN 'Not quite.' WHEN j.state = 'todo' THEN 'Not known.' WHEN j.bad > 0 THEN 'Nearly.' ELSE 'Yes.' END,
		concat_ws(' ', CASE WHEN j.orders = 0 THEN 'There are no orders.' ELSE format(CASE WHEN (sale->>'truth')::boolean THEN 'TikTok has %s of your %s orders (%s).' ELSE 'TikTok accepted %s of %s recorded events (%s).' END,
				tiktok_internal.report_number(j.has), tiktok_internal.report_number(j.orders), tiktok_internal.percent(j.has, j.orders)) END,
			CASE WHEN j.missing > 0 THEN format('%s missing%s.', tiktok_internal.report_number(j.missing) || CASE WHEN j.missing = 1 THEN ' is' ELSE ' are' END, ', worth ' || j.money) END,
			CASE WHEN j.wrong > 0 THEN format('%s with another value.', tiktok_internal.report_number(j.wrong) || CASE WHEN j.wrong = 1 THEN ' is there' ELSE ' are there' END) END,
			CASE WHEN j.extra > 0 THEN format('TikTok counts %s more than there are orders.', tiktok_internal.report_number(j.extra)) END,
			CASE WHEN j.suppressed > 0 THEN format('%s without consent.', tiktok_internal.report_number(j.suppressed) || CASE WHEN j.suppressed = 1 THEN ' is' ELSE ' are' END) END,
			CASE WHEN j.waiting > 0 THEN format('%s on the way.', tiktok_internal.report_number(j.waiting) || CASE WHEN j.waiting = 1 THEN ' is' ELSE ' are' END) END,
			CASE WHEN sale ? 'problem' THEN format('Your orders cannot be read (SQLSTATE %s): correct the relation in tiktok.source_of_truth, or your privileges.', sale->>'problem')
				WHEN NOT (sale->>'truth')::boolean THEN 'Whether orders have no event is not known: name the table of your orders in tiktok.source_of_truth.' END)
	FROM judged j
$$;
COMMENT ON FUNCTION tiktok_internal.report_verdict(jsonb) IS 'whether TikTok and the orders of a sale agree, in a sentence';

-- Causes with their cost, the costliest first, in the currency that most orders of all have.
CREATE FUNCTION tiktok_internal.report_costs(sales jsonb, OUT n bigint, OUT source text, OUT event text, OUT cause text, OUT label text, OUT hint text, OUT place int, OUT meant boolean,
	OUT orders numeric, OUT money text, OUT since timestamptz, OUT ids jsonb)
RETURNS SETOF record LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
	WITH sum AS MATERIALIZED (
		SELECT s->>'source' AS source, s->>'event' AS event, x.*, c.place, c.meant, c.label, c.hint
		FROM jsonb_array_elements(sales) s, jsonb_to_recordset(s->'sums') x (currency text, cause text, in_orders boolean, accepted boolean, n numeric, cost numeric, since timestamptz, ids jsonb)
		LEFT JOIN LATERAL tiktok_internal.report_cause(x.cause) c ON true
	), main AS (
		SELECT s.currency FROM sum s WHERE s.in_orders AND s.currency IS NOT NULL GROUP BY 1 ORDER BY sum(s.n) DESC, 1 LIMIT 1
	), cause AS (
		SELECT s.source, s.event, s.cause, s.label, s.hint, s.place, s.meant, sum(s.n) AS orders, coalesce(sum(s.cost) FILTER (WHERE s.currency = (SELECT m.currency FROM main m)), 0) AS cost,
			tiktok_internal.report_sums(jsonb_agg(jsonb_build_object('currency', s.currency, 'value', s.cost, 'n', s.n))) AS money, min(s.since) AS since,
			(SELECT jsonb_agg(u.id) FROM (SELECT i.id FROM sum o, jsonb_array_elements(o.ids) i (id) WHERE (o.source, o.event, o.cause) = (s.source, s.event, s.cause) AND (o.in_orders OR o.place = 5)
				ORDER BY o.n DESC LIMIT 3) u) AS ids
		FROM sum s
		WHERE s.place IS NOT NULL AND (s.in_orders OR s.place = 5)
		GROUP BY 1, 2, 3, 4, 5, 6, 7
	)
	SELECT row_number() OVER (ORDER BY c.meant, c.cost DESC, c.orders DESC, c.source, c.event, c.cause), c.source, c.event, c.cause, c.label, c.hint, c.place, c.meant, c.orders, c.money, c.since, c.ids
	FROM cause c
$$;
COMMENT ON FUNCTION tiktok_internal.report_costs(jsonb) IS 'causes of losses by money';

CREATE FUNCTION tiktok_internal.report_agreement(sales jsonb) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
	WITH sale AS MATERIALIZED (
		SELECT s.sale, s.n, tiktok_internal.report_text(tiktok_internal.report_name(s.sale->>'source', s.sale->>'event')) AS name, v.state, v.word, v.said,
			tiktok_internal.report_waterfall('From your orders to TikTok: ' || tiktok_internal.report_text(tiktok_internal.report_name(s.sale->>'source', s.sale->>'event')), tiktok_internal.report_steps(s.sale),
				CASE WHEN s.sale ? 'counted' THEN format('TikTok''s counts are of the days (UTC) from %s to %s%s.', to_char((s.sale->'counted'->>'first')::date, 'DD Mon YYYY'), to_char((s.sale->'counted'->>'last')::date, 'DD Mon YYYY'),
					CASE WHEN s.sale->>'rule' <> 'before' THEN ', and are not compared: it is not known whether TikTok counts before or after it drops copies' ELSE '' END) END) AS picture
		FROM jsonb_array_elements(sales) WITH ORDINALITY s (sale, n), tiktok_internal.report_verdict(s.sale) v
		WHERE s.n <= 12
	)
	SELECT '<section id="agreement"><h2>Do TikTok and your orders agree?</h2>'
		|| coalesce((SELECT '<ul class="verdicts">' || string_agg(format('<li class="%s"><span class="state %1$s">%s</span> <b>%s</b>: %s</li>', s.state,
				tiktok_internal.report_sign(s.state) || ' ' || s.word, s.name, tiktok_internal.report_amounts(s.said)), '' ORDER BY s.n) || '</ul>' FROM sale s),
			format('<ul class="verdicts"><li class="todo"><span class="state todo">%s Not known.</span> No sale was recorded in this time, and no order is in the tables that tiktok.source_of_truth names.</li></ul>',
				tiktok_internal.report_sign('todo')))
		|| coalesce((SELECT s.picture FROM sale s WHERE s.n = 1), '')
		|| coalesce((SELECT '<h3>What costs most</h3><ol class="costs">' || string_agg(format('<li><b>%s</b>%s%s<small>%s</small><a href="#%s">%s</a></li>',
				tiktok_internal.report_text(c.label), tiktok_internal.report_text(format('%s %s, %s', tiktok_internal.report_number(c.orders), CASE WHEN c.place = 5 THEN 'too many' WHEN c.orders = 1 THEN 'order' ELSE 'orders' END,
				tiktok_internal.report_name(c.source, c.event))), coalesce(': <strong>' || tiktok_internal.report_amounts(c.money) || '</strong>', ''), tiktok_internal.report_text(c.hint),
				CASE WHEN c.place IN (2, 3) THEN 'refused' ELSE 'problems' END, CASE WHEN c.place IN (2, 3) THEN 'The reasons' ELSE 'Since when, and which' END), '' ORDER BY c.n) || '</ol>'
			FROM tiktok_internal.report_costs(sales) c WHERE c.n <= 3 AND NOT c.meant), '')
		|| coalesce(tiktok_internal.report_folded('The way of other sales', (SELECT string_agg(s.picture, '' ORDER BY s.n) FROM sale s WHERE s.n BETWEEN 2 AND 8)), '')
		|| '</section>'
$$;
COMMENT ON FUNCTION tiktok_internal.report_agreement(jsonb) IS 'the report''s first screen';
