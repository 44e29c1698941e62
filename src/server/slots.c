/*-------------------------------------------------------------------------
 *
 * slots.c
 *	  Shared memory: one slot per background worker, and the launcher's.
 *
 * Other processes are referred to by process number, not by pointer or pid.  If
 * the process has gone, setting the latch of that number wakes another process
 * once, which every user of a latch must expect.
 *
 * After a crash shared memory is created again.  The number of the newest
 * request sent must survive that.  It is in a mapping that the postmaster
 * creates when it loads the library, and that its children inherit.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <sys/mman.h>

#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "storage/proc.h"
#include "storage/shmem.h"
#include "utils/timestamp.h"

#include "server/compat.h"
#include "server/counters.h"
#include "server/databases.h"
#include "server/settings.h"
#include "server/slots.h"

/* In TteShared.kick: more than one database. */
#define KICK_ALL	PG_UINT32_MAX

typedef struct TteShared
{
	LWLock	   *lock;			/* protects error texts */
	pg_atomic_uint32 launcher;	/* process number + 1 */
	pg_atomic_uint32 kick;		/* database that the launcher shall check, or
								 * 0 */
	pg_atomic_uint32 room;		/* workers that are to make room */
	TimestampTz made_at;		/* later than the start of the server after a
								 * crash */
	int			slots;
	TteSlot		slot[FLEXIBLE_ARRAY_MEMBER];
} TteShared;

/* How far requests of a database have been sent. */
typedef struct TteSent
{
	pg_atomic_uint32 database;	/* Oid, 0: free */
	pg_atomic_uint32 extension; /* Oid, set last */
	pg_atomic_uint64 request;	/* newest that may have been sent */
} TteSent;

static TteSent *sent = NULL;	/* survives a crash; NULL: nothing is known */
static TteSent *my_sent = NULL;
static TteShared *shared = NULL;
static shmem_request_hook_type prev_request_hook = NULL;
static shmem_startup_hook_type prev_startup_hook = NULL;

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
	RequestAddinShmemSpace(tte_counters_size());
	RequestAddinShmemSpace(tte_databases_size());
	RequestNamedLWLockTranche("tiktok_events", 3);
}

static void
init_slot(TteSlot *slot)
{
	pg_atomic_init_u32(&slot->database, 0);
	pg_atomic_init_u32(&slot->proc, 0);
	pg_atomic_init_u32(&slot->wake, 0);
	for (int word = 0; word < TTE_NEWS_WORDS; word++)
	{
		pg_atomic_init_u64(&slot->news[word], 0);
		pg_atomic_init_u64(&slot->decided[word], 0);
	}
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
	bool		found;

	if (prev_startup_hook)
		prev_startup_hook();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	shared = ShmemInitStruct("tiktok_events", shared_size(), &found);
	if (!found)
	{
		shared->lock = &GetNamedLWLockTranche("tiktok_events")[0].lock;
		pg_atomic_init_u32(&shared->launcher, 0);
		pg_atomic_init_u32(&shared->kick, 0);
		pg_atomic_init_u32(&shared->room, 0);
		shared->made_at = GetCurrentTimestamp();
		shared->slots = tte_max_workers + 1;
		for (int i = 0; i < shared->slots; i++)
			init_slot(&shared->slot[i]);
	}
	tte_counters_init(&GetNamedLWLockTranche("tiktok_events")[1].lock);
	tte_databases_init(&GetNamedLWLockTranche("tiktok_events")[2].lock);
	LWLockRelease(AddinShmemInitLock);
}

