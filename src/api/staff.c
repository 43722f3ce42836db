/* staff.c - /v1/staff: who works with the console. Events name staff by their id alone: the ledger
 * keeps what it is told, and the name of somebody who left is to go. */
#include <string.h>

#include "api/eyes.h"
#include "api/private.h"
#include "base/clock.h"
#include "identity/staff.h"

enum { HOURS_DEFAULT = 72, HOURS_MOST = 720, TOKEN_BYTES = 32, ROLES_MOST = 8, NAMES_MOST = 32 };

struct staff_request {
    struct str name;
    struct json_names roles, recipients;
    int32_t trained_until;
    int64_t hours;
};
#define MEMBER(name, kind, required, least, most)                                                  \
    {                                                                                              \
#name, kind, offsetof(struct staff_request, name), required, least, most                   \
    }
static const struct json_field create_fields[] = {
    MEMBER(name, JSON_K_STRING, true, 1, STAFF_NAME_MAX),
    MEMBER(roles, JSON_K_NAMES, true, 1, ROLES_MOST),
    MEMBER(recipients, JSON_K_NAMES, false, 0, NAMES_MOST),
    MEMBER(trained_until, JSON_K_DATE, false, 0, 0),
    MEMBER(hours, JSON_K_INT, false, 1, HOURS_MOST),
};
static const struct json_field change_fields[] = {
    MEMBER(roles, JSON_K_NAMES, false, 1, ROLES_MOST),
    MEMBER(recipients, JSON_K_NAMES, false, 0, NAMES_MOST),
    MEMBER(trained_until, JSON_K_DATE, false, 0, 0),
};
static const struct json_field invite_fields[] = {
    MEMBER(hours, JSON_K_INT, false, 1, HOURS_MOST),
};
static const struct json_field training_fields[] = {
    MEMBER(trained_until, JSON_K_DATE, true, 0, 0),
};
#define COUNT(table) (sizeof(table) / sizeof *(table))

/* What a write about one of the staff carries. */
struct staffing {
    struct staff staff;
    struct str token;
    struct sha256 digest;
    int64_t hours, expires_at;
    bool machine, key;              /* that asks for it; otherwise staff does */
    bool has_roles, has_recipients; /* change */
    bool power;                     /* they have, as a change leaves them */
};

static struct staffing *staffing_new(struct http_call *call)
{
    struct staffing *s = arena_alloc(&call->arena, sizeof *s);
    *s = (struct staffing){.machine = eyes_machine(call), .key = eyes_key(call)};
    return s;
}

static struct staffing *staffing_of(const struct engine_write *w)
{
    return ((struct pending *)w->ctx)->more;
}

static struct pending *write_new(struct http_call *call, json_t *body, struct staffing *more,
                                 int (*other)(struct engine_write *, struct write_scope *,
                                              struct err *))
{
    struct pending *p = pending_new(call, body, 1);
    p->more = more;
    p->writes[0].kind = WRITE_OTHER;
    p->writes[0].other = other;
    return p;
}

static int unknown(struct err *err)
{
    return err_reason(err, LOV_ENOTFOUND, "unknown_staff", "there is no such member of staff");
}

/* ---- answers and events ---- */

static void list_write(struct jw *w, const char *name, struct str list)
{
    jw_array_member(w, name);
    while (list.n)
        jw_str(w, staff_list_next(&list));
    jw_array_end(w);
}

static void id_write(struct jw *w, const char *name, const struct uid *id)
{
    jw_hex_member(w, name, id->b, sizeof id->b);
}

/* The last day on which it holds. */
static void training_write(struct jw *w, int64_t until)
{
    _cleanup_buf struct buf day = {0};
    if (until != TIME_NONE)
        date_format((int32_t)(until / DAY_MS) - 1, &day);
    jw_optional_member(w, "trained_until", buf_view(&day));
}

static void staff_write(struct jw *w, const struct staff *s)
{
    id_write(w, "id", &s->id);
    jw_str_member(w, "name", s->name);
    list_write(w, "roles", s->roles);
    list_write(w, "recipients", s->recipients);
    training_write(w, s->trained_until);
    jw_bool_member(w, "has_account", s->password.n != 0);
    jw_time_member(w, "approves_from", eyes_power(s->roles) ? s->approves_from : TIME_NONE);
    jw_time_member(w, "signed_in_at", s->signed_in_at);
    jw_time_member(w, "created_at", s->created_at);
    jw_time_member(w, "disabled_at", s->disabled_at);
}

