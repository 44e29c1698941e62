/*
 * What keeps orders of another server from coming here: subscriptions that write a table whose trigger records events, or the tables of a hub.
 */

CREATE VIEW tiktok_internal.event_trigger AS
SELECT t.tgrelid AS relid, coalesce(pg_partition_root(t.tgrelid), t.tgrelid) AS root, t.tgname AS trigger, t.tgenabled IN ('R', 'A') AS fires_for_replicas, t.tgenabled IN ('O', 'A') AS fires_for_others
FROM pg_trigger t
WHERE t.tgfoid = 'tiktok.track_row()'::regprocedure AND t.tgenabled <> 'D';
COMMENT ON VIEW tiktok_internal.event_trigger IS 'triggers that record events and are enabled; root is the whole table if the table is a partition';

-- The tables that a subscription of this database writes.
CREATE VIEW tiktok_internal.subscribed AS
SELECT s.oid AS subid, s.subname AS subscription, s.subenabled AS enabled, r.srrelid AS relid, coalesce(pg_partition_root(r.srrelid), r.srrelid) AS root,
	r.srsubstate <> 'r' AS copying
FROM pg_subscription s
JOIN pg_subscription_rel r ON r.srsubid = s.oid
WHERE s.subdbid = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database());
COMMENT ON VIEW tiktok_internal.subscribed IS 'tables that logical replication writes in this database';

-- One trigger of a table for replication and one like it for others are right.
CREATE FUNCTION tiktok_internal.silent_trigger(OUT relid oid, OUT trigger name, OUT subscription name)
RETURNS SETOF record LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
	SELECT t.relid, t.trigger, s.subscription
	FROM tiktok_internal.event_trigger t
	LEFT JOIN (SELECT s.root, min(s.subscription) AS subscription FROM tiktok_internal.subscribed s GROUP BY 1) s ON s.root = t.root
	WHERE s.root IS NULL AND NOT t.fires_for_others
		OR s.root IS NOT NULL AND NOT EXISTS (SELECT FROM tiktok_internal.event_trigger o WHERE o.root = t.root AND o.fires_for_replicas)
$$;
COMMENT ON FUNCTION tiktok_internal.silent_trigger() IS 'triggers that no write fires: that of a subscription does not fire them, or there is no subscription that would; subscription is NULL then';

-- A server that is well sends something every 30 s, even if nothing is written there.
CREATE FUNCTION tiktok_internal.subscription_health(OUT check_name text, OUT state text, OUT detail text, OUT hint text)
RETURNS SETOF record LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
	WITH subscription AS (
		SELECT s.subid, s.subscription, s.enabled, count(*) FILTER (WHERE s.copying) AS copying, count(*) AS tables
		FROM tiktok_internal.subscribed s
		GROUP BY 1, 2, 3
		HAVING bool_or(EXISTS (SELECT FROM tiktok_internal.event_trigger t WHERE t.root = s.root)
			OR s.relid IN (SELECT c.oid FROM pg_class c WHERE c.relnamespace = 'tiktok'::regnamespace))
	), seen AS (
		SELECT s.*, w.heard, coalesce(x.apply_error_count, 0) AS errors, coalesce((to_jsonb(x)->>'sync_error_count')::bigint, (to_jsonb(x)->>'sync_table_error_count')::bigint, 0) AS copy_errors,
			w.heard IS NULL OR w.heard < now() - interval '5 minutes' AS silent, now() - w.started AS age
		FROM subscription s
		LEFT JOIN pg_stat_subscription_stats x ON x.subid = s.subid
		LEFT JOIN LATERAL (
			SELECT max(w.last_msg_receipt_time) FILTER (WHERE isfinite(w.last_msg_receipt_time)) AS heard, min(a.backend_start) AS started
			FROM pg_stat_subscription w LEFT JOIN pg_stat_activity a ON a.pid = w.pid
			WHERE w.subid = s.subid AND w.relid IS NULL) w ON true
	)
	SELECT 'subscription', CASE WHEN NOT s.enabled OR s.silent THEN 'fail' WHEN s.copying > 0 OR s.errors > 0 AND s.age < interval '1 minute' THEN 'warn' ELSE 'ok' END,
		format('subscription "%s" ', s.subscription) || CASE
			WHEN NOT s.enabled THEN 'is disabled: nothing that is written on the other server comes here'
			WHEN s.silent AND s.heard IS NOT NULL THEN format('has heard nothing of the other server for %s', date_trunc('second', now() - s.heard))
			WHEN s.silent THEN format('has no connection to the other server, or does not go on (%s errors while applying, %s while copying)', s.errors, s.copy_errors)
			WHEN s.copying > 0 THEN format('is still copying %s of %s tables', s.copying, s.tables)
			WHEN s.errors > 0 AND s.age < interval '1 minute' THEN format('has begun anew %s ago, after %s errors while applying', date_trunc('second', s.age), s.errors)
			ELSE format('has heard of the other server %s ago', date_trunc('second', greatest(now() - s.heard, interval '0'))) END,
		CASE WHEN NOT s.enabled THEN format('ALTER SUBSCRIPTION %I ENABLE;', s.subscription)
			WHEN s.silent OR s.errors > 0 AND s.age < interval '1 minute' THEN
				'The log of this server has the reason; it goes on by itself when that is mended. On the other server, pg_replication_slots shows how much waits there.'
			WHEN s.copying > 0 THEN 'Make triggers, and call tiktok.backfill(), when it has finished.' END
	FROM seen s
	UNION ALL
	SELECT 'replica_trigger', 'fail',
		CASE WHEN t.subscription IS NULL THEN format('trigger "%s" of %s fires only for what a subscription writes, and none writes that table', t.trigger, t.relid::regclass)
			ELSE format('trigger "%s" of %s does not fire for what subscription "%s" writes', t.trigger, t.relid::regclass, t.subscription) END,
		format('ALTER TABLE %s ENABLE %sTRIGGER %I;', t.relid::regclass, CASE WHEN t.subscription IS NULL THEN '' ELSE 'REPLICA ' END, t.trigger)
	FROM tiktok_internal.silent_trigger() t
$$;
COMMENT ON FUNCTION tiktok_internal.subscription_health() IS 'rows of tiktok.health() about orders that come by logical replication';
