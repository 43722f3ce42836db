/* test_http.c - routes, decoding, problems, limits and calls inside the process. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"
#include "http/private.h"

/* ---- lists of what is accepted ---- */

static void test_a_list_is_read_with_its_weights(void **state)
{
    static const struct {
        const char *name;
        int weight;
    } expected[] = {{"sv-FI", 1000}, {"en", 500}, {"de", 0},   {"fr", 999}, {"it", 0},
                    {"nb", 0},       {"da", 0},   {"fi", 800}, {"*", 1000}};
    struct str list = STR(" sv-FI ,, en;q=0.5,de;q=0, fr ; x=1 ; Q=0.999, it;q=1.001, nb;q=.5,"
                          "da;q=0.5000, fi;q=0.8, *;q=1.");
    struct str name;
    int weight;
    (void)state;
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        assert_true(http_accept_next(&list, &name, &weight));
        assert_true(str_is(name, expected[i].name));
        assert_int_equal(weight, expected[i].weight);
    }
    assert_false(http_accept_next(&list, &name, &weight));
    list = STR(" , ;q=1,");
    assert_false(http_accept_next(&list, &name, &weight));
}

static void test_the_most_exact_range_decides(void **state)
{
    static const struct {
        const char *accept;
        int html, json;
    } cases[] = {
        {"", 0, 0},
        {"*/*", 1000, 1000},
        {"text/html,application/xhtml+xml,*/*;q=0.8", 1000, 800},
        {"TEXT/HTML;charset=utf-8;q=0.3, text/*;q=0.9", 300, 0},
        {"*/*, text/*;q=0.2", 200, 1000},
        {"text/html;q=0, */*", 0, 1000},
        {"application/ld+json, text/html;q=0.5", 500, 1000},
        {"application/*;q=0.1, texts/html, text/htm, html", 0, 100},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct str accept = str_of(cases[i].accept);
        assert_int_equal(http_accept_weight(accept, "text/html"), cases[i].html);
        assert_int_equal(http_accept_weight(accept, "application/ld+json"), cases[i].json);
    }
}

/* ---- routes ---- */

static int nothing(struct http_call *call)
{
    call->status = 204;
    return 0;
}

static const struct http_route tree_routes[] = {
    {.method = "GET", .pattern = "/", .handler = nothing},
    {.method = "GET", .pattern = "/v1/consents", .handler = nothing},
    {.method = "POST", .pattern = "/v1/consents", .handler = nothing},
    {.method = "GET", .pattern = "/v1/consents/search", .handler = nothing},
    {.method = "GET", .pattern = "/v1/consents/{id}", .handler = nothing},
    {.method = "POST", .pattern = "/v1/consents/{id}/withdraw", .handler = nothing},
    {.method = "GET", .pattern = "/v1/{a}/x/{b}/{c}/{d}", .handler = nothing},
};

static const struct http_route *look_up(const struct route_tree *tree, const char *method,
                                        const char *path, struct str raw[HTTP_PARAMS])
{
    const struct route_node *node = route_find(tree, str_of(path), raw);
    return node ? route_of_method(node, str_of(method)) : NULL;
}

static void test_a_tail_takes_the_rest_of_a_path(void **state)
{
    (void)state;
    static const struct http_route tails[] = {
        {.method = "GET", .pattern = "/log/{shard}/tile/entries/{tile...}", .handler = nothing},
        {.method = "GET", .pattern = "/log/{shard}/tile/{tile...}", .handler = nothing},
        {.method = "GET", .pattern = "/log/{shard}/checkpoint", .handler = nothing},
    };
    static const struct http_route inside[] = {
        {.method = "GET", .pattern = "/a/{b...}/c", .handler = nothing},
    };
    struct route_tree tree;
    struct str raw[HTTP_PARAMS];
    struct err err;
    assert_int_equal(route_tree_build(tails, 3, &tree, &err), 0);
    assert_ptr_equal(look_up(&tree, "GET", "/log/0/tile/0/x001/234.p/5", raw), &tails[1]);
    assert_true(str_is(raw[0], "0") && str_is(raw[1], "0/x001/234.p/5"));
    assert_ptr_equal(look_up(&tree, "GET", "/log/7/tile/entries/000.p/5", raw), &tails[0]);
    assert_true(str_is(raw[0], "7") && str_is(raw[1], "000.p/5"));
    assert_ptr_equal(look_up(&tree, "GET", "/log/7/tile/entries", raw), &tails[1]);
    assert_ptr_equal(look_up(&tree, "GET", "/log/7/checkpoint", raw), &tails[2]);
    assert_null(look_up(&tree, "GET", "/log/7/tile", raw));
    assert_null(look_up(&tree, "GET", "/log/7/tile/", raw));
    assert_null(look_up(&tree, "GET", "/log/7/checkpoint/x", raw));
    route_tree_free(&tree);
    assert_int_equal(route_tree_build(inside, 1, &tree, &err), LOV_EINVAL);
}

