/* compile.c - from a bundle to a policy: reads every file, lets the linter look at the whole, and
 * only then resolves what look-ups need. A policy with an error never leaves this file. */
#include <stdlib.h>

#include "policy/draft.h"

static struct policy *policy_new(void)
{
    struct policy *p = mem_zero(sizeof *p);
    p->private = mem_zero(sizeof *p->private);
    p->refs = 1;
    return p;
}

static bool is_known_file(struct str path)
{
    static const char *const fixed[] = {"controller.yaml", "categories.yaml", "purposes.yaml",
                                        "recipients.yaml", "activities.yaml"};
    struct str id, language;
    for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++) {
        if (str_is(path, fixed[i]))
            return true;
    }
    if (str_starts(path, STR("laws/")) && str_ends(path, STR(".yaml")) && path.n > 10)
        return str_is_name((struct str){path.p + 5, path.n - 10});
    return notice_path(path, &id, &language);
}

static void check_files(struct draft *d)
{
    for (size_t i = 0; i < d->bundle->count; i++) {
        struct str path = d->bundle->files[i].path;
        if (!is_known_file(path))
            find_error(d, path, 0, "unknown_file",
                       "a policy has no such file: docs/policy.md lists those it has");
    }
}

static struct sha256 bundle_hash(const struct policy_bundle *bundle)
{
    _cleanup_buf struct buf json = {0};
    policy_bundle_to_json(bundle, &json);
    return sha256_of(buf_view(&json));
}

/* A consent holds under the newest version that changed something that matters, and later ones. */
static int sufficient_from(const struct draft *d, const struct policy_notice *n)
{
    int from = n->material || n->version == 1 ? n->version : 1;
    for (size_t i = 0; i < d->past_count; i++) {
        const struct policy_past_notice *past = &d->past[i];
        if (past->material && past->version <= n->version && past->version > from &&
            str_eq(past->id, n->id))
            from = past->version;
    }
    return from;
}

static void finish(struct draft *d)
{
    struct policy *p = d->policy;
    p->hash = bundle_hash(d->bundle);
    for (size_t i = 0; i < p->notice_count; i++)
        p->notices[i].sufficient_from = sufficient_from(d, &p->notices[i]);
    for (size_t i = 0; i < p->law_count; i++) {
        if (str_eq(p->laws[i].id, d->default_law))
            p->private->default_law = &p->laws[i];
    }
    policy_index(p);
}

static void load(struct draft *d)
{
    load_controller(d);
    load_categories(d);
    load_purposes(d);
    load_recipients(d);
    load_laws(d);
    load_notices(d);
    load_activities(d);
}

static void lint(struct draft *d)
{
    check_files(d);
    lint_names(d);
    lint_purposes(d);
    lint_recipients(d);
    lint_activities(d);
    lint_notices(d);
}

int policy_compile(const struct policy_bundle *bundle, const struct policy_past_notice *past,
                   size_t past_count, int64_t as_of, struct policy **out,
                   struct policy_findings *findings, struct err *err)
{
    struct policy *p = policy_new();
    _cleanup_arena struct arena scratch = {0};
    struct draft d = {.policy = p,
                      .arena = &p->private->arena,
                      .scratch = &scratch,
                      .bundle = bundle,
                      .past = past,
                      .past_count = past_count,
                      .findings = findings,
                      .now = as_of};
    size_t errors = findings->errors;
    p->next_change = INT64_MAX;
    load(&d);
    lint(&d);
    findings_sort(findings);
    if (findings->errors != errors) {
        policy_unref(p);
        return err_reason(err, LOV_EINVAL, "policy_refused",
                          "the policy has %zu error%s: see the findings", findings->errors - errors,
                          findings->errors - errors == 1 ? "" : "s");
    }
    finish(&d);
    *out = p;
    return 0;
}
