/* read.c - reading and verifying the ledger, on any connection. */
#include <stdio.h>
#include <string.h>

#include "ledger/bundle.h"
#include "ledger/tree.h"

enum { MOST_SCANNED = 100000, PROGRESS_EVERY = 4096 };

int ledger_last_at(struct db *lov, int64_t *out, struct err *err)
{
    static const char sql[] = "select coalesce(max(last_at), 0) from shard";
    int rc = db_catch_up(lov, err);
    if (rc)
        return rc;
    struct db_stmt *s = db_use(lov, sql);
    return db_number(s, out, err);
}

/* 1 and the stored head, 0 when the shard has none. *intact is false when it is damaged. */
static int stored_head(struct db *lov, uint32_t shard, struct tree *tree, bool *intact,
                       struct err *err)
{
    static const char sql[] = "select size, frontier from shard where shard = $1";
    int rc = db_catch_up(lov, err);
    if (rc)
        return rc;
    struct db_stmt *s = db_use(lov, sql);
    db_bind_int(s, 1, shard);
    rc = db_step(s, err);
    if (rc != 1)
        return rc;
    *intact = event_read_frontier(db_int(s, 0), db_blob(s, 1), tree);
    db_done(s);
    return 1;
}

int ledger_head(struct db *lov, uint32_t shard, int64_t *size, struct sha256 *root, struct err *err)
{
    struct tree tree = {0};
    bool intact = true;
    int rc = stored_head(lov, shard, &tree, &intact, err);
    if (rc < 0)
        return rc;
    if (!intact)
        return err_set(err, LOV_ECORRUPT, "the head of ledger %u is damaged: run lov log verify",
                       shard);
    *size = (int64_t)tree.size;
    *root = tree_root(&tree);
    return 0;
}

int ledger_shards(struct db *lov, struct buf *out, struct err *err)
{
    /* From the heads and from what there is: a head that was deleted is found too. */
    static const char sql[] = "select shard from shard union select distinct shard from bundle "
                              "order by 1";
    int rc = db_catch_up(lov, err);
    if (rc)
        return rc;
    struct db_stmt *s = db_use(lov, sql);
    while ((rc = db_step(s, err)) == 1) {
        uint32_t shard = (uint32_t)db_int(s, 0);
        buf_add(out, &shard, sizeof shard);
    }
    return rc;
}

static int damaged(int64_t seq, struct err *err)
{
    return err_set(err, LOV_ECORRUPT, "event %lld is damaged: run lov log verify", (long long)seq);
}

static int call_row(uint32_t shard, const struct entry *e, ledger_row *row, void *ctx,
                    struct err *err)
{
    struct ledger_event event;
    return entry_event(e, shard, &event) ? row(ctx, &event) : damaged(e->seq, err);
}

static int call_each(struct cursor *c, ledger_row *row, void *ctx, struct err *err)
{
    struct entry e;
    int rc;
    while ((rc = cursor_next(c, &e, err)) == 1)
        if ((rc = call_row(c->shard, &e, row, ctx, err)) != 0)
            break;
    cursor_close(c);
    return rc;
}

int ledger_each(struct db *lov, uint32_t shard, int64_t from, ledger_row *row, void *ctx,
                struct err *err)
{
    struct cursor c = cursor_from(lov, shard, from, INT64_MAX);
    return call_each(&c, row, ctx, err);
}

int ledger_each_back(struct db *lov, uint32_t shard, ledger_row *row, void *ctx, struct err *err)
{
    struct cursor c = cursor_back(lov, shard, INT64_MAX);
    return call_each(&c, row, ctx, err);
}

static bool is_of(struct str activity, struct str recipient)
{
    return recipient.n == 0 || (str_starts(activity, recipient) && activity.n > recipient.n &&
                                activity.p[recipient.n] == '/');
}

static bool is_wanted(const struct ledger_filter *filter, const struct ledger_event *event)
{
    return (!filter->kind || filter->kind(event->kind)) &&
           is_of(event->activity, filter->recipient);
}

int ledger_read(struct db *lov, const struct ledger_filter *filter, ledger_row *row, void *ctx,
                int64_t *scanned_to, struct err *err)
{
    struct cursor c = cursor_from(lov, filter->shard, filter->after + 1, INT64_MAX);
    struct entry e;
    struct ledger_event event;
    bool all = !filter->recipient.n && !filter->kind;
    int64_t left = filter->limit, last = filter->after, most = all ? INT64_MAX : MOST_SCANNED;
    int rc = 0;
    for (int64_t seen = 0; left > 0 && seen < most; seen++) {
        rc = cursor_next(&c, &e, err);
        if (rc != 1)
            break;
        last = e.seq;
        rc = entry_event(&e, filter->shard, &event) ? 0 : damaged(e.seq, err);
        if (rc == 0 && !is_wanted(filter, &event))
            continue;
        if (rc == 0)
            rc = row(ctx, &event);
        if (rc)
            break;
        left--;
    }
    cursor_close(&c);
    if (scanned_to && rc == 0)
        *scanned_to = last;
    return rc;
}

int ledger_get(struct db *lov, uint32_t shard, int64_t seq, ledger_row *row, void *ctx,
               struct err *err)
{
    struct cursor c = cursor_from(lov, shard, seq, seq + 1);
    struct entry e;
    int rc = cursor_find(&c, seq, &e, err);
    if (rc == 1) {
        rc = call_row(shard, &e, row, ctx, err);
        rc = rc ? rc : 1;
    }
    cursor_close(&c);
    return rc;
}

/* ---- a consumer's chain ---- */

