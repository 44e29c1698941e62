/*-------------------------------------------------------------------------
 *
 * reply.c
 *	  Unit test of answer/verdict.c and answer/redact.c.
 *
 *-------------------------------------------------------------------------
 */
#include "answer/verdict.h"
#include "event/json.h"
#include "tap.h"

#define SECOND		INT64CONST(1000000)

static TteReply
answered(int status, const char *body)
{
	TteReply	reply;

	tte_reply_judge(TTE_TRANSPORT_ANSWERED, status, body, strlen(body), false, "", 0, &reply);
	return reply;
}

static TteReply
paused(int status, const char *body, int64 retry_after)
{
	TteReply	reply;

	tte_reply_judge(TTE_TRANSPORT_ANSWERED, status, body, strlen(body), false, "",
					retry_after, &reply);
	return reply;
}

/* An answer whose message is the text, written as JSON. */
static TteReply
with_message(const char *message, int len)
{
	StringInfoData body;
	TteReply	reply;

	initStringInfo(&body);
	appendStringInfoString(&body, "{\"code\":40002,\"message\":");
	tte_json_append_string(&body, message, len, false);
	appendStringInfoChar(&body, '}');
	reply = answered(400, body.data);
	pfree(body.data);
	return reply;
}

static void
judged(TteReply reply, TteOutcome outcome, bool possibly_received, const char *name)
{
	bool		good = reply.outcome == outcome && reply.possibly_received == possibly_received;

	ok(good, name);
	if (!good)
		printf("# got %s, possibly received %d\n", tte_outcome_name(reply.outcome),
			   reply.possibly_received);
}

/*-------------------------------------------------------------------------
 * Outcomes
 *-------------------------------------------------------------------------
 */

