/*-------------------------------------------------------------------------
 *
 * track_row.c
 *	  tiktok.track_row(): the trigger that records an event for a row.
 *
 * The row is somebody's order, so nothing about its data is an error here: an
 * event that cannot be sent is recorded as invalid, with the reason, and the
 * statement goes on.  Only a trigger that can never work fails.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/tupconvert.h"
#include "access/xact.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/resowner.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "enqueue/mapping.h"
#include "enqueue/newest.h"
#include "enqueue/outbox.h"
#include "enqueue/row_query.h"
#include "enqueue/source.h"
#include "enqueue/track.h"
#include "enqueue/track_row.h"
#include "event/unicode.h"
#include "server/common.h"
#include "server/compat.h"
#include "server/counters.h"
#include "server/rights.h"

/* As many digits as make a telephone number. */
#define SHORTEST_PHONE	7

PG_FUNCTION_INFO_V1(tte_sql_track_row);

static void
refuse(const char *message, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
			 errmsg("%s", message),
			 errhint("%s", hint),
			 tte_hide_statement()));
}

static void
check_trigger(FunctionCallInfo fcinfo)
{
	TriggerData *trigdata = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo))
		refuse("tiktok.track_row must be called as a trigger", "Use tiktok.track() to record an event by a call.");
	if (!TRIGGER_FIRED_AFTER(trigdata->tg_event) || !TRIGGER_FIRED_FOR_ROW(trigdata->tg_event) ||
		TRIGGER_FIRED_BY_DELETE(trigdata->tg_event))
		refuse("tiktok.track_row must be an AFTER INSERT or UPDATE trigger FOR EACH ROW",
			   "An event is recorded for a row as it was finally stored.");
	if (strcmp(get_namespace_name(RelationGetNamespace(trigdata->tg_relation)), "tiktok") == 0)
		refuse("tiktok.track_row cannot watch the tables of schema tiktok",
			   "Put the trigger on the table of orders or leads.");
}

/* Yes or no, as a boolean, a word or 1 and 0; *readable false: it is neither, nor absent. */
static TteTriState
truth(const TteJson *value, bool *readable)
{
	*readable = true;
	if (value->kind == TTE_JSON_BOOL)
		return value->boolean ? TTE_YES : TTE_NO;
	if (value->kind == TTE_JSON_NULL)
		return TTE_UNSET;
	if (value->kind == TTE_JSON_STRING || value->kind == TTE_JSON_NUMBER)
		return tte_word_truth(value->text, value->len, readable);
	*readable = false;
	return TTE_UNSET;
}

/* What cannot be read is no consent: nobody is sent by mistake. */
static void
set_consent(TteEvent *event, const TteJson *value)
{
	bool		readable;
	TteTriState consent = truth(value, &readable);

	if (!readable)
		tte_event_note(event, "consent", "consent_unreadable");
	tte_event_consent(event, readable ? consent : TTE_NO);
}

static void
set_limited_data_use(TteEvent *event, const TteJson *value)
{
	bool		readable;
	TteTriState limited = truth(value, &readable);

	if (!readable)
		tte_event_note(event, "limited_data_use", "unreadable");
	tte_event_limited_data_use(event, readable ? limited : TTE_YES);
}

/* Text of a scalar, for event_id. */
static void
set_event_id(TteEvent *event, const TteJson *value)
{
	if (value->kind == TTE_JSON_STRING || value->kind == TTE_JSON_NUMBER)
		tte_event_id(event, value->text, value->len);
	else if (value->kind != TTE_JSON_NULL)
		tte_event_fail(event, TTE_PROBLEM_VALUE, "event_id", "The event_id is not text.", NULL);
}

static bool
is_blank(const TteJson *value)
{
	const char *string = value->text;
	int			len = value->len;

	if (value->kind != TTE_JSON_STRING)
		return false;
	tte_unicode_trim(&string, &len);
	return len == 0;
}

static void
set_event_time(TteEvent *event, const TteJson *value, pg_tz *zone)
{
	int64		usec;
	bool		finite;

	if (value->kind == TTE_JSON_NULL || is_blank(value))
		return;
	if (tte_json_time(value, zone, &usec, &finite))
		tte_event_time(event, usec, finite);
	else
		tte_event_fail(event, TTE_PROBLEM_TIME, "event_time", "The event_time is not a point in time.",
					   "Use timestamptz, ISO 8601 text, or seconds since 1970.");
}

