/*-------------------------------------------------------------------------
 *
 * mapping.c
 *	  The arguments of a tiktok.track_row() trigger, resolved against its table.
 *
 * An argument that could never be right raises an error, so that it is noticed
 * with the first row.  A column or function that was dropped or changed since
 * is recorded in the mapping, and the row becomes an invalid event.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/partition.h"
#include "catalog/pg_language.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "commands/comment.h"
#include "funcapi.h"
#include "parser/parse_coerce.h"
#include "parser/scansup.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/catcache.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/regproc.h"
#include "utils/relcache.h"
#include "utils/syscache.h"
#include "utils/varlena.h"

#include "enqueue/mapping.h"
#include "event/catalog.h"
#include "event/event.h"
#include "server/citus.h"
#include "server/common.h"
#include "server/compat.h"

#define LITERAL_HINT	"A literal stands in single quotes, as in 'currency=''EUR''' or '{\"currency\": \"''EUR''\"}'."
#define EXPRESSION_HINT	"There are no expressions. For cents use the target amounts; for anything else give a query, as in query => 'SELECT coalesce(new.a, new.b) AS email'."

static void
syntax_error(const char *argument, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid argument of tiktok.track_row: %s", argument),
			 errhint("%s", hint),
			 tte_hide_statement()));
}

static void
problem_with_hint(TteMapping *m, int sqlerrcode, char *words, const char *hint)
{
	if (m->problem != NULL)
		return;
	m->problem = words;

	m->problem_code = sqlerrcode;
	m->problem_hint = hint;
}

static void
problem(TteMapping *m, int sqlerrcode, char *words)
{
	problem_with_hint(m, sqlerrcode, words, NULL);
}

/* A trigger does not see the value of a column that is computed when it is read. */
static void
check_stored(TteMapping *m, TupleDesc desc, AttrNumber attno)
{
	Form_pg_attribute att = TupleDescAttr(desc, attno - 1);

	if (att->attgenerated == TTE_ATTRIBUTE_GENERATED_VIRTUAL)
		problem(m, ERRCODE_FEATURE_NOT_SUPPORTED,
				psprintf("Column \"%s\" is generated when it is read: a trigger cannot see it.", NameStr(att->attname)));
}

AttrNumber
tte_find_column(TupleDesc desc, const char *name)
{
	char	   *lower = downcase_identifier(name, strlen(name), false, false);

	for (int pass = 0; pass < 2; pass++)
	{
		for (int i = 0; i < desc->natts; i++)
		{
			Form_pg_attribute att = TupleDescAttr(desc, i);

			if (!att->attisdropped && strcmp(NameStr(att->attname), pass == 0 ? name : lower) == 0)
				return att->attnum;
		}
	}
	return InvalidAttrNumber;
}

/* The column whose name is nearest, or NULL. */
static const char *
similar_column(TupleDesc desc, const char *name)
{
	int			len = strlen(name);
	int			distance = Min(3, len / 2);
	const char *nearest = NULL;

	for (int i = 0; i < desc->natts && len < NAMEDATALEN; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		int			d;

		if (att->attisdropped)
			continue;
		d = varstr_levenshtein_less_equal(name, len, NameStr(att->attname), strlen(NameStr(att->attname)), 1, 1, 1, distance, true);
		if (d > distance)
			continue;
		nearest = NameStr(att->attname);
		distance = d - 1;
	}
	return nearest;
}

const char *
tte_column_hint(TupleDesc desc, const char *value, const char *column)
{
	const char *near = similar_column(desc, column);

	if (strstr(value, "://") != NULL)
		return LITERAL_HINT;
	if (strpbrk(column, "+*/|()") != NULL)
		return EXPRESSION_HINT;
	if (near != NULL)
		return psprintf("Perhaps you meant \"%s\".", near);
	if (strcmp(column, "new") == 0 && value[strlen(column)] == '.')
		return psprintf("Write the column alone: \"%s\".", value + strlen(column) + 1);
	if (value[strlen(column)] == '.')
		return "A dot leads to a key of a JSON column. For a column of another table follow the foreign key, as in \"customer_id->email\", or give a query.";
	return NULL;
}

