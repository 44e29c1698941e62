/*-------------------------------------------------------------------------
 *
 * event.c
 *	  Unit test of event/event.c: the judgement of events.  With the argument
 *	  "bench" it measures instead.
 *
 *-------------------------------------------------------------------------
 */
#include "event/event.h"

#include <time.h>

#include "check_event.h"

#define UA		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36"

static const EventCase event_cases[] = {
	{TTE_WEB, "Purchase", "e1", "{" WEB_USER "," WEB_PAGE "}", "ready", NULL, WEB_BODY("")},
	/* pages */
	{TTE_WEB, "Purchase", "e1", "{" WEB_USER "}", "invalid page_url_missing", NULL, NULL},
	{TTE_WEB, "Purchase", "e1", "{" WEB_USER ",\"page\":{\"url\":\"/cart\"}}", "invalid page_url", NULL, NULL},
	{TTE_WEB, "Purchase", "e1", "{" WEB_USER ",\"page\":{\"url\":7}}", "invalid page_url", NULL, NULL},
	{TTE_WEB, "Purchase", "e1", "{" WEB_USER ",\"page\":{\"url\":\" https://x.example/ \",\"referrer\":\"/cart\"}}",
	"ready", "page.referrer: url_syntax", WEB_BODY("")},
	{TTE_WEB, "Purchase", "e1", "{" WEB_USER ",\"page\":{\"url\":\"https://x.example/\",\"referrer\":\"https://y.example/?email=a\"}}",
		"ready", "page.referrer: pii",
	"{\"event\":\"Purchase\",\"event_time\":1795200000,\"event_id\":\"e1\",\"page\":{\"url\":\"https://x.example/\",\"referrer\":\"https://y.example/?email=\"}}"},
	{TTE_WEB, "Purchase", "e1", "{" WEB_USER ",\"page\":{\"url\":\" https://x.example/a b?q=c d&key=1 2 \",\"referrer\":\"https://y.example/?q=a b\"}}",
		"ready", "page.url: pii",
	"{\"event\":\"Purchase\",\"event_time\":1795200000,\"event_id\":\"e1\",\"page\":{\"url\":\"https://x.example/a%20b?q=c%20d&key=\",\"referrer\":\"https://y.example/?q=a%20b\"}}"},
	{TTE_WEB, "Purchase", "e1", "{\"page\":{\"url\":\"https://x.example/?ttclid={{ttclid}}\"}}", "invalid no_match_key", "ttclid: macro", NULL},
	{TTE_WEB, "Purchase", "e1", "{\"page\":{\"url\":\"https://x.example/?ttclid=__TTCLID_OF_AD__\"}}", "invalid no_match_key", "ttclid: macro", NULL},
	{TTE_WEB, "Purchase", "e1", "{\"page\":{\"url\":\"https://x.example/#/p?ttclid=%7B%7Bttclid%7D%7D\"}}", "invalid no_match_key", "ttclid: macro", NULL},
	{TTE_WEB, "Purchase", "e1", "{" WEB_USER "," WEB_PAGE ",\"ad\":{\"campaign_id\":\"__CAMPAIGN_ID__\",\"ad_id\":\"7\"}}", "ready", "ad.campaign_id: macro",
	WEB_BODY(",\"ad\":{\"ad_id\":\"7\"}")},
	{TTE_WEB, "Purchase", "e1", "{\"page\":{\"url\":\"https://x.example/#/p?ttclid=E.C.P\"}}", "ready", NULL, NULL},
	/* match keys */
	{TTE_WEB, "Purchase", "e1", "{" WEB_PAGE "}", "invalid no_match_key", NULL, NULL},
	{TTE_WEB, "Purchase", "e1", "{\"user\":{\"email\":\"nope\"}," WEB_PAGE "}", "invalid no_match_key", "email: email_syntax", NULL},
	{TTE_WEB, "Purchase", "e1", "{\"user\":{\"ip\":\"8.8.8.8\"}," WEB_PAGE "}", "invalid no_match_key", NULL, NULL},
	{TTE_WEB, "Purchase", "e1", "{\"user\":{\"ip\":\"8.8.8.8\",\"user_agent\":\"u\"}," WEB_PAGE "}", "ready", NULL, NULL},
	{TTE_WEB, "Purchase", "e1", "{\"user\":{\"ip\":\"10.0.0.1\",\"user_agent\":\"u\"}," WEB_PAGE "}", "invalid no_match_key", "ip: ip_private", NULL},
	{TTE_WEB, "Purchase", "e1", "{\"user\":{\"first_name\":\"Ann\",\"locale\":\"en\"}," WEB_PAGE "}", "invalid no_match_key", NULL, NULL},
	{TTE_WEB, "Purchase", "e1", "{\"page\":{\"url\":\"https://x.example/?ttclid=E.C.P\"}}", "ready", NULL, NULL},
	{TTE_OFFLINE, "Purchase", "e1", "{\"user\":{\"external_id\":\"7\"}}", "invalid no_match_key", "user.external_id: source", NULL},
	{TTE_OFFLINE, "Purchase", "e1", "{\"user\":{\"phone\":\"+14155550100\",\"locale\":\"en\",\"city\":\"X\"}}", "ready", "user.locale: source; user.city: source", NULL},
	{TTE_APP, "Purchase", "e1", "{\"user\":{\"idfv\":\"8C1A0F4E-0000-4000-8000-000000000001\"},\"app\":{\"app_id\":\"a\"}}", "ready", NULL, NULL},
	{TTE_APP, "Purchase", "e1", "{\"user\":{\"gaid\":\"00000000-0000-0000-0000-000000000000\"},\"app\":{\"app_id\":\"a\"}}", "invalid no_match_key", "gaid: zero_id", NULL},
	{TTE_APP, "Purchase", "e1", "{" WEB_USER "}", "invalid app_id_missing", NULL, NULL},
	{TTE_APP, "Purchase", "e1", "{" WEB_USER ",\"app\":{\"app_id\":true}}", "invalid app_id_missing", "app.app_id: type", NULL},
	{TTE_CRM, "Lead", "e1", "{" WEB_USER "}", "invalid lead_id_missing", NULL, NULL},
	{TTE_CRM, "Lead", "e1", "{\"lead\":{\"lead_id\":\"7412345678901234567\"}}", "ready", NULL,
	"{\"event\":\"Lead\",\"event_time\":1795200000,\"event_id\":\"e1\",\"lead\":{\"lead_id\":\"7412345678901234567\"}}"},
	{TTE_APP, "Purchase", "e1", "{\"user\":{\"email\":\"a@b.co\",\"phone\":\"+14155550100\",\"idfa\":\"ea7583cd-a667-48bc-b806-42ecb2b48606\","
		"\"idfv\":\"8C1A0F4E-0000-4000-8000-000000000001\",\"att_status\":\"DENIED\"},\"app\":{\"app_id\":\"a\"}}",
	"ready", "email: att_denied; phone: att_denied; idfa: att_denied", NULL},
	{TTE_WEB, "Purchase", "e1", "{\"user\":{\"email\":true,\"phone\":1.5,\"external_id\":{\"a\":1},\"ttp\":[\"x\"],\"ttclid\":\"x\"}," WEB_PAGE "}",
	"ready", "email: type; phone: phone_type; external_id: type; ttp: type", NULL},
	{TTE_WEB, "Purchase", "e1", "{\"user\":{\"email\":\"a\\u0000@b.co\",\"external_id\":\"\\ud800\",\"ttp\":\"x\"}," WEB_PAGE "}",
	"ready", "email: encoding; external_id: encoding", NULL},
	/* ids and names */
	{TTE_WEB, "Purchase", "a\nb", "{" WEB_USER "," WEB_PAGE "}", "invalid event_id", NULL, NULL},
	{TTE_WEB, "Purchase", "\xf0\x9f\x98\x80", "{" WEB_USER "," WEB_PAGE "}", "invalid event_id", NULL, NULL},
	{TTE_WEB, "Purchase", "ann@example.com", "{" WEB_USER "," WEB_PAGE "}", "invalid event_id", NULL, NULL},
	{TTE_WEB, "", "e1", "{" WEB_USER "," WEB_PAGE "}", "invalid event_name", NULL, NULL},
	{TTE_WEB, " \t", "e1", "{" WEB_USER "," WEB_PAGE "}", "invalid event_name", NULL, NULL},
	{TTE_WEB, "purchase", "e1", "{" WEB_USER "," WEB_PAGE "}", "invalid event_name", NULL, NULL},
	{TTE_WEB, "complete payment", "e1", "{" WEB_USER "," WEB_PAGE "}", "invalid event_name", NULL, NULL},
	{TTE_OFFLINE, "Quote", "e1", "{" WEB_USER "}", "invalid event_name", NULL, NULL},
	{TTE_WEB, "Browse", "e1", "{" WEB_USER "," WEB_PAGE "}", "invalid event_name", NULL, NULL}
};

