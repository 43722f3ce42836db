/* test_base_json.c - JSON in and out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/json.h"
#include "test_seed.h"

static const struct str none;

static bool reads(struct str text)
{
    _cleanup_json json_t *json = NULL;
    struct err err = {0};
    /* Exact memory, so that reading one byte too many is seen by AddressSanitizer. */
    char *exact = mem_alloc(text.n);
    if (text.n)
        memcpy(exact, text.p, text.n);
    int rc = json_read((struct str){exact, text.n}, &json, &err);
    free(exact);
    assert_true(rc == 0 || rc == LOV_EINVAL);
    assert_true((rc == 0) == (json != NULL));
    if (rc)
        assert_string_equal(err.reason, "invalid_json");
    return rc == 0;
}

static json_t *read_json(const char *text)
{
    json_t *json = NULL;
    struct err err;
    if (json_read(str_of(text), &json, &err) != 0)
        fail_msg("%s: %s", text, err.text);
    return json;
}

/* ---- reading ---- */

static void test_objects_and_arrays_are_read(void **state)
{
    (void)state;
    assert_true(reads(STR("{}")) && reads(STR("[]")));
    assert_true(reads(STR(" { \"a\" : [ 1 , -2.5e3 , true , false , null , \"x\" ] } \n")));
    assert_true(reads(STR("{\"\":{\"\":0}}")));
    assert_true(reads(STR("[\"\\u00e5 \\ud83d\\ude00 \\\" \\\\ \\/ \\b\\f\\n\\r\\t\"]")));
}

static void test_what_is_not_json_is_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "",
        " ",
        "x",
        "\"a\"",
        "7",
        "null",
        "{",
        "[",
        "}",
        "[1,]",
        "{,}",
        "{\"a\"}",
        "{\"a\":}",
        "{a:1}",
        "['a']",
        "[01]",
        "[+1]",
        "[.5]",
        "[1.]",
        "[0x1]",
        "[NaN]",
        "[Infinity]",
        "[tru]",
        "[\"a]",
        "[\"\\x\"]",
        "[\"\\u12\"]",
        "[\"\t\"]",
        "[\"\n\"]",
        "{} {}",
        "{}x",
        "[1 2]",
        "//c\n[]",
        "/**/[]",
        "\xEF\xBB\xBF[]",
        "[1}",
        "{\"a\":1,}",
        "{\"a\":1 \"b\":2}",
        "[--1]",
        "[1e]",
        "[TRUE]",
        "[1];",
        "{1:2}",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        if (reads(str_of(wrong[i])))
            fail_msg("%s was taken", wrong[i]);
    assert_false(reads(none));
}

static void test_duplicate_names_are_refused_however_they_are_written(void **state)
{
    (void)state;
    assert_false(reads(STR("{\"a\":1,\"a\":1}")));
    assert_false(reads(STR("{\"a\":1,\"\\u0061\":2}")));
    assert_false(reads(STR("[{\"b\":{\"a\":1,\"c\":2,\"a\":3}}]")));
    assert_true(reads(STR("{\"a\":{\"a\":1},\"A\":2}")));
    struct err err;
    json_t *json = NULL;
    json_read(STR("{\"secret name\":1,\"secret name\":1}"), &json, &err);
    assert_non_null(strstr(err.text, "duplicate"));
    assert_null(strstr(err.text, "secret"));
}

static void test_error_tells_the_place_and_not_the_words(void **state)
{
    (void)state;
    struct err err;
    json_t *json = NULL;
    assert_int_equal(json_read(STR("{\n  \"name\": anna\n}"), &json, &err), LOV_EINVAL);
    assert_non_null(strstr(err.text, "line 2"));
    assert_null(strstr(err.text, "anna"));
}

