/*-------------------------------------------------------------------------
 *
 * derived_id.h
 *	  Ids that are made of data: they must not identify a person.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TTE_DERIVED_ID_H
#define TTE_DERIVED_ID_H

#include "event/base.h"

#define TTE_MAX_EVENT_ID	128

/* How clearly a text identifies a person, in ascending order. */
typedef enum TteTrace
{
	TTE_TRACE_NONE,
	TTE_TRACE_DIGITS,			/* nothing but 7 to 15 digits */
	TTE_TRACE_LIKELY,			/* an "@", or digits written as a phone number */
	TTE_TRACE_SURE				/* an e-mail address, or a number with "+" */
} TteTrace;

/* Decodes percent escapes, full-width characters, and digits of any script before it looks. */
extern TteTrace tte_text_trace(const char *str, int len);

/* How many digits the text has after the same decoding. */
extern int	tte_text_digits(const char *str, int len);

/* Can the text be an event_id: short enough and printable ASCII? */
extern bool tte_is_event_id(const char *id, int len);

/*
 * The id made of a text: the text itself if it can be one, else its start, "-"
 * and 32 hex digits of its SHA-256.  With hide only 32 hex digits of a salted
 * hash.
 */
extern char *tte_derived_id(const char *id, int len, bool hide);

/*
 * Appends a part to an id.  With hide "hash_" and 32 hex digits of a salted
 * hash replace it.  Different parts never become equal.
 */
extern void tte_derived_id_part(StringInfo id, const char *part, int len, bool hide);

#endif							/* TTE_DERIVED_ID_H */
