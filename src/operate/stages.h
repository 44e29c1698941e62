/*-------------------------------------------------------------------------
 *
 * stages.h
 *	  The stages of tiktok.lead_stage against the column that a trigger reads
 *	  them from.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TTE_STAGES_H
#define TTE_STAGES_H

#include "enqueue/mapping.h"
#include "lib/stringinfo.h"
#include "nodes/pg_list.h"

/*
 * An error if the column's type can hold none of a source's stages, and a
 * remark, as in remarks.h, about those that it cannot hold.  Several sources of
 * one table are remarked upon only: the stages of one may be in another table.
 */
extern void tte_stages_check(const TteMapping *mapping, List *sources, StringInfo remarks);

#endif							/* TTE_STAGES_H */
