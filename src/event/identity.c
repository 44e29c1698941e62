/*-------------------------------------------------------------------------
 *
 * identity.c
 *	  Match keys: what a raw identifier becomes, and why one is left out.
 *
 * Two systems match a person only if both make the same bytes of the same
 * input.  So each rule is one that TikTok publishes, or, where it publishes
 * none, the rule that changes least.  A value that cannot be normalised is
 * left out with a reason: a wrong hash is worse than none.
 *
 *-------------------------------------------------------------------------
 */
#include "event/identity_value.h"

/* pg_config.h says so for most builds; the plain SHA256 functions need it. */
#ifndef OPENSSL_API_COMPAT
#define OPENSSL_API_COMPAT 0x10101000L
#endif
#include <openssl/sha.h>

#include "event/address.h"
#include "event/ascii.h"
#include "event/phone.h"
#include "event/unicode.h"
#include "event/url.h"

#define MAX_USER_AGENT	2048	/* bytes */
#define LONGEST_JUNK	15

/* Replaces a lost character, so the value is not what was typed. */
#define REPLACEMENT		0xFFFD

typedef struct Kind
{
	bool		hashed;
	int			max_chars;		/* 0: cut by cut_length() */
} Kind;

static const Kind kinds[] = {
#define TTE_IDENTIFIER(symbol, name, sources, hashed, longest, rule) {hashed, longest},
#include "event/identifier_list.h"
#undef TTE_IDENTIFIER
};

const char *const tte_identifier_names[TTE_IDENTIFIERS] = {
#define TTE_IDENTIFIER(symbol, name, sources, hashed, longest, rule) name,
#include "event/identifier_list.h"
#undef TTE_IDENTIFIER
};

StaticAssertDecl(lengthof(kinds) == TTE_IDENTIFIERS, "TTE_IDENTIFIERS must count the list");

int
tte_identifier_find(const char *name)
{
	for (int i = 0; i < TTE_IDENTIFIERS; i++)
	{
		if (strcmp(tte_identifier_names[i], name) == 0)
			return i;
	}
	return -1;
}

bool
tte_identifier_hashed(TteIdentifier kind)
{
	return kinds[kind].hashed;
}

/*
 * Hashes
 */

bool
tte_is_hex(const char *str, int len)
{
	for (int i = 0; i < len; i++)
	{
		if (tte_hex_digit(str[i]) < 0)
			return false;
	}
	return true;
}

static bool
is_lower_sha256(const char *str, int len)
{
	if (len != TTE_HEX_LEN)
		return false;
	for (int i = 0; i < len; i++)
	{
		if (!((str[i] >= '0' && str[i] <= '9') || (str[i] >= 'a' && str[i] <= 'f')))
			return false;
	}
	return true;
}

/*
 * The plain functions take a seventh of the time of SHA256(), which looks up
 * its algorithm by name each time, and they cannot fail.
 */
void
tte_sha256_hex(const char *bytes, int len, char hex[TTE_HEX_LEN + 1])
{
	static const char digits[] = "0123456789abcdef";
	unsigned char digest[SHA256_DIGEST_LENGTH];
	SHA256_CTX	context;

	SHA256_Init(&context);
	SHA256_Update(&context, bytes, len);
	SHA256_Final(digest, &context);
	for (int i = 0; i < SHA256_DIGEST_LENGTH; i++)
	{
		hex[2 * i] = digits[digest[i] >> 4];
		hex[2 * i + 1] = digits[digest[i] & 0xF];
	}
	hex[TTE_HEX_LEN] = '\0';
}

/* Hashes of values that programs write when they have none. */
static const char *const junk_hashes[] = {
	"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", /* empty */
	"a318c24216defe206feeb73ef5be00033fa9c4a74d0b967f6532a26ca5906d3b", /* + */
	"3973e022e93220f9212c18d0d0c543ae7c309e46640da93a4a0314de999f5112", /* - */
	"5feceb66ffc86f38d952786c6d696c79c2dbc239dd4e91b46729d73a27fb57e9", /* 0 */
	"74234e98afe7498fb5daf1f36ac2d78acc339464f950703b8c019892f982b90b", /* null */
	"fb329000228cc5a24c264c57139de8bf854fc86fc18bf1c04ab61a2b5cb4b921", /* NULL */
	"dc937b59892604f5a86ac96936cd7ff09e25f18ae6b758e8014a24c7fa039e91", /* None */
	"140bedbf9c3f6d56a9846d2ba7088798683f4da0c248231336e6a05679e4fdfe", /* none */
	"eb045d78d273107348b0300c01d29b7552d622abbc6faf81b3ec55359aa9950c", /* undefined */
	"9b2d5b4678781e53038e91ea5324530a03f27dc1d0e5f6c9bc9d493a23be9de0", /* nan */
	"12b9377cbe7e5c94e8a70d9d23929523d14afa954793130f8a3959c7b849aca8"	/* zero UUID */
};

