/*-------------------------------------------------------------------------
 *
 * report.c
 *	  Fetches TikTok's own counts, one call at a time, beside the delivery of events.
 *
 * Nothing here may delay or cost an event.  Calls go through a transport of their
 * own.  They are recorded in a subtransaction that waits for no lock, and an error
 * in it is logged and costs only the call.  A call counts as failed before it is
 * made, so that one that ends the process is not repeated at once.
 *
 * TikTok's answers have no date, so each day is asked for by itself: the last 30
 * days at first, and then once an hour today and those that may still change.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "commands/dbcommands.h"
#include "miscadmin.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "deliver/guard.h"
#include "deliver/multi.h"
#include "deliver/report.h"
#include "deliver/report_store.h"
#include "server/common.h"
#include "server/settings.h"

#define PAUSE			(USECS_PER_SEC * 3 / 20)	/* between two calls:
													 * TikTok allows ten a
													 * second */
#define REFRESH			USECS_PER_HOUR
#define RETRY_FIRST		USECS_PER_MINUTE
#define RETRY_THROTTLED	(5 * USECS_PER_MINUTE)
#define RETRY_MOST		(6 * USECS_PER_HOUR)
#define FILE_POLL		(5 * USECS_PER_SEC)
#define REPLY_MAX		(1024 * 1024)
#define LOCK_TIMEOUT	"10ms"

typedef enum CallState
{
	CALL_NONE,
	CALL_CHOSEN,				/* to be sent after the commit */
	CALL_UNDER_WAY,
	CALL_ENDED					/* to be recorded */
} CallState;

static MemoryContext context = NULL;
static TteReportSource *sources = NULL;
static int	nsources = 0;

static TteHttp *http = NULL;
static bool http_stale = false;
static CallState call_state = CALL_NONE;
static TteReportCall call;
static TteExchange *exchange = NULL;	/* that has ended, with the answer */
static const char *answer;
static char *secret = NULL;		/* the token, until it is sent */
static StringInfoData url;

static bool look = true;		/* read the sources again */
static int64 next_at = 0;		/* of all sources */
static int64 paused_until = 0;
static int	troubles = 0;		/* steps that failed in a row */
static int64 clock_seen = 0;
static int64 files_seen_at = 0;
static uint64 files_seen = 0;	/* sum of the stamps of all token files */

void
tte_report_look(void)
{
	look = true;
}

void
tte_report_reload(void)
{
	http_stale = true;
	look = true;
}

static void
drop_call(void)
{
	if (exchange != NULL)
		tte_http_release(http, exchange);
	exchange = NULL;
	if (secret != NULL)
		explicit_bzero(secret, TTE_SECRET_SIZE);
	call_state = CALL_NONE;
}

void
tte_report_forget(void)
{
	drop_call();
	tte_http_destroy(http);
	http = NULL;
	sources = NULL;
	nsources = 0;
	if (context != NULL)
		MemoryContextReset(context);
	look = true;
}

int
tte_report_fd(void)
{
	return http != NULL ? tte_http_fd(http) : -1;
}

void
tte_report_drive(void)
{
	TteHttpResult result;

	if (http == NULL)
		return;
	tte_http_drive(http);
	if (call_state != CALL_UNDER_WAY || !tte_http_collect(http, &result))
		return;
	exchange = result.exchange;
	answer = result.body;
	call.bytes = result.body_len;
	call.http_status = result.status;
	tte_reply_judge(result.transport, result.status, result.body, result.body_len, result.truncated,
					result.error, result.retry_after, &call.reply);
	if (result.truncated)
		strlcpy(call.reply.message, result.error, sizeof(call.reply.message));
	tte_reply_redact(&call.reply, tte_http_token(exchange), NULL);
	call_state = CALL_ENDED;
}

/*-------------------------------------------------------------------------
 * When
 *-------------------------------------------------------------------------
 */

static const char *
file_name(const TteReportSource *source)
{
	return psprintf("%s.reporting", source->name);
}

/* A file that comes, goes or changes. */
static bool
files_changed(int64 now)
{
	uint64		stamp = 0;
	bool		changed;

	if (tte_access_token_dir[0] == '\0' || (now - files_seen_at < FILE_POLL && now >= files_seen_at))
		return false;
	files_seen_at = now;
	for (int i = 0; i < nsources; i++)
		stamp += tte_token_stamp(tte_access_token_dir, file_name(&sources[i]));
	changed = stamp != files_seen;
	files_seen = stamp;
	return changed;
}

