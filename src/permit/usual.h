/*
 * usual.h - the most frequent decision, in as few instructions as it can be said: a consent that
 * was given, covers the category, has not ended, under a notice that suffices, by somebody who is
 * old enough beyond doubt. Whatever is not exactly so is left to permit_decide(), so this adds no
 * rule: where it says yes, permit_decide() says the same of every instant from `from` to `until`
 * (test_the_usual_way_says_nothing_else).
 *
 * A processor looks some 400 instructions ahead of a read of memory that it waits for. How many
 * decisions wait at once, and so how fast they are, is how often this fits in there.
 */
#ifndef LOV_PERMIT_USUAL_H
#define LOV_PERMIT_USUAL_H

#include "base/civil.h"
#include "permit/permit.h"

/* What of policy the usual decision needs, found once for each use. */
struct usual {
    uint64_t mask, want; /* what a term must be: (first word & mask) == want */
    uint32_t notice, residence_count;
    int32_t notice_from;
    int32_t activity, version;
    const struct image_residence *residences; /* the first of them, none that is not in an entry */
    const uint8_t *bases;                     /* by law */
};

static inline struct usual usual_of(const struct image *image, const struct image_use *use)
{
    const uint64_t position = (uint64_t)1 << (32 + (use->key & ((1U << GROUP_BITS) - 1)));
    const uint64_t state = (uint64_t)0xFF << 48;
    const uint32_t count = image->residences.count;
    _Static_assert(offsetof(struct permit_term, state) == 6 && PERMIT_GIVEN == 0, "a zero byte");
    return (struct usual){
        .mask = UINT32_MAX | position | state,
        /* Without a notice no consent suffices, and no group is that of a term then. */
        .want = use->notice_from == INT32_MAX ? UINT64_MAX : (use->key >> GROUP_BITS) | position,
        .notice = use->notice,
        .notice_from = use->notice_from,
        .activity = (int32_t)use->activity,
        .version = (int32_t)image->version,
        .residence_count = count < RESIDENCE_WIDE ? count : RESIDENCE_WIDE,
        .residences = IMAGE_AT(image, residences, struct image_residence),
        .bases = IMAGE_AT(image, bases, uint8_t) + use->bases,
    };
}

/* Tells the compiler nothing about it: what is decided by memory must not become two branches. */
static inline bool opaque(bool v)
{
    unsigned word = v;
    __asm__("" : "+r"(word));
    return word;
}

/* True and *out with `at`, or false: to be decided by permit_decide(). */
static inline __attribute__((always_inline)) bool
permit_usual(const struct permit_map *m, const struct usual *u, uint32_t address, uint64_t tag,
             int64_t from, int64_t until, int64_t at, struct lov_decision *out)
{
    enum { LOOKED_AT = 8, BY_CONSENT = 1 };
    const struct permit_header *h = m->header;
    const uint64_t g = atomic_load_explicit(&h->generation, memory_order_acquire);
    const uint64_t lines = word_get(&h->lines[g & 1]);
    if (lines >= m->table_homes[g & 1])
        return false;
    const _Atomic uint64_t *line = m->table[g & 1] + home_of(address, lines) * LINE_WORDS;
    const _Atomic uint64_t *const end = line + (ptrdiff_t)LOOKED_AT * LINE_WORDS;
    uint64_t w0;
    int entry;
    for (;; line += LINE_WORDS) {
        w0 = atomic_load_explicit(line, memory_order_acquire);
        bool first = word_get(line + 1) == tag, second = word_get(line + 2) == tag;
        entry = !opaque(first);
        if (opaque(first | second))
            break;
        if (!(word_get(line + 4) >> 32 & ATTR_USED) || line == end)
            return false;
    }
    const uint64_t attributes = word_get(line + 3 + entry) >> 32, word = word_get(line + 5 + entry);
    const uint64_t residence = attributes >> RESIDENCE_SHIFT & RESIDENCE_WIDE;
    const uint64_t born = attributes >> BORN_SHIFT, term = word & ((1U << TERM_BITS) - 1);
    if ((attributes & (ATTR_USED | ATTR_PERMIT | ATTR_ERASED | ATTR_RESTRICTED | ATTR_HUMAN)) !=
            (ATTR_USED | ATTR_PERMIT) ||
        residence >= u->residence_count || born == BORN_WIDE || term >= m->term_limit)
        return false;
    const uint64_t low = word_get(m->terms + term * TERM_WORDS);
    const uint64_t high = word_get(m->terms + term * TERM_WORDS + 1);
    const uint64_t ends = (w0 >> (32 + 16 * entry) & 0xFFFF) << 32 |
                          (word_get(line + 7) >> (32 * entry) & UINT32_MAX);
    const struct image_residence r = u->residences[residence];
    const int64_t adult = (int64_t)born - 1 + BORN_FIRST + ((int64_t)r.guardian_below + 1) * 366;
    if ((low & u->mask) != u->want || (uint32_t)high != u->notice ||
        (int32_t)(high >> 32) < u->notice_from || (int64_t)ends <= until ||
        u->bases[r.law] != BY_CONSENT || (born != 0 && adult * DAY_MS > from))
        return false;
    /* Field by field: as a whole it becomes an instruction that nothing overtakes. */
    out->permit = 1;
    out->reason = LOV_PERMITTED;
    out->basis = BY_CONSENT;
    out->law = r.law;
    out->activity = u->activity;
    out->policy_version = u->version;
    out->consent = (int64_t)(word >> TERM_BITS);
    out->at = at;
    out->shard = 0;
    out->no_automated_decision = 0;
    for (size_t i = 0; i < sizeof out->reserved / sizeof *out->reserved; i++)
        out->reserved[i] = 0;
    /* As in read.c. */
    atomic_thread_fence(memory_order_acquire);
    return !(w0 & 1) && word_get(line) == w0 && word_get(&h->generation) == g;
}

#endif
