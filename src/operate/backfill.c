/*-------------------------------------------------------------------------
 *
 * backfill.c
 *	  CALL tiktok.backfill(): the past of a table, recorded in committed chunks.
 *
 * Rows are read in the order of a unique key.  A chunk is a transaction: its
 * events and the key of its last row are committed together, so whatever
 * happens, the next call goes on behind the last row that counts; and since
 * every row makes the event_id its trigger makes, nothing is recorded twice.
 *
 * Orders go on being written meanwhile.  Nobody waits long for a chunk, because
 * it ends after a moment; and a chunk that holds keys of events never waits
 * for another transaction's, which might wait for one of its own: it is undone,
 * done up to the row in question, and the next chunk begins with that row.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "storage/proc.h"
#include "tcop/pquery.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/timestamp.h"

#include "enqueue/outbox.h"
#include "enqueue/source.h"
#include "operate/rows.h"
#include "server/catalog_check.h"
#include "server/common.h"
#include "server/rights.h"
#include "server/settings.h"

#define CHUNK_ROWS	2000
#define CHUNK_USEC	(200 * 1000)
#define NOTICE_USEC	(10 * USECS_PER_SEC)

/* Shorter than any sensible deadlock_timeout. */
#define PATIENCE_MS	100

#define MAX_CONDITION	2000	/* bytes: it is part of a key */

#define EQ " OPERATOR(pg_catalog.=) "
#define THIS "p.relation" EQ "$1 AND p.trigger_name" EQ "$2 AND p.condition" EQ "$3"

/* What became of rows: columns of tiktok.backfill_progress, in their order. */
typedef enum RowResult
{
	RECORDED,
	RECORDED_BEFORE,
	INVALID,
	SUPPRESSED,
	TOO_OLD,
	WITHOUT_TIME,
	NOT_MEANT,
	ROW_RESULTS
} RowResult;

#define COUNTS "rows_read, recorded, recorded_before, invalid, suppressed, too_old, without_time, not_meant"

/* A finished one begins anew, and so does one whose table has another key now. */
static const char start_sql[] =
"INSERT INTO tiktok.backfill_progress AS p (relation, trigger_name, condition, key_columns) VALUES ($1, $2, $3, $4) "
"ON CONFLICT (relation, trigger_name, condition) DO UPDATE SET (key_columns, last_key, started_at, updated_at, finished_at, " COUNTS ")"
" = ROW(excluded.key_columns, NULL, excluded.started_at, NULL, NULL, 0, 0, 0, 0, 0, 0, 0, 0) "
"WHERE p.finished_at IS NOT NULL OR p.key_columns OPERATOR(pg_catalog.<>) excluded.key_columns";

/* In the order of what read_progress() takes. */
static const char progress_sql[] =
"SELECT last_key, " COUNTS " FROM tiktok.backfill_progress p WHERE " THIS;

static const char lock_sql[] =
"SELECT FROM tiktok.backfill_progress p WHERE " THIS " AND p.rows_read" EQ "$4 AND p.finished_at IS NULL FOR UPDATE";

static const char advance_sql[] =
"UPDATE tiktok.backfill_progress p SET updated_at = pg_catalog.clock_timestamp(),"
" finished_at = CASE WHEN $4 THEN pg_catalog.clock_timestamp() END, last_key = $5,"
" (" COUNTS ") = ROW($6, $7, $8, $9, $10, $11, $12, $13) WHERE " THIS;

typedef struct Backfill
{
	Oid			relid;
	char	   *table;
	char	   *trigger;
	bool		condition;		/* the caller gave one */
	char	   *filter;			/* SQL: which rows are meant */
	MemoryContext context;		/* lives as long as the call */
	MemoryContext chunk_context;
	ArrayType  *last_key;		/* NULL: nothing read yet */
	int64		rows_read;
	int64		counts[ROW_RESULTS];
	bool		finished;
	int			limit;			/* rows of the next chunk */
	TimestampTz started;		/* of this call */
	TimestampTz noticed;
	int64		rows_before;	/* read by calls before this one */
} Backfill;

