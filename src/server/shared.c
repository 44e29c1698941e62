/*-------------------------------------------------------------------------
 *
 * shared.c
 *	  Shared memory: worker slots, counters, and the wake-up at commit.
 *
 * Other processes are named by process number, never by pointer or pid: a
 * latch set for a process that has gone wakes a stranger once, which every
 * user of a latch must expect.  The commit callback is registered once per
 * session; it runs after the transaction has left the list of running ones, so
 * that what it enqueued is visible to the worker it wakes.
 *
 * After a crash shared memory is made anew.  What must be known even then, how
 * far requests had been sent, is in a mapping that the postmaster made while it
 * loaded the library, and that all its children inherit.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <sys/mman.h>

#include "access/xact.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "storage/proc.h"
#include "storage/shmem.h"
#include "utils/hsearch.h"
#include "utils/timestamp.h"

#include "server/compat.h"
#include "server/settings.h"
#include "server/shared.h"

/* In TteShared.kick: more than one database. */
#define KICK_ALL	PG_UINT32_MAX

/* There is room for new sources when there is none for new stages any more. */
#define MAX_COUNTERS	1024
#define ROOM_FOR_STAGES (MAX_COUNTERS / 4 * 3)
#define MAX_STAGES		64		/* of a source */

typedef struct CounterKey
{
	Oid			database;
	int32		source_id;
	char		stage[TTE_STAGE_LEN];	/* padded with zeros; empty: the
										 * source */
} CounterKey;

typedef struct Counter
{
	CounterKey	key;
	int			stages;			/* of a source: how many have a counter */
	pg_atomic_uint64 count[TTE_COUNTED];
} Counter;

typedef struct TteShared
{
	LWLock	   *lock;			/* error texts, and the list of who waits */
	LWLock	   *counters_lock;	/* exclusive to add and remove counters */
	pg_atomic_uint32 launcher;	/* process number + 1 */
	pg_atomic_uint32 kick;		/* database that the launcher shall look at,
								 * or 0 */
	int			nwaiting;
	TteWaiting	waiting[TTE_MAX_WAITING];
	TimestampTz made_at;		/* after the start of the server: made anew in
								 * a crash */
	int			slots;
	TteSlot		slot[FLEXIBLE_ARRAY_MEMBER];
} TteShared;

/* How far a database has sent. */
typedef struct TteSent
{
	pg_atomic_uint32 database;	/* Oid, 0: free */
	pg_atomic_uint32 extension; /* Oid, set last */
	pg_atomic_uint64 request;	/* newest that may have been sent */
} TteSent;

#define SENT_ENTRIES	256

static TteSent *sent = NULL;	/* survives a crash; NULL: nothing is known */
static TteSent *my_sent = NULL;
static TteShared *shared = NULL;
static HTAB *counters = NULL;
static shmem_request_hook_type prev_request_hook = NULL;
static shmem_startup_hook_type prev_startup_hook = NULL;

/* What the end of the current transaction has to do. */
static bool callback_registered = false;
static bool wake_worker = false;
static bool wake_launcher = false;
static bool stop_worker = false;
static bool requeue = false;
static bool reconfigure = false;

static Size
shared_size(void)
{
	return add_size(offsetof(TteShared, slot), mul_size(sizeof(TteSlot), tte_max_workers + 1));
}

static void
request_shmem(void)
{
	if (prev_request_hook)
		prev_request_hook();
	RequestAddinShmemSpace(shared_size());
	RequestAddinShmemSpace(hash_estimate_size(MAX_COUNTERS, sizeof(Counter)));
	RequestNamedLWLockTranche("tiktok_events", 2);
}

static void
init_slot(TteSlot *slot)
{
	pg_atomic_init_u32(&slot->database, 0);
	pg_atomic_init_u32(&slot->proc, 0);
	pg_atomic_init_u32(&slot->wake, 0);
	pg_atomic_init_u32(&slot->requeue, 0);
	pg_atomic_init_u32(&slot->reconfigure, 0);
	pg_atomic_init_u32(&slot->leave, 0);
	pg_atomic_init_u32(&slot->state, TTE_WORKER_NONE);
	pg_atomic_init_u32(&slot->exit_reason, TTE_EXIT_UNKNOWN);
	pg_atomic_init_u32(&slot->pid, 0);
	pg_atomic_init_u32(&slot->in_flight, 0);
	pg_atomic_init_u64(&slot->since, 0);
	pg_atomic_init_u64(&slot->heartbeat, 0);
	pg_atomic_init_u64(&slot->requests, 0);
	pg_atomic_init_u64(&slot->delivered, 0);
	pg_atomic_init_u64(&slot->failed, 0);
	ConditionVariableInit(&slot->recorded);
	slot->error_at = 0;
	slot->error[0] = '\0';
}

