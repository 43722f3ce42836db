/* verify.c - do the rows of requests, holds and notifications say what the ledger says?
 *
 * Each row equals the body of the event that it names. Then each event is gone through: its row is
 * there, and names no older an event; so neither can be changed, added or dropped alone. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "rights/private.h"

struct checking {
    struct db *lov;
    uint32_t shard;
    struct state_report *out;
    struct err *err;
};

static void wrong(struct checking *c, int64_t seq, const char *what)
{
    c->out->wrong = true;
    c->out->seq = seq;
    snprintf(c->out->what, sizeof c->out->what, "%s", what);
}

/* ---- rows against events ---- */

struct expected {
    const char *kind; /* its head */
    struct str body;
    const struct uid *cid; /* NULL: of any */
    bool same;
};

static int compare(void *ctx, const struct ledger_event *event)
{
    struct expected *x = ctx;
    x->same =
        str_starts(event->kind, str_of(x->kind)) && str_eq(event->body, x->body) &&
        (!x->cid || (event->has_cid && memcmp(event->cid.b, x->cid->b, sizeof x->cid->b) == 0));
    return 0;
}

static int check_event(struct checking *c, int64_t seq, struct expected *x)
{
    int rc = ledger_get(c->lov, c->shard, seq, compare, x, c->err);
    c->out->rows++;
    if (rc >= 0 && !x->same)
        wrong(c, seq, "a row of a request does not say what its event says");
    return rc < 0 ? rc : 0;
}

static int check_request(struct checking *c, struct db_stmt *s)
{
    _cleanup_arena struct arena arena = {0};
    _cleanup_buf struct buf body = {0};
    struct request r;
    struct err damaged;
    if (request_from_row(s, c->shard, &arena, &r, &damaged)) {
        wrong(c, db_int(s, 2), "a request's row is damaged");
        return 0;
    }
    request_event_body(&r, &body);
    struct expected x = {"request.", buf_view(&body), &r.cid, false};
    return check_event(c, r.event, &x);
}

static int check_hold(struct checking *c, struct db_stmt *s)
{
    _cleanup_arena struct arena arena = {0};
    _cleanup_buf struct buf body = {0};
    struct hold h;
    struct err damaged;
    if (hold_from_row(s, c->shard, &arena, &h, &damaged)) {
        wrong(c, db_int(s, 2), "a hold's row is damaged");
        return 0;
    }
    hold_body(&h, &body);
    struct expected x = {"hold.", buf_view(&body), &h.cid, false};
    return check_event(c, h.event, &x);
}

static int check_notification(struct checking *c, struct db_stmt *s)
{
    _cleanup_buf struct buf body = {0};
    notification_body(db_int(s, 2), db_text(s, 1), db_text(s, 3), db_text(s, 4), &body);
    struct expected x = {"notification.make", buf_view(&body), NULL, false};
    return check_event(c, db_int(s, 0), &x);
}

static int check_rows(struct checking *c, const char *sql,
                      int (*check)(struct checking *c, struct db_stmt *s))
{
    struct db_stmt *s = db_use(c->lov, sql);
    db_bind_int(s, 1, c->shard);
    int rc = 0;
    while (!c->out->wrong && (rc = db_step(s, c->err)) == 1) {
        rc = check(c, s);
        if (rc)
            break;
    }
    if (c->out->wrong || rc < 0)
        db_done(s);
    return rc < 0 ? rc : 0;
}

/* ---- events against rows ---- */

/* The number that the body names the row by; -1: none. */
static int64_t row_of(struct str body, const char *name)
{
    _cleanup_json json_t *json = NULL;
    if (json_read(body, &json, NULL))
        return -1;
    const json_t *seq = json_object_get(json, name);
    return json_is_integer(seq) ? json_integer_value(seq) : -1;
}

/* The row's last event must be this one or a later one. */
static int need_row(struct checking *c, const char *sql, int64_t seq, int64_t event)
{
    struct db_stmt *s = db_use(c->lov, sql);
    db_bind_int(s, 1, c->shard);
    db_bind_int(s, 2, seq);
    int rc = db_step(s, c->err);
    bool ok = rc == 1 && !db_is_null(s, 0) && db_int(s, 0) >= event;
    if (rc == 1)
        db_done(s);
    if (rc >= 0 && !ok)
        wrong(c, event, "the row that this event made is not there, or older than it");
    return rc < 0 ? rc : 0;
}

static int see_event(void *ctx, const struct ledger_event *e)
{
    static const char requests[] = "select event from request where shard = $1 and seq = $2";
    static const char holds[] = "select event from hold where shard = $1 and seq = $2";
    static const char told[] = "select seq from notification where shard = $1 and seq = $2";
    /* An acknowledged one: its instant is in no body, but in its event. */
    static const char acknowledged[] = "select case when acknowledged_at is null then null else "
                                       "$3 end from notification where shard = $1 and seq = $2";
    struct checking *c = ctx;
    int rc = 0;
    if (str_starts(e->kind, STR("request.")))
        rc = need_row(c, requests, row_of(e->body, "request"), e->seq);
    else if (str_starts(e->kind, STR("hold.")))
        rc = need_row(c, holds, row_of(e->body, "hold"), e->seq);
    else if (str_is(e->kind, "notification.make"))
        rc = need_row(c, told, e->seq, e->seq);
    else if (str_is(e->kind, "notification.acknowledge")) {
        struct db_stmt *s = db_use(c->lov, acknowledged);
        db_bind_int(s, 1, c->shard);
        db_bind_int(s, 2, row_of(e->body, "notification"));
        db_bind_int(s, 3, e->seq);
        rc = db_step(s, c->err);
        if (rc >= 0 && (rc == 0 || db_is_null(s, 0)))
            wrong(c, e->seq, "a notification that was acknowledged is open");
        if (rc == 1)
            db_done(s);
    }
    return rc < 0 ? rc : c->out->wrong;
}

static int check_events(struct checking *c)
{
    struct ledger_filter filter = {.shard = c->shard, .after = -1, .limit = INT64_MAX};
    int64_t size = 0;
    struct sha256 root;
    int rc = ledger_head(c->lov, c->shard, &size, &root, c->err);
    while (rc == 0 && filter.after + 1 < size)
        rc = ledger_read(c->lov, &filter, see_event, c, &filter.after, c->err);
    return rc < 0 ? rc : 0;
}

int rights_verify(struct db *lov, uint32_t shard, struct state_report *out, struct err *err)
{
    static const char requests[] = "select " REQUEST_COLUMNS " from request where shard = $1";
    static const char holds[] = "select " HOLD_COLUMNS " from hold where shard = $1";
    static const char told[] =
        "select seq, recipient, request, kind, categories from notification where shard = $1";
    struct checking c = {.lov = lov, .shard = shard, .out = out, .err = err};
    *out = (struct state_report){0};
    int rc = db_begin_read(lov, err);
    if (rc)
        return rc;
    rc = check_rows(&c, requests, check_request);
    if (rc == 0 && !out->wrong)
        rc = check_rows(&c, holds, check_hold);
    if (rc == 0 && !out->wrong)
        rc = check_rows(&c, told, check_notification);
    if (rc == 0 && !out->wrong)
        rc = check_events(&c);
    db_rollback(lov);
    return rc;
}
