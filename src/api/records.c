/* records.c - /v1/consumers/{consumer}/records/{category}: records put, corrected, deleted, and
 * read for a purpose.
 *
 * Staff write records of anybody. A department or a processor writes those of categories that it
 * uses itself in an identified view, under its own name as the source, and changes no others. */
#include <string.h>

#include "api/authzen.h"
#include "vault/vault.h"

#define COUNT(table) (sizeof(table) / sizeof *(table))

/* ---- who may write ---- */

static bool sees_records_of(const struct policy *p, const struct policy_recipient *r,
                            const struct policy_category *c)
{
    for (size_t i = 0; i < p->activity_count; i++) {
        const struct policy_activity *a = &p->activities[i];
        if (a->recipient == r && a->view == VIEW_IDENTIFIED && policy_activity_covers(a, c))
            return true;
    }
    return false;
}

static int check_writer(const struct http_call *call, const struct policy *p,
                        const struct policy_category *c, struct err *err)
{
    struct str own = caller_of(call)->recipient;
    if (!own.n)
        return 0;
    const struct policy_recipient *r = policy_recipient(p, own);
    bool inside = r && (r->kind == RECIPIENT_DEPARTMENT || r->kind == RECIPIENT_PROCESSOR);
    if (inside && sees_records_of(p, r, c))
        return 0;
    return err_reason(err, LOV_EFORBIDDEN, "forbidden",
                      "a department or processor writes records of the categories that it sees");
}

/* ---- what is written ---- */

struct record_request {
    const json_t *data, *records, *limits;
    struct str source;
    int64_t observed_at, retention_end, version;
};
#define MEMBER(name, kind, required, least, most)                                                  \
    {                                                                                              \
#name, kind, offsetof(struct record_request, name), required, least, most                  \
    }

static const struct json_field record_fields[] = {
    MEMBER(data, JSON_K_OBJECT, true, 0, 0),       MEMBER(source, JSON_K_NAME, false, 0, 0),
    MEMBER(observed_at, JSON_K_TIME, false, 0, 0), MEMBER(retention_end, JSON_K_TIME, false, 0, 0),
    MEMBER(limits, JSON_K_OBJECT, false, 0, 0),
};
static const struct json_field correct_fields[] = {
    MEMBER(data, JSON_K_OBJECT, true, 0, 0),       MEMBER(source, JSON_K_NAME, false, 0, 0),
    MEMBER(observed_at, JSON_K_TIME, false, 0, 0), MEMBER(retention_end, JSON_K_TIME, false, 0, 0),
    MEMBER(limits, JSON_K_OBJECT, false, 0, 0),    MEMBER(version, JSON_K_INT, false, 1, INT32_MAX),
};
static const struct json_field batch_fields[] = {
    MEMBER(records, JSON_K_ARRAY, true, 1, BATCH_MAX),
};

static const struct record_request nothing = {.observed_at = TIME_NONE, .retention_end = TIME_NONE};

static int take_content(struct http_call *call, const struct policy_category *category,
                        const struct record_request *r, struct vault_content *out, struct err *err)
{
    struct str own = caller_of(call)->recipient;
    if (own.n && r->source.n && !str_eq(own, r->source))
        return err_reason(err, LOV_EFORBIDDEN, "forbidden",
                          "source: the key of a recipient writes as that recipient");
    *out = (struct vault_content){
        .source = own.n         ? own
                  : r->source.n ? arena_str(&call->arena, r->source)
                                : STR("controller"),
        .observed_at = r->observed_at,
        .retention_end = r->retention_end,
    };
    int rc = vault_limits_take(r->limits, "limits", &call->arena, &out->limits, err);
    return rc ? rc : vault_check(category, r->data, &call->arena, out, err);
}

static int take_item(struct http_call *call, const struct policy_category *category,
                     const json_t *json, const char *path, struct vault_content *out,
                     struct err *err)
{
    struct record_request r = nothing;
    int rc = json_take(json, record_fields, COUNT(record_fields), JSON_REFUSE_UNKNOWN, path,
                       &call->arena, &r, err);
    return rc ? rc : take_content(call, category, &r, out, err);
}

