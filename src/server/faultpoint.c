/*-------------------------------------------------------------------------
 *
 * faultpoint.c
 *	  Faults that the tests order by a file in the data directory.
 *
 * tiktok_events.fault holds one line, "NAME ABOUT ACTION": the place, which
 * event or request it is about ('*': any), and what to do there: "kill" the
 * process, raise an "error", or say so in the log and "wait" until the file is
 * gone.  "kill" and "error" take the file away first, so that they happen once;
 * with "always-" before them they stay.
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
