-- A stranger may do nothing. Triggers fire without a privilege.

REVOKE ALL ON ALL ROUTINES IN SCHEMA tiktok FROM PUBLIC;

-- The launcher looks for a worker to start when this transaction commits.
CREATE FUNCTION tiktok._installed() RETURNS void
LANGUAGE c AS 'MODULE_PATHNAME', 'tte_sql_installed';
SELECT tiktok._installed();
DROP FUNCTION tiktok._installed();