static int take_batch(struct http_call *call, const struct policy_category *category,
                      const json_t *body, struct vault_change *change, struct err *err)
{
    struct record_request r = nothing;
    int rc = json_take(body, batch_fields, COUNT(batch_fields), JSON_REFUSE_UNKNOWN, "",
                       &call->arena, &r, err);
    change->count = rc ? 0 : json_array_size(r.records);
    change->items = arena_array(&call->arena, change->count + 1, sizeof *change->items);
    for (size_t i = 0; rc == 0 && i < change->count; i++) {
        struct err why = {0};
        char path[32];
        snprintf(path, sizeof path, "records[%zu]", i);
        rc = take_item(call, category, json_array_get(r.records, i), path, &change->items[i], &why);
        if (rc && strncmp(why.text, path, strlen(path)) == 0)
            *err = why;
        else if (rc)
            err_reason(err, why.code, why.reason, "%s: %s", path, why.text);
    }
    return rc;
}

static int find_category(struct http_call *call, const struct rules *rules,
                         const struct policy_category **out, struct err *err)
{
    if (!rules)
        return err_reason(err, LOV_EUNAVAILABLE, "no_policy",
                          "no policy is in force: apply one with lov policy apply");
    *out = policy_category(rules_policy(rules), call->param[1]);
    if (!*out)
        return err_reason(err, LOV_EINVAL, "unknown_category", "the policy has no such category");
    return check_writer(call, rules_policy(rules), *out, err);
}

static int check_consumer_id(const struct http_call *call, struct err *err)
{
    if (call->param[0].n <= CONSUMER_ID_MAX)
        return 0;
    return err_reason(err, LOV_EINVAL, "invalid_path", "a consumer's id is at most %d bytes",
                      (int)CONSUMER_ID_MAX);
}

/* ---- put ---- */

static void write_written(struct http_call *call, int64_t seq, int64_t version, int64_t event,
                          struct jw *j)
{
    _cleanup_buf struct buf id = {0};
    consent_id_format(api_of(call)->engine, 0, seq, &id);
    jw_object_start(j);
    jw_str_member(j, "id", buf_view(&id));
    jw_str_member(j, "category", call->param[1]);
    jw_int_member(j, "version", version);
    jw_int_member(j, "event", event);
    jw_object_end(j);
}

static int answer_put(struct http_call *call)
{
    struct pending *p = call->work;
    struct engine_write *w = &p->writes[0];
    const struct vault_change *change = w->input;
    if (w->job.rc)
        return answer_problem(call, &w->job.err);
    struct jw j = answer_start(call, 201);
    if (p->more) {
        jw_object_start(&j);
        jw_array_member(&j, "items");
    }
    for (size_t i = 0; i < change->count; i++)
        write_written(call, w->out_seq + (int64_t)i, 1, w->out_seq + (int64_t)i, &j);
    if (p->more) {
        jw_array_end(&j);
        jw_object_end(&j);
    }
    if (w->replayed)
        http_answer_header(call, "Idempotency-Replayed", STR("true"));
    return 0;
}

static int fill_put(struct http_call *call, const struct rules *rules, const json_t *body,
                    struct pending *p, struct err *err)
{
    const struct policy_category *category = NULL;
    struct vault_change *change = arena_alloc(&call->arena, sizeof *change);
    bool batch = json_object_get(body, "records") != NULL;
    int rc = find_category(call, rules, &category, err);
    if (rc)
        return rc;
    change->category = call->param[1];
    if (batch) {
        rc = take_batch(call, category, body, change, err);
    } else {
        change->count = 1;
        change->items = arena_alloc(&call->arena, sizeof *change->items);
        rc = take_item(call, category, body, "", change->items, err);
    }
    p->more = batch ? p : NULL; /* not NULL: the answer is a list */
    p->writes[0].consumer = call->param[0];
    p->writes[0].add = !caller_of(call)->recipient.n;
    vault_put(api_of(call)->vault, &p->writes[0], change);
    return rc;
}

int records_create(struct http_call *call)
{
    struct err err = {0};
    json_t *body = NULL;
    int rc = json_read(call->body, &body, &err);
    if (rc)
        return answer_problem(call, &err);
    struct pending *p = pending_new(call, body, 1);
    p->rules = engine_rules(api_of(call)->engine);
    rc = check_consumer_id(call, &err);
    if (rc == 0)
        rc = fill_put(call, p->rules, body, p, &err);
    if (rc == 0)
        rc = request_idempotency(call, body, 0, &p->writes[0], &err);
    if (rc == 0)
        return pending_submit(p, answer_put);
    pending_free(p);
    return answer_problem(call, &err);
}

