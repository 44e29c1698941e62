/*-------------------------------------------------------------------------
 *
 * exchange.h
 *	  One request and its reply, and the transport that it belongs to; known to
 *	  exchange.c and multi.c alone.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TTE_EXCHANGE_H
#define TTE_EXCHANGE_H

#include <curl/curl.h>

#include "deliver/multi.h"

#define TTE_ERROR_MAX			160
#define TTE_TOKEN_NAME			"Access-Token: "

typedef enum ExchangeState
{
	EXCHANGE_NEW,				/* not yet given to libcurl */
	EXCHANGE_RUNNING,			/* libcurl has it */
	EXCHANGE_FINISHED,			/* not yet collected */
	EXCHANGE_COLLECTED			/* not yet released */
} ExchangeState;

struct TteExchange
{
	TteExchange *next;
	TteHttp    *http;
	CURL	   *easy;
	struct curl_slist *headers; /* all but the first */
	struct curl_slist token_line;	/* the first; its text is no part of a
									 * core file */
	ExchangeState state;
	void	   *owner;

	/* the request */
	const char *body;
	size_t		body_len;
	size_t		body_pos;
	bool		handed_out;		/* libcurl took at least one byte of the body */
	bool		resent;			/* and started over after that */
	bool		again;			/* started over by us, nothing handed out */

	/* the reply */
	TteTransport transport;
	long		status;
	bool		answer_begun;
	bool		headers_complete;
	bool		truncated;
	bool		cut_short;		/* time ran out before all of it was sent */
	size_t		headers_len;
	size_t		reply_len;
	curl_off_t	retry_after;
	char		error[TTE_ERROR_MAX];
	char		detail[CURL_ERROR_SIZE];	/* in libcurl's words, never shown */
	char		reply[FLEXIBLE_ARRAY_MEMBER];	/* options.max_reply bytes and
												 * a zero */
};

struct TteHttp
{
	CURLM	   *multi;
	int			epoll_fd;
	int			timer_fd;
	int			tick_fd;		/* for exchanges that are not connected */
	bool		ticking;
	long		silent_at;		/* monotonic seconds: the last exchange that
								 * ended without an answer; 0: none */
	bool		due;			/* libcurl wants to be called at once */
	bool		broken;			/* the multi handle must be made anew */
	bool		https;
	TteHttpOptions options;		/* the strings are our own copies */
	uint64		authorities;	/* stamps of the files that it trusts */
	TteExchange *exchanges;		/* all of them */
};

/* An exchange that libcurl does not have yet; NULL: out of memory. */
extern TteExchange *tte_exchange_create(TteHttp *http);
extern void tte_exchange_free(TteExchange *exchange);

/* Makes it a POST of that body; false: out of memory, or the token cannot be a header. */
extern bool tte_exchange_prepare(TteExchange *exchange, const char *token, const char *body, size_t len);

/* The same for a GET of another address of the endpoint's kind (https or http). */
extern bool tte_exchange_prepare_get(TteExchange *exchange, const char *token, const char *url);

/* A clock that nobody sets. */
extern long tte_monotonic_seconds(void);

/* It has ended so: must it start over?  Then it has to be given to libcurl again. */
extern bool tte_exchange_starts_again(TteExchange *exchange, CURLcode rc);

/* It has ended so: what is to be said of it. */
extern void tte_exchange_settle(TteExchange *exchange, CURLcode rc);

#endif							/* TTE_EXCHANGE_H */
