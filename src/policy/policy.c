/* policy.c - the compiled policy and its look-ups. Names are found in open-addressed tables, and an
 * activity in a matrix of recipient by purpose: both are bounded by the linter (256 things of a
 * kind), so the matrix takes 256 KiB at the most and a few hundred bytes usually. */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "policy/draft.h"

struct name_table {
    size_t mask;
    const struct str **names; /* NULL: free */
    uint32_t *indexes;
};

static const char *const basis_names[] = {
    "none",     "consent",          "opt_out",        "legitimate_interest",
    "contract", "legal_obligation", "vital_interest", "public_task"};
static const char *const kind_names[] = {"department", "processor", "advertiser", "affiliate",
                                         "broker",     "successor", "third_party"};
static const char *const form_names[] = {"identified", "pseudonymous", "aggregate"};
static const char *const type_names[] = {"string",    "integer", "decimal",        "date",
                                         "timestamp", "boolean", "enum",           "email",
                                         "phone",     "country", "currency_amount"};

const char *policy_basis_name(enum policy_basis basis)
{
    return basis_names[basis];
}

const char *recipient_kind_name(enum recipient_kind kind)
{
    return kind_names[kind];
}

const char *view_form_name(enum view_form form)
{
    return form_names[form];
}

const char *field_type_name(enum field_type type)
{
    return type_names[type];
}

static struct name_table *table_new(struct arena *arena, size_t count)
{
    struct name_table *t = arena_alloc(arena, sizeof *t);
    size_t size = 4;
    while (size < count * 2)
        size *= 2;
    t->mask = size - 1;
    t->names = arena_array(arena, size, sizeof *t->names);
    t->indexes = arena_array(arena, size, sizeof *t->indexes);
    return t;
}

static void table_add(struct name_table *t, const struct str *name, uint32_t index)
{
    size_t at = (size_t)hash64(*name) & t->mask;
    while (t->names[at])
        at = (at + 1) & t->mask;
    t->names[at] = name;
    t->indexes[at] = index;
}

/* The index of a name, or -1. */
static int64_t table_find(const struct name_table *t, struct str name)
{
    for (size_t at = (size_t)hash64(name) & t->mask; t->names[at]; at = (at + 1) & t->mask) {
        if (str_eq(*t->names[at], name))
            return t->indexes[at];
    }
    return -1;
}

void policy_index(struct policy *p)
{
    struct policy_private *v = p->private;
    v->categories = table_new(&v->arena, p->category_count);
    for (size_t i = 0; i < p->category_count; i++)
        table_add(v->categories, &p->categories[i].id, (uint32_t)i);
    v->purposes = table_new(&v->arena, p->purpose_count);
    for (size_t i = 0; i < p->purpose_count; i++)
        table_add(v->purposes, &p->purposes[i].id, (uint32_t)i);
    v->recipients = table_new(&v->arena, p->recipient_count);
    for (size_t i = 0; i < p->recipient_count; i++)
        table_add(v->recipients, &p->recipients[i].id, (uint32_t)i);
    v->notices = table_new(&v->arena, p->notice_count);
    for (size_t i = 0; i < p->notice_count; i++)
        table_add(v->notices, &p->notices[i].id, (uint32_t)i);
    v->activities =
        arena_array(&v->arena, p->recipient_count * p->purpose_count + 1, sizeof *v->activities);
    for (size_t i = 0; i < p->activity_count; i++) {
        const struct policy_activity *a = &p->activities[i];
        v->activities[a->recipient->index * p->purpose_count + a->purpose->index] = (uint32_t)i + 1;
    }
}

struct policy *policy_ref(struct policy *p)
{
    atomic_fetch_add_explicit(&p->refs, 1, memory_order_relaxed);
    return p;
}

void policy_unref(struct policy *p)
{
    /* Release pairs with the acquire of whoever drops the last reference and frees. */
    if (!p || atomic_fetch_sub_explicit(&p->refs, 1, memory_order_acq_rel) != 1)
        return;
    arena_free(&p->private->arena);
    free(p->private);
    free(p);
}

const struct policy_category *policy_category(const struct policy *p, struct str id)
{
    int64_t i = table_find(p->private->categories, id);
    return i < 0 ? NULL : &p->categories[i];
}

