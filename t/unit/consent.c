/*-------------------------------------------------------------------------
 *
 * consent.c
 *	  Unit test of event/consent.c: words for yes and no.
 *
 *-------------------------------------------------------------------------
 */
#include "event/event.h"

#include "check.h"

#define NBSP	"\xc2\xa0"
#define ZWSP	"\xe2\x80\x8b"

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

int
main(int argc, char **argv)
{
	test_consent_words();
	return tap_end();
}
