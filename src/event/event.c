/*-------------------------------------------------------------------------
 *
 * event.c
 *	  From the fields of one event to what is stored.
 *
 * If an event has several problems, the reported one is the first of: consent,
 * what the caller found, name, time, event_id, currency, basket, ids, amount,
 * other fields in the order of the catalogue, required fields, limited data
 * use, match key, size, age.
 *
 * The payload grows with the input, so a string is copied only if the whole
 * can still fit into TTE_MAX_PAYLOAD.
 *
 *-------------------------------------------------------------------------
 */
#include "event/event.h"

#include <stdarg.h>

#include "event/builder.h"
#include "event/unicode.h"

/* An event with this many bytes of notes gets no more. */
#define MAX_NOTES		2048

/* How far the clock of an application may be ahead of ours. */
#define MAX_AHEAD		(INT64CONST(600) * TTE_USEC)

/* Seconds beyond this can only be milliseconds (year 5138). */
#define SURELY_MILLISECONDS	INT64CONST(100000000000)

/*
 * Gathering
 */

TteEvent *
tte_event_begin(const TteSourceRules *rules, bool ascii)
{
	TteEvent   *event = palloc0(sizeof(TteEvent));

	event->rules = *rules;
	event->ascii = ascii;
	event->rendered = palloc0(sizeof(TteRendered));
	return event;
}

static bool
is_blank(const char *str, int len)
{
	/* most values begin with a letter or digit */
	if (len > 0 && (unsigned char) *str > ' ' && (unsigned char) *str < 0x7F)
		return false;
	/* zero bytes cannot be sent, so they count as blank */
	tte_unicode_trim(&str, &len);
	while (len > 0 && *str == '\0')
	{
		str++;
		len--;
		tte_unicode_trim(&str, &len);
	}
	return len == 0;
}

void
tte_event_name(TteEvent *event, const char *name, int len)
{
	event->name = name;
	event->name_len = (name != NULL && !is_blank(name, len)) ? len : 0;
}

void
tte_event_id(TteEvent *event, const char *id, int len)
{
	event->id = id;
	event->id_len = (id != NULL && !is_blank(id, len)) ? len : 0;
}

bool
tte_event_has_id(const TteEvent *event)
{
	return event->id_len > 0;
}

void
tte_event_time(TteEvent *event, int64 usec, bool finite)
{
	event->has_time = true;
	event->usec = usec;
	event->finite = finite;
}

void
tte_event_amounts(TteEvent *event, int digits)
{
	event->amounts = digits;
}

void
tte_event_consent(TteEvent *event, TteTriState consent)
{
	event->consent = consent;
}

void
tte_event_limited_data_use(TteEvent *event, TteTriState ldu)
{
	event->limited_data_use = ldu;
}

bool
tte_json_absent(const TteJson *value)
{
	switch (value->kind)
	{
		case TTE_JSON_NULL:
			return true;
		case TTE_JSON_STRING:
			return is_blank(value->text, value->len);
		case TTE_JSON_ARRAY:
		case TTE_JSON_OBJECT:
			return value->count == 0;
		default:
			return false;
	}
}

void
tte_event_set(TteEvent *event, int field, const TteJson *value)
{
	const TteField *f = &tte_fields[field];

	/* an empty object as contents is an error, not an absent value */
	if (tte_json_absent(value) &&
		!(f->type == TTE_TYPE_CONTENTS && value->kind == TTE_JSON_OBJECT))
		return;
	if ((f->sources & TTE_SOURCE_BIT(event->rules.source)) == 0)
	{
		tte_builder_field_note(event, field, "source");
		return;
	}
	event->values[field] = value;
	event->sections |= 1 << f->section;
}

void
tte_event_fail(TteEvent *event, TteProblem problem, const char *reason,
			   const char *detail, const char *hint)
{
	if (event->rejected)
		return;
	event->rejected = true;
	event->rendered->problem = problem;
	event->rendered->reason = reason;
	event->rendered->detail = detail;
	event->rendered->hint = hint;
}

/* Shared by the files of the builder */

