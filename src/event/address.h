/*-------------------------------------------------------------------------
 *
 * address.h
 *	  IP addresses of users: which ones TikTok can make use of.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TTE_ADDRESS_H
#define TTE_ADDRESS_H

#include "event/base.h"

/*
 * Appends a public address, of several the first, as it was written but
 * without port or mask, and an IPv4 address in IPv6 clothes as IPv4.  Returns
 * NULL, or the reason why not.
 */
extern const char *tte_address_normalize(const char *value, int len, StringInfo out);

#endif							/* TTE_ADDRESS_H */
