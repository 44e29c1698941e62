/*-------------------------------------------------------------------------
 *
 * fuzz.h
 *	  What the fuzz targets share.
 *
 * A target reads a few bytes of choices and a value, hands them to
 * src/event/ and checks what must hold for whatever comes out.  Include it
 * in one file of a program only.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TTE_FUZZ_H
#define TTE_FUZZ_H

#include "event/base.h"

#include "../t/unit/arena.h"

extern int	LLVMFuzzerTestOneInput(const uint8 *data, size_t size);

static inline void
require(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "violated: %s\n", what);
	abort();
}

/* Of just that size on the heap, so that reading beyond it is seen. */
static inline char *
heap_copy(const uint8 *data, size_t size)
{
	char	   *copy = palloc(size);

	memcpy(copy, data, size);
	return copy;
}

static inline char *
heap_string(const uint8 *data, size_t size)
{
	char	   *copy = palloc(size + 1);

	memcpy(copy, data, size);
	copy[size] = '\0';
	return copy;
}

#endif							/* TTE_FUZZ_H */
