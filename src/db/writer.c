/* writer.c - see writer.h.
 *
 * A batch is a list of jobs in the order in which they came, and a savepoint: a transaction may
 * hold batches that are durable in the journal already. When a job fails after it wrote, its writes
 * can't be told apart from its neighbours', so the batch is undone, that job is marked, and the
 * rest run again; this is rare, so no job pays for a savepoint of its own. When the commit itself
 * fails the disk can't be trusted any more: the batch fails, and so does everything after it. */
#include "db/writer.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "db/checkpoint.h"

enum {
    LARGEST_BATCH = 2048,
    QUIET_MS = 10,       /* nobody writes: what is in the journal is committed */
    AGE_MS = 1000,       /* or it is that old, ... */
    DUE_BYTES = 1 << 20, /* ... or so much that a commit takes some milliseconds */
    MS_NS = 1000000,
};

struct writer {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake, settled;
    struct write_job *head, **tail; /* under lock */
    bool stopping;                  /* under lock */
    bool wanted;                    /* under lock: somebody waits to be settled */
    int holders;                    /* under lock: who keep it from beginning */
    bool held;                      /* under lock: nothing is begun, or (ended) will be */
    uint64_t durable, stored; /* under lock: batches in the journal so far, and in the stores */
    bool broken;              /* the writer's thread only; published by counts */
    bool open;                /* a transaction is; the writer's thread only */
    int64_t open_since;       /* ms, of its first batch in the journal; 0: none is */
    size_t open_bytes;        /* of all its batches there */
    struct journal *journal;
    struct buf payload; /* reused */
    struct checkpoint *of_identity, *of_lov;
    struct write_stores stores;
    struct write_observer observer;
    struct log *log;
    /* Written by the writer's thread, read by any: plain counters, relaxed. */
    _Atomic uint64_t commits, jobs, failures;
    _Atomic bool stopped_by_error;
    _Atomic bool behind; /* durable > stored; released when set, acquired by writer_settle() */
};

/* ---- the transaction, and the part of it that a batch is ---- */

static int begin(struct writer *w, struct err *err)
{
    if (w->open)
        return 0;
    int rc = db_begin(w->stores.identity, err);
    if (rc)
        return rc;
    rc = db_begin(w->stores.lov, err);
    if (rc)
        db_rollback(w->stores.identity);
    w->open = rc == 0;
    return rc;
}

static int begin_batch(struct writer *w, struct err *err)
{
    int rc = begin(w, err);
    if (rc == 0)
        rc = db_savepoint(w->stores.identity, err);
    return rc ? rc : db_savepoint(w->stores.lov, err);
}

static int keep_batch(struct writer *w, struct err *err)
{
    int rc = db_release(w->stores.identity, err);
    return rc ? rc : db_release(w->stores.lov, err);
}

static int undo_batch(struct writer *w, struct err *err)
{
    int rc = db_rollback_to(w->stores.identity, err);
    if (rc == 0)
        rc = db_rollback_to(w->stores.lov, err);
    w->observer.rolled_back(w->observer.ctx);
    return rc;
}

static void undo_all(struct writer *w)
{
    db_rollback(w->stores.identity);
    db_rollback(w->stores.lov);
    w->open = false;
    w->observer.rolled_back(w->observer.ctx);
}

/* Everything is in the stores, or (broken) will not come there. */
static void tell_settled(struct writer *w)
{
    pthread_mutex_lock(&w->lock);
    w->stored = w->durable;
    w->wanted = false;
    pthread_cond_broadcast(&w->settled);
    pthread_mutex_unlock(&w->lock);
    w->open_since = 0;
    w->open_bytes = 0;
    atomic_store_explicit(&w->behind, false, memory_order_release);
}

static int commit_both(struct writer *w, struct err *err)
{
    int rc = db_commit(w->stores.identity, err);
    if (rc == 0)
        rc = db_commit(w->stores.lov, err);
    if (rc)
        return rc;
    w->open = false;
    if (w->journal && !journal_is_empty(w->journal))
        journal_restart(w->journal);
    return 0;
}

/* ---- batches ---- */

struct changes {
    int64_t identity, lov, kept;
};

static struct changes changes(const struct writer *w)
{
    const struct write_observer *o = &w->observer;
    return (struct changes){db_changes(w->stores.identity), db_changes(w->stores.lov),
                            o->kept ? o->kept(o->ctx) : 0};
}

