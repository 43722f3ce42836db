/* consents.c - /v1/consents: a body is taken apart by a table, becomes an engine_write, and the
 * consent that comes back is the answer. */
#include <string.h>

#include "api/private.h"

static const char *const channels[] = {"web", "app", "phone", "paper", "cmp", "oauth", "import"};

struct notice_request {
    struct str id, language, hash;
    int64_t version;
};
static const struct json_field notice_fields[] = {
    {"id", JSON_K_NAME, offsetof(struct notice_request, id), true, 0, 0},
    {"version", JSON_K_INT, offsetof(struct notice_request, version), true, 1, INT32_MAX},
    {"language", JSON_K_STRING, offsetof(struct notice_request, language), true, 1, 35},
    {"hash", JSON_K_STRING, offsetof(struct notice_request, hash), false, 1, 71},
};

struct consent_request {
    struct str consumer, purpose, recipient, decision, channel, reason;
    struct json_names categories;
    const json_t *notice, *evidence, *guardian;
    int64_t expires_at, given_at;
    struct notice_request shown; /* what `notice` says */
};
#define MEMBER(name, kind, required, min, max)                                                     \
    {                                                                                              \
#name, kind, offsetof(struct consent_request, name), required, min, max                    \
    }

static const struct json_field give_fields[] = {
    MEMBER(consumer, JSON_K_STRING, true, 1, CONSUMER_ID_MAX),
    MEMBER(purpose, JSON_K_NAME, true, 0, 0),
    MEMBER(recipient, JSON_K_NAME, true, 0, 0),
    MEMBER(categories, JSON_K_NAMES, true, 1, 64),
    MEMBER(decision, JSON_K_STRING, true, 0, 0),
    MEMBER(notice, JSON_K_OBJECT, true, 0, 0),
    MEMBER(channel, JSON_K_STRING, true, 0, 0),
    MEMBER(evidence, JSON_K_ANY, false, 0, 0),
    MEMBER(guardian, JSON_K_ANY, false, 0, 0),
    MEMBER(expires_at, JSON_K_TIME, false, 0, 0),
    MEMBER(given_at, JSON_K_TIME, false, 0, 0),
};
static const struct json_field withdraw_fields[] = {
    MEMBER(reason, JSON_K_TEXT, false, 1, 1000),
    MEMBER(channel, JSON_K_STRING, false, 0, 0),
};
static const struct json_field renew_fields[] = {
    MEMBER(notice, JSON_K_OBJECT, true, 0, 0),    MEMBER(channel, JSON_K_STRING, false, 0, 0),
    MEMBER(evidence, JSON_K_ANY, false, 0, 0),    MEMBER(guardian, JSON_K_ANY, false, 0, 0),
    MEMBER(expires_at, JSON_K_TIME, false, 0, 0),
};
static const struct json_field amend_fields[] = {
    MEMBER(categories, JSON_K_NAMES, true, 1, 64), MEMBER(notice, JSON_K_OBJECT, false, 0, 0),
    MEMBER(channel, JSON_K_STRING, false, 0, 0),   MEMBER(evidence, JSON_K_ANY, false, 0, 0),
    MEMBER(guardian, JSON_K_ANY, false, 0, 0),     MEMBER(expires_at, JSON_K_TIME, false, 0, 0),
};

#define COUNT(table) (sizeof(table) / sizeof *(table))

static const struct json_plain plain_parts[] = {
    {.name = "notice",
     .fields = notice_fields,
     .count = COUNT(notice_fields),
     .offset = offsetof(struct consent_request, shown)},
};
static const struct json_plain plain_give = {
    .fields = give_fields, .count = COUNT(give_fields), .parts = plain_parts, .part_count = 1};

/* ---- from requests to writes ---- */

static int take_hash(struct str text, struct notice_shown *out, struct err *err)
{
    struct str prefix = STR("sha256:");
    if (!text.n)
        return 0;
    if (str_starts(text, prefix)) {
        text.p += prefix.n;
        text.n -= prefix.n;
    }
    if (!hex_decode(text, out->hash.b, sizeof out->hash.b))
        return err_reason(err, LOV_EINVAL, "invalid_field",
                          "notice.hash: expected 64 hexadecimal digits, with or without sha256:");
    out->has_hash = true;
    return 0;
}

