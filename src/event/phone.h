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
#define TTE_PHONE_MOST		40	/* of a text that is read */

/* What says which calling code is meant. */
typedef enum TtePhoneForm
{
	TTE_PHONE_PLUS,				/* a plus sign, or a link that implies it */
	TTE_PHONE_PREFIX,			/* the prefix that is dialled to call abroad */
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
	const char *region;			/* country of the plan: two letters, "" for an
								 * international service, NULL if unknown */
	int			code;			/* calling code, or 0 */
	bool		rewritten;		/* the plan took off or replaced a prefix */
	int			misfit;			/* phone_length: -1 too short, 1 too long */
} TtePhone;

/*
 * Reads a number and returns NULL, or the reason why it is not one.  The value
 * must be valid UTF-8 without blanks around it.  National numbers follow the
 * plan of place: a country in two lower-case letters, a calling code in
 * digits, or NULL.
 */
extern const char *tte_phone_read(const char *value, int len, const char *place, TtePhone *phone);

/*
 * The same by the former rules without plans: the calling code, then the
 * digits of a national number without its first zero.
 */
extern const char *tte_phone_previous(const char *value, int len, const char *place, TtePhone *phone);

/* The release of the tables. */
extern const char *tte_phone_release(void);

#endif							/* TTE_PHONE_H */
