/*-------------------------------------------------------------------------
 *
 * verdict.c
 *	  What every answer means for the events of a request and for its source.
 *
 * The table is the documentation: an answer, whether one event or several were
 * sent, how often they were sent before, and what became of other events of the
 * source meanwhile, lead to what becomes of these events and of the source.
 *
 *-------------------------------------------------------------------------
 */
#include "answer/verdict.h"
#include "tap.h"

#define ANSWERED	TTE_TRANSPORT_ANSWERED
#define NEVER_SENT	TTE_TRANSPORT_NEVER_SENT
#define AMBIGUOUS	TTE_TRANSPORT_AMBIGUOUS
#define CODE(c)		"{\"code\":" #c "}"

#define BATCH		false
#define SINGLE		true

#define NONE		TTE_OTHERS_NONE
#define PASSED		TTE_OTHERS_PASSED
#define FAILED		TTE_OTHERS_FAILED

#define DELIVERED	TTE_EVENTS_DELIVERED
#define REJECTED	TTE_EVENTS_REJECTED
#define RETRY		TTE_EVENTS_RETRY
#define WAIT		TTE_EVENTS_WAIT
#define SPLIT		TTE_EVENTS_SPLIT
#define SINGLY		TTE_EVENTS_SINGLY

#define PASSES		TTE_SOURCE_PASSES
#define REFUSES		TTE_SOURCE_REFUSES
#define GOES_ON		TTE_SOURCE_GOES_ON
#define DOUBTFUL	TTE_SOURCE_DOUBTFUL
#define THROTTLED	TTE_SOURCE_THROTTLED
#define STOPS		TTE_SOURCE_STOPS

typedef struct Row
{
	TteTransport transport;
	int			status;
	const char *body;
	bool		single;
	int			attempts;
	TteOthers	others;
	TteEventsVerdict events;
	TteSourceVerdict source;
} Row;

