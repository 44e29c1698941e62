/*-------------------------------------------------------------------------
 *
 * row_query.c
 *	  The query over other tables that a trigger's row is completed by.
 *
 * tiktok.create_trigger() has made a function of it.  It is called through a
 * plan that the session keeps: PostgreSQL then puts the function's body into
 * the plan, which takes a quarter of the time of a call.  It runs as the owner of
 * the function, whoever writes the row: writers need no rights, and a deferred
 * trigger, an apply worker and tiktok.backfill() see the same.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

#include "enqueue/row_query.h"
#include "server/common.h"
#include "server/rights.h"

bool
tte_must_rethrow(int sqlerrcode)
{
	switch (sqlerrcode)
	{
		case ERRCODE_OUT_OF_MEMORY:
		case ERRCODE_DISK_FULL:
		case ERRCODE_T_R_SERIALIZATION_FAILURE:
		case ERRCODE_T_R_DEADLOCK_DETECTED:
			return true;
		default:
			return ERRCODE_TO_CATEGORY(sqlerrcode) == ERRCODE_OPERATOR_INTERVENTION ||
				ERRCODE_TO_CATEGORY(sqlerrcode) == ERRCODE_INTERNAL_ERROR;
	}
}

/* The second row only says that there are several. */
static void
prepare(TteMapping *m)
{
	char	   *schema = get_namespace_name(get_func_namespace(m->query_function));
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "SELECT * FROM %s(", quote_qualified_identifier(schema, m->query_name));
	for (int i = 0; i < m->query_nargs; i++)
		appendStringInfo(&sql, "%s$%d::%s", i ? ", " : "", i + 1, format_type_extended(m->query_types[i], -1, FORMAT_TYPE_FORCE_QUALIFY));
	appendStringInfoString(&sql, ") LIMIT 2");
	m->query_plan = SPI_prepare(sql.data, m->query_nargs, m->query_columns);
	if (m->query_plan == NULL || SPI_keepplan(m->query_plan) != 0)
		elog(ERROR, "could not prepare the query of function \"%s\"", m->query_name);
}

static void
run(TteMapping *m, TupleTableSlot *row, MemoryContext context, TteQueryResult *result)
{
	Datum	   *values = palloc((m->query_nargs + 1) * sizeof(Datum));
	char	   *nulls = palloc(m->query_nargs + 1);
	MemoryContext old;

	for (int i = 0; i < m->query_nargs; i++)
	{
		bool		isnull;

		values[i] = slot_getattr(row, m->query_args[i], &isnull);
		nulls[i] = isnull ? 'n' : ' ';
	}
	/* not read-only: it sees what this very statement has written */
	if (SPI_execute_plan(m->query_plan, values, nulls, false, 2) != SPI_OK_SELECT)
		elog(ERROR, "could not run the query of function \"%s\"", m->query_name);
	result->fate = SPI_processed == 0 ? TTE_QUERY_NO_ROW : SPI_processed == 1 ? TTE_QUERY_ROW : TTE_QUERY_SEVERAL;
	if (result->fate != TTE_QUERY_ROW)
		return;
	old = MemoryContextSwitchTo(context);
	result->tuple = heap_copytuple(SPI_tuptable->vals[0]);
	result->desc = CreateTupleDescCopy(SPI_tuptable->tupdesc);
	MemoryContextSwitchTo(old);
}

/* In a subtransaction, because an error shall not cost the order. */
void
tte_row_query(TteMapping *m, TupleTableSlot *row, TteQueryResult *result)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	TteRights	rights;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		SPI_connect();
		tte_rights_take(m->query_owner, TTE_SAFE_PATH, &rights);
		if (m->query_plan == NULL)
			prepare(m);
		run(m, row, context, result);
		tte_rights_give_back(&rights);
		SPI_finish();
		ReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
	}
	PG_CATCH();
	{
		ErrorData  *error = tte_undo_subtransaction(context, owner);

		if (tte_must_rethrow(error->sqlerrcode))
			ReThrowError(error);
		result->fate = TTE_QUERY_FAILED;
		result->sqlerrcode = error->sqlerrcode;
	}
	PG_END_TRY();
}
