/*-------------------------------------------------------------------------
 *
 * common.h
 *	  What more than one room needs of the server: relations of the
 *	  extension, encodings, the clock.
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

/* A relation of schema tiktok; an error when there is none. */
extern Oid	tte_relation(const char *name);

/* The columns of tiktok.delivery, in order. */
enum TteDeliveryColumn
{
	TTE_DELIVERY_ID,
	TTE_DELIVERY_REQUEST_ID,
	TTE_DELIVERY_STATUS,
	TTE_DELIVERY_REASON,
	TTE_DELIVERY_AT,
	TTE_DELIVERY_ATTEMPTS,
	TTE_DELIVERY_FIRST_ATTEMPT_AT,
	TTE_DELIVERY_POSSIBLY_RECEIVED_AT,
	TTE_DELIVERY_COLUMNS
};

/* Server encoding to UTF-8 and back; what has no counterpart becomes U+FFFD or '?'. */
extern const char *tte_to_utf8(const char *string, int len, int *utf8_len);
extern char *tte_from_utf8(const char *string, int len);

/* Databases whose encoding is not UTF8 store events in pure ASCII. */
extern bool tte_ascii_payload(void);

/*
 * Fates of a source are moved under a lock: by functions that operators call,
 * together and until their transaction ends; by the worker alone, for
 * milliseconds.  The worker does not wait: false tells it that a transaction is
 * open which has moved fates, or may.
 */
extern void tte_share_fates(int32 source_id);
extern bool tte_lock_fates(int32 source_id);

/*
 * For ereport(): the statement may hold identifiers or a token, so that neither
 * it nor the statements around it shall be in the server log.
 */
#define tte_hide_statement()	errhidestmt(true), errhidecontext(true)

/*
 * The same for what pg_stat_activity shows of the statement that runs, which
 * stays there while the session is idle, for the report of a crash, and for
 * messages of the server itself.  text is constant.
 */
extern void tte_hide_call(const char *text);

/*
 * For PG_CATCH() of an internal subtransaction: undoes it, goes back to the
 * context and owner from before it, and returns the error, which is in that
 * context.  Thrown on without this, it would leave the transaction open.
 */
extern ErrorData *tte_undo_subtransaction(MemoryContext context, ResourceOwner owner);

/* An error if an argument of a function called in SQL is null. */
extern void tte_require_argument(FunctionCallInfo fcinfo, int argument, const char *name);
extern char *tte_required_text(FunctionCallInfo fcinfo, int argument, const char *name);

#endif							/* TTE_COMMON_H */
