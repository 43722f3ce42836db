/* index_table.c - the table of lines. A consumer's home is the line that their address leads to in
 * proportion; who finds it full goes on to the next, and nobody ever moves or leaves, so that
 * readers may look at one line after the other without a lock.
 *
 * Growing fills a second table, a twelfth larger, a part at each addition: line by line in order,
 * which is also about the order of the new one. Until it is complete readers use the old one and
 * changes are made in both; then the generation in the header turns them over at once. */
#include <stdlib.h>

#include "consent/index_private.h"

enum {
    MOVED_AT_ONCE = 24,  /* lines: the new table is ready long before the old one is full */
    SMALL_LINES = 65536, /* below it a table doubles */
    FULL_NUMERATOR = 78, /* of 100 entries, when growing starts */
    LARGER = 12, /* by which part of it a table grows: 64 bytes a consumer are never passed */
    FETCHED_AHEAD = 64, /* addresses of entries on the way to the cursor */
};

static uint64_t generation(const struct index *ix)
{
    return word_get(&ix->h->generation);
}

static _Atomic uint64_t *table_of(const struct index *ix, uint64_t g)
{
    return (_Atomic uint64_t *)(uintptr_t)ix->map.table[g & 1];
}

static uint64_t lines_of(const struct index *ix)
{
    return word_get(&ix->h->lines[generation(ix) & 1]);
}

_Atomic uint64_t *index_line(const struct index *ix, uint64_t line)
{
    return table_of(ix, generation(ix)) + line * LINE_WORDS;
}

static bool is_used(const _Atomic uint64_t *line, int entry)
{
    return word_get(line + 3 + entry) >> 32 & ATTR_USED;
}

/* ---- seeking ---- */

struct seeking {
    uint64_t tag;
    uint32_t number;
    bool by_number;
};

static bool seek(const struct index *ix, uint32_t address, const struct seeking *s,
                 struct entry_place *out)
{
    uint64_t lines = lines_of(ix);
    for (uint64_t at = home_of(address, lines); at < lines + PERMIT_SLACK; at++) {
        const _Atomic uint64_t *line = index_line(ix, at);
        for (int i = 0; i < ENTRIES; i++) {
            if (!is_used(line, i))
                return false;
            if (s->by_number ? index_number_at(ix, line, i) == s->number
                             : word_get(line + 1 + i) == s->tag) {
                *out = (struct entry_place){at, i};
                return true;
            }
        }
    }
    return false;
}

bool index_seek(const struct index *ix, uint32_t address, uint64_t tag, struct entry_place *out)
{
    struct seeking s = {.tag = tag};
    return seek(ix, address, &s, out);
}

bool index_seek_number(const struct index *ix, uint32_t address, uint32_t number,
                       struct entry_place *out)
{
    struct seeking s = {.number = number, .by_number = true};
    return seek(ix, address, &s, out);
}

/* The first free entry from the home on, in any table. */
static bool first_free(_Atomic uint64_t *table, uint64_t lines, uint32_t address,
                       struct entry_place *out)
{
    for (uint64_t at = home_of(address, lines); at < lines + PERMIT_SLACK; at++)
        for (int i = 0; i < ENTRIES; i++)
            if (!is_used(table + at * LINE_WORDS, i)) {
                *out = (struct entry_place){at, i};
                return true;
            }
    return false;
}

/* ---- growing ---- */

static bool make_table(struct index *ix, uint64_t g, uint64_t lines)
{
    enum permit_section_id section = g & 1 ? SECTION_TABLE_1 : SECTION_TABLE_0;
    uint64_t bytes = (lines + PERMIT_SLACK) * LINE_WORDS * 8;
    if (lines + PERMIT_SLACK > ix->map.table_lines[g & 1]) {
        index_break(ix, "its table cannot grow further");
        return false;
    }
    bool zero = index_release(ix, section);
    index_want_huge(ix, section, bytes);
    if (!index_room(ix, section, bytes))
        return false;
    if (!zero)
        memset(table_of(ix, g), 0, bytes);
    word_set(&ix->h->lines[g & 1], lines);
    return true;
}

bool index_first_table(struct index *ix, uint64_t lines)
{
    uint64_t g = generation(ix) + 1;
    if (!make_table(ix, g, lines))
        return false;
    atomic_store_explicit(&ix->h->generation, g, memory_order_release);
    index_turn(ix);
    return true;
}

/* Copies an entry into the table that is being filled, over its older self, which has tag `before`,
 * where there is one. */
