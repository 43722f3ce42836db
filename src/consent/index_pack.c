/* index_pack.c - a consumer as an entry of a line, and back. What many permits have in common (the
 * term: group, mask, state, notice) is a number into a dictionary, so that one permit fits into the
 * entry; further ones, and values too large for their bits, go to a block of the overflow section.
 * A block changes under the counter of the line that leads to it. */
#include <stdlib.h>

#include "consent/index_private.h"

enum { FIRST_TERMS = 1024 };
static const uint32_t EMPTY = UINT32_MAX;

static _Atomic uint64_t *terms_of(const struct index *ix)
{
    return (_Atomic uint64_t *)(uintptr_t)ix->map.terms;
}

static _Atomic uint64_t *unit_of(const struct index *ix, uint32_t ref)
{
    return (_Atomic uint64_t *)(uintptr_t)(ix->map.overflow + (uint64_t)ref * UNIT_WORDS);
}

uint32_t index_number_at(const struct index *ix, const _Atomic uint64_t *line, int entry)
{
    uint64_t word = word_get(line + 3 + entry);
    uint32_t ref = (uint32_t)word;
    return word >> 32 & ATTR_OVERFLOW ? (uint32_t)word_get(unit_of(ix, ref)) : ref;
}

/* ---- terms ---- */

static uint64_t low_of(const struct permit_term *t)
{
    uint64_t v;
    memcpy(&v, t, sizeof v);
    return v;
}

static uint64_t high_of(const struct permit_term *t)
{
    uint64_t v;
    memcpy(&v, (const char *)t + 8, sizeof v);
    return v;
}

static uint64_t term_hash(uint64_t low, uint64_t high)
{
    uint64_t words[2] = {low, high};
    return hash64((struct str){(const char *)words, sizeof words});
}

static void fill_terms(struct index *ix, size_t size)
{
    free(ix->terms.slot);
    table_init(&ix->terms, size);
    const _Atomic uint64_t *t = terms_of(ix);
    uint64_t count = word_get(&ix->h->terms);
    for (uint32_t i = 0; i < count; i++, t += TERM_WORDS)
        table_put(&ix->terms, term_hash(word_get(t), word_get(t + 1)), i);
}

void index_terms_load(struct index *ix)
{
    size_t size = FIRST_TERMS;
    while (size < word_get(&ix->h->terms) * 2)
        size *= 2;
    fill_terms(ix, size);
}

/* The term's number; false where the dictionary is full. */
static bool number_term(struct index *ix, const struct permit_term *term, uint32_t *out)
{
    uint64_t low = low_of(term), high = high_of(term), count = word_get(&ix->h->terms);
    uint64_t hash = term_hash(low, high);
    size_t mask = ix->terms.size - 1;
    for (size_t i = hash & mask; ix->terms.slot[i] != EMPTY; i = (i + 1) & mask) {
        const _Atomic uint64_t *t = terms_of(ix) + (uint64_t)ix->terms.slot[i] * TERM_WORDS;
        if (word_get(t) == low && word_get(t + 1) == high) {
            *out = ix->terms.slot[i];
            return true;
        }
    }
    if (count >= ix->map.term_limit || count >> TERM_BITS ||
        !index_room(ix, SECTION_TERMS, (count + 1) * TERM_WORDS * 8))
        return false;
    word_set(terms_of(ix) + count * TERM_WORDS, low);
    word_set(terms_of(ix) + count * TERM_WORDS + 1, high);
    atomic_store_explicit(&ix->h->terms, count + 1, memory_order_release);
    if ((count + 1) * 2 > ix->terms.size)
        fill_terms(ix, ix->terms.size * 2);
    else
        table_put(&ix->terms, hash, (uint32_t)count);
    *out = (uint32_t)count;
    return true;
}

/* ---- blocks ---- */

static int class_of(size_t permits)
{
    int class = 0;
    while (((size_t)1 << class) < permits)
        class ++;
    return class;
}

static bool take_block(struct index *ix, size_t permits, uint32_t *ref, uint32_t *room)
{
    int class = class_of(permits);
    if (class >= CLASSES)
        return false;
    *room = 1U << class;
    struct free_list *list = &ix->free_blocks[class];
    if (list->count) {
        *ref = list->ref[--list->count];
        return true;
    }
    uint64_t used = word_get(&ix->h->overflow_used), end = used + 1 + *room;
    if (end > ix->map.overflow_units || end > UINT32_MAX) {
        index_break(ix, "its overflow section is full");
        return false;
    }
    if (!index_room(ix, SECTION_OVERFLOW, end * UNIT_WORDS * 8))
        return false;
    word_set(&ix->h->overflow_used, end);
    *ref = (uint32_t)used;
    return true;
}

