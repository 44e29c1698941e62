-- A month and the one before of a shop that sells by a Pixel and of its leads, for the report.  The events are believable: weekdays, hours, a trend,
-- two currencies, consent.  psql variable sick: 1 with four causes of loss (a trigger that was off for a day and a half, orders that TikTok refused,
-- events without a value, a Pixel that sent ids of its own), 0 without.  Times count back from now().
\set ON_ERROR_STOP 1
SELECT setseed(0.42) \g /dev/null

INSERT INTO tiktok.source (name, event_source, event_source_id, time_zone) VALUES
	('shop', 'web', 'CDEMOPIXEL0000000001', 'Europe/Berlin'), ('crm', 'crm', '7400000000000000003', 'Europe/Berlin')
	ON CONFLICT (name) DO UPDATE SET time_zone = excluded.time_zone;
INSERT INTO tiktok.lead_stage (source, stage, event, position) VALUES ('crm', 'new', 'Lead', 1), ('crm', 'qualified', 'Qualified_Lead', 2), ('crm', 'won', 'Purchase', 3) ON CONFLICT DO NOTHING;

-- Orders: more at the weekend, most in the evening, and a few more each week
CREATE TABLE month_orders (order_no text PRIMARY KEY, total numeric, currency text, at timestamptz);
INSERT INTO month_orders
SELECT 'SO-' || 10000 + row_number() OVER (ORDER BY at), round((15 + exp(3 + 1.2 * random()))::numeric, 2), CASE WHEN random() < 0.1 THEN 'CHF' ELSE 'EUR' END, at
FROM (SELECT d.day + interval '8 h' + interval '14 h' * sqrt(random()) AS at
	FROM generate_series(date_trunc('day', now()) - interval '61 days', now(), '1 day') d (day),
		generate_series(1, (28 * CASE WHEN extract(isodow FROM d.day) > 5 THEN 1.5 ELSE 1 END * (1 + 0.15 * extract(epoch FROM d.day - now()) / 5184000) * (0.85 + 0.3 * random()))::int)) o
WHERE at < now() - interval '20 min';

-- The same customers looked around before
INSERT INTO tiktok.event (source_id, event, event_id, event_time, enqueued_at, value, currency, match_keys, payload)
SELECT s.id, v.event, v.event || '-' || o.order_no || '-' || g, t.at, t.at + interval '0.3 s', CASE WHEN v.event = 'AddToCart' THEN o.total END, CASE WHEN v.event = 'AddToCart' THEN o.currency END,
	8 * (random() < 0.4)::int + 16 * (random() < 0.7)::int + 96 + (random() < 0.3)::int, '{}'
FROM tiktok.source s, month_orders o, (VALUES ('ViewContent', 8, 90), ('AddToCart', 3, 40), ('InitiateCheckout', 1, 15)) v (event, most, minutes),
	generate_series(1, v.most) g, LATERAL (SELECT o.at - (1 + v.minutes * random()) * interval '1 min' AS at OFFSET 0) t
WHERE s.name = 'shop' AND random() < 0.8;

INSERT INTO tiktok.event (source_id, event, event_id, event_time, enqueued_at, value, currency, match_keys, payload)
SELECT s.id, 'Purchase', o.order_no, o.at, o.at + interval '0.2 s', CASE WHEN :sick = 0 OR random() > 0.02 THEN o.total END, o.currency,
	1 + 2 * (random() < 0.6)::int + 4 + 8 * (random() < 0.35)::int + 16 * (random() < 0.7)::int + 96, '{}'
FROM tiktok.source s, month_orders o
WHERE s.name = 'shop' AND NOT (:sick = 1 AND o.at BETWEEN now() - interval '9 days' AND now() - interval '7 days 12 h');

-- Leads, of which some are qualified after a day, and some are won after a few more
INSERT INTO tiktok.event (source_id, event, event_id, event_time, enqueued_at, value, currency, match_keys, payload)
SELECT s.id, v.event, 'lead-' || l.n || '-' || v.event, t.at, t.at + interval '1 s', CASE WHEN v.event = 'Purchase' THEN round((900 + 2000 * l.luck)::numeric, 2) END,
	CASE WHEN v.event = 'Purchase' THEN 'EUR' END, 3, '{}'
FROM tiktok.source s, (SELECT n, now() - 60 * random() * interval '1 day' AS at, random() AS luck FROM generate_series(1, 700) n) l,
	(VALUES ('Lead', 1.0, 0.0), ('Qualified_Lead', 0.4, 1.2), ('Purchase', 0.12, 4.0)) v (event, share, days), LATERAL (SELECT l.at + v.days * (0.5 + l.luck) * interval '1 day' AS at) t
WHERE s.name = 'crm' AND l.luck < v.share AND t.at < now()
ORDER BY t.at;

INSERT INTO tiktok.delivery (id, request_id, status, reason, at)
SELECT d.id, NULL, d.status, CASE WHEN d.status = 'rejected' THEN 'code 40002' END, d.enqueued_at + CASE WHEN d.late < 0.01 THEN interval '40 min' WHEN d.late < 0.05 THEN interval '90 s' ELSE interval '2 s' END
FROM (SELECT e.id, e.enqueued_at, random() AS late,
		CASE WHEN e.event = 'Purchase' AND e.value > 0 AND e.event_id ~ '[37]$' AND :sick = 1 AND random() < 0.35 THEN 'rejected' WHEN e.source_id = s.id AND random() < 0.03 THEN 'suppressed' ELSE 'delivered' END AS status
	FROM tiktok.event e JOIN tiktok.source s ON s.name = 'shop' WHERE NOT EXISTS (SELECT FROM tiktok.delivery o WHERE o.id = e.id)) d;

INSERT INTO tiktok.pixel_seen (event_id, event, source_id, seen_at)
SELECT CASE WHEN :sick = 1 AND random() < 0.06 THEN 'px-' || o.order_no ELSE o.order_no END, 'Purchase', s.id, o.at + interval '1 s'
FROM tiktok.source s, month_orders o JOIN tiktok.event e ON e.event_id = o.order_no AND e.event = 'Purchase' JOIN tiktok.delivery d ON d.id = e.id
WHERE s.name = 'shop' AND d.status <> 'suppressed' AND random() < 0.75;

INSERT INTO tiktok.platform_count (source, day, event, browser, server)
SELECT 'shop', (o.at AT TIME ZONE 'UTC')::date, 'Purchase', round(0.74 * count(*)), count(*)
FROM month_orders o JOIN tiktok.event e ON e.event_id = o.order_no AND e.event = 'Purchase' JOIN tiktok.delivery d ON d.id = e.id AND d.status = 'delivered'
WHERE o.at > date_trunc('day', now()) - interval '30 days' AND o.at < date_trunc('day', now()) - interval '1 day'
GROUP BY 2;

CREATE VIEW month_paid AS SELECT order_no AS event_id, total AS value, currency, at FROM month_orders;
INSERT INTO tiktok.source_of_truth VALUES ('shop', 'Purchase', 'public.month_paid') ON CONFLICT (source, event) DO UPDATE SET relation = excluded.relation;
ANALYZE;
