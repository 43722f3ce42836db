/* deliver.c - the thread that sends webhooks: it reads the ledger from each webhook's cursor on,
 * sends some messages at a time, and writes what has become of them.
 *
 * An event whose first attempt fails is kept in a row of its own and tried again by its own
 * schedule, while those behind it go on. An endpoint that fails several times in a row is taken to
 * be down: then one message at a time is tried, and rarely, the ledger keeps what is new, and the
 * first that arrives lets all the others go. */
#include "notify/deliver.h"

#include <stdlib.h>
#include <string.h>

enum {
    LOOK_MS = 250,    /* between two looks at the ledger */
    RELOAD_MS = 1000, /* ... and at who is registered */
    SAVE_MS = 5000,   /* a cursor that only passed by */
    READ_AT_ONCE = 1000,
    SAVE_AT = 64,
    STOP_MS = 2000,
};

static int64_t now_ms(void)
{
    return clock_monotonic() / 1000000;
}

/* ---- who is registered ---- */

static struct hook *hook_of(struct deliverer *d, struct str id)
{
    for (struct hook *h = d->hooks; h; h = h->link)
        if (str_eq(h->row.id, id))
            return h;
    return NULL;
}

static void free_hook(struct hook *h)
{
    webhook_secrets_wipe(&h->secrets);
    arena_free(&h->arena);
    free(h->lanes);
    free(h);
}

static void load_hook(struct deliverer *d, struct db_stmt *s, struct err *err)
{
    struct hook *h = hook_of(d, db_text(s, 0));
    bool known = h != NULL;
    if (known && h->row.revision == db_int(s, 7)) {
        h->there = true;
        h->live = h->sound && h->row.stopped_at == TIME_NONE;
        return;
    }
    if (!known) {
        h = mem_zero(sizeof *h);
        h->lanes = mem_zero(engine_shards(d->engine) * sizeof *h->lanes);
        for (uint32_t i = 0; i < engine_shards(d->engine); i++)
            h->lanes[i].saved = -1;
        h->link = d->hooks;
        d->hooks = h;
    }
    arena_free(&h->arena);
    webhook_secrets_wipe(&h->secrets);
    webhook_from_row(s, &h->arena, &h->row);
    h->failures = 0;
    h->rest_until = 0;
    h->there = true;
    h->sound = webhook_unseal(engine_identity(d->engine), &h->row, &h->secrets, err) == 0;
    if (!h->sound)
        log_printf(engine_log(d->engine), LOG_ERROR,
                   "webhook %.*s is not as it was registered: nothing is sent to it",
                   STR_ARG(h->row.id));
    h->live = h->sound && h->row.stopped_at == TIME_NONE;
}

static int load_hooks(struct deliverer *d, struct db *lov, struct err *err)
{
    static const char sql[] = "select " WEBHOOK_COLUMNS " from webhook where revoked_at is null";
    for (struct hook *h = d->hooks; h; h = h->link)
        h->there = h->live = false;
    struct db_stmt *s = db_use(lov, sql);
    int rc;
    while ((rc = db_step(s, err)) == 1)
        load_hook(d, s, err);
    return rc;
}

/* A cursor that is not as it was saved was set by somebody else: it counts. */
static int load_cursors(struct deliverer *d, struct db *lov, struct err *err)
{
    static const char sql[] =
        "select c.shard, c.webhook, c.seq, (select count(*) from webhook_delivery w where "
        "w.shard = c.shard and w.webhook = c.webhook and w.next_at is not null) "
        "from webhook_cursor c";
    struct db_stmt *s = db_use(lov, sql);
    int rc;
    while ((rc = db_step(s, err)) == 1) {
        struct hook *h = hook_of(d, db_text(s, 1));
        int64_t shard = db_int(s, 0);
        if (!h || shard < 0 || shard >= engine_shards(d->engine))
            continue;
        struct lane *l = &h->lanes[shard];
        l->waiting = db_int(s, 3);
        if (l->saved != db_int(s, 2))
            l->next = l->saved = db_int(s, 2);
    }
    return rc;
}

static void drop_hooks(struct deliverer *d)
{
    struct hook **at = &d->hooks;
    while (*at) {
        struct hook *h = *at;
        if (h->there || h->flying_count) {
            at = &h->link;
            continue;
        }
        *at = h->link;
        free_hook(h);
    }
}

