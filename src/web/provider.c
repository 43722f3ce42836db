/* provider.c - the controller's own OpenID provider: authorization code with PKCE (RFC 7636), state
 * and nonce (OpenID Connect Core 1.0 §3.1), discovery, and ID tokens.
 *
 * What has to come back with the browser (state, nonce, verifier, where to go) travels in a cookie
 * that is sealed and good for ten minutes, so nothing is kept here for those who never come back.
 * Talking to the provider takes as long as it takes, so a thread of its own does it. */
#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>

#include "base/jws.h"
#include "web/private.h"

enum {
    ANSWER_MAX = 256 << 10,
    SECONDS = 10,
    TRIP_MS = 10 * 60 * 1000,
    SKEW_MS = 60 * 1000,
    FRESH_MS = 60 * 60 * 1000, /* how long what was discovered is believed */
    KEYS_AGAIN_MS = 60 * 1000,
    CODE_MAX = 4096,
};

struct provider {
    char *issuer, *client, *secret, *claim; /* secret: NULL for a public client */
    struct secret key;                      /* seals the cookie */
    struct worker *worker;
    /* The worker's own: */
    json_t *about, *keys;
    int64_t about_at, keys_at;
};

struct provider *provider_new(const struct provider_options *o, const struct identity *who)
{
    struct provider *p = mem_zero(sizeof *p);
    p->issuer = str_dup(str_of(o->issuer));
    p->client = str_dup(str_of(o->client));
    p->secret = o->secret ? str_dup(str_of(o->secret)) : NULL;
    p->claim = str_dup(str_of(o->claim ? o->claim : "sub"));
    p->key = identity_secret(who, "provider");
    curl_global_init(CURL_GLOBAL_DEFAULT);
    p->worker = worker_new("lov-provider");
    return p;
}

void provider_free(struct provider *p)
{
    if (!p)
        return;
    worker_free(p->worker);
    json_decref(p->about);
    json_decref(p->keys);
    secret_wipe(&p->key);
    if (p->secret)
        memset(p->secret, 0, strlen(p->secret));
    free(p->issuer);
    free(p->client);
    free(p->secret);
    free(p->claim);
    free(p);
}

/* ---- what travels with the browser ---- */

struct trip {
    struct str state, nonce, verifier, next;
    int64_t until;
    bool again; /* they must prove it anew */
};
static const struct json_field trip_fields[] = {
    {"state", JSON_K_STRING, offsetof(struct trip, state), true, TOKEN_CHARS, TOKEN_CHARS},
    {"nonce", JSON_K_STRING, offsetof(struct trip, nonce), true, TOKEN_CHARS, TOKEN_CHARS},
    {"verifier", JSON_K_STRING, offsetof(struct trip, verifier), true, TOKEN_CHARS, TOKEN_CHARS},
    {"next", JSON_K_STRING, offsetof(struct trip, next), true, 1, 1000},
    {"until", JSON_K_INT, offsetof(struct trip, until), true, 0, 0},
    {"again", JSON_K_BOOL, offsetof(struct trip, again), true, 0, 0},
};

static struct str pack(struct visit *v, const struct trip *t)
{
    _cleanup_buf struct buf json = {0}, sealed = {0}, text = {0};
    struct jw w = {.out = &json};
    jw_object_start(&w);
    jw_str_member(&w, "state", t->state);
    jw_str_member(&w, "nonce", t->nonce);
    jw_str_member(&w, "verifier", t->verifier);
    jw_str_member(&w, "next", t->next);
    jw_int_member(&w, "until", t->until);
    jw_bool_member(&w, "again", t->again);
    jw_object_end(&w);
    seal(&v->web->provider->key, STR("lov provider"), buf_view(&json), &sealed);
    base64url_encode(sealed.p, sealed.n, &text);
    return arena_str(v->arena, buf_view(&text));
}

