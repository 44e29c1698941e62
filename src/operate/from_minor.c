/*-------------------------------------------------------------------------
 *
 * from_minor.c
 *	  tiktok.from_minor(): an amount in the smallest units of a currency.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"

#include "event/catalog.h"

#define MAX_EXPONENT	12

PG_FUNCTION_INFO_V1(tte_sql_from_minor);

/* Digits behind the point; -1: the currency is not known. */
static int
exponent_of(text *currency)
{
	char	   *code = text_to_cstring(currency);
	char	   *end = code + strlen(code);

	while (end > code && end[-1] == ' ')
		*--end = '\0';
	while (*code == ' ')
		code++;
	for (char *p = code; *p; p++)
		*p = pg_ascii_toupper((unsigned char) *p);
	return tte_currency_exponent(code);
}

/* NULL without an amount, or when nothing says how many digits there are. */
Datum
tte_sql_from_minor(PG_FUNCTION_ARGS)
{
	int			exponent = -1;
	char	   *unit;

	if (!PG_ARGISNULL(2))
	{
		exponent = PG_GETARG_INT32(2);
		if (exponent < 0 || exponent > MAX_EXPONENT)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("exponent must be between 0 and %d", MAX_EXPONENT)));
	}
	else if (!PG_ARGISNULL(1))
		exponent = exponent_of(PG_GETARG_TEXT_PP(1));
	if (PG_ARGISNULL(0) || exponent < 0)
		PG_RETURN_NULL();
	unit = psprintf("1e-%d", exponent);
	return DirectFunctionCall2(numeric_mul, PG_GETARG_DATUM(0),
							   DirectFunctionCall3(numeric_in, CStringGetDatum(unit), ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));
}
