/* visit.c - who a request is from, and the answer to it. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "api/receipt_page.h"
#include "notify/notify.h"
#include "web/private.h"

/* ---- cookies and tokens ---- */

/* "__Host-" binds a cookie to this host over HTTPS (RFC 6265bis §4.1.3.2); on plain HTTP browsers
 * refuse it, so the name there is another one. */
static const char *cookie_name(const struct web *web, const char *name, char out[40])
{
    snprintf(out, 40, "%s%s", web->secure ? "__Host-" : "", name);
    return out;
}

void set_cookie(struct http_call *call, const struct web *web, const char *name, struct str value,
                int64_t seconds)
{
    char full[40];
    struct str age = seconds >= 0 ? arena_printf(&call->arena, "; Max-Age=%lld", (long long)seconds)
                                  : (struct str){0};
    http_answer_header(call, "Set-Cookie",
                       arena_printf(&call->arena, "%s=%.*s; Path=/; HttpOnly; SameSite=Lax%s%.*s",
                                    cookie_name(web, name, full), STR_ARG(value),
                                    web->secure ? "; Secure" : "", STR_ARG(age)));
}

static struct str get_cookie(struct http_call *call, const struct web *web, const char *name)
{
    char full[40];
    return http_cookie(call, cookie_name(web, name, full));
}

struct str visit_cookie(struct visit *v, const char *name)
{
    return get_cookie(v->call, v->web, name);
}

struct str visit_origin(struct visit *v)
{
    if (v->web->base_url.n)
        return v->web->base_url;
    return arena_printf(v->arena, "http%s://%.*s", v->web->secure ? "s" : "",
                        STR_ARG(http_header(v->call, "Host")));
}

struct str new_token(struct arena *arena)
{
    uint8_t bytes[TOKEN_BYTES];
    _cleanup_buf struct buf text = {0};
    random_bytes(bytes, sizeof bytes);
    base64url_encode(bytes, sizeof bytes, &text);
    return arena_str(arena, buf_view(&text));
}

struct str form_token(struct visit *v, const char *use, struct str token)
{
    struct str nul = {"", 1};
    struct str parts[] = {{(const char *)v->web->csrf_key.b, TOKEN_BYTES}, str_of(use), nul, token};
    struct sha256 hash = sha256_parts(parts, 4);
    _cleanup_buf struct buf text = {0};
    base64url_encode(hash.b, sizeof hash.b, &text);
    return arena_str(v->arena, buf_view(&text));
}

/* ---- language ---- */

static const struct words *find_words(const struct web *web, struct str language)
{
    for (size_t i = 0; i < web->word_count; i++)
        if (language.n == web->words[i].language.n &&
            strncasecmp(language.p, web->words[i].language.p, language.n) == 0)
            return &web->words[i];
    return NULL;
}

/* What they chose, or what their browser would rather have ("sv-FI" is Swedish: RFC 4647 §3.4). */
static const struct words *wanted_words(struct visit *v)
{
    const struct words *best = find_words(v->web, http_cookie(v->call, "lov-language"));
    struct str list = http_header(v->call, "Accept-Language"), name;
    int weight, most = 0;
    if (best)
        return best;
    while (http_accept_next(&list, &name, &weight)) {
        const struct words *w = find_words(v->web, str_cut(&name, '-'));
        if (w && weight > most) {
            best = w;
            most = weight;
        }
    }
    return best ? best : find_words(v->web, STR("en"));
}

/* ---- paths ---- */

static void portal_menu(struct visit *v, const char *page)
{
    static const struct {
        const char *name, *path;
    } entries[] = {
        {"overview", "/portal"},          {"choices", "/portal/choices"},
        {"activity", "/portal/activity"}, {"data", "/portal/data"},
        {"requests", "/portal/requests"}, {"receipts", "/portal/receipts"},
        {"policies", "/portal/policies"}, {"messages", "/portal/messages"},
        {"apps", "/portal/apps"},         {"account", "/portal/account"},
    };
    json_t *menu = json_array();
    struct err ignored; /* a page without the number is better than none */
    int64_t unread = 0;
    message_unread(v->engine, &v->who.who, &unread, &ignored);
    for (size_t i = 0; i < sizeof entries / sizeof *entries; i++) {
        json_t *entry = json_object();
        set_text(entry, "path", str_of(entries[i].path));
        set_text(entry, "label", word_of(v, "menu_", str_of(entries[i].name)));
        set_true(entry, "here", strcmp(entries[i].name, page) == 0);
        if (unread && strcmp(entries[i].name, "messages") == 0)
            set_int(entry, "unread", unread);
        json_array_append_new(menu, entry);
    }
    json_object_set_new(v->view, "menu", menu);
}

const struct site portal_site = {"/portal", "layout.html", "lov-session", portal_menu};

