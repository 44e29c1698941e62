/*-------------------------------------------------------------------------
 *
 * breaker.c
 *	  The state of a source: what it may send now, and what an answer means.
 *
 * What happens to one event must not cost another.  A request that fails
 * without a code may have failed for one of its events or for all of the
 * source.  The results of the last ten requests decide.  If the others pass,
 * the events are suspect: a batch is split until one event is left, which
 * follows the retry schedule alone.  If two requests without a common event
 * fail and nothing passes between them, the source stops.  Single events then
 * probe it, each time another one.
 *
 * If requests fail at random, some pass and some fail.  Then a batch is sent
 * again as a whole, because splitting would multiply requests.
 *
 * A refusal of TikTok is about an event, unless TikTok refuses everything:
 * eight refusals in a row, with nothing accepted since the first, stop the
 * source.  After three refused events of one name in a row, events of that
 * name are sent singly, so that they no longer spoil batches with others.
 *
 *-------------------------------------------------------------------------
 */
#include "answer/breaker.h"

#define SECOND				INT64CONST(1000000)
#define MINUTE				(60 * SECOND)
#define HOUR				(60 * MINUTE)

#define RAMP_FIRST			10
#define RAMP_SECOND			100
#define MOST_PARTS			2	/* under way */
#define REFUSALS_TO_STOP	8
#define REFUSALS_TO_DOUBT	3	/* of one kind */
#define ACCEPTED_LATELY		(15 * MINUTE)
#define KIND_INTERVAL		(SECOND / 10)
#define KIND_MEMORY			HOUR
#define HALVED_TO_CAP		3
#define CAP_TIME			HOUR
#define SOURCES_TO_HANG		3
#define LONGEST_HANG		MINUTE
#define HURRY_INTERVAL		(2 * SECOND)

/* A time further ahead was computed before the clock was set back. */
#define LONGEST_PAUSE		(2 * HOUR)

/*-------------------------------------------------------------------------
 * What was sent lately
 *-------------------------------------------------------------------------
 */

static bool
is_before(TtePosition a, TtePosition b)
{
	return a.xid < b.xid || (a.xid == b.xid && a.id < b.id);
}

/* May the two have an event in common? */
static bool
overlap(const TteSpan *a, const TteSpan *b)
{
	return !is_before(a->last, b->first) && !is_before(b->last, a->first);
}

static void
forget_recent(TteBreaker *breaker, int i)
{
	breaker->nrecent--;
	memmove(&breaker->recent[i], &breaker->recent[i + 1], (breaker->nrecent - i) * sizeof(TteRecent));
}

static void
remember_request(TteBreaker *breaker, const TteSpan *span, bool passed, bool repeated, int64 now)
{
	for (int i = breaker->nrecent - 1; i >= 0 && !passed; i--)
	{
		if (!breaker->recent[i].passed && overlap(&breaker->recent[i].span, span))
		{
			forget_recent(breaker, i);
			repeated = true;
		}
	}
	if (breaker->nrecent == TTE_RECENT)
		forget_recent(breaker, 0);
	breaker->recent[breaker->nrecent++] = (TteRecent)
	{
		*span, now, passed, repeated
	};
}

/*
 * Did a request without a common event fail, with nothing passed since?  Two
 * that had failed before do not count, because each may be suspect itself.
 */
static bool
others_failed(const TteBreaker *breaker, const TteSpan *span, bool repeated)
{
	for (int i = breaker->nrecent - 1; i >= 0 && !breaker->recent[i].passed; i--)
	{
		if (!overlap(&breaker->recent[i].span, span) && !(repeated && breaker->recent[i].repeated))
			return true;
	}
	return false;
}

/*
 * Do at least eight of ten others pass?  Repetitions of failed requests are
 * suspect themselves and do not count.
 */
static bool
most_others_pass(const TteBreaker *breaker, const TteSpan *span)
{
	int			all = 0;
	int			passed = 0;

	for (int i = 0; i < breaker->nrecent; i++)
	{
		const TteRecent *recent = &breaker->recent[i];

		if (recent->repeated || overlap(&recent->span, span))
			continue;
		all++;
		passed += recent->passed;
	}
	return passed * 10 >= all * 8;
}

