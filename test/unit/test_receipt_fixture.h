/* test_receipt_fixture.h - a real engine in a folder of its own, with the demo company's policy in
 * force, and its receipts. */
#ifndef LOV_TEST_RECEIPT_FIXTURE_H
#define LOV_TEST_RECEIPT_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/json.h"
#include "consent/consent.h"
#include "consent/receipt.h"
#include "ledger/checkpoint.h"

struct fixture {
    char dir[64];
    struct log log;
    struct engine *e;
    struct arena arena;
    struct err err;
};

static inline int begin(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct policy_bundle bundle = {0};
    snprintf(f->dir, sizeof f->dir, "/tmp/lov-receipt-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    f->log = (struct log){.fd = STDERR_FILENO, .level = LOG_ERROR};
    assert_int_equal(engine_init_named(f->dir, "log.example/shop", &f->err), 0);
    assert_int_equal(engine_open(f->dir, &f->log, &f->e, &f->err), 0);
    assert_int_equal(policy_bundle_read("policy", &bundle, &f->err), 0);
    struct engine_write w = {
        .kind = WRITE_POLICY, .actor = STR("test"), .arena = &f->arena, .bundle = &bundle};
    assert_int_equal(engine_run(f->e, &w, &f->err), 0);
    policy_unref(w.policy);
    policy_findings_free(&w.findings);
    policy_bundle_free(&bundle);
    *state = f;
    return 0;
}

static inline int end(void **state)
{
    struct fixture *f = *state;
    char command[128];
    engine_close(f->e);
    arena_free(&f->arena);
    snprintf(command, sizeof command, "rm -rf %s", f->dir);
    int rc = system(command);
    free(f);
    return rc;
}

/* ---- short forms ---- */

static inline struct engine_write write_of(struct fixture *f, enum write_kind kind,
                                           const char *consumer)
{
    static struct str categories[] = {{"purchases", 9}, {"contact", 7}};
    return (struct engine_write){
        .kind = kind,
        .actor = STR("test"),
        .arena = &f->arena,
        .consumer = str_of(consumer),
        .purpose = STR("personal_offers"),
        .recipient = STR("marketing"),
        .categories = categories,
        .category_count = 2,
        .notice = {.id = STR("personal_offers"), .language = STR("sv"), .version = 1},
        .channel = STR("web"),
        .evidence = STR("{\"button\":\"Ja \\\"tack\\\" \\u0001\",\"x\":0.1}"),
        .expires_at = TIME_NONE,
        .given_at = TIME_NONE,
    };
}

static inline void run(struct fixture *f, struct engine_write *w)
{
    if (engine_run(f->e, w, &f->err))
        fail_msg("%s: %s", f->err.reason, f->err.text);
}

static inline struct consent answer(struct fixture *f, enum write_kind kind, const char *consumer)
{
    struct engine_write w = write_of(f, kind, consumer);
    run(f, &w);
    return w.out;
}

static inline struct consent change(struct fixture *f, enum write_kind kind,
                                    const struct consent *c, size_t categories)
{
    struct engine_write w = write_of(f, kind, "");
    w.shard = c->shard;
    w.consent = c->seq;
    w.category_count = categories;
    if (kind != WRITE_RENEW) {
        w.notice = (struct notice_shown){0};
        w.evidence = (struct str){0};
    }
    run(f, &w);
    return w.out;
}

static inline int make(struct fixture *f, const struct consent *c, int64_t event, bool personal,
                       struct str *out)
{
    _cleanup_buf struct buf receipt = {0};
    struct receipt_request q = {c->shard, c->seq, event, personal};
    int rc = receipt_make(f->e, &q, &f->arena, &receipt, &f->err);
    if (rc == 0)
        *out = arena_str(&f->arena, buf_view(&receipt));
    return rc;
}

static inline struct str receipt_of(struct fixture *f, const struct consent *c)
{
    struct str out = {0};
    if (make(f, c, -1, false, &out))
        fail_msg("%s: %s", f->err.reason, f->err.text);
    return out;
}

static inline const struct note_key *key_of(struct fixture *f)
{
    return &engine_signer(f->e, 0)->key;
}

static inline struct receipt_report verify(struct fixture *f, struct str receipt)
{
    struct receipt_report r;
    receipt_verify(receipt, key_of(f), &f->arena, &r);
    return r;
}

static inline void finds(struct fixture *f, struct str receipt, enum receipt_finding finding)
{
    struct receipt_report r = verify(f, receipt);
    if (r.finding != finding)
        fail_msg("%s instead of %s: %s", receipt_finding_name(r.finding),
                 receipt_finding_name(finding), r.what);
    assert_int_equal(r.finding == RECEIPT_PROVEN, r.what[0] == 0);
}

/* The receipt with the first `from` turned into `to`; there must be one. */
static inline struct str with(struct fixture *f, struct str receipt, const char *from,
                              const char *to)
{
    const char *at = strstr(receipt.p, from);
    if (!at)
        fail_msg("no %s in the receipt", from);
    return arena_printf(&f->arena, "%.*s%s%s", (int)(at - receipt.p), receipt.p, to,
                        at + strlen(from));
}

/* Signs what is in it, as the company could. */
static inline struct str sign_again(struct fixture *f, struct str receipt)
{
    _cleanup_json json_t *json = NULL;
    _cleanup_buf struct buf text = {0}, line = {0}, out = {0};
    const struct log_signer *signer = engine_signer(f->e, 0);
    assert_int_equal(json_read(receipt, &json, &f->err), 0);
    json_t *proof = json_object_get(json, "proof");
    json_object_del(proof, "signature");
    receipt_signed_text(json, &text);
    note_sign(buf_view(&text), &signer->key, &signer->seed, 0, &line);
    json_object_set_new(proof, "signature", json_stringn(line.p, line.n - 1));
    json_canonical(json, &out);
    return arena_str(&f->arena, buf_view(&out));
}

/* Though the company has signed it. */
static inline void contradicts(struct fixture *f, struct str lie, const char *where)
{
    struct receipt_report report = verify(f, sign_again(f, lie));
    if (report.finding != RECEIPT_CONTRADICTS)
        fail_msg("%s: %s %s", where, receipt_finding_name(report.finding), report.what);
}

static inline struct str sign_checkpoint_by(struct fixture *f, const struct note_key *key,
                                            const struct secret *seed, int64_t size,
                                            struct sha256 root)
{
    _cleanup_buf struct buf note = {0}, line = {0};
    struct checkpoint c = {note_key_name(key), size, root, {0}};
    checkpoint_format(&c, &note);
    note_sign(buf_view(&note), key, seed, 0, &line);
    buf_char(&note, '\n');
    buf_str(&note, buf_view(&line));
    return arena_str(&f->arena, buf_view(&note));
}

#endif
