/*-------------------------------------------------------------------------
 *
 * worker.c
 *	  The background worker of a database: its loop.
 *
 * A turn records what came back (one short transaction), reads and records
 * what goes out next (another one), and hands it to libcurl; then the worker
 * waits for a commit, a socket or the next due time.  No transaction is open
 * while bytes are on the wire.  After an error everything in memory is thrown
 * away and rebuilt from the tables, as after a restart.  While the extension is
 * of a version that this library does not know, or somebody else's code would run
 * in it (guard.c), the worker touches nothing.
 *
 * When other databases wait it makes room (term.c), but not before all requests
 * under way have ended, which they do by the time-out at the latest.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/twophase.h"
#include "access/xact.h"
#include "commands/dbcommands.h"
#include "libpq/pqsignal.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "deliver/body.h"
#include "deliver/handover.h"
#include "deliver/multi.h"
#include "deliver/purge_turn.h"
#include "deliver/recovery.h"
#include "deliver/report.h"
#include "deliver/senders.h"
#include "deliver/term.h"
#include "deliver/watch.h"
#include "deliver/worker.h"
#include "server/common.h"
#include "server/compat.h"
#include "server/faultpoint.h"
#include "server/settings.h"
#include "server/slots.h"
#include "server/waitset.h"

#define USEC	INT64CONST(1000000)

/* COMMIT PREPARED wakes nobody. */
#define SLOW_POLL	(5 * USEC)

#define MAX_PAUSE	60			/* seconds after repeated errors */

/* While others wait, what is due this soon is due now: to start a worker costs more than many requests. */
#define WORTH_STAYING	(USEC / 5)
#define MAX_REQUESTS	64		/* bound of tiktok_events.max_in_flight */

static TteSlot *slot;
static TteHttp *http = NULL;
static bool http_stale = false; /* make a new one as soon as nothing is in
								 * flight */
static int64 authorities_seen_at = 0;
static dlist_head under_way = DLIST_STATIC_INIT(under_way); /* the oldest first */
static TteEndpoint endpoint_state;
static MemoryContext turn_context;
static TteInstallation installation;
static int64 polled_at = 0;
static bool standing_by = false;	/* the extension's version does not fit */
static bool refused = false;	/* somebody has changed the tables */
static int	shown = -1;			/* requests under way that pg_stat_activity
								 * shows, -1: something else */

/* Wait events */
static uint32 wait_idle;
static uint32 wait_send;
static uint32 wait_pause;

/* Requests that have come back and are not recorded yet. */
static TteRequest *finished[MAX_REQUESTS];
static int	nfinished = 0;
static bool anyone_alone;		/* of those served in this turn */

static void
leave(TteExitReason reason)
{
	pg_atomic_write_u32(&slot->exit_reason, reason);
	proc_exit(0);
}

static int
in_flight(void)
{
	return http ? tte_http_in_flight(http) : 0;
}

/* Throws away what is in memory; the tables know everything that matters. */
static void
forget_everything(void)
{
	dlist_mutable_iter iter;

	tte_http_destroy(http);
	http = NULL;
	nfinished = 0;
	dlist_init(&under_way);
	memset(&endpoint_state, 0, sizeof(endpoint_state));
	dlist_foreach_modify(iter, &tte_senders)
	{
		TteSender  *sender = dlist_container(TteSender, node, iter.cur);

		dlist_delete(iter.cur);
		tte_sender_destroy(sender);
	}
	memset(&installation, 0, sizeof(installation));
	tte_purge_forget();
	tte_report_forget();
	tte_watch_reload();
}

/* Said once; every look at the queue begins with a look at the version. */
static void
stand_by(void)
{
	char	   *message;

	if (standing_by)
		return;
	standing_by = true;
	forget_everything();
	message = psprintf("version \"%s\" of extension tiktok_events does not fit its library, of version \"%s\"",
					   tte_queue_version(), TTE_VERSION);
	tte_slot_set_error(slot, message);
	tte_slot_set_state(slot, TTE_WORKER_MISMATCH);
	if (tte_term_inherited() == TTE_WORKER_MISMATCH)
		return;
	ereport(WARNING,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("tiktok_events: %s", message),
			 errdetail("Events are recorded, but not sent."),
			 errhint("Run ALTER EXTENSION tiktok_events UPDATE, or restart the server with the library of that version.")));
}

