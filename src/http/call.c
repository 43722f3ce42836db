/* call.c - what every call passes, whoever carries it. Refusals come before the body is taken in,
 * so that a caller who may not speak here costs no memory: route, overload, caller, rate, body. */
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "http/private.h"

/* Keys of callers and of addresses live in one table of the limiter. */
static const uint64_t ADDRESS_KEYS = UINT64_C(0x9e3779b97f4a7c15);

void call_target(struct http_call *call, struct str target)
{
    struct str schemes[] = {STR("http://"), STR("https://")};
    for (size_t i = 0; i < 2 && target.n && target.p[0] != '/'; i++) {
        if (str_starts(target, schemes[i])) {
            target.p += schemes[i].n;
            target.n -= schemes[i].n;
            size_t host = str_find(target, '/');
            target.p += host;
            target.n -= host;
        }
    }
    call->path = str_cut(&target, '?');
    call->transport->query = target;
}

struct str http_header(const struct http_call *call, const char *name)
{
    struct http_transport *transport = call->transport;
    struct str value = transport->carrier->header(transport, name);
    if (!value.p)
        return value;
    /* A copy, so that it may be handed to another thread with the call. The arena is the call's
     * own memory, not part of what const promises. */
    return arena_str((struct arena *)&call->arena, value);
}

/* Bytes above 0x7F are whatever the caller's encoding makes of them. */
static bool id_is_printable(struct str id)
{
    for (size_t i = 0; i < id.n; i++)
        if ((unsigned char)id.p[i] < 0x20 || id.p[i] == 0x7F)
            return false;
    return true;
}

struct str call_request_id(const struct http_call *call)
{
    if (call->transport->without_id)
        return (struct str){0};
    struct str id = call->transport->carrier->header(call->transport, "X-Request-ID");
    return id.n <= REQUEST_ID_MAX && id_is_printable(id) ? id : (struct str){0};
}

/* Repeating only some would leave a caller who tells answers apart by them in the dark. */
static bool admit_request_id(struct http_call *call)
{
    struct str id = call->transport->carrier->header(call->transport, "X-Request-ID");
    call->transport->without_id = id.n == 0;
    if (id.n > REQUEST_ID_MAX)
        http_problem_status(call, 431, "", "X-Request-ID is longer than 4096 bytes");
    else if (!id_is_printable(id))
        http_problem_status(call, 400, "invalid_request_id",
                            "X-Request-ID has a control character");
    return call->status == 0;
}

static bool take_params(struct http_call *call, const struct str *raw, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct str *param = &call->param[i];
        /* "." and ".." mean a way through a tree to whoever reads the path next. */
        if (!percent_decode(&call->arena, raw[i], false, PARAM_MAX, param) || !param->n ||
            str_is(*param, ".") || str_is(*param, ".."))
            return false;
    }
    return true;
}

static bool find_route(struct http_call *call)
{
    struct str raw[HTTP_PARAMS] = {{0}};
    const struct route_node *node = route_find(call->transport->routes, call->path, raw);
    if (!node) {
        http_problem_status(call, 404, "", "there is nothing at this path");
        return false;
    }
    call->route = route_of_method(node, call->method);
    if (!call->route) {
        _cleanup_buf struct buf allow = {0};
        route_allow(node, &allow);
        http_answer_header(call, "Allow", buf_view(&allow));
        http_problem_status(call, 405, "", "this path does not know the method");
        return false;
    }
    if (!take_params(call, raw, node->params)) {
        http_problem_status(call, 400, "invalid_path",
                            "a part of the path is too long or not valid percent-encoded text");
        return false;
    }
    return true;
}

static bool has_room(struct http_call *call)
{
    struct http_transport *t = call->transport;
    if (!t->overloaded || call->route->last_to_shed)
        return true;
    if (t->shard)
        metrics_shed(t->shard);
    http_problem_status(call, 503, "overloaded", "too many calls are waiting here: try again");
    return false;
}

/* Takes one request of `key`; false with 429 when there is none left. */
static bool take_rate(struct http_call *call, uint64_t key)
{
    struct http_transport *t = call->transport;
    int64_t wait = limiter_take(t->limiter, key, clock_monotonic());
    if (!wait)
        return true;
    if (t->shard)
        metrics_limited(t->shard);
    problem_wait(call, 429, "", "too many requests: wait as long as Retry-After says", wait);
    return false;
}