static void test_depth_is_bounded_and_brackets_in_text_do_not_count(void **state)
{
    (void)state;
    for (int depth = 1; depth <= JSON_DEPTH + 2; depth++) {
        _cleanup_buf struct buf arrays = {0}, objects = {0};
        for (int i = 0; i < depth; i++) {
            buf_cstr(&arrays, "[");
            buf_cstr(&objects, "{\"a\":");
        }
        buf_cstr(&objects, "0");
        for (int i = 0; i < depth; i++) {
            buf_cstr(&arrays, "]");
            buf_cstr(&objects, "}");
        }
        assert_int_equal(reads(buf_view(&arrays)), depth <= JSON_DEPTH);
        assert_int_equal(reads(buf_view(&objects)), depth <= JSON_DEPTH);
    }
    assert_true(reads(STR("[\"[[[[[[[[[[[[[[[[[[[[\\\"[[[[[[[[[[\"]")));
    assert_true(reads(STR("[[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[]]")));
    char *deep = mem_alloc(1 << 20);
    memset(deep, '[', 1 << 20);
    assert_false(reads((struct str){deep, 1 << 20}));
    free(deep);
}

static void test_text_that_is_not_utf8_is_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "\x80", "\xC0\xAF", "\xE0\x80\xAF", "\xED\xA0\x80", "\xF5\x80\x80\x80", "\xF4\x90\x80\x80",
        "\xC3", "\xFF"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        _cleanup_buf struct buf value = {0}, name = {0};
        buf_printf(&value, "[\"%s\"]", wrong[i]);
        buf_printf(&name, "{\"%s\":1}", wrong[i]);
        assert_false(reads(buf_view(&value)));
        assert_false(reads(buf_view(&name)));
    }
}

static void test_lone_surrogates_are_refused(void **state)
{
    (void)state;
    assert_false(reads(STR("[\"\\ud800\"]")));
    assert_false(reads(STR("[\"\\udc00\"]")));
    assert_false(reads(STR("[\"\\ud800x\"]")));
    assert_false(reads(STR("[\"\\ud800\\u0041\"]")));
    assert_false(reads(STR("[\"\\ud800\\ud800\"]")));
    assert_false(reads(STR("[\"\\udc00\\ud800\"]")));
    assert_false(reads(STR("{\"\\ud800\":1}")));
}

static void test_nul_is_refused_raw_and_escaped(void **state)
{
    (void)state;
    assert_false(reads(STR("[\"a\0b\"]")));
    assert_false(reads(STR("[1]\0")));
    assert_false(reads(STR("[\"a\\u0000b\"]")));
    assert_false(reads(STR("{\"a\\u0000b\":1}")));
}

static void test_numbers_out_of_range_are_refused(void **state)
{
    (void)state;
    assert_true(reads(STR("[9223372036854775807,-9223372036854775808]")));
    assert_false(reads(STR("[9223372036854775808]")));
    assert_false(reads(STR("[-9223372036854775809]")));
    assert_false(reads(STR("[1e400]")));
    assert_false(reads(STR("[-1e400]")));
    _cleanup_buf struct buf long_number = {0};
    buf_cstr(&long_number, "[");
    for (int i = 0; i < 100000; i++)
        buf_cstr(&long_number, "9");
    buf_cstr(&long_number, "]");
    assert_false(reads(buf_view(&long_number)));
}

static void test_cut_off_json_is_refused_at_every_length(void **state)
{
    (void)state;
    static const char whole[] =
        "{\"a\":[1,-2.5e+3,true,\"\\ud83d\\ude00\xC3\xA5\\\"\",{\"b\":null}]}";
    for (size_t n = 0; n < sizeof whole - 1; n++)
        assert_false(reads((struct str){whole, n}));
    assert_true(reads(STR(whole)));
}

/* ---- taking an object apart ---- */

struct all {
    struct str string, text, name;
    int64_t number;
    bool flag;
    int64_t at;
    int32_t day;
    const json_t *object, *array, *any;
    struct json_names names;
};

#define FIELD(member, kind)                                                                        \
    {                                                                                              \
#member, kind, offsetof(struct all, member), false, 0, 0                                   \
    }
