/*-------------------------------------------------------------------------
 *
 * create_trigger.c
 *	  tiktok.create_trigger(): CREATE TRIGGER, after checking everything.
 *
 * A trigger of tiktok.track_row() never fails an order for what does not fit;
 * it records invalid events.  Here somebody is at the other end who can mend a
 * mistake, so each one is an error with a hint.  The statement is executed as the
 * caller, who needs what CREATE TRIGGER needs, and its text is returned.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "catalog/pg_class.h"
#include "catalog/pg_proc.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "parser/parse_func.h"
#include "utils/acl.h"
#include "utils/builtins.h"

#include "enqueue/mapping.h"
#include "enqueue/source.h"
#include "enqueue/track.h"
#include "enqueue/value.h"
#include "operate/compile.h"
#include "operate/condition.h"
#include "operate/literals.h"
#include "operate/remarks.h"
#include "operate/rows.h"
#include "operate/stages.h"
#include "operate/triggers.h"
#include "server/common.h"
#include "server/compat.h"

enum CreateTriggerArgument
{
	ARG_RELATION,
	ARG_SOURCE,
	ARG_EVENT,
	ARG_MAPPING,
	ARG_CONDITION,
	ARG_NAME,
	ARG_QUERY,
	ARG_AT_COMMIT,
	ARG_REPLICA,
	ARG_REPLACE
};

typedef struct NewTrigger
{
	Relation	rel;
	Oid			relid;
	char	   *table;			/* as SQL writes it */
	List	   *sources;		/* TteSource: those that its events may be for */
	char	   *name;
	char	  **args;			/* of tiktok.track_row() */
	int			nargs;
	bool		at_commit;
	bool		replica;
	List	   *at_end;			/* statements for a table that is not open */
	TteMapping *mapping;
	TteCompiled compiled;		/* its name NULL: there is no function */
	StringInfoData executed;
	StringInfoData remarks;
} NewTrigger;

PG_FUNCTION_INFO_V1(tte_sql_create_trigger);

/*
 * Arguments
 */

#define OBJECT_HINT	"It is a JSON object of targets and columns, as in '{\"email\": \"email\", \"value\": \"total\", \"currency\": \"''EUR''\"}'."

static void
refuse_mapping(const char *detail, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid mapping"),
			 errdetail("%s", detail),
			 errhint("%s", hint)));
}

/* "target": "column", "column.key" or "'literal'"; numbers and booleans are literals. */
static char *
argument(const TteJson *member)
{
	char	   *target = tte_from_utf8(member->key, member->keylen);
	const char *value = NULL;

	switch (member->kind)
	{
		case TTE_JSON_STRING:
			value = tte_from_utf8(member->text, member->len);
			break;
		case TTE_JSON_NUMBER:
			value = psprintf("'%s'", pnstrdup(member->text, member->len));
			break;
		case TTE_JSON_BOOL:
			value = member->boolean ? "'true'" : "'false'";
			break;
		case TTE_JSON_ARRAY:
			refuse_mapping(psprintf("The value of \"%s\" is an array.", target),
						   psprintf("Name one column. For the first of several that is not null, give a query, as in query => 'SELECT coalesce(new.a, new.b) AS %s'.", target));
			break;
		default:
			refuse_mapping(psprintf("The value of \"%s\" is not text.", target), OBJECT_HINT);
	}
	return psprintf("%s=%s", target, value);
}

static void
set_arguments(NewTrigger *new, const char *source, const char *event, Datum mapping)
{
	TteJson    *object = tte_value_jsonb(mapping);

	if (object == NULL || object->kind != TTE_JSON_OBJECT)
		refuse_mapping("It is not an object.", OBJECT_HINT);
	new->args = palloc((object->count + 3) * sizeof(char *));
	new->args[new->nargs++] = pstrdup(source);
	new->args[new->nargs++] = pstrdup(event);
	for (const TteJson *member = object->first; member; member = member->next)
		new->args[new->nargs++] = argument(member);
}

/*
 * The function of a query
 */

static List *
add_path(List *arrows, const char *name, const char *argument, const char *path)
{
	TteArrow	arrow = {.name = name, .path = path};
	TteArrow   *copy;

	arrow.parts = tte_mapping_path(argument, path, &arrow.hops);
	if (arrow.hops == 0)
		return arrows;
	copy = palloc(sizeof(TteArrow));
	*copy = arrow;
	return lappend(arrows, copy);
}

