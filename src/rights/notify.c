/* notify.c - the recipients who had data of a consumer are told what became of a request (GDPR art.
 * 19), and say that they have heard it.
 *
 * What is told names the consumer as the recipient knows them, also after an erasure. That name
 * stands sealed in the identity store, which is not part of old backups, and goes with the
 * acknowledgement. */
#include <string.h>

#include "base/clock.h"
#include "rights/private.h"

static struct str associated(uint32_t shard, int64_t seq, struct buf *out)
{
    buf_printf(out, "lov told %u/%lld", shard, (long long)seq);
    return buf_view(out);
}

void notification_body(int64_t request, struct str recipient, struct str right,
                       struct str categories, struct buf *out)
{
    struct jw w = {.out = out};
    jw_object_start(&w);
    jw_key(&w, "request");
    if (request < 0)
        jw_null(&w);
    else
        jw_int(&w, request);
    jw_str_member(&w, "recipient", recipient);
    jw_str_member(&w, "right", right);
    if (categories.n)
        jw_list_member(&w, "categories", categories);
    jw_object_end(&w);
}

static bool is_told(struct str right)
{
    return str_is(right, "erasure") || str_is(right, "rectification") ||
           str_is(right, "restriction") || str_is(right, "objection") || str_is(right, "opt_out") ||
           str_is(right, "automated_decision");
}

static int keep_name(struct write_scope *scope, int64_t seq, struct str name, struct err *err)
{
    static const char sql[] = "insert into told (shard, seq, sealed_id) values ($1, $2, $3)";
    _cleanup_buf struct buf about = {0}, sealed = {0};
    _cleanup_secret struct secret key = identity_secret(engine_identity(scope->engine), "told");
    seal(&key, associated(scope->who->shard, seq, &about), name, &sealed);
    struct db_stmt *s = db_use(scope->identities, sql);
    db_bind_int(s, 1, scope->who->shard);
    db_bind_int(s, 2, seq);
    db_bind_blob(s, 3, buf_view(&sealed));
    return db_run(s, err);
}

static int insert(struct write_scope *scope, int64_t seq, struct str recipient, int64_t request,
                  struct str right, struct str categories, struct err *err)
{
    static const char sql[] =
        "insert into notification (shard, seq, recipient, request, kind, at, categories) "
        "values ($1, $2, $3, $4, $5, $6, $7)";
    struct db_stmt *s = db_use(scope->lov, sql);
    db_bind_int(s, 1, scope->who->shard);
    db_bind_int(s, 2, seq);
    db_bind_text(s, 3, recipient);
    db_bind_int(s, 4, request);
    db_bind_text(s, 5, right);
    db_bind_int(s, 6, scope->now);
    db_bind_text(s, 7, categories);
    return db_run(s, err);
}

int notify_all(struct write_scope *scope, const struct request_change *change, int64_t request,
               struct str right, struct err *err)
{
    _cleanup_buf struct buf name = {0}, body = {0}, categories = {0};
    struct recipients told = change->told;
    int rc = is_told(right) ? recipients_since(scope, &told, err) : 0;
    if (!is_told(right) || rc < 0 || !told.count)
        return rc;
    rc = identity_name(engine_identity(scope->engine), scope->identities, &scope->who->cid, &name,
                       err);
    if (rc == 0)
        rc = err_reason(err, LOV_ECONFLICT, "erased", "the consumer was erased");
    buf_join(&categories, change->categories.items, change->categories.count, ',');
    for (size_t i = 0; rc >= 0 && i < told.count; i++) {
        int64_t seq;
        buf_clear(&body);
        notification_body(request, told.names[i], right, buf_view(&categories), &body);
        rc = engine_append(scope, "notification.make", (struct str){0}, buf_view(&body), &seq, err);
        if (rc == 0)
            rc = insert(scope, seq, told.names[i], request, right, buf_view(&categories), err);
        if (rc == 0)
            rc = keep_name(scope, seq, buf_view(&name), err);
    }
    return rc < 0 ? rc : 0;
}

/* ---- reading ---- */

int notification_name(struct engine *e, struct db *identities, uint32_t shard, int64_t seq,
                      struct buf *out, struct err *err)
{
    static const char sql[] = "select sealed_id from told where shard = $1 and seq = $2";
    _cleanup_buf struct buf about = {0};
    _cleanup_secret struct secret key = identity_secret(engine_identity(e), "told");
    struct db_stmt *s = db_use(identities, sql);
    db_bind_int(s, 1, shard);
    db_bind_int(s, 2, seq);
    int rc = db_step(s, err);
    if (rc != 1)
        return rc;
    rc = unseal(&key, associated(shard, seq, &about), db_blob(s, 0), out, err);
    db_done(s);
    return rc ? rc : 1;
}

static int told_name(struct engine *e, struct db *identities, uint32_t shard, int64_t seq,
                     struct arena *arena, struct str *out, struct err *err)
{
    _cleanup_buf struct buf name = {0};
    int rc = notification_name(e, identities, shard, seq, &name, err);
    if (rc == 1)
        *out = arena_str(arena, buf_view(&name));
    return rc < 0 ? rc : 0;
}

