/*
 * Insight: what the events of a time say about the measurement.
 *
 * Views run with their owner's rights, show no identifier and no payload, and leave test events out.  Those
 * with a column "hour" are cheap for a part of the time: a condition on it is answered by the index event_hour.
 */

-- has_payload is cheap where nothing else of the event is asked for; elsewhere it would drag payloads through joins.
CREATE VIEW tiktok_internal.real_event AS
SELECT e.hour, e.id, e.source_id, e.source, e.event_source, e.event, e.event_id, e.event_time, e.enqueued_at, e.value, e.currency, e.match_keys,
	e.has_payload, e.is_sale, e.status, e.reason, e.at,
	e.status NOT IN ('invalid', 'suppressed', 'expired') AS fit,
	e.notes LIKE '%consent: consent_unreadable%' AS consent_unreadable,
	CASE
		WHEN e.status = 'invalid' AND e.reason IN ('currency', 'currency_missing', 'value_syntax', 'value_ambiguous', 'value_negative', 'value_range', 'value_not_finite') THEN e.reason
		WHEN e.status NOT IN ('invalid', 'suppressed', 'expired') AND e.notes LIKE '%properties.currency: currency_unknown%' THEN 'currency_unknown'
		WHEN NOT e.is_sale OR e.status IN ('invalid', 'suppressed', 'expired') THEN NULL
		WHEN e.value IS NULL THEN 'value_missing'
		WHEN e.value = 0 THEN 'value_zero'
	END AS value_problem
FROM (
	SELECT date_bin('1 hour', e.enqueued_at, '2000-01-01 00:00+00') AS hour,
		e.id, e.source_id, s.name AS source, s.event_source, e.event, e.event_id, e.event_time, e.enqueued_at, e.value, e.currency, e.match_keys, e.notes,
		e.payload IS NOT NULL AS has_payload,
		e.event IN ('Purchase', 'CompletePayment', 'PlaceAnOrder', 'InitiateCheckout', 'AddPaymentInfo', 'AddToCart', 'Subscribe') AS is_sale,
		coalesce(d.status, CASE WHEN r.attempts > 0 OR r.possibly_received_at IS NOT NULL THEN 'retrying' ELSE 'pending' END) AS status,
		d.reason,
		d.at
	FROM tiktok.event e
	LEFT JOIN tiktok.delivery d ON d.id = e.id
	LEFT JOIN tiktok.retry r ON r.id = e.id
	LEFT JOIN tiktok.source s ON s.id = e.source_id
	WHERE e.test_code IS NULL) e;
COMMENT ON VIEW tiktok_internal.real_event IS 'one row per real event, as the other views need it';

CREATE VIEW tiktok.request_log AS
SELECT q.id,
	s.name AS source,
	q.started_at,
	q.finished_at - q.started_at AS duration,
	q.events,
	q.outcome,
	q.http_status,
	q.code,
	q.message,
	q.request_id,
	q.bytes,
	q.is_test
FROM tiktok.request q
LEFT JOIN tiktok.source s ON s.id = q.source_id;
COMMENT ON VIEW tiktok.request_log IS 'one row per request to TikTok';
COMMENT ON COLUMN tiktok.request_log.id IS 'number of the request; the newest is the highest';
COMMENT ON COLUMN tiktok.request_log.source IS 'name of the source';
COMMENT ON COLUMN tiktok.request_log.started_at IS 'when it was sent';
COMMENT ON COLUMN tiktok.request_log.duration IS 'until the answer was recorded; NULL: under way';
COMMENT ON COLUMN tiktok.request_log.events IS 'how many events it carried';
COMMENT ON COLUMN tiktok.request_log.outcome IS 'what it came to, as in tiktok.request; NULL: under way';
COMMENT ON COLUMN tiktok.request_log.http_status IS 'HTTP status of the answer; NULL: there was none';
COMMENT ON COLUMN tiktok.request_log.code IS 'TikTok''s return code; see tiktok.explain_code';
COMMENT ON COLUMN tiktok.request_log.message IS 'TikTok''s message, or what went wrong on the way';
COMMENT ON COLUMN tiktok.request_log.request_id IS 'TikTok''s id of the request, for its support';
COMMENT ON COLUMN tiktok.request_log.bytes IS 'size of the body';
COMMENT ON COLUMN tiktok.request_log.is_test IS 'it carried test events';

