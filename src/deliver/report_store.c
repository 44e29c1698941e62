/*-------------------------------------------------------------------------
 *
 * report_store.c
 *	  Fetching TikTok's counts: what is read from the tables and written there.
 *
 * The worker's session is a replica, in which foreign keys are not checked.  So
 * whatever names a source locks its row against deletion first.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/timestamp.h"

#include "deliver/report_store.h"
#include "deliver/statement.h"
#include "server/common.h"

static TteStatement read_sql = {2, {INT8OID, OIDOID},
"SELECT s.id, s.name, s.advertiser_id, s.event_source_id, t.set_at, (t.system_identifier = $1 AND t.database_oid = $2) IS NOT TRUE, "
TTE_IS_COPY ", "
"r.state, r.token_stamp, coalesce(r.advertiser_id = s.advertiser_id AND r.pixel_code = s.event_source_id, false), "
"r.pixel_id, r.failures, CASE WHEN isfinite(r.next_at) THEN r.next_at END "
"FROM tiktok.source s LEFT JOIN tiktok.reporting_token t ON t.source_id = s.id "
"LEFT JOIN tiktok.source_control c ON c.source_id = s.id "
"LEFT JOIN tiktok.report_state r ON r.source_id = s.id "
"WHERE s.event_source = 'web' AND s.enabled AND s.advertiser_id IS NOT NULL AND NOT coalesce(c.paused, false) ORDER BY s.id", NULL};

static TteStatement store_sql = {9, {INT4OID, TEXTOID, TEXTOID, INT8OID, TEXTOID, TEXTOID, TEXTOID, INT4OID, TIMESTAMPTZOID},
"INSERT INTO tiktok.report_state (source_id, state, reason, token_stamp, advertiser_id, pixel_code, pixel_id, failures, next_at) "
"SELECT s.id, $2, $3, $4, $5, $6, $7, $8, $9 FROM tiktok.source s WHERE s.id = $1 FOR KEY SHARE "
"ON CONFLICT (source_id) DO UPDATE SET state = excluded.state, reason = excluded.reason, token_stamp = excluded.token_stamp, "
"advertiser_id = excluded.advertiser_id, pixel_code = excluded.pixel_code, pixel_id = excluded.pixel_id, "
"failures = excluded.failures, next_at = excluded.next_at", NULL};

static TteStatement begin_sql = {3, {INT4OID, INT4OID, TIMESTAMPTZOID},
"UPDATE tiktok.report_state SET failures = $2, next_at = $3 WHERE source_id = $1", NULL};

/* A day is settled by a call that was made when it had been over for three days. */
static TteStatement day_sql = {3, {TEXTOID, TEXTOID, DATEOID},
"SELECT d.day - date '1970-01-01' FROM (SELECT $3 - g AS day FROM generate_series(0, 29) g) d "
"WHERE NOT EXISTS (SELECT FROM tiktok.report_fetch f WHERE f.source = $1 AND f.day = d.day AND f.pixel_id = $2 AND f.outcome = 'ok' "
"AND (f.started_at >= (d.day + 4)::timestamp AT TIME ZONE 'UTC' OR f.started_at > clock_timestamp() - interval '1 hour')) "
"ORDER BY d.day DESC LIMIT 1", NULL};

static TteStatement token_sql = {1, {INT4OID},
"SELECT t.token FROM tiktok.reporting_token t WHERE t.source_id = $1", NULL};

static TteStatement record_sql = {14, {INT4OID, TEXTOID, TEXTOID, DATEOID, TIMESTAMPTZOID, TIMESTAMPTZOID, TEXTOID, INT4OID, INT4OID, TEXTOID, TEXTOID, INT4OID, INT4OID, TEXTARRAYOID},
"INSERT INTO tiktok.report_fetch (source, call, pixel_id, day, started_at, finished_at, outcome, http_status, code, message, request_id, bytes, counts, unmapped) "
"SELECT s.name, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, "
"(SELECT array_agg(u.type ORDER BY u.type) FROM unnest($14) u (type) WHERE NOT EXISTS (SELECT FROM tiktok.platform_event_type t WHERE t.type = u.type)) "
"FROM tiktok.source s WHERE s.id = $1 FOR KEY SHARE", NULL};

