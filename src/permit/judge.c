/* judge.c - the rules of DESIGN §4 in their order; the first that applies wins. */
#include <string.h>

#include "base/civil.h"
#include "permit/permit.h"

enum basis {
    NONE,
    CONSENT,
    OPT_OUT,
    LEGITIMATE_INTEREST,
    CONTRACT,
    LEGAL_OBLIGATION,
    VITAL_INTEREST,
    PUBLIC_TASK
};

/* ---- what needs no consumer ---- */

static bool is_text(const struct image *i, const struct image_text *t, struct str s)
{
    const char *text = (const char *)i + i->strings.offset + t->offset;
    uint64_t a, b;
    size_t k = 0;
    if (t->length != s.n)
        return false;
    /* Names are short: memcmp would cost more to call than to do. */
    for (; s.n >= 8 && k < s.n; k += 8) {
        size_t at = k + 8 <= s.n ? k : s.n - 8;
        memcpy(&a, text + at, 8);
        memcpy(&b, s.p + at, 8);
        if (a != b)
            return false;
    }
    for (; k < s.n; k++)
        if (text[k] != s.p[k])
            return false;
    return true;
}

static enum lov_reason check_recipient(const struct image_recipient *r, int64_t at)
{
    if (r->suspended)
        return LOV_RECIPIENT_SUSPENDED;
    if (at < r->begins)
        return LOV_RECIPIENT_NOT_BEGUN;
    /* INT64_MIN: none was asked of this recipient. */
    if (r->contract_end != INT64_MIN && at >= r->contract_end)
        return LOV_RECIPIENT_CONTRACT_ENDED;
    if (r->safeguards_end != INT64_MIN && at >= r->safeguards_end)
        return LOV_RECIPIENT_SAFEGUARDS_ENDED;
    if (r->training_end != INT64_MIN && at >= r->training_end)
        return LOV_RECIPIENT_TRAINING_LAPSED;
    return LOV_PERMITTED;
}

int64_t permit_usable_until(const struct image_recipient *r)
{
    const int64_t ends[] = {r->contract_end, r->safeguards_end, r->training_end};
    /* A successor has a first instant too; there are few. */
    int64_t until = r->suspended || r->begins != INT64_MIN ? INT64_MIN : INT64_MAX;
    for (int i = 0; i < 3; i++)
        if (ends[i] != INT64_MIN && ends[i] < until)
            until = ends[i];
    return until;
}

static const struct image_use *find_use(const struct image *i, struct str recipient,
                                        struct str purpose, struct str category)
{
    const struct image_use *uses = IMAGE_AT(i, uses, struct image_use);
    const struct image_recipient *recipients = IMAGE_AT(i, recipients, struct image_recipient);
    const uint32_t *slots = IMAGE_AT(i, use_slots, uint32_t);
    uint32_t mask = i->use_slots.count - 1;
    uint32_t hash =
        image_hash(recipient.p, recipient.n, purpose.p, purpose.n, category.p, category.n);
    for (uint32_t at = hash & mask, k = 0; k <= mask && slots[at] != IMAGE_EMPTY;
         at = (at + 1) & mask, k++) {
        const struct image_use *u = &uses[slots[at]];
        if (u->hash == hash && is_text(i, &u->purpose, purpose) &&
            is_text(i, &u->category, category) &&
            is_text(i, &recipients[u->recipient].name, recipient))
            return u;
    }
    return NULL;
}

static const struct image_recipient *find_recipient(const struct image *i, struct str name)
{
    const struct image_recipient *recipients = IMAGE_AT(i, recipients, struct image_recipient);
    const uint32_t *slots = IMAGE_AT(i, recipient_slots, uint32_t);
    uint32_t mask = i->recipient_slots.count - 1, hash = image_hash(name.p, name.n, "", 0, "", 0);
    for (uint32_t at = hash & mask, k = 0; k <= mask && slots[at] != IMAGE_EMPTY;
         at = (at + 1) & mask, k++)
        if (is_text(i, &recipients[slots[at]].name, name))
            return &recipients[slots[at]];
    return NULL;
}

