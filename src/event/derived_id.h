/*-------------------------------------------------------------------------
 *
 * derived_id.h
 *	  Ids that are made of data: nobody must be named by them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TTE_DERIVED_ID_H
#define TTE_DERIVED_ID_H

#include "event/base.h"

#define TTE_MAX_EVENT_ID	128

/* What a text shows of a person, the least first. */
typedef enum TteTrace
{
	TTE_TRACE_NONE,
	TTE_TRACE_DIGITS,			/* nothing but 7 to 15 digits */
	TTE_TRACE_LIKELY,			/* an "@", or digits written as a phone number */
	TTE_TRACE_SURE				/* an e-mail address, or a number with "+" */
} TteTrace;

/* Looks through percent escapes, full-width characters, digits of any script. */
extern TteTrace tte_text_trace(const char *str, int len);

/* How many digits are in the text, in the same way. */
extern int	tte_text_digits(const char *str, int len);

/* Can the text be an event_id: short enough and printable ASCII? */
extern bool tte_is_event_id(const char *id, int len);

/*
 * What a text becomes as an id: itself when it can be one, else its start, '-'
 * and 32 hex of its SHA-256.  hide: it is 32 hex of a salted hash alone.
 */
extern char *tte_derived_id(const char *id, int len, bool hide);

/*
 * Appends a part of an id to be; hide: "hash_" and 32 hex of a salted hash
 * stand for it.  Two different parts never become the same.
 */
extern void tte_derived_id_part(StringInfo id, const char *part, int len, bool hide);

#endif							/* TTE_DERIVED_ID_H */
