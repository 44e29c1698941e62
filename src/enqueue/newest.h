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
 * Returns the newest version in a slot of the current memory context, to be
 * dropped by the caller.  NULL if the row was deleted, or if it no longer
 * meets the trigger's WHEN, without the parts of WHEN that refer to OLD.
 */
extern TupleTableSlot *tte_newest_version(const TriggerData *trigdata, TupleTableSlot *row);

/* The parts of a trigger's WHEN that do not refer to OLD. */
extern List *tte_when_without_old(const Trigger *trigger);

#endif							/* TTE_NEWEST_H */
