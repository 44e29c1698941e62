/*-------------------------------------------------------------------------
 *
 * properties.c
 *	  The fields of an event outside "user": checked and written one by one,
 *	  and the basket with what follows from it.
 *
 * Two kinds of trouble are told apart.  What would change the meaning of the
 * event (money, currency, the page's address) makes it invalid; what only says
 * less, as a line of the basket, is left out with a note.
 *
 *-------------------------------------------------------------------------
 */
#include "event/builder.h"

#include "event/unicode.h"
#include "event/url.h"

/* Largest number of pieces of one line, or of one event when given. */
#define MAX_QUANTITY	INT64CONST(999999999)

/* What the lines of an event add up to. */
typedef struct Basket
{
	int			items;			/* lines that are sent: each has a content_id */
	int			valued;			/* lines whose amount is in sum */
	bool		priced;			/* the amount of every line is known */
	bool		left_out;		/* it is not, because of what a line has */
	bool		counted;		/* every line that is sent has a quantity */
	int64		quantity;
	TteSum		sum;
	uint64		sent[(TTE_MAX_CONTENTS + 63) / 64]; /* positions of the lines
													 * that are sent, a bit
													 * each */
} Basket;

typedef enum Quantity
{
	QUANTITY_ABSENT,
	QUANTITY_WHOLE,
	QUANTITY_FRACTION,
	QUANTITY_ZERO,
	QUANTITY_BROKEN
} Quantity;

typedef struct Item
{
	bool		has_id;
	bool		priced;
	Quantity	quantity;
	int64		pieces;			/* WHOLE */
	TteDecimal	price;
	const char *problem;		/* why it is left out, or NULL */
} Item;

static const TteWord item_fields[] = {
	TTE_WORD("price"), TTE_WORD("content_id"), TTE_WORD("content_category"),
	TTE_WORD("content_name"), TTE_WORD("brand"), TTE_WORD("quantity")
};

typedef enum ItemField
{
	ITEM_PRICE,
	ITEM_ID,
	ITEM_CATEGORY,
	ITEM_NAME,
	ITEM_BRAND,
	ITEM_QUANTITY
} ItemField;

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
"TikTok takes three-letter codes of its own list, such as EUR, GBP, JPY or USD.";

static const char amount_hint[] =
"Amounts are plain numbers of 0 or more, below 1e15, such as 49.90, without symbol or separator.";

static const char ambiguous_hint[] =
"Give a number, not text, or write two decimals, as 1299.00: 1.299 may be a fraction or a thousand.";

static bool
is_alnum(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/*
 * Single fields
 */

static void
write_number(TteEvent *event, const char *name, const TteDecimal *number)
{
	tte_builder_key(event, name);
	if (number->negative)
		appendStringInfoCharMacro(&event->payload, '-');
	appendStringInfoString(&event->payload, number->digits);
}

/*
 * Text such as 1.299: with a point for thousands it is a thousand times more.
 * What comes from a number is none of that kind, and three decimals are what
 * an amount has in a currency of thousandths.
 */
static bool
is_ambiguous(const TteEvent *event, const TteJson *value)
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
		if (i != whole && !(str[i] >= '0' && str[i] <= '9'))
			return false;
	}
	return currency == NULL || tte_currency_exponent(currency) != 3;
}

/* An amount in units of the currency. */
static TteDecimalState
read_amount(const TteEvent *event, const TteJson *value, TteDecimal *amount)
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
	char		room[80];
	const char *str;
	int			len;

	if (!tte_builder_text(value, room, &str, &len))
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
	if (field == TTE_FIELD_PREDICTED_LTV && is_ambiguous(event, event->values[field]))
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
	write_number(event, f->name, &number);
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
	char		room[80];
	const char *str;
	int			len;

	if (!tte_builder_text(event->values[field], room, &str, &len))
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
 * Lines of the basket
 */

static void
leave_out(Item *item, const char *problem)
{
	if (item->problem == NULL)
		item->problem = problem;
}