static const struct json_field fields[] = {
    FIELD(string, JSON_K_STRING), FIELD(text, JSON_K_TEXT),     FIELD(name, JSON_K_NAME),
    FIELD(number, JSON_K_INT),    FIELD(flag, JSON_K_BOOL),     FIELD(at, JSON_K_TIME),
    FIELD(day, JSON_K_DATE),      FIELD(object, JSON_K_OBJECT), FIELD(array, JSON_K_ARRAY),
    FIELD(any, JSON_K_ANY),       FIELD(names, JSON_K_NAMES),
};
enum { FIELDS = sizeof fields / sizeof *fields };

static void test_each_kind_is_taken(void **state)
{
    (void)state;
    _cleanup_arena struct arena arena = {0};
    _cleanup_json json_t *json =
        read_json("{\"string\":\"a b\",\"text\":\"a\\n\\tb\",\"name\":\"a_b2\",\"number\":7,"
                  "\"flag\":true,\"at\":\"1970-01-01T00:00:01Z\",\"day\":\"1970-01-02\","
                  "\"object\":{},\"array\":[1],\"any\":\"x\",\"names\":[\"b\",\"a\"]}");
    struct all all = {0};
    struct err err;
    assert_int_equal(json_take(json, fields, FIELDS, JSON_REFUSE_UNKNOWN, "", &arena, &all, &err),
                     0);
    assert_true(str_is(all.string, "a b") && str_is(all.text, "a\n\tb"));
    assert_true(str_is(all.name, "a_b2"));
    assert_true(all.number == 7 && all.flag && all.at == 1000 && all.day == 1);
    assert_true(json_is_object(all.object) && json_array_size(all.array) == 1);
    assert_true(json_is_string(all.any));
    assert_int_equal(all.names.count, 2);
    assert_true(str_is(all.names.items[0], "b") && str_is(all.names.items[1], "a"));
}

/* Takes {name: value} and returns the reason, "" where it is taken. */
static const char *outcome(const struct json_field *field, const char *value, char reason[48])
{
    _cleanup_arena struct arena arena = {0};
    _cleanup_buf struct buf text = {0};
    buf_printf(&text, "{\"%s\":%s}", field->name, value);
    _cleanup_json json_t *json = read_json(text.p);
    struct all all = {0};
    struct err err = {0};
    int rc = json_take(json, field, 1, JSON_REFUSE_UNKNOWN, "body", &arena, &all, &err);
    assert_true(rc == 0 || rc == LOV_EINVAL);
    if (rc) {
        _cleanup_buf struct buf path = {0};
        buf_printf(&path, "body.%s", field->name);
        assert_non_null(strstr(err.text, path.p));
        static const struct all untouched;
        assert_memory_equal(&all, &untouched, sizeof all);
    }
    snprintf(reason, 48, "%s", err.reason);
    return reason;
}

static void test_each_kind_refuses_what_is_of_another(void **state)
{
    (void)state;
    static const char *const values[] = {"\"a b\"",
                                         "7",
                                         "7.0",
                                         "true",
                                         "{}",
                                         "[]",
                                         "[7]",
                                         "\"\"",
                                         "\"a\\u0007b\"",
                                         "\"a\\nb\"",
                                         "\"2026-02-30\"",
                                         "[\"a\",\"a\"]",
                                         "[\"A\"]"};
    /* One character a value: whether it is taken, by kind. */
    static const char *const taken[] = {
        [JSON_K_STRING] = "y.........y..", [JSON_K_TEXT] = "y........yy..",
        [JSON_K_NAME] = ".............",   [JSON_K_INT] = ".y...........",
        [JSON_K_BOOL] = "...y.........",   [JSON_K_TIME] = ".............",
        [JSON_K_DATE] = ".............",   [JSON_K_OBJECT] = "....y........",
        [JSON_K_ARRAY] = ".....yy....yy",  [JSON_K_NAMES] = ".....y.......",
        [JSON_K_ANY] = "yyyyyyyyyyyyy",
    };
    char reason[48];
    for (size_t i = 0; i < FIELDS; i++)
        for (size_t k = 0; k < sizeof values / sizeof *values; k++) {
            const char *expected = taken[fields[i].kind][k] == 'y' ? "" : "invalid_field";
            if (strcmp(outcome(&fields[i], values[k], reason), expected) != 0)
                fail_msg("%s: %s gives %s", fields[i].name, values[k], reason);
        }
}

