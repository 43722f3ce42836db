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
#include <time.h>

#include "permit/handle.h"

enum { BATCH = 64, TRIES = 64, LOOK_AGAIN_NS = 100000000, LONGEST_ID = 128 };

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

static bool is_alive(const struct lov *lov, const struct mapping *m, uint64_t ticks,
                     uint64_t silence)
{
    const struct permit_header *h = m->map.header;
    if (atomic_load_explicit(&h->state, memory_order_acquire) != PERMIT_LIVE)
        return false;
    /* Either way: a heartbeat out of the future is none. */
    return lov->boot != 0 && word_get(&h->boot) == lov->boot &&
           ticks - word_get(&h->heartbeat) + silence <= 2 * silence;
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
    if (is_alive(lov, m, ticks, PERMIT_DEAD_NS))
        return m;
    m = look_for_another(lov, m, ticks);
    return is_alive(lov, m, ticks, PERMIT_DEAD_NS) ? m : NULL;
}

const struct reading_policy *handle_policy(struct lov *lov, struct mapping *m)
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

#if defined(__SANITIZE_ADDRESS__) || !defined(__x86_64__)
#define WHOLE_BLOCKS 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define WHOLE_BLOCKS 0
#endif
#endif
#ifndef WHOLE_BLOCKS
#define WHOLE_BLOCKS 1
#endif

/* The length of an id, up to one more than any has. It mostly ends in the aligned 16 bytes in which
 * it begins, or in the next: those can be read as a whole, as strlen(3) does. */
INLINE size_t id_length(const char *s)
{
#if WHOLE_BLOCKS
    const uintptr_t into = (uintptr_t)s & 15;
    const __m128i *block = (const __m128i *)(const void *)(s - into), zero = _mm_setzero_si128();
    unsigned ends = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(_mm_load_si128(block), zero));
    if ((ends >>= into))
        return (size_t)__builtin_ctz(ends);
    ends = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(_mm_load_si128(block + 1), zero));
    if (ends)
        return 16 - into + (size_t)__builtin_ctz(ends);
#endif
    return strnlen(s, LONGEST_ID + 1);
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
    /* Texts that are not there never became a hint. */
    const struct named_use *u = atomic_load_explicit(&p->hints[hint_of(a)], memory_order_acquire);
    if (!u || !a->recipient || !a->purpose || !a->category)
        return NULL;
    bool same = strcmp(u->category, a->category) == 0 && strcmp(u->purpose, a->purpose) == 0 &&
                strcmp(u->recipient, a->recipient) == 0;
    return same ? u : NULL;
}

