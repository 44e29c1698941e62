/*-------------------------------------------------------------------------
 *
 * recovery.h
 *	  Is this a server that was recovered to an earlier state?
 *
 *-------------------------------------------------------------------------
 */
#ifndef TTE_RECOVERY_H
#define TTE_RECOVERY_H

#include "deliver/queue.h"

/* Is it time for tte_recovery_check(), the first time or again? */
extern bool tte_recovery_check_due(const TteInstallation *installation, int64 now);

/*
 * In a transaction: notes in the database which server this is and when it was
 * there.  If the database was recovered since the last note, what transactions
 * before next_xid recorded counts as possibly received; if the state it was
 * recovered to is older than the retry horizon, all sources are paused and the
 * reason is returned, else NULL.
 */
extern const char *tte_recovery_check(TteInstallation *installation, uint64 next_xid, int64 now);

#endif							/* TTE_RECOVERY_H */
