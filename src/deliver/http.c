/*-------------------------------------------------------------------------
 *
 * http.c
 *	  HTTPS POSTs through libcurl's multi-socket interface.
 *
 * libcurl says which sockets and which time-out it waits for; both live in
 * one private epoll descriptor (the time-out as a timerfd), so that a caller
 * with an event loop of its own watches a single descriptor for life.
 *
 * Rules of this file:
 *
 * - No PostgreSQL call inside a callback, no palloc anywhere.  A callback
 *	 reports trouble by its return value only.
 * - libcurl may start a thread for name resolution.  It must never run this
 *	 process's signal handlers: all signals are blocked around every call
 *	 that may start one.
 * - Nothing from the environment (proxy, netrc, key log) has a say.
 * - Whether a body may have arrived is decided by what libcurl has taken from
 *	 us, not by the kind of error: once it was handed a single byte the
 *	 exchange is ambiguous unless it was answered.
 *
 *-------------------------------------------------------------------------
 */
#include "answer/verdict.h"

#include <curl/curl.h>
#include <errno.h>
#include <openssl/x509_vfy.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "deliver/http.h"
#include "deliver/memory.h"
#include "deliver/token.h"
#include "server/compat.h"
#include "server/faultpoint.h"

/*
 * Kept HTTP/1.1 connections carried bodies of 600 kB twice as fast as HTTP/2
 * streams did, and one request per connection makes a cancelled request cheap.
 */
#define HTTP_VERSION			CURL_HTTP_VERSION_1_1

#define DRIVE_ROUNDS			16	/* then the caller looks after its signals */
#define DRIVE_EVENTS			16
#define HEADERS_MAX				65536	/* bytes of a reply's headers */
#define RETRY_AFTER_MAX			64
#define ERROR_MAX				160
#define TOKEN_NAME				"Access-Token: "
#define UPLOAD_BUFFER			((long) TTE_MEMORY_PAGES)
#define RECEIVE_BUFFER			(16L * 1024)
#define STALL_SECONDS			10L
#define IDLE_SECONDS			100L	/* then an idle connection is closed */
#define LIFETIME_SECONDS		3600L	/* and any other, at its end */
#define CA_CACHE_SECONDS		21600L

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

	/* the reply */
	TteTransport transport;
	long		status;
	bool		answer_begun;
	bool		headers_complete;
	bool		truncated;
	size_t		headers_len;
	size_t		reply_len;
	char		retry_after[RETRY_AFTER_MAX];
	char		error[ERROR_MAX];
	char		reply[TTE_HTTP_REPLY_MAX + 1];
};

struct TteHttp
{
	CURLM	   *multi;
	int			epoll_fd;
	int			timer_fd;
	bool		broken;			/* the multi handle must be made anew */
	bool		https;
	TteHttpOptions options;		/* the strings are our own copies */
	TteExchange *exchanges;		/* all of them */
};

static bool
is_https(const char *endpoint)
{
	return strncasecmp(endpoint, "https://", 8) == 0;
}

static void
block_signals(sigset_t *saved)
{
	sigset_t	all;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, saved);
}

static void
restore_signals(const sigset_t *saved)
{
	pthread_sigmask(SIG_SETMASK, saved, NULL);
}

/*-------------------------------------------------------------------------
 * Callbacks of one exchange
 *-------------------------------------------------------------------------
 */

/*
 * A transfer that stalls is given up early, some STALL_SECONDS after libcurl's
 * running average has come down.  But TikTok may take its time to answer: the
 * watch is off between the last byte sent and the first one received.
 */
static void
watch_stall(TteExchange *exchange, bool on)
{
	curl_easy_setopt(exchange->easy, CURLOPT_LOW_SPEED_TIME, on ? STALL_SECONDS : 0L);
}

static size_t
hand_out_body(char *buffer, size_t size, size_t nitems, void *arg)
{
	TteExchange *exchange = arg;
	size_t		room = size * nitems;
	size_t		len = exchange->body_len - exchange->body_pos;

	if (exchange->body_pos > 0)
		TTE_FAULT_KILL("body-half-sent");
	if (len > room)
		len = room;
	memcpy(buffer, exchange->body + exchange->body_pos, len);
	exchange->body_pos += len;
	exchange->handed_out = true;
	if (exchange->body_pos == exchange->body_len)
		watch_stall(exchange, false);
	return len;
}

