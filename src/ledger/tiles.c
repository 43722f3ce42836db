/* tiles.c - see tiles.h. Reading one hash reads at most one tile, or the part of one that is not
 * complete: at most 255 hashes of a level below it. */
#include "ledger/tiles.h"

#include <string.h>

#include "ledger/bundle.h"

enum { HASH = 32, TILE_BYTES = TILE_WIDTH * HASH };

static struct str bytes_of(const struct sha256 *hash, size_t count)
{
    return (struct str){(const char *)hash->b, count * HASH};
}

static int lacks(uint32_t shard, unsigned level, int64_t index, struct err *err)
{
    return err_set(err, LOV_ENOTFOUND, "shard %u has no such tile: level %u, number %lld", shard,
                   level, (long long)index);
}

/* ---- reading ---- */

/* 1 and the hashes, 0 when the tile is not complete or not written yet. */
static int stored(const struct tiles *t, unsigned level, int64_t first, unsigned count,
                  struct sha256 *out, struct err *err)
{
    static const char sql[] =
        "select hashes from tile where shard = $1 and level = $2 and idx = $3";
    struct db_stmt *s = db_use(t->db, sql);
    db_bind_int(s, 1, t->shard);
    db_bind_int(s, 2, level);
    db_bind_int(s, 3, first / TILE_WIDTH);
    int rc = db_step(s, err);
    if (rc != 1)
        return rc;
    struct str hashes = db_blob(s, 0);
    if (hashes.n == TILE_BYTES)
        memcpy(out, hashes.p + first % TILE_WIDTH * HASH, count * HASH);
    else
        rc = err_set(err, LOV_ECORRUPT, "tile %lld of level %u is damaged: run lov log verify",
                     (long long)(first / TILE_WIDTH), level);
    db_done(s);
    return rc;
}

/* The hashes of rows (number, hash) that must follow each other from `first` on; *count becomes how
 * many do. */
static int read_run(struct db_stmt *s, int64_t first, unsigned *count, struct sha256 *out,
                    struct err *err)
{
    unsigned got = 0;
    int rc;
    while ((rc = db_step(s, err)) == 1) {
        struct str hash = db_blob(s, 1);
        if (got == *count || db_int(s, 0) != first + got || hash.n != HASH) {
            db_done(s);
            break;
        }
        memcpy(out[got++].b, hash.p, HASH);
    }
    *count = got;
    return rc < 0 ? rc : 0;
}

static int read_leaves(const struct tiles *t, int64_t first, unsigned *count, struct sha256 *out,
                       struct err *err)
{
    _cleanup_buf struct buf leaves = {0};
    int rc = bundle_leaves(t->db, t->shard, first, *count, &leaves, err);
    if (rc)
        return rc;
    if (leaves.n)
        memcpy(out, leaves.p, leaves.n);
    *count = (unsigned)(leaves.n / HASH);
    return 0;
}

static int read_roots(const struct tiles *t, unsigned level, int64_t first, unsigned *count,
                      struct sha256 *out, struct err *err)
{
    static const char sql[] = "select idx, root from tile where shard = $1 and level = $2 and "
                              "idx >= $3 and idx < $4 order by idx";
    struct db_stmt *s = db_use(t->db, sql);
    db_bind_int(s, 1, t->shard);
    db_bind_int(s, 2, level);
    db_bind_int(s, 3, first);
    db_bind_int(s, 4, first + *count);
    return read_run(s, first, count, out, err);
}

/* As many as there are of the first `count` hashes of a tile. Recursion goes down a level a call;
 * only tiles that the last checkpoint job has not written yet are folded. */
static int load(struct tiles *t, unsigned level, int64_t index, unsigned *count, struct sha256 *out,
                struct err *err)
{
    int64_t first = index * TILE_WIDTH;
    int rc = stored(t, level, first, *count, out, err);
    if (rc)
        return rc < 0 ? rc : 0;
    unsigned wanted = *count;
    if (level == 0)
        return read_leaves(t, first, count, out, err);
    rc = read_roots(t, level - 1, first, count, out, err);
    while (rc == 0 && *count < wanted) {
        struct sha256 below[TILE_WIDTH];
        unsigned whole = TILE_WIDTH;
        rc = load(t, level - 1, first + *count, &whole, below, err);
        if (rc || whole < TILE_WIDTH)
            break;
        out[(*count)++] = proof_fold(below, TILE_WIDTH);
    }
    return rc;
}

