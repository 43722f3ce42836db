/* diff_law.c - what changes of laws: ages, deadlines, reasons to refuse. */
#include "policy/diff.h"

static void set_years(struct details *out, struct str territory, int old, int years)
{
    _cleanup_buf struct buf a = {0}, b = {0};
    buf_int(&a, old);
    buf_int(&b, years);
    detail_set(out, "guardian_below", territory, buf_view(&a), buf_view(&b), "years");
}

static void diff_guardians(struct details *out, const struct policy_law *a,
                           const struct policy_law *b)
{
    diff_int(out, "guardian_below", a->guardian_below, b->guardian_below, "years");
    for (size_t i = 0; i < b->guardian_by_territory_count; i++) {
        struct str territory = b->guardian_by_territory[i].territory;
        int old = policy_guardian_below(a, territory), years = b->guardian_by_territory[i].years;
        if (old != years)
            set_years(out, territory, old, years);
    }
    for (size_t i = 0; i < a->guardian_by_territory_count; i++) {
        struct str territory = a->guardian_by_territory[i].territory;
        bool kept = false;
        for (size_t j = 0; j < b->guardian_by_territory_count; j++)
            kept |= str_eq(b->guardian_by_territory[j].territory, territory);
        int old = a->guardian_by_territory[i].years, years = policy_guardian_below(b, territory);
        if (!kept && old != years)
            set_years(out, territory, old, years);
    }
}

static const struct policy_deadline *deadline_of(const struct policy_law *law, struct str right)
{
    for (size_t i = 0; i < law->deadline_count; i++) {
        if (str_eq(law->deadlines[i].right, right))
            return &law->deadlines[i];
    }
    return NULL;
}

static void add_deadline(struct buf *out, const struct policy_deadline *d)
{
    if (!d)
        return;
    buf_printf(out, "%d %s", d->months ? d->months : d->days, d->months ? "months" : "days");
    if (d->extend_months || d->extend_days)
        buf_printf(out, " + %d %s", d->extend_months ? d->extend_months : d->extend_days,
                   d->extend_months ? "months" : "days");
}

static void diff_deadline(struct details *out, const struct policy_law *a,
                          const struct policy_law *b, struct str right)
{
    _cleanup_buf struct buf old = {0};
    _cleanup_buf struct buf new = {0};
    add_deadline(&old, deadline_of(a, right));
    add_deadline(&new, deadline_of(b, right));
    if (!str_eq(buf_view(&old), buf_view(&new)))
        detail_set(out, "deadline", right, buf_view(&old), buf_view(&new), "");
}

static const struct policy_refusal *refusal_of(const struct policy_law *law, struct str reason)
{
    for (size_t i = 0; i < law->refusal_count; i++)
        if (str_eq(law->refusals[i].reason, reason))
            return &law->refusals[i];
    return NULL;
}

static bool same_rights(const struct policy_refusal *a, const struct policy_refusal *b)
{
    bool same = a->right_count == b->right_count;
    for (size_t i = 0; same && i < a->right_count; i++)
        same = str_eq(a->rights[i], b->rights[i]);
    return same;
}

static void diff_refusals(struct details *out, const struct policy_law *a,
                          const struct policy_law *b)
{
    for (size_t i = 0; i < b->refusal_count; i++) {
        const struct policy_refusal *new = &b->refusals[i], *old = refusal_of(a, new->reason);
        if (!old)
            detail_add(out, POLICY_D_ADDED, "refusal", new->reason);
        else if (!str_eq(old->source, new->source))
            detail_set(out, "refusal_source", new->reason, old->source, new->source, "");
        if (old && !same_rights(old, new))
            detail_add(out, POLICY_D_CHANGED, "refusal_rights", new->reason);
    }
    for (size_t i = 0; i < a->refusal_count; i++)
        if (!refusal_of(b, a->refusals[i].reason))
            detail_add(out, POLICY_D_REMOVED, "refusal", a->refusals[i].reason);
}

static void diff_law(struct details *out, const struct policy_law *a, const struct policy_law *b)
{
    diff_str(out, "name", a->name, b->name);
    diff_str(out, "citation", a->citation, b->citation);
    if (a->effective != b->effective)
        detail_add(out, POLICY_D_CHANGED, "effective", (struct str){0});
    diff_names(out, "territory", a->territories, a->territory_count, b->territories,
               b->territory_count);
    diff_str(out, "model", a->opt_out_model ? STR("opt_out") : STR("opt_in"),
             b->opt_out_model ? STR("opt_out") : STR("opt_in"));
    diff_guardians(out, a, b);
    diff_int(out, "opt_in_below", a->opt_in_below, b->opt_in_below, "years");
    diff_int(out, "max_days", a->consent_max_days, b->consent_max_days, "days");
    diff_int(out, "reask_after_days", a->reask_after_days, b->reask_after_days, "days");
    for (size_t i = 0; i < b->deadline_count; i++)
        diff_deadline(out, a, b, b->deadlines[i].right);
    for (size_t i = 0; i < a->deadline_count; i++) {
        if (!deadline_of(b, a->deadlines[i].right))
            diff_deadline(out, a, b, a->deadlines[i].right);
    }
    diff_refusals(out, a, b);
    diff_int(out, "utc_offsets_west", a->west, b->west, "hours");
    diff_int(out, "utc_offsets_east", a->east, b->east, "hours");
    diff_str(out, "basis_as", a->basis_as, b->basis_as);
    diff_str(out, "opt_out_signal", a->opt_out_signal, b->opt_out_signal);
    diff_str(out, "suppression_list", a->suppression_list, b->suppression_list);
}

void diff_laws(const struct policy *before, const struct policy *after, struct policy_diff *d)
{
    struct details detail = {.arena = &d->arena};
    for (size_t i = 0; i < after->law_count; i++) {
        const struct policy_law *b = &after->laws[i];
        const struct policy_law *a = policy_law(before, b->id);
        details_clear(&detail);
        if (a)
            diff_law(&detail, a, b);
        else
            diff_add(d, POLICY_ADDED, "law", b->id);
        diff_changed(d, "law", b->id, &detail);
    }
    for (size_t i = 0; before && i < before->law_count; i++) {
        if (!policy_law(after, before->laws[i].id))
            diff_add(d, POLICY_REMOVED, "law", before->laws[i].id);
    }
}
