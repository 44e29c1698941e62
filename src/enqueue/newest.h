/*-------------------------------------------------------------------------
 *
 * newest.h
 *	  The newest version of a row for which a deferred trigger fires.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TTE_NEWEST_H
#define TTE_NEWEST_H

#include "commands/trigger.h"

/*
 * In a slot of the current memory context, to be dropped by the caller; NULL: it
 * is gone, or the trigger's WHEN holds no more, what that says of the row before
 * left aside.
 */
extern TupleTableSlot *tte_newest_version(const TriggerData *trigdata, TupleTableSlot *row);

/* The parts of a trigger's WHEN that do not speak of OLD. */
extern List *tte_when_without_old(const Trigger *trigger);

#endif							/* TTE_NEWEST_H */