static void
test_codes(void)
{
	static const struct
	{
		int			code;
		TteOutcome	outcome;
		bool		possibly_received;
	}			cases[] = {
		{0, TTE_OUTCOME_DELIVERED, false},
		{20001, TTE_OUTCOME_SINGLY, true},
		{40000, TTE_OUTCOME_ISOLATE, false}, {40002, TTE_OUTCOME_ISOLATE, false},
		{40007, TTE_OUTCOME_ISOLATE, false},
		{40061, TTE_OUTCOME_ISOLATE, false}, {40062, TTE_OUTCOME_ISOLATE, false},
		{40063, TTE_OUTCOME_ISOLATE, false}, {40999, TTE_OUTCOME_ISOLATE, false},
		{40050, TTE_OUTCOME_ISOLATE, true},
		{40100, TTE_OUTCOME_THROTTLE, false}, {40132, TTE_OUTCOME_THROTTLE, false},
		{40016, TTE_OUTCOME_THROTTLE, false}, {40133, TTE_OUTCOME_THROTTLE, false},
		{61000, TTE_OUTCOME_THROTTLE, false},
		{40102, TTE_OUTCOME_STOP_CREDENTIAL, false}, {40103, TTE_OUTCOME_STOP_CREDENTIAL, false},
		{40104, TTE_OUTCOME_STOP_CREDENTIAL, false}, {40105, TTE_OUTCOME_STOP_CREDENTIAL, false},
		{40110, TTE_OUTCOME_STOP_CREDENTIAL, false}, {40124, TTE_OUTCOME_STOP_CREDENTIAL, false},
		{40125, TTE_OUTCOME_STOP_CREDENTIAL, false}, {40130, TTE_OUTCOME_STOP_CREDENTIAL, false},
		{40106, TTE_OUTCOME_STOP_CREDENTIAL, false}, {40107, TTE_OUTCOME_STOP_CREDENTIAL, false},
		{40109, TTE_OUTCOME_STOP_CREDENTIAL, false}, {40112, TTE_OUTCOME_STOP_CREDENTIAL, false},
		{40115, TTE_OUTCOME_STOP_CREDENTIAL, false}, {40116, TTE_OUTCOME_STOP_CREDENTIAL, false},
		{40119, TTE_OUTCOME_STOP_CREDENTIAL, false},
		{70001, TTE_OUTCOME_STOP_CREDENTIAL, false},
		{40010, TTE_OUTCOME_STOP_CONFIGURATION, false}, {40013, TTE_OUTCOME_STOP_CONFIGURATION, false},
		{40014, TTE_OUTCOME_STOP_CONFIGURATION, false},
		{40001, TTE_OUTCOME_STOP_CONFIGURATION, false}, {40003, TTE_OUTCOME_STOP_CONFIGURATION, false},
		{40006, TTE_OUTCOME_STOP_CONFIGURATION, false}, {40008, TTE_OUTCOME_STOP_CONFIGURATION, false},
		{40009, TTE_OUTCOME_STOP_CONFIGURATION, false}, {40051, TTE_OUTCOME_STOP_CONFIGURATION, false},
		{40101, TTE_OUTCOME_STOP_CONFIGURATION, false}, {40113, TTE_OUTCOME_STOP_CONFIGURATION, false},
		{40300, TTE_OUTCOME_STOP_CONFIGURATION, false}, {40400, TTE_OUTCOME_STOP_CONFIGURATION, false},
		{40900, TTE_OUTCOME_STOP_CONFIGURATION, false}, {41000, TTE_OUTCOME_STOP_CONFIGURATION, false},
		{40200, TTE_OUTCOME_RETRY, true}, {50000, TTE_OUTCOME_RETRY, true},
		{50002, TTE_OUTCOME_RETRY, true}, {51010, TTE_OUTCOME_RETRY, true},
		{52204, TTE_OUTCOME_RETRY, true}, {60001, TTE_OUTCOME_RETRY, true},
		{40700, TTE_OUTCOME_RETRY, true}, {1, TTE_OUTCOME_RETRY, true},
		{99999, TTE_OUTCOME_RETRY, true}, {-1, TTE_OUTCOME_RETRY, true},
		{PG_INT32_MAX, TTE_OUTCOME_RETRY, true}, {PG_INT32_MIN, TTE_OUTCOME_RETRY, true}
	};
	char		body[64];
	char		name[64];

	for (int i = 0; i < lengthof(cases); i++)
	{
		snprintf(body, sizeof(body), "{\"code\":%d}", cases[i].code);
		snprintf(name, sizeof(name), "code %d within HTTP 200", cases[i].code);
		judged(answered(200, body), cases[i].outcome, cases[i].possibly_received, name);
		if (cases[i].code == 0)
			continue;
		snprintf(name, sizeof(name), "code %d within HTTP 401", cases[i].code);
		judged(answered(401, body), cases[i].outcome, cases[i].possibly_received, name);
	}
}

static void
test_statuses(void)
{
	static const struct
	{
		int			first;
		int			last;
		TteOutcome	outcome;
	}			cases[] = {
		{0, 0, TTE_OUTCOME_RETRY}, {100, 103, TTE_OUTCOME_RETRY}, {200, 206, TTE_OUTCOME_RETRY},
		{226, 299, TTE_OUTCOME_RETRY}, {300, 308, TTE_OUTCOME_BLOCKED},
		{400, 400, TTE_OUTCOME_ISOLATE}, {401, 407, TTE_OUTCOME_BLOCKED},
		{408, 408, TTE_OUTCOME_THROTTLE}, {410, 411, TTE_OUTCOME_BLOCKED},
		{413, 413, TTE_OUTCOME_SPLIT}, {414, 421, TTE_OUTCOME_BLOCKED},
		{422, 422, TTE_OUTCOME_ISOLATE}, {425, 425, TTE_OUTCOME_THROTTLE},
		{429, 429, TTE_OUTCOME_THROTTLE}, {431, 499, TTE_OUTCOME_BLOCKED},
		{500, 504, TTE_OUTCOME_RETRY}, {520, 527, TTE_OUTCOME_RETRY},
		{600, 600, TTE_OUTCOME_RETRY}, {999, 999, TTE_OUTCOME_RETRY}
	};
	static const char *const bodies[] = {"", "<html>", "{}"};
	char		name[64];

	for (int i = 0; i < lengthof(cases); i++)
	{
		bool		good = true;

		for (int status = cases[i].first; status <= cases[i].last; status++)
		{
			for (int b = 0; b < lengthof(bodies); b++)
			{
				TteReply	reply = answered(status, bodies[b]);

				good &= reply.outcome == cases[i].outcome && !reply.has_code &&
					reply.possibly_received == (reply.outcome == TTE_OUTCOME_RETRY);
			}
		}
		snprintf(name, sizeof(name), "status %d to %d without a code: %s",
				 cases[i].first, cases[i].last, tte_outcome_name(cases[i].outcome));
		ok(good, name);
	}
	judged(answered(204, "{\"code\":0}"), TTE_OUTCOME_DELIVERED, false, "code 0 within 204");
	judged(answered(206, "{\"code\":0}"), TTE_OUTCOME_RETRY, true, "code 0 within 206 is no success");
	judged(answered(302, "{\"code\":0}"), TTE_OUTCOME_RETRY, true, "code 0 within 302 is no success");
	judged(answered(500, "{\"code\":0}"), TTE_OUTCOME_RETRY, true, "code 0 within 500 is no success");
	judged(answered(400, "{\"code\":0}"), TTE_OUTCOME_RETRY, true, "code 0 within 400 is no success");
}

