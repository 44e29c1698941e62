/*-------------------------------------------------------------------------
 *
 * body.c
 *	  Putting a batch of stored events together to the bodies of requests.
 *
 * This is done after the request has been recorded, outside of any transaction:
 * whatever goes wrong here goes wrong with an event that is known.  One with
 * which it fails is left out and tried once more by itself; one with which the
 * process dies is found in the record afterwards.  So neither can keep the others
 * from being sent for ever.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "deliver/body.h"
#include "event/event.h"
#include "server/faultpoint.h"

static void
name_event(void *event)
{
	errcontext("preparing event " INT64_FORMAT " to be sent", ((TteBatchEvent *) event)->id);
}

/* Appends the event to the body of its batch; false: it is not what we write. */
static bool
render_event(TteBatch *batch, TteBatchEvent *event, bool ascii)
{
	int			payload_len;
	int			user_data_len = 0;
	const char *payload;
	const char *user_data = NULL;

	TTE_FAULT_POINT("render", psprintf(INT64_FORMAT, event->id));
	payload = tte_queue_bytes(event->payload, &payload_len);
	if (event->user_data != NULL)
		user_data = tte_queue_bytes(event->user_data, &user_data_len);
	event->start = batch->body.len;
	if (!tte_wire_event(&batch->body, payload, payload_len, user_data, user_data_len, ascii))
		return false;
	event->end = batch->body.len;
	return true;
}

/* The same, with errors caught and reported: whatever it is, it is the event's. */
static bool
try_event(TteBatch *batch, TteBatchEvent *event, bool ascii, bool *unreadable)
{
	MemoryContext old = MemoryContextSwitchTo(batch->stored);
	ErrorContextCallback context = {error_context_stack, name_event, event};
	volatile bool done = false;

	*unreadable = false;
	PG_TRY();
	{
		error_context_stack = &context;
		done = render_event(batch, event, ascii);
		*unreadable = !done;
	}
	PG_CATCH();
	{
		HOLD_INTERRUPTS();
		EmitErrorReport();
		if (IsTransactionState())
			AbortCurrentTransaction();
		FlushErrorState();
		RESUME_INTERRUPTS();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(old);
	return done;
}

/* The event goes to the end of the request, and from there into one of its own. */
static void
leave_out(TteRequest *request, int i)
{
	TteBatchEvent *events = request->batch->events;
	TteBatchEvent bad = events[i];

	request->hi--;
	memmove(&events[i], &events[i + 1], (request->hi - i) * sizeof(TteBatchEvent));
	events[request->hi] = bad;
	tte_sender_wait(request->batch, request->hi, request->hi + 1);
}

/* Puts the events into the body, as many as it may hold; the others wait. */
static void
render_events(TteRequest *request, const TteSendLimits *limits)
{
	TteBatch   *batch = request->batch;
	int			room = batch->body.len + limits->max_body - batch->head_len - TTE_WIRE_CLOSE_LEN;
	int			i = request->lo;

	while (i < request->hi)
	{
		int			before = batch->body.len;
		bool		unreadable;
		bool		done;

		if (i > request->lo)
			appendStringInfoChar(&batch->body, ',');
		done = try_event(batch, &batch->events[i], limits->ascii, &unreadable);
		if (done && (i == request->lo || batch->body.len <= room))
		{
			i++;
			continue;
		}
		batch->body.len = before;
		if (done)
		{
			tte_sender_wait(batch, i, request->hi);
			request->hi = i;
		}
		else if (request->hi - request->lo > 1)
			leave_out(request, i);
		else
		{
			request->failed = true;
			request->unreadable = unreadable;
			return;
		}
	}
	for (i = request->lo; i < request->hi; i++)
		batch->events[i].payload = batch->events[i].user_data = NULL;
	batch->unrendered -= request->hi - request->lo;
	if (batch->unrendered == 0)
		MemoryContextReset(batch->stored);
	batch->sender->event_bytes = (batch->events[request->hi - 1].end - batch->events[request->lo].start) /
		(request->hi - request->lo) + 1;
}

/* The request's body: that of the batch, or its envelope around some of its events. */
static void
assemble(TteRequest *request)
{
	TteBatch   *batch = request->batch;
	MemoryContext old = MemoryContextSwitchTo(batch->context);
	int			start = batch->events[request->lo].start;
	int			end = batch->events[request->hi - 1].end;
	StringInfoData body;

	if (request->lo == 0 && request->hi == batch->nevents && batch->open == 1)
	{
		tte_wire_close(&batch->body);
		request->body = batch->body.data;
		request->body_len = batch->body.len;
	}
	else
	{
		initStringInfo(&body);
		enlargeStringInfo(&body, batch->head_len + end - start + TTE_WIRE_CLOSE_LEN);
		appendBinaryStringInfo(&body, batch->body.data, batch->head_len);
		appendBinaryStringInfo(&body, batch->body.data + start, end - start);
		tte_wire_close(&body);
		request->body = body.data;
		request->body_len = body.len;
	}
	MemoryContextSwitchTo(old);
}

bool
tte_body_build(TteRequest *request, const TteSendLimits *limits)
{
	if (request->batch->events[request->lo].payload != NULL)
		render_events(request, limits);
	if (!request->failed)
		assemble(request);
	request->events = request->hi - request->lo;
	request->first = tte_place(&request->batch->events[request->lo]);
	request->last = tte_place(&request->batch->events[request->hi - 1]);
	return !request->failed;
}
