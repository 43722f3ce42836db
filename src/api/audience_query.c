/* audience_query.c - see audience_query.h. Members that are not known are ignored, as everywhere in
 * AuthZEN; those that are known must be right, since a condition that is not read would let people
 * in. */
#include "api/audience_query.h"

#define COUNT(table) (sizeof(table) / sizeof *(table))

struct audience_context {
    const json_t *also, *residence, *law;
    struct str approval;
    bool count;
};
static const struct json_field context_fields[] = {
    {"also", JSON_K_ARRAY, offsetof(struct audience_context, also), false, 0,
     AUDIENCE_CONDITIONS - 1},
    {"residence", JSON_K_ARRAY, offsetof(struct audience_context, residence), false, 1,
     AUDIENCE_CODES},
    {"law", JSON_K_ARRAY, offsetof(struct audience_context, law), false, 1, AUDIENCE_CODES},
    {"approval", JSON_K_STRING, offsetof(struct audience_context, approval), false, 1, 64},
    {"count", JSON_K_BOOL, offsetof(struct audience_context, count), false, 0, 0},
};

struct also {
    struct str purpose, category;
};
static const struct json_field also_fields[] = {
    {"purpose", JSON_K_STRING, offsetof(struct also, purpose), false, 1, 256},
    {"category", JSON_K_STRING, offsetof(struct also, category), false, 1, 256},
};

static int read_also(struct http_call *call, const json_t *json, struct audience_query *q,
                     struct err *err)
{
    for (size_t i = 0; i < json_array_size(json); i++) {
        struct also also = {0};
        /* A name that is misspelt would leave a condition out. */
        int rc = json_take(json_array_get(json, i), also_fields, COUNT(also_fields),
                           JSON_REFUSE_UNKNOWN, "context.also", &call->arena, &also, err);
        if (rc)
            return rc;
        struct question *one = &q->all[q->ask.count++];
        *one = q->all[0];
        if (also.purpose.n)
            one->purpose = also.purpose;
        if (also.category.n)
            one->category = also.category;
    }
    return 0;
}

static int read_codes(struct http_call *call, const json_t *json, const char *path,
                      const struct str **out, size_t *count, struct err *err)
{
    size_t n = json_array_size(json);
    struct str *codes = arena_array(&call->arena, n, sizeof *codes);
    for (size_t i = 0; i < n; i++) {
        const json_t *one = json_array_get(json, i);
        codes[i] = (struct str){json_string_value(one), json_string_length(one)};
        if (codes[i].n == 0 || codes[i].n > 64)
            return err_reason(err, LOV_EINVAL, "invalid_field",
                              "%s: a list of texts of 1 to 64 bytes", path);
    }
    *out = codes;
    *count = n;
    return 0;
}

int audience_query_read(struct http_call *call, const json_t *context, const struct question *first,
                        struct audience_query *out, struct err *err)
{
    struct audience_context c = {0};
    *out = (struct audience_query){.ask = {.all = out->all, .count = 1}};
    out->all[0] = *first;
    int rc = context ? json_take(context, context_fields, COUNT(context_fields),
                                 JSON_IGNORE_UNKNOWN, "context", &call->arena, &c, err)
                     : 0;
    out->count = c.count;
    out->approval = c.approval;
    if (rc == 0)
        rc = read_also(call, c.also, out, err);
    if (rc == 0)
        rc = read_codes(call, c.residence, "context.residence", &out->ask.residences,
                        &out->ask.residence_count, err);
    if (rc == 0)
        rc = read_codes(call, c.law, "context.law", &out->ask.laws, &out->ask.law_count, err);
    return rc;
}