/* Is the note among the earlier ones? */
static bool
is_noted(const char *notes, int before, const char *note, int len)
{
	const char *at = notes;
	const char *end = notes + before;

	while (at < end)
	{
		const char *next = memchr(at, ';', end - at);

		if (next == NULL)
			next = end;
		if (next - at == len && memcmp(at, note, len) == 0)
			return true;
		at = next + 2;
	}
	return false;
}

void
tte_event_note(TteEvent *event, const char *what, const char *why)
{
	StringInfo	notes = &event->notes;
	int			before;
	int			start;

	if (notes->data == NULL)
		initStringInfo(notes);
	before = notes->len;
	if (before > MAX_NOTES)
		return;
	if (before > 0)
		appendBinaryStringInfo(notes, "; ", 2);
	start = notes->len;
	appendStringInfoString(notes, what);
	appendBinaryStringInfo(notes, ": ", 2);
	appendStringInfoString(notes, why);
	if (is_noted(notes->data, before, notes->data + start, notes->len - start))
	{
		notes->len = before;
		notes->data[before] = '\0';
	}
}

void
tte_builder_field_note(TteEvent *event, int field, const char *why)
{
	char		what[64];

	snprintf(what, sizeof(what), "%s.%s",
			 tte_section_names[tte_fields[field].section], tte_fields[field].name);
	tte_event_note(event, what, why);
}

void
tte_builder_reject(TteEvent *event, TteProblem problem, const char *reason,
				   const char *hint, const char *detail,...)
{
	char		sentence[512];
	va_list		args;

	if (event->rejected)
		return;
	va_start(args, detail);
	vsnprintf(sentence, sizeof(sentence), detail, args);
	va_end(args);
	tte_event_fail(event, problem, reason, pstrdup(sentence), hint);
}

bool
tte_builder_text(const TteJson *value, char buffer[80], const char **str, int *len)
{
	if (value->kind == TTE_JSON_NUMBER)
	{
		*str = buffer;
		*len = tte_decimal_plain(value->text, value->len, buffer, 80);
		return *len > 0;
	}
	if (value->kind != TTE_JSON_STRING)
		return false;
	*str = value->text;
	*len = value->len;
	tte_unicode_trim(str, len);
	return true;
}

TteDecimalState
tte_builder_decimal(const TteJson *value, TteDecimal *decimal)
{
	const char *str = value->text;
	int			len = value->len;

	if (value->kind != TTE_JSON_NUMBER && value->kind != TTE_JSON_STRING)
		return TTE_DECIMAL_SYNTAX;
	if (value->kind == TTE_JSON_STRING)
		tte_unicode_trim(&str, &len);
	return tte_decimal_read(str, len, decimal);
}

void
tte_builder_write_key(TteEvent *event, const char *name, int len)
{
	StringInfo	out = &event->payload;
	char	   *to;

	enlargeStringInfo(out, len + 4);
	to = out->data + out->len;
	if (to[-1] != '{')
		*to++ = ',';
	*to++ = '"';
	memcpy(to, name, len);
	to += len;
	*to++ = '"';
	*to++ = ':';
	*to = '\0';
	out->len = to - out->data;
}

static void
reject_size(TteEvent *event)
{
	tte_builder_reject(event, TTE_PROBLEM_SIZE, "too_large", NULL,
					   "The event would be larger than %d bytes.", TTE_MAX_PAYLOAD);
}

bool
tte_builder_string(TteEvent *event, int field, const char *str, int len, bool fixed)
{
	if (len > TTE_MAX_PAYLOAD || event->payload.len > TTE_MAX_PAYLOAD)
	{
		reject_size(event);
		return false;
	}
	if (!tte_json_append_string(&event->payload, str, len, event->ascii) || fixed)
		tte_builder_field_note(event, field, "encoding_fixed");
	return true;
}

/*
 * Names and ids
 */

