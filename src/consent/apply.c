/* apply.c - a new policy: checked, stored as the next version, in the ledger, in force. */
#include "base/json.h"
#include "consent/engine.h"

static void body_of(const struct policy *p, struct buf *out)
{
    struct jw w = {.out = out};
    jw_object_start(&w);
    jw_int_member(&w, "version", p->version);
    jw_key(&w, "hash");
    jw_hex(&w, p->hash.b, sizeof p->hash.b);
    jw_key(&w, "notices");
    jw_array_start(&w);
    for (size_t i = 0; i < p->notice_count; i++) {
        const struct policy_notice *n = &p->notices[i];
        for (size_t k = 0; k < n->text_count; k++) {
            jw_object_start(&w);
            jw_str_member(&w, "id", n->id);
            jw_int_member(&w, "version", n->version);
            jw_str_member(&w, "language", n->texts[k].language);
            jw_key(&w, "hash");
            jw_hex(&w, n->texts[k].hash.b, sizeof n->texts[k].hash.b);
            jw_object_end(&w);
        }
    }
    jw_array_end(&w);
    jw_object_end(&w);
}

/* Asked of the store, since a policy earlier in this batch is not in force yet. */
static int check_base(struct work *k, struct err *err)
{
    static const char sql[] = "select coalesce(max(version), 0) from policy";
    if (!k->w->confirm_version)
        return 0;
    struct db_stmt *s = db_use(k->lov, sql);
    int rc = db_step(s, err);
    if (rc < 0)
        return rc;
    int current = (int)db_int(s, 0);
    db_done(s);
    if (k->w->expected_version == current)
        return 0;
    return err_reason(err, LOV_ECONFLICT, "policy_moved_on",
                      "version %d is in force, not %d: look at the difference again", current,
                      k->w->expected_version);
}

int write_policy(struct work *k, struct err *err)
{
    struct engine_write *w = k->w;
    struct policy *policy = NULL;
    _cleanup_buf struct buf body = {0};
    int rc = check_base(k, err);
    if (rc)
        return rc;
    /* run() may run again: what an earlier run found is dropped. */
    policy_findings_free(&w->findings);
    w->findings = (struct policy_findings){0};
    policy_unref(w->policy);
    w->policy = NULL;
    rc = policy_store_compile(k->lov, w->bundle, k->now, &policy, &w->findings, err);
    if (rc == LOV_EINVAL)
        return err_reason(err, LOV_EINVAL, "policy_invalid",
                          "the policy has %zu errors: see findings", w->findings.errors);
    if (rc)
        return rc;
    rc = policy_store_save(k->lov, w->bundle, policy, w->actor, k->now, err);
    if (rc == 0) {
        body_of(policy, &body);
        rc = work_event(k, "policy.apply", (struct str){0}, buf_view(&body), &w->out_seq, err);
    }
    if (rc) {
        policy_unref(policy);
        return rc;
    }
    w->policy = policy;
    return 0;
}
