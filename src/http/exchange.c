/* exchange.c - carries a call over a connection of libmicrohttpd.
 *
 * A handler that answers later races with the thread that resumes it: http_resume() may come before
 * the handler has even returned. One atomic word decides. The worker suspends the connection and
 * then moves RUNNING to SUSPENDED; http_resume() moves either to RESUMED and wakes the connection
 * only if it was SUSPENDED; a worker that finds RESUMED wakes the connection itself. When the
 * server stops without waiting any longer, it moves SUSPENDED to ABANDONED: the connection gets its
 * 503 and the exchange lives on until its work resumes it, so that work never touches freed memory.
 *
 * A refused call whose body is small is read to its end and dropped, because closing a socket with
 * unread bytes resets it, and the client would never see why it was refused. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/types.h>
#include <time.h>

#include "base/clock.h"
#include "base/hash.h"
#include "http/server.h"

/* Buffers up to this size stay with their connection, so that most calls take no memory. */
enum { BODY_KEEP = 65536 };

static struct str mhd_header(const struct http_transport *transport, const char *name)
{
    const struct exchange *x = transport->self;
    struct str value = {0};
    if (MHD_lookup_connection_value_n(x->mhd, MHD_HEADER_KIND, name, strlen(name), &value.p,
                                      &value.n) != MHD_YES)
        return (struct str){0};
    return value;
}

static void release_abandoned(struct exchange *x)
{
    if (atomic_fetch_sub(&x->owners, 1) == 1)
        exchange_free(x);
}

static void mhd_resume(struct http_call *call)
{
    struct exchange *x = call->transport->self;
    struct http_server *s = x->server;
    struct MHD_Connection *mhd = x->mhd;
    /* Keeps the daemon there until MHD_resume_connection has returned: the call may be answered,
     * and the server asked to stop, while this thread is still inside. */
    atomic_fetch_add(&s->resumers, 1);
    int state = atomic_load(&x->later);
    while (state != LATER_ABANDONED &&
           !atomic_compare_exchange_weak(&x->later, &state, LATER_RESUMED))
        ;
    if (state == LATER_RESUMED)
        bug("a call was resumed twice");
    if (state == LATER_SUSPENDED)
        MHD_resume_connection(mhd);
    if (state == LATER_ABANDONED)
        release_abandoned(x);
    atomic_fetch_sub(&s->resumers, 1);
    if (state == LATER_ABANDONED)
        server_unref(s);
}

static const struct carrier mhd_carrier = {mhd_header, mhd_resume};

static struct exchange *exchange_new(struct connection *connection, struct MHD_Connection *mhd)
{
    struct exchange *x = mem_zero(sizeof *x);
    x->server = connection->server;
    x->connection = connection;
    x->mhd = mhd;
    struct http_transport *t = &x->transport;
    t->carrier = &mhd_carrier;
    t->app = &x->server->app;
    t->routes = &x->server->routes;
    t->log = x->server->log;
    t->limiter = x->server->limiter;
    t->shard = connection->shard;
    t->peer = connection->peer;
    t->self = x;
    return x;
}

void exchange_free(struct exchange *x)
{
    if (!x)
        return;
    call_release(&x->call);
    buf_free(&x->call.out);
    buf_free(&x->body);
    arena_free(&x->call.arena);
    free(x);
}

static void keep_buffer(struct buf *b)
{
    if (b->cap > BODY_KEEP)
        buf_free(b);
    buf_clear(b);
}

/* Ready for the next request of its connection. */
static void exchange_reset(struct exchange *x)
{
    call_release(&x->call);
    struct buf out = x->call.out;
    arena_reset(&x->call.arena);
    struct arena arena = x->call.arena;
    keep_buffer(&out);
    keep_buffer(&x->body);
    x->call = (struct http_call){.arena = arena, .out = out};
    x->transport.query = (struct str){0};
    x->transport.without_id = false;
    x->discarded = x->taken = x->sent = 0;
    x->begun = x->ran = x->discard = false;
}

static void set_phase(struct connection *connection, enum phase phase, int64_t now)
{
    atomic_store_explicit(&connection->since, now, memory_order_relaxed);
    atomic_store_explicit(&connection->phase, phase, memory_order_release);
}

