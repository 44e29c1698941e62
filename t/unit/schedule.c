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

static double
dice(void)
{
	return random() / (RAND_MAX + 1.0);
}

static TteReply
came_to(TteOutcome outcome, int code, int64 retry_after)
{
	return (TteReply)
	{
		.outcome = outcome, .has_code = code != 0, .code = code, .retry_after = retry_after, .bad_index = -1
	};
}

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
		if (i + 1 < TTE_BLOCKED_ATTEMPTS)
			sum += tte_retry_delay(i + 1, 0.5);
	}
	ok(sum > 43 * HOUR && sum < TTE_RETRY_HORIZON, "fifteen tries fit into the horizon");
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

static void
test_probe_delay(void)
{
	TteReply	trouble = came_to(TTE_OUTCOME_RETRY, 0, 0);
	TteReply	token = came_to(TTE_OUTCOME_STOP_CREDENTIAL, 40105, 0);
	TteReply	pause = came_to(TTE_OUTCOME_RETRY, 0, 90 * SECOND);
	bool		within = true;

	ok(tte_probe_delay(&trouble, 0, 0.5) == 0 && tte_probe_delay(&token, 0, 0.5) == 0, "the first probe goes at once");
	ok(tte_probe_delay(&pause, 0, 0.5) == 90 * SECOND, "but not before a pause that the answer asks for");
	ok(tte_probe_delay(&trouble, 1, 0.5) == SECOND && tte_probe_delay(&trouble, 3, 0.5) == 4 * SECOND, "then it doubles");
	ok(tte_probe_delay(&token, 1, 0.5) == 5 * MINUTE && tte_probe_delay(&token, 9, 0.5) == 5 * MINUTE, "a token is probed every five minutes");
	for (int failures = 1; failures < 100; failures++)
		within &= tte_probe_delay(&trouble, failures, dice()) <= 50 * SECOND && tte_probe_delay(&trouble, failures, 0) > 0;
	ok(within, "within a minute of the end of an outage there is a probe");
}

static void
test_rate(void)
{
	TteToken	token = {0};
	int			n = 0;

	for (int64 now = START; now < START + 10 * SECOND; now += MS)
	{
		while (tte_token_due(&token, 50, now) == 0)
		{
			tte_token_take(&token, 50, now);
			n++;
		}
	}
	ok(n >= 500 && n <= 550, "fifty a second, and a bucket of one second");
	token.full_at = START + HOUR;
	ok(tte_token_due(&token, 50, START) == 0, "a clock that was set back does not stop it");
}

static void
test_throttle(void)
{
	TteToken	token = {0};
	TteReply	often = came_to(TTE_OUTCOME_THROTTLE, 40100, 0);
	TteReply	header = came_to(TTE_OUTCOME_THROTTLE, 0, 7 * SECOND);
	TteReply	blocked = came_to(TTE_OUTCOME_THROTTLE, 61000, 30 * MINUTE);
	int64		now = START;
	int64		pauses[8];

	for (int i = 0; i < lengthof(pauses); i++)
	{
		tte_token_take(&token, 50, now);
		tte_token_throttled(&token, &often, "throttle: code 40100", now, now);
		pauses[i] = token.paused_until - now;
		now = token.paused_until;
	}
	ok(pauses[0] == 2 * SECOND, "the first costs two seconds");
	ok(pauses[1] == 5 * MINUTE, "the second within a minute five minutes");
	ok(pauses[2] == 10 * MINUTE && pauses[3] == 20 * MINUTE && pauses[7] == HOUR, "then it doubles, up to an hour");
	ok(tte_token_due(&token, 50, now) == 0, "then one request goes");
	tte_token_take(&token, 50, now);
	ok(tte_token_due(&token, 50, now) > now, "alone");
	tte_token_passed(&token, now);
	ok(tte_token_due(&token, 50, now) == 0, "until it is answered");
	tte_token_throttled(&token, &often, "", now, now + SECOND);
	ok(token.paused_until - now == 5 * MINUTE + SECOND, "whatever passes between, two within a minute are two");

	memset(&token, 0, sizeof(token));
	tte_token_throttled(&token, &often, "", START, START + SECOND);
	tte_token_throttled(&token, &often, "", START, START + SECOND);
	ok(token.paused_until == START + 3 * SECOND, "what was under way before says nothing new");
	tte_token_passed(&token, START + 4 * SECOND);
	tte_token_throttled(&token, &often, "", START + 2 * MINUTE, START + 2 * MINUTE);
	ok(token.paused_until == START + 2 * MINUTE + 2 * SECOND, "after a minute it is the first again");
	memset(&token, 0, sizeof(token));
	tte_token_throttled(&token, &header, "", START, START);
	ok(token.paused_until == START + 7 * SECOND, "a pause that only a header asks for is obeyed as it is");
	memset(&token, 0, sizeof(token));
	tte_token_throttled(&token, &blocked, "", START, START);
	ok(token.paused_until == START + 30 * MINUTE && tte_token_waits(&token, START), "a list of blocked ones: a long one, which is worth telling");
	tte_token_clock_set_back(&token, START - HOUR);
	ok(tte_token_due(&token, 50, START - HOUR) == 0, "a clock that is set back ends it");
}

