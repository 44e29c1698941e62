/*-------------------------------------------------------------------------
 *
 * compare.h
 *	  Orders, events and reports of the Pixel side by side: what compare.c reads
 *	  and compare_result.c returns.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TTE_COMPARE_H
#define TTE_COMPARE_H

#include "common/hashfn.h"
#include "nodes/execnodes.h"
#include "utils/date.h"
#include "utils/hsearch.h"
#include "utils/numeric.h"

#define COLUMNS_READ 10

typedef struct Order
{
	TimestampTz at;
	Numeric		value;			/* NULL: none */
	const char *currency;		/* NULL: none */
	struct Order *next;			/* with the same event_id */
} Order;

/* An event that is not exactly what its order says. */
typedef struct Sent
{
	TimestampTz event_time;
	int64		id;
	Numeric		value;
	const char *currency;
	const char *status;
	const char *reason;
	int32		source_id;
} Sent;

#define HAS_ORDER	0x01
#define HAS_EVENT	0x02
#define HAS_REPORT	0x04
#define DELIVERED	0x08
#define SAME		0x10		/* delivered, with the order's value and
								 * currency */
#define IN_RUN		0x20		/* no event, as RUN - 1 others before or after
								 * it */

typedef struct Key
{
	const char *event_id;
	int32		length;			/* of event_id */
	int16		event;			/* number of the event name */
	uint8		flags;
	Order		order;			/* the first */
	Sent	   *sent;			/* NULL: there is no event, or it is what the
								 * order says */
	TimestampTz delivered_at;	/* IN_RUN: time of the first order of the run */
	TimestampTz seen_at;
	struct Key *next;			/* that was made after it */
} Key;

typedef struct KeySlot
{
	Key		   *key;
	uint32		hash;
	char		status;			/* of simplehash.h */
} KeySlot;

static inline bool
same_key(const Key *a, const Key *b)
{
	return a->event == b->event && a->length == b->length && memcmp(a->event_id, b->event_id, a->length) == 0;
}

#define SH_PREFIX keys
#define SH_ELEMENT_TYPE KeySlot
#define SH_KEY_TYPE Key *
#define SH_KEY key
#define SH_HASH_KEY(table, k) (hash_bytes((const unsigned char *) (k)->event_id, (k)->length) + (k)->event)
#define SH_EQUAL(table, a, b) same_key(a, b)
#define SH_STORE_HASH
#define SH_GET_HASH(table, slot) (slot)->hash
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow"
#include "lib/simplehash.h"
#pragma GCC diagnostic pop

/* What agrees, of a day, event and currency. */
typedef struct AgreementKey
{
	const char *currency;		/* NULL: none */
	DateADT		day;
	int32		event;
} AgreementKey;

typedef struct Agreement
{
	AgreementKey key;
	int64		n;
	Numeric		value;
	Numeric		parts;			/* of a cent, by which that which was sent is
								 * more */
} Agreement;

typedef struct Compare
{
	TimestampTz since;
	TimestampTz until;
	int			nevents;
	Datum	   *events;			/* names */
	keys_hash  *keys;
	Key		   *first;			/* all keys, in the order of memory: walking
								 * the hash table misses the cache with each */
	Key		   *last;
	Key		   *expected;		/* after the one that was found last */
	HTAB	   *groups;
	List	   *words;			/* currencies, statuses and reasons that were
								 * seen */
	const char *seen[COLUMNS_READ]; /* last word of each column */
	const char *spelled;		/* last currency, as its order has it */
	const char *currency;		/* and as events have it */
	Numeric		half_a_cent;
	MemoryContext context;
	MemoryContext row;			/* reset after each row */
	char	   *block;			/* free space of the last block of strings and
								 * structs */
	Size		left;
	DateADT		day;			/* of the quarter of an hour that was asked
								 * for last */
	int64		quarter;
	Order	  **unnamed;		/* orders without event_id, by name */
	ReturnSetInfo *result;
} Compare;

/* compare.c */
extern bool tte_compare_in_period(const Compare *c, TimestampTz at);
extern DateADT tte_compare_day(Compare *c, TimestampTz at);
extern void tte_compare_agreement(Compare *c, const Key *key);
extern Key *tte_compare_other_name(Compare *c, int event, const char *event_id, int length);

/*
 * compare_result.c: a report that TikTok counts beside the event, whose key is
 * NULL if there is none; and, when all has been read, everything else.
 */
extern void tte_compare_put_report(Compare *c, const char *status, Datum event, Datum event_id, TimestampTz seen_at, const Key *key);
extern void tte_compare_put_results(Compare *c);

#endif							/* TTE_COMPARE_H */
