/* index.c - see index.h. What is being changed lies unpacked in ix->work and is packed into the
 * table when the next one is asked for or the lock is let go. */
#include "consent/index.h"

#include <stdlib.h>

#include "consent/index_private.h"

enum { FIRST_BY_CID = 1024 };
static const uint32_t EMPTY = UINT32_MAX;

/* ---- any thread ---- */

const struct permit_map *index_map(const struct index *ix)
{
    return &ix->map;
}

bool index_is_broken(const struct index *ix)
{
    return atomic_load_explicit(&ix->h->state, memory_order_acquire) == PERMIT_BROKEN;
}

int64_t index_count(const struct index *ix)
{
    return (int64_t)atomic_load_explicit(&ix->h->count, memory_order_acquire);
}

int64_t index_permits(const struct index *ix)
{
    return (int64_t)word_get(&ix->h->permits);
}

static uint32_t cid_word(const struct index *ix, int64_t number, int word)
{
    return atomic_load_explicit(ix->cids + number * CID_WORDS + word, memory_order_relaxed);
}

static void set_cid_word(struct index *ix, int64_t number, int word, uint32_t v)
{
    atomic_store_explicit(ix->cids + number * CID_WORDS + word, v, memory_order_relaxed);
}

uint32_t index_address(const struct index *ix, int64_t number)
{
    return cid_word(ix, number, 0);
}

struct uid index_cid(const struct index *ix, int64_t number)
{
    struct uid cid;
    for (int i = 0; i < 4; i++) {
        uint32_t v = cid_word(ix, number, i + 1);
        memcpy(cid.b + 4 * i, &v, sizeof v);
    }
    return cid;
}

static void set_cid(struct index *ix, int64_t number, const struct uid *cid)
{
    for (int i = 0; i < 4; i++) {
        uint32_t v = 0;
        if (cid)
            memcpy(&v, cid->b + 4 * i, sizeof v);
        set_cid_word(ix, number, i + 1, v);
    }
}

uint32_t index_shard_of(const struct index *ix, uint32_t address)
{
    return address % ix->shards;
}

/* ---- the one that is being changed ---- */

static void finish_work(struct index *ix)
{
    struct working *w = &ix->work;
    if (!w->open)
        return;
    w->open = false;
    if (index_is_broken(ix))
        return;
    ix->touched = true;
    word_set(&ix->h->changing, 1);
    /* A process that ends between here and the end of the change leaves the mark. */
    atomic_thread_fence(memory_order_seq_cst);
    if (!w->is_new || index_place(ix, w->address, &w->place)) {
        sets_before(ix->sets, w->address, w->number, w->is_new);
        index_pack(ix, w);
        index_mirror(ix, w);
        if (w->is_new)
            atomic_store_explicit(&ix->h->count, (uint64_t)w->number + 1, memory_order_release);
        sets_after(ix->sets, w->address, w->number);
        if (w->is_new)
            index_grow(ix);
    }
    atomic_thread_fence(memory_order_seq_cst);
    word_set(&ix->h->changing, 0);
}

struct sets *index_sets(const struct index *ix)
{
    return ix->sets;
}

void index_write_lock(struct index *ix)
{
    pthread_mutex_lock(&ix->lock);
}

void index_write_unlock(struct index *ix)
{
    finish_work(ix);
    pthread_mutex_unlock(&ix->lock);
}

/* ---- by cid ---- */

static uint64_t cid_hash(const struct uid *cid)
{
    uint64_t v;
    memcpy(&v, cid->b + sizeof cid->b - sizeof v, sizeof v);
    return v;
}

static void fill_by_cid(struct index *ix, size_t size)
{
    free(ix->by_cid.slot);
    table_init(&ix->by_cid, size);
    for (int64_t i = 0; i < index_count(ix); i++) {
        struct uid cid = index_cid(ix, i);
        table_put(&ix->by_cid, cid_hash(&cid), (uint32_t)i);
    }
}

static void note_cid(struct index *ix, const struct uid *cid, uint32_t number)
{
    if (!ix->by_cid.slot)
        return;
    if ((size_t)number * 10 >= ix->by_cid.size * 7)
        fill_by_cid(ix, ix->by_cid.size * 2);
    table_put(&ix->by_cid, cid_hash(cid), number);
}

