/* requests.c - /v1/requests: consumers exercising their rights, and what carries them out.
 *
 * What a fulfilment carries out and the step itself are one write where they can be: erasure is a
 * WRITE_ERASE, restriction and opt-out a WRITE_CONSUMER. An objection records a no to each activity
 * first, as many writes, and is fulfilled when all are durable; a second try finds them recorded.
 */
#include <string.h>

#include "api/private.h"
#include "base/clock.h"

/* ---- one request ---- */

struct request_writer {
    struct api *api;
    struct db *identities;
    bool open_sealed;
    int64_t now;
    int64_t erasure; /* the event of an erasure that was just carried out; 0: none */
};

static const struct policy_refusal *refusal_of(const struct policy *p, const struct request *r)
{
    const struct policy_law *law = policy_law(p, r->law);
    return law ? law_refusal(law, r->right, r->reason) : NULL;
}

/* What people wrote is for those who may see evidence; what is to be erased, for all. */
static int write_sealed(const struct request_writer *rw, const struct request *r, struct jw *w,
                        struct err *err)
{
    _cleanup_buf struct buf text = {0};
    _cleanup_json json_t *all = NULL;
    int rc = request_unseal(rw->api->engine, r, &text, err);
    if (rc < 0 || !text.n)
        return rc < 0 ? rc : 0;
    rc = json_read(buf_view(&text), &all, err);
    static const char *const names[] = {"categories", "detail", "notes"};
    size_t count = rw->open_sealed ? 3 : 1;
    for (size_t i = 0; rc == 0 && i < count; i++) {
        const json_t *value = json_object_get(all, names[i]);
        _cleanup_buf struct buf part = {0};
        if (!value)
            continue;
        json_canonical(value, &part);
        jw_key(w, names[i]);
        jw_raw(w, buf_view(&part));
        secret_wipe_bytes(part.p, part.n);
    }
    secret_wipe_bytes(text.p, text.n);
    return rc;
}

static int request_write(const struct request_writer *rw, const struct request *r, struct jw *w,
                         struct err *err)
{
    _cleanup_buf struct buf id = {0};
    struct rules *rules = engine_rules(rw->api->engine);
    consent_id_format(rw->api->engine, r->shard, r->seq, &id);
    jw_object_start(w);
    jw_str_member(w, "id", buf_view(&id));
    jw_key(w, "consumer");
    int rc = consumer_name_write(rw->api, rw->identities, &r->cid, w, err);
    jw_str_member(w, "right", r->right);
    jw_cstr_member(w, "state", request_state_name(r->state));
    jw_str_member(w, "channel", r->channel);
    jw_str_member(w, "law", r->law);
    jw_time_member(w, "received_at", r->received_at);
    jw_time_member(w, "due_at", r->due_at);
    jw_bool_member(w, "extended", r->extended);
    jw_bool_member(w, "overdue", request_is_live(r->state) && rw->now > r->due_at);
    jw_optional_member(w, "reason", r->reason);
    const struct policy_refusal *refusal =
        rules && r->reason.n ? refusal_of(rules_policy(rules), r) : NULL;
    jw_optional_member(w, "source", refusal ? refusal->source : (struct str){0});
    jw_int_member(w, "event", r->event);
    if (rw->erasure)
        jw_int_member(w, "erasure", rw->erasure);
    if (rc == 0 && (rw->open_sealed || str_is(r->right, "erasure")))
        rc = write_sealed(rw, r, w, err);
    jw_object_end(w);
    rules_unref(rules);
    return rc;
}

static struct request_writer writer_of(struct http_call *call, struct db *identities)
{
    return (struct request_writer){
        .api = api_of(call),
        .identities = identities,
        .open_sealed = (caller_of(call)->permissions & MAY_READ_EVIDENCE) != 0,
        .now = clock_now(),
    };
}

static int unknown(struct err *err)
{
    return err_reason(err, LOV_ENOTFOUND, "unknown_request", "there is no such request");
}

static int load(struct http_call *call, struct str id, struct request *out, struct err *err)
{
    uint32_t shard;
    int64_t seq;
    struct engine *e = api_of(call)->engine;
    int rc = 0;
    if (consent_id_parse(e, id, &shard, &seq))
        rc = request_get(e, shard, seq, &call->arena, out, err);
    return rc == 1 ? 0 : rc < 0 ? rc : unknown(err);
}

