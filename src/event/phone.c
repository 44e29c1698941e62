/*-------------------------------------------------------------------------
 *
 * phone.c
 *	  Telephone numbers in the international form of E.164.
 *
 * A number is international when it begins with "+" or "00".  Everything
 * else is national and needs a calling code to go by.  It can then be read
 * with its trunk prefix, without it, or with the calling code but no "+";
 * where the numbering plan allows more than one of these, or none, the number
 * is refused: a wrong number would be another person's.
 *
 *-------------------------------------------------------------------------
 */
#include "event/phone.h"

#include "event/country.h"
#include "event/unicode.h"

/* More digits than any number has, so that too many are noticed. */
#define MOST_DIGITS		24

typedef struct Number
{
	int			len;
	bool		plus;
	char		digits[MOST_DIGITS + 1];
} Number;

static bool
is_separator(uint32 code)
{
	switch (code)
	{
		case '-':
		case '.':
		case '/':
		case '(':
		case ')':
		case 0x2212:			/* minus */
			return true;
		default:
			/* hyphens and dashes */
			return tte_unicode_blank(code) || (code >= 0x2010 && code <= 0x2015);
	}
}

/* Digits and leading plus; anything but separators between makes it none. */
static const char *
read_number(const char *value, int len, Number *number)
{
	const char *at = value;
	const char *end = value + len;

	number->len = 0;
	number->plus = false;
	while (at < end)
	{
		uint32		code = tte_utf8_next(&at);

		if (code >= '0' && code <= '9')
		{
			if (number->len == MOST_DIGITS)
				return "phone_length";
			number->digits[number->len++] = code;
		}
		else if (code == '+' && !number->plus && number->len == 0)
			number->plus = true;
		else if (!is_separator(code))
			return "phone_syntax";
	}
	number->digits[number->len] = '\0';
	return number->len == 0 ? "phone_syntax" : NULL;
}

/*
 * Length of the plan's trunk prefix with which the digits begin, or 0; then
 * of the one with a zero, if only such count.
 */
static int
trunk_length(const TtePhonePlan *plan, const char *digits, bool zero_only)
{
	const char *at = plan->trunk;

	while (*at != '\0')
	{
		int			n = strcspn(at, "|");

		if ((!zero_only || *at == '0') && strncmp(digits, at, n) == 0)
			return n;
		at += n;
		if (*at == '|')
			at++;
	}
	return 0;
}

/*
 * Turns what stands behind a calling code into a number without trunk
 * prefix: people write +49 (0)171.  Returns NULL if a zero stays where no
 * number has one.
 */
static const char *
without_zero(const TtePhonePlan *plan, const char *digits)
{
	if (*digits != '0' || plan->zero)
		return digits;
	digits += trunk_length(plan, digits, true);
	return *digits == '0' ? NULL : digits;
}

static const char *
finish_number(const char *code, const char *national, char *phone)
{
	int			codelen = strlen(code);
	int			len = strlen(national);

	if (codelen + len < 7 || codelen + len > TTE_PHONE_DIGITS)
		return "phone_length";
	phone[0] = '+';
	memcpy(phone + 1, code, codelen);
	memcpy(phone + 1 + codelen, national, len + 1);
	return NULL;
}

static const char *
international(const char *digits, int len, char *phone)
{
	const TtePhonePlan *plan = tte_phone_plan_of(digits, len);
	const char *rest;

	if (len < 7 || len > TTE_PHONE_DIGITS + 2)
		return "phone_length";
	if (plan == NULL)
		return "phone_syntax";
	rest = without_zero(plan, digits + strlen(plan->code));
	if (rest == NULL)
		return "phone_syntax";
	return finish_number(plan->code, rest, phone);
}

/* Can the digits be a number of the plan, or one of its mobile numbers? */
static bool
fits(const TtePhonePlan *plan, const char *digits, bool mobile)
{
	int			len = strlen(digits);

	if (*digits == '0' && !plan->zero)
		return false;
	/* in North America neither area code nor number begins with 1 */
	if (*digits == '1' && *plan->trunk == '1')
		return false;
	if (mobile)
		return len >= plan->mobile_shortest && len <= plan->mobile_longest;
	return len >= plan->shortest && len <= plan->longest;
}

static const char *
national(const char *digits, const char *calling_code, char *phone)
{
	const TtePhonePlan *plan = tte_phone_plan(calling_code, strlen(calling_code));
	const char *readings[3] = {NULL, NULL, NULL};
	const char *found = NULL;
	int			n;

	if (plan == NULL)
		return "phone_no_country";
	n = trunk_length(plan, digits, false);
	if (n > 0 && fits(plan, digits + n, false))
		readings[0] = digits + n;
	if (fits(plan, digits, *plan->trunk != '\0'))
		readings[1] = digits;
	n = strlen(plan->code);
	if (strncmp(digits, plan->code, n) == 0)
	{
		readings[2] = without_zero(plan, digits + n);
		if (readings[2] != NULL && !fits(plan, readings[2], false))
			readings[2] = NULL;
	}
	for (int i = 0; i < lengthof(readings); i++)
	{
		if (readings[i] == NULL)
			continue;
		if (found != NULL && strcmp(found, readings[i]) != 0)
			return "phone_no_country";
		found = readings[i];
	}
	return found == NULL ? "phone_length" : finish_number(plan->code, found, phone);
}

const char *
tte_phone_normalize(const char *value, int len, const char *calling_code,
					char phone[TTE_PHONE_DIGITS + 2])
{
	Number		number;
	const char *reason = read_number(value, len, &number);

	if (reason != NULL)
		return reason;
	if (number.plus)
		return international(number.digits, number.len, phone);
	if (number.digits[0] == '0' && number.digits[1] == '0')
		return international(number.digits + 2, number.len - 2, phone);
	if (number.len < 4 || number.len > TTE_PHONE_DIGITS)
		return "phone_length";
	if (calling_code == NULL || *calling_code == '\0')
		return "phone_no_country";
	return national(number.digits, calling_code, phone);
}
