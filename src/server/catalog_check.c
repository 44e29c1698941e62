/*-------------------------------------------------------------------------
 *
 * catalog_check.c
 *	  Checks that the extension's tables still have the columns and keys that
 *	  C code relies on.
 *
 * C code reads columns of these tables by number, trusts their types and that
 * NOT NULL columns have a value, and finds rows through their keys.  The owner
 * of a table can change them with ALTER TABLE, and a value of another type or
 * a null would then be read as a pointer.  So after each relcache message about
 * a table, it is compared with its original definition.  Columns added at the
 * end are ignored.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/table.h"
#include "catalog/pg_am_d.h"
#include "catalog/pg_class.h"
#include "catalog/pg_index.h"
#include "catalog/pg_opfamily_d.h"
#include "catalog/pg_type_d.h"
#include "executor/spi.h"
#include "nodes/pg_list.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "server/catalog_check.h"
#include "server/common.h"
#include "server/compat.h"
#include "server/invalidation.h"

#define MAX_COLUMNS	20
#define MAX_KEY		4

typedef struct Column
{
	const char *name;
	Oid			type;
	bool		nullable;
} Column;

/* A table as the extension created it. */
typedef struct Table
{
	const char *name;
	Column		columns[MAX_COLUMNS];	/* in order, up to one without a name */
	bool		inserted;		/* C inserts rows, without defaults */
	Oid			primary;		/* operator family of the primary key, which
								 * is the first column; InvalidOid: not relied
								 * on */
	AttrNumber	key[MAX_KEY];	/* of the unique key; 0: not relied on */
} Table;

