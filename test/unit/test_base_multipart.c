/* Forms with files: what browsers send is read as it is, and what is no such form is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/multipart.h"

#define TYPE "multipart/form-data; boundary=x"
#define PART(disposition, content)                                                                 \
    "--x\r\nContent-Disposition: form-data; " disposition "\r\n\r\n" content "\r\n"

struct read {
    struct arena arena;
    struct multipart *parts;
    size_t count;
    struct err err;
};

static int read_form(struct read *r, const char *type, const char *body)
{
    *r = (struct read){0};
    return multipart_read(str_of(type), str_of(body), 3, &r->arena, &r->parts, &r->count, &r->err);
}

static void test_fields_and_files_are_read(void **state)
{
    (void)state;
    struct read r;
    assert_int_equal(
        read_form(&r, "Multipart/Form-Data; charset=utf-8; boundary=\"x\"",
                  PART("name=\"csrf\"", "to=ken")
                      PART("name=\"files\"; filename=\"a;b.yaml\"\r\nContent-Type: text/plain",
                           "--x is not the end\r\n--\r\n") "--x--\r\n"),
        0);
    assert_int_equal(r.count, 2);
    assert_true(str_is(multipart_field(r.parts, r.count, "csrf"), "to=ken"));
    assert_true(r.parts[1].file && str_is(r.parts[1].filename, "a;b.yaml"));
    assert_true(str_is(r.parts[1].content, "--x is not the end\r\n--\r\n"));
    assert_int_equal(multipart_field(r.parts, r.count, "files").n, 0);
    arena_free(&r.arena);
}

static void test_a_field_given_twice_is_none(void **state)
{
    (void)state;
    struct read r;
    assert_int_equal(
        read_form(&r, TYPE, PART("name=\"a\"", "1") PART("name=\"a\"", "2") "--x--\r\n"), 0);
    assert_int_equal(multipart_field(r.parts, r.count, "a").n, 0);
    arena_free(&r.arena);
}

static void test_what_is_no_form_is_refused(void **state)
{
    (void)state;
    static const char *const wrong[][2] = {
        {"application/json", "--x--\r\n"},
        {"multipart/form-data", "--x--\r\n"},
        {"multipart/form-data; boundary=", "--x--\r\n"},
        {"multipart/form-data; boundary=0123456789012345678901234567890123456789012345678901234567"
         "8901234567890",
         "--x--\r\n"},
        {TYPE, ""},
        {TYPE, "--y--\r\n"},
        {TYPE, "--x"},
        {TYPE, "--x\r\n"},
        {TYPE, "--xy\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--x--"},
        {TYPE, "--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1"},
        {TYPE, "--x\r\nContent-Disposition: form-data\r\n\r\n1\r\n--x--\r\n"},
        {TYPE, "--x\r\nContent-Type: text/plain\r\n\r\n1\r\n--x--\r\n"},
        {TYPE, PART("name=\"\xff\"", "1") "--x--\r\n"},
        {TYPE, PART("name=\"a\"", "") PART("name=\"a\"", "") PART("name=\"a\"", "")
                   PART("name=\"a\"", "") "--x--\r\n"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct read r;
        if (read_form(&r, wrong[i][0], wrong[i][1]) >= 0)
            fail_msg("%zu was read", i);
        assert_string_equal(r.err.reason, "invalid_form");
        arena_free(&r.arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fields_and_files_are_read),
        cmocka_unit_test(test_a_field_given_twice_is_none),
        cmocka_unit_test(test_what_is_no_form_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
