/* diff.c - what a new policy changes, in words a person can weigh before applying it. Things are
 * matched by name, activities by recipient and purpose, since that pair is what a consent is for.
 */
#include <stdlib.h>

#include "policy/draft.h"

enum { FIRST_CHANGES = 32 };

static struct policy_change *change_add(struct policy_diff *d, enum policy_change_kind kind,
                                        const char *what, struct str id)
{
    if (d->count == d->cap) {
        d->cap = d->cap ? d->cap * 2 : FIRST_CHANGES;
        d->items = mem_grow(d->items, d->cap, sizeof *d->items);
    }
    struct policy_change *c = &d->items[d->count++];
    *c = (struct policy_change){.kind = kind, .what = what, .id = arena_str(&d->arena, id)};
    return c;
}

static void changed(struct policy_diff *d, const char *what, struct str id,
                    const struct buf *detail)
{
    if (detail->n)
        change_add(d, POLICY_CHANGED, what, id)->detail = arena_str(&d->arena, buf_view(detail));
}

/* ---- details, separated by "; " ---- */

static struct buf *next(struct buf *out)
{
    if (out->n)
        buf_cstr(out, "; ");
    return out;
}

static void diff_str(struct buf *out, const char *what, struct str a, struct str b)
{
    if (!str_eq(a, b))
        buf_printf(next(out), "%s %.*s -> %.*s", what, STR_ARG(a.n ? a : STR("none")),
                   STR_ARG(b.n ? b : STR("none")));
}

static void diff_int(struct buf *out, const char *what, int64_t a, int64_t b, const char *unit)
{
    if (a != b)
        buf_printf(next(out), "%s %lld -> %lld%s", what, (long long)a, (long long)b, unit);
}

static void diff_bool(struct buf *out, const char *what, bool a, bool b)
{
    if (a != b)
        buf_printf(next(out), "%s %s -> %s", what, a ? "yes" : "no", b ? "yes" : "no");
}

static void add_end(struct buf *out, int64_t end)
{
    if (end == TIME_NONE)
        buf_cstr(out, "none");
    else if (end == INT64_MAX)
        buf_cstr(out, "no end");
    else
        date_format((int32_t)(end / DAY_MS) - 1, out);
}

static void diff_end(struct buf *out, const char *what, int64_t a, int64_t b)
{
    if (a == b)
        return;
    buf_printf(next(out), "%s until ", what);
    add_end(out, a);
    buf_cstr(out, " -> ");
    add_end(out, b);
}

static void add_day(struct buf *out, int64_t at)
{
    if (at == TIME_NONE)
        buf_cstr(out, "none");
    else
        date_format((int32_t)(at / DAY_MS), out);
}

static void diff_day(struct buf *out, const char *what, int64_t a, int64_t b)
{
    if (a == b)
        return;
    buf_printf(next(out), "%s ", what);
    add_day(out, a);
    buf_cstr(out, " -> ");
    add_day(out, b);
}

static struct str text_of(const struct policy *p, const struct policy_text *t, struct str language)
{
    for (size_t i = 0; i < p->language_count; i++) {
        if (str_eq(p->languages[i], language))
            return t->in[i];
    }
    return (struct str){0};
}

/* Languages that either policy has; a language that comes or goes is told of the controller. */
static void diff_text(struct buf *out, const char *what, const struct policy *before,
                      const struct policy_text *a, const struct policy *after,
                      const struct policy_text *b)
{
    for (size_t i = 0; i < after->language_count; i++) {
        struct str language = after->languages[i];
        struct str old = text_of(before, a, language);
        if (old.n && !str_eq(old, b->in[i]))
            buf_printf(next(out), "%s (%.*s) \"%.*s\" -> \"%.*s\"", what, STR_ARG(language),
                       STR_ARG(old), STR_ARG(b->in[i]));
    }
}

static bool has_name(const struct str *names, size_t count, struct str name)
{
    for (size_t i = 0; i < count; i++) {
        if (str_eq(names[i], name))
            return true;
    }
    return false;
}