static void
test_events(void)
{
	check_events(event_cases, lengthof(event_cases));
}

static void
test_times(void)
{
	static const struct
	{
		int64		usec;
		bool		finite;
		TteEventSource source;
		const char *expected;
		const char *payload_time;
	}			cases[] = {
		{NOW, true, TTE_WEB, "ready", "1795200000"},
		{NOW + 999999, true, TTE_WEB, "ready", "1795200000"},
		{NOW - 1, true, TTE_WEB, "ready", "1795199999"},
		{NOW + 300 * TTE_USEC, true, TTE_WEB, "ready", "1795200300"},
		{NOW + 600 * TTE_USEC, true, TTE_WEB, "ready", "1795200600"},
		{NOW + 600 * TTE_USEC + 1, true, TTE_WEB, "invalid future", NULL},
		{NOW + DAY, true, TTE_WEB, "invalid future", NULL},
		{INT64CONST(10413792000) * TTE_USEC, true, TTE_WEB, "invalid future", NULL},
		{INT64CONST(1795200000000) * TTE_USEC, true, TTE_WEB, "invalid future", NULL},
		{PG_INT64_MAX, true, TTE_WEB, "invalid future", NULL},
		{PG_INT64_MAX, false, TTE_WEB, "invalid time_not_finite", NULL},
		{PG_INT64_MIN, false, TTE_WEB, "invalid time_not_finite", NULL},
		{PG_INT64_MIN, true, TTE_WEB, "expired max_event_age", NULL},
		{NOW - 7 * DAY, true, TTE_WEB, "ready", "1794595200"},
		{NOW - 7 * DAY - 1, true, TTE_WEB, "expired max_event_age", NULL}
	};

	for (int i = 0; i < lengthof(cases); i++)
	{
		TteSourceRules rules = rules_of(cases[i].source);
		TteEvent   *event = begin(&rules, "Purchase", "e1", "{" WEB_USER "," WEB_PAGE "}", false);
		TteRendered *r;

		tte_event_time(event, cases[i].usec, cases[i].finite);
		r = finish_plain(event);
		check_text("time", NULL, verdict_of(r), cases[i].expected);
		if (r->verdict == TTE_EVENT_READY)
			check_true("seconds", strstr(sent_without_user(r), cases[i].payload_time) != NULL);
		if (i == 8)
			check_true("hint about milliseconds", strstr(r->hint, "milliseconds") != NULL);
	}
}

