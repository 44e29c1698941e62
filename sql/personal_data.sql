-- Personal data: forgetting a person, withdrawing consent, and what is deleted when its time is over. Nothing is sent here: no source has a token.
\set SHOW_CONTEXT never
INSERT INTO tiktok.source (id, name, event_source, event_source_id, identifiers, external_id_case, default_calling_code, require_lead_id) VALUES
	(961, 'shop', 'web', 'C1', 'hash_on_delivery', 'keep', NULL, true), (962, 'hashed', 'web', 'C2', 'hash_on_enqueue', 'lower', NULL, true),
	(963, 'german', 'web', 'C3', 'hash_on_delivery', 'lower', 'DE', true), (964, 'crm', 'crm', '7401', 'hash_on_delivery', 'keep', NULL, true),
	(965, 'mail', 'crm', '7402', 'hash_on_enqueue', 'keep', NULL, false);
CREATE FUNCTION pg_temp.record(source text, event_id text, user_data jsonb) RETURNS bigint LANGUAGE sql AS $$
SELECT CASE WHEN source IN ('crm', 'mail')
	THEN tiktok.track(source, 'Won', event_id, user_data => user_data, lead => CASE source WHEN 'crm' THEN '{"lead_id": "7412345678901234567"}'::jsonb END)
	ELSE tiktok.track(source, 'ViewContent', event_id, user_data => user_data, page => '{"url": "https://example.com/"}') END
$$;
CREATE FUNCTION pg_temp.record_all() RETURNS bigint LANGUAGE sql AS $$
SELECT count(pg_temp.record(source, event_id, user_data)) FROM (VALUES
	('shop', 'ana', '{"email": " Ana@Example.com ", "phone": "+49 30 123456", "ip": "203.0.113.7", "first_name": "Ana"}'::jsonb),
	('shop', 'two', '{"email": ["other@example.com", "ana@example.com"], "external_id": "Ana7"}'),
	('shop', 'bob', '{"email": "bob@example.com", "phone": "+49 30 654321", "external_id": "Bob7"}'),
	('hashed', 'ana', '{"email": "ana@example.com", "phone": "+49 30 123456", "external_id": "Ana7"}'),
	('hashed', 'bob', '{"email": "bob@example.com"}'),
	('german', 'ana', '{"phone": "030 123456"}'),
	('german', 'id', '{"external_id": "Ana7"}'),
	('german', 'click', '{"ttclid": "E.C.P.click", "ip": "203.0.113.7"}'),
	('crm', 'lead', '{"email": "ana@example.com"}'),
	('mail', 'nolead', '{"email": "ana@example.com"}')) v (source, event_id, user_data)
$$;
CREATE VIEW pg_temp.waiting AS
SELECT s.source, s.event_id, s.status, s.reason, i.id IS NOT NULL AS identity
FROM tiktok.event_status s LEFT JOIN tiktok.identity i ON i.id = s.id;
CREATE FUNCTION pg_temp.id(source text, event_id text) RETURNS bigint LANGUAGE sql AS
	'SELECT id FROM tiktok.event_status s WHERE s.source = $1 AND s.event_id = $2';

-- forgetting: nothing to look for, and what no event has; the error does not repeat it
SELECT tiktok.forget();
SELECT tiktok.forget(email => 'canary at example.com');
SELECT tiktok.forget(phone => '');
SELECT tiktok.forget(email => 'ana@example.com', external_id => 'null');
SELECT pg_temp.record_all();
SELECT tiktok.forget(email => 'nobody@example.com'), tiktok.forget(external_id => 'ana8', phone => '+493012345');

-- by e-mail address, however it is written, raw or as a hash
BEGIN;
SELECT tiktok.forget(email => ' ANA@example.com');
SELECT * FROM pg_temp.waiting WHERE status <> 'pending' OR NOT identity ORDER BY 1, 2;
SELECT count(*) AS not_ana FROM pg_temp.waiting WHERE status = 'pending' AND identity;
SELECT tiktok.forget(email => 'ana@example.com') AS again;
ROLLBACK;
BEGIN;
SELECT tiktok.forget(email => upper(encode(sha256('ana@example.com'), 'hex')));
SELECT source, event_id FROM pg_temp.waiting WHERE NOT identity ORDER BY 1, 2;
ROLLBACK;

