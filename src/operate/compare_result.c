/*-------------------------------------------------------------------------
 *
 * compare_result.c
 *	  The rows that a comparison of orders, events and reports returns.
 *
 * What agrees is one row for each day, event and currency; every other order,
 * event and report is a row of its own.  An order without an event says since
 * when, if it is one of a run of such orders.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "operate/compare.h"
#include "operate/copies.h"

#define RUN			5

enum ResultColumn
{
	C_KIND, C_N, C_DAY, C_EVENT, C_EVENT_ID, C_AT, C_VALUE, C_CURRENCY, C_VALUE_SENT, C_CURRENCY_SENT, C_STATUS, C_REASON,
	C_DELIVERED_AT, C_SEEN_AT, C_AGAIN, C_RUN_SINCE, C_ID, C_SOURCE_ID, RESULT_COLUMNS
};

static void
set_text(Datum *values, bool *nulls, int column, const char *string)
{
	nulls[column] = string == NULL;
	if (string != NULL)
		values[column] = CStringGetTextDatum(string);
}

static void
set_numeric(Datum *values, bool *nulls, int column, Numeric value)
{
	nulls[column] = value == NULL;
	values[column] = NumericGetDatum(value);
}

static void
set_time(Datum *values, bool *nulls, int column, bool known, TimestampTz at)
{
	nulls[column] = !known;
	values[column] = TimestampTzGetDatum(at);
}

static void
return_row(Compare *c, const char *kind, int64 n, Datum event, Datum *values, bool *nulls)
{
	values[C_KIND] = CStringGetTextDatum(kind);
	values[C_N] = Int64GetDatum(n);
	values[C_EVENT] = event;
	nulls[C_KIND] = nulls[C_N] = nulls[C_EVENT] = false;
	tuplestore_putvalues(c->result->setResult, c->result->setDesc, values, nulls);
}

/* An order, or an event without one; key may be NULL. */
static void
put_row(Compare *c, Datum event, const Key *key, const Order *order)
{
	Datum		values[RESULT_COLUMNS];
	bool		nulls[RESULT_COLUMNS];
	const Sent *sent = key ? key->sent : NULL;
	TimestampTz at = order ? order->at : sent->event_time;
	MemoryContext old = MemoryContextSwitchTo(c->row);

	memset(nulls, true, sizeof(nulls));
	values[C_DAY] = DateADTGetDatum(tte_compare_day(c, at));
	nulls[C_DAY] = false;
	set_time(values, nulls, C_AT, true, at);
	set_text(values, nulls, C_EVENT_ID, key ? key->event_id : NULL);
	if (order)
	{
		set_numeric(values, nulls, C_VALUE, order->value);
		set_text(values, nulls, C_CURRENCY, order->currency);
		values[C_AGAIN] = BoolGetDatum(key != NULL && order != &key->order);
		nulls[C_AGAIN] = false;
	}
	if (key && (key->flags & HAS_EVENT))
	{
		set_numeric(values, nulls, C_VALUE_SENT, sent ? sent->value : key->order.value);
		set_text(values, nulls, C_CURRENCY_SENT, sent ? sent->currency : key->order.currency);
		set_text(values, nulls, C_STATUS, sent ? sent->status : "delivered");
		set_text(values, nulls, C_REASON, sent ? sent->reason : NULL);
		set_time(values, nulls, C_DELIVERED_AT, (key->flags & DELIVERED) != 0, key->delivered_at);
		if (sent)
		{
			values[C_ID] = Int64GetDatum(sent->id);
			values[C_SOURCE_ID] = Int32GetDatum(sent->source_id);
			nulls[C_ID] = nulls[C_SOURCE_ID] = false;
		}
	}
	set_time(values, nulls, C_SEEN_AT, key && (key->flags & HAS_REPORT), key ? key->seen_at : 0);
	set_time(values, nulls, C_RUN_SINCE, key && (key->flags & IN_RUN), key ? key->delivered_at : 0);
	return_row(c, order ? "order" : "event", 1, event, values, nulls);
	MemoryContextSwitchTo(old);
	MemoryContextReset(c->row);
}

/* A report that TikTok counts beside the event: of no event, of one of another name, or too far from it. */
void
tte_compare_put_report(Compare *c, const char *status, Datum event, Datum event_id, TimestampTz seen_at, const Key *key)
{
	Datum		values[RESULT_COLUMNS];
	bool		nulls[RESULT_COLUMNS];

	if (!tte_compare_in_period(c, seen_at))
		return;
	memset(nulls, true, sizeof(nulls));
	values[C_DAY] = DateADTGetDatum(tte_compare_day(c, seen_at));
	values[C_EVENT_ID] = event_id;
	nulls[C_DAY] = nulls[C_EVENT_ID] = false;
	set_time(values, nulls, C_AT, true, seen_at);
	set_text(values, nulls, C_STATUS, status);
	set_time(values, nulls, C_DELIVERED_AT, key && (key->flags & DELIVERED), key ? key->delivered_at : 0);
	if (key)
	{
		values[C_REASON] = c->events[key->event];
		nulls[C_REASON] = false;
	}
	return_row(c, "report", 1, event, values, nulls);
}

