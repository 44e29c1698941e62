/*-------------------------------------------------------------------------
 *
 * batch.c
 *	  From the tables to a request.
 *
 * A request is read at once and sent once.  Its events come from the queue, in
 * the order of the cursor, or from tiktok.retry: what is due, a part of a batch that
 * was split, an event of a kind in doubt, a probe.  Nothing is taken out of turn but
 * from tiktok.retry: a probe from the middle of the queue gets a row there first.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "utils/memutils.h"

#include "deliver/sender.h"
#include "event/event.h"
#include "server/common.h"
#include "server/compat.h"

/* Probes of that many events; from then on those that were tried go again, but for every eighth. */
#define NEW_PROBES	8

#define EXPIRE_BATCH	1000

/* Ids of events that are not sent. */
typedef struct IdList
{
	int64	   *ids;
	int			n;
} IdList;

/* A request while it is being read. */
typedef struct Reading
{
	TteSender  *sender;
	const TteSendLimits *limits;
	int64		now;
	int			limit;			/* most events */
	bool		from_retry;
	bool		late_only;		/* stop at the first one that is not too old */
	bool		together;		/* the events of a part */
	TteRequest *request;		/* NULL until there is an event to send */
	int			size;			/* of what is in it, as stored */
	bool		full;
	int64	   *busy;			/* of the rows read last those that an
								 * operator's open transaction is about */
	int			nbusy;
	IdList		undecided;		/* such events, which are held */
	IdList		expired;
	IdList		uncertain;
	IdList		deferred[TTE_KINDS];
} Reading;

/*-------------------------------------------------------------------------
 * Windows
 *-------------------------------------------------------------------------
 */

static void
copy_snapshot(TteSnapshot *to, const TteSnapshot *from)
{
	*to = *from;
	to->xip = palloc(Max(from->nxip, 1) * sizeof(uint64));
	memcpy(to->xip, from->xip, from->nxip * sizeof(uint64));
}

static void
release_window(TteWindow *window)
{
	if (window == NULL || --window->refs > 0)
		return;
	pfree(window->prev.xip);
	pfree(window->cur.xip);
	pfree(window);
}

void
tte_window_open(TteSender *sender, const TteSnapshot *prev, const TteSnapshot *cur, TtePosition position)
{
	MemoryContext old = MemoryContextSwitchTo(sender->context);
	TteWindow  *window = palloc(sizeof(TteWindow));

	window->refs = 1;
	copy_snapshot(&window->prev, prev);
	copy_snapshot(&window->cur, cur);
	release_window(sender->window);
	sender->window = window;
	if (sender->segments != NULL)
		pfree(sender->segments);
	sender->nsegments = tte_window_segments(&window->prev, &window->cur, &sender->segments);
	sender->segment = 0;
	sender->position = position;
	while (sender->segment < sender->nsegments && sender->segments[sender->segment].hi <= position.xid)
		sender->segment++;
	MemoryContextSwitchTo(old);
}

/* Goes on to what became visible since the last window; false: nothing did. */
static bool
next_window(TteSender *sender, const TteSnapshot *snapshot)
{
	TteSegment *segments;

	if (tte_window_segments(&sender->window->cur, snapshot, &segments) == 0)
		return false;
	tte_window_open(sender, &sender->window->cur, snapshot, TTE_WINDOW_START);
	if (sender->skip_windows > 0)
		sender->skip_windows--;
	return true;
}

static void
set_pin(TtePin *pin, TteSender *sender, TteWindow *window, TtePosition start)
{
	pin->window = window;
	pin->start = start;
	window->refs++;
	dlist_push_tail(&sender->pins, &pin->node);
}

void
tte_pin_drop(TtePin *pin)
{
	if (pin->window == NULL)
		return;
	dlist_delete(&pin->node);
	release_window(pin->window);
	pin->window = NULL;
}

/*-------------------------------------------------------------------------
 * Rows
 *-------------------------------------------------------------------------
 */