/* Those of the arguments that go along foreign keys. */
static List *
find_arrows(const NewTrigger *new)
{
	List	   *arrows = NIL;

	if (new->args[0][0] == '=')
		arrows = add_path(arrows, TTE_SOURCE_COLUMN, new->args[0], new->args[0] + 1);
	if (new->args[1][0] == '=')
		arrows = add_path(arrows, TTE_STAGE_COLUMN, new->args[1], new->args[1] + 1);
	for (int i = 2; i < new->nargs; i++)
	{
		int			len = strcspn(new->args[i], "=");
		char	   *name = pnstrdup(new->args[i], len);
		const char *value = new->args[i] + len + 1;

		if (*value != '\'' && strcmp(name, "using") != 0 && strstr(value, "->") != NULL)
			arrows = add_path(arrows, name, new->args[i], value);
	}
	return arrows;
}

static void
make_function(NewTrigger *new, const char *query)
{
	List	   *arrows = find_arrows(new);
	ListCell   *cell;

	if (query == NULL && arrows == NIL)
		return;
	tte_compile(new->rel, new->name, query, arrows, &new->compiled);
	foreach(cell, new->compiled.statements)
		tte_trigger_run(&new->executed, lfirst(cell));
	tte_compiled_check(&new->compiled);
	new->args[new->nargs++] = psprintf("query_function=%s", new->compiled.name);
}

/*
 * Checks
 */

/* An event that has nothing but a name has no other first problem than its name. */
static void
check_event(const NewTrigger *new, const TteSource *source)
{
	TteEvent   *event = tte_event_begin(&source->rules, false);
	const char *name = new->mapping->event;
	const char *final;
	const char *utf8;
	TteRendered *rendered;
	TteNameVerdict verdict;
	int			len;

	if (new->mapping->by_stage)
		return;
	utf8 = tte_to_utf8(name, strlen(name), &len);
	tte_event_name(event, utf8, len);
	tte_event_consent(event, TTE_YES);
	rendered = tte_event_finish(event, tte_random_id(), tte_now());
	verdict = tte_name_check(source->rules.source, utf8, len, source->rules.rename_legacy_events, &final);
	if (verdict != TTE_NAME_OK && verdict != TTE_NAME_RENAMED)
		tte_refuse_invalid(rendered);
	tte_notice_rename(rendered);
}

static int
kinds_of(const NewTrigger *new)
{
	int			kinds = 0;
	ListCell   *cell;

	foreach(cell, new->sources)
		kinds |= TTE_SOURCE_BIT(((TteSource *) lfirst(cell))->rules.source);
	return kinds;
}

static void
check_mapping(const NewTrigger *new)
{
	const TteMapping *m = new->mapping;

	if (m->problem != NULL)
		ereport(ERROR,
				(errcode(m->problem_code),
				 errmsg("mapping does not fit table \"%s\"", RelationGetRelationName(new->rel)),
				 errdetail("%s", m->problem),
				 m->problem_hint ? errhint("%s", m->problem_hint) :
				 m->problem_code == ERRCODE_UNDEFINED_COLUMN && (!m->by_stage || m->stage_attno != InvalidAttrNumber) ?
				 errhint("A literal stands in single quotes, as in '{\"currency\": \"''EUR''\"}'.") : 0));
	for (int i = 0; i < m->ntargets; i++)
	{
		const TteTarget *target = &m->targets[i];
		int			sources = TTE_SOURCE_BIT(TTE_WEB) | TTE_SOURCE_BIT(TTE_APP);

		if (target->kind == TTE_TARGET_FIELD)
			sources = tte_fields[target->field].sources;
		else if (target->kind != TTE_TARGET_LIMITED_DATA_USE)
			continue;
		if ((sources & kinds_of(new)) == 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("target \"%s\" is not known to event source \"%s\"",
							target->name, tte_source_names[((TteSource *) linitial(new->sources))->rules.source]),
					 errdetail("TikTok takes other fields from events of source \"%s\".", m->source),
					 errhint("Leave it out.")));
	}
}

/*
 * Rows are written again: by INSERT ... SELECT, a restored table, the first copy
 * of a subscription.  Without a time of their own they would be sales of today.
 */
static void
check_time(const TteMapping *m)
{
	bool		given = m->recorded_now || m->using_name != NULL;

	for (int i = 0; i < m->ntargets; i++)
		given |= m->targets[i].kind == TTE_TARGET_EVENT_TIME;
	if (!given)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("mapping has no target \"event_time\""),
				 errdetail("Old rows that are written again, by INSERT ... SELECT or the first copy of a subscription, would become events of today."),
				 errhint("Name the column that says when it happened, or write \"event_time\": \"now\" where rows are written only when it happens.")));
}

static bool
has_field(const TteMapping *m, int field)
{
	for (int i = 0; i < m->ntargets; i++)
	{
		if (m->targets[i].kind == TTE_TARGET_FIELD && m->targets[i].field == field)
			return true;
	}
	return false;
}

static bool
has_identifier(const TteMapping *m)
{
	for (int i = 0; i < m->ntargets; i++)
	{
		if (m->targets[i].kind == TTE_TARGET_FIELD && tte_fields[m->targets[i].field].section == TTE_SECTION_USER)
			return true;
	}
	return false;
}

