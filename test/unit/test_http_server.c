/* test_http_server.c - the server over real sockets, byte for byte. */
#include <arpa/inet.h>
#include <errno.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <netinet/in.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "http/http.h"

/* ---- the application under the server ---- */

struct world {
    struct http_server *server;
    struct http_options options;
    char folder[64], socket_path[96], cert[96], key[96];
    sem_t arrived;            /* a call of /v1/wait waits */
    struct http_call *waiting;
};

static int hello(struct http_call *call)
{
    call->status = 200;
    buf_printf(&call->out, "{\"id\":\"%.*s\",\"local\":%s}", STR_ARG(call->param[0]),
               call->local ? "true" : "false");
    return 0;
}

static int echo(struct http_call *call)
{
    call->status = 200;
    buf_str(&call->out, call->body);
    return 0;
}

static int own_headers(struct http_call *call)
{
    call->status = 204;
    http_answer_header(call, "Cache-Control", STR("max-age=60"));
    http_answer_header(call, "ETag", STR("\"7\""));
    return 0;
}

static int after_work(struct http_call *call)
{
    call->status = 200;
    buf_printf(&call->out, "\"%.*s %s\"", STR_ARG(call->path), call->work ? "worked" : "lost");
    return 0;
}

static void *work(void *ctx)
{
    struct http_call *call = ctx;
    call->work = call;
    http_resume(call);
    return NULL;
}

/* In another thread, which may be faster than the return from here. */
static int later(struct http_call *call)
{
    pthread_t thread;
    call->then = after_work;
    assert_int_equal(pthread_create(&thread, NULL, work, call), 0);
    pthread_detach(thread);
    return HTTP_LATER;
}

static int at_once(struct http_call *call)
{
    call->then = after_work;
    work(call);
    return HTTP_LATER;
}

static int until_told(struct http_call *call)
{
    struct world *world = call->app;
    call->then = after_work;
    world->waiting = call;
    sem_post(&world->arrived);
    return HTTP_LATER;
}

static int authenticate(struct http_call *call, struct err *err)
{
    if (str_is(http_header(call, "Authorization"), "Bearer good"))
        return 0;
    return err_set(err, LOV_EAUTH, "no key, or an unknown one");
}

static uint64_t one_caller(const struct http_call *call)
{
    (void)call;
    return 1;
}

static const struct http_route routes[] = {
    {.method = "GET", .pattern = "/v1/hello/{id}", .handler = hello, .open = true},
    {.method = "POST", .pattern = "/v1/echo", .handler = echo, .open = true, .body_max = 100000},
    {.method = "POST", .pattern = "/access/v1/e", .handler = echo, .open = true, .body_max = 1000},
    {.method = "GET", .pattern = "/v1/closed", .handler = own_headers},
    {.method = "POST", .pattern = "/v1/closed", .handler = echo, .body_max = 1000},
    {.method = "GET", .pattern = "/v1/later", .handler = later, .open = true},
    {.method = "GET", .pattern = "/v1/at-once", .handler = at_once, .open = true},
    {.method = "GET", .pattern = "/v1/wait", .handler = until_told, .open = true},
    {.method = "GET", .pattern = "/healthz", .handler = hello, .open = true, .last_to_shed = true},
};

static void start(struct world *world)
{
    struct err err = {0};
    struct http_app app = {.ctx = world,
                           .routes = routes,
                           .route_count = sizeof routes / sizeof *routes,
                           .authenticate = authenticate,
                           .caller = one_caller};
    if (http_server_start(&world->options, &app, &world->server, &err))
        fail_msg("%s", err.text);
}

static int setup(void **state)
{
    struct world *world = calloc(1, sizeof *world);
    static struct log log = {.fd = 2, .level = LOG_ERROR};
    snprintf(world->folder, sizeof world->folder, "/tmp/lov-http-XXXXXX");
    if (!world || !mkdtemp(world->folder))
        return -1;
    snprintf(world->socket_path, sizeof world->socket_path, "%s/lov.sock", world->folder);
    snprintf(world->cert, sizeof world->cert, "%s/cert.pem", world->folder);
    snprintf(world->key, sizeof world->key, "%s/key.pem", world->folder);
    sem_init(&world->arrived, 0, 0);
    world->options = (struct http_options){.listen = "127.0.0.1:0",
                                           .socket_path = world->socket_path,
                                           .threads = 2,
                                           .log = &log};
    *state = world;
    return 0;
}

