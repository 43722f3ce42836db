/* lov.c - the public calls. A decision reads the policy's epoch and the table's generation before
 * and after (the latter in permit_find), and starts again when one moved: its answer was true at
 * one instant in between. What is rare (another policy, another file) happens in one place under a
 * lock; else nothing is written and nothing waited for.
 *
 * How fast a decision is depends on how many of them the processor can look ahead while memory
 * comes: some 400 instructions. So what is usual is inlined into one short run of them, and
 * everything else is kept apart. */
#include <pthread.h>
#include <stdlib.h>

#include "permit/handle.h"

enum { BATCH = 32, TRIES = 64, LOOK_AGAIN_NS = 100000000, LONGEST_ID = 128 };

int lov_open(const char *path, struct lov **out, char *error, size_t size)
{
    struct mapping *m;
    if (!path || !out)
        return LOV_EINVAL;
    int rc = mapping_open(path, &m, error, size);
    if (rc)
        return rc;
    struct lov *lov = calloc(1, sizeof *lov);
    char *copy = strdup(path);
    if (!lov || !copy) {
        free(lov);
        free(copy);
        mapping_close(m);
        return LOV_EIO;
    }
    lov->path = copy;
    lov->boot = permit_boot();
    pthread_mutex_init(&lov->lock, NULL);
    atomic_store_explicit(&lov->mapping, m, memory_order_release);
    *out = lov;
    return 0;
}

void lov_close(struct lov *lov)
{
    if (!lov)
        return;
    mapping_close(atomic_load_explicit(&lov->mapping, memory_order_acquire));
    pthread_mutex_destroy(&lov->lock);
    free(lov->path);
    free(lov);
}

/* ---- the file and the policy as they are now ---- */

/* Which start of the machine it is never changes while this process lives, so it is asked until it
 * was right once. A mapping cut short is all zeros, and so not live. */
static bool is_alive(const struct lov *lov, struct mapping *m, uint64_t ticks)
{
    const struct permit_header *h = m->map.header;
    if (atomic_load_explicit(&h->state, memory_order_acquire) != PERMIT_LIVE)
        return false;
    /* Silence, either way. */
    if (ticks - word_get(&h->heartbeat) + PERMIT_DEAD_NS > 2 * PERMIT_DEAD_NS)
        return false;
    if (__builtin_expect(atomic_load_explicit(&m->is_ours, memory_order_relaxed), 1))
        return true;
    if (lov->boot == 0 || word_get(&h->boot) != lov->boot)
        return false;
    atomic_store_explicit(&m->is_ours, true, memory_order_relaxed);
    return true;
}

/* The server may have made the file anew. Looked for now and then only, by one thread. */
static struct mapping *look_for_another(struct lov *lov, struct mapping *m, uint64_t now)
{
    uint64_t last = atomic_load_explicit(&lov->looked_at, memory_order_relaxed);
    if (now - last < LOOK_AGAIN_NS || !atomic_compare_exchange_strong(&lov->looked_at, &last, now))
        return m;
    pthread_mutex_lock(&lov->lock);
    struct mapping *fresh = NULL, *current = atomic_load(&lov->mapping);
    if (current == m &&
        (mapping_is_replaced(m, lov->path) ||
         atomic_load_explicit(&m->broken, memory_order_acquire)) &&
        mapping_open(lov->path, &fresh, NULL, 0) == 0) {
        fresh->older = m;
        atomic_store_explicit(&lov->mapping, fresh, memory_order_release);
        current = fresh;
    }
    pthread_mutex_unlock(&lov->lock);
    return current;
}

static struct mapping *live_mapping(struct lov *lov)
{
    struct mapping *m = atomic_load_explicit(&lov->mapping, memory_order_acquire);
    uint64_t ticks = permit_ticks();
    if (is_alive(lov, m, ticks))
        return m;
    m = look_for_another(lov, m, ticks);
    return is_alive(lov, m, ticks) ? m : NULL;
}

