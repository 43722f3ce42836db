/*
 * receipt.h - what the consumer is given of a consent event, and its proof.
 *
 * A receipt is JSON-LD: a consent receipt with the fields of ISO/IEC TS 27560:2023 in the terms of
 * W3C DPV, the text of the notice, and under "proof" the event as the ledger holds it, its
 * inclusion proof (RFC 9162 §2.1.3) and the signed checkpoint (C2SP tlog-checkpoint) that it leads
 * to. The log's key also signs the receipt as a whole: the proof speaks for the event, which knows
 * names only ("marketing", a hash); the signature speaks for the words that the company puts beside
 * them, such as "Marketing department", the notice's title, and the evidence in clear.
 *
 * The signature is the line of a C2SP signed note whose text is RECEIPT_MARK, a newline,
 * "sha256:", and the base64 of the SHA-256 of the receipt without the member proof.signature in the
 * canonical form of RFC 8785, and a newline. No checkpoint has such a text.
 *
 * What is personal is in the consumer's copy alone, as the member "personal": nothing is proven by
 * it. In the event it is encrypted, in every copy.
 *
 * receipt_verify() and receipt_against() need no engine, no database and no network.
 */
#ifndef LOV_CONSENT_RECEIPT_H
#define LOV_CONSENT_RECEIPT_H

#include "base/arena.h"
#include "base/err.h"
#include "base/hash.h"
#include "ledger/note.h"

struct engine;

#define RECEIPT_MARK "lov receipt 1"
enum { RECEIPT_MAX = 1 << 20 };

/* ---- making ---- */

struct receipt_request {
    uint32_t shard;
    int64_t consent; /* seq of the consent */
    int64_t event;   /* seq of one of its events; -1: the last */
    bool personal;   /* the consumer's copy */
};
/* Appends the receipt. Makes a checkpoint when none covers the event: waits, any thread but the
 * writer's. LOV_ENOTFOUND (reason unknown_consent, unknown_event) and LOV_ECONFLICT (reason
 * no_receipt: of an event that only says that a later answer took its place; erased). */
int receipt_make(struct engine *e, const struct receipt_request *request, struct arena *arena,
                 struct buf *out, struct err *err);

/* Appends the receipt of an erasure, by the number of its event "consumer.erase": of whom, by the
 * random number that earlier receipts of theirs have, when, and whether a keyed hash of their id
 * was kept; with the same proof and signature. Nothing personal is in it: nothing of them is left.
 * As above; LOV_ENOTFOUND unknown_event. */
int receipt_make_erasure(struct engine *e, uint32_t shard, int64_t event, struct arena *arena,
                         struct buf *out, struct err *err);

/* ---- verifying ---- */

enum receipt_finding {
    RECEIPT_PROVEN,
    RECEIPT_UNREADABLE,         /* it is not a receipt */
    RECEIPT_OTHER_KEY,          /* the checkpoint is not signed by this key */
    RECEIPT_CHECKPOINT_ALTERED, /* by this key, but not this text */
    RECEIPT_NOT_INCLUDED,       /* event, place, proof and checkpoint do not fit each other */
    RECEIPT_CONTRADICTS,        /* what it says in words is not what the event says */
    RECEIPT_ALTERED,            /* the event is proven, but something else was changed */
    RECEIPT_FORKED,             /* the log has signed two histories (receipt_against) */
    RECEIPT_UNCONNECTED,        /* nothing connects the two checkpoints (receipt_against) */
};
const char *receipt_finding_name(enum receipt_finding finding);

struct receipt_report {
    enum receipt_finding finding;
    char what[320]; /* one sentence; empty when it is proven */
    /* From here on only as far as it was read; texts from the arena. */
    struct str consent, kind, origin;
    uint32_t shard;
    int64_t seq, at, size;
    struct sha256 leaf, root;
    struct str recipient, purpose;
    struct str *categories;
    size_t category_count;
    struct str notice, notice_language;
    int notice_version;
    struct sha256 notice_hash;
    bool has_notice_text; /* the receipt carries the text, and its hash is that of the event */
    bool has_personal;
    bool is_erasure;     /* then of what is above only kind and where it stands ... */
    struct str consumer; /* ... and the number of whom, in hexadecimal ... */
    bool suppressed;     /* ... and whether a keyed hash of their id was kept */
};
/* Examines a receipt by the verifier key of the log that its company has published. Never fails:
 * look at finding. */
void receipt_verify(struct str receipt, const struct note_key *key, struct arena *arena,
                    struct receipt_report *out);
/* Holds a proven receipt against another checkpoint of the same log (a signed note), which somebody
 * kept or was shown. `proof` is the JSON of a consistency proof between the two sizes; empty where
 * they are equal. Changes out->finding and what, when they do not agree. LOV_EINVAL: the checkpoint
 * or the proof cannot be used; says why, and which proof is needed. */
int receipt_against(struct receipt_report *out, struct str checkpoint, struct str proof,
                    const struct note_key *key, struct err *err);

/* ---- for the files of this module ---- */

struct json_t;
/* What the log's key signs: appended. `receipt` is without proof.signature. */
void receipt_signed_text(const struct json_t *receipt, struct buf *out);

#endif