struct str local_path(const struct site *site, struct str asked, const char *otherwise)
{
    struct str root = str_of(site->root);
    bool ours = str_starts(asked, root) &&
                (asked.n == root.n || asked.p[root.n] == '/' || asked.p[root.n] == '?');
    for (size_t i = 0; i < asked.n && ours; i++) {
        unsigned char c = (unsigned char)asked.p[i];
        ours = c > 0x20 && c < 0x7f && c != '\\' && !(c == '/' && i && asked.p[i - 1] == '/');
    }
    return ours ? asked : str_of(otherwise);
}

void visit_headers(struct http_call *call)
{
    static const char policy[] =
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
    http_answer_header(call, "Content-Security-Policy", STR(policy));
    /* Not "no-referrer": browsers would send "Origin: null" with our own forms (Fetch §3.2). */
    http_answer_header(call, "Referrer-Policy", STR("same-origin"));
    http_answer_header(call, "X-Frame-Options", STR("DENY"));
    http_answer_header(call, "Cross-Origin-Opener-Policy", STR("same-origin"));
}

int visit_go(struct http_call *call, struct str path)
{
    visit_headers(call);
    http_answer_header(call, "Location", path);
    call->status = 303;
    buf_clear(&call->out);
    return 0;
}

/* ---- opening ---- */

void visit_free(struct visit *v)
{
    json_decref(v->view);
    rules_unref(v->rules);
}

void visit_open(struct http_call *call, struct visit *v)
{
    struct web *web = api_more(call);
    *v = (struct visit){
        .site = &portal_site,
        .call = call,
        .web = web,
        .arena = &call->arena,
        .engine = web->engine,
        .now = clock_now(),
        .view = json_object(),
    };
    const struct words *words = wanted_words(v);
    v->language = words->language;
    v->words = words->json;
    v->rules = engine_rules(v->engine);
    v->policy = v->rules ? rules_policy(v->rules) : NULL;
    set_text(v->view, "language", v->language);
    set_text(v->view, "home", str_of(v->site->root));
    json_object_set(v->view, "t", words->json);
    set_text(v->view, "controller", v->policy ? v->policy->controller_name : STR("Lov"));
    set_text(v->view, "contact", v->policy ? v->policy->contact : (struct str){0});
}

static void background_done(struct engine_write *w)
{
    struct background *b = (struct background *)w;
    arena_free(&b->arena);
    free(b);
}

static int touch(struct engine_write *w, struct write_scope *scope, struct err *err)
{
    struct background *b = (struct background *)w;
    int rc = session_touch(scope->identities, &b->session, err);
    return rc ? rc
              : session_sweep(scope->identities, scope->now - SESSION_IDLE_MS,
                              scope->now - SESSION_MOST_MS, err);
}

/* At most once a minute, and nobody waits for it. */
static void keep_alive(struct visit *v)
{
    enum { MINUTE = 60000 };
    if (v->now - v->session.seen_at < MINUTE)
        return;
    struct background *b = mem_zero(sizeof *b);
    b->session = v->session;
    b->session.seen_at = v->now;
    b->w = (struct engine_write){
        .kind = WRITE_OTHER,
        .actor = STR("consumer"),
        .arena = &b->arena,
        .other = touch,
        .expires_at = TIME_NONE,
        .given_at = TIME_NONE,
        .done = background_done,
    };
    engine_submit(v->engine, &b->w);
}

/* 1: the session is good, and v->consumer says whose pages these are. */
static int read_session(struct visit *v, struct db *db, struct err *err)
{
    const struct identity *who = engine_identity(v->engine);
    struct session *s = &v->session;
    struct sha256 digest = sha256_of(v->token);
    _cleanup_buf struct buf id = {0};
    int rc = session_find(db, &digest, v->arena, s, err);
    if (rc != 1)
        return rc;
    if (v->now - s->seen_at > SESSION_IDLE_MS || v->now - s->created_at > SESSION_MOST_MS)
        return 0;
    if (s->acting)
        rc = delegate_find(db, &s->cid, &s->for_cid, v->arena, &v->acting, err);
    if (rc == 1)
        rc = identity_name(who, db, s->acting ? &s->for_cid : &s->cid, &id, err);
    v->consumer = arena_str(v->arena, buf_view(&id));
    return rc;
}

static int find_session(struct visit *v, struct err *err)
{
    struct db_pool *pool = engine_identities(v->engine);
    struct db *db;
    v->token = get_cookie(v->call, v->web, v->site->cookie);
    if (v->token.n != TOKEN_CHARS)
        return 0;
    int rc = db_pool_get(pool, &db, err);
    if (rc)
        return rc;
    rc = read_session(v, db, err);
    db_pool_put(pool, db);
    return rc == 1 ? consumer_get(v->engine, v->consumer, v->arena, &v->who, err) : rc;
}

