/* test_base_clock.c - instants and days, against glibc's own calendar. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/clock.h"
#include "test_seed.h"

static int64_t at(const char *text)
{
    int64_t ms = 0;
    if (!time_parse(str_of(text), &ms))
        fail_msg("%s does not parse", text);
    return ms;
}

static int32_t day(const char *text)
{
    int32_t days = 0;
    if (!date_parse(str_of(text), &days))
        fail_msg("%s does not parse", text);
    return days;
}

static void test_every_day_from_1800_to_9999_reads_back_and_is_the_calendars(void **state)
{
    (void)state;
    int32_t first = day("1800-01-01"), last = day("9999-12-31");
    assert_int_equal(last - first + 1, 2994988); /* 8,200 years, 1,988 of them leap */
    _cleanup_buf struct buf text = {0};
    for (int32_t d = first; d <= last; d++) {
        buf_clear(&text);
        date_format(d, &text);
        int32_t back;
        assert_true(date_parse(buf_view(&text), &back));
        if (back != d)
            fail_msg("%s reads back as another day", text.p);
        time_t seconds = (time_t)d * 86400;
        struct tm tm;
        char expected[32];
        gmtime_r(&seconds, &tm);
        strftime(expected, sizeof expected, "%Y-%m-%d", &tm);
        if (strcmp(text.p, expected) != 0)
            fail_msg("%s is not %s", text.p, expected);
    }
}

static void test_days_that_do_not_exist_are_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "",           "2026-02-29", "2100-02-29",  "2026-04-31",  "2026-13-01",  "2026-00-01",
        "2026-01-00", "2026-01-32", "1799-12-31",  "2026-1-1",    "26-01-01",    "2026/01/01",
        "20260101",   "2026-01-1x", "2026-01-011", " 2026-01-01", "2026-01-01 ", "+2026-01-01",
        "-026-01-01", "0000-01-01",
    };
    int32_t d = 7;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        if (date_parse(str_of(wrong[i]), &d))
            fail_msg("%s was taken", wrong[i]);
    assert_false(date_parse((struct str){0}, &d));
    assert_int_equal(d, 7);
    assert_true(date_parse(STR("2000-02-29"), &d) && date_parse(STR("2028-02-29"), &d));
}

static void test_day_years_later_is_the_same_day_and_leap_day_is_1_march(void **state)
{
    (void)state;
    assert_int_equal(date_add_years(day("2010-05-17"), 16), day("2026-05-17"));
    assert_int_equal(date_add_years(day("2008-02-29"), 16), day("2024-02-29"));
    assert_int_equal(date_add_years(day("2008-02-29"), 13), day("2021-03-01"));
    assert_int_equal(date_add_years(day("2000-02-29"), 100), day("2100-03-01"));
    assert_int_equal(date_add_years(day("2026-12-31"), -1), day("2025-12-31"));
    assert_int_equal(date_add_years(day("2026-03-01"), 0), day("2026-03-01"));
}

static void test_start_of_a_day_is_its_midnight_utc(void **state)
{
    (void)state;
    assert_true(date_start(day("1970-01-01")) == 0);
    assert_true(date_start(day("2026-11-23")) == at("2026-11-23T00:00:00Z"));
    assert_true(date_start(day("1900-01-01")) == at("1900-01-01T00:00:00Z"));
}

static void test_times_of_rfc_3339_are_read(void **state)
{
    (void)state;
    assert_true(at("1970-01-01T00:00:00Z") == 0);
    assert_true(at("2001-09-09T01:46:40Z") == INT64_C(1000000000000));
    /* The examples of RFC 3339 §5.8. */
    assert_true(at("1985-04-12T23:20:50.52Z") == INT64_C(482196050520));
    assert_true(at("1996-12-19T16:39:57-08:00") == at("1996-12-20T00:39:57Z"));
    assert_true(at("1990-12-31T23:59:60Z") == at("1990-12-31T23:59:59Z"));
    assert_true(at("1990-12-31T15:59:60-08:00") == at("1990-12-31T23:59:59Z"));
    assert_true(at("1937-01-01T12:00:27.87+00:20") == at("1937-01-01T11:40:27.870Z"));
    assert_true(at("2026-11-23t10:00:00z") == at("2026-11-23T10:00:00-00:00"));
    assert_true(at("2026-11-23T10:00:00.123999999Z") == at("2026-11-23T10:00:00.123Z"));
    assert_true(at("1969-12-31T23:59:59.999Z") == -1);
}

