/*-------------------------------------------------------------------------
 *
 * unicode.c
 *	  What identifiers need to know about characters, independent of the
 *	  server's locale.
 *
 * Everything is looked up in sorted tables written by a script, by halving.
 * Only normalization is PostgreSQL's: of a character that is assigned it will
 * never change, in no version of Unicode.
 *
 *-------------------------------------------------------------------------
 */
#include "event/unicode.h"

#include "common/unicode_norm.h"

#include "event/unicode_tables.h"

/* No character below this one changes under NFC. */
#define FIRST_CHANGED	0x0300

/* Latin letters that do not decompose into an ASCII letter and marks. */
typedef struct Fold
{
	uint32		code;
	const char *ascii;
} Fold;

static const Fold folds[] = {
	{0x00C6, "ae"}, {0x00D0, "d"}, {0x00D8, "o"}, {0x00DE, "th"},
	{0x00DF, "ss"}, {0x00E6, "ae"}, {0x00F0, "d"}, {0x00F8, "o"},
	{0x00FE, "th"}, {0x0110, "d"}, {0x0111, "d"}, {0x0126, "h"},
	{0x0127, "h"}, {0x0131, "i"}, {0x0132, "ij"}, {0x0133, "ij"},
	{0x0138, "k"}, {0x013F, "l"}, {0x0140, "l"}, {0x0141, "l"},
	{0x0142, "l"}, {0x0149, "n"}, {0x014A, "n"}, {0x014B, "n"},
	{0x0152, "oe"}, {0x0153, "oe"}, {0x0166, "t"}, {0x0167, "t"},
	{0x017F, "s"}, {0x0180, "b"}, {0x0187, "c"}, {0x0188, "c"},
	{0x018F, "e"}, {0x0192, "f"}, {0x0197, "i"}, {0x0199, "k"},
	{0x019A, "l"}, {0x019F, "o"}, {0x01B5, "z"}, {0x01B6, "z"},
	{0x01E4, "g"}, {0x01E5, "g"}, {0x0237, "j"}, {0x0259, "e"},
	{0x0268, "i"}, {0x0289, "u"}, {0x1E9E, "ss"}
};

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

/* Steps over one blank; bytes that are no character are none. */
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

/* ASCII, and no blank. */
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

/* Into to, which has space for size characters; returns how many. */
static int
normalize(UnicodeNormalizationForm form, uint32 *str, uint32 *to, int size)
{
	pg_wchar   *result = unicode_normalize(form, str);
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
		 /* ASCII and Latin letters are what they should be */ ;
	if (i == n)
		return n;
	str[n] = 0;
	return normalize(UNICODE_NFC, str, str, 3 * n);
}

/*
 * Folding to ASCII
 */

static const char *
fold_of(uint32 code)
{
	for (int i = 0; i < COUNT(folds); i++)
	{
		if (folds[i].code == code)
			return folds[i].ascii;
	}
	return NULL;
}

/* The ASCII letters that stand for a letter without marks. */
static const char *
fold(uint32 code, char buffer[2])
{
	const char *known = code < 0x80 ? NULL : fold_of(code);

	if (known != NULL)
		return known;
	code = tte_unicode_lower(code);
	buffer[0] = (code < 0x80) ? (char) code : '\0';
	buffer[1] = '\0';
	return buffer;
}

int
tte_unicode_fold(uint32 *str, int n, char *to, int size)
{
	int			written = 0;

	for (int i = 0; i < n; i++)
	{
		/* full-width letters and digits */
		if (str[i] >= 0xFF01 && str[i] <= 0xFF5E)
			str[i] -= 0xFF01 - 0x21;
	}
	str[n] = 0;
	n = normalize(UNICODE_NFD, str, str, 4 * n);
	for (int i = 0; i < n; i++)
	{
		char		buffer[2];

		for (const char *letters = fold(str[i], buffer); *letters != '\0' && written < size; letters++)
		{
			if ((*letters >= 'a' && *letters <= 'z') || (*letters >= '0' && *letters <= '9'))
				to[written++] = *letters;
		}
	}
	return written;
}
