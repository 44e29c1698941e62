/*-------------------------------------------------------------------------
 *
 * place.c
 *	  Names and places.
 *
 *-------------------------------------------------------------------------
 */
#include "event/identity_value.h"

#include "event/ascii.h"
#include "event/country.h"
#include "event/unicode.h"

/* Lower case, no punctuation, one blank between words, NFC. */
static const char *
normalize_wide_name(const TteIdentifierValue *value, StringInfo out)
{
	uint32		given[TTE_MAX_NAME];
	uint32		buffer[2 * TTE_MAX_NAME];
	uint32		name[6 * TTE_MAX_NAME + 1];
	const char *at = value->at;
	const char *end = at + value->len;
	bool		blank = false;
	int			n = 0;
	int			m = 0;

	while (at < end)
		given[n++] = tte_utf8_next(&at);
	n = tte_unicode_lower_text(given, n, buffer);
	for (int i = 0; i < n; i++)
	{
		if (tte_unicode_blank(buffer[i]) && !tte_is_joiner(TTE_LAST_NAME, buffer[i]))
			blank = (m > 0);
		else if (!tte_unicode_punctuation(buffer[i]) && (m > 0 || !tte_is_joiner(TTE_LAST_NAME, buffer[i])))
		{
			if (blank)
				name[m++] = ' ';
			blank = false;
			name[m++] = buffer[i];
		}
	}
	/* a joiner at the end joins nothing */
	/* cppcheck-suppress uninitvar */
	while (m > 0 && (name[m - 1] == ' ' || tte_is_joiner(TTE_LAST_NAME, name[m - 1])))
		m--;
	m = tte_unicode_nfc(name, m);
	for (int i = 0; i < m; i++)
		tte_append_code(out, name[i]);
	return m == 0 ? "junk" : NULL;
}

const char *
tte_name_normalize(const TteIdentifierValue *value, StringInfo out)
{
	int			start = out->len;
	bool		blank = false;

	if (!value->ascii)
		return normalize_wide_name(value, out);
	for (int i = 0; i < value->len; i++)
	{
		unsigned char c = value->at[i];

		if (c == ' ')
			blank = (out->len > start);
		else if (!tte_unicode_punctuation(c))
		{
			if (blank)
				appendStringInfoCharMacro(out, ' ');
			blank = false;
			appendStringInfoCharMacro(out, pg_ascii_tolower(c));
		}
	}
	return out->len == start ? "junk" : NULL;
}

/* Writes lower-case ASCII letters and digits, without accents. */
static int
fold_letters(const char *at, const char *end, char *to, int size)
{
	uint32		name[4 * TTE_MAX_NAME + 1];
	int			n = 0;

	while (at < end)
		name[n++] = tte_utf8_next(&at);
	return tte_unicode_fold(name, n, false, to, size);
}

const char *
tte_country_normalize(const TteIdentifierValue *value, StringInfo out)
{
	const char *code;

	if (value->len == TTE_HEX_LEN && tte_is_hex(value->at, value->len))
		return "hashed";
	code = tte_country_find(value->at, value->len);
	if (code == NULL)
		return "country";
	appendStringInfoString(out, code);
	return NULL;
}

/* Is the part behind the country a subdivision of ISO 3166-2, as in DE-BY? */
static bool
is_subdivision(const TteIdentifierValue *value, const char *country)
{
	int			len = value->len - 3;

	if (!value->ascii || len < 1 || len > 3 || value->at[2] != '-' ||
		pg_strncasecmp(value->at, country, 2) != 0)
		return false;
	for (int i = 0; i < len; i++)
	{
		if (!tte_ascii_alnum(value->at[3 + i]))
			return false;
	}
	return true;
}

const char *
tte_place_normalize(TteIdentifier kind, const TteIdentifierValue *value, const TteIdentityRules *rules,
					StringInfo out)
{
	char		letters[4 * TTE_MAX_NAME];
	const char *at = value->at;
	const char *code = NULL;
	int			n;

	if (kind == TTE_STATE && rules->country != NULL && is_subdivision(value, rules->country))
		at += 3;
	n = fold_letters(at, value->at + value->len, letters, sizeof(letters));
	if (n == 0)
		return "no_latin";
	if (n == TTE_HEX_LEN && tte_is_hex(letters, n))
		return "hashed";
	if (kind == TTE_STATE && (rules->country == NULL || strcmp(rules->country, "us") == 0))
	{
		code = tte_us_state_find(value->at, value->len);
		/* Montana Монтана: the Latin one is the state */
		if (code == NULL)
			code = tte_us_state_find(letters, n);
	}
	if (code != NULL)
		appendStringInfoString(out, code);
	else
		tte_append(out, letters, n);
	return NULL;
}

/* Five digits, hyphen, four digits: only the USA has such codes. */
static bool
is_zip_plus_four(const TteIdentifierValue *value)
{
	if (value->len != 10 || value->at[5] != '-')
		return false;
	for (int i = 0; i < 10; i++)
	{
		if (i != 5 && !tte_ascii_digit(value->at[i]))
			return false;
	}
	return true;
}

const char *
tte_zip_code_normalize(const TteIdentifierValue *value, const TteIdentityRules *rules, StringInfo out)
{
	char		code[16 + 1] = "";
	int			digits = 0;
	int			n = 0;

	for (int i = 0; i < value->len; i++)
	{
		char		c = pg_ascii_tolower((unsigned char) value->at[i]);

		if (c == ' ' || c == '-')
			continue;
		if (!tte_ascii_alnum(c) || n == lengthof(code) - 1)
			return "zip_syntax";
		digits += tte_ascii_digit(c);
		code[n++] = c;
	}
	if (rules->country != NULL ? strcmp(rules->country, "us") == 0 : is_zip_plus_four(value))
	{
		if (digits != n || (n != 5 && n != 9))
			return "zip_syntax";
		n = 5;
	}
	if (n > 0 && strspn(code, "0") >= n)
		return "junk";
	if (n < 2)
		return "zip_syntax";
	tte_append(out, code, n);
	return NULL;
}
