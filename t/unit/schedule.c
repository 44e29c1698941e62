/*-------------------------------------------------------------------------
 *
 * schedule.c
 *	  Unit test of answer/schedule.c.
 *
 *-------------------------------------------------------------------------
 */
#include "answer/schedule.h"
#include "tap.h"

#define MS			INT64CONST(1000)
#define SECOND		INT64CONST(1000000)
#define MINUTE		(60 * SECOND)
#define HOUR		(60 * MINUTE)
#define START		(INT64CONST(1794000000) * SECOND)

static TteReply
came_to(TteOutcome outcome, int64 retry_after)
{
	TteReply	reply = {0};

	reply.outcome = outcome;
	reply.retry_after = retry_after;
	reply.bad_index = -1;
	return reply;
}

/* One request and its result. */
static bool
exchange(TteBreaker *breaker, TteOutcome outcome, int64 now)
{
	TteReply	reply = came_to(outcome, 0);

	tte_breaker_sent(breaker);
	return tte_breaker_result(breaker, &reply, now, 0.5);
}

static bool
result(TteBreaker *breaker, TteOutcome outcome, int64 retry_after, int64 now)
{
	TteReply	reply = came_to(outcome, retry_after);

	return tte_breaker_result(breaker, &reply, now, 0.5);
}

static double
dice(void)
{
	return random() / (RAND_MAX + 1.0);
}

/*-------------------------------------------------------------------------
 * Retry times
 *-------------------------------------------------------------------------
 */

static void
test_retry_delay(void)
{
	static const int64 plain[] = {
		5 * SECOND, 30 * SECOND, 2 * MINUTE, 10 * MINUTE, 30 * MINUTE, HOUR, 2 * HOUR, 4 * HOUR,
		6 * HOUR, 6 * HOUR, 6 * HOUR, 6 * HOUR, 6 * HOUR, 6 * HOUR, 6 * HOUR
	};
	int64		sum = 0;
	bool		within = true;
	char		name[64];

	for (int i = 0; i < lengthof(plain); i++)
	{
		snprintf(name, sizeof(name), "delay after try %d", i + 1);
		ok(tte_retry_delay(i + 1, 0.5) == plain[i], name);
		if (i + 1 < TTE_RETRY_ATTEMPTS)
			sum += tte_retry_delay(i + 1, 0.5);
	}
	ok(sum > 43 * HOUR && sum < TTE_RETRY_HORIZON, "all tries fit into the horizon");
	for (int i = 0; i < 100000; i++)
	{
		int			attempts = 1 + random() % 20;
		int64		delay = tte_retry_delay(attempts, dice());
		int64		middle = plain[Min(attempts, 9) - 1];

		within &= delay >= middle * 8 / 10 && delay <= middle * 12 / 10;
	}
	ok(within, "jitter stays within 20 %");
	ok(tte_retry_delay(0, 0.5) == 5 * SECOND && tte_retry_delay(-7, 0.5) == 5 * SECOND,
	   "no try yet counts as one");
	ok(tte_retry_delay(PG_INT32_MAX, 0.999) < TTE_RETRY_LONGEST, "any number of tries");
}

/*-------------------------------------------------------------------------
 * The breaker
 *-------------------------------------------------------------------------
 */

static void
test_closed(void)
{
	TteBreaker	breaker = {0};

	ok(tte_breaker_allows(&breaker, START, 1000) == 1000, "a zeroed breaker is closed");
	ok(tte_breaker_due(&breaker) == 0, "due at once");
	ok(!exchange(&breaker, TTE_OUTCOME_DELIVERED, START), "a success changes nothing");
	exchange(&breaker, TTE_OUTCOME_ISOLATE, START);
	exchange(&breaker, TTE_OUTCOME_SINGLY, START);
	exchange(&breaker, TTE_OUTCOME_SPLIT, START);
	ok(breaker.state == TTE_BREAKER_CLOSED, "nor do answers about the events");
	for (int i = 0; i < 10; i++)
	{
		exchange(&breaker, TTE_OUTCOME_RETRY, START);
		exchange(&breaker, TTE_OUTCOME_RETRY, START);
		exchange(&breaker, TTE_OUTCOME_DELIVERED, START);
	}
	ok(breaker.state == TTE_BREAKER_CLOSED, "two unclear outcomes in a row do not open it");
	ok(breaker.in_flight == 0, "requests are counted");
}

