/*-------------------------------------------------------------------------
 *
 * triggers.h
 *	  The triggers that tiktok.create_trigger() has made.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TTE_TRIGGERS_H
#define TTE_TRIGGERS_H

#include "commands/trigger.h"
#include "lib/stringinfo.h"
#include "utils/rel.h"

/*
 * Opens a table as CREATE TRIGGER locks it, or as DROP TRIGGER does.  Whoever may
 * not have that lock gets an error.
 */
extern Relation tte_trigger_open_table(Oid relid, bool drop);

/* The table as SQL writes it, with its schema. */
extern char *tte_trigger_table(Relation rel);

/* Runs a statement as the caller and adds its text to what was executed. */
extern void tte_trigger_run(StringInfo executed, const char *sql);

/* Writes it down in tiktok.created_trigger, if the caller may. */
extern void tte_trigger_remember(Oid relid, const char *name, Oid trigger, const char *source);

/* Is it tiktok.track_row()? */
extern bool tte_is_track_row(Oid function);

/* The table's trigger of that name, or NULL.  It lives as long as the relation is open. */
extern const Trigger *tte_trigger_find(Relation rel, const char *name);

/* The same, or an error if there is none that records events. */
extern const Trigger *tte_trigger_require(Relation rel, const char *name);

/* The name of a trigger that was given none, and that of its twin for UPDATE. */
extern char *tte_trigger_default_name(Relation rel, const char *source, const char *event);
extern char *tte_trigger_update_name(const char *name);

/*
 * Drops all that was made for the trigger of that name, and closes the table,
 * because one that is open cannot lose a trigger.  An error if there is none.
 */
extern void tte_trigger_drop(Relation rel, const char *name, StringInfo executed);

#endif							/* TTE_TRIGGERS_H */
