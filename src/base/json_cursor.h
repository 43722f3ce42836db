/*
 * json_cursor.h - the pieces of JSON in its plainest form, for readers that build no tree: they may
 * give up, but never accept what json_read() would refuse. Each takes what it names, white space
 * before it skipped, or is false.
 */
#ifndef LOV_BASE_JSON_CURSOR_H
#define LOV_BASE_JSON_CURSOR_H

#include <stdbool.h>

#include "base/str.h"

struct json_cursor {
    const char *p, *end;
};

static inline void json_skip_space(struct json_cursor *c)
{
    while (c->p < c->end && (*c->p == ' ' || *c->p == '\n' || *c->p == '\r' || *c->p == '\t'))
        c->p++;
}

static inline bool json_at_end(struct json_cursor *c)
{
    json_skip_space(c);
    return c->p == c->end;
}

static inline bool json_take_char(struct json_cursor *c, char wanted)
{
    if (json_at_end(c) || *c->p != wanted)
        return false;
    c->p++;
    return true;
}

/* A string of printable ASCII without escapes, borrowed. */
static inline bool json_take_text(struct json_cursor *c, struct str *out)
{
    if (!json_take_char(c, '"'))
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

/* "true" or "false": what follows is for the caller to see. */
static inline bool json_take_word(struct json_cursor *c, struct str word)
{
    json_skip_space(c);
    if (!str_starts((struct str){c->p, (size_t)(c->end - c->p)}, word))
        return false;
    c->p += word.n;
    return true;
}

#endif