static bool
is_arrow(const char *p)
{
	return p[0] == '-' && p[1] == '>';
}

List *
tte_mapping_path(const char *argument, const char *value, int *hops)
{
	List	   *parts = NIL;
	const char *p = value;
	int			dots = 0;

	*hops = 0;
	for (;;)
	{
		StringInfoData part;
		bool		quoted = *p == '"';

		initStringInfo(&part);
		for (p += quoted; *p; p++)
		{
			if (quoted && *p == '"' && *++p != '"')
				break;
			if (!quoted && (*p == '.' || is_arrow(p)))
				break;
			appendStringInfoChar(&part, *p);
		}
		if (part.len == 0 || (quoted && p[-1] != '"') || (*p != '\0' && *p != '.' && !is_arrow(p)) || (is_arrow(p) && dots > 0))
			syntax_error(argument, "Name a column, as in 'email=customer_email', or a key in a JSON column, as in 'email=customer.email'; use double quotes for names with dots.");
		parts = lappend(parts, part.data);
		if (*p == '\0')
			return parts;
		dots += *p == '.';
		*hops += *p == '-';
		p += *p == '.' ? 1 : 2;
	}
}

/* 'text' with quotes doubled inside. */
static char *
parse_literal(const char *argument, const char *value)
{
	StringInfoData literal;
	const char *p = value + 1;

	initStringInfo(&literal);
	for (; *p; p++)
	{
		if (*p == '\'' && *++p != '\'')
			break;
		appendStringInfoChar(&literal, *p);
	}
	if (p[-1] != '\'' || *p != '\0')
		syntax_error(argument, p[-1] == '\'' ? EXPRESSION_HINT : "A literal stands in single quotes, as in 'currency=''EUR'''.");
	return literal.data;
}

bool
tte_target_find(const char *name, int len, TteTargetKind *kind, int *field)
{
	static const char *const names[] = {"event_id", "event_time", "limited_data_use", "consent"};

	for (int i = 0; i < lengthof(names); i++)
	{
		if (strlen(names[i]) == len && memcmp(names[i], name, len) == 0)
		{
			*kind = TTE_TARGET_EVENT_ID + i;
			return true;
		}
	}
	*kind = TTE_TARGET_FIELD;
	*field = tte_field_find(name, len);
	return *field >= 0;
}

static void
unknown_target(const char *argument, const char *name)
{
	const char *near = tte_field_suggest(name, strlen(name));

	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid argument of tiktok.track_row: %s", argument),
			 errdetail("There is no target \"%s\".", name),
			 near ? errhint("Perhaps you meant \"%s\".", near) :
			 errhint("Targets are event_id, event_time, limited_data_use, consent, amounts, using, time_zone and TikTok's field names."),
			 tte_hide_statement()));
}

/* Checks that the type of the value can be read, and that a path is one into JSON. */
static void
check_type(TteMapping *m, const TteTarget *target)
{
	if (target->path_len > 0 && target->type.kind != TTE_VALUE_JSON)
		problem(m, ERRCODE_DATATYPE_MISMATCH, psprintf("Target \"%s\" names a key in a column that is not json or jsonb.", target->name));
	if (target->kind == TTE_TARGET_FIELD && tte_fields[target->field].section == TTE_SECTION_USER)
		return;					/* an identifier of another type is left out */
	if (target->type.kind == TTE_VALUE_NONE)
		problem_with_hint(m, ERRCODE_DATATYPE_MISMATCH, psprintf("The column of target \"%s\" has a type that cannot be sent.", target->name),
						  "Let a query cast it to text, a number, a time, or jsonb.");
}

static void
check_twice(const TteMapping *m, const TteTarget *target, const char *argument)
{
	for (int i = 0; i < m->ntargets; i++)
	{
		if (m->targets[i].kind == target->kind && m->targets[i].field == target->field)
			syntax_error(argument, "The target is given twice.");
	}
}