static void
item_price(TteEvent *event, Item *item, const TteJson *value)
{
	if (read_amount(event, value, &item->price) != TTE_DECIMAL_OK ||
		item->price.negative || is_ambiguous(event, value))
	{
		leave_out(item, "item_price");
		return;
	}
	item->priced = true;
	if (!event->without_value)
		write_number(event, item_fields[ITEM_PRICE].text, &item->price);
}

/* Says what kind of quantity it is; without the fraction that 2.00 has. */
static Quantity
read_quantity(const TteJson *value, TteDecimal *number, int64 *pieces)
{
	if (tte_builder_decimal(value, number) != TTE_DECIMAL_OK || number->negative)
		return QUANTITY_BROKEN;
	if (!number->integral)
		return QUANTITY_FRACTION;
	*pieces = tte_decimal_integer(number, MAX_QUANTITY);
	if (*pieces <= 0)
		return *pieces == 0 ? QUANTITY_ZERO : QUANTITY_BROKEN;
	number->digits[number->whole] = '\0';
	return QUANTITY_WHOLE;
}

/* Of cloth by the metre TikTok takes no quantity, but the item. */
static void
item_quantity(TteEvent *event, Item *item, const TteJson *value)
{
	TteDecimal	number;

	item->quantity = read_quantity(value, &number, &item->pieces);
	if (item->quantity == QUANTITY_WHOLE)
		write_number(event, item_fields[ITEM_QUANTITY].text, &number);
	else if (item->quantity == QUANTITY_FRACTION)
		tte_builder_field_note(event, TTE_FIELD_CONTENTS, "quantity_fraction");
	else
		leave_out(item, "item_quantity");
}

static void
item_text(TteEvent *event, Item *item, ItemField field, const TteJson *value)
{
	char		room[80];
	const char *str;
	int			len;

	if (tte_builder_text(value, room, &str, &len))
	{
		tte_builder_write_key(event, item_fields[field].text, item_fields[field].len);
		tte_builder_string(event, TTE_FIELD_CONTENTS, str, len, value->fixed);
		item->has_id |= field == ITEM_ID;
	}
	else if (field != ITEM_ID)
		tte_builder_field_note(event, TTE_FIELD_CONTENTS, "type");
}

static int
find_item_field(const TteJson *member)
{
	for (int i = 0; i < lengthof(item_fields); i++)
	{
		if (member->keylen == item_fields[i].len &&
			memcmp(member->key, item_fields[i].text, member->keylen) == 0)
			return i;
	}
	return -1;
}

/* The key itself may be anything, so only its tame part is shown. */
static void
note_unknown_key(TteEvent *event, const TteJson *member)
{
	char		what[64] = "properties.contents.";
	int			n = strlen(what);

	for (int i = 0; i < member->keylen && n < 60; i++)
	{
		char		c = member->key[i];

		what[n++] = (is_alnum(c) || c == '_') ? c : '?';
	}
	what[n] = '\0';
	tte_event_note(event, what, "unknown_key");
}

static void
item_member(TteEvent *event, Item *item, const TteJson *member)
{
	int			field = find_item_field(member);

	switch (field)
	{
		case -1:
			note_unknown_key(event, member);
			break;
		case ITEM_PRICE:
			item_price(event, item, member);
			break;
		case ITEM_QUANTITY:
			item_quantity(event, item, member);
			break;
		default:
			item_text(event, item, field, member);
			break;
	}
}

/* Writes an item, unless it has a problem. */
static void
write_item(TteEvent *event, Item *item, const TteJson *value)
{
	StringInfo	out = &event->payload;
	int			start = out->len;

	if (value->kind != TTE_JSON_OBJECT)
	{
		leave_out(item, "item_type");
		return;
	}
	if (out->data[start - 1] != '[')
		appendStringInfoCharMacro(out, ',');
	appendStringInfoCharMacro(out, '{');
	for (const TteJson *m = value->first; m != NULL && !event->rejected; m = m->next)
	{
		if (!tte_json_absent(m))
			item_member(event, item, m);
	}
	if (!item->has_id)
		leave_out(item, "item_id");
	if (item->problem != NULL)
		out->len = start;
	else
		appendStringInfoCharMacro(out, '}');
}

