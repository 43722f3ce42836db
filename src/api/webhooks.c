/* webhooks.c - /v1/webhooks: who is told of events, and how that stands. */
#include <string.h>

#include "api/private.h"
#include "base/clock.h"

enum { HOURS_DEFAULT = 24, HOURS_MOST = 720 };
#define COUNT(table) (sizeof(table) / sizeof *(table))

/* ---- answers ---- */

static const char *state_of(const struct webhook *h)
{
    if (h->revoked_at != TIME_NONE)
        return "revoked";
    if (h->stopped_at != TIME_NONE)
        return "stopped";
    return h->waiting || h->dead ? "failing" : "active";
}

static void write_webhook(struct jw *w, const struct webhook *h, struct str secret)
{
    jw_object_start(w);
    jw_str_member(w, "id", h->id);
    jw_optional_member(w, "recipient", h->recipient);
    jw_str_member(w, "url", h->url);
    jw_list_member(w, "kinds", h->kinds);
    jw_cstr_member(w, "state", state_of(h));
    jw_time_member(w, "created_at", h->created_at);
    jw_time_member(w, "revoked_at", h->revoked_at);
    jw_time_member(w, "stopped_at", h->stopped_at);
    jw_int_member(w, "position", h->position);
    jw_int_member(w, "behind", h->behind);
    jw_int_member(w, "delivered", h->delivered);
    jw_time_member(w, "delivered_at", h->delivered_at);
    jw_int_member(w, "waiting", h->waiting);
    jw_int_member(w, "dead", h->dead);
    jw_optional_member(w, "error", h->error);
    jw_key(w, "status");
    if (h->status)
        jw_int(w, h->status);
    else
        jw_null(w);
    if (secret.n)
        jw_str_member(w, "secret", secret);
    jw_object_end(w);
}

static int answer_webhook(struct http_call *call, int status, struct str id,
                          const struct secret *secret)
{
    struct err err = {0};
    struct webhook h = {0};
    _cleanup_buf struct buf text = {0};
    int rc = webhook_get(api_of(call)->engine, id, &call->arena, &h, &err);
    if (rc == 0)
        err_reason(&err, LOV_ENOTFOUND, "unknown_webhook", "there is no such webhook");
    if (rc <= 0)
        return answer_problem(call, &err);
    if (secret) {
        webhook_secret_format(secret, &text);
        http_answer_header(call, "Cache-Control", STR("no-store"));
    }
    struct jw w = answer_start(call, status);
    write_webhook(&w, &h, buf_view(&text));
    secret_wipe_bytes(text.p, text.n);
    return 0;
}

/* ---- making one ---- */

struct create_request {
    struct str recipient, url;
    json_t *kinds;
};
static const struct json_field create_fields[] = {
    {"url", JSON_K_STRING, offsetof(struct create_request, url), true, 1, WEBHOOK_URL_MAX},
    {"recipient", JSON_K_NAME, offsetof(struct create_request, recipient), false, 0, 0},
    {"kinds", JSON_K_ARRAY, offsetof(struct create_request, kinds), false, 1, WEBHOOK_KINDS_MAX},
};

static int answer_create(struct http_call *call)
{
    struct pending *p = call->work;
    struct webhook_new *hook = p->more;
    int rc = p->writes[0].job.rc ? answer_problem(call, &p->writes[0].job.err)
                                 : answer_webhook(call, 201, str_of(hook->id), &hook->secret);
    secret_wipe(&hook->secret);
    return rc;
}

static int take_kinds(struct http_call *call, const json_t *list, struct json_names *out,
                      struct err *err)
{
    size_t i;
    json_t *kind;
    out->items = arena_array(&call->arena, json_array_size(list), sizeof *out->items);
    json_array_foreach(list, i, kind) {
        if (!json_is_string(kind) || !webhook_kind_check(json_text(kind)))
            return err_reason(err, LOV_EINVAL, "invalid_field",
                              "kinds: consent, request, notification, or one kind of these");
        out->items[out->count++] = arena_str(&call->arena, json_text(kind));
    }
    return 0;
}

