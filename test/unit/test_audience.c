/* test_audience.c - audiences against decide(): random policies, random consumers over several
 * segments, random changes; every audience must be those and only those whom decide() permits, and
 * the count their number. Then the same while others write, build and ask at once. */
#include "test_audience_fixture.h"

static void test_an_audience_is_whom_decide_permits(void **state)
{
    struct world *w = *state;
    struct asking q;
    int64_t permitted = 0;
    add_consumers(w, 70000);
    for (int round = 0; round < 12; round++) {
        if (round % 2 == 0)
            new_policy(w);
        if (round == 6)
            add_consumers(w, MOST_CONSUMERS - w->consumers);
        if (round % 2)
            grow_old(w);
        for (int k = 0; k < 3; k++) {
            random_asking(w, &q);
            permitted += compare(w, &q);
        }
        assert_by_sets(w);
        change_some(w, 3000);
        if (round % 5 == 3)
            add_consumers(w, 500);
    }
    assert_true(permitted > 50000);
}

/* So few that a set may well be empty, or have everybody of an age. */
static void test_a_small_audience_is_whom_decide_permits(void **state)
{
    struct world *w = *state;
    struct asking q;
    add_consumers(w, 12);
    for (int round = 0; round < 1200; round++) {
        if (round % 8 == 0)
            new_policy(w);
        if (round % 100 == 0)
            add_consumers(w, 1);
        if (round % 3 == 0)
            grow_old(w);
        random_asking(w, &q);
        compare(w, &q);
        change_some(w, 4);
    }
    assert_by_sets(w);
}

static void test_an_audience_follows_the_policy(void **state)
{
    struct world *w = *state;
    struct asking q;
    int64_t different = 0, last = 0;
    add_consumers(w, 3000);
    for (int i = 0; i < 10; i++) {
        random_asking(w, &q);
        struct audience *a = audience_open(&w->e, &q.ask);
        /* The names of what is asked outlive the policy that they were taken from. */
        char names[AUDIENCE_CONDITIONS * 3 + 8][64];
        size_t n = 0;
        struct str *texts[AUDIENCE_CONDITIONS * 3 + 8];
        for (size_t k = 0; k < q.ask.count; k++) {
            texts[n++] = &q.all[k].recipient;
            texts[n++] = &q.all[k].purpose;
            texts[n++] = &q.all[k].category;
        }
        for (size_t k = 0; k < q.ask.law_count; k++)
            texts[n++] = &q.laws[k];
        for (size_t k = 0; k < n; k++) {
            snprintf(names[k], sizeof names[k], "%.*s", STR_ARG(*texts[k]));
            *texts[k] = str_of(names[k]);
        }
        for (int k = 0; k < 12; k++) {
            new_policy(w);
            int64_t now = count_now(a);
            assert_int_equal(now, compare(w, &q));
            different += now != last;
            last = now;
        }
        audience_close(a);
    }
    assert_true(different > 20);
}

/* The members of sets themselves: built anew they are what changes have made of them. */
static void test_sets_that_changed_are_those_that_are_built(void **state)
{
    struct world *w = *state;
    struct sets *s = index_sets(w->e.index);
    int64_t now = clock_now();
    add_consumers(w, 66000);
    assert_true(sets_build(s, 0, now, 0) && sets_build(s, 1, now, 0));
    change_some(w, 60000);
    add_consumers(w, 3000);
    for (uint32_t i = 0; i < 2; i++) {
        struct segment kept = *s->segments[i];
        struct slot *slots = calloc(kept.count, sizeof *slots);
        struct bits *before = calloc(kept.count, sizeof *before), after;
        for (uint32_t k = 0; k < kept.count; k++) {
            slots[k] = kept.slots[k];
            slot_or(&s->region, &kept.slots[k], &before[k]);
        }
        assert_true(sets_build(s, i, now, 6 * 3600000));
        const struct segment *built = s->segments[i];
        assert_int_equal(built->count, kept.count);
        for (uint32_t k = 0; k < built->count; k++) {
            memset(&after, 0, sizeof after);
            slot_or(&s->region, &built->slots[k], &after);
            assert_int_equal(built->slots[k].set, slots[k].set);
            assert_int_equal(built->slots[k].count, slots[k].count);
            assert_memory_equal(&after, &before[k], sizeof after);
        }
        free(slots);
        free(before);
    }
}

/* ---- one set ---- */

static void check_slot(const struct region *r, const struct slot *s, const struct bits *model)
{
    struct bits b = {{0}};
    uint32_t count = 0;
    slot_or(r, s, &b);
    assert_memory_equal(&b, model, sizeof b);
    for (uint32_t i = 0; i < SEGMENT_WORDS; i++)
        count += (uint32_t)__builtin_popcountll(model->w[i]);
    assert_int_equal(s->count, count);
}

static void test_a_set_holds_what_was_put_into_it(void **state)
{
    struct world *w = *state;
    struct region r;
    struct slot s[4] = {{0}};
    static struct bits model[4];
    assert_true(region_open(&r, w->dir));
    /* Up to all, down to none, in a random order, several at once. */
    for (uint32_t step = 0; step < 600000; step++) {
        uint64_t k = below(w, 4);
        uint16_t number = (uint16_t)below(w, SEGMENT);
        bool grows = (step / 150000 + k) % 2 == 0;
        if (grows) {
            bits_add(&model[k], number);
            assert_true(slot_add(&r, &s[k], number));
        } else {
            model[k].w[number >> 6] &= ~((uint64_t)1 << (number & 63));
            assert_true(slot_remove(&r, &s[k], number));
        }
        if (step % 20000 == 0)
            check_slot(&r, &s[k], &model[k]);
    }
    for (uint32_t n = 0; n < SEGMENT; n++)
        assert_true(slot_add(&r, &s[0], (uint16_t)n));
    assert_int_equal(s[0].form, SLOT_ALL);
    for (uint32_t n = 0; n < SEGMENT; n++)
        assert_true(slot_remove(&r, &s[0], (uint16_t)n));
    assert_int_equal(s[0].count, 0);
    for (int k = 1; k < 4; k++)
        check_slot(&r, &s[k], &model[k]);
    region_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD(test_a_set_holds_what_was_put_into_it),
        WORLD(test_an_audience_is_whom_decide_permits),
        WORLD(test_a_small_audience_is_whom_decide_permits),
        WORLD(test_an_audience_follows_the_policy),
        WORLD(test_sets_that_changed_are_those_that_are_built),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
