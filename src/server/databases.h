/*-------------------------------------------------------------------------
 *
 * databases.h
 *	  Shared memory: one entry per database with the extension.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TTE_DATABASES_H
#define TTE_DATABASES_H

#include "datatype/timestamp.h"
#include "port/atomics.h"
#include "storage/lwlock.h"

/*
 * What is known of a database while no worker serves it.  The atomics are read
 * without a lock.
 */
typedef struct TteDatabase
{
	pg_atomic_uint32 database;	/* Oid, 0: free */
	pg_atomic_uint32 wake;		/* something committed since a worker looked */
	pg_atomic_uint32 state;		/* TteWorkerState while it has no slot;
								 * TTE_WORKER_NONE: it is not to be served */
	pg_atomic_uint64 since;		/* TimestampTz of the state */

	/* What its last worker left */
	pg_atomic_uint32 left;		/* TteWorkerState, if that was unusual */
	pg_atomic_uint64 due;		/* TimestampTz: the next one has to come */
	pg_atomic_uint64 purge_at;	/* old rows are to be looked for; 0: at once */
	pg_atomic_uint64 sent_at;	/* of the last request */
	pg_atomic_uint64 requests;	/* since the server started */
	pg_atomic_uint64 delivered;
	pg_atomic_uint64 failed;
} TteDatabase;

extern Size tte_databases_size(void);
extern void tte_databases_init(LWLock *lock);

extern TteDatabase *tte_database(int i);	/* of tiktok_events.max_databases */
extern TteDatabase *tte_database_of(Oid database);	/* NULL: none */

/* Adds one if there is none; NULL: there is no room. */
extern TteDatabase *tte_database_enter(Oid database);

/* It has been dropped. */
extern void tte_database_forget(Oid database);
extern void tte_database_set_state(TteDatabase *entry, uint32 state);

#endif							/* TTE_DATABASES_H */