static int teardown(void **state)
{
    struct world *world = *state;
    http_server_stop(world->server, 1);
    unlink(world->socket_path);
    unlink(world->cert);
    unlink(world->key);
    rmdir(world->folder);
    sem_destroy(&world->arrived);
    free(world);
    return 0;
}

/* ---- a client that does what it is told ---- */

static int patient(int fd)
{
    struct timeval limit = {.tv_sec = 10};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    return fd;
}

static int dial(const struct world *world)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const char *colon = strrchr(http_server_address(world->server).p, ':');
    to.sin_port = htons((uint16_t)strtol(colon + 1, NULL, 10));
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    return patient(fd);
}

static int dial_unix(const char *path)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    snprintf(to.sun_path, sizeof to.sun_path, "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (connect(fd, (struct sockaddr *)&to, sizeof to) != 0) {
        close(fd);
        return -1;
    }
    return patient(fd);
}

static void say(int fd, const char *text)
{
    size_t n = strlen(text);
    assert_int_equal(send(fd, text, n, MSG_NOSIGNAL), (ssize_t)n);
}

struct answer {
    int status; /* 0: the connection ended */
    char head[2048], body[4096];
};

/* One answer with a Content-Length; `no_body` for HEAD. */
static struct answer hear(int fd, bool no_body)
{
    struct answer a = {0};
    size_t n = 0;
    while (n + 1 < sizeof a.head && !strstr(a.head, "\r\n\r\n")) {
        if (recv(fd, a.head + n, 1, 0) != 1)
            return (struct answer){0};
        n++;
    }
    a.status = (int)strtol(a.head + 9, NULL, 10);
    const char *length = strstr(a.head, "Content-Length: ");
    size_t size = length && !no_body ? strtoul(length + 16, NULL, 10) : 0;
    assert_true(size < sizeof a.body);
    for (n = 0; n < size;) {
        ssize_t got = recv(fd, a.body + n, size - n, 0);
        assert_true(got > 0);
        n += (size_t)got;
    }
    return a;
}

static struct answer ask(int fd, const char *request)
{
    say(fd, request);
    return hear(fd, false);
}

/* True if the peer closes within the client's patience. */
static bool ends(int fd)
{
    char c;
    ssize_t n = recv(fd, &c, 1, 0);
    return n == 0 || (n < 0 && errno == ECONNRESET);
}

static struct answer ask_once(const struct world *world, const char *request)
{
    int fd = dial(world);
    struct answer a = ask(fd, request);
    close(fd);
    return a;
}

#define HOST "Host: x\r\n"
#define JSON "Content-Type: application/json\r\n"

/* ---- tests ---- */

static void test_one_connection_carries_many_requests(void **state)
{
    struct world *world = *state;
    start(world);
    int fd = dial(world);
    for (int i = 0; i < 50; i++) {
        struct answer a = ask(fd, "GET /v1/hello/a%20b?x=1 HTTP/1.1\r\n" HOST "\r\n");
        assert_int_equal(a.status, 200);
        assert_string_equal(a.body, "{\"id\":\"a b\",\"local\":false}");
        a = ask(fd, "POST /v1/echo HTTP/1.1\r\n" HOST JSON "Content-Length: 7\r\n\r\n{\"a\":1}");
        assert_string_equal(a.body, "{\"a\":1}");
        assert_int_equal(ask(fd, "GET /v1/later HTTP/1.1\r\n" HOST "\r\n").status, 200);
    }
    close(fd);
}

static void test_pipelined_requests_are_answered_in_order(void **state)
{
    struct world *world = *state;
    start(world);
    int fd = dial(world);
    say(fd, "GET /v1/hello/1 HTTP/1.1\r\n" HOST "\r\n"
            "GET /v1/later HTTP/1.1\r\n" HOST "\r\n"
            "POST /v1/echo HTTP/1.1\r\n" HOST JSON "Content-Length: 2\r\n\r\n{}"
            "POST /v1/nowhere HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nGET /"
            "GET /v1/at-once HTTP/1.1\r\n" HOST "\r\n");
    assert_string_equal(hear(fd, false).body, "{\"id\":\"1\",\"local\":false}");
    assert_string_equal(hear(fd, false).body, "\"/v1/later worked\"");
    assert_string_equal(hear(fd, false).body, "{}");
    assert_int_equal(hear(fd, false).status, 404);
    assert_string_equal(hear(fd, false).body, "\"/v1/at-once worked\"");
    close(fd);
}

