/* decide.c - may this recipient use this category of this consumer for this purpose now? The rules
 * of DESIGN §4 in their order; the first that applies wins. */
#include <stdlib.h>

#include "base/clock.h"
#include "consent/engine.h"

/* Clocks are stepped back by this much in ordinary corrections; more is a clock not to be trusted.
 */
enum { CLOCK_TOLERANCE_MS = 5000 };

struct reason {
    const char *name, *text;
};

static const struct reason reasons[REASON_COUNT] = {
    [REASON_PERMITTED] = {"permitted", "The use is permitted."},
    [REASON_UNAVAILABLE] = {"unavailable", "No decision can be made now, so the answer is no."},
    [REASON_RECIPIENT_UNKNOWN] = {"recipient_unknown", "The policy knows no such recipient."},
    [REASON_RECIPIENT_SUSPENDED] = {"recipient_suspended", "The recipient is suspended."},
    [REASON_RECIPIENT_CONTRACT_ENDED] = {"recipient_contract_ended",
                                         "The recipient's contract has ended."},
    [REASON_RECIPIENT_SAFEGUARDS_ENDED] = {"recipient_safeguards_ended",
                                           "The recipient's safeguards are no longer in force."},
    [REASON_RECIPIENT_TRAINING_LAPSED] = {"recipient_training_lapsed",
                                          "The training of the recipient's staff has lapsed."},
    [REASON_NOT_IN_POLICY] = {"not_in_policy",
                              "The policy does not allow this recipient to use this category for "
                              "this purpose."},
    [REASON_UNKNOWN_CONSUMER] = {"unknown_consumer", "No such consumer is known."},
    [REASON_ERASED] = {"erased", "The consumer was erased."},
    [REASON_RESTRICTED] = {"restricted", "The consumer had the use of their data restricted."},
    [REASON_NO_CONSENT] = {"no_consent", "The consumer has not been asked or has not answered."},
    [REASON_WITHDRAWN] = {"withdrawn", "The consumer has withdrawn the consent."},
    [REASON_REFUSED] = {"refused", "The consumer said no."},
    [REASON_EXPIRED] = {"expired", "The consent has expired."},
    [REASON_NOTICE_SUPERSEDED] = {"notice_superseded",
                                  "The notice has changed materially since the consent was given."},
    [REASON_GUARDIAN_REQUIRED] = {"guardian_required",
                                  "The consumer is too young to consent without a guardian."},
    [REASON_OPTED_OUT] = {"opted_out", "The consumer has opted out."},
    [REASON_OBJECTED] = {"objected", "The consumer has objected."},
};

const char *decision_reason_name(enum decision_reason reason)
{
    return reasons[reason].name;
}

const char *decision_reason_text(enum decision_reason reason)
{
    return reasons[reason].text;
}

const char *decision_cause_name(enum decision_cause cause)
{
    static const char *const names[CAUSE_COUNT] = {
        [CAUSE_NONE] = "",
        [CAUSE_NO_POLICY] = "no_policy",
        [CAUSE_CLOCK] = "clock_ran_backwards",
        [CAUSE_NOT_RECORDED] = "not_recorded",
    };
    return names[cause];
}

void decision_text(const struct decision *d, struct buf *out)
{
    if (d->cause == CAUSE_NO_POLICY) {
        buf_cstr(out, "No policy is in force, so the answer is no.");
    } else if (d->cause == CAUSE_NOT_RECORDED) {
        buf_cstr(out, "The use could not be recorded, so the answer is no.");
    } else if (d->cause == CAUSE_CLOCK) {
        buf_cstr(out, "The clock ran backwards: it is behind the ledger's newest event, of ");
        time_format(d->latest, out);
        buf_cstr(out, ", so the answer is no.");
    } else {
        buf_cstr(out, decision_reason_text(d->reason));
    }
}

