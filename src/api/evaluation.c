/* evaluation.c - one question: from the entities of AuthZEN to a decision, and from a decision to
 * the answer's context. */
#include <string.h>

#include "api/authzen.h"

struct entity {
    struct str type, id, name;
    const json_t *properties;
};
#define MEMBER(name, kind, required, max)                                                          \
    {                                                                                              \
#name, kind, offsetof(struct entity, name), required, 1, max                               \
    }

static const struct json_field action_fields[] = {
    MEMBER(name, JSON_K_STRING, true, 256),
    MEMBER(properties, JSON_K_OBJECT, false, 0),
};
static const struct json_field entity_fields[] = {
    MEMBER(type, JSON_K_STRING, true, 256),
    MEMBER(id, JSON_K_STRING, true, CONSUMER_ID_MAX),
    MEMBER(properties, JSON_K_OBJECT, false, 0),
};
/* The entity that a search looks for: an id is ignored, whatever it is. */
static const struct json_field wanted_fields[] = {
    MEMBER(type, JSON_K_STRING, true, 256),
    MEMBER(properties, JSON_K_OBJECT, false, 0),
};

struct context {
    bool record;
};
static const struct json_field context_fields[] = {
    {"record", JSON_K_BOOL, offsetof(struct context, record), false, 0, 0},
};

#define COUNT(table) (sizeof(table) / sizeof *(table))

static int take_entity(struct http_call *call, const json_t *json, const char *path, bool wanted,
                       struct entity *out, struct err *err)
{
    if (!json)
        return err_reason(err, LOV_EINVAL, "missing_field", "%s is required", path);
    if (wanted)
        return json_take(json, wanted_fields, COUNT(wanted_fields), JSON_IGNORE_UNKNOWN, path,
                         &call->arena, out, err);
    return json_take(json, entity_fields, COUNT(entity_fields), JSON_IGNORE_UNKNOWN, path,
                     &call->arena, out, err);
}

static int take_action(struct http_call *call, const json_t *json, struct entity *out,
                       struct err *err)
{
    if (!json)
        return err_reason(err, LOV_EINVAL, "missing_field", "action is required");
    return json_take(json, action_fields, COUNT(action_fields), JSON_IGNORE_UNKNOWN, "action",
                     &call->arena, out, err);
}

static int check_caller(const struct http_call *call, const struct evaluation *ev,
                        enum wanted wanted, struct err *err)
{
    struct str own = caller_of(call)->recipient;
    if (!own.n || wanted == WANT_SUBJECT)
        return 0;
    if (!ev->other_subject && str_eq(own, ev->question.recipient))
        return 0;
    return err_reason(err, LOV_EFORBIDDEN, "forbidden",
                      "the key of a recipient may ask for that recipient only");
}

int evaluation_read(struct http_call *call, const struct entities *entities, enum wanted wanted,
                    struct evaluation *out, struct err *err)
{
    struct entity subject = {0}, action = {0}, resource = {0};
    struct context context = {0};
    int rc = take_entity(call, entities->subject, "subject", wanted == WANT_SUBJECT, &subject, err);
    if (rc == 0 && wanted != WANT_ACTION)
        rc = take_action(call, entities->action, &action, err);
    if (rc == 0)
        rc = take_entity(call, entities->resource, "resource", wanted == WANT_RESOURCE, &resource,
                         err);
    if (rc == 0 && entities->context)
        rc = json_take(entities->context, context_fields, COUNT(context_fields),
                       JSON_IGNORE_UNKNOWN, "context", &call->arena, &context, err);
    if (rc)
        return rc;
    out->question = (struct question){
        .recipient = subject.id,
        .purpose = action.name,
        .category = resource.type,
        .consumer = resource.id,
        .at = clock_now(),
    };
    out->other_subject = !str_is(subject.type, "recipient");
    out->record = context.record;
    return check_caller(call, out, wanted, err);
}

int evaluation_take_plain(struct http_call *call, const struct plain_question *plain, int64_t at,
                          struct evaluation *out, struct err *err)
{
    out->question = (struct question){
        .recipient = plain->recipient,
        .purpose = plain->purpose,
        .category = plain->category,
        .consumer = plain->consumer,
        .at = at,
    };
    out->other_subject = !str_is(plain->subject_type, "recipient");
    out->record = plain->record;
    return check_caller(call, out, WANT_DECISION, err);
}