/* What a chunk comes to, if it is committed. */
typedef struct Chunk
{
	int			rows;
	int			held;			/* events recorded: keys that others may wait
								 * for */
	bool		waiting;		/* for a key, with a time limit */
	bool		last;
	ArrayType  *last_key;
	int64		counts[ROW_RESULTS];
} Chunk;

PG_FUNCTION_INFO_V1(tte_sql_backfill);

/*
 * Checks
 */

static void
check_call(FunctionCallInfo fcinfo)
{
	CallContext *context = (CallContext *) fcinfo->context;

	tte_require_writable("tiktok.backfill()");
	if (context == NULL || !IsA(context, CallContext) || context->atomic)
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("tiktok.backfill cannot run inside a transaction block or a function"),
				 errdetail("It commits after each chunk of rows."),
				 errhint("Give the CALL alone.")));
	if (tte_test_event)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("tiktok.backfill records no test events"),
				 errhint("Turn tiktok_events.test_event off, or look at tiktok.check_rows().")));
	if (!tte_recording)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("tiktok.backfill cannot record events while tiktok_events.recording is off"),
				 errhint("Turn it on: ALTER SYSTEM RESET tiktok_events.recording; SELECT pg_reload_conf();")));
	tte_require_argument(fcinfo, 0, "relation");
	tte_require_argument(fcinfo, 1, "trigger_name");
	tte_require_argument(fcinfo, 3, "ignore_when");
}

static bool
says_when(const TteMapping *m)
{
	for (int i = 0; i < m->ntargets; i++)
	{
		if (m->targets[i].kind == TTE_TARGET_EVENT_TIME)
			return true;
	}
	return m->using_name != NULL;
}

/* Before every chunk: table, trigger and source may have changed since. */
static void
refuse_unfit_rows(const TteRows *rows)
{
	const char *table = RelationGetRelationName(rows->rel);
	const char *trigger = rows->trigdata.tg_trigger->tgname;
	const TteMapping *m = rows->mapping;
	TteSource	source;

	if (m->problem != NULL)
		ereport(ERROR,
				(errcode(m->problem_code),
				 errmsg("trigger \"%s\" does not fit table \"%s\"", trigger, table),
				 errdetail("%s", m->problem),
				 m->problem_hint ? errhint("%s", m->problem_hint) : 0));
	if (!m->source_of_row)
		tte_source_require(m->source, &source);
	if (!says_when(m))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("trigger \"%s\" does not say when its events happened", trigger),
				 errdetail("Without an event_time, rows of the past would become events of now."),
				 errhint("Make the trigger with a column as its event_time: 'event_time=paid_at', or \"event_time\": \"paid_at\" in tiktok.create_trigger(..., replace => true).")));
	if (rows->nkeys == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TABLE_DEFINITION),
				 errmsg("table \"%s\" has no key by which its rows could be read in order", table),
				 errhint("Give it a primary key, or a unique index on columns that are NOT NULL.")));
}

/*
 * Progress
 */

static int
execute_progress(const char *sql, int nargs, Oid *types, Datum *values, const char *nulls)
{
	if (SPI_execute_with_args(sql, nargs, types, values, nulls, false, 0) < 0)
		elog(ERROR, "could not keep the progress of a backfill");
	return SPI_processed;
}

/* Parameters $1 to $3 of the statements above. */
static void
set_this(const Backfill *b, Oid *types, Datum *values)
{
	types[0] = REGCLASSOID;
	values[0] = ObjectIdGetDatum(b->relid);
	types[1] = NAMEOID;
	values[1] = DirectFunctionCall1(namein, CStringGetDatum(b->trigger));
	types[2] = TEXTOID;
	values[2] = CStringGetTextDatum(b->filter);
}

