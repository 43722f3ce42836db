/* json.c - see json.h. */
#include "base/json.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/hash.h"

void json_cleanup(json_t **json)
{
    json_decref(*json);
    *json = NULL;
}

/* jansson's own limit is 2,048 levels, compiled in: ours is checked before the parser recurses. */
static bool too_deep(struct str text)
{
    size_t depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        if (in_string) {
            if (c == '\\')
                i++;
            else if (c == '"')
                in_string = false;
        } else if (c == '"') {
            in_string = true;
        } else if (c == '{' || c == '[') {
            if (++depth > JSON_DEPTH)
                return true;
        } else if ((c == '}' || c == ']') && depth) {
            depth--;
        }
    }
    return false;
}

int json_read(struct str text, json_t **out, struct err *err)
{
    if (too_deep(text))
        return err_reason(err, LOV_EINVAL, "invalid_json", "JSON nested deeper than %d levels",
                          JSON_DEPTH);
    json_error_t error;
    json_t *json = json_loadb(text.p ? text.p : "", text.n, JSON_REJECT_DUPLICATES, &error);
    if (!json) {
        /* jansson quotes the input in its text, which may be personal: only the place is told. */
        if (json_error_code(&error) == json_error_duplicate_key)
            return err_reason(err, LOV_EINVAL, "invalid_json",
                              "duplicate member at line %d column %d", error.line, error.column);
        return err_reason(err, LOV_EINVAL, "invalid_json", "not valid JSON at line %d column %d",
                          error.line, error.column);
    }
    *out = json;
    return 0;
}

struct str json_text(const json_t *string)
{
    return (struct str){json_string_value(string), json_string_length(string)};
}

static int field_error(struct err *err, const char *path, const char *name, const char *expected)
{
    return err_reason(err, LOV_EINVAL, "invalid_field", "%s%s%s: expected %s", path,
                      *path ? "." : "", name, expected);
}

static int take_string(const json_t *value, const struct json_field *f, const char *path,
                       struct str *out, struct err *err)
{
    int64_t max = f->max ? f->max : 256, min = f->max ? f->min : 1;
    struct str text = json_text(value);
    if (!json_is_string(value) || (int64_t)text.n < min || (int64_t)text.n > max) {
        char expected[64];
        snprintf(expected, sizeof expected, "a string of %lld to %lld bytes", (long long)min,
                 (long long)max);
        return field_error(err, path, f->name, expected);
    }
    if (!str_no_controls(text, f->kind == JSON_K_TEXT))
        return field_error(err, path, f->name, "text without control characters");
    *out = text;
    return 0;
}

static int take_int(const json_t *value, const struct json_field *f, const char *path, int64_t *out,
                    struct err *err)
{
    int64_t max = f->max || f->min ? f->max : INT64_C(9007199254740991);
    int64_t v = json_integer_value(value);
    if (!json_is_integer(value) || v < f->min || v > max) {
        char expected[80];
        snprintf(expected, sizeof expected, "a whole number from %lld to %lld", (long long)f->min,
                 (long long)max);
        return field_error(err, path, f->name, expected);
    }
    *out = v;
    return 0;
}

static int take_names(const json_t *value, const struct json_field *f, const char *path,
                      struct arena *arena, struct json_names *out, struct err *err)
{
    size_t max = f->max ? (size_t)f->max : 1000, min = (size_t)f->min;
    size_t count = json_array_size(value);
    if (!json_is_array(value) || count < min || count > max) {
        char expected[64];
        snprintf(expected, sizeof expected, "an array of %zu to %zu names", min, max);
        return field_error(err, path, f->name, expected);
    }
    struct str *items = arena_array(arena, count, sizeof *items);
    for (size_t i = 0; i < count; i++) {
        items[i] = json_text(json_array_get(value, i));
        if (!json_is_string(json_array_get(value, i)) || !str_is_name(items[i]))
            return field_error(err, path, f->name, "names of a-z, 0-9 and _");
        for (size_t k = 0; k < i; k++)
            if (str_eq(items[k], items[i]))
                return field_error(err, path, f->name, "each name once");
    }
    *out = (struct json_names){items, count};
    return 0;
}

static int take_array(const json_t *value, const struct json_field *f, const char *path,
                      const json_t **out, struct err *err)
{
    size_t max = f->max ? (size_t)f->max : 1000;
    if (!json_is_array(value) || json_array_size(value) < (size_t)f->min ||
        json_array_size(value) > max) {
        char expected[64];
        snprintf(expected, sizeof expected, "an array of %lld to %zu items", (long long)f->min,
                 max);
        return field_error(err, path, f->name, expected);
    }
    *out = value;
    return 0;
}

