-- tiktok.report_html(): its numbers are those of the views, nothing in it is alive, and it names nobody.
\set SHOW_CONTEXT never
SET TimeZone = 'UTC';
SET client_min_messages = warning;
CREATE SCHEMA report_test;
SET search_path = report_test, public;

-- The page as XML; text() of it, the rows of its tables, and whether two queries give the same rows.
CREATE TABLE page (name text PRIMARY KEY, html text, doc xml);
CREATE FUNCTION plain(x xml) RETURNS text LANGUAGE sql AS $$
	SELECT replace(replace(replace(string_agg(t::text, '|' ORDER BY n), '&lt;', '<'), '&gt;', '>'), '&amp;', '&') FROM unnest(xpath('//text()', x)) WITH ORDINALITY u (t, n)
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
SELECT x::text FROM page, LATERAL unnest(xpath('//section/p/text()', doc)) x WHERE name = 'empty';

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
CREATE TABLE broken (event_id text, value text, currency text, at timestamptz);
INSERT INTO broken VALUES ('B1', 'ana@example.com', 'EUR', '2026-03-10'), ('B2', 'ana@example.com', 'EUR', now());
INSERT INTO tiktok.source_of_truth VALUES ('<script>alert(1)<b> & "x"', 'Purchase', 'report_test.orders'), ('Grüße 日本', 'Purchase', 'report_test.broken');
INSERT INTO tiktok.platform_count VALUES ('<script>alert(1)<b> & "x"', '2026-03-05', 'Purchase', 10, 8, 13);

INSERT INTO page SELECT 'all', h, xmlparse(document h) FROM tiktok.report_html('2026-03-01', '2026-03-31') h;
INSERT INTO page SELECT 'part', h, xmlparse(document h) FROM tiktok.report_html('2026-03-05 06:00', '2026-03-07 18:00', '<script>alert(1)<b> & "x"') h;

-- Nothing alive, nothing from elsewhere, nobody named, only ASCII
SELECT name, html ~* 'https?:|//[a-z]|@import|javascript:', html ~* '<(script|iframe|img|link|object|embed|form|b>script|i>|u>)', html ~* 'ana@|secret|TEST1', html ~ '[^\x01-\x7f]' FROM page ORDER BY name;
SELECT DISTINCT x::text FROM page, LATERAL unnest(xpath('//@*[starts-with(name(), "on") or name()="src" or name()="href"]', doc)) x;
SELECT (xpath('//title/text()', doc))[1]::text, (xpath('/html/@lang', doc))[1]::text FROM page WHERE name = 'part';
SELECT x::text FROM page, LATERAL unnest(xpath('//h3/text()', doc)) x WHERE name = 'all';
SELECT sections('all'), sections('part');

-- Heads of columns and rows, captions and descriptions
SELECT name, count(t) AS tables, bool_and(xpath_exists('/table/caption/span/text()', t)) AS caption, bool_and(NOT xpath_exists('//th[not(@scope)]', t)) AS scope,
	bool_and(xpath_exists('/table/tbody/tr/th[@scope="row"]', t)) AS row_heads
FROM page, LATERAL unnest(xpath('//table', doc)) t GROUP BY 1 ORDER BY 1;
SELECT name, count(s) AS charts, bool_and(xpath_exists('/svg[@role="img"][string-length(@aria-label) > 10]', s) OR xpath_exists('/svg[@aria-hidden="true"]', s)) AS described
FROM page, LATERAL unnest(xpath('//svg', doc)) s GROUP BY 1 ORDER BY 1;

-- Headline: counts and money
SELECT plain(x) AS what, plain(y) AS n FROM page, ROWS FROM (unnest(xpath('//dl/div/dt', doc)), unnest(xpath('//dl/div/dd/b', doc))) h (x, y) WHERE name = 'all' AND y IS NOT NULL;
SELECT sum(events) AS recorded, sum(delivered) AS accepted, sum(rejected + invalid + expired + uncertain + discarded) AS not_accepted, sum(pending + retrying) AS waiting, sum(suppressed) AS suppressed
FROM month;
SELECT plain(x) FROM page, unnest(xpath('//dl/div/dd/p', doc)) x WHERE name = 'all';
SELECT same($q$SELECT c[1], c[2], c[3], c[4], c[7] FROM shown('all', '//section[@id="headline"]//table')$q$,
	$q$SELECT event, currency, tiktok._report_money(sum(value_not_accepted), currency), tiktok._report_money(sum(value_delivered), currency), tiktok._report_money(sum(value), currency)
	FROM month GROUP BY event, currency HAVING sum(value) > 0$q$);