/* libcurl starts over, on a new connection, when a kept one turned out dead. */
static int
rewind_body(void *arg, curl_off_t offset, int origin)
{
	TteExchange *exchange = arg;

	if (origin != SEEK_SET || offset < 0 || offset > (curl_off_t) exchange->body_len)
		return CURL_SEEKFUNC_FAIL;
	exchange->body_pos = (size_t) offset;
	exchange->resent = exchange->handed_out;
	watch_stall(exchange, true);
	return CURL_SEEKFUNC_OK;
}

/* Keeps the first TTE_HTTP_REPLY_MAX bytes; a short count ends the transfer. */
static size_t
take_reply(char *data, size_t size, size_t nitems, void *arg)
{
	TteExchange *exchange = arg;
	size_t		len = size * nitems;
	size_t		room = TTE_HTTP_REPLY_MAX - exchange->reply_len;

	TTE_FAULT_KILL("answer-begun");
	if (len > room)
	{
		exchange->truncated = true;
		len = room;
	}
	memcpy(exchange->reply + exchange->reply_len, data, len);
	exchange->reply_len += len;
	return exchange->truncated ? 0 : len;
}

static void
keep_retry_after(TteExchange *exchange, const char *value, size_t len)
{
	size_t		kept = 0;

	for (size_t i = 0; i < len && kept < RETRY_AFTER_MAX - 1; i++)
	{
		if (value[i] >= ' ' && value[i] <= '~' && (kept > 0 || value[i] != ' '))
			exchange->retry_after[kept++] = value[i];
	}
	while (kept > 0 && exchange->retry_after[kept - 1] == ' ')
		kept--;
	exchange->retry_after[kept] = '\0';
}

/* One header line.  The first Retry-After of the last response is kept. */
static size_t
take_header(char *data, size_t size, size_t nitems, void *arg)
{
	static const char name[] = "retry-after:";
	TteExchange *exchange = arg;
	size_t		len = size * nitems;

	exchange->headers_len += len;
	if (len == 0 || exchange->headers_len > HEADERS_MAX)
		return 0;
	if (!exchange->answer_begun)
	{
		exchange->answer_begun = true;
		watch_stall(exchange, true);
	}

	/* An empty line ends them; libcurl itself accepts a head cut off. */
	if (data[0] == '\r' || data[0] == '\n')
		exchange->headers_complete = true;
	else if (len >= 5 && memcmp(data, "HTTP/", 5) == 0)
	{
		exchange->headers_complete = false;
		exchange->retry_after[0] = '\0';
	}
	else if (exchange->retry_after[0] == '\0' && len >= sizeof(name) - 1 &&
			 strncasecmp(data, name, sizeof(name) - 1) == 0)
		keep_retry_after(exchange, data + sizeof(name) - 1, len - (sizeof(name) - 1));
	return len;
}

/*-------------------------------------------------------------------------
 * Callbacks of the multi handle
 *-------------------------------------------------------------------------
 */

