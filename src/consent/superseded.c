/* superseded.c - consents that a later answer took the place of wholly. The answer's event names
 * each with the last event of its own, whose body says the rest; so those of a consumer are found
 * from the living ones backwards. Those recorded before answers did so have rows. */
#include <stdlib.h>
#include <string.h>

#include "consent/state.h"
#include "ledger/ledger.h"

struct walk {
    struct db *lov;
    uint32_t shard;
    const struct uid *cid;
    struct arena *arena;
    struct consent *consents;
    size_t count;
    int64_t wanted; /* no further once it is found; -1: all are */
    bool seen;
    struct superseded_list named; /* by the event that is looked at */
    struct consent found;
    struct err *err;
};

static int damaged(struct err *err)
{
    return err_set(err, LOV_ECORRUPT,
                   "an answer names a consent that is not there: run lov log verify");
}

static void add(struct walk *w, const struct consent *c)
{
    w->consents = consents_grow(w->arena, w->consents, w->count);
    w->consents[w->count++] = *c;
    w->seen = w->seen || c->seq == w->wanted;
}

static int take_body(void *ctx, const struct ledger_event *event)
{
    struct walk *w = ctx;
    if (!event->has_cid || memcmp(event->cid.b, w->cid->b, sizeof w->cid->b) != 0)
        return damaged(w->err);
    int rc = body_read_consent(event->body, w->arena, &w->found, w->err);
    w->found.shard = event->shard;
    w->found.cid = event->cid;
    w->found.event = event->seq;
    return rc ? rc : body_read_superseded(event->body, w->arena, &w->named, w->err);
}

static int read_event(struct walk *w, int64_t seq)
{
    int rc = ledger_get(w->lov, w->shard, seq, take_body, w, w->err);
    return rc == 0 ? damaged(w->err) : rc < 0 ? rc : 0;
}

/* Those that the answer of seq took the place of. */
static int add_named(struct walk *w, int64_t answer)
{
    int rc = read_event(w, answer);
    struct superseded_list named = w->named;
    for (size_t i = 0; rc == 0 && i < named.count; i++) {
        rc = named.items[i].event < answer ? read_event(w, named.items[i].event) : damaged(w->err);
        if (rc == 0 && w->found.seq != named.items[i].consent)
            rc = damaged(w->err);
        w->found.status = CONSENT_SUPERSEDED;
        w->found.narrowed_count = 0;
        if (rc == 0)
            add(w, &w->found);
    }
    return rc;
}

static int add_rows(struct walk *w, const struct person *p)
{
    struct consent *rows = NULL;
    size_t count = 0;
    int rc = row_consents(w->lov, w->shard, w->cid, true, w->arena, &rows, &count, w->err);
    for (size_t i = 0; i < count; i++)
        if (!person_consent(p, rows[i].seq))
            add(w, &rows[i]);
    return rc;
}

static int walk(struct walk *w, const struct person *p)
{
    w->shard = p->row.shard;
    w->cid = &p->row.cid;
    for (size_t i = 0; i < p->consent_count; i++)
        add(w, &p->consents[i]);
    int rc = add_rows(w, p);
    for (size_t i = 0; rc == 0 && i < w->count && !w->seen; i++)
        rc = add_named(w, w->consents[i].seq);
    return rc;
}

static int by_seq(const void *a, const void *b)
{
    const struct consent *x = a, *y = b;
    return (x->seq > y->seq) - (x->seq < y->seq);
}

int superseded_list(struct db *lov, const struct person *p, struct arena *arena,
                    struct consent **out, size_t *count, struct err *err)
{
    struct walk w = {.lov = lov, .arena = arena, .wanted = -1, .err = err};
    int rc = walk(&w, p);
    if (w.count)
        qsort(w.consents, w.count, sizeof *w.consents, by_seq);
    *out = w.consents;
    *count = w.count;
    return rc;
}

int superseded_find(struct db *lov, const struct person *p, int64_t seq, struct arena *arena,
                    struct consent *out, struct err *err)
{
    struct walk w = {.lov = lov, .arena = arena, .wanted = seq, .err = err};
    int rc = walk(&w, p);
    for (size_t i = 0; rc == 0 && i < w.count; i++) {
        if (w.consents[i].seq != seq)
            continue;
        *out = w.consents[i];
        return 1;
    }
    return rc;
}
