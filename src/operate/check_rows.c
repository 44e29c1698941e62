/*-------------------------------------------------------------------------
 *
 * check_rows.c
 *	  tiktok.check_rows(): what a trigger would make of the rows that are there.
 *
 * Each row goes through the trigger's own code as if it had just been inserted;
 * the events are shown and not stored.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/portal.h"
#include "utils/tuplestore.h"

#include "enqueue/track.h"
#include "enqueue/value.h"
#include "event/identity.h"
#include "operate/rows.h"
#include "server/common.h"
#include "server/rights.h"

#define FETCH	100

enum CheckColumn
{
	CHECK_KEY,
	CHECK_EVENT,
	CHECK_EVENT_ID,
	CHECK_EVENT_TIME,
	CHECK_PAYLOAD,
	CHECK_PROBLEM,
	CHECK_NOTES,
	CHECK_COLUMNS
};

typedef struct CheckRow
{
	Datum		values[CHECK_COLUMNS];
	bool		nulls[CHECK_COLUMNS];
} CheckRow;

PG_FUNCTION_INFO_V1(tte_sql_check_rows);

static void
set(CheckRow *row, int column, Datum value)
{
	row->values[column] = value;
	row->nulls[column] = false;
}

static void
set_text(CheckRow *row, int column, const char *utf8)
{
	if (utf8 != NULL)
		set(row, column, CStringGetTextDatum(tte_from_utf8(utf8, strlen(utf8))));
}

/* Why the event would not be sent: the reason of tiktok.event_status, and words. */
static const char *
first_problem(const TteRendered *event)
{
	StringInfoData problem;

	if (event->verdict == TTE_EVENT_READY)
		return NULL;
	initStringInfo(&problem);
	appendStringInfoString(&problem, event->reason);
	if (event->detail != NULL)
		appendStringInfo(&problem, ": %s", event->detail);
	if (event->detail != NULL && event->hint != NULL)
		appendStringInfo(&problem, " %s", event->hint);
	return problem.data;
}

/* How often something is left out of these events: a note, which holds no values. */
typedef struct LeftOut
{
	char		note[64];
	int			rows;
	struct LeftOut *next;
} LeftOut;

static void
count_note(LeftOut **counted, const char *note, int len, MemoryContext context)
{
	while (*counted != NULL && (strlen((*counted)->note) != len || memcmp((*counted)->note, note, len) != 0))
		counted = &(*counted)->next;
	if (*counted == NULL)
	{
		*counted = MemoryContextAllocZero(context, sizeof(LeftOut));
		memcpy((*counted)->note, note, len);
	}
	(*counted)->rows++;
}

/* The notes of an event that are about identifiers. */
static void
count_notes(LeftOut **counted, const char *notes, MemoryContext context)
{
	while (*notes != '\0')
	{
		int			len = strcspn(notes, ";");

		if (tte_identifier_find(pnstrdup(notes, strcspn(notes, ":"))) >= 0 && len < sizeof((*counted)->note))
			count_note(counted, notes, len, context);
		notes += len;
		notes += strspn(notes, "; ");
	}
}

static void
report_left_out(const LeftOut *counted)
{
	StringInfoData detail;

	if (counted == NULL)
		return;
	initStringInfo(&detail);
	for (const LeftOut *entry = counted; entry != NULL; entry = entry->next)
		appendStringInfo(&detail, "%s%s (%d)", detail.len > 0 ? ", " : "", entry->note, entry->rows);
	ereport(NOTICE,
			(errmsg("identifiers are left out of some of these events"),
			 errdetail_internal("%s", detail.data),
			 errhint("tiktok.explain_identifier() says more.")));
}

