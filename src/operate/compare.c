/*-------------------------------------------------------------------------
 *
 * compare.c
 *	  Orders, events and reports of the Pixel side by side: the one read of a
 *	  period on which tiktok.differences, bridge and reconcile rest, and with
 *	  them the checklist and the report.
 *
 * Orders are read first, then events, then reports, each once, and matched by
 * event name and event_id.  What agrees (one order, one delivered event, the
 * same value and currency, in time for the copy of the Pixel) is counted by day,
 * event and currency; only the rest is returned row by row.  Orders stay in
 * memory, about 150 bytes each.
 *
 * All three are read beyond the ends of the period, so that what lies on both
 * sides of an end still meets.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "common/int.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "pgtime.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/fmgrprotos.h"
#include "utils/formatting.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#include "operate/compare.h"
#include "operate/stream.h"
#include "operate/truth.h"

PG_FUNCTION_INFO_V1(tte_sql_compare);

#define MARGIN		(2 * USECS_PER_DAY)

/* Times of the same quarter of an hour are on the same day in every time zone. */
#define QUARTER		(15 * USECS_PER_MINUTE)

#define BLOCK		(256 * 1024)

typedef void (*PutRow) (Compare *c, TupleTableSlot *slot, int event);

typedef struct Taker
{
	Compare    *compare;
	PutRow		put;
	int			event;			/* that the rows are of; -1: they say it
								 * themselves */
} Taker;

/* The planner does not see that an outcome is no older than its event, and would read all of them from the first. */
static const char events_sql[] =
"WITH first AS MATERIALIZED (SELECT min(i.id + 0) AS id FROM tiktok_internal.event_of_id i WHERE i.hour >= $3 - interval '2 hours') "
"SELECT e.event, e.event_id, e.event_time, e.value, e.currency, coalesce(o.status, CASE WHEN r.id IS NULL THEN 'pending' ELSE 'retrying' END), "
"o.reason, o.at, e.id, e.source_id "
"FROM tiktok_internal.event_of_id e "
"LEFT JOIN tiktok_internal.outcome o ON o.id = e.id AND o.id >= (SELECT f.id FROM first f) "
"LEFT JOIN tiktok_internal.retried r ON r.id = e.id "
"WHERE e.source_id = ANY ($1) AND e.event = ANY ($2) AND NOT e.is_test AND e.id >= (SELECT f.id FROM first f) "
"AND e.event_time >= $3 AND e.event_time < $4";

static const char reports_sql[] =
"SELECT p.event, p.event_id, p.seen_at FROM tiktok_internal.pixel_report p WHERE p.source_id = ANY ($1) AND p.event = ANY ($2) "
"AND p.hour >= $3 - interval '2 hours' AND p.seen_at >= $3 AND p.seen_at < $4";

static const char other_reports_sql[] =
"SELECT p.event, p.event_id, p.seen_at FROM tiktok_internal.pixel_report p WHERE p.source_id = ANY ($1) AND p.event <> ALL ($2) "
"AND p.hour >= $3 - interval '2 hours' AND p.seen_at >= $3 AND p.seen_at < $4";

/* ---- Memory ---- */

/* Millions of small things, which end together. */
static void *
allocate(Compare *c, Size size)
{
	char	   *place;

	size = MAXALIGN(size);
	if (size > BLOCK / 8)
		return MemoryContextAlloc(c->context, size);
	if (size > c->left)
	{
		c->block = MemoryContextAlloc(c->context, BLOCK);
		c->left = BLOCK;
	}
	place = c->block;
	c->block += size;
	c->left -= size;
	return place;
}

static const char *
keep_bytes(Compare *c, const char *bytes, int length)
{
	char	   *copy = allocate(c, length + 1);

	memcpy(copy, bytes, length);
	copy[length] = '\0';
	return copy;
}

static bool
equals_word(const char *word, const text *t)
{
	return strncmp(word, VARDATA_ANY(t), VARSIZE_ANY_EXHDR(t)) == 0 && word[VARSIZE_ANY_EXHDR(t)] == '\0';
}

