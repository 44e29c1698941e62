/*-------------------------------------------------------------------------
 *
 * database.h
 *	  Leaves a database that is to be dropped, renamed, moved or copied, and says
 *	  what DROP EXTENSION takes with it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TTE_DATABASE_H
#define TTE_DATABASE_H

/* Sets the utility hook; while preloading. */
extern void tte_database_hook(void);

#endif							/* TTE_DATABASE_H */
