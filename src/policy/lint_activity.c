/* lint_activity.c - the rules about what may be done: the basis under each law, the view, and what
 * a refusal may cost. */
#include <string.h>

#include "policy/draft.h"

static const struct str file = {"activities.yaml", sizeof "activities.yaml" - 1};

static bool has_basis(const struct draft *d, const struct policy_activity *a,
                      enum policy_basis basis)
{
    for (size_t i = 0; i < d->policy->law_count; i++) {
        if (a->basis[i] == basis)
            return true;
    }
    return false;
}

static int basis_line(const struct draft *d, size_t activity, size_t law)
{
    const struct node *map = node_get(d->activities[activity].node, "basis");
    const struct node *item = map ? map->first : NULL;
    while (item && !str_eq(item->key, d->policy->laws[law].id))
        item = item->next;
    return item ? item->line : node_line(d->activities[activity].node, "basis");
}

static void check_refusal(struct draft *d, size_t i)
{
    const struct policy_activity *a = &d->policy->activities[i];
    const struct activity_draft *draft = &d->activities[i];
    if (!has_basis(d, a, BASIS_CONSENT))
        return;
    if (draft->if_refused == REFUSAL_UNSAID && !node_get(draft->node, "if_refused"))
        find_error(d, file, node_own_line(draft->node), "refusal_costs",
                   "%.*s rests on consent: say if_refused: nothing", STR_ARG(a->id));
    else if (draft->if_refused > REFUSAL_NOTHING)
        find_error(d, file, node_line(draft->node, "if_refused"), "refusal_costs",
                   "%.*s rests on consent, which is free only if refusing costs nothing (GDPR "
                   "art. 7(4))",
                   STR_ARG(a->id));
    if (!node_get(draft->node, "consent_duration"))
        find_error(d, file, node_own_line(draft->node), "missing_member",
                   "consent_duration is missing: say for how many days a consent holds");
}

static void check_consent_days(struct draft *d, size_t i, size_t law)
{
    const struct policy_activity *a = &d->policy->activities[i];
    const struct policy_law *l = &d->policy->laws[law];
    if (a->basis[law] == BASIS_CONSENT && l->consent_max_days &&
        a->consent_days > l->consent_max_days)
        find_error(d, file, node_line(d->activities[i].node, "consent_duration"),
                   "consent_too_long", "%d days: %.*s lets a consent hold for at most %d",
                   a->consent_days, STR_ARG(l->id), l->consent_max_days);
}

static bool is_sensitive(const struct policy_activity *a)
{
    for (size_t i = 0; i < a->category_count; i++) {
        if (a->categories[i]->sensitive)
            return true;
    }
    return false;
}

static void check_law(struct draft *d, size_t i, size_t law)
{
    const struct policy_activity *a = &d->policy->activities[i];
    const struct policy_law *l = &d->policy->laws[law];
    enum policy_basis basis = a->basis[law];
    if (basis == BASIS_OPT_OUT && !l->opt_out_model)
        find_error(d, file, basis_line(d, i, law), "opt_out_under_opt_in",
                   "%.*s asks for a yes beforehand: opt_out is no basis under it", STR_ARG(l->id));
    if (basis == BASIS_LEGITIMATE_INTEREST && !l->opt_out_model && is_sensitive(a))
        find_error(d, file, basis_line(d, i, law), "sensitive_basis",
                   "a sensitive category needs more than %s under %.*s (GDPR art. 9(2))",
                   policy_basis_name(basis), STR_ARG(l->id));
    check_consent_days(d, i, law);
}

static void check_outsiders(struct draft *d, size_t i, size_t law)
{
    const struct policy_activity *a = &d->policy->activities[i];
    if (!a->recipient || a->basis[law] == BASIS_NONE || a->basis[law] == BASIS_CONSENT)
        return;
    enum recipient_kind kind = a->recipient->kind;
    bool trade = kind == RECIPIENT_ADVERTISER || kind == RECIPIENT_BROKER;
    if (trade && a->view == VIEW_IDENTIFIED)
        find_error(d, file, basis_line(d, i, law), "identified_without_consent",
                   "%.*s, a %s, gets identified data: that needs consent, or a pseudonymous or "
                   "aggregate view",
                   STR_ARG(a->recipient->id), recipient_kind_name(kind));
    if (kind == RECIPIENT_BROKER && a->basis[law] != BASIS_OPT_OUT)
        find_error(d, file, basis_line(d, i, law), "sale_without_choice",
                   "%.*s is a broker: the consumer consents to a sale, or can opt out of it",
                   STR_ARG(a->recipient->id));
    if (kind == RECIPIENT_THIRD_PARTY)
        find_error(d, file, basis_line(d, i, law), "third_party_without_consent",
                   "%.*s is chosen by the consumer: its only basis is consent",
                   STR_ARG(a->recipient->id));
}