static void
end(void)
{
	tte_queue_end();
	MemoryContextSwitchTo(turn_context);
}

/* Said once; every look at the queue begins with a look at the tables. */
static void
refuse_tables(const char *problem)
{
	if (!refused)
		tte_slot_set_error(slot, problem);
	tte_slot_set_state(slot, TTE_WORKER_REFUSED);
	if (refused)
		return;
	refused = true;
	forget_everything();
	if (tte_term_inherited() == TTE_WORKER_REFUSED)
		return;
	ereport(LOG,
			(errmsg("tiktok_events: nothing is sent in database \"%s\": %s",
					get_database_name(MyDatabaseId), problem),
			 errdetail("Only what the extension has made is run with the rights of its owner."),
			 errhint("Undo it; the worker then goes on by itself.")));
}

/* False: there is nothing to be done with these tables. */
static bool
begin(const char *activity)
{
	const char *problem;

	shown = -1;
	switch (tte_queue_begin(activity))
	{
		case TTE_QUEUE_GONE:
			/* a new extension of the same name is another one: start afresh */
			leave(TTE_EXIT_ASKED);
			break;
		case TTE_QUEUE_MISMATCH:
			MemoryContextSwitchTo(turn_context);
			stand_by();
			return false;
		case TTE_QUEUE_READY:
			break;
	}
	problem = tte_queue_problem();
	if (problem != NULL)
	{
		refuse_tables(problem);
		end();
		return false;
	}
	if (refused || tte_term_inherited() == TTE_WORKER_REFUSED)
	{
		tte_slot_set_error(slot, "");
		ereport(LOG, (errmsg("tiktok_events: the tables of database \"%s\" are in order again", get_database_name(MyDatabaseId))));
	}
	if (standing_by || tte_term_inherited() == TTE_WORKER_MISMATCH)
		ereport(LOG, (errmsg("tiktok_events: version \"%s\" of the extension fits; its events are sent again", tte_queue_version())));
	refused = false;
	standing_by = false;
	tte_term_disinherit();
	return true;
}

static bool
make_http(void)
{
	TteHttpOptions options = {
		.endpoint = tte_endpoint,
		.ca_file = tte_ca_file,
		.proxy = tte_proxy[0] ? tte_proxy : NULL,
		.proxy_ca_file = tte_proxy_ca_file,
		.connect_timeout_ms = tte_connect_timeout,
		.request_timeout_ms = tte_request_timeout,
		.max_connections = TTE_MOST_TRANSFERS,
	};
	const char *error;

	if (http != NULL && http_stale && in_flight() == 0)
	{
		tte_http_destroy(http);
		http = NULL;
	}
	if (http == NULL)
	{
		http = tte_http_create(&options, &error);
		if (http == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_SYSTEM_ERROR),
					 errmsg("could not set up HTTP: %s", error)));
		http_stale = false;
	}
	return !http_stale;
}

/* What libcurl has read of a file of authorities it keeps for hours, whatever is in the file meanwhile. */
static void
mind_authorities(void)
{
	int64		now = tte_now();

	if (http == NULL || http_stale || (now - authorities_seen_at < USEC && now >= authorities_seen_at))
		return;
	authorities_seen_at = now;
	if (!tte_http_is_outdated(http))
		return;
	http_stale = true;
	tte_hurry_probes();
	tte_report_reload();
}

/* It is not under way any more. */
static void
finish_request(TteRequest *request, bool answered)
{
	tte_endpoint_ended(&endpoint_state, &request->sender->breaker, &request->try, answered, tte_now());
	dlist_delete(&request->under_way);
	finished[nfinished++] = request;
}

