/*-------------------------------------------------------------------------
 *
 * check_identifier.h
 *	  For the tests of identifiers: what is given, and what it becomes.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TTE_CHECK_IDENTIFIER_H
#define TTE_CHECK_IDENTIFIER_H

#include "event/identity.h"

#include "check.h"

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

static inline const char *
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

static inline void
check_identifiers(const IdentifierCase *cases, int n)
{
	for (const IdentifierCase *c = cases; c < cases + n; c++)
	{
		TteIdentityRules rules = {.calling_code = c->calling_code, .country = c->country};

		check_text(tte_identifier_names[c->kind], c->given,
				   normalized(c->kind, c->given, strlen(c->given), &rules), c->expected);
	}
}

#endif							/* TTE_CHECK_IDENTIFIER_H */
