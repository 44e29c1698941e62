/*-------------------------------------------------------------------------
 *
 * outbox.h
 *	  The one place that inserts events.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TTE_OUTBOX_H
#define TTE_OUTBOX_H

#include "event/event.h"

/* Columns of tiktok.event, in their order. */
enum TteEventColumn
{
	TTE_EVENT_COL_ID,
	TTE_EVENT_COL_XID,
	TTE_EVENT_COL_SOURCE_ID,
	TTE_EVENT_COL_MATCH_KEYS,
	TTE_EVENT_COL_EVENT_TIME,
	TTE_EVENT_COL_ENQUEUED_AT,
	TTE_EVENT_COL_EVENT,
	TTE_EVENT_COL_EVENT_ID,
	TTE_EVENT_COL_VALUE,
	TTE_EVENT_COL_CURRENCY,
	TTE_EVENT_COL_NOTES,
	TTE_EVENT_COL_TEST_CODE,
	TTE_EVENT_COL_PAYLOAD,
	TTE_EVENT_COLUMNS
};

/*
 * Frees the substitute key under which the event was recorded while it had no
 * event_id, if the event with that key was never sent.
 */
extern void tte_outbox_drop_stand_in(int32 source_id, const char *test_code, const TteRendered *event, const char *stand_in);

/*
 * Records an event in this transaction, as a test event unless test_code is NULL,
 * and wakes the worker at commit.  Returns its id.  If an event with the same
 * (event_id, event, source, test code) exists, returns that id and sets *existed,
 * unless existed is NULL.  Waits for a transaction that is recording such an event.
 * Replaces an event that is final and was never sent.  Does not check privileges.
 */
extern int64 tte_outbox_store(int32 source_id, const char *test_code, const TteRendered *event, bool *existed);

#endif							/* TTE_OUTBOX_H */
