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

typedef enum TteOutcome
{
	TTE_OUTCOME_DELIVERED,
	TTE_OUTCOME_RETRY,			/* later, same bytes */
	TTE_OUTCOME_SINGLY,			/* resend one by one (20001) */
	TTE_OUTCOME_ISOLATE,		/* one bad event failed all: find it */
	TTE_OUTCOME_SPLIT,			/* body too large: halve */
	TTE_OUTCOME_THROTTLE,		/* pause the source, nothing consumed */
	TTE_OUTCOME_STOP_CREDENTIAL,	/* breaker of the source, nothing consumed */
	TTE_OUTCOME_STOP_CONFIGURATION,
	TTE_OUTCOME_STOP_ENDPOINT	/* breaker: DNS, connect, TLS, redirect, 404 */
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
 * Judges one exchange.  status 0 when there is no HTTP status.  transport_error is
 * libcurl's text or "", retry_after the header's text or NULL; now in microseconds
 * since 1970.  The body's code decides first, the HTTP status only without one.
 */
extern void tte_reply_judge(TteTransport transport, int status, const char *body, size_t body_len,
							bool truncated, const char *transport_error,
							const char *retry_after, int64 now, TteReply *reply);

/*
 * Masks in message and request_id the token and the identifiers in the body that
 * was sent (either may be NULL), and in message every token that is not known to be
 * harmless.  Nothing of a reply is kept or shown before.
 */
extern void tte_reply_redact(TteReply *reply, const char *token, const char *sent);

#endif							/* TTE_VERDICT_H */
