/* work.c - what every kind of write needs: the consumer, the event, the checks against the policy
 * in force, the idempotency key. A write refuses before it writes anything. */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "consent/engine.h"

enum { FUTURE_TOLERANCE_MS = 60000 };

/* ---- the consumer ---- */

static int take_person(struct work *k, bool add, bool living, struct err *err)
{
    const struct identity_row *who = &k->change->who;
    int64_t next = ledger_next(k->e->ledger, who->shard);
    /* Of one whom this bulk has added nothing is in the tables. */
    bool nothing = k->known && k->known->added && !tail_find(k->e->tail, &who->cid);
    int rc = nothing ? 0
                     : person_take(k->e->tail, k->lov, who->shard, &who->cid, living, next,
                                   k->w->arena, &k->person, err);
    if (rc != 0 || !add)
        return rc;
    struct str residence = k->rules ? k->rules->policy->default_residence : STR("");
    k->person = (struct person){
        .row =
            {
                .cid = who->cid,
                .shard = who->shard,
                .residence = residence,
                .event = -1,
                .last_event = -1,
            },
        .since = next,
        .living = true,
    };
    k->change->attributes = true;
    k->change->residence = residence;
    k->change->born = DAY_NONE;
    _cleanup_buf struct buf body = {0};
    body_consumer(&k->person.row, &body);
    rc = work_event(k, "consumer.add", (struct str){0}, buf_view(&body), &k->person.row.event, err);
    return rc ? rc : 1;
}

/* From the index where it can be: it shows what was committed, so nobody whom this batch has
 * changed. */
int work_find_who(struct work *k, const struct hash128 *lookup, struct identity_row *out,
                  struct err *err)
{
    const struct index *ix = k->e->index;
    struct permit_answer answer;
    bool known = !index_is_broken(ix) &&
                 permit_find(index_map(ix), lookup, INDEX_NO_KEY, &answer) == PERMIT_SOMEBODY &&
                 !answer.erased;
    if (!known || engine_changed(k->e, lookup))
        return identity_find(k->identities, lookup, out, err);
    *out = (struct identity_row){
        .lookup = *lookup,
        .cid = index_cid(ix, answer.number),
        .shard = index_shard_of(ix, answer.address),
        .number = answer.number,
    };
    return 1;
}

/* Of a bulk: the first who adds them has them added already, and makes their first event. */
static int known_consumer(struct work *k, bool add, bool living, struct err *err)
{
    const struct bulk_consumer *c = k->known;
    if (c->erased)
        return err_reason(err, LOV_ECONFLICT, "erased", "the consumer was erased");
    if (!c->found && add)
        bug("a bulk adds a consumer whom its checks refused");
    if (!c->found)
        return 0;
    k->change->who = c->who;
    k->change->has_who = true;
    return take_person(k, add, living, err);
}

int work_consumer(struct work *k, struct str id, bool add, bool living, struct err *err)
{
    if (k->known)
        return known_consumer(k, add, living, err);
    struct hash128 lookup = identity_lookup(k->e->identity, id);
    int rc = work_find_who(k, &lookup, &k->change->who, err);
    if (rc == 0)
        rc = identity_was_erased(k->identities, &lookup, err) == 1
                 ? err_reason(err, LOV_ECONFLICT, "erased", "the consumer was erased")
                 : 0;
    if (rc == 0 && add) {
        rc = identity_add(k->e->identity, k->identities, id, k->now, &k->change->who, err);
        if (rc == 0)
            rc = 1;
    }
    if (rc <= 0)
        return rc;
    k->change->has_who = true;
    return take_person(k, add, living, err);
}

static int keep_event(void *ctx, const struct ledger_event *event)
{
    *(struct ledger_event *)ctx = *event;
    return 0;
}

int work_consumer_of(struct work *k, uint32_t shard, int64_t seq, struct err *err)
{
    struct ledger_event event = {0};
    int rc = ledger_get(k->lov, shard, seq, keep_event, &event, err);
    if (rc == 1)
        rc = event.has_cid ? identity_find_cid(k->identities, &event.cid, &k->change->who, err) : 0;
    if (rc <= 0)
        return rc;
    k->change->has_who = true;
    return take_person(k, false, true, err);
}

/* ---- events ---- */

struct str work_activity(struct work *k, struct str recipient, struct str purpose)
{
    return arena_printf(k->w->arena, "%.*s/%.*s", STR_ARG(recipient), STR_ARG(purpose));
}

int work_event(struct work *k, const char *kind, struct str activity, struct str body, int64_t *seq,
               struct err *err)
{
    struct ledger_event event = {
        .shard = k->person.row.shard,
        .prev = k->change->has_who ? k->person.row.last_event : -1,
        .at = k->now,
        .kind = str_of(kind),
        .has_cid = k->change->has_who,
        .cid = k->person.row.cid,
        .actor = k->w->actor,
        .activity = activity,
        .body = body,
    };
    int rc = ledger_append(k->e->ledger, k->lov, &event, err);
    if (rc)
        return rc;
    k->person.row.last_event = event.seq;
    *seq = event.seq;
    return 0;
}

