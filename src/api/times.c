/* times.c - GET /v1/response-times: how long requests took, by right, and whether they were
 * answered in the law's time. */
#include <stdlib.h>
#include <string.h>

#include "api/private.h"
#include "base/clock.h"

enum { RIGHTS_MOST = 32 };

struct right_times {
    struct str right;
    int64_t received, waiting, overdue, fulfilled, refused, in_time;
    struct buf took; /* int64_t: ms of each that was answered */
};

struct timing {
    struct arena *arena;
    struct db *lov;
    int64_t now;
    struct right_times rights[RIGHTS_MOST];
    size_t count;
    struct err *err;
};

static struct right_times *times_of(struct timing *t, struct str right)
{
    for (size_t i = 0; i < t->count; i++)
        if (str_eq(t->rights[i].right, right))
            return &t->rights[i];
    if (t->count == RIGHTS_MOST)
        return NULL;
    t->rights[t->count].right = arena_str(t->arena, right);
    return &t->rights[t->count++];
}

static int keep_time(void *ctx, const struct ledger_event *event)
{
    *(int64_t *)ctx = event->at;
    return 0;
}

static int request_row(void *ctx, const struct request *r)
{
    struct timing *t = ctx;
    struct right_times *times = times_of(t, r->right);
    int64_t at = 0;
    if (!times)
        return 0;
    times->received++;
    if (request_is_live(r->state)) {
        times->waiting++;
        times->overdue += t->now > r->due_at;
    }
    if (r->state != REQUEST_FULFILLED && r->state != REQUEST_REFUSED)
        return 0;
    /* The event that changed it last is the answer. */
    int rc = ledger_get(t->lov, r->shard, r->event, keep_time, &at, t->err);
    if (rc < 0)
        return rc;
    int64_t took = at - r->received_at;
    times->fulfilled += r->state == REQUEST_FULFILLED;
    times->refused += r->state == REQUEST_REFUSED;
    times->in_time += at <= r->due_at;
    buf_add(&times->took, &took, sizeof took);
    return 0;
}

static int by_length(const void *a, const void *b)
{
    int64_t left, right;
    memcpy(&left, a, sizeof left);
    memcpy(&right, b, sizeof right);
    return left < right ? -1 : left > right;
}

/* The middle one and the longest, in hours; null where none was answered. */
static void lengths_write(struct right_times *t, struct jw *w)
{
    enum { HOUR_MS = 3600000 };
    size_t n = t->took.n / sizeof(int64_t);
    int64_t middle, longest;
    if (!n) {
        jw_key(w, "median_hours");
        jw_null(w);
        jw_key(w, "longest_hours");
        jw_null(w);
        return;
    }
    qsort(t->took.p, n, sizeof middle, by_length);
    memcpy(&middle, t->took.p + n / 2 * sizeof middle, sizeof middle);
    memcpy(&longest, t->took.p + (n - 1) * sizeof longest, sizeof longest);
    jw_int_member(w, "median_hours", middle / HOUR_MS);
    jw_int_member(w, "longest_hours", longest / HOUR_MS);
}

static void times_write(struct right_times *t, struct jw *w)
{
    jw_object_start(w);
    jw_str_member(w, "right", t->right);
    jw_int_member(w, "received", t->received);
    jw_int_member(w, "waiting", t->waiting);
    jw_int_member(w, "overdue", t->overdue);
    jw_int_member(w, "fulfilled", t->fulfilled);
    jw_int_member(w, "refused", t->refused);
    jw_int_member(w, "in_time", t->in_time);
    lengths_write(t, w);
    jw_object_end(w);
}

int response_times(struct http_call *call)
{
    struct err err = {0};
    struct engine *e = api_of(call)->engine;
    struct timing *t = arena_alloc(&call->arena, sizeof *t);
    _cleanup_arena struct arena rows = {0};
    struct request_filter all = {.due_before = TIME_NONE, .after = -1, .limit = INT64_MAX};
    *t = (struct timing){.arena = &call->arena, .now = clock_now(), .err = &err};
    int rc = http_query_check(call, (const char *const[]){NULL}, &err);
    if (rc == 0)
        rc = db_pool_get(engine_lov(e), &t->lov, &err);
    if (rc)
        return answer_problem(call, &err);
    rc = request_list(e, &all, &rows, request_row, t, &err);
    db_pool_put(engine_lov(e), t->lov);
    struct jw w = answer_start(call, 200);
    jw_object_start(&w);
    jw_array_member(&w, "items");
    for (size_t i = 0; i < t->count; i++) {
        times_write(&t->rights[i], &w);
        buf_free(&t->rights[i].took);
    }
    jw_array_end(&w);
    jw_object_end(&w);
    return rc < 0 ? answer_problem(call, &err) : 0;
}
