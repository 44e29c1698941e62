-- What CREATE EXTENSION makes, and the settings.
SELECT extversion, extrelocatable, extnamespace::regnamespace FROM pg_extension WHERE extname = 'tiktok_events';
SELECT c.relkind, c.oid::regclass AS relation FROM pg_class c WHERE c.relnamespace IN ('tiktok'::regnamespace, 'tiktok_internal'::regnamespace) AND relkind IN ('r', 'v', 'S') ORDER BY c.relkind, c.oid::regclass::text COLLATE "C";
SELECT p.oid::regprocedure, p.prosecdef FROM pg_proc p WHERE p.pronamespace IN ('tiktok'::regnamespace, 'tiktok_internal'::regnamespace) ORDER BY p.oid::regprocedure::text COLLATE "C";

-- every table has a primary key, by which logical replication finds a row: else a publication FOR ALL TABLES forbids to change it
SELECT c.relname FROM pg_class c WHERE c.relnamespace IN ('tiktok'::regnamespace, 'tiktok_internal'::regnamespace) AND relkind IN ('r', 'p') AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary);

-- nothing is granted to a stranger
SELECT p.oid::regprocedure FROM pg_proc p WHERE p.pronamespace IN ('tiktok'::regnamespace, 'tiktok_internal'::regnamespace) AND has_function_privilege('public', p.oid, 'EXECUTE');
SELECT c.relname FROM pg_class c WHERE c.relnamespace IN ('tiktok'::regnamespace, 'tiktok_internal'::regnamespace) AND relkind IN ('r', 'v') AND has_table_privilege('public', c.oid, 'SELECT');

-- everything is described: functions, relations, every column that is not of the extension's own views, settings
SELECT p.oid::regprocedure FROM pg_proc p WHERE p.pronamespace IN ('tiktok'::regnamespace, 'tiktok_internal'::regnamespace) AND obj_description(p.oid, 'pg_proc') IS NULL;
SELECT c.relname FROM pg_class c WHERE c.relnamespace IN ('tiktok'::regnamespace, 'tiktok_internal'::regnamespace) AND relkind IN ('r', 'v', 'm', 'c', 'p', 'f') AND obj_description(c.oid, 'pg_class') IS NULL;
SELECT c.relname, a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
WHERE c.relnamespace = 'tiktok'::regnamespace AND c.relkind IN ('r', 'v', 'm', 'c', 'p', 'f')
AND a.attnum > 0 AND NOT a.attisdropped AND col_description(c.oid, a.attnum) IS NULL ORDER BY 1, a.attnum;
SELECT t.typname FROM pg_type t WHERE t.typnamespace IN ('tiktok'::regnamespace, 'tiktok_internal'::regnamespace) AND t.typrelid = 0 AND t.typelem = 0 AND obj_description(t.oid, 'pg_type') IS NULL;
SELECT name FROM pg_settings WHERE name LIKE 'tiktok\_events.%' AND coalesce(short_desc, '') = '';

SELECT name, setting, unit, context, vartype, min_val, max_val FROM pg_settings WHERE name LIKE 'tiktok\_events.%' ORDER BY name;

-- the endpoint is checked
\set VERBOSITY default
ALTER SYSTEM SET tiktok_events.endpoint = 'http://business-api.tiktok.com/open_api/v1.3/event/track/';
ALTER SYSTEM SET tiktok_events.endpoint = 'ftp://business-api.tiktok.com/';
ALTER SYSTEM SET tiktok_events.endpoint = 'https://user:secret@business-api.tiktok.com/';
ALTER SYSTEM SET tiktok_events.endpoint = 'https://business-api.tiktok.com:0/x/';
ALTER SYSTEM SET tiktok_events.endpoint = 'https://business-api.tiktok.com:70000/x/';
ALTER SYSTEM SET tiktok_events.endpoint = 'https://business-api.tiktok.com';
ALTER SYSTEM SET tiktok_events.endpoint = 'https://business-api.tіktok.com/x/';
ALTER SYSTEM SET tiktok_events.endpoint = 'http://127.0.0.1:8080/x/';
ALTER SYSTEM SET tiktok_events.endpoint = 'https://[::1]:8443/x/';
ALTER SYSTEM RESET tiktok_events.endpoint;
SET tiktok_events.endpoint = 'https://business-api.tiktok.com/x/';
\set VERBOSITY sqlstate
ALTER SYSTEM SET tiktok_events.request_timeout = 0;
ALTER SYSTEM SET tiktok_events.max_in_flight = 0;

-- No function says that it may run in parallel and calls one that may not
SELECT f.oid::regprocedure AS function, g.oid::regprocedure AS calls
FROM pg_proc f JOIN pg_proc g ON regexp_replace(f.prosrc, $$'[^']*'$$, '', 'g') ~ ('\m' || g.pronamespace::regnamespace || '\.' || g.proname || '\(')
WHERE f.pronamespace IN ('tiktok'::regnamespace, 'tiktok_internal'::regnamespace) AND g.pronamespace IN ('tiktok'::regnamespace, 'tiktok_internal'::regnamespace)
	AND (g.proparallel = 'u' AND f.proparallel <> 'u' OR g.proparallel = 'r' AND f.proparallel = 's')
ORDER BY 1, 2;
