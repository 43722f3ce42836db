/* console_visit.c - who sits at the desk, and how they ask the API. */
#include "web/console.h"

#include <stdlib.h>
#include <string.h>

static void console_menu(struct visit *v, const char *page)
{
    static const struct {
        const char *name, *path;
        uint64_t allow;
    } entries[] = {
        {"today", "/console", MAY_USE_CONSOLE},
        {"policy", "/console/policy", MAY_READ_POLICY},
        {"requests", "/console/requests", MAY_READ_REQUESTS},
        {"reads", "/console/reads", MAY_READ_PROPOSALS},
        {"recipients", "/console/recipients", MAY_READ_EVENTS},
        {"consumers", "/console/consumers", MAY_READ_CONSUMERS},
        {"log", "/console/log", MAY_READ_EVENTS},
        {"reports", "/console/reports", MAY_READ_EVENTS | MAY_READ_REQUESTS},
        {"staff", "/console/staff", MAY_MANAGE_STAFF},
        {"account", "/console/account", MAY_USE_CONSOLE},
    };
    json_t *menu = json_array();
    for (size_t i = 0; i < sizeof entries / sizeof *entries; i++) {
        if (!may(v, entries[i].allow))
            continue;
        json_t *entry = json_object();
        set_text(entry, "path", str_of(entries[i].path));
        set_text(entry, "label", word_of(v, "desk_", str_of(entries[i].name)));
        set_true(entry, "here", strcmp(entries[i].name, page) == 0);
        json_array_append_new(menu, entry);
    }
    json_object_set_new(v->view, "menu", menu);
}

const struct site console_site = {"/console", "console_layout.html", "lov-staff", console_menu};

/* ---- opening ---- */

void console_open(struct http_call *call, struct visit *v)
{
    visit_open(call, v);
    v->site = &console_site;
    for (size_t i = 0; i < v->web->word_count; i++)
        if (v->words == v->web->words[i].json)
            v->words = v->web->words[i].console;
    json_object_set(v->view, "t", (json_t *)v->words);
    set_text(v->view, "home", str_of(v->site->root));
}

static int read_session(struct visit *v, struct db *db, struct desk *desk, struct err *err)
{
    struct sha256 digest = sha256_of(v->token);
    struct staff_session *s = &desk->session;
    int rc = staff_session_find(db, &digest, v->arena, s, err);
    if (rc != 1)
        return rc;
    if (v->now - s->seen_at > STAFF_IDLE_MS || v->now - s->created_at > STAFF_MOST_MS)
        return 0;
    rc = staff_get(engine_identity(v->engine), db, &s->staff, v->arena, &desk->staff, err);
    if (rc == 1 &&
        (desk->staff.disabled_at != TIME_NONE || !staff_list_has(desk->staff.roles, s->role)))
        return 0;
    return rc;
}

int console_find(struct visit *v, struct err *err)
{
    struct desk *desk = arena_alloc(v->arena, sizeof *desk);
    struct db *db;
    v->token = visit_cookie(v, v->site->cookie);
    if (v->token.n != TOKEN_CHARS)
        return 0;
    int rc = db_pool_get(engine_identities(v->engine), &db, err);
    if (rc)
        return rc;
    rc = read_session(v, db, desk, err);
    db_pool_put(engine_identities(v->engine), db);
    if (rc != 1)
        return rc;
    _cleanup_buf struct buf id = {0};
    hex_encode(desk->staff.id.b, sizeof desk->staff.id.b, &id);
    role_find(desk->session.role, &desk->permissions);
    desk->actor = arena_printf(v->arena, "staff:%.*s/%.*s", STR_ARG(desk->session.role),
                               STR_ARG(buf_view(&id)));
    v->desk = desk;
    set_text(v->view, "csrf", form_token(v, "desk", v->token));
    return 1;
}

/* ---- staying ---- */

struct staying {
    struct engine_write w;
    struct arena arena;
    struct staff_session session;
};

static void stayed(struct engine_write *w)
{
    struct staying *s = (struct staying *)w;
    arena_free(&s->arena);
    free(s);
}

static int touch(struct engine_write *w, struct write_scope *scope, struct err *err)
{
    struct staying *s = (struct staying *)w;
    int rc = staff_session_touch(scope->identities, &s->session, err);
    return rc ? rc
              : staff_session_sweep(scope->identities, scope->now - STAFF_IDLE_MS,
                                    scope->now - STAFF_MOST_MS, err);
}

