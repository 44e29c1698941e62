-- Roles. Privileges are listed one by one: what is new is nobody's until it is added here.

CREATE FUNCTION tiktok_internal.privilege(OUT role text, OUT privilege text, OUT object text)
RETURNS SETOF record LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
	VALUES ('reader', 'USAGE', 'SCHEMA tiktok, tiktok_internal'), ('tracker', 'USAGE', 'SCHEMA tiktok'), ('owner', 'USAGE', 'SCHEMA tiktok'), ('admin', 'USAGE', 'SCHEMA tiktok')
	UNION ALL
	SELECT v.role, 'SELECT', 'TABLE ' || v.schema || '.' || o
	FROM (VALUES
		('reader', 'tiktok', '{event_status, backlog, backlog_kind, worker_status, enqueue_counters, status_counters, unmapped_stage, unmapped_source, not_recorded, query_counters, request_log, delivery_stats,
			match_key_coverage, lateness, value_problems, identifier_problems, stage_coverage, dedup_overlap, volume_floor, created_trigger, weekly_floor,
			source_of_truth, platform_count, platform_event_type, report_fetch, reporting}'::text[]),
		('reader', 'tiktok_internal', '{real_event, match_key, pixel_match, pixel_report, event_of_id, rule_count, sibling, truth_relation, source_health, publication, trigger, optimised, gone_trigger, server_health, own_worker,
			disabled_trigger, event_trigger, subscribed, recorded, silence, report_stage, report_source, waiting, count, count_health, obstacle, backlog, misspelt_stage, outcome, retried}')) v (role, schema, objects),
		unnest(v.objects) o
	UNION ALL
	SELECT v.role, 'SELECT, INSERT, UPDATE, DELETE', 'TABLE ' || v.schema || '.' || o
	FROM (VALUES
		('admin', 'tiktok', '{source, lead_stage, backfill_progress, created_trigger, weekly_floor, source_of_truth, platform_count, platform_event_type}'::text[])) v (role, schema, objects),
		unnest(v.objects) o
	UNION ALL
	SELECT v.role, 'EXECUTE', 'ROUTINE ' || v.schema || '.' || o
	FROM (VALUES
		('reader', 'tiktok', '{explain_code, self_test, health, failure_modes, checklist, reconcile, differences, bridge, report_html}'::text[]),
		('reader', 'tiktok_internal', '{worker_status, table_problem, table_remedy, enqueue_counters, status_counters, unmapped_stages, unmapped_sources, query_counters, source_id, truth_is_readable, has_rows_elsewhere, compare, compared,
			difference_causes, period, bridge, pixel_sums, pixel_facts, rule_since, rule_by, count_rule, percent, worth, others, span, because, newest, newest_reports, surprise, fallen_shares, shifted_values,
			bad_of_last, uncounted, silent_trigger, health_server, health_sources, health_rows, health_events, health_tables, subscription_health, truth_findings, judged_source, same_event, current_name, shown, report_text, report_amounts, report_number, report_money,
			report_sign, report_state, report_finding, report_table, report_row, report_name, report_sums, report_style, report_figure, report_folded,
			report_waterfall, report_pairs, report_step, report_short, report_buckets, report_lines, report_heat, report_class, report_cause, report_facts,
			report_compared, report_counted, report_sales, report_steps, report_verdict, report_costs, report_agreement, report_problems, report_day_lines,
			report_sparks, report_days, report_before, report_pixel, report_identifiers, report_lateness, report_leads, report_refused, source_checks, checks,
			report_health}'),
		('tracker', 'tiktok', '{track, preview, wait, pixel_base_code, pixel_event, pixel_seen, explain_identifier,
			from_minor, normalize_email, normalize_phone, normalize_external_id, normalize_ip, normalize_locale, normalize_idfa, normalize_idfv, normalize_gaid,
			normalize_att_status, normalize_first_name, normalize_last_name, normalize_city, normalize_state, normalize_country, normalize_zip_code,
			hash_email, hash_phone, hash_external_id, hash_first_name, hash_last_name, hash_zip_code, hash_idfa, hash_gaid}'),
		('owner', 'tiktok', '{track_row}'),
		('admin', 'tiktok', '{set_access_token, set_reporting_token, confirm_database, set_test_code, pause, resume,
			"retry(bigint, boolean)", "retry(text, text, boolean)", "discard(bigint)", "discard(text, text)",
			track_row, create_trigger, drop_trigger, check_rows, backfill, purge, forget, withdraw_consent}')) v (role, schema, objects),
		unnest(v.objects) o
$$;
COMMENT ON FUNCTION tiktok_internal.privilege() IS 'what the roles of tiktok.grant_reader, grant_tracker, grant_owner and grant_admin may do';

CREATE FUNCTION tiktok_internal.grant_kinds(role regrole, kinds text[]) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	granted record;
BEGIN
	IF role IS NULL OR role = 0::oid THEN
		RAISE null_value_not_allowed USING MESSAGE = 'role must not be null';
	ELSIF NOT EXISTS (SELECT FROM pg_roles r WHERE r.oid = role) THEN
		RAISE undefined_object USING MESSAGE = format('role with OID %s does not exist', role::oid);
	END IF;
	FOR granted IN SELECT p.privilege, p.object FROM tiktok_internal.privilege() p WHERE p.role = ANY (kinds) LOOP
		EXECUTE format('GRANT %s ON %s TO %s', granted.privilege, granted.object, role);
	END LOOP;
END $$;
COMMENT ON FUNCTION tiktok_internal.grant_kinds(regrole, text[]) IS 'grants the privileges of these kinds of roles';

CREATE FUNCTION tiktok.grant_reader(role regrole) RETURNS void
LANGUAGE sql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
	SELECT tiktok_internal.grant_kinds(role, '{reader}')
$$;
COMMENT ON FUNCTION tiktok.grant_reader(regrole) IS 'lets a role look at what became of events, by every view; it sees no identifier, payload, token or test code';

CREATE FUNCTION tiktok.grant_tracker(role regrole) RETURNS void
LANGUAGE sql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
	SELECT tiktok_internal.grant_kinds(role, '{tracker}')
$$;
COMMENT ON FUNCTION tiktok.grant_tracker(regrole) IS 'lets a role record events by calls, and make the scripts of the Pixel; of events it sees nothing but what such a script tells of one whose event_id it knows';

CREATE FUNCTION tiktok.grant_owner(role regrole) RETURNS void
LANGUAGE sql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
	SELECT tiktok_internal.grant_kinds(role, '{owner}')
$$;
COMMENT ON FUNCTION tiktok.grant_owner(regrole) IS
'lets the owner of a partitioned table that has a trigger of tiktok.track_row make and attach partitions, for which PostgreSQL copies the trigger as the owner, and restore a dump of it.
Such a role can put these triggers on all its tables, and so record events of every source whose name it knows; it can look at nothing.';

CREATE FUNCTION tiktok.grant_admin(role regrole) RETURNS void
LANGUAGE sql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
	SELECT tiktok_internal.grant_kinds(role, '{reader,tracker,admin}')
$$;
COMMENT ON FUNCTION tiktok.grant_admin(regrole) IS 'lets a role configure sources, set tokens, make triggers, pause, retry, discard, purge and forget, besides what readers and trackers may; it can read no token or identifier';

CREATE FUNCTION tiktok.revoke_all(role regrole) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF role IS NULL OR role = 0::oid THEN
		RAISE null_value_not_allowed USING MESSAGE = 'role must not be null';
	ELSIF NOT EXISTS (SELECT FROM pg_roles r WHERE r.oid = role) THEN
		RAISE undefined_object USING MESSAGE = format('role with OID %s does not exist', role::oid);
	END IF;
	EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA tiktok, tiktok_internal FROM %s', role);
	EXECUTE format('REVOKE ALL ON ALL SEQUENCES IN SCHEMA tiktok, tiktok_internal FROM %s', role);
	EXECUTE format('REVOKE ALL ON ALL ROUTINES IN SCHEMA tiktok, tiktok_internal FROM %s', role);
	EXECUTE format('REVOKE ALL ON SCHEMA tiktok, tiktok_internal FROM %s', role);
END $$;
COMMENT ON FUNCTION tiktok.revoke_all(regrole) IS 'takes every privilege in the schemas tiktok and tiktok_internal from a role';
