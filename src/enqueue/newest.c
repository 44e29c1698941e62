/*-------------------------------------------------------------------------
 *
 * newest.c
 *	  The newest version of a row for which a deferred trigger fires.
 *
 * A deferred trigger fires at commit, with the row as it was when the trigger
 * was queued.  Since then the transaction may have changed the totals of the
 * order, cancelled or deleted it.  The chain of the row's versions leads to the
 * newest, without an index and without SPI.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/tableam.h"
#include "access/xact.h"
#include "executor/executor.h"
#include "nodes/makefuncs.h"
#include "nodes/primnodes.h"
#include "optimizer/optimizer.h"
#include "rewrite/prs2lock.h"
#include "rewrite/rewriteHandler.h"
#include "rewrite/rewriteManip.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "enqueue/newest.h"
#include "server/compat.h"

List *
tte_when_without_old(const Trigger *trigger)
{
	Node	   *when = trigger->tgqual ? stringToNode(trigger->tgqual) : NULL;
	List	   *rest = NIL;
	ListCell   *cell;

	foreach(cell, make_ands_implicit((Expr *) when))
	{
		if (!bms_is_member(PRS2_OLD_VARNO, pull_varnos(NULL, lfirst(cell))))
			rest = lappend(rest, lfirst(cell));
	}
	return rest;
}

static bool
still_holds(const TriggerData *trigdata, TupleTableSlot *newest)
{
	List	   *when = tte_when_without_old(trigdata->tg_trigger);
	EState	   *estate;
	ExprContext *econtext;
	bool		holds;

	if (when == NIL)
		return true;
	when = (List *) tte_expand_generated_columns((Node *) when, trigdata->tg_relation, PRS2_NEW_VARNO);
	ChangeVarNodes((Node *) when, PRS2_NEW_VARNO, OUTER_VAR, 0);
	estate = CreateExecutorState();
	econtext = GetPerTupleExprContext(estate);
	econtext->ecxt_outertuple = newest;
	holds = ExecQual(ExecPrepareQual(when, estate), econtext);
	FreeExecutorState(estate);
	return holds;
}

/* The snapshot includes what was written by the statement that fires the trigger at once. */
TupleTableSlot *
tte_newest_version(const TriggerData *trigdata, TupleTableSlot *row)
{
	Relation	rel = trigdata->tg_relation;
	TupleTableSlot *newest = table_slot_create(rel, NULL);
	ItemPointerData tid = row->tts_tid;
	TableScanDesc scan;
	bool		found;

	CommandCounterIncrement();
	PushCopiedSnapshot(GetActiveSnapshot());
	UpdateActiveSnapshotCommandId();
	scan = table_beginscan_tid(rel, GetActiveSnapshot());
	table_tuple_get_latest_tid(scan, &tid);
	table_endscan(scan);
	found = table_tuple_fetch_row_version(rel, &tid, GetActiveSnapshot(), newest) && still_holds(trigdata, newest);
	PopActiveSnapshot();
	if (found)
		return newest;
	ExecDropSingleTupleTableSlot(newest);
	return NULL;
}
