/* decide.c - may this recipient use this category of this consumer for this purpose now? The rules
 * are in permit/judge.c, for this process and for liblov alike; here their numbers become what the
 * rest of the server works with. */
#include "base/clock.h"
#include "consent/engine.h"

const char *decision_reason_name(enum decision_reason reason)
{
    return lov_reason_name((int)reason);
}

const char *decision_reason_text(enum decision_reason reason)
{
    return lov_reason_text((int)reason);
}

const char *decision_cause_name(enum decision_cause cause)
{
    static const char *const names[CAUSE_COUNT] = {
        [CAUSE_NONE] = "",
        [CAUSE_NO_POLICY] = "no_policy",
        [CAUSE_CLOCK] = "clock_ran_backwards",
        [CAUSE_INDEX] = "index_unavailable",
        [CAUSE_NOT_RECORDED] = "not_recorded",
    };
    return names[cause];
}

void decision_text(const struct decision *d, struct buf *out)
{
    if (d->cause == CAUSE_NO_POLICY) {
        buf_cstr(out, "No policy is in force, so the answer is no.");
    } else if (d->cause == CAUSE_INDEX) {
        buf_cstr(out, "The permit index cannot be read, so the answer is no.");
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

static const struct image *image_of(const struct rules *r)
{
    return (const struct image *)(const void *)r->image.p;
}

static struct decision unavailable(enum decision_cause cause)
{
    return (struct decision){.reason = REASON_UNAVAILABLE, .cause = cause, .consent = -1};
}

/* Rules 2 and 3. */
static bool passes_policy(const struct rules *r, const struct question *q,
                          const struct image_use **use, struct decision *out)
{
    enum lov_reason reason =
        permit_policy(image_of(r), q->recipient, q->purpose, q->category, q->at, use);
    if (reason == LOV_PERMITTED)
        return true;
    *out = (struct decision){.reason = (enum decision_reason)reason, .consent = -1};
    return false;
}

/* Rules 4 and 5. */
static void judge(const struct engine *e, const struct rules *r, const struct question *q,
                  const struct image_use *use, const struct permit_answer *answer,
                  struct decision *out)
{
    struct lov_decision d;
    permit_judge(index_map(e->index), image_of(r), use, answer, q->at, &d);
    *out = (struct decision){
        .permit = d.permit,
        .reason = (enum decision_reason)d.reason,
        .basis = (enum policy_basis)d.basis,
        .law = d.law < 0 ? NULL : &r->policy->laws[d.law],
        .activity = &r->policy->activities[d.activity],
        .consent = d.consent,
        .no_automated_decision = d.no_automated_decision,
        .shard = answer ? index_shard_of(e->index, answer->address) : 0,
    };
}

void decide_by(const struct engine *e, const struct rules *r, const struct question *q,
               const struct permit_answer *answer, struct decision *out)
{
    const struct image_use *use;
    *out = unavailable(CAUSE_NO_POLICY);
    if (r && passes_policy(r, q, &use, out))
        judge(e, r, q, use, answer, out);
}

static void judge_found(const struct engine *e, const struct rules *r, const struct question *q,
                        const struct image_use *use, enum permit_found found,
                        const struct permit_answer *answer, struct decision *out)
{
    if (found == PERMIT_BUSY)
        *out = unavailable(CAUSE_INDEX);
    else
        judge(e, r, q, use, found == PERMIT_SOMEBODY ? answer : NULL, out);
}

void decide_number(const struct engine *e, const struct rules *r, const struct question *q,
                   int64_t number, struct decision *out)
{
    const struct image_use *use;
    struct permit_answer answer;
    *out = unavailable(r ? CAUSE_INDEX : CAUSE_NO_POLICY);
    if (!r || index_is_broken(e->index) || !passes_policy(r, q, &use, out))
        return;
    enum permit_found found = permit_find_number(
        index_map(e->index), index_address(e->index, number), (uint32_t)number, use->key, &answer);
    judge_found(e, r, q, use, found, &answer, out);
}

bool decide_available(const struct engine *e, const struct rules *r, struct decision *out)
{
    int64_t latest = atomic_load_explicit(&e->latest, memory_order_relaxed);
    bool sane = permit_now() + PERMIT_CLOCK_BACK_MS >= latest, whole = !index_is_broken(e->index);
    if (r && sane && whole)
        return true;
    *out = unavailable(!r ? CAUSE_NO_POLICY : sane ? CAUSE_INDEX : CAUSE_CLOCK);
    out->latest = latest;
    return false;
}

void decide(struct engine *e, const struct rules *r, const struct question *q, struct decision *out)
{
    const struct image_use *use;
    struct permit_answer answer;
    if (!decide_available(e, r, out) || !passes_policy(r, q, &use, out))
        return;
    struct hash128 lookup = q->looked_up ? q->lookup : identity_lookup(e->identity, q->consumer);
    enum permit_found found = permit_find(index_map(e->index), &lookup, use->key, &answer);
    judge_found(e, r, q, use, found, &answer, out);
}

void decide_ahead(const struct engine *e, struct question *q)
{
    q->lookup = identity_lookup(e->identity, q->consumer);
    q->looked_up = true;
    permit_prefetch(index_map(e->index), lookup_address(&q->lookup));
}

bool decide_use(const struct engine *e, const struct rules *r, const struct image_use *use,
                int64_t number, int64_t at, uint32_t *residence)
{
    struct permit_answer answer;
    struct lov_decision d;
    const struct permit_map *m = index_map(e->index);
    if (permit_find_number(m, index_address(e->index, number), (uint32_t)number, use->key,
                           &answer) != PERMIT_SOMEBODY)
        return false;
    *residence = answer.residence;
    permit_judge(m, image_of(r), use, &answer, at, &d);
    return d.permit;
}