/* One copy of each word: there are few, and equal ones have one address. */
static const char *
find_word(Compare *c, const text *t)
{
	ListCell   *cell;
	MemoryContext old;
	const char *kept;

	foreach(cell, c->words)
	{
		if (equals_word(lfirst(cell), t))
			return lfirst(cell);
	}
	kept = keep_bytes(c, VARDATA_ANY(t), VARSIZE_ANY_EXHDR(t));
	if (list_length(c->words) < 200)
	{
		old = MemoryContextSwitchTo(c->context);
		c->words = lappend(c->words, unconstify(char *, kept));
		MemoryContextSwitchTo(old);
	}
	return kept;
}

/* Of a column; most rows have the word that the row before has. */
static const char *
keep_word(Compare *c, TupleTableSlot *slot, int column)
{
	text	   *t;

	if (slot->tts_isnull[column])
		return NULL;
	t = DatumGetTextPP(slot->tts_values[column]);
	if (c->seen[column] == NULL || !equals_word(c->seen[column], t))
		c->seen[column] = find_word(c, t);
	return c->seen[column];
}

/* Of an order, which may have it in small letters or between spaces. */
static const char *
keep_currency(Compare *c, TupleTableSlot *slot, int column)
{
	text	   *t;
	const char *start,
			   *end;

	if (slot->tts_isnull[column])
		return NULL;
	t = DatumGetTextPP(slot->tts_values[column]);
	if (c->spelled == NULL || !equals_word(c->spelled, t))
	{
		start = c->spelled = find_word(c, t);
		end = start + strlen(start);
		while (*start == ' ')
			start++;
		while (end > start && end[-1] == ' ')
			end--;
		c->currency = end == start ? NULL : find_word(c, cstring_to_text(asc_toupper(start, end - start)));
	}
	return c->currency;
}

static Numeric
keep_numeric(Compare *c, Numeric value)
{
	void	   *copy;

	if (value == NULL)
		return NULL;
	copy = allocate(c, VARSIZE(value));
	memcpy(copy, value, VARSIZE(value));
	return copy;
}

/* ---- Keys ---- */

static Key *
add_key(Compare *c, const Key *wanted)
{
	Key		   *key = allocate(c, sizeof(Key));

	*key = *wanted;
	key->event_id = keep_bytes(c, wanted->event_id, wanted->length);
	if (c->last == NULL)
		c->first = key;
	else
		c->last->next = key;
	c->last = key;
	return key;
}

/* Orders, events and reports mostly come in the same order, so the next key is tried before the hash table. */
static Key *
find_event_key(Compare *c, int event, const char *event_id, int length, bool make)
{
	Key			wanted = {.event_id = event_id, .length = length, .event = event};
	KeySlot    *slot;
	bool		found;

	if (c->expected != NULL && same_key(c->expected, &wanted))
	{
		Key		   *key = c->expected;

		c->expected = key->next;
		return key;
	}
	if (make)
	{
		slot = keys_insert(c->keys, &wanted, &found);
		if (!found)
			slot->key = add_key(c, &wanted);
	}
	else
		slot = keys_lookup(c->keys, &wanted);
	if (slot == NULL)
		return NULL;
	c->expected = slot->key->next;
	return slot->key;
}

static int
number_of_event(Compare *c, Datum name)
{
	for (int i = 0; i < c->nevents; i++)
	{
		if (DatumGetBool(DirectFunctionCall2Coll(texteq, C_COLLATION_OID, c->events[i], name)))
			return i;
	}
	return -1;
}

bool
tte_compare_in_period(const Compare *c, TimestampTz at)
{
	return at >= c->since && at < c->until;
}

/* In the session's time zone. */
DateADT
tte_compare_day(Compare *c, TimestampTz at)
{
	int64		quarter = at / QUARTER - (at % QUARTER < 0);
	struct pg_tm tm;
	fsec_t		fsec;
	int			tz;

	if (TIMESTAMP_NOT_FINITE(at))
		return at < 0 ? DATEVAL_NOBEGIN : DATEVAL_NOEND;
	if (quarter == c->quarter)
		return c->day;
	if (timestamp2tm(at, &tz, &tm, &fsec, NULL, session_timezone) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("timestamp out of range")));
	c->quarter = quarter;
	c->day = date2j(tm.tm_year, tm.tm_mon, tm.tm_mday) - POSTGRES_EPOCH_JDATE;
	return c->day;
}