/* At most once a minute, and nobody waits for it. */
static void keep_alive(struct visit *v)
{
    enum { MINUTE = 60000 };
    if (v->now - v->desk->session.seen_at < MINUTE)
        return;
    struct staying *s = mem_zero(sizeof *s);
    s->session = v->desk->session;
    s->session.seen_at = v->now;
    s->w = (struct engine_write){
        .kind = WRITE_OTHER,
        .actor = STR("console"),
        .arena = &s->arena,
        .other = touch,
        .expires_at = TIME_NONE,
        .given_at = TIME_NONE,
        .done = stayed,
    };
    engine_submit(v->engine, &s->w);
}

/* ---- beginning ---- */

static void set_desk(struct visit *v)
{
    struct str roles = v->desk->staff.roles;
    json_t *list = json_array();
    while (roles.n) {
        struct str role = staff_list_next(&roles);
        json_t *entry = json_object();
        set_text(entry, "role", role);
        set_text(entry, "label", word_of(v, "role_", role));
        set_true(entry, "here", str_eq(role, v->desk->session.role));
        json_array_append_new(list, entry);
    }
    v->signed_in = true;
    set_true(v->view, "signed_in", true);
    set_text(v->view, "staff", v->desk->staff.name);
    set_text(v->view, "role", word_of(v, "role_", v->desk->session.role));
    set_true(v->view, "several", json_array_size(list) > 1);
    json_object_set_new(v->view, "roles", list);
}

/* To the page that lets them in, and from there to where they wanted to go. */
static bool send_to(struct visit *v, const char *page)
{
    bool get = str_is(v->call->method, "GET") && !str_is(v->call->path, v->site->root);
    struct str next = get ? local_path(v->site, v->call->path, "") : (struct str){0};
    visit_go(v->call, arena_printf(v->arena, "/console/%s%s%.*s", page, next.n ? "?next=" : "",
                                   STR_ARG(next)));
    return false;
}

/* With a session that is whole. */
static bool begin_any(struct http_call *call, struct visit *v)
{
    struct err err = {0};
    console_open(call, v);
    int rc = console_find(v, &err);
    if (rc < 0) {
        visit_error(v, &err);
        return false;
    }
    if (rc == 0)
        return send_to(v, "sign-in");
    if (v->desk->session.proved_at == 0)
        return send_to(v, "second");
    keep_alive(v);
    return true;
}

static bool refuse_untrained(struct visit *v)
{
    set_text(v->view, "title", word(v, "training_title"));
    set_text(v->view, "training_url", v->web->training_url);
    if (v->desk->staff.trained_until != TIME_NONE)
        set_text(v->view, "ended",
                 day_text(v, (int32_t)(v->desk->staff.trained_until / DAY_MS) - 1));
    visit_page(v, 403, "console_training.html", "");
    return false;
}

static bool check_desk(struct visit *v)
{
    if (v->desk->staff.trained_until == TIME_NONE || v->now >= v->desk->staff.trained_until)
        return refuse_untrained(v);
    set_desk(v);
    if (may(v, MAY_USE_CONSOLE | v->call->route->allow))
        return true;
    visit_trouble(v, 403, "oops_role");
    return false;
}

bool console_begin(struct http_call *call, struct visit *v)
{
    return begin_any(call, v) && check_desk(v);
}

bool console_post_any(struct http_call *call, struct visit *v)
{
    if (!begin_any(call, v))
        return false;
    if (form_fits(v, form_token(v, "desk", v->token)))
        return true;
    visit_trouble(v, 403, "oops_form");
    return false;
}

bool console_post(struct http_call *call, struct visit *v)
{
    return console_post_any(call, v) && check_desk(v);
}

bool console_upload(struct http_call *call, struct visit *v, size_t most, struct multipart **parts,
                    size_t *count)
{
    struct err err = {0};
    if (!begin_any(call, v))
        return false;
    if (multipart_read(http_header(call, "Content-Type"), call->body, most, v->arena, parts, count,
                       &err) ||
        !token_fits(v, multipart_field(*parts, *count, "csrf"), form_token(v, "desk", v->token))) {
        visit_trouble(v, 403, "oops_form");
        return false;
    }
    return check_desk(v);
}

bool desk_proved(struct visit *v, const char *next)
{
    if (v->now - v->desk->session.proved_at <= PROOF_MS)
        return true;
    visit_go(v->call, arena_printf(v->arena, "/console/sign-in?again=1&next=%s", next));
    return false;
}

int console_language(struct http_call *call)
{
    return visit_language(call, &console_site);
}

int console_missing(struct http_call *call)
{
    _cleanup_visit struct visit v = {0};
    if (!console_begin(call, &v))
        return 0;
    return visit_trouble(&v, 404, "oops_missing");
}

/* ---- writes ---- */

struct web_write *desk_write(struct visit *v, void *more,
                             int (*other)(struct engine_write *, struct write_scope *,
                                          struct err *))
{
    struct web_write *w = web_write_new(v, WRITE_OTHER);
    w->w.consumer = (struct str){0};
    w->w.actor = v->desk ? v->desk->actor : STR("console");
    w->w.other = other;
    w->more = more;
    return w;
}