const struct reading_policy *lov_policy(struct lov *lov, struct mapping *m)
{
    struct reading_policy *p = atomic_load_explicit(&m->policy, memory_order_acquire);
    if (p && p->epoch == atomic_load_explicit(&m->map.header->epoch, memory_order_acquire))
        return p;
    pthread_mutex_lock(&lov->lock);
    p = atomic_load_explicit(&m->policy, memory_order_acquire);
    if (!p || p->epoch != atomic_load_explicit(&m->map.header->epoch, memory_order_acquire))
        p = mapping_read_policy(m);
    pthread_mutex_unlock(&lov->lock);
    return p;
}

static bool clock_is_sane(const struct mapping *m, int64_t now)
{
    return now + PERMIT_CLOCK_BACK_MS >=
           atomic_load_explicit(&m->map.header->latest, memory_order_relaxed);
}

/* ---- what is asked ---- */

struct lov_question {
    struct lov *lov;
    char *names[3];
    _Atomic(const struct named_use *) use; /* in the policy as it was last; NULL: none */
};

struct asking {
    const char *recipient, *purpose, *category;
    struct lov_question *question; /* NULL: the names are the caller's */
    int64_t at;
};

/* What many decisions share: taken before them, checked after them. */
struct view {
    struct mapping *m;
    const struct reading_policy *policy;
    const struct image *image;
    const struct image_use *use;
    enum lov_reason reason; /* LOV_PERMITTED: the consumer decides */
    int64_t at;
};

#define INLINE static inline __attribute__((always_inline))
#define APART static __attribute__((noinline))

INLINE struct str text(const char *s, size_t most)
{
    return s ? (struct str){s, strnlen(s, most + 1)} : (struct str){"", 0};
}

/* Where a policy remembers what is asked with these texts. */
INLINE size_t hint_of(const struct asking *a)
{
    uint64_t mixed =
        (uintptr_t)a->recipient + (uintptr_t)a->purpose * 5 + (uintptr_t)a->category * 25;
    return (size_t)(mixed * 0x9E3779B97F4A7C15u >> 58) % HINTS;
}

INLINE const struct named_use *use_asked(const struct reading_policy *p, const struct asking *a)
{
    const struct named_use *u;
    if (a->question) {
        u = atomic_load_explicit(&a->question->use, memory_order_acquire);
        return u && u->policy == p ? u : NULL;
    }
    /* Texts that are not there never became a hint. */
    u = atomic_load_explicit(&p->hints[hint_of(a)], memory_order_acquire);
    if (!u || !a->recipient || !a->purpose || !a->category)
        return NULL;
    bool same = strcmp(u->category, a->category) == 0 && strcmp(u->purpose, a->purpose) == 0 &&
                strcmp(u->recipient, a->recipient) == 0;
    return same ? u : NULL;
}

static void remember(const struct reading_policy *p, const struct asking *a,
                     const struct image_use *use)
{
    const struct named_use *u = &p->named[use - IMAGE_AT(p->image, uses, struct image_use)];
    if (a->question)
        atomic_store_explicit(&a->question->use, u, memory_order_release);
    else
        atomic_store_explicit(&((struct reading_policy *)(uintptr_t)p)->hints[hint_of(a)], u,
                              memory_order_release);
}

/* As things mostly are: the server lives, the policy is the one of the last time, and the use is
 * one that was asked for before. False where anything is not so, or is to be said more exactly. */
INLINE bool take_usual_view(struct lov *lov, struct mapping *m, const struct asking *a,
                            struct view *v)
{
    const struct permit_header *h = m->map.header;
    const struct reading_policy *p = atomic_load_explicit(&m->policy, memory_order_acquire);
    uint64_t ticks = permit_ticks();
    int64_t now = permit_instant(ticks + word_get(&h->wall));
    if (!is_alive(lov, m, ticks) || !clock_is_sane(m, now) || !p ||
        p->epoch != atomic_load_explicit(&h->epoch, memory_order_acquire))
        return false;
    const struct named_use *u = use_asked(p, a);
    *v = (struct view){.m = m, .policy = p, .image = p->image, .at = a->at ? a->at : now};
    if (!u || v->at >= u->usable_until)
        return false;
    v->use = u->use;
    return true;
}