static TteOthers
others_of(const TteBreaker *breaker, const TteSpan *span, int64 since, bool repeated)
{
	for (int i = breaker->nrecent - 1; i >= 0; i--)
	{
		const TteRecent *recent = &breaker->recent[i];

		if (recent->passed && recent->at >= since && !overlap(&recent->span, span))
			return most_others_pass(breaker, span) ? TTE_OTHERS_PASSED : TTE_OTHERS_NONE;
	}
	return others_failed(breaker, span, repeated) ? TTE_OTHERS_FAILED : TTE_OTHERS_NONE;
}

bool
tte_breaker_suspects(const TteBreaker *breaker, const TteSpan *span, int64 since)
{
	return others_of(breaker, span, since, true) == TTE_OTHERS_PASSED;
}

/*-------------------------------------------------------------------------
 * Kinds
 *-------------------------------------------------------------------------
 */

TteKind *
tte_breaker_kind(TteBreaker *breaker, uint64 name)
{
	for (int i = 0; i < breaker->nkinds; i++)
	{
		if (breaker->kinds[i].name == name)
			return &breaker->kinds[i];
	}
	return NULL;
}

/* A free entry: unused, or of a kind that was not refused for an hour.  NULL if there is none. */
static TteKind *
new_kind(TteBreaker *breaker, uint64 name, int64 now)
{
	TteKind    *kind = NULL;

	if (breaker->nkinds < TTE_KINDS)
		kind = &breaker->kinds[breaker->nkinds++];
	for (int i = 0; i < breaker->nkinds && kind == NULL; i++)
	{
		if (!breaker->kinds[i].in_doubt && now - breaker->kinds[i].refused_at > KIND_MEMORY)
			kind = &breaker->kinds[i];
	}
	if (kind != NULL)
		*kind = (TteKind)
	{
		.name = name, .began_at = now, .refused_at = now
	};
	return kind;
}

/* Counts a refusal; true if the kind is in doubt from now on. */
static bool
refuse_kind(TteBreaker *breaker, uint64 name, int64 now)
{
	TteKind    *kind = tte_breaker_kind(breaker, name);

	if (kind == NULL)
		kind = new_kind(breaker, name, now);
	if (kind == NULL)
		return false;
	if (now - kind->refused_at > KIND_MEMORY)
		kind->began_at = now;
	kind->refused_at = now;
	if (++kind->refused < REFUSALS_TO_DOUBT || kind->in_doubt)
		return false;
	kind->in_doubt = true;
	kind->newest = true;
	return true;
}

void
tte_breaker_kind_passed(TteBreaker *breaker, uint64 name)
{
	TteKind    *kind = tte_breaker_kind(breaker, name);

	if (kind == NULL)
		return;
	kind->in_doubt = false;
	kind->refused = 0;
}

void
tte_breaker_kind_restore(TteBreaker *breaker, uint64 name, int64 now)
{
	TteKind    *kind = tte_breaker_kind(breaker, name);

	if (kind == NULL)
		kind = new_kind(breaker, name, now);
	if (kind != NULL)
		kind->in_doubt = true;
}

/* Has the source accepted anything since it began to refuse that kind? */
static bool
accepts_others(TteBreaker *breaker, uint64 name, int64 now)
{
	const TteKind *kind = tte_breaker_kind(breaker, name);

	return breaker->passed_at != 0 && kind != NULL && breaker->passed_at >= kind->began_at &&
		now - breaker->passed_at <= ACCEPTED_LATELY;
}

/*-------------------------------------------------------------------------
 * What may go
 *-------------------------------------------------------------------------
 */

static bool
offers_any(const TteOffer *offer)
{
	return offer->part || offer->retry || offer->kind || offer->queue;
}

/*
 * The second part of a batch that timed out waits for the first, so that the
 * source can send other events meanwhile.
 */
static bool
part_may_go(const TteBreaker *breaker)
{
	return breaker->parts < (breaker->hangs ? 1 : MOST_PARTS);
}

static bool
has_come(int64 at, int64 now)
{
	return at <= now || at > now + LONGEST_PAUSE;
}

