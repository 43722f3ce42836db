/* console_staff.c - who works with the console: inviting them, and changing what they are. Each
 * change takes a sign-in of the last minutes, so the forms are shown to whoever has one: what is
 * filled in is not lost to signing in again. */
#include <stdlib.h>
#include <string.h>

#include "web/console.h"

enum { STAFF_READ = 1000, DATE_CHARS = 10, HOURS_CHARS = 3, LINK_HOURS = 72 };

/* ---- what is chosen ---- */

static bool has(const json_t *names, struct str name)
{
    const json_t *one;
    size_t i;
    json_array_foreach(names, i, one)
        if (str_eq(json_text(one), name))
            return true;
    return false;
}

static void add_choice(struct visit *v, const char *list, struct str name, struct str label,
                       bool chosen)
{
    json_t *view = json_object();
    set_text(view, "name", name);
    set_text(view, "label", label);
    set_true(view, "chosen", chosen);
    json_array_append_new(json_object_get(v->view, list), view);
}

/* All roles and departments, those of a member chosen. */
static void set_choices(struct visit *v, const json_t *roles, const json_t *departments)
{
    uint64_t permissions;
    const char *role;
    json_object_set_new(v->view, "all_roles", json_array());
    json_object_set_new(v->view, "all_departments", json_array());
    for (size_t i = 0; (role = role_at(i, &permissions)); i++)
        if (permissions & MAY_USE_CONSOLE)
            add_choice(v, "all_roles", str_of(role), word_of(v, "role_", str_of(role)),
                       has(roles, str_of(role)));
    for (size_t i = 0; v->policy && i < v->policy->recipient_count; i++) {
        const struct policy_recipient *r = &v->policy->recipients[i];
        if (r->kind == RECIPIENT_DEPARTMENT)
            add_choice(v, "all_departments", r->id, recipient_label(v, r->id),
                       has(departments, r->id));
    }
}

static bool is_checked(struct visit *v, const char *prefix, struct str name)
{
    struct str said = {0};
    return http_form(v->call, arena_printf(v->arena, "%s%.*s", prefix, STR_ARG(name)).p, 1,
                     &said) &&
           said.n;
}

/* Those of set_choices() that the form has, as the API takes them. */
static json_t *checked_roles(struct visit *v)
{
    uint64_t permissions;
    const char *role;
    json_t *list = json_array();
    for (size_t i = 0; (role = role_at(i, &permissions)); i++)
        if (is_checked(v, "role-", str_of(role)))
            json_array_append_new(list, json_string(role));
    return list;
}

static json_t *checked_departments(struct visit *v)
{
    json_t *list = json_array();
    for (size_t i = 0; v->policy && i < v->policy->recipient_count; i++) {
        struct str id = v->policy->recipients[i].id;
        if (is_checked(v, "for-", id))
            json_array_append_new(list, json_stringn(id.p, id.n));
    }
    return list;
}

/* What the form says of a member, for the API; what is wrong in it, that one refuses. */
static json_t *form_body(struct visit *v)
{
    struct str trained = {0};
    json_t *body = json_object();
    json_object_set_new(body, "roles", checked_roles(v));
    json_object_set_new(body, "recipients", checked_departments(v));
    if (http_form(v->call, "trained_until", DATE_CHARS, &trained) && trained.n)
        set_text(body, "trained_until", trained);
    return body;
}

static void add_hours(struct visit *v, json_t *body)
{
    struct str text = {0};
    int64_t hours = LINK_HOURS;
    if (http_form(v->call, "hours", HOURS_CHARS, &text) && text.n)
        str_to_int(text, 0, INT32_MAX, &hours);
    set_int(body, "hours", hours);
}

/* ---- what they are ---- */

static struct str labels(struct visit *v, const json_t *names,
                         struct str (*label)(struct visit *v, struct str name))
{
    _cleanup_buf struct buf text = {0};
    const json_t *name;
    size_t i;
    json_array_foreach(names, i, name) {
        struct str one = label(v, json_text(name));
        buf_printf(&text, "%s%.*s", i ? ", " : "", STR_ARG(one));
    }
    return arena_str(v->arena, buf_view(&text));
}

