/*-------------------------------------------------------------------------
 *
 * sender.h
 *	  One sender per source: what has been read, and what is in flight.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TTE_SENDER_H
#define TTE_SENDER_H

#include "answer/schedule.h"
#include "deliver/queue.h"
#include "deliver/read.h"
#include "deliver/request.h"
#include "lib/ilist.h"

typedef struct TteSender TteSender;

/* An event of a batch: what the queue knows, and its place in the batch's body. */
typedef struct TteBatchEvent
{
	uint64		xid;
	int64		id;
	int			attempts;		/* before this one */
	struct varlena *payload;	/* as stored; NULL once it is in the body */
	struct varlena *user_data;	/* as stored, or NULL */
	int			start;			/* bytes of its JSON in the body */
	int			end;
} TteBatchEvent;

static inline TtePosition
tte_place(const TteBatchEvent *event)
{
	return (TtePosition) {event->xid, event->id};
}

/* What was read at once.  Lives until the fate of every event is recorded. */
typedef struct TteBatch
{
	dlist_node	node;			/* in the sender's list, in the order of
								 * reading */
	MemoryContext context;
	MemoryContext stored;		/* what was read, until all of it is in the
								 * body */
	TteSender  *sender;
	bool		from_retry;
	bool		held;			/* back: its fate is known, but cannot be
								 * recorded yet */
	bool		alone;			/* to be sent while nothing else is in flight */
	bool		stale;			/* fates were changed by hand since it was
								 * read */
	struct TteWindow *window;	/* from the queue: where it was carved */
	TtePosition start;
	int64		possibly_received_at;	/* from the queue: before a recovery;
										 * 0: no */
	StringInfoData body;
	int			head_len;		/* the envelope before the first event */
	const char *test_code;		/* of all its events, or NULL */
	TteBatchEvent *events;
	int			nevents;
	int			unrendered;		/* events that are not in the body */
	int			open;			/* requests to make or under way */
	int			extra;			/* requests beyond the first */
	int			culprits;		/* events found to be bad */
} TteBatch;

/* One request: a batch, or the part of it that is sent again by itself. */
typedef struct TteRequest
{
	slist_node	node;			/* in a list of requests to make */
	TteBatch   *batch;
	int			lo;				/* events lo .. hi - 1 of the batch */
	int			hi;
	const char *body;
	int			body_len;
	int64		id;				/* row of tiktok.request */
	int64		started_at;
	int			http_status;
	bool		failed;			/* its only event cannot be put into a body */
	bool		unreadable;		/* because it is not what we write */
	int			events;			/* these three as it was sent */
	TtePosition first;
	TtePosition last;
	bool		holding;		/* some of its events are held back */
	bool		undecided;		/* of one held back: it was not sent */
	const char *held_status;	/* its fate, NULL: another try */
	const char *held_reason;
	bool		held_identity;	/* keep it */
	TteReply	reply;			/* once it has come back */
} TteRequest;

/* An event with which a process died, and died again, has the worker for itself. */
typedef enum TteAlone
{
	TTE_ALONE_NO,
	TTE_ALONE_WAITS,			/* for what is in flight */
	TTE_ALONE_OUT				/* others wait for it */
} TteAlone;

