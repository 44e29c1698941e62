/*-------------------------------------------------------------------------
 *
 * request.c
 *	  Requests, and the fates of their events.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "deliver/bulk.h"
#include "deliver/queue.h"
#include "deliver/request.h"
#include "deliver/statement.h"
#include "server/common.h"
#include "server/compat.h"
#include "server/counters.h"
#include "server/faultpoint.h"
#include "server/slots.h"

/* From so many on fates are inserted together, which takes a subtransaction. */
#define BULK	32

/* What was suppressed while it was on its way; the reason stays. */
#define TAKEN_ALL_THE_SAME \
	"ON CONFLICT (id) DO UPDATE SET status = excluded.status, request_id = excluded.request_id, " \
	"at = excluded.at WHERE delivery.status = 'suppressed' AND excluded.status = 'delivered'"

static TteStatement start_request_sql = {9, {INT4OID, TIMESTAMPTZOID, INT4OID, XID8OID, INT8OID, XID8OID, INT8OID, INT4OID, BOOLOID},
"INSERT INTO tiktok.request (source_id, started_at, events, first_xid, first_id, last_xid, last_id, bytes, is_test) "
"VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) RETURNING id", NULL};

static TteStatement claim_retries_sql = {2, {INT8OID, INT8ARRAYOID},
"UPDATE tiktok.retry SET last_request_id = $1, next_attempt_at = 'infinity', kind = NULL WHERE id = ANY ($2)", NULL};

static TteStatement finish_request_sql = {12, {INT8OID, INT4OID, INT4OID, TEXTOID, TEXTOID, TEXTOID, INT4OID, XID8OID, INT8OID, XID8OID, INT8OID, INT4OID},
"UPDATE tiktok.request SET finished_at = clock_timestamp(), http_status = $2, code = $3, message = $4, "
"request_id = $5, outcome = $6, events = coalesce($7, events), first_xid = coalesce($8, first_xid), "
"first_id = coalesce($9, first_id), last_xid = coalesce($10, last_xid), last_id = coalesce($11, last_id), "
"bytes = coalesce($12, bytes) WHERE id = $1", NULL};

static TteStatement final_sql = {7, {INT8OID, TEXTOID, TEXTOID, BOOLOID, INT8ARRAYOID, INT4OID, TIMESTAMPTZOID},
"WITH final AS (INSERT INTO tiktok.delivery (id, request_id, status, reason, at, possibly_received_at) "
"SELECT u, $1, $2, $3, clock_timestamp(), $7 FROM unnest($5) u " TAKEN_ALL_THE_SAME ") "
"DELETE FROM tiktok.identity WHERE id = ANY ($5) AND NOT $4", NULL};

static TteStatement final_retry_sql = {7, {INT8OID, TEXTOID, TEXTOID, BOOLOID, INT8ARRAYOID, INT4OID, TIMESTAMPTZOID},
"WITH gone AS (DELETE FROM tiktok.retry WHERE id = ANY ($5) RETURNING *), "
"final AS (INSERT INTO tiktok.delivery SELECT id, coalesce($1, last_request_id), clock_timestamp(), $2, $3, "
"attempts + $6, first_attempt_at, coalesce(possibly_received_at, $7) FROM gone "
"ON CONFLICT DO NOTHING RETURNING id), "
"taken AS (UPDATE tiktok.delivery SET status = $2, request_id = $1, at = clock_timestamp() "
"WHERE id = ANY ($5) AND status = 'suppressed' AND $2 = 'delivered') "
"DELETE FROM tiktok.identity i USING final WHERE i.id = final.id AND NOT $4", NULL};

static TteStatement retry_sql = {9, {INT4OID, INT8OID, TIMESTAMPTZOID, TIMESTAMPTZOID, INT4OID, INT4OID, TIMESTAMPTZOID, TEXTOID, INT8ARRAYOID},
"INSERT INTO tiktok.retry (id, source_id, attempts, first_attempt_at, possibly_received_at, next_attempt_at, last_request_id, code, kind) "
"SELECT u, $1, $6, $3, $4, $7, $2, $5, $8 FROM unnest($9) u "
"WHERE NOT EXISTS (SELECT FROM tiktok.delivery d WHERE d.id = u) "
"ON CONFLICT (id) DO UPDATE SET attempts = retry.attempts + $6, next_attempt_at = excluded.next_attempt_at, "
"possibly_received_at = coalesce(retry.possibly_received_at, excluded.possibly_received_at), "
"last_request_id = coalesce(excluded.last_request_id, retry.last_request_id), "
"code = CASE WHEN excluded.last_request_id IS NULL THEN retry.code ELSE excluded.code END, kind = excluded.kind", NULL};

static TteStatement lock_events_sql = {1, {INT8ARRAYOID},
"SELECT id FROM tiktok.event WHERE id = ANY ($1) FOR NO KEY UPDATE SKIP LOCKED", NULL};

static TteStatement lease_sql = {1, {INT8ARRAYOID},
"UPDATE tiktok.retry SET next_attempt_at = 'infinity' WHERE id IN (SELECT id FROM tiktok.retry "
"WHERE id = ANY ($1) AND kind IS NULL AND next_attempt_at < 'infinity' FOR UPDATE SKIP LOCKED) RETURNING id", NULL};

