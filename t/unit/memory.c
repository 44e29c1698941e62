/*-------------------------------------------------------------------------
 *
 * memory.c
 *	  Unit test of deliver/memory.c: libcurl gets what malloc() and its kin
 *	  give, and for what is as large as a buffer to send from, pages that are in
 *	  no core file.
 *
 *-------------------------------------------------------------------------
 */
#include "deliver/memory.h"

#include "tap.h"

/* Does a core file have it? */
static bool
is_dumped(const void *address)
{
	FILE	   *maps = fopen("/proc/self/smaps", "r");
	char		line[4096];
	bool		here = false;
	bool		dumped = true;

	while (maps != NULL && fgets(line, sizeof(line), maps) != NULL)
	{
		unsigned long from;
		unsigned long to;

		if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
			here = (uintptr_t) address >= from && (uintptr_t) address < to;
		else if (here && strncmp(line, "VmFlags:", 8) == 0)
			dumped = strstr(line, " dd") == NULL;
	}
	if (maps != NULL)
		fclose(maps);
	return dumped;
}

static bool
is_all(const char *memory, char byte, size_t size)
{
	for (size_t i = 0; i < size; i++)
	{
		if (memory[i] != byte)
			return false;
	}
	return true;
}

static void
test_sizes(void)
{
	static const size_t sizes[] = {1, 24, 4096, TTE_MEMORY_PAGES - 1, TTE_MEMORY_PAGES, TTE_MEMORY_PAGES + 32, 16 * TTE_MEMORY_PAGES};

	for (int i = 0; i < lengthof(sizes); i++)
	{
		char	   *given = tte_memory_malloc(sizes[i]);
		char	   *zero = tte_memory_calloc(1, sizes[i]);
		bool		large = sizes[i] >= TTE_MEMORY_PAGES;

		ok(given != NULL && zero != NULL && given != zero, "two pieces");
		if (given == NULL || zero == NULL)
			continue;
		memset(given, 'x', sizes[i]);
		ok(is_all(zero, '\0', sizes[i]), "one is zero, and not the other");
		ok((uintptr_t) given % 16 == 0 && (uintptr_t) zero % 16 == 0, "aligned");
		ok(is_dumped(given) == !large && is_dumped(zero + sizes[i] - 1) == !large, "in no core file if large");
		tte_memory_free(given);
		ok(!large || is_all(given, '\0', sizes[i]), "wiped");
		tte_memory_free(zero);
	}
	tte_memory_free(NULL);
	ok(tte_memory_calloc(SIZE_MAX / 2, 3) == NULL && tte_memory_malloc(SIZE_MAX) == NULL, "too much");
}

static void
test_realloc(void)
{
	static const size_t steps[] = {100, 5000, TTE_MEMORY_PAGES, 3 * TTE_MEMORY_PAGES, TTE_MEMORY_PAGES + 1, 5000, 100};
	char	   *memory = NULL;

	for (int i = 0; i < lengthof(steps); i++)
	{
		memory = tte_memory_realloc(memory, steps[i]);
		ok(memory != NULL && (i == 0 || is_all(memory, 'x', Min(steps[i], steps[i - 1]))), "moved with what is in it");
		if (memory == NULL)
			return;
		ok(is_dumped(memory) == (steps[i] < TTE_MEMORY_PAGES), "to where it belongs");
		memset(memory, 'x', steps[i]);
	}
	tte_memory_free(memory);
}

int
main(void)
{
	test_sizes();
	test_realloc();
	return tap_end();
}