static void
test_unusable_bodies(void)
{
	static const char *const bodies[] = {
		"", " ", "null", "0", "[]", "[{\"code\":0}]", "\"code\"", "{", "{\"code\"", "{\"code\":",
		"{\"code\":0", "{\"code\":0,", "{\"code\":0}}", "{\"code\":0} x", "{\"code\":0}{\"code\":0}",
		"{\"code\":\"0\"}", "{\"code\":null}", "{\"code\":false}", "{\"code\":[]}",
		"{\"code\":{}}", "{\"code\":0.0}", "{\"code\":0e0}", "{\"code\":-0}", "{\"code\":00}",
		"{\"code\":+0}", "{\"code\":18446744073709551616}", "{\"code\":4294967296}",
		"{\"code\":2147483648}", "{\"code\":-2147483649}", "{\"code\":9999999999999}",
		"{\"Code\":0}", "{\"data\":{\"code\":0}}", "{'code':0}", "{code:0}",
		"\xef\xbb\xbf{\"code\":0}", "<html><body>Login</body></html>", "OK", "{\"code\":0}\x01",
		"{\"code\":0,\"code\":\"0\"}", "{\"code\":NaN}", "{\"code\":0,}", "//\n{\"code\":0}"
	};
	char		name[96];
	TteReply	reply;

	for (int i = 0; i < lengthof(bodies); i++)
	{
		snprintf(name, sizeof(name), "HTTP 200 with %s", bodies[i]);
		for (char *c = name; *c != '\0'; c++)
			*c = *c < ' ' || *c > '~' || *c == '#' ? '?' : *c;
		judged(answered(200, bodies[i]), TTE_OUTCOME_RETRY, true, name);
	}
	tte_reply_judge(TTE_TRANSPORT_ANSWERED, 200, "{\"code\":0}\0", 11, false, "", 0, &reply);
	judged(reply, TTE_OUTCOME_RETRY, true, "HTTP 200 with a zero byte");
	tte_reply_judge(TTE_TRANSPORT_ANSWERED, 200, "{\"code\":0}", 10, true, "", 0, &reply);
	judged(reply, TTE_OUTCOME_RETRY, true, "a reply that was cut is no success");
	tte_reply_judge(TTE_TRANSPORT_ANSWERED, 200, NULL, 0, false, "", 0, &reply);
	judged(reply, TTE_OUTCOME_RETRY, true, "no body at all");
	judged(answered(200, " \r\n\t{\"code\" : 0 } \n"), TTE_OUTCOME_DELIVERED, false,
		   "blanks are no harm");
	judged(answered(200, "{\"code\":40002,\"code\":0}"), TTE_OUTCOME_RETRY, true,
		   "neither of two codes counts");
	judged(answered(200, "{\"code\":0,\"code\":40002}"), TTE_OUTCOME_RETRY, true,
		   "whichever comes first");
}