/* Callers that are not known are limited by their address, or else guessing keys would be free. */
static bool take_rate_of_address(struct http_call *call)
{
    struct http_transport *t = call->transport;
    if (!t->limiter || !t->peer || call->local || call->route->last_to_shed)
        return true;
    return take_rate(call, t->peer ^ ADDRESS_KEYS);
}

static bool authenticated(struct http_call *call)
{
    struct http_transport *t = call->transport;
    if (call->route->open || !t->app->authenticate)
        return take_rate_of_address(call);
    struct err err = {0};
    int rc = t->app->authenticate(call, &err);
    if (rc == 0) {
        if (!t->limiter || !t->app->caller || call->local || call->route->last_to_shed)
            return true;
        return take_rate(call, t->app->caller(call));
    }
    err.code = rc;
    if (rc == LOV_ELIMIT)
        http_problem_status(call, 429, err.reason, err.text);
    else if (rc != LOV_EAUTH || take_rate_of_address(call))
        http_problem(call, &err);
    return false;
}

static bool is_json(struct str type)
{
    struct str media = str_trim(str_cut(&type, ';'));
    static const char json[] = "application/json";
    return media.n == sizeof json - 1 && strncasecmp(media.p, json, media.n) == 0;
}

static bool refuse_body(struct http_call *call, int status, const char *reason, const char *detail)
{
    http_problem_status(call, status, reason, detail);
    return false;
}

static bool body_fits(struct http_call *call, const struct body_head *body)
{
    const struct http_route *route = call->route;
    if (!body->present) {
        if (route->body_max && !route->body_optional)
            return refuse_body(call, 400, "missing_body", "this call needs a body");
        return true;
    }
    if (!route->body_max)
        return refuse_body(call, 400, "unexpected_body", "this call takes no body");
    struct str type = call->transport->carrier->header(call->transport, "Content-Type");
    if (!route->raw && !is_json(type)) {
        /* OpenID AuthZEN 1.0 answers a malformed request with 400, whatever is wrong with it. */
        int status = str_starts(call->path, STR("/access/")) ? 400 : 415;
        return refuse_body(call, status, "unsupported_media_type",
                           "the Content-Type must be application/json");
    }
    if (body->known && body->size > route->body_max)
        return refuse_body(call, 413, "too_large", "the body is larger than this call admits");
    return true;
}

bool call_admit(struct http_call *call, const struct body_head *body)
{
    return admit_request_id(call) && find_route(call) && has_room(call) && authenticated(call) &&
           body_fits(call, body);
}

static int outcome(struct http_call *call, int rc)
{
    if (rc == HTTP_LATER || rc == HTTP_MORE) {
        if (!call->then || (rc == HTTP_MORE && !call->status))
            bug("%s answers later without call->then, or in parts without a status",
                call->route->pattern);
        return rc;
    }
    if ((rc == 0 && call->status != 0) || call->begun)
        return rc;
    struct err err = {.code = LOV_EIO, .text = "the handler gave no answer"};
    return http_problem(call, &err);
}

int http_go_on(struct http_call *call, const char *target)
{
    struct err err = {0};
    const struct http_app *app = call->transport->app;
    call->method = STR("GET");
    call->body = (struct str){0};
    call_target(call, str_of(target));
    memset(call->param, 0, sizeof call->param);
    if (!find_route(call))
        return 0;
    int rc = call->route->open || !app->authenticate ? 0 : app->authenticate(call, &err);
    err.code = rc;
    return rc ? http_problem(call, &err) : call->route->handler(call);
}

int call_run(struct http_call *call)
{
    const struct http_route *route = call->route;
    if (call->body.n == 0 && route->body_max && !route->body_optional) {
        refuse_body(call, 400, "missing_body", "this call needs a body");
        return 0;
    }
    return outcome(call, route->handler(call));
}

int call_continue(struct http_call *call)
{
    http_handler *then = call->then;
    call->then = NULL;
    return outcome(call, then(call));
}

void call_release(struct http_call *call)
{
    void (*release)(struct http_call * call) = call->release;
    call->release = NULL;
    if (release)
        release(call);
}

void http_resume(struct http_call *call)
{
    call->transport->carrier->resume(call);
}

uint64_t http_peer(const struct http_call *call)
{
    return call->transport->peer;
}
