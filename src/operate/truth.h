/*-------------------------------------------------------------------------
 *
 * truth.h
 *	  Reading a relation that says what should have been reported.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TTE_TRUTH_H
#define TTE_TRUTH_H

#include "datatype/timestamp.h"
#include "operate/stream.h"

/*
 * Calls "take" for (event_id text, value numeric, currency text, at timestamptz) of
 * the relation's rows of [since, until).  They are read as the owner; an
 * error if the current user may not read them.  A time without zone is one of
 * the session's time zone.  SPI must be connected.
 */
extern void tte_truth_read(Oid relid, TimestampTz since, TimestampTz until, TteTakeRow take, void *arg);

#endif							/* TTE_TRUTH_H */