static void test_bounds_hold_at_both_ends(void **state)
{
    (void)state;
    static const struct {
        enum json_kind kind;
        int64_t min, max;
        const char *value;
        bool taken;
    } cases[] = {
        {JSON_K_INT, 0, 0, "0", true},
        {JSON_K_INT, 0, 0, "-1", false},
        {JSON_K_INT, 0, 0, "9007199254740991", true},
        {JSON_K_INT, 0, 0, "9007199254740992", false},
        {JSON_K_INT, -5, 5, "-5", true},
        {JSON_K_INT, -5, 5, "-6", false},
        {JSON_K_INT, -5, 5, "5", true},
        {JSON_K_INT, -5, 5, "6", false},
        {JSON_K_INT, -5, 0, "1", false},
        {JSON_K_STRING, 0, 3, "\"\"", true},
        {JSON_K_STRING, 1, 3, "\"\"", false},
        {JSON_K_STRING, 1, 3, "\"abc\"", true},
        {JSON_K_STRING, 1, 3, "\"abcd\"", false},
        {JSON_K_STRING, 1, 3, "\"\xC3\xA5\xC3\xA5\"", false},
        {JSON_K_NAMES, 1, 2, "[]", false},
        {JSON_K_NAMES, 1, 2, "[\"a\",\"b\"]", true},
        {JSON_K_NAMES, 1, 2, "[\"a\",\"b\",\"c\"]", false},
        {JSON_K_ARRAY, 1, 2, "[]", false},
        {JSON_K_ARRAY, 1, 2, "[1,2,3]", false},
        {JSON_K_ARRAY, 1, 2, "[1,2]", true},
    };
    char reason[48];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct json_field field = {
            .name = "x", .kind = cases[i].kind, .min = cases[i].min, .max = cases[i].max};
        if ((*outcome(&field, cases[i].value, reason) == '\0') != cases[i].taken)
            fail_msg("%s between %lld and %lld", cases[i].value, (long long)cases[i].min,
                     (long long)cases[i].max);
    }
}

static void test_absent_and_null_members_keep_what_was_there(void **state)
{
    (void)state;
    _cleanup_arena struct arena arena = {0};
    _cleanup_json json_t *json = read_json("{\"number\":null}");
    struct all all = {.number = 7, .flag = true};
    struct err err;
    assert_int_equal(json_take(json, fields, FIELDS, JSON_REFUSE_UNKNOWN, "", &arena, &all, &err),
                     0);
    assert_true(all.number == 7 && all.flag);
}

static void test_required_members_are_asked_for_by_their_path(void **state)
{
    (void)state;
    static const struct json_field required[] = {{"flag", JSON_K_BOOL, 0, true, 0, 0}};
    _cleanup_arena struct arena arena = {0};
    static const char *const texts[] = {"{}", "{\"flag\":null}"};
    for (size_t i = 0; i < 2; i++) {
        _cleanup_json json_t *json = read_json(texts[i]);
        struct err err;
        bool flag = false;
        assert_int_equal(
            json_take(json, required, 1, JSON_REFUSE_UNKNOWN, "notice", &arena, &flag, &err),
            LOV_EINVAL);
        assert_string_equal(err.reason, "missing_field");
        assert_string_equal(err.text, "notice.flag is required");
        json_take(json, required, 1, JSON_REFUSE_UNKNOWN, "", &arena, &flag, &err);
        assert_string_equal(err.text, "flag is required");
    }
}

