/*
 * permit.h - deciding from the permit index: the one implementation of DESIGN §4, for the server
 * and for liblov. Needs libc alone, takes no memory and no lock.
 *
 * A decision is three steps: permit_policy() for what needs no consumer, permit_find() for what the
 * index says of one, permit_judge() for what follows. Who reads a mapping that another process
 * writes checks before and after that policy and writer are still the same (lov.c); the server
 * knows its own.
 */
#ifndef LOV_PERMIT_PERMIT_H
#define LOV_PERMIT_PERMIT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/hash128.h"
#include "base/str.h"
#include "lov.h"
#include "permit/format.h"
#include "permit/image.h"

enum permit_state { PERMIT_GIVEN, PERMIT_REFUSED, PERMIT_WITHDRAWN };

/* A mapped index whose header was checked. Immutable. */
struct permit_map {
    const struct permit_header *header;
    size_t size;
    const _Atomic uint64_t *table[2], *policy[2], *terms, *overflow, *residences;
    uint64_t table_homes[2]; /* more lines than this are no homes, but their slack */
    uint64_t table_lines[2], policy_room[2], term_limit, overflow_units, residence_limit;
};

/* Checks the fixed part of the header of a file of `size` bytes that is mapped at `base`. 0 and
 * *out, or LOV_ECORRUPT or LOV_EVERSION and *what, a static text. */
int permit_map_init(const void *base, size_t size, struct permit_map *out, const char **what);

/* Which start of the machine this is; 0 where that can't be known. Opens a file of /proc. */
uint64_t permit_boot(void);
/* CLOCK_MONOTONIC to a tick of the kernel, ns. */
uint64_t permit_ticks(void);
/* The wall clock, ms UTC, or up to 10 ms later: never earlier. */
int64_t permit_now(void);

/* What the index says of a consumer about one key. */
struct permit_answer {
    bool restricted, opt_out_signal, no_automated_decision, erased;
    uint32_t residence, address, number; /* number: UINT32_MAX where it was not looked at */
    int32_t born;
    bool answered; /* there is a permit for the key; what follows says it */
    bool by_guardian;
    uint8_t state;
    uint32_t notice;
    int32_t notice_version;
    int64_t expires_at, consent;
};

enum permit_found { PERMIT_NOBODY, PERMIT_SOMEBODY, PERMIT_BUSY };
/* One consistent state of the consumer; PERMIT_BUSY: a writer is in the middle of a change and does
 * not come out of it. */
enum permit_found permit_find(const struct permit_map *m, const struct hash128 *lookup,
                              uint32_t key, struct permit_answer *out);
/* The same for a consumer known by number and address (see format.h). */
enum permit_found permit_find_number(const struct permit_map *m, uint32_t address, uint32_t number,
                                     uint32_t key, struct permit_answer *out);
/* All that the index says of a consumer, in one consistent state: `*items` of what fits into
 * `room`, out->count of what there is. */
struct permit_item {
    struct permit_term term;
    int64_t expires_at, consent;
};
struct permit_record {
    bool restricted, opt_out_signal, no_automated_decision, erased;
    uint32_t residence, count;
    int32_t born;
};
enum permit_found permit_find_all(const struct permit_map *m, uint32_t address, uint32_t number,
                                  struct permit_record *out, struct permit_item *items,
                                  uint32_t room);
/* The first line of the table in use and how many homes it has; NULL where it is none. */
static inline const _Atomic uint64_t *permit_table(const struct permit_map *m, uint64_t *lines)
{
    const uint64_t g = atomic_load_explicit(&m->header->generation, memory_order_acquire) & 1;
    *lines = word_get(&m->header->lines[g]);
    return *lines < m->table_homes[g] ? m->table[g] : NULL;
}
/* Starts fetching what permit_find() will read first. */
void permit_prefetch(const struct permit_map *m, uint32_t address);
/* When that has come: what permit_find_number() will read next. */
void permit_prefetch_blocks(const struct permit_map *m, uint32_t address);

/* Rules 2 and 3. LOV_PERMITTED and *use, or why not. */
enum lov_reason permit_policy(const struct image *image, struct str recipient, struct str purpose,
                              struct str category, int64_t at, const struct image_use **use);
/* The first instant at which rule 2 refuses a recipient; INT64_MIN: at every one. */
int64_t permit_usable_until(const struct image_recipient *r);
/* Rules 4 and 5. `answer` is NULL for a consumer who is not known. Sets all of *out but `at`. */
void permit_judge(const struct permit_map *m, const struct image *image,
                  const struct image_use *use, const struct permit_answer *answer, int64_t at,
                  struct lov_decision *out);
/* The law of a residence, by the index's number of it, and the age below which a guardian consents
 * there. */
struct image_residence permit_residence(const struct permit_map *m, const struct image *image,
                                        uint32_t number);
/* Both in one: for a consumer known by their keyed hash. Sets all of *out. */
void permit_decide(const struct permit_map *m, const struct image *image,
                   const struct image_use *use, const struct hash128 *lookup, int64_t at,
                   struct lov_decision *out);
/* A decision without a consumer: denied. */
struct lov_decision permit_denied(enum lov_reason reason, const struct image *image, int64_t at);

#endif
