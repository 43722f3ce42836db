/* policies.c - /v1/policy and /v1/notices. A policy comes in as its files; checking and comparing
 * change nothing, applying is one write. */
#include <stdlib.h>
#include <string.h>

#include "api/policy_json.h"
#include "base/clock.h"

struct policy_request {
    const json_t *files;
    int64_t expected_version;
    bool alone;
};
static const struct json_field policy_fields[] = {
    {"files", JSON_K_OBJECT, offsetof(struct policy_request, files), true, 0, 0},
    {"expected_version", JSON_K_INT, offsetof(struct policy_request, expected_version), false, 0,
     INT32_MAX},
    {"alone", JSON_K_BOOL, offsetof(struct policy_request, alone), false, 0, 0},
};
enum { FILES_ONLY = 1, TO_APPLY = 3 };

struct diff_request {
    const json_t *files; /* NULL: those in force */
    int32_t as_of;
};
static const struct json_field diff_fields[] = {
    {"files", JSON_K_OBJECT, offsetof(struct diff_request, files), false, 0, 0},
    {"as_of", JSON_K_DATE, offsetof(struct diff_request, as_of), false, 0, 0},
};

static int no_policy(struct err *err)
{
    return err_reason(err, LOV_EUNAVAILABLE, "no_policy",
                      "no policy is in force: apply one with lov policy apply");
}

static int take_files(const json_t *files, struct policy_bundle *bundle, struct err *err)
{
    _cleanup_buf struct buf text = {0};
    buf_cstr(&text, "{\"files\":");
    json_canonical(files, &text);
    buf_char(&text, '}');
    return policy_bundle_from_json(buf_view(&text), bundle, err);
}

/* Reads {files, ...}. The request's strings live with *body. */
static int read_bundle(struct http_call *call, size_t fields, struct policy_request *request,
                       json_t **body, struct policy_bundle *bundle, struct err *err)
{
    int rc = request_body(call, policy_fields, fields, JSON_REFUSE_UNKNOWN, request, body, err);
    if (rc)
        return rc;
    rc = take_files(request->files, bundle, err);
    if (rc) {
        json_decref(*body);
        *body = NULL;
    }
    return rc;
}

int answer_findings(struct http_call *call, const struct policy_findings *findings)
{
    http_problem_status(call, 422, "policy_invalid",
                        "the policy does not pass its check: findings say where and why");
    call->out.n--; /* opens the object again */
    struct jw w = {.out = &call->out, .comma = true};
    findings_write(findings, &w);
    jw_object_end(&w);
    return 0;
}

void candidate_free(struct candidate *c)
{
    policy_unref(c->policy);
    policy_findings_free(&c->findings);
    policy_bundle_free(&c->bundle);
}

int candidate_compile(struct http_call *call, struct candidate *c, struct err *err)
{
    struct db_pool *pool = engine_lov(api_of(call)->engine);
    struct db *db;
    int rc = db_pool_get(pool, &db, err);
    if (rc)
        return rc;
    rc = policy_store_compile(db, &c->bundle, c->as_of, &c->policy, &c->findings, err);
    db_pool_put(pool, db);
    return rc;
}

/* The files in force. */
static int candidate_stored(struct http_call *call, struct candidate *c, struct err *err)
{
    int rc = engine_policy_files(api_of(call)->engine, 0, &c->bundle, err);
    return rc == LOV_ENOTFOUND ? no_policy(err) : rc;
}

static int candidate_read(struct http_call *call, struct candidate *out, struct err *err)
{
    struct policy_request request = {0};
    _cleanup_json json_t *body = NULL;
    out->as_of = clock_now();
    int rc = read_bundle(call, FILES_ONLY, &request, &body, &out->bundle, err);
    return rc ? rc : candidate_compile(call, out, err);
}

/* The same of a day to come. */
static int candidate_read_as_of(struct http_call *call, struct candidate *out, struct err *err)
{
    struct diff_request request = {.as_of = DAY_NONE};
    _cleanup_json json_t *body = NULL;
    int64_t now = clock_now();
    int rc = request_body(call, diff_fields, 2, JSON_REFUSE_UNKNOWN, &request, &body, err);
    if (rc == 0 && !request.files && request.as_of == DAY_NONE)
        rc = err_reason(err, LOV_EINVAL, "missing_field", "files or as_of: what is compared");
    out->as_of = request.as_of == DAY_NONE ? now : date_start(request.as_of);
    if (rc == 0 && request.as_of != DAY_NONE && out->as_of + (int64_t)DAY_MS <= now)
        rc = err_reason(err, LOV_EINVAL, "time_out_of_range", "as_of: today or a day to come");
    if (rc == 0)
        rc = request.files ? take_files(request.files, &out->bundle, err)
                           : candidate_stored(call, out, err);
    return rc ? rc : candidate_compile(call, out, err);
}

