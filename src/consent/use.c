/* use.c - an access: a use of data, or one that was denied, in the ledger.
 *
 * A use that is about to happen was decided before it came here, and a withdrawal may have come in
 * between. So a permit is decided again in the order of the ledger: after a withdrawal no access
 * follows that it should have stopped. */
#include "base/json.h"
#include "consent/engine.h"

static void body_of(const struct engine_write *w, struct buf *out)
{
    const struct decision *d = &w->decision;
    struct jw j = {.out = out};
    jw_object_start(&j);
    jw_str_member(&j, "recipient", w->question.recipient);
    jw_str_member(&j, "purpose", w->question.purpose);
    jw_str_member(&j, "category", w->question.category);
    jw_bool_member(&j, "decision", d->permit);
    jw_cstr_member(&j, "reason", decision_reason_name(d->reason));
    jw_key(&j, "basis");
    if (d->basis == BASIS_NONE)
        jw_null(&j);
    else
        jw_str(&j, str_of(policy_basis_name(d->basis)));
    jw_key(&j, "consent");
    if (d->consent < 0)
        jw_null(&j);
    else
        jw_int(&j, d->consent);
    jw_int_member(&j, "policy_version", w->policy_version);
    jw_time_member(&j, "used_at", w->question.at);
    jw_bool_member(&j, "reported", w->reported);
    jw_object_end(&j);
}

static int decide_again(struct work *k, struct err *err)
{
    struct engine_write *w = k->w;
    struct hash128 lookup = identity_lookup(k->e->identity, w->question.consumer);
    bool moved = !k->rules || k->rules->policy->version != w->policy_version;
    if (moved || engine_changed(k->e, &lookup))
        return err_reason(err, LOV_EUNAVAILABLE, "unavailable",
                          "policy or consumer changed while the use was recorded: ask again");
    decide(k->e, k->rules, &w->question, &w->decision);
    return 0;
}

int write_access(struct work *k, struct err *err)
{
    struct engine_write *w = k->w;
    _cleanup_buf struct buf body = {0};
    int rc = w->decision.permit && !w->reported ? decide_again(k, err) : 0;
    if (rc)
        return rc;
    if (w->decision.has_consumer) {
        rc = work_consumer(k, w->question.consumer, false, err);
        if (rc < 0)
            return rc;
    }
    bool has_row = rc == 1;
    if (has_row && w->reported) {
        rc = decide_past(k, &w->question, &w->decision, err);
        if (rc)
            return rc;
    }
    k->change->has_who = has_row;
    if (!has_row)
        k->consumer = (struct consumer_row){.last_event = -1};
    body_of(w, &body);
    rc = work_event(k, w->decision.permit ? "access" : "access.denied",
                    work_activity(k, w->question.recipient, w->question.purpose), buf_view(&body),
                    &w->out_seq, err);
    if (rc || !has_row)
        return rc;
    return work_finish(k, err);
}
