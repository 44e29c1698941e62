/*-------------------------------------------------------------------------
 *
 * decimal.c
 *	  Amounts of money, exactly as they were written.
 *
 * Money never passes through a double here: 49.90 goes out as 49.90 and the
 * sum of a basket is the one on the invoice.  Only a number with more digits
 * than a double can hold, such as a quotient of two numerics, is rounded to
 * that double, because a reader of JSON makes a double of it anyway.
 *
 *-------------------------------------------------------------------------
 */
#include "event/decimal.h"

#include "common/shortest_dec.h"
#include "event/ascii.h"

#define LIMB			1000000000
#define LIMB_DIGITS		9

/* Larger exponents are out of range whatever the digits are. */
#define LARGEST_EXPONENT	INT64CONST(4000000000)

/* A literal taken apart: 0.DDD... times ten to the power of point. */
typedef struct Parts
{
	bool		negative;
	int			kept;			/* digits in the array */
	int64		count;			/* up to the last that is not zero */
	int64		point;
	int64		scale;			/* digits behind the point as written */
	char		digits[64];		/* without leading zeros */
} Parts;

static bool
same_word(const char *literal, int len, const char *word)
{
	return len == strlen(word) && pg_strncasecmp(literal, word, len) == 0;
}

static bool
is_not_finite(const char *literal, int len)
{
	if (len > 0 && (*literal == '-' || *literal == '+'))
	{
		literal++;
		len--;
	}
	return same_word(literal, len, "nan") || same_word(literal, len, "inf") ||
		same_word(literal, len, "infinity");
}

static bool
read_exponent(const char *at, const char *end, int64 *exponent)
{
	bool		negative = false;

	*exponent = 0;
	if (at < end && (*at == '-' || *at == '+'))
		negative = (*at++ == '-');
	if (at == end)
		return false;
	for (; at < end; at++)
	{
		if (*at < '0' || *at > '9')
			return false;
		if (*exponent < LARGEST_EXPONENT)
			*exponent = *exponent * 10 + (*at - '0');
	}
	if (negative)
		*exponent = -*exponent;
	return true;
}

static void
take_digit(Parts *parts, char digit, bool fraction, int64 *seen)
{
	if (*seen == 0 && digit == '0')
	{
		/* zeros in front count only behind the point */
		parts->point -= fraction;
		return;
	}
	(*seen)++;
	parts->point += !fraction;
	if (digit != '0')
		parts->count = *seen;
	if (parts->kept < sizeof(parts->digits))
		parts->digits[parts->kept++] = digit;
}

static bool
read_parts(const char *literal, int len, Parts *parts)
{
	const char *at = literal;
	const char *end = literal + len;
	bool		fraction = false;
	bool		any = false;
	int64		seen = 0;
	int64		exponent = 0;

	memset(parts, 0, offsetof(Parts, digits));
	if (at < end && (*at == '-' || *at == '+'))
		parts->negative = (*at++ == '-');
	for (; at < end && *at != 'e' && *at != 'E'; at++)
	{
		if (*at == '.' && !fraction)
			fraction = true;
		else if (tte_ascii_digit(*at))
		{
			any = true;
			parts->scale += fraction;
			take_digit(parts, *at, fraction, &seen);
		}
		else
			return false;
	}
	if (!any || (at < end && !read_exponent(at + 1, end, &exponent)))
		return false;
	parts->point += exponent;
	parts->scale = Max(parts->scale - exponent, 0);
	parts->kept = Min(parts->kept, parts->count);
	if (parts->count == 0)
	{
		parts->negative = false;
		parts->point = 0;
	}
	return true;
}

