/*-------------------------------------------------------------------------
 *
 * read.c
 *	  Reading the queue of a source, and how far it has been recorded.
 *
 * The queue is read in the order (source, xid, id) between two snapshots; see
 * window.c and src/README.md.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/detoast.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "answer/breaker.h"
#include "deliver/bulk.h"
#include "deliver/read.h"
#include "deliver/statement.h"
#include "server/common.h"
#include "server/faultpoint.h"

#define EVENT_COLUMNS "e.xid, e.id, e.event_time, e.event, e.event_id, e.test_code, e.payload"
#define EVENT_BEHIND \
	"FROM tiktok.event e WHERE e.source_id = $1 AND (e.xid, e.id) > ($2, $3) AND e.payload IS NOT NULL "
#define EVENT_RANGE EVENT_BEHIND "AND e.xid < $4 "

/* How many fates of events of other sources, or of another time, are looked at for each event that is read. */
#define FATES_OF_OTHERS	4

static TteStatement load_cursor_sql = {1, {INT4OID},
"SELECT prev_snapshot::text, snapshot::text, position_xid, position_id "
"FROM tiktok.cursor WHERE source_id = $1", NULL};

static TteStatement store_cursor_sql = {5, {INT4OID, TEXTOID, TEXTOID, XID8OID, INT8OID},
"INSERT INTO tiktok.cursor VALUES ($1, $2::pg_snapshot, $3::pg_snapshot, $4, $5) "
"ON CONFLICT (source_id) DO UPDATE SET prev_snapshot = excluded.prev_snapshot, "
"snapshot = excluded.snapshot, position_xid = excluded.position_xid, position_id = excluded.position_id", NULL};

static TteStatement read_sql = {5, {INT4OID, XID8OID, INT8OID, XID8OID, INT4OID},
"SELECT " EVENT_COLUMNS " " EVENT_RANGE "ORDER BY e.xid, e.id LIMIT $5", NULL};

static TteStatement read_skip_sql = {5, {INT4OID, XID8OID, INT8OID, XID8OID, INT4OID},
"SELECT " EVENT_COLUMNS " " EVENT_RANGE TTE_NO_FATE "ORDER BY e.xid, e.id LIMIT $5", NULL};

static TteStatement fates_sql = {3, {INT8OID, INT8OID, INT4OID},
"(SELECT d.id FROM tiktok.delivery d WHERE d.id BETWEEN $1 AND $2 UNION ALL "
"SELECT r.id FROM tiktok.retry r WHERE r.id BETWEEN $1 AND $2) LIMIT $3", NULL};

/* times that far away were set by a clock that has been set back since */
static TteStatement recall_due_sql = {4, {INT4OID, TIMESTAMPTZOID, INT4OID, TIMESTAMPTZOID},
"UPDATE tiktok.retry SET next_attempt_at = $2 WHERE id IN (SELECT id FROM tiktok.retry "
"WHERE source_id = $1 AND kind IS NULL AND next_attempt_at > $4 AND next_attempt_at < 'infinity' "
"ORDER BY next_attempt_at DESC LIMIT $3 FOR UPDATE SKIP LOCKED)", NULL};

/*
 * an operator may have put back what then arrived after all, or deleted
 * the event
 */
static TteStatement drop_due_sql = {3, {INT4OID, TIMESTAMPTZOID, INT4OID},
"WITH due AS (SELECT id FROM tiktok.retry "
"WHERE source_id = $1 AND kind IS NULL AND next_attempt_at <= $2 ORDER BY next_attempt_at LIMIT $3 FOR UPDATE SKIP LOCKED) "
"DELETE FROM tiktok.retry r USING due "
"LEFT JOIN tiktok.event e ON e.id = due.id LEFT JOIN tiktok.delivery d ON d.id = due.id "
"WHERE r.id = due.id AND (e.id IS NULL OR d.id IS NOT NULL)", NULL};

/* What failed by itself goes by itself. */
#define RETRY_COLUMNS \
	EVENT_COLUMNS ", i.user_data, r.attempts, q.started_at, r.possibly_received_at, " \
	"r.attempts > 0 AND q.events = 1, q.outcome IN ('interrupted', 'failed'), " \
	"q.outcome = 'interrupted' AND q.events = 1 " \
	"FROM tiktok.retry r JOIN tiktok.event e ON e.id = r.id LEFT JOIN tiktok.identity i ON i.id = e.id " \
	"LEFT JOIN tiktok.request q ON q.id = r.last_request_id "
#define NO_DELIVERY "AND NOT EXISTS (SELECT FROM tiktok.delivery d WHERE d.id = r.id) "

static TteStatement read_due_sql = {3, {INT4OID, TIMESTAMPTZOID, INT4OID},
"SELECT " RETRY_COLUMNS "WHERE r.source_id = $1 AND r.kind IS NULL AND r.next_attempt_at <= $2 " NO_DELIVERY
"ORDER BY r.next_attempt_at LIMIT $3 FOR UPDATE OF r SKIP LOCKED", NULL};

