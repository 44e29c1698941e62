/*-------------------------------------------------------------------------
 *
 * json.c
 *	  Unit test of event/json.c and utf8.c.
 *
 *-------------------------------------------------------------------------
 */
#include "event/json.h"

#include "check.h"

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

/* A byte that is not plain at every place of texts of every length. */
static void
test_plain_length(void)
{
	static const char special[] = {'"', '\\', 0x7F, 0x1F, 0, (char) 0x80, (char) 0xFF};
	char		given[64];
	int			wrong = 0;

	memset(given, ' ', sizeof(given));
	for (int i = 0; i < sizeof(given); i++)
		given[i] += i;
	given['"' - ' '] = '!';
	given['\\' - ' '] = '~';
	for (int len = 0; len <= sizeof(given); len++)
	{
		wrong += tte_plain_length(given, len) != len;
		for (int at = 0; at < sizeof(given); at++)
		{
			char		kept = given[at];

			for (int i = 0; i < lengthof(special); i++)
			{
				given[at] = special[i];
				wrong += tte_plain_length(given, len) != Min(at, len);
			}
			given[at] = kept;
		}
	}
	check_true("length of what is plain", wrong == 0);
}

int
main(int argc, char **argv)
{
	test_json_reader();
	test_json_limits();
	test_json_writer();
	test_plain_length();
	return tap_end();
}
