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
	int			sections;		/* those that have a value, a bit each */

	/* what it comes to */
	TteRendered *rendered;
	uint64		written;		/* fields that are in the payload, a bit each */
	bool		rejected;		/* the first problem is in rendered */
	int			amounts;		/* TTE_AMOUNTS_MINOR, or digits */
	bool		without_value;	/* amounts are in a currency that TikTok does
								 * not take */
	StringInfoData payload;
	StringInfoData user;
	StringInfoData scratch;		/* normalised identifiers */
	StringInfoData notes;		/* data is NULL until there is one */
	TteTaken	taken[TTE_IDENTIFIERS];
};

/* event.c */

/* Notes "section.name: why". */
extern void tte_builder_field_note(TteEvent *event, int field, const char *why);

/* The event is invalid; of several problems the first one counts. */
extern void tte_builder_reject(TteEvent *event, TteProblem problem, const char *reason,
							   const char *hint, const char *detail,...)
			pg_attribute_printf(5, 6);

/* Null, blank, empty. */
extern bool tte_json_absent(const TteJson *value);

/* A string without the blanks around it, or a number as text in room. */
extern bool tte_builder_text(const TteJson *value, char room[80], const char **str, int *len);

/* An amount, as number or as text that is one. */
extern TteDecimalState tte_builder_decimal(const TteJson *value, TteDecimal *decimal);

/* Writes `"name":`, with a comma where one is due. */
extern void tte_builder_write_key(TteEvent *event, const char *name, int len);

/* The compiler knows the length of a constant name. */
static inline void
tte_builder_key(TteEvent *event, const char *name)
{
	tte_builder_write_key(event, name, strlen(name));
}

/*
 * Writes a string of a field; false (and the event too large) if it does not
 * fit.  fixed: something was lost before.
 */
extern bool tte_builder_string(TteEvent *event, int field, const char *str, int len, bool fixed);

/* user.c */
extern void tte_builder_user(TteEvent *event);
extern void tte_builder_write_user(TteEvent *event);

/* properties.c */
extern void tte_builder_properties(TteEvent *event);
extern bool tte_builder_field(TteEvent *event, int field);
extern void tte_builder_worth(TteEvent *event);

#endif							/* TTE_BUILDER_H */
