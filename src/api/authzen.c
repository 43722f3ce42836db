/* authzen.c - OpenID AuthZEN Authorization API 1.0: evaluation, evaluations, metadata.
 *
 * Both calls are one: a list of evaluations, of which the single one is the short form. They are
 * decided in order; those to be recorded are handed to the writer together, and the answer waits
 * until they are durable. */
#include "api/authzen.h"

#include <string.h>

#include "base/clock.h"

struct batch {
    struct evaluation *items;
    size_t count; /* those that were reached: the semantic may end a list early */
    enum semantic { EXECUTE_ALL, DENY_ON_FIRST_DENY, PERMIT_ON_FIRST_PERMIT } semantic;
    bool single;
};

struct question_request {
    struct entities defaults;
    const json_t *evaluations, *options;
};
#define ENTITY(name)                                                                               \
    {                                                                                              \
#name, JSON_K_OBJECT, offsetof(struct question_request, defaults.name), false, 0, 0        \
    }

static const struct json_field request_fields[] = {
    ENTITY(subject),
    ENTITY(action),
    ENTITY(resource),
    ENTITY(context),
    {"evaluations", JSON_K_ARRAY, offsetof(struct question_request, evaluations), false, 0,
     BATCH_MAX},
    {"options", JSON_K_OBJECT, offsetof(struct question_request, options), false, 0, 0},
};
enum { SINGLE_FIELDS = 4 }; /* those that a single evaluation knows */

struct options {
    struct str semantic;
};
static const struct json_field options_fields[] = {
    {"evaluations_semantic", JSON_K_STRING, offsetof(struct options, semantic), false, 0, 0},
};

static const char *const semantics[] = {
    [EXECUTE_ALL] = "execute_all",
    [DENY_ON_FIRST_DENY] = "deny_on_first_deny",
    [PERMIT_ON_FIRST_PERMIT] = "permit_on_first_permit",
};

#define COUNT(table) (sizeof(table) / sizeof *(table))

/* ---- the answer ---- */

static bool is_last(const struct batch *batch, const struct evaluation *ev)
{
    bool permit = !ev->err && ev->decision.permit;
    return (batch->semantic == DENY_ON_FIRST_DENY && !permit) ||
           (batch->semantic == PERMIT_ON_FIRST_PERMIT && permit);
}

static void write_batch(struct api *api, const struct batch *batch, struct jw *w)
{
    jw_object_start(w);
    jw_array_member(w, "evaluations");
    for (size_t i = 0; i < batch->count; i++) {
        evaluation_write(api, &batch->items[i], w);
        /* One that could not be recorded became a denial only now. */
        if (is_last(batch, &batch->items[i]))
            break;
    }
    jw_array_end(w);
    jw_object_end(w);
}

static int answer(struct http_call *call, const struct batch *batch)
{
    struct api *api = api_of(call);
    struct jw w = answer_start(call, 200);
    if (batch->single)
        evaluation_write(api, &batch->items[0], &w);
    else
        write_batch(api, batch, &w);
    return 0;
}

static int answer_recorded(struct http_call *call)
{
    struct pending *p = call->work;
    const struct batch *batch = p->more;
    if (evaluation_repeat(p, answer_recorded))
        return HTTP_LATER;
    for (size_t i = 0; i < batch->count; i++)
        evaluation_settle(api_of(call), &batch->items[i]);
    return answer(call, batch);
}

/* ---- the question ---- */

/* So many decisions are worked on while memory answers for the next. */
enum { AHEAD = 8 };

/* Decides in order until the semantic ends it. Returns how many are to be recorded. */
static size_t decide_batch(struct api *api, const struct rules *rules, struct batch *batch)
{
    size_t records = 0;
    for (size_t i = 0; i < batch->count && i < AHEAD; i++)
        decide_ahead(api->engine, &batch->items[i].question);
    for (size_t i = 0; i < batch->count; i++) {
        struct evaluation *ev = &batch->items[i];
        if (i + AHEAD < batch->count)
            decide_ahead(api->engine, &batch->items[i + AHEAD].question);
        if (!ev->err) {
            evaluation_decide(api, rules, ev);
            records += ev->record;
        }
        if (is_last(batch, ev))
            batch->count = i + 1;
    }
    return records;
}

static int run_batch(struct http_call *call, json_t *body, struct batch *batch)
{
    struct api *api = api_of(call);
    struct rules *rules = engine_rules(api->engine);
    size_t records = decide_batch(api, rules, batch);
    if (!records) {
        int rc = answer(call, batch);
        rules_unref(rules);
        json_decref(body);
        return rc;
    }
    struct batch *kept = arena_alloc(&call->arena, sizeof *kept);
    *kept = *batch;
    struct pending *p = pending_new(call, body, records);
    p->rules = rules;
    p->more = kept;
    for (size_t i = 0, next = 0; i < batch->count; i++) {
        struct evaluation *ev = &batch->items[i];
        ev->obligations = arena_str(&call->arena, ev->obligations); /* outlives the rules */
        if (ev->record)
            evaluation_record(ev, &p->writes[next++]);
    }
    return pending_submit(p, answer_recorded);
}

static int refuse(struct http_call *call, json_t *body, const struct err *err)
{
    json_decref(body);
    return answer_problem(call, err);
}

static int run_single(struct http_call *call, json_t *body, const struct entities *entities)
{
    struct err err = {0};
    struct batch batch = {.count = 1, .single = true};
    batch.items = arena_alloc(&call->arena, sizeof *batch.items);
    if (evaluation_read(call, entities, WANT_DECISION, &batch.items[0], &err))
        return refuse(call, body, &err);
    return run_batch(call, body, &batch);
}

