/* writer.c - see writer.h.
 *
 * A batch is a list of jobs in the order in which they came. When a job fails after it wrote, its
 * writes can't be told apart from its neighbours', so the batch is rolled back, that job is marked,
 * and the rest run again; this is rare, so no job pays for savepoints. When the commit itself fails
 * the disk can't be trusted any more: the batch fails, and so does everything after it. */
#include "db/writer.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"

enum { LARGEST_BATCH = 2048 };

struct writer {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct write_job *head, **tail; /* under lock */
    bool stopping;                  /* under lock */
    bool broken;                    /* the writer's thread only; published by counts */
    struct write_stores stores;
    struct write_observer observer;
    struct log *log;
    /* Written by the writer's thread, read by any: plain counters, relaxed. */
    _Atomic uint64_t commits, jobs, failures;
    _Atomic bool stopped_by_error;
};

static int begin_both(struct writer *w, struct err *err)
{
    int rc = db_begin(w->stores.identity, err);
    if (rc == 0) {
        rc = db_begin(w->stores.lov, err);
        if (rc)
            db_rollback(w->stores.identity);
    }
    return rc;
}

static void roll_back(struct writer *w)
{
    db_rollback(w->stores.identity);
    db_rollback(w->stores.lov);
    w->observer.rolled_back(w->observer.ctx);
}

static int64_t changes(const struct writer *w)
{
    return db_changes(w->stores.identity) + db_changes(w->stores.lov);
}

/* Runs each job that has not failed. Returns the job that failed after writing, if any. */
static struct write_job *run_jobs(struct writer *w, struct write_job *batch)
{
    for (struct write_job *job = batch; job; job = job->next) {
        if (job->rc < 0)
            continue;
        int64_t before = changes(w);
        job->err = (struct err){0};
        job->rc = job->run(job, &w->stores, &job->err);
        if (job->rc < 0 && changes(w) != before)
            return job;
    }
    return NULL;
}

static int commit_both(struct writer *w, struct err *err)
{
    int rc = w->observer.before_commit(w->observer.ctx, &w->stores, err);
    if (rc == 0)
        rc = db_commit(w->stores.identity, err);
    if (rc == 0)
        rc = db_commit(w->stores.lov, err);
    return rc;
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

static void run_batch(struct writer *w, struct write_job *batch)
{
    struct err err = {0};
    int64_t now = clock_now();
    if (now > w->stores.now)
        w->stores.now = now;
    for (struct write_job *job = batch; job; job = job->next)
        job->rc = 0;
    for (;;) {
        int rc = w->broken ? err_set(&err, LOV_EUNAVAILABLE,
                                     "an earlier write to disk failed: nothing is written until "
                                     "the disk is mended and Lov is started again")
                           : begin_both(w, &err);
        if (rc) {
            fail_all(batch, rc, &err);
            return;
        }
        if (!run_jobs(w, batch))
            break;
        roll_back(w);
    }
    int rc = commit_both(w, &err);
    if (rc == 0) {
        w->observer.committed(w->observer.ctx);
        atomic_fetch_add_explicit(&w->commits, 1, memory_order_relaxed);
        return;
    }
    roll_back(w);
    fail_all(batch, rc, &err);
    w->broken = true;
    atomic_store_explicit(&w->stopped_by_error, true, memory_order_relaxed);
    log_printf(w->log, LOG_ERROR, "commit failed, nothing more is acknowledged: %s", err.text);
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
    while (!w->head && !w->stopping && rc == 0)
        rc = ms < 0 ? pthread_cond_wait(&w->wake, &w->lock)
                    : pthread_cond_timedwait(&w->wake, &w->lock, &until);
}

static int64_t idle(struct writer *w, bool stopping)
{
    return w->broken || !w->observer.idle ? -1 : w->observer.idle(w->observer.ctx, stopping);
}

/* Takes what waits, at most LARGEST_BATCH. False when there is nothing to do any more; true with an
 * empty batch when it is time for work that could wait. */
static bool take_batch(struct writer *w, struct write_job **batch)
{
    pthread_mutex_lock(&w->lock);
    wait_for_jobs(w, idle(w, w->stopping));
    struct write_job *first = w->head, *last = first;
    for (int n = 1; last && last->next && n < LARGEST_BATCH; n++)
        last = last->next;
    if (last) {
        w->head = last->next;
        last->next = NULL;
    }
    if (!w->head)
        w->tail = &w->head;
    bool more = first || !w->stopping || idle(w, true) >= 0;
    pthread_mutex_unlock(&w->lock);
    *batch = first;
    return more;
}

static void *writer_main(void *arg)
{
    struct writer *w = arg;
    struct write_job *batch;
    while (take_batch(w, &batch)) {
        run_batch(w, batch);
        finish_batch(w, batch);
    }
    return NULL;
}

int writer_start(struct db *identity, struct db *lov, const struct write_observer *observer,
                 struct log *log, struct writer **out, struct err *err)
{
    struct writer *w = mem_zero(sizeof *w);
    w->stores = (struct write_stores){.identity = identity, .lov = lov};
    w->observer = *observer;
    w->log = log;
    w->tail = &w->head;
    pthread_mutex_init(&w->lock, NULL);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&w->wake, &attributes);
    pthread_condattr_destroy(&attributes);
    if (pthread_create(&w->thread, NULL, writer_main, w) != 0) {
        free(w);
        return err_set(err, LOV_EIO, "cannot start the writer's thread");
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
    db_close(w->stores.identity);
    db_close(w->stores.lov);
    pthread_cond_destroy(&w->wake);
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