/* The secret is shown once, which a replay could not do. */
static int check_once(const struct http_call *call, struct err *err)
{
    if (!http_header(call, "Idempotency-Key").p)
        return 0;
    return err_reason(err, LOV_EINVAL, "invalid_idempotency_key",
                      "making a secret cannot be repeated: leave out Idempotency-Key");
}

int webhooks_create(struct http_call *call)
{
    struct err err = {0};
    struct create_request in = {0};
    json_t *body = NULL;
    struct webhook_new *hook = arena_alloc(&call->arena, sizeof *hook);
    int rc = check_once(call, &err);
    if (rc == 0)
        rc = request_body(call, create_fields, COUNT(create_fields), JSON_REFUSE_UNKNOWN, &in,
                          &body, &err);
    if (rc == 0)
        rc = webhook_url_check(in.url, &err);
    if (rc == 0)
        rc = take_kinds(call, in.kinds, &hook->kinds, &err);
    if (rc) {
        json_decref(body);
        return answer_problem(call, &err);
    }
    hook->url = arena_str(&call->arena, in.url);
    hook->recipient = arena_str(&call->arena, in.recipient);
    struct pending *p = pending_new(call, body, 1);
    p->more = hook;
    webhook_create(&p->writes[0], hook);
    return pending_submit(p, answer_create);
}

/* ---- changing one ---- */

struct change_request {
    int64_t hours, from;
};
static const struct json_field rotate_fields[] = {
    {"hours", JSON_K_INT, offsetof(struct change_request, hours), false, 0, HOURS_MOST},
};
static const struct json_field replay_fields[] = {
    {"from", JSON_K_INT, offsetof(struct change_request, from), false, 0, 0},
};

static int begin(struct http_call *call, const struct json_field *fields, size_t count,
                 void (*make)(struct engine_write *w, struct webhook_change *change),
                 http_handler *then)
{
    struct err err = {0};
    struct change_request in = {.hours = HOURS_DEFAULT, .from = -1};
    json_t *body = NULL;
    int rc = request_body(call, fields, count, JSON_REFUSE_UNKNOWN, &in, &body, &err);
    if (rc)
        return answer_problem(call, &err);
    struct webhook_change *change = arena_alloc(&call->arena, sizeof *change);
    *change = (struct webhook_change){.id = call->param[0], .hours = in.hours, .from = in.from};
    struct pending *p = pending_new(call, body, 1);
    p->more = change;
    make(&p->writes[0], change);
    return pending_submit(p, then);
}

static int answer_revoke(struct http_call *call)
{
    struct pending *p = call->work;
    return p->writes[0].job.rc ? answer_problem(call, &p->writes[0].job.err)
                               : answer_webhook(call, 200, call->param[0], NULL);
}

int webhooks_revoke(struct http_call *call)
{
    return begin(call, NULL, 0, webhook_revoke, answer_revoke);
}

static int answer_rotate(struct http_call *call)
{
    struct pending *p = call->work;
    struct webhook_change *change = p->more;
    int rc = p->writes[0].job.rc ? answer_problem(call, &p->writes[0].job.err)
                                 : answer_webhook(call, 200, change->id, &change->secret);
    secret_wipe(&change->secret);
    return rc;
}

int webhooks_rotate(struct http_call *call)
{
    struct err err = {0};
    if (check_once(call, &err))
        return answer_problem(call, &err);
    return begin(call, rotate_fields, COUNT(rotate_fields), webhook_rotate, answer_rotate);
}

static int answer_replay(struct http_call *call)
{
    struct pending *p = call->work;
    const struct webhook_change *change = p->more;
    if (p->writes[0].job.rc)
        return answer_problem(call, &p->writes[0].job.err);
    struct jw w = answer_start(call, 200);
    jw_object_start(&w);
    jw_str_member(&w, "id", change->id);
    jw_int_member(&w, "events", change->count);
    jw_object_end(&w);
    return 0;
}

int webhooks_replay(struct http_call *call)
{
    return begin(call, replay_fields, COUNT(replay_fields), webhook_replay, answer_replay);
}

