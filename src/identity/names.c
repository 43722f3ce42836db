/* names.c - ids of many consumers. The store has them in order of number, so that they are read one
 * after the other; each is found again by its cid. Consumers who were erased have
 * left holes in the store's numbers that a permit index made later does not have: how far the two
 * are apart is learned from each piece for the next, and whoever is not met on the way is looked up
 * by cid. */
#include <stdlib.h>
#include <string.h>

#include "identity/store.h"

enum {
    SLOTS = 2 * IDENTITY_NAMES,
    FAR = 12,   /* rows to skip for one wanted: more is slower than to search for each */
    HOLES = 256 /* rows to read on for those who are still missing */
};

struct identity_names {
    const struct identity *who;
    struct db_pool *pool;
    struct identity_keys keys; /* as the openers have them */
    struct opener *opener[2];
    int64_t ahead;        /* of the index's numbers */
    uint16_t slot[SLOTS]; /* of the piece: 1 + position, by cid */
    bool met[IDENTITY_NAMES];
};

struct identity_names *identity_names_new(const struct identity *who, struct db_pool *identities)
{
    struct identity_names *n = mem_zero(sizeof *n);
    n->who = who;
    n->pool = identities;
    return n;
}

static void close_openers(struct identity_names *n)
{
    for (int i = 0; i < 2; i++) {
        opener_free(n->opener[i]);
        n->opener[i] = NULL;
    }
    identity_keys_wipe(&n->keys);
}

void identity_names_free(struct identity_names *n)
{
    if (!n)
        return;
    close_openers(n);
    free(n);
}

/* A rotation changes the keys now and then. */
static void take_keys(struct identity_names *n)
{
    _cleanup_keys struct identity_keys keys;
    pthread_rwlock_rdlock(&((struct identity *)n->who)->lock);
    keys = n->who->keys;
    pthread_rwlock_unlock(&((struct identity *)n->who)->lock);
    bool same = keys.count == n->keys.count;
    for (int i = 0; same && i < keys.count; i++)
        same = bytes_equal_secret(keys.key[i].b, n->keys.key[i].b, sizeof keys.key[i].b);
    if (same)
        return;
    close_openers(n);
    n->keys = keys;
    for (int i = 0; i < keys.count; i++)
        n->opener[i] = opener_new(&keys.key[i]);
}

/* ---- a piece ---- */

struct piece {
    struct identity_names *n;
    struct db *db;
    const uint32_t *numbers;
    const struct uid *cids;
    size_t count, left;
    struct buf *out, about;
    struct identity_span *ids;
    struct err *err;
};

static size_t slot_of(const struct uid *cid)
{
    uint64_t v;
    memcpy(&v, cid->b + sizeof cid->b - sizeof v, sizeof v); /* random already */
    return v % SLOTS;
}

static void fill_slots(struct piece *p)
{
    memset(p->n->slot, 0, sizeof p->n->slot);
    memset(p->n->met, 0, sizeof p->n->met);
    for (size_t i = 0; i < p->count; i++) {
        size_t at = slot_of(&p->cids[i]);
        while (p->n->slot[at])
            at = (at + 1) % SLOTS;
        p->n->slot[at] = (uint16_t)(i + 1);
        p->ids[i] = (struct identity_span){0, 0};
    }
    p->left = p->count;
}

/* Position in the piece, or -1. */
static int64_t find(const struct piece *p, struct str cid)
{
    struct uid wanted;
    if (cid.n != sizeof wanted.b)
        return -1;
    memcpy(wanted.b, cid.p, cid.n);
    for (size_t at = slot_of(&wanted); p->n->slot[at]; at = (at + 1) % SLOTS) {
        size_t i = p->n->slot[at] - 1U;
        if (memcmp(p->cids[i].b, wanted.b, sizeof wanted.b) == 0)
            return (int64_t)i;
    }
    return -1;
}

static int open_id(struct piece *p, size_t i, struct str sealed)
{
    struct identity_names *n = p->n;
    size_t start = p->out->n;
    struct str about = identity_associated(SEALED_ID, &p->cids[i], &p->about);
    bool open = false;
    for (int k = 0; k < n->keys.count && !open; k++)
        open = opener_open(n->opener[k], about, sealed, p->out);
    /* Sealed by a key that came since the piece was begun. */
    int rc = open ? 0 : kek_unseal(n->who, about, sealed, p->out, p->err);
    if (rc)
        return rc;
    p->ids[i] = (struct identity_span){(uint32_t)start, (uint32_t)(p->out->n - start)};
    n->met[i] = true;
    p->left--;
    return 0;
}

/* number, cid, sealed_id */
static int take_row(struct piece *p, struct db_stmt *s)
{
    int64_t i = find(p, db_blob(s, 1));
    if (i < 0 || p->n->met[i])
        return 0;
    p->n->ahead = db_int(s, 0) - p->numbers[i];
    return open_id(p, (size_t)i, db_blob(s, 2));
}

/* Until `i` is met, or all are. */
static int read_rows(struct piece *p, int64_t from, int64_t to, size_t i)
{
    static const char sql[] = "select number, cid, sealed_id from consumer "
                              "where number >= $1 and number <= $2 order by number";
    struct db_stmt *s = db_use(p->db, sql);
    db_bind_int(s, 1, from);
    db_bind_int(s, 2, to);
    int rc;
    while ((rc = db_step(s, p->err)) == 1) {
        rc = take_row(p, s);
        if (rc || p->left == 0 || (i < p->count && p->n->met[i])) {
            db_done(s);
            return rc;
        }
    }
    return rc;
}

static int look_up(struct piece *p, size_t i)
{
    static const char sql[] = "select number, cid, sealed_id from consumer where cid = $1";
    struct db_stmt *s = db_use(p->db, sql);
    db_bind_blob(s, 1, uid_str(&p->cids[i]));
    int rc = db_step(s, p->err);
    if (rc != 1)
        return rc;
    rc = take_row(p, s);
    db_done(s);
    return rc;
}

static int read_range(struct piece *p)
{
    int64_t from = p->numbers[0] + p->n->ahead;
    int64_t to = p->numbers[p->count - 1] + p->n->ahead + HOLES;
    return read_rows(p, from, to, p->count);
}

/* Each after a few holes at most; who is not there says how far ahead the next ones are. */
static int read_each(struct piece *p)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < p->count; i++) {
        int64_t number = p->numbers[i] + p->n->ahead;
        rc = read_rows(p, number, number + FAR, i);
        if (rc == 0 && !p->n->met[i])
            rc = look_up(p, i);
    }
    return rc;
}

static int read_missing(struct piece *p)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && p->left && i < p->count; i++)
        if (!p->n->met[i])
            rc = look_up(p, i);
    return rc;
}

int identity_names_read(struct identity_names *n, const uint32_t *numbers, const struct uid *cids,
                        size_t count, struct buf *out, struct identity_span *ids, struct err *err)
{
    struct piece p = {.n = n,
                      .numbers = numbers,
                      .cids = cids,
                      .count = count,
                      .out = out,
                      .ids = ids,
                      .err = err};
    if (count > IDENTITY_NAMES)
        bug("%zu names at once", count);
    if (count == 0)
        return 0;
    int rc = db_pool_get(n->pool, &p.db, err);
    if (rc)
        return rc;
    take_keys(n);
    fill_slots(&p);
    rc = numbers[count - 1] - numbers[0] < count * FAR + HOLES ? read_range(&p) : read_each(&p);
    if (rc == 0)
        rc = read_missing(&p);
    db_pool_put(n->pool, p.db);
    buf_free(&p.about);
    return rc;
}
