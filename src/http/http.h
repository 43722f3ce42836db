/*
 * http.h - the door of the HTTP server: routes, calls, answers. No word of the domain.
 *
 * A call is one request and its answer, whatever carried it: a TCP or TLS connection, the local
 * Unix socket, or http_dispatch() inside a command. A handler reads the call, and either fills the
 * answer and returns, or sets call->then, hands the work to another thread, and returns HTTP_LATER;
 * that thread calls http_resume() once and touches the call no more; then call->then runs on an
 * HTTP thread to fill the answer. Everything that the call needs lives in call->arena, or is given
 * back by call->release.
 *
 * A long answer leaves in parts: a handler that has set status and call->then, put a first part
 * into call->out, and returns HTTP_MORE, is followed by call->then once that part has left, which
 * appends the next and returns HTTP_MORE again, or 0 behind the last; it may answer later, too.
 * What it returns below 0 breaks the answer off, so that the client sees that it is not whole. A
 * client that leaves ends the call where it stands. Such an answer is as long as it is: it has no
 * length.
 *
 * Errors are problem details (RFC 9457): http_problem().
 * Limits: request head 16 KiB, its target 8 KiB, body per route, time to read a request,
 * connections in all and per address, requests per second per caller (token bucket). Passing one
 * answers 431, 414, 413, 408, 429. What libmicrohttpd cannot read at all (no HTTP, a head above 32
 * KiB, a length that is no number) it refuses with a page of its own: it has no hook to replace
 * that.
 */
#ifndef LOV_HTTP_HTTP_H
#define LOV_HTTP_HTTP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/log.h"
#include "base/str.h"

enum { HTTP_LATER = 1, HTTP_MORE = 2 };
enum { HTTP_PARAMS = 4 };

struct http_call;
typedef int http_handler(struct http_call *call);

struct http_header {
    struct str name, value;
    struct http_header *next;
};

struct http_call {
    struct arena arena;
    void *app; /* http_app.ctx */

    /* The request. `path` is without the query; param[i] is the i-th {name} of the route's
     * pattern, percent-decoded, valid UTF-8 without control characters and not empty. */
    struct str method, path;
    struct str param[HTTP_PARAMS];
    struct str body;
    bool local;      /* over the local socket or http_dispatch(): the caller is the operator */
    void *principal; /* who calls: set by http_app.authenticate, NULL on public routes */
    const struct http_route *route;

    /* The answer; status 0 until it is filled. */
    int status;
    const char *content_type; /* default "application/json" */
    struct buf out;
    struct http_header *out_headers;

    /* For handlers that answer later, or in parts. */
    http_handler *then;
    void *work;
    void (*release)(struct http_call *call); /* once, when the call is over, however it ended */
    bool begun;                              /* a part has left: the status stands; private */

    /* Set by a handler: tells a problem in its own way, and not as JSON. */
    int (*problem)(struct http_call *call, int status, const char *reason, const char *detail);

    struct http_transport *transport; /* private */
};

/* Request header by name, case-insensitive, copied into the arena; the empty str when absent. Only
 * in handlers (and authenticate), not in the thread that works for a later answer. */
struct str http_header(const struct http_call *call, const char *name);
/* Query parameter, percent-decoded (arena); false when absent. LOV_EINVAL is reported by
 * http_query_check. A name given twice counts as invalid. */
bool http_query(struct http_call *call, const char *name, struct str *out);
/* Refuses (LOV_EINVAL) bad encoding, repeated names, and names not in the NULL-ended list. */
int http_query_check(struct http_call *call, const char *const *names, struct err *err);
/* Field of a body of application/x-www-form-urlencoded (a route with `raw`), decoded; lines are
 * admitted. False when it is absent, given twice, malformed or longer than `max`. */
bool http_form(struct http_call *call, const char *name, size_t max, struct str *out);
/* Stands for the caller's address; 0 in a process without a server, and over the local socket. */
uint64_t http_peer(const struct http_call *call);
/* The request's cookie of that name (RFC 6265 §4.2.1), copied; the empty str when absent. */
struct str http_cookie(struct http_call *call, const char *name);
/* Cuts the next item off a list such as Accept-Language: its name without parameters, and its
 * weight in thousandths (RFC 9110 §12.4.2): 1000 where it has none, 0 where that cannot be read.
 * False when there is no more. */
bool http_accept_next(struct str *list, struct str *name, int *weight);
/* The weight that a list of Accept gives to a media type, by the most exact of the ranges that
 * match it (RFC 9110 §12.5.1); 0: not acceptable, or not named at all. */
int http_accept_weight(struct str list, const char *type);
/* Adds a header to the answer; the value must hold no control characters (bug otherwise). */
void http_answer_header(struct http_call *call, const char *name, struct str value);

