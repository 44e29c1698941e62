/*-------------------------------------------------------------------------
 *
 * breaker.c
 *	  Simulation of answer/breaker.c in virtual time.
 *
 * Three sources (steady traffic, one event an hour, a batch every night) send to an
 * endpoint at which any of their events may be poisoned, and requests fail at random.
 * The sender here does what deliver/sender.c does, with arrays in place of tables.
 * At the end every innocent event was delivered once and in time, every culprit has
 * the status that it deserves, and requests stay within bounds.
 *
 * The argument is the number of rounds, 60 if there is none; a second one is the
 * first seed.  TRACE in the environment prints every request.
 *
 *-------------------------------------------------------------------------
 */
#include "answer/breaker.h"
#include "tap.h"

#define SECOND		INT64CONST(1000000)
#define MINUTE		(60 * SECOND)
#define HOUR		(60 * MINUTE)
#define DAY			(24 * HOUR)
#define START		(INT64CONST(1794000000) * SECOND)

#define TIMEOUT		(30 * SECOND)
#define ROUND_TRIP	(SECOND / 10)
#define BATCH_SIZE	200
#define MAX_IN_FLIGHT 4
#define SOURCES		3
#define MOST_EVENTS	4000
#define NAMES		3
#define END			(START + 12 * DAY)

typedef enum Poison
{
	INNOCENT,
	P_STATUS,					/* http without a code */
	P_CODE,						/* of TikTok, about the event */
	P_INDEX,					/* the same, and the event is named */
	P_SYSTEM,					/* code 50000 */
	P_HANG,
	P_RESET,
	P_SLOW,						/* ten seconds, then accepted */
	P_TOO_LARGE,				/* 413 */
	POISONS
} Poison;

typedef enum Status
{
	PENDING, DELIVERED, REJECTED, UNCERTAIN, EXPIRED
} Status;

typedef struct Event
{
	int			source;
	int			name;
	int64		recorded_at;
	Poison		poison;
	int			http;
	Status		status;
	int64		final_at;
	int			finals;
	bool		read;			/* from the queue */
	bool		in_retry;		/* a row of tiktok.retry: */
	bool		leased;			/* under way, or in a part */
	bool		deferred;		/* its kind is in doubt */
	bool		alone;			/* failed by itself */
	int			attempts;
	int64		sent_at;		/* last */
	int64		next_at;
	int64		received_at;
} Event;

typedef struct Group
{
	int			parts;			/* of a batch that was split in two */
	bool		whole;			/* all passed so far */
	int			events;
} Group;

typedef struct List
{
	int			n;
	int			ids[BATCH_SIZE];
	Group	   *group;
	int64		since;			/* it failed */
} List;

typedef struct Request
{
	bool		used;
	int			source;
	List		list;
	TteTry		try;
	int64		done_at;
	TteReply	reply;
	bool		answered;
} Request;

typedef struct Source
{
	TteBreaker	breaker;
	TteToken	token;
	int			first;			/* of its events, which have ascending ids */
	int			end;
	int			position;
	List	   *parts[MOST_EVENTS];
	int			nparts;
	List	   *failed[64];
	int			nfailed;
	int64		served_at;
	int			requests;
	int			wire_events;
} Source;

static Event events[MOST_EVENTS];
static Group groups[MOST_EVENTS];	/* free while they have no parts */
static int	nevents;
static Source sources[SOURCES];
static Request requests[TTE_MOST_TRANSFERS];
static TteEndpoint endpoint;
static int64 now;
static double fail_p;			/* at random */
static int64 fail_until;
static int	fail_kind;			/* 0 mixed, else one way only */
static int	size_limit;			/* 413 above, 0: none */
static int64 down_from;
static int64 down_until;
static bool never_split;		/* for comparison */
static bool trace;
static bool hands_over;			/* the worker makes room for other databases */
static int64 busy_since;
static int	handovers;
static unsigned long seed;

static double
dice(void)
{
	seed = seed * 6364136223846793005UL + 1442695040888963407UL;
	return (seed >> 11) / 9007199254740992.0;
}

static int
pick(int n)
{
	return (int) (dice() * n);
}

static uint64
hash_name(int name)
{
	return name + 1;
}

/*-------------------------------------------------------------------------
 * The endpoint
 *-------------------------------------------------------------------------
 */

static void
respond(Request *r, int status, const char *body, int64 after)
{
	tte_reply_judge(TTE_TRANSPORT_ANSWERED, status, body, strlen(body), false, "", 0, &r->reply);
	r->answered = true;
	r->done_at = now + after;
}

static void
no_answer(Request *r, TteTransport transport, int64 after)
{
	tte_reply_judge(transport, 0, "", 0, false, "no answer", 0, &r->reply);
	r->answered = false;
	r->done_at = now + after;
}

static void
fail_at_random(Request *r)
{
	switch (fail_kind != 0 ? fail_kind : 1 + pick(4))
	{
		case 1:
			respond(r, 502, "", ROUND_TRIP);
			break;
		case 2:
			no_answer(r, TTE_TRANSPORT_AMBIGUOUS, ROUND_TRIP);
			break;
		case 3:
			no_answer(r, TTE_TRANSPORT_AMBIGUOUS, TIMEOUT);
			break;
		default:
			respond(r, 200, "{\"code\":50002}", ROUND_TRIP);
	}
}