static void take_view(struct lov *lov, const struct asking *a, struct view *v)
{
    int64_t now = permit_now();
    *v = (struct view){.reason = LOV_UNAVAILABLE, .at = a->at ? a->at : now};
    v->m = live_mapping(lov);
    if (!v->m || !clock_is_sane(v->m, now))
        return;
    v->policy = lov_policy(lov, v->m);
    if (!v->policy || !v->policy->image)
        return;
    v->image = v->policy->image;
    v->reason = permit_policy(v->image, text(a->recipient, LONGEST_NAME),
                              text(a->purpose, LONGEST_NAME), text(a->category, LONGEST_NAME),
                              v->at, &v->use);
    if (v->reason == LOV_PERMITTED)
        remember(v->policy, a, v->use);
}

INLINE bool still_holds(const struct view *v)
{
    if (!v->m || !v->policy)
        return true;
    /* The reads of the table come before these. */
    atomic_thread_fence(memory_order_acquire);
    const struct permit_header *h = v->m->map.header;
    return word_get(&h->epoch) == v->policy->epoch && word_get(&h->state) == PERMIT_LIVE;
}

/* ---- deciding ---- */

INLINE void decide_one(const struct view *v, const struct hash128 *lookup, struct lov_decision *out)
{
    if (v->reason == LOV_PERMITTED)
        permit_decide(&v->m->map, v->image, v->use, lookup, v->at, out);
    else
        *out = permit_denied(v->reason, v->image, v->at);
}

/* The keyed hash of the id; memory is on its way from here on. */
INLINE struct hash128 lookup_in(const struct mapping *m, struct str consumer)
{
    struct hash128 out = cmac_short(&m->lookup_key, consumer.p, consumer.n);
    permit_prefetch(&m->map, lookup_address(&out));
    return out;
}

/* Whatever is not as usual. */
APART int decide_anew(struct lov *lov, const struct asking *a, struct str id,
                      struct lov_decision *out)
{
    bool holds = false;
    for (int i = 0; lov && i < TRIES && !holds; i++) {
        struct view v;
        struct hash128 lookup = {{0}};
        take_view(lov, a, &v);
        if (v.reason == LOV_PERMITTED)
            lookup = lookup_in(v.m, id);
        decide_one(&v, &lookup, out);
        holds = still_holds(&v);
    }
    if (!holds)
        *out = permit_denied(LOV_UNAVAILABLE, NULL, a->at);
    return out->permit;
}

INLINE int decide(struct lov *lov, const struct asking *a, const char *consumer,
                  struct lov_decision *out)
{
    struct lov_decision own;
    struct str id = text(consumer, LONGEST_ID);
    struct view v;
    if (!out)
        out = &own;
    if (!lov)
        return decide_anew(lov, a, id, out);
    /* First of all, so that memory comes while the rest is looked at. */
    struct mapping *m = atomic_load_explicit(&lov->mapping, memory_order_acquire);
    struct hash128 lookup = lookup_in(m, id);
    if (__builtin_expect(!take_usual_view(lov, m, a, &v), 0))
        return decide_anew(lov, a, id, out);
    permit_decide(&m->map, v.image, v.use, &lookup, v.at, out);
    if (__builtin_expect(!still_holds(&v), 0))
        return decide_anew(lov, a, id, out);
    return out->permit;
}

int lov_decide(struct lov *lov, const char *recipient, const char *purpose, const char *category,
               const char *consumer, int64_t at, struct lov_decision *out)
{
    const struct asking a = {recipient, purpose, category, NULL, at};
    return decide(lov, &a, consumer, out);
}

