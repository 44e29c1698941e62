/*-------------------------------------------------------------------------
 *
 * token.h
 *	  Access tokens in files (tiktok_events.access_token_dir), and in memory.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TTE_TOKEN_H
#define TTE_TOKEN_H

#ifdef FRONTEND
#include "postgres_fe.h"
#else
#include "postgres.h"
#endif

#define TTE_TOKEN_MAX	512

/*
 * Printable ASCII without blanks, of at most that length.  Anything else, a line
 * end above all, could make a header of its own.
 */
extern bool tte_token_is_valid(const char *bytes, size_t len);

/* What tte_token_read() says when there is no file of that name. */
extern const char *const tte_token_missing;

/*
 * Reads the file of the source's name in dir.  NULL: its token is in token;
 * else why it cannot be used, as a constant text, and token is "".  Never
 * blocks.
 */
extern const char *tte_token_read(const char *dir, const char *source_name, char token[TTE_TOKEN_MAX + 1]);

/*
 * A number that changes when the file does: replaced, written, made, removed,
 * or given another owner or mode.  0 when there is none.
 */
extern uint64 tte_token_stamp(const char *dir, const char *source_name);

/* Memory for a token or a line with one that is in no core file; NULL: there is none. */
#define TTE_SECRET_SIZE	1024

extern char *tte_secret_alloc(void);
extern void tte_secret_free(char *secret);

#endif							/* TTE_TOKEN_H */
