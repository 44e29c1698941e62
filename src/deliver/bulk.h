/*-------------------------------------------------------------------------
 *
 * bulk.h
 *	  What a drain does to every event, directly on the tables.
 *
 * All of it is called between tte_queue_begin() and tte_queue_end(); ids are in
 * ascending order.  The caller makes changes visible.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TTE_BULK_H
#define TTE_BULK_H

#include "deliver/request.h"

/* values[i] becomes a copy of the stored identifiers of ids[i], or NULL when there are none. */
extern void tte_bulk_read_identities(const int64 *ids, int n, struct varlena **values);

extern void tte_bulk_delete_identities(const int64 *ids, int n);

/* Inserts the fate of events that were not in tiktok.retry; an error of class unique_violation when one of them has a fate. */
extern void tte_bulk_insert_fates(const TteFinal *final, const int64 *ids, int n);

#endif							/* TTE_BULK_H */
