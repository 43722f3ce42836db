/* test_consent_rules.c - the rules in force, taken and given back by many threads while policies
 * come and go: nobody sees rules that were freed, and none stay behind (ASan, TSan). */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <pthread.h>

#include "consent/consent.h"

enum { READERS = 3, POLICIES = 12, HELD = 5 };

struct world {
    char dir[64];
    struct log log;
    struct engine *e;
    atomic_bool stop;
    _Atomic int wrong;
    _Atomic uint64_t taken;
};

/* Each policy differs from the one before by a retention. */
static void apply(struct world *w, int number)
{
    struct err err = {0};
    struct policy_bundle bundle = {0};
    _cleanup_arena struct arena arena = {0};
    assert_int_equal(policy_bundle_read("policy", &bundle, &err), 0);
    for (size_t i = 0; i < bundle.count; i++) {
        struct policy_file *file = &bundle.files[i];
        const char *at = strstr(file->text.p, "retention: ");
        if (at && strstr(file->path.p, "activities"))
            file->text =
                arena_printf(&bundle.arena, "%.*sretention: %d%s", (int)(at - file->text.p),
                             file->text.p, 100 + number, strchr(at, '\n'));
    }
    struct engine_write write = {
        .kind = WRITE_POLICY, .actor = STR("test"), .arena = &arena, .bundle = &bundle};
    assert_int_equal(engine_run(w->e, &write, &err), 0);
    policy_unref(write.policy);
    policy_findings_free(&write.findings);
    policy_bundle_free(&bundle);
}

/* Holds some at a time, so that rules are given back long after they were replaced. */
static void *read_rules(void *arg)
{
    struct world *w = arg;
    struct rules *held[HELD] = {0};
    int last = 0;
    for (size_t i = 0; !atomic_load(&w->stop); i++) {
        rules_unref(held[i % HELD]);
        struct rules *r = held[i % HELD] = engine_rules(w->e);
        int version = r ? rules_policy(r)->version : 0;
        if (version < last)
            atomic_fetch_add(&w->wrong, 1);
        last = version;
        for (size_t k = 0; k < HELD; k++)
            if (held[k] && rules_policy(held[k])->activity_count == 0)
                atomic_fetch_add(&w->wrong, 1);
        atomic_fetch_add(&w->taken, 1);
    }
    for (size_t k = 0; k < HELD; k++)
        rules_unref(held[k]);
    return NULL;
}

static void test_rules_are_held_while_policies_come_and_go(void **state)
{
    (void)state;
    struct err err = {0};
    pthread_t threads[READERS];
    struct world w = {.log = {.fd = STDERR_FILENO, .level = LOG_ERROR}};
    snprintf(w.dir, sizeof w.dir, "/tmp/lov-rules-XXXXXX");
    assert_non_null(mkdtemp(w.dir));
    assert_int_equal(engine_init(w.dir, &err), 0);
    assert_int_equal(engine_open(w.dir, &w.log, &w.e, &err), 0);
    assert_null(engine_rules(w.e));
    for (size_t i = 0; i < READERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, read_rules, &w), 0);
    for (int i = 0; i < POLICIES; i++)
        apply(&w, i);
    struct rules *r = engine_rules(w.e);
    assert_int_equal(rules_policy(r)->version, POLICIES);
    rules_unref(r);
    atomic_store(&w.stop, true);
    for (size_t i = 0; i < READERS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(w.wrong, 0);
    assert_true(w.taken > 1000);
    engine_close(w.e);
    char command[96];
    snprintf(command, sizeof command, "rm -rf %s", w.dir);
    assert_int_equal(system(command), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rules_are_held_while_policies_come_and_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
