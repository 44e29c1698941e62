/*-------------------------------------------------------------------------
 *
 * request.h
 *	  Requests, and the fates of their events.
 *
 * Called between tte_queue_begin() and tte_queue_end().
 *
 *-------------------------------------------------------------------------
 */
#ifndef TTE_REQUEST_H
#define TTE_REQUEST_H

#include "deliver/window.h"

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
	int32		source_id;
	int64		request_id;		/* 0: never sent */
	const char *status;
	const char *reason;			/* or NULL */
	bool		keep_identity;	/* so that tiktok.retry can send it again */
	bool		from_retry;		/* the events are in tiktok.retry */
	bool		attempted;		/* this request counts as an attempt */
	int64		possibly_received_at;	/* 0: neither this request was
										 * received nor one before a recovery */
} TteFinal;

extern int64 tte_queue_start_request(const TteRequestStart *start);
extern void tte_queue_claim_retries(int64 request_id, const int64 *ids, int n);
extern void tte_queue_finish_request(const TteRequestEnd *end);

/*
 * Locks the events that no open transaction has locked, which come first, and
 * returns how many these are.
 */
extern int	tte_queue_lock_events(int64 *ids, int n);
extern void tte_queue_record_final(const TteFinal *final, const int64 *ids, int n);

/* Events that are sent again, or wait for it, in tiktok.retry. */
typedef struct TteRetry
{
	int32		source_id;
	int64		request_id;		/* that carried them; 0: none */
	int64		first_attempt_at;
	int64		possibly_received_at;	/* 0: not that one */
	bool		has_code;		/* of the answer */
	int			code;
	int			attempts;		/* more than before */
	int64		next_attempt_at;
	const char *kind;			/* that is in doubt, or NULL */
} TteRetry;

/* They are under way, or in a part: nobody else reads them. */
#define TTE_LEASED	PG_INT64_MAX

extern void tte_queue_record_retry(const TteRetry *retry, const int64 *ids, int n);

/* Takes those of the events that are not leased; returns how many, which come first then. */
extern int	tte_queue_lease(int64 *ids, int n);

/* What is leased, in no request and in no part, is due now; false: some of it is locked. */
extern bool tte_queue_reset_leases(int32 source_id);

/* All that is due later is due within ten seconds, events of one request together. */
extern void tte_queue_wake_retries(int32 source_id, int64 now);

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

/* Are there such requests? */
extern bool tte_queue_interrupted(int32 source_id);

#endif							/* TTE_REQUEST_H */
