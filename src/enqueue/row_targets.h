/*-------------------------------------------------------------------------
 *
 * row_targets.h
 *	  From the values of a row to the targets of its event.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TTE_ROW_TARGETS_H
#define TTE_ROW_TARGETS_H

#include "enqueue/row_query.h"
#include "event/event.h"

/* The targets of the mapping, from the row, the query's result and literals. */
extern void tte_set_from_row(TteEvent *event, const TteMapping *m, TupleTableSlot *row, const TteQueryResult *query);

/* The event_id alone, from the row: of a mapping of which something else is wrong. */
extern void tte_set_id_from_row(TteEvent *event, const TteMapping *m, TupleTableSlot *row);

/* The targets that are literals alone, which are the same in every row. */
extern void tte_set_literals(TteEvent *event, const TteMapping *m);

/* The targets that a function returned: flat names, or TikTok's objects.  Is event_id among them? */
extern bool tte_set_from_object(TteEvent *event, const TteJson *object, pg_tz *zone);

/* A text or number, in the server's encoding and without blanks around it; NULL: there is none. */
extern char *tte_text_at(const TteTarget *path, const TteValueType *type, Datum value);

#endif							/* TTE_ROW_TARGETS_H */
