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
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_proc.h"
#include "executor/spi.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "parser/parse_func.h"
#include "parser/scansup.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "enqueue/mapping.h"
#include "enqueue/source.h"
#include "enqueue/track.h"
#include "enqueue/value.h"
#include "operate/compile.h"
#include "operate/condition.h"
#include "operate/remarks.h"
#include "operate/rows.h"
#include "operate/stages.h"
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

/* Ending of the second trigger's name, where two are needed. */
#define UPDATE_SUFFIX	"_update"

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
PG_FUNCTION_INFO_V1(tte_sql_drop_trigger);

/* As CREATE TRIGGER and DROP TRIGGER lock it; nobody can lock what these would not let them. */
static Relation
open_table(Oid relid, bool drop)
{
	AclResult	acl = drop ? (tte_class_ownercheck(relid, GetUserId()) ? ACLCHECK_OK : ACLCHECK_NOT_OWNER) :
	pg_class_aclcheck(relid, GetUserId(), ACL_TRIGGER);

	if (acl != ACLCHECK_OK && get_rel_name(relid) != NULL)
		aclcheck_error(acl, get_relkind_objtype(get_rel_relkind(relid)), get_rel_name(relid));
	return tte_table_open(relid, drop ? AccessExclusiveLock : ShareRowExclusiveLock);
}

static char *
table_name(Relation rel)
{
	return quote_qualified_identifier(get_namespace_name(RelationGetNamespace(rel)), RelationGetRelationName(rel));
}

static void
run_statement(StringInfo executed, const char *sql)
{
	SPI_connect();
	SPI_execute(sql, false, 0);
	SPI_finish();
	appendStringInfo(executed, "%s%s;", executed->len ? "\n" : "", sql);
}

/*
 * tiktok.created_trigger has those that tiktok.health() misses when they are
 * gone.  Without the privilege for it, a trigger works but is not missed.
 */
static void
note_trigger(const char *sql, AclMode privilege, Oid relid, const char *name, Oid trigger, const char *source)
{
	Oid			types[] = {OIDOID, NAMEOID, OIDOID, TEXTOID};
	NameData	trigger_name;
	Datum		values[4];

	if (pg_class_aclcheck(tte_relation("created_trigger"), GetUserId(), privilege) != ACLCHECK_OK)
		return;
	namestrcpy(&trigger_name, name);
	values[0] = ObjectIdGetDatum(relid);
	values[1] = NameGetDatum(&trigger_name);
	values[2] = ObjectIdGetDatum(trigger);
	values[3] = CStringGetTextDatum(source);
	SPI_connect();
	SPI_execute_with_args(sql, lengthof(types), types, values, NULL, false, 0);
	SPI_finish();
}

static const char remember_sql[] =
"INSERT INTO tiktok.created_trigger (relation, trigger_name, trigger_oid, source) VALUES ($1, $2, $3, $4) "
"ON CONFLICT (relation, trigger_name) DO UPDATE SET trigger_oid = excluded.trigger_oid, source = excluded.source";

/* By its name now or when it was made. */
static const char forget_sql[] =
"DELETE FROM tiktok.created_trigger c WHERE c.relation OPERATOR(pg_catalog.=) $1"
" AND (c.trigger_name OPERATOR(pg_catalog.=) $2 OR c.trigger_oid OPERATOR(pg_catalog.=) $3)";

/*
 * Arguments
 */

static void
refuse_mapping(const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid mapping"),
			 errdetail("%s", detail),
			 errhint("It is a JSON object of targets and columns, as in '{\"email\": \"email\", \"value\": \"total\", \"currency\": \"''EUR''\"}'.")));
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
		default:
			refuse_mapping(psprintf("The value of \"%s\" is not text.", target));
	}
	return psprintf("%s=%s", target, value);
}