int desk_written(struct http_call *call, struct str path)
{
    struct web_write *w = call->work;
    _cleanup_visit struct visit v = {0};
    if (!w->w.job.rc)
        return visit_go(call, path);
    console_open(call, &v);
    return visit_error(&v, &w->w.job.err);
}

/* ---- asking the API ---- */

struct str member(const json_t *object, const char *name)
{
    const json_t *text = json_object_get(object, name);
    return json_is_string(text) ? json_text(text) : (struct str){0};
}

int64_t member_int(const json_t *object, const char *name)
{
    return json_integer_value(json_object_get(object, name));
}

/* A colleague's name, where the end of the actor is one of the staff's. */
static struct str staff_name(struct visit *v, struct str id)
{
    struct uid uid;
    struct staff found;
    struct err err = {0};
    struct db *db;
    struct str key = arena_printf(v->arena, "%.*s %.*s", STR_ARG(word(v, "a_key")), STR_ARG(id));
    if (!hex_decode(id, uid.b, sizeof uid.b) ||
        db_pool_get(engine_identities(v->engine), &db, &err))
        return key;
    int rc = staff_get(engine_identity(v->engine), db, &uid, v->arena, &found, &err);
    db_pool_put(engine_identities(v->engine), db);
    return rc == 1 ? found.name : key;
}

struct str actor_text(struct visit *v, struct str actor)
{
    struct str rest = actor, kind = str_cut(&rest, ':'), who = str_cut(&rest, '/');
    if (str_is(kind, "recipient"))
        return recipient_label(v, who);
    if (!str_is(kind, "staff"))
        return word_of(v, "actor_", kind);
    return arena_printf(v->arena, "%.*s, %.*s", STR_ARG(staff_name(v, rest)),
                        STR_ARG(word_of(v, "role_", who)));
}

int64_t permille(int64_t part, int64_t whole)
{
    return whole > 0 && part > 0 ? (part < whole ? part * 1000 / whole : 1000) : 0;
}

void set_moment_of(struct visit *v, json_t *view, const char *name, struct str rfc3339)
{
    int64_t at;
    if (rfc3339.n && time_parse(rfc3339, &at))
        set_moment(v, view, name, at);
}

void add_encoded(struct buf *out, struct str text)
{
    for (size_t i = 0; i < text.n; i++)
        buf_printf(out, "%%%02X", (unsigned char)text.p[i]);
}

static const json_t *ask(struct visit *v, const struct api_asker *asker, const char *method,
                         struct str target, struct str body, int *status)
{
    json_t *answer = NULL, *kept = json_object_get(v->view, "answers");
    struct http_call *inner =
        api_ask_as(v->call, asker, method, arena_str(v->arena, target).p, body);
    *status = inner->status;
    if (json_read(buf_view(&inner->out), &answer, NULL) || !json_is_object(answer)) {
        json_decref(answer);
        answer = json_object();
    }
    http_call_free(inner);
    if (!kept) {
        kept = json_array();
        json_object_set_new(v->view, "answers", kept);
    }
    json_array_append_new(kept, answer);
    return answer;
}

const json_t *desk_ask(struct visit *v, const char *method, struct str target, json_t *body,
                       int *status)
{
    struct api_asker asker = {.role = v->desk->session.role, .actor = v->desk->actor};
    _cleanup_buf struct buf text = {0};
    if (body)
        json_canonical(body, &text);
    json_decref(body);
    return ask(v, &asker, method, target, buf_view(&text), status);
}

const json_t *desk_ask_for(struct visit *v, struct str recipient, struct str target, int *status)
{
    struct api_asker asker = {
        .role = v->desk->session.role, .actor = v->desk->actor, .recipient = recipient};
    return ask(v, &asker, "GET", target, (struct str){0}, status);
}

struct str desk_problem_text(struct visit *v, const json_t *problem)
{
    struct str reason = member(problem, "reason");
    struct str text = word_or(v, "problem_", reason, (struct str){0});
    if (!text.n)
        text = word_or(v, "reason_", reason, (struct str){0});
    if (text.n)
        return text;
    struct str detail = member(problem, "detail");
    return detail.n ? detail : word(v, "oops_failed");
}

int desk_problem(struct visit *v, int status, const json_t *problem)
{
    if (status == 403)
        return visit_trouble(v, 403, "oops_role");
    if (status == 404)
        return visit_trouble(v, 404, "oops_missing");
    if (status == 503)
        return visit_trouble(v, 503, "oops_busy");
    set_text(v->view, "title", word(v, "oops_title"));
    set_text(v->view, "what", desk_problem_text(v, problem));
    return visit_page(v, status ? status : 500, "oops.html", "");
}
