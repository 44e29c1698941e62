/*-------------------------------------------------------------------------
 *
 * identity.h
 *	  Match keys: what a raw identifier becomes, and why one is left out.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TTE_IDENTITY_H
#define TTE_IDENTITY_H

#include "event/json.h"

typedef enum TteIdentifier
{
#define TTE_IDENTIFIER(symbol, name, sources, hashed, longest, rule) symbol,
#include "event/identifier_list.h"
#undef TTE_IDENTIFIER
} TteIdentifier;

#define TTE_IDENTIFIERS		18	/* rows of the list */
#define TTE_HEX_LEN			64	/* of a SHA-256 */

extern const char *const tte_identifier_names[TTE_IDENTIFIERS];
extern int	tte_identifier_find(const char *name);	/* or -1 */

/* Input of the rules besides the value. */
typedef struct TteIdentityRules
{
	const char *calling_code;	/* of national phone numbers: digits, or a
								 * country in two lower-case letters, or NULL */
	bool		lower_external_id;
	const char *country;		/* normalised user.country, for zip_code, or
								 * NULL */
	bool		previous;		/* by the former rules, to find events that
								 * were recorded under them */
} TteIdentityRules;

/*
 * Normalises one value.  On success appends the normalised form (not hashed)
 * to out and returns NULL; returns "" when the value is absent (empty or
 * blank), else a constant reason word ("email_syntax", "phone_no_country",
 * "ip_private", "too_long", "junk", "encoding", ...) and appends nothing.
 * A value that already is a SHA-256 in hex comes out in lower case, for the
 * kinds that are hashed, and for idfa and gaid.
 */
extern const char *tte_identifier_normalize(TteIdentifier kind, const char *value, int len,
											const TteIdentityRules *rules, StringInfo out);

/* Is this kind sent as a SHA-256? */
extern bool tte_identifier_hashed(TteIdentifier kind);

/* Lower-case hex SHA-256 of the bytes, zero-terminated. */
extern void tte_sha256_hex(const char *bytes, int len, char hex[TTE_HEX_LEN + 1]);

/*
 * Appends what is sent of a normalised value: its hash, or the value itself if
 * the kind is not hashed or it already is a hash.
 */
extern void tte_identifier_wire(TteIdentifier kind, const char *normalized, int len, StringInfo out);

/*
 * Appends the object {"email":"<hash>",...} made from the text that
 * tte_event_finish() wrote for tiktok.identity.  Returns false, and appends
 * nothing, if the text is not such an object.
 */
extern bool tte_identity_append_user(StringInfo out, const char *user_data, int len, bool ascii);

#endif							/* TTE_IDENTITY_H */
