/* outcome.c - what has become of messages, written in one transaction with the cursors: what failed
 * is kept before the cursor moves past it, so that nothing is lost between the two. A cursor that
 * somebody else has set meanwhile (webhook_replay) stays as they set it. */
#include "notify/deliver.h"

int64_t delivery_wait_ms(const struct notify_options *o, int64_t attempts)
{
    int64_t wait = (int64_t)o->retry_seconds * 1000;
    uint32_t draw;
    for (int64_t i = 1; i < attempts && wait < WAIT_MOST_MS; i++)
        wait *= 4;
    if (wait > WAIT_MOST_MS)
        wait = WAIT_MOST_MS;
    random_bytes(&draw, sizeof draw);
    return wait - wait / 4 + (int64_t)(draw % (uint32_t)(wait / 2 + 1));
}

int64_t lane_done(const struct hook *h, uint32_t shard)
{
    int64_t done = h->lanes[shard].next;
    for (size_t i = 0; i < h->flying_count; i++) {
        const struct sending *s = h->flying[i];
        if (s->shard == shard && s->first && s->seq < done)
            done = s->seq;
    }
    return done;
}

/* ---- rows ---- */

static int forget(struct db *lov, const struct outcome *o, struct err *err)
{
    static const char sql[] =
        "delete from webhook_delivery where shard = $1 and webhook = $2 and seq = $3";
    struct db_stmt *s = db_use(lov, sql);
    db_bind_int(s, 1, o->shard);
    db_bind_text(s, 2, o->hook->row.id);
    db_bind_int(s, 3, o->seq);
    return db_run(s, err);
}

static int keep(struct db *lov, const struct outcome *o, int64_t next_at, int64_t now,
                struct err *err)
{
    /* Of a webhook that was revoked meanwhile nothing is kept. */
    static const char sql[] =
        "insert into webhook_delivery (shard, webhook, seq, attempts, next_at, status, error, at) "
        "select $1, id, $3, $4, $5, $6, $7, $8 from webhook where id = $2 and revoked_at is null "
        "on conflict (shard, webhook, seq) do update set attempts = $4, next_at = $5, "
        "status = $6, error = $7, at = $8";
    struct db_stmt *s = db_use(lov, sql);
    db_bind_int(s, 1, o->shard);
    db_bind_text(s, 2, o->hook->row.id);
    db_bind_int(s, 3, o->seq);
    db_bind_int(s, 4, o->attempts + 1);
    if (next_at == TIME_NONE)
        db_bind_null(s, 5);
    else
        db_bind_int(s, 5, next_at);
    db_bind_int(s, 6, o->end.status);
    db_bind_text(s, 7, str_of(o->end.error));
    db_bind_int(s, 8, now);
    return db_run(s, err);
}

static int stop_hook(struct deliverer *d, struct db *lov, const struct outcome *o, int64_t now,
                     struct err *err)
{
    static const char sql[] = "update webhook set stopped_at = $2, revision = $3 where id = $1";
    _cleanup_arena struct arena arena = {0};
    _cleanup_buf struct buf body = {0};
    struct webhook h;
    int rc = webhook_find(lov, o->hook->row.id, &arena, &h, err);
    if (rc <= 0 || h.revoked_at != TIME_NONE || h.stopped_at != TIME_NONE)
        return rc < 0 ? rc : 0;
    h.stopped_at = now;
    h.revision++;
    struct db_stmt *s = db_use(lov, sql);
    db_bind_text(s, 1, h.id);
    db_bind_int(s, 2, h.stopped_at);
    db_bind_int(s, 3, h.revision);
    rc = db_run(s, err);
    if (rc)
        return rc;
    webhook_body(&h, &body);
    struct ledger_event event = {
        .prev = -1,
        .at = now,
        .kind = STR("webhook.stop"),
        .actor = STR("lov"),
        .body = buf_view(&body),
    };
    return ledger_append(engine_ledger(d->engine), lov, &event, err);
}

static bool is_last(const struct deliverer *d, const struct outcome *o)
{
    return o->attempts + 1 >= (int64_t)d->options.attempts;
}

static int save_outcome(struct deliverer *d, struct db *lov, const struct outcome *o, int64_t now,
                        struct err *err)
{
    if (o->end.delivered)
        return forget(lov, o, err); /* of one that is replayed there may be a row, too */
    int64_t wait = delivery_wait_ms(&d->options, o->attempts + 1);
    if (wait < o->end.retry_after_ms)
        wait = o->end.retry_after_ms;
    int rc = keep(lov, o, is_last(d, o) ? TIME_NONE : now + wait, now, err);
    return rc == 0 && o->end.gone ? stop_hook(d, lov, o, now, err) : rc;
}

/* What waits for an endpoint that answers again need not wait for its time. */
static int hurry(struct db *lov, const struct hook *h, int64_t now, struct err *err)
{
    static const char sql[] = "update webhook_delivery set next_at = $2 "
                              "where webhook = $1 and next_at > $2";
    struct db_stmt *s = db_use(lov, sql);
    db_bind_text(s, 1, h->row.id);
    db_bind_int(s, 2, now);
    return db_run(s, err);
}

static int save_cursor(struct db *lov, const struct hook *h, uint32_t shard, int64_t now,
                       struct err *err)
{
    static const char sql[] =
        "update webhook_cursor set seq = $3, delivered = delivered + $5, delivered_at = "
        "case when $5 > 0 then $6 else delivered_at end "
        "where shard = $1 and webhook = $2 and seq = $4";
    const struct lane *l = &h->lanes[shard];
    struct db_stmt *s = db_use(lov, sql);
    db_bind_int(s, 1, shard);
    db_bind_text(s, 2, h->row.id);
    db_bind_int(s, 3, lane_done(h, shard));
    db_bind_int(s, 4, l->saved);
    db_bind_int(s, 5, l->delivered);
    db_bind_int(s, 6, now);
    return db_run(s, err);
}

/* ---- the job ---- */

struct save_job {
    struct write_job job; /* first */
    struct deliverer *d;
};

static int run_save(struct write_job *job, struct write_stores *stores, struct err *err)
{
    struct deliverer *d = ((struct save_job *)job)->d;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < d->outcome_count; i++)
        rc = save_outcome(d, stores->lov, &d->outcomes[i], stores->now, err);
    for (const struct hook *h = d->hooks; h && rc == 0; h = h->link) {
        if (h->recovered)
            rc = hurry(stores->lov, h, stores->now, err);
        for (uint32_t i = 0; rc == 0 && i < engine_shards(d->engine); i++)
            if (h->lanes[i].delivered || lane_done(h, i) != h->lanes[i].saved)
                rc = save_cursor(stores->lov, h, i, stores->now, err);
    }
    return rc;
}

static void count(struct deliverer *d)
{
    for (size_t i = 0; i < d->outcome_count; i++) {
        const struct outcome *o = &d->outcomes[i];
        _Atomic uint64_t *counter = o->end.delivered ? &d->delivered
                                    : is_last(d, o)  ? &d->dead
                                                     : &d->failed;
        atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
    }
}

int outcomes_save(struct deliverer *d, struct err *err)
{
    struct save_job job = {.job.run = run_save, .d = d};
    int rc = writer_run(engine_writer(d->engine), &job.job, err);
    if (rc)
        return rc;
    count(d);
    d->outcome_count = 0;
    for (struct hook *h = d->hooks; h; h = h->link) {
        h->recovered = false;
        for (uint32_t i = 0; i < engine_shards(d->engine); i++) {
            h->lanes[i].saved = lane_done(h, i);
            h->lanes[i].delivered = 0;
        }
    }
    return 0;
}
