/*-------------------------------------------------------------------------
 *
 * statement.c
 *	  Statements of the background worker, prepared once, and their results.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/xid8.h"

#include "deliver/statement.h"
#include "server/catalog_check.h"
#include "server/common.h"

static uint64
run(TteStatement *statement, Datum *args, const char *nulls, bool read_only)
{
	int			rc;

	if (statement->plan == NULL)
	{
		SPIPlanPtr	plan = SPI_prepare(statement->text, statement->nargs, statement->types);

		if (plan == NULL || SPI_keepplan(plan) != 0)
			elog(ERROR, "could not prepare \"%s\": %s", statement->text, SPI_result_code_string(SPI_result));
		statement->plan = plan;
	}
	rc = SPI_execute_plan(statement->plan, args, nulls, read_only, 0);
	if (rc < 0)
		elog(ERROR, "could not execute \"%s\": %s", statement->text, SPI_result_code_string(rc));
	if (SPI_processed == 0)
		tte_done();
	return SPI_processed;
}

uint64
tte_run(TteStatement *statement, Datum *args, const char *nulls)
{
	return run(statement, args, nulls, false);
}

uint64
tte_look(TteStatement *statement, Datum *args)
{
	return run(statement, args, NULL, true);
}

void
tte_done(void)
{
	SPI_freetuptable(SPI_tuptable);
}

Datum
tte_result(int row, int column, Oid type, bool *isnull)
{
	return tte_spi_value(row, column, type, isnull);
}

char *
tte_result_text(int row, int column)
{
	bool		isnull;
	Datum		value = tte_result(row, column, TEXTOID, &isnull);

	return isnull ? NULL : TextDatumGetCString(value);
}

struct varlena *
tte_result_stored(int row, int column)
{
	bool		isnull;
	Datum		value = tte_result(row, column, JSONOID, &isnull);

	return isnull ? NULL : (struct varlena *) DatumGetPointer(value);
}

int64
tte_result_int8(int row, int column)
{
	bool		isnull;
	Datum		value = tte_result(row, column, INT8OID, &isnull);

	return isnull ? 0 : DatumGetInt64(value);
}

int32
tte_result_int4(int row, int column)
{
	bool		isnull;
	Datum		value = tte_result(row, column, INT4OID, &isnull);

	return isnull ? 0 : DatumGetInt32(value);
}

bool
tte_result_bool(int row, int column)
{
	bool		isnull;
	Datum		value = tte_result(row, column, BOOLOID, &isnull);

	return !isnull && DatumGetBool(value);
}

uint64
tte_result_xid(int row, int column)
{
	bool		isnull;

	return U64FromFullTransactionId(DatumGetFullTransactionId(tte_result(row, column, XID8OID, &isnull)));
}

int64
tte_result_time(int row, int column)
{
	bool		isnull;
	Datum		value = tte_result(row, column, TIMESTAMPTZOID, &isnull);

	return isnull ? 0 : DatumGetTimestampTz(value) + TTE_EPOCH_SHIFT;
}

Datum
tte_time_datum(int64 usec)
{
	return TimestampTzGetDatum(usec - TTE_EPOCH_SHIFT);
}

Datum
tte_xid_datum(uint64 xid)
{
	return FullTransactionIdGetDatum(FullTransactionIdFromU64(xid));
}

Datum
tte_int8_array(const int64 *values, int n, Oid type)
{
	Datum	   *elements = palloc(n * sizeof(Datum));

	for (int i = 0; i < n; i++)
		elements[i] = Int64GetDatum(values[i]);
	return PointerGetDatum(construct_array(elements, n, type, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}
