/* test_permit_asking.c - the short way of the usual answer against the long one, and what changes
 * between two looks of a reader. */
#include "test_permit_fixture.h"

/* ---- the usual way ---- */

static bool says_the_same(const struct mapping *m, const struct named_use *u,
                          const struct hash128 *lookup, const struct lov_decision *usual,
                          int64_t at)
{
    struct lov_decision d;
    permit_decide(&m->map, u->policy->image, u->use, lookup, at, &d);
    d.at = usual->at;
    return memcmp(&d, usual, sizeof d) == 0;
}

static bool ask_usually(const struct mapping *m, struct named_use *u, const struct hash128 *lookup,
                        bool at_once, int64_t until, int64_t at, struct lov_decision *out)
{
    struct cmac_words words;
    uint64_t lines;
    const _Atomic uint64_t *table = permit_table(&m->map, &lines);
    const _Atomic uint64_t *home = table + home_of(lookup_address(lookup), lines) * LINE_WORDS;
    memcpy(&words, lookup->b, sizeof words);
    memset(out, 0xA5, sizeof *out);
    out->at = at;
    /* Both ways have the same arguments; where one is missing it is the other. */
    return at_once && m->lookup_key.hardware
               ? permit_usual(&m->map, &u->usual, true, home, cmac_vector_of(words),
                              usual_ends(until), out)
               : permit_usual(&m->map, &u->usual, false, home, cmac_vector_of(words),
                              usual_ends(until), out);
}

static void test_the_usual_way_says_nothing_else(void **state)
{
    struct fixture *f = *state;
    enum { CONSUMERS = 3000, LATER = 1110, NEAR_END = 200000 };
    uint64_t seed = seed_start();
    long yes = 0, missed = 0;
    struct mapping *m = NULL;
    f->sufficient_from = 3;
    f->guardian_below = 13;
    publish_policy(f);
    assert_int_equal(mapping_open(f->dir, &m, NULL, 0), 0);
    struct reading_policy *p = mapping_read_policy(m);
    assert_non_null(p);
    assert_int_equal(p->image->uses.count, KEYS);
    for (long id = 0; id < CONSUMERS; id++) {
        struct plain plain = {.residence = f->residence, .born = DAY_NONE};
        struct hash128 lookup = lookup_of(id);
        struct uid cid = cid_of(id);
        index_write_lock(f->ix);
        struct index_consumer *c = index_add(f->ix, &lookup, &cid, 0);
        change_plain(f, &plain, &seed);
        plain.erased = seed_next(&seed) % 20 == 0;
        write_plain(f, &plain, c);
        index_write_unlock(f->ix);
        for (int k = 0; k < KEYS; k++) {
            struct named_use *u = &p->named[k];
            struct lov_decision d, e;
            int64_t from = (int64_t)(seed_next(&seed) & 0xFFFFFFFFFF);
            /* Near its end, too. */
            if (k % 2 && plain.has[k] && plain.says[k].expires_at != INT64_MAX)
                from = plain.says[k].expires_at - (int64_t)(seed_next(&seed) % NEAR_END);
            int64_t grown = from > 0 ? from - (int64_t)(seed_next(&seed) % (uint64_t)from) : from;
            usual_of(p->image, u->use, grown, &u->usual);
            bool usual = ask_usually(m, u, &lookup, false, from + LATER, from, &d);
            bool at_once = ask_usually(m, u, &lookup, true, from + LATER, from, &e);
            assert_int_equal(usual, at_once);
            if (usual) {
                yes++;
                assert_memory_equal(&d, &e, sizeof d);
                assert_true(says_the_same(m, u, &lookup, &d, grown > 0 ? grown : 0));
                assert_true(says_the_same(m, u, &lookup, &d, from));
                assert_true(says_the_same(m, u, &lookup, &d, from + LATER));
            } else {
                permit_decide(&m->map, p->image, u->use, &lookup, from, &d);
                missed += d.permit;
            }
        }
    }
    print_message("%ld usual, %ld permitted otherwise\n", yes, missed);
    assert_true(yes > CONSUMERS / 20);
    mapping_close(m);
}

