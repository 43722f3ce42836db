/* limit.c - requests of a caller, as a token bucket. A
 * bucket is one number, the time at which it will be full again (the generic cell rate algorithm of
 * ITU-T I.371): a request moves it on by one interval, and is refused when that would take it more
 * than the bucket's time beyond now. A bucket whose time is past is a full one, so it may be
 * forgotten, and the table has a fixed size: a set of places by the key, the fullest bucket makes
 * room. */
#include <pthread.h>
#include <stdlib.h>

#include "http/private.h"

enum { SETS = 1024, WAYS = 8, LOCKS = 64 };

static const int64_t SECOND = 1000000000;

struct bucket {
    uint64_t key;
    int64_t full_at;
};

struct limiter {
    int64_t interval; /* ns between requests at the steady rate */
    int64_t window;   /* ns in which an empty bucket is full */
    struct {
        _Alignas(64) pthread_mutex_t lock;
    } locks[LOCKS];
    struct bucket buckets[SETS][WAYS];
};

struct limiter *limiter_new(unsigned count, unsigned seconds)
{
    size_t size = (sizeof(struct limiter) + 63) & ~(size_t)63;
    struct limiter *limiter = aligned_alloc(64, size);
    if (!limiter || !count || !seconds)
        bug("cannot make a limiter of %u in %u seconds", count, seconds);
    int64_t window = SECOND * seconds;
    *limiter = (struct limiter){.interval = window / count, .window = window};
    for (size_t i = 0; i < LOCKS; i++)
        pthread_mutex_init(&limiter->locks[i].lock, NULL);
    return limiter;
}

void limiter_free(struct limiter *limiter)
{
    if (!limiter)
        return;
    for (size_t i = 0; i < LOCKS; i++)
        pthread_mutex_destroy(&limiter->locks[i].lock);
    free(limiter);
}

static struct bucket *bucket_of(struct bucket *set, uint64_t key)
{
    struct bucket *fullest = &set[0];
    for (size_t i = 0; i < WAYS; i++) {
        if (set[i].key == key)
            return &set[i];
        if (set[i].full_at < fullest->full_at)
            fullest = &set[i];
    }
    *fullest = (struct bucket){key, 0};
    return fullest;
}

int64_t limiter_take(struct limiter *limiter, uint64_t key, int64_t now)
{
    /* Callers choose their keys as they like; spread them (the finaliser of SplitMix64). */
    uint64_t spread = (key ^ key >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    spread = (spread ^ spread >> 27) * UINT64_C(0x94d049bb133111eb);
    size_t set = (size_t)(spread >> 32) % SETS;
    pthread_mutex_t *lock = &limiter->locks[set % LOCKS].lock;
    pthread_mutex_lock(lock);
    struct bucket *bucket = bucket_of(limiter->buckets[set], key);
    int64_t start = bucket->full_at > now ? bucket->full_at : now;
    int64_t wait = start + limiter->interval - (now + limiter->window);
    if (wait <= 0)
        bucket->full_at = start + limiter->interval;
    pthread_mutex_unlock(lock);
    return wait > 0 ? wait : 0;
}
