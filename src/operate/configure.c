/*-------------------------------------------------------------------------
 *
 * configure.c
 *	  Configuration by SQL: checks of tiktok.source, tokens.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "pgtime.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/inval.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "deliver/token.h"
#include "enqueue/outbox.h"
#include "enqueue/source.h"
#include "event/catalog.h"
#include "server/catalog_check.h"
#include "server/common.h"
#include "server/compat.h"
#include "server/counters.h"
#include "server/slots.h"
#include "server/wakeup.h"

PG_FUNCTION_INFO_V1(tte_sql_check_source);
PG_FUNCTION_INFO_V1(tte_sql_configuration_changed);
PG_FUNCTION_INFO_V1(tte_sql_set_access_token);
PG_FUNCTION_INFO_V1(tte_sql_set_reporting_token);
PG_FUNCTION_INFO_V1(tte_sql_confirm_database);
PG_FUNCTION_INFO_V1(tte_sql_installed);
PG_FUNCTION_INFO_V1(tte_sql_wake_worker);

static void
refuse_value(const char *column, const char *value, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid %s: \"%s\"", column, value),
			 errhint("%s", hint)));
}

/* The text of a column; NULL if it is null, which the column's own constraint checks. */
static char *
text_of(HeapTuple tuple, TupleDesc desc, int column)
{
	bool		isnull;
	Datum		value = heap_getattr(tuple, column, desc, &isnull);

	return isnull ? NULL : TextDatumGetCString(value);
}

/* The last choice may be NULL. */
static void
check_choice(HeapTuple row, TupleDesc desc, int column, const char *a, const char *b, const char *c)
{
	char	   *value = text_of(row, desc, column);

	if (value == NULL || strcmp(value, a) == 0 || strcmp(value, b) == 0 || (c && strcmp(value, c) == 0))
		return;
	refuse_value(NameStr(TupleDescAttr(desc, column - 1)->attname), value,
				 c ? psprintf("Use %s, %s or %s.", a, b, c) : psprintf("Use %s or %s.", a, b));
}

static void
check_limit(HeapTuple row, TupleDesc desc, int column)
{
	bool		isnull;
	int32		value = DatumGetInt32(heap_getattr(row, column, desc, &isnull));

	if (!isnull && (value < 1 || value > 1000))
		refuse_value(NameStr(TupleDescAttr(desc, column - 1)->attname), psprintf("%d", value), "Use a number from 1 to 1000.");
}

static void
check_age(HeapTuple row, TupleDesc desc)
{
	bool		isnull;
	Datum		age = heap_getattr(row, TTE_SOURCE_MAX_EVENT_AGE, desc, &isnull);
	Interval	zero = {0};

	if (!isnull && !DatumGetBool(DirectFunctionCall2(interval_gt, age, IntervalPGetDatum(&zero))))
		refuse_value("max_event_age", DatumGetCString(DirectFunctionCall1(interval_out, age)), "Use a positive interval.");
}

/* Rows name a source by its key or its name, so that no key may be another's name. */
static void
check_key(HeapTuple row, TupleDesc desc)
{
	char	   *key = text_of(row, desc, TTE_SOURCE_KEY);
	char	   *name = text_of(row, desc, TTE_SOURCE_NAME);
	bool		isnull;
	int32		id = DatumGetInt32(heap_getattr(row, TTE_SOURCE_ID, desc, &isnull));
	Relation	rel;
	SysScanDesc scan;
	HeapTuple	other;

	if (key != NULL && (key[0] == '\0' || strlen(key) > 64 || strspn(key, " ") == strlen(key)))
		refuse_value("key", key, "It has 1 to 64 bytes.");
	rel = tte_own_table_open("source", AccessShareLock);
	scan = systable_beginscan(rel, InvalidOid, false, SnapshotSelf, 0, NULL);
	while (HeapTupleIsValid(other = systable_getnext(scan)))
	{
		char	   *other_key = text_of(other, desc, TTE_SOURCE_KEY);
		char	   *other_name = text_of(other, desc, TTE_SOURCE_NAME);

		if (DatumGetInt32(heap_getattr(other, TTE_SOURCE_ID, desc, &isnull)) == id)
			continue;
		if (key != NULL && strcmp(key, other_name) == 0)
			refuse_value("key", key, "Another source has this name.");
		if (name != NULL && other_key != NULL && strcmp(name, other_key) == 0)
			refuse_value("name", name, "Another source has this key.");
	}
	systable_endscan(scan);
	table_close(rel, NoLock);
}