static void
set_target(TteEvent *event, TteTargetKind kind, int field, const TteJson *value, pg_tz *zone)
{
	switch (kind)
	{
		case TTE_TARGET_FIELD:
			tte_event_set(event, field, value);
			break;
		case TTE_TARGET_EVENT_ID:
			set_event_id(event, value);
			break;
		case TTE_TARGET_EVENT_TIME:
			set_event_time(event, value, zone);
			break;
		case TTE_TARGET_LIMITED_DATA_USE:
			set_limited_data_use(event, value);
			break;
		case TTE_TARGET_CONSENT:
			set_consent(event, value);
			break;
	}
}

/* to_jsonb() keeps the padding of character(n), which is not part of an event_id. */
static const TteJson *
without_padding(TteTargetKind kind, const TteJson *value)
{
	TteJson    *copy;

	if (kind != TTE_TARGET_EVENT_ID || value->kind != TTE_JSON_STRING ||
		value->len == 0 || value->text[value->len - 1] != ' ')
		return value;
	copy = palloc(sizeof(TteJson));
	*copy = *value;
	while (copy->len > 0 && copy->text[copy->len - 1] == ' ')
		copy->len--;
	return copy;
}

static const char *
field_label(int field)
{
	return psprintf("%s.%s", tte_section_names[tte_fields[field].section], tte_fields[field].name);
}

/* An array's key is the number of an element, from 0. */
static const TteJson *
element(const TteJson *array, const char *number)
{
	const TteJson *found = array->first;

	for (long n = strtol(number, NULL, 10); n > 0 && found != NULL; n--)
		found = found->next;
	return found;
}

/* NULL: there is none; noted when there never can be, because a key is asked of what has no keys. */
static const TteJson *
follow_path(TteEvent *event, const TteTarget *target, const TteJson *json)
{
	for (int i = 0; i < target->path_len && json != NULL; i++)
	{
		const char *key = target->path[i];

		if (json->kind == TTE_JSON_OBJECT)
			json = tte_json_get(json, key);
		else if (json->kind == TTE_JSON_ARRAY && strspn(key, "0123456789") == strlen(key))
			json = element(json, key);
		else
		{
			if (json->kind != TTE_JSON_NULL && event != NULL)
				tte_event_note(event, target->name, "path");
			json = NULL;
		}
	}
	return json;
}

static void
set_from_column(TteEvent *event, const TteMapping *m, const TteTarget *target, Datum value)
{
	bool		identifier = target->kind == TTE_TARGET_FIELD &&
	tte_fields[target->field].section == TTE_SECTION_USER;
	const TteJson *json;
	int64		usec;
	bool		finite;

	if (target->type.kind == TTE_VALUE_NONE)
	{
		tte_event_note(event, field_label(target->field), "type");
		return;
	}
	if (target->kind == TTE_TARGET_EVENT_TIME && target->path_len == 0 &&
		tte_value_time(&target->type, value, m->zone, &usec, &finite))
	{
		tte_event_time(event, usec, finite);
		return;
	}
	json = tte_value_read(&target->type, value, identifier ? TTE_IDENTIFIER_CAP : TTE_MAX_PAYLOAD + 1);
	if (json == NULL)
	{
		tte_event_fail(event, TTE_PROBLEM_SIZE, "too_large",
					   psprintf("The value of \"%s\" is too large or too deeply nested.", target->name), NULL);
		return;
	}
	json = follow_path(event, target, json);
	if (json != NULL && target->type.kind == TTE_VALUE_JSON)
		json = without_padding(target->kind, json);
	if (json != NULL)
		set_target(event, target->kind, target->field, json, m->zone);
}

static void
set_from_row(TteEvent *event, const TteMapping *m, TupleTableSlot *row, const TteQueryResult *query)
{
	for (int i = 0; i < m->ntargets; i++)
	{
		const TteTarget *target = &m->targets[i];
		bool		isnull;
		Datum		value;

		if (target->literal != NULL)
		{
			set_target(event, target->kind, target->field, target->literal, m->zone);
			continue;
		}
		if (!target->of_query)
			value = slot_getattr(row, target->attno, &isnull);
		else if (query->fate == TTE_QUERY_ROW)
			value = heap_getattr(query->tuple, target->attno, query->desc, &isnull);
		else
			continue;
		if (!isnull)
			set_from_column(event, m, target, value);
	}
}

