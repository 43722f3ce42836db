/* receipts.c - the consumer's receipts: to see, to keep, and to check in the browser. */
#include "api/receipt_page.h"
#include "consent/receipt.h"
#include "web/private.h"

int receipts_get(struct http_call *call)
{
    _cleanup_visit struct visit v = {0};
    struct err err = {0};
    if (!visit_begin(call, &v))
        return 0;
    json_t *items = json_array();
    json_object_set_new(v.view, "receipts", items);
    if (receipts_list(&v, items, &err))
        return visit_error(&v, &err);
    return visit_page(&v, 200, "receipts.html", "receipts");
}

/* The receipt's document of a consent that is the consumer's own; anybody else's is not found. */
static int make(struct visit *v, struct buf *out, struct err *err)
{
    struct receipt_request r = {.event = -1, .personal = true};
    struct consent c = {0};
    struct str event = {0};
    int rc = consent_id_parse(v->engine, v->call->param[0], &r.shard, &r.consent)
                 ? consent_get(v->engine, r.shard, r.consent, v->arena, &c, err)
                 : 0;
    if (rc < 0)
        return rc;
    if (rc == 0 || memcmp(c.cid.b, v->who.who.cid.b, sizeof c.cid.b) != 0)
        return err_reason(err, LOV_ENOTFOUND, "unknown_consent", "there is no such consent");
    if (http_query(v->call, "event", &event) && !str_to_int(event, 0, INT64_MAX, &r.event))
        return err_reason(err, LOV_ENOTFOUND, "unknown_event", "event is a number");
    rc = receipt_make(v->engine, &r, v->arena, out, err);
    return rc == LOV_ECONFLICT ? err_reason(err, LOV_ENOTFOUND, "unknown_event", "no receipt") : rc;
}

static void set_paths(struct visit *v)
{
    struct str event = {0};
    int64_t seq;
    http_query(v->call, "event", &event);
    struct str query = str_to_int(event, 0, INT64_MAX, &seq)
                           ? arena_printf(v->arena, "?event=%lld", (long long)seq)
                           : (struct str){0};
    set_text(v->view, "file",
             arena_printf(v->arena, "/portal/receipts/%.*s/file%.*s", STR_ARG(v->call->param[0]),
                          STR_ARG(query)));
    set_text(v->view, "print",
             arena_printf(v->arena, "/portal/receipts/%.*s/print%.*s", STR_ARG(v->call->param[0]),
                          STR_ARG(query)));
}

static struct str member(const json_t *json, const char *a, const char *b)
{
    const json_t *v = json_object_get(json, a);
    v = b ? json_object_get(v, b) : v;
    return json_is_string(v) ? json_text(v) : (struct str){0};
}

static void set_record(struct visit *v, const json_t *receipt)
{
    const json_t *record = json_object_get(receipt, "dpv:hasRecordOfActivity");
    const json_t *process = json_object_get(record, "dpv:hasProcess");
    const json_t *proof = json_object_get(receipt, "proof");
    struct str at_text = member(record, "dpv:hasConsentStatus", "dpv:isIndicatedAtTime");
    int64_t at;
    if (time_parse(at_text, &at))
        set_moment(v, v->view, "at", at);
    set_text(v->view, "headline",
             word_of(v, "event_", member(record, "dpv:hasConsentStatus", "lov:event")));
    set_text(v->view, "purpose",
             purpose_label(v, member(process, "dpv:hasPurpose", "dct:identifier")));
    set_text(v->view, "recipient",
             recipient_label(v, member(process, "dpv:hasRecipient", "dct:identifier")));
    set_text(v->view, "notice_title", member(record, "dpv:hasNotice", "lov:title"));
    set_text(v->view, "notice_version", member(record, "dpv:hasNotice", "schema:version"));
    set_text(v->view, "leaf", member(proof, "leaf", NULL));
    json_object_set(v->view, "seq", json_object_get(proof, "seq"));
}

int receipt_get(struct http_call *call)
{
    _cleanup_visit struct visit v = {0};
    _cleanup_buf struct buf receipt = {0}, key = {0};
    _cleanup_json json_t *json = NULL;
    struct err err = {0};
    if (!visit_begin(call, &v))
        return 0;
    int rc = make(&v, &receipt, &err);
    if (rc == 0)
        rc = json_read(buf_view(&receipt), &json, &err);
    if (rc)
        return visit_error(&v, &err);
    set_record(&v, json);
    set_paths(&v);
    const struct log_signer *signer = engine_signer(v.engine, v.who.who.shard);
    note_key_format(&signer->key, &key);
    set_text(v.view, "key", buf_view(&key));
    set_text(v.view, "title", word(&v, "receipt_title"));
    return visit_page(&v, 200, "receipt_view.html", "receipts");
}

int receipt_file(struct http_call *call)
{
    _cleanup_visit struct visit v = {0};
    _cleanup_buf struct buf receipt = {0};
    struct err err = {0};
    if (!visit_begin(call, &v))
        return 0;
    if (make(&v, &receipt, &err))
        return visit_error(&v, &err);
    visit_headers(call);
    http_answer_header(call, "Content-Disposition",
                       arena_printf(v.arena, "attachment; filename=\"receipt-%.*s.json\"",
                                    STR_ARG(call->param[0])));
    call->status = 200;
    call->content_type = "application/ld+json";
    buf_str(&call->out, buf_view(&receipt));
    return 0;
}

int receipt_print(struct http_call *call)
{
    _cleanup_visit struct visit v = {0};
    _cleanup_buf struct buf receipt = {0}, policy = {0}, base = {0};
    struct err err = {0};
    if (!visit_begin(call, &v))
        return 0;
    api_base(call, &base);
    int rc = make(&v, &receipt, &err);
    if (rc == 0)
        rc = receipt_page(buf_view(&receipt), buf_view(&base), receipt_page_language(v.language),
                          &call->out, &err);
    if (rc)
        return visit_error(&v, &err);
    receipt_page_policy(&policy);
    http_answer_header(call, "Content-Security-Policy", buf_view(&policy));
    http_answer_header(call, "Referrer-Policy", STR("no-referrer"));
    call->status = 200;
    call->content_type = "text/html; charset=utf-8";
    return 0;
}
