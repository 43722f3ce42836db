/* read.c - the one place where a record is opened: reveal() is static, and what it opens leaves
 * this file only as a view has cut it. A test looks for any other way. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

#include "vault/private.h"

struct reading {
    struct vault *v;
    struct str consumer_id; /* the controller's */
    const struct engine_write *access;
    struct viewer viewer;
    struct str controller;
    struct identity_row who;
    struct secret key;
    struct vault_page *page;
    vault_row *row;
    void *ctx;
    struct buf plain, data, id, consumer;
    struct err *err;
};

/* Opens a record, and keeps of it what the view leaves. */
static int reveal(struct reading *x, const struct record *r)
{
    _cleanup_buf struct buf about = {0};
    buf_clear(&x->plain);
    buf_clear(&x->data);
    int rc = unseal(&x->key, record_associated(r, &about), r->sealed, &x->plain, x->err);
    if (rc == 0)
        rc = viewer_write(&x->viewer, buf_view(&x->plain), &x->data, x->err);
    secret_wipe_bytes(x->plain.p, x->plain.n);
    return rc;
}

/* Under a pseudonym a record has an id of the recipient's own, or two could join what they have. */
static void name_record(struct reading *x, const struct record *r)
{
    buf_clear(&x->id);
    consent_id_format(x->v->engine, r->shard, r->seq, &x->id);
    if (x->viewer.activity->view != VIEW_PSEUDONYMOUS)
        return;
    _cleanup_buf struct buf plain = {0};
    buf_str(&plain, buf_view(&x->id));
    buf_clear(&x->id);
    viewer_pseudonym(&x->viewer, "record", buf_view(&plain), &x->id);
}

static int give_row(struct reading *x, const struct record *r)
{
    int rc = reveal(x, r);
    if (rc)
        return rc;
    name_record(x, r);
    bool identified = x->viewer.activity->view == VIEW_IDENTIFIED;
    const struct policy_recipient *to = x->viewer.activity->recipient; /* NULL: the consumer */
    bool sold = to && to->kind == RECIPIENT_BROKER;
    struct vault_item item = {
        .seq = r->seq,
        .category = r->category,
        .id = buf_view(&x->id),
        .consumer = identified ? x->consumer_id : buf_view(&x->consumer),
        .whole = identified && x->viewer.part->whole,
        .version = r->version,
        .observed_at = r->observed_at,
        .source = r->source,
        .controller = sold ? x->controller : (struct str){0},
        .data = buf_view(&x->data),
        .limits = to ? (struct str){0} : r->limits,
        .retention_end = to ? TIME_NONE : r->retention_end,
    };
    return x->row(x->ctx, &item);
}

/* 1: the record's own limits let the activity see it; 0: they do not. */
static int may_see(const struct reading *x, const struct record *r)
{
    const struct policy_activity *a = x->viewer.activity;
    return r->limits.n ? limits_allow(r->limits, a->purpose->id, a->recipient->id, x->err) : 1;
}

/* Nothing older than the activity may see it, or the category may be kept. */
static int64_t oldest(const struct reading *x, const struct policy *policy, int64_t now)
{
    int days = policy_retention_days(policy, x->viewer.category);
    if (x->viewer.activity->retention_days < days)
        days = x->viewer.activity->retention_days;
    return now - days * (int64_t)DAY_MS;
}

static int read_rows(struct reading *x, struct db *lov, const struct policy *policy)
{
    static const char sql[] =
        "select " RECORD_COLUMNS " from record where shard = $1 and cid = $2 and category = $3 "
        "and seq > $4 and observed_at > $5 and (retention_end is null or retention_end > $6) "
        "and ($7 = 0 or seq = $7) order by seq";
    int64_t count = 0;
    struct db_stmt *s = db_use(lov, sql);
    db_bind_int(s, 1, x->who.shard);
    db_bind_blob(s, 2, uid_str(&x->who.cid));
    db_bind_text(s, 3, x->viewer.category->id);
    db_bind_int(s, 4, x->page->after);
    db_bind_int(s, 5, oldest(x, policy, x->viewer.now));
    db_bind_int(s, 6, x->viewer.now);
    db_bind_int(s, 7, x->page->only);
    int rc;
    while ((rc = db_step(s, x->err)) == 1) {
        struct record r;
        rc = record_from_row(s, x->who.shard, &r)
                 ? may_see(x, &r)
                 : err_set(x->err, LOV_ECORRUPT, "a record's row is damaged: run lov log verify");
        if (rc == 0)
            continue;
        x->page->more = rc == 1 && count == x->page->limit;
        if (rc < 0 || x->page->more || (rc = give_row(x, &r)))
            break;
        count++;
    }
    if (rc)
        db_done(s);
    return rc == 1 && x->page->more ? 0 : rc;
}

