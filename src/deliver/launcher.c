/*-------------------------------------------------------------------------
 *
 * launcher.c
 *	  The process that gives workers to the databases that need one.
 *
 * Only a process inside a database can tell whether it has the extension.  So
 * the launcher starts a worker as a probe in each database once, one at a time.
 * A worker that finds no extension ends, and the database is ignored until
 * CREATE EXTENSION wakes the launcher.  There is one slot more than max_workers
 * for probes; a worker in it ends even if it finds the extension.  Only the
 * launcher restarts workers: they are registered with BGW_NEVER_RESTART.
 *
 * A worker stays while no other database waits for one.  Otherwise it makes room
 * for the one that waits longest, and its own database rests until something
 * commits in it, or is due.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_database.h"
#include "libpq/pqsignal.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/lock.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "deliver/launcher.h"
#include "server/compat.h"
#include "server/databases.h"
#include "server/settings.h"
#include "server/slots.h"
#include "server/waitset.h"

/* In seconds, but for the two in milliseconds. */
#define SCAN_INTERVAL	60		/* between scans of pg_database */
#define MAX_BACKOFF		300
#define HEALTHY_AFTER	60		/* a run this long resets the back-off */
#define ASKED_PAUSE		2000	/* milliseconds */
#define ASK_INTERVAL	1000	/* milliseconds */
#define CROWDED_PAUSE	10		/* max_worker_processes is used up */
#define LOOK_INTERVAL	600		/* whatever the last worker said */
#define LONG_WAIT		60
#define ADOPT_TIMEOUT	10
#define PROBE_TIMEOUT	10		/* then the next database is probed */

typedef struct Database
{
	Oid			oid;
	bool		exists;			/* seen in the last scan */
	bool		probed;			/* known whether it has the extension */
	bool		unwanted;		/* it does not have the extension */
	bool		kicked;			/* probe again, whatever a worker started
								 * before finds */
	int			failures;		/* in a row */
	bool		gone;			/* not seen at all */
	TimestampTz not_before;		/* back-off */
	TimestampTz look_at;		/* it needs a worker then, or before */
	bool		look_again;		/* as soon as its worker has ended, which may
								 * have left before it knew */
	TimestampTz waiting_since;	/* for a worker; 0: it does not wait */
	TimestampTz started_at;
	TteDatabase *entry;			/* may be that of another one by now, or NULL */
	TteSlot    *slot;			/* NULL: no worker */
	BackgroundWorkerHandle *handle; /* NULL: started by an earlier launcher */
} Database;

static List *databases = NIL;
static MemoryContext database_context;
static TimestampTz scanned_at = 0;
static TimestampTz crowded_until = 0;
static bool waits_long = false; /* as last logged */
static bool out_of_entries = false; /* logged */

void
tte_launcher_register(void)
{
	BackgroundWorker worker = {0};

	strlcpy(worker.bgw_name, "tiktok_events launcher", BGW_MAXLEN);
	strlcpy(worker.bgw_type, "tiktok_events launcher", BGW_MAXLEN);
	strlcpy(worker.bgw_library_name, "tiktok_events", BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, "tte_launcher_main", BGW_MAXLEN);
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = 5;
	RegisterBackgroundWorker(&worker);
}

static Database *
find_database(Oid oid)
{
	ListCell   *cell;

	foreach(cell, databases)
	{
		Database   *db = lfirst(cell);

		if (db->oid == oid)
			return db;
	}
	return NULL;
}

/* The database may have a worker already, started by an earlier launcher. */
static Database *
add_database(Oid oid)
{
	MemoryContext old = MemoryContextSwitchTo(database_context);
	Database   *db = palloc0(sizeof(Database));

	db->oid = oid;
	db->slot = tte_slot_of(oid);
	if (db->slot != NULL)
	{
		db->probed = true;
		db->started_at = GetCurrentTimestamp();
	}
	databases = lappend(databases, db);
	MemoryContextSwitchTo(old);
	return db;
}

static bool
is_candidate(Form_pg_database form)
{
	/*
	 * A connection limit of -2 marks a database whose removal was
	 * interrupted.
	 */
	return form->datallowconn && !form->datistemplate && form->datconnlimit != -2 &&
		tte_database_selected(NameStr(form->datname));
}

/* NULL: there is none, as far as is known. */
static TteDatabase *
entry_of(Database *db)
{
	if (db->entry == NULL || pg_atomic_read_u32(&db->entry->database) != db->oid)
		db->entry = tte_database_of(db->oid);
	return db->entry;
}

static void
show_state(Database *db, TteWorkerState state)
{
	if (entry_of(db) != NULL)
		tte_database_set_state(db->entry, state);
}

