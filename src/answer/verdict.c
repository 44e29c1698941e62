/*-------------------------------------------------------------------------
 *
 * verdict.c
 *	  From TikTok's answer, or the lack of one, to an outcome.
 *
 * Only a 2xx status with a JSON object that has the integer code 0 is success.
 * If TikTok may have taken the events without saying so, they are "possibly
 * received": they are not sent again once TikTok no longer recognises a
 * repetition.
 *
 * TikTok's messages quote what they complain about.  The index of the event is
 * read from the message as it came; tte_reply_redact() then masks what was sent,
 * and every token that is not known to be harmless.
 *
 *-------------------------------------------------------------------------
 */
#include "answer/redact.h"
#include "answer/verdict.h"
#include "event/ascii.h"
#include "event/identity.h"

#define SECOND				INT64CONST(1000000)
#define RETRY_AFTER_CAP		3600	/* seconds: the longest pause obeyed */
#define MAINTENANCE_PAUSE	(15 * 60 * SECOND)
#define BLOCKED_PAUSE		(30 * 60 * SECOND)

#define CODE_MAINTENANCE	60001
#define CODE_BLOCKED		61000

#define PHONE_DIGITS		7	/* this many digits may be a telephone number */
#define PHONE_DIGITS_MAX	15
#define SHORTEST_ID			20	/* of TikTok's for a request, which are
								 * hexadecimal */
#define MAX_INDEX_DIGITS	4

const char *
tte_outcome_name(TteOutcome outcome)
{
	switch (outcome)
	{
		case TTE_OUTCOME_DELIVERED:
			return "delivered";
		case TTE_OUTCOME_RETRY:
			return "retry";
		case TTE_OUTCOME_SINGLY:
			return "singly";
		case TTE_OUTCOME_ISOLATE:
			return "isolate";
		case TTE_OUTCOME_SPLIT:
			return "split";
		case TTE_OUTCOME_BLOCKED:
			return "blocked";
		case TTE_OUTCOME_THROTTLE:
			return "throttle";
		case TTE_OUTCOME_STOP_CREDENTIAL:
			return "stop_credential";
		case TTE_OUTCOME_STOP_CONFIGURATION:
			return "stop_configuration";
		case TTE_OUTCOME_STOP_ENDPOINT:
			return "stop_endpoint";
	}
	return "unknown";
}

static bool
one_of(char c, const char *set)
{
	return c != '\0' && strchr(set, c) != NULL;
}

/*-------------------------------------------------------------------------
 * What the body says
 *-------------------------------------------------------------------------
 */

/* Reads an integer in plain digits, within the range of int4. */
static bool
read_code(const TteJson *value, int *code)
{
	int64		number = 0;
	bool		negative;

	if (value == NULL || value->kind != TTE_JSON_NUMBER || value->len < 1 || value->len > 11)
		return false;
	negative = value->text[0] == '-';
	for (int i = negative; i < value->len; i++)
	{
		if (!tte_ascii_digit(value->text[i]))
			return false;
		number = number * 10 + (value->text[i] - '0');
	}
	if (negative && number == 0)
		return false;
	number = negative ? -number : number;
	if (number < PG_INT32_MIN || number > PG_INT32_MAX)
		return false;
	*code = (int) number;
	return true;
}

/*
 * Keeps the id if it has only letters and digits, so it is no address, and
 * does not look like a hash or a telephone number.
 */
static void
read_request_id(const TteJson *value, TteReply *reply)
{
	int			digits = 0;
	int			hex = 0;

	if (value == NULL || value->kind != TTE_JSON_STRING || value->len >= TTE_REPLY_REQUEST_ID)
		return;
	for (int i = 0; i < value->len; i++)
	{
		if (!tte_ascii_alnum(value->text[i]) && !one_of(value->text[i], "-_"))
			return;
		digits += tte_ascii_digit(value->text[i]);
		hex += tte_hex_digit(value->text[i]) >= 0;
	}
	if (hex == TTE_HEX_LEN || (digits == value->len && digits >= PHONE_DIGITS && digits <= PHONE_DIGITS_MAX))
		return;
	memcpy(reply->request_id, value->text, value->len);
	reply->request_id[value->len] = '\0';
}