/* ---- Comparison ---- */

static bool
same_value(Compare *c, Numeric a, Numeric b)
{
	Datum		difference;

	if (a == NULL || b == NULL)
		return a == b;
	if (VARSIZE(a) == VARSIZE(b) && memcmp(a, b, VARSIZE(a)) == 0)
		return true;
	difference = DirectFunctionCall1(numeric_abs, DirectFunctionCall2(numeric_sub, NumericGetDatum(a), NumericGetDatum(b)));
	return DatumGetBool(DirectFunctionCall2(numeric_lt, difference, NumericGetDatum(c->half_a_cent)));
}

/* An order without currency is in that of its event; without any value the currency does not matter. */
static bool
same_money(Compare *c, const Order *order, Numeric value, const char *currency)
{
	return same_value(c, order->value, value) &&
		(value == NULL || order->currency == NULL || currency == order->currency ||
		 (currency != NULL && strcmp(currency, order->currency) == 0));
}

static void
add(MemoryContext context, Numeric * sum, Numeric value)
{
	MemoryContext old = MemoryContextSwitchTo(context);
	Numeric		before = *sum;

	if (value != NULL)
	{
		*sum = DatumGetNumeric(DirectFunctionCall2(numeric_add, NumericGetDatum(before), NumericGetDatum(value)));
		pfree(before);
	}
	MemoryContextSwitchTo(old);
}

static Numeric
zero(MemoryContext context)
{
	MemoryContext old = MemoryContextSwitchTo(context);
	Numeric		result = int64_to_numeric(0);

	MemoryContextSwitchTo(old);
	return result;
}

void
tte_compare_agreement(Compare *c, const Key *key)
{
	const Order *order = &key->order;
	const Sent *sent = key->sent;
	AgreementKey which;
	Agreement  *group;
	bool		found;

	memset(&which, 0, sizeof(which));
	which.currency = order->currency ? order->currency : (sent ? sent->currency : NULL);
	which.day = tte_compare_day(c, order->at);
	which.event = key->event;
	group = hash_search(c->groups, &which, HASH_ENTER, &found);
	if (!found)
	{
		group->n = 0;
		group->value = zero(c->context);
		group->parts = zero(c->context);
	}
	group->n++;
	add(c->context, &group->value, order->value);
	if (sent != NULL && sent->value != NULL)
		add(c->context, &group->parts,
			DatumGetNumeric(DirectFunctionCall2(numeric_sub, NumericGetDatum(sent->value), NumericGetDatum(order->value))));
}

/* ---- Reading ---- */

/* Without the zeros behind the cents that a division leaves: 12.5000000000000000 is 12.50. */
static Numeric
numeric_of(TupleTableSlot *slot, int column)
{
	Datum		value = slot->tts_values[column];

	if (slot->tts_isnull[column])
		return NULL;
	if (numeric_is_nan(DatumGetNumeric(value)) || numeric_is_inf(DatumGetNumeric(value)) ||
		DatumGetInt32(DirectFunctionCall1(numeric_scale, value)) <= 2)
		return DatumGetNumeric(value);
	return DatumGetNumeric(DirectFunctionCall2(numeric_round, value,
											   Int32GetDatum(Max(2, DatumGetInt32(DirectFunctionCall1(numeric_min_scale, value))))));
}

static TimestampTz
time_of(TupleTableSlot *slot, int column)
{
	return slot->tts_isnull[column] ? 0 : DatumGetTimestampTz(slot->tts_values[column]);
}

/* The first order of an event_id is the one that its event is of. */
static void
add_order(Compare *c, Key *key, Order order)
{
	Order	   *later;

	if (key->flags & HAS_ORDER)
	{
		later = allocate(c, sizeof(Order));
		*later = key->order;
		if (order.at < key->order.at)
		{
			key->order = order;
			key->order.next = later;
			return;
		}
		order.next = key->order.next;
		*later = order;
		key->order.next = later;
		return;
	}
	key->flags |= HAS_ORDER;
	key->order = order;
}

