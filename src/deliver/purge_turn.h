/*-------------------------------------------------------------------------
 *
 * purge_turn.h
 *	  When a worker deletes old rows, and how many at a time.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TTE_PURGE_TURN_H
#define TTE_PURGE_TURN_H

/* When the next step is due; and was, when the last worker left. */
extern int64 tte_purge_due(void);
extern void tte_purge_resume(int64 due);

/*
 * Is it time for tte_purge_some()?  After an error, and when somebody has locked
 * the tables, the next attempt is due in an hour.
 */
extern bool tte_purge_is_due(int64 now);

/* In a transaction: deletes some of what has been kept long enough. */
extern void tte_purge_some(int64 now);

/* The pass that has begun ends here; tte_purge_restart(): a new one is due at once. */
extern void tte_purge_forget(void);
extern void tte_purge_restart(void);

#endif							/* TTE_PURGE_TURN_H */
