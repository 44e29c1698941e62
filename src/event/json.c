/*-------------------------------------------------------------------------
 *
 * json.c
 *	  JSON text: a reader that never throws and an exact writer.
 *
 * The reader makes one pass and builds a tree of TteJson nodes, taken from
 * blocks rather than one by one: most events have a few dozen.  It recurses
 * once per level of nesting, and TTE_JSON_MAX_DEPTH ends that early.
 *
 *-------------------------------------------------------------------------
 */
#include "event/json.h"
#include "event/ascii.h"

typedef struct Reader
{
	const char *at;
	const char *end;
	const char *why;			/* set at the first mistake */
	int			depth;
	int			budget;			/* nodes that may still be made */
	TteJson    *nodes;			/* the current block */
	int			left;			/* unused nodes in it */
	int			block;			/* size of the next block */
} Reader;

/* Up to this many members, equal keys are found by comparing each with each. */
#define FEW_MEMBERS		16

static bool read_value(Reader *r, TteJson *into);

/*
 * The writer
 */

/*
 * How many invalid bytes one U+FFFD replaces: the longest prefix of a
 * character, as Unicode recommends.
 */
static int
utf8_broken_length(const unsigned char *str, size_t len)
{
	unsigned char c = str[0];
	unsigned char pad[4] = {c, 0x80, 0x80, 0x80};
	int			need = (c < 0xE0) ? 2 : (c < 0xF0) ? 3 : 4;
	int			n = 1;

	if (c < 0xC2 || c > 0xF4)
		return 1;
	if (c == 0xE0)
		pad[1] = 0xA0;
	else if (c == 0xF0)
		pad[1] = 0x90;
	while (n < need - 1 && n < len && (str[n] & 0xC0) == 0x80)
	{
		pad[n] = str[n];
		if (tte_utf8_length((const char *) pad, need) == 0)
			break;
		n++;
	}
	return n;
}

static void
append_unit(StringInfo out, uint32 unit)
{
	static const char hex[] = "0123456789abcdef";
	char		escape[6] = {'\\', 'u'};

	escape[2] = hex[(unit >> 12) & 0xF];
	escape[3] = hex[(unit >> 8) & 0xF];
	escape[4] = hex[(unit >> 4) & 0xF];
	escape[5] = hex[unit & 0xF];
	tte_append(out, escape, 6);
}

static void
append_escaped(StringInfo out, uint32 code)
{
	if (code >= 0x10000)
	{
		append_unit(out, 0xD800 + ((code - 0x10000) >> 10));
		append_unit(out, 0xDC00 + ((code - 0x10000) & 0x3FF));
	}
	else
		append_unit(out, code);
}

/* Appends an ASCII character that needs escaping. */
static void
append_special(StringInfo out, unsigned char c)
{
	char		pair[2] = {'\\', 0};

	switch (c)
	{
		case '"':
		case '\\':
			pair[1] = c;
			break;
		case '\n':
			pair[1] = 'n';
			break;
		case '\r':
			pair[1] = 'r';
			break;
		case '\t':
			pair[1] = 't';
			break;
		default:
			append_unit(out, c);
			return;
	}
	tte_append(out, pair, 2);
}

/* Appends a character beyond ASCII; len is its valid length, not 0. */
static void
append_wide(StringInfo out, const char *str, int len, bool ascii)
{
	const char *at = str;
	uint32		code = tte_utf8_next(&at);

	/* C1 controls, and characters that end a line in JavaScript */
	if (ascii || code < 0xA0 || code == 0x2028 || code == 0x2029)
		append_escaped(out, code);
	else
		tte_append(out, str, len);
}

bool
tte_json_append_string(StringInfo out, const char *str, int len, bool ascii)
{
	const char *at = str;
	const char *end = str + len;
	bool		exact = true;

	appendStringInfoCharMacro(out, '"');
	while (at < end)
	{
		int			n = tte_plain_length(at, end - at);

		if (n > 0)
			tte_append(out, at, n);
		at += n;
		if (at == end)
			break;
		n = tte_utf8_length(at, end - at);
		if (n == 1 && *at == '\0')
			exact = false;
		else if (n == 1)
			append_special(out, *at);
		else if (n > 1)
			append_wide(out, at, n, ascii);
		else
		{
			exact = false;
			append_wide(out, "\xEF\xBF\xBD", 3, ascii);
			n = utf8_broken_length((const unsigned char *) at, end - at);
		}
		at += n;
	}
	appendStringInfoCharMacro(out, '"');
	return exact;
}