static struct tile_part *part_of(struct tiles *t, unsigned level, int64_t index, unsigned count)
{
    for (size_t i = 0; i < sizeof t->part / sizeof *t->part; i++) {
        struct tile_part *p = &t->part[i];
        if (p->count >= count && p->level == level && p->index == index)
            return p;
    }
    return NULL;
}

static int hashes(void *ctx, unsigned level, int64_t first, unsigned count, struct sha256 *out,
                  struct err *err)
{
    struct tiles *t = ctx;
    int64_t index = first / TILE_WIDTH;
    unsigned from = (unsigned)(first % TILE_WIDTH);
    struct tile_part *p = part_of(t, level, index, from + count);
    if (!p) {
        p = &t->part[t->next++ % (sizeof t->part / sizeof *t->part)];
        *p = (struct tile_part){.level = level, .index = index};
        unsigned got = TILE_WIDTH;
        int rc = load(t, level, index, &got, p->hash, err);
        if (rc)
            return rc;
        p->count = got;
    }
    if (p->count < from + count)
        return lacks(t->shard, level, index, err);
    memcpy(out, p->hash + from, count * HASH);
    return 0;
}

void tiles_init(struct tiles *t, struct db *db, uint32_t shard)
{
    *t = (struct tiles){.db = db, .shard = shard, .source = {hashes, t}};
}

int tiles_read(struct tiles *t, unsigned level, int64_t index, unsigned width,
               struct sha256 out[TILE_WIDTH], struct err *err)
{
    /* Beyond it there is no tile, and its first hash would not be a number. */
    if (level >= TILE_LEVELS || width < 1 || width > TILE_WIDTH || index < 0 ||
        index >= INT64_MAX >> (8 * (level + 1)))
        return lacks(t->shard, level, index, err);
    return hashes(t, level, index * TILE_WIDTH, width, out, err);
}

int tiles_entries(struct db *db, uint32_t shard, int64_t index, unsigned width, struct buf *out,
                  struct err *err)
{
    if (width < 1 || width > TILE_WIDTH || index < 0 || index > INT64_MAX / TILE_WIDTH - 1)
        return lacks(shard, 0, index, err);
    int64_t seq = index * TILE_WIDTH, end = seq + width;
    struct cursor c = cursor_from(db, shard, seq, end);
    struct entry e;
    int rc;
    for (; (rc = cursor_next(&c, &e, err)) == 1; seq++) {
        if (e.seq != seq || event_seq(e.bytes) != seq || !e.leaf) {
            rc = err_set(err, LOV_ECORRUPT, "event %lld is damaged: run lov log verify",
                         (long long)seq);
            break;
        }
        bundle_add(out, e.bytes);
    }
    cursor_close(&c);
    if (rc == 0 && seq < end)
        return lacks(shard, 0, index, err);
    return rc;
}

/* ---- writing ---- */

static int next_index(struct db *db, uint32_t shard, unsigned level, int64_t *out, struct err *err)
{
    static const char sql[] =
        "select coalesce(max(idx), -1) + 1 from tile where shard = $1 and level = $2";
    struct db_stmt *s = db_use(db, sql);
    db_bind_int(s, 1, shard);
    db_bind_int(s, 2, level);
    return db_number(s, out, err);
}

static int write_tile(struct tiles *t, unsigned level, int64_t index, struct err *err)
{
    static const char sql[] = "insert into tile (shard, level, idx, root, hashes) "
                              "values ($1, $2, $3, $4, $5)";
    struct sha256 hash[TILE_WIDTH];
    int rc = tiles_read(t, level, index, TILE_WIDTH, hash, err);
    if (rc)
        return rc;
    struct sha256 root = proof_fold(hash, TILE_WIDTH);
    struct db_stmt *s = db_use(t->db, sql);
    db_bind_int(s, 1, t->shard);
    db_bind_int(s, 2, level);
    db_bind_int(s, 3, index);
    db_bind_blob(s, 4, bytes_of(&root, 1));
    db_bind_blob(s, 5, bytes_of(hash, TILE_WIDTH));
    return db_run(s, err);
}

