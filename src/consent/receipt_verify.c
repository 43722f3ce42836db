/* receipt_verify.c - see receipt.h. Links no database: what is believed is arithmetic over the
 * receipt's own bytes and the verifier key.
 *
 * The order of the steps decides what is named: first whose checkpoint it is, then whether the
 * event is in the tree that it signs, then whether the words agree with the event, and last whether
 * the receipt as a whole is what the log's key signed. So a changed letter of a title is told apart
 * from an event that never was. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "consent/receipt_private.h"
#include "consent/state.h"
#include "ledger/checkpoint.h"
#include "ledger/event.h"
#include "ledger/proof.h"

static const char *const findings[] = {
    "proven",      "unreadable", "other_key", "checkpoint_altered", "not_included",
    "contradicts", "altered",    "forked",    "unconnected",
};

const char *receipt_finding_name(enum receipt_finding finding)
{
    return findings[finding];
}

/* What the steps hand on to each other. */
struct reading {
    struct arena *arena;
    const struct note_key *key;
    struct receipt_report *out;
    json_t *receipt;
    const json_t *record, *proof;
    struct str leaf, checkpoint, signature;
    struct ledger_event event;
    struct consent consent;
};

__attribute__((format(printf, 3, 4))) static bool
found(struct receipt_report *out, enum receipt_finding finding, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(out->what, sizeof out->what, format, args);
    va_end(args);
    out->finding = finding;
    return false;
}

/* ---- reading ---- */

struct proof_fields {
    struct str event, leaf, checkpoint, signature;
    const json_t *hashes;
    int64_t shard, seq;
};
#define FIELD(member, kind, min, max)                                                              \
    {                                                                                              \
#member, kind, offsetof(struct proof_fields, member), true, min, max                       \
    }
static const struct json_field proof_table[] = {
    FIELD(event, JSON_K_STRING, 1, LEDGER_EVENT_MAX * 2),
    FIELD(leaf, JSON_K_STRING, 44, 44),
    FIELD(checkpoint, JSON_K_TEXT, 1, NOTE_MAX),
    FIELD(signature, JSON_K_STRING, 1, NOTE_MAX),
    FIELD(hashes, JSON_K_ARRAY, 0, PROOF_MAX),
    FIELD(shard, JSON_K_INT, 0, UINT32_MAX),
    FIELD(seq, JSON_K_INT, 0, INT64_MAX),
};

static bool take_hashes(const json_t *list, struct proof *out)
{
    size_t i;
    const json_t *item;
    out->count = json_array_size(list);
    if (out->count > PROOF_MAX)
        return false;
    json_array_foreach(list, i, item) {
        _cleanup_buf struct buf bytes = {0};
        if (!json_is_string(item) || !base64_decode(json_text(item), &bytes) ||
            bytes.n != sizeof out->hash[i].b)
            return false;
        memcpy(out->hash[i].b, bytes.p, bytes.n);
    }
    return true;
}

static bool take_event(struct reading *r, struct str text)
{
    _cleanup_buf struct buf bytes = {0};
    if (!base64_decode(text, &bytes) ||
        !event_decode(arena_str(r->arena, buf_view(&bytes)), &r->event))
        return found(r->out, RECEIPT_UNREADABLE, "proof.event is not the encoding of an event");
    return true;
}

static bool read_receipt(struct reading *r, struct str text, struct proof *path)
{
    struct proof_fields f = {0};
    struct err err = {0};
    if (text.n > RECEIPT_MAX)
        return found(r->out, RECEIPT_UNREADABLE, "it is longer than a receipt can be");
    if (json_read(text, &r->receipt, &err))
        return found(r->out, RECEIPT_UNREADABLE, "it is not JSON: %.200s", err.text);
    r->record = json_object_get(r->receipt, "dpv:hasRecordOfActivity");
    r->proof = json_object_get(r->receipt, "proof");
    if (!json_is_object(r->record) || !json_is_object(r->proof))
        return found(r->out, RECEIPT_UNREADABLE,
                     "it has no record (dpv:hasRecordOfActivity) or no proof");
    if (json_take(r->proof, proof_table, sizeof proof_table / sizeof *proof_table,
                  JSON_IGNORE_UNKNOWN, "proof", r->arena, &f, &err))
        return found(r->out, RECEIPT_UNREADABLE, "%.250s", err.text);
    if (!take_hashes(f.hashes, path))
        return found(r->out, RECEIPT_UNREADABLE, "proof.hashes are not hashes in base64");
    if (!take_event(r, f.event))
        return false;
    r->leaf = f.leaf;
    r->checkpoint = f.checkpoint;
    r->signature = f.signature;
    r->out->shard = (uint32_t)f.shard;
    r->out->seq = f.seq;
    r->out->leaf = r->event.leaf;
    return true;
}

/* ---- the checkpoint and the tree ---- */

