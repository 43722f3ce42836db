/* plain.c - reads the plainest form of an evaluation, which is nearly every one, without building a
 * JSON tree: subject, action and resource with their identifiers in printable ASCII without
 * escapes, and nothing else. Whatever differs in the least is left to the general reader, which
 * alone says what is an error: so this one may give up, but never accepts what that one would
 * refuse. */
#include <string.h>

#include "api/authzen.h"

struct member {
    const char *object, *name;
    size_t offset; /* of the struct str in struct plain_question */
    size_t max;
};

#define MEMBER(object, name, field, max)                                                           \
    {                                                                                              \
        object, name, offsetof(struct plain_question, field), max                                  \
    }
static const struct member members[] = {
    MEMBER("subject", "type", subject_type, 256),
    MEMBER("subject", "id", recipient, CONSUMER_ID_MAX),
    MEMBER("action", "name", purpose, 256),
    MEMBER("resource", "type", category, 256),
    MEMBER("resource", "id", consumer, CONSUMER_ID_MAX),
};
enum { MEMBERS = sizeof members / sizeof *members };

struct cursor {
    const char *p, *end;
};

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

/* One member of an entity: known, of a right length, and not there yet. */
static bool take_member(struct cursor *c, struct str object, struct plain_question *out)
{
    struct str name, value;
    if (!take_text(c, &name) || !take(c, ':') || !take_text(c, &value))
        return false;
    for (size_t i = 0; i < MEMBERS; i++) {
        if (!str_is(object, members[i].object) || !str_is(name, members[i].name))
            continue;
        struct str *field = (struct str *)(void *)((char *)out + members[i].offset);
        if (field->p || value.n == 0 || value.n > members[i].max)
            return false;
        *field = value;
        return true;
    }
    return false;
}

/* Has the entity been read? Twice is an error, also where the two have no member in common. */
static bool is_there(const struct plain_question *out, struct str object)
{
    for (size_t i = 0; i < MEMBERS; i++) {
        const struct str *field =
            (const struct str *)(const void *)((const char *)out + members[i].offset);
        if (field->p && str_is(object, members[i].object))
            return true;
    }
    return false;
}

static bool take_entity(struct cursor *c, struct plain_question *out)
{
    struct str object;
    if (!take_text(c, &object) || is_there(out, object) || !take(c, ':') || !take(c, '{'))
        return false;
    do {
        if (!take_member(c, object, out))
            return false;
    } while (take(c, ','));
    return take(c, '}');
}

bool plain_question_read(struct str body, struct plain_question *out)
{
    struct cursor c = {body.p, body.p + body.n};
    *out = (struct plain_question){0};
    if (body.n == 0 || !take(&c, '{'))
        return false;
    do {
        if (!take_entity(&c, out))
            return false;
    } while (take(&c, ','));
    if (!take(&c, '}'))
        return false;
    skip_space(&c);
    if (c.p != c.end)
        return false;
    return out->subject_type.p && out->recipient.p && out->purpose.p && out->category.p &&
           out->consumer.p;
}
