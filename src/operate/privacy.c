/*-------------------------------------------------------------------------
 *
 * privacy.c
 *	  tiktok.forget() and tiktok.withdraw_consent().
 *
 * Identifiers are in tiktok.identity, normalised or as hashes.  They are compared
 * with those of the person by the value that would be sent, so the form in which
 * they are stored or given does not matter.  If an event has one of the given
 * identifiers, all its identifiers belong to that person and are erased.
 *
 * Waiting events are closed as by tiktok.discard(), and the worker reads the queue
 * again.  An event in flight is suppressed at once, so that it is not sent again;
 * it becomes delivered if TikTok's answer says that it was accepted.  After consent
 * is withdrawn, no event may be sent later: final events that an operator could put
 * back are suppressed, too, and delivered ones get the reason.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/portal.h"
#include "utils/snapmgr.h"

#include "enqueue/source.h"
#include "event/catalog.h"
#include "event/identity.h"
#include "server/catalog_check.h"
#include "server/common.h"
#include "server/wakeup.h"

#define FETCH_ROWS	1000

/* The first kinds of identifiers are those by which a person can be found. */
#define KINDS		(TTE_EXTERNAL_ID + 1)

/*
 * An external_id is hashed as it is or in lower case; what waits of the others
 * may have been recorded by the rules of a previous release.
 */
#define FORMS		2

/* A person's identifiers as they would be sent; empty: none. */
typedef struct Person
{
	int32		source_id;
	char		hash[KINDS][FORMS][TTE_HEX_LEN + 1];
} Person;

/* The person's identifiers for each source.  The first element is for no source. */
typedef struct People
{
	Person	   *person;
	int			n;
} People;

typedef struct IdList
{
	Datum	   *ids;
	int			n;
	int			capacity;
} IdList;

/* Names of pg_catalog need no schema: it is the search_path. */
static const char sources_sql[] =
"SELECT id, default_calling_code FROM tiktok.source";

static const char identities_sql[] =
"SELECT i.id, e.source_id, i.user_data FROM tiktok.identity i JOIN tiktok.event e ON e.id = i.id";

static const char leads_sql[] =
"SELECT e.id, e.payload FROM tiktok.event e WHERE e.id = ANY ($1) AND e.payload IS NOT NULL";

static const char keyed_sql[] =
"SELECT id FROM tiktok.event WHERE source_id = $1 AND event_id = $2";

static const char lock_sql[] =
"SELECT FROM tiktok.event WHERE id = ANY ($1) ORDER BY id FOR NO KEY UPDATE";

/* Closes the events in $1 that are not final, for the reason $2. */
static const char suppress_sql[] =
"WITH retried AS (DELETE FROM tiktok.retry WHERE id = ANY ($1) RETURNING *), "
"final AS (INSERT INTO tiktok.delivery (id, request_id, status, reason, at, attempts, first_attempt_at, possibly_received_at)"
" SELECT e.id, r.last_request_id, 'suppressed', $2, clock_timestamp(), r.attempts, r.first_attempt_at,"
" coalesce(r.possibly_received_at,"
"  least((SELECT i.recovered_to FROM tiktok.installation i WHERE e.xid < i.recovered_xid),"
"  (SELECT min(q.started_at) FROM tiktok.request q WHERE q.source_id = e.source_id AND q.finished_at IS NULL"
"   AND (e.xid, e.id) >= (q.first_xid, q.first_id) AND (e.xid, e.id) <= (q.last_xid, q.last_id))))"
" FROM tiktok.event e LEFT JOIN retried r ON r.id = e.id WHERE e.id = ANY ($1) AND e.payload IS NOT NULL"
" AND NOT EXISTS (SELECT FROM tiktok.delivery d WHERE d.id = e.id) ON CONFLICT (id) DO NOTHING RETURNING id) "
"SELECT count(*) FROM final";

