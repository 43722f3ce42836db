/*
 * test_consent_fixture.h - an installation under the demo policy, and short forms of what is done
 * to it.
 */
#ifndef LOV_TEST_CONSENT_FIXTURE_H
#define LOV_TEST_CONSENT_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/file.h"
#include "consent/consent.h"

struct fixture {
    char dir[64];
    struct log log;
    struct engine *e;
    struct arena arena;
    struct err err;
};

static inline void apply(struct fixture *f, const char *path_part, const char *from, const char *to,
                         struct policy **out)
{
    struct policy_bundle bundle = {0};
    assert_int_equal(policy_bundle_read("policy", &bundle, &f->err), 0);
    for (size_t i = 0; path_part && i < bundle.count; i++) {
        struct policy_file *file = &bundle.files[i];
        const char *at = strstr(file->text.p, from);
        if (at && strstr(file->path.p, path_part))
            file->text = arena_printf(&bundle.arena, "%.*s%s%s", (int)(at - file->text.p),
                                      file->text.p, to, at + strlen(from));
    }
    struct engine_write w = {
        .kind = WRITE_POLICY, .actor = STR("test"), .arena = &f->arena, .bundle = &bundle};
    if (out) {
        struct db *lov;
        struct policy_findings findings = {0};
        assert_int_equal(engine_open_store(f->dir, "lov", &lov, &f->err), 0);
        assert_int_equal(policy_store_compile(lov, &bundle, clock_now(), out, &findings, &f->err),
                         0);
        policy_findings_free(&findings);
        db_close(lov);
    } else {
        assert_int_equal(engine_run(f->e, &w, &f->err), 0);
        policy_unref(w.policy);
        policy_findings_free(&w.findings);
    }
    policy_bundle_free(&bundle);
}

static inline void reopen(struct fixture *f)
{
    engine_close(f->e);
    assert_int_equal(engine_open(f->dir, &f->log, &f->e, &f->err), 0);
}

static inline int open_empty(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    snprintf(f->dir, sizeof f->dir, "/tmp/lov-consent-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    f->log = (struct log){.fd = STDERR_FILENO, .level = LOG_ERROR};
    assert_int_equal(engine_init(f->dir, &f->err), 0);
    assert_int_equal(engine_open(f->dir, &f->log, &f->e, &f->err), 0);
    *state = f;
    return 0;
}

static inline int open_fixture(void **state)
{
    open_empty(state);
    apply(*state, NULL, NULL, NULL, NULL);
    return 0;
}

static inline int close_fixture(void **state)
{
    struct fixture *f = *state;
    char command[128];
    engine_close(f->e);
    arena_free(&f->arena);
    snprintf(command, sizeof command, "rm -rf %s", f->dir);
    int ignored = system(command);
    (void)ignored;
    free(f);
    return 0;
}

/* ---- short forms ---- */

static inline struct engine_write write_of(struct fixture *f, enum write_kind kind)
{
    return (struct engine_write){
        .kind = kind,
        .actor = STR("test"),
        .arena = &f->arena,
        .consumer = STR("00001"),
        .purpose = STR("personal_offers"),
        .recipient = STR("marketing"),
        .notice = {.id = STR("personal_offers"), .language = STR("sv"), .version = 1},
        .channel = STR("web"),
        .expires_at = TIME_NONE,
        .given_at = TIME_NONE,
    };
}

/* Categories by their first letters: "pc" is purchases and contact, "r" profile. */
static inline void name_categories(struct fixture *f, struct engine_write *w, const char *letters)
{
    w->categories = arena_array(&f->arena, strlen(letters), sizeof *w->categories);
    w->category_count = strlen(letters);
    for (size_t i = 0; letters[i]; i++)
        w->categories[i] = letters[i] == 'p'   ? STR("purchases")
                           : letters[i] == 'c' ? STR("contact")
                                               : STR("profile");
}

static inline struct consent give(struct fixture *f, const char *letters)
{
    struct engine_write w = write_of(f, WRITE_GIVE);
    name_categories(f, &w, letters);
    if (engine_run(f->e, &w, &f->err))
        fail_msg("%s: %s", f->err.reason, f->err.text);
    return w.out;
}

static inline void run(struct fixture *f, struct engine_write *w)
{
    if (engine_run(f->e, w, &f->err))
        fail_msg("%s: %s", f->err.reason, f->err.text);
}

static inline void refused(struct fixture *f, struct engine_write *w, const char *reason)
{
    assert_true(engine_run(f->e, w, &f->err) < 0);
    assert_string_equal(f->err.reason, reason);
}

static inline const char *ask(struct fixture *f, const char *recipient, const char *purpose,
                              const char *category, int64_t at)
{
    struct decision d;
    struct question q = {.recipient = str_of(recipient),
                         .purpose = str_of(purpose),
                         .category = str_of(category),
                         .consumer = STR("00001"),
                         .at = at};
    struct rules *r = engine_rules(f->e);
    decide(f->e, r, &q, &d);
    rules_unref(r);
    assert_int_equal(d.permit, d.reason == REASON_PERMITTED);
    return decision_reason_name(d.reason);
}

static inline const char *may_use(struct fixture *f, const char *category)
{
    return ask(f, "marketing", "personal_offers", category, clock_now());
}

static inline enum consent_status status_of(struct fixture *f, const struct consent *c)
{
    struct consent now;
    assert_int_equal(consent_get(f->e, c->shard, c->seq, &f->arena, &now, &f->err), 1);
    return now.status;
}

static inline void verifies(struct fixture *f, bool expected)
{
    struct db *lov;
    struct state_report report;
    assert_int_equal(engine_open_store(f->dir, "lov", &lov, &f->err), 0);
    assert_int_equal(state_verify(lov, 0, &report, &f->err), 0);
    if (report.wrong == expected)
        fail_msg("state: %s", report.wrong ? report.what : "nothing wrong found");
    db_close(lov);
}

#endif