/* libmicrohttpd takes the target apart in place after this callback, hence the copy. */
void *exchange_begin(void *cls, const char *target, struct MHD_Connection *mhd)
{
    (void)cls;
    struct connection *connection = connection_of(mhd);
    struct exchange *x = connection->exchange;
    if (!x)
        x = connection->exchange = exchange_new(connection, mhd);
    struct http_call *call = &x->call;
    call->app = x->server->app.ctx;
    call->local = connection->local;
    call->transport = &x->transport;
    x->started = clock_monotonic();
    atomic_store_explicit(&x->later, LATER_RUNNING, memory_order_relaxed);
    atomic_store_explicit(&x->owners, 2, memory_order_relaxed);
    call_target(call, arena_str(&call->arena, str_of(target)));
    int expected = PHASE_IDLE;
    atomic_store_explicit(&connection->since, x->started, memory_order_relaxed);
    atomic_compare_exchange_strong(&connection->phase, &expected, PHASE_READING);
    return x;
}

/* What the header lines say about themselves. */
struct head {
    size_t lengths, encodings, hosts;
    bool chunked, odd_name;
    struct str length;
};

/* RFC 9110 §5.6.2: letters, digits and !#$%&'*+-.^_`|~ as bits, since each header of each request
 * passes here. */
static bool is_token(struct str name)
{
    static const uint64_t tokens[4] = {UINT64_C(0x03ff6cfa00000000), UINT64_C(0x57ffffffc7fffffe),
                                       0, 0};
    for (size_t i = 0; i < name.n; i++) {
        unsigned char c = (unsigned char)name.p[i];
        if (!(tokens[c >> 6] >> (c & 63) & 1))
            return false;
    }
    return name.n > 0;
}

static inline bool names(struct str name, struct str header)
{
    return name.n == header.n && strncasecmp(name.p, header.p, name.n) == 0;
}

static enum MHD_Result see_header(void *ctx, enum MHD_ValueKind kind, const char *name,
                                  size_t name_size, const char *value, size_t value_size)
{
    (void)kind;
    struct head *head = ctx;
    struct str key = {name, name_size};
    if (names(key, STR("Content-Length"))) {
        head->lengths++;
        head->length = (struct str){value, value_size};
    } else if (names(key, STR("Transfer-Encoding"))) {
        head->encodings++;
        head->chunked = value_size == 7 && strncasecmp(value, "chunked", 7) == 0;
    } else if (names(key, STR("Host"))) {
        head->hosts++;
    } else if (!is_token(key)) {
        head->odd_name = true;
    }
    return MHD_YES;
}

/* Framing that two servers in a row may read differently is refused (RFC 9112 §6.1, §6.3): it is
 * how a request is smuggled past a proxy. */
static bool read_framing(const struct head *head, struct body_head *out)
{
    int64_t size = 0;
    if (head->lengths > 1 || head->encodings > 1 || (head->lengths && head->encodings) ||
        (head->encodings && !head->chunked) ||
        (head->lengths && !str_to_int(head->length, 0, INT64_MAX, &size)))
        return false;
    *out = (struct body_head){head->chunked || size > 0, !head->chunked, (uint64_t)size};
    return true;
}

static size_t head_size(struct exchange *x)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(x->mhd, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
    return info ? info->header_size : 0;
}

/* Checks here rather than in libmicrohttpd, whose own refusals are pages of HTML that nothing can
 * replace (docs/operations.md tells which are left). False with the answer filled. */
static bool head_is_sound(struct exchange *x, const char *version, struct body_head *body)
{
    struct http_call *call = &x->call;
    struct head head = {0};
    MHD_get_connection_values_n(x->mhd, MHD_HEADER_KIND, see_header, &head);
    if (call->path.n + x->transport.query.n > TARGET_MAX)
        http_problem_status(call, 414, "", "the request's target is longer than 8 KiB");
    else if (head_size(x) > HEAD_MAX)
        http_problem_status(call, 431, "", "the request's head is larger than 16 KiB");
    else if (str_find(call->path, ' ') < call->path.n ||
             str_find(x->transport.query, ' ') < x->transport.query.n)
        http_problem_status(call, 400, "invalid_path", "the request's target has a space in it");
    else if (head.hosts > 1 || (head.hosts == 0 && strcmp(version, "HTTP/1.0") != 0))
        /* RFC 9112 §3.2 */
        http_problem_status(call, 400, "invalid_host", "a request has one Host header");
    else if (head.odd_name)
        /* RFC 9112 §5.1: a space before the colon hides a Content-Length from one of two servers.
         */
        http_problem_status(call, 400, "invalid_header", "the name of a header is not a token");
    else if (!read_framing(&head, body))
        http_problem_status(call, 400, "invalid_framing",
                            "Content-Length and Transfer-Encoding do not say one thing");
    return call->status == 0;
}

