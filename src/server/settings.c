/*-------------------------------------------------------------------------
 *
 * settings.c
 *	  The configuration parameters tiktok_events.* and their checks.
 *
 * Parameters that only background workers read are SIGHUP: a session could not
 * change them for the workers.  The endpoint decides where personal data is
 * sent, so only the server's configuration can set it, and it is checked here.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <limits.h>

#include "datatype/timestamp.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/varlena.h"

#include "server/settings.h"

#define TIKTOK	"https://business-api.tiktok.com/"
#define DEFAULT_ENDPOINT	TIKTOK "open_api/v1.3/event/track/"
#define DEFAULT_REPORTING	TIKTOK "open_api/v1.3/"
#define MAX_ENDPOINT	2048

bool		tte_enabled = true;
bool		tte_recording = true;
char	   *tte_endpoint = NULL;
char	   *tte_reporting_endpoint = NULL;
char	   *tte_ca_file = NULL;
char	   *tte_proxy = NULL;
char	   *tte_proxy_ca_file = NULL;
char	   *tte_access_token_dir = NULL;
char	   *tte_databases = NULL;
int			tte_max_workers = 8;
int			tte_max_databases = 1024;
int			tte_connect_timeout = 5000;
int			tte_request_timeout = 30000;
int			tte_max_in_flight = 4;
int			tte_max_body_size = 1024;
int			tte_retention = 30 * SECS_PER_DAY;
int			tte_identifier_ttl = -1;
bool		tte_log_requests = false;
bool		tte_test_event = false;

/* The parts of an endpoint that are checked. */
typedef struct Endpoint
{
	bool		https;
	char		host[256];
	bool		bracketed;		/* [::1] */
	bool		has_port;
} Endpoint;

static bool
parse_port(const char *string, const char *end)
{
	long		port = 0;

	if (string == end || end - string > 5)
		return false;
	for (; string < end; string++)
	{
		if (*string < '0' || *string > '9')
			return false;
		port = port * 10 + (*string - '0');
	}
	return port >= 1 && port <= 65535;
}

static bool
parse_host(const char *string, const char *end, Endpoint *ep)
{
	const char *close;
	const char *port = NULL;
	size_t		len;

	ep->bracketed = *string == '[';
	if (ep->bracketed)
	{
		close = memchr(string, ']', end - string);
		if (close == NULL)
			return false;
		string++;
		if (close + 1 < end)
		{
			if (close[1] != ':')
				return false;
			port = close + 2;
		}
	}
	else
	{
		close = memchr(string, ':', end - string);
		if (close != NULL)
			port = close + 1;
		else
			close = end;
	}
	ep->has_port = port != NULL;
	if (port != NULL && !parse_port(port, end))
		return false;
	len = close - string;
	if (len == 0 || len >= sizeof(ep->host))
		return false;
	memcpy(ep->host, string, len);
	ep->host[len] = '\0';
	return strspn(ep->host, ep->bracketed ? "0123456789abcdefABCDEF:." :
				  "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-") == len;
}

/* The same for the characters of any URL. */
static const char *
url_problem(const char *url)
{
	if (strlen(url) > MAX_ENDPOINT)
		return "It is longer than 2048 bytes.";
	for (const char *p = url; *p; p++)
	{
		if (*p <= ' ' || *p > '~' || *p == '#' || *p == '\\')
			return "It contains a blank, a fragment or a character that is not printable ASCII.";
	}
	return NULL;
}

/* Returns the rule that the endpoint breaks; NULL: none. */
static const char *
endpoint_problem(const char *url, Endpoint *ep)
{
	const char *problem = url_problem(url);
	const char *host;
	const char *end;

	if (problem != NULL)
		return problem;
	if (strncmp(url, "https://", 8) == 0)
		ep->https = true;
	else if (strncmp(url, "http://", 7) == 0)
		ep->https = false;
	else
		return "It must begin with https://.";
	host = url + (ep->https ? 8 : 7);
	end = host + strcspn(host, "/?");
	if (memchr(host, '@', end - host) != NULL)
		return "It must not contain a user name or password.";
	if (*end != '/')
		return "It must have a path.";
	if (host == end || !parse_host(host, end, ep))
		return "Its host or port is not valid.";
	return NULL;
}

/* Without TLS only this machine is allowed, under a name that cannot resolve to another. */
static bool
host_is_local(const Endpoint *ep)
{
	if (ep->bracketed)
		return strcmp(ep->host, "::1") == 0;
	return strcmp(ep->host, "127.0.0.1") == 0 || strcmp(ep->host, "localhost") == 0;
}

