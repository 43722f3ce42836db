/* verify.c - do the rows that people make say what the ledger says: proposals of policies and of
 * reads, webhooks, staff?
 *
 * Events are gone through from the last to the first, so that the first that speaks of a row says
 * how it is now, and those before it only what no later one has changed. Then each row must have
 * been spoken of. What is remembered is an id a row: people make these one by one. */
#include "api/verify.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/api.h"
#include "base/hash.h"

const json_t *said_member(const struct said *e, const char *name)
{
    return json_object_get(e->body, name);
}

void check_wrong(struct checking *c, int64_t seq, const char *what)
{
    if (c->out->wrong)
        return;
    c->out->wrong = true;
    c->out->seq = seq;
    snprintf(c->out->what, sizeof c->out->what, "%s", what);
}

/* ---- what is known of rows ---- */

static struct known *place(const struct checking *c, enum thing thing, const char id[16])
{
    size_t i = hash64((struct str){id, 16}) & (c->cap - 1);
    while (c->known[i].used &&
           (c->known[i].thing != (uint8_t)thing || memcmp(c->known[i].id, id, 16) != 0))
        i = (i + 1) & (c->cap - 1);
    return &c->known[i];
}

static void grow(struct checking *c)
{
    struct known *old = c->known;
    size_t cap = c->cap;
    c->cap = cap ? 2 * cap : 64;
    c->known = mem_zero(c->cap * sizeof *c->known);
    for (size_t i = 0; i < cap; i++)
        if (old[i].used)
            *place(c, old[i].thing, old[i].id) = old[i];
    free(old);
}

uint8_t *check_known(struct checking *c, enum thing thing, struct str id)
{
    char key[16] = {0};
    memcpy(key, id.p, id.n < sizeof key ? id.n : sizeof key);
    if (2 * (c->count + 1) > c->cap)
        grow(c);
    struct known *k = place(c, thing, key);
    c->count += !k->used;
    k->used = true;
    k->thing = (uint8_t)thing;
    memcpy(k->id, key, sizeof key);
    return &k->told;
}

uint8_t *check_known_seq(struct checking *c, enum thing thing, int64_t seq)
{
    return check_known(c, thing, (struct str){(const char *)&seq, sizeof seq});
}

/* ---- events ---- */

typedef int check_said(struct checking *c, const struct said *e);

/* What checks events of this kind; NULL: nothing here does. */
static check_said *check_of(struct str kind)
{
    static const struct {
        const char *kind;
        check_said *check;
    } kinds[] = {
        {"policy.propose", check_policy_said},  {"policy.approve", check_policy_said},
        {"policy.reject", check_policy_said},   {"read.propose", check_read_said},
        {"read.approve", check_read_said},      {"read.reject", check_read_said},
        {"read.use", check_read_said},          {"webhook.create", check_webhook_said},
        {"webhook.rotate", check_webhook_said}, {"webhook.replay", check_webhook_said},
        {"webhook.stop", check_webhook_said},   {"webhook.revoke", check_webhook_said},
        {"staff.invite", check_staff_said},     {"staff.open", check_staff_said},
        {"staff.change", check_staff_said},     {"staff.training", check_staff_said},
        {"staff.disable", check_staff_said},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (str_is(kind, kinds[i].kind))
            return kinds[i].check;
    return NULL;
}

/* 1: no further. */
static int check_event(void *ctx, const struct ledger_event *event)
{
    struct checking *c = ctx;
    check_said *check = event->has_cid ? NULL : check_of(event->kind);
    _cleanup_json json_t *body = NULL;
    struct said e = {.seq = event->seq, .kind = event->kind, .actor = event->actor};
    if (!check)
        return 0;
    if (c->last < 0)
        c->last = e.seq;
    if (json_read(event->body, &body, NULL) != 0) {
        check_wrong(c, e.seq, "the body of the event is not JSON");
        return 1;
    }
    e.body = body;
    int rc = check(c, &e);
    return rc < 0 ? rc : c->out->wrong;
}

static int check_events(struct checking *c)
{
    int rc = ledger_each_back(c->lov, 0, check_event, c, c->err);
    return rc < 0 ? rc : 0;
}

/* ---- rows that no event has made ---- */

struct table {
    enum thing thing;
    bool of_identities;
    const char *sql, *what;
};

static int check_table(struct checking *c, const struct table *t)
{
    struct db_stmt *s = db_use(t->of_identities ? c->identities : c->lov, t->sql);
    bool by_number = t->thing == THING_POLICY || t->thing == THING_READ;
    int rc;
    while ((rc = db_step(s, c->err)) == 1) {
        uint8_t told = by_number ? *check_known_seq(c, t->thing, db_int(s, 0))
                                 : *check_known(c, t->thing, db_blob(s, 0));
        c->out->rows++;
        if (told & TOLD_MADE)
            continue;
        check_wrong(c, by_number ? db_int(s, 0) : c->last, t->what);
        db_done(s);
        break;
    }
    return rc < 0 ? rc : 0;
}

static int check_tables(struct checking *c)
{
    static const struct table tables[] = {
        {THING_POLICY, false, "select seq from policy_proposal",
         "a proposal of a policy is stored that this event did not make"},
        {THING_READ, false, "select seq from read_proposal",
         "a proposed read is stored that this event did not make"},
        {THING_WEBHOOK, false, "select id from webhook",
         "a webhook is stored that neither this event registered nor one before it"},
        {THING_STAFF, true, "select id from staff",
         "a member of staff is stored whom neither this event invited nor one before it"},
    };
    int rc = 0;
    for (size_t i = 0; rc == 0 && !c->out->wrong && i < sizeof tables / sizeof *tables; i++)
        if (!tables[i].of_identities || c->identities)
            rc = check_table(c, &tables[i]);
    return rc;
}

int people_verify(struct db *lov, struct db *identities, struct state_report *out, struct err *err)
{
    struct checking c = {.lov = lov, .identities = identities, .out = out, .err = err, .last = -1};
    *out = (struct state_report){0};
    int rc = db_begin_read(lov, err);
    if (rc)
        return rc;
    if (identities)
        rc = db_begin_read(identities, err);
    if (rc == 0)
        rc = check_events(&c);
    if (rc == 0 && !out->wrong)
        rc = check_tables(&c);
    if (identities)
        db_rollback(identities);
    db_rollback(lov);
    free(c.known);
    return rc;
}