bool
tte_report_is_open(void)
{
	return call_state != CALL_NONE;
}

static bool
may_call(void)
{
	return tte_enabled && tte_reporting_base() != NULL;
}

bool
tte_report_wants(int64 now)
{
	if (now < clock_seen)
	{
		look = true;
		paused_until = 0;
	}
	clock_seen = now;
	if (call_state == CALL_ENDED)
		return now >= paused_until;
	if (call_state != CALL_NONE || !may_call())
		return false;
	if (files_changed(now))
		look = true;
	return now >= paused_until && (look || now >= next_at);
}

int64
tte_report_due(int64 now)
{
	int64		due;

	if (call_state == CALL_ENDED)
		return paused_until;
	if (call_state != CALL_NONE || !may_call())
		return PG_INT64_MAX;
	due = look ? now : next_at;
	if (tte_access_token_dir[0] != '\0' && nsources > 0)
		due = Min(due, files_seen_at + FILE_POLL);
	return Max(due, paused_until);
}

static void
set_next_at(void)
{
	next_at = TTE_NEVER;
	for (int i = 0; i < nsources; i++)
		next_at = Min(next_at, sources[i].next_at);
}

static int64
retry_delay(int failures, int64 first)
{
	return Min(first << Min(Max(failures - 1, 0), 10), RETRY_MOST);
}

/*-------------------------------------------------------------------------
 * The sources
 *-------------------------------------------------------------------------
 */

static void
set_state(TteReportSource *source, const char *state, int64 next, const char *reason)
{
	if (state != source->state)
		strlcpy(source->state, state, sizeof(source->state));
	source->next_at = next;
	tte_report_store(source, reason);
}

/* No token, or one of another database: nothing is fetched until that changes. */
static void
block(TteReportSource *source, const char *state, const char *reason)
{
	bool		stored = strcmp(source->state, state) == 0 && source->stamp == 0;

	source->stamp = 0;
	source->pixel_id[0] = '\0';
	source->failures = 0;
	source->next_at = TTE_NEVER;
	if (!stored)
		set_state(source, state, TTE_NEVER, reason);
}

/* Begins anew if token, advertiser or Pixel have changed. */
static void
prepare_source(TteReportSource *source, int64 now)
{
	bool		is_set = source->token_set_at != 0;
	uint64		file = tte_access_token_dir[0] ? tte_token_stamp(tte_access_token_dir, file_name(source)) : 0;
	int64		stamp = file != 0 ? (int64) file : source->token_set_at;

	source->from_file = file != 0;
	if (file == 0 && !is_set)
		block(source, "no_token", "no reporting token is set");
	else if (file != 0 ? source->database_copied && (!is_set || source->token_foreign) : source->token_foreign)
		block(source, "copied", "this database is a copy of another");
	else if (source->stamp != stamp || !source->same_target)
	{
		source->stamp = stamp;
		source->pixel_id[0] = '\0';
		source->failures = 0;
		set_state(source, "waiting", now, NULL);
	}
	else if (source->next_at != TTE_NEVER && source->next_at > now + USECS_PER_DAY)
		source->next_at = now;	/* the clock was set back */
}

static void
read_sources(int64 now)
{
	look = false;
	sources = NULL;
	nsources = 0;
	if (context == NULL)
		context = AllocSetContextCreate(TopMemoryContext, "tiktok_events reporting", ALLOCSET_SMALL_SIZES);
	MemoryContextReset(context);
	nsources = tte_report_read(context, &sources);
	for (int i = 0; i < nsources; i++)
		prepare_source(&sources[i], now);
}

/*-------------------------------------------------------------------------
 * The next call
 *-------------------------------------------------------------------------
 */

/* All of its values consist of letters, digits, underscore and dash. */
static void
write_url(const TteReportSource *source)
{
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);
	int			year;
	int			month;
	int			day;

	if (url.data == NULL)
		initStringInfo(&url);
	MemoryContextSwitchTo(old);
	resetStringInfo(&url);
	appendStringInfoString(&url, tte_reporting_base());
	if (!call.stats)
	{
		tte_pixel_list_query(&url, source->advertiser, source->code, source->page);
		return;
	}
	j2date(call.day + UNIX_EPOCH_JDATE, &year, &month, &day);
	tte_counts_query(&url, source->advertiser, source->pixel_id, psprintf("%04d-%02d-%02d", year, month, day));
}

