/*-------------------------------------------------------------------------
 *
 * consent.c
 *	  The words by which applications say yes and no.
 *
 * Only whole words with one meaning.  "pending", "partial" and "unknown" are
 * in neither list: a word that is not understood is not consent.
 *
 *-------------------------------------------------------------------------
 */
#include "event/event.h"
#include "event/unicode.h"
#include "event/utf8.h"

#define LONGEST_WORD	32

/* Lower case, letters and digits alone. */
static const TteWord yes_words[] = {
	TTE_WORD("1"), TTE_WORD("accept"), TTE_WORD("accepted"), TTE_WORD("agree"), TTE_WORD("agreed"),
	TTE_WORD("allow"), TTE_WORD("allowed"), TTE_WORD("approved"), TTE_WORD("consented"), TTE_WORD("enabled"),
	TTE_WORD("given"), TTE_WORD("grant"), TTE_WORD("granted"), TTE_WORD("on"), TTE_WORD("optedin"),
	TTE_WORD("optin"), TTE_WORD("subscribed"), TTE_WORD("t"), TTE_WORD("true"), TTE_WORD("y"), TTE_WORD("yes")
};

static const TteWord no_words[] = {
	TTE_WORD("0"), TTE_WORD("block"), TTE_WORD("blocked"), TTE_WORD("decline"), TTE_WORD("declined"),
	TTE_WORD("denied"), TTE_WORD("deny"), TTE_WORD("disabled"), TTE_WORD("disagree"), TTE_WORD("disagreed"),
	TTE_WORD("disallow"), TTE_WORD("disallowed"), TTE_WORD("f"), TTE_WORD("false"), TTE_WORD("n"), TTE_WORD("never"),
	TTE_WORD("no"), TTE_WORD("none"), TTE_WORD("notgranted"), TTE_WORD("notgiven"), TTE_WORD("notsubscribed"),
	TTE_WORD("off"), TTE_WORD("optedout"), TTE_WORD("optout"), TTE_WORD("refused"), TTE_WORD("reject"),
	TTE_WORD("rejected"), TTE_WORD("revoked"), TTE_WORD("unsubscribed"), TTE_WORD("withdrawn")
};

static bool
is_one_of(const TteWord *words, int count, const char *word, int len)
{
	for (int i = 0; i < count; i++)
	{
		if (words[i].len == len && memcmp(words[i].text, word, len) == 0)
			return true;
	}
	return false;
}

TteTriState
tte_word_truth(const char *word, int len, bool *readable)
{
	char		plain[LONGEST_WORD];
	int			n = 0;

	*readable = true;
	tte_unicode_trim(&word, &len);
	if (len == 0)
		return TTE_UNSET;
	for (int i = 0; i < len; i++)
	{
		/* opt-in, opt_in, Opt In; but -1 is not 1 */
		if (i > 0 && (word[i] == '-' || word[i] == '_' || word[i] == ' '))
			continue;
		if (n == LONGEST_WORD)
			break;
		plain[n++] = pg_ascii_tolower((unsigned char) word[i]);
	}
	if (is_one_of(yes_words, lengthof(yes_words), plain, n))
		return TTE_YES;
	if (is_one_of(no_words, lengthof(no_words), plain, n))
		return TTE_NO;
	*readable = false;
	return TTE_UNSET;
}
