/*-------------------------------------------------------------------------
 *
 * catalog.c
 *	  Unit test of event/catalog.c: event names, fields and return codes.
 *
 *-------------------------------------------------------------------------
 */
#include "event/catalog.h"
#include "event/identity.h"

#include "check.h"

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

int
main(int argc, char **argv)
{
	test_names();
	test_fields();
	test_codes();
	return tap_end();
}