static void test_every_answer_has_its_headers(void **state)
{
    struct world *world = *state;
    start(world);
    static const char *const requests[] = {
        "GET /v1/hello/1 HTTP/1.1\r\n" HOST "X-Request-ID: r-1\r\n\r\n",
        "GET /v1/nowhere HTTP/1.1\r\n" HOST "X-Request-ID: r-1\r\n\r\n",
        "GET /v1/closed HTTP/1.1\r\n" HOST "X-Request-ID: r-1\r\n\r\n",
        "GET /v1/later HTTP/1.1\r\n" HOST "X-Request-ID: r-1\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++) {
        struct answer a = ask_once(world, requests[i]);
        assert_non_null(strstr(a.head, "\r\nX-Request-ID: r-1\r\n"));
        assert_non_null(strstr(a.head, "\r\nX-Content-Type-Options: nosniff\r\n"));
        assert_non_null(strstr(a.head, "\r\nCache-Control: no-store\r\n"));
        assert_null(strcasestr(a.head, "\r\nServer:"));
        assert_int_equal(strstr(a.head, "\r\nWWW-Authenticate: Bearer\r\n") != NULL,
                         a.status == 401);
    }
    struct answer a =
        ask_once(world, "GET /v1/closed HTTP/1.1\r\n" HOST "Authorization: Bearer good\r\n\r\n");
    assert_int_equal(a.status, 204);
    assert_non_null(strstr(a.head, "\r\nCache-Control: max-age=60\r\n"));
    assert_null(strstr(a.head, "no-store"));
    assert_non_null(strstr(a.head, "\r\nETag: \"7\"\r\n"));
    assert_null(strstr(a.head, "X-Request-ID"));
}

static void test_head_and_wrong_methods(void **state)
{
    struct world *world = *state;
    start(world);
    int fd = dial(world);
    say(fd, "HEAD /v1/hello/1 HTTP/1.1\r\n" HOST "\r\n");
    struct answer a = hear(fd, true);
    assert_int_equal(a.status, 200);
    assert_non_null(strstr(a.head, "\r\nContent-Length: 24\r\n"));
    a = ask(fd, "DELETE /v1/closed HTTP/1.1\r\n" HOST "\r\n");
    assert_int_equal(a.status, 405);
    assert_non_null(strstr(a.head, "\r\nAllow: GET, HEAD, POST\r\n"));
    assert_int_equal(ask(fd, "OPTIONS /v1/closed HTTP/1.1\r\n" HOST "\r\n").status, 405);
    assert_int_equal(ask(fd, "GET /v1/hello/%0d HTTP/1.1\r\n" HOST "\r\n").status, 400);
    close(fd);
}

