/*-------------------------------------------------------------------------
 *
 * multi.c
 *	  HTTPS requests through libcurl's multi-socket interface.
 *
 * libcurl says which sockets and which time-out it waits for; both live in
 * one private epoll descriptor (the time-out as a timerfd), so that a caller
 * with an event loop of its own watches a single descriptor for life.
 *
 * libcurl may start a thread for name resolution.  It must never run this
 * process's signal handlers: all signals are blocked around every call that may
 * start one.  The other rules are in exchange.c.
 *
 *-------------------------------------------------------------------------
 */
#include "answer/verdict.h"

#include <curl/curl.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "deliver/exchange.h"
#include "deliver/memory.h"
#include "deliver/token.h"
#include "server/compat.h"

#define DRIVE_ROUNDS			16	/* then the caller looks after its signals */
#define DRIVE_EVENTS			16
#define TICK_SECONDS			1

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

	http->due = timeout_ms == 0;
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

long
tte_monotonic_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec;
}

static void
unlink_exchange(TteHttp *http, TteExchange *exchange)
{
	TteExchange **link = &http->exchanges;

	while (*link != exchange)
		link = &(*link)->next;
	*link = exchange->next;
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
	if (http->tick_fd >= 0)
		close(http->tick_fd);
	if (http->epoll_fd >= 0)
		close(http->epoll_fd);
	http->multi = NULL;
	http->timer_fd = -1;
	http->tick_fd = -1;
	http->epoll_fd = -1;
}