/* The number at p if it is short and followed by that byte, else -1. */
static int
index_at(const char *p, char closing)
{
	int			number = 0;
	int			digits = 0;

	while (tte_ascii_digit(*p) && digits <= MAX_INDEX_DIGITS)
	{
		number = number * 10 + (*p++ - '0');
		digits++;
	}
	if (digits < 1 || digits > MAX_INDEX_DIGITS || *p != closing)
		return -1;
	return number;
}

/*
 * The one index into data[] that the message names.  When two differ, none:
 * a wrong guess costs an event that was right.
 */
static int
find_bad_index(const char *message)
{
	static const struct
	{
		const char *prefix;
		char		closing;
	}			forms[] = {{"batch.", '.'}, {"data[", ']'}, {"data.", '.'}};
	int			found = -1;

	for (const char *p = message; *p != '\0'; p++)
	{
		if (p > message && (tte_word_byte(p[-1]) || one_of(p[-1], "._-")))
			continue;
		for (int i = 0; i < lengthof(forms); i++)
		{
			int			number;

			if (pg_strncasecmp(p, forms[i].prefix, strlen(forms[i].prefix)) != 0)
				continue;
			number = index_at(p + strlen(forms[i].prefix), forms[i].closing);
			if (number >= 0 && found >= 0 && number != found)
				return -1;
			found = number >= 0 ? number : found;
		}
	}
	return found;
}

static void
keep_message(TteReply *reply, const char *bytes, size_t len)
{
	tte_clean(reply->message, sizeof(reply->message), bytes, len);
	if (reply->has_code && reply->code != 0)
		reply->bad_index = find_bad_index(reply->message);
}

static void
read_body(const char *body, size_t len, TteReply *reply)
{
	const TteJson *object = tte_json_parse(body, len, NULL);
	const TteJson *message;

	/* if there are two codes, either may be the one that counts */
	if (object == NULL || object->kind != TTE_JSON_OBJECT || object->repeated ||
		!read_code(tte_json_get(object, "code"), &reply->code))
		return;
	reply->has_code = true;
	read_request_id(tte_json_get(object, "request_id"), reply);
	message = tte_json_get(object, "message");
	if (message != NULL && message->kind == TTE_JSON_STRING)
		keep_message(reply, message->text, message->len);
}

/*-------------------------------------------------------------------------
 * Redaction
 *-------------------------------------------------------------------------
 */

static void
hide(TteReply *reply, const char *value, size_t len)
{
	(void) tte_redact_value(reply->message, value, len);
	if (tte_redact_value(reply->request_id, value, len))
		reply->request_id[0] = '\0';
}

/* The end of the JSON object that begins at p. */
static const char *
object_end(const char *p)
{
	bool		quoted = false;
	int			depth = 0;

	for (; *p != '\0'; p++)
	{
		if (quoted && *p == '\\' && p[1] != '\0')
			p++;
		else if (*p == '"')
			quoted = !quoted;
		else if (!quoted && *p == '{')
			depth++;
		else if (!quoted && *p == '}' && --depth == 0)
			return p + 1;
	}
	return p;
}

static void
hide_values(TteReply *reply, const TteJson *value)
{
	if (value->kind == TTE_JSON_STRING)
		hide(reply, value->text, value->len);
	for (const TteJson *e = value->kind == TTE_JSON_ARRAY ? value->first : NULL; e != NULL; e = e->next)
		hide_values(reply, e);
}

/* Is it the message of every good answer, with an id in TikTok's form? */
static bool
says_nothing(const TteReply *reply)
{
	size_t		len = strlen(reply->request_id);

	return (strcmp(reply->message, "OK") == 0 || reply->message[0] == '\0') &&
		(len == 0 || (len >= SHORTEST_ID && strspn(reply->request_id, "0123456789ABCDEFabcdef") == len));
}

/* Masks what was sent: a name or a town may be a word of the list, too. */
static void
hide_sent(TteReply *reply, const char *body)
{
	static const char *const members[] = {"\"user\":{", "\"ad\":{"};

	for (int i = 0; i < lengthof(members); i++)
	{
		for (const char *p = body; (p = strstr(p, members[i])) != NULL;)
		{
			const char *start = p + strlen(members[i]) - 1;
			const TteJson *object;

			p = object_end(start);
			object = tte_json_parse(start, p - start, NULL);
			for (const TteJson *member = object ? object->first : NULL; member != NULL; member = member->next)
				hide_values(reply, member);
		}
	}
}

