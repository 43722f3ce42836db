/* call.c - one door to the API, whoever holds the installation.
 *
 * The lock in the folder decides: whoever gets it runs the handlers in this process; where another
 * process has it, that is a server, which answers on DIR/socket, or a command that is soon done. So
 * opening tries both in turn for some seconds. Connections are kept for the next request, one for
 * each thread that asks at the same time. */
#include <curl/curl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "api/api.h"
#include "base/clock.h"
#include "base/json.h"
#include "cli/cli.h"

enum { WAIT_SECONDS = 10, RETRY_MS = 20, CALL_SECONDS = 120, ANSWER_MAX = 64 << 20, IDLE = 32 };

struct cli_line {
    struct engine *engine; /* this process holds it */
    struct api *api;
    struct buf socket; /* otherwise */
    struct buf url;    /* a server elsewhere, which is called with a key */
    pthread_mutex_t lock;
    CURL *idle[IDLE]; /* under lock */
    size_t idle_count;
};

void cli_answer_free(struct cli_answer *a)
{
    buf_free(&a->body);
    json_decref(a->json);
    *a = (struct cli_answer){0};
}

/* ---- who holds it ---- */

/* A server accepts on its socket. */
static bool answers(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t n = strlen(path);
    if (n >= sizeof address.sun_path)
        return false;
    memcpy(address.sun_path, path, n + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    bool ok = connect(fd, (struct sockaddr *)&address, sizeof address) == 0;
    close(fd);
    return ok;
}

static void rest(void)
{
    struct timespec t = {.tv_nsec = RETRY_MS * 1000000L};
    nanosleep(&t, NULL);
}

/* LOV_EUNAVAILABLE: whatever keeps an installation from opening is told with exit code 3. */
static int unavailable(struct err *err)
{
    err->code = LOV_EUNAVAILABLE;
    if (!*err->reason)
        memcpy(err->reason, "unavailable", sizeof "unavailable");
    return err->code;
}

static bool is_locked(int rc, const struct err *err)
{
    return rc == LOV_ECONFLICT && strcmp(err->reason, "locked") == 0;
}

/* Opens the engine, or finds that `socket` (NULL: nobody is asked) answers: *engine is then as it
 * was. */
static int open_or_find(struct cli *c, const char *dir, const char *socket, struct engine **engine,
                        struct err *err)
{
    int64_t until = clock_monotonic() + WAIT_SECONDS * INT64_C(1000000000);
    for (;;) {
        int rc = engine_open(dir, &c->log, engine, err);
        if (rc == 0)
            return 0;
        if (!is_locked(rc, err))
            return unavailable(err);
        if (socket && answers(socket))
            return 0;
        if (clock_monotonic() > until)
            break;
        rest();
    }
    return err_reason(err, LOV_EUNAVAILABLE, "locked",
                      socket ? "another process has %s open and does not answer on its socket: "
                               "stop it, or wait until it is done"
                             : "another process has %s open: stop it first",
                      dir);
}

int cli_open_engine(struct cli *c, const char *dir, struct engine **out, struct err *err)
{
    return open_or_find(c, dir, NULL, out, err);
}

int cli_open_at(struct cli *c, const char *dir, struct err *err)
{
    struct cli_line *line = mem_zero(sizeof *line);
    pthread_mutex_init(&line->lock, NULL);
    buf_printf(&line->socket, "%s/socket", dir);
    c->line = line;
    int rc = open_or_find(c, dir, line->socket.p, &line->engine, err);
    if (rc == 0 && line->engine)
        rc = api_open(line->engine, NULL, &line->api, err);
    return rc;
}

/* Where a key may be sent: over TLS, or to this machine. */
static bool is_safe(struct str url)
{
    static const char *const here[] = {"http://127.0.0.1", "http://[::1]", "http://localhost"};
    if (memchr(url.p, '@', url.n)) /* what stands before it is no host */
        return false;
    for (size_t i = 0; i < sizeof here / sizeof *here; i++) {
        struct str start = str_of(here[i]);
        if (str_starts(url, start) && (url.n == start.n || strchr(":/", url.p[start.n])))
            return true;
    }
    return str_starts(url, STR("https://"));
}

int cli_open_url(struct cli *c, const char *url, struct err *err)
{
    struct str base = str_of(url);
    if (!is_safe(base))
        return err_set(err, LOV_EINVAL, "--url: \"%s\" is not an address such as https://host",
                       url);
    if (!getenv(CLI_KEY))
        return err_set(err, LOV_EINVAL, "set " CLI_KEY " to the API key to call %s with", url);
    while (base.n && base.p[base.n - 1] == '/')
        base.n--;
    c->line = mem_zero(sizeof *c->line);
    pthread_mutex_init(&c->line->lock, NULL);
    buf_str(&c->line->url, base);
    return 0;
}

int cli_open(struct cli *c, struct err *err)
{
    const char *dir;
    if (c->line)
        return 0;
    int rc = cli_dir(c, &dir, err);
    return rc ? rc : cli_open_at(c, dir, err);
}

void cli_close(struct cli *c)
{
    struct cli_line *line = c->line;
    if (!line)
        return;
    for (size_t i = 0; i < line->idle_count; i++)
        curl_easy_cleanup(line->idle[i]);
    if (line->api)
        api_close(line->api);
    engine_close(line->engine);
    pthread_mutex_destroy(&line->lock);
    buf_free(&line->socket);
    buf_free(&line->url);
    free(line);
    c->line = NULL;
}

struct engine *cli_engine(const struct cli *c)
{
    return c->line->engine;
}

struct api *cli_api(const struct cli *c)
{
    return c->line->api;
}

/* ---- in this process ---- */

static void take_part(void *ctx, struct str part)
{
    fwrite(part.p, 1, part.n, ctx);
}

static void call_here(struct cli_line *line, const struct cli_request *r, struct cli_answer *out)
{
    struct http_call *call = http_call_new(r->method, r->target, r->body);
    if (r->body.n)
        http_call_add_header(call, "Content-Type", STR("application/json"));
    if (r->idempotency_key)
        http_call_add_header(call, "Idempotency-Key", str_of(r->idempotency_key));
    if (r->out)
        http_call_take_parts(call, take_part, r->out);
    http_dispatch(api_app(line->api), call);
    out->status = call->status;
    if (r->out && call->status == 200)
        take_part(r->out, buf_view(&call->out));
    else
        buf_str(&out->body, buf_view(&call->out));
    http_call_free(call);
}

/* ---- over the socket ---- */

struct receiver {
    CURL *curl;
    FILE *out;
    struct buf *body;
};

static size_t receive(char *p, size_t size, size_t n, void *ctx)
{
    struct receiver *r = ctx;
    long status = 0;
    curl_easy_getinfo(r->curl, CURLINFO_RESPONSE_CODE, &status);
    if (r->out && status == 200)
        return fwrite(p, 1, size * n, r->out);
    if (r->body->n + size * n > ANSWER_MAX)
        return 0;
    buf_add(r->body, p, size * n);
    return size * n;
}

static CURL *take_handle(struct cli_line *line)
{
    CURL *curl = NULL;
    pthread_mutex_lock(&line->lock);
    if (line->idle_count)
        curl = line->idle[--line->idle_count];
    else
        curl = curl_easy_init(); /* under the lock: the first one sets up the library */
    pthread_mutex_unlock(&line->lock);
    return curl;
}

static void put_handle(struct cli_line *line, CURL *curl)
{
    pthread_mutex_lock(&line->lock);
    bool kept = line->idle_count < IDLE;
    if (kept)
        line->idle[line->idle_count++] = curl;
    pthread_mutex_unlock(&line->lock);
    if (!kept)
        curl_easy_cleanup(curl);
}

static struct curl_slist *request_headers(const struct cli_line *line, const struct cli_request *r)
{
    /* "Expect:" takes curl's wait for 100 Continue away. */
    struct curl_slist *headers = curl_slist_append(NULL, "Expect:");
    if (r->body.n)
        headers = curl_slist_append(headers, "Content-Type: application/json");
    if (r->idempotency_key) {
        _cleanup_buf struct buf text = {0};
        buf_printf(&text, "Idempotency-Key: %s", r->idempotency_key);
        headers = curl_slist_append(headers, text.p);
    }
    if (line->url.n) {
        _cleanup_buf struct buf text = {0};
        buf_printf(&text, "Authorization: Bearer %s", getenv(CLI_KEY));
        headers = curl_slist_append(headers, text.p);
    }
    return headers;
}

static int call_there(struct cli_line *line, const struct cli_request *r, struct cli_answer *out,
                      struct err *err)
{
    CURL *curl = take_handle(line);
    if (!curl)
        return err_set(err, LOV_EUNAVAILABLE, "libcurl does not start");
    _cleanup_buf struct buf url = {0};
    struct curl_slist *headers = request_headers(line, r);
    struct receiver receiver = {curl, r->out, &out->body};
    const char *base = line->url.n ? line->url.p : "http://localhost";
    buf_printf(&url, "%s%s", base, r->target);
    curl_easy_reset(curl);
    if (!line->url.n) {
        curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, line->socket.p);
        curl_easy_setopt(curl, CURLOPT_PROXY, "");
    }
    curl_easy_setopt(curl, CURLOPT_URL, url.p);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    if (r->out) { /* as long as it takes, while something comes */
        curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
        curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, (long)CALL_SECONDS);
    } else {
        curl_easy_setopt(curl, CURLOPT_TIMEOUT, (long)CALL_SECONDS);
    }
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, receive);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &receiver);
    if (r->body.n || strcmp(r->method, "POST") == 0) {
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->body.n);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, r->body.n ? r->body.p : "");
    }
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, r->method);
    CURLcode rc = curl_easy_perform(curl);
    long status = 0;
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    curl_slist_free_all(headers);
    put_handle(line, curl);
    if (rc != CURLE_OK)
        return err_reason(err, LOV_EUNAVAILABLE, "unavailable",
                          "the server on %s does not answer: %s",
                          line->url.n ? line->url.p : line->socket.p, curl_easy_strerror(rc));
    out->status = (int)status;
    return 0;
}

