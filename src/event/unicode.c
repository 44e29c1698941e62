/*-------------------------------------------------------------------------
 *
 * unicode.c
 *	  Properties of characters, independent of the server's locale.
 *
 * A script writes sorted tables, which are searched by bisection.  Only
 * normalization is PostgreSQL's: Unicode guarantees that it never changes for
 * assigned characters.
 *
 *-------------------------------------------------------------------------
 */
#include "event/unicode.h"

#include "common/unicode_norm.h"

#include "event/unicode_tables.h"

/* No character below this one changes under NFC. */
#define FIRST_CHANGED	0x0300

#define COUNT(array)	((int) lengthof(array))

static bool
in_ranges(const TteRange *ranges, int count, uint32 code)
{
	int			low = 0;
	int			high = count - 1;

	while (low <= high)
	{
		int			middle = (low + high) / 2;

		if (code < ranges[middle].first)
			high = middle - 1;
		else if (code > ranges[middle].last)
			low = middle + 1;
		else
			return true;
	}
	return false;
}

bool
tte_unicode_blank(uint32 code)
{
	if (code < 0x80)
		return code == ' ' || (code >= '\t' && code <= '\r');
	switch (code)
	{
		case 0x0085:
		case 0x00A0:
		case 0x1680:
		case 0x180E:
		case 0x2028:
		case 0x2029:
		case 0x202F:
		case 0x205F:
		case 0x2060:
		case 0x3000:
		case 0xFEFF:
			return true;
		default:
			return code >= 0x2000 && code <= 0x200D;
	}
}

/* Steps over one blank; invalid bytes are not blanks. */
static bool
starts_with_blank(const char *at, const char *end, const char **next)
{
	uint32		code;
	int			n;
	unsigned char c = *at;

	*next = at + 1;
	if (c < 0x80)
		return tte_unicode_blank(c);
	n = (c >= 0xE0 && c < 0xF0) ? 3 : 2;
	if (c >= 0xF0 || end - at < n || !tte_utf8_valid(at, n))
		return false;
	code = tte_utf8_next(&at);
	*next = at;
	return tte_unicode_blank(code);
}

static bool
ends_with_blank(const char *at, const char *end, const char **last)
{
	const char *next;

	/* no blank is longer than three bytes */
	for (int n = 1; n <= 3 && n <= end - at; n++)
	{
		*last = end - n;
		if (((unsigned char) **last & 0xC0) != 0x80)
			return starts_with_blank(*last, end, &next) && next == end;
	}
	return false;
}

/* Printable ASCII other than a blank. */
static bool
is_visible(char c)
{
	return c > ' ' && c < 0x7F;
}

void
tte_unicode_trim(const char **str, int *len)
{
	const char *at = *str;
	const char *end = at + *len;
	const char *step;

	/* most text begins and ends with a letter or digit */
	if (at < end && is_visible(*at) && is_visible(end[-1]))
		return;
	while (at < end && starts_with_blank(at, end, &step))
		at = step;
	while (at < end && ends_with_blank(at, end, &step))
		end = step;
	*str = at;
	*len = end - at;
}

bool
tte_unicode_control(uint32 code)
{
	return in_ranges(control_ranges, COUNT(control_ranges), code);
}

bool
tte_unicode_punctuation(uint32 code)
{
	return in_ranges(punctuation_ranges, COUNT(punctuation_ranges), code);
}

int
tte_unicode_digit(uint32 code)
{
	int			low = 0;
	int			high = COUNT(zeros) - 1;

	if (code < 0x80)
		return (code >= '0' && code <= '9') ? (int) (code - '0') : -1;
	while (low <= high)
	{
		int			middle = (low + high) / 2;

		if (code < zeros[middle])
			high = middle - 1;
		else if (code > zeros[middle] + 9)
			low = middle + 1;
		else
			return code - zeros[middle];
	}
	return -1;
}