static void
exchange(Request *r)
{
	char		body[200];
	int64		after = ROUND_TRIP;

	if (now >= down_from && now < down_until)
	{
		respond(r, 503, "", ROUND_TRIP);
		return;
	}
	if (now < fail_until && dice() < fail_p)
	{
		fail_at_random(r);
		return;
	}
	if (size_limit > 0 && r->list.n > size_limit)
	{
		respond(r, 413, "", ROUND_TRIP);
		return;
	}
	for (int i = 0; i < r->list.n; i++)
	{
		const Event *e = &events[r->list.ids[i]];

		switch (e->poison)
		{
			case P_STATUS:
				respond(r, e->http, "", ROUND_TRIP);
				return;
			case P_TOO_LARGE:
				respond(r, 413, "", ROUND_TRIP);
				return;
			case P_CODE:
				respond(r, 200, "{\"code\":40002,\"message\":\"invalid\"}", ROUND_TRIP);
				return;
			case P_INDEX:
				snprintf(body, sizeof(body), "{\"code\":40002,\"message\":\"Batch.%d.event: invalid\"}", i);
				respond(r, 200, body, ROUND_TRIP);
				return;
			case P_SYSTEM:
				respond(r, 200, "{\"code\":50000}", ROUND_TRIP);
				return;
			case P_HANG:
				no_answer(r, TTE_TRANSPORT_AMBIGUOUS, TIMEOUT);
				return;
			case P_RESET:
				no_answer(r, TTE_TRANSPORT_AMBIGUOUS, ROUND_TRIP);
				return;
			case P_SLOW:
				after = 10 * SECOND;
				break;
			default:
				break;
		}
	}
	respond(r, 200, "{\"code\":0}", after);
}

/*-------------------------------------------------------------------------
 * The sender
 *-------------------------------------------------------------------------
 */

static void
final(Event *e, Status status)
{
	e->status = status;
	e->final_at = now;
	e->finals++;
	e->in_retry = e->leased = e->deferred = false;
}

/* False: it is too old for another try. */
static bool
may_be_sent(Event *e)
{
	if (e->received_at != 0 && now - e->received_at > TTE_RETRY_HORIZON)
		final(e, UNCERTAIN);
	else if (now - e->recorded_at > 7 * DAY)
		final(e, e->received_at != 0 ? UNCERTAIN : EXPIRED);
	return e->status == PENDING;
}

static Group *
new_group(bool whole, int n)
{
	for (int i = 0; i < lengthof(groups); i++)
	{
		if (groups[i].parts == 0)
		{
			groups[i] = (Group) {2, whole, n};
			return &groups[i];
		}
	}
	abort();
}

static List *
new_list(Group *group)
{
	List	   *list = calloc(1, sizeof(List));

	if (list == NULL)
		abort();
	list->group = group;
	return list;
}

/* Parts of what was refused come first: three of a kind tell that all of it may be. */
static void
add_part(Source *s, List *part, bool first)
{
	for (int i = 0; i < part->n; i++)
	{
		events[part->ids[i]].in_retry = true;
		events[part->ids[i]].leased = true;
	}
	if (first)
		memmove(s->parts + 1, s->parts, s->nparts * sizeof(List *));
	s->parts[first ? 0 : s->nparts] = part;
	s->nparts++;
}

/* Around the event that was named, else in halves. */
static void
split(Source *s, const List *list, bool refused, int bad)
{
	List	   *a;
	List	   *b;
	Group	   *group = new_group(!refused, list->n);

	a = new_list(group);
	b = new_list(group);
	for (int i = 0; i < list->n; i++)
	{
		List	   *to = bad >= 0 ? (i == bad ? a : b) : (i < list->n / 2 ? a : b);

		to->ids[to->n++] = list->ids[i];
	}
	add_part(s, refused ? b : a, refused);
	add_part(s, refused ? a : b, refused);
}

static void
split_singly(Source *s, const List *list)
{
	for (int i = 0; i < list->n; i++)
	{
		List	   *part = new_list(NULL);

		part->ids[part->n++] = list->ids[i];
		add_part(s, part, false);
	}
}

static TteSpan
span_of(const List *list)
{
	return (TteSpan)
	{
		{
			1, list->ids[0]
		},
		{
			1, list->ids[list->n - 1]
		}
	};
}

/* Takes an event out of a request of several, if its kind goes singly. */
static bool
defer(Source *s, Event *e)
{
	TteKind    *kind = tte_breaker_kind(&s->breaker, hash_name(e->name));

	if (kind == NULL || !kind->in_doubt)
		return false;
	e->in_retry = e->deferred = true;
	e->leased = false;
	return true;
}

static bool
is_due(const Event *e)
{
	return e->status == PENDING && e->in_retry && !e->leased && !e->deferred && e->next_at <= now;
}

static TteOffer
offer_of(Source *s)
{
	TteOffer	offer = {0};

	offer.part = s->nparts > 0;
	for (int i = s->first; i < s->end; i++)
	{
		const Event *e = &events[i];

		offer.retry |= is_due(e);
		offer.kind |= e->status == PENDING && e->deferred && !e->leased;
		offer.queue |= e->status == PENDING && !e->read && !e->in_retry && e->recorded_at <= now;
	}
	return offer;
}

