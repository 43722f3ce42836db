/* lint.c - the rules about names, purposes and recipients. Whether a purpose is a catch-all or
 * holds two is a matter of language, which no program judges well: the rules catch the phrases by
 * which such purposes are usually written, in English and Swedish, and leave the rest to the
 * reader. */
#include "policy/draft.h"

static void check_duplicates(struct draft *d, const char *file, const char *what,
                             const struct node *const *nodes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct str id = node_get(nodes[i], "id")->text;
        for (size_t j = 0; j < i; j++) {
            const struct node *other = node_get(nodes[j], "id");
            if (!str_eq(other->text, id))
                continue;
            find_error(d, str_of(file), node_line(nodes[i], "id"), "duplicate_name",
                       "there are two %s named %.*s, the other on line %d", what, STR_ARG(id),
                       other->line);
            break;
        }
    }
}

static void check_activities_differ(struct draft *d)
{
    const struct policy *p = d->policy;
    const struct node *nodes[MAX_THINGS];
    for (size_t i = 0; i < p->activity_count; i++)
        nodes[i] = d->activities[i].node;
    check_duplicates(d, "activities.yaml", "activities", nodes, p->activity_count);
    for (size_t i = 0; i < p->activity_count; i++) {
        const struct policy_activity *a = &p->activities[i];
        for (size_t j = 0; a->purpose && a->recipient && j < i; j++) {
            const struct policy_activity *b = &p->activities[j];
            if (a->purpose == b->purpose && a->recipient == b->recipient)
                find_error(d, STR("activities.yaml"), node_line(nodes[i], "purpose"),
                           "duplicate_activity",
                           "%.*s and %.*s are the same purpose and recipient: make them one",
                           STR_ARG(b->id), STR_ARG(a->id));
        }
    }
}

static const struct policy_law *law_claiming(const struct policy *p, size_t before,
                                             struct str territory)
{
    for (size_t i = 0; i < before; i++) {
        for (size_t j = 0; j < p->laws[i].territory_count; j++) {
            if (str_eq(p->laws[i].territories[j], territory))
                return &p->laws[i];
        }
    }
    return NULL;
}

static void check_territories(struct draft *d)
{
    const struct policy *p = d->policy;
    for (size_t i = 0; i < p->law_count; i++) {
        for (size_t j = 0; j < p->laws[i].territory_count; j++) {
            struct str territory = p->laws[i].territories[j];
            const struct policy_law *other = law_claiming(p, i, territory);
            if (other)
                find_error(d, d->law_files[i], node_line(d->laws[i], "territories"),
                           "duplicate_territory", "%.*s is under %.*s already", STR_ARG(territory),
                           STR_ARG(other->id));
        }
    }
}

static void check_defaults(struct draft *d)
{
    const struct policy *p = d->policy;
    const struct str file = STR("controller.yaml");
    struct str ids[MAX_LAWS];
    bool known = false;
    for (size_t i = 0; i < p->law_count; i++) {
        ids[i] = p->laws[i].id;
        known |= str_eq(ids[i], d->default_law);
    }
    if (d->default_law.n && !known) {
        struct str hint = find_hint(d, d->default_law, ids, p->law_count);
        find_error(d, file, node_line(d->controller, "default_law"), "unknown_name",
                   "there is no law %.*s%.*s", STR_ARG(d->default_law), STR_ARG(hint));
    }
    struct str country = {p->default_residence.p, str_find(p->default_residence, '-')};
    if (!d->default_law.n && p->default_residence.n &&
        !law_claiming(p, p->law_count, p->default_residence) &&
        !law_claiming(p, p->law_count, country))
        find_error(d, file, node_line(d->controller, "default_residence"), "no_law",
                   "no law covers %.*s: add its law, or name one in default_law",
                   STR_ARG(p->default_residence));
}

static void warn_unused(struct draft *d, struct str file, const struct node *node, const char *what,
                        struct str id)
{
    find(d, POLICY_WARNING, file, node_line(node, "id"), "unused",
         "no activity uses %s %.*s: remove it, or add the activity", what, STR_ARG(id));
}

