-- A stranger may do nothing. Triggers fire without a privilege.

REVOKE ALL ON ALL ROUTINES IN SCHEMA tiktok, tiktok_internal FROM PUBLIC;

-- The launcher looks for a worker to start when this transaction commits.
CREATE FUNCTION tiktok_internal.installed() RETURNS void
LANGUAGE c AS 'MODULE_PATHNAME', 'tte_sql_installed';
SELECT tiktok_internal.installed();
DROP FUNCTION tiktok_internal.installed();
