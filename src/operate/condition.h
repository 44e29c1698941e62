/*-------------------------------------------------------------------------
 *
 * condition.h
 *	  Conditions on a row of a table.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TTE_CONDITION_H
#define TTE_CONDITION_H

#include "commands/trigger.h"
#include "parser/parse_node.h"
#include "utils/rel.h"

/* The name of the row in the text of a condition; columns may also stand alone. */
#define TTE_ROW_NAME	"new"

/*
 * Parses a condition in the caller's search_path.  Raises an error if it is not a
 * single boolean expression over the row.  The relation must be locked.
 */
extern Node *tte_condition_parse(Relation rel, const char *expression, ParseExprKind kind);

/* Deparses a condition to text that means the same in any search_path, with that name of the row. */
extern char *tte_condition_text(Relation rel, Node *condition, const char *row);

/*
 * The part of a trigger's WHEN that refers to the new row only; NULL: none.  Sets
 * *transition if WHEN also refers to the old row.
 */
extern Node *tte_condition_of_trigger(const Trigger *trigger, bool *transition);

#endif							/* TTE_CONDITION_H */