static void
remember(IdList *list, int64 id, int limit)
{
	if (list->ids == NULL)
		list->ids = palloc(limit * sizeof(int64));
	list->ids[list->n++] = id;
}

static TteRequest *
make_request(Reading *r, const char *test_code)
{
	TteSender  *sender = r->sender;
	MemoryContext context = AllocSetContextCreate(sender->context, "tiktok_events batch", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	TteRequest *request = palloc0(sizeof(TteRequest));

	request->context = context;
	request->stored = AllocSetContextCreate(context, "tiktok_events stored events", ALLOCSET_DEFAULT_SIZES);
	request->sender = sender;
	request->from_retry = r->from_retry;
	request->events = palloc(r->limit * sizeof(TteBatchEvent));
	request->test_code = test_code ? pstrdup(test_code) : NULL;
	MemoryContextSwitchTo(old);
	return request;
}

void
tte_batch_free(TteRequest *request)
{
	tte_pin_drop(&request->pin);
	if (request->alone)
		request->sender->alone = TTE_ALONE_NO;
	if (request->interrupted)
		request->sender->interrupted_out = false;
	MemoryContextDelete(request->context);
}

static bool
same_code(const TteRequest *request, const TteQueueRow *row)
{
	if (row->test_code == NULL || request->test_code == NULL)
		return row->test_code == request->test_code;
	return strcmp(row->test_code, request->test_code) == 0;
}

static struct varlena *
copy_stored(struct varlena *value)
{
	return value ? memcpy(palloc(VARSIZE_ANY(value)), value, VARSIZE_ANY(value)) : NULL;
}

/* Most events have the name of the one before. */
static const char *
copy_name(TteRequest *request, const char *name)
{
	const char *last = request->nevents > 0 ? request->events[request->nevents - 1].name : "";

	return strcmp(last, name) == 0 ? last : MemoryContextStrdup(request->context, name);
}

static void
append_event(Reading *r, const TteQueueRow *row)
{
	TteRequest *request = r->request;
	const char *name = copy_name(request, row->name);
	MemoryContext old = MemoryContextSwitchTo(request->stored);

	request->events[request->nevents++] = (TteBatchEvent)
	{
		.xid = row->xid, .id = row->id, .attempts = row->attempts, .sent_at = row->sent_at, .event_time = row->event_time, .name = name,
			.event_id = pstrdup(row->event_id), .payload = copy_stored(row->payload), .user_data = copy_stored(row->user_data)
	};
	r->size += row->size;
	MemoryContextSwitchTo(old);
}

/* May the event go into a request that has some? */
static bool
fits(const Reading *r, const TteQueueRow *row)
{
	return !(row->suspect && !r->together) && same_code(r->request, row) && r->size + row->size <= r->limits->max_body;
}

/* A source that waits for the operator's word. */
static bool
awaits_operator(const TteSourceConfig *config)
{
	return !config->enabled || config->paused;
}

/*
 * Age and horizon are judged again before every send.  While a source waits for
 * its operator only age counts; the horizon he may pass by tiktok.discard().
 */
static bool
too_late(Reading *r, const TteQueueRow *row)
{
	bool		expired = r->now - row->event_time > r->sender->config.max_event_age;

	if (row->possibly_received_at != 0 &&
		(expired || (!awaits_operator(&r->sender->config) && r->now - row->possibly_received_at > TTE_RETRY_HORIZON)))
		remember(&r->uncertain, row->id, r->limit);
	else if (expired)
		remember(&r->expired, row->id, r->limit);
	else
		return false;
	return true;
}

/* Events that an open transaction has moved are not sent. */
static void
find_undecided(Reading *r, const TteQueueRow *rows, int n)
{
	int			nfree;

	r->busy = palloc(Max(n, 1) * sizeof(int64));
	r->nbusy = 0;
	if (r->from_retry)
		return;					/* rows of tiktok.retry tell themselves */
	for (int i = 0; i < n; i++)
		r->busy[i] = rows[i].id;
	nfree = tte_hold_free(r->sender, r->busy, n);
	r->busy += nfree;
	r->nbusy = n - nfree;
}

static bool
is_undecided(Reading *r, int64 id)
{
	int			i = 0;

	while (i < r->nbusy && r->busy[i] != id)
		i++;
	if (i == r->nbusy)
		return false;
	remember(&r->undecided, id, r->limit);
	return true;
}

static uint64
hash_name(const char *name)
{
	return DatumGetUInt64(hash_any_extended((const unsigned char *) name, strlen(name), 0));
}

/* The kind is in doubt: the event waits for its turn. */
static bool
defer(Reading *r, const TteQueueRow *row)
{
	TteBreaker *breaker = &r->sender->breaker;
	TteKind    *kind;
	int			i;

	if (breaker->nkinds == 0)
		return false;
	kind = tte_breaker_kind(breaker, hash_name(row->name));
	if (kind == NULL || !kind->in_doubt)
		return false;
	i = kind - breaker->kinds;
	if (r->sender->kinds[i] == NULL || strcmp(r->sender->kinds[i], row->name) != 0)
		return false;
	remember(&r->deferred[i], row->id, r->limit);
	r->sender->kind_rows[i] = true;
	return true;
}

/* Takes rows into the request until it is full; returns how many. */
static int
take_rows(Reading *r, const TteQueueRow *rows, int n, bool deferrable)
{
	int			i;

	find_undecided(r, rows, n);
	for (i = 0; i < n && !r->full; i++)
	{
		if (tte_hold_has(r->sender, rows[i].id) || is_undecided(r, rows[i].id) || too_late(r, &rows[i]))
			continue;
		if (r->late_only)
		{
			r->full = true;
			break;
		}
		if (deferrable && defer(r, &rows[i]))
			continue;
		if (r->request == NULL)
			r->request = make_request(r, rows[i].test_code);
		if (r->request->nevents > 0 && !fits(r, &rows[i]))
		{
			r->full = true;
			break;
		}
		append_event(r, &rows[i]);
		r->request->alone = rows[i].alone;
		r->request->interrupted |= rows[i].interrupted;
		r->full = rows[i].suspect && !r->together;
	}
	return i;
}

static int
events_read(const Reading *r)
{
	int			n = (r->request ? r->request->nevents : 0) + r->undecided.n + r->expired.n + r->uncertain.n;

	for (int i = 0; i < r->sender->breaker.nkinds; i++)
		n += r->deferred[i].n;
	return n;
}

/*-------------------------------------------------------------------------
 * What is not sent
 *-------------------------------------------------------------------------
 */

static void
record_unsent(const Reading *r, const IdList *list, const char *status, const char *reason, bool keep, int64 received_at)
{
	TteFinal	final = {r->sender->config.id, 0, status, reason, keep, r->from_retry, false, received_at};

	tte_queue_record_final(&final, list->ids, list->n);
}

static void
record_late(const Reading *r)
{
	record_unsent(r, &r->expired, "expired", "max_event_age", false, 0);
	record_unsent(r, &r->uncertain, "uncertain", r->from_retry ? "retry_horizon" : "restore_gap", true,
				  r->from_retry ? 0 : r->limits->recovered_to);
}

static void
record_deferred(const Reading *r)
{
	for (int i = 0; i < r->sender->breaker.nkinds; i++)
		tte_outcome_wait(r->sender, NULL, r->deferred[i].ids, r->deferred[i].n, r->now, r->sender->kinds[i]);
}

/*-------------------------------------------------------------------------
 * Sources of events
 *-------------------------------------------------------------------------
 */

/* Reads on in the queue until the request is full or everything has been read. */
static void
read_queue(Reading *r, const TteSnapshot *snapshot)
{
	TteSender  *sender = r->sender;
	TtePosition start = sender->position;
	TteWindow  *window = sender->window;
	TtePin		pin = {.window = NULL};

	while (!r->full && events_read(r) < r->limit)
	{
		TteSegment *seg;
		TteQueueRow *rows;
		int			want = r->limit - events_read(r);
		int			n;
		int			taken;

		if (sender->segment == sender->nsegments)
		{
			/* A request lies in one window, because the cursor names one. */
			if (events_read(r) > 0)
				break;
			if (!next_window(sender, snapshot))
			{
				sender->look = false;
				break;
			}
			start = sender->position;
			window = sender->window;
			continue;
		}
		seg = &sender->segments[sender->segment];
		n = tte_queue_read(sender->config.id,
						   sender->position.xid >= seg->lo ? sender->position : (TtePosition) {seg->lo, -1},
						   seg->hi, sender->operator_open || sender->skip_windows > 0, want, &rows);
		for (int i = 0; i < n && rows[i].xid < r->limits->recovered_xid; i++)
			rows[i].possibly_received_at = r->limits->recovered_to;
		taken = take_rows(r, rows, n, true);
		if (taken > 0)
		{
			sender->position = (TtePosition) {rows[taken - 1].xid, rows[taken - 1].id};
			sender->dirty = true;
		}
		if (taken == n && n < want)
			sender->segment++;
	}
	pin.window = window;
	pin.start = start;
	tte_hold_unsent(sender, &pin, r->undecided.ids, r->undecided.n);
	if (r->request == NULL)
		return;
	set_pin(&r->request->pin, sender, window, start);

	/*
	 * what was recorded since then is held to the same time, which does no
	 * harm
	 */
	if (r->request->events[0].xid < r->limits->recovered_xid)
		r->request->possibly_received_at = r->limits->recovered_to;
}

static void
read_due(Reading *r)
{
	TteQueueRow *rows;
	int			n = tte_queue_read_due(r->sender->config.id, r->now, r->limit, &rows);

	take_rows(r, rows, n, true);
}

/* What an open transaction has moved of a part is left to it. */
static void
hold_missing(TteSender *sender, const TtePart *part, const TteQueueRow *rows, int n)
{
	int64	   *missing = palloc(part->n * sizeof(int64));
	int			nmissing = 0;

	for (int i = 0; i < part->n; i++)
	{
		int			j = 0;

		while (j < n && rows[j].id != part->ids[i])
			j++;
		if (j == n)
			missing[nmissing++] = part->ids[i];
	}
	(void) tte_hold_ids(sender, missing, nmissing);
}

static void
read_part(Reading *r)
{
	TteSender  *sender = r->sender;
	TtePart    *part = dlist_container(TtePart, node, dlist_pop_head_node(&sender->parts));
	TteQueueRow *rows;
	int			n;
	int			taken;

	sender->nparts--;
	r->limit = part->n;
	r->together = true;
	n = tte_queue_read_ids(part->ids, part->n, &rows);
	if (n < part->n && sender->operator_open)
		hold_missing(sender, part, rows, n);
	taken = take_rows(r, rows, n, part->n > 1);
	if (taken < n)
	{
		int64	   *rest = palloc((n - taken) * sizeof(int64));

		for (int i = taken; i < n; i++)
			rest[i - taken] = rows[i].id;
		tte_part_add(sender, rest, n - taken, NULL, true);
	}
	if (r->request != NULL)
		r->request->halves = part->halves;
	else if (part->halves != NULL)
		part->halves->passed = false;
	pfree(part);
}

/* Does the kind still go singly?  Else all of it that waits goes in batches. */
static void
read_kind(Reading *r, int batch_size)
{
	TteSender  *sender = r->sender;

	for (int i = 0; i < sender->breaker.nkinds; i++)
	{
		TteKind    *kind = &sender->breaker.kinds[i];
		TteQueueRow *rows;
		int			n;

		if (!sender->kind_rows[i])
			continue;
		r->limit = kind->in_doubt ? 1 : batch_size;
		n = tte_queue_read_kind(sender->config.id, sender->kinds[i], kind->newest, r->limit, &rows);
		kind->newest = !kind->newest;
		sender->kind_rows[i] = n == r->limit;
		take_rows(r, rows, n, false);
		if (events_read(r) > 0)
			return;
	}
}

static int64
pick_probe(TteSender *sender, int64 now)
{
	const TteBreaker *breaker = &sender->breaker;
	bool		untried = breaker->failures < NEW_PROBES || breaker->failures % NEW_PROBES == 0;
	int64		id = 0;

	if (untried)
		id = tte_queue_pick_new(sender->config.id, sender->position, sender->suspect);
	if (id != 0 && tte_hold_free(sender, &id, 1) == 1)
	{
		tte_outcome_wait(sender, NULL, &id, 1, now, NULL);
		/* what was taken out of turn lies in this window or the next */
		sender->skip_windows = 2;
		return id;
	}
	id = untried ? tte_queue_pick_waiting(sender->config.id, sender->suspect, breaker->probed_id) : 0;
	return id != 0 ? id : tte_queue_pick_tried(sender->config.id, breaker->probed_id);
}

static void
read_probe(Reading *r)
{
	int64		id = pick_probe(r->sender, r->now);
	TteQueueRow *rows;

	r->limit = 1;
	if (id != 0)
	{
		int			n = tte_queue_read_ids(&id, 1, &rows);

		take_rows(r, rows, n, false);
		return;
	}
	/* nothing but events of kinds in doubt is left */
	read_kind(r, 1);
}

/* In the order of the queue, so that its parts do not overlap. */
static int
by_place(const void *a, const void *b)
{
	const TteBatchEvent *x = a;
	const TteBatchEvent *y = b;

	if (x->xid != y->xid)
		return x->xid < y->xid ? -1 : 1;
	return x->id < y->id ? -1 : x->id > y->id;
}

static void
describe(TteRequest *request, TteMove move)
{
	TteTry	   *try = &request->try;

	qsort(request->events, request->nevents, sizeof(TteBatchEvent), by_place);
	*try = (TteTry)
	{
		.move = move, .events = request->nevents, .attempts = request->events[0].attempts,
			.span =
		{
			tte_place(&request->events[0]), tte_place(&request->events[request->nevents - 1])
		}
	};
	for (int i = 0; i < request->nevents; i++)
	{
		try->attempts = Min(try->attempts, request->events[i].attempts);
		try->since = Max(try->since, request->events[i].sent_at);
	}
	if (request->nevents == 1)
		try->kind = hash_name(request->events[0].name);
}

TteRequest *
tte_batch_read(TteSender *sender, TteMove move, int limit, const TteSnapshot *snapshot,
			   const TteSendLimits *limits, int64 now)
{
	Reading		r = {
		.sender = sender, .limits = limits, .now = now, .limit = limit, .from_retry = move != TTE_MOVE_QUEUE
	};

	switch (move)
	{
		case TTE_MOVE_NONE:
			return NULL;
		case TTE_MOVE_PART:
			read_part(&r);
			break;
		case TTE_MOVE_RETRY:
			read_due(&r);
			break;
		case TTE_MOVE_KIND:
			read_kind(&r, sender->config.batch_size);
			break;
		case TTE_MOVE_QUEUE:
			read_queue(&r, snapshot);
			break;
		case TTE_MOVE_PROBE:
			read_probe(&r);
			break;
	}
	record_late(&r);
	record_deferred(&r);
	if (r.request != NULL)
		describe(r.request, move);
	return r.request;
}

/*
 * The queue is read up to the first event that is young enough: what lies behind
 * it was recorded later, and has its turn when it is first.
 */
int
tte_batch_expire(TteSender *sender, const TteSnapshot *snapshot, const TteSendLimits *limits, int64 now)
{
	Reading		queued = {.sender = sender, .limits = limits, .now = now, .limit = EXPIRE_BATCH, .late_only = true};
	Reading		retried = queued;
	TteQueueRow *rows;
	int			n = tte_queue_read_due(sender->config.id, now, EXPIRE_BATCH, &rows);

	retried.from_retry = true;
	for (int i = 0; i < n; i++)
	{
		if (!tte_hold_has(sender, rows[i].id))
			(void) too_late(&retried, &rows[i]);
	}
	record_late(&retried);
	read_queue(&queued, snapshot);
	record_late(&queued);
	return events_read(&queued) + events_read(&retried);
}