static void
test_opening(void)
{
	static const TteOutcome at_once[] = {
		TTE_OUTCOME_THROTTLE, TTE_OUTCOME_STOP_CREDENTIAL, TTE_OUTCOME_STOP_CONFIGURATION,
		TTE_OUTCOME_STOP_ENDPOINT
	};
	char		name[64];
	TteBreaker	breaker = {0};

	for (int i = 0; i < lengthof(at_once); i++)
	{
		TteBreaker	fresh = {0};

		snprintf(name, sizeof(name), "%s opens it at once", tte_outcome_name(at_once[i]));
		ok(exchange(&fresh, at_once[i], START) && fresh.state == TTE_BREAKER_OPEN &&
		   fresh.cause == at_once[i] && fresh.since == START &&
		   tte_breaker_allows(&fresh, START, 1000) == 0, name);
	}
	ok(!exchange(&breaker, TTE_OUTCOME_RETRY, START), "first unclear outcome");
	ok(!exchange(&breaker, TTE_OUTCOME_RETRY, START), "second unclear outcome");
	ok(exchange(&breaker, TTE_OUTCOME_RETRY, START), "the third opens it");
	ok(breaker.probe_at - START == 1 * SECOND, "with the first step of the back-off");

	memset(&breaker, 0, sizeof(breaker));
	tte_breaker_sent(&breaker);
	ok(result(&breaker, TTE_OUTCOME_RETRY, 900 * SECOND, START) &&
	   breaker.probe_at - START == 900 * SECOND, "an unclear outcome that asks for a pause opens it at once");
}

static void
test_probe(void)
{
	TteBreaker	breaker = {0};
	int64		at;

	exchange(&breaker, TTE_OUTCOME_STOP_ENDPOINT, START);
	at = breaker.probe_at;
	ok(tte_breaker_allows(&breaker, at - 1, 1000) == 0, "nothing before the probe is due");
	ok(tte_breaker_allows(&breaker, at, 1000) == 1, "then one event");
	ok(tte_breaker_due(&breaker) == at, "due at that time");
	tte_breaker_sent(&breaker);
	ok(breaker.state == TTE_BREAKER_HALF_OPEN && tte_breaker_allows(&breaker, at, 1000) == 0,
	   "one probe only");
	ok(tte_breaker_due(&breaker) == PG_INT64_MAX, "due when the probe is back");
	ok(!result(&breaker, TTE_OUTCOME_STOP_ENDPOINT, 0, at) && breaker.state == TTE_BREAKER_OPEN &&
	   breaker.since == START, "its failure opens it again, quietly");
	ok(breaker.probe_at - at == 2 * SECOND, "for twice as long");
	at = breaker.probe_at;
	tte_breaker_sent(&breaker);
	ok(result(&breaker, TTE_OUTCOME_DELIVERED, 0, at) && breaker.state == TTE_BREAKER_CLOSED &&
	   breaker.since == at, "its success closes it");
	ok(tte_breaker_allows(&breaker, at, 1000) == 10, "the ramp begins with 10 events");
	ok(tte_breaker_allows(&breaker, at, 3) == 3, "or less");
	exchange(&breaker, TTE_OUTCOME_DELIVERED, at);
	ok(tte_breaker_allows(&breaker, at, 1000) == 100, "then 100");
	exchange(&breaker, TTE_OUTCOME_DELIVERED, at);
	ok(tte_breaker_allows(&breaker, at, 1000) == 1000, "then all");
	ok(breaker.failures == 0, "and the past is forgotten");
}

