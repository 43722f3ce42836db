/* effects.c - what a policy would do, before it is applied: every consumer's decision on every
 * changed activity, and of a changed law on every activity, under the rules in force and under the
 * new ones. */
#include <string.h>

#include "consent/engine.h"

struct pair {
    struct engine *e;
    struct rules *before, *after;
    struct question q;
};

/* Compares one category of an activity for one consumer. */
static bool compare(const struct pair *p, int64_t number, struct policy_effect *effect,
                    bool *consent_turns)
{
    struct decision before, after;
    decide_number(p->e, p->before, &p->q, number, &before);
    decide_number(p->e, p->after, &p->q, number, &after);
    effect->permits_lost += before.permit && !after.permit;
    effect->permits_won += !before.permit && after.permit;
    bool turns = before.permit != after.permit;
    if (turns && (before.consent >= 0 || after.consent >= 0))
        *consent_turns = true;
    return turns || (before.permit && after.permit && before.basis != after.basis);
}

static bool has_category(const struct rules *r, const struct pair *p, struct str category)
{
    if (!r)
        return false;
    const struct policy_recipient *recipient = policy_recipient(r->policy, p->q.recipient);
    const struct policy_purpose *purpose = policy_purpose(r->policy, p->q.purpose);
    const struct policy_activity *a =
        recipient && purpose ? policy_activity(r->policy, recipient, purpose) : NULL;
    const struct policy_category *c = policy_category(r->policy, category);
    return a && c && policy_activity_covers(a, c);
}

/* The categories of the activity before and after, each once. */
static size_t categories_of(const struct pair *p, struct arena *arena, struct str **out)
{
    const struct policy *sides[2] = {p->before ? p->before->policy : NULL, p->after->policy};
    size_t most = sides[1]->category_count + (sides[0] ? sides[0]->category_count : 0), n = 0;
    struct str *names = arena_array(arena, most, sizeof *names);
    for (int side = 0; side < 2; side++) {
        for (size_t i = 0; sides[side] && i < sides[side]->category_count; i++) {
            struct str id = sides[side]->categories[i].id;
            const struct rules *r = side ? p->after : p->before;
            if (has_category(r, p, id) && !names_have(names, n, id))
                names[n++] = id;
        }
    }
    *out = names;
    return n;
}

/* What becomes of one activity for one consumer. */
static void measure_one(struct pair *p, int64_t number, const struct str *categories, size_t count,
                        struct policy_effect *effect, bool *touched)
{
    bool consent_turns = false;
    for (size_t k = 0; k < count; k++) {
        p->q.category = categories[k];
        *touched |= compare(p, number, effect, &consent_turns);
    }
    effect->consents += consent_turns;
}

static void measure(struct pair *p, struct policy_effect *effect)
{
    _cleanup_arena struct arena arena = {0};
    struct str *categories;
    size_t count = categories_of(p, &arena, &categories);
    int64_t consumers = index_count(p->e->index);
    for (int64_t number = 0; number < consumers; number++) {
        bool touched = false;
        measure_one(p, number, categories, count, effect, &touched);
        effect->consumers += touched;
    }
}

/* ---- laws ---- */

struct asked {
    struct question q;
    struct str *categories;
    size_t count;
};

/* Every activity of either side, with its categories. */
static size_t all_activities(struct pair *p, struct arena *arena, struct asked **out)
{
    const struct policy *sides[2] = {p->after->policy, p->before ? p->before->policy : NULL};
    size_t most = sides[0]->activity_count + (sides[1] ? sides[1]->activity_count : 0), n = 0;
    struct asked *all = arena_array(arena, most, sizeof *all);
    for (int side = 0; side < 2; side++) {
        for (size_t i = 0; sides[side] && i < sides[side]->activity_count; i++) {
            const struct policy_activity *a = &sides[side]->activities[i];
            bool seen = false;
            for (size_t k = 0; side && k < n; k++)
                seen |= str_eq(all[k].q.recipient, a->recipient->id) &&
                        str_eq(all[k].q.purpose, a->purpose->id);
            if (seen)
                continue;
            p->q.recipient = a->recipient->id;
            p->q.purpose = a->purpose->id;
            all[n].q = p->q;
            all[n].count = categories_of(p, arena, &all[n].categories);
            n++;
        }
    }
    *out = all;
    return n;
}

struct homes {
    bool *covered; /* by residence: by the law, before or after */
    size_t count;
};

static struct homes homes_under(struct pair *p, struct arena *arena, struct str law)
{
    const struct rules *sides[2] = {p->before, p->after};
    struct index *ix = p->e->index;
    struct homes homes = {0};
    index_write_lock(ix);
    homes.count = index_residence_count(ix);
    homes.covered = arena_array(arena, homes.count + 1, sizeof *homes.covered);
    for (size_t i = 0; i < homes.count; i++) {
        struct str name = index_residence_name(ix, (uint32_t)i);
        homes.covered[i] = false;
        for (int side = 0; side < 2; side++)
            homes.covered[i] |=
                sides[side] && str_eq(policy_law_of(sides[side]->policy, name)->id, law);
    }
    index_write_unlock(ix);
    return homes;
}

static bool is_covered(const struct pair *p, int64_t number, const struct homes *homes)
{
    const struct index *ix = p->e->index;
    struct permit_answer answer;
    enum permit_found found = permit_find_number(index_map(ix), index_address(ix, number),
                                                 (uint32_t)number, INDEX_NO_KEY, &answer);
    return found == PERMIT_SOMEBODY && !answer.erased && answer.residence < homes->count &&
           homes->covered[answer.residence];
}

static void measure_law(struct pair *p, struct str law, struct policy_effect *effect)
{
    _cleanup_arena struct arena arena = {0};
    struct asked *all;
    size_t count = all_activities(p, &arena, &all);
    struct homes homes = homes_under(p, &arena, law);
    int64_t consumers = index_count(p->e->index);
    for (int64_t number = 0; number < consumers; number++) {
        bool touched = false;
        if (!is_covered(p, number, &homes))
            continue;
        for (size_t i = 0; i < count; i++) {
            p->q = all[i].q;
            measure_one(p, number, all[i].categories, all[i].count, effect, &touched);
        }
        effect->covered++;
        effect->consumers += touched;
    }
}

void policy_effects(struct engine *e, struct policy *after, int64_t at,
                    const struct policy_diff *diff, struct policy_effect *effects)
{
    struct pair pair = {.e = e, .before = engine_rules(e), .q = {.at = at}};
    index_write_lock(e->index);
    pair.after = rules_new(e->index, policy_ref(after));
    index_write_unlock(e->index);
    for (size_t i = 0; i < diff->count; i++) {
        const struct policy_change *c = &diff->items[i];
        effects[i] = (struct policy_effect){0};
        if (c->recipient.n && c->purpose.n) {
            pair.q = (struct question){.at = at, .recipient = c->recipient, .purpose = c->purpose};
            measure(&pair, &effects[i]);
        } else if (strcmp(c->what, "law") == 0) {
            pair.q = (struct question){.at = at};
            measure_law(&pair, c->id, &effects[i]);
        }
    }
    rules_unref(pair.before);
    rules_unref(pair.after);
}