static bool
may_go(const TteBreaker *breaker, TteMove move, const TteOffer *offer, int64 now)
{
	switch (move)
	{
		case TTE_MOVE_PART:
			return offer->part && part_may_go(breaker);
		case TTE_MOVE_RETRY:
			return offer->retry;
		case TTE_MOVE_KIND:
			return offer->kind && has_come(breaker->kind_at, now);
		case TTE_MOVE_QUEUE:
			return offer->queue;
		default:
			return false;
	}
}

static int
most_events(const TteBreaker *breaker, TteMove move, int64 now, int batch_size)
{
	int			limit = batch_size;

	if (move == TTE_MOVE_KIND || move == TTE_MOVE_PROBE)
		return 1;
	/* a token that seems refused is tested with one event */
	if (breaker->state == TTE_STATE_DOUBTFUL && breaker->outcome == TTE_OUTCOME_BLOCKED)
		return 1;
	if (breaker->ramp > 0)
		limit = Min(limit, breaker->ramp);
	if (breaker->cap > 0 && breaker->cap_until > now)
		limit = Min(limit, breaker->cap);
	return limit;
}

TteMove
tte_breaker_move(const TteBreaker *breaker, const TteOffer *offer, int64 now, int batch_size, int *limit)
{
	static const TteMove moves[] = {TTE_MOVE_PART, TTE_MOVE_RETRY, TTE_MOVE_KIND, TTE_MOVE_QUEUE};
	int			after = 0;

	*limit = 1;
	if (!offers_any(offer) || breaker->state == TTE_STATE_PROBING || breaker->slow > 1)
		return TTE_MOVE_NONE;
	if (breaker->state == TTE_STATE_STOPPED)
		return has_come(breaker->probe_at, now) ? TTE_MOVE_PROBE : TTE_MOVE_NONE;
	while (after < lengthof(moves) && moves[after] != breaker->last_move)
		after++;
	for (int i = 1; i <= lengthof(moves); i++)
	{
		TteMove		move = moves[(after + i) % lengthof(moves)];

		if (may_go(breaker, move, offer, now))
		{
			*limit = most_events(breaker, move, now, batch_size);
			return move;
		}
	}
	return TTE_MOVE_NONE;
}

int64
tte_breaker_due(const TteBreaker *breaker, const TteOffer *offer, int64 now)
{
	if (!offers_any(offer) || breaker->state == TTE_STATE_PROBING || breaker->slow > 1)
		return PG_INT64_MAX;
	if (breaker->state == TTE_STATE_STOPPED)
		return breaker->probe_at;
	if (offer->retry || offer->queue || (offer->part && part_may_go(breaker)))
		return now;
	return offer->kind ? breaker->kind_at : PG_INT64_MAX;
}

void
tte_breaker_sent(TteBreaker *breaker, TteTry *try, int64 now)
{
	try->stops = breaker->stops;
	try->started_at = now;
	try->slow = false;
	breaker->in_flight++;
	switch (try->move)
	{
		case TTE_MOVE_PROBE:
			breaker->state = TTE_STATE_PROBING;
			breaker->probed_id = try->span.first.id;
			return;
		case TTE_MOVE_PART:
			breaker->parts++;
			break;
		case TTE_MOVE_KIND:
			breaker->kind_at = now + KIND_INTERVAL;
			break;
		default:
			break;
	}
	breaker->last_move = try->move;
}

void
tte_breaker_slow(TteBreaker *breaker, TteTry *try)
{
	if (!try->slow)
		breaker->slow++;
	try->slow = true;
}

static void
count_ended(TteBreaker *breaker, const TteTry *try)
{
	breaker->in_flight--;
	if (try->slow)
		breaker->slow--;
	if (try->move == TTE_MOVE_PART)
		breaker->parts--;
}

void
tte_breaker_dropped(TteBreaker *breaker, const TteTry *try)
{
	count_ended(breaker, try);
	if (try->move == TTE_MOVE_PROBE && breaker->state == TTE_STATE_PROBING)
		breaker->state = TTE_STATE_STOPPED;
}

/*-------------------------------------------------------------------------
 * Answers
 *-------------------------------------------------------------------------
 */

