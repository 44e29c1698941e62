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

#include "answer/schedule.h"
#include "deliver/read.h"
#include "deliver/statement.h"
#include "server/common.h"
#include "server/faultpoint.h"

#define EVENT_COLUMNS "e.xid, e.id, e.event_time, e.test_code, e.payload"
#define EVENT_RANGE \
	"FROM tiktok.event e WHERE e.source_id = $1 AND (e.xid, e.id) > ($2, $3) AND e.xid < $4 AND e.payload IS NOT NULL "

static TteStatement load_cursor_sql = {1, {INT4OID},
"SELECT prev_snapshot::text, snapshot::text, position_xid, position_id "
"FROM tiktok.cursor WHERE source_id = $1"};

static TteStatement store_cursor_sql = {5, {INT4OID, TEXTOID, TEXTOID, XID8OID, INT8OID},
"INSERT INTO tiktok.cursor VALUES ($1, $2::pg_snapshot, $3::pg_snapshot, $4, $5) "
"ON CONFLICT (source_id) DO UPDATE SET prev_snapshot = excluded.prev_snapshot, "
"snapshot = excluded.snapshot, position_xid = excluded.position_xid, position_id = excluded.position_id"};

static TteStatement read_sql = {5, {INT4OID, XID8OID, INT8OID, XID8OID, INT4OID},
"SELECT " EVENT_COLUMNS " " EVENT_RANGE "ORDER BY e.xid, e.id LIMIT $5"};

static TteStatement read_skip_sql = {5, {INT4OID, XID8OID, INT8OID, XID8OID, INT4OID},
"SELECT " EVENT_COLUMNS " " EVENT_RANGE TTE_NO_FATE "ORDER BY e.xid, e.id LIMIT $5"};

static TteStatement identities_sql = {1, {INT8ARRAYOID},
"SELECT id, user_data FROM tiktok.identity WHERE id = ANY ($1)"};

/* times that far away were set by a clock that has been set back since */
static TteStatement recall_due_sql = {4, {INT4OID, TIMESTAMPTZOID, INT4OID, TIMESTAMPTZOID},
"UPDATE tiktok.retry SET next_attempt_at = $2 WHERE id IN (SELECT id FROM tiktok.retry "
"WHERE source_id = $1 AND next_attempt_at > $4 ORDER BY next_attempt_at DESC LIMIT $3 FOR UPDATE SKIP LOCKED)"};

/*
 * an operator may have put back what then arrived after all, or deleted
 * the event
 */
static TteStatement drop_due_sql = {3, {INT4OID, TIMESTAMPTZOID, INT4OID},
"WITH due AS (SELECT id FROM tiktok.retry "
"WHERE source_id = $1 AND next_attempt_at <= $2 ORDER BY next_attempt_at LIMIT $3 FOR UPDATE SKIP LOCKED) "
"DELETE FROM tiktok.retry r USING due "
"LEFT JOIN tiktok.event e ON e.id = due.id LEFT JOIN tiktok.delivery d ON d.id = due.id "
"WHERE r.id = due.id AND (e.id IS NULL OR d.id IS NOT NULL)"};

static TteStatement read_due_sql = {3, {INT4OID, TIMESTAMPTZOID, INT4OID},
"SELECT " EVENT_COLUMNS ", i.user_data, r.attempts, r.possibly_received_at, q.outcome IN ('interrupted', 'failed'), "
"q.outcome = 'interrupted' AND q.events = 1 "
"FROM tiktok.retry r JOIN tiktok.event e ON e.id = r.id LEFT JOIN tiktok.identity i ON i.id = e.id "
"LEFT JOIN tiktok.request q ON q.id = r.last_request_id "
"WHERE r.source_id = $1 AND r.next_attempt_at <= $2 "
"AND NOT EXISTS (SELECT FROM tiktok.delivery d WHERE d.id = r.id) ORDER BY r.next_attempt_at LIMIT $3 "
"FOR UPDATE OF r SKIP LOCKED"};

static TteStatement next_due_sql = {1, {INT4OID},
"SELECT min(next_attempt_at) FROM tiktok.retry WHERE source_id = $1"};

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
	int64	   *ids = palloc(n * sizeof(*ids));
	Datum		args[1];
	int			found;

	for (int i = 0; i < n; i++)
	{
		sorted[i] = &rows[i];
		ids[i] = rows[i].id;
	}
	qsort(sorted, n, sizeof(*sorted), by_id);
	args[0] = tte_int8_array(ids, n, INT8OID);
	found = tte_run(&identities_sql, args, NULL);
	for (int i = 0; i < found; i++)
	{
		TteQueueRow key = {.id = tte_result_int8(i, 1)};
		TteQueueRow *at = &key;
		TteQueueRow **row = bsearch(&at, sorted, n, sizeof(*sorted), by_id);

		(*row)->user_data = tte_result_stored(i, 2);
	}
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
		row->test_code = tte_result_text(i, 4);
		row->payload = tte_result_stored(i, 5);
		if (!due)
			continue;
		row->user_data = tte_result_stored(i, 6);
		row->attempts = tte_result_int4(i, 7);
		row->possibly_received_at = tte_result_time(i, 8);
		row->suspect = tte_result_bool(i, 9);
		row->alone = tte_result_bool(i, 10);
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
		Int32GetDatum(source_id), tte_xid_datum(from.xid), Int64GetDatum(from.id), tte_xid_datum(end), Int32GetDatum(limit)
	};

	return collect_rows(tte_run(skip ? &read_skip_sql : &read_sql, args, NULL), false, rows);
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
