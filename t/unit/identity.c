/*-------------------------------------------------------------------------
 *
 * identity.c
 *	  Unit test of event/identity.c: the other identifiers, lengths, hashes, and
 *	  the object that is sent.
 *
 *-------------------------------------------------------------------------
 */
#include "check_identifier.h"

static const IdentifierCase identifier_cases[] = {
	{TTE_EXTERNAL_ID, " user_123 ", NULL, NULL, "user_123"},
	{TTE_EXTERNAL_ID, "UserABC", NULL, NULL, "UserABC"},
	{TTE_EXTERNAL_ID, "D41D8CD98f00b204e9800998ecf8427e", NULL, NULL, "D41D8CD98f00b204e9800998ecf8427e"},
	{TTE_EXTERNAL_ID, HEX64, NULL, NULL, HEX64_LOWER},
	{TTE_EXTERNAL_ID, "g48a771458438fc2ec420560d769fb9b9b86851ee338ec56517baabd79d3bb4f", NULL, NULL,
	"g48a771458438fc2ec420560d769fb9b9b86851ee338ec56517baabd79d3bb4f"},
	{TTE_EXTERNAL_ID, "0", NULL, NULL, "!junk"},
	{TTE_EXTERNAL_ID, "NULL", NULL, NULL, "!junk"},
	{TTE_EXTERNAL_ID, "(null)", NULL, NULL, "!junk"},
	{TTE_EXTERNAL_ID, "nan", NULL, NULL, "!junk"},
	{TTE_EXTERNAL_ID, "5feceb66ffc86f38d952786c6d696c79c2dbc239dd4e91b46729d73a27fb57e9", NULL, NULL, "!junk"},
	{TTE_EXTERNAL_ID, "74234e98afe7498fb5daf1f36ac2d78acc339464f950703b8c019892f982b90b", NULL, NULL, "!junk"},
	{TTE_EXTERNAL_ID, "eb045d78d273107348b0300c01d29b7552d622abbc6faf81b3ec55359aa9950c", NULL, NULL, "!junk"},
	{TTE_EXTERNAL_ID, "a\tb", NULL, NULL, "!control"},
	{TTE_USER_AGENT, "Mozilla/5.0 (X11)", NULL, NULL, "Mozilla/5.0 (X11)"},
	{TTE_USER_AGENT, "a\r\nb\t", NULL, NULL, "a\r\nb\t"},
	{TTE_USER_AGENT, " \r\n", NULL, NULL, "!"},
	{TTE_USER_AGENT, "a\xff", NULL, NULL, "!encoding"},
	{TTE_USER_AGENT, "null", NULL, NULL, "!junk"},
	{TTE_TTCLID, "E.C.P.example-click-id-0001", NULL, NULL, "E.C.P.example-click-id-0001"},
	{TTE_TTCLID, "a\"b</script>\\u0000", NULL, NULL, "a\"b</script>\\u0000"},
	{TTE_TTCLID, "__CLICKID__", NULL, NULL, "!junk"},
	{TTE_TTCLID, "a\x01", NULL, NULL, "!control"},
	{TTE_TTP, " 01JEXAMPLETTPCOOKIE00000001 ", NULL, NULL, "01JEXAMPLETTPCOOKIE00000001"},
	{TTE_TTP, "undefined", NULL, NULL, "!junk"},
	{TTE_LOCALE, "en-US", NULL, NULL, "en-US"},
	{TTE_LOCALE, "en_US", NULL, NULL, "en_US"},
	{TTE_LOCALE, "zh-Hant-TW", NULL, NULL, "zh-Hant-TW"},
	{TTE_LOCALE, "es-419", NULL, NULL, "es-419"},
	{TTE_LOCALE, "de", NULL, NULL, "de"},
	{TTE_LOCALE, "C", NULL, NULL, "!locale_syntax"},
	{TTE_LOCALE, "en_US.UTF-8", NULL, NULL, "!locale_syntax"},
	{TTE_LOCALE, "en-US,en;q=0.9", NULL, NULL, "!locale_syntax"},
	{TTE_LOCALE, "en-", NULL, NULL, "!locale_syntax"},
	{TTE_LOCALE, "undefined", NULL, NULL, "!junk"},
	{TTE_IDFA, "ea7583cd-a667-48bc-b806-42ecb2b48606", NULL, NULL, "EA7583CD-A667-48BC-B806-42ECB2B48606"},
	{TTE_IDFA, "70574FA9c8f498a7b2e5c8712b1126de7b1406fd02fdc591821c5bd33092fd1c", NULL, NULL,
	"70574fa9c8f498a7b2e5c8712b1126de7b1406fd02fdc591821c5bd33092fd1c"},
	{TTE_IDFA, "00000000-0000-0000-0000-000000000000", NULL, NULL, "!zero_id"},
	{TTE_IDFA, "12b9377cbe7e5c94e8a70d9d23929523d14afa954793130f8a3959c7b849aca8", NULL, NULL, "!zero_id"},
	{TTE_IDFA, "not an id", NULL, NULL, "!id_syntax"},
	{TTE_IDFA, "ea7583cd", NULL, NULL, "!id_syntax"},
	{TTE_GAID, "AAAAAA-2222-1111-8787-809E92233BA0", NULL, NULL, "aaaaaa-2222-1111-8787-809e92233ba0"},
	{TTE_GAID, "0000-00000000000000000000", NULL, NULL, "!zero_id"},
	{TTE_IDFV, "8C1A0F4E-0000-4000-8000-00000000000a", NULL, NULL, "8C1A0F4E-0000-4000-8000-00000000000a"},
	{TTE_IDFV, HEX64, NULL, NULL, "!hashed"},
	{TTE_ATT_STATUS, "AUTHORIZED", NULL, NULL, "AUTHORIZED"},
	{TTE_ATT_STATUS, "denied", NULL, NULL, "DENIED"},
	{TTE_ATT_STATUS, "maybe", NULL, NULL, "!att_status"}
};