static void
stop(TteBreaker *breaker, const TteTry *try, const TteReply *reply, const char *str, int64 now, double dice)
{
	breaker->state = TTE_STATE_STOPPED;
	breaker->since = now;
	breaker->stops++;
	breaker->outcome = reply->outcome;
	breaker->suspect_kind = try->kind;

	/*
	 * an endpoint that comes up for a moment only does not begin the back-off
	 * anew
	 */
	breaker->failures = breaker->ramp == 0 ? 0 : breaker->failures + 1;
	breaker->ramp = 0;
	breaker->probe_at = now + tte_probe_delay(reply, breaker->failures, dice);
	strlcpy(breaker->reason, str, sizeof(breaker->reason));
}

static void
go_on(TteBreaker *breaker, int64 now)
{
	bool		refused = breaker->outcome == TTE_OUTCOME_ISOLATE;

	breaker->state = TTE_STATE_SENDING;
	breaker->since = now;
	breaker->reason[0] = '\0';
	breaker->ramp = refused ? 0 : RAMP_FIRST;
}

/*
 * A probe that fails like the source did changes nothing.  If it fails in
 * another way, the former trouble is over.
 */
static void
probe_failed(TteBreaker *breaker, const TteTry *try, const TteReply *reply, const char *str, int64 now, double dice)
{
	bool		by_code = reply->outcome == TTE_OUTCOME_STOP_CREDENTIAL || reply->outcome == TTE_OUTCOME_STOP_CONFIGURATION;

	if (by_code && breaker->outcome != reply->outcome)
	{
		breaker->ramp = 0;
		stop(breaker, try, reply, str, now, dice);
	}
	breaker->state = TTE_STATE_STOPPED;
	breaker->failures++;
	breaker->probe_at = now + tte_probe_delay(reply, breaker->failures, dice);
}

/* Did the request fail, rather than bring an answer about its events? */
static bool
is_failure(const TteReply *reply, TteVerdicts verdict)
{
	return verdict.source == TTE_SOURCE_DOUBTFUL || verdict.source == TTE_SOURCE_STOPS ||
		(verdict.source == TTE_SOURCE_GOES_ON &&
		 (reply->outcome == TTE_OUTCOME_RETRY || reply->outcome == TTE_OUTCOME_BLOCKED));
}

static void
note_passed(TteBreaker *breaker, const TteTry *try, int64 now)
{
	breaker->passed_at = now;
	breaker->refused = 0;
	if (breaker->ramp == RAMP_FIRST)
		breaker->ramp = RAMP_SECOND;
	else if (breaker->ramp > 0)
		breaker->ramp = breaker->failures = 0;
	if (try->events >= breaker->halved_events)
		breaker->halved = 0;
	if (try->events == 1)
		tte_breaker_kind_passed(breaker, try->kind);
}

/* Eight refusals in a row, with nothing accepted since the first, mean the source, not the events. */
static void
note_refused(TteBreaker *breaker, const TteTry *try, const TteReply *reply, const char *str,
			 int64 now, double dice, TteJudgement *judgement)
{
	judgement->doubted = refuse_kind(breaker, try->kind, now);
	if (accepts_others(breaker, try->kind, now))
		return;
	if (++breaker->refused < REFUSALS_TO_STOP)
		return;
	stop(breaker, try, reply, str, now, dice);
	breaker->outcome = TTE_OUTCOME_ISOLATE;
	judgement->stopped = true;
}

/*
 * The request was sent before the source stopped: it says nothing about the
 * time after, unless it passed.
 */
static void
answer_is_stale(TteBreaker *breaker, TteJudgement *judgement, int64 now)
{
	if (judgement->verdict.source == TTE_SOURCE_PASSES && breaker->state == TTE_STATE_STOPPED)
		breaker->probe_at = Min(breaker->probe_at, now);
	if (judgement->verdict.source == TTE_SOURCE_REFUSES && breaker->outcome == TTE_OUTCOME_ISOLATE)
		judgement->verdict.events = TTE_EVENTS_WAIT;
}

