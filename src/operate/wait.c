/*-------------------------------------------------------------------------
 *
 * wait.c
 *	  tiktok.wait(): waits until no event is unfinished.
 *
 * For scripts and tests.  The query begins with the newest event of each source,
 * which is most likely to be unfinished, so it is cheap while there is a backlog.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type_d.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/condition_variable.h"
#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "server/catalog_check.h"
#include "server/slots.h"
#include "server/waitset.h"

#define POLL_INTERVAL_MS	100

PG_FUNCTION_INFO_V1(tte_sql_wait);

static const char unfinished_sql[] =
"SELECT EXISTS (SELECT FROM tiktok.retry) OR EXISTS ("
" SELECT FROM tiktok.source s, LATERAL (SELECT e.id FROM tiktok.event e"
"  WHERE e.source_id OPERATOR(pg_catalog.=) s.id ORDER BY e.xid DESC, e.id DESC LIMIT 1) newest"
" WHERE NOT EXISTS (SELECT FROM tiktok.delivery d WHERE d.id OPERATOR(pg_catalog.=) newest.id))"
" OR EXISTS (SELECT FROM tiktok_internal.pending)";

/* Has this transaction recorded events, not rolled back to a savepoint? */
static const char own_sql[] =
"SELECT EXISTS (SELECT FROM tiktok.source s, LATERAL (SELECT FROM tiktok.event e"
"  WHERE e.source_id OPERATOR(pg_catalog.=) s.id"
"  AND e.xid OPERATOR(pg_catalog.=) pg_catalog.pg_current_xact_id_if_assigned() LIMIT 1) recorded)";

static bool
ask(const char *sql)
{
	bool		isnull;
	bool		result;

	if (SPI_execute(sql, false, 1) != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "could not read the queue");
	result = DatumGetBool(tte_spi_value(0, 1, BOOLOID, &isnull));
	SPI_freetuptable(SPI_tuptable);
	return result;
}

static void
check_state(void)
{
	if (ask(own_sql))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("this transaction has recorded events, which are sent after it commits"),
				 errhint("Commit before calling tiktok.wait().")));
	if (IsolationUsesXactSnapshot())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("tiktok.wait() cannot see progress in this transaction"),
				 errhint("Call it in a READ COMMITTED transaction.")));
	if (!tte_shared_available())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("tiktok_events is not preloaded: nothing is sent"),
				 errhint("Add tiktok_events to shared_preload_libraries and restart the server.")));
}

/* The worker broadcasts after it has recorded outcomes.  The time-out is for the case that no worker runs. */
static void
wait_for_worker(long ms)
{
	TteSlot    *slot = tte_slot_of(MyDatabaseId);

	if (slot != NULL)
		ConditionVariableTimedSleep(&slot->recorded, ms, PG_WAIT_EXTENSION);
	else
		tte_sleep(ms);
	CHECK_FOR_INTERRUPTS();
}

Datum
tte_sql_wait(PG_FUNCTION_ARGS)
{
	TimestampTz end;
	bool		done;

	SPI_connect();
	check_state();
	end = DatumGetTimestampTz(DirectFunctionCall2(timestamptz_pl_interval,
												  TimestampTzGetDatum(GetCurrentTimestamp()),
												  PG_GETARG_DATUM(0)));
	while (!(done = !ask(unfinished_sql)))
	{
		long		left = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), end);

		if (left <= 0)
			break;
		wait_for_worker(Min(left, POLL_INTERVAL_MS));
	}
	ConditionVariableCancelSleep();
	SPI_finish();
	PG_RETURN_BOOL(done);
}
