/* state.c - the states of a request, the steps between them, and by when it is answered. */
#include "base/clock.h"
#include "rights/rights.h"

static const char *const states[REQUEST_STATES] = {
    "received",  "identity_pending", "open",      "extended",
    "fulfilled", "refused",          "withdrawn", "closed",
};
static const char *const steps[REQUEST_STEPS] = {
    "ask-identity", "verify-identity", "extend", "fulfil", "refuse", "withdraw", "close",
};

const char *request_state_name(enum request_state state)
{
    return states[state];
}

const char *request_step_name(enum request_step step)
{
    return steps[step];
}

bool request_state_parse(struct str text, enum request_state *out)
{
    for (int i = 0; i < REQUEST_STATES; i++) {
        if (str_is(text, states[i])) {
            *out = (enum request_state)i;
            return true;
        }
    }
    return false;
}

bool request_is_live(enum request_state state)
{
    return state <= REQUEST_EXTENDED;
}

bool request_next(enum request_state state, enum request_step step, enum request_state *out)
{
    enum { NO = -1 };
    static const int8_t next[REQUEST_EXTENDED + 1][REQUEST_STEPS] = {
        [REQUEST_RECEIVED] = {REQUEST_IDENTITY_PENDING, REQUEST_OPEN, NO, NO, REQUEST_REFUSED,
                              REQUEST_WITHDRAWN, REQUEST_CLOSED},
        [REQUEST_IDENTITY_PENDING] = {NO, REQUEST_OPEN, NO, NO, REQUEST_REFUSED, REQUEST_WITHDRAWN,
                                      REQUEST_CLOSED},
        [REQUEST_OPEN] = {NO, NO, REQUEST_EXTENDED, REQUEST_FULFILLED, REQUEST_REFUSED,
                          REQUEST_WITHDRAWN, REQUEST_CLOSED},
        [REQUEST_EXTENDED] = {NO, NO, NO, REQUEST_FULFILLED, REQUEST_REFUSED, REQUEST_WITHDRAWN,
                              REQUEST_CLOSED},
    };
    if (!request_is_live(state) || next[state][step] == NO)
        return false;
    *out = (enum request_state)next[state][step];
    return true;
}

bool request_needs_identity(struct str right)
{
    return !str_is(right, "opt_out") && !str_is(right, "limit_use");
}

/* ---- deadlines ---- */

enum { HOUR_MS = 3600000 };

static int32_t day_of(int64_t at)
{
    int64_t day = at / DAY_MS;
    return (int32_t)(at % DAY_MS < 0 ? day - 1 : day);
}

/* The same day of a later month, or its last (Regulation 1182/71 art. 3(2)(c)). */
static int32_t add_months(int32_t day, int months)
{
    struct civil c = civil_from_days(day);
    int month = c.month - 1 + months;
    struct civil first = {c.year + month / 12, month % 12 + 1, 1};
    struct civil next = {first.year + first.month / 12, first.month % 12 + 1, 1};
    int32_t last = days_from_civil(next) - 1, same = days_from_civil(first) + c.day - 1;
    return same < last ? same : last;
}

int64_t request_due(const struct policy_law *law, const struct policy_deadline *deadline,
                    int64_t received_at, bool extended)
{
    int32_t day = day_of(received_at + law->west * (int64_t)HOUR_MS);
    int months = deadline->months + (extended ? deadline->extend_months : 0);
    int days = deadline->days + (extended ? deadline->extend_days : 0);
    day = add_months(day, months) + days;
    /* The end of that day, in the east. */
    return date_start(day + 1) - 1 - law->east * (int64_t)HOUR_MS;
}

const struct policy_deadline *law_deadline(const struct policy_law *law, struct str right)
{
    for (size_t i = 0; i < law->deadline_count; i++)
        if (str_eq(law->deadlines[i].right, right))
            return &law->deadlines[i];
    return NULL;
}

const struct policy_refusal *law_refusal(const struct policy_law *law, struct str right,
                                         struct str reason)
{
    for (size_t i = 0; i < law->refusal_count; i++) {
        const struct policy_refusal *r = &law->refusals[i];
        if (!str_eq(r->reason, reason))
            continue;
        if (r->right_count == 0)
            return r;
        for (size_t k = 0; k < r->right_count; k++)
            if (str_eq(r->rights[k], right))
                return r;
    }
    return NULL;
}
