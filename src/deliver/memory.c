/*-------------------------------------------------------------------------
 *
 * memory.c
 *	  Memory allocator for libcurl.
 *
 * libcurl's memory contains the token and identifiers, so it is overwritten when
 * it is freed.  While a request is under way, they are in the buffer from which
 * libcurl sends, which is larger than its other allocations.  That buffer gets
 * pages of its own, which are excluded from core files and, as far as the process
 * may lock memory, from swap space.  Pages are kept for the next request, because
 * getting them from the kernel each time costs more than the request.
 *
 * Also called by libcurl's threads that resolve names.
 *
 *-------------------------------------------------------------------------
 */
#include "deliver/memory.h"

#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* The smallest page size: mmap() returns multiples of it. */
#define PAGE_MIN	4096

/* Header of pages; the caller's memory follows, aligned as by malloc(). */
typedef struct Pages
{
	struct Pages *next;
	size_t		size;			/* including this header */
	bool		used;
	max_align_t memory[];
} Pages;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static Pages *all_pages = NULL;

static Pages *
new_pages(size_t size)
{
	Pages	   *pages = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (pages == MAP_FAILED)
		return NULL;
	(void) mlock2(pages, size, MLOCK_ONFAULT);
	(void) madvise(pages, size, MADV_DONTDUMP);
	pages->size = size;
	pages->next = all_pages;
	all_pages = pages;
	return pages;
}

/* Returns zeroed memory: new pages are zero, and freed ones were overwritten. */
static void *
pages_alloc(size_t size)
{
	Pages	   *pages;

	if (size > SIZE_MAX - sizeof(Pages))
		return NULL;
	size += sizeof(Pages);
	pthread_mutex_lock(&lock);
	for (pages = all_pages; pages != NULL && (pages->used || pages->size != size); pages = pages->next)
		;
	if (pages == NULL)
		pages = new_pages(size);
	if (pages != NULL)
		pages->used = true;
	pthread_mutex_unlock(&lock);
	return pages != NULL ? pages->memory : NULL;
}

/* A cheap test that avoids searching the list for most addresses. */
static bool
may_be_pages(const void *memory)
{
	return (uintptr_t) memory % PAGE_MIN == offsetof(Pages, memory);
}

/* The pages to which the memory belongs, or NULL. */
static Pages *
pages_of(const void *memory)
{
	Pages	   *pages;

	if (!may_be_pages(memory))
		return NULL;
	pthread_mutex_lock(&lock);
	for (pages = all_pages; pages != NULL && (void *) pages->memory != memory; pages = pages->next)
		;
	pthread_mutex_unlock(&lock);
	return pages;
}

static size_t
usable_size(void *memory)
{
	const Pages *pages = pages_of(memory);

	return pages != NULL ? pages->size - sizeof(Pages) : malloc_usable_size(memory);
}

void *
tte_memory_malloc(size_t size)
{
	return size < TTE_MEMORY_PAGES ? malloc(size) : pages_alloc(size);
}

void *
tte_memory_calloc(size_t n, size_t size)
{
	if (size == 0 || n <= (TTE_MEMORY_PAGES - 1) / size)
		return calloc(n, Max(size, 1));
	return n > SIZE_MAX / size ? NULL : pages_alloc(n * size);
}

void
tte_memory_free(void *memory)
{
	Pages	   *pages;

	if (memory == NULL)
		return;
	explicit_bzero(memory, usable_size(memory));
	pages = pages_of(memory);
	if (pages == NULL)
		free(memory);
	else
	{
		pthread_mutex_lock(&lock);
		pages->used = false;
		pthread_mutex_unlock(&lock);
	}
}

void *
tte_memory_realloc(void *memory, size_t size)
{
	size_t		had = memory != NULL ? usable_size(memory) : 0;
	void	   *moved = tte_memory_malloc(size);

	if (moved == NULL)
		return NULL;
	if (memory != NULL)
		memcpy(moved, memory, had < size ? had : size);
	tte_memory_free(memory);
	return moved;
}
