/*-------------------------------------------------------------------------
 *
 * user.c
 *	  Unit test of event/user.c: the identifiers of an event.
 *
 *-------------------------------------------------------------------------
 */
#include "check_event.h"

#define HEX64_LOWER "848a771458438fc2ec420560d769fb9b9b86851ee338ec56517baabd79d3bb4f"

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

int
main(int argc, char **argv)
{
	test_user_data();
	return tap_end();
}
