/*-------------------------------------------------------------------------
 *
 * schedule.c
 *	  When to try again: retry times, the breaker of a source, the rate of a
 *	  token.
 *
 * The breaker.  While it is closed, requests go out as fast as the rate
 * allows.  It opens at once on what no repetition will cure (credential,
 * configuration, endpoint, throttling) and after a run of unclear outcomes.
 * While it is open nothing is sent and no event is touched; when probe_at is
 * reached one request goes out (half-open), and its result alone decides.
 *
 * Requests that were under way when it opened say nothing about the time
 * after.  They are counted as stale, their results neither close it nor open
 * it a second time, and the probe waits until they are back, so that its own
 * result cannot be mistaken.  Requests end by their time-out: a short wait.
 *
 * A zeroed TteBreaker is a closed one, a zeroed TteRate a full bucket.
 *
 *-------------------------------------------------------------------------
 */
#include "answer/schedule.h"

#define MILLISECOND			INT64CONST(1000)
#define SECOND				INT64CONST(1000000)
#define MINUTE				(60 * SECOND)
#define HOUR				(60 * MINUTE)

#define RETRY_JITTER		0.2
#define RETRIES_TO_OPEN		3	/* unclear outcomes in a row */
#define ENDPOINT_BASE		(2 * SECOND)
#define ENDPOINT_CAP		(5 * MINUTE)
#define ENDPOINT_FLOOR		(100 * MILLISECOND)
#define THROTTLE_BASE		(2 * SECOND)
#define THROTTLE_CAP		HOUR
#define OPERATOR_PROBE		(5 * MINUTE)
#define RAMP_FIRST			10
#define RAMP_SECOND			100

/* A probe time further away than this comes from a clock that was set back. */
#define LONGEST_PAUSE		(2 * HOUR)

/* Stale requests that are not back so long after probe_at never will be. */
#define STALE_PATIENCE		(2 * MINUTE)

static const int64 retry_delays[] = {
	5 * SECOND, 30 * SECOND, 2 * MINUTE, 10 * MINUTE, 30 * MINUTE,
	HOUR, 2 * HOUR, 4 * HOUR, 6 * HOUR
};

/* delay * (1 +- part) */
static int64
jittered(int64 delay, double part, double dice)
{
	return (int64) (delay * (1.0 - part + 2.0 * part * dice));
}

int64
tte_retry_delay(int attempts, double dice)
{
	int			step = Max(attempts, 1) - 1;

	step = Min(step, (int) lengthof(retry_delays) - 1);
	return jittered(retry_delays[step], RETRY_JITTER, dice);
}

/* base * 2^(failures - 1), at most cap */
static int64
doubled(int64 base, int failures, int64 cap)
{
	int64		delay = base;

	for (int i = 1; i < failures && delay < cap; i++)
		delay *= 2;
	return Min(delay, cap);
}

/*
 * From opening to the next probe.  Endpoint trouble uses full jitter, because
 * many databases may be waiting for the same endpoint.
 *
 * TikTok's code for too many requests (40100) stands for a limit by the minute
 * as well as for one by the day, which lasts until midnight UTC; nothing in the
 * reply tells them apart.  So the pause of five minutes doubles while probes are
 * refused, up to an hour: a day's limit costs about two dozen probes and at most
 * an hour after midnight.  A pause that only a header asks for is obeyed as it is.
 */
static int64
probe_delay(const TteReply *reply, int failures, double dice)
{
	int64		delay;

	switch (reply->outcome)
	{
		case TTE_OUTCOME_STOP_CREDENTIAL:
		case TTE_OUTCOME_STOP_CONFIGURATION:
			return OPERATOR_PROBE;
		case TTE_OUTCOME_THROTTLE:
			if (reply->retry_after > 0)
				return reply->has_code ? doubled(reply->retry_after, failures, THROTTLE_CAP) : reply->retry_after;
			return jittered(doubled(THROTTLE_BASE, failures, THROTTLE_CAP), RETRY_JITTER, dice);
		default:
			delay = (int64) (doubled(ENDPOINT_BASE, failures, ENDPOINT_CAP) * dice);
			delay = Max(delay, ENDPOINT_FLOOR);
			return Max(delay, reply->retry_after);
	}
}

