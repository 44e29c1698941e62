/*-------------------------------------------------------------------------
 *
 * properties.c
 *	  The fields of an event outside "user": checked and written one by one,
 *	  and the money.
 *
 * A problem that would change the meaning of the event (money, currency, the
 * address of the page) makes it invalid.  A field without which the event only
 * says less is left out with a note.
 *
 *-------------------------------------------------------------------------
 */
#include "event/builder.h"

#include "event/ascii.h"
#include "event/unicode.h"
#include "event/url.h"

static const char *const content_types[] = {"product", "product_group", NULL};
static const char *const customer_types[] = {"new", "returning", NULL};
static const char *const delivery_categories[] = {
	"in_store", "curbside", "home_delivery", NULL
};

static const char *const *const enum_lists[] = {
	content_types,				/* TTE_ENUM_CONTENT_TYPE */
	customer_types,				/* TTE_ENUM_CUSTOMER_TYPE */
	delivery_categories			/* TTE_ENUM_DELIVERY_CATEGORY */
};

static const char currency_hint[] =
"Give a code of three letters, as EUR, GBP, JPY or USD: a column that has it or, if it is always the same, a literal.";

static const char amount_hint[] =
"Amounts are plain numbers of 0 or more, below 1e15, such as 49.90, without symbol or separator.";

static const char ambiguous_hint[] =
"Give a number, not text, or write two decimals, as 1299.00: 1.299 may be a fraction or a thousand.";

/*
 * Single fields
 */

void
tte_builder_number(TteEvent *event, const char *name, const TteDecimal *number)
{
	tte_builder_key(event, name);
	if (number->negative)
		appendStringInfoCharMacro(&event->payload, '-');
	appendStringInfoString(&event->payload, number->digits);
}

/*
 * In text such as "1.299" the point may separate thousands.  A number cannot
 * be meant so, nor can an amount in a currency with three decimals.
 */
bool
tte_builder_ambiguous(const TteEvent *event, const TteJson *value)
{
	const char *currency = event->rendered->currency;
	const char *str = value->text;
	int			len = value->len;
	int			whole;

	if (value->kind != TTE_JSON_STRING)
		return false;
	tte_unicode_trim(&str, &len);
	whole = len - 4;
	if (whole < 1 || whole > 3 || str[whole] != '.' || str[0] == '0')
		return false;
	for (int i = 0; i < len; i++)
	{
		if (i != whole && !tte_ascii_digit(str[i]))
			return false;
	}
	return currency == NULL || tte_currency_exponent(currency) != 3;
}

TteDecimalState
tte_builder_amount(const TteEvent *event, const TteJson *value, TteDecimal *amount)
{
	TteDecimalState state = tte_builder_decimal(value, amount);
	int			digits = event->amounts;

	if (digits == TTE_AMOUNTS_MINOR)
		digits = event->rendered->currency ? tte_currency_exponent(event->rendered->currency) : 0;
	return state == TTE_DECIMAL_OK ? tte_decimal_shift(amount, digits) : state;
}

static bool
field_text(TteEvent *event, int field)
{
	const TteField *f = &tte_fields[field];
	const TteJson *value = event->values[field];
	char		buffer[80];
	const char *str;
	int			len;

	if (!tte_builder_text(value, buffer, &str, &len))
	{
		tte_builder_field_note(event, field, "type");
		return false;
	}
	if (f->type == TTE_TYPE_STRING && f->detail == TTE_STRING_PRIVATE &&
		tte_text_has_email(str, len))
	{
		tte_builder_field_note(event, field, "pii");
		return false;
	}
	if (f->section == TTE_SECTION_AD && tte_is_macro(str, len))
	{
		tte_builder_field_note(event, field, "macro");
		return false;
	}
	tte_builder_key(event, f->name);
	return tte_builder_string(event, field, str, len, value->fixed);
}