static const Row rows[] = {
	/* Accepted, whatever became of others */
	{ANSWERED, 200, CODE(0), BATCH, 0, NONE, DELIVERED, PASSES},
	{ANSWERED, 200, CODE(0), SINGLE, 0, NONE, DELIVERED, PASSES},
	{ANSWERED, 200, CODE(0), BATCH, 3, FAILED, DELIVERED, PASSES},
	{ANSWERED, 200, CODE(0), SINGLE, 14, PASSED, DELIVERED, PASSES},

	/* Accepted in part: each event by itself, and again if that does not help */
	{ANSWERED, 200, CODE(20001), BATCH, 0, NONE, SINGLY, GOES_ON},
	{ANSWERED, 200, CODE(20001), BATCH, 0, PASSED, SINGLY, GOES_ON},
	{ANSWERED, 200, CODE(20001), BATCH, 0, FAILED, SINGLY, GOES_ON},
	{ANSWERED, 200, CODE(20001), SINGLE, 0, NONE, RETRY, GOES_ON},
	{ANSWERED, 200, CODE(20001), SINGLE, 0, PASSED, RETRY, GOES_ON},
	{ANSWERED, 200, CODE(20001), SINGLE, 0, FAILED, RETRY, GOES_ON},

	/* TikTok refuses an event: which one?  The source stops after eight only. */
	{ANSWERED, 200, CODE(40002), BATCH, 0, NONE, SPLIT, GOES_ON},
	{ANSWERED, 400, CODE(40002), BATCH, 0, PASSED, SPLIT, GOES_ON},
	{ANSWERED, 400, CODE(40002), BATCH, 0, FAILED, SPLIT, GOES_ON},
	{ANSWERED, 400, CODE(40002), SINGLE, 0, NONE, REJECTED, REFUSES},
	{ANSWERED, 400, CODE(40002), SINGLE, 0, PASSED, REJECTED, REFUSES},
	{ANSWERED, 400, CODE(40002), SINGLE, 0, FAILED, REJECTED, REFUSES},
	{ANSWERED, 400, CODE(40050), BATCH, 0, NONE, SPLIT, GOES_ON},
	{ANSWERED, 400, CODE(40050), SINGLE, 0, NONE, REJECTED, REFUSES},
	{ANSWERED, 400, "", BATCH, 0, NONE, SPLIT, GOES_ON},
	{ANSWERED, 422, "", SINGLE, 0, NONE, REJECTED, REFUSES},

	/*
	 * The body is too large: a single event is to blame only if another one
	 * passes
	 */
	{ANSWERED, 413, "", BATCH, 0, NONE, SPLIT, GOES_ON},
	{ANSWERED, 413, "", BATCH, 0, PASSED, SPLIT, GOES_ON},
	{ANSWERED, 413, "", BATCH, 0, FAILED, SPLIT, GOES_ON},
	{AMBIGUOUS, 413, "", BATCH, 0, NONE, SPLIT, GOES_ON},
	{ANSWERED, 413, "", SINGLE, 0, NONE, RETRY, DOUBTFUL},
	{ANSWERED, 413, "", SINGLE, 0, PASSED, REJECTED, GOES_ON},
	{ANSWERED, 413, "", SINGLE, 0, FAILED, WAIT, STOPS},

	/*
	 * 5xx, time-out, reset, and what nobody can read: the event's trouble or
	 * the source's?
	 */
	{ANSWERED, 500, "", BATCH, 0, NONE, RETRY, DOUBTFUL},
	{ANSWERED, 500, "", BATCH, 0, PASSED, SPLIT, GOES_ON},
	{ANSWERED, 500, "", BATCH, 0, FAILED, RETRY, STOPS},
	{ANSWERED, 500, "", SINGLE, 0, NONE, RETRY, DOUBTFUL},
	{ANSWERED, 500, "", SINGLE, 0, PASSED, RETRY, GOES_ON},
	{ANSWERED, 500, "", SINGLE, 99, PASSED, RETRY, GOES_ON},
	{ANSWERED, 500, "", SINGLE, 0, FAILED, RETRY, STOPS},
	{AMBIGUOUS, 0, "", BATCH, 0, NONE, RETRY, DOUBTFUL},
	{AMBIGUOUS, 0, "", BATCH, 0, PASSED, SPLIT, GOES_ON},
	{AMBIGUOUS, 0, "", SINGLE, 0, PASSED, RETRY, GOES_ON},
	{AMBIGUOUS, 200, CODE(0), BATCH, 0, FAILED, RETRY, STOPS},
	{ANSWERED, 200, "<html>", BATCH, 0, NONE, RETRY, DOUBTFUL},
	{ANSWERED, 200, CODE(50000), BATCH, 0, NONE, RETRY, DOUBTFUL},
	{ANSWERED, 200, CODE(50000), BATCH, 0, PASSED, SPLIT, GOES_ON},
	{ANSWERED, 200, CODE(50000), SINGLE, 0, FAILED, RETRY, STOPS},

	/* A code that is to be retried once, and then is a refusal */
	{ANSWERED, 200, CODE(40700), BATCH, 0, NONE, RETRY, DOUBTFUL},
	{ANSWERED, 200, CODE(40700), BATCH, 1, NONE, SPLIT, GOES_ON},
	{ANSWERED, 200, CODE(40700), SINGLE, 0, NONE, RETRY, DOUBTFUL},
	{ANSWERED, 200, CODE(40700), SINGLE, 1, NONE, REJECTED, REFUSES},

	/*
	 * Something in front of TikTok says no: the event's trouble or the
	 * source's?
	 */
	{ANSWERED, 302, "", BATCH, 0, NONE, RETRY, DOUBTFUL},
	{ANSWERED, 302, "", BATCH, 0, PASSED, SPLIT, GOES_ON},
	{ANSWERED, 302, "", BATCH, 0, FAILED, WAIT, STOPS},
	{ANSWERED, 403, "", SINGLE, 0, NONE, RETRY, DOUBTFUL},
	{ANSWERED, 403, "", SINGLE, 0, PASSED, RETRY, GOES_ON},
	{ANSWERED, 403, "", SINGLE, 13, PASSED, RETRY, GOES_ON},
	{ANSWERED, 403, "", SINGLE, 14, PASSED, REJECTED, GOES_ON},
	{ANSWERED, 403, "", SINGLE, 14, NONE, RETRY, DOUBTFUL},
	{ANSWERED, 403, "", SINGLE, 0, FAILED, WAIT, STOPS},
	{ANSWERED, 401, "", BATCH, 0, FAILED, WAIT, STOPS},
	{ANSWERED, 404, "{}", SINGLE, 0, NONE, RETRY, DOUBTFUL},
	{ANSWERED, 451, "<html>", BATCH, 0, PASSED, SPLIT, GOES_ON},

	/*
	 * Too often: the token pauses, unless everything else passes.  A status
	 * alone is an edge's.
	 */
	{ANSWERED, 200, CODE(40100), BATCH, 0, NONE, WAIT, THROTTLED},
	{ANSWERED, 200, CODE(40016), SINGLE, 0, FAILED, WAIT, THROTTLED},
	{ANSWERED, 200, CODE(40133), BATCH, 0, PASSED, SPLIT, GOES_ON},
	{ANSWERED, 429, "", SINGLE, 0, NONE, RETRY, DOUBTFUL},
	{ANSWERED, 429, "", BATCH, 0, NONE, RETRY, DOUBTFUL},
	{ANSWERED, 429, "", SINGLE, 0, FAILED, WAIT, THROTTLED},
	{ANSWERED, 429, "", SINGLE, 99, PASSED, RETRY, GOES_ON},
	{ANSWERED, 429, "", BATCH, 0, PASSED, SPLIT, GOES_ON},

	/* A code about token or configuration, and what was never sent: at once */
	{ANSWERED, 401, CODE(40105), BATCH, 0, NONE, WAIT, STOPS},
	{ANSWERED, 200, CODE(40106), SINGLE, 0, PASSED, WAIT, STOPS},
	{ANSWERED, 400, CODE(40001), BATCH, 0, PASSED, WAIT, STOPS},
	{ANSWERED, 200, CODE(41000), SINGLE, 99, FAILED, WAIT, STOPS},
	{NEVER_SENT, 0, "", BATCH, 0, NONE, WAIT, STOPS},
	{NEVER_SENT, 0, "", SINGLE, 0, PASSED, WAIT, STOPS}
};

