/*-------------------------------------------------------------------------
 *
 * outbox.c
 *	  Inserts events; no other C code does.
 *
 * Rows are inserted directly, as the executor does, without a query and without
 * a check of privileges: a role that writes orders needs no privilege on the
 * outbox.  The unique key of an event is inserted speculatively, as by INSERT
 * ... ON CONFLICT, because a duplicate is not an error and must not cost a
 * subtransaction.
 *
 * The executor state for insertions is kept for the session, until a relcache
 * message invalidates it.  The relations are opened and closed for every row,
 * because a trigger is not told when its statement ends, and because ALTER TABLE
 * and TRUNCATE refuse a table that their own session has open; they are locked
 * once.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "catalog/pg_am_d.h"
#include "commands/sequence.h"
#include "executor/executor.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/xid8.h"

#include "enqueue/outbox.h"
#include "enqueue/source.h"
#include "enqueue/value.h"
#include "server/catalog_check.h"
#include "server/common.h"
#include "server/compat.h"
#include "server/counters.h"
#include "server/invalidation.h"
#include "server/wakeup.h"

enum IdentityColumn
{
	IDENTITY_ID,
	IDENTITY_USER_DATA,
	IDENTITY_COLUMNS
};

/* A table into which rows are inserted. */
typedef struct Target
{
	const char *name;
	const char *sequence;		/* of its ids, or NULL */
	bool		speculative;	/* its unique key may exist */
	bool		valid;			/* the rest agrees with the catalogs */
	Oid			relid;
	Oid			sequence_id;
	Relation	rel;			/* while open, as are the indexes of info */
	MemoryContext context;		/* of the rest */
	EState	   *estate;
	ResultRelInfo *info;
	Oid		   *indexes;
	TupleTableSlot *slot;
	List	   *arbiters;		/* indexes of the unique key */
	bool		searchable;		/* info has what a search for duplicates needs */
	FullTransactionId locked_by;	/* transaction that locked the relations, */
	SubTransactionId locked_in; /* and subtransaction of it */
} Target;

PG_FUNCTION_INFO_V1(tte_sql_free_key);

static Target event_target = {.name = "event", .sequence = "event_id_seq", .speculative = true};
static Target identity_target = {.name = "identity"};
static Target delivery_target = {.name = "delivery"};
static uint64 generation = 0;	/* number of relcache messages received */
static bool callback_registered = false;

static void
forget_target(Target *target, Oid changed)
{
	if (!OidIsValid(changed) || changed == target->relid || changed == target->sequence_id)
		target->valid = false;
	for (int i = 0; target->valid && i < target->info->ri_NumIndices; i++)
		target->valid = changed != target->indexes[i];
}

static void
invalidate_targets(Datum arg, Oid relid)
{
	generation++;
	forget_target(&event_target, relid);
	forget_target(&identity_target, relid);
	forget_target(&delivery_target, relid);
}

/*
 * Returns the indexes of the unique key of events.  During REINDEX CONCURRENTLY
 * there are two of them, and both must report a duplicate in the same way.  A
 * second index on id may be among the result, which does no harm.
 */
static List *
key_indexes(ResultRelInfo *info)
{
	List	   *indexes = NIL;

	for (int i = 0; i < info->ri_NumIndices; i++)
	{
		Form_pg_index index = info->ri_IndexRelationDescs[i]->rd_index;

		if (index->indisunique && !index->indisprimary)
			indexes = lappend_oid(indexes, index->indexrelid);
	}
	if (indexes == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("table \"tiktok.event\" has lost its unique key")));
	return indexes;
}

/*
 * Builds the state that is kept, and leaves the indexes open.  The slot has a
 * copy of the tuple descriptor, because the relation's own must not be pinned
 * beyond this call.
 */