/* ---- correct and delete ---- */

static int keep_version(void *ctx, const struct ledger_event *event)
{
    _cleanup_json json_t *body = NULL;
    if (json_read(event->body, &body, NULL) == 0)
        *(int64_t *)ctx = json_integer_value(json_object_get(body, "version"));
    return 0;
}

/* Of a repeated request, from the event that it made at first. */
static int written_version(struct http_call *call, const struct engine_write *w, int64_t *out,
                           struct err *err)
{
    struct db *lov;
    *out = w->written;
    if (!w->replayed)
        return 0;
    struct db_pool *pool = engine_lov(api_of(call)->engine);
    int rc = db_pool_get(pool, &lov, err);
    if (rc)
        return rc;
    rc = ledger_get(lov, 0, w->out_seq, keep_version, out, err);
    db_pool_put(pool, lov);
    return rc < 0 ? rc : 0;
}

static int answer_change(struct http_call *call)
{
    struct pending *p = call->work;
    struct engine_write *w = &p->writes[0];
    const struct vault_change *change = w->input;
    struct err err = {0};
    int64_t version = 0;
    if (w->job.rc)
        return answer_problem(call, &w->job.err);
    if (w->replayed)
        http_answer_header(call, "Idempotency-Replayed", STR("true"));
    engine_unclean(api_of(call)->engine);
    if (change->count && written_version(call, w, &version, &err))
        return answer_problem(call, &err);
    struct jw j = answer_start(call, 200);
    if (change->count) {
        write_written(call, change->record, version, w->out_seq, &j);
        return 0;
    }
    jw_object_start(&j);
    jw_bool_member(&j, "deleted", true);
    jw_int_member(&j, "event", w->out_seq);
    jw_object_end(&j);
    return 0;
}

static int find_record(struct http_call *call, struct vault_change *change, struct err *err)
{
    uint32_t shard;
    change->category = call->param[1];
    change->only_source = caller_of(call)->recipient;
    if (consent_id_parse(api_of(call)->engine, call->param[2], &shard, &change->record))
        return 0;
    return err_reason(err, LOV_ENOTFOUND, "unknown_record", "there is no such record");
}

static int fill_correct(struct http_call *call, const struct rules *rules, const json_t *body,
                        struct vault_change *change, struct err *err)
{
    const struct policy_category *category = NULL;
    struct record_request r = nothing;
    int rc = find_category(call, rules, &category, err);
    if (rc == 0)
        rc = json_take(body, correct_fields, COUNT(correct_fields), JSON_REFUSE_UNKNOWN, "",
                       &call->arena, &r, err);
    if (rc)
        return rc;
    change->count = 1;
    change->items = arena_alloc(&call->arena, sizeof *change->items);
    change->version = r.version;
    return take_content(call, category, &r, change->items, err);
}

static int change_record(struct http_call *call, json_t *body, bool correct)
{
    struct err err = {0};
    struct pending *p = pending_new(call, body, 1);
    struct vault_change *change = arena_alloc(&call->arena, sizeof *change);
    const struct policy_category *category;
    p->rules = engine_rules(api_of(call)->engine);
    p->writes[0].consumer = call->param[0];
    int rc = check_consumer_id(call, &err);
    if (rc == 0)
        rc = find_record(call, change, &err);
    if (rc == 0)
        rc = correct ? fill_correct(call, p->rules, body, change, &err)
                     : find_category(call, p->rules, &category, &err);
    if (correct)
        vault_correct(api_of(call)->vault, &p->writes[0], change);
    else
        vault_delete(api_of(call)->vault, &p->writes[0], change);
    if (rc == 0)
        rc = request_idempotency(call, body, 0, &p->writes[0], &err);
    if (rc == 0)
        return pending_submit(p, answer_change);
    pending_free(p);
    return answer_problem(call, &err);
}

int records_correct(struct http_call *call)
{
    struct err err = {0};
    json_t *body = NULL;
    if (json_read(call->body, &body, &err))
        return answer_problem(call, &err);
    return change_record(call, body, true);
}

int records_delete(struct http_call *call)
{
    return change_record(call, NULL, false);
}

/* ---- read ---- */

