/*-------------------------------------------------------------------------
 *
 * phone.c
 *	  Telephone numbers in the international form of E.164.
 *
 * A number is valid if it fits the numbering plan of a country with its
 * calling code: with one digit wrong it would be another person's.  Prefixes
 * that are dialled before it, inside the country and from abroad, are removed
 * as the plan says.  A script writes the plans into tables; there is no rule
 * about a single country here.
 *
 *-------------------------------------------------------------------------
 */
#include "event/phone.h"

#include "event/catalog.h"
#include "event/phone_tables.h"
#include "event/phone_text.h"

/* A run of this many digits in a row, or of equal digits, is a placeholder. */
#define SHORTEST_RUN	5

/* Most digits behind a number: "/12", and "ext. 12345". */
#define LONGEST_SUFFIX	4
#define LONGEST_EXTENSION	7
#define SHORTEST_BEFORE	7
#define SHORTEST_SECOND	6

/*
 * Plans
 */

static const Code *
code_of(int number)
{
	int			index = code_index[number];

	return index > 0 ? &codes[index - 1] : NULL;
}

/* The calling code with which the digits begin.  No calling code is a prefix of another. */
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

/*
 * The plan of a country with that calling code which the number fits, as any
 * number or as a mobile one.
 */
static const Plan *
fitting_plan(const Code *code, const char *digits, bool mobile)
{
	for (int i = 0; code != NULL && i < code->count; i++)
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

/* One reading of the digits, with space for the digits that a plan inserts. */
typedef struct Reading
{
	const Plan *plan;			/* whose number it is, or NULL */
	const Plan *judge;			/* whose rules were followed */
	TtePhoneForm form;
	bool		rewritten;
	char		national[TTE_PHONE_MOST + 8];
} Reading;

/*
 * Reads a number by the plan of judge, with or without its national prefix.
 * Behind a calling code there should be none.
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

/* Reads calling code and number; an unknown code leaves the reading unchanged. */
static bool
read_international(const char *digits, TtePhoneForm form, Reading *reading)
{
	const Code *code = find_code(digits);

	if (code == NULL)
		return false;
	return read_national(&plans[members[code->first]], digits + code_length(code->code), form, reading);
}

/*
 * The digits begin with the calling code of the country, and nothing tells
 * whether it is meant as such.  Most people give a mobile number: if only one
 * reading is mobile, that one is taken; otherwise the number is ambiguous.
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

/* Are all digits equal, or each one more or less than the one before? 0 follows 9. */
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

/* -1 or 1 if too short or too long for all countries of the calling code, else 0. */
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

/* Writes plus sign, calling code and number, which fit. */
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
	memcpy(to + n + 1, national, strlen(national) + 1);
}

static const char *
finish_reading(const char *reason, const Reading *reading, TtePhone *phone)
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
	if (reason == NULL && plan != NULL && strlen(reading->national) + code_length(plan->code) > TTE_PHONE_DIGITS)
	{
		phone->misfit = 1;
		reason = "phone_length";
	}
	if (reason == NULL && plan != NULL)
		write_number(plan->code, reading->national, phone->number);
	else if (reason != NULL && plan != NULL && strcmp(reason, "phone_plan") == 0)
	{
		phone->misfit = misfit(plan, reading->national);
		if (phone->misfit != 0)
			return "phone_length";
	}
	return reason;
}

static const char *
read_digits(const TtePhoneDigits *number, const char *place, TtePhone *phone)
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
	return finish_reading(reason, &reading, phone);
}

/* The same, without a zero in brackets if no plan knows it. */
static const char *
read_number(const TtePhoneDigits *number, const char *place, TtePhone *phone)
{
	const char *reason = read_digits(number, place, phone);
	TtePhoneDigits without = *number;
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

/* Are the digits behind a mark those of an extension? */
static bool
is_extension(TtePhoneMark mark, const TtePhoneDigits *number, const TtePhoneDigits *next, const char *place)
{
	TtePhone	phone;

	if (next->plus || mark == TTE_MARK_OR)
		return false;
	if (mark == TTE_MARK_SEPARATOR)
		return number->len >= SHORTEST_BEFORE && next->len <= LONGEST_SUFFIX;
	return next->len <= LONGEST_EXTENSION &&
		(number->len >= SHORTEST_BEFORE || read_number(number, place, &phone) == NULL);
}

/*
 * The text has two numbers if each fits a plan by itself; a few digits behind
 * a number are an extension.  Everything else is one number.
 */
static const char *
read_text(TtePhoneScan *scan, const char *place, TtePhone *phone)
{
	bool		link = tte_phone_skip_front(scan);
	TtePhoneDigits number;
	const char *reason = tte_phone_scan_number(scan, &number);

	number.plus |= link;
	while (reason == NULL && scan->at < scan->end)
	{
		const char *before = scan->at;
		TtePhoneMark mark = tte_phone_scan_mark(scan);
		TtePhoneDigits next;
		TtePhone	other;

		reason = tte_phone_scan_number(scan, &next);
		if (reason != NULL)
			break;
		if (next.len == 0 && scan->at == scan->end && mark == TTE_MARK_SEPARATOR)
			break;
		if (next.len == 0)
			return tte_phone_is_remark(scan, before) ? read_number(&number, place, phone) : "phone_syntax";
		if (is_extension(mark, &number, &next, place))
			return read_number(&number, place, phone);
		if (next.len >= SHORTEST_SECOND && (next.plus || next.digits[0] == '0') &&
			read_number(&number, place, phone) == NULL && read_number(&next, place, &other) == NULL)
			return NULL;
		if (mark != TTE_MARK_SEPARATOR || next.plus)
			return "phone_syntax";
		if (number.len + next.len > TTE_PHONE_MOST)
			return "phone_length";
		memcpy(number.digits + number.len, next.digits, next.len + 1);
		number.len += next.len;
	}
	return reason != NULL ? reason : read_number(&number, place, phone);
}

const char *
tte_phone_read(const char *value, int len, const char *place, TtePhone *phone)
{
	char		plain[TTE_PHONE_TEXT + 1];
	int			n = tte_phone_plain(value, len, plain);
	TtePhoneScan scan = {plain, plain + n, plain};

	memset(phone, 0, sizeof(*phone));
	while (n > 0 && strchr(" '\"=", *scan.at) != NULL && *scan.at != '\0')
	{
		scan.at++;

		n--;
	}
	scan.start = scan.at;

	if (tte_phone_was_float(scan.at))
		return "phone_syntax";
	return read_text(&scan, place, phone);
}

const char *
tte_phone_previous(const char *value, int len, const char *place, TtePhone *phone)
{
	char		plain[TTE_PHONE_TEXT + 1];
	int			n = tte_phone_plain(value, len, plain);
	TtePhoneScan scan = {plain, plain + n, plain};
	const Plan *plan = find_plan(place);
	const char *digits;
	TtePhoneDigits number;
	const char *reason = tte_phone_scan_number(&scan, &number);

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
