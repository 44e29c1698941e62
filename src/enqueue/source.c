/*-------------------------------------------------------------------------
 *
 * source.c
 *	  A session's cache of the configuration: sources, lead stages, test codes.
 *
 * The tables are small and rarely change, so they are read completely; stages
 * only in a session that needs one, because the first event of a session is as
 * dear as the tables it opens.  Their statement triggers send a relcache
 * invalidation, which drops the cache in every session.  They are read without a
 * query, because a role that writes orders needs no privilege on them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "enqueue/source.h"
#include "server/catalog_check.h"
#include "server/common.h"
#include "server/invalidation.h"

enum LeadStageColumn
{
	STAGE_SOURCE = 1,
	STAGE_STAGE,
	STAGE_EVENT
};

enum TestCodeColumn
{
	TEST_CODE_SOURCE_ID = 1,
	TEST_CODE_CODE,
	TEST_CODE_VALID_UNTIL
};

typedef struct CachedSource
{
	struct CachedSource *next;
	char	   *name;
	char	   *key;			/* or NULL */
	TteSource	source;			/* with its test code even if expired */
	TimestampTz test_code_until;
} CachedSource;

typedef struct CachedStage
{
	struct CachedStage *next;
	char	   *source;
	char	   *stage;
	char	   *event;
} CachedStage;

#define MAX_TABLES	2

/* Tables that are read together. */
typedef struct Cache
{
	const char *names[MAX_TABLES];
	void		(*load_row[MAX_TABLES]) (HeapTuple, TupleDesc);
	Oid			relids[MAX_TABLES];
	MemoryContext context;
	bool		valid;
} Cache;

static void load_source(HeapTuple tuple, TupleDesc desc);
static void load_stage(HeapTuple tuple, TupleDesc desc);
static void load_test_code(HeapTuple tuple, TupleDesc desc);

static Cache source_cache = {.names = {"source", "test_code"}, .load_row = {load_source, load_test_code}};
static Cache stage_cache = {.names = {"lead_stage"}, .load_row = {load_stage}};
static CachedSource *sources;
static CachedStage *stages;

static void
invalidate_sources(Datum arg, Oid relid)
{
	for (int i = 0; i < MAX_TABLES; i++)
	{
		if (!OidIsValid(relid) || relid == source_cache.relids[i])
			source_cache.valid = false;
		if (!OidIsValid(relid) || relid == stage_cache.relids[i])
			stage_cache.valid = false;
	}
}

/* Microseconds; months count 30 days, as in comparisons of intervals. */
static int64
interval_usec(const Interval *interval)
{
	double		usec = (double) interval->time +
	((double) interval->month * DAYS_PER_MONTH + interval->day) * USECS_PER_DAY;

	return (int64) Min(usec, 4e18);
}

static TteCurrencyPolicy
currency_policy(const char *word)
{
	if (strcmp(word, "send") == 0)
		return TTE_CURRENCY_SEND;
	return strcmp(word, "refuse") == 0 ? TTE_CURRENCY_REFUSE : TTE_CURRENCY_WITHOUT_VALUE;
}

static Datum
config_column(HeapTuple tuple, TupleDesc desc, int number)
{
	bool		isnull;
	Datum		value = heap_getattr(tuple, number, desc, &isnull);

	if (isnull)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("unexpected null in column \"%s\" of the configuration", NameStr(TupleDescAttr(desc, number - 1)->attname))));
	return value;
}

static char *
text_column(HeapTuple tuple, TupleDesc desc, int number)
{
	return TextDatumGetCString(config_column(tuple, desc, number));
}

