/*-------------------------------------------------------------------------
 *
 * common.h
 *	  Functions on top of the server that several folders share: relations of
 *	  the extension, encodings, the clock.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TTE_COMMON_H
#define TTE_COMMON_H

#include "datatype/timestamp.h"
#include "fmgr.h"
#include "utils/resowner.h"

/* Microseconds from 1970 to PostgreSQL's 2000. */
#define TTE_EPOCH_SHIFT ((int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY)

/* Now, in microseconds since 1970. */
extern int64 tte_now(void);

/* Raises an error if the transaction cannot write: it is read-only or parallel, or this is a standby. */
extern void tte_require_writable(const char *caller);

/* OID of a relation of schema tiktok; raises an error if it does not exist. */
extern Oid	tte_relation(const char *name);

/* The columns of tiktok.delivery, in order. */
enum TteDeliveryColumn
{
	TTE_DELIVERY_ID,
	TTE_DELIVERY_REQUEST_ID,
	TTE_DELIVERY_AT,
	TTE_DELIVERY_STATUS,
	TTE_DELIVERY_REASON,
	TTE_DELIVERY_ATTEMPTS,
	TTE_DELIVERY_FIRST_ATTEMPT_AT,
	TTE_DELIVERY_POSSIBLY_RECEIVED_AT,
	TTE_DELIVERY_COLUMNS
};

/* Server encoding to UTF-8 and back; a character without equivalent becomes U+FFFD or '?'. */
extern const char *tte_to_utf8(const char *string, int len, int *utf8_len);
extern char *tte_from_utf8(const char *string, int len);

/* Databases whose encoding is not UTF8 store events in pure ASCII. */
extern bool tte_ascii_payload(void);

/*
 * An operator's decision about statuses of a source's events.  A lock tells the
 * worker of it: whoever decides takes it in share mode, until the transaction ends;
 * the worker in exclusive mode, for milliseconds, and it does not wait.  False means
 * that an open transaction has decided, or may decide.
 *
 * Then rows of tiktok.event tell of which events.  Whoever decides locks them before
 * anything else of an event; the worker locks those that are free, and leaves the
 * others alone.  So it never waits for an operator, who waits for its transaction.
 */
extern void tte_decision_begin(int32 source_id);
extern bool tte_no_decision(int32 source_id);

/*
 * Runs a statement that an operator's decision consists of.  Like a foreign key, it
 * sees what has been committed until now, even in a transaction that has one
 * snapshot: the worker may have changed statuses since, and its locks do not tell
 * of that.
 */
extern int	tte_spi_execute_latest(const char *sql, int nargs, Oid *types, Datum *values, long count);

/*
 * For ereport(): keeps the statement and its context out of the server log,
 * because they may contain identifiers or a token.
 */
#define tte_hide_statement()	errhidestmt(true), errhidecontext(true)

/*
 * Replaces the running statement by text, a constant, in pg_stat_activity (which
 * shows it while the session is idle), in the report of a crash, and in messages
 * of the server itself.
 */
extern void tte_hide_call(const char *str);

/*
 * For PG_CATCH() of an internal subtransaction: rolls it back, restores the
 * memory context and resource owner, and returns the error, copied to that
 * context.  Rethrowing without this would leave the subtransaction open.
 */
extern ErrorData *tte_undo_subtransaction(MemoryContext context, ResourceOwner owner);

/* Raises an error if an argument of an SQL function is null. */
extern void tte_require_argument(FunctionCallInfo fcinfo, int argument, const char *name);
extern char *tte_required_text(FunctionCallInfo fcinfo, int argument, const char *name);

#endif							/* TTE_COMMON_H */