-- by telephone number: a national one is that of the source's country
BEGIN;
SELECT tiktok.forget(phone => '+493012 34-56');
SELECT source, event_id FROM pg_temp.waiting WHERE NOT identity ORDER BY 1, 2;
ROLLBACK;
BEGIN;
SELECT tiktok.forget(phone => '030 123456');
SELECT source, event_id FROM pg_temp.waiting WHERE NOT identity ORDER BY 1, 2;
ROLLBACK;

-- by your own id, in the case in which it was hashed
BEGIN;
SELECT tiktok.forget(external_id => 'Ana7');
SELECT source, event_id FROM pg_temp.waiting WHERE NOT identity ORDER BY 1, 2;
ROLLBACK;
BEGIN;
SELECT tiktok.forget(external_id => 'ana7');
SELECT source, event_id FROM pg_temp.waiting WHERE NOT identity ORDER BY 1, 2;
ROLLBACK;

-- what was recorded by older rules
BEGIN;
UPDATE tiktok.identity SET user_data = '{"email":"Änna@example.com"}' WHERE id = pg_temp.id('shop', 'bob');
SELECT tiktok.forget(email => 'ÄNNA@example.com') AS email;
ROLLBACK;
BEGIN;
UPDATE tiktok.identity SET user_data = '{"phone":"+54111523456789"}' WHERE id = pg_temp.id('shop', 'bob');
UPDATE tiktok.identity SET user_data = json_build_object('phone', encode(sha256('+54111523456789'), 'hex')) WHERE id = pg_temp.id('hashed', 'bob');
UPDATE tiktok.identity SET user_data = '{"phone":"+5491123456789"}' WHERE id = pg_temp.id('shop', 'two');
SELECT tiktok.forget(phone => '+54 11 15-2345-6789') AS three;
ROLLBACK;

-- what is to be retried, and what is final
INSERT INTO tiktok.request (id, source_id, started_at, finished_at, events, first_xid, first_id, last_xid, last_id, bytes) OVERRIDING SYSTEM VALUE
	VALUES (961, 961, '2026-01-01 00:00Z', '2026-01-01 00:01Z', 1, '0', 0, '0', 0, 1);
INSERT INTO tiktok.retry VALUES (pg_temp.id('shop', 'ana'), 961, 3, '2026-01-01 00:00Z', '2026-01-01 00:00Z', now(), 961, 50000);
INSERT INTO tiktok.delivery (id, request_id, status, reason, at) VALUES (pg_temp.id('shop', 'two'), 961, 'rejected', 'code 40002', now());
SELECT tiktok.forget(email => 'ana@example.com', phone => '+49 30 123456', external_id => 'Ana7');
SELECT * FROM pg_temp.waiting ORDER BY 1, 2;
SELECT attempts, request_id, first_attempt_at = '2026-01-01 00:00Z' AS first, possibly_received_at = '2026-01-01 00:00Z' AS received FROM tiktok.delivery WHERE id = pg_temp.id('shop', 'ana');
SELECT count(*) FROM tiktok.retry;
-- it does not come back, neither by an operator nor by the application, nor does the browser report it
DO $$ BEGIN PERFORM tiktok.retry(pg_temp.id('shop', 'two')); EXCEPTION WHEN object_not_in_prerequisite_state THEN RAISE NOTICE 'refused'; END $$;
DO $$ BEGIN PERFORM tiktok.retry(pg_temp.id('hashed', 'ana')); EXCEPTION WHEN object_not_in_prerequisite_state THEN RAISE NOTICE 'refused'; END $$;
SELECT pg_temp.record('shop', 'ana', '{"email": "ana@example.com"}') = pg_temp.id('shop', 'ana') AS the_same;
SELECT pg_temp.record('hashed', 'ana', '{"email": "ana@example.com"}') = pg_temp.id('hashed', 'ana') AS the_same;
SELECT * FROM pg_temp.waiting WHERE event_id = 'ana' ORDER BY 1, 2;
SELECT tiktok.pixel_event('hashed', 'ViewContent', 'ana') AS pixel;
BEGIN READ ONLY;
SELECT tiktok.forget(email => 'bob@example.com');
ROLLBACK;

