/*-------------------------------------------------------------------------
 *
 * decimal.h
 *	  Amounts of money, exactly as they were written.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TTE_DECIMAL_H
#define TTE_DECIMAL_H

#include "event/base.h"

/*
 * An amount is below 1e15.  It is rounded to 17 significant digits, as many as
 * the shortest form of a double can have, and to 18 behind the point.  What
 * would be rounded to zero is out of range.
 */
#define TTE_DECIMAL_WHOLE	15
#define TTE_DECIMAL_DIGITS	17
#define TTE_DECIMAL_SCALE	18

typedef enum TteDecimalState
{
	TTE_DECIMAL_OK,
	TTE_DECIMAL_SYNTAX,
	TTE_DECIMAL_NOT_FINITE,
	TTE_DECIMAL_RANGE
} TteDecimalState;

typedef struct TteDecimal
{
	bool		negative;		/* never for zero */
	bool		integral;
	int			whole;			/* digits before the point */
	int			scale;			/* digits behind it */
	char		digits[TTE_DECIMAL_WHOLE + TTE_DECIMAL_SCALE + 4];	/* without sign, a JSON
																	 * number */
} TteDecimal;

/* Reads "12000", "49.90", "1.5e3", "NaN"; no blanks, no separators. */
extern TteDecimalState tte_decimal_read(const char *literal, int len, TteDecimal *decimal);

/* Moves the point to the left, by at most TTE_DECIMAL_SCALE / 2 digits. */
extern TteDecimalState tte_decimal_shift(TteDecimal *decimal, int digits);

/* The number if it is a whole one in 0..max, else -1. */
extern int64 tte_decimal_integer(const TteDecimal *decimal, int64 max);

/*
 * Writes a number of any size without exponent.  Returns its length, or -1 if
 * it is not a number or longer than size.
 */
extern int	tte_decimal_plain(const char *literal, int len, char *to, int size);

/* A sum of amounts times quantities, exact.  Start with all zero. */
typedef struct TteSum
{
	uint64		limbs[6];		/* base 1e9, lowest first; two are the
								 * fraction */
	int			scale;
} TteSum;

/* amount is not negative; quantity below 1e9. */
extern void tte_sum_add(TteSum *sum, const TteDecimal *amount, uint32 quantity);
extern TteDecimalState tte_sum_result(const TteSum *sum, TteDecimal *decimal);

#endif							/* TTE_DECIMAL_H */
