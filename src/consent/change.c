/* change.c - what happens to a consent after it was given: withdrawn, renewed, amended, expired. */
#include <string.h>

#include "consent/engine.h"

static int load(struct work *k, struct consent *out, struct err *err)
{
    struct engine_write *w = k->w;
    int rc = work_consumer_of(k, w->shard, w->consent, err);
    if (rc == 1)
        rc = row_consent_get(k->lov, w->shard, &k->consumer.cid, w->consent, w->arena, out, err);
    if (rc == 0)
        return err_reason(err, LOV_ENOTFOUND, "unknown_consent", "there is no such consent");
    return rc < 0 ? rc : 0;
}

static int finish(struct work *k, const char *kind, struct consent *c, struct err *err)
{
    int rc = work_consent(k, kind, c, err);
    k->w->out = *c;
    k->w->out_seq = c->event;
    return rc ? rc : work_finish(k, err);
}

static int not_superseded(const struct consent *c, struct err *err)
{
    if (c->status != CONSENT_SUPERSEDED)
        return 0;
    return err_reason(err, LOV_ECONFLICT, "superseded",
                      "a later answer has taken this consent's place: list the consumer's consents "
                      "and use that one");
}

int write_withdraw(struct work *k, struct err *err)
{
    struct consent c = {0};
    int rc = work_check_channel(k, false, err);
    if (rc == 0)
        rc = load(k, &c, err);
    if (rc == 0)
        rc = not_superseded(&c, err);
    if (rc)
        return rc;
    if (c.status == CONSENT_REFUSED)
        return err_reason(err, LOV_ECONFLICT, "not_active",
                          "this is a refusal: there is nothing to withdraw");
    k->w->out = c;
    k->w->out_seq = c.event;
    if (c.status == CONSENT_WITHDRAWN) /* asked for twice: it is so already */
        return 0;
    c.status = CONSENT_WITHDRAWN;
    if (k->w->channel.n)
        c.channel = k->w->channel;
    rc = work_seal(k, &c, err);
    return rc ? rc : finish(k, "consent.withdraw", &c, err);
}

/* The activity of a consent, with the write's own names filled in for the checks. */
static int activity_of(struct work *k, const struct consent *c,
                       const struct policy_activity **activity, struct err *err)
{
    k->w->recipient = c->recipient;
    k->w->purpose = c->purpose;
    return work_check_names(k, activity, err);
}

static int new_terms(struct work *k, const struct policy_activity *activity, struct consent *c,
                     struct err *err)
{
    int rc = work_check_notice(k, activity, c, err);
    if (rc == 0)
        rc = work_check_expiry(k, activity, k->now, &c->expires_at, err);
    if (rc == 0)
        rc = work_check_guardian(k, err);
    if (rc == 0) {
        c->by_guardian = k->w->guardian.n > 0;
        rc = work_seal(k, c, err);
    }
    return rc;
}

int write_renew(struct work *k, struct err *err)
{
    struct consent c = {0};
    const struct policy_activity *activity;
    int rc = work_check_channel(k, false, err);
    if (rc == 0)
        rc = load(k, &c, err);
    if (rc == 0)
        rc = not_superseded(&c, err);
    if (rc)
        return rc;
    if (c.status != CONSENT_ACTIVE && c.status != CONSENT_EXPIRED)
        return err_reason(err, LOV_ECONFLICT, "not_active",
                          "a %s consent is not renewed: ask again and record the answer",
                          consent_status_name(c.status));
    k->w->categories = c.categories;
    k->w->category_count = c.category_count;
    rc = activity_of(k, &c, &activity, err);
    if (rc == 0)
        rc = new_terms(k, activity, &c, err);
    if (rc)
        return rc;
    c.status = CONSENT_ACTIVE;
    if (k->w->channel.n)
        c.channel = k->w->channel;
    return finish(k, "consent.renew", &c, err);
}

/* Names of `from` that are not in the new categories. */
static size_t left_out(struct work *k, const struct str *from, size_t count, struct str *out)
{
    size_t n = 0;
    for (size_t i = 0; i < count; i++)
        if (!names_have(k->w->categories, k->w->category_count, from[i]))
            out[n++] = from[i];
    return n;
}

static bool widens(const struct work *k, const struct consent *c)
{
    for (size_t i = 0; i < k->w->category_count; i++)
        if (!names_have(c->categories, c->category_count, k->w->categories[i]))
            return true;
    return false;
}

struct others {
    const struct work *work;
    const struct consent *self;
    bool clash;
};

static int clashes(void *ctx, const struct consent *c)
{
    struct others *o = ctx;
    for (size_t i = 0; c->seq != o->self->seq && i < o->work->w->category_count; i++) {
        struct str name = o->work->w->categories[i];
        bool held =
            c->status != CONSENT_SUPERSEDED && names_have(c->categories, c->category_count, name);
        o->clash |= held || names_have(c->narrowed, c->narrowed_count, name);
    }
    return 0;
}

