/* write.c - requests are opened and go on from step to step on the writer's thread: the row, the
 * event that says so, and with some steps what they carry out, in one transaction. */
#include <string.h>

#include "base/clock.h"
#include "rights/private.h"

enum { CLOCKS_DIFFER_MS = 60000, RECEIVED_AT_MOST_DAYS = 366, SEALED_MAX = 48 * 1024 };

static int need_consumer(const struct write_scope *scope, struct err *err)
{
    if (!scope->policy)
        return err_reason(err, LOV_EUNAVAILABLE, "no_policy",
                          "no policy is in force: apply one with lov policy apply");
    if (scope->who)
        return 0;
    return err_reason(err, LOV_ENOTFOUND, "unknown_consumer", "there is no such consumer");
}

/* Writes the row with the event that says so. */
static int put(struct write_scope *scope, const char *kind, struct request *r, struct err *err)
{
    _cleanup_buf struct buf body = {0};
    int64_t seq;
    r->event = ledger_next(engine_ledger(scope->engine), r->shard);
    if (r->seq < 0)
        r->seq = r->event;
    request_event_body(r, &body);
    int rc = engine_append(scope, kind, (struct str){0}, buf_view(&body), &seq, err);
    if (rc == 0 && seq != r->event)
        bug("a request's event has another number than its row says");
    return rc ? rc : request_row_put(scope->lov, r, err);
}

/* ---- what people write ---- */

static int open_sealed(struct write_scope *scope, const struct request *r, json_t **out,
                       struct err *err)
{
    _cleanup_buf struct buf text = {0};
    int rc = r->sealed.n ? scope_unseal(scope, r->sealed, &text, err) : 0;
    if (rc == 0)
        rc = json_read(text.n ? buf_view(&text) : STR("{}"), out, err);
    secret_wipe_bytes(text.p, text.n);
    return rc;
}

static int close_sealed(struct write_scope *scope, struct request *r, const json_t *all,
                        struct err *err)
{
    _cleanup_buf struct buf text = {0};
    json_canonical(all, &text);
    if (text.n > SEALED_MAX)
        return err_reason(err, LOV_EINVAL, "invalid_field",
                          "what is kept with a request is at most %d bytes in all", SEALED_MAX);
    int rc = scope_seal(scope, buf_view(&text), &r->sealed, err);
    secret_wipe_bytes(text.p, text.n);
    return rc;
}

/* Adds to what is sealed: "detail" once, then notes, each with its step and time. */
static int add_note(struct write_scope *scope, struct request *r, const char *step, struct str note,
                    struct err *err)
{
    _cleanup_json json_t *all = NULL, *value = NULL;
    if (!note.n)
        return 0;
    int rc = open_sealed(scope, r, &all, err);
    /* What was checked is an object or a string, which alone is no document to json_read(). */
    if (rc == 0) {
        value = json_loadb(note.p, note.n, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
        if (!value)
            return err_reason(err, LOV_EINVAL, "invalid_field", "a note is not valid JSON");
    }
    if (rc)
        return rc;
    if (!step) {
        json_object_set(all, "detail", value);
    } else {
        _cleanup_buf struct buf at = {0};
        json_t *notes = json_object_get(all, "notes"), *item = json_object();
        if (!notes)
            json_object_set_new(all, "notes", notes = json_array());
        time_format(scope->now, &at);
        json_object_set_new(item, "step", json_string(step));
        json_object_set_new(item, "at", json_stringn(at.p, at.n));
        json_object_set(item, "note", value);
        json_array_append_new(notes, item);
    }
    return close_sealed(scope, r, all, err);
}

/* ---- an erasure of some categories ---- */

static int check_categories(const struct write_scope *scope, const struct json_names *names,
                            struct err *err)
{
    for (size_t i = 0; i < names->count; i++)
        if (!policy_category(scope->policy, names->items[i]))
            return err_reason(err, LOV_EINVAL, "unknown_category",
                              "the policy has no such category");
    return 0;
}

static int keep_categories(struct write_scope *scope, struct request *r,
                           const struct json_names *names, struct err *err)
{
    _cleanup_json json_t *all = NULL;
    if (!names->count)
        return 0;
    if (!str_is(r->right, "erasure"))
        return err_reason(err, LOV_EINVAL, "unknown_field", "categories: of an erasure only");
    int rc = check_categories(scope, names, err);
    if (rc == 0)
        rc = open_sealed(scope, r, &all, err);
    if (rc)
        return rc;
    json_t *list = json_array();
    for (size_t i = 0; i < names->count; i++)
        json_array_append_new(list, json_stringn(names->items[i].p, names->items[i].n));
    json_object_set_new(all, "categories", list);
    return close_sealed(scope, r, all, err);
}

static bool names_have(const struct json_names *names, struct str name)
{
    for (size_t i = 0; i < names->count; i++)
        if (str_eq(names->items[i], name))
            return true;
    return false;
}

/* Nothing goes that the consumer wants to stay. What they asked for may be gone from the policy. */
static int check_asked_for(struct write_scope *scope, const struct request *r, bool everything,
                           const struct json_names *names, struct err *err)
{
    _cleanup_buf struct buf text = {0};
    struct json_names asked;
    int rc = r->sealed.n ? scope_unseal(scope, r->sealed, &text, err) : 0;
    if (rc == 0)
        rc = categories_take(buf_view(&text), scope->arena, &asked, err);
    secret_wipe_bytes(text.p, text.n);
    if (rc || !asked.count)
        return rc ? rc : check_categories(scope, names, err);
    bool fits = !everything;
    for (size_t i = 0; i < names->count && fits; i++)
        fits = names_have(&asked, names->items[i]);
    return fits ? 0
                : err_reason(err, LOV_ECONFLICT, "not_asked_for",
                             "the consumer asked for the erasure of other categories only");
}

static int erase_categories(struct write_scope *scope, const struct json_names *names,
                            struct err *err)
{
    int64_t erased;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < names->count; i++)
        rc = vault_erase_category(scope, names->items[i], &erased, err);
    return rc;
}

