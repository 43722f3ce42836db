/* verify_second.c - what one person proposed and another one decided: policies, and reads of many.
 */
#include <string.h>

#include "api/private.h"
#include "api/verify.h"
#include "base/clock.h"
#include "base/hash.h"

/* Does the row name who the event names, and the instant, where the event tells that? */
static bool is_by(struct db_stmt *row, int actor, int at, const struct said *e)
{
    const json_t *instant = said_member(e, "recorded_at");
    return str_eq(db_text(row, actor), e->actor) && !db_is_null(row, at) &&
           (!instant || json_is_time(instant, db_int(row, at)));
}

static bool is_hash(struct str column, const json_t *said)
{
    return column.n == sizeof(struct sha256) && json_is_hex(said, column.p, column.n);
}

static int64_t proposal_of(const struct said *e)
{
    return json_integer_value(said_member(e, "proposal"));
}

/* ---- policies ---- */

enum { P_ACTOR, P_PROPOSED, P_EXPIRES, P_BASE, P_HASH, P_BUNDLE, P_STATE, P_BY, P_AT, P_VERSION };

static bool is_proposed(struct db_stmt *row, const struct said *e, bool decided)
{
    struct sha256 bundle = sha256_of(db_text(row, P_BUNDLE));
    const json_t *hash = said_member(e, "hash");
    bool open = str_is(db_text(row, P_STATE), "open") && db_is_null(row, P_BY) &&
                db_is_null(row, P_AT) && db_is_null(row, P_VERSION);
    return is_by(row, P_ACTOR, P_PROPOSED, e) && is_hash(db_blob(row, P_HASH), hash) &&
           json_is_hex(hash, bundle.b, sizeof bundle.b) &&
           json_is_time(said_member(e, "expires_at"), db_int(row, P_EXPIRES)) &&
           json_integer_value(said_member(e, "base_version")) == db_int(row, P_BASE) &&
           (decided || open);
}

static bool is_decided(struct db_stmt *row, const struct said *e)
{
    bool approved = str_is(e->kind, "policy.approve");
    int64_t version = json_integer_value(said_member(e, "policy_version"));
    return str_is(db_text(row, P_STATE), approved ? "applied" : "rejected") &&
           is_by(row, P_BY, P_AT, e) &&
           (approved ? db_int(row, P_VERSION) == version : db_is_null(row, P_VERSION));
}

int check_policy_said(struct checking *c, const struct said *e)
{
    static const char sql[] =
        "select actor, proposed_at, expires_at, base_version, hash, bundle, state, decided_by, "
        "decided_at, version from policy_proposal where shard = 0 and seq = $1";
    bool made = str_is(e->kind, "policy.propose");
    int64_t seq = made ? e->seq : proposal_of(e);
    uint8_t *told = check_known_seq(c, THING_POLICY, seq);
    struct db_stmt *s = db_use(c->lov, sql);
    db_bind_int(s, 1, seq);
    int rc = db_step(s, c->err);
    if (rc < 0)
        return rc;
    if (rc == 0)
        check_wrong(c, e->seq, "the proposal of a policy that this event speaks of is gone");
    else if (made && !is_proposed(s, e, *told & TOLD_STATE))
        check_wrong(c, e->seq, "the proposal of a policy is not what this event proposed");
    else if (!made && !(*told & TOLD_STATE) && !is_decided(s, e))
        check_wrong(c, e->seq, "the proposal of a policy is not what this event decided");
    *told |= made ? TOLD_MADE : TOLD_STATE;
    if (rc == 1)
        db_done(s);
    return 0;
}

/* ---- reads ---- */

enum {
    R_ACTOR,
    R_PROPOSED,
    R_EXPIRES,
    R_RECIPIENT,
    R_PURPOSE,
    R_CATEGORY,
    R_FORMAT,
    R_WHY,
    R_HASH,
    R_STATE,
    R_BY,
    R_AT,
    R_USED,
    R_PEOPLE
};

/* Null, too, in an event from before reads were counted. */
static bool is_for(struct db_stmt *row, const json_t *people)
{
    return json_is_integer(people)
               ? !db_is_null(row, R_PEOPLE) && db_int(row, R_PEOPLE) == json_integer_value(people)
               : db_is_null(row, R_PEOPLE);
}

static bool is_asked(struct db_stmt *row, const struct said *e, uint8_t told)
{
    struct read_ask ask = {
        .recipient = db_text(row, R_RECIPIENT),
        .purpose = db_text(row, R_PURPOSE),
        .category = db_text(row, R_CATEGORY),
        .format = db_text(row, R_FORMAT),
    };
    struct sha256 all = read_hash(&ask, db_text(row, R_WHY));
    const json_t *hash = said_member(e, "hash");
    bool open = str_is(db_text(row, R_STATE), "open") && db_is_null(row, R_BY) &&
                db_is_null(row, R_AT) && db_is_null(row, R_USED);
    return is_by(row, R_ACTOR, R_PROPOSED, e) && is_hash(db_blob(row, R_HASH), hash) &&
           json_is_hex(hash, all.b, sizeof all.b) &&
           json_is_time(said_member(e, "expires_at"), db_int(row, R_EXPIRES)) &&
           is_for(row, said_member(e, "people")) && ((told & TOLD_STATE) || open);
}

static bool is_used(struct db_stmt *row, const struct said *e)
{
    const json_t *at = said_member(e, "recorded_at");
    return str_is(db_text(row, R_STATE), "used") && !db_is_null(row, R_USED) &&
           (!at || json_is_time(at, db_int(row, R_USED)));
}

static bool is_answered(struct db_stmt *row, const struct said *e, uint8_t told)
{
    const char *state = str_is(e->kind, "read.approve") ? "approved" : "rejected";
    bool so =
        (told & TOLD_USED) || (str_is(db_text(row, R_STATE), state) && db_is_null(row, R_USED));
    return so && is_by(row, R_BY, R_AT, e);
}

int check_read_said(struct checking *c, const struct said *e)
{
    static const char sql[] =
        "select actor, proposed_at, expires_at, recipient, purpose, category, format, why, hash, "
        "state, decided_by, decided_at, used_at, people from read_proposal where shard = 0 and seq = $1";
    bool made = str_is(e->kind, "read.propose"), used = str_is(e->kind, "read.use");
    int64_t seq = made ? e->seq : proposal_of(e);
    uint8_t *told = check_known_seq(c, THING_READ, seq);
    struct db_stmt *s = db_use(c->lov, sql);
    db_bind_int(s, 1, seq);
    int rc = db_step(s, c->err);
    if (rc < 0)
        return rc;
    if (rc == 0)
        check_wrong(c, e->seq, "the proposed read that this event speaks of is gone");
    else if (made && !is_asked(s, e, *told))
        check_wrong(c, e->seq, "the proposed read is not what this event proposed");
    else if (used ? !is_used(s, e) : !made && !is_answered(s, e, *told))
        check_wrong(c, e->seq, "the proposed read is not in the state that this event tells");
    *told |= made ? TOLD_MADE : used ? TOLD_USED : TOLD_STATE;
    if (rc == 1)
        db_done(s);
    return 0;
}