/* "origin/3" is the log of shard 3. */
static bool is_of_shard(struct str origin, uint32_t shard)
{
    char suffix[16];
    int n = snprintf(suffix, sizeof suffix, "/%u", shard);
    return str_ends(origin, (struct str){suffix, (size_t)n});
}

static bool check_checkpoint(struct reading *r, struct checkpoint *c)
{
    struct receipt_report *out = r->out;
    struct note note;
    struct err err = {0};
    if (note_parse(r->checkpoint, &note, &err) || checkpoint_parse(note.text, c, &err))
        return found(out, RECEIPT_UNREADABLE, "proof.checkpoint: %.250s", err.text);
    int rc = note_verify(&note, r->key, NULL, &err);
    if (rc == LOV_ENOTFOUND || !str_eq(c->origin, note_key_name(r->key)))
        return found(out, RECEIPT_OTHER_KEY,
                     "the checkpoint is of the log %.*s and not signed by the key of %s: this is "
                     "another company's receipt, or not the key of this log",
                     (int)(c->origin.n < 90 ? c->origin.n : 90), c->origin.p, r->key->name);
    if (rc)
        return found(out, RECEIPT_CHECKPOINT_ALTERED,
                     "the checkpoint is not what the key signed: its text, or the signature, was "
                     "altered");
    out->origin = arena_str(r->arena, c->origin);
    out->size = c->size;
    out->root = c->root;
    return true;
}

static struct str text_of_hash(struct arena *arena, const struct sha256 *hash)
{
    _cleanup_buf struct buf text = {0};
    base64_encode(hash->b, sizeof hash->b, &text);
    return arena_str(arena, buf_view(&text));
}

static bool check_inclusion(struct reading *r, const struct proof *path)
{
    struct receipt_report *out = r->out;
    const struct ledger_event *e = &r->event;
    if (e->shard != out->shard || e->seq != out->seq || !is_of_shard(out->origin, e->shard))
        return found(out, RECEIPT_NOT_INCLUDED,
                     "the event says that it is number %lld of shard %u, the receipt that it is "
                     "number %lld of shard %u of %.*s",
                     (long long)e->seq, e->shard, (long long)out->seq, out->shard,
                     (int)(out->origin.n < 90 ? out->origin.n : 90), out->origin.p);
    if (!str_eq(r->leaf, text_of_hash(r->arena, &e->leaf)))
        return found(out, RECEIPT_NOT_INCLUDED, "proof.leaf is not the hash of the event");
    if (e->seq >= out->size)
        return found(out, RECEIPT_NOT_INCLUDED,
                     "the checkpoint ends before event %lld: it is another one than the receipt "
                     "was made with",
                     (long long)e->seq);
    if (!proof_includes(path, e->seq, out->size, &e->leaf, &out->root))
        return found(out, RECEIPT_NOT_INCLUDED,
                     "the proof does not lead from the event to the root of the checkpoint: the "
                     "event or the proof was altered, or it is another checkpoint");
    return true;
}

/* ---- the words ---- */

#define PATH(...) ((const char *const[]){__VA_ARGS__, NULL})

static void tell_facts(struct reading *r)
{
    struct receipt_report *out = r->out;
    const struct consent *c = &r->consent;
    const json_t *name = json_object_get(r->record, "dct:identifier");
    out->consent = json_is_string(name) ? arena_str(r->arena, json_text(name)) : (struct str){0};
    out->kind = r->event.kind;
    out->at = r->event.at;
    out->recipient = c->recipient;
    out->purpose = c->purpose;
    out->categories = c->categories;
    out->category_count = c->category_count;
    out->notice = c->notice;
    out->notice_language = c->notice_language;
    out->notice_version = c->notice_version;
    out->notice_hash = c->notice_hash;
    out->has_personal = json_object_get(r->receipt, "personal") != NULL;
}

static bool check_notice_text(struct reading *r)
{
    const json_t *text = receipt_member(r->record, PATH("dpv:hasNotice", "lov:text"));
    if (!text)
        return true;
    struct sha256 hash = {0};
    if (json_is_string(text))
        hash = sha256_of(json_text(text));
    if (!json_is_string(text) || memcmp(hash.b, r->consent.notice_hash.b, sizeof hash.b) != 0)
        return found(r->out, RECEIPT_CONTRADICTS,
                     "the text of the notice is not the one whose hash the event names");
    r->out->has_notice_text = true;
    return true;
}

static bool check_erasure(struct reading *r)
{
    _cleanup_buf struct buf hex = {0};
    const char *what = receipt_erasure_contradiction(r->receipt, &r->event);
    if (what)
        return found(r->out, RECEIPT_CONTRADICTS,
                     "the event is in the log, but %s is not what the event says", what);
    hex_encode(r->event.cid.b, sizeof r->event.cid.b, &hex);
    r->out->is_erasure = true;
    r->out->kind = r->event.kind;
    r->out->at = r->event.at;
    r->out->consumer = arena_str(r->arena, buf_view(&hex));
    r->out->suppressed = body_is_suppressed(r->event.body);
    return true;
}

