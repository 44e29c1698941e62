-- amounts: value and prices in minor units, by the currency or by a divisor.
\pset format unaligned
\pset tuples_only on
\set VERBOSITY terse
INSERT INTO tiktok.source (name, event_source, event_source_id, currency_policy) VALUES ('shop', 'web', 'C1', 'without_value'), ('all', 'web', 'C2', 'send'), ('few', 'web', 'C3', 'refuse');
CREATE TABLE cents (id int PRIMARY KEY, amount numeric, currency text, contents jsonb, text text, email text DEFAULT 'a@example.com');
CREATE TRIGGER minor AFTER INSERT ON cents FOR EACH ROW EXECUTE FUNCTION tiktok.track_row('shop', 'Purchase', 'value=amount', 'currency=currency', 'contents=contents', 'amounts=''minor''', 'email=email', 'url=''https://example.com/''');
CREATE TRIGGER send AFTER INSERT ON cents FOR EACH ROW WHEN (NEW.currency = 'CLF') EXECUTE FUNCTION tiktok.track_row('all', 'Purchase', 'value=amount', 'currency=currency', 'amounts=''minor''', 'email=email', 'url=''https://example.com/''');
CREATE TRIGGER few AFTER INSERT ON cents FOR EACH ROW WHEN (NEW.currency = 'CLF') EXECUTE FUNCTION tiktok.track_row('few', 'Purchase', 'value=amount', 'currency=currency', 'amounts=''minor''', 'email=email', 'url=''https://example.com/''');
INSERT INTO cents (id, amount, currency, contents) VALUES (1, 4990, 'EUR', '[{"content_id": "A", "price": 1500, "quantity": 2}, {"content_id": "B", "price": "1990"}]'), (2, 1200, 'JPY', '[{"content_id": "A", "price": 1200}]'),
	(3, 12345, 'KWD', NULL), (4, NULL, 'KWD', '[{"content_id": "A", "price": 12345, "quantity": 2}]'), (5, 5, 'usd', NULL), (6, 0, 'EUR', NULL), (7, 1234.5, 'EUR', NULL), (8, 4990, NULL, NULL),
	(9, NULL, NULL, '[{"content_id": "A", "price": 5}]'), (10, NULL, NULL, '[{"content_id": "A"}]'), (11, 4990, 'EURO', NULL), (12, 10000, 'CLF', NULL), (13, -4990, 'EUR', NULL), (14, 'NaN', 'EUR', NULL), (15, 99999999999999, 'EUR', NULL),
	(16, 100000, 'BHD', '[{"content_id": "A", "price": -5}, {"content_id": "B", "price": 100000}]');
SELECT s.source, s.event_id, s.status, s.reason, s.value, s.currency, s.notes, e.payload #> '{properties,value}', e.payload #> '{properties,contents}' FROM tiktok.event_status s JOIN tiktok.event e USING (id) ORDER BY s.id;
-- a divisor; values of a function count, too
CREATE FUNCTION micros_event(c cents) RETURNS jsonb LANGUAGE sql AS $$ SELECT '{"contents": [{"content_id": "A", "price": 1500000}]}'::jsonb $$;
CREATE TABLE divisors (id int PRIMARY KEY, amount bigint, digits text);
DO $$
DECLARE
	d int;
BEGIN
	FOREACH d IN ARRAY '{1,10,100,1000,1000000}'::int[] LOOP
		EXECUTE format('CREATE TRIGGER d%s AFTER INSERT ON divisors FOR EACH ROW EXECUTE FUNCTION tiktok.track_row(''shop'', ''By_%1$s'', ''value=amount'', ''currency=''''JPY'''''', ''amounts=''''%1$s'''''', ''external_id=id'', ''url=''''https://example.com/'''''')', d);
	END LOOP;
END $$;
INSERT INTO divisors VALUES (1, 1500000), (2, 1);
SELECT event, event_id, value FROM tiktok.event_status WHERE event LIKE 'By%' ORDER BY id;
TRUNCATE tiktok.event, tiktok.identity, tiktok.delivery;
DROP TRIGGER minor ON cents;
CREATE TRIGGER "using" AFTER INSERT ON cents FOR EACH ROW EXECUTE FUNCTION tiktok.track_row('shop', 'Purchase', 'using=micros_event', 'currency=''EUR''', 'amounts=''1000000''', 'email=email', 'url=''https://example.com/''');
INSERT INTO cents (id) VALUES (20);
SELECT payload -> 'properties' FROM tiktok.event WHERE event_id = 'cents-20';
-- made by tiktok.create_trigger, with a query; and what it refuses
SELECT tiktok.create_trigger('cents', 'shop', 'AddToCart', '{"event_time": "now", "email": "email", "url": "''https://example.com/''", "amounts": 100}', query => $$SELECT new.amount * 2 AS value, 'EUR' AS currency$$) ~ 'amounts=''''100''''';
INSERT INTO cents (id, amount) VALUES (21, 1250);
SELECT value FROM tiktok.event_status WHERE event = 'AddToCart';
SELECT tiktok.create_trigger('cents', 'shop', 'Search', '{"event_time": "now", "email": "email", "url": "''https://example.com/''", "amounts": "''cents''"}');
SELECT tiktok.create_trigger('cents', 'shop', 'Search', '{"event_time": "now", "email": "email", "url": "''https://example.com/''", "amounts": 50}');
SELECT tiktok.create_trigger('cents', 'shop', 'Search', '{"event_time": "now", "email": "email", "url": "''https://example.com/''", "amounts": "currency"}');
-- the same in SQL
SELECT amount, currency, exponent, tiktok.from_minor(amount, currency, exponent) FROM (VALUES (4990, 'EUR', NULL), (1200, 'JPY', NULL), (12345, 'KWD', NULL), (12345, 'clf ', NULL), (4990, 'XYZ', NULL), (4990, NULL, NULL),
	(NULL, 'EUR', NULL), (4990, NULL, 6), (4990, 'JPY', 2), (-50, 'EUR', NULL), (12.5, 'EUR', NULL), (NULL, NULL, 2)) v (amount, currency, exponent);
-- the digits of ISO 4217: all that are not two, what was added or withdrawn lately, and what payment providers keep otherwise
SELECT scale(tiktok.from_minor(1, c)) AS digits, string_agg(c, ' ' ORDER BY c COLLATE "C") FROM unnest('{BIF,CLP,DJF,GNF,ISK,JPY,KMF,KRW,PYG,RWF,UGX,UYI,VND,VUV,XAF,XOF,XPF,BHD,IQD,JOD,KWD,LYD,OMR,TND,CLF,UYW,XAD,XCG,ZWG,SLE,VED,BGN,HRK,MGA,MRU,HUF,COP,IDR,CVE,TWD,BYR,CNH}'::text[]) c GROUP BY 1 ORDER BY 1;
SELECT tiktok.from_minor(1, 'EUR', -1);
SELECT tiktok.from_minor(1, 'EUR', 13);
TRUNCATE tiktok.event, tiktok.identity, tiktok.delivery;
DELETE FROM tiktok.source;
DROP FUNCTION micros_event CASCADE;
DROP TABLE cents, divisors CASCADE;