static enum decision_reason check_recipient(const struct policy_recipient *r, int64_t at)
{
    if (r->suspended)
        return REASON_RECIPIENT_SUSPENDED;
    /* TIME_NONE: none was asked of this recipient. */
    if (r->contract_end != TIME_NONE && at >= r->contract_end)
        return REASON_RECIPIENT_CONTRACT_ENDED;
    if (r->safeguards_end != TIME_NONE && at >= r->safeguards_end)
        return REASON_RECIPIENT_SAFEGUARDS_ENDED;
    if (r->training_end != TIME_NONE && at >= r->training_end)
        return REASON_RECIPIENT_TRAINING_LAPSED;
    return REASON_PERMITTED;
}

static bool younger_than(const struct index_consumer *c, int years, int64_t at)
{
    return years > 0 && c->born != DAY_NONE && at < date_start(date_add_years(c->born, years));
}

static const struct policy_law *law_of(const struct engine *e, const struct rules *r,
                                       const struct index_consumer *c)
{
    if (c->residence < r->law_count)
        return r->laws[c->residence];
    return policy_law_of(r->policy, index_name(e->index, c->residence));
}

struct found {
    const struct index_consumer *consumer;
    const struct policy_law *law;
    const struct policy_activity *activity;
    const struct permit *permit;
    uint32_t notice;
    int guardian_below;
    int64_t at;
};

static enum decision_reason by_consent(const struct found *f)
{
    const struct permit *p = f->permit;
    if (!p)
        return REASON_NO_CONSENT;
    if (p->state == PERMIT_WITHDRAWN)
        return REASON_WITHDRAWN;
    if (p->state == PERMIT_REFUSED)
        return REASON_REFUSED;
    if (f->at >= p->expires_at)
        return REASON_EXPIRED;
    if (!f->activity->notice || p->notice != f->notice ||
        p->notice_version < f->activity->notice->sufficient_from)
        return REASON_NOTICE_SUPERSEDED;
    if (!p->by_guardian && younger_than(f->consumer, f->guardian_below, f->at))
        return REASON_GUARDIAN_REQUIRED;
    return REASON_PERMITTED;
}

static bool said_no(const struct permit *p)
{
    return p && p->state != PERMIT_GIVEN;
}

static enum decision_reason by_basis(const struct found *f, enum policy_basis basis)
{
    switch (basis) {
    case BASIS_NONE:
        return REASON_NOT_IN_POLICY;
    case BASIS_CONSENT:
        return by_consent(f);
    case BASIS_OPT_OUT:
        if (said_no(f->permit) || f->consumer->opt_out_signal)
            return REASON_OPTED_OUT;
        /* The young are asked first (CCPA §1798.120(c)). */
        return younger_than(f->consumer, f->law->opt_in_below, f->at) ? by_consent(f)
                                                                      : REASON_PERMITTED;
    case BASIS_LEGITIMATE_INTEREST:
        return said_no(f->permit) ? REASON_OBJECTED : REASON_PERMITTED;
    case BASIS_CONTRACT:
    case BASIS_LEGAL_OBLIGATION:
    case BASIS_VITAL_INTEREST:
    case BASIS_PUBLIC_TASK:
        return REASON_PERMITTED;
    }
    return REASON_UNAVAILABLE;
}

/* Rules 2 and 3: what needs no consumer. REASON_PERMITTED and *activity, *position when passed. */
static enum decision_reason by_policy(const struct rules *r, const struct question *q,
                                      const struct policy_activity **activity, size_t *position)
{
    const struct policy_recipient *recipient = policy_recipient(r->policy, q->recipient);
    if (!recipient)
        return REASON_RECIPIENT_UNKNOWN;
    enum decision_reason reason = check_recipient(recipient, q->at);
    if (reason != REASON_PERMITTED)
        return reason;
    const struct policy_purpose *purpose = policy_purpose(r->policy, q->purpose);
    const struct policy_category *category = policy_category(r->policy, q->category);
    const struct policy_activity *a =
        purpose && category ? policy_activity(r->policy, recipient, purpose) : NULL;
    for (size_t i = 0; a && i < a->category_count; i++) {
        if (a->categories[i] == category) {
            *activity = a;
            *position = i;
            return REASON_PERMITTED;
        }
    }
    return REASON_NOT_IN_POLICY;
}

