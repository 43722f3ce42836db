/* tail.c - the consumers whose rows are yet to be written. See state.h.
 *
 * Two open-addressing tables keyed by cid: what is committed, which readers look into under the
 * lock, and what the batch under way has put there, which is the writer's alone. A person is one
 * block of memory that never changes; putting it again puts a new one. Blocks that were replaced
 * live on until the next batch commits, since the jobs of this one still point into them. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "consent/state.h"

struct held {
    struct held *next; /* among the replaced */
    size_t bytes;
    bool gone;    /* erased by the batch under way */
    bool written; /* its rows are, in the transaction under way */
    struct person person;
};

struct map {
    struct held **slots;
    size_t cap, count; /* cap: 0 or a power of two */
};

struct tail {
    pthread_mutex_t lock; /* guards `settled` against readers */
    struct map settled, batch;
    struct held *replaced; /* by the batch under way */
    struct held *old;      /* by the one before it */
    size_t bytes;          /* of settled */
    int64_t since, latest; /* of settled */
    /* The sweep: cids in order; those before `next` are written, those from `begun` on by the
     * transaction under way, and of them those from `swept` on by the batch under way. */
    struct uid *order;
    size_t count, begun, swept, next;
};

/* ---- map ---- */

static size_t start_of(const struct map *m, const struct uid *cid)
{
    uint64_t h; /* the end of a cid is random */
    memcpy(&h, cid->b + sizeof cid->b - sizeof h, sizeof h);
    return (size_t)h & (m->cap - 1);
}

/* The slot that holds the cid, or the free one where it belongs. */
static struct held **slot_of(const struct map *m, const struct uid *cid)
{
    size_t at = start_of(m, cid);
    while (m->slots[at] && memcmp(m->slots[at]->person.row.cid.b, cid->b, sizeof cid->b) != 0)
        at = (at + 1) & (m->cap - 1);
    return &m->slots[at];
}

static struct held *map_get(const struct map *m, const struct uid *cid)
{
    return m->count ? *slot_of(m, cid) : NULL;
}

static void map_grow(struct map *m)
{
    enum { FIRST = 64 };
    struct map grown = {.cap = m->cap ? m->cap * 2 : FIRST, .count = m->count};
    grown.slots = mem_zero(grown.cap * sizeof(struct held *));
    for (size_t i = 0; i < m->cap; i++)
        if (m->slots[i])
            *slot_of(&grown, &m->slots[i]->person.row.cid) = m->slots[i];
    free(m->slots);
    *m = grown;
}

/* Returns the one that was there. */
static struct held *map_put(struct map *m, struct held *h)
{
    if (m->count * 4 >= m->cap * 3)
        map_grow(m);
    struct held **slot = slot_of(m, &h->person.row.cid), *before = *slot;
    *slot = h;
    m->count += before == NULL;
    return before;
}

/* Takes it out and closes the gap, so that no probe stops short. */
static struct held *map_remove(struct map *m, const struct uid *cid)
{
    struct held *h = map_get(m, cid);
    if (!h)
        return NULL;
    size_t gap = (size_t)(slot_of(m, cid) - m->slots), at = gap;
    for (;;) {
        at = (at + 1) & (m->cap - 1);
        if (!m->slots[at])
            break;
        size_t home = start_of(m, &m->slots[at]->person.row.cid);
        if (((at - home) & (m->cap - 1)) >= ((at - gap) & (m->cap - 1))) {
            m->slots[gap] = m->slots[at];
            gap = at;
        }
    }
    m->slots[gap] = NULL;
    m->count--;
    return h;
}

static void map_empty(struct map *m)
{
    if (m->count)
        memset(m->slots, 0, m->cap * sizeof(struct held *));
    m->count = 0;
}

/* ---- a person as one block ---- */

/* Counts when `at` is NULL, copies when not. */
struct packing {
    char *at;
    size_t n;
};

static struct str pack_text(struct packing *k, struct str s)
{
    if (k->at && s.n)
        memcpy(k->at + k->n, s.p, s.n);
    struct str copy = {k->at && s.n ? k->at + k->n : NULL, s.n};
    k->n += s.n;
    return copy;
}

static struct str *pack_names(struct packing *arrays, struct packing *texts,
                              const struct str *names, size_t count)
{
    struct str *copy = arrays->at ? (struct str *)(void *)(arrays->at + arrays->n) : NULL;
    arrays->n += count * sizeof *names;
    for (size_t i = 0; i < count; i++) {
        struct str text = pack_text(texts, names[i]);
        if (copy)
            copy[i] = text;
    }
    return copy;
}