static bool number_of_cid(const struct index *ix, const struct uid *cid, uint32_t *out)
{
    size_t mask = ix->by_cid.size - 1;
    for (size_t i = cid_hash(cid) & mask; ix->by_cid.slot[i] != EMPTY; i = (i + 1) & mask) {
        struct uid there = index_cid(ix, ix->by_cid.slot[i]);
        if (memcmp(there.b, cid->b, sizeof cid->b) == 0) {
            *out = ix->by_cid.slot[i];
            return true;
        }
    }
    return false;
}

/* ---- under the write lock ---- */

static struct index_consumer *start_work(struct index *ix, uint32_t address,
                                         struct entry_place place)
{
    struct working *w = &ix->work;
    w->place = place;
    w->address = address;
    w->is_new = false;
    index_unpack(ix, w);
    w->open = true;
    return &w->out;
}

struct index_consumer *index_change(struct index *ix, const struct hash128 *lookup)
{
    struct entry_place place;
    finish_work(ix);
    uint32_t address = lookup_address(lookup);
    if (!index_seek(ix, address, lookup_tag(lookup), &place))
        return NULL;
    return start_work(ix, address, place);
}

struct index_consumer *index_by_cid(struct index *ix, const struct uid *cid)
{
    struct entry_place place;
    uint32_t number;
    finish_work(ix);
    if (!ix->by_cid.slot) {
        size_t size = FIRST_BY_CID;
        while (size * 7 < (size_t)index_count(ix) * 10)
            size *= 2;
        fill_by_cid(ix, size * 2);
    }
    if (!number_of_cid(ix, cid, &number))
        return NULL;
    uint32_t address = index_address(ix, number);
    if (!index_seek_number(ix, address, number, &place))
        bug("consumer %u is not where the permit index says", number);
    return start_work(ix, address, place);
}

struct index_consumer *index_add(struct index *ix, const struct hash128 *lookup,
                                 const struct uid *cid, uint32_t shard)
{
    struct working *w = &ix->work;
    struct entry_place taken;
    finish_work(ix);
    uint64_t number = word_get(&ix->h->count);
    uint32_t address = lookup_address(lookup);
    if (number >= ix->cid_limit || number >= EMPTY - 1)
        index_break(ix, "it has no number left");
    if (shard != index_shard_of(ix, address))
        bug("consumer of shard %u has the address of another", shard);
    /* Two ids with the same address and 64 bits of tag: not met in the life of an installation, and
     * if it were, one of them would be answered for the other. */
    if (index_seek(ix, address, lookup_tag(lookup), &taken))
        bug("two consumers under one keyed hash");
    w->out = (struct index_consumer){.born = DAY_NONE};
    w->tag = w->tag_before = lookup_tag(lookup);
    w->address = address;
    w->number = (uint32_t)number;
    w->is_new = true;
    w->block_room = 0;
    w->count = 0;
    w->permits_before = 0;
    w->open = index_cid_room(ix, number + 1);
    if (!w->open)
        return &w->out;
    set_cid_word(ix, (int64_t)number, 0, address);
    set_cid(ix, (int64_t)number, cid);
    note_cid(ix, cid, (uint32_t)number);
    return &w->out;
}

static void remove_packed(struct working *w, size_t i)
{
    w->packed[i] = w->packed[--w->count];
}

static bool same_answer(const struct packed *p, const struct permit *permit)
{
    const struct permit_term *t = &p->term;
    return t->group == permit->key >> GROUP_BITS && t->state == permit->state &&
           t->by_guardian == permit->by_guardian && t->notice == permit->notice &&
           t->notice_version == permit->notice_version && p->expires_at == permit->expires_at &&
           p->consent == permit->consent;
}