/* 1: who it is, and their key; 0: nobody any more. Of an access the writer has found them. */
static int find_key(struct reading *x)
{
    struct db *identities;
    const struct identity *who = engine_identity(x->v->engine);
    int rc = db_pool_get(engine_identities(x->v->engine), &identities, x->err);
    if (rc)
        return rc;
    if (x->access) {
        x->who = x->access->who;
        rc = 1;
    } else {
        struct hash128 lookup = identity_lookup(who, x->consumer_id);
        rc = identity_find(identities, &lookup, &x->who, x->err);
    }
    if (rc == 1)
        rc = identity_data_key_of(who, identities, &x->who, &x->key, x->err);
    db_pool_put(engine_identities(x->v->engine), identities);
    return rc;
}

static int read_for(struct reading *x, const struct policy *policy)
{
    struct db *lov;
    int rc = find_key(x);
    if (rc != 1)
        return rc;
    if (x->viewer.activity->view == VIEW_PSEUDONYMOUS)
        viewer_pseudonym(&x->viewer, "consumer", uid_str(&x->who.cid), &x->consumer);
    rc = db_pool_get_rows(engine_lov(x->v->engine), &lov, x->err);
    if (rc)
        return rc;
    rc = read_rows(x, lov, policy);
    db_pool_put(engine_lov(x->v->engine), lov);
    return rc;
}

/* The activity that the access was decided for, under the policy that it was decided under. */
static int find_activity(struct reading *x, const struct rules *rules)
{
    const struct question *q = &x->access->question;
    const struct policy *p = rules ? rules_policy(rules) : NULL;
    if (!p || p->version != x->access->policy_version)
        return err_reason(x->err, LOV_EUNAVAILABLE, "unavailable",
                          "the policy changed while the use was recorded: ask again");
    const struct policy_recipient *recipient = policy_recipient(p, q->recipient);
    const struct policy_purpose *purpose = policy_purpose(p, q->purpose);
    const struct policy_category *category = policy_category(p, q->category);
    const struct policy_activity *a =
        recipient && purpose ? policy_activity(p, recipient, purpose) : NULL;
    if (!a || !category || !policy_activity_covers(a, category) || a->view == VIEW_AGGREGATE)
        bug("a permitted access that the policy does not name");
    viewer_init(&x->viewer, x->v, a, category, clock_now());
    x->controller = p->controller;
    return 0;
}

/* ---- for sums ---- */

static int sum_rows(struct reading *x, struct db *lov, const struct policy *policy, sums_row *row,
                    void *ctx)
{
    static const char sql[] =
        "select " RECORD_COLUMNS " from record r where r.shard = $1 and r.cid = $2 and "
        "r.category = $3 and r.observed_at > $4 and (r.retention_end is null or "
        "r.retention_end > $5) and not exists (select 1 from aggregate_use u where "
        "u.shard = r.shard and u.cid = r.cid and u.category = r.category and u.seq = r.seq and "
        "u.recipient = $6) order by r.seq";
    struct db_stmt *s = db_use(lov, sql);
    db_bind_int(s, 1, x->who.shard);
    db_bind_blob(s, 2, uid_str(&x->who.cid));
    db_bind_text(s, 3, x->viewer.category->id);
    db_bind_int(s, 4, oldest(x, policy, x->viewer.now));
    db_bind_int(s, 5, x->viewer.now);
    db_bind_text(s, 6, x->viewer.activity->recipient->id);
    int rc;
    while ((rc = db_step(s, x->err)) == 1) {
        struct record r;
        rc = record_from_row(s, x->who.shard, &r)
                 ? may_see(x, &r)
                 : err_set(x->err, LOV_ECORRUPT, "a record's row is damaged: run lov log verify");
        if (rc == 0)
            continue;
        if (rc == 1)
            rc = reveal(x, &r);
        if (rc == 0)
            rc = row(ctx, &r, buf_view(&x->data));
        if (rc)
            break;
    }
    if (rc)
        db_done(s);
    return rc;
}

