/* streams.c - portals that wait for what happens to their consumer: server-sent events (HTML §9.2).
 *
 * A stream is a suspended call, which costs no thread. One broadcaster looks at the ledger's size a
 * few times a second, reads the events that are new, and answers the calls whose consumer is among
 * them; each answer is one event, and the browser connects again on the same connection, as it does
 * at the end of any stream. So 1,000 open portals cost a decision nothing, and proxies that hold
 * back unfinished answers hold back nothing.
 *
 * Nothing is missed: the broadcaster reads the ledger's size first and then, under the lock, who
 * waits; a call is put on the list first and then looks at its consumer. Whatever is committed in
 * between is seen by one of them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "web/private.h"

enum {
    BUCKETS = 1024,
    BUSY_MS = 250,  /* between two looks while somebody waits */
    IDLE_MS = 1000, /* ... while nobody does */
    WAIT_MS = 25000,
    READ_AT_ONCE = 1000,
};

struct stream {
    struct stream *prev, *next;
    struct http_call *call;
    struct uid cid;
    int64_t after; /* the last event that the portal knows */
    int64_t until; /* ms of the monotonic clock */
    bool linked;   /* under the lock */
};

struct streams {
    struct engine *engine;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct stream *buckets[BUCKETS]; /* under lock, as what follows */
    size_t count;
    bool stopping;
    int64_t *seen; /* by shard: the events that were looked at; the broadcaster's own */
};

static size_t bucket_of(const struct uid *cid)
{
    uint32_t v;
    memcpy(&v, cid->b + sizeof cid->b - sizeof v, sizeof v); /* random bytes */
    return v % BUCKETS;
}

static int64_t now_ms(void)
{
    return clock_monotonic() / 1000000;
}

/* ---- under the lock ---- */

static void link_stream(struct streams *s, struct stream *one)
{
    struct stream **head = &s->buckets[bucket_of(&one->cid)];
    one->next = *head;
    one->prev = NULL;
    if (*head)
        (*head)->prev = one;
    *head = one;
    one->linked = true;
    s->count++;
}

static void unlink_stream(struct streams *s, struct stream *one)
{
    if (one->prev)
        one->prev->next = one->next;
    else
        s->buckets[bucket_of(&one->cid)] = one->next;
    if (one->next)
        one->next->prev = one->prev;
    one->linked = false;
    s->count--;
}

/* From here on the call, and the stream with it, belong to the thread that answers. */
static void let_go(struct streams *s, struct stream *one)
{
    struct http_call *call = one->call;
    unlink_stream(s, one);
    http_resume(call);
}

static void let_go_of(struct streams *s, const struct uid *cid, int64_t seq)
{
    struct stream *next;
    for (struct stream *one = s->buckets[bucket_of(cid)]; one; one = next) {
        next = one->next;
        if (seq > one->after && memcmp(one->cid.b, cid->b, sizeof cid->b) == 0)
            let_go(s, one);
    }
}

static void let_go_old(struct streams *s, int64_t now)
{
    for (size_t i = 0; i < BUCKETS; i++) {
        struct stream *next;
        for (struct stream *one = s->buckets[i]; one; one = next) {
            next = one->next;
            if (now >= one->until)
                let_go(s, one);
        }
    }
}

/* ---- the broadcaster ---- */

static int event_row(void *ctx, const struct ledger_event *event)
{
    struct streams *s = ctx;
    if (!event->has_cid)
        return 0;
    pthread_mutex_lock(&s->lock);
    let_go_of(s, &event->cid, event->seq);
    pthread_mutex_unlock(&s->lock);
    return 0;
}

static void look_at_shard(struct streams *s, struct db *db, uint32_t shard)
{
    struct err err = {0};
    struct sha256 root;
    int64_t size = 0;
    if (ledger_head(db, shard, &size, &root, &err))
        return;
    pthread_mutex_lock(&s->lock);
    bool anybody = s->count > 0;
    pthread_mutex_unlock(&s->lock);
    while (anybody && s->seen[shard] < size) {
        struct ledger_filter filter = {
            .shard = shard, .after = s->seen[shard] - 1, .limit = READ_AT_ONCE};
        int64_t scanned = filter.after;
        if (ledger_read(db, &filter, event_row, s, &scanned, &err) || scanned == filter.after)
            return;
        s->seen[shard] = scanned + 1;
    }
    if (s->seen[shard] < size)
        s->seen[shard] = size;
}

static void look(struct streams *s)
{
    struct err err = {0};
    struct db *db;
    if (db_pool_get_rows(engine_lov(s->engine), &db, &err))
        return;
    for (uint32_t shard = 0; shard < engine_shards(s->engine); shard++)
        look_at_shard(s, db, shard);
    db_pool_put(engine_lov(s->engine), db);
}