static int
watch_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *unused)
{
	TteHttp    *http = arg;
	struct epoll_event event = {0};

	event.data.fd = fd;
	if (what & CURL_POLL_IN)
		event.events |= EPOLLIN;
	if (what & CURL_POLL_OUT)
		event.events |= EPOLLOUT;

	/* A socket that is already closed has left the epoll descriptor. */
	if (what == CURL_POLL_REMOVE)
		epoll_ctl(http->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
	else if (epoll_ctl(http->epoll_fd, EPOLL_CTL_MOD, fd, &event) < 0 &&
			 (errno != ENOENT ||
			  epoll_ctl(http->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0))
	{
		http->broken = true;
		return -1;
	}
	return 0;
}

static int
watch_timer(CURLM *multi, long timeout_ms, void *arg)
{
	TteHttp    *http = arg;
	struct itimerspec when = {{0, 0}, {0, 0}};

	if (timeout_ms > 0)
	{
		when.it_value.tv_sec = timeout_ms / 1000;
		when.it_value.tv_nsec = (timeout_ms % 1000) * 1000000L;
	}
	else if (timeout_ms == 0)
		when.it_value.tv_nsec = 1;	/* zero would disarm the timer */

	if (timerfd_settime(http->timer_fd, 0, &when, NULL) < 0)
	{
		http->broken = true;
		return -1;
	}
	return 0;
}

/*-------------------------------------------------------------------------
 * Easy handles
 *
 * Each exchange has one of its own: libcurl 8 keeps the last request in a handle
 * until it is destroyed, token and identifiers included.  Connections, addresses
 * and trusted certificates belong to the multi handle and are kept.
 *-------------------------------------------------------------------------
 */

/* Sets an option; the first failure sticks in the local variable rc. */
#define SET(option, value) \
	do { \
		if (rc == CURLE_OK) \
			rc = curl_easy_setopt(easy, (option), (value)); \
	} while (0)

/* Whom we talk to, and who may not interfere. */
static CURLcode
set_target(CURL *easy, const TteHttp *http)
{
	CURLcode	rc = CURLE_OK;

	SET(CURLOPT_URL, http->options.endpoint);
	if (rc == CURLE_OK)
		rc = tte_curl_restrict_protocol(easy, http->https);
	SET(CURLOPT_FOLLOWLOCATION, 0L);
	SET(CURLOPT_PROXY, "");
	SET(CURLOPT_NETRC, (long) CURL_NETRC_IGNORED);
	SET(CURLOPT_SSLVERSION, (long) CURL_SSLVERSION_TLSv1_2);
	SET(CURLOPT_SSL_VERIFYPEER, 1L);
	SET(CURLOPT_SSL_VERIFYHOST, 2L);
	if (http->options.ca_file != NULL)
	{
		/* Then this file alone is trusted, not the system's as well. */
		SET(CURLOPT_CAINFO, http->options.ca_file);
		SET(CURLOPT_CAPATH, NULL);
	}
	if (rc == CURLE_OK)
		rc = tte_curl_ca_cache(easy, CA_CACHE_SECONDS);
	return rc;
}

/* What is said, and in which form. */
static CURLcode
set_request(CURL *easy)
{
	CURLcode	rc = CURLE_OK;

	SET(CURLOPT_HTTP_VERSION, (long) HTTP_VERSION);
	SET(CURLOPT_HTTP09_ALLOWED, 0L);
	SET(CURLOPT_HTTP_CONTENT_DECODING, 0L);
	SET(CURLOPT_POST, 1L);
	SET(CURLOPT_USERAGENT, "tiktok_events/" TTE_VERSION);
	SET(CURLOPT_TCP_NODELAY, 1L);
	SET(CURLOPT_TCP_KEEPALIVE, 1L);
	SET(CURLOPT_VERBOSE, 0L);
	SET(CURLOPT_NOPROGRESS, 1L);
	return rc;
}

static CURLcode
set_limits(CURL *easy, const TteHttpOptions *options)
{
	CURLcode	rc = CURLE_OK;

	SET(CURLOPT_NOSIGNAL, 1L);
	if (rc == CURLE_OK)
		rc = tte_curl_quick_exit(easy);
	SET(CURLOPT_CONNECTTIMEOUT_MS, options->connect_timeout_ms);
	SET(CURLOPT_TIMEOUT_MS, options->request_timeout_ms);
	SET(CURLOPT_LOW_SPEED_LIMIT, 1L);
	SET(CURLOPT_BUFFERSIZE, RECEIVE_BUFFER);
	SET(CURLOPT_UPLOAD_BUFFERSIZE, UPLOAD_BUFFER);
	SET(CURLOPT_MAXAGE_CONN, IDLE_SECONDS);
	if (rc == CURLE_OK)
		rc = tte_curl_connection_lifetime(easy, LIFETIME_SECONDS);
	return rc;
}

static CURLcode
set_callbacks(CURL *easy, TteExchange *exchange)
{
	CURLcode	rc = CURLE_OK;

	SET(CURLOPT_PRIVATE, exchange);
	SET(CURLOPT_READFUNCTION, hand_out_body);
	SET(CURLOPT_READDATA, exchange);
	SET(CURLOPT_SEEKFUNCTION, rewind_body);
	SET(CURLOPT_SEEKDATA, exchange);
	SET(CURLOPT_WRITEFUNCTION, take_reply);
	SET(CURLOPT_WRITEDATA, exchange);
	SET(CURLOPT_HEADERFUNCTION, take_header);
	SET(CURLOPT_HEADERDATA, exchange);
	return rc;
}

static void
free_exchange(TteExchange *exchange)
{
	if (exchange->easy != NULL)
		curl_easy_cleanup(exchange->easy);
	curl_slist_free_all(exchange->headers);
	tte_secret_free(exchange->token_line.data);
	explicit_bzero(exchange, sizeof(TteExchange));
	free(exchange);
}

static void
unlink_exchange(TteHttp *http, TteExchange *exchange)
{
	TteExchange **link = &http->exchanges;

	while (*link != exchange)
		link = &(*link)->next;
	*link = exchange->next;
}

static TteExchange *
new_exchange(TteHttp *http)
{
	TteExchange *exchange = calloc(1, sizeof(TteExchange));

	if (exchange == NULL)
		return NULL;
	exchange->http = http;
	exchange->token_line.data = tte_secret_alloc();
	exchange->easy = curl_easy_init();
	if (exchange->easy == NULL || exchange->token_line.data == NULL ||
		set_target(exchange->easy, http) != CURLE_OK ||
		set_request(exchange->easy) != CURLE_OK ||
		set_limits(exchange->easy, &http->options) != CURLE_OK ||
		set_callbacks(exchange->easy, exchange) != CURLE_OK)
	{
		free_exchange(exchange);
		return NULL;
	}
	exchange->next = http->exchanges;
	http->exchanges = exchange;
	return exchange;
}

/*-------------------------------------------------------------------------
 * The multi handle
 *-------------------------------------------------------------------------
 */

static void
close_multi(TteHttp *http)
{
	if (http->multi != NULL)
		curl_multi_cleanup(http->multi);
	if (http->timer_fd >= 0)
		close(http->timer_fd);
	if (http->epoll_fd >= 0)
		close(http->epoll_fd);
	http->multi = NULL;
	http->timer_fd = -1;
	http->epoll_fd = -1;
}

static bool
set_multi(TteHttp *http)
{
	long		connections = http->options.max_connections;
	CURLM	   *multi = http->multi;

	return tte_curl_multi_quick_exit(multi) == CURLM_OK &&
		curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, watch_socket) == CURLM_OK &&
		curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, http) == CURLM_OK &&
		curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, watch_timer) == CURLM_OK &&
		curl_multi_setopt(multi, CURLMOPT_TIMERDATA, http) == CURLM_OK &&
		curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, connections) == CURLM_OK &&
		curl_multi_setopt(multi, CURLMOPT_MAX_HOST_CONNECTIONS, connections) == CURLM_OK;
}