void
tte_reply_redact(TteReply *reply, const char *token, const char *sent)
{
	/* without a return code the message is made of constant words: exchange.c */
	if (!reply->has_code || says_nothing(reply))
		return;
	if (token != NULL)
		hide(reply, token, strlen(token));
	if (sent != NULL)
		hide_sent(reply, sent);
	tte_redact(reply->message, sizeof(reply->message));
}

/*-------------------------------------------------------------------------
 * Judgement
 *-------------------------------------------------------------------------
 */

static bool
is_success(int status)
{
	return status >= 200 && status <= 299 && status != 206;
}

static void
judge_code(int status, TteReply *reply)
{
	static const TteOutcome outcomes[] = {
		[TTE_CODE_OK] = TTE_OUTCOME_DELIVERED,
		[TTE_CODE_SINGLY] = TTE_OUTCOME_SINGLY,
		[TTE_CODE_ISOLATE] = TTE_OUTCOME_ISOLATE,
		[TTE_CODE_DUPLICATE] = TTE_OUTCOME_ISOLATE,
		[TTE_CODE_THROTTLE] = TTE_OUTCOME_THROTTLE,
		[TTE_CODE_STOP_CREDENTIAL] = TTE_OUTCOME_STOP_CREDENTIAL,
		[TTE_CODE_STOP_CONFIGURATION] = TTE_OUTCOME_STOP_CONFIGURATION,
		[TTE_CODE_RETRY] = TTE_OUTCOME_RETRY,
		[TTE_CODE_RETRY_ONCE] = TTE_OUTCOME_RETRY
	};
	TteCodeClass class = tte_code_class(reply->code, NULL, NULL);

	reply->outcome = outcomes[class];
	if (class == TTE_CODE_OK && !is_success(status))
		reply->outcome = TTE_OUTCOME_RETRY;
	reply->possibly_received = reply->outcome == TTE_OUTCOME_RETRY ||
		class == TTE_CODE_SINGLY || class == TTE_CODE_DUPLICATE;
	if (reply->code == CODE_MAINTENANCE)
		reply->retry_after = Max(reply->retry_after, MAINTENANCE_PAUSE);
	else if (reply->code == CODE_BLOCKED)
		reply->retry_after = Max(reply->retry_after, BLOCKED_PAUSE);
}

/*
 * The outcome of a status without a usable code.  A 4xx that is not listed
 * comes from a proxy or firewall before TikTok.
 */
static TteOutcome
outcome_of_status(int status)
{
	switch (status)
	{
		case 400:
		case 422:
			return TTE_OUTCOME_ISOLATE;
		case 408:
		case 425:
		case 429:
			return TTE_OUTCOME_THROTTLE;
		case 413:
			return TTE_OUTCOME_SPLIT;
	}
	return status >= 300 && status <= 499 ? TTE_OUTCOME_BLOCKED : TTE_OUTCOME_RETRY;
}

static void
judge_status(int status, TteReply *reply)
{
	reply->outcome = outcome_of_status(status);
	reply->possibly_received = reply->outcome == TTE_OUTCOME_RETRY;
	if (status >= 300 && status <= 399)
		snprintf(reply->message, sizeof(reply->message),
				 "HTTP status %d: a redirect, which is never followed", status);
	else
		snprintf(reply->message, sizeof(reply->message),
				 "HTTP status %d without a usable return code", status);
}

/* Judges an exchange without a complete answer. */
static void
judge_transport(TteTransport transport, int status, const char *error, TteReply *reply)
{
	reply->outcome = TTE_OUTCOME_STOP_ENDPOINT;
	if (transport != TTE_TRANSPORT_NEVER_SENT)
	{
		reply->outcome = TTE_OUTCOME_RETRY;
		reply->possibly_received = true;

		/* Servers close the connection when they refuse a body for its size. */
		if (status == 413)
			reply->outcome = TTE_OUTCOME_SPLIT;
	}
	if (error != NULL)
		keep_message(reply, error, strlen(error));
}

