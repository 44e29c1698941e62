/*-------------------------------------------------------------------------
 *
 * pixel_sums.c
 *	  Reports of the Pixel beside the events that they are copies of, in sums: what
 *	  the report says of the Pixel, and what tiktok_internal.count_rule() rests on.
 *
 * Reports are read first and stay in memory, about 100 bytes each.  Then events
 * are read, from two days before the first report on, and each is counted with
 * its report.  A report whose event is not among these is returned as a row of
 * its own, to be looked up.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datum.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "operate/copies.h"
#include "operate/stream.h"

PG_FUNCTION_INFO_V1(tte_sql_pixel_sums);

#define MARGIN		(2 * USECS_PER_DAY)

/* What a report or an event counts for: the period asked for, the time of count_rule() */
#define IN_PERIOD	0x01
#define IN_RULE		0x02

typedef struct Report
{
	TimestampTz seen_at;
	const char *event_id;
	int32		length;			/* of event_id */
	int16		pair;			/* of source and event name: its number */
	bool		found;			/* its event */
	uint8		counts;			/* flags */
	struct Report *next;		/* that was read after it */
} Report;

typedef struct ReportSlot
{
	Report	   *report;
	uint32		hash;
	char		status;			/* of simplehash.h */
} ReportSlot;

static inline bool
same_report(const Report *a, const Report *b)
{
	return a->pair == b->pair && a->length == b->length && memcmp(a->event_id, b->event_id, a->length) == 0;
}

#define SH_PREFIX reports
#define SH_ELEMENT_TYPE ReportSlot
#define SH_KEY_TYPE Report *
#define SH_KEY report
#define SH_HASH_KEY(table, r) (hash_bytes((const unsigned char *) (r)->event_id, (r)->length) + (r)->pair)
#define SH_EQUAL(table, a, b) same_report(a, b)
#define SH_STORE_HASH
#define SH_GET_HASH(table, slot) (slot)->hash
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow"
#include "lib/simplehash.h"
#pragma GCC diagnostic pop

/* Of a day (UTC): reports whose event is known, or delivered events. */
typedef struct SumKey
{
	DateADT		day;
	int16		pair;
	uint8		counts;
	bool		is_event;
} SumKey;

typedef struct Sum
{
	SumKey		key;
	int64		n;
	int64		delivered;
	int64		minutes;		/* delivered so shortly before or after that
								 * both copies complete each other */
	int64		apart;			/* delivered when TikTok no longer, or not
								 * yet, knew the other copy */
} Sum;

typedef struct Pair
{
	text	   *event;
	int32		source_id;
} Pair;

typedef struct Sums
{
	MemoryContext context;
	ReturnSetInfo *result;
	reports_hash *reports;
	Report	   *first;
	Report	   *last;
	Report	   *expected;		/* after the one that was found last */
	HTAB	   *groups;
	Sum		   *group;			/* the last one */
	Pair	   *pairs;
	int			npairs;
	int			pair;			/* the last one */
} Sums;

enum ResultColumn
{
	C_SOURCE_ID, C_EVENT, C_DAY, C_IN_PERIOD, C_IN_RULE, C_IS_EVENT, C_N, C_DELIVERED, C_MINUTES, C_APART, C_EVENT_ID, RESULT_COLUMNS
};

/* $1 and $2: the period, $3: begin of count_rule()'s time or NULL; $4 and $5: what is read */
static const char reports_sql[] =
"SELECT p.source_id, p.event, p.event_id, p.seen_at, p.seen_at >= $1 AND p.seen_at < $2, coalesce(p.hour >= $3, false) "
"FROM tiktok_internal.pixel_report p WHERE p.hour >= $4 AND p.hour <= $5";

/* The planner does not see that an outcome is no older than its event, and would read all of them from the first. */
static const char events_sql[] =
"WITH first AS MATERIALIZED (SELECT min(i.id + 0) AS id FROM tiktok_internal.event_of_id i WHERE i.hour >= $4) "
"SELECT e.source_id, e.event, e.event_id, e.event_time, coalesce(o.status = 'delivered', false), o.at, coalesce(e.hour >= $3, false) "
"FROM tiktok_internal.event_of_id e LEFT JOIN tiktok_internal.outcome o ON o.id = e.id AND o.id >= (SELECT f.id FROM first f) "
"WHERE NOT e.is_test AND e.id >= (SELECT f.id FROM first f) AND e.hour >= $4 AND e.hour <= $5";

static DateADT
day_of(TimestampTz at)
{
	if (TIMESTAMP_NOT_FINITE(at))
		return at < 0 ? DATEVAL_NOBEGIN : DATEVAL_NOEND;
	return (DateADT) (at / USECS_PER_DAY - (at % USECS_PER_DAY < 0));
}

