/*-------------------------------------------------------------------------
 *
 * queue.h
 *	  All SQL of the background worker but that of deliver/purge.c.
 *
 * Everything but tte_queue_begin() and tte_queue_end() is called between these
 * two, in a transaction that lasts milliseconds.  Times are microseconds since
 * 1970; what is returned is palloc'd in the current context or, where it says
 * so, lives until tte_queue_end().
 *
 *-------------------------------------------------------------------------
 */
#ifndef TTE_QUEUE_H
#define TTE_QUEUE_H

#include "deliver/window.h"
#include "event/base.h"

/* A row of tiktok.source, with its token. */
typedef struct TteSourceConfig
{
	int32		id;
	char	   *name;
	char	   *event_source;
	char	   *event_source_id;
	bool		enabled;
	int			batch_size;
	int			requests_per_second;
	int64		max_event_age;
	char	   *token;			/* NULL: none */
	char	   *token_problem;	/* why there is none, or NULL */
	bool		copied;			/* the token was set in another database */
	bool		database_copied;	/* this database, or some of its
									 * configuration, is a copy of another */
	bool		paused;			/* by tiktok.pause() */
	int64		resumed_at;		/* by tiktok.resume(), 0: never */
	char	   *stored_state;	/* as tiktok.source_state has it, NULL: sent
								 * to */
} TteSourceConfig;

/* The server that the worker was in last, and what a recovery made of the queue. */
typedef struct TteInstallation
{
	uint32		timeline;		/* 0: the worker was nowhere yet */
	uint64		backup_start;	/* of the base backup it came from, 0: none */
	int64		seen_at;
	int64		recovered_to;	/* not later than the state recovered to; 0:
								 * never */
	uint64		recovered_xid;	/* what earlier ones recorded may have been
								 * received since */
} TteInstallation;

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

/* A request as it is recorded before it is sent. */
typedef struct TteRequestStart
{
	int32		source_id;
	int64		started_at;
	int			events;
	TtePosition first;
	TtePosition last;
	int			bytes;
	bool		is_test;
} TteRequestStart;

typedef struct TteRequestEnd
{
	int64		id;
	int			http_status;	/* 0: none */
	bool		has_code;
	int			code;
	const char *message;		/* UTF-8 */
	const char *request_id;
	const char *outcome;
	int			events;			/* that were in it, 0: as it was started */
	TtePosition first;
	TtePosition last;
	int			bytes;
} TteRequestEnd;

/* How a group of events ended. */
typedef struct TteFinal
{
	int64		request_id;		/* 0: never sent */
	const char *status;
	const char *reason;			/* or NULL */
	bool		keep_identity;	/* so that tiktok.retry can send it again */
	bool		from_retry;		/* the events are in tiktok.retry */
	bool		attempted;		/* this request counts as an attempt */
	int64		possibly_received_at;	/* 0: neither this request was
										 * received nor one before a recovery */
} TteFinal;

typedef enum TteQueueState
{
	TTE_QUEUE_READY,
	TTE_QUEUE_GONE,				/* the extension has been dropped; leave */
	TTE_QUEUE_MISMATCH			/* its version is none that this library knows */
} TteQueueState;

/* Finds the extension; false: this database does not have it. */
extern bool tte_queue_attach(void);

/* A transaction is open afterwards if the queue is ready. */
extern TteQueueState tte_queue_begin(const char *activity);
extern void tte_queue_end(void);

/* The version of the extension, as tte_queue_begin() found it. */
extern const char *tte_queue_version(void);

/* After tte_queue_begin(): why the tables must not be touched, NULL: they may; see guard.h. */
extern const char *tte_queue_problem(void);

/* Has any transaction of the cluster ended since this was asked last?  Needs no transaction. */
extern bool tte_queue_may_have_news(void);

/* All sources; what they point to is allocated in context. */
extern int	tte_queue_sources(MemoryContext context, TteSourceConfig **configs);

/* Deletes state and cursor of sources that have been deleted. */
extern void tte_queue_forget_sources(void);
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

extern int64 tte_queue_start_request(const TteRequestStart *start);
extern void tte_queue_claim_retries(int64 request_id, const int64 *ids, int n);
extern void tte_queue_finish_request(const TteRequestEnd *end);

/* Would recording a fate of that event have to wait for an open transaction? */
extern bool tte_queue_busy(int64 id);
extern void tte_queue_record_final(const TteFinal *final, const int64 *ids, int n);
extern void tte_queue_record_retry(int32 source_id, int64 request_id, int64 started_at, int64 possibly_received_at,
								   bool has_code, int code, const int64 *ids, const int64 *next_attempts, int n);

/*
 * Closes an event with which a process died, or that failed, three times: the
 * last times it was the only one in its request, which is this one.
 */
extern void tte_queue_set_apart(int32 source_id, int64 request_id);

/*
 * Requests that nobody will finish any more may have been received: their
 * events go to tiktok.retry.  Returns how many requests there were.
 */
extern int	tte_queue_recover(int32 source_id);

/* False: this database is a copy of another server's. */
extern bool tte_queue_load_installation(TteInstallation *installation);
extern void tte_queue_store_installation(const TteInstallation *installation);

/*
 * The server was recovered to a state not older than recovered_to: what is in
 * tiktok.retry may have been received since, and so may what a recovery before
 * this one left unfinished.  The other events are told by their xid.
 */
extern void tte_queue_recovered(int64 recovered_to);

/* Pauses all sources that are not paused. */
extern void tte_queue_pause_all(const char *reason);

/* The state of a source that is not sent to; NULL: it is. */
extern void tte_queue_store_state(int32 source_id, const char *state, const char *reason, int64 since, int64 probe_at);

#endif							/* TTE_QUEUE_H */
