/*
 * note.h - signed notes (C2SP signed-note v1): text that one or more keys signed.
 *
 * A note is text that ends in a newline, an empty line, and signature lines. Keys are known by name
 * and id; lines of keys that nobody asked for are kept and passed on, never trusted. Two kinds of
 * keys: Ed25519 (0x01), which signs the text, and a witness's Ed25519 cosignature (0x04, C2SP
 * tlog-cosignature), which signs the text and an instant.
 *
 * Parsing borrows from its input. Thread-safe, no state, no database.
 */
#ifndef LOV_LEDGER_NOTE_H
#define LOV_LEDGER_NOTE_H

#include <stdint.h>

#include "base/crypt.h"
#include "base/err.h"
#include "base/str.h"

enum { NOTE_NAME_MAX = 255, NOTE_LINES_MAX = 64, NOTE_MAX = 256 * 1024, NOTE_VKEY_MAX = 400 };
enum note_kind { NOTE_ED25519 = 0x01, NOTE_COSIGNATURE = 0x04 };

struct note_key {
    enum note_kind kind;
    uint32_t id;
    struct ed25519_key key;
    size_t name_length;
    char name[NOTE_NAME_MAX + 1]; /* ends in NUL */
};

struct note_line {
    struct str name;
    uint32_t id;
    struct str signature; /* base64 of the id and the signature, well-formed */
    struct str line;      /* the whole line with its newline */
};

struct note {
    struct str text; /* with its last newline */
    size_t count;
    struct note_line line[NOTE_LINES_MAX];
};

/* Non-empty UTF-8 of at most NOTE_NAME_MAX bytes without control characters, Unicode spaces
 * and '+'. */
bool note_name_valid(struct str name);
/* The id is made of the rest. LOV_EINVAL: the name is not one. */
int note_key_make(struct str name, enum note_kind kind, const struct ed25519_key *key,
                  struct note_key *out, struct err *err);
struct str note_key_name(const struct note_key *key);
/* A verifier key ("vkey"): name+id+key. */
int note_key_parse(struct str vkey, struct note_key *out, struct err *err);
void note_key_format(const struct note_key *key, struct buf *out);

/* LOV_EINVAL when it is malformed, LOV_ELIMIT beyond the bounds above. */
int note_parse(struct str bytes, struct note *out, struct err *err);
/* One signature line as witnesses send it, with or without its newline. */
int note_line_parse(struct str line, struct note_line *out, struct err *err);
/* Did `key` sign? 0: yes. LOV_ENOTFOUND: no line is this key's. LOV_ECORRUPT: one is and does not
 * verify. *at (may be NULL) is the instant of a cosignature in ms UTC, 0 for Ed25519. */
int note_verify(const struct note *note, const struct note_key *key, int64_t *at, struct err *err);
/* The same for one line over `text`. */
int note_verify_line(struct str text, const struct note_line *line, const struct note_key *key,
                     int64_t *at, struct err *err);

/* Appends the signature line of `key` over `text`, with its newline. `seed` is the key's secret;
 * `at` (ms UTC, whole seconds are kept) matters to cosignatures only. */
void note_sign(struct str text, const struct note_key *key, const struct secret *seed, int64_t at,
               struct buf *out);

#endif