static void give_block(struct index *ix, uint32_t ref, uint32_t room)
{
    struct free_list *list = &ix->free_blocks[class_of(room)];
    if (list->count == list->cap) {
        list->cap = list->cap ? list->cap * 2 : 64;
        list->ref = mem_grow(list->ref, list->cap, sizeof *list->ref);
    }
    list->ref[list->count++] = ref;
}

void index_pack_free(struct index *ix)
{
    for (int i = 0; i < CLASSES; i++)
        free(ix->free_blocks[i].ref);
    memset(ix->free_blocks, 0, sizeof ix->free_blocks);
    free(ix->terms.slot);
    ix->terms = (struct table){0};
}

static void write_block(struct index *ix, const struct working *w, size_t from)
{
    _Atomic uint64_t *unit = unit_of(ix, w->block);
    uint64_t person = (uint64_t)(uint32_t)w->out.born << 32 | w->out.residence;
    word_set(unit, (uint64_t)(w->count - from) << 32 | w->number);
    word_set(unit + 1, person);
    word_set(unit + 2, w->block_room);
    for (size_t i = from; i < w->count; i++) {
        unit += UNIT_WORDS;
        word_set(unit, low_of(&w->packed[i].term));
        word_set(unit + 1, high_of(&w->packed[i].term));
        word_set(unit + 2, (uint64_t)w->packed[i].expires_at);
        word_set(unit + 3, (uint64_t)w->packed[i].consent);
    }
}

/* ---- reading an entry ---- */

static struct packed *add_packed(struct working *w)
{
    if (w->count == w->cap) {
        w->cap = w->cap ? w->cap * 2 : 8;
        w->packed = mem_grow(w->packed, w->cap, sizeof *w->packed);
    }
    return &w->packed[w->count++];
}

static void unpack_inline(const struct index *ix, struct working *w, const _Atomic uint64_t *line)
{
    int entry = w->place.entry;
    uint64_t word = word_get(line + 5 + entry), term = word & ((1U << TERM_BITS) - 1);
    const _Atomic uint64_t *t = ix->map.terms + term * TERM_WORDS;
    uint64_t expiry = entry_ends(line, entry);
    *add_packed(w) = (struct packed){
        .term = term_of(word_get(t), word_get(t + 1)),
        .expires_at = expiry == EXPIRY_NEVER ? INT64_MAX : (int64_t)expiry,
        .consent = (int64_t)(word >> TERM_BITS),
    };
}

static void unpack_block(const struct index *ix, struct working *w, uint32_t ref)
{
    const _Atomic uint64_t *unit = unit_of(ix, ref);
    uint64_t head = word_get(unit), person = word_get(unit + 1);
    w->number = (uint32_t)head;
    w->block = ref;
    w->block_room = (uint32_t)word_get(unit + 2);
    w->out.residence = (uint32_t)person;
    w->out.born = (int32_t)(uint32_t)(person >> 32);
    for (uint64_t i = 0; i < head >> 32; i++) {
        unit += UNIT_WORDS;
        *add_packed(w) = (struct packed){
            .term = term_of(word_get(unit), word_get(unit + 1)),
            .expires_at = (int64_t)word_get(unit + 2),
            .consent = (int64_t)word_get(unit + 3),
        };
    }
}

static int64_t permits_of(const struct working *w)
{
    int64_t n = 0;
    for (size_t i = 0; i < w->count; i++)
        n += __builtin_popcount(w->packed[i].term.mask);
    return n;
}

void index_unpack(struct index *ix, struct working *w)
{
    const _Atomic uint64_t *line = index_line(ix, w->place.line);
    uint64_t word = word_get(line + 3 + w->place.entry);
    uint32_t attributes = (uint32_t)(word >> 32), born = attributes >> BORN_SHIFT;
    w->tag = w->tag_before = word_get(line + 1 + w->place.entry);
    w->number = (uint32_t)word;
    w->block_room = 0;
    w->count = 0;
    w->out = (struct index_consumer){
        .residence = attributes >> RESIDENCE_SHIFT & RESIDENCE_WIDE,
        .born = born ? (int32_t)born - 1 + BORN_FIRST : DAY_NONE,
        .restricted = attributes & ATTR_RESTRICTED,
        .opt_out_signal = attributes & ATTR_OPT_OUT,
        .no_automated_decision = attributes & ATTR_HUMAN,
        .erased = attributes & ATTR_ERASED,
    };
    if (attributes & ATTR_PERMIT)
        unpack_inline(ix, w, line);
    if (attributes & ATTR_OVERFLOW)
        unpack_block(ix, w, (uint32_t)word);
    w->permits_before = permits_of(w);
}

/* ---- writing one ---- */

struct image_of_entry {
    uint64_t reference, consent, expiry; /* words 3 and 5; 48 bits */
    size_t in_line;                      /* how many permits: 0 or 1 */
    bool overflow, keeps_block;
};

