/*-------------------------------------------------------------------------
 *
 * control.c
 *	  Functions for operators: pause, resume, retry, discard, test codes.
 *
 * The rows of an event define its status.  Sending it again, or closing it, moves
 * a row between tiktok.delivery and tiktok.retry.  Every move names the status it
 * starts from, and locks the rows of tiktok.event first.  If the worker changes an
 * event, too, the first one wins, and the other overwrites nothing: a row that says
 * the status is deleted; where it is the lack of one, a second statement looks once
 * more, because the first may have waited for the lock.  When the move is committed, the worker reads the queue again.  Until
 * then tte_decision_begin() tells it to look for locked rows of the source; it
 * continues with all other events.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"

#include "answer/schedule.h"
#include "enqueue/source.h"
#include "server/catalog_check.h"
#include "server/common.h"
#include "server/wakeup.h"

#define MAX_TEST_CODE	64
#define MAX_TEST_DAYS	7

#define EQ " OPERATOR(pg_catalog.=) "
#define NOW "pg_catalog.clock_timestamp()"

/* Which events: $1 is the id of an event, or of a source. */
#define BY_ID "id" EQ "$1"
#define BY_SOURCE "source_id" EQ "$1"

/* A row r of tiktok.retry: it was sent.  Else it waits for its first attempt. */
#define TRIED "r.attempts OPERATOR(pg_catalog.>) 0 OR r.possibly_received_at IS NOT NULL"

/* When TikTok may first have received an event; NULL: never. */
#define RECEIVED \
	"coalesce(d.possibly_received_at," \
	" CASE WHEN d.status" EQ "'delivered' THEN coalesce(q.started_at, d.at) END)"

/* tiktok.withdraw_consent() came too late for it. */
#define WITHDRAWN "coalesce(d.reason" EQ "'consent_withdrawn', false)"

#define HAS_IDENTITY \
	"(e.match_keys" EQ "0 OR EXISTS (SELECT FROM tiktok.identity i WHERE i.id" EQ "e.id))"

/* The state of event $1; TikTok would count a copy of one received before $2. */
static const char state_sql[] =
"SELECT coalesce(d.status, CASE WHEN " TRIED " THEN 'retrying' ELSE 'pending' END),"
" e.payload IS NOT NULL, " HAS_IDENTITY ", coalesce(" RECEIVED " OPERATOR(pg_catalog.<) $2, false), e.source_id, " WITHDRAWN
" FROM tiktok.event e"
" LEFT JOIN tiktok.delivery d ON d.id" EQ "e.id"
" LEFT JOIN tiktok.retry r ON r.id" EQ "e.id"
" LEFT JOIN tiktok.request q ON q.id" EQ "d.request_id"
" WHERE e.id" EQ "$1";

/* Puts final events back: $2 their status, $3 allow_double, $4 as $2 above. */
#define RETRY(which) \
	"WITH found AS (" \
	" SELECT d.*, e.source_id, q.started_at, q.code, " RECEIVED " AS received" \
	" FROM tiktok.event e JOIN tiktok.delivery d ON d.id" EQ "e.id" \
	" LEFT JOIN tiktok.request q ON q.id" EQ "d.request_id" \
	" WHERE e." which " AND d.status" EQ "$2 AND e.payload IS NOT NULL AND " HAS_IDENTITY " FOR NO KEY UPDATE OF e), " \
	"gone AS (" \
	" DELETE FROM tiktok.delivery d USING found f WHERE d.id" EQ "f.id AND NOT " WITHDRAWN \
	" AND ($3 OR f.received IS NULL OR f.received OPERATOR(pg_catalog.>=) $4) RETURNING f.*), " \
	"back AS (" \
	" INSERT INTO tiktok.retry (id, source_id, attempts, first_attempt_at," \
	"  possibly_received_at, next_attempt_at, last_request_id, code)" \
	" SELECT id, source_id, coalesce(attempts, CASE WHEN request_id IS NULL THEN 0 ELSE 1 END)," \
	"  coalesce(first_attempt_at, started_at, " NOW ")," \
	"  CASE WHEN received OPERATOR(pg_catalog.>=) $4 THEN received END, " NOW ", request_id, code FROM gone" \
	" ON CONFLICT (id) DO UPDATE SET next_attempt_at = excluded.next_attempt_at RETURNING id) " \
	"SELECT pg_catalog.count(*) FROM back"

