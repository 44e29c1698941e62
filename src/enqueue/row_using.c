/*-------------------------------------------------------------------------
 *
 * row_using.c
 *	  The function of 'using': how it is called for a row.
 *
 * It is the user's code.  It runs with the rights of the one who writes the row
 * or, when somebody looks at rows, of its owner or the table's; when it fails,
 * the event is invalid and the statement goes on.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/tupconvert.h"
#include "access/xact.h"
#include "catalog/pg_proc.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/resowner.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "enqueue/row_query.h"
#include "enqueue/row_targets.h"
#include "enqueue/row_using.h"
#include "server/common.h"
#include "server/compat.h"
#include "server/rights.h"

/* No SQLSTATE, not even that of success, which a function may raise. */
#define NO_ERROR	(-1)

/* The row as the function's argument: in the row type of the table it was written for. */
static Datum
row_argument(const TteMapping *m, Relation rel, TupleTableSlot *row)
{
	bool		should_free;
	HeapTuple	tuple = ExecFetchSlotHeapTuple(row, false, &should_free);
	TupleDesc	desc = RelationGetDescr(rel);

	if (m->using_relation != RelationGetRelid(rel))
	{
		TupleDesc	to = lookup_rowtype_tupdesc_copy(get_rel_type_id(m->using_relation), -1);
		TupleConversionMap *map = convert_tuples_by_name(desc, to);

		if (map != NULL)
			tuple = execute_attr_map_tuple(tuple, map);
		desc = to;
	}
	return heap_copy_tuple_as_datum(tuple, desc);
}

/*
 * Who runs the function when somebody looks at rows of a table: its owner, if
 * the table's owner may act as him; otherwise the table's owner.  So it has no
 * rights that its author lacks by looking at the table, and nobody who decides
 * what is in the table, of which types, gets the author's.
 */
static Oid
runs_as(Oid function, Oid table_owner)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	Oid			owner;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for function %u", function);
	owner = ((Form_pg_proc) GETSTRUCT(tuple))->proowner;
	ReleaseSysCache(tuple);
	return has_privs_of_role(table_owner, owner) ? owner : table_owner;
}

static Datum
call(Oid function, Datum row, bool *isnull)
{
	FmgrInfo	flinfo;
	Datum		value;

	LOCAL_FCINFO(fcinfo, 1);

	fmgr_info(function, &flinfo);
	InitFunctionCallInfoData(*fcinfo, &flinfo, 1, InvalidOid, NULL, NULL);
	fcinfo->args[0].value = row;
	fcinfo->args[0].isnull = false;
	value = FunctionCallInvoke(fcinfo);
	*isnull = fcinfo->isnull;
	return value;
}

/*
 * Without a table's owner, as the current user: he writes the row.  Otherwise
 * with the names of the table's schema, not in the search_path of whoever looks.
 */
static Datum
call_with_rights(Oid function, Oid table_owner, Oid table, Datum row, bool *isnull)
{
	TteRights	rights;
	char	   *schema;
	Datum		value;

	if (tte_function_aclcheck(function, OidIsValid(table_owner) ? table_owner : GetUserId()) != ACLCHECK_OK)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for function %s", get_func_name(function))));
	if (!OidIsValid(table_owner))
		return call(function, row, isnull);
	schema = get_namespace_name(get_rel_namespace(table));
	tte_rights_take(runs_as(function, table_owner), psprintf("%s, pg_temp", quote_identifier(schema)), &rights);
	value = call(function, row, isnull);
	tte_rights_give_back(&rights);
	return value;
}

/*
 * Calls the user's function in a subtransaction: that draws no transaction id
 * unless the function writes.  NULL: it returned NULL or, with *state, failed.
 */
static TteJson *
call_using(Oid function, Oid table_owner, Oid table, Datum row, int *state)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	TteJson    *volatile result = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		bool		isnull;
		Datum		value = call_with_rights(function, table_owner, table, row, &isnull);

		if (!isnull)
			result = tte_value_jsonb(value);
		if (!isnull && (result == NULL || result->kind != TTE_JSON_OBJECT))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("function %s did not return a JSON object", get_func_name(function))));
		ReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
	}
	PG_CATCH();
	{
		ErrorData  *error = tte_undo_subtransaction(context, owner);

		if (tte_must_rethrow(error->sqlerrcode))
			ReThrowError(error);
		*state = error->sqlerrcode;
		result = NULL;
	}
	PG_END_TRY();
	return result;
}

bool
tte_apply_using(TteEvent *event, const TteMapping *m, Relation rel, bool looking, TupleTableSlot *row, bool *id_given)
{
	int			state = NO_ERROR;
	TteJson    *object = call_using(m->using_function, looking ? rel->rd_rel->relowner : InvalidOid, m->using_relation,
									row_argument(m, rel, row), &state);

	if (object != NULL)
		*id_given |= tte_set_from_object(event, object, m->zone);
	else if (state != NO_ERROR)
		tte_event_fail(event, TTE_PROBLEM_VALUE, psprintf("using: %s", unpack_sql_state(state)),
					   psprintf("Function %s failed.", m->using_name),
					   "Call it with the row: the error says what it cannot do.");
	return object != NULL || state != NO_ERROR;
}
