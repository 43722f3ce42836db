/* console_requests.c - what consumers have asked for: the queue by deadline, and one request with
 * the steps that it can take next. A step goes through the API, which carries out what it is about.
 */
#include <stdlib.h>
#include <string.h>

#include "rights/rights.h"
#include "web/console.h"

enum { QUEUE_MOST = 1000, PAGES_MOST = 20, NOTE_MOST = 4000 };

/* ---- the queue ---- */

static int by_deadline(const void *a, const void *b)
{
    return str_cmp(member(*(const json_t *const *)a, "due_at"),
                   member(*(const json_t *const *)b, "due_at"));
}

static void set_request(struct visit *v, json_t *view, const json_t *r)
{
    struct str state = member(r, "state"), reason = member(r, "reason");
    set_text(view, "id", member(r, "id"));
    set_text(view, "consumer", member(r, "consumer"));
    set_text(view, "right", word_of(v, "right_", member(r, "right")));
    set_text(view, "state", word_of(v, "state_", state));
    set_text(view, "channel", word_of(v, "channel_", member(r, "channel")));
    const struct policy_law *law = policy_law(v->policy, member(r, "law"));
    set_text(view, "law", law ? law->name : member(r, "law"));
    set_moment_of(v, view, "received", member(r, "received_at"));
    set_moment_of(v, view, "due", member(r, "due_at"));
    set_true(view, "overdue", json_is_true(json_object_get(r, "overdue")));
    set_true(view, "extended", json_is_true(json_object_get(r, "extended")));
    if (reason.n)
        set_text(view, "refusal", word_of(v, "refusal_", reason));
    set_text(view, "source", member(r, "source"));
}

/* Those that wait for an answer by deadline; of all others the latest first. */
static void set_queue(struct visit *v, const json_t *items, bool live)
{
    size_t count = json_array_size(items);
    const json_t **sorted = arena_array(v->arena, count + 1, sizeof *sorted);
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++)
        sorted[i] = json_array_get(items, live ? i : count - 1 - i);
    if (live)
        qsort(sorted, count, sizeof *sorted, by_deadline);
    for (size_t i = 0; i < count; i++) {
        json_t *view = json_object();
        set_request(v, view, sorted[i]);
        json_array_append_new(list, view);
    }
    json_object_set_new(v->view, "requests", list);
}

static void set_tabs(struct visit *v, struct str shown)
{
    static const char *const tabs[] = {"live", "fulfilled", "refused", "withdrawn"};
    json_t *list = json_array();
    for (size_t i = 0; i < sizeof tabs / sizeof *tabs; i++) {
        json_t *tab = json_object();
        set_text(tab, "state", str_of(tabs[i]));
        set_text(tab, "label", word_of(v, "queue_", str_of(tabs[i])));
        set_true(tab, "here", str_is(shown, tabs[i]));
        json_array_append_new(list, tab);
    }
    json_object_set_new(v->view, "tabs", list);
}

static void set_new_rights(struct visit *v)
{
    json_t *list = json_array();
    for (const char *const *right = policy_rights; *right; right++) {
        json_t *view = json_object();
        set_text(view, "id", str_of(*right));
        set_text(view, "label", word_of(v, "right_", str_of(*right)));
        json_array_append_new(list, view);
    }
    json_object_set_new(v->view, "rights", list);
}

static int show_queue(struct visit *v, int status, struct str problem)
{
    int got;
    struct str state = STR("live"), asked;
    if (http_query(v->call, "state", &asked) &&
        (str_is(asked, "fulfilled") || str_is(asked, "refused") || str_is(asked, "withdrawn")))
        state = asked;
    const json_t *answer = desk_ask(
        v, "GET",
        arena_printf(v->arena, "/v1/requests?state=%.*s&limit=%d", STR_ARG(state), (int)QUEUE_MOST),
        NULL, &got);
    if (got != 200)
        return desk_problem(v, got, answer);
    set_queue(v, json_object_get(answer, "items"), str_is(state, "live"));
    set_true(v->view, "more", member(answer, "next").n != 0);
    set_tabs(v, state);
    set_true(v->view, "may_open", may(v, MAY_OPEN_REQUESTS));
    set_new_rights(v);
    set_text(v->view, "problem", problem);
    return visit_page(v, status, "console_requests.html", "requests");
}

int console_requests(struct http_call *call)
{
    _cleanup_visit struct visit v = {0};
    if (!console_begin(call, &v))
        return 0;
    return show_queue(&v, 200, (struct str){0});
}

/* ---- recording one that came by phone or letter ---- */

