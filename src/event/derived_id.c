/*-------------------------------------------------------------------------
 *
 * derived_id.c
 *	  Ids that are made of data: they must not identify a person.
 *
 * An event_id is shown to readers, kept for as long as the history, and sent
 * to TikTok in clear.  If the data look like a person's e-mail address or
 * telephone number, a hash replaces them.  It is salted, because the plain
 * hash of an address is the identifier by which TikTok knows the person.
 *
 *-------------------------------------------------------------------------
 */
#include "event/derived_id.h"

#include "event/ascii.h"
#include "event/identity.h"
#include "event/unicode.h"
#include "event/url.h"

/* How many bytes of its text a derived id keeps before the hash. */
#define HASH_DIGITS		32
#define KEPT_START		(TTE_MAX_EVENT_ID - HASH_DIGITS - 1)

/* What a hashed part begins with, so that no other part looks like one. */
#define HASHED_PART		"hash_"

/* Fewest digits of a telephone number; with "+" one more. */
#define SHORTEST_PHONE	7
#define SHORTEST_FULL	8
#define LONGEST_PHONE	15

/*
 * Text without disguise
 */

/* The ASCII character that another one stands for; 0: none, -1: drop it. */
static int
ascii_for_id(uint32 code)
{
	int			digit = tte_unicode_digit(code);

	if (digit >= 0)
		return '0' + digit;
	if (code >= 0xFF01 && code <= 0xFF5E)
		return code - 0xFF01 + '!';
	if (code == 0xFE6B)			/* small commercial at */
		return '@';
	if ((code >= 0x2010 && code <= 0x2015) || code == 0x2212)
		return '-';
	if (tte_unicode_control(code))
		return -1;
	return tte_unicode_blank(code) ? ' ' : 0;
}

/* Replaces other characters by what they mean in ASCII, in place. */
static int
make_plain(char *str, int len)
{
	const char *at = str;
	const char *end = str + len;
	char	   *to = str;

	while (at < end)
	{
		int			n = tte_utf8_length(at, end - at);
		const char *next = at;
		int			meant;

		if (n < 2)
		{
			*to++ = *at++;
			continue;
		}
		meant = ascii_for_id(tte_utf8_next(&next));
		if (meant > 0)
			*to++ = meant;
		else if (meant == 0)
		{
			memmove(to, at, n);
			to += n;
		}
		at += n;
	}
	return to - str;
}

/* The text with escapes decoded and in ASCII: itself, or a copy. */
static const char *
undisguise(const char *str, int *len)
{
	unsigned char all = 0;
	char	   *copy;
	int			n = *len;

	for (int i = 0; i < n; i++)
		all |= (str[i] == '%') ? 0x80 : str[i];
	if (all < 0x80)
		return str;
	copy = palloc(n + 1);
	memcpy(copy, str, n);
	n = tte_unescape(copy, n);
	*len = make_plain(copy, n);
	return copy;
}

/*
 * Telephone numbers in text
 */

static bool
separates_digits(char c)
{
	return c != '\0' && strchr(" -./()+", c) != NULL;
}

static bool
is_digits(const char *str, int len)
{
	for (int i = 0; i < len; i++)
	{
		if (!tte_ascii_digit(str[i]))
			return false;
	}
	return true;
}

/* Does a word start here?  The minutes of 10:00 do not. */
static bool
starts_word(const char *str, const char *at)
{
	if (at == str)
		return true;
	if (at[-1] == ':')
		return at - str == 1 || !tte_ascii_digit(at[-2]);
	return at[-1] != '\0' && strchr(" /=,;", at[-1]) != NULL;
}

/* Counts the digits of a run of digits and separators, and finds its end. */
static int
count_run(const char *at, const char *end, const char **run_end)
{
	int			digits = 0;

	for (; at < end && (tte_ascii_digit(*at) || separates_digits(*at)); at++)
		digits += tte_ascii_digit(*at);
	*run_end = at;
	return digits;
}

static bool
ends_word(const char *at, const char *end)
{
	return at == end || at[-1] == ' ' || at[-1] == '(' || *at == ',' || *at == ';';
}

/*
 * Looks for digits and separators that are words of their own, not part of a
 * longer one as in ORD-2026-00001 or a UUID.
 */