/*
 * A probe may go once everything sent before the opening is back, or will
 * never be.
 */
int64
tte_breaker_due(const TteBreaker *breaker)
{
	switch (breaker->state)
	{
		case TTE_BREAKER_CLOSED:
			return 0;
		case TTE_BREAKER_OPEN:
			return breaker->probe_at + (breaker->stale > 0 ? STALE_PATIENCE : 0);
		case TTE_BREAKER_HALF_OPEN:
			break;
	}
	return PG_INT64_MAX;
}

int
tte_breaker_allows(const TteBreaker *breaker, int64 now, int batch_size)
{
	int64		wait;

	switch (breaker->state)
	{
		case TTE_BREAKER_CLOSED:
			return breaker->ramp > 0 ? Min(breaker->ramp, batch_size) : batch_size;

		case TTE_BREAKER_OPEN:
			wait = tte_breaker_due(breaker) - now;
			if (wait > 0 && wait <= LONGEST_PAUSE)
				return 0;

			/*
			 * Throttling counts requests, not events: with one event per
			 * probe a throttled source would get nowhere, and a refused batch
			 * costs nothing.
			 */
			return breaker->cause == TTE_OUTCOME_THROTTLE ? batch_size : 1;

		case TTE_BREAKER_HALF_OPEN:
			return 0;
	}
	return 0;
}

void
tte_breaker_sent(TteBreaker *breaker)
{
	if (breaker->state == TTE_BREAKER_OPEN)
	{
		breaker->state = TTE_BREAKER_HALF_OPEN;
		breaker->in_flight = 0; /* what is not back by now is given up */
		breaker->stale = 0;
	}
	breaker->in_flight++;
}

/* Counts a request as ended; true when it is one of those that say nothing. */
static bool
count_ended(TteBreaker *breaker)
{
	bool		stale = breaker->stale > 0;

	if (stale)
		breaker->stale--;
	if (breaker->in_flight > 0)
		breaker->in_flight--;
	return stale;
}

void
tte_breaker_dropped(TteBreaker *breaker)
{
	bool		stale = count_ended(breaker);

	/* Without an answer there is no verdict: the probe may be repeated. */
	if (!stale && breaker->state == TTE_BREAKER_HALF_OPEN)
		breaker->state = TTE_BREAKER_OPEN;
}

static void
open_breaker(TteBreaker *breaker, const TteReply *reply, int64 now, double dice)
{
	breaker->state = TTE_BREAKER_OPEN;
	breaker->cause = reply->outcome;
	breaker->ramp = 0;
	breaker->stale = breaker->in_flight;
	breaker->probe_at = now + probe_delay(reply, breaker->failures, dice);
}

/*
 * After endpoint trouble the failure count survives until the ramp is done:
 * an endpoint that comes up for a moment only does not start the back-off
 * over.  Throttling needs no ramp, it does not count events.
 */
static void
close_breaker(TteBreaker *breaker, int64 now)
{
	breaker->state = TTE_BREAKER_CLOSED;
	breaker->since = now;
	breaker->ramp = RAMP_FIRST;
	if (breaker->cause == TTE_OUTCOME_THROTTLE)
	{
		breaker->failures = 0;
		breaker->ramp = 0;
	}
}

/* Does the outcome say that nothing can be delivered for now? */
static bool
is_trouble(TteOutcome outcome)
{
	switch (outcome)
	{
		case TTE_OUTCOME_RETRY:
		case TTE_OUTCOME_THROTTLE:
		case TTE_OUTCOME_STOP_CREDENTIAL:
		case TTE_OUTCOME_STOP_CONFIGURATION:
		case TTE_OUTCOME_STOP_ENDPOINT:
			return true;
		case TTE_OUTCOME_DELIVERED:
		case TTE_OUTCOME_SINGLY:
		case TTE_OUTCOME_ISOLATE:
		case TTE_OUTCOME_SPLIT:
			return false;
	}
	return true;
}

