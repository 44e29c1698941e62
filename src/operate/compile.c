/*-------------------------------------------------------------------------
 *
 * compile.c
 *	  From a query over other tables, and paths along foreign keys, to the
 *	  function that a trigger of tiktok.track_row() reads them by.
 *
 * The function takes the columns of the row that are used, one scalar each: one
 * that took the row's type would forbid that the table is altered.  Its body is
 * parsed when it is made, so that nothing in it depends on the search_path of
 * whoever writes the row, and PostgreSQL knows which columns of other tables it
 * needs.
 *
 * The query is parsed alone first, so that it is known to be one SELECT, and
 * analysed within the statement that the function will have, with all columns
 * of the row in reach: that tells which of them it uses.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/partition.h"
#include "catalog/pg_class.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "parser/analyze.h"
#include "parser/parsetree.h"
#include "parser/parser.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/catcache.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/syscache.h"

#include "access/relation.h"
#include "enqueue/mapping.h"
#include "event/catalog.h"
#include "operate/compile.h"
#include "server/compat.h"
#include "server/rights.h"

/* A table that is reached along foreign keys. */
typedef struct Joined
{
	const char *path;			/* of columns */
	Oid			table;
	char	   *alias;
} Joined;

typedef struct Compiler
{
	Relation	rel;
	char	   *query;			/* without what follows the SELECT, or NULL */
	StringInfoData columns;		/* of the function, without the query's */
	StringInfoData joins;
	List	   *joined;			/* of Joined */
	bool	   *used;			/* by number of column: is it a parameter? */
	AttrNumber *seen;			/* columns of the row, as the analysis numbers
								 * them */
	Query	   *analysed;
	List	   *tables;
} Compiler;

typedef struct Search
{
	Compiler   *c;
	int			depth;			/* 0: the statement around the query */
} Search;

/*
 * The query alone
 */

static void
refuse_query(const char *detail, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid query"),
			 errdetail("%s", detail),
			 errhint("%s", hint)));
}

/* Positions of errors are in the query, not in the user's statement. */
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

static char *
single_select(const char *query)
{
	ErrorContextCallback callback = {error_context_stack, locate_error, unconstify(char *, query)};
	List	   *parsed;
	RawStmt    *statement;

	error_context_stack = &callback;
	parsed = raw_parser(query, RAW_PARSE_DEFAULT);
	error_context_stack = callback.previous;
	if (list_length(parsed) != 1 || !IsA(linitial_node(RawStmt, parsed)->stmt, SelectStmt))
		refuse_query("It is not a single SELECT.", "Write one SELECT over other tables, in which new is the row.");
	statement = linitial_node(RawStmt, parsed);
	return statement->stmt_len > 0 ? pnstrdup(query + statement->stmt_location, statement->stmt_len) :
		pstrdup(query + statement->stmt_location);
}

/*
 * Paths along foreign keys
 */

/* For a referenced partitioned table each partition has a constraint, too. */
static bool
is_part_of_another(Oid constraint, Oid table)
{
	HeapTuple	tuple = SearchSysCache1(CONSTROID, ObjectIdGetDatum(constraint));
	Oid			parent = HeapTupleIsValid(tuple) ? ((Form_pg_constraint) GETSTRUCT(tuple))->conparentid : InvalidOid;
	bool		same = false;

	if (HeapTupleIsValid(tuple))
		ReleaseSysCache(tuple);
	if (OidIsValid(parent) && HeapTupleIsValid(tuple = SearchSysCache1(CONSTROID, ObjectIdGetDatum(parent))))
	{
		same = ((Form_pg_constraint) GETSTRUCT(tuple))->conrelid == table;
		ReleaseSysCache(tuple);
	}
	return same;
}

static bool
has_column(const ForeignKeyCacheInfo *key, AttrNumber attno)
{
	for (int i = 0; i < key->nkeys; i++)
	{
		if (key->conkey[i] == attno)
			return true;
	}
	return false;
}

static void
refuse_key(const TteArrow *arrow, const char *table, const char *column, List *keys)
{
	StringInfoData names;
	ListCell   *cell;

	initStringInfo(&names);
	foreach(cell, keys)
		appendStringInfo(&names, "%s\"%s\"", names.len ? ", " : "", get_constraint_name(((ForeignKeyCacheInfo *) lfirst(cell))->conoid));
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("path \"%s\" cannot be followed", arrow->path),
			 keys == NIL ? errdetail("Column \"%s\" of table \"%s\" has no foreign key.", column, table) :
			 errdetail("Column \"%s\" of table \"%s\" does not have one foreign key of its own, but: %s.", column, table, names.data),
			 errhint("Write a query that joins the table.")));
}

