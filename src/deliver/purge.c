/*-------------------------------------------------------------------------
 *
 * purge.c
 *	  Deletes old history, by the worker and by tiktok.purge().
 *
 * A pass scans identifiers by id, events of each source in the order of the
 * queue, and requests by id.  All these are orders of time, so a scan begins with
 * the oldest row and ends at the first that is too young.  Reports of the Pixel,
 * and identifiers if ids come from several databases, are scanned completely.  A
 * pass is divided into batches of a limited number of rows; the worker runs each
 * in a transaction of its own.
 *
 * Only events that have a row in tiktok.delivery are deleted, and that row first:
 * an operator who puts an event back deletes the same row, so only one of the two
 * succeeds.  Whatever the retention, an event is kept for two days after the last
 * moment at which TikTok would accept it.  If its key were recorded again earlier,
 * it would be sent and counted a second time.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/timestamp.h"
#include "utils/xid8.h"

#include "deliver/purge.h"
#include "server/catalog_check.h"
#include "server/common.h"
#include "server/settings.h"

/* Batch size of tiktok.purge(), which runs all batches in one transaction. */
#define ROWS_BY_HAND	10000

/* A block of tiktok.pixel_seen counts as so many rows. */
#define ROWS_PER_BLOCK	4

/* Longer intervals are cut to this one, so that dates stay in range. */
#define FOREVER			"interval '1000 years'"

#define MAX_EVENT_AGE	"least(s.max_event_age, " FOREVER ")"

typedef enum Stage
{
	IDENTITIES,
	EVENTS,
	REQUESTS,
	PIXEL_SEEN,
	DONE
} Stage;

/* Rows of a source older than these times are deleted. */
typedef struct Term
{
	int32		source_id;
	TimestampTz kept_from;
	TimestampTz identifiers_from;
} Term;

struct TtePurge
{
	MemoryContext context;
	int64		retention;
	int64		identifier_ttl;
	Stage		stage;
	Term	   *terms;			/* NULL before the first step */
	int			nterms;
	int			term;			/* whose events are being deleted */
	uint64		xid;			/* last row read */
	int64		id;				/* last row read; in stage PIXEL_SEEN, the
								 * next block */
	int64		counts[TTE_PURGED_COUNTS];
};

/* Names of pg_catalog need no schema: all callers have it as search_path. */
static const char terms_sql[] =
"SELECT s.id, clock_timestamp() - greatest(least($1, " FOREVER "), " MAX_EVENT_AGE " + interval '2 days'),"
" clock_timestamp() - CASE WHEN $2 < interval '0' THEN " MAX_EVENT_AGE " ELSE least($2, " FOREVER ") END "
"FROM (SELECT id, max_event_age FROM tiktok.source UNION ALL SELECT 0, interval '0') s";

/*
 * $2 and $3: sources and their terms; $4: the latest term.  An increment other
 * than 1 means that ids come from several databases, and are not in order of time.
 */
static const char read_identities_sql[] =
"SELECT i.id, e.enqueued_at >= $4 AND (SELECT seqincrement = 1 FROM pg_sequence WHERE seqrelid = 'tiktok.event_id_seq'::regclass), "
"d.id IS NOT NULL AND e.enqueued_at < t.until "
"FROM tiktok.identity i LEFT JOIN tiktok.event e ON e.id = i.id LEFT JOIN tiktok.delivery d ON d.id = i.id "
"LEFT JOIN unnest($2, $3) t (source_id, until) ON t.source_id = e.source_id "
"WHERE i.id > $1 ORDER BY i.id LIMIT $5";

static const char delete_identities_sql[] =
"DELETE FROM tiktok.identity WHERE id = ANY (ARRAY(SELECT i.id FROM tiktok.identity i "
"JOIN tiktok.delivery d ON d.id = i.id WHERE i.id = ANY ($1) FOR UPDATE SKIP LOCKED))";

static const char read_events_sql[] =
"SELECT e.id, e.enqueued_at >= $4, coalesce(d.at < $4, false), e.xid "
"FROM tiktok.event e LEFT JOIN tiktok.delivery d ON d.id = e.id "
"WHERE e.source_id = $1 AND (e.xid, e.id) > ($2, $3) ORDER BY e.xid, e.id LIMIT $5";