static bool
field_number(TteEvent *event, int field)
{
	const TteField *f = &tte_fields[field];
	TteDecimal	number;

	if (tte_builder_decimal(event->values[field], &number) != TTE_DECIMAL_OK)
	{
		tte_builder_field_note(event, field, "type");
		return false;
	}
	if (field == TTE_FIELD_PREDICTED_LTV && tte_builder_ambiguous(event, event->values[field]))
	{
		tte_builder_field_note(event, field, "ambiguous");
		return false;
	}
	if (number.negative ||
		(f->detail > 0 && tte_decimal_integer(&number, f->detail) < 0 &&
		 !(number.whole == 1 && number.digits[0] == '0')))
	{
		tte_builder_field_note(event, field, "range");
		return false;
	}
	tte_builder_number(event, f->name, &number);
	return true;
}

static bool
field_boolean(TteEvent *event, int field)
{
	const TteJson *value = event->values[field];
	bool		yes = value->boolean;

	if (value->kind == TTE_JSON_STRING && value->len == 4 &&
		pg_strncasecmp(value->text, "true", 4) == 0)
		yes = true;
	else if (value->kind == TTE_JSON_STRING && value->len == 5 &&
			 pg_strncasecmp(value->text, "false", 5) == 0)
		yes = false;
	else if (value->kind != TTE_JSON_BOOL)
	{
		tte_builder_field_note(event, field, "type");
		return false;
	}
	tte_builder_key(event, tte_fields[field].name);
	appendStringInfoString(&event->payload, yes ? "true" : "false");
	return true;
}

static bool
field_enum(TteEvent *event, int field)
{
	const char *const *known = enum_lists[tte_fields[field].detail];
	char		buffer[80];
	const char *str;
	int			len;

	if (!tte_builder_text(event->values[field], buffer, &str, &len))
		len = 0;
	for (; len > 0 && *known != NULL; known++)
	{
		if (strlen(*known) == len && pg_strncasecmp(*known, str, len) == 0)
		{
			tte_builder_key(event, tte_fields[field].name);
			return tte_builder_string(event, field, *known, len, false);
		}
	}
	tte_builder_field_note(event, field, "unknown_value");
	return false;
}

static bool
field_url(TteEvent *event, int field)
{
	const TteJson *value = event->values[field];
	bool		page = (field == TTE_FIELD_URL);
	int			start = event->scratch.len;
	bool		fits;
	const char *str = value->text;
	int			len = value->len;
	StringInfoData encoded;

	if (value->kind == TTE_JSON_STRING)
		tte_unicode_trim(&str, &len);
	if (value->kind != TTE_JSON_STRING || !tte_url_full(str, len))
	{
		if (page)
			tte_builder_reject(event, TTE_PROBLEM_VALUE, "page_url",
							   "Give the full address, as https://shop.example.com/thanks?order=7.",
							   "\"page.url\" is not a full address.");
		else
			tte_builder_field_note(event, field, "url_syntax");
		return false;
	}
	if (len <= TTE_MAX_PAYLOAD && memchr(str, ' ', len) != NULL)
	{
		initStringInfo(&encoded);
		tte_url_encode_blanks(str, len, &encoded);
		str = encoded.data;
		len = encoded.len;
	}
	if (len <= TTE_MAX_PAYLOAD && tte_url_scrub(str, len, &event->scratch))
	{
		tte_builder_field_note(event, field, "pii");
		str = event->scratch.data + start;
		len = event->scratch.len - start;
	}
	tte_builder_key(event, tte_fields[field].name);
	fits = tte_builder_string(event, field, str, len, value->fixed);
	event->scratch.len = start;
	return fits;
}

bool
tte_builder_field(TteEvent *event, int field)
{
	switch (tte_fields[field].type)
	{
		case TTE_TYPE_STRING:
		case TTE_TYPE_ID:
			return field_text(event, field);
		case TTE_TYPE_NUMBER:
			return field_number(event, field);
		case TTE_TYPE_BOOLEAN:
			return field_boolean(event, field);
		case TTE_TYPE_ENUM:
			return field_enum(event, field);
		case TTE_TYPE_URL:
			return field_url(event, field);
		default:
			return false;
	}
}

