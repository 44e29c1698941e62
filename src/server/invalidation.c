/*-------------------------------------------------------------------------
 *
 * invalidation.c
 *	  Callbacks for relations that have changed.
 *
 * A process of PostgreSQL has room for ten relcache callbacks, for the server
 * and all extensions together, and ends where one more is registered.  Citus takes
 * five of them.  So this extension registers one, which calls all of its own.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "server/invalidation.h"

#define MAX_CALLBACKS 8

static RelcacheCallbackFunction callbacks[MAX_CALLBACKS];
static int	ncallbacks = 0;

static void
call_all(Datum arg, Oid relid)
{
	for (int i = 0; i < ncallbacks; i++)
		callbacks[i] (arg, relid);
}

void
tte_on_relation_change(RelcacheCallbackFunction callback)
{
	if (ncallbacks == MAX_CALLBACKS)
		elog(ERROR, "too many callbacks");
	if (ncallbacks == 0)
		CacheRegisterRelcacheCallback(call_all, (Datum) 0);
	callbacks[ncallbacks++] = callback;
}
