/*-------------------------------------------------------------------------
 *
 * counts.h
 *	  Calls and answers of TikTok's reporting API: the number of a Pixel, and its counts.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TTE_COUNTS_H
#define TTE_COUNTS_H

#include "answer/verdict.h"
#include "event/json.h"

#define TTE_PIXEL_ID_MAX	20	/* digits */
#define TTE_COUNT_TYPE_MAX	50	/* bytes of a type or custom name */
#define TTE_COUNTS_MAX		1000	/* of a Pixel on a day */

typedef enum TtePixelAnswer
{
	TTE_PIXEL_UNREADABLE,		/* not an answer of pixel/list */
	TTE_PIXEL_NONE,				/* the advertiser has no such Pixel */
	TTE_PIXEL_NEXT_PAGE,		/* not on this page, and there are others */
	TTE_PIXEL_UNBOUND,			/* TikTok does not count its events */
	TTE_PIXEL_FOUND
} TtePixelAnswer;

/*
 * Append path and parameters of a call.  All values consist of letters, digits,
 * underscore and dash.
 */
extern void tte_pixel_list_query(StringInfo url, const char *advertiser, const char *code, int page);
extern void tte_counts_query(StringInfo url, const char *advertiser, const char *pixel_id, const char *day);

/* How an answer without counts is called in tiktok.report_fetch: throttled, stopped or failed. */
extern const char *tte_counts_trouble(const TteReply *reply);

/* Looks for the Pixel with this code; id is set if it is FOUND or UNBOUND. */
extern TtePixelAnswer tte_pixel_find(const char *body, size_t len, const char *code, int page, char id[TTE_PIXEL_ID_MAX + 1]);

/* What TikTok counted of one event on one day; -1: it does not say. */
typedef struct TteCount
{
	char		type[TTE_COUNT_TYPE_MAX + 1];
	bool		custom;			/* type is the event's own name */
	int64		browser;
	int64		server;
	int64		total;
} TteCount;

typedef struct TteCounts
{
	bool		listed;			/* the answer names the Pixel */
	int			n;
	TteCount   *counts;			/* palloc'd */
} TteCounts;

/*
 * Reads an answer of pixel/event/stats.  Returns NULL, or why it cannot be read, as a
 * constant string.  What has no usable name is left out.
 */
extern const char *tte_counts_read(const char *body, size_t len, const char *pixel_id, TteCounts *counts);

#endif							/* TTE_COUNTS_H */
