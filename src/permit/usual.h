/*
 * usual.h - the most frequent decision, in as few instructions as it can be said: a consent that was
 * given, covers the category, has not ended, under a notice that suffices, by somebody who is old
 * enough beyond doubt. Whatever is not exactly so is left to permit_decide(), so this adds no rule:
 * where it says yes, permit_decide() says the same of every instant from `from` to `until`
 * (test_the_usual_way_says_nothing_else).
 *
 * A processor looks some 400 instructions ahead of a read of memory that it waits for. How many
 * decisions wait at once, and so how fast they are, is how often this fits in there.
 */
#ifndef LOV_PERMIT_USUAL_H
#define LOV_PERMIT_USUAL_H

#include "base/civil.h"
#include "permit/permit.h"

/* What a term must be for a use: (first word & mask) == want. */
struct usual {
    uint64_t mask, want;
};

static inline struct usual usual_of(const struct image_use *use)
{
    const uint64_t position = (uint64_t)1 << (32 + (use->key & ((1U << GROUP_BITS) - 1)));
    const uint64_t state = (uint64_t)0xFF << 48;
    _Static_assert(offsetof(struct permit_term, state) == 6 && PERMIT_GIVEN == 0, "a zero byte");
    return (struct usual){UINT32_MAX | position | state, (use->key >> GROUP_BITS) | position};
}

/* True and *out with `at`, or false: to be decided by permit_decide(). The use must have a notice. */
static inline __attribute__((always_inline)) bool
permit_usual(const struct permit_map *m, const struct image *image, const struct image_use *use,
             struct usual usual, const struct hash128 *lookup, int64_t from, int64_t until,
             int64_t at, struct lov_decision *out)
{
    enum { LOOKED_AT = 8, BASIS_CONSENT = 1 };
    const struct permit_header *h = m->header;
    const uint64_t g = atomic_load_explicit(&h->generation, memory_order_acquire);
    const uint64_t lines = word_get(&h->lines[g & 1]), tag = lookup_tag(lookup);
    if (lines + PERMIT_SLACK > m->table_lines[g & 1] || lines > UINT32_MAX)
        return false;
    const _Atomic uint64_t *line =
        m->table[g & 1] + home_of(lookup_address(lookup), lines) * LINE_WORDS;
    const _Atomic uint64_t *const end = line + (ptrdiff_t)LOOKED_AT * LINE_WORDS;
    uint64_t w0;
    bool first;
    for (;; line += LINE_WORDS) {
        w0 = atomic_load_explicit(line, memory_order_acquire);
        first = word_get(line + 1) == tag;
        if ((int)first | (int)(word_get(line + 2) == tag))
            break;
        if (!(word_get(line + 4) >> 32 & ATTR_USED) || line == end)
            return false;
    }
    const int entry = !first;
    const uint64_t attributes = word_get(line + 3 + entry) >> 32, word = word_get(line + 5 + entry);
    const uint64_t residence = attributes >> RESIDENCE_SHIFT & RESIDENCE_WIDE;
    const uint64_t born = attributes >> BORN_SHIFT, term = word & ((1U << TERM_BITS) - 1);
    if ((attributes & (ATTR_USED | ATTR_PERMIT | ATTR_ERASED | ATTR_RESTRICTED)) !=
            (ATTR_USED | ATTR_PERMIT) ||
        residence == RESIDENCE_WIDE || residence >= image->residences.count || born == BORN_WIDE ||
        term >= m->term_limit)
        return false;
    const uint64_t low = word_get(m->terms + term * TERM_WORDS);
    const uint64_t high = word_get(m->terms + term * TERM_WORDS + 1);
    const uint64_t ends = (w0 >> (32 + 16 * entry) & 0xFFFF) << 32 |
                          (word_get(line + 7) >> (32 * entry) & UINT32_MAX);
    const struct image_residence r =
        IMAGE_AT(image, residences, struct image_residence)[residence];
    const int64_t adult = (int64_t)born - 1 + BORN_FIRST + (r.guardian_below + 1) * 366;
    if ((low & usual.mask) != usual.want || (uint32_t)high != use->notice ||
        (int32_t)(high >> 32) < use->notice_from || (int64_t)ends <= until ||
        IMAGE_AT(image, bases, uint8_t)[use->bases + (uint32_t)r.law] != BASIS_CONSENT ||
        (born != 0 && adult * DAY_MS > from))
        return false;
    *out = (struct lov_decision){
        .permit = 1,
        .reason = LOV_PERMITTED,
        .basis = BASIS_CONSENT,
        .law = r.law,
        .activity = (int32_t)use->activity,
        .policy_version = (int32_t)image->version,
        .consent = (int64_t)(word >> TERM_BITS),
        .at = at,
    };
    /* As in read.c. */
    atomic_thread_fence(memory_order_acquire);
    return !(w0 & 1) && word_get(line) == w0 && word_get(&h->generation) == g;
}

#endif
