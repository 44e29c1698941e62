/*-------------------------------------------------------------------------
 *
 * queue.c
 *	  All SQL of the background worker but that of deliver/purge.c.
 *
 * The queue is read in the order (source, xid, id) between two snapshots; see
 * window.c and src/README.md.  Statements are prepared once.  The planner is
 * pinned to index scans and nested loops: statistics of a queue table that was
 * empty when it was analyzed lead it astray.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/detoast.h"
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
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/pg_lsn.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/xid8.h"

#include "answer/schedule.h"
#include "deliver/bulk.h"
#include "deliver/guard.h"
#include "deliver/queue.h"
#include "deliver/watch.h"
#include "server/catalog_check.h"
#include "server/common.h"
#include "server/compat.h"
#include "server/faultpoint.h"
#include "server/slots.h"

typedef enum Statement
{
	SQL_SOURCES,
	SQL_FORGET_SOURCES,
	SQL_LOAD_CURSOR,
	SQL_STORE_CURSOR,
	SQL_READ,
	SQL_READ_SKIP,
	SQL_RECALL_DUE,
	SQL_DROP_DUE,
	SQL_READ_DUE,
	SQL_NEXT_DUE,
	SQL_START_REQUEST,
	SQL_CLAIM_RETRIES,
	SQL_FINISH_REQUEST,
	SQL_FINAL,
	SQL_FINAL_RETRY,
	SQL_RETRY,
	SQL_OPEN_REQUESTS,
	SQL_NEWEST_REQUEST,
	SQL_RECOVER_RETRIES,
	SQL_RECOVER_EVENTS,
	SQL_SET_APART,
	SQL_STORE_STATE,
	SQL_CLEAR_STATE,
	SQL_LOAD_INSTALLATION,
	SQL_STORE_INSTALLATION,
	SQL_KEEP_RECOVERED,
	SQL_RECOVERED_RETRIES,
	SQL_PAUSE_ALL,
	SQL_STATEMENTS
} Statement;

#define MAX_ARGS	12

typedef struct StatementText
{
	Statement	statement;
	int			nargs;
	Oid			types[MAX_ARGS];
	const char *text;
} StatementText;

#define EVENT_COLUMNS "e.xid, e.id, e.event_time, e.test_code, e.payload"
#define EVENT_RANGE \
	"FROM tiktok.event e WHERE e.source_id = $1 AND (e.xid, e.id) > ($2, $3) AND e.xid < $4 AND e.payload IS NOT NULL "
#define NO_FATE \
	"AND NOT EXISTS (SELECT FROM tiktok.delivery d WHERE d.id = e.id) " \
	"AND NOT EXISTS (SELECT FROM tiktok.retry r WHERE r.id = e.id) "

/* What was suppressed while it was on its way; the reason stays. */
#define TAKEN_ALL_THE_SAME \
	"ON CONFLICT (id) DO UPDATE SET status = excluded.status, request_id = excluded.request_id, " \
	"at = excluded.at WHERE delivery.status = 'suppressed' AND excluded.status = 'delivered'"