static void check_used(struct draft *d)
{
    const struct policy *p = d->policy;
    bool category[MAX_THINGS] = {0}, purpose[MAX_THINGS] = {0}, recipient[MAX_THINGS] = {0};
    for (size_t i = 0; i < p->activity_count; i++) {
        const struct policy_activity *a = &p->activities[i];
        for (size_t j = 0; j < a->category_count; j++)
            category[a->categories[j]->index] = true;
        if (a->purpose)
            purpose[a->purpose->index] = true;
        if (a->recipient)
            recipient[a->recipient->index] = true;
    }
    for (size_t i = 0; i < p->category_count; i++) {
        if (!category[i])
            warn_unused(d, STR("categories.yaml"), d->categories[i], "category",
                        p->categories[i].id);
    }
    for (size_t i = 0; i < p->purpose_count; i++) {
        if (!purpose[i])
            warn_unused(d, STR("purposes.yaml"), d->purposes[i], "purpose", p->purposes[i].id);
    }
    for (size_t i = 0; i < p->recipient_count; i++) {
        if (!recipient[i])
            warn_unused(d, STR("recipients.yaml"), d->recipients[i], "recipient",
                        p->recipients[i].id);
    }
}

/* "prefix:Term", as DPV and its extensions write their concepts. */
static bool is_dpv(struct str s)
{
    struct str term = s;
    struct str prefix = str_cut(&term, ':');
    if (!prefix.n || !term.n || term.p[0] < 'A' || term.p[0] > 'Z')
        return false;
    for (size_t i = 0; i < prefix.n; i++) {
        char c = prefix.p[i];
        if (!(c >= 'a' && c <= 'z') && !(i && (c == '-' || (c >= '0' && c <= '9'))))
            return false;
    }
    for (size_t i = 0; i < term.n; i++) {
        char c = term.p[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!letter && !(c >= '0' && c <= '9') && c != '-' && c != '_')
            return false;
    }
    return true;
}

static bool is_fdx(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (!(s.p[i] >= 'A' && s.p[i] <= 'Z') && !(i && s.p[i] == '_'))
            return false;
    }
    return true;
}

static void check_terms(struct draft *d)
{
    const struct policy *p = d->policy;
    for (size_t i = 0; i < p->category_count; i++) {
        const struct policy_category *c = &p->categories[i];
        if (c->dpv.n && !is_dpv(c->dpv))
            find_error(d, STR("categories.yaml"), node_line(d->categories[i], "dpv"), "bad_term",
                       "dpv: \"%.*s\" is no DPV term such as pd:Contact", STR_ARG(c->dpv));
        if (c->fdx.n && !is_fdx(c->fdx))
            find_error(d, STR("categories.yaml"), node_line(d->categories[i], "fdx"), "bad_term",
                       "fdx: \"%.*s\" is no FDX data cluster such as TRANSACTIONS",
                       STR_ARG(c->fdx));
    }
    for (size_t i = 0; i < p->purpose_count; i++) {
        const struct policy_purpose *purpose = &p->purposes[i];
        if (purpose->dpv.n && !is_dpv(purpose->dpv))
            find_error(d, STR("purposes.yaml"), node_line(d->purposes[i], "dpv"), "bad_term",
                       "dpv: \"%.*s\" is no DPV term such as dpv:DirectMarketing",
                       STR_ARG(purpose->dpv));
    }
}

void lint_names(struct draft *d)
{
    const struct policy *p = d->policy;
    check_duplicates(d, "categories.yaml", "categories", d->categories, p->category_count);
    check_duplicates(d, "purposes.yaml", "purposes", d->purposes, p->purpose_count);
    check_duplicates(d, "recipients.yaml", "recipients", d->recipients, p->recipient_count);
    check_activities_differ(d);
    check_territories(d);
    if (d->controller)
        check_defaults(d);
    if (p->activity_count)
        check_used(d);
    check_terms(d);
}

/* ---- purposes ---- */

static bool has_any(struct draft *d, struct str text, const char *const *phrases, size_t count)
{
    struct str folded = text_fold(d->scratch, text);
    for (size_t i = 0; i < count; i++) {
        if (text_has_phrase(folded, str_of(phrases[i])))
            return true;
    }
    return false;
}

/* Words that are too wide for the name of one reason. */
static const char *const wide_names[] = {
    "any",        "all",     "other",    "general", "various", "misc",    "miscellaneous",
    "everything", "generic", "purposes", "övrigt",  "övriga",  "allmänt", "allmänna",
    "diverse",    "allt",    "alla",     "annat",   "andra",   "ändamål"};
