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

/* The result of tte_token_read() if there is no file of that name. */
extern const char *const tte_token_missing;

/*
 * Reads the file with the source's name in dir.  Returns NULL and sets token;
 * else returns why the file cannot be used, as a constant string, and sets token
 * to "".  Never blocks.
 */
extern const char *tte_token_read(const char *dir, const char *source_name, char token[TTE_TOKEN_MAX + 1]);

/*
 * Returns a number that changes when the file is replaced, written, created or
 * removed, or its owner or mode is changed.  0: there is no file.
 */
extern uint64 tte_token_stamp(const char *dir, const char *source_name);

/* The same of any file. */
struct stat;
extern uint64 tte_file_stamp(const struct stat *st);

/* Memory, excluded from core files, for a token or a line that contains one; NULL if out of memory. */
#define TTE_SECRET_SIZE	1024

extern char *tte_secret_alloc(void);
extern void tte_secret_free(char *secret);

#endif							/* TTE_TOKEN_H */
