/*-------------------------------------------------------------------------
 *
 * slots.h
 *	  Shared memory: one slot per background worker.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TTE_SLOTS_H
#define TTE_SLOTS_H

#include "datatype/timestamp.h"
#include "port/atomics.h"
#include "storage/condition_variable.h"

#define TTE_ERROR_LEN	256

/* State of a worker; TTE_WORKER_NONE: there is no worker. */
typedef enum TteWorkerState
{
	TTE_WORKER_NONE,
	TTE_WORKER_STARTING,
	TTE_WORKER_IDLE,
	TTE_WORKER_SENDING,
	TTE_WORKER_FAILED,			/* recovers from an error */
	TTE_WORKER_MISMATCH,		/* the extension is of a version it does not
								 * know */
	TTE_WORKER_REFUSED,			/* somebody has changed the tables */
	TTE_WORKER_WAITING,			/* of a database: it waits for a worker, */
	TTE_WORKER_RESTING			/* or nothing is due in it */
} TteWorkerState;

/* Why the last worker of a slot ended. */
typedef enum TteExitReason
{
	TTE_EXIT_UNKNOWN,			/* an error, or killed */
	TTE_EXIT_NO_EXTENSION,		/* the database does not have it */
	TTE_EXIT_NO_ROOM,			/* it has, but the slot is for probes only */
	TTE_EXIT_ASKED,				/* the launcher or DROP DATABASE asked */
	TTE_EXIT_MADE_ROOM			/* other databases wait for a worker */
} TteExitReason;

/*
 * A slot belongs to a database from the moment the launcher takes it until the
 * launcher sees that its worker has ended.  Meanwhile the worker in it is the
 * only consumer of that database's queue.  The atomics are read without a lock.
 */
/* With more than 4096 sources some share a bit. */
#define TTE_NEWS_WORDS	64
#define TTE_NEWS_WORD(source_id)	((uint32) (source_id) / 64 % TTE_NEWS_WORDS)
#define TTE_NEWS_BIT(source_id)	(UINT64CONST(1) << ((uint32) (source_id) % 64))

typedef struct TteSlot
{
	pg_atomic_uint32 database;	/* Oid, 0: free */
	pg_atomic_uint32 proc;		/* process number + 1, 0: no worker */
	pg_atomic_uint32 wake;		/* events committed since it was cleared */
	pg_atomic_uint64 news[TTE_NEWS_WORDS];	/* of which sources, a bit for
											 * each id modulo their number */
	pg_atomic_uint64 decided[TTE_NEWS_WORDS];	/* the same of sources about
												 * which operators have
												 * decided */
	pg_atomic_uint32 reconfigure;	/* configuration changed since it was
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
	ConditionVariable recorded; /* broadcast after outcomes are recorded */
	TimestampTz error_at;		/* protected by TteShared.lock, as is error */
	char		error[TTE_ERROR_LEN];
} TteSlot;

/* Has the server restarted all its processes after a crash since that time? */
extern bool tte_crashed_since(TimestampTz at);

/*
 * Which requests of this database may have been sent; survives a crash.  A worker
 * calls tte_sent_attach() first, with the OID of the extension and the newest
 * request recorded, and tte_sent_note() before it sends a request.
 */
extern void tte_sent_attach(Oid extension, int64 newest_request);
extern void tte_sent_note(int64 request);
extern bool tte_sent_possibly(int64 request);

/* True when the library was preloaded and shared memory is there. */
extern bool tte_shared_available(void);

/* When shared memory was created: at server start, or after a crash of a process. */
extern TimestampTz tte_shared_since(void);

extern void tte_shared_request(void);	/* while preloading */

extern int	tte_slot_count(void);
extern TteSlot *tte_slot(int i);
extern TteSlot *tte_slot_of(Oid database);	/* NULL: none */

/* For the launcher. */

/*
 * Returns NULL if no slot is free.  The last slot, beyond max_workers, is only
 * for probes (for_probe), which check whether a database has the extension.
 */
extern TteSlot *tte_slot_take(Oid database, bool for_probe);
extern bool tte_slot_is_free(void);
extern void tte_slot_release(TteSlot *slot);
extern void tte_slot_stop(TteSlot *slot);
extern void tte_slot_wake(TteSlot *slot);
extern bool tte_slot_busy(TteSlot *slot);	/* a worker is in it */
extern void tte_launcher_announce(void);

/* In any process: wakes the launcher; tells it to check this database. */
extern void tte_launcher_wake(void);
extern void tte_launcher_kick(void);

/* Shall the launcher check a database again (InvalidOid: several)?  Clears the request. */
extern bool tte_launcher_kicked(Oid *database);

/* So many workers are to make room, those that have been idle for longest first; and how many are about to. */
extern void tte_room_ask(int n);
extern int	tte_room_coming(void);

/* For the worker. */

/* Is it to make room, and shall it be this one?  Whoever is told so has to leave. */
extern bool tte_room_wanted(void);
extern bool tte_room_claim(void);
extern void tte_slot_attach(TteSlot *slot); /* detaches at exit */
extern bool tte_slot_is_for_probe(const TteSlot *slot); /* the one for probes */
extern void tte_slot_set_state(TteSlot *slot, TteWorkerState state);
extern void tte_slot_set_error(TteSlot *slot, const char *message);
extern void tte_slot_get_error(TteSlot *slot, TimestampTz *at, char message[TTE_ERROR_LEN]);

#endif							/* TTE_SLOTS_H */