#define CLOSE(columns, rows) \
	"final AS (INSERT INTO tiktok.delivery (id, status, reason, at, possibly_received_at" columns ")" \
	" SELECT e.id, 'discarded', $2, " NOW ", " rows " ON CONFLICT (id) DO NOTHING RETURNING id), " \
	"forgotten AS (DELETE FROM tiktok.identity i USING final f WHERE i.id" EQ "f.id) " \
	"SELECT pg_catalog.count(*) FROM final"

#define LOCK_PENDING(from) "SELECT pg_catalog.array_agg(l.id) FROM (SELECT e.id FROM " from " FOR NO KEY UPDATE OF e) l"

/*
 * Closes those of the events $1 that are pending.  One in flight may be received;
 * one from before a recovery may have been.
 */
static const char discard_pending_sql[] =
"WITH " CLOSE("",
			  "least((SELECT i.recovered_to FROM tiktok.installation i WHERE e.xid OPERATOR(pg_catalog.<) i.recovered_xid),"
			  " (SELECT pg_catalog.min(q.started_at) FROM tiktok.request q"
			  "  WHERE q.source_id" EQ "e.source_id AND q.finished_at IS NULL"
			  "  AND ROW(e.xid, e.id) OPERATOR(pg_catalog.>=) ROW(q.first_xid, q.first_id)"
			  "  AND ROW(e.xid, e.id) OPERATOR(pg_catalog.<=) ROW(q.last_xid, q.last_id)))"
			  " FROM pg_catalog.unnest($1) u (id) JOIN tiktok.event e ON e.id" EQ "u.id"
			  " WHERE e.payload IS NOT NULL AND NOT EXISTS (SELECT FROM tiktok.retry r WHERE r.id" EQ "e.id)");

#define DISCARD_RETRYING(which, tried) \
	"WITH locked AS (SELECT e.id FROM tiktok.retry r JOIN tiktok.event e ON e.id" EQ "r.id WHERE r." which " AND (" tried ") FOR NO KEY UPDATE OF e), " \
	"gone AS (DELETE FROM tiktok.retry r USING locked l WHERE r.id" EQ "l.id AND (" tried ") RETURNING r.*), " \
	CLOSE(", request_id, attempts, first_attempt_at", \
	"coalesce(e.possibly_received_at, q.started_at), e.last_request_id, e.attempts, e.first_attempt_at" \
	" FROM gone e LEFT JOIN tiktok.request q ON q.id" EQ "e.last_request_id AND q.finished_at IS NULL")

/* The row with the former status is deleted, and a new one inserted. */
#define DISCARD_FINAL(which) \
	"WITH locked AS (SELECT e.id FROM tiktok.event e JOIN tiktok.delivery d ON d.id" EQ "e.id" \
	" WHERE e." which " AND d.status" EQ "$2 FOR NO KEY UPDATE OF e), " \
	"gone AS (DELETE FROM tiktok.delivery d USING locked l WHERE d.id" EQ "l.id AND d.status" EQ "$2 RETURNING d.*), " \
	CLOSE(", request_id, attempts, first_attempt_at", \
	"e.possibly_received_at, e.request_id, e.attempts, e.first_attempt_at FROM gone e")

/* How events of a status are moved: statements by source and by id. */
typedef struct Move
{
	const char *status;
	const char *source_sql;
	const char *id_sql;
	bool		by_default;		/* when no status is named */
	const char *second_sql;		/* or NULL: what is done with the ids that the
								 * first one returns, an array or NULL */
} Move;

static const Move retry_moves[] = {
	{"rejected", RETRY(BY_SOURCE), RETRY(BY_ID), true, NULL},
	{"uncertain", RETRY(BY_SOURCE), RETRY(BY_ID), true, NULL},
	{"expired", RETRY(BY_SOURCE), RETRY(BY_ID), false, NULL},
	{"discarded", RETRY(BY_SOURCE), RETRY(BY_ID), false, NULL},
	{"delivered", RETRY(BY_SOURCE), RETRY(BY_ID), false, NULL},
	{NULL}
};

