/* sets.c - segments: built from the index, kept as it changes.
 *
 * Whoever changes a consumer looks at them in the index before and after and moves the number from
 * set to set. Whoever builds reads without a lock, while others write: numbers that change
 * meanwhile are noted and read once more when the new sets are put in place, under the lock. Moves
 * are idempotent, so it does no harm when that second reading has seen a change already whose moves
 * are still to come; and the last move of a number always leaves it where the index has it. */
#include "consent/sets.h"

#include <stdlib.h>

#include "base/civil.h"
#include "base/err.h"
#include "consent/index.h"

enum {
    PAST_MS = 10000, /* clocks of one machine differ less, by the coarse one's ticks */
    WINDOW_MS = 6 * 3600000,
    CHANGED_MOST = 4096,
    FIRST_TERMS = 1024,
    MEMO = 1024,
    FETCHED_AHEAD = 32,
    FIRST_ITEMS = 8,
};
static const uint32_t EMPTY = UINT32_MAX;

/* ---- terms ---- */

static uint64_t term_hash(const struct permit_term *t)
{
    uint64_t low, high;
    memcpy(&low, t, sizeof low);
    memcpy(&high, (const char *)t + 8, sizeof high);
    uint64_t h = (low ^ (high << 29 | high >> 35)) * 0x9E3779B97F4A7C15u;
    return (h ^ h >> 31) * 0xBF58476D1CE4E5B9u >> 16;
}

static void grow_terms(struct term_table *t)
{
    t->size = t->size ? t->size * 2 : FIRST_TERMS;
    t->slot = mem_grow(t->slot, t->size, sizeof *t->slot);
    memset(t->slot, 0xFF, t->size * sizeof *t->slot);
    for (uint32_t i = 0; i < t->count; i++) {
        uint64_t at = term_hash(&t->term[i]) & (t->size - 1);
        while (t->slot[at] != EMPTY)
            at = (at + 1) & (t->size - 1);
        t->slot[at] = i;
    }
}

/* Under the lock, to write. */
static uint32_t number_term(struct term_table *t, const struct permit_term *term)
{
    if (t->count * 2 >= t->size)
        grow_terms(t);
    uint64_t at = term_hash(term) & (t->size - 1);
    for (; t->slot[at] != EMPTY; at = (at + 1) & (t->size - 1))
        if (memcmp(&t->term[t->slot[at]], term, sizeof *term) == 0)
            return t->slot[at];
    if (t->count >> SET_TERM_BITS) {
        t->full = true;
        return 0;
    }
    if (t->count == t->cap) {
        t->cap = t->cap ? t->cap * 2 : FIRST_TERMS;
        t->term = mem_grow(t->term, t->cap, sizeof *t->term);
    }
    t->term[t->count] = *term;
    t->slot[at] = t->count;
    return t->count++;
}

/* ---- the sets of a consumer ---- */

/* Terms that the builder has met, so that it need not take the lock for each. */
struct memo {
    struct permit_term term;
    uint32_t number;
    bool known;
};

struct viewing {
    struct sets *s;
    struct memo *memo;     /* NULL: the lock is held */
    struct segment window; /* its bounds alone */
    int32_t young_from;    /* born before: YOUNG or older all through the window */
    int year;              /* when the window begins */
    uint32_t *out, count, room;
};

static struct viewing view_of(struct sets *s, int64_t from, int64_t until)
{
    int32_t day = (int32_t)(from / DAY_MS);
    return (struct viewing){
        .s = s,
        .window = {.from = from, .until = until},
        .young_from = day - YOUNG * 366 - 1,
        .year = civil_from_days(day).year,
    };
}

static void add_set(struct viewing *v, uint32_t set)
{
    if (v->count == v->room) {
        v->room = v->room ? v->room * 2 : 16;
        v->out = mem_grow(v->out, v->room, sizeof *v->out);
    }
    v->out[v->count++] = set;
}