/* A consent to one recipient is not a consent to another: outsiders have a notice of their own. */
static void check_own_notice(struct draft *d, size_t i)
{
    const struct policy *p = d->policy;
    const struct policy_activity *a = &p->activities[i];
    if (!a->notice || !a->recipient ||
        (a->recipient->kind != RECIPIENT_ADVERTISER && a->recipient->kind != RECIPIENT_BROKER))
        return;
    for (size_t j = 0; j < p->activity_count; j++) {
        if (p->activities[j].notice == a->notice && p->activities[j].recipient != a->recipient)
            find_error(d, file, node_line(d->activities[i].node, "notice"),
                       "identified_without_consent",
                       "%.*s shares its notice with %.*s: it needs its own, and its own consent",
                       STR_ARG(a->id), STR_ARG(p->activities[j].id));
    }
}

static void check_notice_of(struct draft *d, size_t i)
{
    const struct policy_activity *a = &d->policy->activities[i];
    const struct node *node = d->activities[i].node;
    bool answered = has_basis(d, a, BASIS_CONSENT) || has_basis(d, a, BASIS_OPT_OUT) ||
                    has_basis(d, a, BASIS_LEGITIMATE_INTEREST);
    if (answered && !node_get(node, "notice"))
        find_error(d, file, node_own_line(node), "no_notice",
                   "%.*s needs a notice: the consumer can say no to it", STR_ARG(a->id));
    if (a->notice && a->purpose && a->notice->purpose.n &&
        !str_eq(a->notice->purpose, a->purpose->id))
        find_error(d, file, node_line(node, "notice"), "bundled_purpose",
                   "notice %.*s is about %.*s, not %.*s: a notice serves one purpose",
                   STR_ARG(a->notice->id), STR_ARG(a->notice->purpose), STR_ARG(a->purpose->id));
    check_own_notice(d, i);
}

static void check_k(struct draft *d, size_t i)
{
    const struct policy_activity *a = &d->policy->activities[i];
    const struct node *view = node_get(d->activities[i].node, "view");
    int k = d->activities[i].k;
    if (!view || view->kind != TREE_MAP)
        return;
    if (a->view != VIEW_AGGREGATE && node_get(view, "k"))
        find_error(d, file, node_line(view, "k"), "aggregate_k",
                   "only an aggregate view has k: remove it");
    else if (a->view == VIEW_AGGREGATE && k < 0)
        find_error(d, file, node_line(view, "form"), "aggregate_k",
                   "k is missing: say how many consumers a sum covers at least, such as k: 20");
    else if (a->view == VIEW_AGGREGATE && k >= 0 && k < 2)
        find_error(d, file, node_line(view, "k"), "aggregate_k",
                   "k is %d: a sum over one consumer is no sum", k);
    else if (a->view == VIEW_AGGREGATE && k >= 0 && k < 5)
        find(d, POLICY_WARNING, file, node_line(view, "k"), "aggregate_k",
             "k is %d: fewer than 5 consumers are easily told apart", k);
}

static bool field_exists(const struct policy_activity *a, struct str name)
{
    struct str field = name;
    struct str category = str_cut(&field, '.');
    for (size_t i = 0; i < a->category_count; i++) {
        const struct policy_category *c = a->categories[i];
        if (!str_eq(c->id, category))
            continue;
        return policy_field(c, field) != NULL;
    }
    return false;
}

