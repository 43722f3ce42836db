/* accounts.c - how staff let consumers into the portal: links that make an account, and who may act
 * for whom. */
#include <string.h>

#include "api/private.h"
#include "base/clock.h"
#include "identity/account.h"

enum { HOURS_DEFAULT = 72, HOURS_MOST = 720, TOKEN_BYTES = 32, KIND_MAX = 16 };

struct invitation_request {
    int64_t hours;
};
static const struct json_field invitation_fields[] = {
    {"hours", JSON_K_INT, offsetof(struct invitation_request, hours), false, 1, HOURS_MOST},
};

struct delegate_request {
    struct str person, kind;
};
static const struct json_field delegate_fields[] = {
    {"person", JSON_K_STRING, offsetof(struct delegate_request, person), true, 1, CONSUMER_ID_MAX},
    {"kind", JSON_K_NAME, offsetof(struct delegate_request, kind), true, 1, KIND_MAX},
};
#define COUNT(table) (sizeof(table) / sizeof *(table))

static int unknown(struct err *err)
{
    return err_reason(err, LOV_ENOTFOUND, "unknown_consumer", "there is no such consumer");
}

/* One write about the consumer that the path names. */
static struct pending *write_new(struct http_call *call, json_t *body, void *more,
                                 int (*other)(struct engine_write *, struct write_scope *,
                                              struct err *))
{
    struct pending *p = pending_new(call, body, 1);
    p->more = more;
    p->writes[0].kind = WRITE_OTHER;
    p->writes[0].consumer = call->param[0];
    p->writes[0].other = other;
    return p;
}

static void *more_of(const struct engine_write *w)
{
    return ((struct pending *)w->ctx)->more;
}

/* ---- invitations ---- */

struct invitation {
    struct str token;
    struct sha256 digest;
    int64_t hours, expires_at;
};

static int write_invitation(struct engine_write *w, struct write_scope *scope, struct err *err)
{
    enum { HOUR_MS = 3600000 };
    struct invitation *i = more_of(w);
    if (!scope->who)
        return unknown(err);
    i->expires_at = scope->now + i->hours * HOUR_MS;
    int rc = invitation_put(scope->identities, &i->digest, &scope->who->cid, i->expires_at,
                            scope->now, err);
    return rc ? rc
              : engine_append(scope, "account.invite", (struct str){0}, STR("{}"), &w->out_seq,
                              err);
}

static int answer_invitation(struct http_call *call)
{
    struct pending *p = call->work;
    const struct invitation *i = p->more;
    _cleanup_buf struct buf url = {0};
    if (p->writes[0].job.rc)
        return answer_problem(call, &p->writes[0].job.err);
    struct jw w = answer_start(call, 201);
    jw_object_start(&w);
    jw_str_member(&w, "consumer", call->param[0]);
    jw_time_member(&w, "expires_at", i->expires_at);
    jw_str_member(&w, "path",
                  arena_printf(&call->arena, "/portal/welcome/%.*s", STR_ARG(i->token)));
    api_base(call, &url);
    jw_key(&w, "url");
    if (url.n) {
        buf_printf(&url, "/portal/welcome/%.*s", STR_ARG(i->token));
        jw_str(&w, buf_view(&url));
    } else {
        jw_null(&w);
    }
    jw_object_end(&w);
    return 0;
}

int accounts_invite(struct http_call *call)
{
    struct err err = {0};
    struct invitation_request request = {.hours = HOURS_DEFAULT};
    uint8_t bytes[TOKEN_BYTES];
    _cleanup_buf struct buf token = {0};
    json_t *body = NULL;
    int rc = request_body(call, invitation_fields, COUNT(invitation_fields), JSON_REFUSE_UNKNOWN,
                          &request, &body, &err);
    if (rc)
        return answer_problem(call, &err);
    random_bytes(bytes, sizeof bytes);
    base64url_encode(bytes, sizeof bytes, &token);
    struct invitation *i = arena_alloc(&call->arena, sizeof *i);
    i->token = arena_str(&call->arena, buf_view(&token));
    i->digest = sha256_of(i->token);
    i->hours = request.hours;
    return pending_submit(write_new(call, body, i, write_invitation), answer_invitation);
}

/* ---- acting for another ---- */

struct delegation {
    struct str person, kind;
    bool end;
};

/* The event is of the one who is acted for: it is they who must be able to see it. */
static int write_delegation(struct engine_write *w, struct write_scope *scope, struct err *err)
{
    const struct delegation *d = more_of(w);
    struct hash128 lookup = identity_lookup(engine_identity(scope->engine), d->person);
    struct identity_row person;
    _cleanup_buf struct buf json = {0}, body = {0};
    struct str sealed;
    int rc = scope->who ? identity_find(scope->identities, &lookup, &person, err) : 0;
    if (rc <= 0)
        return rc ? rc : unknown(err);
    if (memcmp(person.cid.b, scope->who->cid.b, sizeof person.cid.b) == 0)
        return err_reason(err, LOV_EINVAL, "invalid_field", "person: is the consumer themselves");
    struct jw j = {.out = &json};
    jw_object_start(&j);
    jw_str_member(&j, "detail", d->person);
    jw_object_end(&j);
    rc = engine_seal(scope, buf_view(&json), &sealed, err);
    if (rc == 0)
        rc = d->end ? delegate_end(scope->identities, &person.cid, &scope->who->cid, err)
                    : delegate_put(scope->identities, &person.cid, &scope->who->cid, d->kind,
                                   scope->now, err);
    if (rc)
        return rc;
    j = (struct jw){.out = &body};
    jw_object_start(&j);
    if (!d->end)
        jw_str_member(&j, "as", d->kind);
    jw_str_member(&j, "sealed", sealed);
    jw_object_end(&j);
    return engine_append(scope, d->end ? "account.undelegate" : "account.delegate", (struct str){0},
                         buf_view(&body), &w->out_seq, err);
}

static int answer_delegation(struct http_call *call)
{
    struct pending *p = call->work;
    const struct delegation *d = p->more;
    if (p->writes[0].job.rc)
        return answer_problem(call, &p->writes[0].job.err);
    struct jw w = answer_start(call, 200);
    jw_object_start(&w);
    jw_str_member(&w, "consumer", call->param[0]);
    jw_str_member(&w, "person", d->person);
    jw_optional_member(&w, "kind", d->kind);
    jw_object_end(&w);
    return 0;
}

int accounts_delegate(struct http_call *call)
{
    struct err err = {0};
    struct delegate_request request = {0};
    json_t *body = NULL;
    int rc = request_body(call, delegate_fields, COUNT(delegate_fields), JSON_REFUSE_UNKNOWN,
                          &request, &body, &err);
    if (rc)
        return answer_problem(call, &err);
    struct delegation *d = arena_alloc(&call->arena, sizeof *d);
    d->person = arena_str(&call->arena, request.person);
    d->kind = arena_str(&call->arena, request.kind);
    if (!str_is(d->kind, "guardian") && !str_is(d->kind, "delegate")) {
        json_decref(body);
        err_reason(&err, LOV_EINVAL, "invalid_field", "kind: guardian or delegate");
        return answer_problem(call, &err);
    }
    return pending_submit(write_new(call, body, d, write_delegation), answer_delegation);
}

int accounts_undelegate(struct http_call *call)
{
    struct delegation *d = arena_alloc(&call->arena, sizeof *d);
    d->person = call->param[1];
    d->end = true;
    return pending_submit(write_new(call, NULL, d, write_delegation), answer_delegation);
}
