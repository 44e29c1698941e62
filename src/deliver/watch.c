/*-------------------------------------------------------------------------
 *
 * watch.c
 *	  Detects changes of the configuration.
 *
 * Triggers send a relcache message for each change of a configuration table, in
 * sessions of any session_replication_role.  But pg_restore --data-only
 * --disable-triggers disables them, and then enables them such that they no
 * longer fire in replicas.  So the worker also compares the rows of the dumped
 * tables, and sends the missing message to sessions, which cache these tables.
 *
 * tiktok.config_origin has a row or two.  It is compared in each transaction that reads
 * events, so that no event recorded after the restore of a dump is sent.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "common/hashfn.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "deliver/watch.h"
#include "server/common.h"
#include "server/invalidation.h"

#define COMPARE_INTERVAL	INT64CONST(1000000) /* microseconds */

typedef struct ConfigTable
{
	const char *name;
	bool		dumped;			/* a restore may change it unnoticed */
	Oid			oid;
	bool		known;			/* rows has been set */
	uint64		rows;			/* checksum, as last compared */
} ConfigTable;

/* The tables that tte_queue_sources() reads, and lead_stage, which only sessions read. */
static ConfigTable tables[] = {
	{.name = "config_origin", .dumped = true},
	{.name = "source", .dumped = true},
	{.name = "lead_stage", .dumped = true},
	{.name = "access_token", .dumped = false},
	{.name = "reporting_token", .dumped = false},
	{.name = "source_control", .dumped = false},
	{.name = "installation", .dumped = false}
};

#define ORIGIN 0

static bool changed = true;
static int64 compared_at = 0;

static void
invalidate_rows(Datum arg, Oid relid)
{
	for (int i = 0; i < lengthof(tables); i++)
	{
		if (!OidIsValid(relid) || relid == tables[i].oid)
			changed = true;
	}
}

void
tte_watch_attach(void)
{
	tte_on_relation_change(invalidate_rows);
}

void
tte_watch_tables(void)
{
	for (int i = 0; i < lengthof(tables); i++)
	{
		tables[i].oid = tte_relation(tables[i].name);
		tables[i].known = false;
	}
	changed = true;
}

bool
tte_watch_stale(void)
{
	return changed;
}

void
tte_watch_reload(void)
{
	changed = true;
}

/* A checksum of the versions of all rows, independent of the order of the scan. */
static uint64
sum_of_rows(Oid relid)
{
	Relation	rel = table_open(relid, AccessShareLock);
	SysScanDesc scan = systable_beginscan(rel, InvalidOid, false, GetActiveSnapshot(), 0, NULL);
	HeapTuple	tuple;
	uint64		sum = 0;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		uint32		version[] = {
			ItemPointerGetBlockNumber(&tuple->t_self),
			ItemPointerGetOffsetNumber(&tuple->t_self),
			HeapTupleHeaderGetRawXmin(tuple->t_data)
		};

		sum += hash_bytes_extended((const unsigned char *) version, sizeof(version), 0);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return sum;
}

/* Sends the message again if a trigger has sent it already. */
static void
compare_rows(ConfigTable *table)
{
	uint64		rows = sum_of_rows(table->oid);

	if (table->known && rows != table->rows)
	{
		changed = true;
		CacheInvalidateRelcacheByRelid(table->oid);
	}
	table->known = true;
	table->rows = rows;
}

bool
tte_watch_changed(int64 now)
{
	bool		due = changed || now - compared_at >= COMPARE_INTERVAL || now < compared_at;
	bool		result;

	for (int i = 0; i < lengthof(tables); i++)
	{
		if (i == ORIGIN || (due && tables[i].dumped))
			compare_rows(&tables[i]);
	}
	if (due)
		compared_at = now;
	result = changed;
	changed = false;
	return result;
}
