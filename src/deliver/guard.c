/*-------------------------------------------------------------------------
 *
 * guard.c
 *	  Checks that no user code would run in the worker.
 *
 * The worker writes with the rights of the extension's owner, who is a
 * superuser.  User code would run in it by a trigger that is enabled ALWAYS or
 * REPLICA, a rule, or row security.  Only the owner of a table can add these, or
 * an index, a constraint, a default or a child table.  So it is enough to check
 * that the tables have the extension's owner, and to catch mistakes of that
 * owner.  While the check fails, the worker reads and writes no table.  A role
 * with the privilege TRIGGER can add a trigger, too, but cannot enable it for the
 * worker: see SECURITY.md.
 *
 * A change of a table sends a relcache message.  The catalogs are read after
 * such a message, and while there is a problem, because not everything that ends
 * a problem sends a message.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_trigger.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/reltrigger.h"

#include "deliver/guard.h"
#include "server/catalog_check.h"
#include "server/invalidation.h"

/* The tables that the worker uses. */
static const char *const tables[] = {
	"source", "access_token", "installation", "config_origin", "source_control", "source_state",
	"event", "identity", "request", "delivery", "retry", "cursor", "pixel_seen"
};

static Oid	table_oids[lengthof(tables)];
static bool changed = true;
static bool checked = false;	/* all tables, without an error */
static char problem[256];
static Oid	checked_extension;
static Oid	checked_owner;

PG_FUNCTION_INFO_V1(tte_sql_table_problem);

static void
invalidate_guard(Datum arg, Oid relid)
{
	for (int i = 0; i < lengthof(tables); i++)
	{
		if (!OidIsValid(relid) || relid == table_oids[i])
			changed = true;
	}
}

void
tte_guard_attach(void)
{
	tte_on_relation_change(invalidate_guard);
}

/*
 * The worker's session is a replica, so that ordinary triggers, those of foreign
 * keys among them, do not fire in it.
 */
static bool
fires_in_worker(const Trigger *trigger)
{
	return trigger->tgenabled == TRIGGER_FIRES_ON_REPLICA || trigger->tgenabled == TRIGGER_FIRES_ALWAYS;
}

/* The extension's own triggers call its functions, without WHEN, but never track_row(). */
static bool
is_foreign_trigger(const Trigger *trigger, Oid extension)
{
	return getExtensionOfObject(ProcedureRelationId, trigger->tgfoid) != extension || trigger->tgqual != NULL ||
		strcmp(get_func_name(trigger->tgfoid), "track_row") == 0;
}

static bool
has_foreign_trigger(Relation rel, Oid extension)
{
	for (int i = 0; rel->trigdesc != NULL && i < rel->trigdesc->numtriggers; i++)
	{
		const Trigger *trigger = &rel->trigdesc->triggers[i];

		if (fires_in_worker(trigger) && is_foreign_trigger(trigger, extension))
			return true;
	}
	return false;
}

static const char *
table_problem(Relation rel, Oid extension, Oid owner)
{
	const char *shape = tte_own_table_problem(rel);

	if (rel->rd_rel->relkind != RELKIND_RELATION ||
		getExtensionOfObject(RelationRelationId, RelationGetRelid(rel)) != extension)
		return "is not the extension's own";
	if (rel->rd_rel->relowner != owner)
		return "has another owner than the extension";
	if (rel->rd_rules != NULL)
		return "has a rule";
	if (rel->rd_rel->relrowsecurity || rel->rd_rel->relforcerowsecurity)
		return "has row security";
	if (shape != NULL)
		return shape;
	if (has_foreign_trigger(rel, extension))
		return "has a trigger, enabled ALWAYS or REPLICA, that is not the extension's own";
	return NULL;
}

static const char *
problem_of_table(const char *name, Oid relid, Oid extension, Oid owner)
{
	Relation	rel;
	const char *found = "does not exist";

	if (OidIsValid(relid))
	{
		rel = relation_open(relid, AccessShareLock);
		found = table_problem(rel, extension, owner);
		relation_close(rel, AccessShareLock);
	}
	return found ? psprintf("table \"tiktok.%s\" %s", name, found) : NULL;
}

/* Returns the first problem; NULL: none. */
static const char *
find_problem(Oid extension, Oid owner)
{
	const char *first = NULL;

	for (int i = 0; i < lengthof(tables); i++)
	{
		const char *found;

		CHECK_FOR_INTERRUPTS();
		table_oids[i] = get_relname_relid(tables[i], get_namespace_oid("tiktok", false));
		found = problem_of_table(tables[i], table_oids[i], extension, owner);
		first = first ? first : found;
	}
	return first;
}

const char *
tte_guard_problem_of(const char *const *names, int n)
{
	for (int i = 0; i < n; i++)
	{
		const char *found = problem_of_table(names[i], get_relname_relid(names[i], get_namespace_oid("tiktok", false)),
											 checked_extension, checked_owner);

		if (found != NULL)
			return found;
	}
	return NULL;
}

/* Clears "changed" first, so that a message that arrives meanwhile causes another check. */
const char *
tte_guard_problem(Oid extension, Oid owner)
{
	checked_extension = extension;
	checked_owner = owner;
	if (changed || !checked || problem[0] != '\0')
	{
		const char *found;

		changed = false;
		checked = false;
		found = find_problem(extension, owner);
		strlcpy(problem, found ? found : "", sizeof(problem));
		checked = true;
	}
	return problem[0] ? problem : NULL;
}

Datum
tte_sql_table_problem(PG_FUNCTION_ARGS)
{
	const char *found = find_problem(PG_GETARG_OID(0), PG_GETARG_OID(1));

	if (found == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(found));
}