static bool differ(struct changes a, struct changes b)
{
    return a.identity != b.identity || a.lov != b.lov || a.kept != b.kept;
}

/* Runs each job that has not failed. Returns the job that failed after writing, if any. */
static struct write_job *run_jobs(struct writer *w, struct write_job *batch)
{
    for (struct write_job *job = batch; job; job = job->next) {
        if (job->rc < 0)
            continue;
        struct changes before = changes(w);
        job->err = (struct err){0};
        job->rc = job->run(job, &w->stores, &job->err);
        if (job->rc < 0 && differ(before, changes(w)))
            return job;
    }
    return NULL;
}

static void fail_all(struct write_job *batch, int rc, const struct err *err)
{
    for (struct write_job *job = batch; job; job = job->next) {
        if (job->rc >= 0) {
            job->rc = rc;
            job->err = *err;
        }
    }
}

/* Makes the batch durable in the journal, where that can hold what its jobs have written. */
static bool write_journal(struct writer *w, struct changes before, struct changes after)
{
    struct err err = {0};
    if (!w->journal || !w->observer.journal || before.identity != after.identity)
        return false;
    buf_clear(&w->payload);
    if (w->observer.journal(w->observer.ctx, &w->payload) != after.lov - before.lov)
        return false;
    if (w->payload.n == 0)
        return true;
    int rc = journal_append(w->journal, buf_view(&w->payload), &err);
    if (rc && rc != LOV_ELIMIT)
        log_printf(w->log, LOG_ERROR, "%s", err.text);
    if (rc)
        return false;
    pthread_mutex_lock(&w->lock);
    w->durable++;
    pthread_mutex_unlock(&w->lock);
    if (w->open_since == 0)
        w->open_since = clock_monotonic() / MS_NS;
    w->open_bytes += w->payload.n;
    atomic_store_explicit(&w->behind, true, memory_order_release);
    return true;
}

static int call_hook(struct writer *w, int (*hook)(void *, struct write_stores *, struct err *),
                     struct err *err)
{
    return hook ? hook(w->observer.ctx, &w->stores, err) : 0;
}

/* `store`: the journal is not enough. */
static int make_durable(struct writer *w, struct changes before, bool store, struct err *err)
{
    struct changes after = changes(w);
    int rc = call_hook(w, w->observer.before_commit, err);
    if (rc == 0 && !store && write_journal(w, before, after)) {
        rc = keep_batch(w, err);
        if (rc == 0)
            w->observer.committed(w->observer.ctx);
        return rc;
    }
    if (rc == 0)
        rc = call_hook(w, w->observer.before_store, err);
    if (rc == 0)
        rc = commit_both(w, err);
    if (rc)
        return rc;
    w->observer.committed(w->observer.ctx);
    if (w->observer.stored)
        w->observer.stored(w->observer.ctx);
    tell_settled(w);
    checkpoint_after_commit(w->of_identity);
    checkpoint_after_commit(w->of_lov);
    return 0;
}

static void stop_writing(struct writer *w, struct write_job *batch, int rc, const struct err *err)
{
    undo_all(w);
    fail_all(batch, rc, err);
    w->broken = true;
    atomic_store_explicit(&w->stopped_by_error, true, memory_order_relaxed);
    tell_settled(w);
    log_printf(w->log, LOG_ERROR, "commit failed, nothing more is acknowledged: %s", err->text);
}

static void run_batch(struct writer *w, struct write_job *batch, bool store)
{
    struct err err = {0};
    int64_t now = clock_now();
    if (now > w->stores.now)
        w->stores.now = now;
    for (struct write_job *job = batch; job; job = job->next)
        job->rc = 0;
    if (w->broken) {
        int rc = err_set(&err, LOV_EUNAVAILABLE,
                         "an earlier write to disk failed: nothing is written until "
                         "the disk is mended and Lov is started again");
        fail_all(batch, rc, &err);
        return;
    }
    int rc;
    struct changes before;
    for (;;) {
        rc = begin_batch(w, &err);
        before = changes(w);
        if (rc || !run_jobs(w, batch) || (rc = undo_batch(w, &err)) != 0)
            break;
    }
    if (rc && !w->open) { /* nothing was begun: another may be */
        fail_all(batch, rc, &err);
        return;
    }
    if (rc == 0)
        rc = make_durable(w, before, store, &err);
    if (rc)
        stop_writing(w, batch, rc, &err);
    else
        atomic_fetch_add_explicit(&w->commits, 1, memory_order_relaxed);
}