void
tte_reply_judge(TteTransport transport, int status, const char *body, size_t body_len,
				bool truncated, const char *transport_error,
				int64 retry_after, TteReply *reply)
{
	memset(reply, 0, sizeof(*reply));
	reply->bad_index = -1;
	if (transport != TTE_TRANSPORT_ANSWERED)
	{
		judge_transport(transport, status, transport_error, reply);
		return;
	}
	reply->retry_after = Max(Min(retry_after, RETRY_AFTER_CAP), 0) * SECOND;

	/* a truncated reply may look complete */
	if (!truncated && body_len > 0)
		read_body(body, body_len, reply);
	if (reply->has_code)
		judge_code(status, reply);
	else
		judge_status(status, reply);
	if (reply->outcome == TTE_OUTCOME_DELIVERED)
		reply->retry_after = 0;
}

/*-------------------------------------------------------------------------
 * Verdict
 *-------------------------------------------------------------------------
 */

/*
 * Trouble that may be the event's or the source's.  Nothing tells them apart but
 * what became of other events.
 */
static TteVerdicts
verdict_by_others(const TteReply *reply, bool single, int attempts, TteOthers others)
{
	switch (others)
	{
		case TTE_OTHERS_NONE:
			if (reply->outcome == TTE_OUTCOME_THROTTLE && reply->has_code)
				return (TteVerdicts) {TTE_EVENTS_WAIT, TTE_SOURCE_THROTTLED};
			return (TteVerdicts) {TTE_EVENTS_RETRY, TTE_SOURCE_DOUBTFUL};

		case TTE_OTHERS_FAILED:
			if (reply->outcome == TTE_OUTCOME_THROTTLE)
				return (TteVerdicts) {TTE_EVENTS_WAIT, TTE_SOURCE_THROTTLED};
			if (reply->possibly_received)
				return (TteVerdicts) {TTE_EVENTS_RETRY, TTE_SOURCE_STOPS};
			return (TteVerdicts) {TTE_EVENTS_WAIT, TTE_SOURCE_STOPS};

		case TTE_OTHERS_PASSED:
			break;
	}
	if (!single)
		return (TteVerdicts) {TTE_EVENTS_SPLIT, TTE_SOURCE_GOES_ON};
	if (reply->outcome == TTE_OUTCOME_SPLIT ||
		(reply->outcome == TTE_OUTCOME_BLOCKED && attempts + 1 >= TTE_BLOCKED_ATTEMPTS))
		return (TteVerdicts) {TTE_EVENTS_REJECTED, TTE_SOURCE_GOES_ON};
	return (TteVerdicts) {TTE_EVENTS_RETRY, TTE_SOURCE_GOES_ON};
}

static TteVerdicts
verdict_on_refusal(bool single)
{
	if (single)
		return (TteVerdicts) {TTE_EVENTS_REJECTED, TTE_SOURCE_REFUSES};
	return (TteVerdicts) {TTE_EVENTS_SPLIT, TTE_SOURCE_GOES_ON};
}

TteVerdicts
tte_verdict(const TteReply *reply, bool single, int attempts, TteOthers others)
{
	switch (reply->outcome)
	{
		case TTE_OUTCOME_DELIVERED:
			return (TteVerdicts) {TTE_EVENTS_DELIVERED, TTE_SOURCE_PASSES};

		case TTE_OUTCOME_SINGLY:
			return (TteVerdicts) {single ? TTE_EVENTS_RETRY : TTE_EVENTS_SINGLY, TTE_SOURCE_GOES_ON};

		case TTE_OUTCOME_ISOLATE:
			return verdict_on_refusal(single);

		case TTE_OUTCOME_SPLIT:
			if (!single)
				return (TteVerdicts) {TTE_EVENTS_SPLIT, TTE_SOURCE_GOES_ON};
			return verdict_by_others(reply, single, attempts, others);

		case TTE_OUTCOME_RETRY:

			/*
			 * a code that is to be retried once points at the events the
			 * second time
			 */
			if (reply->has_code && attempts > 0 && tte_code_class(reply->code, NULL, NULL) == TTE_CODE_RETRY_ONCE)
				return verdict_on_refusal(single);
			return verdict_by_others(reply, single, attempts, others);

		case TTE_OUTCOME_BLOCKED:
		case TTE_OUTCOME_THROTTLE:
			return verdict_by_others(reply, single, attempts, others);

		case TTE_OUTCOME_STOP_CREDENTIAL:
		case TTE_OUTCOME_STOP_CONFIGURATION:
		case TTE_OUTCOME_STOP_ENDPOINT:
			break;
	}
	return (TteVerdicts) {TTE_EVENTS_WAIT, TTE_SOURCE_STOPS};
}