enum lov_reason permit_policy(const struct image *image, struct str recipient, struct str purpose,
                              struct str category, int64_t at, const struct image_use **use)
{
    const struct image_use *u = find_use(image, recipient, purpose, category);
    const struct image_recipient *r =
        u ? &IMAGE_AT(image, recipients, struct image_recipient)[u->recipient]
          : find_recipient(image, recipient);
    if (!r)
        return LOV_RECIPIENT_UNKNOWN;
    enum lov_reason reason = check_recipient(r, at);
    if (reason == LOV_PERMITTED && !u)
        return LOV_NOT_IN_POLICY;
    *use = u;
    return reason;
}

/* ---- the consumer's law ---- */

static bool is_code(const char code[IMAGE_CODE], const char *residence, size_t n)
{
    char wanted[IMAGE_CODE] = {0};
    memcpy(wanted, residence, n);
    return memcmp(code, wanted, IMAGE_CODE) == 0;
}

static int32_t law_of_code(const struct image *i, const char *residence, size_t n)
{
    const struct image_territory *t = IMAGE_AT(i, territories, struct image_territory);
    for (uint32_t k = 0; k < i->territories.count; k++)
        if (is_code(t[k].code, residence, n))
            return t[k].law;
    return -1;
}

static int32_t guardian_of_code(const struct image *i, int32_t law, const char *residence, size_t n)
{
    const struct image_guardian *g = IMAGE_AT(i, guardians, struct image_guardian);
    for (uint32_t k = 0; k < i->guardians.count; k++)
        if (g[k].law == law && is_code(g[k].code, residence, n))
            return g[k].years;
    return -1;
}

/* For a residence that was named after the policy was compiled: its code, then the country in it,
 * then what holds everywhere else. */
static struct image_residence law_by_code(const struct permit_map *m, const struct image *i,
                                          uint32_t number)
{
    char code[IMAGE_CODE] = {0};
    if (number < m->residence_limit) {
        uint64_t w = word_get(m->residences + number);
        memcpy(code, &w, sizeof w);
    }
    size_t all = strnlen(code, sizeof code), country = 0;
    while (country < all && code[country] != '-')
        country++;
    int32_t law = law_of_code(i, code, all);
    if (law < 0)
        law = law_of_code(i, code, country);
    if (law < 0)
        law = i->default_law;
    int32_t years = guardian_of_code(i, law, code, all);
    if (years < 0)
        years = guardian_of_code(i, law, code, country);
    if (years < 0)
        years = IMAGE_AT(i, laws, struct image_law)[law].guardian_below;
    return (struct image_residence){law, years};
}

struct image_residence permit_residence(const struct permit_map *m, const struct image *image,
                                        uint32_t number)
{
    return number < image->residences.count
               ? IMAGE_AT(image, residences, struct image_residence)[number]
               : law_by_code(m, image, number);
}

/* ---- the consumer ---- */

/* Far from every birthday, and near enough for days to be counted in 32 bits. */
enum { FARTHEST_DAY = 4000000 };

static bool younger_than(const struct permit_answer *c, int years, int64_t at)
{
    if (years <= 0 || c->born == DAY_NONE || c->born < -FARTHEST_DAY)
        return false;
    if (c->born > FARTHEST_DAY)
        return true;
    /* A year has 365 or 366 days: the calendar is asked only near the birthday. */
    if (at >= date_start(c->born + (years + 1) * 366))
        return false;
    return at < date_start(date_add_years(c->born, years));
}

struct asked {
    const struct image_use *use;
    const struct permit_answer *c;
    struct image_residence residence;
    int64_t at;
};

