/* accesses.c - POST /v1/accesses: uses that were made elsewhere, told afterwards. Each is decided
 * as of its time and recorded whatever the decision is: a use that was not permitted is the one
 * that somebody must hear of. */
#include "api/authzen.h"

static const int64_t REPORT_BACK_MS = 30 * (int64_t)DAY_MS;

struct access_request {
    struct str recipient, purpose, category, consumer;
    int64_t at;
    const json_t *detail;
};
#define MEMBER(name, kind, required, max)                                                          \
    {                                                                                              \
#name, kind, offsetof(struct access_request, name), required, (max) ? 1 : 0, max           \
    }

static const struct json_field access_fields[] = {
    MEMBER(recipient, JSON_K_NAME, true, 0), MEMBER(purpose, JSON_K_NAME, true, 0),
    MEMBER(category, JSON_K_NAME, true, 0),  MEMBER(consumer, JSON_K_STRING, true, CONSUMER_ID_MAX),
    MEMBER(at, JSON_K_TIME, false, 0),       MEMBER(detail, JSON_K_ANY, false, 0),
};

struct report_request {
    const json_t *items;
};
static const struct json_field report_fields[] = {
    {"items", JSON_K_ARRAY, offsetof(struct report_request, items), true, 1, BATCH_MAX},
};

enum { DETAIL_MAX = 1024 };
#define COUNT(table) (sizeof(table) / sizeof *(table))

struct report {
    struct evaluation *items;
    size_t count;
};

/* ---- the answer ---- */

static void write_item(const struct evaluation *ev, struct jw *w)
{
    jw_object_start(w);
    jw_bool_member(w, "decision", ev->decision.permit);
    jw_cstr_member(w, "reason", decision_reason_name(ev->decision.reason));
    jw_key(w, "event");
    if (ev->write->job.rc >= 0) {
        jw_int(w, ev->write->out_seq);
    } else {
        jw_null(w);
        jw_key(w, "problem");
        problem_write(w, &ev->write->job.err);
    }
    jw_object_end(w);
}

static int answer_report(struct http_call *call)
{
    struct pending *p = call->work;
    const struct report *report = p->more;
    struct jw w = answer_start(call, 200);
    bool replayed = true;
    jw_object_start(&w);
    jw_array_member(&w, "items");
    for (size_t i = 0; i < report->count; i++) {
        evaluation_settle(api_of(call), &report->items[i]);
        write_item(&report->items[i], &w);
        replayed = replayed && report->items[i].write->replayed;
    }
    jw_array_end(&w);
    jw_object_end(&w);
    if (replayed)
        http_answer_header(call, "Idempotency-Replayed", STR("true"));
    return 0;
}

/* ---- the report ---- */

static int check_item(const struct http_call *call, const struct access_request *r, int64_t now,
                      struct err *err)
{
    struct str own = caller_of(call)->recipient;
    if (own.n && !str_eq(own, r->recipient))
        return err_reason(err, LOV_EFORBIDDEN, "forbidden",
                          "the key of a recipient reports that recipient's uses only");
    if (r->at != TIME_NONE && (r->at > now || r->at < now - REPORT_BACK_MS))
        return err_reason(err, LOV_EINVAL, "time_out_of_range",
                          "at: a time in the last 30 days, and not in the future");
    return 0;
}

static int read_item(struct http_call *call, const json_t *json, size_t i, struct pending *p,
                     struct evaluation *ev, struct err *err)
{
    struct access_request r = {.at = TIME_NONE};
    char path[32];
    int64_t now = clock_now();
    snprintf(path, sizeof path, "items[%zu]", i);
    int rc = json_take(json, access_fields, COUNT(access_fields), JSON_REFUSE_UNKNOWN, path,
                       &call->arena, &r, err);
    if (rc == 0)
        rc = check_item(call, &r, now, err);
    if (rc == 0)
        rc = request_json(&call->arena, r.detail, "detail", true, DETAIL_MAX, &p->writes[i].detail,
                          err);
    if (rc == 0)
        rc = request_idempotency(call, json, i, &p->writes[i], err);
    ev->record = true;
    ev->question = (struct question){
        .recipient = r.recipient,
        .purpose = r.purpose,
        .category = r.category,
        .consumer = r.consumer,
        .at = r.at == TIME_NONE ? now : r.at,
    };
    return rc;
}

/* All items are read before any is decided: a report with a fault in it records nothing. */
static int read_report(struct http_call *call, const json_t *items, struct pending *p,
                       struct report *report, struct err *err)
{
    int rc = 0;
    for (size_t i = 0; i < report->count && rc == 0; i++)
        rc = read_item(call, json_array_get(items, i), i, p, &report->items[i], err);
    for (size_t i = 0; i < report->count && rc == 0; i++) {
        evaluation_decide(api_of(call), p->rules, &report->items[i]);
        evaluation_record(&report->items[i], &p->writes[i]);
        p->writes[i].reported = true;
    }
    return rc;
}

int accesses_report(struct http_call *call)
{
    struct err err = {0};
    struct report_request request = {0};
    json_t *body = NULL;
    int rc = request_body(call, report_fields, COUNT(report_fields), JSON_REFUSE_UNKNOWN, &request,
                          &body, &err);
    if (rc)
        return answer_problem(call, &err);
    struct report *report = arena_alloc(&call->arena, sizeof *report);
    report->count = json_array_size(request.items);
    report->items = arena_array(&call->arena, report->count, sizeof *report->items);
    struct pending *p = pending_new(call, body, report->count);
    p->more = report;
    p->rules = engine_rules(api_of(call)->engine);
    rc = read_report(call, request.items, p, report, &err);
    if (rc == 0)
        return pending_submit(p, answer_report);
    pending_free(p);
    return answer_problem(call, &err);
}
