/*
 * checkpoint.h - the text of a checkpoint (C2SP tlog-checkpoint): which log, how many events, and
 * the root of their Merkle tree. Signed as a note (note.h), it is what the log can be held to.
 *
 * Parsing borrows from its input. Thread-safe, no state, no database.
 */
#ifndef LOV_LEDGER_CHECKPOINT_H
#define LOV_LEDGER_CHECKPOINT_H

#include <stdint.h>

#include "base/hash.h"
#include "ledger/note.h"

struct checkpoint {
    struct str origin;
    int64_t size;
    struct sha256 root;
    struct str extensions; /* further lines, which Lov never writes; usually empty */
};

/* Appends the three lines. */
void checkpoint_format(const struct checkpoint *c, struct buf *out);
/* LOV_EINVAL on anything but the format. */
int checkpoint_parse(struct str text, struct checkpoint *out, struct err *err);
/* The whole of it: the note, the signature of `key`, and that the origin is the key's name. */
int checkpoint_open(struct str bytes, const struct note_key *key, struct checkpoint *out,
                    struct err *err);

#endif
