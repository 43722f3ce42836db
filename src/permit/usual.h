/*
 * usual.h - the most frequent decision, in as few instructions as it can be said: a consent that
 * was given, covers the category, has not ended, under a notice that suffices, by somebody who is
 * old enough beyond doubt. Whatever is not exactly so is left to permit_decide(), so this adds no
 * rule: where it says yes, permit_decide() says the same of every instant from `from` to `until`
 * (test_the_usual_way_says_nothing_else).
 *
 * A processor looks some 400 instructions ahead of a read of memory that it waits for, and holds
 * far fewer that wait for what was read. How many decisions wait at once, and so how fast they are,
 * is how often this fits in there.
 */
#ifndef LOV_PERMIT_USUAL_H
#define LOV_PERMIT_USUAL_H

#include "base/civil.h"
#include "base/cmac.h"
#include "permit/permit.h"

/* Reading two entries at once takes instructions that are there where the keyed hash has its own.
 * ThreadSanitizer sees atomic words alone. */
#if defined(__x86_64__) && CMAC_WHOLE_BLOCKS
#define USUAL_AT_ONCE 1
#else
#define USUAL_AT_ONCE 0
#endif

enum { USUAL_RESIDENCES = RESIDENCE_WIDE + 1, USUAL_TERMS = 256 };

/* What of policy the usual decision needs, found once for each use. */
_Static_assert(offsetof(struct lov_decision, reason) == 4 &&
                   offsetof(struct lov_decision, policy_version) ==
                       offsetof(struct lov_decision, activity) + 4 &&
                   offsetof(struct lov_decision, no_automated_decision) ==
                       offsetof(struct lov_decision, shard) + 4,
               "pairs");
struct usual {
    /* Of words 3 and 4: what born may be at most, in its place, and which attributes matter. */
    _Alignas(16) uint64_t most[ENTRIES];
    uint64_t looked_at[ENTRIES], attributes[ENTRIES];
    uint64_t mask, want; /* what a term must be: (first word & mask) == want */
    uint32_t notice;
    int32_t notice_from;
    uint64_t activity_version;      /* as they lie in a decision */
    int64_t grown;                  /* as of when `most` is right, and later more so: ms UTC */
    int16_t laws[USUAL_RESIDENCES]; /* by residence; -1: none that is usual */
    /* Terms that were found to be so, by their last bits, or UINT32_MAX. Terms never change while a
     * policy is in force. */
    _Atomic uint32_t terms[USUAL_TERMS];
};

/* The day (as in an entry) until which somebody was born who is old enough at `now`, whatever the
 * residence; 0: nobody but those whose day is not known, who need no guardian. */
static inline uint64_t usual_born(const struct image *image, int64_t now)
{
    const struct image_residence *r = IMAGE_AT(image, residences, struct image_residence);
    int64_t years = 0;
    for (uint32_t i = 0; i < image->residences.count; i++)
        years = r[i].guardian_below > years ? r[i].guardian_below : years;
    /* A year is at most 366 days, and one more is added. */
    int64_t last = now / DAY_MS - (years + 1) * 366 - BORN_FIRST + 1;
    return last < 0 ? 0 : last >= BORN_WIDE ? BORN_WIDE - 1 : (uint64_t)last;
}

/* Two numbers as they lie beside each other. */
static inline uint64_t pair_of(uint32_t first, uint32_t second)
{
    const uint32_t both[2] = {first, second};
    uint64_t v;
    memcpy(&v, both, sizeof v);
    return v;
}