static void
take_part(Source *s, List *list)
{
	List	   *part = s->parts[0];

	memmove(s->parts, s->parts + 1, --s->nparts * sizeof(List *));
	*list = *part;
	list->n = 0;
	for (int i = 0; i < part->n; i++)
	{
		Event	   *e = &events[part->ids[i]];

		if (e->status == PENDING && may_be_sent(e) && !(part->n > 1 && defer(s, e)))
			list->ids[list->n++] = part->ids[i];
	}
	free(part);
}

static int
by_id(const void *a, const void *b)
{
	return *(const int *) a - *(const int *) b;
}

/* Those that failed by themselves go by themselves. */
static void
take_retries(Source *s, List *list, int limit)
{
	for (;;)
	{
		int			first = -1;

		for (int i = s->first; i < s->end; i++)
		{
			if (is_due(&events[i]) && (first < 0 || events[i].next_at < events[first].next_at))
				first = i;
		}
		if (first < 0 || list->n == limit || (list->n > 0 && events[first].alone))
			break;
		if (!may_be_sent(&events[first]) || defer(s, &events[first]))
			continue;
		events[first].leased = true;
		list->ids[list->n++] = first;
		if (events[first].alone)
			break;
	}
	qsort(list->ids, list->n, sizeof(int), by_id);
}

static void
take_queue(Source *s, List *list, int limit)
{
	while (s->position < s->end && events[s->position].recorded_at <= now && list->n < limit)
	{
		Event	   *e = &events[s->position];

		if (!e->read && e->status == PENDING && !e->in_retry && may_be_sent(e) && !defer(s, e))
			list->ids[list->n++] = s->position;
		e->read = true;
		s->position++;
	}
}

static void
take_kind(Source *s, List *list)
{
	for (int k = 0; k < s->breaker.nkinds; k++)
	{
		TteKind    *kind = &s->breaker.kinds[k];
		int			found = -1;

		for (int i = s->first; i < s->end; i++)
		{
			Event	   *e = &events[i];

			if (hash_name(e->name) == kind->name && e->deferred && !e->leased && e->status == PENDING && may_be_sent(e) &&
				(found < 0 || kind->newest))
				found = i;
		}
		if (found < 0)
			continue;
		kind->newest = !kind->newest;
		list->ids[list->n++] = found;
		return;
	}
}

/* When its kind is accepted again, what was deferred goes like any other. */
static void
release_kinds(Source *s)
{
	for (int i = s->first; i < s->end; i++)
	{
		Event	   *e = &events[i];
		TteKind    *kind = e->deferred ? tte_breaker_kind(&s->breaker, hash_name(e->name)) : NULL;

		if (e->deferred && (kind == NULL || !kind->in_doubt))
		{
			e->deferred = false;
			e->next_at = now;
		}
	}
}

/*
 * Of another name than the suspect, or else the newest, that was not tried; else the
 * one that was tried longest ago.
 */
static void
take_probe(Source *s, List *list)
{
	int			other = -1;
	int			newest = -1;
	int			oldest = -1;

	for (int i = s->first; i < s->end; i++)
	{
		Event	   *e = &events[i];

		if (e->status != PENDING || e->recorded_at > now || e->leased || i == s->breaker.probed_id || !may_be_sent(e))
			continue;
		if (e->attempts == 0 && e->received_at == 0 && (s->breaker.failures < 8 || s->breaker.failures % 8 == 0))
		{
			newest = i;
			if (hash_name(e->name) != s->breaker.suspect_kind)
				other = i;
		}
		else if (oldest < 0 || e->next_at < events[oldest].next_at)
			oldest = i;
	}
	if (other < 0)
		other = newest >= 0 ? newest : oldest;
	for (int i = s->first; i < s->end && other < 0; i++)
	{
		if (events[i].status == PENDING && events[i].recorded_at <= now && !events[i].leased && may_be_sent(&events[i]))
			other = i;
	}
	if (other >= 0)
		list->ids[list->n++] = other;
}

/* A batch that failed, with nothing else to compare it with, is compared with itself. */
static bool
goes_in_halves(Source *s, const List *list)
{
	int			failed = 0;

	for (int i = 0; i < list->n; i++)
		failed += events[list->ids[i]].attempts > 0;
	return !never_split && list->n > 1 && failed == list->n && s->breaker.state == TTE_STATE_DOUBTFUL;
}