static void
test_transport(void)
{
	TteReply	reply;

	tte_reply_judge(TTE_TRANSPORT_NEVER_SENT, 0, "", 0, false, "could not connect", 0, &reply);
	judged(reply, TTE_OUTCOME_STOP_ENDPOINT, false, "never sent");
	is_text(reply.message, "could not connect", "its error is the message");
	tte_reply_judge(TTE_TRANSPORT_AMBIGUOUS, 0, "", 0, false, "timed out", 0, &reply);
	judged(reply, TTE_OUTCOME_RETRY, true, "ambiguous");
	tte_reply_judge(TTE_TRANSPORT_AMBIGUOUS, 200, "{\"code\":0}", 10, false, "", 5, &reply);
	judged(reply, TTE_OUTCOME_RETRY, true, "ambiguous, in spite of a body with code 0");
	ok(!reply.has_code && reply.retry_after == 0, "nothing of it is used");
	tte_reply_judge(TTE_TRANSPORT_AMBIGUOUS, 401, "", 0, false, NULL, 0, &reply);
	judged(reply, TTE_OUTCOME_RETRY, true, "ambiguous, in spite of a status 401");
	tte_reply_judge(TTE_TRANSPORT_AMBIGUOUS, 413, "", 0, false, "", 0, &reply);
	judged(reply, TTE_OUTCOME_SPLIT, true, "ambiguous after a status 413: halve");
}

static void
test_names(void)
{
	is_text(tte_outcome_name(TTE_OUTCOME_DELIVERED), "delivered", "name of delivered");
	is_text(tte_outcome_name(TTE_OUTCOME_STOP_ENDPOINT), "stop_endpoint", "name of stop_endpoint");
	is_text(tte_outcome_name((TteOutcome) 99), "unknown", "name of no outcome");
}

/*-------------------------------------------------------------------------
 * Retry-After
 *-------------------------------------------------------------------------
 */

static void
test_retry_after(void)
{
	static const struct
	{
		int64		asked;
		int64		obeyed;
	}			cases[] = {
		{PG_INT64_MIN, 0}, {-1, 0}, {0, 0}, {1, 1}, {3600, 3600}, {3601, 3600}, {PG_INT64_MAX, 3600}
	};
	char		name[64];

	for (int i = 0; i < lengthof(cases); i++)
	{
		snprintf(name, sizeof(name), "Retry-After of " INT64_FORMAT " seconds", cases[i].asked);
		ok(paused(429, "", cases[i].asked).retry_after == cases[i].obeyed * SECOND, name);
	}
	ok(paused(503, "", 20).retry_after == 20 * SECOND, "with 503 as well");
	ok(paused(200, "{\"code\":0}", 20).retry_after == 0, "not with a success");
	ok(answered(200, "{\"code\":40100}").retry_after == 0, "40100: as our own schedule says");
	ok(paused(401, "{\"code\":40100}", 900).retry_after == 900 * SECOND, "40100: what it asks for");
	ok(answered(200, "{\"code\":40132}").retry_after == 0, "40132: as our own schedule says");
	ok(answered(200, "{\"code\":60001}").retry_after >= 600 * SECOND, "60001: a long pause");
	ok(answered(200, "{\"code\":61000}").retry_after >= 600 * SECOND, "61000: a long pause");
}

/*-------------------------------------------------------------------------
 * Text
 *-------------------------------------------------------------------------
 */

