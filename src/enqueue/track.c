/*-------------------------------------------------------------------------
 *
 * track.c
 *	  tiktok.track() and tiktok.preview(): recording an event by a call.
 *
 * The caller can correct mistakes, so bad input is an error with a hint, and
 * nothing is stored.  An event without consent, or one that is too old, is not a
 * mistake: it is recorded as suppressed or expired.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"

#include "enqueue/outbox.h"
#include "enqueue/source.h"
#include "enqueue/track.h"
#include "enqueue/value.h"
#include "event/ascii.h"
#include "event/event.h"
#include "server/common.h"
#include "server/counters.h"
#include "server/settings.h"

/* Arguments of both functions, in their order. */
enum TrackArgument
{
	ARG_SOURCE,
	ARG_EVENT,
	ARG_EVENT_ID,
	ARG_EVENT_TIME,
	ARG_USER_DATA,				/* and the other sections, in the order of
								 * TteSection */
	ARG_LIMITED_DATA_USE = ARG_USER_DATA + TTE_SECTIONS,
	ARG_CONSENT
};

PG_FUNCTION_INFO_V1(tte_sql_track);
PG_FUNCTION_INFO_V1(tte_sql_preview);

const char *
tte_test_code(const TteSource *source)
{
	if (!tte_test_event)
		return NULL;
	return source->test_code ? source->test_code : "";
}

char *
tte_random_id(void)
{
	return DatumGetCString(DirectFunctionCall1(uuid_out, DirectFunctionCall1(gen_random_uuid, (Datum) 0)));
}

void
tte_set_section(TteEvent *event, TteSection section, const TteJson *object, const TteJson **unknown)
{
	for (const TteJson *member = object->first; member; member = member->next)
	{
		int			field = tte_field_in(section, member->key, member->keylen);

		if (field >= 0)
			tte_event_set(event, field, member);
		else if (*unknown == NULL)
			*unknown = member;
	}
}

/* Letters, digits and underscores, no digit first: not an address or a number. */
static bool
is_name(const char *key, int len)
{
	return len > 0 && len < NAMEDATALEN && !tte_ascii_digit(key[0]) &&
		strspn(pnstrdup(key, len), "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") == len;
}

static const char *
section_name(TteSection section)
{
	return section == TTE_SECTION_USER ? "user_data" : tte_section_names[section];
}

/* The argument to which a field belongs, or NULL. */
static const char *
section_of(const TteJson *member)
{
	for (int i = 0; i < TTE_SECTIONS; i++)
	{
		if (tte_field_in((TteSection) i, member->key, member->keylen) >= 0)
			return section_name((TteSection) i);
	}
	return NULL;
}

/* Does not show a key that is not a name: it may be a misplaced value. */
static void
unknown_key(const char *where, const TteJson *member)
{
	const char *elsewhere = section_of(member);
	const char *near = tte_field_suggest(member->key, member->keylen);

	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 is_name(member->key, member->keylen) ?
			 errmsg("unknown key \"%s\" in %s", pnstrdup(member->key, member->keylen), where) :
			 errmsg("unknown key in %s", where),
			 elsewhere ? errhint("It belongs in %s.", elsewhere) :
			 near ? errhint("Perhaps you meant \"%s\".", near) :
			 errhint("Use the field names of TikTok's Events API."),
			 tte_hide_statement()));
}

static void
set_section(TteEvent *event, TteSection section, Datum argument)
{
	const char *name = section_name(section);
	TteJson    *object = tte_value_jsonb(argument);
	const TteJson *unknown = NULL;

	if (object == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("%s is too large or too deeply nested", name),
				 tte_hide_statement()));
	if (object->kind == TTE_JSON_NULL)
		return;
	if (object->kind != TTE_JSON_OBJECT)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must be a JSON object", name),
				 tte_hide_statement()));
	tte_set_section(event, section, object, &unknown);
	if (unknown != NULL)
		unknown_key(name, unknown);
}

static TteTriState
tri_state(FunctionCallInfo fcinfo, int argument)
{
	if (PG_ARGISNULL(argument))
		return TTE_UNSET;
	return PG_GETARG_BOOL(argument) ? TTE_YES : TTE_NO;
}