/* Rules 4 and 5, for a consumer who was found. */
static enum decision_reason by_consumer(const struct engine *e, const struct rules *r,
                                        const struct question *q, const struct index_consumer *c,
                                        size_t position, struct decision *out)
{
    if (c->erased)
        return REASON_ERASED;
    out->has_consumer = true;
    out->cid = c->cid;
    out->shard = c->shard;
    out->law = law_of(e, r, c);
    const struct policy_activity *a = out->activity;
    out->basis = a->basis[out->law->index];
    if (c->restricted && out->basis != BASIS_LEGAL_OBLIGATION)
        return REASON_RESTRICTED;
    struct found f = {
        .consumer = c,
        .law = out->law,
        .activity = a,
        .permit = index_permit(c, r->keys[a->index][position]),
        .notice = a->notice ? r->notices[a->notice->index] : 0,
        .guardian_below = policy_guardian_below(out->law, index_name(e->index, c->residence)),
        .at = q->at,
    };
    enum decision_reason reason = by_basis(&f, out->basis);
    bool answered = out->basis == BASIS_CONSENT || out->basis == BASIS_OPT_OUT ||
                    out->basis == BASIS_LEGITIMATE_INTEREST;
    if (f.permit && answered)
        out->consent = f.permit->consent;
    return reason;
}

void decide_for(const struct engine *e, const struct rules *r, const struct question *q,
                const struct index_consumer *c, struct decision *out)
{
    *out = (struct decision){
        .reason = REASON_UNAVAILABLE, .cause = r ? CAUSE_NONE : CAUSE_NO_POLICY, .consent = -1};
    if (!r)
        return;
    size_t position = 0;
    out->reason = by_policy(r, q, &out->activity, &position);
    if (out->reason != REASON_PERMITTED)
        return;
    out->reason = c ? by_consumer(e, r, q, c, position, out) : REASON_UNKNOWN_CONSUMER;
    out->permit = out->reason == REASON_PERMITTED;
}

bool decide_available(const struct engine *e, const struct rules *r, struct decision *out)
{
    int64_t latest = atomic_load_explicit(&e->latest, memory_order_relaxed);
    bool sane = clock_now() + CLOCK_TOLERANCE_MS >= latest;
    if (r && sane)
        return true;
    *out = (struct decision){
        .reason = REASON_UNAVAILABLE,
        .cause = r ? CAUSE_CLOCK : CAUSE_NO_POLICY,
        .latest = latest,
        .consent = -1,
    };
    return false;
}

void decide(struct engine *e, const struct rules *r, const struct question *q, struct decision *out)
{
    if (!decide_available(e, r, out))
        return;
    struct hash128 lookup = identity_lookup(e->identity, q->consumer);
    index_read_lock(e->index);
    decide_for(e, r, q, index_find(e->index, &lookup), out);
    index_read_unlock(e->index);
}

int decide_each(struct engine *e, const struct rules *r, const struct question *q, int64_t from,
                int64_t limit, int (*row)(void *ctx, int64_t number, const struct uid *cid),
                void *ctx, int64_t *next)
{
    /* The lock is let go now and then, so that a withdrawal need not wait for a long search. */
    enum { AT_ONCE = 1024 };
    int rc = 0;
    struct decision unavailable;
    bool more = decide_available(e, r, &unavailable);
    while (more && rc == 0 && limit > 0) {
        index_read_lock(e->index);
        for (int i = 0; i < AT_ONCE && rc == 0 && limit > 0; i++, limit--) {
            const struct index_consumer *c = index_at(e->index, from);
            if (!c) {
                more = false;
                break;
            }
            struct decision d;
            decide_for(e, r, q, c, &d);
            from++;
            if (d.permit)
                rc = row(ctx, from - 1, &c->cid);
        }
        index_read_unlock(e->index);
    }
    index_read_lock(e->index);
    *next = more && from < index_count(e->index) ? from : -1;
    index_read_unlock(e->index);
    return rc;
}
