/*-------------------------------------------------------------------------
 *
 * compile.h
 *	  From a query over other tables, and paths along foreign keys, to the
 *	  function that a trigger of tiktok.track_row() reads them by.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TTE_COMPILE_H
#define TTE_COMPILE_H

#include "nodes/pg_list.h"
#include "utils/rel.h"

/* A path along foreign keys, and the column of the function that it becomes. */
typedef struct TteArrow
{
	const char *name;
	const char *path;			/* as it was given */
	List	   *parts;			/* columns, and keys in a JSON column */
	int			hops;			/* how many of the columns are foreign keys */
} TteArrow;

typedef struct TteCompiled
{
	char	   *name;			/* of the function */
	char	   *qualified;		/* the same as SQL writes it, with its schema */
	Oid			owner;			/* as whom it will be run */
	int			nargs;
	List	   *statements;		/* that make it */
	List	   *relids;			/* of what the query reads */
	bool		may_lack_row;	/* the query may have no row */
} TteCompiled;

/*
 * The function for a trigger of that name, which is not made yet.  query is
 * NULL or SQL; each of the arrows is a TteArrow.  Whatever is wrong with them is
 * an error.
 */
extern void tte_compile(Relation rel, const char *trigger, const char *query, List *arrows, TteCompiled *compiled);

/* Once it is made: an error unless its owner may read what it reads. */
extern void tte_compiled_check(const TteCompiled *compiled);

#endif							/* TTE_COMPILE_H */
