/* sign.c - coming in and going out.
 *
 * Signing in takes the same time and says the same whether the name or the password is wrong: a
 * name that nobody has is checked against a hash that nothing fits. A session begins with a token
 * that the browser has not seen before (rotation), so one that was planted is worth nothing. */
#include <string.h>

#include "base/hash.h"
#include "base/password.h"
#include "web/private.h"

/* What a call that signs in carries from step to step. */
struct entry {
    struct hash_job job; /* first */
    struct account account;
    struct str name, next;
    struct sha256 invitation;
    struct session session, old;
    bool has_old;
    struct str token;
    struct passkey passkey;
    int64_t count; /* of the passkey, now */
};

/* ---- sessions ---- */

static void new_session(struct visit *v, struct entry *e, const struct uid *cid)
{
    e->token = new_token(v->arena);
    e->session = (struct session){
        .digest = sha256_of(e->token),
        .cid = *cid,
        .id = uid_new(),
        .created_at = v->now,
        .seen_at = v->now,
        .proved_at = v->now,
        .device = device_of(v->call),
    };
}

/* The old session of this browser ends with the new one's beginning. */
static int put_session(struct entry *e, struct write_scope *scope, struct err *err)
{
    int rc = e->has_old ? session_end(scope->identities, &e->old.cid, &e->old.id, err) : 0;
    return rc ? rc : session_put(scope->identities, &e->session, err);
}

static int write_session(struct engine_write *w, struct write_scope *scope, struct err *err)
{
    return put_session(((struct web_write *)w)->more, scope, err);
}

static int enter(struct http_call *call)
{
    struct web_write *w = call->work;
    struct entry *e = w->more;
    _cleanup_visit struct visit v = {0};
    visit_open(call, &v);
    if (w->w.job.rc)
        return visit_error(&v, &w->w.job.err);
    set_cookie(call, v.web, "lov-session", e->token, SESSION_MOST_MS / 1000);
    return visit_go(call, local_path(v.site, e->next, "/portal"));
}

/* Writes the entry's session, and goes on where it leads. */
static int submit_session(struct visit *v, struct entry *e)
{
    struct web_write *w = web_write_new(v, WRITE_OTHER);
    w->w.consumer = (struct str){0};
    w->w.other = write_session;
    w->more = e;
    return web_submit(w, enter);
}

static int begin_session(struct visit *v, struct entry *e, const struct uid *cid)
{
    new_session(v, e, cid);
    return submit_session(v, e);
}

/* ---- signing in ---- */

int sign_page(struct http_call *call)
{
    _cleanup_visit struct visit v = {0};
    struct str next = {0};
    visit_open(call, &v);
    visit_form_token(&v);
    http_query(call, "next", &next);
    set_text(v.view, "next", local_path(v.site, next, ""));
    set_text(v.view, "title", word(&v, "sign_in"));
    passkey_offer(&v, STR("sign-in"));
    set_true(v.view, "provider", v.web->provider != NULL);
    return visit_page(&v, 200, "sign.html", "");
}

static int sign_again(struct visit *v, int status, const char *why)
{
    visit_form_token(v);
    set_text(v->view, "title", word(v, "sign_in"));
    set_text(v->view, "problem", word(v, why));
    passkey_offer(v, STR("sign-in"));
    set_true(v->view, "provider", v->web->provider != NULL);
    return visit_page(v, status, "sign.html", "");
}

static int after_password(struct http_call *call)
{
    struct entry *e = call->work;
    _cleanup_visit struct visit v = {0};
    visit_open(call, &v);
    if (!e->job.fits) {
        set_text(v.view, "next", local_path(v.site, e->next, ""));
        return sign_again(&v, 401, "sign_wrong");
    }
    return begin_session(&v, e, &e->account.cid);
}

/* The session that this browser has until now, which ends when another begins. */
static int find_old(struct visit *v, struct entry *e, struct err *err)
{
    struct str old = visit_cookie(v, "lov-session");
    struct sha256 digest = sha256_of(old);
    struct db *db;
    if (!old.n)
        return 0;
    int rc = db_pool_get(engine_identities(v->engine), &db, err);
    if (rc)
        return rc;
    rc = session_find(db, &digest, v->arena, &e->old, err);
    e->has_old = rc == 1;
    db_pool_put(engine_identities(v->engine), db);
    return rc < 0 ? rc : 0;
}

