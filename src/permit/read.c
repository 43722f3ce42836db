/* read.c - finding a consumer in the table. A line is read as a whole under its sequence counter: a
 * reader copies the words it needs and starts again when the counter moved meanwhile. Consumers
 * never move within a generation of the table, so lines may be looked at one after the other; when
 * the generation moved meanwhile, all starts again. Every number from the file is held to its
 * section before it is followed, since it may be half of an old one and half of a new one. */
#include "base/civil.h"
#include "permit/permit.h"

enum { PATIENCE = 1 << 20, LARGEST_BLOCK = 1 << 24 };

/* Whom we look for: by tag, or (for numbers) by ref or the number in the overflow block. */
struct wanted {
    uint64_t tag;
    uint32_t address, number, key;
};

enum look { LOOK_FOUND, LOOK_ON, LOOK_END, LOOK_AGAIN };

static void pause_a_little(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("yield");
#endif
}

static bool covers(const struct permit_term *t, uint32_t key)
{
    return t->group == key >> GROUP_BITS && (t->mask >> (key & ((1U << GROUP_BITS) - 1)) & 1);
}

static void take(const struct permit_term *t, int64_t expires_at, int64_t consent,
                 struct permit_answer *out)
{
    out->answered = true;
    out->state = t->state;
    out->by_guardian = t->by_guardian;
    out->notice = t->notice;
    out->notice_version = t->notice_version;
    out->expires_at = expires_at;
    out->consent = consent;
}

static void read_block(const struct permit_map *m, uint32_t ref, uint32_t key, bool wide_residence,
                       bool wide_born, struct permit_answer *out)
{
    if (ref >= m->overflow_units)
        return;
    const _Atomic uint64_t *unit = m->overflow + (uint64_t)ref * UNIT_WORDS;
    uint64_t head = word_get(unit), person = word_get(unit + 1);
    uint64_t count = head >> 32, most = m->overflow_units - ref - 1;
    out->number = (uint32_t)head;
    if (wide_residence)
        out->residence = (uint32_t)person;
    if (wide_born)
        out->born = (int32_t)(uint32_t)(person >> 32);
    for (uint64_t i = 0; i < count && i < most && i < LARGEST_BLOCK && !out->answered; i++) {
        unit += UNIT_WORDS;
        struct permit_term t = term_of(word_get(unit), word_get(unit + 1));
        if (covers(&t, key))
            take(&t, (int64_t)word_get(unit + 2), (int64_t)word_get(unit + 3), out);
    }
}

static void read_inline(const struct permit_map *m, const _Atomic uint64_t *line, int entry,
                        uint32_t key, struct permit_answer *out)
{
    uint64_t word = word_get(line + 5 + entry), term = word & ((1U << TERM_BITS) - 1);
    if (term >= m->term_limit)
        return;
    struct permit_term t =
        term_of(word_get(m->terms + term * TERM_WORDS), word_get(m->terms + term * TERM_WORDS + 1));
    if (!covers(&t, key))
        return;
    uint64_t expiry = entry_ends(line, entry);
    take(&t, expiry == EXPIRY_NEVER ? INT64_MAX : (int64_t)expiry, (int64_t)(word >> TERM_BITS),
         out);
}

static void read_entry(const struct permit_map *m, const _Atomic uint64_t *line, int entry,
                       const struct wanted *wanted, struct permit_answer *out)
{
    uint64_t word = word_get(line + 3 + entry);
    uint32_t attributes = (uint32_t)(word >> 32), ref = (uint32_t)word;
    uint32_t residence = attributes >> RESIDENCE_SHIFT & RESIDENCE_WIDE;
    uint32_t born = attributes >> BORN_SHIFT;
    bool overflow = attributes & ATTR_OVERFLOW;
    *out = (struct permit_answer){
        .erased = attributes & ATTR_ERASED,
        .restricted = attributes & ATTR_RESTRICTED,
        .opt_out_signal = attributes & ATTR_OPT_OUT,
        .no_automated_decision = attributes & ATTR_HUMAN,
        .residence = residence,
        .born = born ? (int32_t)born - 1 + BORN_FIRST : DAY_NONE,
        .address = wanted->address,
        .number = overflow ? UINT32_MAX : ref,
        .consent = -1,
    };
    if (attributes & ATTR_PERMIT)
        read_inline(m, line, entry, wanted->key, out);
    bool wide = residence == RESIDENCE_WIDE || born == BORN_WIDE;
    if (overflow && (!out->answered || wide))
        read_block(m, ref, wanted->key, residence == RESIDENCE_WIDE, born == BORN_WIDE, out);
}

static bool has_number(const struct permit_map *m, uint64_t word, uint32_t number)
{
    uint32_t ref = (uint32_t)word;
    if (!(word >> 32 & ATTR_OVERFLOW))
        return ref == number;
    return ref < m->overflow_units &&
           (uint32_t)word_get(m->overflow + (uint64_t)ref * UNIT_WORDS) == number;
}