static int read_notice(struct arena *arena, struct consent_request *request, struct err *err)
{
    if (!request->notice)
        return 0;
    return json_take(request->notice, notice_fields, COUNT(notice_fields), JSON_REFUSE_UNKNOWN,
                     "notice", arena, &request->shown, err);
}

static int take_notice(const struct notice_request *shown, struct notice_shown *out,
                       struct err *err)
{
    out->id = shown->id;
    out->language = shown->language;
    out->version = shown->version;
    return take_hash(shown->hash, out, err);
}

static int take_channel(struct str channel, struct err *err)
{
    for (size_t i = 0; i < COUNT(channels); i++)
        if (!channel.n || str_is(channel, channels[i]))
            return 0;
    return err_reason(err, LOV_EINVAL, "invalid_field",
                      "channel: one of web, app, phone, paper, cmp, oauth, import");
}

static int take_decision(struct str decision, enum write_kind *kind, struct err *err)
{
    bool give = str_is(decision, "give");
    if (!give && !str_is(decision, "refuse"))
        return err_reason(err, LOV_EINVAL, "invalid_field", "decision: give or refuse");
    *kind = give ? WRITE_GIVE : WRITE_REFUSE;
    return 0;
}

/* The members that several kinds of write have. */
static int fill_write(struct arena *arena, const struct consent_request *request,
                      struct engine_write *w, struct err *err)
{
    w->categories = request->categories.items;
    w->category_count = request->categories.count;
    w->channel = request->channel;
    w->expires_at = request->expires_at;
    w->given_at = request->given_at;
    int rc = take_channel(request->channel, err);
    if (rc == 0)
        rc = take_notice(&request->shown, &w->notice, err);
    if (rc == 0)
        rc = request_json(arena, request->evidence, "evidence", true, EVIDENCE_MAX, &w->evidence,
                          err);
    if (rc == 0)
        rc = request_json(arena, request->guardian, "guardian", true, GUARDIAN_MAX, &w->guardian,
                          err);
    return rc;
}

static int take_give(struct arena *arena, const struct consent_request *request,
                     struct engine_write *w, struct err *err)
{
    int rc = take_decision(request->decision, &w->kind, err);
    w->consumer = request->consumer;
    w->purpose = request->purpose;
    w->recipient = request->recipient;
    return rc ? rc : fill_write(arena, request, w, err);
}

static int fill_give(struct arena *arena, const json_t *json, struct engine_write *w,
                     struct err *err)
{
    struct consent_request request = {.expires_at = TIME_NONE, .given_at = TIME_NONE};
    int rc = json_take(json, give_fields, COUNT(give_fields), JSON_REFUSE_UNKNOWN, "", arena,
                       &request, err);
    if (rc == 0)
        rc = read_notice(arena, &request, err);
    return rc ? rc : take_give(arena, &request, w, err);
}

static int find_consent(struct http_call *call, struct engine_write *w, struct err *err)
{
    if (consent_id_parse(api_of(call)->engine, call->param[0], &w->shard, &w->consent))
        return 0;
    return err_reason(err, LOV_ENOTFOUND, "unknown_consent", "there is no such consent");
}

/* ---- from writes to answers ---- */

static int write_consent(struct http_call *call, const struct consent *c, struct str consumer,
                         struct jw *j, struct err *err)
{
    struct api *api = api_of(call);
    struct db_pool *pool = engine_identities(api->engine);
    struct consent_writer cw = {.api = api, .caller = caller_of(call), .consumer = consumer};
    int rc = consumer.n ? 0 : db_pool_get(pool, &cw.identities, err);
    if (rc)
        return rc;
    rc = consent_write(&cw, c, j, err);
    if (cw.identities)
        db_pool_put(pool, cw.identities);
    return rc;
}

static void name_location(struct http_call *call, const struct consent *c)
{
    _cleanup_buf struct buf location = {0};
    buf_cstr(&location, "/v1/consents/");
    consent_id_format(api_of(call)->engine, c->shard, c->seq, &location);
    http_answer_header(call, "Location", buf_view(&location));
}

