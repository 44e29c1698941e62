/*-------------------------------------------------------------------------
 *
 * tiktok_events.c
 *	  Entry point: what loading the library registers.
 *
 * Preloaded, it asks for shared memory and starts the launcher.  Loaded by a
 * session only, it records events all the same; nothing sends them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"

#include "deliver/launcher.h"
#include "deliver/recovery.h"
#include "server/settings.h"
#include "server/slots.h"
#include "server/utility_hook.h"

PG_MODULE_MAGIC;

PGDLLEXPORT void _PG_init(void);

void
_PG_init(void)
{
	tte_settings_define();

	/* pg_upgrade must find a server in which nothing is sent. */
	if (!process_shared_preload_libraries_in_progress || IsBinaryUpgrade)
		return;
	tte_shared_request();
	tte_recovery_note_start();
	tte_launcher_register();
	tte_utility_hook();
}
