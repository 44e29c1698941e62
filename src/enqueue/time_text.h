/*-------------------------------------------------------------------------
 *
 * time_text.h
 *	  Points in time that are written as text.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TTE_TIME_TEXT_H
#define TTE_TIME_TEXT_H

#include "datatype/timestamp.h"

/*
 * Reads a date, or a date and a time, without blanks around it.  local is what
 * a clock showed; offset (seconds east of UTC) is 0 unless has_offset.  False:
 * it is none of the forms below.
 *
 * Dates: 2026-11-29, 2026/11/29, 20261129, Sun, 29 Nov 2026 (RFC 1123).  Times,
 * behind T, blanks or a comma: 10:11, 10:11:12, 101112, each with a fraction;
 * behind T also 10 and 1011.  Then an offset from UTC, or Z, UTC or GMT.
 */
extern bool tte_time_text(const char *str, int len, Timestamp *local, bool *has_offset, int *offset);

/* The same for a number that is written as a date, as 20261129 or 20261129101112. */
extern bool tte_time_digits(const char *str, int len, Timestamp *local);

#endif							/* TTE_TIME_TEXT_H */
