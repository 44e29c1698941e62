-- Personal data: how long it is kept, and what a person may ask for.

CREATE FUNCTION tiktok.purge(older_than interval DEFAULT NULL, OUT events bigint, OUT requests bigint, OUT identities bigint, OUT pixel_seen bigint)
RETURNS record LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'tte_sql_purge';
COMMENT ON FUNCTION tiktok.purge(interval) IS 'deletes final events, requests and reports of the Pixel that are older, by default than tiktok_events.retention, and identifiers that are older than tiktok_events.identifier_ttl; events stay at least two days longer than the max_event_age of their source';

CREATE FUNCTION tiktok.forget(email text DEFAULT NULL, phone text DEFAULT NULL, external_id text DEFAULT NULL) RETURNS bigint
LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'tte_sql_forget';
COMMENT ON FUNCTION tiktok.forget(text, text, text) IS 'erases all identifiers of the events that have one of these, and returns how many there were; an event that waits is sent without them if it has a lead_id, else it is suppressed (forgotten); what is on its way may still arrive';

CREATE FUNCTION tiktok.withdraw_consent(source text, event_id text) RETURNS bigint
LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'tte_sql_withdraw_consent';
COMMENT ON FUNCTION tiktok.withdraw_consent(text, text) IS 'suppresses the events of that event_id (consent_withdrawn), deletes their identifiers, and returns how many were suppressed; those that are invalid or delivered remain so, and one that is on its way becomes delivered if TikTok has taken it; none of them is sent again';
