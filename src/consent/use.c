/* use.c - an access: a use of data, or one that was denied, in the ledger.
 *
 * A use that is about to happen was decided before it came here, and a withdrawal may have come in
 * between. So a permit is decided again in the order of the ledger: after a withdrawal no access
 * follows that it should have stopped. */
#include "base/json.h"
#include "consent/engine.h"

static void body_of(const struct engine_write *w, struct str sealed, struct buf *out)
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
    body_sealed(&j, sealed);
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

/* The consumer, where there is one: also of a use that was denied before anybody asked who it was.
 * 1 found, 0 unknown or erased. */
static int find_consumer(struct work *k, struct err *err)
{
    struct err erased;
    int rc = work_consumer(k, k->w->question.consumer, false, false, &erased);
    if (rc == LOV_ECONFLICT)
        return 0;
    if (rc < 0 && err)
        *err = erased;
    return rc;
}

/* What the reporter tells of the use: free text, so it is sealed like evidence. */
static int seal_detail(struct work *k, struct str *out, struct err *err)
{
    _cleanup_buf struct buf json = {0};
    if (k->w->detail.n == 0)
        return 0;
    struct jw w = {.out = &json};
    jw_object_start(&w);
    jw_key(&w, "detail");
    jw_raw(&w, k->w->detail);
    jw_object_end(&w);
    return seal_json(k->e->identity, k->identities, &k->person.row.cid, buf_view(&json),
                     k->w->arena, out, err);
}

int write_access(struct work *k, struct err *err)
{
    struct engine_write *w = k->w;
    struct str sealed = {0};
    _cleanup_buf struct buf body = {0};
    int rc = w->decision.permit && !w->reported ? decide_again(k, err) : 0;
    if (rc)
        return rc;
    int found = find_consumer(k, err);
    if (found == 1 && w->reported)
        rc = decide_past(k, &w->question, &w->decision, err);
    if (found == 1 && rc == 0)
        rc = seal_detail(k, &sealed, err);
    if (found < 0 || rc)
        return found < 0 ? found : rc;
    k->change->has_who = found == 1;
    w->who = k->change->who;
    if (found == 0)
        k->person.row = (struct consumer_row){.last_event = -1};
    body_of(w, sealed, &body);
    rc = work_event(k, w->decision.permit ? "access" : "access.denied",
                    work_activity(k, w->question.recipient, w->question.purpose), buf_view(&body),
                    &w->out_seq, err);
    if (rc == 0 && found)
        work_finish(k);
    return rc;
}