static void
test_ids(void)
{
	TteSourceRules web = rules_of(TTE_WEB);
	TteSourceRules crm = rules_of(TTE_CRM);
	char	   *limit = repeated("x", 128, "");
	char	   *longer = repeated("x", 1024, "");
	char	   *short_form;
	TteRendered *r;

	r = finish_plain(begin(&web, "Purchase", "", "{" WEB_USER "," WEB_PAGE "}", false));
	check_text("event_id of last resort", NULL, r->event_id, "fallback");
	r = finish_plain(begin(&web, "Purchase", NULL, WEB_WITH("\"order_id\":\" SO-7 \""), false));
	check_text("event_id from the order", NULL, r->event_id, "SO-7");
	r = finish_plain(begin(&web, "Purchase", NULL, WEB_WITH("\"order_id\":\"ann@example.com\""), false));
	check_text("event_id from an order that names a person", NULL, r->event_id, "fallback");
	r = finish_plain(begin(&web, "Purchase", "mine", WEB_WITH("\"order_id\":\"SO-7\""), false));
	check_text("event_id as given", NULL, r->event_id, "mine");
	r = finish_plain(begin(&crm, "SubmitForm", NULL, "{\"lead\":{\"lead_id\":77},\"properties\":{\"order_id\":\"SO-7\"}}", false));
	check_text("event_id from the lead", NULL, r->event_id, "77-Lead");
	check_text("name before", NULL, r->renamed_from, "SubmitForm");
	r = finish_plain(begin(&web, "Purchase", limit, "{" WEB_USER "," WEB_PAGE "}", false));
	check_text("event_id of 128", NULL, r->event_id, limit);
	r = finish_plain(begin(&web, "Purchase", longer, "{" WEB_USER "," WEB_PAGE "}", false));
	check_text("event_id of 1024", NULL, verdict_of(r), "invalid event_id");
	check_true("cut", strlen(r->event_id) == 128);
	short_form = tte_derived_id(longer, 1024, false);
	check_true("derived id is cut", strlen(short_form) == 128 && short_form[95] == '-' &&
			   strcmp(short_form, tte_derived_id(longer, 1024, false)) == 0 &&
			   strcmp(short_form, tte_derived_id(longer, 1023, false)) != 0);
	check_text("derived id stays", NULL, tte_derived_id(limit, 128, false), limit);
	short_form = tte_derived_id("caf\xc3\xa9-7", 7, false);
	check_true("derived id in ASCII", strncmp(short_form, "caf?\?-7-", 8) == 0 && strlen(short_form) == 8 + 32);
	check_true("different text, different id",
			   strcmp(short_form, tte_derived_id("caf\xc3\xa8-7", 7, false)) != 0);
	r = finish_plain(begin(&web, repeated("N", 200, ""), "e1", "{" WEB_USER "," WEB_PAGE "}", false));
	check_true("long name is cut", r->verdict == TTE_EVENT_INVALID && strlen(r->event) == 128);
	r = tte_event_finish(begin(&web, "Purchase", NULL, "{" WEB_USER "," WEB_PAGE "}", false), NULL, NOW);
	check_text("no event_id at all", NULL, verdict_of(r), "invalid event_id");
}

