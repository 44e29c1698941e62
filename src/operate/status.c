/*-------------------------------------------------------------------------
 *
 * status.c
 *	  Views of shared memory: workers and counters.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_authid.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "enqueue/source.h"
#include "server/common.h"
#include "server/counters.h"
#include "server/databases.h"
#include "server/settings.h"
#include "server/slots.h"

#define WORKER_STATUS_COLUMNS	11
#define FIRST_HIDDEN			4

PG_FUNCTION_INFO_V1(tte_sql_worker_status);
PG_FUNCTION_INFO_V1(tte_sql_enqueue_counters);
PG_FUNCTION_INFO_V1(tte_sql_status_counters);
PG_FUNCTION_INFO_V1(tte_sql_unmapped_stages);
PG_FUNCTION_INFO_V1(tte_sql_query_counters);
PG_FUNCTION_INFO_V1(tte_sql_unmapped_sources);
PG_FUNCTION_INFO_V1(tte_sql_source_id);

static const char *
state_name(uint32 state)
{
	switch (state)
	{
		case TTE_WORKER_STARTING:
			return "starting";
		case TTE_WORKER_IDLE:
			return "idle";
		case TTE_WORKER_SENDING:
			return "sending";
		case TTE_WORKER_FAILED:
			return "failed";
		case TTE_WORKER_MISMATCH:
			return "version_mismatch";
		case TTE_WORKER_REFUSED:
			return "refused";
		case TTE_WORKER_WAITING:
			return "waiting";
		case TTE_WORKER_RESTING:
			return "resting";
		default:
			return "none";
	}
}

static void
set_time(Datum *value, bool *isnull, TimestampTz at)
{
	*isnull = at == 0;
	*value = TimestampTzGetDatum(at);
}

/* Of another database a role sees what pg_stat_activity shows it: that there is a process, and what for. */
static bool
may_see(Oid database)
{
	return database == MyDatabaseId || has_privs_of_role(GetUserId(), ROLE_PG_READ_ALL_STATS);
}