void evaluation_decide(struct api *api, const struct rules *rules, struct evaluation *ev)
{
    if (!ev->other_subject)
        decide(api->engine, rules, &ev->question, &ev->decision);
    else if (decide_available(api->engine, rules, &ev->decision))
        ev->decision = (struct decision){.reason = REASON_RECIPIENT_UNKNOWN, .consent = -1};
    ev->policy_version = rules ? rules_policy(rules)->version : 0;
    if (ev->decision.activity) {
        ev->obligations = rules_obligations(rules, &ev->decision);
        ev->record = ev->record || ev->decision.activity->record_always;
    }
    if (!ev->record)
        counters_add(api->counters, ev->decision.reason);
}

void evaluation_record(struct evaluation *ev, struct engine_write *w)
{
    w->kind = WRITE_ACCESS;
    w->question = ev->question;
    w->decision = ev->decision;
    w->policy_version = ev->policy_version;
    ev->write = w;
}

/* Under another policy the answer would be another too: such a use stays refused. */
static bool is_overtaken(const struct engine_write *w, int policy_version)
{
    /* Other failures that make it unavailable (the disk, a stop) have no reason word. */
    return w->job.rc == LOV_EUNAVAILABLE && strcmp(w->job.err.reason, "unavailable") == 0 &&
           w->policy_version == policy_version;
}

bool evaluation_repeat(struct pending *p, http_handler *then)
{
    struct engine *e = api_of(p->call)->engine;
    struct rules *rules = engine_rules(e);
    int policy_version = rules ? rules_policy(rules)->version : 0;
    struct engine_write **again = arena_array(&p->call->arena, p->count, sizeof *again);
    size_t count = 0;
    for (size_t i = 0; i < p->count; i++) {
        struct engine_write *w = &p->writes[i];
        if (!is_overtaken(w, policy_version))
            continue;
        decide(e, rules, &w->question, &w->decision);
        again[count++] = w;
    }
    rules_unref(rules);
    return pending_repeat(p, again, count, then);
}

void evaluation_settle(struct api *api, struct evaluation *ev)
{
    if (!ev->write)
        return;
    if (ev->write->job.rc < 0) {
        ev->decision.permit = false;
        ev->decision.reason = REASON_UNAVAILABLE;
        ev->decision.cause = CAUSE_NOT_RECORDED;
    } else {
        /* Recording decides again, in the order of the ledger. */
        ev->decision = ev->write->decision;
    }
    counters_add(api->counters, ev->decision.reason);
}

/* ---- the answer ---- */

static void write_consent_id(struct api *api, const struct decision *d, struct jw *w)
{
    jw_key(w, "consent");
    if (d->consent < 0) {
        jw_null(w);
        return;
    }
    /* Hexadecimal digits need no escaping: straight into the answer, without a buffer between. */
    jw_raw(w, STR("\""));
    consent_id_format(api->engine, d->shard, d->consent, w->out);
    buf_char(w->out, '"');
}

static void write_error(const struct err *err, struct jw *w)
{
    jw_object_member(w, "error");
    jw_int_member(w, "status", problem_status(err));
    jw_cstr_member(w, "message", err->text);
    jw_object_end(w);
}

void reason_write(const struct decision *d, struct jw *w)
{
    jw_cstr_member(w, "reason", decision_reason_name(d->reason));
    if (d->cause == CAUSE_NONE) {
        jw_cstr_member(w, "reason_text", decision_reason_text(d->reason));
        return;
    }
    _cleanup_buf struct buf text = {0};
    decision_text(d, &text);
    jw_str_member(w, "reason_text", buf_view(&text));
    jw_cstr_member(w, "cause", decision_cause_name(d->cause));
}

static void write_context(struct api *api, const struct evaluation *ev, struct jw *w)
{
    const struct decision *d = &ev->decision;
    reason_write(d, w);
    jw_key(w, "basis");
    if (d->basis == BASIS_NONE)
        jw_null(w);
    else
        jw_str(w, str_of(policy_basis_name(d->basis)));
    write_consent_id(api, d, w);
    jw_int_member(w, "policy_version", ev->policy_version);
    if (d->permit && ev->obligations.n) {
        jw_key(w, "obligations");
        jw_raw(w, ev->obligations);
    }
    if (ev->write && ev->write->job.rc >= 0)
        jw_int_member(w, "event", ev->write->out_seq);
}

void evaluation_write_context(struct api *api, const struct evaluation *ev, struct jw *w)
{
    jw_object_member(w, "context");
    write_context(api, ev, w);
    jw_object_end(w);
}

void evaluation_write(struct api *api, const struct evaluation *ev, struct jw *w)
{
    jw_object_start(w);
    jw_bool_member(w, "decision", !ev->err && ev->decision.permit);
    jw_object_member(w, "context");
    if (ev->err)
        write_error(ev->err, w);
    else
        write_context(api, ev, w);
    jw_object_end(w);
    jw_object_end(w);
}