/* Text in the server's encoding; with the given trace of a person a hash stands for it. */
static void
append_id_part(StringInfo id, const char *part, TteTrace hide)
{
	int			len;
	const char *utf8 = tte_to_utf8(part, strlen(part), &len);

	tte_derived_id_part(id, part, strlen(part), tte_text_trace(utf8, len) >= hide);
}

/*
 * One column of the key.  Several columns, or text with a dash before a stage,
 * could be cut in two ways: there the length stands in front.  A number may be
 * anything; a network address is always somebody's.
 */
static void
append_key(StringInfo id, const TteValueType *type, const char *value, bool several, bool staged)
{
	bool		wordy = type->kind == TTE_VALUE_TEXT || (type->kind == TTE_VALUE_OUTPUT && type->type != UUIDOID);
	StringInfoData part;

	initStringInfo(&part);
	if (type->type == INETOID || type->type == CIDROID)
		tte_derived_id_part(&part, value, strlen(value), true);
	else if (wordy)
		append_id_part(&part, value, TTE_TRACE_DIGITS);
	else
		appendStringInfoString(&part, value);
	if (several || (staged && wordy && strpbrk(part.data, "-:") != NULL))
		appendStringInfo(id, "-%d:%s", part.len, part.data);
	else
		appendStringInfo(id, "-%s", part.data);
}

/* <table>-<primary key>, with the stage where there is one; NULL without a key. */
static char *
row_id(const TteMapping *m, TupleTableSlot *row, const char *stage)
{
	StringInfoData id;

	if (m->nkeys == 0)
		return NULL;
	initStringInfo(&id);
	append_id_part(&id, m->table, TTE_TRACE_SURE);
	for (int i = 0; i < m->nkeys; i++)
	{
		bool		isnull;
		Datum		value = slot_getattr(row, m->key_attnos[i], &isnull);

		append_key(&id, &m->key_types[i], tte_value_text(&m->key_types[i], value),
				   m->nkeys > 1, stage != NULL);
	}
	if (stage != NULL)
	{
		appendStringInfoChar(&id, '-');
		append_id_part(&id, stage, TTE_TRACE_LIKELY);
	}
	return tte_derived_id(id.data, id.len, false);
}

/* The row as the function's argument: in the row type of the table it was written for. */
static Datum
row_argument(const TteMapping *m, Relation rel, TupleTableSlot *row)
{
	bool		should_free;
	HeapTuple	tuple = ExecFetchSlotHeapTuple(row, false, &should_free);
	TupleDesc	desc = RelationGetDescr(rel);

	if (m->using_relation != RelationGetRelid(rel))
	{
		TupleDesc	to = lookup_rowtype_tupdesc_copy(get_rel_type_id(m->using_relation), -1);
		TupleConversionMap *map = convert_tuples_by_name(desc, to);

		if (map != NULL)
			tuple = execute_attr_map_tuple(tuple, map);
		desc = to;
	}
	return heap_copy_tuple_as_datum(tuple, desc);
}

/*
 * Who runs the function when somebody looks at rows of a table: its owner, if
 * the table's owner may act as him; otherwise the table's owner.  So it has no
 * rights that its author lacks by looking at the table, and nobody who decides
 * what is in the table, of which types, gets the author's.
 */
static Oid
runs_as(Oid function, Oid table_owner)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	Oid			owner;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for function %u", function);
	owner = ((Form_pg_proc) GETSTRUCT(tuple))->proowner;
	ReleaseSysCache(tuple);
	return has_privs_of_role(table_owner, owner) ? owner : table_owner;
}

static Datum
call(Oid function, Datum row, bool *isnull)
{
	FmgrInfo	flinfo;
	Datum		value;

	LOCAL_FCINFO(fcinfo, 1);

	fmgr_info(function, &flinfo);
	InitFunctionCallInfoData(*fcinfo, &flinfo, 1, InvalidOid, NULL, NULL);
	fcinfo->args[0].value = row;
	fcinfo->args[0].isnull = false;
	value = FunctionCallInvoke(fcinfo);
	*isnull = fcinfo->isnull;
	return value;
}

