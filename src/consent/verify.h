/* verify.h - what the checks of state_verify() share. Private. */
#ifndef LOV_CONSENT_VERIFY_H
#define LOV_CONSENT_VERIFY_H

#include "consent/state.h"

struct checking {
    struct db *lov;
    struct tail *tail; /* what the tables do not say yet */
    uint32_t shard;
    int64_t latest; /* ms UTC, of the events that verify_events() has seen; TIME_NONE: of none */
    struct state_report *out;
    struct err *err;
};

/* Notes the event that something does not agree with; the first one is what is told. */
void verify_wrong(struct checking *c, int64_t seq, const char *what);
/* Steps through a query whose $1 is the shard, until something is wrong. The row belongs to `check`
 * for the call. */
typedef int verify_row(struct checking *c, struct db_stmt *row, void *ctx);
int verify_rows(struct checking *c, const char *sql, verify_row *check, void *ctx);
/* The same with the shard's events, in order. */
typedef int verify_event(struct checking *c, const struct ledger_event *event, void *ctx);
int verify_events(struct checking *c, verify_event *check, void *ctx);
/* The latest instant that the shard's row tells, which the clock is held against: after
 * verify_events(). */
int verify_latest(struct checking *c);
/* Policies, notices and API keys against the events that made them. */
int verify_company(struct checking *c);

#endif
