/*
 * Signs that something has changed: what the checks see in the newest events of a source, compared with its own past.
 *
 * A sign must be rare in shops that are well (t/shops simulates them).  So a share counts as fallen only if it is very
 * unlikely by chance and no earlier stretch of events was like that, and silence only where the same hours of the weeks
 * before had enough events.
 */

-- What counts are worth, to be put behind them.
CREATE FUNCTION tiktok_internal.worth(amounts numeric[], currencies text[]) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
	SELECT coalesce(' (' || string_agg(
			to_char(c.amount, CASE WHEN c.amount = trunc(c.amount) THEN 'FM999,999,999,999,999,999,990' ELSE 'FM999,999,999,999,999,999,990.00' END) || ' ' || c.currency,
			' + ' ORDER BY c.amount DESC, c.currency) || ')', '')
	FROM (SELECT u.currency, round(sum(u.amount), 2) AS amount FROM unnest(amounts, currencies) u (amount, currency) WHERE u.currency IS NOT NULL GROUP BY 1) c
	WHERE c.amount > 0
$$;
COMMENT ON FUNCTION tiktok_internal.worth(numeric[], text[]) IS 'the sum of amounts in each currency, in brackets; empty if there is none';

CREATE FUNCTION tiktok_internal.others(worth text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
	SELECT coalesce('; the others are worth' || nullif(translate(worth, '()', ''), ''), '')
$$;
COMMENT ON FUNCTION tiktok_internal.others(text) IS 'what is worth so much are the others: those that are not counted before';

CREATE FUNCTION tiktok_internal.span(length interval) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
	SELECT CASE WHEN s >= 172800 THEN round(s / 86400) || ' days' WHEN s >= 7200 THEN round(s / 3600) || ' h' WHEN s >= 120 THEN round(s / 60) || ' min' ELSE round(greatest(s, 0)) || ' s' END
	FROM (SELECT extract(epoch FROM length) AS s) e
$$;
COMMENT ON FUNCTION tiktok_internal.span(interval) IS 'a length of time in words';

-- What somebody who does not know the words of tiktok.event_status.reason understands.
CREATE FUNCTION tiktok_internal.because(reason text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
	SELECT coalesce(
		(SELECT format('of code %s (%s)', x.code, rtrim(x.meaning, '.')) FROM tiktok.explain_code(substring(reason FROM '^code (\d{1,9})$')::int) x WHERE x.meaning IS NOT NULL),
		(SELECT w.said FROM (VALUES
			('currency', 'the currency is none that TikTok takes'), ('currency_missing', 'there is no currency'), ('currency_unknown', 'TikTok does not take the currency'),
			('value_missing', 'there is no value'), ('value_syntax', 'the value is no number'), ('value_ambiguous', 'the value may be a fraction or thousands'),
			('value_negative', 'the value is below 0'), ('value_range', 'the value is too large'), ('value_not_finite', 'the value is infinite'),
			('contents_type', 'contents is no array'), ('too_many_items', 'there are more than 500 lines'), ('too_large', 'they are too large'),
			('lead_id_missing', 'TikTok''s lead_id is missing'), ('app_id_missing', 'the app_id is missing'), ('no_match_key', 'nothing identifies the customer'),
			('limited_data_use_ip', 'limited data use needs an IP address'), ('page_url_missing', 'the address of the page is missing'),
			('page_url', 'the address of the page is not complete'), ('future', 'they happen in the future'), ('event_time', 'the event_time is no point in time'),
			('time_not_finite', 'the event_time is infinite'), ('event_name', 'TikTok has no event of that name'), ('event_id', 'the event_id is empty or not allowed'),
			('mapping', 'the trigger does not fit its table'), ('test_code', 'they are test events without a test code'), ('source', 'the source does not exist'),
			('query: several rows', 'the trigger''s query has several rows for one'), ('using', 'the function of using returned an unknown key'),
			('max_event_age', 'they are too old'), ('retry_horizon', 'TikTok did not accept them within 47 hours'), ('no_consent', 'there was no consent')) w (reason, said)
			WHERE w.reason = because.reason),
		'of ' || reason)
$$;
COMMENT ON FUNCTION tiktok_internal.because(text) IS 'a reason of tiktok.event_status or tiktok.value_problems, to be put behind "because"';

CREATE VIEW tiktok_internal.recorded AS
SELECT date_bin('1 hour', e.enqueued_at, '2000-01-01 00:00+00') AS hour, e.source_id, e.xid, e.id, e.event, e.enqueued_at, e.value, e.currency
FROM tiktok.event e
WHERE e.test_code IS NULL;
COMMENT ON VIEW tiktok_internal.recorded IS 'when real events were recorded, in the order of the queue';

-- The index of the queue is read backwards: this costs the same however many events there are.
CREATE FUNCTION tiktok_internal.newest(source_id int, most int,
	OUT n bigint, OUT id bigint, OUT event text, OUT event_id text, OUT event_time timestamptz, OUT enqueued_at timestamptz, OUT at timestamptz,
	OUT value numeric, OUT currency text, OUT match_keys int, OUT has_payload boolean, OUT is_sale boolean, OUT fit boolean, OUT status text, OUT reason text, OUT value_problem text)
RETURNS SETOF record LANGUAGE sql STABLE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp SET jit = off AS $$
	SELECT row_number() OVER (PARTITION BY f.event ORDER BY q.n), f.id, f.event, f.event_id, f.event_time, f.enqueued_at, f.at,
		f.value, f.currency, f.match_keys, f.has_payload, f.is_sale, f.fit, f.status, f.reason, f.value_problem
	FROM (SELECT r.id, row_number() OVER (ORDER BY r.xid DESC, r.id DESC) AS n
		FROM tiktok_internal.recorded r WHERE r.source_id = newest.source_id ORDER BY r.xid DESC, r.id DESC LIMIT most) q,
		LATERAL (SELECT * FROM tiktok_internal.real_event f WHERE f.id = q.id OFFSET 0) f
$$;
COMMENT ON FUNCTION tiktok_internal.newest(int, int) IS 'the newest events of a source; n numbers those of each name from the newest';

CREATE FUNCTION tiktok_internal.newest_reports(source_id int, most int,
	OUT n bigint, OUT event text, OUT seen_at timestamptz, OUT recorded_at timestamptz, OUT other_event text, OUT status text, OUT apart boolean,
	OUT value numeric, OUT currency text)
RETURNS SETOF record LANGUAGE sql STABLE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp SET jit = off AS $$
	SELECT row_number() OVER (ORDER BY r.seen_at DESC), m.event, r.seen_at, e.enqueued_at, m.other_event, m.status,
		coalesce(m.status = 'delivered' AND m.at NOT BETWEEN r.seen_at - interval '48 hours' AND r.seen_at + interval '48 hours', false), e.value, e.currency
	FROM (SELECT p.event, p.event_id, p.seen_at FROM tiktok_internal.pixel_report p
		WHERE p.source_id = newest_reports.source_id AND p.hour >= now() - interval '14 days'
		ORDER BY p.seen_at DESC LIMIT most) r,
		LATERAL (SELECT * FROM tiktok_internal.pixel_match m WHERE m.event_id = r.event_id AND m.event = r.event AND m.source_id = newest_reports.source_id OFFSET 0) m
		LEFT JOIN LATERAL (
			SELECT x.enqueued_at, x.value, x.currency FROM tiktok_internal.recorded x WHERE x.id = m.id
			UNION ALL
			SELECT NULL, x.value, x.currency FROM tiktok_internal.event_of_id x
			WHERE m.other_event IS NOT NULL AND x.event_id = r.event_id AND x.event = m.other_event AND x.source_id = newest_reports.source_id AND NOT x.is_test) e ON true
$$;
COMMENT ON FUNCTION tiktok_internal.newest_reports(int, int) IS 'the newest reports of a Pixel, of 14 days at most, with what is recorded here (recorded_at is NULL: nothing); apart: TikTok got the two more than 48 hours apart; value and currency are those of the event here';

-- The Kullback-Leibler bound: the chance of "part" or fewer of "whole" is at most exp() of minus this.
CREATE FUNCTION tiktok_internal.surprise(part numeric, whole numeric, share numeric) RETURNS numeric
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
	SELECT CASE WHEN part >= p * whole THEN 0
		ELSE CASE WHEN part > 0 THEN part * ln(part / (p * whole)) ELSE 0 END + (whole - part) * ln((whole - part) / ((1 - p) * whole)) END
	FROM (SELECT least(greatest(share, 0.01), 0.99) AS p) s
$$;
COMMENT ON FUNCTION tiktok_internal.surprise(numeric, numeric, numeric) IS 'how surprising it is that so few of the whole have something, which a share of all has; 11.5 is one chance in 100000';

-- Of each event name: the kinds of identifiers, consent, and the report of the Pixel.
CREATE FUNCTION tiktok_internal.fallen_shares(source_id int, OUT event text, OUT what text, OUT part bigint, OUT whole bigint, OUT share_before numeric, OUT worth text)
RETURNS SETOF record LANGUAGE sql STABLE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp SET jit = off AS $$
	WITH newest AS MATERIALIZED (
		-- the Pixel reports one of two events of the same order
		SELECT e.*, bool_or(e.is_reported) OVER (PARTITION BY e.event, e.event_time, e.value, e.currency, date_trunc('minute', e.enqueued_at)) AS reported
		FROM (SELECT e.*, EXISTS (SELECT FROM tiktok_internal.pixel_report p WHERE p.event_id = e.event_id AND p.event = e.event AND p.source_id = fallen_shares.source_id) AS is_reported
			FROM tiktok_internal.newest(fallen_shares.source_id, 1500) e) e
	), has AS (
		SELECT e.event, k.match_key AS what, e.n, (e.match_keys & (1 << k.bit) <> 0)::int AS yes, e.value, e.currency
		FROM newest e, tiktok_internal.match_key k WHERE e.has_payload AND k.is_strong
		UNION ALL
		SELECT e.event, 'consent', e.n, (e.status <> 'suppressed')::int, e.value, e.currency FROM newest e
		UNION ALL
		SELECT e.event, 'pixel', e.n, e.reported::int, e.value, e.currency FROM newest e WHERE e.fit AND e.enqueued_at < now() - interval '15 minutes'
	), numbered AS (
		SELECT h.event, h.what, h.yes, h.value, h.currency, row_number() OVER (PARTITION BY h.event, h.what ORDER BY h.n) AS n, count(*) OVER (PARTITION BY h.event, h.what) AS events,
			sum(h.yes) OVER (PARTITION BY h.event, h.what) AS of_all
		FROM has h
	), stretch AS (
		-- each event with those before it
		SELECT m.event, m.what, m.n, m.events, m.of_all,
			sum(m.yes) OVER (w ROWS BETWEEN CURRENT ROW AND 11 FOLLOWING) AS w12, sum(m.yes) OVER (w ROWS BETWEEN CURRENT ROW AND 24 FOLLOWING) AS w25,
			sum(m.yes) OVER (w ROWS BETWEEN CURRENT ROW AND 49 FOLLOWING) AS w50, sum(m.yes) OVER (w ROWS BETWEEN CURRENT ROW AND 99 FOLLOWING) AS w100
		FROM numbered m
		WHERE m.of_all > 0
		WINDOW w AS (PARTITION BY m.event, m.what ORDER BY m.n)
	), compared AS (
		SELECT s.event, s.what, l.whole, s.events, s.of_all,
			max(l.part) FILTER (WHERE s.n = 1) AS part, min(l.part) FILTER (WHERE s.n > l.whole AND s.n <= s.events - l.whole + 1) AS fewest_before
		FROM stretch s, LATERAL (VALUES (12, s.w12), (25, s.w25), (50, s.w50), (100, s.w100)) l (whole, part)
		GROUP BY 1, 2, 3, 4, 5
	), judged AS (
		SELECT c.*, (c.of_all - c.part)::numeric / (c.events - c.whole) AS share
		FROM compared c
		WHERE c.events >= 4 * c.whole AND c.part < c.fewest_before
	)
	SELECT DISTINCT ON (j.event, j.what) j.event, j.what, j.part, j.whole::bigint, j.share,
		(SELECT tiktok_internal.worth(array_agg(m.value), array_agg(m.currency)) FROM numbered m WHERE m.event = j.event AND m.what = j.what AND m.n <= j.whole AND m.yes = 0)
	FROM judged j
	WHERE j.share - j.part::numeric / j.whole >= 0.15 AND tiktok_internal.surprise(j.part, j.whole, j.share) > 11.5
	ORDER BY j.event, j.what, j.whole
$$;
COMMENT ON FUNCTION tiktok_internal.fallen_shares(int) IS
'what fewer of the newest events of a source have than ever before: a kind of identifier, consent, or a report of the Pixel (pixel); worth: of those that lack it';

CREATE FUNCTION tiktok_internal.shifted_values(source_id int, OUT event text, OUT currency text, OUT median numeric, OUT median_before numeric, OUT same boolean)
RETURNS SETOF record LANGUAGE sql STABLE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp SET jit = off AS $$
	SELECT m.event, m.currency, m.middle, m.before, m.lowest = m.highest AND m.before_varies
	FROM (
		SELECT v.event, v.currency, count(*) FILTER (WHERE v.n > 8) AS events,
			-- six of the eight are at least as high, or as low
			percentile_disc(0.25) WITHIN GROUP (ORDER BY v.value) FILTER (WHERE v.n <= 8) AS low,
			percentile_disc(0.5) WITHIN GROUP (ORDER BY v.value) FILTER (WHERE v.n <= 8) AS middle,
			percentile_disc(0.75) WITHIN GROUP (ORDER BY v.value) FILTER (WHERE v.n <= 8) AS high,
			percentile_disc(0.5) WITHIN GROUP (ORDER BY v.value) FILTER (WHERE v.n > 8) AS before,
			min(v.value) FILTER (WHERE v.n <= 8) AS lowest, max(v.value) FILTER (WHERE v.n <= 8) AS highest,
			min(v.value) FILTER (WHERE v.n > 8) < max(v.value) FILTER (WHERE v.n > 8) AS before_varies
		FROM (SELECT e.event, e.currency, e.value, row_number() OVER (PARTITION BY e.event, e.currency ORDER BY e.n) AS n
			FROM tiktok_internal.newest(shifted_values.source_id, 1500) e WHERE e.fit AND e.value > 0) v
		GROUP BY 1, 2) m
	WHERE m.events >= 20 AND (m.low >= 30 * m.before OR m.before >= 30 * m.high)
$$;
COMMENT ON FUNCTION tiktok_internal.shifted_values(int) IS 'names and currencies whose last eight values are thirty times, or a thirtieth, of those before';

-- Silence is compared with the same hours of the four weeks before, of which only these are read. Names are those of the day a week ago, and of the
-- newest events, which are all that there are of a small shop.
CREATE VIEW tiktok_internal.silence AS
WITH week_ago AS MATERIALIZED (
	SELECT DISTINCT r.source_id, r.event FROM tiktok_internal.recorded r WHERE r.hour >= now() - interval '8 days' AND r.hour < now() - interval '7 days'
), name AS MATERIALIZED (
	SELECT s.id AS source_id, s.name AS source, s.event_source, f.first_at, n.event
	FROM tiktok.source s
	CROSS JOIN LATERAL (SELECT r.enqueued_at AS first_at FROM tiktok_internal.recorded r WHERE r.source_id = s.id ORDER BY r.xid, r.id LIMIT 1) f
	CROSS JOIN LATERAL (
		SELECT r.event FROM (SELECT r.event FROM tiktok_internal.recorded r WHERE r.source_id = s.id ORDER BY r.xid DESC, r.id DESC LIMIT 300) r
		UNION
		SELECT w.event FROM week_ago w WHERE w.source_id = s.id) n
	WHERE s.enabled AND f.first_at < now() - interval '14 days'
), quiet AS MATERIALIZED (
	SELECT n.*, l.last_at, least(4, floor(extract(epoch FROM l.last_at - n.first_at) / 604800)) AS weeks
	FROM name n
	CROSS JOIN LATERAL (SELECT r.enqueued_at AS last_at FROM tiktok_internal.recorded r WHERE r.source_id = n.source_id AND r.event = n.event ORDER BY r.xid DESC, r.id DESC LIMIT 1) l
	WHERE l.last_at < now() - interval '30 minutes'
), expected AS MATERIALIZED (
	SELECT q.*, e.events / q.weeks AS expected, e.worth
	FROM quiet q
	CROSS JOIN LATERAL (
		SELECT count(*) AS events, tiktok_internal.worth(array_agg(r.value / q.weeks), array_agg(r.currency)) AS worth
		FROM generate_series(1, q.weeks::int) g
		CROSS JOIN LATERAL (
			SELECT r.value, r.currency FROM tiktok_internal.recorded r
			WHERE r.source_id = q.source_id AND r.event = q.event AND r.hour > q.last_at - g * interval '7 days' - interval '1 hour' AND r.hour < now() - g * interval '7 days'
			AND r.enqueued_at >= q.last_at - g * interval '7 days' AND r.enqueued_at < now() - g * interval '7 days') r) e
	WHERE q.weeks > 0
)
SELECT x.source, x.event_source, x.event, x.last_at, round(x.expected) AS expected, x.worth, w.a_week
FROM expected x
CROSS JOIN LATERAL (
	-- 48 are enough for every shop
	SELECT CASE WHEN x.expected < 48 THEN (
			SELECT count(*) FROM tiktok_internal.recorded r
			WHERE r.source_id = x.source_id AND r.event = x.event AND r.hour >= x.last_at - interval '14 days' AND r.hour <= x.last_at) / 2.0
		ELSE 48 END AS a_week) w
WHERE x.expected >= least(greatest(8, 5 * sqrt(w.a_week)), 48);
COMMENT ON VIEW tiktok_internal.silence IS 'event names of which nothing comes any more, though the weeks before had some in the same hours';

-- Refused or invalid: of the last fifty with an answer, or of the last fifty, five and a fifth; or all of them, which may be the first one.
CREATE FUNCTION tiktok_internal.bad_of_last(source_id int, event text, OUT status text, OUT bad bigint, OUT of bigint, OUT all_bad boolean, OUT unfit boolean, OUT reason text, OUT worth text)
RETURNS SETOF record LANGUAGE sql STABLE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp SET jit = off AS $$
	WITH last AS MATERIALIZED (
		SELECT k.status AS kind, l.*
		-- an event that waits is not invalid, but whether TikTok refuses it is not known
		FROM (VALUES ('invalid', '{suppressed,discarded}'::text[]), ('rejected', '{suppressed,discarded,pending,retrying}')) k (status, without)
		CROSS JOIN LATERAL (
			SELECT CASE WHEN e.status = 'uncertain' THEN 'rejected' ELSE e.status END AS status, e.reason, row_number() OVER (ORDER BY e.n) AS n, e.value, e.currency
			FROM tiktok_internal.newest(bad_of_last.source_id, 1500) e
			WHERE e.event = bad_of_last.event AND e.status <> ALL (k.without) AND e.enqueued_at >= now() - interval '14 days'
			ORDER BY e.n LIMIT 50) l
	)
	SELECT l.kind, count(*), (SELECT count(*) FROM last a WHERE a.kind = l.kind), count(*) FILTER (WHERE l.n <= 8) = 8,
		coalesce(bool_or(l.reason = 'mapping') FILTER (WHERE l.n <= 8), false), mode() WITHIN GROUP (ORDER BY l.reason),
		tiktok_internal.worth(array_agg(l.value), array_agg(l.currency))
	FROM last l
	WHERE l.status = l.kind
	GROUP BY l.kind
$$;
COMMENT ON FUNCTION tiktok_internal.bad_of_last(int, text) IS 'of the last fifty events of a name those that are invalid, and of the last fifty with an answer those that were rejected; unfit: one of the newest is of a trigger that does not fit its table';
