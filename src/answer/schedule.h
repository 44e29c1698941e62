/*-------------------------------------------------------------------------
 *
 * schedule.h
 *	  When to try again: retry times, pauses of a source, and what a token
 *	  allows.  Pure arithmetic: the caller brings the clock and the dice.
 *
 * Times are microseconds of one clock of the caller's choice; dice is a
 * uniform random number in [0, 1).
 *
 *-------------------------------------------------------------------------
 */
#ifndef TTE_SCHEDULE_H
#define TTE_SCHEDULE_H

#include "answer/verdict.h"

/* No retry is made later than this after an event may first have been received. */
#define TTE_RETRY_HORIZON	(INT64CONST(47) * 3600 * 1000000)

/* Delay before the next try after the given number of failed ones (1..), jittered. */
extern int64 tte_retry_delay(int attempts, double dice);

/* Longer than any delay. */
#define TTE_RETRY_LONGEST	(INT64CONST(8) * 3600 * 1000000)

/*
 * How long a stopped source waits for its next probe, after so many that failed in
 * a row since it stopped.  The first one goes at once, unless the answer names a pause.
 */
extern int64 tte_probe_delay(const TteReply *reply, int failures, double dice);

/* Shared by all sources with the same token.  Zeroed, it allows everything. */
typedef struct TteToken
{
	int64		full_at;		/* when its bucket of one second will be full
								 * again */
	int64		paused_until;	/* by TikTok */
	int64		breached_at;	/* the last answer that said "too often" */
	int			breaches;		/* in a row */
	int64		trial_at;		/* after a pause: the one request that went,
								 * unanswered; 0: none */
	bool		tried;			/* since the last pause */
	char		reason[64];		/* of the pause, in a few words */
} TteToken;

/* 0 when a request may start now, else when to ask again.  A request that starts takes from it. */
extern int64 tte_token_due(const TteToken *token, int per_second, int64 now);
extern void tte_token_take(TteToken *token, int per_second, int64 now);

/* A request that was started then is answered "too often": all sources of the token pause. */
extern void tte_token_throttled(TteToken *token, const TteReply *reply, const char *str, int64 started_at, int64 now);

/* Is the token paused, by more than the rate limit? */
extern bool tte_token_waits(const TteToken *token, int64 now);

/* The request was answered otherwise, or not at all. */
extern void tte_token_passed(TteToken *token, int64 started_at);

/* Would a zeroed one do as well?  Another worker took from it then: its bucket may have been empty. */
extern bool tte_token_is_plain(const TteToken *token, int64 now);
extern void tte_token_used(TteToken *token, int64 at, int64 now);

/* The clock was set back: discard times that were computed before. */
extern void tte_token_clock_set_back(TteToken *token, int64 now);

/*
 * How much is sent to a source at once.  Zeroed, as much as is allowed; less after
 * requests for which the line was too slow.
 */
typedef struct TtePace
{
	int			halvings;		/* of the size of bodies, and of requests at a
								 * time */
	int64		changed_at;
	int64		sent;			/* bytes since then */
	bool		grown;			/* the last change was for more */
	int			relapses;		/* after which it was too much again */
} TtePace;

/* The bytes of a body, and the requests at a time. */
extern int	tte_pace_body(const TtePace *pace, int most);
extern int	tte_pace_requests(const TtePace *pace, int most);

/*
 * A request that was started then was not sent in time, or was answered; most is
 * the size of bodies without a pace.  True: this changes something.
 */
extern bool tte_pace_too_slow(TtePace *pace, int64 started_at, int64 now);
extern bool tte_pace_passed(TtePace *pace, int bytes, int most, int64 started_at, int64 now);

#endif							/* TTE_SCHEDULE_H */
