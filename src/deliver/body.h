/*-------------------------------------------------------------------------
 *
 * body.h
 *	  Putting a batch of stored events together to the bodies of requests.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TTE_BODY_H
#define TTE_BODY_H

#include "deliver/sender.h"

/*
 * After the commit of the transaction that recorded the request: makes its body,
 * of as many of its events as can be in it; the others wait for requests of their
 * own.  False: the only one there is failed.
 */
extern bool tte_body_build(TteRequest *request, const TteSendLimits *limits);

#endif							/* TTE_BODY_H */
