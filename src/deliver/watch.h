/*-------------------------------------------------------------------------
 *
 * watch.h
 *	  Has the configuration changed?
 *
 *-------------------------------------------------------------------------
 */
#ifndef TTE_WATCH_H
#define TTE_WATCH_H

/* Called once, in a transaction. */
extern void tte_watch_attach(void);

/* Called when the tables may be others than before. */
extern void tte_watch_tables(void);

/* Since the last call; looks at the tables, so it needs a snapshot. */
extern bool tte_watch_changed(int64 now);

/* Has a message come that says so?  Needs no transaction. */
extern bool tte_watch_stale(void);

/* The next call of tte_watch_changed() will say so. */
extern void tte_watch_reload(void);

#endif
