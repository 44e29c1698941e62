/*-------------------------------------------------------------------------
 *
 * country.h
 *	  Countries and states of the USA by their names and codes.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TTE_COUNTRY_H
#define TTE_COUNTRY_H

#include "event/base.h"

/*
 * ISO 3166 alpha-2 code, in lower case, of a country given by its alpha-2 or
 * alpha-3 code or English name, which the caller has reduced to lower-case
 * ASCII letters.  NULL when it is none.
 */
extern const char *tte_country_find(const char *letters, int len);

/* Two-letter code of a state of the USA by its name in lower-case letters. */
extern const char *tte_us_state_find(const char *letters, int len);

#endif							/* TTE_COUNTRY_H */