static void
forget_missing(void)
{
	ListCell   *cell;

	foreach(cell, databases)
	{
		Database   *db = lfirst(cell);

		if (db->exists)
			continue;
		if (db->slot != NULL)
		{
			tte_slot_stop(db->slot);
			continue;
		}
		show_state(db, TTE_WORKER_NONE);
		/* as long as it exists, sessions may point to its entry */
		if (db->gone)
			tte_database_forget(db->oid);
		databases = foreach_delete_current(databases, cell);
		pfree(db);
	}
}

/* Is the database being dropped, renamed, moved or copied?  A worker would have to wait. */
static bool
is_locked(Oid database)
{
	LOCKTAG		tag;

	SET_LOCKTAG_OBJECT(tag, InvalidOid, DatabaseRelationId, database, 0);
	if (LockAcquire(&tag, RowExclusiveLock, false, true) == LOCKACQUIRE_NOT_AVAIL)
		return true;
	LockRelease(&tag, RowExclusiveLock, false);
	return false;
}

/* Will a worker come in?  It may also have been dropped since the last scan. */
static bool
is_open(Database *db)
{
	bool		open;

	StartTransactionCommand();
	open = SearchSysCacheExists1(DATABASEOID, ObjectIdGetDatum(db->oid)) && !is_locked(db->oid);
	CommitTransactionCommand();
	if (!open)
		db->not_before = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), ASKED_PAUSE);
	return open;
}

static void
scan_databases(void)
{
	Relation	rel;
	TableScanDesc scan;
	HeapTuple	tuple;
	ListCell   *cell;

	foreach(cell, databases)
	{
		Database   *db = lfirst(cell);

		db->exists = false;
		db->gone = true;
	}
	StartTransactionCommand();
	(void) GetTransactionSnapshot();
	rel = table_open(DatabaseRelationId, AccessShareLock);
	scan = table_beginscan_catalog(rel, 0, NULL);
	while (HeapTupleIsValid(tuple = heap_getnext(scan, ForwardScanDirection)))
	{
		Form_pg_database form = (Form_pg_database) GETSTRUCT(tuple);
		Database   *db = find_database(form->oid);

		if (db != NULL)
			db->gone = false;
		if (!is_candidate(form))
			continue;
		if (db == NULL)
			db = add_database(form->oid);
		db->exists = true;
	}
	table_endscan(scan);
	table_close(rel, AccessShareLock);
	CommitTransactionCommand();
	forget_missing();
	scanned_at = GetCurrentTimestamp();
}

static int
backoff(int failures)
{
	return failures > 8 ? MAX_BACKOFF : Min(1 << (failures - 1), MAX_BACKOFF);
}

static void
back_off(Database *db, TimestampTz now)
{
	if (TimestampDifferenceExceeds(db->started_at, now, HEALTHY_AFTER * 1000))
		db->failures = 0;
	db->failures++;
	db->not_before = TimestampTzPlusMilliseconds(now, backoff(db->failures) * 1000);
	show_state(db, TTE_WORKER_FAILED);
}

static void
worker_ended(Database *db)
{
	TimestampTz now = GetCurrentTimestamp();
	uint32		reason = pg_atomic_read_u32(&db->slot->exit_reason);

	tte_slot_release(db->slot);
	pg_memory_barrier();		/* see wake_database() */
	db->slot = NULL;
	if (db->handle != NULL)
		pfree(db->handle);
	db->handle = NULL;
	crowded_until = 0;
	db->unwanted = reason == TTE_EXIT_NO_EXTENSION && !db->kicked;
	db->probed = reason != TTE_EXIT_NO_EXTENSION || db->unwanted;
	db->not_before = reason == TTE_EXIT_ASKED ? TimestampTzPlusMilliseconds(now, ASKED_PAUSE) : 0;
	db->look_at = reason == TTE_EXIT_MADE_ROOM && !db->look_again ? TimestampTzPlusMilliseconds(now, LOOK_INTERVAL * 1000) : 0;
	db->look_again = false;
	if (reason == TTE_EXIT_UNKNOWN)
		back_off(db, now);
	else
		db->failures = 0;
	if (reason == TTE_EXIT_NO_EXTENSION || reason == TTE_EXIT_ASKED)
		show_state(db, TTE_WORKER_NONE);
}

static bool
has_ended(Database *db)
{
	pid_t		pid;

	if (db->handle == NULL)
		return pg_atomic_read_u32(&db->slot->pid) == 0 &&
			TimestampDifferenceExceeds(db->started_at, GetCurrentTimestamp(), ADOPT_TIMEOUT * 1000);
	switch (GetBackgroundWorkerPid(db->handle, &pid))
	{
		case BGWH_STOPPED:
			return true;
		case BGWH_POSTMASTER_DIED:
			proc_exit(1);
		default:
			return false;
	}
}