void index_set(struct index *ix, struct index_consumer *c, const struct permit *permit)
{
    struct working *w = &ix->work;
    uint16_t bit = (uint16_t)(1U << (permit->key & ((1U << GROUP_BITS) - 1)));
    struct packed *same = NULL;
    if (&w->out != c)
        bug("a consumer who is not being changed");
    for (size_t i = 0; i < w->count; i++) {
        struct permit_term *t = &w->packed[i].term;
        if (t->group == permit->key >> GROUP_BITS && (t->mask & bit) != 0)
            t->mask = (uint16_t)(t->mask & ~bit);
    }
    for (size_t i = 0; i < w->count; i++)
        if (same_answer(&w->packed[i], permit))
            same = &w->packed[i];
    if (same) {
        same->term.mask |= bit;
    } else {
        if (w->count == w->cap) {
            w->cap = w->cap ? w->cap * 2 : 8;
            w->packed = mem_grow(w->packed, w->cap, sizeof *w->packed);
        }
        w->packed[w->count++] = (struct packed){
            .term = {.group = permit->key >> GROUP_BITS,
                     .mask = bit,
                     .state = permit->state,
                     .by_guardian = permit->by_guardian,
                     .notice = permit->notice,
                     .notice_version = permit->notice_version},
            .expires_at = permit->expires_at,
            .consent = permit->consent,
        };
    }
    for (size_t i = w->count; i-- > 0;)
        if (w->packed[i].term.mask == 0)
            remove_packed(w, i);
}

void index_clear(struct index *ix, struct index_consumer *c)
{
    if (&ix->work.out != c)
        bug("a consumer who is not being changed");
    ix->work.count = 0;
}

void index_erase(struct index *ix, struct index_consumer *c)
{
    index_clear(ix, c);
    *c = (struct index_consumer){.erased = true, .born = DAY_NONE};
    if (ix->work.open)
        set_cid(ix, ix->work.number, NULL);
}

void index_forget(struct index *ix, struct index_consumer *c)
{
    struct uid random = uid_new();
    index_erase(ix, c);
    memcpy(&ix->work.tag, random.b + sizeof random.b - sizeof ix->work.tag, sizeof ix->work.tag);
}

/* ---- what is not of a consumer ---- */

void index_publish(struct index *ix, const void *image, size_t size)
{
    uint64_t epoch = word_get(&ix->h->epoch) + 1;
    enum permit_section_id section = epoch & 1 ? SECTION_POLICY_1 : SECTION_POLICY_0;
    const struct permit_section *s = &ix->h->fixed.section[section];
    _Atomic uint64_t *to = (_Atomic uint64_t *)(void *)(ix->base + s->offset);
    size_t room = size > sizeof(struct image) ? size : sizeof(struct image);
    if (!index_room(ix, section, (room + 7) & ~(size_t)7))
        return;
    if (size == 0)
        word_set(to, 0); /* no magic: no policy */
    for (size_t i = 0; i < size; i += 8) {
        uint64_t w = 0;
        memcpy(&w, (const char *)image + i, size - i < 8 ? size - i : 8);
        word_set(to + i / 8, w);
    }
    atomic_store_explicit(&ix->h->epoch, epoch, memory_order_release);
    index_turn(ix);
}

void index_latest(struct index *ix, int64_t latest)
{
    enum { STEP_MS = 1000 };
    /* Rarely, since every reader has this cache line. */
    if (latest < atomic_load_explicit(&ix->h->latest, memory_order_relaxed) + STEP_MS)
        return;
    atomic_store_explicit(&ix->h->latest, latest, memory_order_relaxed);
    index_turn(ix);
}

static uint64_t leaf_word(const struct sha256 *leaf)
{
    uint64_t v = 0;
    if (leaf)
        memcpy(&v, leaf->b, sizeof v);
    return v;
}

void index_set_applied(struct index *ix, uint32_t shard, int64_t size, const struct sha256 *leaf)
{
    if (shard >= PERMIT_SHARDS)
        bug("shard %u", shard);
    if ((int64_t)word_get(&ix->h->applied[shard].size) == size)
        return;
    ix->touched = true;
    word_set(&ix->h->changing, 1);
    atomic_thread_fence(memory_order_seq_cst);
    word_set(&ix->h->applied[shard].leaf, leaf_word(leaf));
    word_set(&ix->h->applied[shard].size, (uint64_t)size);
    atomic_thread_fence(memory_order_seq_cst);
    word_set(&ix->h->changing, 0);
}

int64_t index_applied(const struct index *ix, uint32_t shard)
{
    return shard < PERMIT_SHARDS ? (int64_t)word_get(&ix->h->applied[shard].size) : 0;
}

bool index_applied_is(const struct index *ix, uint32_t shard, const struct sha256 *leaf)
{
    return shard < PERMIT_SHARDS && word_get(&ix->h->applied[shard].leaf) == leaf_word(leaf);
}
