/*
 * publish.h - signed checkpoints of a shard and the cosignatures of witnesses, in the store.
 *
 * A checkpoint, once signed, binds: before one is made, the tree that it stands for is computed
 * again from tiles, and the one before it must be its beginning. Functions on a struct db may be
 * used on any connection, publish_step() and publish_cosign() inside a transaction of the writer.
 */
#ifndef LOV_LEDGER_PUBLISH_H
#define LOV_LEDGER_PUBLISH_H

#include "db/db.h"
#include "ledger/checkpoint.h"

/* The longest origin, so that "/" and a shard's number still fit a key's name. */
enum { ORIGIN_MAX = NOTE_NAME_MAX - 11 };

/* Who signs for one shard: the key's name is the origin of the shard's checkpoints. */
struct log_signer {
    struct note_key key;
    struct secret seed;
};

/* The verifier key of a shard: its name is the installation's origin, "/", and the shard. */
int publish_key(struct str origin, uint32_t shard, const struct ed25519_key *key,
                struct note_key *out, struct err *err);

int publish_check_origin(struct str origin, struct err *err);
/* The installation's origin; set once (by the first who does), LOV_EINVAL when it cannot be one. */
int publish_set_origin(struct db *lov, struct str origin, struct err *err);
/* 1 and appended, or 0 when none was set. */
int publish_origin(struct db *lov, struct buf *out, struct err *err);
/* The public key that signs, noted for those who have no key to the identity store. */
int publish_note_public(struct db *lov, const struct ed25519_key *key, struct err *err);
int publish_public(struct db *lov, struct ed25519_key *out, struct err *err);

/* Writes tiles, as many as one transaction should, and the checkpoint of the committed head when
 * none is left; *more says that it should be called again. Nothing happens when the last checkpoint
 * is of this size. LOV_ECORRUPT, with what is wrong, when the ledger does not continue what was
 * signed: nothing is signed then. */
int publish_step(struct db *lov, uint32_t shard, const struct log_signer *signer, int64_t now,
                 bool *more, struct err *err);

struct published {
    int64_t size, at;
    struct sha256 root;
    struct str text, signature; /* in *memory of the call */
};
/* The checkpoint of that size, or the last one (size -1). 1, or 0 when there is none. */
int publish_get(struct db *lov, uint32_t shard, int64_t size, struct buf *memory,
                struct published *out, struct err *err);
/* The same as the signed note with all cosignatures. */
int publish_note(struct db *lov, uint32_t shard, int64_t size, struct buf *out, struct err *err);

/* The witnesses whose cosignatures are kept. */
enum { WITNESSES_MAX = 32 };
struct witnesses {
    size_t count;
    struct note_key key[WITNESSES_MAX];
};
/* One verifier key a line; empty lines and those that begin with '#' say nothing. */
int publish_witnesses(struct str text, struct witnesses *out, struct err *err);
/* Are the lines (one or more, C2SP tlog-cosignature) over the checkpoint of that size (-1: the
 * last) each by one of the witnesses and right? LOV_EINVAL when not, LOV_ENOTFOUND: no such
 * checkpoint. */
int publish_verify(struct db *lov, uint32_t shard, int64_t size, struct str lines,
                   const struct witnesses *by, struct err *err);
/* The same, and keeps them all; *kept counts those that were not there. */
int publish_cosign(struct db *lov, uint32_t shard, int64_t size, struct str lines,
                   const struct witnesses *by, int *kept, struct err *err);

#endif