static void test_chunked_bodies_count_against_the_limit(void **state)
{
    struct world *world = *state;
    start(world);
    int fd = dial(world);
    struct answer a = ask(fd, "POST /access/v1/e HTTP/1.1\r\n" HOST JSON
                              "Transfer-Encoding: chunked\r\n\r\n3\r\n[1,\r\n2\r\n2]\r\n0\r\n\r\n");
    assert_string_equal(a.body, "[1,2]");
    a = ask(fd, "POST /access/v1/e HTTP/1.1\r\n" HOST JSON
                "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
    assert_int_equal(a.status, 400);
    say(fd, "POST /access/v1/e HTTP/1.1\r\n" HOST JSON "Transfer-Encoding: chunked\r\n\r\n");
    char chunk[512];
    snprintf(chunk, sizeof chunk, "190\r\n%0400d\r\n", 0);
    for (int i = 0; i < 3; i++)
        say(fd, chunk);
    assert_int_equal(ask(fd, "0\r\n\r\n").status, 413);
    assert_int_equal(ask(fd, "GET /v1/hello/1 HTTP/1.1\r\n" HOST "\r\n").status, 200);
    close(fd);
}

static void test_a_body_that_is_too_large_is_refused_unread(void **state)
{
    struct world *world = *state;
    start(world);
    int fd = dial(world);
    struct answer a = ask(fd, "POST /v1/echo HTTP/1.1\r\n" HOST JSON
                              "Content-Length: 100001\r\n\r\n");
    assert_int_equal(a.status, 413);
    assert_true(ends(fd));
    close(fd);
    a = ask_once(world, "POST /v1/echo HTTP/1.1\r\n" HOST JSON
                        "Content-Length: 99999999999999999999999\r\n\r\n");
    assert_true(a.status == 413 || a.status == 400);
}

static void test_a_refusal_leaves_a_small_body_behind(void **state)
{
    struct world *world = *state;
    start(world);
    int fd = dial(world);
    for (int i = 0; i < 3; i++) {
        say(fd, "POST /v1/closed HTTP/1.1\r\n" HOST JSON "Content-Length: 10\r\n\r\n");
        assert_int_equal(ask(fd, "0123456789").status, 401);
    }
    assert_int_equal(ask(fd, "POST /v1/echo HTTP/1.1\r\n" HOST
                             "Content-Type: text/plain\r\nContent-Length: 1\r\n\r\n1")
                         .status,
                     415);
    assert_int_equal(ask(fd, "POST /access/v1/e HTTP/1.1\r\n" HOST "Content-Length: 1\r\n\r\n1")
                         .status,
                     400);
    assert_int_equal(ask(fd, "POST /v1/echo HTTP/1.1\r\n" HOST JSON "\r\n").status, 400);
    assert_int_equal(
        ask(fd, "GET /v1/hello/1 HTTP/1.1\r\n" HOST "Content-Length: 1\r\n\r\n1").status, 400);
    close(fd);
}

static void test_framing_with_two_readings_is_refused(void **state)
{
    struct world *world = *state;
    start(world);
    static const char *const framings[] = {
        "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n",
        "Content-Length: 2\r\nContent-Length: 3\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: identity\r\n",
    };
    static const char *const lengths[] = {"+2", "2, 2", "0x2", "-1", "two"};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        char request[512];
        snprintf(request, sizeof request,
                 "POST /v1/echo HTTP/1.1\r\n" HOST JSON "Content-Length: %s\r\n\r\n", lengths[i]);
        assert_int_equal(ask_once(world, request).status, 400);
    }
    for (size_t i = 0; i < sizeof framings / sizeof *framings; i++) {
        char request[512];
        snprintf(request, sizeof request, "POST /v1/echo HTTP/1.1\r\n" HOST JSON "%s\r\n",
                 framings[i]);
        int fd = dial(world);
        assert_int_equal(ask(fd, request).status, 400);
        assert_true(ends(fd));
        close(fd);
    }
}

static void test_heads_that_are_too_long_are_refused(void **state)
{
    struct world *world = *state;
    start(world);
    static char request[40000];
    for (int size = 17000; size < 39000; size += 7000) {
        snprintf(request, sizeof request, "GET /v1/hello/1 HTTP/1.1\r\n" HOST "X-Y: %0*d\r\n\r\n",
                 size, 1);
        struct answer a = ask_once(world, request);
        assert_true(a.status == 431 || a.status == 413 || a.status == 0);
        snprintf(request, sizeof request, "GET /v1/hello/%0*d HTTP/1.1\r\n" HOST "\r\n", size, 1);
        a = ask_once(world, request);
        assert_true(a.status == 414 || a.status == 431 || a.status == 400 || a.status == 0);
    }
}

static void test_nonsense_does_not_reach_a_handler(void **state)
{
    struct world *world = *state;
    start(world);
    static const char *const nonsense[] = {
        "\r\n\r\n\r\n\r\n",
        "GET\r\n\r\n",
        "GET  \r\n\r\n",
        "GET /v1/hello/1\r\n\r\n",
        "GET /v1/hello/1 HTTP/1.1\r\n\r\n",
        "GET /v1/hello/1 HTTP/9.9\r\n" HOST "\r\n",
        "GET /v1/hello/1 2 HTTP/1.1\r\n" HOST "\r\n",
        "\x16\x03\x01\x02\x01\x01\xfc\x03\x03\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof nonsense / sizeof *nonsense; i++) {
        int fd = dial(world);
        say(fd, nonsense[i]);
        shutdown(fd, SHUT_WR);
        struct answer a = hear(fd, false);
        assert_true(a.status == 0 || a.status >= 400);
        close(fd);
    }
    assert_int_equal(ask_once(world, "GET /v1/hello/1 HTTP/1.1\r\n" HOST "\r\n").status, 200);
}