/* Zeroed memory is an array of free entries. */
static void
map_sent(void)
{
	void	   *map = mmap(NULL, tte_max_databases * sizeof(TteSent), PROT_READ | PROT_WRITE,
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
 * With a new entry all recorded requests count as sent.  The same holds without
 * an entry, if more than max_databases had workers since server start.
 */
void
tte_sent_attach(Oid extension, int64 newest_request)
{
	for (int i = 0; sent != NULL && my_sent == NULL && i < tte_max_databases; i++)
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

TimestampTz
tte_shared_since(void)
{
	return shared->made_at;
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
tte_slot_is_for_probe(const TteSlot *slot)
{
	return slot == &shared->slot[shared->slots - 1];
}

/* Other than the one for probes, which is the last. */
bool
tte_slot_is_free(void)
{
	TteSlot    *slot = tte_slot_of(InvalidOid);

	return slot != NULL && !tte_slot_is_for_probe(slot);
}

TteSlot *
tte_slot_take(Oid database, bool for_probe)
{
	TteSlot    *slot = tte_slot_of(InvalidOid);

	if (slot == NULL || (tte_slot_is_for_probe(slot) && !for_probe))
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

/* Sets the latch once for a burst of commits: the worker clears the flag before it reads the queue. */
void
tte_slot_wake(TteSlot *slot)
{
	if (pg_atomic_exchange_u32(&slot->wake, 1) == 0)
		set_latch_of(&slot->proc);
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

void
tte_launcher_wake(void)
{
	set_latch_of(&shared->launcher);
}

void
tte_launcher_kick(void)
{
	uint32		none = 0;

	if (!pg_atomic_compare_exchange_u32(&shared->kick, &none, MyDatabaseId) && none != MyDatabaseId)
		pg_atomic_write_u32(&shared->kick, KICK_ALL);
	pg_memory_barrier();
	tte_launcher_wake();
}

bool
tte_launcher_kicked(Oid *database)
{
	uint32		kick = pg_atomic_exchange_u32(&shared->kick, 0);

	*database = kick == KICK_ALL ? InvalidOid : kick;
	return kick != 0;
}

/* Does its worker do nothing, so that it may leave at once? */
static bool
is_idle(TteSlot *slot)
{
	switch (pg_atomic_read_u32(&slot->state))
	{
		case TTE_WORKER_NONE:
		case TTE_WORKER_STARTING:
		case TTE_WORKER_SENDING:
			return false;
		default:
			return pg_atomic_read_u32(&slot->exit_reason) != TTE_EXIT_MADE_ROOM;
	}
}

/* The next one after that time; NULL: there is none. */
static TteSlot *
longest_idle(uint64 after)
{
	TteSlot    *longest = NULL;

	for (int i = 0; i < shared->slots; i++)
	{
		TteSlot    *slot = &shared->slot[i];
		uint64		since = pg_atomic_read_u64(&slot->since);

		if (is_idle(slot) && since > after && (longest == NULL || since < pg_atomic_read_u64(&longest->since)))
			longest = slot;
	}
	return longest;
}

/* Workers that are busy look by themselves; so does any other every five seconds. */
void
tte_room_ask(int n)
{
	TteSlot    *slot;
	uint64		after = 0;

	pg_atomic_write_u32(&shared->room, n);
	pg_memory_barrier();
	for (int i = 0; i < n && (slot = longest_idle(after)) != NULL; i++)
	{
		after = pg_atomic_read_u64(&slot->since);
		set_latch_of(&slot->proc);
	}
}

int
tte_room_coming(void)
{
	int			n = 0;

	for (int i = 0; i < shared->slots; i++)
		n += pg_atomic_read_u32(&shared->slot[i].database) != InvalidOid &&
			pg_atomic_read_u32(&shared->slot[i].exit_reason) == TTE_EXIT_MADE_ROOM;
	return n;
}

bool
tte_room_wanted(void)
{
	return pg_atomic_read_u32(&shared->room) > 0;
}

bool
tte_room_claim(void)
{
	uint32		room = pg_atomic_read_u32(&shared->room);

	while (room > 0 && !pg_atomic_compare_exchange_u32(&shared->room, &room, room - 1))
		;
	return room > 0;
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
