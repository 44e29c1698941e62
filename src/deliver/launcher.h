/*-------------------------------------------------------------------------
 *
 * launcher.h
 *	  The process that keeps a worker in every database that needs one.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TTE_LAUNCHER_H
#define TTE_LAUNCHER_H

/* Registers the launcher; call while preloading. */
extern void tte_launcher_register(void);

PGDLLEXPORT void tte_launcher_main(Datum arg);

#endif							/* TTE_LAUNCHER_H */
