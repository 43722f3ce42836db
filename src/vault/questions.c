/* questions.c - issues for readers: lists, and what is proposed, opened for who may see it. */
#include <string.h>

#include "vault/issue.h"
#include "vault/private.h"
#include "vault/stats.h"

/* ---- lists ---- */

static struct vault_issue shown(const struct issue *i)
{
    return (struct vault_issue){
        .shard = i->shard,
        .seq = i->seq,
        .cid = i->cid,
        .category = i->category,
        .record = i->record,
        .version = i->version,
        .finding = i->kind,
        .field = i->field,
        .rule = i->rule,
        .has_proposal = i->sealed.n > 0,
    };
}

static int list(struct db *lov, const struct vault_issue_filter *f,
                int (*row)(void *ctx, const struct vault_issue *issue), void *ctx, struct err *err)
{
    static const char everybodys[] =
        "select " ISSUE_COLUMNS " from issue where shard = $1 and seq > $2 and "
        "($3 = '' or category = $3) order by seq limit $4";
    static const char one[] =
        "select " ISSUE_COLUMNS " from issue where shard = $1 and seq > $2 and "
        "($3 = '' or category = $3) and cid = $5 order by seq limit $4";
    struct db_stmt *s = db_use(lov, f->who ? one : everybodys);
    db_bind_int(s, 1, f->who ? f->who->shard : 0);
    db_bind_int(s, 2, f->after);
    db_bind_text(s, 3, f->category);
    db_bind_int(s, 4, f->limit);
    if (f->who)
        db_bind_blob(s, 5, uid_str(&f->who->cid));
    int rc;
    while ((rc = db_step(s, err)) == 1) {
        struct issue i;
        if (!issue_from_row(s, f->who ? f->who->shard : 0, &i)) {
            rc = err_set(err, LOV_ECORRUPT, "an issue's row is damaged: run lov log verify");
            break;
        }
        struct vault_issue issue = shown(&i);
        rc = row(ctx, &issue);
        if (rc)
            break;
    }
    if (rc)
        db_done(s);
    return rc;
}

int vault_issues(struct vault *v, const struct vault_issue_filter *filter,
                 int (*row)(void *ctx, const struct vault_issue *issue), void *ctx, struct err *err)
{
    struct db *lov;
    int rc = db_pool_get(engine_lov(v->engine), &lov, err);
    if (rc)
        return rc;
    rc = list(lov, filter, row, ctx, err);
    db_pool_put(engine_lov(v->engine), lov);
    return rc;
}

/* ---- one issue ---- */

static int open_proposal(struct db *lov, const struct vault_issue *issue, const struct secret *key,
                         struct buf *json, struct err *err)
{
    _cleanup_arena struct arena arena = {0};
    struct issue i;
    int rc = issue_get(lov, issue->shard, &issue->cid, issue->seq, &arena, &i, err);
    return rc == 1 ? issue_proposal(&i, key, json, err) : rc;
}

int vault_proposal(struct vault *v, const struct vault_issue *issue, struct buf *json,
                   struct err *err)
{
    _cleanup_secret struct secret key = {0};
    struct db *identities, *lov;
    if (!issue->has_proposal)
        return 0;
    int rc = db_pool_get(engine_identities(v->engine), &identities, err);
    if (rc)
        return rc;
    rc = identity_data_key(engine_identity(v->engine), identities, &issue->cid, &key, err);
    db_pool_put(engine_identities(v->engine), identities);
    if (rc != 1)
        return rc;
    rc = db_pool_get(engine_lov(v->engine), &lov, err);
    if (rc)
        return rc;
    rc = open_proposal(lov, issue, &key, json, err);
    db_pool_put(engine_lov(v->engine), lov);
    return rc;
}

static int owner_of(struct db *lov, uint32_t shard, int64_t seq, struct uid *out, struct err *err)
{
    static const char sql[] = "select cid from issue where shard = $1 and seq = $2";
    struct db_stmt *s = db_use(lov, sql);
    db_bind_int(s, 1, shard);
    db_bind_int(s, 2, seq);
    int rc = db_step(s, err);
    if (rc != 1)
        return rc;
    struct str cid = db_blob(s, 0);
    bool ok = cid.n == sizeof out->b;
    if (ok)
        memcpy(out->b, cid.p, cid.n);
    db_done(s);
    return ok ? 1 : err_set(err, LOV_ECORRUPT, "an issue's row is damaged: run lov log verify");
}

int vault_issue_consumer(struct vault *v, uint32_t shard, int64_t seq, struct buf *consumer,
                         struct err *err)
{
    struct db *lov, *identities;
    struct uid cid;
    int rc = db_pool_get(engine_lov(v->engine), &lov, err);
    if (rc)
        return rc;
    rc = owner_of(lov, shard, seq, &cid, err);
    db_pool_put(engine_lov(v->engine), lov);
    if (rc != 1)
        return rc;
    rc = db_pool_get(engine_identities(v->engine), &identities, err);
    if (rc)
        return rc;
    rc = identity_name(engine_identity(v->engine), identities, &cid, consumer, err);
    db_pool_put(engine_identities(v->engine), identities);
    return rc;
}

/* ---- what is counted ---- */

const char *vault_finding(struct vault *v, int i, int64_t *count)
{
    if (i < 0 || i >= FINDING_KINDS)
        return NULL;
    *count = atomic_load_explicit(&v->found[i], memory_order_relaxed);
    return finding_kind_name((enum finding_kind)i);
}

struct saving {
    struct write_job job; /* first */
    struct stats *stats;
};

static int run_save(struct write_job *job, struct write_stores *stores, struct err *err)
{
    struct saving *s = (struct saving *)job;
    return stats_save(s->stats, stores->lov, 0, stores->now, err);
}

int vault_save_statistics(struct vault *v, struct err *err)
{
    struct saving s = {.job.run = run_save, .stats = v->stats};
    return writer_run(engine_writer(v->engine), &s.job, err);
}
