/* template.c - see template.h. Reads the template once from left to right; a section calls itself
 * for each item with the item in front of what is around it. */
#include "base/template.h"

#include <string.h>

#include "base/err.h"
#include "base/json.h"

/* An item and what is around it. */
struct scope {
    const json_t *value;
    const struct scope *outer;
};

void html_escape(struct str text, struct buf *out)
{
    static const char special[] = "&<>\"'";
    static const char *const names[] = {"&amp;", "&lt;", "&gt;", "&quot;", "&#39;"};
    for (size_t i = 0; i < text.n; i++) {
        const char *at = text.p[i] ? strchr(special, text.p[i]) : NULL;
        if (at)
            buf_cstr(out, names[at - special]);
        else
            buf_char(out, text.p[i]);
    }
}

/* ---- values ---- */

static const json_t *member(const json_t *value, struct str path)
{
    while (value && path.n) {
        struct str name = str_cut(&path, '.');
        value = json_object_getn(value, name.p, name.n);
    }
    return value;
}

static const json_t *look_up(const struct scope *s, struct str path)
{
    if (str_is(path, "."))
        return s->value;
    for (; s; s = s->outer) {
        const json_t *found = member(s->value, path);
        if (found)
            return found;
    }
    return NULL;
}

static bool is_empty(const json_t *v)
{
    return !v || json_is_null(v) || json_is_false(v) ||
           (json_is_string(v) && json_string_length(v) == 0) ||
           (json_is_array(v) && json_array_size(v) == 0);
}

static void put(const json_t *v, bool raw, struct buf *out)
{
    if (json_is_integer(v))
        buf_int(out, json_integer_value(v));
    else if (json_is_string(v) && raw)
        buf_str(out, json_text(v));
    else if (json_is_string(v))
        html_escape(json_text(v), out);
}

/* ---- text ---- */

/* Cuts *text behind the first `mark` and returns what is before it; *found is whether there is one.
 */
static struct str cut_at(struct str *text, const char *mark, bool *found)
{
    const char *at = text->n ? memmem(text->p, text->n, mark, strlen(mark)) : NULL;
    struct str before = {text->p, at ? (size_t)(at - text->p) : text->n};
    size_t used = before.n + (at ? strlen(mark) : 0);
    text->p += used;
    text->n -= used;
    *found = at != NULL;
    return before;
}

static struct str tag(struct str *rest)
{
    bool found, raw = rest->n && rest->p[0] == '{';
    struct str name = cut_at(rest, raw ? "}}}" : "}}", &found);
    if (!found || name.n == 0)
        bug("template: a tag does not end");
    return name;
}

/* What is between here and the end of the section `name`; sections may lie in each other. */
static struct str section(struct str *rest, struct str name)
{
    struct str body = {rest->p, 0};
    int depth = 1;
    bool found;
    for (;;) {
        cut_at(rest, "{{", &found);
        if (!found)
            bug("template: section %.*s does not end", STR_ARG(name));
        const char *end = rest->p - 2;
        struct str t = tag(rest);
        depth += t.p[0] == '#' || t.p[0] == '^';
        depth -= t.p[0] == '/';
        if (depth == 0) {
            body.n = (size_t)(end - body.p);
            return body;
        }
    }
}

static void render(struct str text, const struct scope *s, struct buf *out);

static void render_section(struct str body, bool inverted, const json_t *v, const struct scope *s,
                           struct buf *out)
{
    size_t i;
    json_t *item;
    if (inverted) {
        if (is_empty(v))
            render(body, s, out);
    } else if (json_is_array(v)) {
        json_array_foreach((json_t *)v, i, item) {
            struct scope inner = {item, s};
            render(body, &inner, out);
        }
    } else if (!is_empty(v)) {
        struct scope inner = {v, s};
        render(body, &inner, out);
    }
}

static void render(struct str text, const struct scope *s, struct buf *out)
{
    bool found;
    for (;;) {
        buf_str(out, cut_at(&text, "{{", &found));
        if (!found)
            return;
        struct str name = tag(&text);
        char kind = name.p[0];
        bool marked = strchr("#^{", kind) != NULL;
        struct str path = marked ? (struct str){name.p + 1, name.n - 1} : name;
        const json_t *v = look_up(s, path);
        if (kind == '#' || kind == '^')
            render_section(section(&text, path), kind == '^', v, s, out);
        else
            put(v, kind == '{', out);
    }
}

void template_render(struct str text, const json_t *values, struct buf *out)
{
    struct scope top = {values, NULL};
    render(text, &top, out);
}
