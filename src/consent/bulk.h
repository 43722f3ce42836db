/*
 * bulk.h - many answers in one durable commit: what an import writes by.
 *
 * A bulk is a list of writes of kind WRITE_GIVE and WRITE_REFUSE. They run in order, under the same
 * rules and with the same events as if each were submitted by itself, but the consumers are looked
 * up and added in the order of the store's key, rows of the state are written with the commit and
 * in order, and the index is told once. All that was not refused is durable together, or nothing
 * is.
 *
 * Meanwhile other writes wait, about a second for some ten thousand writes: so a server
 * that answers others uses it with small bulks or not at all.
 */
#ifndef LOV_CONSENT_BULK_H
#define LOV_CONSENT_BULK_H

#include <pthread.h>

#include "consent/consent.h"

struct bulk_consumer;

struct engine_bulk {
    struct write_job job; /* private; first */

    /* Input. Of each write: kind, actor, arena (they may share one, which the writer's thread uses
     * until the bulk is done) and what the kind needs. idempotent: its key is looked for, and a
     * write that is known is replayed; it is not remembered. */
    struct engine_write *writes;
    size_t count;
    /* A note that becomes durable with the writes, or NULL. Called on the writer's thread when all
     * have run (job.rc of each says how); perhaps more than once. */
    void (*note)(const struct engine_bulk *b, struct buf *name, struct buf *value);
    void *ctx;

    /* Private. */
    struct engine *engine;
    struct arena arena;
    struct bulk_consumer *consumers; /* in order of lookup */
    size_t consumer_count;
    struct bulk_consumer **of; /* by write */
    bool *out;                 /* by write: refused for good, after it had written */
    int64_t spoilt;            /* the write that was found to be so in this run, or -1 */
    pthread_mutex_t lock;
    pthread_cond_t ready;
    bool finished; /* under lock */
};

/* Sorts, on the caller's thread; takes the memory that engine_bulk_end() gives back. */
void engine_bulk_begin(struct engine *e, struct engine_bulk *b);
/* Hands it to the writer. Until engine_bulk_wait() it and all it points to must stay. */
void engine_bulk_submit(struct engine_bulk *b);
/* Negative: nothing was written. 0: job.rc and job.err of each write say whether it was refused;
 * `replayed` as elsewhere, `out` is not kept. */
int engine_bulk_wait(struct engine_bulk *b, struct err *err);
void engine_bulk_end(struct engine_bulk *b);

/* The notes whose names begin with `prefix`, in order of name. Stops when `row` returns non-zero
 * and returns that. */
int bulk_notes(struct db *lov, struct str prefix,
               int (*row)(void *ctx, struct str name, struct str value), void *ctx,
               struct err *err);
/* Is any idempotency key remembered? */
int bulk_has_keys(struct db *lov, bool *out, struct err *err);

#endif
