/*
 * writer.h - the one thread that writes, with group commit.
 *
 * Jobs wait in a queue. The writer takes all that wait, runs them in order inside one transaction,
 * commits once, and only then tells their callers: acknowledged means durable, and a thousand
 * writes cost one fsync.
 *
 * Where there is a journal (journal.h), a batch that has only appended to the log is durable there,
 * and its transaction stays open: it is committed with those that follow, soon, when the journal is
 * full, when a batch has changed more than that, or when a reader asks (writer_settle). A reading
 * connection therefore may lack the newest events, and nothing else.
 *
 * A job's run() may be called more than once (when another job of its batch failed after writing,
 * the batch is rolled back and the others run again), so it starts from its input each time and
 * touches memory outside the job only in durable(). A job that refuses (returns negative) before
 * its first write costs the others nothing.
 *
 * Two stores: the identity store commits first, so that no row of the other refers to a consumer
 * that nobody knows.
 */
#ifndef LOV_DB_WRITER_H
#define LOV_DB_WRITER_H

#include "base/err.h"
#include "base/log.h"
#include "db/db.h"
#include "db/journal.h"

struct writer;

struct write_stores {
    struct db *identity, *lov;
    int64_t now; /* one instant per batch, never earlier than the batch before */
};

struct write_job {
    /* Inside the transaction, on the writer's thread. */
    int (*run)(struct write_job *job, struct write_stores *stores, struct err *err);
    /* After the commit, on the writer's thread, in order; may be NULL. Updates what is derived. */
    void (*durable)(struct write_job *job);
    /* Last: rc and err say how it went. The job belongs to the caller again. */
    void (*done)(struct write_job *job);
    int rc;
    struct err err;
    struct write_job *next; /* private */
};

/* What lives in memory beside the database and must follow it (the ledger). Called on the writer's
 * thread; all but committed and rolled_back may be NULL. before_commit is for work that rides with
 * each batch; committed (the batch is durable) or rolled_back tells how it ended. kept counts what
 * the batch has changed in memory alone, which before_store writes before the transaction is
 * committed. journal appends the batch's entries for the journal and returns how many rows of the
 * lov store they stand for: where its jobs have changed others too, or it is negative, the batch is
 * committed. stored: everything so far is committed to the stores. Work that can wait rides on the
 * commits of others; when none comes, idle says in how many milliseconds it wants one of its own
 * (negative, or no such function: there is none). Once the writer is stopping it is asked until
 * there is none. */
struct write_observer {
    void *ctx;
    int (*before_commit)(void *ctx, struct write_stores *stores, struct err *err);
    int (*before_store)(void *ctx, struct write_stores *stores, struct err *err);
    void (*committed)(void *ctx);
    void (*rolled_back)(void *ctx);
    int64_t (*idle)(void *ctx, bool stopping);
    int64_t (*kept)(void *ctx);
    int64_t (*journal)(void *ctx, struct buf *payload);
    void (*stored)(void *ctx);
};

/* Takes over both connections, opened with DB_WRITE, and the journal (may be NULL). */
int writer_start(struct db *identity, struct db *lov, struct journal *journal,
                 const struct write_observer *observer, struct log *log, struct writer **out,
                 struct err *err);
/* Finishes what waits, then stops and closes them. */
void writer_stop(struct writer *w);
/* Any thread. After writer_stop began, jobs come back with LOV_EUNAVAILABLE. */
void writer_submit(struct writer *w, struct write_job *job);
/* Submits and waits; done is not called. Returns job->rc. */
int writer_run(struct writer *w, struct write_job *job, struct err *err);

/* Any thread: waits until reading connections see all that was acknowledged before the call, or the
 * writer has failed. Returns at once where there is nothing to wait for, and on the writer's own.
 */
void writer_settle(struct writer *w);

/* Any thread but the writer's: commits, and keeps the writer from beginning anything until it is
 * released. For moments: everybody who writes waits. */
void writer_hold(struct writer *w);
void writer_release(struct writer *w);

struct writer_counts {
    uint64_t commits, jobs, failures;
    bool stopped_by_error; /* a commit failed: nothing more is acknowledged until restart */
};
struct writer_counts writer_counts(const struct writer *w);

#endif