static void test_slow_senders_are_cut(void **state)
{
    struct world *world = *state;
    world->options.idle_seconds = 1;
    start(world);
    int64_t begin = clock_monotonic();
    int silent = dial(world), body = dial(world), head = dial(world);
    say(silent, "GET /v1/he");
    say(body, "POST /v1/echo HTTP/1.1\r\n" HOST JSON "Content-Length: 1000\r\n\r\n");
    say(head, "GET /v1/hello/1 HTTP/1.1\r\n" HOST);
    struct timespec pace = {.tv_nsec = 100000000};
    int sent_body = 0, sent_head = 0;
    /* A byte now and then keeps the connection from being silent. */
    for (int i = 0; i < 60; i++) {
        sent_body += send(body, "1", 1, MSG_NOSIGNAL) == 1;
        sent_head += send(head, "a", 1, MSG_NOSIGNAL) == 1;
        nanosleep(&pace, NULL);
    }
    assert_true(sent_body < 40 && sent_head < 40);
    char byte;
    assert_true(recv(silent, &byte, 1, 0) <= 0);
    assert_true(clock_monotonic() - begin < INT64_C(12000000000));
    close(silent);
    close(body);
    close(head);
}

static void test_the_local_socket_is_the_operators(void **state)
{
    struct world *world = *state;
    start(world);
    struct stat st;
    assert_int_equal(stat(world->socket_path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    int fd = dial_unix(world->socket_path);
    assert_true(fd >= 0);
    assert_string_equal(ask(fd, "GET /v1/hello/1 HTTP/1.1\r\n" HOST "\r\n").body,
                        "{\"id\":\"1\",\"local\":true}");
    assert_int_equal(ask(fd, "GET /v1/later HTTP/1.1\r\n" HOST "\r\n").status, 200);
    close(fd);
    /* Somebody answers: a second server must not take the place. */
    struct err err;
    struct http_server *second;
    struct http_app app = {.routes = routes, .route_count = 1};
    assert_int_equal(http_server_start(&world->options, &app, &second, &err), LOV_ECONFLICT);
    http_server_stop(world->server, 1);
    world->server = NULL;
    assert_int_equal(stat(world->socket_path, &st), -1);
}

static void test_a_stale_local_socket_is_replaced_and_a_file_is_not(void **state)
{
    struct world *world = *state;
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    snprintf(at.sun_path, sizeof at.sun_path, "%s", world->socket_path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    close(fd);
    start(world);
    http_server_stop(world->server, 1);
    world->server = NULL;
    FILE *file = fopen(world->socket_path, "w");
    fclose(file);
    struct err err;
    struct http_app app = {.routes = routes, .route_count = 1};
    assert_int_equal(http_server_start(&world->options, &app, &world->server, &err),
                     LOV_ECONFLICT);
    assert_int_equal(access(world->socket_path, F_OK), 0);
}

static void test_addresses_are_checked_before_they_are_listened_on(void **state)
{
    struct world *world = *state;
    static const char *const bad[] = {"0.0.0.0:0",  "[::]:0",      "10.0.0.1:0",   "127.0.0.1",
                                      "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:70000", "::1:80",
                                      "[::1]80",    "[::1",        ":80",          ""};
    struct err err;
    struct http_app app = {.routes = routes, .route_count = 1};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        world->options.listen = bad[i];
        assert_int_equal(http_server_start(&world->options, &app, &world->server, &err),
                         LOV_EINVAL);
    }
    world->options.listen = "[::1]:0";
    if (http_server_start(&world->options, &app, &world->server, &err) == 0) {
        assert_true(str_starts(http_server_address(world->server), STR("[::1]:")));
        assert_false(str_ends(http_server_address(world->server), STR(":0")));
    } else {
        assert_int_equal(err.code, LOV_EIO); /* a machine without IPv6 */
    }
}

static void test_a_client_may_leave_while_its_call_waits(void **state)
{
    struct world *world = *state;
    start(world);
    for (int i = 0; i < 20; i++) {
        int fd = dial(world);
        say(fd, "GET /v1/wait HTTP/1.1\r\n" HOST "\r\n");
        sem_wait(&world->arrived);
        struct linger reset = {.l_onoff = 1};
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        close(fd);
        work(world->waiting);
    }
    assert_int_equal(ask_once(world, "GET /v1/hello/1 HTTP/1.1\r\n" HOST "\r\n").status, 200);
}

struct crowd {
    const struct world *world;
    int good;
};

static void *ask_many(void *ctx)
{
    struct crowd *crowd = ctx;
    int fd = dial(crowd->world);
    for (int i = 0; i < 300; i++) {
        struct answer a = ask(fd, i % 2 ? "GET /v1/later HTTP/1.1\r\n" HOST "\r\n"
                                        : "GET /v1/at-once HTTP/1.1\r\n" HOST "\r\n");
        crowd->good += a.status == 200 && strstr(a.body, "worked");
    }
    close(fd);
    return NULL;
}

static void test_resuming_races_are_won_by_nobody(void **state)
{
    struct world *world = *state;
    start(world);
    struct crowd crowds[6];
    pthread_t threads[6];
    for (int i = 0; i < 6; i++) {
        crowds[i] = (struct crowd){world, 0};
        assert_int_equal(pthread_create(&threads[i], NULL, ask_many, &crowds[i]), 0);
    }
    for (int i = 0; i < 6; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(crowds[i].good, 300);
    }
}

static void test_too_many_waiting_calls_shed_all_but_the_last(void **state)
{
    struct world *world = *state;
    world->options.later_max = 1;
    start(world);
    int waiting = dial(world), other = dial(world);
    say(waiting, "GET /v1/wait HTTP/1.1\r\n" HOST "\r\n");
    sem_wait(&world->arrived);
    struct answer a;
    int64_t deadline = clock_monotonic() + INT64_C(5000000000);
    /* The handler has not yet returned when it says that it waits. */
    do {
        a = ask(other, "GET /v1/hello/1 HTTP/1.1\r\n" HOST "\r\n");
    } while (a.status == 200 && clock_monotonic() < deadline);
    assert_int_equal(a.status, 503);
    assert_non_null(strstr(a.head, "\r\nRetry-After: 1\r\n"));
    assert_int_equal(ask(other, "GET /healthz HTTP/1.1\r\n" HOST "\r\n").status, 200);
    work(world->waiting);
    assert_int_equal(hear(waiting, false).status, 200);
    assert_int_equal(ask(other, "GET /v1/hello/1 HTTP/1.1\r\n" HOST "\r\n").status, 200);
    close(waiting);
    close(other);
}

static void test_a_caller_beyond_its_rate_waits(void **state)
{
    struct world *world = *state;
    world->options.requests_per_second = 3;
    start(world);
    int fd = dial(world), limited = 0;
    for (int i = 0; i < 10; i++) {
        struct answer a =
            ask(fd, "GET /v1/closed HTTP/1.1\r\n" HOST "Authorization: Bearer good\r\n\r\n");
        limited += a.status == 429 && strstr(a.head, "\r\nRetry-After: 1\r\n");
    }
    assert_true(limited >= 5);
    close(fd);
    _cleanup_buf struct buf text = {0};
    http_server_metrics(world->server, &text);
    char expect[64];
    snprintf(expect, sizeof expect, "\nlov_http_limited_total %d\n", limited);
    assert_non_null(strstr(text.p, expect));
    assert_non_null(strstr(text.p, "lov_http_requests_total{route=\"/v1/closed\",method=\"GET\","
                                   "status=\"4xx\"}"));
    assert_non_null(strstr(text.p, "\nlov_http_request_seconds_count 10\n"));
}

struct stopper {
    struct world *world;
    unsigned seconds;
    int64_t took;
};

static void *stop(void *ctx)
{
    struct stopper *stopper = ctx;
    int64_t begin = clock_monotonic();
    http_server_stop(stopper->world->server, stopper->seconds);
    stopper->took = clock_monotonic() - begin;
    return NULL;
}

static void test_a_stop_waits_for_the_calls_in_flight(void **state)
{
    struct world *world = *state;
    start(world);
    int fd = dial(world), idle = dial(world);
    assert_int_equal(ask(idle, "GET /v1/hello/1 HTTP/1.1\r\n" HOST "\r\n").status, 200);
    say(fd, "GET /v1/wait HTTP/1.1\r\n" HOST "\r\n");
    sem_wait(&world->arrived);
    struct stopper stopper = {world, 30, 0};
    pthread_t thread;
    pthread_create(&thread, NULL, stop, &stopper);
    /* The socket's file is gone once stopping has begun. */
    while (access(world->socket_path, F_OK) == 0)
        sched_yield();
    work(world->waiting);
    struct answer a = hear(fd, false);
    assert_int_equal(a.status, 200);
    assert_string_equal(a.body, "\"/v1/wait worked\"");
    assert_non_null(strstr(a.head, "\r\nConnection: close\r\n"));
    assert_true(ends(fd));
    assert_true(ends(idle));
    pthread_join(thread, NULL);
    world->server = NULL;
    assert_true(stopper.took < INT64_C(10000000000));
    close(fd);
    close(idle);
}

static void test_a_stop_that_waits_no_longer_lets_work_end_in_peace(void **state)
{
    struct world *world = *state;
    start(world);
    int fd = dial(world);
    say(fd, "GET /v1/wait HTTP/1.1\r\n" HOST "\r\n");
    sem_wait(&world->arrived);
    http_server_stop(world->server, 0);
    world->server = NULL;
    assert_int_equal(hear(fd, false).status, 503);
    close(fd);
    /* The work comes to its end after the server. */
    work(world->waiting);
}

static void test_stopping_races_with_resuming(void **state)
{
    struct world *world = *state;
    for (int i = 0; i < 40; i++) {
        start(world);
        int fd = dial(world);
        say(fd, "GET /v1/wait HTTP/1.1\r\n" HOST "\r\n");
        sem_wait(&world->arrived);
        struct stopper stopper = {world, 0, 0};
        pthread_t thread;
        pthread_create(&thread, NULL, stop, &stopper);
        for (int spin = 0; spin < i * 50; spin++)
            sched_yield();
        work(world->waiting);
        pthread_join(thread, NULL);
        world->server = NULL;
        int status = hear(fd, false).status;
        assert_true(status == 200 || status == 503);
        close(fd);
    }
}

/* ---- TLS ---- */

static void make_certificate(const struct world *world, const char *name)
{
    char command[512];
    snprintf(command, sizeof command,
             "umask 077; openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes "
             "-keyout %s -out %s -days 2 -subj /CN=%s 2>/dev/null",
             world->key, world->cert, name);
    assert_int_equal(system(command), 0);
}

/* The subject that the server shows, after a request and its answer; "" when there is no TLS. */
static void ask_tls(const struct world *world, const char *priorities, char *subject, size_t size)
{
    gnutls_session_t session;
    gnutls_certificate_credentials_t credentials;
    int fd = dial(world);
    subject[0] = '\0';
    gnutls_certificate_allocate_credentials(&credentials);
    gnutls_init(&session, GNUTLS_CLIENT);
    gnutls_priority_set_direct(session, priorities, NULL);
    gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, credentials);
    gnutls_transport_set_int(session, fd);
    if (gnutls_handshake(session) == 0) {
        static const char request[] = "GET /v1/hello/1 HTTP/1.1\r\n" HOST "\r\n";
        char text[1024] = "";
        assert_true(gnutls_record_send(session, request, sizeof request - 1) > 0);
        ssize_t got;
        while ((got = gnutls_record_recv(session, text, sizeof text - 1)) == GNUTLS_E_AGAIN ||
               got == GNUTLS_E_INTERRUPTED)
            ;
        assert_true(got > 12 && strncmp(text, "HTTP/1.1 200", 12) == 0);
        unsigned count;
        const gnutls_datum_t *peer = gnutls_certificate_get_peers(session, &count);
        gnutls_x509_crt_t certificate;
        gnutls_x509_crt_init(&certificate);
        gnutls_x509_crt_import(certificate, peer, GNUTLS_X509_FMT_DER);
        gnutls_x509_crt_get_dn(certificate, subject, &size);
        gnutls_x509_crt_deinit(certificate);
        gnutls_bye(session, GNUTLS_SHUT_WR);
    }
    gnutls_deinit(session);
    gnutls_certificate_free_credentials(credentials);
    close(fd);
}

static void test_tls_takes_new_certificates_and_keeps_good_ones(void **state)
{
    struct world *world = *state;
    struct err err;
    char subject[64];
    make_certificate(world, "first");
    world->options.tls_cert = world->cert;
    world->options.tls_key = world->key;
    start(world);
    ask_tls(world, "NORMAL", subject, sizeof subject);
    assert_string_equal(subject, "CN=first");
    ask_tls(world, "NORMAL:-VERS-ALL:+VERS-TLS1.2", subject, sizeof subject);
    assert_string_equal(subject, "CN=first");
    ask_tls(world, "NORMAL:-VERS-ALL:+VERS-TLS1.1", subject, sizeof subject);
    assert_string_equal(subject, "");
    assert_int_equal(http_server_reload(world->server, &err), 0);
    make_certificate(world, "second");
    assert_int_equal(http_server_reload(world->server, &err), 0);
    ask_tls(world, "NORMAL", subject, sizeof subject);
    assert_string_equal(subject, "CN=second");
    FILE *file = fopen(world->cert, "w");
    fputs("not a certificate", file);
    fclose(file);
    assert_int_equal(http_server_reload(world->server, &err), LOV_EINVAL);
    ask_tls(world, "NORMAL", subject, sizeof subject);
    assert_string_equal(subject, "CN=second");
}

static void test_tls_refuses_a_key_that_others_can_read_or_that_does_not_fit(void **state)
{
    struct world *world = *state;
    struct err err;
    char other[128], command[512];
    struct http_app app = {.routes = routes, .route_count = 1};
    make_certificate(world, "first");
    world->options.tls_cert = world->cert;
    world->options.tls_key = world->key;
    chmod(world->key, 0640);
    assert_int_equal(http_server_start(&world->options, &app, &world->server, &err), LOV_EINVAL);
    snprintf(other, sizeof other, "%s/other.pem", world->folder);
    snprintf(command, sizeof command, "mv %s %s", world->cert, other);
    assert_int_equal(system(command), 0);
    make_certificate(world, "second");
    chmod(world->key, 0600);
    world->options.tls_cert = other;
    assert_int_equal(http_server_start(&world->options, &app, &world->server, &err), LOV_EINVAL);
    world->options.tls_cert = NULL;
    assert_int_equal(http_server_start(&world->options, &app, &world->server, &err), LOV_EINVAL);
    unlink(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_one_connection_carries_many_requests, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pipelined_requests_are_answered_in_order, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_every_answer_has_its_headers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_head_and_wrong_methods, setup, teardown),
        cmocka_unit_test_setup_teardown(test_chunked_bodies_count_against_the_limit, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_a_body_that_is_too_large_is_refused_unread, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_a_refusal_leaves_a_small_body_behind, setup, teardown),
        cmocka_unit_test_setup_teardown(test_framing_with_two_readings_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_heads_that_are_too_long_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nonsense_does_not_reach_a_handler, setup, teardown),
        cmocka_unit_test_setup_teardown(test_slow_senders_are_cut, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_local_socket_is_the_operators, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_stale_local_socket_is_replaced_and_a_file_is_not,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_addresses_are_checked_before_they_are_listened_on,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_client_may_leave_while_its_call_waits, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_resuming_races_are_won_by_nobody, setup, teardown),
        cmocka_unit_test_setup_teardown(test_too_many_waiting_calls_shed_all_but_the_last, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_a_caller_beyond_its_rate_waits, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_stop_waits_for_the_calls_in_flight, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_stop_that_waits_no_longer_lets_work_end_in_peace,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_stopping_races_with_resuming, setup, teardown),
        cmocka_unit_test_setup_teardown(test_tls_takes_new_certificates_and_keeps_good_ones, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(
            test_tls_refuses_a_key_that_others_can_read_or_that_does_not_fit, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
