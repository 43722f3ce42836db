/* verify.h - what the checks of people_verify() share. Private. */
#ifndef LOV_API_VERIFY_H
#define LOV_API_VERIFY_H

#include "base/json.h"
#include "consent/consent.h"

/* What rows are of, and what a later event than the one that is looked at has told of a row. */
enum thing { THING_POLICY, THING_READ, THING_WEBHOOK, THING_STAFF };
enum told {
    TOLD_MADE = 1,
    TOLD_STATE = 2,
    TOLD_USED = 4,
    TOLD_ROLES = 8,
    TOLD_TRAINING = 16,
    TOLD_END = 32,
    TOLD_LOGIN = 64,
    TOLD_APPROVAL = 128,
};

struct known {
    bool used;
    uint8_t thing, told;
    char id[16];
};

struct checking {
    struct db *lov, *identities;
    struct state_report *out;
    struct err *err;
    struct known *known; /* open addressing, at most half full */
    size_t count, cap;
    int64_t last; /* the last event that speaks of any */
};

struct said {
    int64_t seq;
    struct str kind, actor;
    const json_t *body;
};
const json_t *said_member(const struct said *e, const char *name);

/* What is told of the row with this id, of 16 bytes at most, so far; valid until the next call. */
uint8_t *check_known(struct checking *c, enum thing thing, struct str id);
uint8_t *check_known_seq(struct checking *c, enum thing thing, int64_t seq);
/* Notes the event that something does not agree with; the first one is what is told. */
void check_wrong(struct checking *c, int64_t seq, const char *what);

/* Each holds an event of its kind against the row that it speaks of: a negative error, or 0. */
int check_policy_said(struct checking *c, const struct said *e);
int check_read_said(struct checking *c, const struct said *e);
int check_webhook_said(struct checking *c, const struct said *e);
int check_staff_said(struct checking *c, const struct said *e);

#endif