/* The events of a chain are read in whatever order; neighbours often lie in one row. */
static int chain_event(struct cursor *c, int64_t seq, struct ledger_event *out, struct err *err)
{
    struct entry e;
    int rc = cursor_find(c, seq, &e, err);
    if (rc == 1 && !entry_event(&e, c->shard, out))
        return damaged(seq, err);
    return rc;
}

/* Appends the numbers of at most `limit` events, from `head` back, that come after `after`. */
static int chain_numbers(struct cursor *c, int64_t head, int64_t after, int64_t limit,
                         struct buf *out, struct err *err)
{
    struct ledger_event event = {0};
    for (int64_t seq = head; seq > after && limit > 0; limit--) {
        int rc = chain_event(c, seq, &event, err);
        if (rc != 1)
            return rc;
        buf_add(out, &seq, sizeof seq);
        if (event.prev >= seq)
            return damaged(seq, err); /* a chain that runs in a circle has no end */
        seq = event.prev;
    }
    return 0;
}

static int chain_call(struct cursor *c, int64_t seq, ledger_row *row, void *ctx, struct err *err)
{
    struct ledger_event event = {0};
    int rc = chain_event(c, seq, &event, err);
    return rc == 1 ? row(ctx, &event) : rc;
}

int ledger_history(struct db *lov, uint32_t shard, int64_t head, int64_t after, int64_t limit,
                   ledger_row *row, void *ctx, struct err *err)
{
    _cleanup_buf struct buf numbers = {0};
    struct cursor c = cursor_from(lov, shard, 0, INT64_MAX);
    int rc = chain_numbers(&c, head, after < -1 ? -1 : after, INT64_MAX, &numbers, err);
    const int64_t *seqs = (const int64_t *)(const void *)numbers.p;
    for (size_t i = numbers.n / sizeof *seqs; rc == 0 && i > 0 && limit > 0; i--, limit--)
        rc = chain_call(&c, seqs[i - 1], row, ctx, err);
    cursor_close(&c);
    return rc;
}

int ledger_back(struct db *lov, uint32_t shard, int64_t head, int64_t limit, ledger_row *row,
                void *ctx, struct err *err)
{
    _cleanup_buf struct buf numbers = {0};
    struct cursor c = cursor_from(lov, shard, 0, INT64_MAX);
    int rc = chain_numbers(&c, head, -1, limit, &numbers, err);
    const int64_t *seqs = (const int64_t *)(const void *)numbers.p;
    for (size_t i = 0; rc == 0 && i < numbers.n / sizeof *seqs; i++)
        rc = chain_call(&c, seqs[i], row, ctx, err);
    cursor_close(&c);
    return rc;
}

/* ---- verifying ---- */

static void wrong(struct ledger_report *out, int64_t seq, const char *how)
{
    out->wrong_seq = seq;
    snprintf(out->wrong, sizeof out->wrong, "%s", how);
}

/* Adds one entry to the tree; false and *out filled when it is wrong. */
static bool verify_entry(const struct entry *e, uint32_t shard, struct tree *tree,
                         struct ledger_report *out)
{
    struct ledger_event event;
    int64_t expected = (int64_t)tree->size;
    if (e->seq != expected) {
        wrong(out, expected, "the event is missing");
        return false;
    }
    if (!entry_event(e, shard, &event)) {
        wrong(out, expected, "it is not the encoding of an event, or has no hash");
        return false;
    }
    if (event.seq != expected) {
        wrong(out, expected,
              event.seq > expected ? "the event is missing" : "another event stands in its place");
        return false;
    }
    struct sha256 leaf = tree_leaf(e->bytes);
    if (memcmp(leaf.b, event.leaf.b, sizeof leaf.b) != 0) {
        wrong(out, expected, "its content does not match its hash");
        return false;
    }
    tree_append(tree, &leaf);
    return true;
}

static int verify_events(struct db *lov, struct ledger_report *out, struct tree *tree,
                         void (*progress)(void *ctx, int64_t done), void *ctx, struct err *err)
{
    struct cursor c = cursor_from(lov, out->shard, 0, INT64_MAX);
    struct entry e;
    int rc;
    while ((rc = cursor_next(&c, &e, err)) == 1 && verify_entry(&e, out->shard, tree, out))
        if (progress && tree->size % PROGRESS_EVERY == 0)
            progress(ctx, (int64_t)tree->size);
    cursor_close(&c);
    return rc < 0 ? rc : 0;
}

int ledger_verify(struct db *lov, uint32_t shard, void (*progress)(void *ctx, int64_t done),
                  void *ctx, struct ledger_report *out, struct err *err)
{
    *out = (struct ledger_report){.shard = shard, .wrong_seq = -1};
    struct tree tree = {0}, stored = {0};
    bool intact = true;
    /* One snapshot: a server that appends meanwhile must not look like a forger. */
    int rc = db_begin_read(lov, err);
    if (rc == 0)
        rc = stored_head(lov, shard, &stored, &intact, err);
    if (rc >= 0)
        rc = verify_events(lov, out, &tree, progress, ctx, err);
    db_rollback(lov);
    if (rc < 0)
        return rc;
    out->events = (int64_t)tree.size;
    out->root = tree_root(&tree);
    if (out->wrong_seq >= 0)
        return 0;
    struct sha256 root = tree_root(&stored);
    if (!intact)
        wrong(out, out->events, "the stored head is damaged");
    else if (stored.size > tree.size)
        wrong(out, out->events, "the event is missing: the stored head counts more events");
    else if (stored.size < tree.size)
        wrong(out, (int64_t)stored.size, "the event is not counted by the stored head");
    else if (memcmp(root.b, out->root.b, sizeof root.b) != 0)
        wrong(out, out->events ? out->events - 1 : 0,
              "the events do not add up to the stored root");
    return 0;
}
