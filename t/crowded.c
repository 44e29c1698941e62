/*
 * An extension that takes six of the ten relcache callbacks that PostgreSQL has
 * room for, as other extensions do; t/035_other_extensions.pl preloads it.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/inval.h"

PG_MODULE_MAGIC;

PGDLLEXPORT void _PG_init(void);

static void
nothing(Datum arg, Oid relid)
{
}

void
_PG_init(void)
{
	for (int i = 0; i < 6; i++)
		CacheRegisterRelcacheCallback(nothing, (Datum) 0);
}
