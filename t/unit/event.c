/*-------------------------------------------------------------------------
 *
 * event.c
 *	  Unit tests of src/event: text, catalogue, identifiers, payloads.
 *
 * A plain program that prints TAP.  With the argument "bench" it measures
 * instead, with "phones" it reads numbers.  Build it with -DFRONTEND against libpgcommon, libpgport and
 * libcrypto; script/test does.
 *
 *-------------------------------------------------------------------------
 */
#include "event/decimal.h"
#include "event/country.h"
#include "event/event.h"
#include "event/phone.h"
#include "event/unicode.h"
#include "event/url.h"

#include <time.h>

#include "arena.h"
#include "phone_cases.h"

#define DAY				(INT64CONST(86400) * TTE_USEC)
#define NOW				(INT64CONST(1795200000) * TTE_USEC)

static int	tests = 0;
static int	failures = 0;

static void
check(bool good, const char *what, const char *given, const char *got, const char *expected)
{
	printf("%sok %d - %s%s", good ? "" : "not ", ++tests, what, given ? " " : "");
	/* given text may hold anything: show its start, in ASCII, no directive */
	for (const char *c = given; c != NULL && *c != '\0' && c - given < 60; c++)
		putchar(*c >= ' ' && *c < 0x7F && *c != '#' ? *c : '?');
	putchar('\n');
	if (!good)
	{
		failures++;
		printf("#   got:      %s\n#   expected: %s\n", got ? got : "(null)",
			   expected ? expected : "(null)");
	}
}

static bool
same(const char *a, const char *b)
{
	return (a == NULL || b == NULL) ? a == b : strcmp(a, b) == 0;
}

static void
check_text(const char *what, const char *given, const char *got, const char *expected)
{
	check(same(got, expected), what, given, got, expected);
}

static void
check_true(const char *what, bool good)
{
	check(good, what, NULL, "false", "true");
}

/*
 * JSON
 */

static void
show_json(StringInfo out, const TteJson *value)
{
	switch (value->kind)
	{
		case TTE_JSON_NULL:
			appendStringInfoString(out, "null");
			break;
		case TTE_JSON_BOOL:
			appendStringInfoString(out, value->boolean ? "true" : "false");
			break;
		case TTE_JSON_NUMBER:
			appendBinaryStringInfo(out, value->text, value->len);
			break;
		case TTE_JSON_STRING:
			if (value->fixed)
				appendStringInfoChar(out, '!');
			tte_json_append_string(out, value->text, value->len, true);
			break;
		default:
			appendStringInfoChar(out, value->kind == TTE_JSON_ARRAY ? '[' : '{');
			for (const TteJson *e = value->first; e != NULL; e = e->next)
			{
				if (e != value->first)
					appendStringInfoChar(out, ',');
				if (value->kind == TTE_JSON_OBJECT)
				{
					tte_json_append_string(out, e->key, e->keylen, true);
					appendStringInfoChar(out, ':');
				}
				show_json(out, e);
			}
			appendStringInfoChar(out, value->kind == TTE_JSON_ARRAY ? ']' : '}');
			break;
	}
}

static const char *
reread(const char *str, size_t len)
{
	const char *why = NULL;
	TteJson    *value = tte_json_parse(str, len, &why);
	StringInfoData out;

	if (value == NULL)
		return why;
	initStringInfo(&out);
	show_json(&out, value);
	return out.data;
}

static void
test_json_reader(void)
{
	static const struct
	{
		const char *given;
		const char *expected;
	}			cases[] = {
		{"null", "null"},
		{" true ", "true"},
		{"\t\n\r false", "false"},
		{"0", "0"},
		{"-0", "-0"},
		{"-12.50e+3", "-12.50e+3"},
		{"1E400", "1E400"},
		{"\"\"", "\"\""},
		{"[]", "[]"},
		{"{}", "{}"},
		{"[ 1 , [ ] , { } , \"x\" ]", "[1,[],{},\"x\"]"},
		{"{\"a\" : 1 , \"b\":{\"c\":[2,3]}}", "{\"a\":1,\"b\":{\"c\":[2,3]}}"},
		{"{\"a\":1,\"b\":2,\"a\":3}", "{\"b\":2,\"a\":3}"},
		{"{\"\":1,\"\":2}", "{\"\":2}"},
		{"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\\"\\\\/\\u0008\\u000c\\n\\r\\t\""},
		{"\"\\u0041\\u00e9\\u20AC\"", "\"A\\u00e9\\u20ac\""},
		{"\"\\ud83d\\ude00\"", "\"\\ud83d\\ude00\""},
		{"\"a\\u0000b\"", "!\"ab\""},
		{"\"\\ud800\"", "!\"\\ufffd\""},
		{"\"\\ud800x\"", "!\"\\ufffdx\""},
		{"\"\\ud800\\u0041\"", "!\"\\ufffdA\""},
		{"\"\\udc00\\ud800\"", "!\"\\ufffd\\ufffd\""},
		{"\"\\ud800\\ud800\\udc00\"", "!\"\\ufffd\\ud800\\udc00\""},
		{"\"\xff\"", "\"\\ufffd\""},
		{"\"\x7f\"", "\"\\u007f\""},
		{"", "syntax"},
		{" ", "syntax"},
		{"nul", "syntax"},
		{"nulll", "syntax"},
		{"True", "syntax"},
		{"NaN", "syntax"},
		{"Infinity", "syntax"},
		{"+1", "syntax"},
		{"01", "syntax"},
		{"-", "syntax"},
		{"1.", "syntax"},
		{".5", "syntax"},
		{"1e", "syntax"},
		{"1e+", "syntax"},
		{"0x10", "syntax"},
		{"1 2", "syntax"},
		{"\"", "syntax"},
		{"\"\\\"", "syntax"},
		{"\"\\x\"", "syntax"},
		{"\"\\u12\"", "syntax"},
		{"\"\\u123g\"", "syntax"},
		{"\"\\u123", "syntax"},
		{"\"a\nb\"", "syntax"},
		{"\"a\tb\"", "syntax"},
		{"\"\\\n\"", "syntax"},
		{"'a'", "syntax"},
		{"[", "syntax"},
		{"]", "syntax"},
		{"[1", "syntax"},
		{"[1,", "syntax"},
		{"[1,]", "syntax"},
		{"[,1]", "syntax"},
		{"[1 2]", "syntax"},
		{"[1}", "syntax"},
		{"{", "syntax"},
		{"{\"a\"", "syntax"},
		{"{\"a\":", "syntax"},
		{"{\"a\":1", "syntax"},
		{"{\"a\":1,}", "syntax"},
		{"{\"a\" 1}", "syntax"},
		{"{a:1}", "syntax"},
		{"{1:1}", "syntax"},
		{"{\"a\":1]", "syntax"},
		{"[1]]", "syntax"},
		{"/**/1", "syntax"},
		{"\xef\xbb\xbf{}", "syntax"}
	};

	for (int i = 0; i < lengthof(cases); i++)
		check_text("json", cases[i].given,
				   reread(cases[i].given, strlen(cases[i].given)), cases[i].expected);
	check_text("json with a zero byte", NULL, reread("\"a\0b\"", 5), "syntax");
	check_text("json ends with a zero byte", NULL, reread("1\0", 2), "syntax");
}

static void
test_json_limits(void)
{
	StringInfoData str;
	TteJson    *value;
	const char *why;

	initStringInfo(&str);
	for (int depth = 1; depth <= 3; depth++)
	{
		static const int depths[] = {0, 32, 33, 200000};

		resetStringInfo(&str);
		for (int i = 0; i < depths[depth]; i++)
			appendStringInfoChar(&str, '[');
		for (int i = 0; i < depths[depth]; i++)
			appendStringInfoChar(&str, ']');
		why = NULL;
		value = tte_json_parse(str.data, str.len, &why);
		check_true("nesting of 32, 33, 200000", depth == 1 ? value != NULL :
				   value == NULL && strcmp(why, "depth") == 0);
	}
	/* many members, every key twice, in different order */
	resetStringInfo(&str);
	appendStringInfoChar(&str, '{');
	for (int i = 0; i < 20000; i++)
		appendStringInfo(&str, "%s\"k%d\":%d", i ? "," : "", (i * 7) % 10000, i);
	appendStringInfoChar(&str, '}');
	value = tte_json_parse(str.data, str.len, NULL);
	check_true("repeated keys of a large object: one each", value != NULL && value->count == 10000);
	check_true("the last one", atoi(tte_json_get(value, "k7")->text) == 10001);
	resetStringInfo(&str);
	appendStringInfoChar(&str, '[');
	for (int i = 0; i < TTE_JSON_MAX_NODES; i++)
		appendStringInfoString(&str, "1,");
	appendStringInfoString(&str, "1]");
	check_text("too many values", NULL, reread(str.data, str.len), "size");
	check_true("member of a scalar", tte_json_get(tte_json_bool(true), "a") == NULL &&
			   tte_json_get(NULL, "a") == NULL);
}

static void
test_json_writer(void)
{
	static const struct
	{
		const char *given;
		const char *utf8;
		const char *ascii;
		bool		exact;
	}			cases[] = {
		{"plain", "\"plain\"", "\"plain\"", true},
		{"</script>", "\"</script>\"", "\"</script>\"", true},
		{"\"\\/", "\"\\\"\\\\/\"", "\"\\\"\\\\/\"", true},
		{"\x01\x1f\x7f\n\r\t", "\"\\u0001\\u001f\\u007f\\n\\r\\t\"", "\"\\u0001\\u001f\\u007f\\n\\r\\t\"", true},
		{"\xc2\x80\xc2\x9f\xc2\xa0", "\"\\u0080\\u009f\xc2\xa0\"", "\"\\u0080\\u009f\\u00a0\"", true},
		{"\xe2\x80\xa7\xe2\x80\xa8\xe2\x80\xa9", "\"\xe2\x80\xa7\\u2028\\u2029\"", "\"\\u2027\\u2028\\u2029\"", true},
		{"\xf0\x9f\x98\x80", "\"\xf0\x9f\x98\x80\"", "\"\\ud83d\\ude00\"", true},
		{"\xf4\x8f\xbf\xbf", "\"\xf4\x8f\xbf\xbf\"", "\"\\udbff\\udfff\"", true},
		{"\xff", "\"\xef\xbf\xbd\"", "\"\\ufffd\"", false},
		{"a\xc3", "\"a\xef\xbf\xbd\"", "\"a\\ufffd\"", false},
		{"\xe2\x82", "\"\xef\xbf\xbd\"", "\"\\ufffd\"", false},
		{"\xe2\x82z", "\"\xef\xbf\xbdz\"", "\"\\ufffdz\"", false},
		{"\xc0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\"", "\"\\ufffd\\ufffd\"", false},
		{"\xed\xa0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"", "\"\\ufffd\\ufffd\\ufffd\"", false},
		{"\xf4\x90\x80\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"", "\"\\ufffd\\ufffd\\ufffd\\ufffd\"", false},
		{"\xf0\x9f\x98", "\"\xef\xbf\xbd\"", "\"\\ufffd\"", false}
	};
	StringInfoData out;

	initStringInfo(&out);
	for (int i = 0; i < lengthof(cases); i++)
	{
		bool		exact;

		resetStringInfo(&out);
		exact = tte_json_append_string(&out, cases[i].given, strlen(cases[i].given), false);
		check_text("written", cases[i].given, out.data, cases[i].utf8);
		check_true("repaired or not", exact == cases[i].exact);
		check_true("read again", tte_json_parse(out.data, out.len, NULL) != NULL);
		check_true("valid UTF-8", tte_utf8_valid(out.data, out.len));
		resetStringInfo(&out);
		tte_json_append_string(&out, cases[i].given, strlen(cases[i].given), true);
		check_text("written in ASCII", cases[i].given, out.data, cases[i].ascii);
		check_true("UTF-8 verdict", tte_utf8_valid(cases[i].given, strlen(cases[i].given)) == exact);
	}
	resetStringInfo(&out);
	check_true("NUL is left out and told", !tte_json_append_string(&out, "a\0b", 3, false) &&
			   strcmp(out.data, "\"ab\"") == 0);
	check_true("NUL is not valid", !tte_utf8_valid("a\0b", 3));
}

/*
 * Identifiers
 */

typedef struct IdentifierCase
{
	TteIdentifier kind;
	const char *given;
	const char *calling_code;
	const char *country;
	const char *expected;		/* normalised, or '!' and the reason */
} IdentifierCase;

#define NBSP	"\xc2\xa0"
#define ZWSP	"\xe2\x80\x8b"
#define BOM		"\xef\xbb\xbf"
#define RLO		"\xe2\x80\xae"
#define HEX64	"848A771458438fc2ec420560d769fb9b9b86851ee338ec56517baabd79d3bb4F"
#define HEX64_LOWER "848a771458438fc2ec420560d769fb9b9b86851ee338ec56517baabd79d3bb4f"

