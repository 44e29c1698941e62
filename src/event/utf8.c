/*-------------------------------------------------------------------------
 *
 * utf8.c
 *	  Text as bytes: ASCII, UTF-8, digits.
 *
 *-------------------------------------------------------------------------
 */
#include "event/utf8.h"

#ifdef __SSE2__
#include <emmintrin.h>

#include "port/pg_bitutils.h"
#endif

/*
 * Plain characters
 */

/* Printable ASCII that stands for itself in a JSON string. */
static inline bool
is_plain(unsigned char c)
{
	return c >= 0x20 && c < 0x7F && c != '"' && c != '\\';
}

#define EIGHT(byte)		(UINT64CONST(0x0101010101010101) * (byte))

/* Not zero when one of eight bytes below 0x80 is below v, or equals v. */
#define ANY_BELOW(word, v)	(((word) - EIGHT(v)) & ~(word) & EIGHT(0x80))
#define ANY_EQUAL(word, v)	ANY_BELOW((word) ^ EIGHT(v), 1)

#ifdef __SSE2__

/* One bit for each of 16 bytes that is not plain.  As a signed number a byte from 0x80 on is below 0x20. */
static inline uint32
special_bytes(const char *str)
{
	__m128i		bytes = _mm_loadu_si128((const __m128i *) str);
	__m128i		special = _mm_cmplt_epi8(bytes, _mm_set1_epi8(0x20));

	special = _mm_or_si128(special, _mm_cmpeq_epi8(bytes, _mm_set1_epi8('"')));
	special = _mm_or_si128(special, _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\\')));
	special = _mm_or_si128(special, _mm_cmpeq_epi8(bytes, _mm_set1_epi8(0x7F)));
	return (uint32) _mm_movemask_epi8(special);
}

/* For a text of 16 bytes or more; the last 16 may overlap those before. */
static int
plain_length_of_long(const char *str, int len)
{
	for (int n = 0;; n = Min(n + 16, len - 16))
	{
		uint32		special = special_bytes(str + n);

		if (special != 0)
			return n + pg_rightmost_one_pos32(special);
		if (n == len - 16)
			return len;
	}
}
#endif

int
tte_plain_length(const char *str, int len)
{
	int			n = 0;

#ifdef __SSE2__
	if (len >= 16)
		return plain_length_of_long(str, len);
#endif
	/* eight bytes at a time while all of them are plain */
	while (len - n >= 8)
	{
		uint64		word;

		memcpy(&word, str + n, 8);
		if (((word & EIGHT(0x80)) | ANY_BELOW(word, 0x20) | ANY_EQUAL(word, '"') |
			 ANY_EQUAL(word, '\\') | ANY_EQUAL(word, 0x7F)) != 0)
			break;
		n += 8;
	}
	while (n < len && is_plain((unsigned char) str[n]))
		n++;
	return n;
}

/*
 * UTF-8
 */

/*
 * The range of the second byte depends on the first: this excludes overlong
 * forms, surrogates, and code points above U+10FFFF.
 */
int
tte_utf8_length(const char *bytes, size_t len)
{
	const unsigned char *str = (const unsigned char *) bytes;
	unsigned char c = str[0];
	unsigned char low = 0x80;
	unsigned char high = 0xBF;
	int			need;

	if (c < 0x80)
		return 1;
	if (c < 0xC2 || c > 0xF4)
		return 0;
	need = (c < 0xE0) ? 2 : (c < 0xF0) ? 3 : 4;
	if (c == 0xE0)
		low = 0xA0;
	else if (c == 0xED)
		high = 0x9F;
	else if (c == 0xF0)
		low = 0x90;
	else if (c == 0xF4)
		high = 0x8F;
	if (len < need || str[1] < low || str[1] > high)
		return 0;
	for (int i = 2; i < need; i++)
	{
		if ((str[i] & 0xC0) != 0x80)
			return 0;
	}
	return need;
}

bool
tte_utf8_valid(const char *str, int len)
{
	const char *at = str;
	const char *end = at + len;

	while (at < end)
	{
		int			n = tte_utf8_length(at, end - at);

		if (n == 0 || *at == '\0')
			return false;
		at += n;
		at += tte_plain_length(at, end - at);
	}
	return true;
}

uint32
tte_utf8_next(const char **at)
{
	const unsigned char *s = (const unsigned char *) *at;

	if (s[0] < 0x80)
	{
		*at += 1;
		return s[0];
	}
	if (s[0] < 0xE0)
	{
		*at += 2;
		return ((s[0] & 0x1F) << 6) | (s[1] & 0x3F);
	}
	if (s[0] < 0xF0)
	{
		*at += 3;
		return ((s[0] & 0x0F) << 12) | ((s[1] & 0x3F) << 6) | (s[2] & 0x3F);
	}
	*at += 4;
	return ((s[0] & 0x07) << 18) | ((s[1] & 0x3F) << 12) |
		((s[2] & 0x3F) << 6) | (s[3] & 0x3F);
}

int
tte_utf8_encode(uint32 code, char *to)
{
	if (code < 0x80)
	{
		to[0] = code;
		return 1;
	}
	if (code < 0x800)
	{
		to[0] = 0xC0 | (code >> 6);
		to[1] = 0x80 | (code & 0x3F);
		return 2;
	}
	if (code < 0x10000)
	{
		to[0] = 0xE0 | (code >> 12);
		to[1] = 0x80 | ((code >> 6) & 0x3F);
		to[2] = 0x80 | (code & 0x3F);
		return 3;
	}
	to[0] = 0xF0 | (code >> 18);
	to[1] = 0x80 | ((code >> 12) & 0x3F);
	to[2] = 0x80 | ((code >> 6) & 0x3F);
	to[3] = 0x80 | (code & 0x3F);
	return 4;
}

void
tte_append_integer(StringInfo out, int64 number)
{
	char		digits[20];
	char	   *at = digits + sizeof(digits);
	uint64		rest = (number < 0) ? 0 - (uint64) number : number;

	do
	{
		*--at = '0' + rest % 10;
		rest /= 10;
	} while (rest > 0);
	if (number < 0)
		*--at = '-';
	tte_append(out, at, digits + sizeof(digits) - at);
}
