-- Reconciliation: your rows, our events, TikTok's counts; and who may read what.
\set SHOW_CONTEXT never
SET TimeZone = 'UTC';
INSERT INTO tiktok.source (id, name, event_source, event_source_id, max_event_age) VALUES (701, 'shop', 'web', 'C1', '100 years'), (702, 'other', 'web', 'C2', '100 years');

-- Orders of four days; what became of each is its note
CREATE TABLE orders (no text, value numeric, currency text, at timestamp, note text);
INSERT INTO orders VALUES
	('A1', 10, 'EUR', '2026-03-01 10:00', 'delivered'), ('A2', 20, 'EUR', '2026-03-01 11:00', 'delivered'), ('A3', 30, 'EUR', '2026-03-01 12:00', 'rejected'),
	('A4', 40, 'usd', '2026-03-01 13:00', 'delivered'), ('A5', 50, 'EUR', '2026-03-01 14:00', 'missing'), ('A6', 60, 'EUR', '2026-03-01 15:00', 'suppressed'),
	('B1', 1, 'EUR', '2026-03-02 00:00', 'delivered'), ('B2', 2, 'EUR', '2026-03-02 23:59:59', 'pending'), ('B3', 4, 'EUR', '2026-03-02 12:00', 'as Lead'),
	('B4', 8, NULL, '2026-03-02 12:00', 'invalid'), ('B5', 16, 'EUR', '2026-03-02 12:00', 'other source'), ('B6', 32, 'EUR', '2026-03-02 12:00', 'test'),
	('B1', 64, 'EUR', '2026-03-02 12:01', 'same key'), (NULL, 128, 'EUR', '2026-03-02 12:02', 'no key'),
	('C1', 7, 'EUR', '2026-03-03 00:00', 'delivered'), ('D1', 9, 'EUR', '2026-02-28 23:59', 'delivered late');
CREATE VIEW "Paid Orders" AS SELECT no AS event_id, value, currency, at FROM orders;

-- ids above those of other tests; the time of an event may differ from that of its row
INSERT INTO tiktok.event (source_id, event, event_id, event_time, enqueued_at, value, currency, test_code, payload)
	SELECT CASE note WHEN 'other source' THEN 702 ELSE 701 END, CASE note WHEN 'as Lead' THEN 'Lead' ELSE 'Purchase' END, no,
		CASE note WHEN 'delivered late' THEN '2026-03-01 00:10' ELSE at END, at + interval '2 hours', CASE WHEN note <> 'suppressed' THEN value END, upper(currency),
		CASE note WHEN 'test' THEN 'TEST1' END, CASE WHEN note NOT IN ('invalid', 'suppressed') THEN '{}'::json END
	FROM orders WHERE note NOT IN ('missing', 'same key', 'no key');
-- what was sent of A1 and A2 is not what the orders say
UPDATE tiktok.event SET value = 1000 WHERE event_id = 'A1';
UPDATE tiktok.event SET currency = 'GBP' WHERE event_id = 'A2';
INSERT INTO tiktok.event (source_id, event, event_id, event_time, enqueued_at, value, currency) VALUES
	(701, 'Purchase', 'X1', '2026-03-02 08:00', '2026-03-02 08:00', 5, 'EUR'), (701, 'Lead', 'L1', '2026-03-02 08:00', '2026-03-02 08:00', NULL, NULL);
INSERT INTO tiktok.delivery (id, status, reason, at)
	SELECT e.id, CASE WHEN o.note IN ('rejected', 'suppressed', 'invalid') THEN o.note ELSE 'delivered' END, NULL, e.enqueued_at
	FROM tiktok.event e LEFT JOIN orders o ON o.no = e.event_id AND o.note <> 'same key'
	WHERE e.source_id IN (701, 702) AND o.note IS DISTINCT FROM 'pending';

