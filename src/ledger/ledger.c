/* ledger.c - appending. The heads in memory run ahead of the database inside a transaction; the
 * observer writes them once per commit, or goes back to the last committed ones. */
#include "ledger/ledger.h"

#include <stdlib.h>
#include <string.h>

#include "ledger/event.h"
#include "ledger/tree.h"

struct head {
    uint32_t shard;
    bool changed, has_leaf;
    struct sha256 leaf; /* the last one's */
    int64_t last_at, committed_at;
    int64_t applied, committed_applied, marked;
    struct tree tree, committed;
};

struct ledger {
    struct head *heads;
    size_t count;
    struct buf encoding; /* reused */
    struct buf entries;  /* for the journal: the events of the batch under way */
    int64_t entry_count;
};

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

int ledger_open(struct db *lov, struct ledger **out, struct err *err)
{
    static const char sql[] = "select shard, size, frontier, last_at, applied from shard "
                              "order by shard";
    struct ledger *ledger = mem_zero(sizeof *ledger);
    struct db_stmt *s = db_use(lov, sql);
    int rc;
    while ((rc = db_step(s, err)) == 1) {
        struct head *h = add_head(ledger, (uint32_t)db_int(s, 0));
        h->last_at = h->committed_at = db_int(s, 3);
        h->applied = h->committed_applied = db_int(s, 4);
        if (!event_read_frontier(db_int(s, 1), db_blob(s, 2), &h->tree)) {
            db_done(s);
            ledger_close(ledger);
            return err_set(err, LOV_ECORRUPT,
                           "the head of ledger %u is damaged: run lov log verify", h->shard);
        }
        h->committed = h->tree;
    }
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
    buf_free(&ledger->encoding);
    buf_free(&ledger->entries);
    free(ledger->heads);
    free(ledger);
}

static int before_commit(void *ctx, struct write_stores *stores, struct err *err)
{
    static const char sql[] = "insert into shard (shard, size, frontier, last_at, applied) "
                              "values ($1, $2, $3, $4, $5) on conflict (shard) do update set "
                              "size = excluded.size, frontier = excluded.frontier, "
                              "last_at = excluded.last_at, applied = excluded.applied";
    struct ledger *ledger = ctx;
    for (size_t i = 0; i < ledger->count; i++) {
        struct head *h = &ledger->heads[i];
        if (!h->changed)
            continue;
        size_t bytes = tree_width(h->tree.size) * sizeof h->tree.node[0];
        struct db_stmt *s = db_use(stores->lov, sql);
        db_bind_int(s, 1, h->shard);
        db_bind_int(s, 2, (int64_t)h->tree.size);
        db_bind_blob(s, 3, (struct str){(char *)h->tree.node, bytes});
        db_bind_int(s, 4, h->last_at);
        db_bind_int(s, 5, h->applied);
        int rc = db_run(s, err);
        if (rc)
            return rc;
    }
    return 0;
}

static void forget_entries(struct ledger *ledger)
{
    buf_clear(&ledger->entries);
    ledger->entry_count = 0;
}

static int64_t journal(void *ctx, struct buf *payload)
{
    struct ledger *ledger = ctx;
    buf_str(payload, buf_view(&ledger->entries));
    return ledger->entry_count;
}

static void committed(void *ctx)
{
    struct ledger *ledger = ctx;
    forget_entries(ledger);
    for (size_t i = 0; i < ledger->count; i++) {
        struct head *h = &ledger->heads[i];
        if (!h->changed)
            continue;
        h->committed = h->tree;
        h->committed_at = h->last_at;
        h->committed_applied = h->applied;
        h->changed = false;
    }
}

static void rolled_back(void *ctx)
{
    struct ledger *ledger = ctx;
    forget_entries(ledger);
    for (size_t i = 0; i < ledger->count; i++) {
        struct head *h = &ledger->heads[i];
        h->tree = h->committed;
        h->last_at = h->committed_at;
        h->applied = h->committed_applied;
        h->changed = h->has_leaf = false;
    }
}

struct write_observer ledger_observer(struct ledger *ledger)
{
    return (struct write_observer){.ctx = ledger,
                                   .before_commit = before_commit,
                                   .committed = committed,
                                   .rolled_back = rolled_back,
                                   .journal = journal};
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
        h->applied = h->marked;
    }
}

void ledger_applied_all(struct ledger *ledger)
{
    for (size_t i = 0; i < ledger->count; i++) {
        struct head *h = &ledger->heads[i];
        h->changed |= h->applied != (int64_t)h->tree.size;
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

static int insert(struct db *lov, const struct ledger_event *event, struct err *err)
{
    static const char sql[] =
        "insert into event (shard, seq, prev, at, kind, cid, actor, activity, body, leaf) "
        "values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
    struct db_stmt *s = db_use(lov, sql);
    db_bind_int(s, 1, event->shard);
    db_bind_int(s, 2, event->seq);
    db_bind_int(s, 3, event->prev);
    db_bind_int(s, 4, event->at);
    db_bind_text(s, 5, event->kind);
    if (event->has_cid)
        db_bind_blob(s, 6, uid_str(&event->cid));
    else
        db_bind_null(s, 6);
    db_bind_text(s, 7, event->actor);
    db_bind_text(s, 8, event->activity);
    db_bind_text(s, 9, event->body);
    db_bind_blob(s, 10, (struct str){(const char *)event->leaf.b, sizeof event->leaf.b});
    return db_run(s, err);
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
    int rc = insert(lov, event, err);
    if (rc)
        return rc;
    journal_entry_add(&ledger->entries, buf_view(&ledger->encoding));
    ledger->entry_count++;
    tree_append(&h->tree, &event->leaf);
    h->leaf = event->leaf;
    h->last_at = event->at;
    h->changed = h->has_leaf = true;
    return 0;
}
