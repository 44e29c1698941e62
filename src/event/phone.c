/*-------------------------------------------------------------------------
 *
 * phone.c
 *	  Telephone numbers in the international form of E.164.
 *
 * A number counts when it fits the numbering plan of a country that its
 * calling code stands for: one digit more, less or other would be another
 * person's.  What may be dialled before it, inside the country and from
 * abroad, is taken off as the plan says.  Plans are tables that a script
 * writes; there is no rule about one country here.
 *
 *-------------------------------------------------------------------------
 */
#include "event/phone.h"

#include "event/catalog.h"
#include "event/phone_tables.h"
#include "event/unicode.h"

/* Text that is looked at, and digits in it; more make no number. */
#define MOST_TEXT		160
#define MOST_DIGITS		TTE_PHONE_MOST

/* So many digits in a row, or all the same, are no coincidence. */
#define SHORTEST_RUN	5

/* Digits that may stand behind a number: "/12", and "ext. 12345". */
#define LONGEST_SUFFIX	4
#define LONGEST_EXTENSION	7
#define SHORTEST_BEFORE	7
#define SHORTEST_SECOND	6

typedef struct Number
{
	int			len;
	bool		plus;
	int			zero;			/* where "(0)" stands, or -1 */
	char		digits[MOST_DIGITS + 1];
} Number;

/*
 * Plans
 */

static const Code *
code_of(int number)
{
	int			index = code_index[number];

	return index > 0 ? &codes[index - 1] : NULL;
}

/* The calling code with which the digits begin: none begins with another. */
static const Code *
find_code(const char *digits)
{
	int			number = 0;

	if (digits[0] == '0')
		return NULL;
	for (int n = 0; n < 3 && digits[n] != '\0'; n++)
	{
		const Code *code;

		number = number * 10 + (digits[n] - '0');
		code = code_of(number);
		if (code != NULL)
			return code;
	}
	return NULL;
}

static int
code_length(int code)
{
	return code < 10 ? 1 : code < 100 ? 2 : 3;
}

static const Plan *
plan_of_country(const char *country)
{
	int			first = country[0] - 'a';
	int			second = country[0] != '\0' ? country[1] - 'a' : -1;
	int			index = 0;

	if (first >= 0 && first < 26 && second >= 0 && second < 26 && country[2] == '\0')
		index = country_index[26 * first + second];
	return index > 0 ? &plans[index - 1] : NULL;
}

static const Plan *
find_plan(const char *place)
{
	const Code *code;

	if (place == NULL || *place == '\0')
		return NULL;
	if (*place < '0' || *place > '9')
		return plan_of_country(place);
	code = (strspn(place, "0123456789") == strlen(place)) ? find_code(place) : NULL;
	return (code != NULL && code_length(code->code) == strlen(place)) ? &plans[members[code->first]] : NULL;
}

const char *
tte_calling_code_of(const char *given)
{
	char	   *place = pstrdup(*given == '+' ? given + 1 : given);

	if (*given == '+' && strspn(place, "0123456789") != strlen(place))
		return NULL;
	for (char *c = place; *c != '\0'; c++)
		*c = pg_ascii_tolower((unsigned char) *c);
	return find_plan(place) != NULL ? place : NULL;
}

const char *
tte_phone_release(void)
{
	return PHONE_RELEASE;
}

static bool
accepts(uint16 state, const char *digits)
{
	for (; *digits != '\0'; digits++)
		state = moves[state & ~ACCEPTS][*digits - '0'];
	return (state & ACCEPTS) != 0;
}

/* Is it a number, or a mobile number, of any country of the calling code? */
static const Plan *
fitting_plan(const Code *code, const char *digits, bool mobile)
{
	for (int i = 0; i < code->count; i++)
	{
		const Plan *plan = &plans[members[code->first + i]];

		if (accepts(mobile ? plan->mobile : plan->national, digits))
			return plan;
	}
	return NULL;
}

/* Does the number begin with the prefix? */
static bool
begins_with(const char *digits, int len, const Prefix *prefix)
{
	if (len < prefix->count || (prefix->whole && len > prefix->count))
		return false;
	for (int i = 0; i < prefix->count; i++)
	{
		if ((steps[prefix->first + i] >> (digits[i] - '0') & 1) == 0)
			return false;
	}
	return true;
}

static const Prefix *
find_prefix(const char *digits, int len, int first, int count)
{
	for (int i = first; i < first + count; i++)
	{
		if (begins_with(digits, len, &prefixes[i]))
			return &prefixes[i];
	}
	return NULL;
}

/* The number as the plan rewrites it; to has room for a few digits more. */
static void
rewrite(const Prefix *prefix, const char *digits, int len, char *to)
{
	int			n = strlen(prefix->insert);
	int			kept = prefix->keep_to - prefix->keep_from;

	memcpy(to, prefix->insert, n);
	memcpy(to + n, digits + prefix->keep_from, kept);
	memcpy(to + n + kept, digits + prefix->count, len - prefix->count + 1);
}