/* ---- reading ---- */

int policy_get(struct http_call *call)
{
    struct err err = {0};
    struct rules *rules = engine_rules(api_of(call)->engine);
    if (!rules) {
        no_policy(&err);
        return answer_problem(call, &err);
    }
    struct jw w = answer_start(call, 200);
    policy_write(rules_policy(rules), &w);
    rules_unref(rules);
    return 0;
}

struct history {
    struct jw w;
    int64_t limit, count;
    int last;
    bool more;
};

static int history_row(void *ctx, const struct policy_version *v)
{
    struct history *h = ctx;
    if (h->count == h->limit) {
        h->more = true;
        return 1;
    }
    h->count++;
    h->last = v->version;
    jw_object_start(&h->w);
    jw_int_member(&h->w, "version", v->version);
    jw_time_member(&h->w, "applied_at", v->applied_at);
    jw_str_member(&h->w, "actor", v->actor);
    jw_hex_member(&h->w, "hash", v->hash.b, sizeof v->hash.b);
    jw_object_end(&h->w);
    return 0;
}

int policy_history(struct http_call *call)
{
    struct err err = {0};
    struct history h = {0};
    struct str after;
    int64_t before = 0;
    struct db *db;
    struct db_pool *pool = engine_lov(api_of(call)->engine);
    int rc = request_page(call, NULL, &h.limit, &after, &err);
    if (rc == 0 && after.n && !str_to_int(after, 1, INT32_MAX, &before))
        rc = err_reason(&err, LOV_EINVAL, "invalid_cursor", "after is not a cursor of this list");
    if (rc == 0)
        rc = db_pool_get(pool, &db, &err);
    if (rc)
        return answer_problem(call, &err);
    h.w = answer_start(call, 200);
    jw_object_start(&h.w);
    jw_array_member(&h.w, "items");
    rc = policy_store_history(db, (int)before, (size_t)h.limit + 1, history_row, &h, &err);
    db_pool_put(pool, db);
    jw_array_end(&h.w);
    answer_next(call, &h.w, h.more, h.last);
    jw_object_end(&h.w);
    return rc < 0 ? answer_problem(call, &err) : 0;
}

/* ---- check, diff, apply ---- */

int policy_check(struct http_call *call)
{
    struct err err = {0};
    struct candidate c = {0};
    int rc = candidate_read(call, &c, &err);
    if (rc && !c.findings.errors) {
        answer_problem(call, &err);
    } else {
        struct jw w = answer_start(call, 200);
        jw_object_start(&w);
        jw_bool_member(&w, "ok", rc == 0);
        findings_write(&c.findings, &w);
        jw_object_end(&w);
    }
    candidate_free(&c);
    return 0;
}

void candidate_changes(struct http_call *call, const struct candidate *c, struct jw *w)
{
    struct engine *e = api_of(call)->engine;
    struct rules *rules = engine_rules(e);
    struct policy_diff diff = {0};
    policy_diff(rules ? rules_policy(rules) : NULL, c->policy, &diff);
    struct policy_effect *effects = arena_array(&call->arena, diff.count, sizeof *effects);
    policy_effects(e, c->policy, c->as_of, &diff, effects);
    jw_array_member(w, "changes");
    for (size_t i = 0; i < diff.count; i++)
        change_write(&diff.items[i], &effects[i], w);
    jw_array_end(w);
    policy_diff_free(&diff);
    rules_unref(rules);
}

static void answer_diff(struct http_call *call, const struct candidate *c)
{
    struct jw w = answer_start(call, 200);
    jw_object_start(&w);
    candidate_changes(call, c, &w);
    jw_object_end(&w);
}

int policy_compare(struct http_call *call)
{
    struct err err = {0};
    struct candidate c = {0};
    int rc = candidate_read_as_of(call, &c, &err);
    if (rc == 0)
        answer_diff(call, &c);
    else if (c.findings.errors)
        answer_findings(call, &c.findings);
    else
        answer_problem(call, &err);
    candidate_free(&c);
    return 0;
}

static void write_applied(struct http_call *call, const struct engine_write *w)
{
    struct jw j = answer_start(call, 200);
    jw_object_start(&j);
    jw_int_member(&j, "version", w->policy->version);
    jw_hex_member(&j, "hash", w->policy->hash.b, sizeof w->policy->hash.b);
    jw_int_member(&j, "event", w->out_seq);
    findings_write(&w->findings, &j);
    jw_object_end(&j);
}

/* Waits in this thread: a policy comes seldom, and what it holds must be freed whatever becomes of
 * the client. */
