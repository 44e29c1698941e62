/*-------------------------------------------------------------------------
 *
 * guard.c
 *	  Are the tables of the extension as it made them?
 *
 * The worker writes with the rights of the extension's owner, who is a
 * superuser.  A trigger, a rule, a policy, an expression of an index or of a
 * constraint, or a child table that somebody has added to its tables would do
 * something there that the worker does not know of.  Nobody but the owner is
 * able to add them; should it happen all the same, the worker touches nothing
 * until they are gone.
 *
 * A change of a table sends a relcache message.  The catalogs are read after
 * one of these only, or to see whether the trouble is over: not all that ends it
 * sends one.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/transam.h"
#include "catalog/dependency.h"
#include "catalog/pg_class.h"
#include "catalog/pg_index.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_policy.h"
#include "catalog/pg_proc.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/relcache.h"

#include "deliver/guard.h"
#include "server/common.h"

/* Those of which deliver/queue.c and deliver/purge.c speak. */
static const char *const tables[] = {
	"source", "access_token", "installation", "source_control", "source_state",
	"event", "identity", "request", "delivery", "retry", "cursor", "pixel_seen"
};

/* Indexes of ours that have an expression or a condition. */
static const char *const own_indexes[] = {"request_open", "event_hour", "pixel_seen_hour"};

static Oid	table_oids[lengthof(tables)];
static bool changed = true;
static bool checked = false;	/* all tables, without an error */
static char problem[256];

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

/* While REINDEX CONCURRENTLY builds an index anew, there is another one of a name made of its own. */
static bool
is_own_index(Relation index)
{
	const char *name = RelationGetRelationName(index);

	for (int i = 0; i < lengthof(own_indexes); i++)
	{
		size_t		len = strlen(own_indexes[i]);

		if (strncmp(name, own_indexes[i], len) == 0 &&
			(name[len] == '\0' || strncmp(name + len, "_ccnew", 6) == 0 || strncmp(name + len, "_ccold", 6) == 0))
			return true;
	}
	return false;
}

static bool
is_foreign_function(Oid function, void *context)
{
	return function >= FirstNormalObjectId;
}

static bool
calls_foreign_function(Node *node, void *context)
{
	if (node == NULL)
		return false;
	return check_functions_in_node(node, is_foreign_function, context) ||
		expression_tree_walker(node, calls_foreign_function, context);
}

static bool
is_foreign_index(Oid relid)
{
	Relation	index = relation_open(relid, AccessShareLock);
	bool		foreign = (!heap_attisnull(index->rd_indextuple, Anum_pg_index_indexprs, NULL) ||
						   !heap_attisnull(index->rd_indextuple, Anum_pg_index_indpred, NULL)) && !is_own_index(index);

	foreign |= calls_foreign_function((Node *) RelationGetIndexExpressions(index), NULL) ||
		calls_foreign_function((Node *) RelationGetIndexPredicate(index), NULL);
	for (int i = 0; i < IndexRelationGetNumberOfKeyAttributes(index); i++)
		foreign |= index->rd_opfamily[i] >= FirstNormalObjectId;
	relation_close(index, AccessShareLock);
	return foreign;
}

/* Ours call functions of ours; and a foreign key between two tables of ours is checked by triggers. */
static bool
is_foreign_trigger(const Trigger *trigger, Oid extension)
{
	if (trigger->tgisinternal)
		return getExtensionOfObject(RelationRelationId, trigger->tgconstrrelid) != extension;
	return getExtensionOfObject(ProcedureRelationId, trigger->tgfoid) != extension || trigger->tgqual != NULL ||
		strcmp(get_func_name(trigger->tgfoid), "track_row") == 0;
}

static bool
has_foreign_trigger(Relation rel, Oid extension)
{
	for (int i = 0; rel->trigdesc != NULL && i < rel->trigdesc->numtriggers; i++)
	{
		if (is_foreign_trigger(&rel->trigdesc->triggers[i], extension))
			return true;
	}
	return false;
}

static bool
has_foreign_index(Relation rel)
{
	List	   *indexes = RelationGetIndexList(rel);
	ListCell   *cell;

	foreach(cell, indexes)
	{
		if (is_foreign_index(lfirst_oid(cell)))
			return true;
	}
	return false;
}

static bool
has_foreign_expression(Relation rel)
{
	const TupleConstr *constr = RelationGetDescr(rel)->constr;

	for (int i = 0; constr != NULL && i < constr->num_check; i++)
	{
		if (calls_foreign_function(stringToNode(constr->check[i].ccbin), NULL))
			return true;
	}
	for (int i = 0; constr != NULL && i < constr->num_defval; i++)
	{
		if (calls_foreign_function(stringToNode(constr->defval[i].adbin), NULL))
			return true;
	}
	return false;
}

static bool
has_policy(Oid relid)
{
	Relation	policies = table_open(PolicyRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	bool		found;

	ScanKeyInit(&key, Anum_pg_policy_polrelid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(relid));
	scan = systable_beginscan(policies, PolicyPolrelidPolnameIndexId, true, NULL, 1, &key);
	found = HeapTupleIsValid(systable_getnext(scan));
	systable_endscan(scan);
	table_close(policies, AccessShareLock);
	return found;
}

static const char *
problem_of(Relation rel, Oid extension, Oid owner)
{
	Oid			relid = RelationGetRelid(rel);

	if (rel->rd_rel->relkind != RELKIND_RELATION || getExtensionOfObject(RelationRelationId, relid) != extension)
		return "is not the extension's own";
	if (rel->rd_rel->relowner != owner)
		return "has another owner than the extension";
	if (rel->rd_rules != NULL)
		return "has a rule";
	if (rel->rd_rel->relrowsecurity || rel->rd_rel->relforcerowsecurity || has_policy(relid))
		return "has a policy";
	if (has_superclass(relid) || find_inheritance_children(relid, NoLock) != NIL)
		return "has a parent or a child table";
	if (has_foreign_trigger(rel, extension))
		return "has a trigger that is not the extension's own";
	if (has_foreign_index(rel))
		return "has an index that is not the extension's own, with an expression, a condition or an operator class";
	if (has_foreign_expression(rel))
		return "has a constraint or a default that calls a function";
	return NULL;
}

static void
check_table(int i, Oid extension, Oid owner)
{
	Relation	rel;
	const char *found;

	table_oids[i] = tte_relation(tables[i]);
	rel = relation_open(table_oids[i], AccessShareLock);
	found = problem_of(rel, extension, owner);
	relation_close(rel, AccessShareLock);
	if (found != NULL && problem[0] == '\0')
		snprintf(problem, sizeof(problem), "table \"tiktok.%s\" %s", tables[i], found);
}

/* A message that arrives meanwhile must not be lost: what it is about is looked at again. */
const char *
tte_guard_problem(Oid extension, Oid owner)
{
	if (changed || !checked || problem[0] != '\0')
	{
		problem[0] = '\0';
		changed = false;
		checked = false;
		for (int i = 0; i < lengthof(tables); i++)
		{
			CHECK_FOR_INTERRUPTS();
			check_table(i, extension, owner);
		}
		checked = true;
	}
	return problem[0] ? problem : NULL;
}
