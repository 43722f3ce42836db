/* console_reads.c - reads of many: proposed by one person, approved by another one, and then taken
 * along as a file, once, by who proposed it. The file is the API's own answer, which leaves in
 * parts, so that it may be as long as it is. */
#include <string.h>

#include "web/console.h"

enum { SHOWN = 50, WHY_MOST = 2000 };

static const char *const formats[] = {"jsonl", "csv", "ids"};
enum { FORMATS = sizeof formats / sizeof *formats };

/* What the form asks for. */
struct wish {
    struct str what; /* "recipient purpose category" */
    struct str format, why;
};

/* ---- what is shown of one ---- */

static void set_read(struct visit *v, json_t *view, const json_t *r)
{
    struct str state = member(r, "state");
    const json_t *people = json_object_get(r, "people");
    set_text(view, "id", member(r, "id"));
    set_text(view, "state", word_of(v, "read_", state));
    set_true(view, "open", str_is(state, "open"));
    set_true(view, "waits", str_is(state, "open") || str_is(state, "approved"));
    set_true(view, "own", json_is_true(json_object_get(r, "own")));
    set_text(view, "recipient", recipient_label(v, member(r, "recipient")));
    set_text(view, "purpose", purpose_label(v, member(r, "purpose")));
    set_text(view, "category", category_label(v, member(r, "category")));
    set_text(view, "format", word_of(v, "read_format_", member(r, "format")));
    set_true(view, "ids", str_is(member(r, "format"), "ids"));
    set_text(view, "why", member(r, "why"));
    set_text(view, "hash", member(r, "hash"));
    set_text(view, "by", actor_text(v, member(r, "proposed_by")));
    set_moment_of(v, view, "at", member(r, "proposed_at"));
    set_moment_of(v, view, "expires", member(r, "expires_at"));
    if (json_is_integer(people))
        set_text(view, "people",
                 arena_printf(v->arena, "%lld", (long long)json_integer_value(people)));
    if (member(r, "decided_by").n)
        set_text(view, "decided_by", actor_text(v, member(r, "decided_by")));
    set_moment_of(v, view, "decided", member(r, "decided_at"));
    set_moment_of(v, view, "used", member(r, "used_at"));
}

/* ---- the list, and the form that proposes one ---- */

static json_t *choice_of(struct visit *v, const struct policy_activity *a,
                         const struct policy_category *c, struct str chosen)
{
    json_t *view = json_object();
    struct str value = arena_printf(v->arena, "%.*s %.*s %.*s", STR_ARG(a->recipient->id),
                                    STR_ARG(a->purpose->id), STR_ARG(c->id));
    set_text(view, "value", value);
    set_text(view, "label", policy_text_in(v->policy, &c->label, v->language));
    set_true(view, "chosen", str_eq(value, chosen));
    return view;
}

/* What activities see rows of, each with its categories. */
static void set_choices(struct visit *v, const struct wish *wish)
{
    json_t *list = json_array();
    for (size_t i = 0; v->policy && i < v->policy->activity_count; i++) {
        const struct policy_activity *a = &v->policy->activities[i];
        if (a->view == VIEW_AGGREGATE)
            continue;
        json_t *view = json_object(), *categories = json_array();
        set_activity_labels(v, view, a);
        for (size_t k = 0; k < a->category_count; k++)
            json_array_append_new(categories, choice_of(v, a, a->categories[k], wish->what));
        json_object_set_new(view, "choices", categories);
        json_array_append_new(list, view);
    }
    json_object_set_new(v->view, "activities", list);
    list = json_array();
    for (size_t i = 0; i < FORMATS; i++) {
        json_t *view = json_object();
        set_text(view, "id", str_of(formats[i]));
        set_text(view, "label", word_of(v, "read_format_", str_of(formats[i])));
        set_true(view, "chosen", str_is(wish->format, formats[i]));
        json_array_append_new(list, view);
    }
    json_object_set_new(v->view, "formats", list);
    set_text(v->view, "why", wish->why);
    set_true(v->view, "may_propose", true);
}

static int show_reads(struct visit *v, int status, const struct wish *wish, struct str problem)
{
    int got;
    size_t i;
    const json_t *item;
    struct str after = {0};
    _cleanup_buf struct buf target = {0};
    buf_printf(&target, "/v1/reads?limit=%d", (int)SHOWN);
    if (http_query(v->call, "after", &after) && after.n) {
        buf_cstr(&target, "&after=");
        add_encoded(&target, after);
    }
    const json_t *answer = desk_ask(v, "GET", buf_view(&target), NULL, &got);
    if (got != 200)
        return got == 400 ? visit_trouble(v, 404, "oops_missing") : desk_problem(v, got, answer);
    json_t *list = json_array();
    json_array_foreach(json_object_get(answer, "items"), i, item) {
        json_t *view = json_object();
        set_read(v, view, item);
        json_array_append_new(list, view);
    }
    json_object_set_new(v->view, "reads", list);
    set_text(v->view, "next", member(answer, "next"));
    set_text(v->view, "problem", problem);
    if (may(v, MAY_READ_RECORDS))
        set_choices(v, wish);
    return visit_page(v, status, "console_reads.html", "reads");
}

int console_reads(struct http_call *call)
{
    _cleanup_visit struct visit v = {0};
    struct wish wish = {0};
    if (!console_begin(call, &v))
        return 0;
    return show_reads(&v, 200, &wish, (struct str){0});
}

/* ---- proposing ---- */