static void
load_source(HeapTuple tuple, TupleDesc desc)
{
	CachedSource *cached = palloc0(sizeof(CachedSource));
	TteSourceRules *rules = &cached->source.rules;
	bool		no_code;
	Datum		code = heap_getattr(tuple, TTE_SOURCE_DEFAULT_CALLING_CODE, desc, &no_code);
	bool		no_key;
	Datum		key = heap_getattr(tuple, TTE_SOURCE_KEY, desc, &no_key);
	int			kind = tte_source_find(text_column(tuple, desc, TTE_SOURCE_EVENT_SOURCE));

	cached->name = text_column(tuple, desc, TTE_SOURCE_NAME);
	cached->source.name = cached->name;
	cached->key = no_key ? NULL : TextDatumGetCString(key);
	cached->source.id = DatumGetInt32(config_column(tuple, desc, TTE_SOURCE_ID));
	/* only if the trigger that checks the table has been disabled */
	if (kind < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid event_source of source \"%s\"", cached->name)));
	rules->source = kind;
	rules->consent_required = strcmp(text_column(tuple, desc, TTE_SOURCE_CONSENT), "required") == 0;
	rules->limited_data_use = DatumGetBool(config_column(tuple, desc, TTE_SOURCE_LIMITED_DATA_USE));
	rules->hash_on_enqueue = strcmp(text_column(tuple, desc, TTE_SOURCE_IDENTIFIERS), "hash_on_enqueue") == 0;
	rules->lower_external_id = strcmp(text_column(tuple, desc, TTE_SOURCE_EXTERNAL_ID_CASE), "lower") == 0;
	rules->calling_code = no_code ? NULL : tte_calling_code_of(TextDatumGetCString(code));
	rules->require_lead_id = DatumGetBool(config_column(tuple, desc, TTE_SOURCE_REQUIRE_LEAD_ID));
	rules->rename_legacy_events = DatumGetBool(config_column(tuple, desc, TTE_SOURCE_RENAME_LEGACY_EVENTS));
	rules->currency_policy = currency_policy(text_column(tuple, desc, TTE_SOURCE_CURRENCY_POLICY));
	rules->max_event_age = interval_usec(DatumGetIntervalP(config_column(tuple, desc, TTE_SOURCE_MAX_EVENT_AGE)));
	cached->next = sources;
	sources = cached;
}

static void
load_stage(HeapTuple tuple, TupleDesc desc)
{
	CachedStage *cached = palloc0(sizeof(CachedStage));

	cached->source = text_column(tuple, desc, STAGE_SOURCE);
	cached->stage = text_column(tuple, desc, STAGE_STAGE);
	cached->event = text_column(tuple, desc, STAGE_EVENT);
	cached->next = stages;
	stages = cached;
}

/* Must be called after sources are loaded. */
static void
load_test_code(HeapTuple tuple, TupleDesc desc)
{
	int32		id = DatumGetInt32(config_column(tuple, desc, TEST_CODE_SOURCE_ID));

	for (CachedSource *cached = sources; cached; cached = cached->next)
	{
		if (cached->source.id != id)
			continue;
		cached->source.test_code = text_column(tuple, desc, TEST_CODE_CODE);
		cached->test_code_until = DatumGetTimestampTz(config_column(tuple, desc, TEST_CODE_VALID_UNTIL));
	}
}

static void
load(const char *name, void (*load_row) (HeapTuple, TupleDesc))
{
	Relation	rel = tte_own_table_open(name, AccessShareLock);
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	SysScanDesc scan = systable_beginscan(rel, InvalidOid, false, snapshot, 0, NULL);
	HeapTuple	tuple;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		load_row(tuple, RelationGetDescr(rel));
	systable_endscan(scan);
	UnregisterSnapshot(snapshot);
	table_close(rel, AccessShareLock);
}

/*
 * The cache is marked as valid before the tables are read, so that an
 * invalidation that arrives meanwhile is not lost.
 */
