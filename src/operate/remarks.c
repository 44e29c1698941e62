/*-------------------------------------------------------------------------
 *
 * remarks.c
 *	  What tiktok.create_trigger() has to say about a trigger that works.
 *
 * Each of these mappings may be right, and was wrong in somebody's database:
 * its events are valid and say something else than is meant.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/table.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/partcache.h"
#include "utils/rel.h"
#include "utils/rls.h"

#include "event/catalog.h"
#include "operate/remarks.h"
#include "operate/triggers.h"
#include "server/citus.h"

static void
remark(StringInfo out, const char *what, const char *hint)
{
	appendStringInfo(out, "\n-- %s %s", what, hint);
}

static const TteTarget *
find_field(const TteMapping *m, int field)
{
	for (int i = 0; i < m->ntargets; i++)
	{
		if (m->targets[i].kind == TTE_TARGET_FIELD && m->targets[i].field == field)
			return &m->targets[i];
	}
	return NULL;
}

/* The column of the table that a target is read from, or NULL. */
static const char *
column_of(const TteRemarked *r, const TteTarget *target)
{
	if (target == NULL || target->literal != NULL || target->of_query || target->attno == InvalidAttrNumber)
		return NULL;
	return NameStr(TupleDescAttr(RelationGetDescr(r->rel), target->attno - 1)->attname);
}

static bool
has_word(const char *name, const char *const *words)
{
	for (; *words != NULL; words++)
	{
		if (strstr(name, *words) != NULL)
			return true;
	}
	return false;
}

/* Is it a literal of a currency without a smaller unit? */
static bool
has_no_minor_unit(const TteTarget *currency)
{
	return currency != NULL && currency->literal != NULL && currency->literal->kind == TTE_JSON_STRING &&
		tte_currency_exponent(pnstrdup(currency->literal->text, currency->literal->len)) == 0;
}

static void
remark_minor_units(const TteRemarked *r, StringInfo out)
{
	const TteTarget *value = find_field(r->mapping, TTE_FIELD_VALUE);
	const char *column = column_of(r, value);

	if (column == NULL || r->mapping->has_amounts || has_no_minor_unit(find_field(r->mapping, TTE_FIELD_CURRENCY)) ||
		(value->type.type != INT2OID && value->type.type != INT4OID && value->type.type != INT8OID))
		return;
	remark(out, psprintf("value is read from the whole numbers of \"%s\", as if they were units of the currency.", column),
		   "If they are cents, add \"amounts\": \"'minor'\" to the mapping; if they are units, \"amounts\": 1.");
}

static void
remark_query(const TteRemarked *r, StringInfo out)
{
	if (r->compiled->may_lack_row)
		remark(out, "A row for which the query finds nothing makes no event.",
			   "If such rows count, for example orders of guests, join with: FROM (SELECT) one LEFT JOIN ...");
}

static void
remark_currency(const TteRemarked *r, StringInfo out)
{
	if (find_field(r->mapping, TTE_FIELD_VALUE) != NULL && find_field(r->mapping, TTE_FIELD_CURRENCY) == NULL &&
		r->mapping->using_name == NULL)
		remark(out, "There is a value without a currency: these events would be invalid (currency_missing).",
			   "Add the target \"currency\".");
}

static void
remark_consent(const TteRemarked *r, StringInfo out)
{
	static const char *const words[] = {"opt_out", "optout", "unsubscribe", "revoked", "withdrawn", "do_not", "dont_", "no_track", "denied", NULL};

	for (int i = 0; i < r->mapping->ntargets; i++)
	{
		const TteTarget *target = &r->mapping->targets[i];
		const char *column = target->kind == TTE_TARGET_CONSENT ? column_of(r, target) : NULL;

		if (column != NULL && target->type.kind != TTE_VALUE_TIME && has_word(column, words))
			remark(out, psprintf("consent is read from \"%s\": true means that the person agrees.", column),
				   "If it means the reverse, use a generated column, NOT of it, or a query.");
	}
}

/* The argument that says what the id is. */
static const char *
id_argument(const Trigger *trigger)
{
	for (int i = 2; i < trigger->tgnargs; i++)
	{
		if (strncmp(trigger->tgargs[i], "event_id=", strlen("event_id=")) == 0)
			return trigger->tgargs[i];
	}
	return "";
}

static void
remark_other_triggers(const TteRemarked *r, StringInfo out)
{
	const TriggerDesc *triggers = r->rel->trigdesc;

	for (int i = 0; triggers != NULL && i < triggers->numtriggers; i++)
	{
		const Trigger *other = &triggers->triggers[i];

		if (!tte_is_track_row(other->tgfoid) || other->tgnargs < 2 || strcmp(other->tgargs[0], r->trigger->tgargs[0]) != 0 ||
			strcmp(other->tgargs[1], r->trigger->tgargs[1]) != 0 || strcmp(id_argument(other), id_argument(r->trigger)) == 0)
			continue;
		remark(out, psprintf("Trigger \"%s\" records the same event of these rows under another event_id: both would count.", other->tgname),
			   "Drop one of the two.");
	}
}

static bool
is_partition_column(Relation rel, AttrNumber attno)
{
	PartitionKey key = RelationGetPartitionKey(rel);

	for (int i = 0; key != NULL && i < get_partition_natts(key); i++)
	{
		if (get_partition_col_attnum(key, i) == attno)
			return true;
	}
	return false;
}