static void diff_names(struct buf *out, const char *what, const struct str *a, size_t a_count,
                       const struct str *b, size_t b_count)
{
    for (size_t i = 0; i < b_count; i++) {
        if (!has_name(a, a_count, b[i]))
            buf_printf(next(out), "%s %.*s added", what, STR_ARG(b[i]));
    }
    for (size_t i = 0; i < a_count; i++) {
        if (!has_name(b, b_count, a[i]))
            buf_printf(next(out), "%s %.*s removed", what, STR_ARG(a[i]));
    }
}

/* ---- activities ---- */

static const struct policy_activity *same_activity(const struct policy *p,
                                                   const struct policy_activity *a)
{
    const struct policy_recipient *recipient = p ? policy_recipient(p, a->recipient->id) : NULL;
    const struct policy_purpose *purpose = p ? policy_purpose(p, a->purpose->id) : NULL;
    return recipient && purpose ? policy_activity(p, recipient, purpose) : NULL;
}

static void diff_basis(struct buf *out, const struct policy *before,
                       const struct policy_activity *a, const struct policy *after,
                       const struct policy_activity *b)
{
    for (size_t i = 0; i < after->law_count; i++) {
        const struct policy_law *old = policy_law(before, after->laws[i].id);
        enum policy_basis was = old ? a->basis[old->index] : BASIS_NONE;
        if (was != b->basis[i])
            buf_printf(next(out), "basis under %.*s %s -> %s", STR_ARG(after->laws[i].id),
                       policy_basis_name(was), policy_basis_name(b->basis[i]));
    }
}

static bool covers_name(const struct policy_activity *a, struct str id)
{
    for (size_t i = 0; i < a->category_count; i++) {
        if (str_eq(a->categories[i]->id, id))
            return true;
    }
    return false;
}

static void diff_categories(struct buf *out, const struct policy_activity *a,
                            const struct policy_activity *b)
{
    for (size_t i = 0; i < b->category_count; i++) {
        if (!covers_name(a, b->categories[i]->id))
            buf_printf(next(out), "category %.*s added", STR_ARG(b->categories[i]->id));
    }
    for (size_t i = 0; i < a->category_count; i++) {
        if (!covers_name(b, a->categories[i]->id))
            buf_printf(next(out), "category %.*s removed", STR_ARG(a->categories[i]->id));
    }
}

/* An empty list of fields means all of them, so its coming and going is told in those words. */
static void diff_fields(struct buf *out, const struct policy_activity *a,
                        const struct policy_activity *b)
{
    if (!a->view_field_count && !b->view_field_count)
        return;
    if (!b->view_field_count)
        buf_cstr(next(out), "view keeps all fields");
    else if (!a->view_field_count)
        buf_printf(next(out), "view keeps %zu fields only", b->view_field_count);
    else
        diff_names(out, "field", a->view_fields, a->view_field_count, b->view_fields,
                   b->view_field_count);
}

static void diff_privacy(struct buf *out, const struct policy_privacy *a,
                         const struct policy_privacy *b)
{
    diff_int(out, "privacy.epsilon", a->epsilon, b->epsilon, " thousandths");
    diff_int(out, "privacy.budget", a->budget, b->budget, " thousandths");
    diff_int(out, "privacy.days", a->days, b->days, " days");
    diff_int(out, "privacy.records", a->records, b->records, "");
    diff_int(out, "privacy.most", a->most, b->most, "");
}

