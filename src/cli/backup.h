/*
 * backup.h - what lov backup, lov restore and lov log verify share: looking through a store's file.
 *
 * A backup is a folder: lov-STAMP.db, and lov-STAMP.json, which is written last and without which
 * the copy is none; and identity.db, of which there is one, the latest. What is not finished yet
 * has
 * ".part" in its name.
 */
#ifndef LOV_CLI_BACKUP_H
#define LOV_CLI_BACKUP_H

#include "base/hash.h"
#include "base/json.h"
#include "cli/cli.h"
#include "consent/consent.h"

enum { BACKUP_SHARDS = 1024, MANIFEST_MAX = 1 << 20 };

/* Reads everything in the copy of a lov store: pages, structure, every hash of the ledger, and the
 * state against it. Appends the manifest's member "shards" ([{shard, events, root}]) to *shards.
 * LOV_ECORRUPT says what is wrong. */
int backup_verify_lov(const char *path, struct buf *shards, int64_t *events, struct err *err);
/* The same for a copy of the identity store. With `keys` (may be NULL) each row is opened too. */
int backup_verify_identity(const char *path, const struct identity_keys *keys, int64_t *consumers,
                           struct err *err);

/* Removes what was not finished. */
void backup_clear_parts(const char *dir);

#endif