static int answer_request(struct http_call *call, int status, uint32_t shard, int64_t seq,
                          int64_t erasure)
{
    struct err err = {0};
    struct request r;
    struct engine *e = api_of(call)->engine;
    struct db *identities;
    int rc = request_get(e, shard, seq, &call->arena, &r, &err);
    if (rc == 0)
        rc = unknown(&err);
    if (rc < 0 || (rc = db_pool_get(engine_identities(e), &identities, &err)))
        return answer_problem(call, &err);
    struct request_writer rw = writer_of(call, identities);
    rw.erasure = erasure;
    struct jw w = answer_start(call, status);
    rc = request_write(&rw, &r, &w, &err);
    db_pool_put(engine_identities(e), identities);
    return rc ? answer_problem(call, &err) : 0;
}

int requests_get(struct http_call *call)
{
    struct err err = {0};
    struct request r;
    int rc = load(call, call->param[0], &r, &err);
    return rc ? answer_problem(call, &err) : answer_request(call, 200, r.shard, r.seq, 0);
}

/* ---- opening ---- */

struct create_request {
    struct str consumer, right, channel;
    int64_t received_at;
    struct json_names categories;
    json_t *detail;
};
static const struct json_field create_fields[] = {
    {"consumer", JSON_K_STRING, offsetof(struct create_request, consumer), true, 1,
     CONSUMER_ID_MAX},
    {"right", JSON_K_NAME, offsetof(struct create_request, right), true, 0, 0},
    {"channel", JSON_K_NAME, offsetof(struct create_request, channel), true, 0, 0},
    {"received_at", JSON_K_TIME, offsetof(struct create_request, received_at), false, 0, 0},
    {"categories", JSON_K_NAMES, offsetof(struct create_request, categories), false, 1, 64},
    {"detail", JSON_K_ANY, offsetof(struct create_request, detail), false, 0, 0},
};

static struct json_names names_of(struct http_call *call, const struct json_names *in)
{
    struct json_names out = {arena_array(&call->arena, in->count + 1, sizeof *out.items),
                             in->count};
    for (size_t i = 0; i < in->count; i++)
        out.items[i] = arena_str(&call->arena, in->items[i]);
    return out;
}

static int answer_create(struct http_call *call)
{
    struct pending *p = call->work;
    struct engine_write *w = &p->writes[0];
    if (w->job.rc)
        return answer_problem(call, &w->job.err);
    _cleanup_buf struct buf location = {0};
    buf_cstr(&location, "/v1/requests/");
    consent_id_format(api_of(call)->engine, 0, w->out_seq, &location);
    http_answer_header(call, "Location", buf_view(&location));
    if (w->replayed)
        http_answer_header(call, "Idempotency-Replayed", STR("true"));
    return answer_request(call, 201, 0, w->out_seq, 0);
}

int requests_create(struct http_call *call)
{
    struct err err = {0};
    struct create_request in = {.received_at = TIME_NONE};
    json_t *body = NULL;
    int rc = request_body(call, create_fields, sizeof create_fields / sizeof *create_fields,
                          JSON_REFUSE_UNKNOWN, &in, &body, &err);
    if (rc)
        return answer_problem(call, &err);
    struct request_new *new = arena_alloc(&call->arena, sizeof *new);
    struct pending *p = pending_new(call, body, 1);
    *new = (struct request_new){
        .right = arena_str(&call->arena, in.right),
        .channel = arena_str(&call->arena, in.channel),
        .received_at = in.received_at,
        .categories = names_of(call, &in.categories),
    };
    request_open(&p->writes[0], new);
    p->writes[0].consumer = in.consumer;
    rc = request_json(&call->arena, in.detail, "detail", true, EVIDENCE_MAX, &new->detail, &err);
    if (rc == 0)
        rc = request_idempotency(call, body, 0, &p->writes[0], &err);
    if (rc == 0)
        return pending_submit(p, answer_create);
    pending_free(p);
    return answer_problem(call, &err);
}

/* ---- steps ---- */