/* Rows of one source and event mostly follow each other.  -1: there is none, and none is made. */
static int
number_of_pair(Sums *sums, TupleTableSlot *slot, bool make)
{
	int32		source_id = DatumGetInt32(slot->tts_values[0]);
	const text *event = DatumGetTextPP(slot->tts_values[1]);
	Size		length = VARSIZE_ANY_EXHDR(event);
	MemoryContext old;

	for (int i = 0; i <= sums->npairs; i++)
	{
		int			number = i == 0 ? sums->pair : i - 1;
		const Pair *pair = &sums->pairs[number];

		if (number < sums->npairs && pair->source_id == source_id && VARSIZE_ANY_EXHDR(pair->event) == length &&
			memcmp(VARDATA_ANY(pair->event), VARDATA_ANY(event), length) == 0)
			return sums->pair = number;
	}
	if (!make)
		return -1;
	if (sums->npairs > PG_INT16_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("too many event names")));
	old = MemoryContextSwitchTo(sums->context);
	sums->pairs = repalloc(sums->pairs, (sums->npairs + 1) * sizeof(Pair));
	sums->pairs[sums->npairs].source_id = source_id;
	sums->pairs[sums->npairs].event = (text *) DatumGetPointer(datumCopy(PointerGetDatum(event), false, -1));
	MemoryContextSwitchTo(old);
	return sums->pair = sums->npairs++;
}

static Sum *
group_of(Sums *sums, TimestampTz at, int pair, uint8 counts, bool is_event)
{
	SumKey		key;
	bool		found;

	memset(&key, 0, sizeof(key));
	key.day = day_of(at);
	key.pair = pair;
	key.counts = counts;
	key.is_event = is_event;
	if (sums->group != NULL && memcmp(&sums->group->key, &key, sizeof(key)) == 0)
		return sums->group;
	sums->group = hash_search(sums->groups, &key, HASH_ENTER, &found);
	if (!found)
		memset((char *) sums->group + sizeof(key), 0, sizeof(Sum) - sizeof(key));
	return sums->group;
}

/* As of reports_sql; each report has another key. */
static void
take_report(void *arg, TupleTableSlot *slot)
{
	Sums	   *sums = arg;
	uint8		counts = (DatumGetBool(slot->tts_values[4]) ? IN_PERIOD : 0) | (DatumGetBool(slot->tts_values[5]) ? IN_RULE : 0);
	const text *id = DatumGetTextPP(slot->tts_values[2]);
	int			length = VARSIZE_ANY_EXHDR(id);
	Report	   *report;
	bool		found;

	if (counts == 0)
		return;
	report = MemoryContextAllocZero(sums->context, sizeof(Report) + length);
	memcpy((char *) report + sizeof(Report), VARDATA_ANY(id), length);
	report->event_id = (char *) report + sizeof(Report);
	report->length = length;
	report->seen_at = DatumGetTimestampTz(slot->tts_values[3]);
	report->pair = number_of_pair(sums, slot, true);
	report->counts = counts;
	reports_insert(sums->reports, report, &found);
	if (sums->last == NULL)
		sums->first = report;
	else
		sums->last->next = report;
	sums->last = report;
}

/* Reports and events mostly come in the same order, so the next report is tried before the hash table. */
static Report *
find_report(Sums *sums, int pair, const text *id)
{
	Report		wanted = {.event_id = VARDATA_ANY(id), .length = VARSIZE_ANY_EXHDR(id), .pair = pair};
	Report	   *report = sums->expected;

	if (report == NULL || !same_report(report, &wanted))
	{
		ReportSlot *slot = reports_lookup(sums->reports, &wanted);

		if (slot == NULL)
			return NULL;
		report = slot->report;
	}
	sums->expected = report->next;
	return report;
}

static void
count_match(Sums *sums, Report *report, bool delivered, TimestampTz at)
{
	Sum		   *group = group_of(sums, report->seen_at, report->pair, report->counts, false);
	int64		apart = delivered ? Max(at, report->seen_at) - Min(at, report->seen_at) : 0;

	report->found = true;
	group->n++;
	if (!delivered)
		return;
	group->delivered++;
	if (apart <= TTE_COPY_COMPLETES)
		group->minutes++;
	if (apart > TTE_COPY_KNOWN)
		group->apart++;
}

/* As of events_sql. */
static void
take_event(void *arg, TupleTableSlot *slot)
{
	Sums	   *sums = arg;
	bool		delivered = DatumGetBool(slot->tts_values[4]);
	bool		in_rule = DatumGetBool(slot->tts_values[6]);
	int			pair = number_of_pair(sums, slot, delivered && in_rule);
	Report	   *report = pair < 0 ? NULL : find_report(sums, pair, DatumGetTextPP(slot->tts_values[2]));

	if (delivered && in_rule)
		group_of(sums, DatumGetTimestampTz(slot->tts_values[3]), pair, IN_RULE, true)->n++;
	if (report != NULL && !report->found)
		count_match(sums, report, delivered, delivered ? DatumGetTimestampTz(slot->tts_values[5]) : 0);
}