static bool
start_worker(Database *db)
{
	BackgroundWorker worker = {0};
	TteSlot    *slot = tte_slot_take(db->oid, !db->probed);
	MemoryContext old;
	bool		started;

	if (slot == NULL)
		return false;
	strlcpy(worker.bgw_name, "tiktok_events worker", BGW_MAXLEN);
	strlcpy(worker.bgw_type, "tiktok_events worker", BGW_MAXLEN);
	strlcpy(worker.bgw_library_name, "tiktok_events", BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, "tte_worker_main", BGW_MAXLEN);
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	worker.bgw_main_arg = Int32GetDatum(slot - tte_slot(0));
	worker.bgw_notify_pid = MyProcPid;
	old = MemoryContextSwitchTo(database_context);
	started = RegisterDynamicBackgroundWorker(&worker, &db->handle);
	MemoryContextSwitchTo(old);
	if (!started)
	{
		tte_slot_release(slot);
		return false;
	}
	db->slot = slot;
	db->started_at = GetCurrentTimestamp();
	db->waiting_since = 0;
	db->kicked = false;
	return true;
}

/* Logs when one has waited for long, and when none has any more. */
static void
tell_of_waiting(List *waiting, TimestampTz now)
{
	Database   *first = waiting == NIL ? NULL : linitial(waiting);
	bool		longer = first != NULL && TimestampDifferenceExceeds(first->waiting_since, now, LONG_WAIT * 1000);

	if (longer == waits_long)
		return;
	waits_long = longer;
	if (longer)
		ereport(LOG,
				(errmsg_plural("tiktok_events: %d database waits for a background worker, for more than a minute",
							   "tiktok_events: %d databases wait for a background worker, the first for more than a minute",
							   list_length(waiting), list_length(waiting)),
				 errhint("You might need to increase tiktok_events.max_workers or max_worker_processes.")));
	else
		ereport(LOG, (errmsg("tiktok_events: no database waits long for a background worker any more")));
}

/* Said once: that has consequences only when databases wait. */
static void
tell_of_entries(void)
{
	if (out_of_entries)
		return;
	out_of_entries = true;
	ereport(LOG,
			(errmsg("tiktok_events: more than %d databases have the extension", tte_max_databases),
			 errdetail("The others are looked at every ten minutes when no background worker serves them."),
			 errhint("You might need to increase tiktok_events.max_databases.")));
}

static bool
is_being_probed(const Database *db, TimestampTz now)
{
	return db->slot != NULL && !db->probed &&
		pg_atomic_read_u32(&db->slot->state) == TTE_WORKER_STARTING &&
		!TimestampDifferenceExceeds(db->started_at, now, PROBE_TIMEOUT * 1000);
}

static bool
may_start(const Database *db, TimestampTz now)
{
	return db->slot == NULL && !db->unwanted && db->exists && db->not_before <= now;
}

/* When a database that rests needs a worker. */
static TimestampTz
due_time(Database *db)
{
	TteDatabase *entry = entry_of(db);

	if (entry == NULL)
		return db->look_at;
	if (pg_atomic_read_u32(&entry->wake) != 0)
		return 0;
	return Min(db->look_at, (TimestampTz) pg_atomic_read_u64(&entry->due));
}

static int
by_waiting_since(const ListCell *a, const ListCell *b)
{
	TimestampTz x = ((const Database *) lfirst(a))->waiting_since;
	TimestampTz y = ((const Database *) lfirst(b))->waiting_since;

	return x < y ? -1 : x > y;
}

/* Databases that need a worker, if only for a probe that could not be started: the one that waits longest first. */
static List *
find_waiting(TimestampTz now)
{
	List	   *waiting = NIL;
	ListCell   *cell;

	foreach(cell, databases)
	{
		Database   *db = lfirst(cell);

		if (!may_start(db, now) || (db->waiting_since == 0 && (!db->probed || due_time(db) > now)))
			continue;
		if (db->waiting_since == 0)
			db->waiting_since = now;
		waiting = lappend(waiting, db);
	}
	list_sort(waiting, by_waiting_since);
	return waiting;
}

/* Gives them the free slots, and asks for more. */
static void
serve_waiting(TimestampTz now)
{
	List	   *waiting = find_waiting(now);
	ListCell   *cell;

	foreach(cell, waiting)
	{
		Database   *db = lfirst(cell);

		if (crowded_until > now || !tte_slot_is_free())
			break;
		if (is_open(db) && !start_worker(db))
		{
			crowded_until = TimestampTzPlusMilliseconds(now, CROWDED_PAUSE * 1000);
			break;
		}
		waiting = foreach_delete_current(waiting, cell);
	}
	foreach(cell, waiting)
		show_state(lfirst(cell), TTE_WORKER_WAITING);
	tte_room_ask(Max(list_length(waiting) - tte_room_coming(), 0));
	tell_of_waiting(waiting, now);
	list_free(waiting);
}

