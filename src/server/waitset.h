/*-------------------------------------------------------------------------
 *
 * waitset.h
 *	  Waiting in background workers and sessions.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TTE_WAITSET_H
#define TTE_WAITSET_H

/*
 * Waits until the latch is set, one of two descriptors (-1: none) is readable, or timeout_ms
 * has passed (-1: for ever).  Exits the process if the postmaster dies.  Resets the
 * latch and runs CHECK_FOR_INTERRUPTS.  Keeps one wait set for the life of the
 * process; the descriptors may change, and may be closed and opened anew under the same
 * number, at any time between two calls.
 */
extern void tte_wait(int fd, int other_fd, long timeout_ms, uint32 wait_event_info);

/* The same for a session, without descriptors; it keeps no wait set. */
extern void tte_sleep(long timeout_ms);

#endif							/* TTE_WAITSET_H */