static int take_field(const json_t *value, const struct json_field *f, const char *path,
                      struct arena *arena, char *member, struct err *err)
{
    struct str text = json_text(value);
    switch (f->kind) {
    case JSON_K_STRING:
    case JSON_K_TEXT:
        return take_string(value, f, path, (struct str *)(void *)member, err);
    case JSON_K_NAME:
        if (!json_is_string(value) || !str_is_name(text))
            return field_error(err, path, f->name, "a name of a-z, 0-9 and _");
        *(struct str *)(void *)member = text;
        return 0;
    case JSON_K_INT:
        return take_int(value, f, path, (int64_t *)(void *)member, err);
    case JSON_K_BOOL:
        if (!json_is_boolean(value))
            return field_error(err, path, f->name, "true or false");
        *(bool *)(void *)member = json_is_true(value);
        return 0;
    case JSON_K_TIME:
        if (!json_is_string(value) || !time_parse(text, (int64_t *)(void *)member))
            return field_error(err, path, f->name, "an RFC 3339 time such as 2027-01-31T12:00:00Z");
        return 0;
    case JSON_K_DATE:
        if (!json_is_string(value) || !date_parse(text, (int32_t *)(void *)member))
            return field_error(err, path, f->name, "a date such as 2027-01-31");
        return 0;
    case JSON_K_OBJECT:
        if (!json_is_object(value))
            return field_error(err, path, f->name, "an object");
        *(const json_t **)(void *)member = value;
        return 0;
    case JSON_K_ARRAY:
        return take_array(value, f, path, (const json_t **)(void *)member, err);
    case JSON_K_NAMES:
        return take_names(value, f, path, arena, (struct json_names *)(void *)member, err);
    case JSON_K_ANY:
        *(const json_t **)(void *)member = value;
        return 0;
    }
    bug("unknown kind of field %d", (int)f->kind);
}

static int refuse_unknown(const json_t *object, const struct json_field *fields, size_t count,
                          const char *path, struct err *err)
{
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)object, name, value) {
        bool known = false;
        for (size_t i = 0; i < count && !known; i++)
            known = strcmp(fields[i].name, name) == 0;
        if (!known)
            return err_reason(err, LOV_EINVAL, "unknown_field",
                              "%s%sunknown member: remove it, or see docs/openapi.yaml for the "
                              "members that are allowed",
                              path, *path ? ": " : "");
    }
    return 0;
}

int json_take(const json_t *object, const struct json_field *fields, size_t count,
              enum json_unknown unknown, const char *path, struct arena *arena, void *out,
              struct err *err)
{
    if (!json_is_object(object))
        return err_reason(err, LOV_EINVAL, "invalid_field", "%s: expected an object",
                          *path ? path : "body");
    if (unknown == JSON_REFUSE_UNKNOWN) {
        int rc = refuse_unknown(object, fields, count, path, err);
        if (rc)
            return rc;
    }
    for (size_t i = 0; i < count; i++) {
        const json_t *value = json_object_get(object, fields[i].name);
        if (!value || json_is_null(value)) {
            if (fields[i].required)
                return err_reason(err, LOV_EINVAL, "missing_field", "%s%s%s is required", path,
                                  *path ? "." : "", fields[i].name);
            continue;
        }
        int rc = take_field(value, &fields[i], path, arena, (char *)out + fields[i].offset, err);
        if (rc)
            return rc;
    }
    return 0;
}

void json_canonical(const json_t *json, struct buf *out)
{
    char *text = json_dumps(json, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);
    if (!text)
        bug("out of memory (JSON text)");
    buf_cstr(out, text);
    free(text);
}

/* Eight bytes at once: is none below 0x20, a quote or a backslash? The subtraction borrows into a
 * byte's highest bit where the byte was less than what is taken away. */
static bool needs_no_escape(const char *p)
{
    static const uint64_t each = 0x0101010101010101, high = 0x8080808080808080;
    uint64_t v;
    memcpy(&v, p, sizeof v);
    uint64_t quote = v ^ each * '"', backslash = v ^ each * '\\';
    uint64_t found =
        ((v - each * 0x20) & ~v) | ((quote - each) & ~quote) | ((backslash - each) & ~backslash);
    return !(found & high);
}

