/*-------------------------------------------------------------------------
 *
 * recovery.c
 *	  Detects that the server was recovered to an earlier state, or that the
 *	  database is a copy.
 *
 * The tables of such a server lack what was delivered after that state.  TikTok
 * drops copies for 48 hours, so after the promotion of a standby delivery can
 * continue.  But events that were unfinished in that state may have been received
 * right after it, so their retry horizon counts from there.  If the state is
 * older than the horizon, sources are paused until an operator resumes them.
 *
 * They are paused, too, if the server was made from a backup: nobody but an
 * operator knows whether it replaces the other server, or stands beside it, for
 * tests perhaps.
 *
 * A recovery from an archive, and the promotion of a standby, begin a new
 * timeline.  A base backup that is started without an archive stays on the old
 * timeline, but leaves its label file.  A standby is what the postmaster found
 * the signal file of when it started.  A snapshot of the disks leaves no trace
 * and cannot be told from a crash.
 *
 * The age of the state: it is not older than the last transaction replayed,
 * which the server knows until it is restarted, nor than the last note of the
 * worker, which it makes every six hours even when idle.  A server that was only
 * idle or stopped keeps timeline and label.
 *
 * The worker notes in which server and database it is.  If the last note was made
 * in another one, this is a copy (CREATE DATABASE ... TEMPLATE, pg_upgrade), and
 * the original may have sent since what waits here.  The age of a copy cannot be
 * learnt from what is replayed, nor from what was recorded, which may have been
 * recorded here; but only a worker makes notes and requests.  A copy is not
 * paused: it sends nothing until an operator confirms it, and then events from
 * before the first note in it are held to the horizon.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <unistd.h>

#include "access/xlog.h"
#include "access/xlogrecovery.h"
#include "storage/fd.h"
#include "utils/timestamp.h"

#include "answer/schedule.h"
#include "deliver/recovery.h"
#include "server/common.h"

#define NOTE_INTERVAL	(INT64CONST(6) * 3600 * 1000000)

/* Where workers take turns, not each of them makes one. */
#define NOTED_LATELY	(INT64CONST(3600) * 1000000)

static bool started_as_standby = false;

/* Background workers inherit what it finds. */
void
tte_recovery_note_start(void)
{
	started_as_standby = access(STANDBY_SIGNAL_FILE, F_OK) == 0;
}

/* Start LSN of the base backup from which this server was started; 0: none. */
static uint64
backup_start(void)
{
	FILE	   *file = AllocateFile(BACKUP_LABEL_OLD, "r");
	uint32		hi;
	uint32		lo;
	bool		found;

	if (file == NULL)
		return 0;
	found = fscanf(file, "START WAL LOCATION: %X/%X", &hi, &lo) == 2;
	FreeFile(file);
	return found ? (uint64) hi << 32 | lo : 0;
}

/* A missing label proves nothing: it may have been removed. */
static bool
was_recovered(const TteInstallation *noted, uint32 timeline, uint64 backup)
{
	if (noted->timeline == 0)
		return false;
	return noted->timeline != timeline || (backup != 0 && backup != noted->backup_start);
}

/* A lower bound of the time at which the state ended that is found here. */
static int64
state_time(const TteInstallation *noted, int64 now)
{
	int64		replayed = GetLatestXTime();
	int64		state = noted->seen_at;

	if (noted->copied)
		state = Max(state, noted->sent_at);
	else if (replayed != 0)
		state = Max(state, replayed + TTE_EPOCH_SHIFT);
	return Min(state, now);
}

/* NULL: delivery continues. */
static const char *
why_paused(int64 state, int64 now)
{
	const char *when = timestamptz_to_str(state - TTE_EPOCH_SHIFT);

	if (now - state > TTE_RETRY_HORIZON)
		return psprintf("restore_gap: this server was recovered to a state of %s, more than 47 hours ago", when);
	if (!started_as_standby)
		return psprintf("restored: this server was recovered from a backup to a state of %s; the other server may be sending", when);
	return NULL;
}

bool
tte_recovery_check_due(const TteInstallation *installation, int64 now)
{
	/* the clock may have been set back */
	return now - installation->seen_at >= NOTE_INTERVAL || now < installation->seen_at;
}

const char *
tte_recovery_check(TteInstallation *installation, uint64 next_xid, int64 now)
{
	uint32		timeline = GetWALInsertionTimeLine();
	uint64		backup = backup_start();
	const char *reason = NULL;

	if (tte_queue_load_installation(installation))
	{
		bool		recovered = installation->copied || was_recovered(installation, timeline, backup);

		if (!recovered && installation->timeline == timeline &&
			now >= installation->seen_at && now - installation->seen_at < NOTED_LATELY)
			return NULL;
		if (recovered)
		{
			int64		state = state_time(installation, now);

			tte_queue_recovered(state, installation->recovered_xid != 0);
			reason = installation->copied ? NULL : why_paused(state, now);
			if (reason != NULL)
				tte_queue_pause_all(reason);
			installation->recovered_to = state;
			installation->recovered_xid = next_xid;
		}
		installation->timeline = timeline;
		installation->backup_start = backup ? backup : installation->backup_start;
		installation->seen_at = now;
		tte_queue_store_installation(installation);
	}
	installation->seen_at = now;
	return reason;
}