static bool
is_junk_hash(const char *hash)
{
	for (int i = 0; i < lengthof(junk_hashes); i++)
	{
		if (memcmp(junk_hashes[i], hash, TTE_HEX_LEN) == 0)
			return true;
	}
	return false;
}

/* A SHA-256 that the caller made comes out in lower case. */
static const char *
take_hash(const TteIdentifierValue *value, StringInfo out)
{
	char		hash[TTE_HEX_LEN];

	for (int i = 0; i < TTE_HEX_LEN; i++)
		hash[i] = pg_ascii_tolower((unsigned char) value->at[i]);
	if (is_junk_hash(hash))
		return "junk";
	tte_append(out, hash, TTE_HEX_LEN);
	return NULL;
}

/* Rules for all kinds */

/* Characters without width that change how letters are written, as in Persian names. */
bool
tte_is_joiner(TteIdentifier kind, uint32 code)
{
	return (code == 0x200C || code == 0x200D) && (kind == TTE_FIRST_NAME || kind == TTE_LAST_NAME);
}

/* Checks characters beyond ASCII: valid, and neither control nor format characters? */
static const char *
inspect_wide(TteIdentifier kind, const TteIdentifierValue *value, int max_chars, bool controls_allowed)
{
	const char *at = value->at;
	const char *end = at + value->len;
	int			chars = 0;

	if (!tte_utf8_valid(value->at, value->len))
		return "encoding";
	while (at < end)
	{
		uint32		code = tte_utf8_next(&at);

		if (code == REPLACEMENT)
			return "encoding";
		if (!controls_allowed && tte_unicode_control(code) && !tte_is_joiner(kind, code))
			return "control";
		chars++;
	}
	return (max_chars > 0 && chars > max_chars) ? "too_long" : NULL;
}

/* Checks that text is valid, short enough and without control characters. */
static const char *
inspect(TteIdentifier kind, TteIdentifierValue *value)
{
	int			max_chars = kinds[kind].max_chars;
	bool		controls_allowed = (kind == TTE_USER_AGENT || kind == TTE_PHONE);
	bool		control = false;
	unsigned char all = 0;

	value->ascii = true;
	if (kind == TTE_EXTERNAL_ID && value->len > max_chars)
		return "too_long";
	if (max_chars > 0 && value->len > 4 * max_chars)
		return "too_long";
	for (int i = 0; i < value->len; i++)
	{
		unsigned char c;

		i += tte_plain_length(value->at + i, value->len - i);
		if (i == value->len)
			break;
		c = value->at[i];
		all |= c;
		control |= (c < 0x20 || c == 0x7F);
		if (c == '\0')
			return "encoding";
	}
	value->ascii = (all < 0x80);
	if (!value->ascii)
	{
		const char *reason = inspect_wide(kind, value, max_chars, controls_allowed);

		if (reason != NULL)
			return reason;
	}
	else if (max_chars > 0 && value->len > max_chars)
		return "too_long";
	return (control && !controls_allowed) ? "control" : NULL;
}

/* What programs write when they have no value; also in other letter case. */
static const TteWord junk_words[] = {
	TTE_WORD("0"), TTE_WORD("+"), TTE_WORD("-"), TTE_WORD("--"), TTE_WORD("."),
	TTE_WORD("null"), TTE_WORD("(null)"), TTE_WORD("<null>"), TTE_WORD("undefined"),
	TTE_WORD("none"), TTE_WORD("n/a"), TTE_WORD("[object object]"), TTE_WORD("__clickid__")
};

/* The same, but they may also be names, places or languages. */
static const TteWord junk_id_words[] = {TTE_WORD("na"), TTE_WORD("nil"), TTE_WORD("nan")};

static const char zero_uuid[] = "00000000-0000-0000-0000-000000000000";