static int run_plain(struct http_call *call, const struct plain_question *plain)
{
    struct err err = {0};
    struct evaluation *ev = arena_alloc(&call->arena, sizeof *ev);
    struct batch batch = {.items = ev, .count = 1, .single = true};
    if (evaluation_take_plain(call, plain, clock_now(), ev, &err))
        return answer_problem(call, &err);
    return run_batch(call, NULL, &batch);
}

int authzen_evaluation(struct http_call *call)
{
    struct err err = {0};
    struct question_request request = {0};
    struct plain_question plain;
    json_t *body = NULL;
    if (plain_question_read(call->body, &plain))
        return run_plain(call, &plain);
    int rc = request_body(call, request_fields, SINGLE_FIELDS, JSON_IGNORE_UNKNOWN, &request, &body,
                          &err);
    return rc ? answer_problem(call, &err) : run_single(call, body, &request.defaults);
}

static int take_semantic(struct http_call *call, const json_t *json, enum semantic *out,
                         struct err *err)
{
    struct options options = {0};
    int rc = json ? json_take(json, options_fields, COUNT(options_fields), JSON_IGNORE_UNKNOWN,
                              "options", &call->arena, &options, err)
                  : 0;
    if (rc || !options.semantic.n)
        return rc;
    for (size_t i = 0; i < COUNT(semantics); i++) {
        if (str_is(options.semantic, semantics[i])) {
            *out = (enum semantic)i;
            return 0;
        }
    }
    return err_reason(err, LOV_EINVAL, "invalid_field",
                      "options.evaluations_semantic: execute_all, deny_on_first_deny or "
                      "permit_on_first_permit");
}

static void keep_error(struct http_call *call, const struct err *err, struct evaluation *out)
{
    struct err *kept = arena_alloc(&call->arena, sizeof *kept);
    *kept = *err;
    out->err = kept;
}

/* An entity of an item takes the place of the whole default (no merging below). */
static void read_item(struct http_call *call, const json_t *json, const struct entities *defaults,
                      struct evaluation *out)
{
    struct question_request item = {.defaults = *defaults};
    struct err err = {0};
    int rc = json_take(json, request_fields, SINGLE_FIELDS, JSON_IGNORE_UNKNOWN, "", &call->arena,
                       &item, &err);
    if (rc == 0)
        rc = evaluation_read(call, &item.defaults, WANT_DECISION, out, &err);
    if (rc)
        keep_error(call, &err, out);
}

static int run_plain_list(struct http_call *call, const struct plain_list *plain)
{
    struct batch batch = {.count = plain->count};
    int64_t now = clock_now();
    batch.items = arena_array(&call->arena, batch.count, sizeof *batch.items);
    for (size_t i = 0; i < batch.count; i++) {
        struct err err;
        if (evaluation_take_plain(call, &plain->items[i], now, &batch.items[i], &err))
            keep_error(call, &err, &batch.items[i]);
    }
    return run_batch(call, NULL, &batch);
}

int authzen_evaluations(struct http_call *call)
{
    struct err err = {0};
    struct question_request request = {0};
    struct batch batch = {0};
    struct plain_list plain;
    json_t *body = NULL;
    if (plain_list_read(call->body, &call->arena, &plain))
        return run_plain_list(call, &plain);
    int rc = request_body(call, request_fields, COUNT(request_fields), JSON_IGNORE_UNKNOWN,
                          &request, &body, &err);
    if (rc)
        return answer_problem(call, &err);
    if (take_semantic(call, request.options, &batch.semantic, &err))
        return refuse(call, body, &err);
    batch.count = json_array_size(request.evaluations);
    if (!batch.count)
        return run_single(call, body, &request.defaults);
    batch.items = arena_array(&call->arena, batch.count, sizeof *batch.items);
    for (size_t i = 0; i < batch.count; i++)
        read_item(call, json_array_get(request.evaluations, i), &request.defaults, &batch.items[i]);
    return run_batch(call, body, &batch);
}

/* ---- metadata ---- */

static const struct {
    const char *member, *path;
} endpoints[] = {
    {"policy_decision_point", ""},
    {"access_evaluation_endpoint", "/access/v1/evaluation"},
    {"access_evaluations_endpoint", "/access/v1/evaluations"},
    {"search_subject_endpoint", "/access/v1/search/subject"},
    {"search_resource_endpoint", "/access/v1/search/resource"},
    {"search_action_endpoint", "/access/v1/search/action"},
};

int authzen_metadata(struct http_call *call)
{
    struct api *api = api_of(call);
    /* Acquire: pairs with api_set_server(). */
    struct http_server *server = atomic_load_explicit(&api->server, memory_order_acquire);
    _cleanup_buf struct buf base = {0}, url = {0};
    if (api->base_url)
        buf_cstr(&base, api->base_url);
    else if (server)
        buf_printf(&base, "%s://%.*s", http_server_scheme(server),
                   STR_ARG(http_server_address(server)));
    else
        buf_cstr(&base, "http://localhost");
    struct jw w = answer_start(call, 200);
    jw_object_start(&w);
    for (size_t i = 0; i < COUNT(endpoints); i++) {
        buf_clear(&url);
        buf_str(&url, buf_view(&base));
        buf_cstr(&url, endpoints[i].path);
        jw_str_member(&w, endpoints[i].member, buf_view(&url));
    }
    jw_object_end(&w);
    return 0;
}
