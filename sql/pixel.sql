--
-- What a page has to contain: the Pixel's base code and the calls for one event.
--
\set SHOW_CONTEXT never
INSERT INTO tiktok.source (name, event_source, event_source_id, consent) VALUES
	('shop', 'web', 'CPIXEL0000000001', 'optional'),
	('strict', 'web', 'CPIXEL0000000002', 'required'),
	('store', 'offline', '7400000000000000001', 'optional');

SELECT tiktok.pixel_base_code('shop');
SELECT tiktok.pixel_base_code('strict') ~ 'holdConsent\(\);\s+queue\.load\("CPIXEL0000000002"\)' AS waits_for_consent;
SELECT tiktok.pixel_base_code('store');
SELECT tiktok.pixel_base_code('nowhere');

-- the same name, properties and event_id as what the worker posts
SELECT tiktok.track('shop', 'CompletePayment', 'SO-1', now(), '{"email": "Ada@Example.com", "phone": "+49 171 2345678"}',
	'{"value": 49.90, "currency": "eur", "contents": [{"content_id": "A-1", "content_name": "</script><b> & \u2028 \u2029 \"quoted\"", "quantity": 1, "price": 49.90}]}',
	'{"url": "https://shop.example/done"}') IS NOT NULL AS recorded;
SELECT tiktok.pixel_event('shop', 'CompletePayment', 'SO-1');
SELECT tiktok.pixel_event('shop', 'Purchase', 'SO-1') = tiktok.pixel_event('shop', 'CompletePayment', 'SO-1') AS final_name,
	tiktok.pixel_event('shop', 'Purchase', 'SO-1') !~ '[<>&\u2028\u2029]' AS safe_in_html,
	strpos(tiktok.pixel_event('shop', 'Purchase', 'SO-1'), tiktok.hash_email('ada@example.com')) > 0 AS email_hashed;

-- the argument instead of the waiting identifiers; the first of several
SELECT strpos(p, tiktok.hash_email('grace@example.com')) > 0 AS given, strpos(p, tiktok.hash_email('ada@example.com')) > 0 AS waiting
FROM tiktok.pixel_event('shop', 'Purchase', 'SO-1', '{"email": ["grace@example.com", "ada@example.com"]}') p;
SELECT tiktok.pixel_event('shop', 'Purchase', 'SO-1', '{"e_mail": "x"}');
SELECT tiktok.pixel_event('shop', 'Purchase', 'SO-1', '{"email": "none"}') ~ 'identify' AS identifies;

-- hostile names
SELECT tiktok.track('shop', 'Contact', 'x"</script>', now(), '{"email": "ada@example.com"}', NULL, '{"url": "https://shop.example/"}') IS NOT NULL AS recorded;
SELECT regexp_replace(tiktok.pixel_event('shop', 'Contact', 'x"</script>'), '.*\n', '');

-- what the database does not send, the browser does not
SELECT tiktok.track('strict', 'Contact', 'C-1', now(), '{"email": "ada@example.com"}', NULL, '{"url": "https://shop.example/"}') IS NOT NULL AS recorded;
SELECT tiktok.pixel_event('strict', 'Contact', 'C-1') = '' AS empty;
SELECT tiktok.pixel_event('shop', 'Contact', 'never recorded');
SELECT tiktok.pixel_event('store', 'Purchase', 'SO-1');

-- also in a query that could use parallel workers
SELECT count(set_config(name, 'on', false)) AS parallel FROM pg_settings WHERE name IN ('force_parallel_mode', 'debug_parallel_query');
SELECT tiktok.pixel_base_code('shop') IS NOT NULL AS base_code, tiktok.pixel_event('shop', 'Purchase', 'SO-1') <> '' AS event;
SELECT count(set_config(name, 'off', false)) AS parallel FROM pg_settings WHERE name IN ('force_parallel_mode', 'debug_parallel_query');

DELETE FROM tiktok.identity;
TRUNCATE tiktok.event, tiktok.delivery;
DELETE FROM tiktok.source;
