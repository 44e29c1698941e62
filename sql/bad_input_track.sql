-- Bad input at the first door, tiktok.track(): an error that says what to mend, or the key left out and noted.
-- tiktok.preview must judge the same.
\set SHOW_CONTEXT never
INSERT INTO tiktok.source (name, event_source, event_source_id, default_calling_code, rename_legacy_events) VALUES
	('shop', 'web', 'C1', NULL, true), ('german', 'web', 'C2', 'DE', true), ('american', 'web', 'C3', '1', true), ('old', 'web', 'C4', NULL, false),
	('app', 'app', '74001', NULL, true), ('store', 'offline', '74002', NULL, true), ('crm', 'crm', '74003', NULL, true);

-- what is not printable ASCII as <code>, what is long by its length
CREATE FUNCTION plain(given text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
	SELECT string_agg(CASE WHEN c COLLATE "C" BETWEEN ' ' AND '~' THEN c ELSE '<' || lpad(to_hex(ascii(c)), 4, '0') || '>' END, '' ORDER BY n)
	FROM string_to_table(CASE WHEN length(given) > 260 THEN left(given, 60) || '... (' || length(given) || ')' ELSE given END, NULL) WITH ORDINALITY AS x(c, n)
$$;

CREATE FUNCTION attempt(call text, OUT result text, OUT outcome text, OUT why text) LANGUAGE plpgsql AS $$
DECLARE
	hint text;
BEGIN
	EXECUTE 'SELECT ' || call INTO result;
	outcome := 'ok';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS why = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
	why := concat_ws(' Hint: ', nullif(why, ''), nullif(hint, ''));
	outcome := concat_ws(' ', sqlstate, coalesce(substring(sqlerrm FROM '^event "[^"]*" cannot be sent: (.*)$'), sqlerrm));
END $$;

-- %id is an event_id, %page a page; "why" is detail and hint of the error, or the notes
CREATE FUNCTION door(n int, args text, OUT outcome text, OUT why text, OUT identity text, OUT properties text) LANGUAGE plpgsql AS $$
DECLARE
	shown record;
	stored record;
	event_row bigint;
BEGIN
	args := replace(replace(args, '%id', quote_literal('case-' || n)), '%page', $p$'{"url": "https://shop.example.com/"}'$p$);
	SELECT * INTO shown FROM attempt(format('tiktok.preview(%s)', args));
	SELECT * INTO stored FROM attempt(format('tiktok.track(%s)', args));
	outcome := stored.outcome;
	why := plain(stored.why);
	IF stored.outcome = 'ok' THEN
		event_row := stored.result;
		SELECT concat_ws(' ', s.status, s.reason), plain(s.notes), plain(i.user_data::text), plain(e.payload ->> 'properties') INTO outcome, why, identity, properties
		FROM tiktok.event_status s JOIN tiktok.event e USING (id) LEFT JOIN tiktok.identity i USING (id) WHERE s.id = event_row;
	END IF;
	IF shown.outcome <> stored.outcome OR shown.why IS DISTINCT FROM stored.why OR (shown.result IS NULL) <> (outcome <> 'pending') THEN
		outcome := format('%s (preview: %s)', outcome, shown.outcome);
	END IF;
END $$;
CREATE TABLE cases (n int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, topic text, what text, args text);
SET client_min_messages = warning;

--
-- Identifiers: one that cannot be used is left out, the event goes with the others
--
INSERT INTO cases (topic, what, args) SELECT 'email', what, format($$'shop', 'ViewContent', %%id, user_data => jsonb_build_object('ttp', 'T', 'email', %s), page => %%page$$, email) FROM (VALUES
	('null', $$NULL$$), ('empty', $$''$$), ('blank', $$'   '$$),
	('no address', $$'not-an-email'$$), ('no domain', $$'a@'$$), ('no name', $$'@b'$$), ('two signs', $$'a@@b'$$), ('blank inside', $$'a b@c.d'$$),
	('blanks around, mixed case', $$E'  John@Example.COM \t\n'$$), ('the same, plain', $$'john@example.com'$$),
	('dotted capital I', $$U&'\0130STANBUL@Example.com'$$), ('sharp s', $$U&'STRA\00DFE@Example.com'$$), ('umlaut in capitals', $$U&'\00C4RGER@Example.com'$$),
	('composed', $$U&'jos\00E9@example.com'$$), ('decomposed', $$U&'jose\0301@example.com'$$),
	('zero-width space around', $$U&'\200Ba@example.com\FEFF'$$), ('no-break space around', $$U&'\00A0a@example.com\00A0'$$), ('zero-width space inside', $$U&'a\200Bb@example.com'$$),
	('right-to-left override inside', $$U&'a\202Eb@example.com'$$), ('no-break space inside', $$U&'a\00A0b@example.com'$$), ('line break inside', $$E'a\nb@example.com'$$),
	('punycode domain', $$'a@XN--BCHER-KVA.example'$$), ('international domain', $$U&'a@B\00DCCHER.example'$$),
	('320 characters', $$repeat('x', 308) || '@example.com'$$), ('321 characters', $$repeat('x', 309) || '@example.com'$$), ('1 MB', $$repeat('x', 1000000) || '@example.com'$$),
	('SHA-256', $$'5DF943BFBFE279B58CB1529925288D98E63D15C7E4928782AFB2B1973B5CAB4F'$$), ('SHA-256 with a wrong digit', $$'5DF943BFBFE279B58CB1529925288D98E63D15C7E4928782AFB2B1973B5CAB4G'$$),
	('MD5', $$'d41d8cd98f00b204e9800998ecf8427e'$$), ('SHA-1', $$'da39a3ee5e6b4b0d3255bfef95601890afd80709'$$), ('SHA-256 of nothing', $$'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'$$),
	('word for nothing', $$'undefined'$$), ('number', $$42$$), ('boolean', $$true$$), ('object', $$'{"a": 1}'::jsonb$$),
	('array', $$'["b@example.com", null, "", "B@example.com", "nonsense", "c@example.com"]'::jsonb$$), ('too many', $$'["a@b.ex", "b@b.ex", "c@b.ex", "d@b.ex", "e@b.ex", "f@b.ex"]'::jsonb$$)) v(what, email);
SELECT what, d.outcome, d.why, d.identity FROM cases, door(n, args) d WHERE topic = 'email' ORDER BY n;

INSERT INTO cases (topic, what, args) SELECT 'phone', what, format($$%L, 'ViewContent', %%id, user_data => jsonb_build_object('ttp', 'T', 'phone', %s), page => %%page$$, source, phone) FROM (VALUES
	('empty', 'shop', $$''$$), ('letters', 'shop', $$'abc'$$), ('extension', 'shop', $$'ext 5'$$), ('number with extension', 'shop', $$'+14155550100 ext 5'$$), ('lone plus', 'shop', $$'+'$$),
	('international with brackets', 'shop', $$'+1 (415) 555-0100'$$), ('the same, plain', 'shop', $$'+14155550100'$$),
	('national, no calling code', 'shop', $$'030 23125123'$$), ('national, with calling code', 'german', $$'030 23125123'$$), ('no trunk prefix', 'german', $$'23125123'$$), ('two readings', 'german', $$'4917612345'$$), ('international in spite of it', 'german', $$'+1 415 555 0100'$$),
	('double zero', 'shop', $$'0049 30 23125123'$$), ('full-width digits', 'german', $$U&'\FF10\FF13\FF10 23125123'$$), ('arabic digits', 'german', $$U&'\0660\0663\0660 23125123'$$),
	('3 digits', 'german', $$'123'$$), ('3 digits, international', 'shop', $$'+123'$$), ('40 digits', 'shop', $$'+' || repeat('4', 40)$$),
	('number, no calling code', 'shop', $$14155550100$$), ('number', 'american', $$14155550100$$), ('number with exponent', 'american', $$1.4155550100E10::numeric$$), ('fraction', 'american', $$14155550100.5$$), ('negative', 'american', $$-14155550100$$),
	('SHA-256', 'shop', $$'9F7EC22D72092CD3C0B58726ED9C2D91B92E51A3F29837508FB2948BB22DD2FD'$$), ('MD5', 'shop', $$'d41d8cd98f00b204e9800998ecf8427e'$$), ('SHA-1', 'shop', $$'da39a3ee5e6b4b0d3255bfef95601890afd80709'$$)) v(what, source, phone);
SELECT what, d.outcome, d.why, d.identity FROM cases, door(n, args) d WHERE topic = 'phone' ORDER BY n;

INSERT INTO cases (topic, what, args) SELECT 'others', what, format($$'shop', 'ViewContent', %%id, user_data => jsonb_build_object('email', 'a@b.ex', %L, %s), page => %%page$$, key, value) FROM (VALUES
	('empty', 'external_id', $$''$$), ('10 kB', 'external_id', $$repeat('x', 10240)$$), ('512 bytes', 'external_id', $$repeat('x', 512)$$), ('513 bytes', 'external_id', $$repeat('x', 513)$$),
	('MD5 is an id like any other', 'external_id', $$'D41D8CD98F00B204E9800998ECF8427E'$$), ('SHA-1 likewise', 'external_id', $$'da39a3ee5e6b4b0d3255bfef95601890afd80709'$$), ('64 characters, one no hex', 'external_id', $$repeat('g', 64)$$),
	('number', 'external_id', $$12345678901234567890$$), ('number with exponent', 'external_id', $$1e3::numeric$$), ('zero', 'external_id', $$0$$), ('boolean', 'external_id', $$true$$),
	('no address', 'ip', $$'999.1.1.1'$$), ('zone', 'ip', $$'fe80::1%eth0'$$), ('mask', 'ip', $$'203.0.113.9/24'$$), ('IPv4 in IPv6', 'ip', $$'::ffff:203.0.113.9'$$), ('private', 'ip', $$'192.168.1.1'$$), ('link-local', 'ip', $$'169.254.1.1'$$),
	('loopback', 'ip', $$'127.0.0.1'$$), ('carrier', 'ip', $$'100.64.0.1'$$), ('IPv6 loopback', 'ip', $$'::1'$$), ('private in IPv6', 'ip', $$'::ffff:10.0.0.1'$$), ('unique local', 'ip', $$'fd12:3456::1'$$), ('leading zeros', 'ip', $$'203.000.113.009'$$),
	('64 kB', 'user_agent', $$repeat('Mozilla ', 8192)$$), ('line breaks', 'user_agent', $$E'Mozilla/5.0\r\nX: y'$$),
	('quotes and markup', 'ttclid', $$'a"b</script>\u0000'$$), ('1000 characters', 'ttclid', $$repeat('c', 1000)$$), ('1001 characters', 'ttclid', $$repeat('c', 1001)$$), ('1001 characters', 'ttp', $$repeat('c', 1001)$$), ('control character', 'ttp', $$E'a\001b'$$),
	('composed', 'first_name', $$U&'Jos\00E9'$$), ('decomposed', 'first_name', $$U&'Jose\0301'$$), ('punctuation only', 'last_name', $$'---'$$), ('not the country', 'country', $$'Atlantis'$$), ('no Latin letters', 'city', $$U&'\6771\4EAC'$$), ('underscore', 'zip_code', $$'95_110'$$)) v(what, key, value);
SELECT substring(args FROM $$b\.ex', '([a-z_]+)$$) AS key, what, d.outcome, d.why, d.identity FROM cases, door(n, args) d WHERE topic = 'others' ORDER BY n;

-- when nothing is left to match by, the call fails; so it does when nothing was given
INSERT INTO cases (topic, what, args) VALUES
	('match', 'only an unusable e-mail', $$'shop', 'ViewContent', %id, user_data => '{"email": "nonsense"}', page => %page$$),
	('match', 'only absent values', $$'shop', 'ViewContent', %id, user_data => '{"email": "", "phone": null, "ttp": "  "}', page => %page$$),
	('match', 'no user_data', $$'shop', 'ViewContent', %id, page => %page$$),
	('match', 'ip without user_agent', $$'shop', 'ViewContent', %id, user_data => '{"ip": "203.0.113.9"}', page => %page$$),
	('match', 'ip with user_agent', $$'shop', 'ViewContent', %id, user_data => '{"ip": "203.0.113.9", "user_agent": "M"}', page => %page$$),
	('match', 'web, by ttclid of the page', $$'shop', 'ViewContent', %id, page => '{"url": "https://shop.example.com/?ttclid=E.C.P.x"}'$$),
	('match', 'offline without e-mail and phone', $$'store', 'Purchase', %id, user_data => '{"external_id": "x", "ip": "203.0.113.9"}'$$),
	('match', 'offline with an unusable phone', $$'store', 'Purchase', %id, user_data => '{"phone": "abc"}'$$),
	('match', 'crm without lead_id', $$'crm', 'Qualified', %id, user_data => '{"email": "a@b.ex"}'$$),
	('match', 'crm with lead_id alone', $$'crm', 'Qualified', %id, lead => '{"lead_id": 7412345678901234567}'$$),
	('match', 'app with an id of zeros', $$'app', 'Login', %id, user_data => '{"idfa": "00000000-0000-0000-0000-000000000000"}', app => '{"app_id": "x"}'$$),
	('match', 'app with idfv', $$'app', 'Login', %id, user_data => '{"idfv": "8C1A0F4E-0000-4000-8000-000000000001"}', app => '{"app_id": "x"}'$$);
SELECT what, d.outcome, d.why, d.identity FROM cases, door(n, args) d WHERE topic = 'match' ORDER BY n;

-- the hash of the empty string, of a lone plus sign, of 0, undefined and null is nowhere
SELECT count(*) FROM tiktok.identity WHERE user_data::text ~ 'e3b0c44298fc1c14|a318c24216defe20|5feceb66ffc86f38|eb045d78d2731073|74234e98afe7498f|:""|"(0|undefined|null|\+)"';

--
-- Money, currency, contents
--
INSERT INTO cases (topic, what, args) SELECT 'money', what, format($$'shop', 'Purchase', %%id, user_data => '{"ttp": "T"}', page => %%page, properties => %s$$, properties) FROM (VALUES
	('NaN', $$jsonb_build_object('value', 'NaN'::numeric, 'currency', 'EUR')$$), ('NaN of a float', $$jsonb_build_object('value', 'NaN'::float8, 'currency', 'EUR')$$), ('infinity', $$'{"value": "Infinity", "currency": "EUR"}'$$), ('minus infinity', $$'{"value": "-Infinity", "currency": "EUR"}'$$),
	('no value', $$'{"value": null, "currency": "EUR"}'$$), ('no currency', $$'{"value": 10}'$$), ('blank currency', $$'{"value": 10, "currency": " "}'$$),
	('negative', $$'{"value": -5, "currency": "EUR"}'$$), ('zero', $$'{"value": 0, "currency": "EUR"}'$$), ('minus zero', $$'{"value": "-0.00", "currency": "EUR"}'$$),
	('131072 digits', $$jsonb_build_object('value', 1e131071, 'currency', 'EUR')$$), ('1e15', $$'{"value": 1e15, "currency": "EUR"}'$$), ('almost 1e15', $$'{"value": 999999999999999, "currency": "EUR"}'$$), ('18 digits', $$'{"value": 1234567890.12345678, "currency": "EUR"}'$$),
	('float noise', $$jsonb_build_object('value', 0.1::float8 + 0.2::float8, 'currency', 'EUR')$$), ('many nines', $$'{"value": 19.999999999, "currency": "EUR"}'$$), ('trailing zeros', $$'{"value": 49.90, "currency": "EUR"}'$$),
	('decimal comma', $$'{"value": "49,90", "currency": "EUR"}'$$), ('separators', $$'{"value": "1,234.50", "currency": "EUR"}'$$), ('symbol', $$jsonb_build_object('value', '$10', 'currency', 'USD')$$), ('text', $$'{"value": "ten", "currency": "EUR"}'$$), ('boolean', $$'{"value": true, "currency": "EUR"}'$$),
	('currency with blank', $$'{"value": 1, "currency": "usd "}'$$), ('currency in mixed case', $$'{"value": 1, "currency": "Usd"}'$$), ('2 letters', $$'{"value": 1, "currency": "US"}'$$), ('4 letters', $$'{"value": 1, "currency": "USDX"}'$$), ('no such currency', $$'{"value": 1, "currency": "ZZZ"}'$$),
	('a currency that TikTok does not know', $$'{"value": 1, "currency": "BGN"}'$$), ('full-width letters', $$jsonb_build_object('value', 1, 'currency', U&'\FF35\FF33\FF24')$$), ('number of a currency', $$'{"value": 1, "currency": 840}'$$), ('the same as text', $$'{"value": 1, "currency": "840"}'$$), ('currency, no value', $$'{"currency": "zzz"}'$$)) v(what, properties);
SELECT what, d.outcome, d.why, d.properties FROM cases, door(n, args) d WHERE topic = 'money' ORDER BY n;

INSERT INTO cases (topic, what, args) SELECT 'contents', what, format($$'shop', 'Purchase', %%id, user_data => '{"ttp": "T"}', page => %%page, properties => jsonb_build_object('currency', 'EUR', 'contents', %s)$$, contents) FROM (VALUES
	('null', $$NULL$$), ('no lines', $$'[]'::jsonb$$), ('object', $$'{}'::jsonb$$), ('text', $$'text'$$), ('number', $$42$$), ('an item that is none', $$'["A-1"]'::jsonb$$), ('an empty item', $$'[{}]'::jsonb$$),
	('500 lines', $$(SELECT jsonb_agg(jsonb_build_object('content_id', n)) FROM generate_series(1, 500) n)$$), ('501 lines', $$(SELECT jsonb_agg(jsonb_build_object('content_id', n)) FROM generate_series(1, 501) n)$$), ('10000 lines', $$(SELECT jsonb_agg(jsonb_build_object('content_id', n)) FROM generate_series(1, 10000) n)$$),
	('price NaN', $$'[{"price": "NaN"}]'::jsonb$$), ('price as words', $$'[{"price": "ten"}]'::jsonb$$), ('negative price', $$'[{"price": -1}]'::jsonb$$), ('quantity -1', $$'[{"quantity": -1}]'::jsonb$$), ('quantity 0', $$'[{"quantity": 0}]'::jsonb$$), ('quantity 2.5', $$'[{"content_id": "A", "quantity": 2.5}]'::jsonb$$),
	('quantity 2.0', $$'[{"content_id": "A", "quantity": 2.0}]'::jsonb$$), ('quantity 1e30', $$'[{"quantity": 1e30}]'::jsonb$$), ('the second line is wrong', $$'[{"content_id": "A", "price": 1}, {"content_id": "B", "price": "x"}]'::jsonb$$), ('content_id is an object', $$'[{"content_id": {}, "price": 1}, {"content_id": {"a": 1}}]'::jsonb$$),
	('id as number', $$'[{"content_id": 1001}, {"content_id": 1e20}]'::jsonb$$), ('one price is missing', $$'[{"price": 1}, {"content_id": "B"}]'::jsonb$$), ('40 levels', $$(repeat('[', 40) || repeat(']', 40))::jsonb$$), ('6000 levels', $$(repeat('[', 6000) || repeat(']', 6000))::jsonb$$),
	('equal keys', $$'[{"content_id": "A", "price": 1, "price": 2}]'::jsonb$$), ('unknown keys', $$'[{"content_id": "A", "price": 1, "sku": "x", "a.b": 1, "": 2, "<b>": 3}]'::jsonb$$), ('a key of 10 kB', $$jsonb_build_array(jsonb_build_object('content_id', 'A', 'price', 1, repeat('k', 10240), 1))$$),
	('control characters', $$jsonb_build_array(jsonb_build_object('content_id', 'A', 'content_name', E'\001\037\177' || U&'\2028\2029"\\'))$$)) v(what, contents);
SELECT what, d.outcome, d.why, d.properties FROM cases, door(n, args) d WHERE topic = 'contents' ORDER BY n;
SELECT left((attempt($$(repeat('[', 200000) || repeat(']', 200000))::jsonb$$)).outcome, 5) AS "200000 levels";

-- unknown keys are spelling mistakes; text that is too large; what would be personal in clear
INSERT INTO cases (topic, what, args) SELECT 'properties', what, format($$'shop', 'Purchase', %%id, user_data => '{"ttp": "T"}', page => %s, properties => %s$$, page, properties) FROM (VALUES
	('misspelt', '%page', $$'{"valeu": 1}'$$), ('of another object', '%page', $$'{"lead_id": 1}'$$), ('a key with dots', '%page', $$'{"a.b": 1}'$$), ('an empty key', '%page', $$'{"": 1}'$$), ('a key of 10 kB', '%page', $$jsonb_build_object(repeat('k', 10240), 1)$$), ('no object', '%page', $$'[1]'$$), ('null', '%page', $$'null'$$),
	('1.2 MB', '%page', $$jsonb_build_object('description', repeat('x', 1200000))$$), ('less, but escaped it is more', '%page', $$jsonb_build_object('description', repeat(E'\001', 200000))$$),
	('control characters', '%page', $$jsonb_build_object('description', E'a\001\037\177b' || U&'\2028\2029c')$$), ('markup', '%page', $$'{"description": "</script>\"\\"}'$$),
	('an address in the text', '%page', $$'{"search_string": "mail a@example.com"}'$$), ('old name of search_string', '%page', $$'{"query": "shoes"}'$$), ('unknown words', '%page', $$'{"customer_type": "vip", "content_type": "thing", "num_items": "x", "predicted_ltv": -1}'$$),
	('no full url', $$'{"url": "/thanks"}'$$, $$'{}'$$), ('no page', 'NULL', $$'{}'$$), ('personal data in the url', $$'{"url": "https://shop.example.com/?email=a@example.com&order=7", "referrer": "nonsense"}'$$, $$'{}'$$)) v(what, page, properties);
SELECT what, d.outcome, d.why, d.properties FROM cases, door(n, args) d WHERE topic = 'properties' ORDER BY n;
SELECT payload -> 'page' AS page FROM tiktok.event WHERE payload::text ~ 'order=7';

-- PostgreSQL itself refuses what is no JSON text, before anything here sees it
SELECT left((attempt($$'{"description": "\u0000"}'::jsonb$$)).outcome, 5) AS "escaped NUL";
SELECT left((attempt($$'{"description": "\ud800"}'::jsonb$$)).outcome, 5) AS "half a character";

--
-- Times, ids, names, sources
--
INSERT INTO cases (topic, what, args) SELECT 'time', what, format($$'shop', 'ViewContent', %%id, %s, user_data => '{"ttp": "T"}', page => %%page$$, at) FROM (VALUES
	('null', 'NULL'), ('in 5 minutes', $$now() + interval '5 minutes'$$), ('in 11 minutes', $$now() + interval '11 minutes'$$), ('tomorrow', $$now() + interval '1 day'$$), ('in 2300', $$'2300-01-01 UTC'$$),
	('almost 7 days old', $$now() - interval '6 days 23 hours'$$), ('a second too old', $$now() - interval '7 days 1 second'$$), ('infinity', $$'infinity'$$), ('minus infinity', $$'-infinity'$$),
	('the last day there is', $$'294276-12-31 UTC'$$), ('the first day there is', $$'4714-11-24 00:00:00+00 BC'$$), ('milliseconds for seconds', $$to_timestamp(1795169730000)$$)) v(what, at);
SELECT what, d.outcome, d.why FROM cases, door(n, args) d WHERE topic = 'time' ORDER BY n;
SELECT what, round(extract(epoch FROM event_time - enqueued_at) / 60) AS minutes FROM cases JOIN tiktok.event ON event_id = 'case-' || n WHERE topic = 'time' AND payload IS NOT NULL ORDER BY n;

INSERT INTO cases (topic, what, args) SELECT 'id', what, format($$'shop', 'ViewContent', %s, user_data => '{"ttp": "T"}', page => %%page, properties => %L$$, id, properties) FROM (VALUES
	('null: the order''s', 'NULL', '{"order_id": "SO-1"}'), ('empty: the order''s', $$''$$, '{"order_id": "SO-2"}'), ('blank: the order''s', $$'  '$$, '{"order_id": "SO-3"}'), ('null, no order', 'NULL', '{}'), ('empty, no order', $$''$$, '{}'), ('blank, no order', $$'  '$$, '{}'), ('order_id of 200 characters', 'NULL', format('{"order_id": "%s"}', repeat('o', 200))),
	('128 characters', $$repeat('x', 128)$$, '{}'), ('129 characters', $$repeat('x', 129)$$, '{}'), ('1 kB', $$repeat('x', 1024)$$, '{}'), ('line break', $$E'a\nb'$$, '{}'), ('emoji', $$U&'a\+01F600'$$, '{}'), ('letters beyond ASCII', $$U&'\00E4'$$, '{}'), ('an e-mail address', $$'a@example.com'$$, '{}')) v(what, id, properties);
SELECT what, d.outcome, d.why FROM cases, door(n, args) d WHERE topic = 'id' ORDER BY n;
SELECT regexp_replace(event_id, '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$', '(a UUID)') AS event_id, length(event_id) FROM tiktok.event WHERE event = 'ViewContent' AND event_id NOT LIKE 'case-%' ORDER BY id;

INSERT INTO cases (topic, what, args) SELECT 'name', what, format($$%L, %s, %%id, user_data => '{"email": "a@b.ex", "idfv": "8C1A0F4E-0000-4000-8000-000000000001"}', %s$$, source, event,
	CASE source WHEN 'app' THEN $$app => '{"app_id": "x"}'$$ WHEN 'crm' THEN $$lead => '{"lead_id": 1}'$$ WHEN 'store' THEN $$page => '{"url": "https://example.com/"}'$$ ELSE 'page => %page' END) FROM (VALUES
	('null', 'shop', 'NULL'), ('empty', 'shop', $$''$$), ('blank', 'shop', $$' '$$), ('custom', 'shop', $$'Quote_Requested'$$), ('50 characters', 'shop', $$repeat('x', 50)$$), ('51 characters', 'shop', $$repeat('x', 51)$$), ('200 characters', 'shop', $$repeat('x', 200)$$),
	('two words', 'shop', $$'complete payment'$$), ('lower case', 'shop', $$'purchase'$$), ('begins with a digit', 'shop', $$'1st_order'$$), ('umlaut', 'shop', $$U&'K\00E4ufe'$$), ('reserved', 'shop', $$'StartCheckout'$$), ('old name', 'shop', $$'CompletePayment'$$), ('old name kept', 'old', $$'CompletePayment'$$),
	('standard on the web, custom in an app', 'app', $$'Schedule'$$), ('custom in a store', 'store', $$'My_Event'$$), ('standard in a store', 'store', $$'Purchase'$$), ('custom in a CRM', 'crm', $$'Qualified-Lead'$$), ('standard in a CRM', 'crm', $$'Purchase'$$)) v(what, source, event);
SELECT what, d.outcome, d.why FROM cases, door(n, args) d WHERE topic = 'name' ORDER BY n;
SELECT what, event FROM cases JOIN tiktok.event ON event_id = 'case-' || n WHERE topic = 'name' ORDER BY n;
SELECT tiktok.preview('shop', 'purchase', 'x');

INSERT INTO cases (topic, what, args) SELECT 'source', what, format($$%s, 'ViewContent', %%id, user_data => '{"ttp": "T"}', page => %%page$$, source) FROM (VALUES
	('null', 'NULL'), ('empty', $$''$$), ('unknown', $$'nobody'$$), ('wrong case', $$'Shop'$$), ('blank', $$'shop '$$)) v(what, source);
SELECT what, d.outcome, d.why FROM cases, door(n, args) d WHERE topic = 'source' ORDER BY n;
INSERT INTO tiktok.source (name, event_source, event_source_id) VALUES ('x', 'web', 'C 1');
INSERT INTO tiktok.source (name, event_source, event_source_id) VALUES ('x', 'web', repeat('C', 65));
INSERT INTO tiktok.source (name, event_source, event_source_id) VALUES ('x', 'web', '');

-- the same key twice: in a transaction, in another, with another payload; the first one stays
BEGIN;
SELECT tiktok.track('shop', 'Purchase', 'twice', user_data => '{"ttp": "T"}', page => '{"url": "https://shop.example.com/"}', properties => '{"value": 1, "currency": "EUR"}') AS id \gset
SELECT tiktok.track('shop', 'Purchase', 'twice', user_data => '{"ttp": "T"}', page => '{"url": "https://shop.example.com/"}', properties => '{"value": 1, "currency": "EUR"}') = :id AS first;
COMMIT;
SELECT tiktok.track('shop', 'Purchase', 'twice', user_data => '{"ttp": "U"}', page => '{"url": "https://shop.example.com/"}', properties => '{"value": 2, "currency": "EUR"}') = :id AS first;
SELECT tiktok.track('shop', 'AddToCart', 'twice', user_data => '{"ttp": "T"}', page => '{"url": "https://shop.example.com/"}') = :id AS other_event;
SELECT tiktok.track('german', 'Purchase', 'twice', user_data => '{"ttp": "T"}', page => '{"url": "https://shop.example.com/"}') = :id AS other_source;
SELECT source, event, status, value, user_data FROM tiktok.event_status JOIN tiktok.identity USING (id) WHERE event_id = 'twice' ORDER BY id;

-- no identifier in any message
SELECT tiktok.track('shop', 'ViewContent', 'x', user_data => '{"email": "secret-name@", "phone": "secret-name", "ip": "secret-name"}', page => '{"url": "https://shop.example.com/"}');
SELECT tiktok.track('shop', 'ViewContent', 'secret-name@example.com', user_data => '{"ttp": "T"}', page => '{"url": "https://shop.example.com/"}');

TRUNCATE tiktok.event, tiktok.identity, tiktok.delivery;
DELETE FROM tiktok.source;
ALTER SEQUENCE tiktok.source_id_seq RESTART;
DROP TABLE cases;
DROP FUNCTION door, attempt, plain;