static void test_paths_lead_to_their_routes(void **state)
{
    (void)state;
    struct route_tree tree;
    struct err err;
    struct str raw[HTTP_PARAMS];
    assert_int_equal(
        route_tree_build(tree_routes, sizeof tree_routes / sizeof *tree_routes, &tree, &err), 0);
    assert_ptr_equal(look_up(&tree, "GET", "/", raw), &tree_routes[0]);
    assert_ptr_equal(look_up(&tree, "HEAD", "/v1/consents", raw), &tree_routes[1]);
    assert_ptr_equal(look_up(&tree, "POST", "/v1/consents", raw), &tree_routes[2]);
    assert_ptr_equal(look_up(&tree, "GET", "/v1/consents/search", raw), &tree_routes[3]);
    assert_ptr_equal(look_up(&tree, "GET", "/v1/consents/7", raw), &tree_routes[4]);
    assert_true(str_is(raw[0], "7"));
    assert_ptr_equal(look_up(&tree, "GET", "/v1/consents/x/1/2/3", raw), &tree_routes[6]);
    assert_true(str_is(raw[0], "consents"));
    assert_null(look_up(&tree, "PUT", "/v1/consents", raw));
    assert_ptr_equal(look_up(&tree, "GET", "/v1/k/x/1/2/3", raw), &tree_routes[6]);
    assert_true(str_is(raw[0], "k") && str_is(raw[3], "3"));
    route_tree_free(&tree);
}

static void test_a_literal_that_leads_nowhere_gives_way_to_the_parameter(void **state)
{
    (void)state;
    struct route_tree tree;
    struct err err;
    struct str raw[HTTP_PARAMS];
    assert_int_equal(
        route_tree_build(tree_routes, sizeof tree_routes / sizeof *tree_routes, &tree, &err), 0);
    assert_ptr_equal(look_up(&tree, "POST", "/v1/consents/search/withdraw", raw), &tree_routes[5]);
    assert_true(str_is(raw[0], "search"));
    route_tree_free(&tree);
}

static void test_paths_that_are_nearly_right_are_not_found(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "",
        "v1/consents",
        "//",
        "/v1",
        "/v1/consents/",
        "/v1//consents",
        "/V1/consents",
        "/v1/%63onsents",
        "/v1/consents/7/withdraw/",
        "/v1/consents//withdraw",
        "/v1/k/x/1/2/3/4",
        "/v1/../v1/consents/7/8",
    };
    struct route_tree tree;
    struct err err;
    struct str raw[HTTP_PARAMS];
    assert_int_equal(
        route_tree_build(tree_routes, sizeof tree_routes / sizeof *tree_routes, &tree, &err), 0);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_null(route_find(&tree, str_of(wrong[i]), raw));
    route_tree_free(&tree);
}

static void test_bad_patterns_are_refused_at_start(void **state)
{
    (void)state;
    static const struct http_route bad[][2] = {
        {{.method = "GET", .pattern = "v1", .handler = nothing}},
        {{.method = "HEAD", .pattern = "/v1", .handler = nothing}},
        {{.method = "BREW", .pattern = "/v1", .handler = nothing}},
        {{.method = "GET", .pattern = "/v1"}},
        {{.method = "GET", .pattern = "/v1/{}", .handler = nothing}},
        {{.method = "GET", .pattern = "/v1/a{b}", .handler = nothing}},
        {{.method = "GET", .pattern = "/v1/\"", .handler = nothing}},
        {{.method = "GET", .pattern = "/{a}/{b}/{c}/{d}/{e}", .handler = nothing}},
        {{.method = "GET", .pattern = "/v1/{a}", .handler = nothing},
         {.method = "GET", .pattern = "/v1/{b}", .handler = nothing}},
    };
    struct route_tree tree;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct err err;
        size_t count = bad[i][1].method ? 2 : 1;
        assert_int_equal(route_tree_build(bad[i], count, &tree, &err), LOV_EINVAL);
    }
}

/* ---- decoding ---- */