/* The answer to each call that writes one consent. */
static int answer_write(struct http_call *call)
{
    struct pending *p = call->work;
    struct engine_write *w = &p->writes[0];
    bool created = w->kind == WRITE_GIVE || w->kind == WRITE_REFUSE;
    if (w->job.rc)
        return answer_problem(call, &w->job.err);
    struct err err = {0};
    struct jw j = answer_start(call, created ? 201 : 200);
    int rc = write_consent(call, &w->out, w->consumer, &j, &err);
    if (rc)
        return answer_problem(call, &err);
    if (created)
        name_location(call, &w->out);
    if (w->replayed)
        http_answer_header(call, "Idempotency-Replayed", STR("true"));
    return 0;
}

/* ---- handlers ---- */

/* Nearly every answer. One that may be sent twice is compared by its canonical JSON. */
static bool create_plainly(struct http_call *call, int *outcome)
{
    struct consent_request request = {.expires_at = TIME_NONE, .given_at = TIME_NONE};
    struct err err = {0};
    if (http_header(call, "Idempotency-Key").p ||
        !json_take_plain(call->body, &plain_give, &call->arena, &request))
        return false;
    struct pending *p = pending_new(call, NULL, 1);
    int rc = take_give(&call->arena, &request, &p->writes[0], &err);
    *outcome = rc ? answer_problem(call, &err) : pending_submit(p, answer_write);
    return true;
}

int consents_create(struct http_call *call)
{
    struct err err = {0};
    json_t *body = NULL;
    int rc;
    if (create_plainly(call, &rc))
        return rc;
    rc = json_read(call->body, &body, &err);
    if (rc)
        return answer_problem(call, &err);
    struct pending *p = pending_new(call, body, 1);
    rc = fill_give(&call->arena, body, &p->writes[0], &err);
    if (rc == 0)
        rc = request_idempotency(call, body, 0, &p->writes[0], &err);
    if (rc == 0)
        return pending_submit(p, answer_write);
    pending_free(p);
    return answer_problem(call, &err);
}

/* Withdraw, renew and amend differ by their table alone. */
static int change(struct http_call *call, enum write_kind kind, const struct json_field *fields,
                  size_t count)
{
    struct err err = {0};
    struct consent_request request = {.expires_at = TIME_NONE, .given_at = TIME_NONE};
    json_t *body = NULL;
    int rc = request_body(call, fields, count, JSON_REFUSE_UNKNOWN, &request, &body, &err);
    if (rc)
        return answer_problem(call, &err);
    struct pending *p = pending_new(call, body, 1);
    struct engine_write *w = &p->writes[0];
    w->kind = kind;
    rc = read_notice(&call->arena, &request, &err);
    if (rc == 0)
        rc = fill_write(&call->arena, &request, w, &err);
    if (rc == 0 && request.reason.n)
        rc = request_json(&call->arena, json_object_get(body, "reason"), "reason", false,
                          EVIDENCE_MAX, &w->detail, &err);
    if (rc == 0)
        rc = find_consent(call, w, &err);
    if (rc == 0)
        rc = request_idempotency(call, body, 0, w, &err);
    if (rc == 0)
        return pending_submit(p, answer_write);
    pending_free(p);
    return answer_problem(call, &err);
}

int consents_withdraw(struct http_call *call)
{
    return change(call, WRITE_WITHDRAW, withdraw_fields, COUNT(withdraw_fields));
}

int consents_renew(struct http_call *call)
{
    return change(call, WRITE_RENEW, renew_fields, COUNT(renew_fields));
}

int consents_amend(struct http_call *call)
{
    return change(call, WRITE_AMEND, amend_fields, COUNT(amend_fields));
}

int consents_get(struct http_call *call)
{
    struct err err = {0};
    struct engine_write where = {0};
    struct consent c = {0};
    struct engine *e = api_of(call)->engine;
    struct str recipient = caller_of(call)->recipient;
    int rc = find_consent(call, &where, &err);
    if (rc == 0)
        rc = consent_get(e, where.shard, where.consent, &call->arena, &c, &err);
    if (rc == 0 || (rc == 1 && recipient.n && !str_eq(recipient, c.recipient)))
        rc = err_reason(&err, LOV_ENOTFOUND, "unknown_consent", "there is no such consent");
    if (rc < 0)
        return answer_problem(call, &err);
    struct jw j = answer_start(call, 200);
    rc = write_consent(call, &c, (struct str){0}, &j, &err);
    return rc ? answer_problem(call, &err) : 0;
}

