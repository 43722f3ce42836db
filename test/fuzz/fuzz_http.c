/* fuzz_http.c - any method, target, headers and body through http_dispatch(). The input reads like
 * a request: first line the method, second the target, then "name: value" lines to an empty line,
 * then the body. What the handlers rely on is checked here: parameters are text, bodies are within
 * their bound, and every call has an answer that is JSON. */
#include <string.h>

#include "base/json.h"
#include "http/http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int show(struct http_call *call)
{
    static const char *const names[] = {"limit", "after", NULL};
    struct err err = {0};
    struct str value;
    for (size_t i = 0; i < HTTP_PARAMS; i++) {
        if (!call->param[i].p)
            continue;
        if (!call->param[i].n || !str_utf8_valid(call->param[i]) ||
            !str_no_controls(call->param[i], false))
            bug("a parameter is not clean text");
    }
    if (call->body.n > call->route->body_max)
        bug("a body is over its limit");
    if (http_query_check(call, names, &err))
        return http_problem(call, &err);
    call->status = 200;
    struct jw w = {.out = &call->out};
    jw_object_start(&w);
    for (size_t i = 0; names[i]; i++)
        if (http_query(call, names[i], &value))
            jw_str_member(&w, names[i], value);
    jw_str_member(&w, "first", call->param[0]);
    jw_object_end(&w);
    return 0;
}

static int later(struct http_call *call)
{
    call->then = show;
    http_resume(call);
    return HTTP_LATER;
}

static int authenticate(struct http_call *call, struct err *err)
{
    struct str key = http_header(call, "Authorization");
    return key.n ? 0 : err_set(err, LOV_EAUTH, "no key");
}

static const struct http_route routes[] = {
    {.method = "GET", .pattern = "/", .handler = show, .open = true},
    {.method = "GET", .pattern = "/a/{x}", .handler = show, .open = true},
    {.method = "GET", .pattern = "/a/b/{x}/c/{y}", .handler = show, .open = true},
    {.method = "POST",
     .pattern = "/a/{x}/{y}/{z}/{w}",
     .handler = later,
     .open = true,
     .body_max = 16,
     .body_optional = true},
    {.method = "POST", .pattern = "/access/e", .handler = show, .body_max = 64},
    {.method = "PUT",
     .pattern = "/raw",
     .handler = later,
     .open = true,
     .body_max = 64,
     .raw = true},
};

static void check_answer(const struct http_call *call)
{
    json_t *json = NULL;
    struct err err;
    if (call->status < 200 || call->status > 599 || !call->content_type)
        bug("a call has no answer");
    if (json_read(buf_view(&call->out), &json, &err))
        bug("an answer is not JSON: %s", err.text);
    json_decref(json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct http_app app = {.routes = routes,
                                        .route_count = sizeof routes / sizeof *routes,
                                        .authenticate = authenticate};
    struct arena arena = {0};
    struct str rest = {(const char *)data, size};
    const char *method = arena_cstr(&arena, str_cut(&rest, '\n'));
    const char *target = arena_cstr(&arena, str_cut(&rest, '\n'));
    struct str headers = rest, line;
    while ((line = str_cut(&headers, '\n')).n)
        ;
    struct http_call *call = http_call_new(method, target, headers);
    while ((line = str_cut(&rest, '\n')).n) {
        const char *name = arena_cstr(&arena, str_cut(&line, ':'));
        http_call_add_header(call, name, str_trim(line));
    }
    http_dispatch(&app, call);
    check_answer(call);
    http_call_free(call);
    arena_free(&arena);
    return 0;
}