static bool decodes(const char *text, bool form, const char *expect)
{
    struct arena arena = {0};
    struct str out = {0};
    bool ok = percent_decode(&arena, str_of(text), form, 16, &out);
    bool same = ok && expect && str_is(out, expect);
    arena_free(&arena);
    return expect ? same : !ok;
}

static void test_percent_decoding_is_strict(void **state)
{
    (void)state;
    assert_true(decodes("abc", false, "abc"));
    assert_true(decodes("a%20b", false, "a b"));
    assert_true(decodes("%c3%A5", false, "\xc3\xa5"));
    assert_true(decodes("a+b", false, "a+b"));
    assert_true(decodes("a+b", true, "a b"));
    assert_true(decodes("%2f", false, "/"));
    assert_true(decodes("0123456789abcdef", false, "0123456789abcdef"));
    assert_true(decodes("0123456789abcdefg", false, NULL));
    assert_true(decodes("%", false, NULL));
    assert_true(decodes("%4", false, NULL));
    assert_true(decodes("%4g", false, NULL));
    assert_true(decodes("%u0041", false, NULL));
    assert_true(decodes("%00", false, NULL));
    assert_true(decodes("%0a", false, NULL));
    assert_true(decodes("%7f", false, NULL));
    assert_true(decodes("%c0%af", false, NULL)); /* overlong "/" */
    assert_true(decodes("%ed%a0%80", false, NULL));
    assert_true(decodes("%ff", false, NULL));
    assert_true(decodes("a\x01", false, NULL));
}

