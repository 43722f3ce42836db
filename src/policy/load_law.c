/* load_law.c - reads laws/<id>.yaml. Every number of a law stands beside the article it comes from,
 * so the shape demands a source wherever it demands a number. */
#include <string.h>

#include "policy/draft.h"

struct law_in {
    struct str id, name, citation, basis_as;
    int32_t effective;
    const struct node *territories, *consent, *deadlines, *refusals, *utc_offsets, *opt_out_signal,
        *suppression_list, *changes;
};

struct consent_in {
    int model;
    struct str source;
    const struct node *guardian_below, *opt_in_below, *max_days, *reask_after_days;
};

struct number_in {
    int value;
    struct str source;
};

static int load_number(struct draft *d, struct str file, const struct node *node, const char *unit,
                       int max)
{
    const struct member members[] = {
        {.name = unit,
         .kind = MEMBER_INT,
         .offset = offsetof(struct number_in, value),
         .required = true,
         .min = 1,
         .max = max},
        {.name = "source",
         .kind = MEMBER_TEXT,
         .offset = offsetof(struct number_in, source),
         .required = true},
    };
    struct number_in in = {0};
    if (node)
        take(d, file, node, members, 2, &in);
    return in.value;
}

static void load_guardian(struct draft *d, struct str file, const struct node *node,
                          struct policy_law *law)
{
    if (!node)
        return;
    law->guardian_by_territory =
        arena_array(d->arena, node->count + 1, sizeof *law->guardian_by_territory);
    for (const struct node *item = node->first; item; item = item->next) {
        int64_t years = 0;
        if (str_is(item->key, "source"))
            continue;
        if (item->kind != TREE_TEXT || !item->plain || !str_to_int(item->text, 1, 21, &years)) {
            find_error(d, file, item->line, "out_of_range",
                       "%.*s must be a whole number from 1 to 21", STR_ARG(item->key));
        } else if (str_is(item->key, "default")) {
            law->guardian_below = (int)years;
        } else if (is_territory(item->key)) {
            size_t n = law->guardian_by_territory_count++;
            law->guardian_by_territory[n].territory = item->key;
            law->guardian_by_territory[n].years = (int)years;
        } else {
            find_error(d, file, item->key_line, "bad_territory",
                       "%.*s is no territory: use ISO 3166 codes such as SE or US-CA",
                       STR_ARG(item->key));
        }
    }
    const struct node *source = node_get(node, "source");
    if (!law->guardian_below)
        find_error(d, file, node->key_line, "missing_member", "default is missing");
    if (!source || source->kind != TREE_TEXT || !str_trim(source->text).n)
        find_error(d, file, node->key_line, "missing_member", "source is missing");
}

static void load_consent(struct draft *d, struct str file, const struct node *node,
                         struct policy_law *law)
{
    static const char *const models[] = {"opt_in", "opt_out"};
    static const struct member members[] = {
        {.name = "model",
         .kind = MEMBER_WORD,
         .offset = offsetof(struct consent_in, model),
         .required = true,
         .words = models,
         .word_count = 2},
        {.name = "source",
         .kind = MEMBER_TEXT,
         .offset = offsetof(struct consent_in, source),
         .required = true},
        {.name = "guardian_below",
         .kind = MEMBER_MAP,
         .offset = offsetof(struct consent_in, guardian_below)},
        {.name = "opt_in_below",
         .kind = MEMBER_MAP,
         .offset = offsetof(struct consent_in, opt_in_below)},
        {.name = "max_days", .kind = MEMBER_MAP, .offset = offsetof(struct consent_in, max_days)},
        {.name = "reask_after_days",
         .kind = MEMBER_MAP,
         .offset = offsetof(struct consent_in, reask_after_days)},
    };
    struct consent_in in = {0};
    if (!node)
        return;
    take(d, file, node, members, 6, &in);
    law->opt_out_model = in.model == 1;
    load_guardian(d, file, in.guardian_below, law);
    law->opt_in_below = load_number(d, file, in.opt_in_below, "years", 21);
    law->consent_max_days = load_number(d, file, in.max_days, "days", 36525);
    law->reask_after_days = load_number(d, file, in.reask_after_days, "days", 36525);
}

static void load_territories(struct draft *d, struct str file, const struct node *list,
                             struct policy_law *law)
{
    law->territories = take_names(d, file, list, &law->territory_count);
    for (const struct node *item = list ? list->first : NULL; item; item = item->next) {
        if (item->kind == TREE_TEXT && !is_territory(item->text))
            find_error(d, file, item->line, "bad_territory",
                       "%.*s is no territory: use ISO 3166 codes such as SE or US-CA",
                       STR_ARG(item->text));
    }
}