static void
refuse_incomplete(const TteSource *source, const char *what, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("mapping has no %s", what),
			 errdetail("Every event of source \"%s\" would be invalid.", source->name),
			 errhint("%s", hint)));
}

/* Without these no event can be sent; a function may give them. */
static void
check_required(const NewTrigger *new, const TteSource *source)
{
	const TteRequired *required = tte_event_required(&source->rules);

	if (new->mapping->using_name != NULL)
		return;
	if (required != NULL && !has_field(new->mapping, required->field))
		refuse_incomplete(source, psprintf("target \"%s\"", tte_fields[required->field].name), required->hint);
	if ((required == NULL || required->field != TTE_FIELD_LEAD_ID) && !has_identifier(new->mapping))
		refuse_incomplete(source, "identifier", "Give as many as there are, such as email, phone, external_id, ttclid.");
}

/*
 * CREATE TABLE ... PARTITION OF and ATTACH PARTITION copy the trigger as the
 * owner, whom PostgreSQL then asks for EXECUTE.
 */
static void
warn_owner(const NewTrigger *new)
{
	Oid			owner = new->rel->rd_rel->relowner;
	Oid			function = LookupFuncName(list_make2(makeString(pstrdup("tiktok")), makeString(pstrdup("track_row"))), 0, NULL, false);
	const char *role = GetUserNameFromId(owner, false);

	if (new->rel->rd_rel->relkind != RELKIND_PARTITIONED_TABLE || tte_function_aclcheck(function, owner) == ACLCHECK_OK)
		return;
	ereport(WARNING,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("role \"%s\" can no longer make partitions of its table \"%s\"", role, RelationGetRelationName(new->rel)),
			 errdetail("A new partition gets a copy of the trigger, for which the owner of the table needs EXECUTE on tiktok.track_row()."),
			 errhint("As a superuser: SELECT tiktok.grant_owner(%s);", quote_literal_cstr(quote_identifier(role)))));
}

/* A row that moves to another partition is inserted there; its key may have changed, because the partition's columns are in it. */
static void
check_partitioned(const NewTrigger *new)
{
	if (new->rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE && !new->mapping->has_event_id && new->mapping->using_name == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("mapping has no target \"event_id\""),
				 errdetail("Table \"%s\" is partitioned by columns of its primary key: a row that moves to another partition would make a second event.",
						   RelationGetRelationName(new->rel)),
				 errhint("Name a column that stays the same.")));
}

static void
check(NewTrigger *new)
{
	ListCell   *cell;
	Trigger		trigger = {.tgname = new->name, .tgnargs = new->nargs, .tgargs = new->args};

	new->mapping = tte_mapping_parse(&trigger, new->rel);
	foreach(cell, new->sources)
		check_event(new, lfirst(cell));
	check_mapping(new);
	if (new->at_commit && !new->mapping->has_event_id && new->mapping->nkeys == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("at_commit needs an \"event_id\" or a primary key"),
				 errdetail("A row that is written twice in a transaction would make two events.")));
	check_partitioned(new);
	check_time(new->mapping);
	foreach(cell, new->sources)
	{
		check_required(new, lfirst(cell));
		if (new->mapping->using_name == NULL)
			tte_literals_check(new->mapping, lfirst(cell), &new->remarks);
	}
	tte_stages_check(new->mapping, new->sources, &new->remarks);
}

/*
 * Execution
 */

static char *
given_name(FunctionCallInfo fcinfo)
{
	char	   *name = tte_required_text(fcinfo, ARG_NAME, "name");

	if (name[0] == '\0' || strlen(name) >= NAMEDATALEN)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_NAME),
				 errmsg("invalid trigger name: \"%s\"", name),
				 errhint("It has 1 to %d bytes.", NAMEDATALEN - 1)));
	return name;
}

static void
execute(NewTrigger *new, const char *name, const char *events, const char *when)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "CREATE %sTRIGGER %s AFTER %s ON %s %sFOR EACH ROW ", new->at_commit ? "CONSTRAINT " : "",
					 quote_identifier(name), events, new->table, new->at_commit ? "DEFERRABLE INITIALLY DEFERRED " : "");
	if (when != NULL)
		appendStringInfo(&sql, "WHEN (%s) ", when);
	appendStringInfoString(&sql, "EXECUTE FUNCTION tiktok.track_row(");
	for (int i = 0; i < new->nargs; i++)
		appendStringInfo(&sql, "%s%s", i ? ", " : "", quote_literal_cstr(new->args[i]));
	appendStringInfoChar(&sql, ')');
	tte_trigger_run(&new->executed, sql.data);
	tte_trigger_remember(new->relid, name, get_trigger_oid(new->relid, name, false), new->args[0]);
	if (new->replica)
		new->at_end = lappend(new->at_end, psprintf("ALTER TABLE %s ENABLE REPLICA TRIGGER %s", new->table, quote_identifier(name)));
}

