/*-------------------------------------------------------------------------
 *
 * url.h
 *	  Page addresses, and the removal of personal data from them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TTE_URL_H
#define TTE_URL_H

#include "event/base.h"

/* Is it a full address: scheme, "://", host, no control characters, no blank in the host? */
extern bool tte_url_full(const char *url, int len);

/* Appends the address with "%20" for blanks. */
extern void tte_url_encode_blanks(const char *url, int len, StringInfo out);

/* Undoes percent escapes in place, up to five times; returns the new length. */
extern int	tte_unescape(char *str, int len);

/*
 * Appends the address without user and password, values of private parameters,
 * values that hold an "@" or an address with private parameters, and path
 * segments with an e-mail address.  Returns true if anything was removed;
 * otherwise nothing is appended.
 */
extern bool tte_url_scrub(const char *url, int len, StringInfo out);

/* Appends the decoded value of a parameter of query or fragment; false if there is none. */
extern bool tte_url_parameter(const char *url, int len, const char *name, StringInfo out);

/* Is it {{placeholder}} or __PLACEHOLDER__, which was never replaced by a value? */
extern bool tte_is_macro(const char *str, int len);

/* Does the text contain something like an e-mail address? */
extern bool tte_text_has_email(const char *str, int len);

#endif							/* TTE_URL_H */