static bool
open_multi(TteHttp *http)
{
	struct epoll_event event = {0};

	http->broken = false;
	http->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	http->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	http->multi = curl_multi_init();
	event.events = EPOLLIN;
	event.data.fd = http->timer_fd;
	if (http->epoll_fd >= 0 && http->timer_fd >= 0 && http->multi != NULL &&
		epoll_ctl(http->epoll_fd, EPOLL_CTL_ADD, http->timer_fd, &event) == 0 &&
		set_multi(http))
		return true;
	close_multi(http);
	http->broken = true;
	return false;
}

/* The library that was loaded need not be the one that was compiled against. */
static const char *
check_library(void)
{
	const curl_version_info_data *info = curl_version_info(CURLVERSION_NOW);

	if (tte_curl_is_older(info->version_num))
		return "the libcurl that was loaded is older than the one the extension was built with";
	if ((info->features & CURL_VERSION_SSL) == 0)
		return "the libcurl that was loaded has no TLS support";
	if ((info->features & CURL_VERSION_ASYNCHDNS) == 0)
		return "the libcurl that was loaded resolves names without a thread and would block";
	return NULL;
}

static const char *
initialize_library(void)
{
	static bool initialized = false;
	const char *error;

	if (initialized)
		return NULL;
	error = check_library();
	if (error != NULL)
		return error;

	/* With it in the environment every session key would land in a file. */
	unsetenv("SSLKEYLOGFILE");
	tte_curl_resolver_options();
	if (curl_global_init_mem(CURL_GLOBAL_DEFAULT, tte_memory_malloc, tte_memory_free, tte_memory_realloc, strdup,
							 tte_memory_calloc) != CURLE_OK)
		return "could not initialize libcurl";
	initialized = true;
	return NULL;
}