struct record_read {
    struct evaluation ev;
    struct vault_page page;
    struct sha256 binding; /* of caller and query: what a cursor is for */
    struct jw w;
    int64_t last, count;
};

static struct str binding_str(const struct record_read *r)
{
    return (struct str){(const char *)r->binding.b, sizeof r->binding.b};
}

/* Sealed, because the number in it is the same for every recipient. */
static int take_cursor(struct http_call *call, struct record_read *r, struct str text,
                       struct err *err)
{
    _cleanup_buf struct buf sealed = {0}, plain = {0};
    r->page.after = -1;
    if (!text.n)
        return 0;
    if (!base64url_decode(text, &sealed) ||
        unseal(&api_of(call)->cursor_key, binding_str(r), buf_view(&sealed), &plain, NULL) ||
        plain.n != sizeof r->page.after)
        return err_reason(err, LOV_EINVAL, "invalid_cursor", "after is not a cursor of this list");
    memcpy(&r->page.after, plain.p, plain.n);
    return 0;
}

static void write_cursor(struct http_call *call, const struct record_read *r, struct jw *w)
{
    _cleanup_buf struct buf sealed = {0}, text = {0};
    jw_key(w, "next");
    if (!r->page.more) {
        jw_null(w);
        return;
    }
    seal(&api_of(call)->cursor_key, binding_str(r),
         (struct str){(const char *)&r->last, sizeof r->last}, &sealed);
    base64url_encode(sealed.p, sealed.n, &text);
    jw_str(w, buf_view(&text));
}

int access_question(struct http_call *call, struct str purpose, struct question *out,
                    struct err *err)
{
    struct str recipient = {0}, own = caller_of(call)->recipient;
    bool named = http_query(call, "recipient", &recipient);
    if (own.n && named && !str_eq(own, recipient))
        return err_reason(err, LOV_EFORBIDDEN, "forbidden",
                          "the key of a recipient may read as that recipient only");
    if (!own.n && !named)
        return err_reason(err, LOV_EINVAL, "missing_field",
                          "recipient is required: for whom the data is read");
    if (!purpose.n)
        return err_reason(err, LOV_EINVAL, "missing_field",
                          "purpose is required: what the data is read for");
    *out = (struct question){
        .recipient = own.n ? own : recipient, .purpose = purpose, .at = clock_now()};
    return 0;
}

static int start_read(struct http_call *call, struct record_read *r, struct err *err)
{
    static const char *const names[] = {"purpose", "recipient", NULL};
    struct str after = {0}, purpose = {0};
    int rc = request_page(call, names, &r->page.limit, &after, err);
    http_query(call, "purpose", &purpose);
    if (rc == 0)
        rc = access_question(call, purpose, &r->ev.question, err);
    if (rc == 0)
        rc = check_consumer_id(call, err);
    if (rc)
        return rc;
    struct question *q = &r->ev.question;
    q->consumer = call->param[0];
    q->category = call->param[1];
    struct str nul = {"", 1};
    struct str bound[] = {caller_of(call)->actor,
                          nul,
                          q->recipient,
                          nul,
                          q->purpose,
                          nul,
                          q->category,
                          nul,
                          q->consumer};
    r->binding = sha256_parts(bound, COUNT(bound));
    return take_cursor(call, r, after, err);
}

void record_item_write(const struct vault_item *item, struct jw *w)
{
    jw_str_member(w, "id", item->id);
    jw_str_member(w, "consumer", item->consumer);
    if (item->whole) {
        jw_int_member(w, "version", item->version);
        jw_str_member(w, "source", item->source);
        jw_time_member(w, "observed_at", item->observed_at);
    }
    if (item->controller.n) {
        jw_object_member(w, "provenance");
        jw_str_member(w, "controller", item->controller);
        jw_str_member(w, "source", item->source);
        jw_time_member(w, "observed_at", item->observed_at);
        jw_object_end(w);
    }
    jw_key(w, "data");
    jw_raw(w, item->data);
}

static int write_row(void *ctx, const struct vault_item *item)
{
    struct record_read *r = ctx;
    jw_object_start(&r->w);
    record_item_write(item, &r->w);
    jw_object_end(&r->w);
    r->last = item->seq;
    r->count++;
    return 0;
}

