-- tiktok.track(): bad input is an error with SQLSTATE and hint, and nothing is stored.
\set SHOW_CONTEXT never
INSERT INTO tiktok.source (name, event_source, event_source_id, consent) VALUES
	('shop', 'web', 'C1', 'optional'), ('app', 'app', '74001', 'optional'), ('store', 'offline', '74002', 'optional'),
	('crm', 'crm', '74003', 'optional'), ('careful', 'web', 'C2', 'required');

CREATE FUNCTION pg_temp.sqlstate_of(call text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	detail text;
	hint text;
BEGIN
	EXECUTE 'SELECT ' || call;
	RETURN 'ok';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
	RETURN concat_ws(' | ', sqlstate, sqlerrm, nullif(detail, ''), nullif(hint, ''));
END $$;

SELECT pg_temp.sqlstate_of(format('tiktok.track(%s)', call)) FROM (VALUES
	($$'nobody', 'Purchase', 'o1'$$),
	($$NULL, 'Purchase', 'o1'$$),
	($$'shop', NULL, 'o1'$$),
	($$'shop', '', 'o1'$$),
	($$'shop', 'purchase', 'o1', user_data => '{"external_id": 1}', page => '{"url": "https://example.com/"}'$$),
	($$'shop', 'complete payment', 'o1'$$),
	($$'shop', 'Checkout', 'o1', user_data => '{"external_id": 1}', page => '{"url": "https://example.com/"}'$$),
	($$'store', 'My_Event', 'o1', user_data => '{"email": "a@example.com"}'$$),
	($$'shop', 'Purchase', 'o1', user_data => '{"external_id": 1}'$$),
	($$'shop', 'Purchase', 'o1', page => '{"url": "https://example.com/"}'$$),
	($$'shop', 'Purchase', 'o1', user_data => '{"emial": "a@example.com"}'$$),
	($$'shop', 'Purchase', 'o1', user_data => '{"ana@example.com": "email", "+49 30 23125123": "phone"}'$$),
	($$'shop', 'Purchase', 'o1', user_data => '[1]'$$),
	($$'shop', 'Purchase', 'o1', properties => '{"valeu": 1}'$$),
	($$'shop', 'Purchase', 'o1', properties => '{"value": 1}', user_data => '{"external_id": 1}', page => '{"url": "https://example.com/"}'$$),
	($$'shop', 'Purchase', 'o1', properties => '{"value": -1, "currency": "EUR"}', user_data => '{"external_id": 1}', page => '{"url": "https://example.com/"}'$$),
	($$'shop', 'Purchase', 'o1', properties => '{"value": "NaN", "currency": "EUR"}', user_data => '{"external_id": 1}', page => '{"url": "https://example.com/"}'$$),
	($$'shop', 'Purchase', 'o1', properties => '{"value": 1e15, "currency": "EUR"}', user_data => '{"external_id": 1}', page => '{"url": "https://example.com/"}'$$),
	($$'shop', 'Purchase', 'o1', properties => '{"value": 1, "currency": "ZZZ"}', user_data => '{"external_id": 1}', page => '{"url": "https://example.com/"}'$$),
	($$'shop', 'Purchase', 'o1', properties => '{"contents": {}}', user_data => '{"external_id": 1}', page => '{"url": "https://example.com/"}'$$),
	($$'shop', 'Purchase', 'o1', properties => '{"value": "1.299", "currency": "EUR"}', user_data => '{"external_id": 1}', page => '{"url": "https://example.com/"}'$$),
	($$'shop', 'Purchase', 'ä', user_data => '{"external_id": 1}', page => '{"url": "https://example.com/"}'$$),
	($$'shop', 'Purchase', repeat('x', 129), user_data => '{"external_id": 1}', page => '{"url": "https://example.com/"}'$$),
	($$'shop', 'Purchase', 'o1', now() + '1 hour', user_data => '{"external_id": 1}', page => '{"url": "https://example.com/"}'$$),
	($$'shop', 'Purchase', 'o1', 'infinity', user_data => '{"external_id": 1}', page => '{"url": "https://example.com/"}'$$),
	($$'shop', 'Purchase', 'o1', limited_data_use => true, user_data => '{"external_id": 1}', page => '{"url": "https://example.com/"}'$$),
	($$'store', 'Purchase', 'o1', user_data => '{"external_id": 1}'$$),
	($$'crm', 'Qualified', 'o1', user_data => '{"email": "a@example.com"}'$$),
	($$'app', 'Purchase', 'o1', user_data => '{"email": "a@example.com"}'$$)
) v(call);
SELECT count(*) FROM tiktok.event;

-- malformed JSON does not reach us
SELECT tiktok.track('shop', 'Purchase', 'o1', user_data => '{"email": ');

-- what cannot be used is left out and noted
SELECT tiktok.track('shop', 'Purchase', 'o2', user_data => '{"email": "not-an-address", "phone": "abc", "external_id": " user_123 ", "gaid": "x"}',
	page => '{"url": "https://example.com/"}') AS id \gset
SELECT status, notes FROM tiktok.event_status WHERE id = :id;
SELECT user_data FROM tiktok.identity WHERE id = :id;
SELECT payload FROM tiktok.event WHERE id = :id;

-- no consent, and too old: recorded as what they are
SELECT tiktok.track('careful', 'Purchase', 'o3', user_data => '{"email": "a@example.com"}', page => '{"url": "https://example.com/"}') IS NOT NULL AS recorded;
SELECT tiktok.track('careful', 'Purchase', 'o4', consent => true, user_data => '{"email": "a@example.com"}', page => '{"url": "https://example.com/"}') IS NOT NULL AS recorded;
SELECT tiktok.track('shop', 'Purchase', 'o5', consent => false, user_data => '{"email": "a@example.com"}', page => '{"url": "https://example.com/"}') IS NOT NULL AS recorded;
SELECT tiktok.track('shop', 'Purchase', 'o6', now() - interval '8 days', user_data => '{"email": "a@example.com"}', page => '{"url": "https://example.com/"}') IS NOT NULL AS recorded;
SELECT source, event_id, status, reason, attempts FROM tiktok.event_status WHERE event_id ~ 'o[3-6]' ORDER BY event_id;
SELECT event_id, payload IS NOT NULL AS payload, EXISTS (SELECT FROM tiktok.identity i WHERE i.id = e.id) AS identity FROM tiktok.event e WHERE event_id ~ 'o[3-6]' ORDER BY event_id;

-- the same key twice gives the first id; a key that was never sent is free again
SELECT tiktok.track('shop', 'Purchase', 'o2', user_data => '{"email": "b@example.com"}', page => '{"url": "https://example.com/"}') = :id AS same;
SELECT tiktok.track('shop', 'Purchase', 'o5', user_data => '{"email": "a@example.com"}', page => '{"url": "https://example.com/"}') IS NOT NULL AS recorded;
SELECT source, event_id, status, reason FROM tiktok.event_status WHERE event_id = 'o5';
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT tiktok.track('shop', 'Purchase', 'o2', user_data => '{"email": "b@example.com"}', page => '{"url": "https://example.com/"}') = :id AS same;
COMMIT;
SELECT count(*) FROM tiktok.event WHERE event_id = 'o2';
SELECT count(*) FROM (SELECT tiktok.track('shop', 'Purchase', 'o7', user_data => '{"email": "b@example.com"}', page => '{"url": "https://example.com/"}') AS id FROM generate_series(1, 3) GROUP BY 1) one_id;

-- ids that were not given
SELECT tiktok.track('crm', 'Qualified_Lead', NULL, lead => '{"lead_id": 7412345678901234567}') AS id \gset
SELECT event_id FROM tiktok.event WHERE id = :id;
SELECT tiktok.track('shop', 'Purchase', '', properties => '{"order_id": "SO-9"}', user_data => '{"external_id": 1}', page => '{"url": "https://example.com/"}') AS id \gset
SELECT event_id FROM tiktok.event WHERE id = :id;
SELECT tiktok.track('shop', 'Purchase', NULL, user_data => '{"external_id": 1}', page => '{"url": "https://example.com/"}') AS id \gset
SELECT event_id ~ '^[0-9a-f-]{36}$' AS uuid FROM tiktok.event WHERE id = :id;

-- legacy names
SELECT tiktok.track('shop', 'CompletePayment', 'o8', user_data => '{"external_id": 1}', page => '{"url": "https://example.com/"}') IS NOT NULL AS recorded;
SELECT event FROM tiktok.event WHERE event_id = 'o8';

-- where nothing can be written
BEGIN READ ONLY;
SELECT tiktok.track('shop', 'Purchase', 'o9', user_data => '{"external_id": 1}', page => '{"url": "https://example.com/"}');
ROLLBACK;

-- TikTok's published vectors, through the door
SELECT key, value FROM jsonb_each_text(tiktok.preview('shop', 'CompleteRegistration', 'v', user_data => '{"email": " ALICE_abc@gmail.com ",
	"phone": "(+1)2133734253", "external_id": "user_123", "first_name": "Jane", "zip_code": "95110", "country": "US"}',
	page => '{"url": "https://example.com/"}') -> 'user');
SELECT tiktok.preview('shop', 'CompleteRegistration', 'v', user_data => '{"external_id": 1, "zip_code": "M5V 3L9", "country": "CA"}',
	page => '{"url": "https://example.com/"}') #>> '{user,zip_code}' AS zip_code_ca;
SELECT tiktok.preview('app', 'Login', 'v', user_data => '{"idfa": "ea7583cd-a667-48bc-b806-42ecb2b48606", "gaid": "AAAAAA-2222-1111-8787-809e92233ba0"}',
	app => '{"app_id": "com.example"}') -> 'user' AS raw;

TRUNCATE tiktok.event, tiktok.identity, tiktok.delivery;
DELETE FROM tiktok.source;
