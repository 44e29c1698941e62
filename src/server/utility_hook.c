/*-------------------------------------------------------------------------
 *
 * utility_hook.c
 *	  Makes the worker leave a database that is to be dropped, renamed, moved or
 *	  copied; counts the events that DROP EXTENSION drops; tells the worker of
 *	  ALTER EXTENSION.
 *
 * DROP DATABASE, ALTER DATABASE ... RENAME, SET TABLESPACE and CREATE DATABASE
 * ... TEMPLATE fail while somebody is connected to the database.  The user cannot
 * ask the worker to leave, so the utility hook does, if the user may run the
 * command at all.  It first takes the lock that the command will take, so that a
 * worker that is just starting waits.  The launcher pauses, and then checks
 * whether the database still exists.
 *
 * A worker idles while it does not know the version of the extension; ALTER
 * EXTENSION wakes it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_database.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_type_d.h"
#include "commands/dbcommands.h"
#include "commands/defrem.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"

#include "server/catalog_check.h"
#include "server/compat.h"
#include "server/counters.h"
#include "server/databases.h"
#include "server/slots.h"
#include "server/utility_hook.h"
#include "server/waitset.h"
#include "server/wakeup.h"

#define PATIENCE_MS	5000
#define SLEEP_MS		10

/* Stop counting a backlog here. */
#define COUNT_LIMIT	100000

static ProcessUtility_hook_type prev_hook = NULL;

/* The template of CREATE DATABASE. */
static const char *
template_of(CreatedbStmt *stmt)
{
	ListCell   *cell;

	foreach(cell, stmt->options)
	{
		DefElem    *option = lfirst_node(DefElem, cell);

		if (strcmp(option->defname, "template") == 0 && option->arg != NULL)
			return defGetString(option);
	}
	return "template1";
}

static bool
moves_database(AlterDatabaseStmt *stmt)
{
	ListCell   *cell;

	foreach(cell, stmt->options)
	{
		if (strcmp(lfirst_node(DefElem, cell)->defname, "tablespace") == 0)
			return true;
	}
	return false;
}

/* The database to which nobody may be connected during the command, or NULL. */
static const char *
database_of(Node *stmt)
{
	switch (nodeTag(stmt))
	{
		case T_DropdbStmt:
			return ((DropdbStmt *) stmt)->dbname;
		case T_CreatedbStmt:
			return template_of((CreatedbStmt *) stmt);
		case T_AlterDatabaseStmt:
			if (moves_database((AlterDatabaseStmt *) stmt))
				return ((AlterDatabaseStmt *) stmt)->dbname;
			return NULL;
		case T_RenameStmt:
			if (((RenameStmt *) stmt)->renameType == OBJECT_DATABASE)
				return ((RenameStmt *) stmt)->subname;
			return NULL;
		default:
			return NULL;
	}
}

static void
leave_database(const char *name, bool copy)
{
	Oid			oid = get_database_oid(name, true);
	TteSlot    *slot;

	/* the session's own database can be copied, but not dropped or altered so */
	if (!OidIsValid(oid) || (oid == MyDatabaseId && !copy) || RecoveryInProgress() ||
		!tte_database_ownercheck(oid, GetUserId()))
		return;
	LockSharedObject(DatabaseRelationId, oid, 0, copy ? ShareLock : AccessExclusiveLock);
	slot = tte_slot_of(oid);
	if (slot == NULL)
		return;
	tte_slot_stop(slot);

	/*
	 * after the worker has ended, the launcher may give its slot to another
	 * database
	 */
	for (int waited = 0; tte_slot_of(oid) == slot && tte_slot_busy(slot) && waited < PATIENCE_MS; waited += SLEEP_MS)
		tte_sleep(SLEEP_MS);
}