bool visit_begin(struct http_call *call, struct visit *v)
{
    struct err err = {0};
    visit_open(call, v);
    int rc = find_session(v, &err);
    if (rc < 0) {
        visit_error(v, &err);
        return false;
    }
    if (rc == 0) {
        bool page = str_is(call->method, "GET") && !str_is(call->path, "/portal");
        struct str next = page ? local_path(v->site, call->path, "") : (struct str){0};
        visit_go(call, arena_printf(v->arena, "/portal/sign-in%s%.*s", next.n ? "?next=" : "",
                                    STR_ARG(next)));
        return false;
    }
    v->signed_in = true;
    /* What a page that lies open asks by itself is no visit. */
    if (!http_header(call, "Lov-Live").n && call->route->handler != streams_get)
        keep_alive(v);
    set_true(v->view, "signed_in", true);
    set_text(v->view, "consumer", v->consumer);
    set_text(v->view, "csrf", form_token(v, "session", v->token));
    if (v->session.acting)
        set_text(v->view, "acting", v->consumer);
    return true;
}

/* ---- forms ---- */

/* A form that another site sends has another site's Origin (Fetch §3.2); a browser too old to send
 * one is left to the token. */
static bool origin_is_ours(struct http_call *call)
{
    struct str origin = http_header(call, "Origin"), host = http_header(call, "Host");
    if (!origin.n)
        return true;
    size_t at = str_find(origin, '/');
    if (at + 2 > origin.n)
        return false;
    struct str theirs = {origin.p + at + 2, origin.n - at - 2};
    return theirs.n == host.n && strncasecmp(theirs.p, host.p, host.n) == 0;
}

bool token_fits(struct visit *v, struct str sent, struct str expected)
{
    return origin_is_ours(v->call) && sent.n == expected.n &&
           bytes_equal_secret(sent.p, expected.p, sent.n);
}

bool form_fits(struct visit *v, struct str expected)
{
    struct str sent = {0};
    return http_form(v->call, "csrf", 64, &sent) && token_fits(v, sent, expected);
}

bool visit_post(struct http_call *call, struct visit *v)
{
    if (!visit_begin(call, v))
        return false;
    if (form_fits(v, form_token(v, "session", v->token)))
        return true;
    visit_trouble(v, 403, "oops_form");
    return false;
}

void visit_form_token(struct visit *v)
{
    struct str token = get_cookie(v->call, v->web, "lov-form");
    if (token.n != TOKEN_CHARS) {
        token = new_token(v->arena);
        set_cookie(v->call, v->web, "lov-form", token, -1);
    }
    set_text(v->view, "csrf", form_token(v, "form", token));
}

bool visit_form_is_ours(struct visit *v)
{
    struct str token = get_cookie(v->call, v->web, "lov-form");
    return token.n == TOKEN_CHARS && form_fits(v, form_token(v, "form", token));
}

bool visit_proved(struct visit *v, const char *next)
{
    if (v->now - v->session.proved_at <= PROOF_MS)
        return true;
    visit_go(v->call, arena_printf(v->arena, "/portal/prove?next=%s", next));
    return false;
}

/* ---- pages ---- */

static struct str web_file(const char *name)
{
    for (size_t i = 0; i < embedded_web_count; i++)
        if (strcmp(embedded_web[i].name, name) == 0)
            return (struct str){embedded_web[i].text, embedded_web[i].size};
    bug("web/%s is not built in", name);
}

static void add_languages(struct visit *v)
{
    json_t *list = json_array();
    for (size_t i = 0; i < v->web->word_count; i++) {
        const struct words *w = &v->web->words[i];
        json_t *entry = json_object();
        set_text(entry, "code", w->language);
        set_text(entry, "name", json_text(json_object_get(w->json, "language_name")));
        set_true(entry, "here", str_eq(w->language, v->language));
        json_array_append_new(list, entry);
    }
    json_object_set_new(v->view, "languages", list);
    set_text(v->view, "here_path", local_path(v->site, v->call->path, v->site->root));
}

int visit_page(struct visit *v, int status, const char *template, const char *page)
{
    struct http_call *call = v->call;
    _cleanup_buf struct buf content = {0};
    if (v->signed_in)
        v->site->menu(v, page);
    add_languages(v);
    if (!json_object_get(v->view, "title"))
        set_text(v->view, "title", word_of(v, "menu_", str_of(page)));
    template_render(web_file(template), v->view, &content);
    set_text(v->view, "content", buf_view(&content));
    set_text(v->view, "icons", web_file("icons.svg"));
    visit_headers(call);
    http_answer_header(call, "Vary", STR("Cookie, Accept-Language"));
    call->status = status;
    call->content_type = "text/html; charset=utf-8";
    buf_clear(&call->out);
    template_render(web_file(v->site->layout), v->view, &call->out);
    return 0;
}