int read_for_sums(struct vault *v, const struct sums_reader *reader, const struct identity_row *who,
                  sums_row *row, void *ctx, struct err *err)
{
    if (!reader->decision->permit || reader->decision->activity != reader->activity ||
        reader->activity->view != VIEW_AGGREGATE)
        bug("records are summed up without a permit");
    struct reading x = {.v = v, .who = *who, .err = err};
    viewer_init(&x.viewer, v, reader->activity, reader->category, clock_now());
    int rc =
        identity_data_key(engine_identity(v->engine), reader->identities, &who->cid, &x.key, err);
    if (rc == 1)
        rc = sum_rows(&x, reader->lov, reader->policy, row, ctx);
    viewer_wipe(&x.viewer);
    secret_wipe(&x.key);
    buf_free(&x.plain);
    buf_free(&x.data);
    return rc;
}

/* ---- the consumer's own ---- */

static int record_disclosure(struct engine_write *w, struct write_scope *scope, struct err *err)
{
    const struct str *reason = w->input;
    _cleanup_buf struct buf body = {0};
    struct jw j = {.out = &body};
    if (!scope->who)
        return err_reason(err, LOV_ENOTFOUND, "unknown_consumer", "there is no such consumer");
    jw_object_start(&j);
    jw_str_member(&j, "reason", *reason);
    jw_object_end(&j);
    return engine_append(scope, "record.disclose", (struct str){0}, buf_view(&body), &w->out_seq,
                         err);
}

void vault_record_disclosure(struct engine_write *w, const struct str *reason)
{
    w->kind = WRITE_OTHER;
    w->other = record_disclosure;
    w->input = reason;
}

static int own_row(struct reading *x, const struct record *r, const struct policy *policy)
{
    static const struct policy_activity own = {.view = VIEW_IDENTIFIED};
    static const struct policy_view_part whole = {.whole = true};
    x->viewer = (struct viewer){
        .activity = &own,
        .part = &whole,
        .category = policy ? policy_category(policy, r->category) : NULL,
    };
    return give_row(x, r);
}

static int own_rows(struct reading *x, struct db *lov, const struct policy *policy)
{
    static const char sql[] = "select " RECORD_COLUMNS " from record where shard = $1 and cid = $2 "
                              "order by category, seq";
    struct db_stmt *s = db_use(lov, sql);
    db_bind_int(s, 1, x->who.shard);
    db_bind_blob(s, 2, uid_str(&x->who.cid));
    int rc;
    while ((rc = db_step(s, x->err)) == 1) {
        struct record r;
        rc = record_from_row(s, x->who.shard, &r)
                 ? own_row(x, &r, policy)
                 : err_set(x->err, LOV_ECORRUPT, "a record's row is damaged: run lov log verify");
        if (rc)
            break;
    }
    if (rc)
        db_done(s);
    return rc;
}

/* ---- the doors ---- */

static void reading_free(struct reading *x)
{
    struct buf *const bufs[] = {&x->plain, &x->data, &x->id, &x->consumer};
    viewer_wipe(&x->viewer);
    secret_wipe(&x->key);
    for (size_t i = 0; i < sizeof bufs / sizeof *bufs; i++)
        buf_free(bufs[i]);
}

int vault_disclose(struct vault *v, const struct engine_write *recorded, vault_row *row, void *ctx,
                   struct err *err)
{
    if (recorded->kind != WRITE_OTHER || recorded->other != record_disclosure ||
        recorded->job.rc != 0)
        bug("records are disclosed without a recorded disclosure");
    struct reading x = {
        .v = v, .consumer_id = recorded->consumer, .row = row, .ctx = ctx, .err = err};
    struct db *lov = NULL;
    struct rules *rules = engine_rules(v->engine);
    int rc = find_key(&x);
    if (rc == 1)
        rc = db_pool_get_rows(engine_lov(v->engine), &lov, err);
    if (rc == 0 && lov) {
        rc = own_rows(&x, lov, rules ? rules_policy(rules) : NULL);
        db_pool_put(engine_lov(v->engine), lov);
    }
    reading_free(&x);
    rules_unref(rules);
    return rc;
}

int vault_read(struct vault *v, const struct engine_write *access, struct vault_page *page,
               vault_row *row, void *ctx, struct err *err)
{
    if (access->kind != WRITE_ACCESS || access->job.rc != 0 || !access->decision.permit ||
        access->reported)
        bug("records are read without a permitted access");
    struct reading x = {
        .v = v,
        .consumer_id = access->question.consumer,
        .access = access,
        .page = page,
        .row = row,
        .ctx = ctx,
        .err = err,
    };
    struct rules *rules = engine_rules(v->engine);
    page->more = false;
    int rc = find_activity(&x, rules);
    if (rc == 0)
        rc = read_for(&x, rules_policy(rules));
    reading_free(&x);
    rules_unref(rules);
    return rc;
}
