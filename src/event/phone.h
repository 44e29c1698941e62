/*-------------------------------------------------------------------------
 *
 * phone.h
 *	  Telephone numbers in the international form of E.164.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TTE_PHONE_H
#define TTE_PHONE_H

#include "event/base.h"

#define TTE_PHONE_DIGITS	15	/* of a number, with its calling code */
#define TTE_PHONE_MOST		40	/* of a text that is looked at */

/* What tells the calling code of a number. */
typedef enum TtePhoneForm
{
	TTE_PHONE_PLUS,				/* a plus sign, or a link that implies it */
	TTE_PHONE_PREFIX,			/* what one dials to call abroad */
	TTE_PHONE_CODE,				/* nothing: the digits begin with it */
	TTE_PHONE_NATIONAL			/* the country that the caller named */
} TtePhoneForm;

/* What a text was read as, or why it was not. */
typedef struct TtePhone
{
	char		number[TTE_PHONE_DIGITS + 2];	/* plus sign, calling code,
												 * number */
	char		digits[TTE_PHONE_MOST + 1]; /* as they were found */
	TtePhoneForm form;
	const char *region;			/* whose plan: two letters, "" for none
								 * country's, NULL: not known */
	int			code;			/* calling code, or 0 */
	bool		rewritten;		/* the plan took off or replaced a prefix */
	int			misfit;			/* phone_length: -1 too short, 1 too long */
} TtePhone;

/*
 * Reads a number and returns NULL, or the reason why it is none.  The value
 * must be valid UTF-8 without blanks around it; place is whose plan national
 * numbers follow: a country in two lower-case letters, a calling code in
 * digits, or NULL.
 */
extern const char *tte_phone_read(const char *value, int len, const char *place, TtePhone *phone);

/*
 * The same as it was done without plans: digits behind the calling code, of a
 * national number without its zero.
 */
extern const char *tte_phone_previous(const char *value, int len, const char *place, TtePhone *phone);

/* The release of the tables. */
extern const char *tte_phone_release(void);

#endif							/* TTE_PHONE_H */
