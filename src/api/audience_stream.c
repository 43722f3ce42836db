/* audience_stream.c - everybody of an audience in one answer: found, decided, named and written
 * some hundreds at a time, when the connection has room for more. Nothing is kept but the place;
 * when the client leaves, that is all there is to forget. The last line says how many they were, so
 * that an answer that was cut off is known by what it lacks. */
#include <stdlib.h>

#include "api/audience_query.h"

enum { PIECE = 512, PART_BYTES = 32 << 10, STREAMS = 4, PREPARE_PATIENCE_MS = 500 };

struct stream {
    struct api *api;
    struct audience *audience;
    struct identity_names *names;
    int64_t next, count;
    bool ended;
    struct buf before; /* of each line: up to the id */
    struct buf ids;
    uint32_t numbers[PIECE];
    struct uid cids[PIECE];
    struct identity_span spans[PIECE];
};

static void close_stream(struct stream *s)
{
    atomic_fetch_sub_explicit(&s->api->streams, 1, memory_order_relaxed);
    audience_close(s->audience);
    identity_names_free(s->names);
    buf_free(&s->before);
    buf_free(&s->ids);
    free(s);
}

static void release(struct http_call *call)
{
    close_stream(call->work);
}

static void write_end(struct stream *s, struct buf *out)
{
    struct jw w = {.out = out};
    jw_object_start(&w);
    jw_bool_member(&w, "complete", true);
    jw_int_member(&w, "count", s->count);
    jw_object_end(&w);
    buf_char(out, '\n');
    s->ended = true;
}

static void write_lines(struct stream *s, size_t count, struct buf *out)
{
    for (size_t i = 0; i < count; i++) {
        struct str id = {s->ids.p + s->spans[i].offset, s->spans[i].length};
        if (id.n == 0) /* erased since */
            continue;
        buf_str(out, buf_view(&s->before));
        json_escape(out, id);
        buf_str(out, STR("\"}\n"));
        s->count++;
    }
}

/* False: it cannot go on. */
static bool make_more(struct stream *s, struct buf *out)
{
    struct err err = {0};
    size_t count = 0;
    struct engine *e = s->api->engine;
    buf_clear(&s->ids);
    audience_find(s->audience, s->next, PIECE, -1, s->numbers, &count, &s->next);
    for (size_t i = 0; i < count; i++)
        s->cids[i] = engine_cid(e, s->numbers[i]);
    int rc = identity_names_read(s->names, s->numbers, s->cids, count, &s->ids, s->spans, &err);
    if (rc) {
        log_printf(engine_log(e), LOG_ERROR, "an audience breaks off: %s", err.text);
        return false;
    }
    write_lines(s, count, out);
    if (s->next >= 0)
        return true;
    /* Nobody is found where nothing can be decided any more: that is no end. */
    struct decision d;
    struct rules *rules = engine_rules(e);
    bool available = decide_available(e, rules, &d);
    rules_unref(rules);
    if (available)
        write_end(s, out);
    return available;
}

/* The next part of the answer. */
static int give_part(struct http_call *call)
{
    struct stream *s = call->work;
    size_t start = call->out.n;
    while (!s->ended && call->out.n - start < PART_BYTES)
        if (!make_more(s, &call->out))
            return LOV_EUNAVAILABLE;
    call->then = give_part;
    return s->ended ? 0 : HTTP_MORE;
}

static struct stream *open_stream(struct api *api, const struct audience_query *query)
{
    struct stream *s = mem_zero(sizeof *s);
    struct engine *e = api->engine;
    s->api = api;
    s->audience = audience_open(e, &query->ask);
    s->names = identity_names_new(engine_identity(e), engine_identities(e));
    buf_cstr(&s->before, "{\"type\":\"");
    json_escape(&s->before, query->all[0].category);
    buf_cstr(&s->before, "\",\"id\":\"");
    return s;
}

int audience_may_list(const struct rules *rules, const struct question *q, struct err *err)
{
    const struct policy *p = rules_policy(rules);
    const struct policy_recipient *r = policy_recipient(p, q->recipient);
    const struct policy_purpose *u = policy_purpose(p, q->purpose);
    const struct policy_activity *a = r && u ? policy_activity(p, r, u) : NULL;
    if (!a || !a->record_always)
        return 0;
    return err_reason(
        err, LOV_EFORBIDDEN, "record_required",
        "uses for this purpose are always recorded: ask with context.record true, and "
        "each consumer in the answer is recorded as an access");
}

static int too_many(struct err *err)
{
    return err_reason(err, LOV_EUNAVAILABLE, "too_many_streams",
                      "%d audiences are being streamed: ask again", STREAMS);
}

int audience_can_stream(struct http_call *call, const struct audience_query *query, struct err *err)
{
    struct api *api = api_of(call);
    if (atomic_load_explicit(&api->streams, memory_order_relaxed) >= STREAMS)
        return too_many(err);
    struct audience *a = audience_open(api->engine, &query->ask);
    int rc = audience_prepare(a, PREPARE_PATIENCE_MS, err);
    audience_close(a);
    return rc;
}

int audience_stream(struct http_call *call, const struct audience_query *query)
{
    struct api *api = api_of(call);
    struct err err = {0};
    if (atomic_fetch_add_explicit(&api->streams, 1, memory_order_relaxed) >= STREAMS) {
        atomic_fetch_sub_explicit(&api->streams, 1, memory_order_relaxed);
        too_many(&err);
        return answer_problem(call, &err);
    }
    struct stream *s = open_stream(api, query);
    if (audience_prepare(s->audience, PREPARE_PATIENCE_MS, &err)) {
        close_stream(s);
        return answer_problem(call, &err);
    }
    call->status = 200;
    call->content_type = "application/x-ndjson";
    answer_file_name(call, query->all[0].category, "jsonl");
    call->work = s;
    call->release = release;
    call->then = give_part;
    return HTTP_MORE;
}