static Datum
key_columns(const TteRows *rows)
{
	Datum	   *attnos = palloc(rows->nkeys * sizeof(Datum));

	for (int i = 0; i < rows->nkeys; i++)
		attnos[i] = Int16GetDatum(rows->keys[i].attno);
	return PointerGetDatum(construct_array(attnos, rows->nkeys, INT2OID, sizeof(int16), true, TYPALIGN_SHORT));
}

static int64
progress_column(int number)
{
	bool		isnull;

	return DatumGetInt64(tte_spi_value(0, number, INT8OID, &isnull));
}

static ArrayType *
copy_key(const Backfill *b, Datum key)
{
	MemoryContext old = MemoryContextSwitchTo(b->context);
	ArrayType  *copy = DatumGetArrayTypePCopy(key);

	MemoryContextSwitchTo(old);
	return copy;
}

static void
read_progress(Backfill *b)
{
	Oid			types[3];
	Datum		values[3];
	Datum		key;
	bool		isnull;

	set_this(b, types, values);
	if (execute_progress(progress_sql, 3, types, values, NULL) != 1)
		elog(ERROR, "could not find the progress of a backfill");
	key = tte_spi_value(0, 1, TEXTARRAYOID, &isnull);
	b->last_key = isnull ? NULL : copy_key(b, key);
	b->rows_read = b->rows_before = progress_column(2);
	for (int i = 0; i < ROW_RESULTS; i++)
		b->counts[i] = progress_column(3 + i);
}

static void
start_backfill(Backfill *b, const char *condition, bool ignore_when)
{
	TteRows    *rows = tte_rows_open(b->relid, b->trigger, b->condition);
	Oid			types[] = {InvalidOid, InvalidOid, InvalidOid, INT2ARRAYOID};
	Datum		values[4];

	refuse_unfit_rows(rows);
	b->table = MemoryContextStrdup(b->context, RelationGetRelationName(rows->rel));
	b->filter = MemoryContextStrdup(b->context, tte_rows_filter(rows, condition, ignore_when));
	if (strlen(b->filter) > MAX_CONDITION)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("condition is too long"),
				 errhint("Put it into a function of the row.")));
	set_this(b, types, values);
	values[3] = key_columns(rows);
	execute_progress(start_sql, 4, types, values, NULL);
	read_progress(b);
	tte_rows_close(rows);
}

/* Locks the progress for this chunk; whoever else runs the same backfill has moved it. */
static void
lock_progress(const Backfill *b)
{
	Oid			types[] = {InvalidOid, InvalidOid, InvalidOid, INT8OID};
	Datum		values[4];

	set_this(b, types, values);
	values[3] = Int64GetDatum(b->rows_read);
	if (execute_progress(lock_sql, 4, types, values, NULL) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("this backfill is being run by another session"),
				 errhint("tiktok.backfill_progress shows how far it has come.")));
}

static void
save_progress(const Backfill *b, const Chunk *chunk)
{
	Oid			types[6 + ROW_RESULTS] = {InvalidOid, InvalidOid, InvalidOid, BOOLOID, TEXTARRAYOID, INT8OID};
	Datum		values[6 + ROW_RESULTS];
	char		nulls[6 + ROW_RESULTS];
	ArrayType  *key = chunk->last_key ? chunk->last_key : b->last_key;

	set_this(b, types, values);
	values[3] = BoolGetDatum(chunk->last);
	values[4] = PointerGetDatum(key);
	values[5] = Int64GetDatum(b->rows_read + chunk->rows);
	for (int i = 0; i < ROW_RESULTS; i++)
	{
		types[6 + i] = INT8OID;
		values[6 + i] = Int64GetDatum(b->counts[i] + chunk->counts[i]);
	}
	memset(nulls, ' ', sizeof(nulls));
	/* it may identify a person, and nothing goes on behind the last one */
	nulls[4] = key != NULL && !chunk->last ? ' ' : 'n';
	execute_progress(advance_sql, 6 + ROW_RESULTS, types, values, nulls);
}

/*
 * A chunk
 */

