/*-------------------------------------------------------------------------
 *
 * fuzz_event.c
 *	  libFuzzer target: the builder of events.
 *
 * The input is four bytes of choices and a JSON object
 * {"event":...,"event_id":...,"user":{...},"properties":{...},...}; what is
 * no such object becomes the value of one field.  Whatever comes in, the
 * builder must come to a verdict, and what it calls ready must be JSON that
 * the worker can send: valid UTF-8, no null, nothing empty, no identifier in
 * clear that has to be hashed.
 *
 *-------------------------------------------------------------------------
 */
#include "event/event.h"
#include "event/url.h"

#include "fuzz.h"

#define DAY		(INT64CONST(86400) * TTE_USEC)
#define NOW		(INT64CONST(1795200000) * TTE_USEC)

static bool
is_clean(const TteJson *value)
{
	if (value->kind == TTE_JSON_NULL)
		return false;
	if (value->kind == TTE_JSON_STRING)
		return value->len > 0 && !value->fixed;
	if (value->kind != TTE_JSON_ARRAY && value->kind != TTE_JSON_OBJECT)
		return true;
	for (const TteJson *e = value->first; e != NULL; e = e->next)
	{
		if (!is_clean(e))
			return false;
	}
	return value->count > 0;
}

static TteJson *
reread(const char *json, int len, bool ascii)
{
	TteJson    *value = tte_json_parse(json, len, NULL);

	require(value != NULL && value->kind == TTE_JSON_OBJECT, "output is a JSON object");
	require(tte_utf8_valid(json, len), "output is valid UTF-8");
	require(is_clean(value), "nothing is null or empty");
	for (int i = 0; ascii && i < len; i++)
		require((unsigned char) json[i] < 0x80, "output is ASCII where asked for");
	return value;
}

static void
check_hashed(const TteJson *user, TteIdentifier kind)
{
	const TteJson *value = tte_json_get(user, tte_identifier_names[kind]);
	const TteJson *first = value;

	if (value == NULL || !tte_identifier_hashed(kind))
		return;
	if (value->kind == TTE_JSON_ARRAY)
		first = value->first;
	for (const TteJson *e = first; e != NULL; e = (value->kind == TTE_JSON_ARRAY) ? e->next : NULL)
	{
		require(e->kind == TTE_JSON_STRING && e->len == TTE_HEX_LEN, "a hash has 64 digits");
		for (int i = 0; i < e->len; i++)
			require(strchr("0123456789abcdef", e->text[i]) != NULL, "a hash is lower-case hex");
	}
}

static void
check_user(const TteRendered *r, bool ascii)
{
	StringInfoData out;
	TteJson    *user;

	if (r->user_data == NULL)
	{
		require(r->match_keys == 0, "match keys have data");
		return;
	}
	reread(r->user_data, r->user_data_len, ascii);
	initStringInfo(&out);
	require(tte_identity_append_user(&out, r->user_data, r->user_data_len, ascii),
			"the worker understands the identifiers");
	user = reread(out.data, out.len, ascii);
	for (int kind = 0; kind < TTE_IDENTIFIERS; kind++)
	{
		require((tte_json_get(user, tte_identifier_names[kind]) != NULL) ==
				((r->match_keys >> kind & 1) != 0), "match keys tell what is there");
		check_hashed(user, kind);
	}
}

/* What the worker posts is one JSON object, with all of it in. */
static void
check_wire(const TteRendered *r, bool ascii)
{
	TteStored	stored = tte_stored(r);
	StringInfoData out;
	const TteJson *data;

	initStringInfo(&out);
	tte_wire_open(&out, "web", "ABC", ascii ? "TEST1" : NULL);
	require(tte_wire_event(&out, &stored, ascii),
			"the worker understands the event");
	tte_wire_close(&out);
	data = tte_json_get(reread(out.data, out.len, ascii), "data");
	require(data != NULL && data->count == 1, "one event was made");
	require((tte_json_get(data->first, "user") != NULL) == (r->user_data != NULL),
			"the event has its user");
}

static void
check_rendered(const TteRendered *r, bool ascii)
{
	require(r->event != NULL && strlen(r->event) <= 128, "event has a name");
	require(tte_utf8_valid(r->event, strlen(r->event)), "event name is text");
	require(r->event_id != NULL && strlen(r->event_id) <= TTE_MAX_EVENT_ID, "event_id fits");
	for (const char *c = r->event_id; *c != '\0'; c++)
		require(*c >= ' ' && *c < 0x7F, "event_id is ASCII");
	for (const char *c = r->notes; c != NULL && *c != '\0'; c++)
		require(*c >= ' ' && *c < 0x7F, "notes are ASCII");
	require(r->notes == NULL || strlen(r->notes) < 4096, "notes are short");
	if (r->verdict != TTE_EVENT_READY)
	{
		require(r->reason != NULL && r->payload == NULL && r->user_data == NULL,
				"what is not ready has a reason and nothing to send");
		require(r->verdict != TTE_EVENT_INVALID || r->detail != NULL, "invalid has a detail");
		return;
	}
	require(r->payload_len + r->user_data_len <= TTE_MAX_PAYLOAD, "the size is kept");
	if (r->payload_len > 2)		/* nothing but a user: "{}" */
		reread(r->payload, r->payload_len, ascii);
	check_user(r, ascii);
	check_wire(r, ascii);
}

