/*-------------------------------------------------------------------------
 *
 * json.h
 *	  JSON text: a reader that never throws and an exact writer.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TTE_JSON_H
#define TTE_JSON_H

#include "event/utf8.h"

/* Deepest nesting, because the reader recurses. */
#define TTE_JSON_MAX_DEPTH	32

/* Largest text, and the most values in it. */
#define TTE_JSON_MAX_TEXT	0x3FFFFFFF
#define TTE_JSON_MAX_NODES	1000000

typedef enum TteJsonKind
{
	TTE_JSON_NULL,
	TTE_JSON_BOOL,
	TTE_JSON_NUMBER,
	TTE_JSON_STRING,
	TTE_JSON_ARRAY,
	TTE_JSON_OBJECT
} TteJsonKind;

/*
 * One JSON value.  Columns of a table reach src/event in this form, too.
 * Strings are UTF-8 as far as the input was (the writer repairs what is
 * not); they may contain a zero byte and are not zero-terminated: use len.
 */
typedef struct TteJson
{
	TteJsonKind kind;
	bool		boolean;		/* BOOL */
	bool		fixed;			/* STRING: an escape could not be kept (NUL
								 * removed, lone surrogate became U+FFFD) */
	bool		repeated;		/* OBJECT: a key was repeated */
	const char *text;			/* STRING: bytes; NUMBER: the literal */
	int			len;
	const char *key;			/* member of an object: its key */
	int			keylen;
	struct TteJson *first;		/* ARRAY, OBJECT: elements in order */
	struct TteJson *next;		/* next element of the parent */
	int			count;			/* ARRAY, OBJECT: number of elements */
} TteJson;

/*
 * Parses strict JSON (RFC 8259), exactly one value, white space around it.
 * Returns NULL when the text is not JSON, deeper than TTE_JSON_MAX_DEPTH, or
 * larger than the limits above; *why (if not NULL) is then a constant word:
 * "syntax", "depth", "size".  Strings without escapes point into the input,
 * which must outlive the result.  Of equal keys in an object the last wins
 * (the earlier ones are unlinked).
 */
extern TteJson *tte_json_parse(const char *str, size_t len, const char **why);

/* The same, with the first nodes taken from the caller's array of count. */
extern TteJson *tte_json_parse_with(TteJson *nodes, int count, const char *str, size_t len,
									const char **why);

/* The member of an object, or NULL (also when object is NULL or none). */
extern const TteJson *tte_json_get(const TteJson *object, const char *key);

/* Builders for values that do not come from JSON text. */
extern TteJson *tte_json_string(const char *str, int len);
extern TteJson *tte_json_number(const char *literal, int len);
extern TteJson *tte_json_bool(bool value);

/*
 * Appends text as a quoted JSON string.  Invalid UTF-8 becomes U+FFFD and NUL
 * is left out; control characters, DEL, U+2028 and U+2029 are escaped; with
 * ascii every non-ASCII character is escaped (surrogate pairs above U+FFFF).
 * Returns false when anything had to be repaired.
 */
extern bool tte_json_append_string(StringInfo out, const char *str, int len, bool ascii);

#endif							/* TTE_JSON_H */
