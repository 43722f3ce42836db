/* console_sign.c - staff coming in and going out: password, then the passkey of those who have one.
 * Until that is shown the session is half of one, which opens nothing (proved_at 0). */
#include <string.h>

#include "api/eyes.h"
#include "web/console.h"

/* What a call that signs in carries from step to step. */
struct entry {
    struct hash_job job; /* first */
    struct staff staff;
    struct str login, next;
    struct sha256 invitation;
    struct staff_session session, old;
    bool has_old, has_passkey, whole;
    struct str token;
    struct passkey passkey;
    int64_t count; /* of the passkey, now */
};

/* ---- sessions ---- */

static void new_session(struct visit *v, struct entry *e, const struct uid *staff, struct str role)
{
    e->token = new_token(v->arena);
    e->session = (struct staff_session){
        .digest = sha256_of(e->token),
        .staff = *staff,
        .id = uid_new(),
        .role = role,
        .created_at = v->now,
        .seen_at = v->now,
        .proved_at = e->whole ? v->now : 0,
        .device = device_of(v->call),
    };
}

/* The old session of this browser ends with the new one's beginning. */
static int put_session(struct entry *e, struct engine_write *w, struct write_scope *scope,
                       struct err *err)
{
    int rc = e->has_old ? staff_session_end(scope->identities, &e->old.staff, &e->old.id, err) : 0;
    if (rc == 0)
        rc = staff_session_put(scope->identities, &e->session, err);
    if (rc || !e->whole)
        return rc;
    rc = staff_signed_in(scope->identities, &e->session.staff, scope->now, err);
    if (rc)
        return rc;
    return engine_append(scope, "staff.sign_in", (struct str){0}, STR("{}"), &w->out_seq, err);
}

static int write_session(struct engine_write *w, struct write_scope *scope, struct err *err)
{
    struct entry *e = ((struct web_write *)w)->more;
    int rc = e->has_passkey && e->whole
                 ? passkey_used(scope->identities, &e->passkey, e->count, scope->now, err)
                 : 0;
    return rc ? rc : put_session(e, w, scope, err);
}

static int enter(struct http_call *call)
{
    struct web_write *w = call->work;
    struct entry *e = w->more;
    _cleanup_visit struct visit v = {0};
    console_open(call, &v);
    if (w->w.job.rc)
        return visit_error(&v, &w->w.job.err);
    set_cookie(call, v.web, v.site->cookie, e->token, STAFF_MOST_MS / 1000);
    struct str next = local_path(v.site, e->next, v.site->root);
    if (!e->whole)
        next = arena_printf(v.arena, "/console/second?next=%.*s", STR_ARG(next));
    return visit_go(call, next);
}

static struct str actor_of(struct visit *v, const struct staff_session *s)
{
    _cleanup_buf struct buf id = {0};
    hex_encode(s->staff.b, sizeof s->staff.b, &id);
    return arena_printf(v->arena, "staff:%.*s/%.*s", STR_ARG(s->role), STR_ARG(buf_view(&id)));
}

static int submit(struct visit *v, struct entry *e)
{
    struct web_write *w = desk_write(v, e, write_session);
    w->w.actor = actor_of(v, &e->session);
    return web_submit(w, enter);
}

/* The session that this browser has until now, which ends when another begins. */
static int find_old(struct visit *v, struct entry *e, struct err *err)
{
    struct str old = visit_cookie(v, v->site->cookie);
    struct sha256 digest = sha256_of(old);
    struct db *db;
    if (!old.n)
        return 0;
    int rc = db_pool_get(engine_identities(v->engine), &db, err);
    if (rc)
        return rc;
    rc = staff_session_find(db, &digest, v->arena, &e->old, err);
    e->has_old = rc == 1;
    db_pool_put(engine_identities(v->engine), db);
    return rc < 0 ? rc : 0;
}

/* ---- signing in ---- */

static int sign_form(struct visit *v, int status, const char *problem, struct str next)
{
    visit_form_token(v);
    set_text(v->view, "next", local_path(v->site, next, ""));
    set_text(v->view, "title", word(v, "desk_sign_in"));
    set_text(v->view, "problem", problem ? word(v, problem) : (struct str){0});
    return visit_page(v, status, "console_sign.html", "");
}