static bool
watch_timer_fd(TteHttp *http, int fd)
{
	struct epoll_event event = {0};

	event.events = EPOLLIN;
	event.data.fd = fd;
	return fd >= 0 && epoll_ctl(http->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0;
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
	http->broken = false;
	http->due = false;
	http->ticking = false;
	http->silent_at = 0;
	http->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	http->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	http->tick_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	http->multi = curl_multi_init();
	if (http->epoll_fd >= 0 && http->multi != NULL &&
		watch_timer_fd(http, http->timer_fd) && watch_timer_fd(http, http->tick_fd) &&
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

/* Copies a string in place; "" becomes NULL.  False: out of memory. */
static bool
copy_string(const char **string)
{
	const char *original = *string;

	*string = original != NULL && original[0] != '\0' ? strdup(original) : NULL;
	return *string != NULL || original == NULL || original[0] == '\0';
}

/* What was not copied is NULL afterwards. */
static bool
copy_options(TteHttpOptions *copy, const TteHttpOptions *options)
{
	bool		done = true;

	*copy = *options;
	done &= copy_string(&copy->endpoint);
	done &= copy_string(&copy->ca_file);
	done &= copy_string(&copy->proxy);
	done &= copy_string(&copy->proxy_ca_file);
	if (copy->max_connections < 1)
		copy->max_connections = 1;
	if (copy->max_reply < 1)
		copy->max_reply = TTE_HTTP_REPLY_MAX;
	return done;
}

/* What the library was built with is used where no file was set. */
static uint64
authorities_of(const TteHttpOptions *options)
{
	const curl_version_info_data *info = curl_version_info(CURLVERSION_NOW);
	const char *paths[] = {options->ca_file, options->proxy != NULL ? options->proxy_ca_file : NULL, info->cainfo};
	uint64		sum = 0;

	for (int i = 0; i < lengthof(paths); i++)
	{
		struct stat st;

		if (paths[i] != NULL && stat(paths[i], &st) == 0)
			sum += tte_file_stamp(&st);
	}
	return sum;
}

bool
tte_http_is_outdated(const TteHttp *http)
{
	return authorities_of(&http->options) != http->authorities;
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
	if (*error == NULL && options->proxy != NULL && is_https(options->proxy) &&
		(curl_version_info(CURLVERSION_NOW)->features & CURL_VERSION_HTTPS_PROXY) == 0)
		*error = "the libcurl that was loaded does not speak TLS with proxies";
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
		http->tick_fd = -1;
		if (copy_options(&http->options, options) && open_multi(http))
		{
			http->authorities = authorities_of(&http->options);
			*error = NULL;
		}
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
		tte_exchange_free(exchange);
	}
	close_multi(http);
	restore_signals(&saved);
	free(unconstify(char *, http->options.endpoint));
	free(unconstify(char *, http->options.ca_file));
	free(unconstify(char *, http->options.proxy));
	free(unconstify(char *, http->options.proxy_ca_file));
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

static void
set_ticking(TteHttp *http, bool on)
{
	struct itimerspec when = {{0, 0}, {0, 0}};

	if (on)
		when.it_value.tv_sec = when.it_interval.tv_sec = TICK_SECONDS;
	if (http->ticking != on && timerfd_settime(http->tick_fd, 0, &when, NULL) == 0)
		http->ticking = on;
}

/* A POST of a body, or a GET of an URL. */
static TteExchange *
start(TteHttp *http, const char *token, const char *url, const char *body, size_t len, void *owner)
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
		exchange = tte_exchange_create(http);
	if (exchange != NULL)
	{
		exchange->next = http->exchanges;
		http->exchanges = exchange;
		exchange->owner = owner;
		if ((url != NULL ? tte_exchange_prepare_get(exchange, token, url) :
			 tte_exchange_prepare(exchange, token, body, len)) &&
			curl_multi_add_handle(http->multi, exchange->easy) == CURLM_OK)
		{
			exchange->state = EXCHANGE_RUNNING;
			set_ticking(http, true);
		}
		else
		{
			unlink_exchange(http, exchange);
			tte_exchange_free(exchange);
			exchange = NULL;
		}
	}
	restore_signals(&saved);
	return exchange;
}

TteExchange *
tte_http_post(TteHttp *http, const char *token, const char *body, size_t len, void *owner)
{
	return start(http, token, NULL, body, len, owner);
}

TteExchange *
tte_http_get(TteHttp *http, const char *token, const char *url, void *owner)
{
	return start(http, token, url, NULL, 0, owner);
}

/*-------------------------------------------------------------------------
 * The end of an exchange
 *-------------------------------------------------------------------------
 */

static void
finish_exchange(TteExchange *exchange, CURLcode rc)
{
	CURLM	   *multi = exchange->http->multi;

	if (tte_exchange_starts_again(exchange, rc) &&
		curl_multi_remove_handle(multi, exchange->easy) == CURLM_OK &&
		curl_multi_add_handle(multi, exchange->easy) == CURLM_OK)
		return;
	tte_exchange_settle(exchange, rc);
	curl_multi_remove_handle(multi, exchange->easy);
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

/* Is there an exchange of which nothing is known but that it was started? */
static bool
any_unconnected(const TteHttp *http)
{
	const TteExchange *exchange = http->exchanges;

	while (exchange != NULL &&
		   (exchange->state != EXCHANGE_RUNNING || exchange->handed_out || exchange->answer_begun))
		exchange = exchange->next;
	return exchange != NULL;
}

/*
 * libcurl 7.88 gives an address up in time, but does not begin with the next one
 * until something else calls for its attention.
 */
static bool
drive_all(TteHttp *http)
{
	uint64		expirations;
	int			running;

	if (read(http->tick_fd, &expirations, sizeof(expirations)) < 0)
		return true;
	if (!any_unconnected(http))
		set_ticking(http, false);
	else if (tte_curl_multi_drive_all(http->multi, &running) != CURLM_OK)
		http->broken = true;
	return !http->broken;
}

/* Calls libcurl for its timer. */
static bool
act_on_timer(TteHttp *http)
{
	int			running;

	http->due = false;
	if (curl_multi_socket_action(http->multi, CURL_SOCKET_TIMEOUT, 0, &running) != CURLM_OK)
		http->broken = true;
	return !http->broken;
}

static bool
act_on(TteHttp *http, const struct epoll_event *event)
{
	curl_socket_t fd = event->data.fd;
	int			mask = 0;
	int			running;
	uint64		expirations;

	if (fd == http->tick_fd)
		return drive_all(http);
	if (fd == http->timer_fd)
	{
		if (read(http->timer_fd, &expirations, sizeof(expirations)) < 0)
			return true;		/* disarmed or armed anew meanwhile */
		return act_on_timer(http);
	}
	if (event->events & EPOLLIN)
		mask |= CURL_CSELECT_IN;
	if (event->events & EPOLLOUT)
		mask |= CURL_CSELECT_OUT;
	if (event->events & (EPOLLERR | EPOLLHUP))
		mask |= CURL_CSELECT_ERR;
	if (curl_multi_socket_action(http->multi, fd, mask, &running) != CURLM_OK)
		http->broken = true;
	return !http->broken;
}

/* A new request is due at once, which need not be learnt from the kernel. */
static bool
drive_once(TteHttp *http)
{
	struct epoll_event events[DRIVE_EVENTS];
	int			n;

	if (http->due)
		return act_on_timer(http);
	n = epoll_wait(http->epoll_fd, events, DRIVE_EVENTS, 0);

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
	result->cut_short = exchange->cut_short;
	result->resent = exchange->resent;
	result->error = exchange->error;
	result->retry_after = exchange->retry_after;
	result->exchange = exchange;
	return true;
}

const char *
tte_http_token(const TteExchange *exchange)
{
	return exchange->token_line.data + strlen(TTE_TOKEN_NAME);
}

void
tte_http_release(TteHttp *http, TteExchange *exchange)
{
	sigset_t	saved;

	block_signals(&saved);
	unlink_exchange(http, exchange);
	tte_exchange_free(exchange);
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