/* Pending before retrying, because events may move in that direction meanwhile. */
static const Move discard_moves[] = {
	{"pending", LOCK_PENDING("tiktok_internal.pending p JOIN tiktok.event e ON e.id" EQ "p.id WHERE p." BY_SOURCE),
	LOCK_PENDING("tiktok.event e WHERE e." BY_ID), true, discard_pending_sql},
	{"pending", DISCARD_RETRYING(BY_SOURCE, "NOT (" TRIED ")"), DISCARD_RETRYING(BY_ID, "NOT (" TRIED ")"), true, NULL},
	{"retrying", DISCARD_RETRYING(BY_SOURCE, TRIED), DISCARD_RETRYING(BY_ID, TRIED), true, NULL},
	{"rejected", DISCARD_FINAL(BY_SOURCE), DISCARD_FINAL(BY_ID), false, NULL},
	{"uncertain", DISCARD_FINAL(BY_SOURCE), DISCARD_FINAL(BY_ID), false, NULL},
	{NULL}
};

typedef struct EventState
{
	int64		id;
	int32		source_id;
	char	   *status;			/* as in tiktok.event_status */
	bool		has_payload;
	bool		has_identity;	/* or needs none */
	bool		too_late;		/* TikTok would count a copy */
	bool		withdrawn;		/* consent was withdrawn */
} EventState;

PG_FUNCTION_INFO_V1(tte_sql_pause);
PG_FUNCTION_INFO_V1(tte_sql_resume);
PG_FUNCTION_INFO_V1(tte_sql_set_test_code);
PG_FUNCTION_INFO_V1(tte_sql_retry_event);
PG_FUNCTION_INFO_V1(tte_sql_retry_source);
PG_FUNCTION_INFO_V1(tte_sql_discard_event);
PG_FUNCTION_INFO_V1(tte_sql_discard_source);

static bool
flag_argument(FunctionCallInfo fcinfo, int argument)
{
	return !PG_ARGISNULL(argument) && PG_GETARG_BOOL(argument);
}

static void
execute(const char *sql, int nargs, Oid *types, Datum *values, const char *nulls)
{
	SPI_connect();
	SPI_execute_with_args(sql, nargs, types, values, nulls, false, 0);
	SPI_finish();
}

/* A column of the single row of a result. */
static Datum
result(int column, Oid type)
{
	bool		isnull;

	return tte_spi_value(0, column, type, &isnull);
}

static void
set_paused(FunctionCallInfo fcinfo, bool paused, bool has_reason)
{
	Oid			types[] = {INT4OID, BOOLOID, TEXTOID};
	Datum		values[] = {Int32GetDatum(tte_source_argument(fcinfo)), BoolGetDatum(paused), has_reason ? PG_GETARG_DATUM(1) : (Datum) 0};

	execute("INSERT INTO tiktok.source_control VALUES ($1, $2, $3, " NOW ") "
			"ON CONFLICT (source_id) DO UPDATE SET paused = excluded.paused, reason = excluded.reason, "
			"changed_at = excluded.changed_at",
			3, types, values, has_reason ? NULL : "  n");
}

Datum
tte_sql_pause(PG_FUNCTION_ARGS)
{
	tte_require_writable("tiktok.pause()");
	set_paused(fcinfo, true, !PG_ARGISNULL(1));
	PG_RETURN_VOID();
}

Datum
tte_sql_resume(PG_FUNCTION_ARGS)
{
	tte_require_writable("tiktok.resume()");
	set_paused(fcinfo, false, false);
	PG_RETURN_VOID();
}

static void
check_test_code(const char *code)
{
	size_t		len = strlen(code);

	for (const char *p = code; *p; p++)
	{
		if (*p < 0x21 || *p > 0x7E)
			len = 0;
	}
	if (len == 0 || len > MAX_TEST_CODE)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid test code"),
				 errdetail("A test code has 1 to %d printable ASCII characters and no blanks.", MAX_TEST_CODE),
				 errhint("Copy it from the Test Events tab of Events Manager.")));
}

static void
check_valid_for(Datum valid_for)
{
	Interval	zero = {0};
	Interval	limit = {.day = MAX_TEST_DAYS};

	if (!DatumGetBool(DirectFunctionCall2(interval_gt, valid_for, IntervalPGetDatum(&zero))) ||
		!DatumGetBool(DirectFunctionCall2(interval_le, valid_for, IntervalPGetDatum(&limit))))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid valid_for: \"%s\"", DatumGetCString(DirectFunctionCall1(interval_out, valid_for))),
				 errhint("Use a positive interval of at most %d days.", MAX_TEST_DAYS)));
}