static void test_unknown_members_are_refused_without_being_quoted_or_ignored(void **state)
{
    (void)state;
    _cleanup_arena struct arena arena = {0};
    _cleanup_json json_t *json = read_json("{\"number\":7,\"anna@example.org\":1}");
    struct all all = {0};
    struct err err;
    assert_int_equal(json_take(json, fields, FIELDS, JSON_REFUSE_UNKNOWN, "x", &arena, &all, &err),
                     LOV_EINVAL);
    assert_string_equal(err.reason, "unknown_field");
    assert_null(strstr(err.text, "anna"));
    assert_true(all.number == 0);
    assert_int_equal(json_take(json, fields, FIELDS, JSON_IGNORE_UNKNOWN, "x", &arena, &all, &err),
                     0);
    assert_true(all.number == 7);
}

static void test_only_an_object_is_taken_apart(void **state)
{
    (void)state;
    _cleanup_arena struct arena arena = {0};
    _cleanup_json json_t *json = read_json("[1]");
    struct all all;
    struct err err;
    assert_int_equal(json_take(json, fields, FIELDS, JSON_IGNORE_UNKNOWN, "", &arena, &all, &err),
                     LOV_EINVAL);
    assert_string_equal(err.text, "body: expected an object");
    assert_int_equal(json_take(NULL, fields, FIELDS, JSON_IGNORE_UNKNOWN, "a", &arena, &all, &err),
                     LOV_EINVAL);
    assert_string_equal(err.text, "a: expected an object");
}

/* ---- writing ---- */

static void test_writer_places_commas(void **state)
{
    (void)state;
    _cleanup_buf struct buf out = {0};
    struct jw w = {.out = &out};
    jw_object_start(&w);
    jw_str_member(&w, "a", STR("x"));
    jw_key(&w, "b");
    jw_array_start(&w);
    jw_array_start(&w);
    jw_array_end(&w);
    jw_object_start(&w);
    jw_object_end(&w);
    jw_int(&w, INT64_MIN);
    jw_null(&w);
    jw_bool(&w, true);
    jw_hex(&w, "\x00\xff", 2);
    jw_raw(&w, STR("{\"c\":1}"));
    jw_array_end(&w);
    jw_cstr_member(&w, "d", "y");
    jw_int_member(&w, "e", 7);
    jw_bool_member(&w, "f", false);
    jw_time_member(&w, "g", 0);
    jw_time_member(&w, "h", TIME_NONE);
    jw_object_end(&w);
    assert_string_equal(out.p, "{\"a\":\"x\",\"b\":[[],{},-9223372036854775808,null,true,"
                               "\"00ff\",{\"c\":1}],\"d\":\"y\",\"e\":7,\"f\":false,"
                               "\"g\":\"1970-01-01T00:00:00Z\",\"h\":null}");
    assert_true(reads(buf_view(&out)));
}

static void test_every_character_that_is_written_reads_back(void **state)
{
    (void)state;
    for (uint32_t point = 1; point <= 0x10FFFF; point += point < 0x3000 ? 1 : 97) {
        if (point >= 0xD800 && point <= 0xDFFF)
            continue;
        char utf8[4];
        size_t n = 1;
        if (point < 0x80) {
            utf8[0] = (char)point;
        } else if (point < 0x800) {
            utf8[0] = (char)(0xC0 | point >> 6);
            utf8[1] = (char)(0x80 | (point & 0x3F));
            n = 2;
        } else if (point < 0x10000) {
            utf8[0] = (char)(0xE0 | point >> 12);
            utf8[1] = (char)(0x80 | (point >> 6 & 0x3F));
            utf8[2] = (char)(0x80 | (point & 0x3F));
            n = 3;
        } else {
            utf8[0] = (char)(0xF0 | point >> 18);
            utf8[1] = (char)(0x80 | (point >> 12 & 0x3F));
            utf8[2] = (char)(0x80 | (point >> 6 & 0x3F));
            utf8[3] = (char)(0x80 | (point & 0x3F));
            n = 4;
        }
        _cleanup_buf struct buf out = {0};
        struct jw w = {.out = &out};
        jw_array_start(&w);
        jw_str(&w, (struct str){utf8, n});
        jw_array_end(&w);
        _cleanup_json json_t *json = read_json(out.p);
        assert_true(str_eq(json_text(json_array_get(json, 0)), (struct str){utf8, n}));
    }
}