/* The full names of the fields that an activity may keep, for the suggestion. */
static struct str field_hint(struct draft *d, const struct policy_activity *a, struct str name)
{
    size_t count = 0, n = 0;
    for (size_t i = 0; i < a->category_count; i++)
        count += a->categories[i]->field_count;
    struct str *names = arena_array(d->scratch, count + 1, sizeof *names);
    for (size_t i = 0; i < a->category_count; i++) {
        for (size_t j = 0; j < a->categories[i]->field_count; j++)
            names[n++] = arena_printf(d->scratch, "%.*s.%.*s", STR_ARG(a->categories[i]->id),
                                      STR_ARG(a->categories[i]->fields[j].name));
    }
    return find_hint(d, name, names, n);
}

static void check_fields(struct draft *d, size_t i)
{
    const struct policy_activity *a = &d->policy->activities[i];
    const struct node *list = node_get(node_get(d->activities[i].node, "view"), "fields");
    bool used[MAX_THINGS] = {0};
    for (const struct node *item = list ? list->first : NULL; item; item = item->next) {
        const struct node *named = item->kind == TREE_MAP ? node_get(item, "field") : item;
        struct str name = named && named->kind == TREE_TEXT ? named->text : (struct str){0};
        struct str rest = name;
        struct str category = str_cut(&rest, '.');
        if (name.n && a->category_count && !field_exists(a, name)) {
            struct str hint = field_hint(d, a, name);
            find_error(d, file, item->line, "unknown_field",
                       "%.*s is no field of the activity's categories%.*s", STR_ARG(name),
                       STR_ARG(hint));
        }
        for (size_t c = 0; c < a->category_count; c++)
            used[c] |= str_eq(a->categories[c]->id, category);
    }
    for (size_t c = 0; a->view_field_count && c < a->category_count; c++) {
        if (!used[c])
            find(d, POLICY_WARNING, file, node_line(d->activities[i].node, "categories"), "unused",
                 "the view keeps no field of %.*s: remove the category",
                 STR_ARG(a->categories[c]->id));
    }
}

/* What names the consumer by itself is not left in a view without their id. */
static void check_pseudonymous(struct draft *d, size_t i)
{
    const struct policy_activity *a = &d->policy->activities[i];
    const struct node *view = node_get(d->activities[i].node, "view");
    for (size_t c = 0; a->view == VIEW_PSEUDONYMOUS && c < a->category_count; c++) {
        const struct policy_view_part *part = &a->view_parts[c];
        const struct policy_category *category = a->categories[c];
        for (size_t k = 0; k < (part->whole ? category->field_count : part->count); k++) {
            const struct policy_field *f =
                part->whole ? &category->fields[k] : part->fields[k].field;
            bool as_it_is = part->whole || part->fields[k].cut == VIEW_KEEP;
            if (as_it_is && (f->type == FIELD_EMAIL || f->type == FIELD_PHONE))
                find_error(d, file, node_line(view, "form"), "pseudonymous_identifier",
                           "the view is pseudonymous and keeps %.*s.%.*s: drop it, or cut it to: "
                           "pseudonym",
                           STR_ARG(category->id), STR_ARG(f->name));
        }
    }
}

/* Sums over the same records in two partitions can be subtracted from each other. */
static void check_overlap(struct draft *d, size_t i)
{
    const struct policy *p = d->policy;
    const struct policy_activity *a = &p->activities[i];
    for (size_t j = 0; a->view == VIEW_AGGREGATE && a->recipient && j < i; j++) {
        const struct policy_activity *b = &p->activities[j];
        if (b->view != VIEW_AGGREGATE || b->recipient != a->recipient)
            continue;
        for (size_t c = 0; c < a->category_count; c++)
            if (policy_activity_covers(b, a->categories[c]))
                find_error(
                    d, file, node_line(d->activities[i].node, "categories"), "aggregate_overlap",
                    "%.*s gets sums of %.*s for %.*s too: sums of one category that are "
                    "grouped in two ways can be subtracted",
                    STR_ARG(a->recipient->id), STR_ARG(a->categories[c]->id), STR_ARG(b->id));
    }
}

void lint_activities(struct draft *d)
{
    for (size_t i = 0; i < d->policy->activity_count; i++) {
        check_refusal(d, i);
        check_notice_of(d, i);
        check_k(d, i);
        check_fields(d, i);
        check_pseudonymous(d, i);
        check_overlap(d, i);
        for (size_t law = 0; law < d->policy->law_count; law++) {
            check_law(d, i, law);
            check_outsiders(d, i, law);
        }
    }
}