struct step_request {
    struct str reason;
    struct json_names categories;
    json_t *note;
};
static const struct json_field step_fields[] = {
    {"note", JSON_K_ANY, offsetof(struct step_request, note), false, 0, 0},
    {"reason", JSON_K_NAME, offsetof(struct step_request, reason), false, 0, 0},
    {"categories", JSON_K_NAMES, offsetof(struct step_request, categories), false, 1, 64},
};

struct stepping {
    struct request request;
    struct request_change change;
    struct consumer who;
    struct str consumer;
};

static enum request_step step_of(const struct http_call *call)
{
    const char *name = strrchr(call->route->pattern, '/') + 1;
    int step = 0;
    while (strcmp(name, request_step_name((enum request_step)step)) != 0)
        step++;
    return (enum request_step)step;
}

static int answer_step(struct http_call *call)
{
    struct pending *p = call->work;
    const struct stepping *s = p->more;
    const struct engine_write *w = &p->writes[0];
    struct err ignored;
    bool clean;
    if (w->job.rc)
        return answer_problem(call, &w->job.err);
    if (s->change.categories.count)
        engine_unclean(api_of(call)->engine);
    if (w->kind == WRITE_ERASE ||
        s->change.categories.count) /* durable whatever becomes of this; housekeeping tries again */
        engine_scrub(api_of(call)->engine, 2000, &clean, &ignored);
    return answer_request(call, 200, s->request.shard, s->request.seq,
                          w->kind == WRITE_ERASE ? w->out_seq : 0);
}

/* The step itself, with what it carries out where that is one write. */
static int submit_step(struct http_call *call, struct stepping *s)
{
    struct pending *p = pending_new(call, NULL, 1);
    struct engine_write *w = &p->writes[0];
    bool fulfil = s->change.step == STEP_FULFIL;
    p->more = s;
    w->consumer = s->consumer;
    if (fulfil && str_is(s->request.right, "erasure") && !s->change.categories.count)
        w->kind = WRITE_ERASE;
    else
        w->kind = WRITE_OTHER;
    if (fulfil && str_is(s->request.right, "restriction")) {
        w->kind = WRITE_CONSUMER;
        w->set.has_restricted = w->set.restricted = true;
    }
    if (fulfil && str_is(s->request.right, "opt_out")) {
        w->kind = WRITE_CONSUMER;
        w->set.has_opt_out_signal = w->set.opt_out_signal = true;
    }
    if (fulfil && str_is(s->request.right, "automated_decision")) {
        w->kind = WRITE_CONSUMER;
        w->set.has_no_automated_decision = w->set.no_automated_decision = true;
    }
    request_change(w, &s->change);
    return pending_submit(p, answer_step);
}

/* ---- objection ---- */

static int after_objection(struct http_call *call)
{
    struct pending *p = call->work;
    for (size_t i = 0; i < p->count; i++)
        if (p->writes[i].job.rc)
            return answer_problem(call, &p->writes[i].job.err);
    return submit_step(call, p->more);
}

static bool is_objected_to(const struct policy_activity *a, const struct policy_law *law)
{
    return a->notice && a->basis[law->index] == BASIS_LEGITIMATE_INTEREST;
}

static void fill_objection(struct http_call *call, const struct policy_activity *a,
                           const struct stepping *s, struct engine_write *w)
{
    w->kind = WRITE_REFUSE;
    w->consumer = s->consumer;
    w->purpose = a->purpose->id;
    w->recipient = a->recipient->id;
    w->categories = arena_array(&call->arena, a->category_count, sizeof *w->categories);
    w->category_count = a->category_count;
    for (size_t i = 0; i < a->category_count; i++)
        w->categories[i] = a->categories[i]->id;
    w->notice = (struct notice_shown){
        .id = a->notice->id,
        .language = a->notice->texts[0].language,
        .version = a->notice->version,
    };
    w->channel = STR("web");
}

