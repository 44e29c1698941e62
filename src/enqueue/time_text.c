/*-------------------------------------------------------------------------
 *
 * time_text.c
 *	  Points in time that are written as text.
 *
 * PostgreSQL's own decoder is not used.  Up to version 15 it raises an error
 * for a word that looks like the name of a time zone, which must not happen
 * inside a trigger; and 01/02/2026 and IST depend on settings of the session.
 * So only unambiguous forms are read here, with the result of the cast to
 * timestamptz.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/datetime.h"

#include "enqueue/time_text.h"
#include "event/ascii.h"

/* As in PostgreSQL: largest offset from UTC, in hours. */
#define LARGEST_OFFSET	15

typedef struct Text
{
	const char *at;
	const char *end;
} Text;

typedef struct Time
{
	int			year;
	int			month;
	int			day;
	int			hour;
	int			minute;
	int			second;
	int64		usec;
} Time;

/* The number of digits at this position. */
static int
digit_run(const Text *str)
{
	int			n = 0;

	while (str->at + n < str->end && tte_ascii_digit(str->at[n]))
		n++;
	return n;
}

static bool
take_digits(Text *str, int n, int *value)
{
	*value = 0;
	if (digit_run(str) < n)
		return false;
	for (; n > 0; n--)
		*value = *value * 10 + (*str->at++ - '0');
	return true;
}

static bool
take_char(Text *str, char c)
{
	if (str->at == str->end || *str->at != c)
		return false;
	str->at++;
	return true;
}

/* Takes a word in any letter case, but not the beginning of a longer one. */
static bool
take_word(Text *str, const char *word)
{
	int			len = strlen(word);
	const char *behind = str->at + len;

	if (str->end - str->at < len || pg_strncasecmp(str->at, word, len) != 0)
		return false;
	if (behind < str->end && (tte_ascii_letter(*behind)))
		return false;
	str->at = behind;
	return true;
}

static bool
take_blanks(Text *str)
{
	const char *start = str->at;

	while (take_char(str, ' '))
		;
	return str->at > start;
}

/*
 * Dates
 */

static bool
take_month(Text *str, int *month)
{
	static const char *const names[] = {
		"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"
	};

	for (*month = 1; *month <= lengthof(names); (*month)++)
	{
		if (take_word(str, names[*month - 1]))
			return true;
	}
	return false;
}

static bool
take_weekday(Text *str)
{
	static const char *const names[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};

	for (int i = 0; i < lengthof(names); i++)
	{
		if (take_word(str, names[i]))
		{
			take_char(str, ',');
			return take_blanks(str);
		}
	}
	return false;
}

/* Takes a date such as 29 Nov 2026 or 1 Nov 2026. */
static bool
take_rfc_date(Text *str, Time *time)
{
	int			n = digit_run(str);

	return (n == 1 || n == 2) && take_digits(str, n, &time->day) && take_blanks(str) &&
		take_month(str, &time->month) && take_blanks(str) && digit_run(str) == 4 &&
		take_digits(str, 4, &time->year);
}

static bool
take_date(Text *str, Time *time)
{
	int			n = digit_run(str);
	char		separator;

	if (n < 4)
	{
		take_weekday(str);
		return take_rfc_date(str, time);
	}
	if (n == 8 || n == 14)
		return take_digits(str, 4, &time->year) && take_digits(str, 2, &time->month) &&
			take_digits(str, 2, &time->day);
	if (n != 4 || !take_digits(str, 4, &time->year) || str->at == str->end)
		return false;
	separator = *str->at;
	return (separator == '-' || separator == '/') &&
		take_char(str, separator) && digit_run(str) == 2 && take_digits(str, 2, &time->month) &&
		take_char(str, separator) && digit_run(str) == 2 && take_digits(str, 2, &time->day);
}

/*
 * Times
 */

/* Takes a fraction behind a point or comma; rounds to microseconds, as PostgreSQL does. */
static bool
take_fraction(Text *str, Time *time)
{
	int			unit = USECS_PER_SEC / 10;

	if (!take_char(str, '.') && !take_char(str, ','))
		return true;
	if (digit_run(str) == 0)
		return false;
	for (; str->at < str->end && tte_ascii_digit(*str->at); str->at++, unit /= 10)
	{
		time->usec += (*str->at - '0') * unit;
		if (unit == 0)
		{
			time->usec += *str->at >= '5';
			str->at += digit_run(str);
			break;
		}
	}
	return true;
}

