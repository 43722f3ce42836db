/* console_account.c - one's own account at the console: where one is signed in, passkeys. */
#include <string.h>

#include "web/console.h"

static int session_row(void *ctx, const struct staff_session *s)
{
    struct visit *v = ctx;
    _cleanup_buf struct buf id = {0};
    json_t *view = json_object();
    hex_encode(s->id.b, sizeof s->id.b, &id);
    set_text(view, "id", buf_view(&id));
    set_text(view, "device", s->device.n ? s->device : word(v, "session_unknown"));
    set_text(view, "role", word_of(v, "role_", s->role));
    set_moment(v, view, "since", s->created_at);
    set_moment(v, view, "seen", s->seen_at);
    set_true(view, "here", memcmp(s->id.b, v->desk->session.id.b, sizeof s->id.b) == 0);
    if (v->now - s->seen_at <= STAFF_IDLE_MS && v->now - s->created_at <= STAFF_MOST_MS)
        json_array_append(json_object_get(v->view, "sessions"), view);
    json_decref(view);
    return 0;
}

int console_account(struct http_call *call)
{
    _cleanup_visit struct visit v = {0};
    struct err err = {0};
    struct db *db;
    if (!console_begin(call, &v))
        return 0;
    const struct staff *s = &v.desk->staff;
    json_object_set_new(v.view, "sessions", json_array());
    set_text(v.view, "trained", day_text(&v, (int32_t)(s->trained_until / DAY_MS) - 1));
    struct str names = s->recipients;
    json_t *departments = json_array();
    while (names.n) {
        struct str label = recipient_label(&v, staff_list_next(&names));
        json_array_append_new(departments, json_stringn(label.p, label.n));
    }
    json_object_set_new(v.view, "departments", departments);
    passkey_offer(&v, v.token);
    int rc = db_pool_get(engine_identities(v.engine), &db, &err);
    if (rc)
        return visit_error(&v, &err);
    rc = staff_session_each(db, &s->id, v.arena, session_row, &v, &err);
    if (rc >= 0)
        rc = passkey_list(&v, db, &s->id, &err);
    db_pool_put(engine_identities(v.engine), db);
    return rc < 0 ? visit_error(&v, &err) : visit_page(&v, 200, "console_account.html", "account");
}

static int back(struct http_call *call)
{
    return desk_written(call, STR("/console/account"));
}

/* ---- sessions ---- */

struct ending {
    struct uid staff, id, own;
    bool others;
};

static int write_end(struct engine_write *w, struct write_scope *scope, struct err *err)
{
    const struct ending *e = ((struct web_write *)w)->more;
    return e->others ? staff_session_end_all(scope->identities, &e->staff, &e->own, err)
                     : staff_session_end(scope->identities, &e->staff, &e->id, err);
}

static int end_sessions(struct http_call *call, bool others)
{
    _cleanup_visit struct visit v = {0};
    struct ending *e = arena_alloc(&call->arena, sizeof *e);
    if (!console_post(call, &v))
        return 0;
    e->staff = v.desk->staff.id;
    e->own = v.desk->session.id;
    e->others = others;
    if (!others && !hex_decode(call->param[0], e->id.b, sizeof e->id.b))
        return visit_trouble(&v, 404, "oops_missing");
    return web_submit(desk_write(&v, e, write_end), back);
}

int console_end_session(struct http_call *call)
{
    return end_sessions(call, false);
}

int console_end_others(struct http_call *call)
{
    return end_sessions(call, true);
}

/* ---- passkeys ---- */

static int write_passkey(struct engine_write *w, struct write_scope *scope, struct err *err)
{
    struct passkey *p = ((struct web_write *)w)->more;
    p->created_at = p->used_at = scope->now;
    int rc = passkey_put(scope->identities, p, err);
    return rc ? rc
              : engine_append(scope, "staff.passkey", (struct str){0}, STR("{}"), &w->out_seq, err);
}

int console_passkey_make(struct http_call *call)
{
    _cleanup_visit struct visit v = {0};
    struct passkey *p = arena_alloc(&call->arena, sizeof *p);
    if (!console_post(call, &v) || !desk_proved(&v, "/console/account") ||
        !passkey_take(&v, &v.desk->staff.id, p))
        return 0;
    return web_submit(desk_write(&v, p, write_passkey), back);
}

static int write_passkey_end(struct engine_write *w, struct write_scope *scope, struct err *err)
{
    const struct passkey *p = ((struct web_write *)w)->more;
    int rc = passkey_end(scope->identities, &p->cid, p->id, err);
    return rc ? rc
              : engine_append(scope, "staff.passkey_end", (struct str){0}, STR("{}"), &w->out_seq,
                              err);
}

int console_passkey_end(struct http_call *call)
{
    _cleanup_visit struct visit v = {0};
    _cleanup_buf struct buf id = {0};
    struct passkey *p = arena_alloc(&call->arena, sizeof *p);
    if (!console_post(call, &v) || !desk_proved(&v, "/console/account"))
        return 0;
    if (!base64url_decode(call->param[0], &id))
        return visit_trouble(&v, 404, "oops_missing");
    p->cid = v.desk->staff.id;
    p->id = arena_str(v.arena, buf_view(&id));
    return web_submit(desk_write(&v, p, write_passkey_end), back);
}