static void
judge_answer(const TteHttpResult *result)
{
	TteRequest *request = result->owner;

	TTE_FAULT_POINT("answer-read", NULL);
	tte_reply_judge(result->transport, result->status, result->body, result->body_len, result->truncated,
					result->error, result->retry_after, &request->reply);
	tte_reply_redact(&request->reply, result->exchange ? tte_http_token(result->exchange) : NULL, request->body.data);
	request->reply.possibly_received |= result->resent;
	request->http_status = result->status;
	request->cut_short = result->cut_short;
	finish_request(request, result->transport == TTE_TRANSPORT_ANSWERED);
}

/* The request could not even be handed to libcurl. */
static void
judge_unsent(TteRequest *request)
{
	TteHttpResult result = {.owner = request, .transport = TTE_TRANSPORT_NEVER_SENT, .error = "out of memory"};

	judge_answer(&result);
}

static void
collect(void)
{
	TteHttpResult result;

	if (http == NULL)
		return;
	tte_http_drive(http);
	while (nfinished < MAX_REQUESTS && tte_http_collect(http, &result))
	{
		judge_answer(&result);
		tte_http_release(http, result.exchange);
	}
}

/* Records everything that has come back, in one transaction. */
static void
record_outcomes(void)
{
	dlist_iter	iter;
	int64		now = tte_now();

	if (nfinished == 0 && !tte_anyone_holds(now))
		return;
	TTE_FAULT_POINT("before-record", NULL);
	if (!begin("tiktok_events: recording outcomes"))
		return;
	for (int i = 0; i < nfinished; i++)
	{
		tte_outcome_count(finished[i], slot);
		tte_outcome_record(finished[i], now);
	}
	nfinished = 0;
	dlist_foreach(iter, &tte_senders)
	{
		TteSender  *sender = dlist_container(TteSender, node, iter.cur);

		if (tte_hold_due(sender, now))
			tte_hold_record(sender, now);
		tte_sender_store(sender, now);
	}
	TTE_FAULT_POINT("before-record-commits", NULL);
	end();
	TTE_FAULT_POINT("recorded", NULL);
	ConditionVariableBroadcast(&slot->recorded);
}

/* An operator finds out by tiktok.backlog, by tiktok.worker_status, or here. */
static void
check_recovery(uint64 next_xid, int64 now)
{
	const char *gap = tte_recovery_check(&installation, next_xid, now);

	if (gap == NULL)
		return;
	tte_slot_set_error(slot, gap);
	ereport(LOG,
			(errmsg("tiktok_events: all sources of database \"%s\" are paused: %s",
					get_database_name(MyDatabaseId), gap),
			 errhint("tiktok.resume() goes on. What was unfinished in that state and may be counted twice becomes uncertain.")));
}

/* Has everybody to wait, for an event that goes alone or for what is before it? */
static bool
held_up(int64 now)
{
	return in_flight() > 0 && tte_alone_sender(now) != NULL;
}

/* Whoever was served last is served last; false: nobody has anything to send. */
static bool
serve_next(TteSender *alone, TteRequest **requests, int *n, const TteSnapshot *snapshot, TteSendLimits *limits, int64 now)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &tte_senders)
	{
		TteSender  *sender = dlist_container(TteSender, node, iter.cur);
		TteRequest *request;

		if ((alone != NULL && alone != sender) || !tte_sender_wants(sender, now))
			continue;
		limits->others = *n > 0 || endpoint_state.transfers > 0;
		request = tte_sender_next(sender, snapshot, limits, now);
		if (sender->alone != TTE_ALONE_NO)
			anyone_alone = true;
		if (request == NULL)
			continue;
		tte_endpoint_sent(&endpoint_state, now);
		dlist_push_tail(&under_way, &request->under_way);
		requests[(*n)++] = request;
		dlist_delete(&sender->node);
		dlist_push_tail(&tte_senders, &sender->node);
		return true;
	}
	return false;
}