static enum lov_reason by_consent(const struct asked *q)
{
    const struct permit_answer *c = q->c;
    if (!c->answered)
        return LOV_NO_CONSENT;
    if (c->state == PERMIT_WITHDRAWN)
        return LOV_WITHDRAWN;
    if (c->state != PERMIT_GIVEN)
        return LOV_REFUSED;
    if (q->at >= c->expires_at)
        return LOV_EXPIRED;
    if (q->use->notice_from == INT32_MAX || c->notice != q->use->notice ||
        c->notice_version < q->use->notice_from)
        return LOV_NOTICE_SUPERSEDED;
    if (!c->by_guardian && younger_than(c, q->residence.guardian_below, q->at))
        return LOV_GUARDIAN_REQUIRED;
    return LOV_PERMITTED;
}

static enum lov_reason by_basis(const struct asked *q, int basis, int opt_in_below)
{
    bool no = q->c->answered && q->c->state != PERMIT_GIVEN;
    switch (basis) {
    case NONE:
        return LOV_NOT_IN_POLICY;
    case CONSENT:
        return by_consent(q);
    case OPT_OUT:
        if (no || q->c->opt_out_signal)
            return LOV_OPTED_OUT;
        /* The young are asked first (CCPA §1798.120(c)). */
        return younger_than(q->c, opt_in_below, q->at) ? by_consent(q) : LOV_PERMITTED;
    case LEGITIMATE_INTEREST:
        return no ? LOV_OBJECTED : LOV_PERMITTED;
    case CONTRACT:
    case LEGAL_OBLIGATION:
    case VITAL_INTEREST:
    case PUBLIC_TASK:
        return LOV_PERMITTED;
    default:
        return LOV_UNAVAILABLE;
    }
}

struct lov_decision permit_denied(enum lov_reason reason, const struct image *image, int64_t at)
{
    return (struct lov_decision){
        .reason = (int32_t)reason,
        .law = -1,
        .activity = -1,
        .policy_version = image ? (int32_t)image->version : 0,
        .consent = -1,
        .at = at,
    };
}

void permit_judge(const struct permit_map *m, const struct image *image,
                  const struct image_use *use, const struct permit_answer *answer, int64_t at,
                  struct lov_decision *out)
{
    if (!answer || answer->erased) {
        *out = permit_denied(answer ? LOV_ERASED : LOV_UNKNOWN_CONSUMER, image, at);
        out->activity = (int32_t)use->activity;
        return;
    }
    struct asked q = {
        .use = use,
        .c = answer,
        .residence = permit_residence(m, image, answer->residence),
        .at = at,
    };
    int basis = IMAGE_AT(image, bases, uint8_t)[use->bases + (uint32_t)q.residence.law];
    bool restricted = answer->restricted && basis != LEGAL_OBLIGATION;
    bool asked = basis == CONSENT || basis == OPT_OUT || basis == LEGITIMATE_INTEREST;
    int opt_in_below = IMAGE_AT(image, laws, struct image_law)[q.residence.law].opt_in_below;
    enum lov_reason reason = restricted ? LOV_RESTRICTED : by_basis(&q, basis, opt_in_below);
    *out = (struct lov_decision){
        .permit = reason == LOV_PERMITTED,
        .reason = (int32_t)reason,
        .basis = basis,
        .law = q.residence.law,
        .activity = (int32_t)use->activity,
        .policy_version = (int32_t)image->version,
        .consent = answer->answered && asked && !restricted ? answer->consent : -1,
        .at = at,
        .no_automated_decision = answer->no_automated_decision,
    };
}

void permit_decide(const struct permit_map *m, const struct image *image,
                   const struct image_use *use, const struct hash128 *lookup, int64_t at,
                   struct lov_decision *out)
{
    struct permit_answer answer;
    enum permit_found found = permit_find(m, lookup, use->key, &answer);
    if (found == PERMIT_BUSY)
        *out = permit_denied(LOV_UNAVAILABLE, image, at);
    else
        permit_judge(m, image, use, found == PERMIT_SOMEBODY ? &answer : NULL, at, out);
}
