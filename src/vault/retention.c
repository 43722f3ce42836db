/* retention.c - what is kept too long goes, on time, and the ledger says so.
 *
 * When a record is due follows from when it was observed and from the policy in force, and is
 * stored nowhere: a policy that shortens or lengthens a retention changes it for what is there
 * already. So the job asks, category by category, for what was observed before an instant: an index
 * begins with exactly that. Records with an end of their own have an index of their own. */
#include <string.h>

#include "base/clock.h"
#include "vault/private.h"

enum { SOON_DAYS = 30, CONSUMERS_AT_ONCE = 500, RECORDS_AT_ONCE = 1000 };

/* ---- what is due ---- */

/* Of a category: what was observed by then is kept no longer. */
static int64_t border(int days, int64_t now)
{
    return now - days * (int64_t)DAY_MS;
}

static int days_of(const struct policy *p, struct str category)
{
    const struct policy_category *c = policy_category(p, category);
    return c ? policy_retention_days(p, c) : 0;
}

/* Records that are due at `at`, when those observed by `before` are; *held: not counted, since a
 * hold keeps them. */
static int count_due(struct db *lov, struct str category, int64_t before, int64_t at, int64_t *out,
                     int64_t *held, struct err *err)
{
    static const char sql[] = "select count(case when " RECORD_NOT_HELD(
        "$4") " then 1 end), count(*) from record r "
              "where r.shard = $1 and r.category = $2 and (r.observed_at <= $3 or r.retention_end <= $4)";
    struct db_stmt *s = db_use(lov, sql);
    db_bind_int(s, 1, 0);
    db_bind_text(s, 2, category);
    db_bind_int(s, 3, before);
    db_bind_int(s, 4, at);
    int rc = db_step(s, err);
    if (rc == 1) {
        *out = db_int(s, 0);
        *held = db_int(s, 1) - *out;
        db_done(s);
    }
    return rc < 0 ? rc : 0;
}

struct listing {
    struct db *lov;
    const struct policy *policy;
    int64_t now;
    int (*row)(void *ctx, const struct vault_due *due);
    void *ctx;
};

static int list_category(struct listing *l, struct vault_due *due, int64_t observed, int64_t ends,
                         struct err *err)
{
    due->days = days_of(l->policy, due->category);
    due->first = TIME_NONE;
    int64_t before = due->days ? border(due->days, l->now) : INT64_MIN;
    int64_t soon = l->now + SOON_DAYS * (int64_t)DAY_MS;
    int64_t soon_before = due->days ? border(due->days, soon) : INT64_MIN;
    if (due->days)
        due->first = observed + due->days * (int64_t)DAY_MS;
    if (ends != TIME_NONE && (due->first == TIME_NONE || ends < due->first))
        due->first = ends;
    int64_t held;
    int rc = count_due(l->lov, due->category, before, l->now, &due->due, &due->held, err);
    if (rc == 0)
        rc = count_due(l->lov, due->category, soon_before, soon, &due->soon, &held, err);
    due->soon -= due->due;
    return rc ? rc : l->row(l->ctx, due);
}

static int list_all(struct listing *l, struct err *err)
{
    static const char sql[] = "select category, count(*), min(observed_at), min(retention_end) "
                              "from record where shard = $1 group by category order by category";
    struct db_stmt *s = db_use(l->lov, sql);
    db_bind_int(s, 1, 0);
    int rc;
    while ((rc = db_step(s, err)) == 1) {
        struct vault_due due = {.category = db_text(s, 0), .records = db_int(s, 1)};
        rc = list_category(l, &due, db_int(s, 2), db_is_null(s, 3) ? TIME_NONE : db_int(s, 3), err);
        if (rc)
            break;
    }
    if (rc)
        db_done(s);
    return rc;
}

static int need_rules(struct vault *v, struct rules **out, struct err *err)
{
    *out = engine_rules(v->engine);
    if (*out)
        return 0;
    return err_reason(err, LOV_EUNAVAILABLE, "no_policy",
                      "no policy is in force: apply one with lov policy apply");
}

int vault_retention(struct vault *v, int (*row)(void *ctx, const struct vault_due *due), void *ctx,
                    struct err *err)
{
    struct rules *rules;
    struct listing l = {.now = clock_now(), .row = row, .ctx = ctx};
    int rc = need_rules(v, &rules, err);
    if (rc)
        return rc;
    l.policy = rules_policy(rules);
    rc = db_pool_get(engine_lov(v->engine), &l.lov, err);
    if (rc == 0) {
        rc = list_all(&l, err);
        db_pool_put(engine_lov(v->engine), l.lov);
    }
    rules_unref(rules);
    return rc;
}

