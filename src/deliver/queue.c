/*-------------------------------------------------------------------------
 *
 * queue.c
 *	  The worker and the database: the extension, its configuration and state.
 *
 * The planner is pinned to index scans and nested loops: statistics of a queue
 * table that was empty when it was analyzed lead it astray.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/transam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/pg_lsn.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "deliver/guard.h"
#include "deliver/queue.h"
#include "deliver/statement.h"
#include "deliver/watch.h"
#include "server/catalog_check.h"
#include "server/common.h"
#include "server/compat.h"
#include "server/faultpoint.h"
#include "server/slots.h"

static TteStatement sources_sql = {2, {INT8OID, OIDOID},
"SELECT s.id, s.name, s.event_source, s.event_source_id, s.enabled, s.batch_size, s.requests_per_second, "
"least(extract(epoch FROM s.max_event_age), 4e12) * 1e6::numeric, "
"t.token, t.system_identifier, t.database_oid, coalesce(c.paused, false), c.changed_at, "
TTE_IS_COPY ", u.state, t.set_at "
"FROM tiktok.source s LEFT JOIN tiktok.access_token t ON t.source_id = s.id "
"LEFT JOIN tiktok.source_control c ON c.source_id = s.id "
"LEFT JOIN tiktok.source_state u ON u.source_id = s.id ORDER BY s.id", NULL};

static TteStatement forget_sources_sql = {0, {0},
"WITH state AS (DELETE FROM tiktok.source_state u WHERE NOT EXISTS (SELECT FROM tiktok.source s WHERE s.id = u.source_id)) "
"DELETE FROM tiktok.cursor c WHERE NOT EXISTS (SELECT FROM tiktok.source s WHERE s.id = c.source_id)", NULL};

static TteStatement store_state_sql = {5, {INT4OID, TEXTOID, TEXTOID, TIMESTAMPTZOID, TIMESTAMPTZOID},
"INSERT INTO tiktok.source_state (source_id, state, reason, since, probe_at) VALUES ($1, $2, $3, $4, $5) "
"ON CONFLICT (source_id) DO UPDATE SET state = excluded.state, reason = excluded.reason, "
"since = CASE WHEN source_state.state = excluded.state THEN source_state.since ELSE excluded.since END, "
"probe_at = excluded.probe_at", NULL};

static TteStatement clear_state_sql = {1, {INT4OID},
"DELETE FROM tiktok.source_state WHERE source_id = $1", NULL};

static TteStatement load_installation_sql = {0, {0},
"SELECT timeline, backup_start, seen_at, recovered_to, recovered_xid, noted_system_identifier, noted_database_oid, "
"(SELECT started_at FROM tiktok.request ORDER BY id DESC LIMIT 1) "
"FROM tiktok.installation", NULL};

static TteStatement store_installation_sql = {7, {INT4OID, PG_LSNOID, TIMESTAMPTZOID, TIMESTAMPTZOID, XID8OID, INT8OID, OIDOID},
"UPDATE tiktok.installation SET timeline = $1, backup_start = $2, seen_at = $3, "
"recovered_to = $4, recovered_xid = $5, noted_system_identifier = $6, noted_database_oid = $7", NULL};

static TteStatement keep_recovered_sql = {0, {0},
"INSERT INTO tiktok.retry (id, source_id, attempts, first_attempt_at, possibly_received_at, next_attempt_at) "
"SELECT e.id, e.source_id, 0, i.recovered_to, i.recovered_to, clock_timestamp() "
"FROM tiktok.installation i JOIN tiktok_internal.pending e ON e.xid < i.recovered_xid", NULL};

static TteStatement recovered_retries_sql = {1, {TIMESTAMPTZOID},
"UPDATE tiktok.retry SET possibly_received_at = $1 WHERE possibly_received_at IS NULL", NULL};

static TteStatement pause_all_sql = {1, {TEXTOID},
"INSERT INTO tiktok.source_control (source_id, paused, reason, changed_at) "
"SELECT id, true, $1, clock_timestamp() FROM tiktok.source "
"ON CONFLICT (source_id) DO UPDATE SET paused = true, reason = excluded.reason, changed_at = excluded.changed_at "
"WHERE NOT source_control.paused", NULL};

#define VERSION_LEN	32

/* Versions of the extension with whose tables this library can work. */
static const char *const known_versions[] = {TTE_VERSION};

static Oid	extension_oid = InvalidOid;
static char version[VERSION_LEN];	/* of the extension, as found last */
static char used_version[VERSION_LEN];	/* the one whose tables are known here */
static Oid	worker_role = InvalidOid;
static Oid	saved_role;
static int	saved_sec_context;

