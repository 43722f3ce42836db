/* test_base_str.c - text, buffers, arenas and errors. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"
#include "test_seed.h"

static const struct str none;

/* ---- text ---- */

static void test_empty_text_equals_empty_text_wherever_it_points(void **state)
{
    (void)state;
    assert_true(str_eq(none, STR("")));
    assert_true(str_is(none, ""));
    assert_true(str_eq(str_of(NULL), none));
    assert_true(str_starts(none, none) && str_ends(none, none));
    assert_int_equal(str_cmp(none, STR("")), 0);
    assert_int_equal(str_find(none, 'a'), 0);
    assert_int_equal(str_trim(none).n, 0);
    assert_true(str_utf8_valid(none) && str_no_controls(none, false));
}

static void test_text_is_compared_by_bytes_beyond_a_nul(void **state)
{
    (void)state;
    assert_false(str_eq(STR("a\0b"), STR("a\0c")));
    assert_true(str_cmp(STR("a\0b"), STR("a\0c")) < 0);
    assert_false(str_is(STR("a\0b"), "a"));
}

static void test_order_is_by_unsigned_byte_and_then_by_length(void **state)
{
    (void)state;
    assert_true(str_cmp(STR("a"), STR("b")) < 0);
    assert_true(str_cmp(STR("a"), STR("aa")) < 0);
    assert_true(str_cmp(STR("b"), STR("aa")) > 0);
    assert_true(str_cmp(STR("z"), STR("\xC3\xA5")) < 0);
    assert_true(str_cmp(STR("a"), none) > 0);
}

static void test_starts_and_ends_look_at_the_whole_affix(void **state)
{
    (void)state;
    assert_true(str_starts(STR("consent"), STR("con")));
    assert_false(str_starts(STR("co"), STR("con")));
    assert_true(str_ends(STR("consent"), STR("ent")));
    assert_false(str_ends(STR("nt"), STR("ent")));
    assert_false(str_ends(STR("consent"), STR("enx")));
}

static void test_cut_gives_each_part_and_then_nothing(void **state)
{
    (void)state;
    struct str rest = STR("a,,b");
    assert_true(str_is(str_cut(&rest, ','), "a"));
    assert_true(str_is(str_cut(&rest, ','), ""));
    assert_true(str_is(str_cut(&rest, ','), "b"));
    assert_int_equal(rest.n, 0);
    assert_int_equal(str_cut(&rest, ',').n, 0);
    struct str empty = none;
    assert_int_equal(str_cut(&empty, ',').n, 0);
}

static void test_trim_takes_white_space_off_both_ends_only(void **state)
{
    (void)state;
    assert_true(str_is(str_trim(STR(" \t\r\n a b \n")), "a b"));
    assert_int_equal(str_trim(STR(" \n ")).n, 0);
}

static void test_copy_ends_in_nul(void **state)
{
    (void)state;
    char *copy = str_dup((struct str){"abcdef", 3});
    assert_string_equal(copy, "abc");
    free(copy);
    copy = str_dup(none);
    assert_string_equal(copy, "");
    free(copy);
}

/* ---- UTF-8 ---- */

/* A second, slow opinion: decode by the bit patterns, then judge the number (RFC 3629 §3). */
static bool decodes(const unsigned char *p, size_t n)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    for (size_t i = 0; i < n;) {
        size_t len = p[i] < 0x80             ? 1
                     : (p[i] & 0xE0) == 0xC0 ? 2
                     : (p[i] & 0xF0) == 0xE0 ? 3
                     : (p[i] & 0xF8) == 0xF0 ? 4
                                             : 0;
        if (len == 0 || len > n - i)
            return false;
        uint32_t point = len == 1 ? p[i] : p[i] & (0xFFU >> (len + 1));
        for (size_t k = 1; k < len; k++) {
            if ((p[i + k] & 0xC0) != 0x80)
                return false;
            point = point << 6 | (p[i + k] & 0x3F);
        }
        if (point < least[len] || point > 0x10FFFF || (point >= 0xD800 && point <= 0xDFFF))
            return false;
        i += len;
    }
    return true;
}

