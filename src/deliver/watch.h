/*-------------------------------------------------------------------------
 *
 * watch.h
 *	  Detects changes of the configuration.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TTE_WATCH_H
#define TTE_WATCH_H

/* Called once, in a transaction. */
extern void tte_watch_attach(void);

/* Looks up the tables again; for a new worker, or when they may have been recreated. */
extern void tte_watch_tables(void);

/* Has the configuration changed since the last call?  Reads the tables, so it needs a snapshot. */
extern bool tte_watch_changed(int64 now);

/* Has a relcache message announced a change?  Needs no transaction. */
extern bool tte_watch_stale(void);

/* Makes the next call of tte_watch_changed() return true. */
extern void tte_watch_reload(void);

#endif