/* A row that moves to another partition is deleted and inserted, for triggers. */
static void
remark_update_of(const TteRemarked *r, StringInfo out)
{
	const TriggerDesc *triggers = r->rel->trigdesc;

	for (int i = 0; triggers != NULL && i < triggers->numtriggers; i++)
	{
		const Trigger *other = &triggers->triggers[i];

		for (int j = 0; tte_is_track_row(other->tgfoid) && j < other->tgnattr; j++)
		{
			if (!is_partition_column(r->rel, other->tgattr[j]))
				continue;
			remark(out, psprintf("Trigger \"%s\" fires for UPDATE OF \"%s\", by which the table is partitioned: not for rows that move to another partition.",
								 other->tgname, NameStr(TupleDescAttr(RelationGetDescr(r->rel), other->tgattr[j] - 1)->attname)),
				   "Drop it, and give the condition to tiktok.create_trigger().");
		}
	}
}

static void
remark_lines(const TteRemarked *r, StringInfo out)
{
	ListCell   *cell;

	if (r->at_commit || r->condition || r->compiled->name == NULL)
		return;
	foreach(cell, r->compiled->relids)
	{
		Relation	table = relation_open(lfirst_oid(cell), AccessShareLock);
		ListCell   *key;

		foreach(key, table->rd_rel->relkind == RELKIND_VIEW ? NIL : RelationGetFKeyList(table))
		{
			if (((ForeignKeyCacheInfo *) lfirst(key))->confrelid != RelationGetRelid(r->rel))
				continue;
			remark(out, psprintf("The event is made when the row is inserted, and rows of \"%s\" refer to it: they are written after it.", RelationGetRelationName(table)),
				   "Give at_commit => true.");
			break;
		}
		relation_close(table, NoLock);
	}
}

/* What policies hide is absent, and an absent consent is none that was refused. */
static void
remark_row_security(const TteRemarked *r, StringInfo out)
{
	Oid			owner = r->mapping->query_owner;
	ListCell   *cell;

	if (r->compiled->name == NULL)
		return;
	foreach(cell, r->compiled->relids)
	{
		const char *role = quote_identifier(GetUserNameFromId(owner, false));
		const char *table = quote_qualified_identifier(get_namespace_name(get_rel_namespace(lfirst_oid(cell))), get_rel_name(lfirst_oid(cell)));

		if (check_enable_rls(lfirst_oid(cell), owner, true) == RLS_ENABLED)
			remark(out, psprintf("Table %s has row security, and is read as role %s: a row that no policy shows to it is absent, and a refused consent in it is not seen.", table, role),
				   psprintf("Unless it has one, give it a policy: CREATE POLICY tiktok ON %s FOR SELECT TO %s USING (true).", table, role));
	}
}

/* What can no longer be altered: PostgreSQL refuses it by these dependencies. */
static void
remark_dependencies(const TteRemarked *r, StringInfo out)
{
	static const char sql[] =
	"SELECT pg_catalog.string_agg(DISTINCT pg_catalog.format('%s.%I', d.refobjid::pg_catalog.regclass, a.attname), ', ') FROM pg_catalog.pg_depend d"
	" JOIN pg_catalog.pg_attribute a ON a.attrelid OPERATOR(pg_catalog.=) d.refobjid AND a.attnum OPERATOR(pg_catalog.=) d.refobjsubid"
	" WHERE d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.objid OPERATOR(pg_catalog.=) $1"
	" AND d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass";
	Oid			type = OIDOID;
	Datum		function = ObjectIdGetDatum(r->mapping->query_function);
	char	   *columns = NULL;
	MemoryContext context = CurrentMemoryContext;

	if (r->compiled->name == NULL)
		return;
	SPI_connect();
	if (SPI_execute_with_args(sql, 1, &type, &function, NULL, false, 1) == SPI_OK_SELECT && SPI_processed == 1)
		columns = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
	if (columns != NULL)
		columns = MemoryContextStrdup(context, columns);
	SPI_finish();
	if (columns != NULL)
		remark(out, psprintf("These columns can be altered and dropped only after tiktok.drop_trigger(): %s.", columns),
			   "pg_dump of single tables (-t) leaves the function out.");
}

static void
remark_citus(const TteRemarked *r, StringInfo out)
{
	TteDistributed distributed = tte_citus_distributed(RelationGetRelid(r->rel));

	if (distributed == TTE_CITUS_DISTRIBUTED)
		remark(out, psprintf("Table \"%s\" is distributed by Citus: each server records the events of the rows that it has.", RelationGetRelationName(r->rel)),
			   "Let one server send them all, as in docs/scale-out.md.");
	else if (distributed == TTE_CITUS_REFERENCE)
		remark(out, psprintf("Table \"%s\" is copied by Citus to every server: each records an event of every row.", RelationGetRelationName(r->rel)),
			   "Make the trigger on a distributed or a local table instead.");
}

void
tte_remarks(const TteRemarked *remarked, StringInfo out)
{
	remark_dependencies(remarked, out);
	remark_query(remarked, out);
	remark_minor_units(remarked, out);
	remark_currency(remarked, out);
	remark_consent(remarked, out);
	remark_other_triggers(remarked, out);
	remark_update_of(remarked, out);
	remark_lines(remarked, out);
	remark_row_security(remarked, out);
	remark_citus(remarked, out);
}
