/*
 * format.h - the layout of the permit index, version 4 (docs/index-format.md), and the few lines
 * that take its words apart. Shared by the writer (consent/index*.c) and the readers (this module).
 *
 * Everything that changes while readers look is read and written as whole 64-bit atomic words.
 * Numbers are little-endian.
 */
#ifndef LOV_PERMIT_FORMAT_H
#define LOV_PERMIT_FORMAT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/hash128.h"

#define PERMIT_MAGIC "LOVPERM"
enum {
    PERMIT_FORMAT = 4,
    PERMIT_SHARDS = 256,
    PERMIT_SLACK = 1024,        /* lines behind the last home: probing never wraps round */
    PERMIT_BEAT_MS = 100,       /* how often the writer shows that it lives */
    PERMIT_CLOCK_BACK_MS = 5000 /* a wall clock further behind the ledger is not trusted */
};

/* ---- the header ---- */

enum permit_section_id {
    SECTION_RESIDENCES, /* 8 bytes each, by number */
    SECTION_NAMES,      /* the writer's names, in order of arrival */
    SECTION_POLICY_0,   /* compiled policies; that of epoch e is in section e % 2 */
    SECTION_POLICY_1,
    SECTION_TERMS,    /* what many permits have in common; 16 bytes each */
    SECTION_OVERFLOW, /* permits that do not fit into a line; units of 32 bytes */
    SECTION_TABLE_0,  /* lines of 64 bytes; that of generation g is in section g % 2 */
    SECTION_TABLE_1,
    SECTION_COUNT
};

struct permit_section {
    uint64_t offset, size;
};

/* Written once, before the file gets its name. */
struct permit_fixed {
    char magic[8];
    uint32_t format, fixed_size;
    uint64_t file_size;
    uint8_t lookup_key[16];   /* of the keyed hash of a consumer's id */
    uint8_t installation[16]; /* whose index it is */
    struct permit_section section[SECTION_COUNT];
    uint64_t checksum; /* of all above */
};

enum permit_life { PERMIT_CLOSED, PERMIT_LOADING, PERMIT_LIVE, PERMIT_BROKEN };

struct permit_applied {
    _Atomic uint64_t size; /* events of the shard's ledger that the index has taken in */
    _Atomic uint64_t leaf; /* the first bytes of the last one's leaf hash */
};

struct permit_header {
    union {
        struct permit_fixed fixed;
        char room[512];
    };
    /* One cache line, all that a decision needs from here. */
    _Atomic uint64_t state;
    _Atomic uint64_t heartbeat;  /* CLOCK_MONOTONIC, ns */
    _Atomic int64_t now;         /* ms UTC, as of `heartbeat` */
    _Atomic uint64_t generation; /* of the table */
    _Atomic uint64_t lines[2];   /* homes in each table section */
    _Atomic int64_t latest;      /* newest instant in the ledger, ms UTC, to about a second */
    /* Another number after each change of state, generation, lines in use, epoch or latest. */
    _Atomic uint64_t turn;
    /* The writer's, but for the epoch. */
    _Atomic uint64_t count, permits, terms, residences, overflow_used, names_used;
    _Atomic uint64_t clean;    /* closed in order: `content` holds */
    _Atomic uint64_t changing; /* not 0: inside a change */
    _Atomic uint64_t content;  /* checksum of all that is in use, as of closing */
    _Atomic uint64_t boot;     /* which start of the machine `heartbeat` counts from */
    uint64_t pairing;          /* with permits.cid */
    _Atomic uint64_t epoch;    /* of the policy; 0: none */
    uint64_t spare[4];
    struct permit_applied applied[PERMIT_SHARDS];
};
_Static_assert(sizeof(struct permit_fixed) <= 512, "room of the fixed part");
_Static_assert(offsetof(struct permit_header, state) == 512, "a cache line of its own");
_Static_assert(offsetof(struct permit_header, now) ==
                   offsetof(struct permit_header, heartbeat) + sizeof(uint64_t),
               "written at once");
_Static_assert(sizeof(struct permit_header) == 512 + 64 + 128 + 16 * PERMIT_SHARDS, "no padding");
_Static_assert(sizeof(_Atomic uint64_t) == 8, "atomic words are plain words in the file");

static const uint64_t PERMIT_DEAD_NS = 2000000000; /* silence after which it counts as dead */

