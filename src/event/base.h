/*-------------------------------------------------------------------------
 *
 * base.h
 *	  What every file of src/event includes first.
 *
 * The files here know TikTok's events and nothing else: no SQL, no sockets,
 * no shared state.  They compile into the extension and, with -DFRONTEND,
 * into plain programs that link libpgcommon, libpgport and libcrypto, so that
 * they can be tested and fuzzed without a server.  They never call ereport;
 * memory comes from palloc in the caller's current context.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TTE_BASE_H
#define TTE_BASE_H

#ifdef FRONTEND
#include "postgres_fe.h"
#else
#include "postgres.h"
#endif

#include "lib/stringinfo.h"

/* TikTok's four kinds of event source (doc 1771101151059969). */
typedef enum TteEventSource
{
	TTE_WEB,
	TTE_APP,
	TTE_OFFLINE,
	TTE_CRM
} TteEventSource;

#define TTE_SOURCE_BIT(source)	(1 << (source))

#endif							/* TTE_BASE_H */