static void
target_fill(Target *target)
{
	ResultRelInfo *info = makeNode(ResultRelInfo);

	target->estate = CreateExecutorState();
	target->info = info;
	target->searchable = false;
	InitResultRelInfo(info, target->rel, 0, NULL, 0);
	ExecOpenIndices(info, false);
	target->indexes = palloc((info->ri_NumIndices + 1) * sizeof(Oid));
	for (int i = 0; i < info->ri_NumIndices; i++)
		target->indexes[i] = RelationGetRelid(info->ri_IndexRelationDescs[i]);
	target->slot = MakeSingleTupleTableSlot(CreateTupleDescCopy(RelationGetDescr(target->rel)),
											table_slot_callbacks(target->rel));
	target->sequence_id = target->sequence ? tte_relation(target->sequence) : InvalidOid;
	target->arbiters = target->speculative ? key_indexes(info) : NIL;
}

/* Other indexes may cache data that is valid only while the relation is open: these are set up for each row. */
static bool
can_be_kept(const Target *target)
{
	for (int i = 0; i < target->info->ri_NumIndices; i++)
	{
		const IndexInfo *index = target->info->ri_IndexRelationInfo[i];
		bool		plain = index->ii_Am == BTREE_AM_OID && index->ii_Expressions == NIL;

		if (index->ii_Predicate != NIL || (!plain && index->ii_Am != BRIN_AM_OID))
			return false;
	}
	return true;
}

/* Did an earlier row of this subtransaction lock the relations?  Then they are locked until it ends. */
static bool
is_locked(const Target *target)
{
	return target->valid && target->locked_in == GetCurrentSubTransactionId() &&
		FullTransactionIdEquals(target->locked_by, GetTopFullTransactionId());
}

/* The cache of a BRIN index is valid for one row only. */
static void
open_index(Target *target, int i, LOCKMODE lock)
{
	IndexInfo  *index = target->info->ri_IndexRelationInfo[i];

	target->info->ri_IndexRelationDescs[i] = index_open(target->indexes[i], lock);
	index->ii_AmCache = NULL;
	index->ii_Context = GetPerTupleMemoryContext(target->estate);
}

/* What a search for duplicates needs is looked up first: most sessions never search. */
static bool
key_is_free(Target *target, ItemPointer existing)
{
	ResultRelInfo *info = target->info;
	MemoryContext old = MemoryContextSwitchTo(target->context);

	for (int i = 0; i < info->ri_NumIndices && !target->searchable; i++)
	{
		Relation	index = info->ri_IndexRelationDescs[i];

		if (index->rd_index->indisunique && !index->rd_index->indisexclusion)
			BuildSpeculativeIndexInfo(index, info->ri_IndexRelationInfo[i]);
	}
	target->searchable = true;
	MemoryContextSwitchTo(old);
	return tte_ExecCheckIndexConstraints(info, target->slot, target->estate, existing, target->arbiters);
}

static void
target_build(Target *target)
{
	uint64		before = generation;
	MemoryContext old;

	if (target->context == NULL)
		target->context = AllocSetContextCreate(TopMemoryContext, "tiktok_events outbox", ALLOCSET_SMALL_SIZES);
	target->valid = false;
	MemoryContextReset(target->context);
	old = MemoryContextSwitchTo(target->context);
	target_fill(target);
	MemoryContextSwitchTo(old);
	target->relid = RelationGetRelid(target->rel);
	/* a relcache message meanwhile means that it may be outdated already */
	target->valid = generation == before && can_be_kept(target);
}

/* The locks stay until the transaction ends. */
static void
target_open(Target *target)
{
	LOCKMODE	lock = is_locked(target) ? NoLock : RowExclusiveLock;

	if (!callback_registered)
		tte_on_relation_change(invalidate_targets);
	callback_registered = true;
	target->rel = target->valid ? table_open(target->relid, lock) :
		tte_own_table_open(target->name, RowExclusiveLock);
	/* it may have changed while we waited for the lock */
	if (!target->valid)
	{
		tte_own_table_check(target->rel);
		target_build(target);
	}
	else
	{
		target->info->ri_RelationDesc = target->rel;
		for (int i = 0; i < target->info->ri_NumIndices; i++)
			open_index(target, i, lock);
	}
	target->locked_by = GetTopFullTransactionId();
	target->locked_in = GetCurrentSubTransactionId();
	/* used by the search for duplicates */
	target->estate->es_snapshot = ActiveSnapshotSet() ? GetActiveSnapshot() : GetTransactionSnapshot();
}