static uint32_t term_number(struct viewing *v, const struct permit_term *term)
{
    if (!v->memo)
        return number_term(&v->s->terms, term);
    struct memo *m = &v->memo[term_hash(term) % MEMO];
    if (!m->known || memcmp(&m->term, term, sizeof *term) != 0) {
        pthread_rwlock_wrlock(&v->s->lock);
        m->number = number_term(&v->s->terms, term);
        pthread_rwlock_unlock(&v->s->lock);
        m->term = *term;
        m->known = true;
    }
    return m->number;
}

enum { LAST_DAY = 2932896 }; /* 9999-12-31: born later is not born */

/* Nobody is in the set of an age that they may lose or gain unseen: see SET_AGE. */
static void view_age(struct viewing *v, int32_t born)
{
    int years = born > LAST_DAY ? -1 : v->year - civil_from_days(born).year;
    while (years >= 0 && v->window.from < date_start(date_add_years(born, years)))
        years--;
    if (years < 0)
        add_set(v, SET_OF(SET_AGE, 0)); /* younger than any age that matters */
    else if (years < YOUNG)
        add_set(v, SET_OF(SET_AGE, years * 2 + (date_start(date_add_years(born, years + 1)) <
                                                v->window.until)));
}

static void view_permit(struct viewing *v, const struct permit_item *p)
{
    uint32_t term = term_number(v, &p->term);
    if (p->term.state != PERMIT_GIVEN || p->expires_at >= v->window.until)
        add_set(v, SET_OF(SET_TERM, term));
    else if (p->expires_at > v->window.from)
        add_set(v,
                SET_OF(SET_SOON,
                       (uint32_t)window_part(&v->window, p->expires_at) << SET_TERM_BITS | term));
}

static void view_record(struct viewing *v, const struct permit_record *r,
                        const struct permit_item *items)
{
    v->count = 0;
    if (r->erased)
        return;
    add_set(v, SET_OF(SET_ALIVE, 0));
    if (r->restricted)
        add_set(v, SET_OF(SET_RESTRICTED, 0));
    if (r->opt_out_signal)
        add_set(v, SET_OF(SET_SIGNAL, 0));
    add_set(v, SET_OF(SET_RESIDENCE, r->residence));
    if (r->born != DAY_NONE && r->born >= v->young_from)
        view_age(v, r->born);
    for (uint32_t i = 0; i < r->count; i++)
        view_permit(v, &items[i]);
}

struct items {
    struct permit_item **items;
    uint32_t *room;
};

static bool read_record(const struct sets *s, uint32_t address, uint32_t number,
                        const struct items *to, struct permit_record *out)
{
    enum permit_found found;
    while ((found = permit_find_all(s->map, address, number, out, *to->items, *to->room)) ==
               PERMIT_SOMEBODY &&
           out->count > *to->room) {
        *to->room = out->count * 2;
        *to->items = mem_grow(*to->items, *to->room, sizeof **to->items);
    }
    return found == PERMIT_SOMEBODY;
}

/* v->out: nothing for who is not there. */
static void view(struct viewing *v, uint32_t address, uint32_t number, const struct items *by)
{
    struct permit_record record;
    v->count = 0;
    if (read_record(v->s, address, number, by, &record))
        view_record(v, &record, *by->items);
}

/* ---- slots of a segment; under the lock, to write ---- */

static struct slot *find_slot(struct segment *g, uint32_t set, bool add)
{
    uint32_t low = 0, high = g->count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (g->slots[middle].set < set)
            low = middle + 1;
        else
            high = middle;
    }
    if (low < g->count && g->slots[low].set == set)
        return &g->slots[low];
    if (!add)
        return NULL;
    if (g->count == g->cap) {
        g->cap = g->cap ? g->cap + g->cap / 2 : 16;
        g->slots = mem_grow(g->slots, g->cap, sizeof *g->slots);
    }
    memmove(g->slots + low + 1, g->slots + low, (g->count - low) * sizeof *g->slots);
    g->slots[low] = (struct slot){.set = set};
    g->count++;
    return &g->slots[low];
}

