/*
 * identity.h - who: the store that alone connects the controller's id of a consumer with the random
 * cid under which everything else knows them.
 *
 * One row a consumer: a keyed hash of the id to find it by, the shard, the cid (when they came,
 * then 10 random bytes: whoever hashes a cid takes its end), and, sealed by the key-encryption key
 * with the cid as associated data, the id itself and the consumer's data key. Deleting that row is
 * erasure: what remains elsewhere points at nobody and can't be read.
 *
 * The key-encryption key (KEK) is 32 bytes in hexadecimal, from $LOV_KEY or the file `key` (0600)
 * of the installation's folder. While it is being changed there are two: what is sealed from then
 * on is sealed by the new one, in `key.next`, and both open. A struct identity may be used by any
 * thread.
 */
#ifndef LOV_IDENTITY_IDENTITY_H
#define LOV_IDENTITY_IDENTITY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/crypt.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/str.h"
#include "db/db.h"

struct identity;

struct identity_row {
    struct hash128 lookup;
    struct uid cid;
    uint32_t shard;
    int64_t number; /* dense, in order of arrival */
};

/* The first one seals, each one opens. */
struct identity_keys {
    struct secret key[2];
    int count;
};
#define _cleanup_keys __attribute__((cleanup(identity_keys_wipe)))
void identity_keys_wipe(struct identity_keys *keys);

/* Makes a new KEK file in `dir`; LOV_EIO when there is one. */
int identity_create_key(const char *dir, struct err *err);
/* The KEK, and the one that takes its place where a rotation has begun. */
int identity_load_keys(const char *dir, struct identity_keys *out, struct err *err);
/* A rotation has begun in `dir` and not ended. */
bool identity_is_rotating(const char *dir);

/* `db` is a writing connection to the store, migrated here; the root secret is made at the first
 * opening. LOV_ECORRUPT when the KEK is not the one that the store was sealed with. */
int identity_open(struct db *db, const struct identity_keys *keys, uint32_t shards,
                  struct identity **out, struct err *err);
/* The same for looking into a store: writes nothing. */
int identity_open_read(struct db *db, const struct identity_keys *keys, uint32_t shards,
                       struct identity **out, struct err *err);
void identity_close(struct identity *who);
/* A secret for one use, the same for the life of the installation. */
struct secret identity_secret(const struct identity *who, const char *use);
/* The seed of the Ed25519 key that signs the ledger's checkpoints; made at the first opening,
 * borrowed. */
const struct secret *identity_log_key(const struct identity *who);

/* Where a consumer of that id is, or would be. `id` is 1 to 128 bytes. */
struct hash128 identity_lookup(const struct identity *who, struct str id);
/* 1 and *out, or 0 when there is no such consumer. */
int identity_find(struct db *db, const struct hash128 *lookup, struct identity_row *out,
                  struct err *err);
int identity_find_cid(struct db *db, const struct uid *cid, struct identity_row *out,
                      struct err *err);
/* 1 when a consumer of that id was erased, or 0. */
int identity_was_erased(struct db *db, const struct hash128 *lookup, struct err *err);
/* Adds a consumer who is not there; the caller holds the transaction. */
int identity_add(const struct identity *who, struct db *db, struct str id, int64_t now,
                 struct identity_row *out, struct err *err);

/* The same in two steps, for who adds many: what can be made ahead, on any thread, and the row. */
struct identity_new {
    struct identity_row row; /* number: the caller's, from identity_next_number() on */
    struct str id;           /* private, like the rest; borrowed until identity_put() */
    struct str sealed_id, sealed_key;
    uint64_t generation;
};
/* Does not touch row.number. */
void identity_prepare(const struct identity *who, struct str id, int64_t now, struct arena *arena,
                      struct identity_new *out);
/* The caller holds the transaction. Where the key has changed since it was prepared it is made
 * again, and row.cid with it. */
int identity_put(const struct identity *who, struct db *db, struct identity_new *new, int64_t now,
                 struct err *err);