/* False when the browser is on no such trip, or has been too long. */
static bool unpack(struct visit *v, struct trip *out)
{
    _cleanup_buf struct buf sealed = {0}, text = {0};
    json_t *json = NULL;
    struct trip t = {0};
    bool good =
        base64url_decode(visit_cookie(v, "lov-provider"), &sealed) && sealed.n &&
        unseal(&v->web->provider->key, STR("lov provider"), buf_view(&sealed), &text, NULL) == 0 &&
        json_read(buf_view(&text), &json, NULL) == 0 &&
        json_take(json, trip_fields, 6, JSON_REFUSE_UNKNOWN, "", NULL, &t, NULL) == 0 &&
        t.until >= v->now;
    if (good)
        *out = (struct trip){arena_str(v->arena, t.state),
                             arena_str(v->arena, t.nonce),
                             arena_str(v->arena, t.verifier),
                             arena_str(v->arena, t.next),
                             t.until,
                             t.again};
    json_decref(json);
    return good;
}

/* ---- talking to the provider: the worker's ---- */

static size_t receive(char *data, size_t size, size_t count, void *ctx)
{
    struct buf *out = ctx;
    if (out->n + size * count > ANSWER_MAX)
        return 0;
    buf_add(out, data, size * count);
    return size * count;
}

static int failed(struct err *err, const char *what)
{
    return err_reason(err, LOV_EUNAVAILABLE, "provider", "the OpenID provider: %s", what);
}

/* HTTPS, or plain HTTP where the issuer itself is on this machine's loopback, to try it. */
static bool is_safe(const struct provider *p, const char *url)
{
    bool local = str_starts(str_of(p->issuer), STR("http://127.0.0.1:")) ||
                 str_starts(str_of(p->issuer), STR("http://localhost:"));
    return str_starts(str_of(url), STR("https://")) ||
           (local && (str_starts(str_of(url), STR("http://127.0.0.1:")) ||
                      str_starts(str_of(url), STR("http://localhost:"))));
}

/* GET, or POST where there is a form. *out is the caller's to free. */
static int ask(const struct provider *p, const char *url, const char *form, json_t **out,
               struct err *err)
{
    _cleanup_buf struct buf body = {0};
    long status = 0;
    if (!is_safe(p, url))
        return failed(err, "its address is not https");
    CURL *curl = curl_easy_init();
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "https,http");
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT, (long)SECONDS);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, receive);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &body);
    if (form)
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, form);
    if (form && p->secret) {
        curl_easy_setopt(curl, CURLOPT_HTTPAUTH, CURLAUTH_BASIC);
        curl_easy_setopt(curl, CURLOPT_USERNAME, p->client);
        curl_easy_setopt(curl, CURLOPT_PASSWORD, p->secret);
    }
    CURLcode rc = curl_easy_perform(curl);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_cleanup(curl);
    if (rc != CURLE_OK || status != 200)
        return failed(err, rc ? curl_easy_strerror(rc) : "it refused");
    if (json_read(buf_view(&body), out, NULL))
        return failed(err, "its answer is no JSON");
    return 0;
}

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text ? text : "";
}

/* OpenID Connect Discovery 1.0 §4: the answer must be that issuer's own. */
static int discover(struct provider *p, struct err *err)
{
    int64_t now = clock_monotonic() / 1000000;
    if (p->about && now - p->about_at < FRESH_MS)
        return 0;
    _cleanup_buf struct buf url = {0};
    json_t *about = NULL;
    buf_printf(&url, "%s/.well-known/openid-configuration", p->issuer);
    int rc = ask(p, url.p, NULL, &about, err);
    if (rc)
        return rc;
    if (strcmp(text_of(about, "issuer"), p->issuer) != 0) {
        json_decref(about);
        return failed(err, "its metadata is another issuer's");
    }
    json_decref(p->about);
    p->about = about;
    p->about_at = now;
    return 0;
}

/* Reads the keys where there are none, or again, but not more than once a minute. */
static int read_keys(struct provider *p, bool again, struct err *err)
{
    int64_t now = clock_monotonic() / 1000000;
    json_t *keys = NULL;
    if (p->keys && (!again || now - p->keys_at < KEYS_AGAIN_MS))
        return 0;
    int rc = ask(p, text_of(p->about, "jwks_uri"), NULL, &keys, err);
    if (rc)
        return rc;
    json_decref(p->keys);
    p->keys = keys;
    p->keys_at = now;
    return 0;
}

static int verify_token(struct provider *p, struct str token, json_t **claims, struct err *err)
{
    int rc = read_keys(p, false, err);
    if (rc == 0)
        rc = jws_verify(token, p->keys, claims, err);
    if (rc != LOV_ENOTFOUND)
        return rc;
    rc = read_keys(p, true, err);
    return rc ? rc : jws_verify(token, p->keys, claims, err);
}