/* Lets every sender in turn have a request, as long as there is room. */
static int
next_requests(TteRequest **requests, TteSendLimits *limits, int room, int64 now)
{
	TteSender  *alone = tte_alone_sender(now);
	TteSnapshot snapshot;
	bool		changed;
	dlist_iter	iter;
	int			n = 0;

	anyone_alone = false;
	tte_queue_snapshot(&snapshot);
	TTE_FAULT_POINT("snapshot-taken", NULL);
	changed = tte_watch_changed(now);
	if (changed || tte_recovery_check_due(&installation, now))
		check_recovery(snapshot.xmax, now);
	if (changed)
		tte_read_sources(turn_context);
	limits->recovered_to = installation.recovered_to;
	limits->recovered_xid = installation.recovered_xid;
	dlist_foreach(iter, &tte_senders)
	{
		TteSender  *sender = dlist_container(TteSender, node, iter.cur);

		if (!sender->loaded)
			tte_sender_load(sender);
		if (tte_sender_expires(sender, now))
			tte_sender_expire(sender, &snapshot, limits, now);
	}
	while (room > n && serve_next(alone, requests, &n, &snapshot, limits, now) && !anyone_alone)
		;
	dlist_foreach(iter, &tte_senders)
	{
		tte_sender_store(dlist_container(TteSender, node, iter.cur), now);
	}
	return n;
}

/* Nothing is held while the body is put together and sent. */
static void
send_request(TteRequest *request, const TteSendLimits *limits)
{
	TteSendLimits own = tte_sender_limits(request->sender, limits);

	if (!tte_body_build(request, &own))
	{
		finish_request(request, false);
		return;
	}
	tte_sent_note(request->id);
	tte_term_note_sent();
	if (tte_http_post(http, request->sender->config.token, request->body.data, request->body.len, request) == NULL)
		judge_unsent(request);
}

/* Reads and records what goes out next; sends it when that has been committed. */
static void
send_requests(bool woken)
{
	TteRequest *requests[MAX_REQUESTS];
	int64		now = tte_now();
	TteSendLimits limits = {
		.max_body = tte_max_body_size * 1024, .ascii = tte_ascii_payload(), .hangs = tte_endpoint_hangs(&endpoint_state, now)
	};
	int			room = tte_endpoint_room(&endpoint_state, tte_max_in_flight, now);
	int			n;

	if (!tte_enabled || room <= 0 || held_up(now) || tte_term_is_over(now) ||
		(!woken && !tte_watch_stale() && !tte_recovery_check_due(&installation, now) && !tte_anyone_wants(now)) ||
		!make_http() || !begin("tiktok_events: reading events"))
		return;
	n = next_requests(requests, &limits, room, now);
	end();
	if (n > 0)
		TTE_FAULT_POINT("requests-committed", NULL);
	for (int i = 0; i < n; i++)
		send_request(requests[i], &limits);
	/* what this moves may also bring back an answer, which must not wait */
	if (n > 0)
		collect();
}

static void
purge_some(void)
{
	int64		now = tte_now();

	if (!tte_term_purge_is_due(now) || !begin("tiktok_events: deleting old rows"))
		return;
	tte_purge_some(now);
	end();
}

/* Sends nothing but the question; whatever concerns events comes first. */
static void
fetch_counts(void)
{
	int64		now = tte_now();

	tte_report_drive();
	if (nfinished > 0 || (tte_term_is_over(now) && !tte_report_is_open()) || !tte_report_wants(now) ||
		!begin("tiktok_events: fetching TikTok's counts"))
		return;
	tte_report_step(now);
	end();
	tte_report_send(now);
}

/*
 * Did anything happen that the queue has to be looked at for?  What the slow
 * poll notices may also be an operator's decision in a prepared transaction.
 */
static bool
woken(void)
{
	int64		now = tte_now();

	/*
	 * in this order: a session sets both, and the worker does not leave while
	 * one is set
	 */
	if (pg_atomic_read_u32(&slot->wake) != 0)
		tte_term_note_woken();
	if (pg_atomic_exchange_u32(&slot->wake, 0) != 0)
	{
		/* the relcache message comes later than the wake-up */
		if (pg_atomic_exchange_u32(&slot->reconfigure, 0) != 0)
			tte_watch_reload();
		tte_look_at_news(slot);
		return true;
	}
	if (now - polled_at < SLOW_POLL && now >= polled_at)
		return false;
	polled_at = now;
	if (!tte_queue_may_have_news())
		return false;
	if (max_prepared_xacts > 0)
		tte_requeue_all();
	tte_look_everywhere();
	return true;
}

