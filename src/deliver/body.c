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

/* Appends the event to the body of its request; false: it is not what we write. */
static bool
render_event(TteRequest *request, TteBatchEvent *event, bool ascii)
{
	TteStored	stored = {.event = event->name, .event_time = event->event_time, .event_id = event->event_id};

	TTE_FAULT_POINT("render", psprintf(INT64_FORMAT, event->id));
	stored.payload = tte_queue_bytes(event->payload, &stored.payload_len);
	if (event->user_data != NULL)
		stored.user_data = tte_queue_bytes(event->user_data, &stored.user_data_len);
	return tte_wire_event(&request->body, &stored, ascii);
}

/* The same, with errors caught and reported: whatever it is, it is the event's. */
static bool
try_event(TteRequest *request, TteBatchEvent *event, bool ascii, bool *unreadable)
{
	MemoryContext old = MemoryContextSwitchTo(request->stored);
	ErrorContextCallback context = {error_context_stack, name_event, event};
	volatile bool done = false;

	*unreadable = false;
	PG_TRY();
	{
		error_context_stack = &context;
		done = render_event(request, event, ascii);
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

/* n events from i on go by themselves. */
static void
leave_out_events(TteRequest *request, int i, int n)
{
	int64	   *ids = palloc(n * sizeof(int64));

	for (int k = 0; k < n; k++)
		ids[k] = request->events[i + k].id;
	tte_part_leave_out(request->sender, ids, n);
	request->nevents -= n;
	memmove(&request->events[i], &request->events[i + n], (request->nevents - i) * sizeof(TteBatchEvent));
}

/* Puts the events into the body, as many as it may hold. */
static void
render_events(TteRequest *request, const TteSendLimits *limits)
{
	int			room = limits->max_body - TTE_WIRE_CLOSE_LEN;
	int			i = 0;

	while (i < request->nevents)
	{
		int			before = request->body.len;
		bool		unreadable;
		bool		done;

		if (i > 0)
			appendStringInfoChar(&request->body, ',');
		done = try_event(request, &request->events[i], limits->ascii, &unreadable);
		if (done && (i == 0 || request->body.len <= room))
		{
			i++;
			continue;
		}
		request->body.len = before;
		if (done)
			leave_out_events(request, i, request->nevents - i);
		else if (request->nevents > 1)
			leave_out_events(request, i, 1);
		else
		{
			request->failed = true;
			request->unreadable = unreadable;
			return;
		}
	}
}

bool
tte_body_build(TteRequest *request, const TteSendLimits *limits)
{
	const TteSourceConfig *config = &request->sender->config;
	MemoryContext old = MemoryContextSwitchTo(request->context);
	int			head;

	initStringInfo(&request->body);
	MemoryContextSwitchTo(old);
	tte_wire_open(&request->body, config->event_source, config->event_source_id, request->test_code);
	head = request->body.len;
	render_events(request, limits);
	request->try.events = request->nevents;
	request->try.span.first = tte_place(&request->events[0]);
	request->try.span.last = tte_place(&request->events[request->nevents - 1]);
	if (request->failed)
		return false;
	request->sender->event_bytes = (request->body.len - head) / request->nevents + 1;
	tte_wire_close(&request->body);
	for (int i = 0; i < request->nevents; i++)
	{
		request->events[i].event_id = NULL;
		request->events[i].payload = request->events[i].user_data = NULL;
	}
	MemoryContextReset(request->stored);
	return true;
}
