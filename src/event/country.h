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
 * ISO 3166 alpha-2 code, in lower case, of a country given by one of its codes
 * or names in valid UTF-8.  NULL when it is none, or could be two.
 */
extern const char *tte_country_find(const char *name, int len);

/* The English name of a country by its two letters; NULL for none. */
extern const char *tte_country_name(const char *alpha2);

/* Two-letter code of a state of the USA by that or its name; NULL for none. */
extern const char *tte_us_state_find(const char *name, int len);

#endif							/* TTE_COUNTRY_H */