/* Phrases that leave a description open at the end. */
static const char *const open_ends[] = {"any purpose",
                                        "all purposes",
                                        "other purposes",
                                        "various purposes",
                                        "business purposes",
                                        "our purposes",
                                        "and so on",
                                        "etc",
                                        "among other things",
                                        "including but not limited to",
                                        "as we see fit",
                                        "legitimate business",
                                        "alla ändamål",
                                        "andra ändamål",
                                        "olika ändamål",
                                        "och så vidare",
                                        "osv",
                                        "m.m",
                                        "m m",
                                        "mm",
                                        "bland annat",
                                        "med mera",
                                        "vad som helst"};
/* The roots of the DPV tree say nothing of why. */
static const char *const root_terms[] = {"dpv:Purpose", "dpv:CommercialPurpose",
                                         "dpv:NonCommercialPurpose"};

static bool id_is_wide(struct draft *d, struct str id)
{
    char *words = arena_cstr(d->scratch, id);
    for (size_t i = 0; i < id.n; i++)
        words[i] = words[i] == '_' ? ' ' : words[i];
    return has_any(d, str_of(words), wide_names, sizeof wide_names / sizeof *wide_names);
}

/* The line of a text in one language. */
static int text_line(const struct draft *d, size_t purpose, const char *member, size_t language)
{
    const struct node *texts = node_get(d->purposes[purpose], member);
    const struct node *item = texts ? texts->first : NULL;
    while (item && !str_eq(item->key, d->policy->languages[language]))
        item = item->next;
    return item ? item->key_line : node_line(d->purposes[purpose], member);
}

static void catch_all(struct draft *d, size_t i, int line, const char *member)
{
    find_error(d, STR("purposes.yaml"), line, "catch_all_purpose",
               "%s of %.*s covers anything: say one specific reason (GDPR art. 6(1)(a))", member,
               STR_ARG(d->policy->purposes[i].id));
}

static void check_catch_all(struct draft *d, size_t i)
{
    const struct policy_purpose *p = &d->policy->purposes[i];
    if (id_is_wide(d, p->id))
        catch_all(d, i, node_line(d->purposes[i], "id"), "id");
    for (size_t l = 0; l < d->policy->language_count; l++) {
        if (has_any(d, p->label.in[l], wide_names, sizeof wide_names / sizeof *wide_names))
            catch_all(d, i, text_line(d, i, "label", l), "label");
        if (has_any(d, p->description.in[l], open_ends, sizeof open_ends / sizeof *open_ends))
            catch_all(d, i, text_line(d, i, "description", l), "description");
    }
    for (size_t t = 0; t < sizeof root_terms / sizeof *root_terms; t++) {
        if (str_is(p->dpv, root_terms[t]))
            catch_all(d, i, node_line(d->purposes[i], "dpv"), "dpv");
    }
}

struct policy_text text_fold_all(struct draft *d, const struct policy_text *text)
{
    struct policy_text out = {0};
    for (size_t l = 0; l < d->policy->language_count; l++)
        out.in[l] = text_fold(d->scratch, text->in[l]);
    return out;
}

/* The language in which one of two folded texts names the label of another purpose, or -1. */
static int names_other(const struct draft *d, const struct policy_purpose *folded,
                       const struct policy_purpose *other)
{
    for (size_t l = 0; l < d->policy->language_count; l++) {
        if (text_has_phrase(folded->label.in[l], other->label.in[l]) ||
            text_has_phrase(folded->description.in[l], other->label.in[l]))
            return (int)l;
    }
    return -1;
}

static bool holds_other(struct draft *d, size_t i, const struct policy_purpose *folded)
{
    const struct policy_purpose *p = &d->policy->purposes[i];
    for (size_t j = 0; j < d->policy->purpose_count; j++) {
        const struct policy_purpose *other = &d->policy->purposes[j];
        int language = names_other(d, &folded[i], &folded[j]);
        if (j == i || str_eq(p->id, other->id) || language < 0)
            continue;
        bool in_label = text_has_phrase(folded[i].label.in[language], folded[j].label.in[language]);
        find_error(d, STR("purposes.yaml"),
                   text_line(d, i, in_label ? "label" : "description", (size_t)language),
                   "bundled_purpose",
                   "%.*s holds the purpose %.*s: each is asked for by itself (GDPR art. 7(4))",
                   STR_ARG(p->id), STR_ARG(other->id));
        return true;
    }
    return false;
}

