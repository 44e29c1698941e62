/*-------------------------------------------------------------------------
 *
 * common.c
 *	  Functions on top of the server that several folders share.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "tcop/tcopprot.h"
#include "utils/backend_status.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "server/common.h"

int64
tte_now(void)
{
	return GetCurrentTimestamp() + TTE_EPOCH_SHIFT;
}

void
tte_require_writable(const char *caller)
{
	PreventCommandIfReadOnly(caller);
	PreventCommandIfParallelMode(caller);
	PreventCommandDuringRecovery(caller);
}

Oid
tte_relation(const char *name)
{
	Oid			namespace = get_namespace_oid("tiktok", false);
	Oid			relid = get_relname_relid(name, namespace);

	if (!OidIsValid(relid))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation \"tiktok.%s\" does not exist", name),
				 errhint("Undo the DROP or RENAME of this relation of extension tiktok_events, or create the extension again.")));
	return relid;
}

/*
 * Uses LOCKTAG_OBJECT with table delivery and the low 16 bits of source_id; core
 * takes no such lock.  Sources whose ids differ by 65536 share a lock.
 */
static LOCKTAG
decision_tag(int32 source_id)
{
	LOCKTAG		tag;

	SET_LOCKTAG_OBJECT(tag, MyDatabaseId, RelationRelationId, tte_relation("delivery"), (uint16) source_id);
	return tag;
}

void
tte_decision_begin(int32 source_id)
{
	LOCKTAG		tag = decision_tag(source_id);

	(void) LockAcquire(&tag, ShareLock, false, false);
}

bool
tte_no_decision(int32 source_id)
{
	LOCKTAG		tag = decision_tag(source_id);

	return LockAcquire(&tag, ExclusiveLock, false, true) != LOCKACQUIRE_NOT_AVAIL;
}

bool
tte_ascii_payload(void)
{
	return GetDatabaseEncoding() != PG_UTF8;
}

/*
 * pg_do_encoding_conversion_buf() stops at the first character without
 * equivalent.  Replace that character and continue behind it.
 */
static char *
convert(const char *string, int len, int from, int to, const char *replacement, int *out_len)
{
	Oid			proc = FindDefaultConversionProc(from, to);
	StringInfoData out;
	const char *end = string + len;

	initStringInfo(&out);
	while (string < end && OidIsValid(proc))
	{
		int			room = (end - string) * MAX_CONVERSION_GROWTH + 1;
		char	   *dest = palloc(room);
		int			done = pg_do_encoding_conversion_buf(proc, from, to, (unsigned char *) unconstify(char *, string),
														 end - string, (unsigned char *) dest, room, true);

		appendStringInfoString(&out, dest);
		pfree(dest);
		string += done;
		if (string < end)
		{
			appendStringInfoString(&out, replacement);
			string += Min(pg_encoding_mblen(from, string), end - string);
		}
	}
	*out_len = out.len;
	return out.data;
}

const char *
tte_to_utf8(const char *string, int len, int *utf8_len)
{
	int			encoding = GetDatabaseEncoding();

	*utf8_len = len;
	if (encoding == PG_UTF8 || encoding == PG_SQL_ASCII)
		return string;
	return convert(string, len, encoding, PG_UTF8, "\xEF\xBF\xBD", utf8_len);
}

char *
tte_from_utf8(const char *string, int len)
{
	int			encoding = GetDatabaseEncoding();
	int			copy_len;

	if (encoding == PG_UTF8 || encoding == PG_SQL_ASCII)
		return pnstrdup(string, len);
	return convert(string, len, PG_UTF8, encoding, "?", &copy_len);
}

int
tte_spi_execute_latest(const char *sql, int nargs, Oid *types, Datum *values, long count)
{
	SPIPlanPtr	plan = SPI_prepare(sql, nargs, types);
	Snapshot	snapshot;

	if (plan == NULL)
		elog(ERROR, "SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
	snapshot = IsolationUsesXactSnapshot() ? GetLatestSnapshot() : InvalidSnapshot;
	return SPI_execute_snapshot(plan, values, NULL, snapshot, InvalidSnapshot, false, true, count);
}

/* The server sets both again for the next statement. */
void
tte_hide_call(const char *str)
{
	pgstat_report_activity(STATE_RUNNING, str);
	if (debug_query_string != NULL)
		debug_query_string = str;
}

ErrorData *
tte_undo_subtransaction(MemoryContext context, ResourceOwner owner)
{
	ErrorData  *error;

	MemoryContextSwitchTo(context);
	error = CopyErrorData();
	FlushErrorState();
	RollbackAndReleaseCurrentSubTransaction();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return error;
}

void
tte_require_argument(FunctionCallInfo fcinfo, int argument, const char *name)
{
	if (PG_ARGISNULL(argument))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s must not be null", name),
				 tte_hide_statement()));
}

char *
tte_required_text(FunctionCallInfo fcinfo, int argument, const char *name)
{
	tte_require_argument(fcinfo, argument, name);
	return text_to_cstring(PG_GETARG_TEXT_PP(argument));
}
