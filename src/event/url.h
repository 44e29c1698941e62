/*-------------------------------------------------------------------------
 *
 * url.h
 *	  Page addresses: personal data has to stay out of them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TTE_URL_H
#define TTE_URL_H

#include "event/base.h"

/* A full address: scheme, "://", host, no control characters or blanks. */
extern bool tte_url_full(const char *url, int len);

/*
 * Appends the address without what may be personal: user and password, the
 * values of parameters that carry such data by their name or hold an "@",
 * path segments with an e-mail address.  Returns true if anything was
 * removed; otherwise nothing is appended.
 */
extern bool tte_url_scrub(const char *url, int len, StringInfo out);

/* Appends the decoded value of a query parameter; false if there is none. */
extern bool tte_url_parameter(const char *url, int len, const char *name, StringInfo out);

/* Does the text contain something like an e-mail address? */
extern bool tte_text_has_email(const char *str, int len);

#endif							/* TTE_URL_H */
