/*-------------------------------------------------------------------------
 *
 * term.c
 *	  How long a worker stays while other databases wait for one.
 *
 * What it leaves for the next worker is in the entry of its database in shared
 * memory; without an entry, for which there may be no room, the next one begins
 * anew.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/timestamp.h"

#include "deliver/handover.h"
#include "deliver/purge_turn.h"
#include "deliver/term.h"
#include "server/common.h"
#include "server/databases.h"

#define USEC	INT64CONST(1000000)

/* To start a worker costs more than many requests. */
#define SHORTEST_TERM	(USEC / 5)
#define LONGEST_TERM	(30 * USEC)

/* Old rows can wait so much longer while other databases wait for a worker. */
#define PURGE_PATIENCE	(600 * USEC)

/* The next worker comes for old rows that are left not before that. */
#define PURGE_LATER	(60 * USEC)

static TteSlot *slot;
static TteDatabase *entry;		/* NULL: there is no room for one */
static int64 started_at = 0;
static int64 busy_since = 0;
static TteWorkerState inherited = TTE_WORKER_NONE;

/* The first worker of a database sends its events first. */
static int64
purge_left(int64 now)
{
	uint64		at = pg_atomic_read_u64(&entry->purge_at);

	return at == 0 ? now + SHORTEST_TERM : (int64) at + TTE_EPOCH_SHIFT;
}

void
tte_term_begin(TteSlot *worker_slot, int64 now)
{
	slot = worker_slot;
	busy_since = started_at = now;
	entry = tte_database_enter(MyDatabaseId);
	if (entry == NULL)
		return;
	inherited = pg_atomic_read_u32(&entry->left);
	tte_purge_resume(purge_left(now));
	pg_atomic_write_u64(&slot->requests, pg_atomic_read_u64(&entry->requests));
	pg_atomic_write_u64(&slot->delivered, pg_atomic_read_u64(&entry->delivered));
	pg_atomic_write_u64(&slot->failed, pg_atomic_read_u64(&entry->failed));
	tte_handover_sent_at((int64) pg_atomic_read_u64(&entry->sent_at) + TTE_EPOCH_SHIFT);
}

TteWorkerState
tte_term_inherited(void)
{
	return inherited;
}

void
tte_term_disinherit(void)
{
	if (inherited != TTE_WORKER_NONE && entry != NULL)
		pg_atomic_write_u32(&entry->left, TTE_WORKER_NONE);
	inherited = TTE_WORKER_NONE;
}

void
tte_term_note_sent(void)
{
	if (entry != NULL)
		pg_atomic_write_u64(&entry->sent_at, GetCurrentTimestamp());
}

void
tte_term_note_woken(void)
{
	if (entry != NULL)
		pg_atomic_exchange_u32(&entry->wake, 0);
}

bool
tte_term_is_over(int64 now)
{
	return tte_room_wanted() && (now - busy_since >= LONGEST_TERM || now < busy_since);
}

int64
tte_term_due(int64 now)
{
	return tte_room_wanted() && started_at + SHORTEST_TERM > now ? started_at + SHORTEST_TERM : PG_INT64_MAX;
}

int64
tte_term_purge_due(void)
{
	return tte_purge_due() + (tte_room_wanted() ? PURGE_PATIENCE : 0);
}

bool
tte_term_purge_is_due(int64 now)
{
	return !tte_term_is_over(now) && !(tte_room_wanted() && now < tte_term_purge_due()) && tte_purge_is_due(now);
}

bool
tte_term_ends(bool is_busy, bool is_bound, int64 now)
{
	if (!is_busy && now >= started_at + SHORTEST_TERM)
		busy_since = now;
	else if (!tte_term_is_over(now) || is_bound)
		return false;
	return tte_room_wanted() && tte_room_claim();
}

void
tte_term_leave_note(TteWorkerState state, int64 due, int64 now)
{
	int64		purge = state == TTE_WORKER_RESTING ? Max(tte_purge_due(), now + PURGE_LATER) : PG_INT64_MAX;

	if (entry == NULL)
		return;
	pg_atomic_write_u64(&entry->due, Max(Min(due, purge), now) - TTE_EPOCH_SHIFT);
	pg_atomic_write_u64(&entry->purge_at, tte_purge_due() - TTE_EPOCH_SHIFT);
	pg_atomic_write_u64(&entry->requests, pg_atomic_read_u64(&slot->requests));
	pg_atomic_write_u64(&entry->delivered, pg_atomic_read_u64(&slot->delivered));
	pg_atomic_write_u64(&entry->failed, pg_atomic_read_u64(&slot->failed));
	pg_atomic_write_u32(&entry->left, state);
	tte_database_set_state(entry, state);
}
