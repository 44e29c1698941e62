/*-------------------------------------------------------------------------
 *
 * row_targets.c
 *	  From the values of a row to the targets of its event.
 *
 * The values are those of the row's columns, of its query's result, literals,
 * and what the function of 'using' returned.  What cannot be read becomes a note
 * or makes the event invalid; nothing here is an error.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "executor/tuptable.h"
#include "mb/pg_wchar.h"

#include "enqueue/row_targets.h"
#include "enqueue/track.h"
#include "event/unicode.h"
#include "server/common.h"

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

void
tte_set_from_row(TteEvent *event, const TteMapping *m, TupleTableSlot *row, const TteQueryResult *query)
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

void
tte_set_id_from_row(TteEvent *event, const TteMapping *m, TupleTableSlot *row)
{
	for (int i = 0; i < m->ntargets; i++)
	{
		const TteTarget *target = &m->targets[i];
		bool		isnull;
		Datum		value;

		if (target->kind != TTE_TARGET_EVENT_ID || target->literal != NULL || target->of_query || target->attno == InvalidAttrNumber ||
			target->type.kind == TTE_VALUE_NONE || (target->path_len > 0 && target->type.kind != TTE_VALUE_JSON))
			continue;
		value = slot_getattr(row, target->attno, &isnull);
		if (!isnull)
			set_from_column(event, m, target, value);
	}
}

void
tte_set_literals(TteEvent *event, const TteMapping *m)
{
	for (int i = 0; i < m->ntargets; i++)
	{
		const TteTarget *target = &m->targets[i];

		if (target->literal != NULL)
			set_target(event, target->kind, target->field, target->literal, m->zone);
	}
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

bool
tte_set_from_object(TteEvent *event, const TteJson *object, pg_tz *zone)
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

char *
tte_text_at(const TteTarget *path, const TteValueType *type, Datum value)
{
	const TteJson *json = follow_path(NULL, path, tte_value_read(type, value, TTE_IDENTIFIER_CAP));
	const char *str;
	int			len;

	if (json == NULL || (json->kind != TTE_JSON_STRING && json->kind != TTE_JSON_NUMBER))
		return NULL;
	str = json->text;

	len = json->len;
	tte_unicode_trim(&str, &len);
	return len > 0 ? tte_from_utf8(str, len) : NULL;
}