static TteStatement reset_leases_sql = {1, {INT4OID},
"UPDATE tiktok.retry SET next_attempt_at = clock_timestamp() WHERE id IN (SELECT id FROM tiktok.retry "
"WHERE source_id = $1 AND kind IS NULL AND next_attempt_at = 'infinity' FOR UPDATE SKIP LOCKED)", NULL};

static TteStatement leases_left_sql = {1, {INT4OID},
"SELECT FROM tiktok.retry WHERE source_id = $1 AND kind IS NULL AND next_attempt_at = 'infinity' LIMIT 1", NULL};

static TteStatement wake_retries_sql = {2, {INT4OID, TIMESTAMPTZOID},
"UPDATE tiktok.retry SET next_attempt_at = $2 + coalesce(last_request_id, id) % 100 * interval '0.1 s' WHERE id IN (SELECT id FROM tiktok.retry "
"WHERE source_id = $1 AND kind IS NULL AND next_attempt_at > $2 AND next_attempt_at < 'infinity' FOR UPDATE SKIP LOCKED)", NULL};

static TteStatement open_requests_sql = {1, {INT4OID},
"SELECT id, started_at, first_xid, first_id, last_xid, last_id "
"FROM tiktok.request WHERE source_id = $1 AND finished_at IS NULL ORDER BY id", NULL};

static TteStatement newest_request_sql = {0, {0},
"SELECT max(id) FROM tiktok.request", NULL};

/* before others that are due; the last argument is null when no byte of the request was sent */
static TteStatement recover_retries_sql = {2, {INT8OID, TIMESTAMPTZOID},
"UPDATE tiktok.retry SET attempts = attempts + 1, next_attempt_at = first_attempt_at, "
"possibly_received_at = coalesce(possibly_received_at, $2) WHERE last_request_id = $1", NULL};

static TteStatement recover_events_sql = {8, {INT4OID, INT8OID, TIMESTAMPTZOID, XID8OID, INT8OID, XID8OID, INT8OID, TIMESTAMPTZOID},
"INSERT INTO tiktok.retry (id, source_id, attempts, first_attempt_at, possibly_received_at, next_attempt_at, last_request_id) "
"SELECT e.id, $1, 1, $3, least($8, (SELECT recovered_to FROM tiktok.installation WHERE e.xid < recovered_xid)), "
"clock_timestamp(), $2 FROM tiktok.event e "
"WHERE e.source_id = $1 AND (e.xid, e.id) >= ($4, $5) AND (e.xid, e.id) <= ($6, $7) AND e.payload IS NOT NULL "
TTE_NO_FATE, NULL};

static TteStatement set_apart_sql = {2, {INT4OID, INT8OID},
"WITH poison AS (DELETE FROM tiktok.retry r USING tiktok.request q WHERE q.id = $2 AND q.events = 1 AND r.id = q.first_id "
"AND (SELECT count(*) + CASE WHEN r.attempts > count(*) THEN 1 ELSE 0 END FROM tiktok.request p WHERE p.source_id = $1 "
"AND p.events = 1 AND p.first_id = q.first_id AND p.outcome IN ('interrupted', 'failed')) >= 3 RETURNING r.*), "
"forgotten AS (DELETE FROM tiktok.identity i USING poison p WHERE i.id = p.id AND p.possibly_received_at IS NULL) "
"INSERT INTO tiktok.delivery SELECT id, CASE WHEN possibly_received_at IS NOT NULL THEN last_request_id END, clock_timestamp(), "
"CASE WHEN possibly_received_at IS NOT NULL THEN 'uncertain' ELSE 'invalid' END, 'poison', "
"attempts, first_attempt_at, possibly_received_at FROM poison RETURNING status", NULL};

int64
tte_queue_start_request(const TteRequestStart *start)
{
	Datum		args[] = {
		Int32GetDatum(start->source_id), tte_time_datum(start->started_at), Int32GetDatum(start->events),
		tte_xid_datum(start->first.xid), Int64GetDatum(start->first.id),
		tte_xid_datum(start->last.xid), Int64GetDatum(start->last.id),
		Int32GetDatum(start->bytes), BoolGetDatum(start->is_test)
	};

	tte_run(&start_request_sql, args, NULL);
	TTE_FAULT_POINT("request-inserted", NULL);
	return tte_result_int8(0, 1);
}

void
tte_queue_claim_retries(int64 request_id, const int64 *ids, int n)
{
	Datum		args[] = {Int64GetDatum(request_id), tte_int8_array(ids, n, INT8OID)};

	tte_run(&claim_retries_sql, args, NULL);
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
		tte_xid_datum(end->first.xid), Int64GetDatum(end->first.id), tte_xid_datum(end->last.xid), Int64GetDatum(end->last.id),
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
	tte_run(&finish_request_sql, args, nulls);
	TTE_FAULT_POINT("request-finished", NULL);
}

static int
compare_ids(const void *a, const void *b)
{
	int64		x = *(const int64 *) a;
	int64		y = *(const int64 *) b;

	return x < y ? -1 : x > y;
}

