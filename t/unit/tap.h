/*-------------------------------------------------------------------------
 *
 * tap.h
 *	  What the unit tests print: the Test Anything Protocol.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TTE_TAP_H
#define TTE_TAP_H

static int	tap_tests = 0;
static int	tap_failed = 0;

static inline void
ok(bool good, const char *name)
{
	tap_tests++;
	tap_failed += !good;
	printf("%sok %d - %s\n", good ? "" : "not ", tap_tests, name);
	fflush(stdout);
}

static inline void
is_text(const char *got, const char *expected, const char *name)
{
	bool		good = strcmp(got, expected) == 0;

	ok(good, name);
	if (!good)
		printf("# got      \"%s\"\n# expected \"%s\"\n", got, expected);
}

/* The end of main(): prints the plan, returns the exit status. */
static inline int
tap_end(void)
{
	printf("1..%d\n", tap_tests);
	return tap_failed != 0;
}

#endif							/* TTE_TAP_H */