struct reading {
    struct engine *e;
    struct db *lov, *identities;
};

static int read_rows(const struct reading *r, struct str recipient, bool open_only, int64_t after,
                     int64_t limit, struct arena *arena,
                     int (*row)(void *ctx, const struct notification *n), void *ctx,
                     struct err *err)
{
    static const char sql[] =
        "select seq, recipient, request, kind, at, acknowledged_at, categories from notification "
        "where shard = 0 and seq > $1 and ($2 = '' or recipient = $2) and "
        "($3 = 0 or acknowledged_at is null) order by seq limit $4";
    struct db_stmt *s = db_use(r->lov, sql);
    db_bind_int(s, 1, after);
    db_bind_text(s, 2, recipient.n ? recipient : STR(""));
    db_bind_int(s, 3, open_only);
    db_bind_int(s, 4, limit);
    int rc;
    while ((rc = db_step(s, err)) == 1) {
        struct notification n = {
            .seq = db_int(s, 0),
            .recipient = db_text(s, 1),
            .request = db_int(s, 2),
            .right = db_text(s, 3),
            .at = db_int(s, 4),
            .acknowledged_at = db_is_null(s, 5) ? TIME_NONE : db_int(s, 5),
            .categories = db_text(s, 6),
        };
        rc = told_name(r->e, r->identities, 0, n.seq, arena, &n.consumer, err);
        if (rc == 0)
            rc = row(ctx, &n);
        if (rc) {
            db_done(s);
            return rc;
        }
    }
    return rc;
}

int notification_list(struct engine *e, struct str recipient, bool open_only, int64_t after,
                      int64_t limit, struct arena *arena,
                      int (*row)(void *ctx, const struct notification *n), void *ctx,
                      struct err *err)
{
    struct reading r = {.e = e};
    int rc = db_pool_get(engine_lov(e), &r.lov, err);
    if (rc)
        return rc;
    rc = db_pool_get(engine_identities(e), &r.identities, err);
    if (rc == 0) {
        rc = read_rows(&r, recipient, open_only, after, limit, arena, row, ctx, err);
        db_pool_put(engine_identities(e), r.identities);
    }
    db_pool_put(engine_lov(e), r.lov);
    return rc;
}

/* ---- acknowledging ---- */

static int forget_name(struct write_scope *scope, const struct notification_key *key,
                       struct err *err)
{
    static const char sql[] = "delete from told where shard = $1 and seq = $2";
    struct db_stmt *s = db_use(scope->identities, sql);
    db_bind_int(s, 1, key->shard);
    db_bind_int(s, 2, key->seq);
    return db_run(s, err);
}

static int note(struct write_scope *scope, const struct notification_key *key, struct err *err)
{
    static const char sql[] =
        "update notification set acknowledged_at = $3 where shard = $1 and seq = $2";
    struct db_stmt *s = db_use(scope->lov, sql);
    db_bind_int(s, 1, key->shard);
    db_bind_int(s, 2, key->seq);
    db_bind_int(s, 3, scope->now);
    return db_run(s, err);
}

/* 1: it is there and open, and *recipient is whose; 0: there, but acknowledged already. */
static int find_open(struct write_scope *scope, const struct notification_key *key,
                     struct str *recipient, struct err *err)
{
    static const char sql[] =
        "select recipient, acknowledged_at from notification where shard = $1 and seq = $2";
    struct db_stmt *s = db_use(scope->lov, sql);
    db_bind_int(s, 1, key->shard);
    db_bind_int(s, 2, key->seq);
    int rc = db_step(s, err);
    if (rc < 0)
        return rc;
    bool found = rc == 1 && (!key->recipient.n || str_eq(key->recipient, db_text(s, 0)));
    bool open = found && db_is_null(s, 1);
    if (open)
        *recipient = arena_str(scope->arena, db_text(s, 0));
    if (rc == 1)
        db_done(s);
    if (!found)
        return err_reason(err, LOV_ENOTFOUND, "unknown_notification",
                          "there is no such notification");
    return open;
}

static int acknowledge(struct engine_write *w, struct write_scope *scope, struct err *err)
{
    const struct notification_key *key = w->input;
    _cleanup_buf struct buf body = {0};
    struct str recipient = {0};
    w->out_seq = key->seq;
    int rc = find_open(scope, key, &recipient, err);
    if (rc != 1)
        return rc;
    struct jw j = {.out = &body};
    jw_object_start(&j);
    jw_int_member(&j, "notification", key->seq);
    jw_str_member(&j, "recipient", recipient);
    jw_object_end(&j);
    rc = engine_append(scope, "notification.acknowledge", (struct str){0}, buf_view(&body),
                       &w->out_seq, err);
    if (rc == 0)
        rc = note(scope, key, err);
    return rc ? rc : forget_name(scope, key, err);
}

void notification_acknowledge(struct engine_write *w, const struct notification_key *key)
{
    w->kind = WRITE_OTHER;
    w->other = acknowledge;
    w->input = key;
    w->consumer = (struct str){0};
}
