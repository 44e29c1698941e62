/*-------------------------------------------------------------------------
 *
 * mapping_cache.c
 *	  The mappings that a session has parsed, one for each trigger.
 *
 * A trigger's arguments are parsed once, and again when the catalogs have
 * changed: its table, a function or a schema.  A mapping has a memory context
 * of its own, which exists until no caller uses it any more, because user code
 * that runs for a row may alter the same table.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "enqueue/mapping.h"
#include "server/invalidation.h"

/* A mapping, allocated in a memory context of its own. */
typedef struct KeptMapping
{
	TteMapping	mapping;
	MemoryContext context;
	int			users;			/* callers that still use it */
	bool		cached;
	MemoryContextCallback callback;
} KeptMapping;

typedef struct CachedMapping
{
	Oid			trigger;		/* hash key */
	Oid			relation;
	Oid			root;			/* the topmost partitioned table, or relation */
	bool		valid;
	KeptMapping *kept;			/* or NULL */
} CachedMapping;

static HTAB *cache = NULL;
static uint64 generation = 0;	/* number of catalog changes that were
								 * reported */

static void
invalidate_mappings(Datum arg, Oid relid)
{
	HASH_SEQ_STATUS scan;
	CachedMapping *entry;

	generation++;
	hash_seq_init(&scan, cache);
	while ((entry = hash_seq_search(&scan)) != NULL)
	{
		if (!OidIsValid(relid) || entry->relation == relid || entry->root == relid)
			entry->valid = false;
	}
}

static void
function_changed(Datum arg, int cacheid, uint32 hashvalue)
{
	invalidate_mappings(arg, InvalidOid);
}

static void
make_cache(void)
{
	HASHCTL		ctl = {0};

	ctl.keysize = sizeof(Oid);
	ctl.entrysize = sizeof(CachedMapping);
	cache = hash_create("tiktok_events mappings", 32, &ctl, HASH_ELEM | HASH_BLOBS);
	tte_on_relation_change(invalidate_mappings);
	CacheRegisterSyscacheCallback(PROCOID, function_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(NAMESPACEOID, function_changed, (Datum) 0);
}

static void
free_unused(KeptMapping *kept)
{
	if (kept->users == 0 && !kept->cached)
		MemoryContextDelete(kept->context);
}

static void
end_use(void *arg)
{
	KeptMapping *kept = arg;

	kept->users--;
	free_unused(kept);
}

/*
 * Keeps the mapping until the current memory context is reset, also by an
 * error.  User code may run meanwhile that invalidates the mapping and fires
 * the same trigger, which then gets a new mapping.
 */
static TteMapping *
use(KeptMapping *kept)
{
	MemoryContextCallback *callback = palloc(sizeof(MemoryContextCallback));

	callback->func = end_use;
	callback->arg = kept;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, callback);
	kept->users++;
	return &kept->mapping;
}

static void
free_plan(void *arg)
{
	KeptMapping *kept = arg;

	if (kept->mapping.query_plan != NULL)
		SPI_freeplan(kept->mapping.query_plan);
}

static KeptMapping *
build(const Trigger *trigger, Relation rel)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "tiktok_events mapping", ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	KeptMapping *kept = palloc0(sizeof(KeptMapping));

	kept->mapping = *tte_mapping_parse(trigger, rel);
	kept->context = context;
	kept->callback.func = free_plan;
	kept->callback.arg = kept;
	MemoryContextRegisterResetCallback(context, &kept->callback);
	MemoryContextSwitchTo(old);
	return kept;
}

/* After an error the entry is still invalid. */
static void
fill_entry(CachedMapping *entry, const TriggerData *trigdata)
{
	uint64		before = generation;
	KeptMapping *kept;

	entry->valid = false;
	entry->relation = RelationGetRelid(trigdata->tg_relation);
	entry->root = tte_root_table(trigdata->tg_relation);
	kept = build(trigdata->tg_trigger, trigdata->tg_relation);
	if (entry->kept != NULL)
	{
		entry->kept->cached = false;
		free_unused(entry->kept);
	}
	MemoryContextSetParent(kept->context, TopMemoryContext);
	kept->cached = true;
	entry->kept = kept;
	/* a change meanwhile may not be in it */
	entry->valid = generation == before;
}

TteMapping *
tte_mapping_get(TriggerData *trigdata)
{
	Oid			trigger = trigdata->tg_trigger->tgoid;
	CachedMapping *entry;
	bool		found;

	if (cache == NULL)
		make_cache();
	entry = hash_search(cache, &trigger, HASH_ENTER, &found);
	if (!found)
		entry->kept = NULL;
	if (!found || !entry->valid)
		fill_entry(entry, trigdata);
	return use(entry->kept);
}