/* The same for events that tiktok.retry() could send again. */
static const char suppress_final_sql[] =
"WITH gone AS (DELETE FROM tiktok.delivery d USING tiktok.event e WHERE d.id = ANY ($1) AND e.id = d.id AND e.payload IS NOT NULL"
" AND d.status IN ('rejected', 'uncertain', 'expired', 'discarded') RETURNING d.*), "
"final AS (INSERT INTO tiktok.delivery (id, request_id, status, reason, at, attempts, first_attempt_at, possibly_received_at)"
" SELECT id, request_id, 'suppressed', $2, clock_timestamp(), attempts, first_attempt_at, possibly_received_at FROM gone RETURNING id), "
"taken AS (UPDATE tiktok.delivery SET reason = $2 WHERE id = ANY ($1) AND status = 'delivered') "
"SELECT count(*) FROM final";

static const char erase_sql[] =
"DELETE FROM tiktok.identity WHERE id = ANY ($1) RETURNING user_data";

PG_FUNCTION_INFO_V1(tte_sql_forget);
PG_FUNCTION_INFO_V1(tte_sql_withdraw_consent);

static Datum
column(uint64 row, int number, Oid type, bool *isnull)
{
	return tte_spi_value(row, number, type, isnull);
}

static void
remember(IdList *list, int64 id)
{
	if (list->n == list->capacity)
	{
		list->capacity = Max(list->capacity * 2, 64);
		list->ids = list->ids ? repalloc_huge(list->ids, list->capacity * sizeof(Datum)) :
			palloc(list->capacity * sizeof(Datum));
	}
	list->ids[list->n++] = Int64GetDatum(id);
}