static void test_nothing_that_is_written_ends_its_string_early(void **state)
{
    (void)state;
    _cleanup_buf struct buf out = {0};
    json_escape(&out, STR("\"},{\"\\\n\r\t\0\x1f"));
    assert_string_equal(out.p, "\\\"},{\\\"\\\\\\n\\u000d\\u0009\\u0000\\u001f");
    buf_clear(&out);
    json_escape(&out, none);
    assert_int_equal(out.n, 0);
}

static void test_canonical_text_does_not_depend_on_order_or_white_space(void **state)
{
    (void)state;
    _cleanup_json json_t *one =
        read_json("{ \"b\" : [1, 2.5, \"\\u00e5\"], \"a\": {\"d\":1,\"c\":2} }");
    _cleanup_json json_t *two = read_json("{\"a\":{\"c\":2,\"d\":1},\"b\":[1,2.5,\"\xC3\xA5\"]}");
    _cleanup_buf struct buf a = {0}, b = {0};
    json_canonical(one, &a);
    json_canonical(two, &b);
    assert_string_equal(a.p, b.p);
    assert_string_equal(a.p, "{\"a\":{\"c\":2,\"d\":1},\"b\":[1,2.5,\"\xC3\xA5\"]}");
}

static void test_broken_json_is_refused_or_reads_the_same_again(void **state)
{
    (void)state;
    uint64_t seed = seed_start();
    static const char start[] =
        "{\"a\":[1,-2.5e+3,true,\"\\ud83d\\ude00\xC3\xA5\"],\"b\":{\"c\":null}}";
    for (int i = 0; i < 50000; i++) {
        char text[sizeof start];
        memcpy(text, start, sizeof start);
        for (uint64_t k = seed_below(&seed, 4); k < 4; k++)
            text[seed_below(&seed, sizeof start - 1)] = (char)seed_next(&seed);
        _cleanup_json json_t *json = NULL, *again = NULL;
        if (json_read((struct str){text, sizeof start - 1}, &json, NULL) != 0)
            continue;
        _cleanup_buf struct buf out = {0};
        json_canonical(json, &out);
        assert_int_equal(json_read(buf_view(&out), &again, NULL), 0);
        assert_true(json_equal(json, again));
    }
}

/* ---- the plainest form ---- */

struct inner {
    struct str id;
    int64_t version;
};
struct outer {
    struct str who, text, name;
    int64_t number, at;
    int32_t day;
    bool flag;
    const json_t *part, *any;
    struct json_names names;
    struct inner inner;
};
#define OUTER(member, kind, required, min, max)                                                    \
    {                                                                                              \
#member, kind, offsetof(struct outer, member), required, min, max                          \
    }
static const struct json_field outer_fields[] = {
    OUTER(who, JSON_K_STRING, true, 1, 12), OUTER(text, JSON_K_TEXT, false, 0, 0),
    OUTER(name, JSON_K_NAME, false, 0, 0),  OUTER(number, JSON_K_INT, false, 1, 1000),
    OUTER(at, JSON_K_TIME, false, 0, 0),    OUTER(day, JSON_K_DATE, false, 0, 0),
    OUTER(flag, JSON_K_BOOL, false, 0, 0),  OUTER(part, JSON_K_OBJECT, false, 0, 0),
    OUTER(any, JSON_K_ANY, false, 0, 0),    OUTER(names, JSON_K_NAMES, false, 1, 4),
};
static const struct json_field inner_fields[] = {
    {"id", JSON_K_NAME, offsetof(struct inner, id), true, 0, 0},
    {"version", JSON_K_INT, offsetof(struct inner, version), false, 0, 0},
};
static const struct json_plain inner_plain[] = {{
    .name = "part",
    .fields = inner_fields,
    .count = 2,
    .offset = offsetof(struct outer, inner),
}};
static const struct json_plain outer_plain = {
    .fields = outer_fields,
    .count = sizeof outer_fields / sizeof *outer_fields,
    .parts = inner_plain,
    .part_count = 1,
};