int work_consent(struct work *k, const char *kind, struct consent *c,
                 const struct superseded_list *instead_of, struct err *err)
{
    _cleanup_buf struct buf body = {0};
    int64_t seq = ledger_next(k->e->ledger, c->shard);
    if (c->seq < 0)
        c->seq = seq;
    c->event = seq;
    body_consent(c, &body);
    if (instead_of)
        body_superseded(instead_of, &body);
    int rc =
        work_event(k, kind, work_activity(k, c->recipient, c->purpose), buf_view(&body), &seq, err);
    if (rc)
        return rc;
    person_set_consent(&k->person, c, k->w->arena);
    struct engine_change *change = k->change;
    struct consent *grown = arena_array(k->w->arena, change->consent_count + 1, sizeof *grown);
    if (change->consent_count)
        memcpy(grown, change->consents, change->consent_count * sizeof *grown);
    grown[change->consent_count++] = *c;
    change->consents = grown;
    return 0;
}

void work_finish(struct work *k)
{
    tail_put(k->e->tail, &k->person);
}

/* ---- checks ---- */

static int need_rules(struct work *k, struct err *err)
{
    if (k->rules)
        return 0;
    return err_reason(err, LOV_EUNAVAILABLE, "no_policy",
                      "no policy is in force: apply one with lov policy apply");
}

int work_check_names(struct work *k, const struct policy_activity **activity, struct err *err)
{
    const struct engine_write *w = k->w;
    int rc = need_rules(k, err);
    if (rc)
        return rc;
    const struct policy *p = k->rules->policy;
    const struct policy_purpose *purpose = policy_purpose(p, w->purpose);
    if (!purpose)
        return err_reason(err, LOV_EINVAL, "unknown_purpose", "the policy has no such purpose");
    const struct policy_recipient *recipient = policy_recipient(p, w->recipient);
    if (!recipient)
        return err_reason(err, LOV_EINVAL, "unknown_recipient", "the policy has no such recipient");
    const struct policy_activity *a = policy_activity(p, recipient, purpose);
    if (!a)
        return err_reason(err, LOV_EINVAL, "not_in_policy",
                          "the policy does not let this recipient act for this purpose");
    if (w->category_count == 0)
        return err_reason(err, LOV_EINVAL, "invalid_field", "categories: name at least one");
    for (size_t i = 0; i < w->category_count; i++) {
        const struct policy_category *c = policy_category(p, w->categories[i]);
        if (!c)
            return err_reason(err, LOV_EINVAL, "unknown_category",
                              "the policy has no such category");
        if (!policy_activity_covers(a, c))
            return err_reason(err, LOV_EINVAL, "not_in_policy",
                              "the activity does not use category %.*s", STR_ARG(c->id));
    }
    *activity = a;
    return 0;
}

/* An older version, for answers that were given on paper or elsewhere before it was replaced. */
static int earlier_notice(struct work *k, const struct policy_notice *n, struct consent *out,
                          struct err *err)
{
    const struct notice_shown *shown = &k->w->notice;
    _cleanup_buf struct buf text = {0};
    bool late = str_is(k->w->channel, "import") || str_is(k->w->channel, "paper");
    if (!late || shown->version < n->sufficient_from || shown->version > n->version)
        return err_reason(err, LOV_EINVAL, "notice_not_in_force",
                          "notice %.*s is in force in version %d: show that one and send its "
                          "version",
                          STR_ARG(n->id), n->version);
    int rc = policy_store_notice(k->lov, n->id, (int)shown->version, shown->language, &text,
                                 &out->notice_hash, err);
    return rc == LOV_ENOTFOUND ? err_reason(err, LOV_EINVAL, "notice_language_missing",
                                            "the notice was not published in that language")
                               : rc;
}