static void
test_flapping(void)
{
	TteBreaker	breaker = {0};

	exchange(&breaker, TTE_OUTCOME_STOP_ENDPOINT, START);
	exchange(&breaker, TTE_OUTCOME_STOP_ENDPOINT, START);
	exchange(&breaker, TTE_OUTCOME_DELIVERED, START);
	ok(exchange(&breaker, TTE_OUTCOME_RETRY, START), "within the ramp one unclear outcome opens it");
	ok(breaker.probe_at - START == 4 * SECOND, "and the back-off goes on where it was");
	exchange(&breaker, TTE_OUTCOME_DELIVERED, START);
	exchange(&breaker, TTE_OUTCOME_THROTTLE, START);
	ok(breaker.failures == 1, "trouble of another kind starts anew");
}

static void
test_delays(void)
{
	TteBreaker	breaker = {0};
	TteReply	reply = came_to(TTE_OUTCOME_STOP_ENDPOINT, 0);
	int64		now = START;
	int64		longest = 0;
	int64		shortest = HOUR;

	for (int i = 0; i < 10000; i++)
	{
		tte_breaker_sent(&breaker);
		tte_breaker_result(&breaker, &reply, now, dice());
		longest = Max(longest, breaker.probe_at - now);
		shortest = Min(shortest, breaker.probe_at - now);
		now = breaker.probe_at;
	}
	ok(longest <= 5 * MINUTE && longest > 4 * MINUTE, "endpoint: never more than five minutes");
	ok(shortest >= 100 * MS, "endpoint: never at once");

	memset(&breaker, 0, sizeof(breaker));
	for (int i = 0; i < 3; i++)
	{
		exchange(&breaker, TTE_OUTCOME_STOP_CREDENTIAL, START);
		ok(breaker.probe_at - START == 5 * MINUTE, "credential: a probe each five minutes");
	}
	exchange(&breaker, TTE_OUTCOME_STOP_CONFIGURATION, START);
	ok(breaker.probe_at - START == 5 * MINUTE && breaker.cause == TTE_OUTCOME_STOP_CONFIGURATION,
	   "configuration: likewise, and the cause follows");
}

static void
test_throttle(void)
{
	TteBreaker	breaker = {0};
	int64		expected = 2 * SECOND;
	bool		doubling = true;

	tte_breaker_sent(&breaker);
	result(&breaker, TTE_OUTCOME_THROTTLE, 7 * SECOND, START);
	ok(breaker.probe_at - START == 7 * SECOND, "throttle: as long as asked for");
	ok(tte_breaker_allows(&breaker, breaker.probe_at, 1000) == 1000,
	   "throttle: the probe is a whole batch, requests are what counts");
	exchange(&breaker, TTE_OUTCOME_DELIVERED, START);
	ok(tte_breaker_allows(&breaker, START, 1000) == 1000, "throttle: no ramp");

	memset(&breaker, 0, sizeof(breaker));
	for (int i = 0; i < 20; i++)
	{
		exchange(&breaker, TTE_OUTCOME_THROTTLE, START);
		doubling &= breaker.probe_at - START == expected;
		expected = Min(expected * 2, HOUR);
	}
	ok(doubling, "throttle: doubling up to an hour on its own");

	memset(&breaker, 0, sizeof(breaker));
	expected = 5 * MINUTE;
	doubling = true;
	for (int i = 0; i < 6; i++)
	{
		TteReply	reply = {.outcome = TTE_OUTCOME_THROTTLE, .has_code = true, .code = 40100, .retry_after = 5 * MINUTE};

		tte_breaker_sent(&breaker);
		tte_breaker_result(&breaker, &reply, START, 0.5);
		doubling &= breaker.probe_at - START == expected;
		expected = Min(expected * 2, HOUR);
	}
	ok(doubling, "throttle: the pause for a code may be that of a day's limit and doubles up to an hour");
}