/* Names need no schema where pg_catalog is meant: it is the search path. */
static const StatementText statements[] =
{
	{SQL_SOURCES, 2, {INT8OID, OIDOID},
	"SELECT s.id, s.name, s.event_source, s.event_source_id, s.enabled, s.batch_size, s.requests_per_second, "
	"least(extract(epoch FROM coalesce(s.max_event_age, "
	"CASE WHEN s.event_source IN ('web', 'app') THEN interval '7 days' ELSE interval '28 days' END)), 4e12) * 1e6::numeric, "
	"t.token, t.system_identifier, t.database_oid, coalesce(c.paused, false), c.changed_at, "
	"NOT EXISTS (SELECT FROM tiktok.installation i WHERE i.system_identifier = $1 AND i.database_oid = $2) "
	"OR EXISTS (SELECT FROM tiktok.origin o WHERE o.system_identifier <> $1 OR o.database_oid <> $2), u.state "
	"FROM tiktok.source s LEFT JOIN tiktok.access_token t ON t.source_id = s.id "
	"LEFT JOIN tiktok.source_control c ON c.source_id = s.id "
	"LEFT JOIN tiktok.source_state u ON u.source_id = s.id ORDER BY s.id"},
	{SQL_FORGET_SOURCES, 0, {0},
	"WITH state AS (DELETE FROM tiktok.source_state u WHERE NOT EXISTS (SELECT FROM tiktok.source s WHERE s.id = u.source_id)) "
	"DELETE FROM tiktok.cursor c WHERE NOT EXISTS (SELECT FROM tiktok.source s WHERE s.id = c.source_id)"},
	{SQL_LOAD_CURSOR, 1, {INT4OID},
	"SELECT prev_snapshot::text, snapshot::text, position_xid, position_id "
	"FROM tiktok.cursor WHERE source_id = $1"},
	{SQL_STORE_CURSOR, 5, {INT4OID, TEXTOID, TEXTOID, XID8OID, INT8OID},
	"INSERT INTO tiktok.cursor VALUES ($1, $2::pg_snapshot, $3::pg_snapshot, $4, $5) "
	"ON CONFLICT (source_id) DO UPDATE SET prev_snapshot = excluded.prev_snapshot, "
	"snapshot = excluded.snapshot, position_xid = excluded.position_xid, position_id = excluded.position_id"},
	{SQL_READ, 5, {INT4OID, XID8OID, INT8OID, XID8OID, INT4OID},
	"SELECT " EVENT_COLUMNS " " EVENT_RANGE "ORDER BY e.xid, e.id LIMIT $5"},
	{SQL_READ_SKIP, 5, {INT4OID, XID8OID, INT8OID, XID8OID, INT4OID},
	"SELECT " EVENT_COLUMNS " " EVENT_RANGE NO_FATE "ORDER BY e.xid, e.id LIMIT $5"},
	/* times that far away were set by a clock that has been set back since */
	{SQL_RECALL_DUE, 4, {INT4OID, TIMESTAMPTZOID, INT4OID, TIMESTAMPTZOID},
	"UPDATE tiktok.retry SET next_attempt_at = $2 WHERE id IN (SELECT id FROM tiktok.retry "
	"WHERE source_id = $1 AND next_attempt_at > $4 ORDER BY next_attempt_at DESC LIMIT $3 FOR UPDATE SKIP LOCKED)"},

	/*
	 * an operator may have put back what then arrived after all, or deleted
	 * the event
	 */
	{SQL_DROP_DUE, 3, {INT4OID, TIMESTAMPTZOID, INT4OID},
	"WITH due AS (SELECT id FROM tiktok.retry "
	"WHERE source_id = $1 AND next_attempt_at <= $2 ORDER BY next_attempt_at LIMIT $3 FOR UPDATE SKIP LOCKED) "
	"DELETE FROM tiktok.retry r USING due "
	"LEFT JOIN tiktok.event e ON e.id = due.id LEFT JOIN tiktok.delivery d ON d.id = due.id "
	"WHERE r.id = due.id AND (e.id IS NULL OR d.id IS NOT NULL)"},
	{SQL_READ_DUE, 3, {INT4OID, TIMESTAMPTZOID, INT4OID},
	"SELECT " EVENT_COLUMNS ", i.user_data, r.attempts, r.possibly_received_at, q.outcome IN ('interrupted', 'failed'), "
	"q.outcome = 'interrupted' AND q.events = 1 "
	"FROM tiktok.retry r JOIN tiktok.event e ON e.id = r.id LEFT JOIN tiktok.identity i ON i.id = e.id "
	"LEFT JOIN tiktok.request q ON q.id = r.last_request_id "
	"WHERE r.source_id = $1 AND r.next_attempt_at <= $2 "
	"AND NOT EXISTS (SELECT FROM tiktok.delivery d WHERE d.id = r.id) ORDER BY r.next_attempt_at LIMIT $3 "
	"FOR UPDATE OF r SKIP LOCKED"},
	{SQL_NEXT_DUE, 1, {INT4OID},
	"SELECT min(next_attempt_at) FROM tiktok.retry WHERE source_id = $1"},
	{SQL_START_REQUEST, 9, {INT4OID, TIMESTAMPTZOID, INT4OID, XID8OID, INT8OID, XID8OID, INT8OID, INT4OID, BOOLOID},
	"INSERT INTO tiktok.request (source_id, started_at, events, first_xid, first_id, last_xid, last_id, bytes, is_test) "
	"VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) RETURNING id"},
	{SQL_CLAIM_RETRIES, 2, {INT8OID, INT8ARRAYOID},
	"UPDATE tiktok.retry SET last_request_id = $1 WHERE id = ANY ($2)"},
	{SQL_FINISH_REQUEST, 12, {INT8OID, INT4OID, INT4OID, TEXTOID, TEXTOID, TEXTOID, INT4OID, XID8OID, INT8OID, XID8OID, INT8OID, INT4OID},
	"UPDATE tiktok.request SET finished_at = clock_timestamp(), http_status = $2, code = $3, message = $4, "
	"request_id = $5, outcome = $6, events = coalesce($7, events), first_xid = coalesce($8, first_xid), "
	"first_id = coalesce($9, first_id), last_xid = coalesce($10, last_xid), last_id = coalesce($11, last_id), "
	"bytes = coalesce($12, bytes) WHERE id = $1"},
	{SQL_FINAL, 7, {INT8OID, TEXTOID, TEXTOID, BOOLOID, INT8ARRAYOID, INT4OID, TIMESTAMPTZOID},
	"WITH final AS (INSERT INTO tiktok.delivery (id, request_id, status, reason, at, possibly_received_at) "
	"SELECT u, $1, $2, $3, clock_timestamp(), $7 FROM unnest($5) u " TAKEN_ALL_THE_SAME " RETURNING id) "
	"DELETE FROM tiktok.identity i USING final WHERE i.id = final.id AND NOT $4"},
	{SQL_FINAL_RETRY, 7, {INT8OID, TEXTOID, TEXTOID, BOOLOID, INT8ARRAYOID, INT4OID, TIMESTAMPTZOID},
	"WITH gone AS (DELETE FROM tiktok.retry WHERE id = ANY ($5) RETURNING *), "
	"final AS (INSERT INTO tiktok.delivery SELECT id, coalesce($1, last_request_id), $2, $3, clock_timestamp(), "
	"attempts + $6, first_attempt_at, coalesce(possibly_received_at, $7) FROM gone "
	"ON CONFLICT DO NOTHING RETURNING id), "
	"taken AS (UPDATE tiktok.delivery SET status = $2, request_id = $1, at = clock_timestamp() "
	"WHERE id = ANY ($5) AND status = 'suppressed' AND $2 = 'delivered') "
	"DELETE FROM tiktok.identity i USING final WHERE i.id = final.id AND NOT $4"},
	{SQL_RETRY, 7, {INT4OID, INT8OID, TIMESTAMPTZOID, TIMESTAMPTZOID, INT4OID, INT8ARRAYOID, TIMESTAMPTZARRAYOID},
	"INSERT INTO tiktok.retry (id, source_id, attempts, first_attempt_at, possibly_received_at, next_attempt_at, last_request_id, code) "
	"SELECT u, $1, 1, $3, $4, n, $2, $5 FROM unnest($6, $7) t(u, n) "
	"WHERE NOT EXISTS (SELECT FROM tiktok.delivery d WHERE d.id = u) "
	"ON CONFLICT (id) DO UPDATE SET attempts = retry.attempts + 1, next_attempt_at = excluded.next_attempt_at, "
	"possibly_received_at = coalesce(retry.possibly_received_at, excluded.possibly_received_at), "
	"last_request_id = excluded.last_request_id, code = excluded.code"},
	{SQL_OPEN_REQUESTS, 1, {INT4OID},
	"SELECT id, started_at, first_xid, first_id, last_xid, last_id "
	"FROM tiktok.request WHERE source_id = $1 AND finished_at IS NULL ORDER BY id"},
	{SQL_NEWEST_REQUEST, 0, {0},
	"SELECT max(id) FROM tiktok.request"},
	/* the last argument is null when no byte of the request was sent */
	{SQL_RECOVER_RETRIES, 2, {INT8OID, TIMESTAMPTZOID},
	"UPDATE tiktok.retry SET attempts = attempts + 1, "
	"possibly_received_at = coalesce(possibly_received_at, $2) WHERE last_request_id = $1"},
	{SQL_RECOVER_EVENTS, 8, {INT4OID, INT8OID, TIMESTAMPTZOID, XID8OID, INT8OID, XID8OID, INT8OID, TIMESTAMPTZOID},
	"INSERT INTO tiktok.retry (id, source_id, attempts, first_attempt_at, possibly_received_at, next_attempt_at, last_request_id) "
	"SELECT e.id, $1, 1, $3, least($8, (SELECT recovered_to FROM tiktok.installation WHERE e.xid < recovered_xid)), "
	"clock_timestamp(), $2 FROM tiktok.event e "
	"WHERE e.source_id = $1 AND (e.xid, e.id) >= ($4, $5) AND (e.xid, e.id) <= ($6, $7) AND e.payload IS NOT NULL "
	NO_FATE},
	{SQL_SET_APART, 2, {INT4OID, INT8OID},
	"WITH poison AS (DELETE FROM tiktok.retry r USING tiktok.request q WHERE q.id = $2 AND q.events = 1 AND r.id = q.first_id "
	"AND (SELECT count(*) + CASE WHEN r.attempts > count(*) THEN 1 ELSE 0 END FROM tiktok.request p WHERE p.source_id = $1 "
	"AND p.events = 1 AND p.first_id = q.first_id AND p.outcome IN ('interrupted', 'failed')) >= 3 RETURNING r.*), "
	"forgotten AS (DELETE FROM tiktok.identity i USING poison p WHERE i.id = p.id AND p.possibly_received_at IS NULL) "
	"INSERT INTO tiktok.delivery SELECT id, CASE WHEN possibly_received_at IS NOT NULL THEN last_request_id END, "
	"CASE WHEN possibly_received_at IS NOT NULL THEN 'uncertain' ELSE 'invalid' END, 'poison', clock_timestamp(), "
	"attempts, first_attempt_at, possibly_received_at FROM poison"},
	{SQL_STORE_STATE, 5, {INT4OID, TEXTOID, TEXTOID, TIMESTAMPTZOID, TIMESTAMPTZOID},
	"INSERT INTO tiktok.source_state (source_id, state, reason, since, probe_at) VALUES ($1, $2, $3, $4, $5) "
	"ON CONFLICT (source_id) DO UPDATE SET state = excluded.state, reason = excluded.reason, "
	"since = CASE WHEN source_state.state = excluded.state THEN source_state.since ELSE excluded.since END, "
	"probe_at = excluded.probe_at"},
	{SQL_CLEAR_STATE, 1, {INT4OID},
	"DELETE FROM tiktok.source_state WHERE source_id = $1"},
	{SQL_LOAD_INSTALLATION, 1, {INT8OID},
	"SELECT timeline, backup_start, seen_at, recovered_to, recovered_xid "
	"FROM tiktok.installation WHERE system_identifier = $1"},
	{SQL_STORE_INSTALLATION, 5, {INT4OID, PG_LSNOID, TIMESTAMPTZOID, TIMESTAMPTZOID, XID8OID},
	"UPDATE tiktok.installation SET timeline = $1, backup_start = $2, seen_at = $3, "
	"recovered_to = $4, recovered_xid = $5"},
	{SQL_KEEP_RECOVERED, 0, {0},
	"INSERT INTO tiktok.retry (id, source_id, attempts, first_attempt_at, possibly_received_at, next_attempt_at) "
	"SELECT e.id, e.source_id, 0, i.recovered_to, i.recovered_to, clock_timestamp() "
	"FROM tiktok.installation i CROSS JOIN tiktok.source s LEFT JOIN tiktok.cursor c ON c.source_id = s.id "
	"JOIN tiktok.event e ON e.source_id = s.id AND e.xid < i.recovered_xid "
	"AND e.xid >= coalesce(pg_snapshot_xmin(c.prev_snapshot), '0') WHERE e.payload IS NOT NULL " NO_FATE},
	{SQL_RECOVERED_RETRIES, 1, {TIMESTAMPTZOID},
	"UPDATE tiktok.retry SET possibly_received_at = $1 WHERE possibly_received_at IS NULL"},
	{SQL_PAUSE_ALL, 1, {TEXTOID},
	"INSERT INTO tiktok.source_control (source_id, paused, reason, changed_at) "
	"SELECT id, true, $1, clock_timestamp() FROM tiktok.source "
	"ON CONFLICT (source_id) DO UPDATE SET paused = true, reason = excluded.reason, changed_at = excluded.changed_at "
	"WHERE NOT source_control.paused"},
};