static void
target_close(Target *target)
{
	ExecClearTuple(target->slot);
	for (int i = 0; i < target->info->ri_NumIndices; i++)
	{
		tte_index_insert_cleanup(target->info->ri_IndexRelationDescs[i], target->info->ri_IndexRelationInfo[i]);
		index_close(target->info->ri_IndexRelationDescs[i], NoLock);
	}
	ResetPerTupleExprContext(target->estate);
	target->estate->es_snapshot = InvalidSnapshot;
	table_close(target->rel, NoLock);
}

/* Additional columns are set to null. */
static void
fill_slot(TupleTableSlot *slot, const Datum *values, const bool *nulls, int n)
{
	int			natts = slot->tts_tupleDescriptor->natts;

	ExecClearTuple(slot);
	memcpy(slot->tts_values, values, Min(n, natts) * sizeof(Datum));
	memset(slot->tts_isnull, true, natts);
	memcpy(slot->tts_isnull, nulls, Min(n, natts) * sizeof(bool));
	ExecStoreVirtualTuple(slot);
}

static void
insert_row(Target *target, const Datum *values, const bool *nulls, int n)
{
	target_open(target);
	fill_slot(target->slot, values, nulls, n);
	table_tuple_insert(target->rel, target->slot, GetCurrentCommandId(true), 0, NULL);
	tte_ExecInsertIndexTuples(target->info, target->slot, target->estate, false, NULL, NIL);
	target_close(target);
}

/*
 * Inserts a row, unless its key exists: then returns false and sets *existing.
 * Most keys are new, so normally the insertion into the unique index detects
 * duplicates.  That leaves a dead row, so after a duplicate the next key is
 * looked up before the insertion.
 */
static bool
insert_unless_exists(Target *target, ItemPointer existing)
{
	static bool look_first = false;

	for (;;)
	{
		bool		conflict = false;
		uint32		token;

		if (look_first && !key_is_free(target, existing))
			return false;
		token = SpeculativeInsertionLockAcquire(GetCurrentTransactionId());
		table_tuple_insert_speculative(target->rel, target->slot, GetCurrentCommandId(true), 0, NULL, token);
		tte_ExecInsertIndexTuples(target->info, target->slot, target->estate, true, &conflict, target->arbiters);
		table_tuple_complete_speculative(target->rel, target->slot, token, !conflict);
		SpeculativeInsertionLockRelease(GetCurrentTransactionId());
		look_first = conflict;
		if (!conflict)
			return true;
		CHECK_FOR_INTERRUPTS();
	}
}

static bool
never_sent_status(const char *status)
{
	return strcmp(status, "invalid") == 0 || strcmp(status, "suppressed") == 0 || strcmp(status, "expired") == 0;
}

/* Was it suppressed at the request of the person?  Then its key is not freed when the row is written again. */
static bool
is_revoked(HeapTuple delivery, TupleDesc desc)
{
	bool		isnull;
	Datum		value = heap_getattr(delivery, TTE_DELIVERY_REASON + 1, desc, &isnull);
	char	   *reason = isnull ? NULL : TextDatumGetCString(value);

	return reason != NULL && (strcmp(reason, "forgotten") == 0 || strcmp(reason, "consent_withdrawn") == 0);
}

/* Deletes a row; waits for a transaction that is deleting it.  Returns false if it was deleted. */
static bool
delete_row(Relation rel, ItemPointer tid)
{
	TM_FailureData failure;

	return tte_table_tuple_delete(rel, tid, InvalidSnapshot, &failure) == TM_Ok;
}

/*
 * If the event is final and was never sent, deletes its delivery row, so that its
 * key is free, and returns true.  Ignores rows of the current command.
 */
static bool
free_key(int64 id)
{
	Relation	rel = tte_own_table_open("delivery", RowExclusiveLock);
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		isnull;
	bool		freed = false;

	ScanKeyInit(&key, TTE_DELIVERY_ID + 1, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(id));
	scan = systable_beginscan(rel, tte_primary_key_index(rel), true, snapshot, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple) && heap_attisnull(tuple, TTE_DELIVERY_REQUEST_ID + 1, RelationGetDescr(rel)))
	{
		Datum		status = heap_getattr(tuple, TTE_DELIVERY_STATUS + 1, RelationGetDescr(rel), &isnull);

		if (never_sent_status(TextDatumGetCString(status)) && !is_revoked(tuple, RelationGetDescr(rel)))
			freed = delete_row(rel, &tuple->t_self);
	}
	systable_endscan(scan);
	UnregisterSnapshot(snapshot);
	table_close(rel, NoLock);
	return freed;
}