/* ---- open ---- */

static bool is_right(struct str right)
{
    for (size_t i = 0; policy_rights[i]; i++)
        if (str_is(right, policy_rights[i]))
            return true;
    return false;
}

static int check_received(const struct write_scope *scope, int64_t at, struct err *err)
{
    if (at > scope->now + CLOCKS_DIFFER_MS ||
        at < scope->now - RECEIVED_AT_MOST_DAYS * (int64_t)DAY_MS)
        return err_reason(err, LOV_EINVAL, "time_out_of_range",
                          "received_at: not in the future, and at most %d days ago",
                          (int)RECEIVED_AT_MOST_DAYS);
    return 0;
}

static int open_request(struct engine_write *w, struct write_scope *scope, struct err *err)
{
    const struct request_new *new = w->input;
    if (!is_right(new->right))
        return err_reason(err, LOV_EINVAL, "unknown_right", "there is no such right");
    int rc = need_consumer(scope, err);
    if (rc)
        return rc;
    const struct policy_law *law = policy_law_of(scope->policy, scope->residence);
    const struct policy_deadline *deadline = law_deadline(law, new->right);
    if (!deadline)
        return err_reason(err, LOV_EINVAL, "no_such_right",
                          "the consumer's law, %.*s, says nothing of this right", STR_ARG(law->id));
    struct request r = {
        .shard = scope->who->shard,
        .cid = scope->who->cid,
        .seq = -1,
        .right = new->right,
        .channel = new->channel,
        .law = law->id,
        .state = request_needs_identity(new->right) ? REQUEST_RECEIVED : REQUEST_OPEN,
        .received_at = new->received_at == TIME_NONE ? scope->now : new->received_at,
    };
    rc = check_received(scope, r.received_at, err);
    if (rc)
        return rc;
    r.due_at = request_due(law, deadline, r.received_at, false);
    rc = keep_categories(scope, &r, &new->categories, err);
    if (rc == 0)
        rc = add_note(scope, &r, NULL, new->detail, err);
    if (rc == 0)
        rc = put(scope, "request.receive", &r, err);
    w->out_seq = r.seq;
    return rc;
}

void request_open(struct engine_write *w, const struct request_new *request)
{
    w->kind = WRITE_OTHER;
    w->other = open_request;
    w->input = request;
}

/* ---- steps ---- */

static const char *step_event(enum request_step step)
{
    static const char *const kinds[REQUEST_STEPS] = {
        "request.ask_identity", "request.verify_identity", "request.extend", "request.fulfil",
        "request.refuse",       "request.withdraw",        "request.close",
    };
    return kinds[step];
}

static int need_note(const struct request_change *change, const char *what, struct err *err)
{
    if (change->note.n)
        return 0;
    return err_reason(err, LOV_EINVAL, "note_required", "note: say %s", what);
}

/* The law under which the request came in; the one of now where the policy has it no more. */
static const struct policy_law *law_of(const struct write_scope *scope, const struct request *r)
{
    const struct policy_law *law = policy_law(scope->policy, r->law);
    return law ? law : policy_law_of(scope->policy, scope->residence);
}

static int extend(const struct write_scope *scope, struct request *r,
                  const struct request_change *change, struct err *err)
{
    const struct policy_law *law = law_of(scope, r);
    const struct policy_deadline *d = law_deadline(law, r->right);
    if (!d || (!d->extend_days && !d->extend_months))
        return err_reason(err, LOV_ECONFLICT, "no_extension",
                          "the law gives no more time for this right");
    if (scope->now > r->due_at)
        return err_reason(err, LOV_ECONFLICT, "too_late",
                          "the time is over: it could be extended while it ran");
    r->extended = true;
    r->due_at = request_due(law, d, r->received_at, true);
    return need_note(change, "why more time is needed: the consumer is told", err);
}

static int refuse(const struct write_scope *scope, struct request *r,
                  const struct request_change *change, struct err *err)
{
    const struct policy_law *law = law_of(scope, r);
    if (!law_refusal(law, r->right, change->reason))
        return err_reason(err, LOV_EINVAL, "unknown_reason",
                          "the law %.*s has no such reason to refuse this right: GET /v1/policy "
                          "lists them",
                          STR_ARG(law->id));
    r->reason = change->reason;
    return need_note(change, "what the reason rests on: the consumer is told", err);
}

