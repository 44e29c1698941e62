/*-------------------------------------------------------------------------
 *
 * memory.h
 *	  Memory allocator for libcurl.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TTE_MEMORY_H
#define TTE_MEMORY_H

#ifdef FRONTEND
#include "postgres_fe.h"
#else
#include "postgres.h"
#endif

/* Allocations of this size or more, as libcurl's send buffer, are excluded from core files. */
#define TTE_MEMORY_PAGES	(256 * 1024)

/* For curl_global_init_mem(). */
extern void *tte_memory_malloc(size_t size);
extern void *tte_memory_calloc(size_t n, size_t size);
extern void *tte_memory_realloc(void *memory, size_t size);
extern void tte_memory_free(void *memory);

#endif							/* TTE_MEMORY_H */