static int find_account(struct visit *v, struct entry *e, struct err *err)
{
    struct db *db;
    int rc = db_pool_get(engine_identities(v->engine), &db, err);
    if (rc)
        return rc;
    rc = account_find(engine_identity(v->engine), db, e->name, v->arena, &e->account, err);
    if (rc == 1)
        e->job.hash = e->account.password;
    db_pool_put(engine_identities(v->engine), db);
    return rc < 0 ? rc : find_old(v, e, err);
}

int sign_in(struct http_call *call)
{
    _cleanup_visit struct visit v = {0};
    struct err err = {0};
    struct entry *e = arena_alloc(&call->arena, sizeof *e);
    visit_open(call, &v);
    http_form(call, "next", 1000, &e->next);
    set_text(v.view, "next", local_path(v.site, e->next, ""));
    if (!visit_form_is_ours(&v))
        return sign_again(&v, 403, "sign_form");
    if (!http_form(call, "name", ACCOUNT_NAME_MAX, &e->name) || !e->name.n ||
        !http_form(call, "password", PASSWORD_MOST, &e->job.password) || !e->job.password.n)
        return sign_again(&v, 401, "sign_wrong");
    e->name = str_trim(e->name);
    if (!may_try(&v, e->name))
        return sign_again(&v, 429, "sign_often");
    if (find_account(&v, e, &err))
        return visit_error(&v, &err);
    return hash_later(&v, &e->job, e, after_password);
}

int sign_in_as(struct visit *v, const struct uid *cid, struct str next)
{
    struct err err = {0};
    struct entry *e = arena_alloc(v->arena, sizeof *e);
    e->next = next;
    return find_old(v, e, &err) ? visit_error(v, &err) : begin_session(v, e, cid);
}

/* ---- with a passkey ---- */

static int write_passkey_session(struct engine_write *w, struct write_scope *scope, struct err *err)
{
    struct entry *e = ((struct web_write *)w)->more;
    int rc = passkey_used(scope->identities, &e->passkey, e->count, scope->now, err);
    return rc ? rc : put_session(e, scope, err);
}

int sign_in_passkey(struct http_call *call)
{
    _cleanup_visit struct visit v = {0};
    struct err err = {0};
    struct entry *e = arena_alloc(&call->arena, sizeof *e);
    visit_open(call, &v);
    http_form(call, "next", 1000, &e->next);
    set_text(v.view, "next", local_path(v.site, e->next, ""));
    if (!visit_form_is_ours(&v))
        return sign_again(&v, 403, "sign_form");
    if (!may_try(&v, new_token(v.arena)))
        return sign_again(&v, 429, "sign_often");
    int rc = passkey_find_for(&v, STR("sign-in"), &e->passkey, &e->count, &err);
    if (rc == 0)
        return sign_again(&v, 401, "sign_passkey_wrong");
    if (rc < 0 || find_old(&v, e, &err) < 0)
        return visit_error(&v, &err);
    new_session(&v, e, &e->passkey.cid);
    struct web_write *w = web_write_new(&v, WRITE_OTHER);
    w->w.consumer = (struct str){0};
    w->w.other = write_passkey_session;
    w->more = e;
    return web_submit(w, enter);
}

/* ---- signing out ---- */

static int end_session(struct engine_write *w, struct write_scope *scope, struct err *err)
{
    struct session *s = ((struct web_write *)w)->more;
    return session_end(scope->identities, &s->cid, &s->id, err);
}

static int signed_out(struct http_call *call)
{
    struct web_write *w = call->work;
    _cleanup_visit struct visit v = {0};
    visit_open(call, &v);
    if (w->w.job.rc)
        return visit_error(&v, &w->w.job.err);
    set_cookie(call, v.web, "lov-session", (struct str){0}, 0);
    http_answer_header(call, "Clear-Site-Data", STR("\"cache\", \"storage\""));
    return visit_go(call, STR("/portal/sign-in"));
}

