/*
 * test_http_world.h - a server with a few routes, and a client that sends what it is told, for the
 * tests that go over real sockets.
 */
#ifndef LOV_TEST_HTTP_WORLD_H
#define LOV_TEST_HTTP_WORLD_H

#include <arpa/inet.h>
#include <errno.h>
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
#include <sys/resource.h>
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
    sem_t arrived; /* a call of /v1/wait waits */
    struct http_call *waiting;
    _Atomic int parts_made, parts_released; /* of /v1/parts */
};

static inline int which_thread(struct http_call *call)
{
    call->status = 200;
    buf_printf(&call->out, "%lu", (unsigned long)pthread_self());
    return 0;
}

static inline int hello(struct http_call *call)
{
    call->status = 200;
    buf_printf(&call->out, "{\"id\":\"%.*s\",\"local\":%s}", STR_ARG(call->param[0]),
               call->local ? "true" : "false");
    return 0;
}

static inline int echo(struct http_call *call)
{
    call->status = 200;
    buf_str(&call->out, call->body);
    return 0;
}

static inline int own_headers(struct http_call *call)
{
    call->status = 204;
    http_answer_header(call, "Cache-Control", STR("max-age=60"));
    http_answer_header(call, "ETag", STR("\"7\""));
    return 0;
}

static inline int after_work(struct http_call *call)
{
    call->status = 200;
    buf_printf(&call->out, "\"%.*s %s\"", STR_ARG(call->path), call->work ? "worked" : "lost");
    return 0;
}

static inline void *work(void *ctx)
{
    struct http_call *call = ctx;
    call->work = call;
    http_resume(call);
    return NULL;
}

/* In another thread, which may be faster than the return from here. */
static inline int later(struct http_call *call)
{
    pthread_t thread;
    call->then = after_work;
    assert_int_equal(pthread_create(&thread, NULL, work, call), 0);
    pthread_detach(thread);
    return HTTP_LATER;
}

static inline int at_once(struct http_call *call)
{
    call->then = after_work;
    work(call);
    return HTTP_LATER;
}

static inline int until_told(struct http_call *call)
{
    struct world *world = call->app;
    call->then = after_work;
    world->waiting = call;
    sem_post(&world->arrived);
    return HTTP_LATER;
}

/* An answer in parts: each of PART bytes of one letter; every third comes from another thread. */
enum { PART = 10000 };
struct parts {
    int made, wanted;
    bool breaks, waited;
};

static inline int next_part_of(struct http_call *call);

static inline void *wake(void *ctx)
{
    http_resume(ctx);
    return NULL;
}

static inline int give_part_of(struct http_call *call, struct parts *p)
{
    struct world *world = call->app;
    if (p->breaks && p->made == p->wanted)
        return LOV_EIO;
    for (int i = 0; i < PART; i++)
        buf_char(&call->out, (char)('a' + p->made % 26));
    p->made++;
    p->waited = false;
    world->parts_made++;
    call->then = next_part_of;
    return p->made == p->wanted && !p->breaks ? 0 : HTTP_MORE;
}

static inline int next_part_of(struct http_call *call)
{
    struct parts *p = call->work;
    pthread_t thread;
    if (p->made % 3 || p->waited)
        return give_part_of(call, p);
    p->waited = true;
    call->then = next_part_of;
    assert_int_equal(pthread_create(&thread, NULL, wake, call), 0);
    pthread_detach(thread);
    return HTTP_LATER;
}

static inline void release_parts(struct http_call *call)
{
    struct world *world = call->app;
    free(call->work);
    world->parts_released++;
}

static inline int in_parts(struct http_call *call)
{
    struct parts *p = calloc(1, sizeof *p);
    p->breaks = call->param[0].p[0] == '-';
    p->wanted = abs(atoi(call->param[0].p));
    call->work = p;
    call->release = release_parts;
    call->status = 200;
    call->content_type = "text/plain";
    return give_part_of(call, p);
}