-- withdrawing consent
TRUNCATE tiktok.retry, tiktok.event, tiktok.identity, tiktok.delivery, tiktok.request;
SELECT tiktok.withdraw_consent(NULL, 'x');
SELECT tiktok.withdraw_consent('shop', NULL);
SELECT tiktok.withdraw_consent('nobody', 'x');
SELECT tiktok.withdraw_consent('shop', 'never') AS none;
SELECT pg_temp.record_all();
SELECT tiktok.track('shop', 'Contact', 'ana', user_data => '{"email": "ana@example.com"}', page => '{"url": "https://example.com/"}') IS NOT NULL AS second;
INSERT INTO tiktok.request (id, source_id, started_at, events, first_xid, first_id, last_xid, last_id, bytes) OVERRIDING SYSTEM VALUE
	SELECT 962, 961, '2026-01-02 00:00Z', 1, xid, id, xid, id, 1 FROM tiktok.event WHERE id = pg_temp.id('shop', 'bob');
INSERT INTO tiktok.delivery (id, status, at) VALUES (pg_temp.id('shop', 'two'), 'uncertain', now()), (pg_temp.id('german', 'id'), 'delivered', now());
SELECT tiktok.withdraw_consent('shop', 'ana') AS two_events, tiktok.withdraw_consent('shop', 'two') AS final, tiktok.withdraw_consent('german', 'id') AS delivered,
	tiktok.withdraw_consent('crm', 'lead') AS lead, tiktok.withdraw_consent('shop', 'bob') AS on_its_way;
SELECT tiktok.withdraw_consent('shop', 'ana') AS again;
SELECT * FROM pg_temp.waiting ORDER BY 1, 2, 3;
SELECT possibly_received_at = '2026-01-02 00:00Z' AS received FROM tiktok.delivery WHERE id = pg_temp.id('shop', 'bob');
SELECT tiktok.track('crm', 'Won', 'lead', lead => '{"lead_id": "7412345678901234567"}', consent => true) = pg_temp.id('crm', 'lead') AS the_same;
SELECT status FROM pg_temp.waiting WHERE source = 'crm';
DO $$ BEGIN PERFORM tiktok.retry(pg_temp.id('crm', 'lead')); EXCEPTION WHEN object_not_in_prerequisite_state THEN RAISE NOTICE '%', regexp_replace(sqlerrm, '\d+', 'N'); END $$;

-- Old rows. The least that an event stays is two days longer than TikTok would take it: here 9 and 30 days, or a year and two days.
TRUNCATE tiktok.retry, tiktok.event, tiktok.identity, tiktok.delivery, tiktok.request;
UPDATE tiktok.source SET max_event_age = '1 year' WHERE name = 'german';
UPDATE tiktok.source SET max_event_age = '100000 years' WHERE name = 'hashed';
SELECT state, detail, hint FROM tiktok.health() WHERE check_name = 'retention' AND detail LIKE '"%' ORDER BY detail;
CREATE FUNCTION pg_temp.old(source text, age interval, fate text, event_source_id int DEFAULT NULL) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	n bigint := pg_temp.record(source, concat_ws(' ', source, age, fate), '{"email": "ana@example.com"}');
BEGIN
	UPDATE tiktok.event SET enqueued_at = now() - age, source_id = coalesce(event_source_id, source_id) WHERE id = n;
	IF fate = 'retrying' THEN
		INSERT INTO tiktok.retry VALUES (n, 961, 1, now() - age, NULL, now() + '1 day', 961, 50000);
	ELSIF fate <> 'pending' THEN
		INSERT INTO tiktok.delivery (id, status, at) VALUES (n, fate, now() - age);
		DELETE FROM tiktok.identity WHERE id = n AND fate NOT IN ('rejected', 'uncertain');
	END IF;
END $$;
SELECT pg_temp.old('shop', '400 days', 'pending'), pg_temp.old('shop', '400 days', 'retrying'), pg_temp.old('shop', '400 days', 'delivered'),
	pg_temp.old('shop', '400 days', 'rejected'), pg_temp.old('crm', '29 days', 'uncertain'), pg_temp.old('crm', '27 days', 'uncertain'),
	pg_temp.old('shop', '10 days', 'delivered'), pg_temp.old('shop', '8 days', 'delivered'), pg_temp.old('shop', '8 days', 'rejected'), pg_temp.old('shop', '6 days', 'rejected'),
	pg_temp.old('german', '368 days', 'delivered'), pg_temp.old('german', '360 days', 'delivered'), pg_temp.old('hashed', '1000 days', 'rejected'),
	pg_temp.old('shop', '31 days', 'invalid', 0), pg_temp.old('shop', '29 days', 'invalid', 0);
