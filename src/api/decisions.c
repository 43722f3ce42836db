/* decisions.c - what may be done with the data of one consumer, and why: every decision that holds
 * now, as the export explains it. */
#include "api/export.h"
#include "base/clock.h"

static void set(json_t *view, const char *name, struct str text)
{
    json_object_set_new(view, name, text.n ? json_stringn(text.p, text.n) : json_null());
}

static json_t *decision_view(struct engine *e, const struct question *q, const struct decision *d)
{
    _cleanup_buf struct buf text = {0}, consent = {0};
    json_t *view = json_object();
    decision_text(d, &text);
    if (d->consent >= 0)
        consent_id_format(e, d->shard, d->consent, &consent);
    set(view, "recipient", q->recipient);
    set(view, "purpose", q->purpose);
    set(view, "category", q->category);
    json_object_set_new(view, "permitted", json_boolean(d->permit));
    set(view, "reason", str_of(decision_reason_name(d->reason)));
    set(view, "explanation", buf_view(&text));
    set(view, "basis",
        d->basis == BASIS_NONE ? (struct str){0} : str_of(policy_basis_name(d->basis)));
    set(view, "law", d->law ? d->law->id : (struct str){0});
    set(view, "consent", buf_view(&consent));
    return view;
}

json_t *decisions_of(struct engine *e, const struct rules *rules, struct str consumer)
{
    const struct policy *p = rules ? rules_policy(rules) : NULL;
    json_t *all = json_array();
    for (size_t i = 0; p && i < p->activity_count; i++) {
        const struct policy_activity *a = &p->activities[i];
        for (size_t k = 0; k < a->category_count; k++) {
            struct decision d;
            struct question q = {
                .recipient = a->recipient->id,
                .purpose = a->purpose->id,
                .category = a->categories[k]->id,
                .consumer = consumer,
                .at = clock_now(),
            };
            decide(e, rules, &q, &d);
            json_array_append_new(all, decision_view(e, &q, &d));
        }
    }
    return all;
}