static bool
is_word(const TteIdentifierValue *value, const TteWord *words, int count)
{
	for (int i = 0; i < count; i++)
	{
		if (value->len == words[i].len &&
			pg_strncasecmp(value->at, words[i].text, value->len) == 0)
			return true;
	}
	return false;
}

static bool
is_junk_text(TteIdentifier kind, const char *str, int len)
{
	TteIdentifierValue value = {str, len, true};

	if (kinds[kind].hashed && is_lower_sha256(str, len))
		return is_junk_hash(str);
	if (len > LONGEST_JUNK)
		return kind <= TTE_TTP && len == strlen(zero_uuid) && memcmp(str, zero_uuid, len) == 0;
	if (is_word(&value, junk_words, lengthof(junk_words)))
		return true;
	return (kind <= TTE_TTP || kind == TTE_ZIP_CODE) &&
		is_word(&value, junk_id_words, lengthof(junk_id_words));
}

void
tte_append_lower(StringInfo out, const TteIdentifierValue *value)
{
	enlargeStringInfo(out, value->len);
	for (int i = 0; i < value->len; i++)
	{
		char		c = value->at[i];

		out->data[out->len + i] = pg_ascii_tolower((unsigned char) c);
	}
	out->len += value->len;
	out->data[out->len] = '\0';
}

void
tte_append_code(StringInfo out, uint32 code)
{
	char		bytes[4];

	tte_append(out, bytes, tte_utf8_encode(code, bytes));
}

static void
append_upper(StringInfo out, const TteIdentifierValue *value)
{
	for (int i = 0; i < value->len; i++)
		appendStringInfoCharMacro(out, pg_ascii_toupper((unsigned char) value->at[i]));
}

/*
 * E-mail, phone, external id
 */

/* MD5 and SHA-1 hashes, which some people have for other networks. */
static bool
is_other_hash(const TteIdentifierValue *value)
{
	return (value->len == 32 || value->len == 40) && tte_is_hex(value->at, value->len);
}

static const char *
normalize_phone(const TteIdentifierValue *value, const TteIdentityRules *rules, StringInfo out)
{
	TtePhone	phone;
	const char *reason;

	if (is_other_hash(value))
		return "not_sha256";
	if (rules->previous)
		reason = tte_phone_previous(value->at, value->len, rules->calling_code, &phone);
	else
		reason = tte_phone_read(value->at, value->len, rules->calling_code, &phone);
	if (reason == NULL)
		appendStringInfoString(out, phone.number);
	return reason;
}

static const char *
normalize_external_id(const TteIdentifierValue *value, const TteIdentityRules *rules, StringInfo out)
{
	const char *at = value->at;
	const char *end = at + value->len;

	if (!rules->lower_external_id)
		tte_append(out, value->at, value->len);
	else if (value->ascii)
		tte_append_lower(out, value);
	else
	{
		while (at < end)
			tte_append_code(out, tte_unicode_lower(tte_utf8_next(&at)));
	}
	return NULL;
}

/* Identifiers that are sent unhashed */

/* Language, then script, region and variants: en, en-US, zh_Hant_TW. */
static const char *
normalize_locale(const TteIdentifierValue *value, StringInfo out)
{
	int			part = 0;
	int			len = 0;

	for (int i = 0; i <= value->len; i++)
	{
		char		c = i < value->len ? value->at[i] : '-';

		if (c == '-' || c == '_')
		{
			if (len == 0 || len > (part == 0 ? 3 : 8) || (part == 0 && len < 2))
				return "locale_syntax";
			part++;
			len = 0;
		}
		else if (tte_ascii_letter(c) || (tte_ascii_digit(c) && part > 0))
			len++;
		else
			return "locale_syntax";
	}
	tte_append(out, value->at, value->len);
	return NULL;
}

/* An advertising or vendor id: hex digits and dashes, not all zero. */
static const char *
normalize_device_id(TteIdentifier kind, const TteIdentifierValue *value, StringInfo out)
{
	int			digits = 0;
	bool		zero = true;

	if (value->len == TTE_HEX_LEN && tte_is_hex(value->at, value->len))
	{
		if (kind == TTE_IDFV)
			return "hashed";
		return take_hash(value, out) != NULL ? "zero_id" : NULL;
	}
	for (int i = 0; i < value->len; i++)
	{
		if (value->at[i] == '-')
			continue;
		if (!tte_is_hex(value->at + i, 1))
			return "id_syntax";
		digits++;
		zero = zero && value->at[i] == '0';
	}
	if (zero && digits > 0)
		return "zero_id";
	if (digits < 16 || digits > 32)
		return "id_syntax";
	if (kind == TTE_IDFA)
		append_upper(out, value);
	else if (kind == TTE_GAID)
		tte_append_lower(out, value);
	else
		tte_append(out, value->at, value->len);
	return NULL;
}

