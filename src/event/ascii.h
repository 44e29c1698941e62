/*-------------------------------------------------------------------------
 *
 * ascii.h
 *	  Classes of bytes by ASCII alone; <ctype.h> follows the database's locale.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TTE_ASCII_H
#define TTE_ASCII_H

#include "event/base.h"

static inline bool
tte_ascii_digit(char c)
{
	return c >= '0' && c <= '9';
}

static inline bool
tte_ascii_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static inline bool
tte_ascii_alnum(char c)
{
	return tte_ascii_letter(c) || tte_ascii_digit(c);
}

/* A byte of a word: a letter or digit of ASCII, or any byte of another character. */
static inline bool
tte_word_byte(char c)
{
	return tte_ascii_alnum(c) || IS_HIGHBIT_SET(c);
}

/* The value of a hex digit, or -1. */
static inline int
tte_hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

#endif							/* TTE_ASCII_H */
