/*-------------------------------------------------------------------------
 *
 * redact.h
 *	  What may be kept of a text that TikTok, a proxy or a library wrote.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TTE_REDACT_H
#define TTE_REDACT_H

#include "event/utf8.h"

/* Writes the bytes as valid UTF-8 on one line into out, as many whole characters as fit. */
extern void tte_clean(char *out, size_t size, const char *bytes, size_t len);

/* Masks in a clean text every token that is not known to be harmless. */
extern void tte_redact(char *str, size_t size);

/* Masks a value wherever it is a word of its own; false if nowhere. */
extern bool tte_redact_value(char *str, const char *value, size_t len);

#endif							/* TTE_REDACT_H */