/* False when it is time to stop. */
static bool wait_a_while(struct streams *s)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    pthread_mutex_lock(&s->lock);
    let_go_old(s, now_ms());
    int64_t ns = until.tv_nsec + (s->count ? BUSY_MS : IDLE_MS) * INT64_C(1000000);
    until.tv_sec += ns / 1000000000;
    until.tv_nsec = ns % 1000000000;
    while (!s->stopping && pthread_cond_timedwait(&s->wake, &s->lock, &until) != ETIMEDOUT)
        ;
    bool go_on = !s->stopping;
    pthread_mutex_unlock(&s->lock);
    return go_on;
}

static void *broadcast(void *arg)
{
    struct streams *s = arg;
    do
        look(s);
    while (wait_a_while(s));
    return NULL;
}

/* ---- the door ---- */

struct streams *streams_new(struct engine *e)
{
    struct streams *s = mem_zero(sizeof *s);
    pthread_condattr_t attributes;
    s->engine = e;
    s->seen = mem_zero(engine_shards(e) * sizeof *s->seen);
    pthread_mutex_init(&s->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&s->wake, &attributes);
    pthread_condattr_destroy(&attributes);
    if (pthread_create(&s->thread, NULL, broadcast, s))
        bug("no thread for event streams");
    pthread_setname_np(s->thread, "lov-streams");
    return s;
}

void streams_stop(struct streams *s)
{
    pthread_mutex_lock(&s->lock);
    s->stopping = true;
    pthread_cond_signal(&s->wake);
    let_go_old(s, INT64_MAX);
    pthread_mutex_unlock(&s->lock);
}

void streams_free(struct streams *s)
{
    streams_stop(s);
    pthread_join(s->thread, NULL);
    pthread_cond_destroy(&s->wake);
    pthread_mutex_destroy(&s->lock);
    free(s->seen);
    free(s);
}

static bool wait_in_line(struct streams *s, struct stream *one)
{
    pthread_mutex_lock(&s->lock);
    bool room = !s->stopping;
    if (room)
        link_stream(s, one);
    /* The first one need not wait for the idle look to be over. */
    if (room && s->count == 1)
        pthread_cond_signal(&s->wake);
    pthread_mutex_unlock(&s->lock);
    return room;
}

/* True when it was still waiting, and no longer is. */
static bool leave_line(struct streams *s, struct stream *one)
{
    pthread_mutex_lock(&s->lock);
    bool waiting = one->linked;
    if (waiting)
        unlink_stream(s, one);
    pthread_mutex_unlock(&s->lock);
    return waiting;
}

/* ---- the handler ---- */

/* One event with the number of the consumer's last one, or a comment where nothing is new. */
static int answer(struct http_call *call)
{
    _cleanup_visit struct visit v = {0};
    struct str text = http_header(call, "Last-Event-ID");
    int64_t last = -1;
    if (!visit_begin(call, &v)) {
        /* 204 tells the browser not to come back (HTML §9.2.3). */
        call->status = 204;
        buf_clear(&call->out);
        return 0;
    }
    if (!text.n)
        http_query(call, "after", &text);
    str_to_int(text, 0, INT64_MAX, &last);
    visit_headers(call);
    call->status = 200;
    call->content_type = "text/event-stream";
    buf_clear(&call->out);
    buf_cstr(&call->out, "retry: 500\n");
    if (v.who.last_event > last)
        buf_printf(&call->out, "id: %lld\nevent: activity\ndata: %lld\n\n",
                   (long long)v.who.last_event, (long long)v.who.last_event);
    else
        buf_cstr(&call->out, ": nothing new\n\n");
    return 0;
}

int streams_get(struct http_call *call)
{
    _cleanup_visit struct visit v = {0};
    struct err err = {0};
    struct consumer who = {0};
    int64_t last = -1;
    struct str text = http_header(call, "Last-Event-ID");
    if (!visit_begin(call, &v))
        return answer(call);
    if (!text.n)
        http_query(call, "after", &text);
    if (!str_to_int(text, 0, INT64_MAX, &last))
        return answer(call);
    struct stream *one = arena_alloc(v.arena, sizeof *one);
    one->call = call;
    one->cid = v.who.who.cid;
    one->after = last;
    one->until = now_ms() + WAIT_MS;
    call->then = answer;
    if (!wait_in_line(v.web->streams, one))
        return answer(call);
    /* What the broadcaster does from here on is not the arena's: it belongs to this thread until
     * HTTP_LATER is returned, and `answer` runs after that. */
    bool is_new =
        consumer_get(v.engine, v.consumer, v.arena, &who, &err) != 1 || who.last_event > last;
    if (is_new && leave_line(v.web->streams, one)) {
        call->then = NULL;
        return answer(call);
    }
    return HTTP_LATER;
}