static const char delete_events_sql[] =
"WITH final AS MATERIALIZED (SELECT d.id FROM tiktok.delivery d WHERE d.id = ANY ($1) AND d.at < $2 FOR UPDATE SKIP LOCKED), "
"mine AS MATERIALIZED (SELECT i.id FROM tiktok.identity i WHERE i.id = ANY (ARRAY(SELECT id FROM final)) FOR UPDATE SKIP LOCKED), "
"free AS MATERIALIZED (SELECT f.id FROM final f WHERE f.id IN (SELECT id FROM mine)"
" OR NOT EXISTS (SELECT FROM tiktok.identity i WHERE i.id = f.id)), "
"delivery AS (DELETE FROM tiktok.delivery WHERE id = ANY (ARRAY(SELECT id FROM free)) RETURNING id), "
"identity AS (DELETE FROM tiktok.identity WHERE id = ANY (ARRAY(SELECT id FROM free)) RETURNING id), "
"event AS (DELETE FROM tiktok.event WHERE id = ANY (ARRAY(SELECT id FROM free)) RETURNING id) "
"SELECT (SELECT count(*) FROM event), (SELECT count(*) FROM identity)";

/* $2 and $3 as above, $4 the latest term */
static const char read_requests_sql[] =
"SELECT q.id, q.started_at >= $4, coalesce(q.finished_at < t.until, false) "
"FROM tiktok.request q LEFT JOIN unnest($2, $3) t (source_id, until) ON t.source_id = q.source_id "
"WHERE q.id > $1 ORDER BY q.id LIMIT $5";

static const char delete_pixel_seen_sql[] =
"DELETE FROM tiktok.pixel_seen p USING unnest($3, $4) t (source_id, until) "
"WHERE p.ctid >= $1 AND p.ctid < $2 AND p.source_id = t.source_id AND p.seen_at < t.until";

/* Keeps the last request of an event in tiktok.retry, which is needed to send the event again. */
static const char delete_requests_sql[] =
"DELETE FROM tiktok.request WHERE id = ANY ($1)"
" AND NOT id = ANY (ARRAY(SELECT r.last_request_id FROM tiktok.retry r WHERE r.last_request_id = ANY ($1)))";

PG_FUNCTION_INFO_V1(tte_sql_purge);

static Datum
row_column(uint64 row, int number, Oid type)
{
	bool		isnull;

	return tte_spi_value(row, number, type, &isnull);
}

static Datum
seconds(int64 n)
{
	Interval   *interval = palloc0(sizeof(Interval));

	interval->time = n * USECS_PER_SEC;
	return IntervalPGetDatum(interval);
}

static uint64
run_statement(const char *sql, int nargs, Oid *types, Datum *args)
{
	SPI_execute_with_args(sql, nargs, types, args, NULL, false, 0);
	return SPI_processed;
}

/* Source 0 has the events whose source did not exist, which have neither identifiers nor requests. */
static void
load_terms(TtePurge *purge)
{
	Oid			types[] = {INTERVALOID, INTERVALOID};
	Datum		args[] = {seconds(purge->retention), seconds(purge->identifier_ttl)};
	int			n = run_statement(terms_sql, 2, types, args);

	purge->terms = MemoryContextAlloc(purge->context, n * sizeof(Term));
	for (int i = 0; i < n; i++)
	{
		purge->terms[i].source_id = DatumGetInt32(row_column(i, 1, INT4OID));
		purge->terms[i].kept_from = DatumGetTimestampTz(row_column(i, 2, TIMESTAMPTZOID));
		purge->terms[i].identifiers_from = DatumGetTimestampTz(row_column(i, 3, TIMESTAMPTZOID));
	}
	purge->nterms = n;
}

TtePurge *
tte_purge_begin(int64 retention, int64 identifier_ttl)
{
	TtePurge   *purge = palloc0(sizeof(TtePurge));

	purge->context = CurrentMemoryContext;
	purge->retention = retention;
	purge->identifier_ttl = identifier_ttl;
	return purge;
}