static const struct member law_members[] = {
    {.name = "id", .kind = MEMBER_NAME, .offset = offsetof(struct law_in, id), .required = true},
    {.name = "name",
     .kind = MEMBER_TEXT,
     .offset = offsetof(struct law_in, name),
     .required = true},
    {.name = "citation",
     .kind = MEMBER_TEXT,
     .offset = offsetof(struct law_in, citation),
     .required = true},
    {.name = "effective",
     .kind = MEMBER_DATE,
     .offset = offsetof(struct law_in, effective),
     .required = true},
    {.name = "territories",
     .kind = MEMBER_LIST,
     .offset = offsetof(struct law_in, territories),
     .required = true},
    {.name = "consent",
     .kind = MEMBER_MAP,
     .offset = offsetof(struct law_in, consent),
     .required = true},
    {.name = "deadlines",
     .kind = MEMBER_LIST,
     .offset = offsetof(struct law_in, deadlines),
     .required = true},
    {.name = "basis_as", .kind = MEMBER_NAME, .offset = offsetof(struct law_in, basis_as)},
    {.name = "refusals", .kind = MEMBER_LIST, .offset = offsetof(struct law_in, refusals)},
    {.name = "utc_offsets", .kind = MEMBER_MAP, .offset = offsetof(struct law_in, utc_offsets)},
    {.name = "opt_out_signal",
     .kind = MEMBER_MAP,
     .offset = offsetof(struct law_in, opt_out_signal)},
    {.name = "suppression_list",
     .kind = MEMBER_MAP,
     .offset = offsetof(struct law_in, suppression_list)},
    {.name = "changes", .kind = MEMBER_LIST, .offset = offsetof(struct law_in, changes)},
};

/* Fills *law by one state of its file. */
static bool load_state(struct draft *d, struct str file, const struct node *root,
                       struct policy_law *law)
{
    struct law_in in = {0};
    if (!take(d, file, root, law_members, sizeof law_members / sizeof *law_members, &in))
        return false;
    struct str expected = {file.p + strlen("laws/"), file.n - strlen("laws/.yaml")};
    if (in.id.n && !str_eq(in.id, expected))
        find_error(d, file, node_line(root, "id"), "file_name",
                   "the file of law %.*s is laws/%.*s.yaml", STR_ARG(in.id), STR_ARG(in.id));
    *law = (struct policy_law){.index = law->index,
                               .id = expected,
                               .name = in.name,
                               .citation = in.citation,
                               .basis_as = in.basis_as,
                               .effective = date_start(in.effective),
                               .pending = law->pending,
                               .pending_count = law->pending_count};
    load_territories(d, file, in.territories, law);
    load_consent(d, file, in.consent, law);
    load_deadlines(d, file, in.deadlines, law);
    load_refusals(d, file, in.refusals, law);
    load_utc_offsets(d, file, in.utc_offsets, law);
    law->opt_out_signal = load_source(d, file, in.opt_out_signal);
    law->suppression_list = load_source(d, file, in.suppression_list);
    return true;
}

/* The law as it stands at d->now; what comes later is checked and noted. */
static void follow_changes(struct draft *d, struct str file, const struct node *root,
                           struct policy_law *law)
{
    struct law_change *changes = NULL;
    size_t count = load_changes(d, file, root, &changes), errors = d->findings->errors;
    law->pending = arena_array(d->arena, count + 1, sizeof *law->pending);
    for (size_t i = 0; i < count && d->findings->errors == errors; i++) {
        struct policy_law next = *law;
        load_state(d, file, changes[i].state, &next);
        if (changes[i].from <= d->now) {
            *law = next;
            continue;
        }
        law->pending[law->pending_count++] =
            (struct policy_law_change){changes[i].from, changes[i].source};
        if (changes[i].from < d->policy->next_change)
            d->policy->next_change = changes[i].from;
    }
}

static void load_law(struct draft *d, struct str file, const struct node *root)
{
    struct policy *p = d->policy;
    struct policy_law *law = &p->laws[p->law_count];
    size_t errors = d->findings->errors;
    *law = (struct policy_law){.index = (uint32_t)p->law_count};
    if (!load_state(d, file, root, law))
        return;
    d->laws[p->law_count] = root;
    d->law_files[p->law_count] = file;
    p->law_count++;
    /* A mistake of the first state would come back with each later one. */
    if (d->findings->errors == errors)
        follow_changes(d, file, root, law);
}

/* The law that another one takes its bases from is there, and has its own. */
static void check_basis_as(struct draft *d, const struct policy_law *law)
{
    const struct policy *p = d->policy;
    if (!law->basis_as.n)
        return;
    for (size_t i = 0; i < p->law_count; i++)
        if (str_eq(p->laws[i].id, law->basis_as) && !p->laws[i].basis_as.n)
            return;
    find_error(d, d->law_files[law->index], node_line(d->laws[law->index], "basis_as"),
               "unknown_name", "%.*s is no law with bases of its own", STR_ARG(law->basis_as));
}

void load_laws(struct draft *d)
{
    struct policy *p = d->policy;
    p->laws = arena_array(d->arena, MAX_LAWS, sizeof *p->laws);
    d->laws = arena_array(d->scratch, MAX_LAWS, sizeof *d->laws);
    d->law_files = arena_array(d->scratch, MAX_LAWS, sizeof *d->law_files);
    size_t files = 0;
    for (size_t i = 0; i < d->bundle->count; i++) {
        struct str path = d->bundle->files[i].path;
        if (!str_starts(path, STR("laws/")) || !str_ends(path, STR(".yaml")))
            continue;
        if (++files > MAX_LAWS) {
            find_error(d, path, 0, "too_many", "more than %d laws", MAX_LAWS);
            return;
        }
        path = arena_str(d->arena, path);
        const struct node *root = take_file(d, path.p);
        if (root)
            load_law(d, path, root);
    }
    for (size_t i = 0; i < p->law_count; i++)
        check_basis_as(d, &p->laws[i]);
    if (!files)
        find_error(d, STR("laws"), 0, "missing_file",
                   "the policy has no law: add a file such as laws/gdpr.yaml");
}
