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

/* ---- what is asked ---- */

struct lov_question {
    struct lov *lov;
    char *names[3];
    _Atomic(struct named_use *) use; /* in the policy as it was last; NULL: none */
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
#define LIKELY(condition) __builtin_expect(!!(condition), 1)

INLINE struct str text(const char *s, size_t most)
{
    return s ? (struct str){s, strnlen(s, most + 1)} : (struct str){"", 0};
}

/* The keyed hash of an id; of what is longer than any, that of an id that nobody has. */
APART cmac_vector hash_any(const struct cmac_key *k, const char *id)
{
    return cmac_vector_of(cmac_words(k, id, strnlen(id, LONGEST_ID + 1)));
}

/* Where a policy remembers what is asked with these texts. */
INLINE size_t hint_of(const struct asking *a)
{
    uint64_t mixed =
        (uintptr_t)a->recipient + (uintptr_t)a->purpose * 5 + (uintptr_t)a->category * 25;
    return (size_t)(mixed * 0x9E3779B97F4A7C15u >> 58) % HINTS;
}

APART bool are_named_long(const struct named_use *u, const struct asking *a)
{
    return strcmp(u->names[2].text, a->category) == 0 &&
           strcmp(u->names[1].text, a->purpose) == 0 && strcmp(u->names[0].text, a->recipient) == 0;
}

#if CMAC_WHOLE_BLOCKS
/* What is not the same in a text and a name. */
INLINE __m128i differs(const struct named_text *name, const char *asked)
{
    const __m128i *ends = (const __m128i *)(const void *)name->ends;
    __m128d v = _mm_load_sd((const double *)(const void *)asked);
    v = _mm_loadh_pd(v, (const double *)(const void *)(asked + name->last_at));
    return _mm_xor_si128(_mm_castpd_si128(v), *ends);
}
#endif

/* False: they are other ones, or to be compared in the long way. */
INLINE bool are_named(const struct named_use *u, const struct asking *a)
{
#if CMAC_WHOLE_BLOCKS
    /* A text that is another one may be shorter than what is read, which lies in the same page. */
    enum { PAGE = 4096, MOST = 15 };
    const uintptr_t r = (uintptr_t)a->recipient, p = (uintptr_t)a->purpose,
                    c = (uintptr_t)a->category;
    const uintptr_t crossed = (r ^ (r + MOST)) | (p ^ (p + MOST)) | (c ^ (c + MOST));
    if (!u->are_short || crossed & PAGE)
        return false;
    const __m128i differ = _mm_or_si128(
        _mm_or_si128(differs(&u->names[0], a->recipient), differs(&u->names[1], a->purpose)),
        differs(&u->names[2], a->category));
    return _mm_movemask_epi8(_mm_cmpeq_epi8(differ, _mm_setzero_si128())) == 0xFFFF;
#else
    (void)u, (void)a;
    return false;
#endif
}

/* What may be asked, in the policy as it was lately; NULL where nothing like it was. */
INLINE struct named_use *hint_at(const struct mapping *m, const struct asking *a)
{
    const struct reading_policy *p = atomic_load_explicit(&m->policy, memory_order_acquire);
    struct named_use *u =
        p ? atomic_load_explicit(&p->hints[hint_of(a)], memory_order_acquire) : NULL;
    /* Texts that are not there never became a hint, but may lead to another's. */
    return u && a->recipient && a->purpose && a->category ? u : NULL;
}

/* What is asked; NULL where that is not known at once. */
static struct named_use *use_of(const struct mapping *m, const struct asking *a)
{
    if (a->question)
        return atomic_load_explicit(&a->question->use, memory_order_acquire);
    struct named_use *u = hint_at(m, a);
    return u && (are_named(u, a) || are_named_long(u, a)) ? u : NULL;
}

static void remember(const struct reading_policy *p, const struct asking *a,
                     const struct image_use *use)
{
    struct named_use *u = &p->named[use - IMAGE_AT(p->image, uses, struct image_use)];
    if (a->question)
        atomic_store_explicit(&a->question->use, u, memory_order_release);
    else
        atomic_store_explicit(&((struct reading_policy *)(uintptr_t)p)->hints[hint_of(a)], u,
                              memory_order_release);
}

/* ---- what is usual ---- */

/* What took several looks to find out holds for the rest of a second: that the server lives, in
 * this start of the machine. So the usual decision looks at no clock but the second of time(3),
 * which is one word, and is true of every instant in that second. The same second may come twice,
 * when the wall clock is set back: the same heartbeat does not. */
struct usual_view {
    struct named_use *named;
    const _Atomic uint64_t *table;
    uint64_t turn, lines;
    uint32_t ends;
};

/* False where anything is not as usual, or is to be said more exactly. `u` is of the policy that
 * was the mapping's lately; whether `at` is 0 is known where this is inlined. */
INLINE bool take_usual_view(const struct mapping *m, struct named_use *u, int64_t at,
                            int64_t second, struct usual_view *v)
{
    const struct permit_header *h = m->map.header;
    const struct ready *r = &m->ready;
    /* First: who sees the turn sees its table and policy, or those of a later one, which the last
     * look at the turn finds out. */
    v->turn = atomic_load_explicit(&r->turn, memory_order_acquire);
    if (v->turn != atomic_load_explicit(&h->turn, memory_order_acquire) ||
        second != atomic_load_explicit(&r->second, memory_order_relaxed) ||
        word_get(&h->heartbeat) != word_get(&r->beat) ||
        u->policy != atomic_load_explicit(&m->policy, memory_order_acquire))
        return false;
    v->named = u;
    v->table = atomic_load_explicit(&r->table, memory_order_acquire);
    v->lines = atomic_load_explicit(&r->lines, memory_order_acquire);
    v->ends = atomic_load_explicit(&r->ends, memory_order_relaxed);
    if (!at)
        return atomic_load_explicit(&r->until, memory_order_relaxed) < u->usable_until;
    v->ends = usual_ends(at);
    return at < u->usable_until && at >= u->usual.grown && at < USUAL_LAST;
}

/* What a usual decision says that it is for. */
INLINE int64_t usual_at(const struct mapping *m, int64_t at)
{
    return at ? at : atomic_load_explicit(&m->ready.at, memory_order_relaxed);
}

static bool clock_is_sane(const struct mapping *m, int64_t now)
{
    return now + PERMIT_CLOCK_BACK_MS >=
           atomic_load_explicit(&m->map.header->latest, memory_order_relaxed);
}

/* Makes the next decisions of this second usual ones. */
static void make_ready(const struct lov *lov, struct mapping *m)
{
    enum { LATEST_MS = 1000 + PERMIT_BEAT_MS + 10 }; /* after the second began */
    const struct permit_header *h = m->map.header;
    struct ready *r = &m->ready;
    /* Not the handle's lock, which a child of fork(2) would find taken by a thread that it does not
     * have: here it only goes on in the long way. */
    if (atomic_exchange_explicit(&r->taken, true, memory_order_acquire))
        return;
    const uint64_t turn = atomic_load_explicit(&h->turn, memory_order_acquire);
    const uint64_t beat = word_get(&h->heartbeat);
    const int64_t beat_at = atomic_load_explicit(&h->now, memory_order_relaxed);
    const int64_t second = time(NULL), start = second * 1000;
    const struct reading_policy *p = atomic_load_explicit(&m->policy, memory_order_acquire);
    uint64_t lines;
    const _Atomic uint64_t *table = permit_table(&m->map, &lines);
    /* Alive enough to count as that until the second is over. */
    bool in_order = is_alive(lov, m, permit_ticks(), PERMIT_DEAD_NS - 1000000000) &&
                    clock_is_sane(m, start) && table && turn != 0 && p && p->image &&
                    start >= p->grown &&
                    p->epoch == atomic_load_explicit(&h->epoch, memory_order_acquire);
    atomic_thread_fence(memory_order_acquire);
    if (in_order && word_get(&h->turn) == turn) {
        atomic_store_explicit(&r->table, table, memory_order_release);
        atomic_store_explicit(&r->lines, lines, memory_order_release);
        atomic_store_explicit(&r->at, beat_at + PERMIT_BEAT_MS, memory_order_relaxed);
        atomic_store_explicit(&r->until, start + LATEST_MS, memory_order_relaxed);
        atomic_store_explicit(&r->ends, usual_ends(start + LATEST_MS), memory_order_relaxed);
        atomic_store_explicit(&r->second, second, memory_order_relaxed);
        atomic_store_explicit(&r->beat, beat, memory_order_relaxed);
        atomic_store_explicit(&r->turn, turn, memory_order_release);
    }
    atomic_store_explicit(&r->taken, false, memory_order_release);
}

static bool is_ready(const struct mapping *m, int64_t second)
{
    const struct permit_header *h = m->map.header;
    return word_get(&m->ready.turn) == word_get(&h->turn) &&
           word_get(&m->ready.beat) == word_get(&h->heartbeat) &&
           atomic_load_explicit(&m->ready.second, memory_order_relaxed) == second;
}

static void take_view(struct lov *lov, const struct asking *a, struct view *v)
{
    int64_t now = permit_now();
    *v = (struct view){.reason = LOV_UNAVAILABLE, .at = a->at ? a->at : now};
    v->m = live_mapping(lov);
    if (!v->m || !clock_is_sane(v->m, now))
        return;
    v->policy = handle_policy(lov, v->m);
    if (!v->policy || !v->policy->image)
        return;
    if (!is_ready(v->m, time(NULL)))
        make_ready(lov, v->m);
    v->image = v->policy->image;
    v->reason =
        permit_policy(v->image, text(a->recipient, LONGEST_NAME), text(a->purpose, LONGEST_NAME),
                      text(a->category, LONGEST_NAME), v->at, &v->use);
    if (v->reason == LOV_PERMITTED)
        remember(v->policy, a, v->use);
}

static bool still_holds(const struct view *v)
{
    if (!v->m || !v->policy)
        return true;
    /* The reads of the table come before these. */
    atomic_thread_fence(memory_order_acquire);
    const struct permit_header *h = v->m->map.header;
    return word_get(&h->epoch) == v->policy->epoch && word_get(&h->state) == PERMIT_LIVE;
}

/* ---- deciding ---- */

static void decide_one(const struct view *v, const struct hash128 *lookup, struct lov_decision *out)
{
    if (v->reason == LOV_PERMITTED)
        permit_decide(&v->m->map, v->image, v->use, lookup, v->at, out);
    else
        *out = permit_denied(v->reason, v->image, v->at);
}

INLINE bool decide_usually(const struct mapping *m, const struct usual_view *v, int64_t at,
                           bool alone, bool at_once, cmac_vector lookup, struct lov_decision *out)
{
    const uint32_t address = (uint32_t)cmac_words_of(lookup).low;
    const _Atomic uint64_t *home = v->table + home_of(address, v->lines) * LINE_WORDS;
    /* Every fourth consumer is in the next line, or behind it. */
    if (alone)
        __builtin_prefetch((const void *)(home + LINE_WORDS));
    if (!permit_usual(&m->map, &v->named->usual, at_once, home, lookup, v->ends, out))
        return false;
    out->at = usual_at(m, at);
    return true;
}

INLINE bool is_still_turn(const struct mapping *m, uint64_t turn)
{
    /* The reads of the table come before this. */
    atomic_thread_fence(memory_order_acquire);
    return word_get(&m->map.header->turn) == turn;
}

/* For an id of more than 16 bytes, or a processor that lacks what the other way needs. */
static bool decide_long(const struct mapping *m, const struct asking *a, const char *id,
                        struct lov_decision *out)
{
    struct usual_view v;
    cmac_vector lookup;
    struct named_use *u = use_of(m, a);
    return u && !cmac_text(&m->lookup_key, id, &lookup) &&
           take_usual_view(m, u, a->at, time(NULL), &v) &&
           decide_usually(m, &v, a->at, true, false, hash_any(&m->lookup_key, id), out) &&
           is_still_turn(m, v.turn);
}

/* Whatever is not as usual. */
static int decide_anew(struct lov *lov, const struct asking *a, const char *consumer,
                       struct lov_decision *out)
{
    struct lov_decision own;
    bool holds = false;
    if (!out)
        out = &own;
    if (lov && consumer &&
        decide_long(atomic_load_explicit(&lov->mapping, memory_order_acquire), a, consumer, out))
        return 1;
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
INLINE bool decide(const struct lov *lov, struct named_use *u, const char *consumer, int64_t at,
                   struct lov_decision *out)
{
    /* First, since what is in registers does not outlive a call. */
    const int64_t second = time(NULL);
    const struct mapping *m = atomic_load_explicit(&lov->mapping, memory_order_acquire);
    cmac_vector lookup;
    struct usual_view v;
    return cmac_text(&m->lookup_key, consumer, &lookup) && take_usual_view(m, u, at, second, &v) &&
           decide_usually(m, &v, at, true, true, lookup, out) && is_still_turn(m, v.turn);
}

APART int decide_named_anew(struct lov *lov, const char *recipient, const char *purpose,
                            const char *category, const char *consumer, int64_t at,
                            struct lov_decision *out)
{
    const struct asking a = {recipient, purpose, category, NULL, at};
    if (lov && consumer && out) {
        struct named_use *u = use_of(atomic_load_explicit(&lov->mapping, memory_order_acquire), &a);
        if (u && decide(lov, u, consumer, at, out))
            return 1;
    }
    return decide_anew(lov, &a, consumer, out);
}

/* What was asked for is known by its use, so that no texts need be kept. */
APART int decide_use_anew(struct lov *lov, struct named_use *u, const char *consumer,
                          struct lov_decision *out)
{
    const struct asking a = {u->names[0].text, u->names[1].text, u->names[2].text, NULL, 0};
    return decide_anew(lov, &a, consumer, out);
}

/* For now. */
APART int decide_use(struct lov *lov, struct named_use *u, const char *consumer,
                     struct lov_decision *out)
{
    if (LIKELY(decide(lov, u, consumer, 0, out)))
        return 1;
    return decide_use_anew(lov, u, consumer, out);
}

int lov_decide(struct lov *lov, const char *recipient, const char *purpose, const char *category,
               const char *consumer, int64_t at, struct lov_decision *out)
{
    if (LIKELY(!at) && LIKELY(lov) && LIKELY(consumer) && LIKELY(out)) {
        const struct asking a = {recipient, purpose, category, NULL, 0};
        struct named_use *u =
            hint_at(atomic_load_explicit(&lov->mapping, memory_order_acquire), &a);
        if (LIKELY(u) && LIKELY(are_named(u, &a)))
            return decide_use(lov, u, consumer, out);
    }
    return decide_named_anew(lov, recipient, purpose, category, consumer, at, out);
}

/* Has every line on its way before the first is looked at, and then the next lines of those who are
 * not at home. In loops this short, so that the processor has as many reads under way as it can. */
INLINE void fetch_lines(const struct permit_map *map, const cmac_vector *lookup, size_t count)
{
    const _Atomic uint64_t *line[BATCH];
    uint64_t lines;
    const _Atomic uint64_t *table = permit_table(map, &lines);
    for (size_t i = 0; table && i < count; i++) {
        line[i] = table + home_of((uint32_t)cmac_words_of(lookup[i]).low, lines) * LINE_WORDS;
        __builtin_prefetch((const void *)line[i]);
    }
    for (size_t i = 0; table && i < count; i++) {
        const uint64_t tag = cmac_words_of(lookup[i]).high;
        uint64_t one = word_get(line[i] + 1) ^ tag, two = word_get(line[i] + 2) ^ tag;
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
    cmac_vector lookup[BATCH];
    struct usual_view v;
    size_t permits = 0;
    uint64_t usual = 0; /* a bit each */
    for (size_t i = 0; i < count; i++) {
        const char *id = consumers[i] ? consumers[i] : "";
        if (!cmac_text(&m->lookup_key, id, &lookup[i]))
            lookup[i] = hash_any(&m->lookup_key, id);
    }
    fetch_lines(&m->map, lookup, count);
    struct named_use *u = use_of(m, a);
    if (u && take_usual_view(m, u, a->at, time(NULL), &v)) {
        if (m->lookup_key.hardware)
            for (size_t i = 0; i < count; i++)
                usual |= (uint64_t)decide_usually(m, &v, a->at, false, true, lookup[i], &out[i])
                         << i;
        else
            for (size_t i = 0; i < count; i++)
                usual |= (uint64_t)decide_usually(m, &v, a->at, false, false, lookup[i], &out[i])
                         << i;
        if (!is_still_turn(m, v.turn))
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
    struct named_use *u = q ? atomic_load_explicit(&q->use, memory_order_acquire) : NULL;
    if (at && u && consumer && out && decide(q->lov, u, consumer, at, out))
        return 1;
    return decide_anew(q ? q->lov : NULL, &a, consumer, out);
}

int lov_ask(struct lov_question *q, const char *consumer, int64_t at, struct lov_decision *out)
{
    if (LIKELY(!at) && LIKELY(q) && LIKELY(consumer) && LIKELY(out)) {
        struct named_use *u = atomic_load_explicit(&q->use, memory_order_acquire);
        if (LIKELY(u) && LIKELY(decide(q->lov, u, consumer, 0, out)))
            return 1;
        at = 0;
    }
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
