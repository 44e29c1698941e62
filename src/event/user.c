/*-------------------------------------------------------------------------
 *
 * user.c
 *	  The identifiers of an event: which of them are kept, and their text.
 *
 *-------------------------------------------------------------------------
 */
#include "event/builder.h"

#include "event/url.h"

/* Does the identifier have this value already? */
static bool
is_known(const TteEvent *event, const TteTaken *taken, int start, int len)
{
	for (int i = 0; i < taken->count; i++)
	{
		if (taken->len[i] == len &&
			memcmp(event->scratch.data + taken->start[i],
				   event->scratch.data + start, len) == 0)
			return true;
	}
	return false;
}

static void
take_text(TteEvent *event, TteIdentifier kind, const char *str, int len,
		  const TteIdentityRules *rules)
{
	TteTaken   *taken = &event->taken[kind];
	int			start = event->scratch.len;
	const char *reason = tte_identifier_normalize(kind, str, len, rules, &event->scratch);

	if (reason != NULL)
	{
		if (*reason != '\0')
			tte_event_note(event, tte_identifier_names[kind], reason);
		return;
	}
	len = event->scratch.len - start;
	if (!is_known(event, taken, start, len))
	{
		if (taken->count < TTE_MAX_VALUES)
		{
			taken->start[taken->count] = start;
			taken->len[taken->count++] = len;
			return;
		}
		tte_event_note(event, tte_identifier_names[kind], "too_many");
	}
	event->scratch.len = start;
}

/*
 * Takes an identifier given as a number if it is written in plain digits:
 * without exponent, and a phone number without fraction.
 */
static void
take_number(TteEvent *event, TteIdentifier kind, const TteJson *value,
			const TteIdentityRules *rules)
{
	char		plain[80];
	int			len = tte_decimal_plain(value->text, value->len, plain, sizeof(plain));

	if (kind == TTE_PHONE && (len < 0 || *plain == '-' || memchr(plain, '.', len) != NULL))
		tte_event_note(event, "phone", "phone_type");
	else if (len < 0)
		tte_event_note(event, tte_identifier_names[kind], "type");
	else
		take_text(event, kind, plain, len, rules);
}

static void
take_scalar(TteEvent *event, TteIdentifier kind, const TteJson *value,
			const TteIdentityRules *rules)
{
	if (value->kind == TTE_JSON_STRING && value->fixed)
		tte_event_note(event, tte_identifier_names[kind], "encoding");
	else if (value->kind == TTE_JSON_STRING)
		take_text(event, kind, value->text, value->len, rules);
	else if (value->kind == TTE_JSON_NUMBER)
		take_number(event, kind, value, rules);
	else if (value->kind != TTE_JSON_NULL)
		tte_event_note(event, tte_identifier_names[kind], "type");
}

static void
take(TteEvent *event, TteIdentifier kind, const TteIdentityRules *rules)
{
	/* the first fields are the identifiers, in their order */
	const TteJson *value = event->values[kind];

	if (value == NULL)
		return;
	if (value->kind != TTE_JSON_ARRAY || kind > TTE_EXTERNAL_ID)
	{
		take_scalar(event, kind, value, rules);
		return;
	}
	for (const TteJson *e = value->first; e != NULL; e = e->next)
		take_scalar(event, kind, e, rules);
}

/* Takes the click id from the address of the page if none was given. */
static void
take_click_id_of_page(TteEvent *event, const TteIdentityRules *rules)
{
	const TteJson *url = event->values[TTE_FIELD_URL];
	StringInfoData click_id;

	if (event->taken[TTE_TTCLID].count > 0 || url == NULL ||
		url->kind != TTE_JSON_STRING || url->len > TTE_MAX_PAYLOAD)
		return;
	initStringInfo(&click_id);
	if (tte_url_parameter(url->text, url->len, "ttclid", &click_id))
		take_text(event, TTE_TTCLID, click_id.data, click_id.len, rules);
	pfree(click_id.data);
}

static void
drop_identifier(TteEvent *event, TteIdentifier kind, const char *why)
{
	if (event->taken[kind].count == 0)
		return;
	event->taken[kind].count = 0;
	tte_event_note(event, tte_identifier_names[kind], why);
}

/* The user of iOS declined tracking: no advertising ids, no e-mail and phone. */
static void
respect_denial(TteEvent *event)
{
	const TteTaken *status = &event->taken[TTE_ATT_STATUS];

	if (status->count == 0 || status->len[0] != strlen("DENIED") ||
		memcmp(event->scratch.data + status->start[0], "DENIED", status->len[0]) != 0)
		return;
	drop_identifier(event, TTE_EMAIL, "att_denied");
	drop_identifier(event, TTE_PHONE, "att_denied");
	drop_identifier(event, TTE_IDFA, "att_denied");
	drop_identifier(event, TTE_GAID, "att_denied");
}

void
tte_builder_user(TteEvent *event)
{
	TteIdentityRules rules = {
		.calling_code = event->rules.calling_code, .lower_external_id = event->rules.lower_external_id
	};
	char		country[3];

	/*
	 * Phone, state and zip_code depend on the country.  If it was given and
	 * cannot be read, the country of a national number is unknown.
	 */
	take(event, TTE_COUNTRY, &rules);
	if (event->taken[TTE_COUNTRY].count > 0)
	{
		memcpy(country, event->scratch.data, 2);
		country[2] = '\0';
		rules.country = country;
		rules.calling_code = country;
	}
	else if (event->values[TTE_COUNTRY] != NULL)
		rules.calling_code = NULL;
	for (int kind = 0; kind < TTE_IDENTIFIERS; kind++)
	{
		if (kind != TTE_COUNTRY)
			take(event, kind, &rules);
	}
	take_click_id_of_page(event, &rules);
	respect_denial(event);
	for (int kind = 0; kind < TTE_IDENTIFIERS; kind++)
	{
		if (event->taken[kind].count > 0)
			event->rendered->match_keys |= UINT32_C(1) << kind;
	}
}

/*
 * The text for tiktok.identity
 */

static void
write_value(TteEvent *event, TteIdentifier kind, int which)
{
	const char *str = event->scratch.data + event->taken[kind].start[which];
	int			len = event->taken[kind].len[which];

	if (event->rules.hash_on_enqueue && tte_identifier_hashed(kind))
	{
		appendStringInfoCharMacro(&event->user, '"');
		tte_identifier_wire(kind, str, len, &event->user);
		appendStringInfoCharMacro(&event->user, '"');
	}
	else
		tte_json_append_string(&event->user, str, len, event->ascii);
}

static void
write_identifier(TteEvent *event, TteIdentifier kind)
{
	StringInfo	user = &event->user;
	const TteTaken *taken = &event->taken[kind];

	appendStringInfoCharMacro(user, user->len == 0 ? '{' : ',');
	appendStringInfoCharMacro(user, '"');
	appendStringInfoString(user, tte_identifier_names[kind]);
	tte_append(user, "\":", 2);
	if (taken->count > 1)
		appendStringInfoCharMacro(user, '[');
	for (int i = 0; i < taken->count; i++)
	{
		if (i > 0)
			appendStringInfoCharMacro(user, ',');
		write_value(event, kind, i);
	}
	if (taken->count > 1)
		appendStringInfoCharMacro(user, ']');
}

void
tte_builder_write_user(TteEvent *event)
{
	initStringInfo(&event->user);
	for (int kind = 0; kind < TTE_IDENTIFIERS; kind++)
	{
		if (event->taken[kind].count > 0)
			write_identifier(event, kind);
	}
	if (event->user.len > 0)
		appendStringInfoCharMacro(&event->user, '}');
}
