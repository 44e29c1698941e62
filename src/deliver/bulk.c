/*-------------------------------------------------------------------------
 *
 * bulk.c
 *	  What a drain does to every event, directly on the tables.
 *
 * Three things cost most when a backlog is delivered: to find the identifiers
 * of each event, to delete them, and to insert the event's fate.  In SQL each
 * means a descent into an index for every event.  But the ids of a batch mostly
 * follow one another, so that a few range scans find them all, and rows that
 * are inserted together share pages and WAL records.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "deliver/bulk.h"
#include "server/catalog_check.h"
#include "server/common.h"
#include "server/compat.h"

/* Ids that are no further apart are found in one scan; it reads what lies between. */
#define GAP		16

#define ROWS_AT_ONCE	128

/* The rows of tiktok.identity that belong to some events. */
typedef struct IdentityScan
{
	const int64 *ids;
	int			n;
	int			at;				/* the event of the last row */
	int			end;			/* of the range that is being scanned */
	Relation	rel;
	Relation	index;
	Snapshot	snapshot;
	IndexScanDesc scan;
	TupleTableSlot *slot;
} IdentityScan;

static void
begin_scan(IdentityScan *s, const int64 *ids, int n, LOCKMODE lock)
{
	s->ids = ids;
	s->n = n;
	s->at = s->end = 0;
	s->rel = tte_own_table_open("identity", lock);
	s->index = index_open(tte_primary_key_index(s->rel), lock);
	s->snapshot = RegisterSnapshot(GetTransactionSnapshot());
	s->scan = tte_index_beginscan(s->rel, s->index, s->snapshot, 2);
	s->slot = table_slot_create(s->rel, NULL);
}

/* The locks stay until the transaction ends. */
static void
end_scan(IdentityScan *s)
{
	ExecDropSingleTupleTableSlot(s->slot);
	index_endscan(s->scan);
	UnregisterSnapshot(s->snapshot);
	index_close(s->index, NoLock);
	table_close(s->rel, NoLock);
}

/* Starts to scan the next range of ids. */
static void
next_range(IdentityScan *s)
{
	ScanKeyData keys[2];

	s->at = s->end;
	while (++s->end < s->n && s->ids[s->end] - s->ids[s->end - 1] <= GAP)
		;
	ScanKeyInit(&keys[0], 1, BTGreaterEqualStrategyNumber, F_INT8GE, Int64GetDatum(s->ids[s->at]));
	ScanKeyInit(&keys[1], 1, BTLessEqualStrategyNumber, F_INT8LE, Int64GetDatum(s->ids[s->end - 1]));
	index_rescan(s->scan, keys, 2, NULL, 0);
}

/* The next row is in the slot, that of event ids[at]; false: there is none. */
static bool
next_identity(IdentityScan *s)
{
	bool		isnull;

	for (;;)
	{
		while (s->at < s->end && index_getnext_slot(s->scan, ForwardScanDirection, s->slot))
		{
			int64		id = DatumGetInt64(slot_getattr(s->slot, 1, &isnull));

			while (s->at < s->end && s->ids[s->at] < id)
				s->at++;
			if (s->at < s->end && s->ids[s->at] == id)
				return true;
		}
		if (s->end == s->n)
			return false;
		CHECK_FOR_INTERRUPTS();
		next_range(s);
	}
}

void
tte_bulk_read_identities(const int64 *ids, int n, struct varlena **values)
{
	IdentityScan s;
	bool		isnull;

	memset(values, 0, n * sizeof(*values));
	begin_scan(&s, ids, n, AccessShareLock);
	while (next_identity(&s))
	{
		Datum		user_data = slot_getattr(s.slot, 2, &isnull);

		values[s.at] = (struct varlena *) DatumGetPointer(datumCopy(user_data, false, -1));
	}
	end_scan(&s);
}