static void
check_time_zone(HeapTuple row, TupleDesc desc)
{
	char	   *name = text_of(row, desc, TTE_SOURCE_TIME_ZONE);
	pg_tz	   *zone = name ? pg_tzset(name) : NULL;

	if (name && (zone == NULL || !pg_tz_acceptable(zone)))
		refuse_value("time_zone", name, "Use a name that pg_timezone_names has, as Europe/Berlin.");
}

static bool
is_advertiser(const char *id)
{
	size_t		len = strlen(id);

	return len >= 1 && len <= 20 && strspn(id, "0123456789") == len;
}

static void
check_advertiser(HeapTuple row, TupleDesc desc)
{
	char	   *id = text_of(row, desc, TTE_SOURCE_ADVERTISER_ID);

	if (id && !is_advertiser(id))
		refuse_value("advertiser_id", id, "Use the number of the advertiser account, as Ads Manager shows it.");
}

static void
check_source_row(HeapTuple row, TupleDesc desc)
{
	char	   *kind = text_of(row, desc, TTE_SOURCE_EVENT_SOURCE);
	char	   *id = text_of(row, desc, TTE_SOURCE_EVENT_SOURCE_ID);
	char	   *code = text_of(row, desc, TTE_SOURCE_DEFAULT_CALLING_CODE);
	char	   *name = text_of(row, desc, TTE_SOURCE_NAME);
	bool		isnull;
	int32		number = DatumGetInt32(heap_getattr(row, TTE_SOURCE_ID, desc, &isnull));

	if (!isnull && number < 1)
		refuse_value("id", psprintf("%d", number), "Use a positive number, or leave id out to take it from the sequence.");
	if (name && (name[0] == '\0' || strlen(name) > 64 || strpbrk(name, "/\n") != NULL))
		refuse_value("name", name, "Use a name of 1 to 64 bytes without slash.");
	if (kind && tte_source_find(kind) < 0)
		refuse_value("event_source", kind, "Use web, app, offline or crm.");
	if (id && (strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") != strlen(id) ||
			   id[0] == '\0' || strlen(id) > 64))
		refuse_value("event_source_id", id,
					 "Use the id that Events Manager shows: the pixel code, the TikTok App ID or the event set id.");
	if (code && tte_calling_code_of(code) == NULL)
		refuse_value("default_calling_code", code, "Use a country calling code, as 49, or a country, as DE.");
	check_choice(row, desc, TTE_SOURCE_CONSENT, "optional", "required", NULL);
	check_choice(row, desc, TTE_SOURCE_IDENTIFIERS, "hash_on_delivery", "hash_on_enqueue", NULL);
	check_choice(row, desc, TTE_SOURCE_EXTERNAL_ID_CASE, "keep", "lower", NULL);
	check_choice(row, desc, TTE_SOURCE_CURRENCY_POLICY, "without_value", "send", "refuse");
	check_limit(row, desc, TTE_SOURCE_BATCH_SIZE);
	check_limit(row, desc, TTE_SOURCE_REQUESTS_PER_SECOND);
	check_age(row, desc);
	check_key(row, desc);
	check_time_zone(row, desc);
	check_advertiser(row, desc);
}

/* Without a max_event_age, the source gets the default of its kind. */
static HeapTuple
set_default_age(HeapTuple row, TupleDesc desc)
{
	char	   *kind = text_of(row, desc, TTE_SOURCE_EVENT_SOURCE);
	Interval	age = {0};
	Datum		value = IntervalPGetDatum(&age);
	int			column = TTE_SOURCE_MAX_EVENT_AGE;
	bool		isnull = false;

	if (kind == NULL || !heap_attisnull(row, column, desc))
		return row;
	age.day = strcmp(kind, "web") == 0 || strcmp(kind, "app") == 0 ? 7 : 28;
	return heap_modify_tuple_by_cols(row, desc, 1, &column, &value, &isnull);
}