/*
 * Without a table's owner, as the current user: he writes the row.  Otherwise
 * with the names of the table's schema, not in the search_path of whoever looks.
 */
static Datum
call_with_rights(Oid function, Oid table_owner, Oid table, Datum row, bool *isnull)
{
	TteRights	rights;
	char	   *schema;
	Datum		value;

	if (tte_function_aclcheck(function, OidIsValid(table_owner) ? table_owner : GetUserId()) != ACLCHECK_OK)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for function %s", get_func_name(function))));
	if (!OidIsValid(table_owner))
		return call(function, row, isnull);
	schema = get_namespace_name(get_rel_namespace(table));
	tte_rights_take(runs_as(function, table_owner), psprintf("%s, pg_temp", quote_identifier(schema)), &rights);
	value = call(function, row, isnull);
	tte_rights_give_back(&rights);
	return value;
}

/*
 * Calls the user's function in a subtransaction: that draws no transaction id
 * unless the function writes.  NULL: it failed, with *state.
 */
static TteJson *
call_using(Oid function, Oid table_owner, Oid table, Datum row, int *state)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	TteJson    *volatile result = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		bool		isnull;
		Datum		value = call_with_rights(function, table_owner, table, row, &isnull);

		if (!isnull)
			result = tte_value_jsonb(value);
		else
			result = tte_json_parse("{}", 2, NULL);
		if (result == NULL || result->kind != TTE_JSON_OBJECT)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("function %s did not return a JSON object", get_func_name(function))));
		ReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
	}
	PG_CATCH();
	{
		ErrorData  *error = tte_undo_subtransaction(context, owner);

		if (tte_must_rethrow(error->sqlerrcode))
			ReThrowError(error);
		*state = error->sqlerrcode;
		result = NULL;
	}
	PG_END_TRY();
	return result;
}

/* TTE_SECTIONS: there is none of that name. */
static int
find_section(const TteJson *member)
{
	int			section = 0;

	while (section < TTE_SECTIONS &&
		   (strlen(tte_section_names[section]) != member->keylen ||
			memcmp(tte_section_names[section], member->key, member->keylen) != 0))
		section++;
	return section;
}

/* The targets that the function returned: flat names, or TikTok's objects.  Is event_id among them? */
static bool
set_from_object(TteEvent *event, const TteJson *object, pg_tz *zone)
{
	const TteJson *unknown = NULL;
	bool		names_id = false;

	for (const TteJson *member = object->first; member; member = member->next)
	{
		TteTargetKind kind;
		int			field = -1;
		int			section = member->kind == TTE_JSON_OBJECT ? find_section(member) : TTE_SECTIONS;

		if (section < TTE_SECTIONS)
			tte_set_section(event, (TteSection) section, member, &unknown);
		else if (tte_target_find(member->key, member->keylen, &kind, &field))
		{
			if (kind == TTE_TARGET_EVENT_ID)
				tte_event_id(event, NULL, 0);
			names_id |= kind == TTE_TARGET_EVENT_ID;
			set_target(event, kind, field, without_padding(kind, member), zone);
		}
		else if (unknown == NULL)
			unknown = member;
	}
	if (unknown != NULL)
		tte_event_fail(event, TTE_PROBLEM_VALUE, "using",
					   psprintf("The function returned the unknown key \"%.*s\".", pg_encoding_mbcliplen(PG_UTF8, unknown->key, unknown->keylen, 64), unknown->key), NULL);
	return names_id;
}

static bool
apply_using(TteEvent *event, const TteMapping *m, Relation rel, bool looking, TupleTableSlot *row)
{
	int			state = 0;
	TteJson    *object = call_using(m->using_function, looking ? rel->rd_rel->relowner : InvalidOid, m->using_relation,
									row_argument(m, rel, row), &state);

	if (object != NULL)
		return set_from_object(event, object, m->zone);
	tte_event_fail(event, TTE_PROBLEM_VALUE, psprintf("using: %s", unpack_sql_state(state)),
				   psprintf("Function %s failed.", m->using_name), NULL);
	return false;
}