static void drop_slot(struct segment *g, struct slot *slot)
{
    uint32_t i = (uint32_t)(slot - g->slots);
    memmove(slot, slot + 1, (g->count - i - 1) * sizeof *slot);
    g->count--;
}

static void empty_segment(struct sets *s, struct segment *g)
{
    for (uint32_t i = 0; i < g->count; i++)
        slot_free(&s->region, &g->slots[i]);
    free(g->slots);
    *g = (struct segment){0};
}

static bool put_in(struct sets *s, struct segment *g, uint32_t set, uint16_t number)
{
    return slot_add(&s->region, find_slot(g, set, true), number);
}

static bool take_out(struct sets *s, struct segment *g, struct slot *slot, uint16_t number)
{
    if (!slot_remove(&s->region, slot, number))
        return false;
    if (slot->count == 0)
        drop_slot(g, slot);
    return true;
}

static bool is_among(const uint32_t *sets, uint32_t count, uint32_t set)
{
    for (uint32_t i = 0; i < count; i++)
        if (sets[i] == set)
            return true;
    return false;
}

/* ---- around a change ---- */

static bool is_kept(const struct sets *s, uint32_t segment)
{
    const struct segment *g = s->segments[segment];
    return (g && g->built) || s->being_built == segment;
}

static struct items own_items(struct sets *s)
{
    return (struct items){&s->items, &s->item_room};
}

void sets_before(struct sets *s, uint32_t address, uint32_t number, bool is_new)
{
    uint32_t segment = number >> SEGMENT_BITS;
    struct items items = own_items(s);
    s->before_count = 0;
    s->before_build = 0;
    if (!atomic_load_explicit(&s->any, memory_order_relaxed))
        return;
    pthread_rwlock_wrlock(&s->lock);
    const struct segment *g = s->segments[segment];
    s->before_build = g ? g->build : 0;
    if (g && g->built && !is_new) {
        struct viewing v = view_of(s, g->from, g->until);
        v.out = s->before;
        v.room = s->before_room;
        view(&v, address, number, &items);
        s->before = v.out;
        s->before_room = v.room;
        s->before_count = v.count;
    }
    pthread_rwlock_unlock(&s->lock);
}

/* Takes the number out of every set. False: no room. */
static bool take_out_of_all(struct sets *s, struct segment *g, uint16_t number)
{
    bool ok = true;
    for (uint32_t i = g->count; ok && i-- > 0;)
        ok = take_out(s, g, &g->slots[i], number);
    return ok;
}

/* False: no room. */
static bool move_between(struct sets *s, struct segment *g, uint16_t low, const struct viewing *now)
{
    bool ok = true;
    if (s->before_build != g->build) {
        /* Built between the two looks, from either of what they saw. */
        s->before_count = 0;
        ok = take_out_of_all(s, g, low);
    }
    for (uint32_t i = 0; ok && i < s->before_count; i++) {
        struct slot *slot =
            is_among(now->out, now->count, s->before[i]) ? NULL : find_slot(g, s->before[i], false);
        if (slot)
            ok = take_out(s, g, slot, low);
    }
    for (uint32_t i = 0; ok && i < now->count; i++)
        if (!is_among(s->before, s->before_count, now->out[i]))
            ok = put_in(s, g, now->out[i], low);
    return ok;
}

static void out_of_room(struct sets *s)
{
    s->usable = false;
    for (uint32_t i = 0; i < SEGMENTS; i++)
        if (s->segments[i])
            empty_segment(s, s->segments[i]);
}

