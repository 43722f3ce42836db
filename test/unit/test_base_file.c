/* test_base_file.c - files, folders and the log. */
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/json.h"
#include "base/log.h"

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static int enter_folder(void **state)
{
    char *folder = str_dup(STR("/tmp/lov-test-XXXXXX"));
    umask(022);
    *state = mkdtemp(folder);
    return *state ? chdir(folder) : -1;
}

static int leave_folder(void **state)
{
    int rc = chdir("/") || nftw(*state, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free(*state);
    return rc;
}

static mode_t mode_of(const char *path)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    return st.st_mode & 0777;
}

static void test_created_file_reads_back_with_its_mode(void **state)
{
    (void)state;
    struct err err;
    assert_int_equal(file_create("a", 0600, STR("one\0two"), &err), 0);
    assert_int_equal(mode_of("a"), 0600);
    _cleanup_buf struct buf out = {0};
    buf_cstr(&out, "<");
    assert_int_equal(file_read("a", 7, &out, &err), 0);
    assert_true(str_eq(buf_view(&out), STR("<one\0two")));
    assert_true(file_exists("a"));
    assert_false(file_exists("b"));
}

static void test_file_that_exists_is_not_created_again(void **state)
{
    (void)state;
    struct err err;
    assert_int_equal(file_create("a", 0600, STR("one"), &err), 0);
    assert_int_equal(file_create("a", 0600, STR("two"), &err), LOV_EIO);
    assert_int_equal(symlink("nowhere", "link"), 0);
    assert_int_equal(file_create("link", 0600, STR("two"), &err), LOV_EIO);
    assert_false(file_exists("nowhere"));
    _cleanup_buf struct buf out = {0};
    assert_int_equal(file_read("a", 100, &out, &err), 0);
    assert_string_equal(out.p, "one");
}

static void test_too_large_and_missing_files_leave_the_buffer_as_it_was(void **state)
{
    (void)state;
    struct err err;
    _cleanup_buf struct buf large = {0}, out = {0};
    for (int i = 0; i < 200000; i++)
        buf_char(&large, 'x');
    assert_int_equal(file_create("a", 0600, buf_view(&large), &err), 0);
    buf_cstr(&out, "before");
    assert_int_equal(file_read("a", 199999, &out, &err), LOV_ELIMIT);
    assert_string_equal(out.p, "before");
    assert_int_equal(file_read("b", 100, &out, &err), LOV_ENOTFOUND);
    assert_int_equal(file_read(".", 100, &out, &err), LOV_EIO);
    assert_string_equal(out.p, "before");
    assert_int_equal(file_read("a", 200000, &out, &err), 0);
    assert_int_equal(out.n, 200006);
}

static void test_private_file_is_the_owners_alone(void **state)
{
    (void)state;
    struct err err;
    assert_int_equal(file_create("a", 0600, STR("key"), &err), 0);
    assert_int_equal(file_check_private("a", &err), 0);
    for (mode_t bit = 1; bit <= 040; bit <<= 1) {
        assert_int_equal(chmod("a", 0600 | bit), 0);
        assert_int_equal(file_check_private("a", &err), LOV_EINVAL);
        assert_non_null(strstr(err.text, "chmod go-rwx a"));
    }
    assert_int_equal(file_check_private("b", &err), LOV_ENOTFOUND);
}

static void test_folder_is_made_with_those_above_it(void **state)
{
    (void)state;
    struct err err;
    assert_int_equal(dir_create("a/b/c", 0700, &err), 0);
    assert_int_equal(mode_of("a"), 0755);
    assert_int_equal(mode_of("a/b"), 0755);
    assert_int_equal(mode_of("a/b/c"), 0700);
    assert_int_equal(dir_create("a/b/c", 0700, &err), 0);
    assert_int_equal(dir_sync("a/b", &err), 0);
    assert_int_equal(dir_sync("x", &err), LOV_ENOTFOUND);
}

static void test_slash_at_the_end_does_not_open_a_private_folder(void **state)
{
    (void)state;
    struct err err;
    assert_int_equal(dir_create("a/", 0700, &err), 0);
    assert_int_equal(mode_of("a"), 0700);
    assert_int_equal(dir_create("b//c//", 0700, &err), 0);
    assert_int_equal(mode_of("b/c"), 0700);
}

static void test_folder_is_not_made_where_a_file_is_or_without_a_name(void **state)
{
    (void)state;
    struct err err;
    assert_int_equal(file_create("a", 0600, STR(""), &err), 0);
    assert_int_equal(dir_create("a", 0700, &err), LOV_EIO);
    assert_int_equal(dir_create("a/b", 0700, &err), LOV_EIO);
    assert_int_equal(dir_create("", 0700, &err), LOV_ENOTFOUND);
    assert_int_equal(dir_create("/", 0700, &err), 0);
}

static int note(void *ctx, const char *relative, struct err *err)
{
    buf_printf(ctx, "%s ", relative);
    return strcmp(relative, "stop") == 0 ? err_set(err, LOV_EINVAL, "stopped") : 0;
}

