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
    struct permit_answer answer;
    struct err *err;
};

static uint32_t number_of(struct past *p, struct str name, bool residence)
{
    struct index *ix = p->k->e->index;
    index_write_lock(ix);
    uint32_t number = residence ? index_residence(ix, name) : index_notice(ix, name);
    index_write_unlock(ix);
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
    struct permit_answer *answer = &p->answer;
    answer->answered = true;
    answer->state = narrowed || c->status == CONSENT_WITHDRAWN ? PERMIT_WITHDRAWN
                    : c->status == CONSENT_REFUSED             ? PERMIT_REFUSED
                                                               : PERMIT_GIVEN;
    answer->by_guardian = c->by_guardian;
    answer->notice = number_of(p, c->notice, false);
    answer->notice_version = c->notice_version;
    answer->expires_at = c->expires_at == TIME_NONE ? INT64_MAX : c->expires_at;
    answer->consent = c->seq;
}

static void take_consumer(struct past *p, const struct consumer_row *row)
{
    p->answer.residence = number_of(p, row->residence, true);
    p->answer.restricted = row->restricted;
    p->answer.opt_out_signal = row->opt_out_signal;
    p->answer.no_automated_decision = row->no_automated_decision;
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

int decide_past(struct work *k, const struct question *q, struct decision *out, struct err *err)
{
    struct past p = {.k = k, .q = q, .err = err};
    struct hash128 lookup = identity_lookup(k->e->identity, q->consumer);
    /* The consumer as they are now: what their history does not tell stays. */
    bool known =
        permit_find(index_map(k->e->index), &lookup, INDEX_NO_KEY, &p.answer) == PERMIT_SOMEBODY;
    if (known && !p.answer.erased) {
        uint32_t shard = index_shard_of(k->e->index, p.answer.address);
        int rc = ledger_history(k->lov, shard, k->person.row.last_event, -1, INT64_MAX, take_event,
                                &p, err);
        if (rc)
            return rc;
    }
    decide_by(k->e, k->rules, q, known ? &p.answer : NULL, out);
    return 0;
}
