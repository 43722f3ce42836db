/*
 * bundle.h - events as they lie in the store: the encodings of several that follow each other in a
 * row, each behind its length in two bytes, and their hashes.
 *
 * Reading takes a row at a time into memory, so no statement is in use while its events are looked
 * at. Nothing that is read here is checked but where it says so: who verifies compares by
 * themselves.
 */
#ifndef LOV_LEDGER_BUNDLE_H
#define LOV_LEDGER_BUNDLE_H

#include "ledger/event.h"

/* A row takes events until another would make it larger than BUNDLE_BYTES, which fills two pages
 * and what SQLite keeps of a row beside its key. No entry is shorter than ENTRY_LEAST with its
 * hash. */
enum { BUNDLE_BYTES = 9140, ENTRY_LEAST = 2 + 49 + 32, BUNDLE_MOST = BUNDLE_BYTES / ENTRY_LEAST };

/* An entry at the place of event `seq`; borrowed until the cursor moves. */
struct entry {
    int64_t seq;
    struct str bytes;    /* the encoding; what there is of it, where it is cut off */
    const uint8_t *leaf; /* 32 bytes; NULL where there is none */
};

/* Events one after the other. */
struct cursor {
    struct db *lov;
    uint32_t shard;
    bool backwards;
    int64_t next, end; /* the place to go on from, and the first that is not wanted */
    struct buf entries, leaves;
    struct entry entry[BUNDLE_MOST + 1]; /* of the row that was read, and the one that comes next */
    int count, at;
};

/* From `from` on, as long as they are smaller than `to`. */
struct cursor cursor_from(struct db *lov, uint32_t shard, int64_t from, int64_t to);
/* The newest first: from `from` down to 0. */
struct cursor cursor_back(struct db *lov, uint32_t shard, int64_t from);
/* 1: *out is the next entry; 0: there is none; negative: the store cannot be read. */
int cursor_next(struct cursor *c, struct entry *out, struct err *err);
/* The entry of the event that says that its number is `seq`, wherever in its row it stands; 1 or 0.
 * The row stays, so that the next one that is looked for in it costs nothing. */
int cursor_find(struct cursor *c, int64_t seq, struct entry *out, struct err *err);
void cursor_close(struct cursor *c);
/* False where the entry is not the encoding of an event of the shard, or has no hash. The hash is
 * the one beside it, and not compared; texts are borrowed. */
bool entry_event(const struct entry *e, uint32_t shard, struct ledger_event *out);

/* Appends the hashes of as many as there are of `count` events from `first` on; 0 or negative. */
int bundle_leaves(struct db *lov, uint32_t shard, int64_t first, unsigned count, struct buf *out,
                  struct err *err);
/* Appends an entry: the length of the encoding, and the encoding. */
void bundle_add(struct buf *entries, struct str encoding);
/* How many events a row takes of those that the entries begin with, at least one; *bytes of them.
 */
int64_t bundle_fill(struct str entries, size_t *bytes);
/* The first event of the shard's last row; 0 where there is none. */
int bundle_last(struct db *lov, uint32_t shard, int64_t *first, struct err *err);
/* Writes a row. */
int bundle_put(struct db *lov, uint32_t shard, int64_t first, struct str entries, struct str leaves,
               struct err *err);

#endif