int console_sign_page(struct http_call *call)
{
    _cleanup_visit struct visit v = {0};
    struct str next = {0};
    console_open(call, &v);
    http_query(call, "next", &next);
    struct str again;
    return sign_form(&v, 200, http_query(call, "again", &again) ? "desk_again" : NULL, next);
}

static int count_passkey(void *ctx, const struct passkey *p)
{
    (void)p;
    ++*(int *)ctx;
    return 0;
}

static int find_staff(struct visit *v, struct entry *e, struct err *err)
{
    struct db *db;
    int passkeys = 0;
    int rc = db_pool_get(engine_identities(v->engine), &db, err);
    if (rc)
        return rc;
    rc = staff_find(engine_identity(v->engine), db, e->login, v->arena, &e->staff, err);
    if (rc == 1) {
        e->job.hash = e->staff.password;
        rc = passkey_each(db, &e->staff.id, v->arena, count_passkey, &passkeys, err);
    }
    db_pool_put(engine_identities(v->engine), db);
    e->has_passkey = passkeys > 0;
    return rc < 0 ? rc : find_old(v, e, err);
}

/* Who only proves who they are goes on in the role that they were in. */
static struct str role_to_begin(const struct entry *e)
{
    struct str roles = e->staff.roles;
    bool same = e->has_old && memcmp(e->old.staff.b, e->staff.id.b, sizeof e->old.staff.b) == 0;
    if (same && staff_list_has(roles, e->old.role))
        return e->old.role;
    return staff_list_next(&roles);
}

static int after_password(struct http_call *call)
{
    struct entry *e = call->work;
    _cleanup_visit struct visit v = {0};
    console_open(call, &v);
    if (!e->job.fits)
        return sign_form(&v, 401, "sign_wrong", e->next);
    e->whole = !e->has_passkey;
    new_session(&v, e, &e->staff.id, role_to_begin(e));
    return submit(&v, e);
}

int console_sign_in(struct http_call *call)
{
    _cleanup_visit struct visit v = {0};
    struct err err = {0};
    struct entry *e = arena_alloc(&call->arena, sizeof *e);
    console_open(call, &v);
    http_form(call, "next", 1000, &e->next);
    if (!visit_form_is_ours(&v))
        return sign_form(&v, 403, "sign_form", e->next);
    if (!http_form(call, "name", STAFF_NAME_MAX, &e->login) || !e->login.n ||
        !http_form(call, "password", PASSWORD_MOST, &e->job.password) || !e->job.password.n)
        return sign_form(&v, 401, "sign_wrong", e->next);
    e->login = str_trim(e->login);
    if (!may_try(&v, arena_printf(v.arena, "staff %.*s", STR_ARG(e->login))))
        return sign_form(&v, 429, "sign_often", e->next);
    if (find_staff(&v, e, &err))
        return visit_error(&v, &err);
    return hash_later(&v, &e->job, e, after_password);
}

/* ---- the passkey ---- */

/* Who has shown their password and not their passkey yet. False with the answer filled. */
static bool half(struct http_call *call, struct visit *v)
{
    struct err err = {0};
    console_open(call, v);
    int rc = console_find(v, &err);
    if (rc < 0)
        visit_error(v, &err);
    else if (rc == 0)
        visit_go(call, STR("/console/sign-in"));
    else if (v->desk->session.proved_at)
        visit_go(call, STR("/console"));
    return rc == 1 && v->desk->session.proved_at == 0;
}

static int second_form(struct visit *v, int status, const char *problem, struct str next)
{
    set_text(v->view, "next", local_path(v->site, next, ""));
    set_text(v->view, "title", word(v, "desk_second"));
    set_text(v->view, "problem", problem ? word(v, problem) : (struct str){0});
    passkey_offer(v, v->token);
    return visit_page(v, status, "console_second.html", "");
}

int console_second_page(struct http_call *call)
{
    _cleanup_visit struct visit v = {0};
    struct str next = {0};
    if (!half(call, &v))
        return 0;
    http_query(call, "next", &next);
    return second_form(&v, 200, NULL, next);
}