/* A no to everything that rests on legitimate interest (GDPR art. 21(1), 21(2)). */
static int submit_objection(struct http_call *call, struct stepping *s)
{
    struct rules *rules = engine_rules(api_of(call)->engine);
    const struct policy *policy = rules ? rules_policy(rules) : NULL;
    size_t count = 0, k = 0;
    const struct policy_law *law = policy ? policy_law_of(policy, s->who.residence) : NULL;
    for (size_t i = 0; policy && i < policy->activity_count; i++)
        count += is_objected_to(&policy->activities[i], law);
    if (!count) {
        rules_unref(rules);
        return submit_step(call, s);
    }
    struct pending *p = pending_new(call, NULL, count);
    p->rules = rules;
    p->more = s;
    for (size_t i = 0; i < policy->activity_count; i++)
        if (is_objected_to(&policy->activities[i], law))
            fill_objection(call, &policy->activities[i], s, &p->writes[k++]);
    return pending_submit(p, after_objection);
}

/* Everything that the step would be refused for, before anything is carried out. */
static int check_objection(const struct stepping *s, struct err *err)
{
    enum request_state next;
    if (request_next(s->request.state, STEP_FULFIL, &next))
        return 0;
    return err_reason(err, LOV_ECONFLICT, "wrong_state",
                      "the request is %s: it cannot be fulfilled",
                      request_state_name(s->request.state));
}

/* ---- all steps ---- */

static int find_consumer(struct http_call *call, struct stepping *s, struct err *err)
{
    struct engine *e = api_of(call)->engine;
    _cleanup_buf struct buf name = {0};
    struct db *identities;
    int rc = db_pool_get(engine_identities(e), &identities, err);
    if (rc)
        return rc;
    rc = identity_name(engine_identity(e), identities, &s->request.cid, &name, err);
    db_pool_put(engine_identities(e), identities);
    if (rc == 1) {
        s->consumer = arena_str(&call->arena, buf_view(&name));
        rc = consumer_get(e, s->consumer, &call->arena, &s->who, err);
    }
    if (rc == 0) {
        if (!request_is_live(s->request.state))
            return err_reason(err, LOV_ECONFLICT, "wrong_state", "the request is %s",
                              request_state_name(s->request.state));
        return err_reason(err, LOV_ECONFLICT, "erased", "the consumer was erased");
    }
    return rc < 0 ? rc : 0;
}

static int read_step(struct http_call *call, struct stepping *s, struct err *err)
{
    struct step_request in = {0};
    _cleanup_json json_t *body = NULL;
    int rc = request_body(call, step_fields, sizeof step_fields / sizeof *step_fields,
                          JSON_REFUSE_UNKNOWN, &in, &body, err);
    if (rc == 0 && in.reason.n && s->change.step != STEP_REFUSE)
        rc = err_reason(err, LOV_EINVAL, "unknown_field", "reason: of a refusal only");
    bool erasing = s->change.step == STEP_FULFIL && str_is(s->request.right, "erasure");
    if (rc == 0 && in.categories.count && !erasing)
        rc = err_reason(err, LOV_EINVAL, "unknown_field",
                        "categories: of the fulfilment of an erasure only");
    if (rc == 0)
        s->change.categories = names_of(call, &in.categories);
    if (rc == 0)
        rc = request_json(&call->arena, in.note, "note", true, EVIDENCE_MAX, &s->change.note, err);
    if (rc == 0)
        s->change.reason = arena_str(&call->arena, in.reason);
    return rc;
}

int requests_step(struct http_call *call)
{
    struct err err = {0};
    struct stepping *s = arena_alloc(&call->arena, sizeof *s);
    *s = (struct stepping){.change = {.step = step_of(call)}};
    int rc = load(call, call->param[0], &s->request, &err);
    if (rc == 0)
        rc = read_step(call, s, &err);
    s->change.shard = s->request.shard;
    s->change.seq = s->request.seq;
    bool fulfil = rc == 0 && s->change.step == STEP_FULFIL;
    if (fulfil && str_is(s->request.right, "erasure") &&
        !(caller_of(call)->permissions & MAY_ERASE))
        rc = err_reason(&err, LOV_EFORBIDDEN, "forbidden", "this key may not erase consumers");
    if (rc == 0)
        rc = find_consumer(call, s, &err);
    if (rc == 0 && fulfil && !s->change.categories.count)
        rc = request_categories(api_of(call)->engine, &s->request, &call->arena,
                                &s->change.categories, &err);
    if (rc == 0 && fulfil)
        rc = request_recipients(api_of(call)->engine, &s->who, &call->arena, &s->change.told, &err);
    bool objection = fulfil && str_is(s->request.right, "objection");
    if (rc == 0 && objection)
        rc = check_objection(s, &err);
    if (rc)
        return answer_problem(call, &err);
    return objection ? submit_objection(call, s) : submit_step(call, s);
}

