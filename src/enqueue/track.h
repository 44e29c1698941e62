/*-------------------------------------------------------------------------
 *
 * track.h
 *	  Functions shared by tiktok.track() and the trigger function.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TTE_TRACK_H
#define TTE_TRACK_H

#include "enqueue/source.h"

/*
 * The test code of events that this session records: NULL for real events, empty
 * for test events if the source has no valid code.
 */
extern const char *tte_test_code(const TteSource *source);

/* A random UUID, used as event_id if there is no other. */
extern char *tte_random_id(void);

/* Sets the fields of one object, such as "user".  Sets *unknown to the first unknown key, if any. */
extern void tte_set_section(TteEvent *event, TteSection section, const TteJson *object, const TteJson **unknown);

/* Raises an error if the event is invalid; a NOTICE if it is sent under another name. */
extern void tte_refuse_invalid(const TteRendered *event);
extern void tte_notice_rename(const TteRendered *event);

/* An event that is READY, as jsonb: the data[] element that would be sent. */
extern Datum tte_event_jsonb(const TteRendered *event);

#endif							/* TTE_TRACK_H */
