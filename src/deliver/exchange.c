/*-------------------------------------------------------------------------
 *
 * exchange.c
 *	  One request through libcurl: its options, its callbacks, and what became of it.
 *
 * Rules of this file and of multi.c:
 *
 * - No PostgreSQL call inside a callback, no palloc anywhere.  A callback
 *	 reports trouble by its return value only.
 * - Nothing from the environment (proxy, netrc, key log) has a say.
 * - Whether a body may have arrived is decided by what libcurl has taken from
 *	 us, not by the kind of error: once it was handed a single byte the
 *	 exchange is ambiguous unless it was answered.
 *
 * Each exchange has an easy handle of its own: libcurl 8 keeps the last request
 * in a handle until it is destroyed, token and identifiers included.
 * Connections, addresses and trusted certificates belong to the multi handle and
 * are kept.
 *
 *-------------------------------------------------------------------------
 */
#include "answer/verdict.h"

#include <curl/curl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/x509_vfy.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "deliver/exchange.h"
#include "deliver/memory.h"
#include "deliver/token.h"
#include "server/compat.h"
#include "server/faultpoint.h"

/*
 * Kept HTTP/1.1 connections carried bodies of 600 kB twice as fast as HTTP/2
 * streams did, and one request per connection makes a cancelled request cheap.
 */
#define HTTP_VERSION			CURL_HTTP_VERSION_1_1

#define HEADERS_MAX				65536	/* bytes of a reply's headers */
#define UPLOAD_BUFFER			((long) TTE_MEMORY_PAGES)
#define RECEIVE_BUFFER			(16L * 1024)
#define STALL_SECONDS			10L
#define IDLE_SECONDS			30L /* an idle connection is not used after
									 * that: a firewall may have forgotten it */
#define LIFETIME_SECONDS		3600L	/* nor is one that is so old */
#define CA_CACHE_SECONDS		21600L
#define ADDRESS_CACHE_SECONDS	10L
#define KEEPALIVE_SECONDS		20L /* of silence, then the kernel asks */
#define KEEPALIVE_INTERVAL		10L
#define SILENCE_MS				10000L	/* without an acknowledgement, the
										 * path is dead */
#define UNSENT_MAX				(128 * 1024)

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

/*
 * The kernel gives a connection up when nothing that was sent is acknowledged.  A
 * server that is slow to answer still acknowledges.  And the kernel takes not much
 * more than it can send, so that a time-out tells how far the body has come.
 */
static int
set_socket(void *arg, curl_socket_t fd, curlsocktype purpose)
{
	TteExchange *exchange = arg;
	unsigned int silence = (unsigned int) Max(SILENCE_MS, exchange->http->options.connect_timeout_ms);
	int			unsent = UNSENT_MAX;

	(void) setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &silence, sizeof(silence));
	(void) setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof(unsent));
	return CURL_SOCKOPT_OK;
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

	/*
	 * If libcurl has to start over, what a kept connection has died of may be
	 * true of the others.
	 */
	if (!exchange->handed_out)
		curl_easy_setopt(exchange->easy, CURLOPT_FRESH_CONNECT, 1L);
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