static void
test_identifiers(void)
{
	check_identifiers(identifier_cases, lengthof(identifier_cases));
}

static void
check_length(TteIdentifier kind, const char *unit, int times, const char *end, const char *expected)
{
	TteIdentityRules rules = {.calling_code = NULL};
	char	   *given = repeated(unit, times, end);
	const char *got = normalized(kind, given, strlen(given), &rules);

	if (expected == NULL)
		check_text("length", tte_identifier_names[kind], got, given);
	else
		check_text("length", tte_identifier_names[kind], got, expected);
}

static void
test_identifier_limits(void)
{
	TteIdentityRules lower = {.lower_external_id = true};
	const char *got;
	char	   *long_agent = repeated("x", 2047, "\xe2\x82\xac tail");

	check_length(TTE_EMAIL, "a", 308, "@example.com", NULL);
	check_length(TTE_EMAIL, "\xc3\xa9", 308, "@example.com", NULL);
	check_length(TTE_EMAIL, "a", 309, "@example.com", "!too_long");
	check_length(TTE_EMAIL, "a", 1000000, "@example.com", "!too_long");
	check_length(TTE_EXTERNAL_ID, "i", 512, "", NULL);
	check_length(TTE_EXTERNAL_ID, "i", 513, "", "!too_long");
	check_length(TTE_EXTERNAL_ID, "i", 10240, "", "!too_long");
	check_length(TTE_TTCLID, "c", 1000, "", NULL);
	check_length(TTE_TTCLID, "c", 1001, "", "!too_long");
	check_length(TTE_TTP, "\xe2\x82\xac", 1000, "", NULL);
	check_length(TTE_TTP, "\xe2\x82\xac", 1001, "", "!too_long");
	check_length(TTE_FIRST_NAME, "n", 255, "", NULL);
	check_length(TTE_FIRST_NAME, "n", 256, "", "!too_long");
	check_length(TTE_FIRST_NAME, "\xce\x90", 255, "", NULL);
	check_length(TTE_CITY, "\xc3\x9f", 255, "", repeated("s", 510, ""));
	check_length(TTE_USER_AGENT, "u", 2048, "", NULL);
	got = normalized(TTE_USER_AGENT, long_agent, strlen(long_agent), &lower);
	check_true("user agent is cut before a character", strlen(got) == 2047);
	long_agent = repeated("0123456789abcdef", 4096, "");
	got = normalized(TTE_USER_AGENT, long_agent, strlen(long_agent), &lower);
	check_true("user agent of 64 kB is cut", strlen(got) == 2048);
	check_text("user agent of blanks where it is cut", NULL,
			   normalized(TTE_USER_AGENT, repeated(" ", 2048, "x"), 2049, &lower), "!");
	check_text("NUL inside", NULL, normalized(TTE_EMAIL, "a\0@b.c", 6, &lower), "!encoding");
	check_text("external_id, lower", NULL, normalized(TTE_EXTERNAL_ID, "UserABC", 7, &lower), "userabc");
	check_text("external_id, lower, wide", NULL,
			   normalized(TTE_EXTERNAL_ID, "\xc3\x89X", 3, &lower), "\xc3\xa9x");
	for (int i = 0; i < TTE_IDENTIFIERS; i++)
		check_true("name of an identifier", tte_identifier_find(tte_identifier_names[i]) == i);
	check_true("name of none", tte_identifier_find("emails") == -1);
}

static const char *
wire(TteIdentifier kind, const char *given, const TteIdentityRules *rules)
{
	StringInfoData out;
	const char *plain = normalized(kind, given, strlen(given), rules);

	initStringInfo(&out);
	tte_identifier_wire(kind, plain, strlen(plain), &out);
	return out.data;
}

