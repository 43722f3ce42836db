/* consumers.c - /v1/consumers: what is recorded of a consumer, their consents, their erasure. */
#include <string.h>

#include "api/private.h"

struct consumer_request {
    struct str residence;
    int32_t birth_date;
    bool restricted, opt_out_signal, no_automated_decision;
};
static const struct json_field consumer_fields[] = {
    {"residence", JSON_K_STRING, offsetof(struct consumer_request, residence), false, 2, 6},
    {"birth_date", JSON_K_DATE, offsetof(struct consumer_request, birth_date), false, 0, 0},
    {"restricted", JSON_K_BOOL, offsetof(struct consumer_request, restricted), false, 0, 0},
    {"opt_out_signal", JSON_K_BOOL, offsetof(struct consumer_request, opt_out_signal), false, 0, 0},
    {"no_automated_decision", JSON_K_BOOL, offsetof(struct consumer_request, no_automated_decision),
     false, 0, 0},
};

static int unknown(struct err *err)
{
    return err_reason(err, LOV_ENOTFOUND, "unknown_consumer", "there is no such consumer");
}

static bool is_given(const json_t *body, const char *name)
{
    const json_t *value = json_object_get(body, name);
    return value && !json_is_null(value);
}

/* ---- one consumer ---- */

static void write_consumer(const struct consumer *c, struct str id, struct rules *rules,
                           struct jw *w)
{
    jw_object_start(w);
    jw_str_member(w, "consumer", id);
    jw_str_member(w, "residence", c->residence);
    jw_optional_member(
        w, "law", rules ? policy_law_of(rules_policy(rules), c->residence)->id : (struct str){0});
    jw_key(w, "birth_date");
    if (c->born == DAY_NONE) {
        jw_null(w);
    } else {
        _cleanup_buf struct buf date = {0};
        date_format(c->born, &date);
        jw_str(w, buf_view(&date));
    }
    jw_bool_member(w, "restricted", c->restricted);
    jw_bool_member(w, "opt_out_signal", c->opt_out_signal);
    jw_bool_member(w, "no_automated_decision", c->no_automated_decision);
    jw_object_end(w);
}

static int answer_consumer(struct http_call *call, int status)
{
    struct err err = {0};
    struct consumer c = {0};
    struct str id = call->param[0];
    int rc = 0;
    if (id.n <= CONSUMER_ID_MAX)
        rc = consumer_get(api_of(call)->engine, id, &call->arena, &c, &err);
    if (rc == 0)
        rc = unknown(&err);
    if (rc < 0)
        return answer_problem(call, &err);
    struct jw w = answer_start(call, status);
    struct rules *rules = engine_rules(api_of(call)->engine);
    write_consumer(&c, id, rules, &w);
    rules_unref(rules);
    return 0;
}

int consumers_get(struct http_call *call)
{
    return answer_consumer(call, 200);
}

static int answer_put(struct http_call *call)
{
    struct pending *p = call->work;
    struct engine_write *w = &p->writes[0];
    bool created = p->more != NULL;
    return w->job.rc ? answer_problem(call, &w->job.err)
                     : answer_consumer(call, created ? 201 : 200);
}

static void fill_put(const json_t *body, const struct consumer_request *request,
                     struct engine_write *w)
{
    w->kind = WRITE_CONSUMER;
    w->set.has_residence = is_given(body, "residence");
    w->set.residence = request->residence;
    w->set.has_born = is_given(body, "birth_date");
    w->set.born = request->birth_date;
    w->set.has_restricted = is_given(body, "restricted");
    w->set.restricted = request->restricted;
    w->set.has_opt_out_signal = is_given(body, "opt_out_signal");
    w->set.opt_out_signal = request->opt_out_signal;
    w->set.has_no_automated_decision = is_given(body, "no_automated_decision");
    w->set.no_automated_decision = request->no_automated_decision;
}

int consumers_put(struct http_call *call)
{
    struct err err = {0};
    struct consumer_request request = {0};
    struct identity_row found;
    json_t *body = NULL;
    struct str id = call->param[0];
    if (id.n > CONSUMER_ID_MAX) {
        err_reason(&err, LOV_EINVAL, "invalid_path", "a consumer's id is at most %d bytes",
                   (int)CONSUMER_ID_MAX);
        return answer_problem(call, &err);
    }
    int rc = request_body(call, consumer_fields, sizeof consumer_fields / sizeof *consumer_fields,
                          JSON_REFUSE_UNKNOWN, &request, &body, &err);
    if (rc)
        return answer_problem(call, &err);
    struct pending *p = pending_new(call, body, 1);
    fill_put(body, &request, &p->writes[0]);
    p->writes[0].consumer = id;
    rc = consumer_find(api_of(call)->engine, id, &found, &err);
    if (rc < 0) {
        pending_free(p);
        return answer_problem(call, &err);
    }
    p->more = rc == 0 ? p : NULL; /* not NULL: the consumer is new */
    return pending_submit(p, answer_put);
}