static inline int told_otherwise(struct http_call *call, int status, const char *reason,
                                 const char *detail)
{
    assert_true(*detail);
    call->status = status;
    call->content_type = "text/plain";
    buf_printf(&call->out, "no: %s", reason);
    return 0;
}

/* Goes on as GET of what its last part names. */
static inline int go_on(struct http_call *call)
{
    struct str target = arena_printf(&call->arena, "/v1/%.*s", STR_ARG(call->param[0]));
    call->problem = told_otherwise;
    return http_go_on(call, target.p);
}

static inline int authenticate(struct http_call *call, struct err *err)
{
    if (str_is(http_header(call, "Authorization"), "Bearer good"))
        return 0;
    return err_set(err, LOV_EAUTH, "no key, or an unknown one");
}

static inline uint64_t one_caller(const struct http_call *call)
{
    (void)call;
    return 1;
}

static const struct http_route routes[] = {
    {.method = "GET", .pattern = "/v1/hello/{id}", .handler = hello, .open = true},
    {.method = "GET", .pattern = "/v1/thread", .handler = which_thread, .open = true},
    {.method = "POST", .pattern = "/v1/echo", .handler = echo, .open = true, .body_max = 100000},
    {.method = "POST", .pattern = "/access/v1/e", .handler = echo, .open = true, .body_max = 1000},
    {.method = "GET", .pattern = "/v1/closed", .handler = own_headers},
    {.method = "POST", .pattern = "/v1/closed", .handler = echo, .body_max = 1000},
    {.method = "GET", .pattern = "/v1/later", .handler = later, .open = true},
    {.method = "GET", .pattern = "/v1/at-once", .handler = at_once, .open = true},
    {.method = "GET", .pattern = "/v1/wait", .handler = until_told, .open = true},
    {.method = "GET", .pattern = "/v1/parts/{n}", .handler = in_parts, .open = true},
    {.method = "GET", .pattern = "/v1/on/{rest...}", .handler = go_on, .open = true},
    {.method = "POST",
     .pattern = "/v1/wait",
     .handler = until_told,
     .open = true,
     .body_max = 1000},
    {.method = "GET", .pattern = "/healthz", .handler = hello, .open = true, .last_to_shed = true},
};

static inline void start(struct world *world)
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

static inline int setup(void **state)
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
    world->options = (struct http_options){
        .listen = "127.0.0.1:0", .socket_path = world->socket_path, .threads = 2, .log = &log};
    *state = world;
    return 0;
}

static inline int teardown(void **state)
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

static inline int patient(int fd)
{
    struct timeval limit = {.tv_sec = 10};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    return fd;
}

static inline int dial_with(const struct world *world, int fd)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const char *colon = strrchr(http_server_address(world->server).p, ':');
    to.sin_port = htons((uint16_t)strtol(colon + 1, NULL, 10));
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    return patient(fd);
}

static inline int dial(const struct world *world)
{
    return dial_with(world, socket(AF_INET, SOCK_STREAM, 0));
}

static inline int dial_unix(const char *path)
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

static inline void say(int fd, const char *text)
{
    size_t n = strlen(text);
    assert_int_equal(send(fd, text, n, MSG_NOSIGNAL), (ssize_t)n);
}

struct answer {
    int status; /* 0: the connection ended */
    char head[2048], body[4096];
};

/* One answer with a Content-Length; `no_body` for HEAD. */
static inline struct answer hear(int fd, bool no_body)
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

static inline struct answer ask(int fd, const char *request)
{
    say(fd, request);
    return hear(fd, false);
}

/* True if the peer closes within the client's patience. */
static inline bool ends(int fd)
{
    char c;
    ssize_t n = recv(fd, &c, 1, 0);
    return n == 0 || (n < 0 && errno == ECONNRESET);
}

static inline struct answer ask_once(const struct world *world, const char *request)
{
    int fd = dial(world);
    struct answer a = ask(fd, request);
    close(fd);
    return a;
}

#define HOST "Host: x\r\n"
#define JSON "Content-Type: application/json\r\n"

#endif
