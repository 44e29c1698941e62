-- What a value means: padding, words of consent, amounts, currencies, lines of the basket, times as text. Nothing is sent here: no source has a token.
\set VERBOSITY terse
SET TimeZone = 'UTC';
INSERT INTO tiktok.source (id, name, event_source, event_source_id, require_lead_id, max_event_age, currency_policy) VALUES
	(981, 'shop', 'web', 'C1', true, '100 years', DEFAULT), (982, 'sends', 'web', 'C2', true, NULL, 'send'), (983, 'refuses', 'web', 'C3', true, NULL, 'refuse'),
	(984, 'crm', 'crm', '7401', false, NULL, DEFAULT), (985, 'app', 'app', '7402', true, NULL, DEFAULT);
SELECT name, currency_policy FROM tiktok.source ORDER BY id;
UPDATE tiktok.source SET currency_policy = 'ignore';

--
-- The padding of character(n) is no part of a value
--
CREATE DOMAIN code AS char(10);
CREATE TABLE padded (order_no char(10) PRIMARY KEY, number code, parts char(6)[], agreed char(12), email char(40), doc jsonb);
CREATE FUNCTION padded_event(p padded) RETURNS jsonb LANGUAGE sql AS $$ SELECT jsonb_build_object('event_id', p.order_no) $$;
CREATE TRIGGER a AFTER INSERT ON padded FOR EACH ROW EXECUTE FUNCTION tiktok.track_row('shop', 'Purchase', 'event_id=order_no', 'order_id=order_no', 'shop_id=number', 'content_ids=parts', 'consent=agreed', 'email=email', 'url=''https://example.com/''');
CREATE TRIGGER b AFTER INSERT ON padded FOR EACH ROW EXECUTE FUNCTION tiktok.track_row('shop', 'AddToCart', 'event_id=number', 'email=email', 'url=''https://example.com/''');
CREATE TRIGGER c AFTER INSERT ON padded FOR EACH ROW EXECUTE FUNCTION tiktok.track_row('shop', 'Contact', 'event_id=doc.order_no', 'email=doc.email', 'url=''https://example.com/''');
CREATE TRIGGER d AFTER INSERT ON padded FOR EACH ROW EXECUTE FUNCTION tiktok.track_row('shop', 'Lead', 'using=padded_event', 'email=email', 'url=''https://example.com/''');
CREATE TRIGGER e AFTER INSERT ON padded FOR EACH ROW EXECUTE FUNCTION tiktok.track_row('shop', 'Search', 'email=email', 'url=''https://example.com/''');
INSERT INTO padded VALUES ('SO-1', 'N-1', '{A,B}', 'yes', 'a@example.com', '{}'), ('SO 2', 'N 2', NULL, 'no', 'a@example.com', '{}');
UPDATE padded SET doc = to_jsonb(padded) - 'doc';
INSERT INTO padded SELECT 'SO-3', 'N-3', NULL, '', 'a@example.com', doc FROM padded WHERE order_no = 'SO-1';
SELECT p.order_no, e.event, '[' || e.event_id || ']' AS event_id, e.status, e.reason, e.notes FROM tiktok.event_status e JOIN padded p ON e.event_id ~ trim(p.order_no) OR e.event_id ~ trim(p.number) ORDER BY e.id;
SELECT e.payload -> 'properties' AS properties, i.user_data FROM tiktok.event e JOIN tiktok.identity i USING (id) WHERE event = 'Purchase';
-- the same event by a call
SELECT tiktok.track('shop', 'Purchase', order_no, user_data => jsonb_build_object('email', email), page => '{"url": "https://example.com/"}') = (SELECT id FROM tiktok.event WHERE event_id = 'SO-1' AND event = 'Purchase') AS same FROM padded WHERE order_no = 'SO-1';
SELECT '[' || (tiktok.preview('shop', 'Purchase', order_no, user_data => jsonb_build_object('email', email), page => '{"url": "https://example.com/"}') ->> 'event_id') || ']' FROM padded WHERE order_no = 'SO-1';
-- stages, and keys of several columns
INSERT INTO tiktok.lead_stage VALUES ('crm', 'won', 'Won', 1);
CREATE TABLE deal (a char(6), b char(4), stage char(8), email text DEFAULT 'a@example.com', PRIMARY KEY (a, b));
CREATE TRIGGER t AFTER INSERT OR UPDATE ON deal FOR EACH ROW EXECUTE FUNCTION tiktok.track_row('crm', '=stage', 'email=email');
INSERT INTO deal VALUES ('x', 'y', 'won'), ('x y', 'z', 'lost');
SELECT event, event_id, status FROM tiktok.event_status WHERE source = 'crm';
SELECT stage, no_mapping FROM tiktok.unmapped_stage WHERE source = 'crm';
TRUNCATE tiktok.event, tiktok.identity, tiktok.delivery;

