/*-------------------------------------------------------------------------
 *
 * unicode.h
 *	  Properties of characters, independent of the server's locale.
 *
 * A character is a uint32 code point.  Text handed in must be valid UTF-8,
 * except to tte_unicode_trim().
 *
 *-------------------------------------------------------------------------
 */
#ifndef TTE_UNICODE_H
#define TTE_UNICODE_H

#include "event/utf8.h"

/* White space, and characters without width that are copied along with text. */
extern bool tte_unicode_blank(uint32 code);

/* Removes the blanks at both ends. */
extern void tte_unicode_trim(const char **str, int *len);

/* Control and format characters, line and paragraph separator. */
extern bool tte_unicode_control(uint32 code);

/* Punctuation and symbols. */
extern bool tte_unicode_punctuation(uint32 code);

/* The value of a decimal digit of any script, or -1. */
extern int	tte_unicode_digit(uint32 code);

/* Lower case of one character, which is one character. */
extern uint32 tte_unicode_lower(uint32 code);

/*
 * Lower case of a text, as by toLowerCase() of a browser: also the two rules
 * of Unicode that depend on context (capital I with dot, sigma at the end of a
 * word).  Writes at most 2 * n characters to lower (not in place), and returns
 * how many.
 */
extern int	tte_unicode_lower_text(const uint32 *str, int n, uint32 *lower);

/*
 * Normalizes n characters, none of them zero, to NFC in place, and returns how
 * many there are then. str has space for 3 * n + 1.
 */
extern int	tte_unicode_nfc(uint32 *str, int n);

/*
 * Writes the lower-case ASCII letters and digits of a text, without accents;
 * with all also letters that have no such form, in UTF-8.  Writes at most size
 * bytes, and returns how many.  Overwrites str, which has space for 4 * n + 1.
 */
extern int	tte_unicode_fold(uint32 *str, int n, bool all, char *to, int size);

#endif							/* TTE_UNICODE_H */