static void add_header(struct MHD_Response *response, const char *name, const char *value)
{
    if (MHD_add_response_header(response, name, value) != MHD_YES)
        bug("cannot add the header %s to an answer", name);
}

/* The body stays in the call's buffer: the exchange is reset only when the answer has left. */
static struct MHD_Response *response_of(struct http_call *call)
{
    static char nothing[] = "";
    struct MHD_Response *response = MHD_create_response_from_buffer(
        call->out.n, call->out.n ? call->out.p : nothing, MHD_RESPMEM_PERSISTENT);
    if (!response)
        bug("out of memory for an answer");
    return response;
}

static void add_headers(struct MHD_Response *response, struct http_call *call, bool has_body,
                        bool close)
{
    if (has_body)
        add_header(response, "Content-Type",
                   call->content_type ? call->content_type : "application/json");
    add_header(response, "X-Content-Type-Options", "nosniff");
    if (!answer_header(call, "Cache-Control").p)
        add_header(response, "Cache-Control", "no-store");
    for (const struct http_header *h = call->out_headers; h; h = h->next)
        add_header(response, h->name.p, h->value.p);
    struct str id = call_request_id(call);
    if (id.n)
        add_header(response, "X-Request-ID", arena_cstr(&call->arena, id));
    if (close)
        add_header(response, "Connection", "close");
}

static enum MHD_Result answer(struct exchange *x, bool close)
{
    struct http_call *call = &x->call;
    size_t sent = call->out.n;
    struct MHD_Response *response = response_of(call);
    add_headers(response, call, sent != 0,
                close || atomic_load_explicit(&x->server->stopping, memory_order_relaxed));
    metrics_count(x->connection->shard, call->route, call->status, clock_monotonic() - x->started,
                  call->body.n, sent);
    enum MHD_Result rc = MHD_queue_response(x->mhd, (unsigned)call->status, response);
    MHD_destroy_response(response);
    return rc;
}

static void unlink_suspended(struct exchange *x)
{
    struct http_server *s = x->server;
    pthread_mutex_lock(&s->later_lock);
    if (x->prev)
        x->prev->next = x->next;
    else
        s->suspended = x->next;
    if (x->next)
        x->next->prev = x->prev;
    x->prev = x->next = NULL;
    x->linked = false;
    atomic_fetch_sub_explicit(&s->waiting, 1, memory_order_relaxed);
    pthread_mutex_unlock(&s->later_lock);
}

/* SUSPENDED, or RUNNING if the server is closing, becomes ABANDONED. Under later_lock. */
static bool try_abandon(struct exchange *x, int from)
{
    atomic_fetch_add(&x->server->references, 1);
    if (atomic_compare_exchange_strong(&x->later, &from, LATER_ABANDONED))
        return true;
    atomic_fetch_sub(&x->server->references, 1);
    return false;
}

/* True if the connection now waits; false when the server is closing: then the call is abandoned,
 * or was resumed already. */
static bool suspend(struct exchange *x)
{
    struct http_server *s = x->server;
    pthread_mutex_lock(&s->later_lock);
    if (s->closing) {
        try_abandon(x, LATER_RUNNING);
        pthread_mutex_unlock(&s->later_lock);
        return false;
    }
    x->next = s->suspended;
    if (x->next)
        x->next->prev = x;
    s->suspended = x;
    x->linked = true;
    atomic_fetch_add_explicit(&s->waiting, 1, memory_order_relaxed);
    pthread_mutex_unlock(&s->later_lock);
    MHD_suspend_connection(x->mhd);
    int expected = LATER_RUNNING;
    /* Partner: mhd_resume(). After this the call belongs to whoever resumes it. */
    if (!atomic_compare_exchange_strong(&x->later, &expected, LATER_SUSPENDED))
        MHD_resume_connection(x->mhd);
    return true;
}