/*
 * Readings
 */

/* One way to read digits, with room for what a plan inserts. */
typedef struct Reading
{
	const Plan *plan;			/* whose number it is, or NULL */
	const Plan *judge;			/* whose rules were followed */
	TtePhoneForm form;
	bool		rewritten;
	char		national[MOST_DIGITS + 8];
} Reading;

/*
 * A number of the judge's calling code, with or without its prefix.  Behind a
 * calling code there should be none.
 */
static bool
read_national(const Plan *judge, const char *digits, TtePhoneForm form, Reading *reading)
{
	const Code *code = code_of(judge->code);
	int			len = strlen(digits);
	const Prefix *prefix = find_prefix(digits, len, judge->inside, judge->inside_count);

	reading->judge = judge;
	reading->form = form;
	reading->plan = NULL;
	reading->rewritten = false;
	memcpy(reading->national, digits, len + 1);
	if (prefix == NULL || form != TTE_PHONE_NATIONAL)
		reading->plan = fitting_plan(code, digits, false);
	if (prefix != NULL && reading->plan == NULL)
	{
		rewrite(prefix, digits, len, reading->national);
		reading->rewritten = strcmp(reading->national, digits) != 0;
		reading->plan = fitting_plan(code, reading->national, false);
	}
	if (reading->plan == NULL && reading->rewritten)
	{
		reading->rewritten = false;
		memcpy(reading->national, digits, len + 1);
		reading->plan = fitting_plan(code, digits, false);
	}
	return reading->plan != NULL;
}

/* Calling code and number; an unknown code leaves the reading as it is. */
static bool
read_international(const char *digits, TtePhoneForm form, Reading *reading)
{
	const Code *code = find_code(digits);

	if (code == NULL)
		return false;
	return read_national(&plans[members[code->first]], digits + code_length(code->code), form, reading);
}

/*
 * The digits begin with the country's own calling code, and there is no sign
 * whether they are meant so, nor does the pattern tell.  What most people have
 * is a mobile number: if that does not decide, nothing does.
 */
static const char *
decide(const Plan *plan, Reading *reading, const Reading *other)
{
	const Code *code = code_of(plan->code);
	bool		mobile = fitting_plan(code, reading->national, true) != NULL;

	if (strcmp(reading->national, other->national) == 0 || !plan->has_prefix || reading->rewritten)
		return NULL;
	if (fitting_plan(code, other->national, true) != NULL)
		*reading = *other;
	else if (!mobile)
		return "phone_ambiguous";
	return NULL;
}

static const char *
read_without_plus(const char *digits, const Plan *plan, Reading *reading)
{
	int			len = strlen(digits);
	bool		zeros = (digits[0] == '0' && digits[1] == '0');
	const Prefix *prefix;
	Reading		other = {0};

	if (plan == NULL)
		return zeros && read_international(digits + 2, TTE_PHONE_PREFIX, reading) ? NULL :
			(zeros && reading->judge != NULL) ? "phone_plan" : "phone_no_country";
	prefix = find_prefix(digits, len, plan->outside, plan->outside_count);
	if (prefix != NULL && digits[prefix->count] != '0' &&
		read_international(digits + prefix->count, TTE_PHONE_PREFIX, reading))
		return NULL;
	if (read_national(plan, digits, TTE_PHONE_NATIONAL, reading) && zeros)
		return NULL;
	if (zeros)
		return read_international(digits + 2, TTE_PHONE_PREFIX, reading) ? NULL : "phone_plan";
	if (find_code(digits) != code_of(plan->code) ||
		!read_international(digits, TTE_PHONE_CODE, &other))
		return reading->plan != NULL ? NULL : "phone_plan";
	if (reading->plan != NULL)
		return decide(plan, reading, &other);
	*reading = other;
	return NULL;
}

/* All digits the same, or each one more or less than the one before; 0 ends 1 to 9. */
static bool
is_placeholder(const char *digits)
{
	int			len = strlen(digits);
	int			step = (len < SHORTEST_RUN) ? 2 : digits[1] - digits[0];

	if (step < -1 || step > 1)
		return false;
	for (int i = 1; i < len; i++)
	{
		if (digits[i] - digits[i - 1] != step &&
			!(step == 1 && i == len - 1 && digits[i - 1] == '9' && digits[i] == '0'))
			return false;
	}
	return true;
}

/* Too short or too long for all countries of the plan's calling code? */
static int
misfit(const Plan *plan, const char *national)
{
	const Code *code = code_of(plan->code);
	uint32		lengths = 0;
	int			len = strlen(national);

	for (int i = 0; i < code->count; i++)
		lengths |= plans[members[code->first + i]].lengths;
	if (len > 31 || lengths >> len == 0)
		return 1;
	return (lengths & ((UINT32_C(2) << len) - 1)) == 0 ? -1 : 0;
}