static void
reject_name(TteEvent *event, TteNameVerdict verdict, const char *meant)
{
	const char *hint = (meant != NULL) ? psprintf("Use \"%s\".", meant) : NULL;

	switch (verdict)
	{
		case TTE_NAME_CASE:
			tte_builder_reject(event, TTE_PROBLEM_VALUE, "event_name", hint,
							   "TikTok's own events are spelled in one way only, and \"%s\" is not it.",
							   event->rendered->event);
			break;
		case TTE_NAME_RESERVED:
			tte_builder_reject(event, TTE_PROBLEM_VALUE, "event_name", hint,
							   "The event name \"%s\" is reserved: TikTok would turn it into another.",
							   event->rendered->event);
			break;
		case TTE_NAME_NOT_STANDARD:
			tte_builder_reject(event, TTE_PROBLEM_VALUE, "event_name",
							   "Use one of TikTok's standard events, such as Purchase or Lead.",
							   "\"%s\" is not a standard event, and an offline event set takes no others.",
							   event->rendered->event);
			break;
		default:
			tte_builder_reject(event, TTE_PROBLEM_VALUE, "event_name",
							   hint ? hint : "Use letters, digits, underscore and dash, at most 50, beginning with a letter.",
							   "The event name is not one that TikTok accepts.");
			break;
	}
}

static void
take_name(TteEvent *event)
{
	const char *final;
	TteNameVerdict verdict;

	if (event->name_len == 0)
	{
		event->rendered->event = "(none)";
		tte_builder_reject(event, TTE_PROBLEM_MISSING, "event_name", NULL,
						   "The event has no name.");
		return;
	}
	verdict = tte_name_check(event->rules.source, event->name, event->name_len,
							 event->rules.rename_legacy_events, &final);
	event->rendered->event = (verdict == TTE_NAME_OK) ? pnstrdup(event->name, event->name_len) :
		tte_derived_id(event->name, event->name_len,
					   tte_text_trace(event->name, event->name_len) > TTE_TRACE_NONE);
	if (verdict == TTE_NAME_RENAMED)
	{
		event->rendered->renamed_from = event->rendered->event;
		event->rendered->event = final;
	}
	else if (verdict != TTE_NAME_OK)
		reject_name(event, verdict, final);
}

/*
 * Takes the id that the caller gave.  If it cannot be used, a stand-in is
 * stored and the event is invalid.
 */
static void
take_given_id(TteEvent *event)
{
	static const char same[] = "The Pixel has to send the same event_id, so it cannot be changed here.";
	bool		hide = tte_text_trace(event->id, event->id_len) == TTE_TRACE_SURE;

	event->rendered->event_id = tte_derived_id(event->id, event->id_len, hide);
	if (hide)
		tte_builder_reject(event, TTE_PROBLEM_VALUE, "event_id", same,
						   "The event_id contains an e-mail address or a telephone number.");
	else if (!tte_is_event_id(event->id, event->id_len))
		tte_builder_reject(event, TTE_PROBLEM_LENGTH, "event_id", same,
						   "An event_id has at most %d characters, all of them printable ASCII.",
						   TTE_MAX_EVENT_ID);
}

/* <lead_id>-<event>, or the number of the order; NULL without either. */
static char *
id_from_fields(TteEvent *event)
{
	bool		crm = (event->rules.source == TTE_CRM);
	const TteJson *value;
	char		buffer[80];
	const char *str;
	int			len;
	StringInfoData id;

	value = crm ? event->values[TTE_FIELD_LEAD_ID] : NULL;
	if (value == NULL)
	{
		crm = false;
		value = event->values[TTE_FIELD_ORDER_ID];
	}
	if (value == NULL || !tte_builder_text(value, buffer, &str, &len) ||
		tte_text_trace(str, len) == TTE_TRACE_SURE)
		return NULL;
	if (!crm || len > TTE_MAX_PAYLOAD)
		return tte_derived_id(str, len, false);
	initStringInfo(&id);
	tte_derived_id_part(&id, str, len, tte_text_trace(str, len) >= TTE_TRACE_LIKELY);
	appendStringInfo(&id, "-%s", event->rendered->event);
	return tte_derived_id(id.data, id.len, false);
}