/* Sets two arrays, of sources and of their terms; returns the latest term of a source that exists. */
static TimestampTz
term_arrays(const TtePurge *purge, Datum *sources, Datum *times)
{
	Datum	   *source = palloc(purge->nterms * sizeof(Datum));
	Datum	   *at = palloc(purge->nterms * sizeof(Datum));
	TimestampTz latest = DT_NOBEGIN;

	for (int i = 0; i < purge->nterms; i++)
	{
		const Term *term = &purge->terms[i];
		TimestampTz until = purge->stage == IDENTITIES ? term->identifiers_from : term->kept_from;

		source[i] = Int32GetDatum(term->source_id);
		at[i] = TimestampTzGetDatum(until);
		if (term->source_id != 0)
			latest = Max(latest, until);
	}
	*sources = PointerGetDatum(construct_array(source, purge->nterms, INT4OID, sizeof(int32), true, TYPALIGN_INT));
	*times = PointerGetDatum(construct_array(at, purge->nterms, TIMESTAMPTZOID, sizeof(TimestampTz),
											 FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	return latest;
}

/*
 * Evaluates the result of a scan: id, is it too young, is it to be deleted, and
 * for events xid.  Sets *ids to the array of ids to delete, NULL if none,
 * subtracts the number of rows read from *rows, and returns whether there may be
 * more rows.
 */
static bool
take_ids(TtePurge *purge, int *rows, ArrayType **ids)
{
	int			n = (int) SPI_processed;
	bool		full = n == *rows;
	Datum	   *found = palloc(Max(n, 1) * sizeof(Datum));
	int			nfound = 0;
	bool		young = false;

	for (int i = 0; i < n && !young; i++)
	{
		purge->id = DatumGetInt64(row_column(i, 1, INT8OID));
		young = DatumGetBool(row_column(i, 2, BOOLOID));
		if (DatumGetBool(row_column(i, 3, BOOLOID)))
			found[nfound++] = Int64GetDatum(purge->id);
	}
	if (n > 0 && SPI_tuptable->tupdesc->natts > 3)
		purge->xid = U64FromFullTransactionId(DatumGetFullTransactionId(row_column(n - 1, 4, XID8OID)));
	SPI_freetuptable(SPI_tuptable);
	*ids = nfound == 0 ? NULL : construct_array(found, nfound, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE);
	*rows -= n;
	return !young && full;
}

static void
next_stage(TtePurge *purge)
{
	purge->stage++;
	purge->xid = 0;
	purge->id = 0;
	/* a negative retention keeps everything but identifiers */
	if (purge->retention < 0)
		purge->stage = DONE;
}

/* A batch of tiktok.identity or tiktok.request. */
static bool
purge_by_id(TtePurge *purge, int *rows, const char *read_sql, const char *delete_sql, TtePurged what)
{
	Oid			types[] = {INT8OID, INT4ARRAYOID, TIMESTAMPTZARRAYOID, TIMESTAMPTZOID, INT4OID};
	Oid			delete_types[] = {INT8ARRAYOID};
	Datum		args[5];
	ArrayType  *ids;
	bool		more;

	args[0] = Int64GetDatum(purge->id);
	args[3] = TimestampTzGetDatum(term_arrays(purge, &args[1], &args[2]));
	args[4] = Int32GetDatum(*rows);
	run_statement(read_sql, 5, types, args);
	more = take_ids(purge, rows, &ids);
	args[0] = PointerGetDatum(ids);
	if (ids != NULL)
		purge->counts[what] += run_statement(delete_sql, 1, delete_types, args);
	return more;
}

static bool
purge_events(TtePurge *purge, int *rows)
{
	const Term *term = &purge->terms[purge->term];
	Oid			types[] = {INT4OID, XID8OID, INT8OID, TIMESTAMPTZOID, INT4OID};
	Oid			delete_types[] = {INT8ARRAYOID, TIMESTAMPTZOID};
	Datum		args[] = {
		Int32GetDatum(term->source_id), Int64GetDatum((int64) purge->xid), Int64GetDatum(purge->id),
		TimestampTzGetDatum(term->kept_from), Int32GetDatum(*rows)
	};
	ArrayType  *ids;
	bool		more;

	run_statement(read_events_sql, 5, types, args);
	more = take_ids(purge, rows, &ids);
	args[0] = PointerGetDatum(ids);
	args[1] = TimestampTzGetDatum(term->kept_from);
	if (ids != NULL && run_statement(delete_events_sql, 2, delete_types, args) == 1)
	{
		purge->counts[TTE_PURGED_EVENTS] += DatumGetInt64(row_column(0, 1, INT8OID));
		purge->counts[TTE_PURGED_IDENTITIES] += DatumGetInt64(row_column(0, 2, INT8OID));
		SPI_freetuptable(SPI_tuptable);
	}
	if (more)
		return true;
	purge->xid = 0;
	purge->id = 0;
	return ++purge->term < purge->nterms;
}

/* Rows are not in order of time, so all blocks are scanned. */
static bool
purge_pixel_seen(TtePurge *purge, int *rows)
{
	Relation	rel = tte_own_table_open("pixel_seen", RowExclusiveLock);
	BlockNumber blocks = RelationGetNumberOfBlocks(rel);
	BlockNumber from = (BlockNumber) purge->id;
	BlockNumber to = Min(blocks, from + *rows / ROWS_PER_BLOCK + 1);
	ItemPointerData first;
	ItemPointerData last;
	Oid			types[] = {TIDOID, TIDOID, INT4ARRAYOID, TIMESTAMPTZARRAYOID};
	Datum		args[] = {PointerGetDatum(&first), PointerGetDatum(&last), 0, 0};

	ItemPointerSet(&first, from, 0);
	ItemPointerSet(&last, to, 0);
	term_arrays(purge, &args[2], &args[3]);
	purge->counts[TTE_PURGED_PIXEL_SEEN] += run_statement(delete_pixel_seen_sql, 4, types, args);
	table_close(rel, NoLock);
	*rows -= (to - from) * ROWS_PER_BLOCK;
	purge->id = to;
	return to < blocks;
}

bool
tte_purge_step(TtePurge *purge, int rows)
{
	if (purge->terms == NULL)
		load_terms(purge);
	while (purge->stage != DONE && rows > 0)
	{
		bool		more = false;

		if (purge->stage == IDENTITIES)
			more = purge_by_id(purge, &rows, read_identities_sql, delete_identities_sql, TTE_PURGED_IDENTITIES);
		else if (purge->stage == EVENTS)
			more = purge_events(purge, &rows);
		else if (purge->stage == REQUESTS)
			more = purge_by_id(purge, &rows, read_requests_sql, delete_requests_sql, TTE_PURGED_REQUESTS);
		else if (purge->stage == PIXEL_SEEN)
			more = purge_pixel_seen(purge, &rows);
		if (!more)
			next_stage(purge);
	}
	return purge->stage != DONE;
}

bool
tte_purge_try_lock(void)
{
	static const char *const tables[] = {"event", "identity", "delivery", "request", "pixel_seen"};

	for (int i = 0; i < lengthof(tables); i++)
	{
		if (!ConditionalLockRelationOid(tte_relation(tables[i]), RowExclusiveLock))
			return false;
	}
	return true;
}

/* Whole seconds of the argument, or the setting. */
static int64
retention_argument(FunctionCallInfo fcinfo)
{
	Interval   *age;
	double		secs;

	if (PG_ARGISNULL(0))
		return tte_retention;
	age = PG_GETARG_INTERVAL_P(0);
	secs = (double) age->time / USECS_PER_SEC + ((double) age->month * DAYS_PER_MONTH + age->day) * SECS_PER_DAY;
	if (secs < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid older_than: \"%s\"", DatumGetCString(DirectFunctionCall1(interval_out, PG_GETARG_DATUM(0)))),
				 errhint("Use an interval that is not negative.")));
	return (int64) Min(secs, (double) INT_MAX);
}

Datum
tte_sql_purge(PG_FUNCTION_ARGS)
{
	TtePurge   *purge;
	MemoryContext step_context;
	TupleDesc	desc;
	Datum		values[TTE_PURGED_COUNTS];
	bool		nulls[TTE_PURGED_COUNTS] = {false};

	tte_require_writable("tiktok.purge()");
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	purge = tte_purge_begin(retention_argument(fcinfo), tte_identifier_ttl);
	SPI_connect();
	step_context = AllocSetContextCreate(CurrentMemoryContext, "tiktok_events purge", ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(step_context);
	while (tte_purge_step(purge, ROWS_BY_HAND))
	{
		MemoryContextReset(step_context);
		CHECK_FOR_INTERRUPTS();
	}
	SPI_finish();
	for (int i = 0; i < TTE_PURGED_COUNTS; i++)
		values[i] = Int64GetDatum(purge->counts[i]);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}
