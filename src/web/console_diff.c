/* console_diff.c - what a policy would change, in the language of the page: the parts of each
 * difference (policy.h) put together with its words. A word that is missing is told as the policy
 * writes it. */
#include <string.h>

#include "web/console.h"

/* "1 months + 2 months" word by word; of one there is a word of its own. */
static struct str span_text(const struct visit *v, struct str span)
{
    _cleanup_buf struct buf out = {0};
    bool one = false;
    while (span.n) {
        struct str token = str_cut(&span, ' ');
        if (out.n)
            buf_char(&out, ' ');
        buf_str(&out, word_or(v, one ? "unit_one_" : "unit_", token, token));
        one = str_is(token, "1");
    }
    return arena_str(v->arena, buf_view(&out));
}

static struct str value_text(const struct visit *v, struct str field, struct str value)
{
    static const struct {
        const char *field, *prefix;
    } worded[] = {
        {"basis", "basis_"},
        {"view", "form_"},
        {"kind", "kind_"},
        {"record", "value_"},
        {"automated_decision", "value_"},
        {"status", "value_"},
        {"model", "value_"},
        {"type", "value_"},
        {"required", "value_"},
        {"sensitive", "value_"},
        {"identifies", "value_"},
        {"any_size", "value_"},
        {"label", "value_"},
        {"view_fields", "value_"},
        {"contract_until", "value_"},
        {"safeguards_until", "value_"},
        {"training_until", "value_"},
    };
    if (!value.n)
        return word(v, "value_none");
    if (str_is(field, "deadline"))
        return span_text(v, value);
    for (size_t i = 0; i < sizeof worded / sizeof *worded; i++)
        if (str_is(field, worded[i].field))
            return word_or(v, worded[i].prefix, value, value);
    return value;
}

/* What in the thing the difference is of: laws and categories by their names. */
static struct str named_text(const struct visit *v, struct str field, struct str name)
{
    const struct policy_law *law = NULL;
    if (str_is(field, "basis") && v->policy)
        law = policy_law(v->policy, name);
    if (str_is(field, "category"))
        return category_label(v, name);
    if (str_is(field, "deadline"))
        return word_or(v, "right_", name, name);
    return law ? law->name : name;
}

static json_t *detail_view(const struct visit *v, const json_t *detail)
{
    struct str kind = member(detail, "kind"), field = member(detail, "field");
    struct str unit = member(detail, "unit");
    bool set = str_is(kind, "set"), value = set || str_is(kind, "is");
    json_t *view = json_object();
    set_text(view, "part", member(detail, "part"));
    set_text(view, "field", word_of(v, "diff_", field));
    set_text(view, "name", named_text(v, field, member(detail, "name")));
    if (set)
        set_text(view, "before", value_text(v, field, member(detail, "before")));
    set_text(view, "after",
             value ? value_text(v, field, member(detail, "after")) : word_of(v, "diff_is_", kind));
    if (unit.n)
        set_text(view, "unit", word_or(v, "unit_", unit, unit));
    return view;
}

static json_t *change_view(const struct visit *v, const json_t *change)
{
    const json_t *detail;
    size_t i;
    json_t *view = json_object(), *details = json_array();
    json_array_foreach(json_object_get(change, "details"), i, detail)
        json_array_append_new(details, detail_view(v, detail));
    set_text(view, "kind", word_of(v, "change_", member(change, "kind")));
    set_text(view, "what", word_of(v, "what_", member(change, "what")));
    set_text(view, "id", member(change, "id"));
    set_true(view, "has_details", json_array_size(details) != 0);
    json_object_set_new(view, "details", details);
    set_true(view, "material", json_is_true(json_object_get(change, "material")));
    set_int(view, "consumers", member_int(change, "consumers"));
    set_int(view, "consents", member_int(change, "consents"));
    set_int(view, "lost", member_int(change, "permits_lost"));
    set_int(view, "won", member_int(change, "permits_won"));
    return view;
}

void set_changes(struct visit *v, const json_t *answer)
{
    const json_t *change;
    size_t i;
    json_t *list = json_array();
    json_array_foreach(json_object_get(answer, "changes"), i, change)
        json_array_append_new(list, change_view(v, change));
    json_object_set_new(v->view, "changes", list);
}
