-- Rows that are there: triggers made and checked for a table, and its past recorded.

CREATE FUNCTION tiktok.create_trigger(
	relation regclass,
	source text,
	event text,
	mapping jsonb,
	condition text DEFAULT NULL,
	name text DEFAULT NULL)
RETURNS text LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'tte_sql_create_trigger';
COMMENT ON FUNCTION tiktok.create_trigger(regclass, text, text, jsonb, text, text) IS 'creates a trigger of tiktok.track_row after checking it against the table, and returns the statement: for new rows, or for rows of which the condition begins to hold';

CREATE FUNCTION tiktok.check_rows(
	relation regclass,
	trigger_name name,
	condition text DEFAULT NULL,
	max int DEFAULT 100,
	OUT key text[], OUT event text, OUT event_id text, OUT event_time timestamptz,
	OUT payload jsonb, OUT problem text, OUT notes text)
RETURNS SETOF record LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'tte_sql_check_rows';
COMMENT ON FUNCTION tiktok.check_rows(regclass, name, text, int) IS 'shows the events that a trigger would make of the newest rows of its table, event_time only where the mapping gives one; stores and sends nothing';