int console_request_open(struct http_call *call)
{
    static const char *const fields[] = {"consumer", "right", "channel", "detail"};
    _cleanup_visit struct visit v = {0};
    int status;
    if (!console_post(call, &v))
        return 0;
    json_t *body = json_object();
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        struct str text = {0};
        if (http_form(call, fields[i], NOTE_MOST, &text) && str_trim(text).n)
            set_text(body, fields[i], str_trim(text));
    }
    const json_t *answer = desk_ask(&v, "POST", STR("/v1/requests"), body, &status);
    if (status == 201)
        return visit_go(
            call, arena_printf(v.arena, "/console/requests/%.*s", STR_ARG(member(answer, "id"))));
    if (status == 403 || status == 503)
        return desk_problem(&v, status, answer);
    return show_queue(&v, status, desk_problem_text(&v, answer));
}

/* ---- one request ---- */

/* Of an erasure of some categories: which. */
static void set_categories(struct visit *v, json_t *view, const json_t *r)
{
    const json_t *category;
    size_t i;
    json_t *list = json_array();
    json_array_foreach(json_object_get(r, "categories"), i, category) {
        struct str label = category_label(v, json_text(category));
        json_array_append_new(list, json_stringn(label.p, label.n));
    }
    set_true(view, "some", json_array_size(list) != 0);
    json_object_set_new(view, "categories", list);
}

static void set_notes(struct visit *v, json_t *view, const json_t *r)
{
    const json_t *note;
    size_t i;
    json_t *list = json_array();
    set_text(view, "detail", json_text(json_object_get(r, "detail")));
    json_array_foreach(json_object_get(r, "notes"), i, note) {
        json_t *line = json_object();
        set_text(line, "step", word_of(v, "did_", member(note, "step")));
        set_text(line, "note", member(note, "note"));
        json_array_append_new(list, line);
    }
    json_object_set_new(view, "notes", list);
}

/* The reasons that the law gives for refusing this right. */
static json_t *refusals_of(struct visit *v, const json_t *r)
{
    const struct policy_law *law = policy_law(v->policy, member(r, "law"));
    json_t *list = json_array();
    for (size_t i = 0; law && i < law->refusal_count; i++) {
        const struct policy_refusal *refusal = &law->refusals[i];
        if (!law_refusal(law, member(r, "right"), refusal->reason))
            continue;
        json_t *view = json_object();
        set_text(view, "reason", refusal->reason);
        set_text(view, "label", word_of(v, "refusal_", refusal->reason));
        set_text(view, "source", refusal->source);
        json_array_append_new(list, view);
    }
    return list;
}

/* The steps that it can take next, each a form. */
static void set_steps(struct visit *v, const json_t *r)
{
    static const enum request_step offered[] = {STEP_ASK_IDENTITY, STEP_VERIFY_IDENTITY,
                                                STEP_FULFIL,       STEP_EXTEND,
                                                STEP_REFUSE,       STEP_WITHDRAW};
    enum request_state state = REQUEST_CLOSED, next;
    struct str right = member(r, "right");
    bool erases = str_is(right, "erasure");
    if (erases && json_object_get(r, "categories"))
        right = STR("erasure_some");
    json_t *list = json_array();
    request_state_parse(member(r, "state"), &state);
    for (size_t i = 0; may(v, MAY_WRITE_REQUESTS) && i < sizeof offered / sizeof *offered; i++) {
        struct str name = str_of(request_step_name(offered[i]));
        if (!request_next(state, offered[i], &next) ||
            (offered[i] == STEP_FULFIL && erases && !may(v, MAY_ERASE)))
            continue;
        json_t *view = json_object();
        set_text(view, "step", name);
        set_text(view, "label", word_of(v, "step_do_", name));
        set_text(view, "help",
                 offered[i] == STEP_FULFIL ? word_of(v, "fulfil_", right)
                                           : word_of(v, "step_help_", name));
        set_true(view, "final", offered[i] == STEP_FULFIL && erases);
        if (offered[i] == STEP_REFUSE)
            json_object_set_new(view, "reasons", refusals_of(v, r));
        json_array_append_new(list, view);
    }
    json_object_set_new(v->view, "steps", list);
}

/* Who has had the data, was told, and has said that they heard. */
static void set_told(struct visit *v, struct str id)
{
    json_t *list = json_array();
    struct str after = {0};
    for (int page = 0; page < PAGES_MOST && (page == 0 || after.n); page++) {
        int status;
        const json_t *n;
        size_t i;
        const json_t *answer = desk_ask(v, "GET",
                                        arena_printf(v->arena, "/v1/notifications?limit=1000%s%.*s",
                                                     after.n ? "&after=" : "", STR_ARG(after)),
                                        NULL, &status);
        json_array_foreach(json_object_get(answer, "items"), i, n) {
            if (!str_eq(member(n, "request"), id))
                continue;
            json_t *view = json_object();
            set_text(view, "recipient", recipient_label(v, member(n, "recipient")));
            set_moment_of(v, view, "told", member(n, "at"));
            set_moment_of(v, view, "heard", member(n, "acknowledged_at"));
            json_array_append_new(list, view);
        }
        after = member(answer, "next");
    }
    set_true(v->view, "sees_told", true);
    json_object_set_new(v->view, "told", list);
}