static void
set_section(TteEvent *event, int section, const TteJson *members)
{
	for (const TteJson *m = members->first; m != NULL; m = m->next)
	{
		int			field = tte_field_in(section, m->key, m->keylen);

		if (field >= 0)
			tte_event_set(event, field, m);
		else
			tte_field_suggest(m->key, m->keylen);
	}
}

static void
set_all(TteEvent *event, const TteJson *given)
{
	const TteJson *name = tte_json_get(given, "event");
	const TteJson *id = tte_json_get(given, "event_id");

	if (name != NULL && name->kind == TTE_JSON_STRING)
		tte_event_name(event, name->text, name->len);
	else
		tte_event_name(event, "Purchase", 8);
	if (id != NULL && id->kind == TTE_JSON_STRING)
		tte_event_id(event, id->text, id->len);
	for (int section = 0; section < TTE_SECTIONS; section++)
	{
		const TteJson *members = tte_json_get(given, tte_section_names[section]);

		if (members != NULL && members->kind == TTE_JSON_OBJECT)
			set_section(event, section, members);
	}
}

/* So that more than a few events get past what every source requires. */
static void
set_required(TteEvent *event)
{
	tte_event_set(event, TTE_FIELD_URL, tte_json_string("https://x.example/", 18));
	tte_event_set(event, TTE_FIELD_APP_ID, tte_json_string("a", 1));
	tte_event_set(event, TTE_FIELD_LEAD_ID, tte_json_number("77", 2));
	tte_event_set(event, TTE_EMAIL, tte_json_string("a@b.co", 6));
}

static TteSourceRules
chosen_rules(const uint8 *choices)
{
	TteSourceRules rules = {0};

	rules.source = choices[0] & 3;
	rules.hash_on_enqueue = (choices[0] & 8) != 0;
	rules.lower_external_id = (choices[0] & 16) != 0;
	rules.require_lead_id = (choices[0] & 32) != 0;
	rules.rename_legacy_events = (choices[0] & 64) != 0;
	rules.calling_code = (choices[1] & 1) ? "49" : (choices[1] & 2) ? "1" : NULL;
	rules.currency_policy = choices[2] % 3;
	rules.consent_required = (choices[3] & 64) != 0;
	rules.limited_data_use = (choices[3] & 128) != 0;
	rules.max_event_age = 7 * DAY;
	return rules;
}

static void
set_time(TteEvent *event, int choice)
{
	static const int64 times[] = {
		NOW - DAY, NOW - 8 * DAY, NOW + DAY, PG_INT64_MAX, PG_INT64_MIN, 0, NOW
	};

	if (choice < lengthof(times))
		tte_event_time(event, times[choice], choice != 5);
}

static void
build(const uint8 *choices, const char *str, int len)
{
	TteSourceRules rules = chosen_rules(choices);
	bool		ascii = (choices[0] & 4) != 0;
	TteJson    *given = tte_json_parse(str, len, NULL);
	TteEvent   *event = tte_event_begin(&rules, ascii);

	if (choices[1] & 4)
		set_required(event);
	if (given != NULL && given->kind == TTE_JSON_OBJECT)
		set_all(event, given);
	else
	{
		tte_event_name(event, (choices[1] & 8) ? str : "Lead", (choices[1] & 8) ? len : 4);
		tte_event_id(event, (choices[1] & 16) ? str : "e1", (choices[1] & 16) ? len : 2);
		tte_event_set(event, choices[2] % TTE_FIELD_COUNT,
					  given ? given : tte_json_string(str, len));
	}
	tte_event_limited_data_use(event, choices[3] & 3);
	tte_event_consent(event, (choices[3] >> 2) & 3);
	set_time(event, choices[1] >> 5);
	check_rendered(tte_event_finish(event, "fallback", NOW), ascii);
}

/* Text by itself: as JSON, as an address, as an id. */
static void
check_text(const char *str, int len, bool ascii)
{
	StringInfoData out;
	StringInfoData again;
	bool		valid = tte_utf8_valid(str, len);
	const char *id;

	initStringInfo(&out);
	require(tte_json_append_string(&out, str, len, ascii) == valid, "a repair is told");
	require(tte_json_parse(out.data, out.len, NULL) != NULL, "text becomes a JSON string");
	resetStringInfo(&out);
	initStringInfo(&again);
	require(tte_url_scrub(str, len, &out) || out.len == 0, "what is not scrubbed is not copied");
	require(!tte_url_scrub(out.data, out.len, &again), "scrubbing twice changes nothing");
	if (!valid)
		return;
	id = tte_derived_id(str, len, tte_text_trace(str, len) == TTE_TRACE_SURE);
	require(strlen(id) <= TTE_MAX_EVENT_ID && tte_utf8_valid(id, strlen(id)), "a derived id fits");
}

int
LLVMFuzzerTestOneInput(const uint8 *data, size_t size)
{
	const char *str;
	int			len;

	if (size < 4)
		return 0;
	len = size - 4;
	str = heap_copy(data + 4, len);
	build(data, str, len);
	check_text(str, len, (data[0] & 4) != 0);
	arena_reset();
	return 0;
}