static bool
copy_options(TteHttpOptions *copy, const TteHttpOptions *options)
{
	*copy = *options;
	copy->endpoint = strdup(options->endpoint);
	copy->ca_file = NULL;
	if (options->ca_file != NULL && options->ca_file[0] != '\0')
	{
		copy->ca_file = strdup(options->ca_file);
		if (copy->ca_file == NULL)
			return false;
	}
	if (copy->max_connections < 1)
		copy->max_connections = 1;
	return copy->endpoint != NULL;
}

TteHttp *
tte_http_create(const TteHttpOptions *options, const char **error)
{
	TteHttp    *http = NULL;
	sigset_t	saved;

	block_signals(&saved);
	*error = initialize_library();
	if (*error == NULL && !is_https(options->endpoint) &&
		strncasecmp(options->endpoint, "http://", 7) != 0)
		*error = "the endpoint is neither an https nor an http URL";
	if (*error == NULL)
	{
		*error = "out of memory or file descriptors";
		http = calloc(1, sizeof(TteHttp));
	}
	if (http != NULL)
	{
		http->https = is_https(options->endpoint);
		http->epoll_fd = -1;
		http->timer_fd = -1;
		if (copy_options(&http->options, options) && open_multi(http))
			*error = NULL;
		else
		{
			tte_http_destroy(http);
			http = NULL;
		}
	}
	restore_signals(&saved);
	return http;
}

/*
 * Returns at once: connections are closed without a farewell, and a thread
 * that still resolves a name is left to end by itself (QUICK_EXIT).
 */
void
tte_http_destroy(TteHttp *http)
{
	sigset_t	saved;

	if (http == NULL)
		return;
	block_signals(&saved);
	while (http->exchanges != NULL)
	{
		TteExchange *exchange = http->exchanges;

		http->exchanges = exchange->next;
		if (exchange->state == EXCHANGE_RUNNING)
			curl_multi_remove_handle(http->multi, exchange->easy);
		free_exchange(exchange);
	}
	close_multi(http);
	restore_signals(&saved);
	free(unconstify(char *, http->options.endpoint));
	free(unconstify(char *, http->options.ca_file));
	free(http);
}

int
tte_http_fd(TteHttp *http)
{
	return http->epoll_fd;
}

/*-------------------------------------------------------------------------
 * Starting an exchange
 *-------------------------------------------------------------------------
 */

static bool
add_header(TteExchange *exchange, const char *line)
{
	struct curl_slist *headers = curl_slist_append(exchange->headers, line);

	if (headers == NULL)
		return false;
	exchange->headers = headers;
	return true;
}

/*
 * A line end in the token would inject headers.  The caller has checked the
 * token; this is the last door.
 */
static bool
add_token(TteExchange *exchange, const char *token)
{
	size_t		len = strlen(token);

	if (len == 0 || len > TTE_TOKEN_MAX)
		return false;
	for (size_t i = 0; i < len; i++)
	{
		if (token[i] <= ' ' || token[i] > '~')
			return false;
	}
	memcpy(exchange->token_line.data, TOKEN_NAME, strlen(TOKEN_NAME));
	memcpy(exchange->token_line.data + strlen(TOKEN_NAME), token, len + 1);
	exchange->token_line.next = exchange->headers;
	return true;
}

static bool
prepare(TteExchange *exchange, const char *token, const char *body, size_t len)
{
	exchange->body = body;
	exchange->body_len = len;
	watch_stall(exchange, true);
	return add_header(exchange, "Content-Type: application/json") &&
		add_header(exchange, "Expect:") &&
		add_token(exchange, token) &&
		curl_easy_setopt(exchange->easy, CURLOPT_HTTPHEADER, &exchange->token_line) == CURLE_OK &&
		curl_easy_setopt(exchange->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) len) == CURLE_OK;
}

TteExchange *
tte_http_post(TteHttp *http, const char *token, const char *body, size_t len, void *owner)
{
	TteExchange *exchange = NULL;
	sigset_t	saved;

	block_signals(&saved);
	if (http->broken)
	{
		close_multi(http);
		open_multi(http);
	}
	if (!http->broken)
		exchange = new_exchange(http);
	if (exchange != NULL)
	{
		exchange->owner = owner;
		if (prepare(exchange, token, body, len) &&
			curl_multi_add_handle(http->multi, exchange->easy) == CURLM_OK)
			exchange->state = EXCHANGE_RUNNING;
		else
		{
			unlink_exchange(http, exchange);
			free_exchange(exchange);
			exchange = NULL;
		}
	}
	restore_signals(&saved);
	return exchange;
}

