/* test_http_life.c - where the server listens, its keys, and how it stops. */
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>

#include "test_http_world.h"

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
    assert_int_equal(http_server_start(&world->options, &app, &world->server, &err), LOV_ECONFLICT);
    assert_int_equal(access(world->socket_path, F_OK), 0);
}

static void test_addresses_are_checked_before_they_are_listened_on(void **state)
{
    struct world *world = *state;
    static const char *const bad[] = {
        "0.0.0.0:0",       "[::]:0", "10.0.0.1:0", "127.0.0.1", "127.0.0.1:", "127.0.0.1:x",
        "127.0.0.1:70000", "::1:80", "[::1]80",    "[::1",      ":80",        ""};
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

struct knocker {
    struct sockaddr_in at;
    _Atomic bool gone;
    _Atomic int knocks;
};

/* Comes and goes, as often as it can, until the server is gone. */
static void *knock(void *ctx)
{
    struct knocker *k = ctx;
    while (!k->gone) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)!connect(fd, (struct sockaddr *)&k->at, sizeof k->at);
        close(fd);
        k->knocks++;
    }
    return NULL;
}

static void test_stopping_races_with_clients_that_come(void **state)
{
    enum { ROUNDS = 150, CLIENTS = 3 };
    struct world *world = *state;
    world->options.threads = 4;
    for (int i = 0; i < ROUNDS; i++) {
        pthread_t clients[CLIENTS];
        start(world);
        int port = atoi(strrchr(http_server_address(world->server).p, ':') + 1);
        struct knocker knocker = {.at = {.sin_family = AF_INET,
                                         .sin_port = htons((uint16_t)port),
                                         .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}};
        for (int k = 0; k < CLIENTS; k++)
            pthread_create(&clients[k], NULL, knock, &knocker);
        while (knocker.knocks < 300 + i)
            sched_yield();
        http_server_stop(world->server, 0);
        world->server = NULL;
        knocker.gone = true;
        for (int k = 0; k < CLIENTS; k++)
            pthread_join(clients[k], NULL);
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
        cmocka_unit_test_setup_teardown(test_the_local_socket_is_the_operators, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_stale_local_socket_is_replaced_and_a_file_is_not,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_addresses_are_checked_before_they_are_listened_on,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_stop_waits_for_the_calls_in_flight, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_stop_that_waits_no_longer_lets_work_end_in_peace,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_stopping_races_with_resuming, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stopping_races_with_clients_that_come, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_tls_takes_new_certificates_and_keeps_good_ones, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(
            test_tls_refuses_a_key_that_others_can_read_or_that_does_not_fit, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