/* Inlined for each of the two ways to look for somebody, so that the choice costs nothing. */
#define INLINE static inline __attribute__((always_inline))

INLINE enum look look_at(const struct permit_map *m, const _Atomic uint64_t *line,
                         const struct wanted *wanted, bool by_number, struct permit_answer *out)
{
    /* Acquire pairs with the release of the writer's last store to word 0: who sees that the change
     * is over sees the change. */
    uint64_t w0 = atomic_load_explicit(line, memory_order_acquire);
    uint64_t first = word_get(line + 3), second = word_get(line + 4);
    /* Which of the two it is can't be foreseen, so there is no branch on it. */
    bool in_first =
        by_number ? has_number(m, first, wanted->number) : word_get(line + 1) == wanted->tag;
    bool in_second =
        by_number ? has_number(m, second, wanted->number) : word_get(line + 2) == wanted->tag;
    bool used = first >> 32 & ATTR_USED, both = second >> 32 & ATTR_USED;
    enum look found = both ? LOOK_ON : LOOK_END;
    if ((int)(in_first & used) | (int)(in_second & both)) {
        found = LOOK_FOUND;
        read_entry(m, line, !(in_first & used), wanted, out);
    }
    /* The loads above stay before the second look at the counter; the fence pairs with the writer's
     * release fence after it made the counter odd. */
    atomic_thread_fence(memory_order_acquire);
    return (w0 & 1) == 0 && word_get(line) == w0 ? found : LOOK_AGAIN;
}

INLINE enum look look_through(const struct permit_map *m, uint64_t generation,
                              const struct wanted *wanted, bool by_number,
                              struct permit_answer *out)
{
    const struct permit_header *h = m->header;
    uint64_t lines = word_get(&h->lines[generation & 1]), most = m->table_lines[generation & 1];
    if (lines == 0 || lines > most || lines + PERMIT_SLACK > most)
        return LOOK_END;
    const _Atomic uint64_t *table = m->table[generation & 1];
    uint64_t at = home_of(wanted->address, lines);
    for (; at < lines + PERMIT_SLACK; at++) {
        enum look found = look_at(m, table + at * LINE_WORDS, wanted, by_number, out);
        if (found != LOOK_ON)
            return found;
    }
    return LOOK_END;
}

INLINE enum permit_found find(const struct permit_map *m, const struct wanted *wanted,
                              bool by_number, struct permit_answer *out)
{
    for (int i = 0; i < PATIENCE; i++) {
        /* Acquire pairs with the writer's release after the new table was filled. */
        uint64_t g = atomic_load_explicit(&m->header->generation, memory_order_acquire);
        enum look found = look_through(m, g, wanted, by_number, out);
        atomic_thread_fence(memory_order_acquire);
        if (found != LOOK_AGAIN && word_get(&m->header->generation) == g)
            return found == LOOK_FOUND ? PERMIT_SOMEBODY : PERMIT_NOBODY;
        pause_a_little();
    }
    return PERMIT_BUSY;
}

enum permit_found permit_find(const struct permit_map *m, const struct hash128 *lookup,
                              uint32_t key, struct permit_answer *out)
{
    const struct wanted wanted = {
        .tag = lookup_tag(lookup), .address = lookup_address(lookup), .key = key};
    return find(m, &wanted, false, out);
}

enum permit_found permit_find_number(const struct permit_map *m, uint32_t address, uint32_t number,
                                     uint32_t key, struct permit_answer *out)
{
    const struct wanted wanted = {.address = address, .number = number, .key = key};
    return find(m, &wanted, true, out);
}

/* ---- all of an entry ---- */

static void add_item(struct permit_record *out, struct permit_item *items, uint32_t room,
                     const struct permit_item *item)
{
    if (out->count < room)
        items[out->count] = *item;
    out->count++;
}

static void read_all_of_block(const struct permit_map *m, uint32_t ref, struct permit_record *out,
                              struct permit_item *items, uint32_t room)
{
    if (ref >= m->overflow_units)
        return;
    const _Atomic uint64_t *unit = m->overflow + (uint64_t)ref * UNIT_WORDS;
    uint64_t count = word_get(unit) >> 32, person = word_get(unit + 1);
    uint64_t most = m->overflow_units - ref - 1;
    out->residence = (uint32_t)person;
    out->born = (int32_t)(uint32_t)(person >> 32);
    for (uint64_t i = 0; i < count && i < most && i < LARGEST_BLOCK; i++) {
        unit += UNIT_WORDS;
        struct permit_item item = {
            .term = term_of(word_get(unit), word_get(unit + 1)),
            .expires_at = (int64_t)word_get(unit + 2),
            .consent = (int64_t)word_get(unit + 3),
        };
        add_item(out, items, room, &item);
    }
}