uint64_t permit_checksum(const void *data, size_t n);

/* ---- a line: two entries under one sequence counter ---- */

/* Word 0: counter (odd while it changes), then the low 16 bits of each entry's expiry.
 * Words 1, 2: tags. 3, 4: ref | attributes << 32. 5, 6: term | consent << 24.
 * Word 7: the high 32 bits of each entry's expiry, so that a minute's difference shows in it. */
enum {
    LINE_WORDS = 8,
    ENTRIES = 2,
    UNIT_WORDS = 4,
    TERM_WORDS = 2,
    TERM_BITS = 24,
    CONSENT_BITS = 40,
    EXPIRY_BITS = 48,
    GROUP_BITS = 4 /* a key is a group's number and the position of one of its 16 categories */
};
enum {
    ATTR_USED = 1,
    ATTR_ERASED = 2,
    ATTR_RESTRICTED = 4,
    ATTR_OPT_OUT = 8,
    ATTR_PERMIT = 16,   /* there is a permit in the entry */
    ATTR_OVERFLOW = 32, /* ref is a unit of the overflow section, else the consumer's number */
    ATTR_HUMAN = 64,    /* no solely automated decisions */
    RESIDENCE_SHIFT = 7,
    RESIDENCE_WIDE = 511, /* it stands in the overflow block */
    BORN_SHIFT = 16,
    BORN_FIRST = -25567, /* 1900-01-01 is 1; 0: not known */
    BORN_WIDE = 65535    /* it stands in the overflow block */
};
static const uint64_t EXPIRY_NEVER = ((uint64_t)1 << EXPIRY_BITS) - 1;

/* The first two words of a unit, and a term. */
struct permit_term {
    uint32_t group;
    uint16_t mask; /* positions of its categories */
    uint8_t state; /* enum permit_state */
    uint8_t by_guardian;
    uint32_t notice;
    int32_t notice_version;
};
_Static_assert(sizeof(struct permit_term) == TERM_WORDS * 8, "two words");

static inline uint64_t word_get(const _Atomic uint64_t *w)
{
    return atomic_load_explicit(w, memory_order_relaxed);
}
static inline void word_set(_Atomic uint64_t *w, uint64_t v)
{
    atomic_store_explicit(w, v, memory_order_relaxed);
}
/* The end of an entry's permit: its low bits in word 0, its high ones in word 7. Who reads it while
 * others write looks at the line's counter before and after. */
enum { ENDS_LOW_BITS = EXPIRY_BITS - 32 };
static inline uint64_t entry_ends(const _Atomic uint64_t *line, int entry)
{
    const uint64_t low = word_get(line) >> (32 + ENDS_LOW_BITS * entry);
    const uint64_t high = word_get(line + LINE_WORDS - 1) >> (32 * entry);
    return (high & UINT32_MAX) << ENDS_LOW_BITS | (low & ((1U << ENDS_LOW_BITS) - 1));
}
/* Words 0 and 7 with the end of one entry put into them. */
static inline uint64_t ends_low(uint64_t word, int entry, uint64_t ends)
{
    const int shift = 32 + ENDS_LOW_BITS * entry;
    const uint64_t part = (1U << ENDS_LOW_BITS) - 1;
    return (word & ~(part << shift)) | (ends & part) << shift;
}
static inline uint64_t ends_high(uint64_t word, int entry, uint64_t ends)
{
    const int shift = 32 * entry;
    return (word & ~((uint64_t)UINT32_MAX << shift)) | (ends >> ENDS_LOW_BITS) << shift;
}
static inline struct permit_term term_of(uint64_t low, uint64_t high)
{
    struct permit_term t;
    memcpy(&t, &low, 8);
    memcpy((char *)&t + 8, &high, 8);
    return t;
}

/* Where a keyed hash leads: half of it chooses the line, half tells entries apart. */
static inline uint32_t lookup_address(const struct hash128 *lookup)
{
    uint32_t v;
    memcpy(&v, lookup->b, sizeof v);
    return v;
}
static inline uint64_t lookup_tag(const struct hash128 *lookup)
{
    uint64_t v;
    memcpy(&v, lookup->b + 8, sizeof v);
    return v;
}
static inline uint64_t home_of(uint32_t address, uint64_t lines)
{
    return (uint64_t)address * lines >> 32;
}

#endif
