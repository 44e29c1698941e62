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
	const char *test_code;		/* or NULL */
	struct varlena *payload;
	struct varlena *user_data;	/* or NULL */
	int			size;			/* bytes of these two */
	int			attempts;		/* so far */
	int64		possibly_received_at;	/* 0: never */
	bool		suspect;		/* was in flight when a process died, or
								 * failed */
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

/* Reads events of tiktok.retry that are due, but for those that an open transaction has moved. */
extern int	tte_queue_read_due(int32 source_id, int64 now, int limit, TteQueueRow **rows);

/*
 * The bytes of a stored value, in the current context or where it is.  Needs no
 * transaction.  Errors of the storage come from here.
 */
extern const char *tte_queue_bytes(struct varlena *stored, int *len);

/* When the next event of tiktok.retry is due; 0: there is none. */
extern int64 tte_queue_next_due(int32 source_id);

#endif							/* TTE_READ_H */