static const ForeignKeyCacheInfo *
find_key(const TteArrow *arrow, Relation rel, AttrNumber attno)
{
	List	   *keys = NIL;
	ListCell   *cell;

	foreach(cell, RelationGetFKeyList(rel))
	{
		ForeignKeyCacheInfo *key = lfirst(cell);

		if (has_column(key, attno) && !is_part_of_another(key->conoid, RelationGetRelid(rel)))
			keys = lappend(keys, key);
	}
	if (list_length(keys) != 1 || ((ForeignKeyCacheInfo *) linitial(keys))->nkeys != 1)
		refuse_key(arrow, RelationGetRelationName(rel), NameStr(TupleDescAttr(RelationGetDescr(rel), attno - 1)->attname), keys);
	return linitial(keys);
}

static AttrNumber
require_column(const TteArrow *arrow, Relation rel, const char *name)
{
	AttrNumber	attno = tte_find_column(RelationGetDescr(rel), name);
	const char *hint;

	if (attno != InvalidAttrNumber)
		return attno;
	hint = tte_column_hint(RelationGetDescr(rel), name, name);
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_COLUMN),
			 errmsg("path \"%s\" cannot be followed", arrow->path),
			 errdetail("Table \"%s\" has no column \"%s\".", RelationGetRelationName(rel), name),
			 hint ? errhint("%s", hint) : 0));
}

static char *
column_name(Relation rel, AttrNumber attno)
{
	return pstrdup(quote_identifier(NameStr(TupleDescAttr(RelationGetDescr(rel), attno - 1)->attname)));
}

static char *
relation_name(Oid relid)
{
	return quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)), get_rel_name(relid));
}

static char *
operator_name(Oid operator)
{
	List	   *names;
	List	   *types;

	format_operator_parts(operator, &names, &types, false);
	return psprintf("OPERATOR(%s.%s)", quote_identifier(linitial(names)), (char *) lsecond(names));
}

/* The table behind a column that is a foreign key; joined once, whoever needs it. */
static Joined *
follow(Compiler *c, const TteArrow *arrow, Relation rel, const char *alias, const char *path, const char *column)
{
	AttrNumber	attno = require_column(arrow, rel, column);
	const ForeignKeyCacheInfo *key = find_key(arrow, rel, attno);
	Relation	referenced;
	Joined	   *join;
	ListCell   *cell;

	foreach(cell, c->joined)
	{
		join = lfirst(cell);
		if (strcmp(join->path, path) == 0)
			return join;
	}
	referenced = relation_open(key->confrelid, AccessShareLock);
	join = palloc(sizeof(Joined));
	join->path = path;
	join->table = key->confrelid;
	join->alias = psprintf("join_%d", list_length(c->joined) + 1);
	c->joined = lappend(c->joined, join);
	appendStringInfo(&c->joins, " LEFT JOIN %s %s ON %s.%s %s %s.%s", relation_name(key->confrelid), join->alias,
					 join->alias, column_name(referenced, key->confkey[0]), operator_name(key->conpfeqop[0]),
					 alias, column_name(rel, attno));
	relation_close(referenced, NoLock);
	return join;
}

static void
add_arrow(Compiler *c, const TteArrow *arrow)
{
	Relation	rel = c->rel;
	const char *alias = "new";
	const char *path = "";

	for (int i = 0; i < arrow->hops; i++)
	{
		const char *column = list_nth(arrow->parts, i);
		Joined	   *join;

		path = psprintf("%s->%s", path, quote_identifier(column));
		join = follow(c, arrow, rel, alias, path, column);
		if (rel != c->rel)
			relation_close(rel, NoLock);
		rel = relation_open(join->table, AccessShareLock);
		alias = join->alias;
	}
	appendStringInfo(&c->columns, "%s%s.%s AS %s", c->columns.len ? ", " : "", alias,
					 column_name(rel, require_column(arrow, rel, list_nth(arrow->parts, arrow->hops))), quote_identifier(arrow->name));
	relation_close(rel, NoLock);
}

/*
 * The statement
 */

/* A column that is computed when it is read is not there yet. */
static bool
is_seen(Form_pg_attribute att)
{
	return !att->attisdropped && att->attgenerated != TTE_ATTRIBUTE_GENERATED_VIRTUAL;
}