static struct consent pack_consent(struct packing *arrays, struct packing *texts,
                                   const struct consent *c)
{
    struct consent copy = *c;
    copy.purpose = pack_text(texts, c->purpose);
    copy.recipient = pack_text(texts, c->recipient);
    copy.categories = pack_names(arrays, texts, c->categories, c->category_count);
    copy.narrowed = pack_names(arrays, texts, c->narrowed, c->narrowed_count);
    copy.notice = pack_text(texts, c->notice);
    copy.notice_language = pack_text(texts, c->notice_language);
    copy.channel = pack_text(texts, c->channel);
    copy.sealed = pack_text(texts, c->sealed);
    return copy;
}

static struct person pack_person(struct packing *arrays, struct packing *texts,
                                 const struct person *p)
{
    struct person copy = *p;
    copy.row.residence = pack_text(texts, p->row.residence);
    copy.row.sealed = pack_text(texts, p->row.sealed);
    copy.consents = (struct consent *)(void *)arrays->at;
    arrays->n += p->consent_count * sizeof *p->consents;
    for (size_t i = 0; i < p->consent_count; i++) {
        struct consent c = pack_consent(arrays, texts, &p->consents[i]);
        if (copy.consents)
            copy.consents[i] = c;
    }
    copy.gone = arrays->at ? (int64_t *)(void *)(arrays->at + arrays->n) : NULL;
    if (copy.gone && p->gone_count)
        memcpy(copy.gone, p->gone, p->gone_count * sizeof *p->gone);
    arrays->n += p->gone_count * sizeof *p->gone;
    return copy;
}

/* Bytes for the arrays, which come first and are aligned, and for the texts behind them. */
static size_t person_bytes(const struct person *p, size_t *arrays)
{
    struct packing a = {0}, t = {0};
    pack_person(&a, &t, p);
    *arrays = a.n;
    return a.n + t.n;
}

static struct person person_copy(const struct person *p, char *to, size_t arrays)
{
    struct packing a = {.at = to}, t = {.at = to + arrays};
    return pack_person(&a, &t, p);
}

static struct held *held_new(const struct person *p)
{
    size_t arrays, bytes = person_bytes(p, &arrays);
    struct held *h = mem_alloc(sizeof *h + bytes);
    *h = (struct held){.bytes = sizeof *h + bytes};
    h->person = person_copy(p, (char *)(h + 1), arrays);
    return h;
}

/* ---- the tail ---- */

struct tail *tail_new(void)
{
    struct tail *t = mem_zero(sizeof *t);
    pthread_mutex_init(&t->lock, NULL);
    return t;
}

static void free_list(struct held **list)
{
    while (*list) {
        struct held *h = *list;
        *list = h->next;
        free(h);
    }
}

static void free_all(struct map *m)
{
    for (size_t i = 0; i < m->cap; i++)
        free(m->slots[i]);
    free(m->slots);
}

void tail_free(struct tail *t)
{
    if (!t)
        return;
    free_list(&t->replaced);
    free_list(&t->old);
    free_all(&t->settled);
    free_all(&t->batch);
    free(t->order);
    pthread_mutex_destroy(&t->lock);
    free(t);
}

static void replace(struct tail *t, struct held *h)
{
    if (!h)
        return;
    h->next = t->replaced;
    t->replaced = h;
}

static struct held *find(const struct tail *t, const struct uid *cid)
{
    struct held *h = map_get(&t->batch, cid);
    if (!h)
        h = map_get(&t->settled, cid);
    return h && !h->gone ? h : NULL;
}

const struct person *tail_find(const struct tail *t, const struct uid *cid)
{
    const struct held *h = find(t, cid);
    return h ? &h->person : NULL;
}

bool tail_take(const struct tail *t, const struct uid *cid, struct person *out)
{
    const struct held *h = find(t, cid);
    if (!h)
        return false;
    *out = h->person;
    if (h->written) {
        out->swept = true;
        out->gone_count = 0;
    }
    return true;
}

void tail_put(struct tail *t, const struct person *p)
{
    replace(t, map_put(&t->batch, held_new(p)));
}

void tail_drop(struct tail *t, const struct uid *cid)
{
    struct person nobody = {.row.cid = *cid};
    struct held *h = held_new(&nobody);
    h->gone = true;
    replace(t, map_put(&t->batch, h));
}

static void forget(struct tail *t, struct held *h)
{
    if (h)
        t->bytes -= h->bytes;
    replace(t, h);
}

static void settle(struct tail *t, struct held *h, int64_t now)
{
    if (h->gone) {
        forget(t, map_remove(&t->settled, &h->person.row.cid));
        replace(t, h);
        return;
    }
    if (t->settled.count == 0)
        t->since = now;
    t->latest = now;
    forget(t, map_put(&t->settled, h));
    t->bytes += h->bytes;
}

void tail_commit(struct tail *t, int64_t now)
{
    free_list(&t->old);
    pthread_mutex_lock(&t->lock);
    for (size_t i = 0; t->batch.count && i < t->batch.cap; i++)
        if (t->batch.slots[i])
            settle(t, t->batch.slots[i], now);
    pthread_mutex_unlock(&t->lock);
    map_empty(&t->batch);
    t->old = t->replaced;
    t->replaced = NULL;
    t->swept = t->next;
}