void sets_after(struct sets *s, uint32_t address, uint32_t number)
{
    uint32_t segment = number >> SEGMENT_BITS;
    struct items items = own_items(s);
    /* Pairs with the fence in start_building(): either that thread reads the change, or this one
     * sees that it builds. */
    atomic_thread_fence(memory_order_seq_cst);
    if (!atomic_load_explicit(&s->any, memory_order_relaxed))
        return;
    pthread_rwlock_wrlock(&s->lock);
    struct segment *g = s->segments[segment];
    if (!is_kept(s, segment)) {
        pthread_rwlock_unlock(&s->lock);
        return;
    }
    if (g && g->built) {
        struct viewing v = view_of(s, g->from, g->until);
        v.out = s->after;
        v.room = s->after_room;
        view(&v, address, number, &items);
        s->after = v.out;
        s->after_room = v.room;
        if (!move_between(s, g, (uint16_t)number, &v) || s->terms.full)
            out_of_room(s);
    }
    if (s->being_built == segment) {
        if (s->changed_count < CHANGED_MOST)
            s->changed[s->changed_count] = (uint16_t)number;
        s->changed_count++; /* beyond it: built again */
    }
    pthread_rwlock_unlock(&s->lock);
}

/* ---- building ---- */

/* The numbers of one set, in order. */
struct run {
    uint32_t set, count, cap;
    uint16_t *numbers;
};

struct builder {
    struct run *runs; /* their memory is kept from one segment to the next */
    uint32_t count, cap;
    uint32_t *slot, size; /* by set */
    struct memo memo[MEMO];
    struct permit_item *items;
    uint32_t item_room, *out, out_room;
};

static uint32_t set_hash(uint32_t set)
{
    return (uint32_t)(set * 0x9E3779B97F4A7C15u >> 32);
}

static void grow_runs(struct builder *b)
{
    b->size = b->size ? b->size * 2 : 256;
    b->slot = mem_grow(b->slot, b->size, sizeof *b->slot);
    memset(b->slot, 0xFF, b->size * sizeof *b->slot);
    for (uint32_t i = 0; i < b->count; i++) {
        uint32_t at = set_hash(b->runs[i].set) & (b->size - 1);
        while (b->slot[at] != EMPTY)
            at = (at + 1) & (b->size - 1);
        b->slot[at] = i;
    }
}

static struct run *run_of(struct builder *b, uint32_t set)
{
    if (b->count * 2 >= b->size)
        grow_runs(b);
    uint32_t at = set_hash(set) & (b->size - 1);
    for (; b->slot[at] != EMPTY; at = (at + 1) & (b->size - 1))
        if (b->runs[b->slot[at]].set == set)
            return &b->runs[b->slot[at]];
    if (b->count == b->cap) {
        uint32_t cap = b->cap ? b->cap * 2 : 64;
        b->runs = mem_grow(b->runs, cap, sizeof *b->runs);
        memset(b->runs + b->cap, 0, (cap - b->cap) * sizeof *b->runs);
        b->cap = cap;
    }
    b->slot[at] = b->count;
    b->runs[b->count].set = set;
    b->runs[b->count].count = 0;
    return &b->runs[b->count++];
}

static void append(struct run *r, uint16_t number)
{
    if (r->count == r->cap) {
        r->cap = r->cap ? r->cap * 2 : 8;
        r->numbers = mem_grow(r->numbers, r->cap, sizeof *r->numbers);
    }
    r->numbers[r->count++] = number;
}

static void forget_runs(struct builder *b)
{
    /* A term that a single consumer once had shall not hold memory for good. */
    if (b->cap > 4096) {
        for (uint32_t i = 0; i < b->cap; i++)
            free(b->runs[i].numbers);
        free(b->runs);
        free(b->slot);
        b->runs = NULL;
        b->slot = NULL;
        b->cap = b->size = 0;
    }
    b->count = 0;
    if (b->size)
        memset(b->slot, 0xFF, b->size * sizeof *b->slot);
}