static void
put_row(ReturnSetInfo *rsinfo, Oid database, Datum *values, bool *nulls)
{
	values[0] = ObjectIdGetDatum(database);
	nulls[0] = false;
	if (!may_see(database))
		memset(nulls + FIRST_HIDDEN, true, (WORKER_STATUS_COLUMNS - FIRST_HIDDEN) * sizeof(bool));
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

static void
worker_row(TteSlot *slot, Oid database, ReturnSetInfo *rsinfo)
{
	Datum		values[WORKER_STATUS_COLUMNS];
	bool		nulls[WORKER_STATUS_COLUMNS] = {0};
	uint32		pid = pg_atomic_read_u32(&slot->pid);
	TimestampTz error_at;
	char		error[TTE_ERROR_LEN];

	tte_slot_get_error(slot, &error_at, error);
	nulls[1] = pid == 0;
	values[1] = Int32GetDatum(pid);
	values[2] = CStringGetTextDatum(state_name(pg_atomic_read_u32(&slot->state)));
	set_time(&values[3], &nulls[3], pg_atomic_read_u64(&slot->since));
	values[4] = Int32GetDatum(pg_atomic_read_u32(&slot->in_flight));
	values[5] = Int64GetDatum(pg_atomic_read_u64(&slot->requests));
	values[6] = Int64GetDatum(pg_atomic_read_u64(&slot->delivered));
	values[7] = Int64GetDatum(pg_atomic_read_u64(&slot->failed));
	nulls[8] = error_at == 0;
	values[8] = CStringGetTextDatum(error);
	set_time(&values[9], &nulls[9], error_at);
	set_time(&values[10], &nulls[10], pg_atomic_read_u64(&slot->heartbeat));
	put_row(rsinfo, database, values, nulls);
}

/* A database that no worker serves now. */
static void
unserved_row(TteDatabase *entry, Oid database, ReturnSetInfo *rsinfo)
{
	Datum		values[WORKER_STATUS_COLUMNS];
	bool		nulls[WORKER_STATUS_COLUMNS];

	memset(nulls, true, sizeof(nulls));
	values[2] = CStringGetTextDatum(entry ? state_name(pg_atomic_read_u32(&entry->state)) : "unlisted");
	nulls[2] = false;
	if (entry != NULL)
	{
		set_time(&values[3], &nulls[3], pg_atomic_read_u64(&entry->since));
		values[5] = Int64GetDatum(pg_atomic_read_u64(&entry->requests));
		values[6] = Int64GetDatum(pg_atomic_read_u64(&entry->delivered));
		values[7] = Int64GetDatum(pg_atomic_read_u64(&entry->failed));
		nulls[5] = nulls[6] = nulls[7] = false;
	}
	put_row(rsinfo, database, values, nulls);
}

Datum
tte_sql_worker_status(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;

	InitMaterializedSRF(fcinfo, 0);
	if (!tte_shared_available())
		return (Datum) 0;
	for (int i = 0; i < tte_slot_count(); i++)
	{
		Oid			database = pg_atomic_read_u32(&tte_slot(i)->database);

		if (OidIsValid(database))
			worker_row(tte_slot(i), database, rsinfo);
	}
	for (int i = 0; i < tte_max_databases; i++)
	{
		TteDatabase *entry = tte_database(i);
		Oid			database = pg_atomic_read_u32(&entry->database);

		if (OidIsValid(database) && pg_atomic_read_u32(&entry->state) != TTE_WORKER_NONE && tte_slot_of(database) == NULL)
			unserved_row(entry, database, rsinfo);
	}
	if (tte_database_of(InvalidOid) == NULL && tte_database_of(MyDatabaseId) == NULL && tte_slot_of(MyDatabaseId) == NULL)
		unserved_row(NULL, MyDatabaseId, rsinfo);
	return (Datum) 0;
}

/* Counters of a source; NULLs if the library is not preloaded. */
Datum
tte_sql_enqueue_counters(PG_FUNCTION_ARGS)
{
	TupleDesc	desc;
	Datum		values[3];
	bool		nulls[3];
	int32		source_id = PG_GETARG_INT32(0);

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	memset(nulls, !tte_shared_available(), sizeof(nulls));
	if (tte_shared_available())
	{
		values[0] = Int64GetDatum(tte_counter(TTE_CONFLICT, source_id));
		values[1] = Int64GetDatum(tte_counter(TTE_NO_MAPPING, source_id));
		values[2] = TimestampTzGetDatum(tte_shared_since());
	}
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

/* Events of a source that became final, by status; no rows if the library is not preloaded. */
Datum
tte_sql_status_counters(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	int32		source_id = PG_GETARG_INT32(0);

	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; i < TTE_STATUSES && tte_shared_available(); i++)
	{
		Datum		values[] = {
			CStringGetTextDatum(tte_counted_status[i]), Int64GetDatum(tte_counter(TTE_FINAL + i, source_id)),
			TimestampTzGetDatum(tte_shared_since())
		};
		bool		nulls[3] = {0};

		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/* The names of a kind, of all ids or one, with one or two of their counters. */
static void
return_named(FunctionCallInfo fcinfo, TteCountedOf kind, const int32 *id, TteCounted first, TteCounted second)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	TteNamedCount *named = NULL;
	int			n = 0;

	InitMaterializedSRF(fcinfo, 0);
	if (tte_shared_available())
		named = tte_named_counters(kind, id, &n);
	for (int i = 0; i < n; i++)
	{
		Datum		values[4] = {ObjectIdGetDatum((Oid) named[i].id), CStringGetTextDatum(named[i].name),
		Int64GetDatum(named[i].count[first]), Int64GetDatum(named[i].count[second])};
		bool		nulls[4] = {0};
		int			skip = id != NULL;	/* who asks for one knows it */

		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values + skip, nulls);
	}
}

Datum
tte_sql_unmapped_stages(PG_FUNCTION_ARGS)
{
	int32		source_id = PG_GETARG_INT32(0);

	return_named(fcinfo, TTE_OF_SOURCE, &source_id, TTE_NO_MAPPING, TTE_NO_MAPPING);
	return (Datum) 0;
}

Datum
tte_sql_query_counters(PG_FUNCTION_ARGS)
{
	return_named(fcinfo, TTE_OF_TABLE, NULL, TTE_QUERIED, TTE_NO_ROW);
	return (Datum) 0;
}

Datum
tte_sql_unmapped_sources(PG_FUNCTION_ARGS)
{
	return_named(fcinfo, TTE_OF_ROWS, NULL, TTE_NO_SOURCE, TTE_NOT_RECORDED);
	return (Datum) 0;
}

Datum
tte_sql_source_id(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(tte_source_argument(fcinfo));
}
