/*-------------------------------------------------------------------------
 *
 * worker.h
 *	  The background worker of a database.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TTE_WORKER_H
#define TTE_WORKER_H

/* Entry point; the argument is the number of the slot in shared memory. */
PGDLLEXPORT void tte_worker_main(Datum slot_number);

#endif							/* TTE_WORKER_H */