static void
set_path(TteTarget *target, List *keys)
{
	ListCell   *cell;

	target->path = palloc((list_length(keys) + 1) * sizeof(char *));
	foreach(cell, keys)
	{
		int			len;
		const char *utf8 = tte_to_utf8(lfirst(cell), strlen(lfirst(cell)), &len);

		target->path[target->path_len++] = pnstrdup(utf8, len);
	}
}

/* What lies behind an arrow is a column of the query's result, which has the target's name. */
static void
bind_column(TteMapping *m, TupleDesc desc, TteTarget *target, const char *argument, const char *value)
{
	int			hops;
	List	   *parts = tte_mapping_path(argument, value, &hops);
	char	   *column = linitial(parts);

	set_path(target, list_copy_tail(parts, hops + 1));
	target->of_query = hops > 0;
	if (target->of_query)
		return;
	target->attno = tte_find_column(desc, column);
	if (target->attno == InvalidAttrNumber)
	{
		problem_with_hint(m, ERRCODE_UNDEFINED_COLUMN, psprintf("Column \"%s\" of target \"%s\" does not exist.", column, target->name),
						  tte_column_hint(desc, value, column));
		return;
	}
	check_stored(m, desc, target->attno);
	target->type = tte_value_type(TupleDescAttr(desc, target->attno - 1)->atttypid);
	check_type(m, target);
}

Oid
tte_root_table(Relation rel)
{
	return rel->rd_rel->relispartition ?
		llast_oid(get_partition_ancestors(RelationGetRelid(rel))) : RelationGetRelid(rel);
}

/* Independent of search_path, which is set by the session that writes the row. */
static Oid
find_function(const char *schema, const char *name, Oid argument)
{
	Oid			namespace = get_namespace_oid(schema, true);

	if (!OidIsValid(namespace))
		return InvalidOid;
	return GetSysCacheOid3(PROCNAMEARGSNSP, Anum_pg_proc_oid, CStringGetDatum(name),
						   PointerGetDatum(buildoidvector(&argument, 1)), ObjectIdGetDatum(namespace));
}

/*
 * The function takes the row type of the table, for a partition of a table above
 * it, or for a shard of its distributed table.  Without a schema it is in the
 * schema of the topmost table.
 */
static void
bind_using(TteMapping *m, Relation rel, const char *value)
{
	List	   *name = tte_stringToQualifiedNameList(value);
	List	   *relations = list_make1_oid(RelationGetRelid(rel));
	ListCell   *cell;
	char	   *schema;
	char	   *function;
	bool		qualified;

	DeconstructQualifiedName(name, &schema, &function);
	m->using_name = pstrdup(value);
	qualified = schema != NULL;
	if (!qualified)
		schema = get_namespace_name(get_rel_namespace(tte_root_table(rel)));
	if (rel->rd_rel->relispartition)
		relations = list_concat(relations, get_partition_ancestors(RelationGetRelid(rel)));
	relations = lappend_oid(relations, tte_citus_table(tte_root_table(rel)));
	foreach(cell, relations)
	{
		Oid			rowtype = get_rel_type_id(lfirst_oid(cell));

		m->using_relation = lfirst_oid(cell);
		m->using_function = find_function(schema, function, rowtype);
		if (OidIsValid(m->using_function))
			break;
	}
	if (!OidIsValid(m->using_function))
		problem_with_hint(m, ERRCODE_UNDEFINED_FUNCTION,
						  psprintf("Function %s(%s) does not exist.", quote_qualified_identifier(schema, function), RelationGetRelationName(rel)),
						  qualified ? NULL :
						  "Without a schema it is looked up in the schema of the table only. Name the schema of another one, as in 'using=schema.function'.");
	else if (get_func_prokind(m->using_function) != PROKIND_FUNCTION)
		problem(m, ERRCODE_WRONG_OBJECT_TYPE, psprintf("%s is no plain function.", value));
	else if (get_func_rettype(m->using_function) != JSONBOID)
		problem(m, ERRCODE_INVALID_FUNCTION_DEFINITION, psprintf("Function %s does not return jsonb.", value));
}