/* Plus sign, calling code, number; it fits. */
static void
write_number(int code, const char *national, char *to)
{
	int			n = code_length(code);

	*to = '+';
	for (int i = n; i > 0; i--)
	{
		to[i] = '0' + code % 10;
		code /= 10;
	}
	strcpy(to + n + 1, national);
}

static const char *
finish(const char *reason, const Reading *reading, TtePhone *phone)
{
	const Plan *plan = reading->plan != NULL ? reading->plan : reading->judge;

	if (plan != NULL)
	{
		phone->region = plan->region;
		phone->code = plan->code;
		phone->form = reading->form;
		phone->rewritten = reading->rewritten;
	}
	if (reason == NULL && is_placeholder(reading->national))
		reason = "junk";
	if (reason == NULL && strlen(reading->national) + code_length(plan->code) > TTE_PHONE_DIGITS)
	{
		phone->misfit = 1;
		reason = "phone_length";
	}
	if (reason == NULL)
		write_number(plan->code, reading->national, phone->number);
	else if (strcmp(reason, "phone_plan") == 0 && plan != NULL)
	{
		phone->misfit = misfit(plan, reading->national);
		if (phone->misfit != 0)
			return "phone_length";
	}
	return reason;
}

static const char *
read_digits(const Number *number, const char *place, TtePhone *phone)
{
	Reading		reading = {0};
	const char *digits = number->digits;
	const char *reason;

	memset(phone, 0, sizeof(*phone));
	memcpy(phone->digits, digits, number->len + 1);
	if (number->len == 0)
		return "phone_syntax";
	if (is_placeholder(digits))
		return "junk";
	if (!number->plus)
		reason = read_without_plus(digits, find_plan(place), &reading);
	else
	{
		if (digits[0] == '0' && digits[1] == '0')
			digits += 2;
		reason = read_international(digits, TTE_PHONE_PLUS, &reading) ? NULL :
			reading.judge == NULL ? "phone_syntax" : "phone_plan";
	}
	return finish(reason, &reading, phone);
}

/* The same; a zero in brackets that no plan knows is left out. */
static const char *
read_number(const Number *number, const char *place, TtePhone *phone)
{
	const char *reason = read_digits(number, place, phone);
	Number		without = *number;
	TtePhone	other;

	if (reason == NULL || number->zero < 0)
		return reason;
	memmove(without.digits + number->zero, without.digits + number->zero + 1, number->len - number->zero);
	without.len--;
	if (read_digits(&without, place, &other) != NULL)
		return reason;
	*phone = other;
	phone->rewritten = true;
	return NULL;
}

/*
 * Text
 */

typedef struct Scan
{
	const char *at;
	const char *end;
	const char *start;
} Scan;

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* What is neither ASCII nor understood counts as a letter. */
static bool
is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || c == '?';
}

/* What a character that is not ASCII, or not printable, stands for; 0: nothing. */
static char
plain_char(uint32 code)
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

/* Lower-case ASCII: digits of all scripts, what is full-width, no marks. */
static int
make_plain(const char *value, int len, char *to)
{
	const char *end = value + len;
	int			n = 0;

	while (value < end && n < MOST_TEXT)
	{
		char		c = *value;

		if (c >= ' ' && c < 0x7F)
		{
			to[n++] = (c >= 'A' && c <= 'Z') ? c + ('a' - 'A') : c;
			value++;
		}
		else if ((c = plain_char(tte_utf8_next(&value))) != '\0')
			to[n++] = c;
	}
	to[n] = '\0';
	return n;
}

/* "352628123456.0", "4.9E+12": a number that went through a float. */
static bool
was_float(const char *scan)
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
	return *rest == 'e' && (is_digit(rest[1]) || rest[1] == '+' || rest[1] == '-');
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

