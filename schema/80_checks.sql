/*
 * Checks beside tiktok.health(): what makes TikTok's numbers wrong, and whether a source is set up well.  Their rows have a state, the evidence
 * in numbers, and what to do.
 *
 * The functions run with the rights of whoever asks, on views that show no identifier.
 */

CREATE FUNCTION tiktok_internal.percent(part numeric, whole numeric) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
	SELECT CASE WHEN whole > 0 THEN round(100 * part / whole, 1) ELSE 0 END || ' %'
$$;
COMMENT ON FUNCTION tiktok_internal.percent(numeric, numeric) IS 'a share as text';

CREATE FUNCTION tiktok_internal.same_event(a text, b text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
	SELECT lower(tiktok_internal.current_name(a)) = lower(tiktok_internal.current_name(b))
$$;
COMMENT ON FUNCTION tiktok_internal.same_event(text, text) IS 'an old and a new name, or two spellings, of one event';

-- The rule is about TikTok and known for all sources or for none; three days that are over, with counts.
CREATE FUNCTION tiktok_internal.uncounted(source_id int, OUT event text, OUT counted bigint, OUT delivered bigint, OUT since date, OUT worth text)
RETURNS SETOF record LANGUAGE sql STABLE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp SET jit = off AS $$
	WITH counted AS MATERIALIZED (
		SELECT c.event, c.day, c.server, row_number() OVER (PARTITION BY c.event ORDER BY c.day DESC) AS n
		FROM tiktok_internal.count c JOIN tiktok_internal.source_health h ON h.source = c.source
		WHERE h.source_id = uncounted.source_id AND c.server IS NOT NULL AND c.day BETWEEN (now() AT TIME ZONE 'UTC')::date - 9 AND (now() AT TIME ZONE 'UTC')::date - 2
	), three AS (
		SELECT c.event, min(c.day) AS since, max(c.day) AS until, sum(c.server)::bigint AS counted
		FROM counted c WHERE c.n <= 3 GROUP BY 1 HAVING count(*) = 3
	)
	SELECT t.event, t.counted, d.delivered, t.since, d.worth
	FROM three t, LATERAL (
		SELECT count(*) AS delivered, tiktok_internal.worth(array_agg(f.value), array_agg(f.currency)) AS worth FROM tiktok_internal.real_event f
		WHERE f.source_id = uncounted.source_id AND f.event = t.event AND f.status = 'delivered' AND f.hour >= t.since - interval '2 hours'
		AND (f.event_time AT TIME ZONE 'UTC')::date IN (SELECT c.day FROM counted c WHERE c.event = t.event AND c.n <= 3)) d
	-- the rule takes long, and is looked at only where a count differs
	WHERE CASE WHEN d.delivered >= 30 AND abs(d.delivered - t.counted) > greatest(5, 0.1 * d.delivered) THEN (SELECT r.rule FROM tiktok_internal.count_rule() r) = 'before' END
$$;
COMMENT ON FUNCTION tiktok_internal.uncounted(int) IS 'names of which TikTok''s last three counts are not what was delivered, where it is known what TikTok counts';

CREATE FUNCTION tiktok.failure_modes(source text, OUT mode text, OUT state text, OUT evidence text, OUT hint text)
RETURNS SETOF record LANGUAGE sql STABLE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp SET DateStyle = 'ISO' SET jit = off AS $$
	WITH me AS MATERIALIZED (
		SELECT s.* FROM (SELECT tiktok_internal.source_id(failure_modes.source) AS id OFFSET 0) i JOIN tiktok_internal.source_health s ON s.source_id = i.id
	), newest AS MATERIALIZED (
		SELECT e.* FROM me, tiktok_internal.newest(me.source_id, 1500) e
	), recent AS MATERIALIZED (
		-- of each name the last day, and fifty at least
		SELECT e.*,
			e.status = 'expired' OR e.status = 'delivered' AND e.at - e.event_time >= interval '48 hours' AS lost,
			e.status = 'expired' OR e.status = 'delivered' AND e.at - e.event_time >= CASE WHEN me.event_source = 'web' THEN interval '5 minutes' ELSE interval '48 hours' END AS late
		FROM newest e, me
		WHERE e.n <= 50 AND e.enqueued_at >= now() - interval '28 days' OR e.enqueued_at >= now() - interval '24 hours'
	), sent_name AS MATERIALIZED (
		SELECT DISTINCT e.event FROM newest e WHERE e.fit
	), fallen AS MATERIALIZED (
		SELECT f.* FROM me, tiktok_internal.fallen_shares(me.source_id) f
	), report AS MATERIALIZED (
		SELECT r.* FROM me, tiktok_internal.newest_reports(me.source_id, 400) r
	), checked AS (
		SELECT string_agg(format('SELECT * FROM tiktok.check_rows(%L, %L);', t.relation::regclass, t.trigger_name), ' ' ORDER BY t.relation::regclass::text, t.trigger_name) AS statements
		FROM tiktok_internal.trigger t, me
		WHERE t.source_bytes = convert_to(me.source, getdatabaseencoding())
	), patience AS (
		-- where orders are paid days after the page has fired, their events are recorded then
		SELECT least(greatest(percentile_disc(0.99) WITHIN GROUP (ORDER BY r.recorded_at - r.seen_at), interval '15 minutes'), interval '48 hours') AS time
		FROM report r
	), named AS (
		SELECT r.*, row_number() OVER (ORDER BY r.n) AS of_names
		FROM report r
		WHERE (r.event IN (SELECT n.event FROM sent_name n) OR r.other_event IS NOT NULL)
		AND (r.recorded_at IS NOT NULL OR r.other_event IS NOT NULL OR r.seen_at < now() - (SELECT p.time FROM patience p))
	), ids AS (
		SELECT w.most, count(n.event) AS seen, count(*) FILTER (WHERE n.recorded_at IS NULL AND n.other_event IS NULL) AS strange,
			min(n.seen_at) FILTER (WHERE n.recorded_at IS NULL AND n.other_event IS NULL) - interval '1 minute' AS since
		FROM (VALUES (25), (100)) w (most) LEFT JOIN named n ON n.of_names <= w.most
		GROUP BY 1
	), worst_ids AS (
		SELECT i.* FROM ids i ORDER BY i.seen >= 20 AND i.strange >= 0.2 * i.seen DESC, CASE WHEN i.strange >= 0.2 * i.seen THEN i.most ELSE - i.most END LIMIT 1
	), unreported AS MATERIALIZED (
		SELECT e.event, e.event_time, e.enqueued_at
		FROM me, worst_ids i, newest e
		WHERE i.strange >= 0.2 * i.seen AND e.fit AND e.enqueued_at >= i.since AND e.event IN (SELECT n.event FROM named n)
		AND NOT EXISTS (SELECT FROM tiktok_internal.pixel_report p WHERE p.event_id = e.event_id AND p.event = e.event AND p.source_id = me.source_id)
	), page AS (
		-- If the page has other ids, there is an event without a report beside each report without an event. Else the page reports what is not recorded.
		SELECT coalesce(count(n.event) >= 0.5 * i.strange AND (SELECT count(*) FROM unreported) >= 0.5 * i.strange, false) AS has_other_ids
		FROM worst_ids i LEFT JOIN named n ON n.of_names <= i.most AND n.recorded_at IS NULL AND n.other_event IS NULL AND EXISTS (
			SELECT FROM unreported u
			WHERE u.event = n.event AND (u.event_time BETWEEN n.seen_at - interval '2 minutes' AND n.seen_at + interval '2 minutes'
				OR u.enqueued_at BETWEEN n.seen_at - interval '2 minutes' AND n.seen_at + interval '2 minutes'))
		GROUP BY i.strange
	), late AS (
		SELECT r.event, count(*) AS sent,
			count(*) FILTER (WHERE r.late) AS late,
			count(*) FILTER (WHERE r.lost) AS lost,
			tiktok_internal.worth(array_agg(r.value) FILTER (WHERE r.late), array_agg(r.currency) FILTER (WHERE r.late)) AS worth,
			tiktok_internal.worth(array_agg(r.value) FILTER (WHERE r.lost), array_agg(r.currency) FILTER (WHERE r.lost)) AS lost_worth,
			percentile_disc(0.5) WITHIN GROUP (ORDER BY CASE WHEN r.late THEN r.enqueued_at - r.event_time END) AS recorded_after,
			percentile_disc(0.5) WITHIN GROUP (ORDER BY CASE WHEN r.late THEN r.at - r.enqueued_at END) AS sent_after
		FROM recent r
		WHERE r.status IN ('delivered', 'expired')
		GROUP BY 1
		ORDER BY lost DESC, late DESC, sent DESC LIMIT 1
	), pair AS (
		-- Pixel events under the event_id of another event
		SELECT p.event AS pixel, p.other_event AS server, count(*) AS events, tiktok_internal.same_event(p.event, p.other_event) AS same,
			format('%s of the last %s events of the Pixel%s are %s where %s is sent', count(*), (SELECT count(*) FROM report), tiktok_internal.worth(array_agg(p.value), array_agg(p.currency)), p.event, p.other_event) AS said
		FROM report p
		WHERE p.other_event IS NOT NULL
		GROUP BY 1, 2
		UNION ALL
		-- another name of an event that is sent, whatever its event_id
		SELECT p.event, n.event, count(*), true, format('%s of the last %s events of the Pixel are %s where %s is sent', count(*), (SELECT count(*) FROM report), p.event, n.event)
		FROM report p JOIN sent_name n ON n.event <> p.event AND tiktok_internal.same_event(p.event, n.event)
		WHERE p.other_event IS NULL AND p.event NOT IN (SELECT x.event FROM sent_name x)
		GROUP BY 1, 2
		UNION ALL
		SELECT c.event, n.event, sum(c.browser), true, format('TikTok counted %s events %s of the Pixel in 7 days where %s is sent', sum(c.browser), c.event, n.event)
		FROM tiktok.platform_count c JOIN sent_name n ON n.event <> c.event AND tiktok_internal.same_event(c.event, n.event)
		WHERE c.source = failure_modes.source AND c.day >= (now() AT TIME ZONE 'UTC')::date - 7 AND c.browser > 0 AND c.event NOT IN (SELECT x.event FROM sent_name x)
		GROUP BY 1, 2
	), names AS (
		SELECT coalesce(max(p.events) FILTER (WHERE p.same), 0) AS same,
			string_agg(p.said, '; ' ORDER BY p.pixel, p.server, p.said) AS pairs,
			(SELECT count(*) FROM recent r WHERE r.status = 'invalid' AND r.reason = 'event_name') AS misnamed, (SELECT count(*) FROM recent) AS events
		FROM pair p
		WHERE p.same OR p.events >= 3
	), money AS (
		SELECT m.event, sum(m.events) AS events, sum(m.problems) AS problems,
			string_agg(format('%s because %s', m.problems, tiktok_internal.because(m.value_problem)), ', ' ORDER BY m.problems DESC, m.value_problem) FILTER (WHERE m.problems > 0) AS kinds
		FROM (SELECT r.event, r.value_problem, count(*) AS events, count(*) FILTER (WHERE r.value_problem <> 'value_zero') AS problems
			FROM recent r
			WHERE r.fit AND r.is_sale OR r.value_problem IS NOT NULL
			GROUP BY 1, 2) m
		GROUP BY 1
		ORDER BY problems DESC, events DESC LIMIT 1
	), sold AS (
		SELECT tiktok_internal.worth(array_agg(r.value), array_agg(r.currency)) AS worth
		FROM recent r, money m
		WHERE r.event = m.event AND r.fit AND r.is_sale
	), shifted AS (
		SELECT string_agg(CASE WHEN v.same THEN format('the last eight values of %s in %s are all %s, and half of those before were %s or more', v.event, v.currency, v.median, v.median_before)
				WHEN v.median > v.median_before THEN format('the last eight values of %s in %s are %s times those before', v.event, v.currency, round(v.median / v.median_before))
				ELSE format('the values before the last eight of %s in %s were %s times as high', v.event, v.currency, round(v.median_before / v.median)) END,
			'; ' ORDER BY v.event, v.currency) AS said,
			bool_or(v.same) AS same
		FROM me, tiktok_internal.shifted_values(me.source_id) v
	), stage AS (
		SELECT count(*) FILTER (WHERE c.is_mapped) AS mapped,
			count(*) FILTER (WHERE c.is_mapped AND c.delivered > 0) AS delivered,
			coalesce(sum(c.events), 0) AS events,
			coalesce(max(c.delivered), 0) AS most,
			coalesce(sum(c.no_mapping), 0) AS no_mapping,
			string_agg(c.event, ', ' ORDER BY c.position, c.event) FILTER (WHERE c.is_mapped AND c.delivered = 0) AS never
		FROM (SELECT c.*, c.stages IS NOT NULL AND c.event IS NOT NULL AS is_mapped FROM tiktok.stage_coverage c) c
		WHERE c.source = failure_modes.source AND (SELECT event_source FROM me) = 'crm'
	), lead_id AS (
		SELECT r.event, count(*) AS events, count(*) FILTER (WHERE r.status = 'invalid' AND r.reason = 'lead_id_missing') AS missing,
			tiktok_internal.worth(array_agg(r.value) FILTER (WHERE r.reason = 'lead_id_missing'), array_agg(r.currency) FILTER (WHERE r.reason = 'lead_id_missing')) AS worth
		FROM recent r
		GROUP BY 1
		ORDER BY missing DESC, events DESC LIMIT 1
	), crm AS (
		SELECT count(*) AS leads, tiktok_internal.worth(array_agg(e.value), array_agg(e.currency)) AS worth,
			(SELECT count(*) FROM tiktok_internal.source_health h WHERE h.event_source = 'crm' AND h.enabled) AS sources
		FROM newest e
		WHERE e.fit AND tiktok_internal.current_name(e.event) = 'Lead' AND e.enqueued_at >= now() - interval '7 days'
	), consent AS (
		SELECT count(*) FILTER (WHERE r.status = 'suppressed') AS suppressed, count(*) AS events,
			tiktok_internal.worth(array_agg(r.value) FILTER (WHERE r.status = 'suppressed'), array_agg(r.currency) FILTER (WHERE r.status = 'suppressed')) AS worth,
			(SELECT string_agg(format('%s of the last %s %s had consent, and %s before%s', f.part, f.whole, f.event, tiktok_internal.percent(f.share_before, 1),
					tiktok_internal.others(f.worth)), '; ' ORDER BY f.event)
				FROM fallen f WHERE f.what = 'consent') AS fallen
		FROM recent r
	), fired AS (
		SELECT count(*) FILTER (WHERE p.status = 'suppressed') AS fired, count(*) AS events,
			tiktok_internal.worth(array_agg(p.value) FILTER (WHERE p.status = 'suppressed'), array_agg(p.currency) FILTER (WHERE p.status = 'suppressed')) AS worth
		FROM report p
	), volume AS (
		-- only what somebody wants to be enough
		SELECT string_agg(v.said, '; ' ORDER BY v.event) FILTER (WHERE v.low) AS low, string_agg(v.said, '; ' ORDER BY v.event) AS said
		FROM (
			SELECT w.event, d.delivered < w.events AS low, format('%s %s%s were delivered in 7 days, where %s are wanted', d.delivered, w.event, d.worth, w.events) AS said
			FROM me JOIN tiktok.weekly_floor w ON w.source = me.source,
				LATERAL (SELECT count(*) AS delivered, tiktok_internal.worth(array_agg(f.value), array_agg(f.currency)) AS worth FROM tiktok_internal.real_event f
					WHERE f.source_id = me.source_id AND f.event = w.event AND f.status = 'delivered' AND f.hour >= now() - interval '7 days') d
			UNION ALL
			SELECT l.event, d.delivered < 50 AND d.known, format('%s %s%s were delivered in 14 days, where a campaign needs 50', d.delivered, l.event, d.worth)
			FROM (SELECT DISTINCT l.event FROM tiktok_internal.optimised l WHERE l.source = failure_modes.source) l, me,
				LATERAL (SELECT count(e.id) FILTER (WHERE e.lately) AS delivered, coalesce(min(e.enqueued_at) < now() - interval '14 days', false) AS known,
						tiktok_internal.worth(array_agg(e.value) FILTER (WHERE e.lately), array_agg(e.currency) FILTER (WHERE e.lately)) AS worth
					FROM (SELECT e.*, e.status = 'delivered' AND e.enqueued_at >= now() - interval '14 days' AS lately FROM newest e WHERE e.event = l.event) e) d) v
	), judged (mode, state, evidence, hint) AS (
		SELECT 'different_ids',
			CASE WHEN i.seen < 20 OR i.strange < 0.2 * i.seen THEN 'ok' WHEN i.strange >= 0.5 * i.seen THEN 'fail' ELSE 'warn' END,
			CASE WHEN me.event_source <> 'web' THEN 'no Pixel: the source is ' || me.kind
				WHEN i.seen = 0 THEN 'the Pixel''s event_ids are not known, because no page reports them'
				WHEN i.strange = 0 THEN format('all of the last %s events of the Pixel have the event_id of an event here', i.seen)
				WHEN NOT u.has_other_ids THEN format('%s of the last %s events that the Pixel reported are not recorded here', i.strange, i.seen)
				ELSE format('%s of the last %s events of the Pixel have an event_id that no event here has', i.strange, i.seen) END,
			CASE WHEN NOT u.has_other_ids THEN coalesce('Look at what writes the orders, and at what the trigger makes of them: ' || c.statements, 'Look at what calls tiktok.track().')
				ELSE format('Give the Pixel the event_id that is recorded here, as tiktok.pixel_event() does: SELECT * FROM tiktok.dedup_overlap WHERE source = %L AND hour >= now() - interval ''2 days'' ORDER BY hour DESC;', me.source) END
		FROM me, worst_ids i, page u, checked c
		UNION ALL
		SELECT 'late_events',
			CASE WHEN l.lost >= 5 AND l.lost >= 0.2 * l.sent OR l.late >= 20 AND l.late >= 0.5 * l.sent THEN 'fail'
				WHEN l.lost >= 3 AND l.lost >= 0.05 * l.sent OR l.late >= 5 AND l.late >= 0.2 * l.sent THEN 'warn' ELSE 'ok' END,
			CASE WHEN l.sent IS NULL THEN 'no event was delivered yet'
				WHEN l.late = 0 THEN format('none of the last %s %s was late', l.sent, l.event)
				ELSE format('%s of the last %s %s%s reached TikTok more than %s late%s; half of the late ones were recorded %s after they happened, and sent %s after that', l.late, l.sent, l.event, l.worth,
					CASE WHEN me.event_source = 'web' THEN '5 minutes' ELSE '48 hours' END,
					CASE WHEN l.lost > 0 AND me.event_source = 'web' THEN format(', %s of them%s after 48 hours or never', l.lost, l.lost_worth) END,
					coalesce(tiktok_internal.span(l.recorded_after), 'never'), coalesce(tiktok_internal.span(l.sent_after), 'never')) END,
			CASE WHEN l.recorded_after > l.sent_after THEN
					format('Put the trigger on the change that makes the event, and check what event_time is mapped to: SELECT event_id, event_time, enqueued_at FROM tiktok.event_status WHERE source = %L AND event = %L ORDER BY id DESC LIMIT 20;', me.source, l.event)
				ELSE format('Look at what kept them from being sent: SELECT started_at, outcome, http_status, code, message FROM tiktok.request_log WHERE source = %L AND outcome <> ''delivered'' ORDER BY id DESC LIMIT 20;', me.source) END
		FROM me LEFT JOIN late l ON true
		UNION ALL
		SELECT 'names_differ', CASE WHEN n.same >= 3 THEN 'fail' WHEN n.pairs IS NOT NULL OR n.misnamed >= 3 THEN 'warn' ELSE 'ok' END,
			concat_ws('; ', coalesce(n.pairs, 'no event of the Pixel has another name'), CASE WHEN n.misnamed > 0 THEN format('%s of the last %s events have a name that TikTok does not take', n.misnamed, n.events) END),
			CASE WHEN n.pairs IS NULL THEN format('Correct the name of the event in the trigger: SELECT event, notes FROM tiktok.event_status WHERE source = %L AND reason = ''event_name'' ORDER BY id DESC LIMIT 20;', me.source)
				ELSE 'Let the page fire the name that is sent from here, as tiktok.pixel_event() does: TikTok counts an order twice if the names differ.' END
		FROM me, names n
		UNION ALL
		SELECT 'value_or_currency_missing',
			CASE WHEN s.said IS NOT NULL OR m.problems >= 5 AND m.problems >= 0.2 * m.events THEN 'fail' WHEN m.problems >= 5 AND m.problems >= 0.05 * m.events THEN 'warn' ELSE 'ok' END,
			concat_ws('; ', s.said, CASE WHEN m.events IS NULL THEN 'no event of a sale'
				WHEN m.problems = 0 THEN format('the last %s %s have a value and a currency%s', m.events, m.event, d.worth)
				ELSE format('%s of the last %s %s lack a usable value or currency: %s', m.problems, m.events, m.event, m.kinds) END),
			CASE WHEN s.same THEN format('Map the value of the order, not a constant: SELECT event_id, value, currency FROM tiktok.event_status WHERE source = %L ORDER BY id DESC LIMIT 20;', me.source)
				WHEN s.said IS NOT NULL THEN format('If the column is in cents now, give the mapping "amounts": "minor": SELECT event_id, value, currency FROM tiktok.event_status WHERE source = %L ORDER BY id DESC LIMIT 20;', me.source)
				ELSE format('Map value and currency in the trigger: SELECT event_id, problem, value, currency, hint FROM tiktok.value_problems WHERE source = %L AND hour >= now() - interval ''24 hours'' LIMIT 20;', me.source) END
		FROM me CROSS JOIN shifted s CROSS JOIN sold d LEFT JOIN money m ON true
		UNION ALL
		SELECT 'crm_quality_not_passed_back',
			CASE WHEN me.event_source <> 'crm' THEN 'ok'
				WHEN i.missing >= 5 AND i.missing >= 0.2 * i.events THEN 'fail'
				WHEN s.mapped > 1 AND s.delivered <= 1 AND s.most >= 50 THEN 'warn' ELSE 'ok' END,
			CASE WHEN me.event_source <> 'crm' THEN
					CASE WHEN c.leads > 0 AND c.sources = 0 THEN format('%s leads in 7 days%s, and no CRM reports what becomes of them', c.leads, c.worth) ELSE 'no CRM: the source is ' || me.kind END
				WHEN s.events = 0 THEN 'no lead came to a stage in 28 days'
				ELSE concat_ws('; ', CASE WHEN s.mapped > 0 THEN format('events of %s of %s stages reached TikTok in 28 days%s', s.delivered, s.mapped, ', not yet ' || s.never) ELSE 'no stage is mapped in tiktok.lead_stage' END,
					CASE WHEN i.missing > 0 THEN format('%s of the last %s %s%s lack TikTok''s lead_id', i.missing, i.events, i.event, i.worth) END,
					CASE WHEN s.no_mapping > 0 THEN format('%s rows since the server''s start had a stage that is not mapped', s.no_mapping) END) END,
			CASE WHEN i.missing >= 5 THEN format('Keep TikTok''s lead_id with each lead and map it: SELECT event_id, notes FROM tiktok.event_status WHERE source = %L AND reason = ''lead_id_missing'' ORDER BY id DESC LIMIT 20;', me.source)
				ELSE format('Map every stage of the funnel in tiktok.lead_stage, and put the trigger on the column of the stage: SELECT stages, event, delivered, no_mapping FROM tiktok.stage_coverage WHERE source = %L;', me.source) END
		FROM me CROSS JOIN stage s CROSS JOIN crm c LEFT JOIN lead_id i ON true
		UNION ALL
		SELECT 'consent_inconsistent',
			CASE WHEN f.fired >= 3 OR c.fallen IS NOT NULL OR c.suppressed >= 20 AND c.suppressed = c.events THEN 'fail' ELSE 'ok' END,
			concat_ws('; ', c.fallen,
				CASE WHEN c.events = 0 THEN 'no event that could lack consent' WHEN c.suppressed = 0 THEN format('none of the last %s events lacked consent', c.events)
					ELSE format('%s of the last %s events%s were not sent for want of consent', c.suppressed, c.events, c.worth) END,
				CASE WHEN f.fired > 0 THEN format('%s of the last %s events of the Pixel%s lacked it', f.fired, f.events, f.worth) END),
			CASE WHEN f.fired >= 3 THEN 'Let one decision of the customer rule both sides: the Pixel''s consent calls, and the consent of the event.'
				ELSE format('Check what consent is mapped to, and what the consent banner writes there: SELECT event_id, reason, notes FROM tiktok.event_status WHERE source = %L AND status = ''suppressed'' ORDER BY id DESC LIMIT 20;', me.source) END
		FROM me, consent c, fired f
		UNION ALL
		SELECT 'volume_too_low', CASE WHEN v.low IS NOT NULL THEN 'warn' ELSE 'ok' END,
			coalesce(v.low, v.said, 'nobody has said how many events there should be'),
			format('Optimise for an event that happens more often, or correct what is wanted: SELECT * FROM tiktok.volume_floor WHERE source = %L;', me.source)
		FROM me, volume v
	)
	SELECT j.mode, j.state, j.evidence, CASE WHEN j.state <> 'ok' THEN j.hint END FROM judged j
$$;
COMMENT ON FUNCTION tiktok.failure_modes(text) IS
'the seven ways in which measurement by Pixel and Events API goes wrong, judged by the newest events of each name: those of the last day, and fifty at least.
state: ok; warn: some events suffer; fail: many do, or all.';

-- Of the orders since a day, those that a cause has.  The newest day may be wrong alone, so each stretch of days up to now is looked at.
CREATE FUNCTION tiktok_internal.truth_findings(source text, OUT cause text, OUT state text, OUT bad bigint, OUT orders bigint, OUT since date, OUT delivered bigint,
	OUT worth text, OUT orders_worth text, OUT delivered_worth text)
RETURNS SETOF record LANGUAGE sql STABLE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp SET jit = off AS $$
	WITH judged AS MATERIALIZED (
		SELECT j.day, j.n, j.in_orders, j.status = 'delivered' AS delivered, coalesce(j.value, j.value_sent) AS value, coalesce(j.currency, j.currency_sent) AS currency,
			CASE WHEN j.cause IN ('no_event', 'pixel_only') THEN 'no_event'
				WHEN j.cause IN ('no_order', 'recorded_twice') THEN 'no_order'
				WHEN j.cause = 'value_differs' AND j.note NOT LIKE '%of the value%' THEN NULL
				WHEN j.cause NOT IN ('late', 'pending', 'retrying', 'suppressed', 'discarded', 'no_longer_known', 'pixel_other_name', 'pixel_other_id', 'pixel_48_hours') THEN j.cause END AS cause
		FROM tiktok_internal.difference_causes(truth_findings.source, now() - interval '7 days', now() - interval '15 minutes') j
	), day AS (
		SELECT d.day, sum(d.n) FILTER (WHERE d.in_orders) AS orders FROM judged d GROUP BY 1
	), cause_day AS (
		SELECT c.cause, d.day, coalesce(d.orders, 0) AS orders, coalesce(sum(j.n), 0) AS bad
		FROM (SELECT DISTINCT j.cause FROM judged j WHERE j.cause IS NOT NULL) c CROSS JOIN day d
		LEFT JOIN judged j ON j.cause = c.cause AND j.day = d.day
		GROUP BY 1, 2, 3
	), stretch AS (
		SELECT c.cause, c.day, sum(c.orders) OVER w AS orders, sum(c.bad) OVER w AS bad,
			sum(c.orders) OVER (PARTITION BY c.cause) AS all_orders, sum(c.bad) OVER (PARTITION BY c.cause) AS all_bad
		FROM cause_day c
		WINDOW w AS (PARTITION BY c.cause ORDER BY c.day DESC)
	), stated AS (
		SELECT s.*, CASE
				-- events without an order may be of orders that were cancelled
				WHEN s.cause = 'no_order' THEN CASE WHEN s.bad >= 20 AND s.bad > 0.2 * s.orders
					AND s.bad * greatest(s.all_orders - s.orders, 1) > 3 * (s.all_bad - s.bad) * s.orders THEN 'warn' END
				WHEN s.bad >= 5 AND s.bad >= 0.2 * s.orders THEN 'fail'
				WHEN s.bad >= CASE WHEN s.cause LIKE 'value%' THEN 5 ELSE 3 END AND s.bad >= 0.05 * s.orders THEN 'warn' END AS state
		FROM stretch s
	)
	SELECT f.cause, f.state, f.bad, f.orders, f.day, NULL::bigint, w.worth, w.orders_worth, NULL
	FROM (SELECT DISTINCT ON (s.cause) s.* FROM stated s WHERE s.state IS NOT NULL ORDER BY s.cause, s.state, s.day DESC) f,
		LATERAL (
			SELECT tiktok_internal.worth(array_agg(j.value) FILTER (WHERE j.cause = f.cause), array_agg(j.currency) FILTER (WHERE j.cause = f.cause)) AS worth,
				tiktok_internal.worth(array_agg(j.value) FILTER (WHERE j.in_orders), array_agg(j.currency) FILTER (WHERE j.in_orders)) AS orders_worth
			FROM judged j WHERE j.day >= f.day) w
	UNION ALL
	SELECT NULL, NULL, NULL, coalesce(sum(j.n) FILTER (WHERE j.in_orders), 0), NULL, coalesce(sum(j.n) FILTER (WHERE j.in_orders AND j.delivered), 0), NULL,
		tiktok_internal.worth(array_agg(j.value) FILTER (WHERE j.in_orders), array_agg(j.currency) FILTER (WHERE j.in_orders)),
		tiktok_internal.worth(array_agg(j.value) FILTER (WHERE j.in_orders AND j.delivered), array_agg(j.currency) FILTER (WHERE j.in_orders AND j.delivered))
	FROM judged j
$$;
COMMENT ON FUNCTION tiktok_internal.truth_findings(text) IS
'causes of tiktok.differences that too many orders of the last days have; a row without cause has all orders of seven days, and how many of them are delivered';

-- An item of the checklist rests on the failure modes, so that who needs both has them from here.
CREATE FUNCTION tiktok_internal.judged_source(source text, OUT item int, OUT what text, OUT state text, OUT evidence text, OUT hint text)
RETURNS SETOF record LANGUAGE sql STABLE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp SET DateStyle = 'ISO' SET jit = off AS $$
	WITH me AS MATERIALIZED (
		SELECT s.* FROM (SELECT tiktok_internal.source_id(judged_source.source) AS id OFFSET 0) i JOIN tiktok_internal.source_health s ON s.source_id = i.id
	), newest AS MATERIALIZED (
		SELECT e.* FROM me, tiktok_internal.newest(me.source_id, 1500) e
	), of_all AS MATERIALIZED (
		SELECT count(*) AS events, count(*) FILTER (WHERE e.status = 'delivered') AS delivered, max(e.at) FILTER (WHERE e.status = 'delivered') AS last_delivered_at,
			tiktok_internal.worth(array_agg(e.value), array_agg(e.currency)) AS worth,
			tiktok_internal.worth(array_agg(e.value) FILTER (WHERE e.status = 'delivered'), array_agg(e.currency) FILTER (WHERE e.status = 'delivered')) AS delivered_worth,
			count(*) FILTER (WHERE e.fit AND e.n <= 100) AS fit, count(*) FILTER (WHERE e.fit AND e.n <= 100 AND e.strong) AS strong,
			tiktok_internal.worth(array_agg(e.value) FILTER (WHERE e.fit AND e.n <= 100 AND NOT e.strong), array_agg(e.currency) FILTER (WHERE e.fit AND e.n <= 100 AND NOT e.strong)) AS weak_worth
		FROM (SELECT e.*, e.match_keys & (SELECT bit_or(1 << k.bit) FROM tiktok_internal.match_key k WHERE k.is_strong) <> 0 AS strong FROM newest e) e
	), mode AS MATERIALIZED (
		SELECT m.*, row_number() OVER () AS n FROM tiktok.failure_modes(judged_source.source) m
	), fallen AS MATERIALIZED (
		SELECT f.*, format('%s of the last %s %s', f.part, f.whole, f.event) AS said,
			tiktok_internal.others(f.worth) AS rest
		FROM me, tiktok_internal.fallen_shares(me.source_id) f
	), pixel AS MATERIALIZED (
		SELECT count(*) AS browser, count(r.recorded_at) AS matched, count(*) FILTER (WHERE r.apart) AS over_48_hours, min(r.seen_at) AS since,
			tiktok_internal.worth(array_agg(r.value) FILTER (WHERE r.recorded_at IS NOT NULL), array_agg(r.currency) FILTER (WHERE r.recorded_at IS NOT NULL)) AS worth,
			tiktok_internal.worth(array_agg(r.value) FILTER (WHERE r.apart), array_agg(r.currency) FILTER (WHERE r.apart)) AS apart_worth
		FROM me, tiktok_internal.newest_reports(me.source_id, 400) r
	), platform AS MATERIALIZED (
		SELECT coalesce(sum(c.browser), 0) AS browser
		FROM tiktok.platform_count c
		WHERE c.source = judged_source.source AND c.day >= (now() AT TIME ZONE 'UTC')::date - 7
	), uncounted AS (
		SELECT string_agg(format('TikTok counted %s of %s %s%s that it accepted in three days since %s', u.counted, u.delivered, u.event, u.worth, to_char(u.since, 'YYYY-MM-DD')), '; ' ORDER BY u.event) AS said
		FROM me, tiktok_internal.uncounted(me.source_id) u
	), truth AS MATERIALIZED (
		SELECT t.relations, t.relations > 0 AND t.readable AS known
		FROM (SELECT count(*) AS relations,
				bool_and(CASE WHEN r.problem IS NULL THEN tiktok_internal.truth_is_readable(r.oid) ELSE false END) AS readable
			FROM tiktok_internal.truth_relation r JOIN tiktok_internal.sibling s ON s.sibling = r.source
			WHERE s.source = judged_source.source) t
	), counted AS MATERIALIZED (
		SELECT f.* FROM truth t, LATERAL (SELECT * FROM tiktok_internal.truth_findings(judged_source.source) f WHERE t.known OFFSET 0) f
	), finding AS (
		SELECT f.state, format(CASE WHEN f.cause = 'no_order' THEN '%s events beside %s orders since %s %s%s' ELSE '%s of %s orders since %s %s%s' END,
				f.bad, f.orders, to_char(f.since, 'YYYY-MM-DD'), w.said, f.worth) AS said,
			w.hint || format(': SELECT * FROM tiktok.differences(%L) WHERE cause IN (%s);', judged_source.source,
				CASE WHEN f.cause = 'no_event' THEN '''no_event'', ''pixel_only''' WHEN f.cause = 'no_order' THEN '''no_order'', ''recorded_twice''' ELSE quote_literal(f.cause) END) AS hint
		FROM counted f
		JOIN (VALUES
			('no_event', 'have no event', 'Look at the trigger, and at what writes the orders without it'),
			('no_order', 'are a second event of an order, or an event without one', 'Look for a second trigger or call that records the same orders'),
			('test', 'were recorded as test events', 'Turn tiktok_events.test_event off in the application'),
			('other_source', 'were recorded for another source', 'Correct the source of the trigger, or tiktok.source.key'),
			('duplicate', 'have the event_id of another order', 'Give each order an event_id of its own'),
			('rejected', 'were refused by TikTok', 'Mend what TikTok names'),
			('invalid', 'are invalid and were not sent', 'Mend the data or the trigger'),
			('expired', 'were too old to be sent', 'Record orders when they are paid, and look at what kept them from being sent'),
			('uncertain', 'may be at TikTok or not', 'Look into Events Manager before they are sent again'),
			('no_value', 'were sent without a value', 'Map value and currency in the trigger'),
			('other_currency', 'were sent in another currency', 'Map the currency of the order'),
			('value_zero', 'were sent with a value of 0', 'Map the value of the whole order'),
			('value_hundredfold', 'were sent with a hundred times their value', 'If the column is in cents, give the mapping "amounts": "minor"'),
			('value_constant', 'were sent with one and the same value', 'Map the value of the order, not a constant'),
			('value_net', 'were sent without tax', 'Map the value with tax, or register the orders without'),
			('value_differs', 'were sent with the same part of their value', 'Map the column that your orders count by')) w (cause, said, hint) ON w.cause = f.cause
	), found AS (
		SELECT min(f.state) AS state, string_agg(f.said, '; ' ORDER BY f.state, f.said) AS said, min(f.hint) FILTER (WHERE f.n = 1) AS hint
		FROM (SELECT f.*, row_number() OVER (ORDER BY f.state, f.said) AS n FROM finding f) f
	), tests AS (
		SELECT count(*) AS requests, max(q.started_at) AS last
		FROM tiktok.request_log q
		WHERE q.source = judged_source.source AND q.is_test AND q.outcome = 'delivered'
	), gone AS (
		-- the Pixel is silent, and not only under other ids
		SELECT string_agg(format('%s were reported by the Pixel, and %s before%s', f.said, tiktok_internal.percent(f.share_before, 1), f.rest), '; ' ORDER BY f.event) AS said
		FROM fallen f
		WHERE f.what = 'pixel' AND (SELECT m.state FROM mode m WHERE m.mode = 'different_ids') = 'ok' AND (SELECT m.state FROM mode m WHERE m.mode = 'names_differ') = 'ok'
	), keys AS (
		SELECT string_agg(format('%s have %s, and %s before%s', f.said, f.what, tiktok_internal.percent(f.share_before, 1), f.rest), '; ' ORDER BY f.what, f.event) AS said,
			string_agg(DISTINCT quote_literal(f.what), ', ') AS names
		FROM fallen f
		WHERE f.what NOT IN ('pixel', 'consent')
	), judged (item, what, state, evidence, hint) AS (
		SELECT 1, 'install the Pixel',
			CASE WHEN me.event_source <> 'web' THEN 'ok' WHEN g.said IS NOT NULL THEN 'fail' WHEN p.browser > 0 OR c.browser > 0 THEN 'ok' ELSE 'todo' END,
			CASE WHEN me.event_source <> 'web' THEN 'not needed: the source is ' || me.kind
				WHEN g.said IS NOT NULL THEN g.said
				WHEN p.browser = 0 AND c.browser = 0 THEN 'whether a Pixel is installed is not known, because no page reports its events'
				WHEN p.browser = 0 THEN format('TikTok counted %s events of the Pixel in 7 days; no page reports them here', c.browser)
				ELSE format('pages reported %s events of the Pixel since %s', CASE WHEN p.browser = 400 THEN 'at least 400' ELSE p.browser::text END, date_trunc('second', p.since)) END,
			CASE WHEN g.said IS NOT NULL THEN format('Look whether the pages still have the base code, and report by tiktok.pixel_seen(): SELECT tiktok.pixel_base_code(%L);', me.source)
				ELSE format('Put the base code into the pages: SELECT tiktok.pixel_base_code(%L);', me.source) END
		FROM me, pixel p, platform c, gone g
		UNION ALL
		SELECT 2, 'add the Events API',
			CASE WHEN n.events = 0 THEN 'todo' WHEN u.said IS NOT NULL THEN 'warn' WHEN n.delivered = 0 AND n.events >= 5 THEN 'fail' ELSE 'ok' END,
			coalesce(u.said, CASE WHEN n.events = 0 AND me.has_events THEN 'only test events are recorded'
				WHEN n.events = 0 THEN 'no event is recorded, ' || CASE WHEN t.n = 0 THEN 'and no trigger is there that records any' ELSE 'though a trigger is there that records them' END
				WHEN n.delivered = 0 THEN format('none of the last %s events%s is delivered', n.events, n.worth)
				ELSE format('%s%s of the last %s events%s are delivered, the newest at %s', n.delivered, n.delivered_worth, n.events, n.worth, date_trunc('second', n.last_delivered_at)) END),
			CASE WHEN n.events = 0 AND me.has_events THEN 'Turn tiktok_events.test_event off in the application: ALTER ROLE the_application RESET tiktok_events.test_event;'
				WHEN n.events = 0 THEN 'Create a trigger on the table of your orders with tiktok.create_trigger(), or call tiktok.track().'
				WHEN u.said IS NOT NULL THEN format('Compare with Events Manager, and look for requests that were not accepted: SELECT * FROM tiktok.request_log WHERE source = %L AND outcome <> ''delivered'' ORDER BY id DESC LIMIT 20;', me.source)
				ELSE 'Look at what keeps them: SELECT * FROM tiktok.health() WHERE state <> ''ok'';' END
		FROM me, of_all n, uncounted u,
			LATERAL (SELECT count(*) AS n FROM tiktok_internal.trigger t WHERE t.enabled AND t.source_bytes = convert_to(me.source, getdatabaseencoding())) t
		UNION ALL
		SELECT 3, 'the same event_id on both sides',
			CASE WHEN me.event_source <> 'web' THEN 'ok'
				WHEN 'fail' IN (i.state, m.state) THEN 'fail' WHEN 'warn' IN (i.state, m.state) THEN 'warn' WHEN p.browser = 0 THEN 'todo' ELSE 'ok' END,
			CASE WHEN me.event_source <> 'web' THEN 'not needed: the events come from the server alone'
				WHEN p.browser = 0 THEN concat_ws('; ', 'which event_id the Pixel has is not known', CASE WHEN m.state <> 'ok' THEN m.evidence END)
				ELSE format('%s; %s', i.evidence, m.evidence) END,
			CASE WHEN i.state = 'ok' AND m.state = 'ok' THEN 'Make the page''s call with tiktok.pixel_event(), which gives the Pixel the event_id that is sent from here.'
				ELSE format('What to do stands in: SELECT mode, evidence, hint FROM tiktok.failure_modes(%L) WHERE mode IN (''different_ids'', ''names_differ'') AND state <> ''ok'';', me.source) END
		FROM me, pixel p, mode i, mode m
		WHERE i.mode = 'different_ids' AND m.mode = 'names_differ'
		UNION ALL
		SELECT 4, 'value, currency, contents and parameters',
			CASE WHEN m.state <> 'ok' THEN m.state WHEN me.event_source IN ('web', 'app') AND n.fit >= 20 AND n.strong < 0.5 * n.fit THEN 'warn' ELSE 'ok' END,
			concat_ws('; ', m.evidence, CASE WHEN n.fit > 0 THEN format('%s of the last %s events have an identifier beyond address and browser%s', n.strong, n.fit,
				tiktok_internal.others(n.weak_worth)) ELSE 'no event has an identifier' END),
			CASE WHEN m.state <> 'ok' THEN format('What to do stands in: SELECT mode, evidence, hint FROM tiktok.failure_modes(%L) WHERE mode = ''value_or_currency_missing'';', me.source)
				ELSE format('Map email, phone, external_id, ttclid and ttp: SELECT * FROM tiktok.match_key_coverage WHERE source = %L AND hour >= now() - interval ''24 hours'';', me.source) END
		FROM me, of_all n, mode m
		WHERE m.mode = 'value_or_currency_missing'
		UNION ALL
		SELECT 5, 'validate in Events Manager', CASE WHEN t.requests > 0 OR n.delivered >= 20 THEN 'ok' ELSE 'todo' END,
			CASE WHEN t.requests = 0 THEN 'no test event was accepted' ELSE format('%s requests with test events were accepted, the last at %s', t.requests, date_trunc('second', t.last)) END,
			format('Record an event with tiktok_events.test_event on, after: SELECT tiktok.set_test_code(%L, ''the code of Events Manager'');', judged_source.source)
		FROM tests t, of_all n
		UNION ALL
		SELECT 6, 'watch deduplication',
			CASE WHEN me.event_source <> 'web' THEN 'ok' WHEN p.browser = 0 THEN 'todo'
				WHEN p.over_48_hours >= 3 AND p.over_48_hours >= 0.05 * p.matched THEN 'warn' ELSE 'ok' END,
			CASE WHEN me.event_source <> 'web' THEN 'not needed: nothing has to be deduplicated without a Pixel'
				WHEN p.browser = 0 THEN 'how many events TikTok has from both sides is not known'
				ELSE format('%s of the last %s events of the Pixel are events here%s%s', p.matched, p.browser, p.worth,
					CASE WHEN p.over_48_hours > 0 THEN format('; %s of them%s were 48 hours apart, so that TikTok counts them twice', p.over_48_hours, p.apart_worth) END) END,
			CASE WHEN p.browser = 0 THEN 'Let the application call tiktok.pixel_seen() with what the page fires.'
				ELSE format('Send events within two days of the Pixel''s: SELECT * FROM tiktok.lateness WHERE source = %L AND over_48_hours AND hour >= now() - interval ''14 days'';', me.source) END
		FROM me, pixel p
		UNION ALL
		SELECT 7, 'compare with the source of truth',
			CASE WHEN t.relations = 0 THEN 'todo' WHEN NOT t.known THEN 'warn' ELSE coalesce(f.state, 'ok') END,
			CASE WHEN t.relations = 0 THEN 'no table of your orders is registered' WHEN NOT t.known THEN 'a registered table of orders cannot be read'
				WHEN c.orders = 0 THEN concat_ws('; ', f.said, 'your table has no order of the last 7 days')
				ELSE concat_ws('; ', f.said, format('%s%s of %s orders%s of 7 days are delivered', c.delivered, c.delivered_worth, c.orders, c.orders_worth)) END,
			CASE WHEN t.relations = 0 THEN format('Name the table or view of your orders: INSERT INTO tiktok.source_of_truth (source, event, relation) VALUES (%L, ''Purchase'', ''public.paid_orders'');', me.source)
				WHEN NOT t.known THEN coalesce(
					(SELECT min(r.hint) FROM tiktok_internal.truth_relation r WHERE r.source = me.source AND r.problem IS NOT NULL),
					format('Check its name, its columns and your privileges: SELECT * FROM tiktok.source_of_truth WHERE source = %L;', me.source))
				ELSE f.hint END
		FROM me, truth t CROSS JOIN found f LEFT JOIN counted c ON c.cause IS NULL
		UNION ALL
		SELECT 8, 'watch quality after changes', CASE WHEN k.said IS NOT NULL THEN 'warn' ELSE 'ok' END,
			coalesce(k.said, CASE WHEN n.fit > 0 THEN 'the newest events have as many identifiers as those before' ELSE 'no event to compare with' END),
			format('Look at what was changed in the application and in the mapping: SELECT hour, event, match_key, with_key, events FROM tiktok.match_key_coverage WHERE source = %L AND match_key IN (%s) AND hour >= now() - interval ''3 days'' ORDER BY hour;', me.source, k.names)
		FROM me, keys k, of_all n
	)
	SELECT j.item, j.what, j.state, j.evidence, CASE WHEN j.state <> 'ok' THEN j.hint END
	FROM (SELECT NULL::int AS item, m.mode AS what, m.state, m.evidence, m.hint, m.n FROM mode m UNION ALL SELECT j.*, j.item FROM judged j) j
	ORDER BY j.item NULLS FIRST, j.n
$$;
COMMENT ON FUNCTION tiktok_internal.judged_source(text) IS 'the items of tiktok.checklist, and without a number the rows of tiktok.failure_modes';

CREATE FUNCTION tiktok.checklist(source text, OUT item int, OUT what text, OUT state text, OUT evidence text, OUT hint text)
RETURNS SETOF record LANGUAGE sql STABLE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
	SELECT j.item, j.what, j.state, j.evidence, j.hint FROM tiktok_internal.judged_source(checklist.source) j WHERE j.item IS NOT NULL
$$;
COMMENT ON FUNCTION tiktok.checklist(text) IS
'the eight things to do for a good measurement, and how far they are done.
state: ok; todo: not done yet, or nothing is known of it; warn, fail: it was done, and something is wrong.';
