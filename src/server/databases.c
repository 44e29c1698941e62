/*-------------------------------------------------------------------------
 *
 * databases.c
 *	  Shared memory: one entry per database with the extension.
 *
 * There may be more databases than workers.  A session that commits notes in the
 * entry of its database that there is work, and a worker that leaves notes when
 * there will be.  The launcher gives workers to databases by that.  Entries are
 * added by the first commit or the first worker, and stay until the database is
 * dropped.  A database without an entry, because all are in use, is looked at
 * every ten minutes.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "storage/shmem.h"
#include "utils/timestamp.h"

#include "server/databases.h"
#include "server/settings.h"

static TteDatabase *databases = NULL;	/* NULL: not preloaded */
static LWLock *databases_lock;	/* exclusive to add and remove entries */

Size
tte_databases_size(void)
{
	return mul_size(sizeof(TteDatabase), tte_max_databases);
}

static void
init_entry(TteDatabase *entry)
{
	pg_atomic_init_u32(&entry->database, 0);
	pg_atomic_init_u32(&entry->wake, 0);
	pg_atomic_init_u32(&entry->state, 0);
	pg_atomic_init_u64(&entry->since, 0);
	pg_atomic_init_u32(&entry->left, 0);
	pg_atomic_init_u64(&entry->due, 0);
	pg_atomic_init_u64(&entry->purge_at, 0);
	pg_atomic_init_u64(&entry->sent_at, 0);
	pg_atomic_init_u64(&entry->requests, 0);
	pg_atomic_init_u64(&entry->delivered, 0);
	pg_atomic_init_u64(&entry->failed, 0);
}

void
tte_databases_init(LWLock *lock)
{
	bool		found;

	databases = ShmemInitStruct("tiktok_events databases", tte_databases_size(), &found);
	databases_lock = lock;
	for (int i = 0; !found && i < tte_max_databases; i++)
		init_entry(&databases[i]);
}

TteDatabase *
tte_database(int i)
{
	return &databases[i];
}

TteDatabase *
tte_database_of(Oid database)
{
	for (int i = 0; databases != NULL && i < tte_max_databases; i++)
	{
		if (pg_atomic_read_u32(&databases[i].database) == database)
			return &databases[i];
	}
	return NULL;
}

TteDatabase *
tte_database_enter(Oid database)
{
	TteDatabase *entry = tte_database_of(database);

	if (entry != NULL || tte_database_of(InvalidOid) == NULL)
		return entry;
	LWLockAcquire(databases_lock, LW_EXCLUSIVE);
	entry = tte_database_of(database);
	if (entry == NULL && (entry = tte_database_of(InvalidOid)) != NULL)
	{
		init_entry(entry);
		pg_write_barrier();
		pg_atomic_write_u32(&entry->database, database);
	}
	LWLockRelease(databases_lock);
	return entry;
}

void
tte_database_forget(Oid database)
{
	TteDatabase *entry;

	if (databases == NULL)
		return;
	LWLockAcquire(databases_lock, LW_EXCLUSIVE);
	entry = tte_database_of(database);
	if (entry != NULL)
		pg_atomic_write_u32(&entry->database, InvalidOid);
	LWLockRelease(databases_lock);
}

void
tte_database_set_state(TteDatabase *entry, uint32 state)
{
	if (pg_atomic_exchange_u32(&entry->state, state) != state)
		pg_atomic_write_u64(&entry->since, GetCurrentTimestamp());
}