static Datum
id_array(const IdList *list)
{
	return PointerGetDatum(construct_array(list->ids, list->n, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

static TteJson *
stored_json(uint64 row, int number)
{
	bool		isnull;
	Datum		value = column(row, number, JSONOID, &isnull);
	text	   *stored;

	if (isnull)
		return NULL;
	stored = DatumGetTextPP(value);
	return tte_json_parse(VARDATA_ANY(stored), VARSIZE_ANY_EXHDR(stored), NULL);
}

/*
 * Finding a person
 */

/* Hides the statement, because it contains an identifier. */
static void
refuse(TteIdentifier kind, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("%s cannot be used", tte_identifier_names[kind]),
			 errdetail("No event can have such a value."),
			 errhint("%s", hint),
			 tte_hide_statement()));
}

/* Computes the value that each source would send; returns false if none would send any. */
static bool
hash_identifier(People *people, TteIdentifier kind, Datum argument, const char *const *calling_codes)
{
	text	   *given = DatumGetTextPP(argument);
	int			len;
	const char *utf8 = tte_to_utf8(VARDATA_ANY(given), VARSIZE_ANY_EXHDR(given), &len);
	bool		usable = false;

	for (int i = 0; i < people->n; i++)
	{
		for (int form = 0; form < FORMS; form++)
		{
			TteIdentityRules rules = {calling_codes[i], form > 0, NULL, form > 0};
			StringInfoData normalized;
			StringInfoData wire;

			initStringInfo(&normalized);
			if (tte_identifier_normalize(kind, utf8, len, &rules, &normalized) != NULL)
				continue;
			initStringInfo(&wire);
			tte_identifier_wire(kind, normalized.data, normalized.len, &wire);
			strlcpy(people->person[i].hash[kind][form], wire.data, TTE_HEX_LEN + 1);
			usable = true;
		}
	}
	return usable;
}

static void
read_people(FunctionCallInfo fcinfo, People *people)
{
	static const char *const hints[KINDS] = {
		"Give an address such as name@example.com, or its SHA-256.",
		"Give it with plus sign and country calling code, or its SHA-256.",
		"Give it as it was recorded, or its SHA-256."
	};
	const char **calling_codes;
	bool		isnull;

	SPI_execute(sources_sql, true, 0);
	people->n = SPI_processed + 1;
	people->person = palloc0(people->n * sizeof(Person));
	calling_codes = palloc0(people->n * sizeof(char *));
	for (int i = 1; i < people->n; i++)
	{
		Datum		code;

		people->person[i].source_id = DatumGetInt32(column(i - 1, 1, INT4OID, &isnull));
		code = column(i - 1, 2, TEXTOID, &isnull);
		if (!isnull)
			calling_codes[i] = tte_calling_code_of(TextDatumGetCString(code));
	}
	for (TteIdentifier kind = 0; kind < KINDS; kind++)
	{
		if (!PG_ARGISNULL(kind) && !hash_identifier(people, kind, PG_GETARG_DATUM(kind), calling_codes))
			refuse(kind, hints[kind]);
	}
}

static const Person *
person_of(const People *people, int32 source_id)
{
	for (int i = 1; i < people->n; i++)
	{
		if (people->person[i].source_id == source_id)
			return &people->person[i];
	}
	return &people->person[0];
}

static bool
is_value_of(const Person *person, TteIdentifier kind, const TteJson *value, StringInfo wire)
{
	if (value->kind != TTE_JSON_STRING)
		return false;
	resetStringInfo(wire);
	tte_identifier_wire(kind, value->text, value->len, wire);
	return strcmp(wire->data, person->hash[kind][0]) == 0 || strcmp(wire->data, person->hash[kind][1]) == 0;
}

static bool
is_person(const Person *person, const TteJson *user, StringInfo wire)
{
	for (TteIdentifier kind = 0; kind < KINDS; kind++)
	{
		const TteJson *value = tte_json_get(user, tte_identifier_names[kind]);

		if (value == NULL || (person->hash[kind][0][0] == '\0' && person->hash[kind][1][0] == '\0'))
			continue;
		if (value->kind != TTE_JSON_ARRAY)
		{
			if (is_value_of(person, kind, value, wire))
				return true;
			continue;
		}
		for (const TteJson *e = value->first; e != NULL; e = e->next)
		{
			if (is_value_of(person, kind, e, wire))
				return true;
		}
	}
	return false;
}

static void
find_events(const People *people, IdList *found)
{
	MemoryContext row_context = AllocSetContextCreate(CurrentMemoryContext, "tiktok_events person", ALLOCSET_DEFAULT_SIZES);
	Portal		portal = SPI_cursor_open_with_args(NULL, identities_sql, 0, NULL, NULL, NULL, true, 0);
	bool		isnull;
	StringInfoData wire;

	initStringInfo(&wire);
	for (;;)
	{
		SPI_cursor_fetch(portal, true, FETCH_ROWS);
		if (SPI_processed == 0)
			break;
		for (uint64 i = 0; i < SPI_processed; i++)
		{
			const Person *person = person_of(people, DatumGetInt32(column(i, 2, INT4OID, &isnull)));
			MemoryContext old = MemoryContextSwitchTo(row_context);
			TteJson    *user = stored_json(i, 3);
			bool		matches = user != NULL && user->kind == TTE_JSON_OBJECT && is_person(person, user, &wire);

			MemoryContextSwitchTo(old);
			MemoryContextReset(row_context);
			if (matches)
				remember(found, DatumGetInt64(column(i, 1, INT8OID, &isnull)));
		}
		SPI_freetuptable(SPI_tuptable);
		CHECK_FOR_INTERRUPTS();
	}
	SPI_cursor_close(portal);
}

/* Finds events without a lead_id, which TikTok cannot match after their identifiers are erased. */
static void
find_unmatchable(const IdList *events, IdList *found)
{
	Oid			types[] = {INT8ARRAYOID};
	Datum		args[] = {id_array(events)};
	bool		isnull;

	tte_spi_execute_latest(leads_sql, 1, types, args, 0);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		TteJson    *payload = stored_json(i, 2);
		const TteJson *lead = payload && payload->kind == TTE_JSON_OBJECT ? tte_json_get(payload, "lead") : NULL;

		if (lead == NULL || tte_json_get(lead, "lead_id") == NULL)
			remember(found, DatumGetInt64(column(i, 1, INT8OID, &isnull)));
	}
}

