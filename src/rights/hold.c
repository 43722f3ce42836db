/* hold.c - legal holds: what has to be kept although its consumer asks for it to go. */
#include <string.h>

#include "base/clock.h"
#include "rights/private.h"

static int put(struct write_scope *scope, const char *kind, struct hold *h, struct err *err)
{
    _cleanup_buf struct buf body = {0};
    int64_t seq;
    h->event = ledger_next(engine_ledger(scope->engine), h->shard);
    if (h->seq < 0)
        h->seq = h->event;
    hold_body(h, &body);
    int rc = engine_append(scope, kind, (struct str){0}, buf_view(&body), &seq, err);
    return rc ? rc : hold_row_put(scope->lov, h, err);
}

static int need_consumer(const struct write_scope *scope, struct err *err)
{
    if (scope->who)
        return 0;
    return err_reason(err, LOV_ENOTFOUND, "unknown_consumer", "there is no such consumer");
}

static int place(struct engine_write *w, struct write_scope *scope, struct err *err)
{
    const struct hold *wanted = w->input;
    int rc = need_consumer(scope, err);
    if (rc)
        return rc;
    if (wanted->until != TIME_NONE && wanted->until <= scope->now)
        return err_reason(err, LOV_EINVAL, "time_out_of_range", "until: a time to come");
    if (wanted->category.n && !(scope->policy && policy_category(scope->policy, wanted->category)))
        return err_reason(err, LOV_EINVAL, "unknown_category", "the policy has no such category");
    struct hold h = *wanted;
    h.shard = scope->who->shard;
    h.cid = scope->who->cid;
    h.seq = -1;
    h.released = false;
    rc = put(scope, "hold.place", &h, err);
    w->out_seq = h.seq;
    return rc;
}

void hold_place(struct engine_write *w, const struct hold *h)
{
    w->kind = WRITE_OTHER;
    w->other = place;
    w->input = h;
}

/* Calls `row` for each hold of a consumer, oldest first. */
static int each(struct db *lov, const struct identity_row *who, struct arena *arena,
                int (*row)(void *ctx, const struct hold *h), void *ctx, struct err *err)
{
    static const char sql[] =
        "select " HOLD_COLUMNS " from hold where shard = $1 and cid = $2 order by seq";
    struct db_stmt *s = db_use(lov, sql);
    db_bind_int(s, 1, who->shard);
    db_bind_blob(s, 2, uid_str(&who->cid));
    int rc;
    while ((rc = db_step(s, err)) == 1) {
        struct hold h;
        rc = hold_from_row(s, who->shard, arena, &h, err);
        if (rc == 0)
            rc = row(ctx, &h);
        if (rc) {
            db_done(s);
            return rc;
        }
    }
    return rc;
}

struct wanted {
    int64_t seq, now;
    bool found;
    struct hold hold;
};

static int match(void *ctx, const struct hold *h)
{
    struct wanted *want = ctx;
    if (h->seq != want->seq)
        return 0;
    want->found = true;
    want->hold = *h;
    return 1;
}

static int release(struct engine_write *w, struct write_scope *scope, struct err *err)
{
    const struct hold *key = w->input;
    struct wanted want = {.seq = key->seq};
    int rc = need_consumer(scope, err);
    if (rc == 0)
        rc = each(scope->lov, scope->who, scope->arena, match, &want, err);
    if (rc < 0)
        return rc;
    if (!want.found)
        return err_reason(err, LOV_ENOTFOUND, "unknown_hold", "there is no such hold");
    w->out_seq = want.hold.event;
    if (want.hold.released)
        return 0;
    want.hold.released = true;
    rc = put(scope, "hold.release", &want.hold, err);
    w->out_seq = want.hold.event;
    return rc;
}

void hold_release(struct engine_write *w, const struct hold *h)
{
    w->kind = WRITE_OTHER;
    w->other = release;
    w->input = h;
}

static int first_in_force(void *ctx, const struct hold *h)
{
    struct wanted *want = ctx;
    if (h->released || (h->until != TIME_NONE && h->until <= want->now))
        return 0;
    want->found = true;
    want->hold = *h;
    return 1;
}

int holds_check(struct write_scope *scope, struct err *err)
{
    struct wanted want = {.now = scope->now};
    _cleanup_buf struct buf until = {0};
    int rc = need_consumer(scope, err);
    if (rc == 0)
        rc = each(scope->lov, scope->who, scope->arena, first_in_force, &want, err);
    if (rc < 0 || !want.found)
        return rc < 0 ? rc : 0;
    if (want.hold.until == TIME_NONE)
        buf_cstr(&until, "until it is released");
    else
        buf_cstr(&until, "until "), time_format(want.hold.until, &until);
    return err_reason(err, LOV_ECONFLICT, "on_hold", "%s is kept %s: %.*s (%.*s)",
                      want.hold.category.n ? "a category of the records" : "the consumer", until.p,
                      STR_ARG(want.hold.reason), STR_ARG(want.hold.source));
}

int hold_list(struct engine *e, const struct identity_row *consumer, struct arena *arena,
              int (*row)(void *ctx, const struct hold *h), void *ctx, struct err *err)
{
    struct db *db;
    int rc = db_pool_get(engine_lov(e), &db, err);
    if (rc)
        return rc;
    rc = each(db, consumer, arena, row, ctx, err);
    db_pool_put(engine_lov(e), db);
    return rc;
}