/* Types that were stored as they came, until somebody has mapped them. */
static TteStatement mapped_sql = {3, {INT4OID, DATEOID, TEXTARRAYOID},
"DELETE FROM tiktok.platform_count c USING tiktok.source s "
"WHERE s.id = $1 AND c.source = s.name AND c.day = $2 AND c.event = ANY ($3) "
"AND EXISTS (SELECT FROM tiktok.platform_event_type t WHERE t.type = c.event)", NULL};

/* -1 is null. */
static TteStatement counts_sql = {7, {INT4OID, DATEOID, TEXTARRAYOID, INT8ARRAYOID, INT8ARRAYOID, INT8ARRAYOID, INT8ARRAYOID},
"INSERT INTO tiktok.platform_count AS c (source, day, event, browser, server, total) "
"SELECT s.name, $2, n.event, n.browser, n.server, CASE WHEN n.known THEN n.browser + n.server ELSE greatest(n.total, n.browser, n.server) END "
"FROM tiktok.source s, ("
"SELECT m.event, sum(nullif(u.browser, -1))::int8 AS browser, sum(nullif(u.server, -1))::int8 AS server, "
"sum(nullif(u.total, -1))::int8 AS total, bool_and(u.browser >= 0 AND u.server >= 0) AS known "
"FROM unnest($3, $4, $5, $6, $7) u (type, custom, browser, server, total), "
"LATERAL (SELECT CASE WHEN u.custom = 0 AND t.type IS NOT NULL THEN t.event ELSE u.type END AS event "
"FROM (SELECT) x LEFT JOIN LATERAL (SELECT p.type, p.event FROM tiktok.platform_event_type p WHERE p.type = u.type ORDER BY p.shipped LIMIT 1) t ON true) m "
"WHERE m.event IS NOT NULL GROUP BY m.event) n "
"WHERE s.id = $1 FOR KEY SHARE OF s "
"ON CONFLICT (source, day, event) DO UPDATE SET browser = coalesce(excluded.browser, c.browser), "
"server = coalesce(excluded.server, c.server), total = excluded.total "
"WHERE (coalesce(excluded.browser, c.browser), coalesce(excluded.server, c.server), excluded.total) IS DISTINCT FROM (c.browser, c.server, c.total)", NULL};

/*
 * TikTok does not say whether an answer leaves out what it counted as 0.  So an
 * event that is missing in an answer is 0 only where the answer has other counts
 * of that day; an empty answer says nothing.
 */
static TteStatement zero_sql = {4, {INT4OID, TEXTOID, TEXTOID, DATEOID},
"INSERT INTO tiktok.platform_count (source, day, event, browser, server, total) "
"SELECT s.name, f.day, e.event, 0, 0, 0 "
"FROM tiktok.source s, "
"(SELECT DISTINCT f.day FROM tiktok.report_fetch f WHERE f.source = $2 AND f.pixel_id = $3 AND f.day BETWEEN $4 - 29 AND $4 "
"AND f.outcome = 'ok' AND f.counts > 0) f, "
"(SELECT DISTINCT c.event FROM tiktok.platform_count c WHERE c.source = $2 AND c.day BETWEEN $4 - 29 AND $4) e "
"WHERE s.id = $1 AND s.name = $2 AND NOT EXISTS (SELECT FROM tiktok.platform_event_type t WHERE t.type = e.event) "
"FOR KEY SHARE OF s "
"ON CONFLICT DO NOTHING", NULL};

static TteStatement forget_sql = {1, {TEXTOID},
"DELETE FROM tiktok.report_fetch WHERE source = $1 AND started_at < clock_timestamp() - interval '40 days'", NULL};

/* Of sources that were deleted. */
static TteStatement forget_sources_sql = {0, {0},
"DELETE FROM tiktok.report_state r WHERE NOT EXISTS (SELECT FROM tiktok.source s WHERE s.id = r.source_id)", NULL};

