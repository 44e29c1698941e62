/*-------------------------------------------------------------------------
 *
 * statement.h
 *	  Statements of the background worker, prepared once, and their results.
 *
 * All of it is called between tte_queue_begin() and tte_queue_end().
 *
 *-------------------------------------------------------------------------
 */
#ifndef TTE_STATEMENT_H
#define TTE_STATEMENT_H

#include "executor/spi.h"

#define TTE_STATEMENT_ARGS	14

/* $1 and $2 are the server and the database: is this a copy of another one? */
#define TTE_IS_COPY \
	"(NOT EXISTS (SELECT FROM tiktok.installation i WHERE i.system_identifier = $1 AND i.database_oid = $2) " \
	"OR EXISTS (SELECT FROM tiktok.config_origin o WHERE o.system_identifier <> $1 OR o.database_oid <> $2))"

/* Of an event e: it has no fate yet. */
#define TTE_NO_FATE \
	"AND NOT EXISTS (SELECT FROM tiktok.delivery d WHERE d.id = e.id) " \
	"AND NOT EXISTS (SELECT FROM tiktok.retry r WHERE r.id = e.id) "

typedef struct TteStatement
{
	int			nargs;
	Oid			types[TTE_STATEMENT_ARGS];
	const char *text;
	SPIPlanPtr	plan;
} TteStatement;

/*
 * Returns the number of rows; without any there is no result.  A null argument is
 * marked by 'n' in nulls.
 */
extern uint64 tte_run(TteStatement *statement, Datum *args, const char *nulls);

/* The same for a query that reads in the active snapshot instead of one of its own. */
extern uint64 tte_look(TteStatement *statement, Datum *args);

/* Frees the result.  It takes kilobytes until the transaction ends, in which each of thousands of sources may ask. */
extern void tte_done(void);

/* A column, counted from 1, of a row of the last statement's result; text and stored values: NULL for a null, numbers: 0. */
extern Datum tte_result(int row, int column, Oid type, bool *isnull);
extern char *tte_result_text(int row, int column);
extern struct varlena *tte_result_stored(int row, int column);
extern int64 tte_result_int8(int row, int column);
extern int32 tte_result_int4(int row, int column);
extern bool tte_result_bool(int row, int column);
extern uint64 tte_result_xid(int row, int column);

/* Microseconds since 1970. */
extern int64 tte_result_time(int row, int column);
extern Datum tte_time_datum(int64 usec);
extern Datum tte_xid_datum(uint64 xid);
extern Datum tte_int8_array(const int64 *values, int n, Oid type);

#endif							/* TTE_STATEMENT_H */