/* Uses SnapshotSelf, to find events committed after this transaction's snapshot. */
static bool
has_events(Datum source_id)
{
	Relation	rel = tte_own_table_open("event", AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	bool		found;

	ScanKeyInit(&key, TTE_EVENT_COL_SOURCE_ID + 1, BTEqualStrategyNumber, F_INT4EQ, source_id);
	scan = systable_beginscan(rel, tte_relation("event_queue"), true, SnapshotSelf, 1, &key);
	found = HeapTupleIsValid(systable_getnext(scan));
	systable_endscan(scan);
	table_close(rel, NoLock);
	return found;
}

static void
refuse_events(HeapTuple row, TupleDesc desc, Datum id)
{
	if (has_events(id))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("event source \"%s\" has events", text_of(row, desc, TTE_SOURCE_NAME)),
				 errhint("Set enabled to false to stop sending.")));
}

/*
 * Events refer to their source by its id, so an id that has events must not
 * change.  The lock waits for transactions that have recorded events of this
 * source, and blocks others that would.  Other sources are not affected.  Whoever
 * records an event waits behind this lock while it waits, so it is taken only
 * where no event has been seen before.
 */
static void
check_unused(HeapTuple row, TupleDesc desc)
{
	bool		isnull;
	Datum		id = heap_getattr(row, TTE_SOURCE_ID, desc, &isnull);

	refuse_events(row, desc, id);
	tte_source_lock(DatumGetInt32(id), AccessExclusiveLock);
	refuse_events(row, desc, id);
}

static bool
id_changes(HeapTuple old, HeapTuple new, TupleDesc desc)
{
	bool		isnull;

	return DatumGetInt32(heap_getattr(old, TTE_SOURCE_ID, desc, &isnull)) !=
		DatumGetInt32(heap_getattr(new, TTE_SOURCE_ID, desc, &isnull));
}

static TriggerData *
trigger_data(FunctionCallInfo fcinfo)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function must be called as a trigger")));
	return (TriggerData *) fcinfo->context;
}

Datum
tte_sql_check_source(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = trigger_data(fcinfo);
	TupleDesc	desc = RelationGetDescr(trigdata->tg_relation);
	HeapTuple	row = trigdata->tg_trigtuple;

	/* columns are read by number, so it must be that table */
	if (RelationGetRelid(trigdata->tg_relation) != tte_relation("source"))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function must be called by a trigger of table \"tiktok.source\"")));
	if (TRIGGER_FIRED_BY_TRUNCATE(trigdata->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("table \"tiktok.source\" cannot be truncated"),
				 errhint("Use DELETE, which keeps the sources that have events.")));
	if (!TRIGGER_FIRED_FOR_ROW(trigdata->tg_event) || !TRIGGER_FIRED_BEFORE(trigdata->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function must be called BEFORE, FOR EACH ROW")));
	tte_own_table_check(trigdata->tg_relation);
	if (TRIGGER_FIRED_BY_UPDATE(trigdata->tg_event))
	{
		row = trigdata->tg_newtuple;
		if (id_changes(trigdata->tg_trigtuple, row, desc))
			check_unused(trigdata->tg_trigtuple, desc);
	}
	if (TRIGGER_FIRED_BY_DELETE(trigdata->tg_event))
	{
		check_unused(row, desc);
		return PointerGetDatum(row);
	}
	check_source_row(row, desc);
	return PointerGetDatum(set_default_age(row, desc));
}

/* Sessions cache these tables, and an UPDATE sends no relcache message by itself. */
Datum
tte_sql_configuration_changed(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = trigger_data(fcinfo);

	CacheInvalidateRelcacheByRelid(RelationGetRelid(trigdata->tg_relation));
	tte_reconfigure_at_commit();
	return PointerGetDatum(NULL);
}

/* The token itself is never shown. */
static void
check_token(const char *token, const char *kind, const char *hint)
{
	if (!tte_token_is_valid(token, strlen(token)))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid %s token", kind),
				 errdetail("A token has 1 to %d printable ASCII characters and no blanks.", TTE_TOKEN_MAX),
				 errhint("%s", hint),
				 tte_hide_statement()));
}

