/* read.c - reading and verifying the ledger, on any connection. */
#include <stdio.h>
#include <string.h>

#include "ledger/event.h"
#include "ledger/ledger.h"
#include "ledger/tree.h"

enum { MOST_SCANNED = 100000, PROGRESS_EVERY = 4096 };

int ledger_last_at(struct db *lov, int64_t *out, struct err *err)
{
    static const char sql[] = "select coalesce(max(last_at), 0) from shard";
    struct db_stmt *s = db_use(lov, sql);
    return db_number(s, out, err);
}

/* 1 and the stored head, 0 when the shard has none. *intact is false when it is damaged. */
static int stored_head(struct db *lov, uint32_t shard, struct tree *tree, bool *intact,
                       struct err *err)
{
    static const char sql[] = "select size, frontier from shard where shard = $1";
    struct db_stmt *s = db_use(lov, sql);
    db_bind_int(s, 1, shard);
    int rc = db_step(s, err);
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
    static const char sql[] = "select shard from shard union select distinct shard from event "
                              "order by 1";
    struct db_stmt *s = db_use(lov, sql);
    int rc;
    while ((rc = db_step(s, err)) == 1) {
        uint32_t shard = (uint32_t)db_int(s, 0);
        buf_add(out, &shard, sizeof shard);
    }
    return rc;
}

static int call_row(struct db_stmt *s, ledger_row *row, void *ctx, struct err *err)
{
    struct ledger_event event;
    int rc = event_from_row(s, &event)
                 ? row(ctx, &event)
                 : err_set(err, LOV_ECORRUPT, "event %lld is damaged: run lov log verify",
                           (long long)db_int(s, 1));
    if (rc)
        db_done(s);
    return rc;
}

static bool is_of(struct str activity, struct str recipient)
{
    return recipient.n == 0 || (str_starts(activity, recipient) && activity.n > recipient.n &&
                                activity.p[recipient.n] == '/');
}

int ledger_read(struct db *lov, const struct ledger_filter *filter, ledger_row *row, void *ctx,
                int64_t *scanned_to, struct err *err)
{
    static const char sql[] = "select " EVENT_COLUMNS " from event "
                              "where shard = $1 and seq > $2 order by seq limit $3";
    struct db_stmt *s = db_use(lov, sql);
    db_bind_int(s, 1, filter->shard);
    db_bind_int(s, 2, filter->after);
    bool all = !filter->recipient.n && !filter->kind;
    db_bind_int(s, 3, all ? filter->limit : MOST_SCANNED);
    int64_t left = filter->limit, last = filter->after;
    int rc = 0;
    while (left > 0 && (rc = db_step(s, err)) == 1) {
        last = db_int(s, 1);
        if ((filter->kind && !filter->kind(db_text(s, 4))) ||
            !is_of(db_text(s, 7), filter->recipient))
            continue;
        rc = call_row(s, row, ctx, err);
        if (rc)
            return rc;
        if (--left == 0)
            db_done(s);
    }
    if (filter->limit <= 0)
        db_done(s);
    if (scanned_to)
        *scanned_to = last;
    return rc < 0 ? rc : 0;
}

int ledger_get(struct db *lov, uint32_t shard, int64_t seq, ledger_row *row, void *ctx,
               struct err *err)
{
    static const char sql[] = "select " EVENT_COLUMNS " from event where shard = $1 and seq = $2";
    struct db_stmt *s = db_use(lov, sql);
    db_bind_int(s, 1, shard);
    db_bind_int(s, 2, seq);
    int rc = db_step(s, err);
    if (rc != 1)
        return rc;
    rc = call_row(s, row, ctx, err);
    if (rc)
        return rc;
    db_done(s);
    return 1;
}

int ledger_history(struct db *lov, uint32_t shard, int64_t head, int64_t after, int64_t limit,
                   ledger_row *row, void *ctx, struct err *err)
{
    static const char sql[] =
        "with recursive chain (seq, prev) as ("
        " select e.seq, e.prev from event e where e.shard = $1 and e.seq = $2 and e.seq > $3"
        " union all"
        " select e.seq, e.prev from event e join chain c on e.seq = c.prev"
        " where e.shard = $1 and e.seq > $3) "
        "select " EVENT_COLUMNS " from event where shard = $1 and seq in "
        "(select seq from chain order by seq limit $4) order by seq";
    struct db_stmt *s = db_use(lov, sql);
    db_bind_int(s, 1, shard);
    db_bind_int(s, 2, head);
    db_bind_int(s, 3, after);
    db_bind_int(s, 4, limit);
    int rc;
    while ((rc = db_step(s, err)) == 1) {
        rc = call_row(s, row, ctx, err);
        if (rc)
            return rc;
    }
    return rc;
}

int ledger_back(struct db *lov, uint32_t shard, int64_t head, int64_t limit, ledger_row *row,
                void *ctx, struct err *err)
{
    static const char sql[] =
        "with recursive chain (seq, prev) as ("
        " select e.seq, e.prev from event e where e.shard = $1 and e.seq = $2"
        " union all"
        " select e.seq, e.prev from event e join chain c on e.seq = c.prev where e.shard = $1) "
        "select " EVENT_COLUMNS " from event where shard = $1 and seq in "
        "(select seq from chain limit $3) order by seq desc";
    struct db_stmt *s = db_use(lov, sql);
    db_bind_int(s, 1, shard);
    db_bind_int(s, 2, head);
    db_bind_int(s, 3, limit);
    int rc;
    while ((rc = db_step(s, err)) == 1) {
        rc = call_row(s, row, ctx, err);
        if (rc)
            return rc;
    }
    return rc;
}

/* ---- verifying ---- */

static void wrong(struct ledger_report *out, int64_t seq, const char *how)
{
    out->wrong_seq = seq;
    snprintf(out->wrong, sizeof out->wrong, "%s", how);
}

/* Adds one row to the tree; false and *out filled when it is wrong. */
static bool verify_row(struct db_stmt *s, struct buf *encoding, struct tree *tree,
                       struct ledger_report *out)
{
    struct ledger_event event;
    int64_t expected = (int64_t)tree->size;
    if (db_int(s, 1) != expected) {
        wrong(out, expected, "the event is missing");
        return false;
    }
    if (!event_from_row(s, &event)) {
        wrong(out, expected, "a column has a wrong size");
        return false;
    }
    buf_clear(encoding);
    event_encode(&event, encoding);
    struct sha256 leaf = tree_leaf(buf_view(encoding));
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
    static const char sql[] = "select " EVENT_COLUMNS " from event where shard = $1 order by seq";
    _cleanup_buf struct buf encoding = {0};
    struct db_stmt *s = db_use(lov, sql);
    db_bind_int(s, 1, out->shard);
    int rc;
    while ((rc = db_step(s, err)) == 1) {
        if (!verify_row(s, &encoding, tree, out)) {
            db_done(s);
            return 0;
        }
        if (progress && tree->size % PROGRESS_EVERY == 0)
            progress(ctx, (int64_t)tree->size);
    }
    return rc;
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
