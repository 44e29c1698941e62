/*-------------------------------------------------------------------------
 *
 * track_row.c
 *	  tiktok.track_row(): the trigger that records an event for a row.
 *
 * No data of a row may fail the statement that writes an order.  So an event
 * that cannot be sent is recorded as invalid, with the reason.  Only a trigger
 * that can never work raises an error.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "enqueue/mapping.h"
#include "enqueue/newest.h"
#include "enqueue/outbox.h"
#include "enqueue/row_query.h"
#include "enqueue/row_targets.h"
#include "enqueue/row_using.h"
#include "enqueue/source.h"
#include "enqueue/track.h"
#include "enqueue/track_row.h"
#include "server/common.h"
#include "server/counters.h"
#include "server/settings.h"

/* Fewest digits of a telephone number. */
#define SHORTEST_PHONE	7

PG_FUNCTION_INFO_V1(tte_sql_track_row);

static void
refuse_call(const char *message, const char *hint)
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
		refuse_call("tiktok.track_row must be called as a trigger", "Use tiktok.track() to record an event by a call.");
	if (!TRIGGER_FIRED_AFTER(trigdata->tg_event) || !TRIGGER_FIRED_FOR_ROW(trigdata->tg_event) ||
		TRIGGER_FIRED_BY_DELETE(trigdata->tg_event))
		refuse_call("tiktok.track_row must be an AFTER INSERT or UPDATE trigger FOR EACH ROW",
					"An event is recorded for a row as it was finally stored.");
	if (strcmp(get_namespace_name(RelationGetNamespace(trigdata->tg_relation)), "tiktok") == 0)
		refuse_call("tiktok.track_row cannot watch the tables of schema tiktok",
					"Put the trigger on the table of orders or leads.");
}

/*
 * Appends text in the server's encoding, or a hash of it if it identifies a
 * person as clearly as hide says.
 */
static void
append_id_part(StringInfo id, const char *part, TteTrace hide)
{
	int			len;
	const char *utf8 = tte_to_utf8(part, strlen(part), &len);

	tte_derived_id_part(id, part, strlen(part), tte_text_trace(utf8, len) >= hide);
}

/*
 * Appends one column of the key.  If there are several columns, or text with a
 * dash precedes a stage, the parts could be cut in two ways, so each is
 * preceded by its length.  A number may be anything; a network address always
 * identifies a person.
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

/* <table>-<primary key>, and the stage if there is one; NULL without a key. */
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

/* Has an inserted row a stage, or did an update change it? */
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

/* The stage, which may be behind an arrow; NULL if there is none. */
static char *
row_stage(const TteMapping *m, TupleTableSlot *row, const TteQueryResult *query)
{
	bool		isnull = true;
	Datum		value = (Datum) 0;

	if (m->stage_hops == 0)
		value = slot_getattr(row, m->stage_attno, &isnull);
	else if (query->fate == TTE_QUERY_ROW && query->tuple != NULL)
		value = heap_getattr(query->tuple, m->stage_of_query, query->desc, &isnull);
	if (isnull)
		return NULL;
	return m->stage_path.path_len > 0 ? tte_text_at(&m->stage_path, &m->stage_type, value) : tte_value_text(&m->stage_type, value);
}

/* Counts a stage without mapping; one that might be an identifier without its name. */
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

/* The same for the text with which a row names no source. */
static void
count_without_source(int32 table, const char *key)
{
	int			len;
	const char *utf8 = key ? tte_to_utf8(key, strlen(key), &len) : NULL;

	tte_count(TTE_NO_SOURCE, TTE_OF_ROWS, table, "");
	if (utf8 != NULL && tte_text_trace(utf8, len) < TTE_TRACE_LIKELY)
		tte_count(TTE_NO_SOURCE, TTE_OF_ROWS, table, pnstrdup(key, pg_mbcliplen(key, strlen(key), TTE_STAGE_LEN - 1)));
}

