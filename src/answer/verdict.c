/*-------------------------------------------------------------------------
 *
 * verdict.c
 *	  From TikTok's answer, or the lack of one, to an outcome.
 *
 * Success is only what looks exactly like success: a 2xx status and a JSON
 * object with the integer code 0.  Whatever else may mean that events were
 * taken is "possibly received", so that they are not repeated when TikTok no
 * longer recognises the repetition.
 *
 * TikTok's messages quote what they complain about.  Before a message is kept
 * anything that could be a person's is masked in it; the words around it and
 * the path of the field stay.
 *
 *-------------------------------------------------------------------------
 */
#include "answer/verdict.h"
#include "event/identity.h"
#include "event/unicode.h"

#define SECOND				INT64CONST(1000000)
#define RETRY_AFTER_CAP		3600	/* seconds: the longest pause obeyed */
#define RETRY_AFTER_ABSURD	86400	/* seconds: not believed at all */
#define TOO_OFTEN_PAUSE		(5 * 60 * SECOND)	/* TikTok's rule for 40100 */
#define MAINTENANCE_PAUSE	(15 * 60 * SECOND)
#define BLOCKED_PAUSE		(30 * 60 * SECOND)

#define CODE_TOO_OFTEN		40100
#define CODE_MAINTENANCE	60001
#define CODE_BLOCKED		61000

#define MASK				"***"
#define PHONE_DIGITS		7	/* as many digits may be a telephone number */
#define PHONE_DIGITS_MAX	15
#define SHORTEST_ID			20	/* of TikTok's for a request, which are
								 * hexadecimal */
#define SHORTEST_HIDDEN		3	/* what is shorter says nothing about anybody */
#define SECRET_LEN			32	/* as many characters may be a hash or token */
#define IPV6_TEXT			45	/* longest form of an IPv6 address */
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

/*-------------------------------------------------------------------------
 * Cleaning: any bytes to UTF-8 without controls
 *-------------------------------------------------------------------------
 */

/* Controls, line separators, and what is invisible or turns text around. */
static bool
is_unwanted(uint32 code)
{
	return code < 0x20 || (code >= 0x7f && code < 0xa0) || code == 0xad ||
		(code >= 0x200b && code <= 0x200f) || (code >= 0x2028 && code <= 0x202e) ||
		(code >= 0x2060 && code <= 0x206f) || code == 0xfeff;
}

/*
 * Digits and the at sign that other scripts and full-width forms have are
 * written as ASCII, lest they escape the redaction.
 */
static char
ascii_equivalent(uint32 code)
{
	if (code >= 0xff01 && code <= 0xff5e)
		return (char) (code - 0xff01 + '!');
	if (code >= 0x660 && code <= 0x669)
		return (char) (code - 0x660 + '0');
	if (code >= 0x6f0 && code <= 0x6f9)
		return (char) (code - 0x6f0 + '0');
	if (code >= 0x966 && code <= 0x96f)
		return (char) (code - 0x966 + '0');
	if (code == 0xfe6b)
		return '@';
	return '\0';
}

static void
clean(StringInfo out, const char *bytes, size_t len)
{
	const char *p = bytes;
	const char *end = p + len;

	while (p < end)
	{
		const char *start = p;
		uint32		code;

		if (tte_utf8_length(p, end - p) == 0)
		{
			appendStringInfoString(out, "\xef\xbf\xbd");
			p++;
			continue;
		}
		code = tte_utf8_next(&p);
		if (is_unwanted(code))
			appendStringInfoChar(out, ' ');
		else if (ascii_equivalent(code) != '\0')
			appendStringInfoChar(out, ascii_equivalent(code));
		else
			appendBinaryStringInfo(out, start, p - start);
	}
}

/*-------------------------------------------------------------------------
 * Redaction
 *
 * Each rule looks at one place in the text and says how many bytes from
 * there on must not be shown, 0 for none.
 *-------------------------------------------------------------------------
 */

typedef struct Message
{
	const char *start;
	const char *end;
} Message;