/* For triggers of replicated rows, which an apply worker inserts. */
Datum
tte_sql_free_key(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(free_key(PG_GETARG_INT64(0)));
}

/*
 * Does the stored event differ from this one?  The time is not compared, because
 * it usually is the time of recording.  Of identifiers only the kinds are
 * compared, because values may be deleted already.
 */
static bool
differs(TupleTableSlot *slot, const TteRendered *event)
{
	bool		isnull;
	uint32		match_keys = DatumGetInt32(slot_getattr(slot, TTE_EVENT_COL_MATCH_KEYS + 1, &isnull));
	Datum		payload = slot_getattr(slot, TTE_EVENT_COL_PAYLOAD + 1, &isnull);

	if (isnull || event->payload == NULL)
		return isnull != (event->payload == NULL);
	return match_keys != event->match_keys ||
		strcmp(TextDatumGetCString(payload), event->payload) != 0;
}

/*
 * The key exists.  Returns the id of its event, or 0 if the key was freed:
 * then try the insertion again.
 */
static int64
existing_event(Relation rel, ItemPointer tid, const TteRendered *event, bool *conflict)
{
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	int64		id = 0;
	bool		isnull;

	/* SnapshotAny, because the row need not be visible to this transaction */
	if (table_tuple_fetch_row_version(rel, tid, SnapshotAny, slot))
	{
		id = DatumGetInt64(slot_getattr(slot, TTE_EVENT_COL_ID + 1, &isnull));
		if (free_key(id))
		{
			delete_row(rel, tid);
			id = 0;
		}
		else
			*conflict = !event->may_differ && differs(slot, event);
	}
	ExecDropSingleTupleTableSlot(slot);
	return id;
}

static void
set_text(Datum *values, bool *nulls, int column, const char *string)
{
	nulls[column] = string == NULL;
	if (string != NULL)
		values[column] = CStringGetTextDatum(string);
}

static void
event_values(int64 id, int32 source_id, const char *test_code, const TteRendered *event,
			 Datum *values, bool *nulls)
{
	memset(nulls, false, TTE_EVENT_COLUMNS * sizeof(bool));
	values[TTE_EVENT_COL_ID] = Int64GetDatum(id);
	values[TTE_EVENT_COL_XID] = FullTransactionIdGetDatum(GetTopFullTransactionId());
	values[TTE_EVENT_COL_SOURCE_ID] = Int32GetDatum(source_id);
	set_text(values, nulls, TTE_EVENT_COL_EVENT, event->event);
	set_text(values, nulls, TTE_EVENT_COL_EVENT_ID, event->event_id);
	values[TTE_EVENT_COL_EVENT_TIME] = TimestampTzGetDatum(tte_timestamptz(event->event_time));
	values[TTE_EVENT_COL_ENQUEUED_AT] = TimestampTzGetDatum(GetCurrentTimestamp());
	nulls[TTE_EVENT_COL_VALUE] = event->value == NULL;
	if (event->value != NULL)
		values[TTE_EVENT_COL_VALUE] = DirectFunctionCall3(numeric_in, CStringGetDatum(event->value),
														  ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1));
	set_text(values, nulls, TTE_EVENT_COL_CURRENCY, event->currency);
	values[TTE_EVENT_COL_MATCH_KEYS] = Int32GetDatum((int32) event->match_keys);
	set_text(values, nulls, TTE_EVENT_COL_NOTES,
			 event->notes ? tte_from_utf8(event->notes, strlen(event->notes)) : NULL);
	set_text(values, nulls, TTE_EVENT_COL_TEST_CODE, test_code);
	nulls[TTE_EVENT_COL_PAYLOAD] = event->payload == NULL;
	if (event->payload != NULL)
		values[TTE_EVENT_COL_PAYLOAD] = PointerGetDatum(cstring_to_text_with_len(event->payload, event->payload_len));
}