int tiles_extend(struct db *db, uint32_t shard, int64_t size, unsigned most, bool *complete,
                 struct err *err)
{
    struct tiles t;
    tiles_init(&t, db, shard);
    *complete = false;
    /* From below: a tile is written when all those under it are. */
    for (unsigned level = 0; level < TILE_LEVELS && size >= TILE_WIDTH; level++) {
        int64_t index;
        size /= TILE_WIDTH;
        int rc = next_index(db, shard, level, &index, err);
        for (; rc == 0 && index < size; index++) {
            if (most-- == 0)
                return 0;
            rc = write_tile(&t, level, index, err);
        }
        if (rc)
            return rc;
    }
    *complete = true;
    return 0;
}

/* ---- checking ---- */

/* 1 and the root and hashes of a stored tile, 0 when there is none. */
static int stored_whole(const struct tiles *t, unsigned level, int64_t index, struct sha256 *root,
                        struct sha256 *out, struct err *err)
{
    static const char sql[] =
        "select root, hashes from tile where shard = $1 and level = $2 and idx = $3";
    struct db_stmt *s = db_use(t->db, sql);
    db_bind_int(s, 1, t->shard);
    db_bind_int(s, 2, level);
    db_bind_int(s, 3, index);
    int rc = db_step(s, err);
    if (rc != 1)
        return rc;
    struct str root_bytes = db_blob(s, 0), hashes_bytes = db_blob(s, 1);
    /* One of a wrong length is as wrong as one of wrong bytes. */
    memset(root, 0, sizeof *root);
    memset(out, 0, TILE_BYTES);
    if (root_bytes.n == HASH && hashes_bytes.n == TILE_BYTES) {
        memcpy(root, root_bytes.p, HASH);
        memcpy(out, hashes_bytes.p, TILE_BYTES);
    }
    db_done(s);
    return 1;
}

int tiles_check(struct tiles *t, unsigned level, int64_t index, bool fold, struct err *err)
{
    struct sha256 root, hash[TILE_WIDTH], below[TILE_WIDTH];
    unsigned count = TILE_WIDTH;
    int rc = stored_whole(t, level, index, &root, hash, err);
    if (rc != 1)
        return rc < 0 ? rc : 1;
    struct sha256 made = proof_fold(hash, TILE_WIDTH);
    if (memcmp(&made, &root, HASH) != 0)
        return 0;
    if (fold)
        return 1;
    rc = level ? read_roots(t, level - 1, index * TILE_WIDTH, &count, below, err)
               : read_leaves(t, index * TILE_WIDTH, &count, below, err);
    if (rc)
        return rc;
    return count == TILE_WIDTH && memcmp(below, hash, TILE_BYTES) == 0;
}

/* ---- paths ---- */

static bool read_digits(struct str text, size_t most, int64_t *out)
{
    if (text.n == 0 || text.n > most)
        return false;
    *out = 0;
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] < '0' || text.p[i] > '9')
            return false;
        *out = *out * 10 + (text.p[i] - '0');
    }
    return true;
}

/* Without leading zeroes. */
static bool read_number(struct str text, size_t most, int64_t *out)
{
    return read_digits(text, most, out) && (text.n == 1 || text.p[0] != '0');
}

/* "x001/x234/067": groups of three, the first not 000 unless it is the only one. */
static bool read_index(struct str text, int64_t *out)
{
    int64_t group;
    *out = 0;
    for (int groups = 0; groups < 6; groups++) {
        bool last = str_find(text, '/') == text.n;
        struct str part = str_cut(&text, '/');
        if (!last) {
            if (part.n != 4 || part.p[0] != 'x')
                return false;
            part.p++;
            part.n--;
        }
        if (part.n != 3 || !read_digits(part, 3, &group))
            return false;
        *out = *out * 1000 + group;
        if (!last && *out == 0)
            return false;
        if (last)
            return true;
    }
    return false;
}

bool tiles_parse_path(struct str path, int *level, int64_t *index, unsigned *width)
{
    int64_t number;
    struct str first = str_cut(&path, '/');
    *level = -1;
    *width = TILE_WIDTH;
    if (!str_is(first, "entries")) {
        if (!read_number(first, 2, &number) || number > 63)
            return false;
        *level = (int)number;
    }
    for (size_t i = 0; i + 3 <= path.n; i++) {
        if (memcmp(path.p + i, ".p/", 3) != 0)
            continue;
        if (!read_number((struct str){path.p + i + 3, path.n - i - 3}, 3, &number) || number < 1 ||
            number >= TILE_WIDTH)
            return false;
        *width = (unsigned)number;
        path.n = i;
        break;
    }
    return read_index(path, index);
}
