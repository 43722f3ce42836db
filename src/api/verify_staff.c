/* verify_staff.c - staff, who have their rows in the identity store, and webhooks. */
#include <string.h>

#include "api/verify.h"
#include "base/clock.h"
#include "base/hash.h"
#include "identity/staff.h"
#include "notify/notify.h"

/* ---- webhooks ---- */

/* Of an event from before they told of the whole row. */
static bool is_older(const struct webhook *h, const struct said *e)
{
    const json_t *recipient = said_member(e, "recipient");
    bool ended = str_is(e->kind, "webhook.revoke");
    return str_eq(h->recipient, json_is_string(recipient) ? json_text(recipient) : STR("")) &&
           ended == (h->revoked_at != TIME_NONE);
}

int check_webhook_said(struct checking *c, const struct said *e)
{
    _cleanup_arena struct arena arena = {0};
    struct webhook h;
    struct str id = json_text(said_member(e, "webhook"));
    uint8_t *told = check_known(c, THING_WEBHOOK, id);
    const json_t *state = said_member(e, "state_sha256");
    int rc = webhook_find(c->lov, id, &arena, &h, c->err);
    if (rc < 0)
        return rc;
    struct sha256 now = rc == 1 ? webhook_state(&h) : (struct sha256){0};
    if (rc == 0)
        check_wrong(c, e->seq, "the webhook that this event speaks of is gone");
    else if (!(*told & TOLD_STATE) &&
             !(state ? json_is_hex(state, now.b, sizeof now.b) : is_older(&h, e)))
        check_wrong(c, e->seq, "the webhook is not as this event left it");
    *told |= TOLD_STATE | (str_is(e->kind, "webhook.create") ? TOLD_MADE : 0);
    return 0;
}

/* ---- staff ---- */

enum {
    S_ROLES,
    S_DEPARTMENTS,
    S_TRAINED,
    S_CREATED,
    S_DISABLED,
    S_LOGIN,
    S_PASSWORD,
    S_APPROVES,
    S_POWER,
};

static bool is_list(struct str list, const json_t *said)
{
    for (size_t i = 0; i < json_array_size(said); i++) {
        const json_t *name = json_array_get(said, i);
        if (!json_is_string(name) || !str_eq(staff_list_next(&list), json_text(name)))
            return false;
    }
    return list.n == 0;
}

static bool is_trained(struct db_stmt *row, const json_t *said)
{
    _cleanup_buf struct buf day = {0};
    if (db_is_null(row, S_TRAINED))
        return !json_is_string(said);
    int64_t until = db_int(row, S_TRAINED);
    date_format((int32_t)(until / DAY_MS) - 1, &day);
    return until % DAY_MS == 0 && json_is_string(said) && str_eq(json_text(said), buf_view(&day));
}

static bool is_instant(struct db_stmt *row, int column, const struct said *e)
{
    const json_t *at = said_member(e, "recorded_at");
    return !db_is_null(row, column) && (!at || json_is_time(at, db_int(row, column)));
}

static bool is_signing_in(struct checking *c, struct db_stmt *row, const struct uid *id,
                          const struct said *e, int *rc)
{
    struct sha256 hash = {0};
    const json_t *said = said_member(e, "credentials_sha256");
    if (str_is(e->kind, "staff.open")) {
        *rc = staff_credentials(c->identities, id, &hash, c->err);
        return *rc == 1 && (!said || json_is_hex(said, hash.b, sizeof hash.b));
    }
    return db_is_null(row, S_LOGIN) && db_is_null(row, S_PASSWORD);
}

/* What the event tells of the row. */
static uint8_t tells(const struct said *e)
{
    if (str_is(e->kind, "staff.open"))
        return TOLD_LOGIN;
    if (str_is(e->kind, "staff.disable"))
        return TOLD_END | TOLD_LOGIN;
    if (str_is(e->kind, "staff.training"))
        return TOLD_TRAINING;
    uint8_t approval = said_member(e, "approves_from") ? TOLD_APPROVAL : 0;
    if (!said_member(e, "roles"))
        return approval; /* another link */
    return approval | TOLD_ROLES | TOLD_TRAINING |
           (str_is(e->kind, "staff.invite") ? TOLD_MADE | TOLD_END | TOLD_LOGIN : 0);
}

static int check_row(struct checking *c, struct db_stmt *row, const struct uid *id,
                     const struct said *e, uint8_t told)
{
    int rc = 0;
    if ((told & TOLD_MADE) && !is_instant(row, S_CREATED, e))
        check_wrong(c, e->seq, "a member of staff was not invited when this event says");
    if ((told & TOLD_ROLES) &&
        !(is_list(db_text(row, S_ROLES), said_member(e, "roles")) &&
          is_list(db_text(row, S_DEPARTMENTS), said_member(e, "departments"))))
        check_wrong(c, e->seq, "a member of staff has other roles than this event gave them");
    if ((told & TOLD_TRAINING) && !is_trained(row, said_member(e, "trained_until")))
        check_wrong(c, e->seq, "a member of staff has another training than this event tells");
    if ((told & TOLD_END) && !(str_is(e->kind, "staff.disable") ? is_instant(row, S_DISABLED, e)
                                                                : db_is_null(row, S_DISABLED)))
        check_wrong(c, e->seq, "a member of staff is, or is not, disabled against this event");
    if ((told & TOLD_APPROVAL) &&
        !json_is_time(said_member(e, "approves_from"), db_int(row, S_APPROVES)))
        check_wrong(c, e->seq, "a member of staff approves from another day than this event says");
    if (json_is_true(said_member(e, "power")) && db_is_null(row, S_POWER))
        check_wrong(c, e->seq, "a member of staff who had power is not counted for four eyes");
    if ((told & TOLD_LOGIN) && !is_signing_in(c, row, id, e, &rc))
        check_wrong(c, e->seq, "a member of staff signs in otherwise than this event tells");
    return rc < 0 ? rc : 0;
}

/* Whose account was opened is told by the actor where the event is an older one. */
static bool staff_of(const struct said *e, struct uid *out)
{
    struct str actor = e->actor, id = json_text(said_member(e, "staff"));
    if (!id.n && str_is(e->kind, "staff.open")) {
        str_cut(&actor, '/');
        id = actor;
    }
    return hex_decode(id, out->b, sizeof out->b);
}

int check_staff_said(struct checking *c, const struct said *e)
{
    static const char sql[] = "select roles, recipients, trained_until, created_at, disabled_at, "
                              "login, password, approves_from, power_at from staff where id = $1";
    struct uid id;
    if (!c->identities)
        return 0;
    if (!staff_of(e, &id)) {
        check_wrong(c, e->seq, "the event names no member of staff");
        return 0;
    }
    uint8_t *told = check_known(c, THING_STAFF, uid_str(&id));
    uint8_t first = tells(e) & (uint8_t) ~*told;
    *told |= first;
    struct db_stmt *s = db_use(c->identities, sql);
    db_bind_blob(s, 1, uid_str(&id));
    int rc = db_step(s, c->err);
    if (rc == 0)
        check_wrong(c, e->seq, "the member of staff whom this event names is gone");
    if (rc != 1)
        return rc;
    rc = check_row(c, s, &id, e, first);
    db_done(s);
    return rc;
}