/* For decisions at `grown` or later. */
static inline void usual_of(const struct image *image, const struct image_use *use, int64_t grown,
                            struct usual *out)
{
    enum { BY_CONSENT = 1 };
    const uint64_t position = (uint64_t)1 << (32 + (use->key & ((1U << GROUP_BITS) - 1)));
    const uint64_t state = (uint64_t)0xFF << 48;
    const struct image_residence *r = IMAGE_AT(image, residences, struct image_residence);
    const uint8_t *bases = IMAGE_AT(image, bases, uint8_t) + use->bases;
    const uint64_t born = usual_born(image, grown);
    _Static_assert(offsetof(struct permit_term, state) == 6 && PERMIT_GIVEN == 0, "a zero byte");
    for (int i = 0; i < ENTRIES; i++) {
        out->most[i] = born << (32 + BORN_SHIFT) | UINT64_MAX >> BORN_SHIFT;
        out->looked_at[i] =
            (uint64_t)(ATTR_USED | ATTR_PERMIT | ATTR_ERASED | ATTR_RESTRICTED | ATTR_HUMAN) << 32;
        out->attributes[i] = (uint64_t)(ATTR_USED | ATTR_PERMIT) << 32;
    }
    out->mask = UINT32_MAX | position | state;
    /* Without a notice no consent suffices, and no group is that of a term then. */
    out->want = use->notice_from == INT32_MAX ? UINT64_MAX : (use->key >> GROUP_BITS) | position;
    out->notice = use->notice;
    out->notice_from = use->notice_from;
    out->activity_version = pair_of(use->activity, image->version);
    out->grown = grown;
    for (uint32_t i = 0; i < USUAL_TERMS; i++)
        atomic_init(&out->terms[i], UINT32_MAX);
    for (uint32_t i = 0; i < USUAL_RESIDENCES; i++) {
        bool is = i < RESIDENCE_WIDE && i < image->residences.count && r[i].law <= INT16_MAX &&
                  bases[r[i].law] == BY_CONSENT;
        out->laws[i] = is ? (int16_t)r[i].law : -1;
    }
}

/* Tells the compiler nothing about it: what is decided by memory must not become two branches. */
static inline bool opaque(bool v)
{
    unsigned word = v;
    __asm__("" : "+r"(word));
    return word;
}

#define USUAL_INLINE static inline __attribute__((always_inline))

/* ---- the entry of a line that is usual, as far as the line says ---- */

USUAL_INLINE bool usual_entry(const _Atomic uint64_t *line, const struct usual *u,
                              cmac_vector lookup, uint32_t ends, unsigned *out)
{
    const uint64_t tag = cmac_words_of(lookup).high;
    bool first = word_get(line + 1) == tag, second = word_get(line + 2) == tag;
    unsigned entry = *out = !opaque(first);
    if (!opaque(first | second))
        return false;
    const uint64_t reference = word_get(line + 3 + entry), born = reference >> (32 + BORN_SHIFT);
    return (reference & u->looked_at[0]) == u->attributes[0] &&
           born <= u->most[0] >> (32 + BORN_SHIFT) &&
           entry_ends(line, (int)entry) >> ENDS_LOW_BITS >= ends;
}

/* The line that has somebody who is not at home; NULL: none, or too far away to be usual. */
static __attribute__((noinline, unused)) const _Atomic uint64_t *
usual_other(const _Atomic uint64_t *line, cmac_vector lookup)
{
    enum { LOOKED_AT = 16 };
    const uint64_t tag = cmac_words_of(lookup).high;
    for (int i = 0; i < LOOKED_AT; i++, line += LINE_WORDS) {
        const bool first = word_get(line + 1) == tag, second = word_get(line + 2) == tag;
        if (opaque(first | second))
            return i ? line : NULL;
        if (!(word_get(line + 4) >> 32 & ATTR_USED))
            return NULL;
    }
    return NULL;
}

/* The same for both entries at once. What waits for the line are a few instructions on vectors: of
 * others a processor holds fewer that wait. */
#if USUAL_AT_ONCE
USUAL_INLINE __m128i two_words(const _Atomic uint64_t *at)
{
    __m128i v;
    __asm__("movdqu %1, %0" : "=x"(v) : "m"(*(const __m128i_u *)(const void *)at));
    return v;
}

USUAL_INLINE __m128i are_equal(__m128i a, __m128i b)
{
    __asm__("pcmpeqq %1, %0" : "+x"(a) : "x"(b));
    return a;
}

USUAL_INLINE bool usual_entry_at_once(const _Atomic uint64_t *line, const struct usual *u,
                                      cmac_vector lookup, uint32_t ends, unsigned *out)
{
    const __m128i *most = (const __m128i *)(const void *)u->most;
    const __m128i *looked_at = (const __m128i *)(const void *)u->looked_at;
    const __m128i *attributes = (const __m128i *)(const void *)u->attributes;
    const __m128i found = are_equal(two_words(line + 1), _mm_shuffle_epi32(lookup, 0xEE));
    const __m128i reference = two_words(line + 3);
    const __m128i until = _mm_shuffle_epi32(
        _mm_loadl_epi64((const __m128i *)(const void *)(line + LINE_WORDS - 1)), 0x50);
    /* Numbers without a sign: the larger of two is the other, or is not. */
    __m128i later = _mm_set1_epi32((int)ends);
    __asm__("pmaxud %1, %0" : "+x"(later) : "x"(until));
    const __m128i wrong = _mm_xor_si128(_mm_and_si128(reference, *looked_at), *attributes);
    const __m128i right =
        are_equal(_mm_or_si128(_mm_subs_epu16(reference, *most), wrong), _mm_setzero_si128());
    const __m128i usual = _mm_and_si128(_mm_and_si128(found, _mm_cmpeq_epi32(later, until)), right);
    *out = (unsigned)_mm_movemask_pd(_mm_castsi128_pd(usual)) >> 1;
    return _mm_movemask_pd(_mm_castsi128_pd(usual)) != 0;
}
#else
#define usual_entry_at_once usual_entry
#endif

