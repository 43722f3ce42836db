/* pending.c - a call and the writes that it waits for. All writes are made before the first is
 * submitted: from then on the writer's thread alone uses the call's arena. */
#include "api/private.h"

struct pending *pending_new(struct http_call *call, json_t *body, size_t count)
{
    struct pending *p = arena_alloc(&call->arena, sizeof *p);
    p->call = call;
    p->body = body;
    p->count = count;
    p->writes = arena_array(&call->arena, count, sizeof *p->writes);
    for (size_t i = 0; i < count; i++) {
        struct engine_write *w = &p->writes[i];
        w->actor = caller_of(call)->actor;
        w->arena = &call->arena;
        w->expires_at = w->given_at = TIME_NONE;
        w->ctx = p;
    }
    return p;
}

static void write_done(struct engine_write *w)
{
    struct pending *p = w->ctx;
    /* The last one makes what all wrote visible to the thread that goes on with the call. */
    if (atomic_fetch_sub_explicit(&p->left, 1, memory_order_acq_rel) == 1)
        http_resume(p->call);
}

int pending_submit(struct pending *p, http_handler *then)
{
    struct engine *e = api_of(p->call)->engine;
    struct engine_write *writes = p->writes;
    size_t count = p->count;
    p->call->work = p;
    p->call->then = then;
    atomic_store_explicit(&p->left, count, memory_order_relaxed);
    for (size_t i = 0; i < count; i++)
        writes[i].done = write_done;
    for (size_t i = 0; i < count; i++)
        engine_submit(e, &writes[i]);
    return HTTP_LATER;
}

void pending_free(struct pending *p)
{
    json_decref(p->body);
    rules_unref(p->rules);
    p->body = NULL;
    p->rules = NULL;
}