static const char *const events_names[] = {"delivered", "rejected", "retry", "wait", "split", "singly"};
static const char *const source_names[] = {"passes", "refuses", "goes on", "is doubtful", "is throttled", "stops"};
static const char *const others_names[] = {"no others", "others passed", "another failed"};

static TteReply
read_answer(TteTransport transport, int status, const char *body)
{
	TteReply	reply;

	tte_reply_judge(transport, status, body, strlen(body), false, "", 0, &reply);
	return reply;
}

static void
test_rows(void)
{
	char		name[200];

	for (int i = 0; i < lengthof(rows); i++)
	{
		const Row  *row = &rows[i];
		TteReply	reply = read_answer(row->transport, row->status, row->body);
		TteVerdicts verdict = tte_verdict(&reply, row->single, row->attempts, row->others);

		snprintf(name, sizeof(name), "%s %d %s, %s, %d attempts, %s: %s, source %s",
				 row->transport == ANSWERED ? "status" : row->transport == AMBIGUOUS ? "time-out or reset" : "never sent",
				 row->status, row->body, row->single ? "one event" : "several events", row->attempts,
				 others_names[row->others], events_names[row->events], source_names[row->source]);
		ok(verdict.events == row->events && verdict.source == row->source, name);
		if (verdict.events != row->events || verdict.source != row->source)
			printf("# got %s, source %s\n", events_names[verdict.events], source_names[verdict.source]);
	}
}

/* Under which circumstances may the answer reject an event or stop the source? */
static void
test_every_code(void)
{
	static const TteOthers all_others[] = {NONE, PASSED, FAILED};
	bool		rejects_by_code = true;
	bool		batch_rejected = true;
	bool		delivered = true;
	bool		stops = true;
	char		body[64];

	for (int code = 1; code < 100000; code++)
	{
		TteReply	reply;
		TteCodeClass class = tte_code_class(code, NULL, NULL);
		bool		about_event = class == TTE_CODE_ISOLATE || class == TTE_CODE_DUPLICATE || class == TTE_CODE_RETRY_ONCE;
		bool		about_source = class == TTE_CODE_STOP_CREDENTIAL || class == TTE_CODE_STOP_CONFIGURATION;

		snprintf(body, sizeof(body), "{\"code\":%d}", code);
		reply = read_answer(ANSWERED, 200, body);
		for (int i = 0; i < lengthof(all_others) * 4; i++)
		{
			bool		single = i % 2;
			TteVerdicts verdict = tte_verdict(&reply, single, i % 4 / 2 * 99, all_others[i / 4]);

			rejects_by_code &= verdict.events != REJECTED || about_event;
			batch_rejected &= verdict.events != REJECTED || single;
			delivered &= verdict.events != DELIVERED && verdict.source != PASSES;
			stops &= !about_source || (verdict.source == STOPS && verdict.events == WAIT);
		}
	}
	ok(rejects_by_code, "only codes about an event reject one: none about frequency, token or configuration");
	ok(batch_rejected, "several events are never rejected together");
	ok(delivered, "no code but 0 is a success");
	ok(stops, "codes about token or configuration always stop the source and consume nothing");
}

int
main(int argc, char **argv)
{
	test_rows();
	test_every_code();
	return tap_end();
}