/*
 * The reader
 */

static bool
mistake(Reader *r, const char *why)
{
	if (r->why == NULL)
		r->why = why;
	return false;
}

static void
skip_blanks(Reader *r)
{
	while (r->at < r->end &&
		   (*r->at == ' ' || *r->at == '\t' || *r->at == '\n' || *r->at == '\r'))
		r->at++;
}

static TteJson *
new_node(Reader *r)
{
	TteJson    *node;

	if (--r->budget < 0)
	{
		mistake(r, "size");
		return NULL;
	}
	if (r->left == 0)
	{
		r->nodes = palloc(r->block * sizeof(TteJson));
		r->left = r->block;
		if (r->block < 1024)
			r->block *= 2;
	}
	r->left--;
	node = r->nodes++;
	memset(node, 0, sizeof(TteJson));
	return node;
}

/* Four hex digits at str, or -1. */
static int
hex_unit(const char *str, const char *end)
{
	int			unit = 0;

	if (end - str < 4)
		return -1;
	for (int i = 0; i < 4; i++)
	{
		int			digit = tte_hex_digit(str[i]);

		if (digit < 0)
			return -1;
		unit = unit * 16 + digit;
	}
	return unit;
}

/*
 * Reads the escape \uXXXX (r->at is behind the "u") and the second half of a
 * pair.  PostgreSQL cannot store NUL, and half a pair is not a character: NUL
 * is removed, a half becomes U+FFFD, and *fixed is set.
 */
static bool
read_unicode_escape(Reader *r, char **to, bool *fixed)
{
	int			unit = hex_unit(r->at, r->end);
	uint32		code = unit;

	if (unit < 0)
		return mistake(r, "syntax");
	r->at += 4;
	if (unit == 0)
	{
		*fixed = true;
		return true;
	}
	if (unit >= 0xD800 && unit <= 0xDFFF)
	{
		int			second = -1;

		if (unit < 0xDC00 && r->end - r->at >= 6 && r->at[0] == '\\' && r->at[1] == 'u')
			second = hex_unit(r->at + 2, r->end);
		/* cppcheck-suppress knownConditionTrueFalse ; hex_unit() has set it */
		if (second >= 0xDC00 && second <= 0xDFFF)
		{
			code = 0x10000 + ((unit - 0xD800) << 10) + (second - 0xDC00);
			r->at += 6;
		}
		else
		{
			code = 0xFFFD;
			*fixed = true;
		}
	}
	*to += tte_utf8_encode(code, *to);
	return true;
}

/* Reads one escape; r->at is behind the backslash. */
static bool
read_escape(Reader *r, char **to, bool *fixed)
{
	char		c;

	if (r->at == r->end)
		return mistake(r, "syntax");
	c = *r->at++;
	switch (c)
	{
		case '"':
		case '\\':
		case '/':
			break;
		case 'b':
			c = '\b';
			break;
		case 'f':
			c = '\f';
			break;
		case 'n':
			c = '\n';
			break;
		case 'r':
			c = '\r';
			break;
		case 't':
			c = '\t';
			break;
		case 'u':
			return read_unicode_escape(r, to, fixed);
		default:
			return mistake(r, "syntax");
	}
	*(*to)++ = c;
	return true;
}

/* The closing quote of the string that starts at str, or NULL. */
static const char *
string_end(const char *str, const char *end, bool *escapes)
{
	for (;; str++)
	{
		unsigned char c;

		str += tte_plain_length(str, end - str);
		if (str >= end)
			return NULL;
		c = *str;
		if (c == '"')
			return str;
		if (c < 0x20)
			return NULL;
		if (c == '\\')
		{
			*escapes = true;
			if (++str == end)
				return NULL;
		}
	}
}

