/*-------------------------------------------------------------------------
 *
 * sender.h
 *	  One sender per source: what has been read, and what is in flight.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TTE_SENDER_H
#define TTE_SENDER_H

#include "answer/breaker.h"
#include "deliver/queue.h"
#include "deliver/read.h"
#include "deliver/request.h"
#include "lib/ilist.h"
#include "server/slots.h"

typedef struct TteSender TteSender;

/* What became visible between two snapshots. */
typedef struct TteWindow
{
	int			refs;
	TteSnapshot prev;
	TteSnapshot cur;
} TteWindow;

/* Keeps the stored cursor at the place where something was read, until it is recorded. */
typedef struct TtePin
{
	dlist_node	node;			/* in the sender's list, in the order of
								 * reading */
	TteWindow  *window;			/* NULL: not from the queue */
	TtePosition start;
} TtePin;

/* An event of a request. */
typedef struct TteBatchEvent
{
	uint64		xid;
	int64		id;
	int			attempts;		/* before this one */
	int64		sent_at;		/* the last of these; 0: none */
	int64		event_time;
	const char *name;
	const char *event_id;		/* NULL once it is in the body, as the next: */
	struct varlena *payload;	/* as stored */
	struct varlena *user_data;	/* as stored, or NULL */
} TteBatchEvent;

static inline TtePosition
tte_place(const TteBatchEvent *event)
{
	return (TtePosition) {event->xid, event->id};
}

/* The two halves of a batch. */
typedef struct TteHalves
{
	int			open;
	bool		passed;			/* both, so far */
	int			events;
} TteHalves;

/* Events that are sent again by themselves: rows of tiktok.retry that nobody else reads. */
typedef struct TtePart
{
	dlist_node	node;
	TteHalves  *halves;			/* or NULL */
	TteSpan		span;			/* these two of a batch that failed as a whole */
	int64		failed_at;
	int			n;
	int64		ids[FLEXIBLE_ARRAY_MEMBER];
} TtePart;

/* A request: read at once, sent once.  Lives until what became of its events is recorded. */
typedef struct TteRequest
{
	TtePin		pin;
	dlist_node	under_way;		/* in the worker's list, the oldest first */
	MemoryContext context;
	MemoryContext stored;		/* what was read, until it is in the body */
	TteSender  *sender;
	TteTry		try;
	TteHalves  *halves;
	bool		from_retry;
	bool		alone;			/* nothing else is in flight meanwhile */
	bool		interrupted;	/* no other retry of the source is */
	int64		possibly_received_at;	/* from the queue: before a recovery;
										 * 0: no */
	const char *test_code;		/* of all its events, or NULL */
	StringInfoData body;
	TteBatchEvent *events;
	int			nevents;
	int64		id;				/* row of tiktok.request */
	int			http_status;
	bool		failed;			/* its only event cannot be put into a body */
	bool		unreadable;		/* because it is not what we write */
	bool		holding;		/* some of its events are held back */
	TteReply	reply;			/* once it has come back */
	bool		cut_short;		/* time ran out before all of it was sent */
} TteRequest;

/* What is to be done with events that an operator's open transaction has moved. */
typedef enum TteHeldAction
{
	TTE_HELD_FINAL,
	TTE_HELD_RETRY,
	TTE_HELD_WAIT				/* they are sent later if nobody closes them */
} TteHeldAction;

typedef struct TteHeld
{
	TtePin		pin;
	slist_node	node;
	MemoryContext context;
	TteHeldAction action;
	TteRequest *request;		/* a copy of what is needed of it; NULL: none */
	const char *status;
	const char *reason;
	bool		keep_identity;
	int			n;
	int64	   *ids;
} TteHeld;

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
	TteBreaker	breaker;
	TteToken   *token;			/* of the first sender that has the same */
	TteToken	own_token;
	TtePace		pace;
	TteAlone	alone;
	bool		interrupted_out;	/* what was in flight when a process died
									 * goes one by one */

	/* The queue */
	bool		loaded;			/* the cursor has been read */
	bool		look;			/* the queue may have something */
	TteWindow  *window;			/* being read */
	TteSegment *segments;
	int			nsegments;
	int			segment;
	TtePosition position;
	int			skip_windows;	/* windows to read without what has a fate */
	bool		dirty;			/* the stored cursor is behind */
	int64		stored_at;
	dlist_head	pins;

	/* tiktok.retry */
	int64		next_due;		/* 0: nothing; not what is in flight or in
								 * parts */
	bool		wake_retries;	/* all are due now */
	bool		reset_leases;	/* what a former worker had in flight or in
								 * parts */
	dlist_head	parts;
	int			nparts;
	dlist_head	failed;			/* batches that may be suspect later */
	int			nfailed;
	char	   *kinds[TTE_KINDS];	/* names of the breaker's */
	bool		kind_rows[TTE_KINDS];	/* may it have events that wait? */
	dlist_head	left_out;		/* of bodies: parts that have no rows yet */
	char	   *suspect;		/* name of the events that stopped the source */

	/* What an operator's open transaction is about */
	slist_head	held;
	int			nheld;			/* events in these */
	int64		held_at;		/* when to look at these again */
	int64		load_at;		/* when to look again whether the source can
								 * be loaded */
	bool		operator_open;	/* there was such a transaction when it was
								 * looked */

	/* What tiktok.source_state and the log have */
	bool		state_stored;
	char		stored_reason[160];
	int64		stored_probe_at;
	char		logged[16];		/* why nothing was sent, "": it was */
	int64		expire_at;		/* while nothing may be sent: look for events
								 * that are too old */
	int			event_bytes;	/* average size, for the number of rows to
								 * read */
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
	bool		hangs;			/* the endpoint: one event at a time */
} TteSendLimits;