/* In the order of the columns of tiktok.access_token and reporting_token. */
enum TokenColumn
{
	TOKEN_SOURCE_ID,
	TOKEN_TOKEN,
	TOKEN_SYSTEM_IDENTIFIER,
	TOKEN_DATABASE_OID,
	TOKEN_SET_AT,
	TOKEN_COLUMNS
};

static void
delete_token(Relation rel, int32 source_id)
{
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, TOKEN_SOURCE_ID + 1, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(source_id));
	scan = systable_beginscan(rel, InvalidOid, false, SnapshotSelf, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		simple_heap_delete(rel, &tuple->t_self);
	systable_endscan(scan);
}

/* Additional columns are set to null. */
static void
insert_token(Relation rel, int32 source_id, Datum token)
{
	EState	   *estate = CreateExecutorState();
	ResultRelInfo *info = makeNode(ResultRelInfo);
	TupleTableSlot *slot = table_slot_create(rel, NULL);

	InitResultRelInfo(info, rel, 0, NULL, 0);
	ExecOpenIndices(info, false);
	ExecClearTuple(slot);
	memset(slot->tts_isnull, true, slot->tts_tupleDescriptor->natts);
	memset(slot->tts_isnull, false, TOKEN_COLUMNS);
	slot->tts_values[TOKEN_SOURCE_ID] = Int32GetDatum(source_id);
	slot->tts_values[TOKEN_TOKEN] = token;
	slot->tts_values[TOKEN_SYSTEM_IDENTIFIER] = Int64GetDatum((int64) GetSystemIdentifier());
	slot->tts_values[TOKEN_DATABASE_OID] = ObjectIdGetDatum(MyDatabaseId);
	slot->tts_values[TOKEN_SET_AT] = TimestampTzGetDatum(GetCurrentTransactionStartTimestamp());
	ExecStoreVirtualTuple(slot);
	table_tuple_insert(rel, slot, GetCurrentCommandId(true), 0, NULL);
	tte_ExecInsertIndexTuples(info, slot, estate, false, NULL, NIL);
	ExecCloseIndices(info);
	ExecDropSingleTupleTableSlot(slot);
	FreeExecutorState(estate);
}

/*
 * Does not use a query: auto_explain would log the token, as a parameter or as a
 * constant of the plan.  The lock conflicts with other calls of this function,
 * but not with readers.  The lock of tte_source_argument() prevents deletion of
 * the source.
 */
static void
set_token(const char *table, int32 source_id, FunctionCallInfo fcinfo)
{
	Relation	rel = tte_own_table_open(table, ShareRowExclusiveLock);

	delete_token(rel, source_id);
	if (!PG_ARGISNULL(1))
		insert_token(rel, source_id, PG_GETARG_DATUM(1));
	CommandCounterIncrement();
	CacheInvalidateRelcache(rel);
	tte_reconfigure_at_commit();
	table_close(rel, NoLock);
}

Datum
tte_sql_set_access_token(PG_FUNCTION_ARGS)
{
	int32		source_id;

	tte_hide_call("SELECT tiktok.set_access_token(...)");
	tte_require_writable("tiktok.set_access_token()");
	source_id = tte_source_argument(fcinfo);
	if (!PG_ARGISNULL(1))
		check_token(TextDatumGetCString(PG_GETARG_DATUM(1)), "access", "Copy it from Events Manager, without line breaks.");
	set_token("access_token", source_id, fcinfo);
	PG_RETURN_VOID();
}

/* The token is no parameter of this query. */
static void
set_advertiser(int32 source_id, Datum advertiser)
{
	Oid			types[2] = {INT4OID, TEXTOID};
	Datum		values[2] = {Int32GetDatum(source_id), advertiser};

	SPI_connect();
	SPI_execute_with_args("UPDATE tiktok.source SET advertiser_id = $2 WHERE id OPERATOR(pg_catalog.=) $1 "
						  "AND (advertiser_id OPERATOR(pg_catalog.=) $2) IS NOT TRUE",
						  2, types, values, NULL, false, 0);
	SPI_finish();
}