static bool
send_one(int source)
{
	Source	   *s = &sources[source];
	TteOffer	offer = offer_of(s);
	List		list = {0};
	int			limit;
	TteMove		move = tte_breaker_move(&s->breaker, &offer, now, BATCH_SIZE, &limit);
	Request    *r = requests;

	if (tte_endpoint_hangs(&endpoint, now))
		limit = 1;
	if (tte_token_due(&s->token, 50, now) != 0)
		return false;
	switch (move)
	{
		case TTE_MOVE_NONE:
			return false;
		case TTE_MOVE_PART:
			take_part(s, &list);
			break;
		case TTE_MOVE_RETRY:
			take_retries(s, &list, limit);
			break;
		case TTE_MOVE_KIND:
			take_kind(s, &list);
			break;
		case TTE_MOVE_QUEUE:
			take_queue(s, &list, limit);
			break;
		case TTE_MOVE_PROBE:
			take_probe(s, &list);
			break;
	}
	if (list.n == 0)
		return false;
	if (move == TTE_MOVE_RETRY && goes_in_halves(s, &list))
	{
		split(s, &list, false, -1);
		return true;
	}
	tte_token_take(&s->token, 50, now);
	while (r->used)
		r++;
	*r = (Request)
	{
		.used = true, .source = source, .list = list
	};
	r->try = (TteTry)
	{
		.move = move, .span = span_of(&list), .events = list.n, .attempts = events[list.ids[0]].attempts
	};
	for (int i = 0; i < list.n; i++)
	{
		Event	   *e = &events[list.ids[i]];

		e->read = e->leased = true;
		r->try.since = Max(r->try.since, e->sent_at);
		e->sent_at = now;
		r->try.attempts = Min(r->try.attempts, e->attempts);
		r->try.kind = i == 0 || r->try.kind == hash_name(e->name) ? hash_name(e->name) : 0;
	}
	exchange(r);
	tte_endpoint_sent(&endpoint, now);
	tte_breaker_sent(&s->breaker, &r->try, now);
	s->served_at = now;
	s->requests++;
	s->wire_events += list.n;
	if (trace)
		printf("# %10.1f s source %d move %d: %d events from %d, attempts %d\n", (now - START) / 1e6, source, move,
			   list.n, list.ids[0], r->try.attempts);
	return true;
}

static void
part_ended(Source *s, Request *r, bool passed)
{
	Group	   *group = r->list.group;

	if (group == NULL)
		return;
	group->whole &= passed;
	if (--group->parts > 0)
		return;
	if (group->whole)
		tte_breaker_halves_passed(&s->breaker, group->events, now);
}

static void
retry(Source *s, Request *r, bool counts)
{
	int64		next = now + (counts ? tte_retry_delay(r->try.attempts + 1, dice()) : 0);

	for (int i = 0; i < r->list.n; i++)
	{
		Event	   *e = &events[r->list.ids[i]];

		e->attempts += counts;
		e->next_at = next;
		e->in_retry = true;
		e->leased = false;
		e->alone = counts && r->list.n == 1;
	}
	if (counts && r->list.n > 1 && s->nfailed < lengthof(s->failed))
	{
		List	   *failed = new_list(NULL);

		*failed = r->list;
		failed->since = r->try.started_at;
		s->failed[s->nfailed++] = failed;
	}
}

/* What failed and is suspect by now is split. */
static void
split_suspects(Source *s)
{
	for (int f = 0; f < s->nfailed; f++)
	{
		List	   *failed = s->failed[f];
		TteSpan		span = span_of(failed);
		List	   *left;

		if (never_split || !tte_breaker_suspects(&s->breaker, &span, failed->since))
			continue;
		left = new_list(NULL);
		for (int i = 0; i < failed->n; i++)
		{
			const Event *e = &events[failed->ids[i]];

			if (e->status == PENDING && e->in_retry && !e->leased && !e->deferred && !e->alone)
				left->ids[left->n++] = failed->ids[i];
		}
		if (left->n > 1)
			split(s, left, false, -1);
		free(left);
		free(failed);
		s->failed[f--] = s->failed[--s->nfailed];
	}
}

static void
wake_retries(Source *s)
{
	for (int i = s->first; i < s->end; i++)
	{
		Event	   *e = &events[i];

		if (e->in_retry && !e->leased && e->next_at > now)
			e->next_at = now + (e->next_at / 1000 % 10000) * 1000;
	}
}

/* While it stands still, any of its events may be the probe. */
static void
drop_parts(Source *s)
{
	for (int p = 0; p < s->nparts; p++)
	{
		for (int i = 0; i < s->parts[p]->n; i++)
		{
			Event	   *e = &events[s->parts[p]->ids[i]];

			e->leased = false;
			e->next_at = now;
		}
		free(s->parts[p]);
	}
	s->nparts = 0;
}

static void
record(Request *r)
{
	Source	   *s = &sources[r->source];
	TteJudgement j;
	char		str[100];
	TteEventsVerdict verdict;
	bool		refused;

