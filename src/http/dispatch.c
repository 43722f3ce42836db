/* dispatch.c - calls inside the process: the same checks and handlers, in the calling thread, which
 * waits on a condition when the answer comes later. Commands, tests and fuzzers use it. */
#include <pthread.h>
#include <stdlib.h>
#include <strings.h>

#include "http/private.h"

struct local_call {
    struct http_call call;
    struct http_transport transport;
    struct http_header *headers;
    pthread_mutex_t lock;
    pthread_cond_t resumed_change;
    bool resumed; /* under the lock */
    void (*take)(void *ctx, struct str part);
    void *ctx;
};

static struct str local_header(const struct http_transport *transport, const char *name)
{
    const struct local_call *local = transport->self;
    for (const struct http_header *h = local->headers; h; h = h->next)
        if (strcasecmp(h->name.p, name) == 0)
            return h->value;
    return (struct str){0};
}

static void local_resume(struct http_call *call)
{
    struct local_call *local = call->transport->self;
    pthread_mutex_lock(&local->lock);
    local->resumed = true;
    pthread_cond_signal(&local->resumed_change);
    pthread_mutex_unlock(&local->lock);
}

static const struct carrier local_carrier = {local_header, local_resume};

struct http_call *http_call_new(const char *method, const char *target, struct str body)
{
    struct local_call *local = mem_zero(sizeof *local);
    struct http_call *call = &local->call;
    pthread_mutex_init(&local->lock, NULL);
    pthread_cond_init(&local->resumed_change, NULL);
    local->transport.carrier = &local_carrier;
    local->transport.self = local;
    call->transport = &local->transport;
    call->local = true;
    call->method = arena_str(&call->arena, str_of(method));
    call_target(call, arena_str(&call->arena, str_of(target)));
    call->body = arena_str(&call->arena, body);
    return call;
}

void http_call_add_header(struct http_call *call, const char *name, struct str value)
{
    struct local_call *local = call->transport->self;
    struct http_header *header = arena_alloc(&call->arena, sizeof *header);
    header->name = arena_str(&call->arena, str_of(name));
    header->value = arena_str(&call->arena, value);
    header->next = local->headers;
    local->headers = header;
}

void http_call_take_parts(struct http_call *call, void (*take)(void *ctx, struct str part),
                          void *ctx)
{
    struct local_call *local = call->transport->self;
    local->take = take;
    local->ctx = ctx;
}

static void give_part(struct local_call *local)
{
    struct http_call *call = &local->call;
    if (!local->take || !call->begun || !call->out.n)
        return;
    local->take(local->ctx, buf_view(&call->out));
    buf_clear(&call->out);
}

static void wait_for_resume(struct local_call *local)
{
    pthread_mutex_lock(&local->lock);
    while (!local->resumed)
        pthread_cond_wait(&local->resumed_change, &local->lock);
    local->resumed = false;
    pthread_mutex_unlock(&local->lock);
}

void http_dispatch(const struct http_app *app, struct http_call *call)
{
    struct local_call *local = call->transport->self;
    struct route_tree tree;
    struct err err = {0};
    if (route_tree_build(app->routes, app->route_count, &tree, &err))
        bug("%s", err.text);
    local->transport.app = app;
    local->transport.routes = &tree;
    call->app = app->ctx;
    struct body_head body = {call->body.n != 0, true, call->body.n};
    if (call_admit(call, &body)) {
        int rc = call_run(call);
        /* The parts of an answer stay one behind the other where nobody takes them. */
        while (rc == HTTP_LATER || rc == HTTP_MORE) {
            call->begun = call->begun || rc == HTTP_MORE;
            give_part(local);
            if (rc == HTTP_LATER)
                wait_for_resume(local);
            rc = call_continue(call);
        }
        if (rc < 0)
            http_problem_status(call, 500, "internal", "the answer broke off");
        call_release(call);
    }
    if (!call->content_type)
        call->content_type = "application/json";
    local->transport.routes = NULL;
    route_tree_free(&tree);
}

void http_call_free(struct http_call *call)
{
    struct local_call *local = call->transport->self;
    pthread_mutex_destroy(&local->lock);
    pthread_cond_destroy(&local->resumed_change);
    buf_free(&call->out);
    arena_free(&call->arena);
    free(local);
}
