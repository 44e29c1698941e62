/*-------------------------------------------------------------------------
 *
 * wire.c
 *	  From stored events to the body of a request.
 *
 * An event was rendered once, when it was recorded; here its identifiers are
 * hashed and spliced in.  The envelope is TikTok's (doc 1771101303285761).
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

bool
tte_wire_event(StringInfo out, const char *payload, int payload_len,
			   const char *user_data, int user_data_len, bool ascii)
{
	int			start = out->len;

	if (payload_len < 3 || payload[0] != '{' || payload[payload_len - 1] != '}')
		return false;
	if (user_data == NULL)
	{
		appendBinaryStringInfo(out, payload, payload_len);
		return true;
	}
	appendBinaryStringInfo(out, payload, payload_len - 1);
	appendStringInfoString(out, ",\"user\":");
	if (!tte_identity_append_user(out, user_data, user_data_len, ascii))
	{
		out->len = start;
		out->data[start] = '\0';
		return false;
	}
	appendStringInfoChar(out, '}');
	return true;
}

void
tte_wire_close(StringInfo out)
{
	appendStringInfoString(out, "]}");
}