/* ---- both ---- */

/* An answer that cannot be read is no answer: nothing of it is shown as if it were all. */
static int read_answer(struct cli_answer *a, struct err *err)
{
    struct err why = {0};
    if (json_read(buf_view(&a->body), &a->json, &why) == 0)
        return 0;
    a->json = NULL;
    if (a->status < 200 || a->status > 299)
        return 0;
    return err_set(err, LOV_EIO, "the answer is not valid JSON: %s", why.text);
}

int cli_call(struct cli *c, const struct cli_request *request, struct cli_answer *out,
             struct err *err)
{
    struct cli_answer answer = {0};
    int rc = 0;
    if (c->line->api)
        call_here(c->line, request, &answer);
    else
        rc = call_there(c->line, request, &answer, err);
    if (rc == 0 && request->out && (fflush(request->out) || ferror(request->out)))
        rc = err_set(err, LOV_EIO, "the answer could not be written");
    if (rc == 0 && !((request->text || request->out) && answer.status == 200))
        rc = read_answer(&answer, err);
    if (rc)
        cli_answer_free(&answer);
    else
        *out = answer;
    return rc;
}

int cli_ask(struct cli *c, const char *method, const char *target, struct str body,
            struct cli_answer *out)
{
    struct err err = {0};
    struct cli_request request = {.method = method, .target = target, .body = body};
    struct cli_answer answer = {0};
    int rc = cli_open(c, &err);
    if (rc == 0)
        rc = cli_call(c, &request, &answer, &err);
    if (rc)
        return cli_fail(c, &err);
    if (answer.status >= 200 && answer.status < 300) {
        *out = answer;
        return 0;
    }
    int code = cli_problem(c, &answer);
    cli_answer_free(&answer);
    return code;
}

