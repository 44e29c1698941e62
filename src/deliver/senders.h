/*-------------------------------------------------------------------------
 *
 * senders.h
 *	  All senders of a worker: one for each source, in the order of their turns.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TTE_SENDERS_H
#define TTE_SENDERS_H

#include "deliver/sender.h"
#include "server/slots.h"

/* The last served last. */
extern dlist_head tte_senders;

/* In a transaction: makes, configures and drops senders as the tables say; context is for what is read. */
extern void tte_read_sources(MemoryContext context);

/* Has a file with a token come, gone or changed?  Needs no transaction. */
extern bool tte_token_files_changed(void);

/* When that is to be asked again; PG_INT64_MAX: there are no such files. */
extern int64 tte_token_files_due(void);

/* At once, after all. */
extern void tte_token_files_look(void);

/* The queue may have something for everybody, or where a committed transaction has recorded something. */
extern void tte_look_everywhere(void);

/* What kept sources from their endpoint may be over. */
extern void tte_hurry_probes(void);
extern void tte_look_at_news(TteSlot *slot);

/* An operator may have put events back or closed some, of whatever source. */
extern void tte_requeue_all(void);

/* Timers are compared with the clock of the server, which may be set back. */
extern void tte_mind_clock(int64 now);

/* Is anything kept back because of an operator's transaction? */
extern bool tte_anyone_has_held(void);

/* What the next worker must know of sources: is there any, and in a transaction: stores it. */
extern bool tte_anyone_hands_over(int64 now);
extern void tte_hand_over(int64 now);

/* Is it time for anyone's tte_hold_record(), or for sending or expiring events? */
extern bool tte_anyone_holds(int64 now);
extern bool tte_anyone_wants(int64 now);

/* The sender with an event that must go alone, if it is its turn. */
extern TteSender *tte_alone_sender(int64 now);

#endif							/* TTE_SENDERS_H */