SELECT c FROM shown('all', '//section[@id="headline"]//table') LIMIT 2;
SELECT tiktok._report_number(1234567), tiktok._report_money(1234567.891, 'EUR'), tiktok._report_money(1234567.891, 'JPY'), tiktok._report_money(0, NULL);

-- Deliveries: a row of the table for each day, a bar for each status of it, as high as the number
SELECT same($q$SELECT d.day::timestamptz, h.status, d.c[h.n + 1] FROM (SELECT c, c[1]::timestamptz AS day FROM shown('all', '//section[@id="deliveries"]//table')) d,
		(SELECT plain(h) AS status, n - 1 AS n FROM page, unnest(xpath('//section[@id="deliveries"]//thead/tr/th', doc)) WITH ORDINALITY x (h, n) WHERE name = 'all' AND n > 1) h WHERE d.c[h.n + 1] <> '0'$q$,
	$q$SELECT date_trunc('day', hour), x.status, tiktok._report_number(sum(x.n)) FROM month, LATERAL (VALUES ('delivered', delivered), ('pending', pending), ('retrying', retrying), ('suppressed', suppressed),
		('expired', expired), ('uncertain', uncertain), ('rejected', rejected), ('invalid', invalid), ('discarded', discarded)) x (status, n) GROUP BY 1, 2 HAVING sum(x.n) > 0$q$);
SELECT count(*) FROM shown('all', '//section[@id="deliveries"]//table');
SELECT same($q$SELECT plain(x) FROM page, unnest(xpath('//section[@id="deliveries"]//rect/title', doc)) x WHERE name = 'all'$q$,
	$q$SELECT to_char(hour, 'DD Mon YYYY') || ': ' || sum(x.n) || ' ' || x.status FROM month, LATERAL (VALUES ('delivered', delivered), ('pending', pending), ('retrying', retrying), ('suppressed', suppressed),
		('expired', expired), ('uncertain', uncertain), ('rejected', rejected), ('invalid', invalid), ('discarded', discarded)) x (status, n) GROUP BY to_char(hour, 'DD Mon YYYY'), x.status HAVING sum(x.n) > 0$q$);
SELECT count(DISTINCT round((xpath('/rect/@height', r))[1]::text::numeric / (regexp_match(plain((xpath('/rect/title', r))[1]), ': (\d+) '))[1]::numeric, 1)) AS scales
FROM page, unnest(xpath('//section[@id="deliveries"]//rect[title]', doc)) r WHERE name = 'all';
SELECT string_agg(plain(x), ', ' ORDER BY n) FROM page, unnest(xpath('//section[@id="deliveries"]//text', doc)) WITH ORDINALITY u (x, n) WHERE name = 'all';
SELECT plain(x) FROM page, unnest(xpath('//section[@id="deliveries"]//figcaption', doc)) x ORDER BY name;
SELECT string_agg(plain(x), ', ' ORDER BY n) FROM page, unnest(xpath('//section[@id="deliveries"]//text', doc)) WITH ORDINALITY u (x, n) WHERE name = 'part';
SELECT d.days, tiktok._report_width(now(), now() + d.days * interval '1 day') AS width, ceil(d.days * 86400 / extract(epoch FROM tiktok._report_width(now(), now() + d.days * interval '1 day'))) AS bars
FROM unnest('{0.1,1,2,3,7,14,29,30,31,60,92,182,365,1000,10000}'::float8[]) d (days);
SELECT h, tiktok._report_step(h), tiktok._report_short(tiktok._report_step(h)) FROM unnest('{1,5,6,10,11,26,99,1000,12345,999999,123456789}'::numeric[]) h;

-- Lateness
SELECT same($q$SELECT t[2 * g - 1], split_part(t[2 * g], ' ', 1) FROM (SELECT array_agg(plain(x) ORDER BY n) AS t FROM page, unnest(xpath('//section[@id="lateness"]//text[not(@class)]', doc)) WITH ORDINALITY u (x, n)
		WHERE name = 'all') t, generate_series(1, 10) g WHERE t[2 * g] <> '0'$q$,
	$q$SELECT lateness, sum(events)::text FROM tiktok.lateness WHERE hour >= '2026-03-01' AND hour < '2026-03-31' GROUP BY 1$q$);