/* Takes 10:11, 10:11:12, 101112; behind a T also 10 and 1011. */
static bool
take_clock(Text *str, bool behind_t, Time *time)
{
	int			n = digit_run(str);
	bool		colon = (n == 2 && str->at + 2 < str->end && str->at[2] == ':');

	if (!take_digits(str, 2, &time->hour))
		return false;
	if (colon)
	{
		str->at++;
		if (digit_run(str) != 2 || !take_digits(str, 2, &time->minute))
			return false;
		if (!take_char(str, ':'))
			return true;
		return digit_run(str) == 2 && take_digits(str, 2, &time->second) && take_fraction(str, time);
	}
	if (n == 6)
		return take_digits(str, 2, &time->minute) && take_digits(str, 2, &time->second) &&
			take_fraction(str, time);
	return behind_t && (n == 2 || (n == 4 && take_digits(str, 2, &time->minute)));
}

/* Takes "Z", "UTC", "GMT", "+01", "+0100", "+01:00" or "+01:00:00". */
static bool
take_offset(Text *str, int *seconds)
{
	int			sign;
	int			parts[3] = {0};
	bool		colons;

	if (take_word(str, "Z") || take_word(str, "UTC") || take_word(str, "GMT"))
		return true;
	sign = take_char(str, '-') ? -1 : 1;
	if (sign > 0 && !take_char(str, '+'))
		return false;
	colons = (digit_run(str) == 2);
	for (int i = 0; i < lengthof(parts); i++)
	{
		if (i > 0 && str->at == str->end)
			break;
		if ((i > 0 && colons && !take_char(str, ':')) || !take_digits(str, 2, &parts[i]))
			return false;
	}
	*seconds = sign * (parts[0] * SECS_PER_HOUR + parts[1] * SECS_PER_MINUTE + parts[2]);
	return parts[0] <= LARGEST_OFFSET && parts[1] < MINS_PER_HOUR && parts[2] < SECS_PER_MINUTE;
}

/* Converts; false if there is no such time. 24:00:00 and a leap second exist. */
static bool
to_timestamp(const Time *time, Timestamp *local)
{
	if (time->year < 1 || time->month < 1 || time->month > MONTHS_PER_YEAR || time->day < 1 ||
		time->day > day_tab[isleap(time->year)][time->month - 1])
		return false;
	if (time->minute >= MINS_PER_HOUR || time->second > SECS_PER_MINUTE || time->hour > HOURS_PER_DAY ||
		(time->hour == HOURS_PER_DAY && (time->minute > 0 || time->second > 0 || time->usec > 0)))
		return false;
	*local = ((int64) (date2j(time->year, time->month, time->day) - POSTGRES_EPOCH_JDATE) * SECS_PER_DAY +
			  time->hour * SECS_PER_HOUR + time->minute * SECS_PER_MINUTE + time->second) * USECS_PER_SEC + time->usec;
	return true;
}

bool
tte_time_text(const char *str, int len, Timestamp *local, bool *has_offset, int *offset)
{
	Text		rest = {str, str + len};
	Time		time = {0};
	bool		behind_t;

	*has_offset = false;
	*offset = 0;
	if (!take_date(&rest, &time))
		return false;
	behind_t = take_char(&rest, 'T') || take_char(&rest, 't');
	if (!behind_t)
	{
		take_char(&rest, ',');
		take_blanks(&rest);
	}
	if (behind_t || (rest.at < rest.end && tte_ascii_digit(*rest.at)))
	{
		if (!take_clock(&rest, behind_t, &time))
			return false;
		take_blanks(&rest);
	}
	*has_offset = (rest.at < rest.end);
	if (*has_offset && !take_offset(&rest, offset))
		return false;
	return rest.at == rest.end && to_timestamp(&time, local);
}

bool
tte_time_digits(const char *str, int len, Timestamp *local)
{
	bool		has_offset;
	int			offset;

	if ((len != 8 && len != 14) || strspn(str, "0123456789") < len)
		return false;
	return tte_time_text(str, len, local, &has_offset, &offset);
}
