/*-------------------------------------------------------------------------
 *
 * phone_text.h
 *	  The text around and between the digits of a telephone number.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TTE_PHONE_TEXT_H
#define TTE_PHONE_TEXT_H

#include "event/phone.h"

/* Longest text that is read; a longer one is not a number. */
#define TTE_PHONE_TEXT	160

/* Digits that may be a number, and what stands with them. */
typedef struct TtePhoneDigits
{
	int			len;
	bool		plus;
	int			zero;			/* where "(0)" stands, or -1 */
	char		digits[TTE_PHONE_MOST + 1];
} TtePhoneDigits;

/* Plain text, and the position of the reader. */
typedef struct TtePhoneScan
{
	const char *at;
	const char *end;
	const char *start;
} TtePhoneScan;

/* What stands behind a number. */
typedef enum TtePhoneMark
{
	TTE_MARK_NONE,
	TTE_MARK_SEPARATOR,			/* between two numbers, or within one */
	TTE_MARK_OR,				/* between two numbers */
	TTE_MARK_EXTENSION			/* before an extension, or anything */
} TtePhoneMark;

/*
 * Converts to lower-case ASCII: digits of all scripts and full-width
 * characters; invisible marks are dropped.
 */
extern int	tte_phone_plain(const char *value, int len, char *to);

/* "352628123456.0", "4.9E+12": a number that went through a float. */
extern bool tte_phone_was_float(const char *scan);

/* Reads digits and the characters allowed between them. */
extern const char *tte_phone_scan_number(TtePhoneScan *scan, TtePhoneDigits *number);

/* Returns the mark behind a number, and steps over it. */
extern TtePhoneMark tte_phone_scan_mark(TtePhoneScan *scan);

/* Is the rest, from a bracket on, a remark without digits? */
extern bool tte_phone_is_remark(const TtePhoneScan *scan, const char *mark);

/* Steps over what is written before a number; true if it is a link that implies a plus sign. */
extern bool tte_phone_skip_front(TtePhoneScan *scan);

#endif							/* TTE_PHONE_TEXT_H */