/* False: there is none that can be used, and the source's state says why. */
static bool
take_reporting_token(TteReportSource *source)
{
	const char *problem = NULL;

	if (secret == NULL)
		secret = tte_secret_alloc();
	if (secret == NULL)
		elog(ERROR, "out of memory");
	if (source->from_file)
		problem = tte_token_read(tte_access_token_dir, file_name(source), secret);
	else
		problem = tte_report_token(source->id, secret);
	if (problem == tte_token_missing)
	{
		look = true;
		return false;
	}
	if (problem != NULL)
		set_state(source, "no_token", TTE_NEVER, psprintf("reporting token%s: %s", source->from_file ? " file" : "", problem));
	return problem == NULL;
}

/* It counts as failed until it has been answered. */
static void
prepare_call(TteReportSource *source, int64 now)
{
	int			today = now / USECS_PER_DAY;

	memset(&call, 0, offsetof(TteReportCall, reply));
	call.source = source;
	call.stats = source->pixel_id[0] != '\0';
	if (call.stats)
	{
		call.day = tte_report_day(source, today);
		if (call.day < 0)
		{
			tte_report_complete(source, today);
			set_state(source, "ok", now + REFRESH, NULL);
			return;
		}
		strlcpy(call.pixel_id, source->pixel_id, sizeof(call.pixel_id));
	}
	if (!take_reporting_token(source))
		return;
	write_url(source);
	source->failures++;
	source->next_at = now + retry_delay(source->failures, RETRY_FIRST);
	tte_report_begin(source);
	call_state = CALL_CHOSEN;
}

static void
choose(int64 now)
{
	TteReportSource *first = NULL;

	for (int i = 0; i < nsources; i++)
	{
		if (sources[i].next_at <= now && (first == NULL || sources[i].next_at < first->next_at))
			first = &sources[i];
	}
	if (first != NULL)
		prepare_call(first, now);
}

/*-------------------------------------------------------------------------
 * What came back
 *-------------------------------------------------------------------------
 */

static void
judge_pixel(TteReportSource *source, int64 now)
{
	TtePixelAnswer found = tte_pixel_find(answer, call.bytes, source->code, source->page, source->pixel_id);

	if (found == TTE_PIXEL_UNREADABLE)
	{
		call.outcome = "failed";
		strlcpy(call.reply.message, "the answer has no list of Pixels", sizeof(call.reply.message));
		return;
	}
	call.outcome = "ok";
	source->failures = 0;
	switch (found)
	{
		case TTE_PIXEL_UNREADABLE:
			break;
		case TTE_PIXEL_NEXT_PAGE:
			source->page++;
			set_state(source, source->state, now, NULL);
			return;
		case TTE_PIXEL_NONE:
			set_state(source, "no_pixel", now + USECS_PER_DAY, "the advertiser account has no Pixel of this code");
			break;
		case TTE_PIXEL_UNBOUND:
			strlcpy(call.pixel_id, source->pixel_id, sizeof(call.pixel_id));
			source->pixel_id[0] = '\0';
			set_state(source, "unbound", now + USECS_PER_DAY, "the Pixel is bound to no advertiser account: TikTok does not count its events");
			break;
		case TTE_PIXEL_FOUND:
			strlcpy(call.pixel_id, source->pixel_id, sizeof(call.pixel_id));
			set_state(source, "ok", now, NULL);
			break;
	}
	source->page = 1;
}

static void
judge_counts(TteReportSource *source, TteCounts *counts, int64 now)
{
	const char *problem = tte_counts_read(answer, call.bytes, call.pixel_id, counts);

	if (problem != NULL)
	{
		call.outcome = "failed";
		strlcpy(call.reply.message, problem, sizeof(call.reply.message));
		return;
	}
	call.outcome = "ok";
	source->failures = 0;
	set_state(source, "ok", now, NULL);
}

/* Stops, or says when the next call is made. */
static void
note_trouble(TteReportSource *source, int64 now)
{
	const TteReply *reply = &call.reply;
	bool		stops = strcmp(call.outcome, "stopped") == 0;
	bool		throttled = strcmp(call.outcome, "throttled") == 0;
	int64		delay = retry_delay(source->failures, throttled ? RETRY_THROTTLED : RETRY_FIRST);
	char	   *reason = reply->has_code && reply->code != 0 ? psprintf("code %d: %s", reply->code, reply->message) : pstrdup(reply->message);

	delay = Max(delay, Min(reply->retry_after, RETRY_MOST));

	/*
	 * 40016, 40100 and 40133 belong to the developer app, which others may
	 * share
	 */
	if (throttled)
		paused_until = now + RETRY_THROTTLED;
	source->page = 1;
	if (call.stats && reply->outcome == TTE_OUTCOME_ISOLATE)
		source->pixel_id[0] = '\0';
	set_state(source, stops ? "stopped" : "failing", stops ? TTE_NEVER : now + delay, tte_from_utf8(reason, strlen(reason)));
}

