/* read.c - requests as they stand, who has had a consumer's data, and what is due. */
#include <string.h>

#include "base/clock.h"
#include "rights/private.h"

int request_get(struct engine *e, uint32_t shard, int64_t seq, struct arena *arena,
                struct request *out, struct err *err)
{
    struct db *db;
    int rc = db_pool_get(engine_lov(e), &db, err);
    if (rc)
        return rc;
    rc = request_row_get(db, shard, seq, arena, out, err);
    db_pool_put(engine_lov(e), db);
    return rc;
}

int request_unseal(struct engine *e, const struct request *r, struct buf *json, struct err *err)
{
    struct consent c = {.shard = r->shard, .cid = r->cid, .sealed = r->sealed};
    return r->sealed.n ? consent_unseal(e, &c, json, err) : 0;
}

int categories_take(struct str sealed, struct arena *arena, struct json_names *out, struct err *err)
{
    static const struct json_field fields[] = {{"categories", JSON_K_NAMES, 0, false, 0, 64}};
    _cleanup_json json_t *all = NULL;
    *out = (struct json_names){0};
    if (!sealed.n)
        return 0;
    int rc = json_read(sealed, &all, err);
    if (rc == 0)
        rc = json_take(all, fields, 1, JSON_IGNORE_UNKNOWN, "", arena, out, err);
    for (size_t i = 0; rc == 0 && i < out->count; i++)
        out->items[i] = arena_str(arena, out->items[i]);
    return rc;
}

int request_categories(struct engine *e, const struct request *r, struct arena *arena,
                       struct json_names *out, struct err *err)
{
    _cleanup_buf struct buf text = {0};
    *out = (struct json_names){0};
    if (!str_is(r->right, "erasure"))
        return 0;
    int rc = request_unseal(e, r, &text, err);
    if (rc >= 0)
        rc = categories_take(buf_view(&text), arena, out, err);
    secret_wipe_bytes(text.p, text.n);
    return rc;
}

/* ---- lists ---- */

static int each(struct db_stmt *s, struct arena *arena,
                int (*row)(void *ctx, const struct request *r), void *ctx, struct err *err)
{
    int rc;
    while ((rc = db_step(s, err)) == 1) {
        struct request r;
        rc = request_from_row(s, 0, arena, &r, err);
        if (rc == 0)
            rc = row(ctx, &r);
        if (rc) {
            db_done(s);
            return rc;
        }
    }
    return rc;
}

/* Each has an index for its order: of one consumer, of what is due, of all. */
#define FILTERED                                                                                    \
    " and seq > $1 and ($2 = '' or kind = $2) and ($3 = '' or state = $3) and due_at < $4 and "     \
    "($5 = 0 or state in ('received', 'identity_pending', 'open', 'extended')) order by seq limit " \
    "$6"

static struct db_stmt *use_list(struct db *db, const struct request_filter *f)
{
    static const char of_one[] =
        "select " REQUEST_COLUMNS " from request where shard = 0 and cid = $7" FILTERED;
    static const char of_all[] = "select " REQUEST_COLUMNS " from request where shard = 0" FILTERED;
    struct db_stmt *s = db_use(db, f->consumer ? of_one : of_all);
    db_bind_int(s, 1, f->after);
    db_bind_text(s, 2, f->right.n ? f->right : STR(""));
    db_bind_text(s, 3, f->has_state ? str_of(request_state_name(f->state)) : STR(""));
    db_bind_int(s, 4, f->due_before == TIME_NONE ? INT64_MAX : f->due_before);
    db_bind_int(s, 5, f->live);
    db_bind_int(s, 6, f->limit);
    if (f->consumer)
        db_bind_blob(s, 7, uid_str(&f->consumer->cid));
    return s;
}

int request_list(struct engine *e, const struct request_filter *filter, struct arena *arena,
                 int (*row)(void *ctx, const struct request *r), void *ctx, struct err *err)
{
    struct db *db;
    int rc = db_pool_get(engine_lov(e), &db, err);
    if (rc)
        return rc;
    rc = each(use_list(db, filter), arena, row, ctx, err);
    db_pool_put(engine_lov(e), db);
    return rc;
}

/* ---- what is due ---- */

/* 0: in time; 1: due within seven days; 2: within one; 3: overdue. */
static int urgency(int64_t due_at, int64_t now)
{
    if (now > due_at)
        return 3;
    if (now > due_at - (int64_t)DAY_MS)
        return 2;
    return now > due_at - 7 * (int64_t)DAY_MS;
}

