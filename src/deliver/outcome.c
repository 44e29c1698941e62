/*-------------------------------------------------------------------------
 *
 * outcome.c
 *	  From an answer to the tables.
 *
 * What is not final after an answer is a row of tiktok.retry: due at some time, or
 * leased to a part, which goes at once.  So nothing but numbers of events is kept in
 * memory, and after an error or a restart everything is due like other retries.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/pg_prng.h"
#include "utils/memutils.h"

#include "deliver/sender.h"
#include "server/common.h"
#include "server/compat.h"
#include "server/settings.h"

/* So many batches that failed are remembered, because they may be suspect later. */
#define MOST_FAILED	32

static double
dice(void)
{
	return pg_prng_double(&pg_global_prng_state);
}

static int64 *
request_ids(const TteRequest *request)
{
	int64	   *ids = palloc(Max(request->nevents, 1) * sizeof(int64));

	for (int i = 0; i < request->nevents; i++)
		ids[i] = request->events[i].id;
	return ids;
}

/*-------------------------------------------------------------------------
 * Parts
 *-------------------------------------------------------------------------
 */

static TtePart *
make_part(TteSender *sender, const int64 *ids, int n)
{
	TtePart    *part = MemoryContextAllocZero(sender->context, offsetof(TtePart, ids) + n * sizeof(int64));

	part->n = n;
	memcpy(part->ids, ids, n * sizeof(int64));
	return part;
}

/* Parts of what was refused come first: three of a kind tell that all of it may be. */
void
tte_part_add(TteSender *sender, const int64 *ids, int n, TteHalves *halves, bool first)
{
	TtePart    *part = make_part(sender, ids, n);

	part->halves = halves;
	if (first)
		dlist_push_head(&sender->parts, &part->node);
	else
		dlist_push_tail(&sender->parts, &part->node);
	sender->nparts++;
}

static void
split_around(TteSender *sender, const int64 *ids, int n, int bad)
{
	int64	   *rest = palloc(n * sizeof(int64));

	memcpy(rest, ids, bad * sizeof(int64));
	memcpy(rest + bad, ids + bad + 1, (n - bad - 1) * sizeof(int64));
	tte_part_add(sender, rest, n - 1, NULL, true);
	tte_part_add(sender, ids + bad, 1, NULL, true);
}

void
tte_part_split(TteSender *sender, const int64 *ids, int n, bool refused, int bad)
{
	int			half = n / 2;
	TteHalves  *halves = NULL;

	if (bad >= 0 && bad < n)
	{
		split_around(sender, ids, n, bad);
		return;
	}
	if (!refused)
	{
		halves = MemoryContextAlloc(sender->context, sizeof(TteHalves));
		*halves = (TteHalves)
		{
			2, true, n
		};
	}
	tte_part_add(sender, refused ? ids + half : ids, refused ? n - half : half, halves, refused);
	tte_part_add(sender, refused ? ids : ids + half, refused ? half : n - half, halves, refused);
}

static void
end_half(TteHalves *halves, TteSender *sender, bool passed, int64 now)
{
	if (halves == NULL)
		return;
	halves->passed &= passed;
	if (--halves->open > 0)
		return;
	if (halves->passed)
		tte_breaker_halves_passed(&sender->breaker, halves->events, now);
	pfree(halves);
}

void
tte_outcome_drop_parts(TteSender *sender, int64 now)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &sender->parts)
	{
		TtePart    *part = dlist_container(TtePart, node, iter.cur);
		int			n = tte_hold_ids(sender, part->ids, part->n);

		tte_outcome_wait(sender, NULL, part->ids, n, now, NULL);
		dlist_delete(iter.cur);
		end_half(part->halves, sender, false, now);
		pfree(part);
	}
	sender->nparts = 0;
}

void
tte_part_leave_out(TteSender *sender, const int64 *ids, int n)
{
	dlist_push_tail(&sender->left_out, &make_part(sender, ids, n)->node);
}

void
tte_outcome_record_left_out(TteSender *sender)
{
	while (!dlist_is_empty(&sender->left_out))
	{
		TtePart    *part = dlist_container(TtePart, node, dlist_pop_head_node(&sender->left_out));

		tte_outcome_wait(sender, NULL, part->ids, part->n, TTE_LEASED, NULL);
		dlist_push_tail(&sender->parts, &part->node);
		sender->nparts++;
	}
}

