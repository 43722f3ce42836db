/* plain.c - reads the plainest form of evaluations, which is nearly every one, without building a
 * JSON tree: subject, action and resource with their identifiers in printable ASCII without
 * escapes, a context with nothing but "record", and a list of the same. Whatever differs in the
 * least is left to the general reader, which alone says what is an error: so this one may give up,
 * but never accepts what that one would refuse. */
#include <string.h>

#include "api/authzen.h"
#include "base/json_cursor.h"

enum { ENTITIES = 3, MEMBERS = 2 };

/* A set of what was read, in a number: an entity, or the context, stands in it once. */
enum { CONTEXT_READ = 1 << ENTITIES, LIST_READ = 2 << ENTITIES, ALL_READ = CONTEXT_READ - 1 };

struct member {
    struct str name;
    size_t offset; /* of the struct str in struct plain_question */
    size_t max;
};

/* An entity is there with all of its members, or it is not there. */
static const struct {
    struct str name;
    struct member members[MEMBERS];
} entities[ENTITIES] = {
    {{"subject", 7},
     {{{"type", 4}, offsetof(struct plain_question, subject_type), 256},
      {{"id", 2}, offsetof(struct plain_question, recipient), CONSUMER_ID_MAX}}},
    {{"action", 6}, {{{"name", 4}, offsetof(struct plain_question, purpose), 256}}},
    {{"resource", 8},
     {{{"type", 4}, offsetof(struct plain_question, category), 256},
      {{"id", 2}, offsetof(struct plain_question, consumer), CONSUMER_ID_MAX}}},
};

static struct str *field_of(struct plain_question *q, const struct member *m)
{
    return (struct str *)(void *)((char *)q + m->offset);
}

/* One member of an entity: known, of a right length, and not there yet. */
static bool take_member(struct json_cursor *c, const struct member *members,
                        struct plain_question *out)
{
    struct str name, value;
    if (!json_take_text(c, &name) || !json_take_char(c, ':') || !json_take_text(c, &value))
        return false;
    for (size_t i = 0; i < MEMBERS && members[i].max; i++) {
        if (!str_eq(name, members[i].name))
            continue;
        struct str *field = field_of(out, &members[i]);
        if (field->p || value.n == 0 || value.n > members[i].max)
            return false;
        *field = value;
        return true;
    }
    return false;
}

static bool take_entity(struct json_cursor *c, const struct member *members,
                        struct plain_question *out)
{
    if (!json_take_char(c, '{'))
        return false;
    do {
        if (!take_member(c, members, out))
            return false;
    } while (json_take_char(c, ','));
    for (size_t i = 0; i < MEMBERS && members[i].max; i++)
        if (!field_of(out, &members[i])->p)
            return false;
    return json_take_char(c, '}');
}

static bool take_context(struct json_cursor *c, struct plain_question *out)
{
    struct str name;
    if (!json_take_char(c, '{') || !json_take_text(c, &name) || !str_eq(name, STR("record")) ||
        !json_take_char(c, ':'))
        return false;
    out->record = json_take_word(c, STR("true"));
    return (out->record || json_take_word(c, STR("false"))) && json_take_char(c, '}');
}

/* What follows the name of a member of a question; each may come once. */
static bool take_value(struct json_cursor *c, struct str name, struct plain_question *out)
{
    unsigned bit = 0;
    bool ok = false;
    for (size_t i = 0; i < ENTITIES && !bit; i++) {
        if (str_eq(name, entities[i].name)) {
            bit = 1U << i;
            ok = !(out->read & bit) && take_entity(c, entities[i].members, out);
        }
    }
    if (!bit && str_eq(name, STR("context"))) {
        bit = CONTEXT_READ;
        ok = !(out->read & bit) && take_context(c, out);
    }
    out->read |= bit;
    return ok;
}

static bool take_item(struct json_cursor *c, struct plain_question *out)
{
    struct str name;
    if (!json_take_char(c, '{'))
        return false;
    if (json_take_char(c, '}'))
        return true;
    do {
        if (!json_take_text(c, &name) || !json_take_char(c, ':') || !take_value(c, name, out))
            return false;
    } while (json_take_char(c, ','));
    return json_take_char(c, '}');
}

static bool take_list(struct json_cursor *c, struct arena *arena, struct plain_list *out)
{
    size_t room = 0;
    if (!json_take_char(c, '['))
        return false;
    do {
        if (out->count == room) {
            struct plain_question *old = out->items;
            room = room ? 2 * room : 32;
            out->items = arena_array(arena, room, sizeof *out->items);
            if (out->count)
                memcpy(out->items, old, out->count * sizeof *old);
        }
        if (out->count == BATCH_MAX || !take_item(c, &out->items[out->count++]))
            return false;
    } while (json_take_char(c, ','));
    return json_take_char(c, ']');
}

/* Of an item: what it does not say itself, the defaults say. False when nobody says it. */
static bool add_defaults(struct plain_question *item, const struct plain_question *defaults)
{
    unsigned missing = defaults->read & ~item->read;
    for (size_t i = 0; i < ENTITIES; i++) {
        const struct member *members = entities[i].members;
        for (size_t k = 0; (missing & 1U << i) && k < MEMBERS && members[k].max; k++)
            *field_of(item, &members[k]) =
                *field_of((struct plain_question *)defaults, &members[k]);
    }
    if (missing & CONTEXT_READ)
        item->record = defaults->record;
    item->read |= missing;
    return (item->read & ALL_READ) == ALL_READ;
}

bool plain_question_read(struct str body, struct plain_question *out)
{
    struct json_cursor c = {body.p, body.p + body.n};
    *out = (struct plain_question){0};
    return body.n && take_item(&c, out) && json_at_end(&c) && (out->read & ALL_READ) == ALL_READ;
}

bool plain_list_read(struct str body, struct arena *arena, struct plain_list *out)
{
    struct json_cursor c = {body.p, body.p + body.n};
    struct plain_question defaults = {0};
    struct str name;
    *out = (struct plain_list){0};
    if (!body.n || !json_take_char(&c, '{'))
        return false;
    do {
        if (!json_take_text(&c, &name) || !json_take_char(&c, ':'))
            return false;
        bool list = str_eq(name, STR("evaluations")) && !(defaults.read & LIST_READ);
        if (list ? !take_list(&c, arena, out) : !take_value(&c, name, &defaults))
            return false;
        defaults.read |= list ? LIST_READ : 0;
    } while (json_take_char(&c, ','));
    if (!json_take_char(&c, '}') || !json_at_end(&c) || !out->count)
        return false;
    defaults.read &= ~(unsigned)LIST_READ;
    for (size_t i = 0; i < out->count; i++)
        if (!add_defaults(&out->items[i], &defaults))
            return false;
    return true;
}