static void diff_activity(struct buf *out, const struct policy *before,
                          const struct policy_activity *a, const struct policy *after,
                          const struct policy_activity *b)
{
    diff_str(out, "id", a->id, b->id);
    diff_basis(out, before, a, after, b);
    diff_categories(out, a, b);
    diff_str(out, "view", str_of(view_form_name(a->view)), str_of(view_form_name(b->view)));
    diff_int(out, "k", a->aggregate_k, b->aggregate_k, "");
    diff_fields(out, a, b);
    diff_privacy(out, &a->privacy, &b->privacy);
    diff_int(out, "retention", a->retention_days, b->retention_days, " days");
    diff_int(out, "consent_duration", a->consent_days, b->consent_days, " days");
    diff_str(out, "notice", a->notice ? a->notice->id : (struct str){0},
             b->notice ? b->notice->id : (struct str){0});
    diff_str(out, "record", a->record_always ? STR("always") : STR("on_request"),
             b->record_always ? STR("always") : STR("on_request"));
    diff_str(out, "automated_decision",
             a->no_automated_decision ? STR("forbidden") : STR("allowed"),
             b->no_automated_decision ? STR("forbidden") : STR("allowed"));
}

static void describe_activity(struct buf *out, const struct policy *p,
                              const struct policy_activity *a)
{
    for (size_t i = 0; i < a->category_count; i++)
        buf_printf(out, "%s%.*s", i ? ", " : "categories ", STR_ARG(a->categories[i]->id));
    for (size_t i = 0; i < p->law_count; i++)
        buf_printf(next(out), "basis under %.*s %s", STR_ARG(p->laws[i].id),
                   policy_basis_name(a->basis[i]));
    buf_printf(next(out), "view %s", view_form_name(a->view));
    if (a->aggregate_k)
        buf_printf(next(out), "k %d", a->aggregate_k);
    buf_printf(next(out), "retention %d days", a->retention_days);
}

static void activity_change(struct policy_diff *d, enum policy_change_kind kind,
                            const struct policy_activity *a, const struct buf *detail)
{
    struct policy_change *c = change_add(d, kind, "activity", a->id);
    c->recipient = arena_str(&d->arena, a->recipient->id);
    c->purpose = arena_str(&d->arena, a->purpose->id);
    c->detail = arena_str(&d->arena, buf_view(detail));
}

static void diff_activities(const struct policy *before, const struct policy *after,
                            struct policy_diff *d)
{
    _cleanup_buf struct buf detail = {0};
    for (size_t i = 0; i < after->activity_count; i++) {
        const struct policy_activity *b = &after->activities[i];
        const struct policy_activity *a = same_activity(before, b);
        buf_clear(&detail);
        if (a)
            diff_activity(&detail, before, a, after, b);
        else
            describe_activity(&detail, after, b);
        if (!a || detail.n)
            activity_change(d, a ? POLICY_CHANGED : POLICY_ADDED, b, &detail);
    }
    for (size_t i = 0; before && i < before->activity_count; i++) {
        const struct policy_activity *a = &before->activities[i];
        buf_clear(&detail);
        describe_activity(&detail, before, a);
        if (!same_activity(after, a))
            activity_change(d, POLICY_REMOVED, a, &detail);
    }
}

/* ---- notices ---- */

/* One line for each activity that the notice serves, or one without where it serves none. */
static void notice_change(struct policy_diff *d, enum policy_change_kind kind,
                          const struct policy *p, const struct policy_notice *n, bool material,
                          const struct buf *detail)
{
    bool served = false;
    for (size_t i = 0; i <= p->activity_count; i++) {
        const struct policy_activity *a = i < p->activity_count ? &p->activities[i] : NULL;
        if (a ? a->notice != n : served)
            continue;
        struct policy_change *c = change_add(d, kind, "notice", n->id);
        c->recipient = a ? arena_str(&d->arena, a->recipient->id) : (struct str){0};
        c->purpose = arena_str(&d->arena, a ? a->purpose->id : n->purpose);
        c->material = material;
        c->detail = arena_str(&d->arena, buf_view(detail));
        served = true;
    }
}