#define VERSION_LEN	32

/* So many fates are inserted together, which takes a subtransaction; fewer by SQL. */
#define BULK	32

/* Versions of the extension with whose tables this library can work. */
static const char *const known_versions[] = {TTE_VERSION};

static SPIPlanPtr plans[SQL_STATEMENTS];
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

/* A result takes kilobytes until the transaction ends, in which each of thousands of sources may ask. */
static void
done(void)
{
	SPI_freetuptable(SPI_tuptable);
}

/*
 * Runs a statement; a null argument is marked by 'n' in nulls.  There is no
 * result when there are no rows.
 */
static uint64
run(Statement statement, Datum *args, const char *nulls)
{
	int			rc;

	if (plans[statement] == NULL)
	{
		const StatementText *st = &statements[statement];
		SPIPlanPtr	plan;

		Assert(st->statement == statement);
		plan = SPI_prepare(st->text, st->nargs, unconstify(Oid *, &st->types[0]));
		if (plan == NULL || SPI_keepplan(plan) != 0)
			elog(ERROR, "could not prepare statement %d: %s", statement, SPI_result_code_string(SPI_result));
		plans[statement] = plan;
	}
	rc = SPI_execute_plan(plans[statement], args, nulls, false, 0);
	if (rc < 0)
		elog(ERROR, "could not execute statement %d: %s", statement, SPI_result_code_string(rc));
	if (SPI_processed == 0)
		done();
	return SPI_processed;
}

