/* recover.c - from the journal to the store: events that were acknowledged and not committed when
 * the process stopped. What else a batch had written rides with its events in the store's own
 * commit, so these are all that can be missing. */
#include "ledger/event.h"
#include "ledger/ledger.h"

struct recovery {
    struct ledger *ledger;
    struct db *lov; /* NULL: only to see whether something is missing */
    ledger_other *other;
    int64_t count;
    struct err *err;
};

static int damaged(struct recovery *r, const char *how)
{
    return err_set(
        r->err, LOV_ECORRUPT,
        "the journal %s; where lov.db was put there by hand, remove lov.db-events beside "
        "it, which belongs to another",
        how);
}

static int take_entry(void *ctx, struct str entry)
{
    struct recovery *r = ctx;
    struct ledger_event event;
    if (r->other && entry.n && entry.p[0] >= LEDGER_OTHER)
        return r->lov ? r->other(r->lov, entry, r->err) : 0;
    if (!event_decode(entry, &event))
        return damaged(r, "holds something that is no event");
    int64_t next = ledger_next(r->ledger, event.shard), seq = event.seq;
    if (seq < next)
        return 0;
    r->count++;
    if (!r->lov)
        return 1;
    if (seq > next)
        return damaged(r, "does not go on where the ledger ends");
    int rc = ledger_append(r->ledger, r->lov, &event, r->err);
    if (rc == 0 && ledger_next(r->ledger, event.shard) != seq + 1)
        bug("an event of the journal was not appended");
    return rc;
}

static int append_all(struct recovery *r, const char *journal)
{
    struct write_stores stores = {.lov = r->lov};
    struct write_observer o = ledger_observer(r->ledger);
    int64_t before = db_changes(r->lov);
    int rc = db_begin(r->lov, r->err);
    if (rc)
        return rc;
    rc = journal_read(journal, take_entry, r, r->err);
    if (rc == 0)
        rc = o.before_store(o.ctx, &stores, r->err);
    db_keep(r->lov, NULL, NULL);
    if (rc == 0 && db_changes(r->lov) != before)
        return db_commit(r->lov, r->err);
    db_rollback(r->lov);
    return rc;
}

int ledger_recover(struct db *lov, const char *journal, ledger_other *other, int64_t *count,
                   struct err *err)
{
    struct recovery r = {.lov = lov, .other = other, .err = err};
    int rc = ledger_open(lov, &r.ledger, err);
    if (rc == 0)
        rc = append_all(&r, journal);
    ledger_close(r.ledger);
    *count = r.count;
    return rc;
}

static int ignore(struct db *lov, struct str entry, struct err *err)
{
    (void)lov;
    (void)entry;
    (void)err;
    return 0;
}

int ledger_is_behind(struct db *lov, const char *journal, struct err *err)
{
    struct recovery r = {.other = ignore, .err = err};
    int rc = ledger_check_store(lov, err);
    if (rc == 0)
        rc = ledger_open(lov, &r.ledger, err);
    if (rc == 0)
        rc = journal_read(journal, take_entry, &r, err);
    ledger_close(r.ledger);
    return rc;
}