static void test_what_is_not_a_time_is_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "",
        "2026-11-23",
        "2026-11-23T10:00:00",
        "2026-11-23 10:00:00Z",
        "2026-11-23T24:00:00Z",
        "2026-11-23T10:60:00Z",
        "2026-11-23T10:00:61Z",
        "2026-11-23T10:00Z",
        "2026-11-23T10:00:00.Z",
        "2026-11-23T10:00:00.1234567890Z",
        "2026-11-23T10:00:00,5Z",
        "2026-11-23T10:00:00+0100",
        "2026-11-23T10:00:00+24:00",
        "2026-11-23T10:00:00+01:60",
        "2026-11-23T10:00:00+1:00",
        "2026-11-23T10:00:00ZZ",
        "2026-11-23T10:00:00Z ",
        "2026-02-30T10:00:00Z",
        "1899-12-31T23:59:59Z",
        "10000-01-01T00:00:00Z",
    };
    int64_t t = 7;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        if (time_parse(str_of(wrong[i]), &t))
            fail_msg("%s was taken", wrong[i]);
    assert_false(time_parse(STR("2026-11-23T10:00:00\0"), &t));
    assert_true(t == 7);
}

static void test_zone_does_not_lead_out_of_the_years_that_can_be_written(void **state)
{
    (void)state;
    int64_t t = 7;
    assert_false(time_parse(STR("9999-12-31T23:59:59-00:01"), &t));
    assert_false(time_parse(STR("1900-01-01T00:00:00+00:01"), &t));
    assert_true(t == 7);
    assert_true(time_parse(STR("9999-12-31T23:59:59.999Z"), &t));
    assert_true(time_parse(STR("1900-01-01T00:00:00-23:59"), &t));
}

static void test_cut_off_times_are_refused_at_every_length(void **state)
{
    (void)state;
    static const char whole[] = "2026-11-23T10:00:00.125+01:00";
    for (size_t n = 0; n < sizeof whole - 1; n++) {
        char *exact = str_dup((struct str){whole, n});
        int64_t t;
        assert_false(time_parse((struct str){exact, n}, &t));
        free(exact);
    }
}

static void test_written_times_read_back(void **state)
{
    (void)state;
    uint64_t seed = seed_start();
    int64_t first = at("1900-01-01T00:00:00Z"), last = at("9999-12-31T23:59:59.999Z");
    for (int i = 0; i < 200000; i++) {
        int64_t t = first + (int64_t)seed_below(&seed, (uint64_t)(last - first + 1));
        if (i % 2)
            t = t / 1000 * 1000;
        _cleanup_buf struct buf text = {0};
        time_format(t, &text);
        assert_true(at(text.p) == t);
        assert_int_equal(text.n, t % 1000 ? 24 : 20);
    }
}

static void test_times_are_written_in_utc_with_milliseconds_only_where_there_are_some(void **state)
{
    (void)state;
    _cleanup_buf struct buf text = {0};
    time_format(at("2026-11-23T16:54:27.12+01:00"), &text);
    assert_string_equal(text.p, "2026-11-23T15:54:27.120Z");
    buf_clear(&text);
    time_format(-1, &text);
    assert_string_equal(text.p, "1969-12-31T23:59:59.999Z");
    buf_clear(&text);
    time_format(0, &text);
    assert_string_equal(text.p, "1970-01-01T00:00:00Z");
}

static void test_clocks_tell_the_time(void **state)
{
    (void)state;
    int64_t before = clock_monotonic();
    time_t now = time(NULL);
    assert_in_range(clock_now() / 1000, now, now + 60);
    assert_true(clock_monotonic() >= before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_day_from_1800_to_9999_reads_back_and_is_the_calendars),
        cmocka_unit_test(test_days_that_do_not_exist_are_refused),
        cmocka_unit_test(test_day_years_later_is_the_same_day_and_leap_day_is_1_march),
        cmocka_unit_test(test_start_of_a_day_is_its_midnight_utc),
        cmocka_unit_test(test_times_of_rfc_3339_are_read),
        cmocka_unit_test(test_what_is_not_a_time_is_refused),
        cmocka_unit_test(test_zone_does_not_lead_out_of_the_years_that_can_be_written),
        cmocka_unit_test(test_cut_off_times_are_refused_at_every_length),
        cmocka_unit_test(test_written_times_read_back),
        cmocka_unit_test(test_times_are_written_in_utc_with_milliseconds_only_where_there_are_some),
        cmocka_unit_test(test_clocks_tell_the_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
