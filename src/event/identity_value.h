/*-------------------------------------------------------------------------
 *
 * identity_value.h
 *	  What the files about kinds of identifiers share; nobody else includes it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TTE_IDENTITY_VALUE_H
#define TTE_IDENTITY_VALUE_H

#include "event/identity.h"

#define TTE_MAX_NAME	255		/* characters of a name or city */
#define TTE_MAX_EMAIL	320		/* characters of an address and its name */

/* A value without blanks around it, checked once: valid, and not too long for its kind. */
typedef struct TteIdentifierValue
{
	const char *at;
	int			len;
	bool		ascii;
} TteIdentifierValue;

/* identity.c */
extern bool tte_is_hex(const char *str, int len);
extern bool tte_is_joiner(TteIdentifier kind, uint32 code);
extern void tte_append_lower(StringInfo out, const TteIdentifierValue *value);
extern void tte_append_code(StringInfo out, uint32 code);

/*
 * Each normalises one kind: appends the normalised form and returns NULL, or
 * returns a reason.
 *
 * email.c
 */
extern const char *tte_email_normalize(const TteIdentifierValue *given, const TteIdentityRules *rules, StringInfo out);

/* place.c */
extern const char *tte_name_normalize(const TteIdentifierValue *value, StringInfo out);
extern const char *tte_country_normalize(const TteIdentifierValue *value, StringInfo out);
extern const char *tte_place_normalize(TteIdentifier kind, const TteIdentifierValue *value,
									   const TteIdentityRules *rules, StringInfo out);
extern const char *tte_zip_code_normalize(const TteIdentifierValue *value, const TteIdentityRules *rules,
										  StringInfo out);

#endif							/* TTE_IDENTITY_VALUE_H */