/* Somebody else may have deleted a row meanwhile, but nobody changes one. */
void
tte_bulk_delete_identities(const int64 *ids, int n)
{
	IdentityScan s;
	TM_FailureData failure;

	begin_scan(&s, ids, n, RowExclusiveLock);
	while (next_identity(&s))
	{
		if (tte_table_tuple_delete(s.rel, &s.slot->tts_tid, s.snapshot, &failure) == TM_Updated)
			ereport(ERROR,
					(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
					 errmsg("could not delete identifiers due to concurrent update")));
	}
	end_scan(&s);
}

/* Columns that somebody has added stay null. */
static void
fill_fate(TupleTableSlot *slot, const TteFinal *final, TimestampTz now, Datum status, Datum reason, int64 id)
{
	ExecClearTuple(slot);
	memset(slot->tts_isnull, true, slot->tts_tupleDescriptor->natts);
	slot->tts_values[TTE_DELIVERY_ID] = Int64GetDatum(id);
	slot->tts_values[TTE_DELIVERY_REQUEST_ID] = Int64GetDatum(final->request_id);
	slot->tts_values[TTE_DELIVERY_STATUS] = status;
	slot->tts_values[TTE_DELIVERY_REASON] = reason;
	slot->tts_values[TTE_DELIVERY_AT] = TimestampTzGetDatum(now);
	slot->tts_values[TTE_DELIVERY_POSSIBLY_RECEIVED_AT] = TimestampTzGetDatum(final->possibly_received_at - TTE_EPOCH_SHIFT);
	slot->tts_isnull[TTE_DELIVERY_ID] = false;
	slot->tts_isnull[TTE_DELIVERY_REQUEST_ID] = final->request_id == 0;
	slot->tts_isnull[TTE_DELIVERY_STATUS] = false;
	slot->tts_isnull[TTE_DELIVERY_REASON] = final->reason == NULL;
	slot->tts_isnull[TTE_DELIVERY_AT] = false;
	/* of the only attempt tiktok.request knows when it was */
	slot->tts_isnull[TTE_DELIVERY_POSSIBLY_RECEIVED_AT] = final->possibly_received_at == 0 || final->request_id != 0;
	ExecStoreVirtualTuple(slot);
}

void
tte_bulk_insert_fates(const TteFinal *final, const int64 *ids, int n)
{
	Relation	rel = tte_own_table_open("delivery", RowExclusiveLock);
	EState	   *estate = CreateExecutorState();
	ResultRelInfo *info = makeNode(ResultRelInfo);
	TupleTableSlot *slots[ROWS_AT_ONCE];
	Datum		status = CStringGetTextDatum(final->status);
	Datum		reason = final->reason ? CStringGetTextDatum(final->reason) : (Datum) 0;
	TimestampTz now = GetCurrentTimestamp();
	int			rows;

	estate->es_snapshot = GetActiveSnapshot();
	InitResultRelInfo(info, rel, 0, NULL, 0);
	ExecOpenIndices(info, false);
	for (int i = 0; i < Min(n, ROWS_AT_ONCE); i++)
		slots[i] = table_slot_create(rel, NULL);
	for (int first = 0; first < n; first += rows)
	{
		rows = Min(n - first, ROWS_AT_ONCE);
		for (int i = 0; i < rows; i++)
			fill_fate(slots[i], final, now, status, reason, ids[first + i]);
		table_multi_insert(rel, slots, rows, GetCurrentCommandId(true), 0, NULL);
		for (int i = 0; i < rows; i++)
		{
			tte_ExecInsertIndexTuples(info, slots[i], estate, false, NULL, NIL);
			ResetPerTupleExprContext(estate);
		}
	}
	for (int i = 0; i < Min(n, ROWS_AT_ONCE); i++)
		ExecDropSingleTupleTableSlot(slots[i]);
	ExecCloseIndices(info);
	FreeExecutorState(estate);
	table_close(rel, NoLock);
}