static void test_utf8_of_every_two_and_three_bytes_is_judged_right(void **state)
{
    (void)state;
    /* Exact memory, so that reading one byte too many is seen by AddressSanitizer. */
    unsigned char *p = mem_alloc(3);
    for (uint32_t v = 0; v < 1 << 24; v++) {
        p[0] = (unsigned char)(v >> 16);
        p[1] = (unsigned char)(v >> 8);
        p[2] = (unsigned char)v;
        /* The first byte decides how much follows: the rest of the plain ones adds nothing. */
        if (p[0] > 0 && p[0] < 0x7F)
            continue;
        if (str_utf8_valid((struct str){(char *)p, 3}) != decodes(p, 3))
            fail_msg("%02x %02x %02x", p[0], p[1], p[2]);
    }
    free(p);
}

static void test_utf8_of_four_bytes_is_judged_right(void **state)
{
    (void)state;
    static const unsigned char edges[] = {0x00, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF,
                                          0xC0, 0xC1, 0xC2, 0xDF, 0xE0, 0xED, 0xEF, 0xF0,
                                          0xF3, 0xF4, 0xF5, 0xF7, 0xF8, 0xFE, 0xFF};
    enum { EDGES = sizeof edges };
    unsigned char *p = mem_alloc(4);
    for (unsigned v = 0; v < EDGES * EDGES * EDGES * EDGES; v++) {
        p[0] = edges[v % EDGES];
        p[1] = edges[v / EDGES % EDGES];
        p[2] = edges[v / EDGES / EDGES % EDGES];
        p[3] = edges[v / EDGES / EDGES / EDGES];
        assert_int_equal(str_utf8_valid((struct str){(char *)p, 4}), decodes(p, 4));
    }
    free(p);
}

static void test_cut_off_utf8_is_not_valid(void **state)
{
    (void)state;
    assert_true(str_utf8_valid(STR("\xF0\x9F\x98\x80")));
    assert_false(str_utf8_valid(STR("\xF0\x9F\x98")));
    assert_false(str_utf8_valid(STR("\xC3")));
    assert_false(str_utf8_valid(STR("abc\xE2\x82")));
}

static void test_controls_are_found_lines_and_tabs_only_where_admitted(void **state)
{
    (void)state;
    assert_true(str_no_controls(STR("R\xC3\xA4ksm\xC3\xB6rg\xC3\xA5s"), false));
    assert_true(str_no_controls(STR("a\nb\tc"), true));
    assert_false(str_no_controls(STR("a\nb"), false));
    assert_false(str_no_controls(STR("a\rb"), true));
    assert_false(str_no_controls(STR("a\0b"), true));
    assert_false(str_no_controls(STR("a\x7F"), true));
    assert_false(str_no_controls(STR("a\x1B[2J"), true));
    assert_false(str_no_controls(STR("\xC2\x85"), true));
    assert_true(str_no_controls(STR("\xC2\xA0"), false));
}

static void test_names_are_lower_case_letters_digits_and_underscores(void **state)
{
    (void)state;
    char longest[65];
    memset(longest, 'a', sizeof longest);
    assert_true(str_is_name(STR("personal_offers2")));
    assert_true(str_is_name((struct str){longest, 64}));
    assert_false(str_is_name((struct str){longest, 65}));
    static const char *const wrong[] = {"", "_a", "2a", "A", "aB", "a-b", "a b", "\xC3\xA5", "a."};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_false(str_is_name(str_of(wrong[i])));
    assert_false(str_is_name(STR("a\0b")));
}

/* ---- numbers ---- */

static void test_whole_numbers_are_read_to_the_ends_of_their_range(void **state)
{
    (void)state;
    int64_t v = 0;
    assert_true(str_to_int(STR("9223372036854775807"), INT64_MIN, INT64_MAX, &v));
    assert_true(v == INT64_MAX);
    assert_true(str_to_int(STR("-9223372036854775808"), INT64_MIN, INT64_MAX, &v));
    assert_true(v == INT64_MIN);
    v = 7;
    assert_false(str_to_int(STR("9223372036854775808"), INT64_MIN, INT64_MAX, &v));
    assert_false(str_to_int(STR("-9223372036854775809"), INT64_MIN, INT64_MAX, &v));
    assert_false(str_to_int(STR("99999999999999999999"), INT64_MIN, INT64_MAX, &v));
    assert_false(str_to_int(STR("11"), 0, 10, &v));
    assert_false(str_to_int(STR("-1"), 0, 10, &v));
    assert_int_equal(v, 7);
}

