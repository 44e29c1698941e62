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

#define TTE_PHONE_DIGITS	15

/*
 * Writes "+" and the digits of a number, zero-terminated, and returns NULL,
 * or returns the reason why it is none.  The value must be valid UTF-8
 * without blanks around it; calling_code is that of national numbers, or NULL.
 */
extern const char *tte_phone_normalize(const char *value, int len, const char *calling_code,
									   char phone[TTE_PHONE_DIGITS + 2]);

#endif							/* TTE_PHONE_H */
