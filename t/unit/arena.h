/*-------------------------------------------------------------------------
 *
 * arena.h
 *	  palloc for plain programs, with all memory given back at once.
 *
 * It takes the place of the frontend's own functions, which never free, so
 * that a program can render a million events, and each block stays one of
 * malloc's, so that the address sanitizer sees its bounds.  Include it in
 * one file of a program only.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TTE_ARENA_H
#define TTE_ARENA_H

typedef struct ArenaBlock
{
	struct ArenaBlock *next;
	struct ArenaBlock *prev;
} ArenaBlock;

static ArenaBlock arena = {&arena, &arena};

static void
arena_link(ArenaBlock *block)
{
	block->next = arena.next;
	block->prev = &arena;
	arena.next->prev = block;
	arena.next = block;
}

static void
arena_unlink(ArenaBlock *block)
{
	block->next->prev = block->prev;
	block->prev->next = block->next;
}

static inline void
arena_reset(void)
{
	ArenaBlock *next;

	for (ArenaBlock *block = arena.next; block != &arena; block = next)
	{
		next = block->next;
		free(block);
	}
	arena = (ArenaBlock) {&arena, &arena};
}

void *
palloc_extended(Size size, int flags)
{
	ArenaBlock *block = malloc(sizeof(ArenaBlock) + size);

	if (block == NULL)
		abort();
	arena_link(block);
	if (flags & MCXT_ALLOC_ZERO)
		memset(block + 1, 0, size);
	return block + 1;
}

void *
palloc(Size size)
{
	return palloc_extended(size, 0);
}

void *
palloc0(Size size)
{
	return palloc_extended(size, MCXT_ALLOC_ZERO);
}

void
pfree(void *pointer)
{
	ArenaBlock *block = (ArenaBlock *) pointer - 1;

	arena_unlink(block);
	free(block);
}

void *
repalloc(void *pointer, Size size)
{
	ArenaBlock *block = (ArenaBlock *) pointer - 1;

	arena_unlink(block);
	block = realloc(block, sizeof(ArenaBlock) + size);
	if (block == NULL)
		abort();
	arena_link(block);
	return block + 1;
}

char *
pnstrdup(const char *in, Size size)
{
	Size		len = strnlen(in, size);
	char	   *out;

	out = palloc(len + 1);
	memcpy(out, in, len);
	out[len] = '\0';
	return out;
}

char *
pstrdup(const char *in)
{
	return pnstrdup(in, strlen(in));
}

/* What else stands in the frontend's file, so that the linker leaves it. */
void *
pg_malloc(size_t size)
{
	return palloc(size);
}

void *
pg_malloc0(size_t size)
{
	return palloc0(size);
}

void *
pg_malloc_extended(size_t size, int flags)
{
	return palloc_extended(size, flags);
}

void *
pg_realloc(void *pointer, size_t size)
{
	return pointer ? repalloc(pointer, size) : palloc(size);
}

char *
pg_strdup(const char *in)
{
	return pstrdup(in);
}

void
pg_free(void *pointer)
{
	if (pointer != NULL)
		pfree(pointer);
}

#endif							/* TTE_ARENA_H */