static void
test_request_id(void)
{
	char		body[400];
	char		id[200];

	is_text(answered(200, "{\"code\":0,\"request_id\":\"2026ABC-1\"}").request_id, "2026ABC-1", "request id");
	is_text(answered(200, "{\"code\":0,\"request_id\":12}").request_id, "", "request id: a number");
	is_text(answered(200, "{\"code\":0,\"request_id\":\"a b\"}").request_id, "", "request id: a blank");
	is_text(answered(200, "{\"code\":0,\"request_id\":\"ann@example.com\"}").request_id, "", "request id: an e-mail address");
	is_text(answered(200, "{\"code\":0,\"request_id\":\"203.0.113.9\"}").request_id, "", "request id: an IPv4 address");
	is_text(answered(200, "{\"code\":0,\"request_id\":\"2001:db8::1\"}").request_id, "", "request id: an IPv6 address");
	is_text(answered(200, "{\"code\":0,\"request_id\":\"14155550100\"}").request_id, "", "request id: a telephone number");
	is_text(answered(200, "{\"code\":0,\"request_id\":\"9f7ec22d72092cd3c0b58726ed9c2d91b92e51a3f29837508fb2948bb22dd2fd\"}").request_id,
			"", "request id: a hash");
	is_text(answered(200, "{\"code\":0,\"request_id\":\"2026112217344500000025E105FDD652B\"}").request_id,
			"2026112217344500000025E105FDD652B", "request id: one as TikTok makes them");
	is_text(answered(200, "{\"code\":0,\"request_id\":\"0\"}").request_id, "0", "request id: 0");
	is_text(answered(200, "{\"code\":0,\"request_id\":\"\xc3\xa4\"}").request_id, "", "request id: not ASCII");
	is_text(answered(200, "{\"code\":0,\"request_id\":\"a\\u001b[1m\"}").request_id, "",
			"request id: terminal escapes");
	memset(id, 'x', sizeof(id));
	id[127] = '\0';
	snprintf(body, sizeof(body), "{\"code\":0,\"request_id\":\"%s\"}", id);
	is_text(answered(200, body).request_id, id, "request id: 127 bytes");
	id[127] = 'x';
	id[128] = '\0';
	snprintf(body, sizeof(body), "{\"code\":0,\"request_id\":\"%s\"}", id);
	is_text(answered(200, body).request_id, "", "request id: 128 bytes");
}

static void
test_bad_index(void)
{
	static const struct
	{
		const char *message;
		int			index;
	}			cases[] = {
		{"Batch.3.user.email: invalid", 3}, {"batch.0.event is required", 0},
		{"The field Batch.999.properties.value must be a number", 999},
		{"(Batch.12.event)", 12}, {"'Batch.12.event'", 12},
		{"data[7].user.email", 7}, {"error at data[0]", 0}, {"data.41.event missing", 41},
		{"Batch.3.user.email, Batch.3.user.phone", 3},
		{"Batch.3.user.email, Batch.4.user.email", -1},
		{"Batch.3.user and data[3]", 3},
		{"Batch.-1.x", -1}, {"Batch.1", -1}, {"Batch..x", -1}, {"Batch.x.y", -1}, {"data[]", -1},
		{"data[1", -1}, {"data[1.5]", -1}, {"Batch.12345.user", -1}, {"Batch.99999999999999999999.x", -1},
		{"metadata[3]", -1}, {"user_data.3.x", -1}, {"x.data[3]", -1}, {"data[ 3]", -1},
		{"", -1}, {"3", -1}, {"Batch 3", -1}
	};
	char		name[96];

	for (int i = 0; i < lengthof(cases); i++)
	{
		TteReply	reply = with_message(cases[i].message, strlen(cases[i].message));

		snprintf(name, sizeof(name), "index in \"%s\"", cases[i].message);
		ok(reply.bad_index == cases[i].index, name);
		if (reply.bad_index != cases[i].index)
			printf("# got %d\n", reply.bad_index);
	}
	ok(answered(200, "{\"code\":0,\"message\":\"data[3]\"}").bad_index == -1, "no index in a success");
	ok(answered(400, "data[3]").bad_index == -1, "no index without a code");
}

/* A refusal with that message, as it is kept. */
static TteReply
kept(const char *message, int len)
{
	TteReply	reply = with_message(message, len);

	tte_reply_redact(&reply, NULL, NULL);
	return reply;
}

