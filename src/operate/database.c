/*-------------------------------------------------------------------------
 *
 * database.c
 *	  Leaves a database that is to be dropped, renamed, moved or copied.
 *
 * These commands fail while anybody is connected to the database.  A worker is
 * not somebody the user could ask to go, so a utility hook does, if the user
 * may give the command at all.  The launcher stays away for a moment and then
 * finds out whether the database is still there.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_database.h"
#include "commands/dbcommands.h"
#include "commands/defrem.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/wait_event.h"

#include "compat.h"
#include "operate/database.h"
#include "shared.h"

#define PATIENCE_MS	5000
#define NAP_MS		10

static ProcessUtility_hook_type prev_hook = NULL;

/* The template that CREATE DATABASE names, or NULL. */
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
	return NULL;
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

/* The database that the command needs for itself, or NULL. */
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
nap(void)
{
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, NAP_MS, PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}

static void
leave_database(const char *name)
{
	Oid			oid = get_database_oid(name, true);
	TteSlot    *slot = OidIsValid(oid) ? tte_slot_of(oid) : NULL;

	if (slot == NULL || !tte_database_ownercheck(oid, GetUserId()))
		return;
	tte_slot_stop(slot);
	for (int waited = 0; tte_slot_busy(slot) && waited < PATIENCE_MS; waited += NAP_MS)
		nap();
}

static void
process_utility(PlannedStmt *pstmt, const char *query, bool read_only_tree, ProcessUtilityContext context,
				ParamListInfo params, QueryEnvironment *env, DestReceiver *dest, QueryCompletion *qc)
{
	const char *database = database_of(pstmt->utilityStmt);
	Oid			dropped = InvalidOid;

	if (database != NULL)
		leave_database(database);
	if (IsA(pstmt->utilityStmt, DropdbStmt))
		dropped = get_database_oid(database, true);
	if (prev_hook)
		prev_hook(pstmt, query, read_only_tree, context, params, env, dest, qc);
	else
		standard_ProcessUtility(pstmt, query, read_only_tree, context, params, env, dest, qc);
	if (OidIsValid(dropped))
		tte_counters_forget(dropped);
}

void
tte_database_hook(void)
{
	prev_hook = ProcessUtility_hook;
	ProcessUtility_hook = process_utility;
}
