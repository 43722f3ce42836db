/* cloud.c - an event as a webhook sends it: CloudEvents 1.0.2, JSON event format, structured. */
#include "notify/private.h"

/* What the event is about, as a path of the API; nothing where it has no such. */
static void write_subject(const struct cloud_event *c, const struct ledger_event *event,
                          struct jw *w)
{
    static const struct {
        const char *member, *path;
    } subjects[] = {
        {"consent", "consents"}, {"request", "requests"}, {"notification", "notifications"}};
    _cleanup_json json_t *body = NULL;
    _cleanup_buf struct buf subject = {0};
    if (json_read(event->body, &body, NULL))
        return;
    for (size_t i = 0; i < sizeof subjects / sizeof *subjects && !subject.n; i++) {
        const json_t *seq = json_object_get(body, subjects[i].member);
        if (!json_is_integer(seq))
            continue;
        buf_printf(&subject, "%s/", subjects[i].path);
        consent_id_format(c->engine, event->shard, json_integer_value(seq), &subject);
    }
    if (subject.n)
        jw_str_member(w, "subject", buf_view(&subject));
}

/* Whoever is erased is named to those who are told of it, and to nobody else. */
static int told_name(const struct cloud_event *c, const struct ledger_event *event, struct buf *out,
                     struct err *err)
{
    if (!c->options->told_name || !str_is(event->kind, "notification.make"))
        return 0;
    return c->options->told_name(c->engine, c->identities, event->shard, event->seq, out, err);
}

int cloud_event_write(const struct cloud_event *c, const struct ledger_event *event, struct buf *id,
                      struct buf *out, struct err *err)
{
    _cleanup_buf struct buf name = {0}, type = {0};
    struct jw w = {.out = out};
    int rc = told_name(c, event, &name, err);
    if (rc < 0)
        return rc;
    consent_id_format(c->engine, event->shard, event->seq, id);
    jw_object_start(&w);
    jw_cstr_member(&w, "specversion", "1.0");
    jw_str_member(&w, "id", buf_view(id));
    jw_str_member(&w, "source", c->origin);
    buf_printf(&type, "lov.%.*s", STR_ARG(event->kind));
    jw_str_member(&w, "type", buf_view(&type));
    write_subject(c, event, &w);
    jw_time_member(&w, "time", event->at);
    jw_cstr_member(&w, "datacontenttype", "application/json");
    jw_key(&w, "data");
    struct event_view view = {
        .engine = c->engine,
        .identities = c->identities,
        .consumer = buf_view(&name),
    };
    rc = event_write(&view, event, &w, err);
    jw_object_end(&w);
    return rc;
}