/* Records an event; with keys in hand, waits only for a moment. */
static RowResult
store(Chunk *chunk, const TteRowEvent *made)
{
	int			level = NewGUCNestLevel();
	bool		existed;

	chunk->waiting = chunk->held > 0;
	if (chunk->waiting && (LockTimeout == 0 || LockTimeout > PATIENCE_MS))
		(void) set_config_option("lock_timeout", psprintf("%d", PATIENCE_MS), PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
	if (made->stand_in != NULL)
		tte_outbox_drop_stand_in(made->source.id, NULL, made->event, made->stand_in);
	tte_outbox_store(made->source.id, NULL, made->event, &existed);
	AtEOXact_GUC(true, level);
	chunk->waiting = false;
	if (existed)
		return RECORDED_BEFORE;
	chunk->held++;
	if (made->event->verdict == TTE_EVENT_READY)
		return RECORDED;
	return made->event->verdict == TTE_EVENT_SUPPRESSED ? SUPPRESSED : INVALID;
}

/* The row in the slot, which is meant. */
static RowResult
record_row(TteRows *rows, Chunk *chunk)
{
	TteRowEvent made;

	tte_rows_event(rows, tte_ascii_payload(), &made);
	if (made.event == NULL)
		return NOT_MEANT;
	if (!made.event->has_time && made.event->verdict != TTE_EVENT_INVALID)
		return WITHOUT_TIME;
	if (made.event->event_time < tte_now() - made.source.rules.max_event_age)
		return TOO_OLD;
	return store(chunk, &made);
}

static SPITupleTable *
read_rows(const Backfill *b, const TteRows *rows)
{
	Oid		   *types = palloc(rows->nkeys * sizeof(Oid));
	Datum	   *values = palloc(rows->nkeys * sizeof(Datum));
	StringInfoData sql;
	TteRights	rights;

	initStringInfo(&sql);
	appendStringInfoString(&sql, tte_rows_query(rows, b->filter, b->last_key != NULL));
	tte_rows_order(rows, &sql);
	appendStringInfo(&sql, " LIMIT %d", b->limit);
	tte_rights_take(rows->rel->rd_rel->relowner, TTE_SAFE_PATH, &rights);
	if (b->last_key != NULL)
		tte_rows_key_values(rows, b->last_key, types, values);
	if (SPI_execute_with_args(sql.data, b->last_key ? rows->nkeys : 0, types, values, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read the rows of a backfill");
	tte_rights_give_back(&rights);
	return SPI_tuptable;
}

static void
record_rows(const Backfill *b, TteRows *rows, SPITupleTable *table, Chunk *chunk)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "tiktok_events row", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	TimestampTz end = GetCurrentTimestamp() + CHUNK_USEC;

	while (chunk->rows < table->numvals && (chunk->rows == 0 || GetCurrentTimestamp() < end))
	{
		bool		meant = tte_rows_fetch(rows, table->vals[chunk->rows], table->tupdesc);
		RowResult	result = meant ? record_row(rows, chunk) : NOT_MEANT;

		chunk->counts[result]++;
		chunk->rows++;
		MemoryContextReset(context);
		CHECK_FOR_INTERRUPTS();
	}
	MemoryContextSwitchTo(old);
	if (chunk->rows > 0)
		chunk->last_key = tte_rows_key(rows);
	chunk->last = chunk->rows == table->numvals && table->numvals < b->limit;
}

static void
run_chunk(const Backfill *b, Chunk *chunk)
{
	TteRows    *rows = tte_rows_open(b->relid, b->trigger, b->condition);
	SPITupleTable *table;

	refuse_unfit_rows(rows);
	lock_progress(b);
	table = read_rows(b, rows);
	record_rows(b, rows, table, chunk);
	SPI_freetuptable(table);
	save_progress(b, chunk);
	tte_rows_close(rows);
}

/* False: it was undone, because a row has to wait; chunk says how far it came. */
static bool
try_chunk(const Backfill *b, Chunk *chunk)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	volatile bool done = true;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		run_chunk(b, chunk);
		ReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
	}
	PG_CATCH();
	{
		ErrorData  *error = tte_undo_subtransaction(context, owner);

		if (!chunk->waiting || error->sqlerrcode != ERRCODE_LOCK_NOT_AVAILABLE)
			ReThrowError(error);
		done = false;
	}
	PG_END_TRY();
	return done;
}

