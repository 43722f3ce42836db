/* read.c - what is told of webhooks: their rows, and how their delivery stands. */
#include "notify/private.h"

/* ---- how delivery stands ---- */

static int read_cursor(struct db *lov, struct webhook *h, struct err *err)
{
    static const char sql[] =
        "select coalesce(min(c.seq), 0), coalesce(sum(s.size - c.seq), 0), "
        "coalesce(sum(c.delivered), 0), max(c.delivered_at) "
        "from webhook_cursor c join shard s on s.shard = c.shard where c.webhook = $1";
    struct db_stmt *s = db_use(lov, sql);
    db_bind_text(s, 1, h->id);
    int rc = db_step(s, err);
    if (rc < 0)
        return rc;
    h->position = db_int(s, 0);
    h->behind = h->revoked_at == TIME_NONE && db_int(s, 1) > 0 ? db_int(s, 1) : 0;
    h->delivered = db_int(s, 2);
    h->delivered_at = db_is_null(s, 3) ? TIME_NONE : db_int(s, 3);
    db_done(s);
    return 0;
}

static int count_failures(struct db *lov, struct webhook *h, struct err *err)
{
    static const char sql[] = "select count(next_at), count(*) from webhook_delivery "
                              "where webhook = $1";
    struct db_stmt *s = db_use(lov, sql);
    db_bind_text(s, 1, h->id);
    int rc = db_step(s, err);
    if (rc < 0)
        return rc;
    h->waiting = db_int(s, 0);
    h->dead = db_int(s, 1) - h->waiting;
    db_done(s);
    return 0;
}

static int last_failure(struct db *lov, struct webhook *h, struct arena *arena, struct err *err)
{
    static const char sql[] = "select error, status from webhook_delivery where webhook = $1 "
                              "order by at desc limit 1";
    struct db_stmt *s = db_use(lov, sql);
    db_bind_text(s, 1, h->id);
    int rc = db_step(s, err);
    if (rc != 1)
        return rc;
    h->error = arena_str(arena, db_text(s, 0));
    h->status = db_int(s, 1);
    db_done(s);
    return 0;
}

static int add_state(struct db *lov, struct webhook *h, struct arena *arena, struct err *err)
{
    int rc = read_cursor(lov, h, err);
    if (rc == 0)
        rc = count_failures(lov, h, err);
    return rc ? rc : last_failure(lov, h, arena, err);
}

/* ---- lists ---- */

static int list_rows(struct db *lov, struct str after, int64_t limit, struct arena *arena,
                     int (*row)(void *ctx, const struct webhook *h), void *ctx, struct err *err)
{
    static const char sql[] =
        "select " WEBHOOK_COLUMNS " from webhook where id > $1 order by id limit $2";
    struct db_stmt *s = db_use(lov, sql);
    db_bind_text(s, 1, after.n ? after : STR(""));
    db_bind_int(s, 2, limit);
    int rc;
    while ((rc = db_step(s, err)) == 1) {
        struct webhook h;
        webhook_from_row(s, arena, &h);
        rc = add_state(lov, &h, arena, err);
        if (rc == 0)
            rc = row(ctx, &h);
        if (rc) {
            db_done(s);
            return rc;
        }
    }
    return rc;
}

int webhook_list(struct engine *e, struct str after, int64_t limit, struct arena *arena,
                 int (*row)(void *ctx, const struct webhook *h), void *ctx, struct err *err)
{
    struct db *lov;
    int rc = db_pool_get(engine_lov(e), &lov, err);
    if (rc)
        return rc;
    rc = list_rows(lov, after, limit, arena, row, ctx, err);
    db_pool_put(engine_lov(e), lov);
    return rc;
}

static int get(struct db *lov, struct str id, struct arena *arena, struct webhook *out,
               struct err *err)
{
    int rc = webhook_find(lov, id, arena, out, err);
    if (rc != 1)
        return rc;
    rc = add_state(lov, out, arena, err);
    return rc ? rc : 1;
}

int webhook_get(struct engine *e, struct str id, struct arena *arena, struct webhook *out,
                struct err *err)
{
    struct db *lov;
    int rc = db_pool_get(engine_lov(e), &lov, err);
    if (rc)
        return rc;
    rc = get(lov, id, arena, out, err);
    db_pool_put(engine_lov(e), lov);
    return rc;
}

static int failure_rows(struct db *lov, struct str id, int64_t after, int64_t limit,
                        int (*row)(void *ctx, const struct webhook_failure *f), void *ctx,
                        struct err *err)
{
    static const char sql[] =
        "select shard, seq, attempts, next_at, status, error, at from webhook_delivery "
        "where webhook = $1 and seq > $2 order by seq limit $3";
    struct db_stmt *s = db_use(lov, sql);
    db_bind_text(s, 1, id);
    db_bind_int(s, 2, after);
    db_bind_int(s, 3, limit);
    int rc;
    while ((rc = db_step(s, err)) == 1) {
        struct webhook_failure f = {
            .shard = (uint32_t)db_int(s, 0),
            .seq = db_int(s, 1),
            .attempts = db_int(s, 2),
            .next_at = db_is_null(s, 3) ? TIME_NONE : db_int(s, 3),
            .status = db_int(s, 4),
            .error = db_text(s, 5),
            .at = db_int(s, 6),
        };
        rc = row(ctx, &f);
        if (rc) {
            db_done(s);
            return rc;
        }
    }
    return rc;
}

int webhook_failures(struct engine *e, struct str id, int64_t after, int64_t limit,
                     int (*row)(void *ctx, const struct webhook_failure *f), void *ctx,
                     struct err *err)
{
    struct db *lov;
    int rc = db_pool_get(engine_lov(e), &lov, err);
    if (rc)
        return rc;
    rc = failure_rows(lov, id, after, limit, row, ctx, err);
    db_pool_put(engine_lov(e), lov);
    return rc;
}

/* ---- counts ---- */

static int count_all(struct db *lov, struct notify_counts *out, struct err *err)
{
    static const char sql[] =
        "select (select count(*) from webhook where revoked_at is null), "
        "(select count(next_at) from webhook_delivery), (select count(*) from webhook_delivery), "
        "(select coalesce(max(s.size - c.seq), 0) from webhook_cursor c "
        "join shard s on s.shard = c.shard join webhook h on h.id = c.webhook "
        "where h.revoked_at is null), "
        "(select count(*) from message where mail_at is not null)";
    struct db_stmt *s = db_use(lov, sql);
    int rc = db_step(s, err);
    if (rc < 0)
        return rc;
    out->webhooks = db_int(s, 0);
    out->waiting = db_int(s, 1);
    out->dead_letters = db_int(s, 2) - out->waiting;
    out->behind = db_int(s, 3);
    out->mails_waiting = db_int(s, 4);
    db_done(s);
    return 0;
}

int notify_counts(struct engine *e, const struct notify *n, struct notify_counts *out,
                  struct err *err)
{
    struct notify_counts c = {0};
    struct db *lov;
    int rc = db_pool_get(engine_lov(e), &lov, err);
    if (rc)
        return rc;
    rc = count_all(lov, &c, err);
    db_pool_put(engine_lov(e), lov);
    if (rc)
        return rc;
    if (n)
        notify_add_counts(n, &c);
    *out = c;
    return 0;
}
