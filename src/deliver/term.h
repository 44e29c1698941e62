/*-------------------------------------------------------------------------
 *
 * term.h
 *	  How long a worker stays while other databases wait for one.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TTE_TERM_H
#define TTE_TERM_H

#include "server/slots.h"

/* When the worker begins: takes over counters and times that the last one left. */
extern void tte_term_begin(TteSlot *slot, int64 now);

/* The state in which the last worker left, which is in the log already, until the first turn without trouble. */
extern TteWorkerState tte_term_inherited(void);
extern void tte_term_disinherit(void);

/* For the next worker: a request was sent; the wake-up was seen. */
extern void tte_term_note_sent(void);
extern void tte_term_note_woken(void);

/* Does the worker send nothing new, because others wait and it has been busy for long enough? */
extern bool tte_term_is_over(int64 now);

/* When the worker may leave for the first time, if others wait; else PG_INT64_MAX. */
extern int64 tte_term_due(int64 now);

/* When old rows are to be deleted: not at once if others wait. */
extern int64 tte_term_purge_due(void);
extern bool tte_term_purge_is_due(int64 now);

/*
 * Once a turn: is the worker to leave?  A busy one stays until its term is over,
 * one that is bound until its requests have ended.  True also takes one off what
 * the launcher asks for.
 */
extern bool tte_term_ends(bool is_busy, bool is_bound, int64 now);

/* Tells launcher and next worker when it is to come, and what it has to know. */
extern void tte_term_leave_note(TteWorkerState state, int64 due, int64 now);

#endif							/* TTE_TERM_H */