/* time_zone='Europe/Berlin' */
static void
bind_zone(TteMapping *m, const char *argument, const char *value)
{
	if (*value != '\'')
		syntax_error(argument, "A time zone is a literal, as in 'time_zone=''Europe/Berlin'''.");
	m->zone = pg_tzset(parse_literal(argument, value));
	if (m->zone == NULL)
		syntax_error(argument, "The time zone is not known.");
}

/* The only function of that name in the schema of the topmost table. */
static HeapTuple
find_query(TteMapping *m, Relation rel)
{
	Oid			namespace = get_rel_namespace(tte_root_table(rel));
	CatCList   *list = SearchSysCacheList1(PROCNAMEARGSNSP, CStringGetDatum(m->query_name));
	HeapTuple	found = NULL;
	int			n = 0;

	for (int i = 0; i < list->n_members; i++)
	{
		HeapTuple	tuple = &list->members[i]->tuple;

		if (((Form_pg_proc) GETSTRUCT(tuple))->pronamespace != namespace)
			continue;
		if (n++ == 0)
			found = heap_copytuple(tuple);
	}
	ReleaseSysCacheList(list);
	if (n != 1)
		problem_with_hint(m, ERRCODE_UNDEFINED_FUNCTION,
						  psprintf(n ? "There are several functions \"%s\" in the schema of the table." :
								   "There is no function \"%s\" in the schema of the table.", m->query_name),
						  "Make the trigger anew with tiktok.create_trigger(), replace => true.");
	return n == 1 ? found : NULL;
}

/*
 * The function is run as its owner.  The owner agrees by the comment, which
 * nobody else can set.  The owner of the table may cause it with EXECUTE.
 */
static bool
check_query(TteMapping *m, Relation rel, HeapTuple tuple)
{
	Form_pg_proc form = (Form_pg_proc) GETSTRUCT(tuple);
	char	   *comment = GetComment(form->oid, ProcedureRelationId, 0);

	if (form->prokind != PROKIND_FUNCTION || !form->proretset || form->prolang != SQLlanguageId || form->prosecdef ||
		comment == NULL || strncmp(comment, TTE_QUERY_COMMENT, strlen(TTE_QUERY_COMMENT)) != 0)
		problem_with_hint(m, ERRCODE_WRONG_OBJECT_TYPE,
						  psprintf("Function \"%s\" was not made by tiktok.create_trigger().", m->query_name),
						  "It is known by its comment.");
	else if (tte_function_aclcheck(form->oid, rel->rd_rel->relowner) != ACLCHECK_OK)
		problem_with_hint(m, ERRCODE_INSUFFICIENT_PRIVILEGE,
						  psprintf("The owner of the table may not execute function \"%s\".", m->query_name),
						  "Grant EXECUTE on the function to the owner of the table.");
	else
		return true;
	return false;
}

static bool
is_integer(Oid type)
{
	return type == INT2OID || type == INT4OID || type == INT8OID;
}

/* The column was altered: its values are those of the parameter all the same, or an error. */
static bool
can_be_passed(Oid column, Oid parameter)
{
	return IsBinaryCoercible(column, parameter) || (is_integer(column) && is_integer(parameter));
}

/* Binds a parameter, which has the name and the type of a column. */
static void
bind_parameter(TteMapping *m, TupleDesc desc, const char *name, Oid type)
{
	AttrNumber	attno = tte_find_column(desc, name);
	Oid			column = attno == InvalidAttrNumber ? InvalidOid : TupleDescAttr(desc, attno - 1)->atttypid;

	if (attno == InvalidAttrNumber || !can_be_passed(column, type))
		problem_with_hint(m, ERRCODE_UNDEFINED_COLUMN,
						  psprintf("Column \"%s\", which function \"%s\" needs, %s.", name, m->query_name,
								   attno == InvalidAttrNumber ? "does not exist" : "has another type"),
						  "Make the trigger anew with tiktok.create_trigger(), replace => true.");
	m->query_args[m->query_nargs] = attno;
	m->query_columns[m->query_nargs] = column;
	m->query_types[m->query_nargs++] = type;
}

