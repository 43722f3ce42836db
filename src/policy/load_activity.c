/* load_activity.c - reads activities.yaml, where every name of the other files meets, so it is read
 * last and resolves each name as it goes. Where the file of the named things could not be read at
 * all, that is the finding, and not each name that it would have held. */
#include <string.h>

#include "policy/draft.h"

struct activity_in {
    struct str id, purpose, recipient, notice;
    const struct node *categories, *basis, *view;
    int if_refused, retention, consent_duration, record, automated_decision;
};

static const char *const bases[] = {"consent",    "opt_out",          "legitimate_interest",
                                    "contract",   "legal_obligation", "vital_interest",
                                    "public_task"};

static void unknown_name(struct draft *d, int line, const char *what, struct str name,
                         const struct str *ids, size_t count)
{
    struct str hint = find_hint(d, name, ids, count);
    find_error(d, STR("activities.yaml"), line, "unknown_name", "there is no %s %.*s%.*s", what,
               STR_ARG(name), STR_ARG(hint));
}

static const struct policy_purpose *find_purpose(struct draft *d, struct str id, int line)
{
    const struct policy *p = d->policy;
    struct str *ids = arena_array(d->scratch, p->purpose_count + 1, sizeof *ids);
    for (size_t i = 0; i < p->purpose_count; i++) {
        ids[i] = p->purposes[i].id;
        if (str_eq(ids[i], id))
            return &p->purposes[i];
    }
    if (id.n && p->purpose_count)
        unknown_name(d, line, "purpose", id, ids, p->purpose_count);
    return NULL;
}

static const struct policy_recipient *find_recipient(struct draft *d, struct str id, int line)
{
    const struct policy *p = d->policy;
    struct str *ids = arena_array(d->scratch, p->recipient_count + 1, sizeof *ids);
    for (size_t i = 0; i < p->recipient_count; i++) {
        ids[i] = p->recipients[i].id;
        if (str_eq(ids[i], id))
            return &p->recipients[i];
    }
    if (id.n && p->recipient_count)
        unknown_name(d, line, "recipient", id, ids, p->recipient_count);
    return NULL;
}

static const struct policy_notice *find_notice(struct draft *d, struct str id, int line)
{
    const struct policy *p = d->policy;
    struct str *ids = arena_array(d->scratch, p->notice_count + 1, sizeof *ids);
    for (size_t i = 0; i < p->notice_count; i++) {
        ids[i] = p->notices[i].id;
        if (str_eq(ids[i], id))
            return &p->notices[i];
    }
    if (id.n && p->notice_count)
        unknown_name(d, line, "notice", id, ids, p->notice_count);
    return NULL;
}

static const struct policy_category *find_category(struct draft *d, struct str id, int line)
{
    const struct policy *p = d->policy;
    struct str *ids = arena_array(d->scratch, p->category_count + 1, sizeof *ids);
    for (size_t i = 0; i < p->category_count; i++) {
        ids[i] = p->categories[i].id;
        if (str_eq(ids[i], id))
            return &p->categories[i];
    }
    if (p->category_count)
        unknown_name(d, line, "category", id, ids, p->category_count);
    return NULL;
}

static void load_used(struct draft *d, const struct node *list, struct policy_activity *a)
{
    size_t count = list ? list->count : 0;
    a->categories = arena_array(d->arena, count + 1, sizeof *a->categories);
    if (list && !count)
        find_error(d, STR("activities.yaml"), list->key_line, "missing_member",
                   "categories is empty");
    for (const struct node *item = count ? list->first : NULL; item; item = item->next) {
        const struct policy_category *c = NULL;
        if (item->kind == TREE_TEXT)
            c = find_category(d, item->text, item->line);
        else
            find_error(d, STR("activities.yaml"), item->line, "wrong_type",
                       "each item of categories is a name");
        if (c && policy_activity_covers(a, c))
            find_error(d, STR("activities.yaml"), item->line, "duplicate_name",
                       "%.*s is listed twice", STR_ARG(c->id));
        else if (c)
            a->categories[a->category_count++] = c;
    }
}