static Datum
result(int row, int column, Oid type, bool *isnull)
{
	return tte_spi_value(row, column, type, isnull);
}

/* NULL for a null. */
static char *
result_text(int row, int column)
{
	bool		isnull;
	Datum		value = result(row, column, TEXTOID, &isnull);

	return isnull ? NULL : TextDatumGetCString(value);
}

/* The same, as it is stored. */
static struct varlena *
result_stored(int row, int column)
{
	bool		isnull;
	Datum		value = result(row, column, JSONOID, &isnull);

	return isnull ? NULL : (struct varlena *) DatumGetPointer(value);
}

static int64
result_int8(int row, int column)
{
	bool		isnull;
	Datum		value = result(row, column, INT8OID, &isnull);

	return isnull ? 0 : DatumGetInt64(value);
}

static int32
result_int4(int row, int column)
{
	bool		isnull;
	Datum		value = result(row, column, INT4OID, &isnull);

	return isnull ? 0 : DatumGetInt32(value);
}

/* false for a null. */
static bool
result_bool(int row, int column)
{
	bool		isnull;
	Datum		value = result(row, column, BOOLOID, &isnull);

	return !isnull && DatumGetBool(value);
}

static uint64
result_xid(int row, int column)
{
	bool		isnull;

	return U64FromFullTransactionId(DatumGetFullTransactionId(result(row, column, XID8OID, &isnull)));
}

