/*-------------------------------------------------------------------------
 *
 * stream.h
 *	  The rows of a query, one by one.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TTE_STREAM_H
#define TTE_STREAM_H

#include "datatype/timestamp.h"
#include "executor/tuptable.h"

/* All columns of the slot are there; the slot is valid during the call only. */
typedef void (*TteTakeRow) (void *arg, TupleTableSlot *slot);

/*
 * Calls "take" for each row of a query, which is planned for these arguments and
 * changes nothing; nulls as in SPI_execute_plan().  SPI must be connected.
 */
extern void tte_stream(const char *sql, int nargs, const Oid *types, const Datum *args, const char *nulls,
					   TteTakeRow take, void *arg);

/*
 * The same of events and their outcomes, which both have the order of their ids:
 * merging them takes half the time of hashing.
 */
extern void tte_stream_events(const char *sql, int nargs, const Oid *types, const Datum *args, const char *nulls,
							  TteTakeRow take, void *arg);

/* A time that is so many microseconds later; an infinite one stays, and one out of range becomes infinite. */
extern TimestampTz tte_shifted(TimestampTz at, int64 by);

#endif							/* TTE_STREAM_H */
