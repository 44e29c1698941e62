-- Rows that are there: triggers made and checked for a table, and its past recorded.

CREATE FUNCTION tiktok.create_trigger(
	relation regclass,
	source text,
	event text,
	mapping jsonb,
	condition text DEFAULT NULL,
	name text DEFAULT NULL,
	query text DEFAULT NULL,
	at_commit boolean DEFAULT false,
	replica boolean DEFAULT false,
	replace boolean DEFAULT false)
RETURNS text LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'tte_sql_create_trigger';
COMMENT ON FUNCTION tiktok.create_trigger(regclass, text, text, jsonb, text, text, text, boolean, boolean, boolean) IS 'creates a trigger of tiktok.track_row after checking it against the table, and a function for its query and paths, and returns the statements: for new rows, or for rows of which the condition begins to hold';

CREATE TABLE tiktok.created_trigger (
	relation oid NOT NULL,
	trigger_name name NOT NULL,
	trigger_oid oid NOT NULL,
	source text NOT NULL,
	PRIMARY KEY (relation, trigger_name)
);
COMMENT ON TABLE tiktok.created_trigger IS 'triggers that tiktok.create_trigger made and tiktok.drop_trigger has not dropped, so that tiktok.health misses one that is gone';
COMMENT ON COLUMN tiktok.created_trigger.relation IS 'pg_class.oid of its table';
COMMENT ON COLUMN tiktok.created_trigger.trigger_name IS 'the name it was made with';
COMMENT ON COLUMN tiktok.created_trigger.trigger_oid IS 'pg_trigger.oid';
COMMENT ON COLUMN tiktok.created_trigger.source IS 'its source, as it was given to tiktok.create_trigger';

CREATE FUNCTION tiktok.drop_trigger(relation regclass, name text)
RETURNS text LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'tte_sql_drop_trigger';
COMMENT ON FUNCTION tiktok.drop_trigger(regclass, text) IS 'drops all that tiktok.create_trigger made for a trigger, and returns the statements';

CREATE FUNCTION tiktok.from_minor(amount numeric, currency text, exponent int DEFAULT NULL) RETURNS numeric
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'tte_sql_from_minor';
COMMENT ON FUNCTION tiktok.from_minor(numeric, text, int) IS 'an amount in minor units, such as cents, in units of the currency: by the digits of ISO 4217, or by exponent; NULL when the currency is not known';

CREATE FUNCTION tiktok.check_rows(
	relation regclass,
	trigger_name name,
	condition text DEFAULT NULL,
	max int DEFAULT 100,
	ignore_when boolean DEFAULT false,
	OUT key text[], OUT event text, OUT event_id text, OUT event_time timestamptz,
	OUT payload jsonb, OUT problem text, OUT notes text)
RETURNS SETOF record LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'tte_sql_check_rows';
COMMENT ON FUNCTION tiktok.check_rows(regclass, name, text, int, boolean) IS 'shows the events that a trigger would make of the newest rows of its table for which its WHEN and the condition hold, event_time only where the mapping gives one; stores and sends nothing';

CREATE TABLE tiktok.backfill_progress (
	relation regclass NOT NULL,
	trigger_name name NOT NULL,
	condition text NOT NULL,
	key_columns smallint[] NOT NULL,
	last_key text[],
	started_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
	updated_at timestamptz,
	finished_at timestamptz,
	rows_read bigint NOT NULL DEFAULT 0,
	recorded bigint NOT NULL DEFAULT 0,
	recorded_before bigint NOT NULL DEFAULT 0,
	invalid bigint NOT NULL DEFAULT 0,
	suppressed bigint NOT NULL DEFAULT 0,
	too_old bigint NOT NULL DEFAULT 0,
	without_time bigint NOT NULL DEFAULT 0,
	not_meant bigint NOT NULL DEFAULT 0,
	PRIMARY KEY (relation, trigger_name, condition)
);
COMMENT ON TABLE tiktok.backfill_progress IS 'how far each tiktok.backfill has come; one that was interrupted goes on from here';
COMMENT ON COLUMN tiktok.backfill_progress.relation IS 'table whose rows are recorded';
COMMENT ON COLUMN tiktok.backfill_progress.trigger_name IS 'its trigger';
COMMENT ON COLUMN tiktok.backfill_progress.condition IS 'which rows are meant';
COMMENT ON COLUMN tiktok.backfill_progress.key_columns IS 'numbers of the columns by which the rows are in order';
COMMENT ON COLUMN tiktok.backfill_progress.last_key IS 'key of the last row that was read; NULL when all have been: it may identify a person';
COMMENT ON COLUMN tiktok.backfill_progress.started_at IS 'when it began';
COMMENT ON COLUMN tiktok.backfill_progress.updated_at IS 'when its last chunk was recorded';
COMMENT ON COLUMN tiktok.backfill_progress.finished_at IS 'when it had read all rows; NULL: not yet';
COMMENT ON COLUMN tiktok.backfill_progress.rows_read IS 'rows read';
COMMENT ON COLUMN tiktok.backfill_progress.recorded IS 'events recorded, to be sent';
COMMENT ON COLUMN tiktok.backfill_progress.recorded_before IS 'events that were there already';
COMMENT ON COLUMN tiktok.backfill_progress.invalid IS 'events recorded that cannot be sent; tiktok.event_status says why';
COMMENT ON COLUMN tiktok.backfill_progress.suppressed IS 'events recorded without consent, not to be sent';
COMMENT ON COLUMN tiktok.backfill_progress.too_old IS 'rows left out: TikTok would not take events that old';
COMMENT ON COLUMN tiktok.backfill_progress.without_time IS 'rows left out: nothing says when it happened';
COMMENT ON COLUMN tiktok.backfill_progress.not_meant IS 'rows left out: the condition does not hold, or their stage makes no event';
ALTER TABLE tiktok.backfill_progress ALTER condition SET STATISTICS 0, ALTER last_key SET STATISTICS 0;

CREATE PROCEDURE tiktok.backfill(
	relation regclass,
	trigger_name name,
	condition text DEFAULT NULL,
	ignore_when boolean DEFAULT false)
LANGUAGE c AS 'MODULE_PATHNAME', 'tte_sql_backfill';
COMMENT ON PROCEDURE tiktok.backfill(regclass, name, text, boolean) IS 'records the events that a trigger would have recorded for the rows that are there and for which its WHEN and the condition hold, in committed chunks; the same call goes on where an interrupted one stopped';