int visit_trouble(struct visit *v, int status, const char *what)
{
    set_text(v->view, "title", word(v, "oops_title"));
    set_text(v->view, "what", word(v, what));
    return visit_page(v, status, "oops.html", "");
}

int visit_error(struct visit *v, const struct err *err)
{
    if (err->code == LOV_ENOTFOUND || strcmp(err->reason, "erased") == 0)
        return visit_trouble(v, 404, "oops_missing");
    if (err->code == LOV_EUNAVAILABLE)
        return visit_trouble(v, 503, "oops_busy");
    log_printf(engine_log(v->engine), LOG_ERROR, "a page failed: %s", err->text);
    return visit_trouble(v, 500, "oops_failed");
}

int page_missing(struct http_call *call)
{
    _cleanup_visit struct visit v = {0};
    if (!visit_begin(call, &v))
        return 0;
    return visit_trouble(&v, 404, "oops_missing");
}

int language_set(struct http_call *call)
{
    return visit_language(call, &portal_site);
}

int visit_language(struct http_call *call, const struct site *site)
{
    _cleanup_visit struct visit v = {0};
    struct str next = {0};
    visit_open(call, &v);
    http_query(call, "next", &next);
    const struct words *words = find_words(v.web, call->param[0]);
    if (words)
        http_answer_header(call, "Set-Cookie",
                           arena_printf(v.arena,
                                        "lov-language=%.*s; Path=/; SameSite=Lax; "
                                        "Max-Age=31536000%s",
                                        STR_ARG(words->language), v.web->secure ? "; Secure" : ""));
    return visit_go(call, local_path(site, next, site->root));
}

/* ---- files ---- */

int assets_get(struct http_call *call)
{
    static const struct {
        const char *name, *type;
    } assets[] = {
        {"portal.css", "text/css; charset=utf-8"},
        {"portal.js", "text/javascript; charset=utf-8"},
        {"passkey.js", "text/javascript; charset=utf-8"},
        {"verify.js", "text/javascript; charset=utf-8"},
        {"console.css", "text/css; charset=utf-8"},
        {"favicon.svg", "image/svg+xml"},
    };
    for (size_t i = 0; i < sizeof assets / sizeof *assets; i++) {
        if (!str_is(call->param[0], assets[i].name))
            continue;
        struct str file = web_file(assets[i].name);
        struct sha256 hash = sha256_of(file);
        _cleanup_buf struct buf tag = {0};
        buf_char(&tag, '"');
        base64url_encode(hash.b, 12, &tag);
        buf_char(&tag, '"');
        visit_headers(call);
        http_answer_header(call, "ETag", buf_view(&tag));
        http_answer_header(call, "Cache-Control", STR("public, max-age=300"));
        call->content_type = assets[i].type;
        bool same = str_eq(http_header(call, "If-None-Match"), buf_view(&tag));
        call->status = same ? 304 : 200;
        if (!same)
            buf_str(&call->out, file);
        return 0;
    }
    return http_problem_status(call, 404, "", "there is no such file");
}

/* ---- writes ---- */

static void write_done(struct engine_write *w)
{
    http_resume(((struct web_write *)w)->call);
}

struct web_write *web_write_new(struct visit *v, enum write_kind kind)
{
    struct web_write *w = arena_alloc(v->arena, sizeof *w);
    w->call = v->call;
    w->w = (struct engine_write){
        .kind = kind,
        .actor = STR("consumer"),
        .arena = v->arena,
        .consumer = v->consumer,
        .channel = STR("web"),
        .expires_at = TIME_NONE,
        .given_at = TIME_NONE,
        .done = write_done,
    };
    return w;
}

int web_submit(struct web_write *w, http_handler *then)
{
    w->call->then = then;
    w->call->work = w;
    engine_submit(((struct web *)api_more(w->call))->engine, &w->w);
    return HTTP_LATER;
}

int web_written(struct http_call *call, const char *path)
{
    struct web_write *w = call->work;
    _cleanup_visit struct visit v = {0};
    if (!w->w.job.rc)
        return visit_go(call, str_of(path));
    visit_open(call, &v);
    return visit_error(&v, &w->w.job.err);
}

int visit_notice(struct visit *v, struct str notice, int version, struct str language,
                 struct policy_published *out, struct err *err)
{
    struct db *db;
    int rc = db_pool_get(engine_lov(v->engine), &db, err);
    if (rc)
        return rc;
    rc = policy_store_published(db, notice, version, language, v->arena, out, err);
    db_pool_put(engine_lov(v->engine), db);
    return rc;
}
