/*-------------------------------------------------------------------------
 *
 * breaker.h
 *	  The state of a source: what it may send now, and what an answer means.
 *
 * Pure: the caller brings the clock, the dice and the events.  It asks
 * tte_breaker_move() what to send, tells tte_breaker_sent() that it did, and hands
 * every answer to tte_breaker_answer(), which says what becomes of the events.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TTE_BREAKER_H
#define TTE_BREAKER_H

#include "answer/schedule.h"

/* Place in the queue of a source; what lies at or before it has been read. */
typedef struct TtePosition
{
	uint64		xid;
	int64		id;
} TtePosition;

/* The events of a request lie between these two; others may, too. */
typedef struct TteSpan
{
	TtePosition first;
	TtePosition last;
} TteSpan;

typedef enum TteState
{
	TTE_STATE_SENDING,
	TTE_STATE_DOUBTFUL,			/* a request failed; the next one decides */
	TTE_STATE_STOPPED,			/* a probe goes at probe_at */
	TTE_STATE_PROBING			/* it is under way */
} TteState;

/* What to send next. */
typedef enum TteMove
{
	TTE_MOVE_NONE,
	TTE_MOVE_PART,				/* a part of a batch that was split */
	TTE_MOVE_RETRY,				/* what is due in tiktok.retry */
	TTE_MOVE_KIND,				/* one event of a kind in doubt */
	TTE_MOVE_QUEUE,				/* the next events of the queue */
	TTE_MOVE_PROBE				/* one event that tells whether it works again */
} TteMove;

/* What the caller could send now. */
typedef struct TteOffer
{
	bool		part;
	bool		retry;
	bool		kind;
	bool		queue;
} TteOffer;

/* A request as the breaker sees it. */
typedef struct TteTry
{
	TteMove		move;
	TteSpan		span;
	int			events;
	int			attempts;		/* the least of its events */
	uint64		kind;			/* of its only event */
	int64		since;			/* these events were sent before, and failed;
								 * 0: no */
	int64		started_at;
	int			stops;			/* of the source before it was sent */
	bool		slow;			/* unanswered for TTE_SLOW */
} TteTry;

/* One of the last requests.  A part or repetition replaces the entry of the failed request. */
typedef struct TteRecent
{
	TteSpan		span;
	int64		at;
	bool		passed;
	bool		repeated;		/* these events failed before */
} TteRecent;

#define TTE_RECENT	10

/* Events of one name, of which TikTok refused some. */
typedef struct TteKind
{
	uint64		name;			/* its hash */
	bool		in_doubt;		/* sent singly until one is accepted */
	bool		newest;			/* whose turn it is */
	int			refused;		/* in a row */
	int64		began_at;		/* the first refusal, and the last */
	int64		refused_at;
} TteKind;

#define TTE_KINDS	64

/* A request that is unanswered for this long no longer counts in max_in_flight. */
#define TTE_SLOW	(2 * INT64CONST(1000000))

/* Zeroed, the source sends. */
typedef struct TteBreaker
{
	TteState	state;
	int64		since;			/* of stopping or going on */
	int64		probe_at;
	char		reason[160];	/* why it stopped */
	TteOutcome	outcome;		/* of that answer */
	int			failures;		/* probes that failed in a row */
	int			stops;
	uint64		suspect_kind;	/* of the request that stopped it; 0: several */
	int64		probed_id;		/* of the last probe */
	int			ramp;			/* after it went on: most events of the next
								 * request, 0: no limit */
	int			in_flight;
	int			slow;			/* of these */
	int			parts;			/* of these */
	TteMove		last_move;
	TteRecent	recent[TTE_RECENT]; /* oldest first */
	int			nrecent;
	int64		passed_at;		/* the last request that was accepted */
	int			refused;		/* single events in a row */
	int64		kind_at;		/* when the next event of a kind may go */
	TteKind		kinds[TTE_KINDS];
	int			nkinds;
	int			halved;			/* batches in a row that pass in halves only, */
	int			halved_events;	/* the last of which had so many */
	int			cap;			/* so a batch has no more events, */
	int64		cap_until;		/* until then; 0: no cap */
	bool		hangs;			/* the last failure was a time-out */
} TteBreaker;

