/*-------------------------------------------------------------------------
 *
 * literals.c
 *	  The literals of a mapping, which are the same in each of its events.
 *
 * An event is made of the literals, and of samples that are right in place of
 * the columns.  What is wrong with it is wrong with every event of the trigger.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "enqueue/row_targets.h"
#include "enqueue/track.h"
#include "operate/literals.h"
#include "server/common.h"

typedef struct Sample
{
	int			field;
	const char *value;
} Sample;

/* Enough for an event of any kind of source. */
static const Sample samples[] = {
	{TTE_EMAIL, "somebody@example.com"},
	{TTE_IP, "203.0.113.24"},
	{TTE_FIELD_URL, "https://example.com/"},
	{TTE_FIELD_APP_ID, "com.example.shop"},
	{TTE_FIELD_LEAD_ID, "7412345678901234567"},
	{TTE_FIELD_VALUE, "1"},
	{TTE_FIELD_CURRENCY, "EUR"}
};

static const TteTarget *
find_literal(const TteMapping *m, TteTargetKind kind, int field)
{
	for (int i = 0; i < m->ntargets; i++)
	{
		const TteTarget *target = &m->targets[i];

		if (target->literal != NULL && target->kind == kind && (kind != TTE_TARGET_FIELD || target->field == field))
			return target;
	}
	return NULL;
}

static void
set_samples(TteEvent *event, const TteMapping *m, const TteSource *source)
{
	for (int i = 0; i < lengthof(samples); i++)
	{
		const Sample *sample = &samples[i];

		if ((tte_fields[sample->field].sources & TTE_SOURCE_BIT(source->rules.source)) != 0 &&
			find_literal(m, TTE_TARGET_FIELD, sample->field) == NULL)
			tte_event_set(event, sample->field, tte_json_string(sample->value, strlen(sample->value)));
	}
}

static TteRendered *
render(const TteMapping *m, const TteSource *source)
{
	TteEvent   *event = tte_event_begin(&source->rules, false);
	const char *name = m->by_stage ? "Lead" : m->event;
	int			len;
	const char *utf8 = tte_to_utf8(name, strlen(name), &len);

	tte_event_name(event, utf8, len);
	tte_event_amounts(event, m->amounts);
	tte_event_consent(event, TTE_YES);
	set_samples(event, m, source);
	tte_set_literals(event, m);
	return tte_event_finish(event, tte_random_id(), tte_now());
}

static void
refuse_literal(const TteMapping *m, TteTargetKind kind, const char *detail, const char *hint)
{
	const TteTarget *target = find_literal(m, kind, 0);

	if (target != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("target \"%s\" is a literal", target->name),
				 errdetail("%s", detail),
				 errhint("%s", hint)));
}

void
tte_literals_check(const TteMapping *mapping, const TteSource *source, StringInfo remarks)
{
	TteRendered *event;

	refuse_literal(mapping, TTE_TARGET_EVENT_ID, "All rows would have the same event_id: only the first would make an event.",
				   "Name the column with the number of the order.");
	refuse_literal(mapping, TTE_TARGET_EVENT_TIME, "All rows would have the same time.",
				   "Name the column that says when it happened, or write \"event_time\": \"now\" where rows are written only when it happens.");
	event = render(mapping, source);
	tte_refuse_invalid(event);
	if (event->verdict == TTE_EVENT_SUPPRESSED)
		appendStringInfo(remarks, "\n-- consent is always no: every event of source \"%s\" would be suppressed. Name the column with the consent.", source->name);
	if (event->notes != NULL && !mapping->source_of_row)
		appendStringInfo(remarks, "\n-- A literal is left out of every event of source \"%s\": %s. Correct it.", source->name,
						 tte_from_utf8(event->notes, strlen(event->notes)));
}