typedef int (*Rule) (const Message *msg, const char *p);

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
is_alpha(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool
is_hex(char c)
{
	return tte_hex_digit(c) >= 0;
}

/* Bytes of a word: letters, digits and all that is not ASCII. */
static bool
is_wordy(char c)
{
	return is_alpha(c) || is_digit(c) || IS_HIGHBIT_SET(c);
}

static bool
one_of(char c, const char *set)
{
	return c != '\0' && strchr(set, c) != NULL;
}

static bool
begins_with(const char *p, const char *end, const char *prefix)
{
	size_t		len = strlen(prefix);

	return (size_t) (end - p) >= len && pg_strncasecmp(p, prefix, len) == 0;
}

/* The byte before p, a blank at the start. */
static char
before(const Message *msg, const char *p)
{
	return p > msg->start ? p[-1] : ' ';
}

/* What a field path, a name or a number is followed or preceded by. */
static bool
is_separator(char c)
{
	return one_of(c, " ,;:()[]{}<>\"'`=|");
}

/* A word with an at sign in it. */
static int
mask_email(const Message *msg, const char *p)
{
	bool		at = false;
	const char *q;

	if (is_separator(*p) || !is_separator(before(msg, p)))
		return 0;
	for (q = p; q < msg->end && !is_separator(*q); q++)
	{
		if (*q == '@' || begins_with(q, msg->end, "%40"))
			at = true;
	}
	return at ? q - p : 0;
}

/* What follows "://" up to the next blank or quote. */
static int
mask_url(const Message *msg, const char *p)
{
	const char *q = p;

	if (p - msg->start < 3 || memcmp(p - 3, "://", 3) != 0)
		return 0;
	while (q < msg->end && !one_of(*q, " \"'`<>"))
		q++;
	return q - p;
}

/* Many digits, with up to two blanks or signs between each two of them. */
static int
mask_digits(const Message *msg, const char *p)
{
	const char *last = p;
	int			digits = 0;

	if (!is_digit(*p))
		return 0;
	for (const char *q = p; q < msg->end && q - last <= 3; q++)
	{
		if (is_digit(*q))
		{
			last = q;
			digits++;
		}
		else if (!one_of(*q, " -.()/+"))
			break;
	}
	return digits >= PHONE_DIGITS ? last + 1 - p : 0;
}

/* Four numbers of up to three digits with points between them. */
static int
mask_ipv4(const Message *msg, const char *p)
{
	const char *q = p;

	if (!is_digit(*p) || is_digit(before(msg, p)))
		return 0;
	for (int part = 0; part < 4; part++)
	{
		int			digits = 0;

		if (part > 0 && (q >= msg->end || *q++ != '.'))
			return 0;
		while (q < msg->end && is_digit(*q) && digits <= 3)
		{
			q++;
			digits++;
		}
		if (digits < 1 || digits > 3)
			return 0;
	}
	return q - p;
}

/* Hexadecimal digits and at least two colons. */
static int
mask_ipv6(const Message *msg, const char *p)
{
	const char *q = p;
	int			colons = 0;
	int			digits = 0;

	if (is_wordy(before(msg, p)) || !(is_hex(*p) || (*p == ':' && before(msg, p) != ':')))
		return 0;
	for (; q < msg->end && q - p < IPV6_TEXT && (is_hex(*q) || *q == ':' || *q == '.'); q++)
	{
		colons += *q == ':';
		digits += is_hex(*q);
	}
	if (q < msg->end && q - p < IPV6_TEXT && is_wordy(*q))
		return 0;				/* a word, as in "abc::define" */
	return colons >= 2 && digits > 0 ? q - p : 0;
}

static bool
is_secret_char(char c)
{
	return is_alpha(c) || is_digit(c) || one_of(c, "+/_-=");
}

/*
 * A long run as hashes, tokens and ids have it.  A run of small letters and
 * underscores only is a name.
 */
static int
mask_secret(const Message *msg, const char *p)
{
	const char *q = p;
	bool		name = true;

	if (!is_secret_char(*p) || is_secret_char(before(msg, p)))
		return 0;
	for (; q < msg->end && is_secret_char(*q); q++)
	{
		if (!(*q >= 'a' && *q <= 'z') && *q != '_')
			name = false;
	}
	return q - p >= SECRET_LEN && !name ? q - p : 0;
}

/* Words that announce a value, and what must follow if it has no quotes. */
typedef enum Announcement
{
	ANNOUNCES_NOTHING,
	ANNOUNCES_QUOTED,
	ANNOUNCES_AFTER_SIGN,		/* or unquoted after ':' or '=' */
	ANNOUNCES_ANY
} Announcement;

static Announcement
announcement_of(const char *word, int len)
{
	static const struct
	{
		const char *word;
		Announcement announcement;
	}			words[] = {
		{"actual", ANNOUNCES_AFTER_SIGN}, {"found", ANNOUNCES_AFTER_SIGN},
		{"given", ANNOUNCES_AFTER_SIGN}, {"got", ANNOUNCES_ANY},
		{"input", ANNOUNCES_AFTER_SIGN}, {"is", ANNOUNCES_QUOTED},
		{"provided", ANNOUNCES_AFTER_SIGN}, {"received", ANNOUNCES_AFTER_SIGN},
		{"value", ANNOUNCES_AFTER_SIGN}, {"values", ANNOUNCES_AFTER_SIGN},
		{"was", ANNOUNCES_QUOTED}
	};

	for (int i = 0; i < lengthof(words); i++)
	{
		if (strlen(words[i].word) == len && pg_strncasecmp(word, words[i].word, len) == 0)
			return words[i].announcement;
	}
	return ANNOUNCES_NOTHING;
}

/*
 * How the word before p announces what stands at p.  A few blanks, ':', '='
 * and opening quotes may stand between; *sign tells of ':' or '='.
 */
static Announcement
announced(const Message *msg, const char *p, bool *sign)
{
	const char *limit = p - msg->start > 8 ? p - 8 : msg->start;
	const char *word;

	*sign = false;
	while (p > limit && one_of(p[-1], " :=\"'`"))
	{
		p--;
		if (*p == ':' || *p == '=')
			*sign = true;
	}
	word = p;
	while (word > msg->start && is_alpha(word[-1]) && p - word < 10)
		word--;
	return announcement_of(word, p - word);
}

/* The name or path of a field: letters, digits and ._-[] only. */
static bool
is_name(const char *p, int len)
{
	if (len > 64)
		return false;
	for (int i = 0; i < len; i++)
	{
		if (!is_alpha(p[i]) && !is_digit(p[i]) && !one_of(p[i], "._-[]"))
			return false;
	}
	return true;
}

/*
 * The inside of a quotation: shown when it can be a name and is not announced
 * as a value.  A quote within a word is an apostrophe; it neither opens nor
 * closes.
 */
static int
mask_quoted(const Message *msg, const char *p)
{
	char		quote = before(msg, p);
	const char *q = p;
	bool		sign;

	if (!one_of(quote, "\"'`") || (p - 1 > msg->start && is_wordy(p[-2])) ||
		one_of(*p, " ,;:)]}"))
		return 0;
	while (q < msg->end && (*q != quote || (q + 1 < msg->end && is_wordy(q[1]))))
		q++;
	if (is_name(p, q - p) && announced(msg, p, &sign) == ANNOUNCES_NOTHING)
		return 0;
	return q - p;
}

/* May follow "value:" or "got" without being a value. */
static bool
is_plain_word(const char *p, int len)
{
	static const char *const words[] = {
		"a", "an", "array", "bool", "boolean", "can", "cannot", "empty", "exceeds", "expected",
		"float", "for", "has", "in", "int", "integer", "invalid", "is", "length", "list", "map",
		"missing", "must", "no", "not", "null", "number", "object", "of", "should", "string",
		"the", "too", "type", "undefined", "unknown", "wrong"
	};

	for (int i = 0; i < lengthof(words); i++)
	{
		if (strlen(words[i]) == len && pg_strncasecmp(p, words[i], len) == 0)
			return true;
	}
	return false;
}

static const char *
word_end(const Message *msg, const char *p)
{
	while (p < msg->end && !one_of(*p, " ,;)]}\"`<>"))
		p++;
	return p;
}

/*
 * A value without quotes: the announced word, and the words after it as long
 * as they look like names or numbers.
 */
static int
mask_value(const Message *msg, const char *p)
{
	const char *end;
	Announcement announcement;
	bool		sign;

	if (!one_of(before(msg, p), " :=") || one_of(*p, " :=\"'`,;()[]{}"))
		return 0;
	announcement = announced(msg, p, &sign);
	if (announcement != ANNOUNCES_ANY && !(announcement == ANNOUNCES_AFTER_SIGN && sign))
		return 0;
	end = word_end(msg, p);
	if (end == p || is_plain_word(p, end - p))
		return 0;
	while (msg->end - end > 1 && *end == ' ' &&
		   (is_digit(end[1]) || (end[1] >= 'A' && end[1] <= 'Z') || IS_HIGHBIT_SET(end[1])))
		end = word_end(msg, end + 1);
	return end - p;
}

static int
mask_length(const Message *msg, const char *p)
{
	static const Rule rules[] = {
		mask_quoted, mask_url, mask_email, mask_value, mask_secret, mask_ipv4, mask_ipv6, mask_digits
	};

	for (int i = 0; i < lengthof(rules); i++)
	{
		int			len = rules[i] (msg, p);

		if (len > 0)
			return len;
	}
	return 0;
}

/* Copies clean text with masks, as many whole characters as fit. */
static void
redact(char *out, size_t size, const char *cleaned, int len)
{
	Message		all = {cleaned, cleaned + len};
	const char *p = cleaned;
	size_t		used = 0;

	while (p < all.end)
	{
		const char *piece = MASK;
		int			n = strlen(MASK);
		int			masked = mask_length(&all, p);

		if (masked == 0)
		{
			piece = p;
			n = 1;
			while (p + n < all.end && (p[n] & 0xc0) == 0x80)
				n++;
		}
		if (used + n >= size)
			break;
		memcpy(out + used, piece, n);
		used += n;
		p += masked > 0 ? masked : n;
	}
	out[used] = '\0';
}

/*-------------------------------------------------------------------------
 * What the body says
 *-------------------------------------------------------------------------
 */

/* An integer within the range of int4, written plainly. */
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
		if (!is_digit(value->text[i]))
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
 * An id has letters and digits, so it is no address; nor does it look like a hash
 * or a telephone number.
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
		if (!is_alpha(value->text[i]) && !is_digit(value->text[i]) && !one_of(value->text[i], "-_"))
			return;
		digits += is_digit(value->text[i]);
		hex += is_hex(value->text[i]);
	}
	if (hex == TTE_HEX_LEN || (digits == value->len && digits >= PHONE_DIGITS && digits <= PHONE_DIGITS_MAX))
		return;
	memcpy(reply->request_id, value->text, value->len);
	reply->request_id[value->len] = '\0';
}

