/*
 * index.h - the permit index, as its writer sees it: what a decision needs to know of a consumer,
 * found by the keyed hash of their id. Derived from the stores, never the truth.
 *
 * It lies in two mapped files of the installation's folder: permits.idx (0640), which readers in
 * any process map (permit/permit.h, liblov; docs/index-format.md), and permits.cid (0600), which
 * connects the number of a consumer with their cid for this process alone.
 *
 * One writer at a time, between index_write_lock and index_write_unlock: a consumer changes all at
 * once, at the latest at the unlock, and no reader sees half of it. Readers take no lock; what they
 * call says so ("any thread").
 *
 * When the disk has no room for the index to grow it is broken: the state says so, every decision
 * is unavailable, changes go nowhere, and the next opening builds it anew.
 */
#ifndef LOV_CONSENT_INDEX_H
#define LOV_CONSENT_INDEX_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/crypt.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/str.h"
#include "permit/permit.h"

struct index;

/* A consumer's standing answer for one (recipient, purpose, category), known by its number. */
struct permit {
    uint32_t key;
    uint8_t state; /* enum permit_state */
    bool by_guardian;
    uint32_t notice; /* number of the notice's id */
    int32_t notice_version;
    int64_t expires_at; /* INT64_MAX: never */
    int64_t consent;    /* seq */
};

/* A consumer as they are being changed: set the attributes, call index_set; good until the next
 * index_change, index_add or unlock. */
struct index_consumer {
    uint32_t residence; /* number of the name */
    int32_t born;
    bool restricted, opt_out_signal, no_automated_decision, erased;
};

struct index_options {
    const char *dir;
    uint8_t lookup_key[16];   /* of identity_lookup() */
    uint8_t installation[16]; /* the same for the life of the installation */
    uint32_t shards;
    struct log *log;
};
/* How what lies in the folder was found. */
enum index_found {
    INDEX_WHOLE,  /* closed in order */
    INDEX_BEHIND, /* its writer ended without closing: complete up to index_applied() */
    INDEX_EMPTY,  /* new, or not to be trusted: to be filled */
};
/* Opens the files or makes them. Readers see nothing until index_go_live(). */
int index_open(const struct index_options *o, struct index **out, enum index_found *found,
               struct err *err);
/* Empties it, in place: readers that have it open go on with it once it is filled. */
int index_reset(struct index *ix, struct err *err);
/* From now on readers may decide from it, as long as this process lives. */
void index_go_live(struct index *ix);
/* Closes in order, durable; only where `whole`, the next opening may take it as it is. */
void index_close(struct index *ix, bool whole);

/* ---- any thread ---- */

/* A key that no permit has: to look for the consumer alone. */
#define INDEX_NO_KEY UINT32_MAX

const struct permit_map *index_map(const struct index *ix);
bool index_is_broken(const struct index *ix);
/* Consumers are numbered from 0 to index_count() - 1. */
int64_t index_count(const struct index *ix);
/* How many permits there are in all. */
int64_t index_permits(const struct index *ix);
/* Where the consumer of a number is, and who: all zero for one who was erased. */
uint32_t index_address(const struct index *ix, int64_t number);
struct uid index_cid(const struct index *ix, int64_t number);
uint32_t index_shard_of(const struct index *ix, uint32_t address);
uint32_t index_residence_count(const struct index *ix);
struct str index_residence_name(const struct index *ix, uint32_t number);

/* Sets of consumers, kept with every change (sets.h). */
struct sets;
struct sets *index_sets(const struct index *ix);

void index_write_lock(struct index *ix);
void index_write_unlock(struct index *ix);

/* ---- under the write lock ---- */

/* The number of a name, given once and kept. A residence is a code of at most 8 bytes. */
uint32_t index_residence(struct index *ix, struct str code);
uint32_t index_notice(struct index *ix, struct str id);
/* The number of (recipient, purpose, category). */
uint32_t index_key(struct index *ix, struct str recipient, struct str purpose, struct str category);
struct index_consumer *index_add(struct index *ix, const struct hash128 *lookup,
                                 const struct uid *cid, uint32_t shard);
/* NULL where there is none. */
struct index_consumer *index_change(struct index *ix, const struct hash128 *lookup);
/* The same by cid: for filling, through a table made at the first call and kept in memory until
 * index_go_live(). */
struct index_consumer *index_by_cid(struct index *ix, const struct uid *cid);
void index_set(struct index *ix, struct index_consumer *c, const struct permit *permit);
/* Forgets every answer, so that they can be set anew. */
void index_clear(struct index *ix, struct index_consumer *c);
/* Forgets all but that there was one. */
void index_erase(struct index *ix, struct index_consumer *c);
/* The same, and the id leads there no more: it is unknown. What stays until the index is made anew
 * is where the entry lies, by 32 bits of the keyed hash. */
void index_forget(struct index *ix, struct index_consumer *c);
/* Makes room for that many consumers at once; growing by itself moves a part at each addition. */
void index_reserve(struct index *ix, int64_t consumers);

/* Puts a compiled policy in force for readers in other processes; NULL: none. */
void index_publish(struct index *ix, const void *image, size_t size);
/* The newest instant of the ledger, ms UTC: a clock far behind it is not trusted by readers. */
void index_latest(struct index *ix, int64_t latest);
/* How far the index has taken in a shard's ledger: `size` events, the last one's leaf hash. */
void index_set_applied(struct index *ix, uint32_t shard, int64_t size, const struct sha256 *leaf);
int64_t index_applied(const struct index *ix, uint32_t shard);
/* Is `leaf` that of the last event taken in? */
bool index_applied_is(const struct index *ix, uint32_t shard, const struct sha256 *leaf);

#endif
