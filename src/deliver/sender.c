/*-------------------------------------------------------------------------
 *
 * sender.c
 *	  One sender per source: what has been read, and what is in flight.
 *
 * A sender reads its source's queue window by window and carves it into
 * batches.  A batch becomes one request, or several when TikTok refuses it and
 * the bad event has to be found; body.c puts them together.  Batches are
 * recorded in any order; the stored cursor stays at the oldest one that is not.
 * When the breaker opens, nothing is kept in memory: once nothing is in flight
 * the sender goes back to the oldest unrecorded event and reads from there,
 * skipping what has a fate, as it does after a restart.
 *
 * An operator may have moved an event in a transaction that stays open.  The
 * worker does not wait for it: such an event is not sent, or if it was already,
 * held back with what is to be recorded of it, and its request stays unfinished;
 * everything else goes on.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/pg_prng.h"
#include "utils/memutils.h"

#include "deliver/sender.h"
#include "deliver/token.h"
#include "event/event.h"
#include "server/common.h"
#include "server/compat.h"
#include "server/faultpoint.h"
#include "server/wakeup.h"

#define USEC	INT64CONST(1000000)

/* To find k bad events of 1000 takes about 20 k requests; more is no isolation. */
#define ISOLATION_FLOOR		64
#define ISOLATION_PER_CULPRIT	20

/* So many single events refused in a row are not the events' fault. */
#define REFUSALS_TO_STOP	8

/* How often a source to which nothing goes is looked at for events that are too old. */
#define EXPIRE_INTERVAL	(3600 * USEC)
#define EXPIRE_BATCH	1000

/* How often it is looked whether an operator's transaction has ended. */
#define HELD_PAUSE	USEC

/* With so many events held back a source waits for that transaction after all. */
#define HELD_MAX	1000

/* The cursor is stored at most this often while there is work. */
#define STORE_INTERVAL	USEC

typedef struct TteWindow
{
	int			refs;
	TteSnapshot prev;
	TteSnapshot cur;
} TteWindow;

/* Ids of events that are final without a request. */
typedef struct IdList
{
	int64	   *ids;
	int			n;
} IdList;

/* A batch while it is being read. */
typedef struct Reading
{
	TteSender  *sender;
	const TteSendLimits *limits;
	int64		now;
	int			limit;			/* most events */
	bool		late_only;		/* stop at the first one that is not too old */
	TteBatch   *batch;			/* NULL until there is an event to send */
	int			size;			/* of what is in the batch, as stored */
	bool		full;
	IdList		undecided;		/* what an operator's open transaction is
								 * about */
	IdList		expired;
	IdList		uncertain;
} Reading;

TteSender *
tte_sender_create(int32 source_id)
{
	MemoryContext context = AllocSetContextCreate(TopMemoryContext, "tiktok_events sender", ALLOCSET_SMALL_SIZES);
	TteSender  *sender = MemoryContextAllocZero(context, sizeof(TteSender));

	sender->context = context;
	sender->config.id = source_id;
	sender->config_context = AllocSetContextCreate(context, "tiktok_events source", ALLOCSET_SMALL_SIZES);
	dlist_init(&sender->batches);
	slist_init(&sender->waiting);
	slist_init(&sender->held);
	sender->look = true;
	sender->rate = &sender->own_rate;
	return sender;
}

static char *
copy_string(const char *s)
{
	return s ? pstrdup(s) : NULL;
}

static char *
keep_token(const char *token)
{
	char	   *kept = token ? tte_secret_alloc() : NULL;

	if (kept != NULL)
		strlcpy(kept, token, TTE_SECRET_SIZE);
	else if (token != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));
	return kept;
}

/* A source that waits for the operator's word. */
static bool
awaits_operator(const TteSourceConfig *config)
{
	return !config->enabled || config->paused;
}

/* A source to which nothing will go, however long it takes. */
static bool
is_closed(const TteSourceConfig *config)
{
	return awaits_operator(config) || config->token == NULL || config->copied;
}

static bool
may_send(const TteSender *sender)
{
	return !is_closed(&sender->config) && sender->nheld < HELD_MAX;
}

/* May events that are too old be looked for?  Nothing of the source is on its way. */
static bool
may_expire(const TteSender *sender)
{
	return is_closed(&sender->config) && !sender->rewind && sender->in_flight == 0 && sender->nheld < HELD_MAX;
}