/* Widening may not reach into what another consent of the same recipient and purpose says. */
static int check_free(struct work *k, const struct consent *c, struct err *err)
{
    struct others others = {.work = k, .self = c};
    int rc = row_consent_each(k->lov, c->shard, &c->cid, c->recipient, c->purpose, -1, INT64_MAX,
                              k->w->arena, clashes, &others, err);
    if (rc == 0 && others.clash)
        rc = err_reason(err, LOV_ECONFLICT, "answered_elsewhere",
                        "another consent answers for one of the categories: give a new consent "
                        "for all of them instead");
    return rc;
}

int write_amend(struct work *k, struct err *err)
{
    struct engine_write *w = k->w;
    struct consent c = {0};
    const struct policy_activity *activity = NULL;
    int rc = work_check_channel(k, false, err);
    if (rc == 0)
        rc = load(k, &c, err);
    if (rc == 0)
        rc = not_superseded(&c, err);
    if (rc)
        return rc;
    if (c.status != CONSENT_ACTIVE || c.expires_at <= k->now)
        return err_reason(err, LOV_ECONFLICT, "not_active", "only an active consent is amended");
    rc = activity_of(k, &c, &activity, err);
    if (rc)
        return rc;
    bool wider = widens(k, &c);
    struct str *narrowed =
        arena_array(w->arena, c.category_count + c.narrowed_count, sizeof *narrowed);
    size_t dropped = left_out(k, c.categories, c.category_count, narrowed);
    if (!wider && dropped == 0 && w->notice.id.n == 0)
        return err_reason(err, LOV_EINVAL, "nothing_to_amend",
                          "the consent covers exactly these categories already");
    if (wider && w->notice.id.n == 0)
        return err_reason(err, LOV_EINVAL, "notice_required",
                          "more categories than were agreed to: show the notice and say which");
    if (wider)
        rc = check_free(k, &c, err);
    if (rc == 0 && w->notice.id.n)
        rc = new_terms(k, activity, &c, err);
    else if (rc == 0)
        rc = work_seal(k, &c, err);
    if (rc)
        return rc;
    dropped += left_out(k, c.narrowed, c.narrowed_count, narrowed + dropped);
    c.narrowed = narrowed;
    c.narrowed_count = dropped;
    c.categories = w->categories;
    c.category_count = w->category_count;
    if (w->channel.n)
        c.channel = w->channel;
    return finish(k, "consent.amend", &c, err);
}

/* ---- expiry ---- */

struct due {
    struct uid cid;
    uint32_t shard;
    int64_t seq;
};

static int list_due(struct work *k, struct due *due, int64_t limit, int64_t *count, struct err *err)
{
    static const char sql[] = "select shard, cid, seq from consent where shard = 0 and "
                              "status = 'active' and expires_at <= $1 order by expires_at limit $2";
    struct db_stmt *s = db_use(k->lov, sql);
    db_bind_int(s, 1, k->now);
    db_bind_int(s, 2, limit);
    int rc;
    *count = 0;
    while ((rc = db_step(s, err)) == 1) {
        struct due *d = &due[(*count)++];
        struct str cid = db_blob(s, 1);
        d->shard = (uint32_t)db_int(s, 0);
        d->seq = db_int(s, 2);
        if (cid.n == sizeof d->cid.b)
            memcpy(d->cid.b, cid.p, cid.n);
    }
    return rc;
}

static int expire_one(struct work *k, const struct due *due, struct err *err)
{
    struct consent c = {0};
    k->change->has_who = true;
    int rc = row_consumer_get(k->lov, due->shard, &due->cid, k->w->arena, &k->consumer, err);
    if (rc == 1)
        rc = row_consent_get(k->lov, due->shard, &due->cid, due->seq, k->w->arena, &c, err);
    if (rc == 0)
        return err_set(err, LOV_ECORRUPT, "a consent without its consumer: run lov log verify");
    if (rc < 0)
        return rc;
    c.status = CONSENT_EXPIRED;
    rc = work_consent(k, "consent.expire", &c, err);
    return rc ? rc : work_finish(k, err);
}

static int forget_old_keys(struct work *k, struct err *err)
{
    enum { KEEP_DAYS = 7 };
    static const char sql[] = "delete from idempotency where shard = 0 and at < $1";
    struct db_stmt *s = db_use(k->lov, sql);
    db_bind_int(s, 1, k->now - KEEP_DAYS * (int64_t)DAY_MS);
    return db_run(s, err);
}

int write_expire(struct work *k, struct err *err)
{
    enum { MOST = 1000 };
    struct engine_write *w = k->w;
    int64_t limit = w->limit > 0 && w->limit < MOST ? w->limit : MOST, count;
    struct due *due = arena_array(w->arena, (size_t)limit, sizeof *due);
    int rc = list_due(k, due, limit, &count, err);
    if (rc == 0)
        rc = forget_old_keys(k, err);
    for (int64_t i = 0; rc == 0 && i < count; i++)
        rc = expire_one(k, &due[i], err);
    /* The index knows each consent's end already: nothing changes there. */
    k->change->has_who = false;
    k->change->consent_count = 0;
    w->written = count;
    return rc;
}
