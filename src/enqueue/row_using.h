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
 * Sets the targets that the function returns; *id_given if event_id is among
 * them.  looking: nobody writes the row, see tte_row_event().  False: it returned
 * NULL, and the row makes no event.
 */
extern bool tte_apply_using(TteEvent *event, const TteMapping *m, Relation rel, bool looking, TupleTableSlot *row, bool *id_given);

#endif							/* TTE_ROW_USING_H */