static int append(struct engine_write *w, struct write_scope *scope, const char *kind,
                  const struct staff *s, struct err *err)
{
    _cleanup_buf struct buf body = {0};
    struct jw j = {.out = &body};
    jw_object_start(&j);
    id_write(&j, "staff", &s->id);
    if (s->roles.n) {
        list_write(&j, "roles", s->roles);
        list_write(&j, "departments", s->recipients);
    }
    if (s->trained_until != TIME_NONE)
        training_write(&j, s->trained_until);
    if (s->approves_from)
        jw_time_member(&j, "approves_from", s->approves_from);
    if (staffing_of(w)->power)
        jw_bool_member(&j, "power", true);
    jw_time_member(&j, "recorded_at", scope->now);
    jw_object_end(&j);
    return engine_append(scope, kind, (struct str){0}, buf_view(&body), &w->out_seq, err);
}

/* ---- links ---- */

static void draw_link(struct http_call *call, struct staffing *s, int64_t hours)
{
    uint8_t bytes[TOKEN_BYTES];
    _cleanup_buf struct buf token = {0};
    random_bytes(bytes, sizeof bytes);
    base64url_encode(bytes, sizeof bytes, &token);
    s->token = arena_str(&call->arena, buf_view(&token));
    s->digest = sha256_of(s->token);
    s->hours = hours;
}

static int put_link(struct staffing *s, struct write_scope *scope, struct err *err)
{
    enum { HOUR_MS = 3600000 };
    s->expires_at = scope->now + s->hours * HOUR_MS;
    return staff_invitation_put(scope->identities, &s->digest, &s->staff.id, s->expires_at,
                                scope->now, err);
}

static int answer_link(struct http_call *call)
{
    struct pending *p = call->work;
    const struct staffing *s = p->more;
    _cleanup_buf struct buf url = {0};
    if (p->writes[0].job.rc)
        return answer_problem(call, &p->writes[0].job.err);
    struct jw w = answer_start(call, 201);
    jw_object_start(&w);
    id_write(&w, "id", &s->staff.id);
    jw_time_member(&w, "expires_at", s->expires_at);
    jw_str_member(&w, "path",
                  arena_printf(&call->arena, "/console/welcome/%.*s", STR_ARG(s->token)));
    api_base(call, &url);
    jw_key(&w, "url");
    if (url.n) {
        buf_printf(&url, "/console/welcome/%.*s", STR_ARG(s->token));
        jw_str(&w, buf_view(&url));
    } else {
        jw_null(&w);
    }
    jw_object_end(&w);
    http_answer_header(call, "Cache-Control", STR("no-store"));
    return 0;
}

/* ---- a new one ---- */

static int take_roles(struct http_call *call, const struct json_names *roles, struct str *out,
                      struct err *err)
{
    _cleanup_buf struct buf list = {0};
    for (size_t i = 0; i < roles->count; i++) {
        uint64_t permissions = 0;
        const char *role = role_find(roles->items[i], &permissions);
        if (!role || !(permissions & MAY_USE_CONSOLE))
            return err_reason(err, LOV_EINVAL, "unknown_role",
                              "roles: of admin, privacy_officer, analyst, support, marketing, "
                              "auditor");
        buf_printf(&list, "%s%s", i ? " " : "", role);
    }
    *out = arena_str(&call->arena, buf_view(&list));
    return 0;
}

/* Staff look for departments alone: whoever is outside has keys of their own. */
static int take_recipients(struct http_call *call, const struct json_names *names, struct str *out,
                           struct err *err)
{
    _cleanup_buf struct buf list = {0};
    struct rules *rules = engine_rules(api_of(call)->engine);
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < names->count; i++) {
        const struct policy_recipient *r =
            rules ? policy_recipient(rules_policy(rules), names->items[i]) : NULL;
        if (!r || r->kind != RECIPIENT_DEPARTMENT)
            rc = err_reason(err, LOV_EINVAL, "unknown_recipient",
                            "recipients: departments of the policy in force");
        buf_printf(&list, "%s%.*s", i ? " " : "", STR_ARG(names->items[i]));
    }
    rules_unref(rules);
    *out = arena_str(&call->arena, buf_view(&list));
    return rc;
}

/* Roles with power are given by no API key where four eyes are needed (eyes.h). */
static int may_give(const struct staffing *s, struct write_scope *scope, struct str roles,
                    struct err *err)
{
    int64_t since = TIME_NONE;
    int rc = s->key && eyes_power(roles) ? staff_four_eyes(scope->identities, &since, err) : 0;
    return rc == 0 && since != TIME_NONE ? eyes_refuse_key(err) : rc;
}

