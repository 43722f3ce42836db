/* fuzz_note.c - any bytes as a signed note, a checkpoint, a signature line and a verifier key; what
 * is read is written back the same. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "ledger/checkpoint.h"
#include "ledger/note.h"

static void demand(bool holds)
{
    if (!holds)
        abort();
}

static void try_key(struct str bytes)
{
    struct note_key key;
    _cleanup_buf struct buf again = {0};
    if (note_key_parse(bytes, &key, NULL) != 0)
        return;
    note_key_format(&key, &again);
    demand(str_eq(bytes, buf_view(&again)));
}

static void try_checkpoint(struct str bytes)
{
    struct checkpoint c;
    _cleanup_buf struct buf again = {0};
    if (checkpoint_parse(bytes, &c, NULL) != 0)
        return;
    checkpoint_format(&c, &again);
    demand(str_eq(bytes, buf_view(&again)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static struct note note;
    static const struct secret seed;
    struct str bytes = {(const char *)data, n};
    struct note_line line;
    struct ed25519_key public = ed25519_public(&seed);
    struct note_key key;
    try_key(bytes);
    try_checkpoint(bytes);
    (void)note_line_parse(bytes, &line, NULL);
    if (note_parse(bytes, &note, NULL) != 0)
        return 0;
    _cleanup_buf struct buf again = {0};
    buf_str(&again, note.text);
    buf_char(&again, '\n');
    for (size_t i = 0; i < note.count; i++) {
        demand(note_name_valid(note.line[i].name));
        buf_str(&again, note.line[i].line);
    }
    demand(str_eq(bytes, buf_view(&again)));
    try_checkpoint(note.text);
    /* The names are those of the input, so that verifying is reached. */
    demand(note_key_make(note.line[0].name, NOTE_COSIGNATURE, &public, &key, NULL) == 0);
    key.id = note.line[0].id;
    (void)note_verify(&note, &key, NULL, NULL);
    return 0;
}