/* ---- erasure ---- */

enum { SCRUB_WAIT_MS = 2000 };

static int answer_erase(struct http_call *call)
{
    struct pending *p = call->work;
    struct engine_write *w = &p->writes[0];
    struct err ignored;
    bool clean = false;
    if (w->job.rc)
        return answer_problem(call, &w->job.err);
    /* The erasure is durable whatever becomes of this; housekeeping tries again. */
    bool overwritten =
        engine_scrub(api_of(call)->engine, SCRUB_WAIT_MS, &clean, &ignored) == 0 && clean;
    struct jw j = answer_start(call, 200);
    jw_object_start(&j);
    jw_bool_member(&j, "erased", true);
    jw_int_member(&j, "event", w->out_seq);
    jw_bool_member(&j, "overwritten", overwritten);
    jw_object_end(&j);
    if (w->replayed)
        http_answer_header(call, "Idempotency-Replayed", STR("true"));
    return 0;
}

/* Who has had data of theirs; nobody, of a consumer who is not there: the write says so. */
static int find_told(struct http_call *call, struct request_change *change, struct err *err)
{
    struct engine *e = api_of(call)->engine;
    struct consumer who = {0};
    change->told.seen = -1;
    int rc = consumer_get(e, call->param[0], &call->arena, &who, err);
    return rc == 1 ? request_recipients(e, &who, &call->arena, &change->told, err) : rc;
}

int consumers_erase(struct http_call *call)
{
    struct err err = {0};
    char nothing;
    json_t *body = NULL;
    int rc = request_body(call, NULL, 0, JSON_REFUSE_UNKNOWN, &nothing, &body, &err);
    if (rc == 0 && call->param[0].n > CONSUMER_ID_MAX)
        rc = unknown(&err);
    struct pending *p = pending_new(call, body, 1);
    struct request_change *change = arena_alloc(&call->arena, sizeof *change);
    *change = (struct request_change){.step = STEP_CLOSE};
    request_erase(&p->writes[0], change);
    p->writes[0].consumer = call->param[0];
    if (rc == 0)
        rc = find_told(call, change, &err);
    if (rc == 0)
        rc = request_idempotency(call, body, 0, &p->writes[0], &err);
    if (rc == 0)
        return pending_submit(p, answer_erase);
    pending_free(p);
    return answer_problem(call, &err);
}

/* ---- consents of a consumer ---- */

struct consent_list {
    struct consent_writer writer;
    struct jw w;
    int64_t after, limit, count, last; /* after, last: seqs */
    bool more;
    struct str recipient; /* empty: of all */
    struct err err;
};

/* Stops the reading with 1 once it is known whether there is more. */
static int list_row(void *ctx, const struct consent *c)
{
    struct consent_list *list = ctx;
    if (c->seq <= list->after)
        return 0;
    if (list->recipient.n && !str_eq(list->recipient, c->recipient))
        return 0;
    if (list->count == list->limit) {
        list->more = true;
        return 1;
    }
    list->count++;
    list->last = c->seq;
    return consent_write(&list->writer, c, &list->w, &list->err);
}

static int list_all(struct http_call *call, const struct identity_row *who,
                    struct consent_list *list)
{
    struct api *api = api_of(call);
    jw_object_start(&list->w);
    jw_array_member(&list->w, "items");
    int rc = consent_list(api->engine, who, &call->arena, list_row, list, &list->err);
    jw_array_end(&list->w);
    _cleanup_buf struct buf id = {0};
    if (list->more)
        consent_id_format(api->engine, who->shard, list->last, &id);
    jw_optional_member(&list->w, "next", buf_view(&id));
    jw_object_end(&list->w);
    return rc < 0 ? rc : 0;
}

/* The cursor is the id of the last consent on the page before. */
static int take_cursor(struct http_call *call, struct str after, int64_t *seq, struct err *err)
{
    uint32_t shard;
    *seq = -1;
    if (!after.n || consent_id_parse(api_of(call)->engine, after, &shard, seq))
        return 0;
    return err_reason(err, LOV_EINVAL, "invalid_cursor", "after is not a cursor of this list");
}

int consumers_consents(struct http_call *call)
{
    struct api *api = api_of(call);
    struct str after, id = call->param[0];
    struct identity_row who = {0};
    struct consent_list list = {
        .writer = {.api = api, .caller = caller_of(call), .consumer = id},
        .recipient = caller_of(call)->recipient,
    };
    int rc = request_page(call, NULL, &list.limit, &after, &list.err);
    if (rc == 0)
        rc = take_cursor(call, after, &list.after, &list.err);
    if (rc == 0 && id.n <= CONSUMER_ID_MAX)
        rc = consumer_find(api->engine, id, &who, &list.err);
    if (rc == 0 && !list.err.code)
        rc = unknown(&list.err);
    if (rc < 0)
        return answer_problem(call, &list.err);
    list.w = answer_start(call, 200);
    rc = list_all(call, &who, &list);
    return rc ? answer_problem(call, &list.err) : 0;
}