static bool take_in_general(struct str text, json_t **json, struct arena *arena, struct outer *out)
{
    struct err err;
    return json_read(text, json, &err) == 0 &&
           json_take(*json, outer_fields, outer_plain.count, JSON_REFUSE_UNKNOWN, "", arena, out,
                     &err) == 0 &&
           (!out->part || json_take(out->part, inner_fields, 2, JSON_REFUSE_UNKNOWN, "part", arena,
                                    &out->inner, &err) == 0);
}

/* Is it plain? Then the general reader makes the same of it. */
static bool is_plain(struct str text)
{
    _cleanup_arena struct arena arena = {0};
    _cleanup_json json_t *json = NULL;
    struct outer a = {.number = -1}, b = {.number = -1};
    char *exact = mem_alloc(text.n);
    memcpy(exact, text.p, text.n);
    bool plain = json_take_plain((struct str){exact, text.n}, &outer_plain, &arena, &a);
    if (plain && !take_in_general(text, &json, &arena, &b))
        fail_msg("taken, and wrong: %.*s", STR_ARG(text));
    if (plain) {
        assert_true(str_eq(a.who, b.who) && str_eq(a.text, b.text) && str_eq(a.name, b.name));
        assert_true(a.number == b.number && a.at == b.at && a.day == b.day && a.flag == b.flag);
        assert_true(str_eq(a.inner.id, b.inner.id) && a.inner.version == b.inner.version);
        assert_true(!a.any && !b.any && a.names.count == b.names.count);
        for (size_t i = 0; i < a.names.count; i++)
            assert_true(str_eq(a.names.items[i], b.names.items[i]));
    }
    free(exact);
    return plain;
}

static void test_the_plainest_form_is_taken_and_nothing_else(void **state)
{
    (void)state;
    static const char *const plain[] = {
        "{\"who\":\"x\"}",
        " { \"who\" : \"a b\" ,\n\"flag\":true, \"number\":1000,\t\"names\":[ \"a\" , \"b_2\" ] }\r\n",
        "{\"part\":{\"version\":0,\"id\":\"n\"},\"flag\":false,\"who\":\"twelve bytes\",\"day\":\"2026-02-28\"}",
        "{\"who\":\"x\",\"at\":\"2026-02-28T10:00:00Z\",\"text\":\"~\",\"name\":\"a_1\"}",
    };
    static const char *const other[] = {
        "",
        "{}",
        "[]",
        "{\"who\":\"x\"",
        "{\"who\":\"x\"}}",
        "{\"who\":\"x\",}",
        "{\"who\":\"\"}",
        "{\"who\":\"x\",\"who\":\"x\"}",
        "{\"who\":null}",
        "{\"who\":\"thirteen byte\"}",
        "{\"who\":\"x\",\"more\":1}",
        "{\"who\":\"x\",\"number\":0}",
        "{\"who\":\"x\",\"number\":01}",
        "{\"who\":\"x\",\"number\":1.0}",
        "{\"who\":\"x\",\"number\":1e1}",
        "{\"who\":\"x\",\"number\":1001}",
        "{\"who\":\"x\",\"number\":1000000000000000000000}",
        "{\"who\":\"x\",\"flag\":truely}",
        "{\"who\":\"x\",\"flag\":1}",
        "{\"who\":\"x\",\"any\":1}",
        "{\"who\":\"x\",\"names\":[]}",
        "{\"who\":\"x\",\"names\":[\"a\",\"a\"]}",
        "{\"who\":\"x\",\"names\":[\"a\",\"b\",\"c\",\"d\",\"e\"]}",
        "{\"who\":\"x\",\"names\":[\"A\"]}",
        "{\"who\":\"x\",\"name\":\"A\"}",
        "{\"who\":\"x\",\"part\":{}}",
        "{\"who\":\"x\",\"part\":{\"id\":\"n\",\"id\":\"n\"}}",
        "{\"who\":\"x\",\"part\":{\"id\":\"n\",\"who\":\"x\"}}",
        "{\"who\":\"\\u0078\"}",
        "{\"who\":\"\xc3\xa5\"}",
        "{\"who\":\"x\",\"day\":\"2026-02-30\"}",
        "{\"who\":\"x\",\"at\":\"now\"}",
        "{who:\"x\"}",
        "{\"who\" \"x\"}",
    };
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
        if (!is_plain(str_of(plain[i])))
            fail_msg("not taken: %s", plain[i]);
    for (size_t i = 0; i < sizeof other / sizeof *other; i++)
        if (is_plain(str_of(other[i])))
            fail_msg("taken: %s", other[i]);
}