static int find(struct write_scope *scope, const struct request_change *change, struct request *out,
                struct err *err)
{
    int rc = need_consumer(scope, err);
    if (rc)
        return rc;
    rc = request_row_get(scope->lov, change->shard, change->seq, scope->arena, out, err);
    bool theirs = rc == 1 && memcmp(out->cid.b, scope->who->cid.b, sizeof out->cid.b) == 0;
    if (rc >= 0 && !theirs)
        return err_reason(err, LOV_ENOTFOUND, "unknown_request", "there is no such request");
    return rc < 0 ? rc : 0;
}

static int check_step(const struct request *r, const struct request_change *change,
                      enum request_state *next, struct err *err)
{
    if (change->step == STEP_EXTEND && r->state == REQUEST_EXTENDED)
        return err_reason(err, LOV_ECONFLICT, "already_extended",
                          "the time was extended already, which is done once");
    if (request_next(r->state, change->step, next))
        return 0;
    return err_reason(err, LOV_ECONFLICT, "wrong_state", "the request is %s: it cannot be %s",
                      request_state_name(r->state),
                      change->step == STEP_FULFIL && request_is_live(r->state)
                          ? "fulfilled before the identity is verified"
                          : "changed so");
}

/* Closes what else the consumer has asked for, since nobody will be there to be answered. */
static int close_others(struct write_scope *scope, int64_t but, struct err *err)
{
    static const char sql[] =
        "select " REQUEST_COLUMNS " from request where shard = $1 and cid = $2 and seq <> $3 and "
        "state in ('received', 'identity_pending', 'open', 'extended') order by seq";
    struct request *found = NULL;
    size_t count = 0, cap = 0;
    struct db_stmt *s = db_use(scope->lov, sql);
    db_bind_int(s, 1, scope->who->shard);
    db_bind_blob(s, 2, uid_str(&scope->who->cid));
    db_bind_int(s, 3, but);
    int rc;
    while ((rc = db_step(s, err)) == 1) {
        if (count == cap) {
            struct request *grown = arena_array(scope->arena, cap ? 2 * cap : 8, sizeof *grown);
            if (count)
                memcpy(grown, found, count * sizeof *grown);
            found = grown;
            cap = cap ? 2 * cap : 8;
        }
        rc = request_from_row(s, scope->who->shard, scope->arena, &found[count++], err);
        if (rc) {
            db_done(s);
            return rc;
        }
    }
    for (size_t i = 0; rc == 0 && i < count; i++) {
        found[i].state = REQUEST_CLOSED;
        rc = put(scope, "request.close", &found[i], err);
    }
    return rc;
}

static int step(struct engine_write *w, struct write_scope *scope, struct err *err)
{
    const struct request_change *change = w->input;
    struct request r = {0};
    enum request_state next;
    int rc = find(scope, change, &r, err);
    if (rc == 0)
        rc = check_step(&r, change, &next, err);
    if (rc == 0 && change->step == STEP_EXTEND)
        rc = extend(scope, &r, change, err);
    if (rc == 0 && change->step == STEP_REFUSE)
        rc = refuse(scope, &r, change, err);
    if (rc == 0 && change->step == STEP_VERIFY_IDENTITY)
        rc = need_note(change, "how the identity was established", err);
    if (rc == 0 && change->step == STEP_FULFIL)
        rc = check_asked_for(scope, &r, w->kind == WRITE_ERASE, &change->categories, err);
    if (rc == 0 && w->kind == WRITE_ERASE)
        rc = holds_check(scope, err);
    if (rc == 0)
        rc = erase_categories(scope, &change->categories, err);
    if (rc == 0)
        rc = add_note(scope, &r, request_step_name(change->step), change->note, err);
    if (rc)
        return rc;
    r.state = next;
    rc = put(scope, step_event(change->step), &r, err);
    w->out_seq = r.event;
    if (rc == 0 && change->step == STEP_FULFIL)
        rc = notify_all(scope, change, r.seq, r.right, err);
    if (rc == 0 && w->kind == WRITE_ERASE)
        rc = close_others(scope, r.seq, err);
    return rc;
}

void request_change(struct engine_write *w, const struct request_change *change)
{
    if (w->kind != WRITE_CONSUMER && w->kind != WRITE_ERASE)
        w->kind = WRITE_OTHER;
    w->other = step;
    w->input = change;
}

static int before_erasure(struct engine_write *w, struct write_scope *scope, struct err *err)
{
    const struct request_change *change = w->input;
    int rc = holds_check(scope, err);
    if (rc == 0)
        rc = notify_all(scope, change, -1, STR("erasure"), err);
    return rc ? rc : close_others(scope, -1, err);
}

void request_erase(struct engine_write *w, const struct request_change *change)
{
    w->kind = WRITE_ERASE;
    w->other = before_erasure;
    w->input = change;
}