-- Coverage
SELECT same($q$SELECT d.c[1], d.c[2], h.match_key, d.c[h.n + 2] FROM shown('all', '//section[@id="coverage"]//table') d,
		(SELECT plain(h) AS match_key, n - 2 AS n FROM page, unnest(xpath('//section[@id="coverage"]//thead/tr/th', doc)) WITH ORDINALITY x (h, n) WHERE name = 'all' AND n > 2) h
		WHERE d.c[h.n + 2] <> U&'\00B7'$q$,
	$q$SELECT source || ': ' || event, sum(events)::text, match_key, round(100 * sum(with_key) / sum(events))::text FROM tiktok.match_key_coverage WHERE hour >= '2026-03-01' AND hour < '2026-03-31'
	GROUP BY source, event, match_key$q$);

-- Leads
SELECT c FROM shown('all', '//section[@id="funnel"]//table');
SELECT event, sum(events), sum(delivered) FROM month WHERE source LIKE 'a"%' GROUP BY 1 ORDER BY 1;

-- Reconciliation; a relation that cannot be read is named by its error's code alone
SELECT same($q$SELECT c FROM shown('all', '//section[@id="reconciliation"]//table')$q$,
	$q$SELECT ARRAY['<script>alert(1)<b> & "x": ' || event, coalesce(currency, 'none'), sum(your_rows)::text, sum(recorded)::text, sum(delivered)::text, sum(not_accepted)::text, sum(missing)::text, sum(extra)::text,
		tiktok._report_money(sum(value), currency), tiktok._report_money(sum(value_sent), currency), tiktok._report_money(sum(value_not_accepted), currency), U&'\2013', U&'\2013']
	FROM tiktok.reconcile('<script>alert(1)<b> & "x"', '2026-03-01', '2026-03-31') WHERE your_rows IS NOT NULL GROUP BY event, currency
	UNION ALL SELECT ARRAY['<script>alert(1)<b> & "x": Purchase', 'TikTok counts'] || array_fill(U&'\2013'::text, '{9}') || '{10,8}'$q$);
SELECT plain(x) FROM page, unnest(xpath('//section[@id="reconciliation"]/p', doc)) x WHERE name = 'all';
SELECT plain(x) FROM page, unnest(xpath('//section[@id="checks"]/p', doc)) x WHERE name = 'all';

-- Reasons
SELECT same($q$SELECT c[1], split_part(c[2], '|', 1), c[3] FROM shown('all', '//section[@id="reasons"]//table')$q$,
	$q$SELECT coalesce(source, 'no such source') || ': ' || status, reason, count(*)::text FROM tiktok.event_status WHERE NOT is_test AND status IN ('rejected', 'invalid', 'expired', 'uncertain', 'discarded') GROUP BY 1, source, status, reason
	ORDER BY count(*) DESC, source, status, reason LIMIT 15$q$);
SELECT c FROM shown('all', '//section[@id="reasons"]//table') LIMIT 4;

-- Health and checks
SELECT same($q$SELECT c[1], c[2] FROM shown('part', '//section[@id="checks"]//table')$q$,
	$q$SELECT replace(mode, '_', ' '), CASE state WHEN 'ok' THEN U&'\2713 ok' WHEN 'warn' THEN U&'\26A0 warn' ELSE U&'\2717 fail' END FROM tiktok.failure_modes('<script>alert(1)<b> & "x"')
	UNION ALL SELECT item || '. ' || what, CASE state WHEN 'ok' THEN U&'\2713 ok' WHEN 'warn' THEN U&'\26A0 warn' WHEN 'todo' THEN U&'\25CB todo' ELSE U&'\2717 fail' END FROM tiktok.checklist('<script>alert(1)<b> & "x"')$q$);
SELECT same($q$SELECT DISTINCT c[1] FROM shown('all', '//section[@id="health"]//table')$q$, $q$SELECT DISTINCT replace(check_name, '_', ' ') FROM tiktok.health()$q$);

-- Two days and a half of one source: its events only, of that time only
SELECT plain(y) AS n FROM page, unnest(xpath('//dl/div/dd/b', doc)) y WHERE name = 'part' LIMIT 1;
SELECT sum(events) FROM tiktok.delivery_stats WHERE hour >= '2026-03-05 06:00' AND hour < '2026-03-07 18:00' AND source = '<script>alert(1)<b> & "x"';
SELECT count(*) FROM page, unnest(xpath('//h3', doc)) x WHERE name = 'part';

-- Characters of every length in UTF-8, and those that no page may have
SELECT tiktok._report_text(E'a&b<c>"d''\t\x01\x7f' || U&'\00e9\4e2d\+01F600'), tiktok._report_text(''), tiktok._report_text(NULL) IS NULL, length(tiktok._report_text(repeat('x', 1000)));

-- A stranger may not; a reader sees the page with what the checks need, and no table of events
CREATE ROLE regress_tiktok_reader;
GRANT USAGE ON SCHEMA tiktok TO regress_tiktok_reader;
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
