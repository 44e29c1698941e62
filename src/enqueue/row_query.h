/*-------------------------------------------------------------------------
 *
 * row_query.h
 *	  The query over other tables that a trigger's row is completed by.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TTE_ROW_QUERY_H
#define TTE_ROW_QUERY_H

#include "enqueue/mapping.h"
#include "executor/tuptable.h"

typedef enum TteQueryFate
{
	TTE_QUERY_NO_ROW,
	TTE_QUERY_ROW,
	TTE_QUERY_SEVERAL,
	TTE_QUERY_FAILED
} TteQueryFate;

typedef struct TteQueryResult
{
	TteQueryFate fate;
	HeapTuple	tuple;			/* ROW: in the caller's context */
	TupleDesc	desc;
	int			sqlerrcode;		/* FAILED */
} TteQueryResult;

/* Runs the mapping's query for a row, as the owner of its function. */
extern void tte_row_query(TteMapping *m, TupleTableSlot *row, TteQueryResult *result);

/* Errors that are not about the data and must reach the user's statement. */
extern bool tte_must_rethrow(int sqlerrcode);

#endif							/* TTE_ROW_QUERY_H */