INLINE const struct named_use *use_prepared(const struct reading_policy *p, struct lov_question *q)
{
    const struct named_use *u = atomic_load_explicit(&q->use, memory_order_acquire);
    return u && u->policy == p ? u : NULL;
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

/* What took several looks to find out holds for the rest of a second: that the server lives, in
 * this start of the machine. So the usual decision looks at no clock but time(3), which is one
 * word, and is true of every instant in that second. */
struct usual_view {
    const struct reading_policy *policy;
    const struct named_use *named;
    int64_t from, until, at;
};

/* False where anything is not as usual, or is to be said more exactly. `prepared` is known where
 * this is inlined: the question is one, or the texts are to be compared. */
INLINE bool take_usual_view(const struct mapping *m, const struct asking *a, bool prepared,
                            struct usual_view *v)
{
    enum { LATEST_MS = 1000 + PERMIT_BEAT_MS + 10 }; /* `at` below, at most, after its second */
    const struct permit_header *h = m->map.header;
    const int64_t second = time(NULL), start = second * 1000;
    if (atomic_load_explicit(&h->state, memory_order_acquire) != PERMIT_LIVE ||
        second != atomic_load_explicit(&m->second, memory_order_relaxed) ||
        /* The same second may come twice, when the wall clock is set back: not to the heart. */
        word_get(&h->heartbeat) - atomic_load_explicit(&m->beat, memory_order_relaxed) >
            PERMIT_DEAD_NS ||
        start + PERMIT_CLOCK_BACK_MS < atomic_load_explicit(&h->latest, memory_order_relaxed))
        return false;
    v->policy = atomic_load_explicit(&m->policy, memory_order_acquire);
    if (!v->policy || v->policy->epoch != atomic_load_explicit(&h->epoch, memory_order_acquire))
        return false;
    v->named = prepared ? use_prepared(v->policy, a->question) : use_asked(v->policy, a);
    v->from = a->at ? a->at : start;
    v->until = a->at ? a->at : start + LATEST_MS;
    v->at = a->at ? a->at : atomic_load_explicit(&h->now, memory_order_relaxed) + PERMIT_BEAT_MS;
    return v->named && v->until < v->named->usable_until;
}

/* Makes the next decisions of this second usual ones. */
static void remember_second(const struct lov *lov, struct mapping *m, int64_t second)
{
    uint64_t beat = word_get(&m->map.header->heartbeat);
    /* Alive enough to count as that until the second is over. */
    if (!is_alive(lov, m, permit_ticks(), PERMIT_DEAD_NS - 1000000000))
        return;
    atomic_store_explicit(&m->beat, beat, memory_order_relaxed);
    atomic_store_explicit(&m->second, second, memory_order_relaxed);
}

static void take_view(struct lov *lov, const struct asking *a, struct view *v)
{
    int64_t second = time(NULL), now = permit_now();
    *v = (struct view){.reason = LOV_UNAVAILABLE, .at = a->at ? a->at : now};
    v->m = live_mapping(lov);
    if (!v->m || !clock_is_sane(v->m, now))
        return;
    if (second != atomic_load_explicit(&v->m->second, memory_order_relaxed))
        remember_second(lov, v->m, second);
    v->policy = handle_policy(lov, v->m);
    if (!v->policy || !v->policy->image)
        return;
    v->image = v->policy->image;
    v->reason =
        permit_policy(v->image, text(a->recipient, LONGEST_NAME), text(a->purpose, LONGEST_NAME),
                      text(a->category, LONGEST_NAME), v->at, &v->use);
    if (v->reason == LOV_PERMITTED)
        remember(v->policy, a, v->use);
}

INLINE bool is_still(const struct mapping *m, const struct reading_policy *p)
{
    /* The reads of the table come before these. */
    atomic_thread_fence(memory_order_acquire);
    const struct permit_header *h = m->map.header;
    return word_get(&h->epoch) == p->epoch && word_get(&h->state) == PERMIT_LIVE;
}

static bool still_holds(const struct view *v)
{
    return !v->m || !v->policy || is_still(v->m, v->policy);
}

/* ---- deciding ---- */

static void decide_one(const struct view *v, const struct hash128 *lookup, struct lov_decision *out)
{
    if (v->reason == LOV_PERMITTED)
        permit_decide(&v->m->map, v->image, v->use, lookup, v->at, out);
    else
        *out = permit_denied(v->reason, v->image, v->at);
}

INLINE bool decide_usually(const struct mapping *m, const struct usual_view *v,
                           struct cmac_words lookup, struct lov_decision *out)
{
    return permit_usual(&m->map, &v->named->usual, (uint32_t)lookup.low, lookup.high, v->from,
                        v->until, v->at, out);
}

/* Whatever is not as usual. */
static int decide_anew(struct lov *lov, const struct asking *a, const char *consumer,
                       struct lov_decision *out)
{
    struct lov_decision own;
    bool holds = false;
    if (!out)
        out = &own;
    for (int i = 0; lov && i < TRIES && !holds; i++) {
        struct view v;
        struct hash128 lookup = {{0}};
        take_view(lov, a, &v);
        if (v.reason == LOV_PERMITTED) {
            struct str id = text(consumer, LONGEST_ID);
            lookup = cmac_short(&v.m->lookup_key, id.p, id.n);
        }
        decide_one(&v, &lookup, out);
        holds = still_holds(&v);
    }
    if (!holds)
        *out = permit_denied(LOV_UNAVAILABLE, NULL, a->at);
    return out->permit;
}

/* True: permitted, as *out says. */
INLINE bool decide(struct lov *lov, const struct asking *a, bool prepared, const char *consumer,
                   struct lov_decision *out)
{
    struct usual_view v;
    const struct mapping *m = atomic_load_explicit(&lov->mapping, memory_order_acquire);
    const struct cmac_words lookup = cmac_words(&m->lookup_key, consumer, id_length(consumer));
    return take_usual_view(m, a, prepared, &v) && decide_usually(m, &v, lookup, out) &&
           is_still(m, v.policy);
}

APART int decide_named_anew(struct lov *lov, const char *recipient, const char *purpose,
                            const char *category, const char *consumer, int64_t at,
                            struct lov_decision *out)
{
    const struct asking a = {recipient, purpose, category, NULL, at};
    return decide_anew(lov, &a, consumer, out);
}

int lov_decide(struct lov *lov, const char *recipient, const char *purpose, const char *category,
               const char *consumer, int64_t at, struct lov_decision *out)
{
    const struct asking a = {recipient, purpose, category, NULL, at};
    if (__builtin_expect(lov && consumer && out && decide(lov, &a, false, consumer, out), 1))
        return 1;
    return decide_named_anew(lov, recipient, purpose, category, consumer, at, out);
}

/* Has every line on its way before the first is looked at, and then the next lines of those who are
 * not at home. In loops this short, so that the processor has as many reads under way as it can. */
INLINE void fetch_lines(const struct permit_map *map, const struct cmac_words *lookup, size_t count)
{
    const _Atomic uint64_t *line[BATCH];
    uint64_t lines;
    const _Atomic uint64_t *table = permit_table(map, &lines);
    for (size_t i = 0; table && i < count; i++) {
        line[i] = table + home_of((uint32_t)lookup[i].low, lines) * LINE_WORDS;
        __builtin_prefetch((const void *)line[i]);
    }
    for (size_t i = 0; table && i < count; i++) {
        uint64_t one = word_get(line[i] + 1) ^ lookup[i].high,
                 two = word_get(line[i] + 2) ^ lookup[i].high;
        bool home = opaque((one == 0) | (two == 0));
        __builtin_prefetch((const void *)(line[i] + (home ? 0 : LINE_WORDS)));
    }
}

/* One batch under one view: first every line is asked for, then each is read. Returns how many are
 * permitted; who is not is decided anew, with all there is to say about it. */
static size_t decide_batch(struct lov *lov, const struct asking *a, const char *const *consumers,
                           size_t count, struct lov_decision *out)
{
    const struct mapping *m = atomic_load_explicit(&lov->mapping, memory_order_acquire);
    struct cmac_words lookup[BATCH];
    struct usual_view v;
    size_t permits = 0;
    uint64_t usual = 0; /* a bit each */
    for (size_t i = 0; i < count; i++) {
        const char *id = consumers[i] ? consumers[i] : "";
        lookup[i] = cmac_words(&m->lookup_key, id, id_length(id));
    }
    fetch_lines(&m->map, lookup, count);
    if (a->question ? take_usual_view(m, a, true, &v) : take_usual_view(m, a, false, &v)) {
        for (size_t i = 0; i < count; i++)
            usual |= (uint64_t)decide_usually(m, &v, lookup[i], &out[i]) << i;
        if (!is_still(m, v.policy))
            usual = 0;
    }
    permits = (size_t)__builtin_popcountll(usual);
    for (size_t i = 0; permits < count && i < count; i++)
        if (!(usual >> i & 1))
            permits += (size_t)decide_anew(lov, a, consumers[i], &out[i]);
    return permits;
}

static size_t decide_many(struct lov *lov, const struct asking *a, const char *const *consumers,
                          size_t count, struct lov_decision *out)
{
    size_t permits = 0;
    if (!out || (count && !consumers))
        return 0;
    for (size_t i = 0; !lov && i < count; i++)
        out[i] = permit_denied(LOV_UNAVAILABLE, NULL, a->at);
    for (size_t from = 0; lov && from < count; from += BATCH) {
        size_t n = count - from < BATCH ? count - from : BATCH;
        permits += decide_batch(lov, a, consumers + from, n, out + from);
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

APART int ask_anew(struct lov_question *q, const char *consumer, int64_t at,
                   struct lov_decision *out)
{
    const struct asking a = q ? asked_by(q, at) : (struct asking){.at = at};
    return decide_anew(q ? q->lov : NULL, &a, consumer, out);
}

int lov_ask(struct lov_question *q, const char *consumer, int64_t at, struct lov_decision *out)
{
    const struct asking a = {.question = q, .at = at};
    if (__builtin_expect(q && consumer && out && decide(q->lov, &a, true, consumer, out), 1))
        return 1;
    return ask_anew(q, consumer, at, out);
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