static void
set_arguments(NewTrigger *new, const char *source, const char *event, Datum mapping)
{
	TteJson    *object = tte_value_jsonb(mapping);

	if (object == NULL || object->kind != TTE_JSON_OBJECT)
		refuse_mapping("It is not an object.");
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
		const char *value = strchr(new->args[i], '=') + 1;
		char	   *name = pnstrdup(new->args[i], value - new->args[i] - 1);

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
		run_statement(&new->executed, lfirst(cell));
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
has_field(const TteMapping *m, TteSection section, int field)
{
	for (int i = 0; i < m->ntargets; i++)
	{
		if (m->targets[i].kind == TTE_TARGET_FIELD && tte_fields[m->targets[i].field].section == section &&
			(field < 0 || m->targets[i].field == field))
			return true;
	}
	return false;
}

static void
require_target(const NewTrigger *new, const TteSource *source, TteSection section, int field, const char *what, const char *hint)
{
	if (!has_field(new->mapping, section, field))
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
	const TteSourceRules *rules = &source->rules;

	if (new->mapping->using_name != NULL)
		return;
	if (rules->source == TTE_WEB)
		require_target(new, source, TTE_SECTION_PAGE, TTE_FIELD_URL, "target \"url\"",
					   "Give the address of the page on which it happened, a column or a literal.");
	if (rules->source == TTE_APP)
		require_target(new, source, TTE_SECTION_APP, TTE_FIELD_APP_ID, "target \"app_id\"",
					   "Give the number in the App Store or the package name, a column or a literal.");
	if (rules->source == TTE_CRM && rules->require_lead_id)
		require_target(new, source, TTE_SECTION_LEAD, TTE_FIELD_LEAD_ID, "target \"lead_id\"",
					   "Give TikTok's number of the lead, or set require_lead_id to false for the source.");
	else
		require_target(new, source, TTE_SECTION_USER, -1, "identifier",
					   "Give as many as there are, such as email, phone, external_id, ttclid.");
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
		check_required(new, lfirst(cell));
	tte_stages_check(new->mapping, new->sources, &new->remarks);
}

/*
 * Names
 */

/* The first len bytes at most, without the half of a character at the end. */
static char *
clip(const char *name, int len)
{
	return pnstrdup(name, pg_mbcliplen(name, strlen(name), len));
}

static const Trigger *
find_trigger(Relation rel, const char *name)
{
	for (int i = 0; rel->trigdesc && i < rel->trigdesc->numtriggers; i++)
	{
		const Trigger *trigger = &rel->trigdesc->triggers[i];

		if (!trigger->tgisinternal && strcmp(trigger->tgname, name) == 0)
			return trigger;
	}
	return NULL;
}

/* A trigger of tiktok.track_row() for these events. */
static bool
records(const Trigger *trigger, const char *source, const char *event)
{
	return tte_is_track_row(trigger->tgfoid) && trigger->tgnargs >= 2 &&
		strcmp(trigger->tgargs[0], source) == 0 && strcmp(trigger->tgargs[1], event) == 0;
}

/*
 * tiktok_<source>_<event>.  Two long names may be the same after 63 bytes: then
 * the second one gets a number.
 */
static char *
default_name(Relation rel, const char *source, const char *event)
{
	char	   *whole = psprintf("tiktok_%s_%s", source + (*source == '='), event + (*event == '='));
	char	   *name = downcase_identifier(whole, strlen(whole), false, false);
	char	   *clipped;
	const Trigger *trigger;

	for (char *p = name; *p; p++)
	{
		if (*p == '"' || *p == ' ' || (*p == '-' && p[1] == '>') || *p == '>')
			*p = '_';
	}
	if (strlen(name) < NAMEDATALEN)
		return name;
	clipped = clip(name, NAMEDATALEN - 1);
	for (int i = 2; (trigger = find_trigger(rel, clipped)) != NULL && !records(trigger, source, event); i++)
	{
		char	   *number = psprintf("_%d", i);

		clipped = psprintf("%s%s", clip(name, NAMEDATALEN - 1 - strlen(number)), number);
	}
	return clipped;
}

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

/* The name of the second trigger. */
static char *
update_name(const char *name)
{
	return psprintf("%s" UPDATE_SUFFIX, clip(name, NAMEDATALEN - sizeof(UPDATE_SUFFIX)));
}

/*
 * Dropping
 */

static const Trigger *
require_trigger(Relation rel, const char *name)
{
	const Trigger *trigger = find_trigger(rel, name);

	if (trigger == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("trigger \"%s\" for table \"%s\" does not exist", name, RelationGetRelationName(rel))));
	if (!tte_is_track_row(trigger->tgfoid))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("trigger \"%s\" does not record events", name),
				 errhint("Name a trigger that calls tiktok.track_row().")));
	return trigger;
}

