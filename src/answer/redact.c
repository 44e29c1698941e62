/*-------------------------------------------------------------------------
 *
 * redact.c
 *	  What may be kept of a text that TikTok, a proxy or a library wrote.
 *
 * Messages quote what they complain about, so they may hold anything that was
 * sent and more.  No rule can tell what a name or an id looks like.  So a text
 * is cut into tokens, and a token is kept only if it is in the list below, is
 * a short number, or is the path of a field.  Every other one is masked.
 *
 * A word of the list may also be somebody's town.  The caller masks what was
 * sent with tte_redact_value() before.
 *
 *-------------------------------------------------------------------------
 */
#include "answer/redact.h"
#include "event/ascii.h"
#include "event/unicode.h"

#define MASK				"***"
#define NUMBER_DIGITS		4	/* more may be a telephone number or an id */
#define LONGEST_NAME		40

/* Sorted; small letters.  Words of error messages, and names of TikTok's fields and events. */
static const char *const words[] = {
	"a", "aborted", "about", "above", "accept", "accepted", "accepts", "access", "account",
	"achievelevel", "action", "active", "actual", "ad", "ad_id", "added", "additional",
	"addpaymentinfo", "address", "addtocart", "addtowishlist", "adset", "advertiser",
	"advertiser_id", "advertising", "after", "again", "age", "all", "allow", "allowed", "already",
	"also", "amount", "an", "and", "another", "any", "api", "api_version", "app", "app_event",
	"app_id", "app_name", "app_version", "appear", "application", "applicationapproval", "are",
	"argument", "array", "as", "at", "att_status", "attempt", "attribute", "attributed",
	"attribution_provider", "attribution_share", "attribution_type", "authentication",
	"authorization", "authorized", "availability", "available", "back", "bad", "base", "batch",
	"be", "because", "been", "before", "begin", "below", "between", "blank", "block", "blocked",
	"body", "bool", "boolean", "both", "brand", "broken", "but", "by", "byte", "bytes", "call",
	"callback", "called", "campaign", "campaign_id", "can", "cannot", "cart", "case", "cases",
	"category", "certificate", "certificates", "change", "changed", "channel", "char",
	"character", "characters", "check", "checkout", "city", "claim", "click", "click_id",
	"clickbutton", "client", "close", "closed", "code", "com", "combination", "comma", "company",
	"complete", "completepayment", "completeregistration", "completetutorial", "condition",
	"config", "configuration", "connect", "connected", "connecting", "connection", "contact",
	"contain", "contained", "contains", "content", "content_category", "content_id",
	"content_ids", "content_name", "content_type", "contents", "context", "conversion",
	"conversions", "correct", "correctly", "could", "couldn", "count", "country", "create",
	"created", "creategroup", "createrole", "creative", "creative_id", "credential", "crm",
	"crm_event_set_id", "curl", "currency", "current", "currently", "custom", "customer",
	"customer_type", "customizeproduct", "daily", "data", "database", "date", "day", "days",
	"default", "defined", "delete", "delivery_category", "denied", "deprecated", "description",
	"device", "did", "didn", "different", "digit", "digits", "disabled", "dns", "do", "does",
	"doesn", "don", "done", "double", "down", "download", "due", "duplicate", "duplicated",
	"during", "e", "each", "either", "element", "elements", "email", "emails", "empty", "enable",
	"enabled", "encoded", "encoding", "end", "ended", "endpoint", "enough", "enum", "equal",
	"errno", "error", "errors", "even", "event", "event_id", "event_name", "event_set_id",
	"event_source", "event_source_id", "event_time", "event_type", "events", "every", "exact",
	"exactly", "example", "exceed", "exceeded", "exceeds", "exist", "exists", "expect",
	"expected", "expects", "expired", "explicit", "external_id", "extra", "fail", "failed",
	"failed_events", "failure", "false", "feature", "few", "field", "fields", "file", "find",
	"findlocation", "finished", "first", "first_name", "float", "followed", "following", "for",
	"forbidden", "form", "format", "formatted", "found", "fraction", "frequency", "frequent",
	"frequently", "from", "full", "further", "future", "gaid", "general", "generated",
	"generatelead", "get", "given", "go", "good", "got", "granted", "greater", "group", "had",
	"handshake", "has", "hash", "hashed", "have", "header", "headers", "hex", "hexadecimal",
	"host", "hour", "hours", "how", "html", "http", "http2", "https", "id", "identifier",
	"identifiers", "idfa", "idfv", "if", "ignored", "ii", "illegal", "image", "in", "inactive",
	"inappadclick", "inappadimpr", "include", "included", "includes", "incomplete", "incorrect",
	"index", "info", "information", "initiatecheckout", "input", "inside", "installapp",
	"instead", "insufficient", "int", "integer", "internal", "into", "invalid", "ip", "is",
	"is_retargeting", "isn", "issue", "it", "item", "items", "its", "joingroup", "json", "just",
	"keep", "key", "keys", "kind", "known", "language", "large", "larger", "last", "last_name",
	"later", "launchapp", "lead", "lead_event_source", "lead_id", "least", "left", "length",
	"less", "letter", "letters", "level", "limit", "limited", "limited_data_use", "limits",
	"line", "link", "list", "lists", "live", "loanapplication", "loanapproval", "loandisbursal",
	"local", "locale", "log", "login", "long", "longer", "lookup", "lower", "lowercase", "made",
	"mail", "main", "malformed", "many", "map", "match", "matches", "matching", "max", "maximum",
	"may", "meet", "memory", "message", "method", "milliseconds", "min", "minimum", "minute",
	"minutes", "mismatch", "missing", "mode", "more", "most", "ms", "much", "multiple", "must",
	"name", "names", "need", "needed", "needs", "negative", "network", "never", "new", "next",
	"no", "non", "none", "nor", "normal", "normalized", "not", "nothing", "now", "null",
	"num_items", "number", "numbers", "numeric", "object", "objects", "occurred", "of", "off",
	"offline", "offset", "ok", "old", "older", "on", "once", "one", "ones", "only", "open",
	"open_api", "operate", "operation", "option", "optional", "or", "order", "order_id", "order_in_batch",
	"orders", "other", "others", "out", "outside", "over", "own", "page", "pageview", "pair",
	"param", "parameter", "parameters", "params", "parse", "parsed", "part", "partial",
	"partial_failure", "partially", "partner", "partner_name", "parts", "pass", "passed", "past",
	"path", "payload", "peer", "per", "percent", "period", "permission", "permissions", "phone",
	"phone_number", "phones", "pipe", "pixel", "pixel_code", "pixel_id", "pixels", "place",
	"placeanorder", "platform", "please", "point", "policy", "port", "positive", "possible",
	"post", "predicted_ltv", "present", "previous", "price", "problem", "process", "processed",
	"processing", "product", "product_group", "products", "properties", "property", "protocol",
	"provide", "provided", "proxy", "public", "purchase", "quantity", "query", "quota", "range",
	"rate", "raw", "reach", "reached", "read", "reading", "reason", "receive", "received",
	"receiving", "recent", "record", "recv", "redirect", "refer", "reference", "referrer",
	"refuse", "refused", "region", "registration", "reject", "rejected", "remote", "remove",
	"removed", "repeat", "repeated", "replace", "report", "request", "request_id", "requested",
	"requests", "require", "required", "requires", "reserved", "reset", "resolve", "resolved",
	"resolver", "resource", "response", "result", "results", "retry", "return", "returned",
	"revoked", "right", "role", "root", "route", "rule", "s", "same", "schedule", "scheduled", "scope",
	"search", "search_string", "sec", "second", "seconds", "see", "send", "sending", "sent",
	"separate", "server", "service", "set", "several", "sha", "sha256", "shop", "shop_id",
	"short", "should", "signature", "signed", "since", "single", "size", "small", "smaller",
	"socket", "some", "source", "sources", "space", "specific", "specified", "spendcredits",
	"ssl", "standard", "start", "started", "starttrial", "state", "status", "stop", "str",
	"stream", "string", "strings", "structure", "submitapplication", "submitform", "subscribe",
	"subscription", "success", "support", "supported", "supports", "syntax", "system", "t",
	"task", "test", "test_event_code", "text", "than", "that", "the", "their", "them", "then",
	"there", "these", "they", "this", "those", "tiktok", "tiktok_app_id", "time", "timed",
	"timeout", "timeouts", "times", "timestamp", "timestamps", "tls", "to", "token", "tokens",
	"too", "total", "track", "tracking", "transaction", "transfer", "true", "try", "ttclid",
	"ttp", "ttp_cookie", "tunnel", "type", "types", "unable", "unauthorized", "unavailable",
	"undefined", "under", "unexpected", "unique", "unit", "unknown", "unlimited",
	"unlockachievement", "unreachable", "unrecognized", "unsupported", "until", "up", "update",
	"updated", "upper", "uppercase", "url", "urls", "usable", "usage", "use", "used", "user",
	"user_agent", "user_data", "users", "using", "utc", "utf", "v1", "v2", "valid", "validate",
	"validated", "validation", "value", "values", "variable", "verification", "verify", "version",
	"via", "viewcontent", "was", "wasn", "way", "we", "web", "website", "were", "what", "when",
	"where", "whether", "which", "while", "who", "whole", "why", "will", "window", "with",
	"within", "without", "word", "writing", "written", "wrong", "xml", "year", "years", "yet",
	"you", "your", "zero", "zip", "zip_code"
};