static const char *
verdict_status(TteVerdict verdict)
{
	switch (verdict)
	{
		case TTE_EVENT_SUPPRESSED:
			return "suppressed";
		case TTE_EVENT_EXPIRED:
			return "expired";
		default:
			return "invalid";
	}
}

/* Inserts the second row of an event: its identifiers, or its final status. */
static void
insert_companion(int64 id, const TteRendered *event)
{
	Datum		values[TTE_DELIVERY_COLUMNS] = {0};
	bool		nulls[TTE_DELIVERY_COLUMNS];

	memset(nulls, true, sizeof(nulls));
	/* the first column of both tables */
	nulls[0] = false;
	values[0] = Int64GetDatum(id);
	if (event->verdict == TTE_EVENT_READY)
	{
		if (event->user_data == NULL)
			return;
		nulls[IDENTITY_USER_DATA] = false;
		values[IDENTITY_USER_DATA] = PointerGetDatum(cstring_to_text_with_len(event->user_data, event->user_data_len));
		insert_row(&identity_target, values, nulls, IDENTITY_COLUMNS);
		return;
	}
	set_text(values, nulls, TTE_DELIVERY_STATUS, verdict_status(event->verdict));
	set_text(values, nulls, TTE_DELIVERY_REASON, event->reason);
	nulls[TTE_DELIVERY_AT] = false;
	values[TTE_DELIVERY_AT] = TimestampTzGetDatum(GetCurrentTimestamp());
	insert_row(&delivery_target, values, nulls, TTE_DELIVERY_COLUMNS);
}

/* Only setval() can exhaust the sequence. */
static void
explain_sequence_end(void *arg)
{
	if (geterrcode() == ERRCODE_SEQUENCE_GENERATOR_LIMIT_EXCEEDED)
		errhint("Set sequence tiktok.event_id_seq to a number greater than every id in tiktok.event, using pg_catalog.setval().");
}

static int64
next_id(const Target *target)
{
	ErrorContextCallback callback = {.previous = error_context_stack, .callback = explain_sequence_end};
	int64		id;

	error_context_stack = &callback;
	id = nextval_internal(target->sequence_id, false);
	error_context_stack = callback.previous;
	return id;
}

int64
tte_outbox_store(int32 source_id, const char *test_code, const TteRendered *event, bool *existed)
{
	Datum		values[TTE_EVENT_COLUMNS];
	bool		nulls[TTE_EVENT_COLUMNS];
	ItemPointerData existing;
	Target	   *target = &event_target;
	int64		id;
	int64		found = 0;
	bool		conflict = false;

	target_open(target);
	id = next_id(target);
	event_values(id, source_id, test_code, event, values, nulls);
	fill_slot(target->slot, values, nulls, TTE_EVENT_COLUMNS);
	while (!insert_unless_exists(target, &existing))
	{
		found = existing_event(target->rel, &existing, event, &conflict);
		if (found != 0)
			break;
		CHECK_FOR_INTERRUPTS();
	}
	target_close(target);
	if (conflict)
		tte_count(TTE_CONFLICT, TTE_OF_SOURCE, source_id, "");
	if (existed != NULL)
		*existed = found != 0;
	if (found != 0)
		return found;
	insert_companion(id, event);
	if (event->verdict != TTE_EVENT_READY)
		tte_count_final(source_id, verdict_status(event->verdict), 1);
	tte_wake_source_at_commit(source_id);
	return id;
}

void
tte_outbox_drop_stand_in(int32 source_id, const char *test_code, const TteRendered *event, const char *stand_in)
{
	Datum		values[TTE_EVENT_COLUMNS];
	bool		nulls[TTE_EVENT_COLUMNS];
	ItemPointerData existing;
	Target	   *target = &event_target;
	TteRendered key = *event;
	bool		conflict;

	key.event_id = stand_in;
	key.payload = NULL;
	target_open(target);
	event_values(0, source_id, test_code, &key, values, nulls);
	fill_slot(target->slot, values, nulls, TTE_EVENT_COLUMNS);
	if (!key_is_free(target, &existing))
		(void) existing_event(target->rel, &existing, &key, &conflict);
	target_close(target);
}
