/*-------------------------------------------------------------------------
 *
 * event.h
 *	  From the fields of one event to what is stored, and from that to what is
 *	  sent.
 *
 * Usage: tte_event_begin(), any number of tte_event_set() and friends in any
 * order, tte_event_finish() once.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TTE_EVENT_H
#define TTE_EVENT_H

#include "event/catalog.h"
#include "event/derived_id.h"
#include "event/identity.h"

#define TTE_MAX_CONTENTS	500 /* items of one event */
#define TTE_MAX_PAYLOAD		1000000 /* bytes of one event, user included */
#define TTE_USEC			INT64CONST(1000000)

/* What becomes of an event with a currency of ISO 4217 that TikTok does not take. */
typedef enum TteCurrencyPolicy
{
	TTE_CURRENCY_WITHOUT_VALUE, /* it is sent without value, currency and
								 * prices */
	TTE_CURRENCY_SEND,
	TTE_CURRENCY_REFUSE
} TteCurrencyPolicy;

/* A row of tiktok.source, as far as an event depends on it. */
typedef struct TteSourceRules
{
	TteEventSource source;
	bool		consent_required;
	bool		limited_data_use;	/* default of events */
	bool		lower_external_id;
	bool		require_lead_id;
	bool		rename_legacy_events;
	TteCurrencyPolicy currency_policy;
	bool		hash_on_enqueue;	/* identity text holds hashes */
	const char *calling_code;	/* of tte_calling_code_of(), or NULL */
	int64		max_event_age;	/* microseconds */
} TteSourceRules;

typedef enum TteVerdict
{
	TTE_EVENT_READY,
	TTE_EVENT_INVALID,
	TTE_EVENT_SUPPRESSED,
	TTE_EVENT_EXPIRED
} TteVerdict;

/* Which SQLSTATE a direct call raises for an invalid event. */
typedef enum TteProblem
{
	TTE_PROBLEM_VALUE,			/* 22023 */
	TTE_PROBLEM_MISSING,		/* 22004 */
	TTE_PROBLEM_RANGE,			/* 22003 */
	TTE_PROBLEM_TIME,			/* 22008 */
	TTE_PROBLEM_LENGTH,			/* 22001 */
	TTE_PROBLEM_SIZE			/* 54000 */
} TteProblem;

typedef enum TteTriState
{
	TTE_UNSET,
	TTE_NO,
	TTE_YES
} TteTriState;

/* The result for an event.  Text is palloc'd or constant, and zero-terminated. */
typedef struct TteRendered
{
	TteVerdict	verdict;
	const char *reason;			/* not READY: stable word, as "currency" */
	TteProblem	problem;		/* INVALID */
	const char *detail;			/* INVALID: a sentence, without identifier
								 * values */
	const char *hint;			/* INVALID: a sentence or NULL */
	const char *event;			/* final name, at most 50 bytes; when INVALID
								 * or SUPPRESSED 128, printable ASCII,
								 * "(none)" for no name */
	const char *renamed_from;	/* legacy name that was given, or NULL */
	const char *event_id;		/* NULL only when INVALID and there is no
								 * usable id */
	int64		event_time;		/* microseconds since 1970, UTC */
	bool		has_time;		/* event_time was given */
	const char *value;			/* decimal literal or NULL */
	const char *currency;		/* or NULL */
	uint32		match_keys;		/* 1 << TteIdentifier */
	const char *notes;			/* what was left out and why, or NULL: "email:
								 * email_syntax; user.locale: source" */
	const char *payload;		/* READY: data[] element without event,
								 * event_time, event_id and user */
	int			payload_len;
	const char *user_data;		/* READY: normalised identifiers, or NULL */
	int			user_data_len;
	bool		may_differ;		/* set by the caller: the key may have come
								 * before with other content */
} TteRendered;

typedef struct TteEvent TteEvent;