/*-------------------------------------------------------------------------
 * Batches that may be suspect
 *-------------------------------------------------------------------------
 */

void
tte_failed_add(TteSender *sender, const int64 *ids, int n, const TteSpan *span, int64 failed_at)
{
	TtePart    *failed;

	if (n < 2 || sender->nfailed == MOST_FAILED)
		return;
	failed = make_part(sender, ids, n);
	failed->span = *span;
	failed->failed_at = failed_at;
	dlist_push_tail(&sender->failed, &failed->node);
	sender->nfailed++;
}

/* Something passed: what failed before is split if it is suspect by now. */
static void
split_suspects(TteSender *sender)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &sender->failed)
	{
		TtePart    *failed = dlist_container(TtePart, node, iter.cur);
		int			n;

		if (!tte_breaker_suspects(&sender->breaker, &failed->span, failed->failed_at))
			continue;
		n = tte_queue_lease(failed->ids, failed->n);
		if (n > 1)
			tte_part_split(sender, failed->ids, n, false, -1);
		else if (n == 1)
			tte_part_add(sender, failed->ids, 1, NULL, false);
		dlist_delete(iter.cur);
		sender->nfailed--;
		pfree(failed);
	}
}

/*-------------------------------------------------------------------------
 * Fates
 *-------------------------------------------------------------------------
 */

void
tte_outcome_final(TteRequest *request, const int64 *ids, int n, const char *status, const char *reason, bool keep)
{
	bool		sent = !request->unreadable;
	TteFinal	final = {request->sender->config.id, sent ? request->id : 0, status, reason, keep, request->from_retry, sent, 0};

	if (request->reply.possibly_received)
		final.possibly_received_at = request->try.started_at;
	tte_queue_record_final(&final, ids, n);
}

static TteRetry
describe_retry(const TteRequest *request, int64 next)
{
	TteRetry	retry = {
		.source_id = request->sender->config.id, .request_id = request->id, .first_attempt_at = request->try.started_at,
		.possibly_received_at = request->possibly_received_at,
		.has_code = request->reply.has_code, .code = request->reply.code, .next_attempt_at = next
	};

	if (retry.possibly_received_at == 0 && request->reply.possibly_received)
		retry.possibly_received_at = request->try.started_at;
	return retry;
}

/* One throw for all, so that they stay together. */
void
tte_outcome_retry(TteRequest *request, const int64 *ids, int n, int attempts, int64 now)
{
	TteSender  *sender = request->sender;
	TteRetry	retry = describe_retry(request, now + Max(tte_retry_delay(attempts + 1, dice()), request->reply.retry_after));

	retry.attempts = 1;
	tte_queue_record_retry(&retry, ids, n);
	if (n > 0)
		sender->next_due = sender->next_due == 0 ? retry.next_attempt_at : Min(sender->next_due, retry.next_attempt_at);
}

void
tte_outcome_wait(TteSender *sender, const TteRequest *request, const int64 *ids, int n, int64 next, const char *kind)
{
	TteRetry	retry = {.source_id = sender->config.id, .first_attempt_at = tte_now(), .next_attempt_at = next};

	if (request != NULL)
		retry = describe_retry(request, next);
	retry.kind = kind;
	tte_queue_record_retry(&retry, ids, n);
	if (n > 0 && kind == NULL && next != TTE_LEASED)
		sender->next_due = sender->next_due == 0 ? next : Min(sender->next_due, next);
}

static void
record_final(TteRequest *request, const char *status, const char *reason, bool keep)
{
	tte_hold_busy(request, TTE_HELD_FINAL, status, reason, keep);
	tte_outcome_final(request, request_ids(request), request->nevents, status, reason, keep);
}

static void
record_retry(TteRequest *request, int64 now)
{
	tte_hold_busy(request, TTE_HELD_RETRY, NULL, NULL, false);
	tte_outcome_retry(request, request_ids(request), request->nevents, request->try.attempts, now);
}

static void
record_wait(TteRequest *request, int64 next)
{
	tte_hold_busy(request, TTE_HELD_WAIT, NULL, NULL, false);
	tte_outcome_wait(request->sender, request, request_ids(request), request->nevents, next, NULL);
}