	snprintf(str, sizeof(str), "%s", tte_outcome_name(r->reply.outcome));
	tte_endpoint_ended(&endpoint, &s->breaker, &r->try, r->answered, now);
	if (r->reply.outcome != TTE_OUTCOME_THROTTLE)
		tte_token_passed(&s->token, r->try.started_at);
	j = tte_breaker_answer(&s->breaker, &r->try, &r->reply, str, now, dice());
	verdict = j.verdict.events;
	if (never_split && verdict == TTE_EVENTS_SPLIT && (r->reply.outcome == TTE_OUTCOME_RETRY || r->reply.outcome == TTE_OUTCOME_BLOCKED))
		verdict = TTE_EVENTS_RETRY;
	if (j.verdict.source == TTE_SOURCE_THROTTLED)
		tte_token_throttled(&s->token, &r->reply, str, r->try.started_at, now);
	if (trace)
		printf("# %10.1f s source %d: %s -> %d %d%s%s state %d\n", (now - START) / 1e6, r->source, str, j.verdict.events,
			   j.verdict.source, j.opened ? " opened" : "", j.stopped ? " stopped" : "", s->breaker.state);
	for (int i = 0; i < r->list.n; i++)
	{
		Event	   *e = &events[r->list.ids[i]];

		if (r->reply.possibly_received && e->received_at == 0)
			e->received_at = r->try.started_at;
	}
	part_ended(s, r, verdict == TTE_EVENTS_DELIVERED);
	switch (verdict)
	{
		case TTE_EVENTS_DELIVERED:
			for (int i = 0; i < r->list.n; i++)
			{
				final(&events[r->list.ids[i]], DELIVERED);
				tte_breaker_kind_passed(&s->breaker, hash_name(events[r->list.ids[i]].name));
			}
			break;
		case TTE_EVENTS_REJECTED:
			final(&events[r->list.ids[0]], REJECTED);
			break;
		case TTE_EVENTS_RETRY:
			retry(s, r, true);
			break;
		case TTE_EVENTS_WAIT:
			retry(s, r, false);
			break;
		case TTE_EVENTS_SPLIT:
			refused = r->reply.outcome != TTE_OUTCOME_RETRY && r->reply.outcome != TTE_OUTCOME_BLOCKED;
			split(s, &r->list, refused && r->reply.outcome != TTE_OUTCOME_SPLIT,
				  refused && r->reply.bad_index < r->list.n ? r->reply.bad_index : -1);
			break;
		case TTE_EVENTS_SINGLY:
			split_singly(s, &r->list);
			break;
	}
	r->used = false;
	if (s->breaker.state == TTE_STATE_STOPPED || s->breaker.state == TTE_STATE_PROBING)
		drop_parts(s);
	else
		split_suspects(s);
	if (j.opened)
		wake_retries(s);
	release_kinds(s);
}

/*-------------------------------------------------------------------------
 * The clock
 *-------------------------------------------------------------------------
 */

static void
send_all(void)
{
	while (tte_endpoint_room(&endpoint, MAX_IN_FLIGHT, now) > 0)
	{
		bool		tried[SOURCES] = {false};
		bool		sent = false;

		for (int round = 0; round < SOURCES && !sent; round++)
		{
			int			best = -1;

			for (int i = 0; i < SOURCES; i++)
			{
				if (!tried[i] && (best < 0 || sources[i].served_at < sources[best].served_at))
					best = i;
			}
			tried[best] = true;
			sent = send_one(best);
		}
		if (!sent)
			break;
	}
}

static int64
next_time(void)
{
	int64		next = END;
	int64		oldest = 0;

	for (int i = 0; i < lengthof(requests); i++)
	{
		if (!requests[i].used)
			continue;
		next = Min(next, requests[i].done_at);
		if (!requests[i].try.slow && (oldest == 0 || requests[i].try.started_at < oldest))
			oldest = requests[i].try.started_at;
	}
	if (oldest != 0)
		next = Min(next, oldest + TTE_SLOW);
	if (tte_endpoint_room(&endpoint, MAX_IN_FLIGHT, now) == 0)
		next = Min(next, tte_endpoint_due(&endpoint, oldest, now));
	for (int i = 0; i < SOURCES; i++)
	{
		Source	   *s = &sources[i];
		TteOffer	offer = offer_of(s);
		int64		due = tte_breaker_due(&s->breaker, &offer, now);

		if (due <= now)
			due = Max(due, tte_token_due(&s->token, 50, now));
		/* whoever may send now and did not waits for a slot */
		if (due <= now)
			due = tte_endpoint_room(&endpoint, MAX_IN_FLIGHT, now) > 0 ? now + SECOND / 50 : END;
		next = Min(next, due);
		for (int e = s->first; e < s->end; e++)
		{
			if (events[e].status != PENDING || events[e].leased || events[e].deferred)
				continue;
			if (events[e].in_retry && events[e].next_at > now)
				next = Min(next, events[e].next_at);
			else if (events[e].recorded_at > now)
				next = Min(next, events[e].recorded_at);
		}
	}
	return Max(next, now + 1);
}

static bool
all_final(void)
{
	for (int i = 0; i < nevents; i++)
	{
		if (events[i].status == PENDING)
			return false;
	}
	return true;
}

static bool
anything_under_way(void)
{
	for (int i = 0; i < lengthof(requests); i++)
	{
		if (requests[i].used)
			return true;
	}
	return false;
}

/* What deliver/handover.c keeps, and nothing else. */
static void
hand_over_source(Source *s)
{
	TteBreaker	left = s->breaker;
	bool		plain = tte_breaker_is_plain(&s->breaker, now) && tte_token_is_plain(&s->token, now) && s->nparts == 0 && s->nfailed == 0;

	memset(&s->breaker, 0, sizeof(s->breaker));
	if (!plain)
		tte_breaker_copy(&s->breaker, &left);
	else
		memset(&s->token, 0, sizeof(s->token));
	for (int i = s->first; i < s->end; i++)
	{
		if (events[i].status == PENDING && events[i].deferred)
			tte_breaker_kind_restore(&s->breaker, hash_name(events[i].name), now);
	}
}