static const IdentifierCase identifier_cases[] = {
	/* bad inputs 1 to 10 */
	{TTE_EMAIL, "", NULL, NULL, "!"},
	{TTE_EMAIL, "   ", NULL, NULL, "!"},
	{TTE_EMAIL, NBSP ZWSP "\xe3\x80\x80" BOM, NULL, NULL, "!"},
	{TTE_EMAIL, "not-an-email", NULL, NULL, "!email_syntax"},
	{TTE_EMAIL, "a@", NULL, NULL, "!email_syntax"},
	{TTE_EMAIL, "@b", NULL, NULL, "!email_syntax"},
	{TTE_EMAIL, "@b.c", NULL, NULL, "!email_syntax"},
	{TTE_EMAIL, "a@@b", NULL, NULL, "!email_syntax"},
	{TTE_EMAIL, "a@b@c.d", NULL, NULL, "!email_syntax"},
	{TTE_EMAIL, "a b@c.d", NULL, NULL, "!email_syntax"},
	{TTE_EMAIL, "a" NBSP "b@c.d", NULL, NULL, "!email_syntax"},
	{TTE_EMAIL, "a@b", NULL, NULL, "!email_syntax"},
	{TTE_EMAIL, "a@.b", NULL, NULL, "!email_syntax"},
	{TTE_EMAIL, "a@b.", NULL, NULL, "!email_syntax"},
	{TTE_EMAIL, "a@b..c", NULL, NULL, "!email_syntax"},
	{TTE_EMAIL, "a@-b.c", NULL, NULL, "!email_syntax"},
	{TTE_EMAIL, "a@b-.c", NULL, NULL, "!email_syntax"},
	{TTE_EMAIL, "a@1.2.3.4", NULL, NULL, "!email_syntax"},
	{TTE_EMAIL, "a@[1.2.3.4]", NULL, NULL, "!email_syntax"},
	{TTE_EMAIL, "Ann <a@b.c>", NULL, NULL, "a@b.c"},
	{TTE_EMAIL, "a@b.c,d@e.f", NULL, NULL, "a@b.c"},
	{TTE_EMAIL, "mailto:a@b.c", NULL, NULL, "a@b.c"},
	{TTE_EMAIL, "a@b.c", NULL, NULL, "a@b.c"},
	{TTE_EMAIL, "  John@Example.COM \t\n", NULL, NULL, "john@example.com"},
	{TTE_EMAIL, "first.last+tag@Mail.example.co.uk", NULL, NULL, "first.last+tag@mail.example.co.uk"},
	{TTE_EMAIL, "a..b.@docomo.example", NULL, NULL, "a..b.@docomo.example"},
	{TTE_EMAIL, "o'neil@example.com", NULL, NULL, "o'neil@example.com"},
	{TTE_EMAIL, "\xc4\xb0X\xc3\x9f\xc3\x89@Example.com", NULL, NULL, "i\xcc\x87x\xc3\x9f\xc3\xa9@example.com"},
	{TTE_EMAIL, "e\xcc\x81@Example.com", NULL, NULL, "e\xcc\x81@example.com"},
	{TTE_EMAIL, NBSP "a@b.c" ZWSP, NULL, NULL, "a@b.c"},
	{TTE_EMAIL, BOM "a@b.c\xe2\x80\xaf", NULL, NULL, "a@b.c"},
	/* meant so: NOLINTNEXTLINE(misc-misleading-bidirectional) */
	{TTE_EMAIL, RLO "a@b.c", NULL, NULL, "a@b.c"},
	{TTE_EMAIL, "a" ZWSP "@b.c", NULL, NULL, "a@b.c"},
	{TTE_EMAIL, "a\x01@b.c", NULL, NULL, "!control"},
	{TTE_EMAIL, "a\n@b.c", NULL, NULL, "!control"},
	{TTE_EMAIL, "a\xc2\xad@b.c", NULL, NULL, "a@b.c"},
	{TTE_EMAIL, "a\xff@b.c", NULL, NULL, "!encoding"},
	{TTE_EMAIL, "\xff\xa0", NULL, NULL, "!encoding"},
	{TTE_EMAIL, "a@XN--Bcher-KVA.example", NULL, NULL, "a@xn--bcher-kva.example"},
	{TTE_EMAIL, "A@B\xc3\x9c" "CHER.example", NULL, NULL, "a@b\xc3\xbc" "cher.example"},
	{TTE_EMAIL, HEX64, NULL, NULL, HEX64_LOWER},
	{TTE_EMAIL, " " HEX64 " ", NULL, NULL, HEX64_LOWER},
	{TTE_EMAIL, "g48a771458438fc2ec420560d769fb9b9b86851ee338ec56517baabd79d3bb4f", NULL, NULL, "!email_syntax"},
	{TTE_EMAIL, "d41d8cd98f00b204e9800998ecf8427e", NULL, NULL, "!not_sha256"},
	{TTE_EMAIL, "DA39A3EE5E6B4B0D3255BFEF95601890AFD80709", NULL, NULL, "!not_sha256"},
	{TTE_EMAIL, "E3B0C44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", NULL, NULL, "!junk"},
	{TTE_EMAIL, "null", NULL, NULL, "!junk"},
	{TTE_EMAIL, "Undefined", NULL, NULL, "!junk"},
	{TTE_EMAIL, "N/A", NULL, NULL, "!junk"},
	{TTE_EMAIL, "na", NULL, NULL, "!junk"},

	/* phones: bad inputs 10 to 16 */
	{TTE_PHONE, "", NULL, NULL, "!"},
	{TTE_PHONE, "abc", NULL, NULL, "!phone_syntax"},
	{TTE_PHONE, "ext 5", NULL, NULL, "!phone_no_country"},
	{TTE_PHONE, "+", NULL, NULL, "!junk"},
	{TTE_PHONE, "-", NULL, NULL, "!junk"},
	{TTE_PHONE, "0", "49", NULL, "!junk"},
	{TTE_PHONE, "NaN", NULL, NULL, "!junk"},
	{TTE_PHONE, "()", NULL, NULL, "!phone_syntax"},
	{TTE_PHONE, "+1 (415) 555-0100", NULL, NULL, "+14155550100"},
	{TTE_PHONE, "(+1)2133734253", NULL, NULL, "+12133734253"},
	{TTE_PHONE, "+1.415.555.0100", "49", NULL, "+14155550100"},
	{TTE_PHONE, "+1 415" NBSP "555\xe2\x80\x91" "0100", NULL, NULL, "+14155550100"},
	{TTE_PHONE, "+1 415 555 0100 ext 5", NULL, NULL, "+14155550100"},
	{TTE_PHONE, "+1 415 555 0100 x5", NULL, NULL, "+14155550100"},
	{TTE_PHONE, "+1 415 555 0100#5", NULL, NULL, "+14155550100"},
	{TTE_PHONE, "+1 415 555 0100;ext=5", NULL, NULL, "+14155550100"},
	{TTE_PHONE, "++14155550100", NULL, NULL, "+14155550100"},
	{TTE_PHONE, "1+4155550100", NULL, NULL, "!phone_syntax"},
	{TTE_PHONE, "4155550100", NULL, NULL, "!phone_no_country"},
	{TTE_PHONE, "4155550100", "1", NULL, "+14155550100"},
	{TTE_PHONE, "(202) 555-0143", "1", NULL, "+12025550143"},
	{TTE_PHONE, "1 415 555 0100", "1", NULL, "+14155550100"},
	{TTE_PHONE, "555-0143", "1", NULL, "!phone_plan"},
	{TTE_PHONE, "115 555 0100", "1", NULL, "!phone_plan"},
	{TTE_PHONE, "015 555 0100", "1", NULL, "!phone_plan"},
	{TTE_PHONE, "4155550100", "210", NULL, "!phone_no_country"},
	{TTE_PHONE, "4155550100", "x", NULL, "!phone_no_country"},
	{TTE_PHONE, "0014155550100", NULL, NULL, "+14155550100"},
	{TTE_PHONE, "00 49 171 2345678", "1", NULL, "+491712345678"},
	{TTE_PHONE, "\xef\xbc\x8b\xef\xbc\x94\xef\xbc\x99", NULL, NULL, "!phone_length"},
	{TTE_PHONE, "+1415555010\xd9\xa0", NULL, NULL, "+14155550100"},
	{TTE_PHONE, "123", NULL, NULL, "!phone_no_country"},
	{TTE_PHONE, "+123", NULL, NULL, "!phone_length"},
	{TTE_PHONE, "+123456789012345678901234567890123456789", NULL, NULL, "!phone_length"},
	{TTE_PHONE, "1234567890123456", NULL, NULL, "!phone_no_country"},
	{TTE_PHONE, "+4917123456789012345", NULL, NULL, "!phone_length"},
	{TTE_PHONE, "+4915123456789012", NULL, NULL, "!phone_length"},
	{TTE_PHONE, "+491512345678901", NULL, NULL, "+491512345678901"},
	{TTE_PHONE, "+0491712345678", NULL, NULL, "!phone_syntax"},
	{TTE_PHONE, "+2101234567", NULL, NULL, "!phone_syntax"},
	{TTE_PHONE, HEX64, NULL, NULL, HEX64_LOWER},
	{TTE_PHONE, "d41d8cd98f00b204e9800998ecf8427e", NULL, NULL, "!not_sha256"},
	{TTE_PHONE, "a318c24216defe206feeb73ef5be00033fa9c4a74d0b967f6532a26ca5906d3b", NULL, NULL, "!junk"},
	{TTE_PHONE, "+1 415\n555 0100", NULL, NULL, "+14155550100"},
	/* trunk prefixes */
	{TTE_PHONE, "0171 2345678", "49", NULL, "+491712345678"},
	{TTE_PHONE, "0171/2345678", "49", NULL, "+491712345678"},
	{TTE_PHONE, "171 2345678", "49", NULL, "+491712345678"},
	{TTE_PHONE, "030 23125123", "49", NULL, "+493023125123"},
	{TTE_PHONE, "2345678", "49", NULL, "!junk"},
	{TTE_PHONE, "49171234567", "49", NULL, "!phone_ambiguous"},
	{TTE_PHONE, "491712345678", "49", NULL, "+491712345678"},
	{TTE_PHONE, "+49 (0)171 2345678", NULL, NULL, "+491712345678"},
	{TTE_PHONE, "+49 0171 2345678", NULL, NULL, "+491712345678"},
	{TTE_PHONE, "+49 00171 2345678", NULL, NULL, "!phone_plan"},
	{TTE_PHONE, "+49 30 23125123", NULL, NULL, "+493023125123"},
	{TTE_PHONE, "07700 900123", "44", NULL, "+447700900123"},
	{TTE_PHONE, "7700900123", "44", NULL, "+447700900123"},
	{TTE_PHONE, "447700900123", "44", NULL, "+447700900123"},
	{TTE_PHONE, "+44 (0)7700 900123", NULL, NULL, "+447700900123"},
	{TTE_PHONE, "06 12 34 56 78", "33", NULL, "+33612345678"},
	{TTE_PHONE, "0412 345 678", "61", NULL, "+61412345678"},
	{TTE_PHONE, "06 1234 5678", "39", NULL, "+390612345678"},
	{TTE_PHONE, "+39 06 1234 5678", NULL, NULL, "+390612345678"},
	{TTE_PHONE, "347 123 4567", "39", NULL, "+393471234567"},
	{TTE_PHONE, "391 123 4567", "39", NULL, "+393911234567"},
	{TTE_PHONE, "0549 123456", "378", NULL, "+3780549123456"},
	{TTE_PHONE, "8 (495) 123-45-67", "7", NULL, "+74951234567"},
	{TTE_PHONE, "+7 800 123 45 67", NULL, NULL, "+78001234567"},
	{TTE_PHONE, "495 123-45-67", "7", NULL, "+74951234567"},
	{TTE_PHONE, "06 20 123 4567", "36", NULL, "+36201234567"},
	{TTE_PHONE, "+36 06 20 123 4567", NULL, NULL, "+36201234567"},
	{TTE_PHONE, "55 1234 5678", "52", NULL, "+525512345678"},
	{TTE_PHONE, "01 55 1234 5678", "52", NULL, "!phone_length"},
	{TTE_PHONE, "044 55 1234 5678", "52", NULL, "!phone_length"},
	{TTE_PHONE, "8 029 123-45-67", "375", NULL, "+375291234567"},
	{TTE_PHONE, "612 345 678", "34", NULL, "+34612345678"},
	{TTE_PHONE, "+34 (0)612 345 678", NULL, NULL, "+34612345678"},
	{TTE_PHONE, "9123456789", "91", NULL, "+919123456789"},
	{TTE_PHONE, "09123456789", "91", NULL, "+919123456789"},
	{TTE_PHONE, "090-1234-5678", "81", NULL, "+819012345678"},
	{TTE_PHONE, "138 1234 5678", "86", NULL, "+8613812345678"},
	{TTE_PHONE, "(11) 91234-5678", "55", NULL, "+5511912345678"},
	{TTE_PHONE, "07 01 02 03 04", "225", NULL, "+2250701020304"},
	{TTE_PHONE, "98 12 34 56", "47", NULL, "+4798123456"},

	/* external id: bad inputs 10 and 17 */
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

	/* names */
	{TTE_FIRST_NAME, "Jane", NULL, NULL, "jane"},
	{TTE_FIRST_NAME, " Jane ", NULL, NULL, "jane"},
	{TTE_LAST_NAME, "O'Doe", NULL, NULL, "odoe"},
	{TTE_LAST_NAME, "O\xe2\x80\x99" "Doe", NULL, NULL, "odoe"},
	{TTE_LAST_NAME, "Smith-Jones", NULL, NULL, "smithjones"},
	{TTE_LAST_NAME, "van   der  Berg", NULL, NULL, "van der berg"},
	{TTE_LAST_NAME, "van" NBSP "der\xe3\x80\x80" "Berg", NULL, NULL, "van der berg"},
	{TTE_FIRST_NAME, "J. R. - R.", NULL, NULL, "j r r"},
	{TTE_FIRST_NAME, "\xc3\x89lodie", NULL, NULL, "\xc3\xa9lodie"},
	{TTE_FIRST_NAME, "E\xcc\x81lodie", NULL, NULL, "\xc3\xa9lodie"},
	{TTE_FIRST_NAME, "\xc4\xb0lker", NULL, NULL, "i\xcc\x87lker"},
	{TTE_FIRST_NAME, "\xce\x93\xce\x99\xce\x91\xce\x9d\xce\x9d\xce\x97\xce\xa3", NULL, NULL,
	"\xce\xb3\xce\xb9\xce\xb1\xce\xbd\xce\xbd\xce\xb7\xcf\x82"},
	{TTE_LAST_NAME, "\xd0\x98\xd0\x92\xd0\x90\xd0\x9d\xd0\x9e\xd0\x92", NULL, NULL,
	"\xd0\xb8\xd0\xb2\xd0\xb0\xd0\xbd\xd0\xbe\xd0\xb2"},
	{TTE_LAST_NAME, "\xe6\x9d\x8e", NULL, NULL, "\xe6\x9d\x8e"},
	{TTE_LAST_NAME, "Na", NULL, NULL, "na"},
	{TTE_LAST_NAME, "...", NULL, NULL, "!junk"},
	{TTE_LAST_NAME, "\xe2\x80\x94", NULL, NULL, "!junk"},
	{TTE_LAST_NAME, "None", NULL, NULL, "!junk"},
	{TTE_LAST_NAME, "Doe\xff", NULL, NULL, "!encoding"},
	{TTE_LAST_NAME, HEX64, NULL, NULL, HEX64_LOWER},

	/* address */
	{TTE_ZIP_CODE, "95110", NULL, NULL, "95110"},
	{TTE_ZIP_CODE, "M5V 3L9", NULL, NULL, "m5v3l9"},
	{TTE_ZIP_CODE, "95110-2345", NULL, "us", "95110"},
	{TTE_ZIP_CODE, "951102345", NULL, "us", "95110"},
	{TTE_ZIP_CODE, "9511", NULL, "us", "!zip_syntax"},
	{TTE_ZIP_CODE, "00000-3749", NULL, "us", "!junk"},
	{TTE_ZIP_CODE, "M5V 3L9", NULL, "us", "!zip_syntax"},
	{TTE_ZIP_CODE, "01310-100", NULL, "br", "01310100"},
	{TTE_ZIP_CODE, "SW1A 1AA", NULL, "gb", "sw1a1aa"},
	{TTE_ZIP_CODE, "00000", NULL, NULL, "!junk"},
	{TTE_ZIP_CODE, "12/34", NULL, NULL, "!zip_syntax"},
	{TTE_ZIP_CODE, "n/a", NULL, NULL, "!junk"},
	{TTE_CITY, "San Jose", NULL, NULL, "sanjose"},
	{TTE_CITY, "S\xc3\xa3o Paulo", NULL, NULL, "saopaulo"},
	{TTE_CITY, "Krak\xc3\xb3w", NULL, NULL, "krakow"},
	{TTE_CITY, "\xc5\x81\xc3\xb3" "d\xc5\xba", NULL, NULL, "lodz"},
	{TTE_CITY, "Gie\xc3\x9f" "en", NULL, NULL, "giessen"},
	{TTE_CITY, "\xc3\x98rsted", NULL, NULL, "orsted"},
	{TTE_CITY, "I\xc4\x9f" "d\xc4\xb1r", NULL, NULL, "igdir"},
	{TTE_CITY, "\xc4\xb0stanbul", NULL, NULL, "istanbul"},
	{TTE_CITY, "St. John's", NULL, NULL, "stjohns"},
	{TTE_CITY, "\xe6\x9d\xb1\xe4\xba\xac", NULL, NULL, "!no_latin"},
	{TTE_CITY, "\xef\xbc\xb4\xef\xbd\x8f\xef\xbd\x8b\xef\xbd\x99\xef\xbd\x8f", NULL, NULL, "tokyo"},
	{TTE_CITY, HEX64, NULL, NULL, "!hashed"},
	{TTE_STATE, "CA", NULL, "us", "ca"},
	{TTE_STATE, "New York", NULL, "us", "ny"},
	{TTE_STATE, "california", NULL, NULL, "ca"},
	{TTE_STATE, "Georgia", NULL, "ge", "georgia"},
	{TTE_STATE, "Bayern", NULL, "de", "bayern"},
	{TTE_COUNTRY, "US", NULL, NULL, "us"},
	{TTE_COUNTRY, "usa", NULL, NULL, "us"},
	{TTE_COUNTRY, "UK", NULL, NULL, "gb"},
	{TTE_COUNTRY, "na", NULL, NULL, "na"},
	{TTE_COUNTRY, "Germany", NULL, NULL, "de"},
	{TTE_COUNTRY, "DEU", NULL, NULL, "de"},
	{TTE_COUNTRY, "C\xc3\xb4te d'Ivoire", NULL, NULL, "ci"},
	{TTE_COUNTRY, "T\xc3\xbcrkiye", NULL, NULL, "tr"},
	{TTE_COUNTRY, "United States of America", NULL, NULL, "us"},
	{TTE_COUNTRY, "zz", NULL, NULL, "!country"},
	{TTE_COUNTRY, "Atlantis", NULL, NULL, "!country"},

	/* addresses of the net: bad input 18 */
	{TTE_IP, "203.0.113.24", NULL, NULL, "203.0.113.24"},
	{TTE_IP, " 8.8.8.8 ", NULL, NULL, "8.8.8.8"},
	{TTE_IP, "203.0.113.24/32", NULL, NULL, "203.0.113.24"},
	{TTE_IP, "203.0.113.24/24", NULL, NULL, "203.0.113.24"},
	{TTE_IP, "203.0.113.24/33", NULL, NULL, "!ip_syntax"},
	{TTE_IP, "203.0.113.24/", NULL, NULL, "!ip_syntax"},
	{TTE_IP, "999.1.1.1", NULL, NULL, "!ip_syntax"},
	{TTE_IP, "1.2.3", NULL, NULL, "!ip_syntax"},
	{TTE_IP, "1.2.3.4.5", NULL, NULL, "!ip_syntax"},
	{TTE_IP, "1.2.3.04", NULL, NULL, "!ip_syntax"},
	{TTE_IP, "1.2.3.4:80", NULL, NULL, "1.2.3.4"},
	{TTE_EMAIL, "\xc3\x80\xc3\x89\xc3\x8e@\xc3\x89XAMPLE.COM", NULL, NULL, "\xc3\xa0\xc3\xa9\xc3\xae@\xc3\xa9xample.com"},
	{TTE_EMAIL, "\xc4\xb0STANBUL@example.com", NULL, NULL, "i\xcc\x87stanbul@example.com"},
	{TTE_STATE, "AZ - Arizona", NULL, "us", "az"},
	{TTE_STATE, "US-AL", NULL, "us", "al"},
	{TTE_STATE, "Massachusetts (MA)", NULL, "us", "ma"},
	{TTE_STATE, "Massachusetts, USA", NULL, "us", "ma"},
	{TTE_STATE, "Virgin Islands, U.S.", NULL, "us", "vi"},
	{TTE_STATE, "Washington DC", NULL, "us", "dc"},
	{TTE_ZIP_CODE, "95110-2345", NULL, NULL, "95110"},
	{TTE_IP, "198.18.0.1", NULL, NULL, "!ip_private"},
	{TTE_IP, "192.0.0.4", NULL, NULL, "!ip_private"},
	{TTE_EMAIL, "'first.last@m\xc3\xbcller.de", NULL, NULL, "first.last@m\xc3\xbcller.de"},
	{TTE_EMAIL, "email=first.last@m\xc3\xbcller.de", NULL, NULL, "first.last@m\xc3\xbcller.de"},
	{TTE_EMAIL, "'ana@example.com", NULL, NULL, "ana@example.com"},
	{TTE_EMAIL, "=ana@example.com", NULL, NULL, "ana@example.com"},
	{TTE_CITY, "\xc6\x98" "ano", NULL, NULL, "kano"},
	{TTE_CITY, "\xc6\x90" "dubiase", NULL, NULL, "edubiase"},
	{TTE_COUNTRY, "Congo", NULL, NULL, "!country"},
	{TTE_COUNTRY, "B\xe1\xbb\x89", NULL, NULL, "!country"},
	{TTE_COUNTRY, "Venezuela, Bolivarian Republic of", NULL, NULL, "ve"},
	{TTE_EMAIL, "Ana Lopez <ana@example.com>", NULL, NULL, "ana@example.com"},
	{TTE_EMAIL, "mailto:ana@example.com", NULL, NULL, "ana@example.com"},
	{TTE_EMAIL, "ana@example.com.", NULL, NULL, "ana@example.com"},
	{TTE_EMAIL, "ana@example.com,", NULL, NULL, "ana@example.com"},
	{TTE_EMAIL, "ana@example.com;", NULL, NULL, "ana@example.com"},
	{TTE_EMAIL, "ana@example.com\xe2\x80\x8e", NULL, NULL, "ana@example.com"},
	{TTE_LAST_NAME, "\xd8\xb9\xd9\x84\xdb\x8c\xe2\x80\x8c\xd8\xb1\xd8\xb6\xd8\xa7", NULL, NULL, "\xd8\xb9\xd9\x84\xdb\x8c\xe2\x80\x8c\xd8\xb1\xd8\xb6\xd8\xa7"},
	{TTE_COUNTRY, "840", NULL, NULL, "us"},
	{TTE_IP, "93.184.216.34:5678", NULL, NULL, "93.184.216.34"},
	{TTE_EMAIL, "\"Lopez, Ana\" <ana@example.com>", NULL, NULL, "ana@example.com"},
	{TTE_EMAIL, "<ana@example.com>", NULL, NULL, "ana@example.com"},
	{TTE_EMAIL, "MAILTO:Ana@example.com", NULL, NULL, "ana@example.com"},
	{TTE_EMAIL, "e-mail: ana@example.com", NULL, NULL, "ana@example.com"},
	{TTE_EMAIL, "ana@example.com bob@example.com", NULL, NULL, "ana@example.com"},
	{TTE_EMAIL, "ana@example.com; bob@example.com", NULL, NULL, "ana@example.com"},
	{TTE_EMAIL, "n/a; bob@example.com", NULL, NULL, "!email_syntax"},
	{TTE_EMAIL, "anna b@example.com", NULL, NULL, "!email_syntax"},
	{TTE_EMAIL, "ana@example.com!", NULL, NULL, "ana@example.com"},
	{TTE_EMAIL, "bounce+ana=example.com@lists.example", NULL, NULL, "bounce+ana=example.com@lists.example"},
	{TTE_EMAIL, "o'brien@example.com", NULL, NULL, "o'brien@example.com"},
	{TTE_EMAIL, "\xce\x9f\xce\x94\xce\xa5\xce\xa3\xce\xa3\xce\x95\xce\xa5\xce\xa3@example.gr", NULL, NULL, "\xce\xbf\xce\xb4\xcf\x85\xcf\x83\xcf\x83\xce\xb5\xcf\x85\xcf\x82@example.gr"},
	{TTE_EMAIL, "e\xcc\x81@example.com", NULL, NULL, "e\xcc\x81@example.com"},
	{TTE_STATE, "CA - California", NULL, NULL, "ca"},
	{TTE_STATE, "US-CA", NULL, NULL, "ca"},
	{TTE_STATE, "CA-ON", NULL, NULL, "caon"},
	{TTE_STATE, "California / Nevada", NULL, "us", "californianevada"},
	{TTE_STATE, "Washington, D.C.", NULL, "us", "dc"},
	{TTE_STATE, "DE-BY", NULL, "de", "by"},
	{TTE_STATE, "Bas-Rhin", NULL, "fr", "basrhin"},
	{TTE_STATE, "Massachusetts (MA)", NULL, "de", "massachusettsma"},
	{TTE_ZIP_CODE, "95110-2345", NULL, "de", "951102345"},
	{TTE_ZIP_CODE, "951102345", NULL, NULL, "951102345"},
	{TTE_ZIP_CODE, "9511-02345", NULL, NULL, "951102345"},
	{TTE_COUNTRY, "Tanzania, United Republic of", NULL, NULL, "tz"},
	{TTE_COUNTRY, "United Republic of Tanzania", NULL, NULL, "tz"},
	{TTE_COUNTRY, "Bahamas (the)", NULL, NULL, "bs"},
	{TTE_COUNTRY, "The Bahamas", NULL, NULL, "bs"},
	{TTE_COUNTRY, "DE - Germany", NULL, NULL, "de"},
	{TTE_COUNTRY, "Germany (FR)", NULL, NULL, "!country"},
	{TTE_COUNTRY, "\xc3\x96sterreich", NULL, NULL, "at"},
	{TTE_COUNTRY, "\xe6\x97\xa5\xe6\x9c\xac", NULL, NULL, "jp"},
	{TTE_COUNTRY, "\xd0\xa0\xd0\xbe\xd1\x81\xd1\x81\xd0\xb8\xd1\x8f", NULL, NULL, "ru"},
	{TTE_COUNTRY, "Belgi\xc3\xab", NULL, NULL, "be"},
	{TTE_COUNTRY, "Suisse", NULL, NULL, "ch"},
	{TTE_COUNTRY, "276", NULL, NULL, "de"},
	{TTE_COUNTRY, "999", NULL, NULL, "!country"},
	{TTE_COUNTRY, "0", NULL, NULL, "!junk"},
	{TTE_LAST_NAME, "_\xe2\x80\x8cn\xe2\x80\x8c.", NULL, NULL, "n"},
	{TTE_LAST_NAME, "M\xe2\x80\x8e\xc3\xbcller\xe2\x80\x8f", NULL, NULL, "m\xc3\xbcller"},
	{TTE_CITY, "Z\xe2\x80\x8b\xc3\xbcrich", NULL, NULL, "zurich"},
	{TTE_IP, "1.2.3.4:65536", NULL, NULL, "!ip_syntax"},
	{TTE_IP, "1.2.3.4:", NULL, NULL, "!ip_syntax"},
	{TTE_IP, "1.2.3.4:x", NULL, NULL, "!ip_syntax"},
	{TTE_IP, "1.2.3.4, 5.6.7.8", NULL, NULL, "1.2.3.4"},
	{TTE_IP, "10.0.0.5, 5.6.7.8:443, 1.2.3.4", NULL, NULL, "5.6.7.8"},
	{TTE_IP, "unknown, 2001:db8::1, 1.2.3.4", NULL, NULL, "2001:db8::1"},
	{TTE_IP, "10.0.0.5, unknown", NULL, NULL, "!ip_private"},
	{TTE_IP, "unknown, 10.0.0.5", NULL, NULL, "!ip_private"},
	{TTE_IP, "unknown", NULL, NULL, "!ip_syntax"},
	{TTE_IP, ",", NULL, NULL, "!ip_syntax"},
	{TTE_IP, "for=1.2.3.4", NULL, NULL, "1.2.3.4"},
	{TTE_IP, "For=\"[2001:db8:cafe::17]:4711\"", NULL, NULL, "2001:db8:cafe::17"},
	{TTE_IP, "for=192.0.2.60;proto=http; by=203.0.113.43", NULL, NULL, "192.0.2.60"},
	{TTE_IP, "proto=http;for=\"_a,b\", for=198.51.100.17;by=203.0.113.43", NULL, NULL, "198.51.100.17"},
	{TTE_IP, "by=203.0.113.43", NULL, NULL, "!ip_syntax"},
	{TTE_IP, "\"1.2.3.4\"", NULL, NULL, "1.2.3.4"},
	{TTE_IP, "192.0.0.4", NULL, NULL, "!ip_private"},
	{TTE_IP, "192.0.1.4", NULL, NULL, "192.0.1.4"},
	{TTE_IP, "198.17.255.255", NULL, NULL, "198.17.255.255"},
	{TTE_IP, "198.18.0.1", NULL, NULL, "!ip_private"},
	{TTE_IP, "198.19.255.255", NULL, NULL, "!ip_private"},
	{TTE_IP, "198.20.0.0", NULL, NULL, "198.20.0.0"},
	{TTE_IP, "2001::1", NULL, NULL, "!ip_private"},
	{TTE_IP, "2001:1ff::1", NULL, NULL, "!ip_private"},
	{TTE_IP, "2001:200::1", NULL, NULL, "2001:200::1"},
	{TTE_IP, "100::1", NULL, NULL, "!ip_private"},
	{TTE_IP, "64:ff9b:1::1", NULL, NULL, "!ip_private"},
	{TTE_IP, "localhost", NULL, NULL, "!ip_syntax"},
	{TTE_IP, "0.0.0.0", NULL, NULL, "!ip_private"},
	{TTE_IP, "10.0.0.5", NULL, NULL, "!ip_private"},
	{TTE_IP, "100.64.0.1", NULL, NULL, "!ip_private"},
	{TTE_IP, "100.127.255.255", NULL, NULL, "!ip_private"},
	{TTE_IP, "100.128.0.1", NULL, NULL, "100.128.0.1"},
	{TTE_IP, "127.0.0.1", NULL, NULL, "!ip_private"},
	{TTE_IP, "169.254.1.1", NULL, NULL, "!ip_private"},
	{TTE_IP, "172.15.0.1", NULL, NULL, "172.15.0.1"},
	{TTE_IP, "172.16.0.1", NULL, NULL, "!ip_private"},
	{TTE_IP, "172.31.255.255", NULL, NULL, "!ip_private"},
	{TTE_IP, "172.32.0.1", NULL, NULL, "172.32.0.1"},
	{TTE_IP, "192.168.1.1", NULL, NULL, "!ip_private"},
	{TTE_IP, "192.0.2.1", NULL, NULL, "192.0.2.1"},
	{TTE_IP, "198.51.100.77", NULL, NULL, "198.51.100.77"},
	{TTE_IP, "224.0.0.1", NULL, NULL, "!ip_private"},
	{TTE_IP, "255.255.255.255", NULL, NULL, "!ip_private"},
	{TTE_IP, "2001:db8:1111:a:b0::200", NULL, NULL, "2001:db8:1111:a:b0::200"},
	{TTE_IP, "2001:0DB8:1111:000a:00b0:0000:0000:0200", NULL, NULL, "2001:0DB8:1111:000a:00b0:0000:0000:0200"},
	{TTE_IP, "2001:db8::1/64", NULL, NULL, "2001:db8::1"},
	{TTE_IP, "2001:db8::1/129", NULL, NULL, "!ip_syntax"},
	{TTE_IP, "2606:4700::1111", NULL, NULL, "2606:4700::1111"},
	{TTE_IP, "1:2:3:4:5:6:7::", NULL, NULL, "1:2:3:4:5:6:7::"},
	{TTE_IP, "1:2:3:4:5:6:7:8", NULL, NULL, "1:2:3:4:5:6:7:8"},
	{TTE_IP, "1:2:3:4:5:6:7:8:9", NULL, NULL, "!ip_syntax"},
	{TTE_IP, "1:2:3:4:5:6:7", NULL, NULL, "!ip_syntax"},
	{TTE_IP, "1::2::3", NULL, NULL, "!ip_syntax"},
	{TTE_IP, "1:2:3:4:5:6:7:8::", NULL, NULL, "!ip_syntax"},
	{TTE_IP, ":::", NULL, NULL, "!ip_syntax"},
	{TTE_IP, ":1", NULL, NULL, "!ip_syntax"},
	{TTE_IP, "1:", NULL, NULL, "!ip_syntax"},
	{TTE_IP, "12345::1", NULL, NULL, "!ip_syntax"},
	{TTE_IP, "::", NULL, NULL, "!ip_private"},
	{TTE_IP, "::1", NULL, NULL, "!ip_private"},
	{TTE_IP, "::1.2.3.4", NULL, NULL, "!ip_private"},
	{TTE_IP, "fc00::1", NULL, NULL, "!ip_private"},
	{TTE_IP, "fd12:3456::1", NULL, NULL, "!ip_private"},
	{TTE_IP, "fe80::1", NULL, NULL, "!ip_private"},
	{TTE_IP, "fe80::1%eth0", NULL, NULL, "!ip_syntax"},
	{TTE_IP, "ff02::1", NULL, NULL, "!ip_private"},
	{TTE_IP, "::ffff:203.0.113.24", NULL, NULL, "203.0.113.24"},
	{TTE_IP, "::FFFF:cb00:7118", NULL, NULL, "203.0.113.24"},
	{TTE_IP, "::ffff:10.0.0.1", NULL, NULL, "!ip_private"},
	{TTE_IP, "::ffff:300.0.0.1", NULL, NULL, "!ip_syntax"},
	{TTE_IP, "[2001:db8::1]", NULL, NULL, "2001:db8::1"},
	{TTE_IP, "[2001:db8::1]:443", NULL, NULL, "2001:db8::1"},
	{TTE_IP, "[2001:db8::1", NULL, NULL, "!ip_syntax"},
	{TTE_IP, "[2001:db8::1]x", NULL, NULL, "!ip_syntax"},
	{TTE_IP, "2001:db8::g", NULL, NULL, "!ip_syntax"},

	/* the rest */
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

static const char *
normalized(TteIdentifier kind, const char *str, int len, const TteIdentityRules *rules)
{
	StringInfoData out;
	const char *reason;

	initStringInfo(&out);
	appendStringInfoString(&out, "before");
	reason = tte_identifier_normalize(kind, str, len, rules, &out);
	if (reason != NULL)
		return out.len == 6 ? psprintf("!%s", reason) : "wrote something";
	return out.data + 6;
}

static void
test_identifiers(void)
{
	for (int i = 0; i < lengthof(identifier_cases); i++)
	{
		const IdentifierCase *c = &identifier_cases[i];
		TteIdentityRules rules = {.calling_code = c->calling_code, .country = c->country};

		check_text(tte_identifier_names[c->kind], c->given,
				   normalized(c->kind, c->given, strlen(c->given), &rules), c->expected);
	}
}

static char *
repeated(const char *str, int times, const char *end)
{
	StringInfoData out;

	initStringInfo(&out);
	for (int i = 0; i < times; i++)
		appendStringInfoString(&out, str);
	appendStringInfoString(&out, end);
	return out.data;
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

/* The body of a request with one stored event. */
static const char *
body_of(const char *payload, const char *user_data)
{
	StringInfoData out;

	initStringInfo(&out);
	tte_wire_open(&out, "web", "C\"1", NULL);
	if (!tte_wire_event(&out, payload, strlen(payload), user_data, user_data ? strlen(user_data) : 0, true))
		appendStringInfoString(&out, "unreadable");
	tte_wire_close(&out);
	return out.data;
}

static void
test_bodies(void)
{
	StringInfoData out;

	check_text("body", NULL, body_of("{\"event\":\"Lead\"}", "{\"email\":\"alice_abc@gmail.com\"}"),
			   "{\"event_source\":\"web\",\"event_source_id\":\"C\\\"1\",\"data\":[{\"event\":\"Lead\",\"user\":{\"email\":\"" HEX64_LOWER "\"}}]}");
	check_text("body, no user", NULL, body_of("{\"event\":\"Lead\"}", NULL),
			   "{\"event_source\":\"web\",\"event_source_id\":\"C\\\"1\",\"data\":[{\"event\":\"Lead\"}]}");
	check_text("body, unreadable user leaves nothing", NULL, body_of("{\"event\":\"Lead\"}", "{\"email\":"),
			   "{\"event_source\":\"web\",\"event_source_id\":\"C\\\"1\",\"data\":[unreadable]}");
	check_text("body, unreadable payload", NULL, body_of("\"Lead\"", NULL),
			   "{\"event_source\":\"web\",\"event_source_id\":\"C\\\"1\",\"data\":[unreadable]}");
	initStringInfo(&out);
	tte_wire_open(&out, "web", "C1", "TEST1");
	check_text("body, test code", NULL, out.data,
			   "{\"event_source\":\"web\",\"event_source_id\":\"C1\",\"test_event_code\":\"TEST1\",\"data\":[");
}

/*
 * Catalogue
 */

static const char *
name_verdict(TteEventSource source, const char *name, bool rename)
{
	static const char *const words[] = {
		"ok", "renamed", "case", "reserved", "not_standard", "syntax"
	};
	const char *final;
	TteNameVerdict verdict = tte_name_check(source, name, strlen(name), rename, &final);

	return psprintf("%s %s", words[verdict], final ? final : "-");
}

static void
test_names(void)
{
	static const struct
	{
		TteEventSource source;
		const char *name;
		bool		rename;
		const char *expected;
	}			cases[] = {
		{TTE_WEB, "Purchase", true, "ok Purchase"},
		{TTE_OFFLINE, "ApplicationApproval", true, "ok ApplicationApproval"},
		{TTE_WEB, "CompletePayment", true, "renamed Purchase"},
		{TTE_WEB, "CompletePayment", false, "ok CompletePayment"},
		{TTE_CRM, "SubmitForm", true, "renamed Lead"},
		{TTE_APP, "CompletePayment", true, "reserved Purchase"},
		{TTE_WEB, "PlaceAnOrder", true, "ok PlaceAnOrder"},
		{TTE_OFFLINE, "ClickButton", true, "ok ClickButton"},
		{TTE_WEB, "purchase", true, "case Purchase"},
		{TTE_WEB, "PURCHASE", true, "case Purchase"},
		{TTE_WEB, "completepayment", true, "case Purchase"},
		{TTE_WEB, "completepayment", false, "case CompletePayment"},
		{TTE_APP, "LaunchApp", true, "case LaunchAPP"},
		{TTE_APP, "InAppAdClick", true, "case InAppADClick"},
		{TTE_APP, "LaunchAPP", true, "ok LaunchAPP"},
		{TTE_APP, "Checkout", true, "ok Checkout"},
		{TTE_WEB, "Checkout", true, "reserved PlaceAnOrder"},
		{TTE_APP, "Registration", true, "ok Registration"},
		{TTE_WEB, "Registration", true, "reserved CompleteRegistration"},
		{TTE_CRM, "Consult", true, "reserved Contact"},
		{TTE_OFFLINE, "ViewForm", true, "reserved ViewContent"},
		{TTE_WEB, "Quote_Requested", true, "ok -"},
		{TTE_APP, "level-2", true, "ok -"},
		{TTE_CRM, "Qualified_Lead", true, "ok -"},
		{TTE_OFFLINE, "Quote_Requested", true, "not_standard -"},
		{TTE_WEB, "complete payment", true, "syntax Purchase"},
		{TTE_WEB, "Add to cart", true, "syntax AddToCart"},
		{TTE_WEB, "Purchase ", true, "syntax Purchase"},
		{TTE_WEB, "2nd", true, "syntax -"},
		{TTE_WEB, "_x", true, "syntax -"},
		{TTE_WEB, "a.b", true, "syntax -"},
		{TTE_WEB, "caf\xc3\xa9", true, "syntax -"},
		{TTE_WEB, "a2345678901234567890123456789012345678901234567890", true, "ok -"},
		{TTE_WEB, "a23456789012345678901234567890123456789012345678901", true, "syntax -"},
		{TTE_WEB, "", true, "syntax -"}
	};
	const char *final;

	for (int i = 0; i < lengthof(cases); i++)
		check_text("event name", cases[i].name,
				   name_verdict(cases[i].source, cases[i].name, cases[i].rename), cases[i].expected);
	check_true("name with NUL", tte_name_check(TTE_WEB, "Purchase\0x", 10, true, &final) == TTE_NAME_SYNTAX);
}

static void
check_field(const char *target, const char *expected)
{
	int			field = tte_field_find(target, strlen(target));

	check_text("target", target, field < 0 ? NULL :
			   psprintf("%s.%s", tte_section_names[tte_fields[field].section], tte_fields[field].name),
			   expected);
}

static void
check_suggestion(const char *target, const char *expected)
{
	check_text("suggestion", target, tte_field_suggest(target, strlen(target)), expected);
}

static void
test_fields(void)
{
	check_field("email", "user.email");
	check_field("user.email", "user.email");
	check_field("properties.value", "properties.value");
	check_field("value", "properties.value");
	check_field("query", "properties.search_string");
	check_field("properties.query", "properties.search_string");
	check_field("page.url", "page.url");
	check_field("app_id", "app.app_id");
	check_field("lead.lead_id", "lead.lead_id");
	check_field("page.email", NULL);
	check_field("Email", NULL);
	check_field("user.", NULL);
	check_field("", NULL);
	check_field("contents_ids", NULL);
	check_true("field with NUL", tte_field_find("email\0x", 7) == -1);
	check_true("section and name", tte_field_in(TTE_SECTION_USER, "email", 5) == TTE_EMAIL &&
			   tte_field_in(TTE_SECTION_PAGE, "email", 5) == -1);
	check_suggestion("emial", "email");
	check_suggestion("user.emial", "email");
	check_suggestion("contents_ids", "content_ids");
	check_suggestion("phone_number", "phone");
	check_suggestion("phonenumber", "phone");
	check_suggestion("useragent", "user_agent");
	check_suggestion("referer", "referrer");
	check_suggestion("eventid", "event_id");
	check_suggestion("curency", "currency");
	check_suggestion("zip", "zip_code");
	check_suggestion("leadId", "lead_id");
	check_suggestion("favourite_colour", NULL);
	check_suggestion("x", NULL);
	check_suggestion(repeated("a", 1000, ""), NULL);
	for (int i = 0; i < TTE_FIELD_COUNT; i++)
	{
		const TteField *f = &tte_fields[i];

		check_true("every field is found by its own name",
				   f->name != NULL && tte_field_find(f->name, strlen(f->name)) == i &&
				   tte_field_in(f->section, f->name, strlen(f->name)) == i);
		if (i < TTE_IDENTIFIERS)
			check_text("identifiers come first", NULL, f->name, tte_identifier_names[i]);
	}
}

static void
test_codes(void)
{
	static const char *const known[] = {"USD", "EUR", "JPY", "AED", "ZAR", "HUF"};
	static const char *const unknown[] = {"BGN", "ZZZ", "usd", "US", "USDX", "840", "", "D A", "LKR"};
	static const struct
	{
		int			code;
		TteCodeClass class;
	}			codes[] = {
		{0, TTE_CODE_OK}, {20001, TTE_CODE_SINGLY}, {40000, TTE_CODE_ISOLATE},
		{40001, TTE_CODE_STOP_CONFIGURATION}, {40002, TTE_CODE_ISOLATE},
		{40050, TTE_CODE_DUPLICATE}, {40100, TTE_CODE_THROTTLE},
		{40102, TTE_CODE_STOP_CREDENTIAL}, {40105, TTE_CODE_STOP_CREDENTIAL},
		{40118, TTE_CODE_STOP_CONFIGURATION}, {40132, TTE_CODE_THROTTLE},
		{40201, TTE_CODE_RETRY}, {40700, TTE_CODE_RETRY_ONCE}, {41002, TTE_CODE_STOP_CONFIGURATION},
		{44444, TTE_CODE_ISOLATE}, {50000, TTE_CODE_RETRY}, {51055, TTE_CODE_RETRY},
		{52204, TTE_CODE_RETRY}, {60001, TTE_CODE_RETRY}, {61000, TTE_CODE_THROTTLE},
		{70001, TTE_CODE_STOP_CREDENTIAL}, {99999, TTE_CODE_RETRY}, {-1, TTE_CODE_RETRY}
	};
	int			currencies = 0;
	int			of_apps = 0;
	int			of_iso[5] = {0};

	for (int i = 0; i < lengthof(known); i++)
		check_true(known[i], tte_currency_known(TTE_WEB, known[i]));
	for (int i = 0; i < lengthof(unknown); i++)
		check_true("not a currency", !tte_currency_known(TTE_CRM, unknown[i]));
	for (int i = 0; i < 26 * 26 * 26; i++)
	{
		char		code[4] = {'A' + i / 676, 'A' + i / 26 % 26, 'A' + i % 26, '\0'};

		currencies += tte_currency_known(TTE_WEB, code);
		of_apps += tte_currency_known(TTE_APP, code);
		if (tte_currency_exponent(code) >= 0)
			of_iso[tte_currency_exponent(code)]++;
		else
			check_true("what TikTok takes is in ISO 4217", !tte_currency_known(TTE_APP, code));
	}
	check_true("62 currencies", currencies == 62);
	check_true("67 of apps", of_apps == 67);

	/*
	 * ISO 4217: 181 of the list of 2023, and XAD, XCG and ZWG; UYW and CLF
	 * have four digits
	 */
	check_true("184 of ISO 4217", of_iso[0] + of_iso[2] + of_iso[3] + of_iso[4] == 184);
	check_true("exponents", of_iso[1] == 0 && of_iso[3] == 7 && of_iso[4] == 2 &&
			   tte_currency_exponent("JPY") == 0 && tte_currency_exponent("KRW") == 0 &&
			   tte_currency_exponent("EUR") == 2 && tte_currency_exponent("HUF") == 2 &&
			   tte_currency_exponent("KWD") == 3 && tte_currency_exponent("TND") == 3 &&
			   tte_currency_exponent("XAF") == 0 && tte_currency_exponent("eur") == -1 && tte_currency_exponent("EU") == -1);
	for (int i = 0; i < lengthof(codes); i++)
	{
		const char *meaning = NULL;
		const char *fix = NULL;

		check_true("class of a return code", tte_code_class(codes[i].code, &meaning, &fix) == codes[i].class &&
				   meaning[strlen(meaning) - 1] == '.' && fix[strlen(fix) - 1] == '.');
	}
	for (int i = 0; i < 4; i++)
		check_true("event source", tte_source_find(tte_source_names[i]) == i);
	check_true("no event source", tte_source_find("Web") == -1);
}

static void
test_calling_codes(void)
{
	static const struct
	{
		const char *given;
		const char *expected;
	}			cases[] = {
		{"DE", "de"}, {"de", "de"}, {"CA", "ca"}, {"uk", "uk"}, {"AQ", "aq"}, {"XK", "xk"},
		{"+49", "49"}, {"49", "49"}, {"1", "1"}, {"+998", "998"}, {"210", NULL}, {"+de", NULL},
		{"0", NULL}, {"0049", NULL}, {"", NULL}, {"+", NULL}, {"ZZ", NULL},
		{"DEU", NULL}, {"4 9", NULL}, {"\xc3\xa9", NULL}
	};

	for (int i = 0; i < lengthof(cases); i++)
		check_text("calling code of", cases[i].given, tte_calling_code_of(cases[i].given), cases[i].expected);
	for (int a = 'a'; a <= 'z'; a++)
	{
		for (int b = 'a'; b <= 'z'; b++)
		{
			char		code[3] = {a, b, '\0'};

			if (tte_country_find(code, 2) != NULL && tte_calling_code_of(code) == NULL)
				check_text("every country has a numbering plan", code, NULL, code);
		}
	}
}

/* What libphonenumber makes of the same text: a sample of script/test-identifiers. */
static void
test_phones(void)
{
	for (int i = 0; i < lengthof(phone_cases); i++)
	{
		TteIdentityRules rules = {.calling_code = tte_calling_code_of(phone_cases[i][0])};
		StringInfoData out;
		const char *reason;

		initStringInfo(&out);
		reason = tte_identifier_normalize(TTE_PHONE, phone_cases[i][1], strlen(phone_cases[i][1]), &rules, &out);
		check_text(phone_cases[i][0], phone_cases[i][1], reason != NULL ? reason : out.data, phone_cases[i][2]);
	}
}

/*
 * Phones whose reading has been wrong, or that have none.
 */
static void
test_hard_phones(void)
{
	static const struct
	{
		const char *place;
		const char *text;
		const char *expected;
	}			cases[] = {
		{"ar", "+54 11 15-2345-6789", "+5491123456789"},
		{"ar", "+54 (011) 15-2345-6789", "+5491123456789"},
		{"ar", "011 15-2345-6789", "+5491123456789"},
		{"ru", "+7 8 912 345 67 89", "+79123456789"},
		{"ru", "8 (912) 345-67-89", "+79123456789"},
		{"kz", "8 912 345 67 89", "+79123456789"},
		{"by", "+375 (80)25 983-16-89", "+375259831689"},
		{"hk", "001 852 5123 4567", "+85251234567"},
		{"hk", "001 86 131 2345 6789", "+8613123456789"},
		{"br", "00 15 55800123456", "+55800123456"},
		{"br", "0 15 11 96123-4567", "+5511961234567"},
		{"br", "(55) 97858-7491", "+5555978587491"},
		{"sg", "0016518001234567", "+6518001234567"},
		{"us", "011 44 20 7946 0123", "+442079460123"},
		{"au", "0011 44 20 7946 0123", "+442079460123"},
		{"au", "00 44 20 7946 0123", "+442079460123"},
		{"gg", "712345", "+441481712345"},
		{"uk", "020 7946 0123", "+442079460123"},
		{"gb", "+44 (0)20 7946 0123", "+442079460123"},
		{"fr", "+33 (0) 6 12 34 56 78", "+33612345678"},
		{"es", "+34 (0) 612 345 678", "+34612345678"},
		{"it", "391 234 5678", "+393912345678"},
		{"it", "39 391 234 5678", "+393912345678"},
		{"it", "+39 06 698 12345", "+390669812345"},
		{"id", "628123456789", "+628123456789"},
		{"at", "43664123456", "+43664123456"},
		{"de", "4915112345678", "+4915112345678"},
		{"de", "492112345", "!phone_ambiguous"},
		{"de", "0049 151 12345678", "+4915112345678"},
		{"de", "+0049 151 12345678", "+4915112345678"},
		{"rw", "+25006871503", "+25006871503"},
		{"za", "083 852", "+2783852"},
		{"jp", "090\xef\xbc\x88" "1234\xef\xbc\x89" "5678", "+819012345678"},
		{NULL, "wa.me/4915112345678", "+4915112345678"},
		{NULL, "https://api.whatsapp.com/send?phone=4915112345678", "+4915112345678"},
		{NULL, "p:+14155550100", "+14155550100"},
		{NULL, "\xe2\x80\xaa+49 151 12345678\xe2\x80\xac", "+4915112345678"},
		{NULL, "=+4915112345678", "+4915112345678"},
		{"de", "030 123 123 12 (B\xc3\xbcro)", "+493012312312"},
		{"de", "030123456/57", "+4930123456"},
		{"de", "033056/1234", "+49330561234"},
		{"de", "030/1234567/89", "+49301234567"},
		{"de", "030 1231231, 0171 2312312", "+49301231231"},
		{"de", "030 1231231 oder 0171 2312312", "+49301231231"},
		{"de", "030 1231231 Fax 030 1231232", "+49301231231"},
		{"de", "030 1231231 +49 171 2312312", "+49301231231"},
		{"de", "030 1231231\n0171 2312312", "+49301231231"},
		{"de", "030 1231231 0171 2312312", "!phone_length"},
		{"de", "030 1231231 ext 12", "+49301231231"},
		{"us", "1-800-FLOWERS", "!phone_syntax"},
		{"de", "0800 123 CALL", "!phone_syntax"},
		{"de", "030 1231231 privat", "!phone_syntax"},
		{"lu", "352628123456.0", "!phone_syntax"},
		{"lu", "+352628123456.00", "!phone_syntax"},
		{"de", "4.915112345678E+12", "!phone_syntax"},
		{"de", "49151E12", "!phone_syntax"},
		{"fr", "01.23.45.67.00", "+33123456700"},
		{"de", "0123456789", "!junk"},
		{"de", "1111111111", "!junk"},
		{"de", "0987654321", "!junk"},
		{"us", "555-555-5555", "!junk"},
		{"us", "+1 (999) 999-9999", "!junk"},
		{"us", "123-456-7890", "!junk"},
		{"fr", "+33 6 12 34 56 7", "!phone_length"},
		{"fr", "+33 6 12 34 56 78 9", "!phone_length"},
		{"fr", "+33 6 12 34 56 78 ext", "!phone_syntax"},
		{"us", "+1 415 155 0100 0", "!phone_length"},
		{NULL, "+33 1 (2", "!phone_length"},
		{NULL, "030 12312312", "!phone_no_country"},
		{"aq", "10 1234", "+672101234"}
	};

	for (int i = 0; i < lengthof(cases); i++)
	{
		TtePhone	phone;
		const char *reason = tte_phone_read(cases[i].text, strlen(cases[i].text), cases[i].place, &phone);

		check_text(cases[i].place ? cases[i].place : "any", cases[i].text,
				   reason != NULL ? psprintf("!%s", reason) : phone.number, cases[i].expected);
	}
}

/*
 * Amounts
 */

static const char *
decimal(const char *given)
{
	TteDecimal	d;
	TteDecimalState state = tte_decimal_read(given, strlen(given), &d);

	switch (state)
	{
		case TTE_DECIMAL_SYNTAX:
			return "syntax";
		case TTE_DECIMAL_NOT_FINITE:
			return "not_finite";
		case TTE_DECIMAL_RANGE:
			return "range";
		default:
			return psprintf("%s%s", d.negative ? "-" : "", d.digits);
	}
}

static void
test_decimals(void)
{
	static const struct
	{
		const char *given;
		const char *expected;
	}			cases[] = {
		{"0", "0"}, {"-0", "0"}, {"-0.00", "0.00"}, {"+5", "5"}, {"-5", "-5"}, {"007", "7"},
		{"12000", "12000"}, {"49.90", "49.90"}, {"80.00", "80.00"}, {".5", "0.5"}, {"5.", "5"},
		{"1.5e3", "1500"}, {"1.25E1", "12.5"}, {"1e-2", "0.01"}, {"100e-2", "1.00"},
		{"0.30000000000000004", "0.30000000000000004"}, {"19.999999999", "19.999999999"},
		{"33.333333333333336", "33.333333333333336"}, {"100000000000000", "100000000000000"},
		{"999999999999999", "999999999999999"}, {"1000000000000000", "range"}, {"1e15", "range"},
		{"1e14", "100000000000000"}, {"1e131071", "range"}, {"1e999999999999999999999", "range"},
		{"1e-999999999999999999999", "range"}, {"0e999999999999999999", "0"},
		{"123456789012345678", "range"}, {"0.123456789012345678", "0.12345678901234568"},
		/* repr(float(x)) of Python, at most 18 digits behind the point */
		{"41.9327731092436975", "41.9327731092437"},
		{"33.333333333333333333", "33.333333333333336"},
		{"0.00333333333333333333", "0.003333333333333333"},
		{"66.6666666666666666666666666", "66.66666666666667"},
		{"1.00000000000000000001", "1"},
		{"99.99999999999999999", "100"},
		{"999999999999999.9", "999999999999999.9"},
		{"0.0333333333333333333333", "0.03333333333333333"},
		{"123456789012345.678901", "123456789012345.67"},
		{"0.000000000000000000999999999999999999", "0.000000000000000001"},
		{"14.2857142857142857142857142857142857142857142857142857142857142857142857142857", "14.285714285714286"},
		{"999999999999999.9999", "range"}, {"99999999999999.999", "99999999999999.999"}, {"0.0000000000000000005", "0.000000000000000001"},
		{"0.00000000000000000049", "range"}, {"-41.9327731092436975", "-41.9327731092437"},
		{"0.000000000000000001", "0.000000000000000001"}, {"0.0000000000000000001", "range"},
		{"49.9000000000000000000000000", "49.9"}, {"NaN", "not_finite"}, {"nan", "not_finite"},
		{"Infinity", "not_finite"}, {"-Infinity", "not_finite"}, {"-inf", "not_finite"},
		{"", "syntax"}, {"-", "syntax"}, {".", "syntax"}, {"e5", "syntax"}, {"1e", "syntax"},
		{"1,299.00", "syntax"}, {"12,50", "syntax"}, {"$5", "syntax"}, {"5 EUR", "syntax"},
		{"1.2.3", "syntax"}, {"0x10", "syntax"}, {"--5", "syntax"}, {"1 000", "syntax"}
	};
	TteSum		sum = {.scale = 0};
	TteDecimal	d;
	char		room[80];
	int			len;

	for (int i = 0; i < lengthof(cases); i++)
		check_text("amount", cases[i].given, decimal(cases[i].given), cases[i].expected);
	check_text("a hundred thousand digits", NULL, decimal(repeated("9", 131072, "")), "range");
	check_text("a hundred thousand zeros", NULL, decimal(repeated("0", 131072, "7.5")), "7.5");
	tte_decimal_read("49.90", 5, &d);
	tte_sum_add(&sum, &d, 1);
	tte_decimal_read("15.05", 5, &d);
	tte_sum_add(&sum, &d, 2);
	check_true("sum", tte_sum_result(&sum, &d) == TTE_DECIMAL_OK && strcmp(d.digits, "80.00") == 0);
	tte_decimal_read("0.1", 3, &d);
	memset(&sum, 0, sizeof(sum));
	for (int i = 0; i < 10; i++)
		tte_sum_add(&sum, &d, 1);
	tte_decimal_read("0.000000000000000001", 20, &d);
	tte_sum_add(&sum, &d, 999999999);
	check_true("exact sum", tte_sum_result(&sum, &d) == TTE_DECIMAL_OK &&
			   strcmp(d.digits, "1.000000000999999999") == 0);
	tte_decimal_read("999999999999999", 15, &d);
	for (int i = 0; i < 500; i++)
		tte_sum_add(&sum, &d, 999999999);
	check_true("sum out of range", tte_sum_result(&sum, &d) == TTE_DECIMAL_RANGE);
	memset(&sum, 0, sizeof(sum));
	check_true("empty sum", tte_sum_result(&sum, &d) == TTE_DECIMAL_OK && strcmp(d.digits, "0") == 0);
	len = tte_decimal_plain("1.4155550100E10", 15, room, sizeof(room));
	check_true("number without exponent", len == 11 && strcmp(room, "14155550100") == 0);
	len = tte_decimal_plain("7412345678901234567", 19, room, sizeof(room));
	check_true("long number", len == 19 && strcmp(room, "7412345678901234567") == 0);
	check_true("too long", tte_decimal_plain("1e100", 5, room, sizeof(room)) == -1);
	check_true("negative fraction", tte_decimal_plain("-0.05", 5, room, sizeof(room)) == 5 &&
			   strcmp(room, "-0.05") == 0);
}

/*
 * Addresses of pages
 */

static const struct
{
	const char *given;
	const char *expected;		/* NULL: unchanged */
}			url_cases[] = {
	{"https://shop.example.com/a?order=SO-1&ttclid=E.C.P.x", NULL},
	{"https://shop.example.com/", NULL},
	{"https://shop.example.com", NULL},
	{"https://x.example/?email=a%40b.c&order=1", "https://x.example/?email=&order=1"},
	{"https://x.example/?EMail=secret", "https://x.example/?EMail="},
	{"https://x.example/?e-mail=secret", "https://x.example/?e-mail="},
	{"https://x.example/?billing%5Bemail%5D=x&y=1", "https://x.example/?billing%5Bemail%5D=&y=1"},
	{"https://x.example/?a=1&first_name=Ann&utm_source=tt", "https://x.example/?a=1&first_name=&utm_source=tt"},
	{"https://x.example/?phone=%2B49171&tel=1&mobile=2", "https://x.example/?phone=&tel=&mobile="},
	{"https://x.example/?name=Ann&product_name=Shoe", "https://x.example/?name=&product_name=Shoe"},
	{"https://x.example/?access_token=t&address=s", "https://x.example/?access_token=&address="},
	{"https://x.example/?password=", NULL},
	{"https://x.example/?q=ann@example.com", "https://x.example/?q="},
	{"https://x.example/?q=ann%2540example.com", "https://x.example/?q="},
	{"https://x.example/u/ann%2540example.com/x", "https://x.example/u//x"},
	{"https://x.example/u/ann%252540example.com/x", "https://x.example/u//x"},
	{"https://x.example/u/ann%2525252540example.com/x", "https://x.example/u//x"},
	{"https://x.example/u/ann%252525252540example.com/x", NULL},
	{"https://shop.example.com/?redirect_to=https%253A%252F%252Fshop.example.com%252F%253Femail%253Dana%252540example.com",
	"https://shop.example.com/?redirect_to="},
	{"https://x.example/?back=%2Forder%3Fkey%3Dwc_order_AbCdE&a=1", "https://x.example/?back=&a=1"},
	{"https://x.example/?back=%2Forder%3Fkey%3D%26a%3D1", NULL},
	{"https://x.example/?customer%255Bemail%255D=x", "https://x.example/?customer%255Bemail%255D="},
	{"https://x.example/?a=1&amp;name=Ann&amp;b=2", "https://x.example/?a=1&amp;name=&amp;b=2"},

	/* what opens an order or a payment */
	{"https://shop.example.com/checkout/order-received/897/?key=wc_order_AbCdEf12345", "https://shop.example.com/checkout/order-received/897/?key="},
	{"https://x.myshopify.com/1/orders/c39a/authenticate?key=5e78c8", "https://x.myshopify.com/1/orders/c39a/authenticate?key="},
	{"https://x.example/?order=wc_order_AbCdE&utm_source=tt", "https://x.example/?order=&utm_source=tt"},
	{"https://x.example/?order-received=9&order_key=abc", "https://x.example/?order-received=9&order_key="},
	{"https://x.example/?id_order=9&secure_key=abc", "https://x.example/?id_order=9&secure_key="},
	{"https://x.example/?session_id=cs_live_a1b2", "https://x.example/?session_id="},
	{"https://x.example/?s=cs_test_a1b2", "https://x.example/?s="},
	{"https://x.example/?payment_intent=pi_1&payment_intent_client_secret=pi_1_secret_2&redirect_status=succeeded",
	"https://x.example/?payment_intent=&payment_intent_client_secret=&redirect_status=succeeded"},
	{"https://x.example/?paymentId=PAY-1&token=EC-1&PayerID=ABC", "https://x.example/?paymentId=&token=&PayerID="},
	{"https://x.example/?tx=7&st=Completed&amt=5&sig=abc", "https://x.example/?tx=&st=Completed&amt=5&sig="},
	{"https://x.example/?redirectResult=abc&sessionResult=d&MD=e&PaRes=f", "https://x.example/?redirectResult=&sessionResult=&MD=&PaRes="},
	{"https://x.example/?razorpay_payment_id=pay_1&razorpay_signature=abc", "https://x.example/?razorpay_payment_id=&razorpay_signature="},
	{"https://x.example/?cko-session-id=sid_1&amazonCheckoutSessionId=2", "https://x.example/?cko-session-id=&amazonCheckoutSessionId="},
	{"https://x.example/?crypt=abc&hash=d&_wpnonce=e&deepLinkCode=f", "https://x.example/?crypt=&hash=&_wpnonce=&deepLinkCode="},
	{"https://x.example/cart;jsessionid=AB12/pay?a=1", "https://x.example/cart;jsessionid=/pay?a=1"},
	{"https://x.example/pay/wc_order_AbCdE/", "https://x.example/pay//"},
	{"https://x.example/?utm_source=tiktok&utm_medium=paid&utm_campaign=key&utm_id=7&gclid=a&fbclid=b&q=keyword&keyword=shoe&status=ok", NULL},
	{"https://x.example/?ann@example.com", "https://x.example/?"},
	{"https://x.example/#/p?email=x", "https://x.example/#/p?email="},
	{"https://x.example/#access_token=abc", "https://x.example/#access_token="},
	{"https://ann:secret@x.example/p", "https://x.example/p"},
	{"https://x.example/u/ann@example.com/orders", "https://x.example/u//orders"},
	{"https://x.example/u/ann%40example.com", "https://x.example/u/"},
	{"https://x.example/@ann/video/7", NULL},
	{"https://x.example/?the_last_of_all_the_fields_of_this_form_email=x", "https://x.example/?the_last_of_all_the_fields_of_this_form_email="},
	{"https://x.example/?a&b&&c=", NULL}
};

static void
test_urls(void)
{
	static const char *const full[] = {
		"https://x.example", "http://localhost:8080/", "android-app://com.example.app",
		"https://x.example/caf\xc3\xa9?q=%20", "https://x.example/a b", "https://x.example?q=a b#c d"
	};
	static const char *const not_full[] = {
		"", "/checkout", "x.example/p", "//x.example", "https:/x.example", "https://",
		"https:///p", "https://x example/a", "https:// x.example/", "https://x.example/\n", "://x", "1a b://x"
	};
	static const struct
	{
		const char *url;
		const char *expected;
	}			parameters[] = {
		{"https://x.example/?ttclid=abc", "abc"}, {"https://x.example/?a=1&ttclid=a%2Bb+c#x", "a+b c"},
		{"https://x.example/?ttclid=", NULL}, {"https://x.example/?xttclid=1", NULL},
		{"https://x.example/#?ttclid=1", "1"}, {"https://x.example/#/landing?ttclid=1", "1"},
		{"https://x.example/#ttclid=1", "1"}, {"https://x.example/#/p?a=1&ttclid=2", "2"},
		{"https://x.example/?ttclid=1#ttclid=2", "1"}, {"https://x.example/?ttclid=#ttclid=2", "2"},
		{"https://x.example/?a=1&amp;ttclid=2&amp;b=3", "2"}, {"https://x.example/?a=1&lt;ttclid=2", NULL},
		{"https://x.example/ttclid=1?a=1", NULL}, {"https://x.example/ttclid=1", NULL},
		{"https://x.example/?ttclid=%zz%4", "%zz%4"}, {"https://x.example/?ttclid", NULL}
	};
	StringInfoData out;

	initStringInfo(&out);
	for (int i = 0; i < lengthof(url_cases); i++)
	{
		bool		removed;

		resetStringInfo(&out);
		removed = tte_url_scrub(url_cases[i].given, strlen(url_cases[i].given), &out);
		check_text("scrubbed", url_cases[i].given, out.data,
				   url_cases[i].expected ? url_cases[i].expected : "");
		check_true("told", removed == (url_cases[i].expected != NULL));
	}
	for (int i = 0; i < lengthof(full); i++)
		check_true("full address", tte_url_full(full[i], strlen(full[i])));
	for (int i = 0; i < lengthof(not_full); i++)
		check_true("no full address", !tte_url_full(not_full[i], strlen(not_full[i])));
	for (int i = 0; i < lengthof(parameters); i++)
	{
		bool		found;

		resetStringInfo(&out);
		found = tte_url_parameter(parameters[i].url, strlen(parameters[i].url), "ttclid", &out);
		check_text("parameter", parameters[i].url, found ? out.data : NULL, parameters[i].expected);
	}
	check_true("macros", tte_is_macro("{{ttclid}}", 10) && tte_is_macro("E.{{ x }}", 9) && tte_is_macro("__CLICKID__", 11));
	check_true("no macros", !tte_is_macro("E.C.P.abc", 9) && !tte_is_macro("{ttclid", 7) && !tte_is_macro("}}{{", 4) &&
			   !tte_is_macro("____", 4) && !tte_is_macro("__a", 3) && !tte_is_macro("", 0));
	check_true("e-mail in text", tte_text_has_email("write ann.b@example.com now", 27) &&
			   tte_text_has_email("a@b.co", 6));
	check_true("no e-mail in text", !tte_text_has_email("5 @ 3.50", 8) && !tte_text_has_email("@ann", 4) &&
			   !tte_text_has_email("a@b", 3) && !tte_text_has_email("a@b.c", 5) &&
			   !tte_text_has_email("part7@3.50", 10) && !tte_text_has_email("a@.co", 5) && !tte_text_has_email("", 0));
}

/*
 * Events
 */

#define UA		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36"
#define IPHONE	"Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148"
#define ANDROID	"Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Mobile Safari/537.36"

static TteSourceRules
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
static void
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

static TteEvent *
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

/* The element of data[] as the worker posts it. */
static const char *
element(const TteRendered *r)
{
	StringInfoData out;

	if (r->verdict != TTE_EVENT_READY)
		return psprintf("\"%s %s\"", r->reason, r->detail ? r->detail : "");
	initStringInfo(&out);
	appendBinaryStringInfo(&out, r->payload, r->payload_len);
	if (r->user_data != NULL)
	{
		out.len--;
		appendStringInfoString(&out, ",\"user\":");
		if (!tte_identity_append_user(&out, r->user_data, r->user_data_len, false))
			return "\"user_data is broken\"";
		appendStringInfoChar(&out, '}');
	}
	return out.data;
}

/* Equal as JSON: members in any order, numbers by value. */
static bool
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

static void
check_json(const char *what, const char *got, const char *expected)
{
	check(equal_json(tte_json_parse(got, strlen(got), NULL),
					 tte_json_parse(expected, strlen(expected), NULL)),
		  what, NULL, got, expected);
}

/* One event of TikTok's contract: what goes in, and what must be posted. */
typedef struct Example
{
	const char *what;
	TteEventSource source;
	const char *calling_code;
	TteTriState limited_data_use;
	const char *event;
	const char *id;
	int64		usec;
	const char *fields;
	const char *expected;
} Example;

static const Example examples[] = {
	{"web purchase of several things", TTE_WEB, "1", TTE_UNSET, "Purchase", "purchase-SO-10001",
		INT64CONST(1795169730000000),
		"{\"user\":{\"email\":\"  Ana.Example@Example.COM \",\"phone\":\"(202) 555-0143\","
		"\"external_id\":\"cust_000123\",\"ttclid\":\"E.C.P.example-click-id-0001\","
		"\"ttp\":\"01JEXAMPLETTPCOOKIE00000001\",\"ip\":\"203.0.113.24\",\"user_agent\":\"" UA "\",\"locale\":\"en-US\"},"
		"\"page\":{\"url\":\"https://shop.example.com/checkout/thank-you?order=SO-10001&ttclid=E.C.P.example-click-id-0001\","
		"\"referrer\":\"https://shop.example.com/checkout\"},"
		"\"properties\":{\"order_id\":\"SO-10001\",\"currency\":\"usd\",\"contents\":["
		"{\"content_id\":1001,\"content_name\":\"Trail shoe\",\"content_category\":\"Shoes\",\"brand\":\"Example Brand\",\"price\":\"49.90\",\"quantity\":1},"
		"{\"content_id\":\"SOCK-2\",\"content_name\":\"Wool sock\",\"content_category\":\"Socks\",\"brand\":\"Example Brand\",\"price\":\"15.05\",\"quantity\":2}]}}",
		"{\"event\":\"Purchase\",\"event_time\":1795169730,\"event_id\":\"purchase-SO-10001\",\"user\":{"
		"\"email\":\"bb5aaf880f360f2dbcae12dcd39c46cbdd0a2ea0009aea4e172cdfe8f0618edc\","
		"\"phone\":\"54af34308301e43f00650baaeb6cf4925b942201d74191b26d48292cfec907fd\","
		"\"external_id\":\"6bd1c3500bfd5dda48977b92ca720cfc905ff8171de18e578abbe8638fd17f30\","
		"\"ttclid\":\"E.C.P.example-click-id-0001\",\"ttp\":\"01JEXAMPLETTPCOOKIE00000001\",\"ip\":\"203.0.113.24\","
		"\"user_agent\":\"" UA "\",\"locale\":\"en-US\"},"
		"\"page\":{\"url\":\"https://shop.example.com/checkout/thank-you?order=SO-10001&ttclid=E.C.P.example-click-id-0001\","
		"\"referrer\":\"https://shop.example.com/checkout\"},"
		"\"properties\":{\"content_type\":\"product\",\"content_ids\":[\"1001\",\"SOCK-2\"],\"contents\":["
		"{\"content_id\":\"1001\",\"content_name\":\"Trail shoe\",\"content_category\":\"Shoes\",\"brand\":\"Example Brand\",\"price\":49.9,\"quantity\":1},"
		"{\"content_id\":\"SOCK-2\",\"content_name\":\"Wool sock\",\"content_category\":\"Socks\",\"brand\":\"Example Brand\",\"price\":15.05,\"quantity\":2}],"
	"\"num_items\":3,\"currency\":\"USD\",\"value\":80.0,\"order_id\":\"SO-10001\"}}"},

	{"web lead under its old name, blank fields", TTE_WEB, NULL, TTE_UNSET, "SubmitForm", "lead-77",
		INT64CONST(1795172400000000),
		"{\"user\":{\"email\":\"lead77@example.org\",\"phone\":\"\",\"external_id\":null,\"ttclid\":null,"
		"\"ttp\":\"01JEXAMPLETTPCOOKIE00000002\",\"ip\":\"2001:db8:1111:a:b0::200\",\"user_agent\":\"" UA "\"},"
		"\"page\":{\"url\":\"https://www.example.com/contact?utm_source=tiktok\",\"referrer\":null},"
		"\"properties\":{\"description\":\"Contact form\"}}",
		"{\"event\":\"Lead\",\"event_time\":1795172400,\"event_id\":\"lead-77\",\"user\":{"
		"\"email\":\"d4b6bbfcc6862d5c0a8c1ea0482230e74b8c18ab733c8b87c072ac5ce3e439cc\","
		"\"ttp\":\"01JEXAMPLETTPCOOKIE00000002\",\"ip\":\"2001:db8:1111:a:b0::200\",\"user_agent\":\"" UA "\"},"
		"\"page\":{\"url\":\"https://www.example.com/contact?utm_source=tiktok\"},"
	"\"properties\":{\"description\":\"Contact form\"}}"},

	{"web cart with a product group", TTE_WEB, NULL, TTE_UNSET, "AddToCart", "atc-9f2c",
		INT64CONST(1795172712750000),
		"{\"user\":{\"external_id\":\"cust_000124\",\"ttp\":\"01JEXAMPLETTPCOOKIE00000002\",\"ip\":\"203.0.113.25\",\"user_agent\":\"" UA "\"},"
		"\"page\":{\"url\":\"https://shop.example.com/p/tent-family\"},"
		"\"properties\":{\"content_type\":\"product_group\",\"currency\":\"EUR\",\"contents\":["
		"{\"content_id\":\"TENT-FAMILY\",\"content_name\":\"Family tent\",\"price\":\"199.00\",\"quantity\":1}]}}",
		"{\"event\":\"AddToCart\",\"event_time\":1795172712,\"event_id\":\"atc-9f2c\",\"user\":{"
		"\"external_id\":\"0cc375ecca840fd93dcc95dfcce943b4cd2c5f9c4a051004358e1e6ff50b007d\","
		"\"ttp\":\"01JEXAMPLETTPCOOKIE00000002\",\"ip\":\"203.0.113.25\",\"user_agent\":\"" UA "\"},"
		"\"page\":{\"url\":\"https://shop.example.com/p/tent-family\"},"
		"\"properties\":{\"content_type\":\"product_group\",\"content_ids\":[\"TENT-FAMILY\"],\"contents\":["
		"{\"content_id\":\"TENT-FAMILY\",\"content_name\":\"Family tent\",\"price\":199.0,\"quantity\":1}],"
	"\"num_items\":1,\"currency\":\"EUR\",\"value\":199.0}}"},

	{"web purchase, limited data use", TTE_WEB, NULL, TTE_YES, "CompletePayment", "purchase-SO-10002",
		INT64CONST(1795176000000000),
		"{\"user\":{\"email\":\"buyer2@example.com\",\"ip\":\"198.51.100.77\",\"user_agent\":\"" UA "\"},"
		"\"page\":{\"url\":\"https://shop.example.com/checkout/thank-you?order=SO-10002\"},"
		"\"properties\":{\"order_id\":\"SO-10002\",\"currency\":\"JPY\",\"value\":\"12000\",\"description\":null}}",
		"{\"event\":\"Purchase\",\"event_time\":1795176000,\"event_id\":\"purchase-SO-10002\",\"limited_data_use\":true,\"user\":{"
		"\"email\":\"f04ab5451e7cac07a626cd8f65364cd1920ebeb685cc56a5ebddc90aae40b4b8\","
		"\"ip\":\"198.51.100.77\",\"user_agent\":\"" UA "\"},"
		"\"page\":{\"url\":\"https://shop.example.com/checkout/thank-you?order=SO-10002\"},"
	"\"properties\":{\"currency\":\"JPY\",\"value\":12000,\"order_id\":\"SO-10002\"}}"},

	{"web test event", TTE_WEB, NULL, TTE_UNSET, "InitiateCheckout", "checkout-551",
		INT64CONST(1795177800000000),
		"{\"user\":{\"email\":\"qa@example.com\",\"ttp\":\"01JEXAMPLETTPCOOKIE00000001\",\"ip\":\"203.0.113.30\",\"user_agent\":\"" UA "\"},"
		"\"page\":{\"url\":\"https://staging.example.com/checkout\"},"
		"\"properties\":{\"currency\":\"GBP\",\"value\":\"25.50\"}}",
		"{\"event\":\"InitiateCheckout\",\"event_time\":1795177800,\"event_id\":\"checkout-551\",\"user\":{"
		"\"email\":\"70a842432bd857c020c4ee849fe8921160e218e274ce0225b96d1ea9c939deee\","
		"\"ttp\":\"01JEXAMPLETTPCOOKIE00000001\",\"ip\":\"203.0.113.30\",\"user_agent\":\"" UA "\"},"
		"\"page\":{\"url\":\"https://staging.example.com/checkout\"},"
	"\"properties\":{\"currency\":\"GBP\",\"value\":25.5}}"},

	{"web registration, all match keys", TTE_WEB, "44", TTE_UNSET, "CompleteRegistration", "reg-user_123",
		INT64CONST(1795179600000000),
		"{\"user\":{\"email\":[\" ALICE_abc@gmail.com \",\"alice.second@example.com\"],"
		"\"phone\":[\"(+1)2133734253\",\"+44 7700 900123\"],\"external_id\":\"user_123\","
		"\"first_name\":\" Jane \",\"last_name\":\"O'Doe\",\"city\":\"San Jose\",\"state\":\"CA\",\"country\":\"US\","
		"\"zip_code\":\"95110-2345\",\"ip\":\"203.0.113.31\",\"user_agent\":\"" UA "\"},"
		"\"page\":{\"url\":\"https://www.example.com/welcome\"}}",
		"{\"event\":\"CompleteRegistration\",\"event_time\":1795179600,\"event_id\":\"reg-user_123\",\"user\":{"
		"\"email\":[\"848a771458438fc2ec420560d769fb9b9b86851ee338ec56517baabd79d3bb4f\",\"f4394151aafc5d4b3cba6d029e7365e959958ef8f906457da6d8079f10cc4d31\"],"
		"\"phone\":[\"9f7ec22d72092cd3c0b58726ed9c2d91b92e51a3f29837508fb2948bb22dd2fd\",\"a8acc3a90a7b4e4dc65e93db9240ed26523050ef754d63b75b5161de76781436\"],"
		"\"external_id\":\"80fba0ae1c48e3978e43e4efc365e14e12ea0c830ba8ba5b9a2dafc7e3f2ab8b\","
		"\"first_name\":\"81f8f6dde88365f3928796ec7aa53f72820b06db8664f5fe76a7eb13e24546a2\","
		"\"last_name\":\"fff1833cf87ec12a259fbf6b5bee308dc19f4a8cd0407451f402f973a5ec8059\","
		"\"city\":\"sanjose\",\"state\":\"ca\",\"country\":\"us\","
		"\"zip_code\":\"383f7fffd99f3b1c3066086bcf991eae7ad543589d12bd792ecb6dc8b5acebc1\","
		"\"ip\":\"203.0.113.31\",\"user_agent\":\"" UA "\"},"
	"\"page\":{\"url\":\"https://www.example.com/welcome\"}}"},

	{"web custom event", TTE_WEB, NULL, TTE_UNSET, "Quote_Requested", "quote-3001",
		INT64CONST(1795181400000000),
		"{\"user\":{\"external_id\":\"cust_000125\",\"ttp\":\"01JEXAMPLETTPCOOKIE00000001\",\"ip\":\"203.0.113.32\",\"user_agent\":\"" UA "\"},"
		"\"page\":{\"url\":\"https://www.example.com/quote\"},"
		"\"properties\":{\"query\":\"garden shed 3x4\",\"description\":\"Quote form, step 2\",\"customer_type\":\"new\"}}",
		"{\"event\":\"Quote_Requested\",\"event_time\":1795181400,\"event_id\":\"quote-3001\",\"user\":{"
		"\"external_id\":\"abc43a157d3f4032cdf57d60c6c019b108cd666cf1f600c9498ebb15d5fc0b28\","
		"\"ttp\":\"01JEXAMPLETTPCOOKIE00000001\",\"ip\":\"203.0.113.32\",\"user_agent\":\"" UA "\"},"
		"\"page\":{\"url\":\"https://www.example.com/quote\"},"
	"\"properties\":{\"search_string\":\"garden shed 3x4\",\"description\":\"Quote form, step 2\",\"customer_type\":\"new\"}}"},

	{"app install, plain idfa", TTE_APP, NULL, TTE_UNSET, "InstallApp", "install-ios-8842",
		INT64CONST(1795183200000000),
		"{\"user\":{\"idfa\":\"ea7583cd-a667-48bc-b806-42ecb2b48606\",\"idfv\":\"8C1A0F4E-0000-4000-8000-000000000001\","
		"\"att_status\":\"AUTHORIZED\",\"ip\":\"203.0.113.40\",\"user_agent\":\"" IPHONE "\",\"locale\":\"en-US\"},"
		"\"app\":{\"app_id\":\"343200656\",\"app_name\":\"Example App\",\"app_version\":\"3.2.1\"},"
		"\"ad\":{\"callback\":\"example-callback-token\",\"is_retargeting\":false,\"attributed\":true,\"attribution_provider\":\"ExampleMMP\"}}",
		"{\"event\":\"InstallApp\",\"event_time\":1795183200,\"event_id\":\"install-ios-8842\",\"user\":{"
		"\"idfa\":\"EA7583CD-A667-48BC-B806-42ECB2B48606\",\"idfv\":\"8C1A0F4E-0000-4000-8000-000000000001\","
		"\"att_status\":\"AUTHORIZED\",\"ip\":\"203.0.113.40\",\"user_agent\":\"" IPHONE "\",\"locale\":\"en-US\"},"
		"\"app\":{\"app_id\":\"343200656\",\"app_name\":\"Example App\",\"app_version\":\"3.2.1\"},"
	"\"ad\":{\"callback\":\"example-callback-token\",\"is_retargeting\":false,\"attributed\":true,\"attribution_provider\":\"ExampleMMP\"}}"},

	{"app purchase, hashed gaid", TTE_APP, NULL, TTE_UNSET, "Purchase", "app-order-5521",
		INT64CONST(1795184400000000),
		"{\"user\":{\"email\":\"player@example.net\",\"gaid\":\"0EBAD966881e1eebffe69b3abf624631cf83ec9bf8cb3ce134c7c75c6d8ee7fc\","
		"\"ip\":\"203.0.113.41\",\"user_agent\":\"" ANDROID "\",\"external_id\":\"player_9\"},"
		"\"app\":{\"app_id\":\"com.example.game\",\"app_version\":\"1.0.9\"},"
		"\"properties\":{\"currency\":\"USD\",\"value\":\"4.99\",\"order_id\":\"app-order-5521\","
		"\"contents\":[{\"content_id\":\"gems-100\",\"price\":\"4.99\",\"quantity\":1}]}}",
		"{\"event\":\"Purchase\",\"event_time\":1795184400,\"event_id\":\"app-order-5521\",\"user\":{"
		"\"email\":\"e76439805b9862b1768fb1ff1f762c89649774f30390772cd20a4f628e323250\","
		"\"gaid\":\"0ebad966881e1eebffe69b3abf624631cf83ec9bf8cb3ce134c7c75c6d8ee7fc\","
		"\"ip\":\"203.0.113.41\",\"user_agent\":\"" ANDROID "\"},"
		"\"app\":{\"app_id\":\"com.example.game\",\"app_version\":\"1.0.9\"},"
		"\"properties\":{\"content_type\":\"product\",\"content_ids\":[\"gems-100\"],"
		"\"contents\":[{\"content_id\":\"gems-100\",\"price\":4.99,\"quantity\":1}],"
	"\"num_items\":1,\"currency\":\"USD\",\"value\":4.99,\"order_id\":\"app-order-5521\"}}"},

	{"offline purchase", TTE_OFFLINE, NULL, TTE_UNSET, "Purchase", "pos-0042-000981",
		INT64CONST(1794671100000000),
		"{\"user\":{\"email\":[\"shopper@example.com\"],\"phone\":[\"+49 30 23125123\"],\"external_id\":\"loyalty_555\","
		"\"ip\":\"10.0.0.5\",\"user_agent\":null},"
		"\"properties\":{\"order_id\":\"POS-0042-000981\",\"shop_id\":\"0042\",\"currency\":\"EUR\","
		"\"contents\":[{\"content_id\":\"COFFEE-1KG\",\"content_name\":\"Coffee 1 kg\",\"price\":\"18.50\",\"quantity\":2}],"
		"\"delivery_category\":\"in_store\"}}",
		"{\"event\":\"Purchase\",\"event_time\":1794671100,\"event_id\":\"pos-0042-000981\",\"user\":{"
		"\"email\":\"a85e9ca18f34935ab9b0381b25bfad2455444112b0149270fd88e3da172fe196\","
		"\"phone\":\"77f9e3b8838cf96ba4919fd5974918e1a774c9e93d521c0f691654bc3cb5380a\"},"
		"\"properties\":{\"content_type\":\"product\",\"content_ids\":[\"COFFEE-1KG\"],"
		"\"contents\":[{\"content_id\":\"COFFEE-1KG\",\"content_name\":\"Coffee 1 kg\",\"price\":18.5,\"quantity\":2}],"
		"\"num_items\":2,\"currency\":\"EUR\",\"value\":37.0,\"order_id\":\"POS-0042-000981\",\"shop_id\":\"0042\","
	"\"delivery_category\":\"in_store\"}}"},

	{"crm change of a lead", TTE_CRM, NULL, TTE_UNSET, "Qualified_Lead", "crm-lead-7412345678901234567-qualified",
		INT64CONST(1795186800000000),
		"{\"user\":{\"email\":\"Prospect@Example.org\",\"phone\":\"+1 202 555 0177\",\"external_id\":\"crm_contact_31\"},"
		"\"lead\":{\"lead_id\":7412345678901234567,\"lead_event_source\":\"ExampleCRM\"}}",
		"{\"event\":\"Qualified_Lead\",\"event_time\":1795186800,\"event_id\":\"crm-lead-7412345678901234567-qualified\",\"user\":{"
		"\"email\":\"8cf8ff17bafdf5b06066310ad94c327eb36aa5b9f1070b245f9fa2939c91cb55\","
		"\"phone\":\"f94135cccdee96e4193defb831b5b88c22830d0c1d81e65a5895e15ebba61f4c\","
		"\"external_id\":\"549991450b61aaee33f4a1b70123909ea50bfee4de9c844f6c5ea6735dd19c31\"},"
	"\"lead\":{\"lead_id\":\"7412345678901234567\",\"lead_event_source\":\"ExampleCRM\"}}"},

	{"batch of two: hash given", TTE_WEB, NULL, TTE_UNSET, "Purchase", "purchase-SO-10003",
		INT64CONST(1795190400000000),
		"{\"user\":{\"email\":\"5DF943BFBFE279B58CB1529925288D98E63D15C7E4928782AFB2B1973B5CAB4F\",\"ip\":\"203.0.113.50\",\"user_agent\":\"" UA "\"},"
		"\"page\":{\"url\":\"https://shop.example.com/checkout/thank-you?order=SO-10003\"},"
		"\"properties\":{\"currency\":\"USD\",\"value\":\"10.00\",\"order_id\":\"SO-10003\",\"contents\":[]}}",
		"{\"event\":\"Purchase\",\"event_time\":1795190400,\"event_id\":\"purchase-SO-10003\",\"user\":{"
		"\"email\":\"5df943bfbfe279b58cb1529925288d98e63d15c7e4928782afb2b1973b5cab4f\",\"ip\":\"203.0.113.50\",\"user_agent\":\"" UA "\"},"
		"\"page\":{\"url\":\"https://shop.example.com/checkout/thank-you?order=SO-10003\"},"
	"\"properties\":{\"currency\":\"USD\",\"value\":10.0,\"order_id\":\"SO-10003\"}}"},

	{"batch of two: view", TTE_WEB, NULL, TTE_UNSET, "ViewContent", "vc-81aa",
		INT64CONST(1795190290000000),
		"{\"user\":{\"ttclid\":\"E.C.P.example-click-id-0001\",\"ttp\":\"01JEXAMPLETTPCOOKIE00000001\","
		"\"ip\":\"2001:0db8:1111:000a:00b0:0000:0000:0200\",\"user_agent\":\"" UA "\"},"
		"\"page\":{\"url\":\"https://shop.example.com/p/1001?ttclid=E.C.P.example-click-id-0001\"},"
		"\"properties\":{\"currency\":\"USD\",\"contents\":[{\"content_id\":\"1001\",\"price\":\"49.90\",\"quantity\":1}]}}",
		"{\"event\":\"ViewContent\",\"event_time\":1795190290,\"event_id\":\"vc-81aa\",\"user\":{"
		"\"ttclid\":\"E.C.P.example-click-id-0001\",\"ttp\":\"01JEXAMPLETTPCOOKIE00000001\","
		"\"ip\":\"2001:0db8:1111:000a:00b0:0000:0000:0200\",\"user_agent\":\"" UA "\"},"
		"\"page\":{\"url\":\"https://shop.example.com/p/1001?ttclid=E.C.P.example-click-id-0001\"},"
		"\"properties\":{\"content_type\":\"product\",\"content_ids\":[\"1001\"],"
		"\"contents\":[{\"content_id\":\"1001\",\"price\":49.9,\"quantity\":1}],"
	"\"num_items\":1,\"currency\":\"USD\",\"value\":49.9}}"}
};

static TteRendered *
render_example(const Example *x, bool ascii, bool hash)
{
	TteSourceRules rules = rules_of(x->source);
	TteEvent   *event;

	rules.calling_code = x->calling_code;
	rules.hash_on_enqueue = hash;
	event = begin(&rules, x->event, x->id, x->fields, ascii);
	tte_event_time(event, x->usec, true);
	tte_event_limited_data_use(event, x->limited_data_use);
	return tte_event_finish(event, "unused", NOW);
}

static void
test_examples(void)
{
	for (int i = 0; i < lengthof(examples); i++)
	{
		const Example *x = &examples[i];

		check_json(x->what, element(render_example(x, false, false)), x->expected);
		check_json("the same in ASCII", element(render_example(x, true, false)), x->expected);
		check_json("the same, hashed at once", element(render_example(x, false, true)), x->expected);
	}
}

/*
 * Judgement
 */

#define WEB_USER	"\"user\":{\"email\":\"a@b.co\"}"
#define WEB_PAGE	"\"page\":{\"url\":\"https://x.example/\"}"
#define WEB_WITH(properties) "{" WEB_USER "," WEB_PAGE ",\"properties\":{" properties "}}"
#define WEB_BODY(properties) "{\"event\":\"Purchase\",\"event_time\":1795200000,\"event_id\":\"e1\"," \
	WEB_PAGE properties "}"

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

static const EventCase event_cases[] = {
	{TTE_WEB, "Purchase", "e1", "{" WEB_USER "," WEB_PAGE "}", "ready", NULL, WEB_BODY("")},

	/* money and currency: bad inputs 21 to 28 */
	{TTE_WEB, "Purchase", "e1", WEB_WITH("\"value\":\"NaN\",\"currency\":\"EUR\""), "invalid value_not_finite", NULL, NULL},
	{TTE_WEB, "Purchase", "e1", WEB_WITH("\"value\":\"Infinity\",\"currency\":\"EUR\""), "invalid value_not_finite", NULL, NULL},
	{TTE_WEB, "Purchase", "e1", WEB_WITH("\"value\":\"-Infinity\",\"currency\":\"EUR\""), "invalid value_not_finite", NULL, NULL},
	{TTE_WEB, "Purchase", "e1", WEB_WITH("\"value\":null,\"currency\":\"EUR\""), "ready", NULL,
	WEB_BODY(",\"properties\":{\"currency\":\"EUR\"}")},
	{TTE_WEB, "Purchase", "e1", WEB_WITH("\"value\":5"), "invalid currency_missing", NULL, NULL},
	{TTE_WEB, "Purchase", "e1", WEB_WITH("\"value\":-5,\"currency\":\"EUR\""), "invalid value_negative", NULL, NULL},
	{TTE_WEB, "Purchase", "e1", WEB_WITH("\"value\":0,\"currency\":\"EUR\""), "ready", NULL,
	WEB_BODY(",\"properties\":{\"currency\":\"EUR\",\"value\":0}")},
	{TTE_WEB, "Purchase", "e1", WEB_WITH("\"value\":-0,\"currency\":\"EUR\""), "ready", NULL,
	WEB_BODY(",\"properties\":{\"currency\":\"EUR\",\"value\":0}")},
	{TTE_WEB, "Purchase", "e1", WEB_WITH("\"value\":1e131071,\"currency\":\"EUR\""), "invalid value_range", NULL, NULL},
	{TTE_WEB, "Purchase", "e1", WEB_WITH("\"value\":1000000000000000,\"currency\":\"EUR\""), "invalid value_range", NULL, NULL},
	{TTE_WEB, "Purchase", "e1", WEB_WITH("\"value\":0.30000000000000004,\"currency\":\"EUR\""), "ready", NULL,
	WEB_BODY(",\"properties\":{\"currency\":\"EUR\",\"value\":0.30000000000000004}")},
	{TTE_WEB, "Purchase", "e1", WEB_WITH("\"value\":\"12,50\",\"currency\":\"EUR\""), "invalid value_syntax", NULL, NULL},
	{TTE_WEB, "Purchase", "e1", WEB_WITH("\"value\":\"1.299\",\"currency\":\"EUR\""), "invalid value_ambiguous", NULL, NULL},
	{TTE_WEB, "Purchase", "e1", WEB_WITH("\"value\":\" 12.000 \",\"currency\":\"EUR\""), "invalid value_ambiguous", NULL, NULL},
	{TTE_WEB, "Purchase", "e1", WEB_WITH("\"value\":\"999.999\",\"currency\":\"JPY\""), "invalid value_ambiguous", NULL, NULL},
	{TTE_WEB, "Purchase", "e1", WEB_WITH("\"value\":1.299,\"currency\":\"EUR\""), "ready", NULL, NULL},
	{TTE_WEB, "Purchase", "e1", WEB_WITH("\"value\":\"0.999\",\"currency\":\"EUR\""), "ready", NULL, NULL},
	{TTE_WEB, "Purchase", "e1", WEB_WITH("\"value\":\"1.29\",\"currency\":\"EUR\""), "ready", NULL, NULL},
	{TTE_WEB, "Purchase", "e1", WEB_WITH("\"value\":\"1.2990\",\"currency\":\"EUR\""), "ready", NULL, NULL},
	{TTE_WEB, "Purchase", "e1", WEB_WITH("\"value\":\"1299.000\",\"currency\":\"EUR\""), "ready", NULL, NULL},
	{TTE_WEB, "Purchase", "e1", WEB_WITH("\"value\":\"1.299\",\"currency\":\"BHD\""), "ready", NULL,
	WEB_BODY(",\"properties\":{\"currency\":\"BHD\",\"value\":1.299}")},
	{TTE_WEB, "Purchase", "e1", WEB_WITH("\"predicted_ltv\":\"1.299\",\"currency\":\"EUR\""), "ready", "properties.predicted_ltv: ambiguous", NULL},
	{TTE_WEB, "Purchase", "e1", WEB_WITH("\"value\":41.9327731092436975,\"currency\":\"EUR\""), "ready", NULL,
	WEB_BODY(",\"properties\":{\"currency\":\"EUR\",\"value\":41.9327731092437}")},
	{TTE_WEB, "Purchase", "e1", WEB_WITH("\"value\":true,\"currency\":\"EUR\""), "invalid value_syntax", NULL, NULL},
	{TTE_WEB, "Purchase", "e1", WEB_WITH("\"currency\":\"usd \""), "ready", NULL,
	WEB_BODY(",\"properties\":{\"currency\":\"USD\"}")},
	{TTE_WEB, "Purchase", "e1", WEB_WITH("\"currency\":\"Usd\""), "ready", NULL, NULL},
	{TTE_WEB, "Purchase", "e1", WEB_WITH("\"currency\":\"US\""), "invalid currency", NULL, NULL},
	{TTE_WEB, "Purchase", "e1", WEB_WITH("\"currency\":\"USDX\""), "invalid currency", NULL, NULL},
	{TTE_WEB, "Purchase", "e1", WEB_WITH("\"currency\":\"ZZZ\""), "invalid currency", NULL, NULL},
	{TTE_WEB, "Purchase", "e1", WEB_WITH("\"currency\":\"BGN\""), "ready", "properties.currency: currency_unknown", WEB_BODY("")},
	{TTE_WEB, "Purchase", "e1", WEB_WITH("\"currency\":\"lkr \",\"value\":\"1.299\",\"contents\":[{\"content_id\":\"A\",\"price\":5}]"),
		"ready", "properties.currency: currency_unknown",
	WEB_BODY(",\"properties\":{\"content_type\":\"product\",\"content_ids\":[\"A\"],\"contents\":[{\"content_id\":\"A\"}]}")},
	{TTE_WEB, "Purchase", "e1", WEB_WITH("\"currency\":\"LKR\",\"value\":1299,\"contents\":[{\"content_id\":\"A\",\"price\":5}]"),
		"ready", "properties.currency: currency_unknown",
	WEB_BODY(",\"properties\":{\"content_type\":\"product\",\"content_ids\":[\"A\"],\"contents\":[{\"content_id\":\"A\"}]}")},
	{TTE_APP, "Purchase", "e1", "{" WEB_USER ",\"app\":{\"app_id\":\"a\"},\"properties\":{\"currency\":\"BGN\",\"value\":5}}", "ready", NULL,
	"{\"event\":\"Purchase\",\"event_time\":1795200000,\"event_id\":\"e1\",\"properties\":{\"currency\":\"BGN\",\"value\":5},\"app\":{\"app_id\":\"a\"}}"},
	{TTE_WEB, "Purchase", "e1", WEB_WITH("\"currency\":840"), "invalid currency", NULL, NULL},
	{TTE_WEB, "Purchase", "e1", WEB_WITH("\"currency\":\"840\""), "invalid currency", NULL, NULL},
	{TTE_WEB, "Purchase", "e1", WEB_WITH("\"currency\":\"\xef\xbc\xb5\xef\xbc\xb3\xef\xbc\xa4\""), "invalid currency", NULL, NULL},
	{TTE_WEB, "Purchase", "e1", WEB_WITH("\"currency\":\"  \""), "ready", NULL, WEB_BODY("")},
	{TTE_WEB, "Purchase", "e1", WEB_WITH("\"currency\":{\"a\":1}"), "invalid currency", NULL, NULL},

	/* the basket: 29 to 31 */
	{TTE_WEB, "Purchase", "e1", WEB_WITH("\"contents\":null"), "ready", NULL, WEB_BODY("")},
	{TTE_WEB, "Purchase", "e1", WEB_WITH("\"contents\":[]"), "ready", NULL, WEB_BODY("")},
	{TTE_WEB, "Purchase", "e1", WEB_WITH("\"contents\":{}"), "invalid contents_type", NULL, NULL},
	{TTE_WEB, "Purchase", "e1", WEB_WITH("\"contents\":{\"price\":1}"), "invalid contents_type", NULL, NULL},
	{TTE_WEB, "Purchase", "e1", WEB_WITH("\"contents\":\"text\""), "invalid contents_type", NULL, NULL},
	{TTE_WEB, "Purchase", "e1", WEB_WITH("\"contents\":42"), "invalid contents_type", NULL, NULL},
	{TTE_WEB, "Purchase", "e1", WEB_WITH("\"contents\":[1]"), "ready", "properties.contents: item_type",
	WEB_BODY("")},
	{TTE_WEB, "Purchase", "e1", WEB_WITH("\"contents\":[null]"), "ready", NULL,
	WEB_BODY("")},
	{TTE_WEB, "Purchase", "e1", WEB_WITH("\"contents\":[{}]"), "ready", "properties.contents: item_id",
	WEB_BODY("")},
	{TTE_WEB, "Purchase", "e1", WEB_WITH("\"contents\":[{\"sku\":\"1\"}]"), "ready", "properties.contents.sku: unknown_key; properties.contents: item_id",
	WEB_BODY("")},
	{TTE_WEB, "Purchase", "e1", WEB_WITH("\"currency\":\"EUR\",\"contents\":[{\"content_id\":\"A\",\"price\":2,\"quantity\":3},{\"content_id\":\"B\",\"price\":\"NaN\"}]"), "ready", "properties.contents: item_price; properties.value: contents_incomplete",
	WEB_BODY(",\"properties\":{\"content_type\":\"product\",\"content_ids\":[\"A\"],\"contents\":[{\"content_id\":\"A\",\"price\":2,\"quantity\":3}],\"num_items\":3,\"currency\":\"EUR\"}")},
	{TTE_WEB, "Purchase", "e1", WEB_WITH("\"currency\":\"EUR\",\"value\":6,\"contents\":[{\"content_id\":\"A\",\"price\":2,\"quantity\":3},{\"content_id\":\"B\",\"price\":\"NaN\"}]"), "ready", "properties.contents: item_price",
	WEB_BODY(",\"properties\":{\"content_type\":\"product\",\"content_ids\":[\"A\"],\"contents\":[{\"content_id\":\"A\",\"price\":2,\"quantity\":3}],\"num_items\":3,\"currency\":\"EUR\",\"value\":6}")},
	{TTE_WEB, "Purchase", "e1", WEB_WITH("\"currency\":\"EUR\",\"contents\":[{\"content_id\":\"A\",\"price\":2,\"quantity\":3},{\"content_id\":\"B\",\"price\":\"cheap\"}]"), "ready", "properties.contents: item_price; properties.value: contents_incomplete",
	WEB_BODY(",\"properties\":{\"content_type\":\"product\",\"content_ids\":[\"A\"],\"contents\":[{\"content_id\":\"A\",\"price\":2,\"quantity\":3}],\"num_items\":3,\"currency\":\"EUR\"}")},
	{TTE_WEB, "Purchase", "e1", WEB_WITH("\"currency\":\"EUR\",\"value\":6,\"contents\":[{\"content_id\":\"A\",\"price\":2,\"quantity\":3},{\"content_id\":\"B\",\"price\":\"cheap\"}]"), "ready", "properties.contents: item_price",
	WEB_BODY(",\"properties\":{\"content_type\":\"product\",\"content_ids\":[\"A\"],\"contents\":[{\"content_id\":\"A\",\"price\":2,\"quantity\":3}],\"num_items\":3,\"currency\":\"EUR\",\"value\":6}")},
	{TTE_WEB, "Purchase", "e1", WEB_WITH("\"currency\":\"EUR\",\"contents\":[{\"content_id\":\"A\",\"price\":2,\"quantity\":3},{\"content_id\":\"B\",\"price\":-1}]"), "ready", "properties.contents: item_price; properties.value: contents_incomplete",
	WEB_BODY(",\"properties\":{\"content_type\":\"product\",\"content_ids\":[\"A\"],\"contents\":[{\"content_id\":\"A\",\"price\":2,\"quantity\":3}],\"num_items\":3,\"currency\":\"EUR\"}")},
	{TTE_WEB, "Purchase", "e1", WEB_WITH("\"currency\":\"EUR\",\"value\":6,\"contents\":[{\"content_id\":\"A\",\"price\":2,\"quantity\":3},{\"content_id\":\"B\",\"price\":-1}]"), "ready", "properties.contents: item_price",
	WEB_BODY(",\"properties\":{\"content_type\":\"product\",\"content_ids\":[\"A\"],\"contents\":[{\"content_id\":\"A\",\"price\":2,\"quantity\":3}],\"num_items\":3,\"currency\":\"EUR\",\"value\":6}")},
	{TTE_WEB, "Purchase", "e1", WEB_WITH("\"currency\":\"EUR\",\"contents\":[{\"content_id\":\"A\",\"price\":2,\"quantity\":3},{\"content_id\":\"B\",\"price\":\"1.299\"}]"), "ready", "properties.contents: item_price; properties.value: contents_incomplete",
	WEB_BODY(",\"properties\":{\"content_type\":\"product\",\"content_ids\":[\"A\"],\"contents\":[{\"content_id\":\"A\",\"price\":2,\"quantity\":3}],\"num_items\":3,\"currency\":\"EUR\"}")},
	{TTE_WEB, "Purchase", "e1", WEB_WITH("\"currency\":\"EUR\",\"value\":6,\"contents\":[{\"content_id\":\"A\",\"price\":2,\"quantity\":3},{\"content_id\":\"B\",\"price\":\"1.299\"}]"), "ready", "properties.contents: item_price",
	WEB_BODY(",\"properties\":{\"content_type\":\"product\",\"content_ids\":[\"A\"],\"contents\":[{\"content_id\":\"A\",\"price\":2,\"quantity\":3}],\"num_items\":3,\"currency\":\"EUR\",\"value\":6}")},
	{TTE_WEB, "Purchase", "e1", WEB_WITH("\"currency\":\"EUR\",\"contents\":[{\"content_id\":\"A\",\"price\":2,\"quantity\":3},{\"content_id\":\"B\",\"price\":1,\"quantity\":-1}]"), "ready", "properties.contents: item_quantity; properties.value: contents_incomplete",
	WEB_BODY(",\"properties\":{\"content_type\":\"product\",\"content_ids\":[\"A\"],\"contents\":[{\"content_id\":\"A\",\"price\":2,\"quantity\":3}],\"num_items\":3,\"currency\":\"EUR\"}")},
	{TTE_WEB, "Purchase", "e1", WEB_WITH("\"currency\":\"EUR\",\"value\":6,\"contents\":[{\"content_id\":\"A\",\"price\":2,\"quantity\":3},{\"content_id\":\"B\",\"price\":1,\"quantity\":-1}]"), "ready", "properties.contents: item_quantity",
	WEB_BODY(",\"properties\":{\"content_type\":\"product\",\"content_ids\":[\"A\"],\"contents\":[{\"content_id\":\"A\",\"price\":2,\"quantity\":3}],\"num_items\":3,\"currency\":\"EUR\",\"value\":6}")},
	{TTE_WEB, "Purchase", "e1", WEB_WITH("\"currency\":\"EUR\",\"contents\":[{\"content_id\":\"A\",\"price\":2,\"quantity\":3},{\"content_id\":\"B\",\"price\":1,\"quantity\":\"two\"}]"), "ready", "properties.contents: item_quantity; properties.value: contents_incomplete",
	WEB_BODY(",\"properties\":{\"content_type\":\"product\",\"content_ids\":[\"A\"],\"contents\":[{\"content_id\":\"A\",\"price\":2,\"quantity\":3}],\"num_items\":3,\"currency\":\"EUR\"}")},
	{TTE_WEB, "Purchase", "e1", WEB_WITH("\"currency\":\"EUR\",\"value\":6,\"contents\":[{\"content_id\":\"A\",\"price\":2,\"quantity\":3},{\"content_id\":\"B\",\"price\":1,\"quantity\":\"two\"}]"), "ready", "properties.contents: item_quantity",
	WEB_BODY(",\"properties\":{\"content_type\":\"product\",\"content_ids\":[\"A\"],\"contents\":[{\"content_id\":\"A\",\"price\":2,\"quantity\":3}],\"num_items\":3,\"currency\":\"EUR\",\"value\":6}")},
	{TTE_WEB, "Purchase", "e1", WEB_WITH("\"currency\":\"EUR\",\"contents\":[{\"content_id\":\"A\",\"price\":2,\"quantity\":3},{\"content_id\":\"B\",\"price\":1,\"quantity\":1e30}]"), "ready", "properties.contents: item_quantity; properties.value: contents_incomplete",
	WEB_BODY(",\"properties\":{\"content_type\":\"product\",\"content_ids\":[\"A\"],\"contents\":[{\"content_id\":\"A\",\"price\":2,\"quantity\":3}],\"num_items\":3,\"currency\":\"EUR\"}")},
	{TTE_WEB, "Purchase", "e1", WEB_WITH("\"currency\":\"EUR\",\"value\":6,\"contents\":[{\"content_id\":\"A\",\"price\":2,\"quantity\":3},{\"content_id\":\"B\",\"price\":1,\"quantity\":1e30}]"), "ready", "properties.contents: item_quantity",
	WEB_BODY(",\"properties\":{\"content_type\":\"product\",\"content_ids\":[\"A\"],\"contents\":[{\"content_id\":\"A\",\"price\":2,\"quantity\":3}],\"num_items\":3,\"currency\":\"EUR\",\"value\":6}")},
	{TTE_WEB, "Purchase", "e1", WEB_WITH("\"currency\":\"EUR\",\"contents\":[{\"content_id\":\"A\",\"price\":2,\"quantity\":3},7]"), "ready", "properties.contents: item_type; properties.value: contents_incomplete",
	WEB_BODY(",\"properties\":{\"content_type\":\"product\",\"content_ids\":[\"A\"],\"contents\":[{\"content_id\":\"A\",\"price\":2,\"quantity\":3}],\"num_items\":3,\"currency\":\"EUR\"}")},
	{TTE_WEB, "Purchase", "e1", WEB_WITH("\"currency\":\"EUR\",\"contents\":[{\"content_id\":\"B\",\"price\":9,\"quantity\":0},{\"content_id\":\"A\",\"price\":2,\"quantity\":3}]"), "ready", "properties.contents: item_quantity",
	WEB_BODY(",\"properties\":{\"content_type\":\"product\",\"content_ids\":[\"A\"],\"contents\":[{\"content_id\":\"A\",\"price\":2,\"quantity\":3}],\"num_items\":3,\"currency\":\"EUR\",\"value\":6}")},
	{TTE_WEB, "Purchase", "e1", WEB_WITH("\"currency\":\"EUR\",\"contents\":[{\"content_name\":\"postage\",\"price\":4.90},{\"content_id\":\"A\",\"price\":2,\"quantity\":3}]"), "ready", "properties.contents: item_id",
	WEB_BODY(",\"properties\":{\"content_type\":\"product\",\"content_ids\":[\"A\"],\"contents\":[{\"content_id\":\"A\",\"price\":2,\"quantity\":3}],\"num_items\":3,\"currency\":\"EUR\",\"value\":10.90}")},
	{TTE_WEB, "Purchase", "e1", WEB_WITH("\"currency\":\"EUR\",\"contents\":[{\"content_id\":true,\"price\":1},{\"content_id\":\"A\",\"price\":2,\"quantity\":3}]"), "ready", "properties.contents: item_id",
	WEB_BODY(",\"properties\":{\"content_type\":\"product\",\"content_ids\":[\"A\"],\"contents\":[{\"content_id\":\"A\",\"price\":2,\"quantity\":3}],\"num_items\":3,\"currency\":\"EUR\",\"value\":7}")},
	{TTE_WEB, "Purchase", "e1", WEB_WITH("\"currency\":\"EUR\",\"contents\":[{\"content_id\":\"B\",\"price\":4,\"quantity\":2.5}]"), "ready", "properties.contents: quantity_fraction; properties.value: contents_incomplete",
	WEB_BODY(",\"properties\":{\"content_type\":\"product\",\"content_ids\":[\"B\"],\"contents\":[{\"content_id\":\"B\",\"price\":4}],\"currency\":\"EUR\"}")},
	{TTE_WEB, "Purchase", "e1", WEB_WITH("\"currency\":\"KWD\",\"contents\":[{\"content_id\":\"B\",\"price\":\"1.299\"}]"), "ready", NULL,
	WEB_BODY(",\"properties\":{\"content_type\":\"product\",\"content_ids\":[\"B\"],\"contents\":[{\"content_id\":\"B\",\"price\":1.299}],\"currency\":\"KWD\",\"value\":1.299}")},
	{TTE_WEB, "Purchase", "e1", WEB_WITH("\"currency\":\"EUR\",\"contents\":[{\"content_id\":\"A\",\"price\":2,\"quantity\":\"2.00\"},{\"price\":0.5,\"brand\":\"\",\"content_id\":7.50}]"),
		"ready", NULL,
		WEB_BODY(",\"properties\":{\"content_type\":\"product\",\"content_ids\":[\"A\",\"7.50\"],"
				 "\"contents\":[{\"content_id\":\"A\",\"price\":2,\"quantity\":2},{\"price\":0.5,\"content_id\":\"7.50\"}],\"currency\":\"EUR\",\"value\":4.5}")},
	{TTE_WEB, "Purchase", "e1", WEB_WITH("\"contents\":[{\"content_id\":\"A\",\"price\":2,\"color\":\"red\",\"brand\":[1]}]"),
		"ready", "properties.contents.color: unknown_key; properties.contents: type",
	WEB_BODY(",\"properties\":{\"content_type\":\"product\",\"content_ids\":[\"A\"],\"contents\":[{\"content_id\":\"A\",\"price\":2}]}")},
	{TTE_WEB, "Purchase", "e1", WEB_WITH("\"contents\":[{\"content_id\":\"A\",\"quantity\":3}],\"num_items\":1.5"),
		"ready", "properties.num_items: type",
	WEB_BODY(",\"properties\":{\"content_type\":\"product\",\"content_ids\":[\"A\"],\"contents\":[{\"content_id\":\"A\",\"quantity\":3}],\"num_items\":3}")},
	{TTE_WEB, "Purchase", "e1", WEB_WITH("\"contents\":[{\"content_id\":\"A\"}],\"num_items\":\"4\",\"content_type\":\"thing\""),
		"ready", "properties.content_type: unknown_value",
	WEB_BODY(",\"properties\":{\"content_type\":\"product\",\"content_ids\":[\"A\"],\"contents\":[{\"content_id\":\"A\"}],\"num_items\":4}")},
	{TTE_WEB, "Purchase", "e1", WEB_WITH("\"content_ids\":[1,\"b\",null,\"\",[2]]"), "ready", "properties.content_ids: type",
	WEB_BODY(",\"properties\":{\"content_type\":\"product\",\"content_ids\":[\"1\",\"b\"]}")},
	{TTE_WEB, "Purchase", "e1", WEB_WITH("\"content_ids\":\"b\""), "ready", NULL,
	WEB_BODY(",\"properties\":{\"content_type\":\"product\",\"content_ids\":[\"b\"]}")},
	{TTE_WEB, "Purchase", "e1", WEB_WITH("\"content_ids\":[null]"), "ready", NULL, WEB_BODY("")},
	{TTE_WEB, "Purchase", "e1", WEB_WITH("\"contents\":[{\"content_id\":\"A\",\"price\":999999999999999,\"quantity\":2}],\"currency\":\"EUR\""),
	"invalid value_range", NULL, NULL},

	/* other fields */
	{TTE_WEB, "Purchase", "e1", WEB_WITH("\"customer_type\":\"NEW\",\"delivery_category\":\"drone\",\"shop_id\":42,\"description\":{\"a\":1}"),
		"ready", "properties.description: type; properties.delivery_category: unknown_value",
	WEB_BODY(",\"properties\":{\"customer_type\":\"new\",\"shop_id\":\"42\"}")},
	{TTE_WEB, "Purchase", "e1", WEB_WITH("\"search_string\":\"ann@example.com\",\"description\":\"write to bob@example.org\",\"predicted_ltv\":12.5"),
	"ready", "properties.search_string: pii; properties.description: pii", WEB_BODY(",\"properties\":{\"predicted_ltv\":12.5}")},
	{TTE_WEB, "Purchase", "e1", WEB_WITH("\"description\":\"a\\u0000b\\ud800\""), "ready", "properties.description: encoding_fixed",
	WEB_BODY(",\"properties\":{\"description\":\"ab\\ufffd\"}")},
	{TTE_WEB, "Purchase", "e1", WEB_WITH("\"description\":\"\xff\""), "ready", "properties.description: encoding_fixed",
	WEB_BODY(",\"properties\":{\"description\":\"\\ufffd\"}")},
	{TTE_WEB, "Purchase", "e1", "{" WEB_USER "," WEB_PAGE ",\"ad\":{\"campaign_id\":17,\"callback\":\"c\",\"attributed\":true},\"lead\":{\"lead_id\":\"1\"},\"app\":{\"app_id\":\"a\"}}",
		"ready", "ad.callback: source; ad.attributed: source; lead.lead_id: source; app.app_id: source",
	WEB_BODY(",\"ad\":{\"campaign_id\":\"17\"}")},
	{TTE_APP, "Purchase", "e1", "{" WEB_USER ",\"app\":{\"app_id\":343200656},\"ad\":{\"attribution_share\":0.5,\"attributed\":\"TRUE\",\"is_retargeting\":1}}",
		"ready", "ad.is_retargeting: type",
	"{\"event\":\"Purchase\",\"event_time\":1795200000,\"event_id\":\"e1\",\"app\":{\"app_id\":\"343200656\"},\"ad\":{\"attribution_share\":0.5,\"attributed\":true}}"},
	{TTE_APP, "Purchase", "e1", "{" WEB_USER ",\"app\":{\"app_id\":\"a\"},\"ad\":{\"attribution_share\":1.5}}",
		"ready", "ad.attribution_share: range",
	"{\"event\":\"Purchase\",\"event_time\":1795200000,\"event_id\":\"e1\",\"app\":{\"app_id\":\"a\"}}"},

	/* pages */
	{TTE_WEB, "Purchase", "e1", "{" WEB_USER "}", "invalid page_url_missing", NULL, NULL},
	{TTE_WEB, "Purchase", "e1", "{" WEB_USER ",\"page\":{\"url\":\"/cart\"}}", "invalid page_url", NULL, NULL},
	{TTE_WEB, "Purchase", "e1", "{" WEB_USER ",\"page\":{\"url\":7}}", "invalid page_url", NULL, NULL},
	{TTE_WEB, "Purchase", "e1", "{" WEB_USER ",\"page\":{\"url\":\" https://x.example/ \",\"referrer\":\"/cart\"}}",
	"ready", "page.referrer: url_syntax", WEB_BODY("")},
	{TTE_WEB, "Purchase", "e1", "{" WEB_USER ",\"page\":{\"url\":\"https://x.example/\",\"referrer\":\"https://y.example/?email=a\"}}",
		"ready", "page.referrer: pii",
	"{\"event\":\"Purchase\",\"event_time\":1795200000,\"event_id\":\"e1\",\"page\":{\"url\":\"https://x.example/\",\"referrer\":\"https://y.example/?email=\"}}"},

	{TTE_WEB, "Purchase", "e1", "{" WEB_USER ",\"page\":{\"url\":\" https://x.example/a b?q=c d&key=1 2 \",\"referrer\":\"https://y.example/?q=a b\"}}",
		"ready", "page.url: pii",
	"{\"event\":\"Purchase\",\"event_time\":1795200000,\"event_id\":\"e1\",\"page\":{\"url\":\"https://x.example/a%20b?q=c%20d&key=\",\"referrer\":\"https://y.example/?q=a%20b\"}}"},
	{TTE_WEB, "Purchase", "e1", "{\"page\":{\"url\":\"https://x.example/?ttclid={{ttclid}}\"}}", "invalid no_match_key", "ttclid: macro", NULL},
	{TTE_WEB, "Purchase", "e1", "{\"page\":{\"url\":\"https://x.example/?ttclid=__TTCLID_OF_AD__\"}}", "invalid no_match_key", "ttclid: macro", NULL},
	{TTE_WEB, "Purchase", "e1", "{\"page\":{\"url\":\"https://x.example/#/p?ttclid=%7B%7Bttclid%7D%7D\"}}", "invalid no_match_key", "ttclid: macro", NULL},
	{TTE_WEB, "Purchase", "e1", "{" WEB_USER "," WEB_PAGE ",\"ad\":{\"campaign_id\":\"__CAMPAIGN_ID__\",\"ad_id\":\"7\"}}", "ready", "ad.campaign_id: macro",
	WEB_BODY(",\"ad\":{\"ad_id\":\"7\"}")},
	{TTE_WEB, "Purchase", "e1", "{\"page\":{\"url\":\"https://x.example/#/p?ttclid=E.C.P\"}}", "ready", NULL, NULL},

	/* match keys */
	{TTE_WEB, "Purchase", "e1", "{" WEB_PAGE "}", "invalid no_match_key", NULL, NULL},
	{TTE_WEB, "Purchase", "e1", "{\"user\":{\"email\":\"nope\"}," WEB_PAGE "}", "invalid no_match_key", "email: email_syntax", NULL},
	{TTE_WEB, "Purchase", "e1", "{\"user\":{\"ip\":\"8.8.8.8\"}," WEB_PAGE "}", "invalid no_match_key", NULL, NULL},
	{TTE_WEB, "Purchase", "e1", "{\"user\":{\"ip\":\"8.8.8.8\",\"user_agent\":\"u\"}," WEB_PAGE "}", "ready", NULL, NULL},
	{TTE_WEB, "Purchase", "e1", "{\"user\":{\"ip\":\"10.0.0.1\",\"user_agent\":\"u\"}," WEB_PAGE "}", "invalid no_match_key", "ip: ip_private", NULL},
	{TTE_WEB, "Purchase", "e1", "{\"user\":{\"first_name\":\"Ann\",\"locale\":\"en\"}," WEB_PAGE "}", "invalid no_match_key", NULL, NULL},
	{TTE_WEB, "Purchase", "e1", "{\"page\":{\"url\":\"https://x.example/?ttclid=E.C.P\"}}", "ready", NULL, NULL},
	{TTE_OFFLINE, "Purchase", "e1", "{\"user\":{\"external_id\":\"7\"}}", "invalid no_match_key", "user.external_id: source", NULL},
	{TTE_OFFLINE, "Purchase", "e1", "{\"user\":{\"phone\":\"+14155550100\",\"locale\":\"en\",\"city\":\"X\"}}", "ready", "user.locale: source; user.city: source", NULL},
	{TTE_APP, "Purchase", "e1", "{\"user\":{\"idfv\":\"8C1A0F4E-0000-4000-8000-000000000001\"},\"app\":{\"app_id\":\"a\"}}", "ready", NULL, NULL},
	{TTE_APP, "Purchase", "e1", "{\"user\":{\"gaid\":\"00000000-0000-0000-0000-000000000000\"},\"app\":{\"app_id\":\"a\"}}", "invalid no_match_key", "gaid: zero_id", NULL},
	{TTE_APP, "Purchase", "e1", "{" WEB_USER "}", "invalid app_id_missing", NULL, NULL},
	{TTE_APP, "Purchase", "e1", "{" WEB_USER ",\"app\":{\"app_id\":true}}", "invalid app_id_missing", "app.app_id: type", NULL},
	{TTE_CRM, "Lead", "e1", "{" WEB_USER "}", "invalid lead_id_missing", NULL, NULL},
	{TTE_CRM, "Lead", "e1", "{\"lead\":{\"lead_id\":\"7412345678901234567\"}}", "ready", NULL,
	"{\"event\":\"Lead\",\"event_time\":1795200000,\"event_id\":\"e1\",\"lead\":{\"lead_id\":\"7412345678901234567\"}}"},
	{TTE_APP, "Purchase", "e1", "{\"user\":{\"email\":\"a@b.co\",\"phone\":\"+14155550100\",\"idfa\":\"ea7583cd-a667-48bc-b806-42ecb2b48606\","
		"\"idfv\":\"8C1A0F4E-0000-4000-8000-000000000001\",\"att_status\":\"DENIED\"},\"app\":{\"app_id\":\"a\"}}",
	"ready", "email: att_denied; phone: att_denied; idfa: att_denied", NULL},
	{TTE_WEB, "Purchase", "e1", "{\"user\":{\"email\":true,\"phone\":1.5,\"external_id\":{\"a\":1},\"ttp\":[\"x\"],\"ttclid\":\"x\"}," WEB_PAGE "}",
	"ready", "email: type; phone: phone_type; external_id: type; ttp: type", NULL},
	{TTE_WEB, "Purchase", "e1", "{\"user\":{\"email\":\"a\\u0000@b.co\",\"external_id\":\"\\ud800\",\"ttp\":\"x\"}," WEB_PAGE "}",
	"ready", "email: encoding; external_id: encoding", NULL},

	/* ids and names: 52, 55 */
	{TTE_WEB, "Purchase", "a\nb", "{" WEB_USER "," WEB_PAGE "}", "invalid event_id", NULL, NULL},
	{TTE_WEB, "Purchase", "\xf0\x9f\x98\x80", "{" WEB_USER "," WEB_PAGE "}", "invalid event_id", NULL, NULL},
	{TTE_WEB, "Purchase", "ann@example.com", "{" WEB_USER "," WEB_PAGE "}", "invalid event_id", NULL, NULL},
	{TTE_WEB, "", "e1", "{" WEB_USER "," WEB_PAGE "}", "invalid event_name", NULL, NULL},
	{TTE_WEB, " \t", "e1", "{" WEB_USER "," WEB_PAGE "}", "invalid event_name", NULL, NULL},
	{TTE_WEB, "purchase", "e1", "{" WEB_USER "," WEB_PAGE "}", "invalid event_name", NULL, NULL},
	{TTE_WEB, "complete payment", "e1", "{" WEB_USER "," WEB_PAGE "}", "invalid event_name", NULL, NULL},
	{TTE_OFFLINE, "Quote", "e1", "{" WEB_USER "}", "invalid event_name", NULL, NULL},
	{TTE_WEB, "Browse", "e1", "{" WEB_USER "," WEB_PAGE "}", "invalid event_name", NULL, NULL}
};

static const char *
verdict_of(const TteRendered *r)
{
	static const char *const words[] = {"ready", "invalid", "suppressed", "expired"};

	return r->verdict == TTE_EVENT_READY ? "ready" : psprintf("%s %s", words[r->verdict], r->reason);
}

static bool
is_sentence(const char *str)
{
	return strchr("\"ABCDEFGHIJKLMNOPQRSTUVWXYZ", str[0]) != NULL && str[strlen(str) - 1] == '.' && tte_utf8_valid(str, strlen(str));
}

static void
test_events(void)
{
	for (int i = 0; i < lengthof(event_cases); i++)
	{
		const EventCase *c = &event_cases[i];
		TteSourceRules rules = rules_of(c->source);
		TteEvent   *event = begin(&rules, c->event, c->id, c->fields, false);
		TteRendered *r;

		tte_event_time(event, NOW, true);
		r = tte_event_finish(event, "fallback", NOW);
		check_text(c->event, c->fields, verdict_of(r), c->expected);
		check_text("notes", NULL, r->notes, c->notes);
		if (c->payload != NULL && r->payload != NULL)
			check_json("payload", r->payload, c->payload);
		if (r->verdict == TTE_EVENT_INVALID)
			check_true("detail and hint are sentences", is_sentence(r->detail) &&
					   (r->hint == NULL || is_sentence(r->hint)));
		check_true("event and event_id can be stored", r->event_id != NULL && r->event != NULL &&
				   strlen(r->event_id) <= TTE_MAX_EVENT_ID && strlen(r->event) <= 128 &&
				   tte_utf8_valid(r->event_id, strlen(r->event_id)));
	}
}

static TteRendered *
finish_plain(TteEvent *event)
{
	return tte_event_finish(event, "fallback", NOW);
}

static void
test_times(void)
{
	static const struct
	{
		int64		usec;
		bool		finite;
		TteEventSource source;
		const char *expected;
		const char *payload_time;
	}			cases[] = {
		{NOW, true, TTE_WEB, "ready", "1795200000"},
		{NOW + 999999, true, TTE_WEB, "ready", "1795200000"},
		{NOW - 1, true, TTE_WEB, "ready", "1795199999"},
		{NOW + 300 * TTE_USEC, true, TTE_WEB, "ready", "1795200300"},
		{NOW + 600 * TTE_USEC, true, TTE_WEB, "ready", "1795200600"},
		{NOW + 600 * TTE_USEC + 1, true, TTE_WEB, "invalid future", NULL},
		{NOW + DAY, true, TTE_WEB, "invalid future", NULL},
		{INT64CONST(10413792000) * TTE_USEC, true, TTE_WEB, "invalid future", NULL},
		{INT64CONST(1795200000000) * TTE_USEC, true, TTE_WEB, "invalid future", NULL},
		{PG_INT64_MAX, true, TTE_WEB, "invalid future", NULL},
		{PG_INT64_MAX, false, TTE_WEB, "invalid time_not_finite", NULL},
		{PG_INT64_MIN, false, TTE_WEB, "invalid time_not_finite", NULL},
		{PG_INT64_MIN, true, TTE_WEB, "expired max_event_age", NULL},
		{NOW - 7 * DAY, true, TTE_WEB, "ready", "1794595200"},
		{NOW - 7 * DAY - 1, true, TTE_WEB, "expired max_event_age", NULL}
	};

	for (int i = 0; i < lengthof(cases); i++)
	{
		TteSourceRules rules = rules_of(cases[i].source);
		TteEvent   *event = begin(&rules, "Purchase", "e1", "{" WEB_USER "," WEB_PAGE "}", false);
		TteRendered *r;

		tte_event_time(event, cases[i].usec, cases[i].finite);
		r = finish_plain(event);
		check_text("time", NULL, verdict_of(r), cases[i].expected);
		if (r->verdict == TTE_EVENT_READY)
			check_true("seconds", strstr(r->payload, cases[i].payload_time) != NULL);
		if (i == 8)
			check_true("hint about milliseconds", strstr(r->hint, "milliseconds") != NULL);
	}
}

static void
test_ids(void)
{
	TteSourceRules web = rules_of(TTE_WEB);
	TteSourceRules crm = rules_of(TTE_CRM);
	char	   *limit = repeated("x", 128, "");
	char	   *longer = repeated("x", 1024, "");
	char	   *short_form;
	TteRendered *r;

	r = finish_plain(begin(&web, "Purchase", "", "{" WEB_USER "," WEB_PAGE "}", false));
	check_text("event_id of last resort", NULL, r->event_id, "fallback");
	r = finish_plain(begin(&web, "Purchase", NULL, WEB_WITH("\"order_id\":\" SO-7 \""), false));
	check_text("event_id from the order", NULL, r->event_id, "SO-7");
	r = finish_plain(begin(&web, "Purchase", NULL, WEB_WITH("\"order_id\":\"ann@example.com\""), false));
	check_text("event_id from an order that names a person", NULL, r->event_id, "fallback");
	r = finish_plain(begin(&web, "Purchase", "mine", WEB_WITH("\"order_id\":\"SO-7\""), false));
	check_text("event_id as given", NULL, r->event_id, "mine");
	r = finish_plain(begin(&crm, "SubmitForm", NULL, "{\"lead\":{\"lead_id\":77},\"properties\":{\"order_id\":\"SO-7\"}}", false));
	check_text("event_id from the lead", NULL, r->event_id, "77-Lead");
	check_text("name before", NULL, r->renamed_from, "SubmitForm");
	r = finish_plain(begin(&web, "Purchase", limit, "{" WEB_USER "," WEB_PAGE "}", false));
	check_text("event_id of 128", NULL, r->event_id, limit);
	r = finish_plain(begin(&web, "Purchase", longer, "{" WEB_USER "," WEB_PAGE "}", false));
	check_text("event_id of 1024", NULL, verdict_of(r), "invalid event_id");
	check_true("cut", strlen(r->event_id) == 128);
	short_form = tte_derived_id(longer, 1024, false);
	check_true("derived id is cut", strlen(short_form) == 128 && short_form[95] == '-' &&
			   strcmp(short_form, tte_derived_id(longer, 1024, false)) == 0 &&
			   strcmp(short_form, tte_derived_id(longer, 1023, false)) != 0);
	check_text("derived id stays", NULL, tte_derived_id(limit, 128, false), limit);
	short_form = tte_derived_id("caf\xc3\xa9-7", 7, false);
	check_true("derived id in ASCII", strncmp(short_form, "caf?\?-7-", 8) == 0 && strlen(short_form) == 8 + 32);
	check_true("different text, different id",
			   strcmp(short_form, tte_derived_id("caf\xc3\xa8-7", 7, false)) != 0);
	r = finish_plain(begin(&web, repeated("N", 200, ""), "e1", "{" WEB_USER "," WEB_PAGE "}", false));
	check_true("long name is cut", r->verdict == TTE_EVENT_INVALID && strlen(r->event) == 128);
	r = tte_event_finish(begin(&web, "Purchase", NULL, "{" WEB_USER "," WEB_PAGE "}", false), NULL, NOW);
	check_text("no event_id at all", NULL, verdict_of(r), "invalid event_id");
}

static void
test_traces(void)
{
	static const struct
	{
		const char *text;
		TteTrace	trace;
	}			cases[] = {
		{"", TTE_TRACE_NONE},
		{"SO-1001", TTE_TRACE_NONE},
		{"123456", TTE_TRACE_NONE},
		{"2026-123", TTE_TRACE_LIKELY},
		{"ORD-2026-00001", TTE_TRACE_NONE},
		{"550e8400-e29b-41d4-a716-446655440000", TTE_TRACE_NONE},
		{"12345678-1234-1234-1234-123456789012", TTE_TRACE_NONE},
		{"00Q5e00001ABCDEFGH", TTE_TRACE_NONE},
		{"7412345678901234567", TTE_TRACE_NONE},
		{"2026-11-29T10:00:00+00:00", TTE_TRACE_NONE},
		{"2026-11-29 10:00:00.123456+00", TTE_TRACE_NONE},
		{"100%", TTE_TRACE_NONE},
		{"100%4", TTE_TRACE_NONE},
		{"anna@example.com", TTE_TRACE_SURE},
		{"ANNA@EXAMPLE.COM", TTE_TRACE_SURE},
		{"lead-anna@example.com-q", TTE_TRACE_SURE},
		{"anna%40example.com", TTE_TRACE_SURE},
		{"ANNA%40EXAMPLE%2ECOM", TTE_TRACE_SURE},
		{"anna%2540example.com", TTE_TRACE_SURE},
		{"anna%25252540example.com", TTE_TRACE_SURE},
		{"%61nna%40%65xample.com", TTE_TRACE_SURE},
		{"anna\xef\xbc\xa0" "example.com", TTE_TRACE_SURE}, /* full-width @ */
		{"anna\xef\xb9\xab" "example.com", TTE_TRACE_SURE}, /* small @ */
		{"\xef\xbd\x81\xef\xbc\xa0\xef\xbd\x82\xef\xbc\x8e\xef\xbd\x84\xef\xbd\x85", TTE_TRACE_SURE},
		{"anna%EF%BC%A0example.com", TTE_TRACE_SURE},
		{"anna@\xe2\x80\x8b" "example.com", TTE_TRACE_SURE},	/* zero width space */
		{"j\xc3\xb6rg@m\xc3\xbcller.de", TTE_TRACE_SURE},
		{"\"anna b\"@example.com", TTE_TRACE_LIKELY},
		{"anna@localhost", TTE_TRACE_LIKELY},
		{"@anna", TTE_TRACE_LIKELY},
		{"%40anna", TTE_TRACE_LIKELY},
		{"+4915112345678", TTE_TRACE_SURE},
		{"+49 151 1234-5678", TTE_TRACE_SURE},
		{"(+49) 151/12345678", TTE_TRACE_SURE},
		{"%2B4915112345678", TTE_TRACE_SURE},
		{"%2b49%20151%2012345678", TTE_TRACE_SURE},
		{"\xef\xbc\x8b\xef\xbc\x94\xef\xbc\x99" "15112345678", TTE_TRACE_SURE},
		{"tel:+4915112345678", TTE_TRACE_SURE},
		{"Anna +4915112345678", TTE_TRACE_SURE},
		{"4915112345678", TTE_TRACE_DIGITS},
		{"015112345678", TTE_TRACE_DIGITS},
		{"\xd9\xa0\xd9\xa1\xd9\xa2\xd9\xa3\xd9\xa4\xd9\xa5\xd9\xa6\xd9\xa7", TTE_TRACE_DIGITS},
		{"1234567", TTE_TRACE_DIGITS},
		{"0151 12345678", TTE_TRACE_LIKELY},
		{"0151%2012345678", TTE_TRACE_LIKELY},
		{"0151+12345678", TTE_TRACE_LIKELY},
		{"0151\xc2\xa0" "12345678", TTE_TRACE_LIKELY},
		{"0151\xe2\x80\x91" "12345678", TTE_TRACE_LIKELY},
		{"(415) 555-2671", TTE_TRACE_LIKELY},
		{"415.555.2671", TTE_TRACE_LIKELY},
		{"tel:0151-12345678", TTE_TRACE_LIKELY},
		{"https://wa.me/4915112345678", TTE_TRACE_LIKELY},
		{"Anna 0151 12345678", TTE_TRACE_LIKELY},
		{"0151 12345678 (Anna)", TTE_TRACE_LIKELY},
		{"0151 12345678, Anna", TTE_TRACE_LIKELY},
		{"\xff\xfe@\xff", TTE_TRACE_LIKELY}
	};

	for (int i = 0; i < lengthof(cases); i++)
	{
		int			len = strlen(cases[i].text);

		check_text("trace", cases[i].text, psprintf("%d", tte_text_trace(cases[i].text, len)),
				   psprintf("%d", cases[i].trace));
	}
	check_true("digits", tte_text_digits("a1%32\xef\xbc\x93-%254", 13) == 4);
}

static const char *
id_of_part(const char *part, bool hide)
{
	StringInfoData id;

	initStringInfo(&id);
	tte_derived_id_part(&id, part, strlen(part), hide);
	return id.data;
}

static void
test_id_parts(void)
{
	const char *hidden = id_of_part("anna@example.com", true);

	check_true("hidden part", strncmp(hidden, "hash_", 5) == 0 && strlen(hidden) == 37);
	check_text("part stays", NULL, id_of_part("SO-1001", false), "SO-1001");
	check_true("parts differ", strcmp(hidden, id_of_part("Anna@example.com", true)) != 0);
	check_true("a part that looks hashed is none", strcmp(hidden, id_of_part(hidden, false)) != 0);
	check_true("nor is the hash that of the text",
			   strncmp(hidden + 5, "a0bd94956b9f42cde97b95b10ad65bbaf2a8d87142caf819e4c099ed75126d72", 32) != 0);
}

/* What is given as id or name, and shows somebody, is hashed as a whole. */
static void
test_hidden_ids(void)
{
	TteSourceRules web = rules_of(TTE_WEB);
	TteSourceRules crm = rules_of(TTE_CRM);
	TteRendered *r;

	r = finish_plain(begin(&web, "Purchase", "SO-anna%40example.com", "{" WEB_USER "," WEB_PAGE "}", false));
	check_text("escaped address as id", NULL, verdict_of(r), "invalid event_id");
	check_true("hashed id", strlen(r->event_id) == 32 && strspn(r->event_id, "0123456789abcdef") == 32);
	r = finish_plain(begin(&web, "Purchase", "+49 151 12345678", "{" WEB_USER "," WEB_PAGE "}", false));
	check_text("number as id", NULL, verdict_of(r), "invalid event_id");
	check_true("hashed id", strlen(r->event_id) == 32);
	r = finish_plain(begin(&web, "Purchase", "4915112345678", "{" WEB_USER "," WEB_PAGE "}", false));
	check_text("digits as id", NULL, r->event_id, "4915112345678");
	r = finish_plain(begin(&web, "Purchase", NULL, WEB_WITH("\"order_id\":\"ann%40example.com\""), false));
	check_text("id from an order that names a person", NULL, r->event_id, "fallback");
	r = finish_plain(begin(&crm, "Lead", NULL, "{\"lead\":{\"lead_id\":\"0151 12345678\"}}", false));
	check_true("id from a lead that names a person", strncmp(r->event_id, "hash_", 5) == 0 &&
			   strcmp(r->event_id + 37, "-Lead") == 0);
	r = finish_plain(begin(&web, "anna%40example.com", "e1", "{" WEB_USER "," WEB_PAGE "}", false));
	check_true("name with an address", strlen(r->event) == 32 && r->verdict == TTE_EVENT_INVALID);
	r = finish_plain(begin(&web, "0151 12345678", "e1", "{" WEB_USER "," WEB_PAGE "}", false));
	check_true("name with a number", strlen(r->event) == 32 && r->verdict == TTE_EVENT_INVALID);
}

static void
test_consent(void)
{
	TteSourceRules rules = rules_of(TTE_WEB);
	static const struct
	{
		bool		required;
		TteTriState consent;
		bool		sent;
	}			cases[] = {
		{false, TTE_UNSET, true}, {false, TTE_YES, true}, {false, TTE_NO, false},
		{true, TTE_UNSET, false}, {true, TTE_YES, true}, {true, TTE_NO, false}
	};

	for (int i = 0; i < lengthof(cases); i++)
	{
		TteEvent   *event;
		TteRendered *r;

		rules.consent_required = cases[i].required;
		event = begin(&rules, i % 2 ? "Purchase" : "no name", "e1", WEB_WITH("\"order_id\":\"7\""), false);
		tte_event_consent(event, cases[i].consent);
		tte_event_fail(event, TTE_PROBLEM_VALUE, "mapping", "It is wrong.", NULL);
		r = finish_plain(event);
		check_text("consent before all else", NULL, verdict_of(r),
				   cases[i].sent ? "invalid mapping" : "suppressed no_consent");
		if (!cases[i].sent)
			check_true("nothing is kept", r->payload == NULL && r->user_data == NULL && r->match_keys == 0);
	}
}

static void
test_consent_words(void)
{
	static const char *const yes[] = {
		"yes", "YES", " yes ", "Y", "true", "T", "1", "on", "granted", "opt-in", "Opt In", "opt_in", "opted-in",
		"subscribed", "accepted", "allow", "agreed", (NBSP "yes\t")
	};
	static const char *const no[] = {
		"no", "No ", "n", "false", "F", "0", "off", "denied", "opt-out", "OPT OUT", "opted_out", "unsubscribed",
		"declined", "rejected", "revoked", "withdrawn", "not granted", "never"
	};
	static const char *const unreadable[] = {
		"maybe", "pending", "unknown", "2", "-1", "10", "yes and no", "yes!", "null", "partial", "subscribe", "opt",
		"yesyesyesyesyesyesyesyesyesyesyesyesyesyes", "\xd0\xb4\xd0\xb0"
	};
	static const char *const blank[] = {"", " ", "\t\r\n", NBSP ZWSP};
	bool		readable;

	for (int i = 0; i < lengthof(yes); i++)
		check_true(yes[i], tte_word_truth(yes[i], strlen(yes[i]), &readable) == TTE_YES && readable);
	for (int i = 0; i < lengthof(no); i++)
		check_true(no[i], tte_word_truth(no[i], strlen(no[i]), &readable) == TTE_NO && readable);
	for (int i = 0; i < lengthof(unreadable); i++)
		check_true(unreadable[i], tte_word_truth(unreadable[i], strlen(unreadable[i]), &readable) == TTE_UNSET && !readable);
	for (int i = 0; i < lengthof(blank); i++)
		check_true("blank consent", tte_word_truth(blank[i], strlen(blank[i]), &readable) == TTE_UNSET && readable);
}

static void
test_limited_data_use(void)
{
	static const struct
	{
		TteEventSource source;
		bool		by_default;
		TteTriState given;
		bool		with_ip;
		const char *expected;
		bool		written;
		const char *notes;
	}			cases[] = {
		{TTE_WEB, false, TTE_UNSET, false, "ready", false, NULL},
		{TTE_WEB, true, TTE_UNSET, true, "ready", true, NULL},
		{TTE_WEB, true, TTE_UNSET, false, "invalid limited_data_use_ip", false, NULL},
		{TTE_WEB, true, TTE_NO, false, "ready", false, NULL},
		{TTE_WEB, false, TTE_YES, true, "ready", true, NULL},
		{TTE_WEB, false, TTE_YES, false, "invalid limited_data_use_ip", false, NULL},
		{TTE_OFFLINE, true, TTE_UNSET, false, "ready", false, NULL},
		{TTE_OFFLINE, false, TTE_YES, false, "ready", false, "limited_data_use: source"}
	};

	for (int i = 0; i < lengthof(cases); i++)
	{
		TteSourceRules rules = rules_of(cases[i].source);
		TteEvent   *event;
		TteRendered *r;

		rules.limited_data_use = cases[i].by_default;
		event = begin(&rules, "Purchase", "e1", "{" WEB_USER "}", false);
		if (cases[i].source == TTE_WEB)
			tte_event_set(event, TTE_FIELD_URL, tte_json_string("https://x.example/", 18));
		if (cases[i].with_ip)
			tte_event_set(event, TTE_IP, tte_json_string("203.0.113.7", 11));
		tte_event_limited_data_use(event, cases[i].given);
		r = finish_plain(event);
		check_text("limited data use", NULL, verdict_of(r), cases[i].expected);
		check_text("notes", NULL, r->notes, cases[i].notes);
		check_true("written", r->payload == NULL ||
				   (strstr(r->payload, "\"limited_data_use\":true") != NULL) == cases[i].written);
	}
}

static void
test_user_data(void)
{
	TteSourceRules rules = rules_of(TTE_WEB);
	TteRendered *r;

	rules.calling_code = "49";
	r = finish_plain(begin(&rules, "Purchase", "e1",
						   "{" WEB_PAGE ",\"user\":{\"email\":[\"A@b.co\",\"a@B.co\",\"c@d.eu\",null,\"bad\"],\"phone\":[\"0171 2345678\"],\"external_id\":1001,"
						   "\"user_agent\":\"U\\u20ac\\r\\n\"}}", true));
	check_text("stored identifiers", NULL, r->user_data,
			   "{\"email\":[\"a@b.co\",\"c@d.eu\"],\"phone\":\"+491712345678\",\"external_id\":\"1001\",\"user_agent\":\"U\\u20ac\\r\\n\"}");
	check_text("notes", NULL, r->notes, "email: email_syntax");
	check_true("match keys", r->match_keys == ((1 << TTE_EMAIL) | (1 << TTE_PHONE) |
											   (1 << TTE_EXTERNAL_ID) | (1 << TTE_USER_AGENT)));
	r = finish_plain(begin(&rules, "Purchase", "e1", "{" WEB_PAGE ",\"user\":{\"external_id\":[1,2,3,4,5,5,6,7]}}", false));
	check_text("five at most", NULL, r->user_data, "{\"external_id\":[\"1\",\"2\",\"3\",\"4\",\"5\"]}");
	check_text("notes", NULL, r->notes, "external_id: too_many");
	rules.hash_on_enqueue = true;
	rules.lower_external_id = true;
	r = finish_plain(begin(&rules, "Purchase", "e1", "{" WEB_PAGE ",\"user\":{\"email\":\"alice_abc@gmail.com\",\"external_id\":\"User_123\",\"country\":\"DE\"}}", false));
	check_text("stored hashes", NULL, r->user_data,
			   "{\"email\":\"" HEX64_LOWER "\",\"external_id\":\"80fba0ae1c48e3978e43e4efc365e14e12ea0c830ba8ba5b9a2dafc7e3f2ab8b\",\"country\":\"de\"}");
	rules = rules_of(TTE_CRM);
	rules.require_lead_id = false;
	r = finish_plain(begin(&rules, "Lead", "e1", "{" WEB_USER "}", false));
	check_text("crm with e-mail only", NULL, verdict_of(r), "ready");
	r = finish_plain(begin(&rules, "Lead", "e1", "{\"user\":{\"external_id\":\"7\"}}", false));
	check_text("crm with neither", NULL, verdict_of(r), "invalid no_match_key");
	r = finish_plain(begin(&rules, "Lead", "e1", "{\"lead\":{\"lead_id\":\"7\"}}", false));
	check_true("crm without identifiers", r->verdict == TTE_EVENT_READY && r->user_data == NULL);
}

static void
test_sizes(void)
{
	TteSourceRules rules = rules_of(TTE_WEB);
	StringInfoData fields;
	TteRendered *r;

	initStringInfo(&fields);
	appendStringInfoString(&fields, "{" WEB_USER "," WEB_PAGE ",\"properties\":{\"contents\":[");
	for (int i = 0; i < TTE_MAX_CONTENTS; i++)
		appendStringInfo(&fields, "%s{\"content_id\":\"i%d\",\"quantity\":1}", i ? "," : "", i);
	r = finish_plain(begin(&rules, "Purchase", "e1", psprintf("%s]}}", fields.data), false));
	check_text("500 items", NULL, verdict_of(r), "ready");
	check_true("all of them", strstr(r->payload, "\"num_items\":500") != NULL);
	r = finish_plain(begin(&rules, "Purchase", "e1", psprintf("%s,{\"price\":1}]}}", fields.data), false));
	check_text("501 items", NULL, verdict_of(r), "invalid too_many_items");
	r = finish_plain(begin(&rules, "Purchase", "e1",
						   psprintf("{" WEB_USER "," WEB_PAGE ",\"properties\":{\"description\":\"%s\"}}", repeated("x", 999000, "")), false));
	check_text("501 content_ids", NULL,
			   verdict_of(finish_plain(begin(&rules, "Purchase", "e1",
											 psprintf("{" WEB_USER "," WEB_PAGE ",\"properties\":{\"content_ids\":[%s1]}}",
													  repeated("1,", 500, "")), false))),
			   "invalid too_many_items");
	check_text("just small enough", NULL, verdict_of(r), "ready");
	r = finish_plain(begin(&rules, "Purchase", "e1",
						   psprintf("{" WEB_USER "," WEB_PAGE ",\"properties\":{\"description\":\"%s\"}}", repeated("x", 1000001, "")), false));
	check_text("too large", NULL, verdict_of(r), "invalid too_large");
	r = finish_plain(begin(&rules, "Purchase", "e1",
						   psprintf("{" WEB_USER "," WEB_PAGE ",\"properties\":{\"description\":\"%s\"}}", repeated("\xe2\x82\xac", 300000, "")), true));
	check_text("too large once escaped", NULL, verdict_of(r), "invalid too_large");
	r = finish_plain(begin(&rules, "Purchase", "e1",
						   psprintf("{\"user\":{\"email\":[%s\"a\"]}," WEB_PAGE "}", repeated("\"bad\",", 100000, "")), false));
	check_text("many bad e-mails, one note", NULL, r->notes, "email: email_syntax");
}

/*
 * Random input must neither crash nor come out as bad JSON.
 */

static uint64 dice = UINT64CONST(88172645463325252);

static uint32
roll(uint32 sides)
{
	dice ^= dice << 13;
	dice ^= dice >> 7;
	dice ^= dice << 17;
	return (dice >> 16) % sides;
}

static char *
random_text(int *len)
{
	static const char *const words[] = {
		"a@b.co", "+14155550100", "null", "49.90", "EUR", "https://x.example/?email=", "[", "{\"price\":",
		"\"", ":", ",", "\\u0000", "\\ud83d", "\xc3\xa9", "\xff", "\x01", "]", "}", "1e9", "-", " "
	};
	StringInfoData out;
	int			parts = roll(8);

	initStringInfo(&out);
	for (int i = 0; i < parts; i++)
	{
		if (roll(3) == 0)
			appendStringInfoChar(&out, roll(256));
		else
			appendStringInfoString(&out, words[roll(lengthof(words))]);
	}
	*len = out.len;
	return out.data;
}

static TteJson *
random_json(int depth)
{
	TteJson    *value;
	int			len;
	char	   *str = random_text(&len);

	switch (roll(depth > 3 ? 4 : 6))
	{
		case 0:
			return tte_json_bool(roll(2));
		case 1:
			return tte_json_number(str, len);
		case 2:
		case 3:
			return tte_json_string(str, len);
		default:
			break;
	}
	value = tte_json_bool(false);
	value->kind = roll(2) ? TTE_JSON_ARRAY : TTE_JSON_OBJECT;
	for (int i = roll(4); i > 0; i--)
	{
		TteJson    *e = random_json(depth + 1);

		e->key = roll(2) ? "price" : "content_id";
		e->keylen = strlen(e->key);
		e->next = value->first;
		value->first = e;
		value->count++;
	}
	return value;
}

static bool
is_sound(const TteRendered *r)
{
	if (r->verdict != TTE_EVENT_READY)
		return r->reason != NULL;
	if (tte_json_parse(r->payload, r->payload_len, NULL) == NULL ||
		!tte_utf8_valid(r->payload, r->payload_len))
		return false;
	return r->user_data == NULL || (tte_json_parse(r->user_data, r->user_data_len, NULL) != NULL &&
									tte_utf8_valid(r->user_data, r->user_data_len));
}

static void
test_random(void)
{
	bool		sound = true;
	int			ready = 0;

	for (int i = 0; i < 20000; i++)
	{
		TteSourceRules rules = rules_of(roll(4));
		TteEvent   *event;
		TteRendered *r;
		int			len;
		char	   *str = random_text(&len);

		tte_json_parse(str, len, NULL);
		rules.calling_code = roll(2) ? "1" : NULL;
		event = begin(&rules, roll(4) ? "Purchase" : str, roll(2) ? "e1" : str, "{}", roll(2));
		tte_event_set(event, TTE_EMAIL, tte_json_string("a@b.co", 6));
		tte_event_set(event, TTE_FIELD_URL, tte_json_string("https://x.example/", 18));
		tte_event_set(event, TTE_FIELD_APP_ID, tte_json_string("a", 1));
		for (int j = roll(4); j > 0; j--)
			tte_event_set(event, roll(TTE_FIELD_COUNT), random_json(0));
		r = finish_plain(event);
		ready += (r->verdict == TTE_EVENT_READY);
		sound = sound && is_sound(r);
	}
	check_true("20000 random events", sound);
	check_true("some of them are good", ready > 2000);
}

/*
 * Measurement
 */

static double
seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec + now.tv_nsec / 1e9;
}

static void
bench_render(void)
{
	static const char user[] =
	"{\"email\":\"ana.example@example.com\",\"phone\":\"+1 (202) 555-0143\",\"external_id\":\"cust_000123\","
	"\"ip\":\"203.0.113.24\",\"user_agent\":\"" UA "\",\"ttclid\":\"E.C.P.example-click-id-0001\"}";
	static const char items[] =
	"[{\"content_id\":\"A-1\",\"content_name\":\"Trail shoe\",\"price\":49.90,\"quantity\":1},"
	"{\"content_id\":\"B-2\",\"content_name\":\"Wool sock\",\"price\":15.05,\"quantity\":2},"
	"{\"content_id\":\"C-3\",\"content_name\":\"Lace\",\"price\":3.00,\"quantity\":1}]";
	TteSourceRules rules = rules_of(TTE_WEB);
	TteJson		nodes[48];
	TteJson    *fields = tte_json_parse_with(nodes, 8, user, strlen(user), NULL);
	TteJson    *contents = tte_json_parse_with(nodes + 8, 40, items, strlen(items), NULL);
	TteJson		url = {.kind = TTE_JSON_STRING};
	TteJson		currency = {.kind = TTE_JSON_STRING};
	StringInfoData out;
	TteRendered *r = NULL;
	int			rounds = 200000;
	double		start = seconds();

	url.text = "https://shop.example.com/thanks?order=SO-10001";
	url.len = strlen(url.text);
	currency.text = "EUR";
	currency.len = 3;
	for (int i = 0; i < rounds; i++)
	{
		TteEvent   *event = tte_event_begin(&rules, false);

		tte_event_name(event, "Purchase", 8);
		tte_event_id(event, "SO-10001", 8);
		tte_event_time(event, NOW, true);
		for (const TteJson *m = fields->first; m != NULL; m = m->next)
			tte_event_set(event, tte_field_in(TTE_SECTION_USER, m->key, m->keylen), m);
		tte_event_set(event, TTE_FIELD_URL, &url);
		tte_event_set(event, TTE_FIELD_CURRENCY, &currency);
		tte_event_set(event, TTE_FIELD_CONTENTS, contents);
		r = tte_event_finish(event, NULL, NOW);
		if (i + 1 < rounds)
			arena_reset();
	}
	printf("render: %.2f us per event (%d bytes, user %d)\n",
		   (seconds() - start) / rounds * 1e6, r->payload_len, r->user_data_len);
	initStringInfo(&out);
	start = seconds();
	for (int i = 0; i < rounds; i++)
	{
		resetStringInfo(&out);
		tte_identity_append_user(&out, r->user_data, r->user_data_len, false);
	}
	printf("hash and write user: %.2f us per event (%d bytes)\n",
		   (seconds() - start) / rounds * 1e6, out.len);
	start = seconds();
	for (int i = 0; i < rounds; i++)
		tte_json_parse_with(nodes, lengthof(nodes), items, strlen(items), NULL);
	printf("parse three items: %.2f us\n", (seconds() - start) / rounds * 1e6);
}

/* Lines of place, tab and text, as numbers or reasons: for script/test-identifiers. */
static void
read_phones(void)
{
	char		line[1024];

	while (fgets(line, sizeof(line), stdin) != NULL)
	{
		TteIdentityRules rules = {.calling_code = NULL};
		char	   *phone = strchr(line, '\t');
		StringInfoData out;
		const char *reason;

		if (phone == NULL)
			break;
		*phone++ = '\0';
		phone[strcspn(phone, "\n")] = '\0';

		rules.calling_code = tte_calling_code_of(line);
		initStringInfo(&out);
		reason = tte_identifier_normalize(TTE_PHONE, phone, strlen(phone), &rules, &out);
		printf("%s%s\n", reason != NULL ? "!" : "", reason != NULL ? reason : out.data);
		arena_reset();
	}
}

int
main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "phones") == 0)
	{
		read_phones();
		return 0;
	}
	if (argc > 1 && strcmp(argv[1], "bench") == 0)
	{
		bench_render();
		return 0;
	}
	test_json_reader();
	test_json_limits();
	test_json_writer();
	test_identifiers();
	test_identifier_limits();
	test_vectors();
	test_append_user();
	test_bodies();
	test_names();
	test_fields();
	test_codes();
	test_calling_codes();
	test_phones();
	test_hard_phones();
	test_decimals();
	test_urls();
	test_examples();
	test_events();
	test_times();
	test_ids();
	test_traces();
	test_id_parts();
	test_hidden_ids();
	test_consent();
	test_consent_words();
	test_limited_data_use();
	test_user_data();
	test_sizes();
	test_random();
	printf("1..%d\n", tests);
	return failures > 0;
}
