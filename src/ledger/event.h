/* event.h - an event as bytes and as a row. */
#ifndef LOV_LEDGER_EVENT_H
#define LOV_LEDGER_EVENT_H

#include "ledger/ledger.h"
#include "ledger/tree.h"

/* The columns in the order that event_from_row expects. */
#define EVENT_COLUMNS "shard, seq, prev, at, kind, cid, actor, activity, body, leaf"

/* Appends the canonical encoding (ledger.h). */
void event_encode(const struct ledger_event *event, struct buf *out);
/* The reverse; texts are borrowed, the leaf is computed. False unless `bytes` are exactly the
 * encoding of one event. Needs no database. */
bool event_decode(struct str bytes, struct ledger_event *out);
/* False when a column has a wrong size. Text is borrowed from the statement. */
bool event_from_row(struct db_stmt *s, struct ledger_event *out);
/* False when `frontier` has not the length that `size` demands. */
bool event_read_frontier(int64_t size, struct str frontier, struct tree *out);

#endif