/* One batch under one view: first every line is asked for, then each is read. */
static size_t decide_batch(const struct view *v, const char *const *consumers, size_t count,
                           struct lov_decision *out)
{
    struct hash128 lookup[BATCH];
    size_t permits = 0;
    for (size_t i = 0; v->reason == LOV_PERMITTED && i < count; i++)
        lookup[i] = lookup_in(v->m, text(consumers[i], LONGEST_ID));
    for (size_t i = 0; i < count; i++) {
        decide_one(v, &lookup[i], &out[i]);
        permits += (size_t)out[i].permit;
    }
    return permits;
}

static size_t decide_many(struct lov *lov, const struct asking *a, const char *const *consumers,
                          size_t count, struct lov_decision *out)
{
    size_t permits = 0;
    if (!out || (count && !consumers))
        return 0;
    for (size_t from = 0; from < count; from += BATCH) {
        size_t n = count - from < BATCH ? count - from : BATCH, won = 0;
        bool holds = false;
        for (int i = 0; lov && i < TRIES && !holds; i++) {
            struct view v;
            struct mapping *m = atomic_load_explicit(&lov->mapping, memory_order_acquire);
            if (!take_usual_view(lov, m, a, &v))
                take_view(lov, a, &v);
            won = decide_batch(&v, consumers + from, n, out + from);
            holds = still_holds(&v);
        }
        for (size_t i = 0; i < n && !holds; i++)
            out[from + i] = permit_denied(LOV_UNAVAILABLE, NULL, a->at);
        permits += holds ? won : 0;
    }
    return permits;
}

size_t lov_decide_many(struct lov *lov, const char *recipient, const char *purpose,
                       const char *category, const char *const *consumers, size_t count, int64_t at,
                       struct lov_decision *out)
{
    const struct asking a = {recipient, purpose, category, NULL, at};
    return decide_many(lov, &a, consumers, count, out);
}

/* ---- a question that is asked again and again ---- */

static struct asking asked_by(struct lov_question *q, int64_t at)
{
    return (struct asking){q->names[0], q->names[1], q->names[2], q, at};
}

int lov_prepare(struct lov *lov, const char *recipient, const char *purpose, const char *category,
                struct lov_question **out)
{
    const char *const names[] = {recipient, purpose, category};
    if (!lov || !out)
        return LOV_EINVAL;
    struct lov_question *q = calloc(1, sizeof *q);
    if (!q)
        return LOV_EIO;
    q->lov = lov;
    for (int i = 0; i < 3; i++) {
        /* One byte more than any name has: what is too long stays unknown. */
        q->names[i] = strndup(names[i] ? names[i] : "", LONGEST_NAME + 1);
        if (!q->names[i]) {
            lov_question_free(q);
            return LOV_EIO;
        }
    }
    *out = q;
    return 0;
}

void lov_question_free(struct lov_question *q)
{
    for (int i = 0; q && i < 3; i++)
        free(q->names[i]);
    free(q);
}

int lov_ask(struct lov_question *q, const char *consumer, int64_t at, struct lov_decision *out)
{
    struct lov_decision own;
    if (!q) {
        *(out ? out : &own) = permit_denied(LOV_UNAVAILABLE, NULL, at);
        return 0;
    }
    const struct asking a = asked_by(q, at);
    return decide(q->lov, &a, consumer, out);
}

size_t lov_ask_many(struct lov_question *q, const char *const *consumers, size_t count, int64_t at,
                    struct lov_decision *out)
{
    if (!q) {
        for (size_t i = 0; out && i < count; i++)
            out[i] = permit_denied(LOV_UNAVAILABLE, NULL, at);
        return 0;
    }
    const struct asking a = asked_by(q, at);
    return decide_many(q->lov, &a, consumers, count, out);
}

const char *lov_version(void)
{
    return LOV_VERSION;
}
