/*-------------------------------------------------------------------------
 *
 * handover.h
 *	  What a worker that makes room for other databases leaves to the next.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TTE_HANDOVER_H
#define TTE_HANDOVER_H

#include "deliver/sender.h"

/* The last worker sent a request then. */
extern void tte_handover_sent_at(int64 at);

/* Has the sender anything to remember?  If so, in a transaction and while nothing is under way: stores it. */
extern bool tte_handover_needed(const TteSender *sender, int64 now);
extern void tte_handover_store(TteSender *sender, int64 now);

/* In a transaction, when the sender begins: takes over what was stored. */
extern void tte_handover_load(TteSender *sender, int64 now);

#endif							/* TTE_HANDOVER_H */