struct TteSender
{
	dlist_node	node;
	MemoryContext context;
	TteSourceConfig config;
	MemoryContext config_context;
	bool		loaded;			/* the cursor has been read */
	bool		look;			/* the queue may have something */
	struct TteWindow *window;	/* being read */
	TteSegment *segments;
	int			nsegments;
	int			segment;
	TtePosition position;
	int			skip_windows;	/* windows to read without what has a fate */
	bool		dirty;			/* the stored cursor is behind */
	int64		stored_at;
	dlist_head	batches;
	slist_head	held;			/* what an operator's open transaction is
								 * about */
	int			nheld;			/* events in these */
	int64		held_at;		/* when to look at these again */
	bool		careful;		/* there was such a transaction when it was
								 * looked */
	slist_head	waiting;		/* requests to make before anything is read */
	int			in_flight;
	bool		rewind;			/* go back to what is unrecorded, once nothing
								 * is in flight */
	TteAlone	alone;
	bool		retry_out;		/* a batch of retries is not recorded yet */
	int64		next_due;		/* of tiktok.retry, 0: nothing */
	TteBreaker	breaker;
	char		trouble[160];	/* why the breaker is open */
	char		logged[16];		/* why nothing was sent, "": it was; as the
								 * log has it */
	bool		state_stored;	/* the next two are what the table has */
	char		stored_reason[160];
	int64		stored_probe_at;
	int64		expire_at;		/* while nothing may be sent: look for events
								 * that are too old */
	int			refused;		/* single events refused since one was
								 * accepted */
	int			event_bytes;	/* average size, for the number of rows to
								 * read */
	TteRate    *rate;			/* that of the token: of the first sender that
								 * has it */
	TteRate		own_rate;
	int64		rate_free;		/* 0, or when the rate allows the next request */
};

/* Limits that hold for all senders of a worker. */
typedef struct TteSendLimits
{
	int			max_body;		/* bytes */
	bool		ascii;			/* escape everything that is not ASCII */
	int64		recovered_to;	/* what transactions before recovered_xid
								 * recorded */
	uint64		recovered_xid;	/* may have been received since recovered_to */
	bool		others;			/* something is in flight */
} TteSendLimits;

extern TteSender *tte_sender_create(int32 source_id);
extern void tte_sender_configure(TteSender *sender, const TteSourceConfig *config);
extern void tte_sender_destroy(TteSender *sender);

/*
 * An operator has put events back or closed some: look at tiktok.retry, and for
 * the next two windows skip what has a fate.
 */
extern void tte_sender_requeue(TteSender *sender);

/* Times that were in the future may come again only in years: forget them. */
extern void tte_sender_clock_set_back(TteSender *sender);

/*
 * In a transaction, once: recovers what nobody will finish, and loads the cursor.
 */
extern void tte_sender_load(TteSender *sender);

/* Would tte_sender_next() find something to do now? */
extern bool tte_sender_wants(TteSender *sender, int64 now);

/* When it will, as far as that is known; 0: not by itself. */
extern int64 tte_sender_due(TteSender *sender, int64 now);

/*
 * Is it time to look for events that have become too old while nothing may be sent
 * to the source, and in a transaction: record some of them.
 */
extern bool tte_sender_expires(const TteSender *sender, int64 now);
extern void tte_sender_expire(TteSender *sender, const TteSnapshot *snapshot, const TteSendLimits *limits, int64 now);

/*
 * In a transaction: the next request to send, recorded in tiktok.request; NULL
 * when there is none.  snapshot is the transaction's, taken before it had an id.
 */
extern TteRequest *tte_sender_next(TteSender *sender, const TteSnapshot *snapshot,
								   const TteSendLimits *limits, int64 now);

/* Makes a request of events lo .. hi - 1, to be sent before anything else is read. */
extern void tte_sender_wait(TteBatch *batch, int lo, int hi);

/* In a transaction: records the fate of a request that came back, or failed. */
extern void tte_sender_record(TteRequest *request, int64 now);

/*
 * What could not be recorded because an operator's transaction is open: is it
 * time to look again, and in a transaction: records what can be.
 */
extern bool tte_sender_holds(TteSender *sender, int64 now);
extern void tte_sender_record_held(TteSender *sender, int64 now);

/*
 * In a transaction: goes back to the oldest unrecorded event, if that has to be
 * and nothing is in flight.
 */
extern void tte_sender_rewind(TteSender *sender);

/* In the same transaction, after all of them: stores state and, when it is time, the cursor. */
extern void tte_sender_store(TteSender *sender, int64 now);

#endif							/* TTE_SENDER_H */