static void
describe_error(void *arg)
{
	const Backfill *b = (const Backfill *) arg;

	if (b->rows_read > 0)
		errcontext("backfill of table \"%s\", %lld rows done; the same call goes on behind them",
				   b->table, (long long) b->rows_read);
}

/* One transaction. */
static void
next_chunk(Backfill *b)
{
	Chunk		chunk = {0};
	MemoryContext old = MemoryContextSwitchTo(b->chunk_context);
	ErrorContextCallback callback = {error_context_stack, describe_error, b};
	bool		done;

	error_context_stack = &callback;
	EnsurePortalSnapshotExists();	/* long values are read after the query
									 * has ended */
	done = try_chunk(b, &chunk);
	SPI_commit();
	if (done)
	{
		b->rows_read += chunk.rows;
		for (int i = 0; i < ROW_RESULTS; i++)
			b->counts[i] += chunk.counts[i];
		if (chunk.last_key != NULL)
			b->last_key = copy_key(b, PointerGetDatum(chunk.last_key));
		b->finished = chunk.last;
		b->limit = Min(CHUNK_ROWS, 2 * chunk.rows + 1);
	}
	else
		b->limit = chunk.rows;
	error_context_stack = callback.previous;
	MemoryContextSwitchTo(old);
	MemoryContextReset(b->chunk_context);
}

/*
 * The call
 */

static void
notice(Backfill *b, const char *state)
{
	double		seconds = Max(GetCurrentTimestamp() - b->started, 1) / 1e6;

	b->noticed = GetCurrentTimestamp();
	ereport(NOTICE,
			(errmsg("backfill of table \"%s\" by trigger \"%s\" %s: events recorded for %lld of %lld rows",
					b->table, b->trigger, state, (long long) b->counts[RECORDED], (long long) b->rows_read),
			 errdetail("Recorded before: %lld; invalid: %lld; suppressed: %lld; too old: %lld; without event_time: %lld; not meant: %lld; %.0f rows/s.",
					   (long long) b->counts[RECORDED_BEFORE], (long long) b->counts[INVALID],
					   (long long) b->counts[SUPPRESSED], (long long) b->counts[TOO_OLD],
					   (long long) b->counts[WITHOUT_TIME], (long long) b->counts[NOT_MEANT],
					   (b->rows_read - b->rows_before) / seconds)));
}

static void
run(Backfill *b, const char *condition, bool ignore_when)
{
	start_backfill(b, condition, ignore_when);
	SPI_commit();
	if (b->rows_before > 0)
		notice(b, "goes on");
	while (!b->finished)
	{
		next_chunk(b);
		if (!b->finished && GetCurrentTimestamp() > b->noticed + NOTICE_USEC)
			notice(b, "under way");
	}
	notice(b, "finished");
}

Datum
tte_sql_backfill(PG_FUNCTION_ARGS)
{
	Backfill	b = {0};
	char	   *condition;

	check_call(fcinfo);
	SPI_connect_ext(SPI_OPT_NONATOMIC);
	b.context = CurrentMemoryContext;
	b.chunk_context = AllocSetContextCreate(b.context, "tiktok_events chunk", ALLOCSET_DEFAULT_SIZES);
	b.relid = PG_GETARG_OID(0);
	b.trigger = pstrdup(NameStr(*PG_GETARG_NAME(1)));
	condition = PG_ARGISNULL(2) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(2));
	b.condition = condition != NULL;
	b.limit = CHUNK_ROWS;
	b.started = b.noticed = GetCurrentTimestamp();
	run(&b, condition, PG_GETARG_BOOL(3));
	SPI_finish();
	PG_RETURN_VOID();
}
