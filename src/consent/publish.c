/* publish.c - checkpoints, cosignatures and the audit of a running installation. What writes is a
 * job of the writer, in small steps, so that no other write waits for long. */
#include <stdio.h>
#include <stdlib.h>

#include "base/json.h"
#include "consent/engine.h"
#include "ledger/audit.h"

/* Of one audit: some hundred milliseconds of one core at most. */
enum { AUDITED_EVENTS = 20000 };

uint32_t engine_shards(const struct engine *e)
{
    return e->shards;
}

const struct log_signer *engine_signer(const struct engine *e, uint32_t shard)
{
    return shard < e->shards ? &e->signers[shard] : NULL;
}

/* Unlike the names of other installations, so that no checkpoint is taken for another's. */
static int set_default_origin(struct db *lov, struct err *err)
{
    _cleanup_buf struct buf origin = {0};
    struct uid id = uid_new();
    buf_cstr(&origin, "lov.local/");
    hex_encode(id.b, 8, &origin);
    return publish_set_origin(lov, buf_view(&origin), err);
}

int publish_load(struct engine *e, struct db *lov, struct err *err)
{
    _cleanup_buf struct buf origin = {0};
    const struct secret *seed = identity_log_key(e->identity);
    struct ed25519_key key = ed25519_public(seed);
    int rc = publish_origin(lov, &origin, err);
    if (rc == 0)
        rc = set_default_origin(lov, err);
    if (rc == 0)
        rc = publish_origin(lov, &origin, err);
    if (rc >= 0)
        rc = publish_note_public(lov, &key, err);
    if (rc < 0)
        return rc;
    e->signers = mem_zero(e->shards * sizeof *e->signers);
    e->audits = mem_zero(e->shards * sizeof *e->audits);
    for (uint32_t i = 0; rc == 0 && i < e->shards; i++) {
        e->signers[i].seed = *seed;
        rc = publish_key(buf_view(&origin), i, &key, &e->signers[i].key, err);
    }
    return rc;
}

void publish_unload(struct engine *e)
{
    for (uint32_t i = 0; e->signers && i < e->shards; i++)
        secret_wipe(&e->signers[i].seed);
    free(e->signers);
    free(e->audits);
}

/* ---- when something is wrong ---- */

struct alert_job {
    struct write_job job;
    struct engine *e;
    struct str body;
    uint32_t shard;
};

static int run_alert(struct write_job *job, struct write_stores *stores, struct err *err)
{
    struct alert_job *a = (struct alert_job *)job;
    struct ledger_event event = {
        .shard = a->shard,
        .prev = -1,
        .at = stores->now,
        .kind = STR("log.alert"),
        .actor = STR("lov"),
        .body = a->body,
    };
    return ledger_append(a->e->ledger, stores->lov, &event, err);
}

static void record_alert(struct engine *e, uint32_t shard, const struct audit_report *r)
{
    _cleanup_buf struct buf body = {0};
    struct jw w = {.out = &body};
    struct err err = {0};
    jw_object_start(&w);
    jw_cstr_member(&w, "finding", audit_finding_name(r->finding));
    jw_cstr_member(&w, "what", r->what);
    if (r->seq >= 0)
        jw_int_member(&w, "event", r->seq);
    jw_object_end(&w);
    log_printf(e->log, LOG_ERROR, "the ledger of shard %u is not what was signed (%s): %s", shard,
               audit_finding_name(r->finding), r->what);
    struct alert_job a = {{.run = run_alert}, e, buf_view(&body), shard};
    if (writer_run(e->writer, &a.job, &err))
        log_printf(e->log, LOG_ERROR, "the alert could not be recorded: %s", err.text);
}

/* Said and recorded once: what is wrong does not go away by itself. */
static void alert(struct engine *e, uint32_t shard, const struct audit_report *r)
{
    /* Relaxed: the flag alone is shared. */
    if (!atomic_exchange_explicit(&e->audit_wrong, true, memory_order_relaxed))
        record_alert(e, shard, r);
}

/* What could not be read because it is damaged. */
static void alert_of(struct engine *e, uint32_t shard, const struct err *err)
{
    struct audit_report r = {.finding = AUDIT_DAMAGED, .seq = -1};
    snprintf(r.what, sizeof r.what, "%.200s", err->text);
    alert(e, shard, &r);
}

/* ---- checkpoints ---- */

struct publish_job {
    struct write_job job;
    const struct log_signer *signer;
    uint32_t shard;
    bool more;
};

