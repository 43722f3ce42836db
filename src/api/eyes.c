/* eyes.c - see eyes.h. Whether four eyes are needed is read from the staff each time: what asks is
 * seldom, and so no restart and no restored store of events makes it forget. */
#include "api/eyes.h"

#include "api/private.h"
#include "base/clock.h"
#include "identity/staff.h"

enum {
    POWER = MAY_WRITE_POLICY | MAY_MANAGE_KEYS | MAY_MANAGE_STAFF | MAY_APPROVE_READS,
    SHOWN_MOST = 20,
};

bool eyes_power(struct str roles)
{
    uint64_t permissions = 0;
    while (roles.n)
        if (role_find(staff_list_next(&roles), &permissions) && (permissions & POWER))
            return true;
    return false;
}

int eyes_note(struct write_scope *scope, const struct uid *staff, bool *power, struct err *err)
{
    struct staff found;
    int rc = staff_get(engine_identity(scope->engine), scope->identities, staff, scope->arena,
                       &found, err);
    *power = rc == 1 && found.password.n && eyes_power(found.roles);
    if (!*power)
        return rc < 0 ? rc : 0;
    return staff_set_power(scope->identities, staff, scope->now, err);
}

/* ---- who may do what alone ---- */

bool eyes_machine(const struct http_call *call)
{
    return caller_of(call) == operator_principal();
}

bool eyes_key(const struct http_call *call)
{
    return !eyes_machine(call) && !caller_of(call)->person;
}

static int since(struct engine *e, int64_t *out, struct err *err)
{
    struct db *db;
    int rc = db_pool_get(engine_identities(e), &db, err);
    if (rc)
        return rc;
    rc = staff_four_eyes(db, out, err);
    db_pool_put(engine_identities(e), db);
    return rc;
}

int eyes_refuse_key(struct err *err)
{
    return err_reason(err, LOV_EFORBIDDEN, "four_eyes",
                      "power over policies, keys, staff or reads of many is given on the machine "
                      "itself, or by a member of staff at the console, not with an API key");
}

int eyes_give(struct http_call *call, struct str roles, struct err *err)
{
    int64_t begun = TIME_NONE;
    int rc = since(api_of(call)->engine, &begun, err);
    if (rc || begun == TIME_NONE || !eyes_power(roles) || !eyes_key(call))
        return rc;
    return eyes_refuse_key(err);
}

int eyes_apply(struct http_call *call, bool alone, struct err *err)
{
    int64_t begun = TIME_NONE;
    if (alone && eyes_machine(call))
        return 0;
    if (alone)
        return err_reason(err, LOV_EFORBIDDEN, "four_eyes",
                          "alone: a policy is applied by one on the machine itself alone");
    int rc = since(api_of(call)->engine, &begun, err);
    if (rc || begun == TIME_NONE)
        return rc;
    return err_reason(err, LOV_EFORBIDDEN, "four_eyes",
                      "a policy takes two here: propose it (lov policy propose, "
                      "POST /v1/policy/proposals), and a member of staff approves it at the "
                      "console%s",
                      eyes_machine(call) ? "; with --alone it is applied without, and staff sees it"
                                         : "");
}

/* Who sits there, as the staff have them. */
static int find_approver(struct http_call *call, struct staff *out, struct err *err)
{
    struct engine *e = api_of(call)->engine;
    struct str id = caller_of(call)->actor;
    struct uid uid = {0};
    struct db *db;
    str_cut(&id, '/');
    if (!caller_of(call)->person || !hex_decode(id, uid.b, sizeof uid.b))
        return err_reason(err, LOV_EFORBIDDEN, "four_eyes",
                          "a member of staff approves it, at the console");
    int rc = db_pool_get(engine_identities(e), &db, err);
    if (rc)
        return rc;
    rc = staff_get(engine_identity(e), db, &uid, &call->arena, out, err);
    db_pool_put(engine_identities(e), db);
    return rc < 0 ? rc : 0;
}