int work_check_notice(struct work *k, const struct policy_activity *activity, struct consent *out,
                      struct err *err)
{
    const struct notice_shown *shown = &k->w->notice;
    const struct policy_notice *n = activity->notice;
    if (!n)
        return err_reason(err, LOV_EINVAL, "not_in_policy",
                          "this activity asks the consumer nothing: there is no notice to answer");
    if (shown->id.n == 0)
        return err_reason(err, LOV_EINVAL, "notice_required",
                          "say which notice was shown: id, version and language");
    if (!policy_notice(k->rules->policy, shown->id))
        return err_reason(err, LOV_EINVAL, "unknown_notice", "the policy has no such notice");
    if (!str_eq(shown->id, n->id))
        return err_reason(err, LOV_EINVAL, "notice_not_in_force",
                          "the notice of this activity is %.*s", STR_ARG(n->id));
    if (shown->version != n->version) {
        int rc = earlier_notice(k, n, out, err);
        if (rc)
            return rc;
    } else {
        const struct policy_notice_text *text = policy_notice_text(n, shown->language);
        if (!text)
            return err_reason(err, LOV_EINVAL, "notice_language_missing",
                              "the notice is not published in that language");
        out->notice_hash = text->hash;
    }
    if (shown->has_hash &&
        memcmp(shown->hash.b, out->notice_hash.b, sizeof out->notice_hash.b) != 0)
        return err_reason(err, LOV_EINVAL, "notice_hash_mismatch",
                          "the text that was shown is not the notice that is in force");
    out->notice = arena_str(k->w->arena, n->id); /* outlives the policy */
    out->notice_version = (int)shown->version;
    out->notice_language = shown->language;
    return 0;
}

bool work_is_late(const struct work *k)
{
    return str_is(k->w->channel, "import") || str_is(k->w->channel, "paper");
}

int work_check_expiry(struct work *k, const struct policy_activity *activity, int64_t from,
                      int64_t *expires_at, struct err *err)
{
    const struct policy_law *law = policy_law_of(k->rules->policy, k->person.row.residence);
    int64_t days = activity->consent_days;
    if (law->consent_max_days && law->consent_max_days < days)
        days = law->consent_max_days;
    int64_t longest = from + days * DAY_MS;
    int64_t asked = k->w->expires_at;
    if (asked == TIME_NONE) {
        *expires_at = longest;
        return 0;
    }
    if (asked <= (work_is_late(k) ? from : k->now))
        return err_reason(err, LOV_EINVAL, "expires_in_the_past",
                          "expires_at: choose a time to come");
    if (asked > longest + DAY_MS)
        return err_reason(err, LOV_EINVAL, "expires_too_late",
                          "expires_at: a consent for this activity may run %lld days",
                          (long long)days);
    *expires_at = asked;
    return 0;
}

int work_check_guardian(struct work *k, struct err *err)
{
    int32_t born;
    if (k->w->guardian.n || k->person.row.sealed.n == 0)
        return 0;
    int rc = sealed_born(k->e->identity, k->identities, &k->person.row.cid, k->person.row.sealed,
                         &born, err);
    if (rc || born == DAY_NONE)
        return rc;
    const struct policy_law *law = policy_law_of(k->rules->policy, k->person.row.residence);
    int years = policy_guardian_below(law, k->person.row.residence);
    if (years && k->now < date_start(date_add_years(born, years)))
        return err_reason(err, LOV_EINVAL, "guardian_required",
                          "the consumer is younger than %d: a guardian must consent", years);
    return 0;
}

int work_check_channel(struct work *k, bool required, struct err *err)
{
    static const char *const channels[] = {"web", "app",   "phone", "paper",
                                           "cmp", "oauth", "import"};
    if (k->w->channel.n == 0 && !required)
        return 0;
    for (size_t i = 0; i < sizeof channels / sizeof *channels; i++)
        if (str_is(k->w->channel, channels[i]))
            return 0;
    return err_reason(err, LOV_EINVAL, "invalid_field",
                      "channel: one of web, app, phone, paper, cmp, oauth, import");
}

/* ---- what is sealed with a consent ---- */

static int set_member(json_t *object, const char *name, struct str text, struct err *err)
{
    if (text.n == 0)
        return 0;
    json_error_t ignored;
    json_t *value = json_loadb(text.p, text.n, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &ignored);
    if (!value)
        return err_reason(err, LOV_EINVAL, "invalid_field", "%s: not valid JSON", name);
    json_object_set_new(object, name, value);
    return 0;
}

int work_seal(struct work *k, struct consent *c, struct err *err)
{
    const struct engine_write *w = k->w;
    if (w->evidence.n + w->guardian.n + w->detail.n == 0)
        return 0;
    _cleanup_buf struct buf text = {0};
    _cleanup_json json_t *json = NULL;
    int rc = unseal_json(k->e->identity, k->identities, &c->cid, c->sealed, &text, err);
    if (rc == 0 && text.n)
        rc = json_read(buf_view(&text), &json, err);
    if (rc)
        return rc;
    if (!json)
        json = json_object();
    rc = set_member(json, "evidence", w->evidence, err);
    if (rc == 0)
        rc = set_member(json, "guardian", w->guardian, err);
    if (rc == 0)
        rc = set_member(json, "detail", w->detail, err);
    if (rc)
        return rc;
    buf_clear(&text);
    json_canonical(json, &text);
    return seal_json(k->e->identity, k->identities, &c->cid, buf_view(&text), w->arena, &c->sealed,
                     err);
}