void json_escape(struct buf *out, struct str text)
{
    static const char digits[] = "0123456789abcdef";
    size_t start = 0;
    for (size_t i = 0; i < text.n; i++) {
        while (text.n - i >= 8 && needs_no_escape(text.p + i))
            i += 8;
        if (i == text.n)
            break;
        unsigned char c = (unsigned char)text.p[i];
        if (c >= 0x20 && c != '"' && c != '\\')
            continue;
        buf_add(out, text.p + start, i - start);
        start = i + 1;
        if (c == '"' || c == '\\') {
            char escaped[2] = {'\\', (char)c};
            buf_add(out, escaped, 2);
        } else if (c == '\n') {
            buf_add(out, "\\n", 2);
        } else {
            char escaped[6] = {'\\', 'u', '0', '0', digits[c >> 4], digits[c & 15]};
            buf_add(out, escaped, 6);
        }
    }
    if (text.n > start)
        buf_add(out, text.p + start, text.n - start);
}

static void separate(struct jw *w)
{
    if (w->comma)
        buf_char(w->out, ',');
    w->comma = true;
}

void jw_object_start(struct jw *w)
{
    separate(w);
    buf_char(w->out, '{');
    w->comma = false;
}

void jw_object_end(struct jw *w)
{
    buf_char(w->out, '}');
    w->comma = true;
}

void jw_array_start(struct jw *w)
{
    separate(w);
    buf_char(w->out, '[');
    w->comma = false;
}

void jw_array_end(struct jw *w)
{
    buf_char(w->out, ']');
    w->comma = true;
}

void jw_key_str(struct jw *w, struct str name)
{
    jw_str(w, name);
    buf_char(w->out, ':');
    w->comma = false;
}

void jw_str(struct jw *w, struct str text)
{
    separate(w);
    buf_char(w->out, '"');
    json_escape(w->out, text);
    buf_char(w->out, '"');
}

void jw_int(struct jw *w, int64_t v)
{
    separate(w);
    buf_int(w->out, v);
}

void jw_bool(struct jw *w, bool v)
{
    jw_raw(w, v ? STR("true") : STR("false"));
}

void jw_null(struct jw *w)
{
    jw_raw(w, STR("null"));
}

void jw_time(struct jw *w, int64_t at)
{
    if (at == TIME_NONE) {
        jw_null(w);
        return;
    }
    separate(w);
    buf_char(w->out, '"');
    time_format(at, w->out);
    buf_char(w->out, '"');
}

void jw_hex(struct jw *w, const void *p, size_t n)
{
    separate(w);
    buf_char(w->out, '"');
    hex_encode(p, n, w->out);
    buf_char(w->out, '"');
}

void jw_raw(struct jw *w, struct str json)
{
    separate(w);
    buf_str(w->out, json);
}

void jw_time_member(struct jw *w, const char *name, int64_t at)
{
    jw_key(w, name);
    jw_time(w, at);
}

void jw_hex_member(struct jw *w, const char *name, const void *p, size_t n)
{
    jw_key(w, name);
    jw_hex(w, p, n);
}

void jw_optional_member(struct jw *w, const char *name, struct str text)
{
    jw_key(w, name);
    if (text.n)
        jw_str(w, text);
    else
        jw_null(w);
}

void jw_array_member(struct jw *w, const char *name)
{
    jw_key(w, name);
    jw_array_start(w);
}

void jw_object_member(struct jw *w, const char *name)
{
    jw_key(w, name);
    jw_object_start(w);
}

void jw_strs_member(struct jw *w, const char *name, const struct str *texts, size_t count)
{
    jw_array_member(w, name);
    for (size_t i = 0; i < count; i++)
        jw_str(w, texts[i]);
    jw_array_end(w);
}

void jw_list_member(struct jw *w, const char *name, struct str list)
{
    jw_array_member(w, name);
    while (list.n)
        jw_str(w, str_cut(&list, ','));
    jw_array_end(w);
}

bool json_is_time(const json_t *json, int64_t at)
{
    _cleanup_buf struct buf text = {0};
    time_format(at, &text);
    return json_is_string(json) && str_eq(json_text(json), buf_view(&text));
}

bool json_is_hex(const json_t *json, const void *p, size_t n)
{
    _cleanup_buf struct buf text = {0};
    hex_encode(p, n, &text);
    return json_is_string(json) && str_eq(json_text(json), buf_view(&text));
}
