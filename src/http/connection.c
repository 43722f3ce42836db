/* connection.c - who is connected, and the watcher. libmicrohttpd's own timeout is for silence; a
 * client that sends a byte now and then ("slowloris") would hold its connection for ever, so the
 * watcher looks through the list a few times in each idle time and shuts the socket of a request
 * that does not become whole in time. It shuts and never closes: the worker that owns the
 * connection sees the end of the stream and cleans up. */
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "base/clock.h"
#include "base/crypt.h"
#include "base/hash.h"
#include "http/server.h"

/* A stable number for an address, 0 for loopback: a proxy on this machine speaks for everybody. An
 * IPv6 customer has a /64, so that is what is counted. */
static uint64_t peer_key(const struct http_server *s, const struct sockaddr *address)
{
    struct str bytes = {0};
    if (address->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const void *)address;
        if (ntohl(in->sin_addr.s_addr) >> 24 == 127)
            return 0;
        bytes = (struct str){(const char *)&in->sin_addr, 4};
    } else if (address->sa_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const void *)address;
        if (IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr))
            return 0;
        bytes = (struct str){(const char *)&in6->sin6_addr, 8};
    } else {
        return 0;
    }
    struct hash128 hash = siphash128(s->address_key, bytes);
    uint64_t key;
    memcpy(&key, hash.b, sizeof key);
    return key ? key : 1;
}

/* Each worker counts in its own shard. Under connections_lock. */
static size_t shard_of_this_thread(struct http_server *s)
{
    pthread_t self = pthread_self();
    for (size_t i = 0; i < s->worker_count; i++)
        if (pthread_equal(s->workers[i], self))
            return i;
    if (s->worker_count == s->worker_max)
        return 0;
    s->workers[s->worker_count] = self;
    return s->worker_count++;
}

static void open_connection(struct door *door, struct MHD_Connection *mhd, void **socket_context)
{
    struct http_server *s = door->server;
    struct connection *c = mem_zero(sizeof *c);
    c->server = s;
    c->local = door->local;
    c->fd = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
    if (!c->local)
        c->peer = peer_key(
            s, MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CLIENT_ADDRESS)->client_addr);
    atomic_store_explicit(&c->since, clock_monotonic(), memory_order_relaxed);
    *socket_context = c;
    pthread_mutex_lock(&s->connections_lock);
    c->shard = metrics_shard(s->metrics, shard_of_this_thread(s));
    c->next = s->connections;
    if (c->next)
        c->next->prev = c;
    s->connections = c;
    s->connection_count++;
    pthread_mutex_unlock(&s->connections_lock);
}

static void close_connection(struct http_server *s, struct connection *c)
{
    pthread_mutex_lock(&s->connections_lock);
    if (c->prev)
        c->prev->next = c->next;
    else
        s->connections = c->next;
    if (c->next)
        c->next->prev = c->prev;
    s->connection_count--;
    pthread_mutex_unlock(&s->connections_lock);
    exchange_free(c->exchange);
    free(c);
}

void connection_notify(void *cls, struct MHD_Connection *mhd, void **socket_context,
                       enum MHD_ConnectionNotificationCode code)
{
    struct door *door = cls;
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        open_connection(door, mhd, socket_context);
        return;
    }
    close_connection(door->server, *socket_context);
    atomic_fetch_sub(&door->present, 1);
}

struct connection *connection_of(struct MHD_Connection *mhd)
{
    return MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
}

size_t connection_busy(struct http_server *s)
{
    size_t busy = 0;
    pthread_mutex_lock(&s->connections_lock);
    for (struct connection *c = s->connections; c; c = c->next) {
        int phase = atomic_load_explicit(&c->phase, memory_order_acquire);
        busy += phase == PHASE_READING || phase == PHASE_RUNNING;
    }
    pthread_mutex_unlock(&s->connections_lock);
    return busy;
}

/* A courtesy: a client that does not read it is not waited for. */
static void say_timeout(int fd)
{
    static const char problem[] =
        "{\"type\":\"urn:lov:problem:timeout\",\"title\":\"Request Timeout\",\"status\":408,"
        "\"detail\":\"the request did not become whole in time\",\"reason\":\"timeout\"}";
    char answer[512];
    int n = snprintf(answer, sizeof answer,
                     "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n"
                     "Content-Type: application/problem+json\r\nContent-Length: %zu\r\n\r\n%s",
                     sizeof problem - 1, problem);
    ssize_t ignored = send(fd, answer, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL);
    (void)ignored;
}

static void cut_if_slow(struct http_server *s, struct connection *c, int64_t now)
{
    int phase = atomic_load(&c->phase);
    int64_t age = now - atomic_load_explicit(&c->since, memory_order_relaxed);
    /* An idle connection may rest for one idle time before its request begins. */
    int64_t most = phase == PHASE_IDLE ? 2 * s->idle_ns : s->idle_ns;
    if ((phase != PHASE_IDLE && phase != PHASE_READING) || age <= most)
        return;
    if (!atomic_compare_exchange_strong(&c->phase, &phase, PHASE_CUT))
        return;
    if (phase == PHASE_READING && !s->tls)
        say_timeout(c->fd);
    shutdown(c->fd, SHUT_RDWR);
}

static void *watch(void *ctx)
{
    struct http_server *s = ctx;
    pthread_mutex_lock(&s->watch_lock);
    while (!s->watch_stop) {
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        int64_t next = until.tv_nsec + s->idle_ns / 8;
        until.tv_sec += next / 1000000000;
        until.tv_nsec = next % 1000000000;
        pthread_cond_timedwait(&s->watch_end, &s->watch_lock, &until);
        pthread_mutex_lock(&s->connections_lock);
        int64_t now = clock_monotonic();
        for (struct connection *c = s->connections; c; c = c->next)
            cut_if_slow(s, c, now);
        pthread_mutex_unlock(&s->connections_lock);
    }
    pthread_mutex_unlock(&s->watch_lock);
    return NULL;
}

int connection_watch_start(struct http_server *s, struct err *err)
{
    if (pthread_create(&s->watcher, NULL, watch, s) != 0)
        return err_set(err, LOV_EUNAVAILABLE, "cannot start a thread");
    s->watching = true;
    return 0;
}

void connection_watch_stop(struct http_server *s)
{
    if (!s->watching)
        return;
    pthread_mutex_lock(&s->watch_lock);
    s->watch_stop = true;
    pthread_cond_signal(&s->watch_end);
    pthread_mutex_unlock(&s->watch_lock);
    pthread_join(s->watcher, NULL);
    s->watching = false;
}
