/* server.c - starts and stops the server. Two daemons of libmicrohttpd share everything: one for
 * TCP with a worker thread a core, one for the local socket with a single worker. */
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/crypt.h"
#include "http/server.h"

enum { OPTIONS_MAX = 16, POOL_MAX = 64, CONNECTION_MEMORY = 32768 };

static size_t no_unescape(void *ctx, struct MHD_Connection *connection, char *text)
{
    (void)ctx;
    (void)connection;
    /* Paths and queries are decoded by query.c, strictly and after they were split. */
    return strlen(text);
}

static unsigned or_default(unsigned value, unsigned otherwise)
{
    return value ? value : otherwise;
}

static unsigned worker_threads(const struct http_options *options)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    unsigned threads = or_default(options->threads, cores > 0 ? (unsigned)cores : 1);
    return threads < POOL_MAX ? threads : POOL_MAX;
}

struct option_list {
    struct MHD_OptionItem items[OPTIONS_MAX];
    size_t count;
};

static void add_option(struct option_list *list, enum MHD_OPTION option, intptr_t value)
{
    list->items[list->count++] = (struct MHD_OptionItem){option, value, NULL};
}

static int start_daemon(struct door *door, const struct http_options *options, struct err *err)
{
    struct http_server *s = door->server;
    unsigned threads = door->local ? 1 : worker_threads(options);
    unsigned connections = or_default(options->connections, 4096);
    unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_TURBO |
                     MHD_USE_NO_LISTEN_SOCKET;
    struct option_list list = {.count = 0};
    if (!door->local && s->tls) {
        flags |= MHD_USE_TLS;
        tls_add_options(list.items, &list.count);
    }
    if (threads > 1)
        add_option(&list, MHD_OPTION_THREAD_POOL_SIZE, (intptr_t)threads);
    if (!door->local && options->connections_per_address)
        add_option(&list, MHD_OPTION_PER_IP_CONNECTION_LIMIT,
                   (intptr_t)options->connections_per_address);
    door->most = connections < threads ? threads : connections;
    add_option(&list, MHD_OPTION_CONNECTION_LIMIT, (intptr_t)door->most);
    add_option(&list, MHD_OPTION_CONNECTION_TIMEOUT,
               (intptr_t)or_default(options->idle_seconds, 30));
    add_option(&list, MHD_OPTION_CONNECTION_MEMORY_LIMIT, CONNECTION_MEMORY);
    /* Its strict checks answer with HTML; exchange.c makes them. */
    add_option(&list, MHD_OPTION_STRICT_FOR_CLIENT, 0);
    add_option(&list, MHD_OPTION_END, 0);
    door->daemon = MHD_start_daemon(
        flags, 0, NULL, NULL, exchange_handle, door, MHD_OPTION_URI_LOG_CALLBACK, exchange_begin,
        door, MHD_OPTION_NOTIFY_COMPLETED, exchange_end, door, MHD_OPTION_NOTIFY_CONNECTION,
        connection_notify, door, MHD_OPTION_UNESCAPE_CALLBACK, no_unescape, NULL, MHD_OPTION_ARRAY,
        list.items, MHD_OPTION_END);
    if (!door->daemon)
        return err_set(err, LOV_EUNAVAILABLE, "cannot start the HTTP threads on %s",
                       door->local ? s->socket_path : s->address);
    return 0;
}

static void init_locks(struct http_server *s)
{
    pthread_condattr_t monotonic;
    pthread_mutex_init(&s->connections_lock, NULL);
    pthread_mutex_init(&s->later_lock, NULL);
    pthread_mutex_init(&s->watch_lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&s->watch_end, &monotonic);
    pthread_condattr_destroy(&monotonic);
}

static struct http_server *server_new(const struct http_options *options,
                                      const struct http_app *app)
{
    struct http_server *s = mem_zero(sizeof *s);
    init_locks(s);
    s->app = *app;
    s->log = options->log;
    s->tcp = (struct door){.server = s, .fd = -1};
    s->unix_door = (struct door){.server = s, .fd = -1, .local = true};
    s->idle_ns = (int64_t)or_default(options->idle_seconds, 30) * 1000000000;
    s->later_max = or_default(options->later_max, 10000);
    s->worker_max = worker_threads(options) + 1;
    s->workers = mem_zero(s->worker_max * sizeof *s->workers);
    s->metrics = metrics_new(app, s->worker_max);
    if (options->requests_per_second)
        s->limiter = limiter_new(options->requests_per_second, 1);
    random_bytes(s->address_key, sizeof s->address_key);
    atomic_store(&s->references, 1);
    return s;
}

