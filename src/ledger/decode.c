/* decode.c - an event from its canonical encoding. A file of its own, so that who verifies a
 * receipt links no database. Each encoding is read in one way only, which is the way it was
 * written. */
#include <string.h>

#include "ledger/event.h"

enum { VERSION = 1 };

/* What is left to read; `bad` once it was too short. */
struct reader {
    struct str rest;
    bool bad;
};

static struct str take(struct reader *r, size_t n)
{
    if (r->bad || r->rest.n < n) {
        r->bad = true;
        return (struct str){0};
    }
    struct str taken = {r->rest.p, n};
    r->rest.p += n;
    r->rest.n -= n;
    return taken;
}

static uint64_t take_number(struct reader *r, size_t bytes)
{
    struct str s = take(r, bytes);
    uint64_t v = 0;
    for (size_t i = 0; i < s.n; i++)
        v = v << 8 | (uint8_t)s.p[i];
    return v;
}

static struct str take_field(struct reader *r)
{
    return take(r, (size_t)take_number(r, 4));
}

int64_t event_seq(struct str bytes)
{
    struct reader r = {.rest = bytes};
    take(&r, 1 + 4); /* version and shard */
    uint64_t seq = take_number(&r, 8);
    return r.bad ? -1 : (int64_t)seq;
}

bool event_parse(struct str bytes, struct ledger_event *out)
{
    struct reader r = {.rest = bytes};
    struct ledger_event e = {0};
    bool known = take_number(&r, 1) == VERSION;
    e.shard = (uint32_t)take_number(&r, 4);
    e.seq = (int64_t)take_number(&r, 8);
    e.prev = (int64_t)take_number(&r, 8);
    e.at = (int64_t)take_number(&r, 8);
    e.kind = take_field(&r);
    struct str cid = take_field(&r);
    e.actor = take_field(&r);
    e.activity = take_field(&r);
    e.body = take_field(&r);
    if (!known || r.bad || r.rest.n || e.seq < 0 || (cid.n && cid.n != sizeof e.cid.b))
        return false;
    e.has_cid = cid.n > 0;
    if (e.has_cid)
        memcpy(e.cid.b, cid.p, cid.n);
    *out = e;
    return true;
}

bool event_decode(struct str bytes, struct ledger_event *out)
{
    struct sha256 leaf = tree_leaf(bytes);
    if (!event_parse(bytes, out))
        return false;
    out->leaf = leaf;
    return true;
}
