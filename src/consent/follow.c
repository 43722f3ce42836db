/* follow.c - what the passing of time does to the policy in force: a change of a law that its files
 * schedule comes into force by applying the same files once more, so that it has a version, an
 * event and an instant like any other change. */
#include "base/clock.h"
#include "consent/engine.h"

static int apply_again(struct engine *e, int version, const struct policy_bundle *bundle,
                       struct err *err)
{
    _cleanup_arena struct arena arena = {0};
    struct engine_write w = {
        .kind = WRITE_POLICY,
        .actor = STR("lov"),
        .arena = &arena,
        .bundle = bundle,
        .confirm_version = true,
        .expected_version = version,
        .expires_at = TIME_NONE,
        .given_at = TIME_NONE,
    };
    int rc = engine_run(e, &w, err);
    if (rc == 0)
        log_printf(e->log, LOG_INFO, "policy version %d is in force: a law has changed",
                   w.policy->version);
    if (rc && w.findings.errors)
        rc = err_set(err, rc,
                     "a law has changed, but the policy does not pass any more: %.*s:%d: "
                     "%.*s: apply a policy that does",
                     STR_ARG(w.findings.items[0].file), w.findings.items[0].line,
                     STR_ARG(w.findings.items[0].text));
    policy_unref(w.policy);
    policy_findings_free(&w.findings);
    return rc;
}

int engine_policy_files(struct engine *e, int version, struct policy_bundle *out, struct err *err)
{
    _cleanup_buf struct buf json = {0};
    struct db *lov;
    int rc = db_pool_get(e->lov, &lov, err);
    if (rc)
        return rc;
    rc = policy_store_bundle(lov, version, &json, err);
    db_pool_put(e->lov, lov);
    return rc ? rc : policy_bundle_from_json(buf_view(&json), out, err);
}

int engine_follow_laws(struct engine *e, struct err *err)
{
    struct rules *rules = engine_rules(e);
    bool due = rules && rules->policy->next_change <= clock_now();
    int version = due ? rules->policy->version : 0;
    struct policy_bundle bundle = {0};
    rules_unref(rules);
    if (!due)
        return 0;
    int rc = engine_policy_files(e, version, &bundle, err);
    if (rc == 0)
        rc = apply_again(e, version, &bundle, err);
    policy_bundle_free(&bundle);
    /* Somebody has applied another one meanwhile. */
    return rc == LOV_ECONFLICT ? 0 : rc;
}
