/* quality.c - see quality.h. Whatever is found, the record is written as it came: a question is for
 * people to answer, and only what the policy refuses was refused before. */
#include "vault/quality.h"

#include "vault/check.h"
#include "vault/issue.h"
#include "vault/likeness.h"
#include "vault/stats.h"

static bool is_stale(const struct policy_category *c, const struct record *r, int64_t now)
{
    return c->fresh_days && r->observed_at + c->fresh_days * (int64_t)DAY_MS <= now;
}

static void count(struct vault *v, const struct findings *f)
{
    for (size_t i = 0; i < f->count; i++)
        atomic_fetch_add_explicit(&v->found[f->items[i].kind], 1, memory_order_relaxed);
}

int quality_check(struct vault *v, struct write_scope *scope, const struct secret *key,
                  const struct policy_category *category, const struct record *r,
                  const struct vault_content *content, bool again, struct err *err)
{
    struct findings found = {.arena = scope->arena};
    const struct parsed p = {category, content->values, content->present};
    int rc = again ? issue_close(scope, r->seq, -1, "corrected", NULL, err) : 0;
    if (rc == 0 && again)
        rc = likeness_forget(scope->lov, r, err);
    if (rc == 0)
        rc = check_record(&p, scope->now, &found, err);
    if (rc)
        return rc;
    stats_check(v->stats, &p, !again, &found);
    rc = likeness_check(&v->likeness, scope->lov, &p, r, content->json, &found, err);
    if (rc == 0 && is_stale(category, r, scope->now))
        finding_add(&found, FINDING_STALE, (struct str){0}, (struct str){0});
    if (rc == 0)
        rc = issue_open(scope, key, r, &found, err);
    if (rc == 0)
        count(v, &found);
    return rc;
}

int quality_forget(struct write_scope *scope, const struct record *r, struct err *err)
{
    int rc = issue_close(scope, r->seq, -1, "deleted", NULL, err);
    return rc ? rc : likeness_forget(scope->lov, r, err);
}
