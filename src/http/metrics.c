/* metrics.c - the server's own counters in the text format of Prometheus. Each worker counts in a
 * shard of its own, so no two threads write one cache line; reading adds the shards up. */
#include <stdlib.h>

#include "http/private.h"

enum { CLASSES = 5, BUCKETS = 8 };

static const int64_t bucket_ns[BUCKETS - 1] = {100000,    1000000,   5000000,   25000000,
                                               100000000, 500000000, 2500000000};
static const char *const bucket_names[BUCKETS] = {"0.0001", "0.001", "0.005", "0.025",
                                                  "0.1",    "0.5",   "2.5",   "+Inf"};

/* All relaxed: each number stands for itself. */
struct metrics_shard {
    _Alignas(64) const struct metrics *all;
    _Atomic uint64_t buckets[BUCKETS];
    _Atomic uint64_t ns, in, out, limited, shed;
    _Atomic uint64_t *requests; /* [route_count + 1][CLASSES], the last for no route */
};

struct metrics {
    const struct http_route *routes;
    size_t route_count, shard_count;
    struct metrics_shard *shards;
};

static void add(_Atomic uint64_t *counter, uint64_t n)
{
    atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

static uint64_t get(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static void *aligned_zero(size_t size)
{
    size = (size + 63) & ~(size_t)63;
    char *p = aligned_alloc(64, size);
    if (!p)
        bug("out of memory (%zu bytes)", size);
    for (size_t i = 0; i < size; i++)
        p[i] = 0;
    return p;
}

struct metrics *metrics_new(const struct http_app *app, size_t shards)
{
    struct metrics *m = mem_zero(sizeof *m);
    m->routes = app->routes;
    m->route_count = app->route_count;
    m->shard_count = shards;
    m->shards = aligned_zero(shards * sizeof *m->shards);
    for (size_t i = 0; i < shards; i++) {
        m->shards[i].all = m;
        m->shards[i].requests =
            aligned_zero((app->route_count + 1) * CLASSES * sizeof(_Atomic uint64_t));
    }
    return m;
}

void metrics_free(struct metrics *m)
{
    if (!m)
        return;
    for (size_t i = 0; i < m->shard_count; i++)
        free(m->shards[i].requests);
    free(m->shards);
    free(m);
}

struct metrics_shard *metrics_shard(struct metrics *m, size_t index)
{
    return &m->shards[index];
}

void metrics_count(struct metrics_shard *shard, const struct http_route *route, int status,
                   int64_t ns, size_t in, size_t out)
{
    const struct metrics *m = shard->all;
    size_t i = route ? (size_t)(route - m->routes) : m->route_count;
    int kind = status >= 100 && status < 600 ? status / 100 - 1 : CLASSES - 1;
    size_t bucket = 0;
    while (bucket < BUCKETS - 1 && ns > bucket_ns[bucket])
        bucket++;
    add(&shard->requests[i * CLASSES + (size_t)kind], 1);
    add(&shard->buckets[bucket], 1);
    add(&shard->ns, (uint64_t)ns);
    add(&shard->in, in);
    add(&shard->out, out);
}

void metrics_limited(struct metrics_shard *shard)
{
    add(&shard->limited, 1);
}

void metrics_shed(struct metrics_shard *shard)
{
    add(&shard->shed, 1);
}

static void print_requests(const struct metrics *m, struct buf *out)
{
    buf_cstr(out, "# HELP lov_http_requests_total Requests answered.\n"
                  "# TYPE lov_http_requests_total counter\n");
    for (size_t i = 0; i <= m->route_count; i++) {
        const struct http_route *route = i < m->route_count ? &m->routes[i] : NULL;
        for (size_t kind = 0; kind < CLASSES; kind++) {
            uint64_t sum = 0;
            for (size_t s = 0; s < m->shard_count; s++)
                sum += get(&m->shards[s].requests[i * CLASSES + kind]);
            if (sum)
                buf_printf(out,
                           "lov_http_requests_total{route=\"%s\",method=\"%s\",status=\"%zuxx\"} "
                           "%llu\n",
                           route ? route->pattern : "none", route ? route->method : "any", kind + 1,
                           (unsigned long long)sum);
        }
    }
}

static void print_seconds(const struct metrics *m, struct buf *out)
{
    uint64_t count = 0, ns = 0;
    buf_cstr(out, "# HELP lov_http_request_seconds From the request's first line to its answer.\n"
                  "# TYPE lov_http_request_seconds histogram\n");
    for (size_t b = 0; b < BUCKETS; b++) {
        for (size_t s = 0; s < m->shard_count; s++)
            count += get(&m->shards[s].buckets[b]);
        buf_printf(out, "lov_http_request_seconds_bucket{le=\"%s\"} %llu\n", bucket_names[b],
                   (unsigned long long)count);
    }
    for (size_t s = 0; s < m->shard_count; s++)
        ns += get(&m->shards[s].ns);
    buf_printf(out, "lov_http_request_seconds_sum %.9f\nlov_http_request_seconds_count %llu\n",
               (double)ns / 1e9, (unsigned long long)count);
}

static void print_number(struct buf *out, const char *name, const char *type, const char *help,
                         uint64_t value)
{
    buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n%s %llu\n", name, help, name, type, name,
               (unsigned long long)value);
}

void metrics_print(const struct metrics *m, size_t connections, size_t waiting, struct buf *out)
{
    uint64_t in = 0, sent = 0, limited = 0, shed = 0;
    for (size_t s = 0; s < m->shard_count; s++) {
        in += get(&m->shards[s].in);
        sent += get(&m->shards[s].out);
        limited += get(&m->shards[s].limited);
        shed += get(&m->shards[s].shed);
    }
    print_requests(m, out);
    print_seconds(m, out);
    print_number(out, "lov_http_received_bytes_total", "counter", "Bytes of request bodies.", in);
    print_number(out, "lov_http_sent_bytes_total", "counter", "Bytes of answer bodies.", sent);
    print_number(out, "lov_http_limited_total", "counter", "Requests refused by a rate limit.",
                 limited);
    print_number(out, "lov_http_shed_total", "counter", "Requests refused under overload.", shed);
    print_number(out, "lov_http_connections", "gauge", "Open connections.", connections);
    print_number(out, "lov_http_waiting", "gauge", "Calls that will be answered later.", waiting);
}