static struct str role_label(struct visit *v, struct str role)
{
    return word_of(v, "role_", role);
}

static struct str department_label(struct visit *v, struct str id)
{
    return recipient_label(v, id);
}

static bool is_over(struct visit *v, const json_t *s)
{
    int32_t day;
    return !date_parse(member(s, "trained_until"), &day) ||
           date_start(day) + (int64_t)DAY_MS <= v->now;
}

static const char *state_of(struct visit *v, const json_t *s)
{
    if (member(s, "disabled_at").n)
        return "staff_disabled";
    if (!json_is_true(json_object_get(s, "has_account")))
        return "staff_invited";
    return is_over(v, s) ? "staff_untrained" : "staff_active";
}

static bool is_own(struct visit *v, const json_t *s)
{
    _cleanup_buf struct buf own = {0};
    hex_encode(v->desk->staff.id.b, sizeof v->desk->staff.id.b, &own);
    return str_eq(member(s, "id"), buf_view(&own));
}

static void set_member(struct visit *v, json_t *view, const json_t *s)
{
    int32_t day;
    int64_t from;
    set_text(view, "id", member(s, "id"));
    set_text(view, "name", member(s, "name"));
    set_text(view, "roles_text", labels(v, json_object_get(s, "roles"), role_label));
    set_text(view, "departments_text",
             labels(v, json_object_get(s, "recipients"), department_label));
    set_text(view, "state", word(v, state_of(v, s)));
    set_true(view, "own", is_own(v, s));
    set_true(view, "gone", member(s, "disabled_at").n != 0);
    if (date_parse(member(s, "trained_until"), &day)) {
        set_text(view, "trained", member(s, "trained_until"));
        set_text(view, "trained_text", day_text(v, day));
    }
    set_moment_of(v, view, "seen", member(s, "signed_in_at"));
    if (time_parse(member(s, "approves_from"), &from) && from > v->now)
        set_moment(v, view, "approves", from);
}

/* ---- the list ---- */

static int by_name(const void *a, const void *b)
{
    const json_t *left = *(const json_t *const *)a, *right = *(const json_t *const *)b;
    int gone = (member(left, "disabled_at").n != 0) - (member(right, "disabled_at").n != 0);
    return gone ? gone : str_cmp(member(left, "name"), member(right, "name"));
}

static void set_list(struct visit *v, const json_t *items)
{
    size_t count = json_array_size(items);
    const json_t **sorted = arena_array(v->arena, count + 1, sizeof *sorted);
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++)
        sorted[i] = json_array_get(items, i);
    qsort(sorted, count, sizeof *sorted, by_name);
    for (size_t i = 0; i < count; i++) {
        json_t *view = json_object();
        set_member(v, view, sorted[i]);
        json_array_append_new(list, view);
    }
    json_object_set_new(v->view, "members", list);
}

static void set_proved(struct visit *v)
{
    set_true(v->view, "proved", v->now - v->desk->session.proved_at <= PROOF_MS);
}

static int show_list(struct visit *v, int status, struct str problem, const json_t *asked)
{
    _cleanup_buf struct buf target = {0};
    struct str after = {0};
    int got;
    buf_printf(&target, "/v1/staff?limit=%d", STAFF_READ);
    if (http_query(v->call, "after", &after) && after.n) {
        buf_cstr(&target, "&after=");
        add_encoded(&target, after);
    }
    const json_t *answer = desk_ask(v, "GET", buf_view(&target), NULL, &got);
    if (got != 200)
        return desk_problem(v, got, answer);
    set_list(v, json_object_get(answer, "items"));
    set_text(v->view, "next", member(answer, "next"));
    set_choices(v, json_object_get(asked, "roles"), json_object_get(asked, "recipients"));
    set_text(v->view, "asked_name", member(asked, "name"));
    set_text(v->view, "asked_trained", member(asked, "trained_until"));
    set_int(v->view, "hours", LINK_HOURS);
    set_proved(v);
    set_text(v->view, "title", word(v, "desk_staff"));
    set_text(v->view, "problem", problem);
    return visit_page(v, status, "console_staff.html", "staff");
}

