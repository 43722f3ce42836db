/* console_consumers.c - looking a consumer up: facts, consents and requests for the role, records
 * for a department and a purpose, through decide() and the view of the activity. The look is in the
 * ledger, in the consumer's own chain, before the page has a word; so it is a POST, which no other
 * site can make a browser send. */
#include <string.h>

#include "web/console.h"

enum { CONSUMER_MOST = 128, RECORDS_SHOWN = 30 };

/* ---- for whom, and what for ---- */

/* Is it one of their departments, and does it see rows? */
static bool is_theirs(const struct visit *v, const struct policy_activity *a)
{
    return a->view != VIEW_AGGREGATE && staff_list_has(v->desk->staff.recipients, a->recipient->id);
}

static const struct policy_activity *find_activity(const struct visit *v, struct str id)
{
    for (size_t i = 0; v->policy && i < v->policy->activity_count; i++)
        if (str_eq(v->policy->activities[i].id, id) && is_theirs(v, &v->policy->activities[i]))
            return &v->policy->activities[i];
    return NULL;
}

static void set_purposes(struct visit *v, struct str chosen)
{
    json_t *list = json_array();
    bool reads = may(v, MAY_READ_FOR_DEPARTMENT);
    for (size_t i = 0; reads && v->policy && i < v->policy->activity_count; i++) {
        const struct policy_activity *a = &v->policy->activities[i];
        if (!is_theirs(v, a))
            continue;
        json_t *view = json_object();
        set_activity_labels(v, view, a);
        set_true(view, "chosen", str_eq(a->id, chosen));
        json_array_append_new(list, view);
    }
    json_object_set_new(v->view, "purposes", list);
}

static int show_form(struct visit *v, int status, const char *problem, struct str activity)
{
    set_purposes(v, activity);
    set_text(v->view, "problem", problem ? word(v, problem) : (struct str){0});
    return visit_page(v, status, "console_consumers.html", "consumers");
}

int console_consumers(struct http_call *call)
{
    _cleanup_visit struct visit v = {0};
    if (!console_begin(call, &v))
        return 0;
    return show_form(&v, 200, NULL, (struct str){0});
}

/* ---- the look itself ---- */

static int write_look(struct engine_write *w, struct write_scope *scope, struct err *err)
{
    if (!scope->who)
        return err_reason(err, LOV_ENOTFOUND, "unknown_consumer", "there is no such consumer");
    const struct policy_activity *a = w->input;
    _cleanup_arena struct arena arena = {0};
    struct str activity = {0};
    if (a)
        activity =
            arena_printf(&arena, "%.*s/%.*s", STR_ARG(a->recipient->id), STR_ARG(a->purpose->id));
    return engine_append(scope, "staff.look", activity, STR("{}"), &w->out_seq, err);
}

/* Who looks at many is not looking for somebody: whatever the role, a look is one person's. */
static bool may_look(struct visit *v)
{
    struct sha256 hash = sha256_of(uid_str(&v->desk->staff.id));
    uint64_t key;
    memcpy(&key, hash.b, sizeof key);
    return limiter_take(v->web->looks, key, clock_monotonic()) == 0;
}

int desk_look(struct visit *v, struct str consumer, const struct policy_activity *a,
              struct err *err)
{
    if (!may_look(v))
        return err_reason(err, LOV_ELIMIT, "too_many_looks", "too many looks at consumers");
    struct engine_write w = {
        .kind = WRITE_OTHER,
        .actor = v->desk->actor,
        .arena = v->arena,
        .consumer = consumer,
        .expires_at = TIME_NONE,
        .given_at = TIME_NONE,
        .other = write_look,
        .input = a,
    };
    return engine_run(v->engine, &w, err);
}

/* ---- what is shown ---- */

static struct str target_of(struct visit *v, struct str consumer, const char *rest)
{
    _cleanup_buf struct buf target = {0};
    buf_cstr(&target, "/v1/consumers/");
    add_encoded(&target, consumer);
    buf_cstr(&target, rest);
    return arena_str(v->arena, buf_view(&target));
}

static void set_facts(struct visit *v, struct str consumer)
{
    static const char *const states[] = {"restricted", "opt_out_signal", "no_automated_decision"};
    int status;
    const json_t *c = desk_ask(v, "GET", target_of(v, consumer, ""), NULL, &status);
    json_t *list = json_array(), *view = json_object();
    set_text(view, "id", consumer);
    set_text(view, "residence", member(c, "residence"));
    for (size_t i = 0; i < sizeof states / sizeof *states; i++) {
        struct str text = word_of(v, "fact_", str_of(states[i]));
        if (json_is_true(json_object_get(c, states[i])))
            json_array_append_new(list, json_stringn(text.p, text.n));
    }
    json_object_set_new(view, "states", list);
    json_object_set_new(v->view, "one", view);
}

