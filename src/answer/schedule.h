/*-------------------------------------------------------------------------
 *
 * schedule.h
 *	  When to try again: retry times, the breaker of a source, the rate of a
 *	  token.  Pure arithmetic: the caller brings the clock and the dice.
 *
 * Times are microseconds of one clock of the caller's choice; dice is a
 * uniform random number in [0, 1).
 *
 *-------------------------------------------------------------------------
 */
#ifndef TTE_SCHEDULE_H
#define TTE_SCHEDULE_H

#include "answer/verdict.h"

/* No try is made later than this after an event may first have been received. */
#define TTE_RETRY_HORIZON	(INT64CONST(47) * 3600 * 1000000)

/* Delay before the next try after the given number of failed ones (1..), jittered. */
extern int64 tte_retry_delay(int attempts, double dice);

/* No delay is that long. */
#define TTE_RETRY_LONGEST	(INT64CONST(8) * 3600 * 1000000)

/* No more tries after this many (the horizon ends most events before). */
#define TTE_RETRY_ATTEMPTS	15

typedef enum TteBreakerState
{
	TTE_BREAKER_CLOSED,
	TTE_BREAKER_OPEN,
	TTE_BREAKER_HALF_OPEN		/* one probe is out */
} TteBreakerState;

typedef struct TteBreaker
{
	TteBreakerState state;
	TteOutcome	cause;			/* of the last opening */
	int64		since;			/* of the state, ignoring half-open episodes */
	int64		probe_at;		/* OPEN: when one request may go */
	int			failures;		/* in a row, for back-off and for RETRY
								 * outcomes */
	int			ramp;			/* after closing: most events of the next
								 * request, 0 = no limit */
	int			in_flight;		/* sent and not back */
	int			stale;			/* of these: sent before the last opening or
								 * reset */
} TteBreaker;

/* How many events the source may put into its next request now: 0 none. */
extern int	tte_breaker_allows(const TteBreaker *breaker, int64 now, int batch_size);

/*
 * From when on it allows something, as long as no result comes in: 0 at once,
 * PG_INT64_MAX not before the probe is back.
 */
extern int64 tte_breaker_due(const TteBreaker *breaker);

/* A request goes out.  Each one ends with tte_breaker_result() or _dropped(). */
extern void tte_breaker_sent(TteBreaker *breaker);

/* It came back.  Returns true when the state changed between closed and open (log it). */
extern bool tte_breaker_result(TteBreaker *breaker, const TteReply *reply, int64 now, double dice);

/* A request that will never come back, because the transport was given up. */
extern void tte_breaker_dropped(TteBreaker *breaker);

/* The operator or a new token says: go on.  The caller sets since. */
extern void tte_breaker_reset(TteBreaker *breaker);

/* A token bucket of one second's depth. */
typedef struct TteRate
{
	int64		next_free;		/* when the bucket will be full again */
} TteRate;

/* 0 when a request may start now (and counts it), else when to ask again. */
extern int64 tte_rate_take(TteRate *rate, int per_second, int64 now);

#endif							/* TTE_SCHEDULE_H */
