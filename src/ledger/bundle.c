/* bundle.c - see bundle.h. */
#include "ledger/bundle.h"

#include <string.h>

enum { HASH = 32, LENGTH = 2 };

/* ---- one row ---- */

/* Where lengths and hashes do not agree, or there are too many, the last entry has no hash: so no
 * verifier takes it. */
static void take_apart(struct cursor *c, int64_t first)
{
    struct str rest = buf_view(&c->entries);
    c->count = 0;
    for (; rest.n && c->count <= BUNDLE_MOST; c->count++) {
        struct entry *e = &c->entry[c->count];
        size_t n = rest.n < LENGTH ? 0 : (size_t)(uint8_t)rest.p[0] << 8 | (uint8_t)rest.p[1];
        size_t head = rest.n < LENGTH ? rest.n : LENGTH;
        if (n > rest.n - head)
            n = rest.n - head;
        size_t at = (size_t)c->count * HASH;
        *e = (struct entry){
            .seq = first + c->count,
            .bytes = {rest.p + head, n},
            .leaf = at + HASH <= c->leaves.n ? (const uint8_t *)c->leaves.p + at : NULL,
        };
        rest.p += head + n;
        rest.n -= head + n;
    }
    if (c->count && (rest.n || c->leaves.n != (size_t)c->count * HASH))
        c->entry[c->count - 1].leaf = NULL;
}

static void keep_row(struct cursor *c, struct db_stmt *s)
{
    buf_clear(&c->leaves);
    buf_clear(&c->entries);
    buf_str(&c->leaves, db_blob(s, 1));
    buf_str(&c->entries, db_blob(s, 2));
    take_apart(c, db_int(s, 0));
}

/* ---- the cursor ---- */

struct cursor cursor_from(struct db *lov, uint32_t shard, int64_t from, int64_t to)
{
    return (struct cursor){.lov = lov, .shard = shard, .next = from < 0 ? 0 : from, .end = to};
}

struct cursor cursor_back(struct db *lov, uint32_t shard, int64_t from)
{
    return (struct cursor){.lov = lov, .shard = shard, .backwards = true, .next = from, .end = -1};
}

/* 1 when the row has an entry at `next` or behind it. The row that `next` stands in may have grown
 * since it was read, and one after it begun, so both are looked at in one statement: in between
 * nothing is passed over. */
static int read_on(struct cursor *c, struct err *err)
{
    static const char sql[] =
        "select first, leaves, entries from bundle where shard = $1 and first >= coalesce((select "
        "max(first) from bundle where shard = $1 and first <= $2), 0) order by first limit 2";
    struct db_stmt *s = db_use(c->lov, sql);
    db_bind_int(s, 1, c->shard);
    db_bind_int(s, 2, c->next);
    int rc;
    while ((rc = db_step(s, err)) == 1) {
        keep_row(c, s);
        for (c->at = 0; c->at < c->count && c->entry[c->at].seq < c->next; c->at++)
            continue;
        if (c->at == c->count)
            continue;
        db_done(s);
        return 1;
    }
    return rc;
}

/* 1 and the row in which `seq` has its place, or the last before it. */
static int read_row(struct cursor *c, int64_t seq, int64_t *first, struct err *err)
{
    static const char sql[] = "select first, leaves, entries from bundle where shard = $1 and "
                              "first <= $2 order by first desc limit 1";
    struct db_stmt *s = db_use(c->lov, sql);
    db_bind_int(s, 1, c->shard);
    db_bind_int(s, 2, seq);
    int rc = db_step(s, err);
    if (rc != 1)
        return rc;
    *first = db_int(s, 0);
    keep_row(c, s);
    db_done(s);
    return 1;
}

static int read_back(struct cursor *c, struct err *err)
{
    for (c->at = -1; c->at < 0;) {
        int64_t first;
        int rc = read_row(c, c->next, &first, err);
        if (rc != 1)
            return rc;
        for (c->at = c->count - 1; c->at >= 0 && c->entry[c->at].seq > c->next; c->at--)
            continue;
        if (c->at < 0)
            c->next = first - 1;
    }
    return 1;
}