static int run_publish(struct write_job *job, struct write_stores *stores, struct err *err)
{
    struct publish_job *p = (struct publish_job *)job;
    return publish_step(stores->lov, p->shard, p->signer, stores->now, &p->more, err);
}

static int publish_shard(struct engine *e, uint32_t shard, struct err *err)
{
    struct publish_job p = {.job.run = run_publish, .signer = &e->signers[shard], .shard = shard};
    int rc;
    do {
        rc = writer_run(e->writer, &p.job, err);
    } while (rc == 0 && p.more);
    return rc;
}

int engine_publish(struct engine *e, struct err *err)
{
    for (uint32_t shard = 0; shard < e->shards; shard++) {
        int rc = publish_shard(e, shard, err);
        if (rc == LOV_ECORRUPT)
            alert_of(e, shard, err);
        if (rc)
            return rc;
    }
    return 0;
}

struct cosign_job {
    struct write_job job;
    uint32_t shard;
    int64_t size;
    struct str lines;
    const struct witnesses *by;
    int kept;
};

static int run_cosign(struct write_job *job, struct write_stores *stores, struct err *err)
{
    struct cosign_job *c = (struct cosign_job *)job;
    return publish_cosign(stores->lov, c->shard, c->size, c->lines, c->by, &c->kept, err);
}

int engine_cosign(struct engine *e, uint32_t shard, int64_t size, struct str lines,
                  const struct witnesses *by, int *kept, struct err *err)
{
    struct cosign_job c = {{.run = run_cosign}, shard, size, lines, by, 0};
    int rc = writer_run(e->writer, &c.job, err);
    if (rc == 0)
        *kept = c.kept;
    return rc;
}

/* ---- the audit ---- */

/* What came since the last audit, and the next part of all events. */
static int audit_some_events(struct engine *e, struct db *db, uint32_t shard,
                             struct audit_report *r, struct err *err)
{
    struct shard_audit *a = &e->audits[shard];
    struct sha256 root;
    int64_t size;
    int rc = ledger_head(db, shard, &size, &root, err);
    if (rc)
        return rc;
    if (!a->started || a->fresh > size)
        a->fresh = size;
    a->started = true;
    int64_t end = size - a->fresh > AUDITED_EVENTS ? a->fresh + AUDITED_EVENTS : size;
    rc = audit_events(db, shard, a->fresh, end, r, err);
    a->fresh = end;
    atomic_fetch_add_explicit(&e->audited_events, r->events, memory_order_relaxed);
    if (rc || r->finding != AUDIT_GOOD)
        return rc;
    if (a->next >= size)
        a->next = 0;
    end = size - a->next > AUDITED_EVENTS ? a->next + AUDITED_EVENTS : size;
    rc = audit_events(db, shard, a->next, end, r, err);
    a->next = end;
    atomic_fetch_add_explicit(&e->audited_events, r->events, memory_order_relaxed);
    return rc;
}

static int audit_shard(struct engine *e, struct db *db, uint32_t shard, struct audit_report *r,
                       struct err *err)
{
    struct shard_audit *a = &e->audits[shard];
    int rc = audit_published(db, shard, &e->signers[shard].key, &a->older, r, err);
    if (rc == 0 && r->finding == AUDIT_GOOD)
        rc = audit_some_events(e, db, shard, r, err);
    return rc;
}

int engine_audit(struct engine *e, struct err *err)
{
    struct db *db;
    int rc = db_pool_get(e->lov, &db, err);
    if (rc)
        return rc;
    for (uint32_t shard = 0; rc == 0 && shard < e->shards; shard++) {
        struct audit_report r = {0};
        rc = audit_shard(e, db, shard, &r, err);
        if (rc == LOV_ECORRUPT)
            alert_of(e, shard, err);
        else if (rc == 0 && r.finding != AUDIT_GOOD)
            alert(e, shard, &r);
        if (rc == LOV_ECORRUPT)
            rc = 0;
    }
    db_pool_put(e->lov, db);
    if (rc == 0) {
        atomic_store_explicit(&e->audit_at, clock_now(), memory_order_relaxed);
        atomic_fetch_add_explicit(&e->audit_runs, 1, memory_order_relaxed);
    }
    return rc;
}

struct engine_audit_state engine_audit_state(struct engine *e)
{
    return (struct engine_audit_state){
        .wrong = atomic_load_explicit(&e->audit_wrong, memory_order_relaxed),
        .runs = atomic_load_explicit(&e->audit_runs, memory_order_relaxed),
        .events = atomic_load_explicit(&e->audited_events, memory_order_relaxed),
        .checked_at = atomic_load_explicit(&e->audit_at, memory_order_relaxed),
    };
}