static const char *
normalize_att_status(const TteIdentifierValue *value, StringInfo out)
{
	static const TteWord allowed[] = {
		TTE_WORD("AUTHORIZED"), TTE_WORD("DENIED"), TTE_WORD("NOT_DETERMINED"),
		TTE_WORD("RESTRICTED"), TTE_WORD("NOT_APPLICABLE")
	};

	for (int i = 0; i < lengthof(allowed); i++)
	{
		if (is_word(value, &allowed[i], 1))
		{
			tte_append(out, allowed[i].text, allowed[i].len);
			return NULL;
		}
	}
	return "att_status";
}

/*
 * The length to which a user agent is cut, at the end of a character.  It is
 * the one identifier that is cut: an agent this long is unusual, and its start
 * is enough.
 */
static int
cut_length(const char *value, int len)
{
	int			cut = Min(len, MAX_USER_AGENT);

	while (cut < len && cut > MAX_USER_AGENT - 4 &&
		   ((unsigned char) value[cut] & 0xC0) == 0x80)
		cut--;
	return cut;
}

static const char *
normalize(TteIdentifier kind, const TteIdentifierValue *value, const TteIdentityRules *rules, StringInfo out)
{
	switch (kind)
	{
		case TTE_EMAIL:
			return is_other_hash(value) ? "not_sha256" : tte_email_normalize(value, rules, out);
		case TTE_PHONE:
			return normalize_phone(value, rules, out);
		case TTE_EXTERNAL_ID:
			return normalize_external_id(value, rules, out);
		case TTE_TTCLID:
		case TTE_TTP:
			if (tte_is_macro(value->at, value->len))
				return "macro";
			tte_append(out, value->at, value->len);
			return NULL;
		case TTE_USER_AGENT:
			tte_append(out, value->at, value->len);
			return NULL;
		case TTE_IP:
			return tte_address_normalize(value->at, value->len, out);
		case TTE_LOCALE:
			return normalize_locale(value, out);
		case TTE_IDFA:
		case TTE_IDFV:
		case TTE_GAID:
			return normalize_device_id(kind, value, out);
		case TTE_ATT_STATUS:
			return normalize_att_status(value, out);
		case TTE_FIRST_NAME:
		case TTE_LAST_NAME:
			return tte_name_normalize(value, out);
		case TTE_COUNTRY:
			return tte_country_normalize(value, out);
		case TTE_CITY:
		case TTE_STATE:
			return tte_place_normalize(kind, value, rules, out);
		case TTE_ZIP_CODE:
			return tte_zip_code_normalize(value, rules, out);
	}
	return "type";
}

/* Is it an invisible character that was copied along with the text? */
static bool
means_nothing(TteIdentifier kind, uint32 code)
{
	return code >= 0xA0 && tte_unicode_control(code) && !tte_is_joiner(kind, code);
}

/*
 * Removes invisible characters, and makes all blanks ASCII blanks, in kinds
 * that are not sent as they are.
 */
static void
drop_marks(TteIdentifier kind, TteIdentifierValue *value)
{
	const char *at = value->at;
	const char *end = at + value->len;
	char	   *copy;
	char	   *to;

	if (value->len > 4 * TTE_MAX_EMAIL || !tte_utf8_valid(at, value->len))
		return;
	copy = to = palloc(value->len);
	while (at < end)
	{
		const char *start = at;
		uint32		code = tte_utf8_next(&at);

		if (means_nothing(kind, code))
			continue;
		if (kind == TTE_EMAIL && code >= 0x80 && tte_unicode_blank(code))
			*to++ = ' ';
		else
		{
			memcpy(to, start, at - start);
			to += at - start;
		}
	}
	value->at = copy;
	value->len = to - copy;
	tte_unicode_trim(&value->at, &value->len);
}

