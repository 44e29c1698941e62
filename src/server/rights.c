/*-------------------------------------------------------------------------
 *
 * rights.c
 *	  With whose rights user code runs when functions of the extension call it.
 *
 * Reading a relation runs code of its owner: functions in a view, checks of a
 * domain, casts, index expressions evaluated by the planner.  If a superuser
 * reads it by one of our functions, that code must not run as superuser.  So,
 * after checking that the caller may read, the relation is read as its owner.
 * The caller must not gain rights of the owner either, so relations whose rows
 * depend on the reader are refused.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "catalog/namespace.h"
#include "catalog/objectaddress.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_namespace.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "nodes/parsenodes.h"
#include "rewrite/rewriteHandler.h"
#include "utils/acl.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rls.h"

#include "server/compat.h"
#include "server/rights.h"

void
tte_rights_take(Oid role, const char *search_path, TteRights *saved)
{
	GetUserIdAndSecContext(&saved->role, &saved->sec_context);
	SetUserIdAndSecContext(role, saved->sec_context | SECURITY_RESTRICTED_OPERATION);
	saved->guc_level = NewGUCNestLevel();
	if (search_path != NULL)
		(void) set_config_option("search_path", search_path, PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
}

void
tte_rights_give_back(const TteRights *saved)
{
	AtEOXact_GUC(false, saved->guc_level);
	SetUserIdAndSecContext(saved->role, saved->sec_context);
}

bool
tte_has_rights_of_owner(Relation rel)
{
	return has_privs_of_role(GetUserId(), rel->rd_rel->relowner);
}

static bool
is_listed(const char *name, const char *const *columns)
{
	for (; columns && *columns; columns++)
	{
		if (strcmp(*columns, name) == 0)
			return true;
	}
	return columns == NULL;
}

static bool
may_select(Relation rel, const char *const *columns)
{
	TupleDesc	desc = RelationGetDescr(rel);

	if (tte_namespace_aclcheck(RelationGetNamespace(rel), GetUserId()) != ACLCHECK_OK)
		return false;
	if (pg_class_aclcheck(RelationGetRelid(rel), GetUserId(), ACL_SELECT) == ACLCHECK_OK)
		return true;
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (!att->attisdropped && is_listed(NameStr(att->attname), columns) &&
			pg_attribute_aclcheck(RelationGetRelid(rel), att->attnum, GetUserId(), ACL_SELECT) != ACLCHECK_OK)
			return false;
	}
	return true;
}

/* Does row security apply to the current user or to the owner? */
static bool
has_row_security(Relation rel)
{
	return check_enable_rls(RelationGetRelid(rel), GetUserId(), true) == RLS_ENABLED ||
		check_enable_rls(RelationGetRelid(rel), rel->rd_rel->relowner, true) == RLS_ENABLED;
}

/* A foreign table's rows depend on the reader's user mapping. */
static bool
has_foreign_table(Relation rel)
{
	List	   *tables = rel->rd_rel->relhassubclass ? find_all_inheritors(RelationGetRelid(rel), AccessShareLock, NULL) : NIL;
	ListCell   *cell;

	if (rel->rd_rel->relkind == RELKIND_FOREIGN_TABLE)
		return true;
	foreach(cell, tables)
	{
		if (get_rel_relkind(lfirst_oid(cell)) == RELKIND_FOREIGN_TABLE)
			return true;
	}
	return false;
}

static bool
is_of_user(Oid function, void *context)
{
	return function == F_CURRENT_USER || function == F_PG_HAS_ROLE_NAME_TEXT || function == F_PG_HAS_ROLE_OID_TEXT;
}

static bool
asks_for_user(Node *node)
{
	if (IsA(node, SQLValueFunction))
	{
		SQLValueFunctionOp op = ((SQLValueFunction *) node)->op;

		return op == SVFOP_CURRENT_ROLE || op == SVFOP_CURRENT_USER || op == SVFOP_USER;
	}
	return check_functions_in_node(node, is_of_user, NULL);
}