CREATE VIEW tiktok.delivery_stats AS
SELECT hour, source, event, currency, events, pending, retrying, delivered, rejected, invalid, suppressed, expired, uncertain, discarded,
	value, value_delivered, value_not_accepted, delays[1] AS p50, delays[2] AS p95, delays[3] AS p99
FROM (
	SELECT hour, source, event, currency,
		count(*) AS events,
		count(*) FILTER (WHERE status = 'pending') AS pending,
		count(*) FILTER (WHERE status = 'retrying') AS retrying,
		count(*) FILTER (WHERE status = 'delivered') AS delivered,
		count(*) FILTER (WHERE status = 'rejected') AS rejected,
		count(*) FILTER (WHERE status = 'invalid') AS invalid,
		count(*) FILTER (WHERE status = 'suppressed') AS suppressed,
		count(*) FILTER (WHERE status = 'expired') AS expired,
		count(*) FILTER (WHERE status = 'uncertain') AS uncertain,
		count(*) FILTER (WHERE status = 'discarded') AS discarded,
		coalesce(sum(value), 0) AS value,
		coalesce(sum(value) FILTER (WHERE status = 'delivered'), 0) AS value_delivered,
		coalesce(sum(value) FILTER (WHERE status IN ('rejected', 'invalid', 'expired', 'uncertain', 'discarded')), 0) AS value_not_accepted,
		percentile_cont('{0.5,0.95,0.99}'::float8[]) WITHIN GROUP (ORDER BY CASE WHEN status = 'delivered' THEN at - enqueued_at END) AS delays
	FROM tiktok_internal.real_event
	GROUP BY hour, source, event, currency) f;
COMMENT ON VIEW tiktok.delivery_stats IS 'what became of the events of each hour';
COMMENT ON COLUMN tiktok.delivery_stats.hour IS 'begin of the hour (UTC) in which the events were recorded';
COMMENT ON COLUMN tiktok.delivery_stats.source IS 'name of the source; NULL: it did not exist';
COMMENT ON COLUMN tiktok.delivery_stats.event IS 'event name';
COMMENT ON COLUMN tiktok.delivery_stats.currency IS 'currency of the values; NULL: none';
COMMENT ON COLUMN tiktok.delivery_stats.events IS 'events recorded';
COMMENT ON COLUMN tiktok.delivery_stats.pending IS 'of these, not sent yet';
COMMENT ON COLUMN tiktok.delivery_stats.retrying IS 'of these, sent without success, to be sent again';
COMMENT ON COLUMN tiktok.delivery_stats.delivered IS 'of these, accepted by TikTok';
COMMENT ON COLUMN tiktok.delivery_stats.rejected IS 'of these, refused by TikTok';
COMMENT ON COLUMN tiktok.delivery_stats.invalid IS 'of these, not sent because something is wrong with them';
COMMENT ON COLUMN tiktok.delivery_stats.suppressed IS 'of these, not sent for want of consent';
COMMENT ON COLUMN tiktok.delivery_stats.expired IS 'of these, not sent because they were too old';
COMMENT ON COLUMN tiktok.delivery_stats.uncertain IS 'of these, possibly received by TikTok';
COMMENT ON COLUMN tiktok.delivery_stats.discarded IS 'of these, closed by an operator';
COMMENT ON COLUMN tiktok.delivery_stats.value IS 'value of all';
COMMENT ON COLUMN tiktok.delivery_stats.value_delivered IS 'value of the delivered';
COMMENT ON COLUMN tiktok.delivery_stats.value_not_accepted IS 'value of the rejected, invalid, expired, uncertain and discarded';
COMMENT ON COLUMN tiktok.delivery_stats.p50 IS 'time from recorded to delivered: half of the delivered took no longer';
COMMENT ON COLUMN tiktok.delivery_stats.p95 IS '95 of 100 took no longer';
COMMENT ON COLUMN tiktok.delivery_stats.p99 IS '99 of 100 took no longer';

-- The bits of tiktok.event.match_keys, which kind of source takes the identifier, and whether it alone can match a person.
CREATE VIEW tiktok_internal.match_key AS
SELECT * FROM (VALUES
	(0, 'email', '{web,app,offline,crm}'::text[], true),
	(1, 'phone', '{web,app,offline,crm}', true),
	(2, 'external_id', '{web,crm}', true),
	(3, 'ttclid', '{web}', true),
	(4, 'ttp', '{web}', true),
	(5, 'ip', '{web,app}', false),
	(6, 'user_agent', '{web,app}', false),
	(7, 'locale', '{web,app}', false),
	(8, 'idfa', '{app}', true),
	(9, 'idfv', '{app}', true),
	(10, 'gaid', '{app}', true),
	(11, 'att_status', '{app}', false),
	(12, 'first_name', '{web}', false),
	(13, 'last_name', '{web}', false),
	(14, 'city', '{web}', false),
	(15, 'state', '{web}', false),
	(16, 'country', '{web}', false),
	(17, 'zip_code', '{web}', false)) k (bit, match_key, event_sources, is_strong);
