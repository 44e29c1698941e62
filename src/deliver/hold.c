/*-------------------------------------------------------------------------
 *
 * hold.c
 *	  An operator's open transaction.
 *
 * An operator may have moved an event in a transaction that stays open.  The
 * worker does not wait for it: such an event is not sent, or if it was already,
 * what is to be recorded of it is held in memory and its request stays unfinished;
 * everything else goes on.  tte_decision_begin() has the locks.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "deliver/sender.h"
#include "server/common.h"
#include "server/wakeup.h"

void
tte_hold_watch(TteSender *sender)
{
	bool		open = !tte_no_decision(sender->config.id);

	if ((sender->operator_open && !open) || tte_requeue_pending(sender->config.id))
		sender->skip_windows = 2;
	sender->operator_open = open;
}

int
tte_hold_free(const TteSender *sender, int64 *ids, int n)
{
	return sender->operator_open ? tte_queue_lock_events(ids, n) : n;
}

bool
tte_hold_has(TteSender *sender, int64 id)
{
	slist_iter	iter;

	slist_foreach(iter, &sender->held)
	{
		const TteHeld *held = slist_container(TteHeld, node, iter.cur);

		for (int i = 0; i < held->n; i++)
		{
			if (held->ids[i] == id)
				return true;
		}
	}
	return false;
}

static TteHeld *
make_held(TteSender *sender, const TtePin *pin, const int64 *ids, int n)
{
	MemoryContext context = AllocSetContextCreate(sender->context, "tiktok_events held events", ALLOCSET_SMALL_SIZES);
	TteHeld    *held = MemoryContextAllocZero(context, sizeof(TteHeld));

	held->context = context;
	held->ids = MemoryContextAlloc(context, n * sizeof(int64));
	memcpy(held->ids, ids, n * sizeof(int64));
	held->n = n;
	if (pin->window != NULL)
	{
		held->pin.window = pin->window;
		held->pin.start = pin->start;
		pin->window->refs++;
		/* before the request of which it is a part, if there is one */
		if (pin->node.next != NULL)
			dlist_insert_before(unconstify(dlist_node *, &pin->node), &held->pin.node);
		else
			dlist_push_tail(&sender->pins, &held->pin.node);
	}
	slist_push_head(&sender->held, &held->node);
	sender->nheld += n;
	sender->held_at = tte_now() + TTE_HELD_PAUSE;
	return held;
}

void
tte_hold_unsent(TteSender *sender, const TtePin *pin, const int64 *ids, int n)
{
	if (n > 0)
		make_held(sender, pin, ids, n)->action = TTE_HELD_WAIT;
}

int
tte_hold_ids(TteSender *sender, int64 *ids, int n)
{
	TtePin		pin = {.window = NULL};
	int			left = tte_hold_free(sender, ids, n);

	tte_hold_unsent(sender, &pin, ids + left, n - left);
	return left;
}

/* What finishing the request will need. */
static TteRequest *
copy_request(MemoryContext context, const TteRequest *request)
{
	TteRequest *copy = MemoryContextAlloc(context, sizeof(TteRequest));

	*copy = *request;
	copy->pin.window = NULL;
	copy->context = context;
	copy->holding = false;
	copy->events = NULL;
	return copy;
}

static bool
is_one_of(int64 id, const int64 *ids, int n)
{
	for (int i = 0; i < n; i++)
	{
		if (ids[i] == id)
			return true;
	}
	return false;
}

void
tte_hold_busy(TteRequest *request, TteHeldAction action, const char *status, const char *reason, bool keep)
{
	int			n = request->nevents;
	int64	   *ids = palloc(Max(n, 1) * sizeof(int64));
	int			left;
	TteHeld    *held;

	for (int i = 0; i < n; i++)
		ids[i] = request->events[i].id;
	left = tte_hold_free(request->sender, ids, n);
	if (left == n)
		return;
	request->nevents = 0;
	for (int i = 0; i < n; i++)
	{
		if (!is_one_of(request->events[i].id, ids + left, n - left))
			request->events[request->nevents++] = request->events[i];
	}
	request->holding = true;
	held = make_held(request->sender, &request->pin, ids + left, n - left);
	held->action = action;
	held->request = copy_request(held->context, request);
	held->status = status;
	held->reason = reason ? MemoryContextStrdup(held->context, reason) : NULL;
	held->keep_identity = keep;
}

bool
tte_hold_due(TteSender *sender, int64 now)
{
	return !slist_is_empty(&sender->held) &&
		(sender->held_at <= now || sender->held_at > now + TTE_HELD_PAUSE);
}

static void
record_held(TteSender *sender, TteHeld *held, const int64 *ids, int n, int64 now)
{
	switch (held->action)
	{
		case TTE_HELD_FINAL:
			tte_outcome_final(held->request, ids, n, held->status, held->reason, held->keep_identity);
			break;
		case TTE_HELD_RETRY:
			tte_outcome_retry(held->request, ids, n, held->request->try.attempts, now);
			break;
		case TTE_HELD_WAIT:
			tte_outcome_wait(sender, held->request, ids, n, now, NULL);
			break;
	}
}

/* Records what is decided; true: that is all of it. */
static bool
record_decided(TteSender *sender, TteHeld *held, int64 now)
{
	int			n = tte_hold_free(sender, held->ids, held->n);

	if (n > 0)
		record_held(sender, held, held->ids, n, now);
	held->n -= n;
	memmove(held->ids, held->ids + n, held->n * sizeof(int64));
	return held->n == 0;
}

void
tte_hold_record(TteSender *sender, int64 now)
{
	slist_mutable_iter iter;

	tte_hold_watch(sender);
	sender->nheld = 0;
	sender->held_at = now + TTE_HELD_PAUSE;
	slist_foreach_modify(iter, &sender->held)
	{
		TteHeld    *held = slist_container(TteHeld, node, iter.cur);

		if (!record_decided(sender, held, now))
		{
			sender->nheld += held->n;
			continue;
		}
		if (held->request != NULL)
			tte_outcome_finish(held->request);
		slist_delete_current(&iter);
		tte_pin_drop(&held->pin);
		MemoryContextDelete(held->context);
	}
	sender->dirty = true;
}