/* What the session relies on, whatever the database or role says. */
static void
pin_settings(void)
{
	static const char *const settings[][2] = {
		{"search_path", "pg_catalog, pg_temp"},
		{"session_replication_role", "replica"},
		{"statement_timeout", "0"},
		{"lock_timeout", "10s"},
		{"idle_in_transaction_session_timeout", "0"},
		{"idle_session_timeout", "0"},
		TTE_TRANSACTION_TIMEOUT
		{"exit_on_error", "off"},
		{"default_transaction_read_only", "off"},
		{"default_transaction_isolation", "read committed"},
		{"default_transaction_deferrable", "off"},
		{"synchronous_commit", "local"},
		{"row_security", "on"},
		{"work_mem", "4MB"},
		{"temp_file_limit", "-1"},
		{"jit", "off"},
		{"max_parallel_workers_per_gather", "0"},
		{"enable_indexscan", "on"},
		{"enable_nestloop", "on"},
		{"enable_seqscan", "off"},
		{"enable_bitmapscan", "off"},
		{"enable_hashjoin", "off"},
		{"enable_mergejoin", "off"},
		{"enable_memoize", "off"},
		{"enable_material", "off"},
		{"plan_cache_mode", "force_generic_plan"},
	};

	for (int i = 0; i < lengthof(settings); i++)
		SetConfigOption(settings[i][0], settings[i][1], PGC_SUSET, PGC_S_OVERRIDE);
}

