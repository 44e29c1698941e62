/*-------------------------------------------------------------------------
 *
 * faultpoint.h
 *	  Named places where a test build (make FAULT_POINTS=1) can be told to die,
 *	  to fail or to wait.  Other builds hold nothing of it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TTE_FAULTPOINT_H
#define TTE_FAULTPOINT_H

#ifdef TTE_FAULT_POINTS
/* about: which event or request passes, NULL when that says nothing */
extern void tte_fault_point(const char *name, const char *about);
#define TTE_FAULT_POINT(name, about)	tte_fault_point(name, about)

/* where nothing may be raised, as in a callback of libcurl: knows "kill" only */
extern void tte_fault_kill(const char *name);
#define TTE_FAULT_KILL(name)	tte_fault_kill(name)
#else
#define TTE_FAULT_POINT(name, about)	((void) 0)
#define TTE_FAULT_KILL(name)	((void) 0)
#endif

#endif							/* TTE_FAULTPOINT_H */