uint32
tte_unicode_lower(uint32 code)
{
	int			low = 0;
	int			high = COUNT(lower_ranges) - 1;

	if (code < 0x80)
		return (code >= 'A' && code <= 'Z') ? code + ('a' - 'A') : code;
	while (low <= high)
	{
		int			middle = (low + high) / 2;
		const TteLower *range = &lower_ranges[middle];

		if (code < range->first)
			high = middle - 1;
		else if (code > range->last)
			low = middle + 1;
		else if ((code - range->first) % range->step != 0)
			return code;
		else
			return code + range->delta;
	}
	return code;
}

/* Looks for a cased letter next to str[i], in one direction. */
static bool
letter_beside(const uint32 *str, int n, int i, int step)
{
	for (i += step; i >= 0 && i < n; i += step)
	{
		if (!in_ranges(ignorable_ranges, COUNT(ignorable_ranges), str[i]))
			return in_ranges(cased_ranges, COUNT(cased_ranges), str[i]);
	}
	return false;
}

int
tte_unicode_lower_text(const uint32 *str, int n, uint32 *lower)
{
	int			m = 0;

	for (int i = 0; i < n; i++)
	{
		if (str[i] == 0x03A3 && letter_beside(str, n, i, -1) &&
			!letter_beside(str, n, i, 1))
			lower[m++] = 0x03C2;
		else
			lower[m++] = tte_unicode_lower(str[i]);
		if (str[i] == 0x0130)
			lower[m++] = 0x0307;
	}
	return m;
}

/*
 * Normalization
 */

/* Writes at most size characters to to; returns how many. */
static int
apply_form(UnicodeNormalizationForm form, uint32 *str, uint32 *to, int size)
{
	uint32	   *result = unicode_normalize(form, str);
	int			n = 0;

	while (n < size && result[n] != 0)
	{
		to[n] = result[n];
		n++;
	}
#ifdef FRONTEND
	free(result);
#else
	pfree(result);
#endif
	return n;
}

int
tte_unicode_nfc(uint32 *str, int n)
{
	int			i;

	for (i = 0; i < n && str[i] < FIRST_CHANGED; i++)
		 /* ASCII and Latin letters do not change */ ;
	if (i == n)
		return n;
	str[n] = 0;
	return apply_form(UNICODE_NFC, str, str, 3 * n);
}

/*
 * Folding to ASCII
 */

static const char *
fold_of(uint32 code)
{
	int			low = 0;
	int			high = COUNT(folds) - 1;

	while (low <= high)
	{
		int			middle = (low + high) / 2;

		if (folds[middle].code == code)
			return folds[middle].ascii;
		if (folds[middle].code < code)
			low = middle + 1;
		else
			high = middle - 1;
	}
	return NULL;
}

/*
 * Writes the ASCII letters and digits that stand for a character.  With all, a
 * character without such a form is written itself, unless it is a mark or
 * punctuation.  At most 4 bytes.
 */
static int
fold_char(uint32 code, bool all, char *to)
{
	const char *known = fold_of(code);
	int			n = (known != NULL) ? strlen(known) : 0;

	memcpy(to, known != NULL ? known : "", n);
	if (n > 0)
		return n;
	code = tte_unicode_lower(code);
	if (code < 0x80)
	{
		to[0] = code;
		return (code >= 'a' && code <= 'z') || (code >= '0' && code <= '9');
	}
	if (!all || (code >= FIRST_CHANGED && code <= 0x036F) || tte_unicode_blank(code) ||
		tte_unicode_control(code) || tte_unicode_punctuation(code))
		return 0;
	return tte_utf8_encode(code, to);
}

int
tte_unicode_fold(uint32 *str, int n, bool all, char *to, int size)
{
	int			written = 0;

	for (int i = 0; i < n; i++)
	{
		/* full-width letters and digits */
		if (str[i] >= 0xFF01 && str[i] <= 0xFF5E)
			str[i] -= 0xFF01 - 0x21;
	}
	str[n] = 0;
	n = apply_form(UNICODE_NFD, str, str, 4 * n);
	for (int i = 0; i < n && written + 4 <= size; i++)
		written += fold_char(str[i], all, to + written);
	return written;
}