static void
refresh(Cache *cache)
{
	MemoryContext old;

	if (source_cache.context == NULL && stage_cache.context == NULL)
		tte_on_relation_change(invalidate_sources);
	if (cache->context == NULL)
		cache->context = AllocSetContextCreate(TopMemoryContext, "tiktok_events sources", ALLOCSET_SMALL_SIZES);
	MemoryContextReset(cache->context);
	for (int i = 0; i < MAX_TABLES && cache->names[i] != NULL; i++)
		cache->relids[i] = tte_relation(cache->names[i]);
	cache->valid = true;
	old = MemoryContextSwitchTo(cache->context);
	PG_TRY();
	{
		for (int i = 0; i < MAX_TABLES && cache->names[i] != NULL; i++)
			load(cache->names[i], cache->load_row[i]);
	}
	PG_CATCH();
	{
		cache->valid = false;
		PG_RE_THROW();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(old);
}

static const CachedSource *
first_source(void)
{
	if (!source_cache.valid)
	{
		sources = NULL;
		refresh(&source_cache);
	}
	return sources;
}

static const CachedStage *
first_stage(void)
{
	if (!stage_cache.valid)
	{
		stages = NULL;
		refresh(&stage_cache);
	}
	return stages;
}

/* Makes a copy for the caller, which stays valid when the cache is refreshed. */
static void
copy_source(TteSource *source, const CachedSource *cached)
{
	*source = cached->source;
	source->name = pstrdup(cached->name);
	if (source->rules.calling_code != NULL)
		source->rules.calling_code = pstrdup(source->rules.calling_code);
	if (source->test_code != NULL)
		source->test_code = cached->test_code_until > GetCurrentTimestamp() ? pstrdup(source->test_code) : NULL;
}

static const CachedSource *
find_source(const char *name)
{
	const CachedSource *cached = first_source();

	while (cached != NULL && strcmp(cached->name, name) != 0)
		cached = cached->next;
	return cached;
}

void
tte_source_lock(int32 id, LOCKMODE mode)
{
	(void) first_source();
	LockDatabaseObject(source_cache.relids[0], (Oid) id, 0, mode);
}

/* If the source was deleted while we waited for the lock, the cache is invalid: look it up again. */
bool
tte_source_get(const char *name, TteSource *source)
{
	const CachedSource *cached = find_source(name);
	int32		id;

	do
	{
		if (cached == NULL)
			return false;
		id = cached->source.id;
		tte_source_lock(id, AccessShareLock);
		cached = find_source(name);
	} while (cached == NULL || cached->source.id != id);
	copy_source(source, cached);
	return true;
}

bool
tte_source_of_key(const char *key, TteSource *source)
{
	for (const CachedSource *cached = first_source(); cached != NULL; cached = cached->next)
	{
		if (cached->key != NULL && strcmp(cached->key, key) == 0)
			return tte_source_get(pstrdup(cached->name), source);
	}
	return tte_source_get(key, source);
}

List *
tte_sources_of_keys(void)
{
	List	   *found = NIL;

	for (int pass = 0; pass < 2 && found == NIL; pass++)
	{
		for (const CachedSource *cached = first_source(); cached != NULL; cached = cached->next)
		{
			TteSource  *source;

			if (pass == 0 && cached->key == NULL)
				continue;
			source = palloc(sizeof(TteSource));
			copy_source(source, cached);
			found = lappend(found, source);
		}
	}
	return found;
}

void
tte_source_require(const char *name, TteSource *source)
{
	if (!tte_source_get(name, source))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("event source \"%s\" does not exist", name),
				 errhint("Use the name of a row of tiktok.source."),
				 tte_hide_statement()));
}

int32
tte_source_argument(FunctionCallInfo fcinfo)
{
	TteSource	source;

	tte_source_require(tte_required_text(fcinfo, 0, "source"), &source);
	return source.id;
}

char *
tte_stage_event(const char *source, const char *stage)
{
	for (const CachedStage *cached = first_stage(); cached; cached = cached->next)
	{
		if (strcmp(cached->source, source) == 0 && strcmp(cached->stage, stage) == 0)
			return pstrdup(cached->event);
	}
	return NULL;
}

/* The last one that was loaded comes first in the cache. */
List *
tte_source_stages(const char *source)
{
	List	   *found = NIL;

	for (const CachedStage *cached = first_stage(); cached; cached = cached->next)
	{
		if (strcmp(cached->source, source) == 0)
			found = lcons(pstrdup(cached->stage), found);
	}
	return found;
}
