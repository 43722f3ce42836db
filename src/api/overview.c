/* overview.c - GET /v1/overview: how the company does, in numbers and without anybody in them. Of
 * the ledger the latest events are counted, at most EVENTS_MOST of a shard, so that an overview
 * costs the same however long the ledger is. */
#include <string.h>

#include "api/private.h"
#include "base/clock.h"

enum { EVENTS_MOST = 20000, PATIENCE_MS = 50 };

/* ---- the ledger by time ---- */

static int keep_time(void *ctx, const struct ledger_event *event)
{
    *(int64_t *)ctx = event->at;
    return 0;
}

/* Instants do not go back in a ledger, so halving finds it. */
int ledger_since(struct db *lov, uint32_t shard, int64_t size, int64_t at, int64_t *seq,
                 struct err *err)
{
    int64_t low = 0, high = size;
    while (low < high) {
        int64_t middle = low + (high - low) / 2, then = 0;
        int rc = ledger_get(lov, shard, middle, keep_time, &then, err);
        if (rc < 0)
            return rc;
        if (then < at)
            low = middle + 1;
        else
            high = middle;
    }
    *seq = low;
    return 0;
}

static int recent_of_shard(struct db *lov, struct ledger_filter *filter, int64_t *from,
                           ledger_row *row, void *ctx, struct err *err)
{
    int64_t size = 0, first = 0, begun = *from;
    struct sha256 root;
    int rc = ledger_head(lov, filter->shard, &size, &root, err);
    if (rc == 0)
        rc = ledger_since(lov, filter->shard, size, *from, &first, err);
    if (rc == 0 && size - first > EVENTS_MOST) {
        first = size - EVENTS_MOST;
        rc = ledger_get(lov, filter->shard, first, keep_time, &begun, err);
    }
    if (rc < 0)
        return rc;
    if (begun > *from)
        *from = begun;
    filter->after = first - 1;
    filter->limit = EVENTS_MOST;
    return ledger_read(lov, filter, row, ctx, NULL, err);
}

int recent_events(struct engine *e, struct str recipient, int64_t *from, ledger_row *row, void *ctx,
                  struct err *err)
{
    struct ledger_filter filter = {.recipient = recipient};
    struct db *lov;
    int rc = db_pool_get(engine_lov(e), &lov, err);
    if (rc)
        return rc;
    for (uint32_t shard = 0; rc >= 0 && shard < engine_shards(e); shard++) {
        filter.shard = shard;
        rc = recent_of_shard(lov, &filter, from, row, ctx, err);
    }
    db_pool_put(engine_lov(e), lov);
    return rc < 0 ? rc : 0;
}

/* ---- uses ---- */

struct uses {
    int64_t now, from; /* ms UTC: counted since */
    int32_t today;
    int64_t permitted[DAYS_SHOWN], denied[DAYS_SHOWN]; /* the last one: today */
    int64_t by_reason[REASON_COUNT];
};

void count_reason(int64_t by_reason[REASON_COUNT], struct str body)
{
    _cleanup_json json_t *json = NULL;
    if (json_read(body, &json, NULL))
        return;
    const json_t *reason = json_object_get(json, "reason");
    for (int i = 0; i < REASON_COUNT && json_is_string(reason); i++)
        if (str_is(json_text(reason), decision_reason_name((enum decision_reason)i)))
            by_reason[i]++;
}

void reasons_write(const int64_t by_reason[REASON_COUNT], struct jw *w)
{
    jw_object_member(w, "denied");
    for (int i = 0; i < REASON_COUNT; i++)
        if (by_reason[i])
            jw_int_member(w, decision_reason_name((enum decision_reason)i), by_reason[i]);
    jw_object_end(w);
}

static int use_row(void *ctx, const struct ledger_event *event)
{
    struct uses *u = ctx;
    int32_t ago = u->today - (int32_t)(event->at / DAY_MS);
    bool denied = str_is(event->kind, "access.denied");
    if (!denied && !str_is(event->kind, "access"))
        return 0;
    if (ago < 0 || ago >= DAYS_SHOWN)
        return 0;
    int64_t *days = denied ? u->denied : u->permitted;
    days[DAYS_SHOWN - 1 - ago]++;
    if (denied)
        count_reason(u->by_reason, event->body);
    return 0;
}

static int count_uses(struct engine *e, struct uses *u, struct err *err)
{
    u->now = clock_now();
    u->today = (int32_t)(u->now / DAY_MS);
    u->from = date_start(u->today - DAYS_SHOWN + 1);
    return recent_events(e, (struct str){0}, &u->from, use_row, u, err);
}