static TteTrace
number_trace(const char *str, const char *end)
{
	TteTrace	trace = TTE_TRACE_NONE;
	const char *run_end;

	for (const char *at = str; at < end; at = run_end)
	{
		int			digits;
		bool		plus = (*at == '+' || (*at == '(' && end - at > 1 && at[1] == '+'));

		if (*at == ' ' || *at == '/' || !(plus || tte_ascii_digit(*at) || separates_digits(*at)))
		{
			run_end = at + 1;
			continue;
		}
		digits = count_run(at, end, &run_end);
		if (digits > LONGEST_PHONE || !starts_word(str, at))
			continue;
		if (plus && digits >= SHORTEST_FULL)
			return TTE_TRACE_SURE;
		if (digits >= SHORTEST_PHONE && ends_word(run_end, end))
			trace = TTE_TRACE_LIKELY;
	}
	return trace;
}

/* A fast test: most text has too few digits, and no "@" or "%". */
static bool
has_no_trace(const char *str, int len)
{
	int			digits = 0;

	for (int i = 0; i < len; i++)
	{
		unsigned char c = str[i];

		if (c >= 0x80 || c == '%' || c == '@')
			return false;
		digits += tte_ascii_digit(c);
	}
	return digits < SHORTEST_PHONE;
}

TteTrace
tte_text_trace(const char *str, int len)
{
	const char *plain;
	const char *end;
	TteTrace	trace;

	if (has_no_trace(str, len))
		return TTE_TRACE_NONE;
	plain = undisguise(str, &len);
	end = plain + len;

	if (tte_text_has_email(plain, len))
		return TTE_TRACE_SURE;
	trace = number_trace(plain, end);
	if (trace == TTE_TRACE_LIKELY && is_digits(plain, len))
		return TTE_TRACE_DIGITS;
	if (trace == TTE_TRACE_NONE && memchr(plain, '@', len) != NULL)
		return TTE_TRACE_LIKELY;
	return trace;
}

int
tte_text_digits(const char *str, int len)
{
	const char *plain = undisguise(str, &len);
	int			digits = 0;

	for (int i = 0; i < len; i++)
		digits += tte_ascii_digit(plain[i]);
	return digits;
}

/*
 * Ids
 */

bool
tte_is_event_id(const char *id, int len)
{
	if (len > TTE_MAX_EVENT_ID)
		return false;
	for (int i = 0; i < len; i++)
	{
		if (id[i] < ' ' || id[i] >= 0x7F)
			return false;
	}
	return true;
}

/* Half of the hash is enough to tell two ids apart. */
static void
salted_hash(const char *str, int len, char hash[TTE_HEX_LEN + 1])
{
	StringInfoData salted;

	initStringInfo(&salted);
	appendStringInfoString(&salted, "event_id ");
	appendBinaryStringInfo(&salted, str, len);
	tte_sha256_hex(salted.data, salted.len, hash);
	hash[HASH_DIGITS] = '\0';
	pfree(salted.data);
}

char *
tte_derived_id(const char *id, int len, bool hide)
{
	char		hash[TTE_HEX_LEN + 1];
	char	   *to;
	int			n = Min(len, KEPT_START);

	if (hide)
	{
		salted_hash(id, len, hash);
		return pstrdup(hash);
	}
	if (tte_is_event_id(id, len))
		return pnstrdup(id, len);
	to = palloc(TTE_MAX_EVENT_ID + 1);
	for (int i = 0; i < n; i++)
		to[i] = (id[i] > ' ' && id[i] < 0x7F) ? id[i] : '?';
	tte_sha256_hex(id, len, hash);
	to[n] = '-';
	memcpy(to + n + 1, hash, HASH_DIGITS);
	to[n + 1 + HASH_DIGITS] = '\0';
	return to;
}

void
tte_derived_id_part(StringInfo id, const char *part, int len, bool hide)
{
	char		hash[TTE_HEX_LEN + 1];
	int			prefix = strlen(HASHED_PART);

	if (!hide && (len < prefix || memcmp(part, HASHED_PART, prefix) != 0))
	{
		appendBinaryStringInfo(id, part, len);
		return;
	}
	salted_hash(part, len, hash);
	appendStringInfo(id, HASHED_PART "%s", hash);
}