/* A transaction that only reads, for many names: where they are looked up one by one, or in this,
 * identity_name() remembers them. Ended by db_rollback(). */
int identity_begin_read(const struct identity *who, struct db *db, struct err *err);
/* 1 and the controller's id appended, or 0 when nobody (any more) has that cid. */
int identity_name(const struct identity *who, struct db *db, const struct uid *cid, struct buf *id,
                  struct err *err);
/* The controller's ids of many consumers, read in large pieces. One thread at a time. */
struct identity_names;
struct identity_names *identity_names_new(const struct identity *who, struct db_pool *identities);
void identity_names_free(struct identity_names *n);
/* Of consumers by number and cid, in order of number, as the permit index has them; its numbers are
 * the store's, or lag behind them where consumers were erased before it was made. Appends each id
 * to *out, and sets ids[i] to where it is in there: an empty one for who is not there (any more).
 * `count` at most IDENTITY_NAMES. */
enum { IDENTITY_NAMES = 4096 };
struct identity_span {
    uint32_t offset, length;
};
int identity_names_read(struct identity_names *n, const uint32_t *numbers, const struct uid *cids,
                        size_t count, struct buf *out, struct identity_span *ids, struct err *err);
/* 1 and the consumer's data key, or 0. */
int identity_data_key(const struct identity *who, struct db *db, const struct uid *cid,
                      struct secret *out, struct err *err);
/* The same with a search less, of one who was found: lookup and cid. */
int identity_data_key_of(const struct identity *who, struct db *db, const struct identity_row *row,
                         struct secret *out, struct err *err);
/* The number that the next consumer will have: there are at most as many. */
int identity_next_number(struct db *db, int64_t *out, struct err *err);
/* Every consumer, in order of number. Stops when `row` returns non-zero and returns that. */
int identity_each(struct db *db, int (*row)(void *ctx, const struct identity_row *r), void *ctx,
                  struct err *err);

/* ---- changing the key-encryption key ---- */

/* Begins, or goes on with what was begun: makes `key.next` (or takes the one that is there, so that
 * a key from elsewhere can be put there first) and seals with it from now on. Writer's thread. */
int identity_rotate_begin(struct identity *who, const char *dir, struct err *err);
/* Seals anew what up to `limit` consumers with a number > after have under the old key; *last is
 * the number to go on from, -1 at the end, *rows how many were looked at. The caller holds the
 * transaction. May be repeated and begun again at any number. */
int identity_rotate_some(const struct identity *who, struct db *db, int64_t after, int64_t limit,
                         int64_t *last, int64_t *rows, struct err *err);
/* The secrets of the installation, in the same way. These three and identity_rotate_end are for one
 * thread: the writer's. */
int identity_rotate_secrets(const struct identity *who, struct db *db, struct err *err);
/* Everything is sealed by the new key and durable: `key.next` becomes `key`, whose content is
 * overwritten, and the old one is forgotten. With $LOV_KEY the file stays, and *environment is set:
 * the operator must change the variable. */
int identity_rotate_end(struct identity *who, const char *dir, bool *environment, struct err *err);

/* ---- verifying ---- */

struct identity_report {
    int64_t consumers;
    int64_t wrong_number; /* -1: all right; otherwise the first row that is wrong */
    const char *what;
};
/* Opens what is sealed in each row and compares the row with it: a row that was changed, or had
 * parts exchanged with another one's, is found. 0 whether it is right or wrong. */
int identity_verify(const struct identity *who, struct db *db, struct identity_report *out,
                    struct err *err);

/* Deletes the row, with the account and its sessions. `suppress` remembers the keyed hash, so that
 * a later import of the same id is caught. */
int identity_erase(struct db *db, const struct hash128 *lookup, int64_t now, bool suppress,
                   struct err *err);
/* After that was committed, and before anybody is told: what identity_name() has remembered of the
 * consumer is forgotten. Any thread. */
void identity_forget_name(const struct identity *who, const struct uid *cid);
int identity_each_erased(struct db *db, int (*row)(void *ctx, const struct hash128 *lookup),
                         void *ctx, struct err *err);

#endif
