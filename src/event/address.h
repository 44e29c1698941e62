/*-------------------------------------------------------------------------
 *
 * address.h
 *	  IP addresses of users: which ones say something about the user.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TTE_ADDRESS_H
#define TTE_ADDRESS_H

#include "event/base.h"

/*
 * Appends a public address, the first of several, as it was written but
 * without port and mask.  An IPv4 address that is mapped to IPv6 is appended as
 * IPv4.  Returns NULL, or the reason why it cannot be used.
 */
extern const char *tte_address_normalize(const char *value, int len, StringInfo out);

#endif							/* TTE_ADDRESS_H */