/* A text or number, in the server's encoding and without blanks around it; NULL: there is none. */
static char *
text_at(const TteTarget *path, const TteValueType *type, Datum value)
{
	const TteJson *json = follow_path(NULL, path, tte_value_read(type, value, TTE_IDENTIFIER_CAP));
	const char *text;
	int			len;

	if (json == NULL || (json->kind != TTE_JSON_STRING && json->kind != TTE_JSON_NUMBER))
		return NULL;
	text = json->text;

	len = json->len;
	tte_unicode_trim(&text, &len);
	return len > 0 ? tte_from_utf8(text, len) : NULL;
}

/* Of the column that has to change.  Those without a stage have none. */
static bool
stage_has_changed(const TteMapping *m, TriggerData *trigdata, TupleTableSlot *row)
{
	bool		isnull;
	Datum		value = slot_getattr(row, m->stage_attno, &isnull);
	const char *stage;

	if (isnull || !TRIGGER_FIRED_BY_UPDATE(trigdata->tg_event))
		return !isnull;
	stage = tte_value_text(&m->change_type, value);
	value = slot_getattr(trigdata->tg_trigslot, m->stage_attno, &isnull);
	return isnull || strcmp(stage, tte_value_text(&m->change_type, value)) != 0;
}

/* The stage, which may be behind an arrow; NULL: there is none. */
static char *
row_stage(const TteMapping *m, TupleTableSlot *row, const TteQueryResult *query)
{
	bool		isnull = true;
	Datum		value = (Datum) 0;

	if (m->stage_hops == 0)
		value = slot_getattr(row, m->stage_attno, &isnull);
	else if (query->fate == TTE_QUERY_ROW)
		value = heap_getattr(query->tuple, m->stage_of_query, query->desc, &isnull);
	if (isnull)
		return NULL;
	return m->stage_path.path_len > 0 ? text_at(&m->stage_path, &m->stage_type, value) : tte_value_text(&m->stage_type, value);
}

/* A stage that might be an identifier is counted without its name. */
static void
count_unmapped(int32 source_id, const char *stage)
{
	int			len;
	const char *utf8 = tte_to_utf8(stage, strlen(stage), &len);

	tte_count(TTE_NO_MAPPING, TTE_OF_SOURCE, source_id, "");
	if (len > 0 && tte_text_digits(utf8, len) < SHORTEST_PHONE && tte_text_trace(utf8, len) == TTE_TRACE_NONE)
	{
		len = strlen(stage);
		tte_count(TTE_NO_MAPPING, TTE_OF_SOURCE, source_id, pnstrdup(stage, pg_mbcliplen(stage, len, TTE_STAGE_LEN - 1)));
	}
}

/* The same for what a row has instead of a source's key. */
static void
count_without_source(int32 table, const char *key)
{
	int			len;
	const char *utf8 = key ? tte_to_utf8(key, strlen(key), &len) : NULL;

	tte_count(TTE_NO_SOURCE, TTE_OF_ROWS, table, "");
	if (utf8 != NULL && tte_text_trace(utf8, len) < TTE_TRACE_LIKELY)
		tte_count(TTE_NO_SOURCE, TTE_OF_ROWS, table, pnstrdup(key, pg_mbcliplen(key, strlen(key), TTE_STAGE_LEN - 1)));
}

/* By the topmost table, of which partitions have the triggers. */
static void
count_query(const TteRowEvent *row)
{
	int32		table = (int32) row->table;

	tte_count(TTE_QUERIED, TTE_OF_TABLE, table, "");
	tte_count(TTE_QUERIED, TTE_OF_TABLE, table, row->trigger);
	if (row->without_row)
		tte_count(TTE_NO_ROW, TTE_OF_TABLE, table, row->trigger);
}

static void
set_name(TteEvent *event, const char *name)
{
	int			len;
	const char *utf8 = tte_to_utf8(name, strlen(name), &len);

	tte_event_name(event, utf8, len);
}

static void
warn_mapping(TteMapping *m, TriggerData *trigdata)
{
	if (m->warned)
		return;
	m->warned = true;
	ereport(WARNING,
			(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
			 errmsg("trigger \"%s\" does not fit table \"%s\": its events are recorded as invalid",
					trigdata->tg_trigger->tgname, RelationGetRelationName(trigdata->tg_relation)),
			 errdetail("%s", m->problem),
			 m->problem_hint ? errhint("%s", m->problem_hint) : 0,
			 tte_hide_statement()));
}

