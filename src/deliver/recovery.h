/*-------------------------------------------------------------------------
 *
 * recovery.h
 *	  Detects that the server was recovered to an earlier state, or that the
 *	  database is a copy.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TTE_RECOVERY_H
#define TTE_RECOVERY_H

#include "deliver/queue.h"

/* In the postmaster, when it starts: is this server a standby? */
extern void tte_recovery_note_start(void);

/* Is tte_recovery_check() due, for the first time or again? */
extern bool tte_recovery_check_due(const TteInstallation *installation, int64 now);

/*
 * In a transaction: notes the server's timeline, base backup and the time in the
 * database.  If the server was recovered since the last note, or the database is a
 * copy, events of transactions before next_xid count as possibly received.  If the
 * server was recovered from a backup, or to a state older than the retry horizon,
 * pauses all sources and returns the reason, else NULL.
 */
extern const char *tte_recovery_check(TteInstallation *installation, uint64 next_xid, int64 now);

#endif							/* TTE_RECOVERY_H */