int console_second(struct http_call *call)
{
    _cleanup_visit struct visit v = {0};
    struct err err = {0};
    struct entry *e = arena_alloc(&call->arena, sizeof *e);
    if (!half(call, &v))
        return 0;
    http_form(call, "next", 1000, &e->next);
    if (!form_fits(&v, form_token(&v, "desk", v.token)))
        return second_form(&v, 403, "sign_form", e->next);
    if (!may_try(&v, uid_str(&v.desk->staff.id)))
        return second_form(&v, 429, "sign_often", e->next);
    int rc = passkey_find_for(&v, v.token, &e->passkey, &e->count, &err);
    if (rc < 0)
        return visit_error(&v, &err);
    if (rc == 0 || memcmp(e->passkey.cid.b, v.desk->staff.id.b, sizeof e->passkey.cid.b) != 0)
        return second_form(&v, 401, "sign_passkey_wrong", e->next);
    e->has_passkey = e->whole = e->has_old = true;
    e->old = v.desk->session;
    new_session(&v, e, &v.desk->staff.id, v.desk->session.role);
    return submit(&v, e);
}

/* ---- another role ---- */

int console_role(struct http_call *call)
{
    _cleanup_visit struct visit v = {0};
    struct str role = {0};
    struct entry *e = arena_alloc(&call->arena, sizeof *e);
    if (!console_post(call, &v))
        return 0;
    if (!http_form(call, "role", 32, &role) || !role.n ||
        !staff_list_has(v.desk->staff.roles, role))
        return visit_trouble(&v, 403, "oops_role");
    e->old = v.desk->session;
    e->has_old = e->whole = true;
    new_session(&v, e, &v.desk->staff.id, role);
    e->session.created_at = v.desk->session.created_at;
    e->session.proved_at = v.desk->session.proved_at;
    return submit(&v, e);
}

/* ---- signing out ---- */

static int write_out(struct engine_write *w, struct write_scope *scope, struct err *err)
{
    struct staff_session *s = ((struct web_write *)w)->more;
    return staff_session_end(scope->identities, &s->staff, &s->id, err);
}

static int signed_out(struct http_call *call)
{
    struct web_write *w = call->work;
    _cleanup_visit struct visit v = {0};
    console_open(call, &v);
    if (w->w.job.rc)
        return visit_error(&v, &w->w.job.err);
    set_cookie(call, v.web, v.site->cookie, (struct str){0}, 0);
    http_answer_header(call, "Clear-Site-Data", STR("\"cache\", \"storage\""));
    return visit_go(call, STR("/console/sign-in"));
}

int console_sign_out(struct http_call *call)
{
    _cleanup_visit struct visit v = {0};
    if (!console_post_any(call, &v))
        return 0;
    return web_submit(desk_write(&v, &v.desk->session, write_out), signed_out);
}

/* ---- an account, from a link ---- */

/* 1: the link is good. */
static int find_link(struct visit *v, struct entry *e, struct err *err)
{
    struct uid id;
    struct db *db;
    e->invitation = sha256_of(v->call->param[0]);
    int rc = db_pool_get(engine_identities(v->engine), &db, err);
    if (rc)
        return rc;
    rc = staff_invitation_find(db, &e->invitation, v->now, &id, err);
    if (rc == 1)
        rc = staff_get(engine_identity(v->engine), db, &id, v->arena, &e->staff, err);
    db_pool_put(engine_identities(v->engine), db);
    return rc;
}

static int welcome_form(struct visit *v, const struct entry *e, int status, const char *problem)
{
    visit_form_token(v);
    set_text(v->view, "title", word(v, "desk_welcome"));
    set_text(v->view, "problem", problem ? word(v, problem) : (struct str){0});
    set_text(v->view, "invitation", v->call->param[0]);
    set_text(v->view, "staff", e->staff.name);
    set_int(v->view, "least", PASSWORD_LEAST);
    return visit_page(v, status, "console_welcome.html", "");
}