static bool
term_is_over(void)
{
	return hands_over && now - busy_since >= 30 * SECOND;
}

/* Other databases wait all the time: the worker leaves when nothing is due, or after half a minute. */
static void
make_room(void)
{
	if (!hands_over || anything_under_way() || (!term_is_over() && next_time() <= now + SECOND / 5))
		return;
	busy_since = now;
	handovers++;
	for (int i = 0; i < SOURCES; i++)
		hand_over_source(&sources[i]);
	memset(&endpoint, 0, sizeof(endpoint));
}

/* Returns the number of steps. */
static int
run(void)
{
	int			steps = 0;

	while (now < END && !all_final() && steps < 200000)
	{
		for (int i = 0; i < lengthof(requests); i++)
		{
			Request    *r = &requests[i];

			if (r->used && r->done_at <= now)
				record(r);
			else if (r->used && now - r->try.started_at >= TTE_SLOW && !r->try.slow)
			{
				tte_endpoint_slow(&endpoint, &sources[r->source].breaker, &r->try);
				tte_breaker_slow(&sources[r->source].breaker, &r->try);
			}
		}
		if (!term_is_over())
			send_all();
		make_room();
		now = next_time();
		steps++;
	}
	return steps;
}

/*-------------------------------------------------------------------------
 * Worlds
 *-------------------------------------------------------------------------
 */

static void
begin(unsigned long with_seed)
{
	for (int i = 0; i < SOURCES; i++)
	{
		for (int j = 0; j < sources[i].nparts; j++)
			free(sources[i].parts[j]);
		for (int j = 0; j < sources[i].nfailed; j++)
			free(sources[i].failed[j]);
	}
	memset(events, 0, sizeof(events));
	memset(groups, 0, sizeof(groups));
	memset(sources, 0, sizeof(sources));
	memset(requests, 0, sizeof(requests));
	memset(&endpoint, 0, sizeof(endpoint));
	nevents = 0;
	now = endpoint.answered_at = busy_since = START;
	fail_p = 0;
	fail_until = down_from = down_until = 0;
	fail_kind = size_limit = 0;
	never_split = false;
	seed = with_seed * 7919 + 1;
	(void) dice();
}

static Event *
add_event(int source, int name, int64 at)
{
	Event	   *e = &events[nevents++];

	*e = (Event)
	{
		.source = source, .name = name, .recorded_at = at
	};
	return e;
}

static void
begin_source(int source)
{
	sources[source].first = sources[source].position = nevents;
}

static void
end_source(int source)
{
	sources[source].end = nevents;
}

static void
poison(Event *e, Poison how)
{
	static const int statuses[] = {302, 401, 403, 404, 405, 406, 410, 414, 418, 429, 451, 500, 503};

	e->poison = how;
	e->http = statuses[pick(lengthof(statuses))];
}

static bool
ends_as_it_should(const Event *e)
{
	if (e->finals != 1)
		return false;
	switch (e->poison)
	{
		case INNOCENT:
		case P_SLOW:
			return e->status == DELIVERED;
		case P_CODE:
		case P_INDEX:
			return e->status == REJECTED;
		case P_TOO_LARGE:
			/* no other event decides about the last one */
			return e->status == REJECTED || e->status == EXPIRED;
		case P_HANG:
		case P_RESET:
		case P_SYSTEM:
			return e->status == UNCERTAIN;
		case P_STATUS:
			if (e->http >= 500)
				return e->status == UNCERTAIN;
			if (e->http == 429)
				return e->status == EXPIRED || (e->received_at != 0 && e->status == UNCERTAIN);
			/* a neighbour may have got a request of both lost on its way */
			return e->status == REJECTED || e->status == EXPIRED || (e->received_at != 0 && e->status == UNCERTAIN);
		default:
			return false;
	}
}

static int64
latest_innocent(int source)
{
	int64		longest = 0;

	for (int i = sources[source].first; i < sources[source].end; i++)
	{
		if (events[i].poison == INNOCENT)
			longest = Max(longest, (events[i].status == PENDING ? END : events[i].final_at) - events[i].recorded_at);
	}
	return longest;
}

static int
wrong_events(bool print)
{
	int			wrong = 0;

	for (int i = 0; i < nevents; i++)
	{
		if (ends_as_it_should(&events[i]))
			continue;
		wrong++;
		if (print && wrong <= 5)
			printf("# event %d of source %d, poison %d, http %d: status %d, %d attempts, recorded at %.0f s, final at %.0f s\n",
				   i, events[i].source, events[i].poison, events[i].http, events[i].status, events[i].attempts,
				   (events[i].recorded_at - START) / 1e6, (events[i].final_at - START) / 1e6);
	}
	return wrong;
}

static int
all_requests(void)
{
	int			n = 0;

	for (int i = 0; i < SOURCES; i++)
		n += sources[i].requests;
	return n;
}