/* Requests under way when it opened decide nothing. */
static void
test_stale(void)
{
	TteBreaker	breaker = {0};
	int64		at;

	for (int i = 0; i < 4; i++)
		tte_breaker_sent(&breaker);
	ok(result(&breaker, TTE_OUTCOME_STOP_ENDPOINT, 0, START), "the first of four opens it");
	at = breaker.probe_at;
	ok(!result(&breaker, TTE_OUTCOME_STOP_ENDPOINT, 0, START) && breaker.failures == 1 &&
	   breaker.probe_at == at, "the second does not open it again");
	ok(!result(&breaker, TTE_OUTCOME_DELIVERED, 0, START) && breaker.state == TTE_BREAKER_OPEN,
	   "the third, a success, does not close it");
	ok(tte_breaker_allows(&breaker, at, 1000) == 0, "the probe waits for the fourth");
	ok(tte_breaker_due(&breaker) > at && tte_breaker_due(&breaker) <= at + 5 * MINUTE, "so it is due later");
	ok(tte_breaker_allows(&breaker, at + 5 * MINUTE, 1000) == 1, "but not for ever");
	result(&breaker, TTE_OUTCOME_RETRY, 0, START);
	ok(tte_breaker_allows(&breaker, at, 1000) == 1, "it is back: the probe may go");
	tte_breaker_sent(&breaker);
	ok(result(&breaker, TTE_OUTCOME_DELIVERED, 0, at), "and its result decides");

	memset(&breaker, 0, sizeof(breaker));
	tte_breaker_sent(&breaker);
	tte_breaker_sent(&breaker);
	result(&breaker, TTE_OUTCOME_THROTTLE, 2 * SECOND, START);
	result(&breaker, TTE_OUTCOME_THROTTLE, 60 * SECOND, START);
	ok(breaker.probe_at - START == 60 * SECOND, "a longer pause is kept, whoever asks");
}

static void
test_given_up(void)
{
	TteBreaker	breaker = {0};

	tte_breaker_sent(&breaker);
	tte_breaker_sent(&breaker);
	result(&breaker, TTE_OUTCOME_STOP_ENDPOINT, 0, START);
	tte_breaker_dropped(&breaker);
	ok(tte_breaker_allows(&breaker, breaker.probe_at, 1000) == 1, "a dropped request is not waited for");
	tte_breaker_sent(&breaker);
	tte_breaker_dropped(&breaker);
	ok(breaker.state == TTE_BREAKER_OPEN &&
	   tte_breaker_allows(&breaker, breaker.probe_at, 1000) == 1, "a dropped probe may be repeated");

	tte_breaker_sent(&breaker);
	result(&breaker, TTE_OUTCOME_DELIVERED, 0, START);
	ok(!result(&breaker, TTE_OUTCOME_DELIVERED, 0, START) && breaker.in_flight == 0,
	   "a result too many does no harm");
	memset(&breaker, 0, sizeof(breaker));
	exchange(&breaker, TTE_OUTCOME_STOP_ENDPOINT, START);
	ok(!result(&breaker, TTE_OUTCOME_DELIVERED, 0, START) && breaker.state == TTE_BREAKER_OPEN,
	   "not while it is open either");
}

static void
test_reset(void)
{
	TteBreaker	breaker = {0};

	tte_breaker_sent(&breaker);
	exchange(&breaker, TTE_OUTCOME_STOP_CREDENTIAL, START);
	tte_breaker_reset(&breaker);
	ok(breaker.state == TTE_BREAKER_CLOSED && breaker.failures == 0, "a reset closes it");
	ok(tte_breaker_allows(&breaker, START, 1000) == 10, "with the ramp");
	ok(!result(&breaker, TTE_OUTCOME_STOP_CREDENTIAL, 0, START) &&
	   breaker.state == TTE_BREAKER_CLOSED, "what was sent before it is not held against it");
	ok(exchange(&breaker, TTE_OUTCOME_STOP_CREDENTIAL, START), "what is sent after it is");
	memset(&breaker, 0, sizeof(breaker));
	tte_breaker_reset(&breaker);
	ok(tte_breaker_allows(&breaker, START, 1000) == 1000, "resetting a closed one needs no ramp");
}

