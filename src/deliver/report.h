/*-------------------------------------------------------------------------
 *
 * report.h
 *	  Fetches TikTok's own counts, one call at a time, beside the delivery of events.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TTE_REPORT_H
#define TTE_REPORT_H

/* The configuration has changed: sources are read again. */
extern void tte_report_look(void);

/* Gives up what is under way, and all that is in memory. */
extern void tte_report_forget(void);

/* The settings have changed: the next call makes a new connection. */
extern void tte_report_reload(void);

/* The descriptor that becomes readable when tte_report_drive() has something to do; -1: none. */
extern int	tte_report_fd(void);

/* Moves bytes; needs no transaction, and never blocks. */
extern void tte_report_drive(void);

/* Is a call under way, or unrecorded? */
extern bool tte_report_is_open(void);

/* Is there anything for tte_report_step() to do, and when will there be; PG_INT64_MAX: not by itself. */
extern bool tte_report_wants(int64 now);
extern int64 tte_report_due(int64 now);

/*
 * In a transaction: records the call that has come back, and chooses the next.  Never
 * waits for a lock, and an error stays inside.
 */
extern void tte_report_step(int64 now);

/* After its commit: sends what was chosen. */
extern void tte_report_send(int64 now);

#endif							/* TTE_REPORT_H */