static void
take_id(TteEvent *event, const char *fallback_id)
{
	char	   *id;

	if (event->id_len > 0)
	{
		take_given_id(event);
		return;
	}
	id = id_from_fields(event);
	event->rendered->event_id = (id != NULL) ? id : fallback_id;
	if (event->rendered->event_id == NULL)
		tte_builder_reject(event, TTE_PROBLEM_MISSING, "event_id", NULL,
						   "The event has no event_id.");
}

/*
 * Times
 */

static void
take_time(TteEvent *event, int64 now)
{
	event->rendered->event_time = now;
	event->rendered->has_time = event->has_time;
	if (!event->has_time)
		return;
	if (!event->finite)
	{
		tte_builder_reject(event, TTE_PROBLEM_TIME, "time_not_finite", NULL,
						   "The event_time is infinite.");
		return;
	}
	event->rendered->event_time = event->usec;
	if (event->usec > now + MAX_AHEAD)
		tte_builder_reject(event, TTE_PROBLEM_TIME, "future",
						   event->usec / TTE_USEC >= SURELY_MILLISECONDS ?
						   "It looks like milliseconds taken for seconds: divide by 1000." :
						   "Up to 10 minutes are allowed for clocks that differ.",
						   "The event_time is in the future.");
}

/*
 * Judgement
 */

static bool
has_consent(const TteEvent *event)
{
	if (event->consent == TTE_UNSET)
		return !event->rules.consent_required;
	return event->consent == TTE_YES;
}

static bool
has_any_key(const TteEvent *event, uint32 kinds)
{
	return (event->rendered->match_keys & kinds) != 0;
}

#define KEY(kind)		(UINT32_C(1) << (kind))
#define EMAIL_PHONE		(KEY(TTE_EMAIL) | KEY(TTE_PHONE))
#define WEB_KEYS		(EMAIL_PHONE | KEY(TTE_TTCLID) | KEY(TTE_TTP) | KEY(TTE_EXTERNAL_ID))
#define APP_KEYS		(EMAIL_PHONE | KEY(TTE_IDFA) | KEY(TTE_IDFV) | KEY(TTE_GAID))

static bool
is_written(const TteEvent *event, TteFieldIndex field)
{
	return (event->written & (UINT64CONST(1) << field)) != 0;
}

static void
check_match_key(TteEvent *event)
{
	bool		device = has_any_key(event, KEY(TTE_IP)) && has_any_key(event, KEY(TTE_USER_AGENT));
	const char *hint;

	switch (event->rules.source)
	{
		case TTE_WEB:
			if (device || has_any_key(event, WEB_KEYS))
				return;
			hint = "Give one of ttclid, ttp, email, phone or external_id, or ip together with user_agent.";
			break;
		case TTE_APP:
			if (device || has_any_key(event, APP_KEYS))
				return;
			hint = "Give one of idfa, idfv, gaid, email or phone, or ip together with user_agent.";
			break;
		default:
			if (has_any_key(event, EMAIL_PHONE) || (event->rules.source == TTE_CRM && is_written(event, TTE_FIELD_LEAD_ID)))
				return;
			hint = "Give email or phone.";
			break;
	}
	tte_builder_reject(event, TTE_PROBLEM_MISSING, "no_match_key", hint,
					   "The event has no usable identifier by which TikTok could match it.");
}

const TteRequired *
tte_event_required(const TteSourceRules *rules)
{
	static const TteRequired url = {TTE_FIELD_URL, "page_url_missing",
		"A web event needs \"page.url\".",
	"Give the address of the page on which it happened, or of your shop for all."};
	static const TteRequired app = {TTE_FIELD_APP_ID, "app_id_missing",
		"An app event needs \"app.app_id\".",
	"Give the number in the App Store or the package name."};
	static const TteRequired lead = {TTE_FIELD_LEAD_ID, "lead_id_missing",
		"A CRM event needs \"lead.lead_id\", TikTok's number of the lead.",
	"To send events without it, with email or phone, set require_lead_id to false for the source."};

	switch (rules->source)
	{
		case TTE_WEB:
			return &url;
		case TTE_APP:
			return &app;
		case TTE_CRM:
			return rules->require_lead_id ? &lead : NULL;
		default:
			return NULL;
	}
}