static int64_t approves_from(const struct staffing *s, const struct write_scope *scope)
{
    return scope->now + (s->machine ? 0 : EYES_WAIT_DAYS * (int64_t)DAY_MS);
}

static int write_new_staff(struct engine_write *w, struct write_scope *scope, struct err *err)
{
    struct staffing *s = staffing_of(w);
    s->staff.created_at = scope->now;
    s->staff.approves_from = approves_from(s, scope);
    int rc = may_give(s, scope, s->staff.roles, err);
    if (rc == 0)
        rc = staff_add(engine_identity(scope->engine), scope->identities, &s->staff, err);
    if (rc == 0)
        rc = put_link(s, scope, err);
    return rc ? rc : append(w, scope, "staff.invite", &s->staff, err);
}

static int64_t training_end(int32_t day)
{
    return day == DAY_NONE ? TIME_NONE : date_start(day) + (int64_t)DAY_MS;
}

int staff_create(struct http_call *call)
{
    struct err err = {0};
    struct staff_request in = {.hours = HOURS_DEFAULT, .trained_until = DAY_NONE};
    json_t *body = NULL;
    struct staffing *s = staffing_new(call);
    int rc = request_body(call, create_fields, COUNT(create_fields), JSON_REFUSE_UNKNOWN, &in,
                          &body, &err);
    if (rc)
        return answer_problem(call, &err);
    s->staff = (struct staff){
        .id = uid_new(),
        .name = arena_str(&call->arena, str_trim(in.name)),
        .trained_until = training_end(in.trained_until),
        .disabled_at = TIME_NONE,
    };
    if (!s->staff.name.n)
        rc = err_reason(&err, LOV_EINVAL, "invalid_field", "name: is empty");
    if (rc == 0)
        rc = take_roles(call, &in.roles, &s->staff.roles, &err);
    if (rc == 0)
        rc = take_recipients(call, &in.recipients, &s->staff.recipients, &err);
    if (rc) {
        json_decref(body);
        return answer_problem(call, &err);
    }
    draw_link(call, s, in.hours);
    return pending_submit(write_new(call, body, s, write_new_staff), answer_link);
}

/* ---- changes of one ---- */

/* As the writer finds them: LOV_ENOTFOUND where they are not there, or left. Nobody changes what
 * they are themselves. */
static int find_working(const struct engine_write *w, struct write_scope *scope, struct staff *out,
                        struct err *err)
{
    const struct staffing *s = staffing_of(w);
    _cleanup_buf struct buf own = {0};
    buf_cstr(&own, "staff:/");
    hex_encode(s->staff.id.b, sizeof s->staff.id.b, &own);
    if (second_is_same(w->actor, buf_view(&own)))
        return err_reason(err, LOV_EFORBIDDEN, "own_account",
                          "somebody else has to change what you are yourself");
    int rc = staff_get(engine_identity(scope->engine), scope->identities, &s->staff.id,
                       scope->arena, out, err);
    if (rc == 0)
        return unknown(err);
    if (rc == 1 && out->disabled_at != TIME_NONE)
        return err_reason(err, LOV_ECONFLICT, "disabled", "this account was disabled");
    return rc < 0 ? rc : 0;
}

static bool manages_staff(const struct staff *s)
{
    struct str roles = s->roles;
    uint64_t permissions = 0;
    while (roles.n && s->password.n && s->disabled_at == TIME_NONE)
        if (role_find(staff_list_next(&roles), &permissions) && (permissions & MAY_MANAGE_STAFF))
            return true;
    return false;
}

static int is_another(void *ctx, const struct staff *s)
{
    const struct uid *id = ctx;
    return manages_staff(s) && memcmp(s->id.b, id->b, sizeof id->b) != 0;
}

/* That somebody is left who lets staff in, when `now` becomes `then`. */
static int check_last(struct write_scope *scope, const struct staff *now, const struct staff *then,
                      struct err *err)
{
    struct uid id = now->id;
    if (!manages_staff(now) || manages_staff(then))
        return 0;
    int rc = staff_each(engine_identity(scope->engine), scope->identities, NULL, INT64_MAX,
                        scope->arena, is_another, &id, err);
    if (rc == 0)
        return err_reason(err, LOV_ECONFLICT, "last_admin",
                          "nobody else with an account is an admin: make another one first");
    return rc < 0 ? rc : 0;
}

static int take_id(struct http_call *call, struct staffing *s, struct err *err)
{
    struct uid *id = &s->staff.id;
    s->staff.trained_until = s->staff.disabled_at = TIME_NONE;
    return hex_decode(call->param[0], id->b, sizeof id->b) ? 0 : unknown(err);
}