static const Table tables[] = {
	{"event",
		{
			{"id", INT8OID, false}, {"xid", XID8OID, false}, {"source_id", INT4OID, false}, {"match_keys", INT4OID, false},
			{"event_time", TIMESTAMPTZOID, false}, {"enqueued_at", TIMESTAMPTZOID, false}, {"event", TEXTOID, false},
			{"event_id", TEXTOID, false}, {"value", NUMERICOID, true}, {"currency", TEXTOID, true}, {"notes", TEXTOID, true},
			{"test_code", TEXTOID, true}, {"payload", JSONOID, true}
	}, true, INTEGER_BTREE_FAM_OID, {8, 7, 3, 12}},
	{"identity",
		{
			{"id", INT8OID, false}, {"user_data", JSONOID, false}
	}, true, INTEGER_BTREE_FAM_OID, {0}},
	{"delivery",
		{
			{"id", INT8OID, false}, {"request_id", INT8OID, true}, {"at", TIMESTAMPTZOID, false}, {"status", TEXTOID, false}, {"reason", TEXTOID, true},
			{"attempts", INT4OID, true}, {"first_attempt_at", TIMESTAMPTZOID, true}, {"possibly_received_at", TIMESTAMPTZOID, true}
	}, true, INTEGER_BTREE_FAM_OID, {0}},
	{"retry",
		{
			{"id", INT8OID, false}, {"source_id", INT4OID, false}, {"attempts", INT4OID, false}, {"first_attempt_at", TIMESTAMPTZOID, false},
			{"possibly_received_at", TIMESTAMPTZOID, true}, {"next_attempt_at", TIMESTAMPTZOID, false},
			{"last_request_id", INT8OID, true}, {"code", INT4OID, true}
	}, false, INTEGER_BTREE_FAM_OID, {0}},
	{"request",
		{
			{"id", INT8OID, false}, {"source_id", INT4OID, false}, {"started_at", TIMESTAMPTZOID, false}, {"finished_at", TIMESTAMPTZOID, true},
			{"events", INT4OID, false}, {"first_xid", XID8OID, false}, {"first_id", INT8OID, false}, {"last_xid", XID8OID, false},
			{"last_id", INT8OID, false}, {"http_status", INT4OID, true}, {"code", INT4OID, true}, {"message", TEXTOID, true},
			{"request_id", TEXTOID, true}, {"outcome", TEXTOID, true}, {"bytes", INT4OID, false}, {"is_test", BOOLOID, false}
	}, false, InvalidOid, {0}},
	{"cursor",
		{
			{"source_id", INT4OID, false}, {"prev_snapshot", PG_SNAPSHOTOID, false}, {"snapshot", PG_SNAPSHOTOID, false},
			{"position_xid", XID8OID, false}, {"position_id", INT8OID, false}, {"note", BYTEAOID, true}
	}, false, InvalidOid, {0}},
	{"source_state",
		{
			{"source_id", INT4OID, false}, {"state", TEXTOID, false}, {"since", TIMESTAMPTZOID, false}, {"reason", TEXTOID, true},
			{"probe_at", TIMESTAMPTZOID, true}
	}, false, InvalidOid, {0}},
	{"source",
		{
			{"id", INT4OID, false}, {"name", TEXTOID, false}, {"event_source", TEXTOID, false}, {"event_source_id", TEXTOID, false},
			{"enabled", BOOLOID, false}, {"consent", TEXTOID, false}, {"limited_data_use", BOOLOID, false}, {"identifiers", TEXTOID, false},
			{"external_id_case", TEXTOID, false}, {"default_calling_code", TEXTOID, true}, {"require_lead_id", BOOLOID, false},
			{"rename_legacy_events", BOOLOID, false}, {"currency_policy", TEXTOID, false}, {"max_event_age", INTERVALOID, false},
			{"batch_size", INT4OID, false}, {"requests_per_second", INT4OID, false}, {"created_at", TIMESTAMPTZOID, false}, {"key", TEXTOID, true}, {"time_zone", TEXTOID, false},
			{"advertiser_id", TEXTOID, true}
	}, false, InvalidOid, {0}},
	{"lead_stage",
		{
			{"source", TEXTOID, false}, {"stage", TEXTOID, false}, {"event", TEXTOID, false}
	}, false, InvalidOid, {0}},
	{"test_code",
		{
			{"source_id", INT4OID, false}, {"code", TEXTOID, false}, {"valid_until", TIMESTAMPTZOID, false}
	}, false, InvalidOid, {0}},
	{"access_token",
		{
			{"source_id", INT4OID, false}, {"token", TEXTOID, false}, {"system_identifier", INT8OID, false}, {"database_oid", OIDOID, false},
			{"set_at", TIMESTAMPTZOID, false}
	}, false, InvalidOid, {0}},
	{"reporting_token",
		{
			{"source_id", INT4OID, false}, {"token", TEXTOID, false}, {"system_identifier", INT8OID, false}, {"database_oid", OIDOID, false},
			{"set_at", TIMESTAMPTZOID, false}
	}, false, InvalidOid, {0}},
	{"source_control",
		{
			{"source_id", INT4OID, false}, {"paused", BOOLOID, false}, {"reason", TEXTOID, true}, {"changed_at", TIMESTAMPTZOID, false}
	}, false, InvalidOid, {0}},
	{"installation",
		{
			{"id", INT4OID, false}, {"system_identifier", INT8OID, false}, {"database_oid", OIDOID, false}, {"confirmed_at", TIMESTAMPTZOID, false},
			{"timeline", INT4OID, true}, {"backup_start", PG_LSNOID, true}, {"seen_at", TIMESTAMPTZOID, true},
			{"recovered_to", TIMESTAMPTZOID, true}, {"recovered_xid", XID8OID, true},
			{"noted_system_identifier", INT8OID, false}, {"noted_database_oid", OIDOID, false}
	}, false, InvalidOid, {0}},
	{"config_origin",
		{
			{"id", UUIDOID, false}, {"system_identifier", INT8OID, false}, {"database_oid", OIDOID, false}
	}, false, InvalidOid, {0}},
	{"pixel_seen",
		{
			{"event_id", TEXTOID, false}, {"event", TEXTOID, false}, {"source_id", INT4OID, false}, {"seen_at", TIMESTAMPTZOID, false}
	}, false, InvalidOid, {0}},
};

/* OIDs of tables that passed the check; reset by a relcache message. */
static Oid	sound[lengthof(tables)];

static void
invalidate_checks(Datum arg, Oid relid)
{
	for (int i = 0; i < lengthof(tables); i++)
	{
		if (!OidIsValid(relid) || relid == sound[i])
			sound[i] = InvalidOid;
	}
}

static void
watch_relations(void)
{
	static bool watching = false;

	if (!watching)
		tte_on_relation_change(invalidate_checks);
	watching = true;
}

static int
find_table(const char *name)
{
	for (int i = 0; i < lengthof(tables); i++)
	{
		if (strcmp(tables[i].name, name) == 0)
			return i;
	}
	return -1;
}

static int
count_columns(const Table *table)
{
	int			n = 0;

	while (n < MAX_COLUMNS && table->columns[n].name != NULL)
		n++;
	return n;
}

