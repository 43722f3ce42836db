/* event.c - see event.h. */
#include "ledger/event.h"

#include <string.h>

static void add_number(struct buf *out, uint64_t v, int bytes)
{
    char be[8];
    for (int i = 0; i < bytes; i++)
        be[i] = (char)(v >> (8 * (bytes - 1 - i)) & 0xFF);
    buf_add(out, be, (size_t)bytes);
}

static void add_field(struct buf *out, struct str field)
{
    if (field.n > UINT32_MAX)
        bug("event field too long");
    add_number(out, field.n, 4);
    buf_str(out, field);
}

void event_encode(const struct ledger_event *event, struct buf *out)
{
    add_number(out, 1, 1);
    add_number(out, event->shard, 4);
    add_number(out, (uint64_t)event->seq, 8);
    add_number(out, (uint64_t)event->prev, 8);
    add_number(out, (uint64_t)event->at, 8);
    add_field(out, event->kind);
    add_field(out, event->has_cid ? uid_str(&event->cid) : (struct str){0});
    add_field(out, event->actor);
    add_field(out, event->activity);
    add_field(out, event->body);
}

bool event_read_frontier(int64_t size, struct str frontier, struct tree *out)
{
    if (size < 0 || frontier.n != tree_width((uint64_t)size) * sizeof out->node[0])
        return false;
    out->size = (uint64_t)size;
    if (frontier.n)
        memcpy(out->node, frontier.p, frontier.n);
    return true;
}
