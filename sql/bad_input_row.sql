-- Bad input at the second door, the trigger tiktok.track_row(): the row is stored whatever it holds, and what cannot be sent is on record with the reason.
\set SHOW_CONTEXT never
SET TimeZone = 'UTC';
INSERT INTO tiktok.source (name, event_source, event_source_id, default_calling_code, max_event_age) VALUES
	('shop', 'web', 'C1', NULL, NULL), ('german', 'web', 'C2', 'DE', NULL), ('american', 'web', 'C3', '1', NULL), ('archive', 'web', 'C4', NULL, '100 years'),
	('store', 'offline', '74002', NULL, NULL), ('crm', 'crm', '74003', NULL, NULL), ('app', 'app', '74001', NULL, NULL);

-- what is not printable ASCII as <code>, what is long by its length
CREATE FUNCTION plain(given text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
	SELECT string_agg(CASE WHEN c COLLATE "C" BETWEEN ' ' AND '~' THEN c ELSE '<' || lpad(to_hex(ascii(c)), 4, '0') || '>' END, '' ORDER BY n)
	FROM string_to_table(CASE WHEN length(given) > 260 THEN left(given, 60) || '... (' || length(given) || ')' ELSE given END, NULL) WITH ORDINALITY AS x(c, n)
$$;

-- the fate of each row of a table whose key is n
CREATE FUNCTION fates(from_table regclass, OUT what text, OUT outcome text, OUT notes text, OUT identity text, OUT properties text) RETURNS SETOF record LANGUAGE plpgsql AS $$
BEGIN
	RETURN QUERY EXECUTE format($q$
		SELECT t.what, concat_ws(' ', s.status, s.reason), plain(s.notes), plain(i.user_data::text), plain(e.payload ->> 'properties')
		FROM %1$s t LEFT JOIN tiktok.event e ON e.event_id = '%1$s-' || t.n LEFT JOIN tiktok.event_status s USING (id) LEFT JOIN tiktok.identity i USING (id) ORDER BY t.n$q$, from_table);
END $$;

--
-- Identifiers: one that cannot be used is left out, the event goes with the others
--
CREATE TABLE emails (n int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, what text, email text);
CREATE TRIGGER tiktok AFTER INSERT ON emails FOR EACH ROW EXECUTE FUNCTION tiktok.track_row('shop', 'ViewContent', 'email=email', 'ttp=''T''', 'url=''https://shop.example.com/''');
INSERT INTO emails (what, email) VALUES
	('null', NULL), ('empty', ''), ('blank', '   '), ('no address', 'not-an-email'), ('no domain', 'a@'), ('no name', '@b'), ('two signs', 'a@@b'), ('blank inside', 'a b@c.d'),
	('blanks around, mixed case', E'  John@Example.COM \t\n'), ('the same, plain', 'john@example.com'),
	('dotted capital I', U&'\0130STANBUL@Example.com'), ('sharp s', U&'STRA\00DFE@Example.com'), ('umlaut in capitals', U&'\00C4RGER@Example.com'),
	('composed', U&'jos\00E9@example.com'), ('decomposed', U&'jose\0301@example.com'),
	('zero-width space around', U&'\200Ba@example.com\FEFF'), ('no-break space around', U&'\00A0a@example.com\00A0'), ('zero-width space inside', U&'a\200Bb@example.com'),
	('right-to-left override inside', U&'a\202Eb@example.com'), ('no-break space inside', U&'a\00A0b@example.com'), ('line break inside', E'a\nb@example.com'),
	('punycode domain', 'a@XN--BCHER-KVA.example'), ('international domain', U&'a@B\00DCCHER.example'),
	('320 characters', repeat('x', 308) || '@example.com'), ('321 characters', repeat('x', 309) || '@example.com'), ('1 MB', repeat('x', 1000000) || '@example.com'), ('20 MB', repeat('x', 20000000) || '@example.com'),
	('SHA-256', '5DF943BFBFE279B58CB1529925288D98E63D15C7E4928782AFB2B1973B5CAB4F'), ('SHA-256 with a wrong digit', '5DF943BFBFE279B58CB1529925288D98E63D15C7E4928782AFB2B1973B5CAB4G'),
	('MD5', 'd41d8cd98f00b204e9800998ecf8427e'), ('SHA-1', 'da39a3ee5e6b4b0d3255bfef95601890afd80709'), ('SHA-256 of nothing', 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'),
	('word for nothing', 'undefined'), ('a character lost before', U&'jos\FFFD@example.com');
SELECT what, outcome, notes, identity FROM fates('emails');

CREATE TABLE phones (n int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, what text, source text, phone text, digits bigint, amount numeric);
CREATE TRIGGER shop AFTER INSERT ON phones FOR EACH ROW WHEN (NEW.source = 'shop') EXECUTE FUNCTION tiktok.track_row('shop', 'ViewContent', 'phone=phone', 'ttp=''T''', 'url=''https://shop.example.com/''');
CREATE TRIGGER german AFTER INSERT ON phones FOR EACH ROW WHEN (NEW.source = 'german') EXECUTE FUNCTION tiktok.track_row('german', 'ViewContent', 'phone=phone', 'ttp=''T''', 'url=''https://shop.example.com/''');
CREATE TRIGGER bigint AFTER INSERT ON phones FOR EACH ROW WHEN (NEW.digits IS NOT NULL) EXECUTE FUNCTION tiktok.track_row('american', 'ViewContent', 'phone=digits', 'ttp=''T''', 'url=''https://shop.example.com/''');
CREATE TRIGGER "numeric" AFTER INSERT ON phones FOR EACH ROW WHEN (NEW.amount IS NOT NULL) EXECUTE FUNCTION tiktok.track_row('american', 'ViewContent', 'phone=amount', 'ttp=''T''', 'url=''https://shop.example.com/''');
INSERT INTO phones (what, source, phone) VALUES
	('empty', 'shop', ''), ('letters', 'shop', 'abc'), ('extension', 'shop', 'ext 5'), ('number with extension', 'shop', '+14155550100 ext 5'), ('lone plus', 'shop', '+'),
	('international with brackets', 'shop', '+1 (415) 555-0100'), ('the same, plain', 'shop', '+14155550100'),
	('national, no calling code', 'shop', '030 23125123'), ('national, with calling code', 'german', '030 23125123'), ('no trunk prefix', 'german', '23125123'), ('two readings', 'german', '4917612345'), ('international in spite of it', 'german', '+1 415 555 0100'),
	('double zero', 'shop', '0049 30 23125123'), ('full-width digits', 'german', U&'\FF10\FF13\FF10 23125123'), ('arabic digits', 'german', U&'\0660\0663\0660 23125123'),
	('3 digits', 'german', '123'), ('3 digits, international', 'shop', '+123'), ('40 digits', 'shop', '+' || repeat('4', 40)),
	('SHA-256', 'shop', '9F7EC22D72092CD3C0B58726ED9C2D91B92E51A3F29837508FB2948BB22DD2FD'), ('MD5', 'shop', 'd41d8cd98f00b204e9800998ecf8427e'), ('SHA-1', 'shop', 'da39a3ee5e6b4b0d3255bfef95601890afd80709');
INSERT INTO phones (what, digits) VALUES ('bigint', 14155550100), ('bigint, zero', 0), ('bigint, negative', -14155550100);
INSERT INTO phones (what, amount) VALUES ('numeric', 1.4155550100E10), ('numeric, fraction', 14155550100.5), ('numeric, huge', 1e100), ('numeric, NaN', 'NaN');
SELECT what, outcome, notes, identity FROM fates('phones');

CREATE TYPE mood AS ENUM ('Good', 'undefined');
CREATE TYPE pair AS (a text, b text);
CREATE DOMAIN address AS text;
CREATE TABLE others (n int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, what text, email text DEFAULT 'a@b.ex', external_id text, raw bytea, mood mood, pair pair, address address, list text[], numbers int[], number numeric, yes boolean, key uuid, data json,
	ip text, net inet, block cidr, user_agent text, ttclid text, ttp text, first_name text, last_name text, country text, city text, zip_code text);
CREATE TRIGGER a AFTER INSERT ON others FOR EACH ROW WHEN (num_nulls(NEW.raw, NEW.mood, NEW.pair, NEW.address, NEW.list, NEW.numbers, NEW.number, NEW.yes, NEW.key, NEW.net, NEW.block, NEW.data) = 12) EXECUTE FUNCTION tiktok.track_row('shop', 'ViewContent', 'url=''https://shop.example.com/''', 'email=email',
	'external_id=external_id', 'ip=ip', 'user_agent=user_agent', 'ttclid=ttclid', 'ttp=ttp', 'first_name=first_name', 'last_name=last_name', 'country=country', 'city=city', 'zip_code=zip_code');
CREATE TRIGGER b AFTER INSERT ON others FOR EACH ROW WHEN (NEW.raw IS NOT NULL) EXECUTE FUNCTION tiktok.track_row('shop', 'ViewContent', 'url=''https://shop.example.com/''', 'email=email', 'external_id=raw');
CREATE TRIGGER c AFTER INSERT ON others FOR EACH ROW WHEN (NEW.mood IS NOT NULL) EXECUTE FUNCTION tiktok.track_row('shop', 'ViewContent', 'url=''https://shop.example.com/''', 'email=email', 'external_id=mood');
CREATE TRIGGER d AFTER INSERT ON others FOR EACH ROW WHEN (NEW.pair IS NOT NULL) EXECUTE FUNCTION tiktok.track_row('shop', 'ViewContent', 'url=''https://shop.example.com/''', 'email=email', 'external_id=pair');
CREATE TRIGGER e AFTER INSERT ON others FOR EACH ROW WHEN (NEW.address IS NOT NULL) EXECUTE FUNCTION tiktok.track_row('shop', 'ViewContent', 'url=''https://shop.example.com/''', 'email=address');
CREATE TRIGGER f AFTER INSERT ON others FOR EACH ROW WHEN (NEW.list IS NOT NULL) EXECUTE FUNCTION tiktok.track_row('shop', 'ViewContent', 'url=''https://shop.example.com/''', 'email=list', 'first_name=list', 'ttp=''T''');
CREATE TRIGGER g AFTER INSERT ON others FOR EACH ROW WHEN (NEW.numbers IS NOT NULL) EXECUTE FUNCTION tiktok.track_row('shop', 'ViewContent', 'url=''https://shop.example.com/''', 'email=email', 'external_id=numbers');
CREATE TRIGGER h AFTER INSERT ON others FOR EACH ROW WHEN (NEW.number IS NOT NULL) EXECUTE FUNCTION tiktok.track_row('shop', 'ViewContent', 'url=''https://shop.example.com/''', 'email=email', 'external_id=number');
CREATE TRIGGER i AFTER INSERT ON others FOR EACH ROW WHEN (NEW.yes IS NOT NULL) EXECUTE FUNCTION tiktok.track_row('shop', 'ViewContent', 'url=''https://shop.example.com/''', 'email=email', 'external_id=yes');
CREATE TRIGGER j AFTER INSERT ON others FOR EACH ROW WHEN (NEW.key IS NOT NULL) EXECUTE FUNCTION tiktok.track_row('shop', 'ViewContent', 'url=''https://shop.example.com/''', 'email=email', 'external_id=key');
CREATE TRIGGER k AFTER INSERT ON others FOR EACH ROW WHEN (NEW.net IS NOT NULL) EXECUTE FUNCTION tiktok.track_row('shop', 'ViewContent', 'url=''https://shop.example.com/''', 'email=email', 'ip=net');
CREATE TRIGGER l AFTER INSERT ON others FOR EACH ROW WHEN (NEW.block IS NOT NULL) EXECUTE FUNCTION tiktok.track_row('shop', 'ViewContent', 'url=''https://shop.example.com/''', 'email=email', 'ip=block');
CREATE TRIGGER m AFTER INSERT ON others FOR EACH ROW WHEN (NEW.data IS NOT NULL) EXECUTE FUNCTION tiktok.track_row('shop', 'ViewContent', 'url=''https://shop.example.com/''', 'email=data.mail', 'external_id=data."a.b"', 'first_name=data.name.first', 'ttp=''T''');
INSERT INTO others (what, external_id) VALUES ('external_id, empty', ''), ('external_id, 10 kB', repeat('x', 10240)), ('external_id, 512 bytes', repeat('x', 512)), ('external_id, 513 bytes', repeat('x', 513)),
	('external_id, MD5 is an id like any other', 'D41D8CD98F00B204E9800998ECF8427E'), ('external_id, SHA-1 likewise', 'da39a3ee5e6b4b0d3255bfef95601890afd80709'), ('external_id, 64 characters, one no hex', repeat('g', 64)), ('external_id, zero', '0');
INSERT INTO others (what, ip) VALUES ('ip, no address', '999.1.1.1'), ('ip, zone', 'fe80::1%eth0'), ('ip, mask', '203.0.113.9/24'), ('ip, IPv4 in IPv6', '::ffff:203.0.113.9'), ('ip, private', '192.168.1.1'), ('ip, carrier', '100.64.0.1'), ('ip, loopback', '::1');
INSERT INTO others (what, net) VALUES ('inet', '203.0.113.9'), ('inet with mask', '203.0.113.9/24'), ('inet, private', '10.0.0.1/8'), ('inet, link-local', 'fe80::1/64');
INSERT INTO others (what, block) VALUES ('cidr', '203.0.113.0/24');
INSERT INTO others (what, user_agent) VALUES ('user_agent, 64 kB', repeat('Mozilla ', 8192)), ('user_agent, line breaks', E'Mozilla/5.0\r\nX: y');
INSERT INTO others (what, ttclid) VALUES ('ttclid, quotes and markup', 'a"b</script>\u0000'), ('ttclid, 1000 characters', repeat('c', 1000)), ('ttclid, 1001 characters', repeat('c', 1001));
INSERT INTO others (what, ttp) VALUES ('ttp, 1001 characters', repeat('c', 1001)), ('ttp, control character', E'a\001b');
INSERT INTO others (what, first_name, last_name, country, city, zip_code) VALUES ('names, composed', U&'Jos\00E9', 'O''Doe', 'Germany', U&'K\00F6ln', '50667'), ('names, decomposed', U&'Jose\0301', '---', 'Atlantis', U&'\6771\4EAC', '95_110');
INSERT INTO others (what, raw) VALUES ('bytea', '\x00ff'), ('bytea, empty', '');
INSERT INTO others (what, mood) VALUES ('enum', 'Good'), ('enum, junk', 'undefined');
INSERT INTO others (what, pair) VALUES ('composite', ROW('a', 'b'));
INSERT INTO others (what, address) VALUES ('domain', 'A@Example.com'), ('domain, unusable', 'x');
INSERT INTO others (what, list) VALUES ('array', '{b@example.com,NULL,"",B@example.com,nonsense,c@example.com}'), ('array, empty', '{}'), ('array of two dimensions', '{{a@b.ex,b@b.ex},{c@b.ex,d@b.ex}}');
INSERT INTO others (what, numbers) VALUES ('array of numbers', '{1,2,2}');
INSERT INTO others (what, number) VALUES ('number', 12345678901234567890), ('number with exponent', 1e3), ('number, NaN', 'NaN'), ('number, 131072 digits', 1e131071);
INSERT INTO others (what, yes) VALUES ('boolean', true);
INSERT INTO others (what, key) VALUES ('uuid', 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'), ('uuid, zero', '00000000-0000-0000-0000-000000000000');
INSERT INTO others (what, data) VALUES ('json', '{"mail": " A@Example.com ", "a.b": 7, "name": {"first": "Ana"}}'), ('json, other types', '{"mail": {"a": 1}, "a.b": [1, "two"], "name": "x"}'), ('json, no object', '[1]'), ('json, null', 'null'),
	('json, NUL in identifiers', '{"mail": "a\u0000b@example.com", "a.b": "\u0000", "name": {"first": "A\u0000na"}}'), ('json, half a character', '{"mail": "a\ud800@example.com", "a.b": "x\udc00y"}'), ('json, equal keys', '{"mail": "a@b.ex", "mail": "b@b.ex"}');
SELECT what, outcome, notes, identity FROM fates('others');

-- when nothing is left to match by, the event is invalid
CREATE TABLE nobody (n int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, what text, source text, email text, phone text, ip text, agent text, url text DEFAULT 'https://shop.example.com/', lead text, idfa text);
CREATE TRIGGER shop AFTER INSERT ON nobody FOR EACH ROW WHEN (NEW.source = 'shop') EXECUTE FUNCTION tiktok.track_row('shop', 'ViewContent', 'email=email', 'phone=phone', 'ip=ip', 'user_agent=agent', 'url=url');
CREATE TRIGGER store AFTER INSERT ON nobody FOR EACH ROW WHEN (NEW.source = 'store') EXECUTE FUNCTION tiktok.track_row('store', 'Purchase', 'email=email', 'phone=phone', 'ip=ip');
CREATE TRIGGER crm AFTER INSERT ON nobody FOR EACH ROW WHEN (NEW.source = 'crm') EXECUTE FUNCTION tiktok.track_row('crm', 'Qualified', 'email=email', 'lead_id=lead');
CREATE TRIGGER app AFTER INSERT ON nobody FOR EACH ROW WHEN (NEW.source = 'app') EXECUTE FUNCTION tiktok.track_row('app', 'Login', 'idfa=idfa', 'app_id=''x''');
INSERT INTO nobody (what, source, email, phone, ip, agent) VALUES ('only an unusable e-mail', 'shop', 'nonsense', NULL, NULL, NULL), ('only absent values', 'shop', '', ' ', NULL, NULL), ('nothing', 'shop', NULL, NULL, NULL, NULL), ('ip without user_agent', 'shop', NULL, NULL, '203.0.113.9', NULL), ('ip with user_agent', 'shop', NULL, NULL, '203.0.113.9', 'M'),
	('offline without e-mail and phone', 'store', NULL, NULL, '203.0.113.9', NULL), ('offline with an unusable phone', 'store', NULL, 'abc', NULL, NULL), ('crm without lead_id', 'crm', 'a@b.ex', NULL, NULL, NULL), ('app without ids', 'app', NULL, NULL, NULL, NULL);
INSERT INTO nobody (what, source, url) VALUES ('ttclid of the page', 'shop', 'https://shop.example.com/?ttclid=E.C.P.x'), ('no page', 'shop', NULL), ('no full url', 'shop', '/thanks');
INSERT INTO nobody (what, source, lead) VALUES ('crm with lead_id alone', 'crm', '7412345678901234567');
INSERT INTO nobody (what, source, idfa) VALUES ('app with an id of zeros', 'app', '00000000-0000-0000-0000-000000000000');
SELECT what, outcome, notes, identity FROM fates('nobody');

-- the hash of the empty string, of a lone plus sign, of 0, undefined and null is nowhere
SELECT count(*) FROM tiktok.identity WHERE user_data::text ~ 'e3b0c44298fc1c14|a318c24216defe20|5feceb66ffc86f38|eb045d78d2731073|74234e98afe7498f|:""|"(0|undefined|null|\+)"';

--
-- Money, currency, contents
--
CREATE TABLE amounts (n int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, what text, value numeric, float float8, real real, words text, currency text DEFAULT 'EUR');
CREATE TRIGGER a AFTER INSERT ON amounts FOR EACH ROW WHEN (num_nulls(NEW.float, NEW.real, NEW.words) = 3) EXECUTE FUNCTION tiktok.track_row('shop', 'Purchase', 'value=value', 'currency=currency', 'ttp=''T''', 'url=''https://shop.example.com/''');
CREATE TRIGGER b AFTER INSERT ON amounts FOR EACH ROW WHEN (NEW.float IS NOT NULL) EXECUTE FUNCTION tiktok.track_row('shop', 'Purchase', 'value=float', 'currency=currency', 'ttp=''T''', 'url=''https://shop.example.com/''');
CREATE TRIGGER c AFTER INSERT ON amounts FOR EACH ROW WHEN (NEW.real IS NOT NULL) EXECUTE FUNCTION tiktok.track_row('shop', 'Purchase', 'value=real', 'currency=currency', 'ttp=''T''', 'url=''https://shop.example.com/''');
CREATE TRIGGER d AFTER INSERT ON amounts FOR EACH ROW WHEN (NEW.words IS NOT NULL) EXECUTE FUNCTION tiktok.track_row('shop', 'Purchase', 'value=words', 'currency=currency', 'ttp=''T''', 'url=''https://shop.example.com/''');
INSERT INTO amounts (what, value) VALUES ('NaN', 'NaN'), ('infinity', 'Infinity'), ('minus infinity', '-Infinity'), ('no value', NULL), ('negative', -5), ('zero', 0), ('minus zero', '-0.00'), ('131072 digits', 1e131071), ('1e15', 1e15), ('almost 1e15', 999999999999999), ('18 digits', 1234567890.12345678),
	('many nines', 19.999999999), ('trailing zeros', 49.90);
INSERT INTO amounts (what, float) VALUES ('float NaN', 'NaN'), ('float infinity', 'Infinity'), ('float noise', 0.1::float8 + 0.2::float8), ('float 1e308', 1e308), ('float minus zero', '-0'), ('float 49.9', 49.9), ('float 1e-300', 1e-300);
INSERT INTO amounts (what, "real") VALUES ('real NaN', 'NaN'), ('real 49.9', 49.9);
INSERT INTO amounts (what, words) VALUES ('text', '49.90'), ('text with blanks', ' 49.90 '), ('decimal comma', '49,90'), ('separators', '1,234.50'), ('symbol', '$10'), ('words', 'ten'), ('empty', '');
INSERT INTO amounts (what, value, currency) VALUES ('no currency', 10, NULL), ('blank currency', 10, ' '), ('currency with blank', 1, 'usd '), ('currency in mixed case', 1, 'Usd'), ('2 letters', 1, 'US'), ('4 letters', 1, 'USDX'), ('no such currency', 1, 'ZZZ'),
	('a currency that TikTok does not know', 1, 'BGN'), ('full-width letters', 1, U&'\FF35\FF33\FF24'), ('number of a currency', 1, '840'), ('currency, no value', NULL, 'zzz');
SELECT f.what, f.outcome, f.properties, s.value, s.currency FROM fates('amounts') f JOIN amounts a USING (what) LEFT JOIN tiktok.event_status s ON s.event_id = 'amounts-' || a.n ORDER BY a.n;
-- the type money is printed by lc_monetary, and so is not taken
CREATE TABLE cash (n int PRIMARY KEY, value money);
CREATE TRIGGER tiktok AFTER INSERT ON cash FOR EACH ROW EXECUTE FUNCTION tiktok.track_row('shop', 'Purchase', 'value=value', 'currency=''EUR''', 'ttp=''T''', 'url=''https://shop.example.com/''');
INSERT INTO cash VALUES (1, 10);
SELECT status, reason, notes FROM tiktok.event_status WHERE event_id = 'cash-1';

CREATE TABLE baskets (n int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, what text, items json, itemsb jsonb, words text, ids text[]);
CREATE TRIGGER a AFTER INSERT ON baskets FOR EACH ROW WHEN (num_nulls(NEW.itemsb, NEW.words, NEW.ids) = 3) EXECUTE FUNCTION tiktok.track_row('shop', 'Purchase', 'contents=items', 'currency=''EUR''', 'ttp=''T''', 'url=''https://shop.example.com/''');
CREATE TRIGGER b AFTER INSERT ON baskets FOR EACH ROW WHEN (NEW.itemsb IS NOT NULL) EXECUTE FUNCTION tiktok.track_row('shop', 'Purchase', 'contents=itemsb', 'currency=''EUR''', 'ttp=''T''', 'url=''https://shop.example.com/''');
CREATE TRIGGER c AFTER INSERT ON baskets FOR EACH ROW WHEN (NEW.words IS NOT NULL) EXECUTE FUNCTION tiktok.track_row('shop', 'Purchase', 'contents=words', 'currency=''EUR''', 'ttp=''T''', 'url=''https://shop.example.com/''');
CREATE TRIGGER d AFTER INSERT ON baskets FOR EACH ROW WHEN (NEW.ids IS NOT NULL) EXECUTE FUNCTION tiktok.track_row('shop', 'Purchase', 'content_ids=ids', 'description=ids', 'currency=''EUR''', 'ttp=''T''', 'url=''https://shop.example.com/''');
INSERT INTO baskets (what, items) VALUES ('null', NULL), ('json null', 'null'), ('no lines', '[]'), ('object', '{}'), ('text', '"text"'), ('number', '42'), ('an item that is none', '["A-1"]'), ('an empty item', '[{}]'),
	('500 lines', (SELECT json_agg(json_build_object('content_id', n)) FROM generate_series(1, 500) n)), ('501 lines', (SELECT json_agg(json_build_object('content_id', n)) FROM generate_series(1, 501) n)), ('10000 lines', (SELECT json_agg(json_build_object('content_id', n)) FROM generate_series(1, 10000) n)),
	('price NaN', '[{"price": "NaN"}]'), ('price as words', '[{"price": "ten"}]'), ('negative price', '[{"price": -1}]'), ('quantity -1', '[{"quantity": -1}]'), ('quantity 0', '[{"quantity": 0}]'), ('quantity 2.5', '[{"content_id": "A", "quantity": 2.5}]'),
	('quantity 2.0', '[{"content_id": "A", "quantity": 2.0}]'), ('quantity 1e30', '[{"quantity": 1e30}]'), ('the second line is wrong', '[{"content_id": "A", "price": 1}, {"content_id": "B", "price": "x"}]'), ('content_id is an object', '[{"content_id": {"a": 1}}]'),
	('id as number', '[{"content_id": 1001}, {"content_id": 1e20}]'), ('32 levels', (repeat('[', 32) || repeat(']', 32))::json), ('40 levels', (repeat('[', 40) || repeat(']', 40))::json), ('6000 levels', (repeat('[', 6000) || repeat(']', 6000))::json),
	('equal keys', '[{"content_id": "A", "price": 1, "price": 2}]'), ('unknown keys', '[{"content_id": "A", "price": 1, "sku": "x", "a.b": 1, "": 2, "<b>": 3}]'), ('a key of 10 kB', json_build_array(json_build_object('content_id', 'A', 'price', 1, repeat('k', 10240), 1))),
	('NUL', '[{"content_id": "A", "content_name": "a\u0000b", "price": 1}]'), ('half a character', '[{"content_id": "A", "content_name": "a\ud800b", "price": 1}]'), ('control characters', '[{"content_id": "A", "content_name": "\u0001\u001f\u007f\u2028\u2029\"\\"}]');
INSERT INTO baskets (what, itemsb) VALUES ('jsonb', '[{"content_id": "A", "price": 15.05, "quantity": 2}]'), ('jsonb, 6000 levels', (repeat('[', 6000) || repeat(']', 6000))::jsonb), ('jsonb, equal keys', '[{"content_id": "A", "price": 1, "price": 2}]'), ('jsonb, 10 MB', jsonb_build_array(jsonb_build_object('content_name', repeat('x', 10000000))));
INSERT INTO baskets (what, words) VALUES ('text that looks like JSON', '[{"price": 1}]');
INSERT INTO baskets (what, ids) VALUES ('ids in an array', '{A,B,NULL,"",7}'), ('no ids', '{}');
SELECT what, outcome, notes, properties FROM fates('baskets');

CREATE TABLE texts (n int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, what text, description text, data json, pair pair);
CREATE TRIGGER a AFTER INSERT ON texts FOR EACH ROW WHEN (NEW.data IS NULL AND NEW.pair IS NULL) EXECUTE FUNCTION tiktok.track_row('shop', 'Search', 'description=description', 'ttp=''T''', 'url=''https://shop.example.com/''');
CREATE TRIGGER b AFTER INSERT ON texts FOR EACH ROW WHEN (NEW.data IS NOT NULL) EXECUTE FUNCTION tiktok.track_row('shop', 'Search', 'description=data.text', 'ttp=''T''', 'url=''https://shop.example.com/''');
CREATE TRIGGER c AFTER INSERT ON texts FOR EACH ROW WHEN (NEW.pair IS NOT NULL) EXECUTE FUNCTION tiktok.track_row('shop', 'Search', 'description=pair', 'ttp=''T''', 'url=''https://shop.example.com/''');
INSERT INTO texts (what, description) VALUES ('1.2 MB', repeat('x', 1200000)), ('20 MB', repeat('x', 20000000)), ('less, but escaped it is more', repeat(E'\001', 200000)), ('control characters', E'a\001\037\177b' || U&'\2028\2029c'), ('markup', '</script>"\'), ('an address in the text', 'mail a@example.com');
INSERT INTO texts (what, data) VALUES ('NUL', '{"text": "a\u0000b"}'), ('NUL alone', '{"text": "\u0000"}'), ('half a character', '{"text": "a\ud83db"}'), ('the other half', '{"text": "a\ude00b"}'), ('both', '{"text": "a\ud83d\ude00b"}'), ('an object', '{"text": {"a": 1}}'), ('no such key', '{"a": {"text": 1}}');
INSERT INTO texts (what, pair) VALUES ('composite', ROW('a', 'b'));
SELECT what, outcome, notes, properties FROM fates('texts');
SELECT count(payload) AS payloads, count(payload::jsonb) AS read_by_jsonb FROM tiktok.event;

--
-- Times, ids, names, sources
--
CREATE TABLE times (n int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, what text, tz timestamptz, ts timestamp, day date, number bigint, float float8, words text, data jsonb);
CREATE FUNCTION time_of(row_number int) RETURNS text LANGUAGE sql AS $$ SELECT to_char(event_time AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') FROM tiktok.event WHERE event_id = 'times-' || row_number AND payload IS NOT NULL $$;
CREATE TRIGGER a AFTER INSERT ON times FOR EACH ROW WHEN (num_nulls(NEW.ts, NEW.day, NEW.number, NEW.float, NEW.words, NEW.data) = 6) EXECUTE FUNCTION tiktok.track_row('shop', 'Contact', 'event_time=tz', 'ttp=''T''', 'url=''https://shop.example.com/''');
CREATE TRIGGER b AFTER INSERT ON times FOR EACH ROW WHEN (NEW.ts IS NOT NULL) EXECUTE FUNCTION tiktok.track_row('archive', 'Contact', 'event_time=ts', 'time_zone=''Europe/Berlin''', 'ttp=''T''', 'url=''https://shop.example.com/''');
CREATE TRIGGER c AFTER INSERT ON times FOR EACH ROW WHEN (NEW.day IS NOT NULL) EXECUTE FUNCTION tiktok.track_row('archive', 'Contact', 'event_time=day', 'time_zone=''Europe/Berlin''', 'ttp=''T''', 'url=''https://shop.example.com/''');
CREATE TRIGGER d AFTER INSERT ON times FOR EACH ROW WHEN (NEW.number IS NOT NULL) EXECUTE FUNCTION tiktok.track_row('archive', 'Contact', 'event_time=number', 'ttp=''T''', 'url=''https://shop.example.com/''');
CREATE TRIGGER e AFTER INSERT ON times FOR EACH ROW WHEN (NEW.float IS NOT NULL) EXECUTE FUNCTION tiktok.track_row('archive', 'Contact', 'event_time=float', 'ttp=''T''', 'url=''https://shop.example.com/''');
CREATE TRIGGER f AFTER INSERT ON times FOR EACH ROW WHEN (NEW.words IS NOT NULL) EXECUTE FUNCTION tiktok.track_row('archive', 'Contact', 'event_time=words', 'ttp=''T''', 'url=''https://shop.example.com/''');
CREATE TRIGGER g AFTER INSERT ON times FOR EACH ROW WHEN (NEW.data IS NOT NULL) EXECUTE FUNCTION tiktok.track_row('archive', 'Contact', 'event_time=data.at', 'ttp=''T''', 'url=''https://shop.example.com/''');
INSERT INTO times (what, tz) VALUES ('null', NULL), ('in 5 minutes', now() + interval '5 minutes'), ('in 11 minutes', now() + interval '11 minutes'), ('tomorrow', now() + interval '1 day'), ('in 2300', '2300-01-01 UTC'), ('almost 7 days old', now() - interval '6 days 23 hours'), ('a second too old', now() - interval '7 days 1 second'),
	('infinity', 'infinity'), ('minus infinity', '-infinity'), ('the last day there is', '294276-12-31 UTC'), ('the first day there is', '4714-11-24 00:00:00+00 BC');
SELECT t.what, f.outcome, round(extract(epoch FROM e.event_time - e.enqueued_at) / 60) AS minutes FROM times t JOIN fates('times') f USING (what) LEFT JOIN tiktok.event e ON e.event_id = 'times-' || n AND payload IS NOT NULL ORDER BY n;
-- without a zone: as the mapping says, whatever the session's zone is
SET TimeZone = 'Pacific/Chatham';
INSERT INTO times (what, ts) VALUES ('winter', '2024-01-15 12:00'), ('summer', '2024-07-15 12:00'), ('the hour that is left out', '2024-03-31 02:30'), ('the hour that comes twice', '2024-10-27 02:30'), ('infinity without zone', 'infinity'), ('the last day without zone', '294276-12-31 23:59');
INSERT INTO times (what, day) VALUES ('a winter day', '2024-01-15'), ('a summer day', '2024-07-15'), ('a day at infinity', 'infinity'), ('the last of days', '5874897-12-31'), ('the first of days', '4714-11-24 BC');
INSERT INTO times (what, number) VALUES ('seconds', 1704164645), ('milliseconds', 1704164645000), ('the largest number', 9223372036854775807), ('the smallest number', -9223372036854775808);
INSERT INTO times (what, float) VALUES ('fraction of a second', 1704164645.75), ('NaN', 'NaN'), ('infinite', 'Infinity');
INSERT INTO times (what, words) VALUES ('text with zone', '2024-01-02T03:04:05+01:00'), ('text without zone: UTC', '2024-01-02 03:04:05'), ('a date', '2024-01-02'), ('digits', '1704164645'), ('american', '01/02/2024'), ('now', 'now'), ('no time', 'tomorrow'), ('no day', '2024-02-30'), ('empty', ''), ('blank', '  '), ('text infinity', 'infinity');
INSERT INTO times (what, data) VALUES ('json text', '{"at": "2024-01-02T03:04:05Z"}'), ('json number', '{"at": 1704164645}'), ('json milliseconds', '{"at": 1704164645000}'), ('json null', '{"at": null}'), ('json object', '{"at": {}}');
SET TimeZone = 'UTC';
SELECT what, outcome, CASE WHEN what NOT IN ('empty', 'blank', 'json null') THEN time_of(n) ELSE (abs(extract(epoch FROM event_time - enqueued_at)) < 2)::text || ': now' END AS sent_as FROM times JOIN fates('times') USING (what) LEFT JOIN tiktok.event ON event_id = 'times-' || n WHERE n > 11 ORDER BY n;

CREATE TABLE ids (n int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, what text, id text, order_no text);
CREATE TRIGGER tiktok AFTER INSERT ON ids FOR EACH ROW EXECUTE FUNCTION tiktok.track_row('shop', 'Contact', 'event_id=id', 'order_id=order_no', 'ttp=''T''', 'url=''https://shop.example.com/''');
INSERT INTO ids (what, id, order_no) VALUES ('null', NULL, 'SO-1'), ('empty', '', 'SO-2'), ('blank', '  ', 'SO-3'), ('null, no order', NULL, NULL), ('empty, no order', '', NULL), ('order_id of 200 characters', NULL, repeat('o', 200)),
	('128 characters', repeat('x', 128), NULL), ('129 characters', repeat('x', 129), NULL), ('1 kB', repeat('x', 1024), NULL), ('line break', E'a\nb', NULL), ('emoji', U&'a\+01F600', NULL), ('letters beyond ASCII', U&'\00E4', NULL), ('an e-mail address', 'a@example.com', NULL);
SELECT i.what, s.event_id, length(s.event_id), concat_ws(' ', s.status, s.reason) AS outcome FROM ids i JOIN (SELECT *, row_number() OVER (ORDER BY id) AS n FROM tiktok.event_status WHERE id > (SELECT max(id) FROM tiktok.event WHERE event_id LIKE 'times-%')) s USING (n) ORDER BY i.n;

-- the same key twice: in a statement, in another, with another payload; the first one stays
INSERT INTO ids (what, id, order_no) VALUES ('first', 'twice', 'A'), ('second', 'twice', 'A');
INSERT INTO ids (what, id, order_no) VALUES ('third', 'twice', 'B');
SELECT count(*), min(payload #>> '{properties,order_id}') FROM tiktok.event WHERE event_id = 'twice';

-- keys of several columns, none, changed
CREATE TABLE pairs (a text, b int, mail text, PRIMARY KEY (a, b));
CREATE TRIGGER tiktok AFTER INSERT OR UPDATE ON pairs FOR EACH ROW EXECUTE FUNCTION tiktok.track_row('shop', 'Schedule', 'email=mail', 'url=''https://shop.example.com/''');
INSERT INTO pairs VALUES ('x-1', 2, 'a@b.ex'), ('x', 12, 'a@b.ex'), (U&'\00E4', 1, 'a@b.ex'), (repeat('k', 200), 1, 'a@b.ex'), ('a@example.com', 1, 'a@b.ex');
UPDATE pairs SET b = 3 WHERE a = 'x-1';
SELECT event_id, status, reason FROM tiktok.event_status WHERE event = 'Schedule' ORDER BY id;
-- a key that is an address is not sent in clear
CREATE TABLE members (mail text PRIMARY KEY, no text);
CREATE TRIGGER a AFTER INSERT ON members FOR EACH ROW WHEN (NEW.no IS NULL) EXECUTE FUNCTION tiktok.track_row('shop', 'Subscribe', 'email=mail', 'url=''https://shop.example.com/''');
CREATE TRIGGER b AFTER INSERT ON members FOR EACH ROW WHEN (NEW.no IS NOT NULL) EXECUTE FUNCTION tiktok.track_row('shop', 'Subscribe', 'event_id=no', 'email=mail', 'url=''https://shop.example.com/''');
INSERT INTO members VALUES ('a@example.com', NULL), ('b@example.com', ''), ('c@example.com', 'M-3');
SELECT event_id, event_id = 'members-hash_' || left(encode(sha256('event_id a@example.com'), 'hex'), 32) AS hash, status, reason FROM tiktok.event_status WHERE event = 'Subscribe' ORDER BY id;
CREATE TABLE keyless (mail text);
CREATE TRIGGER tiktok AFTER INSERT ON keyless FOR EACH ROW EXECUTE FUNCTION tiktok.track_row('shop', 'StartTrial', 'email=mail', 'url=''https://shop.example.com/''');
INSERT INTO keyless VALUES ('a@b.ex'), ('b@b.ex');
SELECT status, reason, notes FROM tiktok.event_status WHERE event = 'StartTrial' ORDER BY id;

-- names of events
CREATE TABLE names (n int PRIMARY KEY, what text, source text, event text);
INSERT INTO names VALUES (1, 'empty', 'shop', ''), (2, 'blank', 'shop', ' '), (3, 'custom', 'shop', 'Quote_Requested'), (4, '50 characters', 'shop', repeat('x', 50)), (5, '51 characters', 'shop', repeat('x', 51)), (6, '200 characters', 'shop', repeat('x', 200)),
	(7, 'two words', 'shop', 'complete payment'), (8, 'lower case', 'shop', 'purchase'), (9, 'begins with a digit', 'shop', '1st_order'), (10, 'umlaut', 'shop', U&'K\00E4ufe'), (11, 'reserved', 'shop', 'StartCheckout'), (12, 'old name', 'shop', 'CompletePayment'),
	(13, 'custom in a store', 'store', 'My_Event'), (14, 'standard in a store', 'store', 'Purchase'), (15, 'custom in a CRM', 'crm', 'Qualified-Lead'), (16, 'standard in a CRM', 'crm', 'Purchase'), (17, 'unknown source', 'nobody', 'Purchase'), (18, 'source in wrong case', 'Shop', 'Purchase'), (19, 'empty source', '', 'Purchase');
DO $$
DECLARE
	r names;
BEGIN
	FOR r IN SELECT * FROM names ORDER BY n LOOP
		EXECUTE format('CREATE TRIGGER t%s AFTER UPDATE ON names FOR EACH ROW WHEN (NEW.n = %s) EXECUTE FUNCTION tiktok.track_row(%L, %L, ''email=''''a@b.ex'''''', %L)', r.n, r.n, r.source, r.event,
			CASE r.source WHEN 'crm' THEN 'lead_id=''1''' ELSE 'url=''https://shop.example.com/''' END);
	END LOOP;
END $$;
UPDATE names SET what = what;
SELECT n.what, s.source, s.event, concat_ws(' ', s.status, s.reason) AS outcome, s.notes FROM names n JOIN tiktok.event_status s ON s.event_id = 'names-' || n.n ORDER BY n.n;

-- stages of a lead: one that is not mapped makes no event, nor does one that stays; back and forth counts once
INSERT INTO tiktok.lead_stage VALUES ('crm', 'qualified', 'Qualified', 1), ('crm', 'won', 'Purchase', 2);
CREATE TABLE leads (n int PRIMARY KEY, stage text, note text);
CREATE TRIGGER tiktok AFTER INSERT OR UPDATE ON leads FOR EACH ROW EXECUTE FUNCTION tiktok.track_row('crm', '=stage', 'lead_id=n');
INSERT INTO leads VALUES (1, 'new'), (2, NULL), (3, ''), (4, repeat('long', 100000)), (5, 'qualified ');
UPDATE leads SET stage = 'qualified' WHERE n = 1;
UPDATE leads SET note = 'called' WHERE n = 1;
UPDATE leads SET stage = 'new' WHERE n = 1;
UPDATE leads SET stage = 'qualified' WHERE n = 1;
UPDATE leads SET stage = 'won' WHERE n = 1;
SELECT event, event_id, status FROM tiktok.event_status WHERE source = 'crm' AND event_id LIKE 'leads-%' ORDER BY id;
CREATE TABLE paid (n int PRIMARY KEY, status text, total numeric);
CREATE TRIGGER tiktok AFTER UPDATE OF status ON paid FOR EACH ROW WHEN (NEW.status = 'paid' AND OLD.status IS DISTINCT FROM NEW.status)
	EXECUTE FUNCTION tiktok.track_row('shop', 'Purchase', 'value=total', 'currency=''EUR''', 'ttp=''T''', 'url=''https://shop.example.com/''');
INSERT INTO paid VALUES (1, 'pending', 1);
UPDATE paid SET status = 'paid';
UPDATE paid SET status = 'paid', total = 2;
UPDATE paid SET status = 'pending';
UPDATE paid SET status = 'paid', total = 3;
SELECT event_id, status, value FROM tiktok.event_status WHERE event_id LIKE 'paid-%';

-- no identifier in what anybody may read
SELECT count(*) FROM tiktok.event_status WHERE concat(event, event_id, notes, reason) ~ '@|undefined|nonsense';

TRUNCATE tiktok.event, tiktok.identity, tiktok.delivery;
DELETE FROM tiktok.source;
ALTER SEQUENCE tiktok.source_id_seq RESTART;
DROP TABLE emails, phones, others, nobody, amounts, cash, baskets, texts, times, ids, pairs, members, keyless, names, leads, paid;
DROP FUNCTION fates, plain, time_of;
DROP TYPE mood, pair, address;