/* The number at p if it is short and followed by that byte, else -1. */
static int
index_at(const char *p, const char *end, char closing)
{
	int			number = 0;
	int			digits = 0;

	while (p < end && is_digit(*p) && digits <= MAX_INDEX_DIGITS)
	{
		number = number * 10 + (*p++ - '0');
		digits++;
	}
	if (digits < 1 || digits > MAX_INDEX_DIGITS || p >= end || *p != closing)
		return -1;
	return number;
}

/*
 * The one index into data[] that the message names.  When two differ, none:
 * a wrong guess costs an event that was right.
 */
static int
find_bad_index(const char *cleaned, int len)
{
	static const struct
	{
		const char *prefix;
		char		closing;
	}			forms[] = {{"batch.", '.'}, {"data[", ']'}, {"data.", '.'}};
	Message		all = {cleaned, cleaned + len};
	int			found = -1;

	for (const char *p = cleaned; p < all.end; p++)
	{
		if (is_wordy(before(&all, p)) || one_of(before(&all, p), "._-"))
			continue;
		for (int i = 0; i < lengthof(forms); i++)
		{
			int			number;

			if (!begins_with(p, all.end, forms[i].prefix))
				continue;
			number = index_at(p + strlen(forms[i].prefix), all.end, forms[i].closing);
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
	StringInfoData cleaned;

	initStringInfo(&cleaned);
	clean(&cleaned, bytes, len);
	redact(reply->message, sizeof(reply->message), cleaned.data, cleaned.len);
	if (reply->has_code && reply->code != 0)
		reply->bad_index = find_bad_index(cleaned.data, cleaned.len);
	pfree(cleaned.data);
}

static void
read_body(const char *body, size_t len, TteReply *reply)
{
	const TteJson *object = tte_json_parse(body, len, NULL);
	const TteJson *message;

	/* Of two codes either may be the one that counts. */
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
 * What was sent, and comes back
 *
 * The rules above know what identifiers look like.  What has no look, as a name
 * or a town, is known from the request.
 *-------------------------------------------------------------------------
 */

/* Do the words stand at p, on their own? */
static bool
stands_at(const Message *msg, const char *p, const char *words, size_t len)
{
	return pg_tolower((unsigned char) *p) == pg_tolower((unsigned char) *words) && pg_strncasecmp(p, words, len) == 0 &&
		!(is_wordy(*words) && is_wordy(before(msg, p))) &&
		!(is_wordy(words[len - 1]) && p + len < msg->end && is_wordy(p[len]));
}

static bool
stands_in(const char *where, const char *words, size_t len)
{
	Message		all = {where, where + strlen(where)};

	for (const char *p = all.start; (size_t) (all.end - p) >= len; p++)
	{
		if (stands_at(&all, p, words, len))
			return true;
	}
	return false;
}

void
tte_reply_hide(TteReply *reply, const char *words, size_t len)
{
	Message		all = {reply->message, reply->message + strlen(reply->message)};

	if (len < SHORTEST_HIDDEN)
		return;
	if (stands_in(reply->request_id, words, len))
		reply->request_id[0] = '\0';
	for (char *p = reply->message; (size_t) (all.end - p) >= len; p++)
	{
		if (!stands_at(&all, p, words, len))
			continue;
		memcpy(p, MASK, strlen(MASK));
		memmove(p + strlen(MASK), p + len, all.end - (p + len) + 1);
		all.end -= len - strlen(MASK);
		p += strlen(MASK) - 1;
	}
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
		tte_reply_hide(reply, value->text, value->len);
	for (const TteJson *e = value->kind == TTE_JSON_ARRAY ? value->first : NULL; e != NULL; e = e->next)
		hide_values(reply, e);
}

/* Is it what every good answer says, with an id as TikTok makes them? */
static bool
says_nothing(const TteReply *reply)
{
	size_t		len = strlen(reply->request_id);

	return (strcmp(reply->message, "OK") == 0 || reply->message[0] == '\0') &&
		(len == 0 || (len >= SHORTEST_ID && strspn(reply->request_id, "0123456789ABCDEFabcdef") == len));
}

void
tte_reply_hide_sent(TteReply *reply, const char *body)
{
	static const char *const members[] = {"\"user\":{", "\"ad\":{"};

	if (says_nothing(reply))
		return;
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

/*-------------------------------------------------------------------------
 * Retry-After
 *-------------------------------------------------------------------------
 */

/* Days from 1970-01-01 to a date of the Gregorian calendar. */
static int64
days_from_1970(int year, int month, int day)
{
	int64		years = month > 2 ? year : year - 1;
	int64		era = years / 400;
	int64		year_of_era = years - era * 400;
	int64		day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

	return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 +
		day_of_year - 719468;
}

/* Two or four digits, -1 if they are not. */
static int
digits_at(const char *p, int count)
{
	int			number = 0;

	for (int i = 0; i < count; i++)
	{
		if (!is_digit(p[i]))
			return -1;
		number = number * 10 + (p[i] - '0');
	}
	return number;
}

/*
 * "Sun, 06 Nov 1994 08:49:37 GMT" as seconds since 1970.  The other two forms
 * that HTTP once allowed are taken for no date.
 */
static bool
read_http_date(const char *header, int64 *seconds)
{
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	static const char shape[] = "aaa, dd aaa dddd dd:dd:dd GMT";
	int			month = 0;
	int			day;
	int			hour;
	int			minute;
	int			second;

	if (strlen(header) != sizeof(shape) - 1)
		return false;
	for (int i = 0; shape[i] != '\0'; i++)
	{
		if (shape[i] == 'a' ? !is_alpha(header[i]) :
			shape[i] == 'd' ? !is_digit(header[i]) : header[i] != shape[i])
			return false;
	}
	while (month < 12 && strncmp(months + 3 * month, header + 8, 3) != 0)
		month++;
	day = digits_at(header + 5, 2);
	hour = digits_at(header + 17, 2);
	minute = digits_at(header + 20, 2);
	second = digits_at(header + 23, 2);
	if (month == 12 || day < 1 || day > 31 || hour > 23 || minute > 59 || second > 60)
		return false;
	*seconds = ((days_from_1970(digits_at(header + 12, 4), month + 1, day) * 24 + hour) * 60 +
				minute) * 60 + second;
	return true;
}

/*
 * The pause that a Retry-After header asks for, in microseconds: at least a
 * second, at most an hour.  0 when there is none, or none to be believed.
 */
static int64
read_retry_after(const char *header, int64 now)
{
	int64		seconds = 0;
	int			len;

	if (header == NULL)
		return 0;
	header += strspn(header, " ");
	len = strspn(header, "0123456789");
	if (len == 0 || header[len + strspn(header + len, " ")] != '\0')
	{
		if (!read_http_date(header, &seconds))
			return 0;
		seconds -= now / SECOND;
		if (seconds <= 0)
			return 0;
	}
	else
	{
		for (int i = 0; i < len && seconds <= RETRY_AFTER_ABSURD; i++)
			seconds = seconds * 10 + (header[i] - '0');
	}
	if (seconds > RETRY_AFTER_ABSURD)
		return 0;
	return Max(Min(seconds, RETRY_AFTER_CAP), 1) * SECOND;
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

/*
 * 40700 is judged as RETRY; who knows how often an event was tried turns the
 * second one into ISOLATE.
 */
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
	if (reply->code == CODE_TOO_OFTEN)
		reply->retry_after = Max(reply->retry_after, TOO_OFTEN_PAUSE);
	else if (reply->code == CODE_MAINTENANCE)
		reply->retry_after = Max(reply->retry_after, MAINTENANCE_PAUSE);
	else if (reply->code == CODE_BLOCKED)
		reply->retry_after = Max(reply->retry_after, BLOCKED_PAUSE);
}

/*
 * The outcome of a status without a usable code.  A 4xx that is not listed is
 * nothing that one event can be blamed for: better to stop and be seen than to
 * reject event after event.
 */
static TteOutcome
outcome_of_status(int status)
{
	switch (status)
	{
		case 400:
		case 422:
			return TTE_OUTCOME_ISOLATE;
		case 401:
		case 403:
			return TTE_OUTCOME_STOP_CREDENTIAL;
		case 404:
		case 405:
		case 407:
		case 410:
			return TTE_OUTCOME_STOP_ENDPOINT;
		case 408:
		case 425:
		case 429:
			return TTE_OUTCOME_THROTTLE;
		case 413:
			return TTE_OUTCOME_SPLIT;
	}
	if (status >= 300 && status <= 399)
		return TTE_OUTCOME_STOP_ENDPOINT;
	if (status >= 400 && status <= 499)
		return TTE_OUTCOME_STOP_CONFIGURATION;
	return TTE_OUTCOME_RETRY;
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

/* Without an answer, or with half of one. */
static void
judge_transport(TteTransport transport, int status, const char *error, TteReply *reply)
{
	reply->outcome = TTE_OUTCOME_STOP_ENDPOINT;
	if (transport != TTE_TRANSPORT_NEVER_SENT)
	{
		reply->outcome = TTE_OUTCOME_RETRY;
		reply->possibly_received = true;

		/* Servers cut the connection when they refuse a body for its size. */
		if (status == 413)
			reply->outcome = TTE_OUTCOME_SPLIT;
	}
	if (error != NULL)
		keep_message(reply, error, strlen(error));
}

void
tte_reply_judge(TteTransport transport, int status, const char *body, size_t body_len,
				bool truncated, const char *transport_error,
				const char *retry_after, int64 now, TteReply *reply)
{
	memset(reply, 0, sizeof(*reply));
	reply->bad_index = -1;
	if (transport != TTE_TRANSPORT_ANSWERED)
	{
		judge_transport(transport, status, transport_error, reply);
		return;
	}
	reply->retry_after = read_retry_after(retry_after, now);

	/* The beginning of a reply may look like one. */
	if (!truncated && body_len > 0)
		read_body(body, body_len, reply);
	if (reply->has_code)
		judge_code(status, reply);
	else
		judge_status(status, reply);
	if (reply->outcome == TTE_OUTCOME_DELIVERED)
		reply->retry_after = 0;
}
