/* load_rights.c - what laws/<id>.yaml says of consumers' rights: how long an answer may take, and
 * why it may be a no. */
#include <string.h>

#include "policy/draft.h"

const char *const policy_rights[] = {
    "access",  "portability", "rectification",      "erasure",     "restriction", "objection",
    "opt_out", "limit_use",   "automated_decision", "explanation", NULL,
};
enum { RIGHTS = sizeof policy_rights / sizeof *policy_rights - 1 };

/* ---- deadlines ---- */

struct deadline_in {
    int right, months, days, extend_months, extend_days;
    struct str source, note;
};

static const struct member deadline_members[] = {
    {.name = "right",
     .kind = MEMBER_WORD,
     .offset = offsetof(struct deadline_in, right),
     .required = true,
     .words = policy_rights,
     .word_count = RIGHTS},
    {.name = "months",
     .kind = MEMBER_INT,
     .offset = offsetof(struct deadline_in, months),
     .min = 1,
     .max = 24},
    {.name = "days",
     .kind = MEMBER_INT,
     .offset = offsetof(struct deadline_in, days),
     .min = 1,
     .max = 730},
    {.name = "extend_months",
     .kind = MEMBER_INT,
     .offset = offsetof(struct deadline_in, extend_months),
     .min = 0,
     .max = 24},
    {.name = "extend_days",
     .kind = MEMBER_INT,
     .offset = offsetof(struct deadline_in, extend_days),
     .min = 0,
     .max = 730},
    {.name = "source",
     .kind = MEMBER_TEXT,
     .offset = offsetof(struct deadline_in, source),
     .required = true},
    {.name = "note", .kind = MEMBER_TEXT, .offset = offsetof(struct deadline_in, note)},
};

static void load_deadline(struct draft *d, struct str file, const struct node *item,
                          struct policy_law *law)
{
    struct deadline_in in = {.right = -1};
    if (!take(d, file, item, deadline_members, 7, &in) || in.right < 0)
        return;
    struct str right = str_of(policy_rights[in.right]);
    if ((in.months > 0) == (in.days > 0))
        find_error(d, file, item->line, "deadline", "%.*s: give either months or days",
                   STR_ARG(right));
    for (size_t i = 0; i < law->deadline_count; i++) {
        if (str_eq(law->deadlines[i].right, right))
            find_error(d, file, item->line, "duplicate_name", "%.*s has two deadlines",
                       STR_ARG(right));
    }
    law->deadlines[law->deadline_count++] = (struct policy_deadline){
        right, in.source, in.months, in.days, in.extend_months, in.extend_days};
}

void load_deadlines(struct draft *d, struct str file, const struct node *list,
                    struct policy_law *law)
{
    size_t n = list ? list->count : 0;
    law->deadlines = arena_array(d->arena, n + 1, sizeof *law->deadlines);
    for (const struct node *item = n ? list->first : NULL; item; item = item->next)
        load_deadline(d, file, item, law);
}

/* ---- refusals ---- */

struct refusal_in {
    struct str reason, source, note;
    const struct node *rights;
};
static const struct member refusal_members[] = {
    {.name = "reason",
     .kind = MEMBER_NAME,
     .offset = offsetof(struct refusal_in, reason),
     .required = true},
    {.name = "rights", .kind = MEMBER_LIST, .offset = offsetof(struct refusal_in, rights)},
    {.name = "source",
     .kind = MEMBER_TEXT,
     .offset = offsetof(struct refusal_in, source),
     .required = true},
    {.name = "note", .kind = MEMBER_TEXT, .offset = offsetof(struct refusal_in, note)},
};

static void load_refusal(struct draft *d, struct str file, const struct node *item,
                         struct policy_law *law)
{
    struct refusal_in in = {0};
    if (!take(d, file, item, refusal_members, 4, &in) || !in.reason.n)
        return;
    struct policy_refusal *r = &law->refusals[law->refusal_count];
    *r = (struct policy_refusal){.reason = in.reason, .source = in.source};
    r->rights = arena_array(d->arena, (in.rights ? in.rights->count : 0) + 1, sizeof *r->rights);
    for (const struct node *n = in.rights ? in.rights->first : NULL; n; n = n->next) {
        int right = take_word(d, file, n, policy_rights, RIGHTS);
        if (right >= 0)
            r->rights[r->right_count++] = str_of(policy_rights[right]);
    }
    /* None of the rights that it names is one: it must not become a reason for all. */
    if (in.rights && !r->right_count) {
        find_error(d, file, item->line, "refusal",
                   "%.*s: name the rights that may be refused, or "
                   "leave the member out for all",
                   STR_ARG(in.reason));
        return;
    }
    for (size_t i = 0; i < law->refusal_count; i++)
        if (str_eq(law->refusals[i].reason, in.reason))
            find_error(d, file, item->line, "duplicate_name", "%.*s is there twice",
                       STR_ARG(in.reason));
    law->refusal_count++;
}

void load_refusals(struct draft *d, struct str file, const struct node *list,
                   struct policy_law *law)
{
    size_t n = list ? list->count : 0;
    law->refusals = arena_array(d->arena, n + 1, sizeof *law->refusals);
    for (const struct node *item = n ? list->first : NULL; item; item = item->next)
        load_refusal(d, file, item, law);
}

/* ---- the rest ---- */

struct offsets_in {
    int west, east;
};

void load_utc_offsets(struct draft *d, struct str file, const struct node *node,
                      struct policy_law *law)
{
    static const struct member members[] = {
        {.name = "west",
         .kind = MEMBER_INT,
         .offset = offsetof(struct offsets_in, west),
         .required = true,
         .min = -12,
         .max = 14},
        {.name = "east",
         .kind = MEMBER_INT,
         .offset = offsetof(struct offsets_in, east),
         .required = true,
         .min = -12,
         .max = 14},
    };
    struct offsets_in in = {-12, 14}; /* the widest that there is */
    if (node && take(d, file, node, members, 2, &in) && in.west > in.east)
        find_error(d, file, node->key_line, "out_of_range", "west is after east");
    law->west = in.west;
    law->east = in.east;
}

struct str load_source(struct draft *d, struct str file, const struct node *node)
{
    static const struct member members[] = {
        {.name = "source", .kind = MEMBER_TEXT, .offset = 0, .required = true},
    };
    struct str source = {0};
    if (node)
        take(d, file, node, members, 1, &source);
    return source;
}
