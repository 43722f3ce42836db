/* test_consent_bulk.c - many answers in one commit: what they leave, refuse, and how they go with
 * the writes of others. That they record what single writes record is in
 * test/system/test_import.py. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/file.h"
#include "consent/bulk.h"
#include "consent/engine.h"

enum { MOST = 2000, LONG = 70000 };

struct fixture {
    char dir[64];
    struct log log;
    struct engine *e;
    struct arena arena;
    struct err err;
    struct engine_write writes[MOST];
    struct str category;
    struct engine_bulk bulk;
    _Atomic bool stop;
};

static void apply(struct fixture *f)
{
    struct policy_bundle bundle = {0};
    assert_int_equal(policy_bundle_read("policy", &bundle, &f->err), 0);
    struct engine_write w = {
        .kind = WRITE_POLICY, .actor = STR("test"), .arena = &f->arena, .bundle = &bundle};
    assert_int_equal(engine_run(f->e, &w, &f->err), 0);
    policy_unref(w.policy);
    policy_findings_free(&w.findings);
    policy_bundle_free(&bundle);
}

static int open_empty(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    snprintf(f->dir, sizeof f->dir, "/tmp/lov-bulk-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    f->log = (struct log){.fd = STDERR_FILENO, .level = LOG_ERROR};
    f->category = STR("purchases");
    assert_int_equal(engine_init(f->dir, &f->err), 0);
    assert_int_equal(engine_open(f->dir, &f->log, &f->e, &f->err), 0);
    *state = f;
    return 0;
}

static int open_fixture(void **state)
{
    open_empty(state);
    apply(*state);
    return 0;
}

static int close_fixture(void **state)
{
    struct fixture *f = *state;
    engine_close(f->e);
    arena_free(&f->arena);
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", f->dir);
    int ignored = system(command);
    (void)ignored;
    free(f);
    return 0;
}

static struct engine_write answer(struct fixture *f, struct arena *arena, const char *who, bool yes)
{
    return (struct engine_write){
        .kind = yes ? WRITE_GIVE : WRITE_REFUSE,
        .actor = STR("test"),
        .arena = arena,
        .consumer = arena_str(arena, str_of(who)),
        .purpose = STR("personal_offers"),
        .recipient = STR("marketing"),
        .categories = &f->category,
        .category_count = 1,
        .notice = {.id = STR("personal_offers"), .language = STR("sv"), .version = 1},
        .channel = STR("import"),
        .expires_at = TIME_NONE,
        .given_at = TIME_NONE,
    };
}

static int run(struct fixture *f, size_t count)
{
    f->bulk = (struct engine_bulk){
        .writes = f->writes, .count = count, .note = f->bulk.note, .ctx = f->bulk.ctx};
    engine_bulk_begin(f->e, &f->bulk);
    engine_bulk_submit(&f->bulk);
    int rc = engine_bulk_wait(&f->bulk, &f->err);
    engine_bulk_end(&f->bulk);
    return rc;
}

static bool permits(struct fixture *f, const char *who)
{
    struct question q = {STR("marketing"), STR("personal_offers"), STR("purchases"), str_of(who),
                         .at = clock_now()};
    struct decision d;
    struct rules *r = engine_rules(f->e);
    decide(f->e, r, &q, &d);
    rules_unref(r);
    return d.permit;
}

static bool there(struct fixture *f, const char *who)
{
    struct identity_row row;
    int rc = consumer_find(f->e, str_of(who), &row, &f->err);
    assert_true(rc >= 0);
    return rc == 1;
}

static void reopen(struct fixture *f, bool without_index)
{
    char path[128];
    engine_close(f->e);
    snprintf(path, sizeof path, "%s/permits.idx", f->dir);
    if (without_index)
        assert_int_equal(unlink(path), 0);
    assert_int_equal(engine_open(f->dir, &f->log, &f->e, &f->err), 0);
}

static void all_is_right(struct fixture *f)
{
    struct db *lov;
    struct ledger_report ledger;
    struct state_report state;
    assert_int_equal(engine_open_store(f->dir, "lov", &lov, &f->err), 0);
    assert_int_equal(ledger_verify(lov, 0, NULL, NULL, &ledger, &f->err), 0);
    assert_int_equal(ledger.wrong_seq, -1);
    assert_int_equal(state_verify(lov, 0, &state, &f->err), 0);
    if (state.wrong)
        fail_msg("%s (%lld)", state.what, (long long)state.seq);
    db_close(lov);
}

static int count_consents(void *ctx, const struct consent *c)
{
    int *counts = ctx;
    counts[c->status]++;
    return 0;
}

static void statuses(struct fixture *f, const char *who, int counts[5])
{
    struct identity_row row;
    memset(counts, 0, 5 * sizeof *counts);
    assert_int_equal(consumer_find(f->e, str_of(who), &row, &f->err), 1);
    assert_int_equal(consent_list(f->e, &row, &f->arena, count_consents, counts, &f->err), 0);
}

/* ---- what it leaves ---- */

