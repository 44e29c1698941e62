/*-------------------------------------------------------------------------
 *
 * counts.c
 *	  Unit test of answer/counts.c: answers of TikTok's reporting API.
 *
 *-------------------------------------------------------------------------
 */
#include "answer/counts.h"

#include "tap.h"

/* An answer of pixel/list, and what is found in it on page 1. */
static const struct
{
	const char *name;
	const char *body;
	TtePixelAnswer found;
	const char *id;
}			lists[] =

{
	{"a Pixel", "{\"data\":{\"pixels\":[{\"pixel_code\":\"D\",\"pixel_id\":\"1\"},{\"pixel_code\":\"C\",\"pixel_id\":\"22\"}]}}", TTE_PIXEL_FOUND, "22"},
	{"a number as number", "{\"data\":{\"pixels\":[{\"pixel_code\":\"C\",\"pixel_id\":22}]}}", TTE_PIXEL_FOUND, "22"},
	{"bound", "{\"data\":{\"pixels\":[{\"pixel_code\":\"C\",\"pixel_id\":22,\"asset_ownership\":{\"asset_relation_status\":\"BOUND\"}}]}}", TTE_PIXEL_FOUND, "22"},
	{"not bound", "{\"data\":{\"pixels\":[{\"pixel_code\":\"C\",\"pixel_id\":22,\"asset_ownership\":{\"asset_relation_status\":\"UNBOUND\"}}]}}", TTE_PIXEL_UNBOUND, "22"},
	{"no Pixels", "{\"data\":{\"pixels\":[],\"page_info\":{\"total_page\":0}}}", TTE_PIXEL_NONE, ""},
	{"without page_info", "{\"data\":{\"pixels\":[]}}", TTE_PIXEL_NONE, ""},
	{"the last page", "{\"data\":{\"pixels\":[],\"page_info\":{\"total_page\":1}}}", TTE_PIXEL_NONE, ""},
	{"another page", "{\"data\":{\"pixels\":[],\"page_info\":{\"total_page\":2}}}", TTE_PIXEL_NEXT_PAGE, ""},
	{"an id with letters", "{\"data\":{\"pixels\":[{\"pixel_code\":\"C\",\"pixel_id\":\"2x\"}]}}", TTE_PIXEL_UNREADABLE, ""},
	{"an id of 21 digits", "{\"data\":{\"pixels\":[{\"pixel_code\":\"C\",\"pixel_id\":\"123456789012345678901\"}]}}", TTE_PIXEL_UNREADABLE, ""},
	{"no id", "{\"data\":{\"pixels\":[{\"pixel_code\":\"C\"}]}}", TTE_PIXEL_UNREADABLE, ""},
	{"elements that are none", "{\"data\":{\"pixels\":[1,null,[],\"C\"]}}", TTE_PIXEL_NONE, ""},
	{"an object for a list", "{\"data\":{\"pixels\":{}}}", TTE_PIXEL_UNREADABLE, ""},
	{"no data", "{\"code\":0}", TTE_PIXEL_UNREADABLE, ""},
	{"no JSON", "<html>", TTE_PIXEL_UNREADABLE, ""},
};

/* The statistics of Pixel 22, and what is read of them. */
static const struct
{
	const char *name;
	const char *statistics;
	const char *read;
}			answers[] =

{
	{"all fields", "[{\"pixel_event_type\":\"FORM\",\"total_count\":0,\"browser_event_total_count\":3,\"server_event_total_count\":4}]", "FORM 3 4 0;"},
	{"absent fields", "[{\"pixel_event_type\":\"FORM\"}]", "FORM -1 -1 -1;"},
	{"null and text", "[{\"pixel_event_type\":\"FORM\",\"total_count\":null,\"browser_event_total_count\":\"7\",\"server_event_total_count\":\"x\"}]", "FORM 7 -1 -1;"},
	{"negative, broken, huge", "[{\"pixel_event_type\":\"FORM\",\"total_count\":-1,\"browser_event_total_count\":1.5,\"server_event_total_count\":1234567890123456}]", "FORM -1 -1 -1;"},
	{"the largest", "[{\"pixel_event_type\":\"FORM\",\"total_count\":999999999999999}]", "FORM -1 -1 999999999999999;"},
	{"an own name", "[{\"custom_event_type\":\"Quote-2\",\"total_count\":1}]", "Quote-2* -1 -1 1;"},
	{"an empty own name", "[{\"custom_event_type\":\"\",\"pixel_event_type\":\"FORM\"}]", "FORM -1 -1 -1;"},
	{"no name", "[{\"total_count\":1}]", ""},
	{"an address as a name", "[{\"custom_event_type\":\"a@example.com\"},{\"pixel_event_type\":\"a b\"},{\"pixel_event_type\":\"4\"}]", ""},
	{"a name of 51 characters", "[{\"pixel_event_type\":\"A23456789012345678901234567890123456789012345678901\"}]", ""},
	{"elements that are none", "[1,null,[],{}]", ""},
	{"no list", "7", ""},
};

static const char *
written(const TteCounts *counts)
{
	static char line[1024];

	line[0] = '\0';
	for (int i = 0; i < counts->n; i++)
	{
		const TteCount *count = &counts->counts[i];

		snprintf(line + strlen(line), sizeof(line) - strlen(line), "%s%s " INT64_FORMAT " " INT64_FORMAT " " INT64_FORMAT ";",
				 count->type, count->custom ? "*" : "", count->browser, count->server, count->total);
	}
	return line;
}

static void
test_many(void)
{
	StringInfoData body;
	TteCounts	counts;
	const char *problem;

	for (int n = TTE_COUNTS_MAX; n <= TTE_COUNTS_MAX + 1; n++)
	{
		initStringInfo(&body);
		appendStringInfoString(&body, "{\"data\":{\"list\":[{\"pixel_id\":\"22\",\"statistics\":[{}");
		for (int i = 0; i < n; i++)
			appendStringInfoString(&body, ",{\"pixel_event_type\":\"FORM\"}");
		appendStringInfoString(&body, "]}]}}");
		problem = tte_counts_read(body.data, body.len, "22", &counts);
		is_text(problem ? problem : "", n > TTE_COUNTS_MAX ? "the answer has too many counts" : "", "as many counts as are taken, and one more");
	}
}

int
main(void)
{
	TteCounts	counts;

	for (int i = 0; i < (int) lengthof(lists); i++)
	{
		char		id[TTE_PIXEL_ID_MAX + 1] = "";

		ok(tte_pixel_find(lists[i].body, strlen(lists[i].body), "C", 1, id) == lists[i].found, lists[i].name);
		is_text(id, lists[i].id, lists[i].name);
	}
	for (int i = 0; i < (int) lengthof(answers); i++)
	{
		char		body[1024];

		snprintf(body, sizeof(body), "{\"data\":{\"list\":[{\"pixel_id\":\"1\",\"statistics\":[{\"pixel_event_type\":\"BUTTON\"}]},{\"pixel_id\":\"22\",\"statistics\":%s}]}}",
				 answers[i].statistics);
		ok(tte_counts_read(body, strlen(body), "22", &counts) == NULL && counts.listed, answers[i].name);
		is_text(written(&counts), answers[i].read, answers[i].name);
		ok(tte_counts_read(body, strlen(body), "3", &counts) == NULL && !counts.listed && counts.n == 0, "another Pixel");
	}
	is_text(tte_counts_read("{}", 2, "22", &counts), "the answer has no list of counts", "no answer of pixel/event/stats");
	test_many();
	return tap_end();
}