int
tte_queue_lock_events(int64 *ids, int n)
{
	Datum		args[] = {tte_int8_array(ids, n, INT8OID)};
	int			found = n > 0 ? tte_run(&lock_events_sql, args, NULL) : 0;
	int64	   *locked = palloc(Max(found, 1) * sizeof(int64));
	int			left = 0;

	for (int i = 0; i < found; i++)
		locked[i] = tte_result_int8(i, 1);
	qsort(locked, found, sizeof(int64), compare_ids);
	for (int i = 0; i < n; i++)
	{
		int64		id = ids[i];

		if (bsearch(&id, locked, found, sizeof(int64), compare_ids) == NULL)
			continue;
		ids[i] = ids[left];
		ids[left++] = id;
	}
	return left;
}

/* False: an operator has decided about one of them meanwhile.  Nothing is inserted then. */
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
		tte_int8_array(ids, n, INT8OID),
		Int32GetDatum(final->attempted ? 1 : 0), tte_time_datum(final->possibly_received_at)
	};
	char		nulls[] = "       ";

	if (final->request_id == 0)
		nulls[0] = 'n';
	if (final->reason == NULL)
		nulls[2] = 'n';
	/* of the only attempt tiktok.request knows when it was */
	if (final->possibly_received_at == 0 || (!final->from_retry && final->request_id != 0))
		nulls[6] = 'n';
	tte_run(final->from_retry ? &final_retry_sql : &final_sql, args, nulls);
}

/* What was never sent may be recorded by a shard, where a trigger wants to see each row. */
void
tte_queue_record_final(const TteFinal *final, const int64 *ids, int n)
{
	if (n == 0)
		return;
	if (n < BULK || final->from_retry || final->request_id == 0 || !record_bulk(final, ids, n))
		record_by_sql(final, ids, n);
	tte_count_final(final->source_id, final->status, n);
	TTE_FAULT_POINT("fate-written", final->status);
}

static Datum
next_attempt_datum(int64 next)
{
	return next == TTE_LEASED ? TimestampTzGetDatum(DT_NOEND) : tte_time_datum(next);
}

void
tte_queue_record_retry(const TteRetry *retry, const int64 *ids, int n)
{
	Datum		args[] = {
		Int32GetDatum(retry->source_id), Int64GetDatum(retry->request_id), tte_time_datum(retry->first_attempt_at),
		tte_time_datum(retry->possibly_received_at), Int32GetDatum(retry->code), Int32GetDatum(retry->attempts),
		next_attempt_datum(retry->next_attempt_at), CStringGetTextDatum(retry->kind ? retry->kind : ""),
		tte_int8_array(ids, n, INT8OID)
	};
	char		nulls[] = "         ";

	if (n == 0)
		return;
	if (retry->request_id == 0)
		nulls[1] = 'n';
	if (retry->possibly_received_at == 0)
		nulls[3] = 'n';
	if (!retry->has_code)
		nulls[4] = 'n';
	if (retry->kind == NULL)
		nulls[7] = 'n';
	tte_run(&retry_sql, args, nulls);
	TTE_FAULT_POINT("retry-written", NULL);
}

int
tte_queue_lease(int64 *ids, int n)
{
	Datum		args[] = {tte_int8_array(ids, n, INT8OID)};
	int			leased = tte_run(&lease_sql, args, NULL);

	for (int i = 0; i < leased; i++)
		ids[i] = tte_result_int8(i, 1);
	return leased;
}

bool
tte_queue_reset_leases(int32 source_id)
{
	Datum		args[] = {Int32GetDatum(source_id)};

	tte_run(&reset_leases_sql, args, NULL);
	return tte_run(&leases_left_sql, args, NULL) == 0;
}

void
tte_queue_wake_retries(int32 source_id, int64 now)
{
	Datum		args[] = {Int32GetDatum(source_id), tte_time_datum(now)};

	tte_run(&wake_retries_sql, args, NULL);
}

void
tte_queue_set_apart(int32 source_id, int64 request_id)
{
	Datum		args[] = {Int32GetDatum(source_id), Int64GetDatum(request_id)};

	if (tte_run(&set_apart_sql, args, NULL) > 0)
		tte_count_final(source_id, tte_result_text(0, 1), 1);
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

	if ((crash || received) && tte_run(&recover_retries_sql, request, received ? NULL : " n") == 0)
		tte_run(&recover_events_sql, args, received ? NULL : "       n");
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
	tte_run(&newest_request_sql, NULL, NULL);
	tte_sent_attach(tte_queue_extension(), tte_result_int8(0, 1));
	attached = true;
}

bool
tte_queue_interrupted(int32 source_id)
{
	Datum		args[] = {Int32GetDatum(source_id)};

	return tte_run(&open_requests_sql, args, NULL) > 0;
}

int
tte_queue_recover(int32 source_id)
{
	Datum		args[] = {Int32GetDatum(source_id)};
	SPITupleTable *open;
	bool		isnull;
	int			n;

	attach_sent();
	n = tte_run(&open_requests_sql, args, NULL);
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