/* What is given as id or name, and shows somebody, is hashed as a whole. */
static void
test_hidden_ids(void)
{
	TteSourceRules web = rules_of(TTE_WEB);
	TteSourceRules crm = rules_of(TTE_CRM);
	TteRendered *r;

	r = finish_plain(begin(&web, "Purchase", "SO-anna%40example.com", "{" WEB_USER "," WEB_PAGE "}", false));
	check_text("escaped address as id", NULL, verdict_of(r), "invalid event_id");
	check_true("hashed id", strlen(r->event_id) == 32 && strspn(r->event_id, "0123456789abcdef") == 32);
	r = finish_plain(begin(&web, "Purchase", "+49 151 12345678", "{" WEB_USER "," WEB_PAGE "}", false));
	check_text("number as id", NULL, verdict_of(r), "invalid event_id");
	check_true("hashed id", strlen(r->event_id) == 32);
	r = finish_plain(begin(&web, "Purchase", "4915112345678", "{" WEB_USER "," WEB_PAGE "}", false));
	check_text("digits as id", NULL, r->event_id, "4915112345678");
	r = finish_plain(begin(&web, "Purchase", NULL, WEB_WITH("\"order_id\":\"ann%40example.com\""), false));
	check_text("id from an order that names a person", NULL, r->event_id, "fallback");
	r = finish_plain(begin(&crm, "Lead", NULL, "{\"lead\":{\"lead_id\":\"0151 12345678\"}}", false));
	check_true("id from a lead that names a person", strncmp(r->event_id, "hash_", 5) == 0 &&
			   strcmp(r->event_id + 37, "-Lead") == 0);
	r = finish_plain(begin(&web, "anna%40example.com", "e1", "{" WEB_USER "," WEB_PAGE "}", false));
	check_true("name with an address", strlen(r->event) == 32 && r->verdict == TTE_EVENT_INVALID);
	r = finish_plain(begin(&web, "0151 12345678", "e1", "{" WEB_USER "," WEB_PAGE "}", false));
	check_true("name with a number", strlen(r->event) == 32 && r->verdict == TTE_EVENT_INVALID);
}