#define READ_KIND(order) \
	"SELECT " RETRY_COLUMNS "WHERE r.source_id = $1 AND r.kind = $2 " NO_DELIVERY \
	"ORDER BY r.id " order " LIMIT $3 FOR UPDATE OF r SKIP LOCKED"

static TteStatement read_kind_oldest_sql = {3, {INT4OID, TEXTOID, INT4OID}, READ_KIND("ASC"), NULL};

static TteStatement read_kind_newest_sql = {3, {INT4OID, TEXTOID, INT4OID}, READ_KIND("DESC"), NULL};

static TteStatement read_ids_sql = {1, {INT8ARRAYOID},
"SELECT " RETRY_COLUMNS "WHERE r.id = ANY ($1) " NO_DELIVERY "FOR UPDATE OF r SKIP LOCKED", NULL};

/* The newest thousand are enough to find another name among. */
static TteStatement pick_new_sql = {4, {INT4OID, XID8OID, INT8OID, TEXTOID},
"SELECT n.id FROM (SELECT e.xid, e.id, e.event " EVENT_BEHIND TTE_NO_FATE
"ORDER BY e.xid DESC, e.id DESC LIMIT 1000) n ORDER BY n.event = $4, n.xid DESC, n.id DESC LIMIT 1", NULL};

/* Not tried by itself yet, of another name, the newest. */
static TteStatement pick_waiting_sql = {3, {INT4OID, TEXTOID, INT8OID},
"SELECT r.id FROM tiktok.retry r JOIN tiktok.event e ON e.id = r.id LEFT JOIN tiktok.request q ON q.id = r.last_request_id "
"WHERE r.source_id = $1 AND r.kind IS NULL AND r.next_attempt_at < 'infinity' AND r.attempts = 0 AND r.possibly_received_at IS NULL "
"AND r.id <> $3 " NO_DELIVERY "ORDER BY (q.events = 1) IS TRUE, e.event = $2, r.id DESC LIMIT 1", NULL};

static TteStatement pick_tried_sql = {2, {INT4OID, INT8OID},
"SELECT r.id FROM (SELECT r.id, r.last_request_id FROM tiktok.retry r WHERE r.source_id = $1 AND r.kind IS NULL AND r.next_attempt_at < 'infinity' " NO_DELIVERY
"LIMIT 1000) r ORDER BY r.id = $2, r.last_request_id NULLS FIRST LIMIT 1", NULL};

static TteStatement kinds_sql = {1, {INT4OID},
"SELECT DISTINCT kind FROM tiktok.retry WHERE source_id = $1 AND kind IS NOT NULL", NULL};

static TteStatement next_due_sql = {1, {INT4OID},
"SELECT min(next_attempt_at) FROM tiktok.retry WHERE source_id = $1 AND kind IS NULL AND next_attempt_at < 'infinity'", NULL};

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

	if (tte_run(&load_cursor_sql, args, NULL) == 0)
	{
		parse_snapshot(TTE_FIRST_SNAPSHOT, prev);
		parse_snapshot(TTE_FIRST_SNAPSHOT, cur);
		*position = TTE_WINDOW_START;
		return;
	}
	parse_snapshot(tte_result_text(0, 1), prev);
	parse_snapshot(tte_result_text(0, 2), cur);
	position->xid = tte_result_xid(0, 3);
	position->id = tte_result_int8(0, 4);
	tte_done();
}

void
tte_queue_store_cursor(int32 source_id, const TteSnapshot *prev, const TteSnapshot *cur, TtePosition position)
{
	Datum		args[] = {
		Int32GetDatum(source_id),
		CStringGetTextDatum(tte_snapshot_print(prev)),
		CStringGetTextDatum(tte_snapshot_print(cur)),
		tte_xid_datum(position.xid),
		Int64GetDatum(position.id)
	};

	tte_run(&store_cursor_sql, args, NULL);
	TTE_FAULT_POINT("cursor-moved", NULL);
}

static int
stored_size(struct varlena *stored)
{
	return stored ? (int) Min(toast_raw_datum_size(PointerGetDatum(stored)), MaxAllocSize / 2) : 0;
}

static int
by_id(const void *a, const void *b)
{
	int64		x = (*(TteQueueRow *const *) a)->id;
	int64		y = (*(TteQueueRow *const *) b)->id;

	return x < y ? -1 : x > y;
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

		row->xid = tte_result_xid(i, 1);
		row->id = tte_result_int8(i, 2);
		row->event_time = tte_result_time(i, 3);
		row->name = tte_result_text(i, 4);
		row->event_id = tte_result_text(i, 5);
		row->test_code = tte_result_text(i, 6);
		row->payload = tte_result_stored(i, 7);
		if (!due)
			continue;
		row->user_data = tte_result_stored(i, 8);
		row->attempts = tte_result_int4(i, 9);
		row->sent_at = tte_result_time(i, 10);
		row->possibly_received_at = tte_result_time(i, 11);
		row->interrupted = tte_result_bool(i, 13);
		row->suspect = row->interrupted || tte_result_bool(i, 12);
		row->alone = tte_result_bool(i, 14);
	}
	if (!due && n > 0)
		add_identities(*rows, n);
	add_sizes(*rows, n);
	return n;
}

