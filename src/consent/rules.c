/* rules.c - the rules in force: taken by readers, replaced by the writer's thread. */
#include <stdlib.h>

#include "base/json.h"
#include "consent/engine.h"

static void write_obligations(const struct policy_activity *a, struct buf *out)
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
    jw_bool_member(&w, "no_automated_decision", a->no_automated_decision);
    jw_object_end(&w);
}

struct rules *rules_new(struct index *ix, struct policy *policy)
{
    struct rules *r = mem_zero(sizeof *r);
    atomic_init(&r->refs, 1);
    r->policy = policy;
    r->obligations = mem_zero(policy->activity_count * sizeof *r->obligations);
    for (size_t i = 0; i < policy->activity_count; i++)
        write_obligations(&policy->activities[i], &r->obligations[i]);
    image_write(ix, policy, r->obligations, &r->image);
    return r;
}

void rules_unref(struct rules *r)
{
    /* Release: our reads of it come before another thread frees it; acquire: theirs before ours. */
    if (!r || atomic_fetch_sub_explicit(&r->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (size_t i = 0; i < r->policy->activity_count; i++)
        buf_free(&r->obligations[i]);
    free(r->obligations);
    buf_free(&r->image);
    policy_unref(r->policy);
    free(r);
}

struct rules *engine_rules(struct engine *e)
{
    pthread_mutex_lock(&e->rules_lock);
    struct rules *r = e->rules;
    if (r)
        atomic_fetch_add_explicit(&r->refs, 1, memory_order_relaxed);
    pthread_mutex_unlock(&e->rules_lock);
    return r;
}

void engine_set_rules(struct engine *e, struct rules *r)
{
    index_publish(e->index, r->image.p, r->image.n);
    pthread_mutex_lock(&e->rules_lock);
    struct rules *old = e->rules;
    e->rules = r;
    pthread_mutex_unlock(&e->rules_lock);
    rules_unref(old);
}

struct policy *rules_policy(const struct rules *r)
{
    return r->policy;
}

struct str rules_obligations(const struct rules *r, const struct policy_activity *activity)
{
    return buf_view(&r->obligations[activity->index]);
}