static Datum
date_datum(int day)
{
	return DateADTGetDatum(day - (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE));
}

static void
read_source(MemoryContext context, int row, TteReportSource *source)
{
	char	   *state = tte_result_text(row, 8);
	char	   *pixel_id = tte_result_text(row, 11);

	source->id = tte_result_int4(row, 1);
	source->name = MemoryContextStrdup(context, tte_result_text(row, 2));
	source->advertiser = MemoryContextStrdup(context, tte_result_text(row, 3));
	source->code = MemoryContextStrdup(context, tte_result_text(row, 4));
	source->token_set_at = tte_result_time(row, 5);
	source->token_foreign = tte_result_bool(row, 6);
	source->database_copied = tte_result_bool(row, 7);
	strlcpy(source->state, state ? state : "", sizeof(source->state));
	source->stamp = tte_result_int8(row, 9);
	source->same_target = tte_result_bool(row, 10);
	strlcpy(source->pixel_id, pixel_id ? pixel_id : "", sizeof(source->pixel_id));
	source->failures = tte_result_int4(row, 12);
	source->next_at = tte_result_time(row, 13);
	if (source->next_at == 0)
		source->next_at = TTE_NEVER;
	source->page = 1;
}

int
tte_report_read(MemoryContext context, TteReportSource **sources)
{
	Datum		args[] = {Int64GetDatum((int64) GetSystemIdentifier()), ObjectIdGetDatum(MyDatabaseId)};
	int			n;

	tte_run(&forget_sources_sql, NULL, NULL);
	n = tte_run(&read_sql, args, NULL);
	*sources = MemoryContextAllocZero(context, Max(n, 1) * sizeof(TteReportSource));
	for (int i = 0; i < n; i++)
		read_source(context, i, &(*sources)[i]);
	if (n > 0)
		tte_done();
	return n;
}

void
tte_report_store(const TteReportSource *source, const char *reason)
{
	Datum		args[9];
	char		nulls[] = "         ";

	args[0] = Int32GetDatum(source->id);
	args[1] = CStringGetTextDatum(source->state);
	args[2] = CStringGetTextDatum(reason ? reason : "");
	args[3] = Int64GetDatum(source->stamp);
	args[4] = CStringGetTextDatum(source->advertiser);
	args[5] = CStringGetTextDatum(source->code);
	args[6] = CStringGetTextDatum(source->pixel_id);
	args[7] = Int32GetDatum(source->failures);
	args[8] = source->next_at == TTE_NEVER ? TimestampTzGetDatum(DT_NOEND) : tte_time_datum(source->next_at);
	if (reason == NULL)
		nulls[2] = 'n';
	if (source->pixel_id[0] == '\0')
		nulls[6] = 'n';
	tte_run(&store_sql, args, nulls);
}

void
tte_report_begin(const TteReportSource *source)
{
	Datum		args[] = {Int32GetDatum(source->id), Int32GetDatum(source->failures), tte_time_datum(source->next_at)};

	tte_run(&begin_sql, args, NULL);
}

int
tte_report_day(const TteReportSource *source, int today)
{
	Datum		args[] = {CStringGetTextDatum(source->name), CStringGetTextDatum(source->pixel_id), date_datum(today)};
	int			day = -1;

	if (tte_run(&day_sql, args, NULL) > 0)
	{
		day = tte_result_int4(0, 1);
		tte_done();
	}
	return day;
}

/* No other copy of the token stays behind. */
const char *
tte_report_token(int32 source_id, char token[TTE_TOKEN_MAX + 1])
{
	Datum		args[] = {Int32GetDatum(source_id)};
	Datum		value;
	text	   *stored;
	bool		isnull;
	bool		valid;

	if (tte_run(&token_sql, args, NULL) == 0)
		return tte_token_missing;
	value = tte_result(0, 1, TEXTOID, &isnull);
	if (isnull)
		return tte_token_missing;
	stored = DatumGetTextPP(value);
	valid = tte_token_is_valid(VARDATA_ANY(stored), VARSIZE_ANY_EXHDR(stored));
	if (valid)
	{
		memcpy(token, VARDATA_ANY(stored), VARSIZE_ANY_EXHDR(stored));
		token[VARSIZE_ANY_EXHDR(stored)] = '\0';
	}
	explicit_bzero(VARDATA_ANY(stored), VARSIZE_ANY_EXHDR(stored));
	tte_done();
	return valid ? NULL : "bad characters";
}

