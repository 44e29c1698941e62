/*-------------------------------------------------------------------------
 *
 * slots.h
 *	  What the processes of the cluster share: one slot per background worker.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TTE_SLOTS_H
#define TTE_SLOTS_H

#include "datatype/timestamp.h"
#include "port/atomics.h"
#include "storage/condition_variable.h"

#define TTE_ERROR_LEN	256

/* What a worker does now; TTE_WORKER_NONE: there is none. */
typedef enum TteWorkerState
{
	TTE_WORKER_NONE,
	TTE_WORKER_STARTING,
	TTE_WORKER_IDLE,
	TTE_WORKER_SENDING,
	TTE_WORKER_FAILED,			/* recovers from an error */
	TTE_WORKER_MISMATCH,		/* the extension is of a version it does not
								 * know */
	TTE_WORKER_REFUSED			/* somebody has changed the tables */
} TteWorkerState;

/* Why the last worker of a slot ended. */
typedef enum TteExitReason
{
	TTE_EXIT_UNKNOWN,			/* an error, or killed */
	TTE_EXIT_NO_EXTENSION,		/* the database does not have it */
	TTE_EXIT_NO_ROOM,			/* it has, but the slot is for looking only */
	TTE_EXIT_ASKED				/* the launcher or DROP DATABASE asked */
} TteExitReason;

/*
 * A slot belongs to a database from the moment the launcher picks it until its
 * worker is seen to be gone; while it does, the worker in it is the only
 * consumer of that database's queue.  The atomics are read without a lock.
 */
typedef struct TteSlot
{
	pg_atomic_uint32 database;	/* Oid, 0: free */
	pg_atomic_uint32 proc;		/* process number + 1, 0: no worker */
	pg_atomic_uint32 wake;		/* events were committed since it was cleared */
	pg_atomic_uint32 requeue;	/* fates were changed by hand since it was
								 * cleared */
	pg_atomic_uint32 reconfigure;	/* configuration was changed since it was
									 * cleared */
	pg_atomic_uint32 leave;		/* asked to end */
	pg_atomic_uint32 state;		/* TteWorkerState */
	pg_atomic_uint32 exit_reason;	/* TteExitReason */
	pg_atomic_uint32 pid;
	pg_atomic_uint32 in_flight;
	pg_atomic_uint64 since;		/* TimestampTz of the state */
	pg_atomic_uint64 heartbeat; /* TimestampTz of the last turn */
	pg_atomic_uint64 requests;
	pg_atomic_uint64 delivered;
	pg_atomic_uint64 failed;	/* requests that delivered nothing */
	ConditionVariable recorded; /* broadcast when fates have been recorded */
	TimestampTz error_at;		/* these two under the lock of slots.c */
	char		error[TTE_ERROR_LEN];
} TteSlot;

/* A database that needs a worker and cannot have one. */
typedef struct TteWaiting
{
	Oid			database;
	TimestampTz since;
} TteWaiting;

#define TTE_MAX_WAITING	64		/* more are not shown */

/*
 * Has this server, since it was started and since that time, lost a process so
 * badly that it started all of them anew?
 */
extern bool tte_crashed_since(TimestampTz at);

/*
 * Which requests of this database may have left the process; outlives a crash.
 * A worker calls the first one before the others, with its extension and the
 * newest request on record, and the second one before it sends.
 */
extern void tte_sent_attach(Oid extension, int64 newest_request);
extern void tte_sent_note(int64 request);
extern bool tte_sent_possibly(int64 request);

/* True when the library was preloaded and shared memory is there. */
extern bool tte_shared_available(void);

/* Since when it is there; a crash of a process makes it anew. */
extern TimestampTz tte_shared_since(void);

extern void tte_shared_request(void);	/* while preloading */

extern int	tte_slot_count(void);
extern TteSlot *tte_slot(int i);
extern TteSlot *tte_slot_of(Oid database);	/* NULL: none */

/* The launcher's side. */
/*
 * NULL: all taken.  The last slot, beyond max_workers, is for looking whether
 * a database has the extension at all.
 */
extern TteSlot *tte_slot_take(Oid database, bool to_look);
extern void tte_slot_release(TteSlot *slot);
extern void tte_slot_stop(TteSlot *slot);
extern void tte_slot_wake(TteSlot *slot);
extern bool tte_slot_busy(TteSlot *slot);	/* a worker is in it */
extern void tte_launcher_announce(void);

/* In any process: tells the launcher to look at this database. */
extern void tte_launcher_kick(void);

/* Shall a database be looked at again (InvalidOid: several)?  And clears. */
extern bool tte_launcher_kicked(Oid *database);
extern void tte_waiting_publish(const TteWaiting *waiting, int n);
extern int	tte_waiting_read(TteWaiting *waiting);	/* into TTE_MAX_WAITING
													 * entries */

/* The worker's side. */
extern void tte_slot_attach(TteSlot *slot); /* detaches at exit */
extern bool tte_slot_is_to_look(const TteSlot *slot);	/* the last one */
extern void tte_slot_set_state(TteSlot *slot, TteWorkerState state);
extern void tte_slot_set_error(TteSlot *slot, const char *message);
extern void tte_slot_get_error(TteSlot *slot, TimestampTz *at, char message[TTE_ERROR_LEN]);

#endif							/* TTE_SLOTS_H */