/* ---- the job ---- */

/* Consumers with something due of one category; then one write for each. */
struct expiring {
    struct vault *v;
    struct db *lov, *identities;
    struct arena arena;
    struct engine_write *writes;
    struct vault_ending *endings;
    size_t count;
    int64_t left, deleted;
};

static int add_consumer(struct expiring *x, struct str cid_bytes, struct str category,
                        int64_t before, struct err *err)
{
    struct uid cid;
    _cleanup_buf struct buf name = {0};
    if (cid_bytes.n != sizeof cid.b)
        return err_set(err, LOV_ECORRUPT, "a record's row is damaged: run lov log verify");
    memcpy(cid.b, cid_bytes.p, sizeof cid.b);
    int rc = identity_name(engine_identity(x->v->engine), x->identities, &cid, &name, err);
    if (rc != 1)
        return rc;
    struct vault_ending *ending = &x->endings[x->count];
    struct engine_write *w = &x->writes[x->count++];
    *ending = (struct vault_ending){arena_str(&x->arena, category), before, RECORDS_AT_ONCE};
    *w = (struct engine_write){
        .actor = STR("lov"),
        .arena = &x->arena,
        .consumer = arena_str(&x->arena, buf_view(&name)),
        .expires_at = TIME_NONE,
        .given_at = TIME_NONE,
    };
    vault_expire(w, ending);
    return 0;
}

static int run_writes(struct expiring *x, struct err *err)
{
    int64_t deleted;
    int rc = group_write(x->v->engine, x->writes, x->count, &deleted, err);
    x->left -= deleted;
    x->deleted += deleted;
    return rc;
}

/* By the age of records, $2 and $3; or with $2 alone by their own ends. */
static int expire_some(struct expiring *x, const char *sql, struct str category, int64_t before,
                       struct err *err)
{
    x->count = 0;
    x->writes = arena_array(&x->arena, CONSUMERS_AT_ONCE, sizeof *x->writes);
    x->endings = arena_array(&x->arena, CONSUMERS_AT_ONCE, sizeof *x->endings);
    struct db_stmt *s = db_use(x->lov, sql);
    db_bind_int(s, 1, 0);
    db_bind_int(s, 2, before);
    db_bind_int(s, 3, CONSUMERS_AT_ONCE);
    if (category.n) {
        db_bind_text(s, 4, category);
        db_bind_int(s, 5, clock_now());
    }
    int rc;
    while ((rc = db_step(s, err)) == 1) {
        /* Those with an end of their own are due by it; what is older than `before` of the same
         * consumer is found by the other way. */
        rc = category.n ? add_consumer(x, db_blob(s, 0), category, before, err)
                        : add_consumer(x, db_blob(s, 0), db_text(s, 1), INT64_MIN, err);
        if (rc)
            break;
    }
    if (rc)
        db_done(s);
    if (rc == 0)
        rc = run_writes(x, err);
    arena_free(&x->arena);
    return rc;
}

static int expire_all(struct expiring *x, const struct policy *p, struct err *err)
{
    static const char by_age[] =
        "select distinct r.cid from record r where r.shard = $1 and "
        "r.category = $4 and r.observed_at <= $2 and " RECORD_NOT_HELD("$5") " limit $3";
    static const char by_end[] =
        "select distinct r.cid, r.category from record r where r.shard = $1 and "
        "r.retention_end is not null and r.retention_end <= $2 and " RECORD_NOT_HELD(
            "$2") " limit $3";
    int64_t now = clock_now();
    int rc = expire_some(x, by_end, (struct str){0}, now, err);
    for (size_t i = 0; rc == 0 && x->left > 0 && i < p->category_count; i++) {
        int days = policy_retention_days(p, &p->categories[i]);
        if (days)
            rc = expire_some(x, by_age, p->categories[i].id, border(days, now), err);
    }
    return rc;
}

int vault_expire_due(struct vault *v, int64_t limit, int64_t *deleted, struct err *err)
{
    struct rules *rules = engine_rules(v->engine);
    struct expiring x = {.v = v, .left = limit};
    *deleted = 0;
    if (!rules)
        return 0;
    int rc = db_pool_get(engine_lov(v->engine), &x.lov, err);
    if (rc == 0)
        rc = db_pool_get(engine_identities(v->engine), &x.identities, err);
    if (rc == 0)
        rc = expire_all(&x, rules_policy(rules), err);
    if (x.lov)
        db_pool_put(engine_lov(v->engine), x.lov);
    if (x.identities)
        db_pool_put(engine_identities(v->engine), x.identities);
    rules_unref(rules);
    if (x.deleted)
        engine_unclean(v->engine);
    *deleted = x.deleted;
    return rc;
}