/* ---- lists ---- */

struct listing {
    struct request_writer writer;
    struct jw w;
    int64_t limit, count, last;
    bool more;
    struct err err;
};

static int list_row(void *ctx, const struct request *r)
{
    struct listing *list = ctx;
    if (list->count == list->limit) {
        list->more = true;
        return 1;
    }
    list->count++;
    list->last = r->seq;
    return request_write(&list->writer, r, &list->w, &list->err);
}

static int answer_list(struct http_call *call, struct request_filter *f, struct listing *list)
{
    struct engine *e = api_of(call)->engine;
    struct db *identities;
    int rc = db_pool_get(engine_identities(e), &identities, &list->err);
    if (rc)
        return answer_problem(call, &list->err);
    list->writer = writer_of(call, identities);
    f->limit = list->limit + 1;
    list->w = answer_start(call, 200);
    jw_object_start(&list->w);
    jw_array_member(&list->w, "items");
    rc = request_list(e, f, &call->arena, list_row, list, &list->err);
    jw_array_end(&list->w);
    _cleanup_buf struct buf id = {0};
    if (list->more)
        consent_id_format(e, 0, list->last, &id);
    jw_optional_member(&list->w, "next", buf_view(&id));
    jw_object_end(&list->w);
    db_pool_put(engine_identities(e), identities);
    return rc < 0 ? answer_problem(call, &list->err) : 0;
}

static int take_filter(struct http_call *call, struct request_filter *f, struct err *err)
{
    struct str text;
    f->due_before = TIME_NONE;
    if (http_query(call, "state", &text)) {
        f->has_state = request_state_parse(text, &f->state);
        f->live = str_is(text, "live");
        if (!f->has_state && !f->live)
            return err_reason(err, LOV_EINVAL, "invalid_query",
                              "state is one of the states of a "
                              "request, or live");
    }
    if (http_query(call, "right", &text))
        f->right = text;
    if (http_query(call, "due_before", &text) && !time_parse(text, &f->due_before))
        return err_reason(err, LOV_EINVAL, "invalid_query", "due_before is an RFC 3339 time");
    return 0;
}

static int take_cursor(struct http_call *call, struct str after, int64_t *seq, struct err *err)
{
    uint32_t shard;
    *seq = -1;
    if (!after.n || consent_id_parse(api_of(call)->engine, after, &shard, seq))
        return 0;
    return err_reason(err, LOV_EINVAL, "invalid_cursor", "after is not a cursor of this list");
}

int requests_list(struct http_call *call)
{
    static const char *const more[] = {"state", "right", "due_before", NULL};
    struct listing list = {0};
    struct request_filter f = {0};
    struct str after;
    int rc = request_page(call, more, &list.limit, &after, &list.err);
    if (rc == 0)
        rc = take_filter(call, &f, &list.err);
    if (rc == 0)
        rc = take_cursor(call, after, &f.after, &list.err);
    return rc ? answer_problem(call, &list.err) : answer_list(call, &f, &list);
}

int requests_of_consumer(struct http_call *call)
{
    struct listing list = {0};
    struct identity_row who;
    struct request_filter f = {.consumer = &who, .due_before = TIME_NONE};
    struct str after, id = call->param[0];
    int rc = request_page(call, NULL, &list.limit, &after, &list.err);
    if (rc == 0)
        rc = take_cursor(call, after, &f.after, &list.err);
    if (rc == 0) {
        rc = id.n <= CONSUMER_ID_MAX ? consumer_find(api_of(call)->engine, id, &who, &list.err) : 0;
        if (rc == 0)
            rc = err_reason(&list.err, LOV_ENOTFOUND, "unknown_consumer",
                            "there is no such consumer");
    }
    return rc < 0 ? answer_problem(call, &list.err) : answer_list(call, &f, &list);
}