static void
test_redaction(void)
{
	static const struct
	{
		const char *message;
		const char *shown;
	}			cases[] = {
		/* words of the list, names of fields and short numbers are kept */
		{"OK", "OK"},
		{"Batch.3.user.email: The field is required", "Batch.3.user.email: The field is required"},
		{"Batch.0.properties.contents.12.content_id: must be a string", "Batch.0.properties.contents.12.content_id: must be a string"},
		{"properties.new_field is unknown", "properties.new_field is unknown"},
		{"data[7].user.email", "data[7].user.email"},
		{"Param error: event must be one of [web, app, offline, crm]",
		"Param error: event must be one of [web, app, offline, crm]"},
		{"event_source_id: Invalid pixel code", "event_source_id: Invalid pixel code"},
		{"Too many events: 1001 of 1000", "Too many events: 1001 of 1000"},
		{"The field 'user.phone' is too long", "The field 'user.phone' is too long"},
		{"\"event_time\" is not a timestamp", "\"event_time\" is not a timestamp"},
		{"value must be a number", "value must be a number"},
		{"the item's price isn't valid", "the item's price isn't valid"},
		{"value: 59.9 is not supported", "value: 59.9 is not supported"},
		{"event Purchase, AddToCart", "event Purchase, AddToCart"},
		{"(and/or)", "(and/or)"}, {"Error!", "Error!"}, {"", ""}, {"...", "..."}, {"a: b: c", "a: ***: ***"},

		/* everything else is masked */
		{"mail john.doe@example.com is bad", "mail *** is bad"},
		{"Batch.3.user.email:john@example.com", "Batch.3.user.email:***"},
		{"Batch.3.user.email=john+tag@example.com,", "Batch.3.user.email=***,"},
		{"<email@example.com>", "<***>"},
		{"j\xc3\xb6rg@ex\xc3\xa4mple.de", "***"},
		{"john%40example.com", "***"},
		{"user.john", "***"}, {"email.John_Doe", "***"}, {"user.203", "user.203"},
		{"name 'J\xc3\xbcrgen'", "name '***'"}, {"got John Doe", "got *** ***"}, {"value 'unterminated", "value '***"},
		{"\xd9\xa1\xd9\xa2\xd9\xa3", "***"}, {"\xef\xbc\x91\xef\xbc\x92", "***"}, {"\xe2\x91\xa0", "***"},
		{"short abc123", "short ***"}, {"std::string", "***::string"},
		{"973dfe463ec85785f5f95af5ba3906eedb2d931c24e69824a89ea65dba4e813b", "***"},
		{"token abcdefghijABCDEFGHIJ0123456789+/== end", "token ***+/== end"},
		{"id 123e4567-e89b-12d3-a456-426614174000.", "id ***."},
		{"see https://shop.example/o?name=john now", "see https://***=*** now"},

		/* numbers that may be a telephone's, an address, or an id */
		{"12345", "***"}, {"1234", "1234"}, {"at 1700000000", "at ***"}, {"x1y", "***"},
		{"phone +49 170 1234567 is bad", "phone +*** *** *** is bad"},
		{"phone 0170/123 45-67.", "phone *** ***."},
		{"phone 0170 12 34", "phone *** *** ***"}, {"1, 2, 3", "***, ***, ***"}, {"1, 2", "1, 2"},
		{"phone (555) 123-4567", "phone (***) ***"},
		{"from 8.8.8.8", "from ***"}, {"from 8.8.8.8:443!", "from ***:***!"}, {"(192.168.1.100)", "(***)"},
		{"ip ::1", "ip ::1"}, {"[fe80::1]", "[***::1]"}, {"ip 2001:db8::1 refused", "ip 2001:***::1 refused"}
	};
	char		name[128];

	for (int i = 0; i < lengthof(cases); i++)
	{
		TteReply	reply = kept(cases[i].message, strlen(cases[i].message));

		snprintf(name, sizeof(name), "redaction %d", i + 1);
		is_text(reply.message, cases[i].shown, name);
	}
}

/* The secret stands in the wrap where that has %s. */
static void
put_in(char *message, size_t size, const char *wrap, const char *secret)
{
	const char *gap = strstr(wrap, "%s");

	snprintf(message, size, "%.*s%s%s", (int) (gap - wrap), wrap, secret, gap + strlen("%s"));
}