typedef struct PaceCase
{
	bool		slow;			/* else it passed */
	int			started;		/* seconds */
	int			ended;
	int			bytes;
	bool		changed;
	int			body;			/* kB, from then on */
	int			requests;
	const char *name;
} PaceCase;

#define KB	1024

/* Worked out by hand, for bodies of at most 1 MB and 4 requests at a time. */
static void
test_pace(void)
{
	static const PaceCase cases[] = {
		{false, 0, 1, 1024 * KB, false, 1024, 4, "as long as all is well nothing changes"},
		{true, 2, 32, 1024 * KB, true, 512, 2, "a request that is too slow: half"},
		{true, 2, 33, 1024 * KB, false, 512, 2, "one that was under way beside it says nothing new"},
		{false, 30, 34, 1024 * KB, false, 512, 2, "nor does one that passes"},
		{true, 34, 64, 512 * KB, true, 256, 1, "again too slow: a quarter, one at a time"},
		{true, 64, 94, 256 * KB, true, 128, 1, "an eighth, and still one"},
		{false, 94, 95, 7 * 128 * KB, false, 128, 1, "seven bodies of that size"},
		{false, 95, 96, 128 * KB - 1, false, 128, 1, "not quite eight"},
		{false, 96, 97, 1, true, 256, 1, "eight: twice as much"},
		{true, 90, 98, 0, false, 256, 1, "what was sent before was not too much of it"},
		{true, 98, 128, 256 * KB, true, 128, 1, "a relapse"},
		{false, 128, 129, 15 * 128 * KB, false, 128, 1, "after it fifteen bodies are not enough"},
		{false, 129, 130, 128 * KB, true, 256, 1, "but sixteen are"},
		{false, 130, 131, 16 * 256 * KB, true, 512, 2, "and the same for the next step"},
		{false, 131, 132, 16 * 512 * KB, true, 1024, 4, "and the last"},
		{false, 132, 133, 1000 * 1024 * KB, false, 1024, 4, "more than all is not allowed"},
		{true, 4000, 4030, 1024 * KB, true, 512, 2, "an hour later it is no relapse any more"},
		{false, 4030, 4031, 8 * 512 * KB, true, 1024, 4, "so eight are enough again"},
		{true, 4031, 4061, 0, true, 512, 2, "the least: 1"},
		{true, 4061, 4091, 0, true, 256, 1, "the least: 2"},
		{true, 4091, 4121, 0, true, 128, 1, "the least: 3"},
		{true, 4121, 4151, 0, true, 64, 1, "the least: 4"},
		{true, 4151, 4181, 0, true, 32, 1, "the least: 5"},
		{true, 4181, 4211, 0, true, 16, 1, "the least: 6"},
		{true, 4211, 4241, 0, false, 16, 1, "the least: no more"}
	};
	TtePace		pace = {0};

	for (int i = 0; i < lengthof(cases); i++)
	{
		const PaceCase *c = &cases[i];
		int64		started = START + c->started * SECOND;
		int64		ended = START + c->ended * SECOND;
		bool		changed = c->slow ? tte_pace_too_slow(&pace, started, ended) :
		tte_pace_passed(&pace, c->bytes, 1024 * KB, started, ended);

		ok(changed == c->changed && tte_pace_body(&pace, 1024 * KB) == c->body * KB &&
		   tte_pace_requests(&pace, 4) == c->requests, c->name);
	}
	ok(tte_pace_body(&pace, 10 * 1024 * KB) == 160 * KB, "a larger limit is divided as well");
	memset(&pace, 0, sizeof(pace));
	(void) tte_pace_too_slow(&pace, START, START);
	ok(tte_pace_body(&pace, 16 * KB) == 16 * KB && tte_pace_requests(&pace, 1) == 1, "the smallest limits stay");
}

int
main(int argc, char **argv)
{
	srandom(1);
	test_retry_delay();
	test_probe_delay();
	test_rate();
	test_throttle();
	test_pace();
	return tap_end();
}
