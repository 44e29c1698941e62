/*-------------------------------------------------------------------------
 *
 * check.h
 *	  For the tests of src/event: memory, and checks that show what differs.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TTE_CHECK_H
#define TTE_CHECK_H

#include "arena.h"
#include "tap.h"

static inline void
check(bool good, const char *what, const char *given, const char *got, const char *expected)
{
	printf("%sok %d - %s%s", good ? "" : "not ", ++tap_tests, what, given ? " " : "");
	/* given text may hold anything: show its start, in ASCII, no directive */
	for (const char *c = given; c != NULL && *c != '\0' && c - given < 60; c++)
		putchar(*c >= ' ' && *c < 0x7F && *c != '#' ? *c : '?');
	putchar('\n');
	if (!good)
	{
		tap_failed++;
		printf("#   got:      %s\n#   expected: %s\n", got ? got : "(null)",
			   expected ? expected : "(null)");
	}
}

static inline bool
same(const char *a, const char *b)
{
	return (a == NULL || b == NULL) ? a == b : strcmp(a, b) == 0;
}

static inline void
check_text(const char *what, const char *given, const char *got, const char *expected)
{
	check(same(got, expected), what, given, got, expected);
}

static inline void
check_true(const char *what, bool good)
{
	check(good, what, NULL, "false", "true");
}

static inline char *
repeated(const char *str, int times, const char *end)
{
	StringInfoData out;

	initStringInfo(&out);
	for (int i = 0; i < times; i++)
		appendStringInfoString(&out, str);
	appendStringInfoString(&out, end);
	return out.data;
}

#endif							/* TTE_CHECK_H */