void tail_stored(struct tail *t, int64_t now)
{
    pthread_mutex_lock(&t->lock);
    for (; t->begun < t->swept; t->begun++) {
        const struct held *h = map_get(&t->settled, &t->order[t->begun]);
        if (h && h->written) /* and nothing newer was put since */
            forget(t, map_remove(&t->settled, &t->order[t->begun]));
    }
    pthread_mutex_unlock(&t->lock);
    if (t->order && t->begun == t->count) {
        free(t->order);
        t->order = NULL;
        t->count = t->begun = t->swept = t->next = 0;
        t->since = now;
    }
}

void tail_roll_back(struct tail *t)
{
    for (size_t i = 0; t->batch.count && i < t->batch.cap; i++)
        replace(t, t->batch.slots[i]);
    map_empty(&t->batch);
    for (; t->next > t->swept; t->next--) {
        struct held *h = map_get(&t->settled, &t->order[t->next - 1]);
        if (h)
            h->written = false;
    }
}

bool tail_read(struct tail *t, const struct uid *cid, struct arena *arena, struct person *out)
{
    pthread_mutex_lock(&t->lock);
    const struct held *h = map_get(&t->settled, cid);
    if (h) {
        size_t arrays, bytes = person_bytes(&h->person, &arrays);
        *out = person_copy(&h->person, arena_alloc(arena, bytes), arrays);
    }
    pthread_mutex_unlock(&t->lock);
    return h != NULL;
}

int tail_each(const struct tail *t, int (*row)(void *ctx, const struct person *p), void *ctx)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < t->settled.cap; i++)
        if (t->settled.slots[i])
            rc = row(ctx, &t->settled.slots[i]->person);
    return rc;
}

/* ---- the sweep ---- */

struct tail_size tail_size(const struct tail *t)
{
    return (struct tail_size){t->settled.count, t->bytes, t->since, t->latest};
}

static int by_cid(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct uid));
}

void tail_sweep_start(struct tail *t)
{
    if (t->order)
        bug("two sweeps at once");
    t->order = mem_grow(NULL, t->settled.count + 1, sizeof *t->order);
    for (size_t i = 0; i < t->settled.cap; i++)
        if (t->settled.slots[i])
            t->order[t->count++] = t->settled.slots[i]->person.row.cid;
    qsort(t->order, t->count, sizeof *t->order, by_cid);
}

bool tail_sweeping(const struct tail *t)
{
    return t->order != NULL;
}

static int write_person(struct db *lov, const struct person *p, struct err *err)
{
    int rc = row_consumer_put(lov, &p->row, err);
    for (size_t i = 0; rc == 0 && i < p->gone_count; i++)
        rc = row_consent_drop(lov, p->row.shard, &p->row.cid, p->gone[i], err);
    for (size_t i = 0; rc == 0 && i < p->consent_count; i++)
        if (p->consents[i].event >= p->since)
            rc = row_consent_put(lov, &p->consents[i], err);
    return rc;
}

int tail_sweep(struct tail *t, struct db *lov, size_t most, struct err *err)
{
    int rc = 0;
    for (size_t n = 0; rc == 0 && n < most && t->next < t->count; n++, t->next++) {
        /* The newest there is, though it came after the sweep began: the tables may be ahead of
         * shard.applied, never behind. */
        struct held *h = find(t, &t->order[t->next]);
        if (!h)
            continue;
        rc = write_person(lov, &h->person, err);
        h->written = true;
    }
    return rc;
}

bool tail_swept(const struct tail *t)
{
    return t->order && t->next == t->count;
}

static int held_by_cid(const void *a, const void *b)
{
    const struct held *const *x = a, *const *y = b;
    return by_cid(&(*x)->person.row.cid, &(*y)->person.row.cid);
}

int tail_flush(struct tail *t, struct db *lov, struct err *err)
{
    struct held **all = mem_grow(NULL, t->batch.count + 1, sizeof(struct held *));
    size_t count = 0;
    int rc = 0;
    for (size_t i = 0; t->batch.count && i < t->batch.cap; i++) {
        struct held *h = t->batch.slots[i];
        if (h && !h->gone && !map_get(&t->settled, &h->person.row.cid))
            all[count++] = h;
    }
    qsort(all, count, sizeof(struct held *), held_by_cid);
    for (size_t i = 0; rc == 0 && i < count; i++)
        rc = write_person(lov, &all[i]->person, err);
    /* Not before all are written: a batch that fails is rolled back with everybody in it. */
    for (size_t i = 0; rc == 0 && i < count; i++)
        replace(t, map_remove(&t->batch, &all[i]->person.row.cid));
    free(all);
    return rc;
}

size_t tail_batch(const struct tail *t)
{
    return t->batch.count;
}
