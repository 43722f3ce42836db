/* audit.c - see audit.h. Events are read in order, a tile's worth at a time; what each hashed to is
 * taken from its tile, so that an event whose own hash was changed with it is still found. */
#include "ledger/audit.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "ledger/bundle.h"
#include "ledger/publish.h"
#include "ledger/tiles.h"

/* How far an event is looked for that was moved. */
enum { SEARCHED = 100000, PROGRESS_EVERY = 4096 };

const char *audit_finding_name(enum audit_finding finding)
{
    static const char *const names[] = {"good",      "rewritten", "dropped",
                                        "reordered", "forked",    "damaged"};
    return names[finding];
}

static void found(struct audit_report *out, enum audit_finding finding, int64_t seq,
                  const char *format, ...) __attribute__((format(printf, 4, 5)));
static void found(struct audit_report *out, enum audit_finding finding, int64_t seq,
                  const char *format, ...)
{
    va_list args;
    va_start(args, format);
    out->finding = finding;
    out->seq = seq;
    vsnprintf(out->what, sizeof out->what, format, args);
    va_end(args);
}

static bool same(const struct sha256 *a, const struct sha256 *b)
{
    return memcmp(a->b, b->b, sizeof a->b) == 0;
}

/* ---- in what way is it wrong? ---- */

struct moved {
    struct tiles *tiles;
    struct buf encoding;
};

/* 1 when the event, if it were number `seq`, would be what that number hashed to, or what is beside
 * it: a row that was moved takes its hash along. */
static int was_at(struct moved *m, const struct ledger_event *event, int64_t seq, struct err *err)
{
    struct ledger_event other = *event;
    struct sha256 old;
    other.seq = seq;
    buf_clear(&m->encoding);
    event_encode(&other, &m->encoding);
    struct sha256 leaf = tree_leaf(buf_view(&m->encoding));
    if (same(&leaf, &event->leaf))
        return 1;
    int rc = m->tiles->source.hashes(m->tiles, 0, seq, 1, &old, err);
    if (rc)
        return rc == LOV_ENOTFOUND ? 0 : rc;
    return same(&leaf, &old);
}

struct moved_question {
    struct moved *m;
    int64_t from, to; /* the numbers that it may have had */
    int64_t at;       /* the one that it had, -1 */
    int rc;
    struct err *err;
};

static int ask_moved(void *ctx, const struct ledger_event *event)
{
    struct moved_question *q = ctx;
    q->at = -1;
    for (int64_t seq = q->from; seq < q->to && q->at < 0; seq++) {
        q->rc = was_at(q->m, event, seq, q->err);
        if (q->rc < 0)
            return q->rc;
        if (q->rc)
            q->at = seq;
    }
    return 0;
}

/* What number had the event that is number `seq` now? -1 in *at: none of those. */
static int number_of(struct moved *m, int64_t seq, int64_t from, int64_t to, int64_t *at,
                     struct err *err)
{
    struct moved_question q = {m, from, to, -1, 0, err};
    int rc = ledger_get(m->tiles->db, m->tiles->shard, seq, ask_moved, &q, err);
    *at = q.at;
    return rc < 0 ? rc : 0;
}

/* Event `seq` is there and is not what it was. */
static int diagnose(struct tiles *tiles, int64_t seq, int64_t size, struct audit_report *out,
                    struct err *err)
{
    struct moved m = {.tiles = tiles};
    int64_t end = size - seq > SEARCHED ? seq + SEARCHED : size;
    int64_t was = -1, next_was = -1, before = -1;
    int rc = number_of(&m, seq, seq + 1, end, &was, err);
    if (rc == 0 && was == seq + 1)
        rc = number_of(&m, seq + 1, seq + 2, seq + 3, &next_was, err);
    if (rc == 0 && was < 0)
        rc = number_of(&m, seq + 1, seq, seq + 1, &before, err);
    buf_free(&m.encoding);
    if (rc)
        return rc;
    if (next_was >= 0 || (was == seq + 1 && was == size - 1))
        found(out, AUDIT_DROPPED, seq, "event %lld is gone, and those after it moved up",
              (long long)seq);
    else if (was >= 0)
        found(out, AUDIT_REORDERED, seq, "event %lld is the one that was number %lld",
              (long long)seq, (long long)was);
    else if (before >= 0)
        found(out, AUDIT_REWRITTEN, seq, "event %lld was put in between others", (long long)seq);
    else
        found(out, AUDIT_REWRITTEN, seq,
              "event %lld is not what it was: its content does not "
              "match its hash",
              (long long)seq);
    return 0;
}

/* ---- events ---- */

struct pass {
    struct tiles tiles;
    int64_t size; /* of the ledger */
    struct tree *tree;
    void (*progress)(void *ctx, int64_t done);
    void *ctx;
    struct sha256 old[TILE_WIDTH];
    unsigned old_count;
};

