/*
 * server.h - what the files of the server share: server.c starts and stops it, listen.c opens
 * sockets, reception.c lets connections in, connection.c keeps them, exchange.c carries calls over
 * them, tls.c has the keys.
 *
 * Threads: one lets connections in; libmicrohttpd's workers run everything of a connection, each
 * connection on one of them; one watcher cuts slow senders; whoever resumes a call touches only
 * what is marked atomic.
 */
#ifndef LOV_HTTP_SERVER_H
#define LOV_HTTP_SERVER_H

#include <microhttpd.h>
#include <pthread.h>

#include "http/private.h"

enum { HEAD_MAX = 16384, TARGET_MAX = 8192, DISCARD_MAX = 65536 };

struct tls;

/* A listening socket and the daemon behind it. */
struct door {
    struct http_server *server;
    struct MHD_Daemon *daemon;
    int fd; /* -1: there is no such door, or nobody is let in any more */
    bool local;
    unsigned most;            /* connections at a time */
    _Atomic unsigned present; /* that were let in and have not ended */
};

enum phase {
    PHASE_IDLE,    /* between requests, or the head is coming */
    PHASE_READING, /* the target was read; head and body are coming */
    PHASE_RUNNING, /* the request is whole: nobody cuts it */
    PHASE_CUT,     /* too slow: the watcher has shut the socket */
};

struct connection {
    struct connection *prev, *next; /* under http_server.connections_lock */
    struct http_server *server;
    struct exchange *exchange; /* kept between requests */
    struct metrics_shard *shard;
    uint64_t peer;
    int fd;
    bool local;
    /* The worker moves READING to RUNNING, the watcher READING or IDLE to CUT: both by compare and
     * exchange, so one of them wins. `since` is read by the watcher, relaxed. */
    _Atomic int phase;
    _Atomic int64_t since; /* clock_monotonic() when the phase began */
};

/* States of a call that may answer later; see exchange.c. */
enum later { LATER_RUNNING, LATER_SUSPENDED, LATER_RESUMED, LATER_ABANDONED };

struct exchange {
    struct http_call call; /* first: a call is its exchange */
    struct http_transport transport;
    struct http_server *server;
    struct connection *connection;
    struct MHD_Connection *mhd;
    struct buf body;
    size_t discarded;
    int64_t started;
    bool begun, ran, discard;
    size_t taken, sent; /* of an answer in parts: bytes of the part, and of all, that have left */
    int part;           /* what the call said of what follows: HTTP_MORE, 0, or an error */
    _Atomic int later;
    _Atomic int owners;           /* of an abandoned exchange: its worker and who will resume it */
    struct exchange *prev, *next; /* among the suspended, under http_server.later_lock */
    bool linked;                  /* there; the worker's own */
};

struct http_server {
    struct http_app app;
    struct log *log;
    struct route_tree routes;
    struct limiter *limiter;
    struct metrics *metrics;
    struct tls *tls;
    struct door tcp, unix_door;
    char *socket_path;
    char address[80];
    uint8_t address_key[16];
    int64_t idle_ns;
    size_t later_max;

    pthread_mutex_t connections_lock;
    struct connection *connections;
    size_t connection_count;
    pthread_t *workers; /* which thread counts in which shard */
    size_t worker_count, worker_max;

    pthread_mutex_t later_lock;
    struct exchange *suspended;
    bool closing;           /* under later_lock: no call may be suspended any more */
    _Atomic size_t waiting; /* suspended calls; read relaxed to shed load */
    _Atomic int resumers;   /* threads inside http_resume */
    _Atomic int references; /* the server's owner and each abandoned exchange */
    _Atomic bool stopping;  /* answers close their connection */

    pthread_t receptionist;
    bool receiving;

    pthread_t watcher;
    bool watching;
    pthread_mutex_t watch_lock;
    pthread_cond_t watch_end;
    bool watch_stop; /* under watch_lock */
};

/* ---- listen.c ---- */

/* A listening TCP socket; LOV_EINVAL for an address that is malformed, or not loopback unless
 * `anywhere`. */
int listen_tcp(const char *address, bool anywhere, int *out, struct err *err);
/* "127.0.0.1:8787" of a bound socket. */
void listen_address(int fd, char *out, size_t size);
/* A listening Unix socket, mode 0600. A file that nobody answers on is replaced. */
int listen_unix(const char *path, int *out, struct err *err);

/* ---- reception.c: who comes in ---- */

int reception_start(struct http_server *s, struct err *err);
/* Closes the listening sockets: nobody comes in any more. */
void reception_stop(struct http_server *s);

/* ---- exchange.c: callbacks of libmicrohttpd ---- */

void *exchange_begin(void *door, const char *target, struct MHD_Connection *mhd);
enum MHD_Result exchange_handle(void *door, struct MHD_Connection *mhd, const char *url,
                                const char *method, const char *version, const char *upload,
                                size_t *upload_size, void **ctx);
void exchange_end(void *door, struct MHD_Connection *mhd, void **ctx,
                  enum MHD_RequestTerminationCode why);
void exchange_free(struct exchange *x);
/* Answers all that is suspended with 503 and lets it go; their work may resume them later. */
void exchange_abandon_all(struct http_server *s);

/* ---- connection.c ---- */

void connection_notify(void *door, struct MHD_Connection *mhd, void **socket_context,
                       enum MHD_ConnectionNotificationCode code);
struct connection *connection_of(struct MHD_Connection *mhd);
/* Connections that are in the middle of a request. */
size_t connection_busy(struct http_server *s);
int connection_watch_start(struct http_server *s, struct err *err);
void connection_watch_stop(struct http_server *s);

/* ---- tls.c ---- */

int tls_new(const char *cert, const char *key, struct tls **out, struct err *err);
int tls_reload(struct tls *tls, struct err *err);
void tls_free(struct tls *tls);
void tls_add_options(struct MHD_OptionItem *options, size_t *count);

/* ---- server.c ---- */

void server_unref(struct http_server *s);

#endif
