-- Identifiers by SQL: normalised, hashed, explained.
SELECT test_name, passed, left(expected, 16) AS expected, left(got, 12) AS got FROM tiktok.self_test();
SELECT count(*), bool_and(passed) FROM tiktok.self_test();

-- TikTok's published hashes, function by function
SELECT kind, value, hash = published AS as_published FROM (VALUES
	('email', ' ALICE_abc@gmail.com ', tiktok.hash_email(' ALICE_abc@gmail.com '), '848a771458438fc2ec420560d769fb9b9b86851ee338ec56517baabd79d3bb4f'),
	('phone', '(+1)2133734253', tiktok.hash_phone('(+1)2133734253'), '9f7ec22d72092cd3c0b58726ed9c2d91b92e51a3f29837508fb2948bb22dd2fd'),
	('external_id', 'user_123', tiktok.hash_external_id('user_123'), '80fba0ae1c48e3978e43e4efc365e14e12ea0c830ba8ba5b9a2dafc7e3f2ab8b'),
	('first_name', 'Jane', tiktok.hash_first_name('Jane'), '81f8f6dde88365f3928796ec7aa53f72820b06db8664f5fe76a7eb13e24546a2'),
	('zip_code', '95110', tiktok.hash_zip_code('95110', 'US'), '383f7fffd99f3b1c3066086bcf991eae7ad543589d12bd792ecb6dc8b5acebc1'),
	('zip_code', 'M5V 3L9', tiktok.hash_zip_code('M5V 3L9', 'CA'), '5c850751d57c5d887fe7807d3da801efe7e8faa1f105ea36cdcd913dd32a41c7'),
	('idfa', 'EA7583CD-A667-48BC-B806-42ECB2B48606', tiktok.hash_idfa('EA7583CD-A667-48BC-B806-42ECB2B48606'), '70574fa9c8f498a7b2e5c8712b1126de7b1406fd02fdc591821c5bd33092fd1c'),
	('gaid', 'aaaaaa-2222-1111-8787-809e92233ba0', tiktok.hash_gaid('aaaaaa-2222-1111-8787-809e92233ba0'), '0ebad966881e1eebffe69b3abf624631cf83ec9bf8cb3ce134c7c75c6d8ee7fc')
) v(kind, value, hash, published);
-- the hash is that of the normalised value in UTF-8
SELECT bool_and(tiktok.hash_email(v) = encode(sha256(convert_to(tiktok.normalize_email(v), 'UTF8')), 'hex')) FROM unnest('{A@example.com,Ä@example.com,x+y@b.example}'::text[]) v;
SELECT tiktok.hash_last_name(' Müller-Lüdenscheidt ') = encode(sha256(convert_to('müllerlüdenscheidt', 'UTF8')), 'hex') AS last_name,
	tiktok.hash_last_name(U&'Mu\0308ller') = tiktok.hash_last_name('MÜLLER') AS one_spelling,
	tiktok.hash_gaid('AAAAAA-2222-1111-8787-809E92233BA0') = tiktok.hash_gaid('aaaaaa-2222-1111-8787-809e92233ba0') AS gaid_case,
	tiktok.hash_idfa('70574FA9C8F498A7B2E5C8712B1126DE7B1406FD02FDC591821C5BD33092FD1C') AS hashed_already;

-- every kind
SELECT tiktok.normalize_email('  John@Example.COM '), tiktok.normalize_external_id(' User_123 '), tiktok.normalize_ip('::ffff:203.0.113.9'), tiktok.normalize_locale('en_US');
SELECT tiktok.normalize_idfa('ea7583cd-a667-48bc-b806-42ecb2b48606'), tiktok.normalize_idfv('8C1A0F4E-0000-4000-8000-000000000001'), tiktok.normalize_gaid('AAAAAA-2222-1111-8787-809E92233BA0'), tiktok.normalize_att_status('denied');
SELECT tiktok.normalize_first_name(' Mary  Jane '), tiktok.normalize_last_name('O''Doe'), tiktok.normalize_city('São Paulo'), tiktok.normalize_state('California'), tiktok.normalize_state('California', 'Mexico'), tiktok.normalize_country('Germany'), tiktok.normalize_country('USA');
SELECT tiktok.normalize_zip_code('95110-2345'), tiktok.normalize_zip_code('95110-2345', 'US'), tiktok.normalize_zip_code('95110-2345', 'usa'), tiktok.normalize_zip_code('M5V 3L9', 'no country');