/* A new token, or an operator's word, is a reason to try again at once. */
void
tte_sender_configure(TteSender *sender, const TteSourceConfig *config)
{
	char	   *had = sender->config.token;
	bool		new_token = config->token != NULL && (had == NULL || strcmp(had, config->token) != 0);
	bool		resumed = config->resumed_at > sender->breaker.since;
	char	   *token = keep_token(config->token);
	MemoryContext old;

	if ((new_token || resumed) && sender->breaker.state != TTE_BREAKER_CLOSED)
	{
		sender->refused = 0;
		tte_breaker_reset(&sender->breaker);
		sender->breaker.since = tte_now();
	}
	tte_secret_free(had);
	sender->config.token = NULL;
	MemoryContextReset(sender->config_context);
	old = MemoryContextSwitchTo(sender->config_context);
	sender->config = *config;
	sender->config.token = token;
	sender->config.name = copy_string(config->name);
	sender->config.event_source = copy_string(config->event_source);
	sender->config.event_source_id = copy_string(config->event_source_id);
	sender->config.token_problem = copy_string(config->token_problem);
	sender->config.stored_state = copy_string(config->stored_state);
	MemoryContextSwitchTo(old);
	if (!may_send(sender) && !slist_is_empty(&sender->waiting))
		sender->rewind = true;
	sender->expire_at = 0;
}

void
tte_sender_requeue(TteSender *sender)
{
	dlist_iter	iter;

	if (!sender->loaded)
		return;
	dlist_foreach(iter, &sender->batches)
		dlist_container(TteBatch, node, iter.cur)->stale = true;
	sender->skip_windows = 2;
	sender->next_due = 1;
	sender->held_at = 0;
	/* what waits in memory was judged before */
	if (!slist_is_empty(&sender->waiting))
		sender->rewind = true;
}

void
tte_sender_clock_set_back(TteSender *sender)
{
	sender->rate_free = 0;
	sender->stored_at = 0;
	if (sender->loaded)
		sender->next_due = 1;
}

void
tte_sender_destroy(TteSender *sender)
{
	tte_secret_free(sender->config.token);
	MemoryContextDelete(sender->context);
}

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

/* Begins to read a window; *position may lie inside. */
static void
open_window(TteSender *sender, const TteSnapshot *prev, const TteSnapshot *cur, TtePosition position)
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
	open_window(sender, &sender->window->cur, snapshot, TTE_WINDOW_START);
	if (sender->skip_windows > 0)
		sender->skip_windows--;
	return true;
}

void
tte_sender_load(TteSender *sender)
{
	TteSnapshot prev;
	TteSnapshot cur;
	TtePosition position;
	int			interrupted = tte_queue_recover(sender->config.id);

	if (interrupted > 0)
		ereport(LOG,
				(errmsg("tiktok_events: source %d had %d interrupted requests; their events are sent again",
						sender->config.id, interrupted)));
	tte_queue_load_cursor(sender->config.id, &prev, &cur, &position);
	open_window(sender, &prev, &cur, position);
	sender->skip_windows = 2;
	sender->next_due = 1;		/* also for what a clock set back has left for
								 * years */
	sender->loaded = true;
	TTE_FAULT_POINT("loaded", NULL);
}

/* Is there something to send, if it may be sent? */
static bool
has_work(TteSender *sender, int64 now)
{
	if (!sender->loaded || sender->look || !slist_is_empty(&sender->waiting))
		return true;
	return sender->next_due != 0 && sender->next_due <= now && !sender->retry_out;
}

bool
tte_sender_wants(TteSender *sender, int64 now)
{
	return may_send(sender) && !sender->rewind && sender->rate_free <= now &&
		tte_breaker_allows(&sender->breaker, now, sender->config.batch_size) > 0 &&
		has_work(sender, now);
}

static int64
sending_due(TteSender *sender, int64 now)
{
	int64		due = 0;

	if (may_expire(sender))
		return Max(sender->expire_at, now);
	if (sender->rewind || !may_send(sender))
		return 0;
	if (sender->next_due != 0 && !sender->retry_out)
		due = sender->next_due;
	if (has_work(sender, now))
		due = Max(now, sender->rate_free);
	if (due != 0 && sender->breaker.state != TTE_BREAKER_CLOSED)
	{
		int64		probe = tte_breaker_due(&sender->breaker);

		/* the answer that it waits for will wake us */
		due = probe == PG_INT64_MAX ? 0 : Max(due, probe);
	}
	return due;
}

int64
tte_sender_due(TteSender *sender, int64 now)
{
	int64		due = sending_due(sender, now);

	if (slist_is_empty(&sender->held))
		return due;
	return due == 0 ? Max(sender->held_at, now) : Min(Max(sender->held_at, now), due);
}

static void
remember(IdList *list, int64 id, int limit)
{
	if (list->ids == NULL)
		list->ids = palloc(limit * sizeof(int64));
	list->ids[list->n++] = id;
}