/*-------------------------------------------------------------------------
 * The end of an exchange
 *-------------------------------------------------------------------------
 */

/* How far the exchange had come when time ran out. */
static const char *
phase_of(const TteExchange *exchange)
{
	curl_off_t	resolved = 0;
	curl_off_t	connected = 0;
	curl_off_t	encrypted = 0;
	curl_off_t	uploaded = 0;

	curl_easy_getinfo(exchange->easy, CURLINFO_NAMELOOKUP_TIME_T, &resolved);
	curl_easy_getinfo(exchange->easy, CURLINFO_CONNECT_TIME_T, &connected);
	curl_easy_getinfo(exchange->easy, CURLINFO_APPCONNECT_TIME_T, &encrypted);
	curl_easy_getinfo(exchange->easy, CURLINFO_SIZE_UPLOAD_T, &uploaded);
	if (exchange->answer_begun)
		return "reading the answer";
	if (exchange->handed_out)
		return uploaded < (curl_off_t) exchange->body_len ?
			"sending the request" : "waiting for the answer";
	if (resolved == 0)
		return "resolving the host name";
	if (connected == 0)
		return "connecting";
	if (exchange->http->https && encrypted == 0)
		return "negotiating TLS";
	return "sending the request";
}

static const char *
certificate_problem(const TteExchange *exchange)
{
	const curl_version_info_data *info = curl_version_info(CURLVERSION_NOW);
	long		result = 0;

	/* The number means what OpenSSL says only if libcurl uses OpenSSL. */
	if (info->ssl_version == NULL || strncmp(info->ssl_version, "OpenSSL", 7) != 0 ||
		curl_easy_getinfo(exchange->easy, CURLINFO_SSL_VERIFYRESULT, &result) != CURLE_OK)
		return "not trusted";

	/* libcurl looks at the name itself, and leaves the result unset then. */
	if (result == X509_V_OK || result == X509_V_ERR_UNSPECIFIED)
		return "not valid for this host name";
	return X509_verify_cert_error_string(result);
}

/*
 * A short text made of constant words only: libcurl's own error buffer may
 * quote URL and addresses.
 */
static void
describe(TteExchange *exchange, CURLcode rc)
{
	long		os_errno = 0;
	char	   *error = exchange->error;

	curl_easy_getinfo(exchange->easy, CURLINFO_OS_ERRNO, &os_errno);
	if (exchange->truncated)
		strlcpy(error, "the answer was longer than 64 KiB", ERROR_MAX);
	else if (rc == CURLE_OK)
		strlcpy(error, "the answer had no complete HTTP header", ERROR_MAX);
	else if (rc == CURLE_OPERATION_TIMEDOUT)
		snprintf(error, ERROR_MAX, "timed out while %s", phase_of(exchange));
	else if (rc == CURLE_COULDNT_RESOLVE_HOST)
		strlcpy(error, "could not resolve the host name", ERROR_MAX);
	else if (rc == CURLE_COULDNT_CONNECT && os_errno != 0)
		snprintf(error, ERROR_MAX, "could not connect: %s", strerror((int) os_errno));
	else if (rc == CURLE_PEER_FAILED_VERIFICATION)
		snprintf(error, ERROR_MAX, "the server's certificate was refused: %s",
				 certificate_problem(exchange));
	else
		snprintf(error, ERROR_MAX, "%s: %s",
				 exchange->handed_out ? "the exchange broke off" : "nothing was sent",
				 curl_easy_strerror(rc));
}

/*
 * A reply that was cut at our own limit still counts as an answer: its status
 * is known, and waiting longer would bring nothing better.
 */
static void
settle(TteExchange *exchange, CURLcode rc)
{
	bool		answered;

	exchange->status = 0;
	curl_easy_getinfo(exchange->easy, CURLINFO_RESPONSE_CODE, &exchange->status);
	answered = exchange->status >= 200 && exchange->headers_complete &&
		(rc == CURLE_OK || exchange->truncated);
	if (answered)
		exchange->transport = TTE_TRANSPORT_ANSWERED;
	else if (exchange->handed_out || rc == CURLE_OK)
		exchange->transport = TTE_TRANSPORT_AMBIGUOUS;
	else
		exchange->transport = TTE_TRANSPORT_NEVER_SENT;
	if (rc != CURLE_OK || !answered)
		describe(exchange, rc);
	exchange->reply[exchange->reply_len] = '\0';
	exchange->state = EXCHANGE_FINISHED;
}