static void
fail_mapping(TteEvent *event, TteMapping *m, TriggerData *trigdata)
{
	warn_mapping(m, trigdata);
	tte_event_note(event, "mapping", m->problem);
	tte_event_fail(event, TTE_PROBLEM_VALUE, "mapping", m->problem, m->problem_hint);
}

/*
 * An id that is given has to be there: another one in its place would be a
 * second event of the same order, once it is.  What stood in its place makes
 * room for it; of a row that is new there is no such thing.
 */
static void
require_id(TteEvent *event, char *stand_in, bool new_row, TteRowEvent *result)
{
	if (tte_event_has_id(event))
	{
		result->stand_in = new_row ? NULL : stand_in;
		return;
	}
	if (stand_in == NULL)
		stand_in = tte_random_id();
	tte_event_id(event, stand_in, strlen(stand_in));
	tte_event_fail(event, TTE_PROBLEM_VALUE, "event_id", "The event_id is empty.",
				   "The event is recorded when the row is written with one.");
}

static void
check_source(TteEvent *event, const TteMapping *m, const TteSource *source)
{
	if (source->id == 0)
	{
		tte_event_note(event, "source", m->source);
		tte_event_fail(event, TTE_PROBLEM_VALUE, "source", "The source does not exist.", NULL);
	}
	else if (source->test_code != NULL && source->test_code[0] == '\0')
		tte_event_fail(event, TTE_PROBLEM_VALUE, "test_code", "The source has no valid test code.", NULL);
}

static void
check_query(TteEvent *event, const TteMapping *m, const TteQueryResult *query)
{
	if (query->fate == TTE_QUERY_SEVERAL)
		tte_event_fail(event, TTE_PROBLEM_VALUE, "query: several rows", "The query has several rows for one row of the table.",
					   "Let it aggregate, as in (SELECT jsonb_agg(...) ...), or choose one row.");
	else if (query->fate == TTE_QUERY_FAILED)
		tte_event_fail(event, TTE_PROBLEM_VALUE, psprintf("query: %s", unpack_sql_state(query->sqlerrcode)),
					   psprintf("Function %s failed.", m->query_name), NULL);
}

/* Builds the event of a row.  What the function of 'using' returns wins. */
static void
render_row(TteMapping *m, TriggerData *trigdata, TupleTableSlot *row, const TteQueryResult *query,
		   const char *name, const char *stage, bool looking, bool ascii, TteRowEvent *result)
{
	TteEvent   *event = tte_event_begin(&result->source.rules, ascii);
	bool		new_row = TRIGGER_FIRED_BY_INSERT(trigdata->tg_event) && !looking;
	bool		id_given = m->has_event_id;
	char	   *id = id_given && new_row && m->problem == NULL ? NULL : row_id(m, row, stage);

	set_name(event, name);
	tte_event_amounts(event, m->amounts);
	if (!m->source_of_row || m->problem == NULL)
		check_source(event, m, &result->source);
	if (id != NULL && (!id_given || m->problem != NULL))
		tte_event_id(event, id, strlen(id));
	if (m->problem != NULL)
		fail_mapping(event, m, trigdata);
	else
	{
		check_query(event, m, query);
		set_from_row(event, m, row, query);
		if (m->using_name != NULL)
			id_given |= apply_using(event, m, trigdata->tg_relation, looking, row);
		if (id_given)
			require_id(event, id || tte_event_has_id(event) ? id : row_id(m, row, stage), new_row, result);
	}
	result->event = tte_event_finish(event, tte_event_has_id(event) ? NULL : tte_random_id(), tte_now());
}

/* The source, with the test code to record under; a source that has gone has the id 0. */
static void
get_source(TteMapping *m, TteSource *source)
{
	if (!tte_source_get(m->source, source))
	{
		memset(source, 0, sizeof(*source));
		if (!m->warned)
			ereport(WARNING,
					(errcode(ERRCODE_UNDEFINED_OBJECT),
					 errmsg("event source \"%s\" does not exist: its events are recorded as invalid", m->source),
					 tte_hide_statement()));
		m->warned = true;
	}
	source->test_code = tte_test_code(source);
}

