/*-------------------------------------------------------------------------
 *
 * email.c
 *	  E-mail addresses, with what people and programs write around them.
 *
 *-------------------------------------------------------------------------
 */
#include "event/identity_value.h"

#include "event/ascii.h"
#include "event/unicode.h"

/* At least two labels of letters, digits and inner dashes; not an IP address. */
static bool
is_domain(const char *at, const char *end)
{
	const char *label = at;
	bool		dot = false;
	bool		letters = false;

	for (; at < end; at++)
	{
		unsigned char c = *at;

		if (c == '.')
		{
			if (at == label || at[-1] == '-' || *label == '-')
				return false;
			label = at + 1;
			dot = true;
			letters = false;
			continue;
		}
		if ((tte_word_byte(c) && !tte_ascii_digit(c)) || c == '-')
			letters = true;
		else if (!tte_ascii_digit(c))
			return false;
	}
	return dot && letters && at > label && *label != '-' && end[-1] != '-';
}

/* A character around or between addresses, or in a quoted local part. */
static bool
is_address_syntax(char c)
{
	switch (c)
	{
		case '\0':
		case ' ':
		case '"':
		case '(':
		case ')':
		case ',':
		case ':':
		case ';':
		case '<':
		case '>':
		case '[':
		case ']':
		case '\\':
			return true;
		default:
			return false;
	}
}

/* Removes what is written around an address. */
static void
strip_email(TteIdentifierValue *value)
{
	static const TteWord labels[] = {
		TTE_WORD("mailto:"), TTE_WORD("email:"), TTE_WORD("e-mail:"), TTE_WORD("mail:"),
		TTE_WORD("email="), TTE_WORD("e-mail="), TTE_WORD("mail=")
	};
	int			before;

	do
	{
		before = value->len;
		while (value->len > 0 && *value->at != '\0' && strchr("'\"`=<([ ", *value->at) != NULL)
		{
			value->at++;
			value->len--;
		}
		for (int i = 0; i < lengthof(labels); i++)
		{
			if (value->len > labels[i].len && pg_strncasecmp(value->at, labels[i].text, labels[i].len) == 0)
			{
				value->at += labels[i].len;
				value->len -= labels[i].len;
			}
		}
	} while (value->len < before);
	while (value->len > 0 && strchr(".,:;!?'\"`>)] ", value->at[value->len - 1]) != NULL)
		value->len--;
}

/* The address in brackets of "Name <name@example.com>". */
static void
take_bracketed(TteIdentifierValue *value)
{
	const char *end = value->at + value->len;
	const char *open = memchr(value->at, '<', value->len);
	const char *close = open != NULL ? memchr(open, '>', end - open) : NULL;

	if (close == NULL || memchr(open, '@', close - open) == NULL)
		return;
	value->at = open + 1;
	value->len = close - open - 1;
}

/* Has the word a letter or digit? */
static bool
has_letter(const char *at, const char *end)
{
	for (; at < end; at++)
	{
		if (tte_word_byte(*at))
			return true;
	}
	return false;
}

/*
 * Takes the first of several addresses.  A word next to one may be a part of
 * it, so then nothing is changed.
 */
static void
take_first(TteIdentifierValue *value)
{
	const char *end = value->at + value->len;
	const char *first = NULL;
	int			first_len = 0;

	for (const char *at = value->at; at < end; at++)
	{
		const char *start = at;

		while (at < end && *at != ' ' && *at != ',' && *at != ';' && *at != '|')
			at++;
		if (memchr(start, '@', at - start) == NULL)
		{
			if (has_letter(start, at))
				return;
		}
		else if (first == NULL)
		{
			first = start;
			first_len = at - start;
		}
	}
	if (first != NULL)
	{
		value->at = first;
		value->len = first_len;
	}
}

/* Lower case as by toLowerCase() of a browser, which TikTok's Pixel uses before it hashes. */
static void
append_lower_text(StringInfo out, const TteIdentifierValue *value)
{
	uint32		given[TTE_MAX_EMAIL];
	uint32		lower[2 * TTE_MAX_EMAIL];
	const char *at = value->at;
	const char *end = at + value->len;
	int			n = 0;

	while (at < end)
		given[n++] = tte_utf8_next(&at);
	n = tte_unicode_lower_text(given, n, lower);
	for (int i = 0; i < n; i++)
		tte_append_code(out, lower[i]);
}

/* A local part without syntax, "@", a domain. */
static bool
is_email(const TteIdentifierValue *value)
{
	const char *sign = memchr(value->at, '@', value->len);

	if (sign == NULL || sign == value->at || !is_domain(sign + 1, value->at + value->len))
		return false;
	for (const char *at = value->at; at < sign; at++)
	{
		if (is_address_syntax(*at))
			return false;
	}
	return true;
}

/*
 * A local part, one "@" and a domain.  Quoted local parts are refused; dots at
 * odd places are not, because some providers allowed them.
 */
const char *
tte_email_normalize(const TteIdentifierValue *given, const TteIdentityRules *rules, StringInfo out)
{
	TteIdentifierValue value = *given;

	if (!is_email(&value) || !tte_ascii_alnum(*value.at) || memchr(value.at, '=', value.len) != NULL)
	{
		take_bracketed(&value);
		strip_email(&value);
		take_first(&value);
		strip_email(&value);
		if (!is_email(&value))
			return "email_syntax";
	}
	if (value.ascii || rules->previous)
		tte_append_lower(out, &value);
	else
		append_lower_text(out, &value);
	return NULL;
}