static void
answer_of_probe(TteBreaker *breaker, const TteTry *try, const TteReply *reply, const char *str,
				int64 now, double dice, TteJudgement *judgement)
{
	TteVerdicts *verdict = &judgement->verdict;

	switch (verdict->source)
	{
		case TTE_SOURCE_REFUSES:
			/* a wrong event_source_id must not reject the whole queue */
			if (breaker->outcome == TTE_OUTCOME_ISOLATE)
			{
				verdict->events = TTE_EVENTS_WAIT;
				probe_failed(breaker, try, reply, str, now, dice);
				return;
			}
			break;
		case TTE_SOURCE_DOUBTFUL:
		case TTE_SOURCE_STOPS:
			probe_failed(breaker, try, reply, str, now, dice);
			return;
		case TTE_SOURCE_THROTTLED:
			breaker->state = TTE_STATE_STOPPED;
			breaker->probe_at = now;
			return;
		case TTE_SOURCE_PASSES:
		case TTE_SOURCE_GOES_ON:
			break;
	}
	go_on(breaker, now);
	judgement->opened = true;
}

static void
answer_while_sending(TteBreaker *breaker, const TteTry *try, const TteReply *reply, const char *str,
					 int64 now, double dice, TteJudgement *judgement)
{
	switch (judgement->verdict.source)
	{
		case TTE_SOURCE_STOPS:
			stop(breaker, try, reply, str, now, dice);
			judgement->stopped = true;
			break;
		case TTE_SOURCE_DOUBTFUL:
			breaker->state = TTE_STATE_DOUBTFUL;
			breaker->outcome = reply->outcome;
			break;
		case TTE_SOURCE_REFUSES:
			breaker->state = TTE_STATE_SENDING;
			note_refused(breaker, try, reply, str, now, dice, judgement);
			break;
		case TTE_SOURCE_PASSES:
		case TTE_SOURCE_GOES_ON:
			breaker->state = TTE_STATE_SENDING;
			break;
		case TTE_SOURCE_THROTTLED:

			/*
			 * try another event first, to see whether the event or the source
			 * fails
			 */
			breaker->last_move = TTE_MOVE_RETRY;
			break;
	}
}

TteJudgement
tte_breaker_answer(TteBreaker *breaker, const TteTry *try, const TteReply *reply,
				   const char *str, int64 now, double dice)
{
	TteJudgement judgement = {0};
	bool		stopped = breaker->state == TTE_STATE_STOPPED || breaker->state == TTE_STATE_PROBING;
	bool		probe = try->move == TTE_MOVE_PROBE && breaker->state == TTE_STATE_PROBING;
	bool		repeated = try->since != 0;

	judgement.verdict = tte_verdict(reply, try->events == 1, try->attempts,
									others_of(breaker, &try->span, repeated ? try->since : try->started_at, repeated));
	count_ended(breaker, try);
	if (judgement.verdict.source == TTE_SOURCE_PASSES)
		note_passed(breaker, try, now);
	if (judgement.verdict.source != TTE_SOURCE_THROTTLED)
		remember_request(breaker, &try->span, !is_failure(reply, judgement.verdict), repeated, now);
	if (is_failure(reply, judgement.verdict))
		breaker->hangs = now - try->started_at >= TTE_SLOW;
	if (probe)
		answer_of_probe(breaker, try, reply, str, now, dice, &judgement);
	else if (stopped || try->stops != breaker->stops)
		answer_is_stale(breaker, &judgement, now);
	else
		answer_while_sending(breaker, try, reply, str, now, dice, &judgement);
	return judgement;
}

/*
 * After three batches in a row which pass only in halves, with no batch of
 * that size passed between, the size is capped.
 */
void
tte_breaker_halves_passed(TteBreaker *breaker, int events, int64 now)
{
	breaker->halved_events = events;
	if (++breaker->halved < HALVED_TO_CAP)
		return;
	breaker->halved = 0;
	breaker->cap = Max(events / 2, 1);
	breaker->cap_until = now + CAP_TIME;
}

/* Only where TikTok has not asked to wait, and not more often than a source is probed at first. */
void
tte_breaker_hurry(TteBreaker *breaker, int64 now)
{
	int64		last = breaker->nrecent > 0 ? breaker->recent[breaker->nrecent - 1].at : 0;

	if (breaker->state == TTE_STATE_STOPPED && breaker->outcome == TTE_OUTCOME_STOP_ENDPOINT)
		breaker->probe_at = Min(breaker->probe_at, Max(now, Min(last, now) + HURRY_INTERVAL));
}