static void finish_batch(struct writer *w, struct write_job *batch)
{
    uint64_t jobs = 0, failures = 0;
    for (struct write_job *job = batch; job; job = job->next)
        if (job->rc >= 0 && job->durable)
            job->durable(job);
    while (batch) {
        struct write_job *job = batch;
        batch = job->next;
        jobs++;
        failures += job->rc < 0;
        job->next = NULL;
        job->done(job);
    }
    atomic_fetch_add_explicit(&w->jobs, jobs, memory_order_relaxed);
    atomic_fetch_add_explicit(&w->failures, failures, memory_order_relaxed);
}

/* Waits for jobs until there are some, or the writer stops, or `ms` have passed (negative: any
 * time). Under the lock. */
static void wait_for_jobs(struct writer *w, int64_t ms)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += ms / 1000;
    until.tv_nsec += ms % 1000 * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    int rc = 0;
    while (!w->head && !w->stopping && !w->wanted && !w->holders && rc == 0)
        rc = ms < 0 ? pthread_cond_wait(&w->wake, &w->lock)
                    : pthread_cond_timedwait(&w->wake, &w->lock, &until);
}

static int64_t idle(struct writer *w, bool stopping)
{
    return w->broken || !w->observer.idle ? -1 : w->observer.idle(w->observer.ctx, stopping);
}

/* Is it time to commit what is in the journal? */
static bool is_due(const struct writer *w)
{
    return w->open_since &&
           (w->open_bytes >= DUE_BYTES || clock_monotonic() / MS_NS - w->open_since >= AGE_MS);
}

static int64_t sooner(int64_t a, int64_t b)
{
    return a < 0 ? b : b < 0 || a < b ? a : b;
}

/* Takes what waits, at most LARGEST_BATCH. False when there is nothing to do any more; true with an
 * empty batch when it is time for work that could wait. *store: the stores are to be written. */
static bool take_batch(struct writer *w, struct write_job **batch, bool *store)
{
    pthread_mutex_lock(&w->lock);
    wait_for_jobs(w, sooner(idle(w, w->stopping), w->open ? QUIET_MS : -1));
    struct write_job *first = w->head, *last = first;
    for (int n = 1; last && last->next && n < LARGEST_BATCH; n++)
        last = last->next;
    if (last) {
        w->head = last->next;
        last->next = NULL;
    }
    if (!w->head)
        w->tail = &w->head;
    *store = !first || w->wanted || w->holders || is_due(w);
    bool more = first || !w->stopping || w->open || idle(w, true) >= 0;
    pthread_mutex_unlock(&w->lock);
    *batch = first;
    return more;
}

/* Between two transactions: lets those have the stores who asked for it. */
static void give_way(struct writer *w)
{
    pthread_mutex_lock(&w->lock);
    w->held = w->holders > 0;
    if (w->held)
        pthread_cond_broadcast(&w->settled);
    while (w->holders)
        pthread_cond_wait(&w->wake, &w->lock);
    w->held = false;
    pthread_mutex_unlock(&w->lock);
}

static void *writer_main(void *arg)
{
    struct writer *w = arg;
    struct write_job *batch;
    bool store;
    while (take_batch(w, &batch, &store)) {
        run_batch(w, batch, store);
        finish_batch(w, batch);
        if (!w->open)
            give_way(w);
    }
    pthread_mutex_lock(&w->lock);
    w->held = true;
    pthread_cond_broadcast(&w->settled);
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

void writer_hold(struct writer *w)
{
    pthread_mutex_lock(&w->lock);
    w->holders++;
    pthread_cond_signal(&w->wake);
    while (!w->held)
        pthread_cond_wait(&w->settled, &w->lock);
    pthread_mutex_unlock(&w->lock);
}

void writer_release(struct writer *w)
{
    pthread_mutex_lock(&w->lock);
    w->holders--;
    pthread_cond_signal(&w->wake);
    pthread_mutex_unlock(&w->lock);
}

void writer_settle(struct writer *w)
{
    if (!atomic_load_explicit(&w->behind, memory_order_acquire) ||
        pthread_equal(w->thread, pthread_self()))
        return;
    pthread_mutex_lock(&w->lock);
    uint64_t needed = w->durable;
    while (w->stored < needed) {
        w->wanted = true;
        pthread_cond_signal(&w->wake);
        pthread_cond_wait(&w->settled, &w->lock);
    }
    pthread_mutex_unlock(&w->lock);
}

int writer_start(struct db *identity, struct db *lov, struct journal *journal,
                 const struct write_observer *observer, struct log *log, struct writer **out,
                 struct err *err)
{
    struct writer *w = mem_zero(sizeof *w);
    w->stores = (struct write_stores){.identity = identity, .lov = lov};
    w->journal = journal;
    w->observer = *observer;
    w->log = log;
    w->tail = &w->head;
    pthread_mutex_init(&w->lock, NULL);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&w->wake, &attributes);
    pthread_cond_init(&w->settled, NULL);
    pthread_condattr_destroy(&attributes);
    int rc = checkpoint_start(identity, &w->of_identity, err);
    if (rc == 0)
        rc = checkpoint_start(lov, &w->of_lov, err);
    if (rc == 0 && pthread_create(&w->thread, NULL, writer_main, w) != 0)
        rc = err_set(err, LOV_EIO, "cannot start the writer's thread");
    if (rc) {
        checkpoint_stop(w->of_identity);
        checkpoint_stop(w->of_lov);
        free(w);
        return rc;
    }
    *out = w;
    return 0;
}

