/* challenges.c - what passkeys have to answer: each is given out once, for one use, and taken back
 * once. The table is a ring: when very many are asked for, the oldest are forgotten, and whoever
 * held one loads the page again. */
#include <stdlib.h>
#include <string.h>

#include "web/private.h"

enum { PLACES = 8192, CHALLENGE_MS = 10 * 60 * 1000 };

struct challenge {
    struct sha256 hash; /* of its text and its use */
    int64_t until;      /* ms of the monotonic clock; 0: empty */
};

struct challenges {
    pthread_mutex_t lock;
    size_t next;
    struct challenge places[PLACES];
};

struct challenges *challenges_new(void)
{
    struct challenges *c = mem_zero(sizeof *c);
    pthread_mutex_init(&c->lock, NULL);
    return c;
}

void challenges_free(struct challenges *c)
{
    pthread_mutex_destroy(&c->lock);
    free(c);
}

static struct sha256 hash_of(struct str text, struct str use)
{
    struct str parts[] = {text, {"", 1}, use};
    return sha256_parts(parts, 3);
}

struct str challenge_give(struct challenges *c, struct arena *arena, struct str use)
{
    struct str text = new_token(arena);
    pthread_mutex_lock(&c->lock);
    c->places[c->next++ % PLACES] = (struct challenge){
        .hash = hash_of(text, use), .until = clock_monotonic() / 1000000 + CHALLENGE_MS};
    pthread_mutex_unlock(&c->lock);
    return text;
}

bool challenge_take(struct challenges *c, struct str text, struct str use)
{
    struct sha256 hash = hash_of(text, use);
    int64_t now = clock_monotonic() / 1000000;
    bool found = false;
    pthread_mutex_lock(&c->lock);
    for (size_t i = 0; i < PLACES && !found; i++) {
        struct challenge *place = &c->places[i];
        if (place->until && memcmp(place->hash.b, hash.b, sizeof hash.b) == 0) {
            found = place->until >= now;
            place->until = 0;
        }
    }
    pthread_mutex_unlock(&c->lock);
    return found;
}