/*
 * Money
 */

static void
reject_currency(TteEvent *event, const char *code, int len)
{
	char		shown[8];
	bool		tame = (len > 0 && len < sizeof(shown));

	for (int i = 0; tame && i < len; i++)
		tame = tte_ascii_alnum(code[i]);
	if (tame)
	{
		memcpy(shown, code, len);
		shown[len] = '\0';
		tte_builder_reject(event, TTE_PROBLEM_VALUE, "currency", currency_hint,
						   "\"%s\" is not a currency that TikTok knows.", shown);
	}
	else
		tte_builder_reject(event, TTE_PROBLEM_VALUE, "currency", currency_hint,
						   "\"properties.currency\" is not a currency that TikTok knows.");
}

/* Applies the policy of the source for a currency that TikTok does not take. */
static void
take_other_currency(TteEvent *event, const char *code)
{
	switch (event->rules.currency_policy)
	{
		case TTE_CURRENCY_SEND:
			event->rendered->currency = pstrdup(code);
			break;
		case TTE_CURRENCY_REFUSE:
			reject_currency(event, code, strlen(code));
			break;
		default:
			event->without_value = true;
			tte_builder_field_note(event, TTE_FIELD_CURRENCY, "currency_unknown");
			break;
	}
}

static void
take_currency(TteEvent *event, const TteJson *value)
{
	char		code[4];
	char		buffer[80];
	const char *str;
	int			len;

	if (value == NULL)
		return;
	if (!tte_builder_text(value, buffer, &str, &len))
		len = 0;
	for (int i = 0; i < 3 && i < len; i++)
		code[i] = pg_ascii_toupper((unsigned char) str[i]);
	code[3] = '\0';
	if (len != 3 || value->kind != TTE_JSON_STRING)
		reject_currency(event, len > 0 ? str : "", len);
	else if (tte_currency_known(event->rules.source, code))
		event->rendered->currency = pstrdup(code);
	else if (tte_currency_exponent(code) >= 0)
		take_other_currency(event, code);
	else
		reject_currency(event, str, len);
}

static void
reject_amount(TteEvent *event, TteDecimalState state, bool negative)
{
	if (state == TTE_DECIMAL_NOT_FINITE)
		tte_builder_reject(event, TTE_PROBLEM_VALUE, "value_not_finite", amount_hint,
						   "\"properties.value\" is not a finite number.");
	else if (state == TTE_DECIMAL_RANGE)
		tte_builder_reject(event, TTE_PROBLEM_RANGE, "value_range", amount_hint,
						   "\"properties.value\" is out of range.");
	else if (state == TTE_DECIMAL_OK && negative)
		tte_builder_reject(event, TTE_PROBLEM_RANGE, "value_negative",
						   "TikTok has no event for money given back; do not send one.",
						   "\"properties.value\" is negative.");
	else
		tte_builder_reject(event, TTE_PROBLEM_VALUE, "value_syntax", amount_hint,
						   "\"properties.value\" is not a number.");
}

static void
write_value(TteEvent *event, const TteJson *given, const TteBasket *basket)
{
	TteDecimal	value = {false};
	TteDecimalState state;

	if (event->without_value)
		return;
	if (given == NULL && (event->rendered->currency == NULL || !basket->priced || basket->valued == 0))
	{
		if (event->rendered->currency != NULL && basket->left_out)
			tte_builder_field_note(event, TTE_FIELD_VALUE, "contents_incomplete");
		return;
	}
	if (given != NULL)
		state = tte_builder_amount(event, given, &value);
	else
		state = tte_sum_result(&basket->sum, &value);
	if (given != NULL && tte_builder_ambiguous(event, given))
	{
		tte_builder_reject(event, TTE_PROBLEM_VALUE, "value_ambiguous", ambiguous_hint,
						   "\"properties.value\" is text with three digits behind a point.");
		return;
	}
	if (state != TTE_DECIMAL_OK || value.negative)
	{
		reject_amount(event, state, value.negative);
		return;
	}
	event->rendered->value = pstrdup(value.digits);
	if (event->rendered->currency == NULL)
		tte_builder_reject(event, TTE_PROBLEM_MISSING, "currency_missing", currency_hint,
						   "\"properties.value\" is given without \"properties.currency\".");
	tte_builder_number(event, "value", &value);
}