/* Binds a column of the result to the target of its name, or to the target whose arrow led to it. */
static void
bind_result(TteMapping *m, char *name, Oid type, AttrNumber attno)
{
	TteTarget  *target = &m->targets[m->ntargets];

	if (strcmp(name, TTE_SOURCE_COLUMN) == 0)
	{
		m->source_target.attno = attno;
		m->source_target.type = tte_value_type(type);
		check_type(m, &m->source_target);
		return;
	}
	if (strcmp(name, TTE_STAGE_COLUMN) == 0)
	{
		m->stage_of_query = attno;
		m->stage_type = tte_value_type(type);
		return;
	}
	for (int i = 0; i < m->ntargets; i++)
	{
		if (m->targets[i].of_query && strcmp(m->targets[i].name, name) == 0)
			target = &m->targets[i];
	}
	target->attno = attno;
	target->type = tte_value_type(type);
	if (target == &m->targets[m->ntargets])
	{
		target->name = name;
		target->of_query = true;
		if (!tte_target_find(name, strlen(name), &target->kind, &target->field))
		{
			problem(m, ERRCODE_INVALID_FUNCTION_DEFINITION, psprintf("Function \"%s\" returns the unknown target \"%s\".", m->query_name, name));
			return;
		}
		check_twice(m, target, name);
		m->has_event_id |= target->kind == TTE_TARGET_EVENT_ID;
		m->ntargets++;
	}
	check_type(m, target);
}

/* Binds parameters and results, which are in one list. */
static void
bind_query(TteMapping *m, Relation rel)
{
	HeapTuple	tuple = find_query(m, rel);
	Oid		   *types;
	char	  **names;
	char	   *modes;
	AttrNumber	column = 0;
	int			n;

	if (tuple == NULL || !check_query(m, rel, tuple))
		return;
	m->query_function = ((Form_pg_proc) GETSTRUCT(tuple))->oid;
	m->query_owner = ((Form_pg_proc) GETSTRUCT(tuple))->proowner;
	n = get_func_arg_info(tuple, &types, &names, &modes);
	m->query_args = palloc(n * sizeof(AttrNumber));
	m->query_types = palloc(n * sizeof(Oid));
	m->query_columns = palloc(n * sizeof(Oid));
	m->targets = repalloc(m->targets, (m->ntargets + n + 1) * sizeof(TteTarget));
	memset(m->targets + m->ntargets, 0, (n + 1) * sizeof(TteTarget));
	for (int i = 0; i < n; i++)
	{
		if (modes[i] == PROARGMODE_IN)
			bind_parameter(m, RelationGetDescr(rel), names[i], types[i]);
		else
			bind_result(m, names[i], types[i], ++column);
	}
}

/* Checks that every path along foreign keys has its column in the result. */
static void
bind_results(TteMapping *m, Relation rel)
{
	if (m->query_name != NULL)
		bind_query(m, rel);
	if (m->source_target.of_query && m->source_target.attno == InvalidAttrNumber)
		problem_with_hint(m, ERRCODE_UNDEFINED_FUNCTION, pstrdup("The path of the source needs a function that follows it."),
						  "Make the trigger with tiktok.create_trigger().");
	for (int i = 0; i < m->ntargets; i++)
	{
		if (m->targets[i].of_query && m->targets[i].attno == InvalidAttrNumber)
			problem_with_hint(m, ERRCODE_UNDEFINED_FUNCTION,
							  psprintf("The path of target \"%s\" needs a function that follows it.", m->targets[i].name),
							  "Make the trigger with tiktok.create_trigger().");
	}
}

