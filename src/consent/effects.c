/* effects.c - what a policy would do, before it is applied: every consumer's decision on every
 * changed activity, under the rules in force and under the new ones. */
#include <stdlib.h>

#include "base/clock.h"
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

static void measure(struct pair *p, struct policy_effect *effect)
{
    _cleanup_arena struct arena arena = {0};
    struct str *categories;
    size_t count = categories_of(p, &arena, &categories);
    int64_t consumers = index_count(p->e->index);
    for (int64_t number = 0; number < consumers; number++) {
        bool touched = false, consent_turns = false;
        for (size_t k = 0; k < count; k++) {
            p->q.category = categories[k];
            touched |= compare(p, number, effect, &consent_turns);
        }
        effect->consumers += touched;
        effect->consents += consent_turns;
    }
}

int policy_effects(struct engine *e, struct policy *after, const struct policy_diff *diff,
                   struct policy_effect *effects, struct err *err)
{
    (void)err;
    struct pair pair = {.e = e, .before = engine_rules(e), .q = {.at = clock_now()}};
    index_write_lock(e->index);
    pair.after = rules_new(e->index, policy_ref(after));
    index_write_unlock(e->index);
    for (size_t i = 0; i < diff->count; i++) {
        effects[i] = (struct policy_effect){0};
        if (diff->items[i].recipient.n == 0 || diff->items[i].purpose.n == 0)
            continue;
        pair.q.recipient = diff->items[i].recipient;
        pair.q.purpose = diff->items[i].purpose;
        measure(&pair, &effects[i]);
    }
    rules_unref(pair.before);
    rules_unref(pair.after);
    return 0;
}
