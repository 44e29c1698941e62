/*-------------------------------------------------------------------------
 *
 * remarks.h
 *	  What tiktok.create_trigger() has to say about a trigger that works.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TTE_REMARKS_H
#define TTE_REMARKS_H

#include "enqueue/mapping.h"
#include "operate/compile.h"

typedef struct TteRemarked
{
	Relation	rel;
	const Trigger *trigger;
	const TteMapping *mapping;
	const TteCompiled *compiled;	/* its name NULL: no function */
	bool		condition;
	bool		at_commit;
} TteRemarked;

/* Appends lines that begin with two dashes, a remark each. */
extern void tte_remarks(const TteRemarked *remarked, StringInfo out);

#endif							/* TTE_REMARKS_H */