int sign_out(struct http_call *call)
{
    _cleanup_visit struct visit v = {0};
    if (!visit_post(call, &v))
        return 0;
    struct web_write *w = web_write_new(&v, WRITE_OTHER);
    struct session *s = arena_alloc(v.arena, sizeof *s);
    *s = v.session;
    w->w.consumer = (struct str){0};
    w->w.other = end_session;
    w->more = s;
    return web_submit(w, signed_out);
}

/* ---- an invitation becomes an account ---- */

/* 1 when the link is good. */
static int find_invitation(struct visit *v, struct sha256 *digest, struct uid *cid, struct err *err)
{
    struct db_pool *pool = engine_identities(v->engine);
    struct db *db;
    *digest = sha256_of(v->call->param[0]);
    int rc = db_pool_get(pool, &db, err);
    if (rc)
        return rc;
    rc = invitation_find(db, digest, v->now, cid, err);
    db_pool_put(pool, db);
    return rc;
}

static int welcome_form(struct visit *v, int status, const char *problem)
{
    visit_form_token(v);
    set_text(v->view, "title", word(v, "welcome_title"));
    set_text(v->view, "problem", problem ? word(v, problem) : (struct str){0});
    set_text(v->view, "invitation", v->call->param[0]);
    set_int(v->view, "least", PASSWORD_LEAST);
    return visit_page(v, status, "welcome.html", "");
}

int welcome_page(struct http_call *call)
{
    _cleanup_visit struct visit v = {0};
    struct err err = {0};
    struct sha256 digest;
    struct uid cid;
    visit_open(call, &v);
    int rc = find_invitation(&v, &digest, &cid, &err);
    if (rc < 0)
        return visit_error(&v, &err);
    return rc ? welcome_form(&v, 200, NULL) : visit_trouble(&v, 410, "oops_invitation");
}

/* Once: whoever comes second finds no invitation. */
static int write_account(struct engine_write *w, struct write_scope *scope, struct err *err)
{
    struct entry *e = ((struct web_write *)w)->more;
    struct uid cid;
    int rc = invitation_find(scope->identities, &e->invitation, scope->now, &cid, err);
    if (rc == 0 || (rc == 1 && !scope->who))
        return err_reason(err, LOV_ENOTFOUND, "unknown_invitation", "the invitation was used");
    if (rc < 0)
        return rc;
    rc = account_put(engine_identity(scope->engine), scope->identities, &cid, e->name, e->job.hash,
                     (struct str){0}, scope->now, err);
    if (rc == 0)
        rc = invitation_end(scope->identities, &cid, err);
    if (rc == 0)
        rc = session_end_all(scope->identities, &cid, NULL, err);
    if (rc == 0)
        rc = put_session(e, scope, err);
    if (rc == 0)
        rc = engine_append(scope, "account.open", (struct str){0}, STR("{}"), &w->out_seq, err);
    return rc;
}

static int account_made(struct http_call *call)
{
    struct web_write *w = call->work;
    if (strcmp(w->w.job.err.reason, "name_taken") != 0)
        return enter(call);
    _cleanup_visit struct visit v = {0};
    visit_open(call, &v);
    return welcome_form(&v, 409, "welcome_taken");
}

static int after_hash(struct http_call *call)
{
    struct entry *e = call->work;
    _cleanup_visit struct visit v = {0};
    _cleanup_buf struct buf id = {0};
    struct err err = {0};
    struct db *db;
    visit_open(call, &v);
    if (!e->job.fits)
        return visit_trouble(&v, 503, "oops_busy");
    int rc = db_pool_get(engine_identities(v.engine), &db, &err);
    if (rc)
        return visit_error(&v, &err);
    rc = identity_name(engine_identity(v.engine), db, &e->account.cid, &id, &err);
    db_pool_put(engine_identities(v.engine), db);
    if (rc != 1)
        return rc ? visit_error(&v, &err) : visit_trouble(&v, 410, "oops_invitation");
    new_session(&v, e, &e->account.cid);
    struct web_write *w = web_write_new(&v, WRITE_OTHER);
    w->w.consumer = arena_str(v.arena, buf_view(&id));
    w->w.other = write_account;
    w->more = e;
    return web_submit(w, account_made);
}