/* Fills the answer with application/problem+json from `err`: status by err->code (EINVAL 400,
 * EAUTH 401, EFORBIDDEN 403, ENOTFOUND 404, ECONFLICT 409, ELIMIT 413, EUNAVAILABLE 503, others
 * 500), members type ("about:blank" or "https://lov.example/problems/<reason>" is not used: type is
 * "urn:lov:problem:<reason>"), title, status, detail, reason. What is behind a 500 is logged, not
 * told. Returns 0, so that handlers may `return http_problem(call, &err)`. */
int http_problem(struct http_call *call, const struct err *err);
/* The same with a status of the caller's choice (405, 409, 412, 415, 422, 429 ...). */
int http_problem_status(struct http_call *call, int status, const char *reason, const char *detail);

/* In a handler: answers as GET of `target`, which lives as long as the call, does to whoever
 * call->principal is by now; what they may is looked at again. Return what it returns. */
int http_go_on(struct http_call *call, const char *target);

/* Continues a call whose handler returned HTTP_LATER. Any thread, once. */
void http_resume(struct http_call *call);

struct http_route {
    const char *method; /* "GET"; HEAD is answered by GET routes */
    /* "/v1/consents/{id}/withdraw". A last "{name...}" takes one or more segments with the slashes
     * between them. */
    const char *pattern;
    http_handler *handler;
    bool open;       /* needs no authentication */
    uint64_t allow;  /* for http_app.authenticate: bits of the application's own meaning */
    size_t body_max; /* 0: a body is refused; otherwise application/json is demanded */
    bool raw;        /* any content type */
    bool body_optional;
    bool last_to_shed; /* not refused under overload or by the rate limit */
};

struct http_app {
    void *ctx;
    const struct http_route *routes; /* looked up once at start into a tree */
    size_t route_count;
    /* Sets call->principal, or fails with LOV_EAUTH (401, WWW-Authenticate: Bearer), LOV_EFORBIDDEN
     * or LOV_ELIMIT (429). Called for every route that is not open. */
    int (*authenticate)(struct http_call *call, struct err *err);
    /* Optional: a short key for the rate limit of an authenticated call (stable for the caller). */
    uint64_t (*caller)(const struct http_call *call);
};

struct http_options {
    const char *listen;               /* "127.0.0.1:8787", "[::1]:0" (a free port) */
    const char *socket_path;          /* local Unix socket, 0600; NULL for none */
    const char *tls_cert, *tls_key;   /* PEM files; both or neither */
    unsigned threads;                 /* 0: one per core */
    unsigned connections;             /* 0: 4096 */
    unsigned connections_per_address; /* 0: no limit of its own */
    unsigned idle_seconds;            /* 0: 30 */
    unsigned requests_per_second;     /* per caller; 0: no limit */
    unsigned later_max; /* calls that wait for http_resume; more answer 503; 0: 10000 */
    bool allow_remote;  /* without it plain HTTP is for loopback addresses only */
    struct log *log;
};

/* ---- limits of the application's own ---- */

/* Token buckets, one for each key, that hold `count` and fill in `seconds`. */
struct limiter;
struct limiter *limiter_new(unsigned count, unsigned seconds);
void limiter_free(struct limiter *limiter);
/* Takes one of `key` at `now` (ns of a clock that does not run backwards): 0, or the ns to wait
 * until one would be admitted. Any thread. */
int64_t limiter_take(struct limiter *limiter, uint64_t key, int64_t now);

struct http_server;
int http_server_start(const struct http_options *options, const struct http_app *app,
                      struct http_server **out, struct err *err);
/* The address that it listens on, with the real port. */
struct str http_server_address(const struct http_server *s);
/* "http" or "https". */
const char *http_server_scheme(const struct http_server *s);
/* Reads the certificate and key again; keeps the old ones when the new ones are bad. */
int http_server_reload(struct http_server *s, struct err *err);
/* Accepts no more, finishes what is in flight (at most `seconds`), closes. */
void http_server_stop(struct http_server *s, unsigned seconds);
/* Prometheus text of the server's own counters: requests by route, method and status class,
 * seconds (histogram), bytes, connections, shed and limited requests. */
void http_server_metrics(const struct http_server *s, struct buf *out);

/* Runs one call through routes, authentication and handlers in the calling thread and waits for the
 * answer. The caller fills method, path (with "?query" allowed), body and headers (name and value
 * pairs), and frees with http_call_free. The call counts as local. */
struct http_call *http_call_new(const char *method, const char *target, struct str body);
void http_call_add_header(struct http_call *call, const char *name, struct str value);
/* Parts of an answer go there as they are made; the last one is left in call->out. */
void http_call_take_parts(struct http_call *call, void (*take)(void *ctx, struct str part),
                          void *ctx);
void http_dispatch(const struct http_app *app, struct http_call *call);
void http_call_free(struct http_call *call);

#endif
