/* receipt.c - gathers what a receipt is made of, and signs it. Reads are of what is durable: event,
 * checkpoint and tiles never change, so no transaction holds them together. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "consent/engine.h"
#include "consent/receipt_private.h"
#include "ledger/event.h"
#include "ledger/tiles.h"

/* ---- the event ---- */

struct keeping {
    struct arena *arena;
    struct receipt_facts *f;
};

/* The event out of the statement that it borrows from. */
static int keep_event(void *ctx, const struct ledger_event *event)
{
    struct keeping *k = ctx;
    _cleanup_buf struct buf encoding = {0};
    event_encode(event, &encoding);
    k->f->encoding = arena_str(k->arena, buf_view(&encoding));
    return event_decode(k->f->encoding, &k->f->event) ? 0 : LOV_ECORRUPT;
}

static int unknown_event(struct err *err)
{
    return err_reason(err, LOV_ENOTFOUND, "unknown_event",
                      "this consent has no such event: the consumer's history names them");
}

static int no_receipt(struct err *err)
{
    return err_reason(err, LOV_ECONFLICT, "no_receipt",
                      "a later answer took the consent's place, or part of it: the receipt is that "
                      "of the later answer, or ask for an earlier event");
}

static int read_event(struct db *lov, const struct receipt_request *q, struct arena *arena,
                      struct receipt_facts *f, struct err *err)
{
    struct keeping k = {arena, f};
    int rc = ledger_get(lov, q->shard, q->event, keep_event, &k, err);
    if (rc == 0)
        return unknown_event(err);
    if (rc < 0)
        return err_set(err, rc, "event %lld cannot be read: run lov log verify",
                       (long long)q->event);
    if (!str_starts(f->event.kind, STR("consent.")) || !f->event.has_cid)
        return unknown_event(err);
    rc = body_read_consent(f->event.body, arena, &f->consent, err);
    if (rc)
        return rc;
    if (f->consent.seq != q->consent)
        return unknown_event(err);
    f->consent.shard = f->event.shard;
    f->consent.cid = f->event.cid;
    if (!receipt_status(f->event.kind))
        return no_receipt(err);
    return 0;
}

/* ---- the proof ---- */

static int last_size(struct db *lov, uint32_t shard, int64_t *size, struct err *err)
{
    _cleanup_buf struct buf memory = {0};
    struct published last = {0};
    int rc = publish_get(lov, shard, -1, &memory, &last, err);
    if (rc >= 0)
        *size = rc == 1 ? last.size : 0;
    return rc < 0 ? rc : 0;
}

/* The last checkpoint, or a new one where that ends before the event. */
static int read_proof(struct engine *e, struct db *lov, struct arena *arena,
                      struct receipt_facts *f, struct err *err)
{
    _cleanup_buf struct buf note = {0};
    struct tiles tiles;
    int64_t size = 0;
    int rc = last_size(lov, f->event.shard, &size, err);
    if (rc == 0 && size <= f->event.seq) {
        rc = engine_publish(e, err);
        if (rc == 0)
            rc = last_size(lov, f->event.shard, &size, err);
    }
    if (rc == 0)
        rc = publish_note(lov, f->event.shard, size, &note, err);
    tiles_init(&tiles, lov, f->event.shard);
    if (rc == 0)
        rc = proof_make_inclusion(&tiles.source, f->event.seq, size, &f->path, err);
    f->checkpoint = arena_str(arena, buf_view(&note));
    return rc;
}

/* ---- words, and what is personal ---- */

static int read_notice(struct db *lov, struct arena *arena, struct receipt_facts *f,
                       struct err *err)
{
    struct policy_published text = {0};
    const struct consent *c = &f->consent;
    int rc = policy_store_published(lov, c->notice, c->notice_version, c->notice_language, arena,
                                    &text, err);
    if (rc == LOV_ENOTFOUND)
        return 0;
    if (rc)
        return rc;
    if (memcmp(text.hash.b, c->notice_hash.b, sizeof text.hash.b) != 0)
        return err_set(err, LOV_ECORRUPT,
                       "the text of notice %.*s is not the one that was shown: run lov log verify",
                       STR_ARG(c->notice));
    f->notice_title = text.title;
    f->notice_text = text.markdown;
    return 0;
}

/* The line breaks of JSON text are escaped, so it is one line. */
static int read_personal(struct engine *e, struct arena *arena, struct receipt_facts *f,
                         struct err *err)
{
    _cleanup_buf struct buf id = {0}, json = {0};
    struct db *identities;
    int rc = db_pool_get(e->identities, &identities, err);
    if (rc)
        return rc;
    rc = identity_name(e->identity, identities, &f->event.cid, &id, err);
    if (rc == 0)
        rc = err_reason(err, LOV_ECONFLICT, "erased",
                        "the consumer was erased: only a receipt without what is personal is left");
    if (rc == 1 && f->consent.sealed.n)
        rc = unseal_json(e->identity, identities, &f->event.cid, f->consent.sealed, &json, err);
    db_pool_put(e->identities, identities);
    if (rc < 0)
        return rc;
    f->consumer = arena_str(arena, buf_view(&id));
    f->personal = arena_str(arena, buf_view(&json));
    return 0;
}