static int remind(struct engine_write *w, struct write_scope *scope, struct err *err)
{
    const struct request *listed = w->input;
    struct request r = {0};
    _cleanup_buf struct buf body = {0};
    int64_t seq;
    w->written = 0;
    int rc = request_row_get(scope->lov, listed->shard, listed->seq, scope->arena, &r, err);
    int level = rc == 1 ? urgency(r.due_at, scope->now) : 0;
    if (rc < 0 || !scope->who || !request_is_live(r.state) || level <= r.reminded)
        return rc < 0 ? rc : 0;
    r.reminded = level;
    r.event = ledger_next(engine_ledger(scope->engine), r.shard);
    request_event_body(&r, &body);
    rc = engine_append(scope, "request.remind", (struct str){0}, buf_view(&body), &seq, err);
    w->written = 1;
    return rc ? rc : request_row_put(scope->lov, &r, err);
}

struct due_list {
    struct request *items;
    size_t count;
};

static int keep_due(void *ctx, const struct request *r)
{
    struct due_list *list = ctx;
    list->items[list->count++] = *r;
    return 0;
}

/* Those whose reminders lag behind. */
static int list_due(struct engine *e, int64_t limit, int64_t now, struct arena *arena,
                    struct due_list *list, struct err *err)
{
    static const char sql[] =
        "select " REQUEST_COLUMNS " from request where shard = 0 and due_at < $1 and state in "
        "('received', 'identity_pending', 'open', 'extended') and reminded < case when due_at < $2 "
        "then 3 when due_at < $3 then 2 else 1 end order by due_at limit $4";
    struct db *db;
    int rc = db_pool_get(engine_lov(e), &db, err);
    if (rc)
        return rc;
    struct db_stmt *s = db_use(db, sql);
    db_bind_int(s, 1, now + 7 * (int64_t)DAY_MS);
    db_bind_int(s, 2, now);
    db_bind_int(s, 3, now + (int64_t)DAY_MS);
    db_bind_int(s, 4, limit);
    rc = each(s, arena, keep_due, list, err);
    db_pool_put(engine_lov(e), db);
    return rc;
}

static int name_of(struct engine *e, const struct uid *cid, struct buf *out, struct err *err)
{
    struct db *db;
    int rc = db_pool_get(engine_identities(e), &db, err);
    if (rc)
        return rc;
    rc = identity_name(engine_identity(e), db, cid, out, err);
    db_pool_put(engine_identities(e), db);
    return rc;
}

int request_remind(struct engine *e, int64_t limit, int64_t *written, struct err *err)
{
    _cleanup_arena struct arena arena = {0};
    struct due_list list = {.items = arena_array(&arena, (size_t)limit, sizeof *list.items)};
    *written = 0;
    int rc = list_due(e, limit, clock_now(), &arena, &list, err);
    for (size_t i = 0; rc == 0 && i < list.count; i++) {
        _cleanup_buf struct buf name = {0};
        rc = name_of(e, &list.items[i].cid, &name, err);
        if (rc <= 0)
            continue;
        struct engine_write w = {
            .kind = WRITE_OTHER,
            .actor = STR("lov"),
            .arena = &arena,
            .consumer = buf_view(&name),
            .other = remind,
            .input = &list.items[i],
            .expires_at = TIME_NONE,
            .given_at = TIME_NONE,
        };
        rc = engine_run(e, &w, err);
        *written += rc == 0 ? w.written : 0;
        /* Erased in between: there is nobody to be answered. */
        if (rc == LOV_ECONFLICT)
            rc = 0;
    }
    return rc;
}

static int count(struct db *db, int64_t now, struct request_counts *out, struct err *err)
{
    static const char by_state[] =
        "select state, count(*) from request where shard = 0 group by state";
    static const char overdue[] =
        "select count(*) from request where shard = 0 and due_at < $1 and state in ('received', "
        "'identity_pending', 'open', 'extended')";
    struct db_stmt *s = db_use(db, by_state);
    int rc;
    while ((rc = db_step(s, err)) == 1) {
        enum request_state state;
        if (request_state_parse(db_text(s, 0), &state))
            out->by_state[state] = db_int(s, 1);
    }
    if (rc)
        return rc;
    s = db_use(db, overdue);
    db_bind_int(s, 1, now);
    rc = db_step(s, err);
    if (rc == 1) {
        out->overdue = db_int(s, 0);
        db_done(s);
    }
    return rc < 0 ? rc : 0;
}

int request_counts(struct engine *e, struct request_counts *out, struct err *err)
{
    struct db *db;
    int rc = db_pool_get(engine_lov(e), &db, err);
    if (rc)
        return rc;
    *out = (struct request_counts){0};
    rc = count(db, clock_now(), out, err);
    db_pool_put(engine_lov(e), db);
    return rc;
}
