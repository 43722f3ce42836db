/* issues.c - /v1/issues: questions about records that looked wrong when they came in, and the
 * answers. What is proposed is a record's content, so only callers who may see evidence get it: the
 * consumer, and who acts for them. */
#include "api/private.h"
#include "vault/vault.h"

struct issue_list {
    struct http_call *call;
    struct db *identities;
    struct str consumer; /* of one consumer's list: their id */
    struct jw w;
    int64_t limit, count, last;
    bool more, proposals;
    struct err err;
};

/* ---- lists ---- */

static void public_id(struct issue_list *list, const char *name, uint32_t shard, int64_t seq)
{
    _cleanup_buf struct buf id = {0};
    consent_id_format(api_of(list->call)->engine, shard, seq, &id);
    jw_str_member(&list->w, name, buf_view(&id));
}

/* What the policy in force tells people about a rule. */
static void write_rule(struct issue_list *list, const struct vault_issue *i)
{
    struct rules *rules = engine_rules(api_of(list->call)->engine);
    const struct policy *p = rules ? rules_policy(rules) : NULL;
    const struct policy_category *c = p ? policy_category(p, i->category) : NULL;
    jw_key(&list->w, "explanation");
    jw_object_start(&list->w);
    for (size_t r = 0; c && r < c->rule_count; r++) {
        if (!str_eq(c->rules[r].id, i->rule))
            continue;
        for (size_t l = 0; l < p->language_count; l++) {
            jw_key_str(&list->w, p->languages[l]);
            jw_str(&list->w, c->rules[r].label.in[l]);
        }
    }
    jw_object_end(&list->w);
    rules_unref(rules);
}

static int write_proposal(struct issue_list *list, const struct vault_issue *i)
{
    _cleanup_buf struct buf json = {0};
    int rc = 0;
    if (list->proposals)
        rc = vault_proposal(api_of(list->call)->vault, i, &json, &list->err);
    if (json.n) {
        jw_key(&list->w, "proposal");
        jw_raw(&list->w, buf_view(&json));
    }
    secret_wipe_bytes(json.p, json.n);
    return rc < 0 ? rc : 0;
}

static int write_consumer(struct issue_list *list, const struct vault_issue *i)
{
    jw_key(&list->w, "consumer");
    if (!list->consumer.n)
        return consumer_name_write(api_of(list->call), list->identities, &i->cid, &list->w,
                                   &list->err);
    jw_str(&list->w, list->consumer);
    return 0;
}

static int issue_row(void *ctx, const struct vault_issue *i)
{
    struct issue_list *list = ctx;
    if (list->count == list->limit) {
        list->more = true;
        return 1;
    }
    list->count++;
    list->last = i->seq;
    jw_object_start(&list->w);
    public_id(list, "id", i->shard, i->seq);
    int rc = write_consumer(list, i);
    jw_str_member(&list->w, "category", i->category);
    public_id(list, "record", i->shard, i->record);
    jw_int_member(&list->w, "version", i->version);
    jw_str_member(&list->w, "finding", i->finding);
    jw_optional_member(&list->w, "field", i->field);
    jw_optional_member(&list->w, "rule", i->rule);
    if (i->rule.n)
        write_rule(list, i);
    jw_bool_member(&list->w, "has_proposal", i->has_proposal);
    if (rc >= 0)
        rc = write_proposal(list, i);
    jw_object_end(&list->w);
    return rc < 0 ? rc : 0;
}

static int write_list(struct issue_list *list, struct vault_issue_filter *filter)
{
    struct api *api = api_of(list->call);
    list->w = answer_start(list->call, 200);
    jw_object_start(&list->w);
    jw_array_member(&list->w, "items");
    filter->limit = list->limit + 1;
    int rc = vault_issues(api->vault, filter, issue_row, list, &list->err);
    jw_array_end(&list->w);
    answer_next(list->call, &list->w, list->more, list->last);
    jw_object_end(&list->w);
    return rc < 0 ? rc : 0;
}

static int start_list(struct issue_list *list, struct vault_issue_filter *filter)
{
    static const char *const more[] = {"category", NULL};
    struct str after = {0};
    filter->after = -1;
    int rc = request_page(list->call, more, &list->limit, &after, &list->err);
    if (rc == 0 && after.n && !str_to_int(after, -1, INT64_MAX - 1, &filter->after))
        rc = err_reason(&list->err, LOV_EINVAL, "invalid_cursor",
                        "after is not a cursor of this list");
    http_query(list->call, "category", &filter->category);
    list->proposals = (caller_of(list->call)->permissions & MAY_READ_EVIDENCE) != 0;
    return rc;
}