static bool
drops_extension(Node *stmt)
{
	ListCell   *cell;

	if (!IsA(stmt, DropStmt) || ((DropStmt *) stmt)->removeType != OBJECT_EXTENSION)
		return false;
	foreach(cell, ((DropStmt *) stmt)->objects)
	{
		if (strcmp(strVal(lfirst(cell)), "tiktok_events") == 0)
			return true;
	}
	return false;
}

static int64
count_open_events(void)
{
	static const char sql[] =
	"SELECT (SELECT count(*) FROM (SELECT FROM tiktok_internal.pending LIMIT $1) p) "
	"+ (SELECT count(*) FROM (SELECT FROM tiktok.retry LIMIT $1) r)";
	Oid			types[] = {INT8OID};
	Datum		values[] = {Int64GetDatum(COUNT_LIMIT + 1)};
	int			level = NewGUCNestLevel();
	bool		isnull;
	int64		n;

	(void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	SPI_connect();
	SPI_execute_with_args(sql, 1, types, values, NULL, false, 1);
	n = DatumGetInt64(tte_spi_value(0, 1, INT8OID, &isnull));
	SPI_finish();
	AtEOXact_GUC(true, level);
	return n;
}

/*
 * Counts events that are not final.  It must be possible to drop a broken
 * extension, so errors are caught by a subtransaction, except those that cancel
 * the statement.  Rolling it back also releases the locks.
 */
static int64
open_events(void)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData  *volatile error = NULL;
	volatile int64 n = 0;

	BeginInternalSubTransaction(NULL);
	PG_TRY();
	{
		n = count_open_events();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
	}
	PG_END_TRY();
	RollbackAndReleaseCurrentSubTransaction();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	if (error != NULL && ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_OPERATOR_INTERVENTION)
		ReThrowError(error);
	return n;
}

/* Events are counted before DROP EXTENSION, and only for a user who may drop it. */
static int64
before_command(Node *stmt)
{
	const char *database = database_of(stmt);
	Oid			extension;

	if (database != NULL)
		leave_database(database, IsA(stmt, CreatedbStmt));
	if (!drops_extension(stmt))
		return 0;
	extension = get_extension_oid("tiktok_events", true);
	if (!OidIsValid(extension) || !tte_extension_ownercheck(extension, GetUserId()))
		return 0;
	tte_stop_at_commit();
	return open_events();
}

static void
report_open_events(int64 n)
{
	if (n > COUNT_LIMIT)
		ereport(NOTICE,
				(errmsg("more than %d events that are not final are dropped with the extension", COUNT_LIMIT)));
	else if (n > 0)
		ereport(NOTICE,
				(errmsg_plural(INT64_FORMAT " event that is not final is dropped with the extension",
							   INT64_FORMAT " events that are not final are dropped with the extension",
							   n, n)));
}

static bool
updates_extension(Node *stmt)
{
	return IsA(stmt, AlterExtensionStmt) && strcmp(((AlterExtensionStmt *) stmt)->extname, "tiktok_events") == 0;
}

static void
process_utility(PlannedStmt *pstmt, const char *query, bool read_only_tree, ProcessUtilityContext context,
				ParamListInfo params, QueryEnvironment *env, DestReceiver *dest, QueryCompletion *qc)
{
	Node	   *stmt = pstmt->utilityStmt;
	int64		n = before_command(stmt);
	Oid			dropped = IsA(stmt, DropdbStmt) ? get_database_oid(((DropdbStmt *) stmt)->dbname, true) : InvalidOid;
	bool		updates = updates_extension(stmt);

	if (prev_hook)
		prev_hook(pstmt, query, read_only_tree, context, params, env, dest, qc);
	else
		standard_ProcessUtility(pstmt, query, read_only_tree, context, params, env, dest, qc);
	if (OidIsValid(dropped))
	{
		tte_counters_forget(dropped);
		tte_database_forget(dropped);
	}
	report_open_events(n);
	if (updates)
		tte_reconfigure_at_commit();
}

void
tte_utility_hook(void)
{
	prev_hook = ProcessUtility_hook;
	ProcessUtility_hook = process_utility;
}
