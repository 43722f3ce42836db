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

struct consent_body {
    struct str purpose, recipient, status;
    const json_t *categories, *narrowed, *notice;
    int64_t consent, expires_at;
    bool guardian;
};
struct notice_body {
    struct str id;
    int64_t version;
};
struct consumer_body {
    struct str residence;
    bool restricted, opt_out_signal;
};

#define CONSENT(name, kind)                                                                        \
    {                                                                                              \
#name, kind, offsetof(struct consent_body, name), false, 0, 0                              \
    }
static const struct json_field consent_fields[] = {
    CONSENT(purpose, JSON_K_NAME),   CONSENT(recipient, JSON_K_NAME),
    CONSENT(status, JSON_K_NAME),    CONSENT(categories, JSON_K_ARRAY),
    CONSENT(narrowed, JSON_K_ARRAY), CONSENT(notice, JSON_K_OBJECT),
    CONSENT(consent, JSON_K_INT),    CONSENT(expires_at, JSON_K_TIME),
    CONSENT(guardian, JSON_K_BOOL),
};
static const struct json_field notice_fields[] = {
    {"id", JSON_K_NAME, offsetof(struct notice_body, id), true, 0, 0},
    {"version", JSON_K_INT, offsetof(struct notice_body, version), true, 0, 0},
};
#define CONSUMER(name, kind, max)                                                                  \
    {                                                                                              \
#name, kind, offsetof(struct consumer_body, name), true, 0, max                            \
    }
static const struct json_field consumer_fields[] = {
    CONSUMER(residence, JSON_K_STRING, 8),
    CONSUMER(restricted, JSON_K_BOOL, 0),
    CONSUMER(opt_out_signal, JSON_K_BOOL, 0),
};
#define COUNT(table) (sizeof(table) / sizeof *(table))

static bool has_name(const json_t *names, struct str name)
{
    size_t i;
    json_t *item;
    json_array_foreach(names, i, item)
        if (str_eq(json_text(item), name))
            return true;
    return false;
}

static uint32_t number_of(struct past *p, struct str name, bool residence)
{
    index_write_lock(p->k->e->index);
    uint32_t number =
        residence ? index_residence(p->k->e->index, name) : index_notice(p->k->e->index, name);
    index_write_unlock(p->k->e->index);
    return number;
}

static int take_consent(struct past *p, const json_t *json)
{
    struct consent_body b = {.expires_at = INT64_MAX};
    struct notice_body notice = {0};
    int rc = json_take(json, consent_fields, COUNT(consent_fields), JSON_IGNORE_UNKNOWN, "",
                       p->k->w->arena, &b, p->err);
    if (rc == 0)
        rc = json_take(b.notice, notice_fields, COUNT(notice_fields), JSON_IGNORE_UNKNOWN, "notice",
                       p->k->w->arena, &notice, p->err);
    if (rc || !str_eq(b.recipient, p->q->recipient) || !str_eq(b.purpose, p->q->purpose))
        return rc;
    bool narrowed = has_name(b.narrowed, p->q->category);
    bool held = has_name(b.categories, p->q->category) && !str_is(b.status, "superseded");
    if (!narrowed && !held)
        return 0;
    struct permit_answer *answer = &p->answer;
    answer->answered = true;
    answer->state = narrowed || str_is(b.status, "withdrawn") ? PERMIT_WITHDRAWN
                    : str_is(b.status, "refused")             ? PERMIT_REFUSED
                                                              : PERMIT_GIVEN;
    answer->by_guardian = b.guardian;
    answer->notice = number_of(p, notice.id, false);
    answer->notice_version = (int32_t)notice.version;
    answer->expires_at = b.expires_at;
    answer->consent = b.consent;
    return 0;
}

static int take_consumer(struct past *p, const json_t *json)
{
    struct consumer_body b = {0};
    int rc = json_take(json, consumer_fields, COUNT(consumer_fields), JSON_IGNORE_UNKNOWN, "",
                       p->k->w->arena, &b, p->err);
    if (rc)
        return rc;
    p->answer.residence = number_of(p, b.residence, true);
    p->answer.restricted = b.restricted;
    p->answer.opt_out_signal = b.opt_out_signal;
    return 0;
}

static int take_event(void *ctx, const struct ledger_event *event)
{
    struct past *p = ctx;
    bool consent = str_starts(event->kind, STR("consent."));
    bool consumer = str_is(event->kind, "consumer.add") || str_is(event->kind, "consumer.set");
    if (event->at > p->q->at || (!consent && !consumer))
        return 0;
    _cleanup_json json_t *json = NULL;
    int rc = json_read(event->body, &json, p->err);
    if (rc)
        return rc;
    return consent ? take_consent(p, json) : take_consumer(p, json);
}

int decide_past(struct work *k, const struct question *q, struct decision *out, struct err *err)
{
    enum { NO_KEY = -1 };
    struct past p = {.k = k, .q = q, .err = err};
    struct hash128 lookup = identity_lookup(k->e->identity, q->consumer);
    /* The consumer as they are now: what their history does not tell stays. */
    bool known = permit_find(index_map(k->e->index), &lookup, (uint32_t)NO_KEY, &p.answer) ==
                 PERMIT_SOMEBODY;
    if (known && !p.answer.erased) {
        uint32_t shard = index_shard_of(k->e->index, p.answer.address);
        int rc = ledger_history(k->lov, shard, k->consumer.last_event, -1, INT64_MAX, take_event,
                                &p, err);
        if (rc)
            return rc;
    }
    decide_by(k->e, k->rules, q, known ? &p.answer : NULL, out);
    return 0;
}
