/*-------------------------------------------------------------------------
 *
 * condition.c
 *	  Conditions on a row of a table.
 *
 * A condition is given as text by the caller, or as the WHEN of a trigger, and
 * becomes text of a query or a CREATE TRIGGER.  It is parsed and deparsed in
 * between.  That guarantees that it is a single expression, binds its columns to
 * the row, and qualifies every function and operator with its schema.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "nodes/nodes.h"
#include "parser/parse_clause.h"
#include "parser/parse_collate.h"
#include "parser/parse_relation.h"
#include "parser/parser.h"
#include "rewrite/prs2lock.h"
#include "rewrite/rewriteManip.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/ruleutils.h"

#include "enqueue/newest.h"
#include "operate/condition.h"

/* Reports error positions in the condition, not in the user's statement. */
static void
locate_error(void *arg)
{
	int			position = geterrposition();

	if (position > 0)
	{
		errposition(0);
		internalerrposition(position);
		internalerrquery((const char *) arg);
	}
}

static void
not_an_expression(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_SYNTAX_ERROR),
			 errmsg("condition is not a single expression"),
			 errhint("Write a boolean expression over the columns of the row, as in status = 'paid'.")));
}

/* Accepts a SELECT list of one column, without any other clause. */
static Node *
single_expression(const char *expression)
{
	List	   *parsed = raw_parser(expression, RAW_PARSE_PLPGSQL_EXPR);
	SelectStmt *select = (SelectStmt *) linitial_node(RawStmt, parsed)->stmt;
	ResTarget  *target;

	if (!IsA(select, SelectStmt) || list_length(select->targetList) != 1 ||
		select->distinctClause || select->intoClause || select->fromClause || select->whereClause ||
		select->groupClause || select->havingClause || select->windowClause || select->sortClause ||
		select->limitOffset || select->limitCount || select->lockingClause || select->op != SETOP_NONE)
		not_an_expression();
	target = linitial_node(ResTarget, select->targetList);
	if (target->name != NULL || target->val == NULL)
		not_an_expression();
	return target->val;
}

Node *
tte_condition_parse(Relation rel, const char *expression, ParseExprKind kind)
{
	ErrorContextCallback callback = {error_context_stack, locate_error, unconstify(char *, expression)};
	ParseState *pstate = make_parsestate(NULL);
	ParseNamespaceItem *row;
	Node	   *condition;

	pstate->p_sourcetext = expression;
	error_context_stack = &callback;
	row = addRangeTableEntryForRelation(pstate, rel, AccessShareLock, makeAlias(TTE_ROW_NAME, NIL), false, true);
	addNSItemToQuery(pstate, row, false, true, true);
	condition = transformWhereClause(pstate, single_expression(expression), kind, "WHEN");
	assign_expr_collations(pstate, condition);
	error_context_stack = callback.previous;
	free_parsestate(pstate);
	return condition;
}

char *
tte_condition_text(Relation rel, Node *condition, const char *row)
{
	int			level = NewGUCNestLevel();
	char	   *deparsed;

	(void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	deparsed = deparse_expression(condition, deparse_context_for(row, RelationGetRelid(rel)), true, false);
	AtEOXact_GUC(true, level);
	return deparsed;
}

Node *
tte_condition_of_trigger(const Trigger *trigger, bool *transition)
{
	List	   *rest = tte_when_without_old(trigger);

	*transition = trigger->tgqual != NULL && list_length(make_ands_implicit(stringToNode(trigger->tgqual))) > list_length(rest);
	if (rest == NIL)
		return NULL;
	ChangeVarNodes((Node *) rest, PRS2_NEW_VARNO, 1, 0);
	return (Node *) make_ands_explicit(rest);
}