/* The vectors that TikTok publishes, and what they exclude. */
static void
test_vectors(void)
{
	static const struct
	{
		TteIdentifier kind;
		const char *given;
		const char *expected;
	}			vectors[] = {
		{TTE_EMAIL, " ALICE_abc@gmail.com ", HEX64_LOWER},
		{TTE_PHONE, "(+1)2133734253", "9f7ec22d72092cd3c0b58726ed9c2d91b92e51a3f29837508fb2948bb22dd2fd"},
		{TTE_EXTERNAL_ID, "user_123", "80fba0ae1c48e3978e43e4efc365e14e12ea0c830ba8ba5b9a2dafc7e3f2ab8b"},
		{TTE_FIRST_NAME, "Jane", "81f8f6dde88365f3928796ec7aa53f72820b06db8664f5fe76a7eb13e24546a2"},
		{TTE_ZIP_CODE, "95110", "383f7fffd99f3b1c3066086bcf991eae7ad543589d12bd792ecb6dc8b5acebc1"},
		{TTE_ZIP_CODE, "M5V 3L9", "5c850751d57c5d887fe7807d3da801efe7e8faa1f105ea36cdcd913dd32a41c7"},
		{TTE_EMAIL, HEX64, HEX64_LOWER},
		{TTE_CITY, "San Jose", "sanjose"}
	};
	TteIdentityRules rules = {.calling_code = NULL};
	TteIdentityRules german = {.calling_code = "49"};
	char		hex[TTE_HEX_LEN + 1];

	for (int i = 0; i < lengthof(vectors); i++)
		check_text("vector", vectors[i].given,
				   wire(vectors[i].kind, vectors[i].given, &rules), vectors[i].expected);
	tte_sha256_hex("EA7583CD-A667-48BC-B806-42ECB2B48606", 36, hex);
	check_text("vector of the idfa", NULL, hex, "70574fa9c8f498a7b2e5c8712b1126de7b1406fd02fdc591821c5bd33092fd1c");
	tte_sha256_hex("aaaaaa-2222-1111-8787-809e92233ba0", 34, hex);
	check_text("vector of the gaid", NULL, hex, "0ebad966881e1eebffe69b3abf624631cf83ec9bf8cb3ce134c7c75c6d8ee7fc");
	tte_sha256_hex("", 0, hex);
	check_text("hash of nothing", NULL, hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	tte_sha256_hex("12133734253", 11, hex);
	check_true("the plus is part of the phone", strncmp(hex, "1f81adb3", 8) == 0);
	check_true("phone with trunk zero", strncmp(wire(TTE_PHONE, "0171 2345678", &german), "2618ce4c02", 10) == 0);
	check_true("e-mail with blanks", strncmp(wire(TTE_EMAIL, " Anna@Example.COM ", &rules), "f7d54c22dd", 10) == 0);
	check_true("external_id keeps its case", strncmp(wire(TTE_EXTERNAL_ID, "UserABC", &rules), "cf1c946b7e", 10) == 0);
}

static const char *
user_of(const char *given)
{
	StringInfoData out;

	initStringInfo(&out);
	appendStringInfoString(&out, ">");
	if (!tte_identity_append_user(&out, given, strlen(given), true))
		return strcmp(out.data, ">") == 0 ? NULL : "wrote something";
	return out.data + 1;
}

static void
test_append_user(void)
{
	check_text("user", NULL, user_of("{\"email\":\"alice_abc@gmail.com\",\"ip\":\"203.0.113.24\"}"),
			   "{\"email\":\"" HEX64_LOWER "\",\"ip\":\"203.0.113.24\"}");
	check_text("user with arrays and hashes", NULL,
			   user_of("{\"email\":[\"alice_abc@gmail.com\",\"" HEX64_LOWER "\"],\"user_agent\":\"\\u20ac \\\"q\\\"\"}"),
			   "{\"email\":[\"" HEX64_LOWER "\",\"" HEX64_LOWER "\"],\"user_agent\":\"\\u20ac \\\"q\\\"\"}");
	check_text("user, empty", NULL, user_of("{}"), NULL);
	check_text("user, no object", NULL, user_of("[]"), NULL);
	check_text("user, no JSON", NULL, user_of("{\"email\":"), NULL);
	check_text("user, number", NULL, user_of("{\"email\":1}"), NULL);
	check_text("user, null", NULL, user_of("{\"email\":null}"), NULL);
	check_text("user, empty string", NULL, user_of("{\"email\":\"\"}"), NULL);
	check_text("user, array where there is none", NULL, user_of("{\"ip\":[\"1.2.3.4\"]}"), NULL);
	check_text("user, unknown key", NULL, user_of("{\"ip\":\"1.2.3.4\",\"iq\":\"200\"}"), NULL);
}

int
main(int argc, char **argv)
{
	test_identifiers();
	test_identifier_limits();
	test_vectors();
	test_append_user();
	return tap_end();
}