static void
require_counts(const TteSource *source)
{
	if (source->rules.source != TTE_WEB)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("TikTok offers no counts of event source \"%s\"", source->name),
				 errdetail("It counts events of Pixels only, which are sources of kind web."),
				 tte_hide_statement()));
}

static void
check_advertiser_argument(const char *id)
{
	if (!is_advertiser(id))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid advertiser_id"),
				 errhint("Use the number of the advertiser account, as Ads Manager shows it."),
				 tte_hide_statement()));
}

Datum
tte_sql_set_reporting_token(PG_FUNCTION_ARGS)
{
	TteSource	source;

	tte_hide_call("SELECT tiktok.set_reporting_token(...)");
	tte_require_writable("tiktok.set_reporting_token()");
	tte_source_require(tte_required_text(fcinfo, 0, "source"), &source);
	require_counts(&source);
	if (!PG_ARGISNULL(1))
		check_token(TextDatumGetCString(PG_GETARG_DATUM(1)), "reporting", "Copy it from the developer app, without line breaks.");
	if (!PG_ARGISNULL(2))
	{
		check_advertiser_argument(TextDatumGetCString(PG_GETARG_DATUM(2)));
		set_advertiser(source.id, PG_GETARG_DATUM(2));
	}
	set_token("reporting_token", source.id, fcinfo);
	PG_RETURN_VOID();
}

/*
 * Stamps configuration, queue and tokens with this server and database.  Leaves
 * the worker's note alone, by which it finds out how old a copy is.
 */
static void
stamp_database(void)
{
	static const char *const statements[] = {
		"DELETE FROM tiktok.config_origin WHERE system_identifier OPERATOR(pg_catalog.<>) $1 OR database_oid OPERATOR(pg_catalog.<>) $2",
		"INSERT INTO tiktok.config_origin (system_identifier, database_oid) SELECT $1, $2 WHERE NOT EXISTS (SELECT FROM tiktok.config_origin)",
		("INSERT INTO tiktok.installation (system_identifier, database_oid, confirmed_at, seen_at, noted_system_identifier, noted_database_oid) "
		 "VALUES ($1, $2, pg_catalog.now(), pg_catalog.now(), $1, $2) "
		 "ON CONFLICT (id) DO UPDATE SET system_identifier = excluded.system_identifier, database_oid = excluded.database_oid, confirmed_at = excluded.confirmed_at"),
		"UPDATE tiktok.access_token SET system_identifier = $1, database_oid = $2",
		"UPDATE tiktok.reporting_token SET system_identifier = $1, database_oid = $2"
	};
	Oid			types[2] = {INT8OID, OIDOID};
	Datum		values[2] = {Int64GetDatum((int64) GetSystemIdentifier()), ObjectIdGetDatum(MyDatabaseId)};

	SPI_connect();
	for (int i = 0; i < lengthof(statements); i++)
		SPI_execute_with_args(statements[i], 2, types, values, NULL, false, 0);
	SPI_finish();
}

Datum
tte_sql_confirm_database(PG_FUNCTION_ARGS)
{
	tte_require_writable("tiktok.confirm_database()");
	stamp_database();
	PG_RETURN_VOID();
}

Datum
tte_sql_installed(PG_FUNCTION_ARGS)
{
	stamp_database();
	tte_counters_forget(MyDatabaseId);
	if (tte_shared_available())
		tte_wake_launcher_at_commit();
	else
		ereport(WARNING,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("tiktok_events is not preloaded: events are recorded but not sent"),
				 errhint("Add tiktok_events to shared_preload_libraries and restart the server.")));
	PG_RETURN_VOID();
}

/* For triggers of replicated rows: an apply worker inserts events without enqueue/outbox.c. */
Datum
tte_sql_wake_worker(PG_FUNCTION_ARGS)
{
	tte_wake_at_commit();
	PG_RETURN_VOID();
}
