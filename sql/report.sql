-- tiktok.report_html(): its numbers are those of the views, nothing in it is alive, and it names nobody.
\set SHOW_CONTEXT never
SET TimeZone = 'UTC';
SET client_min_messages = warning;
CREATE SCHEMA report_test;
SET search_path = report_test, public;

-- The page as XML; text() of it, the rows of its tables, and whether two queries give the same rows.
CREATE TABLE page (name text PRIMARY KEY, html text, doc xml);
CREATE FUNCTION plain(x xml) RETURNS text LANGUAGE sql AS $$
	SELECT replace(replace(replace(replace(string_agg(t::text, '|' ORDER BY n), U&'\00a0', ' '), '&lt;', '<'), '&gt;', '>'), '&amp;', '&') FROM unnest(xpath('//text()', x)) WITH ORDINALITY u (t, n)
$$;
CREATE FUNCTION shown(page_name text, path text, OUT c text[]) RETURNS SETOF text[] LANGUAGE sql AS $$
	SELECT ARRAY(SELECT coalesce(plain(x), '') FROM unnest(xpath('/tr/*', r)) x) FROM page, unnest(xpath(path || '/tbody/tr', doc)) r WHERE name = page_name
$$;
CREATE FUNCTION same(a text, b text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	n int[];
BEGIN
	EXECUTE format('WITH a AS (%s), b AS (%s) SELECT ARRAY[(SELECT count(*) FROM a), (SELECT count(*) FROM (SELECT * FROM a EXCEPT ALL SELECT * FROM b) x),
		(SELECT count(*) FROM (SELECT * FROM b EXCEPT ALL SELECT * FROM a) x)]', a, b) INTO n;
	RETURN format('%s rows, %s and %s differ', n[1], n[2], n[3]);
END $$;
CREATE FUNCTION sections(page_name text) RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(s::text, ' ' ORDER BY n) FROM page, unnest(xpath('//section/@id', doc)) WITH ORDINALITY x (s, n) WHERE page.name = page_name
$$;
CREATE VIEW month AS SELECT * FROM tiktok.delivery_stats WHERE hour >= '2026-03-01' AND hour < '2026-03-31';

-- Nothing to show
INSERT INTO page SELECT 'empty', h, xmlparse(document h) FROM tiktok.report_html('2026-03-01', '2026-03-31') h;
SELECT sections('empty');
SELECT x::text FROM page, LATERAL unnest(xpath('//section//li/text()', doc)) x WHERE name = 'empty';

-- Times that are none, sources that are none
SELECT tiktok.report_html('2026-03-31', '2026-03-01');
SELECT tiktok.report_html('2026-03-01', '2026-03-01');
SELECT tiktok.report_html('-infinity', '2026-03-01');
SELECT tiktok.report_html(NULL, '2026-03-01');
SELECT tiktok.report_html('2026-03-01', '2026-03-31', 'nowhere');

-- Hostile names, and a month of events of every status
INSERT INTO tiktok.source (id, name, event_source, event_source_id, max_event_age) VALUES
	(901, '<script>alert(1)<b> & "x"', 'web', 'C1', '100 years'), (902, 'a" onload="x''&amp;<b>', 'crm', '74001', '100 years'), (903, 'Grüße 日本', 'app', '75001', '100 years');
INSERT INTO tiktok.lead_stage VALUES
	('a" onload="x''&amp;<b>', '<i>new</i>', 'Lead', 1), ('a" onload="x''&amp;<b>', 'won', '</svg><b>Won', 2), ('a" onload="x''&amp;<b>', 'lost', 'Lost', 3);
INSERT INTO tiktok.event (id, source_id, event, event_id, event_time, enqueued_at, value, currency, match_keys, notes, payload, test_code)
SELECT 9000 + g, CASE WHEN g = 609 THEN 0 ELSE 901 + g % 3 END,
	CASE g % 3 WHEN 0 THEN (ARRAY['Purchase', '<img src=x onerror=alert(1)>'])[1 + g % 2] WHEN 1 THEN (ARRAY['Lead', '</svg><b>Won'])[1 + g % 2] ELSE 'LaunchAPP' END,
	CASE WHEN g % 50 = 7 THEN '"><script>' || g || '</script>' ELSE 'R' || g END,
	'2026-03-01'::timestamptz + g * interval '1 hour' - (g % 11) * (g % 11) * interval '37 min', '2026-03-01'::timestamptz + g * interval '1 hour',
	CASE WHEN g % 4 > 0 THEN g + 0.25 END, CASE WHEN g % 4 > 0 THEN (ARRAY['EUR', 'USD', 'JPY'])[1 + g % 3] END,
	CASE g % 3 WHEN 2 THEN 97 ELSE g % 8 END, 'ana@example.com', CASE WHEN g % 10 <> 9 THEN '{"secret": "ana@example.com"}'::json END,
	CASE WHEN g % 97 = 0 THEN 'TEST1' END
FROM generate_series(0, 719) g;
INSERT INTO tiktok.identity SELECT id, '{"email": "ana@example.com"}' FROM tiktok.event;
INSERT INTO tiktok.delivery (id, request_id, status, reason, at)
SELECT id, 1, CASE WHEN id % 10 = 9 THEN 'invalid' WHEN id % 10 < 6 THEN 'delivered' ELSE (ARRAY['rejected', 'suppressed', 'expired', 'uncertain', 'discarded'])[1 + id % 5] END,
	CASE WHEN id % 10 = 9 THEN '<u>odd</u>' WHEN id % 10 >= 6 AND id % 5 = 0 THEN 'code 40002' WHEN id % 10 >= 6 THEN 'why' || id % 5 END, enqueued_at + (id % 7) * interval '3 s'
FROM tiktok.event WHERE id < 9700;
INSERT INTO tiktok.retry (id, source_id, attempts, first_attempt_at, next_attempt_at) SELECT id, source_id, 1, enqueued_at, enqueued_at FROM tiktok.event WHERE id BETWEEN 9700 AND 9710;
CREATE TABLE orders AS SELECT event_id, value, currency, event_time AS at FROM tiktok.event WHERE source_id = 901 AND event = 'Purchase' AND id % 12 > 0;
INSERT INTO orders VALUES ('ana@example.com', 5, 'EUR', '2026-03-12');
CREATE TABLE broken (event_id text, value text, currency text, at timestamptz);
INSERT INTO broken VALUES ('B1', 'ana@example.com', 'EUR', '2026-03-10'), ('B2', 'ana@example.com', 'EUR', now());
INSERT INTO tiktok.source_of_truth VALUES ('<script>alert(1)<b> & "x"', 'Purchase', 'report_test.orders'), ('Grüße 日本', 'Purchase', 'report_test.broken');
INSERT INTO tiktok.platform_count VALUES ('<script>alert(1)<b> & "x"', '2026-03-05', 'Purchase', 10, 8, 13);

INSERT INTO tiktok.pixel_seen (event_id, event, source_id, seen_at)
SELECT CASE WHEN e.id % 7 = 0 THEN 'strange' || e.id ELSE e.event_id END, CASE WHEN e.id % 5 = 0 THEN 'CompletePayment' ELSE e.event END, 901, e.event_time + interval '2 s'
FROM tiktok.event e WHERE e.source_id = 901 AND e.event = 'Purchase' AND e.id % 4 = 0;
INSERT INTO page SELECT 'all', h, xmlparse(document h) FROM tiktok.report_html('2026-03-01', '2026-03-31') h;
INSERT INTO page SELECT 'after', h, xmlparse(document h) FROM tiktok.report_html('2026-03-11', '2026-03-21') h;
INSERT INTO page SELECT 'part', h, xmlparse(document h) FROM tiktok.report_html('2026-03-05 06:00', '2026-03-07 18:00', '<script>alert(1)<b> & "x"') h;

-- Nothing alive, nothing from elsewhere, nobody named, only ASCII; links lead down the page
SELECT name, html ~* 'https?:|//[a-z]|@import|javascript:', html ~* '<(script|iframe|img|link|object|embed|form|b>script|u>)', html ~* 'ana@|secret|TEST1', html ~ '[^\x01-\x7f]' FROM page ORDER BY name;
SELECT DISTINCT x::text FROM page, LATERAL unnest(xpath('//@*[starts-with(name(), "on") or name()="src" or name()="href"]', doc)) x WHERE NOT (x::text ~ '^#' AND xpath_exists('//section[@id="' || substr(x::text, 2) || '"]', doc));
SELECT (xpath('//title/text()', doc))[1]::text, (xpath('/html/@lang', doc))[1]::text FROM page WHERE name = 'part';
SELECT x::text FROM page, LATERAL unnest(xpath('//h3/text()', doc)) x WHERE name = 'all';
SELECT sections('all'), sections('part');

-- Heads of columns and rows, captions and descriptions; every picture has its numbers; wide tables are reached by keyboard, under names of their own
SELECT name, count(t) AS tables, bool_and(xpath_exists('/table/caption/span/text()', t)) AS caption, bool_and(NOT xpath_exists('//th[not(@scope)]', t)) AS scope,
	bool_and(xpath_exists('/table/tbody/tr/th[@scope="row"]', t)) AS row_heads
FROM page, LATERAL unnest(xpath('//table', doc)) t GROUP BY 1 ORDER BY 1;
SELECT name, count(f) AS pictures, bool_and(xpath_exists('/figure/figcaption/text()', f)) AS title, bool_and(xpath_exists('/figure/div[@role="img"][string-length(@aria-label) > 10]', f)) AS described,
	bool_and(xpath_exists('/figure/details//table', f)) AS numbers
FROM page, LATERAL unnest(xpath('//figure', doc)) f GROUP BY 1 ORDER BY 1;
SELECT name, bool_and(xpath_exists('/svg[@aria-hidden="true"]', s)) AS hidden FROM page, LATERAL unnest(xpath('//svg', doc)) s GROUP BY 1 ORDER BY 1;
SELECT name, count(d) - count(DISTINCT (xpath('/div/@aria-label', d))[1]::text) AS same_names, bool_and(xpath_exists('/div[@role="region"][@tabindex="0"]', d)) AS reached FROM page, LATERAL unnest(xpath('//div[table]', doc)) d GROUP BY 1 ORDER BY 1;

-- The verdicts, and the way from orders to TikTok: the steps are those of tiktok.bridge
SELECT plain(x) FROM page, unnest(xpath('//ul[@class="verdicts"]/li', doc)) x WHERE name = 'all';
SELECT c FROM shown('all', '//section[@id="agreement"]/figure//table');
SELECT same($q$SELECT c[1], translate(c[2], U&'\2212,+', '-')::numeric FROM shown('all', '//section[@id="agreement"]//figure//table') WHERE c[2] ~ U&'^[\2212+]'$q$,
	$q$SELECT coalesce(r.label, 'Reported by the Pixel alone'), sum(b.orders) FROM tiktok.bridge('<script>alert(1)<b> & "x"', '2026-03-01', '2026-03-31') b LEFT JOIN LATERAL tiktok_internal.report_cause(b.step) r ON true
	WHERE r.place IN (1, 2, 3, 5) OR b.step = 'pixel_alone' GROUP BY b.event, 1$q$);
SELECT same($q$SELECT c[1], c[2]::numeric FROM shown('all', '//section[@id="agreement"]//figure//table') WHERE c[1] IN ('Your orders', 'TikTok should count') AND c[2] <> '0'$q$,
	$q$SELECT CASE step WHEN 'your_orders' THEN 'Your orders' ELSE 'TikTok should count' END, sum(orders) FROM tiktok.bridge('<script>alert(1)<b> & "x"', '2026-03-01', '2026-03-31') WHERE step IN ('your_orders', 'explained') GROUP BY event, 1$q$);
SELECT tiktok_internal.report_sums(jsonb_agg(jsonb_build_object('currency', currency, 'value', money, 'n', orders))) = (SELECT c[3] FROM shown('all', '//section[@id="agreement"]/figure//table') WHERE c[1] = 'Your orders') AS money
FROM tiktok.bridge('<script>alert(1)<b> & "x"', '2026-03-01', '2026-03-31') WHERE step = 'your_orders';

-- The bars stand where the numbers say: a loss begins where the sum above it ends
SELECT c, (xpath('/div/span/i/@style', b))[1]::text FROM page, unnest(xpath('//section[@id="agreement"]/figure/div/div', doc)) WITH ORDINALITY x (b, n), LATERAL (SELECT plain((xpath('/div/span[@class="l"]', b))[1]) AS c) l WHERE name = 'all' ORDER BY n;

-- Problems: costs are those of tiktok.differences
SELECT c[1], c[2], c[3] FROM shown('all', '//section[@id="problems"]//table');
SELECT plain(x) FROM page, unnest(xpath('//ol[@class="costs"]/li/b', doc)) x WHERE name = 'all';
SELECT same($q$SELECT split_part(c[1], '|', 1), c[2]::bigint FROM shown('all', '//section[@id="problems"]//table') WHERE c[1] !~ '^Events'$q$,
	$q$SELECT r.label, count(*) FROM tiktok.differences('<script>alert(1)<b> & "x"', '2026-03-01', '2026-03-31') d, tiktok_internal.report_cause(d.cause) r WHERE d.in_orders OR r.place = 5 AND d.cause <> 'no_order' GROUP BY d.event, 1$q$);

-- Days: orders and what was accepted, as tiktok.reconcile has them
SELECT same($q$SELECT left(right(c[1], -4), 11)::date, c[2]::bigint, c[3]::bigint FROM shown('all', '(//section[@id="days"]//table)[1]') WHERE c[2] <> '0' OR c[3] <> '0'$q$,
	$q$SELECT day, sum(your_rows), sum(delivered) FROM tiktok.reconcile('<script>alert(1)<b> & "x"', '2026-03-01', '2026-03-31') WHERE your_rows IS NOT NULL GROUP BY 1 HAVING sum(your_rows) + sum(delivered) > 0$q$);
SELECT c[1], c[3], c[4] FROM shown('all', '//section[@id="days"]/div/table');
SELECT d.days, count(*) AS buckets, min(b.last - b.first + 1) AS shortest, max(b.last - b.first + 1) AS longest, count(*) FILTER (WHERE b.label) AS labels, count(*) FILTER (WHERE b.part) AS parts
FROM unnest('{0.1,1,2,3,7,14,30,31,60,92,182,365,1000,10000}'::float8[]) d (days), tiktok_internal.report_buckets(timestamptz '2026-11-30 20:00Z' - d.days * interval '1 day', '2026-11-30 20:00Z') b GROUP BY 1 ORDER BY 1;
SELECT h, tiktok_internal.report_step(h), tiktok_internal.report_short(tiktok_internal.report_step(h)) FROM unnest('{1,5,6,10,11,26,99,1000,12345,999999,123456789}'::numeric[]) h;
SELECT tiktok_internal.report_number(1234567), tiktok_internal.report_money(1234567.891, 'EUR'), tiktok_internal.report_money(1234567.891, 'JPY'), tiktok_internal.report_money(0, NULL);

-- The time before
SELECT same($q$SELECT c FROM shown('after', '//section[@id="before"]//table')$q$,
	$q$SELECT ARRAY[event || ' of ' || source, coalesce(currency, 'none'), coalesce(sum(events) FILTER (WHERE now), 0)::text, coalesce(sum(events) FILTER (WHERE NOT now), 0)::text,
		coalesce(sum(delivered) FILTER (WHERE now), 0)::text, coalesce(sum(delivered) FILTER (WHERE NOT now), 0)::text,
		tiktok_internal.report_money(sum(value_delivered) FILTER (WHERE now), currency), tiktok_internal.report_money(sum(value_delivered) FILTER (WHERE NOT now), currency)]
	FROM (SELECT *, hour >= '2026-03-11' AS now FROM month WHERE hour < '2026-03-21' AND source IS NOT NULL) x GROUP BY source, event, currency$q$);

-- The Pixel
SELECT c FROM shown('all', '//section[@id="pixel"]//table');

-- Lateness
SELECT same($q$SELECT d.c[1], h.label, d.c[h.n]::bigint FROM shown('all', '//section[@id="lateness"]/details//table') d,
		(SELECT plain(h) AS label, n FROM page, unnest(xpath('//section[@id="lateness"]/details//thead/tr/th', doc)) WITH ORDINALITY x (h, n) WHERE name = 'all' AND n > 1) h WHERE d.c[h.n] <> '0'$q$,
	$q$SELECT event || ' of ' || source, ('{to 10 s,to 1 min,to 5 min,to 1 h,to 6 h,to 24 h,to 48 h,to 7 days,longer,expired}'::text[])[bucket], sum(events) FROM tiktok.lateness
	WHERE hour >= '2026-03-01' AND hour < '2026-03-31' AND source IS NOT NULL GROUP BY 1, 2$q$);

-- Coverage
SELECT same($q$SELECT d.c[1], d.c[2], h.match_key, d.c[h.n + 2] FROM shown('all', '(//section[@id="coverage"]//table)[1]') d,
		(SELECT plain(h) AS match_key, n - 2 AS n FROM page, unnest(xpath('(//section[@id="coverage"]//table)[1]/thead/tr/th', doc)) WITH ORDINALITY x (h, n) WHERE name = 'all' AND n > 2) h
		WHERE d.c[h.n + 2] <> U&'\00B7'$q$,
	$q$SELECT event || ' of ' || source, sum(events)::text, match_key, round(100 * sum(with_key) / sum(events))::text FROM tiktok.match_key_coverage WHERE hour >= '2026-03-01' AND hour < '2026-03-31'
	GROUP BY source, event, match_key$q$);
SELECT c FROM shown('all', '(//section[@id="coverage"]//table)[3]');
SELECT same($q$SELECT d.c[1], h.match_key, d.c[h.n]::bigint FROM shown('all', '(//section[@id="coverage"]//table)[2]') d,
		(SELECT plain(h) AS match_key, n FROM page, unnest(xpath('(//section[@id="coverage"]//table)[2]/thead/tr/th', doc)) WITH ORDINALITY x (h, n) WHERE name = 'all' AND n > 2) h
		WHERE d.c[h.n] <> U&'\00B7'$q$,
	$q$SELECT event || ' of ' || source, match_key, sum(with_key) FROM tiktok.match_key_coverage WHERE hour >= '2026-03-01' AND hour < '2026-03-31' GROUP BY source, event, match_key$q$);

-- Leads
SELECT c FROM shown('all', '//section[@id="funnel"]//table');
SELECT event, sum(events), sum(delivered) FROM month WHERE source LIKE 'a"%' GROUP BY 1 ORDER BY 1;

-- Reasons
SELECT same($q$SELECT c[1], split_part(c[2], '|', 1), c[3] FROM shown('all', '//section[@id="refused"]//table')$q$,
	$q$SELECT event || ' of ' || coalesce(source, 'no such source'), status || ': ' || reason, count(*)::text FROM tiktok.event_status WHERE NOT is_test AND status IN ('rejected', 'invalid', 'expired', 'uncertain', 'discarded') GROUP BY 1, event, source, status, reason
	ORDER BY count(*) DESC, source, event, status, reason LIMIT 15$q$);
SELECT c FROM shown('all', '//section[@id="refused"]//table') LIMIT 4;

-- Health and checks, each once
SELECT same($q$SELECT c[1], c[2] FROM shown('part', '//section[@id="health"]//table')$q$,
	$q$SELECT replace(check_name, '_', ' '), CASE state WHEN 'ok' THEN U&'\2713 ok' WHEN 'warn' THEN U&'\26A0 warn' WHEN 'todo' THEN U&'\25CB todo' ELSE U&'\2717 fail' END FROM tiktok_internal.checks('<script>alert(1)<b> & "x"')$q$);
SELECT same($q$SELECT check_name, state FROM tiktok_internal.checks() WHERE area = 'health'$q$, $q$SELECT check_name, state FROM tiktok.health()$q$);
SELECT same($q$SELECT check_name, state FROM tiktok_internal.checks('<script>alert(1)<b> & "x"') WHERE area = 'mode'$q$, $q$SELECT mode, state FROM tiktok.failure_modes('<script>alert(1)<b> & "x"')$q$);
SELECT same($q$SELECT state, detail FROM tiktok_internal.checks('<script>alert(1)<b> & "x"') WHERE area = 'checklist'$q$, $q$SELECT state, what || ': ' || evidence FROM tiktok.checklist('<script>alert(1)<b> & "x"')$q$);
SELECT DISTINCT source, check_name, state, detail FROM tiktok_internal.checks() WHERE detail ~ 'SQLSTATE';

-- Two days and a half of one source: its events only, of that time only
SELECT same($q$SELECT c[1], c[3]::numeric FROM shown('part', '//section[@id="before"]//table')$q$, $q$SELECT event || ' of ' || source, sum(events) FILTER (WHERE hour >= '2026-03-05 06:00')
	FROM tiktok.delivery_stats WHERE hour >= '2026-03-02 18:00' AND hour < '2026-03-07 18:00' AND source = '<script>alert(1)<b> & "x"' GROUP BY source, event, currency$q$);
SELECT count(*) FROM page, unnest(xpath('//h3', doc)) x WHERE name = 'part';

-- Characters of every length in UTF-8, and those that no page may have
SELECT tiktok_internal.report_text(E'a&b<c>"d''\t\x01\x7f' || U&'\00e9\4e2d\+01F600'), tiktok_internal.report_text(''), tiktok_internal.report_text(NULL) IS NULL, length(tiktok_internal.report_text(repeat('x', 1000)));

-- A stranger may not; a reader sees the page with what the checks need, and no table of events
CREATE ROLE regress_tiktok_reader;
GRANT USAGE ON SCHEMA tiktok, tiktok_internal TO regress_tiktok_reader;
SET ROLE regress_tiktok_reader;
SELECT tiktok.report_html('2026-03-01', '2026-03-31');
RESET ROLE;
SELECT tiktok.grant_reader('regress_tiktok_reader');
SET ROLE regress_tiktok_reader;
SELECT length(tiktok.report_html('2026-03-01', '2026-03-31')) > 20000;
SELECT tiktok.report_html('2026-03-01', '2026-03-31') ~ 'SQLSTATE 42501';
RESET ROLE;
DROP OWNED BY regress_tiktok_reader;
DROP ROLE regress_tiktok_reader;

DROP SCHEMA report_test CASCADE;
TRUNCATE tiktok.retry, tiktok.event, tiktok.identity, tiktok.delivery;
DELETE FROM tiktok.source;
DELETE FROM tiktok.source_state;