void server_unref(struct http_server *s)
{
    if (atomic_fetch_sub(&s->references, 1) != 1)
        return;
    pthread_mutex_destroy(&s->connections_lock);
    pthread_mutex_destroy(&s->later_lock);
    pthread_mutex_destroy(&s->watch_lock);
    pthread_cond_destroy(&s->watch_end);
    metrics_free(s->metrics);
    limiter_free(s->limiter);
    tls_free(s->tls);
    route_tree_free(&s->routes);
    free(s->workers);
    free(s->socket_path);
    free(s);
}

static int open_doors(struct http_server *s, const struct http_options *options, struct err *err)
{
    int rc = 0;
    if (options->listen)
        rc = listen_tcp(options->listen, options->allow_remote || s->tls, &s->tcp.fd, err);
    if (rc == 0 && options->listen)
        listen_address(s->tcp.fd, s->address, sizeof s->address);
    if (rc == 0 && options->socket_path)
        rc = listen_unix(options->socket_path, &s->unix_door.fd, err);
    if (rc == 0 && options->socket_path)
        s->socket_path = str_dup(str_of(options->socket_path));
    if (rc == 0)
        rc = connection_watch_start(s, err);
    if (rc == 0 && s->tcp.fd >= 0)
        rc = start_daemon(&s->tcp, options, err);
    if (rc == 0 && s->unix_door.fd >= 0)
        rc = start_daemon(&s->unix_door, options, err);
    return rc ? rc : reception_start(s, err);
}

int http_server_start(const struct http_options *options, const struct http_app *app,
                      struct http_server **out, struct err *err)
{
    if (!options->listen && !options->socket_path)
        return err_set(err, LOV_EINVAL, "neither an address nor a local socket to listen on");
    if (!options->tls_cert != !options->tls_key)
        return err_set(err, LOV_EINVAL, "TLS needs both a certificate and a key");
    struct http_server *s = server_new(options, app);
    int rc = route_tree_build(app->routes, app->route_count, &s->routes, err);
    if (rc == 0 && options->tls_cert)
        rc = tls_new(options->tls_cert, options->tls_key, &s->tls, err);
    if (rc == 0)
        rc = open_doors(s, options, err);
    if (rc) {
        http_server_stop(s, 0);
        return rc;
    }
    *out = s;
    return 0;
}

struct str http_server_address(const struct http_server *s)
{
    return str_of(s->address);
}

const char *http_server_scheme(const struct http_server *s)
{
    return s->tls ? "https" : "http";
}

int http_server_reload(struct http_server *s, struct err *err)
{
    return s->tls ? tls_reload(s->tls, err) : 0;
}

void http_server_metrics(const struct http_server *s, struct buf *out)
{
    struct http_server *shared = (struct http_server *)s;
    pthread_mutex_lock(&shared->connections_lock);
    size_t connections = s->connection_count;
    pthread_mutex_unlock(&shared->connections_lock);
    metrics_print(s->metrics, connections, atomic_load_explicit(&s->waiting, memory_order_relaxed),
                  out);
}

/* Until `done` holds or the time is over. */
static void wait_until(struct http_server *s, bool (*done)(struct http_server *s), int64_t ns)
{
    static const struct timespec moment = {.tv_nsec = 2000000};
    for (int64_t end = clock_monotonic() + ns; !done(s) && clock_monotonic() < end;)
        nanosleep(&moment, NULL);
}

static bool nobody_busy(struct http_server *s)
{
    return connection_busy(s) == 0;
}

static bool nobody_resuming(struct http_server *s)
{
    return atomic_load(&s->resumers) == 0;
}

void http_server_stop(struct http_server *s, unsigned seconds)
{
    static const int64_t second = 1000000000;
    if (!s)
        return;
    atomic_store(&s->stopping, true);
    if (s->socket_path) /* while it answers: nobody else takes the path before */
        unlink(s->socket_path);
    reception_stop(s);
    wait_until(s, nobody_busy, seconds * second);
    exchange_abandon_all(s);
    /* What was just answered is on its way out. */
    wait_until(s, nobody_busy, second);
    while (!nobody_resuming(s))
        wait_until(s, nobody_resuming, second);
    if (s->tcp.daemon)
        MHD_stop_daemon(s->tcp.daemon);
    if (s->unix_door.daemon)
        MHD_stop_daemon(s->unix_door.daemon);
    connection_watch_stop(s);
    server_unref(s);
}