/*
 * What a line is worth is known also where it cannot be sent, as postage
 * without a content_id, or costs nothing.
 */
static void
add_item(Basket *basket, const Item *item, int position)
{
	bool		known = item->priced &&
	(item->quantity == QUANTITY_WHOLE || item->quantity == QUANTITY_ABSENT);

	if (known)
	{
		tte_sum_add(&basket->sum, &item->price, item->quantity == QUANTITY_WHOLE ? item->pieces : 1);
		basket->valued++;
	}
	else if (item->quantity != QUANTITY_ZERO)
	{
		basket->priced = false;
		basket->left_out |= (item->problem != NULL || item->quantity == QUANTITY_FRACTION);
	}
	if (item->problem != NULL)
		return;
	basket->sent[position / 64] |= UINT64CONST(1) << (position % 64);
	basket->items++;
	basket->counted = basket->counted && item->quantity == QUANTITY_WHOLE;
	basket->quantity += item->pieces;
}

/* Lines that cannot be sent are left out; the payload is unfinished when the event is invalid. */
static void
write_contents(TteEvent *event, const TteJson *contents, Basket *basket)
{
	int			position = 0;
	int			start;

	if (contents->kind != TTE_JSON_ARRAY)
	{
		tte_builder_reject(event, TTE_PROBLEM_VALUE, "contents_type",
						   "Give an array of objects.",
						   "\"properties.contents\" is not an array.");
		return;
	}
	if (contents->count > TTE_MAX_CONTENTS)
	{
		tte_builder_reject(event, TTE_PROBLEM_SIZE, "too_many_items", NULL,
						   "\"properties.contents\" has %d items, more than %d.",
						   contents->count, TTE_MAX_CONTENTS);
		return;
	}
	start = event->payload.len;
	tte_builder_key(event, "contents");
	appendStringInfoCharMacro(&event->payload, '[');
	for (const TteJson *e = contents->first; e != NULL && !event->rejected; e = e->next, position++)
	{
		Item		item = {.quantity = QUANTITY_ABSENT};

		/* what an outer join finds nothing for */
		if (e->kind == TTE_JSON_NULL)
			continue;
		write_item(event, &item, e);
		add_item(basket, &item, position);
		if (item.problem != NULL)
			tte_builder_field_note(event, TTE_FIELD_CONTENTS, item.problem);
	}
	if (basket->items == 0)
		event->payload.len = start;
	else
		appendStringInfoCharMacro(&event->payload, ']');
}

/*
 * Ids
 */

static void
write_content_id(TteEvent *event, const TteJson *value)
{
	char		room[80];
	const char *str;
	int			len;

	if (tte_json_absent(value))
		return;
	if (!tte_builder_text(value, room, &str, &len))
	{
		tte_builder_field_note(event, TTE_FIELD_CONTENT_IDS, "type");
		return;
	}
	if (event->payload.data[event->payload.len - 1] != '[')
		appendStringInfoCharMacro(&event->payload, ',');
	tte_builder_string(event, TTE_FIELD_CONTENT_IDS, str, len, value->fixed);
}

