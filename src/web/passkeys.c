/* passkeys.c - making a passkey, signing in with it, and ending it. The browser's script
 * (passkey.js) puts what the authenticator said into the fields of an ordinary form. */
#include "base/webauthn.h"
#include "web/private.h"

static struct webauthn_expected expected_of(struct visit *v)
{
    struct webauthn_expected e = {.origin = visit_origin(v)};
    struct str rest = e.origin;
    str_cut(&rest, '/');
    str_cut(&rest, '/');
    rest = str_cut(&rest, '/');
    e.rp_id = str_cut(&rest, ':');
    return e;
}

void passkey_offer(struct visit *v, struct str use)
{
    set_text(v->view, "rp_id", expected_of(v).rp_id);
    set_text(v->view, "challenge", challenge_give(v->web->challenges, v->arena, use));
}

/* A field of base64url. */
static bool take_bytes(struct visit *v, const char *name, struct str *out)
{
    struct str text;
    _cleanup_buf struct buf bytes = {0};
    if (!http_form(v->call, name, 2 * WEBAUTHN_MAX, &text) || !text.n ||
        !base64url_decode(text, &bytes))
        return false;
    *out = arena_str(v->arena, buf_view(&bytes));
    return true;
}

/* Is it an answer to a challenge of ours, given out for this use? It is used up. */
static bool take_challenge(struct visit *v, struct str client, struct str use)
{
    struct str challenge;
    return webauthn_challenge(client, v->arena, &challenge, NULL) == 0 &&
           challenge_take(v->web->challenges, challenge, use);
}

/* ---- signing in ---- */

int passkey_find_for(struct visit *v, struct str use, struct passkey *out, int64_t *count,
                     struct err *err)
{
    struct str id, client, data, signature;
    struct webauthn_expected expected = expected_of(v);
    struct db *db;
    if (!take_bytes(v, "id", &id) || !take_bytes(v, "client", &client) ||
        !take_bytes(v, "data", &data) || !take_bytes(v, "signature", &signature) ||
        !take_challenge(v, client, use))
        return 0;
    int rc = db_pool_get(engine_identities(v->engine), &db, err);
    if (rc)
        return rc;
    rc = passkey_find(db, id, v->arena, out, err);
    db_pool_put(engine_identities(v->engine), db);
    if (rc != 1)
        return rc;
    struct webauthn_credential known = {out->id, out->key, out->algorithm, out->count};
    return webauthn_assert(client, data, signature, &expected, &known, count, NULL) == 0;
}

/* ---- making one ---- */

static int write_passkey(struct engine_write *w, struct write_scope *scope, struct err *err)
{
    struct passkey *p = ((struct web_write *)w)->more;
    p->created_at = p->used_at = scope->now;
    int rc = passkey_put(scope->identities, p, err);
    return rc ? rc
              : engine_append(scope, "account.passkey", (struct str){0}, STR("{}"), &w->out_seq,
                              err);
}

static int list_row(void *ctx, const struct passkey *p)
{
    struct visit *v = ctx;
    _cleanup_buf struct buf id = {0};
    json_t *view = json_object();
    base64url_encode(p->id.p, p->id.n, &id);
    set_text(view, "id", buf_view(&id));
    set_text(view, "device", p->label.n ? p->label : word(v, "session_unknown"));
    set_moment(v, view, "since", p->created_at);
    set_moment(v, view, "seen", p->used_at);
    json_array_append_new(json_object_get(v->view, "passkeys"), view);
    return 0;
}

int passkey_list(struct visit *v, struct db *db, const struct uid *owner, struct err *err)
{
    json_object_set_new(v->view, "passkeys", json_array());
    return passkey_each(db, owner, v->arena, list_row, v, err);
}

bool passkey_take(struct visit *v, const struct uid *owner, struct passkey *out)
{
    struct str client, attestation;
    struct webauthn_credential made;
    struct webauthn_expected expected = expected_of(v);
    if (!take_bytes(v, "client", &client) || !take_bytes(v, "attestation", &attestation) ||
        !take_challenge(v, client, v->token) ||
        webauthn_register(client, attestation, &expected, v->arena, &made, NULL)) {
        visit_trouble(v, 400, "oops_passkey");
        return false;
    }
    *out = (struct passkey){
        .id = made.id,
        .key = made.key,
        .cid = *owner,
        .algorithm = made.algorithm,
        .count = made.count,
        .label = device_of(v->call),
    };
    return true;
}

int passkey_make(struct http_call *call)
{
    _cleanup_visit struct visit v = {0};
    struct passkey *p = arena_alloc(&call->arena, sizeof *p);
    if (!visit_post(call, &v) || !visit_proved(&v, "/portal/account"))
        return 0;
    /* One's own alone: nobody adds a key to the account of whom they act for. */
    if (v.session.acting)
        return visit_trouble(&v, 403, "oops_form");
    if (!passkey_take(&v, &v.session.cid, p))
        return 0;
    struct web_write *w = web_write_new(&v, WRITE_OTHER);
    w->w.other = write_passkey;
    w->more = p;
    return web_submit(w, back_to_account);
}

/* ---- ending one ---- */

static int write_passkey_end(struct engine_write *w, struct write_scope *scope, struct err *err)
{
    const struct passkey *p = ((struct web_write *)w)->more;
    return passkey_end(scope->identities, &p->cid, p->id, err);
}

int passkey_remove(struct http_call *call)
{
    _cleanup_visit struct visit v = {0};
    _cleanup_buf struct buf id = {0};
    if (!visit_post(call, &v))
        return 0;
    if (!base64url_decode(call->param[0], &id))
        return visit_trouble(&v, 404, "oops_missing");
    struct web_write *w = web_write_new(&v, WRITE_OTHER);
    struct passkey *p = arena_alloc(v.arena, sizeof *p);
    p->cid = v.session.cid;
    p->id = arena_str(v.arena, buf_view(&id));
    w->w.consumer = (struct str){0};
    w->w.other = write_passkey_end;
    w->more = p;
    return web_submit(w, back_to_account);
}
