/* answer.c - a consumer's yes or no: recorded as a new consent, which takes its categories over
 * from the older ones of the same recipient and purpose. */
#include <string.h>

#include "consent/engine.h"

/* The names that are not in `taken`, in place; how many stay. */
static size_t without(struct str *names, size_t count, const struct consent *taken)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++)
        if (!names_have(taken->categories, taken->category_count, names[i]))
            names[kept++] = names[i];
    return kept;
}

static struct str *copy(struct arena *arena, const struct str *names, size_t count)
{
    struct str *out = arena_array(arena, count, sizeof *out);
    if (count)
        memcpy(out, names, count * sizeof *out);
    return out;
}

/* The consent without the categories of `taken`. False when it had none of them. */
static bool take_over(struct arena *arena, struct consent *old, const struct consent *taken)
{
    struct str *categories = copy(arena, old->categories, old->category_count);
    old->narrowed = copy(arena, old->narrowed, old->narrowed_count);
    size_t kept = without(categories, old->category_count, taken);
    size_t narrowed = without(old->narrowed, old->narrowed_count, taken);
    bool superseded = old->status != CONSENT_SUPERSEDED && kept == 0;
    bool changed = superseded || narrowed != old->narrowed_count ||
                   (old->status != CONSENT_SUPERSEDED && kept != old->category_count);
    old->narrowed_count = narrowed;
    /* A superseded consent keeps its categories, for those who look back. */
    if (superseded) {
        old->status = CONSENT_SUPERSEDED;
    } else if (old->status != CONSENT_SUPERSEDED) {
        old->categories = categories;
        old->category_count = kept;
    }
    return changed;
}

/* Those of which nothing is left are what the answer supersedes; others lose what it says, each by
 * an event of its own. */
static int supersede_older(struct work *k, const struct consent *taken,
                           struct superseded_list *list, struct err *err)
{
    int rc = 0;
    list->items = arena_array(k->w->arena, k->person.consent_count, sizeof *list->items);
    for (size_t i = 0; rc == 0 && i < k->person.consent_count; i++) {
        struct consent old = k->person.consents[i];
        int64_t event = old.event;
        if (!str_eq(old.recipient, taken->recipient) || !str_eq(old.purpose, taken->purpose) ||
            !take_over(k->w->arena, &old, taken))
            continue;
        if (consent_is_dead(&old))
            list->items[list->count++] = (struct superseded){old.seq, event};
        else
            rc = work_consent(k, "consent.supersede", &old, NULL, err);
    }
    for (size_t i = 0; i < list->count; i++)
        person_supersede(&k->person, list->items[i].consent, k->w->arena);
    return rc;
}

static int given_at(const struct work *k, int64_t *out, struct err *err)
{
    enum { CLOCKS_DIFFER_MS = 60000 };
    int64_t at = k->w->given_at;
    if (at == TIME_NONE) {
        *out = k->now;
        return 0;
    }
    if (at > k->now + CLOCKS_DIFFER_MS || (!work_is_late(k) && at < k->now - CLOCKS_DIFFER_MS))
        return err_reason(err, LOV_EINVAL, "invalid_field",
                          "given_at: not in the future, and in the past only with channel import "
                          "or paper");
    *out = at;
    return 0;
}

/* Everything that can be refused, before anything is written. */
static int check(struct work *k, const struct policy_activity **activity, struct consent *c,
                 struct err *err)
{
    int rc = work_check_channel(k, true, err);
    if (rc == 0)
        rc = work_check_names(k, activity, err);
    if (rc == 0)
        rc = work_check_notice(k, *activity, c, err);
    if (rc == 0)
        rc = given_at(k, &c->given_at, err);
    return rc;
}

/* What depends on the consumer; for a new one, on what they will be. */
static int check_for_consumer(struct work *k, const struct policy_activity *activity,
                              struct consent *c, struct err *err)
{
    c->expires_at = TIME_NONE;
    if (k->w->kind == WRITE_REFUSE)
        return 0;
    int rc = work_check_expiry(k, activity, c->given_at, &c->expires_at, err);
    return rc ? rc : work_check_guardian(k, err);
}

int answer_check_new(struct work *k, struct err *err)
{
    const struct policy_activity *activity;
    struct consent c = {.seq = -1};
    int rc = check(k, &activity, &c, err);
    if (rc)
        return rc;
    k->person.row = (struct consumer_row){.residence = k->rules->policy->default_residence};
    return check_for_consumer(k, activity, &c, err);
}

int write_answer(struct work *k, struct err *err)
{
    struct engine_write *w = k->w;
    const struct policy_activity *activity;
    struct consent c = {.seq = -1};
    struct superseded_list older = {0};
    int rc = check(k, &activity, &c, err);
    if (rc)
        return rc;
    rc = work_consumer(k, w->consumer, false, true, err);
    if (rc < 0)
        return rc;
    bool is_new = rc == 0;
    if (is_new)
        k->person.row = (struct consumer_row){.residence = k->rules->policy->default_residence};
    rc = check_for_consumer(k, activity, &c, err);
    if (rc == 0 && is_new)
        rc = work_consumer(k, w->consumer, true, true, err);
    if (rc < 0)
        return rc;
    c.shard = k->person.row.shard;
    c.cid = k->person.row.cid;
    c.purpose = w->purpose;
    c.recipient = w->recipient;
    c.categories = w->categories;
    c.category_count = w->category_count;
    c.status = w->kind == WRITE_GIVE ? CONSENT_ACTIVE : CONSENT_REFUSED;
    c.channel = w->channel;
    c.by_guardian = w->guardian.n > 0;
    rc = work_seal(k, &c, err);
    if (rc == 0)
        rc = supersede_older(k, &c, &older, err);
    if (rc == 0)
        rc = work_consent(k, w->kind == WRITE_GIVE ? "consent.give" : "consent.refuse", &c, &older,
                          err);
    w->out = c;
    w->out_seq = c.event;
    if (rc == 0)
        work_finish(k);
    return rc;
}