-- phones: international by themselves, national with a calling code in any form
SELECT value, calling_code, tiktok.normalize_phone(value, calling_code), left(tiktok.hash_phone(value, calling_code), 8) AS hash FROM (VALUES
	('+1 (415) 555-0100', NULL), ('0049 30 23125123', NULL), ('030 23125123', '49'), ('030 23125123', '+49'), ('030 23125123', 'DE'), ('030 23125123', 'de'),
	('+49 (0)30 23125123', ''), ('06 1234 5678', 'IT'), ('07700 900123', 'GB'), ('030 23125123', NULL), ('12', '49'), ('+1 415 555 0100 ext 5', NULL), (NULL, '49')) v(value, calling_code);
SELECT tiktok.hash_phone('030 23125123', 'Atlantis');
SELECT tiktok.normalize_phone('+49 30 23125123', '999');

-- NULL when unusable
SELECT num_nulls(tiktok.hash_email(NULL), tiktok.hash_email(''), tiktok.hash_email('not-an-email'), tiktok.hash_email('d41d8cd98f00b204e9800998ecf8427e'), tiktok.hash_email(repeat('x', 1000000) || '@example.com'),
	tiktok.hash_phone('+'), tiktok.hash_phone('0123456789abcdef0123456789abcdef'), tiktok.hash_external_id('undefined'), tiktok.hash_external_id('N/A'), tiktok.hash_external_id(repeat('x', 513)),
	tiktok.hash_first_name('---'), tiktok.hash_zip_code('1234', 'US'), tiktok.hash_idfa('00000000-0000-0000-0000-000000000000'), tiktok.hash_gaid('x'),
	tiktok.normalize_ip('10.0.0.1'), tiktok.normalize_ip('999.1.1.1'), tiktok.normalize_idfv('70574fa9c8f498a7b2e5c8712b1126de7b1406fd02fdc591821c5bd33092fd1c'), tiktok.normalize_att_status('maybe'), tiktok.normalize_city('東京'),
	tiktok.normalize_country('Atlantis'), tiktok.normalize_locale('C'), tiktok.hash_email(U&'a\200Bb@example.com'), tiktok.hash_external_id(U&'a\FFFDb')) AS of_23;

-- the steps
SELECT * FROM tiktok.explain_identifier('email', '  Ana@Example.com ');
SELECT * FROM tiktok.explain_identifier('phone', '030 23125123', 'DE');
SELECT * FROM tiktok.explain_identifier('phone', '030 23125123');
SELECT * FROM tiktok.explain_identifier('phone', '+54 11 15-2345-6789');
SELECT * FROM tiktok.explain_identifier('phone', '001 852 5123 4567', 'HK');
SELECT * FROM tiktok.explain_identifier('phone', '4915112345678', '49');
SELECT * FROM tiktok.explain_identifier('phone', '06 12 34 56 78 90', 'FR');
SELECT what FROM tiktok.explain_identifier('phone', '06 12', 'France') WHERE result IS NULL;
SELECT what FROM tiktok.explain_identifier('phone', '+1 115 155 0100') WHERE result IS NULL;
SELECT what FROM tiktok.explain_identifier('phone', '492112345', 'DE') WHERE result IS NULL;
SELECT what FROM tiktok.explain_identifier('phone', '555-555-5555', 'US') WHERE result IS NULL;
SELECT * FROM tiktok.explain_identifier('email', '848A771458438FC2EC420560D769FB9B9B86851EE338EC56517BAABD79D3BB4F');
SELECT * FROM tiktok.explain_identifier('external_id', repeat('g', 64));
SELECT * FROM tiktok.explain_identifier('gaid', '0EBAD966881E1EEBFFE69B3ABF624631CF83EC9BF8CB3CE134C7C75C6D8EE7FC');
SELECT * FROM tiktok.explain_identifier('city', 'Île-de-France');
SELECT * FROM tiktok.explain_identifier('zip_code', '95110-2345', 'US');
SELECT * FROM tiktok.explain_identifier('idfa', 'ea7583cd-a667-48bc-b806-42ecb2b48606');
SELECT * FROM tiktok.explain_identifier('user_agent', ' Mozilla/5.0 ');
SELECT * FROM tiktok.explain_identifier('ttclid', NULL);

