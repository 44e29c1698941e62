/*-------------------------------------------------------------------------
 *
 * phone_text.c
 *	  The text around and between the digits of a telephone number.
 *
 * Text is converted to plain ASCII and cut into digits and the marks between
 * them. phone.c decides whether the digits are a number.
 *
 *-------------------------------------------------------------------------
 */
#include "event/phone_text.h"

#include "event/ascii.h"
#include "event/catalog.h"
#include "event/unicode.h"

/* A character that is unknown ("?") counts as a letter. */
static bool
is_text_letter(char c)
{
	return (c >= 'a' && c <= 'z') || c == '?';
}

/* The ASCII character that another one stands for; 0: none. */
static char
ascii_for_phone(uint32 code)
{
	int			digit = tte_unicode_digit(code);

	if (digit >= 0)
		return '0' + digit;
	if (code >= 0xFF01 && code <= 0xFF5E)
		return pg_ascii_tolower((unsigned char) (code - 0xFF01 + '!'));
	if (code == '\n' || code == '\r')
		return ';';
	if (tte_unicode_blank(code))
		return ' ';
	if ((code >= 0x2010 && code <= 0x2015) || code == 0x2212 || code == 0x30FC)
		return '-';
	if (code == 0x2018 || code == 0x2019 || code == 0x201C || code == 0x201D)
		return '\'';
	return (code >= 0xA0 && tte_unicode_control(code)) ? '\0' : '?';
}

int
tte_phone_plain(const char *value, int len, char *to)
{
	const char *end = value + len;
	int			n = 0;

	while (value < end && n < TTE_PHONE_TEXT)
	{
		char		c = *value;

		if (c >= ' ' && c < 0x7F)
		{
			to[n++] = (c >= 'A' && c <= 'Z') ? c + ('a' - 'A') : c;
			value++;
		}
		else if ((c = ascii_for_phone(tte_utf8_next(&value))) != '\0')
			to[n++] = c;
	}
	to[n] = '\0';
	return n;
}

bool
tte_phone_was_float(const char *scan)
{
	const char *dot = strchr(scan, '.');
	int			whole = strspn(scan + (*scan == '+'), "0123456789") + (*scan == '+');
	const char *rest = scan + whole;

	if (*rest == '.' && dot == rest)
	{
		rest += 1 + strspn(rest + 1, "0123456789");
		if (*rest == '\0' && strspn(dot + 1, "0") == strlen(dot + 1))
			return true;
	}
	return *rest == 'e' && (tte_ascii_digit(rest[1]) || rest[1] == '+' || rest[1] == '-');
}

/* May it stand between the digits of one number? */
static bool
is_soft(char c)
{
	switch (c)
	{
		case ' ':
		case '-':
		case '.':
		case '(':
		case ')':
		case '[':
		case ']':
		case '\'':
		case '"':
		case '~':
		case '_':
		case '\\':
			return true;
		default:
			return false;
	}
}

const char *
tte_phone_scan_number(TtePhoneScan *scan, TtePhoneDigits *number)
{
	number->len = 0;
	number->plus = false;
	number->zero = -1;
	for (; scan->at < scan->end; scan->at++)
	{
		char		c = *scan->at;

		if (tte_ascii_digit(c))
		{
			if (number->len == TTE_PHONE_MOST)
				return "phone_length";
			if (c == '0' && scan->at > scan->start && scan->at[-1] == '(' && scan->at[1] == ')')
				number->zero = number->len;
			number->digits[number->len++] = c;
		}
		else if (c == '+' && number->len == 0)
			number->plus = true;
		else if (!is_soft(c))
			break;
	}
	number->digits[number->len] = '\0';
	return NULL;
}

static bool
is_or(const char *word, int len)
{
	static const TteWord words[] = {
		TTE_WORD("or"), TTE_WORD("and"), TTE_WORD("oder"), TTE_WORD("und"), TTE_WORD("ou"),
		TTE_WORD("et"), TTE_WORD("o"), TTE_WORD("y"), TTE_WORD("of"), TTE_WORD("en")
	};

	for (int i = 0; i < lengthof(words); i++)
	{
		if (words[i].len == len && memcmp(words[i].text, word, len) == 0)
			return true;
	}
	return false;
}

TtePhoneMark
tte_phone_scan_mark(TtePhoneScan *scan)
{
	const char *word = scan->at;
	int			len;

	if (scan->at == scan->end)
		return TTE_MARK_NONE;
	if (*scan->at == '+')
		return TTE_MARK_OR;
	if (*scan->at == '&' || *scan->at == '|')
	{
		scan->at++;

		return TTE_MARK_OR;
	}
	if (*scan->at == '#')
	{
		scan->at++;

		return TTE_MARK_EXTENSION;
	}
	if ((*scan->at == '/' || *scan->at == ',' || *scan->at == ';') && !is_text_letter(scan->at[1]))
	{
		scan->at++;

		return TTE_MARK_SEPARATOR;
	}
	while (scan->at < scan->end && (is_text_letter(*scan->at) || strchr("/,;:=#.", *scan->at) != NULL))
		scan->at++;
	len = scan->at - word;

	return is_or(word, len) ? TTE_MARK_OR : TTE_MARK_EXTENSION;
}

bool
tte_phone_is_remark(const TtePhoneScan *scan, const char *mark)
{
	const char *before = mark;

	while (before > scan->start && before[-1] == ' ')
		before--;
	return before > scan->start && before[-1] == '(' && scan->end[-1] == ')' &&
		strpbrk(mark, "0123456789") == NULL;
}

bool
tte_phone_skip_front(TtePhoneScan *scan)
{
	static const TteWord links[] = {TTE_WORD("wa.me/"), TTE_WORD("phone=")};
	int			front = strcspn(scan->at, "+0123456789");

	scan->at += front;

	for (int i = 0; i < lengthof(links); i++)
	{
		if (front >= links[i].len && memcmp(scan->at - links[i].len, links[i].text, links[i].len) == 0)
			return true;
	}
	return false;
}