static int answer_denied(struct http_call *call, const struct record_read *r)
{
    _cleanup_buf struct buf text = {0};
    if (r->ev.decision.reason == REASON_UNAVAILABLE) {
        decision_text(&r->ev.decision, &text);
        return http_problem_status(call, 503, "unavailable", text.p);
    }
    return http_problem_status(call, 403, decision_reason_name(r->ev.decision.reason),
                               decision_reason_text(r->ev.decision.reason));
}

static int answer_read(struct http_call *call)
{
    struct pending *p = call->work;
    struct record_read *r = p->more;
    struct api *api = api_of(call);
    struct err err = {0};
    if (evaluation_repeat(p, answer_read))
        return HTTP_LATER;
    evaluation_settle(api, &r->ev);
    if (!r->ev.decision.permit)
        return answer_denied(call, r);
    r->w = answer_start(call, 200);
    jw_object_start(&r->w);
    jw_array_member(&r->w, "items");
    int rc = vault_read(api->vault, r->ev.write, &r->page, write_row, r, &err);
    if (rc)
        return answer_problem(call, &err);
    jw_array_end(&r->w);
    write_cursor(call, r, &r->w);
    evaluation_write_context(api, &r->ev, &r->w);
    jw_object_end(&r->w);
    return 0;
}

/* Sums have a call of their own: of such a view no row leaves, whatever was decided. */
static int refuse_rows(struct http_call *call)
{
    return http_problem_status(call, 403, "aggregate_only",
                               "this activity sees sums only: ask POST /v1/aggregates");
}

/* Records that are read under a pseudonym have ids of the recipient's own, which lead nowhere. */
static bool is_pseudonymous(const struct record_read *r)
{
    const struct decision *d = &r->ev.decision;
    return d->permit && d->activity->view == VIEW_PSEUDONYMOUS;
}

static int answer_get(struct http_call *call)
{
    struct pending *p = call->work;
    struct record_read *r = p->more;
    struct api *api = api_of(call);
    struct err err = {0};
    if (evaluation_repeat(p, answer_get))
        return HTTP_LATER;
    evaluation_settle(api, &r->ev);
    if (!r->ev.decision.permit)
        return answer_denied(call, r);
    r->w = answer_start(call, 200);
    jw_object_start(&r->w);
    jw_key(&r->w, "record");
    int rc = vault_read(api->vault, r->ev.write, &r->page, write_row, r, &err);
    if (rc == 0 && !r->count)
        rc = err_reason(&err, LOV_ENOTFOUND, "unknown_record",
                        "there is no such record, or none that may be used for this");
    if (rc)
        return answer_problem(call, &err);
    evaluation_write_context(api, &r->ev, &r->w);
    jw_object_end(&r->w);
    return 0;
}

/* Decides, and hands over the access; `then` goes on where rows may leave. */
static int submit_read(struct http_call *call, struct record_read *r, http_handler *then)
{
    struct api *api = api_of(call);
    struct pending *p = pending_new(call, NULL, 1);
    p->more = r;
    p->rules = engine_rules(api->engine);
    r->ev.record = true;
    evaluation_decide(api, p->rules, &r->ev);
    if (r->ev.decision.permit && r->ev.decision.activity->view == VIEW_AGGREGATE) {
        r->ev.decision.permit = false;
        r->ev.decision.reason = REASON_NOT_IN_POLICY;
        then = refuse_rows;
    }
    if (r->page.only && is_pseudonymous(r))
        r->page.only = -1;
    r->ev.obligations = arena_str(&call->arena, r->ev.obligations); /* outlives the rules */
    evaluation_record(&r->ev, &p->writes[0]);
    return pending_submit(p, then);
}

int records_list(struct http_call *call)
{
    struct err err = {0};
    struct record_read *r = arena_alloc(&call->arena, sizeof *r);
    if (start_read(call, r, &err))
        return answer_problem(call, &err);
    return submit_read(call, r, answer_read);
}

int records_get(struct http_call *call)
{
    struct err err = {0};
    uint32_t shard;
    struct record_read *r = arena_alloc(&call->arena, sizeof *r);
    int rc = start_read(call, r, &err);
    if (rc == 0 && !consent_id_parse(api_of(call)->engine, call->param[2], &shard, &r->page.only))
        rc = err_reason(&err, LOV_ENOTFOUND, "unknown_record", "there is no such record");
    r->page.after = -1;
    r->page.limit = 1;
    return rc ? answer_problem(call, &err) : submit_read(call, r, answer_get);
}