static bool check_words(struct reading *r)
{
    struct err err = {0};
    if (str_is(r->event.kind, "consumer.erase") && r->event.has_cid)
        return check_erasure(r);
    if (!receipt_status(r->event.kind) || !r->event.has_cid ||
        body_read_consent(r->event.body, r->arena, &r->consent, &err))
        return found(r->out, RECEIPT_UNREADABLE,
                     "the event is in the log, but it is none that a receipt is given for");
    tell_facts(r);
    const char *what = receipt_contradiction(r->receipt, &r->event, &r->consent, r->arena);
    if (what)
        return found(r->out, RECEIPT_CONTRADICTS,
                     "the event is in the log, but %s is not what the event says", what);
    return check_notice_text(r);
}

/* ---- the whole ---- */

void receipt_signed_text(const json_t *receipt, struct buf *out)
{
    _cleanup_buf struct buf canonical = {0};
    json_canonical(receipt, &canonical);
    struct sha256 hash = sha256_of(buf_view(&canonical));
    buf_cstr(out, RECEIPT_MARK "\nsha256:");
    base64_encode(hash.b, sizeof hash.b, out);
    buf_char(out, '\n');
}

static bool check_signature(struct reading *r)
{
    _cleanup_buf struct buf text = {0};
    struct note_line line;
    struct err err = {0};
    struct str signature = arena_str(r->arena, r->signature);
    json_object_del((json_t *)r->proof, "signature");
    receipt_signed_text(r->receipt, &text);
    if (note_line_parse(signature, &line, &err) ||
        note_verify_line(buf_view(&text), &line, r->key, NULL, &err))
        return found(r->out, RECEIPT_ALTERED,
                     "the event is in the log and the record agrees with it, but the receipt as a "
                     "whole is not what the company signed: a word beside the proof was altered");
    return true;
}

void receipt_verify(struct str receipt, const struct note_key *key, struct arena *arena,
                    struct receipt_report *out)
{
    struct reading r = {.arena = arena, .key = key, .out = out};
    struct proof path = {0};
    struct checkpoint c;
    *out = (struct receipt_report){.finding = RECEIPT_PROVEN};
    if (read_receipt(&r, receipt, &path) && check_checkpoint(&r, &c) &&
        check_inclusion(&r, &path) && check_words(&r))
        check_signature(&r);
    json_decref(r.receipt);
}

/* ---- another checkpoint ---- */

static int read_consistency(struct str text, int64_t from, int64_t to, struct proof *out,
                            struct err *err)
{
    _cleanup_json json_t *json = NULL;
    struct err why = {0};
    if (text.n == 0)
        return err_reason(err, LOV_EINVAL, "proof_required",
                          "the two checkpoints are of %lld and %lld events: a proof connects them, "
                          "lov log proof consistency --from %lld --to %lld --json",
                          (long long)from, (long long)to, (long long)from, (long long)to);
    if (json_read(text, &json, &why))
        return err_set(err, LOV_EINVAL, "the proof is not JSON: %s", why.text);
    const json_t *f = json_object_get(json, "from"), *t = json_object_get(json, "to");
    if (!json_is_integer(f) || !json_is_integer(t) || json_integer_value(f) != from ||
        json_integer_value(t) != to || !take_hashes(json_object_get(json, "hashes"), out))
        return err_reason(err, LOV_EINVAL, "proof_required",
                          "this is not a proof of consistency from %lld to %lld: lov log proof "
                          "consistency --from %lld --to %lld --json",
                          (long long)from, (long long)to, (long long)from, (long long)to);
    return 0;
}

int receipt_against(struct receipt_report *out, struct str checkpoint, struct str proof,
                    const struct note_key *key, struct err *err)
{
    struct checkpoint other;
    struct proof path = {0};
    struct err why = {0};
    int rc = checkpoint_open(checkpoint, key, &other, &why);
    if (rc)
        return err_set(err, LOV_EINVAL, "the other checkpoint cannot be used: %s", why.text);
    if (other.size == out->size) {
        if (memcmp(other.root.b, out->root.b, sizeof other.root.b) != 0)
            found(out, RECEIPT_FORKED,
                  "the log has signed two different histories of %lld events: that of the receipt "
                  "and that of the other checkpoint. Keep both files: together they prove it",
                  (long long)out->size);
        return 0;
    }
    bool grown = other.size > out->size;
    int64_t from = grown ? out->size : other.size, to = grown ? other.size : out->size;
    rc = read_consistency(proof, from, to, &path, err);
    if (rc)
        return rc;
    if (!proof_consistent(&path, from, grown ? &out->root : &other.root, to,
                          grown ? &other.root : &out->root))
        found(out, RECEIPT_UNCONNECTED,
              "the proof does not connect the receipt's checkpoint (%lld events) with the other "
              "one (%lld): the proof is wrong, or the log has signed two different histories",
              (long long)out->size, (long long)other.size);
    return 0;
}