static void
finish_exchange(TteExchange *exchange, CURLcode rc)
{
	settle(exchange, rc);
	curl_multi_remove_handle(exchange->http->multi, exchange->easy);
}

/* A multi handle whose callback failed is dead: nothing on it will move again. */
static void
finish_all(TteHttp *http)
{
	for (TteExchange *exchange = http->exchanges; exchange != NULL; exchange = exchange->next)
	{
		if (exchange->state == EXCHANGE_RUNNING)
			finish_exchange(exchange, CURLE_ABORTED_BY_CALLBACK);
	}
}

static void
finish_ready(TteHttp *http)
{
	CURLMsg    *message;
	int			left;

	while ((message = curl_multi_info_read(http->multi, &left)) != NULL)
	{
		TteExchange *exchange = NULL;
		CURLcode	rc = message->data.result;

		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &exchange);
		finish_exchange(exchange, rc);
	}
}

/*-------------------------------------------------------------------------
 * Moving bytes
 *-------------------------------------------------------------------------
 */

static bool
act_on(TteHttp *http, const struct epoll_event *event)
{
	curl_socket_t fd = event->data.fd;
	int			mask = 0;
	int			running;
	uint64		expirations;

	if (fd == http->timer_fd)
	{
		if (read(http->timer_fd, &expirations, sizeof(expirations)) < 0)
			return true;		/* disarmed or armed anew meanwhile */
		fd = CURL_SOCKET_TIMEOUT;
	}
	else
	{
		if (event->events & EPOLLIN)
			mask |= CURL_CSELECT_IN;
		if (event->events & EPOLLOUT)
			mask |= CURL_CSELECT_OUT;
		if (event->events & (EPOLLERR | EPOLLHUP))
			mask |= CURL_CSELECT_ERR;
	}
	if (curl_multi_socket_action(http->multi, fd, mask, &running) != CURLM_OK)
		http->broken = true;
	return !http->broken;
}

static bool
drive_once(TteHttp *http)
{
	struct epoll_event events[DRIVE_EVENTS];
	int			n = epoll_wait(http->epoll_fd, events, DRIVE_EVENTS, 0);

	for (int i = 0; i < n; i++)
	{
		if (!act_on(http, &events[i]))
			return false;
	}
	return n > 0;
}

void
tte_http_drive(TteHttp *http)
{
	sigset_t	saved;

	if (http->multi == NULL)
		return;
	block_signals(&saved);
	for (int round = 0; round < DRIVE_ROUNDS; round++)
	{
		if (!drive_once(http))
			break;
	}
	finish_ready(http);
	if (http->broken)
		finish_all(http);
	restore_signals(&saved);
}

/*-------------------------------------------------------------------------
 * Handing results over
 *-------------------------------------------------------------------------
 */

bool
tte_http_collect(TteHttp *http, TteHttpResult *result)
{
	TteExchange *exchange = http->exchanges;

	while (exchange != NULL && exchange->state != EXCHANGE_FINISHED)
		exchange = exchange->next;
	if (exchange == NULL)
		return false;

	exchange->state = EXCHANGE_COLLECTED;
	result->owner = exchange->owner;
	result->transport = exchange->transport;
	result->status = (int) exchange->status;
	result->body = exchange->reply;
	result->body_len = exchange->reply_len;
	result->truncated = exchange->truncated;
	result->resent = exchange->resent;
	result->error = exchange->error;
	result->retry_after = exchange->retry_after[0] != '\0' ? exchange->retry_after : NULL;
	result->exchange = exchange;
	return true;
}

const char *
tte_http_token(const TteExchange *exchange)
{
	return exchange->token_line.data + strlen(TOKEN_NAME);
}

void
tte_http_release(TteHttp *http, TteExchange *exchange)
{
	sigset_t	saved;

	block_signals(&saved);
	unlink_exchange(http, exchange);
	free_exchange(exchange);
	restore_signals(&saved);
}

int
tte_http_in_flight(TteHttp *http)
{
	int			count = 0;

	for (TteExchange *exchange = http->exchanges; exchange != NULL; exchange = exchange->next)
	{
		if (exchange->state == EXCHANGE_RUNNING || exchange->state == EXCHANGE_FINISHED)
			count++;
	}
	return count;
}
