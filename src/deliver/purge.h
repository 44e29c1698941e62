/*-------------------------------------------------------------------------
 *
 * purge.h
 *	  Deletes old history, batch by batch.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TTE_PURGE_H
#define TTE_PURGE_H

/* What a pass has deleted. */
typedef enum TtePurged
{
	TTE_PURGED_EVENTS,
	TTE_PURGED_REQUESTS,
	TTE_PURGED_IDENTITIES,		/* rows, those of deleted events included */
	TTE_PURGED_PIXEL_SEEN,
	TTE_PURGED_COUNTS
} TtePurged;

typedef struct TtePurge TtePurge;

/*
 * Begins a pass over all tables; allocated in the current context.  retention and
 * identifier_ttl are in seconds; -1 as in the settings.
 */
extern TtePurge *tte_purge_begin(int64 retention, int64 identifier_ttl);

/*
 * In a transaction and connected to SPI: reads so many rows more, and deletes
 * those that are old enough.  Returns false at the end of the pass.  Does not
 * wait for locked rows: they are left for the next pass.
 */
extern bool tte_purge_step(TtePurge *purge, int rows);

/* Locks the tables; returns false if another transaction has a conflicting lock. */
extern bool tte_purge_try_lock(void);

#endif							/* TTE_PURGE_H */
