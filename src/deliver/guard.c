/*-------------------------------------------------------------------------
 *
 * guard.c
 *	  Does somebody's code take part in what the worker writes?
 *
 * The worker writes with the rights of the extension's owner, who is a
 * superuser.  What would run in it then: a trigger that is enabled ALWAYS or
 * REPLICA, a rule, row security.  Only the owner of a table can add these, and
 * only he can add an index, a constraint, a default or a child table; so it
 * suffices that the owner is the extension's, and to catch what he did by
 * mistake.  Should any of it be there, the worker touches nothing until it is
 * gone.  Whoever has the privilege TRIGGER can add a trigger, too, but not enable
 * it for the worker: SECURITY.md.
 *
 * A change of a table sends a relcache message.  The catalogs are read after
 * one of these only, or to see whether the trouble is over: not all that ends it
 * sends one.
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
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/reltrigger.h"

#include "deliver/guard.h"
#include "server/catalog_check.h"

/* Those of which queue.c, read.c, request.c and purge.c speak. */
static const char *const tables[] = {
	"source", "access_token", "installation", "origin", "source_control", "source_state",
	"event", "identity", "request", "delivery", "retry", "cursor", "pixel_seen"
};

static Oid	table_oids[lengthof(tables)];
static bool changed = true;
static bool checked = false;	/* all tables, without an error */
static char problem[256];

PG_FUNCTION_INFO_V1(tte_sql_table_problem);

static void
relation_changed(Datum arg, Oid relid)
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
	CacheRegisterRelcacheCallback(relation_changed, (Datum) 0);
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

/* Ours call functions of ours, unconditionally. */
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
problem_of(Relation rel, Oid extension, Oid owner)
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
		found = problem_of(rel, extension, owner);
		relation_close(rel, AccessShareLock);
	}
	return found ? psprintf("table \"tiktok.%s\" %s", name, found) : NULL;
}

/* The first problem; NULL: there is none. */
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

/* A message that arrives meanwhile must not be lost: what it is about is looked at again. */
const char *
tte_guard_problem(Oid extension, Oid owner)
{
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
