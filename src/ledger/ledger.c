/* ledger.c - appending. Heads and events in memory run ahead of the database: they are written into
 * the transaction before it is committed, many events in a row (bundle.h), or when somebody reads
 * on the writer's connection. A batch that is undone takes both back to where it began. */
#include "ledger/ledger.h"

#include <stdlib.h>
#include <string.h>

#include "ledger/bundle.h"
#include "ledger/tree.h"

enum { HASH = 32 };

struct head {
    uint32_t shard;
    bool changed, has_leaf;
    struct sha256 leaf; /* the last one's */
    int64_t last_at, committed_at;
    int64_t applied, committed_applied, marked;
    struct tree tree, committed;
    /* The events from `first` on, which begins a row of the store, with their lengths and their
     * hashes. Those before `written` are in the store, or in the transaction under way. */
    struct buf entries, leaves;
    size_t committed_bytes;
    int64_t first, written, committed_written;
    bool dirty; /* the head is not in the transaction as it is */
};

struct ledger {
    struct head *heads;
    size_t count;
    struct buf encoding; /* reused */
    struct buf entries;  /* for the journal: the events of the batch under way */
    int64_t appended;    /* events of the batch under way */
    int64_t rows;        /* that it has written to the store for them */
};

static void keep_entry(struct head *h, struct str bytes, const uint8_t *leaf)
{
    bundle_add(&h->entries, bytes);
    buf_add(&h->leaves, leaf, HASH);
}

static void cut(struct buf *b, size_t n)
{
    if (n < b->n)
        b->n = n;
}

static void drop_front(struct buf *b, size_t n)
{
    if (n)
        memmove(b->p, b->p + n, b->n - n);
    b->n -= n;
}

static struct head *add_head(struct ledger *ledger, uint32_t shard)
{
    ledger->heads = mem_grow(ledger->heads, ledger->count + 1, sizeof *ledger->heads);
    struct head *h = &ledger->heads[ledger->count++];
    *h = (struct head){.shard = shard};
    return h;
}

static struct head *head_of(struct ledger *ledger, uint32_t shard)
{
    for (size_t i = 0; i < ledger->count; i++)
        if (ledger->heads[i].shard == shard)
            return &ledger->heads[i];
    return add_head(ledger, shard);
}

/* What the last row holds comes again with those that follow it. */
static int load_last_row(struct db *lov, struct head *h, struct err *err)
{
    int64_t size = (int64_t)h->tree.size;
    h->written = h->committed_written = size;
    int rc = bundle_last(lov, h->shard, &h->first, err);
    if (rc)
        return rc;
    struct cursor c = cursor_from(lov, h->shard, h->first, size);
    struct entry e;
    while ((rc = cursor_next(&c, &e, err)) == 1 && e.leaf)
        keep_entry(h, e.bytes, e.leaf);
    cursor_close(&c);
    h->committed_bytes = h->entries.n;
    if (rc >= 0 && h->leaves.n != (size_t)(size - h->first) * HASH)
        rc = err_set(err, LOV_ECORRUPT, "the end of ledger %u is damaged: run lov log verify",
                     h->shard);
    return rc;
}

static int read_heads(struct ledger *ledger, struct db *lov, struct err *err)
{
    static const char sql[] = "select shard, size, frontier, last_at, applied from shard "
                              "order by shard";
    struct db_stmt *s = db_use(lov, sql);
    int rc;
    while ((rc = db_step(s, err)) == 1) {
        struct head *h = add_head(ledger, (uint32_t)db_int(s, 0));
        h->last_at = h->committed_at = db_int(s, 3);
        h->applied = h->committed_applied = db_int(s, 4);
        if (!event_read_frontier(db_int(s, 1), db_blob(s, 2), &h->tree)) {
            db_done(s);
            return err_set(err, LOV_ECORRUPT,
                           "the head of ledger %u is damaged: run lov log verify", h->shard);
        }
        h->committed = h->tree;
    }
    return rc;
}

