/*-------------------------------------------------------------------------
 *
 * contents.c
 *	  The lines of the basket, the ids in them, and what they add up to.
 *
 * A line that cannot be sent is left out with a note, because the order was
 * paid nevertheless.  Its amount is still added to the sum if it is known.
 *
 *-------------------------------------------------------------------------
 */
#include "event/ascii.h"
#include "event/builder.h"

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

/*
 * Lines
 */

static void
leave_out_member(Item *item, const char *problem)
{
	if (item->problem == NULL)
		item->problem = problem;
}

static void
item_price(TteEvent *event, Item *item, const TteJson *value)
{
	if (tte_builder_amount(event, value, &item->price) != TTE_DECIMAL_OK ||
		item->price.negative || tte_builder_ambiguous(event, value))
	{
		leave_out_member(item, "item_price");
		return;
	}
	item->priced = true;
	if (!event->without_value)
		tte_builder_number(event, item_fields[ITEM_PRICE].text, &item->price);
}

/* Returns the kind of quantity; *number is it without the fraction of "2.00". */
static Quantity
read_quantity(const TteJson *value, TteDecimal *number, int64 *pieces)
{
	if (tte_builder_decimal(value, number) != TTE_DECIMAL_OK || number->negative)
		return QUANTITY_BROKEN;
	if (!number->integral)
		return QUANTITY_FRACTION;
	*pieces = tte_decimal_integer(number, TTE_MAX_QUANTITY);
	if (*pieces <= 0)
		return *pieces == 0 ? QUANTITY_ZERO : QUANTITY_BROKEN;
	number->digits[number->whole] = '\0';
	return QUANTITY_WHOLE;
}

/* TikTok takes no fractional quantity, as of cloth by the metre: the item is sent without it. */
static void
item_quantity(TteEvent *event, Item *item, const TteJson *value)
{
	TteDecimal	number;

	item->quantity = read_quantity(value, &number, &item->pieces);
	if (item->quantity == QUANTITY_WHOLE)
		tte_builder_number(event, item_fields[ITEM_QUANTITY].text, &number);
	else if (item->quantity == QUANTITY_FRACTION)
		tte_builder_field_note(event, TTE_FIELD_CONTENTS, "quantity_fraction");
	else
		leave_out_member(item, "item_quantity");
}

static void
item_text(TteEvent *event, Item *item, ItemField field, const TteJson *value)
{
	char		buffer[80];
	const char *str;
	int			len;

	if (tte_builder_text(value, buffer, &str, &len))
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

/* The key may contain anything, so only letters, digits and underscores of it are shown. */
static void
note_unknown_key(TteEvent *event, const TteJson *member)
{
	char		what[64] = "properties.contents.";
	int			n = strlen(what);

	for (int i = 0; i < member->keylen && n < 60; i++)
	{
		char		c = member->key[i];

		what[n++] = (tte_ascii_alnum(c) || c == '_') ? c : '?';
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
		leave_out_member(item, "item_type");
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
		leave_out_member(item, "item_id");
	if (item->problem != NULL)
		out->len = start;
	else
		appendStringInfoCharMacro(out, '}');
}

/* The amount of a line counts even if the line cannot be sent, such as postage without a content_id. */
static void
add_item(TteBasket *basket, const Item *item, int position)
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

void
tte_builder_contents(TteEvent *event, const TteJson *contents, TteBasket *basket)
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

		/* the result of an outer join without a match */
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

bool
tte_builder_has_price(const TteJson *contents)
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

/*
 * Ids
 */

static void
write_content_id(TteEvent *event, const TteJson *value)
{
	char		buffer[80];
	const char *str;
	int			len;

	if (tte_json_absent(value))
		return;
	if (!tte_builder_text(value, buffer, &str, &len))
	{
		tte_builder_field_note(event, TTE_FIELD_CONTENT_IDS, "type");
		return;
	}
	if (event->payload.data[event->payload.len - 1] != '[')
		appendStringInfoCharMacro(&event->payload, ',');
	tte_builder_string(event, TTE_FIELD_CONTENT_IDS, str, len, value->fixed);
}

bool
tte_builder_content_ids(TteEvent *event, const TteJson *given, const TteJson *contents,
						const TteBasket *basket)
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
