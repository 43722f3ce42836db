/* person.c - what is recorded of a consumer, and their erasure. */
#include <string.h>

#include "base/json.h"
#include "consent/engine.h"

/* "SE" or "US-CA" (ISO 3166-1 alpha-2, ISO 3166-2). */
static bool is_residence(struct str s)
{
    if (s.n != 2 && !(s.n >= 4 && s.n <= 6 && s.p[2] == '-'))
        return false;
    for (size_t i = 0; i < s.n; i++) {
        bool letter = s.p[i] >= 'A' && s.p[i] <= 'Z';
        bool digit = s.p[i] >= '0' && s.p[i] <= '9';
        if (i < 2 ? !letter : i > 2 && !letter && !digit)
            return false;
    }
    return true;
}

static int set_born(struct work *k, struct err *err)
{
    _cleanup_buf struct buf json = {0};
    struct jw w = {.out = &json};
    jw_object_start(&w);
    jw_key(&w, "birth_date");
    jw_raw(&w, (struct str){0});
    buf_char(&json, '"');
    date_format(k->w->set.born, &json);
    buf_char(&json, '"');
    jw_object_end(&w);
    return seal_json(k->e->identity, k->identities, &k->person.row.cid, buf_view(&json),
                     k->w->arena, &k->person.row.sealed, err);
}

int write_consumer(struct work *k, struct err *err)
{
    struct engine_write *w = k->w;
    if (w->set.has_residence && !is_residence(w->set.residence))
        return err_reason(err, LOV_EINVAL, "invalid_field",
                          "residence: a country or subdivision code such as SE or US-CA");
    if (!k->rules)
        return err_reason(err, LOV_EUNAVAILABLE, "no_policy",
                          "no policy is in force: apply one with lov policy apply");
    int rc = work_consumer(k, w->consumer, true, false, err);
    if (rc < 0)
        return rc;
    int32_t born = DAY_NONE;
    rc = sealed_born(k->e->identity, k->identities, &k->person.row.cid, k->person.row.sealed, &born,
                     err);
    if (rc == 0 && w->set.has_born) {
        born = w->set.born;
        rc = set_born(k, err);
    }
    if (rc)
        return rc;
    if (w->set.has_residence)
        k->person.row.residence = w->set.residence;
    if (w->set.has_restricted)
        k->person.row.restricted = w->set.restricted;
    if (w->set.has_opt_out_signal)
        k->person.row.opt_out_signal = w->set.opt_out_signal;
    if (w->set.has_no_automated_decision)
        k->person.row.no_automated_decision = w->set.no_automated_decision;
    rc = work_with_other(k, err);
    if (rc)
        return rc;
    _cleanup_buf struct buf body = {0};
    body_consumer(&k->person.row, &body);
    rc = work_event(k, "consumer.set", (struct str){0}, buf_view(&body), &k->person.row.event, err);
    if (rc == 0)
        work_finish(k);
    struct engine_change *change = k->change;
    change->attributes = true;
    change->residence = k->person.row.residence;
    change->restricted = k->person.row.restricted;
    change->opt_out_signal = k->person.row.opt_out_signal;
    change->no_automated_decision = k->person.row.no_automated_decision;
    change->born = born;
    w->out_seq = k->person.row.event;
    return rc;
}

/* The law of the consumer allows keeping a keyed hash of who was erased; without a policy nobody
 * has said that it may not be kept. */
static bool is_suppressed(const struct work *k)
{
    const struct policy *p = k->rules ? k->rules->policy : NULL;
    return !p || policy_law_of(p, k->person.row.residence)->suppression_list.n > 0;
}

int write_erase(struct work *k, struct err *err)
{
    struct engine_write *w = k->w;
    int rc = work_consumer(k, w->consumer, false, false, err);
    if (rc < 0)
        return rc;
    if (rc == 0)
        return err_reason(err, LOV_ENOTFOUND, "unknown_consumer", "there is no such consumer");
    bool suppress = is_suppressed(k);
    rc = work_with_other(k, err);
    if (rc == 0)
        rc = work_event(k, "consumer.erase", (struct str){0}, body_erasure(suppress), &w->out_seq,
                        err);
    if (rc == 0)
        rc = rows_erase(k->lov, k->person.row.shard, &k->person.row.cid, err);
    if (rc == 0)
        tail_drop(k->e->tail, &k->person.row.cid);
    if (rc == 0)
        rc = identity_erase(k->identities, &k->change->who.lookup, k->now, suppress, err);
    k->change->erase = true;
    k->change->forget = !suppress;
    return rc;
}