static void
test_clock(void)
{
	TteBreaker	breaker = {0};

	exchange(&breaker, TTE_OUTCOME_STOP_CREDENTIAL, START);
	ok(tte_breaker_allows(&breaker, START - 24 * HOUR, 1000) == 1, "clock set back a day: due now");
	ok(tte_breaker_allows(&breaker, START + 24 * HOUR * 365, 1000) == 1, "clock set on a year: due now");
}

/* Whatever happens in whatever order, it never gets stuck. */
static void
test_random(void)
{
	TteBreaker	breaker = {0};
	int64		now = START;
	int			out = 0;
	bool		sane = true;
	int64		blocked_since = 0;
	int64		longest = 0;

	for (int i = 0; i < 1000000; i++)
	{
		TteReply	reply = came_to(random() % (TTE_OUTCOME_STOP_ENDPOINT + 1),
									random() % 10 == 0 ? random() % HOUR : 0);

		now += random() % (10 * SECOND);
		if (tte_breaker_allows(&breaker, now, 1000) > 0)
		{
			blocked_since = now;
			if (out < 8)
			{
				tte_breaker_sent(&breaker);
				out++;
			}
		}
		if (out > 0 && random() % 2 == 0)
		{
			if (random() % 50 == 0)
				tte_breaker_dropped(&breaker);
			else
				tte_breaker_result(&breaker, &reply, now, dice());
			out--;
		}
		if (random() % 1000 == 0)
			tte_breaker_reset(&breaker);
		longest = Max(longest, now - blocked_since);
		sane &= breaker.in_flight >= 0 && breaker.stale >= 0 && breaker.stale <= breaker.in_flight &&
			breaker.in_flight <= out;
	}
	ok(sane, "random results: the counts stay right");
	ok(longest < 2 * HOUR, "random results: it never gets stuck");
}

/*-------------------------------------------------------------------------
 * The rate
 *-------------------------------------------------------------------------
 */

static int
taken_at(TteRate *rate, int per_second, int64 now)
{
	int			count = 0;

	while (count < 10000 && tte_rate_take(rate, per_second, now) == 0)
		count++;
	return count;
}

static void
test_rate(void)
{
	TteRate		rate = {0};
	int			count = 0;
	int64		next;

	ok(taken_at(&rate, 50, START) == 50, "after a rest one second's worth at once");
	next = tte_rate_take(&rate, 50, START);
	ok(next == START + 20 * MS, "then one each 20 ms");
	ok(tte_rate_take(&rate, 50, next - 1) == next && tte_rate_take(&rate, 50, next) == 0,
	   "at the time that was named, not before");
	for (int64 now = START + SECOND; now < START + 11 * SECOND; now += MS)
		count += taken_at(&rate, 50, now);
	ok(count >= 500 && count <= 550, "50 per second over ten seconds");
	ok(taken_at(&rate, 50, START + HOUR) == 50, "rest does not add up");

	memset(&rate, 0, sizeof(rate));
	ok(taken_at(&rate, 1, START) == 1 && tte_rate_take(&rate, 1, START) == START + SECOND,
	   "one per second");
	memset(&rate, 0, sizeof(rate));
	ok(taken_at(&rate, 1000, START) == 1000, "a thousand per second");
	ok(taken_at(&rate, 50, START - 24 * HOUR) == 50, "clock set back: no stall");
	ok(taken_at(&rate, 0, START) == 1, "zero counts as one");
}

int
main(int argc, char **argv)
{
	srandom(1);
	test_retry_delay();
	test_closed();
	test_opening();
	test_probe();
	test_flapping();
	test_delays();
	test_throttle();
	test_stale();
	test_given_up();
	test_reset();
	test_clock();
	test_random();
	test_rate();
	return tap_end();
}