static void
startup_shmem(void)
{
	HASHCTL		ctl = {.keysize = sizeof(CounterKey), .entrysize = sizeof(Counter)};
	bool		found;

	if (prev_startup_hook)
		prev_startup_hook();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	shared = ShmemInitStruct("tiktok_events", shared_size(), &found);
	if (!found)
	{
		shared->lock = &GetNamedLWLockTranche("tiktok_events")[0].lock;
		shared->counters_lock = &GetNamedLWLockTranche("tiktok_events")[1].lock;
		pg_atomic_init_u32(&shared->launcher, 0);
		pg_atomic_init_u32(&shared->kick, 0);
		shared->made_at = GetCurrentTimestamp();
		shared->nwaiting = 0;
		shared->slots = tte_max_workers + 1;
		for (int i = 0; i < shared->slots; i++)
			init_slot(&shared->slot[i]);
	}
	counters = ShmemInitHash("tiktok_events counters", MAX_COUNTERS, MAX_COUNTERS, &ctl, HASH_ELEM | HASH_BLOBS);
	LWLockRelease(AddinShmemInitLock);
}

/* Zeroed memory is an array of free entries. */
static void
map_sent(void)
{
	void	   *map = mmap(NULL, SENT_ENTRIES * sizeof(TteSent), PROT_READ | PROT_WRITE,
						   MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	sent = map == MAP_FAILED ? NULL : map;
}

void
tte_shared_request(void)
{
	map_sent();
	prev_request_hook = shmem_request_hook;
	shmem_request_hook = request_shmem;
	prev_startup_hook = shmem_startup_hook;
	shmem_startup_hook = startup_shmem;
}

bool
tte_crashed_since(TimestampTz at)
{
	return shared->made_at > PgStartTime && shared->made_at > at;
}

/*
 * A new entry counts everything on record as sent.  So does a database without
 * an entry: more than that were here since the server was started.
 */
void
tte_sent_attach(Oid extension, int64 newest_request)
{
	for (int i = 0; sent != NULL && my_sent == NULL && i < SENT_ENTRIES; i++)
	{
		uint32		database = 0;

		if (pg_atomic_compare_exchange_u32(&sent[i].database, &database, MyDatabaseId) || database == MyDatabaseId)
			my_sent = &sent[i];
	}
	if (my_sent == NULL || pg_atomic_read_u32(&my_sent->extension) == extension)
		return;
	pg_atomic_write_u64(&my_sent->request, newest_request);
	pg_atomic_write_u32(&my_sent->extension, extension);
}

void
tte_sent_note(int64 request)
{
	if (my_sent != NULL && (int64) pg_atomic_read_u64(&my_sent->request) < request)
		pg_atomic_write_u64(&my_sent->request, request);
}

bool
tte_sent_possibly(int64 request)
{
	return my_sent == NULL || request <= (int64) pg_atomic_read_u64(&my_sent->request);
}

bool
tte_shared_available(void)
{
	return shared != NULL;
}

int
tte_slot_count(void)
{
	return shared ? shared->slots : 0;
}

TteSlot *
tte_slot(int i)
{
	return &shared->slot[i];
}

TteSlot *
tte_slot_of(Oid database)
{
	for (int i = 0; i < tte_slot_count(); i++)
	{
		if (pg_atomic_read_u32(&shared->slot[i].database) == database)
			return &shared->slot[i];
	}
	return NULL;
}

bool
tte_slot_is_to_look(const TteSlot *slot)
{
	return slot == &shared->slot[shared->slots - 1];
}

TteSlot *
tte_slot_take(Oid database, bool to_look)
{
	TteSlot    *slot = tte_slot_of(InvalidOid);

	if (slot == NULL || (tte_slot_is_to_look(slot) && !to_look))
		return NULL;
	pg_atomic_write_u32(&slot->leave, 0);
	pg_atomic_write_u32(&slot->exit_reason, TTE_EXIT_UNKNOWN);
	pg_atomic_write_u64(&slot->heartbeat, 0);
	pg_atomic_write_u64(&slot->requests, 0);
	pg_atomic_write_u64(&slot->delivered, 0);
	pg_atomic_write_u64(&slot->failed, 0);
	tte_slot_set_error(slot, "");
	tte_slot_set_state(slot, TTE_WORKER_STARTING);
	pg_atomic_write_u32(&slot->database, database);
	return slot;
}

void
tte_slot_release(TteSlot *slot)
{
	tte_slot_set_state(slot, TTE_WORKER_NONE);
	pg_atomic_write_u32(&slot->database, InvalidOid);
}

static void
set_latch_of(pg_atomic_uint32 *proc)
{
	uint32		number = pg_atomic_read_u32(proc);

	if (number != 0)
		SetLatch(&GetPGProcByNumber(number - 1)->procLatch);
}

void
tte_slot_stop(TteSlot *slot)
{
	pg_atomic_write_u32(&slot->leave, 1);
	pg_memory_barrier();
	set_latch_of(&slot->proc);
}

bool
tte_slot_busy(TteSlot *slot)
{
	return pg_atomic_read_u32(&slot->proc) != 0;
}

static void
detach_launcher(int code, Datum arg)
{
	pg_atomic_write_u32(&shared->launcher, 0);
}

void
tte_launcher_announce(void)
{
	before_shmem_exit(detach_launcher, (Datum) 0);
	pg_atomic_write_u32(&shared->launcher, TTE_MY_PROC_NUMBER + 1);
}

bool
tte_launcher_kicked(Oid *database)
{
	uint32		kick = pg_atomic_exchange_u32(&shared->kick, 0);

	*database = kick == KICK_ALL ? InvalidOid : kick;
	return kick != 0;
}

void
tte_waiting_publish(const TteWaiting *waiting, int n)
{
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	memcpy(shared->waiting, waiting, n * sizeof(TteWaiting));
	shared->nwaiting = n;
	LWLockRelease(shared->lock);
}

int
tte_waiting_read(TteWaiting *waiting)
{
	int			n;

	LWLockAcquire(shared->lock, LW_SHARED);
	n = shared->nwaiting;
	memcpy(waiting, shared->waiting, n * sizeof(TteWaiting));
	LWLockRelease(shared->lock);
	return n;
}

static void
detach_worker(int code, Datum arg)
{
	TteSlot    *slot = (TteSlot *) DatumGetPointer(arg);

	pg_atomic_write_u32(&slot->proc, 0);
	pg_atomic_write_u32(&slot->pid, 0);
	pg_atomic_write_u32(&slot->in_flight, 0);
}

void
tte_slot_attach(TteSlot *slot)
{
	before_shmem_exit(detach_worker, PointerGetDatum(slot));
	pg_atomic_write_u32(&slot->pid, MyProcPid);
	pg_atomic_write_u32(&slot->wake, 0);
	pg_atomic_write_u32(&slot->requeue, 0);
	pg_atomic_write_u32(&slot->reconfigure, 0);
	pg_atomic_write_u32(&slot->proc, TTE_MY_PROC_NUMBER + 1);
	pg_memory_barrier();
}

void
tte_slot_set_state(TteSlot *slot, TteWorkerState state)
{
	if (pg_atomic_exchange_u32(&slot->state, state) != state)
		pg_atomic_write_u64(&slot->since, GetCurrentTimestamp());
}

void
tte_slot_set_error(TteSlot *slot, const char *message)
{
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	slot->error_at = message[0] ? GetCurrentTimestamp() : 0;
	strlcpy(slot->error, message, sizeof(slot->error));
	LWLockRelease(shared->lock);
}

void
tte_slot_get_error(TteSlot *slot, TimestampTz *at, char message[TTE_ERROR_LEN])
{
	LWLockAcquire(shared->lock, LW_SHARED);
	*at = slot->error_at;
	memcpy(message, slot->error, TTE_ERROR_LEN);
	LWLockRelease(shared->lock);
}

static CounterKey
counter_key(int32 source_id, const char *stage)
{
	CounterKey	key = {.database = MyDatabaseId, .source_id = source_id};

	strlcpy(key.stage, stage, sizeof(key.stage));
	return key;
}

static Counter *
find_counter(int32 source_id, const char *stage)
{
	CounterKey	key = counter_key(source_id, stage);

	return hash_search(counters, &key, HASH_FIND, NULL);
}

/* NULL: there is no room. */
static Counter *
add_counter(int32 source_id, const char *stage)
{
	CounterKey	key = counter_key(source_id, stage);
	Counter    *source = stage[0] ? find_counter(source_id, "") : NULL;
	Counter    *counter;
	bool		found;

	if (stage[0] && (source == NULL || source->stages >= MAX_STAGES))
		return NULL;
	if (hash_get_num_entries(counters) >= (stage[0] ? ROOM_FOR_STAGES : MAX_COUNTERS))
		return NULL;
	counter = hash_search(counters, &key, HASH_ENTER_NULL, &found);
	if (counter == NULL || found)
		return counter;
	counter->stages = 0;
	for (int i = 0; i < TTE_COUNTED; i++)
		pg_atomic_init_u64(&counter->count[i], 0);
	if (source != NULL)
		source->stages++;
	return counter;
}

void
tte_count(TteCounted what, int32 source_id, const char *stage)
{
	Counter    *counter;

	if (shared == NULL)
		return;
	LWLockAcquire(shared->counters_lock, LW_SHARED);
	counter = find_counter(source_id, stage);
	if (counter == NULL)
	{
		LWLockRelease(shared->counters_lock);
		LWLockAcquire(shared->counters_lock, LW_EXCLUSIVE);
		counter = add_counter(source_id, stage);
	}
	if (counter != NULL)
		pg_atomic_fetch_add_u64(&counter->count[what], 1);
	LWLockRelease(shared->counters_lock);
}

uint64
tte_counter(TteCounted what, int32 source_id)
{
	Counter    *counter;
	uint64		count;

	LWLockAcquire(shared->counters_lock, LW_SHARED);
	counter = find_counter(source_id, "");
	count = counter ? pg_atomic_read_u64(&counter->count[what]) : 0;
	LWLockRelease(shared->counters_lock);
	return count;
}

TteStageCount *
tte_stage_counters(int32 source_id, int *n)
{
	TteStageCount *stages = palloc(MAX_STAGES * sizeof(TteStageCount));
	HASH_SEQ_STATUS scan;
	Counter    *counter;

	*n = 0;
	LWLockAcquire(shared->counters_lock, LW_SHARED);
	hash_seq_init(&scan, counters);
	while ((counter = hash_seq_search(&scan)) != NULL)
	{
		if (counter->key.database != MyDatabaseId || counter->key.source_id != source_id || !counter->key.stage[0])
			continue;
		memcpy(stages[*n].stage, counter->key.stage, TTE_STAGE_LEN);
		stages[(*n)++].count = pg_atomic_read_u64(&counter->count[TTE_NO_MAPPING]);
	}
	LWLockRelease(shared->counters_lock);
	return stages;
}

TimestampTz
tte_counters_since(void)
{
	return shared->made_at;
}

void
tte_counters_forget(Oid database)
{
	HASH_SEQ_STATUS scan;
	Counter    *counter;

	if (shared == NULL)
		return;
	LWLockAcquire(shared->counters_lock, LW_EXCLUSIVE);
	hash_seq_init(&scan, counters);
	while ((counter = hash_seq_search(&scan)) != NULL)
	{
		if (counter->key.database == database)
			hash_search(counters, &counter->key, HASH_REMOVE, NULL);
	}
	LWLockRelease(shared->counters_lock);
}

static void
kick_launcher(void)
{
	uint32		none = 0;

	if (!pg_atomic_compare_exchange_u32(&shared->kick, &none, MyDatabaseId) && none != MyDatabaseId)
		pg_atomic_write_u32(&shared->kick, KICK_ALL);
	pg_memory_barrier();
	set_latch_of(&shared->launcher);
}

/* One latch for a burst of commits: the worker clears the flag before it looks. */
static void
wake_now(void)
{
	TteSlot    *slot;

	if (wake_worker)
	{
		slot = tte_slot_of(MyDatabaseId);
		if (slot != NULL && requeue)
			pg_atomic_write_u32(&slot->requeue, 1);
		if (slot != NULL && reconfigure)
			pg_atomic_write_u32(&slot->reconfigure, 1);
		if (slot != NULL && pg_atomic_exchange_u32(&slot->wake, 1) == 0)
			set_latch_of(&slot->proc);
	}
	if (stop_worker && (slot = tte_slot_of(MyDatabaseId)) != NULL)
		tte_slot_stop(slot);
	if (wake_launcher)
		kick_launcher();
}

static void
at_transaction_end(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_PRE_PREPARE:
			/* nobody would tell the launcher when it is committed at last */
			if (wake_launcher)
				ereport(ERROR,
						(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						 errmsg("cannot PREPARE a transaction that has created the extension \"tiktok_events\"")));
			return;
		case XACT_EVENT_COMMIT:
			if (shared != NULL && (wake_worker || wake_launcher || stop_worker))
				wake_now();
			break;
		case XACT_EVENT_PREPARE:
			/* there will be nobody to say that it commits */
			if (shared != NULL && requeue)
				wake_now();
			break;
		case XACT_EVENT_ABORT:
			break;
		default:
			return;
	}
	wake_worker = wake_launcher = stop_worker = requeue = reconfigure = false;
}

static void
register_callback(void)
{
	if (callback_registered)
		return;
	RegisterXactCallback(at_transaction_end, NULL);
	callback_registered = true;
}

void
tte_wake_at_commit(void)
{
	register_callback();
	wake_worker = true;
}

void
tte_wake_launcher_at_commit(void)
{
	register_callback();
	wake_launcher = true;
}

void
tte_stop_at_commit(void)
{
	register_callback();
	stop_worker = true;
}

void
tte_requeue_at_commit(void)
{
	tte_wake_at_commit();
	requeue = true;
}

bool
tte_requeue_pending(void)
{
	TteSlot    *slot = tte_slot_of(MyDatabaseId);

	return slot != NULL && pg_atomic_read_u32(&slot->requeue) != 0;
}

void
tte_reconfigure_at_commit(void)
{
	tte_wake_at_commit();
	reconfigure = true;
}