static void test_query_parameters_are_found_and_checked(void **state)
{
    (void)state;
    static const char *const names[] = {"limit", "after", NULL};
    static const struct {
        const char *target;
        int rc;
        const char *limit; /* NULL: not given */
    } cases[] = {
        {"/x", 0, NULL},
        {"/x?", 0, NULL},
        {"/x?limit=5", 0, "5"},
        {"/x?after=a%3Db&limit=1+2", 0, "1 2"},
        {"/x?&&limit=", 0, ""},
        {"/x?limit", 0, ""},
        {"/x?%6cimit=3", 0, "3"},
        {"/x?limit=1&limit=1", LOV_EINVAL, NULL},
        {"/x?other=1&limit=4", LOV_EINVAL, "4"},
        {"/x?limit=%zz", LOV_EINVAL, NULL},
        {"/x?limit=%00", LOV_EINVAL, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct err err;
        struct str value;
        struct http_call *call = http_call_new("GET", cases[i].target, (struct str){0});
        assert_true(str_is(call->path, "/x"));
        assert_int_equal(http_query_check(call, names, &err), cases[i].rc);
        bool found = http_query(call, "limit", &value);
        assert_int_equal(found, cases[i].limit != NULL);
        if (found)
            assert_true(str_is(value, cases[i].limit));
        http_call_free(call);
    }
}

/* ---- limits ---- */

static const int64_t SECOND = 1000000000;

static void test_a_caller_gets_its_burst_and_then_its_rate(void **state)
{
    (void)state;
    struct limiter *limiter = limiter_new(10, 1);
    int64_t now = 5 * SECOND;
    for (int i = 0; i < 10; i++)
        assert_int_equal(limiter_take(limiter, 1, now), 0);
    assert_int_equal(limiter_take(limiter, 1, now), SECOND / 10);
    assert_int_equal(limiter_take(limiter, 1, now + SECOND / 20), SECOND / 20);
    assert_int_equal(limiter_take(limiter, 1, now + SECOND / 10), 0);
    assert_true(limiter_take(limiter, 1, now + SECOND / 10) > 0);
    assert_int_equal(limiter_take(limiter, 2, now), 0); /* another caller */
    now += 100 * SECOND; /* a long rest saves up one second's worth, not more */
    for (int i = 0; i < 10; i++)
        assert_int_equal(limiter_take(limiter, 1, now), 0);
    assert_true(limiter_take(limiter, 1, now) > 0);
    limiter_free(limiter);
}

static void test_many_callers_do_not_free_one_that_is_at_its_limit(void **state)
{
    (void)state;
    struct limiter *limiter = limiter_new(5, 1);
    int64_t now = SECOND;
    for (int i = 0; i < 5; i++)
        assert_int_equal(limiter_take(limiter, 77, now), 0);
    for (uint64_t key = 1000; key < 3000; key++)
        limiter_take(limiter, key, now);
    assert_true(limiter_take(limiter, 77, now) > 0);
    limiter_free(limiter);
}

/* ---- calls ---- */

static int say_param(struct http_call *call)
{
    call->status = 200;
    buf_str(&call->out, call->param[0]);
    return 0;
}

static int echo(struct http_call *call)
{
    call->status = 200;
    buf_str(&call->out, call->body);
    return 0;
}

static int forget_answer(struct http_call *call)
{
    (void)call;
    return 0;
}

static int go_wrong(struct http_call *call)
{
    struct err err;
    err_set(&err, *(int *)call->app, "that went wrong");
    return http_problem(call, &err);
}

static int after_work(struct http_call *call)
{
    call->status = 200;
    buf_cstr(&call->out, call->work ? "worked" : "lost");
    return 0;
}

static void *work(void *ctx)
{
    struct http_call *call = ctx;
    call->work = call;
    http_resume(call);
    return NULL;
}

static pthread_t worker;

static int later(struct http_call *call)
{
    call->then = after_work;
    assert_int_equal(pthread_create(&worker, NULL, work, call), 0);
    return HTTP_LATER;
}

/* Resumes before the handler has returned. */
static int at_once(struct http_call *call)
{
    call->then = after_work;
    work(call);
    return HTTP_LATER;
}

static int twice_then(struct http_call *call)
{
    call->work = NULL;
    return at_once(call);
}

static int twice(struct http_call *call)
{
    call->then = twice_then;
    work(call);
    return HTTP_LATER;
}

static const struct http_route routes[] = {
    {.method = "GET", .pattern = "/v1/p/{x}", .handler = say_param, .open = true},
    {.method = "POST", .pattern = "/v1/echo", .handler = echo, .open = true, .body_max = 16},
    {.method = "POST", .pattern = "/access/v1/e", .handler = echo, .open = true, .body_max = 16},
    {.method = "PUT",
     .pattern = "/v1/raw",
     .handler = echo,
     .open = true,
     .body_max = 16,
     .raw = true},
    {.method = "POST",
     .pattern = "/v1/maybe",
     .handler = echo,
     .open = true,
     .body_max = 16,
     .body_optional = true},
    {.method = "GET", .pattern = "/v1/closed", .handler = nothing, .allow = 7},
    {.method = "GET", .pattern = "/v1/forgets", .handler = forget_answer, .open = true},
    {.method = "GET", .pattern = "/v1/fails", .handler = go_wrong, .open = true},
    {.method = "GET", .pattern = "/v1/later", .handler = later, .open = true},
    {.method = "GET", .pattern = "/v1/at-once", .handler = at_once, .open = true},
    {.method = "GET", .pattern = "/v1/twice", .handler = twice, .open = true},
};

static int authenticate(struct http_call *call, struct err *err)
{
    assert_int_equal(call->route->allow, 7);
    struct str key = http_header(call, "authorization");
    if (str_is(key, "Bearer good"))
        return 0;
    if (str_is(key, "Bearer weak"))
        return err_reason(err, LOV_EFORBIDDEN, "no_role", "not for this role");
    if (str_is(key, "Bearer often"))
        return err_set(err, LOV_ELIMIT, "too many failed attempts");
    return err_set(err, LOV_EAUTH, "no key, or an unknown one");
}

static struct http_app app = {
    .routes = routes, .route_count = sizeof routes / sizeof *routes, .authenticate = authenticate};

struct header {
    const char *name, *value;
};

/* The call's status; *out is the call when it is wanted. */
static int dispatch(const char *method, const char *target, const char *body, struct header header,
                    struct http_call **out)
{
    struct http_call *call = http_call_new(method, target, str_of(body));
    if (header.name)
        http_call_add_header(call, header.name, str_of(header.value));
    http_dispatch(&app, call);
    int status = call->status;
    if (out)
        *out = call;
    else
        http_call_free(call);
    return status;
}

static const struct header none = {NULL, NULL};
static const struct header json = {"content-type", "Application/JSON; charset=utf-8"};

static void assert_problem(struct http_call *call, const char *reason)
{
    json_t *problem = NULL;
    struct err err;
    assert_string_equal(call->content_type, "application/problem+json");
    assert_int_equal(json_read(buf_view(&call->out), &problem, &err), 0);
    assert_string_equal(json_string_value(json_object_get(problem, "reason")), reason);
    assert_int_equal(json_integer_value(json_object_get(problem, "status")), call->status);
    assert_non_null(json_object_get(problem, "title"));
    _cleanup_buf struct buf type = {0};
    buf_printf(&type, "urn:lov:problem:%s", reason);
    assert_string_equal(json_string_value(json_object_get(problem, "type")), type.p);
    json_decref(problem);
    http_call_free(call);
}

static void test_parameters_reach_the_handler_decoded(void **state)
{
    (void)state;
    struct http_call *call;
    assert_int_equal(dispatch("GET", "/v1/p/a%20%C3%A5?q=1", NULL, none, &call), 200);
    assert_true(str_is(buf_view(&call->out), "a \xc3\xa5"));
    assert_string_equal(call->content_type, "application/json");
    http_call_free(call);
    assert_int_equal(dispatch("GET", "http://host:1/v1/p/a", NULL, none, NULL), 200);
}

static void test_bad_parameters_are_refused(void **state)
{
    (void)state;
    struct http_call *call;
    char longest[PARAM_MAX + 16];
    memset(longest, 'a', sizeof longest);
    memcpy(longest, "/v1/p/", 6);
    longest[6 + PARAM_MAX] = '\0';
    assert_int_equal(dispatch("GET", longest, NULL, none, NULL), 200);
    longest[6 + PARAM_MAX] = 'a';
    longest[7 + PARAM_MAX] = '\0';
    assert_int_equal(dispatch("GET", longest, NULL, none, NULL), 400);
    assert_int_equal(dispatch("GET", "/v1/p/%0a", NULL, none, NULL), 400);
    assert_int_equal(dispatch("GET", "/v1/p/..", NULL, none, NULL), 400);
    assert_int_equal(dispatch("GET", "/v1/p/%2e%2E", NULL, none, NULL), 400);
    assert_int_equal(dispatch("GET", "/v1/p/", NULL, none, NULL), 404);
    assert_int_equal(dispatch("GET", "/v1/p/%zz", NULL, none, &call), 400);
    assert_problem(call, "invalid_path");
}

static void test_a_wrong_method_is_told_which_are_right(void **state)
{
    (void)state;
    static const char *const wrong[] = {"POST", "OPTIONS", "TRACE", "BREW", "get", ""};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct http_call *call;
        assert_int_equal(dispatch(wrong[i], "/v1/p/a", NULL, none, &call), 405);
        assert_true(str_is(answer_header(call, "Allow"), "GET, HEAD"));
        assert_problem(call, "method_not_allowed");
    }
    assert_int_equal(dispatch("OPTIONS", "/nowhere", NULL, none, NULL), 404);
    assert_int_equal(dispatch("HEAD", "/v1/p/a", NULL, none, NULL), 200);
}