INSERT INTO tiktok.request (id, source_id, started_at, finished_at, events, first_xid, first_id, last_xid, last_id, bytes) OVERRIDING SYSTEM VALUE VALUES
	(960, 961, now() - interval '400 days', NULL, 1, '0', 0, '0', 0, 1), (961, 961, now() - interval '400 days', now() - interval '400 days', 1, '0', 0, '0', 0, 1),
	(962, 961, now() - interval '399 days', now() - interval '399 days', 1, '0', 0, '0', 0, 1), (963, 963, now() - interval '20 days', now() - interval '20 days', 1, '0', 0, '0', 0, 1),
	(964, 961, now() - interval '20 days', now() - interval '20 days', 1, '0', 0, '0', 0, 1), (965, 961, now(), NULL, 1, '0', 0, '0', 0, 1);
CREATE VIEW pg_temp.left_over AS
SELECT e.event_id || CASE e.source_id WHEN 0 THEN ' of no source' ELSE '' END AS event, i.id IS NOT NULL AS identity
FROM tiktok.event e LEFT JOIN tiktok.identity i ON i.id = e.id;
BEGIN;
SELECT * FROM tiktok.purge('400000 years');
SELECT * FROM pg_temp.left_over WHERE event ~ 'rejected|uncertain' ORDER BY event COLLATE "C";
DO $$ BEGIN PERFORM tiktok.retry(id) FROM tiktok.event_status WHERE event_id LIKE 'shop %8 days rejected'; EXCEPTION WHEN object_not_in_prerequisite_state THEN RAISE NOTICE '%', sqlerrm ~ 'cannot be sent again'; END $$;
ROLLBACK;
SELECT * FROM tiktok.purge();
SELECT * FROM pg_temp.left_over ORDER BY event COLLATE "C";
SELECT id FROM tiktok.request ORDER BY 1;
SELECT * FROM tiktok.purge('0');
SELECT * FROM pg_temp.left_over ORDER BY event COLLATE "C";
SELECT id FROM tiktok.request ORDER BY 1;
SELECT count(*) AS orphans FROM (SELECT id FROM tiktok.identity UNION ALL SELECT id FROM tiktok.delivery UNION ALL SELECT id FROM tiktok.retry) r WHERE NOT EXISTS (SELECT FROM tiktok.event e WHERE e.id = r.id);
SELECT * FROM tiktok.purge('-1 day');
BEGIN READ ONLY;
SELECT * FROM tiktok.purge();
ROLLBACK;

-- reports of the Pixel
SELECT tiktok.pixel_seen(source, 'ViewContent', age || ' days', now() - age * interval '1 day') FROM (VALUES ('shop', 31), ('shop', 29), ('shop', 10), ('shop', 8), ('german', 31)) v (source, age);
SELECT pixel_seen FROM tiktok.purge();
SELECT pixel_seen FROM tiktok.purge('0');
SELECT source_id, event_id FROM tiktok.pixel_seen ORDER BY 1, 2;

TRUNCATE tiktok.retry, tiktok.event, tiktok.identity, tiktok.delivery, tiktok.request, tiktok.pixel_seen;
-- more than a batch: what is to stay lies in between
SELECT tiktok.pixel_seen('shop', 'ViewContent', 'n' || n, now() - CASE n % 2 WHEN 0 THEN interval '40 days' ELSE interval '1 day' END) FROM generate_series(1, 30000) n \g /dev/null
SELECT count(tiktok.track('crm', 'Won', 'n' || n, lead => '{"lead_id": "7412345678901234567"}')) FROM generate_series(1, 25000) n;
UPDATE tiktok.event SET enqueued_at = now() - interval '40 days';
INSERT INTO tiktok.delivery (id, status, at) SELECT id, 'delivered', now() - interval '40 days' FROM tiktok.event WHERE event_id !~ '000$';
SELECT * FROM tiktok.purge();
SELECT count(*), count(DISTINCT event_id) FROM tiktok.event;
SELECT count(*) FROM tiktok.pixel_seen;

TRUNCATE tiktok.retry, tiktok.event, tiktok.identity, tiktok.delivery, tiktok.request;
DELETE FROM tiktok.source;