/* The connection goes on without its exchange, which its work may still be writing to. */
static enum MHD_Result answer_abandoned(struct exchange *x, void **ctx)
{
    static char problem[] =
        "{\"type\":\"urn:lov:problem:stopping\",\"title\":\"Service Unavailable\",\"status\":503,"
        "\"detail\":\"the server is stopping\",\"reason\":\"stopping\"}";
    struct MHD_Connection *mhd = x->mhd;
    x->connection->exchange = NULL;
    *ctx = NULL;
    release_abandoned(x);
    struct MHD_Response *response =
        MHD_create_response_from_buffer(sizeof problem - 1, problem, MHD_RESPMEM_PERSISTENT);
    if (!response)
        return MHD_NO;
    add_header(response, "Content-Type", "application/problem+json");
    add_header(response, "X-Content-Type-Options", "nosniff");
    add_header(response, "Cache-Control", "no-store");
    add_header(response, "Retry-After", "1");
    add_header(response, "Connection", "close");
    const char *id = MHD_lookup_connection_value(mhd, MHD_HEADER_KIND, "X-Request-ID");
    if (id && *id)
        add_header(response, "X-Request-ID", id);
    enum MHD_Result rc = MHD_queue_response(mhd, 503, response);
    MHD_destroy_response(response);
    return rc;
}

/* ---- answers in parts ---- */

/* The next part, into call->out. False when it comes later: the connection waits. */
static bool next_part(struct exchange *x)
{
    buf_clear(&x->call.out);
    x->taken = 0;
    x->part = call_continue(&x->call);
    while (x->part == HTTP_LATER) {
        if (suspend(x))
            return false;
        /* exchange_end() lets go of an abandoned one. */
        if (atomic_load(&x->later) == LATER_ABANDONED) {
            x->part = LOV_EUNAVAILABLE;
            return true;
        }
        atomic_store(&x->later, LATER_RUNNING);
        x->part = call_continue(&x->call);
    }
    return true;
}

/* Comes again behind each part, and when a connection that waited was resumed. */
static ssize_t read_parts(void *cls, uint64_t at, char *out, size_t room)
{
    struct exchange *x = cls;
    (void)at;
    if (x->linked) {
        unlink_suspended(x);
        if (atomic_load(&x->later) == LATER_ABANDONED)
            return MHD_CONTENT_READER_END_WITH_ERROR;
        atomic_store(&x->later, LATER_RUNNING);
        if (!next_part(x))
            return 0;
    }
    while (x->taken == x->call.out.n) {
        if (x->part < 0)
            return MHD_CONTENT_READER_END_WITH_ERROR;
        if (x->part == 0)
            return MHD_CONTENT_READER_END_OF_STREAM;
        if (!next_part(x))
            return 0;
    }
    size_t n = x->call.out.n - x->taken < room ? x->call.out.n - x->taken : room;
    memcpy(out, x->call.out.p + x->taken, n);
    x->taken += n;
    x->sent += n;
    return (ssize_t)n;
}

static enum MHD_Result answer_in_parts(struct exchange *x)
{
    enum { AT_ONCE = 64 << 10 };
    struct http_call *call = &x->call;
    struct MHD_Response *response =
        MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, AT_ONCE, read_parts, x, NULL);
    if (!response)
        bug("out of memory for an answer");
    call->begun = true;
    x->part = HTTP_MORE;
    add_headers(response, call, true,
                atomic_load_explicit(&x->server->stopping, memory_order_relaxed));
    enum MHD_Result rc = MHD_queue_response(x->mhd, (unsigned)call->status, response);
    MHD_destroy_response(response);
    return rc;
}

static enum MHD_Result proceed(struct exchange *x, int rc, void **ctx)
{
    while (rc == HTTP_LATER) {
        if (suspend(x))
            return MHD_YES;
        if (atomic_load(&x->later) == LATER_ABANDONED)
            return answer_abandoned(x, ctx);
        atomic_store(&x->later, LATER_RUNNING);
        rc = call_continue(&x->call);
    }
    return rc == HTTP_MORE ? answer_in_parts(x) : answer(x, false);
}

void exchange_abandon_all(struct http_server *s)
{
    static const struct timespec moment = {.tv_nsec = 1000000};
    for (bool more = true; more; nanosleep(&moment, NULL)) {
        pthread_mutex_lock(&s->later_lock);
        s->closing = true;
        for (struct exchange *x = s->suspended; x; x = x->next)
            if (try_abandon(x, LATER_SUSPENDED))
                MHD_resume_connection(x->mhd);
        /* Their workers take them off the list; one that was just being suspended is met in the
         * next round. */
        more = s->suspended != NULL;
        pthread_mutex_unlock(&s->later_lock);
    }
}

