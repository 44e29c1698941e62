/*-------------------------------------------------------------------------
 *
 * counters.h
 *	  Counters in shared memory: rows and calls that recorded no event, and
 *	  events that became final.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TTE_COUNTERS_H
#define TTE_COUNTERS_H

#include "storage/lwlock.h"

/* Final statuses that are counted: those that come by themselves, and not by an operator. */
#define TTE_STATUSES	6
extern const char *const tte_counted_status[TTE_STATUSES];

/* What is counted.  Most of it recorded no event. */
typedef enum TteCounted
{
	TTE_CONFLICT,				/* a known key came again with another event */
	TTE_NO_MAPPING,				/* a stage that tiktok.lead_stage does not map */
	TTE_QUERIED,				/* the query or function of a trigger was run */
	TTE_NO_ROW,					/* it returned no row, or NULL */
	TTE_NO_SOURCE,				/* a row does not name a source */
	TTE_NOT_RECORDED,			/* tiktok_events.recording is off */
	TTE_FINAL,					/* events by status, as above */
	TTE_COUNTED = TTE_FINAL + TTE_STATUSES
} TteCounted;

/* What is counted for: each has a counter of its own, and counters by name until the table is full. */
typedef enum TteCountedOf
{
	TTE_OF_SOURCE,				/* id of the source; by stage */
	TTE_OF_TABLE,				/* OID of the topmost table; by trigger */
	TTE_OF_ROWS					/* OID of a table, 0 for tiktok.track(); by
								 * unknown source name in rows */
} TteCountedOf;

#define TTE_STAGE_LEN	64		/* bytes of a name, its end included */

typedef struct TteNamedCount
{
	int32		id;
	char		name[TTE_STAGE_LEN];
	uint64		count[TTE_COUNTED];
} TteNamedCount;

/*
 * Counters of this database, kept until the server stops.  They are not
 * transactional: a rolled back transaction counts, too.  The empty name counts
 * for the whole source or table.
 */
extern void tte_count(TteCounted what, TteCountedOf kind, int32 id, const char *stage);
extern void tte_count_final(int32 source_id, const char *status, int n);
extern uint64 tte_counter(TteCounted what, int32 source_id);

/* The counters with names, palloc'd; id NULL: of all sources or tables. */
extern TteNamedCount *tte_named_counters(TteCountedOf kind, const int32 *id, int *n);
extern void tte_counters_forget(Oid database);

/* For slots.c, which requests all shared memory and locks. */
extern Size tte_counters_size(void);
extern void tte_counters_init(LWLock *lock);

#endif							/* TTE_COUNTERS_H */