/* (event_id, value, currency, at) of one relation */
static void
put_order(Compare *c, TupleTableSlot *slot, int event)
{
	Order		order = {0};
	const text *id = slot->tts_isnull[0] ? NULL : DatumGetTextPP(slot->tts_values[0]);

	order.value = keep_numeric(c, numeric_of(slot, 1));
	order.currency = keep_currency(c, slot, 2);
	order.at = time_of(slot, 3);
	if (id != NULL && VARSIZE_ANY_EXHDR(id) > 0)
	{
		add_order(c, find_event_key(c, event, VARDATA_ANY(id), VARSIZE_ANY_EXHDR(id), true), order);
	}
	else if (tte_compare_in_period(c, order.at))
	{
		Order	   *unnamed = allocate(c, sizeof(Order));

		*unnamed = order;
		unnamed->next = c->unnamed[event];
		c->unnamed[event] = unnamed;
	}
}

static Sent *
keep_sent(Compare *c, TupleTableSlot *slot)
{
	Sent	   *sent = allocate(c, sizeof(Sent));

	sent->event_time = time_of(slot, 2);
	sent->value = keep_numeric(c, numeric_of(slot, 3));
	sent->currency = keep_word(c, slot, 4);
	sent->status = keep_word(c, slot, 5);
	sent->reason = keep_word(c, slot, 6);
	sent->id = DatumGetInt64(slot->tts_values[8]);
	sent->source_id = DatumGetInt32(slot->tts_values[9]);
	return sent;
}

/* As of events_sql. */
static void
put_event(Compare *c, TupleTableSlot *slot, int event)
{
	TimestampTz event_time = time_of(slot, 2);
	text	   *id = DatumGetTextPP(slot->tts_values[1]);
	const char *status = keep_word(c, slot, 5);
	bool		delivered = status != NULL && strcmp(status, "delivered") == 0;
	Key		   *key = find_event_key(c, event, VARDATA_ANY(id), VARSIZE_ANY_EXHDR(id), tte_compare_in_period(c, event_time));

	if (key == NULL || ((key->flags & HAS_EVENT) && (!delivered || (key->flags & DELIVERED))))
		return;
	key->flags |= HAS_EVENT;
	key->sent = NULL;
	if (delivered)
	{
		Numeric		value = numeric_of(slot, 3);
		const char *currency = keep_word(c, slot, 4);

		key->flags |= DELIVERED;
		key->delivered_at = time_of(slot, 7);
		if ((key->flags & HAS_ORDER) && same_money(c, &key->order, value, currency))
		{
			key->flags |= SAME;
			if (currency == key->order.currency &&
				(value == NULL || (VARSIZE(value) == VARSIZE(key->order.value) && memcmp(value, key->order.value, VARSIZE(value)) == 0)))
				return;
		}
	}
	key->sent = keep_sent(c, slot);
}

/* (event, event_id, seen_at) of the events that are compared */
static void
put_report(Compare *c, TupleTableSlot *slot, int event)
{
	text	   *id = DatumGetTextPP(slot->tts_values[1]);
	Key		   *key = find_event_key(c, event, VARDATA_ANY(id), VARSIZE_ANY_EXHDR(id), true);

	if ((key->flags & HAS_REPORT) == 0 || time_of(slot, 2) < key->seen_at)
	{
		key->flags |= HAS_REPORT;
		key->seen_at = time_of(slot, 2);
	}
}

/* Of another event: an order or event that the Pixel did not report under its own name. */
Key *
tte_compare_other_name(Compare *c, int event, const char *event_id, int length)
{
	for (int i = 0; i < c->nevents; i++)
	{
		Key		   *key = i == event ? NULL : find_event_key(c, i, event_id, length, false);

		if (key != NULL && (key->flags & (HAS_ORDER | HAS_EVENT)) && (key->flags & HAS_REPORT) == 0)
			return key;
	}
	return NULL;
}