/*
 * Closing and erasing
 */

static void
begin_decision(int32 source_id, const IdList *events)
{
	if (events->n == 0)
		return;
	tte_decision_begin(source_id);
	tte_requeue_at_commit(source_id);
}

/* See tte_decision_begin(). */
static void
lock_events(const IdList *events)
{
	Oid			types[] = {INT8ARRAYOID};
	Datum		args[1];

	if (events->n == 0)
		return;
	args[0] = id_array(events);
	tte_spi_execute_latest(lock_sql, 1, types, args, 0);
}

static int64
suppress(const char *sql, const IdList *events, const char *reason)
{
	Oid			types[] = {INT8ARRAYOID, TEXTOID};
	Datum		args[2];
	bool		isnull;

	if (events->n == 0)
		return 0;
	args[0] = id_array(events);
	args[1] = CStringGetTextDatum(reason);
	tte_spi_execute_latest(sql, 2, types, args, 0);
	return DatumGetInt64(column(0, 1, INT8OID, &isnull));
}

/* Returns the number of identifiers erased. */
static int64
erase(const IdList *events)
{
	Oid			types[] = {INT8ARRAYOID};
	Datum		args[1];
	int64		n = 0;

	if (events->n == 0)
		return 0;
	args[0] = id_array(events);
	tte_spi_execute_latest(erase_sql, 1, types, args, 0);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		TteJson    *user = stored_json(i, 1);

		for (const TteJson *m = user ? user->first : NULL; m != NULL; m = m->next)
			n += m->kind == TTE_JSON_ARRAY ? m->count : 1;
	}
	return n;
}

Datum
tte_sql_forget(PG_FUNCTION_ARGS)
{
	People		people;
	IdList		events = {NULL};
	IdList		unmatchable = {NULL};
	int64		erased;

	tte_hide_call("SELECT tiktok.forget(...)");
	tte_require_writable("tiktok.forget()");
	if (PG_ARGISNULL(0) && PG_ARGISNULL(1) && PG_ARGISNULL(2))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("email, phone and external_id must not all be null")));
	SPI_connect();
	/* not that of a transaction which began before they were recorded */
	PushActiveSnapshot(GetLatestSnapshot());
	read_people(fcinfo, &people);
	find_events(&people, &events);
	PopActiveSnapshot();
	if (events.n > 0)
		find_unmatchable(&events, &unmatchable);
	for (int i = 1; i < people.n; i++)
		begin_decision(people.person[i].source_id, &events);
	lock_events(&events);
	(void) suppress(suppress_sql, &unmatchable, "forgotten");
	erased = erase(&events);
	SPI_finish();
	PG_RETURN_INT64(erased);
}

Datum
tte_sql_withdraw_consent(PG_FUNCTION_ARGS)
{
	Oid			types[] = {INT4OID, TEXTOID};
	Datum		args[2];
	int32		source_id;
	IdList		events = {NULL};
	int64		n;
	bool		isnull;

	tte_require_writable("tiktok.withdraw_consent()");
	tte_require_argument(fcinfo, 1, "event_id");
	source_id = tte_source_argument(fcinfo);
	args[0] = Int32GetDatum(source_id);
	args[1] = PG_GETARG_DATUM(1);
	SPI_connect();
	tte_spi_execute_latest(keyed_sql, 2, types, args, 0);
	for (uint64 i = 0; i < SPI_processed; i++)
		remember(&events, DatumGetInt64(column(i, 1, INT8OID, &isnull)));
	begin_decision(source_id, &events);
	lock_events(&events);

	/*
	 * final events first: one that an operator puts back meanwhile is found
	 * by the second statement
	 */
	n = suppress(suppress_final_sql, &events, "consent_withdrawn");
	n += suppress(suppress_sql, &events, "consent_withdrawn");
	(void) erase(&events);
	SPI_finish();
	PG_RETURN_INT64(n);
}
