/* past.c - what was permitted at an earlier time: the consumer's answers and attributes as they
 * were then, read from their history in the ledger, under the policy in force now. For uses that
 * are told afterwards: a withdrawal since then does not make them wrong, nor a consent since then
 * right. */
#include <string.h>

#include "base/json.h"
#include "consent/engine.h"

struct past {
    struct work *k;
    const struct question *q;
    struct index_consumer consumer;
    struct permit permit;
    bool answered;
    struct err *err;
};

static uint32_t number_of(struct past *p, struct str name)
{
    index_write_lock(p->k->e->index);
    uint32_t number = index_number(p->k->e->index, name);
    index_write_unlock(p->k->e->index);
    return number;
}

static void take_consent(struct past *p, const struct consent *c)
{
    if (!str_eq(c->recipient, p->q->recipient) || !str_eq(c->purpose, p->q->purpose))
        return;
    bool narrowed = names_have(c->narrowed, c->narrowed_count, p->q->category);
    bool held = names_have(c->categories, c->category_count, p->q->category) &&
                c->status != CONSENT_SUPERSEDED;
    if (!narrowed && !held)
        return;
    p->answered = true;
    p->permit = (struct permit){
        .key = p->permit.key,
        .state = narrowed || c->status == CONSENT_WITHDRAWN ? PERMIT_WITHDRAWN
                 : c->status == CONSENT_REFUSED             ? PERMIT_REFUSED
                                                            : PERMIT_GIVEN,
        .by_guardian = c->by_guardian,
        .notice = number_of(p, c->notice),
        .notice_version = c->notice_version,
        .expires_at = c->expires_at == TIME_NONE ? INT64_MAX : c->expires_at,
        .consent = c->seq,
    };
}

static void take_consumer(struct past *p, const struct consumer_row *row)
{
    p->consumer.residence = number_of(p, row->residence);
    p->consumer.restricted = row->restricted;
    p->consumer.opt_out_signal = row->opt_out_signal;
}

static int take_event(void *ctx, const struct ledger_event *event)
{
    struct past *p = ctx;
    _cleanup_arena struct arena arena = {0};
    struct consumer_row row;
    struct consent c;
    bool consumer = str_is(event->kind, "consumer.add") || str_is(event->kind, "consumer.set");
    int rc = 0;
    if (event->at > p->q->at)
        return 0;
    if (consumer && (rc = body_read_consumer(event->body, &arena, &row, p->err)) == 0)
        take_consumer(p, &row);
    if (str_starts(event->kind, STR("consent.")) &&
        (rc = body_read_consent(event->body, &arena, &c, p->err)) == 0)
        take_consent(p, &c);
    return rc;
}

/* The consumer as they are now, and the number of what is asked. False when nobody is known. */
static bool copy_consumer(struct past *p)
{
    struct index *ix = p->k->e->index;
    struct hash128 lookup = identity_lookup(p->k->e->identity, p->q->consumer);
    index_write_lock(ix);
    const struct index_consumer *now = index_find(ix, &lookup);
    if (now)
        p->consumer = *now;
    p->permit.key = index_key(ix, p->q->recipient, p->q->purpose, p->q->category);
    index_write_unlock(ix);
    return now != NULL;
}

int decide_past(struct work *k, const struct question *q, struct decision *out, struct err *err)
{
    struct past p = {.k = k, .q = q, .err = err};
    bool known = copy_consumer(&p);
    if (known && !p.consumer.erased) {
        /* The lock is not held here: a long history must not keep others from deciding. */
        int rc = ledger_history(k->lov, p.consumer.shard, k->person.row.last_event, -1, INT64_MAX,
                                take_event, &p, err);
        if (rc)
            return rc;
        p.consumer.permits = &p.permit;
        p.consumer.permit_count = p.answered;
    }
    index_read_lock(k->e->index);
    decide_for(k->e, k->rules, q, known ? &p.consumer : NULL, out);
    index_read_unlock(k->e->index);
    return 0;
}