/* What the row has for a source: text in the server's encoding, or NULL. */
static char *
source_key(const TteMapping *m, TupleTableSlot *row, const TteQueryResult *query)
{
	const TteTarget *target = &m->source_target;
	bool		isnull = true;
	Datum		value = (Datum) 0;

	if (!target->of_query)
		value = slot_getattr(row, target->attno, &isnull);
	else if (query->fate == TTE_QUERY_ROW)
		value = heap_getattr(query->tuple, target->attno, query->desc, &isnull);
	return isnull ? NULL : text_at(target, &target->type, value);
}

/* False: the row names none, and makes no event. */
static bool
find_source(TteMapping *m, TupleTableSlot *row, const TteQueryResult *query, TteRowEvent *result)
{
	char	   *key = source_key(m, row, query);

	if (key != NULL && tte_source_of_key(key, &result->source))
	{
		result->source.test_code = tte_test_code(&result->source);
		return true;
	}
	result->without_source = true;
	result->source_key = key;
	result->table = m->root;
	return false;
}

void
tte_row_event(TriggerData *trigdata, bool looking, bool ascii, TteRowEvent *result)
{
	TteMapping *m = tte_mapping_get(trigdata);
	TupleTableSlot *row = TRIGGER_FIRED_BY_UPDATE(trigdata->tg_event) ? trigdata->tg_newslot : trigdata->tg_trigslot;
	TteQueryResult query = {TTE_QUERY_ROW};
	const char *name = m->by_stage ? "" : m->event;
	char	   *stage = NULL;
	bool		by_stage;

	memset(result, 0, sizeof(*result));
	if (!m->source_of_row)
		get_source(m, &result->source);
	by_stage = m->stage_attno != InvalidAttrNumber && (m->source_of_row || result->source.id != 0);
	if (by_stage && !stage_has_changed(m, trigdata, row))
		return;
	if (m->query_name != NULL && m->problem == NULL)
	{
		tte_row_query(m, row, &query);
		result->table = m->root;
		result->trigger = trigdata->tg_trigger->tgname;
	}
	result->without_row = query.fate == TTE_QUERY_NO_ROW;
	if (result->without_row)
		return;
	if (m->source_of_row && m->problem == NULL && !find_source(m, row, &query, result))
		return;
	if (by_stage && result->source.id != 0 && (m->stage_hops == 0 || (query.fate == TTE_QUERY_ROW && m->problem == NULL)))
	{
		stage = row_stage(m, row, &query);
		name = stage ? tte_stage_event(result->source.name, stage) : NULL;
		result->unmapped = stage && !name ? stage : NULL;
		if (name == NULL)
			return;
	}
	render_row(m, trigdata, row, &query, name, stage, looking, ascii, result);
}

static void
record(const TteRowEvent *row)
{
	if (row->trigger != NULL)
		count_query(row);
	if (row->event != NULL)
	{
		if (row->stand_in != NULL)
			tte_outbox_drop_stand_in(row->source.id, row->source.test_code, row->event, row->stand_in);
		tte_outbox_store(row->source.id, row->source.test_code, row->event, NULL);
	}
	else if (row->without_source)
		count_without_source((int32) row->table, row->source_key);
	else if (row->unmapped != NULL)
		count_unmapped(row->source.id, row->unmapped);
}

/*
 * Whether it fires at once or at commit is up to the session.  For a row that
 * the transaction has written several times it may fire as often, and each
 * time finds the same event.
 */
static void
record_newest(TriggerData trigdata)
{
	TteRowEvent row;
	TupleTableSlot **slot = TRIGGER_FIRED_BY_UPDATE(trigdata.tg_event) ? &trigdata.tg_newslot : &trigdata.tg_trigslot;

	*slot = tte_newest_version(&trigdata, *slot);
	if (*slot == NULL)
		return;
	tte_row_event(&trigdata, false, tte_ascii_payload(), &row);
	record(&row);
	ExecDropSingleTupleTableSlot(*slot);
}

Datum
tte_sql_track_row(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = (TriggerData *) fcinfo->context;
	TteRowEvent row;

	check_trigger(fcinfo);
	tte_require_writable("tiktok.track_row()");
	if (trigdata->tg_trigger->tgdeferrable)
		record_newest(*trigdata);
	else
	{
		tte_row_event(trigdata, false, tte_ascii_payload(), &row);
		record(&row);
	}
	return PointerGetDatum(NULL);
}