/* However a secret is wrapped, it does not show. */
static void
test_canaries(void)
{
	static const char *const secrets[] = {
		"john.doe@example.com", "JOHN@EXAMPLE.COM", "+491701234567", "0170 123 45 67",
		"973dfe463ec85785f5f95af5ba3906eedb2d931c24e69824a89ea65dba4e813b", "203.0.113.77",
		"2001:db8:1:2:3:4:5:6", "E.C.P.CukBnZyjHKcqSFrvbyVcNuPhSx0oCu9nLCJZ8nAlL0Hk9y4"
	};
	static const char *const wraps[] = {
		"%s", "Batch.3.user.email: %s", "got \"%s\"", "value '%s' is wrong", "[%s]", "{\"email\":\"%s\"}",
		"(%s)", "x=%s", "x:%s", "x,%s;y", "a %s b", "\n%s\t", "'%s", "%s'", "\xc3\xa4 %s \xc3\xa4",
		"{\\\"email\\\":\\\"%s\\\"}", "<b>%s</b>", "|%s|", "map[email:%s]", "email=%s&x=1"
	};
	char		message[512];
	char		name[128];

	for (int s = 0; s < lengthof(secrets); s++)
	{
		bool		unseen = true;

		for (int w = 0; w < lengthof(wraps); w++)
		{
			TteReply	reply;

			put_in(message, sizeof(message), wraps[w], secrets[s]);
			reply = kept(message, strlen(message));
			if (strstr(reply.message, secrets[s]) != NULL)
			{
				unseen = false;
				printf("# %s in %s\n", reply.message, message);
			}
		}
		snprintf(name, sizeof(name), "secret %d does not show", s + 1);
		ok(unseen, name);
	}
}

static bool
is_clean(const char *message)
{
	int			len = strlen(message);

	if (len >= TTE_REPLY_MESSAGE || !tte_utf8_valid(message, len))
		return false;
	for (int i = 0; i < len; i++)
	{
		if ((unsigned char) message[i] < ' ' || message[i] == 0x7f)
			return false;
	}
	return true;
}

static void
test_cleaning(void)
{
	static char longer[20000];
	TteReply	reply;

	is_text(answered(400, "{\"code\":40002,\"message\":\"a\\nb\\u001b[31mc\\u007fd\\u0085e\"}").message,
			"a b [31mc d e", "controls become blanks");
	is_text(answered(400, "{\"code\":40002,\"message\":\"a\\u202eb\\u2028c\\u200bd\\ufeffe\"}").message,
			"a b c d e", "so do invisible and turning characters");
	ok(is_clean(answered(400, "{\"code\":40002,\"message\":\"a\xff\xc0\x80\xed\xa0\x80\"}").message),
	   "invalid UTF-8 becomes valid");
	ok(is_clean(answered(400, "{\"code\":40002,\"message\":\"\\ud800 \\u0000\"}").message),
	   "lone surrogates and zero characters as well");
	is_text(answered(400, "{\"code\":40002,\"message\":\"Robert'); DROP TABLE x;--\"}").message,
			"Robert'); DROP TABLE x;--", "SQL is text");
	is_text(answered(400, "{\"code\":40002,\"message\":7}").message, "", "a message that is no string");
	is_text(answered(400, "{\"code\":40002}").message, "", "no message");

	for (int i = 0; i < sizeof(longer) - 2; i += 3)
		memcpy(longer + i, "a\xc3\xa4", 3);
	reply = with_message(longer, sizeof(longer) - 2);
	ok(is_clean(reply.message) && strlen(reply.message) >= TTE_REPLY_MESSAGE - 3,
	   "cut at 2 KiB between two characters");
	memset(longer, '"', sizeof(longer));
	ok(is_clean(with_message(longer, sizeof(longer)).message), "nothing but quotes");
	memset(longer, ':', sizeof(longer));
	ok(is_clean(with_message(longer, sizeof(longer)).message), "nothing but colons");
	is_text(answered(502, "<html>john@example.com").message,
			"HTTP status 502 without a usable return code", "a body without a code is not quoted");
	is_text(answered(302, "").message, "HTTP status 302: a redirect, which is never followed",
			"a redirect is named");
}