static void read_segment(struct sets *s, uint32_t segment, int64_t from, int64_t until)
{
    struct builder *b = s->builder;
    struct viewing v = view_of(s, from, until);
    struct items items = {&b->items, &b->item_room};
    int64_t first = (int64_t)segment << SEGMENT_BITS, count = index_count(s->ix);
    int64_t end = first + SEGMENT < count ? first + SEGMENT : count;
    v.memo = b->memo;
    v.out = b->out;
    v.room = b->out_room;
    forget_runs(b);
    for (int64_t n = first; n < end; n++) {
        if (n + FETCHED_AHEAD < end)
            permit_prefetch(s->map, index_address(s->ix, n + FETCHED_AHEAD));
        if (n + FETCHED_AHEAD / 2 < end)
            permit_prefetch_blocks(s->map, index_address(s->ix, n + FETCHED_AHEAD / 2));
        view(&v, index_address(s->ix, n), (uint32_t)n, &items);
        for (uint32_t i = 0; i < v.count; i++)
            append(run_of(b, v.out[i]), (uint16_t)n);
    }
    b->out = v.out;
    b->out_room = v.room;
}

static int by_set(const void *a, const void *b)
{
    uint32_t x = ((const struct run *)a)->set, y = ((const struct run *)b)->set;
    return x < y ? -1 : x > y;
}

/* Who changed while the segment was read. False: no room. */
static bool read_again(struct sets *s, struct segment *g, uint32_t segment)
{
    struct items items = {&s->builder->items, &s->builder->item_room};
    struct viewing v = view_of(s, g->from, g->until);
    bool ok = true;
    for (uint32_t i = 0; ok && i < s->changed_count; i++) {
        uint16_t low = s->changed[i];
        uint32_t number = segment << SEGMENT_BITS | low;
        ok = take_out_of_all(s, g, low);
        view(&v, index_address(s->ix, number), number, &items);
        for (uint32_t k = 0; ok && k < v.count; k++)
            ok = put_in(s, g, v.out[k], low);
    }
    free(v.out);
    return ok;
}

static bool fill_segment(struct sets *s, struct segment *g)
{
    struct builder *b = s->builder;
    g->cap = b->count;
    g->slots = mem_alloc((b->count + 1) * sizeof *g->slots);
    for (; g->count < b->count; g->count++) {
        struct slot *slot = &g->slots[g->count];
        const struct run *r = &b->runs[g->count];
        *slot = (struct slot){.set = r->set};
        if (!slot_fill(&s->region, slot, r->numbers, r->count))
            return false;
    }
    return true;
}

/* False: too much changed meanwhile. */
static bool put_in_place(struct sets *s, uint32_t segment, int64_t from, int64_t until)
{
    bool again;
    if (s->builder->count)
        qsort(s->builder->runs, s->builder->count, sizeof *s->builder->runs, by_set);
    pthread_rwlock_wrlock(&s->lock);
    again = s->changed_count > CHANGED_MOST;
    if (!again && s->usable) {
        struct segment *g = s->segments[segment];
        if (!g)
            g = s->segments[segment] = mem_zero(sizeof *g);
        empty_segment(s, g);
        g->from = from;
        g->until = until;
        g->built = true;
        g->build = ++s->built_count;
        if (!fill_segment(s, g) || !read_again(s, g, segment) || s->terms.full)
            out_of_room(s);
    }
    s->being_built = -1;
    pthread_rwlock_unlock(&s->lock);
    return !again;
}

static bool is_good(const struct sets *s, uint32_t segment, int64_t at, int64_t ahead)
{
    const struct segment *g = s->segments[segment];
    return g && g->built && g->from <= at && at + ahead < g->until;
}

static bool start_building(struct sets *s, uint32_t segment, int64_t at, int64_t ahead)
{
    pthread_rwlock_wrlock(&s->lock);
    bool build = s->usable && !is_good(s, segment, at, ahead);
    if (build) {
        s->being_built = segment;
        s->changed_count = 0;
        atomic_store_explicit(&s->any, true, memory_order_relaxed);
    }
    pthread_rwlock_unlock(&s->lock);
    atomic_thread_fence(memory_order_seq_cst);
    return build;
}

