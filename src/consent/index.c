/* index.c - see index.h. Consumers lie in blocks that never move, numbered in order of arrival; two
 * open-addressing tables of numbers, by lookup hash and by cid, lead to them. Both keys are random
 * bytes already, so their first bytes are the hash. */
#include "consent/index.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"

enum { BLOCK = 4096, FIRST_TABLE = 1024 };
static const uint32_t EMPTY = UINT32_MAX;

struct table {
    uint32_t *slot;
    size_t size; /* a power of two */
};

struct name_table {
    char **text;
    size_t *length;
    uint32_t count;
    struct table table;
};

struct index {
    pthread_rwlock_t lock;
    struct index_consumer **blocks;
    size_t block_count;
    int64_t count, permits;
    struct table by_lookup, by_cid;
    struct name_table names;
};

static void table_init(struct table *t, size_t size)
{
    t->size = size;
    t->slot = mem_alloc(size * sizeof *t->slot);
    memset(t->slot, 0xFF, size * sizeof *t->slot);
}

static uint64_t first_bytes(const uint8_t *b)
{
    uint64_t v;
    memcpy(&v, b, sizeof v);
    return v;
}

struct index *index_new(void)
{
    struct index *ix = mem_zero(sizeof *ix);
    /* Readers come without a pause under load; a withdrawal must not wait behind them. */
    pthread_rwlockattr_t attr;
    pthread_rwlockattr_init(&attr);
    pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(&ix->lock, &attr);
    pthread_rwlockattr_destroy(&attr);
    table_init(&ix->by_lookup, FIRST_TABLE);
    table_init(&ix->by_cid, FIRST_TABLE);
    table_init(&ix->names.table, FIRST_TABLE);
    return ix;
}

static struct index_consumer *at(const struct index *ix, int64_t number)
{
    return &ix->blocks[number / BLOCK][number % BLOCK];
}

void index_free(struct index *ix)
{
    if (!ix)
        return;
    for (int64_t i = 0; i < ix->count; i++)
        free(at(ix, i)->permits);
    for (size_t i = 0; i < ix->block_count; i++)
        free(ix->blocks[i]);
    for (uint32_t i = 0; i < ix->names.count; i++)
        free(ix->names.text[i]);
    free(ix->names.text);
    free(ix->names.length);
    free(ix->names.table.slot);
    free(ix->by_lookup.slot);
    free(ix->by_cid.slot);
    free(ix->blocks);
    pthread_rwlock_destroy(&ix->lock);
    free(ix);
}

void index_read_lock(struct index *ix)
{
    pthread_rwlock_rdlock(&ix->lock);
}

void index_read_unlock(struct index *ix)
{
    pthread_rwlock_unlock(&ix->lock);
}

void index_write_lock(struct index *ix)
{
    pthread_rwlock_wrlock(&ix->lock);
}

void index_write_unlock(struct index *ix)
{
    pthread_rwlock_unlock(&ix->lock);
}

/* ---- consumers ---- */

static struct index_consumer *find(const struct index *ix, const struct hash128 *lookup)
{
    size_t mask = ix->by_lookup.size - 1;
    for (size_t i = first_bytes(lookup->b) & mask;; i = (i + 1) & mask) {
        uint32_t number = ix->by_lookup.slot[i];
        if (number == EMPTY)
            return NULL;
        if (memcmp(at(ix, number)->lookup.b, lookup->b, sizeof lookup->b) == 0)
            return at(ix, number);
    }
}

const struct index_consumer *index_find(const struct index *ix, const struct hash128 *lookup)
{
    return find(ix, lookup);
}

struct index_consumer *index_change(struct index *ix, const struct hash128 *lookup)
{
    return find(ix, lookup);
}

struct index_consumer *index_by_cid(struct index *ix, const struct uid *cid)
{
    size_t mask = ix->by_cid.size - 1;
    for (size_t i = first_bytes(cid->b) & mask;; i = (i + 1) & mask) {
        uint32_t number = ix->by_cid.slot[i];
        if (number == EMPTY)
            return NULL;
        if (memcmp(at(ix, number)->cid.b, cid->b, sizeof cid->b) == 0)
            return at(ix, number);
    }
}

const struct index_consumer *index_at(const struct index *ix, int64_t number)
{
    return number >= 0 && number < ix->count ? at(ix, number) : NULL;
}

int64_t index_count(const struct index *ix)
{
    return ix->count;
}

int64_t index_permits(const struct index *ix)
{
    return ix->permits;
}

static void table_put(struct table *t, uint64_t hash, uint32_t number)
{
    size_t i = hash & (t->size - 1);
    while (t->slot[i] != EMPTY)
        i = (i + 1) & (t->size - 1);
    t->slot[i] = number;
}