Datum
tte_sql_set_test_code(PG_FUNCTION_ARGS)
{
	Oid			types[] = {INT4OID, TEXTOID, INTERVALOID};
	Datum		values[3];

	tte_require_writable("tiktok.set_test_code()");
	values[0] = Int32GetDatum(tte_source_argument(fcinfo));
	if (PG_ARGISNULL(1))
	{
		execute("DELETE FROM tiktok.test_code WHERE " BY_SOURCE, 1, types, values, NULL);
		PG_RETURN_VOID();
	}
	tte_require_argument(fcinfo, 2, "valid_for");
	values[1] = PG_GETARG_DATUM(1);
	values[2] = PG_GETARG_DATUM(2);
	check_test_code(TextDatumGetCString(values[1]));
	check_valid_for(values[2]);
	execute("INSERT INTO tiktok.test_code VALUES ($1, $2, " NOW " OPERATOR(pg_catalog.+) $3) "
			"ON CONFLICT (source_id) DO UPDATE SET code = excluded.code, valid_until = excluded.valid_until",
			3, types, values, NULL);
	PG_RETURN_VOID();
}

/* TikTok may count a copy of an event that it received before this time. */
static Datum
horizon(void)
{
	return TimestampTzGetDatum(GetCurrentTimestamp() - TTE_RETRY_HORIZON);
}

static void
get_state(Datum id, EventState *state)
{
	Oid			types[] = {INT8OID, TIMESTAMPTZOID};
	Datum		values[] = {id, horizon()};
	MemoryContext caller = CurrentMemoryContext;

	SPI_connect();
	tte_spi_execute_latest(state_sql, 2, types, values, 1);
	if (SPI_processed == 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("event %lld does not exist", (long long) DatumGetInt64(id)),
				 errhint("Use an id from tiktok.event_status.")));
	state->id = DatumGetInt64(id);
	state->status = MemoryContextStrdup(caller, TextDatumGetCString(result(1, TEXTOID)));
	state->has_payload = DatumGetBool(result(2, BOOLOID));
	state->has_identity = DatumGetBool(result(3, BOOLOID));
	state->too_late = DatumGetBool(result(4, BOOLOID));
	state->source_id = DatumGetInt32(result(5, INT4OID));
	state->withdrawn = DatumGetBool(result(6, BOOLOID));
	SPI_finish();
}

static const Move *
find_move(const Move *moves, const char *status)
{
	while (moves->status != NULL && strcmp(moves->status, status) != 0)
		moves++;
	return moves->status ? moves : NULL;
}

static int64
move(const char *sql, const char *second_sql, int32 source_id, Oid key_type, Datum key, const char *status, bool allow_double)
{
	Oid			types[] = {key_type, TEXTOID, BOOLOID, TIMESTAMPTZOID};
	Datum		values[] = {key, CStringGetTextDatum(status), BoolGetDatum(allow_double), horizon()};
	bool		none = false;
	int64		n;

	tte_decision_begin(source_id);
	SPI_connect();
	tte_spi_execute_latest(sql, lengthof(types), types, values, 0);
	if (second_sql != NULL)
	{
		types[0] = INT8ARRAYOID;
		values[0] = tte_spi_value(0, 1, INT8ARRAYOID, &none);
		if (!none)
			tte_spi_execute_latest(second_sql, lengthof(types), types, values, 0);
	}
	n = none ? 0 : DatumGetInt64(result(1, INT8OID));
	SPI_finish();
	tte_requeue_at_commit(source_id);
	return n;
}

/* A pending event may have a row of tiktok.retry or none. */
static void
move_event(const Move *m, const EventState *event, bool allow_double)
{
	for (; m->status != NULL && strcmp(m->status, event->status) == 0; m++)
	{
		if (move(m->id_sql, m->second_sql, event->source_id, INT8OID, Int64GetDatum(event->id), m->status, allow_double) > 0)
			return;
	}
	ereport(ERROR,
			(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
			 errmsg("status of event %lld has changed meanwhile", (long long) event->id),
			 errhint("Check its status in tiktok.event_status and try again.")));
}

/* status NULL: the moves marked by_default. */
static int64
move_source(const Move *moves, int32 source_id, const char *status, bool allow_double)
{
	int64		n = 0;

	for (const Move *m = moves; m->status; m++)
	{
		if (status ? strcmp(m->status, status) == 0 : m->by_default)
			n += move(m->source_sql, m->second_sql, source_id, INT4OID, Int32GetDatum(source_id), m->status, allow_double);
	}
	return n;
}

