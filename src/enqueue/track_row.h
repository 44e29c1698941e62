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

/* What becomes of a row; all in the caller's memory context. */
typedef struct TteRowEvent
{
	TteSource	source;			/* to record it under */
	TteRendered *event;			/* NULL: the row makes none */
	char	   *unmapped;		/* its stage, where that is why; otherwise it
								 * is null or has not changed */
	bool		without_source; /* or it names none */
	char	   *source_key;		/* what it has instead; or NULL */
	bool		without_row;	/* or its query had no row, which is why */
	Oid			table;			/* the topmost one */
	const char *trigger;		/* of the query, where there is one */
	char	   *stand_in;		/* what stood for the event's id while the row
								 * had none, if that may be; or NULL */
} TteRowEvent;

/*
 * Of trigdata the kind of event, the relation, the trigger and the slots are
 * looked at.  looking: the row is not being written, it is looked at, and so a
 * function of 'using' is not run as the current user but with its owner's
 * rights.  ascii is that of tte_event_begin().  Stores and counts nothing.
 */
extern void tte_row_event(TriggerData *trigdata, bool looking, bool ascii, TteRowEvent *result);

#endif							/* TTE_TRACK_ROW_H */
