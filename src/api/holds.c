/* holds.c - what keeps a consumer from being erased, and who is told when they were: legal holds,
 * notifications of recipients, and the opt-out signal. */
#include "api/private.h"
#include "base/clock.h"

static int unknown_consumer(struct err *err)
{
    return err_reason(err, LOV_ENOTFOUND, "unknown_consumer", "there is no such consumer");
}

/* ---- holds ---- */

struct hold_request {
    struct str reason, source, category;
    int64_t until;
};
static const struct json_field hold_fields[] = {
    {"reason", JSON_K_NAME, offsetof(struct hold_request, reason), true, 0, 0},
    {"source", JSON_K_STRING, offsetof(struct hold_request, source), true, 1, 256},
    {"until", JSON_K_TIME, offsetof(struct hold_request, until), false, 0, 0},
    {"category", JSON_K_NAME, offsetof(struct hold_request, category), false, 0, 0},
};

static int answer_hold(struct http_call *call)
{
    struct pending *p = call->work;
    const struct engine_write *w = &p->writes[0];
    const struct hold *h = p->more;
    _cleanup_buf struct buf id = {0};
    if (w->job.rc)
        return answer_problem(call, &w->job.err);
    consent_id_format(api_of(call)->engine, 0, h->released ? h->seq : w->out_seq, &id);
    struct jw j = answer_start(call, h->released ? 200 : 201);
    jw_object_start(&j);
    jw_str_member(&j, "id", buf_view(&id));
    jw_bool_member(&j, "released", h->released);
    jw_object_end(&j);
    return 0;
}

int holds_create(struct http_call *call)
{
    struct err err = {0};
    struct hold_request in = {.until = TIME_NONE};
    json_t *body = NULL;
    int rc = request_body(call, hold_fields, sizeof hold_fields / sizeof *hold_fields,
                          JSON_REFUSE_UNKNOWN, &in, &body, &err);
    if (rc)
        return answer_problem(call, &err);
    struct hold *h = arena_alloc(&call->arena, sizeof *h);
    *h = (struct hold){
        .category = in.category.n ? arena_str(&call->arena, in.category) : STR(""),
        .reason = arena_str(&call->arena, in.reason),
        .source = arena_str(&call->arena, in.source),
        .until = in.until,
    };
    struct pending *p = pending_new(call, body, 1);
    p->more = h;
    p->writes[0].consumer = call->param[0];
    hold_place(&p->writes[0], h);
    if (call->param[0].n > CONSUMER_ID_MAX)
        rc = unknown_consumer(&err);
    if (rc == 0)
        rc = request_idempotency(call, body, 0, &p->writes[0], &err);
    if (rc == 0)
        return pending_submit(p, answer_hold);
    pending_free(p);
    return answer_problem(call, &err);
}

int holds_release(struct http_call *call)
{
    struct err err = {0};
    struct hold *h = arena_alloc(&call->arena, sizeof *h);
    *h = (struct hold){.released = true};
    if (call->param[0].n > CONSUMER_ID_MAX) {
        unknown_consumer(&err);
        return answer_problem(call, &err);
    }
    if (!consent_id_parse(api_of(call)->engine, call->param[1], &h->shard, &h->seq)) {
        err_reason(&err, LOV_ENOTFOUND, "unknown_hold", "there is no such hold");
        return answer_problem(call, &err);
    }
    struct pending *p = pending_new(call, NULL, 1);
    p->more = h;
    p->writes[0].consumer = call->param[0];
    hold_release(&p->writes[0], h);
    return pending_submit(p, answer_hold);
}

struct hold_listing {
    struct api *api;
    struct jw w;
};

static int hold_row(void *ctx, const struct hold *h)
{
    struct hold_listing *list = ctx;
    _cleanup_buf struct buf id = {0};
    consent_id_format(list->api->engine, h->shard, h->seq, &id);
    jw_object_start(&list->w);
    jw_str_member(&list->w, "id", buf_view(&id));
    jw_optional_member(&list->w, "category", h->category);
    jw_str_member(&list->w, "reason", h->reason);
    jw_str_member(&list->w, "source", h->source);
    jw_time_member(&list->w, "until", h->until);
    jw_bool_member(&list->w, "released", h->released);
    jw_int_member(&list->w, "event", h->event);
    jw_object_end(&list->w);
    return 0;
}

int holds_list(struct http_call *call)
{
    struct err err = {0};
    struct identity_row who;
    struct api *api = api_of(call);
    int rc = call->param[0].n <= CONSUMER_ID_MAX
                 ? consumer_find(api->engine, call->param[0], &who, &err)
                 : 0;
    if (rc == 0)
        rc = unknown_consumer(&err);
    if (rc < 0)
        return answer_problem(call, &err);
    struct hold_listing list = {api, answer_start(call, 200)};
    jw_object_start(&list.w);
    jw_array_member(&list.w, "items");
    rc = hold_list(api->engine, &who, &call->arena, hold_row, &list, &err);
    jw_array_end(&list.w);
    jw_object_end(&list.w);
    return rc < 0 ? answer_problem(call, &err) : 0;
}

/* ---- notifications ---- */

struct notification_listing {
    struct api *api;
    struct jw w;
    int64_t limit, count, last;
    bool more;
};