/* Writes whole digits, and scale digits behind a point, zero-terminated. */
static int
write_parts(const Parts *parts, int whole, int scale, char *to)
{
	int			n = 0;
	int			shown = Max(whole, 1) + scale;

	for (int i = 0; i < shown; i++)
	{
		/* index into the digits: the last whole one is at point - 1 */
		int64		at = parts->point - Max(whole, 1) + i;

		if (i == Max(whole, 1))
			to[n++] = '.';
		to[n++] = (at >= 0 && at < parts->kept) ? parts->digits[at] : '0';
	}
	to[n] = '\0';
	return n;
}

/* Replaces a number in range by the shortest one that is the same double. */
static void
round_to_double(Parts *parts)
{
	char		literal[sizeof(parts->digits) + 32];
	char		shortest[DOUBLE_SHORTEST_DECIMAL_LEN];
	bool		negative = parts->negative;

	/* dropped digits decide a tie; the last of them is not zero */
	snprintf(literal, sizeof(literal), "0.%.*s%se%d", parts->kept, parts->digits,
			 parts->count > parts->kept ? "1" : "", (int) parts->point);
	double_to_shortest_decimal_buf(strtod(literal, NULL), shortest);
	read_parts(shortest, strlen(shortest), parts);
	parts->negative = negative;
}

/* Rounds to scale digits behind the point, half away from zero. */
static void
round_to_scale(Parts *parts, int scale)
{
	int64		kept = parts->point + scale;
	bool		up;

	if (parts->count <= kept)
		return;
	if (kept < 0)
		kept = 0;
	up = (kept == parts->point + scale && parts->digits[kept] >= '5');
	parts->kept = kept;
	while (up && parts->kept > 0)
	{
		up = (parts->digits[parts->kept - 1] == '9');
		if (!up)
			parts->digits[parts->kept - 1]++;
		else
			parts->kept--;
	}
	if (up)
	{
		parts->digits[parts->kept++] = '1';
		parts->point++;
	}
	while (parts->kept > 0 && parts->digits[parts->kept - 1] == '0')
		parts->kept--;
	parts->count = parts->kept;
	parts->scale = Min(parts->scale, scale);
}

TteDecimalState
tte_decimal_read(const char *literal, int len, TteDecimal *decimal)
{
	Parts		parts;
	int64		needed;

	if (!read_parts(literal, len, &parts))
		return is_not_finite(literal, len) ? TTE_DECIMAL_NOT_FINITE : TTE_DECIMAL_SYNTAX;
	if (parts.point > TTE_DECIMAL_WHOLE || parts.point < -TTE_DECIMAL_SCALE)
		return TTE_DECIMAL_RANGE;
	if (parts.count > TTE_DECIMAL_DIGITS)
		round_to_double(&parts);
	if (parts.count > 0)
	{
		round_to_scale(&parts, TTE_DECIMAL_SCALE);
		/* more than zero, but rounded to zero */
		if (parts.count == 0)
			return TTE_DECIMAL_RANGE;
	}
	needed = Max(parts.count - parts.point, 0);
	if (parts.point > TTE_DECIMAL_WHOLE)
		return TTE_DECIMAL_RANGE;
	decimal->negative = parts.negative;
	decimal->integral = (needed == 0);
	decimal->whole = Max(parts.point, 1);
	/* trailing zeros are kept unless the number becomes too long */
	decimal->scale = (decimal->whole + parts.scale <= TTE_DECIMAL_WHOLE) ?
		parts.scale : needed;
	write_parts(&parts, decimal->whole, decimal->scale, decimal->digits);
	return TTE_DECIMAL_OK;
}

/* The digits without their point, and an exponent for it. */
TteDecimalState
tte_decimal_shift(TteDecimal *decimal, int digits)
{
	char		str[sizeof(decimal->digits) + 16];
	bool		negative = decimal->negative;
	TteDecimalState state;
	int			len = 0;
	int			zeros;

	if (digits == 0)
		return TTE_DECIMAL_OK;
	for (const char *p = decimal->digits; *p != '\0'; p++)
	{
		if (*p != '.')
			str[len++] = *p;
	}
	str[len] = '\0';

	/* a JSON number has no leading zeros */
	zeros = Min((int) strspn(str, "0"), len - 1);
	snprintf(str + len, sizeof(str) - len, "e-%d", decimal->scale + digits);
	state = tte_decimal_read(str + zeros, strlen(str + zeros), decimal);
	decimal->negative = negative;
	return state;
}