static void load_basis(struct draft *d, const struct node *map, struct policy_activity *a)
{
    const struct str file = STR("activities.yaml");
    const struct policy *p = d->policy;
    struct str ids[MAX_LAWS];
    a->basis = arena_array(d->arena, p->law_count + 1, sizeof *a->basis);
    for (size_t i = 0; i < p->law_count; i++) {
        ids[i] = p->laws[i].id;
        if (map && !p->laws[i].basis_as.n && !node_get(map, arena_cstr(d->scratch, ids[i])))
            find_error(d, file, map->key_line, "missing_basis",
                       "%.*s has no legal basis under %.*s", STR_ARG(a->id), STR_ARG(ids[i]));
    }
    for (const struct node *item = map ? map->first : NULL; item; item = item->next) {
        size_t law = 0;
        while (law < p->law_count && !str_eq(ids[law], item->key))
            law++;
        if (law == p->law_count)
            unknown_name(d, item->key_line, "law", item->key, ids, p->law_count);
        else
            a->basis[law] = (enum policy_basis)(take_word(d, file, item, bases, 7) + 1);
    }
    for (size_t i = 0; i < p->law_count; i++)
        for (size_t k = 0; k < p->law_count && a->basis[i] == BASIS_NONE; k++)
            if (str_eq(ids[k], p->laws[i].basis_as))
                a->basis[i] = a->basis[k];
}

static const char *const refusals[] = {"nothing", "worse_price", "worse_service", "no_service"};
static const char *const records[] = {"on_request", "always"};
static const char *const decisions[] = {"allowed", "forbidden"};
static const struct member activity_members[] = {
    {.name = "id",
     .kind = MEMBER_NAME,
     .offset = offsetof(struct activity_in, id),
     .required = true},
    {.name = "purpose",
     .kind = MEMBER_NAME,
     .offset = offsetof(struct activity_in, purpose),
     .required = true},
    {.name = "recipient",
     .kind = MEMBER_NAME,
     .offset = offsetof(struct activity_in, recipient),
     .required = true},
    {.name = "categories",
     .kind = MEMBER_LIST,
     .offset = offsetof(struct activity_in, categories),
     .required = true},
    {.name = "basis",
     .kind = MEMBER_MAP,
     .offset = offsetof(struct activity_in, basis),
     .required = true},
    {.name = "if_refused",
     .kind = MEMBER_WORD,
     .offset = offsetof(struct activity_in, if_refused),
     .words = refusals,
     .word_count = 4},
    {.name = "notice", .kind = MEMBER_NAME, .offset = offsetof(struct activity_in, notice)},
    {.name = "view", .kind = MEMBER_MAP, .offset = offsetof(struct activity_in, view)},
    {.name = "retention",
     .kind = MEMBER_INT,
     .offset = offsetof(struct activity_in, retention),
     .required = true,
     .min = 1,
     .max = 36525},
    {.name = "consent_duration",
     .kind = MEMBER_INT,
     .offset = offsetof(struct activity_in, consent_duration),
     .min = 1,
     .max = 36525},
    {.name = "record",
     .kind = MEMBER_WORD,
     .offset = offsetof(struct activity_in, record),
     .words = records,
     .word_count = 2},
    {.name = "automated_decision",
     .kind = MEMBER_WORD,
     .offset = offsetof(struct activity_in, automated_decision),
     .words = decisions,
     .word_count = 2},
};

static void load_activity(struct draft *d, const struct node *item)
{
    struct activity_in in = {.if_refused = REFUSAL_UNSAID, .consent_duration = 365};
    if (!take(d, STR("activities.yaml"), item, activity_members, 12, &in) || !in.id.n)
        return;
    struct policy *p = d->policy;
    struct policy_activity *a = &p->activities[p->activity_count];
    struct activity_draft *draft = &d->activities[p->activity_count];
    *draft = (struct activity_draft){.node = item, .if_refused = in.if_refused, .k = -1};
    *a = (struct policy_activity){.index = (uint32_t)p->activity_count++,
                                  .id = in.id,
                                  .no_automated_decision = in.automated_decision == 1,
                                  .record_always = in.record == 1,
                                  .retention_days = in.retention,
                                  .consent_days = in.consent_duration};
    a->purpose = find_purpose(d, in.purpose, node_line(item, "purpose"));
    a->recipient = find_recipient(d, in.recipient, node_line(item, "recipient"));
    a->notice = find_notice(d, in.notice, node_line(item, "notice"));
    load_used(d, in.categories, a);
    load_basis(d, in.basis, a);
    load_view(d, in.view, a, &draft->k);
}

void load_activities(struct draft *d)
{
    const struct node *root = take_file(d, "activities.yaml");
    const struct node *list = take_list(d, STR("activities.yaml"), root, "activities", MAX_THINGS);
    size_t n = list ? list->count : 0;
    d->policy->activities = arena_array(d->arena, n + 1, sizeof *d->policy->activities);
    d->activities = arena_array(d->scratch, n + 1, sizeof *d->activities);
    for (const struct node *item = list ? list->first : NULL; item; item = item->next)
        load_activity(d, item);
}