static int reload(struct deliverer *d, struct db *lov, struct err *err)
{
    int rc = load_hooks(d, lov, err);
    if (rc == 0)
        rc = load_cursors(d, lov, err);
    if (rc == 0)
        drop_hooks(d);
    return rc;
}

/* ---- sending ---- */

static size_t room(const struct deliverer *d, const struct hook *h, int64_t now)
{
    if (!h->live || h->rest_until > now || d->flying >= MOST_FLYING)
        return 0;
    size_t window = h->failures < DOWN_AFTER ? WINDOW : 1;
    return window > h->flying_count ? window - h->flying_count : 0;
}

struct looking {
    struct deliverer *d;
    struct hook *hook;
    struct cloud_event cloud;
    uint32_t shard;
    bool first;
    int64_t now, attempts;
    struct err err;
};

static int send_event(struct looking *l, const struct ledger_event *event)
{
    struct hook *h = l->hook;
    _cleanup_buf struct buf id = {0}, body = {0};
    int rc = cloud_event_write(&l->cloud, event, &id, &body, &l->err);
    if (rc)
        return rc;
    struct sending *s = mem_zero(sizeof *s);
    *s = (struct sending){h, NULL, l->shard, l->first, event->seq, l->attempts};
    struct flight_options o = {
        .notify = &l->d->options,
        .url = h->row.url.p,
        .secrets = &h->secrets,
        .id = buf_view(&id),
        .body = buf_view(&body),
    };
    s->flight = flight_start(l->d->multi, &o, s);
    if (!s->flight) {
        free(s);
        return err_set(&l->err, LOV_EUNAVAILABLE, "libcurl does not start");
    }
    h->flying[h->flying_count++] = s;
    l->d->flying++;
    return 0;
}

enum { FULL = 1 };

static int new_event(void *ctx, const struct ledger_event *event)
{
    struct looking *l = ctx;
    struct lane *lane = &l->hook->lanes[l->shard];
    if (webhook_wants(&l->hook->row, event)) {
        if (!room(l->d, l->hook, l->now))
            return FULL;
        int rc = send_event(l, event);
        if (rc)
            return rc;
    }
    lane->next = event->seq + 1;
    return 0;
}

static int send_new(struct looking *l, struct db *lov, int64_t size)
{
    struct lane *lane = &l->hook->lanes[l->shard];
    while (lane->next < size && room(l->d, l->hook, l->now) && lane->waiting < MOST_WAITING) {
        struct ledger_filter filter = {
            .shard = l->shard, .after = lane->next - 1, .limit = READ_AT_ONCE};
        int64_t before = lane->next;
        int rc = ledger_read(lov, &filter, new_event, l, NULL, &l->err);
        if (rc)
            return rc == FULL ? 0 : rc;
        if (lane->next == before)
            return 0;
    }
    return 0;
}

static int again(void *ctx, const struct ledger_event *event)
{
    return send_event(ctx, event);
}

static bool is_flying(const struct hook *h, uint32_t shard, int64_t seq)
{
    for (size_t i = 0; i < h->flying_count; i++)
        if (h->flying[i]->shard == shard && h->flying[i]->seq == seq)
            return true;
    return false;
}

/* What is due, read first and sent then. */
static int send_due(struct looking *l, struct db *lov)
{
    static const char sql[] = "select seq, attempts from webhook_delivery where shard = $1 and "
                              "webhook = $2 and next_at <= $3 order by next_at, seq limit $4";
    struct {
        int64_t seq, attempts;
    } due[2 * WINDOW];
    size_t count = 0;
    struct db_stmt *s = db_use(lov, sql);
    db_bind_int(s, 1, l->shard);
    db_bind_text(s, 2, l->hook->row.id);
    db_bind_int(s, 3, clock_now());
    db_bind_int(s, 4, 2 * WINDOW);
    int rc;
    while ((rc = db_step(s, &l->err)) == 1) {
        due[count].seq = db_int(s, 0);
        due[count++].attempts = db_int(s, 1);
    }
    for (size_t i = 0; rc == 0 && i < count && room(l->d, l->hook, l->now); i++) {
        if (is_flying(l->hook, l->shard, due[i].seq))
            continue;
        l->attempts = due[i].attempts;
        rc = ledger_get(lov, l->shard, due[i].seq, again, l, &l->err);
        rc = rc < 0 ? rc : 0;
    }
    l->attempts = 0;
    return rc;
}

