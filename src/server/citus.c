/*-------------------------------------------------------------------------
 *
 * citus.c
 *	  Tables that Citus distributes over several servers.
 *
 * The rows of a distributed table are in shards: tables such as orders_102008 of
 * several servers, whose triggers see that name.  A table may have such a name
 * without being a shard, so Citus itself is asked.  Its catalogs exist in a
 * database that has the extension citus, and only a superuser creates others in
 * schema pg_catalog.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_namespace_d.h"
#include "catalog/pg_type_d.h"
#include "nodes/makefuncs.h"
#include "parser/parse_func.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "server/citus.h"

/*
 * Reads columns of the only row of a catalog of Citus whose column key is value.
 * Returns false if there is no such row, or no Citus.
 */
static bool
read_row(const char *catalog, const char *index, const char *key, RegProcedure equal, Datum value,
		 const char *const *columns, int n, Datum *values)
{
	Oid			relid = get_relname_relid(catalog, PG_CATALOG_NAMESPACE);
	Relation	rel;
	SysScanDesc scan;
	ScanKeyData scankey;
	HeapTuple	tuple;
	bool		found;

	if (!OidIsValid(relid))
		return false;
	rel = table_open(relid, AccessShareLock);
	ScanKeyInit(&scankey, get_attnum(relid, key), BTEqualStrategyNumber, equal, value);
	scan = systable_beginscan(rel, get_relname_relid(index, PG_CATALOG_NAMESPACE), true, NULL, 1, &scankey);
	tuple = systable_getnext(scan);
	found = HeapTupleIsValid(tuple);
	for (int i = 0; found && i < n; i++)
	{
		bool		isnull;

		values[i] = heap_getattr(tuple, get_attnum(relid, columns[i]), RelationGetDescr(rel), &isnull);
		found = !isnull;
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return found;
}

/* The number at the end of the name, after an underscore; 0 if there is none. */
static int64
shard_id(const char *name)
{
	const char *digits = strrchr(name, '_');

	if (digits == NULL || strspn(digits + 1, "0123456789") != strlen(digits + 1))
		return 0;
	return strtoll(digits + 1, NULL, 10);
}

static bool
is_shard(Oid relid)
{
	Oid			type = REGCLASSOID;
	Oid			function = LookupFuncName(list_make2(makeString(pstrdup("pg_catalog")), makeString(pstrdup("relation_is_a_known_shard"))), 1, &type, true);

	return OidIsValid(function) && DatumGetBool(OidFunctionCall1(function, ObjectIdGetDatum(relid)));
}

Oid
tte_citus_table(Oid relid)
{
	static const char *const columns[] = {"logicalrelid"};
	const char *name = get_rel_name(relid);
	int64		shard = name ? shard_id(name) : 0;
	Datum		table;

	if (shard != 0 && is_shard(relid) &&
		read_row("pg_dist_shard", "pg_dist_shard_shardid_index", "shardid", F_INT8EQ, Int64GetDatum(shard), columns, lengthof(columns), &table))
		return DatumGetObjectId(table);
	return relid;
}

/* A table of the partition method 'n' has one shard; a local one is in no group of tables that are placed alike. */
TteDistributed
tte_citus_distributed(Oid relid)
{
	static const char *const columns[] = {"partmethod", "repmodel", "colocationid"};
	Datum		kept[lengthof(columns)];

	if (!read_row("pg_dist_partition", "pg_dist_partition_logical_relid_index", "logicalrelid", F_OIDEQ, ObjectIdGetDatum(relid), columns, lengthof(columns), kept))
		return TTE_NOT_DISTRIBUTED;
	if (DatumGetChar(kept[0]) != 'n')
		return TTE_CITUS_DISTRIBUTED;
	if (DatumGetChar(kept[1]) == 't')
		return TTE_CITUS_REFERENCE;
	return DatumGetInt32(kept[2]) != 0 ? TTE_CITUS_DISTRIBUTED : TTE_NOT_DISTRIBUTED;
}