const struct policy_field *policy_field(const struct policy_category *c, struct str name)
{
    for (size_t i = 0; i < c->field_count; i++)
        if (str_eq(c->fields[i].name, name))
            return &c->fields[i];
    return NULL;
}

const struct policy_purpose *policy_purpose(const struct policy *p, struct str id)
{
    int64_t i = table_find(p->private->purposes, id);
    return i < 0 ? NULL : &p->purposes[i];
}

const struct policy_recipient *policy_recipient(const struct policy *p, struct str id)
{
    int64_t i = table_find(p->private->recipients, id);
    return i < 0 ? NULL : &p->recipients[i];
}

const struct policy_notice *policy_notice(const struct policy *p, struct str id)
{
    int64_t i = table_find(p->private->notices, id);
    return i < 0 ? NULL : &p->notices[i];
}

const struct policy_activity *policy_activity(const struct policy *p,
                                              const struct policy_recipient *recipient,
                                              const struct policy_purpose *purpose)
{
    uint32_t i = p->private->activities[recipient->index * p->purpose_count + purpose->index];
    return i ? &p->activities[i - 1] : NULL;
}

bool policy_activity_covers(const struct policy_activity *a, const struct policy_category *c)
{
    for (size_t i = 0; i < a->category_count; i++) {
        if (a->categories[i] == c)
            return true;
    }
    return false;
}

const struct policy_view_part *policy_view_of(const struct policy_activity *a,
                                              const struct policy_category *c)
{
    for (size_t i = 0; i < a->category_count; i++) {
        if (a->categories[i] == c)
            return &a->view_parts[i];
    }
    return NULL;
}

int policy_retention_days(const struct policy *p, const struct policy_category *c)
{
    int longest = 0;
    for (size_t i = 0; i < p->activity_count; i++) {
        const struct policy_activity *a = &p->activities[i];
        if (a->retention_days > longest && policy_activity_covers(a, c))
            longest = a->retention_days;
    }
    return c->retention_days && c->retention_days < longest ? c->retention_days : longest;
}

/* "US" of "US-CA". */
static struct str country_of(struct str residence)
{
    return (struct str){residence.p, str_find(residence, '-')};
}

static const struct policy_law *law_of_territory(const struct policy *p, struct str territory)
{
    for (size_t i = 0; i < p->law_count; i++) {
        for (size_t j = 0; j < p->laws[i].territory_count; j++) {
            if (str_eq(p->laws[i].territories[j], territory))
                return &p->laws[i];
        }
    }
    return NULL;
}

static const struct policy_law *law_covering(const struct policy *p, struct str residence)
{
    const struct policy_law *law = law_of_territory(p, residence);
    return law ? law : law_of_territory(p, country_of(residence));
}

const struct policy_law *policy_law(const struct policy *p, struct str id)
{
    for (size_t i = 0; p && i < p->law_count; i++)
        if (str_eq(p->laws[i].id, id))
            return &p->laws[i];
    return NULL;
}

const struct policy_law *policy_law_of(const struct policy *p, struct str residence)
{
    const struct policy_law *law = law_covering(p, residence);
    if (!law)
        law = p->private->default_law;
    return law ? law : law_covering(p, p->default_residence);
}

static int guardian_in(const struct policy_law *law, struct str territory)
{
    for (size_t i = 0; i < law->guardian_by_territory_count; i++) {
        if (str_eq(law->guardian_by_territory[i].territory, territory))
            return law->guardian_by_territory[i].years;
    }
    return -1;
}

int policy_guardian_below(const struct policy_law *law, struct str residence)
{
    int years = guardian_in(law, residence);
    if (years < 0)
        years = guardian_in(law, country_of(residence));
    return years < 0 ? law->guardian_below : years;
}

const struct policy_notice_text *policy_notice_text(const struct policy_notice *n,
                                                    struct str language)
{
    for (size_t i = 0; i < n->text_count; i++) {
        if (str_eq(n->texts[i].language, language))
            return &n->texts[i];
    }
    return NULL;
}

struct str policy_text_in(const struct policy *p, const struct policy_text *text,
                          struct str language)
{
    for (size_t i = 0; i < p->language_count; i++) {
        if (str_eq(p->languages[i], language))
            return text->in[i];
    }
    return text->in[0];
}