/* InvalidOid: this database does not have the extension. */
static Oid
read_extension(void)
{
	Relation	rel = table_open(ExtensionRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	Oid			oid = InvalidOid;
	bool		isnull;

	ScanKeyInit(&key, Anum_pg_extension_extname, BTEqualStrategyNumber, F_NAMEEQ, CStringGetDatum("tiktok_events"));
	scan = systable_beginscan(rel, ExtensionNameIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		char	   *found = TextDatumGetCString(heap_getattr(tuple, Anum_pg_extension_extversion, RelationGetDescr(rel), &isnull));

		oid = ((Form_pg_extension) GETSTRUCT(tuple))->oid;
		worker_role = ((Form_pg_extension) GETSTRUCT(tuple))->extowner;
		strlcpy(version, found, sizeof(version));
		pfree(found);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return oid;
}

static bool
knows_version(void)
{
	for (int i = 0; i < lengthof(known_versions); i++)
	{
		if (strcmp(version, known_versions[i]) == 0)
			return true;
	}
	return false;
}

/* An update may have made the tables anew. */
static void
use_version(void)
{
	tte_watch_tables();
	strlcpy(used_version, version, sizeof(used_version));
}

Oid
tte_queue_extension(void)
{
	return extension_oid;
}

const char *
tte_queue_version(void)
{
	return version;
}

bool
tte_queue_attach(void)
{
	pin_settings();
	StartTransactionCommand();
	extension_oid = read_extension();
	if (OidIsValid(extension_oid))
	{
		tte_watch_attach();
		tte_guard_attach();
	}
	CommitTransactionCommand();
	return OidIsValid(extension_oid);
}

const char *
tte_queue_problem(void)
{
	return tte_guard_problem(extension_oid, worker_role);
}

TteQueueState
tte_queue_begin(const char *activity)
{
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	/* DROP EXTENSION waits for us, or we for it */
	LockDatabaseObject(ExtensionRelationId, extension_oid, 0, AccessShareLock);
	if (read_extension() != extension_oid)
		return TTE_QUEUE_GONE;
	if (!knows_version())
	{
		CommitTransactionCommand();
		return TTE_QUEUE_MISMATCH;
	}
	if (strcmp(used_version, version) != 0)
		use_version();
	GetUserIdAndSecContext(&saved_role, &saved_sec_context);
	SetUserIdAndSecContext(worker_role, saved_sec_context | SECURITY_LOCAL_USERID_CHANGE | SECURITY_RESTRICTED_OPERATION);
	PushActiveSnapshot(GetTransactionSnapshot());
	SPI_connect();
	pgstat_report_activity(STATE_RUNNING, activity);
	return TTE_QUEUE_READY;
}

void
tte_queue_end(void)
{
	SPI_finish();
	PopActiveSnapshot();
	SetUserIdAndSecContext(saved_role, saved_sec_context);
	CommitTransactionCommand();
	pgstat_report_stat(true);
}

bool
tte_queue_may_have_news(void)
{
	static uint64 seen = 0;
	uint64		count = tte_completed_transactions();
	bool		changed = count != seen;

	seen = count;
	return changed;
}

static char *
copy_text(MemoryContext context, int row, int column)
{
	char	   *value = tte_result_text(row, column);

	return value ? MemoryContextStrdup(context, value) : NULL;
}

/* The same for a token, of which no other copy stays behind. */
static char *
copy_token(MemoryContext context, int row, int column)
{
	bool		isnull;
	Datum		value = tte_result(row, column, TEXTOID, &isnull);
	text	   *stored;
	char	   *copy;

	if (isnull)
		return NULL;
	stored = DatumGetTextPP(value);
	copy = MemoryContextAllocZero(context, VARSIZE_ANY_EXHDR(stored) + 1);
	memcpy(copy, VARDATA_ANY(stored), VARSIZE_ANY_EXHDR(stored));
	explicit_bzero(VARDATA_ANY(stored), VARSIZE_ANY_EXHDR(stored));
	return copy;
}

/* Is the stamp in two columns that of another database? */
static bool
is_foreign(int row, int system_identifier, int database)
{
	bool		isnull;

	return (uint64) tte_result_int8(row, system_identifier) != GetSystemIdentifier() ||
		DatumGetObjectId(tte_result(row, database, OIDOID, &isnull)) != MyDatabaseId;
}

int
tte_queue_sources(MemoryContext context, TteSourceConfig **configs)
{
	Datum		args[] = {Int64GetDatum((int64) GetSystemIdentifier()), ObjectIdGetDatum(MyDatabaseId)};
	int			n = tte_run(&sources_sql, args, NULL);
	bool		isnull;

	*configs = MemoryContextAllocZero(context, Max(n, 1) * sizeof(TteSourceConfig));
	for (int i = 0; i < n; i++)
	{
		TteSourceConfig *c = &(*configs)[i];

		c->id = tte_result_int4(i, 1);
		c->name = copy_text(context, i, 2);
		c->event_source = copy_text(context, i, 3);
		c->event_source_id = copy_text(context, i, 4);
		c->enabled = tte_result_bool(i, 5);
		c->batch_size = tte_result_int4(i, 6);
		c->requests_per_second = tte_result_int4(i, 7);
		c->max_event_age = DatumGetInt64(DirectFunctionCall1(numeric_int8, tte_result(i, 8, NUMERICOID, &isnull)));
		c->token = copy_token(context, i, 9);
		c->copied = c->token != NULL && is_foreign(i, 10, 11);
		c->paused = tte_result_bool(i, 12);
		c->resumed_at = c->paused ? 0 : tte_result_time(i, 13);
		c->database_copied = tte_result_bool(i, 14);
		c->stored_state = copy_text(context, i, 15);
		c->token_stamp = tte_result_time(i, 16);
	}
	return n;
}

void
tte_queue_forget_sources(void)
{
	tte_run(&forget_sources_sql, NULL, NULL);
}

void
tte_queue_store_state(int32 source_id, const char *state, const char *reason, int64 since, int64 probe_at)
{
	Datum		args[5];

	args[0] = Int32GetDatum(source_id);
	if (state == NULL)
	{
		tte_run(&clear_state_sql, args, NULL);
		return;
	}
	args[1] = CStringGetTextDatum(state);
	args[2] = CStringGetTextDatum(reason);
	args[3] = tte_time_datum(since);
	args[4] = tte_time_datum(probe_at);
	tte_run(&store_state_sql, args, probe_at == 0 ? "    n" : NULL);
}

bool
tte_queue_load_installation(TteInstallation *installation)
{
	bool		isnull;

	if (tte_run(&load_installation_sql, NULL, NULL) == 0)
		return false;
	installation->timeline = tte_result_int4(0, 1);
	installation->backup_start = DatumGetLSN(tte_result(0, 2, PG_LSNOID, &isnull));
	installation->seen_at = tte_result_time(0, 3);
	installation->recovered_to = tte_result_time(0, 4);
	installation->recovered_xid = DatumGetInt64(tte_result(0, 5, XID8OID, &isnull));
	installation->copied = is_foreign(0, 6, 7);
	installation->sent_at = tte_result_time(0, 8);
	return true;
}

void
tte_queue_store_installation(const TteInstallation *installation)
{
	Datum		args[] = {
		Int32GetDatum(installation->timeline), LSNGetDatum(installation->backup_start),
		tte_time_datum(installation->seen_at), tte_time_datum(installation->recovered_to),
		tte_xid_datum(installation->recovered_xid),
		Int64GetDatum((int64) GetSystemIdentifier()), ObjectIdGetDatum(MyDatabaseId)
	};
	char		nulls[] = "       ";

	if (installation->backup_start == 0)
		nulls[1] = 'n';
	if (installation->recovered_to == 0)
		nulls[3] = nulls[4] = 'n';
	tte_run(&store_installation_sql, args, nulls);
}

void
tte_queue_recovered(int64 recovered_to, bool again)
{
	Datum		args[] = {tte_time_datum(recovered_to)};

	if (again)
		tte_run(&keep_recovered_sql, NULL, NULL);
	tte_run(&recovered_retries_sql, args, NULL);
}

void
tte_queue_pause_all(const char *reason)
{
	Datum		args[] = {CStringGetTextDatum(reason)};

	tte_run(&pause_all_sql, args, NULL);
}