/* 0 for a null. */
static int64
result_time(int row, int column)
{
	bool		isnull;
	Datum		value = result(row, column, TIMESTAMPTZOID, &isnull);

	return isnull ? 0 : DatumGetTimestampTz(value) + TTE_EPOCH_SHIFT;
}

static Datum
time_datum(int64 usec)
{
	return TimestampTzGetDatum(usec - TTE_EPOCH_SHIFT);
}

static Datum
xid_datum(uint64 xid)
{
	return FullTransactionIdGetDatum(FullTransactionIdFromU64(xid));
}

static Datum
int8_array(const int64 *values, int n, Oid type)
{
	Datum	   *elements = palloc(n * sizeof(Datum));

	for (int i = 0; i < n; i++)
		elements[i] = Int64GetDatum(values[i]);
	return PointerGetDatum(construct_array(elements, n, type, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

static char *
copy_text(MemoryContext context, int row, int column)
{
	char	   *value = result_text(row, column);

	return value ? MemoryContextStrdup(context, value) : NULL;
}

/* The same for a token, of which no other copy stays behind. */
static char *
copy_token(MemoryContext context, int row, int column)
{
	bool		isnull;
	Datum		value = result(row, column, TEXTOID, &isnull);
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

	return (uint64) result_int8(row, system_identifier) != GetSystemIdentifier() ||
		DatumGetObjectId(result(row, database, OIDOID, &isnull)) != MyDatabaseId;
}

int
tte_queue_sources(MemoryContext context, TteSourceConfig **configs)
{
	Datum		args[] = {Int64GetDatum((int64) GetSystemIdentifier()), ObjectIdGetDatum(MyDatabaseId)};
	int			n = run(SQL_SOURCES, args, NULL);
	bool		isnull;

	*configs = MemoryContextAllocZero(context, Max(n, 1) * sizeof(TteSourceConfig));
	for (int i = 0; i < n; i++)
	{
		TteSourceConfig *c = &(*configs)[i];

		c->id = result_int4(i, 1);
		c->name = copy_text(context, i, 2);
		c->event_source = copy_text(context, i, 3);
		c->event_source_id = copy_text(context, i, 4);
		c->enabled = result_bool(i, 5);
		c->batch_size = result_int4(i, 6);
		c->requests_per_second = result_int4(i, 7);
		c->max_event_age = DatumGetInt64(DirectFunctionCall1(numeric_int8, result(i, 8, NUMERICOID, &isnull)));
		c->token = copy_token(context, i, 9);
		c->copied = c->token != NULL && is_foreign(i, 10, 11);
		c->paused = result_bool(i, 12);
		c->resumed_at = c->paused ? 0 : result_time(i, 13);
		c->database_copied = result_bool(i, 14);
		c->stored_state = copy_text(context, i, 15);
	}
	return n;
}

void
tte_queue_forget_sources(void)
{
	run(SQL_FORGET_SOURCES, NULL, NULL);
}

static void
parse_snapshot(const char *printed, TteSnapshot *snapshot)
{
	if (!tte_snapshot_parse(printed, snapshot))
		elog(ERROR, "could not parse snapshot \"%s\"", printed);
}

void
tte_queue_snapshot(TteSnapshot *snapshot)
{
	Datum		current = DirectFunctionCall1(pg_current_snapshot, (Datum) 0);

	parse_snapshot(DatumGetCString(DirectFunctionCall1(pg_snapshot_out, current)), snapshot);
}

void
tte_queue_load_cursor(int32 source_id, TteSnapshot *prev, TteSnapshot *cur, TtePosition *position)
{
	Datum		args[] = {Int32GetDatum(source_id)};

	if (run(SQL_LOAD_CURSOR, args, NULL) == 0)
	{
		parse_snapshot(TTE_FIRST_SNAPSHOT, prev);
		parse_snapshot(TTE_FIRST_SNAPSHOT, cur);
		*position = TTE_WINDOW_START;
		return;
	}
	parse_snapshot(result_text(0, 1), prev);
	parse_snapshot(result_text(0, 2), cur);
	position->xid = result_xid(0, 3);
	position->id = result_int8(0, 4);
	done();
}

void
tte_queue_store_cursor(int32 source_id, const TteSnapshot *prev, const TteSnapshot *cur, TtePosition position)
{
	Datum		args[] = {
		Int32GetDatum(source_id),
		CStringGetTextDatum(tte_snapshot_print(prev)),
		CStringGetTextDatum(tte_snapshot_print(cur)),
		xid_datum(position.xid),
		Int64GetDatum(position.id)
	};

	run(SQL_STORE_CURSOR, args, NULL);
	TTE_FAULT_POINT("cursor-moved", NULL);
}

/* Has an open transaction inserted, deleted or replaced a row of that id? */
static bool
row_busy(const char *relation, int64 id)
{
	Relation	rel = table_open(tte_relation(relation), RowExclusiveLock);
	SnapshotData dirty;
	ScanKeyData key;
	SysScanDesc scan;
	bool		busy = false;

	InitDirtySnapshot(dirty);
	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(id));
	scan = systable_beginscan(rel, tte_primary_key_index(rel), true, &dirty, 1, &key);
	while (!busy && HeapTupleIsValid(systable_getnext(scan)))
		busy = TransactionIdIsValid(dirty.xmin) || TransactionIdIsValid(dirty.xmax);
	systable_endscan(scan);
	table_close(rel, NoLock);
	return busy;
}

bool
tte_queue_busy(int64 id)
{
	return row_busy("delivery", id) || row_busy("retry", id);
}

static int
stored_size(struct varlena *stored)
{
	return stored ? (int) Min(toast_raw_datum_size(PointerGetDatum(stored)), MaxAllocSize / 2) : 0;
}

static int
compare_ids(const void *a, const void *b)
{
	int64		x = *(const int64 *) a;
	int64		y = *(const int64 *) b;

	return x < y ? -1 : x > y;
}

static int
by_id(const void *a, const void *b)
{
	return compare_ids(&(*(TteQueueRow *const *) a)->id, &(*(TteQueueRow *const *) b)->id);
}

static void
add_identities(TteQueueRow *rows, int n)
{
	TteQueueRow **sorted = palloc(n * sizeof(*sorted));
	struct varlena **values = palloc(n * sizeof(*values));
	int64	   *ids = palloc(n * sizeof(*ids));

	for (int i = 0; i < n; i++)
		sorted[i] = &rows[i];
	qsort(sorted, n, sizeof(*sorted), by_id);
	for (int i = 0; i < n; i++)
		ids[i] = sorted[i]->id;
	tte_bulk_read_identities(ids, n, values);
	for (int i = 0; i < n; i++)
		sorted[i]->user_data = values[i];
}

static void
add_sizes(TteQueueRow *rows, int n)
{
	for (int i = 0; i < n; i++)
		rows[i].size = stored_size(rows[i].payload) + stored_size(rows[i].user_data);
}

static int
collect_rows(int n, bool due, TteQueueRow **rows)
{
	*rows = palloc0(Max(n, 1) * sizeof(TteQueueRow));
	for (int i = 0; i < n; i++)
	{
		TteQueueRow *row = &(*rows)[i];

		row->xid = result_xid(i, 1);
		row->id = result_int8(i, 2);
		row->event_time = result_time(i, 3);
		row->test_code = result_text(i, 4);
		row->payload = result_stored(i, 5);
		if (!due)
			continue;
		row->user_data = result_stored(i, 6);
		row->attempts = result_int4(i, 7);
		row->possibly_received_at = result_time(i, 8);
		row->suspect = result_bool(i, 9);
		row->alone = result_bool(i, 10);
	}
	if (!due && n > 0)
		add_identities(*rows, n);
	add_sizes(*rows, n);
	return n;
}

int
tte_queue_read(int32 source_id, TtePosition from, uint64 end, bool skip, int limit, TteQueueRow **rows)
{
	Datum		args[] = {
		Int32GetDatum(source_id), xid_datum(from.xid), Int64GetDatum(from.id), xid_datum(end), Int32GetDatum(limit)
	};

	return collect_rows(run(skip ? SQL_READ_SKIP : SQL_READ, args, NULL), false, rows);
}

int
tte_queue_read_due(int32 source_id, int64 now, int limit, TteQueueRow **rows)
{
	Datum		args[] = {
		Int32GetDatum(source_id), time_datum(now), Int32GetDatum(limit), time_datum(now + TTE_RETRY_LONGEST)
	};

	run(SQL_RECALL_DUE, args, NULL);
	run(SQL_DROP_DUE, args, NULL);
	return collect_rows(run(SQL_READ_DUE, args, NULL), true, rows);
}

const char *
tte_queue_bytes(struct varlena *stored, int *len)
{
	MemoryContext caller = CurrentMemoryContext;
	struct varlena *v = stored;

	if (VARATT_IS_EXTERNAL(stored))
	{
		StartTransactionCommand();
		PushActiveSnapshot(GetTransactionSnapshot());
		MemoryContextSwitchTo(caller);
		v = detoast_attr(stored);
		PopActiveSnapshot();
		CommitTransactionCommand();
		MemoryContextSwitchTo(caller);
	}
	else if (VARATT_IS_COMPRESSED(stored))
		v = detoast_attr(stored);
	*len = VARSIZE_ANY_EXHDR(v);
	return VARDATA_ANY(v);
}

int64
tte_queue_next_due(int32 source_id)
{
	Datum		args[] = {Int32GetDatum(source_id)};

	int64		due;

	run(SQL_NEXT_DUE, args, NULL);
	due = result_time(0, 1);
	done();
	return due;
}

int64
tte_queue_start_request(const TteRequestStart *start)
{
	Datum		args[] = {
		Int32GetDatum(start->source_id), time_datum(start->started_at), Int32GetDatum(start->events),
		xid_datum(start->first.xid), Int64GetDatum(start->first.id),
		xid_datum(start->last.xid), Int64GetDatum(start->last.id),
		Int32GetDatum(start->bytes), BoolGetDatum(start->is_test)
	};

	run(SQL_START_REQUEST, args, NULL);
	TTE_FAULT_POINT("request-inserted", NULL);
	return result_int8(0, 1);
}

void
tte_queue_claim_retries(int64 request_id, const int64 *ids, int n)
{
	Datum		args[] = {Int64GetDatum(request_id), int8_array(ids, n, INT8OID)};

	run(SQL_CLAIM_RETRIES, args, NULL);
}

/* What TikTok says is UTF-8; what the database cannot hold is replaced. */
static Datum
foreign_text(const char *utf8)
{
	return CStringGetTextDatum(tte_from_utf8(utf8, strlen(utf8)));
}

void
tte_queue_finish_request(const TteRequestEnd *end)
{
	Datum		args[] = {
		Int64GetDatum(end->id), Int32GetDatum(end->http_status), Int32GetDatum(end->code),
		foreign_text(end->message), foreign_text(end->request_id), CStringGetTextDatum(end->outcome),
		Int32GetDatum(end->events),
		xid_datum(end->first.xid), Int64GetDatum(end->first.id), xid_datum(end->last.xid), Int64GetDatum(end->last.id),
		Int32GetDatum(end->bytes)
	};
	char		nulls[] = "            ";

	if (end->http_status == 0)
		nulls[1] = 'n';
	if (!end->has_code)
		nulls[2] = 'n';
	if (end->message[0] == '\0')
		nulls[3] = 'n';
	if (end->request_id[0] == '\0')
		nulls[4] = 'n';
	if (end->events == 0)
		memset(nulls + 6, 'n', 6);
	run(SQL_FINISH_REQUEST, args, nulls);
	TTE_FAULT_POINT("request-finished", NULL);
}

/* False: one of them has a fate, which an operator gave it while it was on its way. */
static bool
insert_fates(const TteFinal *final, const int64 *ids, int n)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	volatile bool inserted = true;

	BeginInternalSubTransaction(NULL);
	PG_TRY();
	{
		tte_bulk_insert_fates(final, ids, n);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		ErrorData  *error = tte_undo_subtransaction(context, owner);

		if (error->sqlerrcode != ERRCODE_UNIQUE_VIOLATION)
			ReThrowError(error);
		FreeErrorData(error);
		inserted = false;
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return inserted;
}

/* False: nothing is recorded. */
static bool
record_bulk(const TteFinal *final, const int64 *ids, int n)
{
	int64	   *sorted = palloc(n * sizeof(int64));

	memcpy(sorted, ids, n * sizeof(int64));
	qsort(sorted, n, sizeof(int64), compare_ids);
	if (!insert_fates(final, sorted, n))
		return false;
	if (!final->keep_identity)
		tte_bulk_delete_identities(sorted, n);
	CommandCounterIncrement();
	return true;
}

static void
record_by_sql(const TteFinal *final, const int64 *ids, int n)
{
	Datum		args[] = {
		Int64GetDatum(final->request_id), CStringGetTextDatum(final->status),
		CStringGetTextDatum(final->reason ? final->reason : ""), BoolGetDatum(final->keep_identity),
		int8_array(ids, n, INT8OID),
		Int32GetDatum(final->attempted ? 1 : 0), time_datum(final->possibly_received_at)
	};
	char		nulls[] = "       ";

	if (final->request_id == 0)
		nulls[0] = 'n';
	if (final->reason == NULL)
		nulls[2] = 'n';
	/* of the only attempt tiktok.request knows when it was */
	if (final->possibly_received_at == 0 || (!final->from_retry && final->request_id != 0))
		nulls[6] = 'n';
	run(final->from_retry ? SQL_FINAL_RETRY : SQL_FINAL, args, nulls);
}

void
tte_queue_record_final(const TteFinal *final, const int64 *ids, int n)
{
	if (n == 0)
		return;
	if (n < BULK || final->from_retry || !record_bulk(final, ids, n))
		record_by_sql(final, ids, n);
	TTE_FAULT_POINT("fate-written", final->status);
}

void
tte_queue_record_retry(int32 source_id, int64 request_id, int64 started_at, int64 possibly_received_at,
					   bool has_code, int code, const int64 *ids, const int64 *next_attempts, int n)
{
	int64	   *next = palloc(n * sizeof(int64));
	Datum		args[7];
	char		nulls[] = "       ";

	for (int i = 0; i < n; i++)
		next[i] = next_attempts[i] - TTE_EPOCH_SHIFT;
	args[0] = Int32GetDatum(source_id);
	args[1] = Int64GetDatum(request_id);
	args[2] = time_datum(started_at);
	args[3] = time_datum(possibly_received_at);
	args[4] = Int32GetDatum(code);
	args[5] = int8_array(ids, n, INT8OID);
	args[6] = int8_array(next, n, TIMESTAMPTZOID);
	if (possibly_received_at == 0)
		nulls[3] = 'n';
	if (!has_code)
		nulls[4] = 'n';
	run(SQL_RETRY, args, nulls);
	TTE_FAULT_POINT("retry-written", NULL);
}

void
tte_queue_set_apart(int32 source_id, int64 request_id)
{
	Datum		args[] = {Int32GetDatum(source_id), Int64GetDatum(request_id)};

	run(SQL_SET_APART, args, NULL);
}

/* What was not sent need not go to tiktok.retry, unless a process died with it. */
static void
recover_request(int32 source_id, Datum *request)
{
	int64		id = DatumGetInt64(request[0]);
	bool		crash = tte_crashed_since(DatumGetTimestampTz(request[1]));
	bool		received = tte_sent_possibly(id);
	TteRequestEnd end = {.id = id, .message = "", .request_id = "", .outcome = crash ? "interrupted" : "abandoned"};
	Datum		args[] = {
		Int32GetDatum(source_id), request[0], request[1], request[2], request[3], request[4], request[5], request[1]
	};

	if ((crash || received) && run(SQL_RECOVER_RETRIES, request, received ? NULL : " n") == 0)
		run(SQL_RECOVER_EVENTS, args, received ? NULL : "       n");
	TTE_FAULT_POINT("recovering", NULL);
	tte_queue_finish_request(&end);
	if (crash)
		tte_queue_set_apart(source_id, id);
}

/* Once in the life of the process, before it starts a request. */
static void
attach_sent(void)
{
	static bool attached = false;

	if (attached)
		return;
	run(SQL_NEWEST_REQUEST, NULL, NULL);
	tte_sent_attach(extension_oid, result_int8(0, 1));
	attached = true;
}

int
tte_queue_recover(int32 source_id)
{
	Datum		args[] = {Int32GetDatum(source_id)};
	SPITupleTable *open;
	bool		isnull;
	int			n;

	attach_sent();
	n = run(SQL_OPEN_REQUESTS, args, NULL);
	open = SPI_tuptable;
	for (int i = 0; i < n; i++)
	{
		Datum		request[6];

		for (int column = 0; column < 6; column++)
			request[column] = SPI_getbinval(open->vals[i], open->tupdesc, column + 1, &isnull);
		recover_request(source_id, request);
	}
	return n;
}

void
tte_queue_store_state(int32 source_id, const char *state, const char *reason, int64 since, int64 probe_at)
{
	Datum		args[5];

	args[0] = Int32GetDatum(source_id);
	if (state == NULL)
	{
		run(SQL_CLEAR_STATE, args, NULL);
		return;
	}
	args[1] = CStringGetTextDatum(state);
	args[2] = CStringGetTextDatum(reason);
	args[3] = time_datum(since);
	args[4] = time_datum(probe_at);
	run(SQL_STORE_STATE, args, probe_at == 0 ? "    n" : NULL);
}

bool
tte_queue_load_installation(TteInstallation *installation)
{
	Datum		args[] = {Int64GetDatum((int64) GetSystemIdentifier())};
	bool		isnull;

	if (run(SQL_LOAD_INSTALLATION, args, NULL) == 0)
		return false;
	installation->timeline = result_int4(0, 1);
	installation->backup_start = DatumGetLSN(result(0, 2, PG_LSNOID, &isnull));
	installation->seen_at = result_time(0, 3);
	installation->recovered_to = result_time(0, 4);
	installation->recovered_xid = DatumGetInt64(result(0, 5, XID8OID, &isnull));
	return true;
}

void
tte_queue_store_installation(const TteInstallation *installation)
{
	Datum		args[] = {
		Int32GetDatum(installation->timeline), LSNGetDatum(installation->backup_start),
		time_datum(installation->seen_at), time_datum(installation->recovered_to),
		xid_datum(installation->recovered_xid)
	};
	char		nulls[] = "     ";

	if (installation->backup_start == 0)
		nulls[1] = 'n';
	if (installation->recovered_to == 0)
		nulls[3] = nulls[4] = 'n';
	run(SQL_STORE_INSTALLATION, args, nulls);
}

void
tte_queue_recovered(int64 recovered_to)
{
	Datum		args[] = {time_datum(recovered_to)};

	run(SQL_KEEP_RECOVERED, NULL, NULL);
	run(SQL_RECOVERED_RETRIES, args, NULL);
}

void
tte_queue_pause_all(const char *reason)
{
	Datum		args[] = {CStringGetTextDatum(reason)};

	run(SQL_PAUSE_ALL, args, NULL);
}
