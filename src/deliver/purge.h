/*-------------------------------------------------------------------------
 *
 * purge.h
 *	  Deletion of what has been kept long enough, batch by batch.
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
 * A pass over everything; lives in the current context.  retention and
 * identifier_ttl are in seconds; -1 as in the settings.
 */
extern TtePurge *tte_purge_begin(int64 retention, int64 identifier_ttl);

/*
 * In a transaction and connected to SPI: looks at so many rows more, and
 * deletes those of them whose time is over; false when nothing is left.  Waits
 * for nobody's rows: what is locked is left for the next pass.
 */
extern bool tte_purge_step(TtePurge *purge, int rows);

/* Locks the tables, unless somebody else has: then returns false. */
extern bool tte_purge_try_lock(void);

#endif							/* TTE_PURGE_H */