/* The word in tiktok.delivery.reason for what was refused. */
static const char *
refusal(const TteRequest *request)
{
	if (request->reply.has_code)
		return psprintf("code %d", request->reply.code);
	return psprintf("http %d", request->http_status);
}

static void
record_split(TteRequest *request)
{
	bool		refused = request->reply.outcome != TTE_OUTCOME_RETRY && request->reply.outcome != TTE_OUTCOME_BLOCKED &&
	request->reply.outcome != TTE_OUTCOME_SPLIT;
	int			bad = refused ? request->reply.bad_index : -1;
	int64		bad_id = bad >= 0 && bad < request->nevents ? request->events[bad].id : 0;
	int64	   *ids;

	record_wait(request, TTE_LEASED);
	ids = request_ids(request);
	bad = -1;
	for (int i = 0; i < request->nevents; i++)
	{
		if (ids[i] == bad_id)
			bad = i;
	}
	if (request->nevents > 1)
		tte_part_split(request->sender, ids, request->nevents, refused, bad);
	else if (request->nevents == 1)
		tte_part_add(request->sender, ids, 1, NULL, true);
}

static void
record_singly(TteRequest *request)
{
	int64	   *ids;

	record_wait(request, TTE_LEASED);
	ids = request_ids(request);
	for (int i = 0; i < request->nevents; i++)
		tte_part_add(request->sender, ids + i, 1, NULL, false);
}

static void
record_verdict(TteRequest *request, TteEventsVerdict verdict, int64 now)
{
	switch (verdict)
	{
		case TTE_EVENTS_DELIVERED:
			record_final(request, "delivered", NULL, false);
			break;
		case TTE_EVENTS_REJECTED:
			record_final(request, "rejected", refusal(request), true);
			break;
		case TTE_EVENTS_RETRY:
			tte_failed_add(request->sender, request_ids(request), request->nevents, &request->try.span, request->try.started_at);
			record_retry(request, now);
			break;
		case TTE_EVENTS_WAIT:
			record_wait(request, now);
			break;
		case TTE_EVENTS_SPLIT:
			record_split(request);
			break;
		case TTE_EVENTS_SINGLY:
			record_singly(request);
			break;
	}
}

/*
 * The event could not be put into a body, so nothing was sent.  What was not
 * written by us never can be; anything else may have been the server's trouble.
 */
static void
record_failed(TteRequest *request, int64 now)
{
	tte_breaker_dropped(&request->sender->breaker, &request->try);
	end_half(request->halves, request->sender, false, now);
	if (request->unreadable)
		record_final(request, "invalid", "unreadable", false);
	else
		record_retry(request, now);
}

/*-------------------------------------------------------------------------
 * The source
 *-------------------------------------------------------------------------
 */

/* Why the source stops, if it does. */
static const char *
describe_trouble(const TteRequest *request)
{
	const TteReply *reply = &request->reply;
	const char *name = reply->outcome == TTE_OUTCOME_ISOLATE ? "refused" : tte_outcome_name(reply->outcome);

	if (reply->has_code)
		return psprintf("%s: code %d", name, reply->code);
	if (request->http_status != 0)
		return psprintf("%s: http %d without code", name, request->http_status);
	return psprintf("%s: %s", name, reply->message);
}

static void
keep_name(TteSender *sender, char **kept, const char *name)
{
	char	   *copy = name ? MemoryContextStrdup(sender->context, name) : NULL;

	if (*kept != NULL)
		pfree(*kept);
	*kept = copy;
}

/* The breaker knows hashes, the tables names. */
static void
keep_kind(TteSender *sender, const TteRequest *request)
{
	const TteKind *kind = tte_breaker_kind(&sender->breaker, request->try.kind);

	if (kind != NULL)
		keep_name(sender, &sender->kinds[kind - sender->breaker.kinds], request->events[0].name);
}

static void
note_kinds_passed(TteSender *sender, const TteRequest *request)
{
	for (int i = 0; i < request->nevents && sender->breaker.nkinds > 0; i++)
	{
		for (int k = 0; k < sender->breaker.nkinds; k++)
		{
			if (sender->kinds[k] != NULL && strcmp(sender->kinds[k], request->events[i].name) == 0)
				tte_breaker_kind_passed(&sender->breaker, sender->breaker.kinds[k].name);
		}
	}
}