/* What the events of the tile that starts at `seq` hashed to; fewer when events are missing. */
static int load_old(struct pass *p, int64_t seq, struct err *err)
{
    int64_t left = p->size - seq;
    p->old_count = left < TILE_WIDTH ? (unsigned)left : TILE_WIDTH;
    int rc = tiles_read(&p->tiles, 0, seq / TILE_WIDTH, p->old_count, p->old, err);
    if (rc != LOV_ENOTFOUND)
        return rc;
    p->old_count = 0;
    return 0;
}

/* The tiles that this event completes. The same results as check_event(). */
static int check_tiles(struct pass *p, int64_t seq, struct audit_report *out, struct err *err)
{
    int64_t count = seq + 1;
    for (unsigned level = 0; level < TILE_LEVELS && count % TILE_WIDTH == 0; level++) {
        count /= TILE_WIDTH;
        int rc = tiles_check(&p->tiles, level, count - 1, false, err);
        if (rc == 0)
            found(out, AUDIT_DAMAGED, -1, "tile %lld of level %u is not what its events make",
                  (long long)count - 1, level);
        if (rc != 1)
            return rc;
    }
    return 1;
}

/* The event is not what its tile says, or has not the hash beside it: which of them is wrong? */
static int explain(struct pass *p, const struct ledger_event *event, const struct sha256 *leaf,
                   struct audit_report *out, struct err *err)
{
    int rc = 1;
    if (same(leaf, &event->leaf))
        rc = tiles_check(&p->tiles, 0, event->seq / TILE_WIDTH, true, err);
    if (rc < 0)
        return rc;
    if (rc == 1)
        return diagnose(&p->tiles, event->seq, p->size, out, err);
    found(out, AUDIT_DAMAGED, event->seq, "tile %lld of level 0 is damaged",
          (long long)(event->seq / TILE_WIDTH));
    return 0;
}

/* The entry at `seq` is of another event: was that one moved, or is one gone? */
static int check_place(struct pass *p, int64_t seq, struct audit_report *out, struct err *err)
{
    struct cursor c = cursor_from(p->tiles.db, p->tiles.shard, seq, INT64_MAX);
    struct entry e;
    int rc = cursor_find(&c, seq, &e, err);
    cursor_close(&c);
    if (rc < 0)
        return rc;
    if (rc)
        found(out, AUDIT_REORDERED, seq, "another event stands in the place of event %lld",
              (long long)seq);
    else
        found(out, AUDIT_DROPPED, seq, "event %lld is missing", (long long)seq);
    return 0;
}

/* 1: goes on; 0: wrong, and said how; negative: failed. */
static int check_event(struct pass *p, const struct entry *e, int64_t seq, struct audit_report *out,
                       struct err *err)
{
    struct ledger_event event;
    if (e->seq == seq && !entry_event(e, p->tiles.shard, &event)) {
        found(out, AUDIT_REWRITTEN, seq, "event %lld cannot be read, or has no hash",
              (long long)seq);
        return 0;
    }
    if (e->seq != seq || event.seq != seq)
        return check_place(p, seq, out, err);
    struct sha256 leaf = tree_leaf(e->bytes);
    unsigned place = (unsigned)(seq % TILE_WIDTH);
    if (!same(&leaf, place < p->old_count ? &p->old[place] : &event.leaf))
        return explain(p, &event, &leaf, out, err);
    if (!same(&leaf, &event.leaf)) {
        found(out, AUDIT_DAMAGED, seq, "the hash beside event %lld is not its own", (long long)seq);
        return 0;
    }
    if (p->tree)
        tree_append(p->tree, &leaf);
    out->events++;
    return place == TILE_WIDTH - 1 ? check_tiles(p, seq, out, err) : 1;
}

/* Events [from, to); out->finding says how it went. */
static int run_pass(struct pass *p, int64_t from, int64_t to, struct audit_report *out,
                    struct err *err)
{
    struct cursor c = cursor_from(p->tiles.db, p->tiles.shard, from, to);
    struct entry e;
    int64_t seq = from;
    int rc;
    while ((rc = cursor_next(&c, &e, err)) == 1) {
        if (seq == from || seq % TILE_WIDTH == 0)
            rc = load_old(p, seq / TILE_WIDTH * TILE_WIDTH, err);
        if (rc == 0 || rc == 1)
            rc = check_event(p, &e, seq, out, err);
        if (rc != 1)
            break;
        if (++seq % PROGRESS_EVERY == 0 && p->progress)
            p->progress(p->ctx, seq);
    }
    cursor_close(&c);
    if (rc == 0 && out->finding == AUDIT_GOOD && seq < to)
        found(out, AUDIT_DROPPED, seq, "event %lld is missing", (long long)seq);
    return rc;
}

int audit_events(struct db *lov, uint32_t shard, int64_t from, int64_t to, struct audit_report *out,
                 struct err *err)
{
    struct pass p = {.size = to};
    struct sha256 root;
    int64_t size;
    *out = (struct audit_report){.seq = -1};
    tiles_init(&p.tiles, lov, shard);
    int rc = ledger_head(lov, shard, &size, &root, err);
    p.size = size > to ? size : to;
    if (rc == 0)
        rc = run_pass(&p, from, to, out, err);
    return rc;
}

/* ---- against a checkpoint that was kept ---- */

