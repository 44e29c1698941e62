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
#include "executor/spi.h"

/*
 * How the comment on a query's function begins, by which its owner agrees that
 * it is run as the owner.
 */
#define TTE_QUERY_COMMENT	"query of trigger "

/* The column of the query's result with the stage. */
#define TTE_STAGE_COLUMN	"stage"

/* The column of the query's result with the source. */
#define TTE_SOURCE_COLUMN	"source"

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
	bool		of_query;		/* it is a column of the query's result */
	AttrNumber	attno;
	TteValueType type;
	int			path_len;		/* keys below the column */
	char	  **path;			/* in UTF-8 */
} TteTarget;

typedef struct TteMapping
{
	char	   *source;
	bool		source_of_row;	/* the source is "=column" */
	TteTarget	source_target;	/* then where it is found */
	char	   *event;			/* NULL: by stage */
	AttrNumber	stage_attno;	/* the column that must change; 0: not by
								 * stage, or it cannot be read */
	int			stage_hops;		/* arrows between that column and the stage */
	TteValueType change_type;	/* of that column */
	TteValueType stage_type;
	TteTarget	stage_path;		/* keys below the last column of a path */
	bool		by_stage;
	bool		has_event_id;
	bool		recorded_now;	/* event_time=now: rows are written when it
								 * happens */
	int			ntargets;
	TteTarget  *targets;
	char	   *using_name;		/* or NULL */
	Oid			using_function;
	Oid			using_relation; /* whose row type the function of using takes */
	char	   *query_name;		/* of the function of the query, or NULL */
	Oid			query_function;
	Oid			query_owner;	/* the role as which it is run */
	int			query_nargs;
	AttrNumber *query_args;		/* columns of the row */
	Oid		   *query_types;	/* of the parameters */
	Oid		   *query_columns;	/* of the columns, which can be passed */
	AttrNumber	stage_of_query; /* column of its result with the stage, or 0 */
	SPIPlanPtr	query_plan;		/* saved; NULL: not yet prepared */
	bool		has_amounts;
	int			amounts;		/* see tte_event_amounts() */
	pg_tz	   *zone;			/* for times without a zone */
	Oid			root;			/* the topmost partitioned table, or the table */
	char	   *table;			/* for ids; the name of root or, if that is a
								 * shard, of its distributed table */
	int			nkeys;			/* primary key */
	AttrNumber *key_attnos;
	TteValueType *key_types;
	char	   *problem;		/* what does not fit the table, or NULL */
	int			problem_code;	/* its SQLSTATE */
	const char *problem_hint;	/* or NULL */
	bool		warned;
} TteMapping;

/*
 * Returns the mapping of a trigger, from the cache or parsed.  Raises an error
 * for an argument that can never be right, such as bad syntax or an unknown
 * target.  The mapping stays valid until the current memory context is reset,
 * whatever code runs meanwhile.
 */
extern TteMapping *tte_mapping_get(TriggerData *trigdata);

/* The same for a trigger that may not exist yet, in the current context. */
extern TteMapping *tte_mapping_parse(const Trigger *trigger, Relation rel);

/*
 * Splits  column.key."a key"  into its parts, or  column->column.key, where hops
 * of the columns are followed by an arrow.
 */
extern List *tte_mapping_path(const char *argument, const char *value, int *hops);

/* Finds the column of exactly that name, else of the name in lower case, as SQL folds it. */
extern AttrNumber tte_find_column(TupleDesc desc, const char *name);

/*
 * What to write instead of a value that names no column of the table, whose
 * first part is column; NULL: nothing is known.
 */
extern const char *tte_column_hint(TupleDesc desc, const char *value, const char *column);

/* The topmost partitioned table, or the table itself. */
extern Oid	tte_root_table(Relation rel);

/* Finds the target of that name; false if there is none. */
extern bool tte_target_find(const char *name, int len, TteTargetKind *kind, int *field);

#endif							/* TTE_MAPPING_H */