int cursor_next(struct cursor *c, struct entry *out, struct err *err)
{
    bool here = c->count && c->at >= 0 && c->at < c->count;
    int rc = here ? 1 : db_catch_up(c->lov, err);
    if (rc == 0)
        rc = c->backwards ? read_back(c, err) : read_on(c, err);
    if (rc != 1)
        return rc;
    const struct entry *e = &c->entry[c->at];
    if (!c->backwards && e->seq >= c->end)
        return 0;
    c->at += c->backwards ? -1 : 1;
    c->next = e->seq + (c->backwards ? -1 : 1);
    *out = *e;
    return 1;
}

static bool find_here(const struct cursor *c, int64_t seq, struct entry *out)
{
    for (int i = 0; i < c->count; i++)
        if (event_seq(c->entry[i].bytes) == seq) {
            *out = c->entry[i];
            return true;
        }
    return false;
}

int cursor_find(struct cursor *c, int64_t seq, struct entry *out, struct err *err)
{
    if (seq < 0)
        return 0;
    if (find_here(c, seq, out))
        return 1;
    /* An event never changes: only one that is not there is worth writing what is kept. */
    int64_t first;
    int rc = read_row(c, seq, &first, err);
    if (rc < 0 || (rc == 1 && find_here(c, seq, out)))
        return rc;
    rc = db_catch_up(c->lov, err);
    if (rc == 0)
        rc = read_row(c, seq, &first, err);
    return rc == 1 ? find_here(c, seq, out) : rc;
}

void cursor_close(struct cursor *c)
{
    buf_free(&c->entries);
    buf_free(&c->leaves);
}

bool entry_event(const struct entry *e, uint32_t shard, struct ledger_event *out)
{
    if (!e->leaf || !event_parse(e->bytes, out) || out->shard != shard)
        return false;
    memcpy(out->leaf.b, e->leaf, sizeof out->leaf.b);
    return true;
}

/* ---- hashes alone ---- */

int bundle_leaves(struct db *lov, uint32_t shard, int64_t first, unsigned count, struct buf *out,
                  struct err *err)
{
    static const char sql[] =
        "select first, leaves from bundle where shard = $1 and first >= coalesce((select max(first) "
        "from bundle where shard = $1 and first <= $2), 0) and first < $3 order by first";
    int64_t at = first, end = first + count;
    int rc = db_catch_up(lov, err);
    if (rc)
        return rc;
    struct db_stmt *s = db_use(lov, sql);
    db_bind_int(s, 1, shard);
    db_bind_int(s, 2, first);
    db_bind_int(s, 3, end);
    while ((rc = db_step(s, err)) == 1) {
        int64_t from = db_int(s, 0);
        struct str leaves = db_blob(s, 1);
        int64_t to = from + (int64_t)(leaves.n / HASH);
        if (from > at || to <= at) {
            db_done(s);
            return 0;
        }
        to = to < end ? to : end;
        buf_add(out, leaves.p + (at - from) * HASH, (size_t)(to - at) * HASH);
        at = to;
    }
    return rc;
}

/* ---- writing ---- */

void bundle_add(struct buf *entries, struct str encoding)
{
    buf_char(entries, (char)(encoding.n >> 8));
    buf_char(entries, (char)(encoding.n & 0xFF));
    buf_str(entries, encoding);
}

int64_t bundle_fill(struct str entries, size_t *bytes)
{
    size_t n = 0, size = 0;
    int64_t count = 0;
    while (n < entries.n) {
        size_t entry = LENGTH + ((size_t)(uint8_t)entries.p[n] << 8 | (uint8_t)entries.p[n + 1]);
        size += entry + HASH;
        if (count && size > BUNDLE_BYTES)
            break;
        n += entry;
        count++;
    }
    *bytes = n;
    return count;
}

int bundle_last(struct db *lov, uint32_t shard, int64_t *first, struct err *err)
{
    static const char sql[] = "select coalesce(max(first), 0) from bundle where shard = $1";
    struct db_stmt *s = db_use(lov, sql);
    db_bind_int(s, 1, shard);
    return db_number(s, first, err);
}

int bundle_put(struct db *lov, uint32_t shard, int64_t first, struct str entries, struct str leaves,
               struct err *err)
{
    static const char sql[] =
        "insert into bundle (shard, first, leaves, entries) values ($1, $2, $3, $4) "
        "on conflict (shard, first) do update set leaves = excluded.leaves, "
        "entries = excluded.entries";
    struct db_stmt *s = db_use(lov, sql);
    db_bind_int(s, 1, shard);
    db_bind_int(s, 2, first);
    db_bind_blob(s, 3, leaves);
    db_bind_blob(s, 4, entries);
    return db_run(s, err);
}
