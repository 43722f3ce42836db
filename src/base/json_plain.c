/* json_plain.c - objects of the plainest form, taken apart by their table without a tree. */
#include "base/clock.h"
#include "base/json.h"
#include "base/json_cursor.h"

enum { FIELDS_MOST = 32 };

static bool take_number(struct json_cursor *c, int64_t *out)
{
    enum { DIGITS = 15 };
    json_skip_space(c);
    const char *start = c->p;
    int64_t v = 0;
    while (c->p < c->end && *c->p >= '0' && *c->p <= '9' && c->p - start < DIGITS)
        v = v * 10 + (*c->p++ - '0');
    *out = v;
    return c->p > start && (*start != '0' || c->p - start == 1);
}

static bool take_names(struct json_cursor *c, const struct json_field *f, struct arena *arena,
                       struct json_names *out)
{
    enum { MOST = 16 };
    struct str names[MOST];
    size_t count = 0, most = f->max ? (size_t)f->max : MOST;
    if (!json_take_char(c, '['))
        return false;
    do {
        if (count == MOST || count == most || !json_take_text(c, &names[count]) ||
            !str_is_name(names[count]))
            return false;
        for (size_t i = 0; i < count; i++)
            if (str_eq(names[i], names[count]))
                return false;
        count++;
    } while (json_take_char(c, ','));
    out->items = arena_array(arena, count, sizeof *names);
    out->count = count;
    memcpy(out->items, names, count * sizeof *names);
    return json_take_char(c, ']') && count >= (size_t)f->min;
}

static bool take_string(struct json_cursor *c, const struct json_field *f, struct str *out)
{
    int64_t max = f->max ? f->max : 256, min = f->max ? f->min : 1;
    return json_take_text(c, out) && (int64_t)out->n >= min && (int64_t)out->n <= max;
}

static bool take_int(struct json_cursor *c, const struct json_field *f, int64_t *out)
{
    int64_t max = f->max || f->min ? f->max : INT64_C(9007199254740991);
    return take_number(c, out) && *out >= f->min && *out <= max;
}

static bool take_value(struct json_cursor *c, const struct json_field *f, struct arena *arena,
                       void *member)
{
    struct str text, *string = member;
    switch (f->kind) {
    case JSON_K_STRING:
    case JSON_K_TEXT:
        return take_string(c, f, string);
    case JSON_K_NAME:
        return json_take_text(c, string) && str_is_name(*string);
    case JSON_K_INT:
        return take_int(c, f, member);
    case JSON_K_BOOL:
        *(bool *)member = json_take_word(c, STR("true"));
        return *(bool *)member || json_take_word(c, STR("false"));
    case JSON_K_TIME:
        return json_take_text(c, &text) && time_parse(text, member);
    case JSON_K_DATE:
        return json_take_text(c, &text) && date_parse(text, member);
    case JSON_K_NAMES:
        return take_names(c, f, arena, member);
    case JSON_K_OBJECT:
    case JSON_K_ARRAY:
    case JSON_K_ANY:
        return false;
    }
    bug("unknown kind of field %d", (int)f->kind);
}

static size_t number_of(const struct json_plain *o, struct str name)
{
    size_t i = 0;
    while (i < o->count && !str_is(name, o->fields[i].name))
        i++;
    return i;
}

static bool take_object(struct json_cursor *c, const struct json_plain *o, struct arena *arena,
                        char *out);

/* The value of a field, or of one that is an object with a table of its own. */
static bool take_field(struct json_cursor *c, const struct json_plain *o, size_t i,
                       struct arena *arena, char *out)
{
    for (size_t k = 0; k < o->part_count; k++)
        if (strcmp(o->parts[k].name, o->fields[i].name) == 0)
            return take_object(c, &o->parts[k], arena, out + o->parts[k].offset);
    return take_value(c, &o->fields[i], arena, out + o->fields[i].offset);
}

static bool has_required(const struct json_plain *o, uint32_t seen)
{
    for (size_t i = 0; i < o->count; i++)
        if (o->fields[i].required && !(seen & 1U << i))
            return false;
    return true;
}

static bool take_object(struct json_cursor *c, const struct json_plain *o, struct arena *arena,
                        char *out)
{
    uint32_t seen = 0;
    struct str name;
    if (o->count > FIELDS_MOST || !json_take_char(c, '{'))
        return false;
    do {
        if (!json_take_text(c, &name) || !json_take_char(c, ':'))
            return false;
        size_t i = number_of(o, name);
        if (i == o->count || (seen & 1U << i) || !take_field(c, o, i, arena, out))
            return false;
        seen |= 1U << i;
    } while (json_take_char(c, ','));
    return json_take_char(c, '}') && has_required(o, seen);
}

bool json_take_plain(struct str text, const struct json_plain *object, struct arena *arena,
                     void *out)
{
    struct json_cursor c = {text.p, text.p + text.n};
    return text.n && take_object(&c, object, arena, out) && json_at_end(&c);
}