/* Traffic of two days: something every minute, an event an hour, a batch a night. */
static void
three_sources(void)
{
	begin_source(0);
	for (int minute = 0; minute < 600; minute++)
		add_event(0, pick(NAMES), START + minute * MINUTE + pick(60) * SECOND);
	end_source(0);
	begin_source(1);
	for (int hour = 0; hour < 48; hour++)
		add_event(1, pick(NAMES), START + hour * HOUR + pick(60) * MINUTE);
	end_source(1);
	begin_source(2);
	for (int night = 0; night < 2; night++)
	{
		for (int i = 0; i < 500; i++)
			add_event(2, pick(NAMES), START + night * DAY + 3 * HOUR);
	}
	end_source(2);
}

static void
story(const char *name, int64 bound, int most_requests)
{
	int64		longest = 0;
	int			steps = run();
	int			wrong = wrong_events(true);
	char		str[200];

	for (int i = 0; i < SOURCES; i++)
		longest = Max(longest, latest_innocent(i));
	snprintf(str, sizeof(str), "%s: every event ends as it should", name);
	ok(wrong == 0, str);
	snprintf(str, sizeof(str), "%s: innocents are delivered within %.1f s (bound %.0f s)", name, longest / 1e6, bound / 1e6);
	ok(longest <= bound, str);
	snprintf(str, sizeof(str), "%s: %d requests (bound %d)", name, all_requests(), most_requests);
	ok(all_requests() <= most_requests, str);
	if (steps >= 200000)
		printf("# too many steps\n");
}

/* The cases found on a running cluster. */
static void
test_cases(void)
{
	static const int statuses[] = {302, 401, 403, 404, 405, 406, 410, 414, 418, 429, 451};

	/* one event that always fails, steady traffic beside it */
	for (int how = 0; how < 4; how++)
	{
		static const Poison hows[] = {P_STATUS, P_SYSTEM, P_HANG, P_RESET};

		begin(how);
		begin_source(0);
		for (int i = 0; i < 200; i++)
			add_event(0, 0, START);
		for (int i = 0; i < 600; i++)
			add_event(0, 0, START + i * SECOND);
		end_source(0);
		events[50].poison = hows[how];
		events[50].http = 503;
		story(how == 2 ? "one event of a batch hangs" : "one event of a batch always fails",
			  how == 2 ? 9 * TIMEOUT : 15 * SECOND, 700);
	}

	/* one event that an edge refuses, and is the oldest */
	for (int i = 0; i < lengthof(statuses); i++)
	{
		char		name[80];

		begin(i);
		begin_source(0);
		for (int j = 0; j < 30; j++)
			add_event(0, j % NAMES, START + j * MINUTE);
		end_source(0);
		events[0].poison = P_STATUS;
		events[0].http = statuses[i];
		snprintf(name, sizeof(name), "an edge refuses one event with %d", statuses[i]);
		story(name, 10 * SECOND, 80);
	}

	/* refused events, then good ones */
	begin(3);
	begin_source(0);
	for (int i = 0; i < 45; i++)
		add_event(0, 0, START)->poison = i < 40 ? P_CODE : INNOCENT;
	end_source(0);
	story("40 refused, then 5 good", 15 * SECOND, 120);
	begin(3);
	begin_source(0);
	for (int i = 0; i < 1005; i++)
		add_event(0, i % 201 == 200 ? 1 : 0, START)->poison = i % 201 == 200 ? INNOCENT : P_INDEX;
	end_source(0);
	story("1000 refused, 5 good of another name among them", 15 * SECOND, 1200);

	/* a hanging source beside another one */
	begin(4);
	begin_source(0);
	for (int i = 0; i < 1000; i++)
		add_event(0, 0, START)->poison = P_HANG;
	end_source(0);
	begin_source(1);
	for (int i = 0; i < 100; i++)
		add_event(1, 0, START + SECOND + i * 10 * SECOND);
	end_source(1);
	story("a source hangs, another one goes on", 3 * SECOND, 4000);

	/* the endpoint does not take more than so many */
	begin(5);
	size_limit = 60;
	begin_source(0);
	for (int i = 0; i < 2000; i++)
		add_event(0, 0, START);
	end_source(0);
	story("too many events in a request", 20 * SECOND, 2 * 2000 / 50 + 20);

	/* a day's outage */
	begin(6);
	down_from = START + HOUR;
	down_until = START + 25 * HOUR;
	begin_source(0);
	for (int i = 0; i < 26 * 60; i++)
		add_event(0, pick(NAMES), START + i * MINUTE);
	end_source(0);
	(void) run();
	{
		int64		last = 0;

		for (int i = 0; i < nevents; i++)
			last = Max(last, events[i].recorded_at < down_until ? events[i].final_at : 0);
		ok(wrong_events(true) == 0, "a day's outage: all are delivered");
		ok(last <= down_until + 5 * MINUTE + MINUTE, "a day's outage: within a minute of the first probe that passes");
		printf("# last after %.1f s, %d requests\n", (last - down_until) / 1e6, all_requests());
	}
}

