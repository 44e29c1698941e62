-- What operators set, and the functions they call. Nothing here is dumped.

CREATE TABLE tiktok.source_control (
	source_id int PRIMARY KEY REFERENCES tiktok.source (id) ON DELETE CASCADE,
	paused boolean NOT NULL,
	reason text,
	changed_at timestamptz NOT NULL
);
COMMENT ON TABLE tiktok.source_control IS 'sources that an operator has paused or resumed, or that a recovery of the server has paused';
COMMENT ON COLUMN tiktok.source_control.source_id IS 'tiktok.source.id';
COMMENT ON COLUMN tiktok.source_control.paused IS 'true: events are recorded and wait';
COMMENT ON COLUMN tiktok.source_control.reason IS 'why it is paused, in the operator''s words; restored: the server was recovered from a backup; restore_gap: it was recovered to a state more than 47 hours old';
COMMENT ON COLUMN tiktok.source_control.changed_at IS 'when it was last paused or resumed; resuming also closes a circuit breaker that opened before';

CREATE TABLE tiktok.test_code (
	source_id int PRIMARY KEY REFERENCES tiktok.source (id) ON DELETE CASCADE,
	code text NOT NULL,
	valid_until timestamptz NOT NULL
);
COMMENT ON TABLE tiktok.test_code IS 'test codes of Events Manager, for sessions in which tiktok_events.test_event is on';
COMMENT ON COLUMN tiktok.test_code.source_id IS 'tiktok.source.id';
COMMENT ON COLUMN tiktok.test_code.code IS 'the code, from Events Manager''s Test Events tab';
COMMENT ON COLUMN tiktok.test_code.valid_until IS 'after that time no test event can be recorded';
ALTER TABLE tiktok.test_code ALTER code SET STATISTICS 0;
COMMENT ON COLUMN tiktok.event.test_code IS 'NULL: a real event; else the code it is sent with, empty when there was none and nothing is sent';

CREATE TRIGGER changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON tiktok.source_control
	FOR EACH STATEMENT EXECUTE FUNCTION tiktok_internal.configuration_changed();
CREATE TRIGGER changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON tiktok.test_code
	FOR EACH STATEMENT EXECUTE FUNCTION tiktok_internal.configuration_changed();
ALTER TABLE tiktok.source_control ENABLE ALWAYS TRIGGER changed;
ALTER TABLE tiktok.test_code ENABLE ALWAYS TRIGGER changed;

CREATE FUNCTION tiktok.pause(source text, reason text DEFAULT NULL) RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'tte_sql_pause';
COMMENT ON FUNCTION tiktok.pause(text, text) IS 'stops sending to a source until tiktok.resume; its events are recorded and wait';

CREATE FUNCTION tiktok.resume(source text) RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'tte_sql_resume';
COMMENT ON FUNCTION tiktok.resume(text) IS 'resumes sending to a source that is paused, or whose circuit breaker is open';

CREATE FUNCTION tiktok.set_test_code(source text, code text, valid_for interval DEFAULT '1 hour') RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'tte_sql_set_test_code';
COMMENT ON FUNCTION tiktok.set_test_code(text, text, interval) IS 'sets the test code of a source for at most 7 days; NULL ends it';

CREATE FUNCTION tiktok.retry(id bigint, allow_double boolean DEFAULT false) RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'tte_sql_retry_event';
COMMENT ON FUNCTION tiktok.retry(bigint, boolean) IS 'sends a rejected or uncertain event again; an expired or discarded one only if it had no identifiers, because these are deleted; with allow_double also one that TikTok may count twice';

CREATE FUNCTION tiktok.retry(source text, status text DEFAULT NULL, allow_double boolean DEFAULT false) RETURNS bigint
LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'tte_sql_retry_source';
COMMENT ON FUNCTION tiktok.retry(text, text, boolean) IS 'sends again the events of a source that have the status, by default rejected and uncertain; skips those that tiktok.retry(id) refuses, and returns how many will be sent';

CREATE FUNCTION tiktok.discard(id bigint) RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'tte_sql_discard_event';
COMMENT ON FUNCTION tiktok.discard(bigint) IS 'closes a pending, retrying, rejected or uncertain event and deletes its identifiers; one that is on its way may still arrive';

CREATE FUNCTION tiktok.discard(source text, status text DEFAULT NULL) RETURNS bigint
LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'tte_sql_discard_source';
COMMENT ON FUNCTION tiktok.discard(text, text) IS 'closes the events of a source that have the status, by default pending and retrying; returns how many there were';
