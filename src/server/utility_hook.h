/*-------------------------------------------------------------------------
 *
 * utility_hook.h
 *	  What commands on databases and on the extension want of the worker.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TTE_UTILITY_HOOK_H
#define TTE_UTILITY_HOOK_H

/* Sets the utility hook; while preloading. */
extern void tte_utility_hook(void);

#endif							/* TTE_UTILITY_HOOK_H */