static void
test_random_poison(int rounds, unsigned long first)
{
	int			wrong = 0;
	int			late = 0;
	int64		longest = 0;

	for (unsigned long round = first; round < first + rounds; round++)
	{
		int			culprits;
		int			steps;

		begin(round);
		culprits = 1 + pick(12);
		three_sources();
		for (int i = 0; i < culprits; i++)
			poison(&events[pick(nevents)], 1 + pick(POISONS - 1));
		steps = run();
		if (wrong_events(true) > 0 || steps >= 200000)
		{
			printf("# round %lu, %d steps\n", round, steps);
			wrong++;
		}
		for (int i = 0; i < SOURCES; i++)
			longest = Max(longest, latest_innocent(i));
		if (latest_innocent(0) > culprits * 10 * TIMEOUT || latest_innocent(1) > HOUR + 10 * MINUTE ||
			latest_innocent(2) > culprits * 10 * TIMEOUT)
		{
			printf("# round %lu: innocents wait %.0f, %.0f and %.0f s\n", round, latest_innocent(0) / 1e6,
				   latest_innocent(1) / 1e6, latest_innocent(2) / 1e6);
			late++;
		}
	}
	ok(wrong == 0, hands_over ? "the same, by many workers: every event ends as it should" : "any subset poisoned: every event ends as it should");
	ok(late == 0, hands_over ? "the same, by many workers: innocents are in time" : "any subset poisoned: innocents are in time");
	printf("# longest wait of an innocent: %.0f s; %d changes of workers\n", longest / 1e6, handovers);
}

static void
test_random_failures(int rounds, unsigned long first)
{
	static const double chances[] = {0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9};

	for (int c = 0; c < lengthof(chances); c++)
	{
		double		sent[2] = {0};
		double		most = 0;
		int			wrong = 0;
		char		name[100];

		for (unsigned long round = first; round < first + Max(rounds / 10, 1); round++)
		{
			int			n[2];
			int			steps;

			for (int mode = 0; mode < 2; mode++)
			{
				begin(round);
				never_split = mode == 1;
				fail_p = chances[c];
				fail_until = START + 12 * HOUR;
				fail_kind = pick(5);
				three_sources();
				steps = run();
				wrong += wrong_events(true) > 0;
				if (wrong_events(false) > 0 || steps >= 200000)
					printf("# %d steps, mode %d, kind %d, round %lu\n", steps, mode, fail_kind, round);
				n[mode] = all_requests();
				sent[mode] += n[mode];
			}
			most = Max(most, (double) n[0] / n[1]);
		}
		snprintf(name, sizeof(name), "%.0f %% fail at random: all delivered", chances[c] * 100);
		ok(wrong == 0, name);
		snprintf(name, sizeof(name), "%.0f %% fail at random: %.2f times the requests of resending whole, at most %.2f", chances[c] * 100,
				 sent[0] / sent[1], most);
		ok(sent[0] <= 2 * sent[1], name);
	}
}

/* Worked out by hand: the next probe is due a minute later, unless something has changed meanwhile. */
static void
test_hurry(void)
{
	static const struct
	{
		TteState	state;
		TteOutcome	outcome;
		int			last;		/* seconds before: the last answer; -1: none */
		int			due;		/* seconds from then on, after the hurry */
		const char *name;
	}			cases[] = {
		{TTE_STATE_STOPPED, TTE_OUTCOME_STOP_ENDPOINT, -1, 0, "hurry: at once"},
		{TTE_STATE_STOPPED, TTE_OUTCOME_STOP_ENDPOINT, 10, 0, "hurry: at once, long after the last probe"},
		{TTE_STATE_STOPPED, TTE_OUTCOME_STOP_ENDPOINT, 0, 2, "hurry: not sooner than two seconds after the last probe"},
		{TTE_STATE_STOPPED, TTE_OUTCOME_STOP_CREDENTIAL, 10, 60, "hurry: not for a token"},
		{TTE_STATE_STOPPED, TTE_OUTCOME_RETRY, 10, 60, "hurry: not after an answer, which may ask to wait"},
		{TTE_STATE_PROBING, TTE_OUTCOME_STOP_ENDPOINT, 10, 60, "hurry: not while a probe is under way"}
	};

	for (int i = 0; i < lengthof(cases); i++)
	{
		TteBreaker	breaker = {.state = cases[i].state, .outcome = cases[i].outcome, .probe_at = START + 60 * SECOND};

		if (cases[i].last >= 0)
			breaker.recent[breaker.nrecent++].at = START - cases[i].last * SECOND;
		tte_breaker_hurry(&breaker, START);
		ok(breaker.probe_at == START + cases[i].due * SECOND, cases[i].name);
		tte_breaker_hurry(&breaker, START);
		ok(breaker.probe_at == START + cases[i].due * SECOND, "and the same if it is said again");
	}
}

int
main(int argc, char **argv)
{
	int			rounds = argc > 1 ? atoi(argv[1]) : 60;
	unsigned long first = argc > 2 ? strtoul(argv[2], NULL, 10) : 1;

	trace = getenv("TRACE") != NULL;
	if (getenv("ONLY_RANDOM") == NULL)
	{
		test_hurry();
		test_cases();
	}
	test_random_poison(rounds, first);
	hands_over = true;
	if (getenv("ONLY_RANDOM") == NULL)
		test_cases();
	test_random_poison(rounds, first);
	hands_over = false;
	if (getenv("ONLY_RANDOM") == NULL)
		test_random_failures(rounds, first);
	return tap_end();
}