static bool
check_endpoint(char **newval, void **extra, GucSource source)
{
	Endpoint	ep;
	const char *problem = endpoint_problem(*newval, &ep);

	if (problem == NULL && !ep.https && !host_is_local(&ep))
		problem = "Only localhost, 127.0.0.1 and [::1] may be used without TLS.";
	if (problem == NULL)
		return true;
	/* do not show the value: it may contain a password */
	GUC_check_errmsg("invalid value for parameter \"tiktok_events.endpoint\"");
	GUC_check_errdetail("%s", problem);
	return false;
}

/* Paths are appended to it. */
static bool
check_reporting_endpoint(char **newval, void **extra, GucSource source)
{
	Endpoint	ep;
	const char *problem = NULL;

	if ((*newval)[0] == '\0')
		return true;
	problem = endpoint_problem(*newval, &ep);
	if (problem == NULL && !ep.https && !host_is_local(&ep))
		problem = "Only localhost, 127.0.0.1 and [::1] may be used without TLS.";
	if (problem == NULL && (strchr(*newval, '?') != NULL || (*newval)[strlen(*newval) - 1] != '/'))
		problem = "It must end with a slash, and have no query.";
	if (problem == NULL)
		return true;
	GUC_check_errmsg("invalid value for parameter \"tiktok_events.reporting_endpoint\"");
	GUC_check_errdetail("%s", problem);
	return false;
}

/* Returns the rule that the proxy breaks; NULL: none.  A password is allowed. */
static const char *
proxy_problem(const char *url)
{
	const char *problem = url_problem(url);
	const char *host;
	const char *end;
	const char *at;
	Endpoint	proxy;

	if (problem != NULL)
		return problem;
	if (strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0)
		return "It must begin with http:// or https://.";
	host = strchr(url, ':') + 3;
	end = host + strcspn(host, "/?");
	if (*end != '\0' && strcmp(end, "/") != 0)
		return "It must not have a path.";
	at = memchr(host, '@', end - host);
	host = at != NULL ? at + 1 : host;
	if (host == end || !parse_host(host, end, &proxy))
		return "Its host or port is not valid.";
	if (!proxy.has_port)
		return "It must have a port.";
	return NULL;
}

static bool
check_proxy(char **newval, void **extra, GucSource source)
{
	const char *problem = (*newval)[0] == '\0' ? NULL : proxy_problem(*newval);

	if (problem == NULL)
		return true;
	GUC_check_errmsg("invalid value for parameter \"tiktok_events.proxy\"");
	GUC_check_errdetail("%s", problem);
	return false;
}

/* A rehearsal with another endpoint must not read production. */
const char *
tte_reporting_base(void)
{
	if (tte_reporting_endpoint[0] != '\0')
		return tte_reporting_endpoint;
	return strncmp(tte_endpoint, TIKTOK, strlen(TIKTOK)) == 0 ? DEFAULT_REPORTING : NULL;
}

static bool
check_token_dir(char **newval, void **extra, GucSource source)
{
	if ((*newval)[0] == '\0' || is_absolute_path(*newval))
		return true;
	GUC_check_errdetail("It must be an absolute path, or empty.");
	return false;
}

static bool
check_databases(char **newval, void **extra, GucSource source)
{
	char	   *raw = pstrdup(*newval);
	List	   *names;
	bool		ok = strcmp(raw, "*") == 0 || SplitIdentifierString(raw, ',', &names);

	if (!ok)
		GUC_check_errdetail("List syntax is invalid.");
	pfree(raw);
	return ok;
}

bool
tte_database_selected(const char *name)
{
	char	   *raw = pstrdup(tte_databases);
	List	   *names = NIL;
	ListCell   *cell;

	if (strcmp(raw, "*") == 0)
		return true;
	if (!SplitIdentifierString(raw, ',', &names))
		return false;
	foreach(cell, names)
	{
		if (strcmp(lfirst(cell), name) == 0)
			return true;
	}
	return false;
}

static void
define_proxy_settings(void)
{
	DefineCustomStringVariable("tiktok_events.proxy",
							   "URL of the HTTP proxy through which TikTok is reached.",
							   "http:// or https://, perhaps a user and a password, a host and a port. If empty, TikTok is reached directly, whatever the environment says.",
							   &tte_proxy, "", PGC_SIGHUP, GUC_SUPERUSER_ONLY,
							   check_proxy, NULL, NULL);
	DefineCustomStringVariable("tiktok_events.proxy_ca_file",
							   "File of certificate authorities to trust for an https proxy, in PEM format.",
							   "If empty, those of the system are used.",
							   &tte_proxy_ca_file, "", PGC_SIGHUP, GUC_SUPERUSER_ONLY, NULL, NULL, NULL);
}