/* ---- one call's errand ---- */

struct errand {
    struct job job; /* first */
    struct provider *provider;
    struct arena *arena;
    struct trip trip;
    struct str code, redirect; /* code empty: only where to send the browser */
    struct str location;       /* out */
    struct str consumer;       /* out: what the claim says */
    struct err err;
};

static void add_field(struct buf *out, const char *name, struct str value)
{
    if (out->n && out->p[out->n - 1] != '?')
        buf_char(out, '&');
    buf_printf(out, "%s=", name);
    for (size_t i = 0; i < value.n; i++)
        buf_printf(out, "%%%02X", (unsigned char)value.p[i]);
}

/* OpenID Connect Core 1.0 §3.1.2.1 */
static int locate(struct errand *e)
{
    struct provider *p = e->provider;
    const char *endpoint = text_of(p->about, "authorization_endpoint");
    struct sha256 hash = sha256_of(e->trip.verifier);
    _cleanup_buf struct buf url = {0}, challenge = {0};
    if (!is_safe(p, endpoint) || !str_no_controls(str_of(endpoint), false))
        return failed(&e->err, "its address is not https");
    base64url_encode(hash.b, sizeof hash.b, &challenge);
    buf_printf(&url, "%s%c", endpoint, strchr(endpoint, '?') ? '&' : '?');
    add_field(&url, "response_type", STR("code"));
    add_field(&url, "scope", STR("openid"));
    add_field(&url, "client_id", str_of(p->client));
    add_field(&url, "redirect_uri", e->redirect);
    add_field(&url, "state", e->trip.state);
    add_field(&url, "nonce", e->trip.nonce);
    add_field(&url, "code_challenge", buf_view(&challenge));
    add_field(&url, "code_challenge_method", STR("S256"));
    if (e->trip.again) {
        add_field(&url, "prompt", STR("login"));
        add_field(&url, "max_age", STR("0"));
    }
    e->location = arena_str(e->arena, buf_view(&url));
    return 0;
}

static bool is_for(const json_t *audience, const char *client)
{
    size_t i;
    const json_t *one;
    if (json_is_string(audience))
        return strcmp(json_string_value(audience), client) == 0;
    json_array_foreach(audience, i, one)
        if (json_is_string(one) && strcmp(json_string_value(one), client) == 0)
            return true;
    return false;
}

/* OpenID Connect Core 1.0 §3.1.3.7. NULL: all is right. */
static const char *wrong_claim(const struct errand *e, const json_t *claims)
{
    const struct provider *p = e->provider;
    const json_t *audience = json_object_get(claims, "aud");
    int64_t now = clock_now();
    int64_t expires = json_integer_value(json_object_get(claims, "exp"));
    int64_t proved = json_integer_value(json_object_get(claims, "auth_time"));
    if (strcmp(text_of(claims, "iss"), p->issuer) != 0)
        return "the token is another issuer's";
    if (!is_for(audience, p->client))
        return "the token is for another client";
    if (json_array_size(audience) > 1 && strcmp(text_of(claims, "azp"), p->client) != 0)
        return "the token was given to another client";
    if (expires <= 0 || expires > INT64_MAX / 1000 || expires * 1000 + SKEW_MS < now)
        return "the token has expired";
    if (!json_is_integer(json_object_get(claims, "iat")))
        return "the token does not say when it was made";
    if (!str_is(e->trip.nonce, text_of(claims, "nonce")))
        return "the token is of another sign-in";
    if (e->trip.again && (proved <= 0 || proved > INT64_MAX / 1000 ||
                          proved * 1000 < e->trip.until - TRIP_MS - SKEW_MS))
        return "they did not prove it anew";
    return NULL;
}

