/*-------------------------------------------------------------------------
 *
 * guard.h
 *	  Does somebody's code take part in what the worker writes?
 *
 *-------------------------------------------------------------------------
 */
#ifndef TTE_GUARD_H
#define TTE_GUARD_H

/* Called once, in a transaction. */
extern void tte_guard_attach(void);

/*
 * In a transaction: what somebody has done to a table that the worker uses, and
 * for which it must not touch it; NULL when nothing.  The text lives until this
 * is called again.  While all is well the catalogs are read only when a table
 * has changed.
 */
extern const char *tte_guard_problem(Oid extension, Oid owner);

#endif							/* TTE_GUARD_H */
