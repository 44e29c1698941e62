/*-------------------------------------------------------------------------
 *
 * country.h
 *	  Countries, their calling codes and how their numbers are dialled,
 *	  states of the USA.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TTE_COUNTRY_H
#define TTE_COUNTRY_H

#include "event/base.h"

/*
 * How the numbers of a calling code look.  A national number without trunk
 * prefix, where there is one, could be a local one without area code: only
 * the lengths of mobile numbers are taken then.
 */
typedef struct TtePhonePlan
{
	const char *code;			/* calling code */
	const char *trunk;			/* prefixes of national numbers, '|' between */
	int			shortest;		/* digits behind the calling code */
	int			longest;
	int			mobile_shortest;
	int			mobile_longest;
	bool		zero;			/* they may begin with 0 */
} TtePhonePlan;

/* The plan of exactly this calling code, or NULL. */
extern const TtePhonePlan *tte_phone_plan(const char *code, int len);

/* The plan of the calling code with which the digits begin, or NULL. */
extern const TtePhonePlan *tte_phone_plan_of(const char *digits, int len);

/*
 * ISO 3166 alpha-2 code, in lower case, of a country given by its alpha-2 or
 * alpha-3 code or English name, which the caller has reduced to lower-case
 * ASCII letters.  NULL when it is none.
 */
extern const char *tte_country_find(const char *letters, int len);

/* Two-letter code of a state of the USA by its name in lower-case letters. */
extern const char *tte_us_state_find(const char *letters, int len);

#endif							/* TTE_COUNTRY_H */