typedef struct TteJudgement
{
	TteVerdicts verdict;
	bool		opened;			/* retries are due now */
	bool		stopped;
	bool		doubted;		/* its kind is in doubt from now on */
} TteJudgement;

/* What may be sent now of offer, and the most events of it. */
extern TteMove tte_breaker_move(const TteBreaker *breaker, const TteOffer *offer, int64 now, int batch_size, int *limit);

/* When tte_breaker_move() may change without an answer; PG_INT64_MAX: never. */
extern int64 tte_breaker_due(const TteBreaker *breaker, const TteOffer *offer, int64 now);

extern void tte_breaker_sent(TteBreaker *breaker, TteTry *try, int64 now);

/* To be called when the request is unanswered for TTE_SLOW. */
extern void tte_breaker_slow(TteBreaker *breaker, TteTry *try);

/* To be called for every answer or failure. str is the reason to show if the source stops. */
extern TteJudgement tte_breaker_answer(TteBreaker *breaker, const TteTry *try, const TteReply *reply,
									   const char *str, int64 now, double dice);

/* The request was not sent. */
extern void tte_breaker_dropped(TteBreaker *breaker, const TteTry *try);

/* Did other requests pass since then, so that these events are suspect? */
extern bool tte_breaker_suspects(const TteBreaker *breaker, const TteSpan *span, int64 since);

/* Both halves of a failed batch of that size passed. */
extern void tte_breaker_halves_passed(TteBreaker *breaker, int events, int64 now);

/* The kind if it is remembered, or NULL. */
extern TteKind *tte_breaker_kind(TteBreaker *breaker, uint64 name);

/* An event of that kind was accepted. */
extern void tte_breaker_kind_passed(TteBreaker *breaker, uint64 name);

/* Restores a kind that was in doubt when the worker ended. */
extern void tte_breaker_kind_restore(TteBreaker *breaker, uint64 name, int64 now);

/* What kept the source from its endpoint may be over: the next probe goes at once. */
extern void tte_breaker_hurry(TteBreaker *breaker, int64 now);

/* An operator or a new token ends all pauses. */
extern void tte_breaker_reset(TteBreaker *breaker, int64 now);

/*
 * What a worker leaves to the next, while nothing is under way.  A plain one need
 * not be copied.
 */
extern bool tte_breaker_is_plain(const TteBreaker *breaker, int64 now);
extern void tte_breaker_copy(TteBreaker *to, const TteBreaker *from);

/* The clock was set back: discard times that were computed before. */
extern void tte_breaker_clock_set_back(TteBreaker *breaker, int64 now);

/*-------------------------------------------------------------------------
 * What all sources of a worker share
 *-------------------------------------------------------------------------
 */

/* Zeroed, nothing is under way. */
typedef struct TteEndpoint
{
	int			transfers;		/* requests under way */
	int			slow;			/* of these, slow ones, which do not count in
								 * max_in_flight */
	int			slow_sources;	/* sources that have a slow request */
	int64		answered_at;	/* anything */
	int64		started_at;		/* the last request */
	int			probes;			/* since it hangs */
} TteEndpoint;

#define TTE_MOST_TRANSFERS	32

/* How many requests may start now; while the endpoint hangs one at a time, of one event. */
extern int	tte_endpoint_room(const TteEndpoint *endpoint, int max_in_flight, int64 now);
extern bool tte_endpoint_hangs(const TteEndpoint *endpoint, int64 now);

/*
 * When tte_endpoint_room() may change without an answer; oldest is the start
 * of the oldest request that is not slow, 0: none.
 */
extern int64 tte_endpoint_due(const TteEndpoint *endpoint, int64 oldest, int64 now);

/* Call these before the functions of the breaker of the source. */
extern void tte_endpoint_sent(TteEndpoint *endpoint, int64 now);
extern void tte_endpoint_slow(TteEndpoint *endpoint, const TteBreaker *breaker, const TteTry *try);
extern void tte_endpoint_ended(TteEndpoint *endpoint, const TteBreaker *breaker, const TteTry *try, bool answered, int64 now);

#endif							/* TTE_BREAKER_H */