static void
test_consent(void)
{
	TteSourceRules rules = rules_of(TTE_WEB);
	static const struct
	{
		bool		required;
		TteTriState consent;
		bool		sent;
	}			cases[] = {
		{false, TTE_UNSET, true}, {false, TTE_YES, true}, {false, TTE_NO, false},
		{true, TTE_UNSET, false}, {true, TTE_YES, true}, {true, TTE_NO, false}
	};

	for (int i = 0; i < lengthof(cases); i++)
	{
		TteEvent   *event;
		TteRendered *r;

		rules.consent_required = cases[i].required;
		event = begin(&rules, i % 2 ? "Purchase" : "no name", "e1", WEB_WITH("\"order_id\":\"7\""), false);
		tte_event_consent(event, cases[i].consent);
		tte_event_fail(event, TTE_PROBLEM_VALUE, "mapping", "It is wrong.", NULL);
		r = finish_plain(event);
		check_text("consent before all else", NULL, verdict_of(r),
				   cases[i].sent ? "invalid mapping" : "suppressed no_consent");
		if (!cases[i].sent)
			check_true("nothing is kept", r->payload == NULL && r->user_data == NULL && r->match_keys == 0);
	}
}

static void
test_limited_data_use(void)
{
	static const struct
	{
		TteEventSource source;
		bool		by_default;
		TteTriState given;
		bool		with_ip;
		const char *expected;
		bool		written;
		const char *notes;
	}			cases[] = {
		{TTE_WEB, false, TTE_UNSET, false, "ready", false, NULL},
		{TTE_WEB, true, TTE_UNSET, true, "ready", true, NULL},
		{TTE_WEB, true, TTE_UNSET, false, "invalid limited_data_use_ip", false, NULL},
		{TTE_WEB, true, TTE_NO, false, "ready", false, NULL},
		{TTE_WEB, false, TTE_YES, true, "ready", true, NULL},
		{TTE_WEB, false, TTE_YES, false, "invalid limited_data_use_ip", false, NULL},
		{TTE_OFFLINE, true, TTE_UNSET, false, "ready", false, NULL},
		{TTE_OFFLINE, false, TTE_YES, false, "ready", false, "limited_data_use: source"}
	};

	for (int i = 0; i < lengthof(cases); i++)
	{
		TteSourceRules rules = rules_of(cases[i].source);
		TteEvent   *event;
		TteRendered *r;

		rules.limited_data_use = cases[i].by_default;
		event = begin(&rules, "Purchase", "e1", "{" WEB_USER "}", false);
		if (cases[i].source == TTE_WEB)
			tte_event_set(event, TTE_FIELD_URL, tte_json_string("https://x.example/", 18));
		if (cases[i].with_ip)
			tte_event_set(event, TTE_IP, tte_json_string("203.0.113.7", 11));
		tte_event_limited_data_use(event, cases[i].given);
		r = finish_plain(event);
		check_text("limited data use", NULL, verdict_of(r), cases[i].expected);
		check_text("notes", NULL, r->notes, cases[i].notes);
		check_true("written", r->payload == NULL ||
				   (strstr(r->payload, "\"limited_data_use\":true") != NULL) == cases[i].written);
	}
}