static bool
is_stopped(const TteSender *sender)
{
	return sender->breaker.state == TTE_STATE_STOPPED || sender->breaker.state == TTE_STATE_PROBING;
}

static void
record_answer(TteRequest *request, int64 now)
{
	TteSender  *sender = request->sender;
	const TteReply *reply = &request->reply;
	TteJudgement judgement;

	if (reply->outcome != TTE_OUTCOME_THROTTLE)
		tte_token_passed(sender->token, request->try.started_at);
	judgement = tte_breaker_answer(&sender->breaker, &request->try, reply, describe_trouble(request), now, dice());
	if (judgement.verdict.source == TTE_SOURCE_THROTTLED)
		tte_token_throttled(sender->token, reply, describe_trouble(request), request->try.started_at, now);
	if (judgement.verdict.source == TTE_SOURCE_REFUSES)
		keep_kind(sender, request);
	if (judgement.verdict.source == TTE_SOURCE_PASSES)
		note_kinds_passed(sender, request);
	if (judgement.stopped)
		keep_name(sender, &sender->suspect, request->nevents == 1 ? request->events[0].name : NULL);
	end_half(request->halves, sender, judgement.verdict.events == TTE_EVENTS_DELIVERED, now);
	record_verdict(request, judgement.verdict.events, now);
	if (is_stopped(sender))
		tte_outcome_drop_parts(sender, now);
	else
		split_suspects(sender);
	if (judgement.opened)
		sender->wake_retries = true;
}

/* The worker sends less at a time where the line turns out too slow for more. */
static void
note_pace(const TteRequest *request, int64 now)
{
	TteSender  *sender = request->sender;
	TtePace    *pace = &sender->pace;
	int			most = tte_max_body_size * 1024;
	bool		changed = false;

	if (request->cut_short)
		changed = tte_pace_too_slow(pace, request->try.started_at, now);
	else if (request->http_status != 0)
		changed = tte_pace_passed(pace, request->body.len, most, request->try.started_at, now);
	if (changed && pace->halvings > 0)
		ereport(LOG,
				(errmsg("tiktok_events: source \"%s\" gets bodies of at most %d kB, %d at a time: the line is slow",
						sender->config.name, tte_pace_body(pace, most) / 1024,
						tte_pace_requests(pace, tte_max_in_flight))));
	else if (changed)
		ereport(LOG, (errmsg("tiktok_events: source \"%s\" gets bodies of full size again", sender->config.name)));
}

/* One that has events held back stays open: they may have been received. */
void
tte_outcome_finish(const TteRequest *request)
{
	TteRequestEnd end = {
		request->id, request->http_status, request->reply.has_code, request->reply.code,
		request->reply.message, request->reply.request_id,
		request->failed ? "failed" : tte_outcome_name(request->reply.outcome),
		request->try.events, request->try.span.first, request->try.span.last, request->body.len
	};

	if (!request->holding)
		tte_queue_finish_request(&end);
}

void
tte_outcome_record(TteRequest *request, int64 now)
{
	TteSender  *sender = request->sender;

	tte_hold_watch(sender);
	tte_outcome_record_left_out(sender);
	if (request->failed)
		record_failed(request, now);
	else
	{
		note_pace(request, now);
		record_answer(request, now);
	}
	tte_outcome_finish(request);
	if (request->failed && !request->unreadable && !request->holding)
		tte_queue_set_apart(sender->config.id, request->id);
	sender->dirty = true;
	tte_batch_free(request);
}

void
tte_outcome_count(const TteRequest *request, TteSlot *slot)
{
	bool		delivered = !request->failed && request->reply.outcome == TTE_OUTCOME_DELIVERED;

	pg_atomic_fetch_add_u64(&slot->requests, 1);
	if (delivered)
		pg_atomic_fetch_add_u64(&slot->delivered, request->try.events);
	else
		pg_atomic_fetch_add_u64(&slot->failed, 1);
	if (tte_log_requests)
		ereport(LOG,
				(errmsg("tiktok_events: request " INT64_FORMAT " to source \"%s\": %d events, %s, http %d, code %d, %d ms",
						request->id, request->sender->config.name, request->try.events,
						request->failed ? "failed" : tte_outcome_name(request->reply.outcome), request->http_status,
						request->reply.has_code ? request->reply.code : -1,
						(int) ((tte_now() - request->try.started_at) / 1000))));
}
