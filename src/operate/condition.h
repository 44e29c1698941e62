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

/* The name by which the text of a condition calls the row, besides its bare columns. */
#define TTE_ROW_NAME	"new"

/*
 * The condition that the text says, in the caller's search_path; an error if
 * it is not one boolean expression over the row.  The relation must be locked.
 */
extern Node *tte_condition_parse(Relation rel, const char *expression, ParseExprKind kind);

/* As text that means the same in any search_path, with the row called so. */
extern char *tte_condition_text(Relation rel, Node *condition, const char *row);

/*
 * What a trigger's WHEN says of the new row alone; NULL: nothing.  *transition:
 * it also speaks of the old one.
 */
extern Node *tte_condition_of_trigger(const Trigger *trigger, bool *transition);

#endif							/* TTE_CONDITION_H */