/* With parameters for the columns that are used, in their order. */
static char *
statement(const Compiler *c)
{
	TupleDesc	desc = RelationGetDescr(c->rel);
	StringInfoData sql;
	int			n = 0;

	initStringInfo(&sql);
	appendStringInfo(&sql, "SELECT %s%s%s FROM (SELECT", c->columns.data, c->columns.len && c->query ? ", " : "", c->query ? "query.*" : "");
	for (int i = 0; i < desc->natts; i++)
	{
		if (c->used[i])
			appendStringInfo(&sql, "%s $%d AS %s", n > 0 ? "," : "", n + 1, column_name(c->rel, i + 1));
		n += c->used[i];
	}
	appendStringInfoString(&sql, ") new");
	if (c->query != NULL)
		appendStringInfo(&sql, " CROSS JOIN LATERAL (\n%s\n) query", c->query);
	appendStringInfoString(&sql, c->joins.data);
	return sql.data;
}

static Query *
analyse(const char *sql, const Oid *types, int n)
{
	ErrorContextCallback callback = {error_context_stack, locate_error, unconstify(char *, sql)};
	Query	   *query;

	error_context_stack = &callback;
	query = parse_analyze_fixedparams(linitial_node(RawStmt, raw_parser(sql, RAW_PARSE_DEFAULT)), sql, types, n, NULL);
	error_context_stack = callback.previous;
	return query;
}

static void
check_relation(const RangeTblEntry *rte, Search *search)
{
	if (search->depth > 0 && rte->eref != NULL && strcmp(rte->eref->aliasname, "new") == 0)
		refuse_query("It has a table or an alias of the name \"new\".", "That is the name of the row: give another alias.");
	if (rte->rtekind != RTE_RELATION)
		return;
	if (get_rel_persistence(rte->relid) == RELPERSISTENCE_TEMP)
		refuse_query(psprintf("Table \"%s\" is temporary.", get_rel_name(rte->relid)), "Only this session sees it.");
	search->c->tables = list_append_unique_oid(search->c->tables, rte->relid);
}

static void
use_column(Compiler *c, const Var *var)
{
	if (var->varattno <= 0)
		refuse_query("It uses the row as a whole.", "Name the columns, as in new.total.");
	c->used[c->seen[var->varattno - 1] - 1] = true;
}

/* Marks the columns of the row that are used, and refuses what cannot be run. */
static bool
search_walker(Node *node, void *arg)
{
	Search	   *search = arg;
	bool		found;

	if (node == NULL)
		return false;
	if (IsA(node, Var) && ((Var *) node)->varno == 1 && (int) ((Var *) node)->varlevelsup == search->depth)
		use_column(search->c, (Var *) node);
	if (IsA(node, Param) && ((Param *) node)->paramkind == PARAM_EXTERN)
		refuse_query("It has a parameter.", "Only the row, new, is known to it.");
	if (IsA(node, Query))
	{
		Query	   *query = (Query *) node;
		ListCell   *cell;

		search->depth++;
		foreach(cell, query->rtable)
			check_relation(lfirst(cell), search);
		if (query->rowMarks != NIL)
			refuse_query("It locks rows.", "Leave FOR UPDATE or FOR SHARE out.");
		found = query_tree_walker(query, search_walker, search, 0);
		search->depth--;
		return found;
	}
	return expression_tree_walker(node, search_walker, search);
}

/* The first of the relations in the statement is the row. */
static void
find_used(Compiler *c)
{
	Search		search = {c, 0};
	ListCell   *cell;

	memset(c->used, false, RelationGetDescr(c->rel)->natts * sizeof(bool));
	for_each_from(cell, c->analysed->rtable, 1)
	{
		RangeTblEntry *rte = lfirst(cell);

		check_relation(rte, &search);
		if (rte->rtekind == RTE_SUBQUERY)
			search_walker((Node *) rte->subquery, &search);
	}
	search_walker((Node *) c->analysed->targetList, &search);
	search_walker((Node *) c->analysed->jointree, &search);
}

static bool always_has_row(const Query *query);

static bool
item_has_row(const Query *query, const Node *item)
{
	const RangeTblEntry *rte;

	if (IsA(item, JoinExpr))
		return ((const JoinExpr *) item)->jointype == JOIN_LEFT && item_has_row(query, ((const JoinExpr *) item)->larg);
	rte = rt_fetch(((const RangeTblRef *) item)->rtindex, query->rtable);
	return rte->rtekind == RTE_VALUES || (rte->rtekind == RTE_SUBQUERY && always_has_row(rte->subquery));
}

