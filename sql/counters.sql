-- What records no event is counted: a known key with another event, and stages that are not mapped.
INSERT INTO tiktok.source (name, event_source, event_source_id, require_lead_id) VALUES ('shop', 'web', 'C1', true), ('crm', 'crm', '123', false);
INSERT INTO tiktok.lead_stage VALUES ('crm', 'won', 'Purchase', 1);
CREATE FUNCTION track(event_id text, value numeric, user_data jsonb DEFAULT '{"external_id": "c1"}', event_time timestamptz DEFAULT now(),
	consent boolean DEFAULT NULL) RETURNS boolean LANGUAGE sql AS $$
SELECT tiktok.track('shop', 'Purchase', event_id, event_time, user_data, jsonb_build_object('value', value, 'currency', 'EUR'),
	'{"url": "https://example.com/"}', consent => consent) IS NOT NULL
$$;
CREATE VIEW counted AS SELECT source, conflict, no_mapping, since < now() AS since FROM tiktok.enqueue_counters ORDER BY source;
CREATE VIEW stages AS SELECT * FROM tiktok.unmapped_stage ORDER BY source, stage COLLATE "C";
SELECT * FROM counted;

-- the same event again is no conflict, whenever it is said to have been, and whoever exactly it was
SELECT track('o1', 10);
SELECT track('o1', 10);
SELECT track('o1', 10, event_time => now() - interval '1 hour');
SELECT track('o1', 10, '{"external_id": "c2"}');
SELECT * FROM counted;
-- another event is: another payload, another set of identifiers, none to be sent
SELECT track('o1', 11);
SELECT track('o1', 10, '{"external_id": "c1", "email": "a@example.com"}');
SELECT track('o1', 10, consent => false);
SELECT * FROM counted;
-- counters know no transaction, and no key that has become free again
BEGIN;
SELECT track('o1', 12);
ROLLBACK;
SELECT track('o2', 1, consent => false);
SELECT track('o2', 2);
SELECT * FROM counted;
SELECT event_id, value, status FROM tiktok.event_status ORDER BY event_id;

-- what is final when it is recorded, by status
SELECT track('o3', 3, event_time => now() - interval '30 days');
SELECT s.status, s.events, s.since = c.since AS since FROM tiktok.status_counters s JOIN tiktok.enqueue_counters c USING (source) WHERE source = 'shop';
SELECT status, count(*) FROM tiktok.event_status GROUP BY 1 ORDER BY 1;

-- stages
CREATE TABLE leads (id int PRIMARY KEY, stage text, email text);
CREATE TRIGGER tiktok AFTER INSERT OR UPDATE ON leads FOR EACH ROW EXECUTE FUNCTION tiktok.track_row('crm', '=stage', 'email=email');
INSERT INTO leads VALUES (1, 'new', 'a@example.com'), (2, 'new', 'b@example.com'), (3, 'won', 'c@example.com'), (4, NULL, 'd@example.com'), (5, '', 'e@example.com');
UPDATE leads SET email = 'z@example.com' WHERE id = 1;
UPDATE leads SET stage = 'lost' WHERE id = 1;
SELECT * FROM counted;
SELECT * FROM stages;
-- what looks like an identifier is counted without its name; long ones are cut
UPDATE leads SET stage = 'a@example.com' WHERE id = 1;
UPDATE leads SET stage = '+1 415 555-0100' WHERE id = 1;
UPDATE leads SET stage = repeat('ä', 40) WHERE id = 1;
UPDATE leads SET stage = repeat('ä', 41) WHERE id = 1;
SELECT * FROM counted;
SELECT * FROM stages;
-- more stages than there is room for
INSERT INTO leads SELECT 100 + g, 'stage ' || g, 'a@example.com' FROM generate_series(1, 100) g;
INSERT INTO leads SELECT 200 + g, 'stage 1', 'a@example.com' FROM generate_series(1, 100) g;
SELECT * FROM counted;
SELECT count(*), sum(no_mapping), max(no_mapping) FROM stages;

-- a lead may come back to a stage when it has changed
DROP TRIGGER tiktok ON leads;
TRUNCATE leads, tiktok.event, tiktok.identity, tiktok.delivery;
ALTER TABLE leads ADD deal numeric, ADD at timestamptz DEFAULT now();
CREATE TRIGGER tiktok AFTER INSERT OR UPDATE ON leads FOR EACH ROW EXECUTE FUNCTION tiktok.track_row('crm', '=stage', 'email=email', 'value=deal', 'currency=''EUR''', 'event_time=at');
INSERT INTO leads VALUES (1, 'won', 'a@example.com', 100);
SELECT conflict FROM counted WHERE source = 'crm';
UPDATE leads SET stage = 'lost';
UPDATE leads SET stage = 'won', deal = 200;
SELECT conflict FROM counted WHERE source = 'crm';
-- and a backfill meets rows that have changed
SET client_min_messages = warning;
CALL tiktok.backfill('leads', 'tiktok');
RESET client_min_messages;
SELECT conflict FROM counted WHERE source = 'crm';
-- a new lead under the key of another
DELETE FROM leads;
INSERT INTO leads VALUES (1, 'won', 'a@example.com', 300);
SELECT conflict FROM counted WHERE source = 'crm';
SELECT event_id, value FROM tiktok.event_status;

-- no source has id 0
SELECT count(*) FROM tiktok_internal.unmapped_stages(0);

-- they belong to the installation
BEGIN;
DROP EXTENSION tiktok_events CASCADE;
CREATE EXTENSION tiktok_events;
ROLLBACK;
SELECT * FROM counted;

DROP VIEW counted, stages;
DROP TABLE leads;
DROP FUNCTION track;
TRUNCATE tiktok.event, tiktok.identity, tiktok.delivery;
DELETE FROM tiktok.source;