static int redeem(struct errand *e)
{
    struct provider *p = e->provider;
    _cleanup_buf struct buf form = {0};
    _cleanup_json json_t *answer = NULL, *claims = NULL;
    add_field(&form, "grant_type", STR("authorization_code"));
    add_field(&form, "code", e->code);
    add_field(&form, "redirect_uri", e->redirect);
    add_field(&form, "code_verifier", e->trip.verifier);
    if (!p->secret)
        add_field(&form, "client_id", str_of(p->client));
    int rc = ask(p, text_of(p->about, "token_endpoint"), form.p, &answer, &e->err);
    if (rc == 0)
        rc = verify_token(p, str_of(text_of(answer, "id_token")), &claims, &e->err);
    if (rc)
        return rc;
    const char *wrong = wrong_claim(e, claims);
    if (wrong)
        return err_reason(&e->err, LOV_EAUTH, "provider", "the OpenID provider: %s", wrong);
    e->consumer = arena_str(e->arena, str_of(text_of(claims, p->claim)));
    return 0;
}

static void run_errand(struct job *job)
{
    struct errand *e = (struct errand *)job;
    if (discover(e->provider, &e->err) == 0)
        e->code.n ? redeem(e) : locate(e);
}

static struct errand *errand_new(struct visit *v)
{
    struct errand *e = arena_alloc(v->arena, sizeof *e);
    e->job = (struct job){.call = v->call, .run = run_errand};
    e->provider = v->web->provider;
    e->arena = v->arena;
    e->redirect = arena_printf(v->arena, "%.*s/portal/provider/back", STR_ARG(visit_origin(v)));
    return e;
}

static int errand_later(struct visit *v, struct errand *e, http_handler *then)
{
    v->call->work = e;
    v->call->then = then;
    if (worker_submit(v->web->provider->worker, &e->job))
        return HTTP_LATER;
    v->call->then = NULL;
    return visit_trouble(v, 503, "oops_busy");
}

static int trouble(struct visit *v, const struct err *err)
{
    log_printf(engine_log(v->engine), LOG_WARN, "signing in failed: %s", err->text);
    return visit_trouble(v, err->code == LOV_EUNAVAILABLE ? 502 : 401, "oops_provider");
}

/* ---- going there ---- */

static int leave(struct http_call *call)
{
    struct errand *e = call->work;
    _cleanup_visit struct visit v = {0};
    visit_open(call, &v);
    if (e->err.code)
        return trouble(&v, &e->err);
    set_cookie(call, v.web, "lov-provider", pack(&v, &e->trip), TRIP_MS / 1000);
    return visit_go(call, e->location);
}

int provider_go(struct http_call *call)
{
    _cleanup_visit struct visit v = {0};
    struct str next = {0}, again = {0};
    visit_open(call, &v);
    if (!v.web->provider)
        return visit_trouble(&v, 404, "oops_missing");
    http_query(call, "next", &next);
    struct errand *e = errand_new(&v);
    e->trip = (struct trip){
        .state = new_token(v.arena),
        .nonce = new_token(v.arena),
        .verifier = new_token(v.arena),
        .next = arena_str(v.arena, local_path(v.site, next, "/portal")),
        .until = v.now + TRIP_MS,
        .again = http_query(call, "again", &again),
    };
    return errand_later(&v, e, leave);
}

/* ---- coming back ---- */

static int arrive(struct http_call *call)
{
    struct errand *e = call->work;
    _cleanup_visit struct visit v = {0};
    struct err err = {0};
    struct identity_row row;
    visit_open(call, &v);
    set_cookie(call, v.web, "lov-provider", (struct str){0}, 0);
    if (e->err.code)
        return trouble(&v, &e->err);
    bool named = e->consumer.n && e->consumer.n <= 128;
    int rc = named ? consumer_find(v.engine, e->consumer, &row, &err) : 0;
    if (rc < 0)
        return visit_error(&v, &err);
    return rc ? sign_in_as(&v, &row.cid, e->trip.next) : visit_trouble(&v, 403, "oops_unknown");
}

int provider_back(struct http_call *call)
{
    _cleanup_visit struct visit v = {0};
    struct str state = {0}, code = {0};
    visit_open(call, &v);
    if (!v.web->provider)
        return visit_trouble(&v, 404, "oops_missing");
    struct errand *e = errand_new(&v);
    bool ours = unpack(&v, &e->trip) && http_query(call, "state", &state) &&
                str_eq(state, e->trip.state) && http_query(call, "code", &code) && code.n &&
                code.n <= CODE_MAX;
    if (!ours)
        return visit_trouble(&v, 400, "oops_provider");
    e->code = arena_str(v.arena, code);
    return errand_later(&v, e, arrive);
}