/* ---- the whole ---- */

/* Signed over what a reader makes of the text, not over the text. */
static int sign(const struct log_signer *signer, struct str unsigned_json, struct buf *out,
                struct err *err)
{
    _cleanup_json json_t *json = NULL;
    _cleanup_buf struct buf text = {0}, line = {0};
    int rc = json_read(unsigned_json, &json, err);
    if (rc)
        return err_set(err, LOV_ECORRUPT, "the receipt cannot be read: %s", err->text);
    receipt_signed_text(json, &text);
    note_sign(buf_view(&text), &signer->key, &signer->seed, 0, &line);
    json_t *proof = json_object_get(json, "proof");
    json_object_set_new(proof, "signature", json_stringn(line.p, line.n - 1));
    char *pretty = json_dumps(json, JSON_INDENT(1) | JSON_PRESERVE_ORDER);
    if (!pretty)
        bug("out of memory (receipt)");
    buf_cstr(out, pretty);
    buf_char(out, '\n');
    free(pretty);
    return 0;
}

static int gather(struct engine *e, const struct receipt_request *q, struct arena *arena,
                  struct receipt_facts *f, struct err *err)
{
    struct db *lov;
    int rc = db_pool_get(e->lov, &lov, err);
    if (rc)
        return rc;
    rc = read_event(lov, q, arena, f, err);
    if (rc == 0)
        rc = read_proof(e, lov, arena, f, err);
    if (rc == 0)
        rc = read_notice(lov, arena, f, err);
    db_pool_put(e->lov, lov);
    if (rc == 0 && q->personal)
        rc = read_personal(e, arena, f, err);
    return rc;
}

/* What the policy calls things, and the signature. */
static int finish(struct engine *e, struct receipt_facts *f,
                  void (*write)(const struct receipt_facts *f, struct buf *out), struct buf *out,
                  struct err *err)
{
    _cleanup_buf struct buf json = {0};
    struct rules *rules = engine_rules(e);
    f->policy = rules ? rules_policy(rules) : NULL;
    write(f, &json);
    if (rules)
        rules_unref(rules);
    return sign(engine_signer(e, f->event.shard), buf_view(&json), out, err);
}

static int gather_erasure(struct engine *e, struct db *lov, uint32_t shard, int64_t event,
                          struct arena *arena, struct receipt_facts *f, struct err *err)
{
    struct keeping k = {arena, f};
    int rc = ledger_get(lov, shard, event, keep_event, &k, err);
    if (rc < 0)
        return err_set(err, rc, "event %lld cannot be read: run lov log verify", (long long)event);
    if (rc == 0 || !str_is(f->event.kind, "consumer.erase") || !f->event.has_cid)
        return err_reason(err, LOV_ENOTFOUND, "unknown_event",
                          "there is no erasure of that number");
    return read_proof(e, lov, arena, f, err);
}

int receipt_make_erasure(struct engine *e, uint32_t shard, int64_t event, struct arena *arena,
                         struct buf *out, struct err *err)
{
    struct receipt_facts f = {.now = clock_now()};
    struct db *lov;
    int rc = db_pool_get(e->lov, &lov, err);
    if (rc)
        return rc;
    rc = gather_erasure(e, lov, shard, event, arena, &f, err);
    db_pool_put(e->lov, lov);
    return rc ? rc : finish(e, &f, receipt_write_erasure, out, err);
}

static int find_last(struct engine *e, struct receipt_request *q, struct arena *arena,
                     struct err *err)
{
    struct consent last = {0};
    if (q->event >= 0)
        return 0;
    int rc = consent_get(e, q->shard, q->consent, arena, &last, err);
    if (rc == 0)
        return err_reason(err, LOV_ENOTFOUND, "unknown_consent", "there is no such consent");
    if (rc == 1 && last.status == CONSENT_SUPERSEDED)
        return no_receipt(err);
    q->event = last.event;
    return rc < 0 ? rc : 0;
}

int receipt_make(struct engine *e, const struct receipt_request *request, struct arena *arena,
                 struct buf *out, struct err *err)
{
    struct receipt_facts f = {.now = clock_now()};
    struct receipt_request q = *request;
    _cleanup_buf struct buf id = {0};
    int rc = find_last(e, &q, arena, err);
    if (rc)
        return rc;
    rc = gather(e, &q, arena, &f, err);
    if (rc)
        return rc;
    consent_id_format(e, q.shard, q.consent, &id);
    f.id = buf_view(&id);
    return finish(e, &f, receipt_write, out, err);
}