static void test_what_is_not_a_whole_number_is_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {"", "-", "+1", " 1", "1 ", "1.0", "0x1", "1e3", "--1", "a"};
    int64_t v = 7;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_false(str_to_int(str_of(wrong[i]), INT64_MIN, INT64_MAX, &v));
    assert_false(str_to_int(none, INT64_MIN, INT64_MAX, &v));
    assert_false(str_to_int(STR("1\0"), INT64_MIN, INT64_MAX, &v));
    assert_int_equal(v, 7);
}

static void test_written_numbers_read_back(void **state)
{
    (void)state;
    uint64_t seed = seed_start();
    for (int i = 0; i < 100000; i++) {
        int64_t v = (int64_t)(seed_next(&seed) >> seed_below(&seed, 64)), back;
        if (i < 4)
            v = (int64_t[]){INT64_MIN, INT64_MAX, 0, -1}[i];
        _cleanup_buf struct buf text = {0};
        buf_int(&text, v);
        assert_true(str_to_int(buf_view(&text), INT64_MIN, INT64_MAX, &back));
        assert_true(back == v);
    }
}

/* ---- buffers ---- */

static void test_buffer_keeps_a_nul_behind_its_last_byte(void **state)
{
    (void)state;
    _cleanup_buf struct buf b = {0};
    for (size_t i = 0; i < 5000; i++) {
        buf_char(&b, 'x');
        assert_int_equal(b.n, i + 1);
        assert_int_equal(b.p[b.n], 0);
        assert_true(b.cap > b.n);
    }
    buf_clear(&b);
    assert_string_equal(b.p, "");
    buf_str(&b, none);
    buf_cstr(&b, "a");
    buf_str(&b, STR("\0b"));
    assert_int_equal(b.n, 3);
    assert_memory_equal(b.p, "a\0b", 4);
}

static void test_printf_appends_at_every_length(void **state)
{
    (void)state;
    for (int width = 0; width < 300; width++) {
        _cleanup_buf struct buf b = {0};
        buf_cstr(&b, "<");
        buf_printf(&b, "%*s", width, "");
        buf_printf(&b, "%s", "");
        buf_cstr(&b, ">");
        assert_int_equal(b.n, width + 2);
        assert_int_equal(strlen(b.p), b.n);
        assert_int_equal(b.p[b.n - 1], '>');
    }
}

/* ---- arenas ---- */

static void test_arena_memory_is_zeroed_aligned_and_apart(void **state)
{
    (void)state;
    uint64_t seed = seed_start();
    for (int round = 0; round < 20; round++) {
        _cleanup_arena struct arena a = {0};
        unsigned char *item[300];
        size_t size[300];
        for (size_t i = 0; i < 300; i++) {
            size[i] = seed_below(&seed, i % 50 == 0 ? 3 << 20 : 3000);
            item[i] = arena_alloc(&a, size[i]);
            assert_int_equal((uintptr_t)item[i] % _Alignof(max_align_t), 0);
            for (size_t k = 0; k < size[i]; k++)
                if (item[i][k] != 0)
                    fail_msg("not zero");
            memset(item[i], (int)(i % 255) + 1, size[i]);
        }
        for (size_t i = 0; i < 300; i++)
            for (size_t k = 0; k < size[i]; k++)
                if (item[i][k] != i % 255 + 1)
                    fail_msg("item %zu was written over", i);
    }
}

static void test_arena_copies_end_in_nul(void **state)
{
    (void)state;
    _cleanup_arena struct arena a = {0};
    assert_string_equal(arena_cstr(&a, (struct str){"abcd", 2}), "ab");
    assert_string_equal(arena_cstr(&a, none), "");
    struct str copy = arena_str(&a, STR("a\0b"));
    assert_int_equal(copy.n, 3);
    assert_memory_equal(copy.p, "a\0b", 4);
    struct str text = arena_printf(&a, "%d %s", 7, "seven");
    assert_true(str_is(text, "7 seven"));
    assert_int_equal(text.p[text.n], 0);
    arena_free(&a);
    arena_free(&a);
    assert_null(a.head);
}

/* ---- errors ---- */