int ledger_open(struct db *lov, struct ledger **out, struct err *err)
{
    struct ledger *ledger = mem_zero(sizeof *ledger);
    db_keep(lov, NULL, NULL); /* of another ledger, which is closed */
    int rc = read_heads(ledger, lov, err);
    for (size_t i = 0; rc == 0 && i < ledger->count; i++)
        rc = load_last_row(lov, &ledger->heads[i], err);
    if (rc) {
        ledger_close(ledger);
        return rc;
    }
    *out = ledger;
    return 0;
}

void ledger_close(struct ledger *ledger)
{
    if (!ledger)
        return;
    for (size_t i = 0; i < ledger->count; i++) {
        buf_free(&ledger->heads[i].entries);
        buf_free(&ledger->heads[i].leaves);
    }
    buf_free(&ledger->encoding);
    buf_free(&ledger->entries);
    free(ledger->heads);
    free(ledger);
}

/* ---- into the transaction ---- */

static int write_head(struct db *lov, const struct head *h, struct err *err)
{
    static const char sql[] = "insert into shard (shard, size, frontier, last_at, applied) "
                              "values ($1, $2, $3, $4, $5) on conflict (shard) do update set "
                              "size = excluded.size, frontier = excluded.frontier, "
                              "last_at = excluded.last_at, applied = excluded.applied";
    size_t bytes = tree_width(h->tree.size) * sizeof h->tree.node[0];
    struct db_stmt *s = db_use(lov, sql);
    db_bind_int(s, 1, h->shard);
    db_bind_int(s, 2, (int64_t)h->tree.size);
    db_bind_blob(s, 3, (struct str){(char *)h->tree.node, bytes});
    db_bind_int(s, 4, h->last_at);
    db_bind_int(s, 5, h->applied);
    return db_run(s, err);
}

static int write_rows(struct ledger *ledger, struct db *lov, struct head *h, struct err *err)
{
    int64_t size = (int64_t)h->tree.size;
    struct str entries = buf_view(&h->entries), leaves = buf_view(&h->leaves);
    for (int64_t first = h->first; first < size;) {
        size_t bytes;
        int64_t count = bundle_fill(entries, &bytes);
        size_t hashes = (size_t)count * HASH;
        if (first + count > h->written) {
            int rc = bundle_put(lov, h->shard, first, (struct str){entries.p, bytes},
                                (struct str){leaves.p, hashes}, err);
            if (rc)
                return rc;
            ledger->rows++;
        }
        first += count;
        entries = (struct str){entries.p + bytes, entries.n - bytes};
        leaves = (struct str){leaves.p + hashes, leaves.n - hashes};
    }
    h->written = size;
    return 0;
}

static int write_kept(void *ctx, struct db *lov, struct err *err)
{
    struct ledger *ledger = ctx;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < ledger->count; i++) {
        struct head *h = &ledger->heads[i];
        rc = write_rows(ledger, lov, h, err);
        if (rc || !h->dirty)
            continue;
        rc = write_head(lov, h, err);
        ledger->rows++;
        h->dirty = false;
    }
    return rc;
}

static int before_store(void *ctx, struct write_stores *stores, struct err *err)
{
    return write_kept(ctx, stores->lov, err);
}

/* Rows that are in the store are not needed any more, but for the last, which takes more events. */
static void stored(void *ctx)
{
    struct ledger *ledger = ctx;
    for (size_t i = 0; i < ledger->count; i++) {
        struct head *h = &ledger->heads[i];
        struct str rest = buf_view(&h->entries);
        int64_t done = 0, count;
        size_t bytes;
        while ((count = bundle_fill(rest, &bytes)) > 0 && bytes < rest.n) {
            rest = (struct str){rest.p + bytes, rest.n - bytes};
            done += count;
        }
        drop_front(&h->entries, h->entries.n - rest.n);
        drop_front(&h->leaves, (size_t)done * HASH);
        h->first += done;
        h->committed_bytes = h->entries.n;
    }
}

/* ---- with the writer ---- */

static void forget_batch(struct ledger *ledger)
{
    buf_clear(&ledger->entries);
    ledger->appended = ledger->rows = 0;
}

int64_t ledger_appended(const struct ledger *ledger)
{
    return ledger->appended;
}

static int64_t kept(void *ctx)
{
    return ledger_appended(ctx);
}

