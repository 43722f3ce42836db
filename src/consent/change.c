/* change.c - what happens to a consent after it was given: withdrawn, renewed, amended, expired. */
#include <string.h>

#include "consent/engine.h"

static int load(struct work *k, struct consent *out, struct err *err)
{
    struct engine_write *w = k->w;
    int rc = work_consumer_of(k, w->shard, w->consent, err);
    if (rc == 1)
        rc = person_find_consent(&k->person, k->lov, w->consent, w->arena, out, err);
    if (rc == 0)
        return err_reason(err, LOV_ENOTFOUND, "unknown_consent", "there is no such consent");
    return rc < 0 ? rc : 0;
}

static int finish(struct work *k, const char *kind, struct consent *c, struct err *err)
{
    int rc = work_consent(k, kind, c, NULL, err);
    k->w->out = *c;
    k->w->out_seq = c->event;
    if (rc == 0)
        work_finish(k);
    return rc;
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

/* Does it answer for one of the write's categories? */
static bool answers(const struct work *k, const struct consent *c)
{
    for (size_t i = 0; i < k->w->category_count; i++) {
        struct str name = k->w->categories[i];
        bool held =
            c->status != CONSENT_SUPERSEDED && names_have(c->categories, c->category_count, name);
        if (held || names_have(c->narrowed, c->narrowed_count, name))
            return true;
    }
    return false;
}

/* Widening may not reach into what another consent of the same recipient and purpose says. */
static int check_free(struct work *k, const struct consent *c, struct err *err)
{
    for (size_t i = 0; i < k->person.consent_count; i++) {
        const struct consent *other = &k->person.consents[i];
        if (other->seq != c->seq && str_eq(other->recipient, c->recipient) &&
            str_eq(other->purpose, c->purpose) && answers(k, other))
            return err_reason(err, LOV_ECONFLICT, "answered_elsewhere",
                              "another consent answers for one of the categories: give a new "
                              "consent for all of them instead");
    }
    return 0;
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

struct due_list {
    struct due *items;
    int64_t count, limit, now;
};

static int due_in_tail(void *ctx, const struct person *p)
{
    struct due_list *list = ctx;
    for (size_t i = 0; i < p->consent_count && list->count < list->limit; i++) {
        const struct consent *c = &p->consents[i];
        if (c->status == CONSENT_ACTIVE && c->expires_at <= list->now)
            list->items[list->count++] = (struct due){c->cid, c->shard, c->seq};
    }
    return 0;
}

/* By the tables, which may not know yet what happened since, and by the tail, which does. */
static int list_due(struct work *k, struct due_list *list, struct err *err)
{
    static const char sql[] = "select shard, cid, seq from consent where shard = 0 and "
                              "status = 'active' and expires_at <= $1 order by expires_at limit $2";
    tail_each(k->e->tail, due_in_tail, list);
    struct db_stmt *s = db_use(k->lov, sql);
    db_bind_int(s, 1, k->now);
    db_bind_int(s, 2, list->limit - list->count);
    int rc;
    while ((rc = db_step(s, err)) == 1) {
        struct due *d = &list->items[list->count++];
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
    int64_t next = ledger_next(k->e->ledger, due->shard);
    k->change->has_who = true;
    int rc = person_take(k->e->tail, k->lov, due->shard, &due->cid, true, next, k->w->arena,
                         &k->person, err);
    const struct consent *found = rc == 1 ? person_consent(&k->person, due->seq) : NULL;
    if (rc < 0)
        return rc;
    /* The table may not know yet that it was withdrawn or renewed, or it is listed twice. */
    if (!found)
        return err_set(err, LOV_ECORRUPT, "a consent without its consumer: run lov log verify");
    struct consent c = *found;
    if (c.status != CONSENT_ACTIVE || c.expires_at > k->now)
        return 0;
    c.status = CONSENT_EXPIRED;
    rc = work_consent(k, "consent.expire", &c, NULL, err);
    if (rc == 0)
        work_finish(k);
    k->w->written++;
    return rc;
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
    struct due_list list = {.limit = w->limit > 0 && w->limit < MOST ? w->limit : MOST,
                            .now = k->now};
    list.items = arena_array(w->arena, (size_t)list.limit, sizeof *list.items);
    w->written = 0;
    int rc = list_due(k, &list, err);
    if (rc == 0)
        rc = forget_old_keys(k, err);
    for (int64_t i = 0; rc == 0 && i < list.count; i++)
        rc = expire_one(k, &list.items[i], err);
    /* The index knows each consent's end already: nothing changes there. */
    k->change->has_who = false;
    k->change->consent_count = 0;
    return rc;
}
