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

static void submit(struct pending *p, struct engine_write **some, size_t count, http_handler *then)
{
    struct engine *e = api_of(p->call)->engine;
    p->call->work = p;
    p->call->then = then;
    atomic_store_explicit(&p->left, count, memory_order_relaxed);
    for (size_t i = 0; i < count; i++)
        some[i]->done = write_done;
    /* With the last of them the call may be over, and its arena, where the list is, gone. */
    for (size_t i = 0; i < count; i++)
        engine_submit(e, some[i]);
}

void pending_free(struct pending *p)
{
    json_decref(p->body);
    rules_unref(p->rules);
    p->body = NULL;
    p->rules = NULL;
}

static void keep_text(struct arena *arena, struct str *text)
{
    if (text->n)
        *text = arena_str(arena, *text);
}

/* Evidence, guardian and detail are in the arena already. */
void pending_keep(struct arena *arena, struct engine_write *w)
{
    struct str *const texts[] = {
        &w->consumer,           &w->purpose,           &w->recipient,         &w->notice.id,
        &w->notice.language,    &w->channel,           &w->set.residence,     &w->question.purpose,
        &w->question.recipient, &w->question.category, &w->question.consumer,
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        keep_text(arena, texts[i]);
    for (size_t i = 0; i < w->category_count; i++)
        keep_text(arena, &w->categories[i]);
    w->decision.law = NULL;
    w->decision.activity = NULL;
}

int pending_submit(struct pending *p, http_handler *then)
{
    for (size_t i = 0; i < p->count; i++)
        pending_keep(&p->call->arena, &p->writes[i]);
    pending_free(p);
    struct engine_write **all = arena_array(&p->call->arena, p->count, sizeof *all);
    for (size_t i = 0; i < p->count; i++)
        all[i] = &p->writes[i];
    submit(p, all, p->count, then);
    return HTTP_LATER;
}

bool pending_repeat(struct pending *p, struct engine_write **some, size_t count, http_handler *then)
{
    enum { TIMES = 4 };
    if (!count || p->repeated++ == TIMES)
        return false;
    submit(p, some, count, then);
    return true;
}
