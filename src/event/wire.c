/*-------------------------------------------------------------------------
 *
 * wire.c
 *	  From stored events to the body of a request.
 *
 * An event was rendered once, when it was recorded; here it gets what columns
 * hold, and its identifiers, which are hashed.  The envelope is TikTok's (doc
 * 1771101303285761).
 *
 *-------------------------------------------------------------------------
 */
#include "event/event.h"

#include "event/identity.h"

static void
append_member(StringInfo out, const char *key, const char *value)
{
	appendStringInfo(out, "\"%s\":", key);
	tte_json_append_string(out, value, strlen(value), true);
	appendStringInfoChar(out, ',');
}

void
tte_wire_open(StringInfo out, const char *event_source, const char *event_source_id, const char *test_code)
{
	appendStringInfoChar(out, '{');
	append_member(out, "event_source", event_source);
	append_member(out, "event_source_id", event_source_id);
	if (test_code != NULL)
		append_member(out, "test_event_code", test_code);
	appendStringInfoString(out, "\"data\":[");
}

/* TikTok counts in seconds. */
static int64
seconds_of(int64 usec)
{
	int64		seconds = usec / TTE_USEC;

	return seconds - (usec % TTE_USEC < 0);
}

static bool
append_user(StringInfo out, const TteStored *event, bool ascii)
{
	if (event->user_data == NULL)
		return true;
	appendStringInfoString(out, ",\"user\":");
	return tte_identity_append_user(out, event->user_data, event->user_data_len, ascii);
}

bool
tte_wire_event(StringInfo out, const TteStored *event, bool ascii)
{
	int			start = out->len;
	int			rest = event->payload_len - 2;

	if (rest < 0 || event->payload[0] != '{' || event->payload[rest + 1] != '}')
		return false;
	appendStringInfoString(out, "{\"event\":");
	tte_json_append_string(out, event->event, strlen(event->event), ascii);
	appendStringInfoString(out, ",\"event_time\":");
	tte_append_integer(out, seconds_of(event->event_time));
	appendStringInfoString(out, ",\"event_id\":");
	tte_json_append_string(out, event->event_id, strlen(event->event_id), ascii);
	if (rest > 0)
		appendStringInfoCharMacro(out, ',');
	appendBinaryStringInfo(out, event->payload + 1, rest);
	if (append_user(out, event, ascii))
	{
		appendStringInfoChar(out, '}');
		return true;
	}
	out->len = start;
	out->data[start] = '\0';
	return false;
}

void
tte_wire_close(StringInfo out)
{
	appendStringInfoString(out, "]}");
}