/* When the oldest request that is not slow was started; 0: there is none. */
static int64
oldest_start(void)
{
	dlist_iter	iter;

	dlist_foreach(iter, &under_way)
	{
		const TteTry *try = &dlist_container(TteRequest, under_way, iter.cur)->try;

		if (!try->slow)
			return try->started_at;
	}
	return 0;
}

/* What is unanswered for long leaves its slot to others. */
static void
note_slow(void)
{
	int64		now = tte_now();
	dlist_iter	iter;

	dlist_foreach(iter, &under_way)
	{
		TteRequest *request = dlist_container(TteRequest, under_way, iter.cur);

		if (now - request->try.started_at < TTE_SLOW)
			break;
		tte_endpoint_slow(&endpoint_state, &request->sender->breaker, &request->try);
		tte_breaker_slow(&request->sender->breaker, &request->try);
	}
}

/* When events or counts are due, but for what may come in meanwhile; PG_INT64_MAX: never. */
static int64
work_due(int64 now)
{
	int64		due = refused || standing_by ? PG_INT64_MAX : tte_report_due(now);
	dlist_iter	iter;

	if (tte_enabled && !(http_stale && in_flight() > 0) && !held_up(now))
	{
		bool		room = tte_endpoint_room(&endpoint_state, tte_max_in_flight, now) > 0;

		if (!room)
			due = Min(due, tte_endpoint_due(&endpoint_state, oldest_start(), now));
		dlist_foreach(iter, &tte_senders)
		{
			if (room)
				due = Min(due, tte_sender_due(dlist_container(TteSender, node, iter.cur), now));
		}
	}
	return due;
}

/* Milliseconds until something is due. */
static long
time_to_wait(void)
{
	int64		now = tte_now();
	int64		due = Min(polled_at + SLOW_POLL, tte_token_files_due());

	if (nfinished > 0)
		return 0;
	if (!tte_term_is_over(now))
		due = Min(due, work_due(now));
	if (!refused && !standing_by && !tte_term_is_over(now))
		due = Min(due, tte_term_purge_due());
	due = Min(due, tte_term_due(now));
	due = Min(due, oldest_start() == 0 ? due : oldest_start() + TTE_SLOW);
	return due <= now ? 0 : Min((due - now) / 1000 + 1, SLOW_POLL / 1000);
}

/* What cannot be interrupted. */
static bool
is_bound(void)
{
	return in_flight() > 0 || nfinished > 0 || tte_report_is_open();
}

static bool
is_busy(int64 now)
{
	return is_bound() || tte_anyone_has_held() ||
		pg_atomic_read_u32(&slot->wake) != 0 || work_due(now) <= now + WORTH_STAYING;
}

static TteWorkerState
state_left(void)
{
	if (standing_by)
		return TTE_WORKER_MISMATCH;
	return refused ? TTE_WORKER_REFUSED : TTE_WORKER_RESTING;
}

static void
hand_over(int64 now)
{
	if (refused || standing_by || !tte_anyone_hands_over(now) || !begin("tiktok_events: making room"))
		return;
	tte_hand_over(now);
	end();
}

/* When others wait: leaves, if nothing is under way and there is nothing to do, or time is up. */
static void
make_room(void)
{
	int64		now = tte_now();

	if (!tte_term_ends(is_busy(now), is_bound(), now))
		return;
	hand_over(now);
	tte_term_leave_note(state_left(), work_due(now), now);
	TTE_FAULT_POINT("leaving", NULL);
	leave(TTE_EXIT_MADE_ROOM);
}

static void
show_activity(void)
{
	int			n = in_flight();
	char		activity[64];

	if (n == shown)
		return;
	snprintf(activity, sizeof(activity), "tiktok_events: sending %d request%s", n, n == 1 ? "" : "s");
	pgstat_report_activity(n > 0 ? STATE_RUNNING : STATE_IDLE, n > 0 ? activity : "tiktok_events: idle");
	shown = n;
}