/* Binds a literal: minor, or the power of ten by which amounts are divided. */
static void
bind_amounts(TteMapping *m, const char *argument, const char *value)
{
	static const char *const divisors[] = {"1", "10", "100", "1000", "", "", "1000000"};
	const char *word = *value == '\'' ? parse_literal(argument, value) : value;

	m->amounts = TTE_AMOUNTS_MINOR;
	if (strcmp(word, "minor") == 0)
		return;
	for (m->amounts = 0; m->amounts < lengthof(divisors); m->amounts++)
	{
		if (*word != '\0' && strcmp(word, divisors[m->amounts]) == 0)
			return;
	}
	syntax_error(argument, "Amounts are 'minor', in the smallest unit of the currency, or to be divided by 1, 10, 100, 1000 or 1000000.");
}

static char *
trim(char *string)
{
	char	   *end = string + strlen(string);

	while (end > string && end[-1] == ' ')
		*--end = '\0';
	return string + strspn(string, " ");
}

static void
add_target(TteMapping *m, Relation rel, const char *argument)
{
	char	   *name = pstrdup(argument);
	char	   *value = strchr(name, '=');
	TteTarget  *target = &m->targets[m->ntargets];

	if (value == NULL)
		syntax_error(argument, "Write 'target=value'.");
	*value++ = '\0';
	name = trim(name);
	value = trim(value);
	if (strcmp(name, "using") == 0)
	{
		bind_using(m, rel, value);
		return;
	}
	if (strcmp(name, "query_function") == 0)
	{
		m->query_name = pstrdup(value);
		return;
	}
	if (strcmp(name, "amounts") == 0)
	{
		bind_amounts(m, argument, value);
		m->has_amounts = true;
		return;
	}
	if (strcmp(name, "time_zone") == 0)
	{
		bind_zone(m, argument, value);
		return;
	}
	if (!tte_target_find(name, strlen(name), &target->kind, &target->field))
		unknown_target(argument, name);
	if (target->kind == TTE_TARGET_EVENT_TIME && strcmp(value, "now") == 0)
	{
		m->recorded_now = true;
		return;
	}
	check_twice(m, target, argument);
	target->name = name;
	m->ntargets++;
	m->has_event_id |= target->kind == TTE_TARGET_EVENT_ID;
	if (*value == '\'')
	{
		int			len;
		char	   *literal = parse_literal(argument, value);
		const char *utf8 = tte_to_utf8(literal, strlen(literal), &len);

		target->literal = tte_json_string(utf8, len);
	}
	else
		bind_column(m, RelationGetDescr(rel), target, argument, value);
}

static bool
can_be_stage(const TteValueType *type)
{
	return type->kind != TTE_VALUE_NONE && type->kind != TTE_VALUE_ARRAY && type->kind != TTE_VALUE_JSON;
}

/* Binds the event by stage.  The first column of a path is the one that must change. */
static void
bind_event(TteMapping *m, Relation rel, const char *argument)
{
	List	   *parts;

	m->by_stage = argument[0] == '=';
	if (!m->by_stage)
	{
		m->event = pstrdup(argument);
		return;
	}
	parts = tte_mapping_path(argument, argument + 1, &m->stage_hops);
	m->stage_attno = tte_find_column(RelationGetDescr(rel), linitial(parts));
	set_path(&m->stage_path, list_copy_tail(parts, m->stage_hops + 1));
	if (m->stage_path.path_len > 0 && m->stage_hops == 0)
		syntax_error(argument, "The stage is a column, as in '=status'.");
	if (m->stage_attno == InvalidAttrNumber)
	{
		problem(m, ERRCODE_UNDEFINED_COLUMN, psprintf("Stage column \"%s\" does not exist.", (char *) linitial(parts)));
		return;
	}
	check_stored(m, RelationGetDescr(rel), m->stage_attno);
	m->change_type = tte_value_type(TupleDescAttr(RelationGetDescr(rel), m->stage_attno - 1)->atttypid);
	m->stage_type = m->change_type;
	if (!can_be_stage(&m->change_type))
	{
		problem(m, ERRCODE_DATATYPE_MISMATCH, psprintf("Stage column \"%s\" has a type that cannot be a stage.", (char *) linitial(parts)));
		m->stage_attno = InvalidAttrNumber;
	}
}

