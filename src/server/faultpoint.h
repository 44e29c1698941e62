/*-------------------------------------------------------------------------
 *
 * faultpoint.h
 *	  Fault points: named places where a test build (make FAULT_POINTS=1) can be
 *	  told to crash, to fail or to wait.  In other builds they are empty.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TTE_FAULTPOINT_H
#define TTE_FAULTPOINT_H

#ifdef TTE_FAULT_POINTS
/* about: the event or request that passes; NULL: not applicable */
extern void tte_fault_point(const char *name, const char *about);
#define TTE_FAULT_POINT(name, about)	tte_fault_point(name, about)

/* for places that must not raise errors, as a callback of libcurl: does only "kill" */
extern void tte_fault_kill(const char *name);
#define TTE_FAULT_KILL(name)	tte_fault_kill(name)
#else
#define TTE_FAULT_POINT(name, about)	((void) 0)
#define TTE_FAULT_KILL(name)	((void) 0)
#endif

#endif							/* TTE_FAULTPOINT_H */