COMMENT ON VIEW tiktok_internal.match_key IS 'the kinds of identifiers';

CREATE VIEW tiktok.match_key_coverage AS
SELECT f.hour, f.source, f.event, k.match_key,
	sum(f.events)::bigint AS events,
	coalesce(sum(f.events) FILTER (WHERE f.match_keys & (1 << k.bit) <> 0), 0)::bigint AS with_key,
	round(coalesce(sum(f.events) FILTER (WHERE f.match_keys & (1 << k.bit) <> 0), 0) / sum(f.events), 3) AS share
FROM (SELECT hour, source, event_source, event, match_keys, count(*) AS events
	FROM tiktok_internal.real_event
	WHERE has_payload
	GROUP BY hour, source, event_source, event, match_keys) f
JOIN tiktok_internal.match_key k ON f.event_source = ANY (k.event_sources)
GROUP BY f.hour, f.source, f.event, k.bit, k.match_key;
COMMENT ON VIEW tiktok.match_key_coverage IS 'how many events have each kind of identifier that TikTok could match them by';
COMMENT ON COLUMN tiktok.match_key_coverage.hour IS 'begin of the hour (UTC) in which the events were recorded';
COMMENT ON COLUMN tiktok.match_key_coverage.source IS 'name of the source';
COMMENT ON COLUMN tiktok.match_key_coverage.event IS 'event name';
COMMENT ON COLUMN tiktok.match_key_coverage.match_key IS 'kind of identifier; those that the kind of source takes';
COMMENT ON COLUMN tiktok.match_key_coverage.events IS 'events fit to be sent';
COMMENT ON COLUMN tiktok.match_key_coverage.with_key IS 'of these, with a usable identifier of the kind';
COMMENT ON COLUMN tiktok.match_key_coverage.share IS 'with_key / events';

CREATE VIEW tiktok.lateness AS
SELECT hour, source, event, bucket,
	('{up to 10 s,10 s to 1 min,1 to 5 min,5 min to 1 h,1 to 6 h,6 to 24 h,24 to 48 h,2 to 7 days,over 7 days,expired}'::text[])[bucket] AS lateness,
	bucket > 3 AS over_5_minutes,
	bucket > 7 AS over_48_hours,
	count(*) AS events
FROM (SELECT hour, source, event,
		CASE WHEN status = 'delivered' THEN
			1 + width_bucket(at - event_time, '{10 s,1 min,5 min,1 h,6 h,24 h,48 h,7 d}'::interval[])
		ELSE 10 END AS bucket
	FROM tiktok_internal.real_event
	WHERE status IN ('delivered', 'expired')) f
GROUP BY hour, source, event, bucket;
COMMENT ON VIEW tiktok.lateness IS 'how long after it happened TikTok had an event: within 5 minutes it completes what the Pixel sent, within 48 hours it is deduplicated';
COMMENT ON COLUMN tiktok.lateness.hour IS 'begin of the hour (UTC) in which the events were recorded';
COMMENT ON COLUMN tiktok.lateness.source IS 'name of the source';
COMMENT ON COLUMN tiktok.lateness.event IS 'event name';
COMMENT ON COLUMN tiktok.lateness.bucket IS 'number of the bucket, 1 to 10, in order of time';
COMMENT ON COLUMN tiktok.lateness.lateness IS 'from event_time to delivered; expired: too late to be sent';
COMMENT ON COLUMN tiktok.lateness.over_5_minutes IS 'too late to complete the copy that the Pixel sent';
COMMENT ON COLUMN tiktok.lateness.over_48_hours IS 'too late for TikTok to know a copy as one, or not sent at all';
COMMENT ON COLUMN tiktok.lateness.events IS 'delivered and expired events of that lateness';

