/*-------------------------------------------------------------------------
 *
 * window.h
 *	  Windows between two snapshots: which transactions became visible.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TTE_WINDOW_H
#define TTE_WINDOW_H

#include "answer/breaker.h"

/*
 * A snapshot as pg_snapshot prints it: transactions below xmax that are not in
 * xip (ascending) have ended.  Transaction ids are 64 bits wide.
 */
typedef struct TteSnapshot
{
	uint64		xmin;
	uint64		xmax;
	int			nxip;
	uint64	   *xip;
} TteSnapshot;

/* Transactions lo <= xid < hi. */
typedef struct TteSegment
{
	uint64		lo;
	uint64		hi;
} TteSegment;

#define TTE_WINDOW_START	((TtePosition) {0, -1})

/* The snapshot before all others. */
#define TTE_FIRST_SNAPSHOT	"3:3:"

/* Parses "xmin:xmax:xip,..."; returns false if the text has another form. */
extern bool tte_snapshot_parse(const char *string, TteSnapshot *snapshot);
extern char *tte_snapshot_print(const TteSnapshot *snapshot);
extern bool tte_snapshot_sees(const TteSnapshot *snapshot, uint64 xid);

/*
 * Sets *segments, palloc'd, to the transactions visible in cur but not in prev,
 * as ascending disjoint segments: first those that were running in prev, then the
 * new ones, split at those still running in cur.  Returns the number of segments.
 */
extern int	tte_window_segments(const TteSnapshot *prev, const TteSnapshot *cur, TteSegment **segments);

#endif							/* TTE_WINDOW_H */
