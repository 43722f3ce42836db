/* retention.c - GET /v1/retention: what is kept how long, and what is due. */
#include "api/private.h"
#include "base/clock.h"

static int write_due(void *ctx, const struct vault_due *due)
{
    struct jw *w = ctx;
    jw_object_start(w);
    jw_str_member(w, "category", due->category);
    jw_key(w, "retention_days");
    if (due->days)
        jw_int(w, due->days);
    else
        jw_null(w);
    jw_int_member(w, "records", due->records);
    jw_int_member(w, "due", due->due);
    jw_int_member(w, "due_within_30_days", due->soon);
    jw_int_member(w, "on_hold", due->held);
    jw_time_member(w, "first_due_at", due->first);
    jw_object_end(w);
    return 0;
}

int retention_list(struct http_call *call)
{
    struct err err = {0};
    struct jw w = answer_start(call, 200);
    jw_object_start(&w);
    jw_array_member(&w, "items");
    if (vault_retention(api_of(call)->vault, write_due, &w, &err))
        return answer_problem(call, &err);
    jw_array_end(&w);
    jw_object_end(&w);
    return 0;
}