/* Whoever was first is last the next time, so that many do not keep out the others. */
static void take_turns(struct deliverer *d)
{
    struct hook *first = d->hooks, **end = &d->hooks;
    if (!first || !first->link)
        return;
    d->hooks = first->link;
    first->link = NULL;
    while (*end)
        end = &(*end)->link;
    *end = first;
}

static int send_some(struct deliverer *d, struct db *lov, struct db *identities, struct err *err)
{
    struct looking l = {
        .d = d,
        .now = now_ms(),
        .cloud = {d->engine, identities, buf_view(&d->origin), &d->options},
    };
    int rc = 0;
    for (l.shard = 0; rc == 0 && l.shard < engine_shards(d->engine); l.shard++) {
        struct sha256 root;
        int64_t size;
        rc = ledger_head(lov, l.shard, &size, &root, &l.err);
        for (l.hook = d->hooks; rc == 0 && l.hook; l.hook = l.hook->link) {
            struct lane *lane = &l.hook->lanes[l.shard];
            l.first = false;
            if (lane->waiting && !d->outcome_count && room(d, l.hook, l.now))
                rc = send_due(&l, lov);
            l.first = true;
            if (rc == 0)
                rc = send_new(&l, lov, size);
        }
    }
    take_turns(d);
    if (rc)
        *err = l.err;
    return rc;
}

/* ---- what comes back ---- */

static void judge_endpoint(struct deliverer *d, struct hook *h, const struct flight_end *end)
{
    if (end->delivered) {
        h->recovered = h->recovered || h->failures >= DOWN_AFTER;
        h->failures = 0;
        h->rest_until = 0;
        return;
    }
    /* Those that were on their way together fail together: that counts once. */
    int64_t now = now_ms();
    if (h->rest_until > now)
        return;
    h->failures++;
    if (h->failures < DOWN_AFTER)
        return;
    int64_t wait = delivery_wait_ms(&d->options, h->failures - DOWN_AFTER + 1);
    h->rest_until = now + (wait < DOWN_MOST_MS ? wait : DOWN_MOST_MS);
}

static void land(struct deliverer *d, struct sending *s, CURLcode result)
{
    struct hook *h = s->hook;
    struct outcome o = {h, s->shard, s->first, s->seq, s->attempts, {0}};
    flight_end(d->multi, s->flight, result, &o.end);
    judge_endpoint(d, h, &o.end);
    struct lane *lane = &h->lanes[s->shard];
    if (o.end.delivered)
        lane->delivered++;
    else if (s->first)
        lane->waiting++;
    if (o.end.gone)
        h->live = false;
    if (d->outcome_count == d->outcome_cap) {
        d->outcome_cap = d->outcome_cap ? 2 * d->outcome_cap : SAVE_AT;
        d->outcomes = mem_grow(d->outcomes, d->outcome_cap, sizeof *d->outcomes);
    }
    d->outcomes[d->outcome_count++] = o;
    for (size_t i = 0; i < h->flying_count; i++) {
        if (h->flying[i] == s) {
            h->flying[i] = h->flying[--h->flying_count];
            d->flying--;
            break;
        }
    }
    free(s);
}

static void collect(struct deliverer *d)
{
    const CURLMsg *message;
    int left = 0;
    curl_multi_perform(d->multi, &left);
    while ((message = curl_multi_info_read(d->multi, &left)))
        if (message->msg == CURLMSG_DONE)
            land(d, flight_of(message->easy_handle), message->data.result);
}

static bool passed_by(const struct deliverer *d)
{
    for (const struct hook *h = d->hooks; h; h = h->link)
        for (uint32_t i = 0; i < engine_shards(d->engine); i++)
            if (h->live && lane_done(h, i) != h->lanes[i].saved)
                return true;
    return false;
}

static int save(struct deliverer *d, bool last, struct err *err)
{
    int64_t now = now_ms();
    bool due = d->outcome_count >= SAVE_AT || (d->outcome_count && now - d->saved_at >= LOOK_MS) ||
               (d->outcome_count && !d->flying) ||
               ((last || now - d->saved_at >= SAVE_MS) && passed_by(d));
    if (!due && !(last && d->outcome_count))
        return 0;
    d->saved_at = now;
    return outcomes_save(d, err);
}

