/*-------------------------------------------------------------------------
 *
 * sender.c
 *	  One sender per source: what has been read, and what is in flight.
 *
 * The breaker (answer/breaker.c) says what may go next; batch.c reads it, body.c
 * puts it together, outcome.c records what became of it.  A sender reads its source's
 * queue window by window.  Requests are recorded in any order; the stored cursor stays
 * at the oldest one that is not.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "utils/memutils.h"

#include "deliver/handover.h"
#include "deliver/token.h"
#include "server/common.h"
#include "server/compat.h"
#include "server/faultpoint.h"
#include "server/settings.h"
#include "server/wakeup.h"

#define USEC	INT64CONST(1000000)

/* How often a source to which nothing goes is looked at for events that are too old. */
#define EXPIRE_INTERVAL	(3600 * USEC)

/* The cursor is stored at most this often while there is work. */
#define STORE_INTERVAL	USEC

TteSender *
tte_sender_create(int32 source_id)
{
	MemoryContext context = AllocSetContextCreate(TopMemoryContext, "tiktok_events sender", ALLOCSET_SMALL_SIZES);
	TteSender  *sender = MemoryContextAllocZero(context, sizeof(TteSender));

	sender->context = context;
	sender->config.id = source_id;
	sender->config_context = AllocSetContextCreate(context, "tiktok_events source", ALLOCSET_SMALL_SIZES);
	dlist_init(&sender->pins);
	dlist_init(&sender->parts);
	dlist_init(&sender->failed);
	dlist_init(&sender->left_out);
	slist_init(&sender->held);
	sender->look = true;
	sender->token = &sender->own_token;
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

/* A source to which nothing will go, however long it takes. */
static bool
is_closed(const TteSourceConfig *config)
{
	return !config->enabled || config->paused || config->token == NULL || config->copied;
}

static bool
may_send(const TteSender *sender)
{
	return !is_closed(&sender->config) && sender->nheld < TTE_HELD_MAX &&
		(sender->pace.halvings == 0 ||
		 sender->breaker.in_flight < tte_pace_requests(&sender->pace, tte_max_in_flight));
}

/* May events that are too old be looked for?  Nothing of the source is on its way. */
static bool
may_expire(const TteSender *sender)
{
	return is_closed(&sender->config) && sender->breaker.in_flight == 0 && sender->nheld < TTE_HELD_MAX;
}

/* A new token, or an operator's word, is a reason to try again at once. */
void
tte_sender_configure(TteSender *sender, const TteSourceConfig *config)
{
	char	   *had = sender->config.token;
	bool		new_token = config->token != NULL && (had == NULL || strcmp(had, config->token) != 0);
	char	   *token = keep_token(config->token);
	MemoryContext old;

	if (new_token || config->resumed_at > sender->breaker.since)
	{
		memset(&sender->own_token, 0, sizeof(sender->own_token));
		tte_breaker_reset(&sender->breaker, tte_now());
		sender->wake_retries = sender->loaded;
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
	sender->expire_at = 0;
}

void
tte_sender_requeue(TteSender *sender)
{
	if (!sender->loaded)
		return;
	sender->skip_windows = 2;
	sender->next_due = 1;
	sender->held_at = 0;
	sender->load_at = 0;
}

void
tte_sender_clock_set_back(TteSender *sender)
{
	int64		now = tte_now();

	tte_token_clock_set_back(&sender->own_token, now);
	tte_breaker_clock_set_back(&sender->breaker, now);
	sender->pace.changed_at = Min(sender->pace.changed_at, now);
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

/* The kinds of which events wait are in doubt still. */
static void
load_kinds(TteSender *sender, int64 now)
{
	const char *names[TTE_KINDS];
	int			n = tte_queue_kinds(sender->config.id, names, TTE_KINDS);
	TteKind    *kind;
	int			at;

	for (int i = 0; i < n; i++)
	{
		uint64		hash = DatumGetUInt64(hash_any_extended((const unsigned char *) names[i], strlen(names[i]), 0));

		tte_breaker_kind_restore(&sender->breaker, hash, now);
		kind = tte_breaker_kind(&sender->breaker, hash);
		if (kind == NULL)
			break;
		at = kind - sender->breaker.kinds;
		if (sender->kinds[at] == NULL)
			sender->kinds[at] = MemoryContextStrdup(sender->context, names[i]);
		sender->kind_rows[at] = true;
	}
}

void
tte_sender_load(TteSender *sender)
{
	TteSnapshot prev;
	TteSnapshot cur;
	TtePosition position;
	int			interrupted;

	/* what was on its way is recovered when nobody has moved it */
	tte_hold_watch(sender);
	if (sender->operator_open && tte_queue_interrupted(sender->config.id))
	{
		sender->load_at = tte_now() + TTE_HELD_PAUSE;
		return;
	}
	interrupted = tte_queue_recover(sender->config.id);
	if (interrupted > 0)
		ereport(LOG,
				(errmsg("tiktok_events: source %d had %d interrupted requests; their events are sent again",
						sender->config.id, interrupted)));
	tte_queue_load_cursor(sender->config.id, &prev, &cur, &position);
	tte_window_open(sender, &prev, &cur, position);
	tte_handover_load(sender, tte_now());
	load_kinds(sender, tte_now());
	sender->reset_leases = sender->nparts == 0;
	sender->skip_windows = 2;
	sender->next_due = 1;		/* also for what a clock set back has left for
								 * years */
	sender->loaded = true;
	TTE_FAULT_POINT("loaded", NULL);
}

/*-------------------------------------------------------------------------
 * What goes next
 *-------------------------------------------------------------------------
 */

static bool
is_stopped(const TteSender *sender)
{
	return sender->breaker.state == TTE_STATE_STOPPED || sender->breaker.state == TTE_STATE_PROBING;
}

/* What there is to send.  A probe may be any event, whenever it is due. */
static TteOffer
offer_of(const TteSender *sender, int64 now)
{
	TteOffer	offer = {
		.part = sender->nparts > 0,
		.queue = !sender->loaded || sender->look,
		.retry = sender->next_due != 0 && (sender->next_due <= now || is_stopped(sender)) && !sender->interrupted_out
	};

	for (int i = 0; i < sender->breaker.nkinds; i++)
		offer.kind |= sender->kind_rows[i];
	/* nothing else may change the order before an event that goes alone */
	if (sender->alone == TTE_ALONE_WAITS)
		offer.part = offer.queue = offer.kind = false;
	return offer;
}

/* A pause of the token is over, which the tables still tell. */
static bool
tells_old_pause(const TteSender *sender, int64 now)
{
	return sender->stored_probe_at != 0 && !is_stopped(sender) && sender->stored_probe_at <= now;
}

static bool
has_chores(TteSender *sender, int64 now)
{
	return tells_old_pause(sender, now) || sender->wake_retries || sender->reset_leases || !dlist_is_empty(&sender->left_out);
}

bool
tte_sender_wants(TteSender *sender, int64 now)
{
	TteOffer	offer;
	int			limit;

	if (!may_send(sender))
		return false;
	if (!sender->loaded)
		return sender->load_at <= now;
	if (has_chores(sender, now))
		return true;
	offer = offer_of(sender, now);
	return tte_breaker_move(&sender->breaker, &offer, now, sender->config.batch_size, &limit) != TTE_MOVE_NONE &&
		tte_token_due(sender->token, sender->config.requests_per_second, now) == 0;
}

static int64
sending_due(TteSender *sender, int64 now)
{
	TteOffer	offer;
	int64		due;

	if (may_expire(sender))
		return Max(sender->expire_at, now);
	if (!may_send(sender))
		return PG_INT64_MAX;
	if (!sender->loaded)
		return Max(sender->load_at, now);
	if (has_chores(sender, now))
		return now;
	offer = offer_of(sender, now);
	due = tte_breaker_due(&sender->breaker, &offer, now);
	if (due != PG_INT64_MAX)
		due = Max(due, tte_token_due(sender->token, sender->config.requests_per_second, now));
	if (sender->next_due > now && !is_stopped(sender))
		due = Min(due, sender->next_due);
	if (sender->stored_probe_at > now && !is_stopped(sender))
		due = Min(due, sender->stored_probe_at);
	return due;
}

int64
tte_sender_due(TteSender *sender, int64 now)
{
	int64		due = sending_due(sender, now);

	return slist_is_empty(&sender->held) ? due : Min(Max(sender->held_at, now), due);
}

static void
do_chores(TteSender *sender, int64 now)
{
	tte_outcome_record_left_out(sender);
	if (sender->reset_leases && sender->breaker.in_flight == 0 && sender->nparts == 0)
	{
		sender->reset_leases = !tte_queue_reset_leases(sender->config.id);
		sender->next_due = 1;
	}
	if (sender->wake_retries)
	{
		tte_queue_wake_retries(sender->config.id, now);
		sender->next_due = 1;
	}
	sender->wake_retries = false;
}

TteSendLimits
tte_sender_limits(const TteSender *sender, const TteSendLimits *limits)
{
	TteSendLimits own = *limits;

	own.max_body = tte_pace_body(&sender->pace, limits->max_body);
	return own;
}

/* As many rows as a body will most likely hold, judging by those before. */
static int
read_limit(const TteSender *sender, int allowed, const TteSendLimits *limits)
{
	int			likely = limits->max_body - limits->max_body / 32;

	if (limits->hangs)
		return 1;
	if (sender->event_bytes == 0)
		return allowed;
	return Max(Min(allowed, likely / sender->event_bytes), 1);
}

/*
 * A batch that failed, with nothing else to compare it with, is compared with
 * itself: its halves have no event in common.
 */
static bool
goes_in_halves(const TteSender *sender, const TteRequest *request)
{
	return sender->breaker.state == TTE_STATE_DOUBTFUL && request->try.move == TTE_MOVE_RETRY &&
		request->nevents > 1 && request->try.attempts > 0;
}

static int64 *
ids_of(const TteRequest *request)
{
	int64	   *ids = palloc(request->nevents * sizeof(int64));

	for (int i = 0; i < request->nevents; i++)
		ids[i] = request->events[i].id;
	return ids;
}

static void
start_request(TteRequest *request, int64 now)
{
	TteSender  *sender = request->sender;
	TteRequestStart start = {
		sender->config.id, now, request->nevents, request->try.span.first, request->try.span.last,
		request->nevents * sender->event_bytes, request->test_code != NULL
	};

	request->id = tte_queue_start_request(&start);
	if (request->from_retry)
		tte_queue_claim_retries(request->id, ids_of(request), request->nevents);
	if (request->alone)
		sender->alone = TTE_ALONE_OUT;
	if (request->interrupted)
		sender->interrupted_out = true;
	tte_token_take(sender->token, sender->config.requests_per_second, now);
	tte_breaker_sent(&sender->breaker, &request->try, now);
}

static void
look_for_due(TteSender *sender, const TteRequest *request, int64 now)
{
	sender->next_due = tte_queue_next_due(sender->config.id);
	/* all that is due has been moved by an open transaction */
	if (request == NULL && sender->next_due != 0 && sender->next_due <= now)
		sender->next_due = now + TTE_HELD_PAUSE;
}

TteRequest *
tte_sender_next(TteSender *sender, const TteSnapshot *snapshot, const TteSendLimits *limits, int64 now)
{
	TteSendLimits own = tte_sender_limits(sender, limits);
	TteOffer	offer;
	TteMove		move;
	TteRequest *request;
	int			limit;

	if (!sender->loaded)
		return NULL;
	tte_hold_watch(sender);
	do_chores(sender, now);
	offer = offer_of(sender, now);
	move = tte_breaker_move(&sender->breaker, &offer, now, sender->config.batch_size, &limit);
	/* it may have been called for its chores alone */
	if (move == TTE_MOVE_NONE || tte_token_due(sender->token, sender->config.requests_per_second, now) != 0)
		return NULL;
	sender->alone = TTE_ALONE_NO;
	request = tte_batch_read(sender, move, read_limit(sender, limit, &own), snapshot, &own, now);
	if (request != NULL && request->alone && limits->others)
	{
		request->alone = request->interrupted = false;
		tte_batch_free(request);
		sender->alone = TTE_ALONE_WAITS;
		return NULL;
	}
	if (request != NULL && goes_in_halves(sender, request))
	{
		int64	   *ids = ids_of(request);
		int			n = tte_queue_lease(ids, request->nevents);

		tte_part_split(sender, ids, n, false, -1);
		tte_batch_free(request);
		request = NULL;
	}
	else if (request != NULL)
		start_request(request, now);
	if (move == TTE_MOVE_RETRY || move == TTE_MOVE_PROBE)
		look_for_due(sender, request, now);
	if (move == TTE_MOVE_PROBE && request == NULL)
		sender->breaker.probe_at = now + USEC;
	return request;
}

bool
tte_sender_expires(const TteSender *sender, int64 now)
{
	return may_expire(sender) && sender->loaded && (sender->expire_at <= now || sender->expire_at > now + EXPIRE_INTERVAL);
}

void
tte_sender_expire(TteSender *sender, const TteSnapshot *snapshot, const TteSendLimits *limits, int64 now)
{
	tte_hold_watch(sender);
	do_chores(sender, now);
	tte_outcome_drop_parts(sender, now);
	sender->expire_at = tte_batch_expire(sender, snapshot, limits, now) > 0 ? now : now + EXPIRE_INTERVAL;
	sender->look = true;
	sender->next_due = tte_queue_next_due(sender->config.id);
}

/*-------------------------------------------------------------------------
 * What the tables and the log say of it
 *-------------------------------------------------------------------------
 */

/* Why nothing is sent, as tiktok.source_state has it; NULL: it is. */
static const char *
sender_state(const TteSender *sender, int64 now, const char **reason, int64 *probe_at)
{
	const TteSourceConfig *config = &sender->config;

	*reason = "";
	*probe_at = 0;
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
	if (is_stopped(sender))
	{
		*reason = sender->breaker.reason;
		*probe_at = sender->breaker.probe_at;
		return "open";
	}
	if (tte_token_waits(sender->token, now))
	{
		*reason = sender->token->reason;
		*probe_at = sender->token->paused_until;
		return "open";
	}
	return NULL;
}

/*
 * One line for each change.  What a restart finds as the table has it is none,
 * nor is what an operator decided before.
 */
static void
log_ability(TteSender *sender, const char *state, const char *reason)
{
	const TteSourceConfig *config = &sender->config;
	bool		waits = !config->enabled || config->paused;

	if (waits)
	{
		state = config->enabled ? "paused" : "disabled";
		reason = config->enabled ? "it is paused" : "it is disabled";
	}
	if (!sender->state_stored)
	{
		const char *known = waits ? state : config->stored_state;

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
	int64		probe_at;
	const char *state = sender_state(sender, now, &reason, &probe_at);

	log_ability(sender, state, reason);
	if (sender->state_stored && probe_at == sender->stored_probe_at &&
		strcmp(sender->stored_reason, state ? reason : "") == 0)
		return;
	tte_queue_store_state(sender->config.id, state, reason, is_stopped(sender) ? sender->breaker.since : now, probe_at);
	strlcpy(sender->stored_reason, state ? reason : "", sizeof(sender->stored_reason));
	sender->stored_probe_at = probe_at;
	sender->state_stored = true;
}

void
tte_sender_store(TteSender *sender, int64 now)
{
	TteWindow  *window = sender->window;
	TtePosition position = sender->position;

	store_state(sender, now);
	if (!sender->dirty || (sender->breaker.in_flight > 0 && now - sender->stored_at < STORE_INTERVAL))
		return;
	/* what was left out of a body is written before its request is recorded */
	if (!dlist_is_empty(&sender->pins))
	{
		TtePin	   *oldest = dlist_head_element(TtePin, node, &sender->pins);

		window = oldest->window;
		position = oldest->start;
	}
	tte_queue_store_cursor(sender->config.id, &window->prev, &window->cur, position);
	sender->stored_at = now;
	sender->dirty = false;
}
