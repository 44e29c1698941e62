/*-------------------------------------------------------------------------
 *
 * utf8.h
 *	  Text as bytes: ASCII, UTF-8, digits.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TTE_UTF8_H
#define TTE_UTF8_H

#include "event/base.h"

/* A constant text that many others are compared with. */
typedef struct TteWord
{
	const char *text;
	int			len;
} TteWord;

#define TTE_WORD(word)	{word, sizeof(word) - 1}

/* appendBinaryStringInfo(), without a call while there is room. */
static inline void
tte_append(StringInfo out, const char *bytes, int len)
{
	if (len >= out->maxlen - out->len)
		enlargeStringInfo(out, len);
	memcpy(out->data + out->len, bytes, len);
	out->len += len;
	out->data[out->len] = '\0';
}

extern void tte_append_integer(StringInfo out, int64 number);

/* How many bytes at the start are printable ASCII, but no quote or backslash. */
extern int	tte_plain_length(const char *str, int len);

/* Length of the valid character at str, which has len > 0 bytes, or 0. */
extern int	tte_utf8_length(const char *bytes, size_t len);

/* True when the bytes are valid UTF-8 without NUL (no overlong forms, no surrogates). */
extern bool tte_utf8_valid(const char *str, int len);

/* Reads the character at *at and steps over it. */
extern uint32 tte_utf8_next(const char **at);

/* Writes a character (at most 4 bytes) and returns its length. */
extern int	tte_utf8_encode(uint32 code, char *to);

#endif							/* TTE_UTF8_H */
