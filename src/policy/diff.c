/* diff.c - what a new policy changes, in parts that a person can weigh before applying it. Things
 * are matched by name, activities by recipient and purpose, since that pair is what a consent is
 * for.
 */
#include "policy/diff.h"

#include <stdlib.h>

enum { FIRST_CHANGES = 32 };

struct policy_change *diff_add(struct policy_diff *d, enum policy_change_kind kind,
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

void diff_changed(struct policy_diff *d, const char *what, struct str id,
                  const struct details *details)
{
    if (details->count)
        details_give(details, diff_add(d, POLICY_CHANGED, what, id));
}

/* ---- activities ---- */

static const struct policy_activity *same_activity(const struct policy *p,
                                                   const struct policy_activity *a)
{
    const struct policy_recipient *recipient = p ? policy_recipient(p, a->recipient->id) : NULL;
    const struct policy_purpose *purpose = p ? policy_purpose(p, a->purpose->id) : NULL;
    return recipient && purpose ? policy_activity(p, recipient, purpose) : NULL;
}

static void diff_basis(struct details *out, const struct policy *before,
                       const struct policy_activity *a, const struct policy *after,
                       const struct policy_activity *b)
{
    for (size_t i = 0; i < after->law_count; i++) {
        const struct policy_law *old = policy_law(before, after->laws[i].id);
        enum policy_basis was = old ? a->basis[old->index] : BASIS_NONE;
        if (was != b->basis[i])
            detail_set(out, "basis", after->laws[i].id, str_of(policy_basis_name(was)),
                       str_of(policy_basis_name(b->basis[i])), "");
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

static void diff_categories(struct details *out, const struct policy_activity *a,
                            const struct policy_activity *b)
{
    for (size_t i = 0; i < b->category_count; i++) {
        if (!covers_name(a, b->categories[i]->id))
            detail_add(out, POLICY_D_ADDED, "category", b->categories[i]->id);
    }
    for (size_t i = 0; i < a->category_count; i++) {
        if (!covers_name(b, a->categories[i]->id))
            detail_add(out, POLICY_D_REMOVED, "category", a->categories[i]->id);
    }
}

/* An empty list of fields means all of them, so its coming and going is told in those words. */
static void diff_fields(struct details *out, const struct policy_activity *a,
                        const struct policy_activity *b)
{
    if (!a->view_field_count && !b->view_field_count)
        return;
    if (!b->view_field_count)
        detail_is(out, "view_fields", (struct str){0}, STR("all"), "fields");
    else if (!a->view_field_count)
        detail_is_int(out, "view_fields", (int64_t)b->view_field_count, "fields only");
    else
        diff_names(out, "field", a->view_fields, a->view_field_count, b->view_fields,
                   b->view_field_count);
}

static void diff_privacy(struct details *out, const struct policy_privacy *a,
                         const struct policy_privacy *b)
{
    diff_int(out, "privacy.epsilon", a->epsilon, b->epsilon, "thousandths");
    diff_int(out, "privacy.budget", a->budget, b->budget, "thousandths");
    diff_int(out, "privacy.days", a->days, b->days, "days");
    diff_int(out, "privacy.records", a->records, b->records, "");
    diff_int(out, "privacy.most", a->most, b->most, "");
}

static void diff_activity(struct details *out, const struct policy *before,
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
    diff_int(out, "retention", a->retention_days, b->retention_days, "days");
    diff_int(out, "consent_duration", a->consent_days, b->consent_days, "days");
    diff_str(out, "notice", a->notice ? a->notice->id : (struct str){0},
             b->notice ? b->notice->id : (struct str){0});
    diff_str(out, "record", a->record_always ? STR("always") : STR("on_request"),
             b->record_always ? STR("always") : STR("on_request"));
    diff_str(out, "automated_decision",
             a->no_automated_decision ? STR("forbidden") : STR("allowed"),
             b->no_automated_decision ? STR("forbidden") : STR("allowed"));
}

static void describe_activity(struct details *out, const struct policy *p,
                              const struct policy_activity *a)
{
    _cleanup_buf struct buf names = {0};
    for (size_t i = 0; i < a->category_count; i++)
        buf_printf(&names, "%s%.*s", i ? ", " : "", STR_ARG(a->categories[i]->id));
    if (names.n)
        detail_is(out, "categories", (struct str){0}, buf_view(&names), "");
    for (size_t i = 0; i < p->law_count; i++)
        detail_is(out, "basis", p->laws[i].id, str_of(policy_basis_name(a->basis[i])), "");
    detail_is(out, "view", (struct str){0}, str_of(view_form_name(a->view)), "");
    if (a->aggregate_k)
        detail_is_int(out, "k", a->aggregate_k, "");
    detail_is_int(out, "retention", a->retention_days, "days");
}

static void activity_change(struct policy_diff *d, enum policy_change_kind kind,
                            const struct policy_activity *a, const struct details *detail)
{
    struct policy_change *c = diff_add(d, kind, "activity", a->id);
    c->recipient = arena_str(&d->arena, a->recipient->id);
    c->purpose = arena_str(&d->arena, a->purpose->id);
    details_give(detail, c);
}

static void diff_activities(const struct policy *before, const struct policy *after,
                            struct policy_diff *d)
{
    struct details detail = {.arena = &d->arena};
    for (size_t i = 0; i < after->activity_count; i++) {
        const struct policy_activity *b = &after->activities[i];
        const struct policy_activity *a = same_activity(before, b);
        details_clear(&detail);
        if (a)
            diff_activity(&detail, before, a, after, b);
        else
            describe_activity(&detail, after, b);
        if (!a || detail.count)
            activity_change(d, a ? POLICY_CHANGED : POLICY_ADDED, b, &detail);
    }
    for (size_t i = 0; before && i < before->activity_count; i++) {
        const struct policy_activity *a = &before->activities[i];
        details_clear(&detail);
        describe_activity(&detail, before, a);
        if (!same_activity(after, a))
            activity_change(d, POLICY_REMOVED, a, &detail);
    }
}

/* ---- notices ---- */

/* One line for each activity that the notice serves, or one without where it serves none. */
static void notice_change(struct policy_diff *d, enum policy_change_kind kind,
                          const struct policy *p, const struct policy_notice *n, bool material,
                          const struct details *detail)
{
    bool served = false;
    for (size_t i = 0; i <= p->activity_count; i++) {
        const struct policy_activity *a = i < p->activity_count ? &p->activities[i] : NULL;
        if (a ? a->notice != n : served)
            continue;
        struct policy_change *c = diff_add(d, kind, "notice", n->id);
        c->recipient = a ? arena_str(&d->arena, a->recipient->id) : (struct str){0};
        c->purpose = arena_str(&d->arena, a ? a->purpose->id : n->purpose);
        c->material = material;
        details_give(detail, c);
        served = true;
    }
}

static void diff_notice(struct details *out, const struct policy_notice *a,
                        const struct policy_notice *b)
{
    diff_int(out, "version", a->version, b->version, "");
    diff_str(out, "purpose", a->purpose, b->purpose);
    for (size_t i = 0; i < b->text_count; i++) {
        const struct policy_notice_text *text = &b->texts[i];
        const struct policy_notice_text *old = policy_notice_text(a, text->language);
        if (!old)
            detail_add(out, POLICY_D_ADDED, "text", text->language);
        else if (!bytes_equal_secret(&old->hash, &text->hash, sizeof text->hash))
            detail_add(out, POLICY_D_CHANGED, "text", text->language);
    }
    for (size_t i = 0; i < a->text_count; i++) {
        if (!policy_notice_text(b, a->texts[i].language))
            detail_add(out, POLICY_D_REMOVED, "text", a->texts[i].language);
    }
}

static void diff_notices(const struct policy *before, const struct policy *after,
                         struct policy_diff *d)
{
    struct details detail = {.arena = &d->arena};
    for (size_t i = 0; i < after->notice_count; i++) {
        const struct policy_notice *b = &after->notices[i];
        const struct policy_notice *a = before ? policy_notice(before, b->id) : NULL;
        details_clear(&detail);
        if (a)
            diff_notice(&detail, a, b);
        else
            detail_is_int(&detail, "version", b->version, "");
        bool material = a && b->sufficient_from > a->version;
        if (!a || material || detail.count)
            notice_change(d, a ? POLICY_CHANGED : POLICY_ADDED, after, b, material, &detail);
    }
    for (size_t i = 0; before && i < before->notice_count; i++) {
        const struct policy_notice *a = &before->notices[i];
        details_clear(&detail);
        detail_is_int(&detail, "version", a->version, "");
        if (!policy_notice(after, a->id))
            notice_change(d, POLICY_REMOVED, before, a, true, &detail);
    }
}

/* ---- the rest ---- */

static void diff_recipients(const struct policy *before, const struct policy *after,
                            struct policy_diff *d)
{
    struct details detail = {.arena = &d->arena};
    for (size_t i = 0; i < after->recipient_count; i++) {
        const struct policy_recipient *b = &after->recipients[i];
        const struct policy_recipient *a = before ? policy_recipient(before, b->id) : NULL;
        if (!a) {
            details_clear(&detail);
            detail_is(&detail, "kind", (struct str){0}, str_of(recipient_kind_name(b->kind)), "");
            details_give(&detail, diff_add(d, POLICY_ADDED, "recipient", b->id));
            continue;
        }
        details_clear(&detail);
        diff_text(&detail, "label", before, &a->label, after, &b->label);
        diff_str(&detail, "kind", str_of(recipient_kind_name(a->kind)),
                 str_of(recipient_kind_name(b->kind)));
        diff_str(&detail, "status", a->suspended ? STR("suspended") : STR("active"),
                 b->suspended ? STR("suspended") : STR("active"));
        diff_str(&detail, "contact", a->contact, b->contact);
        diff_str(&detail, "contract", a->contract, b->contract);
        diff_end(&detail, "contract_until", a->contract_end, b->contract_end);
        diff_str(&detail, "safeguards", a->safeguards, b->safeguards);
        diff_end(&detail, "safeguards_until", a->safeguards_end, b->safeguards_end);
        diff_end(&detail, "training_until", a->training_end, b->training_end);
        diff_day(&detail, "transfer_announced", a->announced, b->announced);
        diff_day(&detail, "transfer_from", a->begins, b->begins);
        diff_changed(d, "recipient", b->id, &detail);
    }
    for (size_t i = 0; before && i < before->recipient_count; i++) {
        if (!policy_recipient(after, before->recipients[i].id))
            diff_add(d, POLICY_REMOVED, "recipient", before->recipients[i].id);
    }
}

static void diff_purposes(const struct policy *before, const struct policy *after,
                          struct policy_diff *d)
{
    struct details detail = {.arena = &d->arena};
    for (size_t i = 0; i < after->purpose_count; i++) {
        const struct policy_purpose *b = &after->purposes[i];
        const struct policy_purpose *a = before ? policy_purpose(before, b->id) : NULL;
        if (!a) {
            diff_add(d, POLICY_ADDED, "purpose", b->id);
            continue;
        }
        details_clear(&detail);
        diff_text(&detail, "label", before, &a->label, after, &b->label);
        diff_text(&detail, "description", before, &a->description, after, &b->description);
        diff_str(&detail, "dpv", a->dpv, b->dpv);
        diff_changed(d, "purpose", b->id, &detail);
    }
    for (size_t i = 0; before && i < before->purpose_count; i++) {
        if (!policy_purpose(after, before->purposes[i].id))
            diff_add(d, POLICY_REMOVED, "purpose", before->purposes[i].id);
    }
}

static void diff_controller(const struct policy *before, const struct policy *after,
                            struct policy_diff *d)
{
    struct details detail = {.arena = &d->arena};
    if (!before) {
        diff_add(d, POLICY_ADDED, "controller", after->controller);
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
    diff_changed(d, "controller", after->controller, &detail);
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
