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

/* The event of a row, in the caller's memory context. */
typedef struct TteRowEvent
{
	TteSource	source;			/* under which it is recorded */
	TteRendered *event;			/* NULL: the row makes no event */
	char	   *unmapped;		/* the stage, if that is why there is no
								 * event; otherwise the stage is null or has
								 * not changed */
	bool		without_source; /* the row names no source */
	char	   *source_key;		/* what it has instead of a key, or NULL */
	bool		without_row;	/* the query had no row, so there is no event */
	bool		declined;		/* the function of 'using' returned NULL, so
								 * there is no event */
	Oid			table;			/* the topmost table */
	const char *trigger;		/* trigger of the query or of 'using', if
								 * there is one */
	char	   *stand_in;		/* the id of a substitute that may have been
								 * recorded while the row had no event_id, or
								 * NULL */
} TteRowEvent;

/*
 * Uses the kind of event, the relation, the trigger and the slots of trigdata.
 * looking: the row is only read, so a function of using runs with the rights
 * of its owner, not of the current user. ascii is that of tte_event_begin().
 * Stores and counts nothing.
 */
extern void tte_row_event(TriggerData *trigdata, bool looking, bool ascii, TteRowEvent *result);

#endif							/* TTE_TRACK_ROW_H */