/* Has it a row whatever is in the tables?  False if that is not plain to see. */
static bool
always_has_row(const Query *query)
{
	ListCell   *cell;

	if (query->havingQual != NULL || query->limitOffset != NULL || query->setOperations != NULL)
		return false;
	if (query->hasAggs && query->groupClause == NIL && query->groupingSets == NIL)
		return true;
	if (query->jointree->quals != NULL)
		return false;
	foreach(cell, query->jointree->fromlist)
	{
		if (!item_has_row(query, lfirst(cell)))
			return false;
	}
	return true;
}

static bool
may_lack_row(const Compiler *c)
{
	ListCell   *cell;

	foreach(cell, c->analysed->rtable)
	{
		const RangeTblEntry *rte = lfirst(cell);

		/* the name that statement() gives it */
		if (rte->rtekind == RTE_SUBQUERY && strcmp(rte->eref->aliasname, "query") == 0)
			return !always_has_row(rte->subquery);
	}
	return false;
}

/*
 * The function
 */

static char *
type_name(Oid type)
{
	return format_type_extended(type, -1, FORMAT_TYPE_FORCE_QUALIFY);
}

static void
append_parameters(const Compiler *c, StringInfo sql, int *n)
{
	TupleDesc	desc = RelationGetDescr(c->rel);

	for (int i = 0; i < desc->natts; i++)
	{
		if (!c->used[i])
			continue;
		appendStringInfo(sql, "%s%s %s", *n > 0 ? ", " : "", column_name(c->rel, i + 1), type_name(TupleDescAttr(desc, i)->atttypid));
		(*n)++;
	}
}

static bool
is_named_twice(const Compiler *c, const char *name)
{
	ListCell   *cell;
	int			n = 0;

	foreach(cell, c->analysed->targetList)
	{
		const TargetEntry *entry = lfirst(cell);

		n += entry->resname != NULL && strcmp(entry->resname, name) == 0;
	}
	return n > 1;
}

static void
check_target(const Compiler *c, const TargetEntry *entry)
{
	TteTargetKind kind;
	int			field = -1;
	const char *near;

	if (entry->resname != NULL && tte_target_find(entry->resname, strlen(entry->resname), &kind, &field))
	{
		if (tte_value_type(exprType((Node *) entry->expr)).kind == TTE_VALUE_NONE)
			refuse_query(psprintf("Column \"%s\" has type %s, which cannot be sent.", entry->resname, format_type_be(exprType((Node *) entry->expr))),
						 "Cast it to text, a number, a time, or jsonb.");
		if (is_named_twice(c, entry->resname))
			refuse_query(psprintf("Target \"%s\" is given twice.", entry->resname), "Give each target once, in the mapping or in the query.");
		return;
	}
	near = entry->resname ? tte_field_suggest(entry->resname, strlen(entry->resname)) : NULL;
	refuse_query(psprintf("Column \"%s\" is no target.", entry->resname ? entry->resname : ""),
				 near ? psprintf("Perhaps you meant \"%s\".", near) : "Name each column by a target, as in SELECT c.email, c.mobile AS phone.");
}

static void
append_results(const Compiler *c, List *arrows, StringInfo sql)
{
	int			n = 0;
	ListCell   *cell;

	foreach(cell, c->analysed->targetList)
	{
		const TargetEntry *entry = lfirst(cell);

		if (n >= list_length(arrows))
			check_target(c, entry);
		appendStringInfo(sql, "%s%s %s", n++ > 0 ? ", " : "", quote_identifier(entry->resname), type_name(exprType((Node *) entry->expr)));
	}
}

static bool
is_taken(const char *name, Oid namespace)
{
	CatCList   *list = SearchSysCacheList1(PROCNAMEARGSNSP, CStringGetDatum(name));
	bool		taken = false;

	for (int i = 0; i < list->n_members; i++)
		taken |= ((Form_pg_proc) GETSTRUCT(&list->members[i]->tuple))->pronamespace == namespace;
	ReleaseSysCacheList(list);
	return taken;
}