static void diff_notice(struct buf *out, const struct policy_notice *a,
                        const struct policy_notice *b)
{
    diff_int(out, "version", a->version, b->version, "");
    diff_str(out, "purpose", a->purpose, b->purpose);
    for (size_t i = 0; i < b->text_count; i++) {
        const struct policy_notice_text *text = &b->texts[i];
        const struct policy_notice_text *old = policy_notice_text(a, text->language);
        if (!old)
            buf_printf(next(out), "text in %.*s added", STR_ARG(text->language));
        else if (!bytes_equal_secret(&old->hash, &text->hash, sizeof text->hash))
            buf_printf(next(out), "text in %.*s changed", STR_ARG(text->language));
    }
    for (size_t i = 0; i < a->text_count; i++) {
        if (!policy_notice_text(b, a->texts[i].language))
            buf_printf(next(out), "text in %.*s removed", STR_ARG(a->texts[i].language));
    }
}

static void diff_notices(const struct policy *before, const struct policy *after,
                         struct policy_diff *d)
{
    _cleanup_buf struct buf detail = {0};
    for (size_t i = 0; i < after->notice_count; i++) {
        const struct policy_notice *b = &after->notices[i];
        const struct policy_notice *a = before ? policy_notice(before, b->id) : NULL;
        buf_clear(&detail);
        if (a)
            diff_notice(&detail, a, b);
        else
            buf_printf(&detail, "version %d", b->version);
        bool material = a && b->sufficient_from > a->version;
        if (material)
            buf_cstr(next(&detail), "material: consents under older versions no longer hold");
        if (!a || detail.n)
            notice_change(d, a ? POLICY_CHANGED : POLICY_ADDED, after, b, material, &detail);
    }
    for (size_t i = 0; before && i < before->notice_count; i++) {
        const struct policy_notice *a = &before->notices[i];
        buf_clear(&detail);
        buf_printf(&detail, "version %d", a->version);
        if (!policy_notice(after, a->id))
            notice_change(d, POLICY_REMOVED, before, a, true, &detail);
    }
}

/* ---- the rest ---- */

static void diff_recipients(const struct policy *before, const struct policy *after,
                            struct policy_diff *d)
{
    _cleanup_buf struct buf detail = {0};
    for (size_t i = 0; i < after->recipient_count; i++) {
        const struct policy_recipient *b = &after->recipients[i];
        const struct policy_recipient *a = before ? policy_recipient(before, b->id) : NULL;
        if (!a) {
            change_add(d, POLICY_ADDED, "recipient", b->id)->detail =
                arena_str(&d->arena, str_of(recipient_kind_name(b->kind)));
            continue;
        }
        buf_clear(&detail);
        diff_text(&detail, "label", before, &a->label, after, &b->label);
        diff_str(&detail, "kind", str_of(recipient_kind_name(a->kind)),
                 str_of(recipient_kind_name(b->kind)));
        diff_str(&detail, "status", a->suspended ? STR("suspended") : STR("active"),
                 b->suspended ? STR("suspended") : STR("active"));
        diff_str(&detail, "contact", a->contact, b->contact);
        diff_str(&detail, "contract", a->contract, b->contract);
        diff_end(&detail, "contract", a->contract_end, b->contract_end);
        diff_str(&detail, "safeguards", a->safeguards, b->safeguards);
        diff_end(&detail, "safeguards", a->safeguards_end, b->safeguards_end);
        diff_end(&detail, "training", a->training_end, b->training_end);
        diff_day(&detail, "transfer announced", a->announced, b->announced);
        diff_day(&detail, "transfer from", a->begins, b->begins);
        changed(d, "recipient", b->id, &detail);
    }
    for (size_t i = 0; before && i < before->recipient_count; i++) {
        if (!policy_recipient(after, before->recipients[i].id))
            change_add(d, POLICY_REMOVED, "recipient", before->recipients[i].id);
    }
}

