/*-------------------------------------------------------------------------
 *
 * source.h
 *	  A session's cache of tiktok.source, tiktok.lead_stage and tiktok.test_code.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TTE_SOURCE_H
#define TTE_SOURCE_H

#include "event/event.h"
#include "fmgr.h"
#include "nodes/pg_list.h"
#include "storage/lockdefs.h"

/* Columns of tiktok.source, in their order. */
enum TteSourceColumn
{
	TTE_SOURCE_ID = 1,
	TTE_SOURCE_NAME,
	TTE_SOURCE_EVENT_SOURCE,
	TTE_SOURCE_EVENT_SOURCE_ID,
	TTE_SOURCE_ENABLED,
	TTE_SOURCE_CONSENT,
	TTE_SOURCE_LIMITED_DATA_USE,
	TTE_SOURCE_IDENTIFIERS,
	TTE_SOURCE_EXTERNAL_ID_CASE,
	TTE_SOURCE_DEFAULT_CALLING_CODE,
	TTE_SOURCE_REQUIRE_LEAD_ID,
	TTE_SOURCE_RENAME_LEGACY_EVENTS,
	TTE_SOURCE_CURRENCY_POLICY,
	TTE_SOURCE_MAX_EVENT_AGE,
	TTE_SOURCE_BATCH_SIZE,
	TTE_SOURCE_REQUESTS_PER_SECOND,
	TTE_SOURCE_CREATED_AT,
	TTE_SOURCE_KEY,
	TTE_SOURCE_TIME_ZONE,
	TTE_SOURCE_ADVERTISER_ID
};

typedef struct TteSource
{
	int32		id;
	const char *name;
	TteSourceRules rules;
	const char *test_code;		/* NULL: no code that is valid now */
} TteSource;

/*
 * Finds the source of that name; returns false if there is none.  Locks it against
 * deletion until the transaction ends.  Its fields are palloc'd in the current
 * context.
 */
extern bool tte_source_get(const char *name, TteSource *source);

/* The same by the text in a row: the key of a source or, if no source has that key, its name. */
extern bool tte_source_of_key(const char *key, TteSource *source);

/* The sources that rows can name: all with a key, or all sources if none has a key. */
extern List *tte_sources_of_keys(void);

/* The same, but raises an error if there is none. */
extern void tte_source_require(const char *name, TteSource *source);

/* The id of the source named by the first argument of a function; raises an error if there is none. */
extern int32 tte_source_argument(FunctionCallInfo fcinfo);

/* AccessExclusiveLock prevents other transactions from recording events of the source. */
extern void tte_source_lock(int32 id, LOCKMODE mode);

/* The event of a CRM stage, palloc'd; NULL: the stage is not mapped. */
extern char *tte_stage_event(const char *source, const char *stage);

/* The names of all its stages. */
extern List *tte_source_stages(const char *source);

#endif							/* TTE_SOURCE_H */