/*-------------------------------------------------------------------------
 * Any bytes to UTF-8 without controls
 *-------------------------------------------------------------------------
 */

/* Controls, line separators, and characters that are invisible or change the direction of text. */
static bool
is_unwanted(uint32 code)
{
	return code < 0x20 || (code >= 0x7f && code < 0xa0) || code == 0xad ||
		(code >= 0x200b && code <= 0x200f) || (code >= 0x2028 && code <= 0x202e) ||
		(code >= 0x2060 && code <= 0x206f) || code == 0xfeff;
}

void
tte_clean(char *out, size_t size, const char *bytes, size_t len)
{
	const char *p = bytes;
	const char *end = p + len;
	size_t		used = 0;

	while (p < end)
	{
		const char *piece = p;
		int			n = tte_utf8_length(p, end - p);

		if (n == 0)
		{
			piece = "\xef\xbf\xbd";
			n = strlen(piece);
			p++;
		}
		else if (is_unwanted(tte_utf8_next(&p)))
		{
			piece = " ";
			n = 1;
		}
		if (used + n >= size)
			break;
		memcpy(out + used, piece, n);
		used += n;
	}
	out[used] = '\0';
}

/*-------------------------------------------------------------------------
 * Tokens
 *-------------------------------------------------------------------------
 */

