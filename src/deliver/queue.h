/*-------------------------------------------------------------------------
 *
 * queue.h
 *	  The worker and the database: the extension, its configuration and state.
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
	int64		token_stamp;	/* changes when it is set */
	char	   *token_problem;	/* why there is none, or NULL */
	bool		copied;			/* the token was set in another database */
	bool		database_copied;	/* this database, or some of its
									 * configuration, is a copy of another */
	bool		paused;			/* by tiktok.pause() */
	int64		resumed_at;		/* by tiktok.resume(), 0: never */
	char	   *stored_state;	/* as tiktok.source_state has it, NULL: sent
								 * to */
} TteSourceConfig;

/* Where the worker made its last note, and what a recovery, or a copy, made of the queue. */
typedef struct TteInstallation
{
	uint32		timeline;		/* 0: there was no worker yet */
	uint64		backup_start;	/* of the base backup it came from, 0: none */
	int64		seen_at;
	int64		recovered_to;	/* not later than the state recovered to; 0:
								 * never */
	uint64		recovered_xid;	/* what earlier ones recorded may have been
								 * received since */
	bool		copied;			/* the last note was made in another database */
	int64		sent_at;		/* when the last request was made; 0: none */
} TteInstallation;

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

/* Its number. */
extern Oid	tte_queue_extension(void);

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

/* False: its row has been deleted. */
extern bool tte_queue_load_installation(TteInstallation *installation);
extern void tte_queue_store_installation(const TteInstallation *installation);

/*
 * The server was recovered to a state not older than recovered_to, or this database
 * is a copy of such a state: what is in tiktok.retry may have been received since,
 * and so may what a recovery before this one ("again") left unfinished.  The other
 * events are told by their xid.
 */
extern void tte_queue_recovered(int64 recovered_to, bool again);

/* Pauses all sources that are not paused. */
extern void tte_queue_pause_all(const char *reason);

/* The state of a source that is not sent to; NULL: it is. */
extern void tte_queue_store_state(int32 source_id, const char *state, const char *reason, int64 since, int64 probe_at);

#endif							/* TTE_QUEUE_H */
