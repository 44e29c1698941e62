/*-------------------------------------------------------------------------
 *
 * track_row.h
 *	  The event that a tiktok.track_row() trigger makes of a row.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TTE_TRACK_ROW_H
#define TTE_TRACK_ROW_H

#include "commands/trigger.h"
#include "enqueue/source.h"

/*
 * The event of the row, and the source to record it under.  NULL: the row makes
 * none, because its stage is null, has not changed or, then *unmapped, makes none.
 * Of trigdata the kind of event, the relation, the trigger and the slots are
 * looked at.  looking: the row is not being written, it is looked at, and so a
 * function of 'using' is not run as the current user but with its owner's
 * rights.  ascii is that of tte_event_begin().  Stores and counts nothing.
 */
extern TteRendered *tte_row_event(TriggerData *trigdata, bool looking, bool ascii, TteSource *source, char **unmapped);

#endif							/* TTE_TRACK_ROW_H */
