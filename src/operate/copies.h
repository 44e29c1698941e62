/*-------------------------------------------------------------------------
 *
 * copies.h
 *	  How far the Pixel's and the server's copy of an event may be apart.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TTE_COPIES_H
#define TTE_COPIES_H

#include "datatype/timestamp.h"

/* Until then an event completes the copy of the Pixel, and until then TikTok knows it as a copy. */
#define TTE_COPY_COMPLETES	(5 * USECS_PER_MINUTE)
#define TTE_COPY_KNOWN		(48 * USECS_PER_HOUR)

#endif							/* TTE_COPIES_H */
