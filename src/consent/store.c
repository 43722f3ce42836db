/* store.c - keeping the stores: overwriting what was erased, and changing the key-encryption key.
 *
 * A rotation is a row of short writes, each in the order of all others, so that nobody waits for
 * it. Where it has come is kept in memory: after a crash it starts at the first consumer again, and
 * what is done already costs a look. The old key goes when a whole pass has committed and not
 * before, and rows that come meanwhile are sealed by the new one. */
#include <unistd.h>

#include "base/json.h"
#include "consent/engine.h"

enum { ROTATE_ROWS = 500 };

/* ---- scrubbing ---- */

static int scrub(struct engine *e, int wait_ms, bool *clean, struct err *err)
{
    static const char *const stores[] = {"identity", "lov"};
    *clean = true;
    int rc = 0;
    for (int i = 0; rc == 0 && i < 2; i++) {
        _cleanup_buf struct buf path = {0};
        bool this_one = false;
        buf_printf(&path, "%s/%s.db", e->dir, stores[i]);
        rc = db_scrub(path.p, e->writer, wait_ms, &this_one, err);
        *clean = *clean && this_one;
    }
    return rc;
}

int engine_scrub(struct engine *e, int wait_ms, bool *clean, struct err *err)
{
    pthread_mutex_lock(&e->scrub_lock);
    int rc = scrub(e, wait_ms, clean, err);
    /* Whoever has erased meanwhile waits for the lock to scrub for itself. */
    atomic_store_explicit(&e->unclean, rc || !*clean, memory_order_relaxed);
    pthread_mutex_unlock(&e->scrub_lock);
    return rc;
}

void engine_unclean(struct engine *e)
{
    atomic_store_explicit(&e->unclean, true, memory_order_relaxed);
}

void engine_scrub_again(struct engine *e, int wait_ms)
{
    bool clean;
    struct err ignored;
    if (atomic_load_explicit(&e->unclean, memory_order_relaxed))
        engine_scrub(e, wait_ms, &clean, &ignored);
}

/* ---- rotation ---- */

struct rotate_job {
    struct write_job job; /* first */
    struct engine *e;
    struct engine_rotation *r;
    int64_t last, rows;
    bool idle; /* out: there was nothing to go on with */
};

static int record(struct rotate_job *j, struct write_stores *stores, struct err *err)
{
    struct ledger_event event = {
        .prev = -1,
        .at = stores->now,
        .kind = STR("key.rotate"),
        .actor = j->r->actor,
        .body = STR("{}"),
    };
    return ledger_append(j->e->ledger, stores->lov, &event, err);
}

static int run_step(struct write_job *job, struct write_stores *stores, struct err *err)
{
    struct rotate_job *j = (struct rotate_job *)job;
    struct engine *e = j->e;
    int rc = 0;
    j->idle = !e->rotating && j->r->go_on;
    if (j->idle)
        return 0;
    if (!e->rotating) {
        rc = identity_rotate_begin(e->identity, e->dir, err);
        e->rotate_after = -1;
    }
    if (rc)
        return rc;
    e->rotating = true;
    rc = identity_rotate_some(e->identity, stores->identity, e->rotate_after, ROTATE_ROWS, &j->last,
                              &j->rows, err);
    if (rc == 0 && j->last < 0)
        rc = identity_rotate_secrets(e->identity, stores->identity, err);
    if (rc == 0 && j->last < 0)
        rc = record(j, stores, err);
    return rc;
}

static void durable_step(struct write_job *job)
{
    struct rotate_job *j = (struct rotate_job *)job;
    if (!j->idle && j->last >= 0)
        j->e->rotate_after = j->last;
}

/* Runs behind the step that looked at the last row, which is durable now. */
static int run_end(struct write_job *job, struct write_stores *stores, struct err *err)
{
    struct rotate_job *j = (struct rotate_job *)job;
    (void)stores;
    int rc = identity_rotate_end(j->e->identity, j->e->dir, &j->r->environment, err);
    if (rc == 0)
        j->e->rotating = false;
    return rc;
}

int engine_rotate(struct engine *e, struct engine_rotation *r, struct err *err)
{
    bool clean;
    struct rotate_job step = {.job = {.run = run_step, .durable = durable_step}, .e = e, .r = r};
    int rc = writer_run(e->writer, &step.job, err);
    if (rc)
        return rc;
    r->rows = step.rows;
    r->done = step.idle;
    if (step.idle || step.last >= 0)
        return 0;
    struct rotate_job end = {.job = {.run = run_end}, .e = e, .r = r};
    rc = writer_run(e->writer, &end.job, err);
    if (rc)
        return rc;
    r->done = true;
    return engine_scrub(e, 0, &clean, err);
}