/* What an event cannot do without besides an identifier. */
typedef struct TteRequired
{
	int			field;			/* index into tte_fields */
	const char *reason;			/* of an event that lacks it */
	const char *detail;
	const char *hint;
} TteRequired;

/* NULL: nothing. */
extern const TteRequired *tte_event_required(const TteSourceRules *rules);

/*
 * What a word says about consent.  TTE_UNSET if it is blank or unknown; if
 * unknown, *readable is false.  Case, blanks, dashes and underscores do not
 * matter.
 */
extern TteTriState tte_word_truth(const char *word, int len, bool *readable);

/* ascii: write pure ASCII (databases whose encoding is not UTF8). */
extern TteEvent *tte_event_begin(const TteSourceRules *rules, bool ascii);

/*
 * NULL, empty or blank means: not given.  The text must live until
 * tte_event_finish().
 */
extern void tte_event_name(TteEvent *event, const char *name, int len);
extern void tte_event_id(TteEvent *event, const char *id, int len);
extern bool tte_event_has_id(const TteEvent *event);

/*
 * Microseconds since 1970; finite is false for infinity.  If this is not
 * called, the time is now.  Pass a time beyond the range of int64 as
 * PG_INT64_MAX.
 */
extern void tte_event_time(TteEvent *event, int64 usec, bool finite);
extern void tte_event_consent(TteEvent *event, TteTriState consent);

/*
 * Value and prices are in a smaller unit than the currency: digits is how many
 * of their digits stand behind the point, or TTE_AMOUNTS_MINOR for as many as
 * the currency has.
 */
#define TTE_AMOUNTS_MINOR	(-1)
extern void tte_event_amounts(TteEvent *event, int digits);
extern void tte_event_limited_data_use(TteEvent *event, TteTriState ldu);

/*
 * Sets a field (index into tte_fields).  The value, and what it points to,
 * must live until tte_event_finish().  JSON null, blank strings, empty arrays
 * and objects count as absent.  A field of another source is left out with a
 * note.
 */
extern void tte_event_set(TteEvent *event, int field, const TteJson *value);

/* The caller found the event invalid, for a reason of its own ("mapping"). */
extern void tte_event_fail(TteEvent *event, TteProblem problem, const char *reason,
						   const char *detail, const char *hint);

/* Adds the note "what: why", once: something was left out. */
extern void tte_event_note(TteEvent *event, const char *what, const char *why);

/*
 * Judges and renders the event. now is in microseconds since 1970.  The
 * event_id is the given id, for crm else <lead_id>-<event>, else
 * properties.order_id, else fallback_id (a UUID).  Never fails: at worst the
 * event is INVALID. Consent is judged first (suppressed), then validity
 * (invalid), then age (expired).
 */
extern TteRendered *tte_event_finish(TteEvent *event, const char *fallback_id, int64 now);

/* From stored events to the body of a request */

/* Begins a request body: {"event_source":...,"data":[ test_code may be NULL. */
extern void tte_wire_open(StringInfo out, const char *event_source, const char *event_source_id,
						  const char *test_code);

/* An event as it is stored. */
typedef struct TteStored
{
	const char *event;
	int64		event_time;		/* microseconds since 1970, UTC */
	const char *event_id;
	const char *payload;
	int			payload_len;
	const char *user_data;		/* or NULL */
	int			user_data_len;
} TteStored;

static inline TteStored
tte_stored(const TteRendered *r)
{
	return (TteStored) {r->event, r->event_time, r->event_id, r->payload, r->payload_len, r->user_data, r->user_data_len};
}

/*
 * Appends one element of data[], with hashed identifiers in it.  Returns false,
 * and appends nothing, if the stored text is not what tte_event_finish() writes.
 */
extern bool tte_wire_event(StringInfo out, const TteStored *event, bool ascii);

extern void tte_wire_close(StringInfo out);

/* Length of what tte_wire_close() appends. */
#define TTE_WIRE_CLOSE_LEN	2

#endif							/* TTE_EVENT_H */