static void test_what_is_taken_plainly_is_what_the_general_reader_takes(void **state)
{
    (void)state;
    static const char text[] =
        "{\"who\":\"x y\",\"text\":\"t\",\"number\":17,\"names\":[\"a\",\"b\"],"
        "\"part\":{\"id\":\"n\",\"version\":3},\"flag\":true,"
        "\"day\":\"2026-01-31\",\"at\":\"2026-01-31T00:00:00Z\"}";
    static const char bytes[] = "{}[]:,\"\\ 01ae_tnu.-\n\x7f\x80";
    uint64_t seed = seed_start();
    int taken = 0;
    for (int i = 0; i < 200000; i++) {
        char broken[sizeof text];
        size_t n = sizeof text - 1;
        memcpy(broken, text, n);
        for (uint64_t k = 0, changes = 1 + seed_below(&seed, 3); k < changes; k++)
            broken[seed_below(&seed, n)] = bytes[seed_below(&seed, sizeof bytes - 1)];
        if (seed_below(&seed, 8) == 0)
            n = seed_below(&seed, n) + 1;
        taken += is_plain((struct str){broken, n});
    }
    assert_in_range(taken, 1000, 150000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_objects_and_arrays_are_read),
        cmocka_unit_test(test_what_is_not_json_is_refused),
        cmocka_unit_test(test_duplicate_names_are_refused_however_they_are_written),
        cmocka_unit_test(test_error_tells_the_place_and_not_the_words),
        cmocka_unit_test(test_depth_is_bounded_and_brackets_in_text_do_not_count),
        cmocka_unit_test(test_text_that_is_not_utf8_is_refused),
        cmocka_unit_test(test_lone_surrogates_are_refused),
        cmocka_unit_test(test_nul_is_refused_raw_and_escaped),
        cmocka_unit_test(test_numbers_out_of_range_are_refused),
        cmocka_unit_test(test_cut_off_json_is_refused_at_every_length),
        cmocka_unit_test(test_each_kind_is_taken),
        cmocka_unit_test(test_each_kind_refuses_what_is_of_another),
        cmocka_unit_test(test_bounds_hold_at_both_ends),
        cmocka_unit_test(test_absent_and_null_members_keep_what_was_there),
        cmocka_unit_test(test_required_members_are_asked_for_by_their_path),
        cmocka_unit_test(test_unknown_members_are_refused_without_being_quoted_or_ignored),
        cmocka_unit_test(test_only_an_object_is_taken_apart),
        cmocka_unit_test(test_writer_places_commas),
        cmocka_unit_test(test_every_character_that_is_written_reads_back),
        cmocka_unit_test(test_nothing_that_is_written_ends_its_string_early),
        cmocka_unit_test(test_canonical_text_does_not_depend_on_order_or_white_space),
        cmocka_unit_test(test_broken_json_is_refused_or_reads_the_same_again),
        cmocka_unit_test(test_the_plainest_form_is_taken_and_nothing_else),
        cmocka_unit_test(test_what_is_taken_plainly_is_what_the_general_reader_takes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
