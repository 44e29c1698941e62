/*-------------------------------------------------------------------------
 *
 * verdict.h
 *	  From TikTok's answer, or the lack of one, to an outcome.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TTE_VERDICT_H
#define TTE_VERDICT_H

#include "event/catalog.h"

/* How far a request got; filled by deliver/http.c. */
typedef enum TteTransport
{
	TTE_TRANSPORT_ANSWERED,		/* a complete HTTP response was read */
	TTE_TRANSPORT_NEVER_SENT,	/* no byte of the body can have left */
	TTE_TRANSPORT_AMBIGUOUS		/* it may have arrived */
} TteTransport;

/* What an answer is, whoever it is about. */
typedef enum TteOutcome
{
	TTE_OUTCOME_DELIVERED,
	TTE_OUTCOME_SINGLY,			/* accepted in part (20001) */
	TTE_OUTCOME_ISOLATE,		/* TikTok refuses an event */
	TTE_OUTCOME_SPLIT,			/* the body is too large */
	TTE_OUTCOME_RETRY,			/* 5xx, time-out, reset: may have been
								 * received */
	TTE_OUTCOME_BLOCKED,		/* a 3xx or 4xx without a code, of something
								 * in front of TikTok */
	TTE_OUTCOME_THROTTLE,
	TTE_OUTCOME_STOP_CREDENTIAL,	/* a code about the token */
	TTE_OUTCOME_STOP_CONFIGURATION,
	TTE_OUTCOME_STOP_ENDPOINT	/* DNS, connect, TLS: nothing was sent */
} TteOutcome;

extern const char *tte_outcome_name(TteOutcome outcome);	/* "delivered", "retry",
															 * ... */

#define TTE_REPLY_MESSAGE	2048
#define TTE_REPLY_REQUEST_ID 128

typedef struct TteReply
{
	TteOutcome	outcome;
	bool		possibly_received;	/* the 47 hour clock runs */
	bool		has_code;
	int			code;			/* TikTok's, if has_code */
	char		message[TTE_REPLY_MESSAGE]; /* valid UTF-8, no controls */
	char		request_id[TTE_REPLY_REQUEST_ID];	/* letters, digits, - and
													 * _, or "" */
	int			bad_index;		/* index in data[] the message names, or -1 */
	int64		retry_after;	/* microseconds, 0: none usable */
} TteReply;

/*
 * Judges one exchange.  status is 0 when there is no HTTP status; transport_error is
 * libcurl's text or ""; retry_after is in seconds, 0 or less if the header is missing
 * or of no use.  The body's code decides first, the HTTP status only without one.
 */
extern void tte_reply_judge(TteTransport transport, int status, const char *body, size_t body_len,
							bool truncated, const char *transport_error,
							int64 retry_after, TteReply *reply);

/* What else of the source was sent since the request started, without its events. */
typedef enum TteOthers
{
	TTE_OTHERS_NONE,			/* nothing, or as much failed as passed */
	TTE_OTHERS_PASSED,			/* something, and most requests do */
	TTE_OTHERS_FAILED			/* another request failed, and nothing passed
								 * between the two */
} TteOthers;

typedef enum TteEventsVerdict
{
	TTE_EVENTS_DELIVERED,
	TTE_EVENTS_REJECTED,
	TTE_EVENTS_RETRY,			/* on the schedule, one attempt more */
	TTE_EVENTS_WAIT,			/* until the source goes on; no attempt */
	TTE_EVENTS_SPLIT,			/* the parts at once */
	TTE_EVENTS_SINGLY			/* each of them at once */
} TteEventsVerdict;

typedef enum TteSourceVerdict
{
	TTE_SOURCE_PASSES,
	TTE_SOURCE_REFUSES,			/* eight of these, and none that passes: it
								 * stops */
	TTE_SOURCE_GOES_ON,			/* nothing is learnt about it */
	TTE_SOURCE_DOUBTFUL,		/* another event decides */
	TTE_SOURCE_THROTTLED,		/* all sources of the token pause */
	TTE_SOURCE_STOPS
} TteSourceVerdict;

typedef struct TteVerdicts
{
	TteEventsVerdict events;
	TteSourceVerdict source;
} TteVerdicts;

/* So often a single event may be blocked while others pass. */
#define TTE_BLOCKED_ATTEMPTS	15

/*
 * What an answer means for the events of the request, single or several, which had
 * so many attempts before, and for their source.
 */
extern TteVerdicts tte_verdict(const TteReply *reply, bool single, int attempts, TteOthers others);

/*
 * Masks in message and request_id the token and the identifiers in the body that
 * was sent (either may be NULL), and in message every token that is not known to be
 * harmless.  Nothing of a reply is kept or shown before.
 */
extern void tte_reply_redact(TteReply *reply, const char *token, const char *sent);

#endif							/* TTE_VERDICT_H */
