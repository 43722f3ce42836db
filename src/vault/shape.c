/* shape.c - what the view of an aggregate groups by and measures. */
#include <string.h>

#include "vault/aggregate.h"

static void add_field(struct shape *s, const struct policy_view_field *f)
{
    if (f->group && s->group_count < sizeof s->groups / sizeof *s->groups)
        s->groups[s->group_count++] = f;
    else if (!f->group && f->cut == VIEW_KEEP && field_is_number(f->field->type) &&
             s->measure_count < MEASURES_MAX)
        s->measures[s->measure_count++] = f;
}

/* Blocks of another view are not added to those of this one. */
static void set_form(struct shape *s)
{
    enum { SHOWN = 16 };
    const struct policy_activity *a = s->activity;
    _cleanup_buf struct buf text = {0}, hex = {0};
    buf_printf(&text, "%.*s\n%d\n%lld/%d/%lld\n", STR_ARG(a->purpose->id), a->aggregate_k,
               (long long)a->privacy.epsilon, a->privacy.records, (long long)a->privacy.most);
    buf_add(&text, s->category->form, sizeof s->category->form);
    for (size_t i = 0; i < a->view_field_count; i++)
        buf_printf(&text, "\n%.*s", STR_ARG(a->view_fields[i]));
    struct sha256 hash = sha256_of(buf_view(&text));
    hex_encode(hash.b, SHOWN, &hex);
    snprintf(s->form, sizeof s->form, "%s", hex.p);
}

void shape_init(struct shape *s, const struct policy_activity *activity,
                const struct policy_category *category)
{
    *s = (struct shape){
        .activity = activity,
        .category = category,
        .part = policy_view_of(activity, category),
    };
    size_t n = 0;
    for (size_t i = 0; s->part->whole && i < category->field_count && n < MEASURES_MAX; i++) {
        const struct policy_field *f = &category->fields[i];
        if (!field_is_number(f->type))
            continue;
        s->whole[n] = (struct policy_view_field){.category = category, .field = f, .name = f->name};
        add_field(s, &s->whole[n++]);
    }
    for (size_t i = 0; i < s->part->count; i++)
        add_field(s, &s->part->fields[i]);
    set_form(s);
}

bool shape_key_name(const struct shape *s, size_t k, struct buf *out)
{
    if (k < s->group_count) {
        buf_str(out, s->groups[k]->name);
        return true;
    }
    k -= s->group_count;
    for (size_t i = 0; i < s->measure_count; i++) {
        if (s->measures[i]->field->type != FIELD_CURRENCY_AMOUNT || k-- > 0)
            continue;
        buf_printf(out, "%.*s.currency", STR_ARG(s->measures[i]->name));
        return true;
    }
    return false;
}