/* What stands between two tokens. */
static bool
ends_token(char c)
{
	return c != '\0' && strchr(" ,;:()[]{}<>\"'`=|*", c) != NULL;
}

/* The end of the token that begins at p. */
static const char *
token_end(const char *p)
{
	while (*p != '\0' && !ends_token(*p))
		p++;
	return p;
}

/* Removes punctuation at both ends, which belongs to the sentence. */
static void
strip_signs(const char **start, const char **end)
{
	while (*start < *end && !tte_word_byte(**start))
		(*start)++;
	while (*end > *start && !tte_word_byte((*end)[-1]))
		(*end)--;
}

static bool
is_listed_word(const char *p, size_t len)
{
	int			lo = 0;
	int			hi = lengthof(words);

	while (lo < hi)
	{
		int			middle = (lo + hi) / 2;
		int			order = pg_strncasecmp(p, words[middle], len);

		if (order == 0 && words[middle][len] == '\0')
			return true;
		if (order > 0)
			lo = middle + 1;
		else
			hi = middle;
	}
	return false;
}

static bool
is_short_number(const char *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
	{
		if (!tte_ascii_digit(p[i]))
			return false;
	}
	return len > 0 && len <= NUMBER_DIGITS;
}

/* Is it made of small letters and underscores, at least one of each? */
static bool
is_field_name(const char *p, size_t len)
{
	bool		letter = false;
	bool		underscore = false;

	for (size_t i = 0; i < len; i++)
	{
		if (p[i] == '_')
			underscore = true;
		else if (p[i] >= 'a' && p[i] <= 'z')
			letter = true;
		else
			return false;
	}
	return letter && underscore && len <= LONGEST_NAME;
}

/*
 * Is it a listed word, two words with a sign between them, or the path of a
 * field whose first segment is listed?
 */