static void test_bodies_are_taken_only_as_the_route_says(void **state)
{
    (void)state;
    static const struct header text = {"Content-Type", "text/json"};
    assert_int_equal(dispatch("POST", "/v1/echo", "{\"a\":1}", json, NULL), 200);
    assert_int_equal(dispatch("POST", "/v1/echo", "0123456789abcdef", json, NULL), 200);
    assert_int_equal(dispatch("POST", "/v1/echo", "0123456789abcdefg", json, NULL), 413);
    assert_int_equal(dispatch("POST", "/v1/echo", "{}", none, NULL), 415);
    assert_int_equal(dispatch("POST", "/v1/echo", "{}", text, NULL), 415);
    assert_int_equal(dispatch("POST", "/access/v1/e", "{}", text, NULL), 400);
    assert_int_equal(dispatch("POST", "/access/v1/e", "{}", json, NULL), 200);
    assert_int_equal(dispatch("PUT", "/v1/raw", "{}", text, NULL), 200);
    assert_int_equal(dispatch("PUT", "/v1/raw", "{}", none, NULL), 200);
    assert_int_equal(dispatch("POST", "/v1/maybe", NULL, none, NULL), 200);
    assert_int_equal(dispatch("POST", "/v1/maybe", "{}", text, NULL), 415);
    struct http_call *call;
    assert_int_equal(dispatch("POST", "/v1/echo", NULL, json, &call), 400);
    assert_problem(call, "missing_body");
    assert_int_equal(dispatch("GET", "/v1/p/a", "{}", json, &call), 400);
    assert_problem(call, "unexpected_body");
}

