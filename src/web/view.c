/* view.c - values of a view: what the templates of web/ are filled with. */
#include <cmark.h>
#include <stdlib.h>
#include <string.h>

#include "web/private.h"

void set_text(json_t *view, const char *name, struct str text)
{
    json_object_set_new(view, name, json_stringn(text.p ? text.p : "", text.n));
}

void set_int(json_t *view, const char *name, int64_t v)
{
    json_object_set_new(view, name, json_integer(v));
}

void set_true(json_t *view, const char *name, bool v)
{
    json_object_set_new(view, name, json_boolean(v));
}

struct str word(const struct visit *v, const char *name)
{
    const json_t *text = json_object_get(v->words, name);
    return json_is_string(text) ? json_text(text) : arena_str(v->arena, str_of(name));
}

struct str word_of(const struct visit *v, const char *prefix, struct str name)
{
    return word(v, arena_printf(v->arena, "%s%.*s", prefix, STR_ARG(name)).p);
}

struct str word_or(const struct visit *v, const char *prefix, struct str name, struct str otherwise)
{
    struct str key = arena_printf(v->arena, "%s%.*s", prefix, STR_ARG(name));
    const json_t *text = json_object_get(v->words, key.p);
    return json_is_string(text) ? json_text(text) : otherwise;
}

struct str name_text(const struct visit *v, struct str name)
{
    struct str out = arena_str(v->arena, name);
    for (size_t i = 0; i < out.n; i++)
        if (out.p[i] == '_')
            ((char *)out.p)[i] = ' ';
    return out;
}

/* ---- times ---- */

struct str day_text(const struct visit *v, int32_t day)
{
    _cleanup_buf struct buf date = {0};
    date_format(day, &date);
    int64_t year = 0, month = 0, mday = 0;
    struct str rest = buf_view(&date);
    str_to_int(str_cut(&rest, '-'), 0, 9999, &year);
    str_to_int(str_cut(&rest, '-'), 1, 12, &month);
    str_to_int(rest, 1, 31, &mday);
    const json_t *months = json_object_get(v->words, "months");
    const json_t *name_of = json_array_get(months, month ? (size_t)month - 1 : 0);
    return arena_printf(v->arena, "%lld %s %lld", (long long)mday,
                        json_is_string(name_of) ? json_string_value(name_of) : "", (long long)year);
}

struct str moment_text(const struct visit *v, int64_t at)
{
    enum { DAY = 86400000, MINUTE = 60000 };
    int64_t day = at >= 0 ? at / DAY : -((-at + DAY - 1) / DAY);
    int minute = (int)((at - day * DAY) / MINUTE);
    return arena_printf(v->arena, "%.*s, %02d:%02d", STR_ARG(day_text(v, (int32_t)day)),
                        minute / 60, minute % 60);
}

void set_moment(const struct visit *v, json_t *view, const char *name, int64_t at)
{
    _cleanup_buf struct buf machine = {0};
    if (at == TIME_NONE)
        return;
    time_format(at, &machine);
    set_text(view, name, buf_view(&machine));
    set_text(view, arena_printf(v->arena, "%s_text", name).p, moment_text(v, at));
}

/* ---- labels ---- */

struct str purpose_label(const struct visit *v, struct str id)
{
    const struct policy_purpose *p = v->policy ? policy_purpose(v->policy, id) : NULL;
    return p ? policy_text_in(v->policy, &p->label, v->language) : id;
}

struct str recipient_label(const struct visit *v, struct str id)
{
    const struct policy_recipient *r = v->policy ? policy_recipient(v->policy, id) : NULL;
    return r ? policy_text_in(v->policy, &r->label, v->language) : id;
}

struct str category_label(const struct visit *v, struct str id)
{
    const struct policy_category *c = v->policy ? policy_category(v->policy, id) : NULL;
    return c ? policy_text_in(v->policy, &c->label, v->language) : id;
}

void set_activity_labels(const struct visit *v, json_t *view, const struct policy_activity *a)
{
    json_t *data = json_array();
    for (size_t i = 0; i < a->category_count; i++) {
        struct str label = policy_text_in(v->policy, &a->categories[i]->label, v->language);
        json_array_append_new(data, json_stringn(label.p, label.n));
    }
    set_text(view, "activity", a->id);
    set_text(view, "purpose", policy_text_in(v->policy, &a->purpose->label, v->language));
    set_text(view, "purpose_text",
             policy_text_in(v->policy, &a->purpose->description, v->language));
    set_text(view, "recipient", policy_text_in(v->policy, &a->recipient->label, v->language));
    set_text(view, "kind", word_of(v, "kind_", str_of(recipient_kind_name(a->recipient->kind))));
    set_true(view, "inside", a->recipient->kind == RECIPIENT_DEPARTMENT);
    set_text(view, "form", word_of(v, "form_", str_of(view_form_name(a->view))));
    set_int(view, "days", a->retention_days);
    json_object_set_new(view, "data", data);
}

/* ---- markdown ---- */

/* What comes after "---", lines, "---". */
static struct str without_front(struct str text)
{
    struct str rest = text, mark = STR("---");
    if (!str_eq(str_trim(str_cut(&rest, '\n')), mark))
        return text;
    while (rest.n)
        if (str_eq(str_trim(str_cut(&rest, '\n')), mark))
            return rest;
    return text;
}

static void render(json_t *view, const char *name, struct str markdown)
{
    /* Without CMARK_OPT_UNSAFE raw HTML and links that run scripts are left out. */
    char *html =
        cmark_markdown_to_html(markdown.n ? markdown.p : "", markdown.n, CMARK_OPT_DEFAULT);
    set_text(view, name, str_of(html));
    free(html);
}

void set_markdown(json_t *view, const char *name, struct str markdown)
{
    struct str body = str_trim(without_front(markdown));
    /* The page has the title as its own heading. */
    if (str_starts(body, STR("# ")))
        str_cut(&body, '\n');
    render(view, name, body);
}

void set_section(json_t *view, const char *name, struct str markdown, int n)
{
    struct str rest = without_front(markdown), section = {0};
    int at = -1;
    while (rest.n) {
        const char *start = rest.p;
        struct str line = str_cut(&rest, '\n');
        if (str_starts(line, STR("## "))) {
            if (++at > n)
                break;
            section = (struct str){rest.p, 0};
        } else if (at == n) {
            section.n = (size_t)(start - section.p) + line.n;
        }
    }
    if (section.n)
        render(view, name, section);
}