static bool fits_line(const struct packed *p)
{
    bool end = p->expires_at == INT64_MAX ||
               (p->expires_at >= 0 && (uint64_t)p->expires_at < EXPIRY_NEVER);
    return end && p->consent >= 0 && p->consent >> CONSENT_BITS == 0;
}

/* The permit that a decision most likely asks for goes first: one that is given. */
static void choose_first(struct working *w)
{
    size_t best = 0;
    while (best < w->count &&
           (w->packed[best].term.state != PERMIT_GIVEN || !fits_line(&w->packed[best])))
        best++;
    if (best == 0 || best >= w->count)
        return;
    struct packed first = w->packed[best];
    w->packed[best] = w->packed[0];
    w->packed[0] = first;
}

static uint32_t attributes_of(const struct index_consumer *c, bool *wide)
{
    int64_t born = c->born == DAY_NONE ? 0 : (int64_t)c->born - BORN_FIRST + 1;
    uint32_t residence = c->residence;
    *wide = residence >= RESIDENCE_WIDE || born < 0 || born >= BORN_WIDE ||
            (born == 0 && c->born != DAY_NONE);
    if (residence > RESIDENCE_WIDE)
        residence = RESIDENCE_WIDE;
    if (born < 0 || born > BORN_WIDE || (born == 0 && c->born != DAY_NONE))
        born = BORN_WIDE;
    return ATTR_USED | (c->erased ? ATTR_ERASED : 0U) | (c->restricted ? ATTR_RESTRICTED : 0U) |
           (c->opt_out_signal ? ATTR_OPT_OUT : 0U) | (c->no_automated_decision ? ATTR_HUMAN : 0U) |
           residence << RESIDENCE_SHIFT | (uint32_t)born << BORN_SHIFT;
}

/* What the entry will be; takes the new block that it needs. False: the index is broken. */
static bool plan(struct index *ix, struct working *w, struct image_of_entry *e)
{
    uint32_t term;
    bool wide;
    uint32_t attributes = attributes_of(&w->out, &wide);
    *e = (struct image_of_entry){0};
    choose_first(w);
    if (w->count && fits_line(&w->packed[0]) && number_term(ix, &w->packed[0].term, &term)) {
        const struct packed *p = &w->packed[0];
        e->in_line = 1;
        e->consent = (uint64_t)p->consent << TERM_BITS | term;
        e->expiry = p->expires_at == INT64_MAX ? EXPIRY_NEVER : (uint64_t)p->expires_at;
        attributes |= ATTR_PERMIT;
    }
    size_t rest = w->count - e->in_line;
    e->overflow = rest > 0 || wide;
    if (e->overflow) {
        attributes |= ATTR_OVERFLOW;
        e->keeps_block = w->block_room > 0 && rest <= w->block_room;
    }
    uint32_t ref = e->overflow ? w->block : w->number, room = 0;
    if (e->overflow && !e->keeps_block && !take_block(ix, rest ? rest : 1, &ref, &room))
        return false;
    uint32_t old = w->block, old_room = w->block_room;
    bool frees = old_room > 0 && !(e->overflow && e->keeps_block);
    if (e->overflow && !e->keeps_block) {
        w->block = ref;
        w->block_room = room;
    } else if (!e->overflow) {
        w->block_room = 0;
    }
    /* Free from now on for other lines, which change only after this one has. */
    if (frees)
        give_block(ix, old, old_room);
    e->reference = (uint64_t)attributes << 32 | ref;
    return true;
}

static void write_entry(_Atomic uint64_t *line, int entry, uint64_t tag,
                        const struct image_of_entry *e, uint64_t w0)
{
    word_set(line + 1 + entry, tag);
    word_set(line + 3 + entry, e->reference);
    word_set(line + 5 + entry, e->consent);
    word_set(line + 7, ends_high(word_get(line + 7), entry, e->expiry));
    w0 = ends_low(w0, entry, e->expiry);
    uint64_t counter = ((uint32_t)w0 + 2) & UINT32_MAX;
    /* Release: who sees the even counter sees the words above. */
    atomic_store_explicit(line, (w0 & ~(uint64_t)UINT32_MAX) | counter, memory_order_release);
}

void index_pack(struct index *ix, struct working *w)
{
    struct image_of_entry e;
    if (!plan(ix, w, &e))
        return;
    _Atomic uint64_t *line = index_line(ix, w->place.line);
    uint64_t w0 = word_get(line);
    word_set(line, w0 | 1);
    /* No store below is seen before the odd counter. */
    atomic_thread_fence(memory_order_release);
    if (e.overflow)
        write_block(ix, w, e.in_line);
    write_entry(line, w->place.entry, w->tag, &e, w0);
    int64_t now = permits_of(w);
    word_set(&ix->h->permits, word_get(&ix->h->permits) + (uint64_t)(now - w->permits_before));
    w->permits_before = now;
}
