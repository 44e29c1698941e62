/*-------------------------------------------------------------------------
 *
 * watch.c
 *	  Has the configuration changed?
 *
 * Triggers send a relcache message for each change of a table of the
 * configuration, in sessions of any session_replication_role.  But they are not
 * always what they were: pg_restore --data-only --disable-triggers turns them
 * off, and on again as triggers that no replica fires.  So the worker also
 * looks at the rows of the tables that a dump carries, and sends the message
 * that is missing to the sessions, which keep these tables in memory, too.
 *
 * tiktok.origin has a row or two.  Each transaction that reads events looks at it:
 * nothing that was recorded after a dump came in is sent.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "common/hashfn.h"
#include "utils/inval.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "deliver/watch.h"
#include "server/common.h"

#define LOOK_INTERVAL	INT64CONST(1000000)

typedef struct ConfigTable
{
	const char *name;
	bool		dumped;			/* its triggers may be those of a restore */
	Oid			oid;
	bool		known;			/* rows has been set */
	uint64		rows;			/* what the last look saw */
} ConfigTable;

/* Those that tte_queue_sources() reads, and one that sessions alone read. */
static ConfigTable tables[] = {
	{"origin", true},
	{"source", true},
	{"lead_stage", true},
	{"access_token", false},
	{"source_control", false},
	{"installation", false}
};

#define ORIGIN 0

static bool changed = true;
static int64 looked_at = 0;

static void
relation_changed(Datum arg, Oid relid)
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
	CacheRegisterRelcacheCallback(relation_changed, (Datum) 0);
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

/* The same as long as no row comes, goes or changes, in whatever order a scan meets them. */
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

/* Where a trigger has sent the message, it is sent once more. */
static void
look_at(ConfigTable *table)
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
	bool		due = changed || now - looked_at >= LOOK_INTERVAL || now < looked_at;
	bool		result;

	for (int i = 0; i < lengthof(tables); i++)
	{
		if (i == ORIGIN || (due && tables[i].dumped))
			look_at(&tables[i]);
	}
	if (due)
		looked_at = now;
	result = changed;
	changed = false;
	return result;
}
