/*
 * sets.h - sets of consumers, by the number that the permit index knows them by, for questions
 * about all of them at once (audience.c). Private.
 *
 * Numbers are cut into segments of 65,536. Within a segment each thing that a decision looks at has
 * a set of those of whom it is true: that they are there (and not erased), are restricted, sent an
 * opt-out signal, live in a residence, are of an age (the young alone), have a permit of a term. A
 * term is what many permits have in common: recipient, purpose, categories, state, guardian, notice
 * and version; so which sets a question needs follows from its policy, and no set depends on one.
 *
 * What changes by itself with time is the end of permits and the age of consumers. A segment
 * therefore holds for a window of some hours: permits that end within it are in sets by the part of
 * the window, so that those alone have to be asked one by one whose part it is; what ended before
 * it is in none; and so it is with those whose birthday begins within it. After its window a
 * segment is built again.
 *
 * A segment is built by reading its consumers from the index, in order, when it is first asked for
 * or by a thread ahead of that; from then on the index's writer keeps it, within each change. So
 * nothing is kept on the disk but room: a file without a name, mapped, which the kernel may write
 * out where memory is short. Where it cannot have room there are no sets, and questions are
 * answered one consumer after the other.
 */
#ifndef LOV_CONSENT_SETS_H
#define LOV_CONSENT_SETS_H

#include <pthread.h>

#include "permit/permit.h"

struct index;

enum {
    SEGMENT_BITS = 16,
    SEGMENT = 1 << SEGMENT_BITS,
    SEGMENT_WORDS = SEGMENT / 64,
    SEGMENTS = 1 << (32 - SEGMENT_BITS),
    YOUNG = 22, /* years: below it a consumer is in the set of their age */
    PARTS = 16, /* of the window */
};

struct bits {
    uint64_t w[SEGMENT_WORDS];
};
static inline bool bits_has(const struct bits *b, uint32_t low)
{
    return b->w[low >> 6] >> (low & 63) & 1;
}
static inline void bits_add(struct bits *b, uint32_t low)
{
    b->w[low >> 6] |= (uint64_t)1 << (low & 63);
}

/* ---- sets_slot.c: one set within a segment ---- */

/* Room for them all: blocks of 16 bytes to 8 KiB in a file that is mapped. */
enum { REGION_CLASSES = 19 };
struct region {
    int fd;
    uint8_t *base;
    uint64_t allocated, used;
    uint32_t free[REGION_CLASSES]; /* first free block of each size, by its 16-byte unit; 0: none */
};
/* False where there is no room; `dir` is where the file is. */
bool region_open(struct region *r, const char *dir);
void region_close(struct region *r);
/* Forgets every block. */
void region_reset(struct region *r);

enum slot_form { SLOT_ARRAY, SLOT_BITS, SLOT_ALL };
/* Up to 4096 numbers are a sorted array of 16 bits each, more are bits, all are nothing. */
struct slot {
    uint32_t set, count, ref;
    uint8_t class, form;
    uint16_t spare;
};
/* From `count` numbers in order, at least one. False: no room. */
bool slot_fill(struct region *r, struct slot *s, const uint16_t *numbers, uint32_t count);
/* Adds a number that may be there already, or takes out one that may not be. False: no room. */
bool slot_add(struct region *r, struct slot *s, uint16_t number);
bool slot_remove(struct region *r, struct slot *s, uint16_t number);
void slot_free(struct region *r, struct slot *s);
/* Adds the numbers of the set to `b`. */
void slot_or(const struct region *r, const struct slot *s, struct bits *b);

/* ---- sets.c ---- */

enum set_kind {
    SET_ALIVE,
    SET_RESTRICTED,
    SET_SIGNAL,
    SET_RESIDENCE, /* value: its number */
    SET_AGE,  /* full years when the window begins, times two; and one who turns one older in it
               */
    SET_TERM, /* of a permit, if given of one that does not end within the window */
    SET_SOON, /* given, and it does: part of the window, term */
};
enum { SET_VALUE_BITS = 28, SET_TERM_BITS = 24 };
#define SET_OF(kind, value) ((uint32_t)(kind) << SET_VALUE_BITS | (uint32_t)(value))
static inline enum set_kind set_kind(uint32_t set)
{
    return (enum set_kind)(set >> SET_VALUE_BITS);
}
static inline uint32_t set_value(uint32_t set)
{
    return set & ((1U << SET_VALUE_BITS) - 1);
}

struct segment {
    bool built;
    uint64_t build;      /* the how manieth of all: another one, another content */
    int64_t from, until; /* the window: from <= at < until */
    struct slot *slots;  /* by set */
    uint32_t count, cap;
};

/* The part of a window that an instant is in. */
static inline int64_t window_part(const struct segment *g, int64_t at)
{
    return (at - g->from) * PARTS / (g->until - g->from);
}

struct term_table {
    struct permit_term *term; /* by number; kept until the sets are emptied */
    uint32_t *slot;
    uint32_t count, cap, size;
    bool full; /* more than can be told apart: nothing is right any more */
};

struct builder;
struct sets {
    const struct permit_map *map;
    const struct index *ix;
    /* Segments, terms and region: readers of questions, writers of changes, who go first. */
    pthread_rwlock_t lock;
    struct region region;
    int64_t window_ms; /* of a segment that is built; tests set another */
    bool usable;       /* there is room; under the lock */
    _Atomic bool any;  /* something is built, or was: until then a change has nothing to do here */
    struct segment *segments[SEGMENTS];
    struct term_table terms;
    uint64_t built_count;     /* segments built since the start, for who wants to know */
    pthread_mutex_t building; /* one builds at a time */
    struct builder *builder;  /* under `building` */
    int64_t being_built;      /* the segment, -1: none; under the lock */
    uint16_t *changed;        /* numbers of it that changed meanwhile; under the lock */
    uint32_t changed_count;
    struct permit_item *items; /* of the index's writer */
    uint32_t item_room;
    uint64_t before_build; /* likewise; and sets of a consumer */
    uint32_t *before, *after;
    uint32_t before_count, before_room, after_room;
};

/* `map` and `ix` outlive it. Never fails: without room it is not usable. */
struct sets *sets_new(const struct index *ix, const char *dir);
void sets_free(struct sets *s);
/* Nothing is built any more. */
void sets_empty(struct sets *s);

/* Around each change, on the index's writer's side: what the consumer was; what they are now. */
void sets_before(struct sets *s, uint32_t address, uint32_t number, bool is_new);
void sets_after(struct sets *s, uint32_t address, uint32_t number);

/* Builds the segment unless it is built and its window has `at` in it, and lasts `ahead` ms from
 * then. False: there are no sets. Any thread. */
bool sets_build(struct sets *s, uint32_t segment, int64_t at, int64_t ahead);
/* Is there anything to build, from *segment on? Then true and *segment is it. */
bool sets_wanting(struct sets *s, uint32_t *segment, int64_t at, int64_t ahead);
/* Under the lock, read: the segment where it is built and holds at `at`. */
const struct segment *sets_segment(const struct sets *s, uint32_t segment, int64_t at);

/* Bytes taken: of the mapped file, and of this process' own memory. */
void sets_size(struct sets *s, uint64_t *mapped, uint64_t *own);

#endif
