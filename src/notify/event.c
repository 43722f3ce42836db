/* event.c - an event of the ledger as callers see it.
 *
 * The body of an event is JSON that names consents and records by their number in the ledger, which
 * callers never see elsewhere: it becomes the public id. What is sealed stays sealed but in the
 * history of one consumer, for those who may see evidence. */
#include "notify/private.h"

static void set_own_ids(struct engine *e, const struct ledger_event *event, json_t *body)
{
    static const char *const names[] = {"consent", "record",       "request",
                                        "hold",    "notification", "proposal"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const json_t *seq = json_object_get(body, names[i]);
        if (!json_is_integer(seq))
            continue;
        _cleanup_buf struct buf id = {0};
        consent_id_format(e, event->shard, json_integer_value(seq), &id);
        json_object_set_new(body, names[i], json_stringn(id.p, id.n));
    }
}

static void set_ids(struct engine *e, const struct ledger_event *event, json_t *body)
{
    size_t i;
    json_t *record, *consent;
    set_own_ids(e, event, body);
    json_array_foreach(json_object_get(body, "records"), i, record)
        set_own_ids(e, event, record);
    json_array_foreach(json_object_get(body, "supersedes"), i, consent)
        set_own_ids(e, event, consent);
}

/* Replaces "sealed" by what is in it, where the caller may see that. */
static int open_sealed(const struct event_view *v, const struct ledger_event *event, json_t *body,
                       struct err *err)
{
    _cleanup_buf struct buf bytes = {0}, text = {0};
    _cleanup_json json_t *opened = NULL;
    const json_t *sealed = json_object_get(body, "sealed");
    int rc = 0;
    if (v->open_sealed && event->has_cid && json_is_string(sealed) &&
        base64url_decode(json_text(sealed), &bytes)) {
        struct consent c = {.shard = event->shard, .cid = event->cid, .sealed = buf_view(&bytes)};
        rc = consent_unseal(v->engine, &c, &text, err);
    }
    json_object_del(body, "sealed");
    if (rc < 0 || !text.n)
        return rc < 0 ? rc : 0;
    rc = json_read(buf_view(&text), &opened, err);
    if (rc == 0)
        json_object_update(body, opened);
    return rc;
}

/* Purpose and recipient of those events whose body does not say them. */
static void set_activity(const struct ledger_event *event, json_t *body)
{
    struct str purpose = event->activity, recipient = str_cut(&purpose, '/');
    if (!event->activity.n)
        return;
    if (!json_object_get(body, "recipient"))
        json_object_set_new(body, "recipient", json_stringn(recipient.p, recipient.n));
    if (!json_object_get(body, "purpose"))
        json_object_set_new(body, "purpose", json_stringn(purpose.p, purpose.n));
}

static void write_members(struct jw *w, const json_t *body)
{
    const char *name;
    json_t *value;
    _cleanup_buf struct buf text = {0};
    json_object_foreach((json_t *)body, name, value) {
        buf_clear(&text);
        json_canonical(value, &text);
        jw_key(w, name);
        jw_raw(w, buf_view(&text));
    }
}

static int write_consumer(const struct event_view *v, const struct ledger_event *event,
                          struct jw *w, struct err *err)
{
    _cleanup_buf struct buf name = {0};
    int rc = 0;
    jw_key(w, "consumer");
    if (v->consumer.n)
        buf_str(&name, v->consumer);
    else if (event->has_cid)
        rc = identity_name(engine_identity(v->engine), v->identities, &event->cid, &name, err);
    if (rc >= 0 && name.n)
        jw_str(w, buf_view(&name));
    else
        jw_null(w);
    return rc < 0 ? rc : 0;
}

int event_write(const struct event_view *v, const struct ledger_event *event, struct jw *w,
                struct err *err)
{
    _cleanup_json json_t *body = NULL;
    int rc = json_read(event->body, &body, NULL);
    if (rc || !json_is_object(body))
        return err_set(err, LOV_ECORRUPT,
                       "the body of an event is not a JSON object: run "
                       "lov log verify");
    set_ids(v->engine, event, body);
    set_activity(event, body);
    rc = open_sealed(v, event, body, err);
    if (rc)
        return rc;
    jw_object_start(w);
    jw_int_member(w, "seq", event->seq);
    jw_int_member(w, "shard", event->shard);
    jw_time_member(w, "at", event->at);
    jw_str_member(w, "kind", event->kind);
    jw_str_member(w, "actor", event->actor);
    if (v->identities)
        rc = write_consumer(v, event, w, err);
    write_members(w, body);
    jw_object_end(w);
    return rc;
}