-- every reason for leaving a value out is put into words
SELECT kind, regexp_replace(left(value, 20), '[^ -~]', '?', 'g') AS value, (SELECT what FROM tiktok.explain_identifier(kind, value) ORDER BY step DESC LIMIT 1) FROM (VALUES
	('email', ' '), ('email', 'a@'), ('email', 'a@b@example.com'), ('email', 'a b@example.com'), ('email', 'd41d8cd98f00b204e9800998ecf8427e'), ('email', U&'a\202Eb@example.com'),
	('email', repeat('x', 400) || '@example.com'), ('email', U&'\FFFD@example.com'), ('email', 'null'), ('phone', 'ext 5'), ('phone', '+1 23'), ('phone', '5550100'), ('ip', '999.1.1.1'), ('ip', 'fe80::1'),
	('locale', 'C'), ('idfa', '00000000-0000-0000-0000-000000000000'), ('gaid', 'x'), ('idfv', '70574fa9c8f498a7b2e5c8712b1126de7b1406fd02fdc591821c5bd33092fd1c'),
	('att_status', 'yes'), ('city', '東京'), ('country', 'Atlantis'), ('zip_code', '95_110')) v(kind, value);
SELECT * FROM tiktok.explain_identifier('e-mail', 'a@example.com');
SELECT * FROM tiktok.explain_identifier(NULL, 'a@example.com');
SELECT * FROM tiktok.explain_identifier('phone', '030 23125123', 'Atlantis');

-- the country of an event says whose national number its phone is; without one the calling code of the source, and with one that is none nothing does
INSERT INTO tiktok.source (id, name, event_source, event_source_id, default_calling_code) VALUES (951, 'german', 'web', 'C1', 'DE'), (952, 'nowhere', 'web', 'C2', NULL);
CREATE TABLE buyer (n int PRIMARY KEY, source text, phone text, country text, url text DEFAULT 'https://example.com/');
CREATE TRIGGER german AFTER INSERT ON buyer FOR EACH ROW WHEN (NEW.source = 'german') EXECUTE FUNCTION tiktok.track_row('german', 'Contact', 'phone=phone', 'country=country', 'ttp=n', 'url=url');
CREATE TRIGGER nowhere AFTER INSERT ON buyer FOR EACH ROW WHEN (NEW.source = 'nowhere') EXECUTE FUNCTION tiktok.track_row('nowhere', 'Contact', 'phone=phone', 'country=country', 'ttp=n', 'url=url');
INSERT INTO buyer VALUES (1, 'german', '06 12 34 56 78', 'FR'), (2, 'german', '0664 1234567', 'Österreich'), (3, 'german', '030 23125123', NULL), (4, 'german', '030 23125123', ' '), (5, 'german', '030 23125123', 'Atlantis'),
	(6, 'german', '+33 6 12 34 56 78', 'Atlantis'), (7, 'german', '030 23125123', 'FR'), (8, 'german', '+49 30 23125123', 'FR'), (9, 'nowhere', '06 12 34 56 78', 'France'), (10, 'nowhere', '06 12 34 56 78', NULL);
SELECT b.n, b.source, b.phone, b.country, i.user_data::jsonb ->> 'phone' AS recorded, e.notes FROM buyer b JOIN tiktok.event e ON e.event_id = 'buyer-' || b.n JOIN tiktok.identity i USING (id) ORDER BY n;
SELECT * FROM tiktok.identifier_problems ORDER BY 1, 2, 3, 4;
UPDATE tiktok.event SET enqueued_at = now() - interval '8 days' WHERE event_id = 'buyer-7';
SELECT * FROM tiktok.identifier_problems WHERE identifier = 'phone' ORDER BY 1, 4;
SELECT count(*), count(notes) FROM tiktok.check_rows('buyer', 'german');
DROP TABLE buyer;
TRUNCATE tiktok.event, tiktok.identity, tiktok.delivery;
DELETE FROM tiktok.source;

-- TikTok's return codes
SELECT code, class, meaning, fix FROM unnest('{0,20001,40002,40050,40100,40105,40001,50000,40700,49999,12345,-1}'::int[]) WITH ORDINALITY c(given, n), tiktok.explain_code(given) ORDER BY n;
SELECT tiktok.explain_code(NULL);

-- in an index, in parallel, and out of reach of a stranger
CREATE TABLE customers (email text, hash text GENERATED ALWAYS AS (tiktok.hash_email(email)) STORED);
CREATE INDEX ON customers (tiktok.hash_email(email));
INSERT INTO customers VALUES ('Ana@example.com'), ('nobody');
SELECT email, left(hash, 8) FROM customers;
DROP TABLE customers;
SELECT count(*), bool_and(provolatile = 'i'), bool_and(proparallel = 's') FROM pg_proc WHERE pronamespace = 'tiktok'::regnamespace AND proname ~ '^(normalize|hash|explain)_|^self_test$';
CREATE ROLE tiktok_stranger;
SET ROLE tiktok_stranger;
SELECT tiktok.hash_email('a@example.com');
RESET ROLE;
DROP ROLE tiktok_stranger;