static int notification_row(void *ctx, const struct notification *n)
{
    struct notification_listing *list = ctx;
    _cleanup_buf struct buf id = {0};
    struct engine *e = list->api->engine;
    if (list->count == list->limit) {
        list->more = true;
        return 1;
    }
    list->count++;
    list->last = n->seq;
    consent_id_format(e, n->shard, n->seq, &id);
    jw_object_start(&list->w);
    jw_str_member(&list->w, "id", buf_view(&id));
    jw_str_member(&list->w, "recipient", n->recipient);
    jw_str_member(&list->w, "right", n->right);
    jw_list_member(&list->w, "categories", n->categories);
    jw_optional_member(&list->w, "consumer", n->consumer);
    buf_clear(&id);
    if (n->request >= 0)
        consent_id_format(e, n->shard, n->request, &id);
    jw_optional_member(&list->w, "request", buf_view(&id));
    jw_time_member(&list->w, "at", n->at);
    jw_time_member(&list->w, "acknowledged_at", n->acknowledged_at);
    jw_object_end(&list->w);
    return 0;
}

int notifications_list(struct http_call *call)
{
    static const char *const more[] = {"open", NULL};
    struct err err = {0};
    struct api *api = api_of(call);
    struct notification_listing list = {.api = api};
    struct str after, text;
    uint32_t shard;
    int64_t seq = -1;
    bool open = false;
    int rc = request_page(call, more, &list.limit, &after, &err);
    if (rc == 0 && http_query(call, "open", &text)) {
        open = str_is(text, "true");
        if (!open && !str_is(text, "false"))
            rc = err_reason(&err, LOV_EINVAL, "invalid_query", "open is true or false");
    }
    if (rc == 0 && after.n && !consent_id_parse(api->engine, after, &shard, &seq))
        rc = err_reason(&err, LOV_EINVAL, "invalid_cursor", "after is not a cursor of this list");
    if (rc)
        return answer_problem(call, &err);
    list.w = answer_start(call, 200);
    jw_object_start(&list.w);
    jw_array_member(&list.w, "items");
    rc = notification_list(api->engine, caller_of(call)->recipient, open, seq, list.limit + 1,
                           &call->arena, notification_row, &list, &err);
    jw_array_end(&list.w);
    _cleanup_buf struct buf id = {0};
    if (list.more)
        consent_id_format(api->engine, 0, list.last, &id);
    jw_optional_member(&list.w, "next", buf_view(&id));
    jw_object_end(&list.w);
    return rc < 0 ? answer_problem(call, &err) : 0;
}

static int answer_acknowledge(struct http_call *call)
{
    struct pending *p = call->work;
    const struct engine_write *w = &p->writes[0];
    if (w->job.rc)
        return answer_problem(call, &w->job.err);
    struct jw j = answer_start(call, 200);
    jw_object_start(&j);
    jw_bool_member(&j, "acknowledged", true);
    jw_object_end(&j);
    return 0;
}

int notifications_acknowledge(struct http_call *call)
{
    struct err err = {0};
    char nothing;
    json_t *body = NULL;
    struct notification_key *key = arena_alloc(&call->arena, sizeof *key);
    *key = (struct notification_key){.recipient = caller_of(call)->recipient};
    int rc = request_body(call, NULL, 0, JSON_REFUSE_UNKNOWN, &nothing, &body, &err);
    if (rc == 0 &&
        !consent_id_parse(api_of(call)->engine, call->param[0], &key->shard, &key->seq)) {
        json_decref(body);
        rc = err_reason(&err, LOV_ENOTFOUND, "unknown_notification",
                        "there is no such notification");
    }
    if (rc)
        return answer_problem(call, &err);
    struct pending *p = pending_new(call, body, 1);
    notification_acknowledge(&p->writes[0], key);
    return pending_submit(p, answer_acknowledge);
}

/* ---- the opt-out signal ---- */

struct signal_request {
    bool gpc;
};
static const struct json_field signal_fields[] = {
    {"gpc", JSON_K_BOOL, offsetof(struct signal_request, gpc), false, 0, 0},
};

static int answer_signal(struct http_call *call)
{
    struct pending *p = call->work;
    const struct engine_write *w = &p->writes[0];
    if (w->job.rc)
        return answer_problem(call, &w->job.err);
    struct jw j = answer_start(call, 200);
    jw_object_start(&j);
    jw_bool_member(&j, "opt_out_signal", true);
    jw_object_end(&j);
    return 0;
}

/* A signal is a no and is never taken back by its absence: only PUT consumers does that. */
int consumers_signal(struct http_call *call)
{
    struct err err = {0};
    struct signal_request in = {0};
    json_t *body = NULL;
    int rc = request_body(call, signal_fields, 1, JSON_REFUSE_UNKNOWN, &in, &body, &err);
    bool sent = str_is(http_header(call, "Sec-GPC"), "1");
    if (rc == 0 && !in.gpc && !sent) {
        json_decref(body);
        rc = err_reason(&err, LOV_EINVAL, "no_signal",
                        "pass the consumer's header on: Sec-GPC: 1, or {\"gpc\": true}");
    } else if (rc == 0 && call->param[0].n > CONSUMER_ID_MAX) {
        json_decref(body);
        rc = unknown_consumer(&err);
    }
    if (rc)
        return answer_problem(call, &err);
    struct pending *p = pending_new(call, body, 1);
    p->writes[0].kind = WRITE_CONSUMER;
    p->writes[0].consumer = call->param[0];
    p->writes[0].set.has_opt_out_signal = p->writes[0].set.opt_out_signal = true;
    return pending_submit(p, answer_signal);
}

/* W3C Global Privacy Control §5.1: the site abides by it. lastUpdate is optional there. */
int gpc_support(struct http_call *call)
{
    struct jw j = answer_start(call, 200);
    jw_object_start(&j);
    jw_bool_member(&j, "gpc", true);
    jw_object_end(&j);
    return 0;
}