CREATE VIEW tiktok.value_problems AS
SELECT hour, id, source, event, event_id, status, value_problem AS problem, value, currency,
	CASE
		WHEN value_problem = 'value_missing' THEN 'Map value and currency; without them there is no return on ad spend.'
		WHEN value_problem = 'value_zero' THEN 'Give the value of the whole order, or no event for what costs nothing.'
		WHEN value_problem = 'currency_missing' THEN 'Map currency, or give it as a literal.'
		WHEN value_problem = 'currency' THEN 'Convert to a currency of TikTok''s list.'
		WHEN value_problem = 'currency_unknown' THEN 'Convert to a currency of TikTok''s list, or set currency_policy in tiktok.source.'
		WHEN value_problem = 'value_ambiguous' THEN 'Map a numeric column, or text with two decimals: 1.299 may be a fraction or a thousand.'
		WHEN value_problem = 'value_negative' THEN 'Condition the trigger so that money given back makes no event.'
		ELSE 'Give amounts as plain numbers, as 49.90.'
	END AS hint
FROM tiktok_internal.real_event
WHERE value_problem IS NOT NULL;
COMMENT ON VIEW tiktok.value_problems IS 'events of sales without a usable value or currency';
COMMENT ON COLUMN tiktok.value_problems.hour IS 'begin of the hour (UTC) in which the event was recorded';
COMMENT ON COLUMN tiktok.value_problems.id IS 'tiktok.event_status.id';
COMMENT ON COLUMN tiktok.value_problems.source IS 'name of the source';
COMMENT ON COLUMN tiktok.value_problems.event IS 'event name';
COMMENT ON COLUMN tiktok.value_problems.event_id IS 'the key of the order';
COMMENT ON COLUMN tiktok.value_problems.status IS 'what became of the event';
COMMENT ON COLUMN tiktok.value_problems.problem IS
	'value_missing, value_zero; currency_unknown: sent without value, because TikTok does not take the currency; and why it is invalid: currency, currency_missing, value_syntax, value_ambiguous, value_negative, value_range, value_not_finite';
COMMENT ON COLUMN tiktok.value_problems.value IS 'the value, if it could be read';
COMMENT ON COLUMN tiktok.value_problems.currency IS 'the currency, if TikTok knows it';
COMMENT ON COLUMN tiktok.value_problems.hint IS 'what to do';

-- What is left out of an event stands in its notes: "phone: phone_length; user.locale: source".
CREATE VIEW tiktok.identifier_problems AS
SELECT e.source, e.event, p.identifier, p.reason, count(DISTINCT e.id) AS events,
	round(count(DISTINCT e.id) / e.of_them::numeric, 3) AS share
FROM (SELECT s.name AS source, v.event, v.id, v.notes, count(*) OVER (PARTITION BY s.name, v.event) AS of_them
	FROM tiktok.event v JOIN tiktok.source s ON s.id = v.source_id
	WHERE v.enqueued_at > now() - interval '7 days' AND v.test_code IS NULL) e,
	LATERAL (SELECT split_part(n, ': ', 1) AS identifier, split_part(n, ': ', 2) AS reason
		FROM string_to_table(e.notes, '; ') n) p
WHERE p.reason <> '' AND EXISTS (SELECT FROM tiktok_internal.match_key k WHERE k.match_key = p.identifier)
GROUP BY e.source, e.event, e.of_them, p.identifier, p.reason;
COMMENT ON VIEW tiktok.identifier_problems IS 'identifiers that were left out of the events of the last 7 days, and why';
COMMENT ON COLUMN tiktok.identifier_problems.source IS 'name of the source';
COMMENT ON COLUMN tiktok.identifier_problems.event IS 'event name';
COMMENT ON COLUMN tiktok.identifier_problems.identifier IS 'what was left out, or one of several values of it';
COMMENT ON COLUMN tiktok.identifier_problems.reason IS 'a word, as in tiktok.event_status.notes';
COMMENT ON COLUMN tiktok.identifier_problems.events IS 'events of which it was left out';
COMMENT ON COLUMN tiktok.identifier_problems.share IS 'of all events of the source with that name in these days';

CREATE VIEW tiktok.stage_coverage AS
SELECT coalesce(m.source, f.source) AS source,
	m.position,
	m.stages,
	coalesce(m.event, f.event) AS event,
	coalesce(f.events, 0) AS events,
	coalesce(f.delivered, 0) AS delivered,
	coalesce(f.waiting, 0) AS waiting,
	coalesce(f.not_delivered, 0) AS not_delivered,
	coalesce(f.lead_id_missing, 0) AS lead_id_missing,
	f.last_delivered_at,
	f.lag,
	0::bigint AS no_mapping
