/*-------------------------------------------------------------------------
 *
 * truth.c
 *	  Reads a relation of tiktok.source_of_truth, with the events that should
 *	  have been reported.
 *
 * Its columns may be of any type, and it may be a view, so reading it may run code
 * of its owner.  It is read once, as the owner, and its rows are returned as values
 * of core's types.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "operate/truth.h"
#include "server/citus.h"
#include "server/rights.h"

PG_FUNCTION_INFO_V1(tte_sql_truth_is_readable);
PG_FUNCTION_INFO_V1(tte_sql_has_rows_elsewhere);

static const char *const truth_columns[] = {"event_id", "value", "currency", "at", NULL};

/* Returns NULL if no relation of that OID exists, or it has no rows. */
static Relation
open_truth(Oid relid)
{
	Relation	rel = try_relation_open(relid, AccessShareLock);

	if (rel != NULL && strchr("rpvmf", rel->rd_rel->relkind) == NULL)
	{
		relation_close(rel, AccessShareLock);
		rel = NULL;
	}
	return rel;
}

static char *
truth_sql(Relation rel)
{
	return psprintf("SELECT t.event_id::text, t.value::numeric, t.currency::text, t.at::timestamptz FROM %s t WHERE t.at >= $1 AND t.at < $2",
					quote_qualified_identifier(get_namespace_name(RelationGetNamespace(rel)), RelationGetRelationName(rel)));
}

void
tte_truth_read(Oid relid, TimestampTz since, TimestampTz until, TteTakeRow take, void *arg)
{
	Relation	rel = open_truth(relid);
	TteReading	reading;
	TteRights	rights;
	const Oid	types[] = {TIMESTAMPTZOID, TIMESTAMPTZOID};
	const Datum range[] = {TimestampTzGetDatum(since), TimestampTzGetDatum(until)};

	if (rel == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist", relid)));
	reading = tte_reading(rel, truth_columns);
	if (reading != TTE_READING_ALLOWED)
		tte_reading_refuse(rel, reading);
	tte_rights_take(rel->rd_rel->relowner, TTE_SAFE_PATH, &rights);
	tte_stream(truth_sql(rel), lengthof(range), types, range, NULL, take, arg);
	tte_rights_give_back(&rights);
	relation_close(rel, NoLock);
}

/* (relation oid) */
Datum
tte_sql_truth_is_readable(PG_FUNCTION_ARGS)
{
	Relation	rel = open_truth(PG_GETARG_OID(0));
	bool		readable = rel != NULL && tte_reading(rel, truth_columns) == TTE_READING_ALLOWED;

	if (rel != NULL)
		relation_close(rel, AccessShareLock);
	PG_RETURN_BOOL(readable);
}

/* (relation oid); the catalogs of Citus can be read by everybody */
Datum
tte_sql_has_rows_elsewhere(PG_FUNCTION_ARGS)
{
	static const char sql[] =
	"SELECT FROM pg_catalog.pg_dist_shard s JOIN pg_catalog.pg_dist_placement p ON p.shardid = s.shardid"
	" WHERE s.logicalrelid = $1 AND p.groupid <> (SELECT l.groupid FROM pg_catalog.pg_dist_local_group l)";
	Oid			type = OIDOID;
	Datum		relid = PG_GETARG_DATUM(0);
	bool		found;

	if (tte_citus_distributed(DatumGetObjectId(relid)) != TTE_CITUS_DISTRIBUTED)
		PG_RETURN_BOOL(false);
	SPI_connect();
	found = SPI_execute_with_args(sql, 1, &type, &relid, NULL, true, 1) == SPI_OK_SELECT && SPI_processed > 0;
	SPI_finish();
	PG_RETURN_BOOL(found);
}