static void test_who_may_not_call_learns_only_that(void **state)
{
    (void)state;
    struct http_call *call;
    assert_int_equal(
        dispatch("GET", "/v1/closed", NULL, (struct header){"AUTHORIZATION", "Bearer good"}, NULL),
        204);
    assert_int_equal(dispatch("GET", "/v1/closed", NULL, none, &call), 401);
    assert_true(str_is(answer_header(call, "www-authenticate"), "Bearer"));
    assert_problem(call, "unauthenticated");
    assert_int_equal(
        dispatch("GET", "/v1/closed", NULL, (struct header){"Authorization", "Bearer weak"}, &call),
        403);
    assert_problem(call, "no_role");
    assert_int_equal(dispatch("GET", "/v1/closed", NULL,
                              (struct header){"Authorization", "Bearer often"}, &call),
                     429);
    assert_true(str_is(answer_header(call, "Retry-After"), "1"));
    assert_problem(call, "too_many_requests");
}

static void test_errors_become_their_status(void **state)
{
    (void)state;
    static const int statuses[][2] = {
        {LOV_EINVAL, 400},    {LOV_EAUTH, 401},    {LOV_EFORBIDDEN, 403},   {LOV_ENOTFOUND, 404},
        {LOV_ECONFLICT, 409}, {LOV_ELIMIT, 413},   {LOV_EUNAVAILABLE, 503}, {LOV_EIO, 500},
        {LOV_ECORRUPT, 500},  {LOV_EVERSION, 500},
    };
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++) {
        int code = statuses[i][0];
        app.ctx = &code;
        assert_int_equal(dispatch("GET", "/v1/fails", NULL, none, NULL), statuses[i][1]);
        app.ctx = NULL;
    }
    struct http_call *call;
    assert_int_equal(dispatch("GET", "/v1/forgets", NULL, none, &call), 500);
    assert_problem(call, "internal");
}

static void test_a_request_id_comes_back_or_is_refused(void **state)
{
    (void)state;
    static char id[REQUEST_ID_MAX + 2];
    memset(id, 'x', sizeof id);
    id[REQUEST_ID_MAX] = '\0';
    static const char *const bad[] = {"a\tb", "a\x7f", "\x01"};
    struct http_call *call = http_call_new("GET", "/", (struct str){0});
    assert_int_equal(call_request_id(call).n, 0);
    http_call_add_header(call, "x-request-id", str_of(id));
    assert_true(str_is(call_request_id(call), id));
    id[REQUEST_ID_MAX] = 'x';
    id[REQUEST_ID_MAX + 1] = '\0';
    http_call_add_header(call, "x-request-id", str_of(id));
    assert_int_equal(call_request_id(call).n, 0);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        http_call_add_header(call, "x-request-id", str_of(bad[i]));
        assert_int_equal(call_request_id(call).n, 0);
    }
    http_call_free(call);
}

static void test_later_answers_come_however_the_race_ends(void **state)
{
    (void)state;
    for (int i = 0; i < 500; i++) {
        struct http_call *call;
        assert_int_equal(dispatch("GET", "/v1/later", NULL, none, &call), 200);
        pthread_join(worker, NULL);
        assert_true(str_is(buf_view(&call->out), "worked"));
        http_call_free(call);
    }
    assert_int_equal(dispatch("GET", "/v1/at-once", NULL, none, NULL), 200);
    assert_int_equal(dispatch("GET", "/v1/twice", NULL, none, NULL), 200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_paths_lead_to_their_routes),
        cmocka_unit_test(test_a_tail_takes_the_rest_of_a_path),
        cmocka_unit_test(test_a_literal_that_leads_nowhere_gives_way_to_the_parameter),
        cmocka_unit_test(test_paths_that_are_nearly_right_are_not_found),
        cmocka_unit_test(test_bad_patterns_are_refused_at_start),
        cmocka_unit_test(test_a_list_is_read_with_its_weights),
        cmocka_unit_test(test_the_most_exact_range_decides),
        cmocka_unit_test(test_percent_decoding_is_strict),
        cmocka_unit_test(test_query_parameters_are_found_and_checked),
        cmocka_unit_test(test_a_caller_gets_its_burst_and_then_its_rate),
        cmocka_unit_test(test_many_callers_do_not_free_one_that_is_at_its_limit),
        cmocka_unit_test(test_parameters_reach_the_handler_decoded),
        cmocka_unit_test(test_bad_parameters_are_refused),
        cmocka_unit_test(test_a_wrong_method_is_told_which_are_right),
        cmocka_unit_test(test_bodies_are_taken_only_as_the_route_says),
        cmocka_unit_test(test_who_may_not_call_learns_only_that),
        cmocka_unit_test(test_errors_become_their_status),
        cmocka_unit_test(test_a_request_id_comes_back_or_is_refused),
        cmocka_unit_test(test_later_answers_come_however_the_race_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
