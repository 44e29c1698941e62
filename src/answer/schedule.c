/*-------------------------------------------------------------------------
 *
 * schedule.c
 *	  When to try again: retry times, pauses of a source, and what a token
 *	  allows.
 *
 *-------------------------------------------------------------------------
 */
#include "answer/schedule.h"

#define SECOND				INT64CONST(1000000)
#define MINUTE				(60 * SECOND)
#define HOUR				(60 * MINUTE)

#define RETRY_JITTER		0.2
#define ENDPOINT_BASE		(2 * SECOND)
#define ENDPOINT_CAP		(50 * SECOND)	/* so that after an outage all
											 * sources go on within a minute */
#define ENDPOINT_FLOOR		(SECOND / 10)
#define OPERATOR_PROBE		(5 * MINUTE)
#define THROTTLE_FIRST		(2 * SECOND)
#define THROTTLE_SECOND		(5 * MINUTE)
#define THROTTLE_CAP		HOUR
#define BREACH_MEMORY		MINUTE
#define TRIAL_TIME			(2 * SECOND)
#define WORTH_TELLING		(5 * SECOND)
#define PACE_LEAST			(16 * 1024) /* bytes of a body */
#define PACE_HALVINGS		6
#define PACE_BODIES			8	/* so many have to pass before it is twice as
								 * much */
#define PACE_RELAPSES		5	/* and twice as many after each relapse, so
								 * often */

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

/* base * 2^(n - 1), at most cap */
static int64
doubled(int64 base, int n, int64 cap)
{
	int64		delay = base;

	for (int i = 1; i < n && delay < cap; i++)
		delay *= 2;
	return Min(delay, cap);
}

/*
 * A code about the token or the configuration needs an operator.  Everything
 * else has full jitter, because many databases may be waiting for the same endpoint.
 */
int64
tte_probe_delay(const TteReply *reply, int failures, double dice)
{
	int64		delay;

	if (failures == 0)
		return reply->retry_after;
	if (reply->outcome == TTE_OUTCOME_STOP_CREDENTIAL || reply->outcome == TTE_OUTCOME_STOP_CONFIGURATION)
		return Max(OPERATOR_PROBE, reply->retry_after);
	delay = (int64) (doubled(ENDPOINT_BASE, failures, ENDPOINT_CAP) * dice);
	return Max(Max(delay, ENDPOINT_FLOOR), reply->retry_after);
}

/*
 * A token bucket of one second's depth, kept as the time when it is full again
 * if nothing more is taken.  So up to per_second requests may start at once
 * after a rest, and per_second in each second from then on.
 */
int64
tte_token_due(const TteToken *token, int per_second, int64 now)
{
	int64		depth = SECOND - SECOND / Max(per_second, 1);

	if (token->paused_until > now && token->paused_until <= now + THROTTLE_CAP)
		return token->paused_until;
	if (token->trial_at != 0 && token->trial_at <= now && now - token->trial_at < TRIAL_TIME)
		return token->trial_at + TRIAL_TIME;
	/* More than a full bucket of debt: the clock was set back. */
	if (token->full_at - depth > now && token->full_at <= now + SECOND)
		return token->full_at - depth;
	return 0;
}

void
tte_token_take(TteToken *token, int per_second, int64 now)
{
	if (token->full_at < now || token->full_at > now + SECOND)
		token->full_at = now;
	token->full_at += SECOND / Max(per_second, 1);
	/* after a pause one request tests whether it is over */
	if (token->breaches > 0 && token->trial_at == 0 && token->full_at > token->paused_until && !token->tried)
	{
		token->trial_at = now;
		token->tried = true;
	}
}

/*
 * A limit by the second is over after it, one by the minute after five, one by
 * the day at midnight UTC; nothing in the answer tells them apart.  So the first
 * pause is two seconds, the second within a minute five minutes, and from then on
 * each is twice as long as the one before, up to an hour: a day's limit costs about
 * two dozen requests and at most an hour after midnight.
 */
void
tte_token_throttled(TteToken *token, const TteReply *reply, const char *str, int64 started_at, int64 now)
{
	int64		pause = THROTTLE_FIRST;

	/* requests that were under way when the pause began say nothing new */
	if (token->breaches > 0 && started_at < token->breached_at)
	{
		token->paused_until = Max(token->paused_until, now + reply->retry_after);
		return;
	}
	if (token->breaches == 1 && now - token->paused_until > BREACH_MEMORY)
		token->breaches = 0;
	if (++token->breaches > 1)
		pause = doubled(THROTTLE_SECOND, token->breaches - 1, THROTTLE_CAP);
	strlcpy(token->reason, str, sizeof(token->reason));
	token->breached_at = now;
	token->trial_at = 0;
	token->tried = false;
	token->paused_until = now + (reply->retry_after > 0 && !reply->has_code ? reply->retry_after : Max(pause, reply->retry_after));
}

bool
tte_token_waits(const TteToken *token, int64 now)
{
	return token->paused_until > now && token->paused_until - token->breached_at >= WORTH_TELLING;
}

void
tte_token_passed(TteToken *token, int64 started_at)
{
	if (started_at < token->breached_at)
		return;
	token->trial_at = 0;

	/*
	 * the second of two within a minute is the second whatever passes between
	 * them
	 */
	token->breaches = Min(token->breaches, 1);
}

bool
tte_token_is_plain(const TteToken *token, int64 now)
{
	return token->breaches == 0 || (token->breaches == 1 && now - token->paused_until > BREACH_MEMORY);
}

void
tte_token_used(TteToken *token, int64 at, int64 now)
{
	if (at <= now && at + SECOND > Max(now, token->full_at))
		token->full_at = at + SECOND;
}

void
tte_token_clock_set_back(TteToken *token, int64 now)
{
	token->full_at = 0;
	token->trial_at = 0;
	token->breached_at = Min(token->breached_at, now);
	token->paused_until = Min(token->paused_until, now);
}

int
tte_pace_body(const TtePace *pace, int most)
{
	return Max(most >> pace->halvings, Min(most, PACE_LEAST));
}

int
tte_pace_requests(const TtePace *pace, int most)
{
	return Max(most >> pace->halvings, 1);
}

/* Requests that were under way together are one reason, not several. */
static bool
is_of_before(const TtePace *pace, int64 started_at)
{
	return pace->changed_at != 0 && started_at < pace->changed_at;
}

bool
tte_pace_too_slow(TtePace *pace, int64 started_at, int64 now)
{
	if (is_of_before(pace, started_at) || pace->halvings == PACE_HALVINGS)
		return false;
	if (pace->grown)
		pace->relapses = now - pace->changed_at < HOUR ? Min(pace->relapses + 1, PACE_RELAPSES) : 0;
	pace->halvings++;
	pace->changed_at = now;
	pace->sent = 0;
	pace->grown = false;
	return true;
}

bool
tte_pace_passed(TtePace *pace, int bytes, int most, int64 started_at, int64 now)
{
	if (pace->halvings == 0 || is_of_before(pace, started_at))
		return false;
	pace->sent += bytes;
	if (pace->sent < ((int64) PACE_BODIES << pace->relapses) * tte_pace_body(pace, most))
		return false;
	pace->halvings--;
	pace->changed_at = now;
	pace->sent = 0;
	pace->grown = true;
	return true;
}