static void test_a_prepared_question_is_answered_as_the_plain_one(void **state)
{
    struct fixture *f = *state;
    struct lov *lov = open_lov(f->dir);
    struct lov_question *q = NULL, *unknown = NULL;
    enum { ASKED = 200 };
    static char ids[ASKED][16];
    const char *consumers[ASKED];
    struct lov_decision d, e, many[ASKED];
    assert_int_equal(lov_prepare(NULL, "r", "p", "c1", &q), LOV_EINVAL);
    assert_int_equal(lov_prepare(lov, "r", "p", "c1", NULL), LOV_EINVAL);
    assert_int_equal(lov_prepare(lov, "r", "p", "c1", &q), 0);
    assert_int_equal(lov_prepare(lov, NULL, "p", "c1", &unknown), 0);
    size_t given = 0;
    for (long id = 0; id < ASKED; id++) {
        snprintf(ids[id], sizeof ids[id], "%08ld", id);
        consumers[id] = ids[id];
        if (id % 3)
            add_consumer(f, id, id % 3 == 1 ? PERMIT_GIVEN : PERMIT_WITHDRAWN);
        given += id % 3 == 1;
    }
    for (int policy = 0; policy < 3; policy++) {
        f->sufficient_from = policy == 1 ? 2 : 1;
        publish_policy(f);
        size_t permits = policy == 1 ? 0 : given;
        assert_int_equal(lov_ask_many(q, consumers, ASKED, 0, many), permits);
        for (int i = 0; i < ASKED; i++) {
            assert_int_equal(lov_ask(q, consumers[i], 0, &d), many[i].permit);
            assert_int_equal(ask(lov, i, &e), many[i].permit);
            assert_int_equal(d.reason, many[i].reason);
            assert_int_equal(e.reason, many[i].reason);
            assert_true(d.consent == e.consent && d.consent == many[i].consent);
            assert_true(d.at - clock_now() > -3000 && d.at - clock_now() < 1200);
        }
        assert_int_equal(lov_decide_many(lov, "r", "p", "c1", consumers, ASKED, 5, many), permits);
        assert_true(many[1].at == 5 && many[2].at == 5);
    }
    assert_int_equal(lov_ask(unknown, ids[1], 0, &d), 0);
    assert_int_equal(d.reason, LOV_RECIPIENT_UNKNOWN);
    assert_int_equal(lov_ask(q, NULL, 0, &d), 0);
    assert_int_equal(lov_ask(q, ids[1], 0, NULL), 1);
    assert_int_equal(lov_ask(NULL, ids[1], 0, &d), 0);
    assert_int_equal(d.reason, LOV_UNAVAILABLE);
    assert_int_equal(lov_ask_many(NULL, consumers, 2, 0, many), 0);
    assert_int_equal(many[1].reason, LOV_UNAVAILABLE);
    lov_question_free(q);
    lov_question_free(unknown);
    lov_question_free(NULL);
    lov_close(lov);
}

/* The same memory, another question: what was remembered by where the texts lie is compared. */
static void test_names_that_change_in_place_are_other_names(void **state)
{
    struct fixture *f = *state;
    struct lov *lov = open_lov(f->dir);
    struct lov_decision d;
    char category[] = "c1";
    add_consumer(f, 1, PERMIT_GIVEN);
    for (int i = 0; i < 3; i++) {
        category[1] = '1';
        assert_int_equal(lov_decide(lov, "r", "p", category, "00000001", 0, &d), 1);
        category[1] = '7';
        assert_int_equal(lov_decide(lov, "r", "p", category, "00000001", 0, &d), 0);
        assert_int_equal(d.reason, LOV_NO_CONSENT);
        category[1] = 'x';
        assert_int_equal(lov_decide(lov, "r", "p", category, "00000001", 0, &d), 0);
        assert_int_equal(d.reason, LOV_NOT_IN_POLICY);
    }
    lov_close(lov);
}

/* Of 8 to 16 bytes they are compared in another way; at the end of a page, too, after which nothing
 * can be read. */
static void test_longer_names_that_change_in_place_are_other_names(void **state)
{
    struct fixture *f = *state;
    enum { PAGE = 4096 };
    struct lov_decision d;
    char *pages = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(pages, MAP_FAILED);
    assert_int_equal(mprotect(pages + PAGE, PAGE, PROT_NONE), 0);
    f->long_names = true;
    name_things(f);
    publish_policy(f);
    struct lov *lov = open_lov(f->dir);
    add_consumer(f, 1, PERMIT_GIVEN);
    for (int i = 0; i < 60; i++) {
        static const char *const texts[] = {"longer_c1", "longer_c7", "longer_cx", "longer_c",
                                            "l",         "",          "onger_c1",  "longer_c1x"};
        const char *text = texts[i % 8];
        char *category = pages + (i < 30 ? 100 : PAGE - 1 - strlen(text));
        memcpy(category, text, strlen(text) + 1);
        int permit = lov_decide(lov, "longer_r", "longer_p", category, "00000001", 0, &d);
        assert_int_equal(permit, i % 8 == 0);
        if (i % 8 > 1)
            assert_int_equal(d.reason, LOV_NOT_IN_POLICY);
    }
    /* The texts of one are not those of another, where they lie. */
    assert_int_equal(lov_decide(lov, "longer_p", "longer_r", "longer_c1", "00000001", 0, &d), 0);
    assert_int_equal(d.reason, LOV_RECIPIENT_UNKNOWN);
    lov_close(lov);
    munmap(pages, 2 * PAGE);
}