bool sets_build(struct sets *s, uint32_t segment, int64_t at, int64_t ahead)
{
    pthread_mutex_lock(&s->building);
    while (start_building(s, segment, at, ahead)) {
        int64_t from = at - PAST_MS, until = at + s->window_ms;
        read_segment(s, segment, from, until);
        if (put_in_place(s, segment, from, until))
            break;
    }
    pthread_rwlock_rdlock(&s->lock);
    bool usable = s->usable;
    pthread_rwlock_unlock(&s->lock);
    pthread_mutex_unlock(&s->building);
    return usable;
}

bool sets_wanting(struct sets *s, uint32_t *segment, int64_t at, int64_t ahead)
{
    uint32_t count = (uint32_t)((index_count(s->ix) + SEGMENT - 1) >> SEGMENT_BITS);
    pthread_rwlock_rdlock(&s->lock);
    while (*segment < count && is_good(s, *segment, at, ahead))
        ++*segment;
    bool wanting = s->usable && *segment < count;
    pthread_rwlock_unlock(&s->lock);
    return wanting;
}

const struct segment *sets_segment(const struct sets *s, uint32_t segment, int64_t at)
{
    return s->usable && is_good(s, segment, at, 0) ? s->segments[segment] : NULL;
}

/* ---- all of them ---- */

struct sets *sets_new(const struct index *ix, const char *dir)
{
    pthread_rwlockattr_t attributes;
    struct sets *s = mem_zero(sizeof *s);
    s->ix = ix;
    s->map = index_map(ix);
    s->being_built = -1;
    s->window_ms = WINDOW_MS;
    s->changed = mem_alloc(CHANGED_MOST * sizeof *s->changed);
    s->builder = mem_zero(sizeof *s->builder);
    s->items = mem_grow(NULL, s->item_room = FIRST_ITEMS, sizeof *s->items);
    s->builder->items = mem_grow(NULL, s->builder->item_room = FIRST_ITEMS, sizeof *s->items);
    pthread_rwlockattr_init(&attributes);
    /* A change waits for one segment of a question, not for all questions of everybody. */
    pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(&s->lock, &attributes);
    pthread_rwlockattr_destroy(&attributes);
    pthread_mutex_init(&s->building, NULL);
    s->usable = region_open(&s->region, dir);
    return s;
}

static void free_terms(struct term_table *t)
{
    free(t->term);
    free(t->slot);
    *t = (struct term_table){0};
}

void sets_empty(struct sets *s)
{
    pthread_mutex_lock(&s->building);
    pthread_rwlock_wrlock(&s->lock);
    for (uint32_t i = 0; i < SEGMENTS; i++)
        if (s->segments[i])
            empty_segment(s, s->segments[i]);
    free_terms(&s->terms);
    memset(s->builder->memo, 0, sizeof s->builder->memo);
    region_reset(&s->region);
    pthread_rwlock_unlock(&s->lock);
    pthread_mutex_unlock(&s->building);
}

void sets_free(struct sets *s)
{
    if (!s)
        return;
    sets_empty(s);
    for (uint32_t i = 0; i < SEGMENTS; i++)
        free(s->segments[i]);
    struct builder *b = s->builder;
    for (uint32_t i = 0; i < b->cap; i++)
        free(b->runs[i].numbers);
    free(b->runs);
    free(b->slot);
    free(b->items);
    free(b->out);
    free(b);
    free(s->changed);
    free(s->items);
    free(s->before);
    free(s->after);
    region_close(&s->region);
    pthread_rwlock_destroy(&s->lock);
    pthread_mutex_destroy(&s->building);
    free(s);
}

void sets_size(struct sets *s, uint64_t *mapped, uint64_t *own)
{
    pthread_rwlock_rdlock(&s->lock);
    *mapped = s->region.used;
    *own = sizeof *s + s->terms.cap * sizeof(struct permit_term) + s->terms.size * sizeof(uint32_t);
    for (uint32_t i = 0; i < SEGMENTS; i++)
        if (s->segments[i])
            *own += sizeof(struct segment) + s->segments[i]->cap * sizeof(struct slot);
    pthread_rwlock_unlock(&s->lock);
}