int eyes_approve(struct http_call *call, struct err *err)
{
    int64_t begun = TIME_NONE;
    struct staff who = {0};
    _cleanup_buf struct buf day = {0};
    int rc = since(api_of(call)->engine, &begun, err);
    if (rc || begun == TIME_NONE)
        return rc;
    rc = find_approver(call, &who, err);
    if (rc || who.approves_from <= clock_now())
        return rc;
    time_format(who.approves_from, &day);
    return err_reason(
        err, LOV_EFORBIDDEN, "too_new",
        "who was given a role or a link by a colleague approves %d days later: from %s",
        (int)EYES_WAIT_DAYS, day.p);
}

/* ---- what staff sees of it ---- */

struct report {
    struct jw w;
    int64_t now, from;
    size_t count;
};

static void write_item(struct report *r, const char *kind, struct str id, struct str subject,
                       int64_t at)
{
    jw_object_start(&r->w);
    jw_cstr_member(&r->w, "kind", kind);
    jw_str_member(&r->w, "id", id);
    jw_optional_member(&r->w, "roles", subject);
    jw_time_member(&r->w, "at", at);
    jw_object_end(&r->w);
}

static int report_keys(struct report *r, struct db *lov, struct err *err)
{
    static const char sql[] =
        "select id, subject, created_at from api_key where kind = 'staff' "
        "and revoked_at is null and created_at >= $1 order by created_at desc";
    struct db_stmt *s = db_use(lov, sql);
    int rc;
    db_bind_int(s, 1, r->from);
    while ((rc = db_step(s, err)) == 1)
        if (eyes_power(db_text(s, 1)) && r->count++ < SHOWN_MOST)
            write_item(r, "key", db_text(s, 0), db_text(s, 1), db_int(s, 2));
    return rc;
}

/* Versions that came into force by no approval, but for those that a law's change made. */
static int report_policies(struct report *r, struct db *lov, struct err *err)
{
    static const char sql[] =
        "select version, applied_at from policy p where applied_at >= $1 and actor <> 'lov' "
        "and not exists (select 1 from policy_proposal q where q.version = p.version) "
        "order by version desc";
    struct db_stmt *s = db_use(lov, sql);
    int rc;
    db_bind_int(s, 1, r->from);
    while ((rc = db_step(s, err)) == 1) {
        _cleanup_buf struct buf version = {0};
        buf_int(&version, db_int(s, 0));
        if (r->count++ < SHOWN_MOST)
            write_item(r, "policy", buf_view(&version), (struct str){0}, db_int(s, 1));
    }
    return rc;
}

static int report_one(void *ctx, const struct staff *s)
{
    struct report *r = ctx;
    _cleanup_buf struct buf id = {0};
    if (s->disabled_at != TIME_NONE || s->approves_from <= r->now || !eyes_power(s->roles) ||
        r->count++ >= SHOWN_MOST)
        return 0;
    hex_encode(s->id.b, sizeof s->id.b, &id);
    write_item(r, "staff", buf_view(&id), s->roles, s->approves_from);
    return 0;
}

static int report_all(struct engine *e, struct report *r, struct arena *arena, struct err *err)
{
    struct db *lov, *identities;
    int rc = db_pool_get(engine_identities(e), &identities, err);
    if (rc)
        return rc;
    rc = staff_each(engine_identity(e), identities, NULL, INT64_MAX, arena, report_one, r, err);
    db_pool_put(engine_identities(e), identities);
    if (rc == 0)
        rc = db_pool_get(engine_lov(e), &lov, err);
    if (rc)
        return rc;
    rc = report_keys(r, lov, err);
    if (rc == 0)
        rc = report_policies(r, lov, err);
    db_pool_put(engine_lov(e), lov);
    return rc;
}

int eyes_report(struct http_call *call, struct buf *out, struct err *err)
{
    struct engine *e = api_of(call)->engine;
    struct report r = {.w = {.out = out}, .now = clock_now()};
    int64_t begun = TIME_NONE;
    int rc = since(e, &begun, err);
    if (rc)
        return rc;
    r.from = r.now - DAYS_SHOWN * (int64_t)DAY_MS;
    if (begun > r.from)
        r.from = begun;
    jw_object_start(&r.w);
    jw_time_member(&r.w, "since", begun);
    jw_array_member(&r.w, "seen");
    if (begun != TIME_NONE)
        rc = report_all(e, &r, &call->arena, err);
    jw_array_end(&r.w);
    jw_object_end(&r.w);
    return rc;
}