/* tiktok_<table>_<trigger>, with a number where another trigger's has the same beginning. */
static char *
function_name(const char *table, const char *trigger, Oid namespace)
{
	char	   *whole = psprintf("tiktok_%s_%s", table, trigger);
	char	   *name = pnstrdup(whole, pg_mbcliplen(whole, strlen(whole), NAMEDATALEN - 1));

	for (int i = 2; is_taken(name, namespace); i++)
	{
		char	   *number = psprintf("_%d", i);

		name = psprintf("%s%s", pnstrdup(whole, pg_mbcliplen(whole, strlen(whole), NAMEDATALEN - 1 - strlen(number))), number);
	}
	return name;
}

/*
 * The function is run as its owner, which is the table's where a superuser makes
 * it: what is in the tables and views that it reads is their owners' code.  The
 * table's owner needs EXECUTE, and nobody else has it.
 */
static void
add_rights(Relation rel, TteCompiled *compiled)
{
	Oid			owner = rel->rd_rel->relowner;
	const char *role = quote_identifier(GetUserNameFromId(owner, false));

	compiled->owner = superuser() ? owner : GetUserId();
	compiled->statements = lappend(compiled->statements, psprintf("REVOKE ALL ON FUNCTION %s FROM PUBLIC", compiled->qualified));
	if (owner == GetUserId())
		return;
	compiled->statements = lappend(compiled->statements, superuser() ?
								   psprintf("ALTER FUNCTION %s OWNER TO %s", compiled->qualified, role) :
								   psprintf("GRANT EXECUTE ON FUNCTION %s TO %s", compiled->qualified, role));
}

static void
make_statements(Compiler *c, const char *trigger, List *arrows, TteCompiled *compiled)
{
	Oid			root = tte_root_table(c->rel);
	Oid			namespace = get_rel_namespace(root);
	StringInfoData sql;

	compiled->name = function_name(get_rel_name(root), trigger, namespace);
	compiled->qualified = quote_qualified_identifier(get_namespace_name(namespace), compiled->name);
	initStringInfo(&sql);
	appendStringInfo(&sql, "CREATE FUNCTION %s(", compiled->qualified);
	append_parameters(c, &sql, &compiled->nargs);
	appendStringInfoString(&sql, ") RETURNS TABLE(");
	append_results(c, arrows, &sql);
	appendStringInfo(&sql, ") LANGUAGE sql STABLE BEGIN ATOMIC\n%s;\nEND", statement(c));
	compiled->statements = list_make1(sql.data);
	compiled->statements = lappend(compiled->statements,
								   psprintf("COMMENT ON FUNCTION %s IS %s", compiled->qualified,
											quote_literal_cstr(psprintf(TTE_QUERY_COMMENT "%s of table %s", quote_identifier(trigger), quote_identifier(get_rel_name(root))))));
	add_rights(c->rel, compiled);
}

void
tte_compile(Relation rel, const char *trigger, const char *query, List *arrows, TteCompiled *compiled)
{
	TupleDesc	desc = RelationGetDescr(rel);
	Compiler	c = {.rel = rel, .query = query ? single_select(query) : NULL};
	Oid		   *types = palloc(desc->natts * sizeof(Oid));
	ListCell   *cell;
	int			n = 0;

	initStringInfo(&c.columns);
	initStringInfo(&c.joins);
	c.used = palloc0((desc->natts + 1) * sizeof(bool));
	c.seen = palloc(desc->natts * sizeof(AttrNumber));
	for (int i = 0; i < desc->natts; i++)
	{
		c.used[i] = is_seen(TupleDescAttr(desc, i));
		if (!c.used[i])
			continue;
		types[n] = TupleDescAttr(desc, i)->atttypid;
		c.seen[n++] = i + 1;
	}
	foreach(cell, arrows)
		add_arrow(&c, lfirst(cell));
	c.analysed = analyse(statement(&c), types, n);
	find_used(&c);
	memset(compiled, 0, sizeof(*compiled));
	make_statements(&c, trigger, arrows, compiled);
	compiled->relids = c.tables;
	compiled->may_lack_row = may_lack_row(&c);
}

void
tte_compiled_check(const TteCompiled *compiled)
{
	StringInfoData sql;
	TteRights	rights;

	initStringInfo(&sql);
	appendStringInfo(&sql, "SELECT FROM %s(", compiled->qualified);
	for (int i = 0; i < compiled->nargs; i++)
		appendStringInfo(&sql, "%sNULL", i ? ", " : "");
	appendStringInfoString(&sql, ") LIMIT 0");
	SPI_connect();
	tte_rights_take(compiled->owner, TTE_SAFE_PATH, &rights);
	SPI_execute(sql.data, true, 0);
	tte_rights_give_back(&rights);
	SPI_finish();
}