--
-- Consent
--
CREATE TABLE words (word text, doc jsonb, n serial PRIMARY KEY);
CREATE TRIGGER t AFTER INSERT ON words FOR EACH ROW WHEN (NEW.doc IS NULL) EXECUTE FUNCTION tiktok.track_row('shop', 'Lead', 'consent=word', 'email=''a@example.com''', 'url=''https://example.com/''');
CREATE TRIGGER d AFTER INSERT ON words FOR EACH ROW WHEN (NEW.doc IS NOT NULL) EXECUTE FUNCTION tiktok.track_row('shop', 'Lead', 'consent=doc.c', 'email=''a@example.com''', 'url=''https://example.com/''');
INSERT INTO words SELECT unnest(ARRAY['Granted', ' opt-in ', 'SUBSCRIBED', 'y', 'denied', 'opt-out', 'unsubscribed', 'off', '', '  ', NULL, 'pending', 'tru', 'yes please']);
INSERT INTO words SELECT c::text, jsonb_build_object('c', c) FROM jsonb_array_elements('[true, false, 1, 0, 2, "granted", "denied", "?", " ", null, [], {}]') c;
SELECT w.word, e.status, e.reason, e.notes FROM words w JOIN tiktok.event_status e ON e.event_id = 'words-' || n ORDER BY n;
SELECT check_name, state, detail, hint FROM tiktok.health() WHERE check_name = 'consent_words';
TRUNCATE tiktok.event, tiktok.identity, tiktok.delivery;

--
-- Amounts
--
CREATE TABLE sale (n serial PRIMARY KEY, source text DEFAULT 'shop', words text, number numeric, gross numeric(12,2), net numeric GENERATED ALWAYS AS (gross / 1.19) STORED, currency text DEFAULT 'EUR', items jsonb);
CREATE TRIGGER words AFTER INSERT ON sale FOR EACH ROW WHEN (NEW.words IS NOT NULL) EXECUTE FUNCTION tiktok.track_row('shop', 'Purchase', 'value=words', 'currency=currency', 'email=''a@example.com''', 'url=''https://example.com/''');
CREATE TRIGGER number AFTER INSERT ON sale FOR EACH ROW WHEN (NEW.number IS NOT NULL AND NEW.source = 'shop') EXECUTE FUNCTION tiktok.track_row('shop', 'Purchase', 'value=number', 'currency=currency', 'contents=items', 'email=''a@example.com''', 'url=''https://example.com/''');
CREATE TRIGGER sends AFTER INSERT ON sale FOR EACH ROW WHEN (NEW.source = 'sends') EXECUTE FUNCTION tiktok.track_row('sends', 'Purchase', 'value=number', 'currency=currency', 'contents=items', 'email=''a@example.com''', 'url=''https://example.com/''');
CREATE TRIGGER refuses AFTER INSERT ON sale FOR EACH ROW WHEN (NEW.source = 'refuses') EXECUTE FUNCTION tiktok.track_row('refuses', 'Purchase', 'value=number', 'currency=currency', 'contents=items', 'email=''a@example.com''', 'url=''https://example.com/''');
CREATE TRIGGER app AFTER INSERT ON sale FOR EACH ROW WHEN (NEW.source = 'app') EXECUTE FUNCTION tiktok.track_row('app', 'Purchase', 'value=number', 'currency=currency', 'contents=items', 'email=''a@example.com''', 'app_id=''1''');
CREATE TRIGGER net AFTER INSERT ON sale FOR EACH ROW WHEN (NEW.net IS NOT NULL) EXECUTE FUNCTION tiktok.track_row('shop', 'Purchase', 'value=net', 'currency=currency', 'email=''a@example.com''', 'url=''https://example.com/''');
-- the quotient of two numerics: what is sent is the same double
INSERT INTO sale (gross) VALUES (49.90), (119.00), (0.01), (9.99), (99999999.99), (1234.56);
SELECT s.gross, s.net, e.status, e.value, e.value::float8 = s.net::float8 AS same_double FROM sale s JOIN tiktok.event_status e ON e.event_id = 'sale-' || n ORDER BY n;
-- a thousand, or a fraction?
INSERT INTO sale (words, currency) SELECT w, c FROM unnest('{1.299,"12.000 ",999.999,1.29,1.2999,0.999,1299.000,"1,299",1.299}'::text[], '{EUR,EUR,JPY,EUR,EUR,EUR,EUR,EUR,KWD}'::text[]) u (w, c);
INSERT INTO sale (number) VALUES (1.299);
SELECT coalesce(s.words, s.number || ' of a numeric') AS given, s.currency, e.status, e.reason, e.value FROM sale s JOIN tiktok.event_status e ON e.event_id = 'sale-' || n WHERE gross IS NULL ORDER BY n;
TRUNCATE tiktok.event, tiktok.identity, tiktok.delivery;