/* Who is meant, and what of them: the path and the body. */
static int take_both(struct http_call *call, const struct json_field *fields, size_t count,
                     struct staffing *s, struct staff_request *in, json_t **body, struct err *err)
{
    int rc = take_id(call, s, err);
    return rc ? rc : request_body(call, fields, count, JSON_REFUSE_UNKNOWN, in, body, err);
}

static int write_link(struct engine_write *w, struct write_scope *scope, struct err *err)
{
    struct staffing *s = staffing_of(w);
    struct staff now = {0};
    int rc = find_working(w, scope, &now, err);
    if (rc == 0)
        rc = may_give(s, scope, now.roles, err);
    if (rc)
        return rc;
    s->staff.approves_from = now.approves_from = approves_from(s, scope);
    rc = staff_set(scope->identities, &now, err);
    if (rc == 0)
        rc = put_link(s, scope, err);
    return rc ? rc : append(w, scope, "staff.invite", &s->staff, err);
}

int staff_invite(struct http_call *call)
{
    struct err err = {0};
    struct staff_request in = {.hours = HOURS_DEFAULT};
    json_t *body = NULL;
    struct staffing *s = staffing_new(call);
    int rc = take_both(call, invite_fields, COUNT(invite_fields), s, &in, &body, &err);
    if (rc)
        return answer_problem(call, &err);
    draw_link(call, s, in.hours);
    return pending_submit(write_new(call, body, s, write_link), answer_link);
}

static int answer_found(struct http_call *call, const struct uid *id)
{
    struct engine *e = api_of(call)->engine;
    struct staff found;
    struct err err = {0};
    struct db *db;
    int rc = db_pool_get(engine_identities(e), &db, &err);
    if (rc)
        return answer_problem(call, &err);
    rc = staff_get(engine_identity(e), db, id, &call->arena, &found, &err);
    db_pool_put(engine_identities(e), db);
    if (rc <= 0) {
        if (rc == 0)
            unknown(&err);
        return answer_problem(call, &err);
    }
    struct jw w = answer_start(call, 200);
    jw_object_start(&w);
    staff_write(&w, &found);
    jw_object_end(&w);
    return 0;
}

static int answer_staff(struct http_call *call)
{
    struct pending *p = call->work;
    const struct staffing *s = p->more;
    if (p->writes[0].job.rc)
        return answer_problem(call, &p->writes[0].job.err);
    return answer_found(call, &s->staff.id);
}

static int write_end(struct engine_write *w, struct write_scope *scope, struct err *err)
{
    struct staffing *s = staffing_of(w);
    struct staff now = {0}, then;
    int rc = find_working(w, scope, &now, err);
    if (rc)
        return rc;
    then = now;
    then.disabled_at = scope->now;
    rc = check_last(scope, &now, &then, err);
    if (rc == 0)
        rc = staff_disable(scope->identities, &s->staff.id, scope->now, err);
    return rc ? rc : append(w, scope, "staff.disable", &s->staff, err);
}

int staff_end(struct http_call *call)
{
    struct err err = {0};
    struct staffing *s = staffing_new(call);
    if (take_id(call, s, &err))
        return answer_problem(call, &err);
    return pending_submit(write_new(call, NULL, s, write_end), answer_staff);
}

static int write_training(struct engine_write *w, struct write_scope *scope, struct err *err)
{
    struct staffing *s = staffing_of(w);
    struct staff now = {0};
    int rc = find_working(w, scope, &now, err);
    if (rc)
        return rc;
    now.trained_until = s->staff.trained_until;
    rc = staff_set(scope->identities, &now, err);
    return rc ? rc : append(w, scope, "staff.training", &s->staff, err);
}

int staff_train(struct http_call *call)
{
    struct err err = {0};
    struct staff_request in = {.trained_until = DAY_NONE};
    json_t *body = NULL;
    struct staffing *s = staffing_new(call);
    int rc = take_both(call, training_fields, COUNT(training_fields), s, &in, &body, &err);
    if (rc)
        return answer_problem(call, &err);
    s->staff.trained_until = training_end(in.trained_until);
    return pending_submit(write_new(call, body, s, write_training), answer_staff);
}

/* The same roles, in whatever order. */
static bool same_roles(struct str now, struct str then)
{
    struct str rest = now;
    if (now.n != then.n)
        return false;
    while (rest.n)
        if (!staff_list_has(then, staff_list_next(&rest)))
            return false;
    return true;
}