static void
check_required(TteEvent *event)
{
	const TteRequired *required = tte_event_required(&event->rules);

	if (required != NULL && !is_written(event, required->field))
		tte_builder_reject(event, TTE_PROBLEM_MISSING, required->reason, required->hint, "%s", required->detail);
}

/* TikTok applies the flag by the place of the user, which it knows for web and app only. */
static bool
limits_data_use(TteEvent *event)
{
	bool		known = (event->rules.source == TTE_WEB || event->rules.source == TTE_APP);

	if (!known)
	{
		if (event->limited_data_use == TTE_YES)
			tte_event_note(event, "limited_data_use", "source");
		return false;
	}
	if (event->limited_data_use == TTE_UNSET)
		return event->rules.limited_data_use;
	return event->limited_data_use == TTE_YES;
}

static void
check_limited_data_use(TteEvent *event)
{
	if (!has_any_key(event, KEY(TTE_IP)))
		tte_builder_reject(event, TTE_PROBLEM_MISSING, "limited_data_use_ip",
						   "Give the user's public IP address.",
						   "Limited data use has no effect without \"user.ip\".");
}

/*
 * Writing
 */

static void
write_section(TteEvent *event, TteSection section)
{
	StringInfo	out = &event->payload;
	int			before = out->len;
	int			empty;

	tte_builder_key(event, tte_section_names[section]);
	appendStringInfoCharMacro(out, '{');
	empty = out->len;
	if (section == TTE_SECTION_PROPERTIES)
		tte_builder_properties(event);
	for (int i = TTE_FIELD_FIRST_OTHER; i < TTE_FIELD_COUNT; i++)
	{
		if (event->values[i] != NULL && tte_fields[i].section == section &&
			i != TTE_FIELD_CONTENT_TYPE && !event->rejected &&
			tte_builder_field(event, i))
			event->written |= UINT64CONST(1) << i;
	}
	if (out->len == empty)
		out->len = before;
	else
		appendStringInfoCharMacro(out, '}');
}

static void
write_payload(TteEvent *event)
{
	StringInfo	out = &event->payload;
	bool		limited = limits_data_use(event);

	initStringInfo(out);
	appendStringInfoCharMacro(out, '{');
	if (limited)
	{
		tte_builder_key(event, "limited_data_use");
		appendStringInfoString(out, "true");
	}
	for (int section = TTE_SECTION_PROPERTIES; section < TTE_SECTIONS; section++)
	{
		if ((event->sections & (1 << section)) != 0)
			write_section(event, section);
	}
	appendStringInfoCharMacro(out, '}');
	check_required(event);
	if (limited)
		check_limited_data_use(event);
	check_match_key(event);
	tte_builder_write_user(event);
	if (out->len + event->user.len > TTE_MAX_PAYLOAD)
		reject_size(event);
}

static void
judge_event(TteEvent *event, int64 now)
{
	TteRendered *r = event->rendered;

	initStringInfo(&event->scratch);
	tte_builder_user(event);
	if (!event->rejected)
		write_payload(event);
	if (event->rejected)
	{
		r->verdict = TTE_EVENT_INVALID;
		tte_builder_worth(event);
	}
	else if (r->event_time < now - event->rules.max_event_age)
	{
		r->verdict = TTE_EVENT_EXPIRED;
		r->reason = "max_event_age";
	}
	else
	{
		r->verdict = TTE_EVENT_READY;
		r->payload = event->payload.data;
		r->payload_len = event->payload.len;
		r->user_data = (event->user.len > 0) ? event->user.data : NULL;
		r->user_data_len = event->user.len;
	}
}

TteRendered *
tte_event_finish(TteEvent *event, const char *fallback_id, int64 now)
{
	TteRendered *r = event->rendered;

	take_name(event);
	take_time(event, now);
	take_id(event, fallback_id);
	if (has_consent(event))
		judge_event(event, now);
	else
	{
		r->verdict = TTE_EVENT_SUPPRESSED;
		r->reason = "no_consent";
		r->detail = NULL;
		r->hint = NULL;
	}
	r->notes = event->notes.len > 0 ? event->notes.data : NULL;
	return r;
}
