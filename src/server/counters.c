/*-------------------------------------------------------------------------
 *
 * counters.c
 *	  Shared memory: counters of rows and calls that recorded no event, and of
 *	  events that became final.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "port/atomics.h"
#include "storage/shmem.h"
#include "utils/hsearch.h"

#include "server/compat.h"
#include "server/counters.h"

/* The last quarter of the counters is reserved for sources, so that stages cannot use all. */
#define MAX_COUNTERS	4096
#define ROOM_FOR_STAGES (MAX_COUNTERS / 4 * 3)
#define MAX_STAGES		64		/* of a source */

typedef struct CounterKey
{
	Oid			database;
	int32		kind;
	int32		id;
	char		stage[TTE_STAGE_LEN];	/* padded with zeros; empty: all of
										 * them */
} CounterKey;

typedef struct Counter
{
	CounterKey	key;
	int			stages;			/* of a source: how many have a counter */
	pg_atomic_uint64 count[TTE_COUNTED];
} Counter;

const char *const tte_counted_status[TTE_STATUSES] = {"delivered", "rejected", "invalid", "suppressed", "expired", "uncertain"};

static HTAB *counters = NULL;	/* NULL: not preloaded */
static LWLock *counters_lock;	/* exclusive to add and remove counters */

Size
tte_counters_size(void)
{
	return hash_estimate_size(MAX_COUNTERS, sizeof(Counter));
}

void
tte_counters_init(LWLock *lock)
{
	HASHCTL		ctl = {.keysize = sizeof(CounterKey), .entrysize = sizeof(Counter)};

	counters = tte_ShmemInitHash("tiktok_events counters", MAX_COUNTERS, &ctl, HASH_ELEM | HASH_BLOBS);
	counters_lock = lock;
}

static CounterKey
counter_key(TteCountedOf kind, int32 id, const char *stage)
{
	CounterKey	key = {.database = MyDatabaseId, .kind = kind, .id = id};

	strlcpy(key.stage, stage, sizeof(key.stage));
	return key;
}

static Counter *
find_counter(TteCountedOf kind, int32 id, const char *stage)
{
	CounterKey	key = counter_key(kind, id, stage);

	return hash_search(counters, &key, HASH_FIND, NULL);
}

/* Returns NULL if the table is full. */
static Counter *
add_counter(TteCountedOf kind, int32 id, const char *stage)
{
	CounterKey	key = counter_key(kind, id, stage);
	Counter    *source = stage[0] ? find_counter(kind, id, "") : NULL;
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

static void
add(TteCounted what, TteCountedOf kind, int32 id, const char *stage, int n)
{
	Counter    *counter;

	if (counters == NULL)
		return;
	LWLockAcquire(counters_lock, LW_SHARED);
	counter = find_counter(kind, id, stage);
	if (counter == NULL)
	{
		LWLockRelease(counters_lock);
		LWLockAcquire(counters_lock, LW_EXCLUSIVE);
		counter = add_counter(kind, id, stage);
	}
	if (counter != NULL)
		pg_atomic_fetch_add_u64(&counter->count[what], n);
	LWLockRelease(counters_lock);
}

void
tte_count(TteCounted what, TteCountedOf kind, int32 id, const char *stage)
{
	add(what, kind, id, stage, 1);
}

void
tte_count_final(int32 source_id, const char *status, int n)
{
	for (int i = 0; i < TTE_STATUSES; i++)
	{
		if (strcmp(tte_counted_status[i], status) == 0)
			add(TTE_FINAL + i, TTE_OF_SOURCE, source_id, "", n);
	}
}

uint64
tte_counter(TteCounted what, int32 source_id)
{
	Counter    *counter;
	uint64		count;

	LWLockAcquire(counters_lock, LW_SHARED);
	counter = find_counter(TTE_OF_SOURCE, source_id, "");
	count = counter ? pg_atomic_read_u64(&counter->count[what]) : 0;
	LWLockRelease(counters_lock);
	return count;
}

TteNamedCount *
tte_named_counters(TteCountedOf kind, const int32 *id, int *n)
{
	TteNamedCount *named = palloc(MAX_COUNTERS * sizeof(TteNamedCount));
	HASH_SEQ_STATUS scan;
	Counter    *counter;

	*n = 0;
	LWLockAcquire(counters_lock, LW_SHARED);
	hash_seq_init(&scan, counters);
	while ((counter = hash_seq_search(&scan)) != NULL)
	{
		const CounterKey *key = &counter->key;

		if (key->database != MyDatabaseId || key->kind != (int32) kind || (id != NULL && key->id != *id) || *n == MAX_COUNTERS ||
			(!key->stage[0] && kind != TTE_OF_ROWS))
			continue;
		named[*n].id = key->id;
		memcpy(named[*n].name, key->stage, TTE_STAGE_LEN);
		for (int i = 0; i < TTE_COUNTED; i++)
			named[*n].count[i] = pg_atomic_read_u64(&counter->count[i]);
		(*n)++;
	}
	LWLockRelease(counters_lock);
	return named;
}

void
tte_counters_forget(Oid database)
{
	HASH_SEQ_STATUS scan;
	Counter    *counter;

	if (counters == NULL)
		return;
	LWLockAcquire(counters_lock, LW_EXCLUSIVE);
	hash_seq_init(&scan, counters);
	while ((counter = hash_seq_search(&scan)) != NULL)
	{
		if (counter->key.database == database)
			hash_search(counters, &counter->key, HASH_REMOVE, NULL);
	}
	LWLockRelease(counters_lock);
}
