/*-------------------------------------------------------------------------
 *
 * wakeup.h
 *	  Wakes the worker or the launcher when a transaction commits.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TTE_WAKEUP_H
#define TTE_WAKEUP_H

/*
 * In a session: when this transaction commits, wake the worker of this
 * database (events were enqueued or configuration changed), or the launcher.
 */
extern void tte_wake_at_commit(void);

/* The same; the worker need not look at other sources. */
extern void tte_wake_source_at_commit(int32 source_id);
extern void tte_wake_launcher_at_commit(void);

/* The same, after the extension was dropped: the worker ends. */
extern void tte_stop_at_commit(void);

/* The same, after statuses were changed: the worker reads the queue of the source again. */
extern void tte_requeue_at_commit(int32 source_id);

/* In the worker: has such a transaction committed since it looked? */
extern bool tte_requeue_pending(int32 source_id);

/*
 * The same, after configuration was changed.  The worker cannot rely on the
 * invalidation message for that: it is sent after the wake-up.
 */
extern void tte_reconfigure_at_commit(void);

#endif							/* TTE_WAKEUP_H */
