/* test_vault_sketch.c - the sketch against sorted values. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "test_seed.h"
#include "vault/sketch.h"

enum { VALUES = 3000 };

static uint64_t seed;

static int64_t any_value(void)
{
    uint64_t r = seed_next(&seed);
    int64_t v = (int64_t)(r >> (1 + seed_below(&seed, 60)));
    return seed_below(&seed, 3) == 0 ? -v : v;
}

static int by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* Within 1 %, or 1. */
static void assert_near(int64_t got, int64_t exact)
{
    double off = (double)got - (double)exact, size = exact < 0 ? -(double)exact : (double)exact;
    if ((off < 0 ? -off : off) > 1 + size * 0.0101)
        fail_msg("%lld is not near %lld (LOV_SEED)", (long long)got, (long long)exact);
}

static struct sketch *sketch_of(const int64_t *values, size_t n)
{
    struct sketch *s = sketch_new();
    for (size_t i = 0; i < n; i++)
        sketch_add(s, values[i]);
    return s;
}

static void test_a_quantile_is_near_the_exact_one(void **state)
{
    (void)state;
    for (int round = 0; round < 50; round++) {
        static int64_t values[VALUES];
        size_t n = 1 + (size_t)seed_below(&seed, VALUES);
        for (size_t i = 0; i < n; i++)
            values[i] = any_value();
        struct sketch *s = sketch_of(values, n);
        qsort(values, n, sizeof *values, by_value);
        assert_int_equal(sketch_count(s), n);
        for (int k = 0; k <= 10; k++)
            assert_near(sketch_quantile(s, k / 10.0),
                        values[(size_t)((double)(n - 1) * (k / 10.0))]);
        sketch_free(s);
    }
}

/* Around a center the error of each value counts, not that of the distance. */
static void test_the_spread_is_that_of_the_values(void **state)
{
    (void)state;
    struct sketch *s = sketch_new();
    for (int64_t v = 9000; v <= 11000; v++)
        sketch_add(s, v * 1000);
    int64_t median = sketch_quantile(s, 0.5), mad = sketch_distance(s, median);
    assert_near(median, 10000000);
    assert_true(mad > 400000 && mad < 600000);
    sketch_free(s);

    int64_t constant[] = {70, 70, 70, 70, 5000};
    s = sketch_of(constant, 5);
    assert_int_equal(sketch_distance(s, sketch_quantile(s, 0.5)), 0);
    sketch_free(s);
}

static void test_parts_make_the_whole(void **state)
{
    (void)state;
    for (int round = 0; round < 50; round++) {
        struct sketch *whole = sketch_new(), *parts[3];
        _cleanup_buf struct buf a = {0}, b = {0};
        for (int i = 0; i < 3; i++)
            parts[i] = sketch_new();
        for (int i = 0; i < 500; i++) {
            int64_t v = any_value();
            sketch_add(whole, v);
            sketch_add(parts[seed_below(&seed, 3)], v);
        }
        sketch_merge(parts[2], parts[0]);
        sketch_merge(parts[2], parts[1]);
        sketch_write(whole, &a);
        sketch_write(parts[2], &b);
        assert_true(str_eq(buf_view(&a), buf_view(&b)));
        sketch_free(whole);
        for (int i = 0; i < 3; i++)
            sketch_free(parts[i]);
    }
}

static void test_what_is_taken_out_is_as_if_it_had_not_been(void **state)
{
    (void)state;
    static const int64_t edges[] = {0, 1, -1, 50, 51, INT64_MAX, INT64_MIN, INT64_MIN + 1};
    struct sketch *s = sketch_of(edges, 8), *empty = sketch_new();
    _cleanup_buf struct buf a = {0}, b = {0};
    for (size_t i = 0; i < 8; i++)
        sketch_remove(s, edges[i]);
    sketch_remove(s, 4711); /* was never there */
    assert_int_equal(sketch_count(s), 0);
    sketch_write(s, &a);
    sketch_write(empty, &b);
    assert_true(str_eq(buf_view(&a), buf_view(&b)));
    sketch_free(s);
    sketch_free(empty);
}

static void test_bytes_lead_back_and_others_are_refused(void **state)
{
    (void)state;
    for (int round = 0; round < 100; round++) {
        struct sketch *s = sketch_new();
        _cleanup_buf struct buf bytes = {0}, again = {0};
        for (uint64_t i = seed_below(&seed, 200); i > 0; i--)
            sketch_add(s, any_value());
        sketch_write(s, &bytes);
        struct sketch *back = sketch_read(buf_view(&bytes));
        assert_non_null(back);
        assert_int_equal(sketch_count(back), sketch_count(s));
        sketch_write(back, &again);
        assert_true(str_eq(buf_view(&bytes), buf_view(&again)));
        sketch_free(back);
        for (size_t n = 0; n < bytes.n; n++)
            assert_null(sketch_read((struct str){bytes.p, n}));
        buf_char(&bytes, 0);
        assert_null(sketch_read(buf_view(&bytes)));
        bytes.n--;
        for (int i = 0; i < 50; i++) {
            size_t at = (size_t)seed_below(&seed, bytes.n);
            char was = bytes.p[at];
            bytes.p[at] = (char)seed_next(&seed);
            back = sketch_read(buf_view(&bytes));
            if (back) {
                buf_clear(&again);
                sketch_write(back, &again);
                assert_true(str_eq(buf_view(&bytes), buf_view(&again)));
            }
            sketch_free(back);
            bytes.p[at] = was;
        }
        sketch_free(s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_quantile_is_near_the_exact_one),
        cmocka_unit_test(test_the_spread_is_that_of_the_values),
        cmocka_unit_test(test_parts_make_the_whole),
        cmocka_unit_test(test_what_is_taken_out_is_as_if_it_had_not_been),
        cmocka_unit_test(test_bytes_lead_back_and_others_are_refused),
    };
    seed = seed_start();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