/* Has `then` a role with power that `now` has not? */
static bool wins_power(struct str now, struct str then)
{
    while (then.n) {
        struct str role = staff_list_next(&then);
        if (eyes_power(role) && !staff_list_has(now, role))
            return true;
    }
    return false;
}

/* Sessions end with a change of roles: what somebody may do is not to change while they do it. */
static int write_change(struct engine_write *w, struct write_scope *scope, struct err *err)
{
    struct staffing *s = staffing_of(w);
    struct staff now = {0}, then;
    int rc = find_working(w, scope, &now, err);
    if (rc)
        return rc;
    then = now;
    if (s->has_roles && !same_roles(now.roles, s->staff.roles))
        then.roles = s->staff.roles;
    if (s->has_recipients)
        then.recipients = s->staff.recipients;
    if (s->staff.trained_until != TIME_NONE)
        then.trained_until = s->staff.trained_until;
    if (wins_power(now.roles, then.roles))
        then.approves_from = approves_from(s, scope);
    rc = check_last(scope, &now, &then, err);
    if (rc == 0 && wins_power(now.roles, then.roles))
        rc = may_give(s, scope, then.roles, err);
    if (rc == 0)
        rc = staff_set(scope->identities, &then, err);
    if (rc == 0 && !str_eq(now.roles, then.roles))
        rc = staff_session_end_all(scope->identities, &then.id, NULL, err);
    if (rc == 0)
        rc = eyes_note(scope, &then.id, &s->power, err);
    return rc ? rc : append(w, scope, "staff.change", &then, err);
}

int staff_change(struct http_call *call)
{
    struct err err = {0};
    struct staff_request in = {.trained_until = DAY_NONE};
    json_t *body = NULL;
    struct staffing *s = staffing_new(call);
    int rc = take_both(call, change_fields, COUNT(change_fields), s, &in, &body, &err);
    if (rc)
        return answer_problem(call, &err);
    s->has_roles = json_is_array(json_object_get(body, "roles"));
    s->has_recipients = json_is_array(json_object_get(body, "recipients"));
    s->staff.trained_until = training_end(in.trained_until);
    if (!s->has_roles && !s->has_recipients && in.trained_until == DAY_NONE)
        rc = err_reason(&err, LOV_EINVAL, "missing_field",
                        "roles, recipients or trained_until: what is changed");
    if (rc == 0)
        rc = take_roles(call, &in.roles, &s->staff.roles, &err);
    if (rc == 0)
        rc = take_recipients(call, &in.recipients, &s->staff.recipients, &err);
    if (rc) {
        json_decref(body);
        return answer_problem(call, &err);
    }
    return pending_submit(write_new(call, body, s, write_change), answer_staff);
}

/* ---- one, and the list ---- */

int staff_read(struct http_call *call)
{
    struct err err = {0};
    struct staffing *s = staffing_new(call);
    int rc = take_id(call, s, &err);
    return rc ? answer_problem(call, &err) : answer_found(call, &s->staff.id);
}

struct listing {
    struct jw w;
    int64_t limit, count;
    struct uid last;
};

static int list_row(void *ctx, const struct staff *s)
{
    struct listing *list = ctx;
    if (list->count++ == list->limit)
        return 0;
    list->last = s->id;
    jw_object_start(&list->w);
    staff_write(&list->w, s);
    jw_object_end(&list->w);
    return 0;
}

int staff_list(struct http_call *call)
{
    struct err err = {0};
    struct listing list = {0};
    struct str after;
    struct uid from;
    struct engine *e = api_of(call)->engine;
    struct db *db;
    int rc = request_page(call, NULL, &list.limit, &after, &err);
    if (rc == 0 && after.n && !hex_decode(after, from.b, sizeof from.b))
        rc = err_reason(&err, LOV_EINVAL, "invalid_cursor", "after is not a cursor of this list");
    if (rc == 0)
        rc = db_pool_get(engine_identities(e), &db, &err);
    if (rc)
        return answer_problem(call, &err);
    list.w = answer_start(call, 200);
    jw_object_start(&list.w);
    jw_array_member(&list.w, "items");
    rc = staff_each(engine_identity(e), db, after.n ? &from : NULL, list.limit + 1, &call->arena,
                    list_row, &list, &err);
    db_pool_put(engine_identities(e), db);
    jw_array_end(&list.w);
    if (list.count > list.limit) {
        id_write(&list.w, "next", &list.last);
    } else {
        jw_key(&list.w, "next");
        jw_null(&list.w);
    }
    jw_object_end(&list.w);
    return rc ? answer_problem(call, &err) : 0;
}