void
tte_breaker_reset(TteBreaker *breaker, int64 now)
{
	if (breaker->state == TTE_STATE_STOPPED || breaker->state == TTE_STATE_PROBING)
	{
		go_on(breaker, now);
		breaker->stops++;		/* requests under way were sent before */
	}
	breaker->failures = 0;
	breaker->refused = 0;
	breaker->nrecent = 0;
}

bool
tte_breaker_is_plain(const TteBreaker *breaker, int64 now)
{
	bool		failed = breaker->nrecent > 0 && !breaker->recent[breaker->nrecent - 1].passed;
	bool		capped = breaker->cap > 0 && breaker->cap_until > now;

	for (int i = 0; i < breaker->nkinds; i++)
	{
		const TteKind *kind = &breaker->kinds[i];

		if (kind->in_doubt || (kind->refused > 0 && now - kind->refused_at <= KIND_MEMORY))
			return false;
	}
	return breaker->state == TTE_STATE_SENDING && !failed && !capped &&
		breaker->refused == 0 && breaker->halved == 0 && breaker->ramp == 0;
}

/* Takes nothing for granted: it may have been stored. */
void
tte_breaker_copy(TteBreaker *to, const TteBreaker *from)
{
	*to = *from;
	if (to->state != TTE_STATE_DOUBTFUL && to->state != TTE_STATE_STOPPED)
		to->state = TTE_STATE_SENDING;
	to->reason[sizeof(to->reason) - 1] = '\0';
	to->nrecent = Max(Min(to->nrecent, TTE_RECENT), 0);
	to->in_flight = to->slow = to->parts = 0;
	to->nkinds = Max(Min(to->nkinds, TTE_KINDS), 0);
}

void
tte_breaker_clock_set_back(TteBreaker *breaker, int64 now)
{
	breaker->probe_at = Min(breaker->probe_at, now);
	breaker->kind_at = 0;
	breaker->cap_until = Min(breaker->cap_until, now + CAP_TIME);
}

/*-------------------------------------------------------------------------
 * What all sources of a worker share
 *-------------------------------------------------------------------------
 */

/* Do three sources wait, without an answer for any of them? */
bool
tte_endpoint_hangs(const TteEndpoint *endpoint, int64 now)
{
	return endpoint->slow_sources >= SOURCES_TO_HANG && now - endpoint->answered_at >= TTE_SLOW;
}

static int64
next_probe(const TteEndpoint *endpoint)
{
	int64		pause = TTE_SLOW;

	for (int i = 0; i < endpoint->probes && pause < LONGEST_HANG; i++)
		pause *= 2;
	return endpoint->started_at + Min(pause, LONGEST_HANG);
}

int
tte_endpoint_room(const TteEndpoint *endpoint, int max_in_flight, int64 now)
{
	int			counted = endpoint->transfers - endpoint->slow;

	if (tte_endpoint_hangs(endpoint, now))
		return counted == 0 && has_come(next_probe(endpoint), now) ? 1 : 0;
	return Max(Min(max_in_flight - counted, TTE_MOST_TRANSFERS - endpoint->transfers), 0);
}

int64
tte_endpoint_due(const TteEndpoint *endpoint, int64 oldest, int64 now)
{
	if (tte_endpoint_hangs(endpoint, now) && endpoint->transfers == endpoint->slow)
		return next_probe(endpoint);
	return oldest != 0 ? oldest + TTE_SLOW : PG_INT64_MAX;
}

void
tte_endpoint_sent(TteEndpoint *endpoint, int64 now)
{
	endpoint->probes = tte_endpoint_hangs(endpoint, now) ? endpoint->probes + 1 : 0;
	endpoint->transfers++;
	endpoint->started_at = now;
}

void
tte_endpoint_slow(TteEndpoint *endpoint, const TteBreaker *breaker, const TteTry *try)
{
	if (try->slow)
		return;
	endpoint->slow++;
	endpoint->slow_sources += breaker->slow == 0;
}

void
tte_endpoint_ended(TteEndpoint *endpoint, const TteBreaker *breaker, const TteTry *try, bool answered, int64 now)
{
	endpoint->transfers--;
	endpoint->slow -= try->slow;
	endpoint->slow_sources -= try->slow && breaker->slow == 1;
	if (answered)
		endpoint->answered_at = now;
}