/* ---- the thread ---- */

static int work_with(struct deliverer *d, struct db *lov, struct err *err)
{
    struct db *identities;
    int64_t now = now_ms();
    int rc = 0;
    if (!d->looked_at || now - d->looked_at >= RELOAD_MS) {
        /* What is not saved yet is no other's change. */
        rc = d->outcome_count ? outcomes_save(d, err) : 0;
        if (rc == 0)
            rc = reload(d, lov, err);
        d->looked_at = now;
    }
    if (rc == 0)
        rc = db_pool_get(engine_identities(d->engine), &identities, err);
    if (rc)
        return rc;
    rc = send_some(d, lov, identities, err);
    db_pool_put(engine_identities(d->engine), identities);
    return rc;
}

static int work(struct deliverer *d, struct err *err)
{
    struct db *lov;
    int rc = save(d, false, err);
    if (rc == 0)
        rc = db_pool_get_rows(engine_lov(d->engine), &lov, err);
    if (rc)
        return rc;
    rc = work_with(d, lov, err);
    db_pool_put(engine_lov(d->engine), lov);
    return rc;
}

static void finish(struct deliverer *d)
{
    struct err err = {0};
    int64_t until = now_ms() + STOP_MS;
    while (d->flying && now_ms() < until) {
        curl_multi_poll(d->multi, NULL, 0, LOOK_MS, NULL);
        collect(d);
    }
    if (save(d, true, &err))
        log_printf(engine_log(d->engine), LOG_ERROR, "webhooks: %s", err.text);
}

static void *deliver(void *arg)
{
    struct deliverer *d = arg;
    /* Relaxed: nothing else is told by it. */
    while (!atomic_load_explicit(&d->stopping, memory_order_relaxed)) {
        struct err err = {0};
        int rc = work(d, &err);
        if (rc && !d->fails)
            log_printf(engine_log(d->engine), LOG_ERROR, "webhooks: %s", err.text);
        d->fails = rc != 0;
        curl_multi_poll(d->multi, NULL, 0, LOOK_MS, NULL);
        collect(d);
    }
    finish(d);
    return NULL;
}

static int read_origin(struct deliverer *d)
{
    struct err err = {0};
    struct db *lov;
    int rc = db_pool_get_rows(engine_lov(d->engine), &lov, &err);
    if (rc)
        return rc;
    rc = publish_origin(lov, &d->origin, &err);
    db_pool_put(engine_lov(d->engine), lov);
    return rc < 0 ? rc : 0;
}

struct deliverer *deliverer_start(struct engine *e, const struct notify_options *o)
{
    struct deliverer *d = mem_zero(sizeof *d);
    d->engine = e;
    d->options = *o;
    if (read_origin(d))
        buf_cstr(&d->origin, "lov.local");
    d->multi = curl_multi_init();
    if (!d->multi || pthread_create(&d->thread, NULL, deliver, d))
        bug("no thread for webhooks");
    pthread_setname_np(d->thread, "lov-webhooks");
    return d;
}

static void abandon(struct deliverer *d, struct hook *h)
{
    for (size_t i = 0; i < h->flying_count; i++) {
        struct flight_end ignored;
        flight_end(d->multi, h->flying[i]->flight, CURLE_ABORTED_BY_CALLBACK, &ignored);
        free(h->flying[i]);
    }
    h->flying_count = 0;
}

void deliverer_stop(struct deliverer *d)
{
    atomic_store_explicit(&d->stopping, true, memory_order_relaxed);
    curl_multi_wakeup(d->multi);
    pthread_join(d->thread, NULL);
    while (d->hooks) {
        struct hook *h = d->hooks;
        d->hooks = h->link;
        abandon(d, h);
        free_hook(h);
    }
    curl_multi_cleanup(d->multi);
    buf_free(&d->origin);
    free(d->outcomes);
    free(d);
}

void deliverer_counts(const struct deliverer *d, struct notify_counts *out)
{
    out->delivered = atomic_load_explicit(&d->delivered, memory_order_relaxed);
    out->failed = atomic_load_explicit(&d->failed, memory_order_relaxed);
    out->dead = atomic_load_explicit(&d->dead, memory_order_relaxed);
}
