/*-------------------------------------------------------------------------
 *
 * database.h
 *	  What commands on databases and on the extension want of the worker.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TTE_DATABASE_H
#define TTE_DATABASE_H

/* Sets the utility hook; while preloading. */
extern void tte_database_hook(void);

#endif							/* TTE_DATABASE_H */
