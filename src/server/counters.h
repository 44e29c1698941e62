/*-------------------------------------------------------------------------
 *
 * counters.h
 *	  Counters of what recorded no event, in shared memory.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TTE_COUNTERS_H
#define TTE_COUNTERS_H

#include "storage/lwlock.h"

/* What is counted; most of it recorded no event. */
typedef enum TteCounted
{
	TTE_CONFLICT,				/* a known key came again with another event */
	TTE_NO_MAPPING,				/* a stage that tiktok.lead_stage does not map */
	TTE_QUERIED,				/* the query of a trigger was run */
	TTE_NO_ROW,					/* and had no row */
	TTE_NO_SOURCE,				/* a row names no source */
	TTE_COUNTED
} TteCounted;

/* Of what: each has a counter of its own, and more by name while there is room. */
typedef enum TteCountedOf
{
	TTE_OF_SOURCE,				/* its id; stages */
	TTE_OF_TABLE,				/* the topmost table's oid; triggers */
	TTE_OF_ROWS					/* the same; what rows have for a source */
} TteCountedOf;

#define TTE_STAGE_LEN	64		/* bytes of a name, its end included */

typedef struct TteNamedCount
{
	int32		id;
	char		name[TTE_STAGE_LEN];
	uint64		count[TTE_COUNTED];
} TteNamedCount;

/*
 * Counters of this database, which last until the server stops.  They count at
 * once, whatever becomes of the transaction.  The empty name stands for all of
 * them.
 */
extern void tte_count(TteCounted what, TteCountedOf kind, int32 id, const char *name);
extern uint64 tte_counter(TteCounted what, int32 source_id);

/* Those with names, palloc'd; id 0: of all. */
extern TteNamedCount *tte_named_counters(TteCountedOf kind, int32 id, int *n);
extern void tte_counters_forget(Oid database);

/* For slots.c, which asks for all shared memory and its locks. */
extern Size tte_counters_size(void);
extern void tte_counters_init(LWLock *lock);

#endif							/* TTE_COUNTERS_H */
