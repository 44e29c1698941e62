/*-------------------------------------------------------------------------
 *
 * check_event.h
 *	  For the tests of events: what is given, what is judged, and what is posted.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TTE_CHECK_EVENT_H
#define TTE_CHECK_EVENT_H

#include "event/event.h"

#include "check.h"

#define DAY				(INT64CONST(86400) * TTE_USEC)
#define NOW				(INT64CONST(1795200000) * TTE_USEC)

#define WEB_USER	"\"user\":{\"email\":\"a@b.co\"}"
#define WEB_PAGE	"\"page\":{\"url\":\"https://x.example/\"}"
#define WEB_WITH(properties) "{" WEB_USER "," WEB_PAGE ",\"properties\":{" properties "}}"
#define WEB_BODY(properties) "{\"event\":\"Purchase\",\"event_time\":1795200000,\"event_id\":\"e1\"," \
	WEB_PAGE properties "}"

static inline TteSourceRules
rules_of(TteEventSource source)
{
	TteSourceRules rules = {0};

	rules.source = source;
	rules.require_lead_id = true;
	rules.rename_legacy_events = true;
	rules.max_event_age = 7 * DAY;
	return rules;
}

/* Sets what {"user":{...},"page":{...}} says. */
static inline void
set_fields(TteEvent *event, const TteJson *sections)
{
	for (const TteJson *s = sections->first; s != NULL; s = s->next)
	{
		for (int section = 0; section < TTE_SECTIONS; section++)
		{
			if (s->keylen != strlen(tte_section_names[section]) ||
				memcmp(s->key, tte_section_names[section], s->keylen) != 0)
				continue;
			for (const TteJson *m = s->first; m != NULL; m = m->next)
			{
				int			field = tte_field_in(section, m->key, m->keylen);

				if (field < 0)
					check(false, "unknown field in a test", NULL, NULL, NULL);
				else
					tte_event_set(event, field, m);
			}
		}
	}
}

static inline TteEvent *
begin(const TteSourceRules *rules, const char *name, const char *id, const char *fields, bool ascii)
{
	TteEvent   *event = tte_event_begin(rules, ascii);
	TteJson    *sections = tte_json_parse(fields, strlen(fields), NULL);

	tte_event_name(event, name, name ? strlen(name) : 0);
	tte_event_id(event, id, id ? strlen(id) : 0);
	if (sections != NULL)
		set_fields(event, sections);
	else
		check_text("fields of a test are JSON", fields, NULL, "JSON");
	return event;
}

static inline TteRendered *
finish_plain(TteEvent *event)
{
	return tte_event_finish(event, "fallback", NOW);
}

/* The event as it is sent, without its identifiers. */
static inline const char *
sent_without_user(const TteRendered *r)
{
	TteStored	stored = tte_stored(r);
	StringInfoData out;

	stored.user_data = NULL;
	initStringInfo(&out);
	return tte_wire_event(&out, &stored, false) ? out.data : "unreadable";
}

/* Equal as JSON: members in any order, numbers by value. */
static inline bool
equal_json(const TteJson *a, const TteJson *b)
{
	const TteJson *y;

	if (a == NULL || b == NULL || a->kind != b->kind || a->count != b->count)
		return false;
	switch (a->kind)
	{
		case TTE_JSON_BOOL:
			return a->boolean == b->boolean;
		case TTE_JSON_NUMBER:
			return strtod(pnstrdup(a->text, a->len), NULL) == strtod(pnstrdup(b->text, b->len), NULL);
		case TTE_JSON_STRING:
			return a->len == b->len && memcmp(a->text, b->text, a->len) == 0;
		case TTE_JSON_ARRAY:
			y = b->first;
			for (const TteJson *x = a->first; x != NULL; x = x->next, y = y->next)
			{
				if (!equal_json(x, y))
					return false;
			}
			return true;
		case TTE_JSON_OBJECT:
			for (const TteJson *x = a->first; x != NULL; x = x->next)
			{
				if (!equal_json(x, tte_json_get(b, pnstrdup(x->key, x->keylen))))
					return false;
			}
			return true;
		default:
			return true;
	}
}

static inline void
check_json(const char *what, const char *got, const char *expected)
{
	check(equal_json(tte_json_parse(got, strlen(got), NULL),
					 tte_json_parse(expected, strlen(expected), NULL)),
		  what, NULL, got, expected);
}

static inline const char *
verdict_of(const TteRendered *r)
{
	static const char *const words[] = {"ready", "invalid", "suppressed", "expired"};

	return r->verdict == TTE_EVENT_READY ? "ready" : psprintf("%s %s", words[r->verdict], r->reason);
}

static inline bool
is_sentence(const char *str)
{
	return strchr("\"ABCDEFGHIJKLMNOPQRSTUVWXYZ", str[0]) != NULL && str[strlen(str) - 1] == '.' && tte_utf8_valid(str, strlen(str));
}

typedef struct EventCase
{
	TteEventSource source;
	const char *event;
	const char *id;
	const char *fields;
	const char *expected;		/* "ready", or verdict and reason */
	const char *notes;
	const char *payload;		/* NULL: not compared */
} EventCase;

static inline void
check_events(const EventCase *cases, int n)
{
	for (const EventCase *c = cases; c < cases + n; c++)
	{
		TteSourceRules rules = rules_of(c->source);
		TteEvent   *event = begin(&rules, c->event, c->id, c->fields, false);
		TteRendered *r;

		tte_event_time(event, NOW, true);
		r = tte_event_finish(event, "fallback", NOW);
		check_text(c->event, c->fields, verdict_of(r), c->expected);
		check_text("notes", NULL, r->notes, c->notes);
		if (c->payload != NULL && r->payload != NULL)
			check_json("payload", sent_without_user(r), c->payload);
		if (r->verdict == TTE_EVENT_INVALID)
			check_true("detail and hint are sentences", is_sentence(r->detail) &&
					   (r->hint == NULL || is_sentence(r->hint)));
		check_true("event and event_id can be stored", r->event_id != NULL && r->event != NULL &&
				   strlen(r->event_id) <= TTE_MAX_EVENT_ID && strlen(r->event) <= 128 &&
				   tte_utf8_valid(r->event_id, strlen(r->event_id)));
	}
}

#endif							/* TTE_CHECK_EVENT_H */
