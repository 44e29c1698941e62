/*-------------------------------------------------------------------------
 *
 * rows.c
 *	  The rows of a table, as one of its triggers would see them.
 *
 * They are read by a query, in the order of a unique key, so that reading can
 * stop anywhere and go on later.  Nothing in the query depends on the
 * search_path; the operators of the key are those of its index.
 *
 * The table is its owner's: so may be its types, its indexes and the trigger.
 * The query runs with the owner's rights, for those who may read the table
 * (server/rights.c).  What the owner may not have written, a condition, a WHEN
 * or a function, is run only for those who may act as the owner anyway.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/nbtree.h"
#include "access/relation.h"
#include "access/table.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/relcache.h"

#include "enqueue/track_row.h"
#include "operate/condition.h"
#include "operate/rows.h"
#include "operate/triggers.h"
#include "server/compat.h"
#include "server/rights.h"

Relation
tte_table_open(Oid relid, LOCKMODE lockmode)
{
	Relation	rel = try_relation_open(relid, lockmode);

	if (rel == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist", relid)));
	if (rel->rd_rel->relkind != RELKIND_RELATION && rel->rd_rel->relkind != RELKIND_PARTITIONED_TABLE)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not a table", RelationGetRelationName(rel)),
				 errdetail_relkind_not_supported(rel->rd_rel->relkind),
				 errhint("Name the table in which the rows are stored.")));
	if (strcmp(get_namespace_name(RelationGetNamespace(rel)), "tiktok") == 0)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("no events are made of the tables of schema tiktok"),
				 errhint("Name the table of orders or leads.")));
	return rel;
}

/* A copy, which stays when the relation is closed. */
static Trigger *
copy_trigger(Relation rel, const char *name)
{
	const Trigger *trigger = tte_trigger_require(rel, name);

	return &CopyTriggerDesc(rel->trigdesc)->triggers[trigger - rel->trigdesc->triggers];
}

static char *
qualified_operator(Oid opfamily, Oid type, StrategyNumber strategy)
{
	List	   *names;
	List	   *types;

	format_operator_parts(get_opfamily_member(opfamily, type, type, strategy), &names, &types, false);
	return psprintf("OPERATOR(%s.%s)", quote_identifier(linitial(names)), (char *) lsecond(names));
}

/* Does every row have its own place in this index, by plain columns? */
static bool
is_key(Relation rel, Relation index)
{
	Form_pg_index form = index->rd_index;

	if (!form->indisunique || !form->indisvalid || !form->indimmediate || index->rd_rel->relam != BTREE_AM_OID ||
		RelationGetIndexPredicate(index) != NIL)
		return false;
	for (int i = 0; i < form->indnkeyatts; i++)
	{
		Form_pg_attribute att;

		if (form->indkey.values[i] <= 0)
			return false;
		att = TupleDescAttr(RelationGetDescr(rel), form->indkey.values[i] - 1);
		if (!att->attnotnull || att->attcollation != index->rd_indcollation[i])
			return false;
	}
	return true;
}

static void
take_key(TteRows *rows, Relation index)
{
	rows->nkeys = index->rd_index->indnkeyatts;
	rows->keys = palloc(rows->nkeys * sizeof(TteKeyColumn));
	for (int i = 0; i < rows->nkeys; i++)
	{
		TteKeyColumn *key = &rows->keys[i];
		Form_pg_attribute att = TupleDescAttr(RelationGetDescr(rows->rel), index->rd_index->indkey.values[i] - 1);

		key->attno = att->attnum;
		key->type = att->atttypid;
		key->name = psprintf(TTE_ROW_NAME ".%s", quote_identifier(NameStr(att->attname)));
		key->less = qualified_operator(index->rd_opfamily[i], index->rd_opcintype[i], BTLessStrategyNumber);
		key->greater = qualified_operator(index->rd_opfamily[i], index->rd_opcintype[i], BTGreaterStrategyNumber);
		key->not_less = qualified_operator(index->rd_opfamily[i], index->rd_opcintype[i], BTGreaterEqualStrategyNumber);
	}
}