static void
write_num_items(TteEvent *event, const TteJson *given, const TteBasket *basket)
{
	TteDecimal	number;
	int64		count = -1;

	if (given != NULL)
	{
		if (tte_builder_decimal(given, &number) == TTE_DECIMAL_OK)
			count = tte_decimal_integer(&number, TTE_MAX_QUANTITY);
		if (count < 0)
			tte_builder_field_note(event, TTE_FIELD_NUM_ITEMS, "type");
	}
	if (count < 0 && basket->items > 0 && basket->counted)
		count = basket->quantity;
	if (count < 0)
		return;
	tte_builder_key(event, "num_items");
	tte_append_integer(&event->payload, count);
}

/* Reads the value of an event that cannot be sent, as far as possible. */
void
tte_builder_worth(TteEvent *event)
{
	const TteJson *value = event->values[TTE_FIELD_VALUE];
	TteDecimal	worth = {false};

	/* the event is rejected already, so this cannot reject it again */
	if (event->rendered->currency == NULL)
		take_currency(event, event->values[TTE_FIELD_CURRENCY]);
	if (event->rendered->value == NULL && value != NULL && !event->without_value &&
		!tte_builder_ambiguous(event, value) && (event->amounts != TTE_AMOUNTS_MINOR || event->rendered->currency != NULL) &&
		tte_builder_amount(event, value, &worth) == TTE_DECIMAL_OK && !worth.negative)
		event->rendered->value = pstrdup(worth.digits);
}

/* Minor units need a currency. */
static void
require_currency(TteEvent *event)
{
	if (event->amounts == TTE_AMOUNTS_MINOR && event->rendered->currency == NULL && !event->without_value &&
		(event->values[TTE_FIELD_VALUE] != NULL || tte_builder_has_price(event->values[TTE_FIELD_CONTENTS])))
		tte_builder_reject(event, TTE_PROBLEM_MISSING, "currency", currency_hint,
						   "Amounts are in minor units, and there is no currency to say of what.");
}

/*
 * Writes the members of "properties" that depend on one another, and checks
 * them in the order of the calls.
 */
void
tte_builder_properties(TteEvent *event)
{
	TteBasket	basket = {.priced = true, .counted = true};
	const TteJson *const *values = event->values;
	const TteJson *contents = values[TTE_FIELD_CONTENTS];
	bool		any_id;

	take_currency(event, values[TTE_FIELD_CURRENCY]);
	require_currency(event);
	if (contents != NULL && !event->rejected)
		tte_builder_contents(event, contents, &basket);
	if (event->rejected)
		return;
	any_id = tte_builder_content_ids(event, values[TTE_FIELD_CONTENT_IDS], contents, &basket);
	if (values[TTE_FIELD_CONTENT_TYPE] == NULL ||
		!tte_builder_field(event, TTE_FIELD_CONTENT_TYPE))
	{
		if (any_id || basket.items > 0)
		{
			tte_builder_key(event, "content_type");
			appendStringInfoString(&event->payload, "\"product\"");
		}
	}
	write_num_items(event, values[TTE_FIELD_NUM_ITEMS], &basket);
	write_value(event, values[TTE_FIELD_VALUE], &basket);
	if (event->rendered->currency != NULL)
	{
		tte_builder_key(event, "currency");
		tte_json_append_string(&event->payload, event->rendered->currency, 3, false);
	}
}