/* How often it is looked whether an operator's transaction has ended. */
#define TTE_HELD_PAUSE	INT64CONST(1000000)

/* With so many events held back a source waits for that transaction after all. */
#define TTE_HELD_MAX	1000

/*-------------------------------------------------------------------------
 * sender.c: what the worker calls
 *-------------------------------------------------------------------------
 */

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

/* The limits that hold for this sender. */
extern TteSendLimits tte_sender_limits(const TteSender *sender, const TteSendLimits *limits);

/* Would tte_sender_next() find something to do now? */
extern bool tte_sender_wants(TteSender *sender, int64 now);

/* When it will, as far as that is known; PG_INT64_MAX: not by itself. */
extern int64 tte_sender_due(TteSender *sender, int64 now);

/*
 * In a transaction: the next request to send, recorded in tiktok.request; NULL
 * when there is none.  snapshot is the transaction's, taken before it had an id.
 */
extern TteRequest *tte_sender_next(TteSender *sender, const TteSnapshot *snapshot,
								   const TteSendLimits *limits, int64 now);

/*
 * Is it time to look for events that have become too old while nothing may be sent
 * to the source, and in a transaction: record some of them.
 */
extern bool tte_sender_expires(const TteSender *sender, int64 now);
extern void tte_sender_expire(TteSender *sender, const TteSnapshot *snapshot, const TteSendLimits *limits, int64 now);

/* In the same transaction, after all of them: stores state and, when it is time, the cursor. */
extern void tte_sender_store(TteSender *sender, int64 now);

/*-------------------------------------------------------------------------
 * batch.c: from the tables to a request
 *-------------------------------------------------------------------------
 */

/* In a transaction: reads the events of a request; NULL: there are none. */
extern TteRequest *tte_batch_read(TteSender *sender, TteMove move, int limit, const TteSnapshot *snapshot,
								  const TteSendLimits *limits, int64 now);

/* Records events that are too old; returns how many. */
extern int	tte_batch_expire(TteSender *sender, const TteSnapshot *snapshot, const TteSendLimits *limits, int64 now);
extern void tte_batch_free(TteRequest *request);

/* Begins to read a window; *position may lie inside. */
extern void tte_window_open(TteSender *sender, const TteSnapshot *prev, const TteSnapshot *cur, TtePosition position);
extern void tte_pin_drop(TtePin *pin);

/*-------------------------------------------------------------------------
 * outcome.c: from an answer to the tables
 *-------------------------------------------------------------------------
 */

/* In a transaction: records what became of the events of a request that came back, or failed. */
extern void tte_outcome_record(TteRequest *request, int64 now);

/* Counts it in the worker's slot, and logs it if requests are logged. */
extern void tte_outcome_count(const TteRequest *request, TteSlot *slot);

/* Events that were left out of a body go by themselves; their rows are written in the next transaction. */
extern void tte_part_leave_out(TteSender *sender, const int64 *ids, int n);
extern void tte_outcome_record_left_out(TteSender *sender);

/* Nobody waits for parts any more: they are due like other retries. */
extern void tte_outcome_drop_parts(TteSender *sender, int64 now);
extern void tte_part_add(TteSender *sender, const int64 *ids, int n, TteHalves *halves, bool first);

/* A batch that may turn out to be suspect. */
extern void tte_failed_add(TteSender *sender, const int64 *ids, int n, const TteSpan *span, int64 failed_at);

/* Two parts of events whose rows nobody else reads; around one of them or, with -1, in halves. */
extern void tte_part_split(TteSender *sender, const int64 *ids, int n, bool refused, int bad);

/*-------------------------------------------------------------------------
 * hold.c: an operator's open transaction
 *-------------------------------------------------------------------------
 */

/*
 * In a transaction, before statuses are read or recorded: may a transaction be open
 * that has moved some?  When one has ended since, or has committed a moment ago,
 * what it moved must be skipped as after tte_sender_requeue().
 */
extern void tte_hold_watch(TteSender *sender);

/* Those of the ids that may be written come first; returns how many. */
extern int	tte_hold_free(const TteSender *sender, int64 *ids, int n);
extern bool tte_hold_has(TteSender *sender, int64 id);

/* Takes what would have to wait out of the request. */
extern void tte_hold_busy(TteRequest *request, TteHeldAction action, const char *status, const char *reason, bool keep);

/* The same for events that were read and not sent. */
extern void tte_hold_unsent(TteSender *sender, const TtePin *pin, const int64 *ids, int n);

/* The same for ids of tiktok.retry; returns how many are left of them. */
extern int	tte_hold_ids(TteSender *sender, int64 *ids, int n);

/*
 * What could not be recorded because an operator's transaction is open: is it
 * time to look again, and in a transaction: records what can be.
 */
extern bool tte_hold_due(TteSender *sender, int64 now);
extern void tte_hold_record(TteSender *sender, int64 now);

/* Used by hold.c and outcome.c */
extern void tte_outcome_final(TteRequest *request, const int64 *ids, int n, const char *status, const char *reason, bool keep);
extern void tte_outcome_retry(TteRequest *request, const int64 *ids, int n, int attempts, int64 now);
extern void tte_outcome_wait(TteSender *sender, const TteRequest *request, const int64 *ids, int n, int64 next, const char *kind);
extern void tte_outcome_finish(const TteRequest *request);

#endif							/* TTE_SENDER_H */