/* The same of events that are not compared. */
static void
put_other_report(Compare *c, TupleTableSlot *slot, int event)
{
	text	   *id = DatumGetTextPP(slot->tts_values[1]);
	const Key  *key = tte_compare_other_name(c, event, VARDATA_ANY(id), VARSIZE_ANY_EXHDR(id));

	if (key != NULL)
		tte_compare_put_report(c, "other_name", slot->tts_values[0], slot->tts_values[1], time_of(slot, 2), key);
}

/* ---- The function ---- */

static void
take(void *arg, TupleTableSlot *slot)
{
	const Taker *taker = arg;
	Compare    *c = taker->compare;
	MemoryContext old = MemoryContextSwitchTo(c->row);

	taker->put(c, slot, taker->event >= 0 ? taker->event : number_of_event(c, slot->tts_values[0]));
	MemoryContextSwitchTo(old);
	MemoryContextReset(c->row);
}

static void
read_rows(Compare *c, const char *sql, Datum sources, Datum events, int64 margin, PutRow put)
{
	Taker		taker = {c, put, -1};
	const Datum args[] = {
		sources, events,
		TimestampTzGetDatum(tte_shifted(c->since, -margin)), TimestampTzGetDatum(tte_shifted(c->until, margin))
	};
	const Oid	types[] = {INT4ARRAYOID, TEXTARRAYOID, TIMESTAMPTZOID, TIMESTAMPTZOID};

	c->expected = c->first;
	tte_stream_events(sql, lengthof(args), types, args, NULL, take, &taker);
}

static void
start_comparison(Compare *c, FunctionCallInfo fcinfo)
{
	HASHCTL		ctl = {.keysize = sizeof(AgreementKey), .entrysize = sizeof(Agreement)};

	memset(c, 0, sizeof(Compare));
	c->context = CurrentMemoryContext;
	c->row = AllocSetContextCreate(CurrentMemoryContext, "row that is compared", ALLOCSET_SMALL_SIZES);
	c->result = (ReturnSetInfo *) fcinfo->resultinfo;
	c->since = PG_GETARG_TIMESTAMPTZ(3);
	c->until = PG_GETARG_TIMESTAMPTZ(4);
	c->quarter = PG_INT64_MIN;
	c->keys = keys_create(CurrentMemoryContext, 1024, NULL);
	ctl.hcxt = CurrentMemoryContext;
	c->groups = hash_create("days that agree", 256, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	c->half_a_cent = int64_div_fast_to_numeric(5, 3);
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(1), TEXTOID, -1, false, TYPALIGN_INT, &c->events, NULL, &c->nevents);
	c->unnamed = palloc0((c->nevents + 1) * sizeof(Order *));
}

/* (sources int[], events text[], relations oid[], since timestamptz, until timestamptz); relations[i] is of events[i] */
Datum
tte_sql_compare(PG_FUNCTION_ARGS)
{
	Compare		c;
	Datum	   *relations;
	int			nrelations;

	InitMaterializedSRF(fcinfo, 0);
	SPI_connect();
	start_comparison(&c, fcinfo);
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(2), OIDOID, sizeof(Oid), true, TYPALIGN_INT, &relations, NULL, &nrelations);
	if (nrelations != c.nevents || nrelations > PG_INT16_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("there must be a relation for each event")));
	for (int i = 0; i < nrelations; i++)
	{
		/* a name that two sources share has two relations */
		Taker		taker = {&c, put_order, number_of_event(&c, c.events[i])};

		tte_truth_read(DatumGetObjectId(relations[i]), tte_shifted(c.since, -MARGIN), tte_shifted(c.until, MARGIN), take, &taker);
	}
	read_rows(&c, events_sql, PG_GETARG_DATUM(0), PG_GETARG_DATUM(1), USECS_PER_DAY, put_event);
	read_rows(&c, reports_sql, PG_GETARG_DATUM(0), PG_GETARG_DATUM(1), MARGIN, put_report);
	read_rows(&c, other_reports_sql, PG_GETARG_DATUM(0), PG_GETARG_DATUM(1), MARGIN, put_other_report);
	tte_compare_put_results(&c);
	SPI_finish();
	return (Datum) 0;
}
