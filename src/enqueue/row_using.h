/*-------------------------------------------------------------------------
 *
 * row_using.h
 *	  The function of 'using': how it is called for a row.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TTE_ROW_USING_H
#define TTE_ROW_USING_H

#include "enqueue/mapping.h"
#include "event/event.h"
#include "executor/tuptable.h"

/*
 * Sets the targets that the function returns.  looking: nobody writes the row,
 * see tte_row_event().  Is event_id among them?
 */
extern bool tte_apply_using(TteEvent *event, const TteMapping *m, Relation rel, bool looking, TupleTableSlot *row);

#endif							/* TTE_ROW_USING_H */
