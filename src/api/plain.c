/* plain.c - reads the plainest form of evaluations, which is nearly every one, without building a
 * JSON tree: subject, action and resource with their identifiers in printable ASCII without
 * escapes, a context with nothing but "record", and a list of the same. Whatever differs in the
 * least is left to the general reader, which alone says what is an error: so this one may give up,
 * but never accepts what that one would refuse. */
#include <string.h>

#include "api/authzen.h"

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

struct cursor {
    const char *p, *end;
};

static struct str *field_of(struct plain_question *q, const struct member *m)
{
    return (struct str *)(void *)((char *)q + m->offset);
}

static void skip_space(struct cursor *c)
{
    while (c->p < c->end && (*c->p == ' ' || *c->p == '\n' || *c->p == '\r' || *c->p == '\t'))
        c->p++;
}

/* Skips white space and takes one character; false when it is another. */
static bool take(struct cursor *c, char wanted)
{
    skip_space(c);
    if (c->p == c->end || *c->p != wanted)
        return false;
    c->p++;
    return true;
}

static bool take_text(struct cursor *c, struct str *out)
{
    if (!take(c, '"'))
        return false;
    const char *start = c->p;
    while (c->p < c->end && *c->p >= 0x20 && *c->p < 0x7F && *c->p != '"' && *c->p != '\\')
        c->p++;
    if (c->p == c->end || *c->p != '"')
        return false;
    *out = (struct str){start, (size_t)(c->p - start)};
    c->p++;
    return true;
}

static bool take_word(struct cursor *c, struct str word)
{
    skip_space(c);
    if (!str_starts((struct str){c->p, (size_t)(c->end - c->p)}, word))
        return false;
    c->p += word.n;
    return true;
}

/* One member of an entity: known, of a right length, and not there yet. */
static bool take_member(struct cursor *c, const struct member *members, struct plain_question *out)
{
    struct str name, value;
    if (!take_text(c, &name) || !take(c, ':') || !take_text(c, &value))
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

static bool take_entity(struct cursor *c, const struct member *members, struct plain_question *out)
{
    if (!take(c, '{'))
        return false;
    do {
        if (!take_member(c, members, out))
            return false;
    } while (take(c, ','));
    for (size_t i = 0; i < MEMBERS && members[i].max; i++)
        if (!field_of(out, &members[i])->p)
            return false;
    return take(c, '}');
}

static bool take_context(struct cursor *c, struct plain_question *out)
{
    struct str name;
    if (!take(c, '{') || !take_text(c, &name) || !str_eq(name, STR("record")) || !take(c, ':'))
        return false;
    out->record = take_word(c, STR("true"));
    return (out->record || take_word(c, STR("false"))) && take(c, '}');
}

/* What follows the name of a member of a question; each may come once. */
static bool take_value(struct cursor *c, struct str name, struct plain_question *out)
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

static bool take_item(struct cursor *c, struct plain_question *out)
{
    struct str name;
    if (!take(c, '{'))
        return false;
    if (take(c, '}'))
        return true;
    do {
        if (!take_text(c, &name) || !take(c, ':') || !take_value(c, name, out))
            return false;
    } while (take(c, ','));
    return take(c, '}');
}

static bool take_list(struct cursor *c, struct arena *arena, struct plain_list *out)
{
    size_t room = 0;
    if (!take(c, '['))
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
    } while (take(c, ','));
    return take(c, ']');
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

static bool at_end(struct cursor *c)
{
    skip_space(c);
    return c->p == c->end;
}

bool plain_question_read(struct str body, struct plain_question *out)
{
    struct cursor c = {body.p, body.p + body.n};
    *out = (struct plain_question){0};
    return body.n && take_item(&c, out) && at_end(&c) && (out->read & ALL_READ) == ALL_READ;
}

bool plain_list_read(struct str body, struct arena *arena, struct plain_list *out)
{
    struct cursor c = {body.p, body.p + body.n};
    struct plain_question defaults = {0};
    struct str name;
    *out = (struct plain_list){0};
    if (!body.n || !take(&c, '{'))
        return false;
    do {
        if (!take_text(&c, &name) || !take(&c, ':'))
            return false;
        bool list = str_eq(name, STR("evaluations")) && !(defaults.read & LIST_READ);
        if (list ? !take_list(&c, arena, out) : !take_value(&c, name, &defaults))
            return false;
        defaults.read |= list ? LIST_READ : 0;
    } while (take(&c, ','));
    if (!take(&c, '}') || !at_end(&c) || !out->count)
        return false;
    defaults.read &= ~(unsigned)LIST_READ;
    for (size_t i = 0; i < out->count; i++)
        if (!add_defaults(&out->items[i], &defaults))
            return false;
    return true;
}
