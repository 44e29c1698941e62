/*-------------------------------------------------------------------------
 *
 * report_store.h
 *	  Fetching TikTok's counts: what is read from the tables and written there.
 *
 * All of it is called in a transaction.  Times are microseconds since 1970, days
 * are counted since 1970; PG_INT64_MAX: never.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TTE_REPORT_STORE_H
#define TTE_REPORT_STORE_H

#include "answer/counts.h"
#include "answer/verdict.h"
#include "deliver/token.h"

#define TTE_NEVER	PG_INT64_MAX

/* A web source with an advertiser, and how far its counts are. */
typedef struct TteReportSource
{
	int32		id;
	char	   *name;
	char	   *advertiser;
	char	   *code;			/* of the Pixel */
	int64		token_set_at;	/* 0: none is stored */
	bool		token_foreign;	/* it was set in another database */
	bool		database_copied;
	char		state[16];		/* as stored; "": it was never looked at */
	int64		stamp;			/* of its token; 0: none that may be used */
	bool		same_target;	/* advertiser and code are those that pixel_id
								 * belongs to */
	char		pixel_id[TTE_PIXEL_ID_MAX + 1]; /* "": not known */
	int			failures;
	int64		next_at;
	bool		from_file;
	int			page;			/* of pixel/list, that comes next */
} TteReportSource;

/* A call that has ended. */
typedef struct TteReportCall
{
	TteReportSource *source;
	bool		stats;			/* or pixel/list */
	char		pixel_id[TTE_PIXEL_ID_MAX + 1];
	int			day;			/* whose counts are asked for */
	int64		started_at;
	const char *outcome;
	int			http_status;	/* 0: none */
	int			bytes;
	TteReply	reply;
} TteReportCall;

/* All that are not paused; allocated in context. */
extern int	tte_report_read(MemoryContext context, TteReportSource **sources);

/* Stores state, Pixel, failures and next_at of a source. */
extern void tte_report_store(const TteReportSource *source, const char *reason);

/* The newest day whose counts are due; -1: none. */
extern int	tte_report_day(const TteReportSource *source, int today);

/* It counts as failed, and is due again, until its call has been answered. */
extern void tte_report_begin(const TteReportSource *source);

/* Sets the stored token and returns NULL; else why there is none, as tte_token_read(). */
extern const char *tte_report_token(int32 source_id, char token[TTE_TOKEN_MAX + 1]);

/* A row of tiktok.report_fetch, and the counts; both are NULL for a call without any. */
extern void tte_report_record(const TteReportCall *call, const TteCounts *counts, int64 now);
extern void tte_report_counts(const TteReportCall *call, const TteCounts *counts);

/* All due days are fetched: what TikTok did not count there is zero.  Deletes old rows of report_fetch. */
extern void tte_report_complete(const TteReportSource *source, int today);

#endif							/* TTE_REPORT_STORE_H */
