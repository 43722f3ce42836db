/*
 * store.h - what the files of this module share. Private.
 */
#ifndef LOV_IDENTITY_STORE_H
#define LOV_IDENTITY_STORE_H

#include <pthread.h>

#include "base/cmac.h"
#include "identity/identity.h"

struct identity {
    struct secret root, log;
    struct cmac_key lookup_key;
    uint32_t shards;
    pthread_rwlock_t lock; /* guards keys, which a rotation changes */
    struct identity_keys keys;
    uint64_t generation; /* of the key that seals; under lock */
    struct recent *recent;
};

/* ---- recent.c: ids that were looked up lately; any thread ---- */

struct recent *recent_new(void);
void recent_free(struct recent *r); /* wiped */
/* Appends the consumer's id; false when it is not known here. */
bool recent_get(struct recent *r, const struct uid *cid, struct buf *id);
/* Before the state of the store begins that is asked, and what it said: not kept if something was
 * erased meanwhile. A mark is never 0. */
uint64_t recent_mark(struct recent *r);
void recent_put(struct recent *r, uint64_t mark, const struct uid *cid, struct str id);
/* After the consumer's erasure was committed, before it is answered. */
void recent_forget(struct recent *r, const struct uid *cid);

/* What sealed values are bound to, followed by the cid where they are a consumer's. */
extern const char SEALED_ID[7], SEALED_KEY[13], SEALED_ROOT[9], SEALED_LOG[8];
struct str identity_associated(const char *use, const struct uid *cid, struct buf *out);
/* By the key that seals; by any key that is left. */
void kek_seal(const struct identity *who, struct str associated, struct str plain, struct buf *out);
int kek_unseal(const struct identity *who, struct str associated, struct str sealed,
               struct buf *out, struct err *err);

uint32_t identity_shard(const struct identity *who, const struct hash128 *lookup);
struct str identity_hash_str(const struct hash128 *h);

#endif