/* Returns the status argument, after checking it; NULL: none. */
static char *
status_argument(FunctionCallInfo fcinfo, const Move *moves, const char *hint)
{
	char	   *status = PG_ARGISNULL(1) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(1));

	if (status != NULL && find_move(moves, status) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid status: \"%s\"", status),
				 errhint("%s", hint)));
	return status;
}

static void
refuse(const EventState *event, const char *what, const char *detail, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("event %lld cannot be %s", (long long) event->id, what),
			 errdetail("%s", detail),
			 errhint("%s", hint)));
}

static void
check_retry(const EventState *event, bool allow_double)
{
	static const char what[] = "sent again";
	static const char double_hint[] = "Use allow_double => true to send it anyway; TikTok may count it twice.";

	if (strcmp(event->status, "pending") == 0 || strcmp(event->status, "retrying") == 0)
		refuse(event, what, psprintf("It is %s, and is sent automatically.", event->status),
			   "See tiktok.event_status and tiktok.backlog for the time.");
	if (event->withdrawn)
		refuse(event, what, "Consent to it has been withdrawn.", "Record a new event if consent is given again.");
	if (event->has_payload && strcmp(event->status, "suppressed") == 0)
		refuse(event, what, "It was suppressed at the request of the person.", "See its reason in tiktok.event_status.");
	if (!event->has_payload || find_move(retry_moves, event->status) == NULL)
		refuse(event, what, psprintf("It is %s, and there is nothing to send.", event->status),
			   "Record it again: its key is free.");
	if (strcmp(event->status, "delivered") == 0 && !allow_double)
		refuse(event, what, "TikTok has accepted it.", double_hint);
	if (!event->has_identity)
		refuse(event, what, "Its identifiers have been deleted.", "Retry rejected and uncertain events before tiktok_events.identifier_ttl is over; others do not keep identifiers.");
	if (event->too_late && !allow_double)
		refuse(event, what, "TikTok may have received it more than 47 hours ago, and no longer recognize a copy.", double_hint);
}

Datum
tte_sql_retry_event(PG_FUNCTION_ARGS)
{
	bool		allow_double = flag_argument(fcinfo, 1);
	EventState	event;

	tte_require_writable("tiktok.retry()");
	tte_require_argument(fcinfo, 0, "id");
	get_state(PG_GETARG_DATUM(0), &event);
	check_retry(&event, allow_double);
	move_event(find_move(retry_moves, event.status), &event, allow_double);
	PG_RETURN_VOID();
}

Datum
tte_sql_retry_source(PG_FUNCTION_ARGS)
{
	bool		allow_double = flag_argument(fcinfo, 2);
	int32		source_id;
	char	   *status;

	tte_require_writable("tiktok.retry()");
	source_id = tte_source_argument(fcinfo);
	status = status_argument(fcinfo, retry_moves,
							 "Use rejected, uncertain, expired, discarded or delivered.");
	if (status != NULL && strcmp(status, "delivered") == 0 && !allow_double)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("events that TikTok has accepted are not sent again"),
				 errhint("Use allow_double => true to send them anyway; TikTok may count them twice.")));
	PG_RETURN_INT64(move_source(retry_moves, source_id, status, allow_double));
}

Datum
tte_sql_discard_event(PG_FUNCTION_ARGS)
{
	EventState	event;
	const Move *m;

	tte_require_writable("tiktok.discard()");
	tte_require_argument(fcinfo, 0, "id");
	get_state(PG_GETARG_DATUM(0), &event);
	m = find_move(discard_moves, event.status);
	if (m == NULL)
		refuse(&event, "discarded", psprintf("It is %s.", event.status),
			   "Events that are pending, retrying, rejected or uncertain can be discarded.");
	move_event(m, &event, false);
	PG_RETURN_VOID();
}

Datum
tte_sql_discard_source(PG_FUNCTION_ARGS)
{
	int32		source_id;
	char	   *status;

	tte_require_writable("tiktok.discard()");
	source_id = tte_source_argument(fcinfo);
	status = status_argument(fcinfo, discard_moves,
							 "Use pending, retrying, rejected or uncertain.");
	PG_RETURN_INT64(move_source(discard_moves, source_id, status, false));
}
