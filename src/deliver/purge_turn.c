/*-------------------------------------------------------------------------
 *
 * purge_turn.c
 *	  When a worker deletes old rows, and how many at a time.
 *
 * A pass over the tables begins once an hour, and is made in short steps between
 * which the worker sends events.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "deliver/purge.h"
#include "deliver/purge_turn.h"
#include "server/settings.h"

#define USEC	INT64CONST(1000000)

/* Old rows are looked for once an hour, so many at a time. */
#define PURGE_INTERVAL	(3600 * USEC)
#define PURGE_PAUSE	(USEC / 10)
#define PURGE_ROWS	500

static TtePurge *purge = NULL;	/* that has begun */
static MemoryContext purge_context = NULL;
static int64 purge_at = 0;

int64
tte_purge_due(void)
{
	return purge_at;
}

void
tte_purge_resume(int64 due)
{
	purge_at = due;
}

bool
tte_purge_is_due(int64 now)
{
	if (now < purge_at && now + PURGE_INTERVAL >= purge_at)
		return false;
	purge_at = now + PURGE_INTERVAL;
	return true;
}

static void
begin_pass(void)
{
	MemoryContext old;

	if (purge_context == NULL)
		purge_context = AllocSetContextCreate(TopMemoryContext, "tiktok_events purge", ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(purge_context);
	MemoryContextReset(purge_context);
	purge = tte_purge_begin(tte_retention, tte_identifier_ttl);
	MemoryContextSwitchTo(old);
}

void
tte_purge_some(int64 now)
{
	if (!tte_purge_try_lock())
		return;
	if (purge == NULL)
		begin_pass();
	if (tte_purge_step(purge, PURGE_ROWS))
		purge_at = now + PURGE_PAUSE;
	else
		purge = NULL;
}

void
tte_purge_forget(void)
{
	purge = NULL;
}

void
tte_purge_restart(void)
{
	purge = NULL;
	purge_at = 0;
}