FROM (SELECT source, event, min(position) AS position, string_agg(stage, ', ' ORDER BY position, stage) AS stages
	FROM tiktok.lead_stage
	GROUP BY source, event) m
FULL JOIN (SELECT source, event,
		count(*) AS events,
		count(*) FILTER (WHERE status = 'delivered') AS delivered,
		count(*) FILTER (WHERE status IN ('pending', 'retrying')) AS waiting,
		count(*) FILTER (WHERE status NOT IN ('pending', 'retrying', 'delivered')) AS not_delivered,
		count(*) FILTER (WHERE status = 'invalid' AND reason = 'lead_id_missing') AS lead_id_missing,
		max(at) FILTER (WHERE status = 'delivered') AS last_delivered_at,
		percentile_disc(0.5) WITHIN GROUP (ORDER BY CASE WHEN status = 'delivered' THEN at - event_time END) AS lag
	FROM tiktok_internal.real_event
	WHERE hour >= now() - interval '28 days'
	AND source_id = ANY (ARRAY(
		SELECT s.id FROM tiktok.source s WHERE s.event_source = 'crm' OR EXISTS (SELECT FROM tiktok.lead_stage l WHERE l.source = s.name)))
	GROUP BY source, event) f ON f.source = m.source AND f.event = m.event
UNION ALL
SELECT u.source, NULL, u.stage, NULL, 0, 0, 0, 0, 0, NULL, NULL, u.no_mapping
FROM tiktok.unmapped_stage u;
COMMENT ON VIEW tiktok.stage_coverage IS 'which stages of leads reached TikTok in the last 28 days, and which make no event';
COMMENT ON COLUMN tiktok.stage_coverage.source IS 'name of the source';
COMMENT ON COLUMN tiktok.stage_coverage.position IS 'order in the funnel, from tiktok.lead_stage';
COMMENT ON COLUMN tiktok.stage_coverage.stages IS 'the CRM''s stages that make the event; NULL: none, it was recorded otherwise';
COMMENT ON COLUMN tiktok.stage_coverage.event IS 'event name; NULL: tiktok.lead_stage does not map the stage';
COMMENT ON COLUMN tiktok.stage_coverage.events IS 'events recorded, one for each lead that came to the stage';
COMMENT ON COLUMN tiktok.stage_coverage.delivered IS 'of these, accepted by TikTok';
COMMENT ON COLUMN tiktok.stage_coverage.waiting IS 'of these, pending or retrying';
COMMENT ON COLUMN tiktok.stage_coverage.not_delivered IS 'of these, final with another status';
COMMENT ON COLUMN tiktok.stage_coverage.lead_id_missing IS 'of these, invalid because TikTok''s number of the lead was not there';
COMMENT ON COLUMN tiktok.stage_coverage.last_delivered_at IS 'when TikTok accepted the last one';
COMMENT ON COLUMN tiktok.stage_coverage.lag IS 'from event_time to delivered: half of the delivered took no longer';
COMMENT ON COLUMN tiktok.stage_coverage.no_mapping IS 'rows with a stage that is not mapped, since the server was started';

-- Pixel events with the server's event of the same name and event_id, or else with one of another name.
CREATE VIEW tiktok_internal.pixel_match AS
SELECT date_bin('1 hour', p.seen_at, '2000-01-01 00:00+00') AS hour,
	p.source_id,
	s.name AS source,
	p.event,
	p.event_id,
	p.seen_at,
	e.id,
	d.status,
	d.at,
	CASE WHEN e.id IS NULL THEN (
		SELECT min(o.event)
		FROM tiktok.event o
		WHERE o.event_id = p.event_id AND o.source_id = p.source_id AND o.test_code IS NULL
		AND NOT EXISTS (SELECT FROM tiktok.pixel_seen x
			WHERE x.event_id = p.event_id AND x.event = o.event AND x.source_id = p.source_id))
	END AS other_event
FROM tiktok.pixel_seen p
JOIN tiktok.source s ON s.id = p.source_id
LEFT JOIN tiktok.event e ON e.event_id = p.event_id AND e.event = p.event AND e.source_id = p.source_id AND e.test_code IS NULL
LEFT JOIN tiktok.delivery d ON d.id = e.id;
COMMENT ON VIEW tiktok_internal.pixel_match IS 'one row per event of the Pixel, with what is recorded here';

