/*-------------------------------------------------------------------------
 *
 * source.h
 *	  The rows of tiktok.source, tiktok.lead_stage and tiktok.test_code, as a
 *	  session caches them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TTE_SOURCE_H
#define TTE_SOURCE_H

#include "event/event.h"
#include "fmgr.h"
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
	TTE_SOURCE_CREATED_AT
};

typedef struct TteSource
{
	int32		id;
	TteSourceRules rules;
	const char *test_code;		/* valid now, or NULL */
} TteSource;

/*
 * The source of that name; false when there is none.  It cannot be deleted
 * before the transaction ends.  What it points to is palloc'd in the caller's
 * context.
 */
extern bool tte_source_get(const char *name, TteSource *source);

/* The same for those who need one: an error when there is none. */
extern void tte_source_require(const char *name, TteSource *source);

/* The id of the source that the first argument of a function names; an error likewise. */
extern int32 tte_source_argument(FunctionCallInfo fcinfo);

/* AccessExclusiveLock keeps everybody from recording events of the source. */
extern void tte_source_lock(int32 id, LOCKMODE mode);

/* The event of a CRM stage, palloc'd; NULL: the stage makes no event. */
extern char *tte_stage_event(const char *source, const char *stage);

#endif							/* TTE_SOURCE_H */
