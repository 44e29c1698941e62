/*-------------------------------------------------------------------------
 *
 * utility_hook.h
 *	  Tells the worker of commands on databases and on the extension.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TTE_UTILITY_HOOK_H
#define TTE_UTILITY_HOOK_H

/* Sets the utility hook; call while preloading. */
extern void tte_utility_hook(void);

#endif							/* TTE_UTILITY_HOOK_H */