static TteBatch *
make_batch(Reading *r, const char *test_code)
{
	TteSender  *sender = r->sender;
	MemoryContext context = AllocSetContextCreate(sender->context, "tiktok_events batch", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	TteBatch   *batch = palloc0(sizeof(TteBatch));

	batch->context = context;
	batch->stored = AllocSetContextCreate(context, "tiktok_events stored events", ALLOCSET_DEFAULT_SIZES);
	batch->sender = sender;
	batch->events = palloc(r->limit * sizeof(TteBatchEvent));
	batch->test_code = copy_string(test_code);
	initStringInfo(&batch->body);
	tte_wire_open(&batch->body, sender->config.event_source, sender->config.event_source_id, test_code);
	batch->head_len = batch->body.len;
	MemoryContextSwitchTo(old);
	return batch;
}

static bool
same_code(const TteBatch *batch, const TteQueueRow *row)
{
	if (row->test_code == NULL || batch->test_code == NULL)
		return row->test_code == batch->test_code;
	return strcmp(row->test_code, batch->test_code) == 0;
}

static struct varlena *
copy_stored(struct varlena *value)
{
	return value ? memcpy(palloc(VARSIZE_ANY(value)), value, VARSIZE_ANY(value)) : NULL;
}

static void
append_event(Reading *r, const TteQueueRow *row)
{
	TteBatch   *batch = r->batch;
	MemoryContext old = MemoryContextSwitchTo(batch->stored);

	batch->events[batch->nevents++] = (TteBatchEvent)
	{
		.xid = row->xid, .id = row->id, .attempts = row->attempts,
			.payload = copy_stored(row->payload), .user_data = copy_stored(row->user_data)
	};
	batch->unrendered++;
	r->size += row->size;
	MemoryContextSwitchTo(old);
}

/* May the event go into a batch that has some? */
static bool
fits(const Reading *r, const TteQueueRow *row)
{
	/* what was in flight when a process died goes alone */
	return !row->suspect && same_code(r->batch, row) && r->size + row->size <= r->limits->max_body;
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

/*
 * In a transaction, before fates are read or recorded: may a transaction be open
 * that has moved some?  When one has ended since, or has committed a moment ago,
 * what it moved must be skipped as after tte_sender_requeue().
 */
static void
watch_decisions(TteSender *sender)
{
	bool		open = !tte_lock_fates(sender->config.id);

	if ((sender->careful && !open) || tte_requeue_pending())
		sender->skip_windows = 2;
	sender->careful = open;
}

static bool
is_held(TteSender *sender, int64 id)
{
	slist_iter	iter;

	slist_foreach(iter, &sender->held)
	{
		const TteBatch *batch = slist_container(TteRequest, node, iter.cur)->batch;

		for (int i = 0; i < batch->nevents; i++)
		{
			if (batch->events[i].id == id)
				return true;
		}
	}
	return false;
}

static bool
is_undecided(Reading *r, int64 id)
{
	if (!r->sender->careful || !tte_queue_busy(id))
		return false;
	remember(&r->undecided, id, r->limit);
	return true;
}

/* Takes rows into the batch until it is full; returns how many. */
static int
take_rows(Reading *r, const TteQueueRow *rows, int n)
{
	int			i;

	for (i = 0; i < n && !r->full; i++)
	{
		if (is_held(r->sender, rows[i].id) || is_undecided(r, rows[i].id) || too_late(r, &rows[i]))
			continue;
		if (r->late_only)
		{
			r->full = true;
			break;
		}
		if (r->batch == NULL)
			r->batch = make_batch(r, rows[i].test_code);
		if (r->batch->nevents > 0 && !fits(r, &rows[i]))
		{
			r->full = true;
			break;
		}
		append_event(r, &rows[i]);
		r->batch->alone = rows[i].alone;
		r->full = rows[i].suspect;
	}
	return i;
}

static int
events_read(const Reading *r)
{
	return (r->batch ? r->batch->nevents : 0) + r->undecided.n + r->expired.n + r->uncertain.n;
}

static TteRequest *
make_request(TteBatch *batch, int lo, int hi)
{
	TteRequest *request = MemoryContextAllocZero(batch->context, sizeof(TteRequest));

	request->batch = batch;
	request->lo = lo;
	request->hi = hi;
	batch->open++;
	return request;
}

static void
drop_batch(TteBatch *batch)
{
	if (batch->from_retry && !batch->held)
		batch->sender->retry_out = false;
	if (batch->alone)
		batch->sender->alone = TTE_ALONE_NO;
	release_window(batch->window);
	dlist_delete(&batch->node);
	MemoryContextDelete(batch->context);
}

/* Events whose fate is known, apart from their batch until it can be recorded. */
static TteRequest *
make_held(TteSender *sender, bool from_retry, TteWindow *window, TtePosition start,
		  const TteBatchEvent *events, int n)
{
	MemoryContext context = AllocSetContextCreate(sender->context, "tiktok_events held events", ALLOCSET_SMALL_SIZES);
	TteBatch   *batch = MemoryContextAllocZero(context, sizeof(TteBatch));
	TteRequest *request;

	batch->context = context;
	batch->sender = sender;
	batch->from_retry = from_retry;
	batch->held = true;
	batch->window = window;
	if (window != NULL)
		window->refs++;
	batch->start = start;
	batch->events = MemoryContextAlloc(context, n * sizeof(TteBatchEvent));
	memcpy(batch->events, events, n * sizeof(TteBatchEvent));
	batch->nevents = n;
	request = make_request(batch, 0, n);
	slist_push_head(&sender->held, &request->node);
	sender->nheld += n;
	sender->held_at = tte_now() + HELD_PAUSE;
	return request;
}

/* They are read again when it is decided. */
static void
hold_undecided(const Reading *r, TteWindow *window, TtePosition start)
{
	TteBatchEvent *events = palloc0(r->undecided.n * sizeof(TteBatchEvent));
	TteRequest *held;

	if (r->undecided.n == 0)
		return;
	for (int i = 0; i < r->undecided.n; i++)
		events[i].id = r->undecided.ids[i];
	held = make_held(r->sender, false, window, start, events, r->undecided.n);
	held->undecided = true;
	dlist_push_tail(&r->sender->batches, &held->batch->node);
}

/* Reads on in the queue until the batch is full or everything has been read. */
static void
read_queue(Reading *r, const TteSnapshot *snapshot)
{
	TteSender  *sender = r->sender;
	TtePosition start = sender->position;
	TteWindow  *window = sender->window;

	watch_decisions(sender);
	while (!r->full && events_read(r) < r->limit)
	{
		TteSegment *seg;
		TteQueueRow *rows;
		int			want = r->limit - events_read(r);
		int			n;
		int			taken;

		if (sender->segment == sender->nsegments)
		{
			/* A batch lies in one window, because the cursor names one. */
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
						   seg->hi, sender->careful || sender->skip_windows > 0, want, &rows);
		for (int i = 0; i < n && rows[i].xid < r->limits->recovered_xid; i++)
			rows[i].possibly_received_at = r->limits->recovered_to;
		taken = take_rows(r, rows, n);
		if (taken > 0)
		{
			sender->position = (TtePosition) {rows[taken - 1].xid, rows[taken - 1].id};
			sender->dirty = true;
		}
		if (taken == n && n < want)
			sender->segment++;
	}
	hold_undecided(r, window, start);
	if (r->batch != NULL)
	{
		r->batch->start = start;
		r->batch->window = window;
		window->refs++;

		/*
		 * what was recorded since then is held to the same time, which does
		 * no harm
		 */
		if (r->batch->events[0].xid < r->limits->recovered_xid)
			r->batch->possibly_received_at = r->limits->recovered_to;
	}
}

/* Takes what would have to wait out of the request.  status NULL: it is to be tried again. */
static void
hold_busy(TteRequest *request, const char *status, const char *reason, bool keep_identity)
{
	TteBatch   *batch = request->batch;
	TteRequest *held;
	int			hi = request->hi;

	if (!batch->sender->careful)
		return;
	for (int i = hi - 1; i >= request->lo; i--)
	{
		TteBatchEvent event = batch->events[i];

		if (tte_queue_busy(event.id))
		{
			batch->events[i] = batch->events[--request->hi];
			batch->events[request->hi] = event;
		}
	}
	if (request->hi == hi)
		return;
	request->holding = true;
	held = make_held(batch->sender, batch->from_retry, batch->window, batch->start,
					 &batch->events[request->hi], hi - request->hi);
	held->batch->possibly_received_at = batch->possibly_received_at;
	dlist_insert_before(&batch->node, &held->batch->node);
	held->id = request->id;
	held->started_at = request->started_at;
	held->http_status = request->http_status;
	held->reply = request->reply;
	held->failed = request->failed;
	held->undecided = request->undecided;
	held->body_len = request->body_len;
	held->events = request->events;
	held->first = request->first;
	held->last = request->last;
	held->held_status = status;
	held->held_reason = reason ? MemoryContextStrdup(held->batch->context, reason) : NULL;
	held->held_identity = keep_identity;
}

static void
record_unsent(const IdList *list, const char *status, const char *reason, bool keep, bool from_retry, int64 received_at)
{
	TteFinal	final = {0, status, reason, keep, from_retry, false, received_at};

	tte_queue_record_final(&final, list->ids, list->n);
}

static void
record_late(const Reading *r, bool from_retry)
{
	record_unsent(&r->expired, "expired", "max_event_age", false, from_retry, 0);
	record_unsent(&r->uncertain, "uncertain", from_retry ? "retry_horizon" : "restore_gap", true, from_retry,
				  from_retry ? 0 : r->limits->recovered_to);
}

bool
tte_sender_expires(const TteSender *sender, int64 now)
{
	return may_expire(sender) && (sender->expire_at <= now || sender->expire_at > now + EXPIRE_INTERVAL);
}

/*
 * The queue is read up to the first event that is young enough: what lies behind
 * it was recorded later, and has its turn when it is first.
 */
void
tte_sender_expire(TteSender *sender, const TteSnapshot *snapshot, const TteSendLimits *limits, int64 now)
{
	Reading		queued = {.sender = sender, .limits = limits, .now = now, .limit = EXPIRE_BATCH, .late_only = true};
	Reading		retried = queued;
	TteQueueRow *rows;
	int			n = tte_queue_read_due(sender->config.id, now, EXPIRE_BATCH, &rows);

	for (int i = 0; i < n; i++)
	{
		if (!is_held(sender, rows[i].id))
			(void) too_late(&retried, &rows[i]);
	}
	record_late(&retried, true);
	read_queue(&queued, snapshot);
	record_late(&queued, false);
	sender->look = true;
	sender->next_due = tte_queue_next_due(sender->config.id);
	sender->expire_at = events_read(&queued) + events_read(&retried) > 0 ? now : now + EXPIRE_INTERVAL;
}

/* Reads the next batch, from the retries that are due or from the queue. */
static TteRequest *
read_batch(TteSender *sender, const TteSnapshot *snapshot, const TteSendLimits *limits, int limit, int64 now)
{
	Reading		r = {.sender = sender, .limits = limits, .now = now, .limit = limit};
	TteQueueRow *rows;
	bool		from_retry = sender->next_due != 0 && sender->next_due <= now && !sender->retry_out;
	bool		nothing = false;

	if (from_retry)
	{
		int			n = tte_queue_read_due(sender->config.id, now, limit, &rows);

		take_rows(&r, rows, n);
		nothing = r.batch == NULL && r.expired.n + r.uncertain.n == 0;
	}
	else
		read_queue(&r, snapshot);
	record_late(&r, from_retry);
	if (from_retry)
	{
		sender->retry_out = r.batch != NULL;
		sender->next_due = r.batch ? 0 : tte_queue_next_due(sender->config.id);
		/* all that is due has been moved by an open transaction */
		if (nothing && sender->next_due != 0)
			sender->next_due = Max(sender->next_due, now + HELD_PAUSE);
	}
	if (r.batch == NULL)
		return NULL;
	r.batch->from_retry = from_retry;
	dlist_push_tail(&sender->batches, &r.batch->node);
	return make_request(r.batch, 0, r.batch->nevents);
}

static int64 *
request_ids(const TteRequest *request)
{
	int			n = request->hi - request->lo;
	int64	   *ids = palloc(n * sizeof(int64));

	for (int i = 0; i < n; i++)
		ids[i] = request->batch->events[request->lo + i].id;
	return ids;
}

static void
start_request(TteRequest *request, int64 now)
{
	TteBatch   *batch = request->batch;
	TteRequestStart start = {
		batch->sender->config.id, now, request->hi - request->lo,
		tte_place(&batch->events[request->lo]), tte_place(&batch->events[request->hi - 1]),
		(request->hi - request->lo) * batch->sender->event_bytes, batch->test_code != NULL
	};

	request->started_at = now;
	request->id = tte_queue_start_request(&start);
	if (batch->from_retry)
		tte_queue_claim_retries(request->id, request_ids(request), start.events);
	if (request->lo > 0 || request->hi < batch->nevents)
		batch->extra++;
	if (batch->alone)
		batch->sender->alone = TTE_ALONE_OUT;
	batch->sender->in_flight++;
	tte_breaker_sent(&batch->sender->breaker);
}

/* Splits off what the breaker does not allow to go at once. */
static void
limit_request(TteRequest *request, int allowed)
{
	TteRequest *rest;

	if (request->hi - request->lo <= allowed)
		return;
	rest = make_request(request->batch, request->lo + allowed, request->hi);
	request->hi = request->lo + allowed;
	slist_push_head(&request->batch->sender->waiting, &rest->node);
}

/* As many rows as a body will most likely hold, judging by those before. */
static int
read_limit(const TteSender *sender, int allowed, const TteSendLimits *limits)
{
	int			likely = limits->max_body - limits->max_body / 32;

	if (sender->event_bytes == 0)
		return allowed;
	return Max(Min(allowed, likely / sender->event_bytes), 1);
}

/* Has an operator moved one of the events since they were read? */
static bool
is_moved(const TteRequest *request)
{
	watch_decisions(request->batch->sender);
	if (!request->batch->sender->careful)
		return tte_requeue_pending();
	for (int i = request->lo; i < request->hi; i++)
	{
		if (tte_queue_busy(request->batch->events[i].id))
			return true;
	}
	return false;
}

TteRequest *
tte_sender_next(TteSender *sender, const TteSnapshot *snapshot, const TteSendLimits *limits, int64 now)
{
	int			allowed = tte_breaker_allows(&sender->breaker, now, sender->config.batch_size);
	TteRequest *request;

	if (!slist_is_empty(&sender->waiting))
	{
		request = slist_container(TteRequest, node, slist_pop_head_node(&sender->waiting));
		if (is_moved(request))
		{
			sender->rewind = true;
			tte_sender_rewind(sender);
			return NULL;
		}
		limit_request(request, allowed);
	}
	else
		request = read_batch(sender, snapshot, limits, read_limit(sender, allowed, limits), now);
	if (request == NULL)
		return NULL;
	if (request->batch->alone && limits->others)
	{
		sender->alone = TTE_ALONE_WAITS;
		slist_push_head(&sender->waiting, &request->node);
		return NULL;
	}
	sender->rate_free = tte_rate_take(sender->rate, sender->config.requests_per_second, now);
	if (sender->rate_free != 0)
	{
		slist_push_head(&sender->waiting, &request->node);
		return NULL;
	}
	start_request(request, now);
	return request;
}

void
tte_sender_wait(TteBatch *batch, int lo, int hi)
{
	if (lo >= hi)
		return;

	/*
	 * its events may have been closed, or lost identifiers, while they were
	 * on their way; or may get too old before they can be sent
	 */
	if (batch->stale || !may_send(batch->sender))
		batch->sender->rewind = true;
	slist_push_head(&batch->sender->waiting, &make_request(batch, lo, hi)->node);
}

/* One event fails all: around the one that was named, else in halves. */
static void
split_request(const TteRequest *request)
{
	int			bad = request->reply.outcome == TTE_OUTCOME_ISOLATE ? request->reply.bad_index : -1;
	int			middle = (request->lo + request->hi) / 2;

	if (bad >= 0 && bad < request->hi - request->lo)
	{
		bad += request->lo;
		tte_sender_wait(request->batch, bad + 1, request->hi);
		tte_sender_wait(request->batch, request->lo, bad);
		tte_sender_wait(request->batch, bad, bad + 1);
		return;
	}
	tte_sender_wait(request->batch, middle, request->hi);
	tte_sender_wait(request->batch, request->lo, middle);
}

static void
record_final(TteRequest *request, const char *status, const char *reason, bool keep)
{
	TteFinal	final = {request->id, status, reason, keep, request->batch->from_retry, true, 0};

	hold_busy(request, status, reason, keep);
	if (request->reply.possibly_received)
		final.possibly_received_at = request->started_at;
	tte_queue_record_final(&final, request_ids(request), request->hi - request->lo);
}

static void
record_retry(TteRequest *request, int64 now)
{
	TteSender  *sender = request->batch->sender;
	int64	   *next = palloc((request->hi - request->lo) * sizeof(int64));
	int64		received_at = request->batch->possibly_received_at;
	double		dice = pg_prng_double(&pg_global_prng_state);
	int			n;

	hold_busy(request, NULL, NULL, false);
	n = request->hi - request->lo;
	/* one throw for all, so that they stay together */
	for (int i = 0; i < n; i++)
		next[i] = now + tte_retry_delay(request->batch->events[request->lo + i].attempts + 1, dice);
	if (received_at == 0 && request->reply.possibly_received)
		received_at = request->started_at;
	tte_queue_record_retry(sender->config.id, request->id, request->started_at, received_at,
						   request->reply.has_code, request->reply.code, request_ids(request), next, n);
	sender->next_due = tte_queue_next_due(sender->config.id);
}

/* The word in tiktok.delivery.reason for what TikTok refused. */
static const char *
refusal(const TteRequest *request)
{
	if (request->reply.has_code)
		return psprintf("code %d", request->reply.code);
	return psprintf("http %d", request->http_status);
}

/* A code that is to be retried once points at the events the second time. */
static TteOutcome
outcome_of(const TteRequest *request)
{
	const TteReply *reply = &request->reply;

	if (reply->outcome == TTE_OUTCOME_RETRY && reply->has_code &&
		tte_code_class(reply->code, NULL, NULL) == TTE_CODE_RETRY_ONCE &&
		request->batch->events[request->lo].attempts > 0)
		return TTE_OUTCOME_ISOLATE;
	return reply->outcome;
}

static void
record_outcome(TteRequest *request, int64 now)
{
	TteOutcome	outcome = outcome_of(request);
	int			n = request->hi - request->lo;

	switch (outcome)
	{
		case TTE_OUTCOME_DELIVERED:
			record_final(request, "delivered", NULL, false);
			break;
		case TTE_OUTCOME_RETRY:
			record_retry(request, now);
			break;
		case TTE_OUTCOME_SINGLY:
			if (n == 1)
			{
				record_retry(request, now);
				break;
			}
			for (int i = request->hi - 1; i >= request->lo; i--)
				tte_sender_wait(request->batch, i, i + 1);
			break;
		case TTE_OUTCOME_ISOLATE:
		case TTE_OUTCOME_SPLIT:
			if (n == 1)
			{
				request->batch->culprits++;
				record_final(request, "rejected", refusal(request), true);
			}
			else if (request->batch->extra < Max(ISOLATION_FLOOR, ISOLATION_PER_CULPRIT * request->batch->culprits))
				split_request(request);
			else
				record_retry(request, now);
			break;
		default:

			/*
			 * Nothing is consumed: all that is unrecorded is read again
			 * later.
			 */
			request->batch->sender->rewind = true;
			break;
	}
}

/*
 * The event could not be put into a body, so nothing was sent.  What was not
 * written by us never can be; anything else may have been the server's trouble.
 */
static void
record_failed(TteRequest *request, int64 now)
{
	TteSender  *sender = request->batch->sender;
	IdList		list = {request_ids(request), 1};

	if (request->unreadable)
		record_unsent(&list, "invalid", "unreadable", false, request->batch->from_retry, 0);
	else
		record_retry(request, now);
	tte_breaker_dropped(&sender->breaker);
}

/* Forgets all batches and goes back to the oldest of them. */
void
tte_sender_rewind(TteSender *sender)
{
	dlist_mutable_iter iter;
	TteWindow  *window = NULL;
	TtePosition start;

	if (!sender->rewind || sender->in_flight > 0)
		return;

	dlist_foreach_modify(iter, &sender->batches)
	{
		TteBatch   *batch = dlist_container(TteBatch, node, iter.cur);

		if (window == NULL && batch->window != NULL)
		{
			window = batch->window;
			window->refs++;
			start = batch->start;
		}
		if (!batch->held)
			drop_batch(batch);
	}
	slist_init(&sender->waiting);
	if (window != NULL)
	{
		open_window(sender, &window->prev, &window->cur, start);
		release_window(window);
		sender->skip_windows = 2;
	}
	sender->rewind = false;
	sender->look = true;
	sender->next_due = tte_queue_next_due(sender->config.id);
}

/*
 * What the breaker is told: a row of refused single events, none accepted
 * between, is trouble of the source.
 */
static TteOutcome
judge_source(TteSender *sender, const TteRequest *request, int64 now)
{
	TteReply	verdict = request->reply;

	if (verdict.outcome == TTE_OUTCOME_DELIVERED)
		sender->refused = 0;
	if (verdict.outcome == TTE_OUTCOME_ISOLATE && request->hi - request->lo == 1 &&
		++sender->refused >= REFUSALS_TO_STOP)
		verdict.outcome = TTE_OUTCOME_STOP_CONFIGURATION;
	(void) tte_breaker_result(&sender->breaker, &verdict, now, pg_prng_double(&pg_global_prng_state));
	return verdict.outcome;
}

static void
note_trouble(TteSender *sender, const TteRequest *request, TteOutcome outcome)
{
	const char *name = tte_outcome_name(outcome);
	size_t		size = sizeof(sender->trouble);

	if (request->reply.has_code)
		snprintf(sender->trouble, size, "%s: code %d", name, request->reply.code);
	else if (request->http_status != 0)
		snprintf(sender->trouble, size, "%s: http %d", name, request->http_status);
	else
		snprintf(sender->trouble, size, "%s: %s", name, request->reply.message);
}

/* One that has events held back stays open: they may have been received. */
static void
finish_request(const TteRequest *request)
{
	TteRequestEnd end = {
		request->id, request->http_status, request->reply.has_code, request->reply.code,
		request->reply.message, request->reply.request_id,
		request->failed ? "failed" : tte_outcome_name(request->reply.outcome),
		request->events, request->first, request->last, request->body_len
	};

	if (!request->holding)
		tte_queue_finish_request(&end);
}

static void
record_answer(TteRequest *request, int64 now)
{
	TteSender  *sender = request->batch->sender;
	bool		was_open = sender->breaker.state == TTE_BREAKER_OPEN;
	TteOutcome	outcome = judge_source(sender, request, now);

	/* an answer that comes when the source is stopped is not why it is */
	if (!was_open && sender->breaker.state == TTE_BREAKER_OPEN)
		note_trouble(sender, request, outcome);
	if (sender->breaker.state != TTE_BREAKER_CLOSED)
		sender->rewind = true;
	record_outcome(request, now);
}

void
tte_sender_record(TteRequest *request, int64 now)
{
	TteBatch   *batch = request->batch;
	TteSender  *sender = batch->sender;

	watch_decisions(sender);
	if (request->failed)
		record_failed(request, now);
	else
		record_answer(request, now);
	finish_request(request);
	if (request->failed && !request->unreadable && !request->holding)
		tte_queue_set_apart(sender->config.id, request->id);
	if (batch->alone)
		sender->alone = TTE_ALONE_NO;
	sender->in_flight--;
	sender->dirty = true;
	if (--batch->open == 0 && !sender->rewind)
	{
		if (batch->from_retry)
			sender->next_due = tte_queue_next_due(sender->config.id);
		drop_batch(batch);
	}
	tte_sender_rewind(sender);
}

bool
tte_sender_holds(TteSender *sender, int64 now)
{
	return !slist_is_empty(&sender->held) &&
		(sender->held_at <= now || sender->held_at > now + HELD_PAUSE);
}

/*
 * The sender goes back for what is decided now, as soon as nothing is in flight;
 * until then the batch keeps the place.  The rest is held on.
 */
static void
read_decided(TteRequest *request)
{
	TteBatch   *batch = request->batch;

	hold_busy(request, NULL, NULL, false);
	if (request->hi == request->lo)
		drop_batch(batch);
	else
	{
		batch->held = false;
		batch->sender->rewind = true;
	}
}

static void
record_answered(TteRequest *request, int64 now)
{
	if (request->held_status == NULL)
		record_retry(request, now);
	else
		record_final(request, request->held_status, request->held_reason, request->held_identity);
	finish_request(request);
	drop_batch(request->batch);
}

void
tte_sender_record_held(TteSender *sender, int64 now)
{
	slist_head	held = sender->held;

	slist_init(&sender->held);
	sender->nheld = 0;
	watch_decisions(sender);
	while (!slist_is_empty(&held))
	{
		TteRequest *request = slist_container(TteRequest, node, slist_pop_head_node(&held));

		if (request->undecided)
			read_decided(request);
		else
			record_answered(request, now);
	}
	sender->dirty = true;
	tte_sender_rewind(sender);
}

/* Why nothing is sent, as tiktok.source_state has it; NULL: it is. */
static const char *
sender_state(const TteSender *sender, const char **reason)
{
	const TteSourceConfig *config = &sender->config;

	*reason = "";
	if (config->token == NULL)
	{
		*reason = config->token_problem ? config->token_problem : "no access token is set";
		return "no_token";
	}
	if (config->copied)
	{
		*reason = "this database is a copy: set its token, or call tiktok.confirm_database()";
		return "copied";
	}
	if (sender->breaker.state == TTE_BREAKER_CLOSED)
		return NULL;
	*reason = sender->trouble;
	return "open";
}

/*
 * One line for each change.  What a restart finds as the table has it is none,
 * nor is what an operator decided before.
 */
static void
log_ability(TteSender *sender, const char *state, const char *reason)
{
	const TteSourceConfig *config = &sender->config;

	if (awaits_operator(config))
	{
		state = config->enabled ? "paused" : "disabled";
		reason = config->enabled ? "it is paused" : "it is disabled";
	}
	if (!sender->state_stored)
	{
		const char *known = awaits_operator(config) ? state : config->stored_state;

		strlcpy(sender->logged, known ? known : "", sizeof(sender->logged));
	}
	if (strcmp(sender->logged, state ? state : "") == 0)
		return;
	strlcpy(sender->logged, state ? state : "", sizeof(sender->logged));
	if (state != NULL)
		ereport(LOG, (errmsg("tiktok_events: nothing is sent to source \"%s\" for now: %s", config->name, reason)));
	else
		ereport(LOG, (errmsg("tiktok_events: source \"%s\" is sent to again", config->name)));
}

/* Written on change only; a probe that fails moves the time of the next one. */
static void
store_state(TteSender *sender, int64 now)
{
	const char *reason;
	const char *state = sender_state(sender, &reason);
	bool		open = state != NULL && strcmp(state, "open") == 0;
	int64		probe_at = open ? sender->breaker.probe_at : 0;

	log_ability(sender, state, reason);
	if (sender->state_stored && probe_at == sender->stored_probe_at &&
		strcmp(sender->stored_reason, state ? reason : "") == 0)
		return;
	tte_queue_store_state(sender->config.id, state, reason, open ? sender->breaker.since : now, probe_at);
	strlcpy(sender->stored_reason, state ? reason : "", sizeof(sender->stored_reason));
	sender->stored_probe_at = probe_at;
	sender->state_stored = true;
}

void
tte_sender_store(TteSender *sender, int64 now)
{
	TteWindow  *window = sender->window;
	TtePosition position = sender->position;
	dlist_iter	iter;

	store_state(sender, now);
	if (!sender->dirty || (sender->in_flight > 0 && now - sender->stored_at < STORE_INTERVAL))
		return;
	dlist_foreach(iter, &sender->batches)
	{
		TteBatch   *batch = dlist_container(TteBatch, node, iter.cur);

		if (batch->window != NULL)
		{
			window = batch->window;
			position = batch->start;
			break;
		}
	}
	tte_queue_store_cursor(sender->config.id, &window->prev, &window->cur, position);
	sender->stored_at = now;
	sender->dirty = false;
}