/* The primary key or, without one, the first unique index without nulls. */
static void
find_row_key(TteRows *rows)
{
	ListCell   *cell;

	foreach(cell, RelationGetIndexList(rows->rel))
	{
		Relation	index = index_open(lfirst_oid(cell), AccessShareLock);

		if (is_key(rows->rel, index) && (rows->nkeys == 0 || index->rd_index->indisprimary))
			take_key(rows, index);
		index_close(index, AccessShareLock);
	}
}

static void
check_rights(TteRows *rows, bool condition)
{
	const Trigger *trigger = rows->trigdata.tg_trigger;
	const TteMapping *m = tte_mapping_get(&rows->trigdata);
	bool		code = condition || trigger->tgqual != NULL || m->using_name != NULL || m->query_name != NULL;
	TteReading	reading = tte_reading(rows->rel, NULL);

	if (reading != TTE_READING_ALLOWED)
		tte_reading_refuse(rows->rel, reading);
	if (code && !tte_has_rights_of_owner(rows->rel))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be able to act as the owner of table \"%s\"", RelationGetRelationName(rows->rel)),
				 errdetail("A condition, the WHEN of trigger \"%s\" and its functions are run for those who have the owner's rights.", trigger->tgname),
				 errhint("Call this as role %s or as a member of it.",
						 quote_identifier(GetUserNameFromId(rows->rel->rd_rel->relowner, false)))));
}

TteRows *
tte_rows_open(Oid relid, const char *trigger, bool condition)
{
	TteRows    *rows = palloc0(sizeof(TteRows));
	TteRights	rights;

	rows->rel = tte_table_open(relid, AccessShareLock);
	rows->trigdata.type = T_TriggerData;
	/* two of these are 0: NOLINTNEXTLINE(misc-redundant-expression) */
	rows->trigdata.tg_event = TRIGGER_EVENT_INSERT | TRIGGER_EVENT_ROW | TRIGGER_EVENT_AFTER;
	rows->trigdata.tg_relation = rows->rel;
	rows->trigdata.tg_trigger = copy_trigger(rows->rel, trigger);
	rows->trigdata.tg_trigslot = MakeSingleTupleTableSlot(RelationGetDescr(rows->rel), &TTSOpsVirtual);
	check_rights(rows, condition);
	/* a predicate is simplified when it is looked at, which may run functions */
	tte_rights_take(rows->rel->rd_rel->relowner, TTE_SAFE_PATH, &rights);
	find_row_key(rows);
	tte_rights_give_back(&rights);
	rows->mapping = tte_mapping_get(&rows->trigdata);
	return rows;
}

void
tte_rows_close(TteRows *rows)
{
	ExecDropSingleTupleTableSlot(rows->trigdata.tg_trigslot);
	relation_close(rows->rel, NoLock);
}

static void
refuse_transition(const TteRows *rows, Node *when)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("the WHEN of trigger \"%s\" does not say which of the rows that are there are meant",
					rows->trigdata.tg_trigger->tgname),
			 errdetail("It compares rows with what they were before."),
			 when ? errhint("Give a condition on the rows as they are now, for example %s.",
							quote_literal_cstr(tte_condition_text(rows->rel, when, TTE_ROW_NAME))) :
			 errhint("Give a condition on the rows as they are now.")));
}

/* The WHEN, without what it says of the row as it was before. */
static Node *
when_of_trigger(TteRows *rows, bool alone)
{
	bool		transition = false;
	Node	   *when = tte_condition_of_trigger(rows->trigdata.tg_trigger, &transition);

	if (transition && alone)
		refuse_transition(rows, when);
	return when;
}