/* Only one database at a time is probed, so that many need few slots. */
static void
probe_next(TimestampTz now)
{
	ListCell   *cell;

	foreach(cell, databases)
	{
		if (is_being_probed(lfirst(cell), now))
			return;
	}
	foreach(cell, databases)
	{
		Database   *db = lfirst(cell);

		if (db->probed || !may_start(db, now) || !is_open(db))
			continue;
		if (!start_worker(db))
			db->waiting_since = now;
		return;
	}
}

static void
start_workers(void)
{
	TimestampTz now = GetCurrentTimestamp();

	serve_waiting(now);
	probe_next(now);
}

/* After a pause scans pg_database, because a database may have been dropped or renamed. */
static void
look_after_workers(void)
{
	TimestampTz now = GetCurrentTimestamp();
	bool		pause_over = false;
	ListCell   *cell;

	foreach(cell, databases)
	{
		Database   *db = lfirst(cell);

		if (db->slot != NULL && has_ended(db))
			worker_ended(db);
		if (db->slot == NULL && db->probed && !db->unwanted && entry_of(db) == NULL)
			tell_of_entries();
		pause_over |= db->slot == NULL && !db->unwanted && db->not_before != 0 && db->not_before <= now;
	}
	if (pause_over)
		scan_databases();
	start_workers();
}

/* After CREATE EXTENSION in a database; InvalidOid: in several. */
static void
probe_again(Oid oid)
{
	ListCell   *cell;

	foreach(cell, databases)
	{
		Database   *db = lfirst(cell);

		if (OidIsValid(oid) && db->oid != oid)
			continue;
		db->kicked = true;
		if (db->unwanted)
			db->unwanted = db->probed = false;
	}
	scan_databases();
}

static long
time_to_wait(void)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz due = TimestampTzPlusMilliseconds(scanned_at, SCAN_INTERVAL * 1000);
	ListCell   *cell;

	foreach(cell, databases)
	{
		Database   *db = lfirst(cell);

		if (db->slot == NULL && !db->unwanted && db->not_before > now)
			due = Min(due, db->not_before);
		else if (db->waiting_since != 0)
			due = Min(due, TimestampTzPlusMilliseconds(now, ASK_INTERVAL));
		else if (db->slot == NULL && db->probed && !db->unwanted)
			due = Min(due, due_time(db));

		/* poll workers that do not notify us, and probes */
		if (db->slot != NULL && (db->handle == NULL || !db->probed))
			due = Min(due, TimestampTzPlusMilliseconds(now, db->handle ? 100 : 1000));
	}
	return Max(TimestampDifferenceMilliseconds(now, due), 10);
}

/* If the clock was set back, pull back the times that were computed before. */
static void
check_clock(void)
{
	static TimestampTz before = 0;
	TimestampTz now = GetCurrentTimestamp();
	ListCell   *cell;

	if (now < before)
	{
		scanned_at = 0;
		foreach(cell, databases)
		{
			Database   *db = lfirst(cell);

			db->not_before = Min(db->not_before, now);
			db->started_at = Min(db->started_at, now);
			db->waiting_since = Min(db->waiting_since, now);
			db->look_at = 0;
		}
	}
	before = now;
}

/* A worker that is no longer starting has found the extension. */
static void
note_probes(void)
{
	ListCell   *cell;

	foreach(cell, databases)
	{
		Database   *db = lfirst(cell);

		if (db->slot != NULL && !db->probed &&
			pg_atomic_read_u32(&db->slot->state) != TTE_WORKER_STARTING)
			db->probed = true;
	}
}

/* Settings may have changed what is due. */
static void
look_everywhere(void)
{
	ListCell   *cell;

	foreach(cell, databases)
	{
		Database   *db = lfirst(cell);

		db->look_at = 0;
		db->look_again = db->slot != NULL;
	}
}

void
tte_launcher_main(Datum arg)
{
	uint32		wait_event;

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	database_context = AllocSetContextCreate(TopMemoryContext, "tiktok_events databases", ALLOCSET_SMALL_SIZES);
	tte_launcher_announce();
	wait_event = tte_wait_event("TiktokEventsLauncher");
	pgstat_report_activity(STATE_IDLE, NULL);
	for (;;)
	{
		Oid			kicked;

		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
			scanned_at = 0;
			look_everywhere();
		}
		check_clock();
		if (tte_launcher_kicked(&kicked))
			probe_again(kicked);
		else if (TimestampDifferenceExceeds(scanned_at, GetCurrentTimestamp(), SCAN_INTERVAL * 1000))
			scan_databases();
		note_probes();
		look_after_workers();
		tte_wait(-1, -1, time_to_wait(), wait_event);
	}
}