/* Builds the event from the arguments. */
static TteRendered *
render(FunctionCallInfo fcinfo, TteSource *source, bool ascii)
{
	TteEvent   *event;
	char	   *name = tte_required_text(fcinfo, ARG_EVENT, "event");
	const char *utf8;
	int			len;

	tte_source_require(tte_required_text(fcinfo, ARG_SOURCE, "source"), source);
	event = tte_event_begin(&source->rules, ascii);
	utf8 = tte_to_utf8(name, strlen(name), &len);
	tte_event_name(event, utf8, len);
	if (!PG_ARGISNULL(ARG_EVENT_ID))
	{
		char	   *id = text_to_cstring(PG_GETARG_TEXT_PP(ARG_EVENT_ID));

		utf8 = tte_to_utf8(id, strlen(id), &len);
		tte_event_id(event, utf8, len);
	}
	if (!PG_ARGISNULL(ARG_EVENT_TIME))
	{
		bool		finite;
		int64		usec = tte_unix_usec(PG_GETARG_TIMESTAMPTZ(ARG_EVENT_TIME), &finite);

		tte_event_time(event, usec, finite);
	}
	for (int i = 0; i < TTE_SECTIONS; i++)
	{
		if (!PG_ARGISNULL(ARG_USER_DATA + i))
			set_section(event, (TteSection) i, PG_GETARG_DATUM(ARG_USER_DATA + i));
	}
	tte_event_limited_data_use(event, tri_state(fcinfo, ARG_LIMITED_DATA_USE));
	tte_event_consent(event, tri_state(fcinfo, ARG_CONSENT));
	return tte_event_finish(event, tte_event_has_id(event) ? NULL : tte_random_id(), tte_now());
}

static int
problem_errcode(TteProblem problem)
{
	switch (problem)
	{
		case TTE_PROBLEM_MISSING:
			return ERRCODE_NULL_VALUE_NOT_ALLOWED;
		case TTE_PROBLEM_RANGE:
			return ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE;
		case TTE_PROBLEM_TIME:
			return ERRCODE_DATETIME_VALUE_OUT_OF_RANGE;
		case TTE_PROBLEM_LENGTH:
			return ERRCODE_STRING_DATA_RIGHT_TRUNCATION;
		case TTE_PROBLEM_SIZE:
			return ERRCODE_PROGRAM_LIMIT_EXCEEDED;
		default:
			return ERRCODE_INVALID_PARAMETER_VALUE;
	}
}

void
tte_refuse_invalid(const TteRendered *event)
{
	if (event->verdict != TTE_EVENT_INVALID)
		return;
	ereport(ERROR,
			(errcode(problem_errcode(event->problem)),
			 errmsg("event \"%s\" cannot be sent: %s", event->event, event->reason),
			 event->detail ? errdetail("%s", tte_from_utf8(event->detail, strlen(event->detail))) : 0,
			 event->hint ? errhint("%s", tte_from_utf8(event->hint, strlen(event->hint))) : 0,
			 tte_hide_statement()));
}

void
tte_notice_rename(const TteRendered *event)
{
	if (event->renamed_from != NULL)
		ereport(NOTICE,
				(errmsg("event \"%s\" is sent as \"%s\"", event->renamed_from, event->event),
				 errhint("Use \"%s\" in the Pixel too: TikTok deduplicates by name and event_id.", event->event),
				 tte_hide_statement()));
}

Datum
tte_event_jsonb(const TteRendered *event)
{
	TteStored	stored = tte_stored(event);
	StringInfoData wire;

	initStringInfo(&wire);
	if (!tte_wire_event(&wire, &stored, false))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("rendered event cannot be read"),
				 tte_hide_statement()));

	/* jsonb_in refuses escapes of characters that the encoding does not have */
	return DirectFunctionCall1(jsonb_in, CStringGetDatum(tte_from_utf8(wire.data, wire.len)));
}

static const char *
require_test_code(FunctionCallInfo fcinfo, const TteSource *source)
{
	const char *code = tte_test_code(source);

	if (code != NULL && code[0] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("event source \"%s\" has no valid test code", tte_required_text(fcinfo, ARG_SOURCE, "source")),
				 errdetail("Events of this session are test events, because tiktok_events.test_event is on."),
				 errhint("Set a code with tiktok.set_test_code(), or turn tiktok_events.test_event off."),
				 tte_hide_statement()));
	return code;
}

Datum
tte_sql_track(PG_FUNCTION_ARGS)
{
	TteSource	source;
	TteRendered *event;

	if (!tte_recording)
	{
		tte_count(TTE_NOT_RECORDED, TTE_OF_ROWS, 0, "");
		PG_RETURN_NULL();
	}
	tte_require_writable("tiktok.track()");
	event = render(fcinfo, &source, tte_ascii_payload());
	tte_refuse_invalid(event);
	tte_notice_rename(event);
	PG_RETURN_INT64(tte_outbox_store(source.id, require_test_code(fcinfo, &source), event, NULL));
}

Datum
tte_sql_preview(PG_FUNCTION_ARGS)
{
	TteSource	source;
	TteRendered *event = render(fcinfo, &source, false);

	tte_refuse_invalid(event);
	tte_notice_rename(event);
	if (event->verdict != TTE_EVENT_READY)
	{
		ereport(NOTICE,
				(errmsg("event \"%s\" would not be sent: %s", event->event, event->reason),
				 tte_hide_statement()));
		PG_RETURN_NULL();
	}
	PG_RETURN_DATUM(tte_event_jsonb(event));
}