static void diff_purposes(const struct policy *before, const struct policy *after,
                          struct policy_diff *d)
{
    _cleanup_buf struct buf detail = {0};
    for (size_t i = 0; i < after->purpose_count; i++) {
        const struct policy_purpose *b = &after->purposes[i];
        const struct policy_purpose *a = before ? policy_purpose(before, b->id) : NULL;
        if (!a) {
            change_add(d, POLICY_ADDED, "purpose", b->id);
            continue;
        }
        buf_clear(&detail);
        diff_text(&detail, "label", before, &a->label, after, &b->label);
        diff_text(&detail, "description", before, &a->description, after, &b->description);
        diff_str(&detail, "dpv", a->dpv, b->dpv);
        changed(d, "purpose", b->id, &detail);
    }
    for (size_t i = 0; before && i < before->purpose_count; i++) {
        if (!policy_purpose(after, before->purposes[i].id))
            change_add(d, POLICY_REMOVED, "purpose", before->purposes[i].id);
    }
}

static void diff_field(struct buf *out, const struct policy *before, const struct policy_field *a,
                       const struct policy *after, const struct policy_field *b)
{
    _cleanup_buf struct buf detail = {0};
    if (a->label.in[0].n && b->label.in[0].n)
        diff_text(&detail, "label", before, &a->label, after, &b->label);
    else
        diff_bool(&detail, "label", a->label.in[0].n > 0, b->label.in[0].n > 0);
    diff_str(&detail, "type", str_of(field_type_name(a->type)), str_of(field_type_name(b->type)));
    diff_bool(&detail, "required", a->required, b->required);
    diff_bool(&detail, "sensitive", a->sensitive, b->sensitive);
    diff_bool(&detail, "identifies", a->identifies, b->identifies);
    diff_bool(&detail, "any size", a->any_size, b->any_size);
    if (a->has_min != b->has_min || a->has_max != b->has_max || a->min != b->min ||
        a->max != b->max || a->refuse != b->refuse)
        buf_cstr(next(&detail), "range changed");
    diff_names(&detail, "value", a->values, a->value_count, b->values, b->value_count);
    if (detail.n)
        buf_printf(next(out), "field %.*s: %s", STR_ARG(b->name), detail.p);
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

static void diff_rules(struct buf *out, const struct policy_category *a,
                       const struct policy_category *b)
{
    for (size_t i = 0; i < b->rule_count; i++) {
        const struct policy_rule *r = &b->rules[i], *old = rule_named(a, r->id);
        bool same = old && old->refuse == r->refuse && old->conditional == r->conditional &&
                    same_condition(&old->holds, &r->holds) &&
                    (!r->conditional || same_condition(&old->when, &r->when));
        if (!same)
            buf_printf(next(out), "rule %.*s %s", STR_ARG(r->id), old ? "changed" : "added");
    }
    for (size_t i = 0; i < a->rule_count; i++)
        if (!rule_named(b, a->rules[i].id))
            buf_printf(next(out), "rule %.*s removed", STR_ARG(a->rules[i].id));
}

static void diff_category(struct buf *out, const struct policy *before,
                          const struct policy_category *a, const struct policy *after,
                          const struct policy_category *b)
{
    diff_text(out, "label", before, &a->label, after, &b->label);
    diff_bool(out, "sensitive", a->sensitive, b->sensitive);
    /* What is older is deleted as soon as the policy is in force. */
    diff_int(out, "records are kept", policy_retention_days(before, a),
             policy_retention_days(after, b), " days");
    diff_str(out, "dpv", a->dpv, b->dpv);
    diff_str(out, "fdx", a->fdx, b->fdx);
    for (size_t i = 0; i < b->field_count; i++) {
        const struct policy_field *old = policy_field(a, b->fields[i].name);
        if (old)
            diff_field(out, before, old, after, &b->fields[i]);
        else
            buf_printf(next(out), "field %.*s added", STR_ARG(b->fields[i].name));
    }
    for (size_t i = 0; i < a->field_count; i++) {
        if (!policy_field(b, a->fields[i].name))
            buf_printf(next(out), "field %.*s removed", STR_ARG(a->fields[i].name));
    }
    diff_int(out, "fresh", a->fresh_days, b->fresh_days, " days");
    diff_rules(out, a, b);
}

static void diff_all_categories(const struct policy *before, const struct policy *after,
                                struct policy_diff *d)
{
    _cleanup_buf struct buf detail = {0};
    for (size_t i = 0; i < after->category_count; i++) {
        const struct policy_category *b = &after->categories[i];
        const struct policy_category *a = before ? policy_category(before, b->id) : NULL;
        buf_clear(&detail);
        if (a)
            diff_category(&detail, before, a, after, b);
        else
            change_add(d, POLICY_ADDED, "category", b->id);
        changed(d, "category", b->id, &detail);
    }
    for (size_t i = 0; before && i < before->category_count; i++) {
        if (!policy_category(after, before->categories[i].id))
            change_add(d, POLICY_REMOVED, "category", before->categories[i].id);
    }
}

static void diff_guardians(struct buf *out, const struct policy_law *a, const struct policy_law *b)
{
    diff_int(out, "guardian_below", a->guardian_below, b->guardian_below, " years");
    for (size_t i = 0; i < b->guardian_by_territory_count; i++) {
        struct str territory = b->guardian_by_territory[i].territory;
        int old = policy_guardian_below(a, territory), years = b->guardian_by_territory[i].years;
        if (old != years)
            buf_printf(next(out), "guardian_below in %.*s %d -> %d years", STR_ARG(territory), old,
                       years);
    }
    for (size_t i = 0; i < a->guardian_by_territory_count; i++) {
        struct str territory = a->guardian_by_territory[i].territory;
        bool kept = false;
        for (size_t j = 0; j < b->guardian_by_territory_count; j++)
            kept |= str_eq(b->guardian_by_territory[j].territory, territory);
        int old = a->guardian_by_territory[i].years, years = policy_guardian_below(b, territory);
        if (!kept && old != years)
            buf_printf(next(out), "guardian_below in %.*s %d -> %d years", STR_ARG(territory), old,
                       years);
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
    if (!d) {
        buf_cstr(out, "none");
        return;
    }
    buf_printf(out, "%d %s", d->months ? d->months : d->days, d->months ? "months" : "days");
    if (d->extend_months || d->extend_days)
        buf_printf(out, " + %d %s", d->extend_months ? d->extend_months : d->extend_days,
                   d->extend_months ? "months" : "days");
}

static void diff_deadline(struct buf *out, const struct policy_law *a, const struct policy_law *b,
                          struct str right)
{
    _cleanup_buf struct buf old = {0};
    _cleanup_buf struct buf new = {0};
    add_deadline(&old, deadline_of(a, right));
    add_deadline(&new, deadline_of(b, right));
    if (!str_eq(buf_view(&old), buf_view(&new)))
        buf_printf(next(out), "deadline for %.*s %s -> %s", STR_ARG(right), old.p, new.p);
}

static const struct policy_refusal *refusal_of(const struct policy_law *law, struct str reason)
{
    for (size_t i = 0; i < law->refusal_count; i++)
        if (str_eq(law->refusals[i].reason, reason))
            return &law->refusals[i];
    return NULL;
}

static void diff_refusals(struct buf *out, const struct policy_law *a, const struct policy_law *b)
{
    for (size_t i = 0; i < b->refusal_count; i++) {
        const struct policy_refusal *new = &b->refusals[i], *old = refusal_of(a, new->reason);
        if (!old)
            buf_printf(next(out), "refusal %.*s added", STR_ARG(new->reason));
        else if (!str_eq(old->source, new->source))
            buf_printf(next(out), "refusal %.*s by %.*s -> %.*s", STR_ARG(new->reason),
                       STR_ARG(old->source), STR_ARG(new->source));
        if (old && (old->right_count != new->right_count))
            buf_printf(next(out), "refusal %.*s is for other rights", STR_ARG(new->reason));
        for (size_t k = 0; old && old->right_count == new->right_count &&k < new->right_count; k++)
            if (!str_eq(old->rights[k], new->rights[k])) {
                buf_printf(next(out), "refusal %.*s is for other rights", STR_ARG(new->reason));
                break;
            }
    }
    for (size_t i = 0; i < a->refusal_count; i++)
        if (!refusal_of(b, a->refusals[i].reason))
            buf_printf(next(out), "refusal %.*s removed", STR_ARG(a->refusals[i].reason));
}

static void diff_law(struct buf *out, const struct policy_law *a, const struct policy_law *b)
{
    diff_str(out, "name", a->name, b->name);
    diff_str(out, "citation", a->citation, b->citation);
    if (a->effective != b->effective)
        buf_cstr(next(out), "effective changed");
    diff_names(out, "territory", a->territories, a->territory_count, b->territories,
               b->territory_count);
    diff_str(out, "model", a->opt_out_model ? STR("opt_out") : STR("opt_in"),
             b->opt_out_model ? STR("opt_out") : STR("opt_in"));
    diff_guardians(out, a, b);
    diff_int(out, "opt_in_below", a->opt_in_below, b->opt_in_below, " years");
    diff_int(out, "max_days", a->consent_max_days, b->consent_max_days, " days");
    diff_int(out, "reask_after_days", a->reask_after_days, b->reask_after_days, " days");
    for (size_t i = 0; i < b->deadline_count; i++)
        diff_deadline(out, a, b, b->deadlines[i].right);
    for (size_t i = 0; i < a->deadline_count; i++) {
        if (!deadline_of(b, a->deadlines[i].right))
            diff_deadline(out, a, b, a->deadlines[i].right);
    }
    diff_refusals(out, a, b);
    diff_int(out, "utc_offsets west", a->west, b->west, " hours");
    diff_int(out, "utc_offsets east", a->east, b->east, " hours");
    diff_str(out, "basis_as", a->basis_as, b->basis_as);
    diff_str(out, "opt_out_signal", a->opt_out_signal, b->opt_out_signal);
    diff_str(out, "suppression_list", a->suppression_list, b->suppression_list);
}

static void diff_laws(const struct policy *before, const struct policy *after,
                      struct policy_diff *d)
{
    _cleanup_buf struct buf detail = {0};
    for (size_t i = 0; i < after->law_count; i++) {
        const struct policy_law *b = &after->laws[i];
        const struct policy_law *a = policy_law(before, b->id);
        buf_clear(&detail);
        if (a)
            diff_law(&detail, a, b);
        else
            change_add(d, POLICY_ADDED, "law", b->id);
        changed(d, "law", b->id, &detail);
    }
    for (size_t i = 0; before && i < before->law_count; i++) {
        if (!policy_law(after, before->laws[i].id))
            change_add(d, POLICY_REMOVED, "law", before->laws[i].id);
    }
}

static void diff_controller(const struct policy *before, const struct policy *after,
                            struct policy_diff *d)
{
    _cleanup_buf struct buf detail = {0};
    if (!before) {
        change_add(d, POLICY_ADDED, "controller", after->controller);
        return;
    }
    diff_str(&detail, "id", before->controller, after->controller);
    diff_str(&detail, "name", before->controller_name, after->controller_name);
    diff_str(&detail, "contact", before->contact, after->contact);
    diff_names(&detail, "language", before->languages, before->language_count, after->languages,
               after->language_count);
    diff_str(&detail, "default_residence", before->default_residence, after->default_residence);
    const struct policy_law *a = before->private->default_law, *b = after->private->default_law;
    diff_str(&detail, "default_law", a ? a->id : (struct str){0}, b ? b->id : (struct str){0});
    changed(d, "controller", after->controller, &detail);
}

void policy_diff(const struct policy *before, const struct policy *after, struct policy_diff *out)
{
    diff_activities(before, after, out);
    diff_notices(before, after, out);
    diff_recipients(before, after, out);
    diff_purposes(before, after, out);
    diff_all_categories(before, after, out);
    diff_laws(before, after, out);
    diff_controller(before, after, out);
}

void policy_diff_free(struct policy_diff *d)
{
    arena_free(&d->arena);
    free(d->items);
    *d = (struct policy_diff){0};
}
