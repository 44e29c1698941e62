-- Recording events: one function call, or a trigger.

CREATE FUNCTION tiktok.track(
	source text,
	event text,
	event_id text,
	event_time timestamptz DEFAULT pg_catalog.now(),
	user_data jsonb DEFAULT NULL,
	properties jsonb DEFAULT NULL,
	page jsonb DEFAULT NULL,
	app jsonb DEFAULT NULL,
	ad jsonb DEFAULT NULL,
	lead jsonb DEFAULT NULL,
	limited_data_use boolean DEFAULT NULL,
	consent boolean DEFAULT NULL)
RETURNS bigint LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'tte_sql_track';
COMMENT ON FUNCTION tiktok.track IS 'records an event in this transaction and returns its id; NULL while tiktok_events.recording is off';

CREATE FUNCTION tiktok.preview(
	source text,
	event text,
	event_id text,
	event_time timestamptz DEFAULT pg_catalog.now(),
	user_data jsonb DEFAULT NULL,
	properties jsonb DEFAULT NULL,
	page jsonb DEFAULT NULL,
	app jsonb DEFAULT NULL,
	ad jsonb DEFAULT NULL,
	lead jsonb DEFAULT NULL,
	limited_data_use boolean DEFAULT NULL,
	consent boolean DEFAULT NULL)
RETURNS jsonb LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'tte_sql_preview';
COMMENT ON FUNCTION tiktok.preview IS 'shows the event as tiktok.track would send it; stores nothing';

CREATE FUNCTION tiktok.track_row() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'tte_sql_track_row';
COMMENT ON FUNCTION tiktok.track_row() IS 'trigger function: records an event for the row; arguments: source, event, ''target=value'', ...';