/* ---- rows of an import ---- */

int api_read_row(const struct api *api, const struct api_row *row, struct arena *arena,
                 struct engine_write *w, struct err *err)
{
    *w = (struct engine_write){
        .actor = operator_principal()->actor,
        .arena = arena,
        .expires_at = TIME_NONE,
        .given_at = TIME_NONE,
    };
    int rc = fill_give(arena, row->json, w, err);
    if (rc)
        return rc;
    if (row->key.n) {
        struct request_key k = {w->actor, row->key, STR("POST"), STR("/v1/consents/batch")};
        request_digests(api, &k, row->json, row->item, arena, w);
    }
    pending_keep(arena, w);
    return 0;
}

/* ---- batches ---- */

struct batch_request {
    const json_t *items;
};
static const struct json_field batch_fields[] = {
    {"items", JSON_K_ARRAY, offsetof(struct batch_request, items), true, 1, BATCH_MAX},
};

/* Which write is whose, and what is wrong with those that have none. */
struct batch {
    size_t count;
    struct batch_item {
        struct engine_write *write; /* NULL: refused before it came to the engine */
        struct err err;
    } * items;
};

static int answer_batch_item(struct http_call *call, const struct batch_item *item, struct jw *j,
                             struct err *err)
{
    const struct engine_write *w = item->write;
    const struct err *refusal = !w ? &item->err : w->job.rc ? &w->job.err : NULL;
    jw_object_start(j);
    int rc = 0;
    if (refusal) {
        jw_int_member(j, "status", problem_status(refusal));
        jw_key(j, "problem");
        problem_write(j, refusal);
    } else {
        jw_int_member(j, "status", 201);
        if (w->replayed)
            jw_bool_member(j, "replayed", true);
        jw_key(j, "consent");
        rc = write_consent(call, &w->out, w->consumer, j, err);
    }
    jw_object_end(j);
    return rc;
}

static int answer_batch(struct http_call *call)
{
    struct pending *p = call->work;
    const struct batch *batch = p->more;
    struct err err = {0};
    struct jw j = answer_start(call, 200);
    int rc = 0;
    jw_object_start(&j);
    jw_array_member(&j, "items");
    for (size_t i = 0; i < batch->count && rc == 0; i++)
        rc = answer_batch_item(call, &batch->items[i], &j, &err);
    jw_array_end(&j);
    jw_object_end(&j);
    return rc ? answer_problem(call, &err) : 0;
}

/* Makes a write of each item that is well-formed; p->count says how many there are. */
static int fill_batch(struct http_call *call, const json_t *items, struct pending *p,
                      struct batch *batch, struct err *err)
{
    p->count = 0;
    for (size_t i = 0; i < batch->count; i++) {
        const json_t *json = json_array_get(items, i);
        struct batch_item *item = &batch->items[i];
        struct engine_write *w = &p->writes[p->count];
        int rc = request_idempotency(call, json, i, w, err);
        if (rc)
            return rc;
        rc = fill_give(&call->arena, json, w, &item->err);
        if (rc == 0) {
            item->write = w;
            p->count++;
            continue;
        }
        /* The next item takes its place. */
        *w = (struct engine_write){
            .actor = w->actor,
            .arena = w->arena,
            .ctx = w->ctx,
            .expires_at = TIME_NONE,
            .given_at = TIME_NONE,
        };
    }
    return 0;
}

int consents_batch(struct http_call *call)
{
    struct err err = {0};
    struct batch_request request = {0};
    json_t *body = NULL;
    int rc = request_body(call, batch_fields, COUNT(batch_fields), JSON_REFUSE_UNKNOWN, &request,
                          &body, &err);
    if (rc)
        return answer_problem(call, &err);
    size_t count = json_array_size(request.items);
    struct pending *p = pending_new(call, body, count);
    struct batch *batch = arena_alloc(&call->arena, sizeof *batch);
    batch->count = count;
    batch->items = arena_array(&call->arena, count, sizeof *batch->items);
    p->more = batch;
    rc = fill_batch(call, request.items, p, batch, &err);
    if (rc) {
        pending_free(p);
        return answer_problem(call, &err);
    }
    if (p->count)
        return pending_submit(p, answer_batch);
    pending_free(p);
    call->work = p;
    return answer_batch(call);
}