static void judge(const struct checkpoint *old, const struct sha256 *at_old, int64_t size,
                  const struct sha256 *head, struct audit_report *out)
{
    if (!same(at_old, &old->root))
        found(out, AUDIT_FORKED, -1,
              "the ledger is whole in itself, but its first %lld events are not those that the "
              "checkpoint signed",
              (long long)old->size);
    else if (!same(head, &out->root))
        found(out, AUDIT_DAMAGED, -1, "the stored head is not that of the %lld events",
              (long long)size);
}

static int audit_all(struct pass *p, const struct checkpoint *old, struct audit_report *out,
                     struct err *err)
{
    struct sha256 head, at_old;
    int64_t size;
    int rc = ledger_head(p->tiles.db, p->tiles.shard, &size, &head, err);
    if (rc)
        return rc;
    if (size < old->size) {
        found(out, AUDIT_DROPPED, size,
              "the ledger has %lld events, and the checkpoint signed %lld: the last ones are gone",
              (long long)size, (long long)old->size);
        return 0;
    }
    p->size = size;
    rc = run_pass(p, 0, old->size, out, err);
    at_old = tree_root(p->tree);
    if (rc == 0 && out->finding == AUDIT_GOOD)
        rc = run_pass(p, old->size, size, out, err);
    if (rc || out->finding != AUDIT_GOOD)
        return rc;
    out->root = tree_root(p->tree);
    judge(old, &at_old, size, &head, out);
    return 0;
}

int audit_against(struct db *lov, uint32_t shard, const struct checkpoint *old,
                  void (*progress)(void *ctx, int64_t done), void *ctx, struct audit_report *out,
                  struct err *err)
{
    struct tree tree = {0};
    struct pass p = {.tree = &tree, .progress = progress, .ctx = ctx};
    *out = (struct audit_report){.seq = -1};
    tiles_init(&p.tiles, lov, shard);
    int rc = db_begin_read(lov, err);
    if (rc)
        return rc;
    rc = audit_all(&p, old, out, err);
    db_rollback(lov);
    return rc;
}

/* ---- what was published ---- */

/* A stored checkpoint: its text, its signature, its root. */
static int check_stored(struct db *lov, uint32_t shard, const struct note_key *key,
                        const struct published *p, struct audit_report *out, struct err *err)
{
    _cleanup_buf struct buf note = {0};
    struct checkpoint c;
    struct tiles tiles;
    struct sha256 root;
    buf_str(&note, p->text);
    buf_char(&note, '\n');
    buf_str(&note, p->signature);
    if (checkpoint_open(buf_view(&note), key, &c, NULL) != 0 || c.size != p->size ||
        !same(&c.root, &p->root)) {
        found(out, AUDIT_DAMAGED, -1, "the stored checkpoint of %lld events is not what was signed",
              (long long)p->size);
        return 0;
    }
    tiles_init(&tiles, lov, shard);
    int rc = proof_make_root(&tiles.source, c.size, &root, err);
    if (rc == LOV_ENOTFOUND)
        found(out, AUDIT_DROPPED, -1, "there are not the %lld events that a checkpoint signed",
              (long long)c.size);
    else if (rc == 0 && !same(&root, &c.root))
        found(out, AUDIT_FORKED, -1,
              "the first %lld events do not add up to the checkpoint that was signed",
              (long long)c.size);
    return rc == LOV_ENOTFOUND ? 0 : rc;
}

static int next_size(struct db *lov, uint32_t shard, int64_t below, int64_t *out, struct err *err)
{
    static const char sql[] =
        "select coalesce(max(size), -1) from checkpoint where shard = $1 and size < $2";
    struct db_stmt *s = db_use(lov, sql);
    db_bind_int(s, 1, shard);
    db_bind_int(s, 2, below);
    return db_number(s, out, err);
}

static int check_size(struct db *lov, uint32_t shard, const struct note_key *key, int64_t size,
                      struct published *p, struct audit_report *out, struct err *err)
{
    _cleanup_buf struct buf memory = {0};
    int rc = publish_get(lov, shard, size, &memory, p, err);
    if (rc == 1)
        rc = check_stored(lov, shard, key, p, out, err);
    return rc;
}

int audit_published(struct db *lov, uint32_t shard, const struct note_key *key, int64_t *older,
                    struct audit_report *out, struct err *err)
{
    struct published last = {0}, one;
    struct sha256 head;
    int64_t head_size = 0, size = -1;
    *out = (struct audit_report){.seq = -1};
    int rc = check_size(lov, shard, key, -1, &last, out, err);
    if (rc == 0)
        rc = ledger_head(lov, shard, &head_size, &head, err);
    if (rc || out->finding != AUDIT_GOOD)
        return rc;
    if (head_size < last.size) {
        found(out, AUDIT_DROPPED, head_size,
              "the ledger has %lld events, and its last checkpoint signed %lld",
              (long long)head_size, (long long)last.size);
        return 0;
    }
    rc = next_size(lov, shard, *older, &size, err);
    if (rc == 0 && size >= 0)
        rc = check_size(lov, shard, key, size, &one, out, err);
    *older = size < 0 ? INT64_MAX : size;
    return rc;
}