/*
 * The condition speaks of the row as it is stored.  An inserted row makes an
 * event when it holds, an updated one when it holds and did not before; WHEN
 * of an INSERT may not speak of OLD, so these are two triggers.  With stages it
 * is the stage that has to change, which the function looks at itself.
 */
static void
create_triggers(NewTrigger *new, const char *condition)
{
	Node	   *expr = condition ? tte_condition_parse(new->rel, condition, EXPR_KIND_TRIGGER_WHEN) : NULL;
	char	   *holds = expr ? tte_condition_text(new->rel, expr, "new") : NULL;

	execute(new, new->name, new->mapping->by_stage ? "INSERT OR UPDATE" : "INSERT", holds);
	if (new->mapping->by_stage || expr == NULL)
		return;
	execute(new, tte_trigger_update_name(new->name), "UPDATE",
			psprintf("(%s) AND (%s) IS NOT TRUE", holds, tte_condition_text(new->rel, expr, "old")));
}

/* Those that are not new yet are in the relation's list of triggers. */
static void
add_remarks(NewTrigger *new, bool condition)
{
	Trigger		trigger = {.tgname = new->name, .tgnargs = new->nargs, .tgargs = new->args};
	TteRemarked remarked = {new->rel, &trigger, new->mapping, &new->compiled, condition, new->at_commit};

	tte_remarks(&remarked, &new->remarks);
}

static bool
optional_bool(FunctionCallInfo fcinfo, int argument)
{
	return !PG_ARGISNULL(argument) && PG_GETARG_BOOL(argument);
}

static void
find_sources(NewTrigger *new, const char *source)
{
	TteSource  *only = palloc(sizeof(TteSource));

	if (source[0] != '=')
	{
		tte_source_require(source, only);
		new->sources = list_make1(only);
	}
	else
		new->sources = tte_sources_of_keys();
	if (new->sources == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("there is no event source"),
				 errhint("Insert the sources that rows may name into tiktok.source, with their key.")));
}

/* Finds the trigger's name and, if it is taken, makes room for it. */
static void
open_for(NewTrigger *new, FunctionCallInfo fcinfo, const char *source, const char *event)
{
	bool		replace = optional_bool(fcinfo, ARG_REPLACE);

	new->rel = tte_trigger_open_table(new->relid, replace);
	new->table = tte_trigger_table(new->rel);
	new->name = PG_ARGISNULL(ARG_NAME) ? tte_trigger_default_name(new->rel, source, event) : given_name(fcinfo);
	if (tte_trigger_find(new->rel, new->name) == NULL)
		return;
	if (!replace)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("trigger \"%s\" for relation \"%s\" already exists", new->name, RelationGetRelationName(new->rel)),
				 errhint("Give replace => true to make it anew, or another name.")));
	tte_trigger_drop(new->rel, new->name, &new->executed);
	new->rel = tte_trigger_open_table(new->relid, true);
}

Datum
tte_sql_create_trigger(PG_FUNCTION_ARGS)
{
	NewTrigger	new = {0};
	ListCell   *cell;
	char	   *source = tte_required_text(fcinfo, ARG_SOURCE, "source");
	char	   *event = tte_required_text(fcinfo, ARG_EVENT, "event");

	tte_require_argument(fcinfo, ARG_RELATION, "relation");
	tte_require_argument(fcinfo, ARG_MAPPING, "mapping");
	tte_require_writable("tiktok.create_trigger()");
	find_sources(&new, source);
	initStringInfo(&new.executed);
	initStringInfo(&new.remarks);
	new.relid = PG_GETARG_OID(ARG_RELATION);
	new.at_commit = optional_bool(fcinfo, ARG_AT_COMMIT);
	new.replica = optional_bool(fcinfo, ARG_REPLICA);
	open_for(&new, fcinfo, source, event);
	set_arguments(&new, source, event, PG_GETARG_DATUM(ARG_MAPPING));
	make_function(&new, PG_ARGISNULL(ARG_QUERY) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(ARG_QUERY)));
	check(&new);
	create_triggers(&new, PG_ARGISNULL(ARG_CONDITION) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(ARG_CONDITION)));
	warn_owner(&new);
	add_remarks(&new, !PG_ARGISNULL(ARG_CONDITION));
	relation_close(new.rel, NoLock);
	foreach(cell, new.at_end)
		tte_trigger_run(&new.executed, lfirst(cell));
	appendStringInfoString(&new.executed, new.remarks.data);
	PG_RETURN_TEXT_P(cstring_to_text(new.executed.data));
}