/* ---- the decision ---- */

/* Is a term so? A yes is remembered in its place, where the first one that comes stays. */
static __attribute__((noinline, unused)) bool usual_term(const struct permit_map *m,
                                                         struct usual *u, uint32_t term)
{
    _Atomic uint32_t *known = &u->terms[term % USUAL_TERMS];
    /* Acquire: who sees the count sees the terms. */
    if (term >= m->term_limit ||
        term >= atomic_load_explicit(&m->header->terms, memory_order_acquire))
        return false;
    const uint64_t low = word_get(m->terms + (uint64_t)term * TERM_WORDS);
    const uint64_t high = word_get(m->terms + (uint64_t)term * TERM_WORDS + 1);
    if ((low & u->mask) != u->want || (uint32_t)high != u->notice ||
        (int32_t)(high >> 32) < u->notice_from)
        return false;
    if (atomic_load_explicit(known, memory_order_relaxed) == UINT32_MAX)
        atomic_store_explicit(known, term, memory_order_relaxed);
    return true;
}

/* Until when a consent must hold to be beyond doubt, so that its end in word 7 can be compared: it
 * is that, or later. Of instants before USUAL_LAST. */
static const int64_t USUAL_LAST = (int64_t)1 << (EXPIRY_BITS - 1);
static inline uint32_t usual_ends(int64_t until)
{
    return (uint32_t)((uint64_t)until >> ENDS_LOW_BITS) + 1;
}

/* True and all of *out but `at`, or false: to be decided by permit_decide(). For every instant from
 * u->grown on to the one that `ends` was made of. `home` is the consumer's line. Who calls looks
 * before and after at what the table and the policy are. */
USUAL_INLINE bool permit_usual(const struct permit_map *m, struct usual *u, bool at_once,
                               const _Atomic uint64_t *home, cmac_vector lookup, uint32_t ends,
                               struct lov_decision *out)
{
    enum { BY_CONSENT = 1 };
    const _Atomic uint64_t *line = home;
    uint64_t w0;
    unsigned which;
    for (;;) {
        w0 = atomic_load_explicit(line, memory_order_acquire);
        if (__builtin_expect(at_once ? usual_entry_at_once(line, u, lookup, ends, &which)
                                     : usual_entry(line, u, lookup, ends, &which),
                             1))
            break;
        if (line != home || !(line = usual_other(home, lookup)))
            return false;
    }
    const _Atomic uint64_t *entry = line + which;
    const uint64_t reference = word_get(entry + 3), word = word_get(entry + 5);
    const uint32_t term = (uint32_t)word & ((1U << TERM_BITS) - 1);
    const int law = u->laws[reference >> (32 + RESIDENCE_SHIFT) & RESIDENCE_WIDE];
    if (__builtin_expect(law < 0, 0))
        return false;
    const _Atomic uint32_t *known = &u->terms[word % USUAL_TERMS];
    if (__builtin_expect(atomic_load_explicit(known, memory_order_relaxed) != term, 0) &&
        !usual_term(m, u, term))
        return false;
    /* Field by field: as a whole it becomes an instruction that nothing overtakes. */
    const uint64_t permitted = pair_of(1, LOV_PERMITTED), none = 0;
    memcpy(&out->permit, &permitted, sizeof permitted);
    out->basis = BY_CONSENT;
    out->law = law;
    memcpy(&out->activity, &u->activity_version, sizeof u->activity_version);
    out->consent = (int64_t)(word >> TERM_BITS);
    memcpy(&out->shard, &none, sizeof none);
    memset(out->reserved, 0, sizeof out->reserved);
    /* As in read.c. */
    atomic_thread_fence(memory_order_acquire);
    return !(w0 & 1) && word_get(line) == w0;
}

#endif
