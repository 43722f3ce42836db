/* test_http_server.c - what the server answers, over real sockets, byte for byte. */
#include <fcntl.h>
#include <poll.h>

#include "test_http_world.h"

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
    struct answer a =
        ask(fd, "POST /v1/echo HTTP/1.1\r\n" HOST JSON "Content-Length: 100001\r\n\r\n");
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
    assert_int_equal(
        ask(fd, "POST /access/v1/e HTTP/1.1\r\n" HOST "Content-Length: 1\r\n\r\n1").status, 400);
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
        assert_int_equal(a.status, 431);
        if (size < 30000)
            assert_non_null(strstr(a.body, "\"reason\":\"head_too_large\""));
        snprintf(request, sizeof request, "GET /v1/hello/%0*d HTTP/1.1\r\n" HOST "\r\n", size, 1);
        a = ask_once(world, request);
        assert_int_equal(a.status, 414);
        if (size < 30000)
            assert_non_null(strstr(a.body, "\"reason\":\"target_too_long\""));
    }
    snprintf(request, sizeof request, "GET /v1/hello/%08000d?%0170d HTTP/1.1\r\n" HOST "\r\n", 1,
             1);
    assert_int_equal(ask_once(world, request).status, 400);
    snprintf(request, sizeof request, "GET /v1/hello/%08000d?%0190d HTTP/1.1\r\n" HOST "\r\n", 1,
             1);
    assert_int_equal(ask_once(world, request).status, 414);
}