static int answer_test(struct http_call *call)
{
    struct pending *p = call->work;
    if (p->writes[0].job.rc)
        return answer_problem(call, &p->writes[0].job.err);
    struct jw w = answer_start(call, 202);
    jw_object_start(&w);
    jw_str_member(&w, "id", call->param[0]);
    jw_int_member(&w, "event", p->writes[0].out_seq);
    jw_object_end(&w);
    return 0;
}

int webhooks_test(struct http_call *call)
{
    return begin(call, NULL, 0, webhook_test, answer_test);
}

/* ---- reading ---- */

int webhooks_get(struct http_call *call)
{
    return answer_webhook(call, 200, call->param[0], NULL);
}

struct listing {
    struct jw w;
    struct engine *engine;
    int64_t limit, count, last;
    struct str last_id;
    struct arena *arena;
};

static int webhook_row(void *ctx, const struct webhook *h)
{
    struct listing *l = ctx;
    if (l->count++ == l->limit)
        return 1;
    l->last_id = h->id;
    write_webhook(&l->w, h, (struct str){0});
    return 0;
}

int webhooks_list(struct http_call *call)
{
    struct err err = {0};
    struct listing l = {.engine = api_of(call)->engine, .arena = &call->arena};
    struct str after;
    int rc = request_page(call, NULL, &l.limit, &after, &err);
    if (rc)
        return answer_problem(call, &err);
    l.w = answer_start(call, 200);
    jw_object_start(&l.w);
    jw_array_member(&l.w, "items");
    rc = webhook_list(l.engine, after, l.limit + 1, &call->arena, webhook_row, &l, &err);
    jw_array_end(&l.w);
    jw_optional_member(&l.w, "next", l.count > l.limit ? l.last_id : (struct str){0});
    jw_object_end(&l.w);
    return rc < 0 ? answer_problem(call, &err) : 0;
}

static int failure_row(void *ctx, const struct webhook_failure *f)
{
    struct listing *l = ctx;
    _cleanup_buf struct buf id = {0};
    if (l->count++ == l->limit)
        return 1;
    l->last = f->seq;
    consent_id_format(l->engine, f->shard, f->seq, &id);
    jw_object_start(&l->w);
    jw_str_member(&l->w, "message", buf_view(&id));
    jw_int_member(&l->w, "seq", f->seq);
    jw_int_member(&l->w, "shard", f->shard);
    jw_int_member(&l->w, "attempts", f->attempts);
    jw_bool_member(&l->w, "dead", f->next_at == TIME_NONE);
    jw_time_member(&l->w, "next_at", f->next_at);
    jw_str_member(&l->w, "error", f->error);
    jw_key(&l->w, "status");
    if (f->status)
        jw_int(&l->w, f->status);
    else
        jw_null(&l->w);
    jw_time_member(&l->w, "at", f->at);
    jw_object_end(&l->w);
    return 0;
}

int webhooks_failures(struct http_call *call)
{
    struct err err = {0};
    struct listing l = {.engine = api_of(call)->engine, .arena = &call->arena};
    struct webhook h = {0};
    struct str after;
    int64_t seq = -1;
    int rc = request_page(call, NULL, &l.limit, &after, &err);
    if (rc == 0 && after.n && !str_to_int(after, -1, INT64_MAX - 1, &seq))
        rc = err_reason(&err, LOV_EINVAL, "invalid_cursor", "after is not a cursor of this list");
    if (rc == 0)
        rc = webhook_get(l.engine, call->param[0], &call->arena, &h, &err);
    if (rc == 0 && !err.code)
        err_reason(&err, LOV_ENOTFOUND, "unknown_webhook", "there is no such webhook");
    if (rc != 1)
        return answer_problem(call, &err);
    l.w = answer_start(call, 200);
    jw_object_start(&l.w);
    jw_array_member(&l.w, "items");
    rc = webhook_failures(l.engine, h.id, seq, l.limit + 1, failure_row, &l, &err);
    jw_array_end(&l.w);
    answer_next(call, &l.w, l.count > l.limit, l.last);
    jw_object_end(&l.w);
    return rc < 0 ? answer_problem(call, &err) : 0;
}
