/*-------------------------------------------------------------------------
 *
 * wakeup.c
 *	  Wakes the worker or the launcher when a transaction commits.
 *
 * The commit callback is registered once per session.  It runs after the
 * transaction has been removed from the array of running ones, so that the
 * worker sees the events of the transaction.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"

#include "server/databases.h"
#include "server/slots.h"
#include "server/wakeup.h"

/* What to do at the end of the current transaction. */
static bool callback_registered = false;
static bool wake_worker = false;
static bool wake_launcher = false;
static bool stop_worker = false;
static bool requeue = false;
static bool reconfigure = false;
static uint64 news[TTE_NEWS_WORDS]; /* sources with new events */
static uint64 decided[TTE_NEWS_WORDS];	/* sources with changed statuses */

static void
wake_slot(TteSlot *slot)
{
	for (int word = 0; word < TTE_NEWS_WORDS; word++)
	{
		if (news[word] != 0)
			pg_atomic_fetch_or_u64(&slot->news[word], news[word]);
		if (requeue && decided[word] != 0)
			pg_atomic_fetch_or_u64(&slot->decided[word], decided[word]);
	}
	tte_slot_wake(slot);
}

/*
 * The note comes first: whoever gives the slot to another database looks at it
 * afterwards, so that work is not forgotten when its worker is about to leave.
 */
static void
wake_database(void)
{
	static TteDatabase *entry = NULL;
	bool		noted;
	TteSlot    *slot;

	if (entry == NULL || pg_atomic_read_u32(&entry->database) != MyDatabaseId)
		entry = tte_database_enter(MyDatabaseId);
	noted = entry != NULL && pg_atomic_exchange_u32(&entry->wake, 1) == 0;
	slot = tte_slot_of(MyDatabaseId);
	if (slot != NULL && reconfigure)
		pg_atomic_write_u32(&slot->reconfigure, 1);
	if (slot != NULL)
		wake_slot(slot);
	else if (noted)
		tte_launcher_wake();
}

static void
wake_now(void)
{
	TteSlot    *slot;

	if (wake_worker)
		wake_database();
	if (stop_worker && (slot = tte_slot_of(MyDatabaseId)) != NULL)
		tte_slot_stop(slot);
	if (wake_launcher)
		tte_launcher_kick();
}

static void
at_transaction_end(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_PRE_PREPARE:
			/* COMMIT PREPARED does not run this callback */
			if (wake_launcher)
				ereport(ERROR,
						(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						 errmsg("cannot PREPARE a transaction that has created the extension \"tiktok_events\"")));
			return;
		case XACT_EVENT_COMMIT:
			if (tte_shared_available() && (wake_worker || wake_launcher || stop_worker))
				wake_now();
			break;
		case XACT_EVENT_PREPARE:
			/* tell the worker now, because COMMIT PREPARED does not */
			if (tte_shared_available() && requeue)
				wake_now();
			break;
		case XACT_EVENT_ABORT:
			break;
		default:
			return;
	}
	if (wake_worker)
		memset(news, 0, sizeof(news));
	if (requeue)
		memset(decided, 0, sizeof(decided));
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
	memset(news, 0xFF, sizeof(news));
}

void
tte_wake_source_at_commit(int32 source_id)
{
	register_callback();
	wake_worker = true;
	news[TTE_NEWS_WORD(source_id)] |= TTE_NEWS_BIT(source_id);
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
tte_requeue_at_commit(int32 source_id)
{
	tte_wake_source_at_commit(source_id);
	requeue = true;
	decided[TTE_NEWS_WORD(source_id)] |= TTE_NEWS_BIT(source_id);
}

bool
tte_requeue_pending(int32 source_id)
{
	TteSlot    *slot = tte_slot_of(MyDatabaseId);

	return slot != NULL && (pg_atomic_read_u64(&slot->decided[TTE_NEWS_WORD(source_id)]) & TTE_NEWS_BIT(source_id)) != 0;
}

void
tte_reconfigure_at_commit(void)
{
	tte_wake_at_commit();
	reconfigure = true;
}