static void apply(struct http_call *call, const struct policy_bundle *bundle,
                  const struct policy_request *request)
{
    struct err err = {0};
    struct engine_write w = {
        .kind = WRITE_POLICY,
        .actor = caller_of(call)->actor,
        .arena = &call->arena,
        .bundle = bundle,
        .confirm_version = request->expected_version >= 0,
        .expected_version = (int)request->expected_version,
    };
    int rc = engine_run(api_of(call)->engine, &w, &err);
    /* One that has begun by now; what fails here, housekeeping does. */
    if (rc == 0)
        engine_begin_transfers(api_of(call)->engine, &err);
    if (rc && w.findings.errors)
        answer_findings(call, &w.findings);
    else if (rc)
        answer_problem(call, &err);
    else
        write_applied(call, &w);
    policy_unref(w.policy);
    policy_findings_free(&w.findings);
}

int policy_apply(struct http_call *call)
{
    struct err err = {0};
    struct policy_request request = {.expected_version = -1};
    struct policy_bundle bundle = {0};
    _cleanup_json json_t *body = NULL;
    int rc = 0;
    /* expected_version is the key that makes a repetition harmless here. */
    if (http_header(call, "Idempotency-Key").p)
        rc = err_reason(&err, LOV_EINVAL, "invalid_idempotency_key",
                        "a policy is applied once by expected_version: leave out Idempotency-Key");
    if (rc == 0)
        rc = read_bundle(call, TO_APPLY, &request, &body, &bundle, &err);
    if (rc == 0)
        rc = eyes_apply(call, request.alone, &err);
    if (rc)
        answer_problem(call, &err);
    else
        apply(call, &bundle, &request);
    policy_bundle_free(&bundle);
    return 0;
}

/* ---- notices ---- */

struct notice_query {
    struct str language;
    int64_t version; /* 0: the one in force */
};

static int take_notice_query(struct http_call *call, struct notice_query *out, struct err *err)
{
    static const char *const names[] = {"version", "language", NULL};
    struct str text;
    int rc = http_query_check(call, names, err);
    if (rc == 0 && http_query(call, "version", &text) &&
        !str_to_int(text, 1, INT32_MAX, &out->version))
        rc = err_reason(err, LOV_EINVAL, "invalid_query", "version is a number from 1");
    if (rc == 0)
        http_query(call, "language", &out->language);
    return rc;
}

static int unknown_text(struct err *err)
{
    return err_reason(err, LOV_ENOTFOUND, "not_found",
                      "there is no such notice in that version and language");
}

static int answer_text(struct http_call *call, int version, struct str language,
                       const struct policy_published *text, bool current)
{
    struct jw w = answer_start(call, 200);
    jw_object_start(&w);
    jw_str_member(&w, "id", call->param[0]);
    jw_int_member(&w, "version", version);
    jw_str_member(&w, "language", language);
    jw_str_member(&w, "title", text->title);
    jw_hex_member(&w, "hash", text->hash.b, sizeof text->hash.b);
    jw_str_member(&w, "markdown", text->markdown);
    jw_bool_member(&w, "material", text->material);
    jw_bool_member(&w, "current", current);
    jw_object_end(&w);
    return 0;
}

static int answer_current(struct http_call *call, const struct policy_notice *n,
                          struct str language, struct err *err)
{
    const struct policy_notice_text *text = policy_notice_text(n, language);
    if (!text)
        return unknown_text(err);
    struct policy_published published = {text->title, text->markdown, text->hash, n->material};
    return answer_text(call, n->version, text->language, &published, true);
}

static int answer_stored(struct http_call *call, const struct notice_query *query, struct err *err)
{
    struct db_pool *pool = engine_lov(api_of(call)->engine);
    struct policy_published published;
    struct db *db;
    int rc = db_pool_get(pool, &db, err);
    if (rc)
        return rc;
    rc = policy_store_published(db, call->param[0], (int)query->version, query->language,
                                &call->arena, &published, err);
    db_pool_put(pool, db);
    if (rc == LOV_ENOTFOUND)
        return unknown_text(err);
    return rc ? rc : answer_text(call, (int)query->version, query->language, &published, false);
}

int notices_get(struct http_call *call)
{
    struct err err = {0};
    struct notice_query query = {0};
    int rc = take_notice_query(call, &query, &err);
    if (rc)
        return answer_problem(call, &err);
    struct rules *rules = engine_rules(api_of(call)->engine);
    const struct policy *p = rules ? rules_policy(rules) : NULL;
    const struct policy_notice *n = p ? policy_notice(p, call->param[0]) : NULL;
    if (!query.language.n && p)
        query.language = p->languages[0];
    if (!p)
        rc = no_policy(&err);
    else if (n && (query.version == 0 || query.version == n->version))
        rc = answer_current(call, n, query.language, &err);
    else if (query.version == 0)
        rc = unknown_text(&err);
    else
        rc = answer_stored(call, &query, &err);
    rules_unref(rules);
    return rc ? answer_problem(call, &err) : 0;
}
