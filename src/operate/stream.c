/*-------------------------------------------------------------------------
 *
 * stream.c
 *	  The rows of a query, one by one, as the executor finds them.
 *
 * SPI would keep all rows in memory until the last is there, and a cursor costs
 * twice the time.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/int.h"
#include "executor/spi.h"
#include "nodes/params.h"
#include "tcop/dest.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

#include "operate/stream.h"

typedef struct Receiver
{
	DestReceiver pub;
	TteTakeRow	take;
	void	   *arg;
} Receiver;

static void
start(DestReceiver *self, int operation, TupleDesc desc)
{
}

static void
nothing(DestReceiver *self)
{
}

static bool
receive(TupleTableSlot *slot, DestReceiver *self)
{
	const Receiver *receiver = (Receiver *) self;

	slot_getallattrs(slot);
	receiver->take(receiver->arg, slot);
	return true;
}

void
tte_stream(const char *sql, int nargs, const Oid *types, const Datum *args, const char *nulls, TteTakeRow take, void *arg)
{
	/* mydest says only that the rows are wanted */
	Receiver	receiver = {{receive, start, nothing, nothing, DestTuplestore}, take, arg};
	SPIExecuteOptions options = {0};

	options.params = makeParamList(nargs);
	options.params->paramFetch = NULL;
	for (int i = 0; i < nargs; i++)
	{
		options.params->params[i].value = args[i];
		options.params->params[i].isnull = nulls != NULL && nulls[i] == 'n';
		options.params->params[i].pflags = PARAM_FLAG_CONST;
		options.params->params[i].ptype = types[i];
	}
	options.read_only = true;
	options.dest = &receiver.pub;
	if (SPI_execute_extended(sql, &options) != SPI_OK_SELECT)
		elog(ERROR, "could not read \"%s\"", sql);
}

void
tte_stream_events(const char *sql, int nargs, const Oid *types, const Datum *args, const char *nulls, TteTakeRow take, void *arg)
{
	int			level = NewGUCNestLevel();

	/* a nested loop would open an empty tiktok.retry once for each event */
	(void) set_config_option("enable_hashjoin", "off", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	(void) set_config_option("enable_nestloop", "off", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	tte_stream(sql, nargs, types, args, nulls, take, arg);
	AtEOXact_GUC(true, level);
}

TimestampTz
tte_shifted(TimestampTz at, int64 by)
{
	TimestampTz result;

	if (TIMESTAMP_NOT_FINITE(at))
		return at;
	if (pg_add_s64_overflow(at, by, &result) || !IS_VALID_TIMESTAMP(result))
		return by < 0 ? DT_NOBEGIN : DT_NOEND;
	return result;
}