/* Counted by the topmost table, of which partitions have the triggers. */
static void
count_query(const TteRowEvent *row)
{
	int32		table = (int32) row->table;

	tte_count(TTE_QUERIED, TTE_OF_TABLE, table, "");
	tte_count(TTE_QUERIED, TTE_OF_TABLE, table, row->trigger);
	if (row->without_row || row->declined)
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
 * A trigger with an event_id target needs an id: an event with a substitute id
 * would become a second event of the order, once the id is set.  A substitute
 * that was recorded before frees its key; for a new row there is none.
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
report_source(TteEvent *event, const TteMapping *m, const TteSource *source)
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
report_query(TteEvent *event, const TteMapping *m, const TteQueryResult *query)
{
	if (query->fate == TTE_QUERY_SEVERAL)
		tte_event_fail(event, TTE_PROBLEM_VALUE, "query: several rows", "The query has several rows for one row of the table.",
					   "Let it aggregate, as in (SELECT jsonb_agg(...) ...), or choose one row.");
	else if (query->fate == TTE_QUERY_FAILED)
		tte_event_fail(event, TTE_PROBLEM_VALUE, psprintf("query: %s", unpack_sql_state(query->sqlerrcode)),
					   psprintf("Function %s failed.", m->query_name),
					   "Call it with the values of the row: the error says what it cannot do.");
}

/* Builds the event of a row.  Fields that the function of using returns take precedence. */
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
		report_source(event, m, &result->source);
	if (id != NULL && !id_given)
		tte_event_id(event, id, strlen(id));
	if (m->problem != NULL)
	{
		tte_set_id_from_row(event, m, row);
		if (!tte_event_has_id(event) && id != NULL)
			tte_event_id(event, id, strlen(id));
		fail_mapping(event, m, trigdata);
	}
	else
	{
		report_query(event, m, query);
		tte_set_from_row(event, m, row, query);
		if (m->using_name != NULL && !tte_apply_using(event, m, trigdata->tg_relation, looking, row, &id_given))
		{
			result->declined = true;
			return;
		}
		if (id_given)
			require_id(event, id || tte_event_has_id(event) ? id : row_id(m, row, stage), new_row, result);
	}
	result->event = tte_event_finish(event, tte_event_has_id(event) ? NULL : tte_random_id(), tte_now());
	/* what is read again, or comes back to a stage, may have changed */
	result->event->may_differ = looking || (stage != NULL && !id_given && TRIGGER_FIRED_BY_UPDATE(trigdata->tg_event));
}

/* Gets the source and its test code; the id is 0 if the source was deleted. */
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

/* The text by which the row names its source, in the server's encoding, or NULL. */
static char *
source_key(const TteMapping *m, TupleTableSlot *row, const TteQueryResult *query)
{
	const TteTarget *target = &m->source_target;
	bool		isnull = true;
	Datum		value = (Datum) 0;

	if (!target->of_query)
		value = slot_getattr(row, target->attno, &isnull);
	else if (query->fate == TTE_QUERY_ROW && query->tuple != NULL)
		value = heap_getattr(query->tuple, target->attno, query->desc, &isnull);
	return isnull ? NULL : tte_text_at(target, &target->type, value);
}

/* Returns false if the row names no source: it makes no event. */
static bool
find_row_source(TteMapping *m, TupleTableSlot *row, const TteQueryResult *query, TteRowEvent *result)
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
	TteQueryResult query = {.fate = TTE_QUERY_ROW};
	const char *name = m->by_stage ? "" : m->event;
	char	   *stage = NULL;
	bool		by_stage;

	memset(result, 0, sizeof(*result));
	if (!m->source_of_row)
		get_source(m, &result->source);
	by_stage = m->stage_attno != InvalidAttrNumber && (m->source_of_row || result->source.id != 0);
	if (by_stage && !stage_has_changed(m, trigdata, row))
		return;
	if ((m->query_name != NULL || m->using_name != NULL) && m->problem == NULL)
	{
		result->table = m->root;
		result->trigger = trigdata->tg_trigger->tgname;
	}
	if (m->query_name != NULL && m->problem == NULL)
		tte_row_query(m, row, &query);
	result->without_row = query.fate == TTE_QUERY_NO_ROW;
	if (result->without_row)
		return;
	if (m->source_of_row && m->problem == NULL && !find_row_source(m, row, &query, result))
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
record_row(const TteRowEvent *row)
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
 * SET CONSTRAINTS in the session decides whether it fires at once or at
 * commit.  If the transaction writes a row several times, it may fire as
 * often, and each time finds the same event.
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
	record_row(&row);
	ExecDropSingleTupleTableSlot(*slot);
}

Datum
tte_sql_track_row(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = (TriggerData *) fcinfo->context;
	TteRowEvent row;

	check_trigger(fcinfo);
	if (!tte_recording)
	{
		tte_count(TTE_NOT_RECORDED, TTE_OF_ROWS, (int32) RelationGetRelid(trigdata->tg_relation), "");
		return PointerGetDatum(NULL);
	}
	tte_require_writable("tiktok.track_row()");
	if (trigdata->tg_trigger->tgdeferrable)
		record_newest(*trigdata);
	else
	{
		tte_row_event(trigdata, false, tte_ascii_payload(), &row);
		record_row(&row);
	}
	return PointerGetDatum(NULL);
}