static void
test_sizes(void)
{
	TteSourceRules rules = rules_of(TTE_WEB);
	StringInfoData fields;
	TteRendered *r;

	initStringInfo(&fields);
	appendStringInfoString(&fields, "{" WEB_USER "," WEB_PAGE ",\"properties\":{\"contents\":[");
	for (int i = 0; i < TTE_MAX_CONTENTS; i++)
		appendStringInfo(&fields, "%s{\"content_id\":\"i%d\",\"quantity\":1}", i ? "," : "", i);
	r = finish_plain(begin(&rules, "Purchase", "e1", psprintf("%s]}}", fields.data), false));
	check_text("500 items", NULL, verdict_of(r), "ready");
	check_true("all of them", strstr(r->payload, "\"num_items\":500") != NULL);
	r = finish_plain(begin(&rules, "Purchase", "e1", psprintf("%s,{\"price\":1}]}}", fields.data), false));
	check_text("501 items", NULL, verdict_of(r), "invalid too_many_items");
	r = finish_plain(begin(&rules, "Purchase", "e1",
						   psprintf("{" WEB_USER "," WEB_PAGE ",\"properties\":{\"description\":\"%s\"}}", repeated("x", 999000, "")), false));
	check_text("501 content_ids", NULL,
			   verdict_of(finish_plain(begin(&rules, "Purchase", "e1",
											 psprintf("{" WEB_USER "," WEB_PAGE ",\"properties\":{\"content_ids\":[%s1]}}",
													  repeated("1,", 500, "")), false))),
			   "invalid too_many_items");
	check_text("just small enough", NULL, verdict_of(r), "ready");
	r = finish_plain(begin(&rules, "Purchase", "e1",
						   psprintf("{" WEB_USER "," WEB_PAGE ",\"properties\":{\"description\":\"%s\"}}", repeated("x", 1000001, "")), false));
	check_text("too large", NULL, verdict_of(r), "invalid too_large");
	r = finish_plain(begin(&rules, "Purchase", "e1",
						   psprintf("{" WEB_USER "," WEB_PAGE ",\"properties\":{\"description\":\"%s\"}}", repeated("\xe2\x82\xac", 300000, "")), true));
	check_text("too large once escaped", NULL, verdict_of(r), "invalid too_large");
	r = finish_plain(begin(&rules, "Purchase", "e1",
						   psprintf("{\"user\":{\"email\":[%s\"a\"]}," WEB_PAGE "}", repeated("\"bad\",", 100000, "")), false));
	check_text("many bad e-mails, one note", NULL, r->notes, "email: email_syntax");
}

/* Random input must neither crash nor come out as bad JSON. */
static uint64 dice = UINT64CONST(88172645463325252);

static uint32
roll(uint32 sides)
{
	dice ^= dice << 13;
	dice ^= dice >> 7;
	dice ^= dice << 17;
	return (dice >> 16) % sides;
}

static char *
random_text(int *len)
{
	static const char *const words[] = {
		"a@b.co", "+14155550100", "null", "49.90", "EUR", "https://x.example/?email=", "[", "{\"price\":",
		"\"", ":", ",", "\\u0000", "\\ud83d", "\xc3\xa9", "\xff", "\x01", "]", "}", "1e9", "-", " "
	};
	StringInfoData out;
	int			parts = roll(8);

	initStringInfo(&out);
	for (int i = 0; i < parts; i++)
	{
		if (roll(3) == 0)
			appendStringInfoChar(&out, roll(256));
		else
			appendStringInfoString(&out, words[roll(lengthof(words))]);
	}
	*len = out.len;
	return out.data;
}

static TteJson *
random_json(int depth)
{
	TteJson    *value;
	int			len;
	char	   *str = random_text(&len);

	switch (roll(depth > 3 ? 4 : 6))
	{
		case 0:
			return tte_json_bool(roll(2));
		case 1:
			return tte_json_number(str, len);
		case 2:
		case 3:
			return tte_json_string(str, len);
		default:
			break;
	}
	value = tte_json_bool(false);
	value->kind = roll(2) ? TTE_JSON_ARRAY : TTE_JSON_OBJECT;
	for (int i = roll(4); i > 0; i--)
	{
		TteJson    *e = random_json(depth + 1);

		e->key = roll(2) ? "price" : "content_id";
		e->keylen = strlen(e->key);
		e->next = value->first;
		value->first = e;
		value->count++;
	}
	return value;
}

static bool
is_sound(const TteRendered *r)
{
	if (r->verdict != TTE_EVENT_READY)
		return r->reason != NULL;
	if (tte_json_parse(r->payload, r->payload_len, NULL) == NULL ||
		!tte_utf8_valid(r->payload, r->payload_len))
		return false;
	return r->user_data == NULL || (tte_json_parse(r->user_data, r->user_data_len, NULL) != NULL &&
									tte_utf8_valid(r->user_data, r->user_data_len));
}