static const char *
column_problem(const Table *table, TupleDesc desc)
{
	int			n = count_columns(table);

	for (int i = 0; i < desc->natts || i < n; i++)
	{
		Form_pg_attribute att = i < desc->natts ? TupleDescAttr(desc, i) : NULL;
		const Column *column = i < n ? &table->columns[i] : NULL;

		if (column == NULL)
		{
			if (table->inserted && att->attnotnull && !att->attisdropped)
				return psprintf("has another column \"%s\" that must not be null", NameStr(att->attname));
			continue;
		}
		if (att == NULL || att->attisdropped || strcmp(NameStr(att->attname), column->name) != 0)
			return psprintf("does not have \"%s\" as its column number %d", column->name, i + 1);
		if (att->atttypid != column->type)
			return psprintf("has a column \"%s\" of type %s instead of %s", column->name,
							format_type_be(att->atttypid), format_type_be(column->type));
		if (!column->nullable && !att->attnotnull)
			return psprintf("has a column \"%s\" that may be null", column->name);
	}
	return NULL;
}

/* Does the index enforce uniqueness immediately, for all rows, on plain columns? */
static bool
is_usable_key(Relation index)
{
	return index->rd_index->indisunique && index->rd_index->indimmediate && index->rd_index->indisvalid &&
		index->rd_rel->relam == BTREE_AM_OID &&
		RelationGetIndexPredicate(index) == NIL && RelationGetIndexExpressions(index) == NIL;
}

static bool
is_primary_key(Relation index, Oid family)
{
	return is_usable_key(index) && index->rd_index->indisprimary &&
		index->rd_index->indnkeyatts == 1 && index->rd_index->indkey.values[0] == 1 && index->rd_opfamily[0] == family;
}

/* The columns may be in any order.  NULLS NOT DISTINCT: test_code is NULL for real events. */
static bool
is_unique_key(Relation index, const AttrNumber *key)
{
	int			n = 0;

	while (n < MAX_KEY && key[n] != 0)
	{
		bool		found = false;

		for (int i = 0; i < index->rd_index->indnkeyatts; i++)
			found |= index->rd_index->indkey.values[i] == key[n];
		if (!found)
			return false;
		n++;
	}
	return is_usable_key(index) && index->rd_index->indnullsnotdistinct && index->rd_index->indnkeyatts == n;
}

static const char *
key_problem(const Table *table, Relation rel)
{
	bool		primary = !OidIsValid(table->primary);
	bool		unique = table->key[0] == 0;
	List	   *indexes;
	ListCell   *cell;

	if (primary && unique)
		return NULL;
	indexes = RelationGetIndexList(rel);
	foreach(cell, indexes)
	{
		Relation	index = relation_open(lfirst_oid(cell), AccessShareLock);

		primary = primary || is_primary_key(index, table->primary);
		unique = unique || is_unique_key(index, table->key);
		relation_close(index, AccessShareLock);
	}
	list_free(indexes);
	if (!primary)
		return "has lost its primary key";
	return unique ? NULL : "has lost its unique key";
}

static const char *
table_problem(const Table *table, Relation rel)
{
	const char *problem;

	if (rel->rd_rel->relkind != RELKIND_RELATION)
		return "is not an ordinary table";
	problem = column_problem(table, RelationGetDescr(rel));
	return problem ? problem : key_problem(table, rel);
}

/* Marks the table as sound first, so that a message that arrives meanwhile is not lost. */
const char *
tte_own_table_problem(Relation rel)
{
	int			i = find_table(RelationGetRelationName(rel));
	const char *problem;

	if (i < 0 || sound[i] == RelationGetRelid(rel))
		return NULL;
	watch_relations();
	sound[i] = RelationGetRelid(rel);
	problem = table_problem(&tables[i], rel);
	if (problem != NULL)
		sound[i] = InvalidOid;
	return problem;
}

void
tte_own_table_check(Relation rel)
{
	const char *problem = tte_own_table_problem(rel);

	if (problem != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"tiktok.%s\" %s", RelationGetRelationName(rel), problem),
				 errhint("Undo the change to this table of extension tiktok_events."),
				 tte_hide_statement()));
}

Relation
tte_own_table_open(const char *name, LOCKMODE lockmode)
{
	Relation	rel = relation_open(tte_relation(name), lockmode);

	tte_own_table_check(rel);
	return rel;
}

Datum
tte_spi_value(uint64 row, int column, Oid type, bool *isnull)
{
	TupleDesc	desc = SPI_tuptable->tupdesc;
	Oid			found = SPI_gettypeid(desc, column);

	if (found != type)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column \"%s\" of a query of extension tiktok_events has type %s instead of %s",
						SPI_fname(desc, column), format_type_be(found), format_type_be(type)),
				 errhint("Undo the change to this table of extension tiktok_events."),
				 tte_hide_statement()));
	return SPI_getbinval(SPI_tuptable->vals[row], desc, column, isnull);
}