CREATE VIEW tiktok.dedup_overlap AS
SELECT hour, source, event,
	sum(browser)::bigint AS browser,
	sum(server)::bigint AS server,
	sum(matched)::bigint AS matched,
	sum(other_name)::bigint AS other_name,
	sum(over_48_hours)::bigint AS over_48_hours
FROM (
	SELECT hour, source, event, 1 AS browser, 0 AS server,
		(id IS NOT NULL AND coalesce(status, '') NOT IN ('invalid', 'suppressed', 'expired'))::int AS matched,
		(other_event IS NOT NULL)::int AS other_name,
		coalesce(status = 'delivered' AND at NOT BETWEEN seen_at - interval '48 hours' AND seen_at + interval '48 hours', false)::int AS over_48_hours
	FROM tiktok_internal.pixel_match
	UNION ALL
	SELECT hour, source, event, 0, 1, 0, 0, 0
	FROM tiktok_internal.real_event
	WHERE has_payload AND event_source = 'web') u
GROUP BY hour, source, event;
COMMENT ON VIEW tiktok.dedup_overlap IS 'events of the Pixel and of the server, and how many are the same to TikTok; needs reports by tiktok.pixel_seen';
COMMENT ON COLUMN tiktok.dedup_overlap.hour IS 'begin of the hour (UTC) in which the Pixel fired or the event was recorded';
COMMENT ON COLUMN tiktok.dedup_overlap.source IS 'name of the source';
COMMENT ON COLUMN tiktok.dedup_overlap.event IS 'event name';
COMMENT ON COLUMN tiktok.dedup_overlap.browser IS 'events that the Pixel fired';
COMMENT ON COLUMN tiktok.dedup_overlap.server IS 'events recorded here and fit to be sent';
COMMENT ON COLUMN tiktok.dedup_overlap.matched IS 'events of the Pixel whose name and event_id are recorded here and fit to be sent: TikTok counts them once';
COMMENT ON COLUMN tiktok.dedup_overlap.other_name IS 'events of the Pixel whose event_id is recorded here under another name only: TikTok counts them twice';
COMMENT ON COLUMN tiktok.dedup_overlap.over_48_hours IS 'of the matched, those that reached TikTok more than 48 hours apart: it counts them twice';

CREATE TABLE tiktok.weekly_floor (
	source text NOT NULL REFERENCES tiktok.source (name) ON UPDATE CASCADE ON DELETE CASCADE,
	event text NOT NULL,
	events int NOT NULL CHECK (events >= 0),
	PRIMARY KEY (source, event)
);
COMMENT ON TABLE tiktok.weekly_floor IS 'how many events a week a source should have, where it is not 50; 0: any number will do';
COMMENT ON COLUMN tiktok.weekly_floor.source IS 'name of the source';
COMMENT ON COLUMN tiktok.weekly_floor.event IS 'event name';
COMMENT ON COLUMN tiktok.weekly_floor.events IS 'events a week';
SELECT pg_extension_config_dump('tiktok.weekly_floor', '');

CREATE VIEW tiktok.volume_floor AS
SELECT source, event,
	coalesce(f.delivered, 0) AS delivered,
	coalesce(f.delivered_before, 0) AS delivered_before,
	coalesce(w.events, 50) AS floor,
	coalesce(f.delivered, 0) >= coalesce(w.events, 50) AS enough
FROM (SELECT source, event,
		count(*) FILTER (WHERE hour >= now() - interval '7 days') AS delivered,
		count(*) FILTER (WHERE hour < now() - interval '7 days') AS delivered_before
	FROM tiktok_internal.real_event
	WHERE hour >= now() - interval '14 days' AND status = 'delivered'
	GROUP BY source, event) f
FULL JOIN tiktok.weekly_floor w USING (source, event);
COMMENT ON VIEW tiktok.volume_floor IS 'are there enough events for TikTok to learn from? 50 a week unless tiktok.weekly_floor says otherwise';
COMMENT ON COLUMN tiktok.volume_floor.source IS 'name of the source';
COMMENT ON COLUMN tiktok.volume_floor.event IS 'event name';
COMMENT ON COLUMN tiktok.volume_floor.delivered IS 'events recorded in the last 7 days and delivered';
COMMENT ON COLUMN tiktok.volume_floor.delivered_before IS 'the same of the 7 days before';
COMMENT ON COLUMN tiktok.volume_floor.floor IS 'how many there should be';
COMMENT ON COLUMN tiktok.volume_floor.enough IS 'delivered is not below the floor';