static void
test_random(void)
{
	bool		sound = true;
	int			ready = 0;

	for (int i = 0; i < 20000; i++)
	{
		TteSourceRules rules = rules_of(roll(4));
		TteEvent   *event;
		TteRendered *r;
		int			len;
		char	   *str = random_text(&len);

		tte_json_parse(str, len, NULL);
		rules.calling_code = roll(2) ? "1" : NULL;
		event = begin(&rules, roll(4) ? "Purchase" : str, roll(2) ? "e1" : str, "{}", roll(2));
		tte_event_set(event, TTE_EMAIL, tte_json_string("a@b.co", 6));
		tte_event_set(event, TTE_FIELD_URL, tte_json_string("https://x.example/", 18));
		tte_event_set(event, TTE_FIELD_APP_ID, tte_json_string("a", 1));
		for (int j = roll(4); j > 0; j--)
			tte_event_set(event, roll(TTE_FIELD_COUNT), random_json(0));
		r = finish_plain(event);
		ready += (r->verdict == TTE_EVENT_READY);
		sound = sound && is_sound(r);
	}
	check_true("20000 random events", sound);
	check_true("some of them are good", ready > 2000);
}

static double
seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec + now.tv_nsec / 1e9;
}

static void
bench_render(void)
{
	static const char user[] =
	"{\"email\":\"ana.example@example.com\",\"phone\":\"+1 (202) 555-0143\",\"external_id\":\"cust_000123\","
	"\"ip\":\"203.0.113.24\",\"user_agent\":\"" UA "\",\"ttclid\":\"E.C.P.example-click-id-0001\"}";
	static const char items[] =
	"[{\"content_id\":\"A-1\",\"content_name\":\"Trail shoe\",\"price\":49.90,\"quantity\":1},"
	"{\"content_id\":\"B-2\",\"content_name\":\"Wool sock\",\"price\":15.05,\"quantity\":2},"
	"{\"content_id\":\"C-3\",\"content_name\":\"Lace\",\"price\":3.00,\"quantity\":1}]";
	TteSourceRules rules = rules_of(TTE_WEB);
	TteJson		nodes[48];
	TteJson    *fields = tte_json_parse_with(nodes, 8, user, strlen(user), NULL);
	TteJson    *contents = tte_json_parse_with(nodes + 8, 40, items, strlen(items), NULL);
	TteJson		url = {.kind = TTE_JSON_STRING};
	TteJson		currency = {.kind = TTE_JSON_STRING};
	StringInfoData out;
	TteRendered *r = NULL;
	int			rounds = 200000;
	double		start = seconds();

	url.text = "https://shop.example.com/thanks?order=SO-10001";
	url.len = strlen(url.text);
	currency.text = "EUR";
	currency.len = 3;
	for (int i = 0; i < rounds; i++)
	{
		TteEvent   *event = tte_event_begin(&rules, false);

		tte_event_name(event, "Purchase", 8);
		tte_event_id(event, "SO-10001", 8);
		tte_event_time(event, NOW, true);
		for (const TteJson *m = fields->first; m != NULL; m = m->next)
			tte_event_set(event, tte_field_in(TTE_SECTION_USER, m->key, m->keylen), m);
		tte_event_set(event, TTE_FIELD_URL, &url);
		tte_event_set(event, TTE_FIELD_CURRENCY, &currency);
		tte_event_set(event, TTE_FIELD_CONTENTS, contents);
		r = tte_event_finish(event, NULL, NOW);
		if (i + 1 < rounds)
			arena_reset();
	}
	printf("render: %.2f us per event (%d bytes, user %d)\n",
		   (seconds() - start) / rounds * 1e6, r->payload_len, r->user_data_len);
	initStringInfo(&out);
	start = seconds();
	for (int i = 0; i < rounds; i++)
	{
		resetStringInfo(&out);
		tte_identity_append_user(&out, r->user_data, r->user_data_len, false);
	}
	printf("hash and write user: %.2f us per event (%d bytes)\n",
		   (seconds() - start) / rounds * 1e6, out.len);
	start = seconds();
	for (int i = 0; i < rounds; i++)
		tte_json_parse_with(nodes, lengthof(nodes), items, strlen(items), NULL);
	printf("parse three items: %.2f us\n", (seconds() - start) / rounds * 1e6);
}

int
main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "bench") == 0)
	{
		bench_render();
		return 0;
	}
	test_events();
	test_times();
	test_ids();
	test_hidden_ids();
	test_consent();
	test_limited_data_use();
	test_sizes();
	test_random();
	return tap_end();
}