static void
test_random(void)
{
	static const char *const pieces[] = {
		"{", "}", "[", "]", ":", ",", "\"", "code", "message", "request_id", "0", "40002", "data",
		"Batch.3.", "@", ".", "\\u00", "\xc3", "\xa4", "value", "got ", "'", " ", "1234567", "null", "-"
	};
	bool		good = true;

	srandom(1);
	for (int round = 0; round < 200000; round++)
	{
		char		body[256];
		int			len = 0;
		int			count = random() % 20;
		TteReply	reply;

		if (round % 2 == 0)
			len = snprintf(body, sizeof(body), "{\"code\":4%ld,\"message\":\"", random() % 200);
		while (count-- > 0)
		{
			const char *piece = pieces[random() % lengthof(pieces)];

			if (random() % 10 == 0)
				body[len++] = (char) random();
			memcpy(body + len, piece, strlen(piece));
			len += strlen(piece);
		}
		if (round % 2 == 0)
		{
			memcpy(body + len, "\"}", 2);
			len += 2;
		}
		tte_reply_judge(TTE_TRANSPORT_ANSWERED, 200, body, len, false, "", 0, &reply);
		good &= is_clean(reply.message) && is_clean(reply.request_id) && reply.bad_index >= -1;
		tte_reply_redact(&reply, NULL, NULL);
		good &= is_clean(reply.message);
		good &= reply.outcome != TTE_OUTCOME_DELIVERED || (reply.has_code && reply.code == 0);
	}
	ok(good, "200,000 random bodies");
}

/* A refusal with that message, to a request with that body. */
static const char *
hidden(const char *message, const char *body)
{
	static TteReply reply;

	reply = with_message(message, strlen(message));
	tte_reply_redact(&reply, NULL, body);
	return reply.message;
}

/* What was sent is masked even where it is a word of the list. */
static void
test_hiding(void)
{
	static const char body[] = "{\"data\":[{\"properties\":{\"description\":\"items\"},\"ad\":{\"callback\":\"click.missing\"},"
	"\"user\":{\"city\":\"Long \\\"City\\\"\",\"ttp\":[\"value-1\",\"value-2\"],\"country\":\"de\"}},"
	"{\"event\":\"a\\\"user\\\":{\",\"user\":{\"city\":\"reading\",\"user_agent\":\"not (an} {) \\u00e4\"}}]}";
	TteReply	reply;

	is_text(hidden("no city long \"city\" here", body), "no city *** ***", "what was sent is hidden, in any case");
	is_text(hidden("reading READING: Reading; readings", body), "*** ***: ***; ***", "wherever it stands");
	is_text(hidden("no reading", "{\"user\":{\"city\":\"reading"), "no reading", "half a body");
	is_text(hidden("no reading", ""), "no reading", "no body");
	is_text(hidden("items in no country", body), "items in no country", "neither a country nor a description");
	is_text(hidden("click.missing is expired", body), "*** is expired", "the click id");
	is_text(hidden("not (an} {) \xc3\xa4 is no value", body), "*** is no value", "with braces and escapes");

	reply = with_message("an invalid, INVALID.", 20);
	strlcpy(reply.request_id, "2026-invalid", sizeof(reply.request_id));
	tte_reply_redact(&reply, "invalid", NULL);
	is_text(reply.message, "an ***, ***.", "a token is hidden");
	is_text(reply.request_id, "", "in the request's id as well");
	reply = answered(200, "{\"code\":0,\"message\":\"OK\",\"request_id\":\"value-1\"}");
	tte_reply_redact(&reply, NULL, body);
	is_text(reply.message, "OK", "a good answer is as it was");
	is_text(reply.request_id, "", "without an id that was sent");
	reply = with_message("Batch.3.user.city: reading", 26);
	tte_reply_redact(&reply, NULL, body);
	ok(reply.bad_index == 3, "the index was read before");
	reply = answered(302, "");
	tte_reply_redact(&reply, NULL, NULL);
	is_text(reply.message, "HTTP status 302: a redirect, which is never followed", "what is said here is kept");
	reply = answered(502, "");
	tte_reply_redact(&reply, NULL, NULL);
	is_text(reply.message, "HTTP status 502 without a usable return code", "all of it");
	tte_reply_judge(TTE_TRANSPORT_NEVER_SENT, 0, NULL, 0, false, "timed out while resolving the host name", 0, &reply);
	tte_reply_redact(&reply, NULL, body);
	is_text(reply.message, "timed out while resolving the host name", "and what the transport says, in words of its own");
}

int
main(int argc, char **argv)
{
	test_names();
	test_codes();
	test_statuses();
	test_unusable_bodies();
	test_transport();
	test_retry_after();
	test_request_id();
	test_bad_index();
	test_redaction();
	test_canaries();
	test_hiding();
	test_cleaning();
	test_random();
	return tap_end();
}
