/*-------------------------------------------------------------------------
 *
 * derived_id.c
 *	  Unit test of event/derived_id.c: what an event_id shows of a person.
 *
 *-------------------------------------------------------------------------
 */
#include "event/derived_id.h"

#include "check.h"

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

int
main(int argc, char **argv)
{
	test_traces();
	test_id_parts();
	return tap_end();
}
