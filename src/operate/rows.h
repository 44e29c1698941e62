/*-------------------------------------------------------------------------
 *
 * rows.h
 *	  The rows of a table, as one of its triggers would see them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TTE_ROWS_H
#define TTE_ROWS_H

#include "commands/trigger.h"
#include "enqueue/mapping.h"
#include "enqueue/track_row.h"
#include "executor/tuptable.h"
#include "utils/array.h"
#include "utils/rel.h"

/* A column of the key by which rows are put in order. */
typedef struct TteKeyColumn
{
	AttrNumber	attno;
	Oid			type;
	char	   *name;			/* as SQL writes it */
	char	   *less;			/* OPERATOR(schema.<) of the index's order */
	char	   *greater;
	char	   *not_less;
} TteKeyColumn;

typedef struct TteRows
{
	Relation	rel;
	TriggerData trigdata;		/* as if the row in its slot had been inserted */
	TteMapping *mapping;		/* as long as this */
	int			nkeys;			/* 0: there is no key */
	TteKeyColumn *keys;
} TteRows;

/* Opens and locks the table; an error if it is none that events can be made of. */
extern Relation tte_table_open(Oid relid, LOCKMODE lockmode);

/*
 * Opens a table, locked as for reading until the transaction ends, and finds a
 * tiktok.track_row() trigger of that name.  An error unless the current user
 * may have the rows read, and may, if he gives a condition, do so.
 */
extern TteRows *tte_rows_open(Oid relid, const char *trigger, bool condition);
extern void tte_rows_close(TteRows *rows);

/*
 * Which rows are meant, as SQL: those that the trigger's WHEN would take, unless
 * that is ignored, and for which the caller's condition (or NULL) holds.  What
 * WHEN says of the row before is left out; nothing but that is an error.
 */
extern char *tte_rows_filter(TteRows *rows, const char *condition, bool ignore_when);

/*
 * The query for rows, to be run with the rights of the table's owner, as
 * tte_rights_take() gives them: all columns that a trigger sees, and whether the filter takes the row.
 * With after, the key is greater than the parameters.
 */
extern char *tte_rows_query(const TteRows *rows, const char *filter, bool after);

/* Appends the ORDER BY of the key, if there is one; or that of the time, then the key, backwards. */
extern void tte_rows_order(const TteRows *rows, StringInfo sql);
extern void tte_rows_newest_first(const TteRows *rows, StringInfo sql);

/* Puts a row of the query into the slot; false: the filter does not take it. */
extern bool tte_rows_fetch(TteRows *rows, HeapTuple tuple, TupleDesc desc);

/* The event of the row in the slot; see tte_row_event(). */
extern void tte_rows_event(TteRows *rows, bool ascii, TteRowEvent *result);

/* The key of the row in the slot, as an array of text that is the same in every session. */
extern ArrayType *tte_rows_key(const TteRows *rows);

/* The other way round: values for the parameters of the query. */
extern void tte_rows_key_values(const TteRows *rows, ArrayType *key, Oid *types, Datum *values);

#endif							/* TTE_ROWS_H */
