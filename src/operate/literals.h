/*-------------------------------------------------------------------------
 *
 * literals.h
 *	  The literals of a mapping, which are the same in each of its events.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TTE_LITERALS_H
#define TTE_LITERALS_H

#include "enqueue/mapping.h"
#include "enqueue/source.h"

/*
 * Raises an error if no event with these literals can be sent to the source.
 * Appends a line that begins with two dashes if a literal is left out of each.
 */
extern void tte_literals_check(const TteMapping *mapping, const TteSource *source, StringInfo remarks);

#endif							/* TTE_LITERALS_H */