static void test_the_last_of_several_answers_in_a_bulk_stands(void **state)
{
    struct fixture *f = *state;
    int counts[5];
    for (int round = 0; round < 2; round++) {
        f->writes[0] = answer(f, &f->arena, "anna", true);
        f->writes[1] = answer(f, &f->arena, "bo", false);
        f->writes[2] = answer(f, &f->arena, "anna", false);
        f->writes[3] = answer(f, &f->arena, "bo", true);
        assert_int_equal(run(f, 4), 0);
        assert_false(permits(f, "anna"));
        assert_true(permits(f, "bo"));
        statuses(f, "bo", counts);
        assert_int_equal(counts[CONSENT_ACTIVE], 1);
        assert_int_equal(counts[CONSENT_SUPERSEDED], 2 * round + 1);
        all_is_right(f);
    }
    reopen(f, true);
    assert_false(permits(f, "anna"));
    assert_true(permits(f, "bo"));
}

static void test_a_refused_answer_adds_nobody_and_spares_the_others(void **state)
{
    struct fixture *f = *state;
    struct str nonsense = STR("nonsense");
    f->writes[0] = answer(f, &f->arena, "nobody", true);
    f->writes[0].categories = &nonsense;
    f->writes[1] = answer(f, &f->arena, "late", true);
    f->writes[1].notice.language = STR("xx");
    f->writes[2] = answer(f, &f->arena, "late", true);
    f->writes[3] = answer(f, &f->arena, "good", true);
    assert_int_equal(run(f, 4), 0);
    assert_string_equal(f->writes[0].job.err.reason, "unknown_category");
    assert_string_equal(f->writes[1].job.err.reason, "notice_language_missing");
    assert_int_equal(f->writes[2].job.rc, 0);
    assert_int_equal(f->writes[3].job.rc, 0);
    assert_false(there(f, "nobody"));
    assert_true(permits(f, "late") && permits(f, "good"));
    all_is_right(f);
}

static void test_an_erased_consumer_stays_erased(void **state)
{
    struct fixture *f = *state;
    struct engine_write erase = {.kind = WRITE_ERASE, .actor = STR("test"), .arena = &f->arena};
    f->writes[0] = answer(f, &f->arena, "gone", true);
    assert_int_equal(run(f, 1), 0);
    erase.consumer = STR("gone");
    assert_int_equal(engine_run(f->e, &erase, &f->err), 0);
    f->writes[0] = answer(f, &f->arena, "gone", true);
    f->writes[1] = answer(f, &f->arena, "new", true);
    assert_int_equal(run(f, 2), 0);
    assert_string_equal(f->writes[0].job.err.reason, "erased");
    assert_false(there(f, "gone"));
    assert_true(permits(f, "new"));
    all_is_right(f);
}

static void test_an_answer_that_fails_after_it_wrote_takes_nothing_with_it(void **state)
{
    struct fixture *f = *state;
    char *text = malloc(LONG + 3);
    memset(text, 'x', LONG + 2);
    text[0] = text[LONG + 1] = '"';
    struct str both[] = {STR("purchases"), STR("contact")};
    f->writes[0] = answer(f, &f->arena, "first", true);
    f->writes[0].categories = both;
    f->writes[0].category_count = 2;
    assert_int_equal(run(f, 1), 0);
    f->writes[0] = answer(f, &f->arena, "second", true);
    f->writes[1] =
        answer(f, &f->arena, "first", true); /* an event of the older answer comes first */
    f->writes[1].evidence = (struct str){text, LONG + 2};
    f->writes[2] = answer(f, &f->arena, "third", true);
    assert_int_equal(run(f, 3), 0);
    assert_string_equal(f->writes[1].job.err.reason, "event_too_long");
    assert_true(permits(f, "first") && permits(f, "second") && permits(f, "third"));
    int counts[5];
    statuses(f, "first", counts);
    assert_int_equal(counts[CONSENT_SUPERSEDED], 0);
    all_is_right(f);
    free(text);
}

static void test_without_a_policy_nothing_is_written(void **state)
{
    struct fixture *f = *state;
    f->writes[0] = answer(f, &f->arena, "anna", true);
    assert_int_equal(run(f, 1), LOV_EUNAVAILABLE);
    assert_string_equal(f->err.reason, "no_policy");
    assert_false(there(f, "anna"));
}