-- without a registered relation, and without counts
SELECT day, event, currency, your_rows, recorded, delivered, waiting AS wait, suppressed AS supp, not_accepted AS bad, missing, extra, value, value_sent AS sent, value_not_accepted AS lost
	FROM tiktok.reconcile('shop', '2026-03-01', '2026-03-03');
-- with both; B1's second row and the one without key are rows without an event
INSERT INTO tiktok.source_of_truth VALUES ('shop', 'Purchase', 'public."Paid Orders"');
COPY tiktok.platform_count FROM stdin;
shop	2026-03-01	Purchase	4	3	7	120.50
shop	2026-03-02	Purchase	6	5	0	\N
shop	2026-03-02	Lead	\N	2	2	\N
shop	2026-03-02	CompletePayment	9	0	9	\N
shop	2026-03-03	Purchase	1	1	2	\N
\.
SELECT day, event, currency, your_rows, recorded, delivered, waiting AS wait, suppressed AS supp, not_accepted AS bad, missing, extra, value, value_sent AS sent, value_not_accepted AS lost
	FROM tiktok.reconcile('shop', '2026-03-01', '2026-03-03');
SELECT day, event, currency, recorded, browser, server, tiktok_value FROM tiktok.reconcile('shop', '2026-03-01', '2026-03-03') WHERE browser IS NOT NULL OR server IS NOT NULL;
SELECT * FROM tiktok.differences('shop', '2026-03-01', '2026-03-03');
SELECT * FROM tiktok.bridge('shop', '2026-03-01', '2026-03-03');
-- days are those of the shop's time zone, in which a time without zone is, too
UPDATE tiktok.source SET time_zone = 'Asia/Tokyo' WHERE name = 'shop';
SELECT day, event, currency, your_rows, value FROM tiktok.reconcile('shop', '2026-03-01 00:00+09', '2026-03-02 00:00+09');
UPDATE tiktok.source SET time_zone = 'UTC' WHERE name = 'shop';
UPDATE tiktok.source SET time_zone = 'Berlin' WHERE name = 'shop';
-- days and rows outside do not count, whatever the caller's time zone
SET TimeZone = 'Asia/Tokyo';
SELECT day, event, currency, your_rows, value FROM tiktok.reconcile('shop', '2026-03-01 00:00Z', '2026-03-02 00:00Z');
SET TimeZone = 'UTC';
SELECT count(*) FROM tiktok.reconcile('other', '2026-03-05', '2026-03-06');

-- two sources of one Pixel are one to TikTok
INSERT INTO tiktok.source (id, name, event_source, event_source_id, max_event_age) VALUES (703, 'twin', 'web', 'C1', '100 years');
INSERT INTO tiktok.source_of_truth VALUES ('twin', 'Purchase', 'public."Paid Orders"');
SELECT (SELECT count(*) FROM tiktok.differences('twin', '2026-03-01', '2026-03-03')) = (SELECT count(*) FROM tiktok.differences('shop', '2026-03-01', '2026-03-03')) AS same;
UPDATE tiktok.event SET source_id = 703 WHERE event_id = 'A3';
SELECT cause, event_id FROM tiktok.differences('shop', '2026-03-01', '2026-03-03') WHERE event_id = 'A3';
UPDATE tiktok.event SET source_id = 701 WHERE event_id = 'A3';
DELETE FROM tiktok.source WHERE name = 'twin';

CREATE TABLE many (event_id text, value numeric, currency text, at timestamptz);
INSERT INTO many SELECT 'M' || g, 1, 'EUR', '2026-04-01 12:00Z' FROM generate_series(1, 12) g;
INSERT INTO tiktok.source_of_truth VALUES ('other', 'Purchase', 'public.many');