-- currencies that TikTok does not take: by the source's choice; what is none is refused
INSERT INTO sale (source, number, currency, items) SELECT s, 1234, c, '[{"content_id": "A", "price": 617, "quantity": 2}]'
	FROM unnest('{shop,sends,refuses,app}'::text[]) s, unnest('{eur,lkr,BGN,ZZZ,Euro}'::text[]) c;
SELECT e.source, s.currency AS given, e.status, e.reason, e.notes, e.value, e.currency, v.payload -> 'properties' AS properties
FROM sale s JOIN tiktok.event_status e ON e.event_id = 'sale-' || n JOIN tiktok.event v USING (id) ORDER BY e.id;
SELECT source, problem, count(*), min(hint) AS hint FROM tiktok.value_problems GROUP BY 1, 2 ORDER BY source, problem;
SELECT check_name, state, detail, hint FROM tiktok.health() WHERE check_name = 'currency' ORDER BY detail;
TRUNCATE tiktok.event, tiktok.identity, tiktok.delivery;

-- lines that cannot be sent are left out, and the Purchase goes
INSERT INTO sale (number, items) SELECT 10, c FROM unnest(ARRAY['[{"content_id": "A", "price": 5, "quantity": 2}, {"content_id": "B", "price": -1, "quantity": 1}]',
	'[{"content_id": "A", "price": 5, "quantity": 0}]', '[{"content_id": "A", "price": 4, "quantity": 2.5}]', '[{"price": 10}, "x", null]']::jsonb[]) c;
SELECT s.items, e.status, e.notes, v.payload -> 'properties' AS properties FROM sale s JOIN tiktok.event_status e ON e.event_id = 'sale-' || n JOIN tiktok.event v USING (id) ORDER BY e.id;
TRUNCATE tiktok.event, tiktok.identity, tiktok.delivery;

