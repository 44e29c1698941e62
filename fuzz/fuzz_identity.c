/*-------------------------------------------------------------------------
 *
 * fuzz_identity.c
 *	  libFuzzer target: the normaliser of identifiers.
 *
 * The first byte chooses the kind, the second the calling code and whether
 * external ids are lowered, the third the country; the rest is the value.
 *
 *-------------------------------------------------------------------------
 */
#include "event/identity.h"
#include "event/phone.h"

#include "fuzz.h"

static const char *const calling_codes[] = {
	NULL, "1", "7", "gg", "ar", "39", "44", "49", "br", "au", "62", "jp", "hk", "cn", "ru", "225"
};

static const char *const countries[] = {NULL, "us", "gb", "de", "ca", "jp", "nl"};

static bool
consists_of(const char *str, int len, const char *allowed)
{
	for (int i = 0; i < len; i++)
	{
		if (str[i] == '\0' || strchr(allowed, str[i]) == NULL)
			return false;
	}
	return true;
}

static bool
is_sha256(const char *str, int len)
{
	return len == TTE_HEX_LEN && consists_of(str, len, "0123456789abcdef");
}

static void
check_form(TteIdentifier kind, const char *str, int len)
{
	require(len > 0, "a kept identifier is not empty");
	require(tte_utf8_valid(str, len), "a kept identifier is valid UTF-8");
	if (tte_identifier_hashed(kind) && is_sha256(str, len))
		return;
	switch (kind)
	{
		case TTE_EMAIL:
			require(memchr(str, '@', len) != NULL, "an e-mail address has its sign");
			for (int i = 0; i < len; i++)
				require(str[i] != ' ' && !(str[i] >= 'A' && str[i] <= 'Z'),
						"an e-mail address is in lower case, without blanks");
			break;
		case TTE_PHONE:
			require(len >= 6 && len <= TTE_PHONE_DIGITS + 1 && str[0] == '+' && str[1] != '0' &&
					consists_of(str + 1, len - 1, "0123456789"), "a telephone number is in E.164 form");
			break;
		case TTE_IP:
			require(consists_of(str, len, "0123456789abcdefABCDEF.:"), "an address is one");
			break;
		case TTE_COUNTRY:
			require(len == 2 && consists_of(str, len, "abcdefghijklmnopqrstuvwxyz"),
					"a country has two letters");
			break;
		case TTE_CITY:
		case TTE_STATE:
		case TTE_ZIP_CODE:
			require(consists_of(str, len, "abcdefghijklmnopqrstuvwxyz0123456789"),
					"a place is lower-case ASCII");
			break;
		default:
			break;
	}
}

static void
check_wire(TteIdentifier kind, const char *str, int len)
{
	StringInfoData wire;

	initStringInfo(&wire);
	tte_identifier_wire(kind, str, len, &wire);
	if (tte_identifier_hashed(kind))
		require(is_sha256(wire.data, wire.len), "a hash has 64 hex digits");
	else
		require(wire.len == len && memcmp(wire.data, str, len) == 0,
				"what is not hashed is sent as it is");
}

/* Does a value that is in its form already stay as it is? */
static bool
stays(TteIdentifier kind, const TteIdentityRules *rules, const char *given, int given_len,
	  const char *str, int len)
{
	StringInfoData again;
	const char *reason;

	initStringInfo(&again);
	reason = tte_identifier_normalize(kind, given, given_len, rules, &again);

	/* Of addresses, names and places some letters become two. */
	if (reason != NULL && strcmp(reason, "too_long") == 0)
		return (kind == TTE_EMAIL || (kind >= TTE_FIRST_NAME && kind <= TTE_STATE)) && len > 255;
	return reason == NULL && again.len == len && memcmp(again.data, str, len) == 0;
}

/* The same again, and with blanks around it. */
static void
check_again(TteIdentifier kind, const TteIdentityRules *rules, const char *str, int len)
{
	char	   *padded = palloc(len + 4);

	require(stays(kind, rules, heap_copy((const uint8 *) str, len), len, str, len),
			"normalising twice changes nothing");
	if (kind == TTE_USER_AGENT)
		return;
	memcpy(padded, " \t", 2);
	memcpy(padded + 2, str, len);
	memcpy(padded + 2 + len, "\r\n", 2);
	require(stays(kind, rules, padded, len + 4, str, len), "blanks around a value change nothing");
}

static void
check_kind(TteIdentifier kind, const TteIdentityRules *rules, const char *value, int len)
{
	StringInfoData out;
	const char *reason;

	initStringInfo(&out);
	appendStringInfoString(&out, "kept");
	reason = tte_identifier_normalize(kind, value, len, rules, &out);
	require(memcmp(out.data, "kept", 4) == 0 && out.data[out.len] == '\0',
			"what was there before stays");
	if (reason != NULL)
	{
		require(out.len == 4, "a refused identifier leaves nothing");
		return;
	}
	check_wire(kind, out.data + 4, out.len - 4);
	/* what was made by older rules is only looked for */
	if (rules->previous)
		return;
	check_form(kind, out.data + 4, out.len - 4);
	check_again(kind, rules, out.data + 4, out.len - 4);
}

int
LLVMFuzzerTestOneInput(const uint8 *data, size_t size)
{
	TteIdentityRules rules;

	if (size < 3)
		return 0;
	rules.calling_code = calling_codes[data[1] % lengthof(calling_codes)];
	rules.lower_external_id = (data[1] & 16) != 0;
	rules.country = countries[data[2] % lengthof(countries)];
	rules.previous = (data[1] & 32) != 0;
	check_kind(data[0] % TTE_IDENTIFIERS, &rules, heap_copy(data + 3, size - 3), size - 3);
	arena_reset();
	return 0;
}