/* ---- Runs of orders without an event ---- */

static int
compare_times(const void *a, const void *b)
{
	TimestampTz x = (*(Key *const *) a)->order.at;
	TimestampTz y = (*(Key *const *) b)->order.at;

	return (x > y) - (x < y);
}

/* How many of the orders are before that time. */
static int64
count_before(Key **orders, int64 n, TimestampTz at)
{
	int64		low = 0;

	while (low < n)
	{
		int64		middle = low + (n - low) / 2;

		if (orders[middle]->order.at < at)
			low = middle + 1;
		else
			n = middle;
	}
	return low;
}

/* Orders of a name that have no event, in the order of time. */
static void
mark_runs(Compare *c, int event, Key **missing, int64 n)
{
	bool	   *starts = MemoryContextAllocExtended(c->context, n + 1, MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	int64		first = 0;

	qsort(missing, n, sizeof(Key *), compare_times);
	for (const Key *key = c->first; key != NULL; key = key->next)
	{
		if (key->event == event && (key->flags & (HAS_ORDER | HAS_EVENT)) == (HAS_ORDER | HAS_EVENT))
			starts[count_before(missing, n, key->order.at)] = true;
	}
	starts[n] = true;
	for (int64 i = 1; i <= n; i++)
	{
		if (!starts[i])
			continue;
		for (int64 j = first; i - first >= RUN && j < i; j++)
		{
			missing[j]->flags |= IN_RUN;
			missing[j]->delivered_at = missing[first]->order.at;
		}
		first = i;
	}
	pfree(starts);
}

static void
find_runs(Compare *c)
{
	for (int i = 0; i < c->nevents; i++)
	{
		Key		  **missing;
		int64		n = 0;

		for (const Key *key = c->first; key != NULL; key = key->next)
			n += key->event == i && (key->flags & (HAS_ORDER | HAS_EVENT)) == HAS_ORDER;
		if (n < RUN)
			continue;
		missing = MemoryContextAllocHuge(c->context, n * sizeof(Key *));
		n = 0;
		for (Key *key = c->first; key != NULL; key = key->next)
		{
			if (key->event == i && (key->flags & (HAS_ORDER | HAS_EVENT)) == HAS_ORDER)
				missing[n++] = key;
		}
		CHECK_FOR_INTERRUPTS();
		mark_runs(c, i, missing, n);
		pfree(missing);
	}
}

static void
put_key(Compare *c, const Key *key)
{
	bool		reported = (key->flags & HAS_REPORT) && (key->flags & DELIVERED);
	TimestampTz after = reported ? key->delivered_at - key->seen_at : 0;

	if (after > TTE_COPY_KNOWN || after < -TTE_COPY_KNOWN)
		tte_compare_put_report(c, "apart", c->events[key->event], CStringGetTextDatum(key->event_id), key->seen_at, key);
	if (key->flags & HAS_ORDER)
	{
		if (tte_compare_in_period(c, key->order.at))
		{
			if ((key->flags & SAME) && (after <= TTE_COPY_COMPLETES || after > TTE_COPY_KNOWN))
				tte_compare_agreement(c, key);
			else
				put_row(c, c->events[key->event], key, &key->order);
		}
		for (const Order *order = key->order.next; order != NULL; order = order->next)
		{
			if (tte_compare_in_period(c, order->at))
				put_row(c, c->events[key->event], key, order);
		}
	}
	else if (key->flags & HAS_EVENT)
	{
		if (tte_compare_in_period(c, key->sent->event_time))
			put_row(c, c->events[key->event], key, NULL);
	}
	else
	{
		const Key  *other = tte_compare_other_name(c, key->event, key->event_id, key->length);

		tte_compare_put_report(c, other ? "other_name" : "alone", c->events[key->event], CStringGetTextDatum(key->event_id), key->seen_at, other);
	}
}

static void
put_group(Compare *c, const Agreement *group)
{
	Datum		values[RESULT_COLUMNS];
	bool		nulls[RESULT_COLUMNS];

	memset(nulls, true, sizeof(nulls));
	values[C_DAY] = DateADTGetDatum(group->key.day);
	nulls[C_DAY] = false;
	set_numeric(values, nulls, C_VALUE, group->value);
	values[C_VALUE_SENT] = DirectFunctionCall2(numeric_add, NumericGetDatum(group->value), NumericGetDatum(group->parts));
	nulls[C_VALUE_SENT] = false;
	set_text(values, nulls, C_CURRENCY, group->key.currency);
	return_row(c, "agree", group->n, c->events[group->key.event], values, nulls);
}

void
tte_compare_put_results(Compare *c)
{
	HASH_SEQ_STATUS groups;
	Agreement  *group;

	find_runs(c);
	for (const Key *key = c->first; key != NULL; key = key->next)
	{
		CHECK_FOR_INTERRUPTS();
		put_key(c, key);
	}
	for (int i = 0; i < c->nevents; i++)
	{
		for (const Order *order = c->unnamed[i]; order != NULL; order = order->next)
			put_row(c, c->events[i], NULL, order);
	}
	hash_seq_init(&groups, c->groups);
	while ((group = hash_seq_search(&groups)) != NULL)
		put_group(c, group);
}