/* Reads a string; r->at is behind the opening quote.  Decoding never makes it longer. */
static bool
read_string(Reader *r, const char **str, int *len, bool *fixed)
{
	const char *start = r->at;
	bool		escapes = false;
	const char *close = string_end(start, r->end, &escapes);
	const char *whole = r->end;
	char	   *to;

	if (close == NULL)
		return mistake(r, "syntax");
	if (!escapes)
	{
		*str = start;
		*len = close - start;
		r->at = close + 1;
		return true;
	}
	to = palloc(close - start + 1);
	*str = to;
	r->end = close;
	while (r->at < close)
	{
		if (*r->at != '\\')
			*to++ = *r->at++;
		else
		{
			r->at++;
			if (!read_escape(r, &to, fixed))
				return false;
		}
	}
	r->end = whole;
	r->at = close + 1;
	*to = '\0';
	*len = to - *str;
	return true;
}

static bool
skip_digits(Reader *r)
{
	const char *start = r->at;

	while (r->at < r->end && tte_ascii_digit(*r->at))
		r->at++;
	return r->at > start;
}

static bool
read_number(Reader *r, TteJson *into)
{
	const char *start = r->at;
	const char *first;

	if (*r->at == '-')
		r->at++;
	first = r->at;
	if (!skip_digits(r) || (*first == '0' && r->at - first > 1))
		return mistake(r, "syntax");
	if (r->at < r->end && *r->at == '.')
	{
		r->at++;
		if (!skip_digits(r))
			return mistake(r, "syntax");
	}
	if (r->at < r->end && (*r->at == 'e' || *r->at == 'E'))
	{
		r->at++;
		if (r->at < r->end && (*r->at == '+' || *r->at == '-'))
			r->at++;
		if (!skip_digits(r))
			return mistake(r, "syntax");
	}
	into->kind = TTE_JSON_NUMBER;
	into->text = start;
	into->len = r->at - start;
	return true;
}

static bool
read_word(Reader *r, const char *word)
{
	size_t		len = strlen(word);

	if (r->end - r->at < len || memcmp(r->at, word, len) != 0)
		return mistake(r, "syntax");
	r->at += len;
	return true;
}

static int
compare_keys(const TteJson *a, const TteJson *b)
{
	if (a->keylen != b->keylen)
		return a->keylen < b->keylen ? -1 : 1;
	return memcmp(a->key, b->key, a->keylen);
}

typedef struct Member
{
	TteJson    *json;
	int			number;
} Member;

/* Order by key, and by position if keys are equal. */
static int
compare_members(const void *a, const void *b)
{
	const Member *first = a;
	const Member *second = b;
	int			result = compare_keys(first->json, second->json);

	return result != 0 ? result : first->number - second->number;
}

/* Gives all but the last of equal keys a negative length. */
static bool
mark_repeated_sorted(TteJson *object)
{
	Member	   *members = palloc(object->count * sizeof(*members));
	bool		found = false;
	int			n = 0;

	for (TteJson *m = object->first; m != NULL; m = m->next)
	{
		members[n].json = m;
		members[n].number = n;
		n++;
	}
	qsort(members, n, sizeof(*members), compare_members);
	for (int i = 0; i + 1 < n; i++)
	{
		if (compare_keys(members[i].json, members[i + 1].json) == 0)
		{
			members[i].json->keylen = -1;
			found = true;
		}
	}
	pfree(members);
	return found;
}

static bool
mark_repeated(TteJson *object)
{
	bool		found = false;

	if (object->count > FEW_MEMBERS)
		return mark_repeated_sorted(object);
	for (TteJson *a = object->first; a != NULL; a = a->next)
	{
		for (const TteJson *b = a->next; b != NULL; b = b->next)
		{
			if (compare_keys(a, b) == 0)
			{
				a->keylen = -1;
				found = true;
				break;
			}
		}
	}
	return found;
}

static void
unlink_repeated(TteJson *object)
{
	TteJson   **link = &object->first;

	if (!mark_repeated(object))
		return;
	object->repeated = true;
	while (*link != NULL)
	{
		if ((*link)->keylen < 0)
		{
			*link = (*link)->next;
			object->count--;
		}
		else
			link = &(*link)->next;
	}
}

/* Reads the key and the colon of a member. */
static bool
read_key(Reader *r, TteJson *member)
{
	bool		fixed = false;

	if (r->at == r->end || *r->at != '"')
		return mistake(r, "syntax");
	r->at++;
	if (!read_string(r, &member->key, &member->keylen, &fixed))
		return false;
	skip_blanks(r);
	if (r->at == r->end || *r->at != ':')
		return mistake(r, "syntax");
	r->at++;
	return true;
}

