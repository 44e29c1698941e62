/*-------------------------------------------------------------------------
 *
 * guard.h
 *	  Checks that no user code would run in the worker.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TTE_GUARD_H
#define TTE_GUARD_H

/* Called once, in a transaction. */
extern void tte_guard_attach(void);

/*
 * In a transaction: returns why the worker must not use one of its tables; NULL:
 * it may.  The text is valid until the next call.  While there is no problem,
 * the catalogs are read only after a table was changed.
 */
extern const char *tte_guard_problem(Oid extension, Oid owner);

/* After that: the same of other tables, without which events can be sent. */
extern const char *tte_guard_problem_of(const char *const *names, int n);

#endif							/* TTE_GUARD_H */