/* ---- pages ---- */

enum { PAGE = 500 };

static void page_target(const char *target, const char *after, int64_t count, struct buf *out)
{
    buf_clear(out);
    buf_printf(out, "%s%climit=%lld", target, strchr(target, '?') ? '&' : '?', (long long)count);
    if (*after) {
        buf_cstr(out, "&after=");
        target_add(out, str_of(after));
    }
}

/* A cursor is text, or a number where the list is numbered. */
static void next_cursor(const json_t *page, struct buf *out)
{
    const json_t *next = json_object_get(page, "next");
    buf_clear(out);
    if (json_is_string(next))
        buf_cstr(out, json_string_value(next));
    else if (json_is_integer(next))
        buf_int(out, json_integer_value(next));
}

static void take_page(struct cli *c, const json_t *page, json_t *all,
                      void (*row)(struct cli *c, const json_t *item))
{
    size_t i;
    json_t *item;
    json_array_foreach(json_object_get(page, "items"), i, item) {
        if (c->json)
            json_array_append(all, item);
        else
            row(c, item);
    }
}

static void print_list(json_t *items, struct str next)
{
    _cleanup_json json_t *list = json_object();
    json_object_set(list, "items", items);
    json_object_set_new(list, "next", next.n ? json_stringn(next.p, next.n) : json_null());
    json_dumpf(list, stdout, JSON_COMPACT);
    putchar('\n');
}

int cli_list(struct cli *c, const char *target, const char *after, int64_t limit,
             void (*row)(struct cli *c, const json_t *item))
{
    _cleanup_buf struct buf path = {0};
    _cleanup_buf struct buf cursor = {0};
    _cleanup_json json_t *all = json_array();
    int64_t seen = 0;
    buf_cstr(&cursor, after ? after : "");
    do {
        _cleanup_answer struct cli_answer a = {0};
        int64_t count = limit && limit - seen < PAGE ? limit - seen : PAGE;
        page_target(target, cursor.n ? cursor.p : "", count, &path);
        int code = cli_ask(c, "GET", path.p, (struct str){0}, &a);
        if (code)
            return code;
        seen += (int64_t)json_array_size(json_object_get(a.json, "items"));
        take_page(c, a.json, all, row);
        next_cursor(a.json, &cursor);
    } while (cursor.n && (!limit || seen < limit));
    if (c->json)
        print_list(all, buf_view(&cursor));
    return CLI_YES;
}