static void
turn(void)
{
	bool		news = woken();

	tte_mind_clock(tte_now());
	mind_authorities();
	if (tte_token_files_changed())
	{
		tte_watch_reload();
		tte_look_everywhere();
		news = true;
	}
	collect();
	note_slow();
	record_outcomes();
	send_requests(news);
	if (in_flight() > 0)
		TTE_FAULT_POINT("in-flight", NULL);
	purge_some();
	fetch_counts();
	pg_atomic_write_u32(&slot->in_flight, in_flight());
	pg_atomic_write_u64(&slot->heartbeat, GetCurrentTimestamp());
	if (!standing_by && !refused)
		tte_slot_set_state(slot, in_flight() > 0 ? TTE_WORKER_SENDING : TTE_WORKER_IDLE);
	show_activity();
	MemoryContextReset(turn_context);
}

static void
recover(void)
{
	ErrorData  *error;

	error_context_stack = NULL;
	HOLD_INTERRUPTS();
	MemoryContextSwitchTo(TopMemoryContext);
	error = CopyErrorData();
	EmitErrorReport();
	AbortCurrentTransaction();
	LWLockReleaseAll();
	FlushErrorState();
	tte_slot_set_error(slot, error->message);
	FreeErrorData(error);
	tte_slot_set_state(slot, TTE_WORKER_FAILED);
	forget_everything();
	/* look at the queue at once */
	pg_atomic_write_u32(&slot->wake, 1);
	pgstat_report_activity(STATE_IDLE, "tiktok_events: pausing after an error");
	shown = -1;
	RESUME_INTERRUPTS();
	TTE_FAULT_POINT("all-forgotten", NULL);
}

static void
pause_after(int failures)
{
	int			pause = 1 << Min(failures, 6);

	tte_wait(-1, -1, Min(pause, MAX_PAUSE) * 1000L, wait_pause);
}

static void
connect_database(int slot_number)
{
	slot = tte_slot(slot_number);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	tte_slot_attach(slot);
	BackgroundWorkerInitializeConnectionByOid(pg_atomic_read_u32(&slot->database), InvalidOid, 0);
	if (!tte_queue_attach())
		leave(TTE_EXIT_NO_EXTENSION);
	tte_term_begin(slot, tte_now());
	if (tte_slot_is_for_probe(slot))
		leave(TTE_EXIT_NO_ROOM);
	TTE_FAULT_POINT("connected", NULL);
	wait_idle = tte_wait_event("TiktokEventsIdle");
	wait_send = tte_wait_event("TiktokEventsSend");
	wait_pause = tte_wait_event("TiktokEventsPause");
	turn_context = AllocSetContextCreate(TopMemoryContext, "tiktok_events turn", ALLOCSET_DEFAULT_SIZES);
}

void
tte_worker_main(Datum slot_number)
{
	sigjmp_buf	local_sigjmp_buf;
	volatile int failures = 0;

	connect_database(DatumGetInt32(slot_number));
	pg_atomic_write_u32(&slot->wake, 1);
	if (sigsetjmp(local_sigjmp_buf, 1) != 0)
	{
		/*
		 * An error while recovering ends the process; the launcher starts it
		 * again.
		 */
		PG_exception_stack = NULL;
		recover();
		/* Being cancelled during the pause does not. */
		PG_exception_stack = &local_sigjmp_buf;
		pause_after(failures++);
	}
	PG_exception_stack = &local_sigjmp_buf;
	for (;;)
	{
		MemoryContextSwitchTo(turn_context);
		if (pg_atomic_read_u32(&slot->leave) != 0)
			leave(TTE_EXIT_ASKED);
		/* the launcher then pauses as the worker would */
		if (failures > 0 && tte_room_claim())
			leave(TTE_EXIT_UNKNOWN);
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
			http_stale = true;
			tte_hurry_probes();
			tte_report_reload();
			tte_token_files_look();
			tte_purge_restart();
			tte_look_everywhere();
		}
		turn();
		if (in_flight() == 0)
			failures = 0;
		make_room();
		tte_wait(http ? tte_http_fd(http) : -1, tte_report_fd(), time_to_wait(), in_flight() > 0 ? wait_send : wait_idle);
	}
}
