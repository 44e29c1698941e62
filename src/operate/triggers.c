/*-------------------------------------------------------------------------
 *
 * triggers.c
 *	  The triggers that tiktok.create_trigger() has made: their names, the list
 *	  of them in tiktok.created_trigger, and tiktok.drop_trigger().
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "catalog/pg_class.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "parser/scansup.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "enqueue/mapping.h"
#include "enqueue/track.h"
#include "operate/rows.h"
#include "operate/triggers.h"
#include "server/common.h"
#include "server/compat.h"

/* Ending of the second trigger's name, where two are needed. */
#define UPDATE_SUFFIX	"_update"

PG_FUNCTION_INFO_V1(tte_sql_drop_trigger);

/* As CREATE TRIGGER and DROP TRIGGER lock it; nobody can lock what these would not let them. */
Relation
tte_trigger_open_table(Oid relid, bool drop)
{
	const char *name = get_rel_name(relid);
	AclResult	acl = ACLCHECK_OK;

	if (name != NULL && drop)
		acl = tte_class_ownercheck(relid, GetUserId()) ? ACLCHECK_OK : ACLCHECK_NOT_OWNER;
	else if (name != NULL)
		acl = pg_class_aclcheck(relid, GetUserId(), ACL_TRIGGER);
	if (acl != ACLCHECK_OK)
		aclcheck_error(acl, get_relkind_objtype(get_rel_relkind(relid)), name);
	return tte_table_open(relid, drop ? AccessExclusiveLock : ShareRowExclusiveLock);
}

char *
tte_trigger_table(Relation rel)
{
	return quote_qualified_identifier(get_namespace_name(RelationGetNamespace(rel)), RelationGetRelationName(rel));
}

void
tte_trigger_run(StringInfo executed, const char *sql)
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

void
tte_trigger_remember(Oid relid, const char *name, Oid trigger, const char *source)
{
	note_trigger(remember_sql, ACL_UPDATE, relid, name, trigger, source);
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

bool
tte_is_track_row(Oid function)
{
	return strcmp(get_func_name(function), "track_row") == 0 &&
		strcmp(get_namespace_name(get_func_namespace(function)), "tiktok") == 0;
}

const Trigger *
tte_trigger_find(Relation rel, const char *name)
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
char *
tte_trigger_default_name(Relation rel, const char *source, const char *event)
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
	for (int i = 2; (trigger = tte_trigger_find(rel, clipped)) != NULL && !records(trigger, source, event); i++)
	{
		char	   *number = psprintf("_%d", i);

		clipped = psprintf("%s%s", clip(name, NAMEDATALEN - 1 - strlen(number)), number);
	}
	return clipped;
}

/* The name of the second trigger. */
char *
tte_trigger_update_name(const char *name)
{
	return psprintf("%s" UPDATE_SUFFIX, clip(name, NAMEDATALEN - sizeof(UPDATE_SUFFIX)));
}

/*
 * Dropping
 */

const Trigger *
tte_trigger_require(Relation rel, const char *name)
{
	const Trigger *trigger = tte_trigger_find(rel, name);

	if (trigger == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("trigger \"%s\" for table \"%s\" does not exist", name, RelationGetRelationName(rel)),
				 errhint("See tiktok.created_trigger for those that tiktok.create_trigger() has made.")));
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
	return psprintf("DROP TRIGGER %s ON %s", quote_identifier(name), tte_trigger_table(rel));
}

/* All that tiktok.create_trigger() has made for a trigger.  A table that is open cannot lose one. */
void
tte_trigger_drop(Relation rel, const char *name, StringInfo executed)
{
	const Trigger *trigger = tte_trigger_require(rel, name);
	const Trigger *twin = tte_trigger_find(rel, tte_trigger_update_name(name));
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
		tte_trigger_run(executed, lfirst(cell));
}

Datum
tte_sql_drop_trigger(PG_FUNCTION_ARGS)
{
	StringInfoData executed;
	char	   *name = tte_required_text(fcinfo, 1, "name");

	tte_require_argument(fcinfo, 0, "relation");
	tte_require_writable("tiktok.drop_trigger()");
	initStringInfo(&executed);
	tte_trigger_drop(tte_trigger_open_table(PG_GETARG_OID(0), true), name, &executed);
	PG_RETURN_TEXT_P(cstring_to_text(executed.data));
}