int welcome_post(struct http_call *call)
{
    _cleanup_visit struct visit v = {0};
    struct err err = {0};
    struct entry *e = arena_alloc(&call->arena, sizeof *e);
    visit_open(call, &v);
    int rc = find_invitation(&v, &e->invitation, &e->account.cid, &err);
    if (rc <= 0)
        return rc ? visit_error(&v, &err) : visit_trouble(&v, 410, "oops_invitation");
    if (!visit_form_is_ours(&v))
        return welcome_form(&v, 403, "sign_form");
    if (!may_try(&v, call->param[0]))
        return welcome_form(&v, 429, "sign_often");
    const char *wrong = judge_account(call, ACCOUNT_NAME_MAX, &e->name, &e->job);
    if (wrong)
        return welcome_form(&v, 422, wrong);
    e->job.make = true;
    return hash_later(&v, &e->job, e, after_hash);
}

/* ---- proving it again ---- */

static int prove_form(struct visit *v, int status, const char *problem, struct str next)
{
    set_text(v->view, "title", word(v, "prove_title"));
    set_text(v->view, "problem", problem ? word(v, problem) : (struct str){0});
    set_text(v->view, "next", local_path(v->site, next, "/portal"));
    return visit_page(v, status, "prove.html", "");
}

/* Who came by way of the provider may have none, and proves it there. */
static bool has_password(struct visit *v)
{
    struct err err = {0};
    struct account account = {0};
    struct db *db;
    if (db_pool_get(engine_identities(v->engine), &db, &err))
        return true;
    int rc = account_get(db, &v->session.cid, v->arena, &account, &err);
    db_pool_put(engine_identities(v->engine), db);
    return rc != 0;
}

int prove_page(struct http_call *call)
{
    _cleanup_visit struct visit v = {0};
    struct str next = {0};
    if (!visit_begin(call, &v))
        return 0;
    http_query(call, "next", &next);
    if (v.web->provider && !has_password(&v))
        return visit_go(call, arena_printf(v.arena, "/portal/provider?again=1&next=%.*s",
                                           STR_ARG(local_path(v.site, next, "/portal"))));
    return prove_form(&v, 200, NULL, next);
}

static int after_proof(struct http_call *call)
{
    struct entry *e = call->work;
    _cleanup_visit struct visit v = {0};
    if (!visit_begin(call, &v))
        return 0;
    if (!e->job.fits)
        return prove_form(&v, 401, "prove_wrong", e->next);
    /* A new token here too: what the proof opens is not for whoever had the old one. */
    new_session(&v, e, &v.session.cid);
    e->session.acting = v.session.acting;
    e->session.for_cid = v.session.for_cid;
    e->session.created_at = v.session.created_at;
    e->old = v.session;
    e->has_old = true;
    return submit_session(&v, e);
}

int prove_post(struct http_call *call)
{
    _cleanup_visit struct visit v = {0};
    struct err err = {0};
    struct db *db;
    struct entry *e = arena_alloc(&call->arena, sizeof *e);
    if (!visit_post(call, &v))
        return 0;
    http_form(call, "next", 1000, &e->next);
    if (!http_form(call, "password", PASSWORD_MOST, &e->job.password))
        return prove_form(&v, 401, "prove_wrong", e->next);
    if (!may_try(&v, (struct str){(const char *)v.session.cid.b, sizeof v.session.cid.b}))
        return prove_form(&v, 429, "sign_often", e->next);
    int rc = db_pool_get(engine_identities(v.engine), &db, &err);
    if (rc)
        return visit_error(&v, &err);
    rc = account_get(db, &v.session.cid, v.arena, &e->account, &err);
    db_pool_put(engine_identities(v.engine), db);
    if (rc < 0)
        return visit_error(&v, &err);
    e->job.hash = e->account.password;
    return hash_later(&v, &e->job, e, after_proof);
}
