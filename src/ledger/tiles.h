/*
 * tiles.h - the hashes of a shard's tree in tiles (C2SP tlog-tiles), as proofs need them and as
 * they are published.
 *
 * Complete tiles are rows that never change; a partial one is put together from the leaves of
 * events (level 0) or from the roots of the tiles below. A struct tiles belongs to one thread and
 * uses one connection, and must stay where it is while its source is in use.
 */
#ifndef LOV_LEDGER_TILES_H
#define LOV_LEDGER_TILES_H

#include "db/db.h"
#include "ledger/ledger.h"
#include "ledger/proof.h"

/* Level 7 would begin at 2^56 events. */
enum { TILE_WIDTH = 256, TILE_LEVELS = 7 };

/* The first hashes of one tile: a proof asks for several parts of each that it touches. */
struct tile_part {
    unsigned level, count; /* count 0: nothing is here */
    int64_t index;
    struct sha256 hash[TILE_WIDTH];
};

struct tiles {
    struct db *db;
    uint32_t shard;
    struct proof_source source;
    unsigned next; /* of the parts, the one to be replaced */
    struct tile_part part[4];
};

void tiles_init(struct tiles *t, struct db *db, uint32_t shard);
/* `width` (1 to 256) hashes of the tile. LOV_ENOTFOUND when the tree has not so many. */
int tiles_read(struct tiles *t, unsigned level, int64_t index, unsigned width,
               struct sha256 out[TILE_WIDTH], struct err *err);
/* Appends the canonical encodings (ledger.h) of the events of a level 0 tile, each behind its
 * length in two bytes, big-endian. LOV_ENOTFOUND as above. */
int tiles_entries(struct db *db, uint32_t shard, int64_t index, unsigned width, struct buf *out,
                  struct err *err);

/* Writes tiles that the tree of `size` events completes and that are not there yet, at most `most`;
 * *complete is whether none is left. The caller holds the transaction. */
int tiles_extend(struct db *db, uint32_t shard, int64_t size, unsigned most, bool *complete,
                 struct err *err);

/* 1 when the stored tile folds to its root and holds what is below it, or is not there (yet); 0
 * when not; negative: it could not be read. `fold` alone does not look below. */
int tiles_check(struct tiles *t, unsigned level, int64_t index, bool fold, struct err *err);

/* Reads "LEVEL/N", "entries/N" (level -1), with ".p/W" for a partial one (otherwise *width is 256):
 * the path of a tile below "tile/". False when it is not exactly one. */
bool tiles_parse_path(struct str path, int *level, int64_t *index, unsigned *width);

#endif