static void test_heads_that_two_servers_may_read_differently_are_problems(void **state)
{
    struct world *world = *state;
    start(world);
    static const struct {
        const char *request, *reason;
    } cases[] = {
        {"GET /v1/hello/1 HTTP/1.1\r\n\r\n", "invalid_host"},
        {"GET /v1/hello/1 HTTP/1.1\r\n" HOST HOST "\r\n", "invalid_host"},
        {"GET /v1/hello/1 2 HTTP/1.1\r\n" HOST "\r\n", "invalid_path"},
        {"GET /v1/hello/1?a b HTTP/1.1\r\n" HOST "\r\n", "invalid_path"},
        {"POST /v1/echo HTTP/1.1\r\n" HOST JSON "Content-Length : 2\r\n\r\n{}", "invalid_header"},
        {"POST /v1/echo HTTP/1.1\r\n" HOST JSON "Content-Length\t: 2\r\n\r\n{}", "invalid_header"},
        {"GET /v1/hello/1 HTTP/1.1\r\n" HOST "X(Y): 1\r\n\r\n", "invalid_header"},
        {"POST /v1/echo HTTP/1.1\r\n" HOST JSON "Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
         "invalid_framing"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char reason[64];
        snprintf(reason, sizeof reason, "\"reason\":\"%s\"", cases[i].reason);
        int fd = dial(world);
        struct answer a = ask(fd, cases[i].request);
        if (a.status != 400 || !strstr(a.body, reason) ||
            !strstr(a.head, "application/problem+json"))
            fail_msg("%s: %s", cases[i].request, a.body);
        assert_true(ends(fd));
        close(fd);
    }
    assert_int_equal(ask_once(world, "GET /v1/hello/1 HTTP/1.0\r\n\r\n").status, 200);
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
    int silent = dial(world), body = dial(world), head = dial(world), line = dial(world);
    say(silent, "GET /v1/he");
    say(body, "POST /v1/echo HTTP/1.1\r\n" HOST JSON "Content-Length: 1000\r\n\r\n");
    say(head, "GET /v1/hello/1 HTTP/1.1\r\n" HOST);
    say(line, "GET /");
    struct timespec pace = {.tv_nsec = 100000000};
    int sent_body = 0, sent_head = 0, sent_line = 0;
    /* A byte now and then keeps the connection from being silent. */
    for (int i = 0; i < 60; i++) {
        sent_body += send(body, "1", 1, MSG_NOSIGNAL) == 1;
        sent_head += send(head, "a", 1, MSG_NOSIGNAL) == 1;
        sent_line += send(line, "a", 1, MSG_NOSIGNAL) == 1;
        nanosleep(&pace, NULL);
    }
    assert_true(sent_body < 40 && sent_head < 40 && sent_line < 40);
    char byte;
    assert_true(recv(silent, &byte, 1, 0) <= 0);
    assert_true(clock_monotonic() - begin < INT64_C(12000000000));
    close(silent);
    close(body);
    close(head);
    close(line);
}

/* What a worker meets first after the resumption, the end of the stream or the answer that it
 * cannot send, depends on how the client left and on whether the request had a body. */
static void test_a_client_may_leave_while_its_call_waits(void **state)
{
    struct world *world = *state;
    start(world);
    for (int i = 0; i < 80; i++) {
        int fd = dial(world);
        say(fd, i & 1 ? "GET /v1/wait HTTP/1.1\r\n" HOST "\r\n"
                      : "POST /v1/wait HTTP/1.1\r\n" HOST JSON "Content-Length: 2\r\n\r\n{}");
        sem_wait(&world->arrived);
        struct linger reset = {.l_onoff = 1};
        if (i & 2)
            setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        if (i & 4)
            say(fd, "GET /v1/hello/1 HTTP/1.1\r\n" HOST "\r\n");
        close(fd);
        if (i & 8)
            sched_yield();
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

/* Workers take turns by the number of the server's socket; without the ones between, which the
 * client of this process has as well, all would be odd. */
static void test_connections_are_spread_over_the_workers(void **state)
{
    enum { CONNECTIONS = 8 };
    struct world *world = *state;
    start(world);
    int fds[CONNECTIONS], between[CONNECTIONS], first = 0;
    char thread[sizeof((struct answer *)0)->body] = "";
    for (int i = 0; i < CONNECTIONS; i++) {
        fds[i] = dial(world);
        struct answer a = ask(fds[i], "GET /v1/thread HTTP/1.1\r\n" HOST "\r\n");
        if (i == 0)
            memcpy(thread, a.body, sizeof thread);
        first += strcmp(a.body, thread) == 0;
        between[i] = dup(fds[0]);
    }
    assert_in_range(first, CONNECTIONS / 2 - 1, CONNECTIONS / 2 + 1);
    for (int i = 0; i < CONNECTIONS; i++) {
        close(fds[i]);
        close(between[i]);
    }
}

static void test_who_comes_while_no_file_can_be_opened_waits(void **state)
{
    enum { HOLES = 32 };
    struct world *world = *state;
    struct rlimit limit, none;
    int fillers[HOLES], filled = 0;
    start(world);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    none = (struct rlimit){(rlim_t)fd + 1, limit.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    while (filled < HOLES && (fillers[filled] = open("/dev/null", O_RDONLY)) >= 0)
        filled++;
    assert_in_range(filled, 0, HOLES - 1);
    dial_with(world, fd);
    say(fd, "GET /v1/hello/1 HTTP/1.1\r\n" HOST "\r\n");
    assert_int_equal(poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, 100), 0);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_int_equal(hear(fd, false).status, 200);
    while (filled)
        close(fillers[--filled]);
    close(fd);
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
        cmocka_unit_test_setup_teardown(
            test_heads_that_two_servers_may_read_differently_are_problems, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nonsense_does_not_reach_a_handler, setup, teardown),
        cmocka_unit_test_setup_teardown(test_slow_senders_are_cut, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_client_may_leave_while_its_call_waits, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_resuming_races_are_won_by_nobody, setup, teardown),
        cmocka_unit_test_setup_teardown(test_too_many_waiting_calls_shed_all_but_the_last, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_a_caller_beyond_its_rate_waits, setup, teardown),
        cmocka_unit_test_setup_teardown(test_connections_are_spread_over_the_workers, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_who_comes_while_no_file_can_be_opened_waits, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