/* Those given, or those of the lines.  Returns true if there are any. */
static bool
write_content_ids(TteEvent *event, const TteJson *given, const TteJson *contents,
				  const Basket *basket)
{
	StringInfo	out = &event->payload;
	int			start = out->len;
	int			empty;

	if (given == NULL && basket->items == 0)
		return false;
	if (given != NULL && given->kind == TTE_JSON_ARRAY && given->count > TTE_MAX_CONTENTS)
	{
		tte_builder_reject(event, TTE_PROBLEM_SIZE, "too_many_items", NULL,
						   "\"properties.content_ids\" has %d items, more than %d.",
						   given->count, TTE_MAX_CONTENTS);
		return false;
	}
	tte_builder_key(event, "content_ids");
	appendStringInfoCharMacro(out, '[');
	empty = out->len;
	if (given != NULL && given->kind == TTE_JSON_ARRAY)
	{
		for (const TteJson *e = given->first; e != NULL; e = e->next)
			write_content_id(event, e);
	}
	else if (given != NULL)
		write_content_id(event, given);
	else
	{
		int			position = 0;

		for (const TteJson *e = contents->first; e != NULL; e = e->next)
		{
			if ((basket->sent[position / 64] >> (position % 64) & 1) != 0)
				write_content_id(event, tte_json_get(e, "content_id"));
			position++;
		}
	}
	/* cppcheck-suppress knownConditionTrueFalse ; the writers append to it */
	if (out->len == empty)
	{
		out->len = start;
		return false;
	}
	appendStringInfoCharMacro(out, ']');
	return true;
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
		tame = is_alnum(code[i]);
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

/* A currency of ISO 4217 that TikTok does not take: the source says what then. */
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
	char		room[80];
	const char *str;
	int			len;

	if (value == NULL)
		return;
	if (!tte_builder_text(value, room, &str, &len))
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
write_value(TteEvent *event, const TteJson *given, const Basket *basket)
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
		state = read_amount(event, given, &value);
	else
		state = tte_sum_result(&basket->sum, &value);
	if (given != NULL && is_ambiguous(event, given))
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
	write_number(event, "value", &value);
}

static void
write_num_items(TteEvent *event, const TteJson *given, const Basket *basket)
{
	TteDecimal	number;
	int64		count = -1;

	if (given != NULL)
	{
		if (tte_builder_decimal(given, &number) == TTE_DECIMAL_OK)
			count = tte_decimal_integer(&number, MAX_QUANTITY);
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

/* What an event that cannot be sent is worth, as far as that can be read. */
void
tte_builder_worth(TteEvent *event)
{
	const TteJson *value = event->values[TTE_FIELD_VALUE];
	TteDecimal	worth = {false};

	/* it is rejected already, so this rejects nothing any more */
	if (event->rendered->currency == NULL)
		take_currency(event, event->values[TTE_FIELD_CURRENCY]);
	if (event->rendered->value == NULL && value != NULL && !event->without_value &&
		!is_ambiguous(event, value) && (event->amounts != TTE_AMOUNTS_MINOR || event->rendered->currency != NULL) &&
		read_amount(event, value, &worth) == TTE_DECIMAL_OK && !worth.negative)
		event->rendered->value = pstrdup(worth.digits);
}

static bool
has_price(const TteJson *contents)
{
	if (contents == NULL || contents->kind != TTE_JSON_ARRAY)
		return false;
	for (const TteJson *item = contents->first; item != NULL; item = item->next)
	{
		if (tte_json_get(item, item_fields[ITEM_PRICE].text) != NULL)
			return true;
	}
	return false;
}

/* Minor units of an unknown currency may be anything. */
static void
require_currency(TteEvent *event)
{
	if (event->amounts == TTE_AMOUNTS_MINOR && event->rendered->currency == NULL && !event->without_value &&
		(event->values[TTE_FIELD_VALUE] != NULL || has_price(event->values[TTE_FIELD_CONTENTS])))
		tte_builder_reject(event, TTE_PROBLEM_MISSING, "currency", currency_hint,
						   "Amounts are in minor units, and there is no currency to say of what.");
}

/*
 * The members of "properties" that depend on one another.  The order of the
 * checks is that of the calls.
 */
void
tte_builder_properties(TteEvent *event)
{
	Basket		basket = {.priced = true, .counted = true};
	const TteJson *const *values = event->values;
	const TteJson *contents = values[TTE_FIELD_CONTENTS];
	bool		any_id;

	take_currency(event, values[TTE_FIELD_CURRENCY]);
	require_currency(event);
	if (contents != NULL && !event->rejected)
		write_contents(event, contents, &basket);
	if (event->rejected)
		return;
	any_id = write_content_ids(event, values[TTE_FIELD_CONTENT_IDS], contents, &basket);
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