static void
describe_row(CheckRow *row, const TteRowEvent *made)
{
	const TteRendered *event = made->event;

	if (event == NULL)
	{
		set_text(row, CHECK_PROBLEM, made->without_row ? "query: The query has no row for it." :
				 made->declined ? "using: The function returned NULL for it." :
				 made->without_source ? "source: No source has what the row names as its key or name." :
				 made->unmapped ? "stage: tiktok.lead_stage does not list the stage of the row." :
				 "stage: The row is in no stage.");
		return;
	}
	set_text(row, CHECK_EVENT, event->event);
	set_text(row, CHECK_EVENT_ID, event->event_id);
	if (event->has_time)
		set(row, CHECK_EVENT_TIME, TimestampTzGetDatum(tte_timestamptz(event->event_time)));
	if (event->verdict == TTE_EVENT_READY)
		set(row, CHECK_PAYLOAD, tte_event_jsonb(event));
	set_text(row, CHECK_PROBLEM, first_problem(event));
	set_text(row, CHECK_NOTES, event->notes);
}

static void
check_row(TteRows *rows, ReturnSetInfo *result, LeftOut **counted, MemoryContext context)
{
	CheckRow	row;
	TteRowEvent made;

	memset(row.nulls, true, sizeof(row.nulls));
	if (rows->nkeys > 0)
		set(&row, CHECK_KEY, PointerGetDatum(tte_rows_key(rows)));
	tte_rows_event(rows, false, &made);
	describe_row(&row, &made);
	if (made.event != NULL && made.event->notes != NULL)
		count_notes(counted, made.event->notes, context);
	tuplestore_putvalues(result->setResult, result->setDesc, row.values, row.nulls);
}

/* The newest rows that the filter takes. */
static char *
check_sql(TteRows *rows, const char *condition, bool ignore_when, int max)
{
	char	   *filter = tte_rows_filter(rows, condition, ignore_when);
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "%s WHERE %s", tte_rows_query(rows, "true", false), filter);
	tte_rows_newest_first(rows, &sql);
	appendStringInfo(&sql, " LIMIT %d", max);
	return sql.data;
}

static void
check_rows(TteRows *rows, const char *sql, ReturnSetInfo *result)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "tiktok_events row", ALLOCSET_DEFAULT_SIZES);
	Portal		portal = SPI_cursor_open_with_args(NULL, sql, 0, NULL, NULL, NULL, false, 0);
	MemoryContext caller = MemoryContextSwitchTo(context);
	LeftOut    *counted = NULL;

	/* code of the rows' owner can find it by its name, and close it */
	PinPortal(portal);
	for (;;)
	{
		SPITupleTable *table;

		SPI_cursor_fetch(portal, true, FETCH);
		table = SPI_tuptable;
		if (table->numvals == 0)
			break;
		for (uint64 i = 0; i < table->numvals; i++)
		{
			CHECK_FOR_INTERRUPTS();
			tte_rows_fetch(rows, table->vals[i], table->tupdesc);
			check_row(rows, result, &counted, caller);
			MemoryContextReset(context);
		}
		SPI_freetuptable(table);
	}
	MemoryContextSwitchTo(caller);
	UnpinPortal(portal);
	SPI_cursor_close(portal);
	report_left_out(counted);
}

Datum
tte_sql_check_rows(PG_FUNCTION_ARGS)
{
	char	   *condition = PG_ARGISNULL(2) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(2));
	char	   *sql;
	TteRows    *rows;
	TteRights	rights;

	tte_require_argument(fcinfo, 0, "relation");
	tte_require_argument(fcinfo, 1, "trigger_name");
	tte_require_argument(fcinfo, 3, "max");
	tte_require_argument(fcinfo, 4, "ignore_when");
	if (PG_GETARG_INT32(3) < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("max must not be negative")));
	InitMaterializedSRF(fcinfo, 0);
	SPI_connect();
	rows = tte_rows_open(PG_GETARG_OID(0), NameStr(*PG_GETARG_NAME(1)), condition != NULL);
	sql = check_sql(rows, condition, PG_GETARG_BOOL(4), PG_GETARG_INT32(3));
	tte_rights_take(rows->rel->rd_rel->relowner, TTE_SAFE_PATH, &rights);
	check_rows(rows, sql, (ReturnSetInfo *) fcinfo->resultinfo);
	tte_rights_give_back(&rights);
	tte_rows_close(rows);
	SPI_finish();
	return (Datum) 0;
}