static void
define_delivery_settings(void)
{
	DefineCustomBoolVariable("tiktok_events.enabled",
							 "Sends recorded events to TikTok.",
							 "When off, events are recorded but not sent.",
							 &tte_enabled, true, PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("tiktok_events.endpoint",
							   "URL of TikTok's Events API.",
							   "It must begin with https://, or, for tests, with http://localhost, http://127.0.0.1 or http://[::1].",
							   &tte_endpoint, DEFAULT_ENDPOINT, PGC_SIGHUP, 0,
							   check_endpoint, NULL, NULL);
	DefineCustomStringVariable("tiktok_events.reporting_endpoint",
							   "Base URL of TikTok's reporting API.",
							   "If empty, it is TikTok's, unless tiktok_events.endpoint is of another host: then no counts are fetched.",
							   &tte_reporting_endpoint, "", PGC_SIGHUP, 0,
							   check_reporting_endpoint, NULL, NULL);
	DefineCustomStringVariable("tiktok_events.ca_file",
							   "File of certificate authorities to trust, in PEM format.",
							   "If empty, those of the system are used.",
							   &tte_ca_file, "", PGC_SIGHUP, GUC_SUPERUSER_ONLY, NULL, NULL, NULL);
	define_proxy_settings();
	DefineCustomStringVariable("tiktok_events.access_token_dir",
							   "Directory of files with access tokens, each named as its event source.",
							   "A source without a file uses the token of tiktok.set_access_token. SOURCE.reporting has the token of tiktok.set_reporting_token.",
							   &tte_access_token_dir, "", PGC_SIGHUP, GUC_SUPERUSER_ONLY,
							   check_token_dir, NULL, NULL);
	DefineCustomStringVariable("tiktok_events.databases",
							   "Databases whose events are sent.",
							   "A comma-separated list, or * for every database that has the extension.",
							   &tte_databases, "*", PGC_SIGHUP, GUC_LIST_INPUT,
							   check_databases, NULL, NULL);
	DefineCustomBoolVariable("tiktok_events.log_requests",
							 "Logs one line for each request to TikTok.",
							 NULL,
							 &tte_log_requests, false, PGC_SIGHUP, 0, NULL, NULL, NULL);
}

static void
define_limits(void)
{
	DefineCustomIntVariable("tiktok_events.connect_timeout",
							"Maximum time to connect to the endpoint.", NULL,
							&tte_connect_timeout, 5000, 100, 60000,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("tiktok_events.request_timeout",
							"Maximum time of a request.", NULL,
							&tte_request_timeout, 30000, 500, 300000,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("tiktok_events.max_in_flight",
							"Maximum number of concurrent requests of a database.", NULL,
							&tte_max_in_flight, 4, 1, 64,
							PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("tiktok_events.max_body_size",
							"Maximum size of a request body.",
							"A single event that is larger is sent alone.",
							&tte_max_body_size, 1024, 16, 10240,
							PGC_SIGHUP, GUC_UNIT_KB, NULL, NULL, NULL);
}

static void
define_retention(void)
{
	DefineCustomIntVariable("tiktok_events.retention",
							"How long final events and their requests are kept.",
							"They are kept at least two days longer than the max_event_age of their source. -1 keeps them forever.",
							&tte_retention, 30 * SECS_PER_DAY, -1, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_S, NULL, NULL, NULL);
	DefineCustomIntVariable("tiktok_events.identifier_ttl",
							"How long rejected and uncertain events keep their identifiers, since they were recorded.",
							"-1 means the max_event_age of their source.",
							&tte_identifier_ttl, -1, -1, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_S, NULL, NULL, NULL);
}

static void
define_session_settings(void)
{
	DefineCustomBoolVariable("tiktok_events.recording",
							 "Records events.",
							 "When off, triggers and tiktok.track() do nothing, and read and lock nothing. Rows and calls are counted in tiktok.not_recorded; their events are not made up for.",
							 &tte_recording, true, PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomBoolVariable("tiktok_events.test_event",
							 "Records events as test events.",
							 "Test events have the source's test code and are not counted.",
							 &tte_test_event, false, PGC_USERSET, 0, NULL, NULL, NULL);
}

void
tte_settings_define(void)
{
	define_delivery_settings();
	define_limits();
	define_retention();
	define_session_settings();

	/* defining a POSTMASTER parameter in a session is a FATAL error */
	if (!process_shared_preload_libraries_in_progress)
		return;
	DefineCustomIntVariable("tiktok_events.max_workers",
							"Maximum number of databases whose events are sent at the same time.",
							"Each uses one of max_worker_processes. The launcher uses one more, and a probe of a database for the extension another.",
							&tte_max_workers, 8, 1, 1024,
							PGC_POSTMASTER, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("tiktok_events.max_databases",
							"Maximum number of databases with the extension that are served as soon as they have work.",
							"More are looked at every ten minutes.",
							&tte_max_databases, 1024, 1, 65536,
							PGC_POSTMASTER, 0, NULL, NULL, NULL);
	MarkGUCPrefixReserved("tiktok_events");
}