-- what is refused, with words
INSERT INTO tiktok.source_of_truth VALUES ('other', 'Lead', 'orders');
INSERT INTO tiktok.source_of_truth VALUES ('other', 'Lead', 'elsewhere.public.orders');
INSERT INTO tiktok.source_of_truth VALUES ('nobody', 'Lead', 'public.orders');
INSERT INTO tiktok.platform_count VALUES ('other', '2026-04-01', 'Lead', -1, 0, 0);
SELECT * FROM tiktok.reconcile('nobody');
SELECT * FROM tiktok.differences(NULL);
SELECT * FROM tiktok.bridge('nobody');
UPDATE tiktok.source_of_truth SET relation = 'public.gone' WHERE source = 'other';
SELECT * FROM tiktok.reconcile('other');
-- a name is a name, and no piece of SQL
UPDATE tiktok.source_of_truth SET relation = 'public.many; DROP TABLE public.many' WHERE source = 'other';
UPDATE tiktok.source_of_truth SET relation = 'public."many; DROP TABLE public.many"' WHERE source = 'other';
SELECT * FROM tiktok.reconcile('other');
UPDATE tiktok.source_of_truth SET relation = 'public.many', event = 'Purchase''; DROP TABLE public.many; --' WHERE source = 'other';
SELECT event, your_rows FROM tiktok.reconcile('other', '2026-04-01', '2026-04-02') WHERE your_rows IS NOT NULL;
SELECT count(*) FROM tiktok.health() WHERE check_name = 'source_of_truth';
ALTER TABLE many DROP COLUMN at, DROP COLUMN currency;
SELECT state, detail, hint FROM tiktok.health() WHERE check_name = 'source_of_truth';
SELECT * FROM tiktok.reconcile('other');

-- the rows are read as their owner, for whoever may read them
CREATE ROLE regress_tiktok_reader;
CREATE ROLE regress_tiktok_shop;
ALTER TABLE orders OWNER TO regress_tiktok_shop;
ALTER VIEW "Paid Orders" OWNER TO regress_tiktok_shop;
GRANT USAGE ON SCHEMA tiktok, tiktok_internal TO regress_tiktok_reader;
GRANT SELECT ON tiktok.source_of_truth, tiktok.platform_count, tiktok_internal.real_event, tiktok_internal.outcome, tiktok_internal.retried, tiktok_internal.truth_relation, tiktok_internal.sibling, tiktok_internal.event_of_id, tiktok_internal.pixel_report, tiktok_internal.source_health, tiktok_internal.trigger TO regress_tiktok_reader;
GRANT EXECUTE ON FUNCTION tiktok.reconcile, tiktok.differences, tiktok_internal.compare, tiktok_internal.compared, tiktok_internal.difference_causes, tiktok_internal.period, tiktok_internal.source_id, tiktok_internal.has_rows_elsewhere TO regress_tiktok_reader;
SET ROLE regress_tiktok_reader;
SELECT count(*) FROM tiktok.reconcile('shop', '2026-03-01', '2026-03-03');
SELECT count(*) FROM tiktok.differences('shop', '2026-03-01', '2026-03-03');
INSERT INTO tiktok.source_of_truth VALUES ('shop', 'Lead', 'pg_catalog.pg_authid');
RESET ROLE;
GRANT SELECT ON "Paid Orders" TO regress_tiktok_reader;
SET ROLE regress_tiktok_reader;
SELECT count(*) FROM tiktok.reconcile('shop', '2026-03-01', '2026-03-03');
SELECT count(*) FROM tiktok.event;
RESET ROLE;
DROP OWNED BY regress_tiktok_reader;
DROP ROLE regress_tiktok_reader;

-- a renamed source keeps what belongs to it
UPDATE tiktok.source SET name = 'store' WHERE name = 'shop';
SELECT count(*) FROM tiktok.source_of_truth WHERE source = 'store';
SELECT sum(browser) FROM tiktok.reconcile('store', '2026-03-01', '2026-03-03');

DROP VIEW "Paid Orders";
DROP TABLE orders, many;
DROP ROLE regress_tiktok_shop;
TRUNCATE tiktok.retry, tiktok.event, tiktok.identity, tiktok.delivery, tiktok.request;
DELETE FROM tiktok.source;
SELECT (SELECT count(*) FROM tiktok.source_of_truth), (SELECT count(*) FROM tiktok.platform_count);