/* The event that received a request is what names it. */
static bool is_about(struct visit *v, const json_t *event, struct str id)
{
    _cleanup_buf struct buf own = {0};
    if (str_eq(member(event, "request"), id))
        return true;
    consent_id_format(v->engine, (uint32_t)member_int(event, "shard"), member_int(event, "seq"),
                      &own);
    return str_eq(buf_view(&own), id);
}

/* What happened to it, as the consumer's chain of events has it. */
static void set_timeline(struct visit *v, struct str consumer, struct str id)
{
    _cleanup_buf struct buf target = {0};
    const json_t *event;
    size_t i;
    int status;
    json_t *list = json_array();
    buf_cstr(&target, "/v1/consumers/");
    add_encoded(&target, consumer);
    buf_cstr(&target, "/history?limit=1000");
    const json_t *answer = desk_ask(v, "GET", buf_view(&target), NULL, &status);
    json_array_foreach(json_object_get(answer, "items"), i, event) {
        struct str kind = member(event, "kind"), prefix = STR("request.");
        if (!str_starts(kind, prefix) || !is_about(v, event, id))
            continue;
        json_t *view = json_object();
        struct str step = {kind.p + prefix.n, kind.n - prefix.n};
        set_text(view, "what", word_of(v, "did_", step));
        set_text(view, "by", actor_text(v, member(event, "actor")));
        set_moment_of(v, view, "at", member(event, "at"));
        json_array_append_new(list, view);
    }
    json_object_set_new(v->view, "timeline", list);
}

static struct str target_of(struct visit *v, const char *step)
{
    _cleanup_buf struct buf target = {0};
    buf_cstr(&target, "/v1/requests/");
    add_encoded(&target, v->call->param[0]);
    if (*step)
        buf_printf(&target, "/%s", step);
    return arena_str(v->arena, buf_view(&target));
}

/* What one person asked for is data about them. False with the answer filled. */
static bool looked(struct visit *v, struct str consumer)
{
    struct err err = {0};
    int rc = desk_look(v, consumer, NULL, &err);
    if (rc == LOV_ELIMIT)
        visit_trouble(v, 429, "problem_too_many_looks");
    else if (rc)
        visit_error(v, &err);
    return rc == 0;
}

static int show_request(struct visit *v, int status, struct str problem)
{
    int got;
    const json_t *answer = desk_ask(v, "GET", target_of(v, ""), NULL, &got);
    if (got != 200)
        return desk_problem(v, got, answer);
    struct str id = member(answer, "id"), consumer = member(answer, "consumer");
    if (consumer.n && !looked(v, consumer))
        return 0;
    json_t *view = json_object();
    set_request(v, view, answer);
    set_categories(v, view, answer);
    set_notes(v, view, answer);
    json_object_set_new(v->view, "request", view);
    set_steps(v, answer);
    if (may(v, MAY_BE_TOLD))
        set_told(v, id);
    if (may(v, MAY_READ_HISTORY) && consumer.n)
        set_timeline(v, consumer, id);
    set_text(v->view, "title", word_of(v, "right_", member(answer, "right")));
    set_text(v->view, "problem", problem);
    return visit_page(v, status, "console_request.html", "requests");
}

int console_request(struct http_call *call)
{
    _cleanup_visit struct visit v = {0};
    if (!console_begin(call, &v))
        return 0;
    return show_request(&v, 200, (struct str){0});
}

static const char *step_of(struct str name)
{
    for (int step = 0; step < STEP_CLOSE; step++)
        if (str_is(name, request_step_name((enum request_step)step)))
            return request_step_name((enum request_step)step);
    return NULL;
}

int console_request_step(struct http_call *call)
{
    _cleanup_visit struct visit v = {0};
    struct str note = {0}, reason = {0};
    int status;
    if (!console_post(call, &v))
        return 0;
    const char *step = step_of(call->param[1]);
    struct str here = arena_printf(v.arena, "/console/requests/%.*s", STR_ARG(call->param[0]));
    if (!step || !str_eq(local_path(v.site, here, ""), here))
        return visit_trouble(&v, 404, "oops_missing");
    /* What cannot be undone needs somebody who has just shown who they are. */
    if (strcmp(step, request_step_name(STEP_FULFIL)) == 0 && !desk_proved(&v, here.p))
        return 0;
    json_t *body = json_object();
    if (http_form(call, "note", NOTE_MOST, &note) && str_trim(note).n)
        set_text(body, "note", str_trim(note));
    if (http_form(call, "reason", 64, &reason) && reason.n)
        set_text(body, "reason", reason);
    const json_t *answer = desk_ask(&v, "POST", target_of(&v, step), body, &status);
    if (status == 200)
        return visit_go(call, here);
    if (status == 403 || status == 404 || status == 503)
        return desk_problem(&v, status, answer);
    return show_request(&v, status, desk_problem_text(&v, answer));
}