static void test_walk_visits_files_in_byte_order_and_no_links_or_hidden_names(void **state)
{
    (void)state;
    struct err err;
    _cleanup_buf struct buf seen = {0};
    assert_int_equal(dir_create("r/b/c", 0755, &err), 0);
    assert_int_equal(dir_create("r/.git", 0755, &err), 0);
    static const char *const names[] = {"r/b/c/z", "r/b/y",    "r/a",  "r/B",
                                        "r/c",     "r/.git/x", "r/.x", "outside"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        assert_int_equal(file_create(names[i], 0644, STR("x"), &err), 0);
    assert_int_equal(symlink("../outside", "r/link"), 0);
    assert_int_equal(symlink("..", "r/loop"), 0);
    assert_int_equal(mkfifo("r/pipe", 0600), 0);
    assert_int_equal(dir_walk("r", note, &seen, &err), 0);
    assert_string_equal(seen.p, "B a b/c/z b/y c ");
}

static void test_walk_stops_at_the_visitors_error_and_at_its_depth(void **state)
{
    (void)state;
    struct err err;
    _cleanup_buf struct buf seen = {0};
    assert_int_equal(dir_create("r", 0755, &err), 0);
    assert_int_equal(file_create("r/stop", 0644, STR("x"), &err), 0);
    assert_int_equal(file_create("r/z", 0644, STR("x"), &err), 0);
    assert_int_equal(dir_walk("r", note, &seen, &err), LOV_EINVAL);
    assert_string_equal(err.text, "stopped");
    assert_string_equal(seen.p, "stop ");
    assert_int_equal(dir_create("d/2/3/4/5/6/7/8", 0755, &err), 0);
    assert_int_equal(dir_walk("d", note, &seen, &err), 0);
    assert_int_equal(dir_create("d/2/3/4/5/6/7/8/9", 0755, &err), 0);
    assert_int_equal(dir_walk("d", note, &seen, &err), LOV_ELIMIT);
    assert_int_equal(dir_walk("nowhere", note, &seen, &err), LOV_ENOTFOUND);
}

/* ---- log ---- */

static void test_log_lines_are_json_of_their_level_and_above(void **state)
{
    (void)state;
    struct err err;
    _cleanup_buf struct buf out = {0};
    struct log log = {.fd = open("log", O_WRONLY | O_CREAT | O_APPEND, 0600), .level = LOG_INFO};
    log_line(&log, LOG_DEBUG, "dropped", (struct str){0});
    log_line(&log, LOG_INFO, "listening", STR("\"port\":8787"));
    log_printf(&log, LOG_ERROR, "a \"quoted\"\nline and %d", 7);
    close(log.fd);
    assert_int_equal(file_read("log", 10000, &out, &err), 0);
    struct str rest = buf_view(&out), line = str_cut(&rest, '\n');
    _cleanup_json json_t *one = NULL, *two = NULL;
    assert_int_equal(json_read(line, &one, &err), 0);
    assert_int_equal(json_integer_value(json_object_get(one, "port")), 8787);
    assert_string_equal(json_string_value(json_object_get(one, "level")), "info");
    line = str_cut(&rest, '\n');
    assert_int_equal(json_read(line, &two, &err), 0);
    assert_string_equal(json_string_value(json_object_get(two, "msg")), "a \"quoted\"\nline and 7");
    assert_int_equal(rest.n, 0);
}

static void test_long_log_message_is_cut_between_characters(void **state)
{
    (void)state;
    for (int before = 0; before < 2; before++) {
        struct err err;
        _cleanup_buf struct buf text = {0}, out = {0};
        buf_printf(&text, "%*s", before, "");
        for (int i = 0; i < 600; i++)
            buf_cstr(&text, "\xC3\xA5");
        unlink("log");
        struct log log = {.fd = open("log", O_WRONLY | O_CREAT, 0600), .level = LOG_INFO};
        log_printf(&log, LOG_INFO, "%s", text.p);
        close(log.fd);
        assert_int_equal(file_read("log", 10000, &out, &err), 0);
        _cleanup_json json_t *json = NULL;
        assert_int_equal(json_read(buf_view(&out), &json, &err), 0);
    }
}

static void test_levels_have_names(void **state)
{
    (void)state;
    enum log_level level = LOG_ERROR;
    assert_true(log_level_parse(STR("debug"), &level));
    assert_int_equal(level, LOG_DEBUG);
    assert_false(log_level_parse(STR("Debug"), &level));
    assert_false(log_level_parse(STR(""), &level));
    assert_int_equal(level, LOG_DEBUG);
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, enter_folder, leave_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(test_created_file_reads_back_with_its_mode),
        IN_FOLDER(test_file_that_exists_is_not_created_again),
        IN_FOLDER(test_too_large_and_missing_files_leave_the_buffer_as_it_was),
        IN_FOLDER(test_private_file_is_the_owners_alone),
        IN_FOLDER(test_folder_is_made_with_those_above_it),
        IN_FOLDER(test_slash_at_the_end_does_not_open_a_private_folder),
        IN_FOLDER(test_folder_is_not_made_where_a_file_is_or_without_a_name),
        IN_FOLDER(test_walk_visits_files_in_byte_order_and_no_links_or_hidden_names),
        IN_FOLDER(test_walk_stops_at_the_visitors_error_and_at_its_depth),
        IN_FOLDER(test_log_lines_are_json_of_their_level_and_above),
        IN_FOLDER(test_long_log_message_is_cut_between_characters),
        cmocka_unit_test(test_levels_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
