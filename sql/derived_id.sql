-- An event_id that is made of a row shows nobody's address or number. Nothing is sent here: no source has a token.
\set SHOW_CONTEXT never
INSERT INTO tiktok.source (id, name, event_source, event_source_id, require_lead_id) VALUES (971, 'web', 'web', 'C1', true), (972, 'crm', 'crm', '7401', false);
INSERT INTO tiktok.lead_stage VALUES ('crm', 'q', 'Qualified_Lead', 1), ('crm', 'b-q', 'Qualified_Lead', 2), ('crm', 'won%40example.com', 'Won', 3), ('crm', '58723941', 'Won', 4);
CREATE TABLE lead (id text PRIMARY KEY, stage text, url text DEFAULT 'https://example.com/');
CREATE TABLE pair (a varchar, b text, PRIMARY KEY (a, b));
CREATE TABLE visit (ip inet PRIMARY KEY);
CREATE TABLE unit (id uuid PRIMARY KEY);
CREATE TABLE n (id bigint PRIMARY KEY);
CREATE TABLE "of anna@example.com" (id int PRIMARY KEY);
CREATE TRIGGER t AFTER INSERT ON lead FOR EACH ROW EXECUTE FUNCTION tiktok.track_row('crm', '=stage');
CREATE TRIGGER t AFTER INSERT ON pair FOR EACH ROW EXECUTE FUNCTION tiktok.track_row('web', 'Purchase');
CREATE TRIGGER t AFTER INSERT ON visit FOR EACH ROW EXECUTE FUNCTION tiktok.track_row('web', 'Purchase');
CREATE TRIGGER t AFTER INSERT ON unit FOR EACH ROW EXECUTE FUNCTION tiktok.track_row('web', 'Purchase');
CREATE TRIGGER t AFTER INSERT ON n FOR EACH ROW EXECUTE FUNCTION tiktok.track_row('web', 'Purchase');
CREATE TRIGGER t AFTER INSERT ON "of anna@example.com" FOR EACH ROW EXECUTE FUNCTION tiktok.track_row('web', 'Purchase');

-- the id of each key: a hash is shown as #
CREATE TABLE ids (key text, id text);
CREATE FUNCTION pg_temp.ids(key text) RETURNS void LANGUAGE sql AS $$
	INSERT INTO ids SELECT key, event_id FROM tiktok.event;
	TRUNCATE tiktok.event, tiktok.identity, tiktok.delivery
$$;
DO $$
DECLARE k text;
BEGIN
	FOREACH k IN ARRAY ARRAY['7', 'SO-7', 'ORD-2026-00001', '550e8400-e29b-41d4-a716-446655440000', '123456', 'hash_x', 'a', 'a-b', '3:a-b', '3:a',
		'anna@example.com', 'ANNA@EXAMPLE.COM', 'anna%40example.com', 'ANNA%2540EXAMPLE.COM', U&'anna\FF20example.com', U&'j\00F6rg@m\00FCller.de', '@anna',
		'+4915112345678', '%2B4915112345678', '+49 151 123-45678', '015112345678', '0151 12345678', '(415) 555-2671', U&'\FF10\FF11\FF15\FF11\FF11\FF12\FF13\FF14\FF15\FF16',
		repeat('x', 100) || 'anna@example.com'] LOOP
		INSERT INTO lead VALUES (k, 'q');
		PERFORM pg_temp.ids(k || ' q');
	END LOOP;
	DELETE FROM lead;
	INSERT INTO lead VALUES ('a', 'b-q'), ('1', 'won%40example.com'), ('2', '58723941');
	PERFORM pg_temp.ids('stages');
	INSERT INTO pair VALUES ('anna@example.com', '1'), ('SO', '015112345678'), ('a-b', 'c'), ('a', 'b-c');
	PERFORM pg_temp.ids('pair');
	INSERT INTO visit VALUES ('203.0.113.7'), ('2001:db8::1');
	PERFORM pg_temp.ids('visit');
	INSERT INTO unit VALUES ('12345678-1234-1234-1234-123456789012');
	PERFORM pg_temp.ids('unit');
	INSERT INTO n VALUES (4915112345678);
	PERFORM pg_temp.ids('n');
	INSERT INTO "of anna@example.com" VALUES (1);
	PERFORM pg_temp.ids('table');
END $$;
SELECT key, regexp_replace(id, '[0-9a-f]{32}', '#', 'g') AS id FROM ids ORDER BY key COLLATE "C", length(ids.id), ids.id COLLATE "C";
SELECT count(*) - count(DISTINCT id) AS same FROM ids;
-- a key that looks like another's hash is hashed itself
INSERT INTO lead SELECT substr(id, 6, 37), 'q' FROM ids WHERE key = 'anna@example.com q';
SELECT i.key, e.event_id = i.id AS same, e.event_id ~ '^lead-hash_[0-9a-f]{32}-q$' AS hashed FROM tiktok.event e, ids i WHERE i.key = 'anna@example.com q';

-- a stage that nobody mapped
INSERT INTO lead SELECT 'stage ' || n, stage FROM unnest(ARRAY['new', 'anna%40example.com', U&'anna\FF20example.com', '%2B4915112345678', U&'\FF10\FF11\FF15\FF11\FF11\FF12\FF13\FF14', '@anna']) WITH ORDINALITY u (stage, n);
SELECT * FROM tiktok.unmapped_stage WHERE source = 'crm';

-- by a call: id and name
SELECT tiktok.track('web', 'Purchase', 'SO-anna%40example.com', page => '{"url": "https://example.com/"}');
SELECT tiktok.track('web', 'anna%40example.com', 'SO-1', page => '{"url": "https://example.com/"}');
SELECT tiktok.track('web', '0151 12345678', 'SO-1', page => '{"url": "https://example.com/"}');
DROP TABLE lead, pair, visit, unit, n, "of anna@example.com", ids;
TRUNCATE tiktok.event, tiktok.identity, tiktok.delivery;
DELETE FROM tiktok.lead_stage;
DELETE FROM tiktok.source;
