/* rules.c - the rules in force: taken by readers, replaced by the writer's thread.
 *
 * Each decision holds them, so to take and to give back is one atomic step each. A single word has
 * both where the rules are and, above the 48 bits of an address, how many hold them, so that nobody
 * can take what was just given up. While rules are in force their own count stands at IN_FORCE,
 * which no number of holders uses up; when they are replaced it becomes the number of those who
 * still hold them. Fewer than 65,536 can hold them at once: a thread holds them only while it
 * works on one call. */
#include <stdlib.h>

#include "base/json.h"
#include "consent/engine.h"

static void write_obligations(const struct policy_activity *a, bool human, struct buf *out)
{
    struct jw w = {.out = out};
    jw_object_start(&w);
    jw_object_member(&w, "view");
    jw_cstr_member(&w, "form", view_form_name(a->view));
    jw_array_member(&w, "fields");
    for (size_t i = 0; i < a->view_field_count; i++)
        jw_str(&w, a->view_fields[i]);
    jw_array_end(&w);
    if (a->view == VIEW_AGGREGATE)
        jw_int_member(&w, "k", a->aggregate_k);
    jw_object_end(&w);
    jw_int_member(&w, "retention_days", a->retention_days);
    jw_bool_member(&w, "no_automated_decision", human || a->no_automated_decision);
    jw_object_end(&w);
}

static const uint64_t HOLDER = (uint64_t)1 << 48;
static const int64_t IN_FORCE = (int64_t)1 << 32;

struct rules *rules_new(struct index *ix, struct policy *policy)
{
    struct rules *r = mem_zero(sizeof *r);
    atomic_init(&r->refs, 1);
    r->policy = policy;
    r->obligations = mem_zero(policy->activity_count * sizeof *r->obligations);
    for (size_t i = 0; i < policy->activity_count; i++)
        for (int human = 0; human < 2; human++)
            write_obligations(&policy->activities[i], human, &r->obligations[i].text[human]);
    image_write(ix, policy, r->obligations, &r->image);
    return r;
}

/* ---- who holds them ---- */

static struct rules *pointed_to(uint64_t word)
{
    return (struct rules *)(uintptr_t)(word & (HOLDER - 1));
}

static void give_back(struct rules *r, int64_t count)
{
    /* Release: our reads of it come before another thread frees it; acquire: theirs before ours. */
    if (atomic_fetch_sub_explicit(&r->refs, count, memory_order_acq_rel) != count)
        return;
    for (size_t i = 0; i < r->policy->activity_count; i++)
        for (int human = 0; human < 2; human++)
            buf_free(&r->obligations[i].text[human]);
    free(r->obligations);
    buf_free(&r->image);
    policy_unref(r->policy);
    free(r);
}

void rules_unref(struct rules *r)
{
    if (!r)
        return;
    uint64_t word =
        r->published ? atomic_load_explicit(&r->published->rules, memory_order_relaxed) : 0;
    /* They cannot come into force again, so while they are, our count is in this word. Release:
     * pairs with replace(). */
    while (pointed_to(word) == r)
        if (atomic_compare_exchange_weak_explicit(&r->published->rules, &word, word - HOLDER,
                                                  memory_order_release, memory_order_relaxed))
            return;
    give_back(r, 1);
}

struct rules *rules_in_force(struct engine *e)
{
    return pointed_to(atomic_load_explicit(&e->rules, memory_order_relaxed));
}

struct rules *engine_rules(struct engine *e)
{
    /* Once there are rules, there are always some. */
    if (!rules_in_force(e))
        return NULL;
    /* Acquire: pairs with replace(). */
    return pointed_to(atomic_fetch_add_explicit(&e->rules, HOLDER, memory_order_acquire));
}

/* From here on the holders of the old ones count in `refs`. */
static void replace(struct engine *e, struct rules *r)
{
    uint64_t word = (uint64_t)(uintptr_t)r;
    if (word >= HOLDER)
        bug("an address of more than 48 bits");
    uint64_t was = atomic_exchange_explicit(&e->rules, word, memory_order_acq_rel);
    if (pointed_to(was))
        give_back(pointed_to(was), IN_FORCE - (int64_t)(was / HOLDER));
}

void engine_set_rules(struct engine *e, struct rules *r)
{
    index_publish(e->index, r->image.p, r->image.n);
    r->published = e;
    atomic_fetch_add_explicit(&r->refs, IN_FORCE - 1, memory_order_relaxed);
    replace(e, r);
}

void rules_retire(struct engine *e)
{
    replace(e, NULL);
}

struct policy *rules_policy(const struct rules *r)
{
    return r->policy;
}

struct str rules_obligations(const struct rules *r, const struct decision *d)
{
    return buf_view(&r->obligations[d->activity->index].text[d->no_automated_decision]);
}