--
-- Times as text: the same instant as PostgreSQL's own cast, whatever the settings of the session; no word reaches that
--
CREATE TABLE moment (n serial PRIMARY KEY, words text, number bigint);
CREATE TRIGGER a AFTER INSERT ON moment FOR EACH ROW WHEN (NEW.words IS NOT NULL) EXECUTE FUNCTION tiktok.track_row('shop', 'Lead', 'event_time=words', 'email=''a@example.com''', 'url=''https://example.com/''');
CREATE TRIGGER b AFTER INSERT ON moment FOR EACH ROW WHEN (NEW.number IS NOT NULL) EXECUTE FUNCTION tiktok.track_row('shop', 'Lead', 'event_time=number', 'email=''a@example.com''', 'url=''https://example.com/''');
SET TimeZone = 'Asia/Kolkata';
SET DateStyle = 'German, DMY';
SET timezone_abbreviations = 'India';
INSERT INTO moment (words) SELECT unnest(ARRAY['2025-11-29 10:11:12 +0000', '2025-11-29 10:11:12+00', '2025-11-29T10:11:12Z', '2025-11-29T10:11:12.5Z', '2025-11-29 10:11:12 UTC', '2025-11-29 10:11:12 gmt', '2025-11-29 10:11',
	'2025-11-29', '2025/11/29 10:11:12', '20251129', '20251129T101112Z', '20251129T101112+0130', '20251129 101112', '2025-11-29 10:11:12.9999996', '2025-11-29 10:11:12.123456789+00',
	'2025-11-29 10:11:12 +05:30', '2025-11-29 10:11:12-0330', '2025-11-29 10:11:12+05:30:15', 'Sat, 29 Nov 2025 10:11:12 GMT', '29 Nov 2025 10:11:12 +0100', '1 Dec 2025', '2025-11-29Z', '2025-11-29+02:00', '2025-11-29 24:00:00', '2024-02-29 23:59:60',
	'  2025-11-29 10:11:12 ']);
SET TimeZone = 'UTC';
RESET DateStyle;
SELECT m.words, e.status, e.event_time = m.words::timestamptz AS as_cast, CASE WHEN e.event_time <> m.words::timestamptz THEN e.event_time END AS differs FROM moment m JOIN tiktok.event_status e ON e.event_id = 'moment-' || n ORDER BY n;
TRUNCATE tiktok.event, tiktok.identity, tiktok.delivery;
-- forms that the cast does not take, as ISO 8601 has them
INSERT INTO moment (words) VALUES ('2025-11-29T10'), ('2025-11-29T1011'), ('2025-11-29T10Z'), ('20251129T1011Z'), ('2025-11-29 10:11:12,5'), ('2025-11-29, 10:11:12'), (E'2025-11-29T10:11:12Z\r'), ('20251129101112'), ('20251301');
INSERT INTO moment (number) VALUES (20251129), (20251129101112), (1764411072), (20251329);
SELECT coalesce(m.words, m.number::text) AS given, e.status, e.event_time FROM moment m JOIN tiktok.event_status e ON e.event_id = 'moment-' || n WHERE e.status <> 'invalid' ORDER BY n;
TRUNCATE tiktok.event, tiktok.identity, tiktok.delivery;
-- no point in time, and no error: IST is India's time in this session
SHOW timezone_abbreviations;
INSERT INTO moment (words) VALUES ('2025-11-29 10:11:12 Foo/Bar'), ('2025-11-29 10:11:12 IST'), ('2025-11-29 10:11:12 Europe/Berlin'), ('2025-11-29T10:11:12 EST5EDT'), ('2025-11-29 10:11:12 UTC+2'), ('01/02/2025'), ('29.11.2025'), ('now'), ('yesterday'),
	('epoch'), ('2025-02-29'), ('2025-13-01'), ('2025-11-29 25:00'), ('2025-11-29 24:00:01'), ('2025-11-29 10:60'), ('2025-11-29T'), ('2025-11-29 10:11:12 +16'), ('2025-11-29 10'), ('2025-11-29 10:11:12.'), ('Sat 29 Foo 2025'), ('0000-01-01'),
	('2025-11-29 10:11:12 BC'), ('J2460000'), ('2025-11-29T10:11:12Z2'), ('2025-11-2910:11');
SELECT count(*) FILTER (WHERE e.reason = 'event_time') AS invalid, count(*), string_agg(m.words, '; ' ORDER BY n) FILTER (WHERE e.reason IS DISTINCT FROM 'event_time') AS others
FROM moment m JOIN tiktok.event_status e ON e.event_id = 'moment-' || n;

TRUNCATE tiktok.event, tiktok.identity, tiktok.delivery;
DELETE FROM tiktok.lead_stage;
DELETE FROM tiktok.source;
DROP FUNCTION padded_event;
DROP TABLE padded, deal, words, sale, moment;
DROP DOMAIN code;
