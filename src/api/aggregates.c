/* aggregates.c - POST /v1/aggregates: sums for a purpose, of which the ledger knows that they were
 * asked for before they leave. */
#include "api/authzen.h"

struct sums_request {
    struct str purpose, recipient, category;
    struct json_names group_by, fields;
};
#define MEMBER(name, kind, required, most)                                                         \
    {                                                                                              \
#name, kind, offsetof(struct sums_request, name), required, 0, most                        \
    }

static const struct json_field sums_fields[] = {
    MEMBER(purpose, JSON_K_NAME, true, 0),   MEMBER(recipient, JSON_K_NAME, false, 0),
    MEMBER(category, JSON_K_NAME, true, 0),  MEMBER(group_by, JSON_K_NAMES, false, 16),
    MEMBER(fields, JSON_K_NAMES, false, 16),
};

static int check_recipient(const struct http_call *call, struct sums_request *r, struct err *err)
{
    struct str own = caller_of(call)->recipient;
    if (own.n && r->recipient.n && !str_eq(own, r->recipient))
        return err_reason(err, LOV_EFORBIDDEN, "forbidden",
                          "the key of a recipient may ask for that recipient only");
    if (!own.n && !r->recipient.n)
        return err_reason(err, LOV_EINVAL, "missing_field",
                          "recipient is required: for whom the sums are");
    if (own.n)
        r->recipient = own;
    return 0;
}

/* The rules about recipient and policy alone: a question about nobody fails at who it is about. */
static bool is_allowed(struct http_call *call, const struct rules *rules, struct engine_write *w)
{
    decide(api_of(call)->engine, rules, &w->question, &w->decision);
    counters_add(api_of(call)->counters, w->decision.reason);
    return w->decision.reason == REASON_UNKNOWN_CONSUMER;
}

static int answer_denied(struct http_call *call)
{
    struct pending *p = call->work;
    const struct decision *d = &p->writes[0].decision;
    _cleanup_buf struct buf text = {0};
    decision_text(d, &text);
    return http_problem_status(call, d->reason == REASON_UNAVAILABLE ? 503 : 403,
                               decision_reason_name(d->reason), text.p);
}

static struct str kept(struct http_call *call, struct str text)
{
    return arena_str(&call->arena, text);
}

static void keep_names(struct http_call *call, const struct json_names *in, struct json_names *out)
{
    out->items = arena_array(&call->arena, in->count + 1, sizeof *out->items);
    out->count = in->count;
    for (size_t i = 0; i < in->count; i++)
        out->items[i] = kept(call, in->items[i]);
}

static int answer_sums(struct http_call *call)
{
    struct pending *p = call->work;
    const struct vault_sums *query = p->writes[0].input;
    struct api *api = api_of(call);
    struct err err = {0};
    if (p->writes[0].job.rc)
        return answer_problem(call, &p->writes[0].job.err);
    struct rules *rules = engine_rules(api->engine);
    struct jw w = answer_start(call, 200);
    jw_object_start(&w);
    int rc = vault_sums(api->vault, rules, query, &w, &err);
    rules_unref(rules);
    if (rc)
        return answer_problem(call, &err);
    jw_int_member(&w, "event", p->writes[0].out_seq);
    jw_object_end(&w);
    return 0;
}

/* What is wrong with the question is told before it is recorded. */
static int try_sums(struct http_call *call, const struct rules *rules,
                    const struct vault_sums *query, struct err *err)
{
    _cleanup_buf struct buf ignored = {0};
    struct jw w = {.out = &ignored};
    return vault_sums(api_of(call)->vault, rules, query, &w, err);
}

int aggregates_ask(struct http_call *call)
{
    struct err err = {0};
    struct sums_request r = {0};
    json_t *body = NULL;
    int rc = request_body(call, sums_fields, sizeof sums_fields / sizeof *sums_fields,
                          JSON_REFUSE_UNKNOWN, &r, &body, &err);
    if (rc)
        return answer_problem(call, &err);
    struct pending *p = pending_new(call, body, 1);
    struct vault_sums *query = arena_alloc(&call->arena, sizeof *query);
    struct engine_write *w = &p->writes[0];
    p->rules = engine_rules(api_of(call)->engine);
    rc = check_recipient(call, &r, &err);
    w->question = (struct question){.recipient = r.recipient,
                                    .purpose = r.purpose,
                                    .category = r.category,
                                    .consumer = STR(""),
                                    .at = clock_now()};
    if (rc == 0 && !is_allowed(call, p->rules, w)) {
        w->kind = WRITE_ACCESS;
        w->policy_version = p->rules ? rules_policy(p->rules)->version : 0;
        return pending_submit(p, answer_denied);
    }
    if (rc == 0) {
        query->recipient = kept(call, r.recipient);
        query->purpose = kept(call, r.purpose);
        query->category = kept(call, r.category);
        query->all_groups = !json_object_get(body, "group_by");
        query->all_fields = !json_object_get(body, "fields");
        keep_names(call, &r.group_by, &query->group_by);
        keep_names(call, &r.fields, &query->fields);
        rc = try_sums(call, p->rules, query, &err);
    }
    vault_record_sums(w, query);
    if (rc == 0)
        return pending_submit(p, answer_sums);
    pending_free(p);
    return answer_problem(call, &err);
}
