/*
 * The report: one page of HTML that says whether TikTok and your orders agree, and if not, why.
 *
 * 81_report_facts.sql reads and counts, 81_report_draw.sql makes pictures of rows, and each section has a file of its
 * own.  All text of others passes through tiktok_internal.report_text.  The page has no script, loads nothing, and is plain
 * ASCII and well-formed XML in every encoding.  All functions run with the rights of whoever asks.
 */

-- Characters beyond ASCII by number: whatever encoding the page is written in, it means the same.
CREATE FUNCTION tiktok_internal.report_text(given text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
	SELECT string_agg(CASE
		WHEN c IN ('&', '<', '>', '"', '''') THEN '&#' || ascii(c) || ';'
		WHEN c COLLATE "C" BETWEEN ' ' AND '~' THEN c
		WHEN octet_length(c) = 1 AND get_byte(convert_to(c, getdatabaseencoding()), 0) < 128 THEN ' '
		WHEN getdatabaseencoding() = 'SQL_ASCII' THEN '?'
		ELSE (SELECT '&#' || CASE
				WHEN length(u) = 2 THEN get_byte(u, 0) % 32 * 64 + get_byte(u, 1) % 64
				WHEN length(u) = 3 THEN get_byte(u, 0) % 16 * 4096 + get_byte(u, 1) % 64 * 64 + get_byte(u, 2) % 64
				ELSE get_byte(u, 0) % 8 * 262144 + get_byte(u, 1) % 64 * 4096 + get_byte(u, 2) % 64 * 64 + get_byte(u, 3) % 64
			END || ';' FROM convert_to(c, 'UTF8') u)
		END, '' ORDER BY n)
	FROM unnest(string_to_array(left(given, 400), NULL)) WITH ORDINALITY x (c, n)
$$;
COMMENT ON FUNCTION tiktok_internal.report_text(text) IS 'text as it may stand in HTML';

CREATE FUNCTION tiktok_internal.report_amounts(given text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
	SELECT regexp_replace(tiktok_internal.report_text(given), '(\d) (%|[A-Z]{3}\y)', '\1&#160;\2', 'g')
$$;
COMMENT ON FUNCTION tiktok_internal.report_amounts(text) IS 'words of the report as they may stand in HTML: no line ends between a number and its unit';

CREATE FUNCTION tiktok_internal.report_number(given numeric) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
	SELECT to_char(given, 'FM999,999,999,999,999,990')
$$;
COMMENT ON FUNCTION tiktok_internal.report_number(numeric) IS 'a count as text';

CREATE FUNCTION tiktok_internal.report_money(given numeric, currency text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
	SELECT to_char(coalesce(given, 0), CASE WHEN currency IN ('CLP', 'ISK', 'JPY', 'KRW', 'PYG', 'VND') THEN 'FM999,999,999,999,999,999,990'
		ELSE 'FM999,999,999,999,999,999,990.00' END)
$$;
COMMENT ON FUNCTION tiktok_internal.report_money(numeric, text) IS 'an amount as text';

CREATE FUNCTION tiktok_internal.report_sign(state text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
	SELECT CASE WHEN state = 'ok' THEN '&#10003;' WHEN state = 'warn' THEN '&#9888;' WHEN state = 'todo' THEN '&#9675;' ELSE '&#10007;' END
$$;
COMMENT ON FUNCTION tiktok_internal.report_sign(text) IS 'the sign of a state';

CREATE FUNCTION tiktok_internal.report_state(state text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
	SELECT format('<span class="state %s">%s %1$s</span>', tiktok_internal.report_text(state), tiktok_internal.report_sign(state))
$$;
COMMENT ON FUNCTION tiktok_internal.report_state(text) IS 'ok, todo, warn or fail with its sign';

CREATE FUNCTION tiktok_internal.report_finding(found text, hint text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
	SELECT tiktok_internal.report_text(found) || coalesce('<small>' || tiktok_internal.report_text(hint) || '</small>', '')
$$;
COMMENT ON FUNCTION tiktok_internal.report_finding(text, text) IS 'what was found and what to do';

-- A table; cells and heads are HTML.  The first column heads the row; the first "texts" are texts, the others numbers.
CREATE FUNCTION tiktok_internal.report_table(caption text, heads text[], rows text, texts int DEFAULT 1) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
	SELECT format('<div class="wide" role="region" tabindex="0" aria-label="%s"><table><caption><span>%s</span></caption><thead><tr>%s</tr></thead><tbody>%s</tbody></table></div>',
		regexp_replace(left(regexp_replace(caption, '<[^>]*>', '', 'g'), 100), '&#?\w*$', ''), caption,
		(SELECT string_agg(format('<th scope="col"%s>%s</th>', CASE WHEN n > texts THEN ' class="n"' END, h), '' ORDER BY n) FROM unnest(heads) WITH ORDINALITY x (h, n)),
		rows)
$$;
COMMENT ON FUNCTION tiktok_internal.report_table(text, text[], text, int) IS 'a table of the report; NULL without rows';

CREATE FUNCTION tiktok_internal.report_row(cells text[], texts int DEFAULT 1) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
	SELECT '<tr>' || string_agg(CASE WHEN n = 1 THEN format('<th scope="row">%s</th>', c) WHEN n <= texts THEN format('<td>%s</td>', c)
		ELSE format('<td class="n">%s</td>', c) END, '' ORDER BY n) || '</tr>'
	FROM unnest(cells) WITH ORDINALITY x (c, n)
$$;
COMMENT ON FUNCTION tiktok_internal.report_row(text[], int) IS 'a row of a table of the report';

CREATE FUNCTION tiktok_internal.report_name(source text, event text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
	SELECT event || ' of ' || source
$$;
COMMENT ON FUNCTION tiktok_internal.report_name(text, text) IS 'an event and its source, in words';

-- Sums by currency, the greatest first: 12.00 EUR, 3.00 USD.
CREATE FUNCTION tiktok_internal.report_sums(sums jsonb) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
	SELECT string_agg(tiktok_internal.report_money(s.value, s.currency) || coalesce(' ' || s.currency, ''), ', ' ORDER BY s.n DESC, s.currency)
	FROM (SELECT s.currency, sum(s.value) AS value, sum(s.n) AS n
		FROM jsonb_to_recordset(sums) s (currency text, value numeric, n numeric) GROUP BY 1) s
	WHERE s.value <> 0
$$;
COMMENT ON FUNCTION tiktok_internal.report_sums(jsonb) IS 'amounts of several currencies, as text';

CREATE FUNCTION tiktok.report_html(since timestamptz, until timestamptz, source text DEFAULT NULL) RETURNS text
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' SET DateStyle = 'ISO' SET IntervalStyle = 'postgres' SET jit = off AS $$
#variable_conflict use_variable
DECLARE
	facts jsonb;
	pixel jsonb;
	sales jsonb;
	zone text := 'UTC';
	zones text[];
	title text := 'TikTok events' || coalesce(' of ' || tiktok_internal.report_text(source), '');
BEGIN
	IF (isfinite(since) AND isfinite(until) AND since < until) IS NOT TRUE THEN
		RAISE invalid_parameter_value USING MESSAGE = 'since must be before until, and both finite';
	END IF;
	-- days are those of the shop, if there is one only
	SELECT array_agg(DISTINCT s.time_zone) INTO zones FROM tiktok_internal.report_source s WHERE source IS NULL OR s.name = source;
	IF cardinality(zones) = 1 THEN
		zone := zones[1];
		PERFORM set_config('TimeZone', zone, true);
	END IF;
	facts := tiktok_internal.report_facts(since, until, source);
	pixel := tiktok_internal.pixel_facts(since, until, tiktok_internal.rule_since());
	sales := tiktok_internal.report_sales(facts, pixel, since, until, source);
	RETURN '<!DOCTYPE html>' || E'\n'
		|| '<html lang="en"><head><meta charset="utf-8"/><meta name="viewport" content="width=device-width, initial-scale=1"/>'
		|| '<meta http-equiv="Content-Security-Policy" content="default-src ''none''; style-src ''unsafe-inline''"/><meta name="referrer" content="no-referrer"/>'
		|| format('<title>%s</title><style>%s</style></head><body>', title, tiktok_internal.report_style())
		|| format('<header><h1>%s</h1><p>%s to %s, %s, in database %s. Written %s. Orders count by their own time, events by when they were recorded.</p></header><main>', title,
			to_char(since, 'Dy DD Mon YYYY HH24:MI'), to_char(until, 'Dy DD Mon YYYY HH24:MI'), tiktok_internal.report_text(zone), tiktok_internal.report_text(current_database()), to_char(now(), 'DD Mon YYYY HH24:MI'))
		|| concat(tiktok_internal.report_agreement(sales),
			tiktok_internal.report_problems(sales),
			tiktok_internal.report_days(sales, facts, since, until, zone),
			tiktok_internal.report_before(facts, since, until),
			tiktok_internal.report_pixel(pixel, source),
			tiktok_internal.report_identifiers(facts),
			tiktok_internal.report_lateness(facts),
			tiktok_internal.report_leads(facts),
			tiktok_internal.report_refused(facts),
			tiktok_internal.report_health(source))
		|| '</main></body></html>';
END $$;
COMMENT ON FUNCTION tiktok.report_html(timestamptz, timestamptz, text) IS
'a page of HTML, of one source or all: whether TikTok and your orders agree in a time, what is lost by which cause, in orders and money, and what to do.
It has no identifiers, and needs nothing else to be shown.';