static bool view_depends_on_reader(Relation view);

/* Below a view: its owner is whom policies and user mappings know, but the reader is current_user in policies. */
static bool
below_depends_on_reader(Oid relid, Oid owner)
{
	Relation	rel = relation_open(relid, AccessShareLock);
	bool		depends = check_enable_rls(relid, owner, true) == RLS_ENABLED;

	if (!depends && rel->rd_rel->relkind == RELKIND_VIEW)
		depends = view_depends_on_reader(rel);
	relation_close(rel, AccessShareLock);
	return depends;
}

static bool
depends_walker(Node *node, void *context)
{
	Relation	view = context;
	ListCell   *cell;

	if (node == NULL)
		return false;
	if (asks_for_user(node))
		return true;
	if (!IsA(node, Query))
		return expression_tree_walker(node, depends_walker, context);
	foreach(cell, ((Query *) node)->rtable)
	{
		RangeTblEntry *rte = lfirst_node(RangeTblEntry, cell);

		/* until PostgreSQL 16, a view is in its own range table */
		if (rte->rtekind == RTE_RELATION && rte->relid != RelationGetRelid(view) &&
			below_depends_on_reader(rte->relid, view->rd_rel->relowner))
			return true;
	}
	return query_tree_walker((Query *) node, depends_walker, context, 0);
}

/* Functions may ask, too, who reads; what they answer to the owner is his to know. */
static bool
view_depends_on_reader(Relation view)
{
	check_stack_depth();
	return RelationHasSecurityInvoker(view) || depends_walker((Node *) get_view_query(view), view);
}

/*
 * A view with the rights of its reader, or that has one below it, or asks who
 * he is; a foreign table, which knows him by his user mapping.
 */
static bool
depends_on_reader(Relation rel)
{
	return rel->rd_rel->relkind == RELKIND_VIEW ? view_depends_on_reader(rel) : has_foreign_table(rel);
}

TteReading
tte_reading(Relation rel, const char *const *columns)
{
	if (!may_select(rel, columns))
		return TTE_READING_PRIVILEGE;
	if (has_row_security(rel))
		return TTE_READING_ROW_SECURITY;
	if (superuser_arg(rel->rd_rel->relowner) && !superuser())
		return TTE_READING_SUPERUSER;
	if (!tte_has_rights_of_owner(rel) && depends_on_reader(rel))
		return TTE_READING_BY_READER;
	return TTE_READING_ALLOWED;
}

void
tte_reading_refuse(Relation rel, TteReading why)
{
	const char *name = RelationGetRelationName(rel);

	if (why == TTE_READING_PRIVILEGE && tte_namespace_aclcheck(RelationGetNamespace(rel), GetUserId()) != ACLCHECK_OK)
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_SCHEMA, get_namespace_name(RelationGetNamespace(rel)));
	if (why == TTE_READING_PRIVILEGE)
		aclcheck_error(ACLCHECK_NO_PRIV, get_relkind_objtype(rel->rd_rel->relkind), name);
	if (why == TTE_READING_ROW_SECURITY)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("rows of \"%s\" are not read, because it has row security", name),
				 errdetail("Rows are read as the owner, but policies decide which of them a role may see."),
				 errhint("Use a view of the rows that may be seen, or let both the caller and the owner bypass row security.")));
	if (why == TTE_READING_SUPERUSER)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("rows of \"%s\" are not read, because a superuser owns it", name),
				 errdetail("Rows are read as the owner, and only a superuser may read as a superuser."),
				 errhint("Change the owner to a role that is not a superuser.")));
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("rows of \"%s\" are not read, because they depend on who reads it", name),
			 errdetail("Rows are read as the owner, but \"%s\" is a view with security_invoker or a foreign table, or has below it one or a table with row security, or asks for current_user.", name),
			 errhint("Use a view without these, or call this as a member of the owner's role.")));
}