const char *
tte_identifier_normalize(TteIdentifier kind, const char *value, int len,
						 const TteIdentityRules *rules, StringInfo out)
{
	TteIdentifierValue given;
	int			start = out->len;
	const char *reason;

	if (kind == TTE_USER_AGENT)
		len = cut_length(value, len);
	given = (TteIdentifierValue) {value, len, false};
	tte_unicode_trim(&given.at, &given.len);
	if (given.len == 0)
		return "";
	if (kind == TTE_USER_AGENT)
	{
		given.at = value;
		given.len = len;
	}
	reason = inspect(kind, &given);
	if (!given.ascii && kind != TTE_USER_AGENT && kind != TTE_PHONE && (kind < TTE_EXTERNAL_ID || kind > TTE_TTP))
	{
		drop_marks(kind, &given);
		reason = inspect(kind, &given);
	}
	if (reason != NULL)
		return reason;
	if (is_junk_text(kind, given.at, given.len))
		return "junk";
	if (kinds[kind].hashed && given.len == TTE_HEX_LEN && tte_is_hex(given.at, given.len))
		return take_hash(&given, out);
	reason = normalize(kind, &given, rules, out);
	if (reason == NULL && is_junk_text(kind, out->data + start, out->len - start))
		reason = "junk";
	if (reason != NULL)
	{
		/* undo what was appended before the problem was found */
		out->len = start;
		out->data[start] = '\0';
	}
	return reason;
}

/*
 * The form on the wire
 */

void
tte_identifier_wire(TteIdentifier kind, const char *normalized, int len, StringInfo out)
{
	char		hex[TTE_HEX_LEN + 1];

	if (!kinds[kind].hashed || is_lower_sha256(normalized, len))
	{
		tte_append(out, normalized, len);
		return;
	}
	tte_sha256_hex(normalized, len, hex);
	tte_append(out, hex, TTE_HEX_LEN);
}

static bool
append_wire_string(StringInfo out, TteIdentifier kind, const TteJson *value, bool ascii)
{
	if (value->kind != TTE_JSON_STRING || value->len == 0)
		return false;
	if (!kinds[kind].hashed)
	{
		tte_json_append_string(out, value->text, value->len, ascii);
		return true;
	}
	appendStringInfoCharMacro(out, '"');
	tte_identifier_wire(kind, value->text, value->len, out);
	appendStringInfoCharMacro(out, '"');
	return true;
}

static bool
append_wire_values(StringInfo out, TteIdentifier kind, const TteJson *value, bool ascii)
{
	if (value->kind != TTE_JSON_ARRAY)
		return append_wire_string(out, kind, value, ascii);
	if (value->count == 0 || kind > TTE_EXTERNAL_ID)
		return false;
	appendStringInfoCharMacro(out, '[');
	for (const TteJson *e = value->first; e != NULL; e = e->next)
	{
		if (e != value->first)
			appendStringInfoCharMacro(out, ',');
		if (!append_wire_string(out, kind, e, ascii))
			return false;
	}
	appendStringInfoCharMacro(out, ']');
	return true;
}

static int
kind_of_key(const TteJson *member)
{
	for (int i = 0; i < TTE_IDENTIFIERS; i++)
	{
		if (member->keylen == strlen(tte_identifier_names[i]) &&
			memcmp(member->key, tte_identifier_names[i], member->keylen) == 0)
			return i;
	}
	return -1;
}

static bool
append_wire_object(StringInfo out, const TteJson *user, bool ascii)
{
	appendStringInfoCharMacro(out, '{');
	for (const TteJson *m = user->first; m != NULL; m = m->next)
	{
		int			kind = kind_of_key(m);

		if (kind < 0)
			return false;
		if (m != user->first)
			appendStringInfoCharMacro(out, ',');
		appendStringInfoCharMacro(out, '"');
		tte_append(out, m->key, m->keylen);
		tte_append(out, "\":", 2);
		if (!append_wire_values(out, kind, m, ascii))
			return false;
	}
	appendStringInfoCharMacro(out, '}');
	return true;
}

bool
tte_identity_append_user(StringInfo out, const char *user_data, int len, bool ascii)
{
	TteJson		nodes[40];		/* enough for all identifiers of an event */
	TteJson    *user = tte_json_parse_with(nodes, lengthof(nodes), user_data, len, NULL);
	int			start = out->len;

	if (user != NULL && user->kind == TTE_JSON_OBJECT && user->count > 0 &&
		append_wire_object(out, user, ascii))
		return true;
	out->len = start;
	out->data[start] = '\0';
	return false;
}
