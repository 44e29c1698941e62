/*-------------------------------------------------------------------------
 *
 * wire.h
 *	  Putting stored events together to what is posted.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TTE_WIRE_H
#define TTE_WIRE_H

#include "event/event.h"

/* Opens a request body: {"event_source":...,"data":[  test_code may be NULL. */
extern void tte_wire_open(StringInfo out, const char *event_source, const char *event_source_id,
						  const char *test_code);

/*
 * Appends one element of data[]: the payload with the hashed identifiers in it.
 * user_data NULL: the event has none.  Returns false, with nothing appended,
 * when what was stored is not what tte_event_finish() writes.
 */
extern bool tte_wire_event(StringInfo out, const char *payload, int payload_len,
						   const char *user_data, int user_data_len, bool ascii);

extern void tte_wire_close(StringInfo out);

/* Length of what tte_wire_close() appends. */
#define TTE_WIRE_CLOSE_LEN	2

#endif							/* TTE_WIRE_H */
