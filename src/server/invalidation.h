/*-------------------------------------------------------------------------
 *
 * invalidation.h
 *	  Callbacks for relations that have changed.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TTE_INVALIDATION_H
#define TTE_INVALIDATION_H

#include "utils/inval.h"

/* Calls it, with 0 and a relation or InvalidOid, for every relcache message from now on. */
extern void tte_on_relation_change(RelcacheCallbackFunction callback);

#endif							/* TTE_INVALIDATION_H */
