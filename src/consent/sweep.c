/* sweep.c - when the rows of the tail are written: with the commits of others, a little each, once
 * the tail is old or large; more when nobody waits; all of it before the writer stops.
 *
 * Age and size bound what has to be read again after a crash, and the memory. The longer it takes,
 * the more changes of one consumer are written as one, and the more rows share a page; so where
 * nothing changes any more there is nothing to wait for. */
#include "base/clock.h"
#include "consent/engine.h"

/* For so long nobody has written: who has just been answered may be about to write again. */
enum { QUIET_MS = 5 };

struct sweep_limits sweep_defaults(void)
{
    return (struct sweep_limits){
        .after_ms = 60000,
        .after_bytes = 112 << 20,
        .per_commit = 4,
        .when_idle = 256,
        .unchanged_ms = 5000,
    };
}

/* ms until `ms` after `since`; a clock that was set back must not put it off for ever. */
static int64_t left_of(int64_t since, int64_t ms, int64_t now)
{
    int64_t left = since + ms - now;
    return left <= 0 || left > ms ? 0 : left;
}

static int64_t due_in(const struct engine *e)
{
    struct tail_size size = tail_size(e->tail);
    int64_t now = clock_now();
    if (size.persons == 0)
        return -1;
    if (size.bytes >= e->sweep.after_bytes)
        return 0;
    int64_t left = left_of(size.since, e->sweep.after_ms, now);
    int64_t unchanged = left_of(size.latest, e->sweep.unchanged_ms, now);
    return e->sweep.unchanged_ms && unchanged < left ? unchanged : left;
}

int64_t sweep_wait(struct engine *e, bool stopping)
{
    e->closing = stopping;
    if (stopping)
        return ledger_is_applied(e->ledger) ? -1 : 0;
    return tail_sweeping(e->tail) ? QUIET_MS : due_in(e);
}

int sweep_all(struct engine *e, struct db *lov, struct err *err)
{
    if (!tail_sweeping(e->tail)) {
        ledger_mark(e->ledger);
        tail_sweep_start(e->tail);
    }
    int rc = tail_sweep(e->tail, lov, SIZE_MAX, err);
    if (rc == 0)
        ledger_applied(e->ledger);
    return rc;
}

int sweep_bulk(struct engine *e, struct db *lov, struct err *err)
{
    /* Where nobody is held from before, the rows of this batch are all that the tables lack. */
    bool whole = tail_size(e->tail).persons == 0 && !tail_sweeping(e->tail);
    int rc = whole ? 0 : sweep_all(e, lov, err);
    if (rc == 0)
        rc = tail_flush(e->tail, lov, err);
    if (rc == 0 && whole)
        ledger_applied_all(e->ledger);
    return rc;
}

int sweep(struct engine *e, struct db *lov, struct err *err)
{
    if (!tail_sweeping(e->tail)) {
        if (!e->closing && due_in(e) != 0)
            return 0;
        ledger_mark(e->ledger);
        tail_sweep_start(e->tail);
    }
    size_t added = tail_batch(e->tail);
    int rc = tail_sweep(e->tail, lov,
                        added ? e->sweep.per_commit + added + added / 2 : e->sweep.when_idle, err);
    if (rc == 0 && tail_swept(e->tail))
        ledger_applied(e->ledger);
    return rc;
}
