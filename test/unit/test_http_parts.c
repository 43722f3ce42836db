/* test_http_parts.c - answers that leave in parts: whole, in order, broken off, left by the client,
 * and let go of exactly once in each case. */
#include <sched.h>

#include "base/clock.h"
#include "test_http_world.h"

/* Reads chunks (RFC 9112 §7.1) until the last: the bytes in order, -1 when the connection ended
 * before that. */
static long hear_chunks(int fd, bool *in_order)
{
    struct answer a = hear(fd, true);
    assert_int_equal(a.status, 200);
    assert_non_null(strstr(a.head, "Transfer-Encoding: chunked"));
    assert_null(strstr(a.head, "Content-Length"));
    long total = 0;
    *in_order = true;
    for (;;) {
        char line[32] = "";
        for (size_t n = 0; n + 1 < sizeof line && !strstr(line, "\r\n"); n++)
            if (recv(fd, line + n, 1, 0) != 1)
                return -1;
        long size = strtol(line, NULL, 16);
        for (long i = 0; i < size + 2; i++) {
            char c;
            if (recv(fd, &c, 1, 0) != 1)
                return -1;
            if (i < size)
                *in_order = *in_order && c == 'a' + (total + i) / PART % 26;
        }
        total += size;
        if (!size)
            return total;
    }
}

static void wait_for_release(struct world *world, int count)
{
    int64_t deadline = clock_monotonic() + INT64_C(10000000000);
    while (world->parts_released < count && clock_monotonic() < deadline)
        sched_yield();
    assert_int_equal(world->parts_released, count);
}

static void test_parts_arrive_whole_and_the_connection_goes_on(void **state)
{
    struct world *world = *state;
    bool in_order;
    start(world);
    int fd = dial(world);
    for (int n = 2; n <= 32; n += 6) {
        char request[100];
        snprintf(request, sizeof request, "GET /v1/parts/%d HTTP/1.1\r\n" HOST "\r\n", n);
        say(fd, request);
        assert_int_equal(hear_chunks(fd, &in_order), (long)n * PART);
        assert_true(in_order);
    }
    assert_int_equal(ask(fd, "GET /v1/hello/x HTTP/1.1\r\n" HOST "\r\n").status, 200);
    close(fd);
    wait_for_release(world, 6);
}

static void test_an_answer_that_breaks_off_is_seen_not_to_be_whole(void **state)
{
    struct world *world = *state;
    bool in_order;
    start(world);
    int fd = dial(world);
    say(fd, "GET /v1/parts/-5 HTTP/1.1\r\n" HOST "\r\n");
    assert_int_equal(hear_chunks(fd, &in_order), -1);
    close(fd);
    wait_for_release(world, 1);
    assert_int_equal(world->parts_made, 5);
}

static void test_a_client_that_leaves_ends_it(void **state)
{
    struct world *world = *state;
    enum { CLIENTS = 8, MANY = 2000 };
    start(world);
    for (int i = 0; i < CLIENTS; i++) {
        int fd = dial(world), small = 4096;
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
        say(fd, "GET /v1/parts/2000 HTTP/1.1\r\n" HOST "\r\n");
        assert_int_equal(hear(fd, true).status, 200);
        close(fd);
    }
    wait_for_release(world, CLIENTS);
    assert_true(world->parts_made < CLIENTS * MANY);
}

static void test_a_server_that_stops_lets_go_of_what_is_under_way(void **state)
{
    struct world *world = *state;
    start(world);
    int fds[4];
    for (int i = 0; i < 4; i++) {
        fds[i] = dial(world);
        say(fds[i], "GET /v1/parts/5000 HTTP/1.1\r\n" HOST "\r\n");
        assert_int_equal(hear(fds[i], true).status, 200);
    }
    http_server_stop(world->server, 0);
    world->server = NULL;
    wait_for_release(world, 4);
    for (int i = 0; i < 4; i++)
        close(fds[i]);
}

static void test_inside_the_process_parts_are_one_answer(void **state)
{
    struct world *world = *state;
    struct http_app app = {
        .ctx = world, .routes = routes, .route_count = sizeof routes / sizeof *routes};
    struct http_call *call = http_call_new("GET", "/v1/parts/7", STR(""));
    http_dispatch(&app, call);
    assert_int_equal(call->status, 200);
    assert_int_equal(call->out.n, 7 * PART);
    http_call_free(call);
    assert_int_equal(world->parts_released, 1);
    call = http_call_new("GET", "/v1/parts/-4", STR(""));
    http_dispatch(&app, call);
    assert_int_equal(call->status, 500);
    assert_true(call->out.n < PART);
    http_call_free(call);
    assert_int_equal(world->parts_released, 2);
}

struct taken {
    int parts;
    size_t bytes, largest;
};

static void take(void *ctx, struct str part)
{
    struct taken *t = ctx;
    t->parts++;
    t->bytes += part.n;
    t->largest = part.n > t->largest ? part.n : t->largest;
}

static void test_inside_the_process_parts_can_be_taken_as_they_come(void **state)
{
    struct world *world = *state;
    struct taken t = {0};
    struct http_app app = {
        .ctx = world, .routes = routes, .route_count = sizeof routes / sizeof *routes};
    struct http_call *call = http_call_new("GET", "/v1/parts/7", STR(""));
    http_call_take_parts(call, take, &t);
    http_dispatch(&app, call);
    assert_int_equal(call->status, 200);
    assert_int_equal(call->out.n, PART);
    assert_int_equal(t.parts, 6);
    assert_int_equal(t.bytes, 6 * PART);
    assert_int_equal(t.largest, PART);
    http_call_free(call);
}

static void test_a_call_goes_on_as_another_one(void **state)
{
    struct world *world = *state;
    bool in_order;
    start(world);
    int fd = dial(world);
    say(fd, "GET /v1/on/parts/5 HTTP/1.1\r\n" HOST "\r\n");
    assert_int_equal(hear_chunks(fd, &in_order), 5 * PART);
    assert_true(in_order);
    struct answer hello_x = ask(fd, "GET /v1/on/hello/x HTTP/1.1\r\n" HOST "\r\n");
    assert_int_equal(hello_x.status, 200);
    assert_non_null(strstr(hello_x.body, "\"id\":\"x\""));
    /* A problem is told as the handler that began wants it, and the next call's as ever. */
    struct answer no = ask(fd, "GET /v1/on/nothing HTTP/1.1\r\n" HOST "\r\n");
    assert_int_equal(no.status, 404);
    assert_string_equal(no.body, "no: not_found");
    no = ask(fd, "GET /v1/nothing HTTP/1.1\r\n" HOST "\r\n");
    assert_int_equal(no.status, 404);
    assert_non_null(strstr(no.body, "urn:lov:problem:not_found"));
    close(fd);
}

static int teardown_stopped(void **state)
{
    struct world *world = *state;
    if (world->server)
        return teardown(state);
    rmdir(world->folder);
    sem_destroy(&world->arrived);
    free(world);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define SERVED(test) cmocka_unit_test_setup_teardown(test, setup, teardown_stopped)
        SERVED(test_parts_arrive_whole_and_the_connection_goes_on),
        SERVED(test_an_answer_that_breaks_off_is_seen_not_to_be_whole),
        SERVED(test_a_client_that_leaves_ends_it),
        SERVED(test_a_server_that_stops_lets_go_of_what_is_under_way),
        SERVED(test_inside_the_process_parts_are_one_answer),
        SERVED(test_inside_the_process_parts_can_be_taken_as_they_come),
        SERVED(test_a_call_goes_on_as_another_one),
#undef SERVED
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