/* The function that the trigger has of tiktok.create_trigger(), and no other. */
static char *
drop_function_statement(Relation rel, const Trigger *trigger)
{
	TteMapping *m = tte_mapping_parse(trigger, rel);

	if (!OidIsValid(m->query_function))
		return NULL;
	return psprintf("DROP FUNCTION %s",
					quote_qualified_identifier(get_namespace_name(get_func_namespace(m->query_function)), m->query_name));
}

static char *
drop_statement(Relation rel, const char *name)
{
	return psprintf("DROP TRIGGER %s ON %s", quote_identifier(name), table_name(rel));
}

/* All that tiktok.create_trigger() has made for a trigger.  A table that is open cannot lose one. */
static void
drop_all(Relation rel, const char *name, StringInfo executed)
{
	const Trigger *trigger = require_trigger(rel, name);
	const Trigger *twin = find_trigger(rel, update_name(name));
	List	   *statements = list_make1(drop_statement(rel, name));
	char	   *drop_function = drop_function_statement(rel, trigger);
	ListCell   *cell;

	note_trigger(forget_sql, ACL_DELETE, RelationGetRelid(rel), name, trigger->tgoid, "");
	if (twin != NULL && trigger->tgnargs >= 2 && records(twin, trigger->tgargs[0], trigger->tgargs[1]))
	{
		statements = lappend(statements, drop_statement(rel, twin->tgname));
		note_trigger(forget_sql, ACL_DELETE, RelationGetRelid(rel), twin->tgname, twin->tgoid, "");
	}
	if (drop_function != NULL)
		statements = lappend(statements, drop_function);
	relation_close(rel, NoLock);
	foreach(cell, statements)
		run_statement(executed, lfirst(cell));
}

/*
 * Execution
 */

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
	run_statement(&new->executed, sql.data);
	note_trigger(remember_sql, ACL_UPDATE, new->relid, name, get_trigger_oid(new->relid, name, false), new->args[0]);
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
	execute(new, update_name(new->name), "UPDATE",
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

	new->rel = open_table(new->relid, replace);
	new->table = table_name(new->rel);
	new->name = PG_ARGISNULL(ARG_NAME) ? default_name(new->rel, source, event) : given_name(fcinfo);
	if (find_trigger(new->rel, new->name) == NULL)
		return;
	if (!replace)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("trigger \"%s\" for relation \"%s\" already exists", new->name, RelationGetRelationName(new->rel)),
				 errhint("Give replace => true to make it anew, or another name.")));
	drop_all(new->rel, new->name, &new->executed);
	new->rel = open_table(new->relid, true);
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
		run_statement(&new.executed, lfirst(cell));
	appendStringInfoString(&new.executed, new.remarks.data);
	PG_RETURN_TEXT_P(cstring_to_text(new.executed.data));
}

Datum
tte_sql_drop_trigger(PG_FUNCTION_ARGS)
{
	StringInfoData executed;
	char	   *name = tte_required_text(fcinfo, 1, "name");

	tte_require_argument(fcinfo, 0, "relation");
	tte_require_writable("tiktok.drop_trigger()");
	initStringInfo(&executed);
	drop_all(open_table(PG_GETARG_OID(0), true), name, &executed);
	PG_RETURN_TEXT_P(cstring_to_text(executed.data));
}
