/* uses.c - GET /v1/uses: what each recipient used lately, and was denied, by purpose. */
#include <string.h>

#include "api/private.h"
#include "base/clock.h"

enum { ACTIVITIES_MOST = 1024 };

struct use_count {
    struct str activity; /* "recipient/purpose" */
    int64_t permitted, denied;
    int64_t by_reason[REASON_COUNT];
};

struct counting {
    struct arena *arena;
    struct use_count *items;
    size_t count;
};

/* NULL where there are too many: activities are as many as the policy has, and what nobody knows is
 * refused before it is recorded. */
static struct use_count *count_of(struct counting *c, struct str activity)
{
    for (size_t i = 0; i < c->count; i++)
        if (str_eq(c->items[i].activity, activity))
            return &c->items[i];
    if (c->count == ACTIVITIES_MOST)
        return NULL;
    struct use_count *new = &c->items[c->count++];
    new->activity = arena_str(c->arena, activity);
    return new;
}

static int use_row(void *ctx, const struct ledger_event *event)
{
    bool denied = str_is(event->kind, "access.denied");
    if (!denied && !str_is(event->kind, "access"))
        return 0;
    struct use_count *count = count_of(ctx, event->activity);
    if (!count)
        return 0;
    if (!denied) {
        count->permitted++;
        return 0;
    }
    count->denied++;
    count_reason(count->by_reason, event->body);
    return 0;
}

int uses_list(struct http_call *call)
{
    struct err err = {0};
    struct counting c = {
        .arena = &call->arena,
        .items = arena_array(&call->arena, ACTIVITIES_MOST, sizeof *c.items),
    };
    int64_t from = date_start((int32_t)(clock_now() / DAY_MS) - DAYS_SHOWN + 1);
    int rc = http_query_check(call, (const char *const[]){NULL}, &err);
    if (rc == 0)
        rc = recent_events(api_of(call)->engine, caller_of(call)->recipient, &from, use_row, &c,
                           &err);
    if (rc)
        return answer_problem(call, &err);
    struct jw w = answer_start(call, 200);
    jw_object_start(&w);
    jw_time_member(&w, "from", from);
    jw_array_member(&w, "items");
    for (size_t i = 0; i < c.count; i++) {
        struct str purpose = c.items[i].activity, recipient = str_cut(&purpose, '/');
        jw_object_start(&w);
        jw_str_member(&w, "recipient", recipient);
        jw_str_member(&w, "purpose", purpose);
        jw_int_member(&w, "permitted", c.items[i].permitted);
        jw_int_member(&w, "refused", c.items[i].denied);
        reasons_write(c.items[i].by_reason, &w);
        jw_object_end(&w);
    }
    jw_array_end(&w);
    jw_object_end(&w);
    return 0;
}