/* Keeps the first options.max_reply bytes; a short count ends the transfer. */
static size_t
take_reply(char *data, size_t size, size_t nitems, void *arg)
{
	TteExchange *exchange = arg;
	size_t		len = size * nitems;
	size_t		room = exchange->http->options.max_reply - exchange->reply_len;

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

/* One header line. */
static size_t
take_header(char *data, size_t size, size_t nitems, void *arg)
{
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
		exchange->headers_complete = false;
	return len;
}

/* Sets an option; the first failure sticks in the local variable rc. */
#define SET(option, value) \
	do { \
		if (rc == CURLE_OK) \
			rc = curl_easy_setopt(easy, (option), (value)); \
	} while (0)

/* Whom we talk to, and who may not interfere. */
static CURLcode
set_endpoint(CURL *easy, const TteHttp *http)
{
	CURLcode	rc = CURLE_OK;

	SET(CURLOPT_URL, http->options.endpoint);
	if (rc == CURLE_OK)
		rc = tte_curl_restrict_protocol(easy, http->https);
	SET(CURLOPT_FOLLOWLOCATION, 0L);
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

/*
 * A proxy only carries bytes: it sees the name of the endpoint, and of a request
 * over TLS nothing.  Headers of the request, the token among them, are not for it.
 */
static CURLcode
set_proxy(CURL *easy, const TteHttpOptions *options)
{
	CURLcode	rc = CURLE_OK;

	SET(CURLOPT_PROXY, options->proxy ? options->proxy : "");
	SET(CURLOPT_NOPROXY, "");
	if (options->proxy == NULL)
		return rc;
	SET(CURLOPT_HTTPPROXYTUNNEL, 1L);
	SET(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	SET(CURLOPT_HEADEROPT, (long) CURLHEADER_SEPARATE);
	SET(CURLOPT_PROXY_SSLVERSION, (long) CURL_SSLVERSION_TLSv1_2);
	SET(CURLOPT_PROXY_SSL_VERIFYPEER, 1L);
	SET(CURLOPT_PROXY_SSL_VERIFYHOST, 2L);
	if (options->proxy_ca_file != NULL)
	{
		SET(CURLOPT_PROXY_CAINFO, options->proxy_ca_file);
		SET(CURLOPT_PROXY_CAPATH, NULL);
	}
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
	SET(CURLOPT_USERAGENT, "tiktok_events/" TTE_VERSION);
	SET(CURLOPT_TCP_NODELAY, 1L);
	SET(CURLOPT_TCP_KEEPALIVE, 1L);
	SET(CURLOPT_TCP_KEEPIDLE, KEEPALIVE_SECONDS);
	SET(CURLOPT_TCP_KEEPINTVL, KEEPALIVE_INTERVAL);
	SET(CURLOPT_DNS_CACHE_TIMEOUT, ADDRESS_CACHE_SECONDS);
	SET(CURLOPT_DNS_SHUFFLE_ADDRESSES, 1L);
	SET(CURLOPT_VERBOSE, 0L);
	SET(CURLOPT_NOPROGRESS, 1L);
	return rc;
}

/*
 * After an exchange that nobody answered, connections that were made before it
 * ended are not used again: its fate may be theirs.
 */
static long
connection_lifetime(const TteHttp *http)
{
	if (http->silent_at == 0)
		return LIFETIME_SECONDS;
	return Min(Max(tte_monotonic_seconds() - http->silent_at, 1), LIFETIME_SECONDS);
}

static CURLcode
set_limits(CURL *easy, const TteHttp *http)
{
	const TteHttpOptions *options = &http->options;
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
		rc = tte_curl_connection_lifetime(easy, connection_lifetime(http));
	return rc;
}

static CURLcode
set_callbacks(CURL *easy, TteExchange *exchange)
{
	CURLcode	rc = CURLE_OK;

	SET(CURLOPT_PRIVATE, exchange);
	SET(CURLOPT_ERRORBUFFER, exchange->detail);
	SET(CURLOPT_SOCKOPTFUNCTION, set_socket);
	SET(CURLOPT_SOCKOPTDATA, exchange);
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

void
tte_exchange_free(TteExchange *exchange)
{
	if (exchange->easy != NULL)
		curl_easy_cleanup(exchange->easy);
	curl_slist_free_all(exchange->headers);
	tte_secret_free(exchange->token_line.data);
	explicit_bzero(exchange, offsetof(TteExchange, reply) + exchange->reply_len);
	free(exchange);
}

TteExchange *
tte_exchange_create(TteHttp *http)
{
	TteExchange *exchange = calloc(1, offsetof(TteExchange, reply) + http->options.max_reply + 1);

	if (exchange == NULL)
		return NULL;
	exchange->http = http;
	exchange->token_line.data = tte_secret_alloc();
	exchange->easy = curl_easy_init();
	if (exchange->easy == NULL || exchange->token_line.data == NULL ||
		set_endpoint(exchange->easy, http) != CURLE_OK ||
		set_proxy(exchange->easy, &http->options) != CURLE_OK ||
		set_request(exchange->easy) != CURLE_OK ||
		set_limits(exchange->easy, http) != CURLE_OK ||
		set_callbacks(exchange->easy, exchange) != CURLE_OK)
	{
		tte_exchange_free(exchange);
		return NULL;
	}
	return exchange;
}

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

	if (!tte_token_is_valid(token, len))
		return false;
	memcpy(exchange->token_line.data, TTE_TOKEN_NAME, strlen(TTE_TOKEN_NAME));
	memcpy(exchange->token_line.data + strlen(TTE_TOKEN_NAME), token, len + 1);
	exchange->token_line.next = exchange->headers;
	return true;
}

bool
tte_exchange_prepare(TteExchange *exchange, const char *token, const char *body, size_t len)
{
	exchange->body = body;
	exchange->body_len = len;
	watch_stall(exchange, true);
	return add_header(exchange, "Content-Type: application/json") &&
		add_header(exchange, "Expect:") &&
		add_token(exchange, token) &&
		curl_easy_setopt(exchange->easy, CURLOPT_HTTPHEADER, &exchange->token_line) == CURLE_OK &&
		curl_easy_setopt(exchange->easy, CURLOPT_POST, 1L) == CURLE_OK &&
		curl_easy_setopt(exchange->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) len) == CURLE_OK;
}

bool
tte_exchange_prepare_get(TteExchange *exchange, const char *token, const char *url)
{
	return add_header(exchange, "Accept: application/json") &&
		add_token(exchange, token) &&
		curl_easy_setopt(exchange->easy, CURLOPT_HTTPHEADER, &exchange->token_line) == CURLE_OK &&
		curl_easy_setopt(exchange->easy, CURLOPT_HTTPGET, 1L) == CURLE_OK &&
		curl_easy_setopt(exchange->easy, CURLOPT_URL, url) == CURLE_OK;
}

/* Is it the proxy that matters, because it has not led a new connection on to the endpoint? */
static bool
is_at_proxy(const TteExchange *exchange)
{
	long		answer = 0;
	long		made = 0;

	curl_easy_getinfo(exchange->easy, CURLINFO_HTTP_CONNECTCODE, &answer);
	curl_easy_getinfo(exchange->easy, CURLINFO_NUM_CONNECTS, &made);
	return exchange->http->options.proxy != NULL && !exchange->handed_out && made > 0 && answer / 100 != 2;
}

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
	if (is_at_proxy(exchange))
		return "waiting for the proxy";
	if (exchange->http->https && encrypted == 0)
		return "negotiating TLS";
	return "sending the request";
}

static const char *
certificate_problem(const TteExchange *exchange)
{
	const curl_version_info_data *info = curl_version_info(CURLVERSION_NOW);
	CURLINFO	field = is_at_proxy(exchange) ? CURLINFO_PROXY_SSL_VERIFYRESULT : CURLINFO_SSL_VERIFYRESULT;
	long		result = 0;

	/* The number means what OpenSSL says only if libcurl uses OpenSSL. */
	if (info->ssl_version == NULL || strncmp(info->ssl_version, "OpenSSL", 7) != 0 ||
		curl_easy_getinfo(exchange->easy, field, &result) != CURLE_OK)
		return "not trusted";

	/* libcurl looks at the name itself, and leaves the result unset then. */
	if (result == X509_V_OK || result == X509_V_ERR_UNSPECIFIED)
		return "not valid for this host name";
	return X509_verify_cert_error_string(result);
}

/*
 * Why two programs that both work do not understand each other, in our words; ""
 * if libcurl does not say it.
 */
static const char *
protocol_problem(const TteExchange *exchange, CURLcode rc)
{
	static const struct
	{
		const char *detail;
		const char *str;
	}			problems[] = {
		{"no application protocol", ": the server does not speak HTTP/1.1"},
		{"alert protocol version", ": the server does not speak TLS 1.2 or later"},
		{"unsupported protocol", ": the server does not speak TLS 1.2 or later"},
		{"wrong version number", ": the server does not speak TLS"},
		{"packet length too long", ": the server does not speak TLS"},
		{"http request", ": the server does not speak TLS"}
	};

	if (rc == CURLE_UNSUPPORTED_PROTOCOL || rc == CURLE_WEIRD_SERVER_REPLY)
		return ": the answer is not HTTP/1.1";
	for (int i = 0; rc == CURLE_SSL_CONNECT_ERROR && i < lengthof(problems); i++)
	{
		if (strstr(exchange->detail, problems[i].detail) != NULL)
			return problems[i].str;
	}
	return "";
}

/* The proxy was reached, and has not made the connection; false: it is not that. */
static bool
describe_refusal_of_proxy(TteExchange *exchange)
{
	long		answer = 0;

	curl_easy_getinfo(exchange->easy, CURLINFO_HTTP_CONNECTCODE, &answer);
	if (!is_at_proxy(exchange) || answer == 0)
		return false;
	snprintf(exchange->error, TTE_ERROR_MAX, "the proxy refuses to connect: HTTP status %ld", answer);
	return true;
}

/*
 * A short text made of constant words only: libcurl's own error buffer may
 * quote URL and addresses.
 */
static void
describe_error(TteExchange *exchange, CURLcode rc)
{
	long		os_errno = 0;
	char	   *error = exchange->error;

	/* a connection that fails at once does not count as made */
	bool		unreached = rc == CURLE_COULDNT_CONNECT && exchange->http->options.proxy != NULL;
	const char *at_proxy = unreached || is_at_proxy(exchange) ? " to the proxy" : "";

	curl_easy_getinfo(exchange->easy, CURLINFO_OS_ERRNO, &os_errno);
	if (exchange->truncated)
		snprintf(error, TTE_ERROR_MAX, "the answer was longer than %ld KiB", exchange->http->options.max_reply / 1024);
	else if (rc == CURLE_OK)
		strlcpy(error, "the answer had no complete HTTP header", TTE_ERROR_MAX);
	else if (rc == CURLE_OPERATION_TIMEDOUT)
		snprintf(error, TTE_ERROR_MAX, "timed out while %s", phase_of(exchange));
	else if (describe_refusal_of_proxy(exchange))
		return;
	else if (rc == CURLE_COULDNT_RESOLVE_PROXY)
		strlcpy(error, "could not resolve the proxy's name", TTE_ERROR_MAX);
	else if (rc == CURLE_COULDNT_RESOLVE_HOST)
		strlcpy(error, "could not resolve the host name", TTE_ERROR_MAX);
	else if (rc == CURLE_COULDNT_CONNECT && os_errno != 0)
		snprintf(error, TTE_ERROR_MAX, "could not connect%s: %s", at_proxy, strerror((int) os_errno));
	else if (rc == CURLE_PEER_FAILED_VERIFICATION)
		snprintf(error, TTE_ERROR_MAX, "the %s's certificate was refused: %s",
				 at_proxy[0] ? "proxy" : "server", certificate_problem(exchange));
	else
		snprintf(error, TTE_ERROR_MAX, "%s: %s%s",
				 exchange->handed_out ? "the exchange broke off" : "nothing was sent",
				 curl_easy_strerror(rc), protocol_problem(exchange, rc));
}

/*
 * It ended so, without an answer: is it to go once more, over a fresh connection?
 * The kept one was dead, and so, if libcurl has tried several, may be all of them.
 * Only what was not handed out; libcurl itself starts over with the rest.
 */
bool
tte_exchange_starts_again(TteExchange *exchange, CURLcode rc)
{
	long		made = 0;

	if ((rc != CURLE_SEND_ERROR && rc != CURLE_RECV_ERROR && rc != CURLE_GOT_NOTHING) ||
		exchange->again || exchange->handed_out || exchange->answer_begun ||
		curl_easy_getinfo(exchange->easy, CURLINFO_NUM_CONNECTS, &made) != CURLE_OK || made > 0)
		return false;
	exchange->again = true;
	return curl_easy_setopt(exchange->easy, CURLOPT_FRESH_CONNECT, 1L) == CURLE_OK;
}

/*
 * A reply that was cut at our own limit still counts as an answer: its status
 * is known, and waiting longer would bring nothing better.
 */
void
tte_exchange_settle(TteExchange *exchange, CURLcode rc)
{
	bool		answered;
	curl_off_t	uploaded = 0;

	exchange->status = 0;
	curl_easy_getinfo(exchange->easy, CURLINFO_RESPONSE_CODE, &exchange->status);
	curl_easy_getinfo(exchange->easy, CURLINFO_RETRY_AFTER, &exchange->retry_after);
	answered = exchange->status >= 200 && exchange->headers_complete &&
		(rc == CURLE_OK || exchange->truncated);
	if (answered)
		exchange->transport = TTE_TRANSPORT_ANSWERED;
	else if (exchange->handed_out || rc == CURLE_OK)
		exchange->transport = TTE_TRANSPORT_AMBIGUOUS;
	else
		exchange->transport = TTE_TRANSPORT_NEVER_SENT;
	curl_easy_getinfo(exchange->easy, CURLINFO_SIZE_UPLOAD_T, &uploaded);
	exchange->cut_short = rc == CURLE_OPERATION_TIMEDOUT && !exchange->answer_begun &&
		uploaded > 0 && uploaded < (curl_off_t) exchange->body_len;
	if (rc != CURLE_OK || !answered)
		describe_error(exchange, rc);
	if (exchange->transport == TTE_TRANSPORT_AMBIGUOUS && !exchange->answer_begun)
		exchange->http->silent_at = tte_monotonic_seconds();
	exchange->reply[exchange->reply_len] = '\0';
	exchange->state = EXCHANGE_FINISHED;
}