static void check_joined(struct draft *d, size_t i)
{
    static const char *const joints[] = {"and", "och", "&", "+"};
    const struct policy_text *label = &d->policy->purposes[i].label;
    for (size_t l = 0; l < d->policy->language_count; l++) {
        if (!has_any(d, label->in[l], joints, 4))
            continue;
        find(d, POLICY_WARNING, STR("purposes.yaml"), text_line(d, i, "label", l),
             "bundled_purpose", "\"%.*s\" may be two purposes: each is asked for by itself",
             STR_ARG(label->in[l]));
        return;
    }
}

void lint_purposes(struct draft *d)
{
    size_t count = d->policy->purpose_count;
    struct policy_purpose *folded = arena_array(d->scratch, count + 1, sizeof *folded);
    for (size_t i = 0; i < count; i++) {
        folded[i].label = text_fold_all(d, &d->policy->purposes[i].label);
        folded[i].description = text_fold_all(d, &d->policy->purposes[i].description);
    }
    for (size_t i = 0; i < count; i++) {
        check_catch_all(d, i);
        if (!holds_other(d, i, folded))
            check_joined(d, i);
    }
}

/* ---- recipients ---- */

enum { CHOICE_DAYS = 30 };

static void check_paper(struct draft *d, size_t i, const char *member, int64_t end, bool wanted,
                        const char *rule)
{
    const struct policy_recipient *r = &d->policy->recipients[i];
    int line = node_line(d->recipients[i], member);
    if (end == TIME_NONE && wanted)
        find_error(d, STR("recipients.yaml"), line, rule, "%.*s, a %s, has no %s", STR_ARG(r->id),
                   recipient_kind_name(r->kind), member);
    if (end != TIME_NONE && end <= d->now)
        find(d, POLICY_WARNING, STR("recipients.yaml"), line, "lapsed",
             "%s of %.*s has ended: everything it asks for is denied", member, STR_ARG(r->id));
}

/* Whoever takes over a company's data does so openly: consumers know beforehand, and for long
 * enough to say no. */
static void check_transfer(struct draft *d, size_t i)
{
    const struct policy_recipient *r = &d->policy->recipients[i];
    const struct str file = STR("recipients.yaml");
    int line = node_line(d->recipients[i], "transfer");
    if (r->kind != RECIPIENT_SUCCESSOR) {
        if (node_get(d->recipients[i], "transfer"))
            find_error(d, file, line, "unknown_member",
                       "only a successor takes over by a transfer");
        return;
    }
    if (!node_get(d->recipients[i], "transfer"))
        find_error(
            d, file, line, "no_transfer",
            "%.*s, a successor, has no transfer: say when it is announced and from when it is",
            STR_ARG(r->id));
    else if (r->announced != TIME_NONE && r->begins != TIME_NONE &&
             r->begins - r->announced < CHOICE_DAYS * (int64_t)DAY_MS)
        find_error(
            d, file, line, "no_time_to_choose",
            "the transfer begins %lld days after it is announced: consumers have at least %d "
            "to choose",
            (long long)((r->begins - r->announced) / DAY_MS), CHOICE_DAYS);
}

/* A transfer that nobody can say no to leaves no choice. */
static void check_choice(struct draft *d, const struct policy_activity *a)
{
    if (!a->recipient || a->recipient->kind != RECIPIENT_SUCCESSOR)
        return;
    for (size_t l = 0; l < d->policy->law_count; l++) {
        enum policy_basis basis = a->basis[l];
        if (basis == BASIS_CONTRACT || basis == BASIS_VITAL_INTEREST || basis == BASIS_PUBLIC_TASK)
            find_error(
                d, STR("activities.yaml"), node_line(d->activities[a->index].node, "basis"),
                "transfer_without_choice",
                "under %.*s nobody could say no to the transfer: let them consent, opt out or "
                "object",
                STR_ARG(d->policy->laws[l].id));
    }
}

void lint_recipients(struct draft *d)
{
    for (size_t i = 0; i < d->policy->activity_count; i++)
        check_choice(d, &d->policy->activities[i]);
    for (size_t i = 0; i < d->policy->recipient_count; i++)
        check_transfer(d, i);
    for (size_t i = 0; i < d->policy->recipient_count; i++) {
        const struct policy_recipient *r = &d->policy->recipients[i];
        bool outside = r->kind != RECIPIENT_DEPARTMENT;
        check_paper(d, i, "contract", r->contract_end, outside, "no_contract");
        check_paper(d, i, "safeguards", r->safeguards_end, outside, "no_safeguards");
        check_paper(d, i, "training", r->training_end, !outside, "no_training");
    }
}