int console_welcome_page(struct http_call *call)
{
    _cleanup_visit struct visit v = {0};
    struct err err = {0};
    struct entry *e = arena_alloc(&call->arena, sizeof *e);
    console_open(call, &v);
    int rc = find_link(&v, e, &err);
    if (rc < 0)
        return visit_error(&v, &err);
    return rc ? welcome_form(&v, e, 200, NULL) : visit_trouble(&v, 410, "oops_invitation");
}

/* With the hash of what they sign in with: a password that somebody else puts there is noticed.
 * Both parts of it are long and random, or made with a salt that is. */
static int append_open(struct engine_write *w, struct write_scope *scope, const struct uid *id,
                       bool power, struct err *err)
{
    _cleanup_buf struct buf body = {0};
    struct jw j = {.out = &body};
    struct sha256 hash;
    int rc = staff_credentials(scope->identities, id, &hash, err);
    if (rc <= 0)
        return rc ? rc : err_set(err, LOV_ECORRUPT, "an account was not kept");
    jw_object_start(&j);
    jw_hex_member(&j, "staff", id->b, sizeof id->b);
    jw_hex_member(&j, "credentials_sha256", hash.b, sizeof hash.b);
    jw_bool_member(&j, "power", power);
    jw_object_end(&j);
    return engine_append(scope, "staff.open", (struct str){0}, buf_view(&body), &w->out_seq, err);
}

/* Once: whoever comes second finds no link. A passkey that was there is asked for all the same: a
 * link alone does not stand in for both. */
static int write_account(struct engine_write *w, struct write_scope *scope, struct err *err)
{
    struct entry *e = ((struct web_write *)w)->more;
    struct uid id;
    bool power = false;
    int rc = staff_invitation_find(scope->identities, &e->invitation, scope->now, &id, err);
    if (rc == 0)
        return err_reason(err, LOV_ENOTFOUND, "unknown_invitation", "the invitation was used");
    if (rc < 0)
        return rc;
    rc = staff_set_login(engine_identity(scope->engine), scope->identities, &id, e->login,
                         e->job.hash, err);
    if (rc == 0)
        rc = eyes_note(scope, &id, &power, err);
    if (rc == 0)
        rc = staff_invitation_end(scope->identities, &id, err);
    if (rc == 0)
        rc = staff_session_end_all(scope->identities, &id, NULL, err);
    return rc ? rc : append_open(w, scope, &id, power, err);
}

static int account_made(struct http_call *call)
{
    struct web_write *w = call->work;
    _cleanup_visit struct visit v = {0};
    console_open(call, &v);
    if (!w->w.job.rc)
        return visit_go(call, STR("/console/sign-in"));
    if (strcmp(w->w.job.err.reason, "name_taken") == 0)
        return welcome_form(&v, w->more, 409, "welcome_taken");
    return visit_error(&v, &w->w.job.err);
}

static int after_hash(struct http_call *call)
{
    struct entry *e = call->work;
    _cleanup_visit struct visit v = {0};
    console_open(call, &v);
    if (!e->job.fits)
        return visit_trouble(&v, 503, "oops_busy");
    struct str roles = e->staff.roles;
    struct web_write *w = desk_write(&v, e, write_account);
    e->session = (struct staff_session){.staff = e->staff.id, .role = staff_list_next(&roles)};
    w->w.actor = actor_of(&v, &e->session);
    return web_submit(w, account_made);
}

int console_welcome(struct http_call *call)
{
    _cleanup_visit struct visit v = {0};
    struct err err = {0};
    struct entry *e = arena_alloc(&call->arena, sizeof *e);
    console_open(call, &v);
    int rc = find_link(&v, e, &err);
    if (rc <= 0)
        return rc ? visit_error(&v, &err) : visit_trouble(&v, 410, "oops_invitation");
    if (!visit_form_is_ours(&v))
        return welcome_form(&v, e, 403, "sign_form");
    if (!may_try(&v, call->param[0]))
        return welcome_form(&v, e, 429, "sign_often");
    const char *wrong = judge_account(call, STAFF_NAME_MAX, &e->login, &e->job);
    if (wrong)
        return welcome_form(&v, e, 422, wrong);
    e->job.make = true;
    return hash_later(&v, &e->job, e, after_hash);
}
