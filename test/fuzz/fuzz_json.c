/* fuzz_json.c - any bytes through json_read, json_take and back out again. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/json.h"

struct taken {
    struct str string, text, name;
    int64_t number, at;
    int32_t day;
    bool flag;
    const json_t *object, *array, *any;
    struct json_names names;
};

static const struct json_field fields[] = {
    {"s", JSON_K_STRING, offsetof(struct taken, string), false, 0, 40},
    {"t", JSON_K_TEXT, offsetof(struct taken, text), false, 0, 0},
    {"n", JSON_K_NAME, offsetof(struct taken, name), false, 0, 0},
    {"i", JSON_K_INT, offsetof(struct taken, number), false, -10, 1000},
    {"w", JSON_K_TIME, offsetof(struct taken, at), false, 0, 0},
    {"d", JSON_K_DATE, offsetof(struct taken, day), false, 0, 0},
    {"b", JSON_K_BOOL, offsetof(struct taken, flag), false, 0, 0},
    {"o", JSON_K_OBJECT, offsetof(struct taken, object), false, 0, 0},
    {"a", JSON_K_ARRAY, offsetof(struct taken, array), false, 0, 5},
    {"y", JSON_K_ANY, offsetof(struct taken, any), false, 0, 0},
    {"l", JSON_K_NAMES, offsetof(struct taken, names), false, 0, 5},
};

static const struct json_plain object = {.fields = fields, .count = sizeof fields / sizeof *fields};

static void demand(bool holds)
{
    if (!holds)
        abort();
}

/* What was taken keeps what the kinds promise. */
static void check(const struct taken *t)
{
    demand(t->string.n <= 40 && str_no_controls(t->string, false));
    demand(str_utf8_valid(t->string) && str_utf8_valid(t->text));
    demand(str_no_controls(t->text, true));
    demand(t->name.n == 0 || str_is_name(t->name));
    demand(t->number >= -10 && t->number <= 1000);
    demand(!t->object || json_is_object(t->object));
    demand(!t->array || json_array_size(t->array) <= 5);
    demand(t->names.count <= 5);
    for (size_t i = 0; i < t->names.count; i++)
        demand(str_is_name(t->names.items[i]));
}

/* The plain reader has made the same of it. */
static void check_same(const struct taken *a, const struct taken *b)
{
    demand(str_eq(a->string, b->string) && str_eq(a->text, b->text) && str_eq(a->name, b->name));
    demand(a->number == b->number && a->at == b->at && a->day == b->day && a->flag == b->flag);
    demand(!a->object && !a->array && !a->any && a->names.count == b->names.count);
    for (size_t i = 0; i < a->names.count; i++)
        demand(str_eq(a->names.items[i], b->names.items[i]));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err err = {0};
    _cleanup_json json_t *json = NULL, *again = NULL;
    _cleanup_arena struct arena arena = {0};
    struct taken taken = {0}, plain = {0};
    bool is_plain =
        json_take_plain((struct str){(const char *)data, size}, &object, &arena, &plain);
    int rc = json_read((struct str){(const char *)data, size}, &json, &err);
    demand(str_utf8_valid(str_of(err.text)));
    if (rc != 0) {
        demand(rc == LOV_EINVAL && !json && !is_plain);
        return 0;
    }
    _cleanup_buf struct buf out = {0};
    json_canonical(json, &out);
    demand(json_read(buf_view(&out), &again, &err) == 0 && json_equal(json, again));

    rc = json_take(json, fields, object.count, JSON_REFUSE_UNKNOWN, "f", &arena, &taken, &err);
    if (rc == 0)
        check(&taken);
    demand(!is_plain || rc == 0);
    if (is_plain)
        check_same(&taken, &plain);
    return 0;
}
