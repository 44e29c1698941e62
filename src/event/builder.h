/*-------------------------------------------------------------------------
 *
 * builder.h
 *	  What the files that build an event share; nobody else includes it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TTE_BUILDER_H
#define TTE_BUILDER_H

#include "event/decimal.h"
#include "event/event.h"

#define TTE_MAX_VALUES	5		/* of one identifier */

/* Normalised values of one identifier, in the builder's scratch text. */
typedef struct TteTaken
{
	int			count;
	int			start[TTE_MAX_VALUES];
	int			len[TTE_MAX_VALUES];
} TteTaken;

struct TteEvent
{
	TteSourceRules rules;
	bool		ascii;

	/* what the caller gave */
	const char *name;
	int			name_len;
	const char *id;
	int			id_len;
	bool		has_time;
	bool		finite;
	int64		usec;
	TteTriState consent;
	TteTriState limited_data_use;
	const TteJson *values[TTE_FIELD_COUNT];
	int			sections;		/* sections that have a value, a bit each */

	/* the result */
	TteRendered *rendered;
	uint64		written;		/* fields that are in the payload, a bit each */
	bool		rejected;		/* the first problem is in rendered */
	int			amounts;		/* TTE_AMOUNTS_MINOR, or digits behind the
								 * point */
	bool		without_value;	/* amounts are in a currency that TikTok does
								 * not take */
	StringInfoData payload;
	StringInfoData user;
	StringInfoData scratch;		/* normalised identifiers */
	StringInfoData notes;		/* data is NULL until there is one */
	TteTaken	taken[TTE_IDENTIFIERS];
};

/* event.c */

/* Adds the note "section.name: why". */
extern void tte_builder_field_note(TteEvent *event, int field, const char *why);

/* Marks the event invalid; only the first problem is kept. */
extern void tte_builder_reject(TteEvent *event, TteProblem problem, const char *reason,
							   const char *hint, const char *detail,...)
			pg_attribute_printf(5, 6);

/* Is the value null, blank or empty? */
extern bool tte_json_absent(const TteJson *value);

/* A string without blanks around it, or a number as text in buffer. */
extern bool tte_builder_text(const TteJson *value, char buffer[80], const char **str, int *len);

/* Reads an amount given as a number or as text. */
extern TteDecimalState tte_builder_decimal(const TteJson *value, TteDecimal *decimal);

/* Writes `"name":`, after a comma if needed. */
extern void tte_builder_write_key(TteEvent *event, const char *name, int len);

/* The compiler knows the length of a constant name. */
static inline void
tte_builder_key(TteEvent *event, const char *name)
{
	tte_builder_write_key(event, name, strlen(name));
}

/*
 * Writes a string of a field.  Returns false, and marks the event too large, if
 * it does not fit. fixed: invalid characters had been replaced or removed
 * before.
 */
extern bool tte_builder_string(TteEvent *event, int field, const char *str, int len, bool fixed);

/* user.c */
extern void tte_builder_user(TteEvent *event);
extern void tte_builder_write_user(TteEvent *event);

/* properties.c */
extern void tte_builder_properties(TteEvent *event);
extern bool tte_builder_field(TteEvent *event, int field);
extern void tte_builder_worth(TteEvent *event);

/* Writes a member that is a number. */
extern void tte_builder_number(TteEvent *event, const char *name, const TteDecimal *number);

/* Is it text such as "1.299", which may mean a fraction or a thousand? */
extern bool tte_builder_ambiguous(const TteEvent *event, const TteJson *value);

/* An amount in units of the currency. */
extern TteDecimalState tte_builder_amount(const TteEvent *event, const TteJson *value, TteDecimal *amount);

/* contents.c */

/* Largest number of pieces of one line, or of one event when given. */
#define TTE_MAX_QUANTITY	INT64CONST(999999999)

/* The sum of the lines of an event. */
typedef struct TteBasket
{
	int			items;			/* lines that are sent: each has a content_id */
	int			valued;			/* lines whose amount is in sum */
	bool		priced;			/* the amount of every line is known */
	bool		left_out;		/* it is not, because of a bad value in a line */
	bool		counted;		/* every line that is sent has a quantity */
	int64		quantity;
	TteSum		sum;
	uint64		sent[(TTE_MAX_CONTENTS + 63) / 64]; /* positions of the lines
													 * that are sent, a bit
													 * each */
} TteBasket;

/* Lines that cannot be sent are left out.  If the event becomes invalid, its payload is incomplete. */
extern void tte_builder_contents(TteEvent *event, const TteJson *contents, TteBasket *basket);

/* Writes the content_ids that were given, or those of the lines.  Returns true if there are any. */
extern bool tte_builder_content_ids(TteEvent *event, const TteJson *given, const TteJson *contents,
									const TteBasket *basket);

/* Does any line have a price? */
extern bool tte_builder_has_price(const TteJson *contents);

#endif							/* TTE_BUILDER_H */
