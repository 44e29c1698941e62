/*-------------------------------------------------------------------------
 *
 * read.h
 *	  Reading the queue of a source, and how far it has been recorded.
 *
 * Called between tte_queue_begin() and tte_queue_end().
 *
 *-------------------------------------------------------------------------
 */
#ifndef TTE_READ_H
#define TTE_READ_H

#include "deliver/window.h"

/*
 * An event as it is read.  What it points to lives until tte_queue_end(); the
 * two values are as they are stored, see tte_queue_bytes().
 */
typedef struct TteQueueRow
{
	uint64		xid;
	int64		id;
	int64		event_time;
	const char *name;
	const char *event_id;
	const char *test_code;		/* or NULL */
	struct varlena *payload;
	struct varlena *user_data;	/* or NULL */
	int			size;			/* bytes of these two */
	int			attempts;		/* so far */
	int64		sent_at;		/* the last of these; 0: none */
	int64		possibly_received_at;	/* 0: never */
	bool		suspect;		/* failed by itself, or the next: */
	bool		interrupted;	/* was in flight when a process died, or could
								 * not be put into a body */
	bool		alone;			/* a process died with it and no other event
								 * in the request */
} TteQueueRow;

extern void tte_queue_snapshot(TteSnapshot *snapshot);

/* The stored cursor of a source; what was never stored is the beginning. */
extern void tte_queue_load_cursor(int32 source_id, TteSnapshot *prev, TteSnapshot *cur, TtePosition *position);
extern void tte_queue_store_cursor(int32 source_id, const TteSnapshot *prev, const TteSnapshot *cur, TtePosition position);

/*
 * Reads up to limit events with from < (xid, id) and xid < end; with skip those
 * that have no fate yet only.
 */
extern int	tte_queue_read(int32 source_id, TtePosition from, uint64 end, bool skip, int limit, TteQueueRow **rows);

/*
 * Reads events of tiktok.retry, but for those that an open transaction has moved:
 * what is due, what waits because its kind is in doubt, and these.
 */
extern int	tte_queue_read_due(int32 source_id, int64 now, int limit, TteQueueRow **rows);
extern int	tte_queue_read_kind(int32 source_id, const char *kind, bool newest, int limit, TteQueueRow **rows);
extern int	tte_queue_read_ids(const int64 *ids, int n, TteQueueRow **rows);

/*
 * An event to probe the source with, 0: none.  Of the queue behind that place one
 * of another name than that, or else the newest; the same of what waits in
 * tiktok.retry for its first attempt; or of there the one that was sent longest ago.
 */
extern int64 tte_queue_pick_new(int32 source_id, TtePosition from, const char *not_name);
extern int64 tte_queue_pick_waiting(int32 source_id, const char *not_name, int64 not_id);
extern int64 tte_queue_pick_tried(int32 source_id, int64 not_id);

/* Names of the kinds whose events wait in tiktok.retry. */
extern int	tte_queue_kinds(int32 source_id, const char **names, int max);

/*
 * The bytes of a stored value, in the current context or where it is.  Needs no
 * transaction.  Errors of the storage come from here.
 */
extern const char *tte_queue_bytes(struct varlena *stored, int *len);

/* When the next event of tiktok.retry is due; 0: there is none. */
extern int64 tte_queue_next_due(int32 source_id);

#endif							/* TTE_READ_H */
