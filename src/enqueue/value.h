/*-------------------------------------------------------------------------
 *
 * value.h
 *	  From SQL values to what src/event reads.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TTE_VALUE_H
#define TTE_VALUE_H

#include "event/json.h"
#include "pgtime.h"
#include "utils/timestamp.h"

/* How values of a type are read; NONE: not at all. */
typedef enum TteValueKind
{
	TTE_VALUE_NONE,
	TTE_VALUE_TEXT,
	TTE_VALUE_NUMBER,
	TTE_VALUE_BOOL,
	TTE_VALUE_TIME,
	TTE_VALUE_JSON,
	TTE_VALUE_OUTPUT,			/* uuid, inet, enum: the core type's text */
	TTE_VALUE_ARRAY
} TteValueKind;

typedef struct TteValueType
{
	TteValueKind kind;
	Oid			type;			/* base type of a domain; element type of an
								 * array */
	int16		typlen;			/* of the element, likewise the next two */
	bool		typbyval;
	char		typalign;
	TteValueKind element;
} TteValueType;

/* Bytes of a column that are read for an identifier: more than any may have. */
#define TTE_IDENTIFIER_CAP	4096

extern TteValueType tte_value_type(Oid type);

/*
 * Reads a value.  Output functions of user-defined types are never run; a
 * longer text is cut at cap bytes before it is detoasted.  JSON that cannot be
 * read (too deep, too large) gives NULL.
 */
extern TteJson *tte_value_read(const TteValueType *type, Datum value, int cap);

/* The same as zero-terminated text in the server's encoding, for keys and stages. */
extern char *tte_value_text(const TteValueType *type, Datum value);

/* The result points into the value, which must outlive it; NULL: too deep or too large. */
extern TteJson *tte_value_jsonb(Datum value);

/*
 * A point in time as microseconds since 1970.  Values without a zone are taken in
 * zone.  Text is read as tte_time_text() does, numbers are seconds since 1970 or,
 * of 8 or 14 digits, a date.  False: not a time; *finite false: infinity.
 */
extern bool tte_value_time(const TteValueType *type, Datum value, pg_tz *zone, int64 *usec, bool *finite);
extern bool tte_json_time(const TteJson *json, pg_tz *zone, int64 *usec, bool *finite);
extern int64 tte_unix_usec(TimestampTz at, bool *finite);
extern TimestampTz tte_timestamptz(int64 usec);

#endif							/* TTE_VALUE_H */
