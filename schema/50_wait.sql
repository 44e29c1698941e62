-- Waiting, for scripts and tests.

CREATE FUNCTION tiktok.wait(timeout interval) RETURNS boolean
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'tte_sql_wait';
COMMENT ON FUNCTION tiktok.wait(interval) IS 'waits until no event is pending or retrying; false when the time is over';
