/* test_consent_follow.c - laws that change on a day: what is said beforehand, and that the policy
 * in force follows, also after the day has passed unseen. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "test_consent_fixture.h"

/* The demo's policy as it was applied before its first change of a law, by a server that has slept
 * since. */
static void sleep_since(struct fixture *f, const char *applied_at)
{
    struct db *lov;
    char path[96];
    int64_t at;
    assert_true(time_parse(str_of(applied_at), &at));
    engine_close(f->e);
    snprintf(path, sizeof path, "%s/lov.db", f->dir);
    assert_int_equal(db_open(path, DB_WRITE, &lov, &f->err), 0);
    struct db_stmt *s = db_use(lov, "update policy set applied_at = $1");
    db_bind_int(s, 1, at);
    assert_int_equal(db_run(s, &f->err), 0);
    db_close(lov);
    assert_int_equal(engine_open(f->dir, &f->log, &f->e, &f->err), 0);
}

static int guardian_in_denmark(struct fixture *f, int *version)
{
    struct rules *rules = engine_rules(f->e);
    const struct policy *p = rules_policy(rules);
    int years = policy_guardian_below(policy_law_of(p, STR("DK")), STR("DK"));
    *version = p->version;
    rules_unref(rules);
    return years;
}

static void test_the_policy_follows_a_law_once(void **state)
{
    struct fixture *f = *state;
    int version;
    sleep_since(f, "2023-06-01T00:00:00Z");
    assert_int_equal(guardian_in_denmark(f, &version), 13);
    assert_int_equal(version, 1);
    for (int i = 0; i < 2; i++) {
        if (engine_follow_laws(f->e, &f->err))
            fail_msg("%s", f->err.text);
        assert_int_equal(guardian_in_denmark(f, &version), 15);
        assert_int_equal(version, 2);
    }
    reopen(f);
    assert_int_equal(guardian_in_denmark(f, &version), 15);
}

static void be_dane(struct fixture *f, const char *consumer, const char *born)
{
    struct engine_write w = write_of(f, WRITE_CONSUMER);
    w.consumer = str_of(consumer);
    w.set.has_residence = w.set.has_born = true;
    w.set.residence = STR("DK");
    assert_true(date_parse(str_of(born), &w.set.born));
    run(f, &w);
    struct engine_write yes = write_of(f, WRITE_GIVE);
    yes.consumer = str_of(consumer);
    name_categories(f, &yes, "p");
    run(f, &yes);
}

static void test_what_a_law_will_change_is_told_with_for_whom(void **state)
{
    struct fixture *f = *state;
    struct policy *after;
    struct policy_diff diff = {0};
    int64_t at;
    assert_true(time_parse(STR("2023-06-01T00:00:00Z"), &at));
    sleep_since(f, "2023-06-01T00:00:00Z");
    be_dane(f, "00001", "2009-05-01"); /* fourteen on that day */
    be_dane(f, "00002", "1990-05-01");
    struct engine_write swede = write_of(f, WRITE_CONSUMER);
    swede.consumer = STR("00003");
    swede.set.has_residence = true;
    swede.set.residence = STR("US-CA");
    run(f, &swede);
    apply(f, NULL, NULL, NULL, &after);
    struct rules *rules = engine_rules(f->e);
    policy_diff(rules_policy(rules), after, &diff);
    rules_unref(rules);
    assert_int_equal(diff.count, 1);
    assert_string_equal(diff.items[0].what, "law");
    struct policy_effect effect;
    policy_effects(f->e, after, at, &diff, &effect);
    assert_int_equal(effect.covered, 2);
    assert_int_equal(effect.consumers, 1);
    assert_int_equal(effect.consents, 1);
    assert_int_equal(effect.permits_lost, 1);
    assert_int_equal(effect.permits_won, 0);
    policy_diff_free(&diff);
    policy_unref(after);
}

#define T(name) cmocka_unit_test_setup_teardown(name, open_fixture, close_fixture)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_the_policy_follows_a_law_once),
        T(test_what_a_law_will_change_is_told_with_for_whom),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
