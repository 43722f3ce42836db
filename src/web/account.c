/* account.c - the consumer's own account: where they are signed in, whom they act for; and a page
 * that has nothing to show yet. */
#include "web/private.h"

int apps_get(struct http_call *call)
{
    _cleanup_visit struct visit v = {0};
    if (!visit_begin(call, &v))
        return 0;
    return visit_page(&v, 200, "apps.html", "apps");
}

/* ---- the page ---- */

static int session_row(void *ctx, const struct session *s)
{
    struct visit *v = ctx;
    _cleanup_buf struct buf id = {0};
    json_t *view = json_object();
    hex_encode(s->id.b, sizeof s->id.b, &id);
    set_text(view, "id", buf_view(&id));
    set_text(view, "device", s->device.n ? s->device : word(v, "session_unknown"));
    set_moment(v, view, "since", s->created_at);
    set_moment(v, view, "seen", s->seen_at);
    set_true(view, "here", memcmp(s->id.b, v->session.id.b, sizeof s->id.b) == 0);
    if (v->now - s->seen_at <= SESSION_IDLE_MS && v->now - s->created_at <= SESSION_MOST_MS)
        json_array_append(json_object_get(v->view, "sessions"), view);
    json_decref(view);
    return 0;
}

struct delegates {
    struct visit *v;
    struct uid *items;
    struct str *kinds;
    size_t count;
};

static int delegate_row(void *ctx, const struct uid *for_cid, struct str kind)
{
    enum { MOST = 50 };
    struct delegates *d = ctx;
    if (d->count == MOST)
        return 0;
    d->items[d->count] = *for_cid;
    d->kinds[d->count++] = arena_str(d->v->arena, kind);
    return 0;
}

static int read_delegates(struct visit *v, struct db *db, struct err *err)
{
    enum { MOST = 50 };
    struct delegates d = {
        .v = v,
        .items = arena_array(v->arena, MOST, sizeof(struct uid)),
        .kinds = arena_array(v->arena, MOST, sizeof(struct str)),
    };
    json_t *list = json_array();
    int rc = delegate_each(db, &v->session.cid, delegate_row, &d, err);
    for (size_t i = 0; rc >= 0 && i < d.count; i++) {
        _cleanup_buf struct buf id = {0};
        json_t *view = json_object();
        rc = identity_name(engine_identity(v->engine), db, &d.items[i], &id, err);
        set_text(view, "person", buf_view(&id));
        set_text(view, "kind", word_of(v, "delegate_", d.kinds[i]));
        if (rc == 1)
            json_array_append(list, view);
        json_decref(view);
    }
    json_object_set_new(v->view, "delegates", list);
    return rc < 0 ? rc : 0;
}

int account_get_page(struct http_call *call)
{
    _cleanup_visit struct visit v = {0};
    _cleanup_buf struct buf name = {0};
    struct err err = {0};
    struct db *db;
    if (!visit_begin(call, &v))
        return 0;
    json_object_set_new(v.view, "sessions", json_array());
    passkey_offer(&v, v.token);
    int rc = db_pool_get(engine_identities(v.engine), &db, &err);
    if (rc)
        return visit_error(&v, &err);
    rc = session_each(db, &v.session.cid, v.arena, session_row, &v, &err);
    if (rc >= 0)
        rc = passkey_list(&v, db, &v.session.cid, &err);
    if (rc >= 0)
        rc = account_name(engine_identity(v.engine), db, &v.session.cid, &name, &err);
    if (rc >= 0)
        rc = read_delegates(&v, db, &err);
    db_pool_put(engine_identities(v.engine), db);
    if (rc < 0)
        return visit_error(&v, &err);
    set_text(v.view, "name", buf_view(&name));
    return visit_page(&v, 200, "account.html", "account");
}

/* ---- ending sessions ---- */

struct ending {
    struct uid cid, id, own;
    bool others;
};

static int write_end(struct engine_write *w, struct write_scope *scope, struct err *err)
{
    const struct ending *e = ((struct web_write *)w)->more;
    return e->others ? session_end_all(scope->identities, &e->cid, &e->own, err)
                     : session_end(scope->identities, &e->cid, &e->id, err);
}

int back_to_account(struct http_call *call)
{
    return web_written(call, "/portal/account");
}

static int end_sessions(struct http_call *call, bool others)
{
    _cleanup_visit struct visit v = {0};
    if (!visit_post(call, &v))
        return 0;
    struct web_write *w = web_write_new(&v, WRITE_OTHER);
    struct ending *e = arena_alloc(v.arena, sizeof *e);
    *e = (struct ending){.cid = v.session.cid, .own = v.session.id, .others = others};
    if (!others && !hex_decode(call->param[0], e->id.b, sizeof e->id.b))
        return visit_trouble(&v, 404, "oops_missing");
    w->w.consumer = (struct str){0};
    w->w.other = write_end;
    w->more = e;
    return web_submit(w, back_to_account);
}

int account_end_session(struct http_call *call)
{
    return end_sessions(call, false);
}

int account_end_others(struct http_call *call)
{
    return end_sessions(call, true);
}

/* ---- acting for another ---- */

struct acting {
    struct session session, old;
    struct str token;
};

/* Under a new token: what one may do for another is not for whoever had the old one. */
static int write_acting(struct engine_write *w, struct write_scope *scope, struct err *err)
{
    const struct acting *a = ((struct web_write *)w)->more;
    int rc = session_end(scope->identities, &a->old.cid, &a->old.id, err);
    return rc ? rc : session_put(scope->identities, &a->session, err);
}

static int acts(struct http_call *call)
{
    struct web_write *w = call->work;
    const struct acting *a = w->more;
    _cleanup_visit struct visit v = {0};
    visit_open(call, &v);
    if (w->w.job.rc)
        return visit_error(&v, &w->w.job.err);
    set_cookie(call, v.web, "lov-session", a->token, SESSION_MOST_MS / 1000);
    return visit_go(call, STR("/portal"));
}

/* 1: the account may act for the person, whose cid is *out. */
static int find_person(struct visit *v, struct str person, struct uid *out, struct err *err)
{
    struct identity_row row;
    struct str kind;
    struct db *db;
    int rc = consumer_find(v->engine, person, &row, err);
    if (rc == 1)
        rc = db_pool_get(engine_identities(v->engine), &db, err);
    else
        return rc;
    if (rc)
        return rc;
    rc = delegate_find(db, &v->session.cid, &row.cid, v->arena, &kind, err);
    db_pool_put(engine_identities(v->engine), db);
    *out = row.cid;
    return rc;
}

int account_act(struct http_call *call)
{
    _cleanup_visit struct visit v = {0};
    struct err err = {0};
    struct str person = {0};
    if (!visit_post(call, &v))
        return 0;
    struct web_write *w = web_write_new(&v, WRITE_OTHER);
    struct acting *a = arena_alloc(v.arena, sizeof *a);
    a->old = a->session = v.session;
    a->token = new_token(v.arena);
    a->session.digest = sha256_of(a->token);
    a->session.id = uid_new();
    a->session.acting = http_form(call, "person", 128, &person) && person.n;
    int rc = a->session.acting ? find_person(&v, person, &a->session.for_cid, &err) : 1;
    if (rc <= 0)
        return rc ? visit_error(&v, &err) : visit_trouble(&v, 404, "oops_missing");
    w->w.consumer = (struct str){0};
    w->w.other = write_acting;
    w->more = a;
    return web_submit(w, acts);
}