/* Reads the elements of an array or object; r->at is behind the opening bracket. */
static bool
read_elements(Reader *r, TteJson *into, char close)
{
	TteJson   **link = &into->first;

	if (++r->depth > TTE_JSON_MAX_DEPTH)
		return mistake(r, "depth");
	skip_blanks(r);
	while (r->at < r->end && (*r->at != close || into->count > 0))
	{
		TteJson    *element = new_node(r);

		if (element == NULL)
			return false;
		skip_blanks(r);
		if (close == '}' && !read_key(r, element))
			return false;
		if (!read_value(r, element))
			return false;
		*link = element;
		link = &element->next;
		into->count++;
		skip_blanks(r);
		if (r->at < r->end && *r->at == close)
			break;
		if (r->at == r->end || *r->at != ',')
			return mistake(r, "syntax");
		r->at++;
	}
	if (r->at == r->end)
		return mistake(r, "syntax");
	r->at++;
	r->depth--;
	if (close == '}' && into->count > 1)
		unlink_repeated(into);
	return true;
}

/* Fills a node; the caller sets its key and next. */
static bool
read_value(Reader *r, TteJson *into)
{
	skip_blanks(r);
	if (r->at == r->end)
		return mistake(r, "syntax");
	switch (*r->at)
	{
		case '{':
			r->at++;
			into->kind = TTE_JSON_OBJECT;
			return read_elements(r, into, '}');
		case '[':
			r->at++;
			into->kind = TTE_JSON_ARRAY;
			return read_elements(r, into, ']');
		case '"':
			r->at++;
			into->kind = TTE_JSON_STRING;
			return read_string(r, &into->text, &into->len, &into->fixed);
		case 't':
			into->kind = TTE_JSON_BOOL;
			into->boolean = true;
			return read_word(r, "true");
		case 'f':
			into->kind = TTE_JSON_BOOL;
			return read_word(r, "false");
		case 'n':
			into->kind = TTE_JSON_NULL;
			return read_word(r, "null");
		default:
			return read_number(r, into);
	}
}

TteJson *
tte_json_parse_with(TteJson *nodes, int count, const char *str, size_t len,
					const char **why)
{
	Reader		r = {0};
	TteJson    *value;

	r.at = str;
	r.end = str + len;
	r.nodes = nodes;
	r.left = count;
	r.block = 16;
	r.budget = TTE_JSON_MAX_NODES;
	if (len > TTE_JSON_MAX_TEXT)
		mistake(&r, "size");
	else if ((value = new_node(&r)) != NULL && read_value(&r, value))
	{
		skip_blanks(&r);
		if (r.at == r.end)
			return value;
		mistake(&r, "syntax");
	}
	if (why != NULL)
		*why = r.why;
	return NULL;
}

TteJson *
tte_json_parse(const char *str, size_t len, const char **why)
{
	return tte_json_parse_with(NULL, 0, str, len, why);
}

const TteJson *
tte_json_get(const TteJson *object, const char *key)
{
	int			len = strlen(key);

	if (object == NULL || object->kind != TTE_JSON_OBJECT)
		return NULL;
	for (const TteJson *m = object->first; m != NULL; m = m->next)
	{
		if (m->keylen == len && memcmp(m->key, key, len) == 0)
			return m;
	}
	return NULL;
}

/*
 * Values that do not come from JSON text
 */

static TteJson *
make_node(TteJsonKind kind, const char *str, int len)
{
	TteJson    *node = palloc0(sizeof(TteJson));

	node->kind = kind;
	node->text = str;
	node->len = len;
	return node;
}

TteJson *
tte_json_string(const char *str, int len)
{
	return make_node(TTE_JSON_STRING, str, len);
}

TteJson *
tte_json_number(const char *literal, int len)
{
	return make_node(TTE_JSON_NUMBER, literal, len);
}

TteJson *
tte_json_bool(bool value)
{
	TteJson    *node = make_node(TTE_JSON_BOOL, NULL, 0);

	node->boolean = value;
	return node;
}
