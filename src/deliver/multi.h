/*-------------------------------------------------------------------------
 *
 * multi.h
 *	  HTTPS requests through libcurl's multi interface.  Nothing here throws:
 *	  no PostgreSQL call is made inside a curl callback, and no curl frame is
 *	  ever crossed by an error.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TTE_MULTI_H
#define TTE_MULTI_H

#include "answer/verdict.h"

#define TTE_HTTP_REPLY_MAX	65536

typedef struct TteHttp TteHttp;
typedef struct TteExchange TteExchange;

typedef struct TteHttpOptions
{
	const char *endpoint;
	const char *ca_file;		/* NULL: the system's */
	const char *proxy;			/* NULL: none */
	const char *proxy_ca_file;	/* NULL: the system's */
	long		connect_timeout_ms;
	long		request_timeout_ms;
	int			max_connections;
	long		max_reply;		/* bytes; 0: TTE_HTTP_REPLY_MAX */
} TteHttpOptions;

/*
 * Makes the transport: curl_global_init on first use, a multi handle, and a
 * private epoll descriptor that holds curl's sockets and timer.  Returns NULL and
 * sets *error (constant or static text) when it cannot.
 */
extern TteHttp *tte_http_create(const TteHttpOptions *options, const char **error);

/* Drops every exchange and connection.  Safe on NULL. */
extern void tte_http_destroy(TteHttp *http);

/* Was a file of certificate authorities replaced since?  What it said is kept in memory. */
extern bool tte_http_is_outdated(const TteHttp *http);

/* One descriptor that becomes readable when tte_http_drive() has something to do. */
extern int	tte_http_fd(TteHttp *http);

/*
 * Starts a POST.  body is not copied and must stay until the exchange has been
 * collected or the transport destroyed; token is copied into the header list.
 * Returns NULL when out of memory, or when the token cannot be a header.  owner is
 * handed back by tte_http_collect().
 */
extern TteExchange *tte_http_post(TteHttp *http, const char *token, const char *body, size_t len, void *owner);

/* Starts a GET of an address that begins as the endpoint does; the same otherwise. */
extern TteExchange *tte_http_get(TteHttp *http, const char *token, const char *url, void *owner);

/* Moves bytes: call when the descriptor is readable, and after tte_http_post(). Never blocks. */
extern void tte_http_drive(TteHttp *http);

typedef struct TteHttpResult
{
	void	   *owner;
	TteTransport transport;
	int			status;			/* 0: none */
	const char *body;			/* valid until the exchange is released */
	size_t		body_len;
	bool		truncated;		/* the reply was longer than max_reply */
	bool		cut_short;		/* time ran out before all of it was sent */
	bool		resent;			/* a kept connection died and libcurl sent the
								 * body again: whatever the answer says, the
								 * first copy may have arrived */
	const char *error;			/* "" or a short text without URL, header or
								 * body */
	int64		retry_after;	/* seconds, 0 if there is no such header */
	TteExchange *exchange;
} TteHttpResult;

/* The next finished exchange; false when there is none. */
extern bool tte_http_collect(TteHttp *http, TteHttpResult *result);
extern void tte_http_release(TteHttp *http, TteExchange *exchange);

/* The token that an exchange was sent with, until it is released. */
extern const char *tte_http_token(const TteExchange *exchange);

/* Exchanges posted and not yet collected. */
extern int	tte_http_in_flight(TteHttp *http);

#endif							/* TTE_MULTI_H */