int console_staff(struct http_call *call)
{
    _cleanup_visit struct visit v = {0};
    if (!console_begin(call, &v))
        return 0;
    return show_list(&v, 200, (struct str){0}, NULL);
}

/* ---- one of them ---- */

static struct str target_of(struct visit *v, struct str id, const char *rest)
{
    _cleanup_buf struct buf target = {0};
    buf_cstr(&target, "/v1/staff/");
    add_encoded(&target, id);
    buf_cstr(&target, rest);
    return arena_str(v->arena, buf_view(&target));
}

/* The link that was made lately is in `made`; NULL: none was. */
static int show_member(struct visit *v, struct str id, int status, struct str problem,
                       const json_t *made)
{
    int got;
    const json_t *s = desk_ask(v, "GET", target_of(v, id, ""), NULL, &got);
    if (got != 200)
        return desk_problem(v, got, s);
    json_t *view = json_object();
    set_member(v, view, s);
    json_object_set_new(v->view, "member", view);
    set_choices(v, json_object_get(s, "roles"), json_object_get(s, "recipients"));
    if (made) {
        struct str url = visit_origin(v), path = member(made, "path");
        set_text(v->view, "link", arena_printf(v->arena, "%.*s%.*s", STR_ARG(url), STR_ARG(path)));
        set_moment_of(v, v->view, "good", member(made, "expires_at"));
    }
    set_int(v->view, "hours", LINK_HOURS);
    set_proved(v);
    set_text(v->view, "title", member(s, "name"));
    set_text(v->view, "problem", problem);
    return visit_page(v, status, "console_member.html", "staff");
}

int console_member(struct http_call *call)
{
    _cleanup_visit struct visit v = {0};
    if (!console_begin(call, &v))
        return 0;
    return show_member(&v, call->param[0], 200, (struct str){0}, NULL);
}

int console_invite(struct http_call *call)
{
    _cleanup_visit struct visit v = {0};
    struct str name = {0};
    int status;
    if (!console_post(call, &v) || !desk_proved(&v, "/console/staff"))
        return 0;
    json_t *body = form_body(&v);
    http_form(call, "name", STAFF_NAME_MAX, &name);
    set_text(body, "name", name);
    add_hours(&v, body);
    json_incref(body);
    const json_t *answer = desk_ask(&v, "POST", STR("/v1/staff"), body, &status);
    int rc = status == 201 ? show_member(&v, member(answer, "id"), 200, (struct str){0}, answer)
                           : show_list(&v, status, desk_problem_text(&v, answer), body);
    json_decref(body);
    return rc;
}

/* ---- changes ---- */

/* What a form of the member's page asks the API for; `body` makes what it sends. */
struct step {
    const char *rest;
    json_t *(*body)(struct visit *v);
};

static json_t *link_body(struct visit *v)
{
    json_t *body = json_object();
    add_hours(v, body);
    return body;
}

static json_t *no_body(struct visit *v)
{
    (void)v;
    return NULL;
}

static int take_step(struct http_call *call, const struct step *step)
{
    _cleanup_visit struct visit v = {0};
    int status;
    if (!console_post(call, &v))
        return 0;
    struct str here = arena_printf(v.arena, "/console/staff/%.*s", STR_ARG(call->param[0]));
    if (!str_eq(local_path(v.site, here, ""), here))
        return visit_trouble(&v, 404, "oops_missing");
    if (!desk_proved(&v, here.p))
        return 0;
    const json_t *answer =
        desk_ask(&v, "POST", target_of(&v, call->param[0], step->rest), step->body(&v), &status);
    if (status == 201)
        return show_member(&v, call->param[0], 200, (struct str){0}, answer);
    if (status == 200)
        return visit_go(call, here);
    if (status == 404 || status == 503)
        return desk_problem(&v, status, answer);
    return show_member(&v, call->param[0], status, desk_problem_text(&v, answer), NULL);
}

int console_member_change(struct http_call *call)
{
    return take_step(call, &(struct step){"/change", form_body});
}

int console_member_link(struct http_call *call)
{
    return take_step(call, &(struct step){"/invitations", link_body});
}

int console_member_disable(struct http_call *call)
{
    return take_step(call, &(struct step){"/disable", no_body});
}