static void set_consents(struct visit *v, struct str consumer)
{
    int status;
    const json_t *consent;
    size_t i;
    const json_t *answer =
        desk_ask(v, "GET", target_of(v, consumer, "/consents?limit=1000"), NULL, &status);
    json_t *list = json_array();
    json_array_foreach(json_object_get(answer, "items"), i, consent) {
        struct str state = member(consent, "status");
        json_t *view = json_object();
        if (str_is(state, "superseded"))
            continue;
        set_text(view, "purpose", purpose_label(v, member(consent, "purpose")));
        set_text(view, "recipient", recipient_label(v, member(consent, "recipient")));
        set_text(view, "state", word_of(v, "consent_", state));
        set_true(view, "active", str_is(state, "active"));
        set_moment_of(v, view, "given", member(consent, "given_at"));
        set_moment_of(v, view, "until", member(consent, "expires_at"));
        json_array_insert_new(list, 0, view);
    }
    json_object_set_new(v->view, "consents", list);
    set_true(v->view, "sees_consents", status == 200);
}

static void set_requests(struct visit *v, struct str consumer)
{
    int status;
    const json_t *request;
    size_t i;
    const json_t *answer =
        desk_ask(v, "GET", target_of(v, consumer, "/requests?limit=1000"), NULL, &status);
    json_t *list = json_array();
    json_array_foreach(json_object_get(answer, "items"), i, request) {
        json_t *view = json_object();
        set_text(view, "id", member(request, "id"));
        set_text(view, "right", word_of(v, "right_", member(request, "right")));
        set_text(view, "state", word_of(v, "state_", member(request, "state")));
        set_moment_of(v, view, "due", member(request, "due_at"));
        json_array_insert_new(list, 0, view);
    }
    json_object_set_new(v->view, "asked", list);
    set_true(v->view, "sees_requests", status == 200);
}

/* One category as the view of the activity leaves it, or why it is denied. */
static json_t *read_category(struct visit *v, struct str consumer, const struct policy_activity *a,
                             const struct policy_category *c)
{
    int status;
    const json_t *record;
    size_t i;
    _cleanup_buf struct buf target = {0};
    buf_str(&target, target_of(v, consumer, "/records/"));
    buf_printf(&target, "%.*s?limit=%d&purpose=%.*s", STR_ARG(c->id), (int)RECORDS_SHOWN,
               STR_ARG(a->purpose->id));
    const json_t *answer = desk_ask_for(v, a->recipient->id, buf_view(&target), &status);
    json_t *view = json_object(), *records = json_array();
    set_text(view, "label", policy_text_in(v->policy, &c->label, v->language));
    json_array_foreach(json_object_get(answer, "items"), i, record) {
        json_t *one = json_object();
        json_object_set_new(one, "fields",
                            record_fields(v, c->id, json_object_get(record, "data")));
        json_array_append_new(records, one);
    }
    set_true(view, "more", member(answer, "next").n != 0);
    set_true(view, "seen", status == 200);
    if (status != 200)
        set_text(view, "reason", word_of(v, "reason_", member(answer, "reason")));
    json_object_set_new(view, "records", records);
    return view;
}

static void set_records(struct visit *v, struct str consumer, const struct policy_activity *a)
{
    json_t *list = json_array();
    for (size_t i = 0; i < a->category_count; i++)
        json_array_append_new(list, read_category(v, consumer, a, a->categories[i]));
    json_object_set_new(v->view, "categories", list);
    json_t *view = json_object();
    set_activity_labels(v, view, a);
    json_object_set_new(v->view, "reading", view);
}

int console_look(struct http_call *call)
{
    _cleanup_visit struct visit v = {0};
    struct err err = {0};
    struct str consumer = {0}, chosen = {0};
    const struct policy_activity *a = NULL;
    if (!console_post(call, &v))
        return 0;
    http_form(call, "consumer", CONSUMER_MOST, &consumer);
    http_form(call, "activity", 256, &chosen);
    consumer = str_trim(consumer);
    if (chosen.n) {
        a = may(&v, MAY_READ_FOR_DEPARTMENT) ? find_activity(&v, chosen) : NULL;
        if (!a)
            return visit_trouble(&v, 403, "oops_role");
    }
    if (!consumer.n)
        return show_form(&v, 404, "problem_unknown_consumer", chosen);
    int rc = desk_look(&v, consumer, a, &err);
    if (rc == LOV_ENOTFOUND || strcmp(err.reason, "erased") == 0)
        return show_form(&v, 404, "problem_unknown_consumer", chosen);
    if (rc == LOV_ELIMIT)
        return show_form(&v, 429, "problem_too_many_looks", chosen);
    if (rc)
        return visit_error(&v, &err);
    set_facts(&v, consumer);
    if (may(&v, MAY_READ_CONSENTS))
        set_consents(&v, consumer);
    if (may(&v, MAY_READ_REQUESTS))
        set_requests(&v, consumer);
    if (a)
        set_records(&v, consumer, a);
    return show_form(&v, 200, NULL, chosen);
}