/* Whether `act` stops the process by bug(). */
static bool stops(void (*act)(void))
{
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        struct rlimit no_core = {0};
        setrlimit(RLIMIT_CORE, &no_core);
        signal(SIGABRT, SIG_DFL);
        close(STDERR_FILENO);
        act();
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

static size_t too_large = SIZE_MAX;

static void overflow_array(void)
{
    struct arena a = {0};
    arena_array(&a, too_large / 2, 3);
}

static void overflow_item(void)
{
    struct arena a = {0};
    arena_alloc(&a, too_large);
}

static void overflow_grow(void)
{
    mem_grow(NULL, too_large / 2, 3);
}

static void overflow_buffer(void)
{
    struct buf b = {0};
    buf_char(&b, 'a');
    buf_reserve(&b, too_large - 1);
}

static void test_sizes_that_overflow_stop_the_process(void **state)
{
    (void)state;
    assert_true(stops(overflow_array));
    assert_true(stops(overflow_item));
    assert_true(stops(overflow_grow));
    assert_true(stops(overflow_buffer));
}

static void test_error_holds_code_reason_and_text(void **state)
{
    (void)state;
    struct err err;
    assert_int_equal(err_reason(&err, LOV_ECONFLICT, "too_late", "notice %d", 7), LOV_ECONFLICT);
    assert_int_equal(err.code, LOV_ECONFLICT);
    assert_string_equal(err.reason, "too_late");
    assert_string_equal(err.text, "notice 7");
    assert_int_equal(err_set(&err, LOV_EIO, "disk"), LOV_EIO);
    assert_string_equal(err.reason, "");
    assert_int_equal(err_set(NULL, LOV_EIO, "disk"), LOV_EIO);
}

static void test_context_is_added_around_the_error_itself(void **state)
{
    (void)state;
    struct err err;
    err_reason(&err, LOV_EINVAL, "too_late", "inner");
    err_reason(&err, LOV_EINVAL, err.reason, "outer: %s (%s)", err.text, err.reason);
    assert_string_equal(err.text, "outer: inner (too_late)");
    assert_string_equal(err.reason, "too_late");
}

static void test_text_that_does_not_fit_is_cut_between_characters(void **state)
{
    (void)state;
    for (int before = 0; before < 4; before++) {
        _cleanup_buf struct buf text = {0};
        buf_printf(&text, "%*s", before, "");
        for (int i = 0; i < 200; i++)
            buf_cstr(&text, "\xF0\x9F\x98\x80");
        struct err err;
        err_set(&err, LOV_EINVAL, "%s", text.p);
        assert_true(str_utf8_valid(str_of(err.text)));
        assert_in_range(strlen(err.text), sizeof err.text - 4, sizeof err.text - 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty_text_equals_empty_text_wherever_it_points),
        cmocka_unit_test(test_text_is_compared_by_bytes_beyond_a_nul),
        cmocka_unit_test(test_order_is_by_unsigned_byte_and_then_by_length),
        cmocka_unit_test(test_starts_and_ends_look_at_the_whole_affix),
        cmocka_unit_test(test_cut_gives_each_part_and_then_nothing),
        cmocka_unit_test(test_trim_takes_white_space_off_both_ends_only),
        cmocka_unit_test(test_copy_ends_in_nul),
        cmocka_unit_test(test_utf8_of_every_two_and_three_bytes_is_judged_right),
        cmocka_unit_test(test_utf8_of_four_bytes_is_judged_right),
        cmocka_unit_test(test_cut_off_utf8_is_not_valid),
        cmocka_unit_test(test_controls_are_found_lines_and_tabs_only_where_admitted),
        cmocka_unit_test(test_names_are_lower_case_letters_digits_and_underscores),
        cmocka_unit_test(test_whole_numbers_are_read_to_the_ends_of_their_range),
        cmocka_unit_test(test_what_is_not_a_whole_number_is_refused),
        cmocka_unit_test(test_written_numbers_read_back),
        cmocka_unit_test(test_buffer_keeps_a_nul_behind_its_last_byte),
        cmocka_unit_test(test_printf_appends_at_every_length),
        cmocka_unit_test(test_arena_memory_is_zeroed_aligned_and_apart),
        cmocka_unit_test(test_arena_copies_end_in_nul),
        cmocka_unit_test(test_sizes_that_overflow_stop_the_process),
        cmocka_unit_test(test_error_holds_code_reason_and_text),
        cmocka_unit_test(test_context_is_added_around_the_error_itself),
        cmocka_unit_test(test_text_that_does_not_fit_is_cut_between_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
