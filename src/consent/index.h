/*
 * index.h - the permit index: what a decision needs to know of a consumer, found by the keyed hash
 * of their id. Derived from the stores, never the truth.
 *
 * One writer (the writer's thread, or opening), any number of readers. Readers hold the index
 * between index_read_lock and index_read_unlock; what they find is valid until then. A writer
 * changes a consumer between index_write_lock and index_write_unlock, all at once: no reader sees
 * half of it.
 */
#ifndef LOV_CONSENT_INDEX_H
#define LOV_CONSENT_INDEX_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/crypt.h"
#include "base/hash.h"
#include "base/str.h"

struct index;

enum permit_state { PERMIT_GIVEN, PERMIT_REFUSED, PERMIT_WITHDRAWN };

/* A consumer's standing answer for one (recipient, purpose, category), known by its number. */
struct permit {
    uint32_t key;
    uint8_t state;
    bool by_guardian;
    uint32_t notice; /* number of the notice's id */
    int32_t notice_version;
    int64_t expires_at; /* INT64_MAX: never */
    int64_t consent;    /* seq */
};

struct index_consumer {
    struct hash128 lookup;
    struct uid cid;
    uint32_t shard;
    uint32_t residence; /* number of the name */
    int32_t born;
    bool restricted, opt_out_signal, erased;
    uint32_t permit_count;
    struct permit *permits;
};

struct index *index_new(void);
void index_free(struct index *ix);

void index_read_lock(struct index *ix);
void index_read_unlock(struct index *ix);
void index_write_lock(struct index *ix);
void index_write_unlock(struct index *ix);

/* ---- under either lock ---- */
const struct index_consumer *index_find(const struct index *ix, const struct hash128 *lookup);
/* By number: 0 to index_count() - 1. */
const struct index_consumer *index_at(const struct index *ix, int64_t number);
int64_t index_count(const struct index *ix);
const struct permit *index_permit(const struct index_consumer *c, uint32_t key);
struct str index_name(const struct index *ix, uint32_t number);
uint32_t index_name_count(const struct index *ix);

/* ---- under the write lock ---- */
/* The number of a name, given once and kept. */
uint32_t index_number(struct index *ix, struct str name);
/* The number of (recipient, purpose, category). */
uint32_t index_key(struct index *ix, struct str recipient, struct str purpose, struct str category);
struct index_consumer *index_add(struct index *ix, const struct hash128 *lookup,
                                 const struct uid *cid, uint32_t shard);
/* NULL where there is none. */
struct index_consumer *index_by_cid(struct index *ix, const struct uid *cid);
struct index_consumer *index_change(struct index *ix, const struct hash128 *lookup);
void index_set(struct index *ix, struct index_consumer *c, const struct permit *permit);
/* Forgets all but that there was one. */
void index_erase(struct index *ix, struct index_consumer *c);
/* How many permits there are in all. */
int64_t index_permits(const struct index *ix);

#endif
