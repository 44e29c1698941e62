/*
 * How the report looks: its style, and functions that make pictures out of rows.
 *
 * One accent, and three other colours, each with a second sign: what is lost is hatched, what TikTok says is dotted,
 * states have signs.  Bars and labels are HTML, so that they keep their size on a phone; lines are an SVG that is
 * stretched, with its labels around it.
 */

CREATE FUNCTION tiktok_internal.report_style() RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
	SELECT $style$
:root { color-scheme: light dark; --ground: #fff; --ink: #1b1f24; --soft: #57606a; --line: #d5dae0; --card: #f4f6f8; --accent: #0b62ae; --mute: #77808a; --warn: #8a5a00; --fail: #b93a06; --heat: 11 98 174; }
@media (prefers-color-scheme: dark) {
  :root { --ground: #14171b; --ink: #e9ecef; --soft: #a9b1ba; --line: #3a414a; --card: #1f242a; --accent: #6db3f5; --mute: #8d96a0; --warn: #e9b44c; --fail: #ff8d5e; --heat: 109 179 245; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1080px; padding: 20px 16px 48px; background: var(--ground); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
h1 { font-size: 1rem; margin: 0; }
header p { margin: 0; }
h2 { font-size: 1.35rem; line-height: 1.25; margin: 3rem 0 .6rem; }
#agreement h2 { font-size: 1.7rem; margin: 1.4rem 0 .8rem; }
h3 { font-size: 1.05rem; margin: 1.6rem 0 .3rem; }
a { color: var(--accent); }
p { margin: .4rem 0; }
header p, .note, caption, small { color: var(--soft); }
small { display: block; font-weight: normal; font-size: .86rem; }
h3 small { display: inline; }
.note { font-size: .9rem; max-width: 46rem; }
figure { margin: 1.2rem 0; }
figcaption { font-weight: 600; margin-bottom: .5rem; }
caption { font-size: .9rem; text-align: left; padding: .3rem 0; }
caption span { display: inline-block; position: sticky; left: 0; max-width: min(46rem, calc(100vw - 32px)); }
.verdicts { list-style: none; margin: 0; padding: 0; display: grid; gap: .5rem; }
.verdicts li { background: var(--card); border-left: 5px solid var(--mute); border-radius: 3px; padding: .55rem .8rem; }
.verdicts .state { font-size: 1.1rem; margin-right: .3rem; }
.verdicts .ok { border-color: var(--accent); }
.verdicts .warn { border-color: var(--warn); }
.verdicts .fail { border-color: var(--fail); }
.l, figcaption, b, code { unicode-bidi: isolate; }
.state { white-space: nowrap; font-weight: 600; }
.verdicts .state.ok, .state.ok { color: var(--accent); }
.state.todo { color: var(--soft); }
.state.warn { color: var(--warn); }
.state.fail { color: var(--fail); }
.costs { margin: 0; padding: 0; list-style: none; display: grid; grid-template-columns: repeat(auto-fit, minmax(240px, 1fr)); gap: 10px; }
.costs li { background: var(--card); border-radius: 3px; padding: .55rem .8rem; }
.costs b { display: block; }
.bar { display: grid; grid-template-columns: 17rem 1fr 5rem 13.5rem; gap: 0 .8rem; align-items: center; min-height: 1.65rem; }
.bar .n, .bar .m { text-align: right; white-space: nowrap; }
.bar .m { color: var(--soft); font-size: .88rem; white-space: normal; }
.bar .t { position: relative; height: 1.1rem; border-left: 1px solid var(--line); border-right: 1px solid var(--line); }
.bar.total .l, .bar.total .n { font-weight: 600; }
.bar.loss .l, .bar.plus .l { padding-left: 1rem; }
i { position: absolute; top: 0; bottom: 0; min-width: 2px; background: var(--accent); }
i.loss { background: repeating-linear-gradient(135deg, var(--fail) 0 3px, var(--ground) 3px 5px); outline: 1px solid var(--fail); outline-offset: -1px; }
i.plus { background: var(--mute); }
i.known { background: radial-gradient(circle, var(--warn) 35%, transparent 40%) 0 0 / 5px 5px; outline: 1px solid var(--warn); outline-offset: -1px; }
i.before { background: var(--mute); }
.two .t { height: 1.4rem; }
.two i:first-child { bottom: 50%; }
.two i:last-child { top: 55%; }
.funnel i:first-child { opacity: 1; background: none; outline: 1px solid var(--accent); outline-offset: -1px; }
.chart { display: grid; grid-template-columns: auto 1fr; gap: 0 8px; font-size: .82rem; color: var(--soft); }
.chart .y { position: relative; width: 3.2rem; }
.chart .y span { position: absolute; right: 0; transform: translateY(50%); line-height: 1; }
.chart .x { grid-column: 2; position: relative; height: 1.4rem; margin-top: 9px; }
.chart .x span { position: absolute; transform: translateX(-50%); white-space: nowrap; }
.chart .x .end { transform: translateX(-95%); }
.chart svg { display: block; width: 100%; height: 200px; overflow: visible; }
svg path, svg line { fill: none; vector-effect: non-scaling-stroke; }
.weekend { fill: var(--card); }
.grid { stroke: var(--line); }
.s-n { stroke: var(--mute); stroke-width: 5; stroke-opacity: .55; stroke-linejoin: round; }
.s-delivered { stroke: var(--accent); stroke-width: 2; stroke-linejoin: round; }
.s-counted { stroke: var(--warn); stroke-width: 2.5; stroke-dasharray: 1 5; stroke-linecap: round; }
.part { stroke-dasharray: 5 4; }
.legend { display: flex; flex-wrap: wrap; gap: 2px 18px; list-style: none; margin: 0 0 .4rem; padding: 0; font-size: .9rem; }
.legend svg { width: 30px; height: 10px; vertical-align: 1px; margin-right: 6px; }
.wide { overflow-x: auto; margin: .6rem 0; }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
table { border-collapse: collapse; font-size: .9rem; min-width: 100%; }
th, td { padding: 5px 10px 5px 0; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; unicode-bidi: isolate; overflow-wrap: break-word; }
thead th { font-weight: 600; vertical-align: bottom; }
tbody th { font-weight: normal; min-width: 8rem; max-width: 22rem; overflow-wrap: anywhere; }
td { max-width: 30rem; }
.n { text-align: right; white-space: nowrap; }
thead .n { white-space: normal; overflow-wrap: normal; }
.heat { text-align: center; padding: 5px 6px; min-width: 2.6rem; background: rgb(var(--heat) / calc(var(--share, 0) * .42)); border: 1px solid var(--ground); }
.weak { text-decoration: underline; font-weight: 600; }
.turned thead .n:nth-child(n+3) { writing-mode: vertical-rl; white-space: nowrap; padding: 0 10px 6px 0; }
code { display: inline-block; margin-right: .6rem; font-size: .85rem; overflow-wrap: anywhere; }
#health caption { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
svg.spark { width: 8rem; height: 1.6rem; display: block; }
summary { cursor: pointer; color: var(--accent); font-size: .9rem; width: fit-content; }
@media screen and (max-width: 820px) {
  body { padding: 14px 12px 32px; }
  #agreement h2 { font-size: 1.4rem; }
  .bar { grid-template-columns: 1fr auto; margin-bottom: .45rem; }
  .bar .l { grid-row: 1; }
  .bar .n { grid-row: 1; grid-column: 2; }
  .bar .t { grid-row: 2; grid-column: 1 / 3; height: .8rem; }
  .two .t { height: 1.2rem; }
  .bar .m { grid-row: 3; grid-column: 1 / 3; }
  .bar .m:empty { display: none; }
  .chart svg { height: 150px; }
  .chart .x span:nth-child(even) { display: none; }
  table { font-size: .84rem; }
  tbody th { min-width: 8.2rem; max-width: 11rem; }
  svg.spark { width: 4.5rem; }
  #problems .n { white-space: normal; }
  #problems tbody th { min-width: 9rem; }
  #health tbody th { min-width: 6.5rem; }
  #refused td:nth-child(2), #health td:nth-child(3) { min-width: 13rem; }
}
@media print {
  @page { size: A4; margin: 14mm; }
  :root { font-size: 11px; --ground: #fff; --ink: #000; --soft: #444; --line: #bbb; --card: #f2f4f6; --accent: #0b62ae; --mute: #77808a; --warn: #8a5a00; --fail: #b93a06; --heat: 11 98 174; }
  body { max-width: none; padding: 0; font-size: 1rem; }
  * { print-color-adjust: exact; }
  section + section { break-before: page; }
  .wide { overflow: visible; }
  figure, .verdicts li, .costs li, tr, .bar, h2, h3 { break-inside: avoid; }
  h2, h3, caption, figcaption { break-after: avoid; }
  .costs { grid-template-columns: repeat(3, 1fr); }
  th, td { padding-top: 2px; padding-bottom: 2px; }
  #coverage details table, #lateness details table { font-size: 8px; }
  #coverage details th, #coverage details td { padding-right: 3px; }
  details::details-content { content-visibility: visible; block-size: auto; }
}
$style$
$$;
COMMENT ON FUNCTION tiktok_internal.report_style() IS 'the report''s style sheet';

CREATE FUNCTION tiktok_internal.report_figure(title text, picture text, numbers text, note text DEFAULT NULL) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
	SELECT format('<figure><figcaption>%s</figcaption>%s%s<details><summary>The numbers</summary>%s</details></figure>', title, picture,
		coalesce('<p class="note">' || note || '</p>', ''), numbers)
$$;
COMMENT ON FUNCTION tiktok_internal.report_figure(text, text, text, text) IS 'a picture with its title, what is to be known of it, and its numbers';

CREATE FUNCTION tiktok_internal.report_folded(summary text, content text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
	SELECT format('<details><summary>%s</summary>%s</details>', summary, content)
$$;
COMMENT ON FUNCTION tiktok_internal.report_folded(text, text) IS 'what is shown when it is asked for; NULL without content';

-- steps: pos, kind (total, loss, plus, known), label, n, money.  Each stands where the one before ended.
CREATE FUNCTION tiktok_internal.report_waterfall(title text, steps jsonb, note text DEFAULT NULL) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
	WITH step AS (
		SELECT s.*, sum(CASE WHEN s.kind = 'loss' THEN - s.n WHEN s.kind = 'plus' OR s.pos = f.first THEN s.n ELSE 0 END) OVER (ORDER BY s.pos) AS upto
		FROM jsonb_to_recordset(steps) s (pos numeric, kind text, label text, n numeric, money text),
			(SELECT min((s->>'pos')::numeric) AS first FROM jsonb_array_elements(steps) s) f
	), bar AS (
		SELECT s.*, CASE WHEN s.kind = 'loss' THEN s.upto WHEN s.kind = 'plus' THEN s.upto - s.n ELSE 0 END AS start,
			greatest(1, max(greatest(s.upto, s.n)) OVER ()) AS most
		FROM step s
	)
	SELECT tiktok_internal.report_figure(title,
		format('<div role="img" aria-label="Waterfall from top to bottom; the numbers are below.">%s</div>',
			string_agg(format('<div class="bar %s"><span class="l">%s</span><span class="t"><i class="%s" style="left:%s%%;width:%s%%"></i></span><span class="n">%s</span><span class="m">%s</span></div>',
				b.kind, tiktok_internal.report_text(b.label), b.kind, round(100 * b.start / b.most, 2), round(100 * b.n / b.most, 2),
				CASE WHEN b.kind = 'loss' THEN '&#8722;' WHEN b.kind = 'plus' THEN '+' ELSE '' END || tiktok_internal.report_number(b.n), coalesce(tiktok_internal.report_amounts(b.money), '')), '' ORDER BY b.pos)),
		tiktok_internal.report_table(title || ': numbers', '{Step,Orders,Money}',
			string_agg(tiktok_internal.report_row(ARRAY[tiktok_internal.report_text(b.label), CASE WHEN b.kind = 'loss' THEN '&#8722;' WHEN b.kind = 'plus' THEN '+' ELSE '' END || tiktok_internal.report_number(b.n),
				coalesce(tiktok_internal.report_amounts(b.money), '')]), '' ORDER BY b.pos)), note)
	FROM bar b
$$;
COMMENT ON FUNCTION tiktok_internal.report_waterfall(text, jsonb, text) IS 'a waterfall of bars';

-- bars: label, note, kind (of two or funnel), a and b (b is drawn below a, or in it), said (the numbers in words).
CREATE FUNCTION tiktok_internal.report_pairs(kind text, bars jsonb) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
	SELECT format('<div role="img" aria-label="Bars; the numbers are below.">%s</div>',
		string_agg(format('<div class="bar %s"><span class="l">%s</span><span class="t"><i style="left:0;width:%s%%"></i><i%s style="left:0;width:%s%%"></i></span><span class="n">%s</span><span class="m">%s</span></div>',
			kind, tiktok_internal.report_text(b.label), round(100 * b.a / b.most, 2), CASE WHEN kind = 'two' THEN ' class="before"' ELSE '' END, round(100 * b.b / b.most, 2),
			tiktok_internal.report_number(b.a), coalesce(tiktok_internal.report_amounts(b.said), '')), '' ORDER BY b.pos))
	FROM (SELECT b.*, greatest(1, max(greatest(b.a, b.b)) OVER (PARTITION BY b.scale)) AS most
		FROM jsonb_to_recordset(bars) b (pos int, label text, scale text, a numeric, b numeric, said text)) b
$$;
COMMENT ON FUNCTION tiktok_internal.report_pairs(text, jsonb) IS 'bars of two numbers each: beside each other (two), or the second in the first (funnel)';

-- A distance between lines of an axis: 1, 2 or 5 and zeros, of whole events.
CREATE FUNCTION tiktok_internal.report_step(highest numeric) RETURNS numeric
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
	SELECT min(m * 10 ^ p) FROM unnest('{1,2,5}'::numeric[]) m, generate_series(0, 15) p WHERE m * 10 ^ p * 5 >= highest
$$;
COMMENT ON FUNCTION tiktok_internal.report_step(numeric) IS 'the distance between two lines of an axis';

CREATE FUNCTION tiktok_internal.report_short(given numeric) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
	SELECT CASE WHEN given >= 1000000 THEN trim_scale(given / 1000000) || ' M' WHEN given >= 1000 THEN trim_scale(given / 1000) || ' k' ELSE trim_scale(given)::text END
$$;
COMMENT ON FUNCTION tiktok_internal.report_short(numeric) IS 'a number of an axis';

-- Days, or weeks from Monday on, so that there are at most about 90.
CREATE FUNCTION tiktok_internal.report_buckets(since timestamptz, until timestamptz, OUT x int, OUT first date, OUT last date, OUT part boolean, OUT label boolean, OUT buckets int)
RETURNS SETOF record LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
	WITH span AS (
		SELECT since::date AS first, (least(until, greatest(now(), since + interval '1 us')) - interval '1 us')::date AS last, 7 * greatest(1, ceil((until::date - since::date) / 7 / 90.0))::int AS weeks
	), wide AS (
		SELECT s.*, CASE WHEN s.last - s.first <= 92 THEN 1 ELSE s.weeks END AS days FROM span s
	), bucket AS (
		SELECT d::date AS first, least(d::date + w.days - 1, w.last) AS last, w.days
		FROM wide w, generate_series((w.first - CASE WHEN w.days > 1 THEN (w.first - date '2001-01-01') % 7 ELSE 0 END)::timestamp, w.last::timestamp, make_interval(days => w.days)) d
	)
	SELECT (row_number() OVER (ORDER BY b.first))::int - 1, b.first, b.last,
		b.first < since OR b.first + b.days > least(until, now()),
		CASE WHEN b.days > 1 THEN row_number() OVER (ORDER BY b.first) % (1 + count(*) OVER () / 8) = 1 OR count(*) OVER () < 8
			WHEN count(*) OVER () <= 10 THEN true
			ELSE extract(isodow FROM b.first) = 1 AND (count(*) OVER () <= 60 OR extract(week FROM b.first)::int % 2 = 0) END,
		(count(*) OVER ())::int
	FROM bucket b
$$;
COMMENT ON FUNCTION tiktok_internal.report_buckets(timestamptz, timestamptz) IS 'the days or weeks of a time; part: not the whole of it is over, or in the time';

-- lines: series (n, delivered, counted), day, n; names: series, label.  A day without row is a zero, but for TikTok's counts.
CREATE FUNCTION tiktok_internal.report_lines(title text, lines jsonb, names jsonb, since timestamptz, until timestamptz, note text DEFAULT NULL) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
	WITH bucket AS MATERIALIZED (
		SELECT * FROM tiktok_internal.report_buckets(since, until)
	), series AS MATERIALIZED (
		SELECT s.* FROM ROWS FROM (jsonb_to_recordset(names) AS (series text, label text)) WITH ORDINALITY s (series, label, pos)
	), point AS MATERIALIZED (
		SELECT s.series, s.label, s.pos, b.x, b.first, b.part, CASE WHEN s.series = 'counted' THEN sum(l.n) ELSE coalesce(sum(l.n), 0) END AS n
		FROM bucket b CROSS JOIN series s
		LEFT JOIN jsonb_to_recordset(lines) l (series text, day date, n numeric) ON l.series = s.series AND l.day BETWEEN b.first AND b.last
		GROUP BY 1, 2, 3, 4, 5, 6
	), axis AS MATERIALIZED (
		SELECT m.step, m.step * greatest(1, ceil(m.highest / m.step)) AS top, (SELECT max(b.buckets) FROM bucket b) AS buckets
		FROM (SELECT h.highest, tiktok_internal.report_step(h.highest) AS step FROM (SELECT coalesce(max(p.n), 1) AS highest FROM point p) h) m
	), place AS MATERIALIZED (
		SELECT p.*, round(100 * (p.x + 0.5) / a.buckets, 2) AS px, round(100 - 100 * p.n / a.top, 2) AS py,
			lag(p.part, 1, false) OVER (PARTITION BY p.series ORDER BY p.x) AND p.x = 1 OR p.part AND p.x = a.buckets - 1 AND p.x > 0 AS pale
		FROM point p, axis a WHERE p.n IS NOT NULL
	), drawn AS (
		-- a piece of line to each point from the one before
		SELECT p.*, lag(p.px) OVER w AS fx, lag(p.py) OVER w AS fy, lag(p.x) OVER w AS before FROM place p WINDOW w AS (PARTITION BY p.series ORDER BY p.x)
	), path AS (
		SELECT d.series, d.pos,
			string_agg(CASE WHEN d.before = d.x - 1 AND NOT d.pale THEN 'L' ELSE 'M' END || d.px || ' ' || d.py || CASE WHEN d.before IS DISTINCT FROM d.x - 1 THEN 'h.01' ELSE '' END, '' ORDER BY d.x) AS whole,
			string_agg('M' || d.fx || ' ' || d.fy || 'L' || d.px || ' ' || d.py, '' ORDER BY d.x) FILTER (WHERE d.pale AND d.before = d.x - 1) AS part
		FROM drawn d GROUP BY 1, 2
	)
	SELECT tiktok_internal.report_figure(title,
		'<ul class="legend">' || (SELECT string_agg(format('<li><svg viewBox="0 0 30 10" aria-hidden="true"><line x1="0" x2="30" y1="5" y2="5" class="s-%s"/></svg>%s</li>', s.series, s.label), '' ORDER BY s.pos) FROM series s) || '</ul>'
		|| format('<div class="chart" role="img" aria-label="Lines by day; the numbers are below."><div class="y">%s</div><svg viewBox="0 0 100 100" preserveAspectRatio="none" aria-hidden="true">%s%s%s</svg><div class="x">%s</div></div>',
			(SELECT string_agg(format('<span style="bottom:%s%%">%s</span>', round(100 * y / a.top, 1), tiktok_internal.report_short(y)), '') FROM axis a, generate_series(0, a.top, a.step) y),
			coalesce((SELECT string_agg(format('<rect class="weekend" x="%s" y="0" width="%s" height="100"/>', round(100.0 * b.x / a.buckets, 2), round(100.0 / a.buckets, 2)), '')
				FROM bucket b, axis a WHERE b.first = b.last AND extract(isodow FROM b.first) > 5), ''),
			(SELECT string_agg(format('<line class="grid" x1="0" x2="100" y1="%s" y2="%1$s"/>', round(100 - 100 * y / a.top, 1)), '') FROM axis a, generate_series(0, a.top, a.step) y),
			(SELECT string_agg(format('<path class="s-%s" d="%s"/>', p.series, p.whole) || coalesce(format('<path class="s-%s part" d="%s"/>', p.series, p.part), ''), '' ORDER BY p.pos) FROM path p),
			(SELECT string_agg(format('<span%s style="left:%s%%">%s</span>', CASE WHEN b.x + 0.5 > 0.9 * b.buckets AND b.buckets > 1 THEN ' class="end"' ELSE '' END, round(100 * (b.x + 0.5) / b.buckets, 2), to_char(b.first, CASE WHEN b.first = b.last THEN 'Dy DD Mon' ELSE 'DD Mon' END)), '' ORDER BY b.x) FROM bucket b WHERE b.label)),
		tiktok_internal.report_table(title || ': numbers', '{From}' || (SELECT array_agg(s.label ORDER BY s.pos) FROM series s),
			(SELECT string_agg(tiktok_internal.report_row(ARRAY[to_char(r.first, 'Dy DD Mon YYYY') || CASE WHEN r.part THEN ' (part)' ELSE '' END] || r.counts), '' ORDER BY r.first)
			FROM (SELECT p.first, p.part, array_agg(coalesce(tiktok_internal.report_number(p.n), '&#8211;') ORDER BY p.pos) AS counts FROM point p GROUP BY 1, 2) r)),
		concat_ws(' ', note, CASE WHEN EXISTS (SELECT FROM bucket b WHERE b.part) THEN 'Dashed: a day that is not whole.' END))
$$;
COMMENT ON FUNCTION tiktok_internal.report_lines(text, jsonb, jsonb, timestamptz, timestamptz, text) IS 'lines by day or week; weekends are shaded';

-- cells: label, pos, key, k (order of the key), n, share (NULL: does not apply), weak; totals head each row.
CREATE FUNCTION tiktok_internal.report_heat(caption text, cells jsonb) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
	WITH cell AS (
		SELECT c.* FROM jsonb_to_recordset(cells) c (pos int, label text, total numeric, k int, key text, share numeric, weak boolean)
	), key AS (
		SELECT c.k, min(c.key) AS key FROM cell c GROUP BY 1
	)
	SELECT replace(tiktok_internal.report_table(caption, '{Event,Events}'::text[] || (SELECT array_agg(k.key ORDER BY k.k) FROM key k),
		string_agg(format('<tr><th scope="row">%s</th><td class="n">%s</td>%s</tr>', tiktok_internal.report_text(r.label), tiktok_internal.report_number(r.total),
			(SELECT string_agg(CASE WHEN c.share IS NULL THEN '<td class="heat">&#183;</td>'
				ELSE format('<td class="heat%s" style="--share:%s">%s</td>', CASE WHEN c.weak THEN ' weak' ELSE '' END, round(c.share, 2), round(100 * c.share)) END, '' ORDER BY k.k)
			FROM key k LEFT JOIN cell c ON c.k = k.k AND c.pos = r.pos)), '' ORDER BY r.pos)), '<table>', '<table class="turned">')
	FROM (SELECT DISTINCT c.pos, c.label, c.total FROM cell c) r
$$;
COMMENT ON FUNCTION tiktok_internal.report_heat(text, jsonb) IS 'a table of shares in per cent, each the darker the higher';
