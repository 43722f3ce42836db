/* recent.c - ids of consumers that were looked up lately, in clear and in memory only, so that
 * lists which name many need not find and open each again. A cid has one slot, and whoever comes
 * later takes it.
 *
 * Nobody is named after an erasure was answered. Whoever looks an id up takes a mark first, and
 * what they found is kept only if nothing was erased since: the erasure is committed before the
 * count of erasures goes up, so who looks later does not find it, and who looked earlier finds the
 * count changed, or is in time to be wiped. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "identity/store.h"

enum { SLOTS = 65536, STRIPES = 64, LONGEST = 47 };

struct slot {
    struct uid cid;
    uint8_t length; /* 0: free */
    char id[LONGEST];
};

struct recent {
    struct slot *slots;
    pthread_mutex_t lock[STRIPES]; /* of the slots with that remainder */
    _Atomic uint64_t erasures;
};

static size_t place_of(const struct uid *cid)
{
    uint64_t v; /* the end of a cid is random */
    memcpy(&v, cid->b + sizeof cid->b - sizeof v, sizeof v);
    return v % SLOTS;
}

struct recent *recent_new(void)
{
    struct recent *r = mem_zero(sizeof *r);
    atomic_init(&r->erasures, 1);
    r->slots = mem_zero(SLOTS * sizeof *r->slots);
    for (int i = 0; i < STRIPES; i++)
        pthread_mutex_init(&r->lock[i], NULL);
    return r;
}

void recent_free(struct recent *r)
{
    if (!r)
        return;
    for (size_t i = 0; i < SLOTS; i++)
        if (r->slots[i].length)
            secret_wipe_bytes(&r->slots[i], sizeof r->slots[i]);
    for (int i = 0; i < STRIPES; i++)
        pthread_mutex_destroy(&r->lock[i]);
    free(r->slots);
    free(r);
}

bool recent_get(struct recent *r, const struct uid *cid, struct buf *id)
{
    size_t place = place_of(cid);
    const struct slot *slot = &r->slots[place];
    pthread_mutex_lock(&r->lock[place % STRIPES]);
    bool found = slot->length && memcmp(slot->cid.b, cid->b, sizeof cid->b) == 0;
    if (found)
        buf_add(id, slot->id, slot->length);
    pthread_mutex_unlock(&r->lock[place % STRIPES]);
    return found;
}

uint64_t recent_mark(struct recent *r)
{
    return atomic_load(&r->erasures);
}

void recent_put(struct recent *r, uint64_t mark, const struct uid *cid, struct str id)
{
    size_t place = place_of(cid);
    struct slot *slot = &r->slots[place];
    if (id.n == 0 || id.n > LONGEST)
        return;
    pthread_mutex_lock(&r->lock[place % STRIPES]);
    if (atomic_load(&r->erasures) == mark) {
        slot->cid = *cid;
        slot->length = (uint8_t)id.n;
        memcpy(slot->id, id.p, id.n);
    }
    pthread_mutex_unlock(&r->lock[place % STRIPES]);
}

void recent_forget(struct recent *r, const struct uid *cid)
{
    size_t place = place_of(cid);
    struct slot *slot = &r->slots[place];
    atomic_fetch_add(&r->erasures, 1);
    pthread_mutex_lock(&r->lock[place % STRIPES]);
    if (memcmp(slot->cid.b, cid->b, sizeof cid->b) == 0)
        secret_wipe_bytes(slot, sizeof *slot);
    pthread_mutex_unlock(&r->lock[place % STRIPES]);
}