char *
tte_rows_filter(TteRows *rows, const char *condition, bool ignore_when)
{
	List	   *all = NIL;
	Node	   *when;
	char	   *filter;
	TteRights	rights;

	/* names are found in the caller's search_path */
	tte_rights_take(rows->rel->rd_rel->relowner, NULL, &rights);
	if (condition != NULL)
		all = lappend(all, tte_condition_parse(rows->rel, condition, EXPR_KIND_WHERE));
	when = ignore_when ? NULL : when_of_trigger(rows, condition == NULL);
	if (when != NULL)
		all = lcons(when, all);
	filter = all ? tte_condition_text(rows->rel, (Node *) make_ands_explicit(all), TTE_ROW_NAME) : pstrdup("true");
	tte_rights_give_back(&rights);
	if (ignore_when && rows->trigdata.tg_trigger->tgqual != NULL)
		ereport(NOTICE,
				(errmsg("the WHEN of trigger \"%s\" is ignored", rows->trigdata.tg_trigger->tgname)));
	return filter;
}

/* One comparison of rows: what an index serves best. */
static void
append_row_comparison(const TteRows *rows, StringInfo sql)
{
	appendStringInfoString(sql, " WHERE ROW(");
	for (int i = 0; i < rows->nkeys; i++)
		appendStringInfo(sql, "%s%s", i ? ", " : "", rows->keys[i].name);
	appendStringInfo(sql, ") %s ROW(", rows->keys[0].greater);
	for (int i = 0; i < rows->nkeys; i++)
		appendStringInfo(sql, "%s$%d", i ? ", " : "", i + 1);
	appendStringInfoChar(sql, ')');
}

/* The same where the columns need operators of different names. */
static void
append_nested_comparison(const TteRows *rows, StringInfo sql)
{
	int			last = rows->nkeys - 1;

	appendStringInfoString(sql, " WHERE ");
	for (int i = 0; i < last; i++)
	{
		const TteKeyColumn *key = &rows->keys[i];

		appendStringInfo(sql, "%s %s $%d AND (%s %s $%d OR ",
						 key->name, key->not_less, i + 1, key->name, key->greater, i + 1);
	}
	appendStringInfo(sql, "%s %s $%d", rows->keys[last].name, rows->keys[last].greater, last + 1);
	for (int i = 0; i < last; i++)
		appendStringInfoChar(sql, ')');
}

/* The key is greater than the parameters. */
static void
append_after(const TteRows *rows, StringInfo sql)
{
	bool		same = true;

	for (int i = 1; i < rows->nkeys; i++)
		same &= strcmp(rows->keys[i].greater, rows->keys[0].greater) == 0;
	if (same)
		append_row_comparison(rows, sql);
	else
		append_nested_comparison(rows, sql);
}

/* Of a dropped column, and of one that is computed when it is read, a trigger sees nothing. */
static bool
is_seen(Form_pg_attribute att)
{
	return !att->attisdropped && att->attgenerated != TTE_ATTRIBUTE_GENERATED_VIRTUAL;
}

char *
tte_rows_query(const TteRows *rows, const char *filter, bool after)
{
	TupleDesc	desc = RelationGetDescr(rows->rel);
	char	   *schema = get_namespace_name(RelationGetNamespace(rows->rel));
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfoString(&sql, "SELECT ");
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (is_seen(att))
			appendStringInfo(&sql, TTE_ROW_NAME ".%s, ", quote_identifier(NameStr(att->attname)));
	}
	/* triggers do not fire for rows of tables that inherit, except partitions */
	appendStringInfo(&sql, "%s FROM %s%s AS " TTE_ROW_NAME, filter,
					 rows->rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE ? "" : "ONLY ",
					 quote_qualified_identifier(schema, RelationGetRelationName(rows->rel)));
	if (after)
		append_after(rows, &sql);
	return sql.data;
}

void
tte_rows_order(const TteRows *rows, StringInfo sql)
{
	for (int i = 0; i < rows->nkeys; i++)
		appendStringInfo(sql, "%s%s USING %s", i ? ", " : " ORDER BY ", rows->keys[i].name, rows->keys[i].less);
}