void writer_stop(struct writer *w)
{
    if (!w)
        return;
    pthread_mutex_lock(&w->lock);
    w->stopping = true;
    pthread_cond_signal(&w->wake);
    pthread_mutex_unlock(&w->lock);
    pthread_join(w->thread, NULL);
    checkpoint_stop(w->of_identity);
    checkpoint_stop(w->of_lov);
    db_close(w->stores.identity);
    db_close(w->stores.lov);
    journal_close(w->journal);
    buf_free(&w->payload);
    pthread_cond_destroy(&w->wake);
    pthread_cond_destroy(&w->settled);
    pthread_mutex_destroy(&w->lock);
    free(w);
}

void writer_submit(struct writer *w, struct write_job *job)
{
    job->next = NULL;
    pthread_mutex_lock(&w->lock);
    bool refused = w->stopping;
    if (!refused) {
        bool was_empty = w->head == NULL;
        *w->tail = job;
        w->tail = &job->next;
        if (was_empty)
            pthread_cond_signal(&w->wake);
    }
    pthread_mutex_unlock(&w->lock);
    if (refused) {
        job->rc = err_set(&job->err, LOV_EUNAVAILABLE, "Lov is stopping");
        job->done(job);
    }
}

/* ---- waiting ---- */

struct waiting {
    struct write_job job; /* first: the writer knows this one */
    struct write_job *inner;
    pthread_mutex_t lock;
    pthread_cond_t ready;
    bool done;
};

static int run_inner(struct write_job *job, struct write_stores *stores, struct err *err)
{
    struct write_job *inner = ((struct waiting *)job)->inner;
    return inner->run(inner, stores, err);
}

static void durable_inner(struct write_job *job)
{
    struct write_job *inner = ((struct waiting *)job)->inner;
    if (inner->durable)
        inner->durable(inner);
}

static void wake_waiting(struct write_job *job)
{
    struct waiting *waiting = (struct waiting *)job;
    pthread_mutex_lock(&waiting->lock);
    waiting->done = true;
    pthread_cond_signal(&waiting->ready);
    pthread_mutex_unlock(&waiting->lock);
}

int writer_run(struct writer *w, struct write_job *job, struct err *err)
{
    struct waiting waiting = {
        .job = {.run = run_inner, .durable = durable_inner, .done = wake_waiting},
        .inner = job,
        .lock = PTHREAD_MUTEX_INITIALIZER,
        .ready = PTHREAD_COND_INITIALIZER,
    };
    writer_submit(w, &waiting.job);
    pthread_mutex_lock(&waiting.lock);
    while (!waiting.done)
        pthread_cond_wait(&waiting.ready, &waiting.lock);
    pthread_mutex_unlock(&waiting.lock);
    job->rc = waiting.job.rc;
    job->err = waiting.job.err;
    if (job->rc < 0 && err)
        *err = job->err;
    return job->rc;
}

struct writer_counts writer_counts(const struct writer *w)
{
    return (struct writer_counts){
        .commits = atomic_load_explicit(&w->commits, memory_order_relaxed),
        .jobs = atomic_load_explicit(&w->jobs, memory_order_relaxed),
        .failures = atomic_load_explicit(&w->failures, memory_order_relaxed),
        .stopped_by_error = atomic_load_explicit(&w->stopped_by_error, memory_order_relaxed),
    };
}