/* The request is whole, or as much of it as will be read; false when the watcher was faster. */
static bool stop_reading(struct exchange *x)
{
    int expected = PHASE_READING;
    return atomic_compare_exchange_strong(&x->connection->phase, &expected, PHASE_RUNNING);
}

/* Without reading on: the connection closes behind it. */
static enum MHD_Result answer_early(struct exchange *x)
{
    return stop_reading(x) ? answer(x, true) : MHD_NO;
}

/* First time for a request: the head is there. */
static enum MHD_Result begin(struct exchange *x, const char *method, const char *version)
{
    struct http_call *call = &x->call;
    x->begun = true;
    call->method = str_of(method);
    struct body_head body = {0};
    x->transport.overloaded =
        atomic_load_explicit(&x->server->waiting, memory_order_relaxed) >= x->server->later_max;
    if (!head_is_sound(x, version, &body))
        return answer_early(x);
    if (call_admit(call, &body)) {
        if (body.known)
            buf_reserve(&x->body, body.size < BODY_KEEP ? (size_t)body.size : BODY_KEEP);
        return MHD_YES;
    }
    if (body.present && (call->status == 413 || !body.known || body.size > DISCARD_MAX))
        return answer_early(x);
    x->discard = true;
    return MHD_YES;
}

static enum MHD_Result take_body(struct exchange *x, const char *upload, size_t *size)
{
    size_t n = *size;
    *size = 0;
    if (!x->discard && x->body.n + n > x->call.route->body_max) {
        /* Only chunked bodies come here: the others were refused by their length. */
        http_problem_status(&x->call, 413, "too_large", "the body is larger than this call admits");
        x->discard = true;
        buf_clear(&x->body);
    }
    if (!x->discard) {
        buf_add(&x->body, upload, n);
        return MHD_YES;
    }
    x->discarded += n;
    return x->discarded <= DISCARD_MAX ? MHD_YES : MHD_NO;
}

static enum MHD_Result finish(struct exchange *x, void **ctx)
{
    if (!stop_reading(x))
        return MHD_NO;
    if (x->discard)
        return answer(x, false);
    x->ran = true;
    x->call.body = buf_view(&x->body);
    return proceed(x, call_run(&x->call), ctx);
}

enum MHD_Result exchange_handle(void *cls, struct MHD_Connection *mhd, const char *url,
                                const char *method, const char *version, const char *upload,
                                size_t *upload_size, void **ctx)
{
    (void)cls;
    (void)mhd;
    (void)url;
    struct exchange *x = *ctx;
    if (!x->begun)
        return begin(x, method, version);
    if (*upload_size)
        return take_body(x, upload, upload_size);
    if (!x->ran)
        return finish(x, ctx);
    /* Resumed, or abandoned. */
    unlink_suspended(x);
    if (atomic_load(&x->later) == LATER_ABANDONED)
        return answer_abandoned(x, ctx);
    atomic_store(&x->later, LATER_RUNNING);
    return proceed(x, call_continue(&x->call), ctx);
}

void exchange_end(void *cls, struct MHD_Connection *mhd, void **ctx,
                  enum MHD_RequestTerminationCode why)
{
    (void)cls;
    (void)why;
    struct connection *connection = connection_of(mhd);
    struct exchange *x = *ctx;
    *ctx = NULL;
    /* A client that left while its call waited is noticed when the call is resumed, and then the
     * request ends without coming back to exchange_handle. */
    if (x && x->linked)
        unlink_suspended(x);
    if (x && x->call.begun)
        metrics_count(connection->shard, x->call.route, x->call.status,
                      clock_monotonic() - x->started, x->call.body.n, x->sent);
    if (x && atomic_load(&x->later) == LATER_ABANDONED) {
        connection->exchange = NULL;
        release_abandoned(x);
    } else if (x) {
        exchange_reset(x);
    }
    if (atomic_load_explicit(&connection->phase, memory_order_relaxed) != PHASE_CUT)
        set_phase(connection, PHASE_IDLE, clock_monotonic());
}