/* The answer of the last call. */
static void
record_call(int64 now)
{
	TteReportSource *source = call.source;
	TteCounts	counts = {0};
	bool		read = false;

	if (call.reply.outcome != TTE_OUTCOME_DELIVERED)
		call.outcome = tte_counts_trouble(&call.reply);
	else if (call.stats)
	{
		judge_counts(source, &counts, now);
		read = strcmp(call.outcome, "ok") == 0;
	}
	else
		judge_pixel(source, now);
	if (strcmp(call.outcome, "ok") != 0)
		note_trouble(source, now);
	else
		call.reply.message[0] = '\0';
	tte_report_record(&call, read ? &counts : NULL, now);
	if (read)
		tte_report_counts(&call, &counts);
}

/*-------------------------------------------------------------------------
 * A step
 *-------------------------------------------------------------------------
 */

/* Sources are read again between two calls, because a call points to its own. */
static void
do_step(int64 now)
{
	static const char *const tables[] = {"reporting_token", "report_state", "report_fetch", "platform_count", "platform_event_type"};
	const char *problem = tte_guard_problem_of(tables, lengthof(tables));

	if (problem != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("%s", problem)));
	if (call_state == CALL_ENDED)
	{
		record_call(now);
		drop_call();
	}
	if (look && may_call())
		read_sources(now);
	if (may_call() && now >= paused_until)
		choose(now);
}

static void
note_error(ErrorData *error, int64 now)
{
	/* a doubling pause, and no more than a line of the log each time */
	paused_until = now + Min(USECS_PER_MINUTE << Min(troubles, 6), USECS_PER_HOUR);
	troubles++;
	ereport(LOG,
			(errmsg("tiktok_events: could not fetch TikTok's counts in database \"%s\": %s",
					get_database_name(MyDatabaseId), error->message),
			 errdetail("Events are sent nevertheless."),
			 tte_hide_statement()));
	FreeErrorData(error);
	drop_call();
	look = true;
}

void
tte_report_step(int64 now)
{
	MemoryContext old = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	int			level;

	BeginInternalSubTransaction(NULL);
	level = NewGUCNestLevel();
	PG_TRY();
	{
		(void) set_config_option("lock_timeout", LOCK_TIMEOUT, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
		do_step(now);
		AtEOXact_GUC(true, level);
		ReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(old);
		CurrentResourceOwner = owner;
		troubles = 0;
	}
	PG_CATCH();
	{
		note_error(tte_undo_subtransaction(old, owner), now);
	}
	PG_END_TRY();
	set_next_at();
	paused_until = Max(paused_until, now + PAUSE);
}

static bool
make_report_http(void)
{
	TteHttpOptions options = {
		.endpoint = tte_reporting_base(),
		.ca_file = tte_ca_file,
		.proxy = tte_proxy[0] ? tte_proxy : NULL,
		.proxy_ca_file = tte_proxy_ca_file,
		.connect_timeout_ms = tte_connect_timeout,
		.request_timeout_ms = tte_request_timeout,
		.max_connections = 1,
		.max_reply = REPLY_MAX
	};
	const char *error;

	if (http != NULL && http_stale)
	{
		tte_http_destroy(http);
		http = NULL;
	}
	if (http == NULL)
		http = tte_http_create(&options, &error);
	http_stale = false;
	return http != NULL;
}

void
tte_report_send(int64 now)
{
	if (call_state != CALL_CHOSEN)
	{
		/* a kept connection would not live until the next hour */
		if (next_at > now + USECS_PER_MINUTE)
		{
			tte_http_destroy(http);
			http = NULL;
		}
		return;
	}
	call.started_at = now;
	if (may_call() && make_report_http() && tte_http_get(http, secret, url.data, &call) != NULL)
	{
		call_state = CALL_UNDER_WAY;
		tte_report_drive();
	}
	else
		call_state = CALL_NONE;
	explicit_bzero(secret, TTE_SECRET_SIZE);
}
