/* diff_category.c - what changes of categories: fields, rules, how long records are kept. */
#include "policy/diff.h"

static void diff_field(struct details *out, const struct policy *before,
                       const struct policy_field *a, const struct policy *after,
                       const struct policy_field *b)
{
    out->part = b->name;
    if (a->label.in[0].n && b->label.in[0].n)
        diff_text(out, "label", before, &a->label, after, &b->label);
    else
        diff_bool(out, "label", a->label.in[0].n > 0, b->label.in[0].n > 0);
    diff_str(out, "type", str_of(field_type_name(a->type)), str_of(field_type_name(b->type)));
    diff_bool(out, "required", a->required, b->required);
    diff_bool(out, "sensitive", a->sensitive, b->sensitive);
    diff_bool(out, "identifies", a->identifies, b->identifies);
    diff_bool(out, "any_size", a->any_size, b->any_size);
    if (a->has_min != b->has_min || a->has_max != b->has_max || a->min != b->min ||
        a->max != b->max || a->refuse != b->refuse)
        detail_add(out, POLICY_D_CHANGED, "range", (struct str){0});
    diff_names(out, "value", a->values, a->value_count, b->values, b->value_count);
    out->part = (struct str){0};
}

static bool same_condition(const struct policy_condition *a, const struct policy_condition *b)
{
    return str_eq(a->left->name, b->left->name) && a->compare == b->compare &&
           str_eq(a->text, b->text);
}

static const struct policy_rule *rule_named(const struct policy_category *c, struct str id)
{
    for (size_t i = 0; i < c->rule_count; i++)
        if (str_eq(c->rules[i].id, id))
            return &c->rules[i];
    return NULL;
}

static void diff_rules(struct details *out, const struct policy_category *a,
                       const struct policy_category *b)
{
    for (size_t i = 0; i < b->rule_count; i++) {
        const struct policy_rule *r = &b->rules[i], *old = rule_named(a, r->id);
        bool same = old && old->refuse == r->refuse && old->conditional == r->conditional &&
                    same_condition(&old->holds, &r->holds) &&
                    (!r->conditional || same_condition(&old->when, &r->when));
        if (!same)
            detail_add(out, old ? POLICY_D_CHANGED : POLICY_D_ADDED, "rule", r->id);
    }
    for (size_t i = 0; i < a->rule_count; i++)
        if (!rule_named(b, a->rules[i].id))
            detail_add(out, POLICY_D_REMOVED, "rule", a->rules[i].id);
}

static void diff_category(struct details *out, const struct policy *before,
                          const struct policy_category *a, const struct policy *after,
                          const struct policy_category *b)
{
    diff_text(out, "label", before, &a->label, after, &b->label);
    diff_bool(out, "sensitive", a->sensitive, b->sensitive);
    /* What is older is deleted as soon as the policy is in force. */
    diff_int(out, "kept", policy_retention_days(before, a), policy_retention_days(after, b),
             "days");
    diff_str(out, "dpv", a->dpv, b->dpv);
    diff_str(out, "fdx", a->fdx, b->fdx);
    for (size_t i = 0; i < b->field_count; i++) {
        const struct policy_field *old = policy_field(a, b->fields[i].name);
        if (old)
            diff_field(out, before, old, after, &b->fields[i]);
        else
            detail_add(out, POLICY_D_ADDED, "field", b->fields[i].name);
    }
    for (size_t i = 0; i < a->field_count; i++) {
        if (!policy_field(b, a->fields[i].name))
            detail_add(out, POLICY_D_REMOVED, "field", a->fields[i].name);
    }
    diff_int(out, "fresh", a->fresh_days, b->fresh_days, "days");
    diff_rules(out, a, b);
}

void diff_all_categories(const struct policy *before, const struct policy *after,
                         struct policy_diff *d)
{
    struct details detail = {.arena = &d->arena};
    for (size_t i = 0; i < after->category_count; i++) {
        const struct policy_category *b = &after->categories[i];
        const struct policy_category *a = before ? policy_category(before, b->id) : NULL;
        details_clear(&detail);
        if (a)
            diff_category(&detail, before, a, after, b);
        else
            diff_add(d, POLICY_ADDED, "category", b->id);
        diff_changed(d, "category", b->id, &detail);
    }
    for (size_t i = 0; before && i < before->category_count; i++) {
        if (!policy_category(after, before->categories[i].id))
            diff_add(d, POLICY_REMOVED, "category", before->categories[i].id);
    }
}