int64
tte_decimal_integer(const TteDecimal *decimal, int64 max)
{
	int64		number = 0;

	if (decimal->negative || !decimal->integral)
		return -1;
	for (int i = 0; i < decimal->whole; i++)
		number = number * 10 + (decimal->digits[i] - '0');
	return number <= max ? number : -1;
}

int
tte_decimal_plain(const char *literal, int len, char *to, int size)
{
	Parts		parts;
	int64		whole;
	int			n = 0;

	if (!read_parts(literal, len, &parts))
		return -1;
	whole = Max(parts.point, 1);
	if (parts.count > sizeof(parts.digits) || whole + parts.scale + 3 > size)
		return -1;
	if (parts.negative)
		to[n++] = '-';
	return n + write_parts(&parts, whole, parts.scale, to + n);
}

/*
 * Sums
 */

/* Up to nine digits from position at, counted from the lowest. */
static uint32
limb_at(const char *digits, int count, int at)
{
	uint32		limb = 0;
	int			first = Max(count - at - LIMB_DIGITS, 0);

	for (int i = first; i < count - at; i++)
		limb = limb * 10 + (digits[i] - '0');
	return limb;
}

void
tte_sum_add(TteSum *sum, const TteDecimal *amount, uint32 quantity)
{
	char		digits[TTE_DECIMAL_WHOLE + TTE_DECIMAL_SCALE];
	int			count = amount->whole + TTE_DECIMAL_SCALE;
	uint64		carry = 0;

	memset(digits, '0', sizeof(digits));
	memcpy(digits, amount->digits, amount->whole);
	if (amount->scale > 0)
		memcpy(digits + amount->whole, amount->digits + amount->whole + 1, amount->scale);
	for (int i = 0; i < lengthof(sum->limbs); i++)
	{
		carry += sum->limbs[i];
		carry += (uint64) limb_at(digits, count, i * LIMB_DIGITS) * quantity;
		sum->limbs[i] = carry % LIMB;
		carry /= LIMB;
	}
	sum->scale = Max(sum->scale, amount->scale);
}

TteDecimalState
tte_sum_result(const TteSum *sum, TteDecimal *decimal)
{
	char		digits[lengthof(sum->limbs) * LIMB_DIGITS + 1];
	int			whole = (lengthof(sum->limbs) - 2) * LIMB_DIGITS;
	int			first = 0;

	for (int i = 0; i < lengthof(sum->limbs); i++)
	{
		uint64		limb = sum->limbs[lengthof(sum->limbs) - 1 - i];

		for (int j = LIMB_DIGITS - 1; j >= 0; j--)
		{
			digits[i * LIMB_DIGITS + j] = '0' + limb % 10;
			limb /= 10;
		}
	}
	digits[sizeof(digits) - 1] = '\0';
	while (first < whole - 1 && digits[first] == '0')
		first++;
	if (whole - first > TTE_DECIMAL_WHOLE)
		return TTE_DECIMAL_RANGE;
	decimal->negative = false;
	decimal->integral = (strspn(digits + whole, "0") >= sum->scale);
	decimal->whole = whole - first;
	decimal->scale = sum->scale;
	memcpy(decimal->digits, digits + first, decimal->whole);
	decimal->digits[decimal->whole] = '\0';
	if (sum->scale > 0)
	{
		decimal->digits[decimal->whole] = '.';
		memcpy(decimal->digits + decimal->whole + 1, digits + whole, sum->scale);
		decimal->digits[decimal->whole + 1 + sum->scale] = '\0';
	}
	return TTE_DECIMAL_OK;
}
