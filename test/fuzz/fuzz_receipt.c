/* fuzz_receipt.c - any bytes as a receipt, as an event's encoding, and as what a receipt is held
 * against. Nothing that the fuzzer makes is proven: it has no key. A proof is made over its own
 * event and signed here, so that what lies behind the checkpoint is reached too. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "consent/receipt.h"
#include "ledger/checkpoint.h"
#include "ledger/event.h"

static const struct secret seed = {{42}};

static void demand(bool holds)
{
    if (!holds)
        abort();
}

static struct note_key key(void)
{
    struct note_key out;
    struct ed25519_key public = ed25519_public(&seed);
    demand(note_key_make(STR("fuzz.example/0"), NOTE_ED25519, &public, &out, NULL) == 0);
    return out;
}

static void try_event(struct str bytes)
{
    struct ledger_event event;
    _cleanup_buf struct buf again = {0};
    if (!event_decode(bytes, &event))
        return;
    event_encode(&event, &again);
    demand(str_eq(bytes, buf_view(&again)));
}

/* A log of one event, the receipt's own: a checkpoint whose root is its leaf. */
static void set_proof(json_t *receipt, const struct note_key *by)
{
    json_t *proof = json_object_get(receipt, "proof");
    const json_t *text = json_object_get(proof, "event");
    _cleanup_buf struct buf bytes = {0}, note = {0}, line = {0}, leaf = {0};
    if (!json_is_object(proof) || !json_is_string(text) || !base64_decode(json_text(text), &bytes))
        return;
    struct checkpoint c = {STR("fuzz.example/0"), 1, tree_leaf(buf_view(&bytes)), {0}};
    checkpoint_format(&c, &note);
    note_sign(buf_view(&note), by, &seed, 0, &line);
    buf_char(&note, '\n');
    buf_str(&note, buf_view(&line));
    base64_encode(c.root.b, sizeof c.root.b, &leaf);
    json_object_set_new(proof, "leaf", json_stringn(leaf.p, leaf.n));
    json_object_set_new(proof, "checkpoint", json_stringn(note.p, note.n));
    json_object_set_new(proof, "hashes", json_array());
}

static enum receipt_finding try_signed(struct str bytes, const struct note_key *by)
{
    _cleanup_json json_t *json = NULL;
    _cleanup_buf struct buf text = {0};
    _cleanup_arena struct arena arena = {0};
    struct receipt_report r;
    if (json_read(bytes, &json, NULL) != 0 || !json_is_object(json))
        return RECEIPT_UNREADABLE;
    set_proof(json, by);
    json_canonical(json, &text);
    receipt_verify(buf_view(&text), by, &arena, &r);
    demand(r.finding != RECEIPT_PROVEN && r.what[0] && r.what[sizeof r.what - 1] == 0);
    return r.finding;
}

/* The receipt among the seeds fails in the last step alone: all before it is fuzzed. */
int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    struct note_key by = key();
    _cleanup_buf struct buf file = {0};
    struct err err;
    (void)argc;
    (void)argv;
    demand(file_read("test/fuzz/corpus/fuzz_receipt/a", RECEIPT_MAX, &file, &err) == 0);
    demand(try_signed(buf_view(&file), &by) == RECEIPT_ALTERED);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct str bytes = {(const char *)data, n};
    struct note_key by = key();
    _cleanup_arena struct arena arena = {0};
    struct receipt_report r;
    receipt_verify(bytes, &by, &arena, &r);
    demand(r.finding != RECEIPT_PROVEN && r.what[0]);
    try_event(bytes);
    (void)try_signed(bytes, &by);
    r.size = 5;
    (void)receipt_against(&r, bytes, bytes, &by, NULL);
    return 0;
}