static int
compare_numbers(const void *a, const void *b)
{
	int64		x = *(const int64 *) a;
	int64		y = *(const int64 *) b;

	return x < y ? -1 : x > y;
}

/* Has one of the events that were read last a fate?  Too many fates of others count as one. */
static bool
any_has_fate(int n)
{
	SPITupleTable *events = SPI_tuptable;
	int64	   *ids = palloc(n * sizeof(int64));
	Datum		args[3];
	int			found;
	bool		has;

	for (int i = 0; i < n; i++)
		ids[i] = tte_result_int8(i, 2);
	qsort(ids, n, sizeof(int64), compare_numbers);
	args[0] = Int64GetDatum(ids[0]);
	args[1] = Int64GetDatum(ids[n - 1]);
	args[2] = Int32GetDatum(FATES_OF_OTHERS * n);
	found = tte_look(&fates_sql, args);
	has = found == FATES_OF_OTHERS * n;
	for (int i = 0; i < found && !has; i++)
	{
		int64		id = tte_result_int8(i, 1);

		has = bsearch(&id, ids, n, sizeof(int64), compare_numbers) != NULL;
	}
	if (found > 0)
		tte_done();
	pfree(ids);
	SPI_tuptable = events;
	return has;
}

/*
 * Events without a fate.  Normally none has one, and that is cheaper to see by
 * the range of their ids than by looking for each.  Both queries have the same
 * snapshot, because somebody may delete an event together with its fate.
 */
static uint64
read_without_fate(Datum *args)
{
	uint64		n;

	CommandCounterIncrement();
	PushActiveSnapshot(GetTransactionSnapshot());
	n = tte_look(&read_sql, args);
	if (n > 0 && any_has_fate(n))
	{
		tte_done();
		n = tte_look(&read_skip_sql, args);
	}
	PopActiveSnapshot();
	return n;
}

int
tte_queue_read(int32 source_id, TtePosition from, uint64 end, bool skip, int limit, TteQueueRow **rows)
{
	Datum		args[] = {
		Int32GetDatum(source_id), tte_xid_datum(from.xid), Int64GetDatum(from.id), tte_xid_datum(end), Int32GetDatum(limit)
	};

	return collect_rows(skip ? read_without_fate(args) : tte_run(&read_sql, args, NULL), false, rows);
}

int
tte_queue_read_due(int32 source_id, int64 now, int limit, TteQueueRow **rows)
{
	Datum		args[] = {
		Int32GetDatum(source_id), tte_time_datum(now), Int32GetDatum(limit), tte_time_datum(now + TTE_RETRY_LONGEST)
	};

	tte_run(&recall_due_sql, args, NULL);
	tte_run(&drop_due_sql, args, NULL);
	return collect_rows(tte_run(&read_due_sql, args, NULL), true, rows);
}

int
tte_queue_read_kind(int32 source_id, const char *kind, bool newest, int limit, TteQueueRow **rows)
{
	Datum		args[] = {Int32GetDatum(source_id), CStringGetTextDatum(kind), Int32GetDatum(limit)};

	return collect_rows(tte_run(newest ? &read_kind_newest_sql : &read_kind_oldest_sql, args, NULL), true, rows);
}

int
tte_queue_read_ids(const int64 *ids, int n, TteQueueRow **rows)
{
	Datum		args[] = {tte_int8_array(ids, n, INT8OID)};

	return collect_rows(tte_run(&read_ids_sql, args, NULL), true, rows);
}

static int64
only_id(uint64 found)
{
	int64		id = found > 0 ? tte_result_int8(0, 1) : 0;

	if (found > 0)
		tte_done();
	return id;
}

int64
tte_queue_pick_new(int32 source_id, TtePosition from, const char *not_name)
{
	Datum		args[] = {
		Int32GetDatum(source_id), tte_xid_datum(from.xid), Int64GetDatum(from.id), CStringGetTextDatum(not_name ? not_name : "")
	};

	return only_id(tte_run(&pick_new_sql, args, NULL));
}

int64
tte_queue_pick_waiting(int32 source_id, const char *not_name, int64 not_id)
{
	Datum		args[] = {Int32GetDatum(source_id), CStringGetTextDatum(not_name ? not_name : ""), Int64GetDatum(not_id)};

	return only_id(tte_run(&pick_waiting_sql, args, NULL));
}

int64
tte_queue_pick_tried(int32 source_id, int64 not_id)
{
	Datum		args[] = {Int32GetDatum(source_id), Int64GetDatum(not_id)};

	return only_id(tte_run(&pick_tried_sql, args, NULL));
}

int
tte_queue_kinds(int32 source_id, const char **names, int max)
{
	Datum		args[] = {Int32GetDatum(source_id)};
	int			n = Min((int) tte_run(&kinds_sql, args, NULL), max);

	for (int i = 0; i < n; i++)
		names[i] = tte_result_text(i, 1);
	return n;
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

	tte_run(&next_due_sql, args, NULL);
	due = tte_result_time(0, 1);
	tte_done();
	return due;
}
