/*
 * private.h - what the files of this folder share: how a call is carried, checked and answered.
 *
 * A call passes through call_admit() (route, overload, caller, rate, body), then its body is taken
 * in, then call_run(). Who carries it (a connection, or the thread that dispatches) is a struct
 * carrier, so that the checks exist once.
 */
#ifndef LOV_HTTP_PRIVATE_H
#define LOV_HTTP_PRIVATE_H

#include <stdatomic.h>

#include "http/http.h"

enum { PARAM_MAX = 512, REQUEST_ID_MAX = 4096 };

/* ---- route.c: patterns to routes ---- */

enum method { METHOD_GET, METHOD_POST, METHOD_PUT, METHOD_PATCH, METHOD_DELETE, METHOD_COUNT };

struct route_node {
    struct str text; /* of a literal segment */
    struct route_node *children, *next, *param, *tail;
    const struct http_route *by_method[METHOD_COUNT];
    bool end;      /* some pattern ends here */
    size_t params; /* on the way here */
};

struct route_tree {
    struct arena arena;
    struct route_node *root;
};

/* LOV_EINVAL for a pattern that is malformed, repeated or has too many parameters. */
int route_tree_build(const struct http_route *routes, size_t count, struct route_tree *out,
                     struct err *err);
void route_tree_free(struct route_tree *tree);
/* The node of a path and the raw text of its parameters (borrowed); NULL when there is none. A
 * literal segment wins over a parameter. */
const struct route_node *route_find(const struct route_tree *tree, struct str path,
                                    struct str raw[HTTP_PARAMS]);
/* The route of a method (HEAD is GET); NULL when the node does not know it. */
const struct http_route *route_of_method(const struct route_node *node, struct str method);
/* "GET, HEAD, POST" */
void route_allow(const struct route_node *node, struct buf *out);

/* ---- query.c ---- */

/* Percent-decodes (RFC 3986 §2.1) into the arena; false on a bad escape, a control character, text
 * that is not UTF-8, or more than `max` bytes. `form`: "+" is a space. Text without an escape is
 * borrowed. */
bool percent_decode(struct arena *arena, struct str text, bool form, size_t max, struct str *out);
/* The same with line breaks and tabs admitted, for forms. */
bool form_decode(struct arena *arena, struct str text, size_t max, struct str *out);

/* ---- metrics.c ---- */

struct metrics;
struct metrics_shard;
struct metrics *metrics_new(const struct http_app *app, size_t shards);
void metrics_free(struct metrics *metrics);
struct metrics_shard *metrics_shard(struct metrics *metrics, size_t index);
void metrics_count(struct metrics_shard *shard, const struct http_route *route, int status,
                   int64_t ns, size_t in, size_t out);
void metrics_limited(struct metrics_shard *shard);
void metrics_shed(struct metrics_shard *shard);
void metrics_print(const struct metrics *metrics, size_t connections, size_t waiting,
                   struct buf *out);

/* ---- call.c ---- */

struct carrier {
    /* Borrowed from the carrier; gone when the request is. */
    struct str (*header)(const struct http_transport *transport, const char *name);
    void (*resume)(struct http_call *call);
};

struct http_transport {
    const struct carrier *carrier;
    const struct http_app *app;
    const struct route_tree *routes;
    struct log *log;             /* NULL in a process without a server */
    struct limiter *limiter;     /* NULL: no limit */
    struct metrics_shard *shard; /* NULL in a process without a server */
    uint64_t peer;               /* stands for the address; 0: not limited by address */
    bool overloaded;
    bool without_id;  /* call_admit() found no X-Request-ID */
    struct str query; /* raw, without "?" */
    void *self;       /* the carrier's own */
};

/* What the head says about the body. */
struct body_head {
    bool present;
    bool known; /* the size is told */
    uint64_t size;
};

/* Splits "path?query"; an absolute target (RFC 9112 §3.2.2) loses its scheme and host. */
void call_target(struct http_call *call, struct str target);
/* True if the call may go on to its body and handler; otherwise its answer is filled. */
bool call_admit(struct http_call *call, const struct body_head *body);
/* The body is there: the handler. HTTP_LATER, HTTP_MORE, or 0 with the answer filled; negative once
 * call->begun: the answer is broken off. */
int call_run(struct http_call *call);
/* After http_resume: call->then. The same results. */
int call_continue(struct http_call *call);
/* The call is over: gives back what it holds beside its arena. */
void call_release(struct http_call *call);
/* The request's X-Request-ID, which every answer repeats (OpenID AuthZEN 1.0, "Request
 * Identification"); the empty str when there is none, or it is one that call_admit() refuses. */
struct str call_request_id(const struct http_call *call);

/* ---- problem.c ---- */

struct str answer_header(const struct http_call *call, const char *name);
/* 429 or 503 with the time to wait. */
void problem_wait(struct http_call *call, int status, const char *reason, const char *detail,
                  int64_t ns);

#endif