static void uses_write(const struct uses *u, struct jw *w)
{
    jw_object_member(w, "uses");
    jw_time_member(w, "from", u->from);
    jw_array_member(w, "days");
    for (int i = 0; i < DAYS_SHOWN; i++) {
        _cleanup_buf struct buf day = {0};
        date_format(u->today - DAYS_SHOWN + 1 + i, &day);
        jw_object_start(w);
        jw_str_member(w, "day", buf_view(&day));
        jw_int_member(w, "permitted", u->permitted[i]);
        jw_int_member(w, "denied", u->denied[i]);
        jw_object_end(w);
    }
    jw_array_end(w);
    reasons_write(u->by_reason, w);
    jw_object_end(w);
}

/* ---- decisions ---- */

static void decisions_write(const struct counters *counters, struct jw *w)
{
    jw_object_member(w, "decisions");
    jw_int_member(w, "permitted", (int64_t)counters_sum(counters, REASON_PERMITTED));
    int64_t by_reason[REASON_COUNT] = {0};
    for (int i = 0; i < REASON_COUNT; i++)
        if (i != REASON_PERMITTED)
            by_reason[i] = (int64_t)counters_sum(counters, (enum decision_reason)i);
    reasons_write(by_reason, w);
    jw_object_end(w);
}

/* ---- who permits what ---- */

static bool is_asked(const struct policy *p, const struct policy_activity *a)
{
    for (size_t i = 0; i < p->law_count; i++)
        if (a->basis[i] == BASIS_CONSENT)
            return true;
    return false;
}

/* Of whom all of its data may be used now; null where that is not known yet. */
static void activity_write(struct engine *e, const struct policy_activity *a, struct jw *w)
{
    struct question all[AUDIENCE_CONDITIONS];
    struct err ignored;
    int64_t count = -1;
    size_t n = a->category_count < AUDIENCE_CONDITIONS ? a->category_count : AUDIENCE_CONDITIONS;
    for (size_t i = 0; i < n; i++)
        all[i] = (struct question){.recipient = a->recipient->id,
                                   .purpose = a->purpose->id,
                                   .category = a->categories[i]->id};
    struct audience_ask ask = {.all = all, .count = n};
    struct audience *audience = audience_open(e, &ask);
    if (audience_count(audience, PATIENCE_MS, &count, &ignored))
        count = -1;
    audience_close(audience);
    jw_object_start(w);
    jw_str_member(w, "activity", a->id);
    jw_str_member(w, "recipient", a->recipient->id);
    jw_str_member(w, "purpose", a->purpose->id);
    jw_key(w, "permitted");
    if (count < 0)
        jw_null(w);
    else
        jw_int(w, count);
    jw_object_end(w);
}

static void consents_write(struct engine *e, struct jw *w)
{
    struct rules *rules = engine_rules(e);
    const struct policy *p = rules ? rules_policy(rules) : NULL;
    jw_array_member(w, "activities");
    for (size_t i = 0; p && i < p->activity_count; i++)
        if (is_asked(p, &p->activities[i]))
            activity_write(e, &p->activities[i], w);
    jw_array_end(w);
    rules_unref(rules);
}

/* ---- all of it ---- */

static void requests_write(const struct request_counts *c, struct jw *w)
{
    jw_object_member(w, "requests");
    for (int i = 0; i < REQUEST_STATES; i++)
        jw_int_member(w, request_state_name((enum request_state)i), c->by_state[i]);
    jw_int_member(w, "overdue", c->overdue);
    jw_object_end(w);
}

static void log_write(struct engine *e, struct jw *w)
{
    struct engine_audit_state audit = engine_audit_state(e);
    jw_object_member(w, "log");
    jw_bool_member(w, "wrong", audit.wrong);
    jw_time_member(w, "checked_at", audit.checked_at ? audit.checked_at : TIME_NONE);
    jw_object_end(w);
}

int overview_read(struct http_call *call)
{
    struct api *api = api_of(call);
    struct err err = {0};
    struct uses uses = {0};
    struct request_counts requests = {0};
    _cleanup_buf struct buf eyes = {0};
    int rc = http_query_check(call, (const char *const[]){NULL}, &err);
    if (rc == 0)
        rc = count_uses(api->engine, &uses, &err);
    if (rc == 0)
        rc = request_counts(api->engine, &requests, &err);
    if (rc == 0)
        rc = eyes_report(call, &eyes, &err);
    if (rc)
        return answer_problem(call, &err);
    struct engine_counts counts = engine_counts(api->engine);
    struct jw w = answer_start(call, 200);
    jw_object_start(&w);
    jw_int_member(&w, "consumers", counts.consumers);
    jw_int_member(&w, "policy_version", counts.policy_version);
    log_write(api->engine, &w);
    requests_write(&requests, &w);
    decisions_write(api->counters, &w);
    uses_write(&uses, &w);
    consents_write(api->engine, &w);
    jw_key(&w, "four_eyes");
    jw_raw(&w, buf_view(&eyes));
    jw_object_end(&w);
    return 0;
}