int issues_list(struct http_call *call)
{
    struct issue_list list = {.call = call};
    struct vault_issue_filter filter = {0};
    struct db_pool *pool = engine_identities(api_of(call)->engine);
    int rc = start_list(&list, &filter);
    if (rc == 0)
        rc = db_pool_get(pool, &list.identities, &list.err);
    if (rc)
        return answer_problem(call, &list.err);
    rc = write_list(&list, &filter);
    db_pool_put(pool, list.identities);
    return rc ? answer_problem(call, &list.err) : 0;
}

int consumers_issues(struct http_call *call)
{
    struct issue_list list = {.call = call, .consumer = call->param[0]};
    struct vault_issue_filter filter = {0};
    struct identity_row who;
    int rc = start_list(&list, &filter);
    if (rc == 0 && call->param[0].n <= CONSUMER_ID_MAX)
        rc = consumer_find(api_of(call)->engine, call->param[0], &who, &list.err);
    if (rc == 0 && !list.err.code)
        rc = err_reason(&list.err, LOV_ENOTFOUND, "unknown_consumer", "there is no such consumer");
    if (rc < 0)
        return answer_problem(call, &list.err);
    filter.who = &who;
    return write_list(&list, &filter) ? answer_problem(call, &list.err) : 0;
}

/* ---- answers ---- */

struct settle_request {
    struct str answer;
};
static const struct json_field settle_fields[] = {
    {"answer", JSON_K_STRING, offsetof(struct settle_request, answer), true, 1, 16},
};

static int answer_settled(struct http_call *call)
{
    struct pending *p = call->work;
    const struct vault_answer *answer = p->writes[0].input;
    if (p->writes[0].job.rc)
        return answer_problem(call, &p->writes[0].job.err);
    if (p->writes[0].replayed)
        http_answer_header(call, "Idempotency-Replayed", STR("true"));
    struct jw j = answer_start(call, 200);
    jw_object_start(&j);
    jw_str_member(&j, "id", call->param[0]);
    jw_cstr_member(&j, "settled", answer->accept ? "accepted" : "confirmed");
    jw_object_end(&j);
    return 0;
}

static int find_issue(struct http_call *call, struct vault_answer *answer, struct str *consumer,
                      struct err *err)
{
    struct api *api = api_of(call);
    _cleanup_buf struct buf name = {0};
    uint32_t shard;
    int rc = consent_id_parse(api->engine, call->param[0], &shard, &answer->issue);
    if (rc)
        rc = vault_issue_consumer(api->vault, shard, answer->issue, &name, err);
    if (rc == 0)
        return err_reason(err, LOV_ENOTFOUND, "unknown_issue",
                          "there is no such issue, or it is settled");
    *consumer = arena_str(&call->arena, buf_view(&name));
    return rc < 0 ? rc : 0;
}

static int take_answer(const struct settle_request *r, struct vault_answer *answer, struct err *err)
{
    answer->accept = str_is(r->answer, "accept");
    if (answer->accept || str_is(r->answer, "confirm"))
        return 0;
    return err_reason(err, LOV_EINVAL, "invalid_field",
                      "answer: accept (what is proposed) or confirm (the record is right)");
}

int issues_settle(struct http_call *call)
{
    struct err err = {0};
    struct settle_request r = {0};
    json_t *body = NULL;
    int rc = request_body(call, settle_fields, 1, JSON_REFUSE_UNKNOWN, &r, &body, &err);
    if (rc)
        return answer_problem(call, &err);
    struct pending *p = pending_new(call, body, 1);
    struct vault_answer *answer = arena_alloc(&call->arena, sizeof *answer);
    rc = take_answer(&r, answer, &err);
    if (rc == 0)
        rc = request_idempotency(call, body, 0, &p->writes[0], &err);
    if (rc == 0)
        rc = find_issue(call, answer, &p->writes[0].consumer, &err);
    if (rc) {
        pending_free(p);
        return answer_problem(call, &err);
    }
    vault_settle(api_of(call)->vault, &p->writes[0], answer);
    return pending_submit(p, answer_settled);
}
