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

/* A full address: scheme, "://", host, no control characters; no blank in the host. */
extern bool tte_url_full(const char *url, int len);

/* Appends the address with "%20" for blanks. */
extern void tte_url_encode_blanks(const char *url, int len, StringInfo out);

/* Undoes percent escapes in place, up to five times; returns the new length. */
extern int	tte_unescape(char *str, int len);

/*
 * Appends the address without what may be personal or open an order: user and
 * password, the values of parameters that carry such data by their name, hold
 * an "@" or an address with such parameters, path segments with an e-mail
 * address.  Returns true if anything was removed; otherwise nothing is appended.
 */
extern bool tte_url_scrub(const char *url, int len, StringInfo out);

/* Appends the decoded value of a parameter of query or fragment; false if there is none. */
extern bool tte_url_parameter(const char *url, int len, const char *name, StringInfo out);

/* {{placeholder}} or __PLACEHOLDER__, for which nobody put in a value. */
extern bool tte_is_macro(const char *str, int len);

/* Does the text contain something like an e-mail address? */
extern bool tte_text_has_email(const char *str, int len);

#endif							/* TTE_URL_H */