static bool copy_entry(struct index *ix, const _Atomic uint64_t *line, int entry, uint32_t address,
                       uint64_t before)
{
    _Atomic uint64_t *table = table_of(ix, generation(ix) + 1);
    uint64_t lines = ix->growth.lines;
    struct entry_place to = {home_of(address, lines), 0};
    while (is_used(table + to.line * LINE_WORDS, to.entry) &&
           word_get(table + to.line * LINE_WORDS + 1 + to.entry) != before) {
        to.line += to.entry == ENTRIES - 1;
        to.entry = (to.entry + 1) % ENTRIES;
        if (to.line >= lines + PERMIT_SLACK)
            return false;
    }
    _Atomic uint64_t *out = table + to.line * LINE_WORDS;
    uint64_t ends = entry_ends(line, entry);
    word_set(out, ends_low(word_get(out), to.entry, ends));
    word_set(out + 1 + to.entry, word_get(line + 1 + entry));
    word_set(out + 3 + to.entry, word_get(line + 3 + entry));
    word_set(out + 5 + to.entry, word_get(line + 5 + entry));
    word_set(out + 7, ends_high(word_get(out + 7), to.entry, ends));
    return true;
}

static void fetch_addresses(const struct index *ix, uint64_t from, uint64_t to)
{
    for (uint64_t at = from; at < to; at++)
        for (int i = 0; i < ENTRIES; i++) {
            const _Atomic uint64_t *line = index_line(ix, at);
            if (is_used(line, i) && !(word_get(line + 3 + i) >> 32 & ATTR_OVERFLOW))
                __builtin_prefetch(
                    (const void *)(ix->cids + (uint32_t)word_get(line + 3 + i) * CID_WORDS));
        }
}

static void start_growing(struct index *ix, uint64_t lines)
{
    if (!make_table(ix, generation(ix) + 1, lines))
        return;
    ix->growth = (struct growth){.active = true, .lines = lines};
}

static void finish_growing(struct index *ix)
{
    enum permit_section_id old = generation(ix) & 1 ? SECTION_TABLE_1 : SECTION_TABLE_0;
    ix->growth.active = false;
    /* Release pairs with the readers' acquire: who sees the generation sees the table. */
    atomic_store_explicit(&ix->h->generation, generation(ix) + 1, memory_order_release);
    index_turn(ix);
    index_release(ix, old);
}

/* Clusters that reach the end of a table leave it no place; a larger one has them spread. */
static void start_again_larger(struct index *ix)
{
    start_growing(ix, ix->growth.lines + ix->growth.lines / LARGER);
}

static void move_lines(struct index *ix, uint64_t count)
{
    uint64_t end = lines_of(ix) + PERMIT_SLACK;
    uint64_t to = ix->growth.cursor + count < end ? ix->growth.cursor + count : end;
    uint64_t ahead = to + FETCHED_AHEAD < end ? to + FETCHED_AHEAD : end;
    fetch_addresses(ix, to, ahead);
    for (; ix->growth.cursor < to; ix->growth.cursor++) {
        const _Atomic uint64_t *line = index_line(ix, ix->growth.cursor);
        for (int i = 0; i < ENTRIES && is_used(line, i); i++)
            if (!copy_entry(ix, line, i, index_address(ix, index_number_at(ix, line, i)),
                            word_get(line + 1 + i))) {
                start_again_larger(ix);
                return;
            }
    }
    if (to == end)
        finish_growing(ix);
}

static void complete_growing(struct index *ix)
{
    while (ix->growth.active && !index_is_broken(ix))
        move_lines(ix, 4096);
}

void index_grow(struct index *ix)
{
    uint64_t lines = lines_of(ix), count = word_get(&ix->h->count);
    if (!ix->growth.active && count * 100 >= lines * ENTRIES * FULL_NUMERATOR)
        start_growing(ix, lines < SMALL_LINES ? lines * 2 : lines + lines / LARGER);
    if (ix->growth.active)
        move_lines(ix, MOVED_AT_ONCE);
}

bool index_place(struct index *ix, uint32_t address, struct entry_place *out)
{
    for (int i = 0; i < 8 && !index_is_broken(ix); i++) {
        if (first_free(table_of(ix, generation(ix)), lines_of(ix), address, out))
            return true;
        if (!ix->growth.active)
            start_growing(ix, lines_of(ix) + lines_of(ix) / LARGER + 1);
        complete_growing(ix);
    }
    index_break(ix, "its table has no place left");
    return false;
}

void index_mirror(struct index *ix, const struct working *w)
{
    if (!ix->growth.active || w->place.line >= ix->growth.cursor)
        return;
    if (!copy_entry(ix, index_line(ix, w->place.line), w->place.entry, w->address, w->tag_before))
        start_again_larger(ix);
}

void index_reserve(struct index *ix, int64_t consumers)
{
    uint64_t lines = (uint64_t)consumers * 100 / (ENTRIES * (FULL_NUMERATOR - 1)) + 1;
    index_cid_room(ix, (uint64_t)consumers);
    complete_growing(ix);
    if (lines <= lines_of(ix) || index_is_broken(ix))
        return;
    start_growing(ix, lines);
    complete_growing(ix);
}