/* ---- between two looks ---- */

static struct fixture *interrupted;
static struct mapping *guarded;

static void guard_tables(int protection)
{
    const struct permit_section *s = guarded->map.header->fixed.section;
    char *base = guarded->base;
    mprotect(base + s[SECTION_TABLE_0].offset, s[SECTION_TABLE_0].size, protection);
    mprotect(base + s[SECTION_TABLE_1].offset, s[SECTION_TABLE_1].size, protection);
}

/* The reader has looked at the policy and is about to look at the consumer. */
/* TSan lets no handler take memory, which a new policy does. */
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define UNDER_TSAN 1
#endif
#endif
#ifndef UNDER_TSAN
#define UNDER_TSAN 0
#endif

static void on_the_way(int signal)
{
    (void)signal;
    guard_tables(PROT_READ);
    interrupted->sufficient_from = 2;
    publish_policy(interrupted);
    add_consumer(interrupted, 1, PERMIT_GIVEN);
}

static void test_a_policy_that_changes_inside_a_decision_decides_it_anew(void **state)
{
    if (UNDER_TSAN)
        skip();
    struct fixture *f = *state;
    struct sigaction before, ours = {.sa_handler = on_the_way};
    interrupted = f;
    sigaction(SIGSEGV, &ours, &before);
    for (int i = 0; i < 4; i++) {
        struct lov *lov = open_lov(f->dir);
        struct lov_decision d;
        f->sufficient_from = 1;
        publish_policy(f);
        add_consumer(f, 1, PERMIT_WITHDRAWN);
        add_consumer(f, 2, PERMIT_GIVEN);
        /* As it is decided the first time, and as usual. */
        for (int k = 0; i % 2 && k < 2; k++)
            assert_int_equal(ask(lov, 2, &d), 1);
        guarded = atomic_load(&lov->mapping);
        guard_tables(PROT_NONE);
        assert_int_equal(ask(lov, 1, &d), 0);
        assert_int_equal(f->sufficient_from, 2);
        assert_int_equal(d.reason, LOV_NOTICE_SUPERSEDED);
        lov_close(lov);
    }
    sigaction(SIGSEGV, &before, NULL);
}

static void test_a_line_inside_a_change_is_not_read(void **state)
{
    struct fixture *f = *state;
    struct lov *lov = open_lov(f->dir);
    struct lov_decision d;
    const char *id = "00000001";
    struct hash128 lookup = hash_of(id, 8);
    add_consumer(f, 1, PERMIT_GIVEN);
    assert_int_equal(ask(lov, 1, &d), 1);
    const struct permit_map *m = index_map(f->ix);
    uint64_t lines, found = 0;
    _Atomic uint64_t *line = (_Atomic uint64_t *)(uintptr_t)permit_table(m, &lines);
    assert_non_null(line);
    line += home_of(lookup_address(&lookup), lines) * LINE_WORDS;
    while (word_get(line + 1) != lookup_tag(&lookup) && ++found < 8)
        line += LINE_WORDS;
    assert_true(found < 8);
    word_set(line, word_get(line) + 1);
    assert_int_equal(ask(lov, 1, &d), 0);
    assert_int_equal(d.reason, LOV_UNAVAILABLE);
    assert_int_equal(lov_decide_many(lov, "r", "p", "c1", &id, 1, 0, &d), 0);
    word_set(line, word_get(line) + 1);
    assert_int_equal(ask(lov, 1, &d), 1);
    lov_close(lov);
}

static void test_an_index_that_starts_anew_has_no_policy(void **state)
{
    struct fixture *f = *state;
    struct lov *lov = open_lov(f->dir);
    struct lov_decision d;
    add_consumer(f, 1, PERMIT_GIVEN);
    assert_int_equal(ask(lov, 1, &d), 1);
    index_close(f->ix, false);
    open_index_in(f);
    assert_int_equal(f->found, INDEX_EMPTY);
    name_things(f);
    add_consumer(f, 1, PERMIT_GIVEN);
    index_go_live(f->ix);
    assert_int_equal(ask(lov, 1, &d), 0);
    assert_int_equal(d.reason, LOV_UNAVAILABLE);
    publish_policy(f);
    assert_int_equal(ask(lov, 1, &d), 1);
    lov_close(lov);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, make, end)
        T(test_the_usual_way_says_nothing_else),
        T(test_a_prepared_question_is_answered_as_the_plain_one),
        T(test_names_that_change_in_place_are_other_names),
        T(test_longer_names_that_change_in_place_are_other_names),
        T(test_a_policy_that_changes_inside_a_decision_decides_it_anew),
        T(test_a_line_inside_a_change_is_not_read),
        T(test_an_index_that_starts_anew_has_no_policy),
#undef T
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