/* The reason is one paragraph: the API takes no line breaks in it. */
static struct str one_line(struct visit *v, struct str text)
{
    _cleanup_buf struct buf line = {0};
    text = str_trim(text);
    for (size_t i = 0; i < text.n; i++) {
        bool space = text.p[i] == '\r' || text.p[i] == '\n' || text.p[i] == '\t';
        if (!space)
            buf_char(&line, text.p[i]);
        else if (text.p[i] != '\r')
            buf_char(&line, ' ');
    }
    return arena_str(v->arena, buf_view(&line));
}

int console_read_propose(struct http_call *call)
{
    _cleanup_visit struct visit v = {0};
    struct wish wish = {0};
    int status;
    if (!console_post(call, &v))
        return 0;
    http_form(call, "what", 256, &wish.what);
    http_form(call, "format", 16, &wish.format);
    http_form(call, "why", WHY_MOST, &wish.why);
    wish.why = one_line(&v, wish.why);
    struct str rest = wish.what;
    json_t *body = json_object();
    set_text(body, "recipient", str_cut(&rest, ' '));
    set_text(body, "purpose", str_cut(&rest, ' '));
    set_text(body, "category", rest);
    set_text(body, "format", wish.format);
    set_text(body, "why", wish.why);
    const json_t *answer = desk_ask(&v, "POST", STR("/v1/reads"), body, &status);
    if (status == 201)
        return visit_go(
            call, arena_printf(v.arena, "/console/reads/%.*s", STR_ARG(member(answer, "id"))));
    if (status == 503)
        return desk_problem(&v, status, answer);
    return show_reads(&v, status, &wish, desk_problem_text(&v, answer));
}

/* ---- one of them ---- */

static struct str read_target(struct visit *v, const char *rest)
{
    _cleanup_buf struct buf target = {0};
    buf_cstr(&target, "/v1/reads/");
    add_encoded(&target, v->call->param[0]);
    buf_cstr(&target, rest);
    return arena_str(v->arena, buf_view(&target));
}

static int show_read(struct visit *v, int status, struct str problem)
{
    int got;
    const json_t *answer = desk_ask(v, "GET", read_target(v, ""), NULL, &got);
    if (got != 200)
        return desk_problem(v, got, answer);
    json_t *view = json_object();
    struct str state = member(answer, "state");
    bool own = json_is_true(json_object_get(answer, "own"));
    bool decides = str_is(state, "open") && may(v, MAY_APPROVE_READS);
    set_read(v, view, answer);
    json_object_set_new(v->view, "read", view);
    set_true(v->view, "may_decide", decides);
    set_true(v->view, "may_approve", decides && !own);
    set_true(v->view, "may_take", str_is(state, "approved") && own && may(v, MAY_READ_RECORDS));
    set_text(v->view, "title", word(v, "read_title"));
    set_text(v->view, "problem", problem);
    return visit_page(v, status, "console_read.html", "reads");
}

int console_read(struct http_call *call)
{
    _cleanup_visit struct visit v = {0};
    if (!console_begin(call, &v))
        return 0;
    return show_read(&v, 200, (struct str){0});
}

/* A POST of a read's page, by whoever has lately signed in; false with the answer filled. */
static bool begin_act(struct http_call *call, struct visit *v, struct str *here)
{
    if (!console_post(call, v))
        return false;
    *here = arena_printf(v->arena, "/console/reads/%.*s", STR_ARG(call->param[0]));
    if (str_eq(local_path(v->site, *here, ""), *here))
        return desk_proved(v, here->p);
    visit_trouble(v, 404, "oops_missing");
    return false;
}

static int decide_read(struct http_call *call, const char *step, bool approve)
{
    _cleanup_visit struct visit v = {0};
    struct str hash = {0}, here;
    int status;
    if (!begin_act(call, &v, &here))
        return 0;
    json_t *body = json_object();
    http_form(call, "hash", 64, &hash);
    if (approve)
        set_text(body, "hash", hash);
    const json_t *answer = desk_ask(&v, "POST", read_target(&v, step), body, &status);
    if (status == 200)
        return visit_go(call, here);
    if (status == 404 || status == 503)
        return desk_problem(&v, status, answer);
    return show_read(&v, status, desk_problem_text(&v, answer));
}

int console_read_approve(struct http_call *call)
{
    return decide_read(call, "/approve", true);
}

int console_read_reject(struct http_call *call)
{
    return decide_read(call, "/reject", false);
}

/* ---- its file ---- */

/* Once the API answers, a problem is a page all the same, with the headers of one. */
static int file_refused(struct http_call *call, int status, const char *reason, const char *detail)
{
    _cleanup_visit struct visit v = {0};
    call->out_headers = NULL;
    if (!console_begin(call, &v))
        return 0;
    json_t *problem = json_object();
    set_text(problem, "reason", str_of(reason));
    set_text(problem, "detail", str_of(detail));
    set_text(v.view, "title", word(&v, "oops_title"));
    set_text(v.view, "what", desk_problem_text(&v, problem));
    json_decref(problem);
    return visit_page(&v, status, "oops.html", "reads");
}

int console_read_file(struct http_call *call)
{
    _cleanup_visit struct visit v = {0};
    struct str here;
    if (!begin_act(call, &v, &here))
        return 0;
    struct api_asker asker = {.role = v.desk->session.role, .actor = v.desk->actor};
    visit_headers(call);
    call->problem = file_refused;
    return api_answer_as(call, &asker, read_target(&v, "/result").p);
}