/* Digits and what may stand between them, up to anything else. */
static const char *
scan_number(Scan *scan, Number *number)
{
	number->len = 0;
	number->plus = false;
	number->zero = -1;
	for (; scan->at < scan->end; scan->at++)
	{
		char		c = *scan->at;

		if (is_digit(c))
		{
			if (number->len == MOST_DIGITS)
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

typedef enum Mark
{
	MARK_NONE,
	MARK_SEPARATOR,				/* between two numbers, or within one */
	MARK_OR,					/* between two numbers */
	MARK_EXTENSION				/* before an extension, or anything */
} Mark;

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

/* What stands behind a number, and steps over it. */
static Mark
scan_mark(Scan *scan)
{
	const char *word = scan->at;
	int			len;

	if (scan->at == scan->end)
		return MARK_NONE;
	if (*scan->at == '+')
		return MARK_OR;
	if (*scan->at == '&' || *scan->at == '|')
	{
		scan->at++;

		return MARK_OR;
	}
	if (*scan->at == '#')
	{
		scan->at++;

		return MARK_EXTENSION;
	}
	if ((*scan->at == '/' || *scan->at == ',' || *scan->at == ';') && !is_letter(scan->at[1]))
	{
		scan->at++;

		return MARK_SEPARATOR;
	}
	while (scan->at < scan->end && (is_letter(*scan->at) || strchr("/,;:=#.", *scan->at) != NULL))
		scan->at++;
	len = scan->at - word;

	return is_or(word, len) ? MARK_OR : MARK_EXTENSION;
}

/* Is the rest, from a bracket on, a remark without digits? */
static bool
is_remark(const Scan *scan, const char *mark)
{
	const char *before = mark;

	while (before > scan->start && before[-1] == ' ')
		before--;
	return before > scan->start && before[-1] == '(' && scan->end[-1] == ')' &&
		strpbrk(mark, "0123456789") == NULL;
}

/* What stands in front; true if it is a link that implies a plus sign. */
static bool
skip_front(Scan *scan)
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

/* Are the digits behind a mark those of an extension? */
static bool
is_extension(Mark mark, const Number *number, const Number *next, const char *place)
{
	TtePhone	phone;

	if (next->plus || mark == MARK_OR)
		return false;
	if (mark == MARK_SEPARATOR)
		return number->len >= SHORTEST_BEFORE && next->len <= LONGEST_SUFFIX;
	return next->len <= LONGEST_EXTENSION &&
		(number->len >= SHORTEST_BEFORE || read_number(number, place, &phone) == NULL);
}

/*
 * A second number makes two of it, if each fits a plan by itself, and a few
 * digits are an extension; all else is one number.
 */
static const char *
read_text(Scan *scan, const char *place, TtePhone *phone)
{
	bool		link = skip_front(scan);
	Number		number;
	const char *reason = scan_number(scan, &number);

	number.plus |= link;
	while (reason == NULL && scan->at < scan->end)
	{
		const char *before = scan->at;
		Mark		mark = scan_mark(scan);
		Number		next;
		TtePhone	other;

		reason = scan_number(scan, &next);
		if (reason != NULL)
			break;
		if (next.len == 0 && scan->at == scan->end && mark == MARK_SEPARATOR)
			break;
		if (next.len == 0)
			return is_remark(scan, before) ? read_number(&number, place, phone) : "phone_syntax";
		if (is_extension(mark, &number, &next, place))
			return read_number(&number, place, phone);
		if (next.len >= SHORTEST_SECOND && (next.plus || next.digits[0] == '0') &&
			read_number(&number, place, phone) == NULL && read_number(&next, place, &other) == NULL)
			return NULL;
		if (mark != MARK_SEPARATOR || next.plus)
			return "phone_syntax";
		if (number.len + next.len > MOST_DIGITS)
			return "phone_length";
		memcpy(number.digits + number.len, next.digits, next.len + 1);
		number.len += next.len;
	}
	return reason != NULL ? reason : read_number(&number, place, phone);
}

const char *
tte_phone_read(const char *value, int len, const char *place, TtePhone *phone)
{
	char		plain[MOST_TEXT + 1];
	int			n = make_plain(value, len, plain);
	Scan		scan = {plain, plain + n, plain};

	memset(phone, 0, sizeof(*phone));
	while (n > 0 && strchr(" '\"=", *scan.at) != NULL && *scan.at != '\0')
	{
		scan.at++;

		n--;
	}
	scan.start = scan.at;

	if (was_float(scan.at))
		return "phone_syntax";
	return read_text(&scan, place, phone);
}

const char *
tte_phone_previous(const char *value, int len, const char *place, TtePhone *phone)
{
	char		plain[MOST_TEXT + 1];
	int			n = make_plain(value, len, plain);
	Scan		scan = {plain, plain + n, plain};
	const Plan *plan = find_plan(place);
	const char *digits;
	Number		number;
	const char *reason = scan_number(&scan, &number);

	memset(phone, 0, sizeof(*phone));
	if (reason != NULL || scan.at < scan.end)
		return "phone_syntax";
	digits = number.digits;
	if (!number.plus && strncmp(digits, "00", 2) == 0)
	{
		number.plus = true;
		digits += 2;
	}
	if (number.len < SHORTEST_BEFORE || strlen(digits) + (number.plus ? 0 : 3) > TTE_PHONE_DIGITS)
		return "phone_length";
	if (!number.plus && plan == NULL)
		return "phone_no_country";
	if (number.plus)
		snprintf(phone->number, sizeof(phone->number), "+%s", digits);
	else
		write_number(plan->code, digits + (*digits == '0'), phone->number);
	return NULL;
}
