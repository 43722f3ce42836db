/* replay.c - from the ledger to the tail: what was acknowledged and whose rows were not written yet
 * when the last process stopped. */
#include "base/clock.h"
#include "consent/state.h"

struct replay {
    struct tail *tail;
    struct db *lov;
    int64_t count;
    struct err *err;
};

/* What was replaced in the tail is freed that often. */
enum { EVENTS_PER_COMMIT = 256 };

static int read_applied(struct db *lov, uint32_t shard, int64_t *out, struct err *err)
{
    static const char sql[] = "select applied from shard where shard = $1";
    struct db_stmt *s = db_use(lov, sql);
    db_bind_int(s, 1, shard);
    int rc = db_step(s, err);
    *out = 0;
    if (rc != 1)
        return rc;
    *out = db_int(s, 0);
    db_done(s);
    return 0;
}

static int apply(struct replay *r, const struct ledger_event *event, struct person *p,
                 struct arena *arena)
{
    struct consent c;
    struct superseded_list list;
    if (str_is(event->kind, "consumer.add") || str_is(event->kind, "consumer.set")) {
        p->row.event = event->seq;
        return body_read_consumer(event->body, arena, &p->row, r->err);
    }
    if (!str_starts(event->kind, STR("consent.")))
        return 0;
    int rc = body_read_consent(event->body, arena, &c, r->err);
    if (rc == 0)
        rc = body_read_superseded(event->body, arena, &list, r->err);
    if (rc)
        return rc;
    for (size_t i = 0; i < list.count; i++)
        person_supersede(p, list.items[i].consent, arena);
    if (consent_is_dead(&c)) /* of an older log: it has a row, in another place */
        person_supersede(p, c.seq, arena);
    c.shard = event->shard;
    c.cid = event->cid;
    c.event = event->seq;
    person_set_consent(p, &c, arena);
    return 0;
}

static int replay_event(void *ctx, const struct ledger_event *event)
{
    struct replay *r = ctx;
    _cleanup_arena struct arena arena = {0};
    struct person p;
    if (!event->has_cid)
        return 0;
    if (str_is(event->kind, "consumer.erase")) {
        tail_drop(r->tail, &event->cid);
        return 0;
    }
    bool living = str_starts(event->kind, STR("consent."));
    int rc = person_take(r->tail, r->lov, event->shard, &event->cid, living, event->seq, &arena, &p,
                         r->err);
    if (rc < 0)
        return rc;
    /* Without a row, and not new: erased by an event that follows. */
    if (rc == 0 && !str_is(event->kind, "consumer.add"))
        return 0;
    if (rc == 0)
        p = (struct person){
            .row.shard = event->shard, .row.cid = event->cid, .since = event->seq, .living = true};
    else if (p.row.last_event >= event->seq)
        return 0;
    p.row.last_event = event->seq;
    rc = apply(r, event, &p, &arena);
    if (rc == 0)
        tail_put(r->tail, &p);
    if (++r->count % EVENTS_PER_COMMIT == 0)
        tail_commit(r->tail, clock_now());
    return rc;
}

int tail_replay(struct tail *t, struct db *lov, uint32_t shard, struct err *err)
{
    struct replay r = {t, lov, 0, err};
    struct ledger_filter filter = {.shard = shard, .limit = INT64_MAX};
    int rc = read_applied(lov, shard, &filter.after, err);
    filter.after--;
    if (rc == 0)
        rc = ledger_read(lov, &filter, replay_event, &r, NULL, err);
    tail_commit(t, clock_now());
    return rc;
}