/* An ailing endpoint fails in both ways, connecting and answering. */
static bool
same_trouble(TteOutcome one, TteOutcome other)
{
	if (one == TTE_OUTCOME_RETRY)
		one = TTE_OUTCOME_STOP_ENDPOINT;
	if (other == TTE_OUTCOME_RETRY)
		other = TTE_OUTCOME_STOP_ENDPOINT;
	return one == other;
}

static void
count_success(TteBreaker *breaker)
{
	if (breaker->ramp == RAMP_FIRST)
		breaker->ramp = RAMP_SECOND;
	else
	{
		breaker->ramp = 0;
		breaker->failures = 0;
	}
}

static bool
result_while_closed(TteBreaker *breaker, const TteReply *reply, int64 now, double dice)
{
	bool		ramping = breaker->ramp > 0;

	breaker->failures++;

	/* Unclear outcomes get some chances, unless a pause is asked for. */
	if (reply->outcome == TTE_OUTCOME_RETRY && reply->retry_after == 0 &&
		!ramping && breaker->failures < RETRIES_TO_OPEN)
		return false;

	/* Outside a ramp the failures so far were a run, not back-off steps. */
	if (!ramping || !same_trouble(reply->outcome, breaker->cause))
		breaker->failures = 1;
	breaker->since = now;
	open_breaker(breaker, reply, now, dice);
	return true;
}

static bool
result_of_probe(TteBreaker *breaker, const TteReply *reply, int64 now, double dice)
{
	if (!is_trouble(reply->outcome))
	{
		close_breaker(breaker, now);
		return true;
	}
	if (same_trouble(reply->outcome, breaker->cause))
		breaker->failures++;
	else
		breaker->failures = 1;
	open_breaker(breaker, reply, now, dice);
	return false;
}

bool
tte_breaker_result(TteBreaker *breaker, const TteReply *reply, int64 now, double dice)
{
	if (count_ended(breaker))
	{
		/* It does not decide, but a pause that it names is kept. */
		if (breaker->state == TTE_BREAKER_OPEN && is_trouble(reply->outcome))
			breaker->probe_at = Max(breaker->probe_at, now + reply->retry_after);
		return false;
	}
	switch (breaker->state)
	{
		case TTE_BREAKER_CLOSED:
			if (is_trouble(reply->outcome))
				return result_while_closed(breaker, reply, now, dice);
			count_success(breaker);
			return false;
		case TTE_BREAKER_HALF_OPEN:
			return result_of_probe(breaker, reply, now, dice);
		case TTE_BREAKER_OPEN:
			return false;		/* not counted as sent, or given up */
	}
	return false;
}

/*
 * What is under way was sent with the old token: the next results, as many
 * as there are requests under way, are not held against the new one.
 */
void
tte_breaker_reset(TteBreaker *breaker)
{
	if (breaker->state != TTE_BREAKER_CLOSED)
		breaker->ramp = RAMP_FIRST;
	breaker->state = TTE_BREAKER_CLOSED;
	breaker->failures = 0;
	breaker->probe_at = 0;
	breaker->stale = breaker->in_flight;
}

/*
 * A bucket of one second's depth, kept as the time at which it would be full
 * again if nothing more were taken.  So up to per_second requests may start
 * at once after a rest, and per_second in each second from then on.
 */
int64
tte_rate_take(TteRate *rate, int per_second, int64 now)
{
	int64		interval = SECOND / Max(per_second, 1);
	int64		depth = SECOND - interval;

	/* More than a full bucket of debt: the clock was set back. */
	if (rate->next_free < now || rate->next_free > now + SECOND)
		rate->next_free = now;
	if (rate->next_free - depth > now)
		return rate->next_free - depth;
	rate->next_free += interval;
	return 0;
}