static bool
is_harmless_token(const char *start, const char *end)
{
	bool		path = false;

	for (const char *p = start; p <= end;)
	{
		const char *q = p;

		while (q < end && *q != '.' && *q != '-' && *q != '/')
			q++;
		if (!is_listed_word(p, q - p) &&
			!(path && (is_short_number(p, q - p) || is_field_name(p, q - p))))
			return false;
		path = q < end && *q == '.';
		p = q + 1;
	}
	return true;
}

static int
count_digits(const char *start, const char *end)
{
	int			digits = 0;

	for (const char *p = start; p < end; p++)
		digits += tte_ascii_digit(*p);
	return digits;
}

/* Is it made of digits and the signs of numbers, not of addresses? */
static bool
is_numeric(const char *start, const char *end)
{
	for (const char *p = start; p < end; p++)
	{
		if (tte_ascii_letter(*p) || IS_HIGHBIT_SET(*p) || *p == '@')
			return false;
	}
	return end > start;
}

/* Is it a number such as 12 or 12.5, or a run of them, but not a telephone number or an address? */
static bool
is_number_run(const char *p, const char **run_end)
{
	int			digits = 0;
	int			parts = 0;

	*run_end = p;
	for (;;)
	{
		const char *start = p;
		const char *end = token_end(p);

		strip_signs(&start, &end);
		if (!is_numeric(start, end))
			break;
		digits += count_digits(start, end);
		for (const char *q = start; q < end; q++)
			parts += !tte_ascii_digit(*q);
		parts++;
		*run_end = p = token_end(p);
		while (ends_token(*p))
			p++;
	}
	return digits <= NUMBER_DIGITS && parts <= 2;
}

/* Copies as many bytes as fit. */
static void
append_piece(char *out, size_t size, size_t *used, const char *piece, size_t len)
{
	if (*used + len < size)
	{
		memcpy(out + *used, piece, len);
		*used += len;
	}
}

/*
 * Copies the token at *p, masked unless it is harmless.  *kept applies to all
 * numbers up to *run_end.
 */
static void
put_token(char *out, size_t size, size_t *used, const char **p, const char **run_end, bool *kept)
{
	const char *whole_end = token_end(*p);
	const char *start = *p;
	const char *end = whole_end;
	bool		harmless;

	strip_signs(&start, &end);
	if (is_numeric(start, end))
	{
		if (*run_end <= *p)
			*kept = is_number_run(*p, run_end);
		harmless = *kept;
	}
	else
		harmless = end == start || is_harmless_token(start, end);
	append_piece(out, size, used, *p, start - *p);
	if (harmless)
		append_piece(out, size, used, start, end - start);
	else
		append_piece(out, size, used, MASK, strlen(MASK));
	append_piece(out, size, used, end, whole_end - end);
	*p = whole_end;
}

void
tte_redact(char *str, size_t size)
{
	char	   *original = pstrdup(str);
	const char *p = original;
	const char *run_end = p;
	bool		kept = false;
	size_t		used = 0;

	while (*p != '\0')
	{
		if (ends_token(*p))
			append_piece(str, size, &used, p++, 1);
		else
			put_token(str, size, &used, &p, &run_end, &kept);
	}
	str[used] = '\0';

	pfree(original);
}

/* Does the value begin at p, as a word of its own? */
static bool
stands_at(const char *str, const char *p, const char *value, size_t len)
{
	return pg_tolower((unsigned char) *p) == pg_tolower((unsigned char) *value) && pg_strncasecmp(p, value, len) == 0 &&
		!(tte_word_byte(*value) && p > str && tte_word_byte(p[-1])) &&
		!(tte_word_byte(value[len - 1]) && tte_word_byte(p[len]));
}

bool
tte_redact_value(char *str, const char *value, size_t len)
{
	char	   *end = str + strlen(str);
	bool		found = false;

	if (len < strlen(MASK))
		return false;			/* a shorter value identifies nobody */
	for (char *p = str; (size_t) (end - p) >= len; p++)
	{
		if (!stands_at(str, p, value, len))
			continue;
		memcpy(p, MASK, strlen(MASK));
		memmove(p + strlen(MASK), p + len, end - (p + len) + 1);
		end -= len - strlen(MASK);
		p += strlen(MASK) - 1;
		found = true;
	}
	return found;
}
