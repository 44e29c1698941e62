-- Roles. Privileges are listed one by one: what is new is nobody's until it is added here.

CREATE FUNCTION tiktok._privilege(OUT role text, OUT privilege text, OUT object text)
RETURNS SETOF record LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
	SELECT v.role, 'SELECT', 'TABLE tiktok.' || o
	FROM (VALUES
		('reader', '{event_status, backlog, backlog_kind, worker_status, enqueue_counters, unmapped_stage, unmapped_source, query_counters, request_log,
			delivery_stats, match_key_coverage, lateness, value_problems, identifier_problems, stage_coverage, dedup_overlap, volume_floor,
			_real_event, _match_key, _pixel_match, _pixel_report, _event_of_id, _sibling, _truth_relation, _source_health, _publication, _trigger, _optimised, _gone_trigger, _disabled_trigger, _event_trigger, _subscribed, _recorded, _silence, _report_stage, _report_source, _waiting,
			created_trigger, weekly_floor, source_of_truth, platform_count, platform_event_type, report_fetch, reporting, _count, _count_health}'::text[])) v (role, objects),
		unnest(v.objects) o
	UNION ALL
	SELECT v.role, 'SELECT, INSERT, UPDATE, DELETE', 'TABLE tiktok.' || o
	FROM (VALUES
		('admin', '{source, lead_stage, backfill_progress, created_trigger, weekly_floor, source_of_truth, platform_count, platform_event_type}'::text[])) v (role, objects),
		unnest(v.objects) o
	UNION ALL
	SELECT v.role, 'EXECUTE', 'ROUTINE tiktok.' || o
	FROM (VALUES
		('reader', '{_worker_status, _table_problem, _enqueue_counters, _unmapped_stages, _unmapped_sources, _query_counters, explain_code, self_test,
			health, failure_modes, checklist, reconcile, differences, bridge, _source_id, _truth_is_readable, _compare, _compared, _difference_causes, _period, _bridge, _count_rule, _percent, _worth, _others, _span, _because, _newest, _newest_reports, _surprise, _fallen_shares, _shifted_values, _bad_of_last, _uncounted, _silent_trigger, _subscription_health, _truth_findings, _same_event, _current_name,
			_shown, report_html, _report_text, _report_number, _report_money, _report_sign, _report_state, _report_finding, _report_table, _report_row,
			_report_name, _report_sums, _report_style, _report_figure, _report_folded, _report_waterfall, _report_pairs, _report_step, _report_short,
			_report_buckets, _report_lines, _report_heat, _report_class, _report_cause, _report_facts, _report_compared, _report_counted, _report_sales,
			_report_steps, _report_verdict, _report_costs, _report_agreement, _report_problems, _report_day_lines, _report_sparks, _report_days, _report_before,
			_report_pixel, _report_identifiers, _report_lateness, _report_leads, _report_refused, _source_checks, _checks, _report_health}'::text[]),
		('tracker', '{track, preview, wait, pixel_base_code, pixel_event, pixel_seen, explain_identifier,
			from_minor, normalize_email, normalize_phone, normalize_external_id, normalize_ip, normalize_locale, normalize_idfa, normalize_idfv, normalize_gaid,
			normalize_att_status, normalize_first_name, normalize_last_name, normalize_city, normalize_state, normalize_country, normalize_zip_code,
			hash_email, hash_phone, hash_external_id, hash_first_name, hash_last_name, hash_zip_code, hash_idfa, hash_gaid}'),
		('owner', '{track_row}'),
		('admin', '{set_access_token, set_reporting_token, confirm_database, set_test_code, pause, resume,
			"retry(bigint, boolean)", "retry(text, text, boolean)", "discard(bigint)", "discard(text, text)",
			track_row, create_trigger, drop_trigger, check_rows, backfill, purge, forget, withdraw_consent}')) v (role, objects),
		unnest(v.objects) o
$$;
COMMENT ON FUNCTION tiktok._privilege() IS 'what the roles of tiktok.grant_reader, grant_tracker, grant_owner and grant_admin may do';

CREATE FUNCTION tiktok._grant(role regrole, kinds text[]) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	granted record;
BEGIN
	IF role IS NULL OR role = 0::oid THEN
		RAISE null_value_not_allowed USING MESSAGE = 'role must not be null';
	ELSIF NOT EXISTS (SELECT FROM pg_roles r WHERE r.oid = role) THEN
		RAISE undefined_object USING MESSAGE = format('role with OID %s does not exist', role::oid);
	END IF;
	EXECUTE format('GRANT USAGE ON SCHEMA tiktok TO %s', role);
	FOR granted IN SELECT p.privilege, p.object FROM tiktok._privilege() p WHERE p.role = ANY (kinds) LOOP
		EXECUTE format('GRANT %s ON %s TO %s', granted.privilege, granted.object, role);
	END LOOP;
END $$;
COMMENT ON FUNCTION tiktok._grant(regrole, text[]) IS 'grants the privileges of these kinds of roles';

CREATE FUNCTION tiktok.grant_reader(role regrole) RETURNS void
LANGUAGE sql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
	SELECT tiktok._grant(role, '{reader}')
$$;
COMMENT ON FUNCTION tiktok.grant_reader(regrole) IS 'lets a role look at what became of events, by every view; it sees no identifier, payload, token or test code';

CREATE FUNCTION tiktok.grant_tracker(role regrole) RETURNS void
LANGUAGE sql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
	SELECT tiktok._grant(role, '{tracker}')
$$;
COMMENT ON FUNCTION tiktok.grant_tracker(regrole) IS 'lets a role record events by calls, and make the scripts of the Pixel; of events it sees nothing but what such a script tells of one whose event_id it knows';

CREATE FUNCTION tiktok.grant_owner(role regrole) RETURNS void
LANGUAGE sql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
	SELECT tiktok._grant(role, '{owner}')
$$;
COMMENT ON FUNCTION tiktok.grant_owner(regrole) IS
'lets the owner of a partitioned table that has a trigger of tiktok.track_row make and attach partitions, for which PostgreSQL copies the trigger as the owner, and restore a dump of it.
Such a role can put these triggers on all its tables, and so record events of every source whose name it knows; it can look at nothing.';

CREATE FUNCTION tiktok.grant_admin(role regrole) RETURNS void
LANGUAGE sql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
	SELECT tiktok._grant(role, '{reader,tracker,admin}')
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
	EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA tiktok FROM %s', role);
	EXECUTE format('REVOKE ALL ON ALL SEQUENCES IN SCHEMA tiktok FROM %s', role);
	EXECUTE format('REVOKE ALL ON ALL ROUTINES IN SCHEMA tiktok FROM %s', role);
	EXECUTE format('REVOKE ALL ON SCHEMA tiktok FROM %s', role);
END $$;
COMMENT ON FUNCTION tiktok.revoke_all(regrole) IS 'takes every privilege in schema tiktok from a role';
