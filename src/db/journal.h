/*
 * journal.h - a file in which batches are durable before the database has them.
 *
 * What a batch has appended to a log is written here as one frame and synced: one write at the end
 * of a small file in place of pages all over a database. Its transaction stays open meanwhile and
 * is committed with many others later; then the journal starts over at its beginning. After a crash
 * whoever opens the store reads the frames and appends what the store lacks.
 *
 * File, version 1: frames of whole blocks of 4,096 bytes, so that writing one never touches
 * another. A frame is a head of 40 bytes (magic "LOVJ", version 4, generation 8, place in its
 * generation 8, length 8, zero 8; little-endian), the first 24 bytes of SHA-256 over head and
 * payload, and the payload: entries of 4 bytes of length and the bytes. Frames of one generation
 * stand in a row from the beginning; the first that is not whole, or of another generation, ends
 * them.
 *
 * One thread writes; any process may read beside it: a frame that is being overwritten reads as the
 * end.
 */
#ifndef LOV_DB_JOURNAL_H
#define LOV_DB_JOURNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

enum { JOURNAL_BYTES = 16 << 20 };

/* Non-zero ends the reading, which returns it. */
typedef int journal_entry(void *ctx, struct str entry);
/* Calls `each` with the entries of all frames, in order. 0 where there is no such file. */
int journal_read(const char *path, journal_entry *each, void *ctx, struct err *err);

struct journal;
/* Opens it for writing (0600; made where there is none). What it holds must be in the store,
 * durably: the first frame overwrites it. */
int journal_open(const char *path, struct journal **out, struct err *err);
void journal_close(struct journal *j);
/* Appends an entry to a payload. */
void journal_entry_add(struct buf *payload, struct str entry);
/* Writes a frame; durable when it returns 0. Otherwise there is nothing of it, and the journal
 * takes no more until it is opened again - but for LOV_ELIMIT, where only the room was too little.
 */
int journal_append(struct journal *j, struct str payload, struct err *err);
/* Everything is in the store, durably: starts over. */
void journal_restart(struct journal *j);
bool journal_is_empty(const struct journal *j);

#endif