static void read_all_of_entry(const struct permit_map *m, const _Atomic uint64_t *line, int entry,
                              struct permit_record *out, struct permit_item *items, uint32_t room)
{
    uint64_t word = word_get(line + 3 + entry), held = word_get(line + 5 + entry);
    uint32_t attributes = (uint32_t)(word >> 32), born = attributes >> BORN_SHIFT;
    uint64_t term = held & ((1U << TERM_BITS) - 1);
    *out = (struct permit_record){
        .erased = attributes & ATTR_ERASED,
        .restricted = attributes & ATTR_RESTRICTED,
        .opt_out_signal = attributes & ATTR_OPT_OUT,
        .no_automated_decision = attributes & ATTR_HUMAN,
        .residence = attributes >> RESIDENCE_SHIFT & RESIDENCE_WIDE,
        .born = born ? (int32_t)born - 1 + BORN_FIRST : DAY_NONE,
    };
    if ((attributes & ATTR_PERMIT) && term < m->term_limit) {
        const _Atomic uint64_t *t = m->terms + term * TERM_WORDS;
        uint64_t expiry = entry_ends(line, entry);
        struct permit_item item = {
            .term = term_of(word_get(t), word_get(t + 1)),
            .expires_at = expiry == EXPIRY_NEVER ? INT64_MAX : (int64_t)expiry,
            .consent = (int64_t)(held >> TERM_BITS),
        };
        add_item(out, items, room, &item);
    }
    if (attributes & ATTR_OVERFLOW)
        read_all_of_block(m, (uint32_t)word, out, items, room);
}

static enum look look_at_all(const struct permit_map *m, const _Atomic uint64_t *line,
                             uint32_t number, struct permit_record *out, struct permit_item *items,
                             uint32_t room)
{
    enum look found = LOOK_ON;
    uint64_t w0 = atomic_load_explicit(line, memory_order_acquire); /* as in look_at() */
    for (int k = 0; k < ENTRIES && found == LOOK_ON; k++) {
        uint64_t word = word_get(line + 3 + k);
        if (!(word >> 32 & ATTR_USED)) {
            found = LOOK_END;
        } else if (has_number(m, word, number)) {
            found = LOOK_FOUND;
            read_all_of_entry(m, line, k, out, items, room);
        }
    }
    atomic_thread_fence(memory_order_acquire);
    return (w0 & 1) == 0 && word_get(line) == w0 ? found : LOOK_AGAIN;
}

enum permit_found permit_find_all(const struct permit_map *m, uint32_t address, uint32_t number,
                                  struct permit_record *out, struct permit_item *items,
                                  uint32_t room)
{
    for (int i = 0; i < PATIENCE; i++) {
        uint64_t g = atomic_load_explicit(&m->header->generation, memory_order_acquire);
        uint64_t lines = word_get(&m->header->lines[g & 1]), most = m->table_lines[g & 1];
        enum look found = LOOK_ON;
        if (lines == 0 || lines > most || lines + PERMIT_SLACK > most)
            found = LOOK_END;
        uint64_t at = home_of(address, lines);
        for (; found == LOOK_ON && at < lines + PERMIT_SLACK; at++)
            found = look_at_all(m, m->table[g & 1] + at * LINE_WORDS, number, out, items, room);
        atomic_thread_fence(memory_order_acquire);
        if (found != LOOK_AGAIN && word_get(&m->header->generation) == g)
            return found == LOOK_FOUND ? PERMIT_SOMEBODY : PERMIT_NOBODY;
        pause_a_little();
    }
    return PERMIT_BUSY;
}

void permit_prefetch(const struct permit_map *m, uint32_t address)
{
    uint64_t g = word_get(&m->header->generation) & 1, lines = word_get(&m->header->lines[g]);
    if (lines > m->table_lines[g])
        return;
    const _Atomic uint64_t *line = m->table[g] + home_of(address, lines) * LINE_WORDS;
    /* Every third consumer sits in the next one. */
    __builtin_prefetch((const void *)line);
    __builtin_prefetch((const void *)(line + LINE_WORDS));
}

void permit_prefetch_blocks(const struct permit_map *m, uint32_t address)
{
    uint64_t g = word_get(&m->header->generation) & 1, lines = word_get(&m->header->lines[g]);
    if (lines > m->table_lines[g])
        return;
    const _Atomic uint64_t *line = m->table[g] + home_of(address, lines) * LINE_WORDS;
    for (int i = 0; i < ENTRIES; i++) {
        uint64_t word = word_get(line + 3 + i);
        if ((word >> 32 & ATTR_OVERFLOW) && (uint32_t)word < m->overflow_units)
            __builtin_prefetch((const void *)(m->overflow + (word & UINT32_MAX) * UNIT_WORDS));
    }
}
