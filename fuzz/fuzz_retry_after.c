/*-------------------------------------------------------------------------
 *
 * fuzz_retry_after.c
 *	  libFuzzer target: the Retry-After header.
 *
 * The first byte chooses the status, the second the clock; the rest is the
 * header.  What is a number of seconds or a date is read a second time here,
 * in another way.
 *
 *-------------------------------------------------------------------------
 */
#include "answer/verdict.h"

#include <time.h>

#include "fuzz.h"

#define SECOND	INT64CONST(1000000)
#define HOUR	(3600 * SECOND)
#define DAY		(24 * HOUR)

static const int statuses[] = {429, 429, 503, 200, 400, 408, 500, 0};

/* 2026-11-06 21:20, the example of the HTTP standard, the ends of time */
static const int64 clocks[] = {
	INT64CONST(1794000000) * SECOND, INT64CONST(784111777) * SECOND, 0, -SECOND,
	INT64CONST(253402300799) * SECOND, PG_INT64_MAX, PG_INT64_MIN
};

static int64
within_limits(int64 pause)
{
	return pause > DAY ? 0 : Min(Max(pause, SECOND), HOUR);
}

/* Digits, and nothing else but blanks around them? */
static bool
is_number(const char *header)
{
	header += strspn(header, " ");
	if (*header < '0' || *header > '9')
		return false;
	header += strspn(header, "0123456789");
	return header[strspn(header, " ")] == '\0';
}

static int64
pause_of_number(const char *header)
{
	header += strspn(header, " ");
	header += strspn(header, "0");
	if (strspn(header, "0123456789") > 6)
		return 0;
	return within_limits(atol(header) * SECOND);
}

/* True for a date as this program would write it. */
static bool
is_date(const char *header, int64 *seconds)
{
	struct tm	tm = {0};
	const char *end = strptime(header, "%a, %d %b %Y %H:%M:%S GMT", &tm);
	char		printed[64];
	time_t		time;

	if (end == NULL || *end != '\0')
		return false;
	time = timegm(&tm);
	*seconds = time;
	return strftime(printed, sizeof(printed), "%a, %d %b %Y %H:%M:%S GMT", gmtime(&time)) > 0 &&
		strcmp(printed, header) == 0;
}

static int64
pause_of_date(int64 date, int64 now)
{
	int64		seconds = date - now / SECOND;

	return seconds <= 0 ? 0 : within_limits(Min(seconds, 86401) * SECOND);
}

int
LLVMFuzzerTestOneInput(const uint8 *data, size_t size)
{
	int			status;
	int64		now;
	int64		date;
	char	   *header;
	TteReply	reply;

	if (size < 2)
		return 0;
	status = statuses[data[0] % lengthof(statuses)];
	now = clocks[data[1] % lengthof(clocks)];
	header = heap_string(data + 2, size - 2);
	tte_reply_judge(TTE_TRANSPORT_ANSWERED, status, "", 0, false, "", header, now, &reply);
	require(reply.retry_after == 0 || (reply.retry_after >= SECOND && reply.retry_after <= HOUR),
			"a pause lasts from a second to an hour");
	require(reply.retry_after % SECOND == 0, "a pause lasts whole seconds");
	if (is_number(header))
		require(reply.retry_after == pause_of_number(header), "seconds are read as written");
	else if (is_date(header, &date))
		require(reply.retry_after == pause_of_date(date, now), "a date is read as written");
	else if (strpbrk(header, "0123456789") == NULL)
		require(reply.retry_after == 0, "words are no pause");
	arena_reset();
	return 0;
}
