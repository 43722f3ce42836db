/* event.h - an event as bytes. */
#ifndef LOV_LEDGER_EVENT_H
#define LOV_LEDGER_EVENT_H

#include "ledger/ledger.h"
#include "ledger/tree.h"

/* Appends the canonical encoding (ledger.h). */
void event_encode(const struct ledger_event *event, struct buf *out);
/* The reverse; texts are borrowed, the leaf is computed. False unless `bytes` are exactly the
 * encoding of one event. Needs no database. */
bool event_decode(struct str bytes, struct ledger_event *out);
/* The same, and the leaf is left empty. */
bool event_parse(struct str bytes, struct ledger_event *out);
/* The number alone, of bytes that may be no event; -1: they are too few. */
int64_t event_seq(struct str bytes);
/* False when `frontier` has not the length that `size` demands. */
bool event_read_frontier(int64_t size, struct str frontier, struct tree *out);

#endif
