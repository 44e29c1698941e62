/*-------------------------------------------------------------------------
 *
 * faultpoint.c
 *	  Faults that tests request by a file in the data directory.
 *
 * tiktok_events.fault has one line, "NAME ABOUT ACTION": the fault point, the
 * event or request ('*': any), and the action: "kill" the process, raise an
 * "error", or write to the log and "wait" until the file is removed.  "kill" and
 * "error" remove the file first, so that they happen once; "always-kill" and
 * "always-error" keep it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#ifdef TTE_FAULT_POINTS

#include <signal.h>
#include <unistd.h>

#include "miscadmin.h"

#include "server/faultpoint.h"

#define FAULT_FILE	"tiktok_events.fault"
#define WORD	64

static bool
ordered(const char *name, const char *about, char action[WORD])
{
	char		at[WORD];
	char		whom[WORD];
	FILE	   *file = fopen(FAULT_FILE, "r");
	int			n;

	if (file == NULL)
		return false;
	n = fscanf(file, "%63s %63s %63s", at, whom, action);
	fclose(file);
	return n == 3 && strcmp(at, name) == 0 &&
		(strcmp(whom, "*") == 0 || (about != NULL && strcmp(whom, about) == 0));
}

void
tte_fault_point(const char *name, const char *about)
{
	char		action[WORD];
	const char *what = action;

	if (!ordered(name, about, action))
		return;
	if (strcmp(action, "wait") == 0)
	{
		ereport(LOG, (errmsg("fault point \"%s\": process %d waits", name, (int) getpid())));
		while (ordered(name, about, action))
		{
			CHECK_FOR_INTERRUPTS();
			pg_usleep(10000L);
		}
		return;
	}
	if (strncmp(action, "always-", 7) == 0)
		what += 7;
	else
		unlink(FAULT_FILE);
	if (strcmp(what, "kill") == 0)
		kill(getpid(), SIGKILL);
	else
		elog(ERROR, "fault point \"%s\"", name);
}

void
tte_fault_kill(const char *name)
{
	char		action[WORD];

	if (!ordered(name, NULL, action) || strcmp(action, "kill") != 0)
		return;
	unlink(FAULT_FILE);
	kill(getpid(), SIGKILL);
}

#endif							/* TTE_FAULT_POINTS */