static void
put_row(const Sums *sums, int pair, uint8 counts, Datum *values, bool *nulls)
{
	values[C_SOURCE_ID] = Int32GetDatum(sums->pairs[pair].source_id);
	values[C_EVENT] = PointerGetDatum(sums->pairs[pair].event);
	values[C_IN_PERIOD] = BoolGetDatum((counts & IN_PERIOD) != 0);
	values[C_IN_RULE] = BoolGetDatum((counts & IN_RULE) != 0);
	tuplestore_putvalues(sums->result->setResult, sums->result->setDesc, values, nulls);
}

static void
put_groups(const Sums *sums)
{
	HASH_SEQ_STATUS status;
	const Sum  *group;
	Datum		values[RESULT_COLUMNS] = {0};
	bool		nulls[RESULT_COLUMNS] = {0};

	nulls[C_EVENT_ID] = true;
	hash_seq_init(&status, sums->groups);
	while ((group = hash_seq_search(&status)) != NULL)
	{
		values[C_DAY] = DateADTGetDatum(group->key.day);
		values[C_IS_EVENT] = BoolGetDatum(group->key.is_event);
		values[C_N] = Int64GetDatum(group->n);
		values[C_DELIVERED] = Int64GetDatum(group->delivered);
		values[C_MINUTES] = Int64GetDatum(group->minutes);
		values[C_APART] = Int64GetDatum(group->apart);
		put_row(sums, group->key.pair, group->key.counts, values, nulls);
	}
}

static void
put_unknown(const Sums *sums)
{
	Datum		values[RESULT_COLUMNS] = {0};
	bool		nulls[RESULT_COLUMNS] = {0};

	nulls[C_DELIVERED] = nulls[C_MINUTES] = nulls[C_APART] = true;
	values[C_IS_EVENT] = BoolGetDatum(false);
	values[C_N] = Int64GetDatum(1);
	for (const Report *report = sums->first; report != NULL; report = report->next)
	{
		if (report->found)
			continue;
		values[C_DAY] = DateADTGetDatum(day_of(report->seen_at));
		values[C_EVENT_ID] = PointerGetDatum(cstring_to_text_with_len(report->event_id, report->length));
		put_row(sums, report->pair, report->counts, values, nulls);
		pfree(DatumGetPointer(values[C_EVENT_ID]));
	}
}

static void
start_sums(Sums *sums, FunctionCallInfo fcinfo)
{
	HASHCTL		ctl = {.keysize = sizeof(SumKey), .entrysize = sizeof(Sum), .hcxt = CurrentMemoryContext};

	memset(sums, 0, sizeof(Sums));
	sums->context = CurrentMemoryContext;
	sums->result = (ReturnSetInfo *) fcinfo->resultinfo;
	sums->reports = reports_create(CurrentMemoryContext, 1024, NULL);
	sums->groups = hash_create("days of reports", 256, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	sums->pairs = palloc(sizeof(Pair));
}

/* (since timestamptz, until timestamptz, rule_since timestamptz); rule_since may be null */
Datum
tte_sql_pixel_sums(PG_FUNCTION_ARGS)
{
	const Oid	types[] = {TIMESTAMPTZOID, TIMESTAMPTZOID, TIMESTAMPTZOID, TIMESTAMPTZOID, TIMESTAMPTZOID};
	bool		has_rule = !PG_ARGISNULL(2);
	const char *nulls = has_rule ? NULL : "  n  ";
	Datum		args[lengthof(types)];
	Sums		sums;
	TimestampTz since = PG_GETARG_TIMESTAMPTZ(0);
	TimestampTz until = PG_GETARG_TIMESTAMPTZ(1);

	InitMaterializedSRF(fcinfo, 0);
	SPI_connect();
	start_sums(&sums, fcinfo);
	if (has_rule)
	{
		since = Min(since, PG_GETARG_TIMESTAMPTZ(2));
		until = DT_NOEND;
	}
	args[0] = PG_GETARG_DATUM(0);
	args[1] = PG_GETARG_DATUM(1);
	args[2] = has_rule ? PG_GETARG_DATUM(2) : (Datum) 0;
	args[3] = TimestampTzGetDatum(tte_shifted(since, -USECS_PER_HOUR));
	args[4] = TimestampTzGetDatum(until);
	tte_stream(reports_sql, lengthof(types), types, args, nulls, take_report, &sums);
	sums.expected = sums.first;
	args[3] = TimestampTzGetDatum(tte_shifted(since, -MARGIN));
	args[4] = TimestampTzGetDatum(tte_shifted(until, MARGIN));
	if (sums.first != NULL || has_rule)
		tte_stream_events(events_sql, lengthof(types), types, args, nulls, take_event, &sums);
	put_groups(&sums);
	put_unknown(&sums);
	SPI_finish();
	return (Datum) 0;
}