static void grow_tables(struct index *ix)
{
    size_t size = ix->by_lookup.size * 2;
    free(ix->by_lookup.slot);
    free(ix->by_cid.slot);
    table_init(&ix->by_lookup, size);
    table_init(&ix->by_cid, size);
    for (int64_t i = 0; i < ix->count; i++) {
        table_put(&ix->by_lookup, first_bytes(at(ix, i)->lookup.b), (uint32_t)i);
        table_put(&ix->by_cid, first_bytes(at(ix, i)->cid.b), (uint32_t)i);
    }
}

struct index_consumer *index_add(struct index *ix, const struct hash128 *lookup,
                                 const struct uid *cid, uint32_t shard)
{
    if (ix->count >= (int64_t)EMPTY)
        bug("more than %u consumers in one index", EMPTY);
    if ((size_t)ix->count * 3 >= ix->by_lookup.size * 2)
        grow_tables(ix);
    if ((size_t)ix->count == ix->block_count * BLOCK) {
        ix->blocks = mem_grow(ix->blocks, ix->block_count + 1, sizeof *ix->blocks);
        ix->blocks[ix->block_count++] = mem_zero(BLOCK * sizeof **ix->blocks);
    }
    uint32_t number = (uint32_t)ix->count++;
    struct index_consumer *c = at(ix, number);
    *c = (struct index_consumer){.lookup = *lookup, .cid = *cid, .shard = shard, .born = DAY_NONE};
    table_put(&ix->by_lookup, first_bytes(lookup->b), number);
    table_put(&ix->by_cid, first_bytes(cid->b), number);
    return c;
}

/* ---- permits ---- */

const struct permit *index_permit(const struct index_consumer *c, uint32_t key)
{
    for (uint32_t i = 0; i < c->permit_count; i++)
        if (c->permits[i].key == key)
            return &c->permits[i];
    return NULL;
}

void index_set(struct index *ix, struct index_consumer *c, const struct permit *permit)
{
    struct permit *old = (struct permit *)index_permit(c, permit->key);
    if (!old) {
        c->permits = mem_grow(c->permits, c->permit_count + 1, sizeof *c->permits);
        old = &c->permits[c->permit_count++];
        ix->permits++;
    }
    *old = *permit;
}

void index_erase(struct index *ix, struct index_consumer *c)
{
    ix->permits -= c->permit_count;
    free(c->permits);
    c->permits = NULL;
    c->permit_count = 0;
    c->erased = true;
    c->born = DAY_NONE;
    c->restricted = c->opt_out_signal = false;
}

/* ---- names ---- */

static uint32_t *name_slot(struct name_table *names, struct str name)
{
    size_t mask = names->table.size - 1;
    for (size_t i = hash64(name) & mask;; i = (i + 1) & mask) {
        uint32_t *slot = &names->table.slot[i];
        if (*slot == EMPTY || str_eq(name, (struct str){names->text[*slot], names->length[*slot]}))
            return slot;
    }
}

static void grow_names(struct name_table *names)
{
    size_t size = names->table.size * 2;
    free(names->table.slot);
    table_init(&names->table, size);
    for (uint32_t i = 0; i < names->count; i++)
        table_put(&names->table, hash64((struct str){names->text[i], names->length[i]}), i);
}

uint32_t index_number(struct index *ix, struct str name)
{
    struct name_table *names = &ix->names;
    uint32_t *slot = name_slot(names, name);
    if (*slot != EMPTY)
        return *slot;
    if ((size_t)names->count * 2 >= names->table.size) {
        grow_names(names);
        slot = name_slot(names, name);
    }
    names->text = mem_grow(names->text, names->count + 1, sizeof *names->text);
    names->length = mem_grow(names->length, names->count + 1, sizeof *names->length);
    names->text[names->count] = str_dup(name);
    names->length[names->count] = name.n;
    *slot = names->count;
    return names->count++;
}

uint32_t index_key(struct index *ix, struct str recipient, struct str purpose, struct str category)
{
    char text[256];
    size_t n = 0;
    struct str parts[3] = {recipient, purpose, category};
    for (int i = 0; i < 3; i++) {
        if (parts[i].n > 80)
            bug("name too long");
        memcpy(text + n, parts[i].p, parts[i].n);
        n += parts[i].n;
        text[n++] = '/';
    }
    return index_number(ix, (struct str){text, n});
}

struct str index_name(const struct index *ix, uint32_t number)
{
    if (number >= ix->names.count)
        bug("unknown name %u", number);
    return (struct str){ix->names.text[number], ix->names.length[number]};
}

uint32_t index_name_count(const struct index *ix)
{
    return ix->names.count;
}