/* The column that says when it happened, if it is a time. */
static const char *
time_column(const TteRows *rows)
{
	const TteMapping *m = rows->mapping;

	for (int i = 0; i < m->ntargets; i++)
	{
		const TteTarget *target = &m->targets[i];

		if (target->kind == TTE_TARGET_EVENT_TIME && target->attno != InvalidAttrNumber && !target->of_query &&
			target->path_len == 0 && target->type.kind == TTE_VALUE_TIME)
			return quote_identifier(NameStr(TupleDescAttr(RelationGetDescr(rows->rel), target->attno - 1)->attname));
	}
	return NULL;
}

void
tte_rows_newest_first(const TteRows *rows, StringInfo sql)
{
	const char *time = time_column(rows);
	const char *comma = " ORDER BY ";

	if (time != NULL)
	{
		appendStringInfo(sql, "%s" TTE_ROW_NAME ".%s DESC NULLS LAST", comma, time);
		comma = ", ";
	}
	for (int i = 0; i < rows->nkeys; i++, comma = ", ")
		appendStringInfo(sql, "%s%s USING %s", comma, rows->keys[i].name, rows->keys[i].greater);
}

bool
tte_rows_fetch(TteRows *rows, HeapTuple tuple, TupleDesc desc)
{
	TupleTableSlot *slot = rows->trigdata.tg_trigslot;
	TupleDesc	table = RelationGetDescr(rows->rel);
	int			column = 0;
	bool		isnull;
	Datum		taken;

	ExecClearTuple(slot);
	for (int i = 0; i < table->natts; i++)
	{
		slot->tts_isnull[i] = true;
		slot->tts_values[i] = (Datum) 0;
		if (is_seen(TupleDescAttr(table, i)))
			slot->tts_values[i] = SPI_getbinval(tuple, desc, ++column, &slot->tts_isnull[i]);
	}
	ExecStoreVirtualTuple(slot);
	taken = SPI_getbinval(tuple, desc, ++column, &isnull);
	return !isnull && DatumGetBool(taken);
}

void
tte_rows_event(TteRows *rows, bool ascii, TteRowEvent *result)
{
	tte_row_event(&rows->trigdata, true, ascii, result);
}

/* Text in which values survive whatever a session has set. */
static int
pin_text_format(void)
{
	static const char *const settings[][2] = {
		{"DateStyle", "ISO, YMD"}, {"IntervalStyle", "postgres"}, {"extra_float_digits", "3"},
		{"search_path", "pg_catalog, pg_temp"}
	};
	int			level = NewGUCNestLevel();

	for (int i = 0; i < lengthof(settings); i++)
		(void) set_config_option(settings[i][0], settings[i][1], PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
	return level;
}

ArrayType *
tte_rows_key(const TteRows *rows)
{
	Datum	   *parts = palloc(rows->nkeys * sizeof(Datum));
	int			level = pin_text_format();

	for (int i = 0; i < rows->nkeys; i++)
	{
		bool		isnull;
		Datum		value = slot_getattr(rows->trigdata.tg_trigslot, rows->keys[i].attno, &isnull);
		Oid			output;
		bool		varlena;

		getTypeOutputInfo(rows->keys[i].type, &output, &varlena);
		parts[i] = CStringGetTextDatum(OidOutputFunctionCall(output, value));
	}
	AtEOXact_GUC(true, level);
	return construct_array(parts, rows->nkeys, TEXTOID, -1, false, TYPALIGN_INT);
}

void
tte_rows_key_values(const TteRows *rows, ArrayType *key, Oid *types, Datum *values)
{
	int			level = pin_text_format();
	Datum	   *parts;
	int			n;

	deconstruct_array(key, TEXTOID, -1, false, TYPALIGN_INT, &parts, NULL, &n);
	if (n != rows->nkeys)
		elog(ERROR, "key has %d columns instead of %d", n, rows->nkeys);
	for (int i = 0; i < n; i++)
	{
		Oid			input;
		Oid			param;

		types[i] = rows->keys[i].type;
		getTypeInputInfo(types[i], &input, &param);
		values[i] = OidInputFunctionCall(input, TextDatumGetCString(parts[i]), param, -1);
	}
	AtEOXact_GUC(true, level);
}
