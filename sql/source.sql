-- tiktok.source refuses nonsense, with a hint.
INSERT INTO tiktok.source (name, event_source, event_source_id) VALUES ('s', 'Web', 'C1');
INSERT INTO tiktok.source (name, event_source, event_source_id) VALUES ('s', 'web', 'C 1');
INSERT INTO tiktok.source (name, event_source, event_source_id) VALUES ('s', 'web', '');
INSERT INTO tiktok.source (name, event_source, event_source_id) VALUES ('', 'web', 'C1');
INSERT INTO tiktok.source (name, event_source, event_source_id) VALUES ('a/b', 'web', 'C1');
INSERT INTO tiktok.source (id, name, event_source, event_source_id) VALUES (0, 's', 'web', 'C1');
INSERT INTO tiktok.source (name, event_source, event_source_id, consent) VALUES ('s', 'web', 'C1', 'maybe');
INSERT INTO tiktok.source (name, event_source, event_source_id, identifiers) VALUES ('s', 'web', 'C1', 'plain');
INSERT INTO tiktok.source (name, event_source, event_source_id, external_id_case) VALUES ('s', 'web', 'C1', 'upper');
INSERT INTO tiktok.source (name, event_source, event_source_id, default_calling_code) VALUES ('s', 'web', 'C1', '999');
INSERT INTO tiktok.source (name, event_source, event_source_id, batch_size) VALUES ('s', 'web', 'C1', 1001);
INSERT INTO tiktok.source (name, event_source, event_source_id, requests_per_second) VALUES ('s', 'web', 'C1', 0);
INSERT INTO tiktok.source (name, event_source, event_source_id, max_event_age) VALUES ('s', 'web', 'C1', '-1 day');
INSERT INTO tiktok.source (name, event_source, event_source_id, currency_policy) VALUES ('s', 'web', 'C1', 'guess');
-- also where other triggers do not fire
SET session_replication_role = replica;
INSERT INTO tiktok.source (name, event_source, event_source_id) VALUES ('s', 'Web', 'C1');
RESET session_replication_role;
\set VERBOSITY terse
INSERT INTO tiktok.source (name, event_source, event_source_id) VALUES (NULL, 'web', 'C1');
INSERT INTO tiktok.source (name, event_source, event_source_id) VALUES ('s', NULL, 'C1');
\set VERBOSITY default

INSERT INTO tiktok.source (name, event_source, event_source_id, default_calling_code) VALUES ('s', 'web', 'C1', 'DE');
SELECT name, event_source, enabled, consent, limited_data_use, identifiers, external_id_case, require_lead_id, rename_legacy_events,
	max_event_age, batch_size, requests_per_second FROM tiktok.source;

-- without a max_event_age a source has the default of its kind
BEGIN;
INSERT INTO tiktok.source (name, event_source, event_source_id, max_event_age) VALUES ('app', 'app', 'C1', NULL), ('store', 'offline', 'C1', DEFAULT),
	('crm', 'crm', 'C1', NULL), ('own', 'web', 'C1', '3 days');
UPDATE tiktok.source SET max_event_age = '1 day' WHERE name IN ('s', 'store');
UPDATE tiktok.source SET max_event_age = NULL WHERE name = 'store';
SELECT name, max_event_age FROM tiktok.source ORDER BY name;
ROLLBACK;

-- changes are seen at once, also in the transaction that makes them
SELECT tiktok.preview('s', 'ViewContent', 'v1', user_data => '{"phone": "030 23125123"}', page => '{"url": "https://example.com/"}') -> 'user';
BEGIN;
UPDATE tiktok.source SET default_calling_code = NULL, max_event_age = '100 years' WHERE name = 's';
SELECT tiktok.preview('s', 'ViewContent', 'v1', '2026-11-20 10:00:00+00', user_data => '{"phone": "030 23125123"}', page => '{"url": "https://example.com/"}');
ROLLBACK;
UPDATE tiktok.source SET max_event_age = '100 years', default_calling_code = '49' WHERE name = 's';
SELECT tiktok.preview('s', 'ViewContent', 'v1', '2026-11-20 10:00:00+00', user_data => '{"phone": "030 23125123"}', page => '{"url": "https://example.com/"}') -> 'user';

-- who alters the table gets an error instead of what must be there
BEGIN;
ALTER TABLE tiktok.source ALTER consent DROP NOT NULL;
SELECT tiktok.preview('s', 'ViewContent', 'v1');
ROLLBACK;

-- a source with events stays
SELECT tiktok.track('s', 'ViewContent', 'v1', user_data => '{"external_id": 1}', page => '{"url": "https://example.com/"}') IS NOT NULL AS tracked;
DELETE FROM tiktok.source WHERE name = 's';
UPDATE tiktok.source SET id = 100 WHERE name = 's';
BEGIN;
INSERT INTO tiktok.source (name, event_source, event_source_id) VALUES ('own', 'web', 'C2');
WITH recorded AS (
	SELECT tiktok.track('own', 'ViewContent', 'v1', user_data => '{"external_id": 1}', page => '{"url": "https://example.com/"}') AS id)
DELETE FROM tiktok.source WHERE name = 'own' AND EXISTS (SELECT FROM recorded);
ROLLBACK;
TRUNCATE tiktok.source CASCADE;
UPDATE tiktok.source SET name = 'renamed' WHERE name = 's';
SELECT source, event_id, status FROM tiktok.event_status;
UPDATE tiktok.source SET name = 's' WHERE name = 'renamed';

-- tokens
SELECT tiktok.set_access_token('nobody', 'x');
SELECT tiktok.set_access_token(NULL, 'x');
SELECT tiktok.set_access_token('s', '');
SELECT tiktok.set_access_token('s', 'with blank');
SELECT tiktok.set_access_token('s', E'line\nbreak');
SELECT tiktok.set_access_token('s', repeat('x', 513));
BEGIN;
SELECT tiktok.set_access_token('s', 'first');
SELECT tiktok.set_access_token('s', 'second');
SELECT token, system_identifier = (SELECT system_identifier FROM pg_control_system()) AS here, database_oid = (SELECT oid FROM pg_database WHERE datname = current_database()) AS this
FROM tiktok.access_token;
SELECT tiktok.set_access_token('s', NULL);
SELECT count(*) FROM tiktok.access_token;
ROLLBACK;

-- waiting
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT tiktok.wait('1 s');
ROLLBACK;
BEGIN;
SELECT tiktok.track('s', 'ViewContent', 'v2', user_data => '{"external_id": 1}', page => '{"url": "https://example.com/"}') IS NOT NULL AS tracked;
SELECT tiktok.wait('1 s');
ROLLBACK;
SELECT tiktok.wait('100 ms');
-- what was rolled back to a savepoint is not waited for, what was not is
BEGIN;
SAVEPOINT a;
SELECT tiktok.track('s', 'ViewContent', 'v3', user_data => '{"external_id": 1}', page => '{"url": "https://example.com/"}') IS NOT NULL AS tracked;
ROLLBACK TO a;
SELECT tiktok.wait('100 ms');
SAVEPOINT b;
SELECT tiktok.track('s', 'ViewContent', 'v4', user_data => '{"external_id": 1}', page => '{"url": "https://example.com/"}') IS NOT NULL AS tracked;
RELEASE b;
SELECT tiktok.wait('1 s');
ROLLBACK;

TRUNCATE tiktok.event, tiktok.identity;
DELETE FROM tiktok.source;