/* The types of all counts or, without custom, of those that are no names. */
static Datum
types_datum(const TteCounts *counts, bool custom)
{
	Datum	   *types = palloc((counts->n + 1) * sizeof(Datum));
	int			n = 0;

	for (int i = 0; i < counts->n; i++)
	{
		if (custom || !counts->counts[i].custom)
			types[n++] = CStringGetTextDatum(counts->counts[i].type);
	}
	return PointerGetDatum(construct_array(types, n, TEXTOID, -1, false, TYPALIGN_INT));
}

void
tte_report_record(const TteReportCall *call, const TteCounts *counts, int64 now)
{
	const TteReply *reply = &call->reply;
	Datum		args[14];
	char		nulls[] = "              ";

	args[0] = Int32GetDatum(call->source->id);
	args[1] = CStringGetTextDatum(call->stats ? "pixel/event/stats" : "pixel/list");
	args[2] = CStringGetTextDatum(call->pixel_id);
	args[3] = date_datum(call->day);
	args[4] = tte_time_datum(call->started_at);
	args[5] = tte_time_datum(now);
	args[6] = CStringGetTextDatum(call->outcome);
	args[7] = Int32GetDatum(call->http_status);
	args[8] = Int32GetDatum(reply->code);
	args[9] = CStringGetTextDatum(tte_from_utf8(reply->message, strlen(reply->message)));
	args[10] = CStringGetTextDatum(reply->request_id);
	args[11] = Int32GetDatum(call->bytes);
	args[12] = Int32GetDatum(counts ? counts->n : 0);
	args[13] = counts ? types_datum(counts, false) : (Datum) 0;
	nulls[2] = call->pixel_id[0] ? ' ' : 'n';
	nulls[3] = call->stats ? ' ' : 'n';
	nulls[7] = call->http_status ? ' ' : 'n';
	nulls[8] = reply->has_code ? ' ' : 'n';
	nulls[9] = reply->message[0] ? ' ' : 'n';
	nulls[10] = reply->request_id[0] ? ' ' : 'n';
	nulls[12] = counts && counts->listed ? ' ' : 'n';
	nulls[13] = counts ? ' ' : 'n';
	tte_run(&record_sql, args, nulls);
}

void
tte_report_counts(const TteReportCall *call, const TteCounts *counts)
{
	Datum		args[7];
	int64	   *numbers[4];

	if (counts->n == 0)
		return;
	for (int i = 0; i < 4; i++)
		numbers[i] = palloc(counts->n * sizeof(int64));
	for (int i = 0; i < counts->n; i++)
	{
		const TteCount *count = &counts->counts[i];

		numbers[0][i] = count->custom;
		numbers[1][i] = count->browser;
		numbers[2][i] = count->server;
		numbers[3][i] = count->total;
	}
	args[0] = Int32GetDatum(call->source->id);
	args[1] = date_datum(call->day);
	args[2] = types_datum(counts, false);
	tte_run(&mapped_sql, args, NULL);
	args[2] = types_datum(counts, true);
	for (int i = 0; i < 4; i++)
		args[3 + i] = tte_int8_array(numbers[i], counts->n, INT8OID);
	tte_run(&counts_sql, args, NULL);
}

void
tte_report_complete(const TteReportSource *source, int today)
{
	Datum		args[] = {
		Int32GetDatum(source->id), CStringGetTextDatum(source->name), CStringGetTextDatum(source->pixel_id), date_datum(today)
	};

	tte_run(&zero_sql, args, NULL);
	tte_run(&forget_sql, &args[1], NULL);
}
