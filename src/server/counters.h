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

/* What recorded no event; the second also by stage. */
typedef enum TteCounted
{
	TTE_CONFLICT,				/* a known key came again with another event */
	TTE_NO_MAPPING,				/* a stage that tiktok.lead_stage does not map */
	TTE_COUNTED
} TteCounted;

#define TTE_STAGE_LEN	64		/* bytes of a stage, its end included */

typedef struct TteStageCount
{
	char		stage[TTE_STAGE_LEN];
	uint64		count;
} TteStageCount;

/*
 * Counters of this database, which last until the server stops.  They count at
 * once, whatever becomes of the transaction.  The empty stage stands for all of
 * a source; others have a counter of their own while there is room.
 */
extern void tte_count(TteCounted what, int32 source_id, const char *stage);
extern uint64 tte_counter(TteCounted what, int32 source_id);
extern TteStageCount *tte_stage_counters(int32 source_id, int *n);	/* palloc'd */
extern void tte_counters_forget(Oid database);

/* For slots.c, which asks for all shared memory and its locks. */
extern Size tte_counters_size(void);
extern void tte_counters_init(LWLock *lock);

#endif							/* TTE_COUNTERS_H */