static void
bind_source(TteMapping *m, Relation rel, const char *argument)
{
	m->source = pstrdup(argument);
	m->source_of_row = argument[0] == '=';
	if (!m->source_of_row)
		return;
	m->source_target.name = pstrdup(TTE_SOURCE_COLUMN);
	m->source_target.kind = TTE_TARGET_EVENT_ID;	/* read like an id */
	bind_column(m, RelationGetDescr(rel), &m->source_target, argument, argument + 1);
}

/* Checks a stage behind an arrow. */
static void
check_stage(TteMapping *m)
{
	if (m->stage_hops == 0 || m->problem != NULL)
		return;
	if (m->stage_of_query == 0)
		problem_with_hint(m, ERRCODE_UNDEFINED_FUNCTION, pstrdup("The path of the stage needs a function that follows it."),
						  "Make the trigger with tiktok.create_trigger().");
	else if (m->stage_path.path_len > 0 ? m->stage_type.kind != TTE_VALUE_JSON : !can_be_stage(&m->stage_type))
		problem(m, ERRCODE_DATATYPE_MISMATCH, pstrdup("The column of the stage has a type that cannot be a stage."));
}

/*
 * The columns of the primary key in the order of the key, which is the same in
 * every partition; the order of columns in the table is not.
 */
static void
bind_key_columns(TteMapping *m, Relation rel)
{
	Oid			oid = tte_primary_key_index(rel);
	HeapTuple	tuple = OidIsValid(oid) ? SearchSysCache1(INDEXRELID, ObjectIdGetDatum(oid)) : NULL;
	Form_pg_index index;
	bool		usable = true;

	if (!HeapTupleIsValid(tuple))
		return;
	index = (Form_pg_index) GETSTRUCT(tuple);
	m->key_attnos = palloc(index->indnkeyatts * sizeof(AttrNumber));
	m->key_types = palloc(index->indnkeyatts * sizeof(TteValueType));
	for (int i = 0; i < index->indnkeyatts; i++)
	{
		AttrNumber	attno = index->indkey.values[i];
		TteValueType type = tte_value_type(TupleDescAttr(RelationGetDescr(rel), attno - 1)->atttypid);

		if (type.kind == TTE_VALUE_NONE || type.kind == TTE_VALUE_ARRAY || type.kind == TTE_VALUE_JSON)
			usable = false;
		m->key_attnos[i] = attno;
		m->key_types[i] = type;
	}
	m->nkeys = usable ? index->indnkeyatts : 0;
	ReleaseSysCache(tuple);
}

/* Binds the columns of which ids are made if there is no event_id target. */
static void
bind_key(TteMapping *m, Relation rel)
{
	m->root = tte_root_table(rel);
	m->table = get_rel_name(tte_citus_table(m->root));
	bind_key_columns(m, rel);
	if (m->nkeys == 0 && !m->has_event_id && m->using_name == NULL)
		problem(m, ERRCODE_INVALID_TABLE_DEFINITION, pstrdup("The table has no primary key an event_id could be made of; name a column, as in 'event_id=order_no'."));
}

TteMapping *
tte_mapping_parse(const Trigger *trigger, Relation rel)
{
	TteMapping *m = palloc0(sizeof(TteMapping));

	if (trigger->tgnargs < 2)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("trigger \"%s\" has too few arguments", trigger->tgname),
				 errhint("The arguments of tiktok.track_row are a source, an event (or '=column' for a lead's stage), and 'target=value' pairs."),
				 tte_hide_statement()));
	m->zone = pg_tzset("UTC");
	m->targets = palloc0(trigger->tgnargs * sizeof(TteTarget));
	bind_source(m, rel, trigger->tgargs[0]);
	bind_event(m, rel, trigger->tgargs[1]);
	for (int i = 2; i < trigger->tgnargs; i++)
		add_target(m, rel, trigger->tgargs[i]);
	bind_results(m, rel);
	check_stage(m);
	bind_key(m, rel);
	return m;
}
