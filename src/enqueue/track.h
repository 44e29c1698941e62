/*-------------------------------------------------------------------------
 *
 * track.h
 *	  What the two doors, the function and the trigger, share.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TTE_TRACK_H
#define TTE_TRACK_H

#include "enqueue/source.h"

/*
 * The test code of events that are recorded now: NULL when they are real, empty
 * when they are tests and the source has no valid code.
 */
extern const char *tte_test_code(const TteSource *source);

/* A UUID: the event_id of last resort. */
extern char *tte_random_id(void);

/* Sets the fields of one object, as "user"; *unknown is then the first unknown key. */
extern void tte_set_section(TteEvent *event, TteSection section, const TteJson *object, const TteJson **unknown);

/* An error if the event is invalid; a notice if it goes by another name. */
extern void tte_refuse_invalid(const TteRendered *event);
extern void tte_notice_rename(const TteRendered *event);

/* An event that is READY, as jsonb: the data[] element that would be posted. */
extern Datum tte_event_jsonb(const TteRendered *event);

#endif							/* TTE_TRACK_H */
