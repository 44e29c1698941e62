/*-------------------------------------------------------------------------
 *
 * mapping.h
 *	  The arguments of a tiktok.track_row() trigger, resolved against its table.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TTE_MAPPING_H
#define TTE_MAPPING_H

#include "commands/trigger.h"
#include "enqueue/value.h"

typedef enum TteTargetKind
{
	TTE_TARGET_FIELD,
	TTE_TARGET_EVENT_ID,
	TTE_TARGET_EVENT_TIME,
	TTE_TARGET_LIMITED_DATA_USE,
	TTE_TARGET_CONSENT
} TteTargetKind;

/* One 'target=value': a column, a path in a JSON column, or a literal. */
typedef struct TteTarget
{
	TteTargetKind kind;
	int			field;			/* FIELD: index into tte_fields */
	char	   *name;
	TteJson    *literal;		/* or NULL: the column */
	AttrNumber	attno;
	TteValueType type;
	int			path_len;		/* keys below the column */
	char	  **path;			/* in UTF-8 */
} TteTarget;

typedef struct TteMapping
{
	char	   *source;
	char	   *event;			/* NULL: by stage */
	AttrNumber	stage_attno;	/* 0: not by stage, or it cannot be read */
	TteValueType stage_type;
	bool		by_stage;
	bool		has_event_id;
	bool		recorded_now;	/* event_time=now: rows are written when it
								 * happens */
	int			ntargets;
	TteTarget  *targets;
	char	   *using_name;		/* or NULL */
	Oid			using_function;
	Oid			using_relation; /* whose row type it takes */
	pg_tz	   *zone;			/* of times without one */
	char	   *table;			/* for ids; the topmost partitioned table's
								 * name */
	int			nkeys;			/* primary key */
	AttrNumber *key_attnos;
	TteValueType *key_types;
	char	   *problem;		/* what does not fit the table, or NULL */
	int			problem_code;	/* its SQLSTATE */
	const char *problem_hint;	/* or NULL */
	bool		warned;
} TteMapping;

/*
 * The mapping of a trigger, from the cache or parsed.  Raises an error for what
 * can never be right: syntax, unknown targets.  It can be looked at until the
 * current memory context is reset, whatever code is run.
 */
extern TteMapping *tte_mapping_get(TriggerData *trigdata);

/* The same for a trigger that need not exist, in the current context. */
extern TteMapping *tte_mapping_parse(const Trigger *trigger, Relation rel);

/* What a target name means; false: there is no such target. */
extern bool tte_target_find(const char *name, int len, TteTargetKind *kind, int *field);

#endif							/* TTE_MAPPING_H */