static int64_t journal(void *ctx, struct buf *payload)
{
    struct ledger *ledger = ctx;
    buf_str(payload, buf_view(&ledger->entries));
    return ledger->rows;
}

static void committed(void *ctx)
{
    struct ledger *ledger = ctx;
    forget_batch(ledger);
    for (size_t i = 0; i < ledger->count; i++) {
        struct head *h = &ledger->heads[i];
        h->committed_written = h->written;
        if (!h->changed)
            continue;
        h->committed = h->tree;
        h->committed_at = h->last_at;
        h->committed_applied = h->applied;
        h->committed_bytes = h->entries.n;
        h->changed = false;
    }
}

static void rolled_back(void *ctx)
{
    struct ledger *ledger = ctx;
    for (size_t i = 0; i < ledger->count; i++) {
        struct head *h = &ledger->heads[i];
        h->dirty |= ledger->rows > 0;
        h->tree = h->committed;
        h->last_at = h->committed_at;
        h->applied = h->committed_applied;
        h->written = h->committed_written;
        cut(&h->entries, h->committed_bytes);
        cut(&h->leaves, (size_t)((int64_t)h->tree.size - h->first) * HASH);
        h->changed = h->has_leaf = false;
    }
    forget_batch(ledger);
}

struct write_observer ledger_observer(struct ledger *ledger)
{
    return (struct write_observer){.ctx = ledger,
                                   .before_store = before_store,
                                   .committed = committed,
                                   .rolled_back = rolled_back,
                                   .kept = kept,
                                   .journal = journal,
                                   .stored = stored};
}

bool ledger_is_applied(const struct ledger *ledger)
{
    for (size_t i = 0; i < ledger->count; i++)
        if (ledger->heads[i].applied != (int64_t)ledger->heads[i].committed.size)
            return false;
    return true;
}

void ledger_mark(struct ledger *ledger)
{
    for (size_t i = 0; i < ledger->count; i++)
        ledger->heads[i].marked = (int64_t)ledger->heads[i].committed.size;
}

void ledger_applied(struct ledger *ledger)
{
    for (size_t i = 0; i < ledger->count; i++) {
        struct head *h = &ledger->heads[i];
        h->changed |= h->applied != h->marked;
        h->dirty |= h->changed;
        h->applied = h->marked;
    }
}

void ledger_applied_all(struct ledger *ledger)
{
    for (size_t i = 0; i < ledger->count; i++) {
        struct head *h = &ledger->heads[i];
        h->changed |= h->applied != (int64_t)h->tree.size;
        h->dirty |= h->changed;
        h->applied = (int64_t)h->tree.size;
    }
}

int64_t ledger_next(struct ledger *ledger, uint32_t shard)
{
    return (int64_t)head_of(ledger, shard)->tree.size;
}

bool ledger_last_leaf(struct ledger *ledger, uint32_t shard, struct sha256 *out)
{
    const struct head *h = head_of(ledger, shard);
    if (h->has_leaf)
        *out = h->leaf;
    return h->has_leaf;
}

int ledger_append(struct ledger *ledger, struct db *lov, struct ledger_event *event,
                  struct err *err)
{
    struct head *h = head_of(ledger, event->shard);
    /* The ledger's time never runs backwards, whatever the clock did. */
    if (event->at < h->last_at)
        event->at = h->last_at;
    event->seq = (int64_t)h->tree.size;
    buf_clear(&ledger->encoding);
    event_encode(event, &ledger->encoding);
    if (ledger->encoding.n > LEDGER_EVENT_MAX)
        return err_reason(err, LOV_ELIMIT, "event_too_long",
                          "this would be an event of %zu bytes, and one has at most %d: write less "
                          "at a time",
                          ledger->encoding.n, LEDGER_EVENT_MAX);
    event->leaf = tree_leaf(buf_view(&ledger->encoding));
    db_keep(lov, write_kept, ledger);
    keep_entry(h, buf_view(&ledger->encoding), event->leaf.b);
    journal_entry_add(&ledger->entries, buf_view(&ledger->encoding));
    ledger->appended++;
    tree_append(&h->tree, &event->leaf);
    h->leaf = event->leaf;
    h->last_at = event->at;
    h->changed = h->dirty = h->has_leaf = true;
    return 0;
}