/* ---- notes ---- */

static void note(const struct engine_bulk *b, struct buf *name, struct buf *value)
{
    buf_cstr(name, b->ctx);
    buf_printf(value, "%zu", b->count);
}

static int see_note(void *ctx, struct str name, struct str value)
{
    struct buf *seen = ctx;
    buf_printf(seen, "%.*s=%.*s ", STR_ARG(name), STR_ARG(value));
    return 0;
}

static void test_a_note_is_durable_with_the_answers(void **state)
{
    struct fixture *f = *state;
    static char names[][8] = {"a.2", "a.1", "b.1", "a.2"};
    _cleanup_buf struct buf seen = {0};
    struct db *lov;
    for (size_t i = 0; i < 4; i++) {
        f->writes[0] = answer(f, &f->arena, names[i], true);
        f->bulk.note = note;
        f->bulk.ctx = names[i];
        assert_int_equal(run(f, i < 3), 0);
    }
    assert_int_equal(engine_open_store(f->dir, "lov", &lov, &f->err), 0);
    assert_int_equal(bulk_notes(lov, STR("a."), see_note, &seen, &f->err), 0);
    assert_string_equal(seen.p, "a.1=1 a.2=0 ");
    db_close(lov);
}

/* ---- beside others ---- */

struct other {
    struct fixture *f;
    struct arena arena;
    int written;
};

/* Changes the same consumers, one write at a time. */
static void *write_on(void *arg)
{
    struct other *o = arg;
    struct err err;
    char who[16];
    while (!o->f->stop) {
        snprintf(who, sizeof who, "c%d", o->written % 300);
        arena_free(&o->arena);
        struct engine_write w = answer(o->f, &o->arena, who, o->written % 3 == 0);
        if (engine_run(o->f->e, &w, &err) != 0)
            abort();
        o->written++;
    }
    arena_free(&o->arena);
    return NULL;
}

static void test_bulks_and_the_writes_of_others_leave_one_truth(void **state)
{
    enum { BULKS = 6, OTHERS = 2, CONSUMERS = 400 };
    struct fixture *f = *state;
    struct other others[OTHERS] = {{.f = f}, {.f = f}};
    pthread_t threads[OTHERS];
    bool before[CONSUMERS];
    char who[16];
    /* A sweep is nearly always under way. */
    static const struct sweep_limits slowly = {0, 0, 1, 1, 0};
    engine_close(f->e);
    assert_int_equal(engine_open_with(f->dir, &f->log, &slowly, &f->e, &f->err), 0);
    for (int i = 0; i < OTHERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, write_on, &others[i]), 0);
    for (int bulk = 0; bulk < BULKS; bulk++) {
        struct arena arena = {0};
        for (int i = 0; i < MOST / 2; i++) {
            snprintf(who, sizeof who, "c%d", (i * 7 + bulk) % CONSUMERS);
            f->writes[i] = answer(f, &arena, who, (i + bulk) % 2);
        }
        assert_int_equal(run(f, MOST / 2), 0);
        for (int i = 0; i < MOST / 2; i++)
            assert_int_equal(f->writes[i].job.rc, 0);
        arena_free(&arena);
    }
    f->stop = true;
    for (int i = 0; i < OTHERS; i++)
        pthread_join(threads[i], NULL);
    assert_true(others[0].written > 0 && others[1].written > 0);
    for (int i = 0; i < CONSUMERS; i++) {
        snprintf(who, sizeof who, "c%d", i);
        before[i] = permits(f, who);
    }
    all_is_right(f);
    for (int without_index = 0; without_index < 2; without_index++) {
        reopen(f, without_index);
        for (int i = 0; i < CONSUMERS; i++) {
            snprintf(who, sizeof who, "c%d", i);
            assert_int_equal(permits(f, who), before[i]);
        }
    }
    all_is_right(f);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_fixture, close_fixture)
    const struct CMUnitTest tests[] = {
        TEST(test_the_last_of_several_answers_in_a_bulk_stands),
        TEST(test_a_refused_answer_adds_nobody_and_spares_the_others),
        TEST(test_an_erased_consumer_stays_erased),
        TEST(test_an_answer_that_fails_after_it_wrote_takes_nothing_with_it),
        cmocka_unit_test_setup_teardown(test_without_a_policy_nothing_is_written, open_empty,
                                        close_fixture),
        TEST(test_a_note_is_durable_with_the_answers),
        TEST(test_bulks_and_the_writes_of_others_leave_one_truth),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
